//! OpenSearch: found as Elasticsearch is, under its own names.

use super::elasticsearch::Family;

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
    // The second is Wazuh's own build, with OpenSearch's classes and variables.
    packages: &["opensearch", "wazuh-indexer"],
};
