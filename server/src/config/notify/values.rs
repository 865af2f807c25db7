//! What the values of notifiers may be.

use reqwest::Url;
use toml::de::DeValue;

use super::super::reader::{Reader, Section};
use super::super::values::{path, text};
use super::Http;

/// Written for what `url` takes.
pub(super) const A_URL: &str =
    "a URL that starts with https:// or http://, without a user or password";

/// A URL of HTTP. Without a user or password: those belong in files.
pub(super) fn url(value: &DeValue<'_>) -> Option<Url> {
    let url: Url = text(value)?.parse().ok()?;
    let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
    (is_http && url.username().is_empty() && url.password().is_none()).then_some(url)
}

/// A URL with words in braces, which are not part of a URL's own alphabet.
pub(super) fn link(value: &DeValue<'_>) -> Option<String> {
    let link = text(value)?;
    if link.is_empty() {
        return Some(link);
    }
    url(value)?;
    crate::notify::link::is_known(&link).then_some(link)
}

pub(super) fn flag(value: &DeValue<'_>) -> Option<bool> {
    value.as_bool()
}

pub(super) fn http<'a>(reader: &mut Reader<'a>, section: &mut Section<'a>) -> Http {
    let ca_file = section.value(reader, "ca_file", "an absolute path", path);
    let proxy = section.value(
        reader,
        "proxy",
        "a URL that starts with http://, without a user or password",
        |value| url(value).filter(|url| url.scheme() == "http"),
    );
    Http { ca_file, proxy }
}

pub(super) fn incomplete(reader: &mut Reader<'_>, start: usize, kind: &str, remedy: &str) {
    reader.problem(start, format!("`notify.{kind}` is not complete"), format!("give it {remedy}"));
}
