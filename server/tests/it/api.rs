//! The JSON API: the same documents as `atrestctl --format json`, for the same roles.

use atrest_proto::model::Verdict;
use atrest_proto::v1;
use reqwest::StatusCode;
use serde_json::Value;

use crate::ctl::answer;
use crate::harness::{Server, config, directory, report, within};

/// An answer to `GET`, over HTTP/1.1 as over HTTP/2.
async fn get(server: &Server, token: &str, path: &str) -> (StatusCode, Value) {
    // Another test may have been first.
    drop(rustls::crypto::ring::default_provider().install_default());
    let authority = reqwest::Certificate::from_pem(server.ca.as_bytes()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([authority]).no_proxy().build().unwrap();
    let url = format!("https://localhost:{}{path}", server.running.operators_addr.port());
    let mut request = client.get(url);
    if !token.is_empty() {
        request = request.bearer_auth(token);
    }
    let response = within(request.send()).await.unwrap();
    let status = response.status();
    assert_eq!(response.headers()["content-type"], "application/json", "{path}");
    let text = within(response.text()).await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path}: {text}")))
}

async fn viewer(server: &Server) -> String {
    let request = v1::CreateOperatorRequest {
        name: "dashboard".to_owned(),
        role: v1::OperatorRole::Viewer.into(),
        ..v1::CreateOperatorRequest::default()
    };
    let mut operator = server.operator().await;
    operator.operators.create_operator(request).await.unwrap().into_inner().token
}

/// A document without its times, which pass while it is asked for.
fn timeless(mut document: Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.remove("seconds");
                members.remove("last_seen_at");
                members.remove("observed_at");
                members.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    strip(&mut document);
    document
}

#[tokio::test]
async fn it_says_what_atrestctl_says() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let mut streams = Vec::new();
    for name in ["es-1", "es-2"] {
        let agent = server.agent(name).await;
        let mut stream = server.attach(&agent).await;
        let posture =
            agent.posture(&[("/srv/a", Verdict::Unencrypted), ("/srv/b", Verdict::Encrypted)]);
        stream.report(report(1, posture)).await.unwrap();
        // It stays, so that nothing changes between two answers.
        streams.push(stream);
    }
    let token = viewer(&server).await;
    for (path, args) in [
        ("/api/v1/status", &["status"][..]),
        ("/api/v1/status?by=cluster", &["status", "--by", "cluster"]),
        ("/api/v1/nodes", &["nodes"]),
        ("/api/v1/nodes?state=encrypted", &["nodes", "--state", "encrypted"]),
        ("/api/v1/nodes/es-1", &["node", "es-1"]),
        ("/api/v1/findings", &["findings"]),
        (
            "/api/v1/findings?outcome=pass&node=es-1",
            &["findings", "--outcome", "pass", "--node", "es-1"],
        ),
        ("/api/v1/alerts", &["alerts"]),
        ("/api/v1/alerts?state=resolved", &["alerts", "--resolved"]),
        ("/api/v1/history?check=volume_encrypted", &["history", "--check", "volume_encrypted"]),
    ] {
        let (status, mut document) = get(&server, &token, path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {document}");
        if let Some(next) = document.as_object_mut().unwrap().remove("next_page_token") {
            assert_eq!(next, "", "{path}");
        }
        let args: Vec<&str> = args.iter().copied().chain(["--format", "json"]).collect();
        let told: Value = serde_json::from_str(&answer(&server, &args).await).unwrap();
        assert_eq!(timeless(document), timeless(told), "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn pages_follow_each_other() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    for number in 0..5 {
        server.agent(&format!("es-{number}")).await;
    }
    let admin = server.admin.clone();
    let (mut names, mut path) = (Vec::new(), "/api/v1/nodes?page_size=2".to_owned());
    loop {
        let (status, document) = get(&server, &admin, &path).await;
        assert_eq!(status, StatusCode::OK);
        let nodes = document["nodes"].as_array().unwrap();
        assert!(nodes.len() <= 2);
        names.extend(nodes.iter().map(|node| node["hostname"].as_str().unwrap().to_owned()));
        let next = document["next_page_token"].as_str().unwrap();
        if next.is_empty() {
            break;
        }
        path = format!("/api/v1/nodes?page_size=2&page_token={next}");
    }
    assert_eq!(names, ["es-0", "es-1", "es-2", "es-3", "es-4"]);
    let (status, document) = get(&server, &admin, "/api/v1/audit?page_size=1").await;
    assert_eq!((status, document["more"].as_bool()), (StatusCode::OK, Some(true)));
    server.stop().await;
}

#[tokio::test]
async fn who_may_not_read_and_what_makes_no_sense_is_told_in_json() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let (token, admin) = (viewer(&server).await, server.admin.clone());
    for (who, path, expected, code) in [
        ("", "/api/v1/status", 401, "unauthenticated"),
        ("nonsense", "/api/v1/nodes/es-1", 401, "unauthenticated"),
        (&*token, "/api/v1/audit", 403, "permission_denied"),
        (&token, "/api/v1/nodes/nobody", 404, "not_found"),
        (&token, "/api/v1/nodes?state=purple", 400, "invalid_argument"),
        (&token, "/api/v1/nodes?stat=stale", 400, "invalid_argument"),
        (&token, "/api/v1/nodes?page_size=x", 400, "invalid_argument"),
        (&token, "/api/v1/nodes?page_token=x", 400, "invalid_argument"),
        (&token, "/api/v1/findings?outcome=x", 400, "invalid_argument"),
        (&token, "/api/v1/history?since=yesterday", 400, "invalid_argument"),
        (&token, "/api/v1/status?by=colour", 400, "invalid_argument"),
        (&admin, "/api/v1/nothing", 404, "not_found"),
        (&admin, "/api/v2/status", 404, "not_found"),
    ] {
        let (status, document) = get(&server, who, path).await;
        assert_eq!((status.as_u16(), document["code"].as_str()), (expected, Some(code)), "{path}");
        assert_eq!(document["schema"], "atrest.error/1");
    }
    // What was denied is kept by what was asked for, not by every name that somebody makes up.
    for number in 0..20 {
        get(&server, "", &format!("/api/v1/nodes/made-up-{number}")).await;
    }
    let denied: Vec<_> = server
        .operator()
        .await
        .audit()
        .await
        .into_iter()
        .filter(|entry| entry.rpc.starts_with("/api/v1/nodes/"))
        .collect();
    let [entry] = denied.as_slice() else { panic!("{denied:?}") };
    assert_eq!((&*entry.rpc, entry.count), ("/api/v1/nodes/{node}", 21));
    server.stop().await;
}
