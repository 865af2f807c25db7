//! What the agent asks Azure with: a shared access signature from a file, or the identity of the machine that it runs on.

use std::path::Path;

use reqwest::StatusCode;
use reqwest::Url;
use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

use super::{answer, sas};
use crate::object_store::budget::Budget;
use crate::object_store::store::Failure;
use crate::object_store::words::brief;
use crate::object_store::{files, http, rest};

/// "Azure Instance Metadata Service": by its address, which nobody else can have a name lead to.
const METADATA: &str = "http://169.254.169.254/metadata/identity/oauth2/token";
/// What a token is for. The first is the same in all clouds: "Authorize access to blobs using Microsoft Entra ID".
pub(super) const BLOBS: &str = "https://storage.azure.com/";

const REMEDY: &str = "give the agent a shared access signature of its own that may read and list (sp=rl) in azure_sas_file, or \
                      the machine's managed identity the role Storage Blob Data Reader on the container";

/// What is shown to the blob service.
pub(super) enum Shown {
    Signature(Zeroizing<String>),
    Token(HeaderValue),
    Nothing,
}

/// The credentials for the blob service.
pub(super) async fn for_blobs(file: Option<&str>, budget: &Budget) -> Result<Shown, Failure> {
    if let Some(file) = file {
        return signature(Path::new(file)).map(Shown::Signature);
    }
    let token = of_machine(METADATA, BLOBS, budget).await?;
    Ok(token.map_or(Shown::Nothing, Shown::Token))
}

/// The `Authorization` for the resource manager.
pub(super) async fn for_manager(
    manager: &str,
    budget: &Budget,
) -> Result<Option<HeaderValue>, Failure> {
    of_machine(METADATA, manager, budget).await
}

/// The failure in place of one for which the agent would need credentials that it has not.
pub(super) fn lacking() -> Failure {
    refused("the agent has no credentials for Azure Blob Storage".to_owned())
}

fn refused(detail: String) -> Failure {
    Failure::NoCredentials { detail, remedy: REMEDY.to_owned() }
}

fn signature(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let failed = |why: &dyn std::fmt::Display| {
        refused(format!("azure_sas_file {}: {why}", brief(&path.display().to_string())))
    };
    let text = files::secret(path).map_err(|error| failed(&error))?;
    sas::parse(&text).map_err(|error| failed(&error))
}

/// A token of the machine's managed identity; `None` where no such machine is, or it has none.
async fn of_machine(
    service: &str,
    resource: &str,
    budget: &Budget,
) -> Result<Option<HeaderValue>, Failure> {
    let Ok(mut url) = service.parse::<Url>() else { return Ok(None) };
    url.query_pairs_mut()
        .append_pair("api-version", "2018-02-01")
        .append_pair("resource", resource);
    let client = http::metadata_client().map_err(Failure::Other)?;
    budget.pay().map_err(Failure::Unreachable)?;
    let request = client.get(url).header("metadata", "true");
    // Whoever else has that address says something else, or nothing.
    let Ok((status, _, body)) = budget.within(rest::receive(request)).await else {
        return Ok(None);
    };
    let body = Zeroizing::new(body);
    let token = answer::token(&body).ok().filter(|_| status == StatusCode::OK);
    Ok(token.and_then(|token| rest::bearer(&token)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::object_store::stand_in::{self, Asked, Reply, StandIn};

    #[test]
    fn a_machine_is_asked_as_its_service_wants_it() {
        let of = |reply: Reply| {
            let store = StandIn::new(move |asked: &Asked| {
                assert_eq!(asked.header("metadata"), Some("true"));
                assert_eq!(asked.parameter("resource"), Some("https%3A%2F%2Fstorage.azure.com%2F"));
                reply.clone()
            });
            let token = stand_in::look(Duration::from_mins(1), async |_, budget| {
                of_machine(store.url.as_str(), BLOBS, budget).await
            });
            token.unwrap().map(|value| value.to_str().unwrap().to_owned())
        };
        let body = r#"{"access_token":"t","token_type":"Bearer"}"#;
        assert_eq!(of(Reply::new(200, body)).as_deref(), Some("Bearer t"));
        // No identity is assigned.
        assert_eq!(of(Reply::new(400, body)), None);
        assert_eq!(of(Reply::new(200, "<html>")), None);
    }

    #[test]
    fn a_file_that_holds_no_signature_is_said_and_not_quoted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hunter2\n").unwrap();
        let failure = signature(file.path()).unwrap_err();
        let shown = format!("{failure} {}", failure.remedy());
        assert!(shown.contains("azure_sas_file") && !shown.contains("hunter2"), "{shown}");
        std::fs::write(file.path(), "?sp=rl&sig=x\n").unwrap();
        assert_eq!(signature(file.path()).unwrap().as_str(), "sp=rl&sig=x");
        assert!(signature(Path::new("/nonexistent")).is_err());
    }
}
