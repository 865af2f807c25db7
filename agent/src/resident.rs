//! One scan of the resident agent: everything that is looked at and asked, with what is remembered from scan to scan.

use std::cell::RefCell;
use std::time::Instant;

use atrest_proto::model::{Gap, Outcome, Posture};
use jiff::Timestamp;

use crate::config::Config;
use crate::duties::Duties;
use crate::nfs::Offer;
use crate::node_api::{Endpoint, Listener};
use crate::observer::{Lost, Observer, Seen, unseen};
use crate::transport::held::Held;
use crate::{daemon, gone, heap, membership, nfs, node_api, object_store, posture};

/// Makes what scans the host whenever it is called.
///
/// It makes no posture as long as the half that looks has not been away for long, and none that claims what nobody has seen
/// when it has.
pub fn scan(
    mut observer: Box<dyn Observer>,
    config: Config,
    options: &daemon::Options,
) -> impl FnMut() -> Option<Posture> + Send + 'static {
    let (now, patience, host) = (options.now, options.timing.unseen, options.host.clone());
    let mut held = Held::load(&options.state);
    options.duties.hold(held.known());
    let mut failed = Held::from(options.state.failed());
    let (duties, lending) = (options.duties.clone(), options.lending.clone());
    let clusters = options.membership.clone();
    let mut memory = object_store::Memory::default();
    // Since when nobody looks, and what was last seen.
    let mut away: Option<(Instant, Gap)> = None;
    let mut last: Option<Posture> = None;
    move || {
        // One that hangs has been away since it was asked.
        let asked = Instant::now();
        let sharing = Some((&duties, now()));
        let mut seen = match see(&mut *observer, &config.node_api, sharing) {
            Ok((seen, said, warnings)) => {
                clusters.found(said);
                for warning in warnings {
                    tracing::warn!("{warning}");
                }
                if away.take().is_some() {
                    tracing::info!("the half that looks answers again");
                }
                seen
            }
            Err(lost) => {
                let (since, gap) = away.get_or_insert_with(|| {
                    let error = lost.to_string();
                    tracing::warn!(error, "the half that looks does not answer");
                    (asked, lost.gap())
                });
                return (since.elapsed() >= patience)
                    .then(|| unseen(last.as_ref(), &host, gap, now()));
            }
        };
        ask_others(&mut seen, &config, &mut memory, &duties, now());
        let Seen { mut snapshot, exports, addresses, .. } = seen;
        snapshot.filesystems.vouches = lending.words(now()).into_iter().collect();
        let mut posture = posture::evaluate(&snapshot, &config.policy);
        gone::add(&failed.known(), &snapshot, &mut posture);
        failed.keep(gone::failed(&posture));
        let lent = Offer { exports: nfs::lent(&exports, &posture.paths), addresses };
        lending.found(lent, nfs::borrowed(&snapshot.mounts));
        duties.judged(of_repositories(&posture));
        held.keep(duties.held());
        last = Some(posture.clone());
        // It waits now, for an hour if nothing changes.
        drop(snapshot);
        heap::trim();
        Some(posture)
    }
}

/// Looks at the host, and asks its nodes on the way; also for the lists of those clusters that no other agent asks for, when
/// that is shared out. Returns what is to be logged, too.
pub fn see(
    observer: &mut dyn Observer,
    settings: &node_api::Settings,
    sharing: Option<(&Duties, Timestamp)>,
) -> Result<(Seen, membership::Said, Vec<String>), Lost> {
    let contacts = observer.begin()?;
    let (talk, warnings, told, lists, gaps) = {
        let observer = RefCell::new(&mut *observer);
        let holds = |endpoint: &Endpoint, listener: &Listener| {
            observer.borrow_mut().holds(endpoint.pid, *listener)
        };
        let (talk, warnings) = node_api::talk(&contacts, settings, &holds);
        let told = membership::told(&talk);
        let asked = sharing.map(|(duties, now)| membership::ours(&told, duties, now));
        let asked = asked.unwrap_or_default();
        let (lists, gaps) = node_api::list_clusters(&contacts, &told, settings, &holds, &asked);
        (talk, warnings, told, lists, gaps)
    };
    let mut seen = observer.look(talk)?;
    let said = membership::own(&contacts, &told, &seen.snapshot.services);
    let known = &mut seen.snapshot.gaps;
    known.extend(gaps);
    known.sort_unstable();
    known.dedup();
    Ok((seen, membership::Said { lists, ..said }, warnings))
}

/// Asks the stores of repositories and the provider of this machine, and notes what they say.
pub fn ask_others(
    seen: &mut Seen,
    config: &Config,
    memory: &mut object_store::Memory,
    duties: &Duties,
    now: Timestamp,
) {
    if !seen.asks_stores {
        return;
    }
    let (settings, snapshot) = (&config.remote_repositories, &mut *seen.snapshot);
    let repositories = &mut snapshot.repositories;
    object_store::consult(repositories, &snapshot.services, settings, memory, duties, now);
    match object_store::volumes::consult(&seen.disks, settings, now) {
        Ok(claims) => {
            for device in snapshot.devices.values_mut() {
                device.claimed_by = claims.get(&device.name).cloned();
            }
        }
        Err(gap) => {
            snapshot.gaps.push(gap);
            snapshot.gaps.sort_unstable();
        }
    }
}

fn of_repositories(posture: &Posture) -> impl Iterator<Item = (&str, Outcome)> {
    let findings =
        posture.findings.iter().filter(|finding| finding.asset.starts_with("repository:"));
    findings.map(|finding| (finding.asset.as_str(), finding.outcome))
}
