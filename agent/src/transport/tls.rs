//! The two TLS configurations: pinned, for a host that knows a token only, and mutual, for an enrolled one.
//!
//! TLS 1.3 only: both ends are ours. The provider is ring, named explicitly, so that no process-wide default matters.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme, version,
};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// SHA-256 of an authority's public key (DER `SubjectPublicKeyInfo`).
pub type Pin = [u8; 32];

/// The server showed no certificate of the pinned authority.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the server's certificates do not lead to the authority that the token names")]
pub struct PinMismatch {
    /// What it did show above its own certificate, in hex.
    pub shown: Vec<String>,
}

/// TLS without a certificate of our own, to a server whose chain leads to the pinned authority.
pub fn pinned(pin: Pin) -> Result<ClientConfig, rustls::Error> {
    let provider = provider();
    let verifier = Arc::new(PinnedAuthority { pin, provider: Arc::clone(&provider) });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// TLS with a certificate of our own, to a server that one of these authorities vouches for.
pub fn mutual(
    authorities: &[CertificateDer<'static>],
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone())?;
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // There is one server: coming back after its restart is cheaper for both when the session is resumed.
    config.resumption = Resumption::in_memory_sessions(1);
    Ok(config)
}

/// A fraction in `[0, 1)` from the system's randomness; a half when there is none.
pub fn chance() -> f64 {
    let mut bytes = [0_u8; 4];
    match provider().secure_random.fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_ne_bytes(bytes)) / (f64::from(u32::MAX) + 1.0),
        Err(_) => 0.5,
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Accepts a server whose chain holds an authority with the pinned key, and which verifies against that authority in
/// every usual way: signatures, name, time, purpose. Nothing else is trusted, so the pin is as good as a root file.
#[derive(Debug)]
struct PinnedAuthority {
    pin: Pin,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let pins: Vec<_> = intermediates.iter().map(pin_of).collect();
        let pinned = intermediates.iter().zip(&pins).find(|(_, pin)| **pin == Some(self.pin));
        let Some((authority, _)) = pinned else {
            let shown = pins.iter().flatten().map(hex).collect();
            let mismatch = OtherError(Arc::new(PinMismatch { shown }));
            return Err(CertificateError::Other(mismatch).into());
        };
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn pin_of(certificate: &CertificateDer<'_>) -> Option<Pin> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    Some(Sha256::digest(parsed.subject_public_key_info()).into())
}

fn hex(pin: &Pin) -> String {
    pin.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// Reads a pin in hex; white space and colons between bytes are ignored.
pub fn parse_pin(text: &str) -> Option<Pin> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .filter(|c| !c.is_whitespace() && *c != ':')
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits?;
    let bytes: Option<Vec<u8>> = digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(high * 16 + low),
            _ => None,
        })
        .collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_read_in_the_usual_spellings() {
        let pin: Pin = std::array::from_fn(|index| u8::try_from(index * 7).unwrap());
        let plain = hex(&pin);
        assert_eq!(parse_pin(&plain), Some(pin));
        assert_eq!(parse_pin(&plain.to_uppercase()), Some(pin));
        assert_eq!(parse_pin(plain.get(1..).unwrap()), None);
        assert_eq!(parse_pin("xy"), None);
    }

    #[test]
    fn chance_stays_below_one() {
        assert!((0..100).map(|_| chance()).all(|fraction| (0.0..1.0).contains(&fraction)));
    }
}
