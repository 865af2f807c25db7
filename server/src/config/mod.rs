//! The server's configuration: from text to values that can be used, or everything that is wrong with it.
//!
//! Every key has a default; an empty file works. Nothing is bound or made before all of it is valid.

mod reader;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use atrest_proto::model::Severity;
use jiff::SignedDuration;
use toml::de::DeValue;

use crate::access::Role;
use crate::logging::Format;
pub use reader::Problem;
use reader::{Reader, Section};

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub state_dir: PathBuf,
    pub agents: Agents,
    pub operators: Operators,
    pub authority: Authority,
    pub enrollment: Enrollment,
    pub alerts: Alerts,
    pub webhooks: Vec<Webhook>,
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
}

/// What is worth an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alerts {
    pub min_severity: Severity,
}

/// A receiver of signed webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    pub name: String,
    pub url: reqwest::Url,
    pub secret_file: PathBuf,
    /// The authority of the receiver's certificate, when it is not a public one.
    pub ca_file: Option<PathBuf>,
    pub timeout: Duration,
    pub max_attempts: u32,
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
        read("[[operators.token]]\n[[notify.webhook]]\n").2
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

fn config<'a>(reader: &mut Reader<'a>, root: &mut Section<'a>) -> Config {
    let state_dir = root
        .value(reader, "state_dir", "an absolute path, such as \"/var/lib/atrest-server\"", path)
        .unwrap_or_else(|| PathBuf::from("/var/lib/atrest-server"));
    let section = root.section(reader, "agents");
    let agents = agents(reader, section);
    let section = root.section(reader, "operators");
    let operators = operators(reader, section);
    let section = root.section(reader, "authority");
    let authority = authority(reader, section);
    let section = root.section(reader, "enrollment");
    let enrollment = enrollment(reader, section);
    let section = root.section(reader, "alerts");
    let alerts = alerts(reader, section);
    let section = root.section(reader, "notify");
    let webhooks = notify(reader, section);
    let section = root.section(reader, "log");
    let log = log(reader, section);
    Config { state_dir, agents, operators, authority, enrollment, alerts, webhooks, log }
}

fn agents<'a>(reader: &mut Reader<'a>, mut section: Section<'a>) -> Agents {
    let r = reader;
    let start = section.start();
    let agents = Agents {
        listen: section
            .value(r, "listen", "an address and port, such as \"0.0.0.0:7443\"", address)
            .unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 7443))),
        public_address: section
            .value(
                r,
                "public_address",
                "a host or host:port, such as \"atrest.example.com\"",
                |value| {
                    text(value).filter(|address| address.is_empty() || host_of(address).is_some())
                },
            )
            .unwrap_or_default(),
        heartbeat_interval: section
            .value(r, "heartbeat_interval", "a time from 1s to 1h", |value| {
                duration(value, Duration::from_secs(1), Duration::from_hours(1))
            })
            .unwrap_or(Duration::from_secs(30)),
        silent_after: section
            .value(r, "silent_after", "a time from 3s to 7 days, such as \"5m\"", |value| {
                duration(value, Duration::from_secs(3), Duration::from_hours(7 * 24))
            })
            .unwrap_or(Duration::from_mins(5)),
        max_connections: count(r, &mut section, "max_connections", 20_000),
        max_report_mib: section
            .value(r, "max_report_mib", "a number from 1 to 256", |value| {
                number(value).filter(|mib| (1..=256).contains(mib))
            })
            .unwrap_or(8),
    };
    // One lost heartbeat is not silence.
    if agents.silent_after < agents.heartbeat_interval * 2 {
        let what = "`agents.silent_after` is shorter than two heartbeats".to_owned();
        r.problem(start, what, "make it at least twice `agents.heartbeat_interval`");
    }
    section.end(r);
    agents
}

fn operators<'a>(reader: &mut Reader<'a>, mut section: Section<'a>) -> Operators {
    let listen = section
        .value(reader, "listen", "an address and port, such as \"127.0.0.1:7444\"", address)
        .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 7444)));
    let max_connections = count(reader, &mut section, "max_connections", 200);
    let tokens = section
        .sections(reader, "token")
        .into_iter()
        .filter_map(|section| operator_token(reader, section))
        .collect();
    section.end(reader);
    Operators { listen, max_connections, tokens }
}

fn operator_token<'a>(reader: &mut Reader<'a>, mut section: Section<'a>) -> Option<OperatorToken> {
    let name = section.value(reader, "name", "a name", non_empty);
    let role = section.value(reader, "role", "viewer, operator or admin", |value| {
        text(value)?.parse::<Role>().ok()
    });
    let token_file = section.value(reader, "token_file", "an absolute path", path);
    let start = section.start();
    section.end(reader);
    let (Some(name), Some(role), Some(token_file)) = (name, role, token_file) else {
        let what = "`operators.token` is not complete".to_owned();
        reader.problem(start, what, "give it a `name`, a `role` and a `token_file`");
        return None;
    };
    Some(OperatorToken { name, role, token_file })
}

fn authority<'a>(reader: &mut Reader<'a>, mut section: Section<'a>) -> Authority {
    let authority = Authority {
        server_names: section
            .value(reader, "server_names", "a list of host names and addresses", |value| {
                let names = value.as_array()?.iter().map(|name| non_empty(name.get_ref()));
                names.collect::<Option<Vec<_>>>()
            })
            .unwrap_or_default(),
        agent_certificate_lifetime: section
            .value(reader, "agent_certificate_lifetime", "a time from 10m to 90 days", |value| {
                duration(value, Duration::from_mins(10), Duration::from_hours(90 * 24))
            })
            .unwrap_or(Duration::from_hours(24)),
        server_certificate_lifetime: section
            .value(reader, "server_certificate_lifetime", "a time from 1h to 1 year", |value| {
                duration(value, Duration::from_hours(1), Duration::from_hours(366 * 24))
            })
            .unwrap_or(Duration::from_hours(30 * 24)),
    };
    section.end(reader);
    authority
}

fn enrollment<'a>(reader: &mut Reader<'a>, mut section: Section<'a>) -> Enrollment {
    let enrollment = Enrollment {
        token_lifetime: section
            .value(reader, "token_lifetime", "a time from 1m to 1 year", |value| {
                duration(value, Duration::from_mins(1), Duration::from_hours(366 * 24))
            })
            .unwrap_or(Duration::from_hours(1)),
        failures_per_minute: section
            .value(reader, "failures_per_minute", "a number from 1 to 10000", |value| {
                number(value).filter(|failures| (1..=10_000).contains(failures))
            })
            .unwrap_or(10),
    };
    section.end(reader);
    enrollment
}

fn alerts<'a>(reader: &mut Reader<'a>, mut section: Section<'a>) -> Alerts {
    let min_severity = section
        .value(reader, "min_severity", "info, low, medium, high or critical", |value| {
            text(value)?.parse().ok()
        })
        .unwrap_or(Severity::Medium);
    section.end(reader);
    Alerts { min_severity }
}

fn notify<'a>(reader: &mut Reader<'a>, mut section: Section<'a>) -> Vec<Webhook> {
    let mut names = BTreeSet::new();
    let mut webhooks = Vec::new();
    for section in section.sections(reader, "webhook") {
        let start = section.start();
        let Some(webhook) = webhook(reader, section) else { continue };
        if !names.insert(webhook.name.clone()) {
            let what = format!("two notifiers are called \"{}\"", webhook.name);
            reader.problem(start, what, "give each its own `name`");
        }
        webhooks.push(webhook);
    }
    section.end(reader);
    webhooks
}

fn webhook<'a>(reader: &mut Reader<'a>, mut section: Section<'a>) -> Option<Webhook> {
    let start = section.start();
    let name = section.value(reader, "name", "a name", non_empty);
    let url = section.value(reader, "url", "a URL that starts with https:// or http://", |value| {
        let url: reqwest::Url = text(value)?.parse().ok()?;
        matches!(url.scheme(), "http" | "https").then_some(url)
    });
    let secret_file = section.value(reader, "secret_file", "an absolute path", path);
    let ca_file = section.value(reader, "ca_file", "an absolute path", path);
    let timeout = section
        .value(reader, "timeout", "a time from 1s to 2m", |value| {
            duration(value, Duration::from_secs(1), Duration::from_mins(2))
        })
        .unwrap_or(Duration::from_secs(10));
    let max_attempts = section
        .value(reader, "max_attempts", "a number from 1 to 1000", |value| {
            number(value).filter(|attempts| (1..=1_000).contains(attempts))
        })
        .unwrap_or(20);
    section.end(reader);
    let (Some(name), Some(url), Some(secret_file)) = (name, url, secret_file) else {
        let what = "`notify.webhook` is not complete".to_owned();
        reader.problem(start, what, "give it a `name`, a `url` and a `secret_file`");
        return None;
    };
    Some(Webhook { name, url, secret_file, ca_file, timeout, max_attempts })
}

fn log<'a>(reader: &mut Reader<'a>, mut section: Section<'a>) -> Log {
    let format = section
        .value(reader, "format", "text or json", |value| match value.as_str()? {
            "text" => Some(Format::Text),
            "json" => Some(Format::Json),
            _ => None,
        })
        .unwrap_or(Format::Text);
    let filter = section
        .value(reader, "filter", "a level or directives, such as \"info,h2=warn\"", |value| {
            let filter = non_empty(value)?;
            filter.parse::<tracing_subscriber::EnvFilter>().ok().map(|_| filter)
        })
        .unwrap_or_else(|| "info".to_owned());
    section.end(reader);
    Log { format, filter }
}

fn count<'a>(
    reader: &mut Reader<'a>,
    section: &mut Section<'a>,
    key: &'static str,
    default: usize,
) -> usize {
    section
        .value(reader, key, "a number from 1 to 1000000", |value| {
            number(value).filter(|count| (1..=1_000_000).contains(count))
        })
        .unwrap_or(default)
}

fn text(value: &DeValue<'_>) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn non_empty(value: &DeValue<'_>) -> Option<String> {
    text(value).filter(|text| !text.trim().is_empty())
}

fn path(value: &DeValue<'_>) -> Option<PathBuf> {
    text(value).map(PathBuf::from).filter(|path| path.is_absolute())
}

fn address(value: &DeValue<'_>) -> Option<SocketAddr> {
    value.as_str()?.parse().ok()
}

fn number<T: std::str::FromStr>(value: &DeValue<'_>) -> Option<T> {
    value.as_integer()?.as_str().replace('_', "").parse().ok()
}

fn duration(value: &DeValue<'_>, least: Duration, most: Duration) -> Option<Duration> {
    let duration: SignedDuration = value.as_str()?.parse().ok()?;
    let duration = Duration::try_from(duration).ok()?;
    (least..=most).contains(&duration).then_some(duration)
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

    fn check(text: &str, expected: Expect) {
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
            expect![[r#"
                2: `state_dir` is "relative": write an absolute path, such as "/var/lib/atrest-server"
                3: unknown key `agent`: did you mean `agents`?
                5: `agents.silent_after` is shorter than two heartbeats: make it at least twice `agents.heartbeat_interval`
                6: `agents.listen` is "nowhere": write an address and port, such as "0.0.0.0:7443"
                7: unknown key `agents.heart_beat_interval`: did you mean `heartbeat_interval`?
                9: `agents.max_connections` is "many": write a number from 1 to 1000000
                12: `alerts.min_severity` is "bad": write info, low, medium, high or critical
                14: `notify.webhook` is not complete: give it a `name`, a `url` and a `secret_file`
                16: `notify.webhook.url` is "ftp://example.com": write a URL that starts with https:// or http://"#]],
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
        assert_eq!(config.webhooks.len(), 1);
        assert_eq!(config.webhooks[0].timeout, Duration::from_secs(5));
    }
}
