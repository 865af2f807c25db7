//! `plaintext_secret`: no password or key stands in plain text in settings, units, environments or files beside them.

use std::collections::{BTreeMap, BTreeSet};

use atrest_proto::model::{Finding, Outcome, PathPosture, Reason, Severity, Verdict};

use super::outcome::{finding, unknown};
use super::{CIS_3_11, Check, Context, ISO_8_24, NIST_SC_12, NIST_SC_28_1, SOC2_CC6_1};
use crate::path::HostPath;
use crate::policy::Policy;
use crate::posture::secret_asset;
use crate::secrets::catalogue::family;
use crate::secrets::{Contents, Form, Instead, Kind, Observation, Sighting, Swept, Value};
use crate::snapshot::Observed;

pub(super) const CHECK: Check = Check {
    id: "plaintext_secret",
    title: "No secret stands in plain text in settings, environments or files beside them",
    why: "A password or key in a settings file goes wherever the file goes: into backups, images, tickets and onto \
          discarded disks. The keystores exist so that it does not have to stand there.",
    decides: "Reads the settings of every service that was found, jvm.options, its units with their environments and \
              files of variables, what Docker keeps of containers, the environment and arguments of its process, and what lies in its configuration \
              directory. Looks for the settings that the products document as secret, for others whose name ends as \
              secrets do, for passwords in URLs and for private keys without a passphrase. A reference such as \
              `${NAME}` passes. How much it weighs is up to who may read the file and to the volume below it; what \
              rests in memory only weighs less. Of values nothing is kept but whether everybody knows them.",
    severity: Severity::High,
    remedy: "put the secret into the keystore of the product and delete it from the file that the summary names",
    controls: &[NIST_SC_28_1, NIST_SC_12, ISO_8_24, SOC2_CC6_1, CIS_3_11],
    evaluate,
};

/// More names make a summary unreadable.
const NAMED: usize = 8;

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    let mut findings: BTreeMap<String, Finding> = BTreeMap::new();
    for (seen, volume) in context.snapshot.secrets.iter().zip(context.secret_volumes) {
        let Some(found) = judge(seen, volume, context.policy) else { continue };
        // Processes of one service have one finding: the worst.
        let known = findings.get(&found.asset);
        if known.is_none_or(|known| weight(&found) > weight(known)) {
            findings.insert(found.asset.clone(), found);
        }
    }
    findings.into_values().collect()
}

const fn weight(finding: &Finding) -> (u8, Severity) {
    let outcome = match finding.outcome {
        Outcome::Fail => 3,
        Outcome::Unknown => 2,
        Outcome::Pass => 1,
        Outcome::NotApplicable => 0,
    };
    (outcome, finding.severity)
}

fn judge(seen: &Observation, volume: &PathPosture, policy: &Policy) -> Option<Finding> {
    let asset = secret_asset(seen);
    let what = what(seen);
    let contents = match &seen.contents {
        Observed::Known(contents) => contents,
        // Of the many files that may be there only the main one would be missed.
        Observed::Absent if seen.place.form != Form::Yaml => return None,
        Observed::Absent => {
            let summary = format!("there is no file {what}");
            return Some(finding(&CHECK, &asset, Outcome::NotApplicable, summary));
        }
        Observed::Unreadable(trouble) => return Some(unknown(&CHECK, &asset, &what, trouble)),
    };
    if let Some(swept) = &contents.swept {
        return directory(&asset, &what, swept);
    }
    let plain: Vec<&Sighting> = contents.sightings.iter().filter(|seen| seen.is_plain()).collect();
    let judged = if plain.is_empty() {
        nothing_plain(&asset, &what, seen, contents)?
    } else {
        fails(&asset, &what, seen, volume, policy, &plain)
    };
    Some(Finding { evidence: evidence(seen, contents, volume), ..judged })
}

/// How the place is called.
fn what(seen: &Observation) -> String {
    let whose = seen.place.service.as_ref().unwrap_or(&seen.place.product);
    match seen.place.form {
        Form::Environment => format!("the environment of {whose}"),
        Form::Arguments => format!("the command line of {whose}"),
        Form::Container => format!("{} (what Docker keeps of {whose})", seen.place.path),
        Form::Yaml
        | Form::JavaOptions
        | Form::Variables
        | Form::Unit
        | Form::Directory
        | Form::Pipeline
        | Form::Other => seen.place.path.to_string(),
    }
}

/// Files that hold something have findings of their own.
fn directory(asset: &str, what: &str, swept: &Swept) -> Option<Finding> {
    if !swept.left_out.is_empty() {
        let summary = format!(
            "{what} was not looked through whole: left out was {}",
            swept.left_out.join("; ")
        );
        return Some(Finding {
            reasons: vec![Reason::Unreadable],
            remedy: "move what is no configuration out of the directory, and run the agent as root"
                .to_owned(),
            ..finding(&CHECK, asset, Outcome::Unknown, summary)
        });
    }
    let summary = format!("of {} entries of {what} none is a file of keys", swept.entries);
    (swept.found == 0).then(|| finding(&CHECK, asset, Outcome::Pass, summary))
}

fn nothing_plain(
    asset: &str,
    what: &str,
    seen: &Observation,
    contents: &Contents,
) -> Option<Finding> {
    if let Some(line) = contents.broken_at {
        let summary = format!(
            "{what} makes no sense from line {line} on: no secret was seen, and there may be one"
        );
        return Some(Finding {
            reasons: vec![Reason::Unreadable],
            remedy: format!("correct line {line} of {what}, then scan again"),
            ..finding(&CHECK, asset, Outcome::Unknown, summary)
        });
    }
    // Of what was come across and holds nothing there is nothing to say.
    if !seen.is_named && seen.place.form != Form::Other {
        return None;
    }
    let references =
        contents.sightings.iter().filter(|seen| seen.value == Value::Reference).count();
    let summary = match (seen.place.form, references) {
        (Form::Other, _) => format!("{what} is not for everybody to read"),
        (_, 0) => format!("{what} holds no secret"),
        (_, 1) => format!("{what} holds no secret: one setting refers to where it is"),
        (_, _) => format!("{what} holds no secret: {references} settings refer to where they are"),
    };
    Some(finding(&CHECK, asset, Outcome::Pass, summary))
}

/// How far a secret is open to others than the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exposure {
    /// In memory, for the service and root.
    Memory,
    /// In memory, for everybody on the host.
    MemoryOpen,
    /// In a file that everybody may read.
    Open,
    /// In a file that goes with the disk.
    PlainDisk,
    /// In a file of which it is not proven that it does not.
    NotProven,
    Encrypted,
}

fn exposure(seen: &Observation, volume: &PathPosture, policy: &Policy) -> Exposure {
    match seen.place.form {
        Form::Environment => return Exposure::Memory,
        Form::Arguments => return Exposure::MemoryOpen,
        Form::Yaml
        | Form::JavaOptions
        | Form::Variables
        | Form::Unit
        | Form::Directory
        | Form::Pipeline
        | Form::Container
        | Form::Other => {}
    }
    match volume.verdict {
        _ if seen.others_may_read => Exposure::Open,
        Verdict::Encrypted | Verdict::Volatile => Exposure::Encrypted,
        Verdict::Claimed if policy.accept_claims => Exposure::Encrypted,
        Verdict::Unencrypted | Verdict::Partial => Exposure::PlainDisk,
        Verdict::Claimed | Verdict::Unknown => Exposure::NotProven,
    }
}

fn severity(exposure: Exposure, plain: &[&Sighting]) -> Severity {
    if plain.iter().all(|seen| seen.is_comment) {
        return if exposure == Exposure::Open { Severity::Low } else { Severity::Info };
    }
    let is_well_known = plain.iter().any(|seen| seen.value == Value::WellKnown && !seen.is_comment);
    match exposure {
        Exposure::Open => Severity::High,
        Exposure::PlainDisk | Exposure::NotProven | Exposure::MemoryOpen => Severity::Medium,
        Exposure::Memory | Exposure::Encrypted if is_well_known => Severity::Medium,
        Exposure::Memory | Exposure::Encrypted => Severity::Low,
    }
}

fn fails(
    asset: &str,
    what: &str,
    seen: &Observation,
    volume: &PathPosture,
    policy: &Policy,
    plain: &[&Sighting],
) -> Finding {
    let exposure = exposure(seen, volume, policy);
    let clause = match exposure {
        Exposure::Memory => {
            "it is in memory as long as the process runs, and in whatever sets it".to_owned()
        }
        Exposure::MemoryOpen => {
            "everybody on the host may read it as long as the process runs".to_owned()
        }
        Exposure::Open => {
            let mode = seen.file.known().map(|file| format!(" (mode {:04o})", file.mode));
            format!("everybody may read it{}", mode.unwrap_or_default())
        }
        Exposure::PlainDisk => {
            let devices: BTreeSet<&str> =
                volume.plain.iter().map(|leg| leg.device.as_str()).collect();
            let devices: Vec<&str> = devices.into_iter().collect();
            if devices.is_empty() {
                "it lies in plaintext on its disk".to_owned()
            } else {
                format!("it lies in plaintext on {}", devices.join(", "))
            }
        }
        Exposure::NotProven => "that the volume below it is encrypted is not proven".to_owned(),
        Exposure::Encrypted => "the volume below it is encrypted".to_owned(),
    };
    let broken = seen
        .contents
        .known()
        .and_then(|contents| contents.broken_at)
        .map(|line| format!("; from line {line} on it makes no sense, and there may be more"))
        .unwrap_or_default();
    let holds = match seen.place.form {
        Form::Other if plain.iter().all(|seen| seen.kind == Kind::OpenFile) => "is",
        Form::Other => "holds",
        Form::Yaml
        | Form::JavaOptions
        | Form::Variables
        | Form::Unit
        | Form::Environment
        | Form::Arguments
        | Form::Directory
        | Form::Pipeline
        | Form::Container => "holds in plain text:",
    };
    let summary = format!("{what} {holds} {}; {clause}{broken}", names(plain));
    let reasons = if exposure == Exposure::PlainDisk { volume.reasons.clone() } else { Vec::new() };
    Finding {
        severity: severity(exposure, plain),
        remedy: remedy(seen, exposure, plain),
        reasons,
        ..finding(&CHECK, asset, Outcome::Fail, summary)
    }
}

/// The settings with their lines, the first few.
fn names(plain: &[&Sighting]) -> String {
    // What is read by the product comes before what is not.
    let mut sorted = plain.to_vec();
    sorted.sort_by_key(|seen| seen.is_comment);
    let names: Vec<String> = sorted
        .iter()
        .take(NAMED)
        .map(|seen| {
            let mut notes: Vec<String> =
                seen.line.map(|line| format!("line {line}")).into_iter().collect();
            if seen.is_comment {
                notes.push("in a comment".to_owned());
            }
            if seen.value == Value::WellKnown {
                notes.push("a well-known default".to_owned());
            }
            // Its name says that it is a password, unless it does not.
            if seen.kind == Kind::Url {
                notes.push(seen.kind.name().to_owned());
            }
            if seen.kind == Kind::PrivateKey && !seen.setting.contains("private key") {
                notes.push(seen.kind.name().to_owned());
            }
            if notes.is_empty() {
                seen.setting.clone()
            } else {
                format!("{} ({})", seen.setting, notes.join(", "))
            }
        })
        .collect();
    match plain.len().saturating_sub(NAMED) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

/// What to type, in order.
fn remedy(seen: &Observation, exposure: Exposure, plain: &[&Sighting]) -> String {
    let path = &seen.place.path;
    let tool = family(&seen.place.product).tool;
    let mut steps: Vec<String> = Vec::new();
    let mut references: BTreeSet<&str> = BTreeSet::new();
    let mut entries: Vec<&str> = Vec::new();
    for instead in
        plain.iter().filter(|seen| !seen.is_comment).filter_map(|seen| seen.instead.as_ref())
    {
        match instead {
            Instead::Entry(entry) if !entries.contains(&entry.as_str()) => entries.push(entry),
            Instead::Entry(_) => {}
            Instead::Reference(name) => {
                references.insert(name);
            }
        }
    }
    let is_credential = plain.iter().any(|seen| seen.setting.starts_with("SetCredential="));
    if let Some(tool) = tool {
        let typed = entries.iter().copied().chain(references.iter().copied());
        let typed = typed.filter(|entry| is_typeable(entry) && !entry.ends_with('=')).take(NAMED);
        steps.extend(typed.map(|entry| format!("`{tool} {entry}`")));
    }
    if seen.place.form == Form::Container {
        steps.push(of_container(seen));
        return steps.join(", then ");
    }
    let first = references.iter().next().filter(|name| is_typeable(name));
    if let Some(name) = first {
        steps.push(format!("write `${{{name}}}` and its like in place of the values"));
    }
    if is_credential {
        steps.push("use `systemd-creds encrypt` and SetCredentialEncrypted=".to_owned());
    }
    let has = |kind: Kind| plain.iter().any(|seen| seen.kind == kind);
    if seen.place.form == Form::Other {
        if has(Kind::PrivateKey) {
            let is_text = plain.iter().any(|seen| seen.line.is_some());
            let form = if is_text { "" } else { " -inform DER" };
            steps.push(format!(
                "encrypt the key, `openssl pkcs8 -topk8{form} -in {path} -out {path}.new`, with its passphrase in the keystore, or move it onto an encrypted volume"
            ));
        }
        if has(Kind::Key) {
            steps.push(format!(
                "move {path} onto an encrypted volume, or its key into the keystore"
            ));
        }
    } else if first.is_none() || plain.iter().any(|seen| seen.is_comment) {
        steps.push(match exposure {
            Exposure::Memory | Exposure::MemoryOpen => {
                let whose = seen.place.service.as_ref().unwrap_or(&seen.place.product);
                format!("take it out of what starts {whose}, and restart it")
            }
            Exposure::Open | Exposure::PlainDisk | Exposure::NotProven | Exposure::Encrypted => {
                deletion(&path.to_string(), plain)
            }
        });
    }
    if exposure == Exposure::Open {
        steps.push(format!("`chmod o= {path}`"));
    }
    let lay_open = matches!(exposure, Exposure::Open | Exposure::PlainDisk | Exposure::MemoryOpen);
    if lay_open && !plain.iter().all(|seen| seen.kind == Kind::OpenFile) {
        steps.push("replace what has lain open by something new".to_owned());
    }
    steps.join(", then ")
}

/// What Docker keeps of a container goes with the container only. Its id names the directory.
fn of_container(seen: &Observation) -> String {
    /// As many digits as Docker shows.
    const SHOWN: usize = 12;
    let directory = seen.place.path.parent();
    let id = directory.as_ref().and_then(HostPath::file_name).map(String::from_utf8_lossy);
    let id = id.as_deref().and_then(|id| id.get(..SHOWN)).filter(|id| is_typeable(id));
    let id = id.unwrap_or("CONTAINER");
    format!(
        "save what only the container holds and remove it, `docker stop {id} && docker rm {id}`: Docker keeps its variables as long \
         as it has it. Make it anew with the secret in the keystore, or in a file on an encrypted volume that is mounted into it: \
         the images of Elasticsearch and of its like read NAME from the file in NAME_FILE (`--env ELASTIC_PASSWORD_FILE=/run/secrets/elastic`). \
         Replace what has lain open by something new"
    )
}

fn deletion(path: &str, plain: &[&Sighting]) -> String {
    let lines: BTreeSet<u64> = plain.iter().filter_map(|seen| seen.line).collect();
    let shown: Vec<String> = lines.iter().take(NAMED).map(u64::to_string).collect();
    match (lines.len(), lines.len() > NAMED) {
        (0, _) => format!("take it out of {path}"),
        (1, _) => format!("delete line {} of {path}", shown.join("")),
        (_, false) => format!("delete lines {} of {path}", shown.join(", ")),
        (_, true) => format!("delete lines {} and the others of {path}", shown.join(", ")),
    }
}

/// Names that go into a command as they are.
fn is_typeable(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-=".contains(&byte))
}

fn evidence(
    seen: &Observation,
    contents: &Contents,
    volume: &PathPosture,
) -> BTreeMap<String, String> {
    let plain = contents.sightings.iter().filter(|seen| seen.is_plain()).count();
    let mut evidence = vec![("secrets", plain.to_string())];
    if !seen.place.form.is_memory() {
        if let Observed::Known(file) = &seen.file {
            evidence.push(("mode", format!("{:04o}", file.mode)));
            evidence.push(("owner", seen.owner.clone()));
            evidence.push(("group", seen.group.clone()));
        }
        evidence.push(("verdict", volume.verdict.to_string()));
    }
    evidence.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::secret_fixture::{observation, password, volume};
    use super::*;
    use crate::snapshot::Trouble;

    const FILE: &str = "/etc/elasticsearch/elasticsearch.yml";

    fn judged(form: Form, sightings: Vec<Sighting>, verdict: Verdict) -> Finding {
        let contents = Contents { sightings, ..Contents::default() };
        judge(&observation(form, FILE, contents), &volume(verdict), &Policy::default()).unwrap()
    }

    fn twin(line: u64) -> Sighting {
        Sighting {
            instead: Some(Instead::Entry(
                "xpack.security.http.ssl.keystore.secure_password".to_owned(),
            )),
            ..password("xpack.security.http.ssl.keystore.password", line)
        }
    }

    #[test]
    fn what_docker_keeps_of_a_container_goes_with_it() {
        let path = "/var/lib/docker/containers/0123456789abcdef/config.v2.json";
        let variable = Sighting { line: None, ..password("ELASTIC_PASSWORD", 1) };
        let judged = |sightings, path: &str| {
            let contents = Contents { sightings, ..Contents::default() };
            let mut seen = observation(Form::Container, path, contents);
            seen.place.service = Some("elasticsearch:es-cold".to_owned());
            judge(&seen, &volume(Verdict::Unencrypted), &Policy::default()).unwrap()
        };
        let finding = judged(vec![variable.clone()], path);
        assert_eq!((finding.outcome, finding.severity), (Outcome::Fail, Severity::Medium));
        assert_eq!(finding.asset, format!("secrets:{path}"));
        assert!(
            finding.summary.contains(path)
                && finding.summary.contains("es-cold")
                && finding.summary.contains("ELASTIC_PASSWORD"),
            "{finding:?}"
        );
        assert!(finding.remedy.contains("docker rm 0123456789ab`"), "{finding:?}");
        let odd = judged(vec![variable], "/x/$(reboot) and more/config.v2.json");
        assert!(odd.remedy.contains("docker rm CONTAINER`"), "{odd:?}");
        assert_eq!(judged(Vec::new(), path).outcome, Outcome::Pass);
    }

    #[test]
    fn a_secret_fails_and_says_what_to_type() {
        let finding = judged(Form::Yaml, vec![twin(12)], Verdict::Unencrypted);
        assert_eq!((finding.outcome, finding.severity), (Outcome::Fail, Severity::Medium));
        assert!(
            finding.summary.contains("xpack.security.http.ssl.keystore.password (line 12)"),
            "{finding:?}"
        );
        assert!(
            finding.remedy.starts_with(
                "`/usr/share/elasticsearch/bin/elasticsearch-keystore add xpack.security.http.ssl.keystore.secure_password`, \
                 then delete line 12 of /etc/elasticsearch/elasticsearch.yml"
            ),
            "{}",
            finding.remedy
        );
        assert_eq!(finding.asset, "secrets:/etc/elasticsearch/elasticsearch.yml");
    }

    #[test]
    fn the_volume_and_the_mode_decide_how_much_it_weighs() {
        let weigh = |verdict| judged(Form::Yaml, vec![twin(1)], verdict).severity;
        assert_eq!(weigh(Verdict::Encrypted), Severity::Low);
        assert_eq!(weigh(Verdict::Unencrypted), Severity::Medium);
        assert_eq!(weigh(Verdict::Unknown), Severity::Medium);
        assert_eq!(weigh(Verdict::Claimed), Severity::Medium);
        let contents = Contents { sightings: vec![twin(1)], ..Contents::default() };
        let open = Observation { others_may_read: true, ..observation(Form::Yaml, FILE, contents) };
        let finding = judge(&open, &volume(Verdict::Encrypted), &Policy::default()).unwrap();
        assert_eq!(finding.severity, Severity::High);
        assert!(finding.remedy.contains("`chmod o= /etc/elasticsearch/elasticsearch.yml`"));
    }

    #[test]
    fn a_default_that_everybody_knows_is_worse() {
        let well_known = Sighting { value: Value::WellKnown, ..password("a.password", 3) };
        let finding = judged(Form::Yaml, vec![well_known], Verdict::Encrypted);
        assert_eq!(finding.severity, Severity::Medium);
        assert!(
            finding.summary.contains("a.password (line 3, a well-known default)"),
            "{}",
            finding.summary
        );
    }

    #[test]
    fn memory_weighs_less_and_an_argument_list_is_open() {
        let environment =
            judged(Form::Environment, vec![Sighting { line: None, ..twin(1) }], Verdict::Unknown);
        assert_eq!((environment.outcome, environment.severity), (Outcome::Fail, Severity::Low));
        assert_eq!(environment.asset, "environment:elasticsearch");
        assert!(environment.summary.contains("in memory"));
        let arguments = judged(Form::Arguments, vec![twin(1)], Verdict::Unknown);
        assert_eq!(arguments.severity, Severity::Medium);
        assert!(arguments.summary.contains("everybody on the host"));
    }

    #[test]
    fn a_comment_is_told_and_weighs_little() {
        let comment = Sighting { is_comment: true, ..password("a.password", 3) };
        let finding = judged(Form::Yaml, vec![comment], Verdict::Unencrypted);
        assert_eq!((finding.outcome, finding.severity), (Outcome::Fail, Severity::Info));
        assert!(finding.summary.contains("in a comment"));
    }

    #[test]
    fn references_and_nothing_pass() {
        let reference = Sighting { value: Value::Reference, ..password("a.password", 3) };
        let empty = Sighting { value: Value::Empty, ..password("b.password", 4) };
        let finding = judged(Form::Yaml, vec![reference, empty], Verdict::Unencrypted);
        assert_eq!(finding.outcome, Outcome::Pass);
        assert!(finding.summary.contains("one setting refers"), "{}", finding.summary);
        assert_eq!(judged(Form::Other, Vec::new(), Verdict::Unencrypted).outcome, Outcome::Pass);
    }

    #[test]
    fn what_was_come_across_is_told_when_it_holds_something() {
        let with = |sightings| {
            let contents = Contents { sightings, ..Contents::default() };
            let seen = Observation { is_named: false, ..observation(Form::Unit, FILE, contents) };
            judge(&seen, &volume(Verdict::Encrypted), &Policy::default()).map(|found| found.outcome)
        };
        assert_eq!(with(Vec::new()), None);
        assert_eq!(with(vec![twin(1)]), Some(Outcome::Fail));
    }

    #[test]
    fn a_long_list_is_cut() {
        let many: Vec<Sighting> =
            (1..=11).map(|line| password(&format!("a{line}.password"), line)).collect();
        let finding = judged(Form::Yaml, many, Verdict::Encrypted);
        assert!(finding.summary.contains("and 3 more"), "{}", finding.summary);
    }

    #[test]
    fn what_cannot_be_read_or_understood_is_unknown() {
        let broken = Contents { broken_at: Some(7), ..Contents::default() };
        let seen = observation(Form::Yaml, FILE, broken.clone());
        let finding = judge(&seen, &volume(Verdict::Encrypted), &Policy::default()).unwrap();
        assert_eq!(finding.outcome, Outcome::Unknown);
        assert!(finding.summary.contains("line 7"));
        let both = Contents { sightings: vec![password("a.password", 1)], ..broken };
        let finding = judge(
            &observation(Form::Yaml, FILE, both),
            &volume(Verdict::Encrypted),
            &Policy::default(),
        )
        .unwrap();
        assert_eq!(finding.outcome, Outcome::Fail);
        let mut hidden = observation(Form::Yaml, FILE, Contents::default());
        hidden.contents = Observed::Unreadable(Trouble::new(Reason::NoPermission, "no"));
        let finding = judge(&hidden, &volume(Verdict::Encrypted), &Policy::default()).unwrap();
        assert_eq!(
            (finding.outcome, finding.reasons),
            (Outcome::Unknown, vec![Reason::NoPermission])
        );
    }

    #[test]
    fn what_is_not_there_is_not_applicable() {
        let absent = |form| {
            let seen = Observation {
                contents: Observed::Absent,
                ..observation(form, FILE, Contents::default())
            };
            judge(&seen, &volume(Verdict::Encrypted), &Policy::default())
        };
        assert_eq!(absent(Form::Yaml).unwrap().outcome, Outcome::NotApplicable);
        assert_eq!(absent(Form::JavaOptions), None);
    }

    #[test]
    fn a_directory_passes_when_it_was_seen_whole() {
        let swept = |left_out: &[&str], found| {
            let left_out = left_out.iter().map(|text| (*text).to_owned()).collect();
            let swept = Some(Swept { entries: 9, found, left_out });
            let seen = observation(
                Form::Directory,
                "/etc/elasticsearch",
                Contents { swept, ..Contents::default() },
            );
            judge(&seen, &volume(Verdict::Encrypted), &Policy::default())
                .map(|finding| finding.outcome)
        };
        assert_eq!(swept(&[], 0), Some(Outcome::Pass));
        assert_eq!(swept(&[], 2), None);
        assert_eq!(swept(&["x"], 2), Some(Outcome::Unknown));
    }

    #[test]
    fn a_private_key_weighs_by_its_volume() {
        let key = Sighting { kind: Kind::PrivateKey, ..password("an unencrypted private key", 1) };
        assert_eq!(
            judged(Form::Other, vec![key.clone()], Verdict::Encrypted).severity,
            Severity::Low
        );
        let plain = judged(Form::Other, vec![key], Verdict::Unencrypted);
        assert_eq!(plain.severity, Severity::Medium);
        assert!(plain.remedy.contains("openssl pkcs8 -topk8"));
    }

    #[test]
    fn no_odd_name_gets_into_a_command() {
        let odd =
            Sighting { instead: Some(Instead::Entry("a;`x`".to_owned())), ..password("a", 1) };
        assert!(!judged(Form::Yaml, vec![odd], Verdict::Encrypted).remedy.contains("a;`x`"));
    }
}
