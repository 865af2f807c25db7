//! Elasticsearch, running or installed: its directories, its keystore, its repositories' roots.
//!
//! The server is one Java process, or since 8.x a launcher and the server below it. The server's own arguments then
//! name no configuration: the launcher's do, or the environment. `Environment.java` and `server-cli` of the product.

mod describe;
mod nodes;
mod stores;

use super::stack::{self, Candidate, Package};
use super::{Discovery, Scene};
use crate::path::HostPath;
use describe::describe;
pub(super) use describe::setting_of_variable;
use nodes::{installed, running, servers};

/// The names by which a product of this family goes.
pub(super) struct Family {
    pub(super) product: &'static str,
    /// The prefix of its Java properties: `es` in `-Des.path.conf`.
    pub(super) property: &'static str,
    pub(super) server_class: &'static str,
    pub(super) launcher_classes: &'static [&'static str],
    /// What its variables begin with: `ES` in `ES_JAVA_OPTS`.
    pub(super) variables: &'static str,
    pub(super) home_variable: &'static str,
    pub(super) config_variable: &'static str,
    pub(super) settings_file: &'static str,
    pub(super) keystore_file: &'static str,
    /// What the name of its own jar in `lib` starts with; the version follows.
    pub(super) jar: &'static str,
    /// Its start script in `bin`.
    pub(super) binary: &'static str,
    /// Of its packages and their units.
    pub(super) packages: &'static [&'static str],
}

pub(super) static ELASTICSEARCH: Family = Family {
    product: "elasticsearch",
    property: "es",
    server_class: "org.elasticsearch.bootstrap.Elasticsearch",
    launcher_classes: &[
        "org.elasticsearch.launcher.CliToolLauncher",
        "org.elasticsearch.server.launcher.ServerLauncher",
    ],
    variables: "ES",
    home_variable: "ES_HOME",
    config_variable: "ES_PATH_CONF",
    settings_file: "elasticsearch.yml",
    keystore_file: "elasticsearch.keystore",
    jar: "elasticsearch-",
    binary: "elasticsearch",
    packages: &["elasticsearch"],
};

impl Family {
    fn packages(&self) -> Vec<Package> {
        self.packages.iter().map(|name| Package::new(name)).collect()
    }

    /// The package whose configuration directory this is.
    fn package(&self, config: &HostPath) -> Option<Package> {
        self.packages().into_iter().find(|package| package.config == *config)
    }
}

/// Finds the nodes of one product.
pub(super) fn discover(family: &'static Family, scene: &Scene<'_>, found: &mut Discovery) {
    let host = scene.host;
    let mut candidates = Vec::new();
    for (server, launcher) in servers(family, scene) {
        candidates.extend(running(family, host, server, launcher, &mut found.gaps));
    }
    candidates.extend(installed(family, scene, &mut found.gaps));
    let describe = |candidate: &Candidate| Some(describe(family, host, &candidate.instance));
    stack::write_down(host, candidates, &describe, found);
}
