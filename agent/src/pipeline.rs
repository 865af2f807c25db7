//! Pipelines of Logstash, as `lscl_grammar.treetop` of Logstash has them: sections, plug-ins, conditions, options.
//!
//! Pure. A value may be a secret: [`walk`] shows it and keeps nothing, [`plugins`] keeps what it is asked to.

/// A bigger file is not read: a pipeline of a thousand lines is some tens of KiB.
pub(crate) const MAX_SIZE: usize = 4 << 20;
/// Deeper than any pipeline.
const MAX_DEPTH: usize = 64;
/// More plug-ins than this are in no file.
const MAX_PLUGINS: usize = 5000;

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

/// A plug-in that begins, or a value.
pub(crate) struct Seen<'a, 'b> {
    /// The names of what it stands in, and its own: `output`, `file`, `path`. Conditions have none.
    pub(crate) path: &'b [&'a str],
    /// The number of the braces that it stands in; a plug-in's own.
    pub(crate) block: usize,
    /// `None` for a plug-in.
    pub(crate) value: Option<&'a str>,
    /// From 1.
    pub(crate) line: u64,
    /// Its name is that of a field of an event.
    pub(crate) is_of_event: bool,
}

/// A plug-in with those of its options that were asked for, as they stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plugin {
    /// `input`, `filter` or `output`.
    pub(crate) section: String,
    pub(crate) name: String,
    /// Where it begins, from 1.
    pub(crate) line: u64,
    /// The name of each, its value, and its line.
    pub(crate) options: Vec<(String, String, u64)>,
}

/// The plug-ins of a pipeline, with the options that `keep` asks for; and the line from which on it makes no sense.
pub(crate) fn plugins(text: &str, keep: &dyn Fn(&str) -> bool) -> (Vec<Plugin>, Option<u64>) {
    let mut found: Vec<(usize, Plugin)> = Vec::new();
    let mut too_many = None;
    let end = walk(text, &mut |seen| match (seen.path, seen.value) {
        ([section, name], None) if found.len() < MAX_PLUGINS => {
            let (section, name) = ((*section).to_owned(), (*name).to_owned());
            found
                .push((seen.block, Plugin { section, name, line: seen.line, options: Vec::new() }));
        }
        ([_, _], None) => too_many = too_many.or(Some(seen.line)),
        ([_, _, option], Some(value)) if keep(option) => {
            // What it stands in is the last that began: plug-ins do not nest but in values.
            if let Some((_, plugin)) = found.last_mut().filter(|(block, _)| *block == seen.block) {
                plugin.options.push(((*option).to_owned(), value.to_owned(), seen.line));
            }
        }
        _ => {}
    });
    let broken = too_many.or(end.err());
    (found.into_iter().map(|(_, plugin)| plugin).collect(), broken)
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Text(&'a str),
    Arrow,
    Open(char),
    Close,
    /// An operator or a regular expression of a condition, or a comma.
    Other,
}

/// What a brace or bracket has opened.
struct Level<'a> {
    name: Option<&'a str>,
    /// Its names are those of an event.
    is_of_event: bool,
    /// Its values have its own name.
    is_list: bool,
    block: usize,
}

/// Shows every plug-in and every value, in order. `Err` with the line where it makes no sense any more.
pub(crate) fn walk<'a>(text: &'a str, show: &mut dyn FnMut(&Seen<'a, '_>)) -> Result<(), u64> {
    let mut rest = text;
    let mut line: u64 = 1;
    let mut blocks: usize = 0;
    let mut levels: Vec<Level<'_>> = Vec::new();
    // The word before: the name of an option, of a plug-in, or a value.
    let mut before: Option<&str> = None;
    // The option that an arrow was seen behind.
    let mut option: Option<&str> = None;
    let mut in_condition = false;
    while let Some((token, at, after)) = next(rest, line, in_condition)? {
        let newlines = rest.len() - after.len();
        let seen = rest.get(..newlines).unwrap_or_default();
        line += u64::try_from(seen.matches('\n').count()).unwrap_or_default();
        rest = after;
        match token {
            Token::Word(word) | Token::Text(word) => {
                let in_list =
                    levels.last().filter(|level| level.is_list).and_then(|level| level.name);
                if let Some(name) = option.take().or(in_list) {
                    show_value(&levels, name, word, at, show);
                } else if token == Token::Word("if") {
                    in_condition = true;
                }
                before = Some(word);
            }
            Token::Arrow => {
                // It was a name.
                in_condition = false;
                option = before.take();
            }
            Token::Open(bracket) => {
                if levels.len() >= MAX_DEPTH {
                    return Err(at);
                }
                let above = levels.last();
                let is_value = option.is_some();
                let of_events = option.is_some_and(|option| OF_EVENTS.contains(&option));
                // Neither a field such as `[a][b]` nor a condition is part of a name.
                let is_nameless = !is_value && (bracket == '[' || in_condition);
                let name = if is_nameless { None } else { option.take().or(before.take()) };
                let name = name.filter(|name| is_value || *name != "else");
                let is_plugin = bracket == '{' && !is_value && name.is_some();
                blocks += usize::from(is_plugin);
                levels.push(Level {
                    name,
                    is_of_event: above.is_some_and(|level| level.is_of_event) || of_events,
                    is_list: bracket == '[' && is_value,
                    block: if is_plugin { blocks } else { above.map_or(0, |level| level.block) },
                });
                if is_plugin {
                    let path = names(&levels);
                    let (block, is_of_event) = (blocks, false);
                    show(&Seen { path: &path, block, value: None, line: at, is_of_event });
                }
                in_condition &= bracket == '[';
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

/// The names of levels; what is no plain name may hold anything.
fn names<'a>(levels: &[Level<'a>]) -> Vec<&'a str> {
    let is_plain = |name: &&str| {
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
    };
    levels.iter().filter_map(|level| level.name).filter(is_plain).collect()
}

fn show_value<'a>(
    levels: &[Level<'a>],
    name: &'a str,
    value: &'a str,
    line: u64,
    show: &mut dyn FnMut(&Seen<'a, '_>),
) {
    let last = levels.last();
    let above =
        if last.is_some_and(|level| level.is_list) { levels.len() - 1 } else { levels.len() };
    let mut path = names(levels.get(..above).unwrap_or_default());
    path.push(name);
    show(&Seen {
        path: &path,
        block: last.map_or(0, |level| level.block),
        value: Some(value),
        line,
        is_of_event: last.is_some_and(|level| level.is_of_event),
    });
}

/// The next token, its line, and what follows; `Err` with the line where a text does not end.
fn next(
    text: &str,
    mut line: u64,
    in_condition: bool,
) -> Result<Option<(Token<'_>, u64, &str)>, u64> {
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
        '/' if in_condition => (Token::Other, quoted(rest, '/').ok_or(line)?.1),
        '{' | '[' => (Token::Open(first), cut(1).1),
        '}' | ']' => (Token::Close, cut(1).1),
        '=' if rest.starts_with("=>") => (Token::Arrow, cut(2).1),
        ',' => (Token::Other, cut(1).1),
        _ => {
            let is_end = |character: char| {
                character.is_whitespace()
                    || "{}[],\"'#=".contains(character)
                    || (in_condition && "~!<>()/".contains(character))
            };
            let end = rest.find(is_end).unwrap_or(rest.len());
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

/// A text in quotes, or a regular expression: a backslash just before a quote keeps it from ending there, whatever is before
/// the backslash.
fn quoted(text: &str, quote: char) -> Option<(&str, &str)> {
    let inside = text.strip_prefix(quote)?;
    let ends =
        |(at, _): &(usize, &str)| !inside.get(..*at).is_some_and(|before| before.ends_with('\\'));
    let (at, _) = inside.match_indices(quote).find(ends)?;
    let (text, after) = inside.split_at_checked(at)?;
    Some((text, after.strip_prefix(quote)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str) -> (Vec<String>, Option<u64>) {
        let (plugins, broken) =
            plugins(text, &|option| option == "path" || option == "sincedb_path");
        let line = |plugin: &Plugin| {
            let options =
                plugin.options.iter().map(|(name, value, line)| format!(" {name}={value}@{line}"));
            format!(
                "{} {}@{}{}",
                plugin.section,
                plugin.name,
                plugin.line,
                options.collect::<String>()
            )
        };
        (plugins.iter().map(line).collect(), broken)
    }

    #[test]
    fn plug_ins_have_their_own_options() {
        let text = "input {\n  file { path => [\"/in/a\", '/in/b'] sincedb_path => \"/s\" }\n}\n\
            output {\n  file { codec => line { format => \"%{message}\" path => \"/no\" }\n    path => \"/out/%{type}.log\" }\n\
              stdout {} # file { path => \"/no\" }\n}\n";
        let expected = [
            "input file@2 path=/in/a@2 path=/in/b@2 sincedb_path=/s@2",
            "output file@5 path=/out/%{type}.log@6",
            "output stdout@7",
        ];
        assert_eq!(found(text), (expected.map(str::to_owned).to_vec(), None));
    }

    #[test]
    fn conditions_are_no_part_of_a_name() {
        for condition in [
            "[type] == \"s3\"",
            "\"s3\" in [tags] and [a][b] not in [1, \"x\"]",
            "[message] =~ /it's {/",
            "[message]=~/it's [/",
            "[message] !~ /a\\/'/",
            "!([a] and (![b] or [c] >= 3))",
            "[a] == 'b'",
        ] {
            let text = format!(
                "output {{ if {condition} {{ file {{ path => '/a' }} }} else if {condition} {{ csv {{ path => '/b' }} }} else {{ file {{ path => '/c' }} }} }}"
            );
            let expected =
                ["output file@1 path=/a@1", "output csv@1 path=/b@1", "output file@1 path=/c@1"];
            assert_eq!(found(&text), (expected.map(str::to_owned).to_vec(), None), "{text}");
        }
    }

    #[test]
    fn names_of_options_may_be_words_of_the_grammar() {
        let text = "filter { x { if => 1 else => { a => 2 } } } output { file { path => 'a' } }";
        assert_eq!(found(text).0, ["filter x@1", "output file@1 path=a@1"]);
        assert_eq!(found("output { \"file\" { \"path\" => 'a' } }").0, ["output file@1 path=a@1"]);
    }

    #[test]
    fn a_quote_ends_a_text_unless_a_backslash_stands_before_it() {
        assert_eq!(
            found(r#"output { file { path => "/a\"b" } }"#).0,
            [r#"output file@1 path=/a\"b@1"#]
        );
        // As the grammar has it, this one does not end.
        assert_eq!(found(r#"output { file { path => "/a\\" } }"#).1, Some(1));
    }

    #[test]
    fn what_stands_before_a_break_is_seen() {
        let (plugins, broken) =
            found("output { file { path => '/a' } }\noutput { file { path => '/b }");
        assert_eq!(plugins, ["output file@1 path=/a@1", "output file@2"]);
        assert_eq!(broken, Some(2));
        assert_eq!(found("output { }\n}").1, Some(2));
        assert_eq!(found(&"a { b { } } ".repeat(MAX_PLUGINS)).1, None);
        assert_eq!(found(&"a { b { } }\n".repeat(MAX_PLUGINS + 1)).1, Some(5001));
        assert_eq!(found(&"a {".repeat(MAX_DEPTH + 1)).1, Some(1));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[{}\\[\\]=>\"'#\\\\/~! \nifa-c,\u{e9}]{0,120}") {
            let _found = found(&text);
        }
    }
}
