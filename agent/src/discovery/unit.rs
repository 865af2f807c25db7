//! Units of systemd: what would start a service, as whom, with which environment. See `systemd.unit(5)`.
//!
//! Values of the environment live as long as the discovery and are never stored.

use std::collections::{BTreeMap, BTreeSet};

use atrest_proto::model::Reason;

use super::patterns;
use crate::host::{FileKind, Host};
use crate::ini::{self, Entry};
use crate::path::HostPath;
use crate::snapshot::{Namespace, Trouble};

use crate::variables::{self, words};

/// Where units are, the first wins.
const DIRECTORIES: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// Units are a few KiB.
const LIMIT: usize = 256 * 1024;

/// A service unit with what is dropped in.
#[derive(Clone, Default)]
pub(super) struct Unit {
    /// Such as `elasticsearch.service`.
    pub(super) name: String,
    /// The unit and what is dropped in, in the order in which later ones win.
    pub(super) files: Vec<HostPath>,
    entries: Vec<Entry>,
}

/// The service units of a host, by name; those of which `is_wanted` accepts the name or the text.
pub(super) fn services(
    host: &dyn Host,
    is_wanted: &dyn Fn(&str) -> bool,
) -> (Vec<Unit>, Vec<Trouble>) {
    let mut paths: BTreeMap<String, HostPath> = BTreeMap::new();
    let mut troubles = Vec::new();
    for directory in DIRECTORIES {
        let directory = HostPath::from(directory);
        match host.list(&Namespace::Host, &directory) {
            Ok(names) => {
                for name in names {
                    let Ok(name) = String::from_utf8(name) else { continue };
                    if name.ends_with(".service") {
                        let path = directory.join(&name);
                        paths.entry(name).or_insert(path);
                    }
                }
            }
            Err(trouble) if trouble.reason == Reason::NotFound => {}
            Err(trouble) => troubles.push(trouble),
        }
    }
    for name in instances(host) {
        // `elasticsearch@hot.service` is what `elasticsearch@.service` makes of `hot`.
        let template = name.split_once('@').map(|(prefix, _)| format!("{prefix}@.service"));
        if let Some(path) = template.and_then(|template| paths.get(&template).cloned()) {
            paths.entry(name).or_insert(path);
        }
    }
    let mut units = Vec::new();
    for (name, path) in paths {
        match text(host, &path) {
            Ok(Some(text)) if is_wanted(&name) || is_wanted(&text) => {
                units.push(Unit::load(host, name, path, &text, &mut troubles));
            }
            Ok(_) => {}
            // A link to a unit that is gone starts nothing.
            Err(trouble) if trouble.reason == Reason::NotFound => {}
            Err(trouble) => troubles.push(trouble),
        }
    }
    (units, troubles)
}

/// The instances of templates that are to be started, or that something is dropped into.
fn instances(host: &dyn Host) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut add = |name: String| {
        let instance = name.strip_suffix(".service").and_then(|stem| stem.split_once('@'));
        if instance.is_some_and(|(_, instance)| !instance.is_empty()) {
            found.insert(name);
        }
    };
    for directory in DIRECTORIES.map(HostPath::from) {
        for name in host.list(&Namespace::Host, &directory).unwrap_or_default() {
            let Ok(name) = String::from_utf8(name) else { continue };
            if [".wants", ".requires"].iter().any(|end| name.ends_with(end)) {
                let wanted = host.list(&Namespace::Host, &directory.join(&name));
                wanted
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(|name| String::from_utf8(name).ok())
                    .for_each(&mut add);
            } else if let Some(unit) = name.strip_suffix(".d") {
                add(unit.to_owned());
            }
        }
    }
    found
}

/// The text of a unit file; `None` when it is masked.
fn text(host: &dyn Host, path: &HostPath) -> Result<Option<String>, Trouble> {
    let kind = host.metadata(&Namespace::Host, path, true)?.kind;
    if kind != FileKind::File {
        let at = host.resolve(&Namespace::Host, path).at;
        if at.known().is_some_and(|at| at.path == HostPath::from("/dev/null")) {
            return Ok(None);
        }
        let detail = format!("{path}: not a regular file");
        return Err(Trouble::new(Reason::Unreadable, detail));
    }
    let bytes = host.read(&Namespace::Host, path, LIMIT)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

impl Unit {
    fn load(
        host: &dyn Host,
        name: String,
        path: HostPath,
        text: &str,
        troubles: &mut Vec<Trouble>,
    ) -> Self {
        let mut unit = Self { name, files: vec![path], entries: ini::entries(text) };
        for path in dropped_in(host, &unit.name) {
            match self::text(host, &path) {
                Ok(text) => {
                    unit.entries.extend(ini::entries(&text.unwrap_or_default()));
                    unit.files.push(path);
                }
                Err(trouble) => troubles.push(trouble),
            }
        }
        unit
    }

    /// The values of a key of `[Service]`, after what an empty assignment takes back.
    pub(super) fn all(&self, key: &str) -> Vec<String> {
        let mut values = Vec::new();
        for entry in self.entries.iter().filter(|e| e.section == "Service" && e.key == key) {
            if entry.value.is_empty() {
                values.clear();
            } else {
                values.push(self.specified(&entry.value));
            }
        }
        values
    }

    /// The last value of a key of `[Service]`.
    pub(super) fn last(&self, key: &str) -> Option<String> {
        self.all(key).pop()
    }

    /// The environment that the service starts with, in the order in which later assignments win.
    pub(super) fn environment(&self, host: &dyn Host) -> Vec<(String, String)> {
        let mut pairs: Vec<(String, String)> = self
            .all("Environment")
            .iter()
            .flat_map(|line| words(line))
            .filter_map(|word| word.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned())))
            .collect();
        for path in self.environment_files(host) {
            if let Ok(bytes) = host.read(&Namespace::Host, &path, LIMIT) {
                let found = variables::parse(&String::from_utf8_lossy(&bytes));
                pairs.extend(found.into_iter().map(|found| (found.name, found.value)));
            }
        }
        pairs
    }

    /// The files that the environment is read from. `systemd.exec(5)`: a name may be a pattern.
    pub(super) fn environment_files(&self, host: &dyn Host) -> Vec<HostPath> {
        let named = self.all("EnvironmentFile");
        let named = named.iter().map(|file| HostPath::from(file.trim_start_matches('-')));
        let files = named.flat_map(|path| {
            let is_pattern = path.as_bytes().iter().any(|byte| b"*?[".contains(byte));
            let files =
                is_pattern.then(|| patterns::files(host, &Namespace::Host, &path)).flatten();
            files.unwrap_or_else(|| vec![path])
        });
        files.collect()
    }

    /// The words of every command that the service consists of.
    pub(super) fn commands(&self) -> Vec<Vec<String>> {
        let commands = self.all("ExecStart");
        // `systemd.service(5)`: marks before the path say how it is run.
        let command =
            |line: &String| words(line.trim_start_matches(['@', '-', ':', '+', '!', '|']));
        commands.iter().map(command).collect()
    }

    /// `%n`, `%N`, `%p`, `%i` and `%%`. See `systemd.unit(5)`, "Specifiers".
    fn specified(&self, value: &str) -> String {
        let stem = self.name.trim_end_matches(".service");
        let (prefix, instance) = stem.split_once('@').unwrap_or((stem, ""));
        let mut result = String::new();
        let mut letters = value.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                result.push(letter);
                continue;
            }
            match letters.next() {
                Some('n') => result.push_str(&self.name),
                Some('N') => result.push_str(stem),
                Some('p' | 'P') => result.push_str(prefix),
                Some('i' | 'I') => result.push_str(instance),
                Some('%') | None => result.push('%'),
                Some(other) => {
                    result.push('%');
                    result.push(other);
                }
            }
        }
        result
    }
}

/// A part of the tree that a service sees otherwise than the host does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub(super) path: HostPath,
    /// The setting that says so, and where it stands.
    pub(super) key: String,
    pub(super) file: HostPath,
}

/// What a unit has its service see otherwise: `RootDirectory=`, `BindPaths=` and their like in `systemd.exec(5)`. A unit that
/// cannot be read was said to be so.
pub(super) fn views(host: &dyn Host, files: &[HostPath]) -> Vec<View> {
    let mut views: Vec<View> = Vec::new();
    for file in files {
        let Ok(Some(text)) = text(host, file) else { continue };
        for entry in ini::entries(&text).into_iter().filter(|entry| entry.section == "Service") {
            let paths = overlaid(&entry.key, &entry.value);
            if entry.value.is_empty() {
                views.retain(|view| view.key != entry.key);
            }
            views.extend(paths.into_iter().map(|path| View {
                path,
                key: entry.key.clone(),
                file: file.clone(),
            }));
        }
    }
    views
}

/// The paths at which a setting puts something else.
fn overlaid(key: &str, value: &str) -> Vec<HostPath> {
    let destination = |word: &String| {
        let word = word.trim_start_matches(['-', '+']);
        let mut parts = word.split(':');
        let source = parts.next()?;
        let path = match (key, parts.next()) {
            ("TemporaryFileSystem", _) => source,
            // Without another name it is what the host has.
            (_, None | Some("")) => return None,
            (_, Some(destination)) if destination == source => return None,
            (_, Some(destination)) => destination,
        };
        path.starts_with('/').then(|| HostPath::from(path).normalised())
    };
    match key {
        "RootDirectory" | "RootImage" if !value.is_empty() && value != "/" => {
            vec![HostPath::root()]
        }
        "BindPaths" | "BindReadOnlyPaths" | "MountImages" | "TemporaryFileSystem" => {
            words(value).iter().filter_map(destination).collect()
        }
        _ => Vec::new(),
    }
}

/// The files that are dropped in, by their names; one in an earlier directory hides one of the same name.
fn dropped_in(host: &dyn Host, unit: &str) -> Vec<HostPath> {
    let mut names = vec!["service.d".to_owned(), format!("{unit}.d")];
    // `elasticsearch@hot.service` takes what is dropped into `elasticsearch@.service` too.
    if let Some((prefix, rest)) = unit.split_once('@')
        && rest != ".service"
    {
        names.insert(1, format!("{prefix}@.service.d"));
    }
    let mut files: BTreeMap<Vec<u8>, HostPath> = BTreeMap::new();
    for directory_name in names {
        let mut own: BTreeMap<Vec<u8>, HostPath> = BTreeMap::new();
        for directory in DIRECTORIES {
            let directory = HostPath::from(directory).join(&directory_name);
            let names = host.list(&Namespace::Host, &directory).unwrap_or_default();
            for name in names.into_iter().filter(|name| name.ends_with(b".conf")) {
                let path = directory.join(&name);
                own.entry(name).or_insert(path);
            }
        }
        // What is more specific hides what is less so.
        files.extend(own);
    }
    files.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::recorded::RecordedHost;

    fn units(files: &[(&str, &str)], part: &str) -> (tempfile::TempDir, Vec<Unit>) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let (units, troubles) =
            services(&RecordedHost::new(root.path()), &|text| text.contains(part));
        assert_eq!(troubles, []);
        (root, units)
    }

    #[test]
    fn what_is_dropped_in_adds_and_takes_back() {
        let (root, units) = units(
            &[
                (
                    "usr/lib/systemd/system/elasticsearch.service",
                    "[Unit]\nUser=no\n[Service]\nUser=elasticsearch\nEnvironment=ES_HOME=/usr/share/elasticsearch\n\
                     Environment=\"A=x y\" B=1\nEnvironmentFile=-/etc/default/elasticsearch\n\
                     ExecStart=/usr/share/elasticsearch/bin/systemd-entrypoint -p ${PID_DIR}/elasticsearch.pid --quiet\n",
                ),
                (
                    "etc/systemd/system/elasticsearch.service.d/override.conf",
                    "[Service]\nUser=es\nEnvironment=B=2\nExecStart=\nExecStart=-/opt/es/bin/elasticsearch -Epath.data=/d\n",
                ),
                (
                    "usr/lib/systemd/system/elasticsearch.service.d/override.conf",
                    "[Service]\nUser=hidden\n",
                ),
                ("etc/default/elasticsearch", "B=3\nES_PATH_CONF=/srv/conf\n"),
                ("usr/lib/systemd/system/ssh.service", "[Service]\nUser=root\n"),
            ],
            "elasticsearch",
        );
        let [unit] = units.as_slice() else { panic!("{} units", units.len()) };
        assert_eq!(unit.last("User").as_deref(), Some("es"));
        assert_eq!(unit.commands(), [["/opt/es/bin/elasticsearch", "-Epath.data=/d"]]);
        let pairs = unit.environment(&RecordedHost::new(root.path()));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            pairs,
            [
                pair("ES_HOME", "/usr/share/elasticsearch"),
                pair("A", "x y"),
                pair("B", "1"),
                pair("B", "2"),
                pair("B", "3"),
                pair("ES_PATH_CONF", "/srv/conf"),
            ]
        );
        assert_eq!(unit.files.len(), 2);
    }

    #[test]
    fn instances_of_templates_know_their_names() {
        let (_root, units) = units(
            &[
                (
                    "etc/systemd/system/elasticsearch@hot.service",
                    "[Service]\nEnvironment=ES_PATH_CONF=/etc/%p/%i 100%%\n",
                ),
                ("etc/systemd/system/elasticsearch@.service.d/a.conf", "[Service]\nUser=%p-%i\n"),
            ],
            "elasticsearch@hot",
        );
        let [unit] = units.as_slice() else { panic!("{} units", units.len()) };
        assert_eq!(
            unit.last("Environment").as_deref(),
            Some("ES_PATH_CONF=/etc/elasticsearch/hot 100%")
        );
        assert_eq!(unit.last("User").as_deref(), Some("elasticsearch-hot"));
    }

    #[test]
    fn instances_are_known_by_the_links_that_enable_them() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("etc/systemd/system");
        let wants = directory.join("multi-user.target.wants");
        std::fs::create_dir_all(&wants).unwrap();
        std::fs::write(directory.join("es@.service"), "[Service]\nUser=%i\n").unwrap();
        for (name, target) in [
            ("es@hot.service", "es@.service"),
            ("a@b.service", "a@.service"),
            ("ssh.service", "ssh.service"),
        ] {
            std::os::unix::fs::symlink(format!("../{target}"), wants.join(name)).unwrap();
        }
        let (units, _) = services(&RecordedHost::new(root.path()), &|_| true);
        let found: Vec<(&str, Option<String>)> =
            units.iter().map(|unit| (unit.name.as_str(), unit.last("User"))).collect();
        let user = |name: &str| Some(name.to_owned());
        assert_eq!(found, [("es@.service", user("")), ("es@hot.service", user("hot"))]);
    }

    #[test]
    fn what_is_no_regular_file_is_said_and_not_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("etc/systemd/system");
        std::fs::create_dir_all(&directory).unwrap();
        for name in ["elasticsearch.service", "environment"] {
            let path = directory.join(name);
            rustix::fs::mknodat(
                rustix::fs::CWD,
                &path,
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::from_raw_mode(0o600),
                0,
            )
            .unwrap();
        }
        let text = "[Service]\nEnvironmentFile=/etc/systemd/system/environment\nUser=x\n";
        std::fs::write(directory.join("opensearch.service"), text).unwrap();
        let host = RecordedHost::new(root.path());
        let (units, troubles) = services(&host, &|_| true);
        let [unit] = units.as_slice() else { panic!("{} units", units.len()) };
        assert_eq!(unit.environment(&host), []);
        let [trouble] = troubles.as_slice() else { panic!("{troubles:?}") };
        assert!(trouble.detail.contains("elasticsearch.service: not a regular"), "{trouble}");
    }

    #[test]
    fn a_masked_unit_is_none() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("etc/systemd/system");
        std::fs::create_dir_all(&directory).unwrap();
        std::os::unix::fs::symlink("/dev/null", directory.join("elasticsearch.service")).unwrap();
        let (units, _) = services(&RecordedHost::new(root.path()), &|_| true);
        assert!(units.is_empty());
    }
}
