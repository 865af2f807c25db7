//! Docker: the logs of containers, and containers that are stopped, from `containers/ID/config.v2.json`.

use std::collections::BTreeMap;

use atrest_proto::model::{Reason, Service, Use};
use serde::Deserialize;

use super::{DIRECTORIES, IMAGES, Image, is_directory, place};
use crate::discovery::elasticsearch::setting_of_variable;
use crate::discovery::process::{Cgroup, gap};
use crate::discovery::{Discovery, KeystorePlace};
use crate::host::Host;
use crate::path::HostPath;
use crate::snapshot::Namespace;

/// A container's description holds its environment and its health log.
const LIMIT: usize = 4 << 20;
const DEFAULT_ROOT: &str = "/var/lib/docker";

/// Of `/etc/docker/daemon.json`.
#[derive(Default, Deserialize)]
struct Daemon {
    #[serde(rename = "data-root")]
    data_root: Option<String>,
    /// Its name until 17.05.
    graph: Option<String>,
}

/// Of `config.v2.json`: what docker itself keeps of a container. The environment is looked into, never kept.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Description {
    name: String,
    config: Config,
    mount_points: BTreeMap<String, MountPoint>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Config {
    image: String,
    env: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct MountPoint {
    source: String,
    destination: String,
}

/// A stopped container, with where the host has its files.
struct Container {
    description: Description,
    /// The writable layer; `None` where it is not known.
    upper: Option<HostPath>,
}

pub(super) fn discover(host: &dyn Host, running: &[(String, Cgroup)], found: &mut Discovery) {
    let root = data_root(host);
    let containers = root.join("containers");
    for (service, cgroup) in running {
        let logs = containers.join(&cgroup.container);
        if is_directory(host, &logs) {
            found.places.push(place(logs, Use::Logs, service));
        }
    }
    let ids = match host.list(&Namespace::Host, &containers) {
        Ok(ids) => ids,
        Err(trouble) if trouble.reason == Reason::NotFound => return,
        Err(trouble) => {
            found.gaps.push(gap("containers of Docker", &trouble, "run the agent as root"));
            return;
        }
    };
    for id in ids {
        let Ok(id) = String::from_utf8(id) else { continue };
        if running.iter().any(|(_, cgroup)| cgroup.container == id) {
            continue;
        }
        let path = containers.join(&id).join("config.v2.json");
        let description = match host.read(&Namespace::Host, &path, LIMIT) {
            Ok(bytes) => bytes,
            Err(trouble) if trouble.reason == Reason::NotFound => continue,
            Err(trouble) => {
                found.gaps.push(gap(&path.to_string(), &trouble, "run the agent as root"));
                continue;
            }
        };
        // One that makes no sense is not what docker writes: nothing can be said of it.
        let Ok(description) = serde_json::from_slice::<Description>(&description) else { continue };
        let Some(image) = image(&description.config.image) else { continue };
        let container = Container { upper: upper(host, &root, &id), description };
        describe(host, image, &id, &container, &containers.join(&id), found);
    }
}

fn data_root(host: &dyn Host) -> HostPath {
    let bytes = host.read(&Namespace::Host, &HostPath::from("/etc/docker/daemon.json"), LIMIT);
    let daemon: Daemon =
        bytes.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    HostPath::from(daemon.data_root.or(daemon.graph).unwrap_or_else(|| DEFAULT_ROOT.to_owned()))
}

/// The product of an image such as `docker.elastic.co/elasticsearch/elasticsearch:8.19.4@sha256:…`.
pub(super) fn image(name: &str) -> Option<&'static Image> {
    const KINDS: [&str; 8] =
        ["", "-oss", "-wolfi", "-ubi", "-ubi8", "-cloud", "-complete", "-slim"];
    let name = name.split('@').next().unwrap_or_default();
    let last = name.rsplit('/').next().unwrap_or_default();
    let last = last.split(':').next().unwrap_or_default();
    IMAGES.iter().find(|image| {
        // `elasticsearch`, `elasticsearch-oss`, `elasticsearch-wolfi`, but not `elasticsearch-exporter`.
        let rest = last.strip_prefix(image.name);
        rest.is_some_and(|rest| KINDS.contains(&rest))
    })
}

/// The writable layer of a container with the driver overlay2: `image/overlay2/layerdb/mounts/ID/mount-id` names it.
fn upper(host: &dyn Host, root: &HostPath, id: &str) -> Option<HostPath> {
    let path = root.join("image/overlay2/layerdb/mounts").join(id).join("mount-id");
    let bytes = host.read(&Namespace::Host, &path, 4096).ok()?;
    let layer = String::from_utf8(bytes).ok()?;
    let layer = layer.trim();
    let is_name =
        !layer.is_empty() && layer.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_name.then(|| root.join("overlay2").join(layer).join("diff"))
}

impl Container {
    /// Where the host has a path of the container: in the mount with the longest destination above it, else in the
    /// writable layer.
    fn on_host(&self, path: &HostPath) -> Option<HostPath> {
        let mounts = self.description.mount_points.iter();
        let mount = mounts
            .map(|(key, mount)| {
                let destination =
                    if mount.destination.is_empty() { key } else { &mount.destination };
                (HostPath::from(destination.as_str()), mount)
            })
            .filter(|(destination, _)| path.is_at_or_below(destination))
            .max_by_key(|(destination, _)| destination.components().count());
        let (depth, base) = match mount {
            Some((_, mount)) if mount.source.is_empty() => return None,
            Some((destination, mount)) => {
                (destination.components().count(), HostPath::from(mount.source.as_str()))
            }
            None => (0, self.upper.clone()?),
        };
        Some(path.components().skip(depth).fold(base, |path, part| path.join(part)))
    }

    /// A setting of the environment or the command line.
    fn setting(&self, key: &str) -> Option<&str> {
        let config = &self.description.config;
        let of_command =
            config.cmd.iter().flatten().rev().find_map(|argument| {
                argument.strip_prefix("-E")?.strip_prefix(key)?.strip_prefix('=')
            });
        of_command.or_else(|| {
            config.env.iter().flatten().find_map(|variable| {
                let (name, value) = variable.split_once('=')?;
                (setting_of_variable(name)? == key).then_some(value)
            })
        })
    }
}

fn describe(
    host: &dyn Host,
    image: &Image,
    id: &str,
    container: &Container,
    directory: &HostPath,
    found: &mut Discovery,
) {
    let short = id.get(..12).unwrap_or(id);
    let name = container.description.name.trim_start_matches('/');
    let name = format!("{}:{}", image.product, if name.is_empty() { short } else { name });
    let home = HostPath::from(image.home);
    for (below, usage) in DIRECTORIES {
        let named = container.setting(&format!("path.{below}"));
        let inside = named.map_or_else(|| home.join(below), |path| home.join(path.as_bytes()));
        let on_host = container.on_host(&inside.normalised());
        // What the container never wrote is only in its image.
        let on_host = on_host
            .filter(|path| named.is_some() || host.metadata(&Namespace::Host, path, true).is_ok());
        found.places.extend(on_host.map(|path| place(path, usage, &name)));
    }
    if is_directory(host, directory) {
        found.places.push(place(directory.clone(), Use::Logs, &name));
    }
    if let Some(path) = container.on_host(&home.join(image.keystore))
        && host.metadata(&Namespace::Host, &path, true).is_ok()
    {
        found.keystores.push(KeystorePlace {
            path,
            namespace: Namespace::Host,
            product: image.product.to_owned(),
            format: image.format,
            service: Some(name.clone()),
            run_as: None,
            password_sources: Vec::new(),
        });
    }
    found.services.push(Service {
        product: image.product.to_owned(),
        name,
        state: "installed".to_owned(),
        cluster_name: container.setting("cluster.name").map(str::to_owned),
        node_name: container.setting("node.name").map(str::to_owned),
        ..Service::default()
    });
}
