//! `OperatorService`: who else may call this port, made, listed and revoked.

use std::time::Duration;

use atrest_proto::v1;
use atrest_proto::v1::operator_service_server::OperatorService;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tonic::{Request, Response, Status};
use tracing::info;

use super::guard::Caller;
use super::{Context, guard, status, wire};
use crate::access::{Account, Role};
use crate::clock;
use crate::directory::Creation;
use crate::enrollment::hash_secret;

const DAY: Duration = Duration::from_hours(24);
const DEFAULT_LIFETIME: Duration = DAY.saturating_mul(90);
const MAX_LIFETIME: Duration = DAY.saturating_mul(366);
const MAX_NAME: usize = 64;
/// Tells an operator's token from other secrets, to people and to scanners for leaked ones.
const TOKEN_PREFIX: &str = "atrestop1.";

#[derive(Debug, Clone)]
pub(super) struct Handler {
    context: Context,
}

impl Handler {
    pub(super) const fn new(context: Context) -> Self {
        Self { context }
    }

    fn prepare(
        &self,
        request: v1::CreateOperatorRequest,
        created_by: String,
        token: &str,
    ) -> Result<Account, Status> {
        let v1::CreateOperatorRequest { name, role, ttl_seconds } = request;
        let plain = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(plain) {
            return Err(Status::invalid_argument(format!(
                "a name has 1 to {MAX_NAME} letters, digits, `.`, `_`, `@` or `-`"
            )));
        }
        let role = wire::role(role)?;
        let lifetime = match ttl_seconds {
            None => Some(DEFAULT_LIFETIME),
            Some(0) if role == Role::Admin => None,
            Some(0) => return Err(Status::invalid_argument("only an admin may last for ever")),
            Some(seconds) => Some(Duration::from_secs(seconds)),
        };
        if lifetime.is_some_and(|lifetime| lifetime > MAX_LIFETIME) {
            return Err(Status::invalid_argument("an operator's token lives for a year at most"));
        }
        let now = self.context.clock.now();
        Ok(Account {
            operator_id: uuid::Uuid::new_v4().simple().to_string().chars().take(12).collect(),
            name,
            role,
            token_hash: hash_secret(token),
            created_at: now,
            created_by,
            expires_at: lifetime.map(|lifetime| clock::after(now, lifetime)),
            revoked_at: None,
        })
    }
}

#[tonic::async_trait]
impl OperatorService for Handler {
    async fn create_operator(
        &self,
        request: Request<v1::CreateOperatorRequest>,
    ) -> Result<Response<v1::CreateOperatorResponse>, Status> {
        let caller = guard::caller(&request)?;
        let result = self.create(&caller, request.into_inner()).await;
        caller.told(&self.context, result).await.map(Response::new)
    }

    async fn list_operators(
        &self,
        _: Request<v1::ListOperatorsRequest>,
    ) -> Result<Response<v1::ListOperatorsResponse>, Status> {
        let directory = &self.context.operators;
        let accounts = directory.list().await.map_err(|error| status::of_store(&error))?;
        let configured = directory.configured().iter().map(wire::configured_operator);
        let operators = configured.chain(accounts.into_iter().map(wire::operator)).collect();
        Ok(Response::new(v1::ListOperatorsResponse { operators }))
    }

    async fn revoke_operator(
        &self,
        request: Request<v1::RevokeOperatorRequest>,
    ) -> Result<Response<v1::RevokeOperatorResponse>, Status> {
        let caller = guard::caller(&request)?;
        let result = self.revoke(&caller, request.into_inner().operator).await;
        caller.told(&self.context, result).await.map(Response::new)
    }
}

impl Handler {
    async fn create(
        &self,
        caller: &Caller,
        request: v1::CreateOperatorRequest,
    ) -> Result<v1::CreateOperatorResponse, Status> {
        let token = format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()));
        let account = self.prepare(request, caller.name.clone(), &token)?;
        let entry = caller.entry(
            account.created_at,
            format!("operator:{}", account.name),
            format!("role {}, id {}", account.role, account.operator_id),
        );
        let created = self
            .context
            .operators
            .create(account.clone(), entry)
            .await
            .map_err(|error| status::of_store(&error))?;
        match created {
            Creation::Made => {}
            Creation::NameTaken => {
                return Err(Status::already_exists(format!(
                    "there is an operator `{0}`: `atrestctl operators revoke {0}` frees the name",
                    account.name
                )));
            }
            Creation::TooMany => {
                return Err(Status::resource_exhausted(
                    "there are too many operators: revoke those that are not used any more",
                ));
            }
        }
        info!(
            operator = caller.name,
            name = account.name,
            role = %account.role,
            "made an operator"
        );
        Ok(v1::CreateOperatorResponse { operator: Some(wire::operator(account)), token })
    }

    async fn revoke(
        &self,
        caller: &Caller,
        name: String,
    ) -> Result<v1::RevokeOperatorResponse, Status> {
        let Context { operators, clock, .. } = &self.context;
        if operators.is_configured(&name) {
            return Err(Status::failed_precondition(format!(
                "`{name}` is not made here: take it out of the server's configuration, or, for the admin, \
                 remove `admin.token.sha256` from the state directory, and restart the server"
            )));
        }
        let now = clock.now();
        let entry = caller.entry(now, format!("operator:{name}"), String::new());
        let revoked = operators
            .revoke(name.clone(), now, entry)
            .await
            .map_err(|error| status::of_store(&error))?;
        let account = revoked.ok_or_else(|| {
            Status::not_found(format!(
                "there is no operator `{name}`: `atrestctl operators list` lists them"
            ))
        })?;
        info!(operator = caller.name, name = account.name, "revoked an operator");
        let operator = Some(wire::operator(account));
        Ok(v1::RevokeOperatorResponse { operator })
    }
}
