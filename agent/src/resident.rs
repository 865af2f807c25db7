//! One scan of the resident agent: everything that is looked at and asked, with what is remembered from scan to scan.

use atrest_proto::model::{Outcome, Posture};

use crate::config::Config;
use crate::host::Host;
use crate::transport::held::Held;
use crate::watch::Plan;
use crate::{
    daemon, discovery, heap, keystore, membership, nfs, node_api, object_store, observe, posture,
};

/// Makes what scans the host whenever it is called.
pub fn scan(
    host: Box<dyn Host>,
    config: Config,
    options: &daemon::Options,
) -> impl FnMut() -> Posture + Send + 'static {
    let now = options.now;
    let mut held = Held::load(&options.state);
    options.duties.hold(held.known());
    let (duties, lending) = (options.duties.clone(), options.lending.clone());
    let clusters = options.membership.clone();
    let watch = options.watch.clone();
    let mut memory = object_store::Memory::default();
    let mut trials = keystore::trials::Memory::default();
    move || {
        let mut discovery = discovery::discover(&*host, &config.declared);
        for warning in node_api::consult(&*host, &mut discovery, &config.node_api) {
            tracing::warn!("{warning}");
        }
        let now = now();
        let said = membership::consult(&*host, &mut discovery, &config.node_api, &duties, now);
        clusters.found(said);
        let settings = &config.remote_repositories;
        object_store::consult(&*host, &mut discovery, settings, &mut memory, &duties, now);
        object_store::volumes::consult(&*host, &mut discovery, settings, now);
        discovery.vouches = lending.words(now).into_iter().collect();
        let exports = std::mem::take(&mut discovery.exports);
        if let Some(watch) = &watch {
            discovery.gaps.extend(watch.gaps(now));
        }
        let snapshot = observe::observe_again(&*host, discovery, now, &mut trials);
        let posture = posture::evaluate(&snapshot, &config.policy);
        let lent = nfs::Offer {
            exports: nfs::lent(&exports, &posture.paths),
            addresses: nfs::addresses::observe(&*host),
        };
        if let Some(watch) = &watch {
            watch.renew(Plan::of(&*host, &snapshot));
        }
        lending.found(lent, nfs::borrowed(&snapshot.mounts));
        duties.judged(of_repositories(&posture));
        held.keep(duties.held());
        // It waits now, for an hour if nothing changes.
        drop(snapshot);
        heap::trim();
        posture
    }
}

fn of_repositories(posture: &Posture) -> impl Iterator<Item = (&str, Outcome)> {
    let findings =
        posture.findings.iter().filter(|finding| finding.asset.starts_with("repository:"));
    findings.map(|finding| (finding.asset.as_str(), finding.outcome))
}
