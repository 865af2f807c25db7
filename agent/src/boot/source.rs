//! How the files that are read at boot name a device: by path or by a tag.

use serde::{Deserialize, Serialize};

use crate::path::HostPath;

/// A device as crypttab, fstab or the kernel command line name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Source {
    Path(HostPath),
    Tag {
        tag: Tag,
        value: String,
    },
    /// A server, a kind of memory, anything else. It is not kept: what stands there may hold a password.
    Other,
}

/// The kinds of tags of `fstab(5)` and `crypttab(5)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Tag {
    Uuid,
    PartUuid,
    Label,
    PartLabel,
    Id,
}

/// As they are written, and the directory where udev has its links.
const TAGS: [(Tag, &[u8], &str); 5] = [
    (Tag::Uuid, b"UUID=", "/dev/disk/by-uuid"),
    (Tag::PartUuid, b"PARTUUID=", "/dev/disk/by-partuuid"),
    (Tag::Label, b"LABEL=", "/dev/disk/by-label"),
    (Tag::PartLabel, b"PARTLABEL=", "/dev/disk/by-partlabel"),
    (Tag::Id, b"ID=", "/dev/disk/by-id"),
];

impl Source {
    /// Reads the field of a file, escapes undone.
    pub fn parse(field: &[u8]) -> Self {
        for (tag, prefix, _) in TAGS {
            if let Some(value) = field.strip_prefix(prefix) {
                return match std::str::from_utf8(unquoted(value)) {
                    Ok(value) if !value.is_empty() => Self::Tag { tag, value: value.to_owned() },
                    Ok(_) | Err(_) => Self::Other,
                };
            }
        }
        // `//server/share` is a path to nobody but the kernel's CIFS.
        if field.starts_with(b"/") && !field.starts_with(b"//") {
            Self::Path(HostPath::new(field).normalised())
        } else {
            Self::Other
        }
    }

    /// Where to look for it: the path itself, or udev's link.
    pub fn node(&self) -> Option<HostPath> {
        match self {
            Self::Path(path) => Some(path.clone()),
            Self::Tag { tag, value } => {
                let (_, _, directory) = TAGS.iter().find(|(known, ..)| known == tag)?;
                Some(HostPath::from(*directory).join(udev_name(*tag, value)))
            }
            Self::Other => None,
        }
    }

    /// The UUID that it asks for.
    pub fn uuid(&self) -> Option<&str> {
        match self {
            Self::Tag { tag: Tag::Uuid, value } => Some(value),
            Self::Path(path) => {
                std::str::from_utf8(path.as_bytes()).ok()?.strip_prefix("/dev/disk/by-uuid/")
            }
            Self::Tag { .. } | Self::Other => None,
        }
    }

    /// The field as the files have it, escapes not yet done.
    pub fn field(&self) -> Vec<u8> {
        match self {
            Self::Path(path) => path.as_bytes().to_vec(),
            Self::Tag { tag, value } => {
                let known = TAGS.iter().find(|(known, ..)| known == tag);
                let mut field = known.map(|(_, prefix, _)| prefix.to_vec()).unwrap_or_default();
                field.extend_from_slice(value.as_bytes());
                field
            }
            Self::Other => b"none".to_vec(),
        }
    }
}

/// Without the pairs of quotes around it.
pub(crate) fn unquoted(mut value: &[u8]) -> &[u8] {
    while let [b'"', inner @ .., b'"'] | [b'\'', inner @ .., b'\''] = value {
        value = inner;
    }
    value
}

/// The last component of a link of udev. Bytes that it does not take into a name become `\xNN`, see
/// `udev_util_encode_string`; UUIDs are in lower case.
fn udev_name(tag: Tag, value: &str) -> Vec<u8> {
    let mut name = Vec::with_capacity(value.len());
    for byte in value.bytes() {
        let taken = !byte.is_ascii() || byte.is_ascii_alphanumeric() || b"#+-.:=@_".contains(&byte);
        match tag {
            Tag::PartUuid => name.push(byte.to_ascii_lowercase()),
            _ if byte == b'/' || (!taken && matches!(tag, Tag::Label | Tag::PartLabel)) => {
                name.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
            }
            Tag::Uuid | Tag::Label | Tag::PartLabel | Tag::Id => name.push(byte),
        }
    }
    name
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        HostPath::new(self.field()).fmt(f)
    }
}

/// Escapes what would end a field or start a comment, as `getmntent(3)` does.
pub fn escape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    for byte in field {
        if byte.is_ascii_whitespace() || byte.is_ascii_control() || b"\\#\"".contains(byte) {
            bytes.extend_from_slice(format!("\\{byte:03o}").as_bytes());
        } else {
            bytes.push(*byte);
        }
    }
    bytes
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn any_source() -> impl Strategy<Value = Source> {
        let value = "[a-zA-Z0-9 /#._-]{1,12}";
        let tag = prop_oneof![
            Just(Tag::Uuid),
            Just(Tag::PartUuid),
            Just(Tag::Label),
            Just(Tag::PartLabel),
            Just(Tag::Id)
        ];
        prop_oneof![
            "/dev/[a-z0-9 #._-]{1,12}"
                .prop_map(|path| Source::Path(HostPath::from(path).normalised())),
            (tag, value).prop_map(|(tag, value)| Source::Tag { tag, value }),
            Just(Source::Other),
        ]
    }

    #[test]
    fn each_way_to_name_a_device_is_read() {
        let node = |field: &str| Source::parse(field.as_bytes()).node();
        assert_eq!(node("/dev/sdb1"), Some("/dev/sdb1".into()));
        assert_eq!(node("UUID=ab-1"), Some("/dev/disk/by-uuid/ab-1".into()));
        assert_eq!(node("UUID=\"ab-1\""), Some("/dev/disk/by-uuid/ab-1".into()));
        assert_eq!(node("PARTUUID=AB"), Some("/dev/disk/by-partuuid/ab".into()));
        assert_eq!(node("LABEL=a b/c"), Some("/dev/disk/by-label/a\\x20b\\x2fc".into()));
        assert_eq!(node("ID=wwn-0x5"), Some("/dev/disk/by-id/wwn-0x5".into()));
        assert_eq!(Source::parse(b"/dev/disk/by-uuid/ab-1").uuid(), Some("ab-1"));
    }

    #[test]
    fn servers_and_what_they_may_hold_are_not_kept() {
        for field in ["//me:secret@files/share", "https://me:secret@x/", "files:/srv", "tmpfs", ""]
        {
            assert_eq!(Source::parse(field.as_bytes()), Source::Other, "{field}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(source in any_source()) {
            let escaped = escape(&source.field());
            prop_assert!(!escaped.iter().any(u8::is_ascii_whitespace));
            prop_assert_eq!(Source::parse(&crate::mounts::unescape(&escaped)), source);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let source = Source::parse(&bytes);
            drop((source.node(), source.to_string()));
            prop_assert_eq!(crate::mounts::unescape(&escape(&bytes)), bytes);
        }
    }
}
