//! Which places are only assumed: defaults of settings that could not be read, where nothing shows that they are used.

use std::collections::BTreeSet;

use atrest_proto::model::Use;

use super::instance::Instance;
use crate::assumption::Assumption;
use crate::host::Host;
use crate::path::HostPath;
use crate::snapshot::Trouble;

/// A default in the place of a setting that is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Guess {
    pub(super) usage: Use,
    pub(super) path: HostPath,
    /// Why the setting is not known.
    pub(super) why: Trouble,
}

/// What the products make in their data directories at the first start, and no package brings.
const DATA: [&[u8]; 11] = [
    b"_state",
    b"dead_letter_queue",
    b"diskqueue",
    b"meta.json",
    b"node.lock",
    b"nodes",
    b"plugins",
    b"queue",
    b"registry",
    b"shared_snapshot_cache",
    b"uuid",
];

/// The endings of files of logs.
const LOGS: [&[u8]; 4] = [b".log", b".json", b".ndjson", b".gz"];

/// The places that are assumed. `open` are the directories of the files that the instance has open for writing.
pub(super) fn among(
    host: &dyn Host,
    instance: &Instance,
    service: &str,
    guesses: Vec<Guess>,
    places: &[(Use, HostPath)],
    open: &BTreeSet<(Use, HostPath)>,
) -> Vec<Assumption> {
    let mut assumptions = Vec::new();
    for guess in guesses {
        let is_open = open.iter().any(|(_, path)| path.is_at_or_below(&guess.path));
        if is_open || is_used(host, instance, &guess) {
            continue;
        }
        // What it keeps below, too.
        let below = places.iter().filter(|(usage, path)| {
            *path == guess.path && *usage == guess.usage
                || *path != guess.path && path.is_at_or_below(&guess.path)
        });
        assumptions.extend(below.map(|(usage, path)| Assumption {
            service: service.to_owned(),
            usage: *usage,
            path: path.clone(),
            namespace: instance.namespace.clone(),
            why: guess.why.clone(),
        }));
    }
    assumptions
}

/// Whether a product has written there.
fn is_used(host: &dyn Host, instance: &Instance, guess: &Guess) -> bool {
    let names = host.list(&instance.namespace, &guess.path).unwrap_or_default();
    names.iter().any(|name| {
        if guess.usage == Use::Logs {
            LOGS.iter().any(|end| name.ends_with(end))
        } else {
            DATA.contains(&name.as_slice())
        }
    })
}
