//! The two gRPC ports: thin handlers over the hub and the store, behind one chain of middleware each.

mod admission;
mod agents;
mod alerts;
mod api;
mod attach;
mod audit;
mod enroll;
mod failures;
mod fleet;
mod guard;
mod identify;
mod metrics;
mod nodes;
mod operators;
mod status;
mod throttle;
mod tokens;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use atrest_proto::v1::alert_service_server::AlertServiceServer;
use atrest_proto::v1::audit_service_server::AuditServiceServer;
use atrest_proto::v1::enrollment_service_server::EnrollmentServiceServer;
use atrest_proto::v1::fleet_service_server::FleetServiceServer;
use atrest_proto::v1::node_service_server::NodeServiceServer;
use atrest_proto::v1::operator_service_server::OperatorServiceServer;
use atrest_proto::v1::token_service_server::TokenServiceServer;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::server::HealthReporter;

use crate::authority::Authority;
use crate::clock::Clock;
use crate::directory::Directory;
use crate::drain::Drain;
use crate::hub::Hub;
use crate::journal::Journal;
use crate::metrics::{Counters, Deliveries};
use crate::notify::Notifier;
use crate::serve::OwnCertificates;
use crate::store::Store;
use crate::tls::Connection;
pub(crate) use throttle::{Rates, Throttles};

/// A peer that does not answer this is gone, however its connection looks.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// An agent has one stream, and a health check perhaps.
const AGENT_STREAMS: u32 = 8;
const OPERATOR_STREAMS: u32 = 64;
const MAX_HEADERS: u32 = 16 << 10;

/// What the handlers work with.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) hub: Arc<Hub>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) operators: Arc<Directory>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) authority: Arc<Authority>,
    pub(crate) clock: Clock,
    pub(crate) drain: Drain,
    pub(crate) counters: Arc<Counters>,
    pub(crate) deliveries: Arc<Deliveries>,
    pub(crate) own: OwnCertificates,
    /// Everyone who is told of alerts.
    pub(crate) notifiers: Arc<[Arc<dyn Notifier>]>,
    pub(crate) throttles: Arc<Throttles>,
    pub(crate) limits: Limits,
}

/// What the configuration says of the ports.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// `host:port`, for tokens.
    pub(crate) public_address: String,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) max_report: usize,
    pub(crate) agent_certificate_lifetime: Duration,
    pub(crate) token_lifetime: Duration,
    pub(crate) failures_per_minute: u32,
    /// For how long after its certificate ended a host may come back by itself; `None`: not at all.
    pub(crate) rejoin_within: Option<Duration>,
    /// Enrolments from one address, and in all.
    pub(crate) enrolments_per_second: (u64, u64),
    pub(crate) max_path_series: usize,
}

type Incoming = ReceiverStream<std::io::Result<Connection>>;

/// Serves the agents' port until it is drained.
pub(crate) async fn serve_agents(
    context: Context,
    incoming: Incoming,
    health: HealthReporter,
) -> Result<(), tonic::transport::Error> {
    let mut drain = context.drain.clone();
    health.set_serving::<EnrollmentServiceServer<enroll::Handler>>().await;
    health.set_serving::<agents::AgentServer>().await;
    let max_report = context.limits.max_report;
    server(AGENT_STREAMS)
        .add_service(tonic_health::pb::health_server::HealthServer::new(
            tonic_health::server::HealthService::from_health_reporter(health),
        ))
        .add_service(EnrollmentServiceServer::new(enroll::Handler::new(context.clone())))
        .add_service(agents::AgentServer::new(attach::Handler::new(context), max_report))
        .serve_with_incoming_shutdown(incoming, async move { drain.wait().await })
        .await
}

/// Serves the operators' port until it is drained.
pub(crate) async fn serve_operators(
    context: Context,
    incoming: Incoming,
    health: HealthReporter,
) -> Result<(), tonic::transport::Error> {
    let mut drain = context.drain.clone();
    health.set_serving::<FleetServiceServer<fleet::Handler>>().await;
    health.set_serving::<AlertServiceServer<alerts::Handler>>().await;
    health.set_serving::<AuditServiceServer<audit::Handler>>().await;
    health.set_serving::<NodeServiceServer<nodes::Handler>>().await;
    health.set_serving::<OperatorServiceServer<operators::Handler>>().await;
    health.set_serving::<TokenServiceServer<tokens::Handler>>().await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(atrest_proto::DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    server(OPERATOR_STREAMS)
        // What scrapes may not speak HTTP/2.
        .accept_http1(true)
        .layer(guard::Guard::new(
            Arc::clone(&context.operators),
            Arc::clone(&context.journal),
            context.clock.clone(),
        ))
        .add_routes(Routes::from(
            metrics::routes(context.clone()).merge(api::routes(context.clone())),
        ))
        .add_service(tonic_health::pb::health_server::HealthServer::new(
            tonic_health::server::HealthService::from_health_reporter(health),
        ))
        // The descriptors are compiled in: a test holds that both can be built.
        .add_optional_service(reflection().build_v1().ok())
        .add_optional_service(reflection().build_v1alpha().ok())
        .add_service(FleetServiceServer::new(fleet::Handler::new(context.clone())))
        .add_service(AlertServiceServer::new(alerts::Handler::new(context.clone())))
        .add_service(AuditServiceServer::new(audit::Handler::new(context.clone())))
        .add_service(NodeServiceServer::new(nodes::Handler::new(context.clone())))
        .add_service(OperatorServiceServer::new(operators::Handler::new(context.clone())))
        .add_service(TokenServiceServer::new(tokens::Handler::new(context)))
        .serve_with_incoming_shutdown(incoming, async move { drain.wait().await })
        .await
}

fn server(streams: u32) -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(Some(streams))
        .http2_max_header_list_size(Some(MAX_HEADERS))
}
