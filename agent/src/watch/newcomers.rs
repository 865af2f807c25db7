//! Processes that have come: a service that is started in an odd place shows in no directory that is watched.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

use crate::discovery::mentions_product;

/// What is read of the arguments of a process: a product is named at their beginning, or by their class path.
const ARGUMENTS: u64 = 64 << 10;

/// The processes that were there at the last look.
#[derive(Debug, Default)]
pub(super) struct Newcomers {
    /// `None` before the first look: what is there then is looked at anyway.
    known: Option<BTreeSet<u32>>,
}

impl Newcomers {
    /// Whether one has come since the last look whose arguments mention a product. Arguments are read of new ones only, and
    /// forgotten at once: they may hold secrets.
    pub(super) fn look(&mut self, root: &Path) -> bool {
        let now = numbers(root);
        let came = self.known.as_ref().is_some_and(|known| {
            now.difference(known)
                .any(|pid| is_of_product(&root.join(format!("proc/{pid}/cmdline"))))
        });
        self.known = Some(now);
        came
    }
}

fn numbers(root: &Path) -> BTreeSet<u32> {
    let names = std::fs::read_dir(root.join("proc")).into_iter().flatten().flatten();
    names.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn is_of_product(arguments: &Path) -> bool {
    let Ok(file) = std::fs::File::open(arguments) else { return false };
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    // One that has ended meanwhile says nothing.
    file.take(ARGUMENTS).read_to_end(&mut bytes).ok();
    mentions_product(&String::from_utf8_lossy(&bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_process_of_a_product_that_comes_is_noticed_once() {
        let scratch = tempfile::tempdir().unwrap();
        let start = |pid: u32, arguments: &str| {
            let of = scratch.path().join(format!("proc/{pid}"));
            fs::create_dir_all(&of).unwrap();
            fs::write(of.join("cmdline"), arguments).unwrap();
        };
        let mut newcomers = Newcomers::default();
        start(1, "/sbin/init\0");
        start(7, "/opt/x/jdk/bin/java\0-Des.path.home=/opt/elasticsearch\0");
        assert!(!newcomers.look(scratch.path()), "those that are there are looked at anyway");
        start(8, "sleep\0forever\0");
        assert!(!newcomers.look(scratch.path()));
        start(9, "java\0-cp\0/tmp/f1/lib/elasticsearch.jar\0");
        assert!(newcomers.look(scratch.path()));
        assert!(!newcomers.look(scratch.path()), "once");
        fs::remove_dir_all(scratch.path().join("proc/9")).unwrap();
        assert!(!newcomers.look(scratch.path()));
        // The number is used again.
        start(9, "/usr/share/opensearch/jdk/bin/java\0");
        assert!(newcomers.look(scratch.path()));
    }
}
