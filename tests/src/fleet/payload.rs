//! What simulated agents say, made ready beforehand: the load is the server's, not the client's.

use std::collections::BTreeMap;

use atrest_proto::model::{
    Finding, Host, Outcome, PathPosture, PlainLeg, Posture, Reason, Severity, Use, Verdict,
};
use atrest_proto::{digest, v1};
use jiff::Timestamp;
use prost::Message;
use tonic::codegen::Bytes;

/// A posture as an ordinary node has it, of about 2 KiB with five findings. Two variants differ in the text of every
/// finding and in no outcome.
pub fn posture(host: &Host, variant: usize, findings: usize, observed_at: Timestamp) -> Posture {
    let findings = (0..findings).map(|number| finding(number, variant)).collect();
    Posture {
        host: host.clone(),
        observed_at,
        services: Vec::new(),
        paths: vec![path()],
        keystores: Vec::new(),
        repositories: Vec::new(),
        findings,
        gaps: Vec::new(),
        catalogue_version: 1,
    }
}

fn path() -> PathPosture {
    PathPosture {
        asset: "data:/var/lib/elasticsearch".to_owned(),
        path: "/var/lib/elasticsearch".to_owned(),
        resolved: Some("/var/lib/elasticsearch".to_owned()),
        usage: Use::Data,
        service: Some("elasticsearch".to_owned()),
        verdict: Verdict::Unencrypted,
        reasons: vec![Reason::PlainDevice],
        plain: vec![PlainLeg {
            device: "/dev/nvme0n1p2".to_owned(),
            via: vec!["/dev/mapper/vg-es".to_owned()],
            reason: Reason::PlainDevice,
        }],
        encrypted_by: Vec::new(),
        claimed_by: Vec::new(),
        undecided: Vec::new(),
        stack: Vec::new(),
        nearest: None,
    }
}

fn finding(number: usize, variant: usize) -> Finding {
    Finding {
        check: "volume_encrypted".to_owned(),
        asset: format!("data:/var/lib/elasticsearch/{number}"),
        outcome: if number == 0 { Outcome::Fail } else { Outcome::Pass },
        // Below what alerts by default: the measure is of ingest.
        severity: Severity::Low,
        summary: format!("/var/lib/elasticsearch/{number}: looked at for the {variant}th time"),
        remedy:
            "Move the data to a volume on dm-crypt: cryptsetup luksFormat the device, open it, and \
                 mount a file system of it there; then restart the node."
                .to_owned(),
        reasons: Vec::new(),
        evidence: BTreeMap::from([
            ("device".to_owned(), "/dev/nvme0n1p2".to_owned()),
            ("file system".to_owned(), "ext4, mounted at /var/lib/elasticsearch".to_owned()),
            ("variant".to_owned(), variant.to_string()),
        ]),
        affects: Vec::new(),
    }
}

/// A report, all but its sequence.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    pub(super) digest: Bytes,
    posture: Bytes,
}

impl Prepared {
    pub(super) fn new(posture: Posture) -> Self {
        let posture = v1::Posture::from(posture);
        Self {
            digest: Bytes::copy_from_slice(&digest::posture(&posture)),
            posture: posture.encode_to_vec().into(),
        }
    }

    pub(super) fn report(&self, sequence: u64) -> Bytes {
        let report =
            Report { sequence, digest: self.digest.clone(), posture: self.posture.clone() };
        Request { report: Some(report), heartbeat: None }.encode_to_vec().into()
    }

    pub(super) fn heartbeat(&self, observed_at: Timestamp) -> Bytes {
        let observed_at = Some(atrest_proto::convert::timestamp_to_wire(observed_at));
        let heartbeat = Heartbeat { digest: self.digest.clone(), observed_at };
        Request { report: None, heartbeat: Some(heartbeat) }.encode_to_vec().into()
    }
}

/// `v1::AttachRequest` on the wire, with a posture that is encoded already.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, optional, tag = "2")]
    report: Option<Report>,
    #[prost(message, optional, tag = "3")]
    heartbeat: Option<Heartbeat>,
}

#[derive(Clone, PartialEq, Message)]
struct Report {
    #[prost(uint64, tag = "1")]
    sequence: u64,
    #[prost(bytes = "bytes", tag = "2")]
    digest: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    posture: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct Heartbeat {
    #[prost(bytes = "bytes", tag = "1")]
    digest: Bytes,
    #[prost(message, optional, tag = "2")]
    observed_at: Option<prost_types::Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_prepared_is_what_the_protocol_says() {
        let host = Host { hostname: "es-1".to_owned(), ..Host::default() };
        let said = posture(&host, 0, 5, Timestamp::UNIX_EPOCH);
        let prepared = Prepared::new(said.clone());
        let decoded = v1::AttachRequest::decode(prepared.report(7)).unwrap();
        let Some(v1::attach_request::Message::Report(report)) = decoded.message else {
            panic!("not a report: {decoded:?}");
        };
        assert_eq!(report.sequence, 7);
        assert_eq!(Posture::try_from(report.posture.unwrap()).unwrap(), said);
        let size = prepared.report(7).len();
        assert!((1_800..3_000).contains(&size), "about 2 KiB, not {size} bytes");
        let beat = v1::AttachRequest::decode(prepared.heartbeat(Timestamp::UNIX_EPOCH)).unwrap();
        assert!(matches!(beat.message, Some(v1::attach_request::Message::Heartbeat(_))));
    }
}
