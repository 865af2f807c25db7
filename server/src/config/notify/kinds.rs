//! The kinds that speak HTTP: their own keys.

use std::path::PathBuf;

use reqwest::Url;

use super::super::reader::{Reader, Section};
use super::super::values::path;
use super::values::{A_URL, flag, http, incomplete, url};
use super::{Http, Kind};

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
