//! The files that a setting such as `path.config` names by a pattern, as Ruby's `Dir.glob` and Go's `filepath.Glob` take it.

use glob::{MatchOptions, Pattern};

use crate::host::{FileKind, Host};
use crate::path::HostPath;
use crate::snapshot::Namespace;

/// More files than this are not looked at.
pub(super) const MAX_FILES: usize = 1000;
/// Nor more directories, which `**` may lead to.
const MAX_DIRECTORIES: usize = 1000;
/// Alternatives of `{a,b}{c,d}…`.
const MAX_ALTERNATIVES: usize = 64;

/// The files that are named by a path, a directory of them, or a pattern; sorted.
///
/// `None` when it names more than are looked at.
pub(super) fn files(
    host: &dyn Host,
    seen_by: &Namespace,
    pattern: &HostPath,
) -> Option<Vec<HostPath>> {
    let text = std::str::from_utf8(pattern.as_bytes()).ok()?;
    let metadata = |path: &HostPath| host.metadata(seen_by, path, true).ok();
    let mut files = Vec::new();
    for alternative in alternatives(text)? {
        let path = HostPath::from(alternative.as_str());
        let is_directory = metadata(&path).is_some_and(|found| found.kind == FileKind::Directory);
        let pattern = if is_directory { path.join("*") } else { path };
        files.extend(matching(host, seen_by, &pattern)?);
    }
    // Editors leave such names behind.
    files.retain(|path| !path.as_bytes().ends_with(b"~"));
    files.retain(|path| metadata(path).is_some_and(|found| found.kind == FileKind::File));
    files.sort_unstable();
    files.dedup();
    (files.len() <= MAX_FILES).then_some(files)
}

/// What `{a,b}` stands for, one text each; `None` when there are too many.
pub(crate) fn alternatives(pattern: &str) -> Option<Vec<String>> {
    let mut done = Vec::new();
    let mut todo = vec![pattern.to_owned()];
    while let Some(text) = todo.pop() {
        if done.len() + todo.len() > MAX_ALTERNATIVES {
            return None;
        }
        // The innermost braces come first: what is before the first one that closes.
        let inner = text.split_once('}').and_then(|(before, after)| {
            let (before, inside) = before.rsplit_once('{')?;
            Some((before, inside, after))
        });
        match inner {
            Some((before, inside, after)) => {
                todo.extend(inside.split(',').rev().map(|one| format!("{before}{one}{after}")));
            }
            None => done.push(text),
        }
    }
    Some(done)
}

/// The paths that match, part by part; `None` when too much would have to be looked at.
fn matching(host: &dyn Host, seen_by: &Namespace, pattern: &HostPath) -> Option<Vec<HostPath>> {
    let mut looked_at = 0_usize;
    let mut list = |directory: &HostPath| {
        looked_at += 1;
        (looked_at <= MAX_DIRECTORIES).then(|| host.list(seen_by, directory).unwrap_or_default())
    };
    let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::new() };
    let mut paths = vec![HostPath::root()];
    for part in pattern.components() {
        let text = String::from_utf8_lossy(part);
        let mut next = Vec::new();
        if part == b"**" {
            // Itself, and every directory below.
            let mut todo = paths;
            while let Some(directory) = todo.pop() {
                for name in list(&directory)? {
                    let below = directory.join(&name);
                    let is_directory = host
                        .metadata(seen_by, &below, false)
                        .is_ok_and(|found| found.kind == FileKind::Directory);
                    if is_directory && !name.starts_with(b".") {
                        todo.push(below);
                    }
                }
                next.push(directory);
            }
        } else if let (true, Ok(wanted)) = (text.contains(['*', '?', '[']), Pattern::new(&text)) {
            for directory in paths {
                for name in list(&directory)? {
                    let is_wanted = std::str::from_utf8(&name)
                        .is_ok_and(|name| wanted.matches_with(name, options));
                    if is_wanted {
                        next.push(directory.join(&name));
                    }
                }
            }
        } else {
            next.extend(paths.into_iter().map(|directory| directory.join(part)));
        }
        paths = next;
    }
    Some(paths)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::host::recorded::RecordedHost;

    fn found(pattern: &str) -> Option<Vec<String>> {
        let root = tempfile::tempdir().unwrap();
        for path in
            ["a.conf", "b.conf", "b.conf~", ".c.conf", "d.cfg", "sub/e.conf", "sub/deep/f.conf"]
        {
            let path = root.path().join("etc/conf.d").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let host = RecordedHost::new(root.path());
        let files = files(&host, &Namespace::Host, &HostPath::from(pattern))?;
        let names = files.iter().map(|path| path.to_string().replace("/etc/conf.d/", ""));
        Some(names.collect())
    }

    #[test]
    fn patterns_are_those_of_ruby() {
        for (pattern, expected) in [
            ("/etc/conf.d/*.conf", &["a.conf", "b.conf"][..]),
            ("/etc/conf.d/a.conf", &["a.conf"]),
            ("/etc/conf.d", &["a.conf", "b.conf", "d.cfg"]),
            ("/etc/conf.d/{a,d}.{conf,cfg}", &["a.conf", "d.cfg"]),
            ("/etc/conf.d/[ab].conf", &["a.conf", "b.conf"]),
            ("/etc/conf.d/?.conf", &["a.conf", "b.conf"]),
            ("/etc/c*/**/*.conf", &["a.conf", "b.conf", "sub/deep/f.conf", "sub/e.conf"]),
            ("/etc/{conf.d/sub,none}/*", &["sub/e.conf"]),
            ("/etc/conf.d/[", &[]),
            ("/none/*", &[]),
        ] {
            let expected: Vec<String> = expected.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(found(pattern), Some(expected), "{pattern}");
        }
        assert_eq!(found(&"{a,b}".repeat(20)), None);
    }

    proptest! {
        #[test]
        fn any_pattern_is_survived(pattern in "\\PC{0,20}|[/*?{},a\\[\\]!-]{0,30}") {
            let _files = found(&pattern);
        }
    }
}
