//! `hibernation_encrypted`: an image of all memory would be written to an encrypted place.

use atrest_proto::model::{Finding, Outcome, PathPosture, Reason, Severity, Use};

use super::outcome::{finding, unknown};
use super::volume_encrypted::judge;
use super::{Check, Context, HIPAA_312, ISO_8_24, NIST_SC_28_1, SOC2_CC6_1};
use crate::hibernation;
use crate::layer;
use crate::path::HostPath;
use crate::snapshot::{
    BlockDevice, DeviceNumber, Namespace, Observed, Resolved, Snapshot, Target, Trouble,
};

pub(super) const CHECK: Check = Check {
    id: "hibernation_encrypted",
    title: "Memory is encrypted when the machine hibernates, or it cannot",
    why: "Hibernation writes all of memory to disk: documents, keys of the node, and the volume keys of every open \
          dm-crypt device. The image stays there until it is overwritten, also after the machine has woken up.",
    decides: "Asks the kernel whether it would hibernate (/sys/power/state, /sys/power/disk) and where to \
              (/sys/power/resume, or resume= on its command line), and proves that device as it proves a path. \
              Without a resume device the image goes to a swap area in use: the worst of them decides. Memory \
              (zram) cannot hold an image.",
    severity: Severity::High,
    remedy: "Put the resume device on dm-crypt, or forbid hibernation: `nohibernate` on the kernel's command line",
    controls: &[NIST_SC_28_1, HIPAA_312, ISO_8_24, SOC2_CC6_1],
    evaluate,
};

/// There is one of these for each host.
const ASSET: &str = "hibernation:";

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    let mut found = judged(context);
    let facts = &context.snapshot.hibernation;
    if !facts.words.is_empty() {
        found.evidence.insert("command_line".to_owned(), facts.words.join(" "));
    }
    if let Observed::Known(number) = &facts.resume {
        found.evidence.insert("resume_device".to_owned(), number.to_string());
    }
    vec![found]
}

fn judged(context: &Context<'_>) -> Finding {
    let facts = &context.snapshot.hibernation;
    let not_applicable = |why: &str| finding(&CHECK, ASSET, Outcome::NotApplicable, why.to_owned());
    if facts.offered == Observed::Known(false) {
        return not_applicable("the running kernel cannot hibernate");
    }
    if hibernation::is_forbidden(&facts.words) {
        return not_applicable("the kernel's command line forbids hibernation");
    }
    if facts.allowed == Some(false) {
        return not_applicable("systemd is told not to hibernate (AllowHibernation=no)");
    }
    let (posture, is_certain) = match destination(context) {
        Ok(destination) => destination,
        Err(found) => return *found,
    };
    let found = about(&posture, context);
    // That plaintext would be written is proven only when the kernel would write, and there.
    match (&facts.offered, found.outcome) {
        (Observed::Known(true), Outcome::Fail) if is_certain => found,
        (Observed::Unreadable(trouble), Outcome::Fail) => {
            unknown(&CHECK, ASSET, "whether the kernel would hibernate", trouble)
        }
        (_, Outcome::Fail) => {
            let what =
                if is_certain { "whether the kernel would hibernate" } else { "the resume device" };
            let trouble = facts.resume.trouble().cloned().unwrap_or_else(not_observed);
            unknown(&CHECK, ASSET, what, &trouble)
        }
        _ => found,
    }
}

fn not_observed() -> Trouble {
    Trouble::new(Reason::Unreadable, "/sys/power/state was not there to be read")
}

/// Where an image would go, and whether it surely goes there; or the finding when there is no such place.
fn destination(context: &Context<'_>) -> Result<(PathPosture, bool), Box<Finding>> {
    let facts = &context.snapshot.hibernation;
    if let Observed::Known(number) = facts.resume {
        return Ok((device(context, number), true));
    }
    if let Some(named) = &facts.named {
        let number = named.resolution.known().and_then(|at| at.block_device);
        return number.map(|number| (device(context, number), true)).ok_or_else(|| {
            let trouble = named.resolution.trouble().cloned().unwrap_or_else(|| {
                let detail = format!("resume={} leads to no block device", named.name);
                Trouble::new(Reason::NotFound, detail)
            });
            Box::new(unknown(&CHECK, ASSET, "the resume device", &trouble))
        });
    }
    let swaps = match &context.snapshot.swaps {
        Observed::Known(swaps) => swaps.as_slice(),
        Observed::Absent => &[],
        Observed::Unreadable(trouble) => {
            return Err(Box::new(unknown(&CHECK, ASSET, "what swap is in use", trouble)));
        }
    };
    let worst = swaps
        .iter()
        .zip(context.swaps)
        .filter(|(swap, _)| !is_zram(context.snapshot, swap.resolution.known()))
        .min_by_key(|(_, posture)| posture.verdict)
        .map(|(_, posture)| posture.clone());
    // What the kernel writes an image to is always one of the areas in use.
    worst.map(|posture| (posture, facts.resume.trouble().is_none())).ok_or_else(|| {
        let summary = "there is no swap on a disk: an image of memory has nowhere to go".to_owned();
        Box::new(finding(&CHECK, ASSET, Outcome::Pass, summary))
    })
}

fn is_zram(snapshot: &Snapshot, at: Option<&Resolved>) -> bool {
    at.and_then(|at| snapshot.devices.get(&at.block_device?))
        .is_some_and(|device| layer::dissect(device).kind == "zram")
}

fn device(context: &Context<'_>, number: DeviceNumber) -> PathPosture {
    let known = context.snapshot.devices.get(&number);
    let path =
        HostPath::from(known.map_or_else(|| format!("/dev/block/{number}"), BlockDevice::node));
    let at = Resolved::node(path.clone(), number);
    context.evaluator.target(&Target {
        path,
        usage: Use::Swap,
        service: None,
        namespace: Namespace::Host,
        resolution: Observed::Known(at),
        nearest: None,
    })
}

fn about(posture: &PathPosture, context: &Context<'_>) -> Finding {
    let found = judge(&CHECK, posture, context.policy);
    let affects = context.swaps.iter().filter(|swap| swap.asset == posture.asset);
    Finding {
        asset: ASSET.to_owned(),
        summary: format!("an image of memory would go to disk: {}", found.summary),
        affects: affects.map(|swap| swap.asset.clone()).collect(),
        ..found
    }
}

#[cfg(test)]
mod tests {
    use super::super::luks_fixture;
    use super::*;
    use crate::hibernation::{Hibernation, NamedDevice};
    use crate::policy::Policy;
    use crate::snapshot::{DmFacts, DmTarget, Mount, Swap};
    use crate::volume::Evaluator;

    const CRYPT: DeviceNumber = DeviceNumber::new(254, 0);
    const PLAIN: DeviceNumber = DeviceNumber::new(8, 17);
    const VOLUME: DeviceNumber = DeviceNumber::new(254, 1);
    const ZRAM: DeviceNumber = DeviceNumber::new(252, 0);

    fn area(path: &str, device: Option<DeviceNumber>) -> Swap {
        let at = Resolved { block_device: device, ..Resolved::at(path) };
        let kind = if device.is_some() { "partition" } else { "file" };
        Swap { path: path.into(), kind: kind.to_owned(), resolution: Observed::Known(at) }
    }

    /// A crypt device on a plain partition, a logical volume on it, zram, `/` on the partition and `/srv` on the volume.
    fn snapshot(facts: Hibernation, areas: Vec<Swap>) -> Snapshot {
        let mut snapshot = luks_fixture::snapshot(Observed::Absent);
        let linear = DmTarget {
            start: 0,
            length: 8,
            kind: "linear".to_owned(),
            args: vec!["254:0".to_owned(), "0".to_owned()],
        };
        let dm = DmFacts {
            name: "vg-swap".to_owned(),
            uuid: String::new(),
            suspended: false,
            dependencies: None,
            table: Observed::Known(vec![linear]),
        };
        let volume = BlockDevice {
            number: VOLUME,
            name: "dm-1".to_owned(),
            slaves: vec![CRYPT],
            dm: Some(dm),
            is_virtual: true,
            ..BlockDevice::default()
        };
        let zram = BlockDevice {
            number: ZRAM,
            name: "zram0".to_owned(),
            is_virtual: true,
            ..BlockDevice::default()
        };
        snapshot.devices.extend([(VOLUME, volume), (ZRAM, zram)]);
        let mount = |id, device, point: &str| Mount {
            id,
            parent: 1,
            device,
            root: HostPath::root(),
            mount_point: point.into(),
            fstype: "ext2".to_owned(),
            source: "x".into(),
            super_options: String::new(),
        };
        let mounts = vec![mount(1, PLAIN, "/"), mount(2, VOLUME, "/srv")];
        snapshot.mounts = vec![(Namespace::Host, Observed::Known(mounts))];
        snapshot.swaps = Observed::Known(areas);
        snapshot.hibernation = facts;
        snapshot
    }

    fn look(facts: Hibernation, areas: Vec<Swap>) -> Finding {
        found(&snapshot(facts, areas))
    }

    fn found(snapshot: &Snapshot) -> Finding {
        let evaluator = Evaluator::new(snapshot);
        let swaps: Vec<PathPosture> = snapshot
            .swaps
            .known()
            .into_iter()
            .flatten()
            .map(|swap| evaluator.swap_area(swap))
            .collect();
        evaluate(&Context {
            snapshot,
            policy: &Policy::default(),
            paths: &[],
            swaps: &swaps,
            keystore_volumes: &[],
            secret_volumes: &[],
            spares: &[],
            boot_volumes: &[],
            evaluator: &evaluator,
        })
        .remove(0)
    }

    fn able() -> Hibernation {
        Hibernation { offered: Observed::Known(true), ..Hibernation::default() }
    }

    fn to(device: DeviceNumber) -> Hibernation {
        Hibernation { resume: Observed::Known(device), ..able() }
    }

    fn named(resolution: Observed<Resolved>) -> Hibernation {
        Hibernation {
            named: Some(NamedDevice { name: "UUID=7".to_owned(), resolution }),
            words: vec!["resume=UUID=7".to_owned()],
            ..able()
        }
    }

    fn at(device: DeviceNumber) -> Observed<Resolved> {
        area("/dev/x", Some(device)).resolution
    }

    #[test]
    fn the_matrix_of_places() {
        let crypt = || area("/dev/mapper/vg-swap", Some(VOLUME));
        let plain = || area("/dev/sdb1", Some(PLAIN));
        let zram = || area("/dev/zram0", Some(ZRAM));
        for (what, facts, areas, expected) in [
            ("no swap", able(), vec![], Outcome::Pass),
            ("a plain partition", able(), vec![plain()], Outcome::Fail),
            ("a volume on LUKS", able(), vec![crypt()], Outcome::Pass),
            ("a file on plain", able(), vec![area("/swap", None)], Outcome::Fail),
            ("a file on LUKS", able(), vec![area("/srv/swap", None)], Outcome::Pass),
            ("zram only", able(), vec![zram()], Outcome::Pass),
            ("zram and plain", able(), vec![zram(), plain()], Outcome::Fail),
            ("the worst of two", able(), vec![crypt(), plain()], Outcome::Fail),
            ("resume on plain", to(PLAIN), vec![crypt()], Outcome::Fail),
            ("resume on LUKS", to(VOLUME), vec![plain()], Outcome::Pass),
            ("resume on plain, no swap now", to(PLAIN), vec![], Outcome::Fail),
            ("resume on nothing known", to(DeviceNumber::new(9, 9)), vec![], Outcome::Unknown),
            ("named, LUKS", named(at(VOLUME)), vec![], Outcome::Pass),
            ("named, plain", named(at(PLAIN)), vec![], Outcome::Fail),
            ("named, gone", named(Observed::Absent), vec![crypt()], Outcome::Unknown),
        ] {
            let found = look(facts, areas);
            assert_eq!(found.outcome, expected, "{what}: {}", found.summary);
            assert_eq!(found.asset, "hibernation:");
        }
    }

    #[test]
    fn a_kernel_that_cannot_is_not_judged() {
        let plain = || vec![area("/dev/sdb1", Some(PLAIN))];
        let no = |facts| look(facts, plain()).outcome;
        let unable = Hibernation { offered: Observed::Known(false), ..Hibernation::default() };
        let forbidden = Hibernation { words: vec!["nohibernate".to_owned()], ..able() };
        let refused = Hibernation { allowed: Some(false), ..able() };
        let allowed = Hibernation { allowed: Some(true), ..able() };
        assert_eq!(no(unable), Outcome::NotApplicable);
        assert_eq!(no(forbidden), Outcome::NotApplicable);
        assert_eq!(no(refused), Outcome::NotApplicable);
        assert_eq!(no(allowed), Outcome::Fail);
        let noresume = Hibernation { words: vec!["noresume".to_owned()], ..able() };
        assert_eq!(no(noresume), Outcome::Fail);
    }

    #[test]
    fn without_the_facts_only_what_holds_anyway_is_said() {
        let nothing = Hibernation::default;
        assert_eq!(look(nothing(), vec![]).outcome, Outcome::Pass);
        assert_eq!(look(nothing(), vec![area("/dev/x", Some(VOLUME))]).outcome, Outcome::Pass);
        assert_eq!(look(nothing(), vec![area("/dev/x", Some(PLAIN))]).outcome, Outcome::Unknown);
        let refused = Trouble::new(Reason::NoPermission, "/sys/power/resume: denied");
        let unread = Hibernation { resume: Observed::Unreadable(refused), ..able() };
        let found = look(unread, vec![area("/dev/x", Some(PLAIN))]);
        assert_eq!((found.outcome, found.reasons), (Outcome::Unknown, vec![Reason::NoPermission]));
    }

    #[test]
    fn unread_swap_is_unknown() {
        let mut snapshot = snapshot(able(), vec![]);
        snapshot.swaps = Observed::Unreadable(Trouble::new(Reason::NoPermission, "/proc/swaps"));
        assert_eq!(found(&snapshot).outcome, Outcome::Unknown);
    }

    #[test]
    fn a_failure_names_the_device_and_what_to_do() {
        let found = look(to(PLAIN), vec![]);
        assert!(found.summary.contains("/dev/sdb1"), "{}", found.summary);
        assert_eq!(found.evidence["resume_device"], "8:17");
        assert_eq!(found.remedy, CHECK.remedy);
    }
}
