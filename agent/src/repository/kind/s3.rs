//! `s3`: a bucket of Amazon, or of anything that speaks like it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Backend, Kind, Surroundings, base_path, lacks, show};
use crate::repository::Registered;

pub(super) const KIND: Kind = Kind {
    name: "s3",
    settings: &[
        "bucket",
        "base_path",
        "client",
        "endpoint",
        "region",
        "protocol",
        "path_style_access",
        "server_side_encryption",
        "server_side_encryption_type",
        "server_side_encryption_kms_key_id",
        "expected_bucket_owner",
    ],
    own: &["aws_profile"],
    backend,
};

/// Where in which bucket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct S3 {
    pub bucket: String,
    /// Without slashes at its ends.
    pub base_path: String,
    /// With its scheme; `None` is Amazon's own.
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub path_style: bool,
    /// The account that the node expects to own the bucket.
    pub expected_owner: Option<String>,
    /// The profile of the agent's own credentials, from its configuration.
    pub profile: Option<String>,
    /// What the node asks for with each object: `AES256`, `aws:kms`; `None` is nothing.
    pub requested: Option<String>,
}

impl fmt::Display for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, "s3", &self.bucket, &self.base_path)
    }
}

fn backend(registered: &Registered, surroundings: &Surroundings<'_>) -> Backend {
    let Some(bucket) = registered.setting("bucket") else { return lacks("bucket") };
    // Settings of the repository count before those of the client.
    let setting = |name: &str| {
        registered.setting(name).or_else(|| surroundings.client("s3", registered, name))
    };
    let endpoint = setting("endpoint").map(|endpoint| {
        let scheme = setting("protocol").unwrap_or("https");
        if endpoint.contains("://") {
            endpoint.to_owned()
        } else {
            format!("{scheme}://{endpoint}")
        }
    });
    let kind = registered.setting("server_side_encryption_type");
    let requested = match (kind, registered.setting("server_side_encryption")) {
        (Some("bucket_default"), _) => None,
        (Some(kind), _) => Some(kind.to_owned()),
        (None, Some("true")) => Some("AES256".to_owned()),
        (None, _) => None,
    };
    Backend::S3(S3 {
        bucket: bucket.to_owned(),
        base_path: base_path(registered),
        // Addresses of plain hosts, and of MinIO and the like, have no bucket in their names.
        path_style: setting("path_style_access") == Some("true"),
        endpoint,
        region: setting("region").map(str::to_owned),
        expected_owner: registered.setting("expected_bucket_owner").map(str::to_owned),
        profile: registered.setting("aws_profile").map(str::to_owned),
        requested,
    })
}
