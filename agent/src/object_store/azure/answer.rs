//! What Azure answers: listings of blobs in XML, and JSON of its resource manager and of an instance's identity. Pure.
//!
//! Shapes are those of "List Blobs", Blob service REST API, of `StorageAccount` and `EncryptionScope`, Storage resource
//! provider REST API, and of "Get a token using HTTP", managed identities.

use jiff::fmt::rfc2822::DateTimeParser;
use serde::Deserialize;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::object_store::store::Page;
use crate::object_store::xml::{self, Event};
use crate::repository::facts::{KeyFacts, KeyManager, Seal, SealKey};
use crate::repository::sample::Listed;
use crate::snapshot::{Observed, Trouble};
use atrest_proto::model::Reason;

/// As every answer of Azure's names it: "Azure Storage encryption for data at rest".
const ALGORITHM: &str = "AES256";
/// What a scope is called that is none: the account's own key.
const NO_SCOPE: &str = "$account-encryption-key";

/// Why an answer is of no use. Never quotes it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Error {
    #[error("not text")]
    Text,
    #[error(transparent)]
    Xml(#[from] xml::Error),
    #[error("XML that is no listing of blobs")]
    Listing,
    #[error("not the JSON that Azure answers with: line {line}, column {column}")]
    Json { line: usize, column: usize },
    #[error("a source of keys that is not known")]
    Source,
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Json { line: error.line(), column: error.column() }
    }
}

/// What is said of one blob.
#[derive(Default)]
struct Blob {
    name: String,
    written: String,
    encrypted: String,
    scope: String,
    key_hash: String,
}

/// A page of a listing, with what it says of each blob. `account` names whose key it is where no scope is named.
pub(crate) fn page(body: &[u8], account: &str) -> Result<Page, Error> {
    let text = std::str::from_utf8(body).map_err(|_| Error::Text)?;
    let (mut page, mut blob, mut prefix) = (Page::default(), Blob::default(), String::new());
    let (mut next, mut is_listing, mut is_nameless) = (String::new(), false, false);
    xml::read(text, &mut |open, event| match (open, event) {
        ([], Event::Open(name)) => is_listing = name == "EnumerationResults",
        (["EnumerationResults", "Blobs"], Event::Open(_)) => {
            blob = Blob::default();
            prefix.clear();
        }
        (["EnumerationResults", "Blobs", "Blob", "Name"], Event::Text(text)) => {
            blob.name.push_str(&text);
        }
        (["EnumerationResults", "Blobs", "Blob", "Properties", field], Event::Text(text)) => {
            let field = match *field {
                "Last-Modified" => &mut blob.written,
                "ServerEncrypted" => &mut blob.encrypted,
                "EncryptionScope" => &mut blob.scope,
                "CustomerProvidedKeySha256" => &mut blob.key_hash,
                _ => return,
            };
            field.push_str(&text);
        }
        (["EnumerationResults", "Blobs", "BlobPrefix", "Name"], Event::Text(text)) => {
            prefix.push_str(&text);
        }
        (["EnumerationResults", "Blobs"], Event::Close("Blob")) => {
            is_nameless |= blob.name.is_empty();
            page.objects.push(listed(std::mem::take(&mut blob), account));
        }
        (["EnumerationResults", "Blobs"], Event::Close("BlobPrefix")) => {
            is_nameless |= prefix.is_empty();
            page.directories.push(std::mem::take(&mut prefix));
        }
        (["EnumerationResults", "NextMarker"], Event::Text(text)) => next.push_str(&text),
        _ => {}
    })?;
    if !is_listing || is_nameless {
        return Err(Error::Listing);
    }
    page.next = Some(next).filter(|next| !next.is_empty());
    Ok(page)
}

fn listed(blob: Blob, account: &str) -> Listed {
    let seal = match blob.encrypted.as_str() {
        "true" if !blob.key_hash.is_empty() => {
            Observed::Known(Seal { algorithm: ALGORITHM.to_owned(), key: SealKey::Supplied })
        }
        "true" => Observed::Known(seal(&blob.scope, account)),
        "false" => Observed::Absent,
        _ => Observed::Unreadable(Trouble::new(
            Reason::Unreadable,
            "the listing does not say whether it is encrypted",
        )),
    };
    // As in RFC 1123, of which RFC 2822 is a larger form.
    let written_at = DateTimeParser::new().parse_timestamp(blob.written.trim()).ok();
    Listed { name: blob.name, written_at, seal: Some(seal) }
}

/// The key of a scope, or the account's.
pub(crate) fn seal(scope: &str, account: &str) -> Seal {
    let name =
        if ["", NO_SCOPE].contains(&scope) { account_key(account) } else { scope_key(scope) };
    Seal { algorithm: ALGORITHM.to_owned(), key: SealKey::Named(name) }
}

/// What the key of an account is called here.
pub(crate) fn account_key(account: &str) -> String {
    format!("key of account {account}")
}

fn scope_key(scope: &str) -> String {
    format!("encryption scope {scope}")
}

/// The scope that a key's name here stands for.
pub(crate) fn scope_of(key: &str) -> Option<&str> {
    // "Encryption scopes - Put": 3 to 63 lower-case letters, digits and dashes.
    let is_its = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let scope = key.strip_prefix("encryption scope ")?;
    ((3..=63).contains(&scope.len()) && scope.bytes().all(is_its)).then_some(scope)
}

#[derive(Deserialize)]
struct Resource<T> {
    properties: T,
}

#[derive(Deserialize)]
struct Account {
    encryption: AccountEncryption,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccountEncryption {
    key_source: String,
    // So it is spelt there.
    #[serde(rename = "keyvaultproperties")]
    vault: Option<AccountVault>,
}

#[derive(Deserialize)]
struct AccountVault {
    #[serde(rename = "keyvaulturi")]
    uri: Option<String>,
    #[serde(rename = "keyname")]
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Scope {
    source: String,
    state: String,
    key_vault_properties: Option<ScopeVault>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScopeVault {
    key_uri: Option<String>,
}

/// Whose the key of an account is, as its resource says.
pub(crate) fn account(body: &[u8]) -> Result<KeyFacts, Error> {
    let resource: Resource<Account> = serde_json::from_slice(body)?;
    let found = resource.properties.encryption;
    let owner = found.vault.and_then(|vault| {
        Some(format!("{}/keys/{}", vault.uri?.trim_end_matches('/'), vault.name?))
    });
    // Whether a key in a vault works, the account does not say.
    Ok(KeyFacts {
        manager: manager(&found.key_source)?,
        owner,
        state: String::new(),
        rotates: None,
    })
}

/// The same of a scope.
pub(crate) fn scope(body: &[u8]) -> Result<KeyFacts, Error> {
    let Resource { properties: found } = serde_json::from_slice::<Resource<Scope>>(body)?;
    Ok(KeyFacts {
        manager: manager(&found.source)?,
        owner: found.key_vault_properties.and_then(|vault| vault.key_uri),
        state: found.state,
        rotates: None,
    })
}

/// `KeySource` and `EncryptionScopeSource`, of which the first letters differ.
fn manager(source: &str) -> Result<KeyManager, Error> {
    match source.to_ascii_lowercase().as_str() {
        "microsoft.keyvault" => Ok(KeyManager::Customer),
        "microsoft.storage" => Ok(KeyManager::Provider),
        _ => Err(Error::Source),
    }
}

#[derive(Deserialize)]
struct Token {
    access_token: Zeroizing<String>,
}

/// The token that an instance's own service answers with.
pub(crate) fn token(body: &[u8]) -> Result<Zeroizing<String>, Error> {
    let token: Token = serde_json::from_slice(body)?;
    Ok(token.access_token)
}

#[derive(Deserialize)]
struct Refusal {
    error: Detail,
}

#[derive(Deserialize)]
struct Detail {
    code: String,
}

/// Why the resource manager refuses.
pub(crate) fn says(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<Refusal>(body).ok().map(|refusal| refusal.error.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A listing around these elements.
    pub(super) fn listing(blobs: &str, next: &str) -> String {
        format!(
            "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults \
             ServiceEndpoint=\"https://acme.blob.core.windows.net/\" ContainerName=\"es\"><Prefix>p/</Prefix>\
             <Blobs>{blobs}</Blobs><NextMarker>{next}</NextMarker></EnumerationResults>"
        )
    }

    fn blob(name: &str, properties: &str) -> String {
        format!(
            "<Blob><Name>{name}</Name><Properties><Last-Modified>Wed, 09 Sep 2009 09:20:02 GMT</Last-Modified>\
             <Content-Length>1</Content-Length>{properties}</Properties><Metadata><ServerEncrypted>x</ServerEncrypted>\
             </Metadata></Blob>"
        )
    }

    #[test]
    fn a_listing_tells_of_every_blob() {
        let yes = "<ServerEncrypted>true</ServerEncrypted>";
        let blobs = [
            blob("p/a&amp;b", yes),
            blob("p/c", &format!("{yes}<EncryptionScope>mine</EncryptionScope>")),
            blob(
                "p/d",
                &format!("{yes}<EncryptionScope>$account-encryption-key</EncryptionScope>"),
            ),
            blob("p/e", &format!("{yes}<CustomerProvidedKeySha256>x=</CustomerProvidedKeySha256>")),
            blob("p/f", "<ServerEncrypted>false</ServerEncrypted>"),
            blob("p/g", ""),
            "<BlobPrefix><Name>p/indices/</Name></BlobPrefix>".to_owned(),
        ];
        let found = page(listing(&blobs.concat(), "2!x").as_bytes(), "acme").unwrap();
        let shown: Vec<String> = found
            .objects
            .iter()
            .map(|object| {
                let seal = match object.seal.as_ref().unwrap() {
                    Observed::Known(Seal { key: SealKey::Named(name), .. }) => name.clone(),
                    Observed::Known(Seal { key, .. }) => format!("{key:?}"),
                    Observed::Absent => "plain".to_owned(),
                    Observed::Unreadable(_) => "?".to_owned(),
                };
                format!("{}: {seal}", object.name)
            })
            .collect();
        let expected = [
            "p/a&b: key of account acme",
            "p/c: encryption scope mine",
            "p/d: key of account acme",
            "p/e: Supplied",
            "p/f: plain",
            "p/g: ?",
        ];
        assert_eq!(shown, expected);
        assert_eq!(found.directories, ["p/indices/"]);
        assert_eq!(found.next.as_deref(), Some("2!x"));
        assert_eq!(found.objects[0].written_at, Some("2009-09-09T09:20:02Z".parse().unwrap()));
        assert_eq!(page(listing("", "").as_bytes(), "acme"), Ok(Page::default()));
    }

    #[test]
    fn what_is_no_listing_is_no_empty_container() {
        let whole = listing(&blob("p/a", ""), "");
        let cut = whole.strip_suffix("</EnumerationResults>").unwrap();
        for text in ["", "<html/>", "<Error><Code>x</Code></Error>", "{}", cut] {
            assert!(page(text.as_bytes(), "acme").is_err(), "{text}");
        }
        assert_eq!(page(listing("<Blob/>", "").as_bytes(), "acme"), Err(Error::Listing));
        assert_eq!(page(b"<a>\xff</a>", "acme"), Err(Error::Text));
    }

    #[test]
    fn the_resource_says_whose_the_key_is() {
        let vault = r#"{"properties":{"encryption":{"keySource":"Microsoft.Keyvault","keyvaultproperties":{
            "keyvaulturi":"https://v.vault.azure.net/","keyname":"k"}}}}"#;
        let found = account(vault.as_bytes()).unwrap();
        assert_eq!(found.manager, KeyManager::Customer);
        assert_eq!(found.owner.as_deref(), Some("https://v.vault.azure.net/keys/k"));
        let own =
            r#"{"properties":{"encryption":{"keySource":"Microsoft.Storage","services":{}}}}"#;
        assert_eq!(account(own.as_bytes()).unwrap().manager, KeyManager::Provider);
        let other = own.replace("Microsoft.Storage", "Contoso");
        assert_eq!(account(other.as_bytes()), Err(Error::Source));
        assert!(account(b"{}").is_err());
        let text = r#"{"name":"mine","properties":{"source":"Microsoft.KeyVault","state":"Disabled","keyVaultProperties":{
            "keyUri":"https://v.vault.azure.net/keys/k"}}}"#;
        let found = scope(text.as_bytes()).unwrap();
        assert_eq!((found.manager, found.state.as_str()), (KeyManager::Customer, "Disabled"));
        assert!(scope(own.as_bytes()).is_err());
    }

    #[test]
    fn a_scope_has_its_name_back() {
        let name = |scope| {
            let SealKey::Named(name) = seal(scope, "acme").key else { panic!("{scope}") };
            name
        };
        assert_eq!(scope_of(&name("mine-1")), Some("mine-1"));
        for other in ["", NO_SCOPE, "a", "a/../b", "a?b=c"] {
            assert_eq!(scope_of(&name(other)), None, "{other}");
        }
    }

    #[test]
    fn refusals_and_tokens_are_read() {
        let text = r#"{"error":{"code":"AuthorizationFailed","message":"hunter2"}}"#;
        assert_eq!(says(text.as_bytes()).as_deref(), Some("AuthorizationFailed"));
        assert_eq!(token(br#"{"access_token":"t","expires_in":"1"}"#).unwrap().as_str(), "t");
    }
}
