//! `POST /admit/{group or core}/{resource}`: from a request to its reply.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::{Instant, timeout_at};

use crate::body::{self, BodyBudget, BodyError};
use crate::judge::{CallContext, Decision, GroupResource, Judge, Recorder, ReviewAnswer};
use crate::limits::Limits;
use crate::malformed::MalformedReview;
use crate::metrics::{EdgeMetrics, FindingLabels, PolicyLabels};
use crate::panic::{Panicked, caught};
use crate::record::Records;
use crate::reply::{self, FailedCall};
use crate::review::Review;
use crate::trace_context;

/// Bytes of a path and of a message that are logged.
const LOGGED_PATH: usize = 256;
const LOGGED_REASON: usize = 1024;

const NO_RESOURCE: &str = "admission reviews are sent to /admit/{group or core}/{resource}";

/// Everything a call needs.
pub(crate) struct Admission<J, C> {
    pub(crate) judge: Arc<J>,
    pub(crate) records: Records<C>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) budget: BodyBudget,
    pub(crate) metrics: EdgeMetrics,
}

/// Counts a call as being answered, however it ends.
struct Inflight(Gauge);

/// Takes whatever comes: what is refused for its path or method has a body to be read, too.
pub(crate) fn routes<J: Judge, C: Recorder<J::Record>>(admission: Arc<Admission<J, C>>) -> Router {
    Router::new().fallback(admit::<J, C>).with_state(admission)
}

/// For connections past the limit: every call is told to come again, as the API server does by itself.
pub(crate) fn busy(limits: &Arc<Limits>) -> Router {
    let limits = Arc::clone(limits);
    Router::new().fallback(async move |request: Request| {
        // The API server writes a whole review before it reads; past the time-out it does not matter any more.
        let mut body = request.into_body();
        let read = timeout_at(Instant::now() + limits.deadline, body::discard(&mut body, limits.max_body)).await;
        FailedCall { close: read != Ok(true), ..FailedCall::busy("the guard has too many connections; ask again") }
    })
}

async fn admit<J: Judge, C: Recorder<J::Record>>(
    State(admission): State<Arc<Admission<J, C>>>,
    request: Request,
) -> Response {
    let arrived = Instant::now();
    let _inflight = Inflight::new(&admission.metrics);
    let (parts, mut body) = request.into_parts();
    let until = admission.limits.budget(parts.uri.query()).map(|budget| arrived + budget);
    let answer = match until {
        Ok(until) => admission.answer(&parts, &mut body, arrived, until).await,
        Err(_) => Err(bad_request("timeout in the query is not a duration like 10s")),
    };
    match answer {
        Ok(reply) => reply,
        Err(mut failure) => {
            if !body.is_end_stream() {
                let until = until.unwrap_or(arrived + admission.limits.deadline);
                let rest = body::discard(&mut body, admission.limits.max_body);
                failure.close = timeout_at(until, rest).await != Ok(true);
            }
            let path = parts.uri.path();
            tracing::warn!(
                code = failure.code.as_u16(),
                path = path.get(..LOGGED_PATH).unwrap_or(path),
                uid = failure.uid.as_deref(),
                trace_id = trace_context::trace_id(&parts.headers),
                reason = failure.message.get(..LOGGED_REASON).unwrap_or(&failure.message),
                "call not judged"
            );
            failure.into_response()
        }
    }
}

impl<J: Judge, C: Recorder<J::Record>> Admission<J, C> {
    async fn answer(
        &self,
        parts: &Parts,
        body: &mut Body,
        arrived: Instant,
        until: Instant,
    ) -> Result<Response, FailedCall> {
        let resource = resource(parts.uri.path())?;
        if parts.method != Method::POST {
            let code = StatusCode::METHOD_NOT_ALLOWED;
            return Err(FailedCall::new(code, "MethodNotAllowed", "admission reviews are sent by POST"));
        }
        self.check_headers(&parts.headers)?;
        let mut held = self.budget.hold();
        let reading = body::read(body, self.limits.max_body, &mut held);
        let bytes = match timeout_at(until, reading).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => return Err(self.not_read(&error)),
            Err(_) => {
                self.metrics.shed("body");
                let message = "the body did not arrive within the call's time-out";
                return Err(FailedCall::new(StatusCode::REQUEST_TIMEOUT, "Timeout", message));
            }
        };
        let review = Review::read(&bytes).map_err(|malformed| self.malformed(malformed))?;
        if (&*review.resource.group, &*review.resource.name) != (resource.group, resource.resource) {
            self.metrics.malformed("target");
            return Err(FailedCall {
                uid: Some(review.uid.clone().into_owned()),
                ..bad_request(format!(
                    "the path is for {} but the review is of {}; the webhook's rule and its path \
                     do not fit",
                    qualified(resource.resource, resource.group),
                    qualified(&review.resource.name, &review.resource.group)
                ))
            });
        }
        let trace_id = trace_context::trace_id(&parts.headers);
        let call = CallContext { resource, trace_id, deadline: until.into_std() };
        let answer = self.judge(&call, &review, until).await?;
        let reply = self.conclude(answer, &call, &review, until).await;
        reply
            .inspect(|(_, policy)| {
                let duration = self.metrics.duration.get_or_create(policy);
                duration.observe(arrived.elapsed().as_secs_f64());
            })
            .map(|(reply, _)| reply)
    }

    async fn judge(
        &self,
        call: &CallContext<'_>,
        review: &Review<'_>,
        until: Instant,
    ) -> Result<ReviewAnswer<J::Record>, FailedCall> {
        let panicked = |Panicked| {
            self.metrics.panicked("judge");
            tracing::error!(
                name = &*review.name,
                namespace = &*review.namespace,
                trace_id = call.trace_id,
                "judge panicked"
            );
            FailedCall::internal("the guard failed in judging this write", &review.uid)
        };
        let deadline = until.min(Instant::now() + self.limits.policy_wait);
        let ready = caught(async { self.judge.wait_ready(call.resource).await });
        if let Ok(ready) = timeout_at(deadline, ready).await {
            ready.map_err(panicked)?;
        }
        catch_unwind(AssertUnwindSafe(|| self.judge.judge(call, review))).map_err(|_| panicked(Panicked))
    }

    /// Counts and records what was judged, and makes the reply.
    async fn conclude(
        &self,
        answer: ReviewAnswer<J::Record>,
        call: &CallContext<'_>,
        review: &Review<'_>,
        until: Instant,
    ) -> Result<(Response, PolicyLabels), FailedCall> {
        let ReviewAnswer { decision, warnings, annotations, labels, findings, unknown_policy, record } = answer;
        if let Decision::Fail { cause, message } = decision {
            self.metrics.shed(cause);
            return Err(FailedCall::internal(message, &review.uid));
        }
        self.metrics.requests.get_or_create(&labels).inc();
        if unknown_policy {
            self.metrics.unknown_policy.inc();
        }
        if !findings.is_empty() {
            tracing::info!(
                policy = &*labels.policy,
                outcome = &*labels.outcome,
                class = &*labels.class,
                reasons = findings.join(","),
                namespace = &*review.namespace,
                name = &*review.name,
                user = &*review.user,
                dry_run = review.dry_run,
                trace_id = call.trace_id,
                "write with findings"
            );
        }
        for reason in findings {
            let policy = labels.policy.clone();
            self.metrics.findings.get_or_create(&FindingLabels { policy, reason }).inc();
        }
        if let Some(record) = record {
            let deadline = until.min(Instant::now() + self.limits.record_wait);
            self.records.keep(record, deadline).await;
        }
        let denial = match decision {
            Decision::Deny(denial) => Some(denial),
            Decision::Allow | Decision::Fail { .. } => None,
        };
        let policy = PolicyLabels { policy: labels.policy };
        Ok((reply::judged(review, denial.as_ref(), warnings, annotations), policy))
    }

    fn check_headers(&self, headers: &HeaderMap) -> Result<(), FailedCall> {
        let media_type = |message: String| {
            self.metrics.malformed("media_type");
            let code = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            FailedCall::new(code, "UnsupportedMediaType", message)
        };
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        let encoding = text(header::CONTENT_ENCODING).unwrap_or("identity");
        if !encoding.eq_ignore_ascii_case("identity") {
            return Err(media_type(format!("a body in {encoding} cannot be read; send it without Content-Encoding")));
        }
        let content = text(header::CONTENT_TYPE).unwrap_or("no content type");
        let essence = content.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(media_type(format!("a body of {content} cannot be read; send application/json")));
        }
        Ok(())
    }

    fn not_read(&self, error: &BodyError) -> FailedCall {
        match error {
            BodyError::TooLarge => {
                self.metrics.shed("body_size");
                let message = format!("the body has more than {} bytes", self.limits.max_body);
                FailedCall::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
            }
            BodyError::Busy => {
                self.metrics.shed("bodies");
                FailedCall::busy("the guard is busy; ask again")
            }
            BodyError::Broken(error) => {
                self.metrics.malformed("broken");
                bad_request(format!("the body broke off: {error}"))
            }
        }
    }

    fn malformed(&self, malformed: MalformedReview) -> FailedCall {
        self.metrics.malformed(malformed.category());
        FailedCall { uid: malformed.uid.clone(), ..bad_request(format!("malformed admission review: {malformed}")) }
    }
}

impl Inflight {
    fn new(metrics: &EdgeMetrics) -> Self {
        metrics.inflight.inc();
        Self(metrics.inflight.clone())
    }
}

impl Drop for Inflight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The resource a path names.
fn resource(path: &str) -> Result<GroupResource<'_>, FailedCall> {
    let parts = path.strip_prefix("/admit/").and_then(|parts| parts.split_once('/'));
    match parts {
        Some((group, resource)) if !group.is_empty() && !resource.is_empty() && !resource.contains('/') => {
            Ok(GroupResource { group: if group == "core" { "" } else { group }, resource })
        }
        _ => Err(FailedCall::new(StatusCode::NOT_FOUND, "NotFound", NO_RESOURCE)),
    }
}

fn bad_request(message: impl Into<std::borrow::Cow<'static, str>>) -> FailedCall {
    FailedCall::new(StatusCode::BAD_REQUEST, "BadRequest", message)
}

fn qualified(resource: &str, group: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}
