//! Which nodes there are: running servers with their launchers, and installations that do not run.

use atrest_proto::model::Gap;

use super::{Family, Packaging};
use crate::discovery::Scene;
use crate::discovery::arguments::{argument_after, property};
use crate::discovery::instance::{AS_ROOT, Instance, Running, absolute, account_named};
use crate::discovery::process::{self, Environment, Process, gap};
use crate::discovery::stack;
use crate::discovery::unit::Unit;
use crate::host::Host;
use crate::path::HostPath;
use crate::snapshot::Namespace;
use crate::variables::{self, expanded};

/// Every server with its launcher, and launchers whose server is not there yet.
pub(super) fn servers<'a>(
    family: &Family,
    scene: &'a Scene<'_>,
) -> Vec<(&'a Process, Option<&'a Process>)> {
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

pub(super) fn running(
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
        is_below_launcher: launcher.is_some() || !is_started_by_itself(family, &arguments),
        unit_files: Vec::new(),
        environment_files: Vec::new(),
        environment,
        arguments,
    })
}

/// The one process of older versions carries its configuration directory; a server below a launcher does not.
fn is_started_by_itself(family: &Family, arguments: &[Vec<u8>]) -> bool {
    property(arguments, &format!("{}.path.conf", family.property)).is_some()
}

/// What is installed, running or not: by units, by packages, and where archives are usually unpacked.
pub(super) fn installed(family: &Family, scene: &Scene<'_>) -> Vec<Instance> {
    let host = scene.host;
    // A template starts nothing by itself.
    let units = scene.units.iter().filter(|unit| !unit.name.ends_with("@.service"));
    let mut instances: Vec<Instance> =
        units.filter_map(|unit| started_by(family, host, unit)).collect();
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
            is_below_launcher: false,
            unit_files: Vec::new(),
            environment_files: files_of(packaging),
        });
    }
    instances.extend(unpacked(family, scene));
    // One spelling of each: a slash at the end makes no other node.
    for instance in &mut instances {
        instance.home = absolute(&instance.cwd, &instance.home);
        instance.config = absolute(&instance.cwd, &instance.config);
    }
    instances.retain(|instance| stack::is_directory(host, &Namespace::Host, &instance.config));
    instances
}

fn files_of(packaging: &Packaging) -> Vec<HostPath> {
    packaging.environment_files.iter().map(|path| HostPath::from(*path)).collect()
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
    // The unit of a package is known by its name, whatever is dropped in.
    let stem = unit.name.trim_end_matches(".service").split('@').next().unwrap_or_default();
    let named = family.packagings.iter().find(|packaging| packaging.name == stem);
    let has_variable = has(family.config_variable) || has(family.home_variable);
    if script.is_none() && !has_variable && named.is_none() {
        return None;
    }
    let packaging = family.packagings.iter().find(|packaging| {
        let home = pairs.iter().any(|(name, value)| {
            name == family.home_variable && value.trim_end_matches('/') == packaging.home
        });
        home || script.is_some_and(|script| script.starts_with(&format!("{}/", packaging.home)))
    });
    let packaging = packaging.or_else(|| named.filter(|_| script.is_none() && !has_variable));
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
        is_below_launcher: false,
        unit_files: unit.files.clone(),
        environment_files: unit
            .environment_files()
            .into_iter()
            .chain(packaging.into_iter().flat_map(files_of))
            .collect(),
        home,
        config,
        environment,
    })
}

/// Installations from an archive: a start script, and the settings beside it.
fn unpacked(family: &Family, scene: &Scene<'_>) -> Vec<Instance> {
    let is_there = |path: &HostPath| stack::exists(scene.host, &Namespace::Host, path);
    let homes = scene.unpacked.iter().filter(|home| {
        is_there(&home.join("bin").join(family.binary))
            && is_there(&home.join("config").join(family.settings_file))
    });
    homes
        .map(|home| stack::archive(scene.host, home.clone(), home.join("config")).instance)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::ELASTICSEARCH;
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
