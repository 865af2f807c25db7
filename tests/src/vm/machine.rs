//! Boots a guest under QEMU's own CPU, freezes it into a file, and thaws private copies of it.
//!
//! Nothing here waits for luck: QEMU holds one end of two socket pairs (its protocol and the
//! guest's orders), so that its death ends every wait at once, and every wait has a deadline.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;
use tempfile::TempDir;

use super::guest::{Guest, Output};
use super::process::find;
use super::qmp::Qmp;

const QEMU: &str = "qemu-system-x86_64";
const CONSOLE: &str = "console.log";
const COMPLAINTS: &str = "qemu.log";

/// How much of the console an error shows.
const TAIL: u64 = 4000;

/// What a machine is made of. A frozen machine thaws only into one made of the same.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The kernel image.
    pub kernel: PathBuf,
    /// The guest's first file system.
    pub initramfs: PathBuf,
    /// Memory.
    pub memory_mib: u32,
    /// How many disks: `/dev/vda` and on.
    pub disks: u8,
    /// The size of each disk. Its file takes only what the guest writes.
    pub disk_mib: u64,
    /// The longest that a boot, a freeze or a thaw may take.
    pub limit: Duration,
}

/// A running machine. It ends when this is dropped, or with the thread that started it.
#[derive(Debug)]
pub struct Machine {
    spec: Spec,
    child: Child,
    qmp: Qmp,
    guest: Guest,
    dir: TempDir,
}

impl Machine {
    /// Boots with empty disks and waits until init takes orders. Files live below `scratch`.
    pub fn boot(spec: &Spec, scratch: &Path) -> Result<Self> {
        let until = Instant::now() + spec.limit;
        let mut machine = Self::start(spec, scratch, &[], until)?;
        let ready = machine.guest.ready(until);
        ready.map_err(|error| machine.explain(error)).context("the guest did not boot")?;
        Ok(machine)
    }

    /// Stops the machine and keeps its state in the file `to`. Its disks must be untouched.
    pub fn freeze(mut self, to: &Path) -> Result<Frozen> {
        let until = Instant::now() + self.spec.limit;
        let state = self.dir.path().join("state");
        self.qmp.command("stop", &json!({}), until)?;
        let migrated = self.qmp.migrate("migrate", "exec:cat >state", until);
        migrated.map_err(|error| self.explain(error)).context("cannot freeze the machine")?;
        std::fs::rename(&state, to).context("cannot keep the frozen machine")?;
        Ok(Frozen { spec: self.spec.clone(), state: to.to_owned() })
    }

    /// Runs a shell script in the guest; it may take this long.
    pub fn run(&mut self, script: &str, limit: Duration) -> Result<Output> {
        let output = self.guest.run(script, Instant::now() + limit);
        output.map_err(|error| self.explain(error))
    }

    /// Runs a shell script in the guest and hands over what it prints while it runs.
    pub fn stream(
        &mut self,
        script: &str,
        limit: Duration,
        each: impl FnMut(&[u8]),
    ) -> Result<i32> {
        let status = self.guest.stream(script, Instant::now() + limit, each);
        status.map_err(|error| self.explain(error))
    }

    /// The raw files behind `/dev/vda` and on, with the names that the guest has for them.
    pub fn disks(&self) -> Vec<(String, PathBuf)> {
        disk_names(self.spec.disks)
            .map(|name| (name.clone(), self.dir.path().join(disk_file(&name))))
            .collect()
    }

    /// What the guest's kernel and init have said so far.
    pub fn console(&self) -> String {
        tail(&self.dir.path().join(CONSOLE), u64::MAX)
    }

    fn start(spec: &Spec, scratch: &Path, more: &[OsString], until: Instant) -> Result<Self> {
        let dir = tempfile::tempdir_in(scratch).context("cannot make a machine's directory")?;
        for name in disk_names(spec.disks) {
            let disk = File::create_new(dir.path().join(disk_file(&name)))?;
            disk.set_len(spec.disk_mib << 20).context("cannot make a disk")?;
        }
        let (qmp, qemu_qmp) = UnixStream::pair().context("cannot make a socket pair")?;
        let (orders, qemu_orders) = UnixStream::pair().context("cannot make a socket pair")?;
        let complaints = File::create_new(dir.path().join(COMPLAINTS))?;
        let path = find("setpriv").context("no program setpriv")?;
        #[expect(clippy::disallowed_methods, reason = "the guest is a process")]
        let mut command = Command::new(path);
        let child = command
            // However this thread ends, the machine ends too.
            .args(["--pdeathsig", "KILL", QEMU])
            .args(arguments(spec))
            .args(more)
            .current_dir(dir.path())
            // These two are no terminals but sockets: see `arguments`.
            .stdin(Stdio::from(OwnedFd::from(qemu_orders)))
            .stdout(Stdio::from(OwnedFd::from(qemu_qmp)))
            .stderr(Stdio::from(complaints))
            .spawn()
            .context("cannot start QEMU")?;
        // The command keeps its copies of QEMU's ends; only QEMU may hold them open.
        drop(command);
        match Qmp::greet(qmp, until) {
            Ok(qmp) => Ok(Self { spec: spec.clone(), child, qmp, guest: Guest::new(orders), dir }),
            Err(error) => {
                let mut child = child;
                end(&mut child);
                let complaints = tail(&dir.path().join(COMPLAINTS), TAIL);
                Err(error.context(format!("QEMU did not start: {complaints}")))
            }
        }
    }

    /// Adds what QEMU and the guest's console said last.
    fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let complaints = tail(&self.dir.path().join(COMPLAINTS), TAIL);
        let console = tail(&self.dir.path().join(CONSOLE), TAIL);
        error.context(format!(
            "the machine failed; QEMU said: {complaints:?}; the end of its console:\n{console}\n"
        ))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// A machine's state in a file, of which any number of copies can be thawed.
#[derive(Debug)]
pub struct Frozen {
    spec: Spec,
    state: PathBuf,
}

impl Frozen {
    /// Thaws a private copy with empty disks of its own. Files live below `scratch`.
    pub fn thaw(&self, scratch: &Path) -> Result<Machine> {
        let until = Instant::now() + self.spec.limit;
        let more = ["-incoming", "defer"].map(OsString::from);
        let mut machine = Machine::start(&self.spec, scratch, &more, until)?;
        // QEMU hands the name to a shell: a link in its own directory needs no quoting.
        let link = machine.dir.path().join("state");
        std::os::unix::fs::symlink(&self.state, link).context("cannot link the frozen state")?;
        let migrated = machine.qmp.migrate("migrate-incoming", "exec:cat state", until);
        migrated.map_err(|error| machine.explain(error)).context("cannot thaw the machine")?;
        machine.qmp.command("cont", &json!({}), until)?;
        Ok(machine)
    }
}

fn arguments(spec: &Spec) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = [
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
        "-display",
        "none",
        "-machine",
        "q35,accel=tcg",
        // Without five-level page tables, which cost time and prove nothing here.
        "-cpu",
        "max,la57=off",
        "-smp",
        "1",
        "-chardev",
        "socket,id=orders,fd=0",
        "-device",
        "virtio-serial-pci",
        "-device",
        "virtserialport,chardev=orders,name=orders",
        "-chardev",
        "socket,id=qmp,fd=1",
        "-mon",
        "chardev=qmp,mode=control",
        "-append",
        "console=ttyS0 quiet panic=-1 mitigations=off nokaslr random.trust_cpu=on tsc=unstable",
    ]
    .map(OsString::from)
    .to_vec();
    let mut add = |name: &str, value: OsString| arguments.extend([OsString::from(name), value]);
    add("-m", format!("{}M", spec.memory_mib).into());
    add("-serial", format!("file:{CONSOLE}").into());
    add("-kernel", spec.kernel.clone().into());
    add("-initrd", spec.initramfs.clone().into());
    for name in disk_names(spec.disks) {
        // Written through the host's page cache, so that the host reads what the guest wrote;
        // the guest's flushes need not reach the host's disk.
        let file = disk_file(&name);
        add("-drive", format!("if=none,id={name},format=raw,cache=unsafe,file={file}").into());
        add("-device", format!("virtio-blk-pci,drive={name},serial={name}").into());
    }
    arguments
}

fn disk_names(count: u8) -> impl Iterator<Item = String> {
    (b'a'..=b'z').take(usize::from(count)).map(|letter| format!("vd{}", char::from(letter)))
}

fn disk_file(name: &str) -> String {
    format!("{name}.raw")
}

fn end(child: &mut Child) {
    // It may have ended by itself; either way it is gone after the wait.
    child.kill().ok();
    child.wait().ok();
}

/// The last bytes of a text file, or why there are none.
fn tail(path: &Path, size: u64) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let start = file.metadata()?.len().saturating_sub(size);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_else(|error| format!("({error})"))
}
