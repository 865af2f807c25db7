//! What notifiers that speak HTTP share: the client, who the server says it is, and what to make of answers.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Body, Method, StatusCode, Url};
use zeroize::Zeroizing;

use super::open::{Unusable, authority, secret};
use super::redact::Secrets;
use super::{NotTaken, text};
use crate::config::{Auth, Http};
use crate::logging::chain;

/// More than any answer that is worth reading.
const MAX_ANSWER: usize = 4 << 20;
/// How long to leave a receiver alone that is told too much, and does not say.
const TOO_MUCH: Duration = Duration::from_secs(30);
/// What of an answer people are shown, in characters.
const EXCERPT: usize = 200;

/// A client for the receivers of one notifier.
#[derive(Debug)]
pub(super) struct Client {
    inner: reqwest::Client,
    authorization: Option<HeaderValue>,
    secrets: Secrets,
}

/// What a receiver said.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// The receiver's own clock.
    pub(super) date: Option<Timestamp>,
    pub(super) body: Vec<u8>,
    retry_after: Option<RetryAfter>,
}

/// How long to leave a receiver alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RetryAfter {
    For(Duration),
    Until(Timestamp),
}

impl Client {
    pub(super) fn open(http: &Http, timeout: Duration, urls: &[Url]) -> Result<Self, Unusable> {
        crate::tls::install_provider();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("atrest-server/", env!("CARGO_PKG_VERSION")))
            .timeout(timeout)
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            // A redirect would carry the message to somebody the operator did not name.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        if let Some(proxy) = &http.proxy {
            builder = builder.proxy(reqwest::Proxy::all(proxy.clone())?);
        }
        if let Some(file) = &http.ca_file {
            let pem = authority(file)?;
            let authorities = reqwest::Certificate::from_pem_bundle(pem.as_bytes())?;
            if authorities.is_empty() {
                return Err(Unusable::content(file, "it must hold certificates as PEM"));
            }
            builder = builder.tls_certs_only(authorities);
        } else if urls.iter().all(|url| url.scheme() == "http") {
            // No redirect is followed, so no certificate is ever looked at: a machine without any can serve too.
            builder = builder.tls_certs_only(std::iter::empty());
        }
        let inner = builder.build()?;
        Ok(Self { inner, authorization: None, secrets: Secrets::default() })
    }

    /// Says with every request who the server is.
    pub(super) fn authorize(mut self, auth: &Auth) -> Result<Self, Unusable> {
        let (file, value) = match auth {
            Auth::None => return Ok(self),
            Auth::Basic { username, password_file } => {
                let password = secret(password_file)?;
                let pair = Zeroizing::new(format!("{username}:{}", *password));
                let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
                self.hide(&password);
                (password_file, Zeroizing::new(format!("Basic {}", *encoded)))
            }
            Auth::Bearer { token_file } => {
                let token = secret(token_file)?;
                let value = Zeroizing::new(format!("Bearer {}", *token));
                self.hide(&token);
                (token_file, value)
            }
            Auth::ApiKey { file } => {
                let key = secret(file)?;
                // As Kibana shows it, which is encoded, or as `id:api_key`.
                let value = if key.contains(':') {
                    let encoded = Zeroizing::new(STANDARD.encode(key.as_bytes()));
                    Zeroizing::new(format!("ApiKey {}", *encoded))
                } else {
                    Zeroizing::new(format!("ApiKey {}", *key))
                };
                self.hide(&key);
                (file, value)
            }
        };
        let mut header = HeaderValue::from_str(&value)
            .map_err(|_| Unusable::content(file, "it holds what cannot stand in a header"))?;
        header.set_sensitive(true);
        // Also as it is sent, which whoever is asked may say back.
        if let Some((_, sent)) = value.split_once(' ') {
            self.hide(sent);
        }
        self.authorization = Some(header);
        Ok(self)
    }

    /// Keeps a secret out of what is told of answers.
    pub(super) fn hide(&mut self, secret: &str) {
        self.secrets.hide(secret);
    }

    /// Whoever knows the path of a URL can post to it, often enough.
    pub(super) fn hide_url(&mut self, url: &Url) {
        let parts = [url.path().trim_matches('/'), url.query().unwrap_or_default()];
        // What is shorter is a word, and no secret.
        parts.into_iter().filter(|part| part.len() > 7).for_each(|part| self.hide(part));
    }

    pub(super) async fn post(
        &self,
        url: Url,
        content_type: &'static str,
        headers: HeaderMap,
        body: impl Into<Body>,
    ) -> Result<Answer, NotTaken> {
        let mut request = self
            .inner
            .request(Method::POST, url)
            .headers(headers)
            .header(CONTENT_TYPE, content_type)
            .body(body);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        // URLs are secrets, often enough.
        let failed = |error: reqwest::Error| NotTaken::because(chain(&error.without_url()));
        let mut response = request.send().await.map_err(failed)?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let mut answer = Answer {
            status: response.status(),
            date: header(DATE).and_then(http_date),
            body: Vec::new(),
            retry_after: header(RETRY_AFTER).and_then(retry_after),
        };
        // What was taken is taken, even if the rest of the answer is lost: its reader says whether that matters.
        while let Ok(Some(chunk)) = response.chunk().await {
            if answer.body.len().saturating_add(chunk.len()) > MAX_ANSWER {
                break;
            }
            answer.body.extend_from_slice(&chunk);
        }
        Ok(answer)
    }

    /// Any 2xx is taken.
    pub(super) fn judge(&self, answer: &Answer, now: Timestamp) -> Result<(), NotTaken> {
        if answer.status.is_success() { Ok(()) } else { Err(self.refused(answer, now)) }
    }

    /// What was answered, in the receiver's own words as far as it has some.
    fn refused(&self, answer: &Answer, now: Timestamp) -> NotTaken {
        let mut why = format!("answered {}", answer.status);
        let said = self.excerpt(&String::from_utf8_lossy(&answer.body));
        if !said.is_empty() {
            why.push_str(": ");
            why.push_str(&said);
        }
        let refused = matches!(
            answer.status,
            StatusCode::BAD_REQUEST
                | StatusCode::PAYLOAD_TOO_LARGE
                | StatusCode::UNPROCESSABLE_ENTITY
        );
        // Who is told too much and does not say for how long.
        let too_much = (answer.status == StatusCode::TOO_MANY_REQUESTS).then_some(TOO_MUCH);
        NotTaken { why, retry_after: answer.wait(now).or(too_much), refused }
    }

    /// The beginning of what somebody said, in one line, without our secrets.
    pub(super) fn excerpt(&self, said: &str) -> String {
        let said = self.secrets.redact(said);
        // A page for browsers says nothing in its first line.
        if said.trim_start().starts_with('<') {
            return String::new();
        }
        text::short(&text::line(&said), EXCERPT)
    }
}

impl Answer {
    /// How long the receiver asked to be left alone.
    pub(super) fn wait(&self, now: Timestamp) -> Option<Duration> {
        match self.retry_after? {
            RetryAfter::For(wait) => Some(wait),
            // By the receiver's own clock, where it tells what time it is.
            RetryAfter::Until(until) => {
                let now = self.date.unwrap_or(now);
                Duration::try_from(until.duration_since(now)).ok()
            }
        }
    }
}

/// Seconds, or a date.
fn retry_after(value: &str) -> Option<RetryAfter> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(RetryAfter::For(Duration::from_secs(seconds)));
    }
    http_date(value).map(RetryAfter::Until)
}

/// As RFC 9110 has it: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(value: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value.trim()).ok()
}

/// `base` with `path` after what it has.
pub(super) fn join(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let whole = format!("{}/{path}", url.path().trim_end_matches('/'));
    url.set_path(&whole);
    url
}

/// How a receiver is called in errors, among others: its host and port, and nothing else of its URL.
pub(super) fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client(secret: &str) -> Client {
        let urls = ["http://localhost".parse().unwrap()];
        let mut client = Client::open(&Http::default(), Duration::from_secs(1), &urls).unwrap();
        client.hide(secret);
        client
    }

    fn answer(status: u16, body: &str, retry_after_value: Option<&str>) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            date: None,
            body: body.as_bytes().to_vec(),
            retry_after: retry_after_value.and_then(retry_after),
        }
    }

    #[test]
    fn what_is_not_2xx_is_told_in_the_receivers_words_without_secrets() {
        let client = client("hunter2");
        let now = Timestamp::UNIX_EPOCH;
        assert!(client.judge(&answer(204, "", None), now).is_ok());
        let refused =
            client.judge(&answer(429, "slow\r\ndown, hunter2", Some("30")), now).unwrap_err();
        assert_eq!(refused.why, "answered 429 Too Many Requests: slow down, …");
        assert_eq!(refused.retry_after, Some(Duration::from_secs(30)));
        let page = client.judge(&answer(502, "<html>oh</html>", None), now).unwrap_err();
        assert_eq!(page.why, "answered 502 Bad Gateway");
        let moved = client.judge(&answer(302, "", None), now).unwrap_err();
        assert_eq!(moved.why, "answered 302 Found");
    }

    #[test]
    fn a_date_to_wait_for_is_read_by_the_receivers_clock() {
        let now = Timestamp::from_second(784_111_777).unwrap();
        let mut answer = answer(503, "", Some("Sun, 06 Nov 1994 08:50:37 GMT"));
        assert_eq!(answer.wait(now), Some(Duration::from_mins(1)));
        answer.date = http_date("Sun, 06 Nov 1994 08:50:27 GMT");
        assert_eq!(answer.wait(now), Some(Duration::from_secs(10)));
        answer.date = http_date("Sun, 06 Nov 1994 09:00:00 GMT");
        assert_eq!(answer.wait(now), None, "that is over");
    }

    #[test]
    fn a_path_is_joined_and_a_place_tells_no_path() {
        let base: Url = "https://es.example.com:9200/behind/proxy/".parse().unwrap();
        assert_eq!(
            join(&base, "x/_bulk").as_str(),
            "https://es.example.com:9200/behind/proxy/x/_bulk"
        );
        assert_eq!(place(&base), "es.example.com:9200");
    }

    proptest! {
        #[test]
        fn any_header_and_any_body_can_be_read(value in "\\PC*", body in any::<Vec<u8>>()) {
            let client = client("hunter2");
            let answer = Answer { body, ..answer(500, "", Some(&value)) };
            let refused = client.judge(&answer, Timestamp::UNIX_EPOCH).unwrap_err();
            prop_assert!(refused.why.chars().count() < EXCERPT + 50);
            prop_assert!(!refused.why.contains(char::is_control));
        }
    }
}
