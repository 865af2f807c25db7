//! The way to the server: who this host is, connecting, what is said and heard, and what becomes of it when it breaks.

use std::sync::Arc;
use std::time::Duration;

use atrest_proto::v1::attach_response::Message as Answer;
use jiff::Timestamp;
use tokio::time::Instant;

use super::core::{Daemon, Known, Route, Up};
use super::{Cause, Options};
use crate::status::LinkState;
use crate::transport::backoff;
use crate::transport::client::Link;
use crate::transport::failure::{Failure, chain};
use crate::transport::files;
use crate::transport::identity::{self, Identity, Issued};
use crate::transport::session::{Heard, Pace, Session};

/// A scan that takes longer hangs: each of its looks has a deadline of seconds.
const LONGEST_SCAN: Duration = Duration::from_mins(10);
/// What the server gets when it does not say how often it wants to hear.
const HEARTBEAT: Duration = Duration::from_mins(1);
/// A server that asks for fewer heartbeats than this would hear nothing of a hung agent for too long.
const RAREST_HEARTBEAT: Duration = Duration::from_hours(1);

impl Daemon {
    /// Reads the identity file, and connects with what it says.
    pub(super) fn load_identity(&mut self) {
        let now = self.now();
        self.signature = files::signature(&self.options.state.identity());
        self.route = Route::Down;
        self.known = None;
        self.connect_at = None;
        match Identity::load(&self.options.state) {
            Ok(None) => self.health.not_enrolled(now),
            Ok(Some(identity)) => match identity.tls() {
                Ok(tls) => {
                    let validity = identity.validity();
                    if validity.is_expired(now) {
                        tracing::warn!(not_after = %validity.not_after, "this agent's certificate has expired");
                    }
                    self.known = Some(Known { identity, tls: Arc::new(tls) });
                    self.backoff.succeeded();
                    self.connect_at = Some(Instant::now());
                }
                Err(error) => self.bad_identity(&error, now),
            },
            Err(error) => self.bad_identity(&error, now),
        }
    }

    fn bad_identity(&mut self, error: &identity::IdentityError, now: Timestamp) {
        let remedy = "make the file readable for the user that the agent runs as, or enrol again with \
                      `atrest-agent enroll --force TOKEN`";
        self.health.link(LinkState::NotEnrolled, now);
        self.health.link_trouble("identity", chain(error), remedy, now);
    }

    /// Somebody may have enrolled this host, or moved it to another server.
    pub(super) fn check_identity(&mut self) {
        let timing = &self.options.timing;
        self.identity_at = Instant::now() + timing.identity_check;
        if files::signature(&self.options.state.identity()) != self.signature {
            tracing::info!("the identity file has changed");
            self.load_identity();
        }
    }

    pub(super) fn connect(&mut self) {
        self.connect_at = None;
        self.check_identity();
        let now = self.now();
        let Some(Known { identity, tls }) = &self.known else { return };
        self.connect_at = None;
        let (session, hello) = Session::begin(
            identity.host_id.clone(),
            self.options.host.clone(),
            &self.outbox,
            self.pace,
        );
        let opening = Link::attach(identity.server.clone(), Arc::clone(tls), hello);
        self.route = Route::Opening(Box::pin(opening), Box::new(session));
        self.health.link(LinkState::Connecting, now);
    }

    pub(super) fn connected(&mut self, result: Result<Box<Link>, Failure>) {
        match (std::mem::replace(&mut self.route, Route::Down), result) {
            (Route::Opening(_, session), Ok(link)) => {
                let since = Instant::now();
                let (heartbeat_interval, heartbeat_at) = (HEARTBEAT, since + HEARTBEAT);
                let session = *session;
                let up =
                    Up { link, session, since, heartbeat_interval, heartbeat_at, overdue_at: None };
                self.route = Route::Up(Box::new(up));
            }
            (_, Ok(_)) => {}
            (_, Err(failure)) => self.down(failure),
        }
    }

    pub(super) fn hear(&mut self, answer: Answer) {
        let now = self.now();
        let Route::Up(up) = &mut self.route else { return };
        let untold = self.outbox.spool().loss().is_some();
        let heard = up.session.hear(answer, &mut self.outbox);
        // It is alive: what else it owes, it has the full time for.
        up.overdue_at = None;
        self.health.contact(now);
        self.options.duties.heard(now);
        match heard {
            Ok(Heard::Welcome { heartbeat_interval, server_time }) => {
                self.welcomed(heartbeat_interval, server_time);
            }
            Ok(Heard::Progress) => {
                self.backoff.succeeded();
                let told = untold && self.outbox.spool().loss().is_none();
                if self.outbox.spool().is_empty() {
                    self.pace = Pace::Window;
                }
                // The server knows of the loss now: the posture goes on without it.
                if told {
                    self.offer();
                } else {
                    self.pump();
                }
                if self.outbox.spool().is_empty() {
                    tracing::info!(
                        sequence = self.outbox.spool().acknowledged().map(|last| last.sequence),
                        "the server holds everything"
                    );
                }
            }
            Ok(Heard::Alive) => self.backoff.succeeded(),
            Ok(Heard::Resync { why }) => {
                tracing::info!(why, "the server asks for the full posture");
                let forgotten = self.outbox.spool_mut().forget_acknowledged();
                self.health.spool(&forgotten, &self.outbox, now);
                self.offer();
            }
            Ok(Heard::Renewed(issued)) => self.renewed(issued),
            Ok(Heard::Duties(delegated)) => {
                if self.options.duties.assign(delegated, now) {
                    tracing::info!("more is for this agent to look at");
                    self.scan(Cause::Changed);
                }
            }
            Ok(Heard::Vouches(words, complete)) => {
                if self.options.lending.told(words, complete, now) {
                    tracing::info!(
                        "agents of other machines say something else of what is mounted from them"
                    );
                    self.scan(Cause::Changed);
                }
            }
            Err(failure) => self.down(failure),
        }
    }

    fn welcomed(&mut self, heartbeat_interval: Option<Duration>, server_time: Option<Timestamp>) {
        let now = self.now();
        if let Some(Known { identity, .. }) = &self.known {
            self.health.connected(&identity.host_id, &identity.server, now);
        }
        if let Some(server_time) = server_time {
            self.health.clock(server_time, now);
        }
        if let Route::Up(up) = &mut self.route {
            let least = self.options.timing.least_heartbeat;
            up.heartbeat_interval =
                heartbeat_interval.unwrap_or(HEARTBEAT).max(least).min(RAREST_HEARTBEAT);
            // A fleet that came back at one moment does not beat at one moment.
            let first = up.heartbeat_interval.mul_f64((self.options.chance)());
            up.heartbeat_at = Instant::now() + first;
        }
        self.renew_if_due();
        // The server may turn out to hold nothing of this host.
        self.offer();
    }

    /// Tells the server what others could look at as well, what machines have of each other, and which clusters its nodes
    /// are in.
    pub(super) fn share(&mut self) {
        let Route::Up(up) = &mut self.route else { return };
        let Options { duties, lending, membership, .. } = &self.options;
        let says = [
            up.session.share(duties.shared()),
            up.session.lend(lending.lent()),
            up.session.borrow(lending.borrowed()),
            membership.said().and_then(|said| up.session.belong(said)),
        ];
        for say in says.into_iter().flatten() {
            // A link that takes no more is noticed by what comes next on it.
            up.link.send(say);
        }
    }

    /// Once per interval: that nothing changed, and what else is due.
    pub(super) fn heartbeat(&mut self) {
        self.check_identity();
        self.renew_if_due();
        let Route::Up(up) = &mut self.route else { return };
        up.heartbeat_at = Instant::now() + up.heartbeat_interval;
        // That nothing changed is not known while nobody can look: the server is to miss this host.
        if self.scanner.is_running() && self.scan_began.elapsed() > LONGEST_SCAN {
            tracing::error!("a scan does not end: nothing is said until it does");
            return;
        }
        let Some(posture) = &self.latest else { return };
        if let Some(say) = up.session.heartbeat(&self.outbox, posture.observed_at)
            && !up.link.send(say)
        {
            self.down(Failure::Lost { why: "it takes no more".to_owned() });
        }
    }

    /// The same key gets a new certificate, over the stream that it opened.
    fn renew_if_due(&mut self) {
        let now = self.now();
        let (Some(Known { identity, .. }), Route::Up(up)) = (&self.known, &mut self.route) else {
            return;
        };
        if !identity.validity().is_due(now) {
            return;
        }
        match identity.signing_request() {
            Ok(request) => {
                if let Some(say) = up.session.renewal(request) {
                    // A link that takes no more is noticed by what comes next on it.
                    up.link.send(say);
                }
            }
            Err(error) => tracing::warn!(error = chain(&error), "a renewal cannot be asked for"),
        }
    }

    fn renewed(&mut self, issued: Issued) {
        if let Err(error) = self.store_renewed(issued) {
            // Half of its life is left for trying again.
            tracing::warn!(error = chain(&error), "the renewed certificate cannot be used yet");
        }
    }

    fn store_renewed(&mut self, issued: Issued) -> Result<(), identity::IdentityError> {
        let Some(known) = &mut self.known else { return Ok(()) };
        let renewed = known.identity.renewed(issued)?;
        let tls = renewed.tls()?;
        let held = identity::lock(&self.options.state)?;
        // Somebody may have enrolled this host anew meanwhile: that identity stays.
        let current = Identity::load(&self.options.state)?;
        if current.is_some_and(|current| current.is_same_host(&renewed)) {
            renewed.store(&self.options.state, &held)?;
            self.signature = files::signature(&self.options.state.identity());
            tracing::info!(not_after = %renewed.validity().not_after, "the certificate was renewed");
            *known = Known { identity: renewed, tls: Arc::new(tls) };
        }
        Ok(())
    }

    /// The link is gone, or never was.
    pub(super) fn down(&mut self, failure: Failure) {
        let now = self.now();
        let expired =
            self.known.as_ref().is_some_and(|known| known.identity.validity().is_expired(now));
        let welcomed = matches!(&self.route, Route::Up(up) if up.session.is_welcomed());
        let failure =
            if expired && !welcomed { failure.with_expired_certificate() } else { failure };
        if let Route::Up(up) = std::mem::replace(&mut self.route, Route::Down) {
            if let Failure::ReportRefused { .. } = failure {
                self.pace = up.session.blame(&mut self.outbox);
            }
            if up.since.elapsed() >= self.backoff.bounds().most {
                self.backoff.succeeded();
            }
        }
        self.health.failed(&failure, now);
        let fraction = (self.options.chance)();
        let wait = if failure.is_final() {
            self.backoff.after_the_end(fraction)
        } else if failure.needs_a_person() {
            self.backoff.after_refusal(fraction)
        } else {
            self.backoff.after_failure(fraction)
        };
        let wait = failure
            .retry_after()
            .map_or(wait, |asked| wait.max(backoff::as_asked(asked, (self.options.chance)())));
        self.connect_at = Some(Instant::now() + wait);
        tracing::debug!(
            kind = failure.kind(),
            wait_ms = wait.as_millis(),
            "connecting again later"
        );
    }
}
