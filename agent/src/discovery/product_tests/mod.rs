//! Whole hosts with one product of the stack each: installed in one of the usual ways, running or not.

mod beats;
mod elastic_agent;
mod kibana;
mod logstash;

use std::fs;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;
use crate::host::recorded::RecordedHost;

/// A host as a directory.
pub(super) struct Root(TempDir);

/// A process of that host.
pub(super) struct Runs<'a> {
    pub(super) pid: i32,
    pub(super) argv: &'a [&'a str],
    pub(super) environ: &'a [&'a str],
    pub(super) cwd: &'a str,
}

impl Root {
    pub(super) fn new() -> Self {
        let root = Self(tempfile::tempdir().unwrap());
        root.file("etc/passwd", "root:x:0:0::/:/bin/sh\nkibana:x:101:102::/:/bin/false\nlogstash:x:111:112::/:/bin/false\nother:x:7:8::/:/bin/false\n");
        root.file("etc/group", "root:x:0:\nkibana:x:102:\nlogstash:x:112:\nother:x:8:\n");
        root.runs(&Runs { pid: 1, argv: &["/sbin/init"], environ: &[], cwd: "/" });
        root
    }

    pub(super) fn file(&self, path: &str, contents: impl AsRef<[u8]>) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    pub(super) fn directory(&self, path: &str) {
        fs::create_dir_all(self.0.path().join(path)).unwrap();
    }

    pub(super) fn link(&self, target: &str, path: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        drop(fs::remove_file(&path));
        symlink(target, path).unwrap();
    }

    pub(super) fn remove(&self, path: &str) {
        fs::remove_file(self.0.path().join(path)).unwrap();
    }

    pub(super) fn runs(&self, runs: &Runs<'_>) {
        let pid = runs.pid;
        let join = |texts: &[&str]| texts.iter().flat_map(|text| [*text, "\0"]).collect::<String>();
        self.file(&format!("proc/{pid}/cmdline"), join(runs.argv));
        self.file(&format!("proc/{pid}/environ"), join(runs.environ));
        // As the units of the packages have it.
        let is_of = |part: &str| runs.argv.iter().any(|argument| argument.contains(part));
        let (uid, gid) = if is_of("ogstash") {
            (111, 112)
        } else if is_of("beat") || is_of("elastic-agent") || is_of("apm-server") {
            (0, 0)
        } else {
            (101, 102)
        };
        self.owned(pid, uid, gid);
        self.link(runs.cwd, &format!("proc/{pid}/cwd"));
        self.link("/", &format!("proc/{pid}/root"));
        self.link("mnt:[4026531841]", &format!("proc/{pid}/ns/mnt"));
    }

    /// The account that the process runs as.
    pub(super) fn owned(&self, pid: i32, uid: u32, gid: u32) {
        let status = format!(
            "Name:\tx\nPPid:\t1\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t{gid}\t{gid}\t{gid}\t{gid}\n"
        );
        self.file(&format!("proc/{pid}/status"), status);
    }

    /// The process is in a container of its own, with these files.
    pub(super) fn contains(&self, pid: i32, files: &[(&str, &str)]) {
        fs::remove_file(self.0.path().join(format!("proc/{pid}/root"))).unwrap();
        self.link("mnt:[4026532999]", &format!("proc/{pid}/ns/mnt"));
        self.file(&format!("proc/{pid}/cgroup"), format!("0::/docker/{}\n", "ab".repeat(32)));
        for (path, contents) in files {
            self.file(&format!("proc/{pid}/root/{path}"), contents);
        }
    }

    pub(super) fn discover(&self) -> Discovery {
        self.discover_with(&[])
    }

    /// Discovers, and sees to it that no gap came up but those with these words, and no secret came along.
    pub(super) fn discover_with(&self, expected: &[&str]) -> Discovery {
        let found = discover(&RecordedHost::new(self.0.path()), &Declared::default());
        let gaps: Vec<String> =
            found.gaps.iter().map(|gap| format!("{}: {}", gap.subject, gap.detail)).collect();
        assert_eq!(gaps.len(), expected.len(), "{gaps:?}");
        for (gap, expected) in gaps.iter().zip(expected) {
            assert!(gap.contains(expected), "{gap}");
        }
        assert!(!format!("{found:?}").contains("hunter2"));
        found
    }
}

/// What is only assumed, as lines.
pub(super) fn assumed(found: &Discovery) -> Vec<String> {
    let line = |one: &Assumption| format!("{} {}", one.usage, one.path);
    found.assumptions.iter().map(line).collect()
}

/// Everything that was found, as lines.
pub(super) fn listed(found: &Discovery) -> Vec<String> {
    let eyes = |namespace: &Namespace| match namespace {
        Namespace::Host => String::new(),
        Namespace::Process(pid) => format!(" in {pid}"),
    };
    let of = |service: &Option<String>| service.clone().unwrap_or_default();
    let mut lines = Vec::new();
    for service in &found.services {
        let version = service.version.as_deref().unwrap_or("-");
        lines.push(format!(
            "{} {} {} {version} {}",
            service.name,
            service.product,
            service.state,
            service.config_dir.as_deref().unwrap_or_default()
        ));
    }
    for place in &found.places {
        let whose = of(&place.service);
        lines.push(format!("{whose}: {} {}{}", place.usage, place.path, eyes(&place.namespace)));
    }
    for keystore in &found.keystores {
        let user = keystore.run_as.as_ref().map_or("-", |account| account.user.as_str());
        lines.push(format!(
            "{}: keystore {} {} {user}{}",
            of(&keystore.service),
            keystore.format,
            keystore.path,
            eyes(&keystore.namespace)
        ));
    }
    for place in &found.configurations {
        let whose = of(&place.service);
        lines.push(format!("{whose}: {:?} {}{}", place.form, place.path, eyes(&place.namespace)));
    }
    for claim in &found.claims {
        lines.push(format!(
            "{}: {} {:?} {}",
            claim.service,
            claim.setting,
            claim.source,
            claim.values.join(",")
        ));
    }
    lines
}

/// Sees to it that exactly this was found, in any order.
pub(super) fn assert_listed(found: &Discovery, expected: &[impl AsRef<str>]) {
    assert_listed_of("", found, expected);
}

/// Sees to it that exactly this was found of what begins so, in any order.
pub(super) fn assert_listed_of(start: &str, found: &Discovery, expected: &[impl AsRef<str>]) {
    let mut found: Vec<String> =
        listed(found).into_iter().filter(|line| line.starts_with(start)).collect();
    found.sort();
    let mut expected: Vec<String> = expected.iter().map(|line| line.as_ref().to_owned()).collect();
    expected.sort();
    assert_eq!(found, expected);
}
