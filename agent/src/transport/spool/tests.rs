//! The spool against crashes, damage, a full disk and a server that knows better.

use std::path::Path;

use proptest::prelude::*;

use super::directory::{DAMAGED, KEPT_ASIDE};
use super::*;

fn limits(bytes: u64, reports: usize) -> Limits {
    Limits { bytes, reports }
}

fn open(dir: &Path) -> Spool {
    Spool::open(dir, limits(1 << 20, 100)).unwrap()
}

fn digest(of: u8) -> PostureDigest {
    [of; 32]
}

fn queued(spool: &Spool) -> Vec<u64> {
    let mut sequences = Vec::new();
    while let Some(entry) = spool.after(sequences.last().copied().unwrap_or(0)) {
        sequences.push(entry.sequence);
    }
    sequences
}

fn whole(path: &Path) -> Vec<u8> {
    files::read_bounded(path, 1 << 20).unwrap().unwrap()
}

/// The payloads that wait, in order.
fn contents(spool: &mut Spool) -> Vec<Vec<u8>> {
    queued(spool)
        .into_iter()
        .filter_map(|sequence| {
            let entry = spool.after(sequence - 1)?;
            spool.read(entry).unwrap()
        })
        .collect()
}

#[test]
fn reports_come_back_in_order_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    for payload in [b"one".as_slice(), b"two", b"three"] {
        spool.push(digest(1), payload).unwrap();
    }
    drop(spool);
    let mut spool = open(dir.path());
    assert_eq!(contents(&mut spool), [b"one".as_slice(), b"two", b"three"]);
    assert_eq!(spool.next_sequence(), 4);
}

#[test]
fn numbers_go_on_after_everything_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    spool.push(digest(1), b"one").unwrap();
    spool.push(digest(2), b"two").unwrap();
    spool.acknowledge(2).unwrap();
    assert!(spool.is_empty());
    drop(spool);
    let spool = open(dir.path());
    assert_eq!(spool.next_sequence(), 3);
    assert_eq!(spool.acknowledged(), Some(Acknowledged { sequence: 2, digest: digest(2) }));
    assert_eq!(spool.newest_digest(), Some(digest(2)));
}

#[test]
fn a_full_spool_drops_the_oldest_counts_them_and_keeps_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(dir.path(), limits(3 * 180, 100)).unwrap();
    for of in 1..=5 {
        spool.make_room(100).unwrap();
        spool.push(digest(of), &[of; 100]).unwrap();
    }
    assert_eq!(queued(&spool), [3, 4, 5]);
    assert!(spool.bytes() <= 3 * 180);
    assert_eq!(spool.losses(), Losses { dropped: 2, ..Losses::default() });
    assert_eq!(spool.loss().map(|loss| loss.from), Some(1));
    assert!(matches!(spool.make_room(1000), Err(SpoolError::TooLarge { size: 1080 })));
    drop(spool);
    let spool = Spool::open(dir.path(), limits(3 * 180, 100)).unwrap();
    assert_eq!(spool.losses().dropped, 2, "a restart forgets no loss");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4, "three reports and the ledger");
}

#[test]
fn a_damaged_report_is_moved_aside_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    for of in 1..=3 {
        spool.push(digest(of), &[of; 50]).unwrap();
    }
    let second = path_in(dir.path(), 2, REPORT);
    let mut bytes = whole(&second);
    bytes[100] ^= 1;
    fs::write(&second, &bytes).unwrap();
    drop(spool);
    let mut spool = open(dir.path());
    assert_eq!(queued(&spool), [1, 2, 3], "the header is whole");
    assert_eq!(contents(&mut spool), [[1; 50], [3; 50]]);
    assert_eq!(spool.losses().damaged, 1);
    assert!(path_in(dir.path(), 2, DAMAGED).exists());
}

#[test]
fn what_is_moved_aside_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    for of in 1..=30 {
        let sequence = spool.push(digest(of), b"x").unwrap();
        spool.set_aside(sequence, Cause::Refused);
    }
    let kept = fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(kept, KEPT_ASIDE + 1, "and the ledger");
    assert_eq!(spool.losses().refused, 30);
}

#[test]
fn a_damaged_ledger_loses_no_report() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    spool.push(digest(1), b"one").unwrap();
    spool.acknowledge(1).unwrap();
    spool.push(digest(2), b"two").unwrap();
    drop(spool);
    fs::write(ledger_path(dir.path()), "{").unwrap();
    let mut spool = open(dir.path());
    assert_eq!(contents(&mut spool), [b"two"]);
    assert_eq!(spool.next_sequence(), 3);
}

#[test]
fn a_server_that_knows_later_numbers_makes_the_queue_go_on_above_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    for of in 1..=3 {
        spool.push(digest(of), &[of]).unwrap();
    }
    spool.learn("h", 100).unwrap();
    assert_eq!(queued(&spool), [101, 102, 103]);
    assert_eq!(contents(&mut spool), [[1], [2], [3]]);
    assert_eq!(spool.push(digest(4), &[4]).unwrap(), 104);
    spool.learn("h", 101).unwrap();
    assert_eq!(queued(&spool), [102, 103, 104], "now it is an acknowledgement");
}

#[test]
fn numbers_of_another_host_are_not_taken_for_acknowledgements() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    spool.learn("first", 0).unwrap();
    for of in 1..=3 {
        spool.push(digest(of), &[of]).unwrap();
    }
    spool.learn("first", 1).unwrap();
    assert_eq!(queued(&spool), [2, 3]);
    spool.learn("second", 3).unwrap();
    assert_eq!(queued(&spool), [4, 5]);
    assert_eq!(contents(&mut spool), [[2], [3]]);
    assert_eq!(spool.acknowledged(), None, "the new one holds nothing of this host");
}

#[test]
fn renumbering_that_a_crash_cut_short_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    for of in 1..=4 {
        spool.push(digest(of), &[of]).unwrap();
    }
    spool.ledger.known_as = Some("h".to_owned());
    spool.ledger.renumbering = Some(Renumbering { until: 5, by: 100 });
    spool.ledger.next = 105;
    spool.save().unwrap();
    for done in [4, 3] {
        fs::rename(path_in(dir.path(), done, REPORT), path_in(dir.path(), done + 100, REPORT))
            .unwrap();
    }
    drop(spool);
    let mut spool = open(dir.path());
    assert_eq!(queued(&spool), [101, 102, 103, 104]);
    assert_eq!(contents(&mut spool), [[1], [2], [3], [4]]);
    spool.learn("h", 100).unwrap();
    assert_eq!(spool.len(), 4);
}

#[test]
fn what_the_disk_does_not_take_stays_in_memory_and_heals() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    spool.push(digest(1), b"one").unwrap();
    // A directory where the file should go fails for root too, as a full disk does.
    let blocked = path_in(dir.path(), 2, REPORT);
    fs::create_dir(&blocked).unwrap();
    assert!(matches!(spool.push(digest(2), b"two"), Err(SpoolError::Write { sequence: 2, .. })));
    assert!(spool.is_behind());
    assert_eq!(queued(&spool), [1, 2]);
    assert_eq!(contents(&mut spool), [b"one", b"two"]);
    assert!(spool.retry().is_err());
    fs::remove_dir(&blocked).unwrap();
    spool.retry().unwrap();
    assert!(!spool.is_behind());
    drop(spool);
    assert_eq!(contents(&mut open(dir.path())), [b"one", b"two"]);
}

#[test]
fn the_newest_replaces_what_is_held_and_that_loss_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    for sequence in 1..=2 {
        fs::create_dir(path_in(dir.path(), sequence, REPORT)).unwrap();
    }
    assert!(spool.push(digest(1), b"one").is_err());
    assert!(spool.push(digest(2), b"two").is_err());
    assert_eq!(contents(&mut spool), [b"two"]);
    assert_eq!(spool.losses().dropped, 1);
    spool.acknowledge(2).unwrap();
    assert!(spool.is_empty(), "what is in memory can be delivered too");
}

#[derive(Debug, Clone)]
enum Act {
    Push(usize),
    Acknowledge(u64),
    Learn(u64),
    /// Starts again, with the newest file cut to this many bytes, as a disk that lied about its writes leaves it.
    Crash(Option<usize>),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0_usize..400).prop_map(Act::Push),
        2 => (0_u64..4).prop_map(Act::Acknowledge),
        1 => (0_u64..3).prop_map(Act::Learn),
        1 => proptest::option::of(0_usize..200).prop_map(Act::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever happens: numbers grow, the bound holds, what waits reads back as it was written and in order, and
    /// every report is acknowledged, waiting, or counted as lost.
    #[test]
    fn nothing_is_lost_in_silence(acts in prop::collection::vec(act(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let limits = limits(2000, 6);
        let mut spool = Spool::open(dir.path(), limits).unwrap();
        let mut highest = 0;
        let (mut pushed, mut acknowledged) = (0_u64, 0_u64);
        for act in acts {
            match act {
                Act::Push(size) => {
                    spool.make_room(size).unwrap();
                    let sequence = spool.push(digest(7), &vec![7; size]).unwrap();
                    prop_assert!(sequence > highest, "{sequence} after {highest}");
                    highest = sequence;
                    pushed += 1;
                }
                Act::Acknowledge(ahead) => {
                    let before = spool.len() as u64;
                    let first = spool.after(0).map_or(0, |entry| entry.sequence);
                    spool.acknowledge(first + ahead).unwrap();
                    acknowledged += before - spool.len() as u64;
                }
                Act::Learn(beyond) => {
                    let before = spool.len();
                    spool.learn("h", spool.next_sequence() + beyond).unwrap();
                    prop_assert_eq!(spool.len(), before);
                    highest = spool.next_sequence() - 1;
                }
                Act::Crash(cut) => {
                    let newest = queued(&spool).last().copied();
                    drop(spool);
                    if let (Some(sequence), Some(cut)) = (newest, cut) {
                        let path = path_in(dir.path(), sequence, REPORT);
                        let bytes = whole(&path);
                        fs::write(&path, &bytes[..cut.min(bytes.len())]).unwrap();
                        fs::write(dir.path().join(".x.tmp"), "left behind").unwrap();
                    }
                    spool = Spool::open(dir.path(), limits).unwrap();
                    prop_assert!(spool.next_sequence() > highest);
                }
            }
            prop_assert!(spool.bytes() <= limits.bytes && spool.len() <= limits.reports);
            prop_assert_eq!(acknowledged + spool.len() as u64 + spool.losses().total(), pushed);
        }
        let waiting = spool.len();
        prop_assert_eq!(contents(&mut spool).len(), waiting);
    }
}
