//! Looks at where an image of memory would go when the machine hibernates.

use atrest_proto::model::Reason;

use super::{Host, read_text, settings};
use crate::device_name;
use crate::hibernation::{self, Hibernation, NamedDevice};
use crate::snapshot::{DeviceNumber, Namespace, Observed, Resolved, Trouble};

const COMMAND_LINE: usize = 64 * 1024;

/// Looks at all of it.
pub fn observe(host: &dyn Host) -> Hibernation {
    let words = words(host);
    let named = hibernation::named(&words)
        .map(|name| NamedDevice { name: name.to_owned(), resolution: resolve(host, name) });
    let allowed = settings::systemd(host, "sleep.conf", "Sleep", "AllowHibernation");
    Hibernation {
        offered: offered(host),
        resume: resume(host),
        named,
        words,
        allowed: allowed.ok().flatten().as_deref().and_then(boolean),
    }
}

/// The words of the kernel's command line that bear on it; none when it cannot be read.
pub(super) fn words(host: &dyn Host) -> Vec<String> {
    let bytes = host.read(&Namespace::Host, &"/proc/cmdline".into(), COMMAND_LINE);
    hibernation::words(&String::from_utf8_lossy(&bytes.unwrap_or_default()))
}

/// As systemd reads a boolean.
fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

fn offered(host: &dyn Host) -> Observed<bool> {
    match read_text(host, &"/sys/power/state".into()) {
        Ok(state) => {
            let disk = read_text(host, &"/sys/power/disk".into()).ok();
            Observed::Known(hibernation::is_offered(&state, disk.as_deref()))
        }
        // A kernel without power management has no such file; without sysfs nothing is known.
        Err(trouble)
            if trouble.reason == Reason::NotFound
                && host.is_live()
                && host.list(&Namespace::Host, &"/sys/kernel".into()).is_ok() =>
        {
            Observed::Known(false)
        }
        Err(trouble) if trouble.reason == Reason::NotFound => Observed::Absent,
        Err(trouble) => Observed::Unreadable(trouble),
    }
}

fn resume(host: &dyn Host) -> Observed<DeviceNumber> {
    let text = match read_text(host, &"/sys/power/resume".into()) {
        Ok(text) => text,
        Err(trouble) if trouble.reason == Reason::NotFound => return Observed::Absent,
        Err(trouble) => return Observed::Unreadable(trouble),
    };
    match text.parse::<DeviceNumber>() {
        Ok(DeviceNumber { major: 0, minor: 0 }) => Observed::Absent,
        Ok(number) => Observed::Known(number),
        Err(error) => Observed::Unreadable(Trouble::new(
            Reason::Unreadable,
            format!("/sys/power/resume: {error}"),
        )),
    }
}

fn resolve(host: &dyn Host, name: &str) -> Observed<Resolved> {
    if let Ok(number) = name.parse::<DeviceNumber>() {
        return Observed::Known(Resolved::node(format!("/dev/block/{number}"), number));
    }
    match device_name::node(name) {
        Some(node) => host.resolve(&Namespace::Host, &node).at,
        None => Observed::Unreadable(Trouble::new(
            Reason::Unreadable,
            format!("resume={name}: not a name of a device that is understood"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::recorded::RecordedHost;

    fn observed(files: &[(&str, &str)]) -> Hibernation {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        observe(&RecordedHost::new(root.path()))
    }

    #[test]
    fn what_is_recorded_is_read() {
        let facts = observed(&[
            ("sys/power/state", "freeze mem disk\n"),
            ("sys/power/disk", "[platform] shutdown\n"),
            ("sys/power/resume", "254:1\n"),
            ("proc/cmdline", "ro resume=/dev/sda2 secret=x\n"),
            ("sys/class/block/sda2/dev", "8:2\n"),
            ("etc/systemd/sleep.conf", "[Sleep]\nAllowHibernation=no\n"),
        ]);
        assert_eq!(facts.offered, Observed::Known(true));
        assert_eq!(facts.resume, Observed::Known(DeviceNumber::new(254, 1)));
        assert_eq!(facts.words, ["resume=/dev/sda2"]);
        let named = facts.named.unwrap();
        assert_eq!(named.resolution.known().unwrap().block_device, Some(DeviceNumber::new(8, 2)));
        assert_eq!(facts.allowed, Some(false));
    }

    #[test]
    fn what_is_not_recorded_is_absent_and_a_name_without_a_device_too() {
        assert_eq!(observed(&[]), Hibernation::default());
        let facts =
            observed(&[("proc/cmdline", "resume=UUID=77\n"), ("sys/power/resume", "0:0\n")]);
        assert_eq!(facts.resume, Observed::Absent);
        assert_eq!(facts.named.unwrap().resolution, Observed::Absent);
        let facts = observed(&[("proc/cmdline", "resume=swap\n"), ("sys/power/resume", "x\n")]);
        assert!(facts.resume.trouble().is_some());
        assert!(facts.named.unwrap().resolution.trouble().is_some());
    }
}
