//! Reads what the agent and the naive rule said. Takes only what the contract promises, and takes
//! it strictly: an answer without a promised key is no answer.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::scenario::Verdict;

/// The agent's verdict on one path.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PathAnswer {
    /// The path as it was asked about.
    pub path: String,
    /// The verdict.
    pub verdict: Verdict,
    /// The reasons for it.
    pub reasons: BTreeSet<String>,
    plain: Vec<PlainDevice>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct PlainDevice {
    device: String,
}

impl PathAnswer {
    /// The devices that it names as plain.
    pub fn plain(&self) -> BTreeSet<&str> {
        self.plain.iter().map(|plain| plain.device.as_str()).collect()
    }
}

#[derive(Debug, Deserialize)]
struct CheckDocument {
    schema: String,
    paths: Vec<PathAnswer>,
}

/// Reads the output of `check --format json`.
pub fn check(json: &str) -> Result<Vec<PathAnswer>> {
    let document: CheckDocument = serde_json::from_str(json).context("not a check document")?;
    if document.schema != "atrest.check/1" {
        bail!("not a check document: schema {:?}", document.schema);
    }
    Ok(document.paths)
}

#[derive(Debug, Deserialize)]
struct ScanDocument {
    schema: String,
    #[serde(flatten)]
    posture: Posture,
}

/// What a scan found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Posture {
    /// Every place where data rest.
    pub paths: Vec<Place>,
    /// What is said of them and of everything else.
    pub findings: Vec<Finding>,
}

/// A path that a service was found to write to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Place {
    /// What for.
    #[serde(rename = "use")]
    pub usage: String,
    /// What is said of it.
    #[serde(flatten)]
    pub answer: PathAnswer,
}

/// One finding of a scan.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Finding {
    /// The id of the check.
    pub check: String,
    /// `pass`, `fail` or `unknown`.
    pub outcome: String,
    /// What it is about.
    pub asset: String,
}

/// Reads the output of `scan --format json`.
pub fn scan(json: &str) -> Result<Posture> {
    let document: ScanDocument = serde_json::from_str(json).context("not a posture document")?;
    if document.schema != "atrest.posture/1" {
        bail!("not a posture document: schema {:?}", document.schema);
    }
    Ok(document.posture)
}

/// What the rule of other tools says: `crypt` anywhere below the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naive {
    /// There is a `crypt`.
    Encrypted,
    /// There is none.
    Unencrypted,
    /// `lsblk` has no line for it.
    Silent,
}

impl Naive {
    /// Reads the output of `lsblk -s -n -o TYPE`.
    pub fn read(types: &str) -> Self {
        if types.lines().any(|line| line.trim() == "crypt") {
            Self::Encrypted
        } else if types.trim().is_empty() {
            Self::Silent
        } else {
            Self::Unencrypted
        }
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Encrypted => "encrypted",
            Self::Unencrypted => "unencrypted",
            Self::Silent => "no answer",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_check_is_read_by_the_contract() {
        let json = r#"{"schema":"atrest.check/1","observed_at":"2026-01-02T03:04:05Z","paths":[
            {"path":"/data","resolved":"/data","verdict":"partial","reasons":["plain_device"],
             "plain":[{"device":"/dev/vdb","via":["/dev/mapper/vg-es"]}],"stack":[]}]}"#;
        let paths = check(json).unwrap();
        assert_eq!(paths[0].verdict, Verdict::Partial);
        assert_eq!(paths[0].plain(), BTreeSet::from(["/dev/vdb"]));
    }

    #[test]
    fn a_scan_says_what_each_path_is_used_for() {
        let json = |usage: &str| {
            format!(
                r#"{{"schema":"atrest.posture/1","paths":[{{"asset":"data:/d","path":"/d",{usage}
                "verdict":"encrypted","reasons":[],"plain":[]}}],"findings":[]}}"#
            )
        };
        let posture = scan(&json(r#""use":"data","#)).unwrap();
        let [place] = posture.paths.as_slice() else { panic!("{posture:?}") };
        assert_eq!((place.usage.as_str(), place.answer.path.as_str()), ("data", "/d"));
        assert!(scan(&json("")).is_err());
    }

    #[test]
    fn what_breaks_the_contract_is_no_answer() {
        for json in [
            "",
            "{}",
            r#"{"schema":"atrest.check/2","paths":[]}"#,
            r#"{"schema":"atrest.check/1","paths":[{"path":"/","verdict":"fine"}]}"#,
            r#"{"schema":"atrest.check/1","paths":[{"path":"/","verdict":"encrypted"}]}"#,
        ] {
            assert!(check(json).is_err(), "{json}");
        }
    }

    #[test]
    fn the_naive_rule_looks_for_crypt_anywhere() {
        assert_eq!(Naive::read("lvm\ncrypt\ndisk\n"), Naive::Encrypted);
        assert_eq!(Naive::read("lvm\ndisk\n"), Naive::Unencrypted);
        assert_eq!(Naive::read("\n"), Naive::Silent);
    }
}
