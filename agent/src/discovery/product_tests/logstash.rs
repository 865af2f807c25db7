//! Logstash.

use super::*;

const UNIT: &str = "[Service]\nUser=logstash\nGroup=logstash\nEnvironmentFile=-/etc/default/logstash\n\
     EnvironmentFile=-/etc/sysconfig/logstash\n\
     ExecStart=/usr/share/logstash/bin/logstash \"--path.settings\" \"/etc/logstash\"\nWorkingDirectory=/\n";
const SETTINGS: &str = "path.data: /var/lib/logstash\npath.logs: /var/log/logstash\n\
     xpack.monitoring.elasticsearch.password: hunter2\n";
const ARGV: &[&str] = &[
    "/usr/share/logstash/jdk/bin/java",
    "-Xms1g",
    "-XX:+HeapDumpOnOutOfMemoryError",
    "-Dlogstash.jackson.stream-read-constraints.max-string-length=200000000",
    "-cp",
    "/usr/share/logstash/vendor/jruby/lib/jruby.jar:/usr/share/logstash/logstash-core/lib/jars/x.jar",
    "org.logstash.Logstash",
    "--path.settings",
    "/etc/logstash",
];

/// A deb as it is installed.
fn package() -> Root {
    let root = Root::new();
    root.file("etc/logstash/logstash.yml", SETTINGS);
    root.file(
        "etc/logstash/pipelines.yml",
        "- pipeline.id: main\n  path.config: \"/etc/logstash/conf.d/*.conf\"\n",
    );
    root.file("etc/logstash/conf.d/in.conf", "output { x { password => \"hunter2\" } }");
    root.file(
        "etc/logstash/jvm.options",
        "-Xms1g\n11-13:-XX:Old\n-XX:+HeapDumpOnOutOfMemoryError\n",
    );
    root.file("etc/default/logstash", "LOGSTASH_KEYSTORE_PASS=hunter2\n");
    root.file("usr/share/logstash/bin/logstash", "");
    root.file(
        "usr/share/logstash/logstash-core/versions-gem-copy.yml",
        "---\nlogstash: 8.15.0\nlogstash-core: 8.15.0\n",
    );
    root.file("usr/lib/systemd/system/logstash.service", UNIT);
    root
}

/// What is found of it whether it runs or not.
const PACKAGE: &[&str] = &[
    "logstash: config /etc/logstash",
    "logstash: data /var/lib/logstash",
    "logstash: logs /var/log/logstash",
    // Under the package's unit the working directory is the root.
    "logstash: heap-dump /",
    "logstash: temp /tmp",
    "logstash: keystore logstash /etc/logstash/logstash.keystore USER",
    "logstash: Yaml /etc/logstash/logstash.yml",
    "logstash: Yaml /etc/logstash/pipelines.yml",
    "logstash: JavaOptions /etc/logstash/jvm.options",
    "logstash: Pipeline /etc/logstash/conf.d/in.conf",
    "logstash: Directory /etc/logstash",
    "logstash: Unit /usr/lib/systemd/system/logstash.service",
    "logstash: Variables /etc/default/logstash",
];

fn with(user: &str, more: &[&str]) -> Vec<String> {
    PACKAGE.iter().chain(more).map(|line| line.replace("USER", user)).collect()
}

#[test]
fn a_deb_that_runs() {
    let root = package();
    root.runs(&Runs {
        pid: 50,
        argv: ARGV,
        environ: &["LS_HOME=/usr/share/logstash", "LOGSTASH_KEYSTORE_PASS=hunter2"],
        cwd: "/",
    });
    // The process runs as 101.
    let more = [
        "logstash logstash running 8.15.0 /etc/logstash",
        "logstash: Environment /proc/50/environ",
        "logstash: Arguments /proc/50/cmdline",
    ];
    assert_listed(&root.discover(), &with("logstash", &more));
}

#[test]
fn a_deb_that_does_not_run() {
    let more = ["logstash logstash installed 8.15.0 /etc/logstash"];
    assert_listed(&package().discover(), &with("logstash", &more));
}

#[test]
fn an_rpm_without_its_unit_takes_variables_from_sysconfig() {
    let root = Root::new();
    root.directory("etc/logstash");
    root.file(
        "etc/sysconfig/logstash",
        "LS_SETTINGS_DIR=/srv/ls\nDATA=/srv/data\nLS_JAVA_OPTS=\"-Djava.io.tmpdir=/srv/tmp -XX:HeapDumpPath=/srv/dumps\"\n",
    );
    root.file(
        "srv/ls/logstash.yml",
        "path:\n  data: ${DATA}\n  logs: \"${LOGS:/srv/logs}\"\nqueue.type: persisted\n",
    );
    let lines = [
        "logstash:/srv/ls logstash installed - /srv/ls",
        "logstash:/srv/ls: config /srv/ls",
        "logstash:/srv/ls: data /srv/data",
        "logstash:/srv/ls: logs /srv/logs",
        "logstash:/srv/ls: queue /srv/data/queue/main",
        "logstash:/srv/ls: temp /srv/tmp",
        "logstash:/srv/ls: heap-dump /srv/dumps",
        "logstash:/srv/ls: keystore logstash /srv/ls/logstash.keystore logstash",
        "logstash:/srv/ls: Yaml /srv/ls/logstash.yml",
        "logstash:/srv/ls: Directory /srv/ls",
        "logstash:/srv/ls: Variables /etc/sysconfig/logstash",
    ];
    assert_listed(&root.discover(), &lines);
}

#[test]
fn an_archive_that_runs_has_relative_paths_from_its_working_directory() {
    let root = Root::new();
    root.file("opt/ls/bin/logstash", "");
    root.file(
        "opt/ls/config/logstash.yml",
        "path.data: old\nqueue.type: persisted\ndead_letter_queue.enable: true\n",
    );
    root.file("opt/ls/config/pipelines.yml", "- pipeline.id: unused\n  path.queue: /no\n");
    root.file(
        "opt/ls/config/log4j2.properties",
        "appender.a.fileName = ${sys:ls.logs}/a.log\nappender.b.fileName = /srv/b/b.log\n",
    );
    root.file("srv/ls/my.conf", "");
    root.runs(&Runs {
        pid: 50,
        argv: &[
            "java",
            "-Djruby.home=/opt/ls/vendor/jruby",
            "-Djava.io.tmpdir=tmp",
            "org.logstash.Logstash",
            "-f",
            "my.conf",
            "--path.data=new",
            "-l",
            "log",
            "--pipeline.id",
            "mine",
        ],
        environ: &["TMPDIR=/ruby"],
        cwd: "/srv/ls",
    });
    let name = "logstash:/opt/ls/config";
    let lines = [
        " logstash running - /opt/ls/config",
        ": config /opt/ls/config",
        ": data /srv/ls/new",
        ": logs /srv/ls/log",
        ": logs /srv/b",
        ": queue /srv/ls/new/queue/mine",
        ": queue /srv/ls/new/dead_letter_queue/mine",
        ": temp /srv/ls/tmp",
        ": temp /ruby",
        ": keystore logstash /opt/ls/config/logstash.keystore logstash",
        ": Yaml /opt/ls/config/logstash.yml",
        ": Yaml /opt/ls/config/pipelines.yml",
        ": Pipeline /srv/ls/my.conf",
        ": Directory /opt/ls/config",
        ": Environment /proc/50/environ",
        ": Arguments /proc/50/cmdline",
        ": path.data Files /srv/ls/old",
        ": path.data Process /srv/ls/new",
    ]
    .map(|line| format!("{name}{line}"));
    assert_listed(&root.discover(), &lines);
}

#[test]
fn an_archive_and_the_link_to_it_are_one() {
    let root = Root::new();
    root.file("opt/logstash-8.1/bin/logstash", "");
    root.file("opt/logstash-8.1/config/logstash.yml", "");
    root.link("logstash-8.1", "opt/logstash");
    let found = root.discover();
    assert_eq!(found.services.len(), 1, "{:?}", found.services);
}

#[test]
fn every_pipeline_has_its_own_queues() {
    let root = package();
    root.file(
        "etc/logstash/pipelines.yml",
        "- pipeline.id: a\n  queue.type: persisted\n  path.queue: /fast/q\n\
         - pipeline.id: b\n  queue:\n    type: persisted\n\
         - pipeline.id: c\n  dead_letter_queue.enable: true\n  path.dead_letter_queue: ${DLQ:/dlq}\n\
         - queue.type: memory\n  path.queue: /unused\n  config.string: \"input { x { password => hunter2 } }\"\n",
    );
    let found = root.discover();
    let queues: Vec<String> = found
        .places
        .iter()
        .filter(|place| place.usage == Use::Queue)
        .map(|place| place.path.to_string())
        .collect();
    assert_eq!(queues, ["/dlq/c", "/fast/q/a", "/var/lib/logstash/queue/b"]);
}

/// The places beside those of the package.
fn written(found: &Discovery) -> Vec<String> {
    let places = found.places.iter().map(|place| format!("{} {}", place.usage, place.path));
    let own = |place: &String| PACKAGE.contains(&format!("logstash: {place}").as_str());
    places.filter(|place| !own(place)).collect()
}

#[test]
fn what_pipelines_write_to_is_a_place_while_it_is_not_open() {
    let root = package();
    root.file("etc/default/logstash", "OUT=/srv/env\n");
    root.file(
        "etc/logstash/pipelines.yml",
        "- pipeline.id: a\n  path.config: /etc/logstash/a.conf\n\
         - pipeline.id: b\n  path.config: /etc/logstash/b.d\n\
         - pipeline.id: c\n  path.config: \"/etc/logstash/c/*.conf\"\n\
         - pipeline.id: d\n  config.string: \"output { file { path => '/srv/d/x' } http { password => 'hunter2' } }\"\n",
    );
    root.file(
        "etc/logstash/a.conf",
        "input { file { path => '/read' sincedb_path => '/srv/pos/db' } }\n\
         output { if [x] { file { path => \"${OUT}/%{host}.log\" } } s3 { temporary_directory => '/srv/s3' } }",
    );
    root.file("etc/logstash/b.d/x", "output { csv { path => '/srv/csv/a.csv' fields => ['a'] } }");
    // Below the data it is a place already.
    root.file(
        "etc/logstash/c/y.conf",
        "output { file { path => '/srv/c/%{+YYYY}/x' } }\ninput { s3 { sincedb_path => '/var/lib/logstash/x/y' } }",
    );
    let found = root.discover();
    let expected = [
        "data /srv/c",
        "data /srv/csv",
        "data /srv/d",
        "data /srv/env",
        "data /srv/pos",
        "temp /srv/s3",
    ];
    assert_eq!(written(&found), expected);
    let pipelines = found.configurations.iter().filter(|one| one.form == secrets::Form::Pipeline);
    assert_eq!(pipelines.count(), 3);
}

#[test]
fn a_pipeline_of_the_command_line_or_the_settings_is_read_too() {
    let root = package();
    let mut argv = ARGV.to_vec();
    argv.extend(["-e", "output { file { path => '/srv/e/x' } http { password => 'hunter2' } }"]);
    root.runs(&Runs { pid: 50, argv: &argv, environ: &[], cwd: "/" });
    assert_eq!(written(&root.discover()), ["data /srv/e"]);
    let root = package();
    let text =
        "config.string: \"output { file { path => 'x/y' } http { password => 'hunter2' } }\"\n";
    root.file("etc/logstash/logstash.yml", format!("{SETTINGS}{text}"));
    assert_eq!(written(&root.discover()), ["data /x"]);
}

#[test]
fn what_pipelines_write_to_and_cannot_be_known_is_a_gap() {
    for (text, gap) in [
        ("output { file { path => \"${NONE}/x\" } }", "in.conf: line 1, file: "),
        ("output { file { path => '/%{x}' } }", "events decide"),
        ("output {\n file {", "line 2: from there on"),
    ] {
        let root = package();
        root.file("etc/logstash/conf.d/in.conf", text);
        assert_eq!(written(&root.discover_with(&[gap])), [""; 0], "{text}");
    }
    let root = package();
    root.file(
        "etc/logstash/pipelines.yml",
        "- pipeline.id: a\n  path.config: \"https://u:hunter2@h/p\"\n",
    );
    root.discover_with(&["a server hands out a pipeline"]);
}

#[test]
fn pipelines_that_cannot_be_known_queue_where_all_do() {
    let queues = |settings: &str, pipelines: &str, gaps: &[&str]| -> Vec<String> {
        let root = package();
        root.file("etc/logstash/logstash.yml", format!("{SETTINGS}{settings}"));
        root.file("etc/logstash/pipelines.yml", pipelines);
        let found = root.discover_with(gaps);
        let queues = found.places.iter().filter(|place| place.usage == Use::Queue);
        queues.map(|place| place.path.to_string()).collect()
    };
    let base = ["/var/lib/logstash/queue"];
    assert_eq!(queues("queue.type: persisted\n", "a: b\n", &["not a list"]), base);
    assert_eq!(queues("queue.type: persisted\n", "- [\n", &["line "]), base);
    let managed = "queue.type: persisted\nxpack.management.enabled: true\n";
    assert_eq!(queues(managed, "", &["Elasticsearch hands them out"]), base);
    assert_eq!(queues("queue.type: memory\n", "a: b\n", &["not a list"]), [""; 0]);
}

#[test]
fn a_container_is_seen_with_its_own_eyes() {
    let root = Root::new();
    let mut argv = ARGV.to_vec();
    argv.truncate(7);
    root.runs(&Runs {
        pid: 60,
        argv: &argv,
        environ: &["LS_HOME=/usr/share/logstash"],
        cwd: "/usr/share/logstash",
    });
    root.contains(
        60,
        &[
            ("usr/share/logstash/config/logstash.yml", "node.name: ls-1\nqueue.type: persisted\n"),
            (
                "usr/share/logstash/config/pipelines.yml",
                "- pipeline.id: main\n  path.config: /usr/share/logstash/pipeline\n",
            ),
            ("usr/share/logstash/pipeline/logstash.conf", ""),
        ],
    );
    let lines = [
        " logstash running - /usr/share/logstash/config",
        ": config /usr/share/logstash/config in 60",
        ": data /usr/share/logstash/data in 60",
        ": queue /usr/share/logstash/data/queue/main in 60",
        ": logs /usr/share/logstash/logs in 60",
        ": heap-dump /usr/share/logstash in 60",
        ": temp /tmp in 60",
        ": keystore logstash /usr/share/logstash/config/logstash.keystore 111 in 60",
        ": Yaml /usr/share/logstash/config/logstash.yml in 60",
        ": Yaml /usr/share/logstash/config/pipelines.yml in 60",
        ": Pipeline /usr/share/logstash/pipeline/logstash.conf in 60",
        ": Directory /usr/share/logstash/config in 60",
        ": Environment /proc/60/environ",
        ": Arguments /proc/60/cmdline",
    ]
    .map(|line| format!("logstash:ls-1{line}"));
    assert_listed(&root.discover(), &lines);
}

#[test]
fn two_instances_with_one_directory_are_told_apart_by_their_data() {
    let root = package();
    for (pid, data) in [(50, "/d/a"), (51, "/d/b")] {
        let mut argv = ARGV.to_vec();
        argv.extend(["--path.data", data]);
        root.runs(&Runs { pid, argv: &argv, environ: &[], cwd: "/" });
    }
    let found = root.discover();
    let running = found.services.iter().filter(|service| service.state == "running");
    let names: Vec<&str> = running.map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["logstash:/d/a", "logstash:/d/b"]);
}

#[test]
fn enabled_instances_of_a_template_are_instances() {
    let root = package();
    root.file(
        "etc/systemd/system/logstash@.service",
        "[Service]\nUser=other\nExecStart=/usr/share/logstash/bin/logstash --path.settings /etc/ls/%i --path.data=/d/%i\n",
    );
    for name in ["a", "b"] {
        root.file(&format!("etc/ls/{name}/logstash.yml"), "");
        root.link(
            "../logstash@.service",
            &format!("etc/systemd/system/multi-user.target.wants/logstash@{name}.service"),
        );
    }
    let lines = listed(&root.discover());
    for name in ["a", "b"] {
        for line in [
            format!("logstash:/etc/ls/{name} logstash installed 8.15.0 /etc/ls/{name}"),
            format!("logstash:/etc/ls/{name}: data /d/{name}"),
            format!(
                "logstash:/etc/ls/{name}: keystore logstash /etc/ls/{name}/logstash.keystore other"
            ),
        ] {
            assert!(lines.contains(&line), "{line}: {lines:#?}");
        }
    }
}

#[test]
fn settings_that_cannot_be_read_are_a_gap_and_the_package_is_assumed() {
    for (contents, part) in [
        (b"a: [\n".to_vec(), "line "),
        (b"a: \xff\n".to_vec(), "line 1: not UTF-8"),
        (vec![b'#'; 2 << 20], ""),
    ] {
        let root = package();
        root.file("etc/logstash/logstash.yml", &contents);
        let found = root.discover_with(&[part]);
        assert_eq!(assumed(&found), ["data /var/lib/logstash", "logs /var/log/logstash"]);
        let lines = listed(&found);
        for line in ["logstash: data /var/lib/logstash", "logstash: logs /var/log/logstash"] {
            assert!(lines.contains(&line.to_owned()), "{lines:#?}");
        }
    }
}

#[test]
fn variables_without_a_value_leave_guesses() {
    let root = package();
    root.file(
        "etc/logstash/logstash.yml",
        "path.data: ${NONE}\npath.logs: /l\nqueue.type: persisted\n",
    );
    let found = root.discover_with(&["${NONE}"]);
    let home = "/usr/share/logstash/data";
    assert_eq!(assumed(&found), [format!("data {home}"), format!("queue {home}/queue/main")]);
    // An identity that it has made shows that it was started with that directory.
    root.file("usr/share/logstash/data/uuid", "");
    assert_eq!(assumed(&root.discover_with(&["${NONE}"])), [""; 0]);
    root.file(
        "etc/logstash/logstash.yml",
        "path.data: /d\npath.logs: /l\nqueue.type: persisted\npath.queue: ${NONE}\n",
    );
    assert_eq!(assumed(&root.discover_with(&["${NONE}"])), ["queue /d/queue/main"]);
}
