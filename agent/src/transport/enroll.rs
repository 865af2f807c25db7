//! From a token to an identity: one call to a server that only the token's pin makes trustworthy.
//!
//! The key is made and kept before it is sent, so that an answer that got lost can be asked for again with the same
//! key; the identity is then written in one step. A crash at any moment leaves the old identity or the new one.

use std::sync::Arc;
use std::time::Duration;

use atrest_proto::model::Host;
use atrest_proto::token::{EnrollmentToken, TokenError};
use atrest_proto::v1;
use atrest_proto::v1::enrollment_service_client::EnrollmentServiceClient;
use jiff::Timestamp;
use thiserror::Error;

use super::backoff::{Backoff, Bounds, as_asked};
use super::client::{self, DialError};
use super::failure::Failure;
use super::identity::{self, Identity, IdentityError, Issued, Key, Validity};
use super::{StateDir, files, tls};

/// How long the server may take to answer.
const ANSWER: Duration = Duration::from_secs(30);
/// How often an overloaded server is asked that does not say when to come again.
const TRIES: u32 = 5;
/// How long a server that does say is waited for: a fleet of ten thousand is let in by then.
const PATIENCE: Duration = Duration::from_mins(15);
const MAX_ANSWER: usize = 1024 * 1024;

/// What to do when this host is enrolled already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Leave a certificate that is still valid as it is.
    Keep,
    /// Enrol anew, with a new key.
    Replace,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enrolled {
    /// This host has an identity now.
    Now { host_id: String, server: String, validity: Validity },
    /// It had one that is valid; nothing was changed and the token was not used.
    Already { host_id: String, server: String, validity: Validity },
}

impl Enrolled {
    /// One line for the person who pasted the token.
    pub fn describe(&self, now: Timestamp) -> String {
        match self {
            Self::Now { host_id, server, validity }
                if validity.is_expired(now) || validity.is_not_yet(now) =>
            {
                format!(
                    "enrolled as {host_id} at {server}, but by this host's clock the certificate is valid from \
                     {:.0} to {:.0} only: set the clock right, then the agent connects",
                    validity.not_before, validity.not_after
                )
            }
            Self::Now { host_id, server, validity } => {
                format!(
                    "enrolled as {host_id} at {server}; the certificate is renewed before {:.0}",
                    validity.not_after
                )
            }
            Self::Already { host_id, server, validity } => format!(
                "already enrolled as {host_id} at {server}, with a certificate valid until {:.0}; nothing was changed \
                 (--force enrols anew)",
                validity.not_after
            ),
        }
    }
}

/// Why this host is not enrolled.
#[derive(Debug, Error)]
pub enum EnrollError {
    #[error(transparent)]
    Token(TokenError),
    #[error("the token is damaged: its authority pin is not a SHA-256 in hex")]
    Pin,
    #[error(
        "the server at {address} is not the one that the token was made for: it shows {}",
        shown(authorities)
    )]
    PinMismatch { address: String, authorities: Vec<String> },
    #[error("the server refused the token: {why}")]
    Refused { why: String },
    #[error(transparent)]
    Connection(Failure),
    #[error("the state directory {} cannot be used", path.display())]
    StateDir { path: std::path::PathBuf, source: std::io::Error },
    #[error(transparent)]
    Identity(IdentityError),
    #[error("TLS cannot be set up")]
    Tls { source: rustls::Error },
}

impl EnrollError {
    /// What to do about it; empty when the message says it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Token(_) | Self::Pin => {
                "make a token with `atrestctl token create` and paste it whole"
            }
            Self::PinMismatch { .. } => {
                "see that the address leads to your server and nothing in between opens TLS; if the server's \
                 authority is new, make a new token. Nothing secret was sent"
            }
            // The server's text says it.
            Self::Refused { .. } | Self::Tls { .. } => "",
            Self::Connection(Failure::Overloaded { .. }) => "try again in a minute",
            Self::Connection(failure) => failure.remedy(),
            Self::StateDir { .. } => "run this as root, or as the user that the agent runs as",
            Self::Identity(error) => match error {
                IdentityError::Read { .. } | IdentityError::Write { .. } => {
                    "run this as root, or as the user that the agent runs as, and see that the disk has room"
                }
                IdentityError::Busy => "wait for it, or end it",
                IdentityError::Damaged { .. }
                | IdentityError::Answer { .. }
                | IdentityError::Key { .. }
                | IdentityError::Tls { .. } => "",
            },
        }
    }
}

fn shown(authorities: &[String]) -> String {
    if authorities.is_empty() {
        "no authority".to_owned()
    } else {
        format!("the authority {}", authorities.join(", "))
    }
}

/// Enrols this host. `now` is the time by this host's clock.
pub async fn enroll(
    state: &StateDir,
    token: &str,
    host: Host,
    existing: Existing,
    now: Timestamp,
) -> Result<Enrolled, EnrollError> {
    let token = EnrollmentToken::decode(token).map_err(EnrollError::Token)?;
    let pin = tls::parse_pin(&token.authority_pin).ok_or(EnrollError::Pin)?;
    files::ensure_private_dir(state.path())
        .map_err(|source| EnrollError::StateDir { path: state.path().to_owned(), source })?;
    let held = identity::lock(state).map_err(EnrollError::Identity)?;
    if existing == Existing::Keep
        && let Some(known) = Identity::load(state).map_err(EnrollError::Identity)?
        && !known.validity().is_expired(now)
    {
        let validity = known.validity();
        return Ok(Enrolled::Already { host_id: known.host_id, server: known.server, validity });
    }

    let key = Key::pending(state).map_err(EnrollError::Identity)?;
    let request = v1::EnrollRequest {
        secret: token.secret.clone(),
        csr: key.signing_request().map_err(EnrollError::Identity)?,
        host: Some(host.into()),
    };
    let answer = ask_patiently(&token.address, pin, request).await?;
    let issued =
        Issued { certificate_chain: answer.certificate_chain, authorities: answer.authorities };
    let identity = Identity::new(answer.host_id, token.address.clone(), now, key, issued)
        .map_err(EnrollError::Identity)?;
    identity.store(state, &held).map_err(EnrollError::Identity)?;
    // It is in the identity now. A crash before this costs nothing: the next enrolment would use it again.
    if let Err(error) = files::remove_if_there(&state.pending_key()) {
        tracing::warn!(%error, "the enrolment key could not be removed");
    }
    let validity = identity.validity();
    Ok(Enrolled::Now { host_id: identity.host_id, server: identity.server, validity })
}

/// An enrolment that an overloaded server turned away spent nothing, so it is asked again, with jitter: when the server
/// said, or a few times where it did not say.
async fn ask_patiently(
    address: &str,
    pin: tls::Pin,
    request: v1::EnrollRequest,
) -> Result<v1::EnrollResponse, EnrollError> {
    let mut backoff =
        Backoff::new(Bounds { first: Duration::from_secs(1), most: Duration::from_secs(10) });
    let (mut untold, mut waited) = (0, Duration::ZERO);
    loop {
        let (why, asked) = match ask(address, pin, request.clone()).await {
            Err(EnrollError::Connection(Failure::Overloaded { why, retry_after })) => {
                (why, retry_after)
            }
            settled => return settled,
        };
        untold += u32::from(asked.is_none());
        let wait = backoff.after_failure(tls::chance());
        let wait = asked.map_or(wait, |asked| wait.max(as_asked(asked, tls::chance())));
        waited += wait;
        if untold >= TRIES || waited > PATIENCE {
            let failure = Failure::Overloaded { why, retry_after: asked };
            return Err(EnrollError::Connection(failure));
        }
        tracing::warn!(why, wait_ms = wait.as_millis(), "the server is busy: asking again");
        tokio::time::sleep(wait).await;
    }
}

async fn ask(
    address: &str,
    pin: tls::Pin,
    request: v1::EnrollRequest,
) -> Result<v1::EnrollResponse, EnrollError> {
    let config = tls::pinned(pin).map_err(|source| EnrollError::Tls { source })?;
    let connection =
        client::connect(address, Arc::new(config)).await.map_err(|error| match error {
            DialError::Tls(failure, cause) => match pin_mismatch(&cause) {
                Some(authorities) => {
                    EnrollError::PinMismatch { address: address.to_owned(), authorities }
                }
                None => EnrollError::Connection(failure),
            },
            DialError::Other(failure) => EnrollError::Connection(failure),
        })?;
    let mut client = EnrollmentServiceClient::new(connection.channel.clone())
        .max_decoding_message_size(MAX_ANSWER);
    match tokio::time::timeout(ANSWER, client.enroll(request)).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(refusal(&connection, &status)),
        Err(_) => Err(EnrollError::Connection(Failure::Silent)),
    }
}

fn pin_mismatch(cause: &rustls::Error) -> Option<Vec<String>> {
    let rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other)) = cause else {
        return None;
    };
    other.0.downcast_ref::<tls::PinMismatch>().map(|mismatch| mismatch.shown.clone())
}

fn refusal(connection: &client::Connection, status: &tonic::Status) -> EnrollError {
    let failure = connection.explain(status);
    match failure {
        // Without reports there is nothing else that an enrolment could be wrong about.
        Failure::Refused { why } | Failure::ReportRefused { why } => EnrollError::Refused { why },
        Failure::Address { .. }
        | Failure::Unreachable { .. }
        | Failure::ServerUntrusted { .. }
        | Failure::Clock { .. }
        | Failure::CertificateExpired { .. }
        | Failure::CertificateRevoked { .. }
        | Failure::CertificateRefused { .. }
        | Failure::Superseded { .. }
        | Failure::IdentityClash { .. }
        | Failure::Overloaded { .. }
        | Failure::Lost { .. }
        | Failure::Closed
        | Failure::Silent
        | Failure::Storage { .. }
        | Failure::Protocol { .. } => EnrollError::Connection(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_tells_now_from_already_and_a_wrong_clock() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let validity = Validity { not_before: at(100), not_after: at(200) };
        let (host_id, server) = ("h-1".to_owned(), "s:7443".to_owned());
        let now = Enrolled::Now { host_id: host_id.clone(), server: server.clone(), validity };
        assert!(now.describe(at(150)).starts_with("enrolled as h-1 at s:7443;"));
        assert!(now.describe(at(250)).contains("set the clock right"));
        assert!(now.describe(at(50)).contains("set the clock right"));
        let already = Enrolled::Already { host_id, server, validity };
        assert!(already.describe(at(150)).contains("nothing was changed"));
    }

    #[test]
    fn a_server_that_shows_no_authority_is_told_apart() {
        let error = EnrollError::PinMismatch { address: "s:1".to_owned(), authorities: Vec::new() };
        assert!(error.to_string().ends_with("it shows no authority"));
        assert!(!error.remedy().is_empty());
    }
}
