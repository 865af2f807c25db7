//! `TokenService`: enrolment tokens, made, listed and revoked.

use std::time::Duration;

use atrest_proto::token::EnrollmentToken;
use atrest_proto::v1;
use atrest_proto::v1::token_service_server::TokenService;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tonic::{Request, Response, Status};
use tracing::info;

use super::guard::Caller;
use super::{Context, fleet, guard, status, wire};
use crate::clock;
use crate::enrollment::{Token, hash_secret};
use crate::labels;

/// The most machines that one token may let in.
const MAX_USES: u32 = 100_000;
const MAX_LIFETIME: Duration = Duration::from_hours(366 * 24);
const MAX_CLUSTER: usize = 128;

#[derive(Debug, Clone)]
pub(super) struct Handler {
    context: Context,
}

impl Handler {
    pub(super) const fn new(context: Context) -> Self {
        Self { context }
    }

    async fn prepare(&self, request: v1::CreateTokenRequest) -> Result<Token, Status> {
        let Context { store, clock, limits, .. } = &self.context;
        let lifetime = match request.ttl_seconds {
            0 => limits.token_lifetime,
            seconds => Duration::from_secs(seconds),
        };
        if lifetime > MAX_LIFETIME {
            return Err(Status::invalid_argument("a token lives for a year at most"));
        }
        if request.uses > MAX_USES {
            let why = format!("a token has {MAX_USES} uses at most");
            return Err(Status::invalid_argument(why));
        }
        if request.cluster.len() > MAX_CLUSTER || request.cluster.chars().any(char::is_control) {
            return Err(Status::invalid_argument(
                "the cluster's name is too long or not plain text",
            ));
        }
        let (mut cluster, mut labels) = (request.cluster, request.labels);
        labels::check(&labels).map_err(|wrong| Status::invalid_argument(wrong.to_string()))?;
        let mut replaces = None;
        if !request.replaces.is_empty() {
            if request.uses > 1 {
                let why = "a token that replaces a host has one use";
                return Err(Status::invalid_argument(why));
            }
            let row = fleet::find_host(&**store, &request.replaces).await?;
            if cluster.is_empty() {
                cluster = row.cluster;
            }
            if labels.is_empty() {
                labels = row.labels;
            }
            replaces = Some(row.host_id);
        }
        if cluster.is_empty() {
            "default".clone_into(&mut cluster);
        }
        let now = clock.now();
        Ok(Token {
            token_id: uuid::Uuid::new_v4().simple().to_string().chars().take(12).collect(),
            cluster,
            uses_left: request.uses.max(1),
            created_at: now,
            expires_at: clock::after(now, lifetime),
            revoked_at: None,
            replaces,
            labels,
        })
    }
}

#[tonic::async_trait]
impl TokenService for Handler {
    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreateTokenResponse>, Status> {
        let caller = guard::caller(&request)?;
        let result = self.create(&caller, request.into_inner()).await;
        caller.told(&self.context, result).await.map(Response::new)
    }

    async fn list_tokens(
        &self,
        _: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        let tokens =
            self.context.store.token_list().await.map_err(|error| status::of_store(&error))?;
        let tokens = tokens.into_iter().map(wire::token).collect();
        Ok(Response::new(v1::ListTokensResponse { tokens }))
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        let caller = guard::caller(&request)?;
        let result = self.revoke(&caller, request.into_inner().token_id).await;
        caller.told(&self.context, result).await.map(Response::new)
    }
}

impl Handler {
    async fn create(
        &self,
        caller: &Caller,
        request: v1::CreateTokenRequest,
    ) -> Result<v1::CreateTokenResponse, Status> {
        let token = self.prepare(request).await?;
        let mut detail = format!("cluster {}, uses {}", token.cluster, token.uses_left);
        for (key, value) in &token.labels {
            detail = format!("{detail}, {key}={value}");
        }
        if let Some(host) = &token.replaces {
            detail = format!("{detail}, replaces {host}");
        }
        let entry = caller.entry(token.created_at, format!("token:{}", token.token_id), detail);
        let secret = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let Context { store, authority, limits, .. } = &self.context;
        store
            .token_create(token.clone(), hash_secret(&secret), entry)
            .await
            .map_err(|error| status::of_store(&error))?;
        info!(
            token_id = token.token_id,
            cluster = token.cluster,
            uses = token.uses_left,
            expires_at = %token.expires_at,
            "made an enrolment token"
        );
        let pasteable = EnrollmentToken {
            address: limits.public_address.clone(),
            authority_pin: authority.pin_hex(),
            secret,
        };
        Ok(v1::CreateTokenResponse {
            token: Some(wire::token(token)),
            pasteable: pasteable.encode(),
        })
    }

    async fn revoke(
        &self,
        caller: &Caller,
        token_id: String,
    ) -> Result<v1::RevokeTokenResponse, Status> {
        let Context { store, clock, .. } = &self.context;
        let now = clock.now();
        let entry = caller.entry(now, format!("token:{token_id}"), String::new());
        let found = store
            .token_revoke(token_id.clone(), now, entry)
            .await
            .map_err(|error| status::of_store(&error))?;
        if !found {
            return Err(Status::not_found(format!(
                "there is no token `{token_id}`: `atrestctl token list` lists them"
            )));
        }
        info!(token_id, "revoked an enrolment token");
        Ok(v1::RevokeTokenResponse {})
    }
}
