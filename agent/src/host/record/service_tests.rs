//! Services, recorded without their files and processes, and replayed.
#![expect(clippy::disallowed_methods, reason = "a test reads what it has written")]

use super::*;
use crate::host::recorded::RecordedHost;
use crate::policy::Policy;
use crate::posture;

const SECRET: &str = "hunter2-f3a9";

fn host() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let id = "ab".repeat(32);
    let mounts = "1 0 8:0 / / rw - ext2 /dev/sda rw\n";
    let inside = "9 0 8:16 / / rw - ext2 /dev/sdb rw\n10 9 0:77 / /tmp rw - tmpfs tmpfs rw\n";
    let yaml = format!("path.data: /srv/data\ncluster.name: prod\nsome.password: {SECRET}\n");
    for (path, text) in [
        ("proc/self/mountinfo", mounts),
        ("proc/swaps", "Filename Type Size Used Priority\n"),
        ("proc/sys/kernel/core_pattern", "core\n"),
        ("proc/1/cmdline", "init\0"),
        (
            "proc/77/cmdline",
            &format!(
                "java\0-Des.path.conf=/etc/elasticsearch\0-Dx.password={SECRET}\0org.elasticsearch.bootstrap.Elasticsearch\0"
            ),
        ),
        ("proc/77/environ", &format!("ELASTIC_PASSWORD={SECRET}\0")),
        (
            "proc/77/status",
            "PPid:\t1\nUid:\t1\t1\t1\t1\nGid:\t1\t1\t1\t1\nVmLck:\t7 kB\nVmSwap:\t0 kB\n",
        ),
        ("proc/77/cgroup", &format!("0::/docker/{id}\n")),
        ("proc/77/mountinfo", inside),
        ("proc/77/root/etc/elasticsearch/elasticsearch.yml", &yaml),
        ("proc/77/root/srv/data/node.lock", ""),
        ("sys/devices/pci/block/sda/dev", "8:0\n"),
        ("sys/devices/pci/block/sda/size", "8\n"),
        ("sys/devices/pci/block/sdb/dev", "8:16\n"),
        ("sys/devices/pci/block/sdb/size", "8\n"),
        ("etc/opensearch/opensearch.yml", "path.data: /srv/os\n"),
        ("etc/opensearch/opensearch.keystore", SECRET),
    ] {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    for (disk, number) in [("sda", "8:0"), ("sdb", "8:16")] {
        for link in [format!("sys/dev/block/{number}"), format!("sys/class/block/{disk}")] {
            let link = root.path().join(link);
            std::fs::create_dir_all(link.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(format!("../../devices/pci/block/{disk}"), link).unwrap();
        }
    }
    root
}

fn posture_of(host: &dyn Host) -> serde_json::Value {
    let discovery = discovery::discover(host, &Declared::default());
    let snapshot = observe::observe(host, discovery, jiff::Timestamp::UNIX_EPOCH);
    serde_json::to_value(posture::evaluate(&snapshot, &Policy::default())).unwrap()
}

#[test]
fn services_are_replayed_as_they_were_seen() {
    let root = host();
    let live = RecordedHost::new(root.path());
    let scratch = tempfile::tempdir().unwrap();
    record(&live, &Declared::default(), scratch.path()).unwrap();
    let (before, after) = (posture_of(&live), posture_of(&RecordedHost::new(scratch.path())));
    assert_eq!(before["services"].as_array().unwrap().len(), 2);
    for part in ["services", "paths", "keystores"] {
        assert_eq!(before[part], after[part], "{part}");
    }
    let container =
        before["paths"].as_array().unwrap().iter().find(|path| path["path"] == "/srv/data");
    assert_eq!(container.unwrap()["plain"][0]["device"], "/dev/sdb");
}

#[test]
fn no_secret_of_a_service_is_recorded() {
    let root = host();
    let scratch = tempfile::tempdir().unwrap();
    record(&RecordedHost::new(root.path()), &Declared::default(), scratch.path()).unwrap();
    let mut read = 0;
    let mut directories = vec![scratch.path().to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                directories.push(entry.path());
            } else if entry.file_type().unwrap().is_file() {
                let bytes = std::fs::read(entry.path()).unwrap();
                assert!(!String::from_utf8_lossy(&bytes).contains(SECRET), "{:?}", entry.path());
                read += 1;
            }
        }
    }
    assert!(read > 5);
}

#[test]
fn a_damaged_record_of_services_is_a_gap() {
    let root = host();
    let scratch = tempfile::tempdir().unwrap();
    record(&RecordedHost::new(root.path()), &Declared::default(), scratch.path()).unwrap();
    let file = scratch.path().join(SERVICES.trim_start_matches('/'));
    let mut text = std::fs::read(&file).unwrap();
    text.truncate(text.len() / 2);
    std::fs::write(&file, text).unwrap();
    let posture = posture_of(&RecordedHost::new(scratch.path()));
    let gaps = posture["gaps"].as_array().unwrap();
    assert!(gaps.iter().any(|gap| gap["subject"] == "services of the recording"), "{gaps:?}");
}
