//! Who a certificate speaks for, and what a signing request proves.

use jiff::Timestamp;
use rcgen::{CertificateSigningRequestParams, PublicKey, PublicKeyData as _};
use thiserror::Error;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::pin_of;
use crate::fleet::certificate::Validity;
use crate::fleet::{Digest, HostId};

/// Hosts of every atrest server; which server is said by who signed.
const SPIFFE_PREFIX: &str = "spiffe://atrest/agent/";
/// A signing request is a few hundred bytes.
const MAX_CSR: usize = 16 << 10;

pub(super) fn spiffe_id(host: &HostId) -> String {
    format!("{SPIFFE_PREFIX}{host}")
}

/// A signing request that was signed by the key in it.
#[derive(Debug)]
pub struct Csr {
    public_key: PublicKey,
    key_pin: Digest,
}

/// Why a signing request is refused.
#[derive(Debug, Error)]
pub enum CsrError {
    #[error("the signing request is too long")]
    TooLong,
    #[error("the signing request is not valid PKCS#10, or its signature is wrong")]
    Invalid(#[source] rcgen::Error),
    #[error("the key must be ECDSA on P-256 or P-384, or Ed25519")]
    Algorithm,
}

impl Csr {
    pub fn parse(der: &[u8]) -> Result<Self, CsrError> {
        if der.len() > MAX_CSR {
            return Err(CsrError::TooLong);
        }
        let csr =
            CertificateSigningRequestParams::from_der(&der.into()).map_err(CsrError::Invalid)?;
        let accepted =
            [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519];
        if !accepted.contains(&csr.public_key.algorithm()) {
            return Err(CsrError::Algorithm);
        }
        let key_pin = pin_of(&csr.public_key.subject_public_key_info());
        Ok(Self { public_key: csr.public_key, key_pin })
    }

    pub(super) const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// SHA-256 of the public key.
    pub const fn key_pin(&self) -> Digest {
        self.key_pin
    }
}

/// What an agent's certificate says. Whether our authority signed it was decided before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub host_id: HostId,
    pub key_pin: Digest,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

/// How long a certificate holds; `None` when it is none.
pub fn validity(der: &[u8]) -> Option<Validity> {
    let (_, certificate) = parse_x509_certificate(der).ok()?;
    let time = |at: x509_parser::time::ASN1Time| Timestamp::from_second(at.timestamp()).ok();
    let validity = certificate.validity();
    Some(Validity { from: time(validity.not_before)?, until: time(validity.not_after)? })
}

/// Why a certificate speaks for no agent.
#[derive(Debug, Error)]
pub enum IdentityError {
    #[error("the client certificate cannot be read")]
    Unreadable,
    #[error("the client certificate is not an agent's: it has no `{SPIFFE_PREFIX}…` name")]
    NotAnAgent,
}

impl Identity {
    pub fn of(der: &[u8]) -> Result<Self, IdentityError> {
        let (_, certificate) =
            parse_x509_certificate(der).map_err(|_| IdentityError::Unreadable)?;
        let names = certificate
            .subject_alternative_name()
            .map_err(|_| IdentityError::Unreadable)?
            .ok_or(IdentityError::NotAnAgent)?;
        let mut ids = names.value.general_names.iter().filter_map(|name| {
            if let GeneralName::URI(uri) = name {
                uri.strip_prefix(SPIFFE_PREFIX)?.parse::<HostId>().ok()
            } else {
                None
            }
        });
        // One certificate, one identity.
        let (Some(host_id), None) = (ids.next(), ids.next()) else {
            return Err(IdentityError::NotAnAgent);
        };
        let time = |at: x509_parser::time::ASN1Time| {
            Timestamp::from_second(at.timestamp()).map_err(|_| IdentityError::Unreadable)
        };
        Ok(Self {
            host_id,
            key_pin: pin_of(certificate.public_key().raw),
            not_before: time(certificate.validity().not_before)?,
            not_after: time(certificate.validity().not_after)?,
        })
    }
}
