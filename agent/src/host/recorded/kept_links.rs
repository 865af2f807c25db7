//! The links below a directory of a recording: those of the walks that were recorded, else those that the recording kept as
//! such.

use atrest_proto::model::Reason;

use super::RecordedHost;
use crate::host::{Host as _, links};
use crate::links::{Links, Uncovered, Walk};
use crate::path::HostPath;
use crate::snapshot::{Namespace, Observed, Trouble};

/// What the walks found, as [`Walk`]s.
pub(in super::super) const LINKS: &str = "/links.json";
const LINKS_JSON: usize = 64 * 1024 * 1024;

impl RecordedHost {
    pub(super) fn links_below(
        &self,
        seen_by: &Namespace,
        directory: &HostPath,
    ) -> Result<Links, Trouble> {
        let path = HostPath::from(LINKS);
        match self.files.read(&path, LINKS_JSON) {
            Ok(bytes) => {
                let walks: Vec<Walk> = serde_json::from_slice(&bytes).map_err(|error| {
                    Trouble::new(Reason::Unreadable, format!("{path}: {error}"))
                })?;
                let is_it =
                    |walk: &Walk| walk.namespace == *seen_by && walk.directory == *directory;
                walks.into_iter().find(is_it).map_or_else(
                    || Err(Trouble::new(Reason::NotFound, format!("{directory}: not recorded"))),
                    |walk| walk.found,
                )
            }
            Err(trouble) if trouble.reason == Reason::NotFound => self.kept(seen_by, directory),
            Err(trouble) => Err(trouble),
        }
    }

    /// The links that are in the recording as such. It may have kept a directory and not what was in it.
    fn kept(&self, seen_by: &Namespace, directory: &HostPath) -> Result<Links, Trouble> {
        let files = self.files_of(seen_by);
        let follow = |link: &HostPath| {
            let text = match files.read_link(link) {
                Ok(text) => text,
                Err(trouble) => return Some(Err(trouble)),
            };
            let to = if text.is_absolute() {
                text
            } else {
                link.parent().unwrap_or_else(HostPath::root).join(text.as_bytes())
            };
            match self.resolve(seen_by, &by_text(&to)).at {
                Observed::Known(at) => Some(Ok(links::Destination { at, is_directory: true })),
                Observed::Absent => None,
                Observed::Unreadable(trouble) => Some(Err(trouble)),
            }
        };
        let mut kept = links::leaving(&files, directory, &follow)?;
        kept.leaving.retain(|link| {
            !link.leads_to.as_ref().is_ok_and(|at| at.path.is_at_or_below(directory))
        });
        kept.uncovered.insert(Uncovered::NotRecorded);
        Ok(kept)
    }
}

/// Without `..`, which goes by the text: what a recording lacks cannot be followed.
fn by_text(path: &HostPath) -> HostPath {
    path.components().fold(HostPath::root(), |at, part| {
        if part == b".." { at.parent().unwrap_or(at) } else { at.join(part) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A recording with these links.
    fn recording(links: &[(&str, &str)]) -> (tempfile::TempDir, RecordedHost) {
        let root = tempfile::tempdir().unwrap();
        for (path, to) in links {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(to, path).unwrap();
        }
        let host = RecordedHost::new(root.path());
        (root, host)
    }

    fn leads(links: &Links) -> Vec<(String, String)> {
        let lead = |link: &crate::links::Link| {
            (link.path.to_string(), link.leads_to.as_ref().unwrap().path.to_string())
        };
        links.leaving.iter().map(lead).collect()
    }

    fn lead(from: &str, to: &str) -> (String, String) {
        (from.to_owned(), to.to_owned())
    }

    #[test]
    fn links_that_a_recording_kept_lead_where_they_did_on_the_host() {
        let (_root, host) = recording(&[
            ("data/es/away", "/plain/x"),
            ("data/es/up", "../other"),
            ("data/es/inside", "a/b"),
            ("data/es/null", "/dev/null"),
        ]);
        let links = host.links(&Namespace::Host, &"/data/es".into()).unwrap();
        assert_eq!(
            leads(&links),
            [lead("/data/es/away", "/plain/x")],
            "what the recording would hold and does not is not there"
        );
        assert_eq!(links.uncovered, [Uncovered::NotRecorded].into());
        let trouble = host.links(&Namespace::Host, &"/data/no".into()).unwrap_err();
        assert_eq!(trouble.reason, Reason::NotFound);
    }

    #[test]
    fn links_of_a_process_are_told_in_its_own_words() {
        let (_root, host) = recording(&[
            ("proc/7/root/data/away", "/logs"),
            ("proc/7/root/data/inside", "/data/sub"),
            ("proc/7/root/data/sub/x", "/"),
        ]);
        let links = host.links(&Namespace::Process(7), &"/data".into()).unwrap();
        assert_eq!(leads(&links), [lead("/data/away", "/logs"), lead("/data/sub/x", "/")]);
    }

    #[test]
    fn recorded_walks_count_before_what_lies_about() {
        let (root, host) = recording(&[("data/es/away", "/plain/x")]);
        let walk = Walk {
            namespace: Namespace::Host,
            directory: "/data/es".into(),
            found: Ok(Links { entries: 3, ..Links::default() }),
        };
        let path = root.path().join("links.json");
        std::fs::write(&path, serde_json::to_vec(&[walk]).unwrap()).unwrap();
        assert_eq!(host.links(&Namespace::Host, &"/data/es".into()).unwrap().entries, 3);
        assert!(host.links(&Namespace::Host, &"/data".into()).is_err());
        std::fs::write(&path, "[{").unwrap();
        let trouble = host.links(&Namespace::Host, &"/data/es".into()).unwrap_err();
        assert_eq!(trouble.reason, Reason::Unreadable);
    }
}
