//! `azure`: a container of Azure Blob Storage.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Backend, Kind, Surroundings, base_path, show};
use crate::repository::Registered;

pub(super) const KIND: Kind = Kind {
    name: "azure",
    settings: &["container", "base_path", "client"],
    own: &["azure_account", "azure_endpoint", "azure_sas_file", "azure_resource_id"],
    backend,
};

/// Where in which container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Azure {
    /// The node has it in its keystore, so that only the agent's configuration can name it.
    pub account: Option<String>,
    pub container: String,
    /// Without slashes at its ends.
    pub base_path: String,
    /// The address of the blob service, with its scheme, from the agent's configuration.
    pub endpoint: Option<String>,
    /// The same from the settings of the node.
    #[serde(default)]
    pub node_endpoint: Option<String>,
    /// Such as `core.windows.net`.
    pub suffix: Option<String>,
    /// A file with a shared access signature of the agent's own, from its configuration.
    pub sas_file: Option<String>,
    /// `/subscriptions/…/storageAccounts/NAME`, from the agent's configuration: where it is told whose the keys are.
    #[serde(default)]
    pub resource_id: Option<String>,
}

impl fmt::Display for Azure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let account =
            self.account.as_ref().map(|account| format!("{account}/")).unwrap_or_default();
        show(f, "azure", &format!("{account}{}", self.container), &self.base_path)
    }
}

fn backend(registered: &Registered, surroundings: &Surroundings<'_>) -> Backend {
    let own = |name: &str| registered.setting(name).map(str::to_owned);
    let client = |name| surroundings.client("azure", registered, name).map(str::to_owned);
    Backend::Azure(Azure {
        account: own("azure_account"),
        // `AzureRepository.Repository.CONTAINER_SETTING`.
        container: own("container").unwrap_or_else(|| "elasticsearch-snapshots".to_owned()),
        base_path: base_path(registered),
        endpoint: own("azure_endpoint"),
        node_endpoint: client("endpoint"),
        suffix: client("endpoint_suffix"),
        sas_file: own("azure_sas_file"),
        resource_id: own("azure_resource_id"),
    })
}
