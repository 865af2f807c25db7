//! Which nodes there are: running servers with their launchers, and installations that do not run.

use atrest_proto::model::Gap;

use super::Family;
use crate::discovery::Scene;
use crate::discovery::arguments::{argument_after, property};
use crate::discovery::instance::{AS_ROOT, Instance, absolute, account_named};
use crate::discovery::process::{self, Environment, Process, gap};
use crate::discovery::stack::{self, Candidate, Origin};
use crate::discovery::unit::Unit;
use crate::host::Host;
use crate::path::HostPath;
use crate::snapshot::Namespace;
use crate::variables::expanded;

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

/// A running node, with what launched it.
pub(super) fn running(
    family: &Family,
    host: &dyn Host,
    server: &Process,
    launcher: Option<&Process>,
    gaps: &mut Vec<Gap>,
) -> Option<Candidate> {
    let (mut candidate, trouble) = stack::running(host, family.product, server, gaps)?;
    let instance = &mut candidate.instance;
    instance.arguments.extend(launcher.into_iter().flat_map(|launcher| launcher.argv.clone()));
    let (arguments, environment) = (&instance.arguments, &instance.environment);
    // `--module-path HOME/lib` is the one trace of its home that a server below a launcher carries.
    let modules = argument_after(arguments, "--module-path").and_then(|lib| lib.parent());
    let home = property(arguments, &format!("{}.path.home", family.property))
        .or_else(|| environment.get(family.home_variable).map(HostPath::from))
        .or(modules)
        .unwrap_or_else(|| instance.cwd.clone());
    let own = property(arguments, &format!("{}.path.conf", family.property));
    // The one process of older versions carries its configuration directory; a server below a launcher does not.
    let is_started_by_itself = own.is_some();
    let named = own.or_else(|| environment.get(family.config_variable).map(HostPath::from));
    if let (None, Some(trouble)) = (&named, trouble) {
        let subject = format!("environment of process {} ({})", server.pid, family.product);
        gaps.push(gap(&subject, &trouble, AS_ROOT));
        instance.doubt = Some(trouble);
    }
    let config = named.unwrap_or_else(|| home.join("config"));
    instance.config = absolute(&instance.cwd, &config);
    instance.home = absolute(&instance.cwd, &home);
    instance.is_below_launcher = launcher.is_some() || !is_started_by_itself;
    Some(candidate)
}

/// What is installed, running or not: by units, by packages, and where archives are usually unpacked.
pub(super) fn installed(family: &Family, scene: &Scene<'_>, gaps: &mut Vec<Gap>) -> Vec<Candidate> {
    let host = scene.host;
    // A template starts nothing by itself.
    let units = scene.units.iter().filter(|unit| !unit.name.ends_with("@.service"));
    let mut candidates: Vec<Candidate> =
        units.filter_map(|unit| started_by(family, host, unit)).collect();
    // One spelling of each: a slash at the end makes no other node.
    for instance in candidates.iter_mut().map(|candidate| &mut candidate.instance) {
        instance.home = absolute(&instance.cwd, &instance.home);
        instance.config = absolute(&instance.cwd, &instance.config);
    }
    candidates.retain(|Candidate { instance, .. }| {
        stack::may_be_configured(host, &Namespace::Host, &instance.config, gaps)
    });
    let variables = [family.config_variable];
    candidates.extend(
        family
            .packages()
            .iter()
            .filter_map(|package| package.candidate(host, &package.name, &variables, gaps)),
    );
    let is_there = |path: &HostPath| stack::exists(host, &Namespace::Host, path);
    let homes = scene.unpacked.iter().filter(|home| {
        is_there(&home.join("bin").join(family.binary))
            && is_there(&home.join("config").join(family.settings_file))
    });
    candidates.extend(homes.map(|home| stack::archive(host, home.clone(), home.join("config"))));
    candidates
}

/// The node that a unit starts, when it starts one.
fn started_by(family: &Family, host: &dyn Host, unit: &Unit) -> Option<Candidate> {
    let commands = unit.commands();
    let script = commands.iter().flatten().find(|word| {
        let path = HostPath::from(word.as_str());
        path.is_absolute() && path.file_name() == Some(family.binary.as_bytes())
    });
    let mut pairs = unit.environment(host);
    let has = |name: &str| pairs.iter().any(|(found, _)| found == name);
    let packages = family.packages();
    // The unit of a package is known by its name, whatever is dropped in.
    let stem = unit.name.trim_end_matches(".service").split('@').next().unwrap_or_default();
    let named = packages.iter().find(|package| package.name == stem);
    let has_variable = has(family.config_variable) || has(family.home_variable);
    if script.is_none() && !has_variable && named.is_none() {
        return None;
    }
    let package = packages.iter().find(|package| {
        let home = pairs.iter().any(|(name, value)| {
            name == family.home_variable
                && package.home == HostPath::from(value.trim_end_matches('/'))
        });
        home || script.is_some_and(|script| {
            let script = HostPath::from(script.as_str());
            script.is_at_or_below(&package.home)
        })
    });
    let package = package.or_else(|| named.filter(|_| script.is_none() && !has_variable));
    // The scripts source these files after systemd has set the environment.
    pairs.extend(package.into_iter().flat_map(|package| package.assigned(host)));
    let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let environment = Environment::from_pairs(pairs);
    let home = environment
        .get(family.home_variable)
        .map(HostPath::from)
        .or_else(|| HostPath::from(script?.as_str()).parent()?.parent())
        .or_else(|| package.map(|package| package.home.clone()))?;
    let config = environment
        .get(family.config_variable)
        .map(HostPath::from)
        .or_else(|| package.map(|package| package.config.clone()))
        .unwrap_or_else(|| home.join("config"));
    let cwd = unit.last("WorkingDirectory").filter(|directory| directory.starts_with('/'));
    let user = unit.last("User").unwrap_or_else(|| "root".to_owned());
    let lookup = |name: &str| environment.get(name);
    let arguments = commands.iter().flatten().map(|word| expanded(word, &lookup).into_bytes());
    let sourced = package.into_iter().flat_map(|package| package.variables.iter().cloned());
    Some(Candidate {
        instance: Instance {
            pid: None,
            namespace: Namespace::Host,
            container: None,
            run_as: account_named(host, &user, unit.last("Group").as_deref()),
            cwd: cwd.map_or_else(|| home.clone(), HostPath::from),
            arguments: arguments.collect(),
            is_below_launcher: false,
            unit_files: unit.files.clone(),
            environment_files: unit.environment_files(host).into_iter().chain(sourced).collect(),
            home,
            config,
            environment,
            doubt: None,
            cwd_doubt: None,
        },
        origin: Origin::Unit,
        outputs: stack::outputs(unit),
    })
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
