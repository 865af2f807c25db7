//! The proof: from a path down every leg to what holds its contents.
//!
//! Pure: judges a [`Snapshot`] and touches nothing. The verdict and the stack that is shown as its proof come from the
//! same dissection of each layer.

#[cfg(test)]
pub(crate) mod fixture;
mod fscrypt;
mod outcome;
#[cfg(test)]
mod second_opinion;
mod stack;
#[cfg(test)]
mod tests;
mod walk;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use atrest_proto::model::{NearestParent, PathPosture, Reason, Use};

pub use outcome::Outcome;
use walk::{MAX_DEPTH, Place, Walk};

use crate::layer::device_mapper::{opal, snapshot as dm_snapshot};
use crate::layer::{self, Anatomy, Leg, Role};
use crate::mounts::{Covering, Index};
use crate::path::HostPath;
use crate::snapshot::{
    DeviceNumber, LoopFacts, Mount, Namespace, Observed, Resolved, Snapshot, Swap, Target,
};
use crate::{filesystem, lasting, snapshot};

/// Judges the paths of one snapshot. What was found out about a device is kept for the next path.
pub struct Evaluator<'a> {
    snapshot: &'a Snapshot,
    /// By namespace, as [`Snapshot::mounts`].
    tables: Vec<(&'a Namespace, Result<Index<'a>, snapshot::Trouble>)>,
    /// The copy-on-write stores of snapshots, by the device below their origin.
    stores: BTreeMap<DeviceNumber, Vec<DeviceNumber>>,
    /// Devices that may be snapshots, by the device below.
    doubtful: BTreeMap<DeviceNumber, Vec<DeviceNumber>>,
    /// Devices by the names of their nodes.
    nodes: BTreeMap<Vec<u8>, DeviceNumber>,
    anatomies: RefCell<BTreeMap<DeviceNumber, Rc<Anatomy>>>,
    judged: RefCell<BTreeMap<DeviceNumber, Rc<Outcome>>>,
    /// By namespace and mount id: the tables were read one after the other, and an id is given again.
    judged_mounts: RefCell<BTreeMap<(Namespace, u64), Rc<Outcome>>>,
    /// What mounts of one file system mostly have in common, with its device too, is kept once.
    common: RefCell<BTreeMap<DeviceNumber, Rc<Outcome>>>,
    swap: RefCell<Option<Rc<Outcome>>>,
}

/// The stable id of a target: its use and path, and the service where several may see one path differently.
///
/// The plain name of a product is the packaged service: its ids are the same whether it runs, in a namespace of its
/// own because of `PrivateTmp`, or is stopped. Other instances have names with a `:` in them. A directory for temporary
/// files that each start makes anew is named by the one that it is made in, and a container not by its id: what failed
/// there is fixed there too.
pub fn asset(target: &Target) -> String {
    let path = if target.usage == Use::Temp {
        lasting::temporary(&target.path)
    } else {
        lasting::of_containers(&target.path)
    };
    match (&target.namespace, &target.service) {
        (Namespace::Process(_), Some(service)) if service.contains(':') => {
            format!("{}:{path}@{}", target.usage, lasting::service(service))
        }
        (Namespace::Host | Namespace::Process(_), _) => format!("{}:{path}", target.usage),
    }
}

/// What rests at `path`, whose file system comes to `below`.
fn under_policy(policy: Option<snapshot::Fscrypt>, path: &HostPath, below: &Outcome) -> Outcome {
    policy.map_or_else(|| below.clone(), |policy| fscrypt::apply(policy, &path.to_string(), below))
}

/// `/dev/NAME` of every device, and `/dev/mapper/NAME`.
fn nodes(snapshot: &Snapshot) -> BTreeMap<Vec<u8>, DeviceNumber> {
    let mut nodes = BTreeMap::new();
    for device in snapshot.devices.values() {
        nodes.insert(format!("/dev/{}", device.name).into_bytes(), device.number);
        if let Some(dm) = &device.dm {
            nodes.insert(format!("/dev/mapper/{}", dm.name).into_bytes(), device.number);
        }
    }
    nodes
}

impl<'a> Evaluator<'a> {
    /// Prepares to judge `snapshot`.
    pub fn new(snapshot: &'a Snapshot) -> Self {
        let tables = snapshot
            .mounts
            .iter()
            .map(|(namespace, table)| {
                let index = match table {
                    Observed::Known(mounts) => Ok(Index::new(mounts)),
                    Observed::Absent => {
                        Err(snapshot::Trouble::new(Reason::Unreadable, "there is no mount table"))
                    }
                    Observed::Unreadable(trouble) => Err(trouble.clone()),
                };
                (namespace, index)
            })
            .collect();
        Self {
            snapshot,
            tables,
            stores: dm_snapshot::stores(&snapshot.devices),
            doubtful: dm_snapshot::doubtful(&snapshot.devices),
            nodes: nodes(snapshot),
            anatomies: RefCell::default(),
            judged: RefCell::default(),
            judged_mounts: RefCell::default(),
            common: RefCell::default(),
            swap: RefCell::default(),
        }
    }

    /// The verdict on a target, with its proof.
    pub fn target(&self, target: &Target) -> PathPosture {
        let mut posture = self.posture(
            asset(target),
            &target.path,
            target.usage,
            &target.namespace,
            &target.resolution,
        );
        posture.service.clone_from(&target.service);
        if let (Observed::Absent, Some(nearest)) = (&target.resolution, &target.nearest) {
            let outcome = self.resolved(nearest, &target.namespace, &mut Walk::default());
            posture.nearest =
                Some(NearestParent { path: nearest.path.to_string(), verdict: outcome.verdict() });
        }
        posture
    }

    /// The verdict on a swap area.
    pub fn swap_area(&self, swap: &Swap) -> PathPosture {
        let asset = format!("swap:{}", swap.path);
        self.posture(asset, &swap.path, Use::Swap, &Namespace::Host, &swap.resolution)
    }

    fn posture(
        &self,
        asset: String,
        path: &HostPath,
        usage: Use,
        namespace: &Namespace,
        resolution: &Observed<Resolved>,
    ) -> PathPosture {
        let (outcome, stack) = match resolution {
            Observed::Known(resolved) => (
                self.resolved(resolved, namespace, &mut Walk::default()),
                self.stack(resolved, namespace),
            ),
            Observed::Absent => {
                (Outcome::unknown(Reason::NotFound, format!("{path}: does not exist")), Vec::new())
            }
            Observed::Unreadable(trouble) => {
                (Outcome::unknown(trouble.reason, trouble.detail.clone()), Vec::new())
            }
        };
        PathPosture {
            asset,
            path: path.to_string(),
            resolved: resolution.known().map(|resolved| resolved.path.to_string()),
            usage,
            service: None,
            verdict: outcome.verdict(),
            reasons: outcome.reasons(),
            plain: outcome.plain_legs(),
            encrypted_by: outcome.encrypted_by(),
            claimed_by: outcome.claimed_by(),
            undecided: outcome.undecided_legs(),
            stack,
            nearest: None,
        }
    }

    fn resolved(&self, resolved: &Resolved, namespace: &Namespace, walk: &mut Walk) -> Outcome {
        match resolved.block_device {
            Some(device) => (*self.device(device, walk)).clone(),
            None => self.tree(resolved, namespace, walk),
        }
    }

    fn table(&self, namespace: &Namespace) -> Result<&Index<'a>, snapshot::Trouble> {
        let found = self.tables.iter().find(|(of, _)| *of == namespace);
        match found {
            Some((_, Ok(index))) => Ok(index),
            Some((_, Err(trouble))) => Err(trouble.clone()),
            None => Err(snapshot::Trouble::new(
                Reason::Unreadable,
                "the mount table of that namespace was not read",
            )),
        }
    }

    fn covering(
        &self,
        path: &HostPath,
        mount_id: Option<u64>,
        namespace: &Namespace,
    ) -> Result<Covering<'a>, snapshot::Trouble> {
        self.table(namespace)?.covering(path, mount_id).ok_or_else(|| {
            let why = match mount_id {
                Some(_) => "the mount that holds it is not in the mount table",
                None => "no mount holds it",
            };
            snapshot::Trouble::new(Reason::Unreadable, format!("{path}: {why}"))
        })
    }

    /// A directory and everything mounted at or below it.
    fn tree(&self, resolved: &Resolved, namespace: &Namespace, walk: &mut Walk) -> Outcome {
        let covering = match self.covering(&resolved.path, resolved.mount_id, namespace) {
            Ok(covering) => covering,
            Err(trouble) => return Outcome::unknown(trouble.reason, trouble.detail),
        };
        let own = self.mount(covering.own, namespace, walk);
        let mut outcome = under_policy(resolved.fscrypt, &resolved.path, &own);
        for mount in &covering.below {
            let below = self.mount(mount, namespace, walk);
            outcome.absorb(&below, Role::Submount, &[format!("{} (mounted)", mount.mount_point)]);
        }
        outcome
    }

    /// The file system of one mount.
    fn mount(&self, mount: &Mount, namespace: &Namespace, walk: &mut Walk) -> Rc<Outcome> {
        let key = (namespace.clone(), mount.id);
        if let Some(known) = self.judged_mounts.borrow().get(&key) {
            return Rc::clone(known);
        }
        let place = Place::Mount(mount.id);
        if !walk.enter(place) {
            return Rc::new(walk::cut());
        }
        let legs = filesystem::dissect(mount, &self.snapshot.filesystems);
        let point = mount.mount_point.to_string();
        let mut outcome = Outcome::default();
        for leg in &legs {
            if let Leg::MountTimePath { path, role } = leg {
                let below = self.mount_time_path(path, mount, namespace, walk);
                outcome.absorb(&below, *role, &[path.to_string()]);
            } else {
                self.leg(leg, &point, walk, &mut outcome);
            }
        }
        let outcome = self.shared(mount.device, outcome);
        if walk.leave(place) {
            self.judged_mounts.borrow_mut().insert(key, Rc::clone(&outcome));
        }
        outcome
    }

    /// `outcome`, or the one that is kept for another mount of the file system and says the same.
    fn shared(&self, device: DeviceNumber, outcome: Outcome) -> Rc<Outcome> {
        let mut common = self.common.borrow_mut();
        let below = self.judged.borrow().get(&device).filter(|below| ***below == outcome).cloned();
        if let Some(below) = below {
            return below;
        }
        match common.get(&device) {
            Some(known) if **known == outcome => Rc::clone(known),
            Some(_) | None => {
                let outcome = Rc::new(outcome);
                common.insert(device, Rc::clone(&outcome));
                outcome
            }
        }
    }

    fn anatomy(&self, number: DeviceNumber) -> Option<Rc<Anatomy>> {
        if let Some(known) = self.anatomies.borrow().get(&number) {
            return Some(Rc::clone(known));
        }
        let device = self.snapshot.devices.get(&number)?;
        let mut anatomy = layer::dissect(device);
        if opal::is_claimed(device, &self.snapshot.luks) {
            for leg in &mut anatomy.legs {
                if let Leg::Device { role: role @ Role::Contents, .. } = leg {
                    *role = Role::DriveClaim;
                }
            }
            anatomy.detail.insert("drive".to_owned(), "OPAL".to_owned());
        }
        for origin in dm_snapshot::origins(device) {
            let stores = self.stores.get(&origin).into_iter().flatten();
            anatomy.legs.extend(
                stores.map(|store| Leg::Device { device: *store, role: Role::CopyOnWrite }),
            );
            for unread in self.doubtful.get(&origin).into_iter().flatten() {
                let node = self.snapshot.devices.get(unread).map(snapshot::BlockDevice::node);
                let detail = format!(
                    "{}: what {} on the same device is, perhaps a snapshot of it, could not be read",
                    device.node(),
                    node.unwrap_or_default()
                );
                anatomy.legs.push(Leg::Unknown { reason: Reason::Unreadable, detail });
            }
        }
        let anatomy = Rc::new(anatomy);
        self.anatomies.borrow_mut().insert(number, Rc::clone(&anatomy));
        Some(anatomy)
    }

    fn device(&self, number: DeviceNumber, walk: &mut Walk) -> Rc<Outcome> {
        if let Some(known) = self.judged.borrow().get(&number) {
            return Rc::clone(known);
        }
        let Some((device, anatomy)) = self.snapshot.devices.get(&number).zip(self.anatomy(number))
        else {
            let detail = format!("{number}: there is no such block device");
            return Rc::new(Outcome::unknown(Reason::Unreadable, detail));
        };
        let node = device.node();
        let place = Place::Device(number);
        if !walk.enter(place) {
            return Rc::new(walk::cut());
        }
        let outcome = Rc::new(self.legs(&anatomy.legs, &node, walk));
        if walk.leave(place) {
            self.judged.borrow_mut().insert(number, Rc::clone(&outcome));
        }
        outcome
    }

    fn legs(&self, legs: &[Leg], node: &str, walk: &mut Walk) -> Outcome {
        let mut outcome = Outcome::default();
        for leg in legs {
            self.leg(leg, node, walk, &mut outcome);
        }
        outcome
    }

    fn leg(&self, leg: &Leg, node: &str, walk: &mut Walk, outcome: &mut Outcome) {
        match leg {
            Leg::Device { device, role } => {
                let below = self.device(*device, walk);
                let via = self.snapshot.devices.get(device).map(snapshot::BlockDevice::node);
                outcome.absorb(&below, *role, via.as_slice());
            }
            Leg::LoopFile(looped) => {
                let below = self.loop_file(looped, walk);
                outcome.absorb(&below, Role::Contents, &[looped.backing_file.to_string()]);
            }
            Leg::Node { path, role } => {
                let below = self.node(path, walk);
                outcome.absorb(&below, *role, &[path.to_string()]);
            }
            Leg::Path { path, role } => {
                let below = self.named_path(path, walk);
                outcome.absorb(&below, *role, &[path.to_string()]);
            }
            Leg::SwappableMemory => {
                outcome.memory();
                outcome.absorb(&self.all_swap(walk), Role::Swap, &[]);
            }
            Leg::Encrypted(by) => outcome.encrypted(by.clone()),
            Leg::Plain(reason) => outcome.plain(node, *reason),
            Leg::Claimed { reason, who } => outcome.claimed(*reason, who.clone()),
            Leg::Memory => outcome.memory(),
            Leg::Nothing => {}
            Leg::Unknown { reason, detail } => outcome.undecided(*reason, detail.clone()),
            Leg::MountTimePath { path, .. } => {
                outcome.undecided(Reason::Unreadable, format!("{path}: named outside a mount"));
            }
        }
    }

    /// A directory that a mount was made from, as its name led when it was mounted: later mounts hide, and do not
    /// move, what lies below them.
    fn mount_time_path(
        &self,
        path: &HostPath,
        mount: &Mount,
        namespace: &Namespace,
        walk: &mut Walk,
    ) -> Outcome {
        match self.mount_time_holder(path, mount, namespace) {
            Ok((holding, namespace)) => {
                let below = self.mount(holding, &namespace, walk);
                let named = self.snapshot.named(&namespace, path).and_then(Observed::known);
                // The directory that its name leads to now is the one of then only on the same mount.
                let policy = named
                    .filter(|named| named.mount_id == Some(holding.id))
                    .and_then(|named| named.fscrypt);
                under_policy(policy, path, &below)
            }
            Err(trouble) => Outcome::unknown(trouble.reason, trouble.detail),
        }
    }

    /// The mount that held `path` when `mount` was made, and the namespace that it is in.
    fn mount_time_holder(
        &self,
        path: &HostPath,
        mount: &Mount,
        namespace: &Namespace,
    ) -> Result<(&'a Mount, Namespace), snapshot::Trouble> {
        let own = self.table(namespace)?;
        // A container's root was mounted by its runtime, in the host's namespace.
        let host = self.table(&Namespace::Host).ok().filter(|_| *namespace != Namespace::Host);
        let same = host.and_then(|host| Some((host, host.of_device(mount.device)?)));
        let (index, mount, namespace) = match same {
            Some((host, same)) => (host, same, Namespace::Host),
            // Bound elsewhere later, it still stands on what it was first mounted from.
            None => (own, own.of_device(mount.device).unwrap_or(mount), namespace.clone()),
        };
        let unreadable = |why| snapshot::Trouble::new(Reason::Unreadable, format!("{path}: {why}"));
        // The root of a container that the host has not mounted, such as one of a user's podman: another mount namespace, which
        // nobody looked at, gave it its names. In the container they lead elsewhere, or to what somebody put there.
        if namespace != Namespace::Host && mount.mount_point == HostPath::root() {
            return Err(unreadable("it is named as in another mount namespace, which is not seen"));
        }
        // The name may go through symbolic links.
        let path = match self.snapshot.named(&namespace, path) {
            Some(Observed::Known(resolved)) => resolved.path.clone(),
            Some(Observed::Unreadable(trouble)) => return Err(trouble.clone()),
            Some(Observed::Absent) => return Err(unreadable("it is not there any more")),
            None => path.normalised(),
        };
        if path.components().any(|part| part == b"..") {
            return Err(unreadable("where it leads was not looked up"));
        }
        let holding = index.before(mount).holding(&path);
        holding
            .map(|holding| (holding, namespace))
            .ok_or_else(|| unreadable("no mount that was there before holds it"))
    }

    /// The file below a loop device: by what the kernel says it is; its name counts only where it cannot mislead.
    fn loop_file(&self, looped: &LoopFacts, walk: &mut Walk) -> Outcome {
        let namespace = Namespace::Host;
        let path = &looped.backing_file;
        if let Some(backing) = &looped.backing {
            if let Some(device) = backing.block_device {
                return (*self.device(device, walk)).clone();
            }
            let mounted = self.tables.iter().find_map(|(of, index)| {
                index.as_ref().ok()?.of_device(backing.filesystem).map(|mount| (mount, *of))
            });
            if let Some((mount, of)) = mounted {
                return under_policy(backing.fscrypt, path, &self.mount(mount, of, walk));
            }
            if !backing.filesystem.is_anonymous() {
                return under_policy(backing.fscrypt, path, &self.device(backing.filesystem, walk));
            }
            if !backing.name_holds {
                let detail =
                    format!("{path}: a loop device's file that its name does not lead to any more");
                return Outcome::unknown(Reason::Unreadable, detail);
            }
        } else if looped.deleted || !path.is_absolute() {
            let detail = format!("{path}: a loop device's file that has no name any more");
            return Outcome::unknown(Reason::Unreadable, detail);
        } else if path.is_at_or_below(&"/dev".into()) {
            return self.node(path, walk);
        } else if self.table(&namespace).is_ok_and(|index| index.is_ambiguous(path)) {
            let detail = format!(
                "{path}: a loop device's file; a mount on the way may hide which one it is"
            );
            return Outcome::unknown(Reason::Unreadable, detail);
        }
        match self.covering(path, None, &namespace) {
            Ok(covering) => (*self.mount(covering.own, &namespace, walk)).clone(),
            Err(trouble) => Outcome::unknown(trouble.reason, trouble.detail),
        }
    }

    /// The device that a node stands for: as it was resolved, or by the names that the kernel gives.
    fn device_named(&self, path: &HostPath) -> Option<DeviceNumber> {
        let resolved = self.snapshot.named(&Namespace::Host, path).and_then(Observed::known);
        resolved
            .and_then(|resolved| resolved.block_device)
            .or_else(|| self.nodes.get(path.as_bytes()).copied())
    }

    /// A device that a layer names by its node.
    fn node(&self, path: &HostPath, walk: &mut Walk) -> Outcome {
        match self.device_named(path) {
            Some(device) => (*self.device(device, walk)).clone(),
            None => Outcome::unknown(
                Reason::Unreadable,
                format!("{path}: not the name of a block device that is known"),
            ),
        }
    }

    /// A path that a layer names, as the host sees it: a device, a file or a directory.
    fn named_path(&self, path: &HostPath, walk: &mut Walk) -> Outcome {
        if self.device_named(path).is_some() || path.is_at_or_below(&"/dev".into()) {
            return self.node(path, walk);
        }
        match self.place_named(path) {
            Ok(place) => self.resolved(place, &Namespace::Host, walk),
            Err(trouble) => Outcome::unknown(trouble.reason, trouble.detail),
        }
    }

    /// Where a name that a layer has for a file or directory leads now.
    fn place_named(&self, path: &HostPath) -> Result<&'a Resolved, snapshot::Trouble> {
        let unreadable = |why| snapshot::Trouble::new(Reason::Unreadable, format!("{path}: {why}"));
        match self.snapshot.named(&Namespace::Host, path) {
            Some(Observed::Known(place)) => Ok(place),
            Some(Observed::Unreadable(trouble)) => Err(trouble.clone()),
            Some(Observed::Absent) => Err(unreadable("it is not there any more")),
            None => Err(unreadable("where it leads was not looked up")),
        }
    }

    /// All swap areas together: where memory may come to rest.
    fn all_swap(&self, walk: &mut Walk) -> Rc<Outcome> {
        if let Some(known) = self.swap.borrow().as_ref() {
            return Rc::clone(known);
        }
        if !walk.enter(Place::Swap) {
            // As with a swap file on tmpfs, which the kernel refuses.
            return Rc::new(walk::cut());
        }
        let mut outcome = Outcome::default();
        match &self.snapshot.swaps {
            Observed::Known(swaps) => {
                for swap in swaps {
                    let below = match &swap.resolution {
                        Observed::Known(resolved) => {
                            self.resolved(resolved, &Namespace::Host, walk)
                        }
                        Observed::Absent => Outcome::unknown(
                            Reason::Unreadable,
                            format!("{}: a swap area that is not there", swap.path),
                        ),
                        Observed::Unreadable(trouble) => {
                            Outcome::unknown(trouble.reason, trouble.detail.clone())
                        }
                    };
                    outcome.absorb(&below, Role::Contents, &[swap.path.to_string()]);
                }
            }
            Observed::Absent => {
                outcome
                    .undecided(Reason::Unreadable, "it is not known what swap there is".to_owned());
            }
            Observed::Unreadable(trouble) => {
                outcome.undecided(trouble.reason, trouble.detail.clone());
            }
        }
        let outcome = Rc::new(outcome);
        if walk.leave(Place::Swap) {
            *self.swap.borrow_mut() = Some(Rc::clone(&outcome));
        }
        outcome
    }
}
