//! Looks through a file line by line: for settings in comments, and where the file is no YAML any more.

use super::{Collector, Leaf, Naming};

/// Settings in comments: lines that begin with `#`, in the words of `split`.
pub(super) fn comments(
    text: &str,
    split: fn(&str) -> Option<(&str, &str)>,
    naming: Naming,
    collector: &mut Collector<'_>,
) {
    for (line, content) in numbered(text) {
        let Some(comment) = content.trim_start().strip_prefix(['#', ';']) else { continue };
        let comment = comment.trim_start_matches(['#', ';']).trim();
        let Some((name, value)) = split(comment) else { continue };
        // In prose a word with a colon is no setting.
        if name.is_empty() || name.chars().any(|character| !is_name(character)) {
            continue;
        }
        collector.take(Leaf {
            name,
            shown: None,
            line: Some(line),
            value: unquoted(value),
            naming,
            is_comment: true,
        });
    }
}

/// The settings of a file that is no YAML, as far as lines of `key: value` tell. What was seen before is not seen twice.
pub(super) fn lines(text: &str, collector: &mut Collector<'_>) {
    // The names that the line stands below, with their indentation.
    let mut above: Vec<(usize, &str)> = Vec::new();
    // The indentation of a block scalar's key: what is deeper is text.
    let mut block: Option<usize> = None;
    for (line, content) in numbered(text) {
        let body = content.trim_start_matches([' ', '\t', '\u{feff}']);
        let indent = content.len() - body.len();
        if body.trim().is_empty() || body.starts_with('#') {
            continue;
        }
        if block.is_some_and(|of| indent > of) {
            continue;
        }
        block = None;
        let (indent, body) = items(indent, body);
        let Some((name, value)) = yaml_pair(body) else {
            flow(body, line, collector);
            continue;
        };
        above.retain(|(of, _)| *of < indent);
        // Deeper than any settings: names would grow without bound.
        if above.len() >= 32 {
            above.clear();
        }
        let path = above.iter().map(|(_, name)| *name).chain([name]).collect::<Vec<_>>().join(".");
        if value.starts_with(['|', '>']) {
            block = Some(indent);
        }
        if value.is_empty() {
            above.push((indent, name));
        } else if !collector.has_line(line) {
            if value.starts_with(['{', '[']) {
                flow(value, line, collector);
            }
            collector.take(Leaf::dotted(&path, Some(line), unquoted(value)));
        }
    }
}

/// Past the dashes of a list.
fn items(mut indent: usize, mut body: &str) -> (usize, &str) {
    while let Some(rest) = body.strip_prefix("- ") {
        let trimmed = rest.trim_start();
        indent += body.len() - trimmed.len();
        body = trimmed;
    }
    (indent, body)
}

/// The pairs of `{a: b, c: d}`, without regard to how they are nested.
fn flow(text: &str, line: u64, collector: &mut Collector<'_>) {
    for part in text.split(['{', '}', '[', ']', ',']) {
        if let Some((name, value)) = yaml_pair(part.trim())
            && !value.is_empty()
        {
            collector.take(Leaf::dotted(name, Some(line), unquoted(value)));
        }
    }
}

/// `key: value` and `key:`, the key with or without quotes.
pub(super) fn yaml_pair(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = match text.strip_prefix(['"', '\'']) {
        Some(rest) => {
            let (name, rest) = rest.split_once(['"', '\''])?;
            (name, rest.trim_start().strip_prefix(':')?)
        }
        None => {
            text.char_indices().filter(|(_, character)| *character == ':').find_map(|(at, _)| {
                let (name, rest) = text.split_at_checked(at)?;
                let rest = rest.strip_prefix(':')?;
                (rest.is_empty() || rest.starts_with([' ', '\t'])).then_some((name, rest))
            })?
        }
    };
    let name = name.trim();
    (!name.is_empty() && name.chars().all(is_name)).then_some((name, rest.trim()))
}

/// Without the quotes around it, or without the comment behind it.
pub(super) fn unquoted(value: &str) -> &str {
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some(rest) = value.strip_prefix(quote) {
            return rest.split_once(quote).map_or(rest, |(inside, _)| inside);
        }
    }
    value.split_once(" #").map_or(value, |(value, _)| value.trim_end())
}

/// Without the quotes around it, when it is one text in quotes to its end.
pub(super) fn unquoted_whole(value: &str) -> &str {
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some(inside) = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inside;
        }
    }
    value
}

fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || "._-[]/@$*".contains(character)
}

/// The lines with their numbers, from 1. A carriage return alone ends none.
pub(super) fn numbered(text: &str) -> impl Iterator<Item = (u64, &str)> {
    (1..).zip(text.lines())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::Sighting;

    fn found(sightings: &[Sighting]) -> Vec<(u64, String)> {
        sightings
            .iter()
            .filter(|sighting| sighting.is_plain())
            .map(|sighting| (sighting.line.unwrap(), sighting.setting.clone()))
            .collect()
    }

    fn scanned(text: &str) -> Vec<(u64, String)> {
        let mut collector = Collector::new("elasticsearch");
        lines(text, &mut collector);
        found(&collector.finish().sightings)
    }

    fn at(line: u64, setting: &str) -> (u64, String) {
        (line, setting.to_owned())
    }

    #[test]
    fn a_secret_is_found_without_a_parser() {
        assert_eq!(scanned("a.password: hunter2\n"), [at(1, "a.password")]);
        assert_eq!(
            scanned("a:\n  b:\n    password: hunter2\n  token: x1y2z3q\n"),
            [at(3, "a.b.password"), at(4, "a.token")]
        );
        assert_eq!(scanned("a:\n\tpassword: \"hunter2\" # x\n"), [at(2, "a.password")]);
        assert_eq!(scanned("- x:\n    - password: hunter2\n"), [at(2, "x.password")]);
        assert_eq!(scanned("a: {b: {password: hunter2}\n"), [at(1, "password")]);
        assert_eq!(scanned("'a.password' : 'hunter2'\n"), [at(1, "a.password")]);
        assert_eq!(scanned("a: [\n  {password: hunter2},\n"), [at(2, "password")]);
    }

    #[test]
    fn the_text_of_a_block_is_no_setting() {
        assert_eq!(
            scanned("note: |\n  the password: hunter2\nb.password: hunter2\n"),
            [at(3, "b.password")]
        );
        assert!(scanned("password: ${PW}\ntoken:\n").is_empty());
    }

    #[test]
    fn comments_are_seen_when_they_look_real() {
        let commented = |text: &str| {
            let mut collector = Collector::new("kibana");
            comments(text, yaml_pair, Naming::Dotted, &mut collector);
            found(&collector.finish().sightings)
        };
        assert_eq!(
            commented("#elasticsearch.password: \"Zx81-uvula\"\n"),
            [at(1, "elasticsearch.password")]
        );
        assert_eq!(commented("a: b\n  ## password: 'Tr0ub4dor&3'\n"), [at(2, "password")]);
        for shipped in [
            "#elasticsearch.password: \"pass\"",
            "# elasticsearch.serviceAccountToken: \"my_token\"",
            "#xpack.encryptedSavedObjects.encryptionKey: ...",
            "#xpack.encryptedSavedObjects.encryptionKey: \"min-32-byte-long-strong-encryption-key\"",
            "# api.auth.basic.password: s3cUreP4$$w0rD",
            "# The password: it has to be long-enough!",
            "# xpack.monitoring.elasticsearch.cloud_auth: monitoring_username:password",
            "#ssl.key_passphrase: ''",
            "#var.token: Abc Def",
        ] {
            assert!(commented(shipped).is_empty(), "{shipped}");
        }
    }
}
