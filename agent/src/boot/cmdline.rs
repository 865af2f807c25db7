//! What the kernel command line says about volumes that are opened at boot.
//!
//! `rd.luks.*` and `luks.*`: `systemd-cryptsetup-generator(8)`, `dracut.cmdline(7)`. `cryptdevice=`, `cryptkey=`:
//! mkinitcpio's `encrypt` hook. `cryptopts=`: Debian's cryptsetup-initramfs. All other parameters are left out: some
//! hold passwords.

use serde::{Deserialize, Serialize};

use super::source::{Source, unquoted};
use crate::crypttab::on_device;
use crate::path::HostPath;

/// The parameters that matter, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub volumes: Vec<Volume>,
    pub keys: Vec<KeyFile>,
    pub resume: Option<Source>,
}

/// A volume to be opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    pub device: Source,
    /// The name below `/dev/mapper`, when one is given; systemd's own choice is `luks-UUID`.
    pub name: Option<String>,
}

/// A key file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFile {
    pub path: HostPath,
    /// The device on whose file system it lies, when it is another one.
    pub on: Option<Source>,
}

/// Reads `/proc/cmdline`.
pub fn parse(text: &[u8]) -> Facts {
    let mut facts = Facts::default();
    for word in text.split(u8::is_ascii_whitespace) {
        let word = unquoted(word);
        let Some(at) = word.iter().position(|byte| *byte == b'=') else { continue };
        let (name, value) = (word.get(..at), word.get(at + 1..));
        let (Some(name), Some(value)) = (name, value.map(unquoted)) else { continue };
        parameter(&mut facts, name, value);
    }
    facts
}

fn parameter(facts: &mut Facts, name: &[u8], value: &[u8]) {
    match name {
        b"rd.luks.uuid" | b"luks.uuid" | b"rd_LUKS_UUID" => {
            let value = value.strip_prefix(b"luks-").unwrap_or(value);
            facts.volumes.extend(uuid(value).map(|device| Volume { device, name: None }));
        }
        b"rd.luks.name" | b"luks.name" => {
            let mut parts = value.splitn(2, |byte| *byte == b'=');
            let device = parts.next().and_then(uuid);
            let name = parts.next().filter(|name| !name.is_empty());
            if let (Some(device), Some(name)) = (device, name) {
                facts.volumes.push(Volume { device, name: Some(lossy(name)) });
            }
        }
        b"rd.luks.key" | b"luks.key" => facts.keys.extend(luks_key(value)),
        b"cryptdevice" => facts.volumes.extend(cryptdevice(value)),
        b"cryptkey" => facts.keys.extend(cryptkey(value)),
        b"cryptopts" => cryptopts(facts, value),
        b"resume" => facts.resume = Some(Source::parse(value)).filter(|at| *at != Source::Other),
        _ => {}
    }
}

fn uuid(value: &[u8]) -> Option<Source> {
    // dracut takes the start of one too, and both take `UUID=`.
    let value = value.strip_prefix(b"UUID=").unwrap_or(value);
    let plain = !value.is_empty() && value.iter().all(|b| b.is_ascii_hexdigit() || *b == b'-');
    plain.then(|| Source::parse(&[b"UUID=", value].concat()))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// systemd: `[UUID=]PATH[:DEVICE]`; dracut: `PATH[:KEYDEVICE[:LUKSDEVICE]]`.
fn luks_key(value: &[u8]) -> Option<KeyFile> {
    let start = value.iter().position(|byte| *byte == b'/')?;
    let (before, from) = value.split_at_checked(start)?;
    if !before.is_empty() && !before.ends_with(b"=") {
        return None;
    }
    let mut parts = from.splitn(3, |byte| *byte == b':');
    let path = HostPath::new(parts.next()?);
    let on = parts.next().map(Source::parse);
    Some(KeyFile { path, on })
}

/// `DEVICE:NAME[:OPTIONS]`.
fn cryptdevice(value: &[u8]) -> Option<Volume> {
    let mut parts = value.splitn(3, |byte| *byte == b':');
    let device = Source::parse(parts.next()?);
    let name = parts.next().filter(|name| !name.is_empty()).map(lossy);
    (device != Source::Other).then_some(Volume { device, name })
}

/// `rootfs:PATH`, or `DEVICE:TYPE:PATH`; `DEVICE:OFFSET:SIZE` is no file.
fn cryptkey(value: &[u8]) -> Option<KeyFile> {
    let mut parts = value.splitn(3, |byte| *byte == b':');
    let (first, second, third) = (parts.next()?, parts.next()?, parts.next());
    match (first, third) {
        (b"rootfs", None) => on_device(second).0.map(|path| KeyFile { path, on: None }),
        (device, Some(path)) if path.starts_with(b"/") => {
            Some(KeyFile { path: HostPath::new(path), on: Some(Source::parse(device)) })
        }
        _ => None,
    }
}

/// `target=NAME,source=DEVICE,key=FILE,…`.
fn cryptopts(facts: &mut Facts, value: &[u8]) {
    let option = |name: &[u8]| {
        value.split(|byte| *byte == b',').find_map(|option| option.strip_prefix(name))
    };
    // Debian's own default for a target that is not named.
    let name = option(b"target=")
        .filter(|name| !name.is_empty())
        .map_or_else(|| "cryptroot".to_owned(), lossy);
    let device = option(b"source=").map(Source::parse);
    if let Some(device) = device.filter(|device| *device != Source::Other) {
        facts.volumes.push(Volume { device, name: Some(name) });
    }
    let key = option(b"key=").and_then(|key| on_device(key).0);
    facts.keys.extend(key.map(|path| KeyFile { path, on: None }));
}

/// A command line with what `facts` holds and nothing else.
pub fn format(facts: &Facts) -> Vec<u8> {
    let mut words: Vec<Vec<u8>> = Vec::new();
    for volume in &facts.volumes {
        let (device, name) = (volume.device.field(), volume.name.as_deref());
        words.push(match (volume.device.uuid(), name) {
            (Some(uuid), None) => [b"luks.uuid=", uuid.as_bytes()].concat(),
            (Some(uuid), Some(name)) => format!("luks.name={uuid}={name}").into_bytes(),
            // Names by path have colons in them.
            (None, Some(name)) if device.contains(&b':') => {
                [b"cryptopts=target=", name.as_bytes(), b",source=", &device].concat()
            }
            (None, name) => {
                [b"cryptdevice=", device.as_slice(), b":", name.unwrap_or_default().as_bytes()]
                    .concat()
            }
        });
    }
    for KeyFile { path, on } in &facts.keys {
        let path = path.as_bytes();
        words.push(match on {
            Some(on) => [b"cryptkey=", on.field().as_slice(), b":auto:", path].concat(),
            // Only Debian's form has colons in the path.
            None if path.contains(&b':') => [b"cryptopts=key=", path].concat(),
            None => [b"luks.key=", path].concat(),
        });
    }
    if let Some(resume) = &facts.resume {
        words.push([b"resume=", resume.field().as_slice()].concat());
    }
    let mut text = words.join(&b' ');
    text.push(b'\n');
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UUID: &str = "28632274-8c8a-493f-835b-da802e1c576b";

    fn read(text: &str) -> Facts {
        parse(text.as_bytes())
    }

    fn names(text: &str) -> Vec<Option<String>> {
        read(text).volumes.into_iter().map(|volume| volume.name).collect()
    }

    fn key(text: &str) -> (String, Option<String>) {
        let facts = read(text);
        let [key] = facts.keys.as_slice() else { panic!("{facts:?}") };
        (key.path.to_string(), key.on.as_ref().map(ToString::to_string))
    }

    #[test]
    fn a_device_with_colons_in_its_name_survives() {
        let text = b"cryptopts=target=es,source=/dev/disk/by-path/pci-0000:00:1f.2-ata-1";
        let facts = parse(text);
        assert_eq!(facts.volumes.len(), 1);
        assert_eq!(parse(&format(&facts)), facts);
    }

    #[test]
    fn each_way_to_name_a_volume_is_read() {
        let facts = read(&format!("ro rd.luks.uuid=luks-{UUID} quiet"));
        assert_eq!(facts.volumes[0].device.uuid(), Some(UUID));
        assert_eq!(facts.volumes[0].name, None);
        assert_eq!(names(&format!("rd.luks.name={UUID}=root")), [Some("root".to_owned())]);
        assert_eq!(names("cryptdevice=/dev/sda2:cr:allow-discards"), [Some("cr".to_owned())]);
        assert_eq!(names(&format!("cryptdevice=UUID={UUID}:cr")), [Some("cr".to_owned())]);
        assert_eq!(names("cryptopts=source=/dev/sda2,target=r"), [Some("r".to_owned())]);
        assert_eq!(names("cryptopts=source=/dev/sda2"), [Some("cryptroot".to_owned())]);
    }

    #[test]
    fn each_way_to_name_a_key_file_is_read() {
        let none = |path: &str| (path.to_owned(), None);
        assert_eq!(key("rd.luks.key=/k/a"), none("/k/a"));
        assert_eq!(key(&format!("luks.key={UUID}=/k/a")), none("/k/a"));
        let on = |path: &str, device: &str| (path.to_owned(), Some(device.to_owned()));
        assert_eq!(key(&format!("rd.luks.key={UUID}=/k:LABEL=usb")), on("/k", "LABEL=usb"));
        assert_eq!(key("cryptkey=rootfs:/crypto_keyfile.bin"), none("/crypto_keyfile.bin"));
        assert_eq!(key("cryptkey=/dev/sdc1:ext4:/k"), on("/k", "/dev/sdc1"));
        assert_eq!(key("cryptopts=source=/dev/a,key=/k"), none("/k"));
        assert!(read("cryptkey=/dev/sdc1:4096:512").keys.is_empty());
        assert!(read("cryptopts=source=/dev/a,key=none").keys.is_empty());
    }

    #[test]
    fn resume_and_nothing_else_of_the_rest() {
        assert_eq!(
            read("resume=/dev/mapper/swap").resume,
            Some(Source::Path("/dev/mapper/swap".into()))
        );
        let text = "pass=Hunter2 ip=Hunter2 rd.luks.options=Hunter2 root=Hunter2 luks.key=Hunter2 cryptopts=x=Hunter2";
        let written = format(&read(text));
        assert_eq!(written, b"\n");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(format(&parse(&bytes)));
        }

        #[test]
        fn what_is_written_is_read_again(
            words in proptest::collection::vec(prop_oneof![
                "rd\\.luks\\.uuid=[0-9a-f-]{1,8}",
                "luks\\.name=[0-9a-f]{1,8}=[a-z=]{1,4}",
                "cryptdevice=(/dev/[a-z]{1,3}|UUID=[0-9a-f]{1,4}|LABEL=[a-z]{1,3})(:[a-z]{1,3}(:[a-z]{1,3})?)?",
                "luks\\.key=([0-9a-f]{1,3}=)?/[a-z]{1,3}(:LABEL=[a-z]{1,3})?",
                "cryptkey=(rootfs:/[a-z]|/dev/[a-z]:ext4:/[a-z:]{1,3})",
                "cryptopts=source=/dev/[a-z],key=/[a-z:]{1,3},target=[a-z]",
                "resume=/dev/[a-z]", "[a-z.]{1,6}=[a-z]{0,3}",
            ], 0..8)
        ) {
            let facts = parse(words.join(" ").as_bytes());
            prop_assert_eq!(parse(&format(&facts)), facts);
        }
    }
}
