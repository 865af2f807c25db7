//! `NodeService`: what operators do to hosts.

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

    async fn retire_asset(
        &self,
        request: Request<v1::RetireAssetRequest>,
    ) -> Result<Response<v1::RetireAssetResponse>, Status> {
        let caller = guard::caller(&request)?;
        let result = self.retire(&caller, request.into_inner()).await;
        caller.told(&self.context, result).await.map(Response::new)
    }
}

impl Handler {
    async fn retire(
        &self,
        caller: &Caller,
        request: v1::RetireAssetRequest,
    ) -> Result<v1::RetireAssetResponse, Status> {
        let v1::RetireAssetRequest { node, asset, reason } = request;
        check_reason(&reason)?;
        let Context { store, hub, clock, .. } = &self.context;
        let HostRow { host_id, hostname, .. } = fleet::find_host(&**store, &node).await?;
        let detail = match reason.as_str() {
            "" => format!("{hostname}: {asset:?}"),
            reason => format!("{hostname}: {asset:?}: {reason}"),
        };
        let entry = caller.entry(clock.now(), format!("host:{host_id}"), detail);
        let retired = hub
            .retire_asset(&host_id, asset.clone(), entry)
            .await
            .map_err(|error| status::of_store(&error))?;
        if retired == 0 {
            return Err(Status::failed_precondition(format!(
                "{hostname} has no finding of {asset:?} that is missing from its reports; what is reported is to be fixed"
            )));
        }
        info!(%host_id, asset = ?asset, operator = caller.name, reason, "retired an asset");
        Ok(v1::RetireAssetResponse { retired })
    }

    async fn revoke(
        &self,
        caller: &Caller,
        request: v1::RevokeNodeRequest,
    ) -> Result<v1::RevokeNodeResponse, Status> {
        let v1::RevokeNodeRequest { node, reason } = request;
        check_reason(&reason)?;
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

/// Whether it may be kept and shown.
fn check_reason(reason: &str) -> Result<(), Status> {
    if reason.len() > MAX_REASON || reason.chars().any(char::is_control) {
        return Err(Status::invalid_argument("the reason is too long or not plain text"));
    }
    Ok(())
}
