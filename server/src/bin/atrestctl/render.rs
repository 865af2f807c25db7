//! What ends up on the screen: aligned tables, colour only for people, JSON for programs.

use std::io::{self, IsTerminal as _, Write as _};

use atrest_proto::convert::timestamp_from_wire;
use jiff::Timestamp;
use serde::Serialize;

use crate::cli::Format;
use crate::sheet::sheet;

/// How a word is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Doubt,
    Bad,
    /// Beside the point.
    Faint,
    Heading,
}

impl Tone {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "\x1b[32m",
            Self::Doubt => "\x1b[33m",
            Self::Bad => "\x1b[1;31m",
            Self::Faint => "\x1b[2m",
            Self::Heading => "\x1b[1m",
        }
    }

    /// How the words of verdicts, states, outcomes and severities are meant.
    pub(crate) fn of(word: &str) -> Self {
        match word {
            "encrypted" | "pass" | "volatile" | "delivered" | "resolved" | "done" => Self::Good,
            "unencrypted" | "partial" | "fail" | "critical" | "high" | "firing" | "failed"
            | "revoked" | "denied" => Self::Bad,
            "unknown" | "claimed" | "stale" | "medium" | "pending" | "expired" | "used up" => {
                Self::Doubt
            }
            _ => Self::Plain,
        }
    }
}

/// A piece of text and how it is meant.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub(crate) fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: clean(&text.into()), tone }
    }

    /// A word of the contract, in its colour.
    pub(crate) fn word(word: impl Into<String>) -> Self {
        let word = word.into();
        let tone = Tone::of(&word);
        Self::new(word, tone)
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// Hosts name things; a terminal must not take a name for a command.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Collects what is printed, and prints it.
#[derive(Debug)]
pub(crate) struct Screen {
    format: Format,
    colour: bool,
    out: String,
}

impl Screen {
    pub(crate) fn stdout(format: Format) -> Self {
        let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { format, colour, out: String::new() }
    }

    #[cfg(test)]
    pub(crate) const fn plain() -> Self {
        Self { format: Format::Text, colour: false, out: String::new() }
    }

    #[cfg(test)]
    pub(crate) fn text(&self) -> &str {
        &self.out
    }

    /// Whether programs read this.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Prints as JSON and returns true, when that was asked for.
    pub(crate) fn json<T: Serialize>(&mut self, value: &T) -> anyhow::Result<bool> {
        if self.format != Format::Json {
            return Ok(false);
        }
        self.out.push_str(&serde_json::to_string_pretty(value)?);
        self.out.push('\n');
        Ok(true)
    }

    /// Text as it is, for programs.
    pub(crate) fn raw(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// Prints these fields of each row as CSV and returns true, when that was asked for.
    pub(crate) fn csv<T: Serialize>(
        &mut self,
        columns: &[&str],
        rows: &[T],
    ) -> anyhow::Result<bool> {
        if self.format != Format::Csv {
            return Ok(false);
        }
        self.out.push_str(&sheet(columns, rows)?);
        Ok(true)
    }

    pub(crate) fn line(&mut self, text: &str) {
        self.row(&[text.into()]);
    }

    /// Cells beside each other, with one space between.
    pub(crate) fn row(&mut self, cells: &[Cell]) {
        for (at, cell) in cells.iter().enumerate() {
            if at > 0 {
                self.out.push(' ');
            }
            self.cell(cell, 0);
        }
        self.out.push('\n');
    }

    fn cell(&mut self, cell: &Cell, width: usize) {
        let coloured = self.colour && cell.tone != Tone::Plain;
        if coloured {
            self.out.push_str(cell.tone.code());
        }
        self.out.push_str(&cell.text);
        if coloured {
            self.out.push_str("\x1b[0m");
        }
        let missing = width.saturating_sub(cell.text.chars().count());
        self.out.extend(std::iter::repeat_n(' ', missing));
    }

    /// Columns as wide as their widest cell, below their headings.
    pub(crate) fn table(&mut self, headings: &[&str], rows: &[Vec<Cell>]) {
        let headings: Vec<_> =
            headings.iter().map(|heading| Cell::new(*heading, Tone::Heading)).collect();
        let widths: Vec<_> = (0..headings.len())
            .map(|column| {
                std::iter::once(&headings)
                    .chain(rows)
                    .filter_map(|row| row.get(column))
                    .map(|cell| cell.text.chars().count())
                    .max()
                    .unwrap_or_default()
            })
            .collect();
        for row in std::iter::once(&headings).chain(rows) {
            for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let last = at + 1 == widths.len();
                self.cell(cell, if last { 0 } else { width + 2 });
            }
            self.out.truncate(self.out.trim_end_matches(' ').len());
            self.out.push('\n');
        }
    }

    /// Prints what was collected so far.
    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(self.out.as_bytes())?;
        stdout.flush()?;
        self.out.clear();
        Ok(())
    }

    pub(crate) fn finish(&mut self) -> anyhow::Result<()> {
        self.flush()
    }
}

/// A time from the wire; what is not one is not shown.
pub(crate) fn time(at: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    timestamp_from_wire(at, "time").ok()
}

/// How long ago, in one unit.
pub(crate) fn ago(at: Option<Timestamp>, now: Timestamp) -> String {
    let Some(at) = at else { return "never".to_owned() };
    let seconds = now.duration_since(at).as_secs();
    match seconds {
        ..0 => format!("in {}", span(-seconds)),
        _ => format!("{} ago", span(seconds)),
    }
}

/// A length of time, in one unit.
pub(crate) fn span(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A number of things: one host, two hosts.
pub(crate) fn count(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// A time to the second.
pub(crate) fn exact(at: Option<Timestamp>) -> String {
    at.map(|at| format!("{at:.0}")).unwrap_or_default()
}

/// What the machine's clock says.
pub(crate) fn now() -> Timestamp {
    atrest_server::clock::Clock::system().now()
}

/// A time some seconds ago, for tests of what is printed.
#[cfg(test)]
pub(crate) fn before(now: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_second(now.as_second() - seconds).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn columns_line_up_and_names_cannot_steer_the_terminal() {
        let mut screen = Screen::plain();
        screen.table(
            &["STATE", "NODE"],
            &[
                vec![Cell::word("unencrypted"), "es\x1b[31m-1".into()],
                vec![Cell::word("encrypted"), "größer".into()],
            ],
        );
        expect![[r"
            STATE        NODE
            unencrypted  es�[31m-1
            encrypted    größer
        "]]
        .assert_eq(screen.text());
    }

    #[test]
    fn time_is_told_in_one_unit() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let told: Vec<_> =
            [5, 90, 7_200, 200_000, -30].map(|seconds| ago(Some(before(now, seconds)), now)).into();
        assert_eq!(told, ["5 s ago", "1 min ago", "2 h ago", "2 d ago", "in 30 s"]);
        assert_eq!(ago(None, now), "never");
    }
}
