//! What the entries of a Kibana keystore tell of the keys of saved objects: whether they are set, and what they are worth.
//!
//! The plaintext is one JSON object; `kibana-keystore add` parses each value as JSON where it can. `serve.js` of Kibana
//! merges it over the settings of files, arguments and environment. The entries themselves are not kept.

use serde::{Deserialize, Serialize};

use crate::secrets::json::{self, Scalar};
use crate::secrets::{Collector, Leaf, SavedObjectsKeys};

const PRIMARY: &str = "xpack.encryptedSavedObjects.encryptionKey";
const RETIRED: &str = "xpack.encryptedSavedObjects.keyRotation.decryptionOnlyKeys";

/// What may be said of the entries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entries {
    pub saved_objects_keys: SavedObjectsKeys,
    /// All of it was understood: what is not among the keys is not set.
    pub is_whole: bool,
}

/// Looks through the plaintext of a keystore.
pub fn read(plaintext: &[u8]) -> Entries {
    let mut collector = Collector::new("kibana");
    let mut is_whole = true;
    let walked = json::walk(plaintext, &mut |path, scalar| {
        let is_item = |rest: &str| rest.is_empty() || rest.starts_with(['.', '[']);
        let is_known = path == PRIMARY || path.strip_prefix(RETIRED).is_some_and(is_item);
        match scalar {
            Scalar::Text(text) if is_known => collector.take(Leaf::dotted(path, None, text)),
            // Such as a key of digits only, which `add` took for a number: Kibana does not start with it.
            Scalar::Text(_) | Scalar::Bare(_) => is_whole &= !is_akin(path),
        }
    });
    // At its top there are names.
    is_whole &= walked.is_ok() && plaintext.trim_ascii_start().starts_with(b"{");
    Entries { saved_objects_keys: collector.finish().saved_objects_keys, is_whole }
}

/// One of the settings, written in another way.
fn is_akin(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    path.contains("encryptedsavedobjects")
        && (path.contains("encryptionkey") || path.contains("decryptiononlykeys"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::Value;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    /// The long enough, short and default primary keys, and how many retired ones.
    fn counts(text: &str) -> (usize, usize, usize, usize, bool) {
        let entries = read(text.as_bytes());
        let primary = &entries.saved_objects_keys.primary;
        let default = primary.iter().filter(|key| key.is_development_default).count();
        let long = primary.iter().filter(|key| key.is_long_enough).count() - default;
        let short = primary.len() - long - default;
        assert!(!format!("{entries:?}").contains(KEY));
        (long, short, default, entries.saved_objects_keys.retired.len(), entries.is_whole)
    }

    #[test]
    fn keys_are_judged_and_not_kept() {
        assert_eq!(counts("{}"), (0, 0, 0, 0, true));
        assert_eq!(
            counts(&format!("{{\"elasticsearch.password\":\"x\",\"{PRIMARY}\":\"{KEY}\"}}")),
            (1, 0, 0, 0, true)
        );
        assert_eq!(counts(&format!("{{\"{PRIMARY}\":\"short\"}}")), (0, 1, 0, 0, true));
        assert_eq!(
            counts(&format!("{{\"{PRIMARY}\":\"{}\"}}", "a".repeat(32))),
            (0, 0, 1, 0, true)
        );
        assert_eq!(
            counts(&format!("{{\"{RETIRED}\":[\"{KEY}\",\"x\"],\"{RETIRED}[2]\":\"y\"}}")),
            (0, 0, 0, 3, true)
        );
        let nested =
            format!("{{\"xpack\":{{\"encryptedSavedObjects\":{{\"encryptionKey\":\"{KEY}\"}}}}}}");
        assert_eq!(counts(&nested), (1, 0, 0, 0, true));
    }

    #[test]
    fn a_retired_key_that_is_the_primary_one_is_told() {
        let entries =
            read(format!("{{\"{PRIMARY}\":\"{KEY}\",\"{RETIRED}\":[\"{KEY}\"]}}").as_bytes());
        assert!(entries.saved_objects_keys.retired[0].is_primary);
        assert_eq!(entries.saved_objects_keys.primary[0].value, Value::Set);
    }

    #[test]
    fn what_is_not_understood_is_not_taken_for_absent() {
        for text in [
            "",
            "[]",
            "null",
            "{\"a\":",
            "{\"a\":1} x",
            "{\"xpack.encryptedSavedObjects.encryptionKey\":12345678901234567890123456789012}",
            "{\"xpack['encryptedSavedObjects'].encryptionKey\":\"x\"}",
            "{\"XPACK.encryptedSavedObjects.encryptionkey\":\"x\"}",
            "{\"xpack.encryptedSavedObjects.encryptionKey\":{\"a\":\"b\"}}",
            "{\"xpack.encryptedSavedObjects.keyRotation.decryptionOnlyKeys\":[7]}",
        ] {
            assert!(!counts(text).4, "{text}");
        }
    }
}
