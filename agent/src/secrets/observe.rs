//! Reads every place where settings stand, and the files that they lead to. Buffers that held values are overwritten.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use atrest_proto::model::{Gap, Reason, Service};
use zeroize::Zeroizing;

use super::{
    Collector, Contents, Form, Observation, Place, arguments, container, pipeline, sweep,
    variables, yaml,
};
use crate::accounts::Accounts;
use crate::host::{FileKind, Host};
use crate::keystore;
use crate::path::HostPath;
use crate::snapshot::{Namespace, Observed, Trouble};

/// More places than any node has; links between units and files of variables may not go round.
const MAX_PLACES: usize = 5_000;

/// What is known when the places are looked at.
pub(crate) struct Known<'a> {
    pub(crate) places: &'a [Place],
    pub(crate) services: &'a [Service],
    pub(crate) keystores: &'a [keystore::Observation],
}

/// Looks at every place; sorted.
pub(crate) fn observe(host: &dyn Host, known: &Known<'_>) -> (Vec<Observation>, Vec<Gap>) {
    let mut look = Look { host, known, accounts: BTreeMap::new() };
    let mut todo: VecDeque<Place> = known.places.iter().cloned().collect();
    // One file has one observation, however many names lead to it.
    let mut seen: BTreeSet<(Namespace, HostPath)> = BTreeSet::new();
    let mut observations = Vec::new();
    while let Some(place) = todo.pop_front() {
        if observations.len() >= MAX_PLACES {
            todo.push_front(place);
            break;
        }
        let observation = look.at(place, &mut todo);
        let real = observation.resolved.as_ref().map_or(&observation.place.path, |at| &at.path);
        if seen.insert((observation.place.namespace.clone(), real.clone())) {
            observations.push(observation);
        }
    }
    observations.sort_by(|a, b| a.place.cmp(&b.place));
    let (observations, mut gaps) = with_gaps(observations);
    if !todo.is_empty() {
        gaps.push(Gap {
            subject: "secrets in plain text".to_owned(),
            reason: Reason::Unreadable,
            detail: format!("{} files beyond the first {MAX_PLACES} were not read", todo.len()),
            remedy: "move what is no configuration out of the configuration directories".to_owned(),
        });
    }
    (observations, gaps)
}

/// What of the directories was left out is a gap.
fn with_gaps(observations: Vec<Observation>) -> (Vec<Observation>, Vec<Gap>) {
    let gaps = observations.iter().filter_map(|observation| {
        let swept = observation.contents.known()?.swept.as_ref()?;
        (!swept.left_out.is_empty()).then(|| Gap {
            subject: format!("secrets in {}", observation.place.path),
            reason: Reason::Unreadable,
            detail: format!("left out: {}", swept.left_out.join("; ")),
            remedy:
                "move what is no configuration out of the directory, and let the agent run as root"
                    .to_owned(),
        })
    });
    let gaps = gaps.collect();
    (observations, gaps)
}

struct Look<'a> {
    host: &'a dyn Host,
    known: &'a Known<'a>,
    accounts: BTreeMap<Namespace, Accounts>,
}

impl Look<'_> {
    /// One place; what it leads to goes into `more`.
    fn at(&mut self, place: Place, more: &mut VecDeque<Place>) -> Observation {
        let host = self.host;
        let file = match host.metadata(&place.namespace, &place.path, true) {
            Ok(metadata) => Observed::Known(metadata),
            Err(trouble) if trouble.reason == Reason::NotFound => Observed::Absent,
            Err(trouble) => Observed::Unreadable(trouble),
        };
        let accounts = self
            .accounts
            .entry(place.namespace.clone())
            .or_insert_with(|| Accounts::read(host, &place.namespace).unwrap_or_default());
        let owner = file.known().map(|file| accounts.user(file.uid)).unwrap_or_default();
        let group = file.known().map(|file| accounts.group(file.gid)).unwrap_or_default();
        let resolved = match &file {
            Observed::Known(_) => host.resolve(&place.namespace, &place.path).at.known().cloned(),
            Observed::Absent | Observed::Unreadable(_) => None,
        };
        let real = resolved.as_ref().map_or_else(|| place.path.normalised(), |at| at.path.clone());
        let others_may_read = file.known().is_some_and(|file| file.mode & 0o004 != 0)
            && self.is_reachable(&place, &real);
        let contents = match &file {
            Observed::Known(metadata) => {
                let is_directory = metadata.kind == FileKind::Directory;
                self.contents(&place, is_directory, others_may_read, more)
            }
            Observed::Absent => Observed::Absent,
            Observed::Unreadable(trouble) => Observed::Unreadable(trouble.clone()),
        };
        let version = place.service.as_ref().and_then(|name| {
            let service = self.known.services.iter().find(|service| service.name == *name)?;
            service.version.clone()
        });
        let has_keystore = self.has_keystore(&place);
        let is_named = self.known.places.contains(&place);
        Observation {
            place,
            is_named,
            version,
            has_keystore,
            file,
            owner,
            group,
            others_may_read,
            resolved,
            contents,
        }
    }

    /// Whether everybody may go down to the file. A directory that cannot be asked is taken for one that lets them.
    fn is_reachable(&self, place: &Place, real: &HostPath) -> bool {
        let directories = std::iter::successors(real.parent(), HostPath::parent);
        directories
            // The root of a recording is a directory of whoever keeps it, not the host's.
            .filter(|path| *path != HostPath::root())
            .all(|path| {
                let metadata = self.host.metadata(&place.namespace, &path, true);
                metadata.map_or(true, |metadata| metadata.mode & 0o001 != 0)
            })
    }

    /// A keystore that was found, or one beside the settings.
    fn has_keystore(&self, place: &Place) -> bool {
        let is_own = |keystore: &&keystore::Observation| {
            keystore.product == place.product && keystore.service == place.service
        };
        let is_there =
            |keystore: &keystore::Observation| !matches!(keystore.file, Observed::Absent);
        if self.known.keystores.iter().filter(is_own).any(is_there) {
            return true;
        }
        let directory = match place.form {
            Form::Yaml => place.path.parent(),
            Form::Directory => Some(place.path.clone()),
            Form::JavaOptions
            | Form::Variables
            | Form::Unit
            | Form::Environment
            | Form::Arguments
            | Form::Pipeline
            | Form::Container
            | Form::Other => None,
        };
        directory.is_some_and(|directory| {
            let path = directory.join(format!("{}.keystore", place.product));
            match self.host.metadata(&place.namespace, &path, true) {
                Ok(_) => true,
                Err(trouble) => trouble.reason != Reason::NotFound,
            }
        })
    }

    fn contents(
        &self,
        place: &Place,
        is_directory: bool,
        others_may_read: bool,
        more: &mut VecDeque<Place>,
    ) -> Observed<Contents> {
        if place.form == Form::Directory {
            if !is_directory {
                let detail = format!("{}: not a directory", place.path);
                return Observed::Unreadable(Trouble::new(Reason::Unreadable, detail));
            }
            let (swept, found) = sweep::sweep(self.host, place);
            more.extend(found);
            return Observed::Known(Contents { swept: Some(swept), ..Contents::default() });
        }
        match self.read(place, others_may_read, more) {
            Ok(contents) => Observed::Known(contents),
            // A process has ended since it was found.
            Err(trouble) if trouble.reason == Reason::NotFound => Observed::Absent,
            Err(trouble) => Observed::Unreadable(trouble),
        }
    }

    fn read(
        &self,
        place: &Place,
        others_may_read: bool,
        more: &mut VecDeque<Place>,
    ) -> Result<Contents, Trouble> {
        let bytes =
            |limit| self.host.read(&place.namespace, &place.path, limit).map(Zeroizing::new);
        let text = |limit| {
            bytes(limit).map(|bytes| Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()))
        };
        let mut collector = Collector::new(&place.product);
        match place.form {
            Form::Yaml => yaml::read(&bytes(yaml::MAX_SIZE)?, &mut collector),
            Form::JavaOptions => {
                arguments::read_options(&text(arguments::MAX_SIZE)?, &mut collector);
            }
            Form::Variables => variables::read_file(&text(variables::MAX_SIZE)?, &mut collector),
            Form::Unit => {
                let files = variables::read_unit(&text(variables::MAX_SIZE)?, &mut collector);
                more.extend(files.into_iter().map(|path| Place {
                    path,
                    form: Form::Variables,
                    ..place.clone()
                }));
            }
            Form::Environment => {
                variables::read_environment(&bytes(variables::MAX_ENVIRONMENT)?, &mut collector);
            }
            Form::Arguments => {
                arguments::read_command_line(&bytes(variables::MAX_ENVIRONMENT)?, &mut collector);
                if let Some(launcher) = self.launcher(place) {
                    arguments::read_command_line(&launcher, &mut collector);
                }
            }
            Form::Pipeline => pipeline::read(&bytes(pipeline::MAX_SIZE)?, &mut collector),
            Form::Container => {
                container::read(&bytes(container::MAX_SIZE)?, &mut collector).map_err(|_| {
                    let detail = format!("{}: not the description of a container", place.path);
                    Trouble::new(Reason::Unreadable, detail)
                })?;
            }
            Form::Other => {
                for sighting in sweep::files(&place.path, &bytes(sweep::LARGEST)?, others_may_read)
                {
                    collector.add(sighting);
                }
            }
            Form::Directory => {}
        }
        Ok(collector.finish())
    }

    /// The arguments of what started a server of Elasticsearch or OpenSearch: since 8.0 the settings are given there.
    fn launcher(&self, place: &Place) -> Option<Zeroizing<Vec<u8>>> {
        const STATUS: usize = 64 << 10;
        let read = |path: HostPath, limit| self.host.read(&Namespace::Host, &path, limit).ok();
        let status = read(place.path.parent()?.join("status"), STATUS)?;
        let status = String::from_utf8_lossy(&status);
        let parent: i32 =
            status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
        let path = HostPath::from(format!("/proc/{parent}/cmdline"));
        let arguments = Zeroizing::new(read(path, variables::MAX_ENVIRONMENT)?);
        let is_launcher = |argument: &[u8]| {
            argument.starts_with(b"org.elasticsearch.") || argument.starts_with(b"org.opensearch.")
        };
        arguments.split(|byte| *byte == 0).any(is_launcher).then_some(arguments)
    }
}
#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::Path;

    use super::*;
    use crate::host::live::LiveHost;
    use crate::secrets::Value;

    const YML: &str = "/etc/elasticsearch/elasticsearch.yml";

    fn put(root: &Path, path: &str, text: &str, mode: u32) {
        let path = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn place(path: &str, form: Form) -> Place {
        Place {
            path: path.into(),
            form,
            namespace: Namespace::Host,
            product: "elasticsearch".to_owned(),
            service: Some("elasticsearch".to_owned()),
        }
    }

    fn look(root: &Path, places: &[Place]) -> (Vec<Observation>, Vec<Gap>) {
        let services = [Service {
            name: "elasticsearch".to_owned(),
            version: Some("9.5.0".to_owned()),
            ..Service::default()
        }];
        let known = Known { places, services: &services, keystores: &[] };
        observe(&LiveHost::new(root), &known)
    }

    fn of<'a>(seen: &'a [Observation], path: &str) -> &'a Observation {
        seen.iter().find(|seen| seen.place.path == HostPath::from(path)).unwrap()
    }

    #[test]
    fn mode_and_directories_decide_who_may_read() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), YML, "a.password: hunter2\n", 0o644);
        let directory = root.path().join("etc/elasticsearch");
        let others = |mode| {
            fs::set_permissions(&directory, fs::Permissions::from_mode(mode)).unwrap();
            of(&look(root.path(), &[place(YML, Form::Yaml)]).0, YML).others_may_read
        };
        assert!(others(0o755));
        assert!(!others(0o750));
        put(root.path(), YML, "a.password: hunter2\n", 0o640);
        assert!(!others(0o755));
    }

    #[test]
    fn version_keystore_and_owner_go_with_it() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), YML, "a.password: hunter2\n", 0o640);
        let (seen, gaps) = look(root.path(), &[place(YML, Form::Yaml)]);
        let main = of(&seen, YML);
        assert_eq!((main.version.as_deref(), main.has_keystore), (Some("9.5.0"), false));
        assert_eq!(main.contents.known().unwrap().sightings[0].value, Value::Set);
        assert!(!main.owner.is_empty() && main.resolved.is_some() && gaps.is_empty());
        put(root.path(), "/etc/elasticsearch/elasticsearch.keystore", "x", 0o660);
        assert!(of(&look(root.path(), &[place(YML, Form::Yaml)]).0, YML).has_keystore);
    }

    #[test]
    fn what_places_lead_to_is_looked_at_once() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), YML, "a.password: hunter2\n", 0o640);
        put(root.path(), "/etc/elasticsearch/jvm.options.d/a.options", "-Da.password=x1\n", 0o640);
        put(
            root.path(),
            "/etc/systemd/system/elasticsearch.service.d/override.conf",
            "[Service]\nEnvironmentFile=/etc/es.env\nEnvironment=A_PASSWORD=x2\n",
            0o644,
        );
        put(root.path(), "/etc/es.env", "B_PASSWORD=x3\n", 0o600);
        symlink("elasticsearch.yml", root.path().join("etc/elasticsearch/link.yml")).unwrap();
        let places = [
            place("/etc/elasticsearch", Form::Directory),
            place("/etc/elasticsearch/link.yml", Form::Yaml),
            place("/etc/systemd/system/elasticsearch.service.d/override.conf", Form::Unit),
        ];
        let (seen, _) = look(root.path(), &places);
        let there: Vec<String> = seen
            .iter()
            .filter(|seen| {
                seen.contents.known().is_some_and(|contents| !contents.sightings.is_empty())
            })
            .map(|seen| seen.place.path.to_string())
            .collect();
        assert_eq!(
            there,
            [
                "/etc/elasticsearch/jvm.options.d/a.options",
                "/etc/elasticsearch/link.yml",
                "/etc/es.env",
                "/etc/systemd/system/elasticsearch.service.d/override.conf",
            ]
        );
    }

    #[test]
    fn the_launcher_has_the_arguments_of_its_server() {
        let root = tempfile::tempdir().unwrap();
        put(
            root.path(),
            "/proc/8/cmdline",
            "java\0org.elasticsearch.bootstrap.Elasticsearch\0",
            0o444,
        );
        put(root.path(), "/proc/8/status", "Name:\tjava\nPPid:\t7\n", 0o444);
        put(
            root.path(),
            "/proc/7/cmdline",
            "java\0org.elasticsearch.launcher.CliToolLauncher\0-Ea.password=x1\0",
            0o444,
        );
        let (seen, _) = look(root.path(), &[place("/proc/8/cmdline", Form::Arguments)]);
        let sightings = &of(&seen, "/proc/8/cmdline").contents.known().unwrap().sightings;
        assert_eq!(sightings[0].setting, "a.password");
        put(root.path(), "/proc/7/cmdline", "bash\0-c\0x\0--password=x1\0", 0o444);
        let (seen, _) = look(root.path(), &[place("/proc/8/cmdline", Form::Arguments)]);
        assert!(of(&seen, "/proc/8/cmdline").contents.known().unwrap().sightings.is_empty());
    }

    #[test]
    fn what_is_missing_too_large_or_no_file_is_data() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "/etc/big.yml", &" ".repeat(yaml::MAX_SIZE + 1), 0o600);
        fs::create_dir_all(root.path().join("etc/dir.yml")).unwrap();
        let (seen, _) = look(
            root.path(),
            &[
                place("/etc/none.yml", Form::Yaml),
                place("/etc/big.yml", Form::Yaml),
                place("/etc/dir.yml", Form::Yaml),
                place("/etc/big.yml", Form::Directory),
            ],
        );
        assert_eq!(of(&seen, "/etc/none.yml").contents, Observed::Absent);
        assert!(of(&seen, "/etc/big.yml").contents.trouble().is_some());
        assert!(of(&seen, "/etc/dir.yml").contents.trouble().is_some());
    }

    #[test]
    fn what_docker_keeps_of_a_container_is_read() {
        let root = tempfile::tempdir().unwrap();
        let path = "/var/lib/docker/containers/ab/config.v2.json";
        let whole = r#"{"Config":{"Env":["ELASTIC_PASSWORD=hunter2"]}}"#;
        put(root.path(), path, whole, 0o600);
        let look = || look(root.path(), &[place(path, Form::Container)]).0;
        let seen = look();
        let sighting = &of(&seen, path).contents.known().unwrap().sightings[0];
        assert_eq!((sighting.setting.as_str(), sighting.line), ("ELASTIC_PASSWORD", None));
        assert!(!serde_json::to_string(&seen).unwrap().contains("hunter2"));
        put(root.path(), path, whole.split_at(40).0, 0o600);
        let trouble = of(&look(), path).contents.trouble().unwrap().clone();
        assert!(!trouble.detail.contains("hunter2") && trouble.detail.contains(path), "{trouble}");
    }

    #[test]
    fn what_of_a_directory_was_left_out_is_a_gap() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "/etc/elasticsearch/a/b/c/d/e.key", "x", 0o600);
        let (_, gaps) = look(root.path(), &[place("/etc/elasticsearch", Form::Directory)]);
        assert_eq!(gaps.len(), 1);
        assert_eq!(gaps[0].subject, "secrets in /etc/elasticsearch");
    }
}
