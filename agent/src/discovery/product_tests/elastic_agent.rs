//! Elastic Agent and what it runs.

use super::*;

const AGENT: &str = "opt/Elastic/Agent";
const VERSION: &str = "data/elastic-agent-8.14.0-ab12";

/// An agent as `elastic-agent install` leaves it.
fn installed(top: &str) -> Root {
    let root = Root::new();
    install(&root, top);
    root
}

fn install(root: &Root, top: &str) {
    root.file(&format!("{top}/elastic-agent.yml"), "outputs:\n  default:\n    api_key: hunter2\n");
    root.file(&format!("{top}/fleet.enc"), "v2");
    root.file(&format!("{top}/vault/.seed"), [7; 32]);
    root.file(&format!("{top}/{VERSION}/elastic-agent"), "\x7fELF");
    root.file(&format!("{top}/{VERSION}/state.enc"), "v2");
    root.file(&format!("{top}/{VERSION}/package.version"), "8.14.0\n");
    root.file(&format!("{top}/{VERSION}/run/log-default/registry/filebeat/log.json"), "");
    root.file(&format!("{top}/{VERSION}/run/log-default/filebeat.keystore"), "v1");
    root.directory(&format!("{top}/{VERSION}/run/log-default/diskqueue"));
    root.directory(&format!("{top}/{VERSION}/run/fleet-server-default"));
    root.link(&format!("{VERSION}/elastic-agent"), &format!("{top}/elastic-agent"));
}

const UNIT: &str = "[Service]\nStartLimitInterval=5\nExecStart=/usr/bin/elastic-agent\n\
                    WorkingDirectory=/opt/Elastic/Agent\n";

fn lines(user: &str, more: &[&str]) -> Vec<String> {
    let mut lines = [
        ": config /TOP",
        ": data /TOP/data",
        ": logs /TOP/VERSION/logs",
        ": queue /TOP/VERSION/run/log-default/diskqueue",
        ": keystore beats /TOP/VERSION/run/log-default/filebeat.keystore USER",
        ": keystore elastic-agent-store /TOP/VERSION/state.enc USER",
        ": keystore elastic-agent-store /TOP/fleet.enc USER",
        ": keystore elastic-agent-vault /TOP/vault/.seed USER",
        ": Yaml /TOP/elastic-agent.yml",
    ]
    .to_vec();
    lines.extend(more);
    let fill = |line: &&str| {
        format!("elastic-agent:/TOP{line}")
            .replace("TOP", AGENT)
            .replace("VERSION", VERSION)
            .replace("USER", user)
    };
    lines.iter().map(fill).collect()
}

#[test]
fn an_installed_agent_that_runs() {
    let root = installed(AGENT);
    root.file("etc/systemd/system/elastic-agent.service", UNIT);
    root.file("usr/bin/elastic-agent", "#!/bin/sh\nexec /opt/Elastic/Agent/elastic-agent $@\n");
    let argv = ["/opt/Elastic/Agent/elastic-agent"];
    root.runs(&Runs { pid: 5, argv: &argv, environ: &[], cwd: "/" });
    root.link(&format!("/{AGENT}/{VERSION}/elastic-agent"), "proc/5/exe");
    // What it runs keeps its data below the agent's.
    root.runs(&Runs {
        pid: 6,
        argv: &[
            &format!("/{AGENT}/{VERSION}/components/filebeat"),
            "-E",
            "management.enabled=true",
            "-E",
            &format!("path.data=/{AGENT}/{VERSION}/run/log-default"),
        ],
        environ: &[],
        cwd: "/",
    });
    root.runs(&Runs {
        pid: 7,
        argv: &[
            &format!("/{AGENT}/{VERSION}/components/fleet-server"),
            "--agent-mode",
            "-E",
            "logging.level=info",
        ],
        environ: &[],
        cwd: "/",
    });
    root.runs(&Runs { pid: 8, argv: &[argv[0], "watch"], environ: &[], cwd: "/" });
    let more = [
        " elastic-agent running 8.14.0 /TOP",
        ": Unit /etc/systemd/system/elastic-agent.service",
        ": Environment /proc/5/environ",
        ": Arguments /proc/5/cmdline",
    ];
    let found = root.discover();
    assert_listed(&found, &lines("root", &more));
    assert_eq!(found.services[0].roles, ["fleet-server"]);
}

#[test]
fn an_installed_agent_that_does_not_run() {
    let root = installed(AGENT);
    root.file("etc/systemd/system/elastic-agent.service", UNIT);
    root.file("usr/bin/elastic-agent", "#!/bin/sh\nexec /opt/Elastic/Agent/elastic-agent $@\n");
    let more = [
        " elastic-agent installed 8.14.0 /TOP",
        ": Unit /etc/systemd/system/elastic-agent.service",
    ];
    assert_listed(&root.discover(), &lines("root", &more));
}

#[test]
fn an_agent_without_a_unit_is_found_where_it_is_installed() {
    let more = [" elastic-agent installed 8.14.0 /TOP"];
    assert_listed(&installed(AGENT).discover(), &lines("-", &more));
}

#[test]
fn agents_of_two_namespaces_are_two() {
    let root = installed(AGENT);
    install(&root, "opt/Elastic/Agent-Development");
    let found = root.discover();
    let names: Vec<&str> = found.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(
        names,
        ["elastic-agent:/opt/Elastic/Agent", "elastic-agent:/opt/Elastic/Agent-Development"]
    );
}

/// A deb as it is installed.
fn package() -> Root {
    let root = Root::new();
    root.file("etc/elastic-agent/elastic-agent.yml", "agent.logging.files.path: /srv/log\n");
    root.file("etc/elastic-agent/inputs.d/a.yml", "");
    root.file("etc/elastic-agent/fleet.yml", "");
    root.file(&format!("var/lib/elastic-agent/{VERSION}/package.version"), "8.14.0");
    root.link(
        &format!("/var/lib/elastic-agent/{VERSION}/elastic-agent"),
        "usr/share/elastic-agent/bin/elastic-agent",
    );
    root.file(
        "usr/bin/elastic-agent",
        "#!/usr/bin/env bash\n\numask 0027\nexec /usr/share/elastic-agent/bin/elastic-agent \\\n  \
         --path.home /var/lib/elastic-agent \\\n  --path.config /etc/elastic-agent \\\n  \
         --path.logs /var/log/elastic-agent \\\n  \"$@\"\n",
    );
    root.file(
        "lib/systemd/system/elastic-agent.service",
        "[Service]\nUMask=0027\n\
         Environment=\"BEAT_CONFIG_OPTS=-c /etc/elastic-agent/elastic-agent.yml\"\n\
         ExecStart=/usr/bin/elastic-agent run --environment systemd $BEAT_CONFIG_OPTS\n",
    );
    root
}

fn package_lines(user: &str, more: &[&str]) -> Vec<String> {
    let mut lines = [
        "elastic-agent: config /etc/elastic-agent",
        "elastic-agent: data /var/lib/elastic-agent/data",
        "elastic-agent: logs /var/log/elastic-agent",
        "elastic-agent: logs /srv/log",
        // None is there yet.
        "elastic-agent: keystore elastic-agent-store /etc/elastic-agent/fleet.enc USER",
        "elastic-agent: keystore elastic-agent-vault /etc/elastic-agent/vault/.seed USER",
        "elastic-agent: Yaml /etc/elastic-agent/elastic-agent.yml",
        "elastic-agent: Yaml /etc/elastic-agent/inputs.d/a.yml",
        "elastic-agent: Yaml /etc/elastic-agent/fleet.yml",
        "elastic-agent: Directory /etc/elastic-agent",
        "elastic-agent: Unit /lib/systemd/system/elastic-agent.service",
    ]
    .to_vec();
    lines.extend(more);
    lines.iter().map(|line| line.replace("USER", user)).collect()
}

#[test]
fn a_deb_that_runs() {
    let root = package();
    root.runs(&Runs {
        pid: 5,
        argv: &[
            "/usr/share/elastic-agent/bin/elastic-agent",
            "--path.home",
            "/var/lib/elastic-agent",
            "--path.config",
            "/etc/elastic-agent",
            "--path.logs",
            "/var/log/elastic-agent",
            "run",
            "--environment",
            "systemd",
            "-c",
            "/etc/elastic-agent/elastic-agent.yml",
        ],
        environ: &[],
        cwd: "/",
    });
    let more = [
        "elastic-agent elastic-agent running 8.14.0 /etc/elastic-agent",
        "elastic-agent: Environment /proc/5/environ",
        "elastic-agent: Arguments /proc/5/cmdline",
    ];
    assert_listed(&root.discover(), &package_lines("root", &more));
}

#[test]
fn a_deb_that_does_not_run() {
    let more = ["elastic-agent elastic-agent installed 8.14.0 /etc/elastic-agent"];
    assert_listed(&package().discover(), &package_lines("root", &more));
}

#[test]
fn a_container_keeps_its_state_where_its_environment_says() {
    for (environ, state) in
        [(&[][..], "/usr/share/elastic-agent/state"), (&["STATE_PATH=/state"], "/state")]
    {
        let root = Root::new();
        root.runs(&Runs {
            pid: 5,
            argv: &["elastic-agent", "container"],
            environ,
            cwd: "/usr/share/elastic-agent",
        });
        let inside = state.trim_start_matches('/');
        root.contains(
            5,
            &[
                (&format!("{inside}/elastic-agent.yml"), ""),
                (&format!("{inside}/vault/.seedV2"), ""),
                (&format!("{inside}/data/state.enc"), ""),
                (&format!("{inside}/data/run/log-default/filebeat.keystore"), ""),
                ("etc/hostname", "a1\n"),
            ],
        );
        let lines = [
            " elastic-agent running - STATE",
            ": config STATE in 5",
            ": data STATE/data in 5",
            ": logs STATE/data/logs in 5",
            ": keystore beats STATE/data/run/log-default/filebeat.keystore 0 in 5",
            ": keystore elastic-agent-store STATE/data/state.enc 0 in 5",
            ": keystore elastic-agent-vault STATE/vault/.seedV2 0 in 5",
            ": Yaml STATE/elastic-agent.yml in 5",
            ": Environment /proc/5/environ",
            ": Arguments /proc/5/cmdline",
        ]
        .map(|line| format!("elastic-agent:a1{line}").replace("STATE", state));
        assert_listed(&root.discover(), &lines);
    }
}

#[test]
fn settings_that_cannot_be_read_are_a_gap() {
    let root = package();
    root.file("etc/elastic-agent/elastic-agent.yml", "a: [\n");
    let lines = listed(&root.discover_with(&["line "]));
    assert!(lines.contains(&"elastic-agent: data /var/lib/elastic-agent/data".to_owned()));
}

#[test]
fn elastic_defend_is_part_of_it() {
    let root = installed(AGENT);
    root.directory("opt/Elastic/Endpoint/state");
    let lines = listed(&root.discover());
    let expected = format!("elastic-agent:/{AGENT}: data /opt/Elastic/Endpoint/state");
    assert!(lines.contains(&expected), "{lines:#?}");
}
