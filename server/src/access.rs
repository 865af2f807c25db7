//! Operators, their roles, and which RPC needs which. Pure.

use std::fmt;
use std::str::FromStr;

use subtle::ConstantTimeEq as _;

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
    ("/atrest.v1.NodeService/RevokeNode", Access::Role(Role::Admin)),
    ("/atrest.v1.TokenService/CreateToken", Access::Role(Role::Admin)),
    ("/atrest.v1.TokenService/ListTokens", Access::Role(Role::Admin)),
    ("/atrest.v1.TokenService/RevokeToken", Access::Role(Role::Admin)),
    ("/grpc.health.v1.Health/Check", Access::Open),
    ("/grpc.health.v1.Health/Watch", Access::Open),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Access::Role(Role::Viewer)),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Access::Role(Role::Viewer)),
];

/// What an RPC needs; `None` when it is not one of ours.
pub fn of_rpc(path: &str) -> Option<Access> {
    RPCS.iter().find(|(rpc, _)| *rpc == path).map(|(_, access)| *access)
}

/// Someone with a bearer token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    pub name: String,
    pub role: Role,
    /// SHA-256 of the token.
    pub token_hash: Digest,
}

/// The operator whose token this is. Takes as long for a wrong token as for a right one.
pub fn identify<'a>(operators: &'a [Operator], token: &str) -> Option<&'a Operator> {
    let hash = hash_secret(token);
    operators.iter().fold(None, |found, operator| {
        if bool::from(operator.token_hash.ct_eq(&hash)) { Some(operator) } else { found }
    })
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
    fn a_token_names_its_operator_and_a_wrong_one_nobody() {
        let operator = |name: &str, role, token| Operator {
            name: name.to_owned(),
            role,
            token_hash: hash_secret(token),
        };
        let operators =
            [operator("admin", Role::Admin, "a"), operator("grafana", Role::Viewer, "g")];
        assert_eq!(identify(&operators, "g").map(|who| who.role), Some(Role::Viewer));
        assert_eq!(identify(&operators, "x"), None);
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
    }
}
