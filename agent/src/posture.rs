//! From a snapshot to a posture: every check on every asset, sorted.

use std::collections::{BTreeMap, BTreeSet};

use atrest_proto::model::{
    Finding, Keystore, Layer, Outcome, Password, PathPosture, Posture, Repository, Service, Use,
    Verdict,
};

use crate::check::{self, Context, Spare};
use crate::keystore::Protection;
use crate::keystore::fingerprint::{Facts, fingerprint};
use crate::layer::md;
use crate::path::HostPath;
use crate::policy::Policy;
use crate::repository::Judged;
use crate::secrets::Form;
use crate::snapshot::{BlockDevice, Namespace, Observed, Resolved, Snapshot, Target};
use crate::volume::Evaluator;
use crate::{assumption, keystore, lasting, repository, secrets};

/// Judges everything that was observed. Same snapshot and policy, same posture.
pub fn evaluate(snapshot: &Snapshot, policy: &Policy) -> Posture {
    let evaluator = Evaluator::new(snapshot);
    let mut paths: Vec<PathPosture> =
        snapshot.targets.iter().map(|target| evaluator.target(target)).collect();
    assumption::doubt(&mut paths, &snapshot.targets, &snapshot.assumptions);
    let swaps: Vec<PathPosture> = snapshot
        .swaps
        .known()
        .map(|swaps| swaps.iter().map(|swap| evaluator.swap_area(swap)).collect())
        .unwrap_or_default();
    let keystore_volumes: Vec<PathPosture> =
        snapshot.keystores.iter().map(|keystore| evaluator.target(&volume_of(keystore))).collect();
    let secret_volumes: Vec<PathPosture> =
        snapshot.secrets.iter().map(|seen| evaluator.target(&volume_of_secret(seen))).collect();
    let spares = spares(snapshot, &evaluator);
    let boot_volumes: Vec<PathPosture> = snapshot
        .boot
        .surroundings
        .files
        .iter()
        .map(|file| evaluator.target(&file.target()))
        .collect();
    let context = Context {
        snapshot,
        policy,
        paths: &paths,
        swaps: &swaps,
        keystore_volumes: &keystore_volumes,
        secret_volumes: &secret_volumes,
        spares: &spares,
        evaluator: &evaluator,
        boot_volumes: &boot_volumes,
    };
    let mut findings: Vec<Finding> =
        check::ALL.iter().flat_map(|check| (check.evaluate)(&context)).collect();
    drop(evaluator);
    let standing = standing(&paths);
    for finding in &mut findings {
        affects(finding, &standing);
    }
    drop(standing);
    findings.sort_by(|a, b| (&a.check, &a.asset).cmp(&(&b.check, &b.asset)));
    findings.dedup();
    let keystores = snapshot
        .keystores
        .iter()
        .zip(&keystore_volumes)
        .map(|(observation, volume)| {
            keystore_posture(observation, volume.verdict, cluster_of(snapshot, observation))
        })
        .collect();
    let judged = repository::judge::all(&snapshot.repositories, &paths);
    let pairs = snapshot.repositories.iter().zip(&judged);
    let repositories = pairs.map(|(seen, judged)| repository_posture(seen, judged)).collect();
    let mut posture = Posture {
        host: snapshot.host.clone(),
        observed_at: snapshot.observed_at,
        services: snapshot.services.clone(),
        paths: paths.into_iter().chain(swaps).collect(),
        keystores,
        repositories,
        findings,
        gaps: snapshot.gaps.clone(),
        catalogue_version: check::CATALOGUE_VERSION,
    };
    posture.services.sort_unstable();
    // Two services that write to one path make one asset, which each may see by a mount table of its own: the worse one
    // is what is said of it.
    posture.paths.sort_by(|a, b| (&a.asset, a.verdict).cmp(&(&b.asset, b.verdict)));
    posture.paths.dedup_by(|a, b| a.asset == b.asset);
    posture.keystores.sort_by(|a, b| a.asset.cmp(&b.asset));
    posture.repositories.sort_by(|a, b| a.asset.cmp(&b.asset));
    posture
}

/// The stable id of a keystore, after the same rule as that of a path.
pub fn keystore_asset(observation: &keystore::Observation) -> String {
    match (&observation.namespace, &observation.service) {
        (Namespace::Process(_), Some(service)) if service.contains(':') => {
            format!("keystore:{}@{}", observation.path, lasting::service(service))
        }
        (Namespace::Host | Namespace::Process(_), _) => {
            format!("keystore:{}", lasting::of_containers(&observation.path))
        }
    }
}

/// The stable id of a place of settings. A process has another number at each start.
pub fn secret_asset(seen: &secrets::Observation) -> String {
    let place = &seen.place;
    let whose = lasting::service(place.service.as_ref().unwrap_or(&place.product));
    let path = lasting::of_containers(&place.path);
    match (place.form, &place.namespace) {
        (Form::Environment, _) => format!("environment:{whose}"),
        (Form::Arguments, _) => format!("arguments:{whose}"),
        (_, Namespace::Process(_)) if whose.contains(':') => {
            format!("secrets:{path}@{whose}")
        }
        (_, Namespace::Host | Namespace::Process(_)) => format!("secrets:{path}"),
    }
}

/// The spares of all md arrays, judged as devices, as are the arrays.
fn spares(snapshot: &Snapshot, evaluator: &Evaluator<'_>) -> Vec<Spare> {
    let device = |number| {
        let node =
            snapshot.devices.get(&number).map_or_else(|| number.to_string(), BlockDevice::node);
        let path = HostPath::from(node);
        let resolved = Resolved::node(path.clone(), number);
        evaluator.target(&Target {
            path,
            usage: Use::Declared,
            service: None,
            namespace: Namespace::Host,
            resolution: Observed::Known(resolved),
            nearest: None,
        })
    };
    let of = |array: &BlockDevice| {
        let number = array.number;
        md::spares(array).into_iter().map(move |spare| (number, spare))
    };
    let spares = snapshot.devices.values().flat_map(of);
    spares.map(|(array, spare)| Spare { array: device(array), spare: device(spare) }).collect()
}

/// The assets of findings about a device: this, and the device's node.
const DEVICE_ASSETS: &[&str] = &["luks:", "crypt:", "spare:"];

/// The paths that stand on each device, by its node.
fn standing(paths: &[PathPosture]) -> BTreeMap<&str, BTreeSet<&str>> {
    fn add<'a>(
        layers: &'a [Layer],
        asset: &'a str,
        standing: &mut BTreeMap<&'a str, BTreeSet<&'a str>>,
    ) {
        for layer in layers {
            standing.entry(&layer.name).or_default().insert(asset);
            add(&layer.children, asset, standing);
        }
    }
    let mut standing = BTreeMap::new();
    for path in paths {
        add(&path.stack, &path.asset, &mut standing);
    }
    standing
}

/// Names the paths that stand on the device that a finding is about.
fn affects(finding: &mut Finding, standing: &BTreeMap<&str, BTreeSet<&str>>) {
    let device = DEVICE_ASSETS.iter().find_map(|prefix| finding.asset.strip_prefix(prefix));
    if let Some(device) = device {
        let standing = standing.get(device).into_iter().flatten();
        finding.affects.extend(standing.map(|asset| (*asset).to_owned()));
        finding.affects.sort_unstable();
        finding.affects.dedup();
    }
}

/// The keystore's own file as a target of the proof.
fn volume_of(observation: &keystore::Observation) -> Target {
    let resolution = match &observation.file {
        Observed::Known(_) => {
            observation.resolved.clone().map_or(Observed::Absent, Observed::Known)
        }
        Observed::Absent => Observed::Absent,
        Observed::Unreadable(trouble) => Observed::Unreadable(trouble.clone()),
    };
    Target {
        path: observation.path.clone(),
        usage: Use::Config,
        service: observation.service.clone(),
        namespace: observation.namespace.clone(),
        resolution,
        nearest: None::<Resolved>,
    }
}

/// The file as a target of the proof.
fn volume_of_secret(seen: &secrets::Observation) -> Target {
    let resolution = match &seen.file {
        Observed::Known(_) => seen.resolved.clone().map_or(Observed::Absent, Observed::Known),
        Observed::Absent => Observed::Absent,
        Observed::Unreadable(trouble) => Observed::Unreadable(trouble.clone()),
    };
    Target {
        path: seen.place.path.clone(),
        usage: Use::Config,
        service: seen.place.service.clone(),
        namespace: seen.place.namespace.clone(),
        resolution,
        nearest: None::<Resolved>,
    }
}

/// The name of the cluster that the keystore's service is of; empty where it is not known.
fn cluster_of<'a>(snapshot: &'a Snapshot, observation: &keystore::Observation) -> &'a str {
    let is_its = |service: &&Service| observation.service.as_deref() == Some(&service.name);
    let service = snapshot.services.iter().find(is_its);
    service.and_then(|service| service.cluster_name.as_deref()).unwrap_or_default()
}

fn keystore_posture(
    observation: &keystore::Observation,
    at_rest: Verdict,
    cluster: &str,
) -> Keystore {
    let file = observation.file.known();
    let contents = observation.contents.known();
    let problem = observation
        .file
        .trouble()
        .or_else(|| observation.contents.trouble())
        .map(ToString::to_string);
    Keystore {
        asset: keystore_asset(observation),
        path: observation.path.to_string(),
        product: observation.product.clone(),
        service: observation.service.clone(),
        format: contents.map(|contents| contents.format.clone()).unwrap_or_default(),
        format_version: contents.map(|contents| contents.version),
        password: match contents.map(keystore::Contents::protection) {
            Some(Protection::Password) => Password::Protected,
            Some(Protection::None | Protection::FalseFlag) => Password::Unprotected,
            Some(Protection::MissingFlag | Protection::Unknown) | None => Password::Unknown,
        },
        kdf: contents.map(|contents| contents.kdf.clone()).unwrap_or_default(),
        cipher: contents.map(|contents| contents.cipher.clone()).unwrap_or_default(),
        opens_without_password: contents.and_then(|contents| contents.opens_without_password),
        mode: file.map(|file| format!("{:04o}", file.metadata.mode)).unwrap_or_default(),
        owner: file.map(|file| file.owner.clone()).unwrap_or_default(),
        group: file.map(|file| file.group.clone()).unwrap_or_default(),
        at_rest,
        fingerprint: file.zip(contents).map(|(file, contents)| {
            fingerprint(&Facts {
                cluster,
                product: &observation.product,
                contents,
                metadata: &file.metadata,
                owner: &file.owner,
                group: &file.group,
            })
        }),
        problem,
    }
}

/// A repository on a file system is as encrypted as its directory; of others nothing is proven yet.
fn repository_posture(observation: &repository::Observation, judged: &Judged) -> Repository {
    let registered = &observation.registered;
    Repository {
        asset: observation.asset.clone(),
        name: registered.name.clone(),
        kind: registered.kind.clone(),
        location: observation.backend.to_string(),
        service: registered.service.clone(),
        source: registered.source.as_str().to_owned(),
        cluster: registered.cluster.clone(),
        encryption: judged.encryption.to_string(),
        evidence: judged.evidence.clone(),
        keys: judged.keys.clone(),
    }
}

/// How many findings there are of each outcome.
pub fn summary(findings: &[Finding]) -> BTreeMap<&'static str, usize> {
    let mut counts: BTreeMap<&'static str, usize> =
        Outcome::ALL.iter().map(|outcome| (outcome.as_str(), 0)).collect();
    for finding in findings {
        *counts.entry(finding.outcome.as_str()).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::Reason;

    use super::*;
    use crate::dm_table::parse_target;
    use crate::snapshot::{DeviceNumber, DmFacts, MdFacts, MdMember, Mount, MountTable};

    const ARRAY: DeviceNumber = DeviceNumber::new(9, 0);

    fn disk(minor: u32, name: &str) -> BlockDevice {
        BlockDevice {
            number: DeviceNumber::new(8, minor),
            name: name.to_owned(),
            ..BlockDevice::default()
        }
    }

    /// `/dev/mapper/c0` on `/dev/sda`.
    fn crypt() -> BlockDevice {
        let line = "0 2048 crypt aes-xts-plain64 :64:logon:x:y 0 8:0 32768 1 allow_discards";
        BlockDevice {
            number: DeviceNumber::new(254, 0),
            name: "dm-0".to_owned(),
            slaves: vec![DeviceNumber::new(8, 0)],
            dm: Some(DmFacts {
                name: "c0".to_owned(),
                uuid: "CRYPT-PLAIN-c0".to_owned(),
                suspended: false,
                dependencies: None,
                table: Observed::Known(vec![parse_target(line.as_bytes()).unwrap()]),
            }),
            ..BlockDevice::default()
        }
    }

    /// `/data` on an array of one member, with the spare `/dev/sdb`.
    fn array_on(active: DeviceNumber) -> Snapshot {
        let member = |device, state: &str, slot: &str| MdMember {
            device,
            state: state.to_owned(),
            slot: slot.to_owned(),
        };
        let array = BlockDevice {
            number: ARRAY,
            name: "md0".to_owned(),
            md: Some(MdFacts {
                level: "raid1".to_owned(),
                members: vec![
                    member(active, "in_sync", "0"),
                    member(DeviceNumber::new(8, 16), "spare", "none"),
                ],
            }),
            ..BlockDevice::default()
        };
        let mount = Mount {
            id: 1,
            parent: 1,
            device: ARRAY,
            root: HostPath::root(),
            mount_point: HostPath::root(),
            fstype: "xfs".to_owned(),
            source: "/dev/md0".into(),
            super_options: "rw".to_owned(),
        };
        let target = Target {
            path: "/data".into(),
            usage: Use::Data,
            service: None,
            namespace: Namespace::Host,
            resolution: Observed::Known(Resolved::at("/data")),
            nearest: None,
        };
        let table: MountTable = Observed::Known(vec![mount]);
        Snapshot {
            mounts: vec![(Namespace::Host, table)],
            devices: [disk(0, "sda"), disk(16, "sdb"), crypt(), array]
                .into_iter()
                .map(|device| (device.number, device))
                .collect(),
            targets: vec![target],
            ..Snapshot::empty()
        }
    }

    fn found(snapshot: &Snapshot, check: &str) -> Finding {
        let posture = evaluate(snapshot, &Policy::default());
        posture.findings.into_iter().find(|finding| finding.check == check).unwrap()
    }

    #[test]
    fn a_finding_on_dm_crypt_names_the_paths_above() {
        let finding = found(&array_on(crypt().number), "discards_allowed");
        assert_eq!(
            (finding.asset.as_str(), finding.outcome),
            ("crypt:/dev/mapper/c0", Outcome::Fail)
        );
        assert_eq!(finding.affects, ["data:/data"]);
    }

    #[test]
    fn a_plain_spare_counts_only_beside_encrypted_members() {
        let finding = found(&array_on(crypt().number), "spare_encrypted");
        assert_eq!((finding.asset.as_str(), finding.outcome), ("spare:/dev/sdb", Outcome::Fail));
        assert_eq!(finding.affects, ["data:/data"]);
        let plain = array_on(DeviceNumber::new(8, 0));
        assert_eq!(found(&plain, "spare_encrypted").outcome, Outcome::NotApplicable);
    }

    #[test]
    fn a_path_that_is_only_assumed_does_not_pass() {
        let mut snapshot = array_on(crypt().number);
        snapshot.targets[0].service = Some("es".to_owned());
        snapshot.assumptions = vec![assumption::Assumption {
            service: "es".to_owned(),
            usage: Use::Data,
            path: "/data".into(),
            namespace: Namespace::Host,
            why: crate::snapshot::Trouble::new(Reason::Unreadable, "es.yml: line 1"),
        }];
        let finding = found(&snapshot, "volume_encrypted");
        assert_eq!(finding.outcome, Outcome::Unknown);
        assert!(finding.summary.contains("es.yml: line 1"), "{}", finding.summary);
        let posture = evaluate(&snapshot, &Policy::default());
        assert_eq!(posture.paths[0].verdict, Verdict::Unknown);
    }

    /// Two services with a `/tmp` of their own: the first in namespace 1 on dm-crypt, the other in 2 on a disk.
    fn two_temporary(first: i32, second: i32) -> Snapshot {
        let mut snapshot = array_on(crypt().number);
        let Observed::Known(mounts) = &snapshot.mounts[0].1 else { panic!("there is a table") };
        let table = |device| Observed::Known(vec![Mount { id: 2, device, ..mounts[0].clone() }]);
        let (sealed, plain) = (mounts.clone(), table(DeviceNumber::new(8, 0)));
        let target = |pid: i32, path: &str| Target {
            path: path.into(),
            usage: Use::Temp,
            service: Some(format!("es-{pid}")),
            namespace: Namespace::Process(pid),
            resolution: Observed::Known(Resolved::at(path)),
            nearest: None,
        };
        snapshot.targets =
            vec![target(first, "/tmp/elasticsearch-11"), target(second, "/tmp/opensearch-22")];
        snapshot.mounts =
            vec![(Namespace::Process(1), Observed::Known(sealed)), (Namespace::Process(2), plain)];
        snapshot
    }

    #[test]
    fn a_temporary_directory_of_a_start_is_one_asset_with_that_of_the_next() {
        let of = |snapshot: &Snapshot| evaluate(snapshot, &Policy::default());
        let posture = of(&two_temporary(1, 1));
        assert_eq!(posture.paths.len(), 1);
        assert_eq!(
            (&*posture.paths[0].asset, posture.paths[0].verdict),
            ("temp:/tmp", Verdict::Encrypted)
        );
    }

    #[test]
    fn of_two_that_make_one_asset_the_worse_is_told() {
        for (first, second) in [(1, 2), (2, 1)] {
            let posture = evaluate(&two_temporary(first, second), &Policy::default());
            let verdicts: Vec<_> = posture.paths.iter().map(|path| path.verdict).collect();
            assert_eq!(verdicts, [Verdict::Unencrypted], "{first} {second}");
        }
    }

    #[test]
    fn the_path_on_such_an_array_stays_encrypted() {
        assert_eq!(found(&array_on(crypt().number), "volume_encrypted").outcome, Outcome::Pass);
    }
}
