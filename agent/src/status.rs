//! What the daemon says of itself: a small file that it keeps, and its rendering. Pure but for [`gather`].

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::transport::StateDir;
use crate::transport::files::{self, Lock};
use crate::transport::identity::{Identity, IdentityError, Validity};
use crate::transport::spool::Losses;

const MAX_FILE: u64 = 256 * 1024;

/// The file `status.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    pub written_at: Timestamp,
    pub agent_version: String,
    /// What the checks demand, in a word for people.
    pub policy: String,
    pub started_at: Timestamp,
    pub link: Link,
    pub scan: Scan,
    pub spool: Spool,
}

/// The stream to the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub state: LinkState,
    /// In this state.
    pub since: Timestamp,
    pub last_contact: Option<Timestamp>,
    pub error: Option<Trouble>,
    /// How far this host's clock is ahead of the server's, when that is more than it should be.
    pub clock_ahead_seconds: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    NotEnrolled,
    Connecting,
    Connected,
    /// Until the next try.
    Waiting,
    Stopped,
}

/// Something that went wrong and has not been put right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// A stable word.
    pub kind: String,
    pub message: String,
    pub remedy: String,
    pub since: Timestamp,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scan {
    pub last_at: Option<Timestamp>,
    /// Set while one is running.
    pub running_since: Option<Timestamp>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spool {
    pub reports: usize,
    pub bytes: u64,
    pub lost: Losses,
    pub last_acknowledged: Option<u64>,
    pub error: Option<Trouble>,
}

/// Everything that can be told of the agent on this host.
#[derive(Debug)]
pub struct Facts {
    pub running: bool,
    /// Of the daemon that runs, or ran last.
    pub saved: Option<Saved>,
    pub enrollment: Enrollment,
}

/// Whether this host is enrolled.
#[derive(Debug)]
pub enum Enrollment {
    None,
    As { host_id: String, server: String, enrolled_at: Timestamp, certificate: Validity },
    Damaged { why: String },
}

/// Why nothing can be told.
#[derive(Debug, Error)]
pub enum StatusError {
    #[error("{} cannot be read: run this as root, or as the user that the agent runs as", path.display())]
    Read { path: PathBuf, source: io::Error },
}

/// Reads the state directory.
pub fn gather(state: &StateDir) -> Result<Facts, StatusError> {
    let failed = |path: PathBuf| move |source| StatusError::Read { path, source };
    let lock = state.daemon_lock();
    let running = Lock::is_held(&lock).map_err(failed(lock.clone()))?;
    let path = state.status();
    let bytes = files::read_bounded(&path, MAX_FILE).map_err(failed(path.clone()))?;
    let saved = bytes.as_deref().and_then(parse);
    let enrollment = match Identity::load(state) {
        Ok(None) => Enrollment::None,
        Ok(Some(identity)) => Enrollment::As {
            certificate: identity.validity(),
            host_id: identity.host_id,
            server: identity.server,
            enrolled_at: identity.enrolled_at,
        },
        Err(IdentityError::Read { path, source }) => {
            return Err(StatusError::Read { path, source });
        }
        Err(error) => Enrollment::Damaged { why: error.to_string() },
    };
    Ok(Facts { running, saved, enrollment })
}

/// What the daemon that ran last said, if it can be read.
pub(crate) fn saved(state: &StateDir) -> Option<Saved> {
    files::read_bounded(&state.status(), MAX_FILE).ok().flatten().as_deref().and_then(parse)
}

/// Written by another version, or damaged: as good as none, and the daemon writes it anew.
fn parse(bytes: &[u8]) -> Option<Saved> {
    serde_json::from_slice(bytes).ok()
}

/// For scripts: `atrest.status/1`.
pub fn json(facts: &Facts, now: Timestamp) -> String {
    let age = |at: Option<Timestamp>| at.map(|at| now.duration_since(at).as_secs().max(0));
    let saved = facts.saved.as_ref();
    let identity = match &facts.enrollment {
        Enrollment::As { host_id, server, enrolled_at, certificate } => serde_json::json!({
            "host_id": host_id, "server": server, "enrolled_at": enrolled_at,
            "certificate": {
                "not_before": certificate.not_before,
                "not_after": certificate.not_after,
                "expired": certificate.is_expired(now),
                "expires_in_seconds": certificate.not_after.duration_since(now).as_secs(),
            },
        }),
        Enrollment::Damaged { why } => serde_json::json!({ "error": why }),
        Enrollment::None => serde_json::Value::Null,
    };
    let value = serde_json::json!({
        "schema": "atrest.status/1",
        "running": facts.running,
        "enrolled": matches!(facts.enrollment, Enrollment::As { .. }),
        "identity": identity,
        "agent_version": saved.map(|saved| &saved.agent_version),
        "policy": saved.map(|saved| &saved.policy),
        "started_at": saved.map(|saved| saved.started_at),
        "written_at": saved.map(|saved| saved.written_at),
        "written_age_seconds": age(saved.map(|saved| saved.written_at)),
        "link": saved.map(|saved| &saved.link),
        "last_contact_age_seconds": age(saved.and_then(|saved| saved.link.last_contact)),
        "scan": saved.map(|saved| &saved.scan),
        "last_scan_age_seconds": age(saved.and_then(|saved| saved.scan.last_at)),
        "spool": saved.map(|saved| &saved.spool),
    });
    format!("{value:#}\n")
}

/// For people.
pub fn text(facts: &Facts, now: Timestamp) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a string does not fail.
        writeln!(out, "{name:<13} {value}").ok();
    };
    let saved = facts.saved.as_ref();
    let ago = |at: Timestamp| format!("{} ago", span(now.duration_since(at).unsigned_abs()));
    line(
        "daemon",
        &match (facts.running, saved) {
            (true, Some(saved)) => {
                format!("running since {:.0}, version {}", saved.started_at, saved.agent_version)
            }
            (true, None) => "running".to_owned(),
            (false, Some(saved)) => {
                format!(
                    "NOT RUNNING; what follows is from {:.0}, {}",
                    saved.written_at,
                    ago(saved.written_at)
                )
            }
            (false, None) => "NOT RUNNING, and has not run yet".to_owned(),
        },
    );
    match &facts.enrollment {
        Enrollment::None => line("enrolled", "NO: run `atrest-agent enroll TOKEN`"),
        Enrollment::Damaged { why } => line("enrolled", &format!("NO: {why}")),
        Enrollment::As { host_id, server, certificate, .. } => {
            line("enrolled", &format!("as {host_id}"));
            line("server", server);
            line("certificate", &describe_certificate(*certificate, now));
        }
    }
    let Some(saved) = saved else { return out };
    line("connection", &describe_link(&saved.link, &ago, facts.running));
    if let Some(trouble) = &saved.link.error {
        line("", &format!("{} (since {:.0})", trouble.message, trouble.since));
        if !trouble.remedy.is_empty() {
            line("", &format!("remedy: {}", trouble.remedy));
        }
    }
    line("last contact", &saved.link.last_contact.map_or("never".to_owned(), ago));
    if let Some(ahead) = saved.link.clock_ahead_seconds {
        let word = if ahead < 0 { "behind" } else { "ahead of" };
        line(
            "clock",
            &format!(
                "{} {word} the server's: set it right",
                span(Duration::from_secs(ahead.unsigned_abs()))
            ),
        );
    }
    line(
        "last scan",
        &match (saved.scan.last_at, saved.scan.running_since) {
            (last, Some(since)) => format!(
                "{}; one has been running for {}",
                last.map_or("none finished yet".to_owned(), ago),
                span(now.duration_since(since).unsigned_abs())
            ),
            (Some(last), None) => ago(last),
            (None, None) => "never".to_owned(),
        },
    );
    line("spool", &describe_spool(&saved.spool));
    if let Some(trouble) = &saved.spool.error {
        line("", &format!("{} (since {:.0})", trouble.message, trouble.since));
        line("", &format!("remedy: {}", trouble.remedy));
    }
    line(
        "acknowledged",
        &match saved.spool.last_acknowledged {
            Some(sequence) => format!("report {sequence}"),
            None => "none".to_owned(),
        },
    );
    line("policy", &saved.policy);
    out
}

fn describe_certificate(certificate: Validity, now: Timestamp) -> String {
    let left = certificate.not_after.duration_since(now);
    let until = format!("{:.0}", certificate.not_after);
    if certificate.is_expired(now) {
        format!("EXPIRED {} ago, at {until}", span(left.unsigned_abs()))
    } else if certificate.is_not_yet(now) {
        format!("not valid before {:.0}: is this host's clock right?", certificate.not_before)
    } else {
        format!("valid for {}, until {until}", span(left.unsigned_abs()))
    }
}

fn describe_link(link: &Link, ago: &dyn Fn(Timestamp) -> String, running: bool) -> String {
    let since = format!("since {:.0}", link.since);
    match link.state {
        LinkState::Connected if running => format!("connected {since}"),
        LinkState::Connected => format!("was connected; {}", ago(link.since)),
        LinkState::Connecting | LinkState::Waiting => format!("NOT CONNECTED {since}"),
        LinkState::NotEnrolled => "none: not enrolled".to_owned(),
        LinkState::Stopped => format!("stopped {}", ago(link.since)),
    }
}

fn describe_spool(spool: &Spool) -> String {
    let mut text = match spool.reports {
        0 => "empty".to_owned(),
        1 => format!("1 report waits, {} bytes", spool.bytes),
        more => format!("{more} reports wait, {} bytes", spool.bytes),
    };
    let Losses { dropped, damaged, refused } = spool.lost;
    for (count, word) in [
        (dropped, "dropped for want of room"),
        (damaged, "damaged"),
        (refused, "refused by the server"),
    ] {
        if count > 0 {
            write!(text, "; {count} {word}").ok();
        }
    }
    text
}

/// A duration to two units, as people say it.
fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn saved() -> Saved {
        Saved {
            written_at: at(3590),
            agent_version: "0.1.0".to_owned(),
            policy: "built-in defaults".to_owned(),
            started_at: at(0),
            link: Link {
                state: LinkState::Connected,
                since: at(5),
                last_contact: Some(at(3590)),
                error: None,
                clock_ahead_seconds: None,
            },
            scan: Scan { last_at: Some(at(3000)), running_since: None },
            spool: Spool { last_acknowledged: Some(7), ..Spool::default() },
        }
    }

    fn enrolled() -> Enrollment {
        Enrollment::As {
            host_id: "0b9c".to_owned(),
            server: "atrest.example:7443".to_owned(),
            enrolled_at: at(-10),
            certificate: Validity { not_before: at(-10), not_after: at(86_390) },
        }
    }

    fn check(facts: &Facts, want: &Expect) {
        want.assert_eq(&text(facts, at(3600)));
    }

    #[test]
    fn a_healthy_agent() {
        let facts = Facts { running: true, saved: Some(saved()), enrollment: enrolled() };
        check(
            &facts,
            &expect![[r"
            daemon        running since 2023-11-14T22:13:20Z, version 0.1.0
            enrolled      as 0b9c
            server        atrest.example:7443
            certificate   valid for 22 h 59 min, until 2023-11-15T22:13:10Z
            connection    connected since 2023-11-14T22:13:25Z
            last contact  10 s ago
            last scan     10 min 0 s ago
            spool         empty
            acknowledged  report 7
            policy        built-in defaults
        "]],
        );
        let json: serde_json::Value = serde_json::from_str(&json(&facts, at(3600))).unwrap();
        assert_eq!(json["schema"], "atrest.status/1");
        assert_eq!(json["enrolled"], true);
        assert_eq!(json["last_contact_age_seconds"], 10);
        assert_eq!(json["identity"]["certificate"]["expires_in_seconds"], 82_790);
        assert_eq!(json["link"]["state"], "connected");
        assert_eq!(json["spool"]["lost"]["dropped"], 0);
    }

    #[test]
    fn a_host_that_was_never_enrolled() {
        check(
            &Facts { running: false, saved: None, enrollment: Enrollment::None },
            &expect![[r"
            daemon        NOT RUNNING, and has not run yet
            enrolled      NO: run `atrest-agent enroll TOKEN`
        "]],
        );
    }

    #[test]
    fn an_agent_whose_server_is_gone_and_whose_certificate_ran_out() {
        let mut saved = saved();
        saved.link.state = LinkState::Waiting;
        saved.link.clock_ahead_seconds = Some(-7200);
        saved.link.error = Some(Trouble {
            kind: "certificate_expired".to_owned(),
            message: "this agent's certificate has expired: no".to_owned(),
            remedy: "enrol again".to_owned(),
            since: at(100),
        });
        saved.scan.running_since = Some(at(3540));
        saved.spool = Spool {
            reports: 2,
            bytes: 4711,
            lost: Losses { dropped: 3, damaged: 1, refused: 0 },
            last_acknowledged: None,
            error: Some(Trouble {
                kind: "spool".to_owned(),
                message: "report 9 cannot be written".to_owned(),
                remedy: "make room".to_owned(),
                since: at(50),
            }),
        };
        let certificate = Validity { not_before: at(-200_000), not_after: at(-100_000) };
        let Enrollment::As { host_id, server, enrolled_at, .. } = enrolled() else {
            unreachable!()
        };
        let enrollment = Enrollment::As { host_id, server, enrolled_at, certificate };
        check(
            &Facts { running: true, saved: Some(saved), enrollment },
            &expect![[r"
            daemon        running since 2023-11-14T22:13:20Z, version 0.1.0
            enrolled      as 0b9c
            server        atrest.example:7443
            certificate   EXPIRED 1 d 4 h ago, at 2023-11-13T18:26:40Z
            connection    NOT CONNECTED since 2023-11-14T22:13:25Z
                          this agent's certificate has expired: no (since 2023-11-14T22:15:00Z)
                          remedy: enrol again
            last contact  10 s ago
            clock         2 h 0 min behind the server's: set it right
            last scan     10 min 0 s ago; one has been running for 1 min 0 s
            spool         2 reports wait, 4711 bytes; 3 dropped for want of room; 1 damaged
                          report 9 cannot be written (since 2023-11-14T22:14:10Z)
                          remedy: make room
            acknowledged  none
            policy        built-in defaults
        "]],
        );
    }

    #[test]
    fn an_agent_that_was_killed_does_not_look_connected() {
        let facts = Facts { running: false, saved: Some(saved()), enrollment: enrolled() };
        let text = text(&facts, at(7200));
        assert!(text.contains("NOT RUNNING") && !text.contains("connected since"), "{text}");
    }

    #[test]
    fn status_of_a_damaged_state_directory_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::new(dir.path());
        std::fs::write(state.status(), "{").unwrap();
        std::fs::write(state.identity(), "{").unwrap();
        let facts = gather(&state).unwrap();
        assert!(!facts.running && facts.saved.is_none());
        assert!(text(&facts, at(0)).contains("enrol again"));
    }
}
