//! Which kernel modules the guest loads, in which order, and their uncompressed contents.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::kernel::Kernel;
use super::process::Job;

/// Without these no scenario works.
const NEEDED: &[&str] = &["virtio_pci", "virtio_blk", "virtio_console", "dm-mod", "dm-crypt"];

/// Taken where this kernel has them: a kernel may have built them in, renamed or dropped them.
const WANTED: &[&str] = &[
    "dm-cache",
    "dm-cache-smq",
    "dm-delay",
    "dm-era",
    "dm-flakey",
    "dm-integrity",
    "dm-log-writes",
    "dm-mirror",
    "dm-multipath",
    "dm-raid",
    "dm-round-robin",
    "dm-service-time",
    "dm-snapshot",
    "dm-switch",
    "dm-thin-pool",
    "dm-unstripe",
    "dm-verity",
    "dm-writecache",
    "dm-zero",
    "bcache",
    "linear",
    "raid0",
    "raid1",
    "raid10",
    "raid456",
    "loop",
    "autofs4",
    "btrfs",
    "ext4",
    "fuse",
    "overlay",
    "squashfs",
    "vfat",
    "xfs",
    "ecryptfs",
    "f2fs",
    "jfs",
    "nilfs2",
    "reiserfs",
    "virtio_net",
    "virtio-rng",
    "adiantum",
    "aes_generic",
    "aesni-intel",
    "af_alg",
    "algif_aead",
    "algif_hash",
    "algif_rng",
    "algif_skcipher",
    "authenc",
    "cbc",
    "crc32c_generic",
    "cryptd",
    "cts",
    "ecb",
    "essiv",
    "gcm",
    "hmac",
    "lzo-rle",
    "serpent_generic",
    "crc32_generic",
    "ghash-generic",
    "md5",
    "sha256_generic",
    "sha512_generic",
    "twofish_generic",
    "xts",
];

/// Shipped where this kernel has them, and left for a scenario to load: they make devices at once, or
/// would be in the way.
const ON_DEMAND: &[&str] = &["brd", "drbd", "nbd", "null_blk", "zram"];

/// A module file, ready for `insmod`.
#[derive(Debug)]
pub(super) struct Module {
    /// Its file name, `.ko` at the end.
    pub file_name: String,
    /// Its uncompressed contents.
    pub contents: Vec<u8>,
    /// Whether the guest loads it when it starts.
    pub at_start: bool,
}

/// Every module with what it depends on, in the order to load them.
pub(super) fn load_order(kernel: &Kernel) -> Result<Vec<Module>> {
    let mut modules = Vec::new();
    let mut seen = BTreeSet::new();
    for names in [NEEDED, WANTED, ON_DEMAND] {
        for name in names {
            let listing = Job::new("modprobe")
                .args(["--show-depends", "--ignore-install", "-d"])
                .arg(&kernel.root)
                .args(["-S", &kernel.release, name])
                .text();
            let listing = match listing {
                Ok(listing) => listing,
                Err(error) if names == NEEDED => return Err(error),
                Err(_) => continue,
            };
            let paths: Vec<_> = to_insert(&listing).collect();
            for path in &paths {
                if seen.insert(path.clone()) {
                    // What one depends on makes no devices.
                    let at_start = names != ON_DEMAND || Some(path) != paths.last();
                    modules.push(read(path, at_start)?);
                }
            }
        }
    }
    Ok(modules)
}

/// Reads `insmod /root/lib/modules/…/dm-mod.ko param=value` lines; `builtin x` ones need nothing.
fn to_insert(listing: &str) -> impl Iterator<Item = PathBuf> {
    listing.lines().filter_map(|line| {
        let path = line.strip_prefix("insmod ")?.trim();
        let end = path.find(".ko").map_or(path.len(), |at| {
            path.get(at..).and_then(|rest| rest.find(' ')).map_or(path.len(), |space| at + space)
        });
        path.get(..end).map(PathBuf::from)
    })
}

/// Kernels ship modules plain, or compressed with one of two programs.
fn read(path: &Path, at_start: bool) -> Result<Module> {
    let name = path.file_name().and_then(OsStr::to_str).context("a module without a name")?;
    let unpack = |program| Job::new(program).arg("-dc").arg(path).stdout();
    let (file_name, contents) = match name.rsplit_once(".ko") {
        Some((stem, "")) => (format!("{stem}.ko"), plain(path)?),
        Some((stem, ".xz")) => (format!("{stem}.ko"), unpack("xz")?),
        Some((stem, ".zst")) => (format!("{stem}.ko"), unpack("zstd")?),
        _ => bail!("unknown kind of module file: {}", path.display()),
    };
    Ok(Module { file_name, contents, at_start })
}

fn plain(path: &Path) -> Result<Vec<u8>> {
    let mut contents = Vec::new();
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    file.read_to_end(&mut contents)?;
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_to_insert_are_taken_without_their_parameters() {
        let listing = "builtin ext4\ninsmod /a dir/kernel/md-mod.ko create_on_open=1\n\
                       insmod /a dir/kernel/raid1.ko.xz \n";
        let found: Vec<_> = to_insert(listing).collect();
        assert_eq!(
            found,
            [PathBuf::from("/a dir/kernel/md-mod.ko"), PathBuf::from("/a dir/kernel/raid1.ko.xz")]
        );
    }
}
