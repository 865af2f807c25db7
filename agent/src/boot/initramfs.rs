//! What the configuration of the initramfs tools says about key files: which are copied into the image, and with
//! which mode the image is written.

use serde::{Deserialize, Serialize};

use crate::path::HostPath;
use crate::snapshot::Trouble;

/// What the configuration files say, taken together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    pub copies: Vec<Copied>,
    /// `UMASK=` of initramfs-tools: permission bits that the image does not get.
    pub umask: Option<u32>,
    /// Files that could not be read.
    pub troubles: Vec<Trouble>,
}

/// A file, or a pattern of files, that goes into the image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Copied {
    pub pattern: HostPath,
    /// The file that says so.
    pub said_by: HostPath,
}

/// The tools, by what they call the variable that names files to copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable {
    /// `KEYFILE_PATTERN` of cryptsetup-initramfs: patterns of key files.
    KeyFilePattern,
    /// `install_items` of dracut.
    InstallItems,
    /// `FILES` of mkinitcpio.
    Files,
}

impl Variable {
    const fn name(self) -> &'static str {
        match self {
            Self::KeyFilePattern => "KEYFILE_PATTERN",
            Self::InstallItems => "install_items",
            Self::Files => "FILES",
        }
    }
}

/// The absolute paths and patterns that `variable` is given in a file of shell assignments.
pub fn copied(text: &[u8], variable: Variable) -> Vec<HostPath> {
    let values = assignments(text, variable.name());
    let words = values.iter().flat_map(|value| value.split(u8::is_ascii_whitespace));
    words
        .map(|word| word.iter().copied().filter(|byte| !b"\"'()\\".contains(byte)).collect())
        .filter(|word: &Vec<u8>| word.starts_with(b"/"))
        .map(HostPath::new)
        .collect()
}

/// The octal number that `UMASK` is set to last.
pub fn umask(text: &[u8]) -> Option<u32> {
    let values = assignments(text, "UMASK");
    let value = String::from_utf8_lossy(values.last()?).replace(['"', '\''], "");
    u32::from_str_radix(value.trim(), 8).ok().filter(|mask| *mask <= 0o777)
}

/// What follows `NAME=` or `NAME+=`, up to the end of the quotes or parentheses that it opens.
fn assignments(text: &[u8], name: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut lines = text.split(|byte| *byte == b'\n');
    while let Some(line) = lines.next() {
        let line = line.trim_ascii_start();
        let line = line.strip_prefix(b"export ").unwrap_or(line).trim_ascii_start();
        let Some(rest) = line.strip_prefix(name.as_bytes()) else { continue };
        let Some(rest) = rest.strip_prefix(b"=").or_else(|| rest.strip_prefix(b"+=")) else {
            continue;
        };
        let mut value = uncommented(rest).to_vec();
        let closing = match rest.first() {
            Some(b'(') => Some(b')'),
            Some(quote @ (b'"' | b'\'')) => Some(*quote),
            Some(_) | None => None,
        };
        if let Some(closing) = closing {
            while !value.get(1..).unwrap_or_default().contains(&closing) {
                let Some(more) = lines.next() else { break };
                value.push(b'\n');
                value.extend_from_slice(uncommented(more));
            }
        }
        found.push(value);
    }
    found
}

/// A comment starts at a `#` after a blank.
fn uncommented(line: &[u8]) -> &[u8] {
    let mut before = b' ';
    for (at, byte) in line.iter().enumerate() {
        if *byte == b'#' && before.is_ascii_whitespace() {
            return line.get(..at).unwrap_or_default();
        }
        before = *byte;
    }
    line
}

/// Whether the shell pattern `pattern` matches all of `text`. `*` matches `/` too, as it does in `case`.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last `*` does not fit: one character later.
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(t) {
        let fits = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => bracket(pattern.get(p..).unwrap_or_default(), *byte),
            Some(literal) => (literal == byte).then_some(1),
            None => None,
        };
        match (fits, star) {
            (Some(length), _) => (p, t) = (p + length, t + 1),
            (None, Some((after, from))) => {
                star = Some((after, from + 1));
                (p, t) = (after, from + 1);
            }
            (None, None) => return false,
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

/// The length of the bracket expression at the start of `pattern`, when it holds `byte`.
fn bracket(pattern: &[u8], byte: u8) -> Option<usize> {
    let inner = pattern.get(1..)?;
    let (is_negated, start) = match inner.first() {
        Some(b'!' | b'^') => (true, 1),
        Some(_) | None => (false, 0),
    };
    // A `]` in the first place stands for itself.
    let end = inner.iter().skip(start + 1).position(|at| *at == b']').map(|at| at + start + 1);
    let Some(end) = end else { return (byte == b'[').then_some(1) };
    let set = inner.get(start..end)?;
    let mut holds = false;
    let mut at = 0;
    while let Some(low) = set.get(at) {
        if let (Some(b'-'), Some(high)) = (set.get(at + 1), set.get(at + 2)) {
            holds |= (*low..=*high).contains(&byte);
            at += 3;
        } else {
            holds |= *low == byte;
            at += 1;
        }
    }
    (holds != is_negated).then_some(end + 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str, variable: Variable) -> Vec<String> {
        copied(text.as_bytes(), variable).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_tool_names_its_files() {
        let debian = "#KEYFILE_PATTERN=/no\nKEYFILE_PATTERN=\"/etc/keys/*.key /k\" # comment\n";
        assert_eq!(read(debian, Variable::KeyFilePattern), ["/etc/keys/*.key", "/k"]);
        let dracut =
            "install_items+=\" /etc/a.key /b \"\ninstall_items=/c\ninstall_optional_items+=/d\n";
        assert_eq!(read(dracut, Variable::InstallItems), ["/etc/a.key", "/b", "/c"]);
        let mkinitcpio =
            "MODULES=()\nFILES=(/crypto_keyfile.bin\n  \"/a\" # x /y\n /b)\nHOOKS=(/c)\n";
        assert_eq!(read(mkinitcpio, Variable::Files), ["/crypto_keyfile.bin", "/a", "/b"]);
        assert!(read("FILES=()\nBINARIES=(/x)\n", Variable::Files).is_empty());
        assert!(read("KEYFILE_PATTERN=\n", Variable::KeyFilePattern).is_empty());
    }

    #[test]
    fn the_last_umask_counts() {
        assert_eq!(umask(b"UMASK=0022\nUMASK=0077\n"), Some(0o077));
        assert_eq!(umask(b"#UMASK=0077\nUMASK=x"), None);
    }

    #[test]
    fn patterns_match_as_in_the_shell() {
        let hit = |pattern: &str, text: &str| matches(pattern.as_bytes(), text.as_bytes());
        assert!(hit("/etc/keys/*.key", "/etc/keys/es.key"));
        assert!(hit("/etc/*", "/etc/keys/es.key"));
        assert!(hit("/a?c", "/abc") && !hit("/a?c", "/ac"));
        assert!(hit("/[a-c]x", "/bx") && !hit("/[!a-c]x", "/bx") && hit("/[!a-c]x", "/dx"));
        assert!(!hit("/etc/keys/*.key", "/etc/keys/es.bin") && !hit("/k", "/key"));
        assert!(hit("*", "") && hit("", "") && !hit("", "x"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text = [b"FILES=(", text.as_slice()].concat();
            drop((copied(&text, Variable::Files), umask(&text)));
        }

        #[test]
        fn any_pattern_ends(pattern in "[a*?\\[\\]!^-]{0,30}", text in "[a-c\\[-]{0,30}") {
            matches(pattern.as_bytes(), text.as_bytes());
            prop_assert!(matches(b"*", text.as_bytes()));
        }

        #[test]
        fn a_literal_matches_itself_only(a in "[a-c/]{0,8}", b in "[a-c/]{0,8}") {
            prop_assert_eq!(matches(a.as_bytes(), b.as_bytes()), a == b);
        }
    }
}
