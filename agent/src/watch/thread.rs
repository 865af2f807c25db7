//! The thread that watches: one poll of all descriptors.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use atrest_proto::model::{Gap, Reason};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::time::Timespec;
use tokio::sync::mpsc;

use super::Watch;
use super::clock::Clock;
use super::files::Files;
use super::newcomers::Newcomers;
use super::processes::{Of, Processes};
use super::tables::Table;
use super::uevent::Devices;

/// A service that starts has its files open after a while: then it is looked at again, and once more when a slow one has.
const SETTLED: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(30)];

/// How often it is looked whether a service has come that no directory tells of.
const NEWCOMERS: Duration = Duration::from_secs(20);

/// In bytes: it keeps what it reads on the stack, and calls nothing deep.
const STACK: usize = 256 << 10;

pub(super) fn start(
    watch: Watch,
    generation: u64,
    wake: Arc<OwnedFd>,
    tell: mpsc::Sender<()>,
) -> io::Result<()> {
    let thread = std::thread::Builder::new().name("watch".to_owned()).stack_size(STACK);
    thread.spawn(move || {
        let mut watcher = Watcher::new(watch, generation, wake, tell);
        if let Err(errno) = watcher.run() {
            tracing::error!(error = %errno, "the host is not watched any more");
        }
    })?;
    Ok(())
}

struct Watcher {
    watch: Watch,
    generation: u64,
    wake: Arc<OwnedFd>,
    tell: mpsc::Sender<()>,
    devices: Option<Devices>,
    mounts: Option<Table>,
    swaps: Option<Table>,
    /// Of md; where there are none, there may be no such table.
    arrays: Option<Table>,
    clock: Option<Clock>,
    newcomers: Newcomers,
    /// When to look for processes that have come.
    look_at: Instant,
    files: Option<Files>,
    processes: Processes,
    /// When to look once more, the next one last.
    later: Vec<Instant>,
}

/// What a descriptor is of.
#[derive(Debug, Clone, Copy)]
enum Source {
    Wake,
    Devices,
    Mounts,
    Swaps,
    Arrays,
    Clock,
    Files,
    Process(Of),
}

/// What is said to the daemon.
#[derive(Debug, Clone, Copy, Default)]
struct Said {
    changed: bool,
    /// What changed may have just begun.
    starts: bool,
}

impl Watcher {
    fn new(watch: Watch, generation: u64, wake: Arc<OwnedFd>, tell: mpsc::Sender<()>) -> Self {
        Self {
            watch,
            generation,
            wake,
            tell,
            devices: None,
            mounts: None,
            swaps: None,
            arrays: None,
            clock: None,
            newcomers: Newcomers::default(),
            look_at: Instant::now(),
            files: None,
            processes: Processes::default(),
            later: Vec::new(),
        }
    }

    fn run(&mut self) -> rustix::io::Result<()> {
        // What happened before there was a watch, nobody saw.
        self.renew();
        self.say("the watch began");
        loop {
            let ready = self.wait()?;
            let mut said = Said::default();
            for source in ready {
                match source {
                    Source::Wake => {
                        let mut count = [0_u8; 8];
                        rustix::io::read(&self.wake, &mut count[..]).ok();
                        if self.watch.state().generation != self.generation {
                            return Ok(());
                        }
                        said.changed |= self.renew();
                    }
                    Source::Devices => {
                        let changed = self.devices()?;
                        said.changed |= changed;
                        // What is told before it is done, such as a disk that is made ready for a file system of many.
                        said.starts |= changed;
                    }
                    Source::Arrays => {
                        tracing::debug!("the arrays changed");
                        // It tells again until it is read: by another descriptor.
                        self.arrays = None;
                        self.open_arrays();
                        said = Said { changed: true, starts: true };
                    }
                    Source::Mounts => {
                        tracing::debug!("the mounts changed");
                        said = Said { changed: true, starts: true };
                    }
                    Source::Swaps => {
                        tracing::debug!("the swap areas changed");
                        said.changed = true;
                    }
                    Source::Clock => said.changed |= self.clock()?,
                    Source::Files => {
                        let heard = self.files()?;
                        said.changed |= heard.changed;
                        said.starts |= heard.starts;
                    }
                    Source::Process(Of::Table(_)) => said = Said { changed: true, starts: true },
                    Source::Process(Of::End(pid)) => {
                        tracing::debug!(pid, "a process ended");
                        self.processes.forget(pid);
                        // Whoever ended it may start another.
                        said = Said { changed: true, starts: true };
                    }
                }
            }
            if self.look_at <= Instant::now() {
                self.look_at = Instant::now() + NEWCOMERS;
                let came = self.newcomers.look(&self.watch.0.root);
                said.changed |= came;
                said.starts |= came;
            }
            if said.starts {
                let now = Instant::now();
                self.later = SETTLED.iter().rev().map(|after| now + *after).collect();
            }
            if self.later.last().is_some_and(|at| *at <= Instant::now()) {
                self.later.pop();
                said.changed = true;
            }
            if said.changed {
                self.say("something changed");
            }
        }
    }

    /// Whoever is told and has not come to it yet, knows.
    fn say(&self, what: &str) {
        tracing::trace!(what, "told");
        self.tell.try_send(()).ok();
    }

    /// Waits until something is there to hear, or it is time to look once more.
    fn wait(&self) -> rustix::io::Result<Vec<Source>> {
        let mut sources = vec![(Source::Wake, self.wake.as_fd(), PollFlags::IN)];
        let mut add = |source, descriptor, flags| {
            if let Some(descriptor) = descriptor {
                sources.push((source, descriptor, flags));
            }
        };
        add(Source::Devices, self.devices.as_ref().map(|one| one.as_fd()), PollFlags::IN);
        add(Source::Mounts, self.mounts.as_ref().map(|one| one.as_fd()), PollFlags::PRI);
        add(Source::Swaps, self.swaps.as_ref().map(|one| one.as_fd()), PollFlags::PRI);
        add(Source::Arrays, self.arrays.as_ref().map(|one| one.as_fd()), PollFlags::PRI);
        add(Source::Clock, self.clock.as_ref().map(|one| one.as_fd()), PollFlags::IN);
        add(Source::Files, self.files.as_ref().map(|one| one.as_fd()), PollFlags::IN);
        for (of, descriptor) in self.processes.descriptors() {
            let flags = match of {
                Of::End(_) => PollFlags::IN,
                Of::Table(_) => PollFlags::PRI,
            };
            add(Source::Process(of), Some(descriptor), flags);
        }
        let mut asked: Vec<PollFd<'_>> = sources
            .iter()
            .map(|(_, descriptor, flags)| PollFd::from_borrowed_fd(*descriptor, *flags))
            .collect();
        let until = self.later.last().map_or(self.look_at, |later| self.look_at.min(*later));
        let left = until.saturating_duration_since(Instant::now());
        // More than there is of time: then it waits for an event.
        let left = Timespec::try_from(left).ok();
        match poll(&mut asked, left.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(errno) => return Err(errno),
        }
        let ready = sources.iter().zip(&asked).filter(|(_, asked)| !asked.revents().is_empty());
        Ok(ready.map(|((source, ..), _)| *source).collect())
    }

    /// Watches what the latest plan has. Whether that is news: then a look is to follow.
    fn renew(&mut self) -> bool {
        let plan = Arc::clone(&self.watch.state().plan);
        let root = self.watch.0.root.clone();
        let mut is_news = self.open_sources(&root);
        self.open_arrays();
        let (opened, mut gaps) =
            opened(&mut self.files, Files::open, "changes of files", |errno| {
                if errno == Errno::MFILE { "raise fs.inotify.max_user_instances" } else { "" }
            });
        is_news |= opened;
        if let Some(files) = &mut self.files {
            let applied = files.apply(&plan, &root);
            is_news |= applied.is_news;
            gaps.extend(applied.gaps);
        }
        let applied = self.processes.apply(&plan, &root);
        is_news |= applied.is_news;
        let mut state = self.watch.state();
        is_news |= state.sight.blind("files", gaps);
        is_news |= state.sight.blind("processes", applied.gaps);
        drop(state);
        tracing::debug!(
            names = plan.names.len(),
            processes = plan.processes.len(),
            is_news,
            "watching"
        );
        is_news
    }

    /// Opens the sources that have no plan, those that could not be opened before as well.
    fn open_sources(&mut self, root: &Path) -> bool {
        let is_own = root == Path::new("/");
        let table = |path: &'static str| {
            move || {
                Table::open(&root.join(path))
                    .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
            }
        };
        let mounts = if is_own { "proc/self/mountinfo" } else { "proc/1/mountinfo" };
        let no_remedy = |_| "";
        let hears_devices = || if hears_kernel() { Devices::open() } else { Err(Errno::PERM) };
        let all = [
            (
                "devices",
                opened(
                    &mut self.devices,
                    hears_devices,
                    "changes of devices",
                    |_| "run the agent outside of a user namespace",
                ),
            ),
            ("mounts", opened(&mut self.mounts, table(mounts), "changes of mounts", no_remedy)),
            (
                "swaps",
                opened(&mut self.swaps, table("proc/swaps"), "changes of swap areas", no_remedy),
            ),
            ("clock", opened(&mut self.clock, Clock::open, "jumps of the clock", no_remedy)),
        ];
        let mut state = self.watch.state();
        let mut is_news = false;
        for (source, (opened, gaps)) in all {
            is_news |= opened;
            // A kernel that was built without swap has no such table.
            let is_none = source == "swaps" && !root.join("proc/swaps").exists();
            is_news |= state.sight.blind(source, if is_none { Vec::new() } else { gaps });
        }
        is_news
    }

    fn open_arrays(&mut self) {
        if self.arrays.is_none() {
            let path = self.watch.0.root.join("proc/mdstat");
            // Opening it counts as reading it.
            self.arrays = path.exists().then(|| Table::open(&path).ok()).flatten();
        }
    }

    fn missed(&self, subject: &'static str, why: &str, remedy: &'static str) {
        tracing::warn!(subject, why, "something was missed: everything is looked at again");
        self.watch.state().sight.missed(subject, why, remedy, (self.watch.0.now)());
    }

    fn devices(&self) -> rustix::io::Result<bool> {
        let Some(devices) = &self.devices else { return Ok(false) };
        let heard = devices.hear()?;
        if heard.overflowed {
            self.missed(
                "changes of devices",
                "the kernel had more to say than its queue takes",
                "",
            );
        } else if heard.changed {
            tracing::debug!("a block device changed");
        }
        Ok(heard.changed || heard.overflowed)
    }

    fn files(&mut self) -> rustix::io::Result<Said> {
        let Some(files) = &mut self.files else { return Ok(Said::default()) };
        let heard = files.hear()?;
        if heard.overflowed {
            let why = "the kernel had more to say than its queue takes";
            self.missed("changes of files", why, "raise fs.inotify.max_queued_events");
        } else if heard.changed {
            tracing::debug!(starts = heard.starts, "a file changed");
        }
        Ok(Said { changed: heard.changed || heard.overflowed, starts: heard.starts })
    }

    fn clock(&self) -> rustix::io::Result<bool> {
        let Some(clock) = &self.clock else { return Ok(false) };
        let jumped = clock.jumped()?;
        if jumped {
            tracing::info!("the clock was set, or this machine slept");
        }
        Ok(jumped)
    }
}

/// Opens a source that is not open. Whether it is now, and what it means that it is not.
fn opened<T>(
    source: &mut Option<T>,
    open: impl FnOnce() -> Result<T, Errno>,
    subject: &str,
    remedy: impl FnOnce(Errno) -> &'static str,
) -> (bool, Vec<Gap>) {
    if source.is_some() {
        return (false, Vec::new());
    }
    match open() {
        Ok(one) => {
            *source = Some(one);
            (true, Vec::new())
        }
        Err(errno) => {
            let is_denied = matches!(errno, Errno::ACCESS | Errno::PERM);
            let gap = Gap {
                subject: subject.to_owned(),
                reason: if is_denied { Reason::NoPermission } else { Reason::Unreadable },
                detail: format!("{errno}: they are seen at the next full scan only"),
                remedy: remedy(errno).to_owned(),
            };
            (false, vec![gap])
        }
    }
}

/// Whether the kernel tells this process of devices: it does in the first user namespace only, and elsewhere is silent.
fn hears_kernel() -> bool {
    use crate::host::Host as _;
    use crate::host::live::LiveHost;
    use crate::keystore::ids::{self, Map};
    use crate::snapshot::Namespace;
    let host = LiveHost::new("/");
    let Ok(text) = host.read(&Namespace::Host, &"/proc/self/uid_map".into(), ids::MAX_SIZE) else {
        // A kernel without user namespaces.
        return true;
    };
    Map::parse(&text).is_ok_and(|map| map.is_identity())
}
