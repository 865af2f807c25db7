//! Variables of the environment: in files that shells and systemd read, in units, and of a running process.

use zeroize::Zeroizing;

use super::{Collector, Instead, Kind, Leaf, Naming, Sighting, Value, arguments, scan, value};
use crate::path::HostPath;

/// Files of variables and units have some kilobytes.
pub(crate) const MAX_SIZE: usize = 1 << 20;
/// The kernel allows an argument list and environment of 6 MiB together at most.
pub(crate) const MAX_ENVIRONMENT: usize = 6 << 20;
/// A text in quotes may go over lines, such as a key in PEM.
const MAX_LINES: usize = 200;

/// Reads a file of assignments.
pub(crate) fn read_file(text: &str, collector: &mut Collector<'_>) {
    for (line, statement) in statements(text, true) {
        let statement = statement.trim_start();
        if statement.starts_with(['#', ';']) {
            continue;
        }
        let statement = statement.strip_prefix("export ").unwrap_or(statement).trim();
        let Some((name, rest)) = statement.split_once('=') else { continue };
        let value = scan::unquoted_whole(rest);
        // In single quotes a shell takes everything as it stands.
        if !rest.starts_with('\'') && value::is_shell_reference(value) {
            assigned(name, "${SHELL}", Some(line), collector);
            continue;
        }
        assigned(name.trim_end_matches('+'), value, Some(line), collector);
        // `A=1 B=2`, as shells have it.
        for word in Zeroizing::new(arguments::words(statement)).iter().skip(1) {
            if let Some((name, value)) = word.split_once('=')
                && arguments::is_variable(name)
            {
                assigned(name, value, Some(line), collector);
            }
        }
    }
    scan::comments(text, pair, Naming::Variable, collector);
}

fn pair(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.strip_prefix("export ").unwrap_or(text).split_once('=')?;
    arguments::is_variable(name).then_some((name, value))
}

/// `Environment="NAME=value"`, when it is one variable.
fn environment_pair(text: &str) -> Option<(&str, &str)> {
    pair(text.strip_prefix("Environment=")?.trim_start_matches('"'))
}

/// Reads a unit of systemd or a drop-in; returns the files of variables that it names.
pub(crate) fn read_unit(text: &str, collector: &mut Collector<'_>) -> Vec<HostPath> {
    let mut files = Vec::new();
    for (line, statement) in statements(text, false) {
        let Some((key, value)) = statement.split_once('=') else { continue };
        let (key, value) = (key.trim(), value.trim());
        if key.starts_with(['#', ';', '[']) {
            continue;
        }
        match key {
            "Environment" => {
                for word in Zeroizing::new(arguments::words(value)).iter() {
                    if let Some((name, value)) = word.split_once('=') {
                        assigned(name, value, Some(line), collector);
                    }
                }
            }
            "EnvironmentFile" => {
                let path = value.strip_prefix('-').unwrap_or(value);
                // Patterns and specifiers name nothing that could be opened.
                if path.starts_with('/') && !path.contains(['*', '?', '[', '%']) {
                    files.push(HostPath::from(path));
                }
            }
            // `SetCredentialEncrypted=` is what it says, `LoadCredential=` names a file.
            "SetCredential" => {
                let (id, data) = value.split_once(':').unwrap_or((value, ""));
                let is_name = id.bytes().all(|byte| byte.is_ascii_graphic()) && id.len() < 100;
                let id = if is_name { id } else { "?" };
                let class = value::class(data);
                if class != Value::Empty {
                    collector.add(Sighting {
                        line: Some(line),
                        setting: format!("SetCredential={id}"),
                        kind: Kind::Key,
                        value: Value::Set,
                        is_comment: false,
                        instead: Some(Instead::Entry("SetCredentialEncrypted=".to_owned())),
                    });
                }
            }
            _ if key.starts_with("Exec") => {
                let words = Zeroizing::new(arguments::words(value));
                arguments::take(&words, Some(line), false, collector);
            }
            _ => {}
        }
    }
    for (line, content) in scan::numbered(text) {
        let comment = content.trim_start().strip_prefix(['#', ';']).map(str::trim);
        if let Some((name, value)) = comment.and_then(environment_pair) {
            let (value, naming) = (value.trim_matches(['"', '\'']), Naming::Variable);
            let line = Some(line);
            collector.take(Leaf { name, shown: None, line, value, naming, is_comment: true });
        }
    }
    files
}

/// Reads `/proc/PID/environ`.
pub(crate) fn read_environment(bytes: &[u8], collector: &mut Collector<'_>) {
    for variable in bytes.split(|byte| *byte == 0) {
        let variable = Zeroizing::new(String::from_utf8_lossy(variable).into_owned());
        if let Some((name, value)) = variable.split_once('=') {
            assigned(name, value, None, collector);
        }
    }
}

/// One variable, by whatever convention its name is made.
pub(super) fn assigned(name: &str, text: &str, line: Option<u64>, collector: &mut Collector<'_>) {
    let name = name.trim();
    if name.ends_with("OPTS") || name.ends_with("OPTIONS") || name.ends_with("ARGS") {
        let words = Zeroizing::new(arguments::words(text));
        arguments::take(&words, line, false, collector);
        return;
    }
    let leaf =
        |name, shown, naming| Leaf { name, shown, line, value: text, naming, is_comment: false };
    // The entry scripts of the images: `a.b`, and `ES_SETTING_A_B__C` for `a.b_c`.
    if let Some(encoded) = name.strip_prefix("ES_SETTING_") {
        let decoded =
            encoded.to_ascii_lowercase().replace("__", "\0").replace('_', ".").replace('\0', "_");
        collector.take(leaf(&decoded, Some(name), Naming::Dotted));
    } else if name.contains('.') {
        collector.take(leaf(name, None, Naming::Dotted));
    } else {
        collector.take(leaf(name, None, Naming::Variable));
    }
}

/// Logical lines with the number of their first: joined at a backslash, and inside of quotes where these go over lines.
fn statements(text: &str, quotes_go_on: bool) -> Vec<(u64, Zeroizing<String>)> {
    let mut statements = Vec::new();
    let mut lines = scan::numbered(text).peekable();
    while let Some((number, line)) = lines.next() {
        let mut statement = Zeroizing::new(line.to_owned());
        if !line.trim_start().starts_with(['#', ';']) {
            let mut joined = 0;
            loop {
                if is_continued(&statement) {
                    statement.pop();
                    statement.push(' ');
                } else if quotes_go_on && is_open(&statement) {
                    statement.push('\n');
                } else {
                    break;
                }
                joined += 1;
                let Some((_, next)) = lines.next_if(|_| joined < MAX_LINES) else { break };
                statement.push_str(next);
            }
        }
        statements.push((number, statement));
    }
    statements
}

fn is_continued(line: &str) -> bool {
    let kept = line.trim_end_matches('\\');
    (line.len() - kept.len()) % 2 == 1
}

/// Whether a quote behind the `=` has no end yet.
fn is_open(statement: &str) -> bool {
    let Some((_, value)) = statement.split_once('=') else { return false };
    let Some(quote) = value.chars().next().filter(|first| ['"', '\''].contains(first)) else {
        return false;
    };
    let mut escaped = false;
    let mut quotes = 0;
    for character in value.chars() {
        if character == quote && !escaped {
            quotes += 1;
        }
        escaped = character == '\\' && !escaped && quote == '"';
    }
    quotes % 2 == 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::secrets::Contents;

    fn contents(read: impl FnOnce(&mut Collector<'_>)) -> Contents {
        let mut collector = Collector::new("elasticsearch");
        read(&mut collector);
        collector.finish()
    }

    fn names(contents: &Contents) -> Vec<(u64, &str)> {
        let plain = contents.sightings.iter().filter(|seen| seen.is_plain());
        plain.map(|seen| (seen.line.unwrap_or(0), seen.setting.as_str())).collect()
    }

    #[test]
    fn files_of_variables_are_read_as_shells_and_systemd_do() {
        let text = "# defaults\nES_PATH_CONF=/etc/es\nexport ELASTIC_PASSWORD='hunter2'\nA=1 DB_PASSWORD=hunter2\nLONG=\\\n\"x\"\n\
                    ES_JAVA_OPTS=\"-Xms1g -Djavax.net.ssl.keyStorePassword=hunter2\"\nKEY_PASSPHRASE=\"a\nb\"\nX_TOKEN=$(cat /run/t)\nU_TOKEN='$QUOTED'\nV_TOKEN=$OTHER\nY_TOKEN=${Z}\n\
                    ES_KEYSTORE_PASSPHRASE_FILE=/etc/pw\n#OLD_PASSWORD=Zx81-uvula\n#ES_JAVA_OPTS=\nNEXT_PASSWORD=hunter2\n";
        assert_eq!(
            names(&contents(|collector| read_file(text, collector))),
            [
                (3, "ELASTIC_PASSWORD"),
                (4, "DB_PASSWORD"),
                (7, "javax.net.ssl.keyStorePassword"),
                (8, "KEY_PASSPHRASE"),
                (11, "U_TOKEN"),
                (15, "OLD_PASSWORD"),
                (17, "NEXT_PASSWORD"),
            ]
        );
    }

    #[test]
    fn units_set_several_variables_on_a_line_and_go_on_over_lines() {
        let text = "[Service]\nEnvironment=\"A_PASSWORD=hun ter2\" B=c C_TOKEN=abcdef12\nEnvironment=D=e \\\n  E_SECRET=hunter2\n\
                    EnvironmentFile=-/etc/default/es\nSetCredential=pw:hunter2\nSetCredentialEncrypted=pw2:abc\nLoadCredential=pw3:/etc/pw\n\
                    ExecStart=/usr/bin/es -Ea.password=hunter2\n#Environment=\"F_PASSWORD=Zx81-uvula\"\nPassEnvironment=G_PASSWORD\n";
        let mut files = Vec::new();
        let seen = contents(|collector| files = read_unit(text, collector));
        assert_eq!(
            names(&seen),
            [
                (2, "A_PASSWORD"),
                (2, "C_TOKEN"),
                (3, "E_SECRET"),
                (6, "SetCredential=pw"),
                (9, "a.password"),
                (10, "F_PASSWORD")
            ]
        );
        assert_eq!(files, [HostPath::from("/etc/default/es")]);
    }

    #[test]
    fn an_environment_has_the_settings_of_the_images_too() {
        let bytes = b"PWD=/usr/share\0ELASTIC_PASSWORD=hunter2\0xpack.security.http.ssl.keystore.password=x1\0ES_SETTING_XPACK_SECURITY_HTTP_SSL_KEY__PASSPHRASE=x2\0\
                      KEYSTORE_PASSWORD_FILE=/run/x\0BROKEN\0X_URL=https://u:pw@h\0Y_TOKEN=true\0CLI_JAVA_OPTS=-Dz.password=x3\0";
        let seen = contents(|collector| read_environment(bytes, collector));
        let mut names: Vec<&str> = names(&seen).into_iter().map(|(_, name)| name).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "ELASTIC_PASSWORD",
                "ES_SETTING_XPACK_SECURITY_HTTP_SSL_KEY__PASSPHRASE",
                "X_URL",
                "xpack.security.http.ssl.keystore.password",
                "z.password"
            ]
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[A-C=\\\\\"' \n#;$(){}PASWORD]{0,120}") {
            contents(|collector| read_file(&text, collector));
            contents(|collector| drop(read_unit(&text, collector)));
            contents(|collector| read_environment(text.as_bytes(), collector));
        }
    }
}
