//! Names that are watched with `inotify(7)`: files, directories, and links as such.

use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use atrest_proto::model::{Gap, Reason};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::plan::{Plan, Wanted};
use crate::discovery::mentions_product;
use crate::host::deadline;
use crate::path::HostPath;
use crate::snapshot::Namespace;

/// What one read takes: an event with the longest name has 272 bytes.
const BUFFER: usize = 16 << 10;

/// What tells that a name leads elsewhere now.
const LEAVES: ReadFlags =
    ReadFlags::DELETE_SELF.union(ReadFlags::MOVE_SELF).union(ReadFlags::UNMOUNT);
/// File systems whose files others change, of which this kernel hears nothing: NFS, SMB (three numbers), FUSE, 9P, Ceph, AFS,
/// GFS2, OCFS2, Lustre. See `linux/magic.h` and `statfs(2)`.
const SHARED: [i64; 11] = [
    0x6969,
    0xff53_4d42,
    0xfe53_4d42,
    0x517b,
    0x6573_5546,
    0x0102_1997,
    0x00c3_6400,
    0x5346_414f,
    0x0116_1970,
    0x7461_636f,
    0x0bd0_0bd0,
];
const COMES: ReadFlags = ReadFlags::CREATE.union(ReadFlags::MOVED_TO);
const GOES: ReadFlags = ReadFlags::DELETE.union(ReadFlags::MOVED_FROM);

/// The names that are watched.
#[derive(Debug)]
pub(super) struct Files {
    inotify: Arc<OwnedFd>,
    /// By the kernel's number: one for each file, whatever names it has.
    watched: BTreeMap<i32, Wanted>,
    /// Names that were gone when they were to be watched, by the last plan.
    gone: Vec<(Namespace, HostPath)>,
}

/// What came of a new plan.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// Something is watched that was not before: what happened to it until now was not seen.
    pub(super) is_news: bool,
    pub(super) gaps: Vec<Gap>,
}

/// What was heard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) changed: bool,
    /// A name that mentions a product came or went.
    pub(super) starts: bool,
    /// The queue was full, and something was not heard.
    pub(super) overflowed: bool,
}

impl Files {
    pub(super) fn open() -> rustix::io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self { inotify: Arc::new(inotify), watched: BTreeMap::new(), gone: Vec::new() })
    }

    /// Watches what the plan has, and nothing else.
    ///
    /// Each name is looked up anew: a mount or a rename above it may have put another file in its place.
    pub(super) fn apply(&mut self, plan: &Plan, root: &Path) -> Applied {
        let mut applied = Applied::default();
        let mut watched: BTreeMap<i32, Wanted> = BTreeMap::new();
        let (mut gone, mut refused, mut shared) = (Vec::new(), 0_usize, Vec::new());
        let mut failures = Failures::default();
        for (key, wanted) in &plan.names {
            match self.watch(&real(root, key), wanted) {
                Ok(Added { number, is_shared }) => {
                    watched.entry(number).or_default().add(wanted);
                    if is_shared && (wanted.access || wanted.contents) {
                        shared.push(&key.1);
                    }
                }
                // It went between the look and now: another look is to see that, unless it did not help.
                Err(Failed::Gone) => {
                    if self.gone.contains(key) {
                        let detail = "it is there, and cannot be watched".to_owned();
                        failures.add(&key.1, Reason::Unreadable, detail, "");
                    } else {
                        applied.is_news = true;
                    }
                    gone.push(key.clone());
                }
                Err(Failed::Full) => refused += 1,
                Err(Failed::Otherwise(reason, detail, remedy)) => {
                    failures.add(&key.1, reason, detail, remedy);
                }
            }
        }
        if refused > 0 || plan.left_out > 0 {
            applied.gaps.push(unwatched(refused, plan.left_out));
        }
        applied.gaps.extend(failures.gaps());
        applied.gaps.extend(on_other_machines(&shared));
        let covers = |(number, wanted): (&i32, &Wanted)| {
            self.watched.get(number).is_some_and(|known| known.covers(wanted))
        };
        applied.is_news |= !watched.iter().all(covers);
        for number in self.watched.keys().filter(|number| !watched.contains_key(number)) {
            // The kernel forgets those of files that are gone by itself.
            inotify::remove_watch(&*self.inotify, *number).ok();
        }
        (self.watched, self.gone) = (watched, gone);
        applied
    }

    /// A lookup may wait for a server or a dead disk, as every look may.
    fn watch(&self, path: &Path, wanted: &Wanted) -> Result<Added, Failed> {
        let (inotify, asked, flags) = (Arc::clone(&self.inotify), path.to_owned(), wanted.flags());
        let what = format!("watch {}", path.display());
        let added = deadline::run(deadline::PER_ASSET, &what, move || {
            let number = inotify::add_watch(&*inotify, &asked, flags)?;
            let is_shared =
                rustix::fs::statfs(&asked).is_ok_and(|found| SHARED.contains(&found.f_type));
            Ok(Added { number, is_shared })
        });
        match added {
            Ok(Ok(added)) => Ok(added),
            Ok(Err(Errno::NOENT | Errno::NOTDIR | Errno::SRCH)) => Err(Failed::Gone),
            Ok(Err(Errno::NOSPC)) => Err(Failed::Full),
            Ok(Err(errno @ (Errno::ACCESS | Errno::PERM))) => Err(Failed::Otherwise(
                Reason::NoPermission,
                errno.to_string(),
                "run the agent as root: watching a file takes the right to read it",
            )),
            Ok(Err(errno)) => Err(Failed::Otherwise(Reason::Unreadable, errno.to_string(), "")),
            Err(trouble) => Err(Failed::Otherwise(trouble.reason, trouble.detail, "")),
        }
    }

    /// Hears all that happened until now.
    pub(super) fn hear(&mut self) -> rustix::io::Result<Heard> {
        let mut heard = Heard::default();
        let mut forgotten = Vec::new();
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut reader = Reader::new(&*self.inotify, &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno),
            };
            let what = event.events();
            if what.contains(ReadFlags::QUEUE_OVERFLOW) {
                heard.overflowed = true;
            } else if what.contains(ReadFlags::IGNORED) {
                forgotten.push(event.wd());
            } else {
                let name = event.file_name().map(std::ffi::CStr::to_bytes);
                let meant = match self.watched.get(&event.wd()) {
                    Some(wanted) => wanted.meaning(what, name),
                    // Of a watch that was added by a look that was given up.
                    None => Meaning { matters: false, starts: false },
                };
                heard.changed |= meant.matters;
                heard.starts |= meant.starts;
            }
        }
        for number in forgotten {
            self.watched.remove(&number);
        }
        Ok(heard)
    }
}

impl AsFd for Files {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// A name that is watched.
struct Added {
    number: i32,
    /// Others may change it without this kernel.
    is_shared: bool,
}

/// Why a name is not watched.
enum Failed {
    Gone,
    /// The limit of watches is reached.
    Full,
    Otherwise(Reason, String, &'static str),
}

/// What an event is to a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Meaning {
    matters: bool,
    starts: bool,
}

impl Wanted {
    /// What the kernel is asked for. What a watch of the same file has already stays.
    fn flags(&self) -> WatchFlags {
        let mut flags = WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::DONT_FOLLOW
            | WatchFlags::MASK_ADD;
        if self.access || self.contents {
            flags |= WatchFlags::ATTRIB;
        }
        if self.contents {
            flags |= WatchFlags::CLOSE_WRITE;
        }
        if self.contents || self.products || !self.awaited.is_empty() {
            flags |= WatchFlags::CREATE | WatchFlags::MOVED_TO;
        }
        if self.contents || self.products {
            flags |= WatchFlags::DELETE | WatchFlags::MOVED_FROM;
        }
        flags
    }

    /// Whether nothing of the other is missing here.
    fn covers(&self, other: &Self) -> bool {
        (self.access || !other.access)
            && (self.contents || !other.contents)
            && (self.products || !other.products)
            && self.awaited.is_superset(&other.awaited)
    }

    fn add(&mut self, other: &Self) {
        self.access |= other.access;
        self.contents |= other.contents;
        self.products |= other.products;
        self.awaited.extend(other.awaited.iter().cloned());
    }

    /// What an event means, of the file itself or of a name in the directory.
    fn meaning(&self, what: ReadFlags, name: Option<&[u8]>) -> Meaning {
        let Some(name) = name else {
            let own = LEAVES.union(ReadFlags::ATTRIB).union(ReadFlags::CLOSE_WRITE);
            return Meaning { matters: what.intersects(own), starts: false };
        };
        let starts = self.products
            && what.intersects(COMES.union(GOES))
            && mentions_product(&String::from_utf8_lossy(name));
        let is_awaited = what.intersects(COMES) && self.awaited.contains(name);
        Meaning { matters: starts || is_awaited || self.contents, starts }
    }
}

/// The path for this process of what a process in that namespace calls so.
fn real(root: &Path, (namespace, path): &(Namespace, HostPath)) -> PathBuf {
    let below = match namespace {
        Namespace::Host => root.to_owned(),
        Namespace::Process(pid) => root.join(format!("proc/{pid}/root")),
    };
    let inside = path.as_path().strip_prefix("/").unwrap_or(path.as_path());
    below.join(inside)
}

/// Names that are not watched, by what would help: the first of them, and how many more there are.
#[derive(Default)]
struct Failures(BTreeMap<(Reason, &'static str), (HostPath, String, usize)>);

impl Failures {
    fn add(&mut self, path: &HostPath, reason: Reason, detail: String, remedy: &'static str) {
        let (_, _, count) =
            self.0.entry((reason, remedy)).or_insert_with(|| (path.clone(), detail, 0));
        *count += 1;
    }

    /// One for each cause: an agent without rights is not to report every file.
    fn gaps(self) -> impl Iterator<Item = Gap> {
        self.0.into_iter().map(|((reason, remedy), (first, detail, count))| Gap {
            subject: match count {
                0 | 1 => format!("changes of {first}"),
                more => format!("changes of {first} and {} more names", more - 1),
            },
            reason,
            detail: format!("{detail}: they are seen at the next full scan only"),
            remedy: remedy.to_owned(),
        })
    }
}

fn on_other_machines(names: &[&HostPath]) -> Option<Gap> {
    let first = names.first()?;
    Some(Gap {
        subject: "changes by other machines".to_owned(),
        reason: Reason::Unreadable,
        detail: format!(
            "{} names lie on a network or FUSE file system, such as {first}: what others change there is seen at the next full \
             scan only",
            names.len()
        ),
        remedy: String::new(),
    })
}

fn unwatched(refused: usize, left_out: usize) -> Gap {
    let (detail, remedy) = if refused > 0 {
        (
            format!("the limit of watches is reached, {refused} names are not watched"),
            "raise fs.inotify.max_user_watches",
        )
    } else {
        (format!("there are {left_out} names more than are watched"), "")
    };
    Gap {
        subject: "changes of files".to_owned(),
        reason: Reason::Unreadable,
        detail: format!("{detail}: their changes are seen at the next full scan only"),
        remedy: remedy.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A directory, and what watches it as `plan` says.
    struct Scene {
        scratch: tempfile::TempDir,
        files: Files,
        plan: Plan,
    }

    impl Scene {
        fn new(wanted: &[(&str, Wanted)]) -> Self {
            let scratch = tempfile::tempdir().unwrap();
            fs::create_dir(scratch.path().join("d")).unwrap();
            fs::write(scratch.path().join("d/f"), "x").unwrap();
            let name = |name: &str| (Namespace::Host, HostPath::from(scratch.path().join(name)));
            let names = wanted.iter().map(|(path, wanted)| (name(path), wanted.clone())).collect();
            let plan = Plan { names, ..Plan::default() };
            let mut scene = Self { files: Files::open().unwrap(), plan, scratch };
            assert!(scene.apply().is_news);
            assert!(!scene.apply().is_news, "the same plan is no news");
            scene
        }

        fn apply(&mut self) -> Applied {
            self.files.apply(&self.plan, Path::new("/"))
        }

        fn at(&self, name: &str) -> PathBuf {
            self.scratch.path().join(name)
        }

        fn heard(&mut self, what: impl FnOnce(&Self)) -> bool {
            assert_eq!(self.files.hear().unwrap(), Heard::default());
            what(self);
            self.files.hear().unwrap().changed
        }
    }

    fn all() -> Wanted {
        Wanted { access: true, contents: true, ..Wanted::default() }
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_file_that_matters_is_heard_of_in_every_way_that_it_changes() {
        let mut scene = Scene::new(&[("d", all()), ("d/f", all())]);
        assert!(scene.heard(|scene| mode(&scene.at("d/f"), 0o644)));
        assert!(scene.heard(|scene| mode(&scene.at("d/f"), 0o600)));
        assert!(scene.heard(|scene| fs::write(scene.at("d/f"), "y").unwrap()));
        // As editors do it.
        assert!(scene.heard(|scene| {
            fs::write(scene.at("d/f.tmp"), "z").unwrap();
            fs::rename(scene.at("d/f.tmp"), scene.at("d/f")).unwrap();
        }));
        scene.apply();
        assert!(scene.heard(|scene| fs::remove_file(scene.at("d/f")).unwrap()));
        scene.apply();
        assert!(scene.heard(|scene| fs::write(scene.at("d/f"), "again").unwrap()));
        assert!(scene.apply().is_news, "the new file is another one");
        assert!(scene.heard(|scene| mode(&scene.at("d/f"), 0o666)));
        assert!(scene.heard(|scene| mode(&scene.at("d"), 0o777)));
    }

    #[test]
    fn another_name_of_the_file_hides_nothing() {
        let mut scene = Scene::new(&[("d/f", all())]);
        fs::hard_link(scene.at("d/f"), scene.at("elsewhere")).unwrap();
        scene.files.hear().unwrap();
        assert!(scene.heard(|scene| fs::write(scene.at("elsewhere"), "y").unwrap()));
    }

    #[test]
    fn what_happens_in_a_directory_on_the_way_is_not_heard_but_that_it_goes_is() {
        let mut scene = Scene::new(&[("d", Wanted::default())]);
        assert!(!scene.heard(|scene| {
            fs::write(scene.at("d/log"), "x").unwrap();
            mode(&scene.at("d/log"), 0o600);
            fs::remove_file(scene.at("d/log")).unwrap();
        }));
        assert!(scene.heard(|scene| fs::rename(scene.at("d"), scene.at("e")).unwrap()));
        // Another directory of that name: what is watched is it, not the one that went.
        fs::create_dir(scene.at("d")).unwrap();
        assert!(scene.apply().is_news);
        assert!(!scene.heard(|scene| fs::rename(scene.at("e"), scene.at("g")).unwrap()));
        assert!(scene.heard(|scene| fs::remove_dir(scene.at("d")).unwrap()));
    }

    #[test]
    fn a_link_is_watched_itself() {
        let mut scene = Scene::new(&[("d", Wanted::default())]);
        std::os::unix::fs::symlink("d", scene.at("link")).unwrap();
        let key = (Namespace::Host, HostPath::from(scene.at("link")));
        scene.plan.names.insert(key, Wanted::default());
        scene.apply();
        assert!(scene.heard(|scene| {
            std::os::unix::fs::symlink("/", scene.at("new")).unwrap();
            fs::rename(scene.at("new"), scene.at("link")).unwrap();
        }));
    }

    #[test]
    fn an_awaited_name_is_heard_of_and_no_other() {
        let awaited = [b"es".to_vec()].into();
        let mut scene = Scene::new(&[("d", Wanted { awaited, ..Wanted::default() })]);
        assert!(!scene.heard(|scene| fs::create_dir(scene.at("d/other")).unwrap()));
        assert!(scene.heard(|scene| fs::create_dir(scene.at("d/es")).unwrap()));
    }

    #[test]
    fn a_name_of_a_product_tells_of_a_start() {
        let wanted = Wanted { products: true, ..Wanted::default() };
        let mut scene = Scene::new(&[("d", wanted)]);
        fs::write(scene.at("d/invocation:cron.service"), "").unwrap();
        assert_eq!(scene.files.hear().unwrap(), Heard::default());
        fs::write(scene.at("d/invocation:elasticsearch.service"), "").unwrap();
        let heard = scene.files.hear().unwrap();
        assert!(heard.changed && heard.starts);
    }

    #[test]
    fn a_name_that_stays_away_is_looked_for_once_more_and_then_a_gap() {
        let mut scene = Scene::new(&[("d", all())]);
        let key = (Namespace::Host, HostPath::from(scene.at("d/none")));
        scene.plan.names.insert(key, all());
        let first = scene.apply();
        assert!(first.is_news && first.gaps.is_empty());
        let second = scene.apply();
        assert!(!second.is_news && second.gaps.len() == 1, "{second:?}");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a number of the kernel")]
    fn a_queue_that_was_full_is_told_and_what_comes_then_is_heard() {
        let mut scene = Scene::new(&[("d", all())]);
        let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        // Two events each, none like the one before.
        for count in 0..=limit.trim().parse::<u32>().unwrap() / 2 {
            let path = scene.at(&format!("d/{count}"));
            fs::create_dir(&path).unwrap();
            fs::remove_dir(&path).unwrap();
        }
        assert!(scene.files.hear().unwrap().overflowed);
        assert!(scene.heard(|scene| mode(&scene.at("d/f"), 0o644)));
        assert!(!scene.files.hear().unwrap().overflowed);
    }

    #[test]
    fn names_that_fail_for_one_cause_are_one_gap() {
        let mut failures = Failures::default();
        for path in ["/a", "/b", "/c"] {
            let detail = "denied".to_owned();
            failures.add(&HostPath::from(path), Reason::NoPermission, detail, "run as root");
        }
        failures.add(&HostPath::from("/d"), Reason::Timeout, "slow".to_owned(), "");
        let mut subjects: Vec<String> = failures.gaps().map(|gap| gap.subject).collect();
        subjects.sort_unstable();
        assert_eq!(subjects, ["changes of /a and 2 more names", "changes of /d"]);
    }

    #[test]
    fn what_others_may_change_unheard_is_told() {
        assert_eq!(on_other_machines(&[]), None);
        let path = HostPath::from("/etc/es");
        let gap = on_other_machines(&[&path, &path]).unwrap();
        assert!(gap.detail.starts_with("2 names") && gap.detail.contains("/etc/es"), "{gap:?}");
    }

    #[test]
    fn what_is_not_in_the_plan_any_more_is_heard_of_no_more() {
        let mut scene = Scene::new(&[("d", all())]);
        scene.plan.names.clear();
        assert!(!scene.apply().is_news);
        scene.files.hear().unwrap();
        assert!(!scene.heard(|scene| mode(&scene.at("d/f"), 0o644)));
    }
}
