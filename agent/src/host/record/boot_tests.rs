//! What is set up for the next boot, recorded and replayed.

use super::*;
use crate::host::live::LiveHost;
use crate::host::recorded::RecordedHost;

/// A root with a password in each table and a key file.
fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let files: [(&str, &[u8]); 7] = [
        ("etc/crypttab", b"\n# Hunter2\nes UUID=1 /etc/es.key luks,password=Hunter2\nHunter2\n"),
        ("etc/fstab", b"//me:Hunter2@x/y /mnt cifs password=Hunter2,a=Hunter2 0 0\n/dev/mapper/es /srv ext4\n"),
        ("proc/cmdline", b"luks.name=1=es pw=Hunter2\n"),
        ("proc/self/mountinfo", b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"),
        ("etc/es.key", b"Hunter2"),
        ("etc/dracut.conf", b"install_items+=\" /etc/es.key \"\nx=Hunter2\n"),
        ("root/h.img", &[b"LUKS\xba\xbe".as_slice(), b"Hunter2", &[0; 600]].concat()),
    ];
    for (path, bytes) in files {
        let real = root.path().join(path);
        std::fs::create_dir_all(real.parent().unwrap()).unwrap();
        std::fs::write(real, bytes).unwrap();
    }
    root
}

fn texts(directory: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text.push_str(&texts(&path));
        } else {
            text.push_str(&read(&path));
        }
    }
    text
}

#[expect(clippy::disallowed_methods, reason = "what a test recorded itself is small")]
fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_boot_is_replayed_as_it_was_seen_and_without_its_secrets() {
    let (root, scratch) = (root(), tempfile::tempdir().unwrap());
    let live = LiveHost::new(root.path());
    record(&live, &Declared::default(), scratch.path()).unwrap();
    let recorded = texts(scratch.path());
    assert!(recorded.contains("/etc/es.key") && !recorded.contains("Hunter2"), "{recorded}");
    let nothing = BTreeMap::new();
    let table = mounts::parse(b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n").unwrap();
    let seen = boot_files::observe(&live, Some(&table), &nothing);
    assert!(seen.surroundings.files.len() > 3, "{seen:?}");
    let replayed = boot_files::observe(&RecordedHost::new(scratch.path()), None, &nothing);
    assert_eq!(replayed, seen);
}
