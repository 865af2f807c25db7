//! What hosts speak with, and whether that is about to end.

use std::collections::BTreeSet;
use std::sync::Arc;

use tracing::{debug, warn};

use super::finish::finish;
use super::{Hub, Session, lock};
use crate::clock;
use crate::fleet::HostId;
use crate::fleet::certificate::{self, CERTIFICATE_ENDING, Own, Validity};
use crate::logging::chain;
use crate::store::{FindingFilter, PageRequest, Store, StoreError};

/// Hosts whose certificate is known to be ending: what everybody else says of theirs costs no look into the store.
pub(super) async fn known(store: &dyn Store) -> Result<BTreeSet<HostId>, StoreError> {
    let check = Some(CERTIFICATE_ENDING.to_owned());
    let filter = FindingFilter { check, ..FindingFilter::default() };
    let (mut hosts, mut page) = (BTreeSet::new(), PageRequest::default());
    loop {
        let found = store.finding_list(filter.clone(), page).await?;
        let open = found.items.into_iter().filter(|row| row.opened_at.is_some());
        hosts.extend(open.map(|row| row.host_id));
        if found.next.is_empty() {
            return Ok(hosts);
        }
        page = PageRequest::new(0, found.next);
    }
}

impl Session {
    /// What the host speaks with from now on. That it is ending is not told at once: agents renew when they come.
    pub async fn certify(&self, validity: Validity) -> Result<(), StoreError> {
        let now = self.hub.clock.now();
        {
            let mut sessions = lock(&self.hub.sessions);
            let live = sessions.live.get_mut(&self.host);
            if let Some(live) = live.filter(|live| live.number == self.number) {
                live.certified = Some((validity, now));
            }
        }
        if validity.is_ending(now) {
            return Ok(());
        }
        let (hub, host) = (Arc::clone(&self.hub), self.host.clone());
        finish(async move { hub.look_at_certificate(&host, validity).await }).await
    }
}

impl Hub {
    async fn look_at_certificate(
        &self,
        host: &HostId,
        validity: Validity,
    ) -> Result<(), StoreError> {
        let ending = validity.is_ending(self.clock.now());
        if lock(&self.ending).contains(host) == ending {
            return Ok(());
        }
        self.change(host, move |state, now| certificate::look(state, validity, now), None).await?;
        if ending {
            warn!(host_id = %host, until = %validity.until, "a certificate ends and was not renewed");
            lock(&self.ending).insert(host.clone());
        } else {
            lock(&self.ending).remove(host);
        }
        Ok(())
    }

    /// Finds certificates of the server itself that are ending.
    pub async fn look_at_own_certificates(
        &self,
        hostname: &str,
        certificates: &[(Own, Validity)],
    ) -> Result<(), StoreError> {
        let server = self.store.host_own(hostname.to_owned(), self.clock.now()).await?;
        for (own, validity) in certificates {
            let (own, validity) = (*own, *validity);
            let look = move |state, now| certificate::look_at_own(state, own, validity, now);
            self.change(&server, look, None).await?;
        }
        if !certificates.iter().any(|(own, _)| *own == Own::Operators) {
            let forget = |state, now| certificate::forget_own(state, Own::Operators, now);
            self.change(&server, forget, None).await?;
        }
        Ok(())
    }

    /// Finds certificates of connected hosts that should have been renewed.
    pub(super) async fn look_at_certificates(&self) {
        let now = self.clock.now();
        let ending: Vec<_> = lock(&self.sessions)
            .live
            .iter()
            .filter_map(|(host, live)| Some((host.clone(), live.certified?)))
            .filter(|(_, (validity, since))| {
                validity.is_ending(now) && clock::after(*since, validity.grace()) <= now
            })
            .map(|(host, (validity, _))| (host, validity))
            .collect();
        for (host, validity) in ending {
            if let Err(error) = self.look_at_certificate(&host, validity).await {
                // The store has said why; the next sweep tries again.
                debug!(host_id = %host, error = chain(&error), "not noted");
            }
        }
    }
}
