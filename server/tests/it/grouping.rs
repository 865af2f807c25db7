//! How people are told: storms as one notice, in order, not more than they want, and again when it failed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use atrest_proto::model::{Posture, Severity, Verdict};
use atrest_proto::v1;
use atrest_server::alert::{AlertState, Policy, Routes};
use atrest_server::audit::{Entry, Outcome};
use atrest_server::clock::Clock;
use atrest_server::drain;
use atrest_server::enrollment::{Application, Token, hash_secret};
use atrest_server::fleet::cluster::Patience;
use atrest_server::fleet::{HostId, outline};
use atrest_server::hub::{Hub, Incoming, Settings};
use atrest_server::labels::Labels;
use atrest_server::notify::courier::{Courier, Terms};
use atrest_server::notify::quiet::Quiet;
use atrest_server::notify::{Message, NotTaken, Notice, Notifier};
use atrest_server::store::Store;
use atrest_server::store::sqlite::Sqlite;
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::harness::{Agent, until, within};

/// What a notice said: its id, its cluster, and of each message the path and the state.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    id: String,
    cluster: String,
    messages: Vec<(String, AlertState, u32)>,
}

/// Takes notices and answers as the test says.
#[derive(Debug)]
struct People {
    together: usize,
    told: mpsc::UnboundedSender<Told>,
    answers: Mutex<Vec<Result<(), NotTaken>>>,
    /// Paths that are never taken.
    poison: BTreeSet<&'static str>,
}

#[async_trait]
impl Notifier for People {
    fn name(&self) -> &'static str {
        "people"
    }

    fn max_attempts(&self) -> u32 {
        3
    }

    fn together(&self) -> usize {
        self.together
    }

    async fn deliver(&self, notice: &Notice<'_>, _: &Clock) -> Result<(), NotTaken> {
        let message =
            |message: &Message<'_>| (message.alert.path.clone(), message.state, message.repeat);
        let told = Told {
            id: notice.id(),
            cluster: notice.messages[0].alert.cluster.clone(),
            messages: notice.messages.iter().map(message).collect(),
        };
        let poisoned = told.messages.iter().any(|(path, _, _)| self.poison.contains(path.as_str()));
        self.told.send(told).unwrap();
        if poisoned {
            let refused = self.poison.contains("/srv/refused");
            return Err(NotTaken { refused, ..NotTaken::because("what is this?") });
        }
        self.answers.lock().unwrap().pop().unwrap_or(Ok(()))
    }
}

/// A host, and the number of its last report.
type Host = (Agent, HostId, u64);

/// A fleet without its ports, and some people who are told of it.
struct Scene {
    hub: Arc<Hub>,
    store: Arc<Sqlite>,
    clock: Clock,
    told: mpsc::UnboundedReceiver<Told>,
    people: Arc<People>,
    hosts: Vec<Host>,
    drainer: drain::Drainer,
    courier: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Scene {
    async fn new(hosts: usize, terms: Terms, poison: &[&'static str]) -> Self {
        Self::with(hosts, terms, poison, Severity::Medium).await
    }

    /// What is less severe than `least` is no alert.
    async fn with(hosts: usize, terms: Terms, poison: &[&'static str], least: Severity) -> Self {
        let start = "2026-11-27T22:30:00Z".parse().unwrap();
        let clock = Clock::manual(start);
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Sqlite::open(&dir.path().join("atrest.db")).unwrap());
        let shared = Arc::clone(&store) as Arc<dyn Store>;
        let hub = Hub::open(Arc::clone(&shared), settings(least), clock.clone()).await.unwrap();
        let (hub, mut enrolled) = (Arc::new(hub), Vec::new());
        for host in 0..hosts {
            let agent = Agent::new(&format!("es-{host}"));
            let id = enrol(&hub, &*store, &agent, start).await;
            enrolled.push((agent, id, 0));
        }
        let (send, told) = mpsc::unbounded_channel();
        let people = Arc::new(People {
            together: 1_000,
            told: send,
            answers: Mutex::default(),
            poison: poison.iter().copied().collect(),
        });
        let (drainer, drain) = drain::channel();
        let courier = Courier::new(people.clone(), terms, shared, clock.clone());
        let courier = tokio::spawn(courier.run(hub.outbox(), drain));
        Self { hub, store, clock, told, people, hosts: enrolled, drainer, courier, _dir: dir }
    }

    /// A host reports.
    async fn report(&mut self, host: usize, paths: &[(&str, Verdict)]) {
        report(&self.hub, &mut self.hosts[host], paths, self.clock.now()).await;
    }

    /// All hosts report at one time.
    async fn all_report(&mut self, paths: &[(&str, Verdict)]) {
        let (hub, now) = (&self.hub, self.clock.now());
        let reports = self.hosts.iter_mut().map(|host| report(hub, host, paths, now));
        futures_util::future::join_all(reports).await;
    }

    async fn next(&mut self) -> Told {
        within(self.told.recv()).await.expect("the courier runs")
    }

    /// Moves the clock until somebody is told: not when, but that it comes to that, is the question.
    async fn next_after(&mut self, step: Duration) -> Told {
        within(async {
            loop {
                // What is due now is read and told before the clock moves on.
                for _ in 0..20 {
                    tokio::time::sleep(Duration::from_micros(100)).await;
                    if let Ok(told) = self.told.try_recv() {
                        return told;
                    }
                }
                self.clock.advance(step);
            }
        })
        .await
    }

    async fn counts(&self) -> (u64, u64) {
        let counts = self.store.delivery_counts().await.unwrap();
        let counts = counts.get("people").copied().unwrap_or_default();
        (counts.pending, counts.failed)
    }

    async fn settled(&self) {
        until(async || (self.counts().await.0 == 0).then_some(())).await;
    }

    fn waited_since(&self, since: Timestamp) -> SignedDuration {
        self.clock.now().duration_since(since)
    }

    async fn end(self) {
        self.drainer.drain();
        within(self.courier).await.unwrap();
    }
}

fn settings(least: Severity) -> Settings {
    Settings {
        policy: Policy { min_severity: least },
        routes: Arc::new(Routes::everybody(["people".to_owned()])),
        silent_after: Duration::from_hours(1_000),
        patience: Patience::default(),
    }
}

async fn report(hub: &Arc<Hub>, host: &mut Host, paths: &[(&str, Verdict)], now: Timestamp) {
    let (agent, id, sequence) = host;
    *sequence += 1;
    let posture = Posture { observed_at: now, ..agent.posture(paths) };
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&sequence.to_be_bytes());
    let outline = outline(&posture);
    let bytes = v1::Posture::from(posture.clone()).encode_to_vec().into();
    let incoming = Incoming { sequence: *sequence, digest, outline, posture, bytes, place: None };
    hub.report(id, incoming).await.unwrap();
}

async fn enrol(hub: &Hub, store: &dyn Store, agent: &Agent, at: Timestamp) -> HostId {
    let name = agent.host.hostname.clone();
    let token = Token {
        token_id: name.clone(),
        cluster: "prod".to_owned(),
        uses_left: 1,
        created_at: at,
        expires_at: Timestamp::MAX,
        revoked_at: None,
        replaces: None,
        labels: Labels::new(),
    };
    let entry = Entry {
        at,
        operator: String::new(),
        role: None,
        rpc: String::new(),
        object: String::new(),
        address: String::new(),
        outcome: Outcome::Done,
        detail: String::new(),
        count: 1,
    };
    let secret_hash = hash_secret(&name);
    store.token_create(token, secret_hash, entry).await.unwrap();
    let application = Application {
        secret_hash,
        host: agent.host.clone(),
        key_pin: secret_hash,
        host_id: HostId::random(),
        at,
    };
    let admitted = store.host_enroll(application).await.unwrap().unwrap();
    let id = admitted.host.host_id.clone();
    hub.admit(admitted);
    id
}

const PLAIN: Verdict = Verdict::Unencrypted;

#[tokio::test]
async fn a_storm_of_a_thousand_hosts_is_one_notice_for_people() {
    let mut scene = Scene::new(1_000, Terms::default(), &[]).await;
    scene.all_report(&[("/srv", PLAIN)]).await;
    let told = scene.next_after(Duration::from_millis(100)).await;
    assert_eq!((told.cluster.as_str(), told.messages.len()), ("prod", 1_000));
    scene.settled().await;
    assert_eq!(scene.counts().await, (0, 0));
    // It is over as it began.
    scene.all_report(&[("/srv", Verdict::Encrypted)]).await;
    let told = scene.next_after(Duration::from_millis(100)).await;
    let over = |(_, state, _): &(String, AlertState, u32)| *state == AlertState::Resolved;
    assert_eq!(told.messages.iter().filter(|message| over(message)).count(), 1_000);
    scene.settled().await;
    assert!(scene.told.try_recv().is_err());
    scene.end().await;
}

#[tokio::test]
async fn what_is_not_taken_stays_together_and_has_the_same_id() {
    let mut scene = Scene::new(2, Terms::default(), &[]).await;
    scene.people.answers.lock().unwrap().push(Err(NotTaken {
        why: "slow down".to_owned(),
        retry_after: Some(Duration::from_mins(5)),
        refused: false,
    }));
    for host in 0..2 {
        scene.report(host, &[("/srv/a", PLAIN)]).await;
    }
    let first = scene.next_after(Duration::from_millis(100)).await;
    let failed_at = scene.clock.now();
    let again = scene.next_after(Duration::from_secs(30)).await;
    assert_eq!(again, first, "the same id, the same messages");
    let waited = scene.waited_since(failed_at);
    assert!(waited >= SignedDuration::from_mins(5), "{waited}");
    scene.settled().await;
    scene.end().await;
}

#[tokio::test]
async fn one_message_that_is_never_taken_does_not_end_the_others() {
    let mut scene = Scene::new(1, Terms::default(), &["/srv/bad"]).await;
    scene.report(0, &[("/srv/a", PLAIN), ("/srv/bad", PLAIN), ("/srv/c", PLAIN)]).await;
    let mut told = Vec::new();
    while told.len() < 5 {
        told.push(scene.next_after(Duration::from_secs(1)).await.messages.len());
    }
    assert_eq!(told, [3, 3, 1, 1, 1], "its last attempt is alone");
    scene.settled().await;
    assert_eq!(scene.counts().await, (0, 1));
    scene.end().await;
}

#[tokio::test]
async fn what_is_refused_is_found_by_halves_and_the_others_do_not_wait_for_it() {
    let mut scene = Scene::new(1, Terms::default(), &["/srv/refused"]).await;
    let paths =
        ["/srv/a", "/srv/b", "/srv/c", "/srv/d", "/srv/e", "/srv/refused", "/srv/x", "/srv/y"];
    scene.report(0, &paths.map(|path| (path, PLAIN))).await;
    let mut told = Vec::new();
    while told.len() < 2 {
        told.push(scene.next_after(Duration::from_secs(1)).await);
    }
    let sizes: Vec<_> = told.iter().map(|told| told.messages.len()).collect();
    assert_eq!(sizes, [8, 4]);
    while scene.counts().await.0 > 0 {
        drop(scene.next_after(Duration::from_secs(1)).await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(scene.counts().await, (0, 1));
    scene.end().await;
}

#[tokio::test]
async fn no_more_than_the_rate_and_nothing_is_dropped() {
    let terms = Terms {
        rate: Some("2/1h".parse().unwrap()),
        group_wait: Some(Duration::ZERO),
        group_interval: Some(Duration::ZERO),
        ..Terms::default()
    };
    let mut scene = Scene::new(1, terms, &[]).await;
    let paths = ["/a", "/b", "/c", "/d"];
    let mut told = Vec::new();
    for (count, _) in paths.iter().enumerate() {
        let failing: Vec<_> = paths[..=count].iter().map(|path| (*path, PLAIN)).collect();
        scene.report(0, &failing).await;
        if count < 2 {
            told.push(scene.next().await);
            scene.settled().await;
        }
    }
    let used_up = scene.clock.now();
    told.push(scene.next_after(Duration::from_mins(5)).await);
    let waited = scene.waited_since(used_up);
    assert!(waited >= SignedDuration::from_mins(30), "{waited}");
    let messages: Vec<_> = told.iter().map(|told| told.messages.len()).collect();
    assert_eq!(messages, [1, 1, 2], "those that waited are told together");
    scene.end().await;
}

#[tokio::test]
async fn in_quiet_hours_both_begin_and_end_wait_and_are_told_in_order() {
    let all_days = {
        use Weekday::{Friday, Monday, Saturday, Sunday, Thursday, Tuesday, Wednesday};
        vec![Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday]
    };
    let night = Quiet {
        from: Time::constant(22, 0, 0, 0),
        until: Time::constant(7, 0, 0, 0),
        days: all_days,
        zone: TimeZone::UTC,
        passes: Some(Severity::Critical),
    };
    let terms = Terms { quiet: vec![night], ..Terms::default() };
    let mut scene = Scene::new(1, terms, &[]).await;
    // It is half past ten in the evening.
    let evening = scene.clock.now();
    scene.report(0, &[("/srv", PLAIN), ("/data", PLAIN)]).await;
    scene.report(0, &[("/srv", Verdict::Encrypted), ("/data", PLAIN)]).await;
    let firing = scene.next_after(Duration::from_mins(10)).await;
    let waited = scene.waited_since(evening);
    assert!(waited >= SignedDuration::from_mins(8 * 60 + 30), "{waited}");
    assert_eq!(firing.messages.len(), 2);
    assert!(firing.messages.iter().all(|(_, state, _)| *state == AlertState::Firing));
    let resolved = scene.next_after(Duration::from_secs(1)).await;
    assert_eq!(resolved.messages, [("/srv".to_owned(), AlertState::Resolved, 0)]);
    scene.settled().await;
    scene.end().await;
}

#[tokio::test]
async fn what_goes_on_is_told_again_with_an_id_of_its_own() {
    let terms = Terms { repeat_every: Some(Duration::from_hours(4)), ..Terms::default() };
    let mut scene = Scene::new(1, terms, &[]).await;
    scene.report(0, &[("/srv", PLAIN)]).await;
    let first = scene.next_after(Duration::from_millis(100)).await;
    scene.settled().await;
    let told_at = scene.clock.now();
    let again = scene.next_after(Duration::from_mins(20)).await;
    let waited = scene.waited_since(told_at);
    assert!(waited >= SignedDuration::from_hours(4), "{waited}");
    assert_eq!(again.messages, [("/srv".to_owned(), AlertState::Firing, 1)]);
    assert_ne!(again.id, first.id, "it would be taken for the first one");
    let mut ids = BTreeMap::from([(first.id, 0), (again.id, 1)]);
    let third = scene.next_after(Duration::from_mins(20)).await;
    assert!(ids.insert(third.id, 2).is_none());
    scene.end().await;
}

#[tokio::test]
async fn a_rule_that_is_switched_on_fires_for_every_host_that_fails_now() {
    // More than one page of a list.
    const HOSTS: u32 = 1_100;
    let hosts = usize::try_from(HOSTS).unwrap();
    let mut scene = Scene::with(hosts, Terms::default(), &[], Severity::Critical).await;
    scene.all_report(&[("/srv", PLAIN)]).await;
    assert_eq!((scene.hub.counts().failing, scene.hub.counts().firing), (HOSTS.into(), 0));
    let store = Arc::clone(&scene.store) as Arc<dyn Store>;
    let open = async || {
        let settings = settings(Severity::High);
        Hub::open(Arc::clone(&store), settings, scene.clock.clone()).await.unwrap()
    };
    let hub = open().await;
    assert_eq!(hub.counts().firing, u64::from(HOSTS));
    assert_eq!(scene.counts().await, (HOSTS.into(), 0), "one message each");
    // Once: the next start has nothing to add.
    drop(hub);
    assert_eq!(open().await.counts().firing, u64::from(HOSTS));
    assert_eq!(scene.counts().await, (HOSTS.into(), 0));
    scene.end().await;
}
