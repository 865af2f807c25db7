//! The agent's configuration: TOML to validated values, with every mistake reported at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use crate::discovery::Declared;
use crate::node_api;
use crate::object_store;
use crate::path::HostPath;
use crate::policy::Policy;
use crate::repository::{self, kind, registered};
use crate::snapshot::Namespace;

/// Where the configuration is looked for when none is named.
pub const DEFAULT_PATH: &str = "/etc/atrest/agent.toml";
/// A configuration is a few KiB.
const MAX_SIZE: usize = 1024 * 1024;

/// What the file may hold. Every key has a default: an empty file works.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Raw {
    state_dir: PathBuf,
    /// Seconds between full scans.
    scan_interval: u64,
    /// Largest size of the spool in MiB.
    spool_mib: u64,
    paths: Vec<PathBuf>,
    /// Whether what other machines mount from this one is looked at.
    nfs_exports: bool,
    repositories: Vec<RawRepository>,
    policy: Policy,
    node_api: RawNodeApi,
    remote_repositories: RawRemoteRepositories,
    cloud_volumes: RawCloudVolumes,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawNodeApi {
    enabled: Option<bool>,
    /// Empty, as are the other paths and the name, where there is none.
    api_key_file: PathBuf,
    username: String,
    password_file: PathBuf,
    certificate_file: PathBuf,
    key_file: PathBuf,
    ca_file: PathBuf,
    /// In seconds.
    timeout: Option<u64>,
    users: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawRemoteRepositories {
    enabled: Option<bool>,
    /// In seconds, as is the time-out.
    interval: Option<u64>,
    requests: Option<u32>,
    timeout: Option<u64>,
    /// Empty, as is the file, where there is none.
    proxy: String,
    ca_file: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawCloudVolumes {
    enabled: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRepository {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    /// Of type `fs`: short for the setting of that name.
    #[serde(default)]
    location: String,
    /// The cluster that it is registered in, where clusters on one host have repositories of one name.
    cluster: Option<String>,
    /// As in the registration, and what the agent asks with.
    #[serde(default)]
    settings: BTreeMap<String, String>,
}

impl RawRepository {
    fn declare(self) -> repository::Registered {
        let mut settings = self.settings;
        if !self.location.is_empty() {
            settings.insert("location".to_owned(), self.location);
        }
        for value in settings.values_mut() {
            *value = registered::without_credentials(std::mem::take(value));
        }
        repository::Registered {
            name: self.name,
            kind: self.kind,
            settings,
            client_side: None,
            service: None,
            product: None,
            cluster: self.cluster,
            source: repository::Source::Declared,
            namespace: Namespace::Host,
        }
    }
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            state_dir: PathBuf::from("/var/lib/atrest-agent"),
            scan_interval: 3600,
            spool_mib: 64,
            paths: Vec::new(),
            repositories: Vec::new(),
            policy: Policy::default(),
            node_api: RawNodeApi::default(),
            remote_repositories: RawRemoteRepositories::default(),
            cloud_volumes: RawCloudVolumes::default(),
            nfs_exports: true,
        }
    }
}

/// A configuration that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub state_dir: PathBuf,
    pub scan_interval: Duration,
    /// In bytes.
    pub spool_limit: u64,
    pub declared: Declared,
    pub policy: Policy,
    pub node_api: node_api::Settings,
    pub remote_repositories: object_store::Settings,
}

impl Default for Config {
    fn default() -> Self {
        // The defaults are valid: a test holds that.
        validate(Raw::default()).unwrap_or_else(|_| Self {
            state_dir: PathBuf::from("/var/lib/atrest-agent"),
            scan_interval: Duration::from_hours(1),
            spool_limit: 64 << 20,
            declared: Declared::default(),
            policy: Policy::default(),
            node_api: node_api::Settings::default(),
            remote_repositories: object_store::Settings::default(),
        })
    }
}

impl Config {
    /// The files that the half that talks reads besides: what it asks nodes and stores with. They may be replaced meanwhile.
    pub fn files(&self) -> Vec<PathBuf> {
        let node_api::Settings {
            api_key_file,
            password_file,
            certificate_file,
            key_file,
            ca_file,
            ..
        } = &self.node_api;
        let of_nodes = [api_key_file, password_file, certificate_file, key_file, ca_file];
        let of_stores = std::iter::once(&self.remote_repositories.ca_file);
        let named = of_nodes.into_iter().chain(of_stores).flatten().cloned();
        let settings = self.declared.repositories.iter().flat_map(|one| one.settings.iter());
        let own = settings.filter(|(key, _)| kind::is_own_setting(key) && key.ends_with("_file"));
        named.chain(own.map(|(_, path)| PathBuf::from(path))).collect()
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("{}: cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: larger than 1 MiB: this is not a configuration", path.display())]
    Size { path: PathBuf },
    /// With line and column, as the TOML parser says it.
    #[error("{}: {detail}", path.display())]
    Syntax { path: PathBuf, detail: String },
    #[error("{}:\n  {}", path.display(), mistakes.join("\n  "))]
    Values { path: PathBuf, mistakes: Vec<String> },
}

/// Loads a configuration. A missing file is an error only when it was named.
pub fn load(named: Option<&Path>) -> Result<Config, ConfigError> {
    use std::io::Read as _;
    let path = named.unwrap_or_else(|| Path::new(DEFAULT_PATH));
    let read_error = |source| ConfigError::Read { path: path.to_owned(), source };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
            return Ok(Config::default());
        }
        Err(error) => return Err(read_error(error)),
    };
    let mut text = String::new();
    let bound = u64::try_from(MAX_SIZE).unwrap_or(u64::MAX);
    file.take(bound + 1).read_to_string(&mut text).map_err(read_error)?;
    if text.len() > MAX_SIZE {
        return Err(ConfigError::Size { path: path.to_owned() });
    }
    parse(path, &text)
}

pub(crate) fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
    let raw = toml::from_str(text).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        detail: error.to_string().trim_end().to_owned(),
    })?;
    validate(raw).map_err(|mistakes| ConfigError::Values { path: path.to_owned(), mistakes })
}

fn validate(raw: Raw) -> Result<Config, Vec<String>> {
    let mut mistakes = Vec::new();
    if !raw.state_dir.is_absolute() {
        mistakes.push(format!("state_dir: `{}` is not absolute", raw.state_dir.display()));
    }
    if raw.scan_interval < 10 {
        mistakes.push("scan_interval: at least 10 (seconds)".to_owned());
    }
    if raw.spool_mib == 0 {
        mistakes.push("spool_mib: at least 1".to_owned());
    }
    for path in raw.paths.iter().filter(|path| !path.is_absolute()) {
        mistakes.push(format!("paths: `{}` is not absolute", path.display()));
    }
    let mut names = std::collections::BTreeSet::new();
    for repository in &raw.repositories {
        let name = &repository.name;
        if name.is_empty() {
            mistakes.push("repositories: a name is empty".to_owned());
        } else if !names.insert(name) {
            mistakes.push(format!("repositories: `{name}` stands there twice"));
        }
        if !kind::is_known(&repository.kind) {
            mistakes.push(format!("repositories: `{name}`: no type `{}`", repository.kind));
        }
        let location = repository.settings.get("location").unwrap_or(&repository.location);
        if repository.kind == "fs" && !location.starts_with('/') {
            mistakes.push(format!("repositories: the location of `{name}` is not absolute"));
        }
        let is_known = |key: &&String| kind::is_known_setting(key) || kind::is_own_setting(key);
        for key in repository.settings.keys().filter(|key| !is_known(key)) {
            mistakes.push(format!("repositories: `{name}`: no setting `{key}`"));
        }
    }
    let node_api = node_api(raw.node_api, &mut mistakes);
    let mut remote_repositories = remote_repositories(raw.remote_repositories, &mut mistakes);
    remote_repositories.volumes = raw.cloud_volumes.enabled;
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let repositories = raw.repositories.into_iter().map(RawRepository::declare).collect();
    Ok(Config {
        state_dir: raw.state_dir,
        scan_interval: Duration::from_secs(raw.scan_interval),
        spool_limit: raw.spool_mib.saturating_mul(1024 * 1024),
        declared: Declared {
            paths: raw.paths.into_iter().map(HostPath::from).collect(),
            repositories,
            ignore_exports: !raw.nfs_exports,
        },
        policy: raw.policy,
        node_api,
        remote_repositories,
    })
}

fn remote_repositories(
    raw: RawRemoteRepositories,
    mistakes: &mut Vec<String>,
) -> object_store::Settings {
    let default = object_store::Settings::default();
    let interval = raw.interval.unwrap_or(default.interval.as_secs());
    if interval < 60 {
        mistakes.push("remote_repositories.interval: at least 60 (seconds)".to_owned());
    }
    let requests = raw.requests.unwrap_or(default.requests);
    if !(10..=10_000).contains(&requests) {
        mistakes.push("remote_repositories.requests: 10 to 10000".to_owned());
    }
    let timeout = raw.timeout.unwrap_or(default.timeout.as_secs());
    if !(1..=600).contains(&timeout) {
        mistakes.push("remote_repositories.timeout: 1 to 600 (seconds)".to_owned());
    }
    let ca_file = Some(raw.ca_file).filter(|path| !path.as_os_str().is_empty());
    if let Some(path) = ca_file.as_ref().filter(|path| !path.is_absolute()) {
        mistakes.push(format!("remote_repositories.ca_file: `{}` is not absolute", path.display()));
    }
    let proxy = Some(raw.proxy).filter(|proxy| !proxy.is_empty());
    if proxy
        .as_ref()
        .is_some_and(|proxy| !proxy.starts_with("http://") && !proxy.starts_with("https://"))
    {
        mistakes.push(
            "remote_repositories.proxy: an address that starts with http:// or https://".to_owned(),
        );
    }
    object_store::Settings {
        enabled: raw.enabled.unwrap_or(default.enabled),
        volumes: default.volumes,
        interval: Duration::from_secs(interval),
        requests,
        timeout: Duration::from_secs(timeout),
        proxy,
        ca_file,
    }
}

fn node_api(raw: RawNodeApi, mistakes: &mut Vec<String>) -> node_api::Settings {
    let default = node_api::Settings::default();
    let mut path = |key: &str, path: PathBuf| {
        if path.as_os_str().is_empty() {
            return None;
        }
        if !path.is_absolute() {
            mistakes.push(format!("node_api.{key}: `{}` is not absolute", path.display()));
        }
        Some(path)
    };
    let api_key_file = path("api_key_file", raw.api_key_file);
    let password_file = path("password_file", raw.password_file);
    let certificate_file = path("certificate_file", raw.certificate_file);
    let key_file = path("key_file", raw.key_file);
    let ca_file = path("ca_file", raw.ca_file);
    if certificate_file.is_some() != key_file.is_some() {
        mistakes.push("node_api: certificate_file and key_file go together".to_owned());
    }
    let username = Some(raw.username).filter(|name| !name.is_empty());
    if api_key_file.is_some() && (username.is_some() || password_file.is_some()) {
        mistakes.push("node_api: an API key or a username with a password, not both".to_owned());
    } else if username.is_some() != password_file.is_some() {
        mistakes.push("node_api: username and password_file go together".to_owned());
    }
    if username.as_ref().is_some_and(|name| name.contains(':') || name.contains(char::is_control)) {
        mistakes.push("node_api.username: no colon and no control character".to_owned());
    }
    let seconds = raw.timeout.unwrap_or(default.timeout.as_secs());
    if !(1..=60).contains(&seconds) {
        mistakes.push("node_api.timeout: 1 to 60 (seconds)".to_owned());
    }
    node_api::Settings {
        enabled: raw.enabled.unwrap_or(default.enabled),
        api_key_file,
        username,
        password_file,
        certificate_file,
        key_file,
        ca_file,
        timeout: Duration::from_secs(seconds),
        users: raw.users.unwrap_or(default.users),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Config, ConfigError> {
        parse(Path::new("/etc/atrest/agent.toml"), text)
    }

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(parsed("").unwrap(), Config::default());
        assert!(validate(Raw::default()).is_ok());
    }

    #[test]
    fn the_reference_file_shows_the_defaults() {
        let reference = include_str!("../../packaging/agent.toml");
        let shown: String = reference
            .lines()
            .map(|line| {
                line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line)
            })
            .fold(String::new(), |text, line| text + line + "\n");
        assert_eq!(parsed(reference).unwrap(), Config::default());
        assert_eq!(parsed(&shown).unwrap(), Config::default());
        for key in
            ["state_dir", "scan_interval", "spool_mib", "paths", "argon2_time", "api_key_file"]
        {
            assert!(shown.contains(&format!("\n{key} = ")), "{key} is not shown");
        }
    }

    #[test]
    fn a_password_needs_a_name_and_a_name_a_password() {
        for text in ["username = \"a\"", "password_file = \"/p\""] {
            let error = parsed(&format!("[node_api]\n{text}\n")).unwrap_err().to_string();
            assert!(error.contains("go together"), "{error}");
        }
        let both = "[node_api]\nusername = \"a\"\npassword_file = \"/p\"\nca_file = \"\"\n";
        let found = parsed(both).unwrap().node_api;
        assert_eq!((found.username.as_deref(), found.ca_file), (Some("a"), None));
    }

    #[test]
    fn a_typo_names_the_file_the_line_and_what_is_known() {
        let error = parsed("scan_interval = 60\nstate_dri = \"/x\"\n").unwrap_err().to_string();
        assert!(error.contains("/etc/atrest/agent.toml"), "{error}");
        assert!(error.contains("line 2") && error.contains("state_dri"), "{error}");
        assert!(error.contains("`state_dir`"), "{error}");
    }

    #[test]
    fn every_wrong_value_is_reported_at_once() {
        let text = "state_dir = \"x\"\nscan_interval = 1\npaths = [\"a\", \"/b\"]\n\
                    [node_api]\napi_key_file = \"k\"\nusername = \"a:b\"\ntimeout = 0\n\
                    [[repositories]]\nname = \"r\"\ntype = \"fs\"\nlocation = \"rel\"\n";
        let error = parsed(text).unwrap_err().to_string();
        for part in [
            "state_dir",
            "scan_interval",
            "`a`",
            "location of `r`",
            "node_api.api_key_file",
            "not both",
            "no colon",
            "node_api.timeout",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }
}
