//! The loop: what each [`Event`] does to the outbox and the timers. What it does to the link is in [`super::link`].

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use atrest_proto::model::Posture;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::changes::Changes;
use super::health::Health;
use super::scanner::Scanner;
use super::watching::Watching;
use super::{Cause, Command, DaemonError, Event, Options};
use crate::status::LinkState;
use crate::transport::backoff::Backoff;
use crate::transport::client::Link;
use crate::transport::failure::Failure;
use crate::transport::files::Signature;
use crate::transport::identity::Identity;
use crate::transport::outbox::{Offered, Outbox};
use crate::transport::session::{Pace, Session};
use crate::transport::spool::Spool;

pub(super) type Opening = Pin<Box<dyn Future<Output = Result<Link, Failure>> + Send>>;

/// The way to the server.
pub(super) enum Route {
    /// Nothing is under way.
    Down,
    Opening(Opening, Box<Session>),
    Up(Box<Up>),
}

pub(super) struct Up {
    pub(super) link: Box<Link>,
    pub(super) session: Session,
    pub(super) since: Instant,
    pub(super) heartbeat_interval: Duration,
    pub(super) heartbeat_at: Instant,
    /// When the server has to have answered.
    pub(super) overdue_at: Option<Instant>,
}

/// The identity in use, with what follows from it.
pub(super) struct Known {
    pub(super) identity: Identity,
    pub(super) tls: Arc<rustls::ClientConfig>,
}

pub(super) struct Daemon {
    pub(super) options: Options,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) scanner: Scanner,
    pub(super) outbox: Outbox,
    pub(super) health: Health,
    pub(super) backoff: Backoff,
    pub(super) route: Route,
    pub(super) known: Option<Known>,
    /// Of the identity file that was read last.
    pub(super) signature: Option<Signature>,
    pub(super) pace: Pace,
    pub(super) latest: Option<Box<Posture>>,
    /// A scan that was asked for while another one ran.
    pub(super) again: Option<Cause>,
    /// What times of changes are counted from.
    pub(super) started: Instant,
    pub(super) changes: Changes,
    pub(super) watching: Watching,
    pub(super) scan_at: Instant,
    /// When the scan that runs, or ran last, began.
    pub(super) scan_began: Instant,
    pub(super) connect_at: Option<Instant>,
    pub(super) identity_at: Instant,
    pub(super) disk_at: Option<Instant>,
    pub(super) status_at: Option<Instant>,
}

impl Daemon {
    pub(super) fn new(
        options: Options,
        spool: Spool,
        scanner: Scanner,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        let at = Instant::now();
        let health = Health::new(
            options.state.clone(),
            options.host.agent_version.clone(),
            options.policy.clone(),
            (options.now)(),
        );
        Self {
            backoff: Backoff::new(options.timing.reconnect),
            changes: Changes::new(options.timing.changes),
            watching: Watching::new(options.watch.clone(), options.timing.watch_again),
            options,
            commands,
            scanner,
            outbox: Outbox::new(spool),
            health,
            route: Route::Down,
            known: None,
            signature: None,
            pace: Pace::Window,
            latest: None,
            again: None,
            started: at,
            scan_at: at,
            scan_began: at,
            connect_at: None,
            identity_at: at,
            disk_at: None,
            status_at: None,
        }
    }

    pub(super) async fn run(mut self) -> Result<(), DaemonError> {
        // Before the first scan, so that nothing falls between.
        self.watch();
        self.scan(Cause::Start);
        self.load_identity();
        loop {
            match self.next().await {
                Event::ScanDue(cause) => self.scan(cause),
                Event::Scanned(posture) => self.scanned(posture),
                Event::ScannerLost => return Err(DaemonError::ScannerLost),
                Event::Noticed => self.changes.note(self.started.elapsed()),
                Event::WatchEnded => self.watch_ended("nobody tells of them any more"),
                Event::WatchDue => self.watch(),
                Event::ConnectDue => self.connect(),
                Event::Connected(result) => self.connected(result),
                Event::Said(Ok(answer)) => self.hear(answer),
                Event::Said(Err(failure)) => self.down(failure),
                Event::HeartbeatDue => self.heartbeat(),
                Event::AnswerOverdue => self.down(Failure::Silent),
                Event::IdentityCheckDue => self.check_identity(),
                Event::DiskRetryDue => self.retry_disk(),
                Event::StatusDue => self.write_status(),
                Event::Stop => break,
            }
            self.set_timers();
        }
        self.stop().await;
        Ok(())
    }

    /// Waits for whatever is first.
    async fn next(&mut self) -> Event {
        let (heartbeat_at, overdue_at) = match &self.route {
            Route::Up(up) if up.session.is_welcomed() => (Some(up.heartbeat_at), up.overdue_at),
            Route::Up(up) => (None, up.overdue_at),
            Route::Down | Route::Opening(..) => (None, None),
        };
        // With a stream, the heartbeats see to it: an idle agent wakes up for nothing else.
        let identity_at = match &self.route {
            Route::Up(_) => None,
            Route::Down | Route::Opening(..) => Some(self.identity_at),
        };
        // A scan that runs may have looked before the change.
        let changed_at = self.changes.due().filter(|_| !self.scanner.is_running());
        let changed_at = changed_at.map(|at| self.started + at);
        let watch_at = self.watching.due();
        tokio::select! {
            command = self.commands.recv() => match command {
                Some(Command::Scan(cause)) => Event::ScanDue(cause),
                Some(Command::Stop) | None => Event::Stop,
            },
            posture = self.scanner.answer() => posture.map_or(Event::ScannerLost, Event::Scanned),
            event = travel(&mut self.route) => event,
            signal = self.watching.next() => signal.map_or(Event::WatchEnded, |()| Event::Noticed),
            () = at(changed_at) => Event::ScanDue(Cause::Changed),
            () = at(watch_at) => Event::WatchDue,
            () = at(Some(self.scan_at)) => Event::ScanDue(Cause::Interval),
            () = at(self.connect_at) => Event::ConnectDue,
            () = at(heartbeat_at) => Event::HeartbeatDue,
            () = at(overdue_at) => Event::AnswerOverdue,
            () = at(identity_at) => Event::IdentityCheckDue,
            () = at(self.disk_at) => Event::DiskRetryDue,
            () = at(self.status_at) => Event::StatusDue,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.options.now)()
    }

    fn set_timers(&mut self) {
        let timing = &self.options.timing;
        if let Route::Up(up) = &mut self.route {
            up.overdue_at = match (up.session.awaits(), up.overdue_at) {
                (true, None) => Some(Instant::now() + timing.answer),
                (true, at @ Some(_)) => at,
                (false, _) => None,
            };
        }
        if self.outbox.spool().is_behind() {
            self.disk_at.get_or_insert_with(|| Instant::now() + timing.disk_retry);
        } else {
            self.disk_at = None;
        }
        if self.health.is_unwritten() {
            self.status_at.get_or_insert_with(|| Instant::now() + timing.status_write);
        }
    }

    pub(super) fn scan(&mut self, cause: Cause) {
        let interval = self.options.timing.scan_interval;
        let jitter = (self.options.chance)().mul_add(0.2, 0.9);
        self.scan_at = Instant::now() + interval.mul_f64(jitter);
        if self.scanner.ask() {
            self.scan_began = Instant::now();
            self.changes.looked(self.started.elapsed(), cause == Cause::Changed);
            tracing::debug!(cause = ?cause, "scanning");
            self.health.scan_began(self.now());
        } else {
            // The running one may have looked before the cause arose.
            self.again = Some(cause);
        }
    }

    /// Begins to watch, again where a watch has ended.
    fn watch(&mut self) {
        if let Err(error) = self.watching.start() {
            self.watch_ended(&format!("nobody to tell of them: {error}"));
        }
    }

    /// What happened since nobody saw: it is looked at now, and once more when the next watch has begun.
    fn watch_ended(&mut self, why: &str) {
        tracing::warn!(why, "changes are not watched for now");
        self.watching.ended(why, (self.options.chance)());
        self.changes.note(self.started.elapsed());
    }

    fn scanned(&mut self, posture: Option<Box<Posture>>) {
        self.health.scan_ended(posture.as_ref().map(|posture| posture.observed_at));
        self.changes.took(self.scan_began.elapsed());
        if posture.is_some() {
            self.latest = posture;
        }
        if let Some(cause) = self.again.take() {
            self.scan(cause);
        }
        self.offer();
    }

    /// Queues the latest posture if it is news, and sends what can be sent.
    pub(super) fn offer(&mut self) {
        if let Some(posture) = &self.latest {
            let offered = self.outbox.offer(posture);
            if let Ok(Offered::Queued(sequence)) = offered {
                tracing::info!(sequence, "the posture changed: a report is queued");
            }
            let now = self.now();
            self.health.spool(&offered, &self.outbox, now);
        }
        self.share();
        self.pump();
    }

    pub(super) fn pump(&mut self) {
        let Route::Up(up) = &mut self.route else { return };
        loop {
            match up.session.report(&mut self.outbox) {
                Ok(Some(report)) => {
                    if !up.link.send(report) {
                        return self.down(Failure::Lost { why: "it takes no more".to_owned() });
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    let now = (self.options.now)();
                    return self.health.spool(&Err::<(), _>(error), &self.outbox, now);
                }
            }
        }
    }

    fn retry_disk(&mut self) {
        self.disk_at = None;
        let retried = self.outbox.spool_mut().retry();
        let now = self.now();
        self.health.spool(&retried, &self.outbox, now);
    }

    fn write_status(&mut self) {
        self.status_at = None;
        let now = self.now();
        self.health.write(&self.outbox, now);
    }

    /// Says goodbye: nothing new is sent, but what the server still acknowledges need not be sent again.
    async fn stop(mut self) {
        tracing::info!(waiting = self.outbox.spool().len(), "stopping");
        if let Route::Up(up) = &mut self.route {
            up.link.finish();
            let outbox = &mut self.outbox;
            let listen = async {
                while up.session.awaits() {
                    match up.link.receive().await {
                        Ok(answer) => drop(up.session.hear(answer, outbox)),
                        Err(_) => break,
                    }
                }
            };
            // Whoever has not answered by then is heard at the next start.
            drop(tokio::time::timeout(self.options.timing.farewell, listen).await);
        }
        let now = self.now();
        let retried = self.outbox.spool_mut().retry();
        self.health.spool(&retried, &self.outbox, now);
        self.health.link(LinkState::Stopped, now);
        self.health.write(&self.outbox, now);
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// What happens on the way to the server.
async fn travel(route: &mut Route) -> Event {
    match route {
        Route::Down => std::future::pending().await,
        Route::Opening(opening, _) => Event::Connected(opening.await.map(Box::new)),
        Route::Up(up) => Event::Said(up.link.receive().await),
    }
}
