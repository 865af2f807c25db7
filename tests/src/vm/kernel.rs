//! Gets Debian's kernels with their modules: resolved, downloaded and unpacked with Debian's own
//! tools, never installed, and kept by version so that the next run needs no network.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::process::Job;

/// Which of Debian's kernels a machine boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flavour {
    /// The one for virtual machines: small, and it boots fast.
    Cloud,
    /// The one for everything else, with the modules that the other lacks.
    Stock,
}

impl Flavour {
    /// The package that always depends on the newest of these kernels.
    fn meta_package(self) -> &'static str {
        match self {
            Self::Cloud => "linux-image-cloud-amd64",
            Self::Stock => "linux-image-amd64",
        }
    }

    /// Whether a versioned package, such as `linux-image-6.1.0-56-cloud-amd64`, is of this flavour.
    fn is_of(self, package: &str) -> bool {
        package.starts_with("linux-image-") && package.contains("-cloud-") == (self == Self::Cloud)
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cloud => "cloud",
            Self::Stock => "stock",
        })
    }
}

/// Most of the stock kernel's size: drivers of hardware that no machine here has.
const UNUSED: &[&str] = &[
    "drivers/gpu",
    "drivers/iio",
    "drivers/infiniband",
    "drivers/media",
    "drivers/net/ethernet",
    "drivers/net/wireless",
    "drivers/staging",
    "drivers/usb",
    "sound",
];

/// An unpacked kernel package, indexed with `depmod`.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// What `uname -r` says in the guest.
    pub release: String,
    /// The compressed kernel image.
    pub image: PathBuf,
    /// The directory with `lib/modules/RELEASE` in it.
    pub root: PathBuf,
}

/// The newest kernel that apt knows of, else the newest that an earlier run left in `cache`.
pub(super) fn obtain(cache: &Path, flavour: Flavour) -> Result<Kernel> {
    fs::create_dir_all(cache).with_context(|| format!("cannot make {}", cache.display()))?;
    match resolve(flavour) {
        Ok(package) => {
            let root = cache.join(package.file_stem());
            if !root.is_dir() {
                download(cache, &package, &root)?;
            }
            open(root)
        }
        Err(unresolved) => match newest_cached(cache, flavour)? {
            Some(root) => open(root),
            None => Err(unresolved),
        },
    }
}

/// A package with its exact version.
#[derive(Debug, PartialEq, Eq)]
struct Package {
    name: String,
    version: String,
}

impl Package {
    fn file_stem(&self) -> String {
        format!("{}_{}", self.name, self.version)
    }
}

fn resolve(flavour: Flavour) -> Result<Package> {
    let meta_package = flavour.meta_package();
    let record = Job::new("apt-cache")
        .arg("show")
        .arg("--no-all-versions")
        .arg(meta_package)
        .text()
        .context("apt does not know the kernel package; `apt-get update` may help")?;
    depends_on_image(&record).with_context(|| format!("{meta_package} depends on no kernel"))
}

/// Reads `Depends: linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)` out of a package record.
fn depends_on_image(record: &str) -> Option<Package> {
    let depends = record.lines().find_map(|line| line.strip_prefix("Depends:"))?;
    depends.split(',').find_map(|dependency| {
        let (name, version) = dependency.trim().split_once(' ')?;
        let version = version.trim().strip_prefix("(=")?.strip_suffix(')')?.trim();
        name.starts_with("linux-image-")
            .then(|| Package { name: name.to_owned(), version: version.to_owned() })
    })
}

/// Downloads and unpacks beside the final place and moves it there when complete.
fn download(cache: &Path, package: &Package, root: &Path) -> Result<()> {
    let work = tempfile::tempdir_in(cache).context("cannot make a download directory")?;
    let exact = format!("{}={}", package.name, package.version);
    Job::new("apt-get")
        .arg("-q")
        // As root, apt downloads as another user, who may not write here.
        .arg("-oAPT::Sandbox::User=root")
        .arg("download")
        .arg(&exact)
        .dir(work.path())
        .limit(Duration::from_mins(10))
        .stdout()
        .context("cannot download the kernel; `apt-get update` may help")?;
    let archive = only_file(work.path())?;
    let unpacked = work.path().join("root");
    Job::new("dpkg-deb")
        .arg("-x")
        .arg(&archive)
        .arg(&unpacked)
        .limit(Duration::from_mins(5))
        .stdout()?;
    let release = release_in(&unpacked)?;
    prune(&unpacked.join("lib/modules").join(&release).join("kernel"))?;
    Job::new("depmod").arg("-b").arg(&unpacked).arg(&release).stdout()?;
    match fs::rename(&unpacked, root) {
        // Another run was faster; both are the same bytes.
        Err(_) if root.is_dir() => Ok(()),
        moved => moved.with_context(|| format!("cannot move the kernel to {}", root.display())),
    }
}

/// Deletes the modules that no scenario can use.
fn prune(modules: &Path) -> Result<()> {
    for unused in UNUSED {
        let dir = modules.join(unused);
        if dir.is_dir() {
            fs::remove_dir_all(&dir).with_context(|| format!("cannot delete {}", dir.display()))?;
        }
    }
    Ok(())
}

fn only_file(dir: &Path) -> Result<PathBuf> {
    let mut files = fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
    match (files.pop(), files.pop()) {
        (Some(file), None) => Ok(file.path()),
        _ => bail!("apt-get download left no single file in {}", dir.display()),
    }
}

fn release_in(root: &Path) -> Result<String> {
    let modules = root.join("lib/modules");
    let modules = if modules.is_dir() { modules } else { root.join("usr/lib/modules") };
    let release = only_file(&modules).context("the kernel package has no modules")?;
    let name = release.file_name().context("a directory without a name")?;
    Ok(name.to_string_lossy().into_owned())
}

fn open(root: PathBuf) -> Result<Kernel> {
    let release = release_in(&root)?;
    let image = root.join(format!("boot/vmlinuz-{release}"));
    if !image.is_file() {
        bail!("no kernel image at {}", image.display());
    }
    Ok(Kernel { release, image, root })
}

/// The cached kernel of this flavour that was unpacked last.
fn newest_cached(cache: &Path, flavour: Flavour) -> Result<Option<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(cache)? {
        let path = entry?.path();
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        if flavour.is_of(name) && path.is_dir() {
            found.push((fs::metadata(&path)?.modified()?, path));
        }
    }
    Ok(found.into_iter().max().map(|(_, path)| path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versioned_package_is_read_from_the_record_of_the_meta_package() {
        let record = "Package: linux-image-cloud-amd64\nVersion: 6.1.192-2\n\
                      Depends: debconf (>= 0.5) | x, linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)\n";
        let package = depends_on_image(record).unwrap();
        assert_eq!(package.file_stem(), "linux-image-6.1.0-56-cloud-amd64_6.1.192-2");
        assert_eq!(depends_on_image("Package: x\n"), None);
        assert_eq!(depends_on_image("Depends: linux-image-1\n"), None);
    }

    #[test]
    fn without_apt_the_newest_cached_kernel_of_the_flavour_is_taken() {
        let cache = tempfile::tempdir().unwrap();
        let stock = cache.path().join("linux-image-6.1.0-56-amd64_6.1.192-2");
        let cloud = cache.path().join("linux-image-6.1.0-56-cloud-amd64_6.1.192-2");
        fs::create_dir(&stock).unwrap();
        assert_eq!(newest_cached(cache.path(), Flavour::Cloud).unwrap(), None);
        fs::create_dir(&cloud).unwrap();
        assert_eq!(newest_cached(cache.path(), Flavour::Cloud).unwrap(), Some(cloud));
        assert_eq!(newest_cached(cache.path(), Flavour::Stock).unwrap(), Some(stock));
    }

    #[test]
    fn pruning_deletes_what_is_listed_and_nothing_else() {
        let modules = tempfile::tempdir().unwrap();
        for dir in ["drivers/gpu/drm", "drivers/block", "fs"] {
            fs::create_dir_all(modules.path().join(dir)).unwrap();
        }
        prune(modules.path()).unwrap();
        assert!(!modules.path().join("drivers/gpu").exists());
        assert!(
            modules.path().join("drivers/block").exists() && modules.path().join("fs").exists()
        );
    }
}
