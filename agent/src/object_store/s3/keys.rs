//! Whose a key of Amazon's key service is, and whether it works.

use std::collections::{BTreeMap, BTreeSet};

use aws_config::SdkConfig;
use aws_sdk_kms::Client;
use aws_sdk_kms::config::Region;
use aws_sdk_kms::types::KeyManagerType;

use super::errors;
use crate::object_store::budget::Budget;
use crate::object_store::store::Failure;
use crate::repository::facts::{KeyFacts, KeyManager};
use crate::snapshot::Observed;

/// More keys than this are not asked about.
const MOST: usize = 8;

/// Describes every key that is named by an ARN; what others name is no key of this service.
pub(super) async fn describe(
    names: &BTreeSet<String>,
    shared: &SdkConfig,
    budget: &Budget,
) -> BTreeMap<String, Observed<KeyFacts>> {
    let mut keys = BTreeMap::new();
    for name in names.iter().take(MOST) {
        if let Some(region) = region(name) {
            let config =
                aws_sdk_kms::config::Builder::from(shared).region(Region::new(region.to_owned()));
            let client = Client::from_conf(config.build());
            let described = match budget.pay() {
                Ok(()) => budget.within(one(&client, name)).await,
                Err(used_up) => Err(Failure::Other(used_up)),
            };
            keys.insert(
                name.clone(),
                match described {
                    Ok(facts) => Observed::Known(facts),
                    Err(Failure::Gone(_)) => Observed::Absent,
                    Err(failure) => failure.observed(),
                },
            );
        }
    }
    keys
}

/// `arn:PARTITION:kms:REGION:ACCOUNT:key/ID`.
fn region(name: &str) -> Option<&str> {
    let mut parts = name.split(':');
    let (arn, _, service) = (parts.next()?, parts.next()?, parts.next()?);
    let (region, account) = (parts.next()?, parts.next()?);
    let is_whole = arn == "arn" && service == "kms" && !region.is_empty() && !account.is_empty();
    is_whole.then_some(region)
}

async fn one(client: &Client, name: &str) -> Result<KeyFacts, Failure> {
    let answer = Box::pin(client.describe_key().key_id(name).send()).await.map_err(|error| {
        match errors::classify_coded(&error, "kms:DescribeKey") {
            (failure, Some(code)) if code == "NotFoundException" => {
                Failure::Gone(failure.to_string())
            }
            (failure, _) => failure,
        }
    })?;
    let missing = || Failure::Other("the key service said nothing of the key".to_owned());
    let key = answer.key_metadata.ok_or_else(missing)?;
    let manager = match &key.key_manager {
        Some(KeyManagerType::Customer) => KeyManager::Customer,
        Some(_) => KeyManager::Provider,
        None => return Err(missing()),
    };
    Ok(KeyFacts {
        manager,
        owner: key.aws_account_id,
        state: key.key_state.ok_or_else(missing)?.as_str().to_owned(),
        rotates: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_key_service_are_asked_about() {
        for (name, expected) in [
            ("arn:aws:kms:eu-central-1:111122223333:key/k", Some("eu-central-1")),
            ("arn:aws-cn:kms:cn-north-1:1:alias/x", Some("cn-north-1")),
            // As MinIO names its keys.
            ("arn:aws:kms:my-key", None),
            ("my-key", None),
            ("arn:aws:kms::1:key/k", None),
            ("", None),
        ] {
            assert_eq!(region(name), expected, "{name}");
        }
    }
}
