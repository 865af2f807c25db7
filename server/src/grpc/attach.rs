//! `AgentService`: one stream per agent. Decode, hand to the hub, acknowledge when it is durable; nothing else.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use atrest_proto::v1;
use atrest_proto::v1::attach_request::Message as Request;
use atrest_proto::v1::attach_response::Message as Answer;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use jiff::Timestamp;
use prost::Message as _;
use prost::bytes::Bytes;
use tokio::sync::Semaphore;
use tonic::server::StreamingService;
use tonic::{Code, Response, Status, Streaming};
use tracing::{debug, error, info, warn};

use super::throttle::{Budget, Pace};
use super::{Context, identify, status, wire};
use crate::authority::{Csr, Identity};
use crate::fleet::Digest;
use crate::fleet::certificate::Validity;
use crate::fleet::cluster::KeystoreFacts;
use crate::hub::{Incoming, Session, Word};
use crate::logging::chain;
use crate::tls::Peer;

/// How long an agent may take to say hello.
const HELLO: Duration = Duration::from_secs(30);
/// Messages up to this size, in bytes, are read as they come: all but reports are, and some of those.
const SMALL: usize = 1 << 10;
/// Larger messages that are read, and in memory as what they mean, at one time: what one takes there is several times
/// its size. The rest of a storm waits as bytes.
const PLACES: usize = 256;
/// A host that said too much for too long is asked to stay away for so long.
const SENT_AWAY: Duration = Duration::from_mins(1);

#[derive(Debug, Clone)]
pub(super) struct Handler {
    context: Arc<Context>,
    places: Arc<Semaphore>,
}

impl Handler {
    pub(super) fn new(context: Context) -> Self {
        Self { context: Arc::new(context), places: Arc::new(Semaphore::new(PLACES)) }
    }

    fn attach(
        &self,
        request: tonic::Request<Streaming<Bytes>>,
    ) -> Result<Response<BoxStream<'static, Answered>>, Status> {
        let (identity, valid_until) = identify::agent(&request, &self.context)?;
        if identity.not_after < valid_until {
            let (host_id, not_after) = (&identity.host_id, identity.not_after);
            info!(host_id = %host_id, %not_after, "a host that was away comes back to renew its certificate");
        }
        let peer = request.extensions().get::<Peer>();
        let address = peer.map(|peer| peer.address.ip().to_string()).unwrap_or_default();
        let mut drain = self.context.drain.clone();
        let mut conversation = Conversation {
            context: Arc::clone(&self.context),
            places: Arc::clone(&self.places),
            budget: self.context.throttles.of(&identity.host_id),
            valid_until,
            identity,
            hostname: String::new(),
            address,
            requests: request.into_inner(),
            session: None,
            next: None,
            is_over: false,
            drained: Box::pin(async move { drain.wait().await }),
            expired: Box::pin(ready(())),
        };
        conversation.hold_until(valid_until);
        // The one that reads the answers drives it: without a task and a queue of its own.
        let answers = stream::unfold(Box::new(conversation), Conversation::answer);
        Ok(Response::new(answers.boxed()))
    }
}

impl StreamingService<Bytes> for Handler {
    type Response = v1::AttachResponse;
    type ResponseStream = BoxStream<'static, Answered>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<Bytes>>) -> Self::Future {
        ready(self.attach(request))
    }
}

type Answered = Result<v1::AttachResponse, Status>;
type Event = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// The server's side of one stream.
struct Conversation {
    context: Arc<Context>,
    /// For messages that are not small.
    places: Arc<Semaphore>,
    identity: Identity,
    /// Where the agent connects from.
    address: String,
    /// As the hello said.
    hostname: String,
    requests: Streaming<Bytes>,
    /// Of the host, on all of its streams.
    budget: Arc<Mutex<Budget>>,
    /// The end of the certificate, or of the time that a host which was away has to renew it.
    valid_until: Timestamp,
    /// Once the agent was greeted.
    session: Option<Session>,
    /// What is to be said after the last answer.
    next: Option<Answer>,
    is_over: bool,
    drained: Event,
    /// The end of the certificate, which moves on when that is renewed.
    expired: Event,
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
    /// The next answer, and who gives the one after it; `None` when there are no more.
    async fn answer(mut self: Box<Self>) -> Option<(Answered, Box<Self>)> {
        let said = loop {
            if let Some(next) = self.next.take() {
                break Ok(next);
            }
            if self.is_over {
                return None;
            }
            // Boxed: what waits for years is to be small.
            let said = if self.session.is_some() {
                self.listen().await
            } else {
                Box::pin(self.greet()).await.map(Some)
            };
            match said {
                Ok(Some(answer)) => break Ok(answer),
                Ok(None) => {}
                Err(over) => break Err(over),
            }
        };
        let over = match said {
            Ok(answer) => {
                return Some((Ok(v1::AttachResponse { message: Some(answer) }), self));
            }
            Err(over) => over,
        };
        let host_id = &self.identity.host_id;
        self.is_over = true;
        self.session = None;
        match over {
            Over::HungUp => {
                debug!(host_id = %host_id, "an agent has hung up");
                None
            }
            Over::Refused(status) => {
                info!(host_id = %host_id, code = ?status.code(), why = status.message(), "ended a stream");
                Some((Err(status), self))
            }
        }
    }

    /// The certificate that the agent speaks with holds until then.
    fn hold_until(&mut self, until: Timestamp) {
        self.valid_until = until;
        let clock = self.context.clock.clone();
        self.expired = Box::pin(async move { clock.sleep_until(until).await });
    }

    async fn greet(&mut self) -> Result<Answer, Over> {
        let first = tokio::select! {
            first = tokio::time::timeout(HELLO, self.requests.message()) => first,
            () = &mut self.drained => return Err(status::draining().into()),
        };
        let first = heard(first.map_err(|_| Status::deadline_exceeded("no hello came"))?)?;
        let first = decode(first)?;
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
        self.session = Some(session);
        // An agent that believes in a posture that is not held here, as after a restored backup.
        if !hello.digest.is_empty()
            && presence.digest.as_ref().map(Digest::as_slice) != Some(&hello.digest)
        {
            self.next = Some(resync());
        }
        Ok(Answer::Welcome(v1::Welcome {
            server_time: Some(wire::time(self.context.clock.now())),
            heartbeat_interval: Some(wire::duration(self.context.limits.heartbeat_interval)),
            last_sequence: presence.sequence,
        }))
    }

    /// What is to be said to the next thing that happens, if anything.
    async fn listen(&mut self) -> Result<Option<Answer>, Over> {
        let Some(session) = &self.session else { return Err(Over::HungUp) };
        let message = tokio::select! {
            // In this order: who says much is not heard beyond its time.
            biased;
            word = session.word() => return self.tell(word).map(Some),
            () = &mut self.drained => return Err(status::draining().into()),
            () = &mut self.expired => {
                let within = self.context.limits.rejoin_within;
                return Err(identify::expired(&self.identity, within).into());
            }
            message = self.requests.message() => heard(message)?,
        };
        if let Some(wait) = self.pace(message.len())? {
            Box::pin(self.slow(wait)).await?;
        }
        // What was taken is finished, whatever happens meanwhile: an acknowledgement is never lost on purpose.
        if message.len() > SMALL {
            // The semaphore is never closed.
            let place = Arc::clone(&self.places).acquire_owned().await.ok();
            return match decode(message)?.message {
                Some(Request::Report(report)) => {
                    let (incoming, keystores) = wire::incoming(report, place)?;
                    Box::pin(self.report(incoming, keystores)).await.map(Some)
                }
                other => Box::pin(self.take(other)).await,
            };
        }
        match decode(message)?.message {
            Some(Request::Heartbeat(heartbeat)) => self.heartbeat(heartbeat).await.map(Some),
            other => Box::pin(self.take(other)).await,
        }
    }

    /// All that is not said all the time.
    async fn take(&mut self, message: Option<Request>) -> Result<Option<Answer>, Over> {
        match message {
            Some(Request::Report(report)) => {
                let (incoming, keystores) = wire::incoming(report, None)?;
                return self.report(incoming, keystores).await.map(Some);
            }
            Some(Request::Heartbeat(heartbeat)) => {
                return self.heartbeat(heartbeat).await.map(Some);
            }
            Some(Request::Renew(renew)) => return self.renew(&renew).await.map(Some),
            Some(Request::Hello(_)) => {
                return Err(Status::invalid_argument("a hello was said already").into());
            }
            Some(Request::Shares(shares)) => {
                let shares = wire::shares(shares)?;
                self.open()?.share(&self.hostname, shares);
            }
            Some(Request::Exports(exports)) => {
                let exports = wire::exports(exports)?;
                self.open()?.lend(&self.hostname, exports);
            }
            Some(Request::RemoteDirectories(directories)) => {
                let directories = wire::remote_directories(directories)?;
                self.open()?.borrow(directories);
            }
            Some(Request::Membership(membership)) => {
                let said = wire::membership(membership)?;
                let noted = self.open()?.belong(&self.hostname, said).await;
                noted.map_err(|error| status::of_store(&error))?;
            }
            // A newer agent asks for something that this version does not know.
            None => {}
        }
        Ok(None)
    }

    fn open(&self) -> Result<&Session, Over> {
        self.session.as_ref().ok_or(Over::HungUp)
    }

    /// Takes a message of this size at the rate that its host has: how long to wait, if at all.
    fn pace(&self, size: usize) -> Result<Option<Duration>, Status> {
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        match self.budget().spend(size, self.context.clock.now()) {
            Pace::Now => Ok(None),
            Pace::After(wait) => Ok(Some(wait)),
            Pace::Never => Err(self.too_much(SENT_AWAY)),
        }
    }

    /// Reads nothing meanwhile, so that who says too much is slowed down.
    async fn slow(&mut self, wait: Duration) -> Result<(), Over> {
        self.context.counters.slowed();
        let Some(session) = &self.session else { return Err(Over::HungUp) };
        let clock = self.context.clock.clone();
        tokio::select! {
            () = clock.sleep(wait) => Ok(()),
            end = session.ended() => Err(status::of_end(end, &self.identity.host_id).into()),
            () = &mut self.drained => Err(status::draining().into()),
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

    async fn report(
        &self,
        incoming: Incoming,
        keystores: BTreeSet<KeystoreFacts>,
    ) -> Result<Answer, Over> {
        let sequence = incoming.sequence;
        let begun = std::time::Instant::now();
        self.context
            .hub
            .report(&self.identity.host_id, incoming)
            .await
            .map_err(|error| status::of_store(&error))?;
        self.context.counters.report(begun.elapsed());
        let kept = self.open()?.keep(&self.hostname, keystores).await;
        kept.map_err(|error| status::of_store(&error))?;
        Ok(Answer::Ack(v1::Ack { sequence }))
    }

    async fn heartbeat(&self, heartbeat: v1::Heartbeat) -> Result<Answer, Over> {
        let observed_at =
            heartbeat.observed_at.map(|at| wire::timestamp(at, "observed_at")).transpose()?;
        self.context.counters.heartbeat();
        let hub = &self.context.hub;
        let known = hub.heartbeat(&self.identity.host_id, &heartbeat.digest, observed_at).await;
        let known = known.map_err(|error| status::of_store(&error))?;
        Ok(known.map_or_else(resync, |sequence| Answer::Ack(v1::Ack { sequence })))
    }

    fn tell(&self, word: Word) -> Result<Answer, Over> {
        let host_id = &self.identity.host_id;
        match word {
            Word::End(end) => Err(status::of_end(end, host_id).into()),
            Word::Duties => {
                let delegated = self.context.hub.delegated(host_id).into_iter();
                let delegated = delegated
                    .map(|(key, hostname)| v1::Delegation { key: key.to_vec(), hostname })
                    .collect();
                Ok(Answer::Duties(v1::Duties { delegated }))
            }
            Word::Vouches => {
                let (words, complete) = self.context.hub.vouches(host_id);
                Ok(Answer::Vouches(v1::Vouches { vouches: wire::vouches(words), complete }))
            }
        }
    }

    async fn renew(&mut self, renew: &v1::RenewRequest) -> Result<Answer, Over> {
        self.admitted()?;
        let Context { authority, clock, limits, .. } = &*self.context;
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
        let validity = Validity { from: clock.now(), until: certificate.not_after };
        let authorities = wire::authorities(authority);
        self.open()?.certify(validity).await.map_err(|error| status::of_store(&error))?;
        self.hold_until(certificate.not_after);
        Ok(Answer::Renewed(v1::Renewed { certificate_chain: certificate.chain, authorities }))
    }

    fn admitted(&self) -> Result<(), Status> {
        let Identity { host_id, key_pin, .. } = &self.identity;
        let admitted = self.context.hub.admits(host_id, key_pin);
        admitted.map_err(|why| status::of_not_admitted(why, host_id))
    }
}

fn resync() -> Answer {
    Answer::Resync(v1::Resync { why: "the server does not hold this posture".to_owned() })
}

fn decode(message: Bytes) -> Result<v1::AttachRequest, Status> {
    v1::AttachRequest::decode(message).map_err(|error| Status::invalid_argument(error.to_string()))
}

/// What was received, or why there will be no more: a connection that broke is told apart from a broken message.
fn heard(request: Result<Option<Bytes>, Status>) -> Result<Bytes, Over> {
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
