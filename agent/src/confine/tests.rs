//! What each confinement is worth: a thread that is confined tries what a program that was taken over would. What holds for a
//! thread holds for a process that had one when it was confined.
#![expect(unsafe_code, reason = "some of what is tried has no safe form")]

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, socket};

use super::*;

/// Does something in a thread that is confined first. `None` when the kernel lacks Landlock, which is said.
fn confined<T: Send + 'static>(
    confine: impl FnOnce() -> Result<Reach, ConfineError> + Send + 'static,
    attempt: impl FnOnce(Reach) -> T + Send + 'static,
) -> Option<T> {
    let thread = std::thread::spawn(move || {
        let reach = confine().unwrap();
        if reach == Reach::Everything {
            println!("skipped: this kernel has no Landlock");
            return None;
        }
        Some(attempt(reach))
    });
    thread.join().unwrap()
}

fn talking(allowed: Allowed) -> impl FnOnce() -> Result<Reach, ConfineError> + Send + 'static {
    move || talker(&allowed)
}

fn denied(opened: std::io::Result<File>) -> bool {
    matches!(opened, Err(error) if error.kind() == ErrorKind::PermissionDenied)
}

fn makes(family: AddressFamily) -> Result<(), Errno> {
    let kind = if family == AddressFamily::NETLINK { SocketType::RAW } else { SocketType::DGRAM };
    socket(family, kind, None).map(drop)
}

/// A system call without arguments that matter.
fn called(number: i64) -> Errno {
    // SAFETY: with these arguments none of the calls that are tried here does anything, if it is allowed at all.
    let answer = unsafe { libc::syscall(number, 0, 0, 0, 0, 0, 0) };
    assert_eq!(answer, -1, "{number}");
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap()
}

#[test]
fn the_talker_opens_its_own_files_and_no_keystore_disk_or_memory() {
    let directory = tempfile::tempdir().unwrap();
    let top = directory.path().to_owned();
    let path = move |name: &str| top.join(name);
    for name in ["state", "config"] {
        std::fs::create_dir(path(name)).unwrap();
    }
    for name in ["elasticsearch.keystore", "config/agent.toml", "state/identity.json"] {
        std::fs::write(path(name), "x").unwrap();
    }
    let allowed = Allowed { read: vec![path("config")], write: vec![path("state")] };
    let disks: Vec<_> = std::fs::read_dir("/sys/class/block").unwrap().flatten().collect();
    let disks: Vec<_> = disks.iter().map(|disk| Path::new("/dev").join(disk.file_name())).collect();
    confined(talking(allowed), move |_| {
        let is_open = |name: &str| File::open(path(name)).is_ok();
        assert!(is_open("config/agent.toml") && is_open("state/identity.json"));
        std::fs::write(path("state/new"), "x").unwrap();
        std::fs::rename(path("state/new"), path("state/old")).unwrap();
        assert!(denied(File::open(path("elasticsearch.keystore"))));
        assert!(std::fs::read_dir(path("")).is_err());
        assert!(denied(File::create(path("config/agent.toml"))));
        assert!(denied(File::create(path("elsewhere"))));
        // By another name, too.
        std::os::unix::fs::symlink(path("elasticsearch.keystore"), path("state/link")).unwrap();
        assert!(denied(File::open(path("state/link"))));
        assert!(std::fs::hard_link(path("elasticsearch.keystore"), path("state/hard")).is_err());
        for disk in disks.iter().filter(|disk| disk.exists()) {
            assert!(denied(File::open(disk)), "{}", disk.display());
        }
        // Of the test's own process and of the first one.
        for file in ["/proc/self/mem", "/proc/self/environ", "/proc/1/environ", "/proc/1/mounts"] {
            assert!(denied(File::open(file)), "{file}");
        }
        assert!(denied(File::open("/dev/mapper/control")) || !Path::new("/dev/mapper").exists());
        // What names hosts and authorities has to be there.
        assert!(File::open("/etc/hosts").is_ok() || !Path::new("/etc/hosts").exists());
    });
}

#[test]
fn the_talker_looks_into_no_process_and_changes_no_mounts() {
    confined(talking(Allowed::default()), |reach| {
        for number in [
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_mount,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_bpf,
            libc::SYS_keyctl,
            libc::SYS_io_uring_setup,
            libc::SYS_open_by_handle_at,
            libc::SYS_pidfd_getfd,
        ] {
            assert_eq!(called(number), Errno::PERM, "{number}");
        }
        assert!(capabilities(None).unwrap().permitted.is_empty());
        // Signals reach nobody outside, as the parent is; kernels before 6.12 do not see to that.
        if reach == Reach::Named {
            let parent = nix::unistd::getppid();
            assert_eq!(nix::sys::signal::kill(parent, None), Err(nix::errno::Errno::EPERM));
        }
    });
}

#[test]
fn the_talker_has_the_internet_and_no_other_network() {
    confined(talking(Allowed::default()), |_| {
        for family in [AddressFamily::INET, AddressFamily::INET6, AddressFamily::UNIX] {
            assert!(makes(family) != Err(Errno::PERM), "{family:?}");
        }
        for family in [AddressFamily::NETLINK, AddressFamily::PACKET, AddressFamily::VSOCK] {
            assert_eq!(makes(family), Err(Errno::PERM), "{family:?}");
        }
    });
}

#[test]
fn the_looker_has_no_network_and_hands_no_capability_on() {
    let thread = std::thread::spawn(|| {
        let before = capabilities(None).unwrap();
        looker().unwrap();
        for family in [AddressFamily::INET, AddressFamily::INET6, AddressFamily::PACKET] {
            assert_eq!(makes(family), Err(Errno::PERM), "{family:?}");
        }
        for family in [AddressFamily::UNIX, AddressFamily::NETLINK] {
            assert_eq!(makes(family), Ok(()), "{family:?}");
        }
        let after = capabilities(None).unwrap();
        assert_eq!((after.effective, after.permitted), (before.effective, before.permitted));
        assert!(after.inheritable.is_empty());
        for number in [libc::SYS_ptrace, libc::SYS_mount, libc::SYS_setns, libc::SYS_bpf] {
            assert_eq!(called(number), Errno::PERM, "{number}");
        }
    });
    thread.join().unwrap();
}

#[test]
fn the_parser_has_its_copy_and_nothing_else() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let target = file.path().to_owned();
    let memory = nix::sys::memfd::memfd_create("copy", nix::sys::memfd::MFdFlags::empty()).unwrap();
    confined(parser, move |_| {
        use std::os::fd::AsRawFd as _;
        let copy = format!("/proc/self/fd/{}", memory.as_raw_fd());
        assert!(File::options().read(true).write(true).open(copy).is_ok());
        assert!(denied(File::open(&target)) && denied(File::create(&target)));
        for path in ["/etc/passwd", "/proc/self/mem", "/proc/1/environ", "/var/lib"] {
            assert!(denied(File::open(path)), "{path}");
        }
        for family in [AddressFamily::INET, AddressFamily::UNIX, AddressFamily::NETLINK] {
            assert_eq!(makes(family), Err(Errno::PERM), "{family:?}");
        }
        for number in [libc::SYS_execve, libc::SYS_kill, libc::SYS_ptrace] {
            assert_eq!(called(number), Errno::PERM, "{number}");
        }
        assert!(capabilities(None).unwrap().permitted.is_empty());
    });
}
