//! `jvm.options` and `jvm.options.d/*.options`: what the Java machine is started with.
//!
//! The grammar is that of `JvmOptionsParser.java` of Elasticsearch, which OpenSearch and Logstash share.

use super::process::Environment;
use crate::host::Host;
use crate::path::HostPath;
use crate::snapshot::Namespace;

/// Such files are a few KiB.
const LIMIT: usize = 1 << 20;

/// The options in the text of a file that count for a Java of version `major`; all of them where it is not known.
pub(crate) fn parse(text: &str, major: Option<u32>) -> Vec<String> {
    text.lines().filter_map(|line| option(line.trim(), major)).map(str::to_owned).collect()
}

/// `-OPTION`, `N:-OPTION`, `N-:-OPTION` or `N-M:-OPTION`.
fn option(line: &str, major: Option<u32>) -> Option<&str> {
    if line.starts_with('-') {
        return Some(line);
    }
    let (range, option) = line.split_once(':')?;
    let (first, last) = match range.split_once('-') {
        None => (range.parse().ok()?, Some(range.parse().ok()?)),
        Some((first, "")) => (first.parse().ok()?, None),
        Some((first, last)) => (first.parse::<u32>().ok()?, Some(last.parse().ok()?)),
    };
    let counts =
        major.is_none_or(|major| first <= major && last.is_none_or(|last: u32| major <= last));
    (counts && option.starts_with('-')).then_some(option)
}

/// The options that a start takes from the files in `config` and from the environment, in the order in which later ones win.
pub(super) fn of(
    host: &dyn Host,
    seen_by: &Namespace,
    config: &HostPath,
    home: &HostPath,
    environment: &Environment,
    java_options: &str,
) -> Vec<String> {
    let major = bundled_java(host, seen_by, home);
    let read = |path: &HostPath| {
        let bytes = host.read(seen_by, path, LIMIT).unwrap_or_default();
        parse(&String::from_utf8_lossy(&bytes), major)
    };
    let mut options = read(&config.join("jvm.options"));
    let directory = config.join("jvm.options.d");
    for name in host.list(seen_by, &directory).unwrap_or_default() {
        if name.ends_with(b".options") {
            options.extend(read(&directory.join(&name)));
        }
    }
    let words = environment.get(java_options).unwrap_or_default();
    options.extend(words.split_ascii_whitespace().map(str::to_owned));
    options
}

/// The version of the Java that comes with the product: `JAVA_VERSION="21.0.4"` of `jdk/release`.
fn bundled_java(host: &dyn Host, seen_by: &Namespace, home: &HostPath) -> Option<u32> {
    let bytes = host.read(seen_by, &home.join("jdk/release"), LIMIT).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let version = text.lines().find_map(|line| line.strip_prefix("JAVA_VERSION="))?;
    // Until 8 it was `1.8.0_402`.
    let version = version.trim_matches('"').trim_start_matches("1.");
    version.split(['.', '_', '+', '-']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "# -XX:Comment\n\n-Xms1g\n  -XX:HeapDumpPath=/d\n8:-Xloggc:/gc8.log\n\
                        8-13:-XX:Old\n14-:-XX:New\n9-:-Xlog:gc*:file=/gc.log\nXms\n8:no\nx-:-no\n";

    #[test]
    fn options_count_for_the_versions_that_they_name() {
        let always = ["-Xms1g", "-XX:HeapDumpPath=/d"];
        let with = |rest: &[&'static str]| [always.as_slice(), rest].concat();
        assert_eq!(parse(TEXT, Some(8)), with(&["-Xloggc:/gc8.log", "-XX:Old"]));
        assert_eq!(parse(TEXT, Some(11)), with(&["-XX:Old", "-Xlog:gc*:file=/gc.log"]));
        assert_eq!(parse(TEXT, Some(21)), with(&["-XX:New", "-Xlog:gc*:file=/gc.log"]));
        assert_eq!(parse(TEXT, None).len(), 6);
    }

    #[test]
    fn files_come_in_order_and_the_environment_last() {
        let root = tempfile::tempdir().unwrap();
        let config = root.path().join("etc/es");
        std::fs::create_dir_all(config.join("jvm.options.d")).unwrap();
        std::fs::create_dir_all(root.path().join("es/jdk")).unwrap();
        std::fs::write(root.path().join("es/jdk/release"), "X=1\nJAVA_VERSION=\"1.8.0_402\"\n")
            .unwrap();
        for (name, text) in [
            ("jvm.options", "-A\n8:-eight\n9-:-nine\n"),
            ("jvm.options.d/b.options", "-C\n"),
            ("jvm.options.d/a.options", "-B\n"),
            ("jvm.options.d/README", "-no\n"),
        ] {
            std::fs::write(config.join(name), text).unwrap();
        }
        let environment = Environment::from_pairs([("ES_JAVA_OPTS", "-D  -E")].into_iter());
        let host = crate::host::recorded::RecordedHost::new(root.path());
        let options = of(
            &host,
            &Namespace::Host,
            &"/etc/es".into(),
            &"/es".into(),
            &environment,
            "ES_JAVA_OPTS",
        );
        assert_eq!(options, ["-A", "-eight", "-B", "-C", "-D", "-E"]);
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "\\PC*|[0-9:\\-#\n X]{0,60}") {
            let _options = parse(&text, Some(17));
        }
    }
}
