//! `POST /admit/{group or core}/{resource}`: from a request to its reply.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::metrics::gauge::Gauge;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use crate::body::{self, BodyBudget, BodyError, BodyReservation};
use crate::connection::Peer;
use crate::judge::{CallContext, Decision, GroupResource, Judge, Labels, Recorder, ReviewAnswer, Unjudged};
use crate::limits::Limits;
use crate::log_limit::LogLimit;
use crate::long_judgements::LongJudgements;
use crate::malformed::MalformedReview;
use crate::metrics::{EdgeMetrics, FindingLabels, PolicyLabels};
use crate::panic::{Panicked, caught};
use crate::record::Records;
use crate::reply::{self, FailedCall};
use crate::review::Review;
use crate::shown::{cut, shown};
use crate::trace_context;

/// Bytes of a path and of a message that are logged.
const LOGGED_PATH: usize = 256;
const LOGGED_REASON: usize = 1024;
/// Bytes of a body that is read on its connection's task, and of statuses that are judged there. Longer ones may take
/// milliseconds, in which no other call of that worker would be answered.
const LONG_BODY: usize = 1 << 20;
const LONG_STATUS: usize = 64 << 10;

/// A judgement has to end this long before the call does, or a tenth of its time if that is less: its answer may be to
/// allow the write, and would else come together with the failure of the call.
const TO_ANSWER: Duration = Duration::from_millis(200);

const NO_RESOURCE: &str = "admission reviews are sent to /admit/{group or core}/{resource}";

/// Everything a call needs.
pub(crate) struct Admission<J, C> {
    pub(crate) judge: Arc<J>,
    pub(crate) records: Records<C>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) budget: BodyBudget,
    pub(crate) metrics: EdgeMetrics,
    pub(crate) not_judged: LogLimit,
    pub(crate) long_judgements: LongJudgements,
}

/// What comes of a judgement.
struct Judged<R> {
    response: Response,
    policy: PolicyLabels,
    /// Whether there was a policy, and it decided.
    by_policy: bool,
    record: Option<R>,
}

/// What a call and its judgement on a thread know of each other.
#[derive(Default)]
struct LongCall {
    /// Nobody waits for the judgement any more.
    given_up: AtomicBool,
    /// The review's uid, once it was read.
    uid: OnceLock<String>,
}

/// Gives up a call that ends without its judgement.
struct GiveUpOnDrop(Arc<LongCall>);

impl Drop for GiveUpOnDrop {
    fn drop(&mut self) {
        self.0.given_up.store(true, Ordering::Relaxed);
    }
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
            if failure.code == StatusCode::REQUEST_TIMEOUT {
                failure.close = true;
            } else if !body.is_end_stream() {
                let until = until.unwrap_or(arrived + admission.limits.deadline);
                let rest = body::discard(&mut body, admission.limits.max_body);
                failure.close = timeout_at(until, rest).await != Ok(true);
            }
            let path = parts.uri.path();
            if let Some(left_out) = admission.not_judged.admit(failure.reason, std::time::Instant::now()) {
                tracing::warn!(
                    code = failure.code.as_u16(),
                    path = &*cut(path, LOGGED_PATH),
                    uid = failure.uid.as_deref().map(shown).as_deref(),
                    trace_id = trace_context::trace_id(&parts.headers),
                    reason = &*cut(&failure.message, LOGGED_REASON),
                    left_out,
                    "call not judged"
                );
            }
            failure.into_response()
        }
    }
}

impl<J: Judge, C: Recorder<J::Record>> Admission<J, C> {
    async fn answer(
        self: &Arc<Self>,
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
        let peer = parts.extensions.get::<Peer>();
        let mut held = self.budget.hold(peer.is_some_and(Peer::is_proven), self.limits.max_body);
        let reading = body::read(body, self.limits.max_body, self.limits.body_stall, &mut held);
        let bytes = match timeout_at(until, reading).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => return Err(self.not_read(&error)),
            Err(_) => return Err(self.not_read(&BodyError::Slow)),
        };
        peer.inspect(|peer| peer.request_complete());
        let deadline = until - (until.duration_since(arrived) / 10).min(TO_ANSWER);
        let call = CallContext::new(resource, trace_context::trace_id(&parts.headers), deadline.into_std());
        let review = if bytes.len() <= LONG_BODY { Some(self.read(&call, &bytes)?) } else { None };
        self.wait_ready(&call, review.as_ref(), until).await?;
        let judged = match review {
            Some(review) if !review.has_more_to_judge_than(LONG_STATUS) => self.judge(&call, &review)?,
            _ => self.judge_on_thread(&call, bytes, held, until).await?,
        };
        let Judged { response, policy, by_policy, record } = judged;
        if by_policy {
            peer.inspect(|peer| peer.prove());
        }
        if let Some(record) = record {
            let deadline = until.min(Instant::now() + self.limits.record_wait);
            self.records.keep(record, deadline).await;
        }
        self.metrics.duration.get_or_create(&policy).observe(arrived.elapsed().as_secs_f64());
        Ok(response)
    }

    /// Reads the review of a call, which has to be of the resource that its path names.
    fn read<'b>(&self, call: &CallContext<'_>, bytes: &'b [u8]) -> Result<Review<'b>, FailedCall> {
        let review = Review::read(bytes).map_err(|malformed| self.malformed(malformed))?;
        let GroupResource { group, resource } = call.resource;
        if (&*review.resource.group, &*review.resource.name) != (group, resource) {
            self.metrics.malformed("target");
            return Err(FailedCall {
                uid: Some(review.uid.into_owned()),
                ..bad_request(format!(
                    "the path is for {} but the review is of {}; the webhook's rule and its path \
                     do not fit",
                    shown(&qualified(resource, group)),
                    shown(&qualified(&review.resource.name, &review.resource.group))
                ))
            });
        }
        Ok(review)
    }

    async fn wait_ready(
        &self,
        call: &CallContext<'_>,
        review: Option<&Review<'_>>,
        until: Instant,
    ) -> Result<(), FailedCall> {
        let deadline = until.min(Instant::now() + self.limits.policy_wait);
        let ready = caught(async { self.judge.wait_ready(call.resource).await });
        match timeout_at(deadline, ready).await {
            Ok(Err(Panicked)) => Err(self.panicked(call, review)),
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }

    /// Reads and judges on a thread of its own, so that other calls go on. The judgement is told when the call is given
    /// up.
    async fn judge_on_thread(
        self: &Arc<Self>,
        call: &CallContext<'_>,
        bytes: Bytes,
        held: BodyReservation,
        until: Instant,
    ) -> Result<Judged<J::Record>, FailedCall> {
        let Ok(permit) = timeout_at(until, self.long_judgements.begin(bytes.len())).await else {
            self.metrics.shed("judge");
            return Err(FailedCall::busy("the guard judges other large objects; ask again"));
        };
        let waiting = GiveUpOnDrop(Arc::default());
        let (admission, shared) = (Arc::clone(self), Arc::clone(&waiting.0));
        let (group, resource) = (call.resource.group.to_owned(), call.resource.resource.to_owned());
        let (trace_id, deadline) = (call.trace_id.map(str::to_owned), call.deadline);
        let memory = permit.memory;
        let task = spawn_blocking(move || {
            let _held_until_it_ends = (permit, held);
            let resource = GroupResource { group: &group, resource: &resource };
            let given_up = Some(&shared.given_up);
            let call = CallContext { memory, given_up, ..CallContext::new(resource, trace_id.as_deref(), deadline) };
            let review = admission.read(&call, &bytes)?;
            shared.uid.get_or_init(|| review.uid.clone().into_owned());
            admission.judge(&call, &review)
        });
        let judged = timeout_at(until, task).await;
        let failed = |message| Err(FailedCall::internal(message, waiting.0.uid.get().map(String::as_str)));
        match judged {
            Ok(judged) => judged.unwrap_or_else(|_| failed("the guard failed in judging this write")),
            Err(_) => {
                self.metrics.shed("judge");
                failed("the write was not judged within the call's time-out")
            }
        }
    }

    /// Judges, counts, and makes the reply.
    fn judge(&self, call: &CallContext<'_>, review: &Review<'_>) -> Result<Judged<J::Record>, FailedCall> {
        let answer = catch_unwind(AssertUnwindSafe(|| self.judge.judge(call, review)));
        let ReviewAnswer { decision, warnings, annotations, labels, findings, unknown_policy, record } =
            answer.map_err(|_| self.panicked(call, Some(review)))?;
        let by_policy = !unknown_policy && !matches!(decision, Decision::AllowUnjudged(_));
        let denial = match decision {
            Decision::Allow => None,
            Decision::Deny(denial) => Some(denial),
            Decision::Fail(unjudged) => return Err(self.failed(review, unjudged)),
            Decision::AllowUnjudged(unjudged) => {
                self.allowed_unjudged(call, review, &labels, &unjudged);
                None
            }
        };
        self.metrics.requests.get_or_create(&labels).inc();
        if unknown_policy {
            self.metrics.unknown_policy.inc();
        }
        for reason in findings {
            let policy = labels.policy.clone();
            self.metrics.findings.get_or_create(&FindingLabels { policy, reason }).inc();
        }
        let response = reply::judged(review, denial.as_ref(), warnings, annotations);
        Ok(Judged { response, policy: PolicyLabels { policy: labels.policy }, by_policy, record })
    }

    /// A call that fails because its write was not judged.
    fn failed(&self, review: &Review<'_>, unjudged: Unjudged) -> FailedCall {
        self.count_unjudged(&unjudged);
        match unjudged {
            Unjudged::Malformed { message, .. } => {
                FailedCall { uid: Some(review.uid.clone().into_owned()), ..bad_request(message) }
            }
            Unjudged::Unfinished { message, .. } => FailedCall::internal(message, Some(&review.uid)),
        }
    }

    /// Counts and logs a write that is admitted although it was not judged.
    fn allowed_unjudged(&self, call: &CallContext<'_>, review: &Review<'_>, labels: &Labels, unjudged: &Unjudged) {
        self.count_unjudged(unjudged);
        let (Unjudged::Malformed { cause, message } | Unjudged::Unfinished { cause, message }) = unjudged;
        if let Some(left_out) = self.not_judged.admit(cause, std::time::Instant::now()) {
            tracing::warn!(
                policy = &*labels.policy,
                outcome = &*labels.outcome,
                namespace = &*shown(&review.namespace),
                name = &*shown(&review.name),
                user = &*shown(&review.user),
                dry_run = review.dry_run,
                trace_id = call.trace_id,
                reason = &*cut(message, LOGGED_REASON),
                left_out,
                "write allowed without being judged"
            );
        }
    }

    fn count_unjudged(&self, unjudged: &Unjudged) {
        match unjudged {
            Unjudged::Malformed { cause, .. } => self.metrics.malformed(cause),
            Unjudged::Unfinished { cause, .. } => self.metrics.shed(cause),
        }
    }

    fn panicked(&self, call: &CallContext<'_>, review: Option<&Review<'_>>) -> FailedCall {
        self.metrics.panicked("judge");
        tracing::error!(
            name = review.map(|review| shown(&review.name)).as_deref(),
            namespace = review.map(|review| shown(&review.namespace)).as_deref(),
            resource = &*shown(call.resource.resource),
            trace_id = call.trace_id,
            "judge panicked"
        );
        FailedCall::internal("the guard failed in judging this write", review.map(|review| &*review.uid))
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
            BodyError::Slow => {
                self.metrics.shed("body");
                let message = "the body did not arrive in time";
                FailedCall::new(StatusCode::REQUEST_TIMEOUT, "Timeout", message)
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
