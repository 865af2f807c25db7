//! Instances that run.

use std::collections::BTreeMap;

use atrest_proto::model::{Gap, Reason};

use super::{Candidate, Origin};
use crate::discovery::instance::{AS_ROOT, Instance, Running};
use crate::discovery::process::{self, Process, gap};
use crate::discovery::{Scene, open_files};
use crate::host::Host;
use crate::path::HostPath;
use crate::snapshot::{Namespace, Trouble};

/// The processes that are the product's own, without those that only start or copy one of them.
pub(in crate::discovery) fn servers<'a>(
    scene: &'a Scene<'_>,
    is_own: &dyn Fn(&Process) -> bool,
) -> Vec<&'a Process> {
    let own: BTreeMap<i32, &Process> = scene
        .processes
        .iter()
        .filter(|(_, process)| is_own(process))
        .map(|(pid, process)| (*pid, process))
        .collect();
    let parent = |process: &Process| {
        let status = process::status(scene.host, process.pid).ok()?;
        own.get(&status.parent).copied()
    };
    let mut dropped = Vec::new();
    for process in own.values() {
        let Some(parent) = parent(process) else { continue };
        if parent.argv == process.argv {
            // Between fork and exec.
            dropped.push(process.pid);
        } else if let Some(arguments) = process.argv.get(1..)
            && !arguments.is_empty()
            && parent.argv.ends_with(arguments)
        {
            // `sudo`, `nice` and their like.
            dropped.push(parent.pid);
        }
    }
    own.into_values().filter(|process| !dropped.contains(&process.pid)).collect()
}

/// A running program, its home and configuration directory not yet known; with why its environment could not be read.
pub(in crate::discovery) fn running(
    host: &dyn Host,
    product: &str,
    process: &Process,
    gaps: &mut Vec<Gap>,
) -> Option<(Candidate, Option<Trouble>)> {
    let running = Running::of(host, product, process, gaps)?;
    if running.cwd.is_none() {
        let link = HostPath::from(format!("/proc/{}/cwd", process.pid));
        if let Err(trouble) = host.read_link(&Namespace::Host, &link)
            && trouble.reason != Reason::NotFound
        {
            let subject = format!("working directory of process {} ({product})", process.pid);
            gaps.push(gap(&subject, &trouble, AS_ROOT));
        }
    }
    let known = running.cwd.as_ref();
    let cwd_doubt = known
        .and_then(|cwd| open_files::hidden_directory(host, running.pid, &running.namespace, cwd));
    let instance = Instance {
        pid: Some(running.pid),
        namespace: running.namespace,
        container: running.container,
        run_as: running.run_as,
        home: HostPath::root(),
        config: HostPath::root(),
        // What is relative to a directory that is not known stays below a name that nobody can look behind.
        cwd: running.cwd.unwrap_or_else(|| HostPath::from(format!("/proc/{}/cwd", process.pid))),
        environment: running.environment,
        arguments: process.argv.clone(),
        is_below_launcher: false,
        unit_files: Vec::new(),
        environment_files: Vec::new(),
        doubt: None,
        cwd_doubt,
    };
    let candidate = Candidate { instance, origin: Origin::Process, outputs: Vec::new() };
    Some((candidate, running.environment_trouble))
}

/// The program that a process runs, as far as that can be told.
pub(in crate::discovery) fn executable(host: &dyn Host, pid: i32) -> Option<HostPath> {
    let path =
        host.read_link(&Namespace::Host, &HostPath::from(format!("/proc/{pid}/exe"))).ok()?;
    // `proc_pid_exe(5)`: after an upgrade the file is another.
    let bytes = path.as_bytes();
    Some(HostPath::new(bytes.strip_suffix(b" (deleted)").unwrap_or(bytes)))
}
