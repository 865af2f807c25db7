//! Looks at where the memory of a process or of the kernel would be written when it crashes.

use atrest_proto::model::{Reason, Use};

use super::{Host, read_text, settings};
use crate::core_dumps::{self, CoreDumps, Handler, Pattern, Sink, Storage};
use crate::ini;
use crate::kdump::{self, Destination};
use crate::path::HostPath;
use crate::snapshot::{Namespace, Observed, Target, Trouble};

const PATTERN: &str = "/proc/sys/kernel/core_pattern";
const PERSISTENT_JOURNAL: &str = "/var/log/journal";
const VOLATILE_JOURNAL: &str = "/run/log/journal";
/// `/proc/PID/limits` is a table of sixteen lines.
const LIMITS: usize = 16 * 1024;

/// A running process of the search stack.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Running {
    pub pid: i32,
    pub service: String,
    pub namespace: Namespace,
}

/// Looks at all of it. Without any service only what concerns the whole host counts.
pub fn observe(host: &dyn Host, running: &[Running], has_services: bool) -> CoreDumps {
    let (pattern, processes) = match host.read(&Namespace::Host, &PATTERN.into(), 4096) {
        Ok(bytes) => {
            let pattern = HostPath::new(bytes.trim_ascii_end().to_vec());
            let sinks = processes(host, &core_dumps::parse(pattern.as_bytes()), running);
            (Observed::Known(pattern), sinks)
        }
        Err(trouble) => unread(host, trouble, has_services),
    };
    CoreDumps { pattern, processes, kernel: kernel(host) }
}

fn unread(
    host: &dyn Host,
    trouble: Trouble,
    has_services: bool,
) -> (Observed<HostPath>, Vec<Sink>) {
    let is_missing = trouble.reason == Reason::NotFound;
    if is_missing
        && host.is_live()
        && host.list(&Namespace::Host, &"/proc/sys/kernel".into()).is_ok()
    {
        let why = "this kernel was built without core dumps".to_owned();
        return (Observed::Absent, vec![Sink::Nowhere(why)]);
    }
    // Of a recording without any service nothing is asked.
    let sinks =
        if !is_missing || has_services { vec![Sink::Unknown(trouble.clone())] } else { Vec::new() };
    (Observed::Unreadable(trouble), sinks)
}

fn processes(host: &dyn Host, pattern: &Pattern, running: &[Running]) -> Vec<Sink> {
    match pattern {
        Pattern::File { directory, is_exact } if directory.is_absolute() => {
            absolute(host, directory, *is_exact, running)
        }
        Pattern::File { directory, is_exact } => {
            running.iter().map(|process| working(host, directory, *is_exact, process)).collect()
        }
        Pattern::Socket(path) => vec![not_understood(&format!("the socket {path}"))],
        Pattern::Pipe(program) => match core_dumps::handler(program) {
            Some(Handler::Discard) => {
                vec![Sink::Nowhere(format!("{program} throws core dumps away"))]
            }
            Some(Handler::SystemdCoredump) => vec![systemd(host)],
            // The reports, and the dumps of processes whose limit lets them dump.
            Some(Handler::Apport) => {
                vec![made(host, "/var/crash"), made(host, "/var/lib/apport/coredump")]
            }
            Some(Handler::Abrt) => abrt(host, running),
            None => vec![not_understood(&program.to_string())],
        },
    }
}

fn not_understood(what: &str) -> Sink {
    Sink::Unknown(Trouble::new(
        Reason::Unreadable,
        format!("core dumps are handed to {what}, and where that writes is not known"),
    ))
}

/// The kernel opens an absolute path with the root of the process, and for one that changed its privileges with
/// that of the host.
fn absolute(
    host: &dyn Host,
    directory: &HostPath,
    is_exact: bool,
    running: &[Running],
) -> Vec<Sink> {
    let mut sinks: Vec<Sink> =
        running.iter().filter_map(|process| without_files(host, process)).collect();
    if sinks.len() < running.len() || running.is_empty() {
        sinks.push(Sink::Place {
            target: target(host, directory.clone(), &Namespace::Host, None),
            is_made: false,
            is_exact,
        });
    }
    let own = running.iter().filter(|process| {
        process.namespace != Namespace::Host && without_files(host, process).is_none()
    });
    sinks.extend(own.map(|process| Sink::Place {
        target: target(host, directory.clone(), &process.namespace, Some(&process.service)),
        is_made: false,
        is_exact,
    }));
    sinks
}

/// A limit below the size of a page keeps the kernel from writing a file: `min_coredump` of `fs/binfmt_elf.c`.
fn without_files(host: &dyn Host, process: &Running) -> Option<Sink> {
    const LEAST: u64 = 4096;
    let path = HostPath::from(format!("/proc/{}/limits", process.pid));
    let limits = host.read(&Namespace::Host, &path, LIMITS).ok()?;
    let limit = core_dumps::size_limit(&String::from_utf8_lossy(&limits))?;
    (limit < LEAST).then(|| {
        Sink::Nowhere(format!("the core file size limit of {} is {limit}", process.service))
    })
}

/// In or below the working directory of a process.
fn working(host: &dyn Host, below: &HostPath, is_exact: bool, process: &Running) -> Sink {
    if let Some(nowhere) = without_files(host, process) {
        return nowhere;
    }
    let link = HostPath::from(format!("/proc/{}/cwd", process.pid));
    let cwd = match host.read_link(&Namespace::Host, &link) {
        Ok(cwd) => cwd,
        Err(trouble) => return Sink::Unknown(trouble),
    };
    // The link is always there; its directory must be too, or it was not that directory.
    let found = host.resolve(&process.namespace, &cwd).at;
    if !cwd.is_absolute() || found.known().is_none() {
        return Sink::Unknown(found.trouble().cloned().unwrap_or_else(|| {
            Trouble::new(
                Reason::Unreadable,
                format!("{cwd}: the working directory of {} was not found", process.service),
            )
        }));
    }
    let directory = if below.as_bytes().is_empty() { cwd } else { cwd.join(below.as_bytes()) };
    Sink::Place {
        target: target(host, directory, &process.namespace, Some(&process.service)),
        is_made: false,
        is_exact,
    }
}

fn target(
    host: &dyn Host,
    path: HostPath,
    namespace: &Namespace,
    service: Option<&String>,
) -> Target {
    let resolution = host.resolve(namespace, &path);
    Target {
        path,
        usage: Use::CoreDump,
        service: service.cloned(),
        namespace: namespace.clone(),
        resolution: resolution.at,
        nearest: resolution.nearest,
    }
}

/// A directory of the host that is made by who writes there.
fn made(host: &dyn Host, path: impl Into<HostPath>) -> Sink {
    let target = target(host, path.into(), &Namespace::Host, None);
    Sink::Place { target, is_made: true, is_exact: true }
}

fn systemd(host: &dyn Host) -> Sink {
    let value = match settings::systemd(host, "coredump.conf", "Coredump", "Storage") {
        Ok(value) => value,
        Err(trouble) => return Sink::Unknown(trouble),
    };
    match core_dumps::storage(value.as_deref()) {
        Some(Storage::External) => made(host, "/var/lib/systemd/coredump"),
        Some(Storage::Journal) => journal(host),
        Some(Storage::None) => {
            Sink::Nowhere("systemd-coredump stores nothing (Storage=none)".to_owned())
        }
        None => Sink::Unknown(Trouble::new(
            Reason::Unreadable,
            format!("coredump.conf: Storage={} is not understood", value.unwrap_or_default()),
        )),
    }
}

/// `Storage=` of journald.conf(5).
fn journal(host: &dyn Host) -> Sink {
    let value = match settings::systemd(host, "journald.conf", "Journal", "Storage") {
        Ok(value) => value,
        Err(trouble) => return Sink::Unknown(trouble),
    };
    match value.as_deref() {
        Some("persistent") => made(host, PERSISTENT_JOURNAL),
        Some("volatile") => made(host, VOLATILE_JOURNAL),
        Some("none") => Sink::Nowhere("journald stores nothing (Storage=none)".to_owned()),
        // Where the directory is, is written to.
        None | Some("" | "auto") => {
            match host.resolve(&Namespace::Host, &PERSISTENT_JOURNAL.into()).at {
                Observed::Absent => made(host, VOLATILE_JOURNAL),
                Observed::Known(_) | Observed::Unreadable(_) => made(host, PERSISTENT_JOURNAL),
            }
        }
        Some(other) => Sink::Unknown(Trouble::new(
            Reason::Unreadable,
            format!("journald.conf: Storage={other} is not understood"),
        )),
    }
}

/// `abrt.conf(5)`, and `MakeCompatCore` of `abrt-CCpp.conf(5)`: unless told not to, it also leaves the file that the
/// kernel would have written.
fn abrt(host: &dyn Host, running: &[Running]) -> Vec<Sink> {
    let setting = |file: &str, key: &str| {
        settings::text(host, &file.into())
            .map(|text| text.and_then(|text| ini::last(&text, "", key)))
    };
    let place = match setting(ABRT, "DumpLocation") {
        Ok(Some(path)) if path.starts_with('/') => made(host, path),
        Ok(_) => made(host, "/var/spool/abrt"),
        Err(trouble) => Sink::Unknown(trouble),
    };
    let leaves_files = !setting(ABRT_CCPP, "MakeCompatCore").is_ok_and(|value| {
        value.is_some_and(|value| matches!(value.as_str(), "no" | "0" | "off" | "false"))
    });
    let files = running
        .iter()
        .filter(|_| leaves_files)
        .map(|process| working(host, &HostPath::default(), true, process));
    [place].into_iter().chain(files).collect()
}

const ABRT: &str = "/etc/abrt/abrt.conf";
const ABRT_CCPP: &str = "/etc/abrt/plugins/CCpp.conf";

fn kernel(host: &dyn Host) -> Vec<Sink> {
    match read_text(host, &"/sys/kernel/kexec_crash_loaded".into()) {
        Ok(loaded) if loaded == "0" => {
            vec![Sink::Nowhere("no crash kernel is loaded".to_owned())]
        }
        Ok(_) => crash_kernel(host),
        Err(trouble) if trouble.reason != Reason::NotFound => vec![Sink::Unknown(trouble)],
        Err(_) if host.is_live() && host.list(&Namespace::Host, &"/sys/kernel".into()).is_ok() => {
            vec![Sink::Nowhere("no crash kernel is loaded".to_owned())]
        }
        Err(_) => Vec::new(),
    }
}

fn crash_kernel(host: &dyn Host) -> Vec<Sink> {
    for dialect in kdump::DIALECTS {
        match settings::text(host, &dialect.file.into()) {
            Ok(Some(text)) => {
                let destinations = (dialect.destinations)(&text);
                return destinations
                    .into_iter()
                    .map(|to| destination(host, dialect.file, to))
                    .collect();
            }
            Ok(None) => {}
            Err(trouble) => return vec![Sink::Unknown(trouble)],
        }
    }
    let detail = "a crash kernel is loaded, and no configuration says where it writes";
    vec![Sink::Unknown(Trouble::new(Reason::Unreadable, detail))]
}

fn destination(host: &dyn Host, file: &str, destination: Destination) -> Sink {
    match destination {
        Destination::Directory(path) => made(host, path),
        Destination::Device(node) => {
            let target = target(host, node, &Namespace::Host, None);
            let is_device = target.resolution.known().is_some_and(|at| at.block_device.is_some());
            if is_device {
                return Sink::Place { target, is_made: false, is_exact: true };
            }
            let detail = format!("{file}: {} is not a device that was found", target.path);
            Sink::Unknown(Trouble::new(Reason::Unreadable, detail))
        }
        Destination::Elsewhere(what) => Sink::Unknown(Trouble::new(
            Reason::RemoteFilesystem,
            format!("{file}: the crash kernel writes to {what}, which is not judged from here"),
        )),
    }
}

/// What is read of systemd's files, here and for hibernation: file, section, key.
const SYSTEMD: [(&str, &str, &str); 3] = [
    ("coredump.conf", "Coredump", "Storage"),
    ("journald.conf", "Journal", "Storage"),
    ("sleep.conf", "Sleep", "AllowHibernation"),
];

/// The files that [`observe`] reads of a host, with only the settings that it asks for.
pub(super) fn recorded(host: &dyn Host) -> Vec<(HostPath, String)> {
    // All or none: to who replays, a directory without a file means its default.
    let systemd: Result<Vec<(HostPath, String)>, Trouble> = SYSTEMD
        .iter()
        .map(|(file, section, key)| {
            let value = settings::systemd(host, file, section, key)?;
            let line = value.map(|value| format!("{key}={value}\n")).unwrap_or_default();
            Ok((HostPath::from("/etc/systemd").join(file), format!("[{section}]\n{line}")))
        })
        .collect();
    let mut files = systemd.unwrap_or_default();
    for (file, key) in [(ABRT, "DumpLocation"), (ABRT_CCPP, "MakeCompatCore")] {
        if let Ok(Some(text)) = settings::text(host, &file.into()) {
            let line = ini::last(&text, "", key).map(|value| format!("{key} = {value}\n"));
            files.push((file.into(), line.unwrap_or_default()));
        }
    }
    for dialect in kdump::DIALECTS {
        if let Ok(Some(text)) = settings::text(host, &dialect.file.into()) {
            files.push((dialect.file.into(), (dialect.redacted)(&text)));
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::live::LiveHost;
    use crate::host::recorded::RecordedHost;

    const MOUNTS: (&str, &str) = ("proc/self/mountinfo", "1 0 8:1 / / rw - ext2 /dev/sda1 rw\n");
    const COREDUMP: &str = "|/usr/lib/systemd/systemd-coredump %P";

    fn look(pattern: Option<&str>, files: &[(&str, &str)], running: &[Running]) -> CoreDumps {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        for (path, text) in files.iter().chain([&MOUNTS]) {
            write(path, text);
        }
        for path in ["etc/systemd", "srv/es", "var/log", "proc/7/root/srv/es"] {
            std::fs::create_dir_all(root.path().join(path)).unwrap();
        }
        for pid in [7, 8] {
            std::fs::create_dir_all(root.path().join(format!("proc/{pid}"))).unwrap();
            std::os::unix::fs::symlink("/srv/es", root.path().join(format!("proc/{pid}/cwd")))
                .unwrap();
        }
        if let Some(pattern) = pattern {
            write("proc/sys/kernel/core_pattern", &format!("{pattern}\n"));
        }
        observe(&RecordedHost::new(root.path()), running, !running.is_empty())
    }

    fn running(pid: i32) -> Running {
        let namespace = if pid == 7 { Namespace::Process(7) } else { Namespace::Host };
        Running { pid, service: format!("es-{pid}"), namespace }
    }

    /// Where the dumps go, in short.
    fn told(sinks: &[Sink]) -> Vec<String> {
        let tell = |sink: &Sink| match sink {
            Sink::Place { target, is_made, is_exact } => format!(
                "{}{}{}{}",
                if target.namespace == Namespace::Host { "" } else { "inside:" },
                target.path,
                if *is_made { "+" } else { "" },
                if *is_exact { "" } else { "*" }
            ),
            Sink::Nowhere(_) => "nowhere".to_owned(),
            Sink::Unknown(trouble) => format!("unknown: {}", trouble.detail),
        };
        sinks.iter().map(tell).collect()
    }

    fn processes(pattern: &str, files: &[(&str, &str)], running: &[Running]) -> Vec<String> {
        told(&look(Some(pattern), files, running).processes)
    }

    #[test]
    fn files_go_where_the_pattern_says_in_the_eyes_of_the_process() {
        let (inside, outside) = (running(7), running(8));
        let one = |pattern, of: &Running| processes(pattern, &[], std::slice::from_ref(of));
        assert_eq!(one("core", &outside), ["/srv/es"]);
        assert_eq!(one("core", &inside), ["inside:/srv/es"]);
        assert_eq!(one("", &outside), ["/srv/es"]);
        assert_eq!(one("cores/core.%p", &outside), ["/srv/es/cores"]);
        assert_eq!(one("%e/core", &outside), ["/srv/es*"]);
        assert_eq!(one("/cores/core.%p", &outside), ["/cores"]);
        assert_eq!(one("/cores/core.%p", &inside), ["/cores", "inside:/cores"]);
        assert_eq!(one("/cores/%e/core", &outside), ["/cores*"]);
        assert_eq!(processes("core", &[], &[]), Vec::<String>::new());
        assert_eq!(processes("/cores/core", &[], &[]), ["/cores"]);
    }

    #[test]
    fn a_limit_of_nothing_keeps_files_from_being_written_and_not_pipes() {
        let limits = ("proc/8/limits", "Max core file size        0        unlimited   bytes\n");
        let apart = [running(8)];
        assert_eq!(processes("core", &[limits], &apart), ["nowhere"]);
        assert_eq!(processes("/cores/core", &[limits], &apart), ["nowhere"]);
        assert_eq!(processes(COREDUMP, &[limits], &apart), ["/var/lib/systemd/coredump+"]);
        // Of two, the other still writes.
        let both = [running(7), running(8)];
        assert_eq!(processes("core", &[limits], &both), ["inside:/srv/es", "nowhere"]);
        let unlimited = ("proc/8/limits", "Max core file size   unlimited  unlimited  bytes\n");
        assert_eq!(processes("core", &[unlimited], &apart), ["/srv/es"]);
    }

    #[test]
    fn a_working_directory_that_was_not_found_is_unknown() {
        let gone = Running { pid: 99, ..running(8) };
        assert!(processes("core", &[], &[gone])[0].starts_with("unknown: /proc/99"));
    }

    #[test]
    fn systemds_handler_writes_where_it_is_told() {
        let storage = |value: &'static str| ("etc/systemd/coredump.conf", value);
        let journald = |value: &'static str| ("usr/lib/systemd/journald.conf.d/x.conf", value);
        let to = |files: &[(&str, &str)]| processes(COREDUMP, files, &[]).remove(0);
        let journal = storage("[Coredump]\nStorage=journal\n");
        assert_eq!(to(&[]), "/var/lib/systemd/coredump+");
        assert_eq!(to(&[storage("[Coredump]\nStorage=external\n")]), "/var/lib/systemd/coredump+");
        assert_eq!(to(&[storage("[Coredump]\nStorage=none\n")]), "nowhere");
        assert!(to(&[storage("[Coredump]\nStorage=disk\n")]).starts_with("unknown"));
        assert_eq!(to(&[journal]), "/run/log/journal+");
        assert_eq!(to(&[journal, ("var/log/journal/x", "")]), "/var/log/journal+");
        for (value, expected) in [
            ("[Journal]\nStorage=persistent\n", "/var/log/journal+"),
            ("[Journal]\nStorage=volatile\n", "/run/log/journal+"),
            ("[Journal]\nStorage=none\n", "nowhere"),
        ] {
            assert_eq!(to(&[journal, journald(value)]), expected);
        }
    }

    #[test]
    fn other_handlers_are_known_or_named() {
        assert_eq!(processes("|/bin/false", &[], &[running(8)]), ["nowhere"]);
        assert_eq!(
            processes("|/usr/share/apport/apport -p%p", &[], &[]),
            ["/var/crash+", "/var/lib/apport/coredump+"]
        );
        let abrt = "|/usr/libexec/abrt-hook-ccpp %s";
        assert_eq!(processes(abrt, &[], &[]), ["/var/spool/abrt+"]);
        assert_eq!(processes(abrt, &[], &[running(8)]), ["/var/spool/abrt+", "/srv/es"]);
        let place = (ABRT, "# DumpLocation = /no\nDumpLocation = /srv/abrt\n");
        let no_file = (ABRT_CCPP, "MakeCompatCore = no\n");
        let strip =
            |(path, text): (&'static str, &'static str)| (path.trim_start_matches('/'), text);
        assert_eq!(processes(abrt, &[strip(place), strip(no_file)], &[running(8)]), ["/srv/abrt+"]);
        for (pattern, name) in [("|/opt/collect %p", "/opt/collect"), ("@/run/x", "/run/x")] {
            let told = processes(pattern, &[], &[]).remove(0);
            assert!(told.starts_with("unknown") && told.contains(name), "{told}");
        }
    }

    #[test]
    fn a_pattern_that_is_not_recorded_matters_to_services_only() {
        assert!(look(None, &[], &[]).processes.is_empty());
        assert!(told(&look(None, &[], &[running(8)]).processes)[0].starts_with("unknown"));
    }

    #[test]
    fn a_crash_kernel_writes_where_kdump_says() {
        let kernel = |loaded: &'static str, file: &'static str, text: &'static str| {
            let loaded = ("sys/kernel/kexec_crash_loaded", loaded);
            told(&look(Some("core"), &[loaded, (file, text)], &[]).kernel)
        };
        let device = "sys/class/block/sda1/dev";
        assert_eq!(kernel("0\n", "etc/kdump.conf", "path /x\n"), ["nowhere"]);
        assert_eq!(kernel("1\n", "etc/kdump.conf", "path /x\n"), ["/x+"]);
        assert_eq!(kernel("1\n", "etc/default/kdump-tools", ""), ["/var/crash+"]);
        assert!(kernel("1\n", "etc/kdump.conf", "nfs a:/b\n")[0].starts_with("unknown"));
        assert!(kernel("1\n", "etc/x", "")[0].starts_with("unknown"));
        assert!(kernel("1\n", "etc/kdump.conf", "ext4 UUID=7\n")[0].starts_with("unknown"));
        let raw = [
            ("sys/kernel/kexec_crash_loaded", "1\n"),
            ("etc/kdump.conf", "raw /dev/sda1\n"),
            (device, "8:1\n"),
        ];
        assert_eq!(told(&look(Some("core"), &raw, &[]).kernel), ["/dev/sda1"]);
        assert!(look(Some("core"), &[], &[]).kernel.is_empty());
    }

    #[test]
    fn this_machine_answers() {
        let found = observe(&LiveHost::new("/"), &[], false);
        assert!(!found.kernel.is_empty());
        assert!(found.pattern.trouble().is_none());
    }
}
