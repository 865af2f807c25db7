//! Elastic Cloud Enterprise: the storage of a host, which all its containers write to.
//!
//! `elastic-cloud-enterprise.sh` gives the container of the runner its path as a variable, and asks it for that at upgrades.

use std::borrow::Cow;
use std::collections::BTreeSet;

use atrest_proto::model::{Reason, Service, Use};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{is_directory, place};
use crate::discovery::Discovery;
use crate::discovery::instance::AS_ROOT;
use crate::discovery::process::gap;
use crate::host::Host;
use crate::path::HostPath;
use crate::snapshot::{Namespace, Trouble};

/// The default of `--host-storage-path`.
const DEFAULT: &str = "/mnt/data/elastic";
/// The name of the runner's container.
const RUNNER: &str = "frc-runners-runner";
const VARIABLE: &str = "HOST_STORAGE_PATH";
/// A container's description holds its environment and its health log; a file of settings is far smaller.
const LIMIT: usize = 4 << 20;

/// What Docker keeps of a container, in `config.v2.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Docker<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    config: DockerConfig<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerConfig<'a> {
    #[serde(borrow, default)]
    env: Option<Vec<Cow<'a, str>>>,
}

/// What Podman keeps of all containers, in `overlay-containers/containers.json`.
#[derive(Deserialize)]
struct Podman<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    names: Option<Vec<Cow<'a, str>>>,
}

/// What Podman gives to the runtime: the environment in `config.json` of the Open Container Initiative.
#[derive(Deserialize)]
struct Bundle<'a> {
    #[serde(borrow)]
    process: BundleProcess<'a>,
}

#[derive(Deserialize)]
struct BundleProcess<'a> {
    #[serde(borrow, default)]
    env: Vec<Cow<'a, str>>,
}

/// Adds the storage of the host, when it is one of an Elastic Cloud Enterprise.
pub(super) fn discover(host: &dyn Host, found: &mut Discovery) {
    let default = HostPath::from(DEFAULT);
    let mut storages = BTreeSet::new();
    storages.extend(is_directory(host, &default).then_some(default));
    for told in of_docker(host).into_iter().chain(of_podman(host)) {
        match told {
            Ok(path) => {
                storages.insert(path);
            }
            Err(trouble) => {
                let remedy = if trouble.reason == Reason::NoPermission {
                    AS_ROOT
                } else {
                    "name the storage path in the agent's configuration"
                };
                found.gaps.push(gap("storage of Elastic Cloud Enterprise", &trouble, remedy));
            }
        }
    }
    if !storages.is_empty() {
        found.services.push(Service {
            product: "ece".to_owned(),
            name: "ece".to_owned(),
            state: "installed".to_owned(),
            ..Service::default()
        });
    }
    found.places.extend(storages.into_iter().map(|path| place(path, Use::Data, "ece")));
}

/// What the runners of Docker's containers are told. What cannot be read at all is said where containers are looked for.
fn of_docker(host: &dyn Host) -> Vec<Result<HostPath, Trouble>> {
    let settings = json(host, &"/etc/docker/daemon.json".into()).unwrap_or_default();
    let named = |key: &str| settings.get(key).and_then(serde_json::Value::as_str);
    let root = named("data-root").or_else(|| named("graph")).unwrap_or("/var/lib/docker");
    let containers = HostPath::from(root).join("containers");
    let ids = host.list(&Namespace::Host, &containers).unwrap_or_default();
    let of = |id: Vec<u8>| {
        let path = containers.join(&id).join("config.v2.json");
        let bytes = Zeroizing::new(host.read(&Namespace::Host, &path, LIMIT).ok()?);
        Some(told(&path, docker_runner(&bytes)?.storage))
    };
    ids.into_iter().filter_map(of).collect()
}

/// The same of Podman, whose storage Elastic's instructions move to the data disk.
fn of_podman(host: &dyn Host) -> Vec<Result<HostPath, Trouble>> {
    let settings = host.read(&Namespace::Host, &"/etc/containers/storage.conf".into(), LIMIT);
    let settings = String::from_utf8_lossy(&settings.unwrap_or_default()).into_owned();
    let root = toml::from_str::<toml::Table>(&settings)
        .ok()
        .and_then(|settings| Some(settings.get("storage")?.get("graphroot")?.as_str()?.to_owned()));
    let root = HostPath::from(root.unwrap_or_else(|| "/var/lib/containers/storage".to_owned()));
    let containers = root.join("overlay-containers");
    let list = containers.join("containers.json");
    let bytes = match host.read(&Namespace::Host, &list, LIMIT) {
        Ok(bytes) => bytes,
        Err(trouble) if trouble.reason == Reason::NotFound => return Vec::new(),
        Err(trouble) => return vec![Err(trouble)],
    };
    let Some(ids) = podman_runners(&bytes) else {
        let detail = format!("{list}: not a list of containers");
        return vec![Err(Trouble::new(Reason::Unreadable, detail))];
    };
    let of = |id: String| {
        let path = containers.join(&id).join("userdata/config.json");
        let bytes = Zeroizing::new(host.read(&Namespace::Host, &path, LIMIT)?);
        told(&path, bundle(&bytes))
    };
    ids.into_iter().map(of).collect()
}

fn json(host: &dyn Host, path: &HostPath) -> Option<serde_json::Value> {
    serde_json::from_slice(&host.read(&Namespace::Host, path, LIMIT).ok()?).ok()
}

/// The storage path that was found where the runner is described.
fn told(described: &HostPath, path: Option<HostPath>) -> Result<HostPath, Trouble> {
    path.ok_or_else(|| {
        let detail = format!("{described}: it does not give the runner a path in {VARIABLE}");
        Trouble::new(Reason::Unreadable, detail)
    })
}

/// A runner, with what it is given.
pub(crate) struct Runner {
    storage: Option<HostPath>,
}

/// What a description by Docker gives the runner: nothing where it is another container's, or makes no sense, which is said where
/// containers are looked for.
pub(crate) fn docker_runner(bytes: &[u8]) -> Option<Runner> {
    let container: Docker<'_> = serde_json::from_slice(bytes).ok()?;
    let is_runner = container.name.trim_start_matches('/') == RUNNER;
    is_runner.then(|| Runner { storage: storage(&container.config.env.unwrap_or_default()) })
}

/// The ids of the runners in Podman's list; `None` where it is none.
pub(crate) fn podman_runners(bytes: &[u8]) -> Option<Vec<String>> {
    let containers: Vec<Podman<'_>> = serde_json::from_slice(bytes).ok()?;
    let is_runner = |container: &Podman<'_>| {
        let names = container.names.as_deref().unwrap_or_default();
        let is_id = !container.id.is_empty() && container.id.bytes().all(|b| b.is_ascii_hexdigit());
        is_id && names.iter().any(|name| name == RUNNER)
    };
    let ids = containers.into_iter().filter(is_runner).map(|container| container.id.into_owned());
    Some(ids.collect())
}

/// What the runtime is told of the runner.
pub(crate) fn bundle(bytes: &[u8]) -> Option<HostPath> {
    storage(&serde_json::from_slice::<Bundle<'_>>(bytes).ok()?.process.env)
}

/// The storage path in an environment.
fn storage(environment: &[Cow<'_, str>]) -> Option<HostPath> {
    let value = environment.iter().find_map(|variable| {
        let (name, value) = variable.split_once('=')?;
        (name == VARIABLE).then(|| HostPath::from(value))
    });
    value.filter(HostPath::is_absolute)
}
