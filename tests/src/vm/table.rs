//! The table that the project publishes: for each scenario what is true, what the agent says, and
//! what the naive rule says. Made by the tier, kept in the repository, and held to the scenarios.

use std::fmt::Write as _;

use super::scenario::{Scenario, Verdict};

const HEAD: &str = "\
# Truth, ours, theirs

Made by the VM tier (`cargo test -p atrest-tests --test vm`): each stack is built on a real kernel, a marker is written
through it, and *truth* is where the raw disks hold it; *ours* is the agent's verdict, *theirs* that of `crypt` anywhere in `lsblk -s`.

| scenario | kernel | truth | ours | theirs |
|---|---|---|---|---|
";

/// How one scenario went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The scenario's name.
    pub name: String,
    /// The flavour of its kernel.
    pub kernel: String,
    /// Where plaintext was found.
    pub truth: String,
    /// The agent's verdict.
    pub ours: String,
    /// What the naive rule says.
    pub theirs: String,
}

/// The table as Markdown.
pub fn render(rows: &[Row]) -> String {
    let mut table = HEAD.to_owned();
    for Row { name, kernel, truth, ours, theirs } in rows {
        // Writing to a string cannot fail.
        writeln!(table, "| {name} | {kernel} | {truth} | {ours} | {theirs} |").ok();
    }
    table
}

/// What a published table says of other scenarios than these, or says wrongly.
pub fn differences(table: &str, scenarios: &[&Scenario]) -> Vec<String> {
    let rows = read(table);
    let mut wrong = Vec::new();
    for scenario in scenarios {
        match rows.iter().find(|row| row.name == scenario.name) {
            None => wrong.push(format!("{} is not in it", scenario.name)),
            Some(row) => wrong.extend(row_differs(row, scenario)),
        }
    }
    for row in &rows {
        if !scenarios.iter().any(|scenario| scenario.name == row.name) {
            wrong.push(format!("{} is in it and is no scenario", row.name));
        }
    }
    wrong
}

fn row_differs(row: &Row, scenario: &Scenario) -> Option<String> {
    let right = scenario.verdict.to_string();
    let unknown = scenario.pending.is_some() && row.ours == Verdict::Unknown.to_string();
    let stuck = scenario.pending.is_some() && ["no answer", "no end"].contains(&row.ours.as_str());
    if row.ours != right && !unknown && !stuck {
        return Some(format!("{} is {right}, and it says {}", row.name, row.ours));
    }
    let kernel = scenario.kernel.to_string();
    (row.kernel != kernel)
        .then(|| format!("{} needs the {kernel} kernel, and it says {}", row.name, row.kernel))
}

fn read(table: &str) -> Vec<Row> {
    let row = |line: &str| {
        let line = line.strip_prefix("| ")?.strip_suffix(" |")?;
        let mut cells = line.split(" | ").map(str::to_owned);
        let row = Row {
            name: cells.next()?,
            kernel: cells.next()?,
            truth: cells.next()?,
            ours: cells.next()?,
            theirs: cells.next()?,
        };
        (row.name != "scenario").then_some(row)
    };
    table.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, ours: &str) -> Row {
        Row {
            name: name.to_owned(),
            kernel: "cloud".to_owned(),
            truth: "nothing in plaintext".to_owned(),
            ours: ours.to_owned(),
            theirs: "no answer".to_owned(),
        }
    }

    const A: Scenario = Scenario::new("a", "").encrypted();

    #[test]
    fn what_was_rendered_is_read_back() {
        let rows = [row("a", "encrypted"), row("b", "unknown")];
        assert_eq!(read(&render(&rows)), rows);
        assert_eq!(differences(&render(&rows[..1]), &[&A]), [""; 0]);
    }

    #[test]
    fn missing_surplus_and_wrong_rows_are_told() {
        let table = render(&[row("a", "unencrypted"), row("c", "encrypted")]);
        let wrong = differences(&table, &[&A, &Scenario::new("b", "")]);
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        let stock = A.on(super::super::Flavour::Stock);
        assert_eq!(differences(&render(&[row("a", "encrypted")]), &[&stock]).len(), 1);
    }

    #[test]
    fn a_pending_scenario_may_be_published_as_unknown() {
        let table = render(&[row("a", "unknown")]);
        assert_eq!(differences(&table, &[&A]).len(), 1);
        assert_eq!(differences(&table, &[&A.pending("not yet")]), [""; 0]);
    }
}
