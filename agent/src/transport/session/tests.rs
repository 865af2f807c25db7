//! The protocol against a model of the server, with losses and crashes at every step.

use atrest_proto::model::Verdict;
use proptest::prelude::*;

use super::super::outbox::tests::posture;
use super::super::spool::{Limits, Spool};
use super::*;

fn outbox(dir: &tempfile::TempDir) -> Outbox {
    Outbox::new(Spool::open(dir.path(), Limits::default()).unwrap())
}

fn welcome(last_sequence: u64) -> Answer {
    Answer::Welcome(v1::Welcome { server_time: None, heartbeat_interval: None, last_sequence })
}

fn ack(sequence: u64) -> Answer {
    Answer::Ack(v1::Ack { sequence })
}

fn resync() -> Answer {
    Answer::Resync(v1::Resync { why: "unknown".to_owned() })
}

fn begin(outbox: &Outbox, pace: Pace) -> (Session, v1::Hello) {
    match Session::begin("h".to_owned(), Host::default(), outbox, pace) {
        (session, Say::Hello(hello)) => (session, hello),
        (_, other) => panic!("{other:?}"),
    }
}

fn sent(session: &mut Session, outbox: &mut Outbox) -> Vec<u64> {
    let mut sequences = Vec::new();
    while let Some(say) = session.report(outbox).unwrap() {
        let Say::Report(report) = say else { panic!("{say:?}") };
        sequences.push(report.sequence);
    }
    sequences
}

fn seen() -> Timestamp {
    Timestamp::from_second(9).unwrap()
}

#[test]
fn reports_wait_for_the_welcome_and_go_out_a_window_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = outbox(&dir);
    for number in 0..40 {
        outbox.offer(&posture(&number.to_string(), 0)).unwrap();
    }
    let (mut session, hello) = begin(&outbox, Pace::Window);
    assert!(hello.digest.is_empty());
    assert_eq!(sent(&mut session, &mut outbox), [0_u64; 0]);
    session.hear(welcome(0), &mut outbox).unwrap();
    assert_eq!(sent(&mut session, &mut outbox), (1..=32).collect::<Vec<_>>());
    assert_eq!(session.hear(ack(10), &mut outbox).unwrap(), Heard::Progress);
    assert_eq!(sent(&mut session, &mut outbox), (33..=40).collect::<Vec<_>>());
    assert_eq!(session.heartbeat(&outbox, seen()), None);
    session.hear(ack(40), &mut outbox).unwrap();
    assert!(outbox.spool().is_empty() && !session.awaits());
    assert!(session.heartbeat(&outbox, seen()).is_some());
    assert!(session.awaits(), "a heartbeat is answered");
    assert_eq!(session.heartbeat(&outbox, seen()), None, "one at a time");
    assert_eq!(session.hear(ack(40), &mut outbox).unwrap(), Heard::Alive);
}

#[test]
fn which_clusters_it_is_in_is_said_once_and_again_when_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = outbox(&dir);
    let (mut session, _) = begin(&outbox, Pace::Window);
    let said = Said::default();
    assert_eq!(session.belong(said.clone()), None, "before the welcome");
    session.hear(welcome(0), &mut outbox).unwrap();
    assert!(session.belong(said.clone()).is_some(), "that it has no nodes is news, too");
    assert_eq!(session.belong(said.clone()), None);
    let partial = Said { is_partial: true, ..said };
    assert!(session.belong(partial).is_some());
}

#[test]
fn an_acknowledgement_of_what_was_not_sent_removes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = outbox(&dir);
    outbox.offer(&posture("a", 0)).unwrap();
    let (mut session, _) = begin(&outbox, Pace::Window);
    assert!(session.hear(ack(1), &mut outbox).is_err(), "before the welcome");
    session.hear(welcome(0), &mut outbox).unwrap();
    session.hear(ack(u64::MAX), &mut outbox).unwrap();
    assert_eq!(outbox.spool().len(), 1);
    assert!(session.hear(welcome(0), &mut outbox).is_err(), "twice");
}

#[test]
fn a_lost_acknowledgement_is_made_up_by_the_welcome_without_sending_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = outbox(&dir);
    let (mut session, _) = begin(&outbox, Pace::Window);
    session.hear(welcome(0), &mut outbox).unwrap();
    outbox.offer(&posture("a", 0)).unwrap();
    assert_eq!(sent(&mut session, &mut outbox), [1]);
    let (mut session, _) = begin(&outbox, Pace::Window);
    session.hear(welcome(1), &mut outbox).unwrap();
    assert_eq!(sent(&mut session, &mut outbox), [0_u64; 0]);
    assert!(outbox.settled().is_some());
    // The server compared the outdated hello.
    assert_eq!(session.hear(resync(), &mut outbox).unwrap(), Heard::Alive);
    session.heartbeat(&outbox, seen()).unwrap();
    assert!(matches!(session.hear(resync(), &mut outbox).unwrap(), Heard::Resync { .. }));
}

#[test]
fn a_report_that_the_server_cannot_take_is_found_and_does_not_block_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = outbox(&dir);
    for name in ["a", "b", "c"] {
        outbox.offer(&posture(name, 0)).unwrap();
    }
    let (mut session, _) = begin(&outbox, Pace::Window);
    session.hear(welcome(0), &mut outbox).unwrap();
    assert_eq!(sent(&mut session, &mut outbox), [1, 2, 3]);
    let pace = session.blame(&mut outbox);
    assert_eq!(outbox.spool().len(), 3, "it is not known yet which");
    let (mut session, _) = begin(&outbox, pace);
    session.hear(welcome(1), &mut outbox).unwrap();
    assert_eq!(sent(&mut session, &mut outbox), [2]);
    session.blame(&mut outbox);
    assert_eq!(outbox.spool().losses().refused, 1);
    let (mut session, _) = begin(&outbox, Pace::OneByOne);
    session.hear(welcome(1), &mut outbox).unwrap();
    assert_eq!(sent(&mut session, &mut outbox), [3]);
}

#[test]
fn renewal_is_asked_for_once_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = outbox(&dir);
    let (mut session, _) = begin(&outbox, Pace::Window);
    assert!(session.renewal(vec![1]).is_none(), "before the welcome");
    session.hear(welcome(0), &mut outbox).unwrap();
    assert!(session.renewal(vec![1]).is_some());
    assert!(session.renewal(vec![1]).is_none());
    let renewed = Answer::Renewed(v1::Renewed::default());
    assert!(matches!(session.hear(renewed, &mut outbox).unwrap(), Heard::Renewed(_)));
    assert!(session.renewal(vec![1]).is_some());
}

/// The server's side: idempotent on the number, as the contract says.
#[derive(Debug, Default)]
struct Server {
    last: u64,
    digest: Vec<u8>,
    /// Names of the hosts of the postures that it took, in order.
    history: Vec<String>,
}

impl Server {
    fn take(&mut self, report: v1::Report) {
        if report.sequence > self.last {
            self.last = report.sequence;
            self.digest = report.digest;
            self.history.push(report.posture.unwrap().host.unwrap().hostname);
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// The host changes to one of a few states, and is scanned.
    Scan(u8),
    Connect,
    /// The server takes so many of what was sent, and only the last `acks` of its answers arrive.
    Serve {
        reports: usize,
        answered: bool,
    },
    Disconnect,
    /// kill -9 of the agent.
    Crash,
    /// The state directory goes back to nothing.
    Wipe,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_u8..4).prop_map(Step::Scan),
        4 => Just(Step::Connect),
        6 => (1_usize..5, any::<bool>()).prop_map(|(reports, answered)| Step::Serve { reports, answered }),
        1 => Just(Step::Disconnect),
        2 => Just(Step::Crash),
        1 => Just(Step::Wipe),
    ]
}

struct World {
    dir: tempfile::TempDir,
    outbox: Outbox,
    session: Option<Session>,
    /// What was sent and did not arrive yet.
    wire: VecDeque<v1::Report>,
    server: Server,
    latest: Option<u8>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let outbox = outbox(&dir);
        let server = Server::default();
        Self { dir, outbox, session: None, wire: VecDeque::new(), server, latest: None }
    }

    fn scan(&mut self, state: u8) {
        self.latest = Some(state);
        self.outbox.offer(&posture(&state.to_string(), 0)).unwrap();
        self.pump();
    }

    fn connect(&mut self) {
        self.wire.clear();
        let (session, hello) = begin(&self.outbox, Pace::Window);
        self.session = Some(session);
        self.hear(welcome(self.server.last));
        // As the daemon does: the welcome can say that the server holds nothing of this host.
        if let Some(state) = self.latest {
            self.scan(state);
        }
        if !hello.digest.is_empty() && hello.digest != self.server.digest {
            self.hear(resync());
        }
    }

    fn hear(&mut self, answer: Answer) {
        let Some(session) = &mut self.session else { return };
        if let Heard::Resync { .. } = session.hear(answer, &mut self.outbox).unwrap() {
            self.outbox.spool_mut().forget_acknowledged().unwrap();
            if let Some(state) = self.latest {
                self.outbox.offer(&posture(&state.to_string(), 0)).unwrap();
            }
        }
        self.pump();
    }

    fn pump(&mut self) {
        let Some(session) = &mut self.session else { return };
        while let Some(say) = session.report(&mut self.outbox).unwrap() {
            let Say::Report(report) = say else { panic!("{say:?}") };
            self.wire.push_back(report);
        }
    }

    fn serve(&mut self, reports: usize, answered: bool) {
        for _ in 0..reports {
            let Some(report) = self.wire.pop_front() else { return };
            let sequence = report.sequence;
            self.server.take(report);
            if answered {
                self.hear(ack(sequence));
            }
        }
    }

    fn crash(&mut self) {
        self.session = None;
        self.wire.clear();
        self.latest = None;
        self.outbox = outbox(&self.dir);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Every change that was seen arrives, once and in order, whatever breaks in between; after a wiped state
    /// directory at least the present arrives.
    #[test]
    fn what_was_seen_arrives_once_and_in_order(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::new();
        let mut seen: Vec<u8> = Vec::new();
        let mut wiped = false;
        for step in steps {
            match step {
                Step::Scan(state) => {
                    // The agent cannot know a change from what it forgot.
                    seen.push(state);
                    world.scan(state);
                }
                Step::Connect => world.connect(),
                Step::Serve { reports, answered } => world.serve(reports, answered),
                Step::Disconnect => world.session = None,
                Step::Crash => world.crash(),
                Step::Wipe => {
                    wiped = true;
                    world.session = None;
                    world.dir = tempfile::tempdir().unwrap();
                    world.crash();
                }
            }
        }
        // In the end the server is there and the host is seen once more.
        world.scan(9);
        seen.push(9);
        world.connect();
        while !world.wire.is_empty() {
            world.serve(5, true);
        }
        seen.dedup();
        let mut arrived = world.server.history.clone();
        prop_assert_eq!(arrived.last().map(String::as_str), Some("9"));
        prop_assert!(world.outbox.spool().is_empty());
        prop_assert!(world.outbox.settled().is_some());
        if !wiped {
            arrived.dedup();
            let seen: Vec<_> = seen.iter().map(ToString::to_string).collect();
            prop_assert_eq!(&arrived, &seen);
            // A repetition is the answer to a resync only.
            prop_assert!(world.server.history.len() <= seen.len() + 1, "{:?}", world.server.history);
        }
    }
}

#[test]
fn what_is_shared_is_said_once_on_each_stream_and_what_is_delegated_is_heard() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = outbox(&dir);
    let (mut session, _) = begin(&outbox, Pace::Window);
    let keys = BTreeSet::from([[7; 32]]);
    assert_eq!(session.share(keys.clone()), None, "not before the welcome");
    session.hear(welcome(0), &mut outbox).unwrap();
    assert_eq!(session.share(BTreeSet::new()), None, "nothing is what the server believes");
    assert!(
        matches!(session.share(keys.clone()), Some(Say::Shares(said)) if said.keys == [[7; 32]])
    );
    assert_eq!(session.share(keys), None);
    let delegated = [(vec![7; 32], "es-2"), (vec![7; 5], "es-3")]
        .map(|(key, hostname)| v1::Delegation { key, hostname: hostname.to_owned() });
    let duties = Answer::Duties(v1::Duties { delegated: delegated.to_vec() });
    let heard = session.hear(duties, &mut outbox).unwrap();
    assert_eq!(heard, Heard::Duties(BTreeMap::from([([7; 32], "es-2".to_owned())])));
    assert!(!session.awaits(), "nothing is owed for it");
}

#[test]
fn what_machines_have_of_each_other_is_said_once_on_each_stream() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = outbox(&dir);
    let (mut session, _) = begin(&outbox, Pace::Window);
    let place = RemoteDirectory { address: "10.0.0.5".parse().unwrap(), path: "/b".into() };
    let borrowed = BTreeSet::from([place.clone()]);
    let addresses = BTreeSet::from([place.address]);
    let nothing = Offer { addresses: addresses.clone(), ..Offer::default() };
    let lent = Offer { exports: BTreeMap::from([("/b".into(), Verdict::Encrypted)]), addresses };
    assert_eq!(session.borrow(borrowed.clone()), None, "not before the welcome");
    session.hear(welcome(0), &mut outbox).unwrap();
    // So that nobody else can call them its own.
    assert!(
        matches!(session.lend(nothing.clone()), Some(Say::Exports(said)) if said.addresses.len() == 1)
    );
    assert_eq!(session.lend(nothing.clone()), None);
    assert!(
        matches!(session.lend(lent.clone()), Some(Say::Exports(said)) if said.exports.len() == 1)
    );
    assert_eq!(session.lend(lent), None);
    assert!(matches!(session.lend(nothing), Some(Say::Exports(said)) if said.exports.is_empty()));
    assert!(matches!(session.borrow(borrowed.clone()), Some(Say::RemoteDirectories(_))));
    assert_eq!(session.borrow(borrowed), None);
    let vouch = v1::Vouch {
        directory: Some(v1::RemoteDirectory { address: vec![10, 0, 0, 5], path: b"/b".to_vec() }),
        hostname: "fs-1".to_owned(),
        verdict: v1::Verdict::Encrypted.into(),
    };
    let vouches = Answer::Vouches(v1::Vouches { vouches: vec![vouch], complete: true });
    let word = Vouch { host: "fs-1".to_owned(), verdict: Verdict::Encrypted };
    let heard = session.hear(vouches, &mut outbox).unwrap();
    assert_eq!(heard, Heard::Vouches(BTreeMap::from([(place, Some(word))]), true));
    assert!(!session.awaits(), "nothing is owed for it");
}
