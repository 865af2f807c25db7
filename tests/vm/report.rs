//! What the tier prints: a line for each scenario as it ends, then the table of all, then counts.

use std::fmt;
use std::time::Duration;

use atrest_tests::vm::Truth;
use atrest_tests::vm::answer::Naive;
use atrest_tests::vm::judge;
use atrest_tests::vm::scenario::Scenario;
use atrest_tests::vm::table::{self, Row};

/// How a scenario went.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) scenario: &'static Scenario,
    pub(crate) truth: Option<Truth>,
    pub(crate) naive: Option<Naive>,
    pub(crate) ours: String,
    /// Whether the answer is the right one, pending or not.
    pub(crate) answered: bool,
    pub(crate) wrong: Vec<String>,
    pub(crate) skipped: Option<String>,
    pub(crate) took: Duration,
}

impl Outcome {
    pub(crate) fn new(scenario: &'static Scenario) -> Self {
        Self {
            scenario,
            truth: None,
            naive: None,
            ours: "-".to_owned(),
            answered: false,
            wrong: Vec::new(),
            skipped: None,
            took: Duration::ZERO,
        }
    }

    pub(crate) fn line(&self) -> String {
        let [truth, ours, theirs] = self.cells();
        let name = self.scenario.name;
        let took = self.took.as_secs_f64();
        let word = self.word();
        let kernel = self.scenario.kernel;
        let line = format!(
            "{name:<36} truth: {truth:<28} ours: {ours:<18} theirs: {theirs:<18} {word} ({took:.1} s, {kernel})"
        );
        let why = self.skipped.iter().map(|why| format!(": {why}"));
        let wrong = self.wrong.iter().map(|wrong| format!("\n    {wrong}"));
        std::iter::once(line).chain(why).chain(wrong).collect::<Vec<_>>().concat()
    }

    fn word(&self) -> &'static str {
        match (self.wrong.is_empty(), &self.skipped) {
            (false, _) => "FAILED",
            (true, Some(_)) => "skipped",
            (true, None) => "ok",
        }
    }

    fn cells(&self) -> [String; 3] {
        let theirs = match self.naive {
            Some(naive) if judge::naive_is_wrong(self.scenario, naive) => {
                format!("{} WRONG", naive.word())
            }
            Some(naive) => naive.word().to_owned(),
            None => "-".to_owned(),
        };
        let truth = self.truth.as_ref().map_or_else(|| "-".to_owned(), describe);
        let wrong = if self.wrong.is_empty() { "" } else { " WRONG" };
        [truth, format!("{}{wrong}", self.ours), theirs]
    }
}

/// Where plaintext was found, in few words.
fn describe(truth: &Truth) -> String {
    let contents: Vec<_> = truth.contents_on().collect();
    match (contents.is_empty(), truth.names()) {
        (true, false) => "nothing in plaintext".to_owned(),
        (true, true) => "names in plaintext".to_owned(),
        (false, _) => format!("plaintext on {}", contents.join(" ")),
    }
}

/// All outcomes.
#[derive(Debug)]
pub(crate) struct Report {
    outcomes: Vec<Outcome>,
    took: Duration,
    required: bool,
}

impl Report {
    pub(crate) fn new(outcomes: Vec<Outcome>, took: Duration, required: bool) -> Self {
        Self { outcomes, took, required }
    }

    /// Whether nothing failed. Where the tier is required, nothing may be skipped either.
    pub(crate) fn passed(&self) -> bool {
        let ok = |outcome: &Outcome| match outcome.word() {
            "ok" => true,
            "skipped" => !self.required,
            _ => false,
        };
        self.outcomes.iter().all(ok)
    }

    /// Whether every scenario was judged.
    pub(crate) fn is_complete(&self) -> bool {
        self.outcomes.iter().all(|outcome| outcome.word() != "skipped")
    }

    /// The table as Markdown.
    pub(crate) fn table(&self) -> String {
        let row = |outcome: &Outcome| {
            let [truth, ours, theirs] = outcome.cells();
            let Scenario { name, kernel, .. } = outcome.scenario;
            Row { name: (*name).to_owned(), kernel: kernel.to_string(), truth, ours, theirs }
        };
        table::render(&self.outcomes.iter().map(row).collect::<Vec<_>>())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:<36} {:<6} {:<28} {:<18} theirs", "scenario", "kernel", "truth", "ours")?;
        for outcome in &self.outcomes {
            let [truth, ours, theirs] = outcome.cells();
            let Scenario { name, kernel, .. } = outcome.scenario;
            writeln!(f, "{name:<36} {kernel:<6} {truth:<28} {ours:<18} {theirs}")?;
        }
        let count = |word| self.outcomes.iter().filter(|outcome| outcome.word() == word).count();
        let naive = self
            .outcomes
            .iter()
            .filter_map(|outcome| Some(judge::naive_is_wrong(outcome.scenario, outcome.naive?)));
        let (mut asked, mut wrong) = (0, 0);
        for is_wrong in naive {
            asked += 1;
            wrong += usize::from(is_wrong);
        }
        writeln!(f, "\ntheirs (`crypt` anywhere in `lsblk -s`): wrong on {wrong} of {asked}")?;
        for outcome in self.outcomes.iter().filter(|outcome| outcome.word() == "ok") {
            let (name, ours) = (outcome.scenario.name, &outcome.ours);
            match outcome.scenario.pending {
                Some(_) if outcome.answered => {
                    writeln!(f, "pending no more: {name} is answered right")?;
                }
                Some(why) => writeln!(f, "pending: {name}: {ours}: {why}")?,
                None => {}
            }
        }
        writeln!(f, "it took {:.0} s", self.took.as_secs_f64())?;
        // `tests/run.sh` adds such lines up.
        let (passed, failed, skipped) = (count("ok"), count("FAILED"), count("skipped"));
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// Prints for whoever runs the tier.
#[expect(clippy::print_stdout, reason = "a test binary without a harness reports by itself")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}
