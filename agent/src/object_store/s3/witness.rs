//! Who answers: what the headers of answers tell of the store, beside what they are answers to.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;

use crate::repository::facts::Provider;

/// What was seen of the store.
#[derive(Debug, Default)]
pub(super) struct Witness(Mutex<Seen>);

#[derive(Debug, Default, Clone)]
struct Seen {
    is_amazons: Option<bool>,
    is_minio: bool,
    is_ceph: bool,
    region: Option<String>,
    /// The last answer sent elsewhere.
    is_redirect: bool,
}

/// Notes what passes.
#[derive(Debug)]
pub(super) struct Note(pub(super) Arc<Witness>);

/// The domains of Amazon's own endpoints, by partition: "Service endpoints", AWS general reference.
const AMAZONS: [&str; 3] = [".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu"];

impl Witness {
    fn seen(&self) -> Seen {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whose store it is, by who answered.
    pub(super) fn provider(&self) -> Provider {
        let seen = self.seen();
        match seen {
            Seen { is_amazons: Some(true), .. } => Provider::Aws,
            Seen { is_minio: true, .. } => Provider::MinIo,
            Seen { is_ceph: true, .. } => Provider::Ceph,
            Seen { .. } => Provider::S3Compatible,
        }
    }

    /// Where the bucket is, when that is elsewhere.
    pub(super) fn other_region(&self) -> Option<String> {
        let seen = self.seen();
        seen.region.filter(|_| seen.is_redirect)
    }

    /// Who is asked, over what.
    fn asked(&self, uri: &str) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One answer from elsewhere is enough to take nothing for granted.
        seen.is_amazons = Some(seen.is_amazons.unwrap_or(true) && is_amazons(uri));
    }

    /// An answer: its status and headers.
    fn answered<'a>(&self, status: u16, headers: impl Iterator<Item = (&'a str, &'a str)>) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // "Permanent redirect" and "bucket is in this region", error responses of S3.
        seen.is_redirect = matches!(status, 301 | 307 | 400);
        for (name, value) in headers {
            let name = name.to_ascii_lowercase();
            if name == "server" && value.starts_with("MinIO") || name.starts_with("x-minio-") {
                seen.is_minio = true;
            }
            if name.starts_with("x-rgw-") {
                seen.is_ceph = true;
            }
            if name == "x-amz-bucket-region" {
                seen.region = Some(value.to_owned());
            }
        }
    }
}

/// Only over TLS: without it anybody could answer in its name.
fn is_amazons(uri: &str) -> bool {
    let Some(rest) = uri.strip_prefix("https://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default().to_ascii_lowercase();
    AMAZONS.iter().any(|domain| host.ends_with(domain))
}

impl Intercept for Note {
    fn name(&self) -> &'static str {
        "Note"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.asked(context.request().uri());
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        self.0.answered(response.status().as_u16(), response.headers().iter());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(uri: &str, headers: &[(&str, &str)]) -> Provider {
        let witness = Witness::default();
        witness.asked(uri);
        witness.answered(200, headers.iter().copied());
        witness.provider()
    }

    #[test]
    fn amazon_is_known_by_its_name_over_tls() {
        for (uri, expected) in [
            ("https://b.s3.eu-central-1.amazonaws.com/k?x", Provider::Aws),
            ("https://s3.cn-north-1.amazonaws.com.cn/b", Provider::Aws),
            ("http://b.s3.eu-central-1.amazonaws.com/k", Provider::S3Compatible),
            ("https://amazonaws.com.evil.example/b", Provider::S3Compatible),
            ("https://evilamazonaws.com/b", Provider::S3Compatible),
            ("https://127.0.0.1:9000/s3.amazonaws.com", Provider::S3Compatible),
        ] {
            assert_eq!(provider(uri, &[]), expected, "{uri}");
        }
        let witness = Witness::default();
        witness.asked("https://b.s3.amazonaws.com/");
        witness.asked("https://127.0.0.1/");
        assert_eq!(witness.provider(), Provider::S3Compatible);
    }

    #[test]
    fn others_are_known_by_their_headers() {
        let own = "http://127.0.0.1:9000/b";
        assert_eq!(provider(own, &[("Server", "MinIO")]), Provider::MinIo);
        assert_eq!(provider(own, &[("x-rgw-object-type", "Normal")]), Provider::Ceph);
        assert_eq!(provider(own, &[("server", "nginx")]), Provider::S3Compatible);
    }

    #[test]
    fn a_bucket_elsewhere_says_where() {
        let witness = Witness::default();
        let region = [("x-amz-bucket-region", "eu-west-1")];
        witness.answered(200, region.into_iter());
        assert_eq!(witness.other_region(), None);
        witness.answered(301, region.into_iter());
        assert_eq!(witness.other_region().as_deref(), Some("eu-west-1"));
    }
}
