//! Recipes for other people's tools: they name only what there is.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::generated::{read, repository};

/// Words that begin like a metric of the server.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("atrest_")).map(str::to_owned).collect()
}

/// Every metric that the server tells of.
fn told() -> BTreeSet<String> {
    let mut told = metrics(&read("server/src/grpc/metrics.rs"));
    told.extend(metrics(&read("server/src/metrics/mod.rs")));
    told.retain(|name| name != "atrest_proto");
    assert!(told.len() > 10, "{told:?}");
    told
}

#[test]
fn rules_and_dashboard_ask_for_metrics_that_there_are() {
    let told = told();
    for file in [
        "packaging/prometheus/atrest.rules.yml",
        "packaging/prometheus/atrest.test.yml",
        "packaging/grafana/atrest.json",
    ] {
        let asked = metrics(&read(file));
        assert!(asked.len() >= 5, "{file}: {asked:?}");
        let unknown: Vec<_> = asked.difference(&told).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
}

#[test]
fn rules_and_dashboard_ask_for_states_and_verdicts_that_there_are() {
    let known = read("server/src/fleet/rollup.rs") + &read("server/src/grpc/metrics.rs");
    for file in ["packaging/prometheus/atrest.rules.yml", "packaging/grafana/atrest.json"] {
        let text = read(file).replace("\\\"", "\"");
        for label in ["state=", "state=~", "verdict=", "verdict=~", "status="] {
            for rest in text.split(&format!("{label}\"")).skip(1) {
                for word in rest.split('"').next().unwrap_or_default().split('|') {
                    assert!(known.contains(&format!("\"{word}\"")), "{file}: {label}{word}");
                }
            }
        }
    }
}

#[test]
fn each_rule_is_tried() {
    let tests = read("packaging/prometheus/atrest.test.yml");
    for line in read("packaging/prometheus/atrest.rules.yml").lines() {
        if let Some(name) = line.trim().strip_prefix("- alert: ") {
            assert!(tests.contains(&format!("alertname: {name}\n")), "{name}");
        }
    }
}

#[test]
fn panels_of_the_dashboard_are_told_apart() {
    let dashboard: Value = serde_json::from_str(&read("packaging/grafana/atrest.json")).unwrap();
    let panels = dashboard.get("panels").and_then(Value::as_array).unwrap();
    let ids: BTreeSet<_> =
        panels.iter().filter_map(|panel| panel.get("id").and_then(Value::as_u64)).collect();
    assert_eq!(ids.len(), panels.len());
}

#[test]
fn the_daemon_set_sees_the_host_and_writes_only_its_state() {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&read("packaging/kubernetes/agent.yaml")).unwrap();
    let kind = |kind: &str| {
        documents.iter().find(|document| document.get("kind").and_then(Value::as_str) == Some(kind))
    };
    let pod = kind("DaemonSet").and_then(|set| set.pointer("/spec/template/spec")).unwrap();
    assert_eq!(pod.get("hostPID"), Some(&Value::Bool(true)));
    assert_eq!(pod.get("automountServiceAccountToken"), Some(&Value::Bool(false)));
    for container in ["/initContainers/0", "/containers/0"] {
        let container = pod.pointer(container).unwrap();
        assert_eq!(
            container.pointer("/securityContext/readOnlyRootFilesystem"),
            Some(&Value::Bool(true))
        );
        let mounts = container.get("volumeMounts").and_then(Value::as_array).unwrap();
        for mount in mounts {
            let is_state = mount.get("mountPath").and_then(Value::as_str) == Some("/state");
            let is_read_only = mount.get("readOnly").and_then(Value::as_bool) == Some(true);
            assert_eq!(is_read_only, !is_state, "{mount}");
        }
    }
    // The configuration that it brings is one that the agent takes.
    let config = kind("ConfigMap").and_then(|map| map.pointer("/data/agent.toml")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("agent.toml");
    std::fs::write(&file, config.as_str().unwrap()).unwrap();
    atrest_agent::config::load(Some(&file)).unwrap();
}

#[test]
fn the_packages_version_is_the_workspaces() {
    let manifest = read("Cargo.toml");
    let version = manifest.lines().find_map(|line| line.strip_prefix("version = ")).unwrap();
    let version = version.trim_matches('"');
    let changelog = read("packaging/deb/changelog");
    assert!(changelog.starts_with(&format!("atrest ({version}-1) ")), "{version}");
    let pods = read("packaging/kubernetes/agent.yaml");
    assert!(pods.contains(&format!("atrest-agent:{version}\n")), "{version}");
}

#[test]
fn whatever_packages_are_made_of_is_there() {
    for manifest in ["agent/Cargo.toml", "server/Cargo.toml"] {
        let text = read(manifest);
        let quoted = text.split('"').skip(1).step_by(2);
        let files: Vec<_> = quoted
            .map(|word| word.trim_start_matches("../"))
            .filter(|word| word.starts_with("packaging/"))
            .collect();
        assert!(files.len() > 10, "{manifest}");
        for file in files {
            assert!(repository().join(file).exists(), "{manifest}: {file}");
        }
    }
}
