//! What the values of notifiers may be.

use lettre::message::Mailbox;
use reqwest::Url;
use toml::de::DeValue;

use super::super::reader::{Reader, Section};
use super::super::values::{number, path, text};
use super::{Auth, Http};

/// Written for what `url` takes.
pub(super) const A_URL: &str =
    "a URL that starts with https:// or http://, without a user or password";

/// A URL of HTTP. Without a user or password: those belong in files.
pub(super) fn url(value: &DeValue<'_>) -> Option<Url> {
    let url: Url = text(value)?.parse().ok()?;
    let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
    (is_http && url.username().is_empty() && url.password().is_none()).then_some(url)
}

pub(super) fn urls(value: &DeValue<'_>) -> Option<Vec<Url>> {
    let urls: Vec<Url> =
        value.as_array()?.iter().map(|item| url(item.get_ref())).collect::<Option<_>>()?;
    (!urls.is_empty()).then_some(urls)
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

/// An address of mail, alone or as `Name <address>`.
pub(super) fn mailbox(value: &DeValue<'_>) -> Option<Mailbox> {
    value.as_str()?.parse().ok()
}

pub(super) fn mailboxes(value: &DeValue<'_>) -> Option<Vec<Mailbox>> {
    let list: Vec<Mailbox> =
        value.as_array()?.iter().map(|item| mailbox(item.get_ref())).collect::<Option<_>>()?;
    (!list.is_empty()).then_some(list)
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

/// A way to say who the server is, besides a user's name and password.
pub(super) struct Other<'a> {
    pub(super) key: &'static str,
    pub(super) is: fn(std::path::PathBuf) -> Auth,
    pub(super) kind: &'a str,
}

pub(super) fn auth<'a>(
    reader: &mut Reader<'a>,
    section: &mut Section<'a>,
    other: &Other<'_>,
) -> Auth {
    let start = section.start();
    let username = section.value(reader, "username", "a user's name", super::non_empty);
    let password_file = section.value(reader, "password_file", "an absolute path", path);
    let file = section.value(reader, other.key, "an absolute path", path);
    let kind = other.kind;
    if file.is_some() && (username.is_some() || password_file.is_some()) {
        let what = format!("`notify.{kind}` has two ways to say who it is");
        let remedy = format!("keep one of `username` with `password_file`, and `{}`", other.key);
        reader.problem(start, what, remedy);
        return Auth::None;
    }
    if let Some(file) = file {
        return (other.is)(file);
    }
    basic(reader, start, kind, username, password_file)
        .map_or(Auth::None, |(username, password_file)| Auth::Basic { username, password_file })
}

/// Both, or neither.
pub(super) fn basic(
    reader: &mut Reader<'_>,
    start: usize,
    kind: &str,
    username: Option<String>,
    password_file: Option<std::path::PathBuf>,
) -> Option<(String, std::path::PathBuf)> {
    match (username, password_file) {
        (Some(username), Some(password_file)) => Some((username, password_file)),
        (None, None) => None,
        (Some(_), None) => {
            let what = format!("`notify.{kind}` has a `username` without a `password_file`");
            reader.problem(start, what, "give it both, or neither");
            None
        }
        (None, Some(_)) => {
            let what = format!("`notify.{kind}` has a `password_file` without a `username`");
            reader.problem(start, what, "give it both, or neither");
            None
        }
    }
}

pub(super) fn incomplete(reader: &mut Reader<'_>, start: usize, kind: &str, remedy: &str) {
    reader.problem(start, format!("`notify.{kind}` is not complete"), format!("give it {remedy}"));
}

pub(super) fn port(value: &DeValue<'_>) -> Option<u16> {
    number(value).filter(|port| *port != 0)
}
