//! Compares three things that must agree: what a scenario expects, what was found on the disks,
//! and what the agent said. Pure; every disagreement is a sentence.

use std::collections::BTreeSet;

use super::answer::{Finding, Naive, PathAnswer, Posture};
use super::scenario::{Question, Scenario, Verdict};
use super::truth::Truth;

/// What the agent said and how it ended.
#[derive(Debug, Clone)]
pub enum Ours {
    /// There is no agent to ask.
    Missing,
    /// It had to be given up on after so many seconds, whether it had answered or not.
    Stuck {
        /// How long it had.
        after: u32,
        /// Whether there was an answer that can be read.
        answered: bool,
    },
    /// It gave no answer that can be read.
    Broken(String),
    /// `check` with its exit code.
    Check(Vec<PathAnswer>, i32),
    /// `scan` with its exit code.
    Scan(Posture, i32),
}

/// Whether the disks are as the scenario says; if not, the scenario or the search is broken.
pub fn scenario(scenario: &Scenario, truth: &Truth) -> Vec<String> {
    let mut wrong = Vec::new();
    let expected = scenario.leaking_disks();
    let found: BTreeSet<_> = truth.contents_on().collect();
    if found != expected {
        wrong.push(format!("contents are on {}, not on {}", list(&found), list(&expected)));
    }
    let plain = matches!(scenario.verdict, Verdict::Unencrypted | Verdict::Partial);
    if plain && !truth.contents() && !truth.names() {
        wrong.push("nothing is found on the disks: the negative control failed".to_owned());
    }
    if matches!(scenario.verdict, Verdict::Encrypted | Verdict::Volatile) && truth.names() {
        wrong.push("file names are on the disks".to_owned());
    }
    wrong
}

/// What is wrong with the agent's answer.
pub fn ours(scenario: &Scenario, truth: &Truth, ours: &Ours) -> Vec<String> {
    match (ours, scenario.question) {
        (Ours::Missing, _) => Vec::new(),
        (Ours::Stuck { .. }, _) if scenario.pending.is_some() => Vec::new(),
        (Ours::Stuck { after, answered: false }, _) => vec![format!("no answer after {after} s")],
        (Ours::Stuck { after, answered: true }, _) => {
            vec![format!("it has answered, and has not ended after {after} s")]
        }
        (Ours::Broken(why), _) => vec![format!("no answer: {why}")],
        (Ours::Check(answers, exit), Question::Paths(paths) | Question::Process(_, paths)) => {
            check(scenario, paths, truth, answers, *exit)
        }
        (Ours::Scan(posture, exit), Question::Swap(asset)) => {
            swap(scenario, asset, truth, &posture.findings, *exit)
        }
        (Ours::Scan(posture, exit), Question::Place(usage, path)) => {
            place(scenario, usage, path, truth, posture, *exit)
        }
        (Ours::Check(..), Question::Swap(_) | Question::Place(..))
        | (Ours::Scan(..), Question::Paths(_) | Question::Process(..)) => {
            vec!["the answer to another question".to_owned()]
        }
    }
}

/// The agent's verdict in one word.
pub fn word(scenario: &Scenario, ours: &Ours) -> String {
    match (ours, scenario.question) {
        (Ours::Missing, _) => "agent missing".to_owned(),
        (Ours::Stuck { answered: true, .. }, _) => "no end".to_owned(),
        (Ours::Stuck { .. } | Ours::Broken(_), _)
        | (Ours::Scan(..), Question::Paths(_) | Question::Process(..)) => "no answer".to_owned(),
        (Ours::Check(answers, _), _) => {
            let about =
                |answer: &&PathAnswer| scenario.also.is_none_or(|(also, _)| answer.path != also);
            verdicts(answers.iter().filter(about))
        }
        (Ours::Scan(posture, _), Question::Swap(asset)) => {
            match swap_finding(&posture.findings, asset) {
                Some(finding) => swap_verdict(scenario, finding).to_string(),
                None => "no finding".to_owned(),
            }
        }
        (Ours::Scan(posture, _), Question::Place(usage, path)) => {
            let found = found(posture, usage, path);
            if found.is_empty() { "not found".to_owned() } else { verdicts(found) }
        }
    }
}

/// Whether the naive rule contradicts what is on the disks.
pub fn naive_is_wrong(scenario: &Scenario, naive: Naive) -> bool {
    match naive {
        Naive::Encrypted => scenario.verdict != Verdict::Encrypted,
        Naive::Unencrypted | Naive::Silent => scenario.verdict == Verdict::Encrypted,
    }
}

fn verdicts<'a>(answers: impl IntoIterator<Item = &'a PathAnswer>) -> String {
    let verdicts = answers.into_iter().map(|answer| answer.verdict.to_string());
    verdicts.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join("/")
}

fn check(
    scenario: &Scenario,
    asked: &[&str],
    truth: &Truth,
    answers: &[PathAnswer],
    exit: i32,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let answered: Vec<_> = answers.iter().map(|answer| answer.path.as_str()).collect();
    let asked: Vec<_> = asked.iter().copied().chain(scenario.also.map(|(also, _)| also)).collect();
    let escaped: Vec<_> = asked.iter().map(|path| escaped(path)).collect();
    if answered != asked && answered != escaped {
        wrong.push(format!("asked about {asked:?}, answered {answered:?}"));
    }
    wrong.extend(answers.iter().flat_map(|answer| path(scenario, truth, answer)));
    let verdicts = answers.iter().map(|answer| answer.verdict.exit_code());
    // Failing outranks not knowing, which outranks passing.
    let expected = verdicts.max_by_key(|code| (*code == 1, *code)).unwrap_or(0);
    if exit != expected {
        wrong.push(format!("exit code {exit}, not {expected}"));
    }
    wrong
}

/// What is wrong with what was said of one path.
fn path(scenario: &Scenario, truth: &Truth, answer: &PathAnswer) -> Vec<String> {
    let mut wrong = Vec::new();
    let path = &answer.path;
    if let Some((_, right)) = scenario.also.filter(|(also, _)| path == also) {
        // The disks say what is true of all paths together.
        if answer.verdict != right && !open_question(scenario, answer.verdict) {
            wrong.push(format!("{path:?} is {right}, not {}", answer.verdict));
        }
        return wrong;
    }
    wrong.extend(against_truth(answer.verdict, truth, path));
    if open_question(scenario, answer.verdict) {
        return wrong;
    }
    if answer.verdict != scenario.verdict {
        wrong.push(format!("{path:?} is {}, not {}", scenario.verdict, answer.verdict));
    }
    let reasons: BTreeSet<_> = answer.reasons.iter().map(String::as_str).collect();
    let expected = scenario.reasons.iter().copied().collect();
    if reasons != expected {
        let (reasons, expected) = (list(&reasons), list(&expected));
        wrong.push(format!("the reasons for {path:?} are {expected}, not {reasons}"));
    }
    let plain = answer.plain();
    let expected = scenario.plain.iter().copied().collect();
    if plain != expected {
        let (plain, expected) = (list(&plain), list(&expected));
        wrong.push(format!("plain under {path:?} is {expected}, not {plain}"));
    }
    wrong
}

/// What a scan says of a path that it had to find. Two services that use one path must get one answer.
fn found<'a>(posture: &'a Posture, usage: &str, path: &str) -> Vec<&'a PathAnswer> {
    let places = posture.paths.iter().filter(|place| place.usage == usage);
    places.map(|place| &place.answer).filter(|answer| answer.path == path).collect()
}

fn place(
    scenario: &Scenario,
    usage: &str,
    asked: &str,
    truth: &Truth,
    posture: &Posture,
    exit: i32,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for asked in [asked].into_iter().chain(scenario.also.map(|(also, _)| also)) {
        let answers = found(posture, usage, asked);
        if answers.is_empty() {
            let places: Vec<_> = posture
                .paths
                .iter()
                .map(|place| format!("{}:{}", place.usage, place.answer.path))
                .collect();
            wrong.push(format!("{usage}:{asked} is not found, only {places:?}"));
        }
        wrong.extend(answers.into_iter().flat_map(|answer| path(scenario, truth, answer)));
    }
    // The code is that of the whole host, of which the scenario tells a part.
    let fails = found(posture, usage, asked).iter().any(|answer| answer.verdict.exit_code() == 1);
    if ![0, 1, 3].contains(&exit) || (fails && exit != 1) {
        wrong.push(format!("exit code {exit}, and whether {usage}:{asked} fails: {fails}"));
    }
    wrong
}

fn swap(
    scenario: &Scenario,
    asset: &str,
    truth: &Truth,
    findings: &[Finding],
    exit: i32,
) -> Vec<String> {
    let Some(finding) = swap_finding(findings, asset) else {
        let swaps = findings.iter().filter(|finding| finding.check == "swap_encrypted");
        let assets: Vec<_> = swaps.map(|finding| finding.asset.as_str()).collect();
        return vec![format!("no swap_encrypted finding about {asset}, only about {assets:?}")];
    };
    let verdict = swap_verdict(scenario, finding);
    let mut wrong: Vec<_> = against_truth(verdict, truth, asset).into_iter().collect();
    if verdict != scenario.verdict && !open_question(scenario, verdict) {
        wrong.push(format!("swap_encrypted is {} for {asset}", finding.outcome));
    }
    let failed = findings.iter().any(|finding| finding.outcome == "fail");
    if (exit == 1) != failed || ![0, 1, 3].contains(&exit) {
        wrong.push(format!("exit code {exit}, and failures among the findings: {failed}"));
    }
    wrong
}

/// The verdict behind an outcome. A finding does not tell encrypted and volatile apart.
fn swap_verdict(scenario: &Scenario, finding: &Finding) -> Verdict {
    match finding.outcome.as_str() {
        "pass" if scenario.verdict == Verdict::Volatile => Verdict::Volatile,
        "pass" => Verdict::Encrypted,
        "fail" => Verdict::Unencrypted,
        _ => Verdict::Unknown,
    }
}

/// Control characters as the agent may print them.
fn escaped(path: &str) -> String {
    let escape = |c: char| {
        if c.is_control() { format!("\\x{:02x}", u32::from(c)) } else { c.to_string() }
    };
    path.chars().map(escape).collect::<Vec<_>>().concat()
}

/// The finding about a swap area; an asset may carry its kind before the device.
fn swap_finding<'a>(findings: &'a [Finding], device: &str) -> Option<&'a Finding> {
    findings
        .iter()
        .find(|finding| finding.check == "swap_encrypted" && finding.asset.ends_with(device))
}

/// A verdict that the disks contradict. The first of these is the worst bug of the product.
fn against_truth(verdict: Verdict, truth: &Truth, path: &str) -> Option<String> {
    let found = truth.contents() || truth.names();
    match verdict {
        Verdict::Encrypted | Verdict::Volatile if found => {
            let disks: BTreeSet<_> = truth.disks.keys().map(String::as_str).collect();
            Some(format!(
                "!!! A FALSE PASS !!! {path:?} is called {verdict}, and its plaintext is on {}",
                list(&disks)
            ))
        }
        Verdict::Partial | Verdict::Unencrypted if !found => {
            Some(format!("a false alarm: {path:?} is called {verdict}, and nothing is found"))
        }
        Verdict::Encrypted
        | Verdict::Volatile
        | Verdict::Partial
        | Verdict::Unencrypted
        | Verdict::Claimed
        | Verdict::Unknown => None,
    }
}

/// Not knowing is allowed where the agent has not learned the stack yet.
fn open_question(scenario: &Scenario, verdict: Verdict) -> bool {
    scenario.pending.is_some() && verdict == Verdict::Unknown
}

fn list(words: &BTreeSet<&str>) -> String {
    if words.is_empty() {
        return "nothing".to_owned();
    }
    words.iter().copied().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::answer;
    use super::super::truth::Found;
    use super::*;

    const PLAIN: Scenario =
        Scenario::new("plain", "").unencrypted(&["plain_device"], &["/dev/vda"]);

    fn leak(disks: &[&str]) -> Truth {
        let found = Found { contents: true, names: true };
        Truth { disks: disks.iter().map(|disk| ((*disk).to_owned(), found)).collect() }
    }

    fn answer(verdict: &str, reasons: &str, plain: &str) -> Vec<PathAnswer> {
        let json = format!(
            r#"{{"schema":"atrest.check/1","paths":[{{"path":"/data","verdict":"{verdict}",
                "reasons":[{reasons}],"plain":[{plain}]}}]}}"#
        );
        answer::check(&json).unwrap()
    }

    #[test]
    fn the_right_answer_is_right() {
        let right = answer("unencrypted", r#""plain_device""#, r#"{"device":"/dev/vda"}"#);
        assert_eq!(scenario(&PLAIN, &leak(&["vda"])), [""; 0]);
        assert_eq!(ours(&PLAIN, &leak(&["vda"]), &Ours::Check(right, 1)), [""; 0]);
    }

    #[test]
    fn a_false_pass_is_the_loudest_failure_even_where_the_scenario_agrees() {
        let expecting = Scenario::new("x", "").encrypted();
        let wrong = ours(&expecting, &leak(&["vdb"]), &Ours::Check(answer("encrypted", "", ""), 0));
        assert!(wrong[0].contains("A FALSE PASS"), "{wrong:?}");
        assert_eq!(scenario(&expecting, &leak(&["vdb"])).len(), 2);
    }

    #[test]
    fn alarms_devices_reasons_and_exit_codes_are_compared() {
        let nothing = answer("unencrypted", "", "");
        let wrong = ours(&PLAIN, &leak(&[]), &Ours::Check(nothing, 0));
        assert_eq!(wrong.len(), 4, "{wrong:?}");
        assert!(scenario(&PLAIN, &leak(&[])).concat().contains("negative control"));
        assert_eq!(scenario(&PLAIN, &leak(&["vdb"])), ["contents are on vdb, not on vda"]);
    }

    #[test]
    fn another_path_has_a_verdict_of_its_own() {
        let json = |other: &str| {
            format!(
                r#"{{"schema":"atrest.check/1","paths":[
                {{"path":"/data","verdict":"unknown","reasons":["timeout"],"plain":[]}},
                {{"path":"/other","verdict":"{other}","reasons":[],"plain":[]}}]}}"#
            )
        };
        let stuck = Scenario::new("x", "").unknown(&["timeout"]);
        let stuck = stuck.also("/other", Verdict::Encrypted);
        let said = |other: &str| Ours::Check(answer::check(&json(other)).unwrap(), 3);
        let plaintext = leak(&["vda"]);
        assert_eq!(ours(&stuck, &plaintext, &said("encrypted")), [""; 0]);
        assert_eq!(word(&stuck, &said("encrypted")), "unknown");
        assert_eq!(ours(&stuck, &plaintext, &said("unknown")).len(), 1);
        let pending = stuck.pending("not yet");
        assert_eq!(ours(&pending, &plaintext, &said("unknown")), [""; 0]);
        assert_eq!(ours(&pending, &plaintext, &said("volatile")).len(), 1);
    }

    #[test]
    fn being_stuck_is_forgiven_only_while_pending() {
        let scenario = Scenario::new("x", "").unknown(&["timeout"]).within(60);
        let stuck = |answered| Ours::Stuck { after: 60, answered };
        assert_eq!(ours(&scenario, &leak(&[]), &stuck(false)), ["no answer after 60 s"]);
        assert_eq!(ours(&scenario, &leak(&[]), &stuck(true)).len(), 1);
        let pending = scenario.pending("not yet");
        assert_eq!(ours(&pending, &leak(&[]), &stuck(false)), [""; 0]);
        assert_eq!(
            [true, false].map(|answered| word(&pending, &stuck(answered))),
            ["no end", "no answer"]
        );
    }

    #[test]
    fn only_a_pending_scenario_may_be_unknown() {
        let unknown = || Ours::Check(answer("unknown", r#""unknown_target""#, ""), 3);
        assert!(!ours(&PLAIN, &leak(&["vda"]), &unknown()).is_empty());
        let pending = PLAIN.pending("not yet");
        assert_eq!(ours(&pending, &leak(&["vda"]), &unknown()), [""; 0]);
    }

    #[test]
    fn swap_is_judged_by_its_finding() {
        let plain = PLAIN.swap("/dev/vda");
        let finding = |outcome: &str| Finding {
            check: "swap_encrypted".into(),
            outcome: outcome.into(),
            asset: "/dev/vda".into(),
        };
        let scan = |findings| Posture { findings, ..Posture::default() };
        let said = |outcome: &str, exit| Ours::Scan(scan(vec![finding(outcome)]), exit);
        assert_eq!(ours(&plain, &leak(&["vda"]), &said("fail", 1)), [""; 0]);
        let wrong = ours(&plain, &leak(&["vda"]), &said("pass", 0));
        assert!(wrong[0].contains("A FALSE PASS"), "{wrong:?}");
        assert_eq!(ours(&plain, &leak(&["vda"]), &Ours::Scan(scan(Vec::new()), 0)).len(), 1);
    }

    /// A scan that found places, each with a use, a path and a verdict; what is not encrypted is so by vda.
    fn posture(places: &[(&str, &str, &str)], exit: i32) -> Ours {
        let place = |(usage, path, verdict): &(&str, &str, &str)| {
            let (reasons, plain) = match *verdict {
                "encrypted" => ("", ""),
                _ => (r#""plain_device""#, r#"{"device":"/dev/vda"}"#),
            };
            format!(
                r#"{{"use":"{usage}","path":"{path}","verdict":"{verdict}","reasons":[{reasons}],"plain":[{plain}]}}"#
            )
        };
        let places = places.iter().map(place).collect::<Vec<_>>().join(",");
        let json = format!(r#"{{"schema":"atrest.posture/1","paths":[{places}],"findings":[]}}"#);
        Ours::Scan(answer::scan(&json).unwrap(), exit)
    }

    #[test]
    fn a_place_is_judged_by_its_use_and_path() {
        let logs = PLAIN.finding("logs", "/logs");
        let truth = leak(&["vda"]);
        let plain = ("logs", "/logs", "unencrypted");
        let others = [("data", "/logs", "encrypted"), ("logs", "/other", "encrypted")];
        assert_eq!(ours(&logs, &truth, &posture(&[plain, others[0], others[1]], 1)), [""; 0]);
        assert_eq!(word(&logs, &posture(&[plain], 1)), "unencrypted");
        let missing = posture(&others, 1);
        assert!(ours(&logs, &truth, &missing)[0].contains("logs:/logs is not found"));
        assert_eq!(word(&logs, &missing), "not found");
        let wrong = ours(&logs, &truth, &posture(&[plain, ("logs", "/logs", "encrypted")], 1));
        assert!(wrong[0].contains("A FALSE PASS"), "{wrong:?}");
        // Something else may be why a scan fails, but what fails must show in its code.
        assert_eq!(ours(&logs, &truth, &posture(&[plain], 0)).len(), 1);
        assert_eq!(ours(&logs, &truth, &posture(&[plain], 70)).len(), 1);
        let encrypted = Scenario::new("x", "").encrypted().finding("logs", "/logs");
        let passes = posture(&[("logs", "/logs", "encrypted")], 1);
        assert_eq!(ours(&encrypted, &leak(&[]), &passes), [""; 0]);
    }

    #[test]
    fn a_second_place_of_the_same_use_has_a_verdict_of_its_own() {
        let two = PLAIN.finding("data", "/b").also("/a", Verdict::Encrypted);
        let truth = leak(&["vda"]);
        let plain = ("data", "/b", "unencrypted");
        assert_eq!(ours(&two, &truth, &posture(&[plain, ("data", "/a", "encrypted")], 1)), [""; 0]);
        assert_eq!(ours(&two, &truth, &posture(&[plain], 1)).len(), 1);
        let wrong = posture(&[plain, ("data", "/a", "unencrypted")], 1);
        assert_eq!(ours(&two, &truth, &wrong), [r#""/a" is encrypted, not unencrypted"#]);
    }

    #[test]
    fn the_naive_rule_is_wrong_on_a_mixed_stack() {
        let mixed = Scenario::new("x", "").partial(&[], &[]);
        assert!(naive_is_wrong(&mixed, Naive::Encrypted));
        assert!(!naive_is_wrong(&PLAIN, Naive::Unencrypted));
        assert!(naive_is_wrong(&mixed.encrypted(), Naive::Silent));
    }
}
