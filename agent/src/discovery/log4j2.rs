//! `log4j2.properties`: the directories that the appenders of a product write to.

use std::collections::{BTreeMap, BTreeSet};

use atrest_proto::model::{Gap, Reason};

use crate::path::HostPath;

/// Properties may refer to others; deeper than this nobody does.
const DEEPEST: usize = 8;

/// Where appenders write.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Appenders {
    pub(crate) directories: BTreeSet<String>,
    /// The keys of those of which nothing is known: their names begin with a lookup that has no value here.
    pub(crate) unknown: BTreeSet<String>,
}

impl Appenders {
    /// What of the file at `path` is not known.
    pub(crate) fn gaps(&self, path: &HostPath) -> impl Iterator<Item = Gap> {
        self.unknown.iter().map(move |key| Gap {
            subject: path.to_string(),
            reason: Reason::Unreadable,
            detail: format!("`{key}` begins with a lookup that has no value here"),
            remedy: "name the directory in the agent's configuration".to_owned(),
        })
    }
}

/// The directories of every `fileName` and `filePattern`, with `${NAME}`, `${sys:NAME}` and `${env:NAME}` replaced by what the
/// properties of the file and `lookup` give. From another lookup on, the name is no part of what is fixed.
pub(crate) fn appenders(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Appenders {
    let assignments = assignments(text);
    let properties: BTreeMap<&str, &str> = assignments
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix("property.")?, value.as_str())))
        .collect();
    let mut found = Appenders::default();
    for (key, value) in &assignments {
        let is_file = key.starts_with("appender.")
            && (key.ends_with(".fileName") || key.ends_with(".filePattern"));
        if !is_file {
            continue;
        }
        let (file, is_whole) = replaced(value, &properties, lookup, DEEPEST);
        match directory(&file) {
            // Everything lies below the root.
            Some(directory) if is_whole || directory != "/" => {
                found.directories.insert(directory);
            }
            // Into the working directory, as those of tests do.
            None if is_whole => {}
            Some(_) | None => {
                found.unknown.insert(key.clone());
            }
        }
    }
    found
}

/// The part of a file's name that is the same for every file: a pattern's dates and counters stand in what follows.
fn directory(file: &str) -> Option<String> {
    let fixed = file.find(['%', '$']).and_then(|end| file.get(..end)).unwrap_or(file);
    let (directory, _) = fixed.rsplit_once('/')?;
    Some(if directory.is_empty() { "/" } else { directory }.to_owned())
}

/// The keys and values of a file of Java properties, without escapes: names of files need none.
fn assignments(text: &str) -> Vec<(String, String)> {
    let mut assignments = Vec::new();
    let mut begun = String::new();
    for line in text.lines() {
        let line = line.trim();
        if begun.is_empty() && line.starts_with(['#', '!']) {
            continue;
        }
        if let Some(part) = line.strip_suffix('\\') {
            begun.push_str(part);
            continue;
        }
        begun.push_str(line);
        if let Some((key, value)) = begun.split_once(['=', ':']) {
            assignments.push((key.trim().to_owned(), value.trim().to_owned()));
        }
        begun.clear();
    }
    assignments
}

/// A text up to the first lookup that has no value; and whether that is all of it. `$${` defers a lookup to the time of writing,
/// as dates do: what follows is fixed as little.
fn replaced(
    text: &str,
    properties: &BTreeMap<&str, &str>,
    lookup: &dyn Fn(&str) -> Option<String>,
    depth: usize,
) -> (String, bool) {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        result.push_str(before);
        if before.ends_with('$') {
            return (result, true);
        }
        let Some((name, after)) = after.split_once('}') else { return (result, false) };
        let (name, default) = name.split_once(":-").map_or((name, None), |(n, d)| (n, Some(d)));
        let value = match name.split_once(':') {
            Some(("sys" | "env", "file.separator")) => Some("/".to_owned()),
            Some(("sys" | "env", name)) => lookup(name),
            None if depth > 0 => properties.get(name).and_then(|value| {
                let (value, is_whole) = replaced(value, properties, lookup, depth - 1);
                is_whole.then_some(value)
            }),
            Some(_) | None => None,
        };
        let Some(value) = value.or_else(|| default.map(str::to_owned)) else {
            return (result, false);
        };
        result.push_str(&value);
        rest = after;
    }
    result.push_str(rest);
    (result, true)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str) -> Vec<String> {
        let lookup = |name: &str| match name {
            "es.logs.base_path" => Some("/var/log/es".to_owned()),
            "es.logs.cluster_name" => Some("prod".to_owned()),
            _ => None,
        };
        let found = appenders(text, &lookup);
        found.directories.into_iter().collect()
    }

    #[test]
    fn appenders_write_where_their_names_and_patterns_say() {
        let text = "status = error\n\
             appender.rolling.fileName = ${sys:es.logs.base_path}${sys:file.separator}${sys:es.logs.cluster_name}_server.json\n\
             appender.rolling.filePattern = ${sys:es.logs.base_path}/${sys:es.logs.cluster_name}-%d{yyyy-MM-dd}-%i.json.gz\n\
             appender.audit.fileName=/srv/audit/${sys:es.logs.cluster_name}_audit.json\n\
             appender.audit.filePattern : \\\n   /srv/old/%d{yyyy}/x.gz\n\
             appender.late.filePattern = /srv/late/$${date:yyyy}/x.gz\n\
             #appender.no.fileName = /no/x\n\
             appender.part.fileName = /srv/part/${hostName}/x\n\
             property.base = ${sys:es.logs.base_path}/own\nappender.own.fileName = ${base}/x\n\
             appender.default.fileName = ${env:LOGS:-/srv/default}/x\n\
             appender.root.fileName = /x.log\n\
             appender.console.type = Console\n";
        assert_eq!(
            found(text),
            [
                "/",
                "/srv/audit",
                "/srv/default",
                "/srv/late",
                "/srv/old",
                "/srv/part",
                "/var/log/es",
                "/var/log/es/own"
            ]
        );
    }

    #[test]
    fn what_nothing_is_known_of_is_said() {
        let unknown = |value: &str| {
            let text = format!(
                "property.a = ${{b}}\nproperty.b = ${{a}}\nappender.x.fileName = {value}\n"
            );
            let found = appenders(&text, &|_| None);
            assert!(found.directories.is_empty(), "{found:?}");
            found.unknown.into_iter().collect::<Vec<_>>()
        };
        for value in
            ["${sys:nobody.knows}/x", "/${hostName}/x", "x-${hostName}/y", "${a}/x", "${unclosed"]
        {
            assert_eq!(unknown(value), ["appender.x.fileName"], "{value}");
        }
        assert_eq!(unknown("x.log"), [""; 0]);
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "\\PC*|(appender\\.x\\.fileName=[$%{}a:/\\\\-]{0,20}\n){0,3}") {
            let _directories = found(&text);
        }
    }
}
