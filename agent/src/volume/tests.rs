//! The walk, against cases and against a second evaluator that is naive and obviously right.

use std::collections::BTreeSet;

use atrest_proto::model::{Reason, Use, Verdict};
use proptest::prelude::*;

use super::*;
use crate::dm_table::parse_target;
use crate::mounts;
use crate::snapshot::{BlockDevice, DmFacts};

/// A host with these devices and this mount table, no swap.
pub(super) fn host(devices: Vec<BlockDevice>, mountinfo: &str) -> Snapshot {
    Snapshot {
        mounts: vec![(
            Namespace::Host,
            Observed::Known(mounts::parse(mountinfo.as_bytes()).unwrap()),
        )],
        devices: devices.into_iter().map(|device| (device.number, device)).collect(),
        ..Snapshot::empty()
    }
}

fn number(minor: usize) -> DeviceNumber {
    DeviceNumber::new(8, u32::try_from(minor).unwrap())
}

fn disk(minor: usize) -> BlockDevice {
    BlockDevice { number: number(minor), name: format!("d{minor}"), ..BlockDevice::default() }
}

fn mapped(minor: usize, lines: &[String], below: &[usize]) -> BlockDevice {
    BlockDevice {
        number: number(minor),
        name: format!("dm-{minor}"),
        slaves: below.iter().map(|minor| number(*minor)).collect(),
        is_virtual: true,
        dm: Some(DmFacts {
            name: format!("m{minor}"),
            uuid: String::new(),
            suspended: false,
            dependencies: None,
            table: Observed::Known(
                lines.iter().map(|line| parse_target(line.as_bytes()).unwrap()).collect(),
            ),
        }),
        ..BlockDevice::default()
    }
}

fn crypt(minor: usize, below: usize, cipher: &str) -> BlockDevice {
    mapped(minor, &[format!("0 8 crypt {cipher} {} 0 8:{below} 0", "0".repeat(128))], &[below])
}

fn linear(minor: usize, below: &[usize]) -> BlockDevice {
    let line = |(at, below): (usize, &usize)| format!("{} 8 linear 8:{below} 0", at * 8);
    let lines: Vec<String> = below.iter().enumerate().map(line).collect();
    mapped(minor, &lines, below)
}

fn target(path: &str) -> Target {
    Target {
        path: path.into(),
        usage: Use::Data,
        service: None,
        namespace: Namespace::Host,
        resolution: Observed::Known(Resolved::at(path)),
        nearest: None,
    }
}

fn judge(snapshot: &Snapshot, path: &str) -> PathPosture {
    Evaluator::new(snapshot).target(&target(path))
}

const ROOT: &str = "1 0 8:0 / / rw - ext4 /dev/d0 rw\n";

/// `/data`, an xfs on dm-crypt, whose log the mount names; and where the host says that the name leads.
fn with_log(log: &str, leads_to: Observed<Resolved>) -> PathPosture {
    let table = format!("{ROOT}2 1 8:1 / /data rw - xfs /dev/mapper/m1 rw,logdev={log}\n");
    let mut snapshot = host(vec![disk(0), crypt(1, 0, "aes-xts-plain64"), disk(2)], &table);
    snapshot.named = vec![((Namespace::Host, log.into()), leads_to)];
    judge(&snapshot, "/data")
}

#[test]
fn a_log_is_judged_only_as_the_device_that_its_name_leads_to() {
    let device = Observed::Known(Resolved::node("/dev/d2", number(2)));
    assert_eq!(with_log("/srv/log", device).verdict, Verdict::Partial);
    // The kernel opened a device by that name. What is there now is another thing.
    let file = Observed::Known(Resolved::at("/data/log"));
    let refused = snapshot::Trouble::new(Reason::NoPermission, "no");
    for leads_to in [Observed::Absent, file, Observed::Unreadable(refused)] {
        let posture = with_log("/srv/log", leads_to);
        assert_eq!(posture.verdict, Verdict::Unknown, "{posture:?}");
    }
}

/// A dataset whose pool lies in a file that is named on the host, mounted in a container that sees dm-crypt under that name.
#[test]
fn the_files_below_a_pool_are_named_as_on_the_host() {
    let mounted = "3 0 0:40 / /data rw - zfs pool/es rw\n";
    let container = Namespace::Process(7);
    let of = |named: Observed<Resolved>| {
        let mut snapshot = host(vec![disk(0), crypt(1, 0, "aes-xts-plain64")], ROOT);
        let own = format!("2 0 8:1 / / rw - ext4 /dev/mapper/m1 rw\n{mounted}");
        let own = Observed::Known(mounts::parse(own.as_bytes()).unwrap());
        snapshot.mounts.push((container.clone(), own));
        let off = crate::zfs::Encryption { cipher: "off".to_owned(), key_status: "-".to_owned() };
        let vdev = crate::zfs::Vdev { path: "/srv/vdev".into(), class: crate::zfs::Class::Data };
        snapshot.filesystems.zfs = Some(Observed::Known(crate::zfs::Facts {
            pools: BTreeMap::from([("pool".to_owned(), vec![vdev])]),
            datasets: BTreeMap::from([("pool/es".to_owned(), off)]),
        }));
        snapshot.named = vec![((Namespace::Host, "/srv/vdev".into()), named)];
        let wanted = Target { namespace: container.clone(), ..target("/data") };
        Evaluator::new(&snapshot).target(&wanted)
    };
    let found = of(Observed::Known(Resolved::at("/srv/vdev")));
    assert_eq!(found.verdict, Verdict::Unencrypted);
    assert_eq!(found.plain[0].device, "/dev/d0");
    assert_eq!(of(Observed::Absent).verdict, Verdict::Unknown);
}

#[test]
fn a_file_that_is_open_on_a_hidden_mount_is_judged_there() {
    let table = format!("{ROOT}2 1 8:1 / /data rw - ext4 /dev/mapper/m1 rw\n");
    let snapshot = host(vec![disk(0), crypt(1, 0, "aes-xts-plain64")], &table);
    let held = |id| {
        let at = Resolved { mount_id: Some(id), ..Resolved::at("/data/node.lock") };
        let held = Target { resolution: Observed::Known(at), ..target("/data") };
        Evaluator::new(&snapshot).target(&held)
    };
    assert_eq!(judge(&snapshot, "/data").verdict, Verdict::Encrypted);
    assert_eq!(held(2).verdict, Verdict::Encrypted);
    assert_eq!((held(1).verdict, held(1).asset.as_str()), (Verdict::Unencrypted, "data:/data"));
    assert_eq!(held(9).verdict, Verdict::Unknown);
}

#[test]
fn one_id_in_two_tables_is_two_mounts() {
    let mut snapshot = host(vec![disk(0), crypt(1, 0, "aes-xts-plain64")], ROOT);
    let own = mounts::parse(b"1 0 8:1 / / rw - ext4 /dev/mapper/m1 rw\n").unwrap();
    snapshot.mounts.push((Namespace::Process(7), Observed::Known(own)));
    let evaluator = Evaluator::new(&snapshot);
    let of = |namespace| evaluator.target(&Target { namespace, ..target("/data") }).verdict;
    let verdicts = [of(Namespace::Host), of(Namespace::Process(7)), of(Namespace::Host)];
    assert_eq!(verdicts, [Verdict::Unencrypted, Verdict::Encrypted, Verdict::Unencrypted]);
}

#[test]
fn a_directory_with_an_fscrypt_policy_is_encrypted_and_what_is_mounted_below_is_judged_apart() {
    let table = format!("{ROOT}2 1 8:1 / /data/es/sub rw - ext4 /dev/d1 rw\n");
    let mut snapshot = host(vec![disk(0), disk(1)], ROOT);
    let mut wanted = target("/data/es");
    let policy = snapshot::Fscrypt { version: Some(2), contents_mode: 1, names_mode: 4 };
    if let Observed::Known(resolved) = &mut wanted.resolution {
        resolved.fscrypt = Some(policy);
    }
    let posture = Evaluator::new(&snapshot).target(&wanted);
    assert_eq!(posture.verdict, Verdict::Encrypted);
    assert_eq!(posture.encrypted_by[0].technology, "fscrypt");
    assert_eq!(posture.stack[0].detail["fscrypt"], "AES-256-XTS, names AES-256-CBC-CTS");
    assert_eq!(judge(&snapshot, "/data").verdict, Verdict::Unencrypted);

    snapshot = host(vec![disk(0), disk(1)], &table);
    let posture = Evaluator::new(&snapshot).target(&wanted);
    assert_eq!(posture.verdict, Verdict::Partial);
    assert_eq!(posture.plain[0].device, "/dev/d1");
}

#[test]
fn the_directories_of_an_overlay_are_taken_where_their_names_lead() {
    let table = format!(
        "{ROOT}2 1 8:2 / /mnt rw - ext4 /dev/mapper/m2 rw\n3 1 0:9 / /data rw - overlay overlay rw,lowerdir=/l,upperdir=/mnt/up,workdir=/mnt/work\n"
    );
    let mut snapshot = host(vec![disk(0), disk(1), crypt(2, 1, "aes-xts-plain64")], &table);
    assert_eq!(judge(&snapshot, "/data").verdict, Verdict::Encrypted);
    let resolved = |path: &str| Observed::Known(Resolved::at(path));
    let key = |path: &str| (Namespace::Host, path.into());
    snapshot.named =
        vec![(key("/mnt/up"), resolved("/plain/up")), (key("/mnt/work"), resolved("/mnt/work"))];
    assert_eq!(judge(&snapshot, "/data").verdict, Verdict::Partial);
    // A policy counts on the mount that the directory was on.
    let policy = snapshot::Fscrypt { version: Some(2), contents_mode: 1, names_mode: 4 };
    for (mount_id, verdict) in [(Some(1), Verdict::Encrypted), (Some(2), Verdict::Partial)] {
        let plain = Resolved { mount_id, fscrypt: Some(policy), ..Resolved::at("/plain/up") };
        snapshot.named[0].1 = Observed::Known(plain);
        assert_eq!(judge(&snapshot, "/data").verdict, verdict);
    }
    snapshot.named[0].1 = Observed::Absent;
    assert_eq!(judge(&snapshot, "/data").verdict, Verdict::Unknown);
}

#[test]
fn names_of_files_that_ecryptfs_encrypts_get_out_on_a_plain_disk_only() {
    let over = |options: &str| {
        format!(
            "{ROOT}2 1 8:2 / /lower rw - ext4 /dev/mapper/m2 rw\n3 1 0:9 / /data rw - ecryptfs /lower/es {options}\n4 1 0:8 / /odd rw - ecryptfs /es {options}\n"
        )
    };
    let devices = || vec![disk(0), disk(1), crypt(2, 1, "aes-xts-plain64")];
    let without = host(devices(), &over("rw,ecryptfs_cipher=aes,ecryptfs_key_bytes=16"));
    let posture = judge(&without, "/odd");
    assert_eq!(
        (posture.verdict, &posture.reasons[..]),
        (Verdict::Partial, &[Reason::PlainNames][..])
    );
    assert_eq!(posture.plain[0].device, "/dev/d0");
    assert_eq!(judge(&without, "/data").verdict, Verdict::Encrypted);
    let with =
        host(devices(), &over("rw,ecryptfs_fnek_sig=0,ecryptfs_cipher=aes,ecryptfs_key_bytes=16"));
    assert_eq!(judge(&with, "/odd").verdict, Verdict::Encrypted);
}

#[test]
fn an_automount_point_with_something_on_it_is_what_is_on_it() {
    let devices = || vec![disk(0), disk(1), crypt(2, 1, "aes-xts-plain64")];
    let triggered = "2 1 0:9 / /data rw - autofs systemd-1 rw,direct\n";
    let mounted = "3 2 8:2 / /data rw - ext4 /dev/mapper/m2 rw\n";
    let snapshot = host(devices(), &format!("{ROOT}{triggered}{mounted}"));
    assert_eq!(judge(&snapshot, "/data").verdict, Verdict::Encrypted);
    let snapshot = host(devices(), &format!("{ROOT}{triggered}"));
    assert_eq!(judge(&snapshot, "/data").verdict, Verdict::Unknown);
}

#[test]
fn what_only_the_drive_encrypts_is_a_claim() {
    use crate::luks::{Header, Segment};
    let uuid = "28632274-8c8a-493f-835b-da802e1c576b";
    let mut opened = linear(1, &[0]);
    if let Some(dm) = &mut opened.dm {
        dm.uuid = format!("CRYPT-LUKS2-{}-es", uuid.replace('-', ""));
    }
    let table = format!("{ROOT}2 1 8:1 / /data rw - ext4 /dev/mapper/m1 rw\n");
    let mut snapshot = host(vec![disk(0), opened], &table);
    assert_eq!(judge(&snapshot, "/data").verdict, Verdict::Unencrypted);
    let segment =
        Segment { number: 0, kind: "hw-opal".to_owned(), cipher: String::new(), flags: Vec::new() };
    let header =
        Header { version: 2, uuid: uuid.to_owned(), segments: vec![segment], ..Header::default() };
    snapshot.luks.insert(number(0), Observed::Known(header));
    let posture = judge(&snapshot, "/data");
    assert_eq!(
        (posture.verdict, &posture.reasons[..]),
        (Verdict::Claimed, &[Reason::DriveClaim][..])
    );
    assert_eq!(posture.claimed_by, ["the drive /dev/d0"]);
}

#[test]
fn a_volume_over_an_encrypted_and_a_plain_disk_names_the_plain_one() {
    let devices =
        vec![disk(0), disk(1), crypt(2, 1, "aes-xts-plain64"), disk(3), linear(4, &[2, 3])];
    let snapshot = host(devices, &format!("{ROOT}2 1 8:4 / /data rw - ext4 /dev/mapper/m4 rw\n"));
    let posture = judge(&snapshot, "/data");
    assert_eq!(posture.verdict, Verdict::Partial);
    assert_eq!(posture.reasons, [Reason::PlainDevice]);
    assert_eq!(posture.plain[0].device, "/dev/d3");
    assert_eq!(posture.plain[0].via, ["/dev/mapper/m4"]);
    assert_eq!(posture.encrypted_by[0].device, "/dev/mapper/m2");
    assert_eq!(posture.stack[0].children[0].children.len(), 2);
}

#[test]
fn a_plain_mount_below_an_encrypted_one_gets_out() {
    let devices = vec![disk(0), disk(1), crypt(2, 1, "aes-xts-plain64"), disk(3)];
    let table =
        format!("{ROOT}2 1 8:2 / /data rw - ext4 x rw\n3 2 8:3 / /data/logs rw - ext4 y rw\n");
    let posture = judge(&host(devices, &table), "/data");
    assert_eq!(posture.verdict, Verdict::Partial);
    assert_eq!(posture.reasons, [Reason::PlainSubmount]);
    assert_eq!(posture.plain[0].device, "/dev/d3");
}

#[test]
fn a_mount_that_a_later_one_hides_still_counts() {
    let devices = vec![disk(0), disk(1), crypt(2, 1, "aes-xts-plain64")];
    let table = format!("{ROOT}2 1 8:0 /x /data rw - ext4 x rw\n3 2 8:2 / /data rw - ext4 y rw\n");
    let posture = judge(&host(devices, &table), "/data/sub");
    // Below the path itself there is nothing hidden.
    assert_eq!(posture.verdict, Verdict::Encrypted);
    let devices = vec![disk(0), disk(1), crypt(2, 1, "aes-xts-plain64")];
    let posture = judge(&host(devices, &table), "/data");
    assert_eq!(posture.verdict, Verdict::Partial);
}

#[test]
fn a_null_cipher_over_encryption_is_encrypted_and_over_a_disk_is_not() {
    let devices = vec![disk(0), crypt(1, 0, "cipher_null-ecb")];
    let posture = judge(&host(devices, "1 0 8:1 / / rw - ext4 x rw\n"), "/");
    assert_eq!(posture.verdict, Verdict::Unencrypted);
    assert_eq!(posture.reasons, [Reason::NullCipher]);
    assert_eq!(posture.plain[0].device, "/dev/d0");
    let devices = vec![disk(0), crypt(1, 0, "aes-xts-plain64"), crypt(2, 1, "cipher_null-ecb")];
    let posture = judge(&host(devices, "1 0 8:2 / / rw - ext4 x rw\n"), "/");
    assert_eq!(posture.verdict, Verdict::Encrypted);
}

#[test]
fn a_cycle_of_devices_is_unknown_and_ends() {
    let devices = vec![linear(0, &[1]), linear(1, &[0])];
    let posture = judge(&host(devices, "1 0 8:0 / / rw - ext4 x rw\n"), "/");
    assert_eq!(posture.verdict, Verdict::Unknown);
    assert_eq!(posture.reasons, [Reason::Unreadable]);
}

#[test]
fn a_stack_deeper_than_any_is_unknown_and_ends() {
    let mut devices: Vec<BlockDevice> = (1..5000).map(|at| linear(at, &[at - 1])).collect();
    devices.push(disk(0));
    let posture = judge(&host(devices, "1 0 8:4999 / / rw - ext4 x rw\n"), "/");
    assert_eq!(posture.verdict, Verdict::Unknown);
}

#[test]
fn a_mount_whose_device_vanished_is_unknown() {
    let posture = judge(&host(Vec::new(), ROOT), "/");
    assert_eq!(posture.verdict, Verdict::Unknown);
    assert!(posture.undecided[0].detail.contains("8:0"));
}

#[test]
fn an_overlay_on_itself_ends() {
    let table = "1 0 0:9 / / rw - overlay o rw,upperdir=/a,workdir=/b\n";
    let posture = judge(&host(Vec::new(), table), "/");
    assert_eq!(posture.verdict, Verdict::Unknown);
}

/// A rootless container: its overlay was mounted in the mount namespace of podman's own process, in a user namespace.
#[test]
fn the_root_of_a_container_that_the_host_did_not_mount_is_unknown() {
    const UP: &str = "/home/u/.local/share/containers/storage/overlay/ab/diff";
    const WORK: &str = "/home/u/.local/share/containers/storage/overlay/ab/work";
    let devices = || vec![disk(0), disk(1), crypt(2, 1, "aes-xts-plain64")];
    // The container has a volume where the names of its own upper directories would lead; it is listed first.
    let volume = "501 500 8:2 / /home rw - ext4 /dev/mapper/m2 rw\n";
    let overlay = format!(
        "500 499 0:50 / / rw - overlay overlay rw,lowerdir=/l,upperdir={UP},workdir={WORK},userxattr\n"
    );
    let process = Namespace::Process(7);
    let judged = |own: &str, of_host: &str, named: bool| {
        let mut snapshot = host(devices(), of_host);
        let table = mounts::parse(own.as_bytes()).unwrap();
        snapshot.mounts.push((process.clone(), Observed::Known(table)));
        if named {
            let key = |path: &str| (process.clone(), path.into());
            let at = |path: &str| Observed::Known(Resolved::at(path));
            snapshot.named = vec![(key(UP), at(UP)), (key(WORK), at(WORK))];
        }
        let wanted =
            Target { namespace: process.clone(), ..target("/usr/share/elasticsearch/data") };
        Evaluator::new(&snapshot).target(&wanted)
    };
    for own in [format!("{overlay}{volume}"), format!("{volume}{overlay}"), overlay.clone()] {
        for named in [false, true] {
            let posture = judged(&own, ROOT, named);
            assert_eq!(posture.verdict, Verdict::Unknown, "{own}");
            let detail = &posture.undecided[0].detail;
            assert!(detail.contains("another mount namespace"), "{detail}");
        }
    }
    // As the host's own engine mounts it, the names are the host's.
    let merged = overlay.replacen("500 499 0:50 / / rw", "9 1 0:50 / /merged rw", 1);
    let posture = judged(&overlay, &format!("{ROOT}{merged}"), false);
    assert_eq!(posture.verdict, Verdict::Unencrypted, "{posture:?}");
}

#[test]
fn an_overlay_that_is_bound_elsewhere_stands_where_it_was_mounted_first() {
    let devices = vec![disk(0), disk(1), crypt(2, 1, "aes-xts-plain64")];
    let table = format!(
        "{ROOT}2 1 0:9 / /merged rw - overlay o rw,upperdir=/a/up,workdir=/a/work\n3 1 8:2 / /a rw - ext4 x rw\n4 1 0:9 / /data rw - overlay o rw,upperdir=/a/up,workdir=/a/work\n"
    );
    let posture = judge(&host(devices, &table), "/data");
    assert_eq!(posture.verdict, Verdict::Unencrypted);
}

#[test]
fn a_path_that_is_not_there_says_what_it_would_rest_on() {
    let devices = vec![disk(0), crypt(1, 0, "aes-xts-plain64")];
    let snapshot = host(devices, "1 0 8:1 / / rw - ext4 x rw\n");
    let missing = Target {
        resolution: Observed::Absent,
        nearest: Some(Resolved::at("/srv")),
        ..target("/srv/es")
    };
    let posture = Evaluator::new(&snapshot).target(&missing);
    assert_eq!(posture.verdict, Verdict::Unknown);
    assert_eq!(posture.reasons, [Reason::NotFound]);
    assert_eq!(posture.nearest.unwrap().verdict, Verdict::Encrypted);
}

#[test]
fn memory_is_volatile_until_swap_is_plain() {
    let table = "1 0 0:9 / / rw - tmpfs t rw\n";
    assert_eq!(judge(&host(vec![disk(0)], table), "/").verdict, Verdict::Volatile);
    let mut swapping = host(vec![disk(0)], table);
    let device = Resolved::node("/dev/d0", number(0));
    swapping.swaps = Observed::Known(vec![Swap {
        path: "/dev/d0".into(),
        kind: "partition".to_owned(),
        resolution: Observed::Known(device),
    }]);
    let posture = judge(&swapping, "/");
    assert_eq!(posture.verdict, Verdict::Partial);
    assert_eq!(posture.reasons, [Reason::PlainSwap]);
}

/// What one generated device is; the numbers are devices below it, always smaller than its own.
#[derive(Debug, Clone)]
enum Kind {
    Disk,
    Crypt(usize),
    Null(usize),
    Linear(Vec<usize>),
    /// A table that could not be read.
    Sealed(usize),
}

fn kinds() -> impl Strategy<Value = Vec<Kind>> {
    let step = |at: usize| {
        if at == 0 {
            return Just(Kind::Disk).boxed();
        }
        prop_oneof![
            2 => Just(Kind::Disk),
            2 => (0..at).prop_map(Kind::Crypt),
            1 => (0..at).prop_map(Kind::Null),
            4 => proptest::collection::vec(0..at, 1..4).prop_map(Kind::Linear),
            1 => (0..at).prop_map(Kind::Sealed),
        ]
        .boxed()
    };
    (1_usize..14).prop_flat_map(move |count| (0..count).map(step).collect::<Vec<_>>())
}

fn built(at: usize, kind: &Kind) -> BlockDevice {
    match kind {
        Kind::Disk => disk(at),
        Kind::Crypt(below) => crypt(at, *below, "aes-xts-plain64"),
        Kind::Null(below) => crypt(at, *below, "cipher_null-ecb"),
        Kind::Linear(below) => linear(at, below),
        Kind::Sealed(below) => {
            let mut device = linear(at, &[*below]);
            if let Some(dm) = &mut device.dm {
                dm.table = Observed::Unreadable(snapshot::Trouble::new(Reason::NoPermission, "no"));
            }
            device
        }
    }
}

/// Every route from a device to its end, one by one: the letter of the end, and the device that it is.
fn routes(kinds: &[Kind], at: usize) -> Vec<(char, usize)> {
    match &kinds[at] {
        Kind::Disk => vec![('p', at)],
        Kind::Crypt(_) => vec![('e', at)],
        Kind::Sealed(_) => vec![('u', at)],
        Kind::Null(below) => routes(kinds, *below),
        Kind::Linear(below) => below.iter().flat_map(|below| routes(kinds, *below)).collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn the_walk_agrees_with_every_route_taken_one_by_one(kinds in kinds()) {
        let top = kinds.len() - 1;
        let devices = kinds.iter().enumerate().map(|(at, kind)| built(at, kind)).collect();
        let snapshot = host(devices, &format!("1 0 8:{top} / / rw - ext4 x rw\n"));
        let posture = judge(&snapshot, "/");

        let ends: BTreeSet<(char, usize)> = routes(&kinds, top).into_iter().collect();
        let has = |letter| ends.iter().any(|(end, _)| *end == letter);
        let expected = match (has('p'), has('u'), has('e')) {
            (true, false, false) => Verdict::Unencrypted,
            (true, _, _) => Verdict::Partial,
            (false, true, _) => Verdict::Unknown,
            (false, false, _) => Verdict::Encrypted,
        };
        prop_assert_eq!(posture.verdict, expected);
        let plain: BTreeSet<String> = posture.plain.iter().map(|leg| leg.device.clone()).collect();
        let expected: BTreeSet<String> =
            ends.iter().filter(|(end, _)| *end == 'p').map(|(_, at)| format!("/dev/d{at}")).collect();
        prop_assert_eq!(plain, expected);
        let by: BTreeSet<String> = posture.encrypted_by.iter().map(|by| by.device.clone()).collect();
        let expected: BTreeSet<String> =
            ends.iter().filter(|(end, _)| *end == 'e').map(|(_, at)| format!("/dev/mapper/m{at}")).collect();
        prop_assert_eq!(by, expected);
        // Asked for by device, the answer is the same.
        let by_device = Resolved::node("/dev/x", number(top));
        let asked = Target { resolution: Observed::Known(by_device), ..target("/dev/x") };
        prop_assert_eq!(Evaluator::new(&snapshot).target(&asked).verdict, posture.verdict);
    }
}
