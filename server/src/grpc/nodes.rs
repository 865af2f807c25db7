//! `NodeService`: what admins do to hosts.

use atrest_proto::v1;
use atrest_proto::v1::node_service_server::NodeService;
use tonic::{Request, Response, Status};
use tracing::info;

use super::guard::Caller;
use super::{Context, fleet, guard, status};
use crate::store::{HostRow, Revocation};

/// The longest reason, in bytes: a sentence or two.
const MAX_REASON: usize = 500;

#[derive(Debug, Clone)]
pub(super) struct Handler {
    context: Context,
}

impl Handler {
    pub(super) const fn new(context: Context) -> Self {
        Self { context }
    }
}

#[tonic::async_trait]
impl NodeService for Handler {
    async fn revoke_node(
        &self,
        request: Request<v1::RevokeNodeRequest>,
    ) -> Result<Response<v1::RevokeNodeResponse>, Status> {
        let caller = guard::caller(&request)?;
        let result = self.revoke(&caller, request.into_inner()).await;
        caller.told(&self.context, result).await.map(Response::new)
    }
}

impl Handler {
    async fn revoke(
        &self,
        caller: &Caller,
        request: v1::RevokeNodeRequest,
    ) -> Result<v1::RevokeNodeResponse, Status> {
        let v1::RevokeNodeRequest { node, reason } = request;
        if reason.len() > MAX_REASON || reason.chars().any(char::is_control) {
            return Err(Status::invalid_argument("the reason is too long or not plain text"));
        }
        let Context { store, hub, clock, .. } = &self.context;
        let HostRow { host_id, hostname, .. } = fleet::find_host(&**store, &node).await?;
        let at = clock.now();
        let revocation = Revocation { at, by: caller.name.clone(), reason: reason.clone() };
        let detail = if reason.is_empty() { hostname } else { format!("{hostname}: {reason}") };
        let entry = caller.entry(at, format!("host:{host_id}"), detail);
        let revoked = hub
            .revoke(&host_id, revocation, entry)
            .await
            .map_err(|error| status::of_store(&error))?;
        if revoked {
            info!(host_id = %host_id, operator = caller.name, reason, "revoked a host");
        }
        let row = fleet::find_host(&**store, host_id.as_str()).await?;
        let node = Some(fleet::node(hub, row));
        Ok(v1::RevokeNodeResponse { node })
    }
}
