//! `cluster_state_encryption`: Elasticsearch encrypts the secrets that it keeps in the cluster state.

use atrest_proto::model::{Finding, Outcome, Reason, Severity};

use super::outcome::{finding, unknown};
use super::{Check, Context, ISO_8_24, NIST_SC_12, NIST_SC_28_1, SOC2_CC6_1};
use crate::secrets::{Contents, Form, Observation};
use crate::snapshot::Observed;

pub(super) const CHECK: Check = Check {
    id: "cluster_state_encryption",
    title: "Elasticsearch encrypts the secrets that it keeps in the cluster state",
    why: "Features keep passwords and keys of other systems in the cluster state, which lies in path.data on every \
          node. Since 9.5 Elasticsearch encrypts them, unless it is told that it need not.",
    decides: "Looks for `cluster.state.encryption.required` in elasticsearch.yml, in the environment and in the \
              arguments of the node: `false` fails. It is on where nothing is said. Versions before 9.5 and OpenSearch \
              have no such thing. Documents are never encrypted by it.",
    severity: Severity::Medium,
    remedy: "delete `cluster.state.encryption.required: false`, and restart the node",
    controls: &[NIST_SC_28_1, NIST_SC_12, ISO_8_24, SOC2_CC6_1],
    evaluate,
};

const SETTING: &str = "cluster.state.encryption.required";
/// The first version that has it, major and minor.
const SINCE: (u32, u32) = (9, 5);

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    // One finding for each node, with all the places where it may be set.
    let mains = context.snapshot.secrets.iter().filter(|seen| {
        let name = seen.place.path.file_name().unwrap_or_default();
        let is_main = name == b"elasticsearch.yml" || name == b"opensearch.yml";
        is_main && seen.place.form == Form::Yaml && is_of_family(seen)
    });
    mains
        .map(|main| {
            let own = |seen: &&Observation| {
                seen.place.service == main.place.service
                    && seen.place.product == main.place.product
                    && seen.place.form.is_memory()
            };
            let others: Vec<&Observation> = context.snapshot.secrets.iter().filter(own).collect();
            judge(main, &others)
        })
        .collect()
}

fn is_of_family(seen: &Observation) -> bool {
    ["elasticsearch", "opensearch"].contains(&seen.place.product.as_str())
}

/// Major and minor.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn judge(main: &Observation, others: &[&Observation]) -> Finding {
    let service = main.place.service.as_ref().unwrap_or(&main.place.product);
    let asset = format!("setting:{SETTING}@{service}");
    let not_applicable = |why: String| finding(&CHECK, &asset, Outcome::NotApplicable, why);
    if main.place.product == "opensearch" {
        return not_applicable("OpenSearch does not encrypt the cluster state".to_owned());
    }
    let version_text = main.version.as_deref();
    let version = version_text.and_then(version);
    if let (Some(version), Some(text)) = (version, version_text)
        && version < SINCE
    {
        return not_applicable(format!(
            "{service} is {text}; only since 9.5 is there something to encrypt with"
        ));
    }
    // Later ones go before earlier ones.
    let mut places = vec![main];
    places.extend(others.iter().copied().filter(|seen| seen.place.form == Form::Environment));
    places.extend(others.iter().copied().filter(|seen| seen.place.form == Form::Arguments));
    let set = places.iter().rev().find_map(|seen| {
        let switch = seen.contents.known()?.state_encryption?;
        Some((*seen, switch))
    });
    if let Some((seen, switch)) = set {
        let line = switch.line.map(|line| format!(" on line {line}")).unwrap_or_default();
        let place = match seen.place.form {
            Form::Environment => "the environment".to_owned(),
            Form::Arguments => "the command line".to_owned(),
            Form::Yaml
            | Form::JavaOptions
            | Form::Variables
            | Form::Unit
            | Form::Directory
            | Form::Pipeline
            | Form::Container
            | Form::Other => seen.place.path.to_string(),
        };
        return match switch.is_on {
            Some(true) => finding(
                &CHECK,
                &asset,
                Outcome::Pass,
                format!("{place}{line} says `{SETTING}: true`"),
            ),
            Some(false) => {
                let summary = format!(
                    "{place}{line} says `{SETTING}: false`: secrets in the cluster state are kept in plain text"
                );
                let remedy =
                    format!("delete `{SETTING}: false`{line} of {place}, and restart the node");
                Finding { remedy, ..finding(&CHECK, &asset, Outcome::Fail, summary) }
            }
            None => Finding {
                reasons: vec![Reason::Unreadable],
                remedy: "write `true` in its place".to_owned(),
                ..finding(
                    &CHECK,
                    &asset,
                    Outcome::Unknown,
                    format!("what `{SETTING}` in {place}{line} refers to is not known"),
                )
            },
        };
    }
    if let Some(trouble) = places.iter().find_map(|seen| seen.contents.trouble()) {
        return unknown(&CHECK, &asset, &format!("whether `{SETTING}` is set"), trouble);
    }
    let broken = main.contents.known().and_then(|contents: &Contents| contents.broken_at);
    let why = match (broken, version) {
        (Some(line), _) => format!(
            "{} makes no sense from line {line} on: whether it sets `{SETTING}` is not known",
            main.place.path
        ),
        (None, None) => format!(
            "the version of {service} is not known, and with it whether the cluster state is encrypted"
        ),
        (None, Some(_)) => {
            let summary = format!("nothing sets `{SETTING}`, so that it is on");
            return match &main.contents {
                Observed::Known(_) | Observed::Absent => {
                    finding(&CHECK, &asset, Outcome::Pass, summary)
                }
                Observed::Unreadable(trouble) => unknown(&CHECK, &asset, SETTING, trouble),
            };
        }
    };
    Finding { reasons: vec![Reason::Unreadable], ..finding(&CHECK, &asset, Outcome::Unknown, why) }
}

#[cfg(test)]
mod tests {
    use super::super::secret_fixture::observation;
    use super::*;
    use crate::secrets::Switch;
    use crate::snapshot::Trouble;

    fn node(says: Option<&str>, version: Option<&str>) -> Observation {
        let state_encryption = says.map(|says| Switch { line: Some(4), is_on: says.parse().ok() });
        let contents = Contents { state_encryption, ..Contents::default() };
        Observation {
            version: version.map(str::to_owned),
            ..observation(Form::Yaml, "/etc/elasticsearch/elasticsearch.yml", contents)
        }
    }

    fn outcome(says: Option<&str>, version: Option<&str>) -> Outcome {
        judge(&node(says, version), &[]).outcome
    }

    #[test]
    fn only_false_fails_and_silence_is_on() {
        assert_eq!(outcome(Some("false"), Some("9.5.0")), Outcome::Fail);
        assert_eq!(outcome(Some("true"), Some("9.5.0")), Outcome::Pass);
        assert_eq!(outcome(None, Some("10.0.1")), Outcome::Pass);
        let finding = judge(&node(Some("false"), Some("9.6.0-SNAPSHOT")), &[]);
        assert!(
            finding.summary.contains("line 4") && finding.remedy.contains("line 4"),
            "{finding:?}"
        );
        assert_eq!(finding.asset, "setting:cluster.state.encryption.required@elasticsearch");
    }

    #[test]
    fn older_versions_and_opensearch_have_nothing_to_encrypt_with() {
        assert_eq!(outcome(None, Some("9.4.2")), Outcome::NotApplicable);
        assert_eq!(outcome(None, Some("8.19.4")), Outcome::NotApplicable);
        let mut opensearch = node(None, Some("10.0.0"));
        opensearch.place.product = "opensearch".to_owned();
        assert_eq!(judge(&opensearch, &[]).outcome, Outcome::NotApplicable);
    }

    #[test]
    fn what_is_not_known_is_unknown() {
        assert_eq!(outcome(Some("${X}"), Some("9.5.0")), Outcome::Unknown);
        assert_eq!(outcome(None, None), Outcome::Unknown);
        // No older version would have started with it.
        assert_eq!(outcome(Some("false"), None), Outcome::Fail);
        let mut broken = node(None, Some("9.5.0"));
        broken.contents = Observed::Known(Contents { broken_at: Some(2), ..Contents::default() });
        assert_eq!(judge(&broken, &[]).outcome, Outcome::Unknown);
        broken.contents = Observed::Unreadable(Trouble::new(Reason::NoPermission, "no"));
        assert_eq!(judge(&broken, &[]).reasons, [Reason::NoPermission]);
    }

    #[test]
    fn arguments_go_before_the_file() {
        let main = node(Some("true"), Some("9.5.0"));
        let mut arguments = node(Some("false"), Some("9.5.0"));
        arguments.place.form = Form::Arguments;
        let finding = judge(&main, &[&arguments]);
        assert_eq!(finding.outcome, Outcome::Fail);
        assert!(finding.summary.starts_with("the command line"), "{}", finding.summary);
    }
}
