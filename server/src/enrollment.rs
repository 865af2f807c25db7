//! Who is let in: the rules of enrolment tokens. Pure.
//!
//! A token is scoped to a cluster and labels, counted, expiring and revocable; only a hash of its secret is kept.
//! A machine that is enrolled already is refused, unless an operator said whose place it takes.

use atrest_proto::model::Host;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::fleet::{Digest, HostId};
use crate::labels::Labels;

/// An enrolment token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub token_id: String,
    pub cluster: String,
    pub uses_left: u32,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
    /// The host whose place the next machine takes.
    pub replaces: Option<HostId>,
    /// Of the hosts that enrol with it.
    pub labels: Labels,
}

/// What is kept of a secret.
pub fn hash_secret(secret: &str) -> Digest {
    Sha256::digest(secret.as_bytes()).into()
}

/// A machine that wants in.
#[derive(Debug, Clone)]
pub struct Application {
    pub secret_hash: Digest,
    pub host: Host,
    /// SHA-256 of the public key it will speak with.
    pub key_pin: Digest,
    /// The id it gets if it is new.
    pub host_id: HostId,
    pub at: Timestamp,
}

/// A host that is enrolled already, as far as admission asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub host_id: HostId,
    pub hostname: String,
    pub key_pin: Digest,
    pub token_id: String,
    /// An operator ended its enrolment.
    pub revoked: bool,
}

/// How a machine is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    New,
    /// The same machine with the same key and token: the answer to its first call was lost.
    Again(HostId),
    /// It takes this host's place and history.
    Replaces(HostId),
}

/// Why a machine is not let in, with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    #[error("this enrolment token is not known here: make one with `atrestctl token create`")]
    UnknownToken,
    #[error("enrolment token {token_id} was revoked: make another with `atrestctl token create`")]
    Revoked { token_id: String },
    #[error(
        "enrolment token {token_id} expired at {at:.0}: make another with `atrestctl token create`"
    )]
    Expired { token_id: String, at: Timestamp },
    #[error("enrolment token {token_id} is used up: make another with `atrestctl token create`")]
    Spent { token_id: String },
    #[error(
        "the machine of `{applicant}` is already enrolled as `{known}` ({host_id}): if it is the same \
         machine, rebuilt, make a token with `atrestctl token create --replace {host_id}`; if it is a \
         clone, give it its own /etc/machine-id"
    )]
    MachineKnown { applicant: String, known: String, host_id: HostId },
    #[error(
        "the machine of `{applicant}` was enrolled as `{known}` ({host_id}), which was revoked: to let it in \
         again, make a token with `atrestctl token create --replace {host_id}`"
    )]
    HostRevoked { applicant: String, known: String, host_id: HostId },
    #[error("enrolment token {token_id} replaces a host that is no longer enrolled")]
    NothingToReplace { token_id: String },
}

/// Decides on an application. `same_machine` is the host with the applicant's machine fingerprint.
pub fn admit(
    application: &Application,
    token: Option<&Token>,
    same_machine: Option<&Known>,
) -> Result<Admission, Refusal> {
    let token = token.ok_or(Refusal::UnknownToken)?;
    let token_id = || token.token_id.clone();
    if token.revoked_at.is_some() {
        return Err(Refusal::Revoked { token_id: token_id() });
    }
    if token.expires_at <= application.at {
        return Err(Refusal::Expired { token_id: token_id(), at: token.expires_at });
    }
    if let Some(known) = same_machine
        && known.key_pin == application.key_pin
        && known.token_id == token.token_id
        && !known.revoked
    {
        return Ok(Admission::Again(known.host_id.clone()));
    }
    if token.uses_left == 0 {
        return Err(Refusal::Spent { token_id: token_id() });
    }
    match (same_machine, &token.replaces) {
        (Some(known), Some(replaces)) if known.host_id == *replaces => {
            Ok(Admission::Replaces(replaces.clone()))
        }
        (Some(known), _) if known.revoked => Err(Refusal::HostRevoked {
            applicant: application.host.hostname.clone(),
            known: known.hostname.clone(),
            host_id: known.host_id.clone(),
        }),
        (Some(known), _) => Err(Refusal::MachineKnown {
            applicant: application.host.hostname.clone(),
            known: known.hostname.clone(),
            host_id: known.host_id.clone(),
        }),
        (None, Some(replaces)) => Ok(Admission::Replaces(replaces.clone())),
        (None, None) => Ok(Admission::New),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn token() -> Token {
        Token {
            token_id: "tok-1".to_owned(),
            cluster: "prod".to_owned(),
            uses_left: 1,
            created_at: at(0),
            expires_at: at(100),
            revoked_at: None,
            replaces: None,
            labels: Labels::new(),
        }
    }

    fn application() -> Application {
        Application {
            secret_hash: [0; 32],
            host: Host { hostname: "clone".to_owned(), ..Host::default() },
            key_pin: [1; 32],
            host_id: HostId::random(),
            at: at(50),
        }
    }

    fn known() -> Known {
        Known {
            host_id: HostId::random(),
            hostname: "first".to_owned(),
            key_pin: [2; 32],
            token_id: "tok-0".to_owned(),
            revoked: false,
        }
    }

    #[test]
    fn each_fault_of_a_token_has_its_own_message() {
        let spent = Token { uses_left: 0, ..token() };
        let expired = Token { expires_at: at(50), ..token() };
        let revoked = Token { revoked_at: Some(at(1)), ..token() };
        let mut messages = std::collections::BTreeSet::new();
        for token in [None, Some(&spent), Some(&expired), Some(&revoked)] {
            let refusal = admit(&application(), token, None).unwrap_err();
            assert!(refusal.to_string().contains("atrestctl token create"), "{refusal}");
            messages.insert(refusal.to_string());
        }
        assert_eq!(messages.len(), 4);
    }

    #[test]
    fn a_clone_is_refused_and_both_are_named() {
        let known = known();
        let refusal = admit(&application(), Some(&token()), Some(&known)).unwrap_err().to_string();
        assert!(refusal.contains("`clone`") && refusal.contains("`first`"), "{refusal}");
        assert!(refusal.contains(&format!("--replace {}", known.host_id)), "{refusal}");
    }

    #[test]
    fn an_operator_lets_a_machine_take_its_place_again() {
        let known = known();
        let mut token = Token { replaces: Some(known.host_id.clone()), ..token() };
        let replaces = Ok(Admission::Replaces(known.host_id.clone()));
        assert_eq!(admit(&application(), Some(&token), Some(&known)), replaces);
        assert_eq!(admit(&application(), Some(&token), None), replaces, "a new machine id");
        token.replaces = Some(HostId::random());
        assert!(admit(&application(), Some(&token), Some(&known)).is_err(), "another host's place");
    }

    #[test]
    fn who_was_revoked_comes_back_only_with_a_token_that_says_so() {
        let many = Token { uses_left: 5, ..token() };
        let key_pin = application().key_pin;
        // Even with the key and the token that it had.
        for known in [known(), Known { key_pin, token_id: many.token_id.clone(), ..known() }] {
            let known = Known { revoked: true, ..known };
            let refusal = admit(&application(), Some(&many), Some(&known)).unwrap_err();
            assert!(matches!(refusal, Refusal::HostRevoked { .. }));
            assert!(refusal.to_string().contains(&format!("--replace {}", known.host_id)));
            let replacing = Token { replaces: Some(known.host_id.clone()), ..token() };
            let admitted = admit(&application(), Some(&replacing), Some(&known));
            assert_eq!(admitted, Ok(Admission::Replaces(known.host_id)));
        }
    }

    #[test]
    fn a_lost_answer_can_be_asked_for_again_without_another_use() {
        let spent = Token { uses_left: 0, ..token() };
        let known =
            Known { key_pin: application().key_pin, token_id: spent.token_id.clone(), ..known() };
        let again = admit(&application(), Some(&spent), Some(&known));
        assert_eq!(again, Ok(Admission::Again(known.host_id.clone())));
        let other_key = Known { key_pin: [9; 32], ..known };
        assert!(admit(&application(), Some(&spent), Some(&other_key)).is_err());
    }
}
