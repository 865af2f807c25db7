//! What the agent asks Cloud Storage with: a token, for credentials of its own, from Google or from the instance it runs on.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{StatusCode, Url};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;
use zeroize::{Zeroize as _, Zeroizing};

use super::answer;
use super::credentials::{self, Credentials, Named, ServiceAccount, User};
use crate::object_store::budget::Budget;
use crate::object_store::http::{self, Http};
use crate::object_store::store::Failure;
use crate::object_store::words::brief;
use crate::object_store::{files, form, rest};

/// Google's token service, whatever a file names.
const SERVICE: &str = "https://oauth2.googleapis.com/token";
/// "About VM metadata", Google Cloud: by its address, which nobody else can have a name lead to.
const METADATA: &str =
    "http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/token";
/// Says, of a question and of an answer, that it is meant.
const FLAVOR: &str = "metadata-flavor";
/// Reads, and nothing else: "OAuth 2.0 scopes", Cloud Storage.
const SCOPE: &str = "https://www.googleapis.com/auth/devstorage.read_only";
/// Seconds for which a statement is good. The longest that Google accepts is an hour.
const LIFE: i64 = 300;

const REMEDY: &str = "give the agent a service account of its own with storage.buckets.get and storage.objects.list on the \
                      bucket: in gcs_credentials_file, or as that of the instance";

/// The `Authorization` to ask with; `None` where there are no credentials at all.
pub(super) async fn authorization(
    setting: Option<&str>,
    way: &Http,
    budget: &Budget,
    now: Timestamp,
) -> Result<Option<HeaderValue>, Failure> {
    let named = credentials::named(setting, &|name| std::env::var_os(name));
    let services = Services { token: SERVICE, metadata: METADATA };
    let client = way.client().map_err(Failure::Other)?;
    let is_bearer = |token: Zeroizing<String>| rest::bearer(&token).ok_or_else(unusable);
    match named.map(|named| read(&named)).transpose()?.flatten() {
        Some(found) => {
            let asked = services.exchange(&found, &client, budget, now).await?;
            is_bearer(asked).map(Some)
        }
        None => services.of_instance(budget).await?.map(is_bearer).transpose(),
    }
}

/// The failure in place of one for which the agent would need credentials that it has not.
pub(super) fn lacking() -> Failure {
    Failure::NoCredentials {
        detail: "the agent has no credentials for Google Cloud Storage".to_owned(),
        remedy: REMEDY.to_owned(),
    }
}

fn refused(detail: String) -> Failure {
    Failure::NoCredentials { detail, remedy: REMEDY.to_owned() }
}

fn unusable() -> Failure {
    refused("the token that Google gave cannot be sent".to_owned())
}

/// What a file holds; `None` when it is not there and nobody said that it is.
fn read(named: &Named) -> Result<Option<Credentials>, Failure> {
    let failed = |why: &dyn std::fmt::Display| {
        refused(format!("the file of credentials {}: {why}", shown(&named.path)))
    };
    match files::secret(&named.path) {
        Ok(text) => credentials::parse(&text).map(Some).map_err(|error| failed(&error)),
        Err(_) if !named.is_demanded => Ok(None),
        Err(error) => Err(failed(&error)),
    }
}

fn shown(path: &Path) -> String {
    brief(&path.display().to_string())
}

/// Where tokens come from.
struct Services<'a> {
    token: &'a str,
    metadata: &'a str,
}

impl Services<'_> {
    /// A token for credentials. RFC 7523, 2.1, and RFC 6749, 6.
    async fn exchange(
        &self,
        credentials: &Credentials,
        client: &reqwest::Client,
        budget: &Budget,
        now: Timestamp,
    ) -> Result<Zeroizing<String>, Failure> {
        let body = match credentials {
            Credentials::ServiceAccount(account) => {
                let statement = statement(account, now).map_err(|why| refused(why.to_owned()))?;
                form::body(&[
                    ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                    ("assertion", &statement),
                ])
            }
            Credentials::AuthorizedUser(User {
                client_id, client_secret, refresh_token, ..
            }) => form::body(&[
                ("grant_type", "refresh_token"),
                ("client_id", client_id),
                ("client_secret", client_secret),
                ("refresh_token", refresh_token),
            ]),
            Credentials::Other => return Err(lacking()),
        };
        let url: Url = self.token.parse().map_err(|_| lacking())?;
        let request = client
            .post(url)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Bytes::from_owner(body));
        budget.pay().map_err(Failure::Unreachable)?;
        let (status, _, answer) = budget.within(rest::receive(request)).await?;
        let answer = Zeroizing::new(answer);
        if status == StatusCode::OK {
            return answer::token(&answer).map_err(|error| Failure::Other(error.to_string()));
        }
        let said = answer::says(&answer).map(|said| brief(&said)).unwrap_or_default();
        match status.as_u16() {
            // An account that is gone or disabled, a key that was withdrawn, a clock that is wrong.
            400 | 401 | 403 => Err(refused(format!(
                "Google's token service refuses the agent's credentials: {status} {said}"
            ))),
            _ => Err(Failure::Unreachable(format!("Google's token service: {status} {said}"))),
        }
    }

    /// A token of the instance's own account; `None` where no such instance is, or it has no account.
    async fn of_instance(&self, budget: &Budget) -> Result<Option<Zeroizing<String>>, Failure> {
        let Ok(mut url) = self.metadata.parse::<Url>() else { return Ok(None) };
        url.query_pairs_mut().append_pair("scopes", SCOPE);
        let client = http::metadata_client().map_err(Failure::Other)?;
        budget.pay().map_err(Failure::Unreachable)?;
        let request = client.get(url).header(FLAVOR, "Google");
        // Whoever else has that address says something else, or nothing.
        let Ok((status, headers, body)) = budget.within(rest::receive(request)).await else {
            return Ok(None);
        };
        let body = Zeroizing::new(body);
        let is_googles = headers.get(FLAVOR).is_some_and(|flavor| flavor == "Google");
        Ok((status == StatusCode::OK && is_googles).then(|| answer::token(&body).ok()).flatten())
    }
}

/// What a service account signs to get a token: "Using OAuth 2.0 for server to server applications", Google Identity.
fn statement(account: &ServiceAccount, now: Timestamp) -> Result<Zeroizing<String>, &'static str> {
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": account.private_key_id});
    let issued = now.as_second();
    let claims = json!({
        "iss": account.client_email, "scope": SCOPE, "aud": SERVICE, "iat": issued, "exp": issued.saturating_add(LIFE),
    });
    let encoded = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
    let said = format!(
        "{}.{}",
        encoded(header.to_string().as_bytes()),
        encoded(claims.to_string().as_bytes())
    );
    let key = key(&account.private_key).ok_or("the private key of the file is none of RSA")?;
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), said.as_bytes(), &mut signature)
        .map_err(|_| "the private key of the file does not sign")?;
    Ok(Zeroizing::new(format!("{said}.{}", encoded(&signature))))
}

fn key(pem: &str) -> Option<RsaKeyPair> {
    let mut der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).ok()?;
    let key = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).ok();
    der.zeroize();
    key
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::Duration;

    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use serde_json::Value;

    use super::*;
    use crate::object_store::stand_in::{self, Asked, Reply, StandIn};

    /// A key of no account: made for this test.
    const KEY: &str = include_str!("testdata/key.pem");

    fn account() -> Credentials {
        let file = json!({
            "type": "service_account", "client_email": "agent@p.iam.gserviceaccount.com", "private_key_id": "k1",
            "private_key": KEY, "token_uri": "https://evil.example/token",
        });
        credentials::parse(file.to_string().as_bytes()).unwrap()
    }

    fn user() -> Credentials {
        let file = json!({
            "type": "authorized_user", "client_id": "i", "client_secret": "s&s", "refresh_token": "r",
        });
        credentials::parse(file.to_string().as_bytes()).unwrap()
    }

    fn exchange(credentials: &Credentials, reply: Reply) -> (Result<String, Failure>, Vec<Asked>) {
        let store = StandIn::new(move |_| reply.clone());
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let found = stand_in::look(Duration::from_mins(1), async |http, budget| {
            let services = Services { token: store.url.as_str(), metadata: "" };
            services.exchange(credentials, &http.client().unwrap(), budget, now).await
        });
        (found.map(|token| token.to_string()), store.asked())
    }

    #[test]
    fn a_service_account_signs_for_what_it_reads_only() {
        let (found, asked) =
            exchange(&account(), Reply::new(200, r#"{"access_token":"t1","expires_in":3599}"#));
        assert_eq!(found, Ok("t1".to_owned()));
        let (grant, statement) = asked[0].body.split_once("&assertion=").unwrap();
        assert_eq!(grant, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer");
        let parts: Vec<&str> = statement.split('.').collect();
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
        let claims: Value = serde_json::from_slice(&decoded(parts[1])).unwrap();
        let expected = json!({
            "iss": "agent@p.iam.gserviceaccount.com", "scope": "https://www.googleapis.com/auth/devstorage.read_only",
            "aud": "https://oauth2.googleapis.com/token", "iat": 1_700_000_000, "exp": 1_700_000_300,
        });
        assert_eq!(claims, expected);
        let key = key(KEY).unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public());
        let (said, _) = statement.rsplit_once('.').unwrap();
        assert!(public.verify(said.as_bytes(), &decoded(parts[2])).is_ok());
    }

    #[test]
    fn a_user_shows_what_was_given_to_them() {
        let (found, asked) = exchange(&user(), Reply::new(200, r#"{"access_token":"t2"}"#));
        assert_eq!(found, Ok("t2".to_owned()));
        let expected = "grant_type=refresh_token&client_id=i&client_secret=s%26s&refresh_token=r";
        assert_eq!(asked[0].body, expected);
    }

    #[test]
    fn refused_credentials_are_said_and_nothing_of_them() {
        let body = r#"{"error":"invalid_grant","error_description":"hunter2"}"#;
        let (found, _) = exchange(&user(), Reply::new(400, body));
        let Err(Failure::NoCredentials { detail, remedy }) = found else { panic!("{found:?}") };
        assert!(detail.contains("invalid_grant") && !detail.contains("hunter2"), "{detail}");
        assert!(remedy.contains("storage.objects.list"));
        let (found, _) = exchange(&user(), Reply::new(503, ""));
        assert!(matches!(found, Err(Failure::Unreachable(_))), "{found:?}");
        let (found, _) =
            exchange(&user(), Reply::new(302, "").with("location", "http://127.0.0.1:1/"));
        assert!(matches!(found, Err(Failure::Unreachable(_))), "{found:?}");
        let (found, _) = exchange(&user(), Reply::new(200, "{}"));
        assert!(matches!(found, Err(Failure::Other(_))), "{found:?}");
    }

    #[test]
    fn an_instance_is_known_by_its_flavour() {
        let of = |reply: Reply| {
            let store = StandIn::new(move |asked: &Asked| {
                assert_eq!(asked.header(FLAVOR), Some("Google"));
                reply.clone()
            });
            stand_in::look(Duration::from_mins(1), async |_, budget| {
                let services = Services { token: "", metadata: store.url.as_str() };
                services.of_instance(budget).await
            })
            .unwrap()
            .map(|token| token.to_string())
        };
        let token = || Reply::new(200, r#"{"access_token":"t3"}"#);
        assert_eq!(of(token().with(FLAVOR, "Google")).as_deref(), Some("t3"));
        assert_eq!(of(token()), None);
        assert_eq!(of(Reply::new(404, "").with(FLAVOR, "Google")), None);
    }

    #[test]
    fn a_file_that_is_named_has_to_be_there() {
        let absent = |is_demanded| Named { path: "/nonexistent/x.json".into(), is_demanded };
        assert!(matches!(read(&absent(false)), Ok(None)));
        assert!(matches!(read(&absent(true)), Err(Failure::NoCredentials { .. })));
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(br#"{"private_key":"hunter2"}"#).unwrap();
        let Err(failure) = read(&Named { path: file.path().to_owned(), is_demanded: false }) else {
            panic!("a file without credentials");
        };
        assert!(!failure.to_string().contains("hunter2"), "{failure}");
    }
}
