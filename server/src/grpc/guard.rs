//! The one check of the operators' port: whose token is it, and may its role call this RPC? Handlers learn who it was.

use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::response::IntoResponse as _;
use futures_util::future::{Either, Ready, ready};
use jiff::Timestamp;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response, StatusCode, header::AUTHORIZATION};
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::info;

use super::api::Refused;
use crate::access::{Access, METRICS, Operator, Role, api, of_path};
use crate::audit::{Denied, Entry, Outcome};
use crate::clock::Clock;
use crate::directory::Directory;
use crate::journal::Journal;
use crate::tls::Peer;

/// Lets a call through, or answers it.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    operators: Arc<Directory>,
    journal: Arc<Journal>,
    clock: Clock,
}

impl Guard {
    pub(super) const fn new(
        operators: Arc<Directory>,
        journal: Arc<Journal>,
        clock: Clock,
    ) -> Self {
        Self { operators, journal, clock }
    }

    fn deny(&self, operator: Option<(String, Role)>, rpc: &str, address: Option<IpAddr>) {
        let rpc = short(rpc).to_owned();
        self.journal.deny(Denied { operator, rpc, address });
    }

    /// Who calls; `None` where anyone may.
    fn judge<B>(&self, request: &Request<B>) -> Result<Option<Caller>, Status> {
        // By the name that it has here: what somebody makes up is kept nowhere.
        let (rpc, needed) = match of_path(request.uri().path()) {
            None => return Err(Status::unimplemented("there is no such RPC")),
            Some((_, Access::Open)) => return Ok(None),
            Some((rpc, Access::Role(role))) => (rpc, role),
        };
        let address = request.extensions().get::<Peer>().map(|peer| peer.address.ip());
        let token = request
            .headers()
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or_else(|| {
                self.deny(None, rpc, address);
                Status::unauthenticated("a token is needed: `authorization: Bearer <token>`")
            })?;
        let operator =
            self.operators.identify(token.trim(), self.clock.now()).map_err(|denied| {
                self.deny(None, rpc, address);
                Status::unauthenticated(denied.to_string())
            })?;
        if operator.role < needed {
            info!(operator = operator.name, role = %operator.role, rpc, "refused an operator");
            self.deny(Some((operator.name.clone(), operator.role)), rpc, address);
            return Err(Status::permission_denied(format!(
                "`{}` is {}; this needs {needed}",
                operator.name, operator.role
            )));
        }
        let address = address.map(|address| address.to_string()).unwrap_or_default();
        let Operator { name, role, .. } = operator;
        Ok(Some(Caller { name, role, rpc: short(rpc).to_owned(), address }))
    }
}

/// The operator behind a call that was let through.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) name: String,
    role: Role,
    rpc: String,
    address: String,
}

impl Caller {
    /// The entry of a change that is about to be made.
    pub(super) fn entry(&self, at: Timestamp, object: String, detail: String) -> Entry {
        let Self { name, role, rpc, address } = self.clone();
        let (operator, role, outcome) = (name, Some(role), Outcome::Done);
        Entry { at, operator, role, rpc, object, address, outcome, detail, count: 1 }
    }

    /// Notes a call that failed. What was asked for is left out: it may be a secret in the wrong place.
    pub(super) async fn told<T>(
        &self,
        context: &super::Context,
        result: Result<T, Status>,
    ) -> Result<T, Status> {
        if let Err(status) = &result {
            let detail = format!("{:?}", status.code());
            let entry = self.entry(context.clock.now(), String::new(), detail);
            context.journal.fail(Entry { outcome: Outcome::Failed, ..entry }).await;
        }
        result
    }
}

/// A refusal in the words of HTTP.
fn plain(status: &Status) -> Response<Body> {
    let mut response = Response::new(Body::new(format!("{}\n", status.message())));
    *response.status_mut() = if status.code() == Code::PermissionDenied {
        StatusCode::FORBIDDEN
    } else {
        StatusCode::UNAUTHORIZED
    };
    response
}

/// An RPC as people name it.
fn short(rpc: &str) -> &str {
    rpc.strip_prefix("/atrest.v1.").unwrap_or(rpc)
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
            // What scrapes reads no gRPC: a refusal must not look like an empty answer.
            Err(status) if request.uri().path() == METRICS => {
                Either::Right(ready(Ok(plain(&status))))
            }
            Err(status) if request.uri().path().starts_with(api::ROOT) => {
                let response = Refused::new(status).into_response();
                Either::Right(ready(Ok(response.map(Body::new))))
            }
            Err(status) => Either::Right(ready(Ok(status.into_http()))),
        }
    }
}
