//! Where memory and links go, recorded and replayed.

use super::*;
use crate::host::live::LiveHost;
use crate::host::recorded::RecordedHost;
use crate::{policy::Policy, posture};

const OURS: [&str; 3] = ["hibernation_encrypted", "core_dumps_contained", "symlink_leaves"];

fn findings(host: &dyn Host, declared: &Declared) -> Vec<String> {
    let discovery = discovery::discover(host, declared);
    let snapshot = observe::observe(host, discovery, jiff::Timestamp::UNIX_EPOCH);
    let posture = posture::evaluate(&snapshot, &Policy::default());
    let ours = posture.findings.iter().filter(|found| OURS.contains(&found.check.as_str()));
    ours.map(|found| serde_json::to_string(found).unwrap()).collect()
}

fn replayed(host: &dyn Host, declared: &Declared) -> (Vec<String>, tempfile::TempDir) {
    let scratch = tempfile::tempdir().unwrap();
    record(host, declared, scratch.path()).unwrap();
    (findings(&RecordedHost::new(scratch.path()), declared), scratch)
}

fn host(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    root
}

#[test]
fn a_replay_says_where_memory_and_links_go_as_the_host_did() {
    let root = host(&[
        (
            "proc/self/mountinfo",
            "1 0 8:0 / / rw - ext2 /dev/sda rw\n2 1 0:9 / /data rw - nfs4 box:/t rw\n",
        ),
        ("proc/swaps", "Filename Type Size Used Priority\n/dev/sda partition 1 0 -2\n"),
        ("proc/cmdline", "password=hunter2 resume=/dev/sda quiet\n"),
        ("proc/sys/kernel/core_pattern", "|/usr/lib/systemd/systemd-coredump %P\n"),
        ("sys/devices/pci/block/sda/dev", "8:0\n"),
        ("sys/devices/pci/block/sda/size", "8\n"),
        ("sys/power/state", "mem disk\n"),
        ("sys/power/resume", "0:0\n"),
        ("sys/kernel/kexec_crash_loaded", "1\n"),
        ("etc/systemd/coredump.conf", "[Coredump]\nStorage=journal\nKeepFree=hunter2\n"),
        ("etc/systemd/journald.conf.d/a.conf", "[Journal]\nStorage=persistent\n"),
        ("etc/kdump.conf", "ssh hunter2@crashbox\n"),
        ("data/es/file", ""),
        ("var/log/x", ""),
    ]);
    for (link, to) in [
        ("data/es/logs", "/var/log"),
        ("sys/dev/block/8:0", "../../devices/pci/block/sda"),
        ("sys/class/block/sda", "../../devices/pci/block/sda"),
    ] {
        std::fs::create_dir_all(root.path().join(link).parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(to, root.path().join(link)).unwrap();
    }
    let declared = Declared { paths: vec!["/data/es".into()], ..Declared::default() };
    let live = RecordedHost::new(root.path());
    let (replayed, recording) = replayed(&live, &declared);
    assert_eq!(replayed, findings(&live, &declared));
    assert!(replayed.iter().any(|found| found.contains("/data/es/logs -> /var/log")));
    let grep = |text: &str| contains(recording.path(), text.as_bytes());
    assert!(!grep("hunter2") && !grep("crashbox"), "{replayed:?}");
    assert!(grep("resume=/dev/sda") && grep("Storage=persistent"));
}

#[expect(clippy::disallowed_methods, reason = "what a test recorded itself is small")]
fn contains(directory: &Path, text: &[u8]) -> bool {
    std::fs::read_dir(directory).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        let kind = std::fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_dir() {
            contains(&path, text)
        } else {
            kind.is_file()
                && std::fs::read(&path).unwrap().windows(text.len()).any(|part| part == text)
        }
    })
}

#[test]
fn a_replay_of_this_machine_says_the_same() {
    let scratch = tempfile::tempdir().unwrap();
    let root = std::fs::canonicalize(scratch.path()).unwrap();
    std::fs::create_dir_all(root.join("data")).unwrap();
    std::fs::create_dir_all(root.join("other")).unwrap();
    std::os::unix::fs::symlink("../other", root.join("data/link")).unwrap();
    let declared = Declared { paths: vec![root.join("data").into()], ..Declared::default() };
    let live = LiveHost::new("/");
    if !discovery::discover(&live, &declared).services.is_empty() {
        // A recording does not hold processes: what a node here would add is not in the replay.
        return;
    }
    let (replayed, _recording) = replayed(&live, &declared);
    assert_eq!(replayed, findings(&live, &declared));
    assert!(replayed.iter().any(|found| found.contains("symlink_leaves")));
}
