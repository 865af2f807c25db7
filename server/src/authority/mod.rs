//! The server's own certificate authority: made at first start, it signs the server and the agents.
//!
//! Its key never leaves the state directory. Agents pin its public key, so the certificate around the key
//! may be renewed without a word to them.

mod identity;
mod rotation;

use std::net::IpAddr;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber,
};
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use tracing::info;

use crate::clock;
use crate::fleet::{Digest, HostId};
use crate::hex;
use crate::state_dir::{StateDir, StateError};

pub use identity::{Csr, CsrError, Identity, IdentityError, validity};
pub use rotation::rotate;

const KEY_FILE: &str = "ca.key";
/// The certificate that operators trust.
pub const CERTIFICATE_FILE: &str = "ca.pem";
/// Certificates begin a little earlier than now: clocks differ.
const BACKDATED: Duration = Duration::from_mins(5);
const AUTHORITY_LIFETIME: Duration = Duration::from_hours(10 * 365 * 24);

/// Why there is no authority, with what to do about it.
#[derive(Debug, Error)]
pub enum AuthorityError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(
        "the authority's certificate is there but its key {key} is not: restore the key from a \
         backup, or remove {certificate} to make a new authority and enrol every host again"
    )]
    KeyMissing { key: String, certificate: String },
    #[error("could not understand {file}: restore it from a backup")]
    Unreadable {
        file: String,
        #[source]
        source: rcgen::Error,
    },
    #[error("a new authority waits in {file} for the server to be restarted")]
    Waiting { file: String },
    #[error("could not make a certificate")]
    Sign(#[from] rcgen::Error),
    #[error("could not use a key that was just made")]
    Key(#[from] rustls::Error),
}

/// The authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    /// Authorities that came before and have not ended.
    previous: Vec<CertificateDer<'static>>,
    /// What those before signed for those after.
    cross: Vec<CertificateDer<'static>>,
    pin: Digest,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("pin", &self.pin_hex()).finish_non_exhaustive()
    }
}

impl Authority {
    /// Reads the authority from the state directory, or makes it there.
    pub fn open(state: &StateDir, now: Timestamp) -> Result<Self, AuthorityError> {
        rotation::take_over(state, now)?;
        let key = state.read_secret(KEY_FILE)?;
        let certificate = state.read(CERTIFICATE_FILE)?;
        let (key, certificate) = match (key, certificate) {
            (Some(key), Some(certificate)) => (key, certificate),
            (None, Some(_)) => {
                return Err(AuthorityError::KeyMissing {
                    key: state.path(KEY_FILE).display().to_string(),
                    certificate: state.path(CERTIFICATE_FILE).display().to_string(),
                });
            }
            (key, None) => make(state, key, now)?,
        };
        let unreadable = |name: &str| {
            let file = state.path(name).display().to_string();
            move |source| AuthorityError::Unreadable { file, source }
        };
        let key = KeyPair::from_pem(&key).map_err(unreadable(KEY_FILE))?;
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|_| rcgen::Error::CouldNotParseCertificate)
            .map_err(unreadable(CERTIFICATE_FILE))?;
        let pin = pin_of(&key.subject_public_key_info());
        let issuer =
            Issuer::from_ca_cert_der(&certificate, key).map_err(unreadable(CERTIFICATE_FILE))?;
        let previous = rotation::read(state, rotation::PREVIOUS_FILE, now)?;
        let cross = rotation::read(state, rotation::CROSS_FILE, now)?;
        Ok(Self { issuer, certificate, previous, cross, pin })
    }

    /// What agents pin: SHA-256 of the public key (DER `SubjectPublicKeyInfo`), hex.
    pub fn pin_hex(&self) -> String {
        hex::encode(&self.pin)
    }

    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// All that are trusted, the one in use first.
    pub fn authorities(&self) -> Vec<CertificateDer<'static>> {
        std::iter::once(&self.certificate).chain(&self.previous).cloned().collect()
    }

    /// Signs a host's key. Only the key is taken from the request.
    pub fn sign_agent(
        &self,
        csr: &Csr,
        host: &HostId,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<AgentCertificate, AuthorityError> {
        let mut params = params(&format!("atrest agent {host}"), lifetime, now);
        let id = rcgen::string::Ia5String::from_str(&identity::spiffe_id(host))?;
        params.subject_alt_names = vec![SanType::URI(id)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(csr.public_key(), &self.issuer)?;
        Ok(AgentCertificate {
            chain: vec![certificate.der().to_vec()],
            not_after: clock::after(now, lifetime),
        })
    }

    /// A fresh key and certificate for the server itself.
    pub fn issue_server(
        &self,
        names: &[String],
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<Arc<CertifiedKey>, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params("atrest server", lifetime, now);
        params.subject_alt_names = names
            .iter()
            .map(|name| match name.parse::<IpAddr>() {
                Ok(address) => Ok(SanType::IpAddress(address)),
                Err(_) => Ok(SanType::DnsName(name.as_str().try_into()?)),
            })
            .collect::<Result<_, rcgen::Error>>()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        // Who trusts an authority that came before gets here by what that one signed; who pins it finds it.
        let mut chain = vec![certificate.der().clone(), self.certificate.clone()];
        chain.extend(self.cross.iter().chain(&self.previous).cloned());
        Ok(Arc::new(CertifiedKey::new(chain, any_ecdsa_type(&key)?)))
    }
}

/// A host's certificate, the leaf first, each DER.
#[derive(Debug, Clone)]
pub struct AgentCertificate {
    pub chain: Vec<Vec<u8>>,
    pub not_after: Timestamp,
}

/// Makes what is missing: the key first, so that a cut between the two leaves a key without a certificate.
fn make(
    state: &StateDir,
    key: Option<String>,
    now: Timestamp,
) -> Result<(String, String), AuthorityError> {
    let key = if let Some(key) = key {
        key
    } else {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?.serialize_pem();
        state.write(KEY_FILE, &key)?;
        key
    };
    let pair = KeyPair::from_pem(&key)?;
    let pin = hex::encode(&pin_of(&pair.subject_public_key_info()));
    let certificate = authority_params(&pin, now).self_signed(&pair)?.pem();
    state.write(CERTIFICATE_FILE, &certificate)?;
    info!(pin, "made a certificate authority");
    Ok((key, certificate))
}

/// The name holds the key's pin: two authorities never look alike.
fn authority_params(pin: &str, now: Timestamp) -> CertificateParams {
    let name = format!("atrest authority {}", pin.chars().take(16).collect::<String>());
    let mut params = params(&name, AUTHORITY_LIFETIME, now);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn params(name: &str, lifetime: Duration, now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let mut serial: [u8; 16] = rand::random();
    // A positive number.
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let since_epoch =
        |at: Timestamp| Duration::from_secs(u64::try_from(at.as_second()).unwrap_or_default());
    params.not_before = epoch + since_epoch(clock::before(now, BACKDATED));
    params.not_after = epoch + since_epoch(clock::after(now, lifetime));
    params
}

/// SHA-256 of a public key, DER `SubjectPublicKeyInfo`.
pub(crate) fn pin_of(subject_public_key_info: &[u8]) -> Digest {
    Sha256::digest(subject_public_key_info).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    #[test]
    fn it_is_made_once_and_its_key_is_private() {
        use std::os::unix::fs::MetadataExt as _;
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let first = Authority::open(&state, now()).unwrap();
        let again = Authority::open(&state, now()).unwrap();
        assert_eq!(first.pin_hex(), again.pin_hex());
        assert_eq!(first.certificate(), again.certificate());
        let mode = std::fs::metadata(dir.path().join(KEY_FILE)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_cut_between_key_and_certificate_keeps_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let first = Authority::open(&state, now()).unwrap();
        std::fs::remove_file(dir.path().join(CERTIFICATE_FILE)).unwrap();
        assert_eq!(Authority::open(&state, now()).unwrap().pin_hex(), first.pin_hex());
        std::fs::remove_file(dir.path().join(KEY_FILE)).unwrap();
        let error = Authority::open(&state, now()).unwrap_err();
        assert!(matches!(error, AuthorityError::KeyMissing { .. }), "{error}");
    }

    #[test]
    fn an_agents_certificate_holds_its_identity_and_ends_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open(&StateDir::open(dir.path()).unwrap(), now()).unwrap();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let csr = CertificateParams::default().serialize_request(&key).unwrap();
        let csr = Csr::parse(csr.der()).unwrap();
        let host = HostId::random();
        let signed = authority.sign_agent(&csr, &host, Duration::from_hours(24), now()).unwrap();
        let identity = Identity::of(&signed.chain[0]).unwrap();
        assert_eq!(identity.host_id, host);
        assert_eq!(identity.key_pin, csr.key_pin());
        assert_eq!(identity.not_after, signed.not_after);
        assert!(identity.not_before < now());
    }

    #[test]
    fn a_request_that_its_key_did_not_sign_is_refused() {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let csr = CertificateParams::default().serialize_request(&key).unwrap();
        let mut der = csr.der().to_vec();
        let last = der.len() - 1;
        der[last] ^= 1;
        assert!(Csr::parse(&der).is_err());
        assert!(Csr::parse(b"nonsense").is_err());
    }
}
