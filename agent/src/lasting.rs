//! Directories for temporary files that are made anew, with another name, at each start of a service.

use crate::path::HostPath;

/// What the scripts of Elasticsearch and OpenSearch call them: `TempDirectory.java`, and `mktemp` in `opensearch-env`.
const MADE: [&[u8]; 4] = [b"elasticsearch-", b"elasticsearch.", b"opensearch-", b"opensearch."];

/// The directory that is set, in which such a one is made; any other path as it is.
pub(crate) fn lasting(path: &HostPath) -> HostPath {
    let path = path.normalised();
    let is_made =
        path.file_name().is_some_and(|name| MADE.iter().any(|made| name.starts_with(made)));
    path.parent().filter(|_| is_made).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_start_made_is_left_out() {
        let of = |path: &str| lasting(&path.into()).to_string();
        assert_eq!(of("/tmp/elasticsearch-2854703832"), "/tmp");
        assert_eq!(of("/tmp/opensearch-1/"), "/tmp");
        assert_eq!(of("/srv/tmp"), "/srv/tmp");
        assert_eq!(of("/tmp/elasticsearch"), "/tmp/elasticsearch");
        assert_eq!(of("/tmp/elasticsearch-1/deep"), "/tmp/elasticsearch-1/deep");
    }
}
