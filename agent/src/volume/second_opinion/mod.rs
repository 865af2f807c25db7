//! A second evaluator, naive and obviously right, and random hosts to compare the two on.
//!
//! It walks a small model of its own, in which each thing knows what it stands on, takes every route to its end one by
//! one, and applies the table of `ARCHITECTURE.md` to the list of ends. It shares nothing with the evaluator: no cache, no
//! adding up of outcomes, no dissection. Only what the evaluator is given is made from the model.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "most things of the model are of no interest to most questions"
)]

use std::collections::BTreeSet;

use atrest_proto::model::{PathPosture, Reason, Use, Verdict};
use proptest::prelude::*;

use super::Evaluator;
use super::tests::host;
use crate::dm_table::parse_target;
use crate::path::HostPath;
use crate::snapshot::{
    BlockDevice, DeviceNumber, DmFacts, Fscrypt, Journal, LoopBacking, LoopFacts, MdFacts,
    MdMember, Mount, Namespace, Observed, Resolved, Snapshot, Swap, Target, Trouble,
};

/// A device by its place in [`World::devices`], or a mount by its place in [`World::mounts`].
type At = usize;

/// What a device is made of. A device stands on earlier ones only.
#[derive(Debug, Clone)]
enum Device {
    Disk,
    /// Something names it, and it is not there.
    Gone,
    RamDisk,
    Nbd,
    Partition(At),
    /// A partition whose directory could not be read whole.
    Troubled(At),
    Linear {
        parts: Vec<At>,
        /// A device below that the table does not name.
        extra: Option<At>,
    },
    Striped(Vec<At>),
    Crypt {
        below: At,
        extra: Option<At>,
    },
    Null(At),
    Segments(Vec<(Segment, At)>),
    Integrity {
        data: At,
        meta: Option<At>,
        journals: bool,
    },
    Verity {
        data: At,
        hashes: At,
    },
    Cache {
        metadata: At,
        fast: At,
        origin: At,
    },
    WriteCache {
        origin: At,
        fast: At,
    },
    Snapshot {
        origin: At,
        store: At,
    },
    Origin(At),
    Thin {
        pool: At,
        external: Option<At>,
    },
    Pool {
        metadata: At,
        data: At,
    },
    Mirror {
        log: Option<At>,
        legs: Vec<At>,
    },
    Raid {
        journal: Option<At>,
        metadata: At,
        legs: Vec<At>,
    },
    Multipath(Vec<At>),
    Md(Vec<(Member, At)>),
    /// A loop device on a file of a mount.
    Loop {
        mount: At,
        told: bool,
    },
    /// A loop device on a device.
    LoopOn(At),
    /// A loop device on a file of which only an old name is known.
    Deleted,
    Bcache {
        backing: At,
        caches: Vec<At>,
    },
    Drbd(At),
    Zram(Option<At>),
    UnknownTarget(At),
    /// The table could not be read.
    Sealed(At),
    /// `zero` and `error`.
    Dropped,
    /// Linear, opened from a LUKS2 header that says that the drive encrypts.
    Opal(At),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Segment {
    Crypt,
    Null,
    Linear,
    Zero,
    Unknown,
}

#[derive(Debug, Clone, Copy)]
enum Member {
    Active,
    Faulty,
    Spare,
    Rebuilding,
    Journal,
}

#[derive(Debug, Clone)]
enum Files {
    /// ext4 on a device, with its journal.
    Ext(At, Ext),
    Xfs {
        device: At,
        log: Option<At>,
        realtime: Option<At>,
    },
    Vfat(At),
    /// The further devices; `None` when the superblock was not read.
    F2fs(At, Option<Vec<At>>),
    Btrfs(Vec<At>),
    Bcachefs(Vec<At>),
    Tmpfs,
    Ramfs,
    Proc,
    Autofs,
    Nfs,
    Gocryptfs,
    Sshfs,
    Strange,
    /// The mounts that hold upper and work directory.
    Overlay(At, At),
    /// Over a mount; whether names are encrypted too.
    Ecryptfs(At, bool),
}

#[derive(Debug, Clone, Copy)]
enum Ext {
    Inside,
    Unasked,
    Elsewhere(At),
    SomewhereElse,
}

#[derive(Debug, Clone)]
struct Mounted {
    files: Files,
    point: &'static str,
    parent: Option<At>,
    /// The first mount of the same file system.
    first: At,
}

#[derive(Debug, Clone)]
enum Swapped {
    Device(At),
    File(At),
    Unreadable,
}

#[derive(Debug, Clone, Default)]
struct World {
    devices: Vec<Device>,
    mounts: Vec<Mounted>,
    swaps: Vec<Swapped>,
    /// It is not known what swap there is.
    swap_hidden: bool,
}

/// What a route passes on its way that changes what its end means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Pass {
    Segment,
    NullCipher,
    Journal,
    Cache,
    Store,
    Swap,
    Submount,
    Names,
    Drive,
    Perhaps,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Plain(String),
    Encrypted(String),
    Claimed,
    Unknown,
    Memory,
}

/// The end of a route, and what was passed before it, from the top.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Route {
    passed: Vec<Pass>,
    end: End,
}

/// Takes all routes, one by one.
struct Walker<'a> {
    world: &'a World,
    passed: Vec<Pass>,
    /// What the route stands on so far.
    on_the_way: Vec<(char, At)>,
    routes: Vec<Route>,
    /// A route came back to where it had been.
    circular: bool,
}

/// So many routes make a case that is too large to be taken one by one.
const MAX_ROUTES: usize = 20_000;

impl Walker<'_> {
    fn end(&mut self, end: End) {
        if self.routes.len() <= MAX_ROUTES {
            self.routes.push(Route { passed: self.passed.clone(), end });
        }
    }

    fn by(&mut self, pass: Pass, go: impl FnOnce(&mut Self)) {
        self.passed.push(pass);
        go(self);
        self.passed.pop();
    }

    /// Goes on unless the route has been here.
    fn on(&mut self, step: (char, At), go: impl FnOnce(&mut Self)) {
        if self.routes.len() > MAX_ROUTES {
            return;
        }
        if self.on_the_way.contains(&step) {
            self.circular = true;
            return self.end(End::Unknown);
        }
        self.on_the_way.push(step);
        go(self);
        self.on_the_way.pop();
    }

    fn device(&mut self, at: At) {
        self.on(('d', at), |walker| walker.below_device(at));
    }

    fn all(&mut self, devices: &[At]) {
        for at in devices {
            self.device(*at);
        }
    }

    fn below_device(&mut self, at: At) {
        match &self.world.devices[at] {
            Device::Disk => self.end(End::Plain(node(self.world, at))),
            Device::Gone
            | Device::Nbd
            | Device::Deleted
            | Device::UnknownTarget(_)
            | Device::Sealed(_) => self.end(End::Unknown),
            Device::RamDisk | Device::Zram(None) => self.end(End::Memory),
            Device::Dropped => {}
            Device::Partition(below) | Device::LoopOn(below) | Device::Zram(Some(below)) => {
                self.device(*below);
            }
            Device::Troubled(below) | Device::Drbd(below) => {
                self.device(*below);
                self.end(End::Unknown);
            }
            Device::Linear { parts, extra } => {
                self.all(parts);
                self.all(extra.as_slice());
            }
            Device::Striped(parts) | Device::Multipath(parts) => self.all(parts),
            Device::Crypt { below, extra } => {
                self.end(End::Encrypted(node(self.world, at)));
                // Named by the table, it holds ciphertext.
                self.all(extra.filter(|extra| extra != below).as_slice());
            }
            Device::Null(below) => self.by(Pass::NullCipher, |walker| walker.device(*below)),
            Device::Segments(segments) => {
                let crypted =
                    segments.iter().any(|(kind, _)| matches!(kind, Segment::Crypt | Segment::Null));
                for (kind, below) in segments {
                    match kind {
                        Segment::Crypt => self.end(End::Encrypted(node(self.world, at))),
                        Segment::Null => {
                            self.by(Pass::NullCipher, |walker| walker.device(*below));
                        }
                        Segment::Linear if crypted => {
                            self.by(Pass::Segment, |walker| walker.device(*below));
                        }
                        Segment::Linear => self.device(*below),
                        Segment::Zero => {}
                        Segment::Unknown => self.end(End::Unknown),
                    }
                }
            }
            Device::Integrity { data, meta, journals } => {
                self.device(*data);
                if let (Some(meta), true) = (meta, journals) {
                    self.by(Pass::Journal, |walker| walker.device(*meta));
                }
            }
            Device::Verity { data, .. } | Device::Pool { data, .. } => self.device(*data),
            Device::Cache { fast, origin, .. } | Device::WriteCache { fast, origin } => {
                self.device(*origin);
                self.by(Pass::Cache, |walker| walker.device(*fast));
            }
            Device::Snapshot { origin, store } => {
                self.device(*origin);
                self.by(Pass::Store, |walker| walker.device(*store));
            }
            Device::Origin(below) => {
                self.device(*below);
                for other in &self.world.devices {
                    if let Device::Snapshot { origin, store } = other
                        && origin == below
                    {
                        self.by(Pass::Store, |walker| walker.device(*store));
                    }
                    // What cannot be read may be a snapshot.
                    if matches!(other, Device::Sealed(on) if on == below) {
                        self.end(End::Unknown);
                    }
                }
            }
            Device::Thin { pool, external } => {
                self.device(*pool);
                self.all(external.as_slice());
            }
            Device::Mirror { legs, .. } => self.all(legs),
            Device::Raid { journal, legs, .. } => {
                self.all(legs);
                if let Some(journal) = journal {
                    self.by(Pass::Journal, |walker| walker.device(*journal));
                }
            }
            Device::Md(members) => {
                let mut counted = 0;
                for (member, below) in members {
                    match member {
                        Member::Spare => continue,
                        Member::Active | Member::Faulty | Member::Rebuilding => self.device(*below),
                        Member::Journal => self.by(Pass::Journal, |walker| walker.device(*below)),
                    }
                    counted += 1;
                }
                if counted == 0 {
                    self.end(End::Unknown);
                }
            }
            Device::Loop { mount, told } => {
                let mounted = &self.world.mounts[*mount];
                // What `stat` says of a file on btrfs is in no mount table: its name decides, when it still holds.
                let certain = match (told, &mounted.files) {
                    (true, Files::Btrfs(_)) => self.world.name_leads_home(*mount),
                    (true, _) => true,
                    (false, _) => self.world.is_unambiguous(*mount),
                };
                if certain {
                    self.mount(if *told { mounted.first } else { *mount });
                } else {
                    self.end(End::Unknown);
                }
            }
            Device::Bcache { backing, caches } => {
                if !caches.contains(backing) {
                    self.device(*backing);
                }
                for cache in caches {
                    self.by(Pass::Cache, |walker| walker.device(*cache));
                }
            }
            Device::Opal(below) => self.by(Pass::Drive, |walker| walker.device(*below)),
        }
    }

    fn mount(&mut self, at: At) {
        let first = self.world.mounts[at].first;
        self.on(('m', first), |walker| walker.below_mount(at));
    }

    fn below_mount(&mut self, at: At) {
        let mounted = &self.world.mounts[at];
        match &mounted.files {
            Files::Ext(device, ext) => {
                self.device(*device);
                match ext {
                    Ext::Inside | Ext::Unasked => {}
                    Ext::Elsewhere(journal) => {
                        self.by(Pass::Journal, |walker| walker.device(*journal));
                    }
                    Ext::SomewhereElse => self.end(End::Unknown),
                }
            }
            Files::Xfs { device, log, realtime } => {
                self.device(*device);
                self.all(realtime.as_slice());
                if let Some(log) = log {
                    self.by(Pass::Journal, |walker| walker.device(*log));
                }
            }
            Files::Vfat(device) => self.device(*device),
            Files::F2fs(device, further) => {
                self.device(*device);
                match further {
                    Some(further) => self.all(further),
                    None => self.end(End::Unknown),
                }
            }
            Files::Btrfs(devices) if !devices.is_empty() => self.all(devices),
            Files::Bcachefs(devices) if !devices.is_empty() => {
                for device in devices {
                    self.by(Pass::Perhaps, |walker| walker.device(*device));
                }
            }
            Files::Tmpfs => {
                self.end(End::Memory);
                self.by(Pass::Swap, Self::swap);
            }
            Files::Ramfs => self.end(End::Memory),
            Files::Proc => {}
            Files::Gocryptfs => self.end(End::Claimed),
            Files::Btrfs(_)
            | Files::Bcachefs(_)
            | Files::Autofs
            | Files::Nfs
            | Files::Sshfs
            | Files::Strange => self.end(End::Unknown),
            Files::Overlay(upper, work) => {
                self.mount(*upper);
                self.mount(*work);
            }
            Files::Ecryptfs(below, names) => {
                self.end(End::Encrypted(mounted.point.to_owned()));
                if !names {
                    self.by(Pass::Names, |walker| walker.mount(*below));
                }
            }
        }
    }

    fn swap(&mut self) {
        if self.world.swap_hidden {
            return self.end(End::Unknown);
        }
        for swap in &self.world.swaps {
            match swap {
                Swapped::Device(at) => self.device(*at),
                Swapped::File(at) => self.mount(*at),
                Swapped::Unreadable => self.end(End::Unknown),
            }
        }
    }
}

/// What the naive evaluator answers.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    verdict: Verdict,
    plain: BTreeSet<(String, Reason)>,
    encrypted_by: BTreeSet<String>,
}

/// The table of `ARCHITECTURE.md` over the ends of all routes.
fn answer(routes: &[Route]) -> Answer {
    let mut plain = BTreeSet::new();
    let mut encrypted_by = BTreeSet::new();
    let (mut encrypted, mut claimed, mut unknown, mut not_swap) = (false, false, false, false);
    for Route { passed, end } in routes {
        let through_swap = passed.contains(&Pass::Swap);
        match end {
            End::Plain(_) if passed.contains(&Pass::Drive) => claimed = true,
            End::Plain(_) if passed.contains(&Pass::Perhaps) => unknown = true,
            End::Plain(device) => {
                not_swap |= !through_swap;
                plain.insert((device.clone(), reason(passed)));
            }
            End::Encrypted(by) => {
                // Encrypted swap does not make memory a place where data rests.
                encrypted |= !through_swap;
                encrypted_by.insert(by.clone());
            }
            End::Claimed => claimed = true,
            End::Unknown => unknown = true,
            End::Memory => {}
        }
    }
    let verdict = match (!plain.is_empty(), encrypted || claimed || unknown) {
        (true, false) if not_swap => Verdict::Unencrypted,
        // With something else, or memory that may go to plain swap.
        (true, _) => Verdict::Partial,
        (false, _) if unknown => Verdict::Unknown,
        (false, _) if claimed => Verdict::Claimed,
        (false, _) if encrypted => Verdict::Encrypted,
        (false, _) => Verdict::Volatile,
    };
    Answer { verdict, plain, encrypted_by }
}

/// Why plaintext got out: that it is in swap, or names only, says the most; else the lowest thing that is not contents.
fn reason(passed: &[Pass]) -> Reason {
    let telling = passed.iter().find(|pass| matches!(pass, Pass::Swap | Pass::Names));
    match telling.or(passed.last()) {
        None | Some(Pass::Drive | Pass::Perhaps) => Reason::PlainDevice,
        Some(Pass::Segment) => Reason::PlainSegment,
        Some(Pass::NullCipher) => Reason::NullCipher,
        Some(Pass::Journal) => Reason::PlainJournal,
        Some(Pass::Cache) => Reason::PlainCache,
        Some(Pass::Store) => Reason::PlainCow,
        Some(Pass::Swap) => Reason::PlainSwap,
        Some(Pass::Submount) => Reason::PlainSubmount,
        Some(Pass::Names) => Reason::PlainNames,
    }
}

/// The mount points of the model. The root comes first.
const POINTS: [&str; 7] = ["/", "/a", "/a/b", "/a/b/c", "/ab", "/data", "/data/x"];

fn is_at_or_below(path: &str, point: &str) -> bool {
    point == "/"
        || path == point
        || path.strip_prefix(point).is_some_and(|rest| rest.starts_with('/'))
}

impl World {
    fn walker(&self) -> Walker<'_> {
        Walker {
            world: self,
            passed: Vec::new(),
            on_the_way: Vec::new(),
            routes: Vec::new(),
            circular: false,
        }
    }

    /// The mount that a path leads to, as the kernel walks: into whatever is mounted nearest to the root, again and again.
    fn visible(&self, path: &str) -> At {
        let mut at = 0;
        loop {
            let next = self
                .mounts
                .iter()
                .enumerate()
                .filter(|(_, mounted)| {
                    mounted.parent == Some(at) && is_at_or_below(path, mounted.point)
                })
                .min_by_key(|(_, mounted)| mounted.point.len());
            match next {
                Some((next, _)) => at = next,
                None => return at,
            }
        }
    }

    fn image(&self, mount: At) -> String {
        format!("{}/image", self.mounts[mount].point.trim_end_matches('/'))
    }

    /// Whether the name of an image on `mount` leads there.
    fn name_leads_home(&self, mount: At) -> bool {
        let found = self.visible(&self.image(mount));
        self.mounts[found].first == self.mounts[mount].first
    }

    /// Whether the name alone decides: nothing on the way was mounted over something else, or hides something.
    fn is_unambiguous(&self, mount: At) -> bool {
        let path = self.image(mount);
        if self.visible(&path) != mount {
            return false;
        }
        let on_the_way: Vec<&str> = self
            .mounts
            .iter()
            .map(|mounted| mounted.point)
            .filter(|point| is_at_or_below(&path, point))
            .collect();
        let distinct: BTreeSet<&&str> = on_the_way.iter().collect();
        distinct.len() == on_the_way.len()
    }

    /// All routes from a path: the mount that holds it, and every one at or below it, hidden ones too.
    fn path(&self, path: &str, policy: bool) -> Walker<'_> {
        let mut walker = self.walker();
        let own = self.visible(path);
        walker.mount(own);
        if policy {
            // The kernel encrypts before anything reaches the file system; memory and swap do not come into it.
            walker.routes.retain(|route| {
                matches!(route.end, End::Encrypted(_)) && !route.passed.contains(&Pass::Swap)
            });
            walker.end(End::Encrypted(path.to_owned()));
        }
        for (at, mounted) in self.mounts.iter().enumerate() {
            let triggered = matches!(mounted.files, Files::Autofs)
                && self
                    .mounts
                    .iter()
                    .any(|other| other.parent == Some(at) && other.point == mounted.point);
            if at != own && !triggered && is_at_or_below(mounted.point, path) {
                walker.by(Pass::Submount, |walker| walker.mount(at));
            }
        }
        walker
    }
}

mod decode;
mod lower;

use lower::{node, number};

fn resolved(path: &str) -> Resolved {
    Resolved { path: path.into(), mount_id: None, block_device: None, fscrypt: None }
}

fn target(found: Resolved) -> Target {
    Target {
        path: found.path.clone(),
        usage: Use::Data,
        service: None,
        namespace: Namespace::Host,
        resolution: Observed::Known(found),
        nearest: None,
    }
}

fn as_answer(posture: &PathPosture) -> Answer {
    Answer {
        verdict: posture.verdict,
        plain: posture.plain.iter().map(|leg| (leg.device.clone(), leg.reason)).collect(),
        encrypted_by: posture.encrypted_by.iter().map(|by| by.device.clone()).collect(),
    }
}

/// Every question that can be asked, with the naive answer, and whether something stands on itself. `None`: too large.
fn questions(world: &World) -> Option<(Vec<(Target, Answer)>, bool)> {
    let mut questions = Vec::new();
    let mut circular = false;
    let mut ask = |found: Resolved, walker: Walker<'_>| {
        let fits = walker.routes.len() <= MAX_ROUTES;
        circular |= walker.circular;
        questions.push((target(found), answer(&walker.routes)));
        fits.then_some(())
    };
    for point in POINTS.into_iter().chain(["/a/b/c/deeper", "/nothing/here"]) {
        ask(resolved(point), world.path(point, false))?;
        let policy = Fscrypt { version: Some(2), contents_mode: 1, names_mode: 4 };
        ask(Resolved { fscrypt: Some(policy), ..resolved(point) }, world.path(point, true))?;
    }
    for at in 0..world.devices.len() {
        let mut walker = world.walker();
        walker.device(at);
        let found = Resolved { block_device: Some(number(at)), ..resolved(&node(world, at)) };
        ask(found, walker)?;
    }
    Some((questions, circular))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_global_rejects: 100_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_evaluators_agree_whatever_was_asked_before(raw in decode::raw(), order in any::<u64>()) {
        let world = decode::world(&raw);
        let Some((questions, circular)) = questions(&world) else { return Err(TestCaseError::reject("large")) };
        let snapshot = lower::snapshot(&world);
        let alone: Vec<PathPosture> =
            questions.iter().map(|(target, _)| Evaluator::new(&snapshot).target(target)).collect();
        for ((target, expected), posture) in questions.iter().zip(&alone) {
            if circular {
                // Which way into a circle is the first decides what plaintext in it is called, not whether there is any.
                prop_assert_eq!(posture.verdict, expected.verdict, "{} in {:#?}", target.path, world);
                continue;
            }
            prop_assert_eq!(&as_answer(posture), expected, "{} in {:#?}\n{:#?}", target.path, world, posture);
        }
        // One scan, in the order of the questions and in any other.
        let mut numbered: Vec<usize> = (0..questions.len()).collect();
        numbered.sort_by_key(|at| (*at as u64 + 1).wrapping_mul(order | 1));
        for order in [(0..questions.len()).collect(), numbered] {
            let scan = Evaluator::new(&snapshot);
            for at in order {
                let again = scan.target(&questions[at].0);
                prop_assert_eq!(again.verdict, alone[at].verdict, "{} asked after others in {:#?}", questions[at].0.path, world);
                prop_assert!(circular || again == alone[at], "{} asked after others in {:#?}", questions[at].0.path, world);
            }
        }
    }
}
