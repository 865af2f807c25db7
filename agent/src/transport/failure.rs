//! What can go wrong between agent and server, told apart by what a person would have to do about it.

use std::time::Duration;

use atrest_proto::refusal;
use rustls::{AlertDescription, CertificateError};
use thiserror::Error;
use tonic::{Code, Status};

/// Header by which a gRPC server asks a client to stay away for a while, in milliseconds.
/// See gRFC A6, <https://github.com/grpc/proposal/blob/master/A6-client-retries.md>.
const PUSHBACK: &str = "grpc-retry-pushback-ms";
/// A server's text is shown to people, but only so much of it.
const MAX_TEXT: usize = 500;

/// Why there is no stream to the server.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Failure {
    #[error("`{address}` is not an address: host:port is")]
    Address { address: String },
    #[error("{address} cannot be reached: {why}")]
    Unreachable { address: String, why: String },
    #[error("the server at {address} cannot prove that it is the right one: {why}")]
    ServerUntrusted { address: String, why: String },
    #[error(
        "the server's certificate is not valid at the time that this host's clock shows: {why}"
    )]
    Clock { why: String },
    #[error("this agent's certificate has expired: {why}")]
    CertificateExpired { why: String },
    #[error("the server has revoked this agent's certificate: {why}")]
    CertificateRevoked { why: String },
    #[error("the server refused this agent's certificate: {why}")]
    CertificateRefused { why: String },
    #[error("the server refuses this agent: {why}")]
    Refused { why: String },
    #[error("another agent took this stream's place: {why}")]
    Superseded { why: String },
    #[error("two machines use this agent's identity, and the other one keeps its place: {why}")]
    IdentityClash { why: String },
    #[error("the server cannot serve now: {why}")]
    Overloaded { why: String, retry_after: Option<Duration> },
    #[error("the server cannot take this agent's report: {why}")]
    ReportRefused { why: String },
    #[error("the connection broke: {why}")]
    Lost { why: String },
    #[error("the server closed the stream")]
    Closed,
    #[error("the server did not answer in time")]
    Silent,
    #[error("the state directory cannot be used: {why}")]
    Storage { why: String },
    #[error("the server does not speak as expected: {why}")]
    Protocol { why: String },
}

impl Failure {
    /// A stable word for it, for logs and scripts.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Address { .. } => "bad_address",
            Self::Unreachable { .. } => "unreachable",
            Self::ServerUntrusted { .. } => "server_untrusted",
            Self::Clock { .. } => "clock",
            Self::CertificateExpired { .. } => "certificate_expired",
            Self::CertificateRevoked { .. } => "certificate_revoked",
            Self::CertificateRefused { .. } => "certificate_refused",
            Self::Refused { .. } => "refused",
            Self::Superseded { .. } => "superseded",
            Self::IdentityClash { .. } => "identity_clash",
            Self::Overloaded { .. } => "overloaded",
            Self::ReportRefused { .. } => "report_refused",
            Self::Lost { .. } => "lost",
            Self::Closed => "closed",
            Self::Silent => "silent",
            Self::Storage { .. } => "storage",
            Self::Protocol { .. } => "protocol",
        }
    }

    /// What to do about it; empty when waiting is enough.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Address { .. } => "copy the token again, whole",
            Self::Unreachable { .. } => {
                "see that the name resolves, the server runs, and no firewall is in between"
            }
            Self::ServerUntrusted { .. } => {
                "see that the address leads to your server and nothing in between opens TLS; if the server's \
                 authority was replaced, enrol again with `atrest-agent enroll --force TOKEN`"
            }
            Self::Clock { .. } => "set the clocks of this host and of the server right",
            Self::CertificateExpired { .. } => {
                "the agent was away for longer than its certificate lasts: make a token for this host with \
                 `atrestctl token create --replace HOST_ID` and run `atrest-agent enroll TOKEN` here"
            }
            Self::CertificateRevoked { .. } => {
                "if this host should report again, make a token with `atrestctl token create --replace HOST_ID` and \
                 run `atrest-agent enroll --force TOKEN` here; if not, stop and disable atrest-agent"
            }
            Self::CertificateRefused { .. } | Self::Refused { .. } => {
                "if this host should report, make a token for it with `atrestctl token create` and run \
                 `atrest-agent enroll --force TOKEN` here"
            }
            Self::Superseded { .. } | Self::IdentityClash { .. } => {
                "two machines speak with one identity, as after cloning a disk: on the clone, make a new \
                 /etc/machine-id and run `atrest-agent enroll --force TOKEN`"
            }
            Self::Storage { .. } => {
                "make room, or give the state directory to the user that the agent runs as"
            }
            Self::ReportRefused { .. } | Self::Protocol { .. } => {
                "see that the server is at least as new as this agent, and what its log says"
            }
            Self::Overloaded { .. } | Self::Lost { .. } | Self::Closed | Self::Silent => "",
        }
    }

    /// Whether trying again soon is pointless, because a person has to act first.
    pub const fn needs_a_person(&self) -> bool {
        match self {
            Self::Address { .. }
            | Self::ServerUntrusted { .. }
            | Self::Clock { .. }
            | Self::CertificateExpired { .. }
            | Self::CertificateRevoked { .. }
            | Self::CertificateRefused { .. }
            | Self::Refused { .. }
            | Self::Superseded { .. }
            | Self::IdentityClash { .. }
            | Self::Protocol { .. } => true,
            Self::Unreachable { .. }
            | Self::Overloaded { .. }
            | Self::ReportRefused { .. }
            | Self::Lost { .. }
            | Self::Closed
            | Self::Storage { .. }
            | Self::Silent => false,
        }
    }

    /// Whether this agent's identity is worth nothing any more: only enrolling again helps, and asking does not.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::CertificateRevoked { .. } | Self::IdentityClash { .. })
    }

    /// What it means when this agent's certificate has expired: the refusal is about that, whatever words it comes
    /// in, and even without words, since a server that closes on a refusal can outrun its own alert.
    #[must_use]
    pub fn with_expired_certificate(self) -> Self {
        if let Self::Refused { why } | Self::CertificateRefused { why } | Self::Lost { why } = self
        {
            Self::CertificateExpired { why }
        } else {
            self
        }
    }

    /// How long the server asked to be left alone.
    pub const fn retry_after(&self) -> Option<Duration> {
        if let Self::Overloaded { retry_after, .. } = self { *retry_after } else { None }
    }

    /// From what TLS said, before or after the handshake.
    pub fn of_tls(address: &str, error: &rustls::Error) -> Self {
        if let rustls::Error::InvalidCertificate(fault) = error {
            let why = fault.to_string();
            return if is_about_time(fault) {
                Self::Clock { why }
            } else {
                Self::ServerUntrusted { address: address.to_owned(), why }
            };
        }
        let rustls::Error::AlertReceived(alert) = error else {
            return Self::Protocol { why: format!("TLS: {error}") };
        };
        let refusals = [
            AlertDescription::AccessDenied,
            AlertDescription::BadCertificate,
            AlertDescription::CertificateRequired,
            AlertDescription::CertificateUnknown,
            AlertDescription::DecryptError,
            AlertDescription::UnknownCA,
            AlertDescription::UnsupportedCertificate,
        ];
        if *alert == AlertDescription::CertificateExpired {
            Self::CertificateExpired { why: "the server refused it".to_owned() }
        } else if *alert == AlertDescription::CertificateRevoked {
            Self::CertificateRevoked { why: "it closed the connection".to_owned() }
        } else if refusals.contains(alert) {
            Self::CertificateRefused { why: format!("{alert:?}") }
        } else {
            Self::Protocol { why: format!("TLS alert {alert:?}") }
        }
    }

    /// From what gRPC said.
    pub fn of_status(status: &Status) -> Self {
        // A status made on this side has the fault of the connection as its cause.
        if let Some(cause) = std::error::Error::source(status) {
            return Self::Lost { why: root(cause) };
        }
        let why = bounded(status.message());
        // The word says more than the code does.
        let word = status.metadata().get(refusal::HEADER).and_then(|word| word.to_str().ok());
        match word {
            Some(refusal::HOST_REVOKED) => return Self::CertificateRevoked { why },
            Some(refusal::IDENTITY_CLASH) => return Self::IdentityClash { why },
            // What a newer server says in a word, it says in its status as well.
            Some(_) | None => {}
        }
        match status.code() {
            Code::Unauthenticated
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::AlreadyExists => Self::Refused { why },
            Code::ResourceExhausted | Code::Unavailable => {
                Self::Overloaded { why, retry_after: pushback(status) }
            }
            Code::InvalidArgument | Code::OutOfRange => Self::ReportRefused { why },
            Code::Aborted => Self::Superseded { why },
            Code::Cancelled => Self::Closed,
            Code::DeadlineExceeded => Self::Silent,
            code @ (Code::Ok
            | Code::Unknown
            | Code::NotFound
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss) => Self::Protocol { why: format!("{code:?}: {why}") },
        }
    }
}

fn is_about_time(fault: &CertificateError) -> bool {
    matches!(
        fault,
        CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
    )
}

fn pushback(status: &Status) -> Option<Duration> {
    let text = status.metadata().get(PUSHBACK)?.to_str().ok()?;
    Some(Duration::from_millis(text.parse().ok()?))
}

/// What broke a connection, without the layers that passed it on.
fn root(cause: &(dyn std::error::Error + 'static)) -> String {
    use std::io::ErrorKind;
    let mut deepest = cause;
    while let Some(next) = deepest.source() {
        deepest = next;
        let gone = deepest.downcast_ref::<std::io::Error>().is_some_and(|error| {
            let kinds =
                [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
            kinds.contains(&error.kind())
        });
        if gone {
            return "the server went away".to_owned();
        }
    }
    bounded(&deepest.to_string())
}

/// An error and its causes, once each, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    bounded(&text)
}

/// What the other side said, without what would confuse a terminal or fill a log.
pub fn bounded(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_the_certificate_are_told_apart() {
        let kind = |alert| Failure::of_tls("s:1", &rustls::Error::AlertReceived(alert)).kind();
        assert_eq!(kind(AlertDescription::CertificateExpired), "certificate_expired");
        assert_eq!(kind(AlertDescription::CertificateRevoked), "certificate_revoked");
        assert_eq!(kind(AlertDescription::UnknownCA), "certificate_refused");
        assert_eq!(kind(AlertDescription::InternalError), "protocol");
        let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
        assert_eq!(Failure::of_tls("s:1", &expired).kind(), "clock");
    }

    #[test]
    fn an_overloaded_server_says_when_to_come_back() {
        let mut status = Status::resource_exhausted("too many enrolments");
        status.metadata_mut().insert(PUSHBACK, "1500".parse().unwrap());
        let failure = Failure::of_status(&status);
        assert_eq!(failure.retry_after(), Some(Duration::from_millis(1500)));
        assert!(!failure.needs_a_person());
    }

    #[test]
    fn a_word_of_the_server_tells_that_the_identity_is_over() {
        let mut status = Status::permission_denied("an operator revoked it");
        assert!(!Failure::of_status(&status).is_final());
        status.metadata_mut().insert(refusal::HEADER, refusal::HOST_REVOKED.parse().unwrap());
        let failure = Failure::of_status(&status).with_expired_certificate();
        assert_eq!(failure.kind(), "certificate_revoked", "also when it has expired meanwhile");
        assert!(failure.is_final() && failure.needs_a_person());
        assert!(failure.to_string().contains("an operator revoked it"));
        status.metadata_mut().insert(refusal::HEADER, refusal::IDENTITY_CLASH.parse().unwrap());
        let failure = Failure::of_status(&status);
        assert_eq!((failure.kind(), failure.is_final()), ("identity_clash", true));
        status.metadata_mut().insert(refusal::HEADER, "from_the_future".parse().unwrap());
        assert_eq!(Failure::of_status(&status).kind(), "refused");
    }

    #[test]
    fn every_failure_that_needs_a_person_says_what_to_do() {
        let text = String::new;
        let failures = [
            Failure::Address { address: text() },
            Failure::ServerUntrusted { address: text(), why: text() },
            Failure::Clock { why: text() },
            Failure::CertificateExpired { why: text() },
            Failure::Superseded { why: text() },
            Failure::IdentityClash { why: text() },
            Failure::CertificateRevoked { why: text() },
            Failure::CertificateRefused { why: text() },
            Failure::Refused { why: text() },
            Failure::Protocol { why: text() },
        ];
        assert!(
            failures.iter().all(|failure| failure.needs_a_person() && !failure.remedy().is_empty())
        );
    }

    #[test]
    fn a_servers_text_cannot_break_a_terminal() {
        let failure = Failure::of_status(&Status::permission_denied("\u{1b}[2J\nno"));
        assert_eq!(failure.to_string(), "the server refuses this agent:  [2J no");
    }
}
