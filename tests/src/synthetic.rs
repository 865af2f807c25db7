//! A recording of a host with as many devices and mounts as one likes, for measuring.

use std::fmt::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::Context as _;

/// How large the host is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Block devices; half of them disks, half dm-crypt devices on those.
    pub devices: usize,
    /// Mounts, spread over the dm-crypt devices.
    pub mounts: usize,
}

/// Writes the recording into `root`, which must exist.
pub fn write(root: &Path, size: Size) -> anyhow::Result<()> {
    let disks = size.devices / 2;
    let mut tables = String::new();
    for disk in 0..disks {
        let name = format!("sd{disk}");
        // Minor numbers run on; 65 to 71 and 128 to 135 are the kernel's further majors for SCSI disks.
        let number = format!("8:{disk}");
        let directory = format!("devices/pci0000:00/host0/target0:0:{disk}/block/{name}");
        device(root, &number, &name, &directory)?;
        let disk_directory = root.join("sys").join(&directory);
        let mapped = format!("dm-{disk}");
        let mapped_number = format!("254:{disk}");
        let from = format!("../../../../{}", &directory.trim_start_matches("devices/"));
        let to = format!("../../../../../../virtual/block/{mapped}");
        let directory = format!("devices/virtual/block/{mapped}");
        device(root, &mapped_number, &mapped, &directory)?;
        // Both ends: from above the kernel links to what a device stands on, from below to what stands on it.
        link(&root.join("sys").join(&directory).join("slaves").join(&name), &from)?;
        link(&disk_directory.join("holders").join(&mapped), &to)?;
        let dm = root.join("sys").join(&directory).join("dm");
        put(&dm.join("name"), &format!("c{disk}\n"))?;
        put(&dm.join("uuid"), &format!("CRYPT-LUKS2-{disk:032x}-c{disk}\n"))?;
        put(&dm.join("suspended"), "0\n")?;
        let key = "0".repeat(128);
        // The journal of the file system on it runs, inside it.
        put(&root.join(format!("proc/fs/jbd2/{mapped}-8/info")), "")?;
        writeln!(tables, "c{disk}: 0 2064384 crypt aes-xts-plain64 {key} 0 {number} 32768")?;
    }
    put(&root.join("dmsetup-table.txt"), &tables)?;
    put(&root.join("proc/self/mountinfo"), &mountinfo(size.mounts, disks))?;
    put(&root.join("proc/swaps"), SWAPS)
}

/// What `lsblk` reads of a device's queue.
const QUEUE: [(&str, &str); 12] = [
    ("add_random", "0\n"),
    ("dax", "0\n"),
    ("discard_granularity", "512\n"),
    ("discard_max_bytes", "2147450880\n"),
    ("discard_zeroes_data", "0\n"),
    ("logical_block_size", "512\n"),
    ("minimum_io_size", "512\n"),
    ("nr_requests", "256\n"),
    ("optimal_io_size", "0\n"),
    ("physical_block_size", "512\n"),
    ("rotational", "0\n"),
    ("scheduler", "[none] mq-deadline\n"),
];

/// The devices of the recording in `of` alone, with one mount: for programs that look every mount up for every device.
pub fn write_devices_of(of: &Path, root: &Path) -> anyhow::Result<()> {
    link(&root.join("sys"), &of.join("sys").to_string_lossy())?;
    put(&root.join("proc/self/mountinfo"), &mountinfo(1, 1))?;
    put(&root.join("proc/swaps"), SWAPS)
}

const SWAPS: &str = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";

fn mountinfo(mounts: usize, disks: usize) -> String {
    let mut table = String::from("1 0 254:0 / / rw,relatime shared:1 - ext4 /dev/mapper/c0 rw\n");
    for mount in 1..mounts {
        let disk = mount % disks.max(1);
        let id = mount + 1;
        table.push_str(&format!(
            "{id} 1 254:{disk} / /srv/m{mount} rw,relatime shared:{id} - ext4 /dev/mapper/c{disk} rw\n"
        ));
    }
    table
}

fn device(root: &Path, number: &str, name: &str, directory: &str) -> anyhow::Result<()> {
    let sys = root.join("sys");
    let at = sys.join(directory);
    put(&at.join("dev"), &format!("{number}\n"))?;
    put(&at.join("size"), "2097152\n")?;
    put(&at.join("ro"), "0\n")?;
    put(&at.join("removable"), "0\n")?;
    for (attribute, text) in QUEUE {
        put(&at.join("queue").join(attribute), text)?;
    }
    std::fs::create_dir_all(at.join("slaves"))?;
    std::fs::create_dir_all(at.join("holders"))?;
    link(&sys.join("dev/block").join(number), &format!("../../{directory}"))?;
    link(&sys.join("class/block").join(name), &format!("../../{directory}"))?;
    link(&sys.join("block").join(name), &format!("../{directory}"))
}

fn put(path: &Path, text: &str) -> anyhow::Result<()> {
    let parent = path.parent().context("a file in a directory")?;
    std::fs::create_dir_all(parent)?;
    std::fs::write(path, text).with_context(|| format!("{}", path.display()))
}

fn link(path: &Path, target: &str) -> anyhow::Result<()> {
    let parent = path.parent().context("a link in a directory")?;
    std::fs::create_dir_all(parent)?;
    symlink(target, path).with_context(|| format!("{}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_links_lead_to_devices() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), Size { devices: 4, mounts: 8 }).unwrap();
        let sys = root.path().join("sys");
        for (link, device) in [
            ("dev/block/8:1", "8:1\n"),
            ("block/dm-1/slaves/sd1", "8:1\n"),
            ("block/sd1/holders/dm-1", "254:1\n"),
            ("class/block/dm-0", "254:0\n"),
        ] {
            let number = std::fs::File::open(sys.join(link).join("dev")).unwrap();
            assert_eq!(std::io::read_to_string(number).unwrap(), device, "{link}");
        }
    }
}
