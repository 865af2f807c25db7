//! `hdfs`: a directory of Hadoop's file system.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Backend, Kind, Surroundings, lacks};
use crate::repository::Registered;

pub(super) const KIND: Kind = Kind {
    name: "hdfs",
    settings: &["uri", "path", "security.principal"],
    own: &["webhdfs_url", "webhdfs_user", "webhdfs_path"],
    backend,
};

/// Where in which file system.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Hdfs {
    /// `hdfs://HOST:PORT`, of the name node's RPC port.
    pub uri: String,
    /// Without a slash at its end. One that is relative is so to the home of the node's user: `FileContext.makeQualified`.
    pub path: String,
    /// The address of `WebHDFS` or `HttpFS`, from the agent's configuration: `https://HOST:9871`.
    pub web: Option<String>,
    /// The user to ask as, where the cluster has no Kerberos.
    pub user: Option<String>,
    /// The path as `WebHDFS` knows it, from the agent's configuration.
    #[serde(default)]
    pub web_path: Option<String>,
}

impl Hdfs {
    /// The path from the root; `None` where nobody here knows it.
    pub fn absolute(&self) -> Option<&str> {
        let path = self.web_path.as_deref().unwrap_or(&self.path);
        path.starts_with('/').then_some(path)
    }
}

impl fmt::Display for Hdfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let home = if self.path.starts_with('/') { "" } else { "/~/" };
        write!(f, "{}{home}{}", self.uri, self.path)
    }
}

fn backend(registered: &Registered, _: &Surroundings<'_>) -> Backend {
    let Some(uri) = registered.setting("uri") else { return lacks("uri") };
    let Some(path) = registered.setting("path") else { return lacks("path") };
    Backend::Hdfs(Hdfs {
        uri: uri.trim_end_matches('/').to_owned(),
        path: match path.trim_end_matches('/') {
            "" => "/".to_owned(),
            path => path.to_owned(),
        },
        web: registered.setting("webhdfs_url").map(str::to_owned),
        user: registered.setting("webhdfs_user").map(str::to_owned),
        web_path: registered.setting("webhdfs_path").map(str::to_owned),
    })
}
