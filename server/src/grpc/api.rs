//! The JSON API of the operators' port: what the RPCs answer, for whatever speaks no gRPC. The guard has asked who reads.
//!
//! Every path stands for one RPC and is answered by its handler; the documents are those of `atrestctl --format json`.

use atrest_proto::convert::timestamp_to_wire;
use atrest_proto::model::Outcome;
use atrest_proto::v1;
use atrest_proto::v1::audit_service_server::AuditService as _;
use atrest_proto::v1::fleet_service_server::FleetService as _;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Serialize;
use tonic::{Code, Request, Status};

use super::{Context, audit, fleet};
use crate::access::api;
use crate::clock::Clock;
use crate::fleet::NodeState;
use crate::view::{
    Alert, Alerts, Audit, AuditEntry, Exposure, Findings, FleetFinding, History, Node, NodeAnswer,
    Nodes, Status as FleetStatus,
};

#[derive(Debug, Clone)]
struct Api {
    fleet: fleet::Handler,
    audit: audit::Handler,
    clock: Clock,
}

pub(super) fn routes(context: Context) -> Router {
    let api = Api {
        fleet: fleet::Handler::new(context.clone()),
        audit: audit::Handler::new(context.clone()),
        clock: context.clock,
    };
    Router::new()
        .route(api::STATUS, get(status))
        .route(api::NODES, get(nodes))
        .route(api::NODE, get(node))
        .route(api::FINDINGS, get(findings))
        .route(api::ALERTS, get(alerts))
        .route(api::HISTORY, get(history))
        .route(api::AUDIT, get(audit_log))
        .with_state(api)
}

/// A page of a list.
#[derive(Debug, Serialize)]
struct Page<T> {
    #[serde(flatten)]
    document: T,
    /// Empty on the last page.
    next_page_token: String,
}

/// Why there is no answer.
#[derive(Debug, Serialize)]
struct Trouble {
    schema: &'static str,
    /// As gRPC names it, in snake case.
    code: &'static str,
    message: String,
}

/// A refusal of an RPC in the words of HTTP.
#[derive(Debug)]
pub(super) struct Refused(Status);

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self(status)
    }
}

impl Refused {
    pub(super) const fn new(status: Status) -> Self {
        Self(status)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (http, code) = match self.0.code() {
            Code::InvalidArgument | Code::OutOfRange => {
                (StatusCode::BAD_REQUEST, "invalid_argument")
            }
            Code::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
            Code::PermissionDenied => (StatusCode::FORBIDDEN, "permission_denied"),
            Code::NotFound | Code::Unimplemented => (StatusCode::NOT_FOUND, "not_found"),
            Code::FailedPrecondition | Code::AlreadyExists | Code::Aborted => {
                (StatusCode::CONFLICT, "failed_precondition")
            }
            Code::ResourceExhausted => (StatusCode::TOO_MANY_REQUESTS, "resource_exhausted"),
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
            }
            Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
        };
        let message = self.0.message().to_owned();
        let mut response =
            answer(&Trouble { schema: "atrest.error/1", code, message }).into_response();
        *response.status_mut() = http;
        response
    }
}

/// What is true now need not be true when it is asked for again.
fn answer<T: Serialize>(document: &T) -> impl IntoResponse + use<T> {
    let no_store = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    ([no_store], Json(serde_json::to_value(document).unwrap_or_default()))
}

type Answer = Result<Response, Refused>;

/// The parameters of a request, each of which has to be asked for.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn of(uri: &Uri) -> Self {
        let mut url = reqwest::Url::parse("https://localhost/").ok();
        if let Some(url) = &mut url {
            url.set_query(uri.query());
        }
        let pairs = url.iter().flat_map(reqwest::Url::query_pairs);
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }

    fn text(&mut self, name: &str) -> String {
        self.take(name).unwrap_or_default()
    }

    /// The size and the token of the page that is asked for.
    fn page(&mut self) -> Result<(u32, String), Refused> {
        let size = match self.take("page_size") {
            None => 0,
            Some(text) => text.parse().map_err(|_| wrong("page_size", "a number"))?,
        };
        Ok((size, self.text("page_token")))
    }

    fn end(self) -> Result<(), Refused> {
        match self.0.first() {
            None => Ok(()),
            // What somebody meant is not left out without a word.
            Some((name, _)) => {
                let name: String = name.chars().filter(|c| !c.is_control()).take(50).collect();
                Err(Status::invalid_argument(format!(
                    "there is no parameter `{name}` here, or it is there twice"
                ))
                .into())
            }
        }
    }
}

fn wrong(name: &str, expected: &str) -> Refused {
    Status::invalid_argument(format!("parameter `{name}` is not {expected}")).into()
}

async fn status(State(api): State<Api>, uri: Uri) -> Answer {
    let mut asked = Parameters::of(&uri);
    let by = asked.take("by");
    asked.end()?;
    let request = v1::GetFleetStatusRequest { group_by: by.clone().unwrap_or_default() };
    let status = api.fleet.get_fleet_status(Request::new(request)).await?.into_inner();
    Ok(answer(&FleetStatus::new(status, by)).into_response())
}

async fn nodes(State(api): State<Api>, uri: Uri) -> Answer {
    let mut asked = Parameters::of(&uri);
    let (page_size, page_token) = asked.page()?;
    let state = match asked.take("state") {
        None => v1::NodeState::Unspecified.into(),
        Some(word) => {
            let state = word.parse::<NodeState>().map_err(|()| wrong("state", "a state"))?;
            super::wire::node_state(state).into()
        }
    };
    let mut labels = std::collections::BTreeMap::new();
    while let Some(label) = asked.take("label") {
        let (key, value) = label.split_once('=').ok_or_else(|| wrong("label", "KEY=VALUE"))?;
        labels.insert(key.to_owned(), value.to_owned());
    }
    asked.end()?;
    let request = v1::ListNodesRequest { state, page_size, page_token, labels };
    let page = api.fleet.list_nodes(Request::new(request)).await?.into_inner();
    let document = Nodes::new(page.nodes.into_iter().map(Node::from).collect());
    Ok(answer(&Page { document, next_page_token: page.next_page_token }).into_response())
}

async fn node(State(api): State<Api>, Path(node): Path<String>, uri: Uri) -> Answer {
    Parameters::of(&uri).end()?;
    let request = v1::GetNodeRequest { node };
    let found = api.fleet.get_node(Request::new(request)).await?.into_inner();
    let document = NodeAnswer::read(found)
        .map_err(|_| Status::data_loss("the posture that is kept cannot be read"))?;
    Ok(answer(&document).into_response())
}

async fn findings(State(api): State<Api>, uri: Uri) -> Answer {
    let mut asked = Parameters::of(&uri);
    let (page_size, page_token) = asked.page()?;
    let outcome = match asked.take("outcome") {
        None => v1::Outcome::Unspecified,
        Some(word) => word.parse::<Outcome>().map_err(|_| wrong("outcome", "an outcome"))?.into(),
    };
    let (check, node) = (asked.text("check"), asked.text("node"));
    asked.end()?;
    let outcome = outcome.into();
    let request = v1::ListFindingsRequest { outcome, check, node, page_size, page_token };
    let page = api.fleet.list_findings(Request::new(request)).await?.into_inner();
    let rows = page.findings.into_iter().map(FleetFinding::read).collect::<Result<Vec<_>, _>>();
    let rows = rows.map_err(|_| Status::data_loss("a finding that is kept cannot be read"))?;
    let document = Findings::new(rows.into_iter().flatten().collect());
    Ok(answer(&Page { document, next_page_token: page.next_page_token }).into_response())
}

async fn alerts(State(api): State<Api>, uri: Uri) -> Answer {
    let mut asked = Parameters::of(&uri);
    let (page_size, page_token) = asked.page()?;
    let state = match asked.take("state").as_deref() {
        None | Some("firing") => v1::AlertState::Firing,
        Some("resolved") => v1::AlertState::Resolved,
        Some(_) => return Err(wrong("state", "`firing` or `resolved`")),
    };
    asked.end()?;
    let request = v1::ListAlertsRequest { state: state.into(), page_size, page_token };
    let page = api.fleet.list_alerts(Request::new(request)).await?.into_inner();
    let document = Alerts::new(page.alerts.into_iter().map(Alert::from).collect());
    Ok(answer(&Page { document, next_page_token: page.next_page_token }).into_response())
}

async fn history(State(api): State<Api>, uri: Uri) -> Answer {
    let mut asked = Parameters::of(&uri);
    let (page_size, page_token) = asked.page()?;
    let since = match asked.take("since") {
        None => None,
        Some(text) => {
            let at: Timestamp =
                text.parse().map_err(|_| wrong("since", "a time such as 2026-01-31T12:00:00Z"))?;
            Some(timestamp_to_wire(at))
        }
    };
    let (check, node) = (asked.text("check"), asked.text("node"));
    asked.end()?;
    let request = v1::ListHistoryRequest { node, check, since, page_size, page_token };
    let page = api.fleet.list_history(Request::new(request)).await?.into_inner();
    let now = api.clock.now();
    let rows = page.exposures.into_iter().map(|row| Exposure::read(row, now)).collect();
    let document = History::new(rows);
    Ok(answer(&Page { document, next_page_token: page.next_page_token }).into_response())
}

async fn audit_log(State(api): State<Api>, uri: Uri) -> Answer {
    let mut asked = Parameters::of(&uri);
    let (page_size, page_token) = asked.page()?;
    asked.end()?;
    let request = v1::ListAuditRequest { page_size, page_token };
    let page = api.audit.list_audit(Request::new(request)).await?.into_inner();
    let more = !page.next_page_token.is_empty();
    let document = Audit::new(page.entries.into_iter().map(AuditEntry::from).collect(), more);
    Ok(answer(&Page { document, next_page_token: page.next_page_token }).into_response())
}
