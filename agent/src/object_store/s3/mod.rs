//! S3, of Amazon and of whoever speaks like it: the bucket's default and policy, its objects, and the keys that they name.
//!
//! With the agent's own credentials, by the standard chain of Amazon's tools (environment, profile, web identity, container,
//! instance): never those of the node's keystore. Needs `s3:ListBucket`, `s3:GetObject` (which is what `HeadObject` asks
//! for), `s3:GetEncryptionConfiguration`, `s3:GetBucketPolicy` and, for keys, `kms:DescribeKey`.

mod errors;
mod keys;
mod witness;

use std::sync::Arc;

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{BehaviorVersion, ProvideCredentials as _, Region};
use aws_sdk_s3::types::ServerSideEncryption;
use jiff::Timestamp;

use super::budget::Budget;
use super::http::{self, Http};
use super::store::{Failure, Page, Store};
use super::survey;
use crate::repository::Facts;
use crate::repository::bucket_policy;
use crate::repository::facts::{Refusal, Seal, SealKey};
use crate::repository::kind::S3;
use crate::repository::sample::Listed;
use crate::snapshot::Observed;
use witness::Witness;

/// Asks all that there is to know of one repository.
pub(super) async fn look(
    repository: &S3,
    http: &Http,
    budget: &Budget,
    draw: &mut dyn FnMut(usize) -> usize,
) -> Result<Facts, Failure> {
    let shared = credentials(repository.profile.as_deref(), http).await?;
    facts(repository, &shared, budget, draw).await
}

async fn facts(
    repository: &S3,
    shared: &SdkConfig,
    budget: &Budget,
    draw: &mut dyn FnMut(usize) -> usize,
) -> Result<Facts, Failure> {
    let mut bucket = Bucket::new(repository, shared, repository.region.as_deref());
    if let Some(region) = bucket.is_there(budget).await? {
        bucket = Bucket::new(repository, shared, Some(&region));
    }
    let default = bucket.default(budget).await;
    let refuses_plain = bucket.policy(budget).await;
    let sample = survey::survey(&bucket, &repository.base_path, budget, draw).await?;
    let seals = sample.objects.iter().filter_map(|object| object.seal.known());
    let named = super::named_keys(seals.chain(default.known()));
    let keys = keys::describe(&named, shared, budget).await;
    Ok(Facts {
        provider: bucket.witness.provider(),
        default,
        refuses_plain,
        keys,
        sample,
        requests: budget.used(),
    })
}

/// What all clients of one identity share. Without credentials nothing is asked.
pub(super) async fn credentials(profile: Option<&str>, http: &Http) -> Result<SdkConfig, Failure> {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(http::CONNECT)
        .operation_attempt_timeout(http::ANSWER)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http.aws().map_err(Failure::Other)?)
        .timeout_config(timeouts)
        // Once more, with a pause that grows: a store that is busy is given up.
        .retry_config(RetryConfig::standard().with_max_attempts(2));
    if let Some(profile) = profile {
        loader = loader.profile_name(profile);
    }
    let shared = loader.load().await;
    let detail = match shared.credentials_provider() {
        Some(provider) => match provider.provide_credentials().await {
            Ok(_) => return Ok(shared),
            Err(error) => aws_sdk_s3::error::DisplayErrorContext(error).to_string(),
        },
        None => "no source of credentials is configured".to_owned(),
    };
    tracing::debug!("credentials for Amazon: {detail}");
    Err(Failure::NoCredentials {
        detail: "the agent has no credentials for Amazon".to_owned(),
        remedy: "give the agent an identity of its own that may read: a role of the instance, or a profile in its \
                 service's AWS_CONFIG_FILE; it needs s3:ListBucket, s3:GetObject, s3:GetEncryptionConfiguration, \
                 s3:GetBucketPolicy and kms:DescribeKey"
            .to_owned(),
    })
}

/// One bucket, and who answers for it.
struct Bucket<'a> {
    repository: &'a S3,
    client: Client,
    witness: Arc<Witness>,
}

impl<'a> Bucket<'a> {
    fn new(repository: &'a S3, shared: &SdkConfig, region: Option<&str>) -> Self {
        let witness = Arc::new(Witness::default());
        let mut config = aws_sdk_s3::config::Builder::from(shared);
        if let Some(region) = region {
            config = config.region(Region::new(region.to_owned()));
        } else if shared.region().is_none() {
            // A bucket elsewhere says where it is.
            config = config.region(Region::from_static("us-east-1"));
        }
        if let Some(endpoint) = &repository.endpoint {
            config = config.endpoint_url(endpoint);
        }
        let is_amazons = repository.endpoint.is_none() && shared.endpoint_url().is_none();
        // Names of buckets that are no names of hosts, and stores that know no such names.
        let is_path = repository.path_style || !is_amazons || repository.bucket.contains('.');
        let config =
            config.force_path_style(is_path).interceptor(witness::Note(Arc::clone(&witness)));
        Self { repository, client: Client::from_conf(config.build()), witness }
    }

    /// Whether it answers; `Ok` with a region when it is in another.
    async fn is_there(&self, budget: &Budget) -> Result<Option<String>, Failure> {
        budget.pay().map_err(Failure::Unreachable)?;
        let request = self.client.head_bucket().bucket(&self.repository.bucket);
        let answer = budget
            .within(async {
                Ok(Box::pin(request.send())
                    .await
                    .map_err(|error| errors::classify(&error, "s3:ListBucket")))
            })
            .await?;
        match answer {
            Ok(_) => Ok(None),
            // Other requests may be allowed.
            Err(Failure::Refused { .. }) => Ok(self.witness.other_region()),
            Err(Failure::Gone(_)) => {
                Err(Failure::Gone(format!("there is no bucket {}", self.repository.bucket)))
            }
            Err(failure) => self.witness.other_region().map(Some).ok_or(failure),
        }
    }

    async fn default(&self, budget: &Budget) -> Observed<Seal> {
        let request = self.client.get_bucket_encryption().bucket(&self.repository.bucket);
        let answer = paid(budget, async {
            Box::pin(request.send())
                .await
                .map_err(|error| errors::classify_coded(&error, "s3:GetEncryptionConfiguration"))
        })
        .await;
        match answer {
            Ok(answer) => {
                let rules = answer.server_side_encryption_configuration.map(|found| found.rules);
                let rule = rules.into_iter().flatten().next();
                let applied = rule.and_then(|rule| rule.apply_server_side_encryption_by_default);
                applied.map_or(Observed::Absent, |applied| {
                    Observed::Known(seal(&applied.sse_algorithm, applied.kms_master_key_id))
                })
            }
            Err((_, Some(code))) if code == "ServerSideEncryptionConfigurationNotFoundError" => {
                Observed::Absent
            }
            Err((failure, _)) => failure.observed(),
        }
    }

    async fn policy(&self, budget: &Budget) -> Observed<Refusal> {
        let request = self.client.get_bucket_policy().bucket(&self.repository.bucket);
        let answer = paid(budget, async {
            Box::pin(request.send())
                .await
                .map_err(|error| errors::classify_coded(&error, "s3:GetBucketPolicy"))
        })
        .await;
        match answer {
            Ok(answer) => {
                let text = answer.policy.unwrap_or_default();
                bucket_policy::refusal(&text, &self.repository.bucket)
                    .map_or(Observed::Absent, Observed::Known)
            }
            Err((_, Some(code))) if code == "NoSuchBucketPolicy" => Observed::Absent,
            Err((failure, _)) => failure.observed(),
        }
    }
}

/// One request of the budget, with the code of the error if it has one.
async fn paid<T>(
    budget: &Budget,
    request: impl Future<Output = Result<T, (Failure, Option<String>)>>,
) -> Result<T, (Failure, Option<String>)> {
    budget.pay().map_err(|used_up| (Failure::Other(used_up), None))?;
    budget.within(async { Ok(request.await) }).await.unwrap_or_else(|failure| Err((failure, None)))
}

/// An algorithm and the key that it is named with.
fn seal(algorithm: &ServerSideEncryption, key: Option<String>) -> Seal {
    // Without a name: S3's own, or the one that the key service keeps for S3, `aws/s3`.
    let key = key.filter(|key| !key.is_empty()).map_or(SealKey::Provider, SealKey::Named);
    Seal { algorithm: algorithm.as_str().to_owned(), key }
}

impl Store for Bucket<'_> {
    async fn list(&self, prefix: &str, is_flat: bool, from: Option<&str>) -> Result<Page, Failure> {
        let request = self
            .client
            .list_objects_v2()
            .bucket(&self.repository.bucket)
            .prefix(prefix)
            .set_delimiter((!is_flat).then(|| "/".to_owned()))
            .set_continuation_token(from.map(str::to_owned))
            .set_expected_bucket_owner(self.repository.expected_owner.clone());
        let answer = Box::pin(request.send())
            .await
            .map_err(|error| errors::classify(&error, "s3:ListBucket"))?;
        let objects = answer.contents.unwrap_or_default().into_iter().filter_map(|object| {
            let written_at =
                object.last_modified.and_then(|at| Timestamp::from_second(at.secs()).ok());
            Some(Listed { name: object.key?, written_at, seal: None })
        });
        let directories = answer.common_prefixes.unwrap_or_default();
        Ok(Page {
            objects: objects.collect(),
            directories: directories.into_iter().filter_map(|common| common.prefix).collect(),
            next: answer.next_continuation_token.filter(|_| answer.is_truncated == Some(true)),
            cut: None,
        })
    }

    async fn seal(&self, name: &str) -> Result<Option<Seal>, Failure> {
        let request = self
            .client
            .head_object()
            .bucket(&self.repository.bucket)
            .key(name)
            .set_expected_bucket_owner(self.repository.expected_owner.clone());
        let answer = Box::pin(request.send())
            .await
            .map_err(|error| errors::classify(&error, "s3:GetObject"))?;
        if let Some(algorithm) = answer.sse_customer_algorithm {
            return Ok(Some(Seal { algorithm, key: SealKey::Supplied }));
        }
        Ok(answer.server_side_encryption.map(|algorithm| seal(&algorithm, answer.ssekms_key_id)))
    }
}

#[cfg(test)]
mod tests;
