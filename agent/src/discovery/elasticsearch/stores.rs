//! Settings of a node that say where the stores of its repositories are.

/// Of clients that are no secret: credentials are in the keystore.
const CLIENT: [&str; 6] =
    ["endpoint", "region", "protocol", "path_style_access", "endpoint_suffix", "project_id"];

/// Whether a setting says where a store is: `s3.client.NAME.endpoint`, the root of directories, or an attribute that declares
/// a remote store.
pub(super) fn is_about(key: &str) -> bool {
    if key == "path.repo" {
        return true;
    }
    if let Some(attribute) = key.strip_prefix("node.attr.remote_store.") {
        return crate::repository::remote_store::is_about(attribute);
    }
    let mut parts = key.split('.');
    matches!(parts.next(), Some("s3" | "gcs" | "azure"))
        && parts.next() == Some("client")
        && parts.next().is_some()
        && parts.next().is_some_and(|name| CLIENT.contains(&name))
        && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_kept_and_credentials_are_not() {
        for key in [
            "s3.client.default.endpoint",
            "azure.client.x.endpoint_suffix",
            "node.attr.remote_store.repository.r.type",
            "node.attr.remote_store.repository.r.settings.bucket",
            "node.attr.remote_store.repository.r.crypto_metadata.settings.key_arn",
        ] {
            assert!(is_about(key), "{key}");
        }
        for key in [
            "s3.client.default.secret_key",
            "s3.client.default.proxy.password",
            "node.attr.remote_store.repository.r.settings.secret_key",
            "node.attr.zone",
            "path.data",
        ] {
            assert!(!is_about(key), "{key}");
        }
    }
}
