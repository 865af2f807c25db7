//! `AgentService`: one stream per agent. Decode, hand to the hub, acknowledge when it is durable; nothing else.

use std::error::Error as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use atrest_proto::v1;
use atrest_proto::v1::agent_service_server::AgentService;
use atrest_proto::v1::attach_request::Message as Request;
use atrest_proto::v1::attach_response::Message as Answer;
use jiff::Timestamp;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::sync::oneshot::error::RecvError;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Response, Status, Streaming};
use tracing::{debug, error, info, warn};

use super::throttle::{Budget, Pace};
use super::{Context, identify, status, wire};
use crate::authority::{Csr, Identity};
use crate::fleet::Digest;
use crate::fleet::certificate::Validity;
use crate::fleet::roster::Presence;
use crate::hub::{End, Session};
use crate::logging::chain;
use crate::tls::Peer;

/// How long an agent may take to say hello.
const HELLO: Duration = Duration::from_secs(30);
/// Answers that wait for a slow reader; beyond that its stream waits.
const ANSWERS: usize = 4;
/// A host that said too much for too long is asked to stay away for so long.
const SENT_AWAY: Duration = Duration::from_mins(1);

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
impl AgentService for Handler {
    type AttachStream = ReceiverStream<Result<v1::AttachResponse, Status>>;

    async fn attach(
        &self,
        request: tonic::Request<Streaming<v1::AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let (identity, valid_until) = identify::agent(&request, &self.context)?;
        if identity.not_after < valid_until {
            let (host_id, not_after) = (&identity.host_id, identity.not_after);
            info!(host_id = %host_id, %not_after, "a host that was away comes back to renew its certificate");
        }
        let peer = request.extensions().get::<Peer>();
        let address = peer.map(|peer| peer.address.ip().to_string()).unwrap_or_default();
        let (answers, stream) = mpsc::channel(ANSWERS);
        let conversation = Conversation {
            context: self.context.clone(),
            valid_until,
            budget: self.context.throttles.of(&identity.host_id),
            identity,
            hostname: String::new(),
            address,
            answers,
        };
        tokio::spawn(conversation.run(request.into_inner()));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// The server's side of one stream.
struct Conversation {
    context: Context,
    identity: Identity,
    /// Where the agent connects from.
    address: String,
    /// Moves on when the certificate is renewed.
    valid_until: Timestamp,
    /// As the hello said.
    hostname: String,
    /// Of the host, on all of its streams.
    budget: Arc<Mutex<Budget>>,
    answers: mpsc::Sender<Result<v1::AttachResponse, Status>>,
}

/// Why a conversation ends.
enum Over {
    /// There is nobody left to answer.
    HungUp,
    Refused(Status),
}

impl From<Status> for Over {
    fn from(status: Status) -> Self {
        Self::Refused(status)
    }
}

impl Conversation {
    async fn run(mut self, mut requests: Streaming<v1::AttachRequest>) {
        let host_id = self.identity.host_id.clone();
        match self.converse(&mut requests).await {
            Over::HungUp => debug!(host_id = %host_id, "an agent has hung up"),
            Over::Refused(status) => {
                info!(host_id = %host_id, code = ?status.code(), why = status.message(), "ended a stream");
                // It may have hung up as well.
                drop(self.answers.send(Err(status)).await);
            }
        }
    }

    async fn converse(&mut self, requests: &mut Streaming<v1::AttachRequest>) -> Over {
        match self.greet(requests).await {
            Ok(mut session) => loop {
                if let Err(over) = self.next(requests, &mut session).await {
                    break over;
                }
            },
            Err(over) => over,
        }
    }

    async fn greet(
        &mut self,
        requests: &mut Streaming<v1::AttachRequest>,
    ) -> Result<Session, Over> {
        let mut drain = self.context.drain.clone();
        let first = tokio::select! {
            first = tokio::time::timeout(HELLO, requests.message()) => first,
            () = drain.wait() => return Err(status::draining().into()),
        };
        let first = heard(first.map_err(|_| Status::deadline_exceeded("no hello came"))?)?;
        let Some(Request::Hello(hello)) = first.message else {
            return Err(Status::invalid_argument("the first message must be a hello").into());
        };
        let host_id = &self.identity.host_id;
        // Before it is asked who speaks: what holds a certificate that is worth nothing claims nothing.
        self.admitted()?;
        self.budget().open(self.context.clock.now()).map_err(|wait| self.too_much(wait))?;
        let machine = wire::machine(hello.host.as_ref(), self.address.clone())?;
        let session = self
            .context
            .hub
            .attach(host_id.clone(), machine)
            .await
            .map_err(|error| status::of_store(&error))?
            .map_err(|why| status::not_now(why, host_id))?;
        // Its place may have been taken between the handshake and now, or its enrolment ended.
        self.admitted()?;
        let validity = Validity { from: self.identity.not_before, until: self.valid_until };
        session.certify(validity).await.map_err(|error| status::of_store(&error))?;
        // A hello is no sign of life: an agent whose reports are refused comes again and again.
        let hub = &self.context.hub;
        let presence = hub.greet(host_id).await.map_err(|error| status::of_store(&error))?;
        let host = hello.host.unwrap_or_default();
        let version = host.agent_version;
        self.hostname = wire::short(&host.hostname);
        info!(host_id = %host_id, agent_version = version, "an agent attached");
        self.answer(Answer::Welcome(v1::Welcome {
            server_time: Some(wire::time(self.context.clock.now())),
            heartbeat_interval: Some(wire::duration(self.context.limits.heartbeat_interval)),
            last_sequence: presence.sequence,
        }))
        .await?;
        // An agent that believes in a posture that is not held here, as after a restored backup.
        if !hello.digest.is_empty()
            && presence.digest.as_ref().map(Digest::as_slice) != Some(&hello.digest)
        {
            self.resync().await?;
        }
        Ok(session)
    }

    async fn next(
        &mut self,
        requests: &mut Streaming<v1::AttachRequest>,
        session: &mut Session,
    ) -> Result<(), Over> {
        let mut drain = self.context.drain.clone();
        let request = tokio::select! {
            request = requests.message() => heard(request)?,
            Ok(()) = session.duties.changed() => return self.assign().await,
            Ok(()) = session.vouches.changed() => return self.vouch().await,
            end = &mut session.ended => return Err(self.ended(end).into()),
            () = drain.wait() => return Err(status::draining().into()),
            () = self.context.clock.sleep_until(self.valid_until) => {
                let within = self.context.limits.rejoin_within;
                return Err(identify::expired(&self.identity, within).into());
            }
        };
        self.pace(&request, session).await?;
        // What was taken is finished, whatever happens meanwhile: an acknowledgement is never lost on purpose.
        match request.message {
            Some(Request::Report(report)) => self.report(report, session).await,
            Some(Request::Heartbeat(heartbeat)) => self.heartbeat(heartbeat).await,
            Some(Request::Renew(renew)) => self.renew(&renew, session).await,
            Some(Request::Shares(shares)) => {
                session.share(&self.hostname, wire::shares(shares)?);
                Ok(())
            }
            Some(Request::Exports(exports)) => {
                session.lend(&self.hostname, wire::exports(exports)?);
                Ok(())
            }
            Some(Request::RemoteDirectories(directories)) => {
                session.borrow(wire::remote_directories(directories)?);
                Ok(())
            }
            Some(Request::Membership(membership)) => {
                let said = wire::membership(membership)?;
                let noted = session.belong(&self.hostname, said).await;
                noted.map_err(|error| status::of_store(&error).into())
            }
            Some(Request::Hello(_)) => {
                Err(Status::invalid_argument("a hello was said already").into())
            }
            // A newer agent asks for something that this version does not know.
            None => Ok(()),
        }
    }

    /// Takes the message at the rate that its host has. Nothing else is read meanwhile, so that its sender is slowed down,
    /// and one that goes on for long is sent away.
    async fn pace(&self, request: &v1::AttachRequest, session: &mut Session) -> Result<(), Over> {
        let Context { clock, counters, drain, .. } = &self.context;
        let size = u64::try_from(request.encoded_len()).unwrap_or(u64::MAX);
        let pace = self.budget().spend(size, clock.now());
        let wait = match pace {
            Pace::Now => return Ok(()),
            Pace::After(wait) => wait,
            Pace::Never => return Err(self.too_much(SENT_AWAY).into()),
        };
        counters.slowed();
        let mut drain = drain.clone();
        tokio::select! {
            () = clock.sleep(wait) => Ok(()),
            end = &mut session.ended => Err(self.ended(end).into()),
            () = drain.wait() => Err(status::draining().into()),
        }
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn too_much(&self, wait: Duration) -> Status {
        let host_id = &self.identity.host_id;
        warn!(host_id = %host_id, peer = self.address, ?wait, "a host says more than it may");
        self.context.counters.cut_off();
        status::too_much(host_id, wait)
    }

    fn ended(&self, end: Result<End, RecvError>) -> Status {
        let host_id = &self.identity.host_id;
        end.map_or_else(|_| status::draining(), |end| status::of_end(end, host_id))
    }

    async fn report(&self, report: v1::Report, session: &Session) -> Result<(), Over> {
        let sequence = report.sequence;
        let begun = std::time::Instant::now();
        let (incoming, keystores) = wire::incoming(report)?;
        self.context
            .hub
            .report(&self.identity.host_id, incoming)
            .await
            .map_err(|error| status::of_store(&error))?;
        self.context.counters.report(begun.elapsed());
        let kept = session.keep(&self.hostname, keystores).await;
        kept.map_err(|error| status::of_store(&error))?;
        self.answer(Answer::Ack(v1::Ack { sequence })).await
    }

    async fn heartbeat(&self, heartbeat: v1::Heartbeat) -> Result<(), Over> {
        let observed_at =
            heartbeat.observed_at.map(|at| wire::timestamp(at, "observed_at")).transpose()?;
        self.context.counters.heartbeat();
        let presence = self.context.hub.presence(&self.identity.host_id);
        let known = presence.and_then(|presence| presence.digest);
        if known.as_ref().map(Digest::as_slice) == Some(&heartbeat.digest) {
            let presence = self.heard(observed_at).await?;
            self.answer(Answer::Ack(v1::Ack { sequence: presence.sequence })).await
        } else {
            let hub = &self.context.hub;
            let greeted = hub.greet(&self.identity.host_id).await;
            greeted.map_err(|error| status::of_store(&error))?;
            self.resync().await
        }
    }

    async fn assign(&self) -> Result<(), Over> {
        let delegated = self.context.hub.delegated(&self.identity.host_id).into_iter();
        let delegated = delegated
            .map(|(key, hostname)| v1::Delegation { key: key.to_vec(), hostname })
            .collect();
        self.answer(Answer::Duties(v1::Duties { delegated })).await
    }

    async fn vouch(&self) -> Result<(), Over> {
        let (words, complete) = self.context.hub.vouches(&self.identity.host_id);
        let vouches = wire::vouches(words);
        self.answer(Answer::Vouches(v1::Vouches { vouches, complete })).await
    }

    async fn renew(&mut self, renew: &v1::RenewRequest, session: &Session) -> Result<(), Over> {
        self.admitted()?;
        let Context { authority, clock, limits, .. } = &self.context;
        let csr = Csr::parse(&renew.csr).map_err(|error| status::of_csr(&error))?;
        if csr.key_pin() != self.identity.key_pin {
            return Err(Status::permission_denied(
                "a certificate is renewed for the key it was made for: another key needs another enrolment",
            )
            .into());
        }
        let host_id = &self.identity.host_id;
        let certificate = authority
            .sign_agent(&csr, host_id, limits.agent_certificate_lifetime, clock.now())
            .map_err(|failed| {
                error!(host_id = %host_id, error = chain(&failed), "could not renew a certificate");
                status::of_authority(&failed)
            })?;
        info!(host_id = %host_id, not_after = %certificate.not_after, "renewed a certificate");
        self.context.counters.certificate();
        self.valid_until = certificate.not_after;
        let validity = Validity { from: clock.now(), until: certificate.not_after };
        session.certify(validity).await.map_err(|error| status::of_store(&error))?;
        let authorities = wire::authorities(authority);
        self.answer(Answer::Renewed(v1::Renewed {
            certificate_chain: certificate.chain,
            authorities,
        }))
        .await
    }

    fn admitted(&self) -> Result<(), Status> {
        let Identity { host_id, key_pin, .. } = &self.identity;
        let admitted = self.context.hub.admits(host_id, key_pin);
        admitted.map_err(|why| status::of_not_admitted(why, host_id))
    }

    async fn heard(&self, observed_at: Option<Timestamp>) -> Result<Presence, Over> {
        let heard = self.context.hub.hear(&self.identity.host_id, observed_at).await;
        heard.map_err(|error| status::of_store(&error).into())
    }

    async fn resync(&self) -> Result<(), Over> {
        let why = "the server does not hold this posture".to_owned();
        self.answer(Answer::Resync(v1::Resync { why })).await
    }

    async fn answer(&self, answer: Answer) -> Result<(), Over> {
        let response = v1::AttachResponse { message: Some(answer) };
        self.answers.send(Ok(response)).await.map_err(|_| Over::HungUp)
    }
}

/// What was received, or why there will be no more: a connection that broke is told apart from a broken message.
fn heard(request: Result<Option<v1::AttachRequest>, Status>) -> Result<v1::AttachRequest, Over> {
    match request {
        Ok(Some(request)) => Ok(request),
        Ok(None) => Err(Over::HungUp),
        Err(status) if status.source().is_some() => {
            debug!(error = chain(&status), "a connection broke");
            Err(Over::HungUp)
        }
        Err(status) if status.code() == Code::Internal => {
            Err(Status::invalid_argument(status.message()).into())
        }
        Err(status) => Err(status.into()),
    }
}
