//! A request body that no layer of a client can send twice.
//!
//! kube's default client repeats every request that was answered with 429, 503 or 504. For a PUT
//! that hides the one thing this crate must know: after a 504 the first PUT may have landed, the
//! repeated one answers 409, and "somebody else was faster" is then wrong. The repetition copies
//! the request beforehand and passes over bodies that cannot be copied, which is any body that came
//! through a client. So bodies are led through one that hands back what it is given.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use http::{Request, Response};
use kube::client::{Body, Client};

/// Makes bodies that cannot be copied.
#[derive(Clone)]
pub(crate) struct Once(Client);

impl Once {
    /// Needs a Tokio runtime, as every client does.
    pub(crate) fn new() -> Self {
        Self(Client::new(Echo, String::new()))
    }

    /// `bytes` as a body that cannot be copied.
    pub(crate) async fn body(&self, bytes: bytes::Bytes) -> Result<Body, kube::Error> {
        Ok(self.0.send(Request::new(Body::from(bytes))).await?.into_body())
    }
}

struct Echo;

impl tower_service::Service<Request<Body>> for Echo {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        ready(Ok(Response::new(request.into_body())))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[tokio::test]
    async fn a_body_is_whole_and_cannot_be_copied() {
        let bytes = bytes::Bytes::from_static(b"{\"status\":{}}");
        assert!(Body::from(bytes.clone()).try_clone().is_some(), "kube copies plain bodies: the reason for all this");

        let body = Once::new().body(bytes.clone()).await.unwrap();
        assert!(body.try_clone().is_none());
        assert_eq!(body.collect_bytes().await.unwrap(), bytes);
    }
}
