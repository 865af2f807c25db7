//! Command lines and options of the Java machine: `-Dname=value`, `-Ename=value`, `--name value`.

use zeroize::Zeroizing;

use super::{Collector, Leaf, Naming, scan};

/// `jvm.options` has some kilobytes.
pub(crate) const MAX_SIZE: usize = 1 << 20;

/// Reads a file of options, one a line, some for certain versions of Java: `8-13:-Dname=value`.
pub(crate) fn read_options(text: &str, collector: &mut Collector<'_>) {
    for (number, line) in scan::numbered(text) {
        let line = line.trim();
        let is_comment = line.starts_with('#');
        let option = without_versions(line.trim_start_matches('#').trim());
        // In prose nothing is an option.
        if !is_comment || option.starts_with("-D") || option.starts_with("-E") {
            take(&Zeroizing::new(words(option)), Some(number), is_comment, collector);
        }
    }
}

/// `JvmOptionsParser` of Elasticsearch: `N:`, `N-:` or `N-M:` before the option.
fn without_versions(line: &str) -> &str {
    match line.split_once(':') {
        Some((versions, option))
            if versions.starts_with(|first: char| first.is_ascii_digit())
                && versions.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') =>
        {
            option.trim()
        }
        Some(_) | None => line,
    }
}

/// The words of a text as a shell parts them, without their quotes.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut quote, mut is_word, mut escaped) = (None, false, false);
    for character in text.chars() {
        if escaped {
            word.push(character);
            escaped = false;
        } else if character == '\\' && quote != Some('\'') {
            (escaped, is_word) = (true, true);
        } else if quote == Some(character) {
            quote = None;
        } else if quote.is_none() && (character == '"' || character == '\'') {
            (quote, is_word) = (Some(character), true);
        } else if quote.is_none() && character.is_whitespace() {
            if is_word || !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            is_word = false;
        } else {
            word.push(character);
        }
    }
    if is_word || !word.is_empty() {
        words.push(word);
    }
    words
}

/// Looks at each argument.
pub(super) fn take(
    arguments: &[String],
    line: Option<u64>,
    is_comment: bool,
    collector: &mut Collector<'_>,
) {
    let mut arguments = arguments.iter().map(String::as_str).peekable();
    while let Some(argument) = arguments.next() {
        let mut leaf = |name: &str, value: &str, naming| {
            collector.take(Leaf { name, shown: None, line, value, naming, is_comment });
        };
        let is_option = |text: &&str| text.starts_with('-');
        let assigned = argument.split_once('=');
        if argument == "-E" || argument == "-D" {
            if let Some((name, value)) = arguments.next().and_then(|next| next.split_once('=')) {
                leaf(name, value, Naming::Dotted);
            }
        } else if let (Some(rest), Some((_, value))) =
            (argument.strip_prefix("-D").or_else(|| argument.strip_prefix("-E")), assigned)
        {
            let name = rest.split_once('=').map_or(rest, |(name, _)| name);
            leaf(name, value, Naming::Dotted);
        } else if let Some(rest) = argument.strip_prefix("--") {
            match rest.split_once('=') {
                Some((name, value)) => leaf(name, value, Naming::Dotted),
                None => {
                    if let Some(value) = arguments.next_if(|next| !is_option(next)) {
                        leaf(rest, value, Naming::Dotted);
                    }
                }
            }
        } else if let Some((name, value)) = assigned.filter(|(name, _)| is_variable(name)) {
            leaf(name, value, Naming::Variable);
        } else {
            leaf("an argument", argument, Naming::Foreign);
        }
    }
}

/// A name of the environment.
pub(super) fn is_variable(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Reads `/proc/PID/cmdline`.
pub(crate) fn read_command_line(bytes: &[u8], collector: &mut Collector<'_>) {
    let arguments: Vec<String> = bytes
        .split(|byte| *byte == 0)
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .collect();
    let arguments = Zeroizing::new(arguments);
    take(&arguments, None, false, collector);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::Contents;

    fn names(contents: &Contents) -> Vec<(Option<u64>, &str)> {
        let plain = contents.sightings.iter().filter(|seen| seen.is_plain());
        plain.map(|seen| (seen.line, seen.setting.as_str())).collect()
    }

    #[test]
    fn options_of_the_java_machine_are_found_by_line() {
        let text = "## JVM\n-Xms4g\n-Djavax.net.ssl.keyStorePassword=hunter2\n\n8-13:-Djavax.net.ssl.trustStorePassword=changeit\n\
                    17-:-Dhttp.proxyPassword=\"hunter2\"\n#-Djavax.net.ssl.keyStorePassword=Zx81-uvula\n#-Dx.password=password\n-Daws.secretKey=abc/def+ghi\n\
                    -Djavax.net.ssl.keyStore=/etc/x.p12\n-Dx.password=${PW}\n";
        let mut collector = Collector::new("elasticsearch");
        read_options(text, &mut collector);
        assert_eq!(
            names(&collector.finish()),
            [
                (Some(3), "javax.net.ssl.keyStorePassword"),
                (Some(5), "javax.net.ssl.trustStorePassword"),
                (Some(6), "http.proxyPassword"),
                (Some(7), "javax.net.ssl.keyStorePassword"),
                (Some(9), "aws.secretKey"),
            ]
        );
    }

    #[test]
    fn command_lines_are_found_in_every_form() {
        let line = b"java\0-Des.path.conf=/etc/es\0-Exx.password=a1\0-E\0s3.client.default.secret_key=a2\0--elasticsearch.password=a3\0\
                     --enrollment-token\0a4b5c6d\0--flag\0--url\0https://u:a5@h\0--token\0--next\0-p\0x\0http://u:a6@h/\0";
        let mut collector = Collector::new("elasticsearch");
        read_command_line(line, &mut collector);
        let contents = collector.finish();
        let mut seen: Vec<&str> = names(&contents).into_iter().map(|(_, name)| name).collect();
        seen.sort_unstable();
        assert_eq!(
            seen,
            [
                "a setting whose name is not shown",
                "elasticsearch.password",
                "enrollment-token",
                "s3.client.default.secret_key",
                "url",
                "xx.password"
            ]
        );
    }

    #[test]
    fn words_are_parted_as_shells_do() {
        assert_eq!(
            words(r#"a "b c" 'd "e' f\ g "" h"i j"k"#),
            ["a", "b c", "d \"e", "f g", "", "hi jk"]
        );
        assert!(words("  ").is_empty());
    }
}
