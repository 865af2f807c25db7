//! Whom the agent believes to be a node: who shows a certificate that leads to an authority of the node's configuration or
//! of the agent's own.
//!
//! The name in the certificate does not count. Certificates of nodes often lack the loopback addresses, and nothing but the
//! node's own process can be at the other end: the socket was shown to be its own. What counts is the chain.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// More certificates in one file than this are not taken.
const MOST: usize = 1000;

/// The certificates in a PEM file; what is no certificate is passed over.
pub(super) fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).flatten().take(MOST).collect()
}

/// A chain and its key, for nodes that ask who the agent is. Debug and errors do not show the key.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// From both files; `None` when they do not belong together, or cannot be used.
    pub(super) fn new(chain: &[u8], key: &[u8]) -> Option<Self> {
        let identity =
            Self { chain: certificates(chain), key: PrivateKeyDer::from_pem_slice(key).ok()? };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = identity.key.clone_key();
        CertifiedKey::from_der(identity.chain.clone(), key, &provider).ok().map(|_| identity)
    }
}

/// TLS that trusts these authorities and nobody else; `None` when none of them can be used. The identity is proven to who
/// is trusted and asks for it: its key is never sent, and what is signed is good for this connection only.
pub(super) fn trusting(
    authorities: &[CertificateDer<'static>],
    identity: Option<&Identity>,
) -> Option<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(authorities.iter().cloned());
    if added == 0 {
        return None;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(Chain { roots, provider: Arc::clone(&provider) });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match identity {
        Some(Identity { chain, key }) => {
            config.with_client_auth_cert(chain.clone(), key.clone_key()).ok()?
        }
        None => config.with_no_client_auth(),
    };
    Some(Arc::new(config))
}

/// Verifies the chain: signatures, time, purpose. Not the name: see above.
#[derive(Debug)]
struct Chain {
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Chain {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            algorithms,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
