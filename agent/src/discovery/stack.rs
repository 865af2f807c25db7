//! What Kibana, Logstash, the Beats and Elastic Agent have in common: how instances are found, told apart and written down.

use std::collections::BTreeMap;

use atrest_proto::model::{Gap, Reason, Service, Use};

use super::assumed::{self, Guess};
use super::identity::is_same_file;
use super::instance::{AS_ROOT, Instance, Running, absolute, account_named, account_of_archive};
use super::process::{self, Environment, Process, gap};
use super::unit::Unit;
use super::yaml::{self, Settings};
use super::{Discovery, KeystorePlace, Place, Scene, open_files, password_sources};
use crate::drift::{Claim, Source};
use crate::host::{FileKind, Host};
use crate::keystore::Account;
use crate::path::HostPath;
use crate::secrets::{self, Form};
use crate::snapshot::{Namespace, Observed, Trouble};
use crate::variables::{self, expanded};

/// Where a package puts things: all of the stack's are laid out alike.
pub(super) struct Package {
    /// Of the package and of its unit; what the service is called.
    pub(super) name: String,
    pub(super) home: HostPath,
    pub(super) config: HostPath,
    pub(super) data: HostPath,
    pub(super) logs: HostPath,
    /// What its unit or its start scripts read: of a deb, of an rpm.
    pub(super) variables: [HostPath; 2],
}

impl Package {
    pub(super) fn new(name: &str) -> Self {
        let below = |directory: &str| HostPath::from(format!("{directory}/{name}"));
        Self {
            name: name.to_owned(),
            home: below("/usr/share"),
            config: below("/etc"),
            data: below("/var/lib"),
            logs: below("/var/log"),
            variables: [below("/etc/default"), below("/etc/sysconfig")],
        }
    }

    /// The package as it would be started, when it is there.
    pub(super) fn candidate(&self, host: &dyn Host, user: &str) -> Option<Candidate> {
        const LIMIT: usize = 1 << 20;
        let assigned: Vec<variables::Assignment> = self
            .variables
            .iter()
            .filter_map(|path| host.read(&Namespace::Host, path, LIMIT).ok())
            .flat_map(|bytes| variables::parse(&String::from_utf8_lossy(&bytes)))
            .collect();
        let pairs = assigned.iter().map(|found| (found.name.as_str(), found.value.as_str()));
        let is_there = is_directory(host, &Namespace::Host, &self.config);
        is_there.then(|| Candidate {
            instance: Instance {
                pid: None,
                namespace: Namespace::Host,
                container: None,
                run_as: account_named(host, user, None),
                home: self.home.clone(),
                config: self.config.clone(),
                cwd: self.home.clone(),
                environment: Environment::from_pairs(pairs),
                arguments: Vec::new(),
                is_below_launcher: false,
                unit_files: Vec::new(),
                environment_files: self.variables.to_vec(),
            },
            origin: Origin::Package,
            outputs: Vec::new(),
        })
    }
}

/// Why an instance is thought to be there. What comes first knows most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    Process,
    Unit,
    Package,
    Archive,
}

/// An instance that was found in one way; another way may lead to the same one.
pub(super) struct Candidate {
    pub(super) instance: Instance,
    pub(super) origin: Origin,
    /// Where systemd writes what it prints.
    pub(super) outputs: Vec<HostPath>,
}

/// What a product says of one candidate.
#[derive(Default)]
pub(super) struct Description {
    pub(super) product: String,
    pub(super) name: String,
    pub(super) version: Option<String>,
    pub(super) node_name: Option<String>,
    pub(super) roles: Vec<String>,
    pub(super) home: HostPath,
    pub(super) config: HostPath,
    /// The last file of settings that is read: two instances do not share it, unless their data are apart.
    pub(super) settings: HostPath,
    pub(super) data: Vec<HostPath>,
    /// Where it writes besides its data and its configuration directory.
    pub(super) places: Vec<(Use, HostPath)>,
    /// Which of its data and places are defaults of settings that are not known.
    pub(super) guesses: Vec<Guess>,
    /// With the names of their formats.
    pub(super) keystores: Vec<(HostPath, &'static str)>,
    pub(super) configurations: Vec<(HostPath, Form)>,
    /// Settings with what a source says of them.
    pub(super) claims: Vec<(String, Source, Vec<String>)>,
    pub(super) gaps: Vec<Gap>,
}

/// The processes that are the product's own, without those that only start or copy one of them.
pub(super) fn servers<'a>(
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
pub(super) fn running(
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
    };
    let candidate = Candidate { instance, origin: Origin::Process, outputs: Vec::new() };
    Some((candidate, running.environment_trouble))
}

/// The program that a process runs, as far as that can be told.
pub(super) fn executable(host: &dyn Host, pid: i32) -> Option<HostPath> {
    let path =
        host.read_link(&Namespace::Host, &HostPath::from(format!("/proc/{pid}/exe"))).ok()?;
    // `proc_pid_exe(5)`: after an upgrade the file is another.
    let bytes = path.as_bytes();
    Some(HostPath::new(bytes.strip_suffix(b" (deleted)").unwrap_or(bytes)))
}

/// What the units start of the programs that `is_program` accepts. The program is the first argument.
pub(super) fn started_by_units(
    scene: &Scene<'_>,
    is_program: &dyn Fn(&HostPath) -> bool,
) -> Vec<Candidate> {
    // A template starts nothing by itself.
    let units = scene.units.iter().filter(|unit| !unit.name.ends_with("@.service"));
    units.flat_map(|unit| started_by(scene.host, unit, is_program)).collect()
}

fn started_by(
    host: &dyn Host,
    unit: &Unit,
    is_program: &dyn Fn(&HostPath) -> bool,
) -> Vec<Candidate> {
    let pairs = unit.environment(host);
    let environment = || {
        let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Environment::from_pairs(pairs)
    };
    let variables = environment();
    let absolute_of = |path: &str| HostPath::from(path.trim_start_matches('-'));
    let directory =
        unit.last("WorkingDirectory").map(|path| absolute_of(&path)).filter(HostPath::is_absolute);
    let user = unit.last("User").unwrap_or_else(|| "root".to_owned());
    let outputs = ["StandardOutput", "StandardError"].into_iter().filter_map(|key| {
        let output = unit.last(key)?;
        let (kind, path) = output.split_once(':')?;
        matches!(kind, "file" | "append" | "truncate").then(|| HostPath::from(path).parent())?
    });
    let outputs: Vec<HostPath> = outputs.collect();
    let mut candidates = Vec::new();
    for command in unit.commands() {
        let words = command_words(&command, &variables, is_program);
        let Some(at) = words.iter().position(|word| is_path_of(word, is_program)) else { continue };
        let (before, arguments) = words.split_at(at);
        // `sh -c "cd /opt/kibana && exec bin/kibana"`.
        let changed = before.iter().position(|word| word == "cd").and_then(|cd| before.get(cd + 1));
        candidates.push(Candidate {
            instance: Instance {
                pid: None,
                namespace: Namespace::Host,
                container: None,
                run_as: account_named(host, &user, unit.last("Group").as_deref()),
                home: HostPath::root(),
                config: HostPath::root(),
                // `systemd.exec(5)`: the root directory, unless it is set.
                cwd: changed
                    .map(|path| HostPath::from(path.as_str()))
                    .or_else(|| directory.clone())
                    .unwrap_or_else(HostPath::root),
                environment: environment(),
                arguments: arguments.iter().map(|word| word.clone().into_bytes()).collect(),
                is_below_launcher: false,
                unit_files: unit.files.clone(),
                environment_files: unit.environment_files(),
            },
            origin: Origin::Unit,
            outputs: outputs.clone(),
        });
    }
    candidates
}

/// The words of a command as `systemd.service(5)` expands them, and those of a shell's command among them.
fn command_words(
    command: &[String],
    variables: &Environment,
    is_program: &dyn Fn(&HostPath) -> bool,
) -> Vec<String> {
    let lookup = |name: &str| variables.get(name);
    let mut words = Vec::new();
    for word in command {
        let name = word.strip_prefix('$').filter(|name| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        });
        if let Some(name) = name {
            // A variable that stands alone is split into words.
            words.extend(variables::words(&lookup(name).unwrap_or_default()));
            continue;
        }
        let word = expanded(word, &lookup);
        let inner = variables::words(&word);
        if inner.len() > 1 && inner.iter().any(|word| is_path_of(word, is_program)) {
            words.extend(inner);
        } else {
            words.push(word);
        }
    }
    words
}

fn is_path_of(word: &str, is_program: &dyn Fn(&HostPath) -> bool) -> bool {
    word.contains('/') && is_program(&HostPath::from(word))
}

/// Replaces the script that a unit starts by the program that the script hands over to, with what it gives it.
///
/// Packages have such a script of two lines in `/usr/bin`: `exec PROGRAM OPTIONS… "$@"`.
pub(super) fn open_script(host: &dyn Host, instance: &mut Instance) {
    const LENGTH: usize = 16 << 10;
    let Some(script) = instance.arguments.first().map(|path| HostPath::new(path.clone())) else {
        return;
    };
    let start = host.read_start(&Namespace::Host, &absolute(&instance.cwd, &script), LENGTH);
    let Some(text) = start.ok().and_then(|bytes| String::from_utf8(bytes).ok()) else { return };
    if !text.starts_with("#!") {
        return;
    }
    let text = text.replace("\\\n", " ");
    let Some(command) = text.lines().find_map(|line| line.trim().strip_prefix("exec ")) else {
        return;
    };
    let words = variables::words(command);
    let given = words.iter().take_while(|word| !matches!(word.as_str(), "$@" | "$*"));
    let mut arguments: Vec<Vec<u8>> = given.map(|word| word.clone().into_bytes()).collect();
    if arguments.first().is_some_and(|program| program.starts_with(b"/")) {
        arguments.extend(instance.arguments.drain(1..));
        instance.arguments = arguments;
    }
}

/// Where archives are usually unpacked, in these directories or one level below.
const UNPACKED: [&str; 6] = ["/opt", "/usr/local", "/usr/share", "/srv", "/home", "/data"];

/// The directories in which an archive may have been unpacked.
pub(super) fn unpacked(host: &dyn Host, gaps: &mut Vec<Gap>) -> Vec<HostPath> {
    /// More entries of a directory than this are not looked through.
    const ENTRIES: usize = 1000;
    /// Nor more directories than this.
    const DIRECTORIES: usize = 5000;
    let below = |directory: &HostPath| -> Vec<HostPath> {
        let names = host.list(&Namespace::Host, directory).unwrap_or_default();
        names.iter().take(ENTRIES).map(|name| directory.join(name)).collect()
    };
    let mut homes = Vec::new();
    for directory in UNPACKED.map(HostPath::from) {
        for entry in below(&directory) {
            // What packages put there has no settings below.
            if directory != HostPath::from("/usr/share") {
                homes.extend(below(&entry));
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
pub(super) fn archive(host: &dyn Host, home: HostPath, config: HostPath) -> Candidate {
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
        },
        origin: Origin::Archive,
        outputs: Vec::new(),
    }
}

pub(super) fn is_directory(host: &dyn Host, seen_by: &Namespace, path: &HostPath) -> bool {
    host.metadata(seen_by, path, true).is_ok_and(|found| found.kind == FileKind::Directory)
}

pub(super) fn exists(host: &dyn Host, seen_by: &Namespace, path: &HostPath) -> bool {
    host.metadata(seen_by, path, true).is_ok()
}

/// Whether it is there, or cannot be said not to be.
pub(super) fn may_exist(host: &dyn Host, seen_by: &Namespace, path: &HostPath) -> bool {
    match host.metadata(seen_by, path, true) {
        Ok(_) => true,
        Err(trouble) => trouble.reason != Reason::NotFound,
    }
}

/// The settings of all files, the later ones going before; and why one that is there could not be read.
pub(super) fn settings(
    host: &dyn Host,
    seen_by: &Namespace,
    files: &[HostPath],
    keep: &dyn Fn(&str) -> bool,
    gaps: &mut Vec<Gap>,
) -> (Settings, Option<Trouble>) {
    let mut settings = Settings::default();
    let mut unread = None;
    for path in files {
        let (trouble, remedy) = match host.read(seen_by, path, yaml::MAX_SIZE) {
            Ok(bytes) => match Settings::parse(&bytes, keep) {
                Ok(later) => {
                    settings.extend(later);
                    continue;
                }
                Err(error) => (
                    Trouble::new(Reason::Unreadable, format!("{path}: {error}")),
                    "correct the file; defaults were assumed",
                ),
            },
            // Without the file everything has its default.
            Err(trouble) if trouble.reason == Reason::NotFound => continue,
            Err(trouble) if trouble.reason == Reason::NoPermission => (trouble, AS_ROOT),
            Err(trouble) => (trouble, "correct the file; defaults were assumed"),
        };
        gaps.push(gap(&path.to_string(), &trouble, remedy));
        unread = unread.or(Some(trouble));
    }
    (settings, unread)
}

/// Settings of files, under those of the command line.
pub(super) struct Values<'a> {
    pub(super) settings: &'a Settings,
    /// Of the command line, in the order in which later ones win. Bytes: a path need not be text.
    pub(super) given: &'a [(String, HostPath)],
    /// The file that a gap names.
    pub(super) file: &'a HostPath,
    /// Why a file could not be read.
    pub(super) unread: Option<Trouble>,
    pub(super) gaps: Vec<Gap>,
    pub(super) guesses: Vec<Guess>,
    /// The settings whose values are not known, and why.
    lost: BTreeMap<String, Trouble>,
}

/// What a reference such as `${NAME}` stands for.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

impl<'a> Values<'a> {
    pub(super) fn new(
        settings: &'a Settings,
        given: &'a [(String, HostPath)],
        file: &'a HostPath,
    ) -> Self {
        let (gaps, guesses, lost) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { settings, given, file, unread: None, gaps, guesses, lost }
    }

    /// What the files say.
    pub(super) fn of_files(&mut self, key: &str, lookup: Lookup<'_>) -> Vec<String> {
        let (texts, error) = self.settings.known_texts(key, lookup);
        if let Some(error) = error {
            self.lose(key, &error);
        }
        texts
    }

    /// What the command line says.
    pub(super) fn of_command_line(&mut self, key: &str, lookup: Lookup<'_>) -> Option<HostPath> {
        let (_, value) = self.given.iter().rev().find(|(given, _)| given == key)?;
        let Ok(text) = std::str::from_utf8(value.as_bytes()) else { return Some(value.clone()) };
        match yaml::substitute(key, text, lookup) {
            Ok(text) => (!text.is_empty()).then(|| HostPath::from(text)),
            Err(error) => {
                self.lose(key, &error);
                None
            }
        }
    }

    /// What counts.
    pub(super) fn paths(&mut self, key: &str, lookup: Lookup<'_>) -> Vec<HostPath> {
        if let Some(path) = self.of_command_line(key, lookup) {
            return vec![path];
        }
        // What the command line sets is not what the files say.
        if self.lost.contains_key(key) {
            return Vec::new();
        }
        self.of_files(key, lookup).into_iter().map(HostPath::from).collect()
    }

    /// Why a setting without a value may have one that is not known.
    pub(super) fn doubt(&self, key: &str) -> Option<Trouble> {
        self.lost.get(key).or(self.unread.as_ref()).cloned()
    }

    /// The directory that a setting names, or `default`, which is a guess where the setting is not known.
    pub(super) fn directory(
        &mut self,
        (key, usage): (&str, Use),
        lookup: Lookup<'_>,
        cwd: &HostPath,
        default: &HostPath,
    ) -> HostPath {
        if let Some(path) = self.path(key, lookup) {
            return absolute(cwd, &path);
        }
        let path = absolute(cwd, default);
        if let Some(why) = self.doubt(key) {
            self.guesses.push(Guess { usage, path: path.clone(), why });
        }
        path
    }

    pub(super) fn path(&mut self, key: &str, lookup: Lookup<'_>) -> Option<HostPath> {
        self.paths(key, lookup).pop()
    }

    pub(super) fn text(&mut self, key: &str, lookup: Lookup<'_>) -> Option<String> {
        self.path(key, lookup).map(|path| String::from_utf8_lossy(path.as_bytes()).into_owned())
    }

    pub(super) fn is_true(&mut self, key: &str, lookup: Lookup<'_>) -> bool {
        self.text(key, lookup).is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    /// What both sources say of a setting whose value is a path, where both say something.
    pub(super) fn claims(
        &mut self,
        key: &str,
        cwd: &HostPath,
        lookup: Lookup<'_>,
    ) -> Vec<(String, Source, Vec<String>)> {
        let shown = |path: &HostPath| absolute(cwd, path).to_string();
        let mut of_files: Vec<String> = self
            .of_files(key, lookup)
            .iter()
            .map(|text| shown(&HostPath::from(text.as_str())))
            .collect();
        of_files.sort_unstable();
        let given = self.of_command_line(key, lookup);
        let (Some(given), false) = (given, of_files.is_empty()) else { return Vec::new() };
        vec![
            (key.to_owned(), Source::Files, of_files),
            (key.to_owned(), Source::Process, vec![shown(&given)]),
        ]
    }

    fn lose(&mut self, key: &str, error: &yaml::Error) {
        let trouble = Trouble::new(Reason::Unreadable, error.to_string());
        self.lost.entry(key.to_owned()).or_insert(trouble);
        let lost = Gap {
            subject: self.file.to_string(),
            reason: Reason::Unreadable,
            detail: error.to_string(),
            remedy: "name the path in the agent's configuration".to_owned(),
        };
        if !self.gaps.contains(&lost) {
            self.gaps.push(lost);
        }
    }
}

/// What the name of an instance is made of.
pub(super) struct Naming<'a> {
    pub(super) product: &'a str,
    pub(super) package: Option<&'a Package>,
    pub(super) config: &'a HostPath,
    /// The last file of settings that is read.
    pub(super) settings: &'a HostPath,
    /// It is the file that would be read without being told.
    pub(super) is_usual: bool,
    pub(super) node_name: Option<&'a str>,
}

/// What tells this instance from others of the host, the same after a restart.
pub(super) fn name(host: &dyn Host, instance: &Instance, naming: &Naming<'_>) -> String {
    let &Naming { product, package, config, settings, is_usual, node_name } = naming;
    if let Some(container) = &instance.container {
        let hostname = || {
            let path = HostPath::from("/etc/hostname");
            let bytes = host.read(&instance.namespace, &path, 4096).ok()?;
            let name = String::from_utf8_lossy(&bytes).trim().to_owned();
            (!name.is_empty() && instance.namespace != Namespace::Host).then_some(name)
        };
        let name =
            node_name.map(str::to_owned).or_else(hostname).unwrap_or_else(|| container.clone());
        return format!("{product}:{name}");
    }
    if !is_usual {
        return format!("{product}:{settings}");
    }
    package
        .filter(|package| package.config == *config)
        .map_or_else(|| format!("{product}:{config}"), |package| package.name.clone())
}

/// Marks the processes that claim settings which are installed for other accounts only, and puts them last.
///
/// Any user may start a program with such arguments: it is looked at as what it says it is, but neither hides what is
/// installed, nor takes its name, nor becomes the owner of its keystore.
fn strangers_last(
    host: &dyn Host,
    described: Vec<(Candidate, Description)>,
) -> Vec<(Candidate, Description, bool)> {
    let installed: Vec<(String, HostPath, Account)> = described
        .iter()
        .filter(|(candidate, _)| candidate.origin != Origin::Process)
        .filter_map(|(candidate, description)| {
            let account = candidate.instance.run_as.clone()?;
            Some((description.product.clone(), description.settings.clone(), account))
        })
        .collect();
    let mut marked: Vec<(Candidate, Description, bool)> = Vec::new();
    for (mut candidate, description) in described {
        let own = candidate.instance.run_as.as_ref().map(|account| account.uid);
        let is_process =
            candidate.origin == Origin::Process && candidate.instance.container.is_none();
        let accounts = installed.iter().filter(|(product, settings, _)| {
            *product == description.product
                && is_same_file(
                    host,
                    (&Namespace::Host, settings),
                    (&candidate.instance.namespace, &description.settings),
                )
        });
        let accounts: Vec<&Account> = accounts.map(|(.., account)| account).collect();
        let is_stranger = is_process
            && own.is_some_and(|own| own != 0 && accounts.iter().all(|known| known.uid != own))
            && !accounts.is_empty();
        if is_stranger {
            candidate.instance.run_as = accounts.first().map(|account| (*account).clone());
        }
        marked.push((candidate, description, is_stranger));
    }
    marked.sort_by_key(|(.., is_stranger)| *is_stranger);
    marked
}

/// Writes down every instance once, whichever ways lead to it.
pub(super) fn write_down(
    host: &dyn Host,
    mut candidates: Vec<Candidate>,
    describe: &dyn Fn(&Candidate) -> Option<Description>,
    found: &mut Discovery,
) {
    candidates.sort_by_key(|candidate| candidate.origin);
    let described = candidates.into_iter().filter_map(|candidate| {
        let description = describe(&candidate)?;
        Some((candidate, description))
    });
    let described = strangers_last(host, described.collect());
    let mut kept: Vec<(Candidate, Description, bool)> = Vec::new();
    for (mut candidate, description, is_stranger) in described {
        let same = kept.iter_mut().find(|(other, known, is_other_stranger)| {
            candidate.origin != Origin::Process
                && !is_other_stranger
                && other.instance.container.is_none()
                && known.product == description.product
                // Archives are often reached by a link without the version.
                && is_same_file(
                    host,
                    (&other.instance.namespace, &known.settings),
                    (&candidate.instance.namespace, &description.settings),
                )
                // Only a unit knows that another instance with the same settings keeps its data elsewhere.
                && (candidate.origin != Origin::Unit || known.data == description.data)
        });
        if let Some((known, ..)) = same {
            known.instance.unit_files.append(&mut candidate.instance.unit_files);
            known.instance.environment_files.append(&mut candidate.instance.environment_files);
            known.outputs.append(&mut candidate.outputs);
            known.instance.run_as =
                known.instance.run_as.take().or(candidate.instance.run_as.take());
        } else {
            kept.push((candidate, description, is_stranger));
        }
    }
    // Of what belongs to the host, and then of all: a stranger changes nobody's name.
    let clashes = |of: &Description, with_strangers: bool| {
        let same = |other: &&(Candidate, Description, bool)| {
            other.1.product == of.product && other.1.name == of.name && (with_strangers || !other.2)
        };
        kept.iter().filter(same).count() > 1
    };
    let names: Vec<String> = kept
        .iter()
        .map(|(candidate, description, is_stranger)| match description.data.first() {
            _ if *is_stranger && clashes(description, true) => {
                let pid = candidate.instance.pid.unwrap_or_default();
                format!("{}#{pid}", description.name)
            }
            Some(data) if clashes(description, false) => format!("{}:{data}", description.name),
            Some(_) | None => description.name.clone(),
        })
        .collect();
    for ((candidate, description, _), name) in kept.into_iter().zip(names) {
        write(host, candidate, description, name, found);
    }
}

/// What may hold secrets in a configuration directory that is the home of the program, too: an archive brings thousands of
/// files along, and the data are below it.
fn beside_program(
    host: &dyn Host,
    seen_by: &Namespace,
    home: &HostPath,
    settings: &HostPath,
) -> Vec<(HostPath, Form)> {
    const DIRECTORIES: [&[u8]; 12] = [
        b"cert",
        b"certificates",
        b"certs",
        b"conf",
        b"config",
        b"inputs.d",
        b"keys",
        b"modules.d",
        b"pki",
        b"secrets",
        b"ssl",
        b"tls",
    ];
    const ENDINGS: [&[u8]; 7] =
        [b".bcfks", b".jks", b".key", b".p12", b".pem", b".pfx", b".pkcs12"];
    let file = settings.file_name().unwrap_or_default();
    let names = host.list(seen_by, home).unwrap_or_default();
    names
        .into_iter()
        .filter_map(|name| {
            let form = if DIRECTORIES.contains(&name.as_slice()) {
                Form::Directory
            } else if ENDINGS.iter().any(|ending| name.ends_with(ending)) {
                Form::Other
            } else if !file.is_empty() && name.starts_with(file) && name != file {
                // A copy that an editor or somebody has left.
                Form::Yaml
            } else {
                return None;
            };
            Some((home.join(name), form))
        })
        .collect()
}

fn write(
    host: &dyn Host,
    candidate: Candidate,
    description: Description,
    name: String,
    found: &mut Discovery,
) {
    let Candidate { instance, outputs, .. } = candidate;
    let Description { product, config, data, .. } = description;
    let mut places = description.places;
    places.push((Use::Config, config.clone()));
    places.extend(data.into_iter().map(|path| (Use::Data, path)));
    places.extend(outputs.into_iter().map(|path| (Use::Logs, path)));
    let open = open_files::written(host, &instance);
    found.assumptions.extend(assumed::among(
        host,
        &instance,
        &name,
        description.guesses,
        &places,
        &open,
    ));
    for (usage, path) in open {
        if !places.iter().any(|(_, known)| path.is_at_or_below(known)) {
            places.push((usage, path));
        }
    }
    found.places.extend(places.into_iter().map(|(usage, path)| Place {
        path,
        usage,
        service: Some(name.clone()),
        namespace: instance.namespace.clone(),
    }));
    let mut keystores = description.keystores;
    keystores.sort_unstable();
    keystores.dedup();
    let password_sources = password_sources::of(host, &instance);
    found.keystores.extend(keystores.into_iter().map(|(path, format)| KeystorePlace {
        path,
        namespace: instance.namespace.clone(),
        product: product.clone(),
        format,
        service: Some(name.clone()),
        run_as: instance.run_as.clone(),
        root: Observed::Absent,
        password_sources: password_sources.clone(),
    }));
    let configuration = |path: HostPath, form, namespace: &Namespace| secrets::Place {
        path,
        form,
        namespace: namespace.clone(),
        product: product.clone(),
        service: Some(name.clone()),
    };
    let mut own = description.configurations;
    if config == description.home {
        own.extend(beside_program(host, &instance.namespace, &config, &description.settings));
    } else {
        own.push((config.clone(), Form::Directory));
    }
    found
        .configurations
        .extend(own.into_iter().map(|(path, form)| configuration(path, form, &instance.namespace)));
    // systemd and /proc are the host's own.
    let of_form = |paths: Vec<HostPath>, form| paths.into_iter().map(move |path| (path, form));
    let mut hosts: Vec<(HostPath, Form)> = of_form(instance.unit_files, Form::Unit)
        .chain(of_form(instance.environment_files, Form::Variables))
        .collect();
    hosts.retain(|(path, _)| exists(host, &Namespace::Host, path));
    if let Some(pid) = instance.pid {
        hosts.push((HostPath::from(format!("/proc/{pid}/environ")), Form::Environment));
        hosts.push((HostPath::from(format!("/proc/{pid}/cmdline")), Form::Arguments));
    }
    found
        .configurations
        .extend(hosts.into_iter().map(|(path, form)| configuration(path, form, &Namespace::Host)));
    if instance.pid.is_some() {
        found.claims.extend(description.claims.into_iter().map(|(setting, source, values)| {
            Claim { service: name.clone(), setting, source, values }
        }));
    }
    let mut roles = description.roles;
    roles.sort_unstable();
    roles.dedup();
    found.services.push(Service {
        product,
        name,
        state: if instance.pid.is_some() { "running" } else { "installed" }.to_owned(),
        version: description.version,
        cluster_name: None,
        cluster_uuid: None,
        node_name: description.node_name,
        roles,
        tiers: Vec::new(),
        config_dir: Some(config.to_string()),
        pid: instance.pid,
    });
    found.gaps.extend(description.gaps);
}
