//! One request to a store that speaks HTTP, over the way that [`super::http`] set up. Reads only: everything is GET.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{StatusCode, Url};
use zeroize::Zeroizing;

use super::answer;
use super::budget::Budget;
use super::store::Failure;
use super::words::{brief, chain};

/// A page of a listing has 1,000 names of at most 1 KiB, and what is said of each.
const LARGEST: usize = 16 << 20;
/// A store that wants a longer pause is given up.
const LONGEST_PAUSE: u64 = 3;
/// When it does not say how long.
const PAUSE: u64 = 1;

/// What is asked.
#[derive(Debug)]
pub(super) struct Question<'a> {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    /// The permission that it needs, in the store's own words.
    pub(super) action: &'a str,
}

/// What came: headers and body.
pub(super) type Told = (HeaderMap, Vec<u8>);

/// What a store says of why it refuses, from the headers and the body of its answer.
pub(super) type Says = fn(&HeaderMap, &[u8]) -> Option<String>;

/// Asks one store.
#[derive(Debug)]
pub(super) struct Rest<'a> {
    client: reqwest::Client,
    budget: &'a Budget,
    says: Says,
}

impl<'a> Rest<'a> {
    pub(super) const fn new(client: reqwest::Client, budget: &'a Budget, says: Says) -> Self {
        Self { client, budget, says }
    }

    /// Asks within the budget, and pays; answers with what came with status 200.
    pub(super) async fn paid(&self, question: Question<'_>) -> Result<Told, Failure> {
        self.budget.pay().map_err(Failure::Other)?;
        self.budget.within(self.get(question)).await
    }

    /// Asks, of a request that is paid for already. A store that is busy is asked once more, with the pause that it wants.
    pub(super) async fn get(&self, question: Question<'_>) -> Result<Told, Failure> {
        let Question { url, headers, action } = question;
        let (mut status, mut told, mut body) = self.once(url.clone(), headers.clone()).await?;
        let pause = pause(&told);
        if is_passing(status) && pause <= LONGEST_PAUSE && self.budget.pay().is_ok() {
            tokio::time::sleep(Duration::from_secs(pause)).await;
            (status, told, body) = self.once(url, headers).await?;
        }
        if status == StatusCode::OK {
            return Ok((told, body));
        }
        let said = (self.says)(&told, &body);
        let again = text(&told, RETRY_AFTER.as_str()).and_then(answer::seconds);
        Err(answer::of_status(status.as_u16(), said.as_deref(), action, again))
    }

    async fn once(
        &self,
        url: Url,
        headers: HeaderMap,
    ) -> Result<(StatusCode, HeaderMap, Vec<u8>), Failure> {
        let request = self.client.get(url).headers(headers);
        receive(request).await
    }
}

/// Sends a request, and reads its answer whole.
pub(super) async fn receive(
    request: reqwest::RequestBuilder,
) -> Result<(StatusCode, HeaderMap, Vec<u8>), Failure> {
    let mut answer = Box::pin(request.send()).await.map_err(failed)?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > LARGEST {
            return Err(Failure::Other(format!("its answer is larger than {} MiB", LARGEST >> 20)));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((status, headers, body))
}

/// `Bearer TOKEN`, which is shown nowhere.
pub(super) fn bearer(token: &str) -> Option<HeaderValue> {
    let text = Zeroizing::new(format!("Bearer {token}"));
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A header, where it is text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether the same question may have another answer soon.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 500 | 502 | 503)
}

fn pause(headers: &HeaderMap) -> u64 {
    // A date is as good as no number: it is of the clock there.
    text(headers, RETRY_AFTER.as_str()).and_then(answer::seconds).unwrap_or(PAUSE)
}

/// Without the address, of which the query may hold a signature.
fn failed(error: reqwest::Error) -> Failure {
    let error = error.without_url();
    let detail = brief(&chain(&error));
    if error.is_connect() || error.is_timeout() {
        Failure::Unreachable(detail)
    } else {
        Failure::Other(format!("no whole answer: {detail}"))
    }
}
