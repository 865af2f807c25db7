//! OpenSearch: found as Elasticsearch is, under its own names.

use super::elasticsearch::{Family, Packaging};

pub(super) static OPENSEARCH: Family = Family {
    product: "opensearch",
    property: "opensearch",
    server_class: "org.opensearch.bootstrap.OpenSearch",
    // It has one process only.
    launcher_classes: &[],
    variables: "OPENSEARCH",
    home_variable: "OPENSEARCH_HOME",
    config_variable: "OPENSEARCH_PATH_CONF",
    settings_file: "opensearch.yml",
    keystore_file: "opensearch.keystore",
    jar: "opensearch-",
    binary: "opensearch",
    packagings: &[
        Packaging {
            name: "opensearch",
            home: "/usr/share/opensearch",
            config: "/etc/opensearch",
            data: "/var/lib/opensearch",
            logs: "/var/log/opensearch",
            environment_files: &["/etc/default/opensearch", "/etc/sysconfig/opensearch"],
            user: "opensearch",
        },
        // Wazuh's own build, with OpenSearch's classes and variables.
        Packaging {
            name: "wazuh-indexer",
            home: "/usr/share/wazuh-indexer",
            config: "/etc/wazuh-indexer",
            data: "/var/lib/wazuh-indexer",
            logs: "/var/log/wazuh-indexer",
            environment_files: &["/etc/default/wazuh-indexer", "/etc/sysconfig/wazuh-indexer"],
            user: "wazuh-indexer",
        },
    ],
};
