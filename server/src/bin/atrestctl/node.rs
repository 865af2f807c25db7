//! `atrestctl node`: one host, its paths with their stacks, and what to do.

use anyhow::Context as _;
use atrest_proto::model::{Finding, Layer, Outcome, PathPosture};
use atrest_proto::v1;
use atrest_server::view::NodeAnswer;
use jiff::Timestamp;

use crate::connect::{Connection, explain};
use crate::nodes::show_labels;
use crate::render::{Cell, Screen, Tone, ago, now};

/// A host, by its name or id, with the posture of its last report.
pub(crate) async fn ask(connection: &mut Connection, node: String) -> anyhow::Result<NodeAnswer> {
    let answer = connection
        .fleet
        .get_node(v1::GetNodeRequest { node })
        .await
        .map_err(|status| explain(&status))?
        .into_inner();
    let answer = NodeAnswer::read(answer)
        .context("this atrestctl does not understand the server's answer")?;
    answer.context("the server told nothing of this host")
}

pub(crate) async fn run(
    connection: &mut Connection,
    screen: &mut Screen,
    node: String,
) -> anyhow::Result<()> {
    let answer = ask(connection, node).await?;
    if !screen.json(&answer)? {
        print(screen, &answer, now());
    }
    Ok(())
}

fn print(screen: &mut Screen, answer: &NodeAnswer, now: Timestamp) {
    let NodeAnswer { node, posture, .. } = answer;
    screen.row(&[Cell::new(node.hostname.as_str(), Tone::Heading), Cell::word(node.state)]);
    let seen = if node.connected {
        "connected".to_owned()
    } else {
        format!("last heard of {}", ago(node.last_seen_at, now))
    };
    screen.line(&format!("  cluster {}, {seen}", node.cluster));
    screen.line(&format!("  id {}", node.host_id));
    if !node.labels.is_empty() {
        screen.line(&format!("  labels {}", show_labels(&node.labels)));
    }
    if let Some(revoked) = &node.revoked {
        let why = if revoked.reason.is_empty() { "no reason given" } else { &revoked.reason };
        let by = format!("  revoked at {:.0} by {}: {why}", revoked.at, revoked.by);
        screen.row(&[Cell::new(by, Tone::Bad)]);
        screen.line("  what follows is what it last said");
    }
    let Some(posture) = posture else {
        screen.line("");
        screen.line("nothing has been reported yet: `atrest-agent status` on the host says why");
        return;
    };
    let host = &posture.host;
    screen.line(&format!("  {}, kernel {}, {}", host.os, host.kernel, host.architecture));
    screen.line(&format!("  observed {}", ago(node.observed_at, now)));

    let mut paths: Vec<_> = posture.paths.iter().collect();
    paths.sort_by_key(|path| path.verdict);
    for path in paths {
        screen.line("");
        print_path(screen, path);
    }
    print_findings(screen, &posture.findings);
    if !posture.gaps.is_empty() {
        screen.line("");
        screen.row(&[Cell::new("Could not be looked at", Tone::Heading)]);
        for gap in &posture.gaps {
            screen.row(&[
                "  ".into(),
                Cell::new(gap.reason.as_str(), Tone::Doubt),
                gap.subject.as_str().into(),
                Cell::new(gap.detail.as_str(), Tone::Faint),
            ]);
        }
    }
}

fn print_path(screen: &mut Screen, path: &PathPosture) {
    let reasons: Vec<_> = path.reasons.iter().map(|reason| reason.as_str()).collect();
    screen.row(&[
        Cell::word(path.verdict.as_str()),
        Cell::new(path.path.as_str(), Tone::Heading),
        Cell::new(format!("({})", path.usage), Tone::Faint),
        reasons.join(", ").into(),
    ]);
    for claim in &path.claimed_by {
        screen.line(&format!("  claimed by {claim}"));
    }
    for undecided in &path.undecided {
        screen.line(&format!("  undecided ({}): {}", undecided.reason, undecided.detail));
    }
    if let Some(nearest) = &path.nearest {
        screen.line(&format!(
            "  does not exist; it would rest on {}, which is {}",
            nearest.path, nearest.verdict
        ));
    }
    let plain: Vec<_> = path.plain.iter().map(|leg| leg.device.as_str()).collect();
    for (at, root) in path.stack.iter().enumerate() {
        let last = at + 1 == path.stack.len();
        print_layer(screen, root, &plain, "  ", last);
    }
}

fn print_layer(screen: &mut Screen, layer: &Layer, plain: &[&str], indent: &str, last: bool) {
    let (branch, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
    let mut cells = vec![
        Cell::from(format!("{indent}{branch}{}", layer.name)),
        Cell::new(layer.kind.as_str(), Tone::Faint),
    ];
    if let Some(cipher) = layer.detail.get("cipher") {
        cells.push(Cell::new(cipher.as_str(), Tone::Good));
    }
    if layer.repeated_above {
        cells.push(Cell::new("(as above)", Tone::Faint));
    }
    if plain.contains(&layer.name.as_str()) && layer.children.is_empty() {
        cells.push(Cell::new("◀ plaintext", Tone::Bad));
    }
    screen.row(&cells);
    let indent = format!("{indent}{below}");
    for (at, child) in layer.children.iter().enumerate() {
        print_layer(screen, child, plain, &indent, at + 1 == layer.children.len());
    }
}

fn print_findings(screen: &mut Screen, findings: &[Finding]) {
    let mut open: Vec<_> = findings
        .iter()
        .filter(|finding| matches!(finding.outcome, Outcome::Fail | Outcome::Unknown))
        .collect();
    open.sort_by_key(|finding| (finding.outcome, std::cmp::Reverse(finding.severity)));
    screen.line("");
    if open.is_empty() {
        screen.line("no failing findings");
        return;
    }
    screen.row(&[Cell::new("Findings", Tone::Heading)]);
    for finding in open {
        print_finding(screen, finding, None);
    }
}

/// A finding, and below it what to do about it.
pub(crate) fn print_finding(screen: &mut Screen, finding: &Finding, host: Option<&str>) {
    let mut cells = vec![
        "  ".into(),
        Cell::word(finding.outcome.as_str()),
        Cell::word(finding.severity.as_str()),
    ];
    cells.extend(host.map(|host| Cell::new(host, Tone::Heading)));
    cells.push(finding.check.as_str().into());
    cells.push(finding.asset.as_str().into());
    screen.row(&cells);
    screen.line(&format!("       {}", finding.summary));
    for (at, line) in finding.remedy.lines().enumerate() {
        let lead = if at == 0 { "     →" } else { "      " };
        screen.row(&[Cell::new(lead, Tone::Faint), line.into()]);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use atrest_proto::model::{Host, PlainLeg, Reason, Severity, Use, Verdict};
    use expect_test::expect;

    use atrest_proto::model::Posture;
    use atrest_server::view::Node;

    use super::*;

    fn layer(kind: &str, name: &str, children: Vec<Layer>) -> Layer {
        Layer {
            kind: kind.to_owned(),
            name: name.to_owned(),
            major_minor: None,
            detail: BTreeMap::new(),
            repeated_above: false,
            children,
        }
    }

    #[test]
    fn the_stack_is_shown_with_the_plain_leg_marked_and_the_remedy_below() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let mut crypt =
            layer("dm-crypt", "/dev/mapper/c0", vec![layer("disk", "/dev/sda", vec![])]);
        crypt.detail.insert("cipher".to_owned(), "aes-xts-plain64".to_owned());
        let stack = layer(
            "dm-linear",
            "/dev/mapper/vg-es",
            vec![crypt, layer("disk", "/dev/sdb", Vec::new())],
        );
        let posture = Posture {
            host: Host {
                os: "Debian GNU/Linux 13".to_owned(),
                kernel: "6.12.0".to_owned(),
                architecture: "x86_64".to_owned(),
                ..Host::default()
            },
            observed_at: now,
            services: Vec::new(),
            paths: vec![PathPosture {
                asset: "data:/srv/es".to_owned(),
                path: "/srv/es".to_owned(),
                resolved: Some("/srv/es".to_owned()),
                usage: Use::Data,
                service: None,
                verdict: Verdict::Partial,
                reasons: vec![Reason::PlainDevice],
                plain: vec![PlainLeg {
                    device: "/dev/sdb".to_owned(),
                    via: Vec::new(),
                    reason: Reason::PlainDevice,
                }],
                encrypted_by: Vec::new(),
                claimed_by: Vec::new(),
                undecided: Vec::new(),
                stack: vec![layer("mount", "/srv", vec![stack])],
                nearest: None,
            }],
            keystores: Vec::new(),
            repositories: Vec::new(),
            findings: vec![Finding {
                check: "volume_encrypted".to_owned(),
                asset: "data:/srv/es".to_owned(),
                outcome: Outcome::Fail,
                severity: Severity::High,
                summary: "part of /srv/es rests in plaintext on /dev/sdb".to_owned(),
                remedy: "move the volume group off /dev/sdb\nthen wipe it".to_owned(),
                reasons: Vec::new(),
                evidence: BTreeMap::new(),
                affects: Vec::new(),
            }],
            gaps: Vec::new(),
            catalogue_version: 1,
        };
        let node = Node {
            host_id: "11111111-2222-4333-8444-555555555555".to_owned(),
            hostname: "es-1".to_owned(),
            cluster: "prod".to_owned(),
            state: "partial",
            connected: true,
            failing_findings: 1,
            enrolled_at: None,
            last_seen_at: Some(now),
            observed_at: Some(now),
            sequence: 1,
            agent_version: "0.1.0".to_owned(),
            labels: BTreeMap::new(),
            revoked: None,
        };
        let mut screen = Screen::plain();
        let answer = NodeAnswer::new(node, Some(posture));
        print(&mut screen, &answer, now);
        expect![[r"
            es-1 partial
              cluster prod, connected
              id 11111111-2222-4333-8444-555555555555
              Debian GNU/Linux 13, kernel 6.12.0, x86_64
              observed 0 s ago

            partial /srv/es (data) plain_device
              └─ /srv mount
                 └─ /dev/mapper/vg-es dm-linear
                    ├─ /dev/mapper/c0 dm-crypt aes-xts-plain64
                    │  └─ /dev/sda disk
                    └─ /dev/sdb disk ◀ plaintext

            Findings
               fail high volume_encrypted data:/srv/es
                   part of /srv/es rests in plaintext on /dev/sdb
                 → move the volume group off /dev/sdb
                   then wipe it
        "]]
        .assert_eq(screen.text());
    }
}
