//! The pasteable enrolment token: where the server is, which authority to trust, and a secret.
//!
//! `atrest1.` followed by unpadded base64url of JSON. Not secret storage: whoever has the string can enrol.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Told apart from other strings, and from later versions, by this.
const PREFIX: &str = "atrest1.";
/// A token is a few hundred bytes; more than this is not one.
const MAX_LEN: usize = 4096;

/// What an operator pastes into `atrest-agent enroll`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrollmentToken {
    /// `host:port` of the agents' port.
    pub address: String,
    /// SHA-256 of the certificate authority's public key (DER `SubjectPublicKeyInfo`), hex.
    pub authority_pin: String,
    /// What the server checks; it keeps only a hash.
    pub secret: String,
}

impl std::fmt::Debug for EnrollmentToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnrollmentToken")
            .field("address", &self.address)
            .field("authority_pin", &self.authority_pin)
            .finish_non_exhaustive()
    }
}

/// Why a string is not a token.
#[derive(Debug, Error)]
pub enum TokenError {
    #[error("this is not an enrolment token: it must start with `{PREFIX}`")]
    Prefix,
    #[error("the token is damaged: copy it again, whole")]
    Damaged,
}

impl EnrollmentToken {
    /// The pasteable form.
    pub fn encode(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(json))
    }

    /// Reads the pasteable form; white space around it is ignored.
    pub fn decode(text: &str) -> Result<Self, TokenError> {
        let body = text.trim().strip_prefix(PREFIX).ok_or(TokenError::Prefix)?;
        if body.len() > MAX_LEN {
            return Err(TokenError::Damaged);
        }
        let json = URL_SAFE_NO_PAD.decode(body).map_err(|_| TokenError::Damaged)?;
        serde_json::from_slice(&json).map_err(|_| TokenError::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> EnrollmentToken {
        EnrollmentToken {
            address: "atrest.example:7443".to_owned(),
            authority_pin: "ab".repeat(32),
            secret: "s3cret".to_owned(),
        }
    }

    #[test]
    fn round_trips_through_a_sloppy_paste() {
        let pasted = format!("  {}\n", token().encode());
        assert_eq!(EnrollmentToken::decode(&pasted).unwrap(), token());
    }

    #[test]
    fn damage_is_told_apart_from_the_wrong_string() {
        assert!(matches!(EnrollmentToken::decode("hello"), Err(TokenError::Prefix)));
        let mut cut = token().encode();
        cut.truncate(cut.len() - 9);
        assert!(matches!(EnrollmentToken::decode(&cut), Err(TokenError::Damaged)));
    }

    #[test]
    fn debug_does_not_show_the_secret() {
        assert!(!format!("{:?}", token()).contains("s3cret"));
    }
}
