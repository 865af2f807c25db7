//! The units: what systemd itself says of them, and what must not stand in them.

use std::path::Path;
use std::process::Command;

use atrest_tests::vm::built;

use crate::generated::{read, repository};

const AGENT: &str = "packaging/systemd/atrest-agent.service";
const OBSERVER: &str = "packaging/systemd/atrest-observer.service";
const SERVER: &str = "packaging/systemd/atrest-server.service";

/// How exposed a unit may be, as `systemd-analyze security` counts it. `docs/install.md` has the same numbers.
const BOUNDS: [(&str, f64); 3] = [(AGENT, 1.4), (OBSERVER, 1.9), (SERVER, 1.4)];

/// Calls with which the halves of the agent bound themselves.
const BOUNDING: [&str; 5] =
    ["capset", "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "seccomp"];

fn directives(unit: &str) -> Vec<(String, String)> {
    let text = read(unit);
    let lines = text.lines().filter(|line| !line.starts_with(['#', '[']));
    lines
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn value<'a>(directives: &'a [(String, String)], key: &str) -> &'a str {
    directives
        .iter()
        .find(|(known, _)| known == key)
        .map(|(_, value)| value.as_str())
        .unwrap_or_default()
}

fn values<'a>(directives: &'a [(String, String)], key: &str) -> Vec<&'a str> {
    let of_key = directives.iter().filter(|(known, _)| known == key);
    of_key.flat_map(|(_, value)| value.split(' ')).collect()
}

#[test]
fn the_half_that_talks_has_no_capability_and_no_device() {
    let unit = directives(AGENT);
    assert_eq!(value(&unit, "CapabilityBoundingSet"), "");
    assert_eq!(value(&unit, "AmbientCapabilities"), "");
    assert_eq!(value(&unit, "DevicePolicy"), "closed");
    assert!(values(&unit, "DeviceAllow").is_empty());
    assert_eq!(value(&unit, "PrivateDevices"), "yes");
    for account in ["User", "Group"] {
        assert_eq!(value(&unit, account), "atrest-agent");
    }
}

#[test]
fn the_half_that_looks_has_no_network_and_writes_to_no_disk() {
    let unit = directives(OBSERVER);
    assert_eq!(value(&unit, "PrivateNetwork"), "yes");
    assert_eq!(values(&unit, "RestrictAddressFamilies"), ["AF_UNIX", "AF_NETLINK"]);
    assert_ne!(value(&unit, "User"), "");
    assert_ne!(value(&unit, "User"), value(&directives(AGENT), "User"));
    let devices: Vec<_> = unit.iter().filter(|(key, _)| key == "DeviceAllow").collect();
    for (_, device) in devices {
        assert!(device.ends_with(" r") || device == "/dev/zfs rw", "{device}");
    }
    let given = values(&unit, "CapabilityBoundingSet");
    assert_eq!(given, values(&unit, "AmbientCapabilities"), "an account of its own has no other");
    for writes in ["CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_CHOWN", "CAP_SYS_RAWIO", "CAP_SETUID"] {
        assert!(!given.contains(&writes), "{writes}");
    }
}

#[test]
fn the_halves_meet_at_one_socket() {
    let (talker, looker) = (directives(AGENT), directives(OBSERVER));
    let socket = atrest_agent::observer::SOCKET;
    assert!(value(&talker, "ExecStart").ends_with(&format!(" run --observer {socket}")));
    assert!(value(&looker, "ExecStart").ends_with("atrest-agent observe"), "by default there");
    let directory = Path::new("/run").join(value(&looker, "RuntimeDirectory"));
    assert_eq!(Path::new(socket).parent(), Some(directory.as_path()));
    assert_eq!(value(&looker, "Group"), value(&talker, "Group"));
    for order in ["Wants", "After"] {
        assert!(values(&talker, order).contains(&"atrest-observer.service"), "{order}");
    }
}

#[test]
fn the_halves_can_bound_themselves() {
    for unit in [AGENT, OBSERVER] {
        let directives = directives(unit);
        let calls = values(&directives, "SystemCallFilter");
        for call in BOUNDING {
            assert!(calls.contains(&call), "{unit}: {call}");
        }
    }
}

#[test]
fn each_capability_has_its_reason() {
    let unit = read(OBSERVER);
    for capability in values(&directives(OBSERVER), "CapabilityBoundingSet") {
        let explained = unit.lines().any(|line| {
            line.starts_with("# CAP_") && line.contains(capability) && line.contains(": ")
        });
        assert!(explained, "{capability} is given without a word why");
    }
}

#[test]
fn every_account_is_made_when_the_package_is_installed() {
    for (unit, accounts) in [(AGENT, "agent"), (OBSERVER, "agent"), (SERVER, "server")] {
        let user = value(&directives(unit), "User").to_owned();
        let accounts = read(&format!("packaging/sysusers.d/atrest-{accounts}.conf"));
        assert!(accounts.lines().any(|line| line.starts_with(&format!("u {user} "))), "{user}");
    }
}

#[test]
fn the_server_has_no_capability() {
    assert_eq!(value(&directives(SERVER), "CapabilityBoundingSet"), "");
}

#[test]
fn state_is_where_the_configuration_says() {
    for (unit, reference) in [(AGENT, "packaging/agent.toml"), (SERVER, "packaging/server.toml")] {
        let unit = directives(unit);
        let state = format!("#state_dir = \"/var/lib/{}\"", value(&unit, "StateDirectory"));
        assert!(read(reference).contains(&state), "{state}");
        assert_eq!(value(&unit, "StateDirectoryMode"), "0700");
    }
}

/// Whether this machine has systemd's tools. A machine without says so: these tests then hold nothing.
fn analyze() -> Option<Command> {
    let tool = "/usr/bin/systemd-analyze";
    if !Path::new(tool).exists() {
        println!("skipped: there is no {tool}");
        return None;
    }
    let mut command = Command::new(tool);
    command.env("SYSTEMD_COLORS", "0").env("LC_ALL", "C");
    Some(command)
}

#[test]
fn systemd_finds_no_fault_with_the_units() {
    let dir = tempfile::tempdir().unwrap();
    for (path, _) in BOUNDS {
        let Some(mut analyze) = analyze() else { return };
        // The programs are where this test has them, and the pages not installed.
        let program = if path == SERVER { "atrest-server" } else { "atrest-agent" };
        let built = built(program).unwrap();
        let unit = read(path)
            .replace(&format!("/usr/bin/{program}"), built.to_str().unwrap())
            .lines()
            .filter(|line| !line.starts_with("Documentation="))
            .map(|line| format!("{line}\n"))
            .collect::<String>();
        let file = dir.path().join(Path::new(path).file_name().unwrap());
        std::fs::write(&file, unit).unwrap();
        let output = analyze.args(["verify", "--recursive-errors=no"]).arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        // Accounts are made when the package is installed.
        assert!(output.status.success() && !said.contains(program), "{said}");
    }
}

#[test]
fn the_documents_say_how_exposed_each_unit_is() {
    let install = read("docs/install.md");
    for (path, bound) in BOUNDS {
        let unit = Path::new(path).file_name().unwrap().to_str().unwrap();
        let line = install.lines().find(|line| line.contains(&format!("| `{unit}` |")));
        assert!(
            line.is_some_and(|line| line.ends_with(&format!("| {bound:.1} |"))),
            "{unit}: {line:?}"
        );
    }
}

#[test]
fn the_units_are_no_more_exposed_than_they_were() {
    for (path, bound) in BOUNDS {
        let Some(mut analyze) = analyze() else { return };
        let threshold = format!("{:.0}", bound * 10.0);
        let output = analyze
            .args(["security", "--offline=true", "--no-pager", "--threshold", &threshold])
            .arg(repository().join(path))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let overall = text.lines().last().unwrap_or_default();
        println!("{overall}");
        assert!(output.status.success(), "{path}: more than {bound}\n{text}");
        assert!(overall.contains("Overall exposure level"), "{text}");
    }
}
