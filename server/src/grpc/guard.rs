//! The one check of the operators' port: whose token is it, and may its role call this RPC? Handlers learn who it was.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{Either, Ready, ready};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response, header::AUTHORIZATION};
use tower::{Layer, Service};
use tracing::info;

use crate::access::{Access, of_rpc};
use crate::clock::Clock;
use crate::directory::Directory;

/// Lets a call through, or answers it.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    operators: Arc<Directory>,
    clock: Clock,
}

impl Guard {
    pub(super) const fn new(operators: Arc<Directory>, clock: Clock) -> Self {
        Self { operators, clock }
    }

    /// Who calls; `None` where anyone may.
    fn judge<B>(&self, request: &Request<B>) -> Result<Option<Caller>, Status> {
        let rpc = request.uri().path();
        let needed = match of_rpc(rpc) {
            None => return Err(Status::unimplemented("there is no such RPC")),
            Some(Access::Open) => return Ok(None),
            Some(Access::Role(role)) => role,
        };
        let token = request
            .headers()
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or_else(|| {
                Status::unauthenticated("a token is needed: `authorization: Bearer <token>`")
            })?;
        let operator = self
            .operators
            .identify(token.trim(), self.clock.now())
            .map_err(|denied| Status::unauthenticated(denied.to_string()))?;
        if operator.role < needed {
            info!(operator = operator.name, role = %operator.role, rpc, "refused an operator");
            return Err(Status::permission_denied(format!(
                "`{}` is {}; this needs {needed}",
                operator.name, operator.role
            )));
        }
        Ok(Some(Caller { name: operator.name }))
    }
}

/// The operator behind a call that was let through.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) name: String,
}

/// Who calls.
pub(super) fn caller<T>(request: &tonic::Request<T>) -> Result<Caller, Status> {
    let caller = request.extensions().get::<Caller>().cloned();
    // The guard stands before every handler that asks.
    caller.ok_or_else(|| Status::internal("nobody knows who calls"))
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { guard: self.clone(), inner }
    }
}

/// A service behind the guard.
#[derive(Debug, Clone)]
pub(super) struct Guarded<S> {
    guard: Guard,
    inner: S,
}

impl<S, B> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.guard.judge(&request) {
            Ok(caller) => {
                if let Some(caller) = caller {
                    request.extensions_mut().insert(caller);
                }
                Either::Left(self.inner.call(request))
            }
            Err(status) => Either::Right(ready(Ok(status.into_http()))),
        }
    }
}
