//! The Beats and APM Server.

use super::*;

/// A deb or an rpm of one of them as it is installed.
fn package(name: &str) -> Root {
    let root = Root::new();
    root.file(
        &format!("etc/{name}/{name}.yml"),
        format!(
            "{name}.config.modules:\n  path: ${{path.config}}/modules.d/*.yml\n  reload.enabled: false\n\
             output.elasticsearch:\n  hosts: [\"es:9200\"]\n  password: hunter2\n"
        ),
    );
    root.file(&format!("etc/{name}/modules.d/nginx.yml"), "");
    root.file(&format!("etc/{name}/modules.d/mysql.yml.disabled"), "");
    root.file(&format!("usr/share/{name}/bin/{name}"), "\x7fELF");
    root.file(&format!("usr/share/{name}/README.md"), "# Welcome to Somebeat 8.15.0\n\nText.\n");
    root.file(
        &format!("lib/systemd/system/{name}.service"),
        format!(
            "[Service]\nEnvironment=\"GODEBUG='madvdontneed=1'\"\nEnvironment=\"BEAT_LOG_OPTS=\"\n\
             Environment=\"BEAT_CONFIG_OPTS=-c /etc/{name}/{name}.yml\"\n\
             Environment=\"BEAT_PATH_OPTS=--path.home /usr/share/{name} --path.config /etc/{name} --path.data /var/lib/{name} --path.logs /var/log/{name}\"\n\
             ExecStart=/usr/share/{name}/bin/{name} --environment systemd $BEAT_LOG_OPTS $BEAT_CONFIG_OPTS $BEAT_PATH_OPTS\n"
        ),
    );
    root
}

fn argv(name: &str) -> Vec<String> {
    [
        &format!("/usr/share/{name}/bin/{name}"),
        "--environment",
        "systemd",
        "-c",
        &format!("/etc/{name}/{name}.yml"),
        "--path.home",
        &format!("/usr/share/{name}"),
        "--path.config",
        &format!("/etc/{name}"),
        "--path.data",
        &format!("/var/lib/{name}"),
        "--path.logs",
        &format!("/var/log/{name}"),
    ]
    .map(str::to_owned)
    .to_vec()
}

/// What is found of it whether it runs or not.
fn lines(name: &str, user: &str, more: &[&str]) -> Vec<String> {
    let mut lines = [
        ": config /etc/NAME",
        ": data /var/lib/NAME",
        ": logs /var/log/NAME",
        ": keystore beats /var/lib/NAME/NAME.keystore USER",
        ": Yaml /etc/NAME/NAME.yml",
        ": Yaml /etc/NAME/modules.d/nginx.yml",
        ": Directory /etc/NAME",
        ": Unit /lib/systemd/system/NAME.service",
    ]
    .to_vec();
    lines.extend(more);
    lines
        .iter()
        .map(|line| format!("NAME{line}").replace("NAME", name).replace("USER", user))
        .collect()
}

const ALL: [&str; 9] = [
    "filebeat",
    "metricbeat",
    "packetbeat",
    "heartbeat",
    "auditbeat",
    "osquerybeat",
    "journalbeat",
    "apm-server",
    "dockbeat",
];

#[test]
fn packages_that_run() {
    for name in ALL {
        let root = package(name);
        let argv = argv(name);
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        root.runs(&Runs { pid: 9, argv: &argv, environ: &["SECRET=hunter2"], cwd: "/" });
        let more = [
            " NAME running 8.15.0 /etc/NAME",
            ": Environment /proc/9/environ",
            ": Arguments /proc/9/cmdline",
        ];
        assert_listed(&root.discover(), &lines(name, "root", &more));
    }
}

#[test]
fn packages_that_do_not_run() {
    for name in ALL {
        let more = [" NAME installed 8.15.0 /etc/NAME"];
        assert_listed(&package(name).discover(), &lines(name, "root", &more));
    }
}

#[test]
fn the_script_of_a_package_gives_the_paths() {
    let root = package("filebeat");
    root.file(
        "usr/bin/filebeat",
        "#!/usr/bin/env bash\n\n# Script.\n\nexec /usr/share/filebeat/bin/filebeat \\\n  --path.home /usr/share/filebeat \\\n  \
         --path.config /etc/filebeat \\\n  --path.data /srv/fb \\\n  --path.logs /var/log/filebeat \\\n  \"$@\"\n",
    );
    root.file("etc/filebeat/second.yml", "queue.disk:\n  max_size: 10GB\n");
    root.file(
        "etc/systemd/system/filebeat-b.service",
        "[Service]\nUser=other\nExecStart=/usr/bin/filebeat -c second.yml\n",
    );
    let name = "filebeat:/etc/filebeat/second.yml";
    assert_listed_of(
        name,
        &root.discover(),
        &[
            " filebeat installed 8.15.0 /etc/filebeat",
            ": config /etc/filebeat",
            ": data /srv/fb",
            ": queue /srv/fb/diskqueue",
            ": logs /var/log/filebeat",
            ": keystore beats /srv/fb/filebeat.keystore other",
            ": Yaml /etc/filebeat/second.yml",
            ": Yaml /etc/filebeat/modules.d/nginx.yml",
            ": Directory /etc/filebeat",
            ": Unit /etc/systemd/system/filebeat-b.service",
        ]
        .map(|line| format!("{name}{line}")),
    );
}

#[test]
fn an_archive_that_runs_has_its_paths_from_its_home() {
    let root = Root::new();
    root.file(
        "srv/filebeat-8.1/filebeat.yml",
        "path.data: old\npath.logs: ${path.home}/l\nfilebeat.registry.path: /reg\nname: x\n\
         logging.files.path: /more\noutput.file.path: /events\nkeystore.path: /keys/fb.keystore\n\
         queue:\n  disk:\n    path: ${Q:/queue}\n    max_size: 1GB\n",
    );
    root.file("srv/filebeat-8.1/filebeat", "");
    root.file("srv/filebeat-8.1/filebeat.yml.bak", "");
    root.file("srv/filebeat-8.1/client.key", "");
    root.file("srv/filebeat-8.1/certs/ca.crt", "");
    root.file("srv/filebeat-8.1/module/nginx/error/manifest.yml", "");
    root.runs(&Runs {
        pid: 9,
        argv: &["./filebeat", "-e", "-E", "path.data=new"],
        environ: &["Q=/q"],
        cwd: "/srv/filebeat-8.1",
    });
    let name = "filebeat:/srv/filebeat-8.1";
    let lines = [
        " filebeat running - /srv/filebeat-8.1",
        ": config /srv/filebeat-8.1",
        ": data /srv/filebeat-8.1/new",
        ": data /reg",
        ": data /events",
        ": logs /srv/filebeat-8.1/l",
        ": logs /more",
        ": queue /q",
        ": keystore beats /keys/fb.keystore root",
        ": Yaml /srv/filebeat-8.1/filebeat.yml",
        // Of a home that is full of programs what may hold secrets.
        ": Directory /srv/filebeat-8.1/certs",
        ": Other /srv/filebeat-8.1/client.key",
        ": Yaml /srv/filebeat-8.1/filebeat.yml.bak",
        ": Environment /proc/9/environ",
        ": Arguments /proc/9/cmdline",
        ": path.data Files /srv/filebeat-8.1/old",
        ": path.data Process /srv/filebeat-8.1/new",
    ]
    .map(|line| format!("{name}{line}"));
    assert_listed(&root.discover(), &lines);
}

#[test]
fn an_archive_that_does_not_run_is_found_where_archives_are_unpacked() {
    let root = Root::new();
    root.file("opt/metricbeat-8.1/metricbeat.yml", "");
    root.file("opt/metricbeat-8.1/metricbeat", "");
    let name = "metricbeat:/opt/metricbeat-8.1";
    let lines = [
        " metricbeat installed - /opt/metricbeat-8.1",
        ": config /opt/metricbeat-8.1",
        ": data /opt/metricbeat-8.1/data",
        ": logs /opt/metricbeat-8.1/logs",
        ": keystore beats /opt/metricbeat-8.1/data/metricbeat.keystore -",
        ": Yaml /opt/metricbeat-8.1/metricbeat.yml",
    ]
    .map(|line| format!("{name}{line}"));
    assert_listed(&root.discover(), &lines);
}

#[test]
fn a_container_is_seen_with_its_own_eyes() {
    let root = Root::new();
    root.runs(&Runs {
        pid: 9,
        argv: &["filebeat", "-e", "-strict.perms=false"],
        environ: &[],
        cwd: "/usr/share/filebeat",
    });
    root.contains(
        9,
        &[
            ("usr/share/filebeat/filebeat.yml", "output.elasticsearch.queue.disk.max_size: 1GB\n"),
            ("etc/hostname", "node-7\n"),
        ],
    );
    let lines = [
        " filebeat running - /usr/share/filebeat",
        ": config /usr/share/filebeat in 9",
        ": data /usr/share/filebeat/data in 9",
        ": queue /usr/share/filebeat/data/diskqueue in 9",
        ": logs /usr/share/filebeat/logs in 9",
        ": keystore beats /usr/share/filebeat/data/filebeat.keystore 0 in 9",
        ": Yaml /usr/share/filebeat/filebeat.yml in 9",
        ": Environment /proc/9/environ",
        ": Arguments /proc/9/cmdline",
    ]
    .map(|line| format!("filebeat:node-7{line}"));
    assert_listed(&root.discover(), &lines);
}

#[test]
fn a_queue_that_is_switched_off_or_in_memory_is_none() {
    for settings in
        ["queue.disk.enabled: false\nqueue.disk.max_size: 1GB\n", "queue.mem.events: 1\n"]
    {
        let root = package("filebeat");
        root.file("etc/filebeat/filebeat.yml", settings);
        let found = root.discover();
        assert!(found.places.iter().all(|place| place.usage != Use::Queue), "{settings}");
    }
}

#[test]
fn the_last_of_several_settings_files_counts() {
    let root = package("filebeat");
    root.file("etc/filebeat/more.yml", "queue.disk.max_size: 1GB\n");
    let mut argv = argv("filebeat");
    argv.extend(["-c", "more.yml"].map(str::to_owned));
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    root.runs(&Runs { pid: 9, argv: &argv, environ: &[], cwd: "/" });
    let found = listed(&root.discover());
    let name = "filebeat:/etc/filebeat/more.yml";
    for line in [
        "queue /var/lib/filebeat/diskqueue",
        "Yaml /etc/filebeat/filebeat.yml",
        "Yaml /etc/filebeat/more.yml",
    ] {
        assert!(found.contains(&format!("{name}: {line}")), "{line}: {found:#?}");
    }
}

#[test]
fn what_is_relative_to_an_unknown_directory_is_nowhere_else() {
    let root = Root::new();
    root.runs(&Runs { pid: 9, argv: &["./filebeat", "-e"], environ: &[], cwd: "/gone" });
    root.remove("proc/9/cwd");
    let lines = listed(&root.discover());
    for line in ["config /proc/9/cwd", "data /proc/9/cwd/data", "logs /proc/9/cwd/logs"] {
        assert!(lines.contains(&format!("filebeat:/proc/9/cwd: {line}")), "{lines:#?}");
    }
}

#[test]
fn settings_that_cannot_be_read_are_a_gap_and_the_package_is_assumed() {
    for (contents, part) in [
        (b"a: [\n".to_vec(), "line "),
        (b"a: \xff\n".to_vec(), "line 1: not UTF-8"),
        (vec![b'#'; 2 << 20], ""),
    ] {
        let root = package("filebeat");
        root.file("etc/filebeat/filebeat.yml", &contents);
        root.runs(&Runs {
            pid: 9,
            argv: &["filebeat", "--path.config", "/etc/filebeat"],
            environ: &[],
            cwd: "/",
        });
        let found = root.discover_with(&[part]);
        assert_eq!(assumed(&found), ["data /var/lib/filebeat", "logs /var/log/filebeat"]);
        let lines = listed(&found);
        let data: Vec<&String> = lines.iter().filter(|line| line.contains(": data ")).collect();
        assert_eq!(data, ["filebeat: data /var/lib/filebeat"]);
    }
}

#[test]
fn below_a_home_that_is_not_known_nothing_is() {
    let root = Root::new();
    root.file("srv/fb/filebeat.yml", "path.home: ${NONE}\npath.logs: /l\n");
    root.runs(&Runs { pid: 9, argv: &["/opt/fb/filebeat"], environ: &[], cwd: "/srv/fb" });
    let found = root.discover_with(&["${NONE}"]);
    assert_eq!(assumed(&found), ["data /opt/fb/data"]);
}

#[test]
fn what_elastic_agent_runs_and_tools_are_no_instances() {
    let root = Root::new();
    let component = "/opt/Elastic/Agent/data/elastic-agent-8.14.0-ab12/components/filebeat";
    for (pid, argv) in [
        (5, &[component, "-E", "management.enabled=true"][..]),
        (6, &["filebeat", "-E", "management.enabled=true", "-E", "path.data=/x"]),
        (7, &["filebeat", "setup"]),
        (8, &["/usr/lib/heartbeat/heartbeat", "-d"]),
        (9, &["python3", "/srv/celery", "beat"]),
        (10, &["/usr/local/bin/celerybeat", "start"]),
    ] {
        root.runs(&Runs { pid, argv, environ: &[], cwd: "/" });
    }
    assert_listed(&root.discover(), &[""; 0]);
}
