//! Takes settings one by one and keeps what may be said of them: the one place where values are looked at.

use std::collections::BTreeSet;

use zeroize::Zeroizing;

use super::catalogue::{self, Spelling};
use super::{Contents, KeyFacts, Kind, SavedObjectsKeys, Sighting, Switch, Value, value};

/// More sightings than any file of settings has; a hostile one may have any number.
const MAX_SIGHTINGS: usize = 1000;
/// Names are shown to people. Longer ones are cut.
const LONGEST_NAME: usize = 160;
/// `schema.string({ minLength: 32 })` of Kibana, which counts UTF-16 code units.
const SAVED_OBJECTS_KEY: usize = 32;

/// How a setting is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Naming {
    /// `a.b`.
    Dotted,
    /// `A_B`.
    Variable,
    /// Somebody's own names, such as the fields of an event: only a value's shape counts.
    Foreign,
}

/// One setting with its value. It lives as long as the reader's buffer.
#[derive(Clone, Copy)]
pub(crate) struct Leaf<'a> {
    /// The name that the catalogue knows it by.
    pub(crate) name: &'a str,
    /// As it stands in the file, where that is not the same.
    pub(crate) shown: Option<&'a str>,
    pub(crate) line: Option<u64>,
    pub(crate) value: &'a str,
    pub(crate) naming: Naming,
    pub(crate) is_comment: bool,
}

impl<'a> Leaf<'a> {
    /// A setting with a dotted name.
    pub(crate) const fn dotted(name: &'a str, line: Option<u64>, value: &'a str) -> Self {
        Self { name, shown: None, line, value, naming: Naming::Dotted, is_comment: false }
    }
}

/// What one file or environment holds.
pub(crate) struct Collector<'a> {
    product: &'a str,
    contents: Contents,
    sightings: BTreeSet<Sighting>,
    lines: BTreeSet<u64>,
    plain: usize,
    others: usize,
    primary: Vec<(KeyFacts, Zeroizing<String>)>,
    retired: Vec<(KeyFacts, Zeroizing<String>)>,
}

impl<'a> Collector<'a> {
    pub(crate) fn new(product: &'a str) -> Self {
        Self {
            product,
            contents: Contents::default(),
            sightings: BTreeSet::new(),
            lines: BTreeSet::new(),
            plain: 0,
            others: 0,
            primary: Vec::new(),
            retired: Vec::new(),
        }
    }

    pub(crate) const fn product(&self) -> &'a str {
        self.product
    }

    /// The file makes no sense from this line on.
    pub(crate) fn broken_at(&mut self, line: u64) {
        self.contents.broken_at.get_or_insert(line);
    }

    /// Looks at one setting.
    pub(crate) fn take(&mut self, leaf: Leaf<'_>) {
        if !leaf.is_comment {
            self.facts(leaf);
        }
        let Some(sighting) = self.sighting(leaf) else { return };
        self.add(sighting);
    }

    /// Adds what a reader knows by itself to be a secret.
    pub(crate) fn add(&mut self, sighting: Sighting) {
        // Any number of references must not crowd out a secret.
        let counted = if sighting.is_plain() { &mut self.plain } else { &mut self.others };
        if *counted < MAX_SIGHTINGS {
            *counted += 1;
            self.lines.extend(sighting.line);
            self.sightings.insert(sighting);
        }
    }

    /// Whether something was seen on this line.
    pub(crate) fn has_line(&self, line: u64) -> bool {
        self.lines.contains(&line)
    }

    /// What was seen, sorted. Kept values are overwritten.
    pub(crate) fn finish(mut self) -> Contents {
        self.contents.sightings = std::mem::take(&mut self.sightings).into_iter().collect();
        let primaries = std::mem::take(&mut self.primary);
        let retired = std::mem::take(&mut self.retired).into_iter().map(|(facts, key)| KeyFacts {
            is_primary: primaries.iter().any(|(_, primary)| **primary == *key),
            ..facts
        });
        let mut retired: Vec<KeyFacts> = retired.collect();
        let mut primary: Vec<KeyFacts> = primaries.iter().map(|(facts, _)| facts.clone()).collect();
        retired.sort_unstable();
        primary.sort_unstable();
        self.contents.saved_objects_keys = SavedObjectsKeys { primary, retired };
        self.contents
    }

    fn sighting(&self, leaf: Leaf<'_>) -> Option<Sighting> {
        let known = match leaf.naming {
            Naming::Dotted => catalogue::look_up(self.product, leaf.name, Spelling::Dotted),
            Naming::Variable => catalogue::look_up(self.product, leaf.name, Spelling::Variable),
            Naming::Foreign => None,
        };
        let shape = value::embedded(leaf.value);
        let by_name = known.filter(|known| {
            // Under a listed name of a password anything but a switch is one.
            let kind = if known.is_listed { known.kind } else { Kind::Token.min(known.kind) };
            !value::is_harmless(leaf.value, kind)
        });
        let sighting = |kind, value, instead| Sighting {
            line: leaf.line,
            setting: shown(leaf.shown.unwrap_or(leaf.name)),
            kind,
            value,
            is_comment: leaf.is_comment,
            instead,
        };
        if leaf.is_comment {
            let known = by_name.filter(|_| value::looks_real(leaf.value))?;
            return Some(sighting(known.kind, Value::Set, None));
        }
        match (by_name, shape) {
            (Some(known), Some(Kind::PrivateKey)) => {
                Some(sighting(Kind::PrivateKey, Value::Set, known.instead))
            }
            (Some(known), _) => Some(sighting(known.kind, value::class(leaf.value), known.instead)),
            (None, Some(kind)) => Some(sighting(kind, Value::Set, None)),
            (None, None) => None,
        }
    }

    /// What other checks ask of settings.
    fn facts(&mut self, leaf: Leaf<'_>) {
        /// Room for more keys than anybody rotates.
        const MOST: usize = 64;
        let name: String = catalogue::without_index(leaf.name)
            .chars()
            .filter(|character| leaf.naming == Naming::Dotted || *character != '_')
            .map(|character| character.to_ascii_lowercase())
            .collect();
        let is = |dotted: &str| match leaf.naming {
            Naming::Dotted => name == dotted,
            Naming::Variable => name == dotted.replace('.', ""),
            Naming::Foreign => false,
        };
        let keys = if is("xpack.encryptedsavedobjects.encryptionkey") {
            &mut self.primary
        } else if is("xpack.encryptedsavedobjects.keyrotation.decryptiononlykeys") {
            &mut self.retired
        } else {
            if is("cluster.state.encryption.required") {
                let is_on = match leaf.value.trim() {
                    "true" => Some(true),
                    "false" => Some(false),
                    _ => None,
                };
                self.contents.state_encryption = Some(Switch { line: leaf.line, is_on });
            }
            return;
        };
        let value = value::class(leaf.value);
        let is_long_enough = leaf.value.encode_utf16().count() >= SAVED_OBJECTS_KEY;
        let is_development_default =
            leaf.value.len() == SAVED_OBJECTS_KEY && leaf.value.bytes().all(|byte| byte == b'a');
        let facts = KeyFacts {
            line: leaf.line,
            value,
            is_long_enough,
            is_development_default,
            is_primary: false,
        };
        if keys.len() < MOST && value != Value::Empty {
            keys.push((facts, Zeroizing::new(leaf.value.to_owned())));
        }
    }
}

/// A name for people. One that has a secret in it itself, or is no name, is not shown.
fn shown(name: &str) -> String {
    if name.contains("://") || name.contains("-----") || name.chars().any(char::is_whitespace) {
        return "a setting whose name is not shown".to_owned();
    }
    let clean =
        name.chars().map(|character| if character.is_ascii_graphic() { character } else { '?' });
    clean.take(LONGEST_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(product: &str, leaves: &[(&str, &str)]) -> Contents {
        let mut collector = Collector::new(product);
        for (at, (name, value)) in leaves.iter().enumerate() {
            collector.take(Leaf::dotted(name, Some(at as u64 + 1), value));
        }
        collector.finish()
    }

    #[test]
    fn names_and_shapes_are_kept_and_values_are_not() {
        let contents = seen(
            "elasticsearch",
            &[
                ("a.password", "hunter2-unique"),
                ("a.url", "https://u:hunter2-unique@h"),
                ("a.ssl.key", "-----BEGIN PRIVATE KEY-----\nhunter2-unique"),
                ("a.token", "${TOKEN}"),
                ("b.password", "changeme"),
                ("c.password", ""),
                ("a.password.enabled", "true"),
            ],
        );
        let seen: Vec<_> = contents.sightings.iter().map(|seen| (seen.kind, seen.value)).collect();
        assert_eq!(
            seen,
            [
                (Kind::Password, Value::Set),
                (Kind::Url, Value::Set),
                (Kind::PrivateKey, Value::Set),
                (Kind::Token, Value::Reference),
                (Kind::Password, Value::WellKnown),
                (Kind::Password, Value::Empty),
            ]
        );
        assert!(!format!("{contents:?}").contains("unique"));
    }

    #[test]
    fn keys_of_saved_objects_are_compared_and_not_kept() {
        let key = "0123456789abcdef0123456789abcdef";
        let contents = seen(
            "kibana",
            &[
                ("xpack.encryptedSavedObjects.encryptionKey", key),
                ("xpack.encryptedSavedObjects.keyRotation.decryptionOnlyKeys.0", key),
                ("xpack.encryptedSavedObjects.keyRotation.decryptionOnlyKeys.1", "short"),
            ],
        );
        let keys = &contents.saved_objects_keys;
        assert!(keys.primary[0].is_long_enough && !keys.primary[0].is_development_default);
        assert_eq!(
            keys.retired.iter().map(|key| key.is_primary).collect::<Vec<_>>(),
            [true, false]
        );
        assert_eq!(
            keys.retired.iter().map(|key| key.is_long_enough).collect::<Vec<_>>(),
            [true, false]
        );
        assert!(!format!("{contents:?}").contains(key));
        let default =
            seen("kibana", &[("xpack.encryptedSavedObjects.encryptionKey", &"a".repeat(32))]);
        assert!(default.saved_objects_keys.primary[0].is_development_default);
    }

    #[test]
    fn references_do_not_crowd_out_a_secret() {
        let mut collector = Collector::new("kibana");
        for line in 0..2 * MAX_SIGHTINGS as u64 {
            collector.take(Leaf::dotted("a.password", Some(line), "${PW}"));
        }
        collector.take(Leaf::dotted("b.password", Some(9999), "hunter2"));
        let contents = collector.finish();
        assert_eq!(contents.sightings.len(), MAX_SIGHTINGS + 1);
        assert!(contents.sightings.iter().any(Sighting::is_plain));
    }

    #[test]
    fn a_name_with_a_secret_in_it_is_not_shown() {
        assert!(!shown("https://u:hunter2@h.password").contains("hunter2"));
        assert_eq!(shown("a.b\u{7}c"), "a.b?c");
    }
}
