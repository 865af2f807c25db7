//! The section `[remote_repositories]` of the configuration.

use std::path::PathBuf;
use std::time::Duration;

/// What asking stores may cost, and by which way it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub enabled: bool,
    /// Whether the provider of this machine is asked about its disks: `[cloud_volumes]`.
    pub volumes: bool,
    /// How long the resident agent keeps an answer before it asks again.
    pub interval: Duration,
    /// The most requests for one repository each time.
    pub requests: u32,
    /// For all that one repository is asked.
    pub timeout: Duration,
    /// The address of a proxy; without one what the environment names (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`).
    pub proxy: Option<String>,
    /// Authorities in PEM that stores' certificates may come from, beside those of the system.
    pub ca_file: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            volumes: false,
            interval: Duration::from_hours(6),
            requests: 100,
            timeout: Duration::from_secs(30),
            proxy: None,
            ca_file: None,
        }
    }
}
