//! Files of `NAME=value` lines that systemd reads (`EnvironmentFile=`, `systemd.exec(5)`) or that start scripts source.

/// One assignment, with the line that it begins in, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    pub line: usize,
    pub name: String,
    pub value: String,
}

/// The assignments of a file, in order, with quotes and `export` taken away and `$NAME` left as it stands.
///
/// What a shell would do beyond that (conditions, commands) is passed over.
pub fn parse(text: &str) -> Vec<Assignment> {
    let mut assignments = Vec::new();
    let mut begun: Option<(usize, String)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let (line_number, mut logical) = begun.take().unwrap_or((number, String::new()));
        if logical.is_empty() && line.trim_start().starts_with(['#', ';']) {
            continue;
        }
        if let Some(part) = line.strip_suffix('\\') {
            logical.push_str(part);
            begun = Some((line_number, logical));
            continue;
        }
        logical.push_str(line);
        assignments.extend(assignment(line_number, &logical));
    }
    assignments.extend(begun.and_then(|(number, logical)| assignment(number, &logical)));
    assignments
}

fn assignment(line: usize, text: &str) -> Option<Assignment> {
    let text = text.trim();
    let text = text.strip_prefix("export ").map_or(text, str::trim_start);
    let (name, value) = text.split_once('=')?;
    let is_name = !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
    is_name.then(|| Assignment { line, name: name.to_owned(), value: unquoted(value.trim()) })
}

/// A value without its quotes. One that is not quoted well is taken as it stands.
fn unquoted(value: &str) -> String {
    if !value.contains(['"', '\'', '\\']) {
        return value.to_owned();
    }
    shlex::split(value).map_or_else(|| value.to_owned(), |words| words.join(" "))
}

/// The words of a line of a unit: white space separates, quotes hold together. See `systemd.syntax(7)`.
pub fn words(line: &str) -> Vec<String> {
    shlex::split(line).unwrap_or_else(|| line.split_ascii_whitespace().map(str::to_owned).collect())
}

/// `$NAME` and `${NAME}` replaced by what `lookup` gives; one without a value is empty, as in a shell.
pub fn expanded(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        result.push_str(before);
        let braced = after.strip_prefix('{').and_then(|inside| inside.split_once('}'));
        let (name, after) = braced.unwrap_or_else(|| {
            let end = after.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
            after.split_at(end.unwrap_or(after.len()))
        });
        if name.is_empty() {
            result.push('$');
        } else {
            result.push_str(&lookup(name).unwrap_or_default());
        }
        rest = after;
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Vec<(usize, String, String)> {
        parse(text).into_iter().map(|found| (found.line, found.name, found.value)).collect()
    }

    #[test]
    fn assignments_are_read_as_a_shell_and_systemd_do() {
        let text = "# A=1\n\nA=1\nexport B=\"x y\"\n C='/a b' \nD=one two\nE=\n\
                    F=a\\\nb\nif [ -z \"$G\" ]; then\nH-I=no\n2A=no\nJ=\"unclosed\n";
        let expected = [
            (3, "A", "1"),
            (4, "B", "x y"),
            (5, "C", "/a b"),
            (6, "D", "one two"),
            (7, "E", ""),
            (8, "F", "ab"),
            (13, "J", "\"unclosed"),
        ];
        let found = pairs(text);
        let found: Vec<(usize, &str, &str)> = found
            .iter()
            .map(|(line, name, value)| (*line, name.as_str(), value.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn words_are_held_together_by_quotes() {
        assert_eq!(words("\"A=x y\" B=z  'C=1'"), ["A=x y", "B=z", "C=1"]);
        assert_eq!(words("A=\"unclosed b"), ["A=\"unclosed", "b"]);
    }

    #[test]
    fn variables_are_replaced() {
        let lookup = |name: &str| (name == "HOME_1").then(|| "/h".to_owned());
        assert_eq!(expanded("${HOME_1}/a:$HOME_1/b:$NONE.$", &lookup), "/h/a:/h/b:.$");
        assert_eq!(expanded("${unclosed", &lookup), "${unclosed");
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "\\PC*|[\\$A={}\"'\\\\\n# ]{0,60}") {
            for found in parse(&text) {
                let _value = expanded(&found.value, &|_| None);
            }
            let _words = words(&text);
        }
    }
}
