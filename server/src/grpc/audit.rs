//! `AuditService`: what operators did.

use atrest_proto::v1;
use atrest_proto::v1::audit_service_server::AuditService;
use tonic::{Request, Response, Status};

use super::{Context, status, wire};
use crate::store::PageRequest;

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
impl AuditService for Handler {
    async fn list_audit(
        &self,
        request: Request<v1::ListAuditRequest>,
    ) -> Result<Response<v1::ListAuditResponse>, Status> {
        let v1::ListAuditRequest { page_size, page_token } = request.into_inner();
        // What was denied until now is part of the answer.
        self.context.journal.flush().await;
        let page = self
            .context
            .store
            .audit_list(PageRequest::new(page_size, page_token))
            .await
            .map_err(|error| status::of_store(&error))?;
        Ok(Response::new(v1::ListAuditResponse {
            entries: page.items.into_iter().map(wire::audit_entry).collect(),
            next_page_token: page.next,
        }))
    }
}
