//! Settings in YAML with the lines that they stand on: nested, dotted, in lists, behind aliases, twice.
//!
//! The events of the parser, and no tree: what comes before a mistake counts, and the rest is looked through line by
//! line. Duplicate keys are all seen. Bounded in depth and in the number of settings, since aliases multiply them.

use std::collections::BTreeMap;

use granit_parser::{Event, Parser};
use zeroize::Zeroizing;

use super::{Collector, Leaf, Naming, pipeline, scan};

/// A bigger file is not read: the products' own are a few KiB.
pub(crate) const MAX_SIZE: usize = 1 << 20;
/// Deeper than any settings.
const MAX_DEPTH: usize = 32;
/// What aliases repeat counts each time.
const MAX_SETTINGS: usize = 20_000;
/// What is kept of anchors for the aliases to come.
const MAX_REPEATED: usize = 2_000;

/// Reads the settings of a file.
pub(crate) fn read(bytes: &[u8], collector: &mut Collector<'_>) {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = valid.split(|byte| *byte == b'\n').count();
            collector.broken_at(u64::try_from(line).unwrap_or(u64::MAX));
            let text = Zeroizing::new(String::from_utf8_lossy(bytes).into_owned());
            scan::lines(&text, collector);
            scan::comments(&text, scan::yaml_pair, Naming::Dotted, collector);
            return;
        }
    };
    if let Err(line) = parse(text, collector) {
        collector.broken_at(line);
        scan::lines(text, collector);
    }
    scan::comments(text, scan::yaml_pair, Naming::Dotted, collector);
}

/// A mapping or list that is open.
struct Level {
    /// The name of the next value in a mapping, when its key was read; `None` in a list.
    key: Option<Key>,
    /// The index of the next item of a list.
    index: usize,
    is_mapping: bool,
    /// The anchor that its settings are kept for.
    anchor: usize,
    /// How many names the path had when it was opened.
    depth: usize,
    /// And with its own: what is below goes on from there.
    base: usize,
}

enum Key {
    Expected,
    /// And the line that it stands on.
    Read(String, u64),
    /// A mapping or list as a key: no setting has such a name.
    Complex,
}

/// A setting below an anchor.
struct Repeated {
    names: Vec<String>,
    value: Zeroizing<String>,
}

/// The reader's state: where it is.
struct Reader<'a, 'b> {
    collector: &'a mut Collector<'b>,
    levels: Vec<Level>,
    names: Vec<String>,
    anchors: BTreeMap<usize, Vec<Repeated>>,
    repeated: usize,
    settings: usize,
}

/// The line where it makes no sense any more.
fn parse(text: &str, collector: &mut Collector<'_>) -> Result<(), u64> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader {
        collector,
        levels: Vec::new(),
        names: Vec::new(),
        anchors: BTreeMap::new(),
        repeated: 0,
        settings: 0,
    };
    let mut has_settings = false;
    let mut lone_text = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| line_of(error.marker().line()))?;
        let line = line_of(span.start.line());
        let is_top = reader.levels.is_empty();
        #[expect(clippy::wildcard_enum_match_arm, reason = "the parser's list is open")]
        match event {
            Event::Scalar(value, style, anchor, _tag) => {
                let is_plain = matches!(style, granit_parser::ScalarStyle::Plain);
                let is_literal = matches!(style, granit_parser::ScalarStyle::Literal);
                let is_null =
                    is_plain && ["", "~", "null", "Null", "NULL"].contains(&value.as_ref());
                let value = Zeroizing::new(value.into_owned());
                if is_top && !is_null {
                    lone_text = Some(line);
                }
                let first = is_literal.then_some(line);
                reader.scalar(value, is_null, anchor, (line, first))?;
            }
            Event::Alias(anchor) => reader.alias(anchor, line)?,
            Event::MappingStart(_, anchor, _) => {
                has_settings |= is_top;
                reader.open(true, anchor, line)?;
            }
            Event::SequenceStart(_, anchor, _) => {
                has_settings |= is_top;
                reader.open(false, anchor, line)?;
            }
            Event::MappingEnd | Event::SequenceEnd => reader.close(),
            // Anchors are known by document.
            Event::DocumentStart(..) => reader.anchors.clear(),
            _ => {}
        }
    }
    // One text and nothing else, as where a colon is missing.
    match lone_text {
        Some(line) if !has_settings => Err(line),
        Some(_) | None => Ok(()),
    }
}

fn line_of(line: usize) -> u64 {
    u64::try_from(line).unwrap_or(u64::MAX).max(1)
}

impl Reader<'_, '_> {
    fn scalar(
        &mut self,
        value: Zeroizing<String>,
        is_null: bool,
        anchor: usize,
        (line, first): (u64, Option<u64>),
    ) -> Result<(), u64> {
        if let Some(level) = self.levels.last_mut()
            && matches!(level.key, Some(Key::Expected))
        {
            level.key = Some(Key::Read(value.to_string(), line));
            return Ok(());
        }
        let (pushed, at) = self.enter(line);
        let text = if is_null { "" } else { value.as_str() };
        let done = self.emit(text, at, first);
        if anchor != 0 {
            self.keep(anchor, Vec::new(), value);
        }
        self.leave(pushed);
        done
    }

    /// Puts the name of the next value on the path; how many names that are, and the line where the setting begins.
    fn enter(&mut self, line: u64) -> (usize, u64) {
        let Some(level) = self.levels.last_mut() else { return (0, line) };
        if level.is_mapping {
            match level.key.replace(Key::Expected) {
                // What is merged has the names that it has where it comes from.
                Some(Key::Read(name, at)) if name == "<<" => return (0, at),
                Some(Key::Read(name, at)) => {
                    self.names.push(name);
                    return (1, at);
                }
                Some(Key::Expected | Key::Complex) | None => return (0, line),
            }
        }
        self.names.push(level.index.to_string());
        level.index += 1;
        (1, line)
    }

    fn leave(&mut self, pushed: usize) {
        self.names.truncate(self.names.len().saturating_sub(pushed));
    }

    fn open(&mut self, is_mapping: bool, anchor: usize, line: u64) -> Result<(), u64> {
        if self.levels.len() >= MAX_DEPTH {
            return Err(line);
        }
        let depth = self.names.len();
        if let Some(level) = self.levels.last_mut()
            && matches!(level.key, Some(Key::Expected))
        {
            level.key = Some(Key::Complex);
        } else {
            self.enter(line);
        }
        self.levels.push(Level {
            key: is_mapping.then_some(Key::Expected),
            index: 0,
            is_mapping,
            anchor,
            depth,
            base: self.names.len(),
        });
        Ok(())
    }

    fn close(&mut self) {
        if let Some(level) = self.levels.pop() {
            self.names.truncate(level.depth);
        }
    }

    fn alias(&mut self, anchor: usize, line: u64) -> Result<(), u64> {
        if let Some(level) = self.levels.last_mut()
            && matches!(level.key, Some(Key::Expected))
        {
            level.key = Some(Key::Complex);
            return Ok(());
        }
        let (pushed, at) = self.enter(line);
        let kept = self.anchors.remove(&anchor).unwrap_or_default();
        let mut done = Ok(());
        for repeated in &kept {
            self.names.extend(repeated.names.iter().cloned());
            done = done.and(self.emit(&repeated.value, at, None));
            self.leave(repeated.names.len());
        }
        self.anchors.insert(anchor, kept);
        self.leave(pushed);
        done
    }

    /// One setting, under the names that are on the path. Of a literal text `first` is the line that it begins on.
    fn emit(&mut self, value: &str, line: u64, first: Option<u64>) -> Result<(), u64> {
        self.settings += 1;
        if self.settings > MAX_SETTINGS {
            return Err(line);
        }
        let name = self.names.join(".");
        if self.collector.product() == "logstash" && name.ends_with("config.string") {
            let line_of =
                |relative: u64| first.map_or(line, |first| (first + relative).saturating_sub(1));
            pipeline::read_text(value, &line_of, self.collector);
        } else {
            self.collector.take(Leaf::dotted(&name, Some(line), value));
        }
        let anchors: Vec<(usize, usize)> = self
            .levels
            .iter()
            .filter(|level| level.anchor != 0)
            .map(|level| (level.anchor, level.base))
            .collect();
        for (anchor, base) in anchors {
            let own = self.names.get(base..).unwrap_or_default().to_vec();
            self.keep(anchor, own, Zeroizing::new(value.to_owned()));
        }
        Ok(())
    }

    fn keep(&mut self, anchor: usize, names: Vec<String>, value: Zeroizing<String>) {
        self.repeated += 1;
        if self.repeated <= MAX_REPEATED {
            self.anchors.entry(anchor).or_default().push(Repeated { names, value });
        }
    }
}

#[cfg(test)]
mod tests {

    use proptest::prelude::*;

    use super::*;
    use crate::secrets::{Contents, Value};

    fn contents(product: &str, text: &[u8]) -> Contents {
        let mut collector = Collector::new(product);
        read(text, &mut collector);
        collector.finish()
    }

    /// Line and name of what stands there in plain text.
    fn found(text: &str) -> Vec<(u64, String)> {
        let contents = contents("elasticsearch", text.as_bytes());
        let plain = contents.sightings.iter().filter(|seen| seen.is_plain() && !seen.is_comment);
        plain.map(|seen| (seen.line.unwrap(), seen.setting.clone())).collect()
    }

    fn at(line: u64, setting: &str) -> (u64, String) {
        (line, setting.to_owned())
    }

    const HTTP: &str = "xpack.security.http.ssl.keystore.password";

    #[test]
    fn every_spelling_of_a_setting_is_found_on_its_line() {
        for (text, line) in [
            ("xpack.security.http.ssl.keystore.password: hunter2\n", 1),
            ("xpack.security.http.ssl.keystore.password: 'hunter2' # secret\n", 1),
            ("\"xpack.security.http.ssl.keystore.password\": \"hunter2\"\n", 1),
            (
                "xpack:\n  security:\n    http:\n      ssl:\n        keystore:\n          password: hunter2\n",
                6,
            ),
            ("xpack.security:\n  http.ssl:\n    keystore.password: hunter2\n", 3),
            ("a: b\nxpack.security.http.ssl: {keystore: {password: hunter2}}\n", 2),
            ("{\"xpack.security.http.ssl.keystore.password\":\n \"hunter2\"}", 1),
            ("# c\n\nxpack.security.http.ssl.keystore:\n  path: x\n  password:\n    hunter2\n", 5),
            ("xpack.security.http.ssl.keystore.password: >-\n  hunter2\n  hunter3\n", 1),
            ("\u{feff}xpack.security.http.ssl.keystore.password: 12345678\r\n", 1),
            ("? xpack.security.http.ssl.keystore.password\n: hunter2\n", 1),
            ("a: &p hunter2\nxpack.security.http.ssl.keystore.password: *p\n", 2),
            ("a: &k {password: hunter2}\nb: 1\nxpack.security.http.ssl.keystore: *k\n", 3),
            (
                "a: &k\n  x: &j {password: hunter2}\nxpack.security.http.ssl.keystore:\n  <<: *j\n",
                4,
            ),
            ("---\nx: 1\n---\nxpack.security.http.ssl.keystore.password: hunter2\n", 4),
        ] {
            let found = found(text);
            assert!(found.contains(&at(line, HTTP)), "{text}: {found:?}");
        }
    }

    #[test]
    fn lists_and_duplicates_are_all_seen() {
        assert_eq!(
            found("s:\n  - name: a\n    password: hunter2\n  - password: hunter3\n"),
            [at(3, "s.0.password"), at(4, "s.1.password")]
        );
        assert_eq!(
            found("a.tokens: [abc-1234, \"def-1234\"]\n"),
            [at(1, "a.tokens.0"), at(1, "a.tokens.1")]
        );
        assert_eq!(
            found("a.password: hunter2\na.password: hunter3\n"),
            [at(1, "a.password"), at(2, "a.password")]
        );
        // The modules of Beats.
        assert_eq!(found("- module: mysql\n  password: hunter2\n"), [at(2, "0.password")]);
        assert_eq!(found("hosts: [\"https://u:hunter2@h:9200\"]\n"), [at(1, "hosts.0")]);
        assert_eq!(found("path.data.0: /a\npath.data.1: /b\n"), []);
    }

    #[test]
    fn a_key_in_the_settings_is_one_sighting() {
        let text = "ssl:\n  enabled: true\n  key: |\n    -----BEGIN PRIVATE KEY-----\n    MIIB\n    -----END PRIVATE KEY-----\n";
        assert_eq!(found(text), [at(3, "ssl.key")]);
    }

    #[test]
    fn a_pipeline_in_the_settings_of_logstash_is_read_with_its_own_lines() {
        let text = "- pipeline.id: a\n  config.string: |\n    output {\n      http { password => \"hunter2\" }\n    }\n\
                    - pipeline.id: b\n  config.string: 'output { http { password => \"hunter2\" } }'\n";
        let contents = contents("logstash", text.as_bytes());
        let lines: Vec<_> =
            contents.sightings.iter().map(|seen| (seen.line, seen.setting.as_str())).collect();
        assert_eq!(lines, [(Some(4), "output.http.password"), (Some(7), "output.http.password")]);
    }

    #[test]
    fn references_and_nothing_are_not_in_plain_text() {
        let contents = contents(
            "kibana",
            b"a.password: ${PW}\nb.password:\nc.password: \"\"\nd.password: ~\n",
        );
        let values: Vec<Value> = contents.sightings.iter().map(|seen| seen.value).collect();
        assert_eq!(values, [Value::Reference, Value::Empty, Value::Empty, Value::Empty]);
    }

    #[test]
    fn in_a_broken_file_secrets_are_found_before_and_behind_the_mistake() {
        for (text, line, expected) in [
            (
                "a.password: hunter2\nb: [1\nc.password: hunter3\n",
                3,
                vec![at(1, "a.password"), at(3, "c.password")],
            ),
            ("a:\n\tpassword: hunter2\n", 2, vec![at(2, "a.password")]),
            ("a: 'b\nb.password: hunter2\n", 2, vec![at(2, "b.password")]),
            ("a: b: c\nb.password: hunter2\n", 1, vec![at(2, "b.password")]),
        ] {
            let contents = contents("elasticsearch", text.as_bytes());
            assert!(
                contents.broken_at.is_some_and(|at| at.abs_diff(line) <= 1),
                "{text}: {contents:?}"
            );
            assert_eq!(found(text), expected, "{text}");
        }
        let latin1 = contents("elasticsearch", b"# caf\xe9\na.password: hunter2\n");
        assert_eq!((latin1.broken_at, latin1.sightings.len()), (Some(1), 1));
        assert_eq!(contents("elasticsearch", b"a.password hunter2\n").broken_at, Some(1));
        assert_eq!(contents("elasticsearch", b"# nothing\n").broken_at, None);
    }

    #[test]
    fn bombs_and_giants_end_at_once() {
        let mut bomb = vec!["a0: &a0 [x, x]".to_owned()];
        bomb.extend((1..30).map(|level| format!("a{level}: &a{level} [*a{0}, *a{0}]", level - 1)));
        contents("elasticsearch", bomb.join("\n").as_bytes());
        contents("elasticsearch", "[".repeat(100_000).as_bytes());
        contents("elasticsearch", "a:\n ".repeat(1000).as_bytes());
        contents("elasticsearch", "password: x\n".repeat(30_000).as_bytes());
        contents("elasticsearch", format!("{}: x", "a".repeat(MAX_SIZE)).as_bytes());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            contents("elasticsearch", &bytes);
        }

        #[test]
        fn no_text_of_yaml_marks_panics(text in "[-:,\\[\\]{}&*!|>'\"#%@`?$<= \na-c0-2]{0,120}") {
            contents("logstash", text.as_bytes());
        }

        #[test]
        fn no_value_is_kept(value in "[a-zA-Z0-9]{12,24}", shape in 0_usize..6) {
            let text = match shape {
                0 => format!("a.password: {value}\n"),
                1 => format!("a:\n  - password: '{value}'\n"),
                2 => format!("a.password: |\n  {value}\n"),
                3 => format!("a: [\na.password: {value}\n"),
                4 => format!("#a.password: {value}\n"),
                _ => format!("a: &x {value}\nb.password: *x\n"),
            };
            let contents = contents("kibana", text.as_bytes());
            let shown = format!("{contents:?}");
            prop_assert!(!shown.contains(&value), "{}", shown);
        }
    }
}
