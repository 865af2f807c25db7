//! The units: what systemd itself says of them, and what must not stand in them.

use std::path::Path;
use std::process::Command;

use atrest_tests::vm::built;

use crate::generated::{read, repository};

const AGENT: &str = "packaging/systemd/atrest-agent.service";
const SERVER: &str = "packaging/systemd/atrest-server.service";

/// How exposed a unit may be, as `systemd-analyze security` counts it. The agent's is what its looks leave possible.
const BOUNDS: [(&str, f64); 2] = [(AGENT, 4.7), (SERVER, 1.4)];

/// Directives that give a service mounts of its own (`exec_needs_mount_namespace` of systemd).
const OWN_MOUNTS: [&str; 27] = [
    "BindPaths",
    "BindReadOnlyPaths",
    "DynamicUser",
    "ExecPaths",
    "ExtensionDirectories",
    "ExtensionImages",
    "InaccessiblePaths",
    "MountAPIVFS",
    "MountImages",
    "NoExecPaths",
    "PrivateDevices",
    "PrivateIPC",
    "PrivateMounts",
    "PrivateTmp",
    "PrivateUsers",
    "ProcSubset",
    "ProtectControlGroups",
    "ProtectHome",
    "ProtectKernelLogs",
    "ProtectKernelModules",
    "ProtectKernelTunables",
    "ProtectProc",
    "ProtectSystem",
    "ReadOnlyPaths",
    "ReadWritePaths",
    "RootDirectory",
    "TemporaryFileSystem",
];

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

#[test]
fn the_agent_has_the_mounts_of_the_host() {
    for (key, _) in directives(AGENT) {
        assert!(
            !OWN_MOUNTS.contains(&key.as_str()),
            "{key}= hides mounts of the host from the agent"
        );
    }
}

#[test]
fn each_capability_of_the_agent_has_its_reason() {
    let unit = read(AGENT);
    for capability in value(&directives(AGENT), "CapabilityBoundingSet").split(' ') {
        let explained = unit.lines().any(|line| {
            line.starts_with("# CAP_") && line.contains(capability) && line.contains(": ")
        });
        assert!(explained, "{capability} is given without a word why");
    }
}

#[test]
fn the_server_has_no_capability_and_its_own_account() {
    let unit = directives(SERVER);
    assert_eq!(value(&unit, "CapabilityBoundingSet"), "");
    let user = value(&unit, "User");
    let account = read("packaging/sysusers.d/atrest-server.conf");
    assert!(account.lines().any(|line| line.starts_with(&format!("u {user} "))), "{user}");
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
        let program = Path::new(path).file_stem().unwrap().to_str().unwrap();
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
