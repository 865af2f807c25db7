//! Pipelines of Logstash: the options of plug-ins. `grammar.treetop` of Logstash says what a pipeline is.

use zeroize::Zeroizing;

use super::{Collector, Leaf, Naming, scan};

/// A bigger file is not read: a pipeline of a thousand lines is some tens of KiB.
pub(crate) const MAX_SIZE: usize = 4 << 20;
/// Deeper than any pipeline.
const MAX_DEPTH: usize = 64;

/// Options whose hash names fields of events, or values for them: `"password"` is then a field.
const OF_EVENTS: &[&str] = &[
    "add_field",
    "replace",
    "update",
    "rename",
    "copy",
    "convert",
    "coerce",
    "merge",
    "join",
    "split",
    "match",
    "mapping",
    "defaults",
    "dictionary",
    "script_params",
    "fields",
    "docinfo_fields",
    "aggregation_fields",
    "lookups",
    "pattern_definitions",
];

/// Reads a pipeline's file.
pub(crate) fn read(bytes: &[u8], collector: &mut Collector<'_>) {
    let text = Zeroizing::new(String::from_utf8_lossy(bytes).into_owned());
    read_text(&text, &|line| line, collector);
    scan::comments(&text, pair, Naming::Dotted, collector);
}

/// Reads a pipeline; `line_of` says on which line of its file a line of it stands.
pub(super) fn read_text(text: &str, line_of: &dyn Fn(u64) -> u64, collector: &mut Collector<'_>) {
    if let Err(line) = parse(text, line_of, collector) {
        collector.broken_at(line_of(line));
        for (number, line) in scan::numbered(text) {
            let number = line_of(number);
            if let Some((name, value)) = pair(line.trim())
                && !collector.has_line(number)
                && !line.trim_start().starts_with('#')
            {
                collector.take(Leaf::dotted(name, Some(number), scan::unquoted(value)));
            }
        }
    }
}

/// `name => value` on one line.
fn pair(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once("=>")?;
    // On one line with the braces of its plug-in.
    let name = name.rsplit(['{', ' ', '\t']).find(|part| !part.is_empty())?;
    let value = value.trim().trim_end_matches(['}', ' ']);
    Some((name.trim_matches(['"', '\'']), value))
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Text(&'a str),
    Arrow,
    Open(char),
    Close,
    /// An operator of a condition.
    Other,
}

/// What a brace or bracket has opened.
struct Level<'a> {
    name: Option<&'a str>,
    /// Its names are those of an event.
    is_foreign: bool,
    /// Its values have its own name.
    is_list: bool,
}

/// The line where it makes no sense any more.
fn parse(
    text: &str,
    line_of: &dyn Fn(u64) -> u64,
    collector: &mut Collector<'_>,
) -> Result<(), u64> {
    let mut rest = text;
    let mut line: u64 = 1;
    let mut levels: Vec<Level<'_>> = Vec::new();
    // The word before: the name of an option, of a plug-in, or a value.
    let mut before: Option<&str> = None;
    // The option that an arrow was seen behind.
    let mut option: Option<&str> = None;
    while let Some((token, at, after)) = next(rest, line)? {
        let newlines = rest.len() - after.len();
        let seen = rest.get(..newlines).unwrap_or_default();
        line += u64::try_from(seen.matches('\n').count()).unwrap_or_default();
        rest = after;
        match token {
            Token::Word(word) | Token::Text(word) => {
                let in_list =
                    levels.last().filter(|level| level.is_list).and_then(|level| level.name);
                if let Some(name) = option.take().or(in_list) {
                    take(&levels, name, word, line_of(at), collector);
                }
                before = Some(word);
            }
            Token::Arrow => option = before.take(),
            Token::Open(bracket) => {
                if levels.len() >= MAX_DEPTH {
                    return Err(at);
                }
                let above = levels.last().is_some_and(|level| level.is_foreign);
                let is_value = option.is_some();
                let of_events =
                    is_value && option.is_some_and(|option| OF_EVENTS.contains(&option));
                let name = if bracket == '[' && !is_value {
                    None
                } else {
                    option.take().or(before.take())
                };
                levels.push(Level {
                    // A condition is no part of a name.
                    name: name.filter(|name| bracket == '[' || !matches!(*name, "if" | "else")),
                    is_foreign: above || of_events,
                    is_list: bracket == '[' && is_value,
                });
                before = None;
            }
            Token::Close => {
                if levels.pop().is_none() {
                    return Err(at);
                }
                (before, option) = (None, None);
            }
            Token::Other => before = None,
        }
    }
    if levels.is_empty() { Ok(()) } else { Err(line) }
}

fn take(levels: &[Level<'_>], name: &str, value: &str, line: u64, collector: &mut Collector<'_>) {
    let is_list = levels.last().is_some_and(|level| level.is_list);
    let above = if is_list { levels.len() - 1 } else { levels.len() };
    // Braces of conditions have no plain names: an expression may hold anything.
    let is_plain = |name: &&str| {
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
    };
    let path: Vec<&str> = levels
        .iter()
        .take(above)
        .filter_map(|level| level.name)
        .filter(is_plain)
        .chain([name])
        .collect();
    let is_foreign = levels.last().is_some_and(|level| level.is_foreign);
    let naming = if is_foreign { Naming::Foreign } else { Naming::Dotted };
    collector.take(Leaf { naming, ..Leaf::dotted(&path.join("."), Some(line), value) });
}

/// The next token, its line, and what follows; `Err` with the line where a text does not end.
fn next(text: &str, mut line: u64) -> Result<Option<(Token<'_>, u64, &str)>, u64> {
    let mut rest = text;
    loop {
        let trimmed = rest.trim_start();
        let skipped = rest.get(..rest.len() - trimmed.len()).unwrap_or_default();
        line += u64::try_from(skipped.matches('\n').count()).unwrap_or_default();
        rest = trimmed;
        match rest.strip_prefix('#') {
            Some(comment) => rest = comment.split_once('\n').map_or("", |(_, after)| after),
            None => break,
        }
        line += 1;
    }
    let Some(first) = rest.chars().next() else { return Ok(None) };
    let cut = |at: usize| rest.split_at_checked(at).unwrap_or((rest, ""));
    let (token, after) = match first {
        '"' | '\'' => {
            let (inside, after) = quoted(rest, first).ok_or(line)?;
            (Token::Text(inside), after)
        }
        '{' | '[' => (Token::Open(first), cut(1).1),
        '}' | ']' => (Token::Close, cut(1).1),
        '=' if rest.starts_with("=>") => (Token::Arrow, cut(2).1),
        ',' => (Token::Other, cut(1).1),
        _ => {
            let is_end =
                |character: char| character.is_whitespace() || "{}[],\"'#=".contains(character);
            let end = rest.find(is_end).unwrap_or(rest.len());
            // A field reference such as `[a][b]` in a condition is brackets with a word; operators are others.
            if end == 0 {
                (Token::Other, cut(first.len_utf8()).1)
            } else {
                let (word, after) = cut(end);
                (Token::Word(word), after)
            }
        }
    };
    Ok(Some((token, line, after)))
}

/// A text in quotes: a backslash keeps a quote from ending it.
fn quoted(text: &str, quote: char) -> Option<(&str, &str)> {
    let inside = text.strip_prefix(quote)?;
    let mut escaped = false;
    for (at, character) in inside.char_indices() {
        if character == quote && !escaped {
            let (text, after) = inside.split_at_checked(at)?;
            return Some((text, after.strip_prefix(quote)?));
        }
        escaped = character == '\\' && !escaped;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::secrets::{Contents, Kind};

    fn contents(text: &str) -> Contents {
        let mut collector = Collector::new("logstash");
        read(text.as_bytes(), &mut collector);
        collector.finish()
    }

    fn found(text: &str) -> Vec<(u64, String)> {
        let contents = contents(text);
        let plain = contents.sightings.iter().filter(|seen| seen.is_plain());
        plain.map(|seen| (seen.line.unwrap(), seen.setting.clone())).collect()
    }

    fn at(line: u64, setting: &str) -> (u64, String) {
        (line, setting.to_owned())
    }

    #[test]
    fn options_of_plug_ins_are_found() {
        let text = "# pipeline\ninput {\n  beats { port => 5044 }\n  jdbc {\n    jdbc_password => 'hunter2'\n  }\n}\n\
                    filter { }\noutput {\n  if [type] == \"password\" and [a][b] in [1, 2] {\n    elasticsearch {\n      hosts => [\"https://u:hunter2@es:9200\", \"es\"]\n\
                          user => \"elastic\"\n      password => \"hunter2\"\n      api_key => \"${KEY}\"\n      ssl_enabled => true\n    }\n  } else {\n    stdout { codec => rubydebug }\n  }\n}\n";
        assert_eq!(
            found(text),
            [
                at(5, "input.jdbc.jdbc_password"),
                at(12, "output.elasticsearch.hosts"),
                at(14, "output.elasticsearch.password"),
            ]
        );
        assert_eq!(contents(text).broken_at, None);
    }

    #[test]
    fn names_of_event_fields_are_no_settings() {
        for text in [
            "filter { mutate { replace => { \"password\" => \"abc-123\" } remove_field => [\"password\", \"token\"] } }",
            "filter { mutate { rename => { \"[user][password]\" => \"[secret]\" } gsub => [\"password\", \".\", \"x\"] } }",
            "filter { grok { match => { \"message\" => \"password=%{WORD:password}\" } } }",
            "output { elasticsearch { password => \"${ES_PWD}\" cloud_auth => \"${A}:${B}\" } }",
            "output { http { headers => { \"Authorization\" => \"Bearer %{[token]}\" } } }",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn headers_and_keys_in_hashes_are_found() {
        let text = "output { http { url => \"http://x\" headers => { \"X-Api-Key\" => 'abc-123-def' \"Authorization\" => \"ApiKey abcdefghij==\" } } }";
        assert_eq!(
            found(text),
            [at(1, "output.http.headers.Authorization"), at(1, "output.http.headers.X-Api-Key")]
        );
        let kafka = "input { kafka { sasl_jaas_config => \"x.PlainLoginModule required username=\\\"u\\\" password=\\\"hunter2\\\";\" } }";
        assert_eq!(contents(kafka).sightings[0].kind, Kind::Url);
    }

    #[test]
    fn in_a_broken_pipeline_lines_still_tell() {
        let text = "output {\n  elasticsearch {\n    user => \"x\n    password => \"hunter2\"\n";
        let seen = contents(text);
        assert!(seen.broken_at.is_some());
        assert!(
            found(text).iter().any(|(line, name)| *line == 4 && name.ends_with("password")),
            "{seen:?}"
        );
        assert!(contents("output { x { } } }").broken_at.is_some());
    }

    #[test]
    fn comments_and_shipped_examples() {
        assert_eq!(found("output {\n #password => \"Zx81-uvula\"\n}\n"), [at(2, "password")]);
        assert_eq!(
            found(
                "output {\n  elasticsearch {\n    #user => \"elastic\"\n    #password => \"changeme\"\n  }\n}\n"
            ),
            []
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[{}\\[\\]=>\"'#\\\\ \na-c,\u{e9}]{0,120}") {
            contents(&text);
        }
    }
}
