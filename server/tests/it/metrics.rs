//! What Prometheus reads: over TLS, with a viewer's token, in its own format.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use atrest_proto::model::Verdict;
use atrest_proto::v1;
use reqwest::StatusCode;

use crate::alerts::Receiver;
use crate::harness::{Server, config, directory, report, until, within};

/// An answer to `GET /metrics`.
pub(crate) async fn scrape(server: &Server, token: &str, http1: bool) -> (StatusCode, String) {
    // Another test may have been first.
    drop(rustls::crypto::ring::default_provider().install_default());
    let authority = reqwest::Certificate::from_pem(server.ca.as_bytes()).unwrap();
    let builder = reqwest::Client::builder().tls_certs_only([authority]).no_proxy();
    let builder = if http1 { builder.http1_only() } else { builder };
    let url = format!("https://localhost:{}/metrics", server.running.operators_addr.port());
    let mut request = builder.build().unwrap().get(url);
    if !token.is_empty() {
        request = request.bearer_auth(token);
    }
    let response = within(request.send()).await.unwrap();
    (response.status(), within(response.text()).await.unwrap())
}

type Labels = BTreeMap<String, String>;

/// Reads the text format as strictly as its description is; samples by name and labels.
fn parse(text: &str) -> BTreeMap<(String, Labels), String> {
    assert!(text.ends_with('\n'), "the last line ends as well");
    let mut samples = BTreeMap::new();
    let (mut families, mut family) = (BTreeSet::new(), "");
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, _) = help.split_once(' ').expect("help");
            assert!(families.insert(name), "{name} is there twice");
            family = name;
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(name, family);
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
        } else {
            let (name, labels, value) = sample(line);
            let suffix = name.strip_prefix(family).expect("below its family");
            assert!(["", "_bucket", "_sum", "_count"].contains(&suffix), "{line}");
            value.parse::<f64>().expect("a number");
            let twice = samples.insert((name, labels), value.to_owned());
            assert!(twice.is_none(), "twice: {line}");
        }
    }
    samples
}

fn sample(line: &str) -> (String, Labels, &str) {
    let end = line.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap();
    let (name, mut rest) = line.split_at(end);
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, value) = rest.split_once("=\"").unwrap();
            let (mut read, mut escaped, mut close) = (String::new(), false, None);
            for (at, c) in value.char_indices() {
                match (escaped, c) {
                    (true, 'n') => read.push('\n'),
                    (true, '\\' | '"') => read.push(c),
                    (true, _) => panic!("not an escape: {line}"),
                    (false, '"') => {
                        close = Some(at);
                        break;
                    }
                    (false, '\\') => {}
                    (false, _) => read.push(c),
                }
                escaped = !escaped && c == '\\';
            }
            assert!(labels.insert(label.to_owned(), read).is_none(), "twice: {line}");
            rest = value.split_at(close.expect("closed")).1.strip_prefix('"').unwrap();
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
        rest = rest.strip_prefix('}').unwrap();
    }
    (name.to_owned(), labels, rest.strip_prefix(' ').expect("a value"))
}

fn value<'a>(
    samples: &'a BTreeMap<(String, Labels), String>,
    name: &str,
    labels: &[(&str, &str)],
) -> &'a str {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let key = (name.to_owned(), labels.collect());
    samples.get(&key).unwrap_or_else(|| panic!("no {key:?} in {samples:#?}"))
}

fn verdicts(samples: &BTreeMap<(String, Labels), String>) -> Vec<(String, String, String)> {
    let of = samples.keys().filter(|(name, _)| name == "atrest_path_verdict");
    of.map(|(_, labels)| {
        assert_eq!((&*labels["cluster"], &*labels["use"]), ("prod", "data"));
        (labels["host"].clone(), labels["path"].clone(), labels["verdict"].clone())
    })
    .collect()
}

#[tokio::test]
async fn the_fleet_is_told_in_numbers_to_who_may_read() {
    let (dir, state) = directory();
    let mut receiver = Receiver::start(dir.path()).await;
    let mut config = config(&state);
    receiver.add_to(&mut config);
    config.agents.heartbeat_interval = Duration::from_secs(30);
    let silent_after = config.agents.silent_after;
    let server = Server::start(config).await;
    for (token, wanted) in [("", StatusCode::UNAUTHORIZED), ("guess", StatusCode::UNAUTHORIZED)] {
        let (status, text) = scrape(&server, token, false).await;
        assert_eq!(status, wanted);
        assert!(!text.contains("atrest_nodes"), "{text}");
    }
    let create = v1::CreateOperatorRequest {
        name: "prometheus".to_owned(),
        role: v1::OperatorRole::Viewer.into(),
        ttl_seconds: None,
    };
    let mut operator = server.operator().await;
    let viewer = operator.operators.create_operator(create).await.unwrap().into_inner().token;
    let read = async |http1| {
        let (status, text) = scrape(&server, &viewer, http1).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        parse(&text)
    };
    let empty = read(true).await;
    assert_eq!(value(&empty, "atrest_nodes", &[("state", "encrypted")]), "0");

    let hostile = "/srv/\"} 1\nes\\";
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    let posture = agent.posture(&[(hostile, Verdict::Unencrypted), ("/a", Verdict::Encrypted)]);
    stream.report(report(1, posture)).await.unwrap();
    receiver.next().await;
    let samples = until(async || {
        let samples = read(false).await;
        let told = [("notifier", "ops"), ("result", "delivered")];
        (value(&samples, "atrest_delivery_attempts_total", &told) == "1").then_some(samples)
    })
    .await;
    let told = [("notifier", "ops")];
    assert_eq!(value(&samples, "atrest_alert_latency_seconds_count", &told), "1");
    assert_eq!(value(&samples, "atrest_nodes", &[("state", "unencrypted")]), "1");
    for (name, wanted) in [
        ("atrest_agents_connected", "1"),
        ("atrest_findings_failing", "1"),
        ("atrest_alerts_firing", "1"),
        ("atrest_certificates_issued_total", "1"),
        ("atrest_report_seconds_count", "1"),
        ("atrest_path_verdict_hosts_left_out", "0"),
    ] {
        assert_eq!(value(&samples, name, &[]), wanted, "{name}");
    }
    assert_eq!(value(&samples, "atrest_report_seconds_bucket", &[("le", "+Inf")]), "1");
    for certificate in ["authority", "server"] {
        let of = [("certificate", certificate)];
        let ends: i64 =
            value(&samples, "atrest_certificate_not_after_seconds", &of).parse().unwrap();
        assert!(ends > server.clock.now().as_second());
    }
    let failed = [("notifier", "ops"), ("status", "failed")];
    assert_eq!(value(&samples, "atrest_deliveries", &failed), "0");
    let of = |path: &str, verdict: &str| ("es-1".to_owned(), path.to_owned(), verdict.to_owned());
    assert_eq!(verdicts(&samples), [of("/a", "encrypted"), of(hostile, "unencrypted")]);

    // The next report replaces what is told.
    let posture = agent.posture(&[("/a", Verdict::Partial)]);
    stream.report(report(2, posture)).await.unwrap();
    assert_eq!(verdicts(&read(false).await), [of("/a", "partial")]);
    // What is not heard of is not known.
    drop(stream);
    server.clock.advance(silent_after * 3);
    let silent = until(async || {
        server.running.hub.sweep().await;
        let samples = read(false).await;
        (value(&samples, "atrest_nodes", &[("state", "stale")]) == "1").then_some(samples)
    })
    .await;
    assert_eq!(verdicts(&silent), [of("/a", "unknown")]);
    server.stop().await;
}

#[tokio::test]
async fn paths_beyond_the_bound_are_left_out_host_by_host_and_that_is_told() {
    let (_dir, state) = directory();
    let mut config = config(&state);
    config.metrics.max_path_series = 3;
    let server = Server::start(config).await;
    for (name, verdict) in [("es-1", Verdict::Encrypted), ("es-2", Verdict::Unencrypted)] {
        let agent = server.agent(name).await;
        let mut stream = server.attach(&agent).await;
        let posture = agent.posture(&[("/a", verdict), ("/b", verdict)]);
        stream.report(report(1, posture)).await.unwrap();
    }
    let (_, text) = scrape(&server, &server.admin, false).await;
    let samples = parse(&text);
    assert_eq!(value(&samples, "atrest_path_verdict_hosts_left_out", &[]), "1");
    let hosts: BTreeSet<_> = verdicts(&samples).into_iter().map(|(host, ..)| host).collect();
    assert_eq!(hosts, ["es-2".to_owned()].into(), "the worst is told of");
    server.stop().await;
}
