//! The stack below a path, drawn from the same dissection that the verdict comes from.

use std::collections::{BTreeMap, BTreeSet};

use atrest_proto::model::Layer;

use super::{Evaluator, MAX_DEPTH, fscrypt};
use crate::filesystem;
use crate::layer::Leg;
use crate::path::HostPath;
use crate::snapshot::{BlockDevice, DeviceNumber, Mount, Namespace, Resolved};

/// A path may have thousands of mounts below it; the proof shows this many, and says how many more there are.
const MAX_ROOTS: usize = 100;

impl Evaluator<'_> {
    /// The layers from a resolved path down.
    pub(super) fn stack(&self, resolved: &Resolved, namespace: &Namespace) -> Vec<Layer> {
        let mut drawing =
            Drawing { evaluator: self, drawn: BTreeSet::new(), mounts: BTreeSet::new(), depth: 0 };
        if let Some(device) = resolved.block_device {
            return vec![drawing.device(device)];
        }
        let Ok(covering) = self.covering(&resolved.path, resolved.mount_id, namespace) else {
            return Vec::new();
        };
        let mut roots = vec![drawing.mount(covering.own, namespace)];
        if let (Some(policy), Some(own)) = (resolved.fscrypt, roots.first_mut()) {
            own.detail.insert("fscrypt".to_owned(), fscrypt::describe(policy));
        }
        // The kernel's own interfaces hold nothing: only what may is shown.
        let below: Vec<&Mount> = covering
            .below
            .iter()
            .copied()
            .filter(|mount| {
                filesystem::dissect(mount, &self.snapshot.filesystems) != [Leg::Nothing]
            })
            .collect();
        roots.extend(below.iter().take(MAX_ROOTS).map(|mount| drawing.mount(mount, namespace)));
        if let Some(more) = below.len().checked_sub(MAX_ROOTS).filter(|more| *more > 0) {
            roots.push(leaf("mounts", format!("{more} more mounts below")));
        }
        roots
    }
}

struct Drawing<'e, 'a> {
    evaluator: &'e Evaluator<'a>,
    drawn: BTreeSet<DeviceNumber>,
    mounts: BTreeSet<(Namespace, u64)>,
    depth: usize,
}

fn leaf(kind: &str, name: String) -> Layer {
    Layer {
        kind: kind.to_owned(),
        name,
        major_minor: None,
        detail: BTreeMap::new(),
        repeated_above: false,
        children: Vec::new(),
    }
}

impl Drawing<'_, '_> {
    fn mount(&mut self, mount: &Mount, namespace: &Namespace) -> Layer {
        let legs = filesystem::dissect(mount, &self.evaluator.snapshot.filesystems);
        let mut detail = BTreeMap::from([("fstype".to_owned(), mount.fstype.clone())]);
        if mount.root != HostPath::root() {
            detail.insert("root".to_owned(), mount.root.to_string());
        }
        let first = self.mounts.insert((namespace.clone(), mount.id));
        let mut children = if first { self.legs(&legs) } else { Vec::new() };
        if first && self.depth < MAX_DEPTH {
            self.depth += 1;
            for leg in &legs {
                if let Leg::MountTimePath { path, .. } = leg {
                    let holder = self.evaluator.mount_time_holder(path, mount, namespace);
                    let below = holder.map(|(mount, namespace)| self.mount(mount, &namespace));
                    children.push(Layer {
                        children: below.into_iter().collect(),
                        ..leaf("directory", path.to_string())
                    });
                }
            }
            self.depth -= 1;
        }
        Layer {
            major_minor: Some(mount.device.to_string()),
            detail,
            repeated_above: !first,
            children,
            ..leaf("mount", mount.mount_point.to_string())
        }
    }

    fn legs(&mut self, legs: &[Leg]) -> Vec<Layer> {
        if self.depth >= MAX_DEPTH {
            return Vec::new();
        }
        self.depth += 1;
        let mut layers = Vec::new();
        for leg in legs {
            match leg {
                Leg::Device { device, .. } => layers.push(self.device(*device)),
                Leg::LoopFile(looped) => {
                    let file = Resolved::at(looped.backing_file.normalised());
                    layers.push(self.below_file(&looped.backing_file, Some(&file)));
                }
                Leg::Node { path, .. } | Leg::Path { path, .. } => {
                    layers.push(self.named_path(path));
                }
                Leg::Unknown { reason, detail } => {
                    let mut layer = leaf("unknown", detail.clone());
                    layer.detail.insert("reason".to_owned(), reason.to_string());
                    layers.push(layer);
                }
                Leg::Claimed { who, .. } => layers.push(leaf("claim", who.clone())),
                Leg::SwappableMemory => layers.push(leaf("memory", "memory, and swap".to_owned())),
                Leg::Memory => layers.push(leaf("memory", "memory".to_owned())),
                // A path of mount time is drawn where its mount is: see `mount`.
                Leg::Encrypted(_) | Leg::Plain(_) | Leg::Nothing | Leg::MountTimePath { .. } => {}
            }
        }
        self.depth -= 1;
        layers
    }

    fn named_path(&mut self, path: &HostPath) -> Layer {
        match self.evaluator.device_named(path) {
            Some(number) => self.device(number),
            None => self.below_file(path, self.evaluator.place_named(path).ok()),
        }
    }

    /// A file or directory of the host, and the mount that holds it.
    fn below_file(&mut self, path: &HostPath, place: Option<&Resolved>) -> Layer {
        let namespace = &Namespace::Host;
        let mut layer = leaf("file", path.to_string());
        if let Some(place) = place
            && let Ok(covering) = self.evaluator.covering(&place.path, place.mount_id, namespace)
            && self.depth < MAX_DEPTH
        {
            self.depth += 1;
            layer.children.push(self.mount(covering.own, namespace));
            self.depth -= 1;
        }
        layer
    }

    fn device(&mut self, number: DeviceNumber) -> Layer {
        let device = self.evaluator.snapshot.devices.get(&number);
        let name = device.map_or_else(|| number.to_string(), BlockDevice::node);
        let Some(anatomy) = self.evaluator.anatomy(number) else {
            return Layer { major_minor: Some(number.to_string()), ..leaf("missing", name) };
        };
        let mut layer = Layer {
            major_minor: Some(number.to_string()),
            detail: anatomy.detail.clone(),
            ..leaf(&anatomy.kind, name)
        };
        if self.drawn.insert(number) {
            layer.children = self.legs(&anatomy.legs);
            if self.depth < MAX_DEPTH {
                self.depth += 1;
                for below in &anatomy.shown {
                    layer.children.push(self.device(*below));
                }
                self.depth -= 1;
            }
        } else {
            layer.repeated_above = true;
        }
        layer
    }
}
