//! What container engines keep on the host: logs of running containers, containers that are stopped, volumes of pods.
//!
//! Running containers are found by their processes, as everything that runs.

mod docker;
pub(crate) mod ece;
mod kubelet;

use atrest_proto::model::Use;

use super::Discovery;
use super::process::{self, Cgroup};
use crate::host::{FileKind, Host};
use crate::path::HostPath;
use crate::snapshot::Namespace;

/// A product as its image has it, and as it is found when its container does not run.
struct Image {
    product: &'static str,
    /// In the name of the image, without registry and tag: the first that fits counts.
    name: &'static str,
    home: &'static str,
    /// Its settings, below the home as the keystore is.
    settings: &'static str,
    keystore: &'static str,
    format: &'static str,
}

/// A product whose image has its own name for everything.
const fn beat(
    product: &'static str,
    home: &'static str,
    settings: &'static str,
    keystore: &'static str,
) -> Image {
    Image { product, name: product, home, settings, keystore, format: "beats" }
}

/// More special names stand first.
const IMAGES: [Image; 12] = [
    beat("filebeat", "/usr/share/filebeat", "filebeat.yml", "data/filebeat.keystore"),
    beat("metricbeat", "/usr/share/metricbeat", "metricbeat.yml", "data/metricbeat.keystore"),
    beat("packetbeat", "/usr/share/packetbeat", "packetbeat.yml", "data/packetbeat.keystore"),
    beat("heartbeat", "/usr/share/heartbeat", "heartbeat.yml", "data/heartbeat.keystore"),
    beat("auditbeat", "/usr/share/auditbeat", "auditbeat.yml", "data/auditbeat.keystore"),
    beat("apm-server", "/usr/share/apm-server", "apm-server.yml", "data/apm-server.keystore"),
    Image {
        product: "elastic-agent",
        name: "elastic-agent",
        // What its entry point writes to.
        home: "/usr/share/elastic-agent/state",
        settings: "elastic-agent.yml",
        keystore: "fleet.enc",
        format: "elastic-agent-store",
    },
    Image {
        product: "opensearch-dashboards",
        name: "opensearch-dashboards",
        home: "/usr/share/opensearch-dashboards",
        settings: "config/opensearch_dashboards.yml",
        keystore: "config/opensearch_dashboards.keystore",
        format: "kibana",
    },
    Image {
        product: "elasticsearch",
        name: "elasticsearch",
        home: "/usr/share/elasticsearch",
        settings: "config/elasticsearch.yml",
        keystore: "config/elasticsearch.keystore",
        format: "elasticsearch",
    },
    Image {
        product: "opensearch",
        name: "opensearch",
        home: "/usr/share/opensearch",
        settings: "config/opensearch.yml",
        keystore: "config/opensearch.keystore",
        format: "elasticsearch",
    },
    Image {
        product: "kibana",
        name: "kibana",
        home: "/usr/share/kibana",
        settings: "config/kibana.yml",
        keystore: "config/kibana.keystore",
        format: "kibana",
    },
    Image {
        product: "logstash",
        name: "logstash",
        home: "/usr/share/logstash",
        settings: "config/logstash.yml",
        keystore: "config/logstash.keystore",
        format: "logstash",
    },
];

/// The directories below an image's home that it writes to, and those that settings `path.…` name; of these a repository has
/// no default.
const DIRECTORIES: [(&str, Use); 4] =
    [("data", Use::Data), ("logs", Use::Logs), ("config", Use::Config), ("repo", Use::Repository)];

/// The user that the images of all products run as, with group 0: their Dockerfiles.
const IMAGE_UID: u32 = 1000;

/// Adds what engines keep to what was found by processes and installations.
pub(super) fn discover(host: &dyn Host, found: &mut Discovery) {
    let running: Vec<(String, Cgroup)> = found
        .services
        .iter()
        .filter_map(|service| Some((service.name.clone(), process::cgroup(host, service.pid?)?)))
        .collect();
    docker::discover(host, &running, found);
    kubelet::discover(host, &running, found);
    ece::discover(host, found);
}

fn is_directory(host: &dyn Host, path: &HostPath) -> bool {
    host.metadata(&Namespace::Host, path, true)
        .is_ok_and(|metadata| metadata.kind == FileKind::Directory)
}

fn place(path: HostPath, usage: Use, service: &str) -> super::Place {
    super::Place { path, usage, service: Some(service.to_owned()), namespace: Namespace::Host }
}

#[cfg(test)]
mod tests;
