//! A certificate authority for one test.

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

pub(crate) struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    pub(crate) pem: String,
    pub(crate) der: Vec<u8>,
    pub(crate) pin: String,
}

/// From when until when, in seconds from now.
#[derive(Clone, Copy)]
pub(crate) struct Span(pub(crate) i64, pub(crate) i64);

pub(crate) const VALID: Span = Span(-60, 86_400);
pub(crate) const EXPIRED: Span = Span(-7200, -3600);
/// More than half of its life is over.
pub(crate) const AGED: Span = Span(-7200, 3600);

impl Authority {
    pub(crate) fn new() -> Self {
        use rcgen::PublicKeyData as _;
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut parameters = rcgen::CertificateParams::default();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key).expect("an authority");
        let pin = Sha256::digest(key.subject_public_key_info());
        Self {
            pem: certificate.pem(),
            der: certificate.der().to_vec(),
            pin: pin.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")),
            issuer: rcgen::Issuer::new(parameters, key),
        }
    }

    /// A server's chain and key, PEM. The chain ends in the authority.
    pub(crate) fn server(&self, name: &str, span: Span) -> (String, String) {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("a name");
        set(&mut parameters, span);
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate");
        (format!("{}{}", certificate.pem(), self.pem), key.serialize_pem())
    }

    /// An agent's certificate for a signing request, DER.
    pub(crate) fn sign(&self, request: &[u8], span: Span) -> Vec<u8> {
        let request = rcgen::CertificateSigningRequestParams::from_der(&request.to_vec().into());
        let mut request = request.expect("a signing request");
        set(&mut request.params, span);
        request.signed_by(&self.issuer).expect("a certificate").der().to_vec()
    }
}

fn set(parameters: &mut rcgen::CertificateParams, Span(from, until): Span) {
    let at = |seconds: i64| {
        let at = now().checked_add(SignedDuration::from_secs(seconds)).expect("a time");
        let at = std::time::UNIX_EPOCH
            + std::time::Duration::from_secs(u64::try_from(at.as_second()).expect("after 1970"));
        at.into()
    };
    (parameters.not_before, parameters.not_after) = (at(from), at(until));
}

#[expect(clippy::disallowed_methods, reason = "certificates are checked against the real time")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
