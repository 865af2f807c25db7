//! The server's configuration: from text to values that can be used, or everything that is wrong with it.
//!
//! Every key has a default; an empty file works. Nothing is bound or made before all of it is valid.

mod notify;
mod reader;
mod routing;
mod sections;
mod values;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use atrest_proto::model::Severity;

use crate::access::Role;
pub use crate::certificate_files::CertificateFiles;
use crate::logging::Format;
pub use notify::{
    Alertmanager, Auth, Elasticsearch, Email, Facility, Http, Kind, MailTls, Notifier, Notify,
    Pagerduty, Slack, Syslog, Transport, Webhook,
};
pub use reader::Problem;
use reader::Reader;
pub use routing::{QuietTime, Routing};
use sections::config;

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub state_dir: PathBuf,
    pub agents: Agents,
    pub operators: Operators,
    pub authority: Authority,
    pub enrollment: Enrollment,
    pub audit: Audit,
    pub history: History,
    pub clusters: Clusters,
    pub limits: Limits,
    pub metrics: Metrics,
    pub alerts: Alerts,
    pub notify: Notify,
    pub routing: Routing,
    pub log: Log,
}

/// The agents' port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agents {
    pub listen: SocketAddr,
    /// `host` or `host:port` for enrolment tokens; empty means this machine's name. Without a port,
    /// that of `listen`.
    pub public_address: String,
    pub heartbeat_interval: Duration,
    pub silent_after: Duration,
    pub max_connections: usize,
    pub max_report_mib: usize,
}

/// The operators' port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operators {
    pub listen: SocketAddr,
    pub max_connections: usize,
    /// What the port shows; `None`: a certificate of the server's own authority.
    pub certificate: Option<CertificateFiles>,
    pub tokens: Vec<OperatorToken>,
}

/// Someone who may call the operators' port, besides the admin token of the state directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorToken {
    pub name: String,
    pub role: Role,
    pub token_file: PathBuf,
}

/// The certificate authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// Names and addresses of the server's certificate, besides those that it always has.
    pub server_names: Vec<String>,
    pub agent_certificate_lifetime: Duration,
    pub server_certificate_lifetime: Duration,
}

/// Letting machines in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrollment {
    pub token_lifetime: Duration,
    /// Failed attempts of one address in a minute before it is turned away.
    pub failures_per_minute: u32,
    /// Whether a host whose certificate ended may come back with its key, to renew it.
    pub rejoin: bool,
    /// For how long.
    pub rejoin_within: Duration,
    /// Ten times as many may come at once.
    pub per_second: u64,
    /// Of one address; an IPv6 network counts as one.
    pub per_second_per_address: u64,
}

/// How long it is kept what operators did. Whichever is reached first ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    pub keep_for: Duration,
    pub max_entries: u64,
}

/// How long it is kept what is over: times that something was exposed, alerts, and what became of telling them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    pub keep_for: Duration,
}

/// Search clusters, across the hosts that their nodes are on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clusters {
    /// How long a node may be in its cluster without an agent.
    pub missing_after: Duration,
    /// How long no keystore of a cluster may have changed before they are compared.
    pub keystores_settle: Duration,
}

/// What one host may say. Beyond that it is read from more slowly, and after a while sent away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Ten times as many may come at once.
    pub messages_per_second: u64,
    pub kib_per_second: u64,
    /// How long a host may be slowed down without a pause.
    pub patience: Duration,
    /// Open connections with one certificate.
    pub connections_per_certificate: usize,
}

/// What is told to Prometheus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// Series that tell of paths; 0 is none.
    pub max_path_series: usize,
}

/// What is worth an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alerts {
    pub min_severity: Severity,
}

/// The log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    pub format: Format,
    pub filter: String,
}

impl Default for Config {
    fn default() -> Self {
        let mut reader = Reader::new("");
        let mut root = reader.root();
        config(&mut reader, &mut root)
    }
}

impl Config {
    /// Reads the text of a configuration file; all that is wrong with it at once.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let (config, problems, _) = read(text);
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }

    /// The names of all keys that this version knows.
    pub fn known_keys() -> BTreeSet<String> {
        // The tables of lists are read only where there is one.
        let routing = "[[notify.route]]\n[[notify.quiet]]\n";
        read(&format!("[[operators.token]]\n{routing}{}", notify::one_of_each())).2
    }
}

fn read(text: &str) -> (Config, Vec<Problem>, BTreeSet<String>) {
    let mut reader = Reader::new(text);
    let mut root = reader.root();
    let config = config(&mut reader, &mut root);
    root.end(&mut reader);
    let (problems, known) = reader.finish();
    (config, problems, known)
}

/// The host of `host` or `host:port`, without the brackets of an IPv6 address.
pub fn host_of(address: &str) -> Option<&str> {
    let host = match address.rsplit_once(':') {
        Some((host, port)) => {
            port.parse::<u16>().ok()?;
            host
        }
        None => address,
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_host = !host.is_empty() && !host.contains(['/', ' ', '@', '[', ']']);
    is_host.then_some(host)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, expected: &Expect) {
        let problems = Config::parse(text).unwrap_err();
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        expected.assert_eq(&lines.join("\n"));
    }

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(Config::parse("").unwrap(), Config::default());
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once_with_its_line() {
        check(
            r#"
state_dir = "relative"
agent = 1

[agents]
listen = "nowhere"
heart_beat_interval = "1s"
silent_after = "10s"
max_connections = "many"

[alerts]
min_severity = "bad"

[[notify.webhook]]
name = "x"
url = "ftp://example.com"
"#,
            &expect![[r#"
                2: `state_dir` is "relative": write an absolute path, such as "/var/lib/atrest-server"
                3: unknown key `agent`: did you mean `agents`?
                5: `agents.silent_after` is shorter than two heartbeats: make it at least twice `agents.heartbeat_interval`
                6: `agents.listen` is "nowhere": write an address and port, such as "0.0.0.0:7443"
                7: unknown key `agents.heart_beat_interval`: did you mean `heartbeat_interval`?
                9: `agents.max_connections` is "many": write a number from 1 to 1000000
                12: `alerts.min_severity` is "bad": write info, low, medium, high or critical
                14: `notify.webhook` is not complete: give it a `name`, a `url` and a `secret_file`
                16: `notify.webhook.url` is "ftp://example.com": write a URL that starts with https:// or http://, without a user or password"#]],
        );
    }

    #[test]
    fn a_broken_line_does_not_hide_what_else_is_wrong() {
        let problems = Config::parse("[agents]\nlisten = \n[log]\nformat = \"xml\"\n").unwrap_err();
        let lines: Vec<_> = problems.iter().filter_map(|problem| problem.line).collect();
        assert!(lines.contains(&2) && lines.contains(&4), "{problems:?}");
    }

    #[test]
    fn a_complete_webhook_is_read() {
        let config = Config::parse(
            r#"
[[notify.webhook]]
name = "ops"
url = "https://example.com/hook"
secret_file = "/etc/atrest/webhook.secret"
timeout = "5s"
"#,
        )
        .unwrap();
        assert_eq!(config.notify.notifiers.len(), 1);
        assert_eq!(config.notify.notifiers[0].timeout, Duration::from_secs(5));
    }
}
