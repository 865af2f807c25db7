//! Instances that a package has installed.

use atrest_proto::model::Gap;

use super::{Candidate, Origin, may_be_configured};
use crate::discovery::instance::{Instance, absolute, account_named};
use crate::discovery::process::Environment;
use crate::host::Host;
use crate::path::HostPath;
use crate::snapshot::Namespace;
use crate::variables;

/// Where a package puts things: all of the stack's are laid out alike.
pub(in crate::discovery) struct Package {
    /// Of the package and of its unit; what the service is called.
    pub(in crate::discovery) name: String,
    pub(in crate::discovery) home: HostPath,
    pub(in crate::discovery) config: HostPath,
    pub(in crate::discovery) data: HostPath,
    pub(in crate::discovery) logs: HostPath,
    /// What its unit or its start scripts read: of a deb, of an rpm.
    pub(in crate::discovery) variables: [HostPath; 2],
}

impl Package {
    pub(in crate::discovery) fn new(name: &str) -> Self {
        let below = |directory: &str| HostPath::from(format!("{directory}/{name}"));
        Self {
            name: name.to_owned(),
            home: below("/usr/share"),
            config: below("/etc"),
            data: below("/var/lib"),
            logs: below("/var/log"),
            variables: [below("/etc/default"), below("/etc/sysconfig")],
        }
    }

    /// The variables of the files that its unit or its start scripts read.
    pub(in crate::discovery) fn assigned(&self, host: &dyn Host) -> Vec<(String, String)> {
        const LIMIT: usize = 1 << 20;
        let files = self.variables.iter();
        files
            .filter_map(|path| host.read(&Namespace::Host, path, LIMIT).ok())
            .flat_map(|bytes| variables::parse(&String::from_utf8_lossy(&bytes)))
            .map(|found| (found.name, found.value))
            .collect()
    }

    /// The package as it would be started, when it is there; the first of `config_variables` that is set moves its
    /// configuration directory.
    pub(in crate::discovery) fn candidate(
        &self,
        host: &dyn Host,
        user: &str,
        config_variables: &[&str],
        gaps: &mut Vec<Gap>,
    ) -> Option<Candidate> {
        let assigned = self.assigned(host);
        let pairs = assigned.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let environment = Environment::from_pairs(pairs);
        let named = config_variables
            .iter()
            .find_map(|name| environment.get(name).filter(|path| !path.is_empty()));
        let config = named.map_or_else(
            || self.config.clone(),
            |path| absolute(&self.home, &HostPath::from(path)),
        );
        may_be_configured(host, &Namespace::Host, &config, gaps).then(|| Candidate {
            instance: Instance {
                pid: None,
                namespace: Namespace::Host,
                container: None,
                run_as: account_named(host, user, None),
                home: self.home.clone(),
                config,
                cwd: self.home.clone(),
                environment,
                arguments: Vec::new(),
                is_below_launcher: false,
                unit_files: Vec::new(),
                environment_files: self.variables.to_vec(),
                doubt: None,
                cwd_doubt: None,
            },
            origin: Origin::Package,
            outputs: Vec::new(),
        })
    }
}
