//! Who this host is to the server: its key, its certificate, and the authorities that it trusts.
//!
//! All of it is one file, so that a crash leaves the old identity or the new one and never a mixture. The key leaves
//! this module only as a TLS configuration or a signing request; it is never logged, and wiped when it is dropped.

use std::fmt;
use std::io;
use std::path::PathBuf;

use jiff::Timestamp;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::{Zeroize as _, Zeroizing};

use super::files::{self, Durability};
use super::{StateDir, tls};

const SCHEMA: &str = "atrest.identity/1";
/// A chain and some authorities are a few KiB each.
const MAX_FILE: u64 = 1024 * 1024;
/// More certificates than this are no chain.
const MAX_CERTIFICATES: usize = 16;

/// Why there is no usable identity.
#[derive(Debug, Error)]
pub enum IdentityError {
    #[error("{} cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} cannot be written", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} is damaged ({what}): enrol again with `atrest-agent enroll --force TOKEN`", path.display())]
    Damaged { path: PathBuf, what: &'static str },
    #[error("another enrolment is running")]
    Busy,
    #[error("the server's answer is no certificate for this host's key: {what}")]
    Answer { what: &'static str },
    #[error("no key could be made")]
    Key { source: rcgen::Error },
    #[error("the key and certificate cannot be used for TLS")]
    Tls { source: rustls::Error },
}

/// An enrolled host.
#[derive(Clone)]
pub struct Identity {
    pub host_id: String,
    /// `host:port` of the server's agents' port.
    pub server: String,
    pub enrolled_at: Timestamp,
    key: Key,
    chain: Vec<CertificateDer<'static>>,
    authorities: Vec<CertificateDer<'static>>,
    validity: Validity,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("host_id", &self.host_id)
            .field("server", &self.server)
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

/// From when until when a certificate may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validity {
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

impl Validity {
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now >= self.not_after
    }

    pub fn is_not_yet(&self, now: Timestamp) -> bool {
        now < self.not_before
    }

    /// Half of its life is over: time for the next one, with the other half left for trying.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let half = self.not_after.duration_since(self.not_before) / 2;
        now.duration_since(self.not_before) >= half
    }
}

/// What the server answers to an enrolment or a renewal.
#[derive(Debug, PartialEq, Eq)]
pub struct Issued {
    /// The host's certificate first, each DER.
    pub certificate_chain: Vec<Vec<u8>>,
    /// Whom to trust for the server, each DER.
    pub authorities: Vec<Vec<u8>>,
}

impl Identity {
    /// Checks that what was issued is for this key.
    pub fn new(
        host_id: String,
        server: String,
        enrolled_at: Timestamp,
        key: Key,
        issued: Issued,
    ) -> Result<Self, IdentityError> {
        let answer = |what| IdentityError::Answer { what };
        if host_id.is_empty() {
            return Err(answer("no host id"));
        }
        let chain = certificates(issued.certificate_chain).ok_or(answer("no chain"))?;
        let authorities = certificates(issued.authorities).ok_or(answer("no authorities"))?;
        let (validity, public_key) =
            chain.first().and_then(read_certificate).ok_or(answer("not a certificate"))?;
        if public_key != key.public_key_der()? {
            return Err(answer("it is for another key"));
        }
        Ok(Self { host_id, server, enrolled_at, key, chain, authorities, validity })
    }

    /// The same host with a fresh certificate for the same key.
    pub fn renewed(&self, issued: Issued) -> Result<Self, IdentityError> {
        Self::new(
            self.host_id.clone(),
            self.server.clone(),
            self.enrolled_at,
            self.key.clone(),
            issued,
        )
    }

    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// A PKCS#10 request for a certificate for this key, DER.
    pub fn signing_request(&self) -> Result<Vec<u8>, IdentityError> {
        self.key.signing_request()
    }

    /// TLS that shows this identity and trusts its authorities only.
    pub fn tls(&self) -> Result<rustls::ClientConfig, IdentityError> {
        let key = self.key.private_key().ok_or(IdentityError::Answer { what: "no private key" })?;
        tls::mutual(&self.authorities, self.chain.clone(), key)
            .map_err(|source| IdentityError::Tls { source })
    }

    /// Whether this is the host that `other` is, whatever their certificates.
    pub fn is_same_host(&self, other: &Self) -> bool {
        self.host_id == other.host_id && self.server == other.server && self.key.0 == other.key.0
    }

    /// Loads the identity of a state directory; `None` when it is not enrolled.
    pub fn load(state: &StateDir) -> Result<Option<Self>, IdentityError> {
        let path = state.identity();
        let bytes = files::read_bounded(&path, MAX_FILE)
            .map_err(|source| IdentityError::Read { path: path.clone(), source })?;
        let Some(bytes) = bytes.map(Zeroizing::new) else { return Ok(None) };
        let damaged = |what| IdentityError::Damaged { path: path.clone(), what };
        let stored: Stored =
            serde_json::from_slice(&bytes).map_err(|_| damaged("not an identity"))?;
        if stored.schema != SCHEMA {
            return Err(damaged("written by another version"));
        }
        let issued = Issued {
            certificate_chain: from_pem(&stored.certificate_chain)
                .ok_or(damaged("its certificate"))?,
            authorities: from_pem(&stored.authorities).ok_or(damaged("its authorities"))?,
        };
        let key = Key(stored.key.clone());
        Self::new(stored.host_id.clone(), stored.server.clone(), stored.enrolled_at, key, issued)
            .map(Some)
            .map_err(|_| damaged("its key and certificate"))
    }

    /// Puts this identity where the old one was. The caller holds the lock.
    pub fn store(&self, state: &StateDir, _held: &files::Lock) -> Result<(), IdentityError> {
        let stored = Stored {
            schema: SCHEMA.to_owned(),
            host_id: self.host_id.clone(),
            server: self.server.clone(),
            enrolled_at: self.enrolled_at,
            key: self.key.0.clone(),
            certificate_chain: to_pem(&self.chain),
            authorities: to_pem(&self.authorities),
        };
        let path = state.identity();
        let text = Zeroizing::new(serde_json::to_vec_pretty(&stored).unwrap_or_default());
        files::replace(&path, &text, Durability::Synced)
            .map_err(|source| IdentityError::Write { path, source })
    }
}

/// Takes the lock that whoever changes the identity must hold.
pub fn lock(state: &StateDir) -> Result<files::Lock, IdentityError> {
    let path = state.identity_lock();
    match files::Lock::try_take(&path) {
        Ok(held) => held.ok_or(IdentityError::Busy),
        Err(source) => Err(IdentityError::Write { path, source }),
    }
}

/// The file. Dropping it wipes the key.
#[derive(Serialize, Deserialize)]
struct Stored {
    schema: String,
    host_id: String,
    server: String,
    enrolled_at: Timestamp,
    /// PKCS#8, PEM.
    key: Zeroizing<String>,
    /// PEM, the host's own first.
    certificate_chain: String,
    authorities: String,
}

/// A private key on P-256, as PKCS#8 PEM.
#[derive(Clone)]
pub struct Key(Zeroizing<String>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    pub fn generate() -> Result<Self, IdentityError> {
        let mut pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
            .map_err(|source| IdentityError::Key { source })?;
        let pem = Zeroizing::new(pair.serialize_pem());
        pair.zeroize();
        Ok(Self(pem))
    }

    /// The key of an enrolment whose answer never came: the server knows that key by now, so it is asked for again.
    /// Makes and keeps a new one when there is none.
    pub fn pending(state: &StateDir) -> Result<Self, IdentityError> {
        let path = state.pending_key();
        let read = files::read_bounded(&path, MAX_FILE)
            .map_err(|source| IdentityError::Read { path: path.clone(), source })?
            .map(Zeroizing::new);
        let kept = read
            .and_then(|bytes| {
                Some(Self(Zeroizing::new(std::str::from_utf8(&bytes).ok()?.to_owned())))
            })
            .filter(|key| key.pair().is_ok());
        if let Some(key) = kept {
            return Ok(key);
        }
        let key = Self::generate()?;
        files::replace(&path, key.0.as_bytes(), Durability::Synced)
            .map_err(|source| IdentityError::Write { path, source })?;
        Ok(key)
    }

    /// A PKCS#10 request for a certificate for this key, DER. Only its public key matters to the server.
    pub fn signing_request(&self) -> Result<Vec<u8>, IdentityError> {
        let mut pair = self.pair()?;
        let mut parameters = rcgen::CertificateParams::default();
        // The server names the host, whatever the request says.
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        let request = parameters.serialize_request(&pair);
        pair.zeroize();
        request
            .map(|request| request.der().to_vec())
            .map_err(|source| IdentityError::Key { source })
    }

    fn pair(&self) -> Result<rcgen::KeyPair, IdentityError> {
        rcgen::KeyPair::from_pem(&self.0).map_err(|source| IdentityError::Key { source })
    }

    fn public_key_der(&self) -> Result<Vec<u8>, IdentityError> {
        use rcgen::PublicKeyData as _;
        let mut pair = self.pair()?;
        let der = pair.subject_public_key_info();
        pair.zeroize();
        Ok(der)
    }

    fn private_key(&self) -> Option<PrivateKeyDer<'static>> {
        PrivateKeyDer::from_pem_slice(self.0.as_bytes()).ok()
    }
}

fn certificates(list: Vec<Vec<u8>>) -> Option<Vec<CertificateDer<'static>>> {
    let some = !list.is_empty() && list.len() <= MAX_CERTIFICATES;
    some.then(|| list.into_iter().map(CertificateDer::from).collect())
}

/// Its validity, and its public key as DER.
fn read_certificate(der: &CertificateDer<'_>) -> Option<(Validity, Vec<u8>)> {
    use x509_parser::prelude::FromDer as _;
    let (_, certificate) = x509_parser::certificate::X509Certificate::from_der(der).ok()?;
    let at = |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp()).ok();
    let validity = Validity {
        not_before: at(certificate.validity().not_before)?,
        not_after: at(certificate.validity().not_after)?,
    };
    Some((validity, certificate.public_key().raw.to_vec()))
}

fn to_pem(certificates: &[CertificateDer<'_>]) -> String {
    use base64::Engine as _;
    let mut text = String::new();
    for certificate in certificates {
        let base64 = base64::engine::general_purpose::STANDARD.encode(certificate);
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in base64.as_bytes().chunks(64) {
            text.push_str(&String::from_utf8_lossy(line));
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

fn from_pem(text: &str) -> Option<Vec<Vec<u8>>> {
    CertificateDer::pem_slice_iter(text.as_bytes())
        .map(|certificate| certificate.ok().map(|der| der.to_vec()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// What a server would issue for `key`.
    fn issued(key: &Key) -> Issued {
        let authority_key = rcgen::KeyPair::generate().unwrap();
        let mut authority = rcgen::CertificateParams::default();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority_der = authority.self_signed(&authority_key).unwrap().der().to_vec();
        let issuer = rcgen::Issuer::new(authority, authority_key);
        let request = key.signing_request().unwrap();
        let request = rcgen::CertificateSigningRequestParams::from_der(&request.into()).unwrap();
        let certificate = request.signed_by(&issuer).unwrap().der().to_vec();
        Issued { certificate_chain: vec![certificate], authorities: vec![authority_der] }
    }

    fn identity(key: Key) -> Identity {
        let issued = issued(&key);
        Identity::new("h-1".to_owned(), "server:7443".to_owned(), at(7), key, issued).unwrap()
    }

    #[test]
    fn an_identity_round_trips_through_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::new(dir.path());
        assert!(Identity::load(&state).unwrap().is_none());
        let identity = identity(Key::generate().unwrap());
        identity.store(&state, &lock(&state).unwrap()).unwrap();
        let back = Identity::load(&state).unwrap().unwrap();
        assert!(back.is_same_host(&identity));
        assert_eq!(back.validity(), identity.validity());
        assert_eq!(back.chain, identity.chain);
        back.tls().unwrap();
    }

    #[test]
    fn a_certificate_for_another_key_is_refused() {
        let (mine, other) = (Key::generate().unwrap(), Key::generate().unwrap());
        let new =
            |issued| Identity::new("h".to_owned(), String::new(), at(0), mine.clone(), issued);
        assert!(matches!(
            new(issued(&other)),
            Err(IdentityError::Answer { what: "it is for another key" })
        ));
        let empty = Issued { certificate_chain: Vec::new(), ..issued(&mine) };
        assert!(matches!(new(empty), Err(IdentityError::Answer { what: "no chain" })));
        let garbage = Issued { certificate_chain: vec![vec![0; 40]], ..issued(&mine) };
        assert!(matches!(new(garbage), Err(IdentityError::Answer { .. })));
    }

    #[test]
    fn a_damaged_file_says_what_to_do_and_does_not_panic() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::new(dir.path());
        identity(Key::generate().unwrap()).store(&state, &lock(&state).unwrap()).unwrap();
        let whole = files::read_bounded(&state.identity(), MAX_FILE).unwrap().unwrap();
        for cut in (0..whole.len()).step_by(37) {
            std::fs::write(state.identity(), &whole[..cut]).unwrap();
            let error = Identity::load(&state).unwrap_err().to_string();
            assert!(error.contains("enroll --force"), "{error}");
        }
    }

    #[test]
    fn nothing_that_is_printed_holds_the_key() {
        let identity = identity(Key::generate().unwrap());
        let printed = format!("{identity:?} {:?}", identity.key);
        assert!(!printed.contains("PRIVATE") && !printed.contains("MIG"), "{printed}");
    }

    #[test]
    fn the_key_of_an_unanswered_enrolment_is_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::new(dir.path());
        let first = Key::pending(&state).unwrap();
        assert_eq!(Key::pending(&state).unwrap().0, first.0);
        std::fs::write(state.pending_key(), "torn").unwrap();
        assert_ne!(Key::pending(&state).unwrap().0, first.0);
    }

    #[test]
    fn renewal_is_due_at_half_life() {
        let validity = Validity { not_before: at(1000), not_after: at(2000) };
        let states: Vec<_> = [1499, 1500, 1999, 2000]
            .map(|now| (validity.is_due(at(now)), validity.is_expired(at(now))))
            .into();
        assert_eq!(states, [(false, false), (true, false), (true, false), (true, true)]);
    }
}
