//! Paths as the kernel has them: bytes, not text.
//!
//! Mount points and file names may hold any byte but `/` and NUL. A path keeps them as they are and
//! becomes text only where it is printed.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An absolute or relative path on the observed host.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HostPath(Vec<u8>);

impl HostPath {
    /// A path from its bytes, as they are.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The root directory.
    pub fn root() -> Self {
        Self(b"/".to_vec())
    }

    /// The bytes of the path.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path for the standard library.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// Whether it starts at the root.
    pub fn is_absolute(&self) -> bool {
        self.0.first() == Some(&b'/')
    }

    /// The components, without empty ones and `.`.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> + Clone {
        self.0.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".")
    }

    /// Without doubled, trailing and `.` components. `..` stays: only a file system can resolve it.
    #[must_use]
    pub fn normalised(&self) -> Self {
        let mut bytes = Vec::with_capacity(self.0.len());
        for part in self.components() {
            if !bytes.is_empty() || self.is_absolute() {
                bytes.push(b'/');
            }
            bytes.extend_from_slice(part);
        }
        if bytes.is_empty() && self.is_absolute() {
            bytes.push(b'/');
        }
        Self(bytes)
    }

    /// Whether `self` is `ancestor` or lies below it. Both must be normalised.
    pub fn is_at_or_below(&self, ancestor: &Self) -> bool {
        if ancestor.0 == b"/" {
            return self.is_absolute();
        }
        self.0
            .strip_prefix(ancestor.0.as_slice())
            .is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/'))
    }

    /// The parent directory; `None` for the root and for a single relative component.
    pub fn parent(&self) -> Option<Self> {
        if self.0 == b"/" {
            return None;
        }
        let cut = self.0.iter().rposition(|byte| *byte == b'/')?;
        Some(if cut == 0 { Self::root() } else { Self(self.0.get(..cut)?.to_vec()) })
    }

    /// The last component.
    pub fn file_name(&self) -> Option<&[u8]> {
        self.components().next_back()
    }

    /// `self` with one more component, or `other` when that is absolute.
    #[must_use]
    pub fn join(&self, other: impl AsRef<[u8]>) -> Self {
        let other = other.as_ref();
        if other.first() == Some(&b'/') {
            return Self(other.to_vec());
        }
        let mut bytes = self.0.clone();
        if bytes.last() != Some(&b'/') {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(other);
        Self(bytes)
    }
}

impl From<&str> for HostPath {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<String> for HostPath {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl From<&Path> for HostPath {
    fn from(path: &Path) -> Self {
        Self(path.as_os_str().as_bytes().to_vec())
    }
}

impl From<PathBuf> for HostPath {
    fn from(path: PathBuf) -> Self {
        Self(path.into_os_string().into_vec())
    }
}

/// Text for people and reports: control characters and bytes that are not UTF-8 as `\xNN`, a backslash doubled, so that it
/// stands for one path only.
impl fmt::Display for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(self.0.len());
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                if character == '\\' {
                    text.push_str("\\\\");
                } else if character.is_control() {
                    for byte in character.to_string().bytes() {
                        text.push_str(&format!("\\x{byte:02x}"));
                    }
                } else {
                    text.push(character);
                }
            }
            for byte in chunk.invalid() {
                text.push_str(&format!("\\x{byte:02x}"));
            }
        }
        f.pad(&text)
    }
}

impl HostPath {
    /// The path that this text, made by `Display`, stands for; `None` when it is no such text.
    pub fn from_shown(text: &str) -> Option<Self> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((&first, after)) = rest.split_first() {
            rest = after;
            if first != b'\\' {
                bytes.push(first);
            } else if let Some(after) = rest.strip_prefix(b"\\") {
                bytes.push(b'\\');
                rest = after;
            } else {
                let (digits, after) = rest.strip_prefix(b"x")?.split_at_checked(2)?;
                bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
                rest = after;
            }
        }
        Some(Self(bytes))
    }
}

impl fmt::Debug for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// A string where the path is UTF-8, else a list of bytes: nothing is lost.
impl Serialize for HostPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => serializer.collect_seq(&self.0),
        }
    }
}

impl<'de> Deserialize<'de> for HostPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Text(String),
            Bytes(Vec<u8>),
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::Text(text) => Self(text.into_bytes()),
            Form::Bytes(bytes) => Self(bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn below_is_by_component_not_by_prefix() {
        let data = HostPath::from("/data");
        assert!(HostPath::from("/data").is_at_or_below(&data));
        assert!(HostPath::from("/data/x").is_at_or_below(&data));
        assert!(!HostPath::from("/database").is_at_or_below(&data));
        assert!(HostPath::from("/x").is_at_or_below(&HostPath::root()));
    }

    #[test]
    fn normalising_keeps_the_root_and_dot_dot() {
        assert_eq!(HostPath::from("//a/./b//").normalised(), HostPath::from("/a/b"));
        assert_eq!(HostPath::from("/").normalised(), HostPath::root());
        assert_eq!(HostPath::from("/a/../b").normalised(), HostPath::from("/a/../b"));
    }

    #[test]
    fn odd_bytes_are_shown_and_never_raw() {
        assert_eq!(
            HostPath::new(b"/a\n\xff\x1b[31m".to_vec()).to_string(),
            "/a\\x0a\\xff\\x1b[31m"
        );
        // What is shown stands for one path only.
        assert_eq!(HostPath::from("/a\\xff").to_string(), "/a\\\\xff");
    }

    proptest! {
        #[test]
        fn what_is_shown_stands_for_one_path(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let path = HostPath::new(bytes);
            prop_assert_eq!(HostPath::from_shown(&path.to_string()), Some(path));
        }

        #[test]
        fn any_bytes_survive_json(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let path = HostPath::new(bytes);
            let json = serde_json::to_string(&path).unwrap();
            prop_assert_eq!(serde_json::from_str::<HostPath>(&json).unwrap(), path);
        }
    }
}
