//! `url`: read only. A `file:` address is a directory; of any other nobody can say how it is kept.

use super::{Backend, Kind, Surroundings, lacks, opaque};
use crate::path::HostPath;
use crate::repository::Registered;

pub(super) const KIND: Kind = Kind { name: "url", settings: &["url"], own: &[], backend };

fn backend(registered: &Registered, _: &Surroundings<'_>) -> Backend {
    let Some(url) = registered.setting("url") else { return lacks("url") };
    // `jar:file:/path/archive.zip!/inside`: the archive is what rests.
    let inner = url.strip_prefix("jar:").map_or(url, |jar| jar.split('!').next().unwrap_or(jar));
    let Some(path) = inner.strip_prefix("file:") else {
        return opaque(url, "how a server keeps what it serves cannot be asked over its address");
    };
    // `file:/path` and `file://host/path`, of which the host is empty or this one.
    let path = match path.strip_prefix("//") {
        Some(rest) => rest.find('/').and_then(|at| rest.get(at..)),
        None => Some(path),
    };
    match path.filter(|path| path.starts_with('/')) {
        Some(path) => Backend::Directory(HostPath::new(decoded(path.as_bytes())).normalised()),
        None => opaque(url, "its address names no path of this host"),
    }
}

/// `%20` and the like, as in RFC 3986; what is no escape stays.
fn decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        let escaped = (*byte == b'%').then(|| after.split_at_checked(2)).flatten();
        let value = escaped.and_then(|(digits, after)| {
            let digits = digits.iter().all(u8::is_ascii_hexdigit).then_some(digits)?;
            let value = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
            Some((value, after))
        });
        let (byte, after) = value.unwrap_or((*byte, after));
        decoded.push(byte);
        rest = after;
    }
    decoded
}
