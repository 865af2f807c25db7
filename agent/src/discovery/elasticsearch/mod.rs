//! Elasticsearch, running or installed: its directories, its keystore, its repositories' roots.
//!
//! The server is one Java process, or since 8.x a launcher and the server below it. The server's own arguments then
//! name no configuration: the launcher's do, or the environment. `Environment.java` and `server-cli` of the product.

mod describe;
mod nodes;
mod stores;

use super::identity::is_same_file;
use super::instance::Instance;
use super::{Discovery, Scene};
use crate::path::HostPath;
use crate::snapshot::Namespace;
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
    pub(super) packagings: &'static [Packaging],
}

/// Where a package puts things.
pub(super) struct Packaging {
    /// Of the package and of its unit; what the service is called.
    pub(super) name: &'static str,
    pub(super) home: &'static str,
    pub(super) config: &'static str,
    /// What the settings file of the package sets.
    pub(super) data: &'static str,
    pub(super) logs: &'static str,
    /// What its start scripts source.
    pub(super) environment_files: &'static [&'static str],
    pub(super) user: &'static str,
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
    packagings: &[Packaging {
        name: "elasticsearch",
        home: "/usr/share/elasticsearch",
        config: "/etc/elasticsearch",
        data: "/var/lib/elasticsearch",
        logs: "/var/log/elasticsearch",
        environment_files: &["/etc/default/elasticsearch", "/etc/sysconfig/elasticsearch"],
        user: "elasticsearch",
    }],
};

impl Family {
    /// The package whose configuration directory this is.
    fn packaging(&self, config: &HostPath) -> Option<&'static Packaging> {
        self.packagings.iter().find(|packaging| HostPath::from(packaging.config) == *config)
    }
}

/// Finds the nodes of one product.
pub(super) fn discover(family: &Family, scene: &Scene<'_>, found: &mut Discovery) {
    // With whose eyes they are seen: a node with another root has a directory of its own under the same name.
    let mut configs: Vec<(Namespace, HostPath)> = Vec::new();
    let is_same = |(seen_by, config): (&Namespace, &HostPath), node: &Instance| {
        is_same_file(scene.host, (seen_by, config), (&node.namespace, &node.config))
    };
    let mut strangers = Vec::new();
    let mut installed = installed(family, scene);
    for (server, launcher) in servers(family, scene) {
        let Some(mut node) = running(family, scene.host, server, launcher, &mut found.gaps) else {
            continue;
        };
        if node.container.is_none() {
            let config = (node.namespace.clone(), node.config.clone());
            let is_its = |known: &&Instance| is_same((&config.0, &config.1), known);
            let known: Vec<&Instance> = installed.iter().filter(is_its).collect();
            if is_stranger(&node, &known) {
                node.run_as = known.iter().find_map(|known| known.run_as.clone());
                strangers.push(node);
                continue;
            }
            // What starts it says nothing new of a process that can be asked, and is a file with settings.
            for known in known {
                node.unit_files.extend(known.unit_files.iter().cloned());
                node.environment_files.extend(known.environment_files.iter().cloned());
            }
            configs.push(config);
        }
        describe(family, scene.host, &node, found);
    }
    for node in installed.drain(..) {
        if !configs.iter().any(|(seen_by, config)| is_same((seen_by, config), &node)) {
            configs.push((node.namespace.clone(), node.config.clone()));
            describe(family, scene.host, &node, found);
        }
    }
    // Last, so that they take nobody's name.
    for node in strangers {
        describe(family, scene.host, &node, found);
    }
}

/// Whether a process claims a configuration that is installed for other accounts only.
///
/// Any user may start a program with such arguments. It is looked at as what it says it is, but neither hides what is
/// installed nor becomes the owner of its keystore.
fn is_stranger(node: &Instance, known: &[&Instance]) -> bool {
    let Some(own) = &node.run_as else { return false };
    let accounts: Vec<_> = known.iter().filter_map(|known| known.run_as.as_ref()).collect();
    own.uid != 0 && !accounts.is_empty() && accounts.iter().all(|account| account.uid != own.uid)
}
