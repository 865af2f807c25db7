//! An authority of a test's own, and a certificate for this machine.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::scene::Scene;

/// Files in PEM, and the DER of the certificate and its key.
pub(crate) struct Certificates {
    pub(crate) authority: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) der: (Vec<u8>, Vec<u8>),
}

pub(crate) fn make(scene: &Scene, name: &str) -> anyhow::Result<Certificates> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, &authority_key);
    let key = KeyPair::generate()?;
    let server = CertificateParams::new(vec!["localhost".to_owned()])?;
    let certificate = server.signed_by(&key, &issuer)?;
    Ok(Certificates {
        authority: scene.file(&format!("{name}-ca.pem"), &authority_pem)?,
        certificate: scene.file(&format!("{name}.pem"), &certificate.pem())?,
        key: scene.file(&format!("{name}.key"), &key.serialize_pem())?,
        der: (certificate.der().to_vec(), key.serialize_der()),
    })
}
