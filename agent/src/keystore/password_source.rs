//! Where a service takes the password of its keystore from. Never the password.

use serde::{Deserialize, Serialize};

use super::access::{Access, Looker};
use crate::host::Host;
use crate::path::HostPath;
use crate::snapshot::{Namespace, Observed, Resolved};

/// A place that a password of a keystore is taken from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PasswordSource {
    /// A variable in the environment of the process: `KEYSTORE_PASSWORD`, `LOGSTASH_KEYSTORE_PASS`.
    Environment { variable: String },
    /// The same variable, assigned in a file that the start scripts or systemd read: `/etc/default/logstash`.
    EnvironmentFile { variable: String, path: HostPath, namespace: Namespace },
    /// A file that holds the password and nothing else, and the variable that names it: `ES_KEYSTORE_PASSPHRASE_FILE`,
    /// `KEYSTORE_PASSWORD_FILE`, `KBN_KEYSTORE_PASSPHRASE_FILE`.
    File { variable: String, path: HostPath, namespace: Namespace },
}

impl PasswordSource {
    /// The name of the variable.
    pub fn variable(&self) -> &str {
        match self {
            Self::Environment { variable }
            | Self::EnvironmentFile { variable, .. }
            | Self::File { variable, .. } => variable,
        }
    }

    /// The file that holds the password, and who sees it by that name.
    pub const fn file(&self) -> Option<(&HostPath, &Namespace)> {
        match self {
            Self::Environment { .. } => None,
            Self::EnvironmentFile { path, namespace, .. } | Self::File { path, namespace, .. } => {
                Some((path, namespace))
            }
        }
    }
}

/// A source, and its file as it was seen. The file is never read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceObservation {
    pub source: PasswordSource,
    /// Absent for a source that is no file.
    pub file: Observed<Access>,
    /// Where the file really is.
    pub resolution: Observed<Resolved>,
}

/// Looks at the file of a source, but not into it.
pub fn observe(host: &dyn Host, source: &PasswordSource) -> SourceObservation {
    let Some((path, namespace)) = source.file() else {
        return SourceObservation {
            source: source.clone(),
            file: Observed::Absent,
            resolution: Observed::Absent,
        };
    };
    let mut looker = Looker::new(host, namespace);
    let file = match super::observe::metadata(host, namespace, path) {
        Observed::Known(metadata) => {
            let access = looker.access(path, metadata);
            match looker.troubles.into_iter().next() {
                Some(trouble) => Observed::Unreadable(trouble),
                None => Observed::Known(access),
            }
        }
        Observed::Absent => Observed::Absent,
        Observed::Unreadable(trouble) => Observed::Unreadable(trouble),
    };
    let resolution = host.resolve(namespace, path).at;
    SourceObservation { source: source.clone(), file, resolution }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::host::recorded::RecordedHost;

    #[test]
    fn a_file_is_looked_at_and_not_into() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("pass");
        fs::write(&file, "HushPassword").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let source = PasswordSource::File {
            variable: "ES_KEYSTORE_PASSPHRASE_FILE".to_owned(),
            path: HostPath::from("/pass"),
            namespace: Namespace::Host,
        };
        let seen = observe(&RecordedHost::new(root.path()), &source);
        assert_eq!(seen.file.known().unwrap().metadata.mode, 0o640);
        assert_eq!(seen.resolution.known().unwrap().path, HostPath::from("/pass"));
        assert!(!serde_json::to_string(&seen).unwrap().contains("Hush"));
        fs::remove_file(&file).unwrap();
        assert_eq!(observe(&RecordedHost::new(root.path()), &source).file, Observed::Absent);
    }

    #[test]
    fn a_variable_has_no_file() {
        let source = PasswordSource::Environment { variable: "KEYSTORE_PASSWORD".to_owned() };
        let root = tempfile::tempdir().unwrap();
        let seen = observe(&RecordedHost::new(root.path()), &source);
        assert_eq!((seen.file, seen.resolution), (Observed::Absent, Observed::Absent));
    }
}
