//! The tables of the file, one function each: their keys, defaults, and what to write instead of what is wrong.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use atrest_proto::model::Severity;

use super::notify::notify;
use super::reader::{Reader, Section};
use super::values::{address, count, duration, non_empty, number, path, text};
use super::{
    Agents, Alerts, Audit, Authority, CertificateFiles, Clusters, Config, Enrollment, History,
    Limits, Log, Metrics, OperatorToken, Operators, host_of,
};
use crate::access::Role;
use crate::fleet::cluster::Patience;
use crate::logging::Format;

pub(super) fn config<'a>(reader: &mut Reader<'a>, root: &mut Section<'a>) -> Config {
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
    let section = root.section(reader, "audit");
    let audit = audit(reader, section);
    let section = root.section(reader, "history");
    let history = history(reader, section);
    let section = root.section(reader, "clusters");
    let clusters = clusters(reader, section);
    let section = root.section(reader, "limits");
    let limits = limits(reader, section);
    let section = root.section(reader, "metrics");
    let metrics = metrics(reader, section);
    let section = root.section(reader, "alerts");
    let alerts = alerts(reader, section);
    let section = root.section(reader, "notify");
    let (notify, routing) = notify(reader, section);
    let section = root.section(reader, "log");
    let log = log(reader, section);
    Config {
        state_dir,
        agents,
        operators,
        authority,
        enrollment,
        audit,
        history,
        clusters,
        limits,
        metrics,
        alerts,
        notify,
        routing,
        log,
    }
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
    let start = section.start();
    let mut file = |reader: &mut Reader<'a>, name| {
        let path = section.value(reader, name, "an absolute path, or nothing", |value| {
            text(value)
                .map(PathBuf::from)
                .filter(|path| path.as_os_str().is_empty() || path.is_absolute())
        });
        path.filter(|path| !path.as_os_str().is_empty())
    };
    let certificate = match (file(reader, "certificate_file"), file(reader, "key_file")) {
        (Some(certificate), Some(key)) => Some(CertificateFiles { certificate, key }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            let what =
                "`operators.certificate_file` and `operators.key_file` go together".to_owned();
            reader.problem(start, what, "name both files, or none");
            None
        }
    };
    let tokens = section
        .sections(reader, "token")
        .into_iter()
        .filter_map(|section| operator_token(reader, section))
        .collect();
    section.end(reader);
    Operators { listen, max_connections, certificate, tokens }
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
        rejoin: section
            .value(reader, "rejoin", "allow or deny", |value| match value.as_str()? {
                "allow" => Some(true),
                "deny" => Some(false),
                _ => None,
            })
            .unwrap_or(true),
        // Holidays, and a repair that takes its time.
        rejoin_within: section
            .value(reader, "rejoin_within", "a time from 1h to 1 year, such as \"336h\"", |value| {
                duration(value, Duration::from_hours(1), Duration::from_hours(366 * 24))
            })
            .unwrap_or(Duration::from_hours(14 * 24)),
        per_second: section
            .value(reader, "per_second", "a number from 1 to 1000000", rate)
            .unwrap_or(50),
        per_second_per_address: section
            .value(reader, "per_second_per_address", "a number from 1 to 1000000", rate)
            .unwrap_or(20),
    };
    section.end(reader);
    enrollment
}

fn audit<'a>(reader: &mut Reader<'a>, mut section: Section<'a>) -> Audit {
    let audit = Audit {
        // PCI DSS 10.5.1 wants twelve months; this is a little more than thirteen.
        keep_for: section
            .value(reader, "keep_for", "a time from 24h to 10 years, such as \"9600h\"", |value| {
                duration(value, Duration::from_hours(24), Duration::from_hours(10 * 366 * 24))
            })
            .unwrap_or(Duration::from_hours(400 * 24)),
        max_entries: section
            .value(reader, "max_entries", "a number from 1000 to 10000000", |value| {
                number(value).filter(|entries| (1_000..=10_000_000).contains(entries))
            })
            .unwrap_or(200_000),
    };
    section.end(reader);
    audit
}

fn history<'a>(reader: &mut Reader<'a>, mut section: Section<'a>) -> History {
    // As long as the audit log.
    let keep_for = section
        .value(reader, "keep_for", "a time from 24h to 10 years, such as \"9600h\"", |value| {
            duration(value, Duration::from_hours(24), Duration::from_hours(10 * 366 * 24))
        })
        .unwrap_or(Duration::from_hours(400 * 24));
    section.end(reader);
    History { keep_for }
}

fn clusters<'a>(reader: &mut Reader<'a>, mut section: Section<'a>) -> Clusters {
    let default = Patience::default();
    let clusters = Clusters {
        missing_after: section
            .value(reader, "missing_after", "a time from 1m to 7 days, such as \"15m\"", |value| {
                duration(value, Duration::from_mins(1), Duration::from_hours(7 * 24))
            })
            .unwrap_or(default.node),
        keystores_settle: section
            .value(reader, "keystores_settle", "a time from 1m to 24h, such as \"1h\"", |value| {
                duration(value, Duration::from_mins(1), Duration::from_hours(24))
            })
            .unwrap_or(default.keystores),
    };
    section.end(reader);
    clusters
}

fn limits<'a>(reader: &mut Reader<'a>, mut section: Section<'a>) -> Limits {
    let limits = Limits {
        messages_per_second: section
            .value(reader, "messages_per_second", "a number from 1 to 1000000", rate)
            .unwrap_or(100),
        kib_per_second: section
            .value(reader, "kib_per_second", "a number from 1 to 1000000", rate)
            .unwrap_or(4_096),
        patience: section
            .value(reader, "patience", "a time from 1s to 1h, such as \"1m\"", |value| {
                duration(value, Duration::from_secs(1), Duration::from_hours(1))
            })
            .unwrap_or(Duration::from_mins(1)),
        connections_per_certificate: section
            .value(reader, "connections_per_certificate", "a number from 2 to 10000", |value| {
                number(value).filter(|connections| (2..=10_000).contains(connections))
            })
            .unwrap_or(32),
    };
    section.end(reader);
    limits
}

/// So many a second.
fn rate(value: &toml::de::DeValue<'_>) -> Option<u64> {
    number(value).filter(|rate| (1..=1_000_000).contains(rate))
}

fn metrics<'a>(reader: &mut Reader<'a>, mut section: Section<'a>) -> Metrics {
    let max_path_series = section
        .value(reader, "max_path_series", "a number from 0 to 1000000", |value| {
            number(value).filter(|series| (0..=1_000_000).contains(series))
        })
        .unwrap_or(10_000);
    section.end(reader);
    Metrics { max_path_series }
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
