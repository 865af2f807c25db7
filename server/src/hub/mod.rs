//! The live fleet: the roster in memory and the store behind it. The one place that changes hosts.

mod certificates;
mod clusters;
mod finish;
mod signal;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use atrest_proto::convert::posture_from_bytes;
use atrest_proto::model::Posture;
use futures_util::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use prost::bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tracing::{debug, info, warn};

use crate::alert::{Policy, Routes, decide};
use crate::audit::Entry;
use crate::clock::Clock;
use crate::fleet::certificate::Validity;
use crate::fleet::clash::{self, Claim, Claims, Clash, Enrolment, Machine};
use crate::fleet::cluster::{Clusters, Patience};
use crate::fleet::duty::{self, Duties};
use crate::fleet::roster::{Counts, NotAdmitted, Presence, Roster, is_gone};
use crate::fleet::vouching::{Directory, Offer, Vouching, Words};
use crate::fleet::{
    Applied, Body, Digest, FindingKey, HostId, HostState, Observation, Outline, apply, fall_silent,
    retire, retire_asset, return_from_silence,
};
use crate::labels::GroupBy;
use crate::logging::chain;
use crate::store::{
    Admitted, Change, FindingFilter, PageRequest, Repeat, Repeated, Revocation, Step, Store,
    StoreError, StoredReport,
};

use finish::finish;
use signal::Signal;
pub use signal::Word;

/// Hosts that are written at one time when many fall silent, or are told of, together.
const TOGETHER: usize = 256;

/// How the fleet is judged.
#[derive(Debug, Clone)]
pub struct Settings {
    pub policy: Policy,
    /// Who is told of alerts.
    pub routes: Arc<Routes>,
    pub silent_after: Duration,
    /// Before something is told of search clusters.
    pub patience: Patience,
}

/// Why the server ends a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The host opened another: the newest one speaks, so that a dead connection locks nobody out.
    Superseded,
    /// Another machine took the host's place.
    Replaced,
    /// An operator ended the host's enrolment.
    Revoked,
}

/// Why a machine is not let attach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotNow {
    /// Somebody speaks for the host: who comes again after a restart gets in when its old connection is dead.
    Taken,
    /// Two machines use the identity, and this is not the one that has the place.
    Clash,
    /// The machine that enrolled is gone, and this is another one.
    Moved,
}

/// A report, ready to be applied and kept.
#[derive(Debug)]
pub struct Incoming {
    pub sequence: u64,
    pub digest: Digest,
    pub outline: Outline,
    pub posture: Posture,
    /// The posture as it is kept.
    pub bytes: Bytes,
    /// Its place among the reports that may be in memory at one time: given back when it is applied.
    pub place: Option<OwnedSemaphorePermit>,
}

/// The live fleet.
#[derive(Debug)]
pub struct Hub {
    store: Arc<dyn Store>,
    settings: Settings,
    clock: Clock,
    /// The clock's uptime.
    started: Duration,
    roster: Mutex<Roster>,
    sessions: Mutex<Sessions>,
    duties: Mutex<Duties>,
    vouching: Mutex<Vouching>,
    clusters: Mutex<Clusters>,
    /// Held while it is decided and written what is to be told of one.
    telling_of_clusters: tokio::sync::Mutex<()>,
    /// Hosts whose certificate is known to be ending.
    ending: Mutex<BTreeSet<HostId>>,
    /// Counts the changes after which there may be something to tell.
    outbox: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Sessions {
    last: u64,
    live: BTreeMap<HostId, Live>,
    /// Which machines speak for hosts.
    claims: BTreeMap<HostId, Claims>,
}

/// The server's end of a stream.
#[derive(Debug)]
struct Live {
    number: u64,
    signal: Arc<Signal>,
    /// How long the certificate holds that it speaks with, and since when it does.
    certified: Option<(Validity, Timestamp)>,
}

/// The one stream that speaks for a host, for as long as this is held.
#[derive(Debug)]
pub struct Session {
    hub: Arc<Hub>,
    host: HostId,
    number: u64,
    signal: Arc<Signal>,
}

impl Drop for Session {
    fn drop(&mut self) {
        let is_the_newest = {
            let mut sessions = lock(&self.hub.sessions);
            let live = sessions.live.get(&self.host);
            let is_the_newest = live.is_some_and(|live| live.number == self.number);
            if is_the_newest {
                sessions.live.remove(&self.host);
                if let Some(claims) = sessions.claims.get_mut(&self.host) {
                    claims.release();
                }
            }
            lock(&self.hub.roster).detach(&self.host, self.number);
            is_the_newest
        };
        if is_the_newest {
            self.hub.unshare(&self.host, self.number);
        }
    }
}

impl Session {
    /// Waits for what the host is to be told. Nothing is lost when this is dropped.
    pub async fn word(&self) -> Word {
        self.signal.hear().await
    }

    /// Waits for the end of the stream; what else is to be told waits, too.
    pub async fn ended(&self) -> End {
        self.signal.ended().await
    }

    /// What the host could look at, as others could; whose turn it is changes with that.
    pub fn share(&self, hostname: &str, keys: BTreeSet<duty::Key>) {
        let changed = lock(&self.hub.duties).share(&self.host, self.number, hostname, keys);
        self.hub.tell_duties(&changed);
    }

    /// What the host lends other machines.
    pub fn lend(&self, hostname: &str, offer: Offer) {
        let changed = lock(&self.hub.vouching).lend(&self.host, self.number, hostname, offer);
        self.hub.tell_vouches(&changed);
    }

    /// What it has mounted of theirs.
    pub fn borrow(&self, directories: BTreeSet<Directory>) {
        lock(&self.hub.vouching).borrow(&self.host, self.number, directories);
        self.hub.tell_vouches(&BTreeSet::from([self.host.clone()]));
    }
}

/// A panic while it was held is a bug that is told elsewhere; what it guards is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// Reads the fleet from the store, and tells of what should have been told but was not.
    pub async fn open(
        store: Arc<dyn Store>,
        settings: Settings,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let mut roster = Roster::default();
        let (started, started_at) = (clock.uptime(), clock.now());
        for host in store.host_roster().await? {
            roster.enter(host, started);
        }
        info!(hosts = roster.counts().enrolled, "read the fleet");
        let ending = certificates::known(&*store).await?;
        let clusters = clusters::known(&*store, settings.patience, started_at).await?;
        let hub = Self {
            store,
            settings,
            clock,
            started,
            roster: Mutex::new(roster),
            sessions: Mutex::default(),
            duties: Mutex::new(Duties::new(started_at)),
            vouching: Mutex::default(),
            clusters: Mutex::new(clusters),
            telling_of_clusters: tokio::sync::Mutex::default(),
            ending: Mutex::new(ending),
            outbox: watch::Sender::new(0),
        };
        hub.tell_untold().await?;
        Ok(hub)
    }

    pub fn counts(&self) -> Counts {
        lock(&self.roster).counts()
    }

    /// The same, and by cluster or by the value of a label, of one moment.
    pub fn counts_by(&self, by: Option<&GroupBy>) -> (Counts, BTreeMap<String, Counts>) {
        let roster = lock(&self.roster);
        (roster.counts(), by.map(|by| roster.counts_by(by)).unwrap_or_default())
    }

    /// Whether this key speaks for the host.
    pub fn admits(&self, host: &HostId, key_pin: &Digest) -> Result<(), NotAdmitted> {
        lock(&self.roster).admits(host, key_pin)
    }

    /// What is known of a host at the moment.
    pub fn presence(&self, host: &HostId) -> Option<Presence> {
        lock(&self.roster).presence(host)
    }

    pub fn is_connected(&self, host: &HostId) -> bool {
        lock(&self.roster).is_connected(host)
    }

    /// When the host was last heard of, and when it last looked.
    pub fn sighting(&self, host: &HostId) -> Option<(Timestamp, Option<Timestamp>)> {
        lock(&self.roster).sighting(host)
    }

    /// Changes whenever there may be something to tell.
    pub fn outbox(&self) -> watch::Receiver<u64> {
        self.outbox.subscribe()
    }

    /// Enters a host that was just enrolled; a stream of the machine whose place it took ends.
    pub fn admit(&self, admitted: Admitted) {
        let host = admitted.host.host_id.clone();
        let replaced = {
            let mut roster = lock(&self.roster);
            let known = roster.key_pin(&host);
            let replaced = known.is_some_and(|pin| pin != admitted.host.key_pin);
            roster.enter(admitted.host, self.clock.uptime());
            replaced
        };
        if replaced {
            self.end(&host, End::Replaced);
            lock(&self.clusters).end(&host, self.clock.now());
        }
    }

    /// Ends a host's enrolment, and its stream. `false` when that was done before.
    pub async fn revoke(
        &self,
        host: &HostId,
        revocation: Revocation,
        entry: Entry,
    ) -> Result<bool, StoreError> {
        let (step, alerted) = self.step(retire, None);
        let standing = self.store.host_revoke(host.clone(), revocation, step, entry).await?;
        let Some(standing) = standing else { return Ok(false) };
        // In this order: a stream that opens meanwhile finds the host revoked, or is found here.
        lock(&self.roster).commit(host, standing);
        // It ended with the host.
        lock(&self.ending).remove(host);
        self.end(host, End::Revoked);
        let changed = lock(&self.vouching).end(host);
        self.tell_vouches(&changed);
        lock(&self.clusters).end(host, self.clock.now());
        self.tell(&alerted);
        Ok(true)
    }

    /// An operator says that an asset is gone which the host does not report any more. How many findings ended; 0 when
    /// nothing of it is out of sight.
    pub async fn retire_asset(
        &self,
        host: &HostId,
        asset: String,
        entry: Entry,
    ) -> Result<u32, StoreError> {
        let ended = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&ended);
        let gone = move |state, now| {
            let applied = retire_asset(state, &asset, now)?;
            let findings = u32::try_from(applied.touched.len()).unwrap_or(u32::MAX);
            count.store(findings, Ordering::Release);
            Some(applied)
        };
        let (step, alerted) = self.step(gone, None);
        if let Some(standing) = self.store.host_amend(host.clone(), step, entry).await? {
            lock(&self.roster).commit(host, standing);
            self.tell(&alerted);
        }
        Ok(ended.load(Ordering::Acquire))
    }

    fn end(&self, host: &HostId, why: End) {
        // Bound, so that the lock is given back before the next one is taken.
        let live = {
            let mut sessions = lock(&self.sessions);
            sessions.claims.remove(host);
            sessions.live.remove(host)
        };
        if let Some(live) = live {
            live.signal.say(Word::End(why));
            self.unshare(host, live.number);
        }
    }

    fn unshare(&self, host: &HostId, session: u64) {
        let changed = lock(&self.duties).leave(host, session);
        self.tell_duties(&changed);
        lock(&self.vouching).leave(host, session, self.clock.now());
        lock(&self.clusters).leave(host, session);
    }

    /// What the agents of other machines say of what the host has mounted from them, and whether all of those that could
    /// were heard of.
    pub fn vouches(&self, host: &HostId) -> (Words, bool) {
        (lock(&self.vouching).tell(host), self.is_settled())
    }

    /// After a start, everyone is given the time to come back.
    fn is_settled(&self) -> bool {
        self.clock.uptime().saturating_sub(self.started) >= self.settings.silent_after
    }

    fn tell_vouches(&self, changed: &BTreeSet<HostId>) {
        let sessions = lock(&self.sessions);
        for live in changed.iter().filter_map(|host| sessions.live.get(host)) {
            live.signal.say(Word::Vouches);
        }
    }

    /// Says again what still holds, and takes back what nobody stands for any more.
    fn renew_vouches(&self, now: Timestamp) {
        // Bound, so that the locks are taken one after the other.
        let concerned = {
            let mut vouching = lock(&self.vouching);
            let mut concerned =
                vouching.expire(crate::clock::before(now, self.settings.silent_after));
            concerned.extend(vouching.remind(now));
            concerned
        };
        self.tell_vouches(&concerned);
    }

    /// What the host need not look at, with the name of who does.
    pub fn delegated(&self, host: &HostId) -> Vec<(duty::Key, String)> {
        lock(&self.duties).delegated(host)
    }

    fn tell_duties(&self, changed: &BTreeSet<HostId>) {
        let sessions = lock(&self.sessions);
        for live in changed.iter().filter_map(|host| sessions.live.get(host)) {
            live.signal.say(Word::Duties);
        }
    }

    /// Opens the one stream of a host; an older one of the same machine ends.
    pub async fn attach(
        self: &Arc<Self>,
        host: HostId,
        machine: Machine,
    ) -> Result<Result<Session, NotNow>, StoreError> {
        let clash = match self.claim(host.clone(), machine) {
            Ok(session) => return Ok(Ok(session)),
            Err(Claim::Clash(clash)) => clash,
            Err(Claim::Moved) => return Ok(Err(NotNow::Moved)),
            Err(Claim::Wait | Claim::Granted) => return Ok(Err(NotNow::Taken)),
        };
        let hub = Arc::clone(self);
        finish(async move { hub.clash(&host, *clash).await }).await?;
        Ok(Err(NotNow::Clash))
    }

    async fn clash(&self, host: &HostId, found: Clash) -> Result<(), StoreError> {
        let Clash { first, second } = &found;
        warn!(host_id = %host, first = ?first, second = ?second, "two machines use one identity");
        self.change(host, move |state, now| clash::clash(state, &found, now), None).await
    }

    /// The host was enrolled anew: a clash is over, since what the other machine holds is worth nothing.
    pub async fn settle(&self, host: &HostId) -> Result<(), StoreError> {
        self.change(host, clash::settle, None).await
    }

    fn claim(self: &Arc<Self>, host: HostId, machine: Machine) -> Result<Session, Claim> {
        let now = self.clock.now();
        // Who is not enrolled is refused elsewhere.
        let uptime = self.clock.uptime();
        let (fingerprint, heard) =
            lock(&self.roster).machine(&host).unwrap_or_else(|| (String::new(), uptime));
        let gone = is_gone(heard, self.settings.silent_after, uptime);
        let enrolment = Enrolment { fingerprint: &fingerprint, gone };
        let signal = Arc::new(Signal::default());
        let mut sessions = lock(&self.sessions);
        match sessions.claims.entry(host.clone()).or_default().claim(enrolment, machine, now) {
            Claim::Granted => {}
            Claim::Wait => {
                lock(&self.roster).contest(&host, true);
                return Err(Claim::Wait);
            }
            refused @ (Claim::Clash(_) | Claim::Moved) => return Err(refused),
        }
        sessions.last += 1;
        let number = sessions.last;
        let live = Live { number, signal: Arc::clone(&signal), certified: None };
        let older = sessions.live.insert(host.clone(), live);
        lock(&self.roster).attach(&host, number);
        drop(sessions);
        if let Some(older) = older {
            older.signal.say(Word::End(End::Superseded));
            // What the older stream shared is its own affair: the new one may be another version's.
            self.unshare(&host, older.number);
        }
        Ok(Session { hub: Arc::clone(self), host, number, signal })
    }

    /// The host says something that is no evidence of what rests on it: it may still fall silent.
    pub async fn greet(self: &Arc<Self>, host: &HostId) -> Result<Presence, StoreError> {
        self.attend(host, self.presence(host), false, self.clock.now()).await
    }

    /// The host was heard of. Costs no write, unless it had been missed.
    pub async fn hear(
        self: &Arc<Self>,
        host: &HostId,
        observed_at: Option<Timestamp>,
    ) -> Result<Presence, StoreError> {
        let now = self.clock.now();
        // A host whose clock is ahead has not looked in the future.
        let observed_at = observed_at.map(|at| at.min(now));
        let presence = lock(&self.roster).see(host, observed_at, now, self.clock.uptime());
        self.attend(host, presence, true, now).await
    }

    /// The host looked again and saw the posture with this digest: the sequence that it has here, if that is the one
    /// which is held.
    pub async fn heartbeat(
        self: &Arc<Self>,
        host: &HostId,
        digest: &[u8],
        observed_at: Option<Timestamp>,
    ) -> Result<Option<u64>, StoreError> {
        let now = self.clock.now();
        let observed_at = observed_at.map(|at| at.min(now));
        let uptime = self.clock.uptime();
        let presence = lock(&self.roster).see_again(host, digest, observed_at, now, uptime);
        let known = presence.and_then(|presence| presence.digest);
        let known = known.as_ref().map(Digest::as_slice) == Some(digest);
        let presence = self.attend(host, presence, known, now).await?;
        Ok(known.then_some(presence.sequence))
    }

    /// What follows when a host was heard of; only what is a sign of life ends its silence. Mostly nothing: then it waits for nothing.
    async fn attend(
        self: &Arc<Self>,
        host: &HostId,
        presence: Option<Presence>,
        is_alive: bool,
        now: Timestamp,
    ) -> Result<Presence, StoreError> {
        let presence = presence.ok_or_else(|| StoreError::NoSuchHost(host.clone()))?;
        if presence.revoked {
            return Err(StoreError::Revoked(host.clone()));
        }
        let clash = presence.contested.then(|| self.speak(host, now)).flatten();
        let is_back = is_alive && presence.silent;
        if clash.is_some() || is_back {
            let (hub, host) = (Arc::clone(self), host.clone());
            finish(async move {
                if let Some(clash) = clash {
                    hub.clash(&host, clash).await?;
                }
                if is_back {
                    hub.change(&host, move |state, _| return_from_silence(state, now), None)
                        .await?;
                }
                Ok(())
            })
            .await?;
        }
        Ok(presence)
    }

    /// Who speaks for the host was heard while another machine wants to.
    fn speak(&self, host: &HostId, now: Timestamp) -> Option<Clash> {
        let mut sessions = lock(&self.sessions);
        let claims = sessions.claims.get_mut(host);
        let (clash, contested) =
            claims.map_or((None, false), |claims| (claims.speak(now), claims.is_contested()));
        if !contested {
            lock(&self.roster).contest(host, false);
        }
        clash
    }

    /// Applies a report. `Ok` means durable, or applied before.
    pub async fn report(
        self: &Arc<Self>,
        host: &HostId,
        incoming: Incoming,
    ) -> Result<(), StoreError> {
        let Incoming { sequence, digest, outline, mut posture, bytes, mut place } = incoming;
        posture.observed_at = posture.observed_at.min(self.clock.now());
        let presence = self.hear(host, Some(posture.observed_at)).await?;
        let observed_at = posture.observed_at;
        if presence.outline == Some(outline) {
            // While it waits for the disk, only its bytes are in memory.
            drop(posture);
            place = None;
            let repeat = Repeat { sequence, digest, outline, posture: bytes.clone(), observed_at };
            let (hub, again) = (Arc::clone(self), host.clone());
            if finish(async move { hub.repeat(&again, repeat).await }).await? {
                return Ok(());
            }
            // Its findings stand otherwise than was known here, as after another machine took the host's place.
            let again = posture_from_bytes(&bytes).map_err(|error| StoreError::Failed {
                operation: "read a report again",
                source: Arc::new(error),
            })?;
            posture = Posture { observed_at, ..again };
        }
        let report = StoredReport { posture: bytes, observed_at, host: posture.host.clone() };
        let observation = Observation::new(sequence, digest, posture);
        let step = |state, now| {
            let applied = apply(state, observation, now);
            drop(place);
            applied
        };
        let (hub, host) = (Arc::clone(self), host.clone());
        finish(async move { hub.change(&host, step, Some(report)).await }).await
    }

    /// Puts a report in the place of one with the same outline; `false` when there is none.
    async fn repeat(&self, host: &HostId, repeat: Repeat) -> Result<bool, StoreError> {
        match self.store.host_repeat(host.clone(), repeat).await? {
            Repeated::Done(standing) => lock(&self.roster).commit(host, standing),
            Repeated::Before => {}
            Repeated::Differs => return Ok(false),
        }
        Ok(true)
    }

    /// Finds who has fallen silent. After a start, everyone is given the time to come back.
    pub async fn sweep(&self) {
        let now = self.clock.now();
        let turned = lock(&self.duties).turn(now);
        self.tell_duties(&turned);
        self.renew_vouches(now);
        self.look_at_certificates().await;
        self.look_at_clusters().await;
        let silent_after = self.settings.silent_after;
        if !self.is_settled() {
            return;
        }
        let overdue = lock(&self.roster).overdue(silent_after, self.clock.uptime());
        futures_util::stream::iter(overdue)
            .for_each_concurrent(TOGETHER, |(host, last_seen)| async move {
                let fall = move |state, now| fall_silent(state, last_seen, now);
                match self.change(&host, fall, None).await {
                    Ok(()) => info!(host_id = %host, %last_seen, "a host has fallen silent"),
                    // The store has said why; the next sweep tries again.
                    Err(error) => debug!(host_id = %host, error = chain(&error), "not noted"),
                }
            })
            .await;
    }

    /// Tells the store who was heard of since the last time.
    pub async fn flush(&self) {
        let sightings = lock(&self.roster).take_sightings();
        if sightings.is_empty() {
            return;
        }
        if let Err(error) = self.store.host_sightings(sightings.clone()).await {
            debug!(error = chain(&error), "sightings are kept for the next time");
            lock(&self.roster).put_back(&sightings);
        }
    }

    /// Returns when the roster is free and the store's writer has answered, well or not: both are alive.
    pub async fn answers(&self) {
        drop(lock(&self.roster));
        // Why it refused is told to whom it concerns; a full disk is no reason to start anew.
        drop(self.store.host_sightings(Vec::new()).await);
    }

    async fn change(
        &self,
        host: &HostId,
        step: impl FnOnce(HostState, Timestamp) -> Option<Applied> + Send + 'static,
        report: Option<StoredReport>,
    ) -> Result<(), StoreError> {
        let (step, alerted) = self.step(step, report);
        if let Some(standing) = self.store.host_change(host.clone(), step).await? {
            lock(&self.roster).commit(host, standing);
            self.tell(&alerted);
        }
        Ok(())
    }

    /// Wakes who delivers, when there is something to deliver: most reports tell nothing.
    fn tell(&self, alerted: &AtomicBool) {
        if alerted.load(Ordering::Acquire) {
            self.wake_notifiers();
        }
    }

    /// There may be something to tell.
    pub fn wake_notifiers(&self) {
        self.outbox.send_modify(|changes| *changes += 1);
    }

    /// What a pure step decides, with the alerts that follow, and whether there were any.
    fn step(
        &self,
        step: impl FnOnce(HostState, Timestamp) -> Option<Applied> + Send + 'static,
        report: Option<StoredReport>,
    ) -> (Step, Arc<AtomicBool>) {
        let now = self.clock.now();
        let policy = self.settings.policy;
        let routes = Arc::clone(&self.settings.routes);
        let alerted = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&alerted);
        let step: Step = Box::new(move |state| {
            let mut applied = step(state, now)?;
            let alerts = decide(&mut applied, policy, now);
            told.store(!alerts.is_empty(), Ordering::Release);
            let Applied { state, touched, removed, transitions } = applied;
            let findings = touched
                .into_iter()
                .filter_map(|(key, body)| {
                    let finding = state.findings.get(&key)?.clone();
                    Some((key, finding, body))
                })
                .collect();
            let removed = removed.into_iter().collect();
            Some(Change { state, report, findings, removed, transitions, alerts, routes, at: now })
        });
        (step, alerted)
    }

    /// Fires the alerts that a stricter policy wants for what has long been open.
    async fn tell_untold(&self) -> Result<(), StoreError> {
        let min_severity = self.settings.policy.min_severity;
        let filter = FindingFilter { untold: Some(min_severity), ..FindingFilter::default() };
        let mut page = PageRequest::default();
        loop {
            let found = self.store.finding_list(filter.clone(), page).await?;
            let mut by_host = BTreeMap::<HostId, BTreeMap<FindingKey, Body>>::new();
            for row in found.items {
                let key = FindingKey::from(&row.finding);
                let body = Body::new(row.finding, row.place);
                by_host.entry(row.host_id).or_default().insert(key, body);
            }
            futures_util::stream::iter(by_host.into_iter().map(Ok))
                .try_for_each_concurrent(TOGETHER, |(host, bodies)| async move {
                    let again = move |state, _| Some(Applied::again(state, bodies));
                    self.change(&host, again, None).await
                })
                .await?;
            if found.next.is_empty() {
                break;
            }
            page = PageRequest::new(0, found.next);
        }
        self.store.delivery_join(Arc::clone(&self.settings.routes), self.clock.now()).await
    }
}
