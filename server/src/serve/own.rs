//! The server's own certificates, and whether they are about to end.

use std::sync::Arc;

use tracing::debug;

use crate::authority::{Authority, validity};
use crate::fleet::certificate::{Own, Validity};
use crate::hub::Hub;
use crate::logging::chain;
use crate::tls::ServerCertificate;

/// What the server signs with and what it shows.
#[derive(Debug, Clone)]
pub(crate) struct OwnCertificates {
    pub(crate) authority: Arc<Authority>,
    pub(crate) server: Arc<ServerCertificate>,
    /// What operators are shown, where that comes as files.
    pub(crate) operators: Option<Arc<ServerCertificate>>,
}

impl OwnCertificates {
    pub(crate) fn validities(&self) -> Vec<(Own, Validity)> {
        let authority = validity(self.authority.certificate());
        let operators = self.operators.as_ref().and_then(|shown| shown.validity());
        [
            (Own::Authority, authority),
            (Own::Server, self.server.validity()),
            (Own::Operators, operators),
        ]
        .into_iter()
        .filter_map(|(own, validity)| Some((own, validity?)))
        .collect()
    }

    /// Alerts on those that are ending, under this name.
    pub(crate) async fn look(&self, hub: &Hub, hostname: &str) {
        if let Err(error) = hub.look_at_own_certificates(hostname, &self.validities()).await {
            debug!(error = chain(&error), "the server's certificates are looked at next time");
        }
    }
}
