//! `FleetService`: what operators read.

use atrest_proto::v1;
use atrest_proto::v1::fleet_service_server::FleetService;
use prost::Message as _;
use tonic::{Request, Response, Status};

use super::{Context, status, wire};
use crate::hub::Hub;
use crate::store::{ExposureFilter, FindingFilter, HostFilter, HostRow, PageRequest, Store};

#[derive(Debug, Clone)]
pub(super) struct Handler {
    context: Context,
}

impl Handler {
    pub(super) const fn new(context: Context) -> Self {
        Self { context }
    }
}

/// A row as of now: the roster knows of heartbeats that the store will be told of later.
pub(super) fn node(hub: &Hub, mut row: HostRow) -> v1::Node {
    if let Some((last_seen_at, observed_at)) = hub.sighting(&row.host_id) {
        row.last_seen_at = row.last_seen_at.max(last_seen_at);
        row.observed_at = row.observed_at.max(observed_at);
    }
    let connected = hub.is_connected(&row.host_id);
    wire::node(row, connected)
}

/// The one host with this id or name. One that is enrolled goes before those that are revoked.
pub(super) async fn find_host(store: &dyn Store, node: &str) -> Result<HostRow, Status> {
    let filter = HostFilter { node: Some(node.to_owned()), ..HostFilter::default() };
    let found = store
        .host_list(filter, PageRequest::default())
        .await
        .map_err(|error| status::of_store(&error))?
        .items;
    let (enrolled, revoked): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|row| row.revocation.is_none());
    let found = if enrolled.is_empty() { revoked } else { enrolled };
    let ids: Vec<_> = found.iter().map(|row| row.host_id.as_str().to_owned()).collect();
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(row), None) => Ok(row),
        (None, _) => Err(Status::not_found(format!(
            "no host is called `{node}`: `atrestctl nodes` lists them"
        ))),
        (Some(_), Some(_)) => Err(Status::failed_precondition(format!(
            "several hosts are called `{node}`: say which by its id: {}",
            ids.join(", ")
        ))),
    }
}

#[tonic::async_trait]
impl FleetService for Handler {
    async fn get_fleet_status(
        &self,
        request: Request<v1::GetFleetStatusRequest>,
    ) -> Result<Response<v1::GetFleetStatusResponse>, Status> {
        let hub = &self.context.hub;
        let by = wire::group_by(&request.into_inner().group_by)?;
        let (counts, groups) = hub.counts_by(by.as_ref());
        let groups = groups
            .into_iter()
            .map(|(name, counts)| v1::FleetGroup { name, counts: Some(wire::counts(counts)) });
        let groups = groups.collect();
        let search_clusters = hub.search_clusters().into_iter().map(wire::search_cluster).collect();
        let status = v1::GetFleetStatusResponse { groups, search_clusters, ..wire::counts(counts) };
        Ok(Response::new(status))
    }

    async fn list_nodes(
        &self,
        request: Request<v1::ListNodesRequest>,
    ) -> Result<Response<v1::ListNodesResponse>, Status> {
        let request = request.into_inner();
        let state = wire::state_filter(request.state)?;
        let filter = HostFilter { state, node: None, labels: request.labels };
        let page = PageRequest::new(request.page_size, request.page_token);
        let page = self
            .context
            .store
            .host_list(filter, page)
            .await
            .map_err(|error| status::of_store(&error))?;
        Ok(Response::new(v1::ListNodesResponse {
            nodes: page.items.into_iter().map(|row| node(&self.context.hub, row)).collect(),
            next_page_token: page.next,
        }))
    }

    async fn get_node(
        &self,
        request: Request<v1::GetNodeRequest>,
    ) -> Result<Response<v1::GetNodeResponse>, Status> {
        let store = &self.context.store;
        let row = find_host(&**store, &request.into_inner().node).await?;
        let posture = store
            .host_posture(row.host_id.clone())
            .await
            .map_err(|error| status::of_store(&error))?
            .map(|posture| v1::Posture::decode(posture.as_slice()))
            .transpose()
            .map_err(|_| Status::data_loss("the posture that is kept cannot be read"))?;
        let node = Some(node(&self.context.hub, row));
        Ok(Response::new(v1::GetNodeResponse { node, posture }))
    }

    async fn list_findings(
        &self,
        request: Request<v1::ListFindingsRequest>,
    ) -> Result<Response<v1::ListFindingsResponse>, Status> {
        let request = request.into_inner();
        let filter = FindingFilter {
            outcome: wire::outcome_filter(request.outcome)?,
            check: (!request.check.is_empty()).then_some(request.check),
            node: (!request.node.is_empty()).then_some(request.node),
            untold: None,
        };
        let page = PageRequest::new(request.page_size, request.page_token);
        let page = self
            .context
            .store
            .finding_list(filter, page)
            .await
            .map_err(|error| status::of_store(&error))?;
        Ok(Response::new(v1::ListFindingsResponse {
            findings: page.items.into_iter().map(wire::finding).collect(),
            next_page_token: page.next,
        }))
    }

    async fn list_alerts(
        &self,
        request: Request<v1::ListAlertsRequest>,
    ) -> Result<Response<v1::ListAlertsResponse>, Status> {
        let request = request.into_inner();
        let state = wire::alert_filter(request.state)?;
        let page = PageRequest::new(request.page_size, request.page_token);
        let page = self
            .context
            .store
            .alert_list(state, page)
            .await
            .map_err(|error| status::of_store(&error))?;
        Ok(Response::new(v1::ListAlertsResponse {
            alerts: page.items.into_iter().map(wire::alert).collect(),
            next_page_token: page.next,
        }))
    }

    async fn list_history(
        &self,
        request: Request<v1::ListHistoryRequest>,
    ) -> Result<Response<v1::ListHistoryResponse>, Status> {
        let request = request.into_inner();
        let filter = ExposureFilter {
            node: (!request.node.is_empty()).then_some(request.node),
            check: (!request.check.is_empty()).then_some(request.check),
            since: request.since.map(|at| wire::timestamp(at, "since")).transpose()?,
        };
        let page = PageRequest::new(request.page_size, request.page_token);
        let page = self
            .context
            .store
            .history_list(filter, page)
            .await
            .map_err(|error| status::of_store(&error))?;
        Ok(Response::new(v1::ListHistoryResponse {
            exposures: page.items.into_iter().map(wire::exposure).collect(),
            next_page_token: page.next,
        }))
    }
}
