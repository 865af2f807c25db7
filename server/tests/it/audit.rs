//! The audit log: every change with who made it, what was denied, and no secret.

use std::time::Duration;

use atrest_proto::v1;
use atrest_server::clock::Clock;
use atrest_server::store::{PageRequest, Store as _};
use tonic::Code;

use crate::harness::{Server, config, directory};

fn line(entry: &v1::AuditEntry) -> String {
    let v1::AuditEntry { operator, rpc, object, .. } = entry;
    let object = object.split(':').next().unwrap_or_default();
    format!("{:?} {operator} {rpc} {object}", entry.outcome())
}

#[tokio::test]
async fn every_change_is_told_with_who_made_it_and_no_secret() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let mut admin = server.operator().await;
    let create = v1::CreateOperatorRequest {
        name: "ada".to_owned(),
        role: v1::OperatorRole::Admin.into(),
        ttl_seconds: None,
    };
    let ada = admin.operators.create_operator(create).await.unwrap().into_inner().token;
    let mut ada_calls = server.operator_with(&ada).await;
    let (about, secret) = ada_calls.create_token(v1::CreateTokenRequest::default()).await;
    let agent = server.agent("es-1").await;
    let revoke = v1::RevokeTokenRequest { token_id: about.token_id.clone() };
    ada_calls.tokens.revoke_token(revoke).await.unwrap();
    let request = v1::RevokeNodeRequest { node: "es-1".to_owned(), reason: "sold".to_owned() };
    ada_calls.nodes.revoke_node(request).await.unwrap();
    // What cannot be done is told without what was asked for: it may be a secret.
    let pasted = v1::RevokeTokenRequest { token_id: secret.secret.clone() };
    assert_eq!(ada_calls.tokens.revoke_token(pasted).await.unwrap_err().code(), Code::NotFound);
    let out = v1::RevokeOperatorRequest { operator: "ada".to_owned() };
    admin.operators.revoke_operator(out).await.unwrap();

    let entries = admin.audit().await;
    let lines: Vec<_> = entries.iter().map(line).collect();
    assert_eq!(
        lines,
        [
            "Done admin OperatorService/RevokeOperator operator",
            "Failed ada TokenService/RevokeToken ",
            "Done ada NodeService/RevokeNode host",
            "Done ada TokenService/RevokeToken token",
            "Done admin TokenService/CreateToken token",
            "Done ada TokenService/CreateToken token",
            "Done admin OperatorService/CreateOperator operator",
        ]
    );
    assert!(entries.iter().all(|entry| entry.address == "127.0.0.1" && entry.count == 1));
    assert!(entries.iter().all(|entry| entry.role() == v1::OperatorRole::Admin));
    let node = &entries[2];
    assert_eq!(node.object, format!("host:{}", agent.host_id));
    assert_eq!(node.detail, "es-1: sold");
    assert_eq!(entries[3].object, format!("token:{}", about.token_id));
    let all = format!("{entries:?}");
    for secret in [&ada, &secret.secret, &server.admin] {
        assert!(!all.contains(secret.as_str()));
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_denied_is_counted_and_survives_a_stop() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let create = v1::CreateOperatorRequest {
        name: "eve".to_owned(),
        role: v1::OperatorRole::Viewer.into(),
        ttl_seconds: None,
    };
    let mut admin = server.operator().await;
    let eve = admin.operators.create_operator(create).await.unwrap().into_inner().token;
    let mut eve = server.operator_with(&eve).await;
    for _ in 0..3 {
        let denied = eve.tokens.list_tokens(v1::ListTokensRequest {}).await.unwrap_err();
        assert_eq!(denied.code(), Code::PermissionDenied);
    }
    let denied = eve.audit.list_audit(v1::ListAuditRequest::default()).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied, "a viewer does not read this");
    let mut guess = server.operator_with("guess").await;
    for _ in 0..2 {
        guess.fleet.get_fleet_status(v1::GetFleetStatusRequest::default()).await.unwrap_err();
    }
    let clock = server.clock.clone();
    drop((admin, eve, guess));
    server.stop().await;

    let server = Server::start_at(config(&state), clock).await;
    let mut admin = server.operator().await;
    let counted = |entries: Vec<v1::AuditEntry>| {
        let denied =
            entries.into_iter().filter(|entry| entry.outcome() == v1::AuditOutcome::Denied);
        let mut counts: Vec<_> =
            denied.map(|entry| (entry.operator, entry.rpc, entry.count)).collect();
        counts.sort();
        counts
    };
    let of = |operator: &str, rpc: &str, count| (operator.to_owned(), rpc.to_owned(), count);
    assert_eq!(
        counted(admin.audit().await),
        [
            of("", "FleetService/GetFleetStatus", 2),
            of("eve", "AuditService/ListAudit", 1),
            of("eve", "TokenService/ListTokens", 3),
        ]
    );
    server.stop().await;
}

#[tokio::test]
async fn the_log_comes_in_pages_and_ends_where_the_configuration_says() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let mut admin = server.operator().await;
    for cluster in ["a", "b", "c"] {
        admin.token(cluster, 1).await;
    }
    let mut clusters = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListAuditRequest { page_size: 1, page_token };
        let page = admin.audit.list_audit(request).await.unwrap().into_inner();
        clusters.extend(page.entries.into_iter().map(|entry| entry.detail));
        if page.next_page_token.is_empty() {
            break;
        }
        page_token = page.next_page_token;
    }
    assert_eq!(clusters, ["c", "b", "a"].map(|cluster| format!("cluster {cluster}, uses 1")));
    let now = server.clock.now();
    drop(admin);
    server.stop().await;

    let keep_for = config(&state).audit.keep_for;
    let later = Clock::manual(now);
    later.advance(keep_for + Duration::from_secs(1));
    let server = Server::start_at(config(&state), later).await;
    assert_eq!(server.store.audit_list(PageRequest::default()).await.unwrap().items, []);
    server.stop().await;
}
