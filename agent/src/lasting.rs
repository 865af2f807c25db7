//! Names that stay: of what is made anew, with another name, at each start of a service or a container.
//!
//! Findings are known by the names of their assets. What failed under a name that is never seen again could never be
//! seen to pass.

use crate::path::HostPath;

/// What the scripts of Elasticsearch and OpenSearch call their directories for temporary files: `TempDirectory.java`, and
/// `mktemp` in `opensearch-env`.
const MADE: [&[u8]; 4] = [b"elasticsearch-", b"elasticsearch.", b"opensearch-", b"opensearch."];
/// In place of what is another at each start.
const ANY: &str = "*";
/// Digits of a container's id, and of what engines show of it.
const ID: [usize; 2] = [64, 12];
/// Names of replica sets and pods leave out vowels and what looks like them: `k8s.io/apimachinery/pkg/util/rand`.
const RANDOM: &str = "bcdfghjklmnpqrstvwxz2456789";

/// The directory that is set, in which one for temporary files is made; any other path as it is.
pub(crate) fn temporary(path: &HostPath) -> HostPath {
    let path = path.normalised();
    let is_made =
        path.file_name().is_some_and(|name| MADE.iter().any(|made| name.starts_with(made)));
    path.parent().filter(|_| is_made).unwrap_or(path)
}

/// The path without what engines of containers make up: ids of containers below `containers`, of pods below `pods`. Any other
/// path is left as it is written.
pub(crate) fn of_containers(path: &HostPath) -> HostPath {
    let mut lasting = HostPath::root();
    let mut above: &[u8] = b"";
    let mut is_same = true;
    for part in path.components() {
        let name = std::str::from_utf8(part).unwrap_or_default();
        let renamed = match above {
            b"containers" if is_id(name, ID[0]) => Some(ANY.to_owned()),
            b"pods" if is_uuid(name) => Some(ANY.to_owned()),
            b"pods" => pod(name),
            _ => None,
        };
        is_same &= renamed.is_none();
        lasting = match renamed {
            Some(name) => lasting.join(name),
            None => lasting.join(part),
        };
        above = part;
    }
    if is_same { path.clone() } else { lasting }
}

/// The name of an instance without the id of its container.
pub(crate) fn service(name: &str) -> String {
    match name.rsplit_once(':') {
        Some((product, id)) if ID.iter().any(|digits| is_id(id, *digits)) => {
            format!("{product}:{ANY}")
        }
        Some(_) | None => name.to_owned(),
    }
}

/// `NAMESPACE_NAME_UID`, as kubelet calls the logs of a pod; the name of one of a deployment has two random parts.
fn pod(name: &str) -> Option<String> {
    let (rest, uid) = name.rsplit_once('_')?;
    if !is_uuid(uid) {
        return None;
    }
    let is_random = |part: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&part.len()) && part.chars().all(|char| RANDOM.contains(char))
    };
    let deployment = rest.rsplit_once('-').and_then(|(rest, pod)| {
        let (name, set) = rest.rsplit_once('-')?;
        (is_random(pod, 5..=5) && is_random(set, 6..=10)).then_some(name)
    });
    Some(format!("{}_{ANY}", deployment.unwrap_or(rest)))
}

fn is_id(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_start_made_is_left_out() {
        let of = |path: &str| temporary(&path.into()).to_string();
        assert_eq!(of("/tmp/elasticsearch-2854703832"), "/tmp");
        assert_eq!(of("/tmp/opensearch-1/"), "/tmp");
        assert_eq!(of("/srv/tmp"), "/srv/tmp");
        assert_eq!(of("/tmp/elasticsearch"), "/tmp/elasticsearch");
        assert_eq!(of("/tmp/elasticsearch-1/deep"), "/tmp/elasticsearch-1/deep");
    }

    #[test]
    fn ids_of_containers_and_pods_are_left_out_and_names_are_not() {
        let of = |path: &str| of_containers(&path.into()).to_string();
        let id = "ab".repeat(32);
        let docker = format!("/var/lib/docker/containers/{id}/config.v2.json");
        assert_eq!(of(&docker), "/var/lib/docker/containers/*/config.v2.json");
        let uid = "0b21fcd2-8f0e-4a6d-9d3a-0fca4a2f3a10";
        let volume = format!("/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~csi/pvc-1/mount");
        assert_eq!(of(&volume), "/var/lib/kubelet/pods/*/volumes/kubernetes.io~csi/pvc-1/mount");
        let pod = |name: &str| of(&format!("/var/log/pods/{name}_{uid}/elasticsearch"));
        assert_eq!(pod("elastic_prod-es-0"), "/var/log/pods/elastic_prod-es-0_*/elasticsearch");
        assert_eq!(pod("elastic_kb-6b7f9c4d8f-x2x4z"), "/var/log/pods/elastic_kb_*/elasticsearch");
        // A volume keeps what was written to it: another one is another asset.
        let volume = format!("/var/lib/docker/volumes/{id}/_data");
        for path in [&*volume, "/srv/pods/es/data", "/", "/data/", "/link/../data/."] {
            assert_eq!(of(path), path);
        }
    }

    #[test]
    fn a_service_is_not_named_by_the_id_of_its_container() {
        assert_eq!(service("elasticsearch:4c01db0b339c"), "elasticsearch:*");
        assert_eq!(service("elasticsearch:es-0"), "elasticsearch:es-0");
        assert_eq!(service("elasticsearch"), "elasticsearch");
        assert_eq!(service("kibana:/etc/kb"), "kibana:/etc/kb");
    }
}
