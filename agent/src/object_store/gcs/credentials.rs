//! Files with credentials of Google's: where they are, and what they hold. Pure.
//!
//! "How Application Default Credentials works", Google Cloud. The token service that a file names does not count: only
//! Google's own is asked.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::Deserialize;
use thiserror::Error;
use zeroize::Zeroizing;

/// Google's own, where the other universes of its sovereign clouds are no part of it.
const UNIVERSE: &str = "googleapis.com";

/// A file that may hold credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) path: PathBuf,
    /// Somebody says that it is there.
    pub(super) is_demanded: bool,
}

/// Where credentials are, by the setting and the environment.
pub(super) fn named(
    setting: Option<&str>,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Option<Named> {
    const FILE: &str = "application_default_credentials.json";
    let variable = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) =
        setting.map(PathBuf::from).or_else(|| variable("GOOGLE_APPLICATION_CREDENTIALS"))
    {
        return Some(Named { path, is_demanded: true });
    }
    let directory =
        variable("CLOUDSDK_CONFIG").or_else(|| Some(variable("HOME")?.join(".config/gcloud")))?;
    Some(Named { path: directory.join(FILE), is_demanded: false })
}

/// What a file holds.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Credentials {
    ServiceAccount(ServiceAccount),
    /// What `gcloud auth application-default login` leaves.
    AuthorizedUser(User),
    #[serde(other)]
    Other,
}

/// An account that signs for itself.
#[derive(Deserialize)]
pub(crate) struct ServiceAccount {
    pub(super) client_email: String,
    pub(super) private_key_id: Option<String>,
    /// PKCS #8 in PEM.
    pub(super) private_key: Zeroizing<String>,
    universe_domain: Option<String>,
}

/// Somebody's account.
#[derive(Deserialize)]
pub(crate) struct User {
    pub(super) client_id: Zeroizing<String>,
    pub(super) client_secret: Zeroizing<String>,
    pub(super) refresh_token: Zeroizing<String>,
    universe_domain: Option<String>,
}

/// Why a file is of no use. Never quotes it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Error {
    #[error("not the JSON of credentials: line {line}, column {column}")]
    Shape { line: usize, column: usize },
    #[error("credentials of this type are not used: a service account's are, and those of a user")]
    Type,
    #[error("credentials of another universe than {UNIVERSE}")]
    Universe,
}

/// Reads a file.
pub(crate) fn parse(bytes: &[u8]) -> Result<Credentials, Error> {
    let found: Credentials = serde_json::from_slice(bytes)
        .map_err(|error| Error::Shape { line: error.line(), column: error.column() })?;
    let universe = match &found {
        Credentials::ServiceAccount(account) => account.universe_domain.as_deref(),
        Credentials::AuthorizedUser(user) => user.universe_domain.as_deref(),
        Credentials::Other => return Err(Error::Type),
    };
    if universe.is_some_and(|universe| universe != UNIVERSE) {
        return Err(Error::Universe);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_in_their_order() {
        let found = |setting, set: &[&str]| {
            named(setting, &|name| {
                set.contains(&name).then(|| OsString::from(format!("/{}", name.to_lowercase())))
            })
            .map(|named| format!("{} {}", named.path.display(), named.is_demanded))
        };
        let all = ["GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG", "HOME"];
        assert_eq!(found(Some("/k"), &all).as_deref(), Some("/k true"));
        assert_eq!(found(None, &all).as_deref(), Some("/google_application_credentials true"));
        let file = "application_default_credentials.json false";
        assert_eq!(found(None, &all[1..]), Some(format!("/cloudsdk_config/{file}")));
        assert_eq!(found(None, &all[2..]), Some(format!("/home/.config/gcloud/{file}")));
        assert_eq!(found(None, &[]), None);
    }

    #[test]
    fn kinds_are_told_apart_and_nothing_is_quoted() {
        let kind = |text: &str| match parse(text.as_bytes()) {
            Ok(Credentials::ServiceAccount(_)) => "account".to_owned(),
            Ok(Credentials::AuthorizedUser(_)) => "user".to_owned(),
            Ok(Credentials::Other) => "other".to_owned(),
            Err(error) => error.to_string(),
        };
        let account = r#"{"type":"service_account","client_email":"a@p","private_key":"k","token_uri":"https://evil.example"}"#;
        assert_eq!(kind(account), "account");
        let elsewhere = account.replace("token_uri", "universe_domain");
        assert!(kind(&elsewhere).contains("universe"));
        let user =
            r#"{"type":"authorized_user","client_id":"i","client_secret":"s","refresh_token":"r"}"#;
        assert_eq!(kind(user), "user");
        assert!(kind(r#"{"type":"external_account","audience":"hunter2"}"#).contains("this type"));
        let broken = kind(r#"{"type":"service_account","private_key":"hunter2"}"#);
        assert!(broken.starts_with("not the JSON") && !broken.contains("hunter2"), "{broken}");
    }
}
