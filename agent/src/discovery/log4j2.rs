//! `log4j2.properties`: the directories that the appenders of a product write to.

use std::collections::BTreeSet;

/// The directories of every `fileName` and `filePattern`, with `${sys:NAME}` and `${env:NAME}` replaced by what `lookup`
/// gives; one that has no value there is left out.
pub(crate) fn directories(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> BTreeSet<String> {
    assignments(text)
        .into_iter()
        .filter(|(key, _)| {
            key.starts_with("appender.")
                && (key.ends_with(".fileName") || key.ends_with(".filePattern"))
        })
        .filter_map(|(_, value)| replaced(&value, lookup))
        .filter_map(|file| directory(&file))
        .collect()
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

/// `None` where a lookup has no value. `$${` defers a lookup to the time of writing, as dates do.
fn replaced(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        result.push_str(before);
        if before.ends_with('$') {
            // What follows is no directory that is known now.
            return Some(result);
        }
        let (name, after) = after.split_once('}')?;
        let value = match name.split_once(':') {
            Some(("sys" | "env", "file.separator")) => Some("/".to_owned()),
            Some(("sys" | "env", name)) => {
                let (name, default) =
                    name.split_once(":-").map_or((name, None), |(n, d)| (n, Some(d)));
                lookup(name).or_else(|| default.map(str::to_owned))
            }
            Some(_) | None => None,
        };
        result.push_str(&value?);
        rest = after;
    }
    result.push_str(rest);
    Some(result)
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
        directories(text, &lookup).into_iter().collect()
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
             appender.unknown.fileName = ${sys:nobody.knows}/x\n\
             appender.default.fileName = ${env:LOGS:-/srv/default}/x\n\
             appender.root.fileName = /x.log\n\
             appender.console.type = Console\n";
        assert_eq!(
            found(text),
            ["/", "/srv/audit", "/srv/default", "/srv/late", "/srv/old", "/var/log/es"]
        );
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "\\PC*|(appender\\.x\\.fileName=[$%{}a:/\\\\-]{0,20}\n){0,3}") {
            let _directories = found(&text);
        }
    }
}
