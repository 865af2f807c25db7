//! The operators' port: every RPC with every role, health and reflection.

use atrest_proto::v1;
use atrest_server::access::{Access, RPCS, Role};
use prost::bytes::Bytes;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request};

use crate::harness::{Raw, Server, config, directory};

async fn call(server: &Server, token: Option<&str>, rpc: &str) -> Code {
    let channel = server.operator().await.channel;
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let mut request = Request::new(tokio_stream::iter([Bytes::new()]));
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    let path = PathAndQuery::try_from(rpc).unwrap();
    match grpc.streaming(request, path, Raw).await {
        Ok(_) => Code::Ok,
        Err(status) => status.code(),
    }
}

#[tokio::test]
async fn every_rpc_needs_its_role() {
    let (dir, state) = directory();
    let mut config = config(&state);
    for role in [Role::Viewer, Role::Operator] {
        let token_file = dir.path().join(role.as_str());
        write_private(&token_file, &format!("token of {role}"));
        config.operators.tokens.push(atrest_server::config::OperatorToken {
            name: format!("the {role}"),
            role,
            token_file,
        });
    }
    let server = Server::start(config).await;
    let admin = server.admin.clone();
    let mut made = Vec::new();
    for (role, on_the_wire) in [
        (Role::Viewer, v1::OperatorRole::Viewer),
        (Role::Operator, v1::OperatorRole::Operator),
        (Role::Admin, v1::OperatorRole::Admin),
    ] {
        let request = v1::CreateOperatorRequest {
            name: format!("made-{role}"),
            role: on_the_wire.into(),
            ttl_seconds: None,
        };
        let answer = server.operator().await.operators.create_operator(request).await.unwrap();
        made.push((Some(answer.into_inner().token), Some(role)));
    }
    let callers = [
        (None, None),
        (Some("wrong".to_owned()), None),
        (Some("token of viewer".to_owned()), Some(Role::Viewer)),
        (Some("token of operator".to_owned()), Some(Role::Operator)),
        (Some(admin), Some(Role::Admin)),
    ];
    let callers: Vec<_> = callers.into_iter().chain(made).collect();
    for (rpc, access) in RPCS {
        for (token, role) in &callers {
            let code = call(&server, token.as_deref(), rpc).await;
            let refused = match (access, role) {
                (Access::Role(_), None) => Some(Code::Unauthenticated),
                (Access::Role(needed), Some(role)) if role < needed => Some(Code::PermissionDenied),
                (Access::Open, _) | (Access::Role(_), Some(_)) => None,
            };
            match refused {
                Some(expected) => assert_eq!(code, expected, "{rpc} as {role:?}"),
                None => assert!(
                    !matches!(
                        code,
                        Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented
                    ),
                    "{rpc} as {role:?}: {code:?}"
                ),
            }
        }
    }
    let nowhere = call(&server, Some(&server.admin), "/atrest.v1.FleetService/DropTables").await;
    assert_eq!(nowhere, Code::Unimplemented);
    // Agents' services are not on this port, nor operators' on the agents'.
    let agents = call(&server, Some(&server.admin), "/atrest.v1.AgentService/Attach").await;
    assert_eq!(agents, Code::Unimplemented);
    server.stop().await;
}

fn write_private(path: &std::path::Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn health_is_open_to_all_on_both_ports() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::health_client::HealthClient;
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let ports = [
        (server.running.agents_addr.port(), ["", "atrest.v1.AgentService"]),
        (server.running.operators_addr.port(), ["", "atrest.v1.FleetService"]),
    ];
    for (port, services) in ports {
        let channel = crate::harness::channel(port, &server.ca, None).await.unwrap();
        for service in services {
            let request = HealthCheckRequest { service: service.to_owned() };
            let health = HealthClient::new(channel.clone()).check(request).await.unwrap();
            assert_eq!(health.into_inner().status(), ServingStatus::Serving, "{port} {service}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn the_reflection_service_names_ours() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut request = Request::new(tokio_stream::iter([ask]));
    let value = format!("Bearer {}", server.admin).parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    let channel = server.operator().await.channel;
    let mut answers = ServerReflectionClient::new(channel)
        .server_reflection_info(request)
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(services) = answer else { panic!("{answer:?}") };
    let names: Vec<_> = services.service.into_iter().map(|service| service.name).collect();
    for name in ["atrest.v1.FleetService", "atrest.v1.TokenService", "grpc.health.v1.Health"] {
        assert!(names.iter().any(|known| known == name), "{names:?}");
    }
    server.stop().await;
}
