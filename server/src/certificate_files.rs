//! A certificate that somebody else's authority made for the server, as files.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use thiserror::Error;

use crate::state_dir::{StateError, read_file, read_secret_file};
use crate::tls;

/// Why the files cannot be used.
#[derive(Debug, Error)]
pub enum CertificateFileError {
    #[error(transparent)]
    Read(#[from] StateError),
    #[error("{} holds no certificates in PEM: put the server's own there, then those that lead to its authority", .0.display())]
    NoCertificate(PathBuf),
    #[error("{} holds no private key in PEM", .0.display())]
    NoKey(PathBuf),
    #[error("the key in {} cannot be used, or is not that of the certificate", key.display())]
    Key {
        key: PathBuf,
        #[source]
        source: rustls::Error,
    },
}

/// Where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// A chain in PEM, the server's own certificate first.
    pub certificate: PathBuf,
    /// In PEM; nobody else may read it.
    pub key: PathBuf,
}

impl CertificateFiles {
    /// What they hold now.
    pub(crate) fn load(&self) -> Result<Arc<CertifiedKey>, CertificateFileError> {
        let text = read_file(&self.certificate)?;
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(text.as_bytes())
            .collect::<Result<_, _>>()
            .ok()
            .filter(|chain: &Vec<_>| !chain.is_empty())
            .ok_or_else(|| CertificateFileError::NoCertificate(self.certificate.clone()))?;
        let text = read_secret_file(&self.key)?;
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes())
            .map_err(|_| CertificateFileError::NoKey(self.key.clone()))?;
        let certified = CertifiedKey::from_der(chain, key, &tls::provider())
            .map_err(|source| CertificateFileError::Key { key: self.key.clone(), source })?;
        Ok(Arc::new(certified))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn what_is_wrong_with_the_files_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let files =
            CertificateFiles { certificate: dir.path().join("c"), key: dir.path().join("k") };
        let put = |path: &PathBuf, text: &str| {
            std::fs::write(path, text).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
        };
        assert!(matches!(files.load().unwrap_err(), CertificateFileError::Read(_)));
        put(&files.certificate, "nothing");
        assert!(matches!(files.load().unwrap_err(), CertificateFileError::NoCertificate(_)));
        let (one, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        put(&files.certificate, &params.self_signed(&one).unwrap().pem());
        put(&files.key, "nothing");
        assert!(matches!(files.load().unwrap_err(), CertificateFileError::NoKey(_)));
        put(&files.key, &other.serialize_pem());
        assert!(matches!(files.load().unwrap_err(), CertificateFileError::Key { .. }));
        put(&files.key, &one.serialize_pem());
        assert_eq!(files.load().unwrap().cert.len(), 1);
        std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(files.load().unwrap_err().to_string().contains("chmod 600"));
    }
}
