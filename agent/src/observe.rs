//! The one impure step: looks at everything that was discovered and makes a [`Snapshot`].
//!
//! A failure is data: it lands where the fact would have been, and the scan goes on.

use std::collections::{BTreeMap, BTreeSet};

use atrest_proto::model::{self, Gap, Reason, Service};
use jiff::Timestamp;

use crate::boot::{self, Boot};
use crate::discovery::{Discovery, Place};
use crate::hibernation::Hibernation;
use crate::host::{
    Host, block_devices, boot_files, filesystem_facts, hibernation, identity, links, names,
};
use crate::keystore::trials::{MOST_TRIED, Memory, Trials};
use crate::layer::device_mapper::crypt;
use crate::memory::ServiceMemory;
use crate::path::HostPath;
use crate::reach::{self, Facts};
use crate::snapshot::{
    BlockDevice, DeviceNumber, MountTable, Namespace, Observed, Resolved, ServiceFacts, Snapshot,
    Swap, Target, Trouble,
};
use crate::{keystore, memory, mounts, secrets, swaps};

/// A mount table of 100,000 mounts is about 15 MiB.
const MOUNTINFO: usize = 64 * 1024 * 1024;
const SWAPS: usize = 1024 * 1024;

/// Looks at the host once.
pub fn observe(host: &dyn Host, discovery: Discovery, now: Timestamp) -> Snapshot {
    observe_again(host, discovery, now, &mut Memory::default())
}

/// Looks at the host, with what is remembered of earlier looks at it.
pub fn observe_again(
    host: &dyn Host,
    discovery: Discovery,
    now: Timestamp,
    memory: &mut Memory,
) -> Snapshot {
    let (devices, mut gaps) = block_devices::observe(host);
    let kept = kept_services(host, &discovery, &mut gaps);
    let mut mounts = mount_tables(host, &discovery, &mut gaps);
    mounts.extend(kept.mounts);
    let filesystems = filesystem_facts::observe(host, &mounts, &devices);
    let named = names::observe(host, &mounts, &devices, &filesystems);
    let swaps = swap_areas(host);
    let mut targets = targets(host, &discovery);
    targets.extend(kept.targets);
    let below = if discovery.only_paths {
        reach::devices(&Facts {
            targets: &targets,
            mounts: &mounts,
            devices: &devices,
            filesystems: &filesystems,
            swaps: &swaps,
        })
    } else {
        None
    };
    let luks = luks_headers(host, &devices, below.as_ref());
    for device in devices.values() {
        let table = device.dm.as_ref().and_then(|dm| dm.table.trouble());
        if let Some(trouble) = table {
            gaps.push(Gap {
                subject: device.node(),
                reason: trouble.reason,
                detail: trouble.detail.clone(),
                remedy: lift(trouble).to_owned(),
            });
        }
    }
    let boot = boot(host, &mounts, &devices, discovery.only_paths);
    gaps.extend(boot.surroundings.gaps());
    let mut found = services(host, &discovery, memory);
    gaps.append(&mut found.gaps);
    found.services.extend(kept.services);
    found.keystores.extend(kept.keystores);
    found.secrets.extend(kept.secrets);
    found.claims.extend(kept.claims);
    found.assumptions.extend(kept.assumptions);
    found.sights.extend(kept.sights);
    found.memory.extend(kept.memory);
    found.repositories.extend(kept.repositories);
    found.unlisted.extend(kept.unlisted);
    gaps.extend(discovery.gaps);
    gaps.extend(kept.gaps);
    gaps.sort_unstable();
    gaps.dedup();
    Snapshot {
        links: links::observe(host, &targets),
        hibernation: if discovery.only_paths {
            Hibernation::default()
        } else {
            hibernation::observe(host)
        },
        core_dumps: kept.core_dumps.or(discovery.core_dumps),
        observed_at: now,
        // The answer about paths does not say whose they are.
        host: if discovery.only_paths { model::Host::default() } else { identity::observe(host) },
        mounts,
        filesystems,
        swaps,
        named,
        targets,
        memory: found.memory,
        services: found.services,
        luks,
        boot,
        keystores: found.keystores,
        secrets: found.secrets,
        repositories: found.repositories,
        unlisted: found.unlisted,
        claims: found.claims,
        assumptions: found.assumptions,
        sights: found.sights,
        gaps,
        devices,
    }
}

/// What a recording keeps of services, when it is one and more than named paths are asked about.
fn kept_services(host: &dyn Host, discovery: &Discovery, gaps: &mut Vec<Gap>) -> ServiceFacts {
    if discovery.only_paths {
        return ServiceFacts::default();
    }
    match host.services() {
        Observed::Known(kept) => kept,
        Observed::Absent => ServiceFacts::default(),
        Observed::Unreadable(trouble) => {
            gaps.push(Gap {
                subject: "services of the recording".to_owned(),
                reason: trouble.reason,
                detail: trouble.detail,
                remedy: "make the recording again".to_owned(),
            });
            ServiceFacts::default()
        }
    }
}

/// Everything of services that a recording keeps.
pub(crate) fn recorded_services(
    host: &dyn Host,
    discovery: &Discovery,
    targets: Vec<Target>,
) -> ServiceFacts {
    let found = services(host, discovery, &mut Memory::default());
    let mut gaps = found.gaps;
    gaps.extend(discovery.gaps.iter().cloned());
    let mut mounts = mount_tables(host, discovery, &mut gaps);
    mounts.retain(|(namespace, _)| *namespace != Namespace::Host);
    let core_dumps = discovery.core_dumps.clone();
    ServiceFacts { targets, mounts, core_dumps, gaps, ..found }
}

/// What is looked at of services beside their paths.
fn services(host: &dyn Host, discovery: &Discovery, tried: &mut Memory) -> ServiceFacts {
    let mut trials = Trials::new(tried);
    let keystores = discovery.keystores.iter();
    let keystores: Vec<keystore::Observation> =
        keystores.map(|place| keystore::observe::observe(host, place, &mut trials)).collect();
    let (secrets, mut gaps) = secrets::observe::observe(
        host,
        &secrets::observe::Known {
            places: &discovery.configurations,
            services: &discovery.services,
            keystores: &keystores,
        },
    );
    if trials.was_refused() {
        gaps.push(Gap {
            subject: "keystores".to_owned(),
            reason: Reason::Unreadable,
            detail: format!(
                "the empty password was tried on {MOST_TRIED} files, and there are more"
            ),
            remedy: "find out what has so many keystores".to_owned(),
        });
    }
    ServiceFacts {
        services: discovery.services.clone(),
        keystores,
        secrets,
        claims: discovery.claims.clone(),
        assumptions: discovery.assumptions.clone(),
        sights: discovery.sights.clone(),
        memory: memory(host, &discovery.services),
        repositories: discovery.repositories.clone(),
        unlisted: discovery.unlisted.clone(),
        gaps,
        ..ServiceFacts::default()
    }
}

/// The memory of running services; one that has ended in the meantime has none.
fn memory(host: &dyn Host, services: &[Service]) -> Vec<ServiceMemory> {
    const STATUS: usize = 64 << 10;
    let of = |service: &Service| {
        let path = HostPath::from(format!("/proc/{}/status", service.pid?));
        let status = host.read(&Namespace::Host, &path, STATUS).ok()?;
        let (locked_kib, swapped_kib) = memory::parse(&String::from_utf8_lossy(&status))?;
        Some(ServiceMemory { service: service.name.clone(), locked_kib, swapped_kib })
    };
    services.iter().filter_map(of).collect()
}

/// Everything that paths are to be judged for, with where they lead.
pub(crate) fn targets(host: &dyn Host, discovery: &Discovery) -> Vec<Target> {
    let named = discovery.places.iter().cloned().map(|place| target(host, place));
    named.chain(discovery.held.iter().cloned()).collect()
}

/// A place, with where it leads.
pub(crate) fn target(host: &dyn Host, place: Place) -> Target {
    let resolution = host.resolve(&place.namespace, &place.path);
    Target {
        path: place.path,
        usage: place.usage,
        service: place.service,
        namespace: place.namespace,
        resolution: resolution.at,
        nearest: resolution.nearest,
    }
}

/// What is set up for the next boot. Of a named path it says something only where there is a volume that is opened.
fn boot(
    host: &dyn Host,
    mounts: &[(Namespace, MountTable)],
    devices: &BTreeMap<DeviceNumber, BlockDevice>,
    only_paths: bool,
) -> Boot {
    if only_paths {
        return if boot::may_encrypt(devices) {
            boot_files::observe_intent(host)
        } else {
            Boot::default()
        };
    }
    let own = mounts.iter().find(|(namespace, _)| *namespace == Namespace::Host);
    boot_files::observe(host, own.and_then(|(_, table)| table.known()).map(Vec::as_slice), devices)
}

fn lift(trouble: &Trouble) -> &'static str {
    if trouble.reason == Reason::NoPermission {
        "run the agent as root: reading the kernel's device-mapper tables takes CAP_SYS_ADMIN"
    } else {
        ""
    }
}

fn mount_tables(
    host: &dyn Host,
    discovery: &Discovery,
    gaps: &mut Vec<Gap>,
) -> Vec<(Namespace, MountTable)> {
    let mut namespaces = BTreeSet::from([Namespace::Host]);
    namespaces.extend(discovery.places.iter().map(|place| place.namespace.clone()));
    namespaces.extend(discovery.held.iter().map(|held| held.namespace.clone()));
    namespaces.extend(discovery.keystores.iter().map(|place| place.namespace.clone()));
    namespaces.extend(discovery.configurations.iter().map(|place| place.namespace.clone()));
    namespaces.extend(discovery.repositories.iter().map(|one| one.registered.namespace.clone()));
    namespaces
        .into_iter()
        .map(|namespace| {
            let table = mount_table(host, &namespace);
            if let Some(trouble) = table.trouble() {
                gaps.push(Gap {
                    subject: "mountinfo".to_owned(),
                    reason: trouble.reason,
                    detail: trouble.detail.clone(),
                    remedy: String::new(),
                });
            }
            (namespace, table)
        })
        .collect()
}

/// Where the host's own mount table is read.
pub fn own_mountinfo(host: &dyn Host) -> HostPath {
    // Under another root, `self` would be this process in that root's proc.
    HostPath::from(if host.is_live() && !host.sees_own_root() {
        "/proc/1/mountinfo"
    } else {
        "/proc/self/mountinfo"
    })
}

pub(crate) fn mount_table(host: &dyn Host, namespace: &Namespace) -> MountTable {
    let path = match namespace {
        Namespace::Host => own_mountinfo(host),
        Namespace::Process(pid) => HostPath::from(format!("/proc/{pid}/mountinfo")),
    };
    let text = match host.read(&Namespace::Host, &path, MOUNTINFO) {
        Err(trouble) if trouble.reason == Reason::NotFound && !host.is_live() => {
            host.read(&Namespace::Host, &"/proc/1/mountinfo".into(), MOUNTINFO)
        }
        read => read,
    };
    match text {
        Ok(text) => match mounts::parse(&text) {
            Ok(table) => Observed::Known(table),
            Err(error) => {
                Observed::Unreadable(Trouble::new(Reason::Unreadable, format!("{path}: {error}")))
            }
        },
        Err(trouble) => {
            Observed::Unreadable(Trouble { reason: unmissable(trouble.reason), ..trouble })
        }
    }
}

/// What must be there and is not was not readable: "not found" is for the paths that operators name.
fn unmissable(reason: Reason) -> Reason {
    if reason == Reason::NotFound { Reason::Unreadable } else { reason }
}

fn swap_areas(host: &dyn Host) -> Observed<Vec<Swap>> {
    let path = HostPath::from("/proc/swaps");
    let text = match host.read(&Namespace::Host, &path, SWAPS) {
        Ok(text) => text,
        // A kernel that was built without swap has no such file.
        Err(trouble) if trouble.reason == Reason::NotFound && host.is_live() => {
            return Observed::Known(Vec::new());
        }
        Err(trouble) => {
            return Observed::Unreadable(Trouble { reason: unmissable(trouble.reason), ..trouble });
        }
    };
    let Some(areas) = swaps::parse(&text) else {
        let detail = format!("{path}: a line that makes no sense");
        return Observed::Unreadable(Trouble::new(Reason::Unreadable, detail));
    };
    let areas = areas.into_iter().map(|(path, kind)| {
        let resolution = match host.resolve(&Namespace::Host, &path).at {
            Observed::Known(found) if kind == "file" && host.is_live() => {
                swap_file(host, &path, found)
            }
            resolution @ (Observed::Known(_) | Observed::Absent | Observed::Unreadable(_)) => {
                resolution
            }
        };
        let resolution = match resolution {
            // The kernel would write to the blocks of a swap file, past what its file system encrypts; ext4 refuses it.
            Observed::Known(found) => Observed::Known(Resolved { fscrypt: None, ..found }),
            resolution @ (Observed::Absent | Observed::Unreadable(_)) => resolution,
        };
        Swap { path, kind, resolution }
    });
    Observed::Known(areas.collect())
}

/// A mount over its directory may have hidden a swap file since it was switched on, and put another file in its place.
fn swap_file(host: &dyn Host, path: &HostPath, found: Resolved) -> Observed<Resolved> {
    match host.read_start(&Namespace::Host, path, swaps::START) {
        Ok(start) if swaps::is_swap(&start) => Observed::Known(found),
        Ok(_) => Observed::Unreadable(Trouble::new(
            Reason::Unreadable,
            format!("{path}: the file of that name is not the swap area: a mount hides it"),
        )),
        // Without the right to read it there is no sign of anything wrong, and no proof: the name has to do.
        Err(trouble) if trouble.reason == Reason::NoPermission => Observed::Known(found),
        Err(trouble) => Observed::Unreadable(trouble),
    }
}

/// The headers of all volumes that are open: below dm-crypt, dm-integrity, and what the drive encrypts. With `below`, only
/// those that have to do with one of these devices.
pub(crate) fn luks_headers(
    host: &dyn Host,
    devices: &BTreeMap<DeviceNumber, BlockDevice>,
    below: Option<&BTreeSet<DeviceNumber>>,
) -> BTreeMap<DeviceNumber, Observed<crate::luks::Header>> {
    let mut headers = BTreeMap::new();
    for device in devices.values() {
        let Some(dm) = &device.dm else { continue };
        for holder in crypt::header_holders(dm, devices) {
            let is_wanted = |number| below.is_none_or(|below| below.contains(number));
            if !is_wanted(&device.number) && !is_wanted(&holder.number) {
                continue;
            }
            headers.entry(holder.number).or_insert_with(|| host.luks_header(holder));
        }
    }
    headers
}
