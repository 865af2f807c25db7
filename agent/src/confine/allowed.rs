//! What the half that talks may use, as it follows from its configuration and its environment.

use std::path::{Path, PathBuf};

use crate::config::Config;

/// What the libraries of the providers of clouds, and TLS, are told by the environment, as their manuals have it.
const NAMED: &[&str] = &[
    "AWS_CONFIG_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AZURE_FEDERATED_TOKEN_FILE",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
];

/// What they look for below the home directory.
const AT_HOME: &[&str] = &[".aws", ".config/gcloud"];

/// Files and directories, beside those of the system that name hosts and authorities.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    /// To be read.
    pub read: Vec<PathBuf>,
    /// Directories in which anything may be read, written and made.
    pub write: Vec<PathBuf>,
}

impl Allowed {
    /// With the file that the configuration was read from, if one was named, and the socket of the half that looks.
    pub fn of(config: &Config, file: Option<&Path>, socket: &Path) -> Self {
        let mut read: Vec<PathBuf> = config.files().into_iter().map(place).collect();
        read.extend(file.map(Path::to_owned));
        read.extend(socket.parent().map(Path::to_owned));
        let variable = |name: &&str| std::env::var_os(name).map(PathBuf::from);
        read.extend(NAMED.iter().filter_map(variable));
        if let Some(home) = variable(&"HOME") {
            read.extend(AT_HOME.iter().map(|name| home.join(name)));
        }
        Self { read, write: vec![config.state_dir.clone()] }
    }
}

/// A file that is replaced is another one: so its directory is allowed, unless that holds all kinds of things.
fn place(file: PathBuf) -> PathBuf {
    match file.parent() {
        Some(parent) if parent.components().count() > 2 => parent.to_owned(),
        Some(_) | None => file,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_allowed_with_what_may_take_its_place() {
        let text = "state_dir = \"/var/lib/x\"\n[node_api]\napi_key_file = \"/srv/atrest/keys/es\"\n\
                    ca_file = \"/srv/ca.pem\"\n[[repositories]]\nname = \"r\"\ntype = \"gcs\"\n\
                    settings = { bucket = \"b\", gcs_credentials_file = \"/run/secrets/g/key.json\" }\n";
        let config = crate::config::parse(Path::new("/x.toml"), text).unwrap();
        let file = Path::new("/srv/x.toml");
        let allowed = Allowed::of(&config, Some(file), Path::new("/run/atrest/observer.sock"));
        assert_eq!(allowed.write, [Path::new("/var/lib/x")]);
        for path in
            ["/srv/atrest/keys", "/srv/ca.pem", "/run/secrets/g", "/srv/x.toml", "/run/atrest"]
        {
            assert!(allowed.read.contains(&PathBuf::from(path)), "{path}: {:?}", allowed.read);
        }
        assert!(
            !allowed
                .read
                .iter()
                .any(|path| ["/", "/srv", "/run"].map(Path::new).contains(&path.as_path()))
        );
    }
}
