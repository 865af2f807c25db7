//! Instances that were unpacked from an archive.

use atrest_proto::model::{Gap, Reason};

use super::{Candidate, Origin};
use crate::discovery::instance::{AS_ROOT, Instance, account_of_archive};
use crate::discovery::process::{Environment, gap};
use crate::host::Host;
use crate::path::HostPath;
use crate::snapshot::{Namespace, Trouble};

/// Where archives are usually unpacked, in these directories or one level below.
const UNPACKED: [&str; 6] = ["/opt", "/usr/local", "/usr/share", "/srv", "/home", "/data"];

/// The directories in which an archive may have been unpacked.
pub(in crate::discovery) fn unpacked(host: &dyn Host, gaps: &mut Vec<Gap>) -> Vec<HostPath> {
    /// More entries of a directory than this are not looked through.
    const ENTRIES: usize = 1000;
    /// Nor more directories than this.
    const DIRECTORIES: usize = 5000;
    let list = |directory: &HostPath| host.list(&Namespace::Host, directory);
    let below = |names: Vec<Vec<u8>>, directory: &HostPath| -> Vec<HostPath> {
        names.iter().take(ENTRIES).map(|name| directory.join(name)).collect()
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
    if homes.len() > DIRECTORIES {
        let detail = format!("only the first {DIRECTORIES} of {} directories", homes.len());
        let trouble = Trouble::new(Reason::Unreadable, detail);
        let remedy = "name paths of what is unpacked elsewhere in the agent's configuration";
        gaps.push(gap("archives unpacked on this host", &trouble, remedy));
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
        },
        origin: Origin::Archive,
        outputs: Vec::new(),
    }
}
