//! Docker: the logs of containers, and containers that are stopped, from `containers/ID/config.v2.json`.

use std::collections::BTreeMap;

use atrest_proto::model::{Gap, Reason, Service, Use};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{DIRECTORIES, IMAGE_UID, IMAGES, Image, is_directory, place};
use crate::discovery::arguments::command_line;
use crate::discovery::elasticsearch::setting_of_variable;
use crate::discovery::instance::{absolute, account_numbered};
use crate::discovery::process::{Cgroup, gap};
use crate::discovery::yaml::{MAX_SIZE, Settings};
use crate::discovery::{Discovery, KeystorePlace};
use crate::host::Host;
use crate::keystore::Account;
use crate::keystore::ids::{self, Map, Maps};
use crate::path::HostPath;
use crate::secrets;
use crate::snapshot::{Namespace, Observed, Trouble};

/// A container's description holds its environment and its health log.
const LIMIT: usize = 4 << 20;
const DEFAULT_ROOT: &str = "/var/lib/docker";
/// In the directory of a container.
const DESCRIPTION: &str = "config.v2.json";

/// Of `/etc/docker/daemon.json`.
#[derive(Default, Deserialize)]
struct Daemon {
    #[serde(rename = "data-root")]
    data_root: Option<String>,
    /// Its name until 17.05.
    graph: Option<String>,
}

/// Of `config.v2.json`: what docker itself keeps of a container. The environment is looked into, never kept, and overwritten.
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
    env: Option<Zeroizing<Vec<String>>>,
    cmd: Option<Zeroizing<Vec<String>>>,
    entrypoint: Option<Zeroizing<Vec<String>>>,
    user: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct MountPoint {
    source: String,
    destination: String,
}

/// Of `hostconfig.json`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct HostConfig {
    userns_mode: String,
}

/// A stopped container, with where the host has its files.
struct Container {
    description: Description,
    /// The writable layer; `None` where it is not known.
    upper: Option<HostPath>,
    /// Which ids of the host stand for those of the container, where they are not the same.
    ids: Option<Result<Maps, Trouble>>,
}

pub(super) fn discover(host: &dyn Host, running: &[(String, Cgroup)], found: &mut Discovery) {
    let root = data_root(host, &mut found.gaps);
    for root in roots(host, root) {
        of_root(host, &root, running, found);
    }
}

/// A directory that Docker keeps containers in: its own, and with `userns-remap` one below it for each user namespace.
struct Root {
    path: HostPath,
    ids: Option<Result<Maps, Trouble>>,
}

/// The directories below Docker's, where ids are shifted: `UID.GID`, which root of the containers is on the host.
/// `daemon.(*setupDaemonRoot)` of Docker.
fn roots(host: &dyn Host, root: HostPath) -> Vec<Root> {
    let names = host.list(&Namespace::Host, &root).unwrap_or_default();
    let shifted = names.into_iter().filter_map(|name| {
        let name = String::from_utf8(name).ok()?;
        let (uid, gid) = name.split_once('.')?;
        let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
        let maps = shifted(host, "/etc/subuid", uid)
            .and_then(|users| Ok(Maps { users, groups: shifted(host, "/etc/subgid", gid)? }));
        Some(Root { path: root.join(name), ids: Some(maps) })
    });
    let shifted: Vec<Root> = shifted.collect();
    std::iter::once(Root { path: root, ids: None }).chain(shifted).collect()
}

/// The ids from `first` on that stand for those from 0 on.
fn shifted(host: &dyn Host, file: &str, first: u32) -> Result<Map, Trouble> {
    let text = host.read(&Namespace::Host, &HostPath::from(file), LIMIT)?;
    ids::subordinate(&text, first).map(Map::of).ok_or_else(|| {
        let detail = format!("{file}: it has no range from {first} on, which containers run with");
        Trouble::new(Reason::Unreadable, detail)
    })
}

fn of_root(host: &dyn Host, root: &Root, running: &[(String, Cgroup)], found: &mut Discovery) {
    let containers = root.path.join("containers");
    for (service, cgroup) in running {
        let logs = containers.join(&cgroup.container);
        if is_directory(host, &logs) {
            // What its process has in memory, Docker has on disk as well.
            let own = found.services.iter().find(|one| one.name == *service);
            if let Some(product) = own.map(|one| one.product.clone()) {
                found.configurations.push(description_of(&logs, product, service));
            }
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
        let path = containers.join(&id).join(DESCRIPTION);
        let description = match host.read(&Namespace::Host, &path, LIMIT) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(trouble) if trouble.reason == Reason::NotFound => continue,
            Err(trouble) => {
                found.gaps.push(gap(&path.to_string(), &trouble, "run the agent as root"));
                continue;
            }
        };
        // Its message may quote the file, with the environment in it.
        let Ok(description) = serde_json::from_slice::<Description>(&description) else {
            let trouble = Trouble::new(Reason::Unreadable, "not the description of a container");
            let remedy =
                "look at the container with `docker inspect`: what it holds was not judged";
            found.gaps.push(gap(&path.to_string(), &trouble, remedy));
            continue;
        };
        let Some(image) = image(&description.config.image) else { continue };
        let directory = containers.join(&id);
        let container = Container {
            upper: upper(host, &root.path, &id),
            description,
            ids: root.ids.clone().filter(|_| !is_in_hosts_namespace(host, &directory)),
        };
        describe(host, image, &id, &container, &directory, found);
    }
}

/// A container may be excepted: `docker run --userns=host`.
fn is_in_hosts_namespace(host: &dyn Host, directory: &HostPath) -> bool {
    let bytes = host.read(&Namespace::Host, &directory.join("hostconfig.json"), LIMIT);
    let config = bytes.ok().and_then(|bytes| serde_json::from_slice::<HostConfig>(&bytes).ok());
    config.is_some_and(|config| config.userns_mode == "host")
}

fn data_root(host: &dyn Host, gaps: &mut Vec<Gap>) -> HostPath {
    let path = HostPath::from("/etc/docker/daemon.json");
    let daemon = match host.read(&Namespace::Host, &path, LIMIT) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|_| Trouble::new(Reason::Unreadable, format!("{path}: not valid JSON"))),
        Err(trouble) if trouble.reason == Reason::NotFound => Ok(Daemon::default()),
        Err(trouble) => Err(trouble),
    };
    let daemon = daemon.unwrap_or_else(|trouble| {
        let remedy = "correct the file; containers were looked for in /var/lib/docker";
        gaps.push(gap(&path.to_string(), &trouble, remedy));
        Daemon::default()
    });
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

    /// The account that it runs as, by the host's names: its files are looked at on the host.
    fn run_as(&self, host: &dyn Host) -> Option<Account> {
        let mut ids = self.description.config.user.splitn(2, ':').map(str::parse);
        let uid = ids.next().and_then(Result::ok).unwrap_or(IMAGE_UID);
        let gid = ids.next().and_then(Result::ok).unwrap_or(0);
        let ids = match &self.ids {
            Some(Ok(maps)) => maps.users.outside(uid).zip(maps.groups.outside(gid)),
            Some(Err(_)) | None => Some((uid, gid)),
        };
        let (uid, gid) = ids?;
        Some(account_numbered(host, &Namespace::Host, uid, gid))
    }

    /// Root's ids on the host.
    fn root(&self) -> Observed<ids::Root> {
        match &self.ids {
            None => Observed::Absent,
            Some(Ok(maps)) => maps.root().map_or(Observed::Absent, Observed::Known),
            Some(Err(trouble)) => Observed::Unreadable(trouble.clone()),
        }
    }

    /// The settings of the file at `path` of the container, such as one that is mounted there.
    fn settings(&self, host: &dyn Host, path: &HostPath, gaps: &mut Vec<Gap>) -> Settings {
        let Some(path) = self.on_host(path) else { return Settings::default() };
        let keep = |key: &str| key.starts_with("path.");
        let settings = match host.read(&Namespace::Host, &path, MAX_SIZE) {
            Ok(bytes) => Settings::parse(&bytes, &keep)
                .map_err(|error| Trouble::new(Reason::Unreadable, format!("{path}: {error}"))),
            // What is in the image names nothing but its defaults.
            Err(trouble) if trouble.reason == Reason::NotFound => Ok(Settings::default()),
            Err(trouble) => Err(trouble),
        };
        settings.unwrap_or_else(|trouble| {
            let remedy = "correct the file; the paths of the image were assumed";
            gaps.push(gap(&path.to_string(), &trouble, remedy));
            Settings::default()
        })
    }

    fn variable(&self, name: &str) -> Option<String> {
        let pairs = self.description.config.env.iter().flat_map(|all| all.iter());
        let mut pairs = pairs.filter_map(|variable| variable.split_once('='));
        pairs.find(|(found, _)| *found == name).map(|(_, value)| value.to_owned())
    }

    /// A setting of the command line or the environment.
    fn setting(&self, key: &str) -> Option<String> {
        let config = &self.description.config;
        let arguments = config.entrypoint.iter().chain(&config.cmd).flat_map(|all| all.iter());
        let arguments: Vec<Vec<u8>> = arguments.map(|word| word.clone().into_bytes()).collect();
        let arguments = Zeroizing::new(arguments);
        let given = command_line(&arguments).into_iter().rev().find(|(name, _)| name == key);
        given.map(|(_, value)| value).or_else(|| {
            config.env.iter().flat_map(|all| all.iter()).find_map(|variable| {
                let (name, value) = variable.split_once('=')?;
                (setting_of_variable(name)? == key).then(|| value.to_owned())
            })
        })
    }
}

/// What Docker keeps of the container of this directory, to be looked through for secrets.
fn description_of(directory: &HostPath, product: String, service: &str) -> secrets::Place {
    secrets::Place {
        path: directory.join(DESCRIPTION),
        form: secrets::Form::Container,
        namespace: Namespace::Host,
        product,
        service: Some(service.to_owned()),
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
    let settings = container.settings(host, &home.join(image.settings), &mut found.gaps);
    for (below, usage) in DIRECTORIES {
        let key = format!("path.{below}");
        let mut unresolved = Vec::new();
        let mut of_file = || {
            let values = settings.list(&key, &|name| container.variable(name));
            let values = values.unwrap_or_else(|error| {
                unresolved.push(error.to_string());
                Vec::new()
            });
            (!values.is_empty()).then(|| values.join(","))
        };
        let named = container.setting(&key).or_else(&mut of_file);
        found.gaps.extend(unresolved.into_iter().map(|detail| {
            let trouble = Trouble::new(Reason::Unreadable, detail);
            gap(&name, &trouble, "name the path in the agent's configuration")
        }));
        let is_named = named.is_some();
        // Java takes one text with commas for a list.
        let insides = match &named {
            Some(paths) => {
                paths.split(',').map(str::trim).filter(|path| !path.is_empty()).collect()
            }
            None => (usage != Use::Repository).then_some(below).into_iter().collect::<Vec<_>>(),
        };
        for inside in insides {
            let on_host = container.on_host(&absolute(&home, &HostPath::from(inside)));
            // What the container never wrote is only in its image.
            let on_host = on_host
                .filter(|path| is_named || host.metadata(&Namespace::Host, path, true).is_ok());
            found.places.extend(on_host.map(|path| place(path, usage, &name)));
        }
    }
    if is_directory(host, directory) {
        found.places.push(place(directory.clone(), Use::Logs, &name));
    }
    found.configurations.push(description_of(directory, image.product.to_owned(), &name));
    if let Some(path) = container.on_host(&home.join(image.keystore))
        && host.metadata(&Namespace::Host, &path, true).is_ok()
    {
        let run_as = container.run_as(host);
        found.keystores.push(KeystorePlace {
            path,
            namespace: Namespace::Host,
            product: image.product.to_owned(),
            format: image.format,
            service: Some(name.clone()),
            root: if run_as.is_some() {
                container.root()
            } else {
                let detail = format!("{name}: its user has no id on the host");
                Observed::Unreadable(Trouble::new(Reason::Unreadable, detail))
            },
            run_as,
            password_sources: Vec::new(),
        });
    }
    found.services.push(Service {
        product: image.product.to_owned(),
        name,
        state: "installed".to_owned(),
        cluster_name: container.setting("cluster.name"),
        node_name: container.setting("node.name"),
        ..Service::default()
    });
}
