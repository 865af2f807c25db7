//! The reference configuration and the command line.

use std::path::Path;
use std::process::Command;

use atrest_server::config::Config;

fn reference() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/server.toml");
    std::fs::read_to_string(path).expect("the reference configuration")
}

/// The reference with its keys switched on: `#key = value` and `#[table]`, without a space, are keys.
fn switched_on(lists: bool) -> String {
    let mut in_list = false;
    reference()
        .lines()
        .filter_map(|line| {
            let key = line.strip_prefix('#').filter(|rest| !rest.starts_with([' ', '#']));
            let line = key.unwrap_or(line);
            if line.starts_with('[') {
                in_list = line.starts_with("[[");
            }
            (lists || !in_list).then_some(line)
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_reference_is_the_default() {
    assert_eq!(Config::parse(&reference()).unwrap(), Config::default(), "as installed");
    assert_eq!(Config::parse(&switched_on(false)).unwrap(), Config::default(), "with its keys on");
}

#[test]
fn the_reference_names_every_key_and_its_examples_are_valid() {
    let text = switched_on(true);
    let config = Config::parse(&text).unwrap();
    // One of each kind.
    assert_eq!((config.notify.notifiers.len(), config.operators.tokens.len()), (7, 1));
    assert_eq!((config.routing.routes.len(), config.routing.quiet.len()), (1, 1));
    // What the example says of every notifier is what a webhook has when nothing is said.
    let terms = config.routing.terms.get("ops").unwrap();
    assert_eq!(terms.group_wait, Some(std::time::Duration::ZERO));
    let mut tables = vec![String::new()];
    let mut named = std::collections::BTreeSet::new();
    for line in text.lines() {
        // What cannot stand beside another key is named in a comment.
        let line = line.strip_prefix("# ").filter(|rest| is_key(rest)).unwrap_or(line);
        if line.starts_with('[') {
            let table = line.trim_matches(['[', ']']).to_owned();
            let parents = table.match_indices('.').map(|(at, _)| table.split_at(at).0.to_owned());
            tables.extend(parents);
            named.extend(tables.iter().filter(|table| !table.is_empty()).cloned());
            tables = vec![table.clone()];
            named.insert(table);
        } else if let Some((key, _)) = line.split_once(" = ") {
            let table = &tables[0];
            named.insert(if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") });
        }
    }
    // What every notifier has is named once.
    let common = ["group_wait", "group_interval", "rate", "repeat_every"];
    let once = |key: &String| {
        let of = key.rsplit_once('.').filter(|(table, _)| table.starts_with("notify."));
        of.filter(|(_, key)| common.contains(key))
            .is_some_and(|(_, key)| named.contains(&format!("notify.webhook.{key}")))
    };
    let missing: Vec<_> =
        Config::known_keys().into_iter().filter(|key| !named.contains(key) && !once(key)).collect();
    assert!(missing.is_empty(), "packaging/server.toml does not name {missing:?}");
}

/// `key = "value"`, and no sentence.
fn is_key(line: &str) -> bool {
    line.split_once(" = \"")
        .is_some_and(|(key, _)| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
}

#[test]
fn validate_tells_everything_that_is_wrong_and_exits_64() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("server.toml");
    std::fs::write(&path, "[agents]\nlisten = 7\nheartbeat = \"1s\"\n").unwrap();
    let validate = || {
        Command::new(env!("CARGO_BIN_EXE_atrest-server"))
            .args(["validate", "--config"])
            .arg(&path)
            .output()
            .unwrap()
    };
    let output = validate();
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8(output.stderr).unwrap();
    for line in [":2: `agents.listen` is 7", ":3: unknown key `agents.heartbeat`"] {
        assert!(said.contains(line), "{said}");
    }
    let webhook = "[[notify.webhook]]\nname = \"ops\"\nurl = \"http://localhost/\"\n\
                   secret_file = \"/nonexistent/secret\"\n";
    std::fs::write(&path, webhook).unwrap();
    let output = validate();
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("webhook `ops`") && said.contains("/nonexistent/secret"), "{said}");
    std::fs::write(&path, "").unwrap();
    assert_eq!(validate().status.code(), Some(0));
    let usage = Command::new(env!("CARGO_BIN_EXE_atrest-server")).arg("--nonsense").output();
    assert_eq!(usage.unwrap().status.code(), Some(64));
}
