//! Pods: the volumes that the kubelet keeps for them below `/var/lib/kubelet/pods`, and their logs.
//!
//! The names of volumes are those of the operator of Elastic (ECK). Where pods run, their processes are found as such.

use atrest_proto::model::{Reason, Service, Use};

use super::{IMAGE_UID, is_directory, place};
use crate::discovery::instance::account_numbered;
use crate::discovery::process::{Cgroup, gap};
use crate::discovery::{Discovery, KeystorePlace};
use crate::host::Host;
use crate::keystore::Account;
use crate::path::HostPath;
use crate::secrets::{self, Form};
use crate::snapshot::{Namespace, Observed};

/// The directories of kubelets: the default, and that of k0s.
const ROOTS: [&str; 2] = ["/var/lib/kubelet", "/var/lib/k0s/kubelet"];
const LOGS: &str = "/var/log/pods";

/// A product as the operator lays it out.
struct Pod {
    product: &'static str,
    /// The volume that holds its configuration: what tells the product.
    config: &'static str,
    settings: &'static str,
    keystore: &'static str,
    format: &'static str,
}

const PODS: [Pod; 2] = [
    Pod {
        product: "elasticsearch",
        config: "elastic-internal-elasticsearch-config-local",
        settings: "elasticsearch.yml",
        keystore: "elasticsearch.keystore",
        format: "elasticsearch",
    },
    Pod {
        product: "kibana",
        config: "elastic-internal-kibana-config-local",
        settings: "kibana.yml",
        keystore: "kibana.keystore",
        format: "kibana",
    },
];

/// Plug-ins of the kubelet whose volumes are in memory, or hold what the API server keeps.
const NOT_STORED: [&str; 4] = [
    "kubernetes.io~secret",
    "kubernetes.io~configmap",
    "kubernetes.io~projected",
    "kubernetes.io~downward-api",
];

pub(super) fn discover(host: &dyn Host, running: &[(String, Cgroup)], found: &mut Discovery) {
    let logs = host.list(&Namespace::Host, &HostPath::from(LOGS)).unwrap_or_default();
    for (service, cgroup) in running {
        let Some(uid) = &cgroup.pod else { continue };
        found.places.extend(logs_of(&logs, uid).map(|path| place(path, Use::Logs, service)));
    }
    for root in ROOTS {
        let pods = HostPath::from(root).join("pods");
        let uids = match host.list(&Namespace::Host, &pods) {
            Ok(uids) => uids,
            Err(trouble) if trouble.reason == Reason::NotFound => continue,
            Err(trouble) => {
                found.gaps.push(gap("volumes of pods", &trouble, "run the agent as root"));
                continue;
            }
        };
        for uid in uids {
            let Ok(uid) = String::from_utf8(uid) else { continue };
            // A pod of which a process is seen has told everything itself.
            if running.iter().any(|(_, cgroup)| cgroup.pod.as_ref() == Some(&uid)) {
                continue;
            }
            let volumes = pods.join(&uid).join("volumes");
            for pod in &PODS {
                let config = volumes.join("kubernetes.io~empty-dir").join(pod.config);
                if is_directory(host, &config) {
                    describe(host, pod, &uid, &volumes, &logs, found);
                }
            }
        }
    }
}

/// `NAMESPACE_NAME_UID` in the directory of all pods' logs.
fn logs_of<'a>(names: &'a [Vec<u8>], uid: &'a str) -> impl Iterator<Item = HostPath> + 'a {
    let of_pod = |name: &&Vec<u8>| {
        name.strip_suffix(uid.as_bytes()).is_some_and(|rest| rest.ends_with(b"_"))
    };
    names.iter().filter(of_pod).map(|name| HostPath::from(LOGS).join(name))
}

/// The images' user, with the group that the volume was given (`fsGroup` of the pod).
fn account(host: &dyn Host, config: &HostPath) -> Account {
    let gid = host.metadata(&Namespace::Host, config, true).map_or(0, |metadata| metadata.gid);
    account_numbered(host, &Namespace::Host, IMAGE_UID, gid)
}

fn describe(
    host: &dyn Host,
    pod: &Pod,
    uid: &str,
    volumes: &HostPath,
    logs: &[Vec<u8>],
    found: &mut Discovery,
) {
    let name = format!("{}:pod-{uid}", pod.product);
    let config = volumes.join("kubernetes.io~empty-dir").join(pod.config);
    for plugin in host.list(&Namespace::Host, volumes).unwrap_or_default() {
        if NOT_STORED.iter().any(|not_stored| not_stored.as_bytes() == plugin) {
            continue;
        }
        let directory = volumes.join(&plugin);
        for volume in host.list(&Namespace::Host, &directory).unwrap_or_default() {
            let text = String::from_utf8_lossy(&volume);
            let usage = if text == pod.config {
                Use::Config
            } else if text.contains("logs") {
                Use::Logs
            } else if text.contains("tmp") {
                Use::Temp
            } else if text.starts_with("elastic-internal-") {
                Use::Config
            } else {
                Use::Data
            };
            let path = directory.join(&volume);
            // Drivers of the container storage interface mount one level below.
            let mounted = path.join("mount");
            let path = if is_directory(host, &mounted) { mounted } else { path };
            found.places.push(place(path, usage, &name));
        }
    }
    found.places.extend(logs_of(logs, uid).map(|path| place(path, Use::Logs, &name)));
    found.keystores.push(KeystorePlace {
        path: config.join(pod.keystore),
        namespace: Namespace::Host,
        product: pod.product.to_owned(),
        format: pod.format,
        service: Some(name.clone()),
        run_as: Some(account(host, &config)),
        root: Observed::Absent,
        password_sources: Vec::new(),
    });
    for (path, form) in [(config.join(pod.settings), Form::Yaml), (config.clone(), Form::Directory)]
    {
        found.configurations.push(secrets::Place {
            path,
            form,
            namespace: Namespace::Host,
            product: pod.product.to_owned(),
            service: Some(name.clone()),
        });
    }
    found.services.push(Service {
        product: pod.product.to_owned(),
        state: "installed".to_owned(),
        config_dir: Some(config.to_string()),
        name,
        ..Service::default()
    });
}
