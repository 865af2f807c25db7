//! Instances that units would start.

use super::{Candidate, Origin};
use crate::discovery::Scene;
use crate::discovery::instance::{Instance, absolute, account_named};
use crate::discovery::process::Environment;
use crate::discovery::unit::Unit;
use crate::host::Host;
use crate::path::HostPath;
use crate::snapshot::Namespace;
use crate::variables::{self, expanded};

/// What the units start of the programs that `is_program` accepts. The program is the first argument.
pub(in crate::discovery) fn started_by_units(
    scene: &Scene<'_>,
    is_program: &dyn Fn(&HostPath) -> bool,
) -> Vec<Candidate> {
    // A template starts nothing by itself.
    let units = scene.units.iter().filter(|unit| !unit.name.ends_with("@.service"));
    units.flat_map(|unit| started_by(scene.host, unit, is_program)).collect()
}

fn started_by(
    host: &dyn Host,
    unit: &Unit,
    is_program: &dyn Fn(&HostPath) -> bool,
) -> Vec<Candidate> {
    let pairs = unit.environment(host);
    let environment = || {
        let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Environment::from_pairs(pairs)
    };
    let variables = environment();
    let absolute_of = |path: &str| HostPath::from(path.trim_start_matches('-'));
    let directory =
        unit.last("WorkingDirectory").map(|path| absolute_of(&path)).filter(HostPath::is_absolute);
    let user = unit.last("User").unwrap_or_else(|| "root".to_owned());
    let outputs = outputs(unit);
    let mut candidates = Vec::new();
    for command in unit.commands() {
        let words = command_words(&command, &variables, is_program);
        let Some(at) = words.iter().position(|word| is_path_of(word, is_program)) else { continue };
        let (before, arguments) = words.split_at(at);
        // `sh -c "cd /opt/kibana && exec bin/kibana"`.
        let changed = before.iter().position(|word| word == "cd").and_then(|cd| before.get(cd + 1));
        candidates.push(Candidate {
            instance: Instance {
                pid: None,
                namespace: Namespace::Host,
                container: None,
                run_as: account_named(host, &user, unit.last("Group").as_deref()),
                home: HostPath::root(),
                config: HostPath::root(),
                // `systemd.exec(5)`: the root directory, unless it is set.
                cwd: changed
                    .map(|path| HostPath::from(path.as_str()))
                    .or_else(|| directory.clone())
                    .unwrap_or_else(HostPath::root),
                environment: environment(),
                arguments: arguments.iter().map(|word| word.clone().into_bytes()).collect(),
                is_below_launcher: false,
                unit_files: unit.files.clone(),
                environment_files: unit.environment_files(host),
                doubt: None,
                cwd_doubt: None,
            },
            origin: Origin::Unit,
            outputs: outputs.clone(),
        });
    }
    candidates
}

/// Where systemd writes what the service prints.
pub(in crate::discovery) fn outputs(unit: &Unit) -> Vec<HostPath> {
    let directory = |key: &str| {
        let output = unit.last(key)?;
        let (kind, path) = output.split_once(':')?;
        matches!(kind, "file" | "append" | "truncate").then(|| HostPath::from(path).parent())?
    };
    ["StandardOutput", "StandardError"].into_iter().filter_map(directory).collect()
}

/// The words of a command as `systemd.service(5)` expands them, and those of a shell's command among them.
fn command_words(
    command: &[String],
    variables: &Environment,
    is_program: &dyn Fn(&HostPath) -> bool,
) -> Vec<String> {
    let lookup = |name: &str| variables.get(name);
    let mut words = Vec::new();
    for word in command {
        let name = word.strip_prefix('$').filter(|name| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        });
        if let Some(name) = name {
            // A variable that stands alone is split into words.
            words.extend(variables::words(&lookup(name).unwrap_or_default()));
            continue;
        }
        let word = expanded(word, &lookup);
        let inner = variables::words(&word);
        if inner.len() > 1 && inner.iter().any(|word| is_path_of(word, is_program)) {
            words.extend(inner);
        } else {
            words.push(word);
        }
    }
    words
}

fn is_path_of(word: &str, is_program: &dyn Fn(&HostPath) -> bool) -> bool {
    word.contains('/') && is_program(&HostPath::from(word))
}

/// Replaces the script that a unit starts by the program that the script hands over to, with what it gives it.
///
/// Packages have such a script of two lines in `/usr/bin`: `exec PROGRAM OPTIONS… "$@"`.
pub(in crate::discovery) fn open_script(host: &dyn Host, instance: &mut Instance) {
    const LENGTH: usize = 16 << 10;
    let Some(script) = instance.arguments.first().map(|path| HostPath::new(path.clone())) else {
        return;
    };
    let start = host.read_start(&Namespace::Host, &absolute(&instance.cwd, &script), LENGTH);
    let Some(text) = start.ok().and_then(|bytes| String::from_utf8(bytes).ok()) else { return };
    if !text.starts_with("#!") {
        return;
    }
    let text = text.replace("\\\n", " ");
    let Some(command) = text.lines().find_map(|line| line.trim().strip_prefix("exec ")) else {
        return;
    };
    let words = variables::words(command);
    let given = words.iter().take_while(|word| !matches!(word.as_str(), "$@" | "$*"));
    let mut arguments: Vec<Vec<u8>> = given.map(|word| word.clone().into_bytes()).collect();
    if arguments.first().is_some_and(|program| program.starts_with(b"/")) {
        arguments.extend(instance.arguments.drain(1..));
        instance.arguments = arguments;
    }
}
