//! Where a path is asked about. Pure.

use reqwest::Url;

/// "`FileSystem` URIs vs HTTP URLs", `WebHDFS` REST API.
const PREFIX: [&str; 2] = ["webhdfs", "v1"];

/// The address of a service, as the agent's configuration names it: with or without the prefix, which gateways have below a
/// path of their own.
pub(super) fn base(setting: &str) -> Option<Url> {
    let mut url: Url = setting.parse().ok()?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return None;
    }
    url.set_query(None);
    url.set_fragment(None);
    let has_prefix = url.path().trim_end_matches('/').ends_with("/webhdfs/v1");
    let mut segments = url.path_segments_mut().ok()?;
    segments.pop_if_empty();
    if !has_prefix {
        segments.extend(PREFIX);
    }
    drop(segments);
    Some(url)
}

/// The address of an absolute path there.
pub(super) fn of_path(base: &Url, path: &str) -> Option<Url> {
    let parts = path.strip_prefix('/')?.split('/').filter(|part| !part.is_empty());
    let mut url = base.clone();
    {
        let mut segments = url.path_segments_mut().ok()?;
        for part in parts {
            if [".", ".."].contains(&part) {
                return None;
            }
            segments.push(part);
        }
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(setting: &str, path: &str) -> Option<String> {
        of_path(&base(setting)?, path).map(|url| url.to_string())
    }

    #[test]
    fn a_path_is_below_the_prefix() {
        for (setting, path, expected) in [
            ("https://n:9871", "/es/r", "https://n:9871/webhdfs/v1/es/r"),
            ("http://n:9870/", "/", "http://n:9870/webhdfs/v1"),
            ("https://n:9871/webhdfs/v1/", "/es/r/", "https://n:9871/webhdfs/v1/es/r"),
            ("https://k:8443/gateway/x", "/es", "https://k:8443/gateway/x/webhdfs/v1/es"),
            ("https://k/gateway/x/webhdfs/v1", "/es", "https://k/gateway/x/webhdfs/v1/es"),
            ("http://n:9870/?op=DELETE", "/a?b#c%2f", "http://n:9870/webhdfs/v1/a%3Fb%23c%252f"),
        ] {
            assert_eq!(address(setting, path).as_deref(), Some(expected), "{setting} {path}");
        }
        for (setting, path) in
            [("n:9870", "/es"), ("hdfs://n", "/es"), ("http://n", "es"), ("http://n", "/../x")]
        {
            assert_eq!(address(setting, path), None, "{setting} {path}");
        }
    }
}
