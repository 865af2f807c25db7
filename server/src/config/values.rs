//! What a value may be: each function understands one kind, or says `None`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;
use toml::de::DeValue;

use super::reader::{Reader, Section};

pub(super) fn count<'a>(
    reader: &mut Reader<'a>,
    section: &mut Section<'a>,
    key: &'static str,
    default: usize,
) -> usize {
    section
        .value(reader, key, "a number from 1 to 1000000", |value| {
            number(value).filter(|count| (1..=1_000_000).contains(count))
        })
        .unwrap_or(default)
}

pub(super) fn text(value: &DeValue<'_>) -> Option<String> {
    value.as_str().map(str::to_owned)
}

pub(super) fn non_empty(value: &DeValue<'_>) -> Option<String> {
    text(value).filter(|text| !text.trim().is_empty())
}

pub(super) fn path(value: &DeValue<'_>) -> Option<PathBuf> {
    text(value).map(PathBuf::from).filter(|path| path.is_absolute())
}

pub(super) fn address(value: &DeValue<'_>) -> Option<SocketAddr> {
    value.as_str()?.parse().ok()
}

pub(super) fn number<T: std::str::FromStr>(value: &DeValue<'_>) -> Option<T> {
    value.as_integer()?.as_str().replace('_', "").parse().ok()
}

pub(super) fn duration(value: &DeValue<'_>, least: Duration, most: Duration) -> Option<Duration> {
    let duration: SignedDuration = value.as_str()?.parse().ok()?;
    let duration = Duration::try_from(duration).ok()?;
    (least..=most).contains(&duration).then_some(duration)
}
