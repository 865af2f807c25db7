//! Where the pipelines of Logstash write: files of events, positions, what waits for an upload. Each counts while it is not
//! open, too.

use atrest_proto::model::{Gap, Reason, Use};
use zeroize::Zeroizing;

use super::instance::{AS_ROOT, Instance, absolute};
use super::process::gap;
use super::stack::Lookup;
use super::yaml;
use crate::host::{FileKind, Host};
use crate::path::HostPath;
use crate::pipeline::{self, Plugin};

/// What to do about a path that is not known.
const NAME_IT: &str = "name the paths that the pipeline writes to in the agent's configuration";

/// More bytes of pipelines than this have no instance; any user may start a program that names files.
const MOST_BYTES: usize = 64 << 20;
/// More gaps than this tell nothing new.
const MOST_GAPS: usize = 50;

/// What an option names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A file; what comes to lie in its directory is judged.
    File,
    Directory,
}

/// An option of plug-ins that they write to, or that an event makes the name of a file of.
struct Writer {
    section: &'static str,
    /// Empty: of any.
    plugin: &'static str,
    option: &'static str,
    usage: Use,
    kind: Kind,
}

const fn writer(
    section: &'static str,
    plugin: &'static str,
    option: &'static str,
    usage: Use,
    kind: Kind,
) -> Writer {
    Writer { section, plugin, option, usage, kind }
}

/// From the `config` lines of the plug-ins that come with Logstash, and of those of Google's and Azure's stores.
const WRITERS: [Writer; 12] = [
    writer("output", "file", "path", Use::Data, Kind::File),
    writer("output", "csv", "path", Use::Data, Kind::File),
    // What waits for its upload.
    writer("output", "", "temporary_directory", Use::Temp, Kind::Directory),
    writer("output", "", "temp_directory", Use::Temp, Kind::Directory),
    // What a store did not take.
    writer("output", "", "error_directory", Use::Queue, Kind::Directory),
    // How far a source was read, with its names.
    writer("input", "", "sincedb_path", Use::Data, Kind::File),
    writer("input", "", "last_run_metadata_path", Use::Data, Kind::File),
    writer("input", "", "temporary_directory", Use::Temp, Kind::Directory),
    writer("input", "", "backup_to_dir", Use::Data, Kind::Directory),
    writer("input", "", "file_completed_log_path", Use::Logs, Kind::File),
    writer("filter", "", "aggregate_maps_path", Use::Data, Kind::File),
    writer("filter", "", "staging_directory", Use::Temp, Kind::Directory),
];

/// Directories below that of temporary files that plug-ins have by default, which are made at the first start.
const BY_DEFAULT: [(&str, &str, &str, &str); 3] = [
    ("output", "s3", "temporary_directory", "logstash"),
    ("input", "s3", "temporary_directory", "logstash"),
    ("filter", "jdbc_static", "staging_directory", "logstash/jdbc_static/import_data"),
];

fn is_wanted(option: &str) -> bool {
    WRITERS.iter().any(|writer| writer.option == option)
}

/// The pipelines of one instance.
pub(super) struct Pipelines<'a> {
    pub(super) host: &'a dyn Host,
    pub(super) instance: &'a Instance,
    /// The directories of temporary files of Java and of Ruby.
    pub(super) temporary: &'a [HostPath],
    pub(super) places: Vec<(Use, HostPath)>,
    pub(super) gaps: Vec<Gap>,
    /// Bytes that were read.
    read: usize,
}

impl<'a> Pipelines<'a> {
    /// Of which nothing was read yet.
    pub(super) const fn new(
        host: &'a dyn Host,
        instance: &'a Instance,
        temporary: &'a [HostPath],
    ) -> Self {
        Self { host, instance, temporary, places: Vec::new(), gaps: Vec::new(), read: 0 }
    }

    /// Adds what the pipeline in a file writes to.
    pub(super) fn add_file(&mut self, path: &HostPath) {
        if self.read > MOST_BYTES {
            let detail = format!("more than {} MiB of pipelines", MOST_BYTES >> 20);
            self.lose("pipelines of Logstash", detail, NAME_IT);
            return;
        }
        match self.host.read(&self.instance.namespace, path, pipeline::MAX_SIZE) {
            Ok(bytes) => {
                let bytes = Zeroizing::new(bytes);
                self.read = self.read.saturating_add(bytes.len());
                let text = Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned());
                self.add_text(&path.to_string(), &text);
            }
            Err(trouble) if trouble.reason == Reason::NotFound => {}
            Err(trouble) => self.gaps.push(gap(&path.to_string(), &trouble, AS_ROOT)),
        }
    }

    /// Adds what a pipeline writes to; `subject` is where it stands.
    pub(super) fn add_text(&mut self, subject: &str, text: &str) {
        let (plugins, broken) = pipeline::plugins(text, &is_wanted);
        for plugin in &plugins {
            self.add_plugin(subject, plugin);
        }
        if let Some(line) = broken {
            let detail = format!(
                "line {line}: from there on it is no pipeline, and what it writes to is not known"
            );
            self.lose(subject, detail, "correct the pipeline");
        }
    }

    /// Adds a gap: pipelines that cannot be looked at.
    pub(super) fn lose(&mut self, subject: &str, detail: String, remedy: &str) {
        let lost = Gap {
            subject: subject.to_owned(),
            reason: Reason::Unreadable,
            detail,
            remedy: remedy.to_owned(),
        };
        if self.gaps.len() < MOST_GAPS && !self.gaps.contains(&lost) {
            self.gaps.push(lost);
        }
    }

    fn add_plugin(&mut self, subject: &str, plugin: &Plugin) {
        for writer in &WRITERS {
            let is_its = writer.section == plugin.section
                && (writer.plugin.is_empty() || writer.plugin == plugin.name);
            for (_, value, line) in
                plugin.options.iter().filter(|(name, ..)| is_its && name == writer.option)
            {
                let lookup: Lookup<'_> = &|name| self.instance.environment.get(name);
                let place = yaml::substitute(writer.option, value, lookup)
                    .map_err(|error| error.to_string())
                    .and_then(|text| place(self.instance, &text, writer.kind));
                match place {
                    Ok(place) => self.places.extend(place.map(|path| (writer.usage, path))),
                    Err(why) => {
                        let detail = format!("line {line}, {}: {why}", plugin.name);
                        self.lose(subject, detail, NAME_IT);
                    }
                }
            }
        }
        for (section, name, option, below) in BY_DEFAULT {
            let is_its = plugin.section == section && plugin.name == name;
            if is_its && !plugin.options.iter().any(|(known, ..)| known == option) {
                let paths = self.temporary.iter().map(|temporary| temporary.join(below));
                // Before its first start the directory that it would be made in counts, and is a place anyway.
                let is_there = |path: &HostPath| {
                    let metadata = self.host.metadata(&self.instance.namespace, path, true);
                    metadata.is_ok_and(|found| found.kind == FileKind::Directory)
                };
                self.places.extend(paths.filter(is_there).map(|path| (Use::Temp, path)));
            }
        }
    }
}

/// The directory that a plug-in writes to; `None` where nothing rests. An event fills in `%{…}`: what stands before is fixed, as
/// `extract_file_root` of the output `file` has it.
fn place(instance: &Instance, text: &str, kind: Kind) -> Result<Option<HostPath>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    // `File.expand_path` of Ruby.
    let text = match text.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            let home = instance.environment.get("HOME").filter(|home| home.starts_with('/'));
            let home = home.ok_or("the home directory of its account is not known")?;
            format!("{home}{rest}")
        }
        Some(_) => return Err("it is below the home directory of another account".to_owned()),
        None => text.to_owned(),
    };
    let is_of_event = text.contains("%{");
    let fixed = text.split("%{").next().unwrap_or_default();
    // The last part is the name of the file, or its beginning.
    let directory = match (kind, is_of_event) {
        (Kind::Directory, false) => fixed,
        (Kind::File, _) | (Kind::Directory, true) => {
            fixed.rsplit_once('/').map_or("", |(directory, _)| directory)
        }
    };
    let is_absolute = fixed.starts_with('/');
    if is_of_event && is_absolute && directory.trim_matches('/').is_empty() {
        return Err("events decide where it writes".to_owned());
    }
    let directory = if directory.is_empty() && is_absolute { "/" } else { directory };
    let path = absolute(&instance.cwd, &HostPath::from(directory));
    // `/dev/null`, `/dev/stdout`; shared memory is a file system.
    let is_device = path.is_at_or_below(&"/dev".into()) && !path.is_at_or_below(&"/dev/shm".into());
    Ok((!is_device).then_some(path))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::process::Environment;
    use super::*;
    use crate::host::recorded::RecordedHost;
    use crate::snapshot::Namespace;

    fn instance() -> Instance {
        Instance {
            pid: None,
            namespace: Namespace::Host,
            container: None,
            run_as: None,
            home: "/usr/share/logstash".into(),
            config: "/etc/logstash".into(),
            cwd: "/run/ls".into(),
            environment: Environment::from_pairs(
                [("OUT", "/env"), ("HOME", "/home/ls")].into_iter(),
            ),
            arguments: Vec::new(),
            is_below_launcher: false,
            unit_files: Vec::new(),
            environment_files: Vec::new(),
            doubt: None,
            cwd_doubt: None,
        }
    }

    fn found(text: &str) -> (Vec<String>, Vec<String>) {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("tmp/logstash")).unwrap();
        let (host, instance) = (RecordedHost::new(root.path()), instance());
        let temporary = ["/tmp".into()];
        let mut pipelines = Pipelines::new(&host, &instance, &temporary);
        pipelines.add_text("a.conf", text);
        let places = pipelines.places.iter().map(|(usage, path)| format!("{usage} {path}"));
        let gaps = pipelines.gaps.iter().map(|gap| format!("{}: {}", gap.subject, gap.detail));
        (places.collect(), gaps.collect())
    }

    fn of_file(path: &str) -> (Vec<String>, Vec<String>) {
        found(&format!("output {{ file {{ path => \"{path}\" }} }}"))
    }

    #[test]
    fn what_stands_before_an_events_part_is_the_place() {
        for (path, place) in [
            ("/out/a.log", "/out"),
            ("/out/%{host}/a.log", "/out"),
            ("/out/sub/app-%{+YYYY.MM.dd}.log", "/out/sub"),
            ("${OUT}/a-%{x}", "/env"),
            ("${NONE:/default}/a", "/default"),
            ("a.log", "/run/ls"),
            ("b/%{x}.log", "/run/ls/b"),
            ("%{x}.log", "/run/ls"),
            ("~/a.log", "/home/ls"),
            ("/a.log", "/"),
        ] {
            assert_eq!(of_file(path), (vec![format!("data {place}")], Vec::new()), "{path}");
        }
        for path in ["/dev/null", "/dev/stdout", ""] {
            assert_eq!(of_file(path), (Vec::new(), Vec::new()), "{path}");
        }
    }

    #[test]
    fn what_cannot_be_known_is_a_gap() {
        for (path, why) in [
            ("${NONE}/a.log", "`${NONE}`, which has no value"),
            ("/%{x}/a.log", "events decide"),
            ("/a-%{x}", "events decide"),
            ("~es/a.log", "another account"),
        ] {
            let (places, gaps) = of_file(path);
            assert_eq!((places.len(), gaps.len()), (0, 1), "{path}: {gaps:?}");
            assert!(gaps[0].starts_with("a.conf: line 1, file: "), "{gaps:?}");
            assert!(gaps[0].contains(why), "{gaps:?}");
        }
        let (places, gaps) =
            found("output { file { path => \"/a/b\" } }\noutput { file { path => \"/c");
        assert_eq!(places, ["data /a"]);
        assert!(gaps[0].contains("line 2: from there on"), "{gaps:?}");
    }

    #[test]
    fn every_plug_in_that_writes_is_known() {
        let text = "input { file { path => '/read' sincedb_path => '/pos/db' }\n\
            jdbc { last_run_metadata_path => '/jdbc/last' jdbc_password => 'hunter2' }\n\
            s3 { backup_to_dir => '/kept' temporary_directory => '/in' } file { sincedb_path => '/dev/null' } }\n\
            filter { aggregate { aggregate_maps_path => '/maps/a' } jdbc_static { } }\n\
            output { csv { path => '/csv/a' } s3 { } google_bigquery { error_directory => '/errors' } http { path => '/no' } }";
        let expected = [
            "data /pos",
            "data /jdbc",
            "temp /in",
            "data /kept",
            "data /maps",
            "data /csv",
            "temp /tmp/logstash",
            "queue /errors",
        ];
        assert_eq!(found(text), (expected.map(str::to_owned).to_vec(), Vec::new()));
    }

    #[test]
    fn any_number_of_gaps_and_the_names_in_them_are_bounded() {
        let name = "N".repeat(10_000);
        let (_, gaps) =
            found(&format!("output {{ file {{ path => '${{{name}}}/x' }} }}\n").repeat(100));
        assert_eq!(gaps.len(), MOST_GAPS);
        assert!(gaps.iter().all(|gap| gap.len() < 500), "{}", gaps[0]);
    }

    proptest! {
        #[test]
        fn any_path_is_survived(path in "\\PC{0,30}|[/~%{}a$:]{0,20}") {
            for kind in [Kind::File, Kind::Directory] {
                if let Ok(Some(path)) = place(&instance(), &path, kind) {
                    prop_assert!(path.is_absolute());
                }
            }
        }
    }
}
