//! What the argument list of a Java server says: properties, settings, and where the machine itself writes.

use atrest_proto::model::Use;

use crate::path::HostPath;

/// The settings given as `-Ekey=value` or `-E key=value`.
pub(crate) fn command_line(arguments: &[Vec<u8>]) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let setting = match argument.strip_prefix(b"-E") {
            Some([]) => arguments.next().map(Vec::as_slice),
            other => other,
        };
        let text = setting.and_then(|setting| std::str::from_utf8(setting).ok());
        if let Some((key, value)) = text.and_then(|text| text.split_once('=')) {
            settings.push((key.to_owned(), value.to_owned()));
        }
    }
    settings
}

/// Where the Java machine itself writes: dumps, logs, temporary files. Of one option the last counts, of `-Xlog` each.
pub(crate) fn java_places(arguments: &[Vec<u8>]) -> Vec<(Use, HostPath)> {
    /// Options with a path, what it is for, and whether it is a file, of which the directory counts.
    const OPTIONS: [(&str, Use, bool); 5] = [
        ("-Djava.io.tmpdir=", Use::Temp, false),
        ("-XX:HeapDumpPath=", Use::HeapDump, false),
        ("-XX:ErrorFile=", Use::Logs, true),
        ("-XX:ReplayDataFile=", Use::Logs, true),
        ("-Xloggc:", Use::Logs, true),
    ];
    // Patterns such as `hs_err_pid%p.log` stand in the last component only.
    let directory =
        |file: &[u8]| HostPath::new(file.to_vec()).parent().unwrap_or_else(|| HostPath::from("."));
    let mut places = Vec::new();
    for (option, usage, is_file) in OPTIONS {
        let value = arguments
            .iter()
            .rev()
            .find_map(|argument| argument.strip_prefix(option.as_bytes()))
            .filter(|value| !value.is_empty());
        places.extend(value.map(|value| {
            (usage, if is_file { directory(value) } else { HostPath::new(value.to_vec()) })
        }));
    }
    for log in arguments.iter().filter_map(|argument| argument.strip_prefix(b"-Xlog:")) {
        // `-Xlog:WHAT:file=PATH:DECORATORS:OUTPUT`.
        let text = String::from_utf8_lossy(log);
        let file = text.split(':').find_map(|part| part.strip_prefix("file="));
        places.extend(file.map(|file| (Use::Logs, directory(file.trim_matches('"').as_bytes()))));
    }
    places
}

/// The last `-Dname=value`.
pub(crate) fn property(arguments: &[Vec<u8>], name: &str) -> Option<HostPath> {
    let prefix = format!("-D{name}=");
    let value =
        arguments.iter().rev().find_map(|argument| argument.strip_prefix(prefix.as_bytes()))?;
    (!value.is_empty()).then(|| HostPath::new(value.to_vec()))
}

/// The argument after `name`, or joined to it with `=`.
pub(crate) fn argument_after(arguments: &[Vec<u8>], name: &str) -> Option<HostPath> {
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.strip_prefix(name.as_bytes()) {
            Some([]) => return arguments.next().map(|value| HostPath::new(value.clone())),
            Some([b'=', value @ ..]) => return Some(HostPath::new(value.to_vec())),
            Some(_) | None => {}
        }
    }
    None
}

/// What every one of the options `names` is given, beside it or joined with `=`, in order.
pub(crate) fn values(arguments: &[Vec<u8>], names: &[&str]) -> Vec<HostPath> {
    let mut values = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let rest = names.iter().find_map(|name| {
            argument.strip_prefix(name.as_bytes()).filter(|rest| matches!(rest, [] | [b'=', ..]))
        });
        match rest {
            Some([]) => values.extend(arguments.next().map(|value| HostPath::new(value.clone()))),
            Some([_, value @ ..]) => values.push(HostPath::new(value.to_vec())),
            None => {}
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(texts: &[&str]) -> Vec<Vec<u8>> {
        texts.iter().map(|text| text.as_bytes().to_vec()).collect()
    }

    #[test]
    fn settings_of_the_command_line_are_read_in_both_forms() {
        let found =
            command_line(&arguments(&["-Epath.data=/a,/b", "-E", "path.logs=/l", "-E", "broken"]));
        assert_eq!(
            found,
            [("path.data", "/a,/b"), ("path.logs", "/l")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
        );
    }

    #[test]
    fn the_java_machine_writes_where_its_options_say() {
        let found = java_places(&arguments(&[
            "-Djava.io.tmpdir=/tmp/elasticsearch-1",
            "-XX:HeapDumpPath=/overruled",
            "-XX:HeapDumpPath=/var/lib/elasticsearch",
            "-XX:ErrorFile=/var/log/elasticsearch/hs_err_pid%p.log",
            "-Xlog:gc*,gc+age=trace:file=/var/log/es/gc.log:utctime,level:filecount=32",
            "-Xlog:disable",
            "-XX:ReplayDataFile=replay_pid%p.log",
        ]));
        assert_eq!(
            found,
            [
                (Use::Temp, "/tmp/elasticsearch-1"),
                (Use::HeapDump, "/var/lib/elasticsearch"),
                (Use::Logs, "/var/log/elasticsearch"),
                (Use::Logs, "."),
                (Use::Logs, "/var/log/es"),
            ]
            .map(|(usage, path)| (usage, HostPath::from(path)))
        );
    }

    #[test]
    fn of_properties_the_last_counts() {
        let arguments = arguments(&[
            "-Des.path.conf=/a",
            "-Des.path.conf=/b",
            "-Des.path.confx=/c",
            "-Dempty=",
        ]);
        assert_eq!(property(&arguments, "es.path.conf"), Some(HostPath::from("/b")));
        assert_eq!(property(&arguments, "empty"), None);
    }

    #[test]
    fn an_option_has_its_value_beside_or_joined() {
        let lib = Some(HostPath::from("/es/lib"));
        assert_eq!(argument_after(&arguments(&["--module-path", "/es/lib"]), "--module-path"), lib);
        assert_eq!(argument_after(&arguments(&["--module-path=/es/lib"]), "--module-path"), lib);
        assert_eq!(argument_after(&arguments(&["--module-path"]), "--module-path"), None);
    }

    #[test]
    fn an_option_that_is_given_again_has_all_its_values() {
        let arguments = arguments(&["-c", "a", "--config=b", "--configx", "-c=c", "--config"]);
        let found = values(&arguments, &["-c", "--config"]);
        assert_eq!(found, ["a", "b", "c"].map(HostPath::from));
    }
}
