//! What the agent asks with: credentials, authorities, patience.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use atrest_proto::model::{Gap, Reason};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::header::HeaderValue;
use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::tls;
use crate::host;

/// An API key has about 60 bytes, a password rarely more.
const SECRET: usize = 4096;
/// The key of a certificate in PEM; one of RSA with 8192 bits has about 6400 bytes.
const PRIVATE_KEY: usize = 16 * 1024;
/// A file with the authorities of a company has a few hundred KiB.
pub(super) const AUTHORITIES: usize = 1 << 20;
/// Permission bits that let others than the owner and the group in.
const OTHERS: u32 = 0o007;

/// The section `[node_api]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub enabled: bool,
    /// With an API key: `id:key`, or both in Base64 as `encoded` of the answer that made it.
    pub api_key_file: Option<PathBuf>,
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
    /// A chain in PEM and its key, shown to nodes that ask for one.
    pub certificate_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    /// In PEM. What leads to one of these is trusted, whatever account the node runs as.
    pub ca_file: Option<PathBuf>,
    /// For all that one node is asked.
    pub timeout: Duration,
    /// The accounts whose processes may be shown the credentials; root's may always.
    pub users: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            api_key_file: None,
            username: None,
            password_file: None,
            certificate_file: None,
            key_file: None,
            ca_file: None,
            timeout: Duration::from_secs(5),
            users: ["elasticsearch", "opensearch", "wazuh-indexer"].map(str::to_owned).to_vec(),
        }
    }
}

/// The value of an `Authorization` header. It is wiped when it is dropped, and never shown. What the HTTP library has copied
/// into its own buffer is not: that is freed when the connection ends.
#[derive(Clone)]
pub(super) struct Secret(Zeroizing<Vec<u8>>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    pub(super) fn header(&self) -> Option<HeaderValue> {
        let bytes = Bytes::from_owner(self.0.clone());
        let mut value = HeaderValue::from_maybe_shared(bytes).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    fn new(scheme: &str, base64: &[u8]) -> Self {
        let mut value = Zeroizing::new(Vec::with_capacity(scheme.len() + 1 + base64.len()));
        for part in [scheme.as_bytes(), b" ", base64] {
            value.extend_from_slice(part);
        }
        Self(value)
    }

    /// `id:key`, or that in Base64 already.
    fn of_api_key(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii();
        if text.contains(&b':') {
            return Some(Self::new("ApiKey", &encoded(&[text])));
        }
        let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=-_".contains(byte);
        (!text.is_empty() && text.iter().all(is_base64)).then(|| Self::new("ApiKey", text))
    }

    fn of_password(username: &str, password: &[u8]) -> Option<Self> {
        let password = password.strip_suffix(b"\n").unwrap_or(password);
        let password = password.strip_suffix(b"\r").unwrap_or(password);
        (!password.is_empty())
            .then(|| Self::new("Basic", &encoded(&[username.as_bytes(), b":", password])))
    }
}

fn encoded(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let length = parts.iter().map(|part| part.len()).sum();
    let mut plain = Zeroizing::new(Vec::with_capacity(length));
    for part in parts {
        plain.extend_from_slice(part);
    }
    Zeroizing::new(STANDARD.encode(&plain).into_bytes())
}

/// What the configuration gives to ask with, read anew for every scan.
#[derive(Debug)]
pub struct Access {
    pub(super) secret: Option<Secret>,
    pub(super) identity: Option<tls::Identity>,
    /// Of `ca_file`.
    pub(super) authorities: Vec<CertificateDer<'static>>,
    pub(super) timeout: Duration,
    pub(super) users: Vec<String>,
    /// What the configuration names and could not be read.
    pub gaps: Vec<Gap>,
    /// What is dangerous, for the log.
    pub warnings: Vec<String>,
}

impl Access {
    /// Reads what the settings name.
    pub fn load(settings: &Settings) -> Self {
        let mut access = Self {
            secret: None,
            identity: None,
            authorities: Vec::new(),
            timeout: settings.timeout,
            users: settings.users.clone(),
            gaps: Vec::new(),
            warnings: Vec::new(),
        };
        if let Some(path) = &settings.api_key_file {
            access.secret = access.secret(path, "an API key", Secret::of_api_key);
        } else if let (Some(username), Some(path)) = (&settings.username, &settings.password_file) {
            let of = |bytes: &[u8]| Secret::of_password(username, bytes);
            access.secret = access.secret(path, "a password", of);
        }
        if let (Some(chain), Some(key)) = (&settings.certificate_file, &settings.key_file) {
            access.identity = access.identity(chain, key);
        }
        if let Some(path) = &settings.ca_file {
            match read(path, AUTHORITIES) {
                Ok((bytes, _)) => access.authorities = tls::certificates(&bytes),
                Err(gap) => access.gaps.push(gap),
            }
            if access.authorities.is_empty()
                && access.gaps.iter().all(|gap| gap.subject != shown(path))
            {
                access.gaps.push(odd(path, "it holds no certificate in PEM"));
            }
        }
        access
    }

    /// Whether there is anything to show to a node that wants to know who asks.
    pub(super) const fn has_credentials(&self) -> bool {
        self.secret.is_some() || self.identity.is_some()
    }

    fn identity(&mut self, chain: &Path, key_file: &Path) -> Option<tls::Identity> {
        let (certificates, _) = read(chain, AUTHORITIES).map_err(|gap| self.gaps.push(gap)).ok()?;
        let what = "the key of a certificate";
        let of = |key: &[u8]| tls::Identity::new(&certificates, key);
        self.private(key_file, PRIVATE_KEY, what, of)
    }

    fn secret(
        &mut self,
        path: &Path,
        what: &str,
        of: impl Fn(&[u8]) -> Option<Secret>,
    ) -> Option<Secret> {
        self.private(path, SECRET, what, of)
    }

    /// What is read from a file that nobody else should read.
    fn private<T>(
        &mut self,
        path: &Path,
        limit: usize,
        what: &str,
        of: impl Fn(&[u8]) -> Option<T>,
    ) -> Option<T> {
        let (bytes, mode) = read(path, limit).map_err(|gap| self.gaps.push(gap)).ok()?;
        if mode & OTHERS != 0 {
            let text = "everybody on this host may read or change it: `chmod o= FILE`";
            self.warnings.push(format!("{}: {text}", path.display()));
        }
        let secret = of(&bytes);
        if secret.is_none() {
            self.gaps.push(odd(path, &format!("it holds nothing that {what} could be")));
        }
        secret
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn odd(path: &Path, detail: &str) -> Gap {
    Gap {
        subject: shown(path),
        reason: Reason::Unreadable,
        detail: detail.to_owned(),
        remedy: "correct the file that [node_api] of the configuration names".to_owned(),
    }
}

/// A file of the configuration, with its mode. The buffer never grows, so that no copy of it is left behind.
fn read(path: &Path, limit: usize) -> Result<(Zeroizing<Vec<u8>>, u32), Gap> {
    let gap = |error: std::io::Error| {
        let trouble = host::trouble(&error, &path.display());
        Gap { reason: trouble.reason, ..odd(path, &trouble.detail) }
    };
    let mut file = File::open(path).map_err(gap)?;
    let metadata = file.metadata().map_err(gap)?;
    if !metadata.is_file() {
        return Err(odd(path, "it is no file"));
    }
    let mut bytes = Zeroizing::new(vec![0_u8; limit + 1]);
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest).map_err(gap)? {
            0 => break,
            read => length += read,
        }
    }
    if length > limit {
        return Err(odd(path, &format!("it is larger than {limit} bytes")));
    }
    bytes.truncate(length);
    Ok((bytes, metadata.mode()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const MARK: &str = "hunter2";

    fn header(access: &Access) -> String {
        let value = access.secret.as_ref().unwrap().header().unwrap();
        assert!(value.is_sensitive());
        value.to_str().unwrap().to_owned()
    }

    fn loaded(text: &str, mode: u32, change: impl Fn(&mut Settings, PathBuf)) -> Access {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let mut settings = Settings::default();
        change(&mut settings, path);
        Access::load(&settings)
    }

    fn key(text: &str, mode: u32) -> Access {
        loaded(text, mode, |settings, path| settings.api_key_file = Some(path))
    }

    #[test]
    fn a_key_in_either_spelling_is_one_header() {
        // `id:hunter2`.
        assert_eq!(header(&key("id:hunter2\n", 0o600)), "ApiKey aWQ6aHVudGVyMg==");
        assert_eq!(header(&key(" aWQ6aHVudGVyMg==\n", 0o600)), "ApiKey aWQ6aHVudGVyMg==");
        let basic = loaded("hunter2\n", 0o600, |settings, path| {
            settings.username = Some("monitor".to_owned());
            settings.password_file = Some(path);
        });
        assert_eq!(header(&basic), "Basic bW9uaXRvcjpodW50ZXIy");
    }

    #[test]
    fn what_is_no_key_is_a_gap_and_never_shown() {
        for text in ["", "\n", "hunter2 hunter2", "hunter2\nhunter2", "hunter2\u{e9}"] {
            let access = key(text, 0o600);
            assert!(access.secret.is_none() && access.gaps.len() == 1, "{text:?}");
            assert!(!format!("{access:?}").contains(MARK));
        }
        assert_eq!(key(&"x".repeat(SECRET + 1), 0o600).gaps.len(), 1);
        let absent = Settings { api_key_file: Some("/nowhere/key".into()), ..Settings::default() };
        let access = Access::load(&absent);
        assert_eq!(access.gaps[0].reason, Reason::NotFound);
        assert_eq!(access.gaps[0].subject, "/nowhere/key");
        let directory = Settings { api_key_file: Some("/".into()), ..Settings::default() };
        assert_eq!(Access::load(&directory).gaps.len(), 1);
    }

    #[test]
    fn a_file_that_others_may_read_is_warned_of() {
        for (mode, warns) in [(0o600, false), (0o640, false), (0o644, true), (0o602, true)] {
            let access = key("id:hunter2", mode);
            assert_eq!(!access.warnings.is_empty(), warns, "{mode:o}");
            assert!(access.secret.is_some());
        }
    }

    #[test]
    fn nothing_shows_the_secret() {
        let access = key("id:hunter2", 0o644);
        let shown = format!(
            "{access:?} {:?} {:?}",
            access.secret,
            access.secret.as_ref().unwrap().header()
        );
        for mark in [MARK, "aWQ6", "ApiKey"] {
            assert!(!shown.contains(mark), "{shown}");
        }
    }

    #[test]
    fn a_file_without_authorities_is_a_gap() {
        let access = loaded("no PEM", 0o644, |settings, path| settings.ca_file = Some(path));
        assert_eq!(access.gaps.len(), 1);
        let absent = Settings { ca_file: Some("/nowhere/ca".into()), ..Settings::default() };
        assert_eq!(Access::load(&absent).gaps.len(), 1);
    }
}
