//! A request body that no layer of a client can send twice, and that knows whether it was sent at all.
//!
//! kube's default client repeats every request that was answered with 429, 503 or 504. For a PUT
//! that hides the one thing this crate must know: after a 504 the first PUT may have landed, the
//! repeated one answers 409, and "somebody else was faster" is then wrong. The repetition copies
//! the request beforehand and passes over bodies that cannot be copied, which is any body that came
//! through a client. So bodies are led through one that hands back what it is given.
//!
//! A PUT whose body was never read did not arrive, whatever the client says about it: it waited for a
//! connection. Its [`SendGuard`] tells, and sees to it that it is not read later.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::{Frame, SizeHint};
use kube::client::{Body, Client};

const UNREAD: u8 = 0;
const READ: u8 = 1;
const REVOKED: u8 = 2;

/// Says whether the body that it belongs to was read.
#[derive(Debug, Clone, Default)]
pub(crate) struct SendGuard(Arc<AtomicU8>);

impl SendGuard {
    /// Whether the body was never read; from now on it cannot be.
    pub(crate) fn revoke(&self) -> bool {
        self.turn(REVOKED) == REVOKED
    }

    /// What became of the guard: the first to turn it decides.
    fn turn(&self, to: u8) -> u8 {
        match self.0.compare_exchange(UNREAD, to, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => to,
            Err(already) => already,
        }
    }
}

/// Makes bodies that cannot be copied.
#[derive(Clone)]
pub(crate) struct SingleUseBody(Client);

impl SingleUseBody {
    /// Needs a Tokio runtime, as every client does.
    pub(crate) fn new() -> Self {
        Self(Client::new(LoopbackService, String::new()))
    }

    /// `bytes` as a body that cannot be copied.
    pub(crate) async fn body(&self, bytes: bytes::Bytes, guard: &SendGuard) -> Result<Body, kube::Error> {
        let mut request = Request::new(Body::from(bytes));
        request.extensions_mut().insert(guard.clone());
        Ok(self.0.send(request).await?.into_body())
    }
}

struct LoopbackService;

impl tower_service::Service<Request<Body>> for LoopbackService {
    type Response = Response<GuardedBody>;
    type Error = Infallible;
    type Future = Ready<Result<Response<GuardedBody>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let guard = request.extensions_mut().remove().unwrap_or_default();
        ready(Ok(Response::new(GuardedBody { body: request.into_body(), guard })))
    }
}

/// A body that is read only under a guard that was not revoked.
struct GuardedBody {
    body: Body,
    guard: SendGuard,
}

/// The writer no longer waits for what was never sent.
#[derive(Debug, thiserror::Error)]
#[error("the request was given up before it was sent")]
struct Revoked;

impl http_body::Body for GuardedBody {
    type Data = bytes::Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, Self::Error>>> {
        if self.guard.turn(READ) == REVOKED {
            return Poll::Ready(Some(Err(Revoked.into())));
        }
        Pin::new(&mut self.body).poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: bytes::Bytes = bytes::Bytes::from_static(b"{\"status\":{}}");

    #[tokio::test]
    async fn a_body_is_whole_and_cannot_be_copied() {
        assert!(Body::from(BYTES).try_clone().is_some(), "kube copies plain bodies: the reason for all this");

        let body = SingleUseBody::new().body(BYTES, &SendGuard::default()).await.unwrap();
        assert!(body.try_clone().is_none());
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(BYTES.len() as u64), "sent with its length");
        assert_eq!(body.collect_bytes().await.unwrap(), BYTES);
    }

    #[tokio::test]
    async fn a_body_is_either_read_or_revoked() {
        let (once, read, revoked) = (SingleUseBody::new(), SendGuard::default(), SendGuard::default());
        let (first, second) = (once.body(BYTES, &read).await.unwrap(), once.body(BYTES, &revoked).await.unwrap());
        assert!(revoked.revoke());
        first.collect_bytes().await.unwrap();
        second.collect_bytes().await.unwrap_err();
        assert!(!read.revoke() && revoked.revoke());
    }
}
