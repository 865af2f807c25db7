//! Single settings of the host's configuration files. Of each file only the setting that is asked for is kept.

use std::collections::BTreeMap;

use atrest_proto::model::Reason;

use super::{FileKind, Host};
use crate::ini;
use crate::path::HostPath;
use crate::snapshot::{Namespace, Trouble};

/// Such files are a few KiB.
const LIMIT: usize = 256 * 1024;

/// Where systemd looks, the first wins (`systemd.syntax(7)` and, for each file, its own page).
const SYSTEMD: [&str; 4] =
    ["/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd"];

/// The text of a file; `None` when it is not there.
pub(super) fn text(host: &dyn Host, path: &HostPath) -> Result<Option<String>, Trouble> {
    match host.read(&Namespace::Host, path, LIMIT) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(trouble) if trouble.reason == Reason::NotFound => Ok(None),
        // A file is masked by a link to /dev/null.
        Err(_) if is_null(host, path) => Ok(Some(String::new())),
        Err(trouble) => Err(trouble),
    }
}

fn is_null(host: &dyn Host, path: &HostPath) -> bool {
    host.metadata(&Namespace::Host, path, true).is_ok_and(|file| file.kind == FileKind::Other)
}

/// What systemd takes for `key` in `section` of its file `name` and the files that are dropped in; `None` when
/// nothing sets it.
pub(super) fn systemd(
    host: &dyn Host,
    name: &str,
    section: &str,
    key: &str,
) -> Result<Option<String>, Trouble> {
    let is_there =
        |directory: &&str| host.list(&Namespace::Host, &HostPath::from(*directory)).is_ok();
    if !host.is_live() && !SYSTEMD.iter().any(is_there) {
        let detail = format!("{name}: the recording holds no /etc/systemd");
        return Err(Trouble::new(Reason::Unreadable, detail));
    }
    let mut value = None;
    for directory in SYSTEMD {
        if let Some(text) = text(host, &HostPath::from(directory).join(name))? {
            value = ini::last(&text, section, key);
            break;
        }
    }
    // A file dropped in hides one of the same name in a later directory; all are taken in the order of their names.
    let mut dropped_in = BTreeMap::new();
    for directory in SYSTEMD {
        let directory = HostPath::from(directory).join(format!("{name}.d"));
        let names = match host.list(&Namespace::Host, &directory) {
            Ok(names) => names,
            Err(trouble) if trouble.reason == Reason::NotFound => continue,
            Err(trouble) => return Err(trouble),
        };
        for name in names.into_iter().filter(|name| name.ends_with(b".conf")) {
            let path = directory.join(&name);
            dropped_in.entry(name).or_insert(path);
        }
    }
    for path in dropped_in.values() {
        if let Some(text) = text(host, path)? {
            value = ini::last(&text, section, key).or(value);
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::live::LiveHost;
    use crate::host::recorded::RecordedHost;

    fn storage(files: &[(&str, &str)]) -> Result<Option<String>, Trouble> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        systemd(&RecordedHost::new(root.path()), "coredump.conf", "Coredump", "Storage")
    }

    #[test]
    fn files_dropped_in_win_by_name_and_hide_each_other_by_directory() {
        let main = ("usr/lib/systemd/coredump.conf", "[Coredump]\nStorage=main\n");
        assert_eq!(storage(&[main]).unwrap().as_deref(), Some("main"));
        let own = ("etc/systemd/coredump.conf", "[Coredump]\n#Storage=x\n");
        assert_eq!(storage(&[main, own]).unwrap(), None);
        let early = ("etc/systemd/coredump.conf.d/10-a.conf", "[Coredump]\nStorage=early\n");
        let late = ("usr/lib/systemd/coredump.conf.d/20-b.conf", "[Coredump]\nStorage=late\n");
        assert_eq!(storage(&[main, early, late]).unwrap().as_deref(), Some("late"));
        let hides = ("etc/systemd/coredump.conf.d/20-b.conf", "");
        assert_eq!(storage(&[main, early, late, hides]).unwrap().as_deref(), Some("early"));
        let other = ("etc/systemd/coredump.conf.d/README", "[Coredump]\nStorage=no\n");
        assert_eq!(storage(&[main, other]).unwrap().as_deref(), Some("main"));
    }

    #[test]
    fn a_recording_without_systemds_directory_assumes_no_default() {
        assert_eq!(storage(&[]).unwrap_err().reason, Reason::Unreadable);
    }

    #[test]
    fn a_link_to_dev_null_masks() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/null", root.path().join("a.conf")).unwrap();
        let path = HostPath::from(root.path()).join("a.conf");
        assert_eq!(text(&LiveHost::new("/"), &path), Ok(Some(String::new())));
    }
}
