//! Whole hosts, each a directory with the files of one kind of installation.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use atrest_proto::model::Reason;
use tempfile::TempDir;

use super::*;
use crate::host::recorded::RecordedHost;

struct Root(TempDir);

impl Root {
    fn new() -> Self {
        let root = Self(tempfile::tempdir().unwrap());
        root.file("etc/passwd", "root:x:0:0::/:/bin/sh\nelasticsearch:x:101:102::/:/bin/false\n");
        root.file("etc/group", "root:x:0:\nelasticsearch:x:102:\n");
        root.process(1, 0, &["/sbin/init"], &[]);
        root
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, path: &str, contents: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    fn process(&self, pid: i32, parent: i32, argv: &[&str], environ: &[&str]) {
        let join = |texts: &[&str]| texts.iter().flat_map(|text| [*text, "\0"]).collect::<String>();
        self.file(&format!("proc/{pid}/cmdline"), join(argv));
        self.file(&format!("proc/{pid}/environ"), join(environ));
        self.file(
            &format!("proc/{pid}/status"),
            format!(
                "Name:\tx\nPPid:\t{parent}\nUid:\t101\t101\t101\t101\nGid:\t102\t102\t102\t102\n"
            ),
        );
        fs::create_dir_all(self.path().join(format!("proc/{pid}/ns"))).unwrap();
        self.link("/usr/share/elasticsearch", &format!("proc/{pid}/cwd"));
        self.link("/", &format!("proc/{pid}/root"));
        self.link("mnt:[4026531841]", &format!("proc/{pid}/ns/mnt"));
    }

    fn link(&self, target: &str, path: &str) {
        let path = self.path().join(path);
        drop(fs::remove_file(&path));
        symlink(target, path).unwrap();
    }

    fn discover(&self) -> Discovery {
        discover(&RecordedHost::new(self.path()), &Declared::default())
    }
}

fn places(found: &Discovery) -> Vec<String> {
    found.places.iter().map(|place| format!("{} {}", place.usage, place.path)).collect()
}

const ONE_JVM: &[&str] = &[
    "/usr/share/elasticsearch/jdk/bin/java",
    "-Des.path.home=/usr/share/elasticsearch",
    "-Des.path.conf=/etc/elasticsearch",
    "-cp",
    "/usr/share/elasticsearch/lib/*",
    "org.elasticsearch.bootstrap.Elasticsearch",
];

#[test]
fn a_host_without_products_has_nothing() {
    let found = Discovery { core_dumps: None, ..Root::new().discover() };
    assert_eq!(found, Discovery::default());
}

#[test]
fn a_package_with_one_jvm() {
    let root = Root::new();
    root.file(
        "etc/elasticsearch/elasticsearch.yml",
        "cluster.name: prod\nnode.name: es-01\nnode.roles: [master, data]\n\
         path.data: /var/lib/elasticsearch\npath.logs: /var/log/elasticsearch\npath.repo: [\"/mnt/backup\"]\n",
    );
    root.file("usr/share/elasticsearch/lib/elasticsearch-7.17.9.jar", "");
    root.process(77, 1, ONE_JVM, &["ES_PATH_CONF=/etc/elasticsearch", "SECRET=hunter2"]);
    let found = root.discover();
    assert_eq!(
        places(&found),
        [
            "config /etc/elasticsearch",
            "repository /mnt/backup",
            "temp /tmp",
            "data /var/lib/elasticsearch",
            "logs /var/log/elasticsearch",
        ]
    );
    let [service] = found.services.as_slice() else { panic!("{found:?}") };
    assert_eq!((service.name.as_str(), service.state.as_str()), ("elasticsearch", "running"));
    assert_eq!(service.version.as_deref(), Some("7.17.9"));
    assert_eq!(service.cluster_name.as_deref(), Some("prod"));
    assert_eq!(service.roles, ["data", "master"]);
    let [keystore] = found.keystores.as_slice() else { panic!("{found:?}") };
    assert_eq!(keystore.path, HostPath::from("/etc/elasticsearch/elasticsearch.keystore"));
    assert_eq!(
        keystore.run_as.as_ref().map(|account| account.user.as_str()),
        Some("elasticsearch")
    );
    assert!(found.gaps.is_empty(), "{:?}", found.gaps);
    assert!(!format!("{found:?}").contains("hunter2"));
}

#[test]
fn a_server_below_its_launcher_takes_configuration_and_settings_from_it() {
    let root = Root::new();
    root.file("srv/es/config/elasticsearch.yml", "path.data: /ignored\n");
    root.process(
        70,
        1,
        &[
            "java",
            "-Dcli.name=server",
            "-Des.path.home=/srv/es",
            "-Des.path.conf=/srv/es/config",
            "org.elasticsearch.launcher.CliToolLauncher",
            "-Epath.data=/d1,/d2",
        ],
        &[],
    );
    root.process(
        71,
        70,
        &[
            "java",
            "-Djava.io.tmpdir=/tmp/elasticsearch-5",
            "-XX:HeapDumpPath=data",
            "--module-path",
            "/srv/es/lib",
            "-m",
            "org.elasticsearch.server/org.elasticsearch.bootstrap.Elasticsearch",
        ],
        &[],
    );
    let found = root.discover();
    assert_eq!(found.services.len(), 1, "{:?}", found.services);
    assert_eq!(found.services[0].name, "elasticsearch:/srv/es/config");
    assert_eq!(found.services[0].pid, Some(71));
    assert_eq!(
        places(&found),
        [
            "data /d1",
            "data /d2",
            "config /srv/es/config",
            "logs /srv/es/logs",
            "temp /tmp/elasticsearch-5",
            "heap-dump /usr/share/elasticsearch/data",
        ]
    );
}

#[test]
fn a_server_whose_launcher_is_gone_takes_it_from_the_environment() {
    let root = Root::new();
    root.file("srv/conf/elasticsearch.yml", "path:\n  data: ${DATA_DIR}\n  logs: ${LOGS:/l}\n");
    let server = "org.elasticsearch.server/org.elasticsearch.bootstrap.Elasticsearch";
    root.process(
        71,
        1,
        &["java", "--module-path", "/srv/es/lib", "-m", server],
        &["ES_PATH_CONF=/srv/conf", "DATA_DIR=/from/env"],
    );
    assert_eq!(
        places(&root.discover()),
        ["data /from/env", "logs /l", "config /srv/conf", "temp /tmp"]
    );
}

#[test]
fn without_settings_data_and_logs_are_below_the_home() {
    let root = Root::new();
    root.process(
        71,
        1,
        &["java", "-Des.path.home=/opt/es", "-Des.path.conf=/opt/es/config", ONE_JVM[5]],
        &[],
    );
    assert_eq!(
        places(&root.discover()),
        ["config /opt/es/config", "data /opt/es/data", "logs /opt/es/logs", "temp /tmp"]
    );
}

#[test]
fn an_installation_that_does_not_run_is_found_by_its_files() {
    let root = Root::new();
    root.file("etc/default/elasticsearch", "#ES_HOME=/x\nES_PATH_CONF=\"/srv/conf\"\n");
    root.file("srv/conf/elasticsearch.yml", "path.data: /srv/data\n");
    let found = root.discover();
    assert_eq!(found.services[0].state, "installed");
    assert_eq!(found.services[0].config_dir.as_deref(), Some("/srv/conf"));
    assert_eq!(
        places(&found),
        ["config /srv/conf", "data /srv/data", "temp /tmp", "logs /usr/share/elasticsearch/logs"]
    );
    assert_eq!(found.keystores[0].run_as.as_ref().map(|account| account.gid), Some(102));
}

#[test]
fn what_runs_is_not_found_again_as_installed() {
    let root = Root::new();
    root.file("etc/elasticsearch/elasticsearch.yml", "path.data: /d\n");
    root.process(77, 1, ONE_JVM, &[]);
    assert_eq!(root.discover().services.len(), 1);
}

#[test]
fn a_slash_at_the_end_or_a_link_makes_no_other_node() {
    let root = Root::new();
    root.file("srv/conf/elasticsearch.yml", "path.data: /d\n");
    root.file("etc/default/elasticsearch", "ES_PATH_CONF=/etc/elasticsearch/\n");
    root.link("/srv/conf", "etc/elasticsearch");
    let found = root.discover();
    assert_eq!(found.services.len(), 1, "{:?}", found.services);
    assert_eq!(found.services[0].name, "elasticsearch");
    assert_eq!(found.services[0].config_dir.as_deref(), Some("/etc/elasticsearch"));
    let class = ONE_JVM[5];
    root.process(77, 1, &["java", "-Des.path.home=/h", "-Des.path.conf=/srv/conf/", class], &[]);
    let found = root.discover();
    assert_eq!(found.services.len(), 1, "{:?}", found.services);
    assert_eq!(found.services[0].state, "running");
    let variables = HostPath::from("/etc/default/elasticsearch");
    assert!(found.configurations.iter().any(|place| place.path == variables));
}

#[test]
fn another_users_process_neither_hides_what_is_installed_nor_owns_its_keystore() {
    let root = Root::new();
    root.file("etc/elasticsearch/elasticsearch.yml", "path.data: /d\n");
    root.process(66, 1, &[ONE_JVM, &["-Epath.data=/dev/shm/x"]].concat(), &[]);
    root.file(
        "proc/66/status",
        "Name:\tx\nPPid:\t1\nUid:\t1000\t1000\t1000\t1000\nGid:\t7\t7\t7\t7\n",
    );
    let states = |found: &Discovery| -> Vec<String> {
        found.services.iter().map(|one| format!("{} {:?}", one.name, one.pid)).collect()
    };
    let found = root.discover();
    assert_eq!(states(&found), ["elasticsearch None", "elasticsearch:@1000 Some(66)"]);
    let places = places(&found);
    assert!(places.contains(&"data /d".to_owned()), "{places:?}");
    assert!(places.contains(&"data /dev/shm/x".to_owned()), "{places:?}");
    let owners: Vec<_> =
        found.keystores.iter().map(|one| one.run_as.as_ref().unwrap().uid).collect();
    assert_eq!(owners, [101, 101]);
    // The service's own process keeps its name, whatever their numbers.
    root.process(77, 1, ONE_JVM, &[]);
    assert_eq!(
        states(&root.discover()),
        ["elasticsearch Some(77)", "elasticsearch:@1000 Some(66)"]
    );
}

#[test]
fn an_instance_of_a_template_that_is_enabled_is_found() {
    let root = Root::new();
    root.file(
        "usr/lib/systemd/system/elasticsearch@.service",
        "[Service]\nUser=elasticsearch\nEnvironment=ES_HOME=/usr/share/elasticsearch\n\
         Environment=ES_PATH_CONF=/srv/conf/%i\nExecStart=/usr/share/elasticsearch/bin/elasticsearch\n",
    );
    for (name, data) in [("hot", "/d/hot"), ("cold", "/d/cold"), ("unused", "/d/unused")] {
        root.file(&format!("srv/conf/{name}/elasticsearch.yml"), format!("path.data: {data}\n"));
    }
    root.file("etc/systemd/system/multi-user.target.wants/elasticsearch@hot.service", "");
    root.file("etc/systemd/system/elasticsearch@cold.service.d/o.conf", "[Service]\n");
    let found = root.discover();
    let names: Vec<&str> = found.services.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["elasticsearch:/srv/conf/cold", "elasticsearch:/srv/conf/hot"]);
    let places = places(&found);
    for data in ["data /d/hot", "data /d/cold"] {
        assert!(places.contains(&data.to_owned()), "{places:?}");
    }
}

#[test]
fn opensearch_is_found_under_its_own_names() {
    let root = Root::new();
    root.file("etc/opensearch/opensearch.yml", "path.data: /var/lib/opensearch\n");
    root.process(
        80,
        1,
        &[
            "java",
            "-Dopensearch.path.home=/usr/share/opensearch",
            "-Dopensearch.path.conf=/etc/opensearch",
            "org.opensearch.bootstrap.OpenSearch",
        ],
        &[],
    );
    let found = root.discover();
    assert_eq!(found.services[0].product, "opensearch");
    assert_eq!(found.keystores[0].path, HostPath::from("/etc/opensearch/opensearch.keystore"));
    assert!(places(&found).contains(&"data /var/lib/opensearch".to_owned()));
}

#[test]
fn a_process_in_another_mount_namespace_is_seen_with_its_own_eyes() {
    let root = Root::new();
    root.process(77, 1, ONE_JVM, &[]);
    root.link("mnt:[4026532999]", "proc/77/ns/mnt");
    let found = root.discover();
    assert!(
        found.places.iter().all(|place| place.namespace == Namespace::Process(77)),
        "{found:?}"
    );
    assert_eq!(found.keystores[0].namespace, Namespace::Process(77));
    // PrivateTmp of its unit: still the packaged service.
    assert_eq!(found.services[0].name, "elasticsearch");
}

#[test]
fn what_is_installed_is_found_beside_a_node_with_another_root() {
    let root = Root::new();
    root.file("proc/self/mountinfo", "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n");
    root.file("etc/elasticsearch/elasticsearch.yml", "path.data: /srv/host\n");
    root.process(77, 1, ONE_JVM, &[]);
    root.link("mnt:[4026532999]", "proc/77/ns/mnt");
    // PrivateTmp of its unit: its configuration is the one that is installed.
    root.file("proc/77/mountinfo", "30 1 8:1 / / rw - ext4 /dev/sda1 rw\n");
    assert_eq!(root.discover().services.len(), 1);

    fs::remove_file(root.path().join("proc/77/root")).unwrap();
    root.file("proc/77/root/etc/elasticsearch/elasticsearch.yml", "path.data: /srv/own\n");
    root.file("proc/77/mountinfo", "30 1 8:2 / / rw - ext4 /dev/sda2 rw\n");
    let found = root.discover();
    let place = |path: &str, namespace| Place {
        path: path.into(),
        usage: Use::Data,
        service: found
            .services
            .iter()
            .find(|s| s.pid.is_some() == (path == "/srv/own"))
            .map(|s| s.name.clone()),
        namespace,
    };
    assert_eq!(found.services.len(), 2, "{:?}", found.services);
    assert!(found.places.contains(&place("/srv/own", Namespace::Process(77))), "{found:?}");
    assert!(found.places.contains(&place("/srv/host", Namespace::Host)), "{found:?}");
}

#[test]
fn containers_of_one_image_are_told_apart() {
    let root = Root::new();
    for (pid, node) in [(77, "es-a"), (78, "es-b")] {
        root.process(pid, 1, ONE_JVM, &[]);
        fs::remove_file(root.path().join(format!("proc/{pid}/root"))).unwrap();
        root.file(
            &format!("proc/{pid}/root/etc/elasticsearch/elasticsearch.yml"),
            format!("node.name: {node}\npath.data: /data\n"),
        );
        root.file(&format!("proc/{pid}/cgroup"), format!("0::/docker/{}\n", "ab".repeat(32)));
    }
    let found = root.discover();
    let names: Vec<&str> = found.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["elasticsearch:es-a", "elasticsearch:es-b"]);
    assert_eq!(
        found.places.iter().filter(|place| place.path == HostPath::from("/data")).count(),
        2
    );
}

#[test]
fn settings_that_cannot_be_read_are_a_gap_and_the_package_is_assumed() {
    for (contents, part) in [
        (b"a: [\n".to_vec(), "line "),
        (b"a: 1\nb: \xff\n".to_vec(), "line 2: not UTF-8"),
        (vec![b'a'; 10 << 20], ""),
    ] {
        let root = Root::new();
        root.file("etc/elasticsearch/elasticsearch.yml", &contents);
        root.process(77, 1, ONE_JVM, &[]);
        let found = root.discover();
        let [gap] = found.gaps.as_slice() else { panic!("{:?}", found.gaps) };
        assert_eq!(gap.subject, "/etc/elasticsearch/elasticsearch.yml");
        assert_eq!(gap.reason, Reason::Unreadable);
        assert!(gap.detail.contains(part), "{}", gap.detail);
        assert!(places(&found).contains(&"data /var/lib/elasticsearch".to_owned()));
    }
}

fn assumed(found: &Discovery) -> Vec<String> {
    let line = |one: &Assumption| format!("{} {}", one.usage, one.path);
    found.assumptions.iter().map(line).collect()
}

#[test]
fn defaults_in_the_place_of_unread_settings_are_assumed_unless_they_are_used() {
    let root = Root::new();
    root.file("etc/elasticsearch/elasticsearch.yml", "a: [\n");
    root.process(77, 1, ONE_JVM, &[]);
    let found = root.discover();
    assert_eq!(assumed(&found), ["data /var/lib/elasticsearch", "logs /var/log/elasticsearch"]);
    assert!(found.assumptions[0].why.detail.contains("elasticsearch.yml"), "{found:?}");
    // What the product has written shows that it is used; what a package brings does not.
    root.file("var/lib/elasticsearch/.keep", "");
    root.file("var/log/elasticsearch/c.log", "");
    assert_eq!(assumed(&root.discover()), ["data /var/lib/elasticsearch"]);
    fs::create_dir_all(root.path().join("var/lib/elasticsearch/nodes")).unwrap();
    assert_eq!(assumed(&root.discover()), [""; 0]);
}

#[test]
fn what_a_node_has_locked_takes_the_place_of_a_guess() {
    let root = Root::new();
    root.file("etc/elasticsearch/elasticsearch.yml", "a: [\n");
    root.process(77, 1, ONE_JVM, &[]);
    fs::create_dir_all(root.path().join("proc/77/fd")).unwrap();
    root.link("/srv/es/node.lock", "proc/77/fd/3");
    root.file("proc/77/fdinfo/3", "flags:\t0100002\n");
    let found = root.discover();
    assert_eq!(assumed(&found), ["logs /var/log/elasticsearch"]);
    let places = places(&found);
    assert!(places.contains(&"data /srv/es".to_owned()), "{places:?}");
    assert!(!places.iter().any(|place| place.starts_with("data /var")), "{places:?}");
}

#[test]
fn a_setting_that_is_not_known_is_no_default() {
    for settings in ["path.data: ${NOWHERE}\n", "path.data: [[/d]]\n", "path.data: {x: /d}\n"] {
        let root = Root::new();
        root.file("etc/elasticsearch/elasticsearch.yml", settings);
        root.process(77, 1, ONE_JVM, &[]);
        let found = root.discover();
        assert_eq!(assumed(&found), ["data /usr/share/elasticsearch/data"], "{settings}");
        assert_eq!(found.gaps.len(), 1, "{settings}: {:?}", found.gaps);
        // It tells of nothing that other sources could differ from.
        assert!(found.claims.iter().all(|claim| claim.setting != "path.data"), "{settings}");
        root.process(77, 1, &[ONE_JVM, &["-Epath.data=/given"]].concat(), &[]);
        assert_eq!(assumed(&root.discover()), [""; 0], "{settings}");
    }
    let root = Root::new();
    root.file("etc/elasticsearch/elasticsearch.yml", "path.data: [/known, \"${NOWHERE}\"]\n");
    root.process(77, 1, ONE_JVM, &[]);
    let found = root.discover();
    assert!(places(&found).contains(&"data /known".to_owned()), "{found:?}");
    assert_eq!((assumed(&found).len(), found.gaps.len()), (0, 1));
}

#[test]
fn appenders_of_which_nothing_is_known_are_gaps() {
    let root = Root::new();
    root.file("etc/elasticsearch/elasticsearch.yml", "path.logs: /l\n");
    root.file(
        "etc/elasticsearch/log4j2.properties",
        "appender.a.fileName = ${sys:es.logs.base_path}/a\nappender.b.fileName = ${env:NONE}/b\n",
    );
    root.process(77, 1, ONE_JVM, &[]);
    let found = root.discover();
    let [gap] = found.gaps.as_slice() else { panic!("{:?}", found.gaps) };
    assert_eq!(gap.subject, "/etc/elasticsearch/log4j2.properties");
    assert!(gap.detail.contains("`appender.b.fileName`"), "{}", gap.detail);
    root.process(77, 1, ONE_JVM, &["NONE=/b"]);
    let found = root.discover();
    assert!(places(&found).contains(&"logs /b".to_owned()) && found.gaps.is_empty(), "{found:?}");
}

#[test]
fn a_configuration_directory_that_cannot_be_reached_is_a_gap() {
    let root = Root::new();
    // A loop of links leads nowhere, whoever looks.
    fs::create_dir_all(root.path().join("etc")).unwrap();
    root.link("elasticsearch", "etc/elasticsearch");
    let subjects: Vec<String> = root.discover().gaps.into_iter().map(|gap| gap.subject).collect();
    assert!(subjects.contains(&"/etc/elasticsearch".to_owned()), "{subjects:?}");
}

#[test]
fn a_variable_without_value_is_a_gap() {
    let root = Root::new();
    root.file("etc/elasticsearch/elasticsearch.yml", "path.data: ${NOWHERE}/x\n");
    root.process(77, 1, ONE_JVM, &[]);
    let found = root.discover();
    assert!(found.gaps.iter().any(|gap| gap.detail.contains("NOWHERE")), "{:?}", found.gaps);
}

#[test]
fn what_other_machines_mount_from_this_one_is_a_place_unless_that_is_not_wanted() {
    let root = Root::new();
    root.file("var/lib/nfs/etab", "/srv/b\t*(rw)\n/srv/b\t10.0.0.0/8(ro)\n");
    let host = RecordedHost::new(root.path());
    assert_eq!(places(&discover(&host, &Declared::default())), ["export /srv/b"]);
    let declared = Declared { ignore_exports: true, ..Declared::default() };
    assert_eq!(places(&discover(&host, &declared)), [""; 0]);
}

#[test]
fn what_is_declared_is_added() {
    let declared = Declared {
        paths: vec![HostPath::from("/srv/extra")],
        repositories: vec![repository::Registered {
            name: "nightly".to_owned(),
            kind: "fs".to_owned(),
            settings: BTreeMap::from([("location".to_owned(), "/mnt/backup".to_owned())]),
            client_side: None,
            service: None,
            product: None,
            cluster: None,
            source: repository::Source::Declared,
            namespace: Namespace::Host,
        }],
        ..Declared::default()
    };
    let found = discover(&RecordedHost::new(Root::new().path()), &declared);
    assert_eq!(places(&found), ["repository /mnt/backup", "declared /srv/extra"]);
    assert_eq!(found.repositories.len(), 1);
}

#[test]
fn a_node_that_a_unit_would_start_is_found_with_what_its_files_give() {
    let root = Root::new();
    root.file(
        "etc/systemd/system/es-hot.service",
        "[Service]\nUser=elasticsearch\nEnvironment=ES_PATH_CONF=/srv/hot/conf\n\
         EnvironmentFile=-/etc/default/es-hot\nWorkingDirectory=/srv/run\n\
         ExecStart=/opt/es-8/bin/elasticsearch -Epath.data=${DATA} --quiet\n",
    );
    root.file(
        "etc/default/es-hot",
        "DATA=/mnt/hot\nES_TMPDIR=/srv/tmp\nES_JAVA_OPTS=\"-Xms1g -XX:HeapDumpPath=dumps\"\n",
    );
    root.file(
        "srv/hot/conf/elasticsearch.yml",
        "cluster.name: prod\npath.data: /no\nnode.roles: [data_hot, ingest]\n",
    );
    root.file(
        "srv/hot/conf/jvm.options",
        "-XX:HeapDumpPath=/first\n-Xlog:gc*:file=${ES_PATH_CONF}/../gc.log\n-XX:ErrorFile=logs/hs_err.log\n",
    );
    root.file(
        "srv/hot/conf/log4j2.properties",
        "appender.a.fileName = ${sys:es.logs.base_path}/${sys:es.logs.cluster_name}_server.json\n\
         appender.b.fileName = /srv/audit/x.json\n",
    );
    let found = root.discover();
    assert_eq!(
        places(&found),
        [
            "data /mnt/hot",
            "logs /opt/es-8/logs",
            "logs /srv/audit",
            "logs /srv/hot",
            "config /srv/hot/conf",
            "heap-dump /srv/run/dumps",
            "logs /srv/run/logs",
            "temp /srv/tmp",
        ]
    );
    let [service] = found.services.as_slice() else { panic!("{found:?}") };
    assert_eq!(
        (service.name.as_str(), service.state.as_str()),
        ("elasticsearch:/srv/hot/conf", "installed")
    );
    assert_eq!(service.tiers, ["hot"]);
    assert_eq!(found.keystores[0].run_as.as_ref().map(|account| account.uid), Some(101));
    let of_unit =
        |form| found.configurations.iter().filter(move |place| place.form == form).count();
    assert_eq!((of_unit(secrets::Form::Unit), of_unit(secrets::Form::Variables)), (1, 1));
}

#[test]
fn archives_are_found_where_they_are_usually_unpacked() {
    let root = Root::new();
    for home in ["opt/elasticsearch-8.14.3", "home/es/elasticsearch", "usr/local/opensearch"] {
        let product = if home.ends_with("opensearch") { "opensearch" } else { "elasticsearch" };
        root.file(&format!("{home}/bin/{product}"), "");
        root.file(&format!("{home}/config/{product}.yml"), "");
    }
    root.file("opt/other/bin/elasticsearch", "");
    let found = root.discover();
    let names: Vec<&str> = found.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "elasticsearch:/home/es/elasticsearch/config",
            "elasticsearch:/opt/elasticsearch-8.14.3/config",
            "opensearch:/usr/local/opensearch/config",
        ]
    );
    assert!(places(&found).contains(&"data /opt/elasticsearch-8.14.3/data".to_owned()));
}

#[test]
fn wazuhs_indexer_is_opensearch_under_its_own_name() {
    let root = Root::new();
    root.file(
        "etc/wazuh-indexer/opensearch.yml",
        "path.data: /var/lib/wazuh-indexer\nnode.master: true\n",
    );
    let found = root.discover();
    let [service] = found.services.as_slice() else { panic!("{found:?}") };
    assert_eq!((service.product.as_str(), service.name.as_str()), ("opensearch", "wazuh-indexer"));
    assert_eq!(service.roles, ["master"]);
    assert_eq!(found.keystores[0].path, "/etc/wazuh-indexer/opensearch.keystore".into());
}

#[test]
fn images_take_settings_from_their_environment_and_hosts_do_not() {
    let root = Root::new();
    let environment = ["ES_SETTING_PATH_DATA=/vol/data", "path.logs=/vol/logs", "node.name=es-9"];
    root.process(77, 1, ONE_JVM, &environment);
    assert!(!places(&root.discover()).contains(&"data /vol/data".to_owned()));
    root.file("proc/77/cgroup", format!("0::/docker/{}\n", "ab".repeat(32)));
    let found = root.discover();
    let places = places(&found);
    assert!(places.contains(&"data /vol/data".to_owned()), "{places:?}");
    assert!(places.contains(&"logs /vol/logs".to_owned()), "{places:?}");
    assert_eq!(found.services[0].name, "elasticsearch:es-9");
}

#[test]
fn what_a_node_holds_open_counts_whatever_its_settings_say_now() {
    let root = Root::new();
    root.file("etc/elasticsearch/elasticsearch.yml", "path.data: /new\npath.logs: /var/log/es\n");
    root.process(77, 1, ONE_JVM, &[]);
    for (descriptor, path, flags) in [
        (3, "/old/nodes/0/node.lock", "0100002"),
        (4, "/var/log/es/x.log", "0102001"),
        (5, "/srv/elsewhere/audit.json", "0102001"),
        (6, "/usr/share/java/x.jar", "0100000"),
        (7, "/gone/x (deleted)", "0100002"),
        (8, "/dev/shm/x", "0100002"),
    ] {
        fs::create_dir_all(root.path().join("proc/77/fd")).unwrap();
        root.link(path, &format!("proc/77/fd/{descriptor}"));
        root.file(&format!("proc/77/fdinfo/{descriptor}"), format!("pos:\t0\nflags:\t{flags}\n"));
    }
    let found = root.discover();
    let places = places(&found);
    assert!(places.contains(&"data /old/nodes/0".to_owned()), "{places:?}");
    assert!(places.contains(&"logs /srv/elsewhere".to_owned()), "{places:?}");
    assert!(places.contains(&"data /gone".to_owned()), "{places:?}");
    assert!(
        !places.iter().any(|place| place.contains("java") || place.contains("shm")),
        "{places:?}"
    );
    let claims: Vec<_> = found.claims.iter().filter(|claim| claim.setting == "path.data").collect();
    let said: Vec<_> = claims.iter().map(|claim| (claim.source, claim.values.join(","))).collect();
    let expected = [(crate::drift::Source::Files, "/new"), (crate::drift::Source::Process, "/old")];
    assert_eq!(said, expected.map(|(source, path)| (source, path.to_owned())));
}

#[test]
fn two_nodes_with_one_configuration_are_two_services() {
    let root = Root::new();
    root.file("etc/elasticsearch/elasticsearch.yml", "cluster.name: c\n");
    for (pid, node) in [(77, "a"), (78, "b")] {
        let mut argv = ONE_JVM.to_vec();
        let (name, data) = (format!("-Enode.name={node}"), format!("-Epath.data=/d/{node}"));
        argv.extend([name.as_str(), data.as_str()]);
        root.process(pid, 1, &argv, &[]);
    }
    let found = root.discover();
    let names: Vec<&str> = found.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["elasticsearch:a", "elasticsearch:b"]);
    assert!(places(&found).contains(&"data /d/b".to_owned()));
}

#[test]
fn nodes_without_names_are_told_apart_whatever_their_order() {
    let names = |nodes: &[(i32, &str, &str)]| -> Vec<String> {
        let root = Root::new();
        root.file("srv/conf/elasticsearch.yml", "cluster.name: c\n");
        for (pid, uid, data) in nodes {
            let data = format!("-Epath.data={data}");
            let argv = ["java", "-Des.path.conf=/srv/conf", ONE_JVM[5], &data];
            root.process(*pid, 1, &argv, &[]);
            let status =
                format!("Name:\tx\nPPid:\t1\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t7\t7\t7\t7\n");
            root.file(&format!("proc/{pid}/status"), status);
        }
        root.discover().services.into_iter().map(|service| service.name).collect()
    };
    let by_account = ["elasticsearch:/srv/conf:@1001", "elasticsearch:/srv/conf:@1002"];
    assert_eq!(names(&[(77, "1001", "/d"), (78, "1002", "/e")]), by_account);
    assert_eq!(names(&[(78, "1001", "/d"), (77, "1002", "/e")]), by_account);
    let by_data = ["elasticsearch:/srv/conf:/d", "elasticsearch:/srv/conf:/e"];
    assert_eq!(names(&[(77, "1001", "/d"), (78, "1001", "/e")]), by_data);
    assert_eq!(names(&[(78, "1001", "/d"), (77, "1001", "/e")]), by_data);
    assert_eq!(names(&[(77, "1001", "/d")]), ["elasticsearch:/srv/conf"]);
}

#[test]
fn units_with_one_configuration_and_data_of_their_own_are_two_nodes() {
    let root = Root::new();
    root.file("srv/conf/elasticsearch.yml", "cluster.name: c\n");
    for name in ["a", "b"] {
        root.file(
            &format!("etc/systemd/system/elasticsearch-{name}.service"),
            format!("[Service]\nUser=elasticsearch\nEnvironment=ES_PATH_CONF=/srv/conf\nStandardOutput=file:/srv/out/{name}.log\nExecStart=/opt/es/bin/elasticsearch -Epath.data=/d/{name}\n"),
        );
    }
    let places = places(&root.discover());
    for place in ["data /d/a", "data /d/b", "logs /srv/out"] {
        assert!(places.contains(&place.to_owned()), "{places:?}");
    }
}

#[test]
fn a_stopped_unit_with_the_settings_of_a_running_node_keeps_data_of_its_own() {
    let root = Root::new();
    root.file("srv/conf/elasticsearch.yml", "cluster.name: c\n");
    for name in ["a", "b"] {
        root.file(
            &format!("etc/systemd/system/elasticsearch-{name}.service"),
            format!("[Service]\nUser=elasticsearch\nEnvironment=ES_PATH_CONF=/srv/conf\nExecStart=/opt/es/bin/elasticsearch -Epath.data=/d/{name} -Epath.logs=/l/{name}\n"),
        );
    }
    let argv = [
        "java",
        "-Des.path.home=/opt/es",
        "-Des.path.conf=/srv/conf",
        "org.elasticsearch.bootstrap.Elasticsearch",
        "-Epath.data=/d/a",
        "-Epath.logs=/l/a",
    ];
    root.process(77, 1, &argv, &[]);
    let found = root.discover();
    assert_eq!(found.services.len(), 1, "{:?}", found.services);
    let places = places(&found);
    for place in ["data /d/a", "data /d/b", "logs /l/a", "logs /l/b"] {
        assert!(places.contains(&place.to_owned()), "{place}: {places:?}");
    }
}

#[test]
fn what_a_stopped_unit_sees_otherwise_is_assumed() {
    let of = |settings: &str| {
        let root = Root::new();
        root.file("etc/elasticsearch/elasticsearch.yml", "path.data: /d/es\npath.logs: /l\n");
        root.file(
            "etc/systemd/system/elasticsearch.service",
            format!("[Service]\nUser=elasticsearch\nEnvironment=ES_HOME=/usr/share/elasticsearch ES_PATH_CONF=/etc/elasticsearch\n{settings}\n"),
        );
        root.discover()
    };
    for settings in [
        "BindPaths=/plain:/d:rbind",
        "BindPaths=/a \\\n /plain:/d/es",
        "TemporaryFileSystem=/d:ro",
        "BindReadOnlyPaths=-/plain:/d",
    ] {
        let found = of(settings);
        assert_eq!(assumed(&found), ["data /d/es"], "{settings}");
        let [gap] = found.gaps.as_slice() else { panic!("{:?}", found.gaps) };
        assert!(gap.subject.starts_with("elasticsearch: /d"), "{gap:?}");
    }
    assert_eq!(assumed(&of("RootDirectory=/srv/jail")).len(), 4);
    for settings in
        ["BindPaths=/d", "BindPaths=/d:/d", "BindPaths=/x:/d\nBindPaths=", "RootDirectory=/"]
    {
        let found = of(settings);
        assert_eq!((assumed(&found).len(), found.gaps.len()), (0, 0), "{settings}");
    }
}

#[test]
fn a_unit_may_name_the_files_of_its_environment_by_a_pattern() {
    let root = Root::new();
    root.file("srv/conf/elasticsearch.yml", "path.data: ${DATA}\n");
    root.file("etc/es.env.d/10.env", "ES_PATH_CONF=/srv/conf\nDATA=/d/first\n");
    root.file("etc/es.env.d/20.env", "DATA=/d/last\n");
    root.file(
        "etc/systemd/system/elasticsearch.service",
        "[Service]\nUser=elasticsearch\nEnvironment=ES_HOME=/usr/share/elasticsearch\nEnvironmentFile=-/etc/es.env.d/*.env\n",
    );
    let found = root.discover();
    assert!(places(&found).contains(&"data /d/last".to_owned()), "{:?}", places(&found));
    let is_variables = |place: &&secrets::Place| place.form == secrets::Form::Variables;
    assert_eq!(found.configurations.iter().filter(is_variables).count(), 2);
}

#[test]
fn of_many_entries_directories_are_looked_at_before_files() {
    let root = Root::new();
    for number in 0..1100 {
        root.file(&format!("home/eve/a{number}"), "");
    }
    root.file("home/eve/es/bin/elasticsearch", "");
    root.file("home/eve/es/config/elasticsearch.yml", "path.data: /d\n");
    let found = root.discover();
    assert_eq!((found.services.len(), found.gaps.len()), (1, 0), "{:?}", found.gaps);
    for number in 0..1100 {
        fs::create_dir(root.path().join(format!("home/eve/b{number}"))).unwrap();
    }
    let gaps = root.discover().gaps;
    assert!(gaps.iter().any(|gap| gap.detail.contains("entries of /home/eve")), "{gaps:?}");
}

#[test]
fn defaults_are_assumed_where_the_environment_that_may_name_the_settings_is_not_known() {
    let root = Root::new();
    let server = "org.elasticsearch.server/org.elasticsearch.bootstrap.Elasticsearch";
    root.process(71, 1, &["java", "--module-path", "/srv/es/lib", "-m", server], &[]);
    assert_eq!(assumed(&root.discover()), [""; 0]);
    fs::remove_file(root.path().join("proc/71/environ")).unwrap();
    fs::create_dir(root.path().join("proc/71/environ")).unwrap();
    assert_eq!(assumed(&root.discover()), ["data /srv/es/data", "logs /srv/es/logs"]);
}

#[test]
fn sources_that_cannot_be_read_are_gaps() {
    let root = Root::new();
    root.file("etc/elasticsearch/elasticsearch.yml", "path.data: /d\n");
    // Directories in their place can be read by nobody.
    fs::create_dir_all(root.path().join("etc/elasticsearch/jvm.options")).unwrap();
    fs::create_dir_all(root.path().join("etc/default/elasticsearch")).unwrap();
    let subjects: Vec<String> = root.discover().gaps.into_iter().map(|gap| gap.subject).collect();
    assert_eq!(subjects, ["/etc/default/elasticsearch", "/etc/elasticsearch/jvm.options"]);
}

#[test]
fn programs_that_anybody_may_start_keep_nothing_else_from_being_looked_at() {
    let root = Root::new();
    root.file("etc/elasticsearch/elasticsearch.yml", "path.data: /srv/own\n");
    for process in 0..6 {
        let paths: Vec<String> = (0..600).map(|number| format!("/p{process}/{number}")).collect();
        let setting = format!("-Epath.data={}", paths.join(","));
        let config = format!("-Des.path.conf=/home/eve/{process}");
        let argv = ["java", &config, "org.elasticsearch.bootstrap.Elasticsearch", &setting];
        root.process(77 + process, 1, &argv, &[]);
    }
    let found = root.discover();
    assert!(found.places.iter().any(|place| place.path == "/srv/own".into()));
    assert_eq!(found.places.len(), 2000);
    let gaps: Vec<&str> = found.gaps.iter().map(|gap| gap.subject.as_str()).collect();
    assert!(gaps.contains(&"paths of all services"), "{gaps:?}");
}

#[test]
fn an_archive_keeps_its_data_when_something_else_runs_with_its_settings() {
    let root = Root::new();
    root.file("opt/es/bin/elasticsearch", "");
    root.file("opt/es/lib/elasticsearch-8.1.0.jar", "");
    root.file("opt/es/config/elasticsearch.yml", "path.data: /srv/own\n");
    root.file("srv/own/node.lock", "");
    let main = "org.elasticsearch.bootstrap.Elasticsearch";
    let argv = ["java", "-Des.path.conf=/opt/es/config", main, "-Epath.data=/home/eve"];
    root.process(77, 1, &argv, &[]);
    let found = root.discover();
    let data: Vec<String> = found
        .places
        .iter()
        .filter(|place| place.usage == Use::Data)
        .map(|place| place.path.to_string())
        .collect();
    assert!(data.contains(&"/srv/own".to_owned()), "{data:?}");
    assert!(data.contains(&"/home/eve".to_owned()), "{data:?}");
}

#[test]
fn any_number_of_paths_is_bounded_and_said() {
    let root = Root::new();
    let paths: Vec<String> = (0..2000).map(|number| format!("/d{number}")).collect();
    let setting = format!("-Epath.data={}", paths.join(","));
    let mut argv = ONE_JVM.to_vec();
    argv.push(&setting);
    root.process(77, 1, &argv, &[]);
    let found = root.discover();
    assert_eq!(found.places.len(), 500);
    assert!(
        found.gaps.iter().any(|gap| gap.subject == "paths of elasticsearch"),
        "{:?}",
        found.gaps
    );
}
