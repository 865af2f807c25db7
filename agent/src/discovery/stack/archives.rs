//! Instances that were unpacked from an archive.

use atrest_proto::model::{Gap, Reason};

use super::{Candidate, Origin, is_directory};
use crate::discovery::instance::{AS_ROOT, Instance, account_of_archive};
use crate::discovery::process::{Environment, gap};
use crate::host::Host;
use crate::path::HostPath;
use crate::snapshot::{Namespace, Trouble};

/// Where archives are usually unpacked, in these directories or one level below.
const UNPACKED: [&str; 6] = ["/opt", "/usr/local", "/usr/share", "/srv", "/home", "/data"];

const SUBJECT: &str = "archives unpacked on this host";
const NAME_PATHS: &str = "name paths of what is unpacked elsewhere in the agent's configuration";
/// More gaps than this tell nothing new.
const MOST_GAPS: usize = 10;

/// The directories in which an archive may have been unpacked.
pub(in crate::discovery) fn unpacked(host: &dyn Host, gaps: &mut Vec<Gap>) -> Vec<HostPath> {
    /// More entries of a directory than this are not looked through.
    const ENTRIES: usize = 1000;
    /// Nor more directories than this.
    const DIRECTORIES: usize = 5000;
    /// Nor more entries asked whether they are directories.
    const ASKED: usize = 20_000;
    let list = |directory: &HostPath| host.list(&Namespace::Host, directory);
    let mut asked = 0;
    let mut cut: Vec<Gap> = Vec::new();
    let mut below = |names: Vec<Vec<u8>>, directory: &HostPath| -> Vec<HostPath> {
        let all = names.len();
        let mut paths: Vec<HostPath> = names.iter().map(|name| directory.join(name)).collect();
        // Files do not count: a home directory and `/usr/local/bin` may have any number of them.
        if all > ENTRIES && asked + all <= ASKED {
            asked += all;
            paths.retain(|path| is_directory(host, &Namespace::Host, path));
        }
        if paths.len() > ENTRIES {
            paths.truncate(ENTRIES);
            let detail = format!("only {ENTRIES} of {all} entries of {directory}");
            cut.push(gap(SUBJECT, &Trouble::new(Reason::Unreadable, detail), NAME_PATHS));
        }
        paths
    };
    let mut homes = Vec::new();
    for directory in UNPACKED.map(HostPath::from) {
        let names = match list(&directory) {
            Ok(names) => names,
            Err(trouble) if trouble.reason == Reason::NotFound => continue,
            Err(trouble) => {
                gaps.push(gap(&directory.to_string(), &trouble, AS_ROOT));
                continue;
            }
        };
        for entry in below(names, &directory) {
            // What packages put there has no settings below.
            if directory != HostPath::from("/usr/share") {
                // Files and what is shut among them are no archives that anybody could start.
                homes.extend(below(list(&entry).unwrap_or_default(), &entry));
            }
            homes.push(entry);
        }
    }
    cut.truncate(MOST_GAPS);
    gaps.append(&mut cut);
    if homes.len() > DIRECTORIES {
        let detail = format!("only the first {DIRECTORIES} of {} directories", homes.len());
        gaps.push(gap(SUBJECT, &Trouble::new(Reason::Unreadable, detail), NAME_PATHS));
        homes.truncate(DIRECTORIES);
    }
    homes
}

/// An instance that was unpacked from an archive.
pub(in crate::discovery) fn archive(
    host: &dyn Host,
    home: HostPath,
    config: HostPath,
) -> Candidate {
    Candidate {
        instance: Instance {
            pid: None,
            namespace: Namespace::Host,
            container: None,
            run_as: account_of_archive(host, &home),
            cwd: home.clone(),
            home,
            config,
            environment: Environment::empty(),
            arguments: Vec::new(),
            is_below_launcher: false,
            unit_files: Vec::new(),
            environment_files: Vec::new(),
            doubt: None,
            cwd_doubt: None,
        },
        origin: Origin::Archive,
        outputs: Vec::new(),
    }
}
