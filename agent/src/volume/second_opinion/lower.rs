//! From the model to what the evaluator is given.

use crate::luks;

use super::{
    At, BlockDevice, Device, DeviceNumber, DmFacts, Ext, Files, HostPath, Journal, LoopBacking,
    LoopFacts, MdFacts, MdMember, Member, Mount, Namespace, Observed, Reason, Resolved, Segment,
    Snapshot, Swap, Swapped, Trouble, World, host, parse_target,
};

pub(super) fn number(at: At) -> DeviceNumber {
    DeviceNumber::new(8, u32::try_from(at).unwrap())
}

/// The kernel's name, and whether nothing but software is behind it.
fn name(world: &World, at: At) -> (String, bool) {
    let (prefix, is_virtual) = match &world.devices[at] {
        Device::Disk => ("d", false),
        Device::Gone => ("gone", false),
        Device::Partition(_) | Device::Troubled(_) => ("p", false),
        Device::RamDisk => ("ram", true),
        Device::Nbd => ("nbd", true),
        Device::Md(_) => ("md", true),
        Device::Loop { .. } | Device::LoopOn(_) | Device::Deleted => ("loop", true),
        Device::Bcache { .. } => ("bcache", true),
        Device::Drbd(_) => ("drbd", true),
        Device::Zram(_) => ("zram", true),
        _ => ("dm-", true),
    };
    (format!("{prefix}{at}"), is_virtual)
}

/// As an operator would type it.
pub(super) fn node(world: &World, at: At) -> String {
    match name(world, at).0.strip_prefix("dm-") {
        Some(number) => format!("/dev/mapper/m{number}"),
        None => format!("/dev/{}", name(world, at).0),
    }
}

const AES: &str = "aes-xts-plain64";
const NULL: &str = "cipher_null-ecb";

/// The lines of a table without their sectors, and the devices below. `None`: no device-mapper device.
fn table(device: &Device) -> Option<(Vec<String>, Vec<At>)> {
    let n = |at: &At| number(*at).to_string();
    let pairs =
        |legs: &[At]| legs.iter().map(|leg| format!("{} 0", n(leg))).collect::<Vec<_>>().join(" ");
    let crypt =
        |cipher: &str, below: &At| format!("crypt {cipher} {} 0 {} 0", "0".repeat(128), n(below));
    let linear = |below: &At| format!("linear {} 0", n(below));
    let of = |line: String, below: &[At]| (vec![line], below.to_vec());
    Some(match device {
        Device::Linear { parts, extra } => {
            (parts.iter().map(linear).collect(), [&parts[..], extra.as_slice()].concat())
        }
        Device::Striped(parts) => of(format!("striped {} 8 {}", parts.len(), pairs(parts)), parts),
        Device::Crypt { below, extra } => {
            of(crypt(AES, below), &[&[*below], extra.as_slice()].concat())
        }
        Device::Null(below) => of(crypt(NULL, below), &[*below]),
        Device::Segments(segments) => {
            let line = |(kind, below): &(Segment, At)| match kind {
                Segment::Crypt => crypt(AES, below),
                Segment::Null => crypt(NULL, below),
                Segment::Linear => linear(below),
                Segment::Zero => "zero".to_owned(),
                Segment::Unknown => format!("frobnicate {} 0", n(below)),
            };
            let named = segments.iter().filter(|(kind, _)| *kind != Segment::Zero);
            (segments.iter().map(line).collect(), named.map(|(_, below)| *below).collect())
        }
        Device::Integrity { data, meta, journals } => {
            let mode = if *journals { "J" } else { "D" };
            let (count, option) = match meta {
                Some(meta) => (1, format!(" meta_device:{}", n(meta))),
                None => (0, String::new()),
            };
            let below = [&[*data], meta.as_slice()].concat();
            of(format!("integrity {} 0 - {mode} {count}{option}", n(data)), &below)
        }
        Device::Verity { data, hashes } => of(
            format!("verity 1 {} {} 4096 4096 1 1 sha256 00 00", n(data), n(hashes)),
            &[*data, *hashes],
        ),
        Device::Cache { metadata, fast, origin } => of(
            format!("cache {} {} {} 128 1 writeback smq 0", n(metadata), n(fast), n(origin)),
            &[*metadata, *fast, *origin],
        ),
        Device::WriteCache { origin, fast } => {
            of(format!("writecache s {} {} 4096 0", n(origin), n(fast)), &[*origin, *fast])
        }
        Device::Snapshot { origin, store } => {
            of(format!("snapshot {} {} P 8", n(origin), n(store)), &[*origin, *store])
        }
        Device::Origin(below) => of(format!("snapshot-origin {}", n(below)), &[*below]),
        Device::Thin { pool, external } => {
            let also = external.iter().map(|at| format!(" {}", n(at))).collect::<String>();
            of(format!("thin {} 7{also}", n(pool)), &[&[*pool], external.as_slice()].concat())
        }
        Device::Pool { metadata, data } => {
            of(format!("thin-pool {} {} 128 0", n(metadata), n(data)), &[*metadata, *data])
        }
        Device::Mirror { log, legs } => {
            let kept = match log {
                Some(log) => format!("disk 2 {} 1024", n(log)),
                None => "core 1 1024".to_owned(),
            };
            let line = format!("mirror {kept} {} {}", legs.len(), pairs(legs));
            of(line, &[&legs[..], log.as_slice()].concat())
        }
        Device::Raid { journal, metadata, legs } => {
            let given = match journal {
                Some(journal) => format!("3 64 journal_dev {}", n(journal)),
                None => "1 64".to_owned(),
            };
            let members: String =
                legs.iter().map(|leg| format!(" {} {}", n(metadata), n(leg))).collect();
            let line = format!("raid raid5_ls {given} {}{members}", legs.len());
            of(line, &[&legs[..], &[*metadata], journal.as_slice()].concat())
        }
        Device::Multipath(paths) => {
            let named: String = paths.iter().map(|path| format!(" {} 1 1", n(path))).collect();
            of(format!("multipath 0 0 1 1 service-time 0 {} 2{named}", paths.len()), paths)
        }
        Device::UnknownTarget(below) => of(format!("frobnicate {} 0", n(below)), &[*below]),
        Device::Sealed(below) | Device::Opal(below) => of(linear(below), &[*below]),
        Device::Dropped => of("error".to_owned(), &[]),
        _ => return None,
    })
}

const UUID: &str = "28632274-8c8a-493f-835b-da802e1c";

fn device(world: &World, at: At) -> BlockDevice {
    let (name, is_virtual) = name(world, at);
    let numbers = |below: &[At]| below.iter().map(|at| number(*at)).collect::<Vec<_>>();
    let mut device = BlockDevice {
        number: number(at),
        name,
        is_virtual,
        sectors: Some(8),
        ..BlockDevice::default()
    };
    if let Some((lines, below)) = table(&world.devices[at]) {
        let targets = lines
            .iter()
            .enumerate()
            .map(|(line, text)| parse_target(format!("{} 8 {text}", line * 8).as_bytes()).unwrap());
        let uuid = match world.devices[at] {
            Device::Opal(below) => {
                format!("CRYPT-LUKS2-{}{below:04}-es", UUID.replace('-', ""))
            }
            // It says nothing.
            _ => "CRYPT-LUKS2-0-liar".to_owned(),
        };
        let table = match world.devices[at] {
            Device::Sealed(_) => Observed::Unreadable(Trouble::new(Reason::NoPermission, "no")),
            _ => Observed::Known(targets.collect()),
        };
        device.sectors = Some(8 * lines.len() as u64);
        device.slaves = numbers(&below);
        device.dm = Some(DmFacts {
            name: format!("m{at}"),
            uuid,
            suspended: false,
            table,
            dependencies: None,
        });
        return device;
    }
    match &world.devices[at] {
        Device::Partition(below) => device.partition_of = Some(number(*below)),
        Device::Troubled(below) => {
            device.partition_of = Some(number(*below));
            device.trouble = Some(Trouble::new(Reason::Unreadable, "torn"));
        }
        Device::Md(members) => {
            let member = |(member, at): &(Member, At)| {
                let (state, slot) = match member {
                    Member::Active => ("in_sync", "0"),
                    Member::Faulty => ("faulty", "none"),
                    Member::Spare => ("spare", "none"),
                    Member::Rebuilding => ("spare", "1"),
                    Member::Journal => ("journal", "journal"),
                };
                MdMember { device: number(*at), state: state.to_owned(), slot: slot.to_owned() }
            };
            let members = members.iter().map(member).collect();
            device.md = Some(MdFacts { level: "raid5".to_owned(), members });
        }
        Device::Loop { mount, told } => {
            let backing = LoopBacking {
                filesystem: told_number(world, *mount),
                block_device: None,
                name_holds: world.name_leads_home(*mount),
                fscrypt: None,
            };
            device.looped = Some(LoopFacts {
                backing_file: HostPath::from(world.image(*mount)),
                deleted: false,
                backing: told.then_some(backing),
            });
        }
        Device::LoopOn(below) => {
            let backing = LoopBacking {
                filesystem: DeviceNumber::new(0, 6),
                block_device: Some(number(*below)),
                name_holds: true,
                fscrypt: None,
            };
            let backing_file = HostPath::from(node(world, *below));
            device.looped =
                Some(LoopFacts { backing_file, deleted: false, backing: Some(backing) });
        }
        Device::Deleted => {
            let backing_file = HostPath::from("/a/was");
            device.looped = Some(LoopFacts { backing_file, deleted: true, backing: None });
        }
        Device::Bcache { backing, caches } => {
            device.slaves = numbers(&[&[*backing], &caches[..]].concat());
            device.caches = numbers(caches);
        }
        Device::Drbd(below) => device.slaves = numbers(&[*below]),
        Device::Zram(backing) => {
            device.zram_backing = backing.map(|below| HostPath::from(node(world, below)));
        }
        _ => {}
    }
    device
}

fn mounted_number(world: &World, mount: At) -> DeviceNumber {
    let first = world.mounts[mount].first;
    match &world.mounts[first].files {
        Files::Ext(device, _)
        | Files::Xfs { device, .. }
        | Files::Vfat(device)
        | Files::F2fs(device, _) => number(*device),
        _ => DeviceNumber::new(0, 20 + u32::try_from(first).unwrap()),
    }
}

/// What `stat(2)` says: for btrfs a number of its own.
fn told_number(world: &World, mount: At) -> DeviceNumber {
    let number = mounted_number(world, mount);
    match world.mounts[mount].files {
        Files::Btrfs(_) => DeviceNumber::new(0, number.minor + 1000),
        _ => number,
    }
}

fn mount(world: &World, at: At) -> Mount {
    let mounted = &world.mounts[at];
    let below =
        |at: At, name: &str| format!("{}/{name}", world.mounts[at].point.trim_end_matches('/'));
    let (fstype, source, options) = match &mounted.files {
        Files::Ext(..) => ("ext4", String::new(), String::new()),
        Files::Xfs { log, realtime, .. } => {
            let options = [("logdev", log), ("rtdev", realtime)]
                .into_iter()
                .filter_map(|(name, device)| Some(format!(",{name}={}", node(world, (*device)?))));
            ("xfs", String::new(), options.collect())
        }
        Files::Vfat(_) => ("vfat", String::new(), String::new()),
        Files::F2fs(..) => ("f2fs", String::new(), String::new()),
        Files::Btrfs(_) => ("btrfs", String::new(), String::new()),
        Files::Bcachefs(_) => ("bcachefs", String::new(), String::new()),
        Files::Tmpfs => ("tmpfs", String::new(), String::new()),
        Files::Ramfs => ("ramfs", String::new(), String::new()),
        Files::Proc => ("proc", String::new(), String::new()),
        Files::Autofs => ("autofs", String::new(), String::new()),
        Files::Nfs => ("nfs4", "server:/x".to_owned(), String::new()),
        Files::Gocryptfs => ("fuse.gocryptfs", String::new(), String::new()),
        Files::Sshfs => ("fuse.sshfs", String::new(), String::new()),
        Files::Strange => ("strangefs", String::new(), String::new()),
        Files::Overlay(upper, work) => {
            let (upper, work) = (below(*upper, "upper"), below(*work, "work"));
            ("overlay", String::new(), format!(",lowerdir=/l,upperdir={upper},workdir={work}"))
        }
        Files::Ecryptfs(lower, names) => {
            let names = if *names { ",ecryptfs_fnek_sig=0" } else { "" };
            let options = format!("{names},ecryptfs_cipher=aes,ecryptfs_key_bytes=32");
            ("ecryptfs", below(*lower, "lower"), options)
        }
    };
    Mount {
        id: 100 + at as u64,
        parent: mounted.parent.map_or(1, |parent| 100 + parent as u64),
        device: mounted_number(world, at),
        root: HostPath::from(if mounted.first == at { "/" } else { "/sub" }),
        mount_point: mounted.point.into(),
        fstype: fstype.to_owned(),
        source: HostPath::from(if source.is_empty() { "none".to_owned() } else { source }),
        super_options: format!("rw{options}"),
    }
}

fn facts(world: &World, snapshot: &mut Snapshot) {
    let numbers = |devices: &[At]| devices.iter().map(|at| number(*at)).collect::<Vec<_>>();
    let facts = &mut snapshot.filesystems;
    for (at, mounted) in world.mounts.iter().enumerate() {
        let key = mounted_number(world, at);
        match &mounted.files {
            Files::Ext(_, Ext::Inside) => {
                facts.journals.insert(key, Observed::Known(Journal::Inside));
            }
            Files::Ext(_, Ext::Elsewhere(journal)) => {
                let journal = Journal::External(Some(number(*journal)));
                facts.journals.insert(key, Observed::Known(journal));
            }
            Files::Ext(_, Ext::SomewhereElse) => {
                facts.journals.insert(key, Observed::Known(Journal::External(None)));
            }
            Files::F2fs(_, Some(further)) => {
                facts.f2fs.insert(key, Observed::Known(numbers(further)));
            }
            Files::Btrfs(devices) => {
                facts.btrfs.insert(key, numbers(devices));
            }
            Files::Bcachefs(devices) => {
                facts.bcachefs.insert(key, numbers(devices));
            }
            _ => {}
        }
    }
}

fn swap(world: &World, swap: &Swapped) -> Swap {
    let (path, found) = match swap {
        Swapped::Device(at) => (node(world, *at), Ok((None, Some(number(*at))))),
        Swapped::File(at) => {
            let path = format!("{}/swap", world.mounts[*at].point.trim_end_matches('/'));
            (path, Ok((Some(100 + *at as u64), None)))
        }
        Swapped::Unreadable => {
            ("/gone/swap".to_owned(), Err(Trouble::new(Reason::NoPermission, "no")))
        }
    };
    let path = HostPath::from(path);
    let resolution = match found {
        Ok((mount_id, block_device)) => {
            Observed::Known(Resolved { path: path.clone(), mount_id, block_device, fscrypt: None })
        }
        Err(trouble) => Observed::Unreadable(trouble),
    };
    Swap { path, kind: "partition".to_owned(), resolution }
}

pub(super) fn snapshot(world: &World) -> Snapshot {
    let there = |at: &At| !matches!(world.devices[*at], Device::Gone);
    let devices = (0..world.devices.len()).filter(there).map(|at| device(world, at)).collect();
    let mut snapshot = host(devices, "");
    let mounts = (0..world.mounts.len()).map(|at| mount(world, at)).collect();
    snapshot.mounts = vec![(Namespace::Host, Observed::Known(mounts))];
    facts(world, &mut snapshot);
    snapshot.swaps = if world.swap_hidden {
        Observed::Unreadable(Trouble::new(Reason::NoPermission, "no"))
    } else {
        Observed::Known(world.swaps.iter().map(|area| swap(world, area)).collect())
    };
    for below in world.devices.iter().filter_map(|device| match device {
        Device::Opal(below) => Some(*below),
        _ => None,
    }) {
        let segment = luks::Segment {
            number: 0,
            kind: "hw-opal".to_owned(),
            cipher: String::new(),
            flags: Vec::new(),
        };
        let header = luks::Header {
            version: 2,
            uuid: format!("{UUID}{below:04}"),
            segments: vec![segment],
            ..luks::Header::default()
        };
        snapshot.luks.insert(number(below), Observed::Known(header));
    }
    snapshot
}
