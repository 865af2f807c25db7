//! Random numbers into random hosts: every list of numbers is some host, so that cases shrink well.

use proptest::prelude::*;

use super::{At, Device, Ext, Files, Member, Mounted, POINTS, Segment, Swapped, World};

/// One step in the making of a host: what is made, and of what.
pub(super) type Step = (u8, [u8; 6]);

pub(super) fn raw() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(any::<Step>(), 0..22)
}

/// The host that these steps make. It begins with two disks, one of them encrypted.
pub(super) fn world(steps: &[Step]) -> World {
    let crypt = Device::Crypt { below: 0, extra: None };
    let mut world = World { devices: vec![Device::Disk, crypt, Device::Disk], ..World::default() };
    let root =
        if steps.len().is_multiple_of(2) { Files::Vfat(0) } else { Files::Ext(1, Ext::Inside) };
    world.mounts.push(Mounted { files: root, point: POINTS[0], parent: None, first: 0 });
    for (kind, picks) in steps {
        match kind % 12 {
            0..=5 => world.devices.push(device(&world, *picks)),
            6..=10 => mount(&mut world, *picks),
            _ => swap(&mut world, *picks),
        }
    }
    world
}

fn device(world: &World, picks: [u8; 6]) -> Device {
    let at = |pick: usize| At::from(picks[pick]) % world.devices.len();
    let maybe = |pick: usize| (picks[pick] >= 128).then(|| at(pick));
    let some = || (1..=1 + usize::from(picks[5]) % 3).map(at).collect::<Vec<_>>();
    let mount = At::from(picks[1]) % world.mounts.len();
    match picks[0] % 36 {
        0 | 1 => Device::Disk,
        2 => Device::Gone,
        3 => Device::RamDisk,
        4 => Device::Nbd,
        5 => Device::Partition(at(1)),
        6 => Device::Troubled(at(1)),
        7 | 8 => Device::Linear { parts: some(), extra: maybe(4) },
        9 => Device::Striped(some()),
        10 | 11 => Device::Crypt { below: at(1), extra: maybe(2) },
        12 => Device::Null(at(1)),
        13 | 14 => {
            let kinds = [
                Segment::Crypt,
                Segment::Linear,
                Segment::Linear,
                Segment::Null,
                Segment::Zero,
                Segment::Unknown,
            ];
            let segment = |(pick, below): (usize, At)| {
                (kinds[usize::from(picks[pick + 1]).wrapping_mul(31) / 8 % kinds.len()], below)
            };
            Device::Segments(some().into_iter().enumerate().map(segment).collect())
        }
        15 => {
            Device::Integrity { data: at(1), meta: maybe(2), journals: picks[3].is_multiple_of(2) }
        }
        16 => Device::Verity { data: at(1), hashes: at(2) },
        17 => Device::Cache { metadata: at(1), fast: at(2), origin: at(3) },
        18 => Device::WriteCache { origin: at(1), fast: at(2) },
        19 | 20 => Device::Snapshot { origin: at(1), store: at(2) },
        21 => Device::Origin(at(1)),
        22 => Device::Thin { pool: at(1), external: maybe(2) },
        23 => Device::Pool { metadata: at(1), data: at(2) },
        24 => Device::Mirror { log: maybe(4), legs: some() },
        25 => Device::Raid { journal: maybe(4), metadata: at(5), legs: some() },
        26 => Device::Multipath(some()),
        27 => {
            let members = [
                Member::Active,
                Member::Spare,
                Member::Faulty,
                Member::Journal,
                Member::Rebuilding,
            ];
            let member = |(pick, below): (usize, At)| {
                (members[usize::from(picks[pick + 1]) / 16 % members.len()], below)
            };
            Device::Md(some().into_iter().enumerate().map(member).collect())
        }
        28 | 29 => Device::Loop { mount, told: !picks[2].is_multiple_of(4) },
        30 => Device::LoopOn(at(1)),
        31 => Device::Deleted,
        32 => Device::Bcache { backing: at(1), caches: some() },
        33 => match picks[2] % 3 {
            0 => Device::Drbd(at(1)),
            1 => Device::Zram(maybe(1)),
            _ => Device::Dropped,
        },
        34 if picks[2].is_multiple_of(2) => Device::UnknownTarget(at(1)),
        34 => Device::Sealed(at(1)),
        _ => match world.devices[at(1)] {
            Device::Disk => Device::Opal(at(1)),
            _ => Device::Partition(at(1)),
        },
    }
}

fn mount(world: &mut World, picks: [u8; 6]) {
    let point = POINTS[1 + usize::from(picks[1]) % (POINTS.len() - 1)];
    let parent = Some(world.visible(point));
    let at = |pick: usize| At::from(picks[pick]) % world.devices.len();
    let maybe = |pick: usize| (picks[pick] >= 128).then(|| at(pick));
    let some = || (3..=2 + usize::from(picks[2]) % 3).map(at).collect::<Vec<_>>();
    // Where a path leads now: what is mounted later does not move it.
    let held = |pick: usize| world.visible(POINTS[usize::from(picks[pick]) % POINTS.len()]);
    let files = match picks[0] % 24 {
        0..=2 => {
            let ext = match picks[3] % 4 {
                0 => Ext::Inside,
                1 => Ext::Unasked,
                2 => Ext::Elsewhere(at(4)),
                _ => Ext::SomewhereElse,
            };
            Files::Ext(at(2), ext)
        }
        3 => Files::Xfs { device: at(2), log: maybe(3), realtime: maybe(4) },
        4 => Files::Vfat(at(2)),
        5 => Files::F2fs(at(2), (!picks[5].is_multiple_of(3)).then(some)),
        6 | 7 => Files::Btrfs(some()),
        8 => Files::Bcachefs(some()),
        9..=11 => Files::Tmpfs,
        12 => Files::Ramfs,
        13 => Files::Proc,
        14 => Files::Autofs,
        15 => match picks[2] % 4 {
            0 => Files::Nfs,
            1 => Files::Gocryptfs,
            2 => Files::Sshfs,
            _ => Files::Strange,
        },
        16..=18 => Files::Overlay(held(2), held(3)),
        19 | 20 => Files::Ecryptfs(held(2), picks[3].is_multiple_of(2)),
        _ => {
            let of = At::from(picks[2]) % world.mounts.len();
            return bind(world, of, point, parent);
        }
    };
    // A device has one file system, however often it is mounted.
    let known = primary(&files).and_then(|device| {
        world.mounts.iter().position(|mounted| primary(&mounted.files) == Some(device))
    });
    if let Some(known) = known {
        bind(world, known, point, parent);
    } else {
        let first = world.mounts.len();
        world.mounts.push(Mounted { files, point, parent, first });
    }
}

fn primary(files: &Files) -> Option<At> {
    match files {
        Files::Ext(device, _)
        | Files::Xfs { device, .. }
        | Files::Vfat(device)
        | Files::F2fs(device, _) => Some(*device),
        _ => None,
    }
}

fn bind(world: &mut World, of: At, point: &'static str, parent: Option<At>) {
    let first = world.mounts[of].first;
    let files = world.mounts[first].files.clone();
    if !matches!(files, Files::Autofs) {
        world.mounts.push(Mounted { files, point, parent, first });
    }
}

fn swap(world: &mut World, picks: [u8; 6]) {
    match picks[0] % 8 {
        0..=3 => world.swaps.push(Swapped::Device(At::from(picks[1]) % world.devices.len())),
        4 | 5 => world.swaps.push(Swapped::File(At::from(picks[1]) % world.mounts.len())),
        6 => world.swaps.push(Swapped::Unreadable),
        _ => world.swap_hidden = picks[1].is_multiple_of(4),
    }
}
