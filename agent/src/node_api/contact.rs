//! What a node is asked with, as far as only the half that looks can see it: whom its own files trust, and whether a socket is
//! still its own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use super::{Endpoint, Listener, access, tls};
use crate::host::Host;
use crate::snapshot::Trouble;

/// Shows that a process still holds a socket, and that no other one takes connections to its address.
pub type Holds<'a> = dyn Fn(&Endpoint, &Listener) -> Result<(), Trouble> + 'a;

/// A node that can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    pub endpoint: Endpoint,
    /// The certificates in the files that the node's own settings name, each in Base64 of its DER. Of what else may stand in
    /// these files nothing is kept.
    authorities: Vec<String>,
}

impl Contact {
    /// With what its files say.
    pub fn new(host: &dyn Host, endpoint: Endpoint) -> Self {
        let read = |path| host.read(&endpoint.namespace, path, access::AUTHORITIES).ok();
        let files = endpoint.authorities.iter().filter_map(read);
        let found = files.flat_map(|pem| tls::certificates(&pem));
        Self { authorities: found.map(|one| STANDARD.encode(one)).collect(), endpoint }
    }

    pub(super) fn authorities(&self) -> impl Iterator<Item = CertificateDer<'static>> {
        let decoded = self.authorities.iter().filter_map(|one| STANDARD.decode(one).ok());
        decoded.map(CertificateDer::from)
    }
}

/// The nodes that can be asked from here: only this machine itself has any. A recording has none, and the loopback of another
/// root may be another.
pub fn contacts(host: &dyn Host, endpoints: &[Endpoint]) -> Vec<Contact> {
    if !host.is_this_machine() {
        return Vec::new();
    }
    endpoints.iter().map(|endpoint| Contact::new(host, endpoint.clone())).collect()
}
