//! Proofs for tests of what is made of them.

use atrest_proto::model::{PathPosture, PlainLeg, Reason, Use, Verdict};

/// The proof of a path, with nothing more to it.
pub(crate) fn proof(usage: Use, path: &str, verdict: Verdict) -> PathPosture {
    PathPosture {
        asset: format!("{}:{path}", usage.as_str()),
        path: path.to_owned(),
        resolved: None,
        usage,
        service: None,
        verdict,
        reasons: Vec::new(),
        plain: Vec::new(),
        encrypted_by: Vec::new(),
        claimed_by: Vec::new(),
        undecided: Vec::new(),
        stack: Vec::new(),
        nearest: None,
    }
}

/// The same with reasons, and a leg on this device for each that is one of plaintext.
pub(crate) fn plain(proof: PathPosture, device: &str, reasons: &[Reason]) -> PathPosture {
    let leg =
        |reason: &Reason| PlainLeg { device: device.to_owned(), via: Vec::new(), reason: *reason };
    let is_plain = reasons.iter().filter(|reason| reason.is_plain());
    PathPosture { plain: is_plain.map(leg).collect(), reasons: reasons.to_vec(), ..proof }
}
