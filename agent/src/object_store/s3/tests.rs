//! Whole looks at buckets of others than Amazon, against a stand-in that answers as they do.

use std::time::Duration;

use aws_sdk_s3::config::Credentials;

use super::*;
use crate::object_store::stand_in::{self, Asked, Reply, StandIn};
use crate::repository::facts::Provider;
use crate::repository::kind::{self, Surroundings, fixture::registered};
use crate::repository::{Encryption, Looked, Observation, judge};

/// A store, by how it answers.
#[derive(Clone, Copy)]
struct Manner {
    /// On every answer.
    header: (&'static str, &'static str),
    /// To whoever asks for the bucket's default.
    default: (u16, &'static str),
    /// What it says of each object.
    seal: Option<&'static str>,
}

fn error(status: u16, code: &str) -> Reply {
    Reply::new(status, format!("<Error><Code>{code}</Code><Message>m</Message></Error>"))
}

fn answer(asked: &Asked, manner: Manner) -> Reply {
    let (name, value) = manner.header;
    let query = asked.line.split_once('?').map_or("", |(_, query)| query);
    let reply = if query.contains("encryption") {
        error(manner.default.0, manner.default.1)
    } else if query.contains("policy") {
        error(404, "NoSuchBucketPolicy")
    } else if query.contains("list-type=2") {
        let time = "<LastModified>2024-01-01T00:00:00.000Z</LastModified>";
        Reply::new(
            200,
            format!(
                "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>p/index-0</Key>{time}<Size>1</Size>\
                 </Contents><Contents><Key>p/snap-a.dat</Key>{time}<Size>1</Size></Contents></ListBucketResult>"
            ),
        )
    } else {
        assert!(asked.line.starts_with("HEAD "), "{}", asked.line);
        let seal = manner.seal.filter(|_| asked.line.contains("/p/"));
        seal.into_iter().fold(Reply::new(200, ""), |reply, seal| {
            reply.with("x-amz-server-side-encryption", seal)
        })
    };
    reply.with(name, value)
}

fn judged(manner: Manner) -> (Facts, Encryption) {
    let store = StandIn::new(move |asked| answer(asked, manner));
    let endpoint = store.url.as_str().trim_end_matches('/');
    let settings = [("bucket", "acme"), ("base_path", "p"), ("endpoint", endpoint)];
    let registered = registered("s3", &settings);
    let backend = kind::backend(&registered, &Surroundings::default());
    let kind::Backend::S3(s3) = &backend else { panic!("{backend:?}") };
    let found = stand_in::look(Duration::from_mins(1), async |http, budget| {
        let shared = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http.aws().unwrap())
            .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
            .region(Region::from_static("us-east-1"))
            .load()
            .await;
        facts(s3, &shared, budget, &mut |_| 0).await
    })
    .unwrap();
    let looked = Some(Looked::Told(Box::new(found.clone())));
    let observation = Observation { asset: "repository:r".to_owned(), registered, backend, looked };
    (found, judge::judge(&observation, None).encryption)
}

#[test]
fn stores_that_are_not_amazons_answer_in_their_own_ways() {
    const NONE: (u16, &str) = (404, "ServerSideEncryptionConfigurationNotFoundError");
    let minio = ("server", "MinIO");
    let ceph = ("x-rgw-object-type", "Normal");
    let other = ("server", "x");
    for (header, default, seal, provider, expected) in [
        // No key service: what lies on its disks is plain.
        (minio, NONE, None, Provider::MinIo, Encryption::Plaintext),
        // MINIO_KMS_AUTO_ENCRYPTION: no default, and yet encrypted.
        (minio, NONE, Some("AES256"), Provider::MinIo, Encryption::ProviderKey),
        // What encrypts below it cannot be seen.
        (ceph, NONE, None, Provider::Ceph, Encryption::Unproven),
        (ceph, NONE, Some("AES256"), Provider::Ceph, Encryption::ProviderKey),
        // One that does not know of defaults need not say that it encrypts.
        (other, (501, "NotImplemented"), None, Provider::S3Compatible, Encryption::Unproven),
        (other, NONE, None, Provider::S3Compatible, Encryption::Plaintext),
    ] {
        let (found, encryption) = judged(Manner { header, default, seal });
        assert_eq!(found.provider, provider, "{header:?} {default:?} {seal:?}");
        assert_eq!(encryption, expected, "{header:?} {default:?} {seal:?}: {found:?}");
        assert_eq!(found.default.trouble().is_some(), default != NONE);
        assert!(found.sample.is_complete && found.sample.objects.len() == 2, "{found:?}");
    }
}
