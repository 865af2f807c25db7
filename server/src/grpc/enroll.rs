//! `EnrollmentService`: a token and a key become a host and a certificate.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use atrest_proto::model;
use atrest_proto::v1;
use atrest_proto::v1::enrollment_service_server::EnrollmentService;
use tonic::{Request, Response, Status};
use tracing::{debug, error, info, warn};

use super::admission::{Admission, Limit};
use super::failures::Failures;
use super::{Context, status, wire};
use crate::authority::Csr;
use crate::enrollment::{Application, Refusal, hash_secret};
use crate::fleet::HostId;
use crate::logging::chain;
use crate::tls::Peer;

/// Longer than any secret that was made here.
const MAX_SECRET: usize = 256;

#[derive(Debug, Clone)]
pub(super) struct Handler {
    context: Context,
    failures: Arc<Mutex<Failures>>,
    admission: Arc<Mutex<Admission>>,
}

impl Handler {
    pub(super) fn new(context: Context) -> Self {
        let failures = Failures::new(context.limits.failures_per_minute);
        let (per_address, in_all) = context.limits.enrolments_per_second;
        let admission = Arc::new(Mutex::new(Admission::new(per_address, in_all)));
        Self { context, failures: Arc::new(Mutex::new(failures)), admission }
    }

    fn turn_away(&self, address: IpAddr) -> Result<(), Status> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.context.clock.now();
        match failures.blocked_until(address, now) {
            None => Ok(()),
            Some(until) => Err(status::turned_away(until, now)),
        }
    }

    /// Before anything is read or hashed: a storm costs as little as can be.
    fn pace(&self, address: IpAddr) -> Result<(), Status> {
        let mut admission = self.admission.lock().unwrap_or_else(PoisonError::into_inner);
        admission.admit(address, self.context.clock.now()).map_err(|(limit, wait)| {
            self.context.counters.put_off(limit == Limit::Address);
            debug!(peer = %address, ?limit, ?wait, "an enrolment has to wait");
            status::put_off(wait)
        })
    }

    fn note_failure(&self, address: IpAddr) {
        let now = self.context.clock.now();
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).note(address, now);
    }

    fn refuse(&self, refusal: &Refusal, address: IpAddr, host: &str) -> Status {
        // A known machine showed a good token: that is a mistake, not an attempt.
        if !matches!(refusal, Refusal::MachineKnown { .. } | Refusal::HostRevoked { .. }) {
            self.note_failure(address);
        }
        warn!(peer = %address, hostname = host, refusal = %refusal, "refused an enrolment");
        status::of_refusal(refusal)
    }
}

#[tonic::async_trait]
impl EnrollmentService for Handler {
    async fn enroll(
        &self,
        request: Request<v1::EnrollRequest>,
    ) -> Result<Response<v1::EnrollResponse>, Status> {
        let address = request
            .extensions()
            .get::<Peer>()
            .map(|peer| peer.address.ip())
            .ok_or_else(|| Status::internal("the connection has no address"))?;
        self.turn_away(address)?;
        self.pace(address)?;
        let v1::EnrollRequest { secret, csr, host } = request.into_inner();
        let csr = Csr::parse(&csr).map_err(|error| status::of_csr(&error))?;
        let host: model::Host =
            host.ok_or_else(|| Status::invalid_argument("field `host` is missing"))?.into();
        wire::check_host(&host)?;
        if secret.len() > MAX_SECRET {
            return Err(self.refuse(&Refusal::UnknownToken, address, &host.hostname));
        }

        let Context { hub, store, authority, clock, limits, .. } = &self.context;
        let now = clock.now();
        let application = Application {
            secret_hash: hash_secret(&secret),
            host: host.clone(),
            key_pin: csr.key_pin(),
            host_id: HostId::random(),
            at: now,
        };
        let admitted = store
            .host_enroll(application)
            .await
            .map_err(|error| status::of_store(&error))?
            .map_err(|refusal| self.refuse(&refusal, address, &host.hostname))?;
        let host_id = admitted.host.host_id.clone();
        info!(
            host_id = %host_id,
            hostname = host.hostname,
            cluster = admitted.cluster,
            peer = %address,
            "enrolled a host"
        );
        hub.admit(admitted);
        hub.settle(&host_id).await.map_err(|error| status::of_store(&error))?;
        let certificate = authority
            .sign_agent(&csr, &host_id, limits.agent_certificate_lifetime, now)
            .map_err(|failed| {
                error!(error = chain(&failed), "could not sign a certificate");
                status::of_authority(&failed)
            })?;
        self.context.counters.certificate();
        Ok(Response::new(v1::EnrollResponse {
            host_id: host_id.as_str().to_owned(),
            certificate_chain: certificate.chain,
            authorities: wire::authorities(authority),
        }))
    }
}
