//! Operators that an admin made: their roles, and the end of their tokens.

use std::time::Duration;

use atrest_proto::v1;
use atrest_server::clock::Clock;
use tonic::{Code, Status};

use crate::harness::{Operator, Server, config, directory};

async fn create(
    admin: &mut Operator,
    name: &str,
    role: v1::OperatorRole,
    ttl_seconds: Option<u64>,
) -> Result<(v1::Operator, String), Status> {
    let request =
        v1::CreateOperatorRequest { name: name.to_owned(), role: role.into(), ttl_seconds };
    let made = admin.operators.create_operator(request).await?.into_inner();
    Ok((made.operator.unwrap(), made.token))
}

async fn revoke(admin: &mut Operator, operator: &str) -> Result<v1::Operator, Status> {
    let request = v1::RevokeOperatorRequest { operator: operator.to_owned() };
    let answer = admin.operators.revoke_operator(request).await?;
    Ok(answer.into_inner().operator.unwrap())
}

async fn status(operator: &mut Operator) -> Result<(), Status> {
    operator.fleet.get_fleet_status(v1::GetFleetStatusRequest::default()).await.map(drop)
}

#[tokio::test]
async fn an_operator_may_what_its_role_says_until_it_is_revoked() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let mut admin = server.operator().await;
    let (about, token) = create(&mut admin, "ada", v1::OperatorRole::Viewer, None).await.unwrap();
    assert!(token.starts_with("atrestop1."), "tells what it is");
    assert_eq!((&*about.created_by, about.configured), ("admin", false));
    let days = about.expires_at.unwrap().seconds - about.created_at.unwrap().seconds;
    assert_eq!(days, 90 * 86_400);
    let mut ada = server.operator_with(&token).await;
    status(&mut ada).await.unwrap();
    let denied = create(&mut ada, "bob", v1::OperatorRole::Admin, None).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);

    // On a connection that is open, from the next call on; and again changes nothing.
    let first = revoke(&mut admin, "ada").await.unwrap().revoked_at.unwrap().seconds;
    assert_eq!(status(&mut ada).await.unwrap_err().code(), Code::Unauthenticated);
    server.clock.advance(Duration::from_secs(5));
    let again = revoke(&mut admin, "ada").await.unwrap().revoked_at.unwrap().seconds;
    assert_eq!(again, first);
    assert_eq!(revoke(&mut admin, "nobody").await.unwrap_err().code(), Code::NotFound);

    // The name is free; the old token stays worth nothing.
    let (_, anew) = create(&mut admin, "ada", v1::OperatorRole::Admin, Some(60)).await.unwrap();
    assert_eq!(status(&mut ada).await.unwrap_err().code(), Code::Unauthenticated);
    let mut anew = server.operator_with(&anew).await;
    let listed = anew.operators.list_operators(v1::ListOperatorsRequest {}).await.unwrap();
    let listed = listed.into_inner().operators;
    let names: Vec<_> = listed.iter().map(|one| (&*one.name, one.configured)).collect();
    assert_eq!(names, [("admin", true), ("ada", false), ("ada", false)]);
    server.clock.advance(Duration::from_mins(1));
    let expired = status(&mut anew).await.unwrap_err();
    assert_eq!(expired.code(), Code::Unauthenticated);
    assert!(expired.message().contains("`ada` expired"), "{expired}");
    server.stop().await;
}

#[tokio::test]
async fn what_is_asked_for_wrongly_makes_nobody() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let mut admin = server.operator().await;
    let viewer = v1::OperatorRole::Viewer;
    create(&mut admin, "ada", viewer, None).await.unwrap();
    let long = "x".repeat(65);
    for (name, role, ttl, code) in [
        ("ada", viewer, None, Code::AlreadyExists),
        ("admin", viewer, None, Code::AlreadyExists),
        ("", viewer, None, Code::InvalidArgument),
        ("a b", viewer, None, Code::InvalidArgument),
        ("\u{1b}[2J", viewer, None, Code::InvalidArgument),
        (&long, viewer, None, Code::InvalidArgument),
        ("bob", v1::OperatorRole::Unspecified, None, Code::InvalidArgument),
        ("bob", viewer, Some(0), Code::InvalidArgument),
        ("bob", viewer, Some(u64::MAX), Code::InvalidArgument),
    ] {
        let refused = create(&mut admin, name, role, ttl).await.unwrap_err();
        assert_eq!(refused.code(), code, "{name} {ttl:?}: {refused}");
    }
    let refused = revoke(&mut admin, "admin").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "the bootstrap admin is not ended here");
    let (root, _) = create(&mut admin, "root", v1::OperatorRole::Admin, Some(0)).await.unwrap();
    assert_eq!(root.expires_at, None);
    server.stop().await;
}

#[tokio::test]
async fn operators_and_their_ends_survive_a_restart_and_no_token_is_kept() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let mut admin = server.operator().await;
    let role = v1::OperatorRole::Operator;
    let (_, kept) = create(&mut admin, "kept", role, None).await.unwrap();
    let (_, gone) = create(&mut admin, "gone", role, None).await.unwrap();
    revoke(&mut admin, "gone").await.unwrap();
    let now = server.clock.now();
    drop(admin);
    server.stop().await;
    for file in std::fs::read_dir(&state).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for token in [&kept, &gone] {
            let found = bytes.windows(token.len()).any(|window| window == token.as_bytes());
            assert!(!found, "a token was kept");
        }
    }
    let server = Server::start_at(config(&state), Clock::manual(now)).await;
    status(&mut server.operator_with(&kept).await).await.unwrap();
    let refused = status(&mut server.operator_with(&gone).await).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    server.stop().await;
}
