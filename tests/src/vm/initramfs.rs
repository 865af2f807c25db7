//! Puts the guest together: busybox, the storage tools with their libraries, the kernel modules,
//! the programs under test, and the init that takes orders from the host.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::cpio::Archive;
use super::kernel::Kernel;
use super::process::{Job, find};
use super::{modules, programs};

const INIT: &[u8] = include_bytes!("guest/init.sh");
const LIBRARY: &[u8] = include_bytes!("guest/lib.sh");
const LVM_CONF: &[u8] = include_bytes!("guest/lvm.conf");

/// Names under which the guest's tools are called besides their own.
const LINKS: &[(&str, &str)] = &[
    ("lvm", "lvcreate"),
    ("lvm", "lvconvert"),
    ("lvm", "lvchange"),
    ("lvm", "lvremove"),
    ("lvm", "lvs"),
    ("lvm", "pvcreate"),
    ("lvm", "pvmove"),
    ("lvm", "pvs"),
    ("lvm", "vgcreate"),
    ("lvm", "vgextend"),
    ("lvm", "vgchange"),
    ("lvm", "vgscan"),
    ("lvm", "vgs"),
];

const ACCOUNTS: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n\
    elasticsearch:x:101:101::/nonexistent:/bin/false\n\
    opensearch:x:102:102::/nonexistent:/bin/false\n\
    kibana:x:103:103::/nonexistent:/bin/false\n\
    logstash:x:104:104::/nonexistent:/bin/false\n";
const GROUPS: &[u8] =
    b"root:x:0:\nelasticsearch:x:101:\nopensearch:x:102:\nkibana:x:103:\nlogstash:x:104:\n";

/// Programs with debug information above this size are stripped for the guest.
const STRIP_ABOVE: u64 = 8 << 20;

/// What goes into the guest besides what always does.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    programs: BTreeMap<String, PathBuf>,
}

impl Contents {
    /// Only what always goes in.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a program, called `name` in the guest, with its shared libraries.
    #[must_use]
    pub fn program(mut self, name: &str, path: &Path) -> Self {
        self.programs.insert(name.to_owned(), path.to_owned());
        self
    }

    /// Writes the archive that the kernel starts from.
    pub fn write(&self, kernel: &Kernel, to: &Path) -> Result<()> {
        let file = File::create(to).with_context(|| format!("cannot make {}", to.display()))?;
        let mut archive = Archive::new(BufWriter::new(file));
        skeleton(&mut archive)?;
        self.add_programs(&mut archive)?;
        add_modules(&mut archive, kernel)?;
        archive.finish().context("cannot finish the guest's first file system")?;
        Ok(())
    }

    fn add_programs<W: Write>(&self, archive: &mut Archive<W>) -> Result<()> {
        let mut libraries = BTreeSet::new();
        for (name, path) in programs::for_guest() {
            libraries.extend(programs::libraries(&path)?);
            let at = if name == "busybox" { "/bin" } else { "/usr/sbin" };
            archive.file(&Path::new(at).join(name), 0o755, &contents(&path)?)?;
        }
        for (name, path) in &self.programs {
            libraries.extend(programs::libraries(path)?);
            archive.file(&Path::new("/usr/sbin").join(name), 0o755, &stripped(path)?)?;
        }
        for (program, link) in LINKS {
            archive.symlink(&Path::new("/usr/sbin").join(link), program)?;
        }
        for library in &libraries {
            archive.file(library, 0o755, &contents(library)?)?;
        }
        Ok(())
    }
}

fn skeleton<W: Write>(archive: &mut Archive<W>) -> Result<()> {
    for dir in ["/dev", "/proc", "/sys", "/run", "/tmp", "/mnt", "/root", "/var/lib", "/sbin"] {
        archive.directory(Path::new(dir))?;
    }
    // The kernel opens it for init before anything is mounted.
    archive.character_device(Path::new("/dev/console"), (5, 1))?;
    archive.file(Path::new("/init"), 0o755, INIT)?;
    archive.file(Path::new("/lib/vm.sh"), 0o644, LIBRARY)?;
    archive.file(Path::new("/etc/lvm/lvm.conf"), 0o644, LVM_CONF)?;
    archive.file(Path::new("/etc/passwd"), 0o644, ACCOUNTS)?;
    archive.file(Path::new("/etc/group"), 0o644, GROUPS)?;
    archive.file(Path::new("/etc/hostname"), 0o644, b"vm\n")?;
    archive.file(Path::new("/etc/hosts"), 0o644, b"127.0.0.1 localhost vm\n")?;
    archive.symlink(Path::new("/bin/sh"), "busybox")?;
    archive.symlink(Path::new("/etc/mtab"), "/proc/self/mounts")?;
    let mke2fs = Path::new("/etc/mke2fs.conf");
    if mke2fs.is_file() {
        archive.file(mke2fs, 0o644, &contents(mke2fs)?)?;
    }
    Ok(())
}

fn add_modules<W: Write>(archive: &mut Archive<W>, kernel: &Kernel) -> Result<()> {
    let mut order = String::new();
    for module in modules::load_order(kernel)? {
        let path = Path::new("/lib/modules").join(&module.file_name);
        archive.file(&path, 0o644, &module.contents)?;
        if module.at_start {
            order.push_str(&module.file_name);
            order.push('\n');
        }
    }
    archive.file(Path::new("/lib/modules/order"), 0o644, order.as_bytes())?;
    Ok(())
}

fn contents(path: &Path) -> Result<Vec<u8>> {
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(bytes)
}

/// A debug build is mostly debug information, which would only make every thaw slower.
fn stripped(path: &Path) -> Result<Vec<u8>> {
    let size = std::fs::metadata(path).with_context(|| format!("no {}", path.display()))?.len();
    if size < STRIP_ABOVE || find("strip").is_none() {
        return contents(path);
    }
    let copy = tempfile::NamedTempFile::new()?;
    Job::new("strip").args(["--strip-debug", "-o"]).arg(copy.path()).arg(path).stdout()?;
    contents(copy.path())
}
