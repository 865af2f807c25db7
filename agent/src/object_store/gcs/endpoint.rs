//! Which addresses are Google's own: only there credentials are sent, and only what is said there is proof. Pure.

use reqwest::Url;

/// Of the JSON API: "Cloud Storage request endpoints", Google Cloud.
const GOOGLES: [&str; 2] = ["storage.googleapis.com", "www.googleapis.com"];
/// `storage.LOCATION.rep.googleapis.com`, "Regional endpoints", and `storage-NAME.p.googleapis.com`, "Access Google APIs
/// through Private Service Connect". Other names below `googleapis.com` may serve what customers put into buckets.
const LOCAL: [(&str, &str); 2] =
    [("storage.", ".rep.googleapis.com"), ("storage-", ".p.googleapis.com")];

/// Where a bucket is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) base: Url,
    pub(super) is_googles: bool,
}

/// The endpoint that a client's settings name; without one it is Google's.
pub(super) fn of(setting: Option<&str>) -> Option<Endpoint> {
    let text = setting.unwrap_or("https://storage.googleapis.com");
    // As the client library has it: an address without a scheme goes over TLS.
    let text = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let mut base: Url = text.parse().ok()?;
    let is_http = matches!(base.scheme(), "http" | "https") && base.has_host();
    let is_googles = is_googles(&base);
    // Only what the agent itself is given is ever shown to anybody.
    let is_bare = base.set_username("").and_then(|()| base.set_password(None)).is_ok();
    (is_http && is_bare).then_some(Endpoint { base, is_googles })
}

fn is_googles(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    // One label: no bucket is served under such a name.
    let is_local = |(before, after): &(&str, &str)| {
        let middle = host.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        middle.is_some_and(|middle| !middle.is_empty() && !middle.contains('.'))
    };
    url.scheme() == "https"
        && url.port().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.username().is_empty()
        && url.password().is_none()
        && (GOOGLES.contains(&host) || LOCAL.iter().any(is_local))
}

/// `storage/v1/b/BUCKET`, and what is below it.
pub(super) fn address(base: &Url, bucket: &str, below: &[&str]) -> Option<Url> {
    // "Bucket names", Google Cloud. Nothing of the kind can be another path.
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !(3..=222).contains(&bucket.len())
        || !bucket.bytes().all(is_name)
        || bucket.bytes().all(|byte| byte == b'.')
    {
        return None;
    }
    let mut url = base.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.path_segments_mut()
        .ok()?
        .pop_if_empty()
        .extend(["storage", "v1", "b", bucket])
        .extend(below);
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn googles_own_are_known_by_their_names_over_tls() {
        for (setting, is_googles) in [
            (None, true),
            (Some("https://storage.googleapis.com"), true),
            (Some("https://storage.googleapis.com:443/"), true),
            (Some("www.googleapis.com"), true),
            (Some("https://STORAGE.googleapis.com"), true),
            (Some("https://storage.europe-west3.rep.googleapis.com"), true),
            (Some("https://storage-mine.p.googleapis.com"), true),
            // What lies in buckets is served under these.
            (Some("https://bucket.storage.googleapis.com"), false),
            (Some("https://storage.googleapis.com/bucket/"), false),
            (Some("https://x.y.rep.googleapis.com"), false),
            (Some("https://storage.x.y.rep.googleapis.com"), false),
            (Some("http://storage.googleapis.com"), false),
            (Some("https://storage.googleapis.com:4443"), false),
            (Some("https://storage.googleapis.com@evil.example"), false),
            (Some("https://storage.googleapis.com.evil.example"), false),
            (Some("https://evilstorage.googleapis.com"), false),
            (Some("https://u@storage.googleapis.com"), false),
            (Some("http://127.0.0.1:9023"), false),
        ] {
            let found = of(setting).unwrap();
            assert_eq!(found.is_googles, is_googles, "{setting:?}");
        }
        for setting in ["", "ftp://storage.googleapis.com", "https://", "file:///etc/passwd"] {
            assert_eq!(of(Some(setting)), None, "{setting}");
        }
    }

    #[test]
    fn a_bucket_is_one_part_of_the_path() {
        let base = "http://127.0.0.1:1/x/".parse().unwrap();
        let shown = |bucket| address(&base, bucket, &["o"]).map(|url| url.to_string());
        let expected = "http://127.0.0.1:1/x/storage/v1/b/acme-es_1.example/o";
        assert_eq!(shown("acme-es_1.example").as_deref(), Some(expected));
        for bucket in ["", "..", "...", "a/b", "a?b", "a#b", "%2e%2e", "ä-ä"] {
            assert_eq!(shown(bucket), None, "{bucket}");
        }
    }
}
