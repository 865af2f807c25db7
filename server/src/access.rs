//! Operators, their roles, and which RPC needs which. Pure.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use subtle::ConstantTimeEq as _;
use thiserror::Error;

use crate::enrollment::hash_secret;
use crate::fleet::Digest;

/// What an operator may do. Each role may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Viewer,
    Operator,
    Admin,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(())
    }
}

/// Who may call an RPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone who reaches the port: it tells nothing about the fleet.
    Open,
    /// Who has at least this role.
    Role(Role),
}

/// Every RPC of the operators' port. One that is not listed cannot be called.
pub const RPCS: &[(&str, Access)] = &[
    ("/atrest.v1.FleetService/GetFleetStatus", Access::Role(Role::Viewer)),
    ("/atrest.v1.FleetService/ListNodes", Access::Role(Role::Viewer)),
    ("/atrest.v1.FleetService/GetNode", Access::Role(Role::Viewer)),
    ("/atrest.v1.FleetService/ListFindings", Access::Role(Role::Viewer)),
    ("/atrest.v1.FleetService/ListAlerts", Access::Role(Role::Viewer)),
    ("/atrest.v1.FleetService/ListHistory", Access::Role(Role::Viewer)),
    ("/atrest.v1.AlertService/GetAlert", Access::Role(Role::Viewer)),
    ("/atrest.v1.AlertService/ListDeadLetters", Access::Role(Role::Viewer)),
    ("/atrest.v1.AlertService/AckAlert", Access::Role(Role::Operator)),
    ("/atrest.v1.AlertService/RetryDeadLetters", Access::Role(Role::Operator)),
    ("/atrest.v1.AlertService/TestNotifier", Access::Role(Role::Operator)),
    ("/atrest.v1.AuditService/ListAudit", Access::Role(Role::Operator)),
    ("/atrest.v1.NodeService/RetireAsset", Access::Role(Role::Operator)),
    ("/atrest.v1.NodeService/RevokeNode", Access::Role(Role::Admin)),
    ("/atrest.v1.OperatorService/CreateOperator", Access::Role(Role::Admin)),
    ("/atrest.v1.OperatorService/ListOperators", Access::Role(Role::Admin)),
    ("/atrest.v1.OperatorService/RevokeOperator", Access::Role(Role::Admin)),
    ("/atrest.v1.TokenService/CreateToken", Access::Role(Role::Admin)),
    ("/atrest.v1.TokenService/ListTokens", Access::Role(Role::Admin)),
    ("/atrest.v1.TokenService/RevokeToken", Access::Role(Role::Admin)),
    ("/grpc.health.v1.Health/Check", Access::Open),
    ("/grpc.health.v1.Health/Watch", Access::Open),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Access::Role(Role::Viewer)),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Access::Role(Role::Viewer)),
];

/// What Prometheus reads.
pub const METRICS: &str = "/metrics";

/// The paths of the JSON API.
pub mod api {
    pub const STATUS: &str = "/api/v1/status";
    pub const NODES: &str = "/api/v1/nodes";
    pub const NODE: &str = "/api/v1/nodes/{node}";
    pub const FINDINGS: &str = "/api/v1/findings";
    pub const ALERTS: &str = "/api/v1/alerts";
    pub const HISTORY: &str = "/api/v1/history";
    pub const AUDIT: &str = "/api/v1/audit";
    /// Where they all are.
    pub const ROOT: &str = "/api/";
}

/// The RPC that each path of the JSON API stands for: it needs the same role.
pub const API: &[(&str, &str)] = &[
    (api::STATUS, "/atrest.v1.FleetService/GetFleetStatus"),
    (api::NODES, "/atrest.v1.FleetService/ListNodes"),
    (api::NODE, "/atrest.v1.FleetService/GetNode"),
    (api::FINDINGS, "/atrest.v1.FleetService/ListFindings"),
    (api::ALERTS, "/atrest.v1.FleetService/ListAlerts"),
    (api::HISTORY, "/atrest.v1.FleetService/ListHistory"),
    (api::AUDIT, "/atrest.v1.AuditService/ListAudit"),
];

/// What a path of the operators' port is called, and what it needs; `None` when it is not one of ours.
pub fn of_path(path: &str) -> Option<(&'static str, Access)> {
    if path == METRICS {
        return Some((METRICS, Access::Role(Role::Viewer)));
    }
    let of_rpc = |path: &str| RPCS.iter().find(|(rpc, _)| *rpc == path).copied();
    let is_it = |pattern: &str| match pattern.split_once('{') {
        None => pattern == path,
        Some((before, _)) => {
            path.strip_prefix(before).is_some_and(|rest| !rest.is_empty() && !rest.contains('/'))
        }
    };
    match API.iter().find(|(pattern, _)| is_it(pattern)) {
        Some((pattern, rpc)) => of_rpc(rpc).map(|(_, access)| (*pattern, access)),
        None => of_rpc(path),
    }
}

/// Someone with a bearer token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    pub name: String,
    pub role: Role,
    /// SHA-256 of the token.
    pub token_hash: Digest,
    /// `None`: never.
    pub expires_at: Option<Timestamp>,
}

/// An operator that an admin made, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub operator_id: String,
    /// Unique among those that are not revoked.
    pub name: String,
    pub role: Role,
    /// SHA-256 of the token, which is kept nowhere.
    pub token_hash: Digest,
    pub created_at: Timestamp,
    /// The operator who made it.
    pub created_by: String,
    /// `None`: never.
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

/// Why a token names nobody.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Denied {
    #[error("this token is not known here")]
    Unknown,
    #[error("the token of `{name}` expired at {at:.0}")]
    Expired { name: String, at: Timestamp },
}

/// The operator whose token this is. Takes as long for a wrong token as for a right one.
pub fn identify<'a>(
    operators: impl Iterator<Item = &'a Operator>,
    token: &str,
    now: Timestamp,
) -> Result<&'a Operator, Denied> {
    let hash = hash_secret(token);
    let found = operators.fold(None, |found, operator| {
        if bool::from(operator.token_hash.ct_eq(&hash)) { Some(operator) } else { found }
    });
    let operator = found.ok_or(Denied::Unknown)?;
    match operator.expires_at {
        Some(at) if at <= now => Err(Denied::Expired { name: operator.name.clone(), at }),
        Some(_) | None => Ok(operator),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;

    use super::*;

    #[test]
    fn every_rpc_that_the_protos_declare_for_operators_is_in_the_table() {
        let set = prost_types::FileDescriptorSet::decode(atrest_proto::DESCRIPTOR_SET).unwrap();
        let declared: BTreeSet<_> = set
            .file
            .iter()
            .flat_map(|file| &file.service)
            .filter(|service| !matches!(service.name(), "AgentService" | "EnrollmentService"))
            .flat_map(|service| {
                let of = service.name().to_owned();
                service.method.iter().map(move |rpc| format!("/atrest.v1.{of}/{}", rpc.name()))
            })
            .collect();
        let listed: BTreeSet<_> = RPCS
            .iter()
            .map(|(path, _)| (*path).to_owned())
            .filter(|path| path.starts_with("/atrest."))
            .collect();
        assert_eq!(listed, declared);
    }

    #[test]
    fn a_path_of_the_api_needs_what_its_rpc_needs() {
        for (pattern, rpc) in API {
            let path = pattern.replace("{node}", "es-1");
            let (name, access) = of_path(&path).unwrap();
            assert_eq!((name, Some(access)), (*pattern, of_path(rpc).map(|(_, access)| access)));
        }
        for path in ["/api/v1/nodes/", "/api/v1/nodes/a/b", "/api/v1/nodesx", "/api/v1", "/"] {
            assert_eq!(of_path(path), None, "{path}");
        }
    }

    #[test]
    fn a_token_names_its_operator_and_a_wrong_one_nobody() {
        let operator = |name: &str, role, token| Operator {
            name: name.to_owned(),
            role,
            token_hash: hash_secret(token),
            expires_at: None,
        };
        let at = |second| Timestamp::from_second(second).unwrap();
        let brief = Operator { expires_at: Some(at(9)), ..operator("brief", Role::Operator, "b") };
        let operators =
            [operator("admin", Role::Admin, "a"), operator("grafana", Role::Viewer, "g"), brief];
        let role = |token, now| identify(operators.iter(), token, at(now)).map(|who| who.role);
        assert_eq!(role("g", 0), Ok(Role::Viewer));
        assert_eq!(role("x", 0), Err(Denied::Unknown));
        assert_eq!(role("b", 8), Ok(Role::Operator));
        let expired = Denied::Expired { name: "brief".to_owned(), at: at(9) };
        assert_eq!(role("b", 9), Err(expired));
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
    }
}
