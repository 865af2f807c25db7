//! OpenSearch: found as Elasticsearch is, under its own names.

use super::elasticsearch::Family;

pub(super) static OPENSEARCH: Family = Family {
    product: "opensearch",
    property: "opensearch",
    server_class: "org.opensearch.bootstrap.OpenSearch",
    // It has one process only.
    launcher_classes: &[],
    home_variable: "OPENSEARCH_HOME",
    config_variable: "OPENSEARCH_PATH_CONF",
    settings_file: "opensearch.yml",
    keystore_file: "opensearch.keystore",
    jar: "opensearch-",
    packaged_home: "/usr/share/opensearch",
    packaged_config: "/etc/opensearch",
    packaged_data: "/var/lib/opensearch",
    packaged_logs: "/var/log/opensearch",
    environment_files: &["/etc/default/opensearch", "/etc/sysconfig/opensearch"],
    user: "opensearch",
};
