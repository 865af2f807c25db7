//! Looks at what is set up for the next boot: crypttab, fstab, the kernel command line, the configuration of the
//! initramfs, and the files that they name.
//!
//! Of key files the name, mode, owner and size are looked at, never the contents.

use std::collections::{BTreeMap, BTreeSet};

use atrest_proto::model::Reason;

use super::{Host, Metadata, header_search};
use crate::boot::initramfs::{self, Configuration, Copied, Variable};
use crate::boot::source::Source;
use crate::boot::{self, Boot, BootFile, FileId, Role, Search, Surroundings, cmdline};
use crate::crypttab::{self, Key};
use crate::fstab;
use crate::path::HostPath;
use crate::snapshot::{BlockDevice, DeviceNumber, Mount, Namespace, Observed, Trouble};

pub(super) const CRYPTTAB: &str = "/etc/crypttab";
pub(super) const FSTAB: &str = "/etc/fstab";
pub(super) const CMDLINE: &str = "/proc/cmdline";
/// Where a recording keeps [`Surroundings`].
pub(super) const RECORDED: &str = "/boot-files.json";

/// Tables of ten thousand lines are below this; so is every configuration file.
const TABLE: usize = 4 * 1024 * 1024;
/// Where systemd looks for the key of a volume for which crypttab names none.
const DEFAULT_KEYS: [&str; 2] = ["/etc/cryptsetup-keys.d", "/run/cryptsetup-keys.d"];
/// The key file of mkinitcpio's `encrypt` hook when `cryptkey=` names none.
const MKINITCPIO_KEY: &str = "/crypto_keyfile.bin";
/// More kernels than anyone keeps.
const MAX_IMAGES: usize = 64;
/// More than any host opens; a recording may name any number.
const MAX_FILES: usize = 1024;

/// Looks at everything. `mounts` is the host's own mount table, when it could be read.
pub fn observe(
    host: &dyn Host,
    mounts: Option<&[Mount]>,
    devices: &BTreeMap<DeviceNumber, BlockDevice>,
) -> Boot {
    observe_with(host, |crypttab, cmdline| {
        let named = [&crypttab_files(crypttab)[..], &cmdline_files(cmdline)];
        look(host, mounts, devices, named, crypttab)
    })
}

/// The same without the files that open volumes and the search for headers: what is said of volumes that are open needs
/// neither.
pub fn observe_intent(host: &dyn Host) -> Boot {
    observe_with(host, |crypttab, _| Surroundings {
        devices: named_devices(host, crypttab),
        ..Surroundings::default()
    })
}

/// `look` is for what a recording does not hold.
fn observe_with(
    host: &dyn Host,
    look: impl FnOnce(&Observed<crypttab::Table>, &Observed<cmdline::Facts>) -> Surroundings,
) -> Boot {
    let recorded = match recorded(host) {
        Ok(recorded) => recorded,
        Err(trouble) => {
            return Boot {
                crypttab: Observed::Unreadable(trouble.clone()),
                fstab: Observed::Unreadable(trouble.clone()),
                cmdline: Observed::Unreadable(trouble),
                surroundings: Surroundings::default(),
            };
        }
    };
    let table = |path: &str| match host.read(&Namespace::Host, &HostPath::from(path), TABLE) {
        Ok(text) => Observed::Known(text),
        Err(trouble) => match &recorded {
            Some(recorded) => recorded
                .troubles
                .get(path)
                .map_or(Observed::Absent, |trouble| Observed::Unreadable(trouble.clone())),
            None if trouble.reason != Reason::NotFound => Observed::Unreadable(trouble),
            None if host.is_live() => Observed::Absent,
            None => Observed::Unreadable(Trouble::new(
                Reason::Unreadable,
                format!("the recording holds no {path}"),
            )),
        },
    };
    let crypttab = map(table(CRYPTTAB), crypttab::parse);
    let fstab = map(table(FSTAB), fstab::parse);
    let cmdline = map(table(CMDLINE), cmdline::parse);
    let surroundings = recorded.unwrap_or_else(|| look(&crypttab, &cmdline));
    let mut boot = Boot { crypttab, fstab, cmdline, surroundings };
    if host.is_live() {
        boot.surroundings.troubles = troubles(&boot);
    }
    boot
}

fn map<T>(text: Observed<Vec<u8>>, parse: impl Fn(&[u8]) -> T) -> Observed<T> {
    match text {
        Observed::Known(text) => Observed::Known(parse(&text)),
        Observed::Absent => Observed::Absent,
        Observed::Unreadable(trouble) => Observed::Unreadable(trouble),
    }
}

fn recorded(host: &dyn Host) -> Result<Option<Surroundings>, Trouble> {
    if host.is_live() {
        return Ok(None);
    }
    let json = match host.read(&Namespace::Host, &RECORDED.into(), TABLE) {
        Ok(json) => json,
        Err(trouble) if trouble.reason == Reason::NotFound => return Ok(None),
        Err(trouble) => return Err(trouble),
    };
    serde_json::from_slice(&json).map(Some).map_err(|error| {
        let detail = format!("{RECORDED}: {error}: make the recording again");
        Trouble::new(Reason::Unreadable, detail)
    })
}

fn troubles(boot: &Boot) -> BTreeMap<String, Trouble> {
    let tables = [
        (CRYPTTAB, boot.crypttab.trouble()),
        (FSTAB, boot.fstab.trouble()),
        (CMDLINE, boot.cmdline.trouble()),
    ];
    tables
        .into_iter()
        .filter_map(|(path, trouble)| Some((path.to_owned(), trouble?.clone())))
        .collect()
}

/// A file that is to be looked at, with who names it.
#[derive(Debug, Clone)]
struct Wanted {
    id: FileId,
    named_by: String,
    is_default: bool,
    is_wrapped: bool,
}

fn wanted(role: Role, path: &HostPath, on: Option<&Source>, named_by: &str) -> Wanted {
    let id = FileId { role, path: path.normalised(), on: on.cloned() };
    Wanted { id, named_by: named_by.to_owned(), is_default: false, is_wrapped: false }
}

fn crypttab_files(table: &Observed<crypttab::Table>) -> Vec<Wanted> {
    let mut files = Vec::new();
    for entry in table.known().into_iter().flat_map(|table| &table.entries) {
        let named_by = format!("crypttab ({})", entry.name);
        match &entry.key {
            Key::File { path, on } => files.push(Wanted {
                is_wrapped: entry.options.keyscript.is_some(),
                ..wanted(Role::KeyFile, path, on.as_ref(), &named_by)
            }),
            Key::Unnamed => files.extend(default_keys(&entry.name, &named_by)),
            Key::Random(_) | Key::Other => {}
        }
        if let Some(header) = entry.options.header.as_ref().filter(|header| header.is_absolute()) {
            let on = entry.options.header_on.as_ref();
            files.push(wanted(Role::DetachedHeader, header, on, &named_by));
        }
    }
    files
}

fn default_keys(name: &str, named_by: &str) -> Vec<Wanted> {
    // A name with a slash would lead out of the directory.
    if name.contains('/') {
        return Vec::new();
    }
    let key = |directory: &str| {
        let path = HostPath::from(directory).join(format!("{name}.key"));
        Wanted { is_default: true, ..wanted(Role::KeyFile, &path, None, named_by) }
    };
    DEFAULT_KEYS.map(key).to_vec()
}

fn cmdline_files(facts: &Observed<cmdline::Facts>) -> Vec<Wanted> {
    let named_by = "kernel command line";
    let Some(facts) = facts.known() else { return Vec::new() };
    let mut files: Vec<Wanted> = facts
        .keys
        .iter()
        .map(|key| wanted(Role::KeyFile, &key.path, key.on.as_ref(), named_by))
        .collect();
    for volume in &facts.volumes {
        let systemd_name = volume.device.uuid().map(|uuid| format!("luks-{uuid}"));
        let name = volume.name.clone().or(systemd_name).unwrap_or_default();
        files.extend(default_keys(&name, named_by));
    }
    if !facts.volumes.is_empty() {
        let key = wanted(Role::KeyFile, &MKINITCPIO_KEY.into(), None, named_by);
        files.push(Wanted { is_default: true, ..key });
    }
    files
}

fn look(
    host: &dyn Host,
    mounts: Option<&[Mount]>,
    devices: &BTreeMap<DeviceNumber, BlockDevice>,
    named: [&[Wanted]; 2],
    crypttab: &Observed<crypttab::Table>,
) -> Surroundings {
    let initramfs = configuration(host);
    let mut files: Vec<Wanted> = named.concat();
    files.extend(copied_keys(&initramfs));
    files.extend(images(host));
    let entries = crypttab.known().map(|table| table.entries.as_slice()).unwrap_or_default();
    let mut search = Search::default();
    if !entries.is_empty() || boot::may_encrypt(devices) {
        let found;
        (found, search) = header_search::search(host, mounts);
        // What a loop device stands on is a volume, and its header where it belongs.
        let in_use: BTreeSet<HostPath> = devices
            .values()
            .filter_map(|device| Some(device.looped.as_ref()?.backing_file.normalised()))
            .chain(files.iter().map(|file| file.id.path.clone()))
            .collect();
        let backups = found.iter().filter(|path| !in_use.contains(path));
        files.extend(backups.map(|path| wanted(Role::HeaderBackup, path, None, "search")));
    }
    if files.len() > MAX_FILES {
        files.truncate(MAX_FILES);
        search.troubles.push(Trouble::new(
            Reason::Unreadable,
            format!(
                "more than {MAX_FILES} key files, headers and images: the rest was not looked at"
            ),
        ));
    }
    Surroundings {
        troubles: BTreeMap::new(),
        initramfs,
        files: merged(files).into_iter().map(|file| look_at(host, file)).collect(),
        devices: named_devices(host, crypttab),
        search,
    }
}

/// The devices that crypttab names, by those names.
fn named_devices(
    host: &dyn Host,
    crypttab: &Observed<crypttab::Table>,
) -> BTreeMap<String, DeviceNumber> {
    let entries = crypttab.known().map(|table| table.entries.as_slice()).unwrap_or_default();
    let device = |entry: &crypttab::Entry| {
        let found = host.resolve(&Namespace::Host, &entry.device.node()?).at;
        Some((entry.device.to_string(), found.known()?.block_device?))
    };
    entries.iter().take(MAX_FILES).filter_map(device).collect()
}

/// One for each file, sorted, with everyone who names it. What one of them says for sure counts.
fn merged(files: Vec<Wanted>) -> Vec<(Wanted, BTreeSet<String>)> {
    let mut merged: BTreeMap<FileId, (Wanted, BTreeSet<String>)> = BTreeMap::new();
    for file in files {
        let (known, named_by) =
            merged.entry(file.id.clone()).or_insert_with(|| (file.clone(), BTreeSet::new()));
        known.is_default &= file.is_default;
        known.is_wrapped &= file.is_wrapped;
        named_by.insert(file.named_by);
    }
    merged.into_values().collect()
}

fn look_at(host: &dyn Host, (file, named_by): (Wanted, BTreeSet<String>)) -> BootFile {
    let seen_by = &Namespace::Host;
    let (resolution, metadata) = if let Some(on) = &file.id.on {
        // Its file system need not be mounted: where it lies is all that can be seen.
        let at = on.node().map(|node| host.resolve(seen_by, &node).at);
        (at.unwrap_or(Observed::Absent), Observed::Absent)
    } else {
        let at = host.resolve(seen_by, &file.id.path).at;
        let metadata = match &at {
            Observed::Known(_) => metadata(host, &file.id.path),
            Observed::Absent => Observed::Absent,
            Observed::Unreadable(trouble) => Observed::Unreadable(trouble.clone()),
        };
        (at, metadata)
    };
    BootFile {
        id: file.id,
        named_by: named_by.into_iter().collect(),
        is_default: file.is_default,
        is_wrapped: file.is_wrapped,
        metadata,
        resolution,
    }
}

fn metadata(host: &dyn Host, path: &HostPath) -> Observed<Metadata> {
    match host.metadata(&Namespace::Host, path, true) {
        Ok(metadata) => Observed::Known(metadata),
        Err(trouble) if trouble.reason == Reason::NotFound => Observed::Absent,
        Err(trouble) => Observed::Unreadable(trouble),
    }
}

/// The configuration files of the tools that make an initramfs, with those in their directories.
const CONFIGURATION: [(&str, &str, Option<Variable>); 6] = [
    ("/etc/cryptsetup-initramfs/conf-hook", "", Some(Variable::KeyFilePattern)),
    ("/etc/dracut.conf", "/etc/dracut.conf.d", Some(Variable::InstallItems)),
    ("", "/usr/lib/dracut/dracut.conf.d", Some(Variable::InstallItems)),
    ("/etc/mkinitcpio.conf", "/etc/mkinitcpio.conf.d", Some(Variable::Files)),
    // A line for cryptsetup may stand here as well.
    ("/etc/initramfs-tools/initramfs.conf", "/etc/initramfs-tools/conf.d", None),
    ("", "/etc/initramfs-tools/conf-hooks.d", Some(Variable::KeyFilePattern)),
];

fn configuration(host: &dyn Host) -> Configuration {
    /// More drop-in files than any tool comes with.
    const MAX_DROP_INS: usize = 256;
    let mut found = Configuration::default();
    for (file, directory, variable) in CONFIGURATION {
        let mut places = Vec::new();
        if !file.is_empty() {
            places.push(HostPath::from(file));
        }
        if !directory.is_empty() {
            let directory = HostPath::from(directory);
            match host.list(&Namespace::Host, &directory) {
                Ok(names) => {
                    places.extend(names.iter().take(MAX_DROP_INS).map(|name| directory.join(name)));
                }
                Err(trouble) if trouble.reason == Reason::NotFound => {}
                Err(trouble) => found.troubles.push(trouble),
            }
        }
        for place in places {
            let text = match host.read(&Namespace::Host, &place, TABLE) {
                Ok(text) => text,
                Err(trouble) if trouble.reason == Reason::NotFound => continue,
                Err(trouble) => {
                    found.troubles.push(trouble);
                    continue;
                }
            };
            if let Some(variable) = variable {
                let copied = initramfs::copied(&text, variable).into_iter();
                found
                    .copies
                    .extend(copied.map(|pattern| Copied { pattern, said_by: place.clone() }));
            } else {
                found.umask = initramfs::umask(&text).or(found.umask);
            }
        }
    }
    found.copies.sort_unstable();
    found.copies.dedup();
    found
}

/// Files that the initramfs gets by name and that are key files by their name or place.
fn copied_keys(configuration: &Configuration) -> Vec<Wanted> {
    let is_key = |path: &HostPath| {
        let name = path.file_name().unwrap_or_default();
        let parent = path.parent().unwrap_or_default();
        !path.as_bytes().iter().any(|byte| b"*?[".contains(byte))
            && (name.ends_with(b".key")
                || name.windows(7).any(|part| part == b"keyfile")
                || [DEFAULT_KEYS[0], "/etc/keys"].contains(&parent.to_string().as_str()))
    };
    configuration
        .copies
        .iter()
        .filter(|copied| is_key(&copied.pattern))
        .map(|copied| wanted(Role::KeyFile, &copied.pattern, None, &copied.said_by.to_string()))
        .collect()
}

fn images(host: &dyn Host) -> Vec<Wanted> {
    let boot = HostPath::from("/boot");
    let is_image = |name: &&Vec<u8>| {
        let is_named = |start: &[u8], end: &[u8]| name.starts_with(start) && name.ends_with(end);
        is_named(b"initrd.img-", b"")
            || is_named(b"initramfs-", b".img")
            || is_named(b"initrd-", b"")
    };
    let names = host.list(&Namespace::Host, &boot).unwrap_or_default();
    names
        .iter()
        .filter(is_image)
        .take(MAX_IMAGES)
        .map(|name| wanted(Role::InitramfsImage, &boot.join(name), None, "/boot"))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use tempfile::TempDir;

    use super::*;
    use crate::host::live::LiveHost;
    use crate::host::recorded::RecordedHost;

    fn write(root: &TempDir, path: &str, text: &str, mode: u32) {
        let real = root.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(real.parent().unwrap()).unwrap();
        fs::write(&real, text).unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// A root as Debian leaves it, with a key that the initramfs gets.
    fn root() -> TempDir {
        let root = tempfile::tempdir().unwrap();
        write(
            &root,
            CRYPTTAB,
            "es UUID=1 /etc/keys/es.key luks,header=/boot/es.img\nlog /dev/sdc none\nx /dev/sdd /k:LABEL=usb\n\
             y /dev/sde /etc/y.gpg luks,keyscript=/lib/gpg\nswap /dev/sdf /dev/urandom swap\n",
            0o644,
        );
        write(&root, FSTAB, "/dev/mapper/es /srv/es ext4 defaults,password=Hunter2 0 2\n", 0o644);
        write(&root, CMDLINE, "ro rd.luks.key=/root.key pw=Hunter2\n", 0o444);
        write(&root, "/etc/keys/es.key", "Hunter2", 0o640);
        write(&root, "/etc/cryptsetup-keys.d/log.key", "Hunter2", 0o600);
        write(
            &root,
            "/etc/cryptsetup-initramfs/conf-hook",
            "KEYFILE_PATTERN=/etc/keys/*.key\n",
            0o644,
        );
        write(&root, "/etc/initramfs-tools/initramfs.conf", "UMASK=0077\n", 0o644);
        write(&root, "/etc/mkinitcpio.conf", "FILES=(/etc/z.key /etc/hosts)\n", 0o644);
        write(&root, "/boot/initrd.img-6.1.0", "x", 0o644);
        write(&root, "/boot/vmlinuz-6.1.0", "x", 0o644);
        let header = [b"LUKS\xba\xbe".as_slice(), &[0; 1024]].concat();
        write(&root, "/root/placeholder", "", 0o600);
        fs::write(root.path().join("root/old-header.img"), header).unwrap();
        root
    }

    fn seen(host: &dyn Host) -> Boot {
        observe(host, None, &BTreeMap::new())
    }

    fn find<'a>(boot: &'a Boot, path: &str) -> &'a BootFile {
        let at = HostPath::from(path);
        boot.surroundings.files.iter().find(|file| file.id.path == at).expect(path)
    }

    fn mode(file: &BootFile) -> Option<u32> {
        file.metadata.known().map(|metadata| metadata.mode)
    }

    #[test]
    fn key_files_headers_and_images_are_found_with_who_names_them() {
        let root = root();
        let boot = seen(&LiveHost::new(root.path()));
        let key = find(&boot, "/etc/keys/es.key");
        assert_eq!((key.id.role, mode(key)), (Role::KeyFile, Some(0o640)));
        assert_eq!(key.named_by, ["crypttab (es)"]);
        assert!(key.resolution.known().is_some());
        let default = find(&boot, "/etc/cryptsetup-keys.d/log.key");
        assert!(default.is_default && mode(default) == Some(0o600));
        assert_eq!(find(&boot, "/run/cryptsetup-keys.d/log.key").metadata, Observed::Absent);
        assert_eq!(find(&boot, "/boot/es.img").id.role, Role::DetachedHeader);
        assert!(find(&boot, "/k").id.on.is_some());
        assert!(find(&boot, "/etc/y.gpg").is_wrapped);
        assert_eq!(find(&boot, "/root.key").named_by, ["kernel command line"]);
        assert_eq!(find(&boot, "/etc/z.key").named_by, ["/etc/mkinitcpio.conf"]);
        assert_eq!(mode(find(&boot, "/boot/initrd.img-6.1.0")), Some(0o644));
        assert_eq!(find(&boot, "/root/old-header.img").id.role, Role::HeaderBackup);
        let paths: Vec<String> =
            boot.surroundings.files.iter().map(|file| file.id.path.to_string()).collect();
        for absent in ["/dev/urandom", "/boot/vmlinuz-6.1.0", "/etc/hosts"] {
            assert!(!paths.contains(&absent.to_owned()), "{paths:?}");
        }
        assert_eq!(boot.surroundings.initramfs.umask, Some(0o077));
        assert_eq!(boot.surroundings.initramfs.copies.len(), 3);
    }

    #[test]
    fn the_intent_alone_is_that_of_the_whole() {
        let root = root();
        let host = LiveHost::new(root.path());
        let (all, intent) = (seen(&host), observe_intent(&host));
        assert_eq!((&intent.crypttab, &intent.fstab), (&all.crypttab, &all.fstab));
        assert_eq!(intent.cmdline, all.cmdline);
        assert_eq!(intent.surroundings.devices, all.surroundings.devices);
        assert!(
            intent.surroundings.files.is_empty() && intent.surroundings.search.looked.is_empty()
        );
    }

    #[test]
    fn no_secret_enters_the_observation() {
        let root = root();
        let json = serde_json::to_string(&seen(&LiveHost::new(root.path()))).unwrap();
        assert!(!json.contains("Hunter2"), "{json}");
    }

    #[test]
    fn what_is_missing_is_absent_on_a_live_host_and_not_known_of_a_recording() {
        let root = tempfile::tempdir().unwrap();
        let live = seen(&LiveHost::new(root.path()));
        assert_eq!((live.crypttab, live.fstab), (Observed::Absent, Observed::Absent));
        let replayed = seen(&RecordedHost::new(root.path()));
        assert!(replayed.crypttab.trouble().is_some() && replayed.cmdline.trouble().is_some());
    }

    #[test]
    fn a_fifo_in_place_of_a_table_is_a_trouble() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc")).unwrap();
        let fifo = root.path().join("etc/crypttab");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let boot = seen(&LiveHost::new(root.path()));
        assert!(boot.crypttab.trouble().is_some());
        assert!(boot.surroundings.troubles.contains_key(CRYPTTAB));
    }

    #[test]
    fn without_any_sign_of_encryption_nothing_is_searched() {
        let root = tempfile::tempdir().unwrap();
        write(&root, "/root/x", "", 0o600);
        assert!(seen(&LiveHost::new(root.path())).surroundings.search.looked.is_empty());
    }
}
