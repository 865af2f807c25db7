//! Why a check matters, in the words of the catalogue. The agent has it; the server tells people.

mod catalogue;

/// The server's own checks.
const OWN: &[(&str, &str)] = &[
    (
        "node_silent",
        "What happens on a host that is not heard of is not seen: a volume that is mounted in plain text there would \
         make no alert.",
    ),
    (
        "identity_clash",
        "Two machines report as one host. What one of them fixes or breaks is told of the other, so that neither \
         can be relied on.",
    ),
    (
        "certificate_ending",
        "A certificate that ends cuts agents off from the server, and what is not reported makes no alert.",
    ),
    (
        "node_missing",
        "A node that no agent looks after holds the same data as the others, and nobody knows how they rest.",
    ),
    (
        "keystore_differs",
        "Nodes of a cluster need the same secure settings. One that has others, or other rights on them, was forgotten \
         by a change, or changed by somebody.",
    ),
];

/// Why this check matters; `None` for one that this version does not know.
pub fn why(check: &str) -> Option<&'static str> {
    let mut known = OWN.iter().chain(catalogue::CHECKS);
    known.find(|(id, _)| *id == check).map(|(_, why)| *why)
}
