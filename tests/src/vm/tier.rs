//! Decides whether the tier can run on this machine, and prepares what every machine needs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::initramfs::Contents;
use super::kernel::{self, Flavour, Kernel};
use super::programs;

/// Where kernels are kept, below the tier's home.
const CACHE: &str = "cache";

/// Why the tier cannot run here: no test has failed, but none has run either.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// Programs are missing.
    #[error("missing programs: {}; {}", .0.join(", "), install())]
    Programs(Vec<&'static str>),
    /// There is no kernel to boot.
    #[error("no kernel to boot: {:#}; {}", .0, install())]
    Kernel(anyhow::Error),
}

fn install() -> String {
    let packages: Vec<_> = programs::packages().into_iter().collect();
    format!("on Debian: apt-get update && apt-get install {}", packages.join(" "))
}

/// Whether a tier that cannot run is a failure: on CI it must not get lost in silence.
pub fn required() -> bool {
    let is = |name, value| std::env::var_os(name).is_some_and(|found| found == value);
    is("CI", "true") || is("ATREST_VM_REQUIRED", "1")
}

/// What every machine needs: the kernel, and a place for its files.
#[derive(Debug)]
pub struct Tier {
    kernel: Kernel,
    home: PathBuf,
    scratch: TempDir,
}

impl Tier {
    /// Looks for the programs and gets the kernel; the inner error says why it cannot.
    pub fn prepare() -> Result<Result<Self, Unavailable>> {
        let missing = programs::missing();
        if !missing.is_empty() {
            let names = missing.iter().map(|program| program.name).collect();
            return Ok(Err(Unavailable::Programs(names)));
        }
        let home = target().join("vm");
        let kernel = match kernel::obtain(&home.join(CACHE), Flavour::Cloud) {
            Ok(kernel) => kernel,
            Err(error) => return Ok(Err(Unavailable::Kernel(error))),
        };
        fs::create_dir_all(&home).context("cannot make the tier's directory")?;
        let scratch = scratch(&home).context("cannot make a scratch directory")?;
        Ok(Ok(Self { kernel, home, scratch }))
    }

    /// The kernel that machines boot unless they need another.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// A kernel of this flavour, or why there is none.
    pub fn kernel_of(&self, flavour: Flavour) -> Result<Kernel, Unavailable> {
        match flavour {
            Flavour::Cloud => Ok(self.kernel.clone()),
            Flavour::Stock => {
                kernel::obtain(&self.home.join(CACHE), flavour).map_err(Unavailable::Kernel)
            }
        }
    }

    /// Where the tier keeps what outlives a run.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Where machines keep their files until the tier is dropped.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Writes the first file system of a guest with this kernel.
    pub fn initramfs(&self, kernel: &Kernel, contents: &Contents) -> Result<PathBuf> {
        let path = self.scratch.path().join(format!("initramfs-{}.cpio", kernel.release));
        contents.write(kernel, &path)?;
        Ok(path)
    }
}

/// Makes a directory for this run, and clears away those of runs that were killed.
fn scratch(home: &Path) -> Result<TempDir> {
    const PREFIX: &str = "run-";
    for entry in fs::read_dir(home)? {
        let entry = entry?;
        let name = entry.file_name();
        let run = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split_once('-'));
        if run.is_some_and(|(process, _)| !Path::new("/proc").join(process).exists()) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    let prefix = format!("{PREFIX}{}-", std::process::id());
    Ok(tempfile::Builder::new().prefix(&prefix).tempdir_in(home)?)
}

/// The agent to test: `ATREST_AGENT`, else the one that was built beside this program.
pub fn agent() -> Option<PathBuf> {
    match std::env::var_os("ATREST_AGENT") {
        Some(path) => Some(PathBuf::from(path)),
        None => built("atrest-agent"),
    }
}

/// A program of this workspace that was built with the same profile as this one.
pub fn built(name: &str) -> Option<PathBuf> {
    let this = std::env::current_exe().ok()?;
    // Tests are in `deps`, programs one above.
    this.ancestors().skip(1).take(2).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// The build directory that this program is in.
fn target() -> PathBuf {
    let this = std::env::current_exe().unwrap_or_default();
    let tagged = this.ancestors().find(|dir| dir.join("CACHEDIR.TAG").is_file());
    tagged.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), Path::to_owned)
}
