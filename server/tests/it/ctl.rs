//! `atrestctl` as the real program, against a server in process.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};

use atrest_proto::model::Verdict;
use atrest_proto::token::EnrollmentToken;

use crate::harness::{Server, config, directory, report, within};

/// Runs `atrestctl` beside the server, as its admin unless the arguments say otherwise.
pub(crate) async fn ctl(server: &Server, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_atrestctl"));
    command
        .env("ATREST_SERVER", format!("https://localhost:{}", server.running.operators_addr.port()))
        .env("ATREST_CA", server.running.authority_file())
        .env("ATREST_TOKEN_FILE", server.running.admin_token_file())
        .args(args);
    let run = tokio::task::spawn_blocking(move || command.output().unwrap());
    let Output { status, stdout, stderr } = within(run).await.unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

pub(crate) async fn answer(server: &Server, args: &[&str]) -> String {
    let (code, stdout, stderr) = ctl(server, args).await;
    assert_eq!((code, &*stderr), (Some(0), ""), "{args:?}");
    stdout
}

#[tokio::test]
async fn it_shows_the_fleet_to_people_and_to_programs() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    stream.report(report(1, agent.posture(&[("/srv/es", Verdict::Unencrypted)]))).await.unwrap();

    let status = answer(&server, &["status"]).await;
    assert!(status.starts_with("1 host enrolled, 1 connected\n"), "{status}");
    assert!(!status.contains('\u{1b}'), "no colour where there is no terminal");
    assert!(answer(&server, &["nodes"]).await.contains("unencrypted  es-1  prod"));
    assert!(answer(&server, &["nodes", "--state", "encrypted"]).await.contains("no hosts"));
    for args in [["node", "es-1"], ["node", &agent.host_id]] {
        let node = answer(&server, &args).await;
        assert!(node.contains("unencrypted /srv/es (data)"), "{node}");
        assert!(node.contains("→ put dm-crypt under it"), "{node}");
    }
    let findings = answer(&server, &["findings"]).await;
    assert!(findings.contains("fail high es-1 volume_encrypted data:/srv/es"), "{findings}");
    assert!(answer(&server, &["findings", "--check", "luks_kdf"]).await.contains("no findings"));
    let alerts = answer(&server, &["alerts"]).await;
    assert!(alerts.contains("firing high es-1 volume_encrypted data:/srv/es"), "{alerts}");

    for (command, schema) in [
        ("status", "atrest.status/1"),
        ("nodes", "atrest.nodes/1"),
        ("findings", "atrest.findings/1"),
        ("alerts", "atrest.alerts/1"),
    ] {
        let json = answer(&server, &[command, "--format", "json"]).await;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["schema"], schema);
    }
    let node = answer(&server, &["node", "es-1", "--format", "json"]).await;
    let node: serde_json::Value = serde_json::from_str(&node).unwrap();
    assert_eq!(node["posture"]["paths"][0]["plain"][0]["device"], "/dev/sdb");
    server.stop().await;
}

#[tokio::test]
async fn it_makes_lists_and_revokes_tokens() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let made = answer(&server, &["token", "create", "--cluster", "logs", "--uses", "2"]).await;
    EnrollmentToken::decode(made.lines().next().unwrap()).unwrap();
    let made = answer(&server, &["token", "create", "--ttl", "8h", "--format", "json"]).await;
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    EnrollmentToken::decode(made["token"].as_str().unwrap()).unwrap();
    let id = made["token_id"].as_str().unwrap();
    answer(&server, &["token", "revoke", id]).await;
    let labelled = ["token", "create", "--label", "env=prod", "--label", "rack=7"];
    let made = answer(&server, &labelled).await;
    let token = EnrollmentToken::decode(made.lines().next().unwrap()).unwrap();
    let mut agent = crate::harness::Agent::new("es-9");
    agent.enroll(server.agents_port(), &server.ca, &token.secret).await.unwrap();
    let nodes = answer(&server, &["nodes", "--label", "env=prod", "--label", "rack=7"]).await;
    assert!(nodes.contains("es-9") && nodes.contains("env=prod rack=7"), "{nodes}");
    assert!(answer(&server, &["nodes", "--label", "env=test"]).await.contains("no hosts"));
    assert_eq!(ctl(&server, &["nodes", "--label", "env"]).await.0, Some(64));
    let status = answer(&server, &["status", "--by", "label:rack", "--format", "json"]).await;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["groups"]["groups"][0]["name"], "7");
    assert_eq!(status["groups"]["groups"][0]["enrolled"], status["enrolled"]);
    let list = answer(&server, &["token", "list"]).await;
    assert!(list.contains("env=prod rack=7"), "{list}");
    assert!(list.lines().any(|line| line.starts_with("revoked") && line.contains(id)), "{list}");
    assert!(list.contains("logs"), "{list}");
    server.stop().await;
}

#[tokio::test]
async fn it_makes_lists_and_revokes_operators() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let made =
        answer(&server, &["operators", "create", "ada", "--role", "viewer", "--ttl", "3d"]).await;
    let token_file = dir.path().join("ada.token");
    std::fs::write(&token_file, made.lines().next().unwrap()).unwrap();
    std::fs::set_permissions(&token_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let token_file = token_file.to_str().unwrap();
    answer(&server, &["status", "--token-file", token_file]).await;
    let (code, _, stderr) = ctl(&server, &["operators", "list", "--token-file", token_file]).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("`ada` is viewer; this needs admin"), "{stderr}");
    let json = answer(&server, &["operators", "list", "--format", "json"]).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["schema"], &json["operators"][1]["name"]),
        (&"atrest.operators/1".into(), &"ada".into())
    );
    let said = answer(&server, &["operators", "revoke", "ada"]).await;
    assert!(said.contains("ada is worth nothing"), "{said}");
    assert_eq!(ctl(&server, &["status", "--token-file", token_file]).await.0, Some(1));
    let audit = answer(&server, &["audit"]).await;
    for row in [
        "done     OperatorService/RevokeOperator  operator:ada",
        "denied   OperatorService/ListOperators",
    ] {
        let words: Vec<_> = row.split_whitespace().collect();
        let found = audit.lines().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(found, "{row}: {audit}");
    }
    let json = answer(&server, &["audit", "--limit", "1", "--format", "json"]).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["schema"], &json["more"]), (&"atrest.audit/1".into(), &true.into()));
    assert_eq!(json["entries"].as_array().unwrap().len(), 1);
    let list = answer(&server, &["operators", "list"]).await;
    assert!(list.lines().any(|line| line.starts_with("revoked") && line.contains("ada")), "{list}");
    server.stop().await;
}

#[tokio::test]
async fn it_revokes_hosts_and_lists_them() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    stream.report(report(1, agent.posture(&[("/srv/es", Verdict::Unencrypted)]))).await.unwrap();
    let said = answer(&server, &["revoke", "es-1", "--reason", "sold"]).await;
    let again = format!("atrestctl token create --replace {}", agent.host_id);
    assert!(said.contains("reports no more") && said.contains(&again), "{said}");
    assert!(answer(&server, &["nodes"]).await.contains("no hosts"));
    let status = answer(&server, &["status"]).await;
    assert!(status.starts_with("0 hosts enrolled, 0 connected; 1 revoked\n"), "{status}");
    let gone = answer(&server, &["nodes", "--state", "revoked"]).await;
    let row =
        |line: &str| ["revoked", "es-1", "admin", "sold"].iter().all(|part| line.contains(part));
    assert!(gone.lines().any(row), "{gone}");
    let findings = answer(&server, &["findings", "--node", "es-1"]).await;
    assert!(findings.contains("when it left the fleet: nobody saw it fixed"), "{findings}");
    let alerts = answer(&server, &["alerts", "--resolved"]).await;
    assert!(alerts.contains("until the host was revoked at"), "{alerts}");
    assert!(answer(&server, &["node", "es-1"]).await.contains("by admin: sold"));
    let json = answer(&server, &["revoke", "es-1", "--format", "json"]).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["schema"], &json["node"]["revoked"]["reason"]),
        (&"atrest.node_revoked/1".into(), &"sold".into())
    );
    server.stop().await;
}

#[tokio::test]
async fn what_goes_wrong_says_what_to_do() {
    let (dir, state) = directory();
    let (_other_dir, other_state) = directory();
    let server = Server::start(config(&state)).await;
    let other = Server::start(config(&other_state)).await;
    let token = dir.path().join("token");
    std::fs::copy(other.running.admin_token_file(), &token).unwrap();
    let token = token.to_str().unwrap();
    let (ca, absent) = (other.running.authority_file(), dir.path().join("absent"));
    let (ca, absent) = (ca.to_str().unwrap(), absent.to_str().unwrap());
    let cases: [(&[&str], &str); 6] = [
        (&["status", "--token-file", token], "not known here: name the file of a token"),
        (&["status", "--token-file", absent], "a token is needed"),
        (&["status", "--ca", ca], "did not sign"),
        (&["status", "--ca", absent], "copy `ca.pem`"),
        (&["status", "--server", "https://localhost:1"], "is atrest-server running"),
        (&["node", "nobody"], "no host is called `nobody`"),
    ];
    for (args, remedy) in cases {
        let (code, stdout, stderr) = ctl(&server, args).await;
        assert_eq!((code, &*stdout), (Some(1), ""), "{args:?}");
        assert!(stderr.contains(remedy), "{args:?}: {stderr}");
    }
    assert_eq!(ctl(&server, &["nonsense"]).await.0, Some(64));
    other.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn its_receiver_checks_signatures_and_prints_alerts() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, state) = directory();
    let ctl = env!("CARGO_BIN_EXE_atrestctl");
    let secret = Command::new(ctl).args(["webhook", "secret"]).output().unwrap().stdout;
    let secret_file = dir.path().join("secret");
    std::fs::write(&secret_file, secret).unwrap();
    std::fs::set_permissions(&secret_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut receiver = Command::new(ctl)
        .args(["webhook", "listen", "--port", "0", "--count", "1", "--secret-file"])
        .arg(&secret_file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(receiver.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("listening on ").unwrap();

    // A receiver judges timestamps by the machine's clock.
    let mut config = config(&state);
    config.notify.notifiers.push(crate::harness::webhook("listener", url, &secret_file));
    let server = Server::start_at(config, atrest_server::clock::Clock::system()).await;
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    stream.report(report(1, agent.posture(&[("/srv/es", Verdict::Unencrypted)]))).await.unwrap();
    let output = tokio::task::spawn_blocking(move || receiver.wait_with_output().unwrap());
    let output = within(output).await.unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    for part in ["firing high es-1 volume_encrypted", "plaintext on /dev/sdb", "signature valid"] {
        assert!(said.contains(part), "{said}");
    }
    server.stop().await;
}

#[tokio::test]
async fn it_exports_the_fleet_as_lines_of_json() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    // Two hosts with one name, of which one has said nothing yet.
    let agent = server.agent("es-1").await;
    let mut other = crate::harness::Agent::new("es-1");
    other.host.machine_fingerprint = "another machine".to_owned();
    let token = server.token("prod", 1).await;
    other.enroll(server.agents_port(), &server.ca, &token.secret).await.unwrap();
    let mut stream = server.attach(&agent).await;
    stream.report(report(1, agent.posture(&[("/srv", Verdict::Unencrypted)]))).await.unwrap();
    let export = answer(&server, &["export"]).await;
    let lines: Vec<serde_json::Value> =
        export.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["export", "node", "node", "finding", "end"]);
    assert_eq!(lines[0]["schema"], "atrest.export/1");
    assert_eq!(lines[1]["node"]["host_id"], *agent.host_id);
    assert_eq!(lines[1]["posture"]["paths"][0]["path"], "/srv");
    assert_eq!(lines[2]["node"]["host_id"], *other.host_id);
    assert!(lines[2]["posture"].is_null(), "nothing was reported");
    assert_eq!(lines[3]["asset"], "data:/srv");
    assert_eq!((&lines[4]["nodes"], &lines[4]["findings"]), (&2.into(), &1.into()));
    server.stop().await;
}

#[tokio::test]
async fn it_watches_hosts_change() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let agent = server.agent("es-1").await;
    let mut watching = Command::new(env!("CARGO_BIN_EXE_atrestctl"))
        .env("ATREST_SERVER", format!("https://localhost:{}", server.running.operators_addr.port()))
        .env("ATREST_CA", server.running.authority_file())
        .env("ATREST_TOKEN_FILE", server.running.admin_token_file())
        .args(["watch", "--interval", "1s"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let (send, mut told) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || lines.for_each(|line| drop(send.send(line.unwrap()))));
    let mut next = async || within(told.recv()).await.unwrap();
    assert_eq!(next().await, "watching 1 host, every 1 s");
    let mut stream = server.attach(&agent).await;
    stream.report(report(1, agent.posture(&[("/srv/es", Verdict::Unencrypted)]))).await.unwrap();
    let line = next().await;
    assert!(line.contains(" es-1 unknown → unencrypted (1 failing)"), "{line}");
    watching.kill().unwrap();
    watching.wait().unwrap();
    server.stop().await;
}
