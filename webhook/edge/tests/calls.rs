//! Calls over real TLS that are answered as they should be.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod common;

use common::{HttpReply, PATH, Script, allow, allowing, head, labels, review, stale, start};
use serde_json::json;
use statusguard_edge::{CallContext, Decision, LONGEST_SHOWN, Limits, Review, ReviewAnswer, Unjudged};

#[tokio::test]
async fn an_allowed_write() {
    let server = start(allowing(), Limits::default()).await;
    let reply = server.post(&review("put")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let uid = uid_of("put");
    assert_eq!(
        reply.json(),
        json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "response": { "uid": uid, "allowed": true }
        })
    );
    server.stop().await;
}

#[tokio::test]
async fn a_refused_write() {
    let server = start(Script(|_: &CallContext<'_>, _: &Review<'_>| stale::<()>()), Limits::default()).await;
    let reply = server.post(&review("put")).await;
    assert_eq!(reply.status, 200, "a denial sent with another code is a failed call");
    let object: serde_json::Value = serde_json::from_slice(&review("put")).unwrap();
    let metadata = &object["request"]["oldObject"]["metadata"];
    assert_eq!(
        reply.json()["response"],
        json!({
            "uid": uid_of("put"),
            "allowed": false,
            "status": {
                "status": "Failure",
                "code": 409,
                "reason": "Conflict",
                "message": "attempts fell from 3 to 2; read again and decide again",
                "details": {
                    "name": metadata["name"],
                    "group": "facts.test",
                    "kind": "Delivery",
                    "uid": metadata["uid"],
                    "causes": [{
                        "reason": "CounterRegression",
                        "message": "attempts fell from 3 to 2",
                        "field": "status.attempts"
                    }]
                }
            }
        })
    );
    let labels = r#"{policy="deliveries.facts.test",outcome="Denied",class="Stale"}"#;
    assert_eq!(server.metric(&format!("statusguard_admission_requests_total{labels}")), 1.0);
    let labels = r#"{policy="deliveries.facts.test",reason="CounterRegression"}"#;
    assert_eq!(server.metric(&format!("statusguard_findings_total{labels}")), 1.0);
    let labels = r#"{policy="deliveries.facts.test"}"#;
    assert_eq!(server.metric(&format!("statusguard_admission_duration_seconds_count{labels}")), 1.0);
    server.stop().await;
}

#[tokio::test]
async fn warnings_and_annotations_arrive_as_the_api_server_takes_them() {
    let judge = Script(|_: &CallContext<'_>, _: &Review<'_>| {
        let mut answer = allow::<()>();
        answer.warnings = vec!["two\nlines\t".to_owned(), String::new(), "two lines".to_owned()];
        answer.annotations = vec![
            ("decision/1".to_owned(), "deny".to_owned()),
            ("decision_1".to_owned(), "second".to_owned()),
            (String::new(), "nothing".to_owned()),
        ];
        answer
    });
    let server = start(judge, Limits::default()).await;
    let response = server.post(&review("put")).await.json()["response"].clone();
    assert_eq!(response["warnings"], json!(["two lines"]));
    assert_eq!(response["auditAnnotations"], json!({ "decision_1": "deny" }));
    server.stop().await;
}

fn uid_of(name: &str) -> serde_json::Value {
    let review: serde_json::Value = serde_json::from_slice(&review(name)).unwrap();
    review["request"]["uid"].clone()
}

/// A call that was not judged says why, in the form the API server shows to the client.
fn assert_status(reply: &HttpReply, code: u16, reason: &str, message: &str, uid: Option<&str>) {
    assert_eq!(reply.status, code, "{}", reply.text());
    let status = reply.json();
    assert_eq!((&status["apiVersion"], &status["kind"]), (&json!("v1"), &json!("Status")));
    assert_eq!(status["status"], "Failure");
    assert_eq!((&status["code"], &status["reason"]), (&json!(code), &json!(reason)));
    assert_eq!(status["details"]["uid"].as_str(), uid);
    let text = status["message"].as_str().unwrap();
    assert!(text.contains(message), "{text}");
}

#[tokio::test]
async fn malformed_reviews_are_refused_with_their_uid() {
    let server = start(allowing(), Limits::default()).await;
    let mut client = server.connect().await;
    let good = String::from_utf8(review("put")).unwrap();
    let uid = uid_of("put");
    let uid = uid.as_str();
    let cut = &good[..good.len() - 1];
    for (body, cause, message, uid) in [
        ("", "syntax", "the body ends before its JSON does", None),
        ("{}", "version", "the body is not an AdmissionReview of admission.k8s.io/v1", None),
        (cut, "syntax", "the body ends before its JSON does", uid),
        (&good.replace("\"UPDATE\"", "\"MEND\""), "type", "request.operation is not", uid),
        (&good.replace("\"uid\"", "\"id\""), "missing", "request.uid is missing", None),
        (&good.replacen("\"name\"", "\"uid\"", 1), "duplicate", "request.uid is given twice", uid),
    ] {
        let metric = format!("statusguard_malformed_total{{cause=\"{cause}\"}}");
        let before = server.metric(&metric);
        let reply = client.post(PATH, body.as_bytes()).await;
        let message = format!("malformed admission review: {message}");
        assert_status(&reply, 400, "BadRequest", &message, uid);
        assert_eq!(server.metric(&metric), before + 1.0, "{cause}");
    }
    assert_eq!(client.post(PATH, good.as_bytes()).await.status, 200, "the connection goes on");
    server.stop().await;
}

#[tokio::test]
async fn requests_that_are_no_calls() {
    let server = start(allowing(), Limits::default()).await;
    let mut client = server.connect().await;
    // Too long to be there when it is refused: what is left has to be read, or the reply is lost.
    let body = String::from_utf8(review("put")).unwrap() + &" ".repeat(1 << 20);
    let path = "/admit/facts.test/deliveries";
    let json = "Content-Type: application/json";
    let gzip = "Content-Type: application/json\r\nContent-Encoding: gzip";
    for (method, path, headers, code, reason, message) in [
        ("GET", path, json, 405, "MethodNotAllowed", "by POST"),
        ("PUT", path, json, 405, "MethodNotAllowed", "by POST"),
        ("POST", "/", json, 404, "NotFound", "/admit/{group or core}/{resource}"),
        ("POST", "/admit/facts.test", json, 404, "NotFound", "/admit/"),
        ("POST", "/admit/facts.test/deliveries/status", json, 404, "NotFound", "/admit/"),
        ("POST", "/admit//deliveries", json, 404, "NotFound", "/admit/"),
        ("POST", path, "X-No: type", 415, "UnsupportedMediaType", "send application/json"),
        ("POST", path, "Content-Type: text/json", 415, "UnsupportedMediaType", "of text/json"),
        ("POST", path, gzip, 415, "UnsupportedMediaType", "send it without Content-Encoding"),
        ("POST", "/admit/facts.test/deliveries?timeout=soon", json, 400, "BadRequest", "timeout"),
    ] {
        let length = body.len();
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: guard\r\n{headers}\r\nContent-Length: {length}\r\n\r\n{body}");
        client.write(request.as_bytes()).await;
        let reply = client.reply().await;
        assert_status(&reply, code, reason, message, None);
        assert_eq!(reply.header("allow"), (code == 405).then_some("POST"), "{method} {path}");
        assert!(!reply.is_last(), "{method} {path}");
    }
    for content_type in ["application/json", "Application/JSON; charset=utf-8"] {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: guard\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        client.write(request.as_bytes()).await;
        assert_eq!(client.reply().await.status, 200);
    }
    client.write(b"this is not HTTP\r\n\r\n").await;
    assert_eq!(client.reply().await.status, 400);
    client.closed().await;
    server.stop().await;
}

#[tokio::test]
async fn the_path_names_what_is_judged() {
    let judge = Script(|call: &CallContext<'_>, review: &Review<'_>| {
        assert_eq!((call.resource.group, call.resource.resource), ("", "pods"));
        assert_eq!(review.resource.group, "");
        allow::<()>()
    });
    let server = start(judge, Limits::default()).await;
    let mut client = server.connect().await;
    let delivery = String::from_utf8(review("put")).unwrap();
    let pod = delivery.replace("\"facts.test\"", "\"\"").replace("\"deliveries\"", "\"pods\"");
    assert_eq!(client.post("/admit/core/pods", pod.as_bytes()).await.status, 200);
    let reply = client.post("/admit/core/pods", delivery.as_bytes()).await;
    let message = "the path is for pods but the review is of deliveries.facts.test";
    assert_status(&reply, 400, "BadRequest", message, uid_of("put").as_str());
    server.stop().await;
}

/// Both reasons for which a write may not be judged: code, reason and metric of a call that fails for it.
fn unjudged() -> [(Unjudged, u16, &'static str, &'static str); 2] {
    let message = || "the rules and the target do not fit".to_owned();
    let shed = "statusguard_shed_total{cause=\"too_many_steps\"}";
    let malformed = "statusguard_malformed_total{cause=\"target\"}";
    [
        (Unjudged::Unfinished { cause: "too_many_steps", message: message() }, 500, "InternalError", shed),
        (Unjudged::Malformed { cause: "target", message: message() }, 400, "BadRequest", malformed),
    ]
}

#[tokio::test]
async fn a_write_that_is_not_judged() {
    let requests = r#"statusguard_admission_requests_total{policy="deliveries.facts.test",outcome="Audited",class=""}"#;
    for (problem, code, reason, metric) in unjudged() {
        let fails = problem.clone();
        let judge = Script(move |_: &CallContext<'_>, _: &Review<'_>| -> ReviewAnswer<()> {
            ReviewAnswer::new(Decision::Fail(fails.clone()), labels("Audited", ""))
        });
        let server = start(judge, Limits::default()).await;
        let reply = server.post(&review("put")).await;
        let uid = uid_of("put");
        assert_status(&reply, code, reason, "the rules and the target do not fit", uid.as_str());
        // No outcome: what becomes of the write is the API server's decision.
        assert_eq!((server.metric(requests), server.metric(metric)), (0.0, 1.0));
        server.stop().await;

        let judge = Script(move |_: &CallContext<'_>, _: &Review<'_>| -> ReviewAnswer<()> {
            let mut answer = ReviewAnswer::new(Decision::AllowUnjudged(problem.clone()), labels("Audited", ""));
            answer.warnings = vec!["not judged".to_owned()];
            answer
        });
        let server = start(judge, Limits::default()).await;
        let reply = server.post(&review("put")).await;
        let response = json!({ "uid": uid, "allowed": true, "warnings": ["not judged"] });
        assert_eq!((reply.status, &reply.json()["response"]), (200, &response));
        assert_eq!((server.metric(requests), server.metric(metric)), (1.0, 1.0));
        server.stop().await;
    }
}

#[tokio::test]
async fn a_reply_repeats_the_uid_whole_and_cuts_names() {
    let server = start(Script(|_: &CallContext<'_>, _: &Review<'_>| stale::<()>()), Limits::default()).await;
    let long = |letter: &str| letter.repeat(4096);
    let mut body: serde_json::Value = serde_json::from_slice(&review("put")).unwrap();
    let request = &mut body["request"];
    request["uid"] = long("r").into();
    (request["kind"]["group"], request["kind"]["kind"]) = (long("g").into(), long("k").into());
    let metadata = &mut request["oldObject"]["metadata"];
    (metadata["name"], metadata["uid"]) = (long("n").into(), long("u").into());
    let response = server.post(body.to_string().as_bytes()).await.json()["response"].clone();
    assert_eq!(response["uid"], long("r"));
    for (field, letter) in [("name", "n"), ("uid", "u"), ("group", "g"), ("kind", "k")] {
        let cut = letter.repeat(LONGEST_SHOWN) + "…";
        assert_eq!(response["status"]["details"][field], cut, "{field}");
    }
    // A resource's name is repeated as well when it is not the path's.
    body["request"]["resource"]["resource"] = long("x").repeat(100).into();
    let reply = server.post(body.to_string().as_bytes()).await;
    assert_status(&reply, 400, "BadRequest", "xxx…; the webhook's rule and its path", Some(&long("r")));
    server.stop().await;
}

#[tokio::test]
async fn too_many_warnings_are_cut_as_the_api_server_would() {
    let judge = Script(|_: &CallContext<'_>, _: &Review<'_>| {
        let mut answer = allow::<()>();
        answer.warnings = (0..60).map(|n| format!("{n:03}{}", "é".repeat(300))).collect();
        answer
    });
    let server = start(judge, Limits::default()).await;
    let response = server.post(&review("put")).await.json()["response"].clone();
    let warnings: Vec<&str> = response["warnings"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
    let lengths: Vec<usize> = warnings.iter().map(|warning| warning.chars().count()).collect();
    assert_eq!(lengths[..15], [256; 15]);
    assert_eq!(warnings[15..], ["45 more warnings"]);
    server.stop().await;
}

#[tokio::test]
async fn http_1_1_alone_is_offered() {
    let server = start(allowing(), Limits::default()).await;
    // The client offers h2 first.
    let client = server.connect().await;
    assert_eq!(client.io.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    server.stop().await;
}

#[tokio::test]
async fn the_plain_port() {
    let server = start(allowing(), Limits::default()).await;
    let policies = server.health.gate("policies loaded");
    assert_eq!(server.get_plain("/livez").await.status, 200);
    let reply = server.get_plain("/readyz").await;
    assert_eq!((reply.status, &*reply.text()), (503, "not ready: policies loaded"));
    policies.ready();
    let reply = server.get_plain("/readyz").await;
    assert_eq!((reply.status, &*reply.text()), (200, "ok"));
    server.post(&review("put")).await;
    let reply = server.get_plain("/metrics").await;
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in [
        "statusguard_admission_requests_total{policy=\"deliveries.facts.test\",outcome=\"Allowed\",class=\"\"} 1",
        "statusguard_admission_duration_seconds_bucket{le=\"0.00005\",policy=\"deliveries.facts.test\"}",
        "statusguard_inflight 0",
        "statusguard_unknown_policy_total 0",
    ] {
        assert!(reply.text().contains(line), "{line} is not in {}", reply.text());
    }
    assert!(reply.is_last(), "one request for each connection");
    assert_eq!(server.get_plain("/admit/facts.test/deliveries").await.status, 404);
    server.stop().await;
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let server = start(allowing(), Limits::default()).await;
    let prometheus = "Accept: application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5\r\n";
    let open_metrics = server.get_plain_with("/metrics", prometheus).await;
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(open_metrics.header("content-type"), Some(media_type));
    assert!(open_metrics.text().contains("# TYPE statusguard_shed counter\n"), "{}", open_metrics.text());
    assert!(open_metrics.text().ends_with("# EOF\n"), "{}", open_metrics.text());
    for accepts in ["", "Accept: text/plain\r\n", "Accept: */*\r\n"] {
        let plain = server.get_plain_with("/metrics", accepts).await;
        assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"), "{accepts}");
        assert!(plain.text().contains("# TYPE statusguard_shed_total counter\n"), "{accepts}: {}", plain.text());
        assert!(!plain.text().contains("# EOF"), "{accepts}: {}", plain.text());
    }
    server.stop().await;
}

/// Calls one after another on one connection, more than one in a packet.
#[tokio::test]
async fn pipelined_calls_are_answered_in_order() {
    let server = start(allowing(), Limits::default()).await;
    let mut client = server.connect().await;
    let mut requests = Vec::new();
    for name in ["put", "merge-patch", "kubectl-replace"] {
        let body = review(name);
        requests.extend(head(PATH, body.len(), ""));
        requests.extend(body);
    }
    client.write(&requests).await;
    for name in ["put", "merge-patch", "kubectl-replace"] {
        assert_eq!(client.reply().await.json()["response"]["uid"], uid_of(name));
    }
    server.stop().await;
}
