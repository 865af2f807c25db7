//! Elastic Agent, with Fleet Server and the other programs that it runs: running or installed.
//!
//! Its paths are decided in `internal/pkg/agent/application/paths/` and `internal/pkg/agent/cmd/container.go` of Elastic
//! Agent. What it runs keeps its data below the agent's own.

use atrest_proto::model::Use;

use super::arguments;
use super::instance::{AS_ROOT, Instance, absolute};
use super::process::{Process, gap};
use super::stack::{self, Candidate, Description, Lookup, Naming, Package, Values};
use super::{Discovery, Scene, patterns};
use crate::host::Host;
use crate::path::HostPath;
use crate::secrets::Form;
use crate::snapshot::{Namespace, Observed};

const PRODUCT: &str = "elastic-agent";
const SETTINGS_FILE: &str = "elastic-agent.yml";
/// `defaultStateDirectory` of `container.go`.
const STATE: &str = "/usr/share/elastic-agent/state";

/// Of its commands, those that are not the agent itself.
const TOOLS: [&str; 16] = [
    "apply-flavor",
    "component",
    "diagnostics",
    "enroll",
    "help",
    "inspect",
    "install",
    "logs",
    "privileged",
    "restart",
    "status",
    "uninstall",
    "unprivileged",
    "upgrade",
    "version",
    "watch",
];

/// Whether a process with these arguments may be one of it.
pub(super) fn may_be(argv: &[Vec<u8>]) -> bool {
    argv.first().is_some_and(|program| is_program(&HostPath::new(program.clone())))
}

/// Under a namespace of installations the script is `elastic-NAMESPACE-agent`.
fn is_program(path: &HostPath) -> bool {
    path.file_name().is_some_and(|name| {
        name == PRODUCT.as_bytes()
            || (name.starts_with(b"elastic-")
                && name.ends_with(b"-agent")
                && name.len() > "elastic-agent".len())
    })
}

/// The directory of the agent that a program below `data/elastic-agent-VERSION` belongs to.
pub(super) fn home_of(program: &HostPath) -> Option<HostPath> {
    if !program.is_absolute() {
        return None;
    }
    let parts: Vec<&[u8]> = program.components().collect();
    let at = parts.windows(2).rposition(|pair| {
        matches!(pair, [data, version] if *data == b"data" && version.starts_with(b"elastic-agent-"))
    })?;
    Some(parts.iter().take(at).fold(HostPath::root(), |home, part| home.join(part)))
}

/// Whether these are the arguments of a program that an agent runs.
pub(super) fn manages(argv: &[Vec<u8>]) -> bool {
    argv.iter().any(|argument| {
        argument.strip_prefix(b"-E").unwrap_or(argument) == b"management.enabled=true"
    })
}

/// Finds the instances.
pub(super) fn discover(scene: &Scene<'_>, found: &mut Discovery) {
    let host = scene.host;
    let package =
        Package { data: HostPath::from("/var/lib/elastic-agent/data"), ..Package::new(PRODUCT) };
    let mut candidates = Vec::new();
    for process in stack::servers(scene, &is_agent) {
        candidates.extend(running(host, process, found));
    }
    for mut candidate in stack::started_by_units(scene, &is_program) {
        stack::open_script(host, &mut candidate.instance);
        let instance = &mut candidate.instance;
        let is_there = settle(host, None, instance)
            && stack::is_directory(host, &instance.namespace, &instance.config);
        if is_there {
            candidates.push(candidate);
        }
    }
    candidates.extend(package.candidate(host, "root", &[], &mut found.gaps).map(
        |mut candidate| {
            let instance = &mut candidate.instance;
            instance.home = HostPath::from("/var/lib/elastic-agent");
            let logs = format!("--path.logs={}", package.logs);
            instance.arguments = vec![PRODUCT.as_bytes().to_vec(), logs.into_bytes()];
            candidate
        },
    ));
    for home in &scene.unpacked {
        let is_there = |name: &str| stack::exists(host, &Namespace::Host, &home.join(name));
        if is_there(PRODUCT) && is_there(SETTINGS_FILE) {
            candidates.push(stack::archive(host, home.clone(), home.clone()));
        }
    }
    stack::write_down(host, candidates, &|one| Some(describe(host, &package, one)), found);
}

fn is_agent(process: &Process) -> bool {
    let is_tool =
        process.argv.iter().skip(1).any(|word| TOOLS.iter().any(|tool| word == tool.as_bytes()));
    may_be(&process.argv) && !is_tool
}

fn running(host: &dyn Host, process: &Process, found: &mut Discovery) -> Option<Candidate> {
    let (mut candidate, trouble) = stack::running(host, PRODUCT, process, &mut found.gaps)?;
    if let Some(trouble) = trouble.filter(|_| is_in_container(&candidate.instance)) {
        let subject = format!("environment of process {} ({PRODUCT})", process.pid);
        found.gaps.push(gap(&subject, &trouble, AS_ROOT));
    }
    let executable = stack::executable(host, process.pid);
    settle(host, executable, &mut candidate.instance);
    Some(candidate)
}

/// Started by the entry point of its image, which puts everything elsewhere.
fn is_in_container(instance: &Instance) -> bool {
    instance.arguments.iter().skip(1).any(|argument| argument == b"container")
}

/// Its home and its configuration directory; `false` when they cannot be told.
fn settle(host: &dyn Host, executable: Option<HostPath>, instance: &mut Instance) -> bool {
    if is_in_container(instance) {
        let variable = |name: &str| {
            let value = instance.environment.get(name).filter(|value| !value.is_empty());
            value.map(|path| absolute(&instance.cwd, &HostPath::from(path)))
        };
        let state = variable("STATE_PATH").unwrap_or_else(|| HostPath::from(STATE));
        let config = variable("CONFIG_PATH").unwrap_or_else(|| state.clone());
        instance.home = state;
        instance.config = config;
        return true;
    }
    let option = |names: &[&str]| {
        let value = arguments::values(&instance.arguments, names).pop();
        value.map(|path| absolute(&instance.cwd, &path))
    };
    let program = instance.arguments.first().map(|program| HostPath::new(program.clone()));
    let program = program
        .filter(|program| program.as_bytes().contains(&b'/'))
        .map(|program| absolute(&instance.cwd, &program));
    let real =
        program.as_ref().and_then(|program| match host.resolve(&instance.namespace, program).at {
            Observed::Known(resolved) => Some(resolved.path),
            Observed::Absent | Observed::Unreadable(_) => None,
        });
    let home = option(&["--path.home", "-path.home"]).or_else(|| {
        let programs = [executable, real, program];
        let versioned = programs.iter().flatten().find_map(home_of);
        versioned.or_else(|| programs.iter().flatten().next().and_then(HostPath::parent))
    });
    let Some(home) = home else { return false };
    instance.config = option(&["--path.config", "-path.config"]).unwrap_or_else(|| home.clone());
    instance.home = home;
    true
}

/// The settings that are read; nothing else of a settings file is kept.
fn is_setting(key: &str) -> bool {
    matches!(
        key,
        "agent.logging.files.path"
            | "agent.download.targetDirectory"
            | "agent.download.target_directory"
    ) || (key.starts_with("outputs.") && key.ends_with(".queue.disk.path"))
}

fn describe(host: &dyn Host, package: &Package, candidate: &Candidate) -> Description {
    let instance = &candidate.instance;
    let seen_by = &instance.namespace;
    let own_path = |path: &HostPath| absolute(&instance.cwd, path);
    let named = arguments::values(&instance.arguments, &["-c", "--c", "--config"]).pop();
    // As `configFileWithDefaultOverride`.
    let file = absolute(&instance.config, &named.unwrap_or_else(|| HostPath::from(SETTINGS_FILE)));
    let is_usual = file == instance.config.join(SETTINGS_FILE);
    let mut gaps = Vec::new();
    let (settings, _) =
        stack::settings(host, seen_by, std::slice::from_ref(&file), &is_setting, &mut gaps);
    let mut values = Values::new(&settings, &[], &file);
    values.gaps = gaps;
    let lookup: Lookup<'_> =
        &|name| instance.environment.get(name.strip_prefix("env.").unwrap_or(name));

    let data = instance.home.join("data");
    // In a container the directory of data is that of the version, too.
    let homes =
        if is_in_container(instance) { vec![data.clone()] } else { versions(host, instance) };
    let mut places = Vec::new();
    let named_logs = arguments::values(&instance.arguments, &["--path.logs", "-path.logs"])
        .pop()
        .or_else(|| {
            let variable = instance.environment.get("LOGS_PATH").map(HostPath::from);
            variable.filter(|_| is_in_container(instance))
        });
    if let Some(logs) = named_logs {
        places.push((Use::Logs, own_path(&logs)));
    } else {
        places.extend(homes.iter().map(|home| (Use::Logs, home.join("logs"))));
    }
    places.extend(
        values.path("agent.logging.files.path", lookup).map(|path| (Use::Logs, own_path(&path))),
    );
    let queues: Vec<String> = settings
        .keys()
        .filter(|key| key.ends_with(".queue.disk.path"))
        .map(str::to_owned)
        .collect();
    for key in queues {
        places.extend(values.path(&key, lookup).map(|path| (Use::Queue, own_path(&path))));
    }
    let mut keystores: Vec<(HostPath, &'static str)> = Vec::new();
    let mut roles = Vec::new();
    for component in components(host, seen_by, &homes) {
        let queue = component.join("diskqueue");
        if stack::exists(host, seen_by, &queue) {
            places.push((Use::Queue, queue));
        }
        let own = host.list(seen_by, &component).unwrap_or_default();
        let own = own.into_iter().filter(|name| name.ends_with(b".keystore"));
        keystores.extend(own.map(|name| (component.join(name), "beats")));
        if component.file_name().is_some_and(|name| name.starts_with(b"fleet-server")) {
            roles.push("fleet-server".to_owned());
        }
    }
    // Elastic Defend is installed by the agent, and keeps its data by itself.
    let defend = HostPath::from("/opt/Elastic/Endpoint/state");
    if instance.container.is_none()
        && *seen_by == Namespace::Host
        && stack::may_exist(host, seen_by, &defend)
    {
        places.push((Use::Data, defend));
    }
    keystores.extend(stores(host, instance, &homes));

    let mut configurations = vec![(file.clone(), Form::Yaml)];
    let more = ["inputs.d/*.yml", "fleet.yml", "enroll.yml"].map(|name| instance.config.join(name));
    for pattern in more {
        let files = patterns::files(host, seen_by, &pattern).unwrap_or_default();
        configurations.extend(files.into_iter().map(|path| (path, Form::Yaml)));
    }
    let name = stack::name(
        host,
        instance,
        &Naming {
            product: PRODUCT,
            package: Some(package),
            config: &instance.config,
            settings: &file,
            is_usual,
            node_name: None,
        },
    );
    Description {
        product: PRODUCT.to_owned(),
        name,
        version: version(host, seen_by, &homes),
        roles,
        home: instance.home.clone(),
        config: instance.config.clone(),
        settings: file.clone(),
        data: vec![data],
        places,
        keystores,
        configurations,
        gaps: values.gaps,
        ..Description::default()
    }
}

/// The directories of its versions: the one that runs, and those that an upgrade has left.
fn versions(host: &dyn Host, instance: &Instance) -> Vec<HostPath> {
    let data = instance.home.join("data");
    let names = host.list(&instance.namespace, &data).unwrap_or_default();
    let names = names.into_iter().filter(|name| name.starts_with(b"elastic-agent-"));
    names.map(|name| data.join(name)).collect()
}

/// The directories of the programs that it runs.
fn components(host: &dyn Host, seen_by: &Namespace, homes: &[HostPath]) -> Vec<HostPath> {
    let below = |home: &HostPath| {
        let run = home.join("run");
        let names = host.list(seen_by, &run).unwrap_or_default();
        names.into_iter().map(move |name| run.join(name))
    };
    homes.iter().flat_map(below).collect()
}

/// What it encrypts by itself, and the key that lies beside it in the clear. Those that are there; where none is, those that
/// an agent has after its first start.
fn stores(
    host: &dyn Host,
    instance: &Instance,
    homes: &[HostPath],
) -> Vec<(HostPath, &'static str)> {
    let (store, vault) = ("elastic-agent-store", "elastic-agent-vault");
    let fleet = (instance.config.join("fleet.enc"), store);
    let seed = (instance.config.join("vault/.seed"), vault);
    let mut stores =
        vec![fleet.clone(), seed.clone(), (instance.config.join("vault/.seedV2"), vault)];
    stores.extend(homes.iter().map(|home| (home.join("state.enc"), store)));
    stores.retain(|(path, _)| stack::may_exist(host, &instance.namespace, path));
    if stores.is_empty() { vec![fleet, seed] } else { stores }
}

/// Of the newest of its versions, by the names of their directories and what is in them.
fn version(host: &dyn Host, seen_by: &Namespace, homes: &[HostPath]) -> Option<String> {
    homes.iter().rev().find_map(|home| {
        let bytes = host.read(seen_by, &home.join("package.version"), 4096).ok()?;
        let version = String::from_utf8_lossy(&bytes).trim().to_owned();
        version.starts_with(|first: char| first.is_ascii_digit()).then_some(version)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_program_below_an_agent_tells_its_home() {
        for (program, home) in [
            (
                "/opt/Elastic/Agent/data/elastic-agent-8.14.0-ab12/components/filebeat",
                Some("/opt/Elastic/Agent"),
            ),
            (
                "/opt/Elastic/Agent/data/elastic-agent-ab12/elastic-agent",
                Some("/opt/Elastic/Agent"),
            ),
            (
                "/data/elastic-agent-x/data/elastic-agent-y/elastic-agent",
                Some("/data/elastic-agent-x"),
            ),
            ("/usr/share/filebeat/bin/filebeat", None),
            ("data/elastic-agent-x/y", None),
        ] {
            assert_eq!(home_of(&HostPath::from(program)), home.map(HostPath::from), "{program}");
        }
    }

    #[test]
    fn tools_are_no_agents() {
        let process = |texts: &[&str]| Process {
            pid: 7,
            argv: texts.iter().map(|text| text.as_bytes().to_vec()).collect(),
        };
        assert!(is_agent(&process(&["/opt/Elastic/Agent/elastic-agent"])));
        assert!(is_agent(&process(&["elastic-agent", "--path.home", "/x", "run"])));
        assert!(is_agent(&process(&["/usr/bin/elastic-Development-agent", "run"])));
        assert!(!is_agent(&process(&["elastic-agent", "watch", "--path.config", "/x"])));
        assert!(!is_agent(&process(&["elastic-agents"])));
    }

    proptest! {
        #[test]
        fn any_arguments_are_survived(
            argv in proptest::collection::vec(
                prop_oneof![
                    proptest::collection::vec(any::<u8>(), 0..20),
                    "(/?data/elastic-agent-|-Emanagement.enabled=true|elastic-agent){0,3}"
                        .prop_map(String::into_bytes),
                ],
                0..6,
            ),
        ) {
            let _may = may_be(&argv) || manages(&argv);
            let _homes: Vec<_> =
                argv.iter().map(|path| home_of(&HostPath::new(path.clone()))).collect();
        }
    }
}
