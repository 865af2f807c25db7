//! Elasticsearch, running or installed: its directories, its keystore, its repositories' roots.
//!
//! The server is one Java process, or since 8.x a launcher and the server below it. The server's own arguments then
//! name no configuration: the launcher's do, or the environment. `Environment.java` and `server-cli` of the product.

use atrest_proto::model::{Gap, Reason, Service, Use};

use super::arguments::{argument_after, command_line, java_places, property};
use super::instance::{AS_ROOT, Instance, Running, absolute, account_named};
use super::process::{self, Environment, Process, gap};
use super::unit::Unit;
use super::yaml::{self, Settings};
use super::{Discovery, KeystorePlace, Place, Scene};
use crate::host::{FileKind, Host};
use crate::path::HostPath;
use crate::secrets::{self, Form};
use crate::snapshot::{Namespace, Trouble};
use crate::variables::{self, expanded};

/// The names by which a product of this family goes.
pub(super) struct Family {
    pub(super) product: &'static str,
    /// The prefix of its Java properties: `es` in `-Des.path.conf`.
    pub(super) property: &'static str,
    pub(super) server_class: &'static str,
    pub(super) launcher_classes: &'static [&'static str],
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

/// The settings that are read; nothing else of a settings file is kept.
const SETTINGS: [&str; 7] = [
    "path.data",
    "path.logs",
    "path.repo",
    "path.shared_data",
    "cluster.name",
    "node.name",
    "node.roles",
];

/// Finds the nodes of one product.
pub(super) fn discover(family: &Family, scene: &Scene<'_>, found: &mut Discovery) {
    let mut configs = Vec::new();
    for (server, launcher) in servers(family, scene) {
        let Some(node) = running(family, scene.host, server, launcher, &mut found.gaps) else {
            continue;
        };
        if node.container.is_none() {
            configs.push(node.config.clone());
        }
        describe(family, scene.host, &node, found);
    }
    for node in installed(family, scene) {
        if !configs.contains(&node.config) {
            configs.push(node.config.clone());
            describe(family, scene.host, &node, found);
        }
    }
}

/// Every server with its launcher, and launchers whose server is not there yet.
fn servers<'a>(family: &Family, scene: &'a Scene<'_>) -> Vec<(&'a Process, Option<&'a Process>)> {
    let mut nodes = Vec::new();
    let mut with_server = Vec::new();
    for server in scene.processes.values().filter(|process| is_server(family, process)) {
        let parent = process::status(scene.host, server.pid).ok().map(|status| status.parent);
        let launcher = parent
            .and_then(|parent| scene.processes.get(&parent))
            .filter(|parent| is_launcher(family, parent));
        with_server.extend(launcher.map(|launcher| launcher.pid));
        nodes.push((server, launcher));
    }
    for launcher in scene.processes.values().filter(|process| is_launcher(family, process)) {
        if !with_server.contains(&launcher.pid) {
            nodes.push((launcher, None));
        }
    }
    nodes
}

fn is_server(family: &Family, process: &Process) -> bool {
    // As a class, or as a class in a module: `org.elasticsearch.server/org.elasticsearch…`.
    process.argv.iter().any(|argument| {
        argument.rsplit(|byte| *byte == b'/').next() == Some(family.server_class.as_bytes())
    })
}

fn is_launcher(family: &Family, process: &Process) -> bool {
    let has = |argument: &str| process.argv.iter().any(|found| found == argument.as_bytes());
    family.launcher_classes.iter().any(|class| has(class))
        // The same launcher starts the command line tools.
        && (has("-Dcli.name=server") || !process.argv.iter().any(|a| a.starts_with(b"-Dcli.name=")))
}

fn running(
    family: &Family,
    host: &dyn Host,
    server: &Process,
    launcher: Option<&Process>,
    gaps: &mut Vec<Gap>,
) -> Option<Instance> {
    let running = Running::of(host, family.product, server, gaps)?;
    let environment = running.environment;
    let mut arguments = server.argv.clone();
    arguments.extend(launcher.into_iter().flat_map(|launcher| launcher.argv.iter().cloned()));
    // `--module-path HOME/lib` is the one trace of its home that a server below a launcher carries.
    let modules = argument_after(&arguments, "--module-path").and_then(|lib| lib.parent());
    let home = property(&arguments, &format!("{}.path.home", family.property))
        .or_else(|| environment.get(family.home_variable).map(HostPath::from))
        .or(modules)
        .or_else(|| running.cwd.clone())
        .unwrap_or_else(HostPath::root);
    let named = property(&arguments, &format!("{}.path.conf", family.property))
        .or_else(|| environment.get(family.config_variable).map(HostPath::from));
    if let (None, Some(trouble)) = (&named, running.environment_trouble) {
        let subject = format!("environment of process {} ({})", running.pid, family.product);
        gaps.push(gap(&subject, &trouble, AS_ROOT));
    }
    let cwd = running.cwd.unwrap_or_else(|| home.clone());
    let config = named.unwrap_or_else(|| home.join("config"));
    Some(Instance {
        pid: Some(running.pid),
        run_as: running.run_as,
        container: running.container,
        config: absolute(&cwd, &config),
        home: absolute(&cwd, &home),
        cwd,
        namespace: running.namespace,
        environment,
        arguments,
    })
}

/// What is installed, running or not: by units, by packages, and where archives are usually unpacked.
fn installed(family: &Family, scene: &Scene<'_>) -> Vec<Instance> {
    let host = scene.host;
    let mut instances: Vec<Instance> =
        scene.units.iter().filter_map(|unit| started_by(family, host, unit)).collect();
    for packaging in family.packagings {
        let sourced = sourced(host, packaging);
        let pairs = sourced.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let environment = Environment::from_pairs(pairs);
        let config = environment
            .get(family.config_variable)
            .map_or_else(|| HostPath::from(packaging.config), HostPath::from);
        let home = HostPath::from(packaging.home);
        instances.push(Instance {
            pid: None,
            namespace: Namespace::Host,
            container: None,
            run_as: account_named(host, packaging.user, None),
            cwd: home.clone(),
            home,
            config,
            environment,
            arguments: Vec::new(),
        });
    }
    instances.extend(unpacked(family, host));
    instances.retain(|instance| is_directory(host, &instance.config));
    instances
}

/// The variables of the files that a package's start scripts source.
fn sourced(host: &dyn Host, packaging: &Packaging) -> Vec<(String, String)> {
    const LIMIT: usize = 1 << 20;
    let files = packaging.environment_files.iter();
    files
        .filter_map(|path| host.read(&Namespace::Host, &HostPath::from(*path), LIMIT).ok())
        .flat_map(|bytes| variables::parse(&String::from_utf8_lossy(&bytes)))
        .map(|found| (found.name, found.value))
        .collect()
}

/// The node that a unit starts, when it starts one.
fn started_by(family: &Family, host: &dyn Host, unit: &Unit) -> Option<Instance> {
    let commands = unit.commands();
    let script = commands.iter().flatten().find(|word| {
        let path = HostPath::from(word.as_str());
        path.is_absolute() && path.file_name() == Some(family.binary.as_bytes())
    });
    let mut pairs = unit.environment(host);
    let has = |name: &str| pairs.iter().any(|(found, _)| found == name);
    if script.is_none() && !has(family.config_variable) && !has(family.home_variable) {
        return None;
    }
    let packaging = family.packagings.iter().find(|packaging| {
        let home = pairs.iter().any(|(name, value)| {
            name == family.home_variable && value.trim_end_matches('/') == packaging.home
        });
        home || script.is_some_and(|script| script.starts_with(&format!("{}/", packaging.home)))
    });
    // The scripts source these files after systemd has set the environment.
    pairs.extend(packaging.into_iter().flat_map(|packaging| sourced(host, packaging)));
    let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let environment = Environment::from_pairs(pairs);
    let home = environment
        .get(family.home_variable)
        .map(HostPath::from)
        .or_else(|| HostPath::from(script?.as_str()).parent()?.parent())
        .or_else(|| packaging.map(|packaging| HostPath::from(packaging.home)))?;
    let config = environment
        .get(family.config_variable)
        .map(HostPath::from)
        .or_else(|| packaging.map(|packaging| HostPath::from(packaging.config)))
        .unwrap_or_else(|| home.join("config"));
    let cwd = unit.last("WorkingDirectory").filter(|directory| directory.starts_with('/'));
    let user = unit.last("User").unwrap_or_else(|| "root".to_owned());
    let lookup = |name: &str| environment.get(name);
    let arguments = commands.iter().flatten().map(|word| expanded(word, &lookup).into_bytes());
    Some(Instance {
        pid: None,
        namespace: Namespace::Host,
        container: None,
        run_as: account_named(host, &user, unit.last("Group").as_deref()),
        cwd: cwd.map_or_else(|| home.clone(), HostPath::from),
        arguments: arguments.collect(),
        home,
        config,
        environment,
    })
}

/// Where archives are usually unpacked, in these directories or one level below.
const UNPACKED: [&str; 5] = ["/opt", "/usr/local", "/srv", "/home", "/data"];

/// Installations from an archive: a start script, and the settings beside it.
fn unpacked(family: &Family, host: &dyn Host) -> Vec<Instance> {
    /// More entries of a directory than this are not looked through.
    const LIMIT: usize = 1000;
    let below = |directory: &HostPath| -> Vec<HostPath> {
        let names = host.list(&Namespace::Host, directory).unwrap_or_default();
        names.iter().take(LIMIT).map(|name| directory.join(name)).collect()
    };
    let mut homes = Vec::new();
    for directory in UNPACKED.map(HostPath::from) {
        for entry in below(&directory) {
            homes.extend(below(&entry));
            homes.push(entry);
        }
    }
    let is_there = |path: &HostPath| host.metadata(&Namespace::Host, path, true).is_ok();
    homes.retain(|home| {
        is_there(&home.join("bin").join(family.binary))
            && is_there(&home.join("config").join(family.settings_file))
    });
    let instance = |home: HostPath| Instance {
        pid: None,
        namespace: Namespace::Host,
        container: None,
        run_as: None,
        config: home.join("config"),
        cwd: home.clone(),
        home,
        environment: Environment::empty(),
        arguments: Vec::new(),
    };
    homes.into_iter().map(instance).collect()
}

fn is_directory(host: &dyn Host, path: &HostPath) -> bool {
    host.metadata(&Namespace::Host, path, true)
        .is_ok_and(|metadata| metadata.kind == FileKind::Directory)
}

/// Everything that is known of one node goes into `found`.
fn describe(family: &Family, host: &dyn Host, node: &Instance, found: &mut Discovery) {
    let mut lost = Vec::new();
    let (settings, is_read) = settings(family, host, node, &mut lost);
    let lookup = |name: &str| {
        node.environment
            .get(name)
            .or_else(|| property(&node.arguments, name).map(|value| value.to_string()))
    };
    let mut list = |key: &str| {
        settings.list(key, &lookup).unwrap_or_else(|error| {
            lost.push(Gap {
                subject: node.config.join(family.settings_file).to_string(),
                reason: Reason::Unreadable,
                detail: error.to_string(),
                remedy: "name the path in the agent's configuration".to_owned(),
            });
            Vec::new()
        })
    };
    let node_name = list("node.name").into_iter().next();
    let cluster_name = list("cluster.name").into_iter().next();
    let name = name(family, host, node, node_name.as_deref());
    let path = |text: &String| absolute(&node.cwd, &HostPath::from(text.as_str()));
    let paths = |texts: Vec<String>| texts.iter().map(path).collect::<Vec<_>>();

    // Settings that cannot be read are those of the package, as far as anybody knows.
    let packaging = family.packaging(&node.config).filter(|_| !is_read);
    let default = |packaged: fn(&Packaging) -> &str, below_home: &str| {
        packaging.map_or_else(
            || node.home.join(below_home),
            |packaging| HostPath::from(packaged(packaging)),
        )
    };
    let mut places = Vec::new();
    let mut add = |usage: Use, paths: Vec<HostPath>| {
        places.extend(paths.into_iter().map(|path| (usage, path)));
    };
    let data = paths(list("path.data"));
    add(
        Use::Data,
        if data.is_empty() { vec![default(|packaging| packaging.data, "data")] } else { data },
    );
    let logs = paths(list("path.logs"));
    add(
        Use::Logs,
        if logs.is_empty() { vec![default(|packaging| packaging.logs, "logs")] } else { logs },
    );
    add(Use::Data, paths(list("path.shared_data")));
    add(Use::Repository, paths(list("path.repo")));
    add(Use::Config, vec![node.config.clone()]);
    for (usage, path) in java_places(&node.arguments) {
        add(usage, vec![absolute(&node.cwd, &path)]);
    }
    found.places.extend(places.into_iter().map(|(usage, path)| Place {
        path,
        usage,
        service: Some(name.clone()),
        namespace: node.namespace.clone(),
    }));
    found.keystores.push(KeystorePlace {
        path: node.config.join(family.keystore_file),
        namespace: node.namespace.clone(),
        product: family.product.to_owned(),
        format: "elasticsearch",
        service: Some(name.clone()),
        run_as: node.run_as.clone(),
    });
    found.configurations.extend(configurations(family, node, &name));
    let mut roles = list("node.roles");
    roles.sort_unstable();
    found.services.push(Service {
        product: family.product.to_owned(),
        name,
        state: if node.pid.is_some() { "running" } else { "installed" }.to_owned(),
        version: version(family, host, node),
        cluster_name,
        cluster_uuid: None,
        node_name,
        roles,
        config_dir: Some(node.config.to_string()),
        pid: node.pid,
    });
    found.gaps.append(&mut lost);
}

/// Where the settings of a node stand.
fn configurations(family: &Family, node: &Instance, service: &str) -> Vec<secrets::Place> {
    let place = |path: HostPath, form, namespace: &Namespace| secrets::Place {
        path,
        form,
        namespace: namespace.clone(),
        product: family.product.to_owned(),
        service: Some(service.to_owned()),
    };
    let mut places = vec![
        place(node.config.join(family.settings_file), Form::Yaml, &node.namespace),
        place(node.config.join("jvm.options"), Form::JavaOptions, &node.namespace),
        place(node.config.clone(), Form::Directory, &node.namespace),
    ];
    let process = node.pid.into_iter().flat_map(|pid| {
        [("environ", Form::Environment), ("cmdline", Form::Arguments)].map(|(file, form)| {
            place(HostPath::from(format!("/proc/{pid}/{file}")), form, &Namespace::Host)
        })
    });
    places.extend(process);
    if let Some(packaging) = family.packaging(&node.config) {
        let files = packaging.environment_files.iter();
        places.extend(
            files.map(|path| place(HostPath::from(*path), Form::Variables, &Namespace::Host)),
        );
    }
    places
}

/// The settings of the file, under those of the command line; and whether the file could be read.
fn settings(
    family: &Family,
    host: &dyn Host,
    node: &Instance,
    gaps: &mut Vec<Gap>,
) -> (Settings, bool) {
    let path = node.config.join(family.settings_file);
    let keep = |key: &str| SETTINGS.contains(&key);
    let parsed = match host.read(&node.namespace, &path, yaml::MAX_SIZE) {
        Ok(bytes) => Settings::parse(&bytes, &keep)
            .map_err(|error| (Trouble::new(Reason::Unreadable, format!("{path}: {error}")), "")),
        // Without the file everything has its default.
        Err(trouble) if trouble.reason == Reason::NotFound => Ok(Settings::default()),
        Err(trouble) => {
            let remedy = if trouble.reason == Reason::NoPermission { AS_ROOT } else { "" };
            Err((trouble, remedy))
        }
    };
    let is_read = parsed.is_ok();
    let mut settings = parsed.unwrap_or_else(|(trouble, remedy)| {
        let remedy =
            if remedy.is_empty() { "correct the file; defaults were assumed" } else { remedy };
        gaps.push(gap(&path.to_string(), &trouble, remedy));
        Settings::default()
    });
    for (key, value) in command_line(&node.arguments) {
        if keep(&key) {
            settings.set(&key, &value);
        }
    }
    (settings, is_read)
}

/// What tells this node from others of the host, the same after a restart.
fn name(family: &Family, host: &dyn Host, node: &Instance, node_name: Option<&str>) -> String {
    if let Some(container) = &node.container {
        let hostname = || {
            let bytes = host.read(&node.namespace, &HostPath::from("/etc/hostname"), 4096).ok()?;
            let name = String::from_utf8_lossy(&bytes).trim().to_owned();
            (!name.is_empty() && node.namespace != Namespace::Host).then_some(name)
        };
        let name =
            node_name.map(str::to_owned).or_else(hostname).unwrap_or_else(|| container.clone());
        return format!("{}:{name}", family.product);
    }
    if let Some(packaging) = family.packaging(&node.config) {
        return packaging.name.to_owned();
    }
    format!("{}:{}", family.product, node.config)
}

/// From the name of the product's own jar.
fn version(family: &Family, host: &dyn Host, node: &Instance) -> Option<String> {
    let names = host.list(&node.namespace, &node.home.join("lib")).ok()?;
    names.iter().find_map(|name| {
        let name = std::str::from_utf8(name).ok()?;
        let version = name.strip_prefix(family.jar)?.strip_suffix(".jar")?;
        version.starts_with(|first: char| first.is_ascii_digit()).then(|| version.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_started_by_the_launcher_is_no_node() {
        let process = |texts: &[&str]| Process {
            pid: 7,
            argv: texts.iter().map(|text| text.as_bytes().to_vec()).collect(),
        };
        let class = "org.elasticsearch.launcher.CliToolLauncher";
        assert!(is_launcher(&ELASTICSEARCH, &process(&["java", "-Dcli.name=server", class])));
        assert!(!is_launcher(&ELASTICSEARCH, &process(&["java", "-Dcli.name=keystore", class])));
        assert!(!is_server(
            &ELASTICSEARCH,
            &process(&["grep", "org.elasticsearch.bootstrap.ElasticsearchX"])
        ));
    }
}
