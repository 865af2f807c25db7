//! Hosts with container engines, each a directory with the files that the engine keeps.

use atrest_proto::model::Gap;

use super::docker::image;
use super::*;
use crate::discovery::{Declared, Discovery};
use crate::host::recorded::RecordedHost;
use crate::snapshot::Observed;

fn found(files: &[(&str, &str)]) -> Discovery {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    crate::discovery::discover(&RecordedHost::new(root.path()), &Declared::default())
}

fn places(found: &Discovery) -> Vec<String> {
    let places = found.places.iter().filter(|place| place.usage != Use::Temp);
    places.map(|place| format!("{} {}", place.usage, place.path)).collect()
}

fn keystores(found: &Discovery) -> Vec<String> {
    found.keystores.iter().map(|keystore| keystore.path.to_string()).collect()
}

#[test]
fn an_image_is_known_by_its_name_alone() {
    let product = |name: &str| image(name).map(|image| image.product);
    assert_eq!(
        product("docker.elastic.co/elasticsearch/elasticsearch:8.19.4@sha256:00"),
        Some("elasticsearch")
    );
    assert_eq!(product("elasticsearch"), Some("elasticsearch"));
    assert_eq!(product("registry:5000/mirror/elasticsearch-wolfi:9"), Some("elasticsearch"));
    assert_eq!(product("opensearchproject/opensearch:2"), Some("opensearch"));
    assert_eq!(product("opensearchproject/opensearch-dashboards:2"), Some("opensearch-dashboards"));
    assert_eq!(product("docker.elastic.co/beats/filebeat-wolfi:9.1.0"), Some("filebeat"));
    assert_eq!(product("docker.elastic.co/beats/elastic-agent-complete:9"), Some("elastic-agent"));
    assert_eq!(product("prometheuscommunity/elasticsearch-exporter:v1"), None);
    assert_eq!(product("nginx"), None);
}

#[test]
fn a_stopped_beat_rests_where_its_image_has_its_data() {
    let id = "ab".repeat(32);
    let description = r#"{"Name":"/fb","Config":{"Image":"docker.elastic.co/beats/filebeat:8.15.0"},
        "MountPoints":{"/usr/share/filebeat/data":{"Source":"/srv/fb"}}}"#;
    let found = found(&[
        (&format!("var/lib/docker/containers/{id}/config.v2.json"), description),
        ("srv/fb/filebeat.keystore", ""),
    ]);
    assert_eq!(
        places(&found),
        ["data /srv/fb".to_owned(), format!("logs /var/lib/docker/containers/{id}")]
    );
    assert_eq!(keystores(&found), ["/srv/fb/filebeat.keystore"]);
    assert_eq!(found.services[0].name, "filebeat:fb");
}

#[test]
fn a_stopped_container_rests_on_its_mounts_and_its_writable_layer() {
    let id = "ab".repeat(32);
    let root = "srv/docker";
    let description = r#"{"ID":"x","Name":"/es-cold","Config":{"Image":"elasticsearch:8.19.4",
        "Env":["PATH=/bin","ELASTIC_PASSWORD=hunter2","cluster.name=prod","ES_SETTING_PATH_LOGS=/vol/logs"],
        "Cmd":["eswrapper","-Enode.name=cold-1"]},
        "MountPoints":{"/usr/share/elasticsearch/data":{"Source":"/srv/volumes/es/_data","Destination":"/usr/share/elasticsearch/data"},
        "/vol":{"Source":"/mnt/vol"}}}"#;
    let found = found(&[
        ("etc/docker/daemon.json", "{\"data-root\": \"/srv/docker\"}"),
        (&format!("{root}/containers/{id}/config.v2.json"), description),
        (&format!("{root}/image/overlay2/layerdb/mounts/{id}/mount-id"), "0f0f\n"),
        (
            &format!(
                "{root}/overlay2/0f0f/diff/usr/share/elasticsearch/config/elasticsearch.keystore"
            ),
            "",
        ),
        ("srv/volumes/es/_data/node.lock", ""),
        (
            &format!("{root}/containers/{}/config.v2.json", "cd".repeat(32)),
            "{\"Config\":{\"Image\":\"nginx\"}}",
        ),
        (&format!("{root}/containers/{}/config.v2.json", "ef".repeat(32)), "not json"),
    ]);
    assert_eq!(
        places(&found),
        [
            "logs /mnt/vol/logs".to_owned(),
            format!("logs /{root}/containers/{id}"),
            format!("config /{root}/overlay2/0f0f/diff/usr/share/elasticsearch/config"),
            "data /srv/volumes/es/_data".to_owned(),
        ]
    );
    let run_as = found.keystores[0].run_as.as_ref().unwrap();
    assert_eq!((run_as.uid, run_as.gid), (1000, 0));
    assert_eq!(
        keystores(&found),
        [format!(
            "/{root}/overlay2/0f0f/diff/usr/share/elasticsearch/config/elasticsearch.keystore"
        )]
    );
    let [service] = found.services.as_slice() else { panic!("{found:?}") };
    assert_eq!(service.name, "elasticsearch:es-cold");
    assert_eq!(service.cluster_name.as_deref(), Some("prod"));
    assert_eq!(service.node_name.as_deref(), Some("cold-1"));
    assert!(!format!("{found:?}").contains("hunter2"));
    let [kept] = found.configurations.as_slice() else { panic!("{found:?}") };
    assert_eq!(kept.path.to_string(), format!("/{root}/containers/{id}/config.v2.json"));
    assert_eq!(kept.form, crate::secrets::Form::Container);
    assert_eq!(kept.service.as_deref(), Some("elasticsearch:es-cold"));
}

#[test]
fn a_stopped_container_has_the_paths_that_words_and_a_mounted_file_name() {
    let id = "ab".repeat(32);
    let container = format!("var/lib/docker/containers/{id}/config.v2.json");
    let description = r#"{"Name":"/es","Config":{"Image":"elasticsearch:9","User":"1001:5","Env":["path.repo=/vol/r1,/vol/r2","D=d"],
        "Cmd":["eswrapper","-E","path.data=/vol/x"]},"MountPoints":{"/vol":{"Source":"/srv/vol"},
        "/usr/share/elasticsearch/config":{"Source":"/srv/conf"}}}"#;
    let yml = "path.data: /vol/overruled\npath.logs: /vol/${D}\n";
    let found = found(&[
        (&container, description),
        ("srv/conf/elasticsearch.yml", yml),
        ("srv/conf/elasticsearch.keystore", ""),
    ]);
    assert_eq!(
        places(&found),
        [
            "config /srv/conf".to_owned(),
            "logs /srv/vol/d".to_owned(),
            "repository /srv/vol/r1".to_owned(),
            "repository /srv/vol/r2".to_owned(),
            "data /srv/vol/x".to_owned(),
            format!("logs /var/lib/docker/containers/{id}"),
        ]
    );
    let run_as = found.keystores[0].run_as.as_ref().unwrap();
    assert_eq!((run_as.uid, run_as.gid), (1001, 5));
    let gaps = found.gaps.iter().filter(|gap| gap.subject != "/proc");
    assert_eq!(gaps.count(), 0, "{:?}", found.gaps);
}

#[test]
fn a_stopped_container_of_a_user_namespace_has_the_hosts_ids() {
    use crate::keystore::ids::Root;
    let container = format!("var/lib/docker/231072.300000/containers/{}", "ab".repeat(32));
    let description = r#"{"Name":"/es","Config":{"Image":"elasticsearch:9"},
        "MountPoints":{"/usr/share/elasticsearch/config":{"Source":"/srv/conf"}}}"#;
    let found = |subuid: &str, mode: &str| {
        let found = found(&[
            (&format!("{container}/config.v2.json"), description),
            (&format!("{container}/hostconfig.json"), mode),
            ("srv/conf/elasticsearch.keystore", ""),
            ("etc/subuid", subuid),
            ("etc/subgid", "dockremap:300000:65536\n"),
        ]);
        let [keystore] = found.keystores.as_slice() else { panic!("{found:?}") };
        let ids = keystore.run_as.as_ref().map(|account| (account.uid, account.gid));
        (ids, keystore.root.clone())
    };
    let whole = "alice:100000:65536\ndockremap:231072:65536\n";
    let root = Observed::Known(Root { uid: 231_072, gid: 300_000 });
    assert_eq!(found(whole, "{}"), (Some((232_072, 300_000)), root));
    assert_eq!(found(whole, "{\"UsernsMode\":\"host\"}"), (Some((1000, 0)), Observed::Absent));
    let (_, unknown) = found("alice:100000:65536\n", "{}");
    assert!(unknown.trouble().unwrap().detail.contains("/etc/subuid"), "{unknown:?}");
    let (ids, short) = found("dockremap:231072:1000\n", "{}");
    assert!(ids.is_none() && short.trouble().is_some(), "{short:?}");
}

#[test]
fn what_is_damaged_of_a_container_is_a_gap_and_quotes_nothing() {
    let id = "ab".repeat(32);
    let found = found(&[
        ("etc/docker/daemon.json", "{"),
        (
            &format!("var/lib/docker/containers/{id}/config.v2.json"),
            r#"{"Config":{"Image":"elasticsearch:8","Env":["ELASTIC_PASSWORD=hunter2""#,
        ),
    ]);
    let gaps = found.gaps.iter().filter(|gap| gap.subject != "/proc");
    assert_eq!(gaps.count(), 2, "{:?}", found.gaps);
    assert!(!format!("{found:?}").contains("hunter2"));
}

const JVM: &str = "java\0-Des.path.home=/usr/share/elasticsearch\0-Des.path.conf=/usr/share/elasticsearch/config\0\
                   org.elasticsearch.bootstrap.Elasticsearch\0";

#[test]
fn a_running_container_is_not_found_twice_and_its_logs_are() {
    let id = "ab".repeat(32);
    let found = found(&[
        ("proc/1/cmdline", "init\0"),
        ("proc/77/cmdline", JVM),
        ("proc/77/status", "PPid:\t1\nUid:\t1\t1\t1\t1\nGid:\t0\t0\t0\t0\n"),
        ("proc/77/environ", "node.name=es-1\0"),
        ("proc/77/cgroup", &format!("0::/system.slice/docker-{id}.scope\n")),
        (
            &format!("var/lib/docker/containers/{id}/config.v2.json"),
            "{\"Config\":{\"Image\":\"elasticsearch:8\"}}",
        ),
    ]);
    assert_eq!(found.services.len(), 1, "{:?}", found.services);
    assert_eq!(found.services[0].state, "running");
    assert!(places(&found).contains(&format!("logs /var/lib/docker/containers/{id}")));
    let kept =
        found.configurations.iter().filter(|one| one.form == crate::secrets::Form::Container);
    let kept: Vec<_> = kept.map(|one| (one.path.to_string(), one.service.clone())).collect();
    let path = format!("/var/lib/docker/containers/{id}/config.v2.json");
    assert_eq!(kept, [(path, Some(found.services[0].name.clone()))]);
}

const UID: &str = "6d2f1a3b-0c4d-4e5f-8a9b-0123456789ab";

#[test]
fn the_volumes_of_a_pod_are_found_without_its_processes() {
    let pod = format!("var/lib/kubelet/pods/{UID}/volumes");
    let config =
        format!("{pod}/kubernetes.io~empty-dir/elastic-internal-elasticsearch-config-local");
    let found = found(&[
        (&format!("{config}/elasticsearch.yml"), ""),
        (&format!("{config}/elasticsearch.keystore"), ""),
        (&format!("{pod}/kubernetes.io~csi/pvc-1/mount/node.lock"), ""),
        (&format!("{pod}/kubernetes.io~local-volume/local-pv-7/node.lock"), ""),
        (&format!("{pod}/kubernetes.io~empty-dir/elasticsearch-logs/x.log"), ""),
        (&format!("{pod}/kubernetes.io~secret/elastic-internal-http-certificates/tls.key"), ""),
        (&format!("var/log/pods/elastic_es-0_{UID}/elasticsearch/0.log"), ""),
        ("var/log/pods/elastic_es-0_other/elasticsearch/0.log", ""),
        ("var/lib/kubelet/pods/other/volumes/kubernetes.io~csi/pvc-2/mount/x", ""),
    ]);
    assert_eq!(
        places(&found),
        [
            format!("data /{pod}/kubernetes.io~csi/pvc-1/mount"),
            format!("config /{config}"),
            format!("logs /{pod}/kubernetes.io~empty-dir/elasticsearch-logs"),
            format!("data /{pod}/kubernetes.io~local-volume/local-pv-7"),
            format!("logs /var/log/pods/elastic_es-0_{UID}"),
        ]
    );
    assert_eq!(keystores(&found), [format!("/{config}/elasticsearch.keystore")]);
    assert_eq!(found.services[0].name, format!("elasticsearch:pod-{UID}"));
}

#[test]
fn a_pod_whose_process_is_seen_is_not_found_twice() {
    let pod = format!("var/lib/kubelet/pods/{UID}/volumes/kubernetes.io~empty-dir");
    let cgroup = format!(
        "0::/kubepods.slice/kubepods-pod{}.slice/cri-containerd-{}.scope\n",
        UID.replace('-', "_"),
        "4f".repeat(32)
    );
    let found = found(&[
        ("proc/77/cmdline", JVM),
        ("proc/77/status", "PPid:\t1\nUid:\t1\t1\t1\t1\nGid:\t0\t0\t0\t0\n"),
        ("proc/77/environ", ""),
        ("proc/77/cgroup", &cgroup),
        (&format!("{pod}/elastic-internal-elasticsearch-config-local/elasticsearch.yml"), ""),
        (&format!("var/log/pods/elastic_es-0_{UID}/elasticsearch/0.log"), ""),
    ]);
    assert_eq!(found.services.len(), 1, "{:?}", found.services);
    assert!(places(&found).contains(&format!("logs /var/log/pods/elastic_es-0_{UID}")));
}

#[test]
fn the_storage_of_cloud_enterprise_is_a_place() {
    let found = found(&[("mnt/data/elastic/192.0.2.1/services/x", "")]);
    assert_eq!(places(&found), ["data /mnt/data/elastic"]);
    assert_eq!(found.services[0].product, "ece");
}

const RUNNER: &str = r#"{"Name":"/frc-runners-runner","Config":{"Image":"cloud-enterprise/elastic-cloud-enterprise:3.7",
    "Env":["FOUND_ZK_READWRITE=root:hunter2","HOST_STORAGE_PATH=/srv/ece"]}}"#;

/// How often it is said that the storage is not known.
fn unknown(found: &Discovery) -> usize {
    let is_its = |gap: &&Gap| gap.subject == "storage of Elastic Cloud Enterprise";
    found.gaps.iter().filter(is_its).count()
}

#[test]
fn cloud_enterprises_runner_tells_where_its_storage_is() {
    let id = "ab".repeat(32);
    let path = format!("docker/containers/{id}/config.v2.json");
    let of = |files: &[(&str, &str)]| {
        let found = found(files);
        assert!(!format!("{found:?}").contains("hunter2"));
        found
    };
    let docker = format!("var/lib/{path}");
    let by_docker = of(&[(&docker, RUNNER)]);
    assert_eq!(places(&by_docker), ["data /srv/ece"]);
    assert_eq!((by_docker.services.len(), unknown(&by_docker)), (1, 0), "{by_docker:?}");
    let moved = format!("mnt/data/{path}");
    let settings = ("etc/docker/daemon.json", r#"{"data-root":"/mnt/data/docker"}"#);
    let both = of(&[settings, (&moved, RUNNER), ("mnt/data/elastic/x", "")]);
    assert_eq!(places(&both), ["data /mnt/data/elastic", "data /srv/ece"]);
    assert_eq!(both.services.len(), 1);
    let other = RUNNER.replace("frc-runners-runner", "web");
    assert_eq!(places(&of(&[(&docker, &other)])), [""; 0]);
    // That it is one and where it writes is not known.
    let without = of(&[(&docker, &RUNNER.replace("HOST_STORAGE_PATH", "X"))]);
    assert_eq!(unknown(&without), 1, "{without:?}");
}

#[test]
fn under_podman_the_runner_tells_it_too() {
    let list = r#"[{"id":"ab12","names":["web"]},{"id":"cd34","names":["frc-runners-runner"],"layer":"x"},
        {"id":"../../etc","names":["frc-runners-runner"]}]"#;
    let bundle =
        r#"{"ociVersion":"1.0","process":{"env":["A=hunter2","HOST_STORAGE_PATH=/srv/ece"]}}"#;
    let settings = ("etc/containers/storage.conf", "[storage]\ngraphroot = \"/mnt/data/docker\"\n");
    let base = "mnt/data/docker/overlay-containers";
    let (list_path, path) =
        (format!("{base}/containers.json"), format!("{base}/cd34/userdata/config.json"));
    let found = |list: &str, bundle: &str| {
        let found = found(&[settings, (&list_path, list), (&path, bundle)]);
        assert!(!format!("{found:?}").contains("hunter2"));
        found
    };
    assert_eq!(places(&found(list, bundle)), ["data /srv/ece"]);
    for found in [found("{", bundle), found(list, "{"), found(list, r#"{"process":{}}"#)] {
        assert_eq!((places(&found).len(), unknown(&found)), (0, 1), "{found:?}");
    }
}
