//! The kinds that speak HTTP: their own keys.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use super::super::reader::{Reader, Section};
use super::super::values::{duration, path, text};
use super::values::{A_URL, Other, auth, flag, http, incomplete, url, urls};
use super::{Auth, Http, Kind};

/// A receiver of signed webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    pub url: Url,
    /// Secrets, one a line.
    pub secret_file: PathBuf,
    /// Whether alerts are told together.
    pub group: bool,
    pub http: Http,
}

/// Prometheus' Alertmanager: all replicas of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alertmanager {
    pub urls: Vec<Url>,
    pub auth: Auth,
    /// How often it is told again of what fires: it keeps alerts in memory only.
    pub resend_every: Duration,
    pub http: Http,
}

/// An incoming webhook of Slack or Mattermost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slack {
    /// The URL is the secret.
    pub url_file: PathBuf,
    pub http: Http,
}

/// PagerDuty's Events API v2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pagerduty {
    pub url: Option<Url>,
    pub routing_key_file: PathBuf,
    pub http: Http,
}

/// An index or data stream of Elasticsearch or OpenSearch. The nodes are tried in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elasticsearch {
    pub urls: Vec<Url>,
    pub index: String,
    pub auth: Auth,
    pub http: Http,
}

pub(super) fn webhook<'a>(reader: &mut Reader<'a>, section: &mut Section<'a>) -> Option<Kind> {
    let url = section.value(reader, "url", A_URL, url);
    let secret_file = section.value(reader, "secret_file", "an absolute path", path);
    let group = section.value(reader, "group", "true or false", flag).unwrap_or(false);
    let http = http(reader, section);
    let (Some(url), Some(secret_file)) = (url, secret_file) else {
        incomplete(reader, section.start(), "webhook", "a `name`, a `url` and a `secret_file`");
        return None;
    };
    Some(Kind::Webhook(Webhook { url, secret_file, group, http }))
}

pub(super) fn alertmanager<'a>(reader: &mut Reader<'a>, section: &mut Section<'a>) -> Option<Kind> {
    let urls = section.value(
        reader,
        "urls",
        "a list of URLs that start with https:// or http://, without a user or password",
        urls,
    );
    let bearer = Other {
        key: "bearer_token_file",
        is: |token_file| Auth::Bearer { token_file },
        kind: "alertmanager",
    };
    let auth = auth(reader, section, &bearer);
    let resend_every = section
        .value(reader, "resend_every", "a time from 10s to 1h", |value| {
            duration(value, Duration::from_secs(10), Duration::from_hours(1))
        })
        .unwrap_or(Duration::from_mins(1));
    let http = http(reader, section);
    let Some(urls) = urls else {
        incomplete(reader, section.start(), "alertmanager", "a `name` and `urls`");
        return None;
    };
    Some(Kind::Alertmanager(Alertmanager { urls, auth, resend_every, http }))
}

pub(super) fn slack<'a>(reader: &mut Reader<'a>, section: &mut Section<'a>) -> Option<Kind> {
    let url_file = section.value(reader, "url_file", "an absolute path", path);
    let http = http(reader, section);
    let Some(url_file) = url_file else {
        incomplete(reader, section.start(), "slack", "a `name` and a `url_file`");
        return None;
    };
    Some(Kind::Slack(Slack { url_file, http }))
}

pub(super) fn pagerduty<'a>(reader: &mut Reader<'a>, section: &mut Section<'a>) -> Option<Kind> {
    let url = section.value(reader, "url", A_URL, url);
    let routing_key_file = section.value(reader, "routing_key_file", "an absolute path", path);
    let http = http(reader, section);
    let Some(routing_key_file) = routing_key_file else {
        incomplete(reader, section.start(), "pagerduty", "a `name` and a `routing_key_file`");
        return None;
    };
    Some(Kind::Pagerduty(Pagerduty { url, routing_key_file, http }))
}

pub(super) fn elasticsearch<'a>(
    reader: &mut Reader<'a>,
    section: &mut Section<'a>,
) -> Option<Kind> {
    let urls = section.value(
        reader,
        "urls",
        "a list of URLs that start with https:// or http://, without a user or password",
        urls,
    );
    let index = section.value(
        reader,
        "index",
        "the name of an index or data stream, in lower case, such as \"logs-atrest-default\"",
        |value| text(value).filter(|name| is_index(name)),
    );
    let api_key =
        Other { key: "api_key_file", is: |file| Auth::ApiKey { file }, kind: "elasticsearch" };
    let auth = auth(reader, section, &api_key);
    let http = http(reader, section);
    let (Some(urls), Some(index)) = (urls, index) else {
        let needs = "a `name`, `urls` and an `index`";
        incomplete(reader, section.start(), "elasticsearch", needs);
        return None;
    };
    Some(Kind::Elasticsearch(Elasticsearch { urls, index, auth, http }))
}

/// What Elasticsearch takes as a name, and what needs no escape in a URL.
fn is_index(name: &str) -> bool {
    let is_known = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.')
    };
    name.len() <= 255
        && name.bytes().all(is_known)
        && name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
}
