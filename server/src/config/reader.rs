//! Reads TOML key by key and collects everything that is wrong with it, with its line.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Something wrong with the configuration, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// 1 for the first line; `None` when it is not about a line.
    pub line: Option<usize>,
    pub what: String,
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, what, remedy } = self;
        if let Some(line) = line {
            write!(f, "{line}: ")?;
        }
        write!(f, "{what}: {remedy}")
    }
}

/// The text, and what is wrong with it so far.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    text: &'a str,
    problems: Vec<Problem>,
    /// Every key that was ever asked for: the reference configuration must name them all.
    known: BTreeSet<String>,
}

/// A table that is being read: what remains in it at the end is unknown.
pub(super) struct Section<'a> {
    path: String,
    start: usize,
    table: DeTable<'a>,
    known: Vec<&'static str>,
}

/// A value as it stood, and where.
type Value<'a> = Spanned<DeValue<'a>>;

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, problems: Vec::new(), known: BTreeSet::new() }
    }

    /// The whole file. Syntax errors are problems like others; what could be read is read.
    pub(super) fn root(&mut self) -> Section<'a> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let line = error.span().map(|span| self.line(span.start));
            self.problems.push(Problem {
                line,
                what: "not valid TOML".to_owned(),
                remedy: error.message().trim().replace('\n', ", "),
            });
        }
        Section { path: String::new(), start: 0, table: table.into_inner(), known: Vec::new() }
    }

    pub(super) fn problem(&mut self, at: usize, what: String, remedy: impl Into<String>) {
        let line = Some(self.line(at));
        self.problems.push(Problem { line, what, remedy: remedy.into() });
    }

    pub(super) fn finish(self) -> (Vec<Problem>, BTreeSet<String>) {
        let mut problems = self.problems;
        problems.sort();
        (problems, self.known)
    }

    fn line(&self, at: usize) -> usize {
        1 + self.text.bytes().take(at).filter(|byte| *byte == b'\n').count()
    }
}

impl<'a> Section<'a> {
    fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn take(&mut self, reader: &mut Reader<'a>, key: &'static str) -> Option<Value<'a>> {
        self.known.push(key);
        reader.known.insert(self.name(key));
        self.table.remove(key)
    }

    /// The position of the section itself, for problems about what is missing in it.
    pub(super) const fn start(&self) -> usize {
        self.start
    }

    /// A value that `parse` understands, or its default. `expected` says what to write.
    pub(super) fn value<T>(
        &mut self,
        reader: &mut Reader<'a>,
        key: &'static str,
        expected: &str,
        parse: impl FnOnce(&DeValue<'_>) -> Option<T>,
    ) -> Option<T> {
        let value = self.take(reader, key)?;
        let parsed = parse(value.get_ref());
        if parsed.is_none() {
            let what = format!("`{}` is {}", self.name(key), show(value.get_ref()));
            reader.problem(value.span().start, what, format!("write {expected}"));
        }
        parsed
    }

    /// A sub-table; empty when there is none.
    pub(super) fn section(&mut self, reader: &mut Reader<'a>, key: &'static str) -> Self {
        let path = self.name(key);
        let value = self.take(reader, key);
        let (start, table) = match value {
            None => (self.start, DeTable::new()),
            Some(value) => self.table(reader, &path, value),
        };
        Self { path, start, table, known: Vec::new() }
    }

    /// The tables of an array of tables.
    pub(super) fn sections(&mut self, reader: &mut Reader<'a>, key: &'static str) -> Vec<Self> {
        let path = self.name(key);
        let Some(value) = self.take(reader, key) else { return Vec::new() };
        let at = value.span().start;
        let DeValue::Array(array) = value.into_inner() else {
            let what = format!("`{path}` is not a list of tables");
            reader.problem(at, what, format!("write `[[{path}]]` above its keys"));
            return Vec::new();
        };
        let read = |value| {
            let (start, table) = self.table(reader, &path, value);
            Self { path: path.clone(), start, table, known: Vec::new() }
        };
        array.into_iter().map(read).collect()
    }

    fn table(&self, reader: &mut Reader<'a>, path: &str, value: Value<'a>) -> (usize, DeTable<'a>) {
        let at = value.span().start;
        let DeValue::Table(table) = value.into_inner() else {
            let remedy = format!("write `[{path}]` above its keys");
            reader.problem(at, format!("`{path}` is not a table"), remedy);
            return (self.start, DeTable::new());
        };
        (at, table)
    }

    /// What was not asked for is unknown.
    pub(super) fn end(self, reader: &mut Reader<'a>) {
        for key in self.table.keys() {
            let name = self.name(key.get_ref());
            let near = self.known.iter().find(|known| alike(known, key.get_ref()));
            let remedy = match near {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("the keys here are {}", self.known.join(", ")),
            };
            reader.problem(key.span().start, format!("unknown key `{name}`"), remedy);
        }
    }
}

fn show(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("\"{text}\""),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Boolean(word) => word.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Datetime(at) => at.to_string(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// Whether two keys differ by a slip: one letter, or dashes for underscores.
fn alike(known: &str, found: &str) -> bool {
    let found = found.replace('-', "_").to_lowercase();
    let (long, short) =
        if known.len() >= found.len() { (known, &*found) } else { (&*found, known) };
    if long.len() - short.len() > 2 {
        return false;
    }
    let prefix = long.bytes().zip(short.bytes()).take_while(|(a, b)| a == b).count();
    let suffix = long.bytes().rev().zip(short.bytes().rev()).take_while(|(a, b)| a == b).count();
    prefix + suffix + 2 >= long.len()
}
