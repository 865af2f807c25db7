//! YAML settings as Elasticsearch and its kin read them: nested, dotted and listed, all flattened to one spelling.
//!
//! Bounded and pure. Only settings that the caller asks for are kept: such files may hold passwords, so neither
//! values nor the parser's own messages, which quote the file, go any further.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use serde_saphyr::budget::Budget;
use thiserror::Error;
use zeroize::Zeroizing;

/// A bigger file is not read: the products' own are a few KiB.
pub(super) const MAX_SIZE: usize = 1 << 20;

/// Why a file is not settings, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Error {
    #[error("{size} bytes are more than the {MAX_SIZE} that settings may have")]
    TooLarge { size: usize },
    #[error("line {line}: not UTF-8")]
    Encoding { line: usize },
    #[error("line {line}, column {column}: not valid YAML, or a setting that stands there twice")]
    Syntax { line: u64, column: u64 },
    #[error("not valid YAML, or more of it than settings have")]
    Invalid,
    #[error("not a mapping of settings")]
    Shape,
    #[error("not a list of mappings of settings")]
    List,
    #[error("the setting `{key}` refers to `${{{name}}}`, which has no value")]
    Unresolved { key: String, name: String },
    #[error("the setting `{key}` is neither a text nor a list of texts")]
    Type { key: String },
}

/// A value of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Setting {
    Scalar(String),
    List(Vec<String>),
}

/// Settings by their dotted names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    known: BTreeMap<String, Setting>,
    /// Those with something that is no value: a list in a list, a mapping.
    odd: BTreeSet<String>,
}

impl Settings {
    /// The settings in the text of a file that `keep` asks for.
    pub(crate) fn parse(bytes: &[u8], keep: &dyn Fn(&str) -> bool) -> Result<Self, Error> {
        let value = read(bytes)?;
        let mut settings = Self::default();
        match value {
            // A file of comments only.
            Value::Null => {}
            Value::Object(_) => settings.flatten("", value, keep),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return Err(Error::Shape);
            }
        }
        Ok(settings)
    }

    /// A list of such settings, as `pipelines.yml` is one.
    pub(crate) fn parse_list(
        bytes: &[u8],
        keep: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<Self>, Error> {
        let items = match read(bytes)? {
            Value::Null => Vec::new(),
            Value::Array(items) => items,
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                return Err(Error::List);
            }
        };
        let item = |value: Value| {
            let mut settings = Self::default();
            if value.is_object() {
                settings.flatten("", value, keep);
                Ok(settings)
            } else {
                Err(Error::List)
            }
        };
        items.into_iter().map(item).collect()
    }

    /// Sets what `-E` or the environment gives, which goes before the file.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.odd.remove(key);
        self.known.insert(key.to_owned(), Setting::Scalar(value.to_owned()));
    }

    /// Takes away a setting that is a text, as it stands.
    pub(crate) fn take(&mut self, key: &str) -> Option<Zeroizing<String>> {
        match self.known.remove(key)? {
            Setting::Scalar(text) => Some(Zeroizing::new(text)),
            Setting::List(_) => None,
        }
    }

    /// The values of a setting, be it a list or one text with commas, `${…}` replaced by what `lookup` gives.
    pub(crate) fn list(
        &self,
        key: &str,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<String>, Error> {
        let (values, error) = self.known_list(key, lookup);
        error.map_or(Ok(values), Err)
    }

    /// Those of the values that are known, and why not all are.
    pub(crate) fn known_list(
        &self,
        key: &str,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> (Vec<String>, Option<Error>) {
        let (texts, error) = self.resolved(key, lookup);
        // Commas that come out of a variable separate too: it is replaced first.
        let is_list = matches!(self.known.get(key), Some(Setting::List(_)));
        let parts = texts.iter().flat_map(|text| {
            let parts = if is_list { vec![text.as_str()] } else { text.split(',').collect() };
            parts.into_iter().map(str::trim)
        });
        (parts.filter(|part| !part.is_empty()).map(str::to_owned).collect(), error)
    }

    /// The values of a setting in which a comma is a letter like any other: one text, or each item of a list. Those that are
    /// known, and why not all are.
    pub(crate) fn known_texts(
        &self,
        key: &str,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> (Vec<String>, Option<Error>) {
        let (mut texts, error) = self.resolved(key, lookup);
        texts.retain(|text| !text.is_empty());
        (texts, error)
    }

    fn resolved(
        &self,
        key: &str,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> (Vec<String>, Option<Error>) {
        let texts = match self.known.get(key) {
            None => &[],
            Some(Setting::Scalar(text)) => std::slice::from_ref(text),
            Some(Setting::List(items)) => items.as_slice(),
        };
        let mut error = self.odd.contains(key).then(|| Error::Type { key: key.to_owned() });
        let mut values = Vec::new();
        for text in texts {
            match substitute(key, text, lookup) {
                Ok(value) => values.push(value),
                Err(unresolved) => error = error.or(Some(unresolved)),
            }
        }
        (values, error)
    }

    /// The names of the settings that were kept.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.known.keys().map(String::as_str)
    }

    /// Adds the settings of a file that is read after this one, and goes before it.
    pub(crate) fn extend(&mut self, later: Self) {
        self.odd.retain(|key| !later.known.contains_key(key));
        self.odd.extend(later.odd);
        self.known.extend(later.known);
    }

    fn flatten(&mut self, prefix: &str, value: Value, keep: &dyn Fn(&str) -> bool) {
        match value {
            Value::Null => {}
            Value::Bool(truth) => self.add(prefix, &truth.to_string(), keep),
            Value::Number(number) => self.add(prefix, &number.to_string(), keep),
            Value::String(text) => self.add(prefix, &text, keep),
            Value::Array(items) => {
                for item in items {
                    match item {
                        Value::Object(_) | Value::Array(_) if keep(prefix) => {
                            self.odd.insert(prefix.to_owned());
                        }
                        Value::Null | Value::Object(_) | Value::Array(_) => {}
                        Value::Bool(truth) => self.push(prefix, truth.to_string(), keep),
                        Value::Number(number) => self.push(prefix, number.to_string(), keep),
                        Value::String(text) => self.push(prefix, text, keep),
                    }
                }
            }
            Value::Object(members) => {
                // `path.data.0` is an item of a list; what else stands below a setting is no value of it.
                let is_item = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
                if keep(prefix) && !members.keys().all(is_item) {
                    self.odd.insert(prefix.to_owned());
                }
                for (name, member) in members {
                    let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
                    self.flatten(&key, member, keep);
                }
            }
        }
    }

    /// One text. Under two spellings of one key both count: better to look at one path too many.
    fn add(&mut self, key: &str, text: &str, keep: &dyn Fn(&str) -> bool) {
        // `path.data.0` is an old spelling of a list.
        if let Some((parent, index)) = key.rsplit_once('.')
            && !index.is_empty()
            && index.bytes().all(|byte| byte.is_ascii_digit())
        {
            self.push(parent, text.to_owned(), keep);
        } else if self.known.contains_key(key) {
            for part in text.split(',') {
                self.push(key, part.to_owned(), keep);
            }
        } else if keep(key) {
            self.set(key, text);
        }
    }

    fn push(&mut self, key: &str, text: String, keep: &dyn Fn(&str) -> bool) {
        if !keep(key) {
            return;
        }
        match self.known.entry(key.to_owned()).or_insert_with(|| Setting::List(Vec::new())) {
            Setting::List(items) => items.push(text),
            scalar @ Setting::Scalar(_) => {
                let Setting::Scalar(first) = scalar else { return };
                let mut items: Vec<String> = first.split(',').map(str::to_owned).collect();
                items.push(text);
                *scalar = Setting::List(items);
            }
        }
    }
}

/// The document of a file, within bounds.
fn read(bytes: &[u8]) -> Result<Value, Error> {
    if bytes.len() > MAX_SIZE {
        return Err(Error::TooLarge { size: bytes.len() });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
        Error::Encoding { line: valid.split(|byte| *byte == b'\n').count() }
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let options = serde_saphyr::options! {
        budget: budget(),
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| match error.location() {
        Some(at) if at.line() > 0 => Error::Syntax { line: at.line(), column: at.column() },
        _ => Error::Invalid,
    })
}

fn budget() -> Option<Budget> {
    serde_saphyr::budget! {
        max_depth: 32,
        max_nodes: 50_000,
        max_events: 200_000,
        max_aliases: 100,
        max_anchors: 100,
        max_recorded_anchor_events: 10_000,
        max_documents: 1,
        max_inclusion_depth: 0,
    }
}

/// `${NAME}` and `${NAME:default}`; a default may hold such a reference again.
pub(super) fn substitute(
    key: &str,
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<String, Error> {
    substitute_below(key, text, lookup, 0)
}

fn substitute_below(
    key: &str,
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    depth: usize,
) -> Result<String, Error> {
    const DEEPEST: usize = 8;
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((inside, after)) = braced(after) else { break };
        result.push_str(before);
        let (name, default) = match inside.split_once(':') {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let value = match (lookup(name), default) {
            (Some(value), _) => Some(value),
            (None, Some(default)) if depth < DEEPEST => {
                Some(substitute_below(key, default, lookup, depth + 1)?)
            }
            (None, _) => None,
        };
        let value = value
            .ok_or_else(|| Error::Unresolved { key: key.to_owned(), name: shortened(name) })?;
        result.push_str(&value);
        rest = after;
    }
    result.push_str(rest);
    Ok(result)
}

/// As much of a name as any real one has.
fn shortened(name: &str) -> String {
    const LONGEST: usize = 100;
    name.chars().take(LONGEST).collect()
}

/// What is inside of a brace that was opened before the text, and what follows it.
fn braced(text: &str) -> Option<(&str, &str)> {
    let mut open = 0_usize;
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '$' if letters.as_str().starts_with('{') => open += 1,
            '}' if open == 0 => return Some((text.get(..at)?, letters.as_str())),
            '}' => open -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Settings, Error> {
        Settings::parse(text.as_bytes(), &|_| true)
    }

    fn list(text: &str, key: &str) -> Vec<String> {
        parse(text).unwrap().list(key, &|name| (name == "DATA").then(|| "/env".to_owned())).unwrap()
    }

    #[test]
    fn every_spelling_of_a_list_is_the_same() {
        for text in [
            "path.data: /a,/b",
            "path.data: /a, /b",
            "path.data: [\"/a\", \"/b\"]",
            "path.data:\n  - /a\n  - /b\n",
            "path:\n  data:\n    - /a\n    - /b\n",
            "path:\n  data: '/a,/b'\n",
            "path.data.0: /a\npath.data.1: /b\n",
            "path:\n  data.0: /a\n  data.1: /b\n",
            "{\"path\": {\"data\": [\"/a\", \"/b\"]}}",
            "\u{feff}path.data: /a,/b\n",
            "path.data: &d [/a, /b]\n",
        ] {
            assert_eq!(list(text, "path.data"), ["/a", "/b"], "{text}");
        }
    }

    #[test]
    fn two_spellings_of_one_key_both_count() {
        let sorted = |text: &str| {
            let mut values = list(text, "path.data");
            values.sort();
            values
        };
        assert_eq!(sorted("path.data: /a\npath:\n  data: /b\n"), ["/a", "/b"]);
        assert_eq!(sorted("path.data: /a,/c\npath:\n  data: [/b]\n"), ["/a", "/b", "/c"]);
    }

    #[test]
    fn variables_are_replaced_with_their_defaults_where_they_have_none() {
        assert_eq!(list("path.data: ${DATA}/x", "path.data"), ["/env/x"]);
        assert_eq!(list("path.data: ${NONE:/d},${DATA}", "path.data"), ["/d", "/env"]);
        assert_eq!(list("path.data: [\"${NONE:/d}\"]", "path.data"), ["/d"]);
        assert_eq!(list("path.data: ${NONE:${DATA}/a}/b", "path.data"), ["/env/a/b"]);
        assert_eq!(list("path.data: ${unclosed", "path.data"), ["${unclosed"]);
        let unresolved = parse("path.data: ${NONE}").unwrap().list("path.data", &|_| None);
        assert_eq!(
            unresolved.unwrap_err().to_string(),
            "the setting `path.data` refers to `${NONE}`, which has no value"
        );
    }

    #[test]
    fn where_a_comma_separates_nothing_it_stays() {
        let texts = |text: &str| {
            parse(text).unwrap().known_texts("path.data", &|_| Some("/v".to_owned())).0
        };
        assert_eq!(texts("path.data: /a,b"), ["/a,b"]);
        assert_eq!(texts("path.data: [\"/a,b\", \"${V}\", \"\"]"), ["/a,b", "/v"]);
        assert!(texts("path.logs: /l").is_empty());
    }

    #[test]
    fn of_two_files_the_later_goes_before() {
        let mut settings = parse("a: 1\nb: 1\n").unwrap();
        settings.extend(parse("b: 2\n").unwrap());
        assert_eq!(settings.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(settings.known_texts("b", &|_| None).0, ["2"]);
    }

    #[test]
    fn comments_nulls_numbers_and_nothing_are_settings_too() {
        assert_eq!(parse("# nothing\n").unwrap(), Settings::default());
        assert_eq!(parse("").unwrap(), Settings::default());
        assert!(list("path.data:\n", "path.data").is_empty());
        assert_eq!(list("node.name: 007", "node.name"), ["007"]);
        assert_eq!(list("a.b: true", "a.b"), ["true"]);
    }

    #[test]
    fn a_list_of_settings_has_every_item() {
        let list =
            |text: &str| Settings::parse_list(text.as_bytes(), &|key| key.starts_with("path."));
        let found = list("- a: 1\n  path.queue: /q\n- path:\n    queue: /r\n").unwrap();
        let queues: Vec<_> =
            found.iter().map(|one| one.known_texts("path.queue", &|_| None).0).collect();
        assert_eq!(queues, [["/q"], ["/r"]]);
        assert_eq!(list("# nothing\n").unwrap(), []);
        assert_eq!(list("- a\n").unwrap_err(), Error::List);
        assert_eq!(list("path.queue: /q\n").unwrap_err(), Error::List);
        assert!(matches!(list("- a: [\n"), Err(Error::Syntax { .. })));
    }

    #[test]
    fn what_is_no_value_is_said_and_the_rest_is_known() {
        let keep = |key: &str| key == "path.data";
        let of = |text: &str| {
            let settings = Settings::parse(text.as_bytes(), &keep).unwrap();
            let (values, error) = settings.known_list("path.data", &|_| None);
            (values.join(","), error.map(|error| error.to_string()).unwrap_or_default())
        };
        for (text, values) in [
            ("path.data: [/a, [/b]]", "/a"),
            ("path.data: [[/b]]", ""),
            ("path:\n  data: {x: /b}\n", ""),
            ("path.data: [{x: /b}, /c]", "/c"),
        ] {
            let (found, error) = of(text);
            assert_eq!(found, values, "{text}");
            assert!(error.contains("`path.data` is neither a text"), "{text}: {error}");
        }
        let (found, error) = of("path.data: [/a, \"${NONE}/b\", /c]");
        assert_eq!(found, "/a,/c");
        assert!(error.contains("${NONE}"), "{error}");
        assert_eq!(of("path.data:\n  0: /a\n  1: /b\n"), ("/a,/b".to_owned(), String::new()));
        let mut settings = Settings::parse(b"path.data: [[/b]]", &keep).unwrap();
        settings.set("path.data", "/given");
        assert_eq!(settings.list("path.data", &|_| None).unwrap(), ["/given"]);
        let mut earlier = Settings::parse(b"path.data: [[/b]]", &keep).unwrap();
        earlier.extend(Settings::parse(b"path.data: /later", &keep).unwrap());
        assert_eq!(earlier.list("path.data", &|_| None).unwrap(), ["/later"]);
    }

    #[test]
    fn what_is_not_asked_for_is_not_kept() {
        let keep = |key: &str| key.starts_with("path.");
        let text = "path.data: /a\nxpack.security.password: hunter2\npasswords: [hunter2]\n";
        let settings = Settings::parse(text.as_bytes(), &keep).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn an_error_names_the_line_and_never_what_stands_there() {
        for (text, line) in [
            ("a: 1\nb: [hunter2\n", 3),
            ("a: 1\n\tb: hunter2\n", 2),
            ("a: 1\nb: 2\na: hunter2\n", 3),
        ] {
            let error = parse(text).unwrap_err();
            assert!(
                matches!(&error, Error::Syntax { line: at, .. } if at.abs_diff(line) <= 1),
                "{text}: {error}"
            );
            assert!(!error.to_string().contains("hunter2"));
        }
        assert_eq!(parse("- a\n").unwrap_err(), Error::Shape);
    }

    #[test]
    fn other_encodings_are_named_by_line() {
        let latin1 = b"path.data: /a\n# caf\xe9\n";
        assert_eq!(Settings::parse(latin1, &|_| true), Err(Error::Encoding { line: 2 }));
        let utf16: Vec<u8> = "\u{feff}a: b".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(Settings::parse(&utf16, &|_| true), Err(Error::Encoding { line: 1 }));
    }

    #[test]
    fn bombs_and_giants_are_refused_at_once() {
        let started = Instant::now();
        let mut bomb = vec!["a0: &a0 [x, x]".to_owned()];
        bomb.extend((1..30).map(|level| format!("a{level}: &a{level} [*a{0}, *a{0}]", level - 1)));
        assert!(parse(&bomb.join("\n")).is_err());
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(parse(&"a:\n ".repeat(1000)).is_err());
        assert!(matches!(parse(&"a".repeat(MAX_SIZE + 1)), Err(Error::TooLarge { .. })));
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(Settings::parse(&bytes, &|_| true));
        }

        #[test]
        fn no_text_of_yaml_marks_panics(text in "[-:,\\[\\]{}&*!|>'\"#%@`?$ \na-c0-2]{0,120}") {
            if let Ok(settings) = parse(&text) {
                drop(settings.list("a", &|_| None));
            }
        }
    }
}
