//! Signatures of webhooks, as in <https://www.standardwebhooks.com>: made here, checked by receivers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use thiserror::Error;
use zeroize::Zeroizing;

pub const ID_HEADER: &str = "webhook-id";
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
pub const SIGNATURE_HEADER: &str = "webhook-signature";

const PREFIX: &str = "whsec_";
const VERSION: &str = "v1,";
/// The specification asks for 24 to 64 bytes.
const SECRET: std::ops::RangeInclusive<usize> = 24..=64;

/// What both ends know.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// The secrets of one receiver: while one takes the place of another, each signs.
#[derive(Debug, Clone)]
pub struct Secrets(Vec<Secret>);

impl Secrets {
    /// One a line; at least one.
    pub fn parse(text: &str) -> Result<Self, NotASecret> {
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let secrets: Vec<_> = lines.map(Secret::parse).collect::<Result<_, _>>()?;
        if secrets.is_empty() { Err(NotASecret) } else { Ok(Self(secrets)) }
    }

    /// The value of the signature header: receivers take a message that one of the signatures fits.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let signatures = self.0.iter().map(|secret| secret.sign(id, timestamp, body));
        signatures.collect::<Vec<_>>().join(" ")
    }
}

/// Why a text is not a secret.
#[derive(Debug, Error)]
#[error(
    "not a webhook secret: it must be `whsec_` and base64 of 24 to 64 bytes; `atrestctl webhook secret` \
     makes one"
)]
pub struct NotASecret;

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// Reads `whsec_<base64>`; white space around it is ignored.
    pub fn parse(text: &str) -> Result<Self, NotASecret> {
        let body = text.trim().strip_prefix(PREFIX).ok_or(NotASecret)?;
        let bytes = Zeroizing::new(STANDARD.decode(body).map_err(|_| NotASecret)?);
        if SECRET.contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(NotASecret) }
    }

    /// A new one, as text.
    pub fn generate() -> Zeroizing<String> {
        let bytes = Zeroizing::new(rand::random::<[u8; 32]>());
        Zeroizing::new(format!("{PREFIX}{}", STANDARD.encode(bytes.as_slice())))
    }

    fn mac(&self, id: &str, timestamp: i64, body: &[u8]) -> Option<Hmac<Sha256>> {
        // HMAC takes keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        Some(mac)
    }

    /// The value of the signature header.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mac = self.mac(id, timestamp, body).map(|mac| mac.finalize().into_bytes());
        format!("{VERSION}{}", STANDARD.encode(mac.unwrap_or_default()))
    }

    /// Whether one of the signatures in the header is right. In constant time.
    pub fn verify(&self, id: &str, timestamp: i64, body: &[u8], header: &str) -> bool {
        header
            .split(' ')
            .filter_map(|signature| STANDARD.decode(signature.strip_prefix(VERSION)?).ok())
            .any(|signature| {
                self.mac(id, timestamp, body)
                    .is_some_and(|mac| mac.verify_slice(&signature).is_ok())
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own test suite.
    #[test]
    fn it_signs_as_the_specification_does() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (id, timestamp, body) =
            ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        let signature = secret.sign(id, timestamp, body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(secret.verify(id, timestamp, body, &format!("v1,AAAA {signature}")));
        assert!(!secret.verify(id, timestamp + 1, body, &signature));
        assert!(!secret.verify(id, timestamp, b"{}", &signature));
    }

    #[test]
    fn a_generated_secret_can_be_read_and_is_not_shown() {
        let text = Secret::generate();
        let secret = Secret::parse(&format!("{}\n", *text)).unwrap();
        assert!(!format!("{secret:?}").contains(text.trim_start_matches(PREFIX)));
        assert!(Secret::parse("whsec_AAAA").is_err());
        assert!(Secret::parse("hunter2").is_err());
    }

    #[test]
    fn while_a_secret_is_changed_both_sign() {
        let [old, new] = [Secret::generate(), Secret::generate()];
        let secrets = Secrets::parse(&format!("{}\n\n{}\n", *new, *old)).unwrap();
        let header = secrets.sign("a", 1, b"{}");
        for secret in [old, new] {
            assert!(Secret::parse(&secret).unwrap().verify("a", 1, b"{}", &header));
        }
        assert!(Secrets::parse(" \n").is_err());
        assert!(Secrets::parse("whsec_AAAA").is_err());
    }
}
