//! Kibana and OpenSearch Dashboards.

use super::*;

const UNIT: &str = "[Service]\nUser=kibana\nGroup=kibana\nEnvironment=KBN_HOME=/usr/share/kibana\n\
     Environment=KBN_PATH_CONF=/etc/kibana\nEnvironmentFile=-/etc/default/kibana\n\
     EnvironmentFile=-/etc/sysconfig/kibana\nExecStart=/usr/share/kibana/bin/kibana\n\
     WorkingDirectory=/usr/share/kibana\n";
const UNIT_PATH: &str = "usr/lib/systemd/system/kibana.service";
const SETTINGS: &str = "server.host: 0.0.0.0\nelasticsearch.password: hunter2\n\
     logging:\n  appenders:\n    file:\n      type: file\n      fileName: /var/log/kibana/kibana.log\n\
     \n  root:\n    appenders: [default, file]\npid.file: /run/kibana/kibana.pid\n";
const ARGV: &[&str] =
    &["/usr/share/kibana/bin/../node/glibc-217/bin/node", "/usr/share/kibana/bin/../src/cli/dist"];

/// A deb as it is installed.
fn package() -> Root {
    let root = Root::new();
    root.file("etc/kibana/kibana.yml", SETTINGS);
    root.file(
        "etc/default/kibana",
        "KBN_PATH_CONF=\"/etc/kibana\"\nELASTICSEARCH_PASSWORD=hunter2\n",
    );
    root.file("usr/share/kibana/bin/kibana", "");
    root.file("usr/share/kibana/package.json", "{\"name\": \"kibana\", \"version\": \"8.15.2\"}");
    root.directory("var/lib/kibana");
    root.file(UNIT_PATH, UNIT);
    root
}

#[test]
fn another_users_process_neither_hides_nor_renames_what_is_installed() {
    let root = package();
    let argv = [ARGV, &["--path.data=/dev/shm/x"]].concat();
    let runs = |pid| {
        let environ = &["KBN_PATH_CONF=/etc/kibana"];
        root.runs(&Runs { pid, argv: &argv, environ, cwd: "/usr/share/kibana" });
    };
    runs(66);
    root.owned(66, 1000, 1000);
    let names = || -> Vec<(String, Option<i32>)> {
        let found = root.discover();
        assert!(found.places.iter().any(|place| place.path == "/var/lib/kibana".into()));
        found.services.into_iter().map(|service| (service.name, service.pid)).collect()
    };
    assert_eq!(names(), [("kibana".to_owned(), None), ("kibana:@1000".to_owned(), Some(66))]);
    let found = root.discover();
    let owners = found.keystores.iter().filter_map(|one| one.run_as.as_ref());
    assert!(owners.clone().count() > 0 && owners.clone().all(|account| account.uid == 101));
    root.runs(&Runs {
        pid: 77,
        argv: ARGV,
        environ: &["KBN_PATH_CONF=/etc/kibana"],
        cwd: "/usr/share/kibana",
    });
    assert_eq!(names(), [("kibana".to_owned(), Some(77)), ("kibana:@1000".to_owned(), Some(66))]);
}

#[test]
fn a_deb_that_runs() {
    let root = package();
    root.file("etc/kibana/kibana.keystore", "1:");
    root.runs(&Runs {
        pid: 77,
        argv: ARGV,
        environ: &["KBN_PATH_CONF=/etc/kibana", "SECRET=hunter2"],
        cwd: "/usr/share/kibana",
    });
    assert_listed(
        &root.discover(),
        &[
            "kibana kibana running 8.15.2 /etc/kibana",
            "kibana: config /etc/kibana",
            "kibana: data /var/lib/kibana",
            "kibana: logs /var/log/kibana",
            "kibana: temp /tmp",
            "kibana: keystore kibana /etc/kibana/kibana.keystore kibana",
            "kibana: Yaml /etc/kibana/kibana.yml",
            "kibana: Directory /etc/kibana",
            "kibana: Environment /proc/77/environ",
            "kibana: Arguments /proc/77/cmdline",
            "kibana: Unit /usr/lib/systemd/system/kibana.service",
            "kibana: Variables /etc/default/kibana",
        ],
    );
}

#[test]
fn a_deb_that_does_not_run() {
    assert_listed(
        &package().discover(),
        &[
            "kibana kibana installed 8.15.2 /etc/kibana",
            "kibana: config /etc/kibana",
            "kibana: data /var/lib/kibana",
            "kibana: logs /var/log/kibana",
            "kibana: temp /tmp",
            "kibana: keystore kibana /etc/kibana/kibana.keystore kibana",
            "kibana: Yaml /etc/kibana/kibana.yml",
            "kibana: Directory /etc/kibana",
            "kibana: Unit /usr/lib/systemd/system/kibana.service",
            "kibana: Variables /etc/default/kibana",
        ],
    );
}

#[test]
fn an_rpm_without_its_unit_takes_the_directory_from_sysconfig() {
    let root = Root::new();
    root.directory("etc/kibana");
    root.file("etc/sysconfig/kibana", "KBN_PATH_CONF=/srv/conf\n");
    root.file("srv/conf/kibana.yml", "path:\n  data: /srv/kibana\n");
    assert_listed(
        &root.discover(),
        &[
            "kibana:/srv/conf kibana installed - /srv/conf",
            "kibana:/srv/conf: config /srv/conf",
            "kibana:/srv/conf: data /srv/kibana",
            "kibana:/srv/conf: temp /tmp",
            "kibana:/srv/conf: keystore kibana /srv/conf/kibana.keystore kibana",
            "kibana:/srv/conf: Yaml /srv/conf/kibana.yml",
            "kibana:/srv/conf: Directory /srv/conf",
            "kibana:/srv/conf: Variables /etc/sysconfig/kibana",
        ],
    );
}

#[test]
fn an_archive_that_runs_has_its_paths_from_its_home() {
    let root = Root::new();
    root.file("opt/kibana-8.1/bin/kibana", "");
    root.file(
        "opt/kibana-8.1/config/kibana.yml",
        "path.data: state\nlogging.appenders.a.fileName: logs/a.log\n\
         logging.appenders.b.fileName: /l/b.log\nxpack.security.audit.enabled: true\n",
    );
    root.file("opt/kibana-8.1/state/kibana.keystore", "1:");
    root.runs(&Runs {
        pid: 9,
        // What stands before the script is for Node.js.
        argv: &[
            "./bin/../node/bin/node",
            "-c",
            "--path.data=no",
            "./bin/../src/cli/dist",
            "--path.data=given",
        ],
        environ: &[
            "TMPDIR=/scratch",
            "NODE_OPTIONS=--heapsnapshot-signal=SIGUSR2 --diagnostic-dir=/d",
        ],
        cwd: "/opt/kibana-8.1",
    });
    let name = "kibana:/opt/kibana-8.1/config";
    let lines = [
        " kibana running - /opt/kibana-8.1/config",
        ": config /opt/kibana-8.1/config",
        ": data /opt/kibana-8.1/given",
        // Where its settings would have it write, and something is.
        ": data /opt/kibana-8.1/state",
        ": logs /opt/kibana-8.1/logs",
        ": logs /l",
        ": temp /scratch",
        ": heap-dump /d",
        ": keystore kibana /opt/kibana-8.1/config/kibana.keystore kibana",
        ": Yaml /opt/kibana-8.1/config/kibana.yml",
        ": Directory /opt/kibana-8.1/config",
        ": Environment /proc/9/environ",
        ": Arguments /proc/9/cmdline",
        ": path.data Files /opt/kibana-8.1/state",
        ": path.data Process /opt/kibana-8.1/given",
    ]
    .map(|line| format!("{name}{line}"));
    assert_listed(&root.discover(), &lines);
}

#[test]
fn an_archive_that_does_not_run_is_found_where_archives_are_unpacked() {
    let root = Root::new();
    root.file("home/me/kibana-8.1/bin/kibana", "");
    root.file("home/me/kibana-8.1/config/kibana.yml", "");
    root.file("home/me/kibana-8.1/data/kibana.keystore", "");
    root.file("home/me/kibana-8.1/config/kibana.keystore", "");
    let found = root.discover();
    assert_eq!(found.services[0].name, "kibana:/home/me/kibana-8.1/config");
    let keystores: Vec<String> =
        found.keystores.iter().map(|keystore| keystore.path.to_string()).collect();
    // The first is the one that is used, the other holds secrets all the same.
    assert_eq!(
        keystores,
        ["/home/me/kibana-8.1/config/kibana.keystore", "/home/me/kibana-8.1/data/kibana.keystore"]
    );
}

#[test]
fn a_container_is_seen_with_its_own_eyes() {
    let root = package();
    root.runs(&Runs {
        pid: 77,
        argv: &[ARGV[0], ARGV[1], "--server.name=kibana", "--path.data=/data"],
        environ: &["ELASTICSEARCH_HOSTS=http://u:hunter2@es:9200", "PATH_DATA=/data"],
        cwd: "/usr/share/kibana",
    });
    root.contains(
        77,
        &[
            ("usr/share/kibana/config/kibana.yml", "server.name: kibana\n"),
            ("usr/share/kibana/bin/kibana", ""),
            ("etc/hostname", "web-1\n"),
            ("etc/passwd", "kibana:x:101:102::/:/bin/sh\n"),
        ],
    );
    let found = root.discover();
    assert_listed_of(
        "kibana:web-1",
        &found,
        &[
            "kibana:web-1 kibana running - /usr/share/kibana/config",
            "kibana:web-1: temp /tmp in 77",
            "kibana:web-1: config /usr/share/kibana/config in 77",
            "kibana:web-1: data /data in 77",
            "kibana:web-1: keystore kibana /usr/share/kibana/config/kibana.keystore kibana in 77",
            "kibana:web-1: Arguments /proc/77/cmdline",
            "kibana:web-1: Environment /proc/77/environ",
            "kibana:web-1: Directory /usr/share/kibana/config in 77",
            "kibana:web-1: Yaml /usr/share/kibana/config/kibana.yml in 77",
        ],
    );
    // The host has its own.
    assert_eq!(found.services.len(), 2);
}

#[test]
fn two_instances_with_one_directory_are_told_apart_by_their_settings() {
    let root = package();
    root.file("etc/kibana/b.yml", "path.data: /srv/b\n");
    for (pid, extra) in [(77, None), (78, Some("/etc/kibana/b.yml"))] {
        let mut argv = ARGV.to_vec();
        argv.extend(extra.into_iter().flat_map(|file| ["-c", file]));
        root.runs(&Runs { pid, argv: &argv, environ: &["KBN_PATH_CONF=/etc/kibana"], cwd: "/" });
    }
    let found = root.discover();
    let names: Vec<&str> = found.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["kibana", "kibana:/etc/kibana/b.yml"]);
    assert!(listed(&found).contains(&"kibana:/etc/kibana/b.yml: data /srv/b".to_owned()));
}

#[test]
fn a_stopped_unit_of_its_own_is_an_instance_of_its_own() {
    let root = package();
    root.file("srv/b/kibana.yml", "path.data: ${DATA:/none}\n");
    root.file(
        "etc/systemd/system/kibana-b.service",
        "[Service]\nUser=other\nEnvironment=KBN_PATH_CONF=/srv/b DATA=/srv/data\n\
         StandardOutput=append:/var/log/kibana-b/out.log\n\
         ExecStart=/bin/sh -c \"exec /usr/share/kibana/bin/kibana --path.data $DATA\"\n",
    );
    let lines = listed(&root.discover());
    for line in [
        "kibana:/srv/b kibana installed 8.15.2 /srv/b",
        "kibana:/srv/b: data /srv/data",
        "kibana:/srv/b: logs /var/log/kibana-b",
        "kibana:/srv/b: keystore kibana /srv/b/kibana.keystore other",
        "kibana kibana installed 8.15.2 /etc/kibana",
    ] {
        assert!(lines.contains(&line.to_owned()), "{line}: {lines:#?}");
    }
    assert!(!lines.iter().any(|line| line.contains("path.data")), "nothing runs: {lines:#?}");
}

#[test]
fn the_quoted_option_of_old_units_is_two() {
    let root = package();
    root.file(
        "etc/systemd/system/kibana.service",
        "[Service]\nUser=kibana\nExecStart=/usr/share/kibana/bin/kibana \"-c /etc/kibana/kibana.yml\"\n",
    );
    let found = root.discover();
    assert_eq!(found.services.len(), 1, "{:?}", found.services);
    assert_eq!(found.services[0].name, "kibana");
}

#[test]
fn settings_that_cannot_be_read_are_a_gap_and_the_package_is_assumed() {
    for (contents, part) in [
        (b"a: [\n".to_vec(), "line "),
        (b"a: \xff\n".to_vec(), "line 1: not UTF-8"),
        (vec![b'#'; 2 << 20], ""),
    ] {
        let root = package();
        root.file("etc/kibana/kibana.yml", &contents);
        root.directory("usr/share/kibana/data");
        let found = root.discover_with(&[part]);
        assert_eq!(assumed(&found), ["data /var/lib/kibana", "logs /var/log/kibana"]);
        let lines = listed(&found);
        assert!(lines.contains(&"kibana: data /var/lib/kibana".to_owned()), "{lines:#?}");
        assert!(lines.contains(&"kibana: logs /var/log/kibana".to_owned()), "{lines:#?}");
    }
}

#[test]
fn a_variable_without_value_is_a_gap() {
    let root = package();
    root.file("etc/kibana/kibana.yml", "path.data: ${NOWHERE}/x\n");
    let found = root.discover_with(&["NOWHERE"]);
    assert_eq!(assumed(&found), ["data /var/lib/kibana"]);
    let lines = listed(&found);
    assert!(lines.contains(&"kibana: data /var/lib/kibana".to_owned()), "{lines:#?}");
}

#[test]
fn dashboards_are_found_under_their_own_names() {
    for (package, binary) in [
        ("opensearch-dashboards", "opensearch-dashboards"),
        ("wazuh-dashboard", "opensearch-dashboards"),
    ] {
        let root = Root::new();
        root.file(
            &format!("etc/{package}/opensearch_dashboards.yml"),
            "opensearch.password: hunter2\nlogging.dest: stdout\n",
        );
        root.file(&format!("usr/share/{package}/bin/{binary}"), "");
        root.directory(&format!("var/lib/{package}"));
        root.runs(&Runs {
            pid: 5,
            argv: &[
                &format!("/usr/share/{package}/bin/../node/bin/node"),
                &format!("/usr/share/{package}/bin/../src/cli/dist"),
                "-c",
                &format!("/etc/{package}/opensearch_dashboards.yml"),
            ],
            environ: &[],
            cwd: "/",
        });
        let lines = [
            format!("{package} opensearch-dashboards running - /etc/{package}"),
            format!("{package}: config /etc/{package}"),
            format!("{package}: data /var/lib/{package}"),
            format!("{package}: temp /tmp"),
            format!(
                "{package}: keystore kibana /etc/{package}/opensearch_dashboards.keystore kibana"
            ),
            format!("{package}: Yaml /etc/{package}/opensearch_dashboards.yml"),
            format!("{package}: Directory /etc/{package}"),
            format!("{package}: Environment /proc/5/environ"),
            format!("{package}: Arguments /proc/5/cmdline"),
        ];
        assert_listed(&root.discover(), &lines);
    }
}

#[test]
fn other_programs_of_node_are_none() {
    let root = Root::new();
    for (pid, argv) in [
        (5, &["node", "/srv/app/src/cli/index.js"][..]),
        (6, &["node", "/usr/share/kibana/src/cli_keystore/dist", "list"]),
        (7, &["grep", "kibana"]),
    ] {
        root.runs(&Runs { pid, argv, environ: &[], cwd: "/" });
    }
    assert_listed(&root.discover(), &[""; 0]);
}
