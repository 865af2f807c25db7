//! The Beats, APM Server and Fleet Server: programs of `libbeat`, running or installed.
//!
//! Their paths are decided in `libbeat/cfgfile/cfgfile.go` and `libbeat/paths/paths.go` of Beats. Those that Elastic Agent
//! runs are a part of it.

use std::collections::BTreeMap;

use atrest_proto::model::{Gap, Reason, Use};

use super::arguments;
use super::elastic_agent;
use super::instance::{AS_ROOT, Instance, absolute};
use super::process::{Process, gap};
use super::stack::{self, Candidate, Description, Naming, Package, Values};
use super::yaml::Settings;
use super::{Discovery, Scene, patterns};
use crate::host::Host;
use crate::path::HostPath;
use crate::secrets::Form;
use crate::snapshot::Namespace;

/// Those of Elastic. Others have been made after them, and are known by what they are given.
const NAMES: [&str; 10] = [
    "filebeat",
    "metricbeat",
    "packetbeat",
    "heartbeat",
    "auditbeat",
    "osquerybeat",
    "journalbeat",
    "functionbeat",
    "apm-server",
    "fleet-server",
];

/// Of the commands of these programs, those that end.
const TOOLS: [&str; 14] = [
    "apikey",
    "completion",
    "deploy",
    "enroll",
    "export",
    "generate",
    "help",
    "keystore",
    "modules",
    "package",
    "remove",
    "setup",
    "test",
    "version",
];

/// Whether a process with these arguments may be one of them.
pub(super) fn may_be(argv: &[Vec<u8>]) -> bool {
    argv.first().is_some_and(|program| name_of(&HostPath::new(program.clone())).is_some())
        || has_shape(argv)
}

/// Finds the instances of all of them.
pub(super) fn discover(scene: &Scene<'_>, found: &mut Discovery) {
    let host = scene.host;
    let mut candidates: Vec<(String, Candidate)> = Vec::new();
    for process in stack::servers(scene, &|process| beat(host, process).is_some()) {
        let Some(name) = beat(host, process) else { continue };
        candidates.extend(running(host, &name, process, found).map(|one| (name, one)));
    }
    for candidate in stack::started_by_units(scene, &|path| name_of(path).is_some()) {
        candidates.extend(started(host, candidate));
    }
    for name in packaged(host) {
        let user = if name == "apm-server" { "apm-server" } else { "root" };
        let package = Package::new(&name);
        candidates.extend(package.candidate(host, user, &[], &mut found.gaps).map(
            |mut candidate| {
                candidate.instance.arguments = package_arguments(&package);
                (name, candidate)
            },
        ));
    }
    for home in &scene.unpacked {
        for name in NAMES {
            let is_there = |path: HostPath| stack::exists(host, &Namespace::Host, &path);
            if is_there(home.join(format!("{name}.yml"))) && is_there(home.join(name)) {
                let mut candidate = stack::archive(host, home.clone(), home.clone());
                candidate.instance.arguments = vec![home.join(name).as_bytes().to_vec()];
                candidates.push((name.to_owned(), candidate));
            }
        }
    }
    let mut by_name: BTreeMap<String, Vec<Candidate>> = BTreeMap::new();
    for (name, candidate) in candidates {
        by_name.entry(name).or_default().push(candidate);
    }
    for (name, candidates) in by_name {
        let describe = |candidate: &Candidate| Some(describe(&name, host, candidate));
        stack::write_down(host, candidates, &describe, found);
    }
}

/// The product whose program this is, by its name.
fn name_of(program: &HostPath) -> Option<String> {
    let name = std::str::from_utf8(program.file_name()?).ok()?;
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let is_beat = name.len() > "beat".len() && name.ends_with("beat") && is_plain;
    (NAMES.contains(&name) || is_beat).then(|| name.to_owned())
}

/// Whether it is given what only these programs take.
fn has_shape(argv: &[Vec<u8>]) -> bool {
    argv.iter().any(|argument| {
        let Some(option) = argument.strip_prefix(b"-") else { return false };
        let option = option.strip_prefix(b"-").unwrap_or(option);
        ["path.home", "path.config", "path.data", "path.logs", "strict.perms", "environment"]
            .iter()
            .any(|known| {
                option
                    .strip_prefix(known.as_bytes())
                    .is_some_and(|rest| matches!(rest, [] | [b'=', ..]))
            })
    })
}

/// The product that a process is an instance of.
fn beat(host: &dyn Host, process: &Process) -> Option<String> {
    let program = HostPath::new(process.argv.first()?.clone());
    let executable = stack::executable(host, process.pid);
    let name = name_of(&program).or_else(|| name_of(executable.as_ref()?))?;
    let is_tool =
        process.argv.get(1).is_some_and(|word| TOOLS.iter().any(|tool| word == tool.as_bytes()));
    let is_component = [Some(&program), executable.as_ref()]
        .into_iter()
        .flatten()
        .any(|path| elastic_agent::home_of(path).is_some())
        || elastic_agent::manages(&process.argv);
    if is_tool || is_component {
        return None;
    }
    // Others have such names too, as a daemon of Linux-HA has.
    let is_surely = NAMES.contains(&name.as_str()) && name != "heartbeat";
    let has_settings = || {
        let seen_by = super::process::namespace(host, process.pid, &mut Vec::new());
        let link = HostPath::from(format!("/proc/{}/cwd", process.pid));
        let cwd = host.read_link(&Namespace::Host, &link).unwrap_or_else(|_| HostPath::root());
        let own = absolute(&cwd, &program).parent().unwrap_or_else(HostPath::root);
        let named = arguments::values(&process.argv, &["-c", "--c"]).into_iter();
        let usual = [cwd.clone(), own].map(|directory| directory.join(format!("{name}.yml")));
        named
            .map(|path| absolute(&cwd, &path))
            .chain(usual)
            .any(|path| stack::exists(host, &seen_by, &path))
    };
    (is_surely || has_shape(&process.argv) || has_settings()).then_some(name)
}

fn running(
    host: &dyn Host,
    name: &str,
    process: &Process,
    found: &mut Discovery,
) -> Option<Candidate> {
    let (candidate, trouble) = stack::running(host, name, process, &mut found.gaps)?;
    if let Some(trouble) = trouble.filter(|trouble| trouble.reason != Reason::NotFound) {
        let subject = format!("environment of process {} ({name})", process.pid);
        found.gaps.push(gap(&subject, &trouble, AS_ROOT));
    }
    Some(candidate)
}

/// The program of a package with what its unit and its start script give it.
fn package_arguments(package: &Package) -> Vec<Vec<u8>> {
    let mut arguments = vec![package.home.join("bin").join(&package.name)];
    for (option, path) in [
        ("--path.home", &package.home),
        ("--path.config", &package.config),
        ("--path.data", &package.data),
        ("--path.logs", &package.logs),
    ] {
        arguments.extend([HostPath::from(option), path.clone()]);
    }
    arguments.into_iter().map(|argument| argument.as_bytes().to_vec()).collect()
}

/// What a unit starts; its first argument is the program, or the script in front of it.
fn started(host: &dyn Host, mut candidate: Candidate) -> Option<(String, Candidate)> {
    let name = name_of(&HostPath::new(candidate.instance.arguments.first()?.clone()))?;
    stack::open_script(host, &mut candidate.instance);
    let described = describe(&name, host, &candidate);
    stack::may_exist(host, &Namespace::Host, &described.settings).then_some((name, candidate))
}

/// The names of what is installed in `/etc`.
fn packaged(host: &dyn Host) -> Vec<String> {
    let etc = HostPath::from("/etc");
    let entries = host.list(&Namespace::Host, &etc).unwrap_or_default();
    let mut names: Vec<String> =
        entries.into_iter().filter_map(|entry| name_of(&HostPath::new(entry))).collect();
    names.retain(|name| {
        let settings = etc.join(name).join(format!("{name}.yml"));
        stack::may_exist(host, &Namespace::Host, &settings)
    });
    names
}

/// The settings that are read; nothing else of a settings file is kept.
fn is_setting(key: &str) -> bool {
    const SETTINGS: [&str; 12] = [
        "name",
        "path.home",
        "path.config",
        "path.data",
        "path.logs",
        "logging.files.path",
        "logging.event_data.files.path",
        "filebeat.registry.path",
        "filebeat.registry_file",
        "queue.spool.file.path",
        "output.file.path",
        "keystore.path",
    ];
    SETTINGS.contains(&key) || is_disk_queue(key) || is_pattern(key)
}

/// Any setting of the queue on disk switches it on; since 8.12 it may stand below the output.
fn is_disk_queue(key: &str) -> bool {
    key.starts_with("queue.disk.") || (key.starts_with("output.") && key.contains(".queue.disk."))
}

/// Where more settings stand: `filebeat.config.inputs.path`.
fn is_pattern(key: &str) -> bool {
    ["modules", "inputs", "prospectors", "monitors"]
        .iter()
        .any(|what| key.ends_with(&format!(".config.{what}.path")))
}

/// What the command line gives: options for paths, and `-E KEY=VALUE`, in order.
pub(crate) fn given(arguments: &[Vec<u8>]) -> Vec<(String, HostPath)> {
    let mut given = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        // Go takes one dash for two.
        let Some(option) = argument.strip_prefix(b"-") else { continue };
        let option = option.strip_prefix(b"-").unwrap_or(option);
        let assignment = match option {
            [b'E'] => rest.next().map(Vec::as_slice),
            [b'E', b'=', assignment @ ..] | [b'E', assignment @ ..] => Some(assignment),
            _ if option.starts_with(b"path.") && !option.contains(&b'=') => {
                let key = String::from_utf8_lossy(option).into_owned();
                given.extend(rest.next().map(|value| (key, HostPath::new(value.clone()))));
                continue;
            }
            _ if option.starts_with(b"path.") => Some(option),
            _ => continue,
        };
        let Some(assignment) = assignment else { continue };
        let mut parts = assignment.splitn(2, |byte| *byte == b'=');
        let (Some(key), Some(value)) = (parts.next(), parts.next()) else { continue };
        given.push((String::from_utf8_lossy(key).into_owned(), HostPath::new(unquoted(value))));
    }
    given.retain(|(key, _)| is_setting(key));
    given
}

fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] | [b'\'', inner @ .., b'\''] => inner,
        _ => value,
    }
}

/// The directories of an instance, and what a reference to one of them stands for.
struct Paths<'a> {
    instance: &'a Instance,
    known: BTreeMap<&'static str, HostPath>,
}

impl Paths<'_> {
    /// The directory that a setting names, or `default`.
    fn add(
        &mut self,
        setting: (&'static str, Use),
        values: &mut Values<'_>,
        default: &HostPath,
    ) -> HostPath {
        let cwd = &self.instance.cwd;
        let path = values.directory(setting, &|name| self.lookup(name), cwd, default);
        self.known.insert(setting.0, path.clone());
        path
    }

    /// `${path.home}`, or a variable of the environment.
    fn lookup(&self, name: &str) -> Option<String> {
        self.known
            .get(name)
            .map(|path| String::from_utf8_lossy(path.as_bytes()).into_owned())
            .or_else(|| self.instance.environment.get(name))
    }
}

fn describe(name: &str, host: &dyn Host, candidate: &Candidate) -> Description {
    let instance = &candidate.instance;
    let seen_by = &instance.namespace;
    let given = given(&instance.arguments);
    let last = |key: &str| {
        given.iter().rev().find(|(given, _)| given == key).map(|(_, path)| path.clone())
    };
    let own_path = |path: &HostPath| absolute(&instance.cwd, path);
    let program = instance.arguments.first().map(|program| HostPath::new(program.clone()));
    // A name without a directory counts as one in the working directory.
    let beside = program
        .and_then(|program| own_path(&program).parent())
        .unwrap_or_else(|| instance.cwd.clone());

    // Where settings files are looked for, before they are read.
    let usual_file = format!("{name}.yml");
    let home = last("path.home").map_or_else(|| beside.clone(), |path| own_path(&path));
    let base = if let Some(path) = last("path.config") {
        own_path(&path)
    } else if last("path.home").is_none()
        && stack::exists(host, seen_by, &instance.cwd.join(&usual_file))
    {
        instance.cwd.clone()
    } else {
        home.clone()
    };
    let named = arguments::values(&instance.arguments, &["-c", "--c"]);
    let mut files: Vec<HostPath> = named.iter().map(|path| absolute(&base, path)).collect();
    if files.is_empty() {
        files.push(base.join(&usual_file));
    }
    let file = files.last().cloned().unwrap_or_default();
    let mut gaps = Vec::new();
    let (settings, unread) = stack::settings(host, seen_by, &files, &is_setting, &mut gaps);
    let mut values = Values::new(&settings, &given, &file);
    (values.unread, values.gaps) = (unread, gaps);

    let package = Package::new(name);
    let mut paths = Paths { instance, known: BTreeMap::new() };
    let home = paths.add(("path.home", Use::Config), &mut values, &home);
    let config = paths.add(("path.config", Use::Config), &mut values, &base);
    // Neither is a place of its own, and what is below an unknown home is not known.
    values.guesses.clear();
    let doubt = values.doubt("path.home");
    let is_usual = files == [config.join(&usual_file)];
    // Settings that cannot be read are those of the package, as far as anybody knows.
    let assumed =
        Some(&package).filter(|package| values.unread.is_some() && package.config == config);
    let default = |packaged: fn(&Package) -> &HostPath, below_home: &str| {
        assumed.map_or_else(|| home.join(below_home), |package| packaged(package).clone())
    };
    let (data, logs) =
        (default(|package| &package.data, "data"), default(|package| &package.logs, "logs"));
    values.unread = doubt;
    let data = paths.add(("path.data", Use::Data), &mut values, &data);
    let logs = paths.add(("path.logs", Use::Logs), &mut values, &logs);
    let lookup = |name: &str| paths.lookup(name);
    let node_name = values.text("name", &lookup);
    let service = stack::name(
        host,
        instance,
        &Naming {
            product: name,
            package: Some(&package),
            config: &config,
            settings: &file,
            is_usual,
            node_name: node_name.as_deref(),
        },
    );
    let mut claims = values.claims("path.data", &instance.cwd, &lookup);
    claims.extend(values.claims("path.logs", &instance.cwd, &lookup));

    let mut places = vec![(Use::Logs, logs.clone())];
    for key in ["logging.files.path", "logging.event_data.files.path"] {
        places.extend(values.path(key, &lookup).map(|path| (Use::Logs, absolute(&logs, &path))));
    }
    for key in ["filebeat.registry.path", "filebeat.registry_file"] {
        let registry = values.path(key, &lookup).map(|path| absolute(&data, &path));
        places.extend(
            registry.filter(|path| !path.is_at_or_below(&data)).map(|path| (Use::Data, path)),
        );
    }
    places.extend(queues(&settings, &given, &mut values, &lookup, instance, &data));
    // Events go there as they are.
    places
        .extend(values.path("output.file.path", &lookup).map(|path| (Use::Data, own_path(&path))));
    let profiles = ["-memprofile", "--memprofile", "-cpuprofile", "--cpuprofile"];
    let profiles = arguments::values(&instance.arguments, &profiles);
    places
        .extend(profiles.iter().filter_map(|file| Some((Use::HeapDump, own_path(file).parent()?))));

    let mut configurations: Vec<(HostPath, Form)> =
        files.iter().map(|path| (path.clone(), Form::Yaml)).collect();
    let mut wanted = vec![config.join("modules.d/*.yml")];
    let patterns: Vec<&str> = settings.keys().filter(|key| is_pattern(key)).collect();
    for key in patterns {
        wanted.extend(values.path(key, &lookup).map(|path| absolute(&config, &path)));
    }
    for pattern in wanted {
        match patterns::files(host, seen_by, &pattern) {
            Some(files) => configurations.extend(files.into_iter().map(|path| (path, Form::Yaml))),
            None => values.gaps.push(Gap {
                subject: pattern.to_string(),
                reason: Reason::Unreadable,
                detail: format!("more than {} files of settings", patterns::MAX_FILES),
                remedy: "name fewer files".to_owned(),
            }),
        }
    }
    let keystore = values
        .path("keystore.path", &lookup)
        .map_or_else(|| data.join(format!("{name}.keystore")), |path| own_path(&path));
    // Fleet Server has none.
    let has_keystore = name != "fleet-server";

    Description {
        product: name.to_owned(),
        name: service,
        version: version(host, instance, &home),
        home,
        node_name,
        config,
        settings: file.clone(),
        data: vec![data],
        places,
        guesses: values.guesses,
        keystores: has_keystore.then_some((keystore, "beats")).into_iter().collect(),
        configurations,
        claims,
        gaps: values.gaps,
        ..Description::default()
    }
}

/// Where events wait on disk.
fn queues(
    settings: &Settings,
    given: &[(String, HostPath)],
    values: &mut Values<'_>,
    lookup: stack::Lookup<'_>,
    instance: &Instance,
    data: &HostPath,
) -> Vec<(Use, HostPath)> {
    let own = |path: HostPath| absolute(&instance.cwd, &path);
    let keys = settings.keys().chain(given.iter().map(|(key, _)| key.as_str()));
    // `output.elasticsearch.queue.disk.max_size` belongs to `output.elasticsearch.queue.disk`.
    let mut disks: Vec<&str> = keys
        .filter(|key| is_disk_queue(key))
        .filter_map(|key| key.find("queue.disk.").and_then(|at| key.get(..at + "queue.disk".len())))
        .collect();
    disks.sort_unstable();
    disks.dedup();
    let mut queues = Vec::new();
    for disk in disks {
        let enabled = values.text(&format!("{disk}.enabled"), lookup);
        if enabled.is_some_and(|enabled| enabled.eq_ignore_ascii_case("false")) {
            continue;
        }
        let path = values.path(&format!("{disk}.path"), lookup);
        queues.push(path.map_or_else(|| data.join("diskqueue"), own));
    }
    // Until 7.
    let spool = values.path("queue.spool.file.path", lookup).and_then(|file| own(file).parent());
    queues.extend(spool);
    queues.into_iter().map(|path| (Use::Queue, path)).collect()
}

/// `# Welcome to Filebeat 8.15.0` in what comes with it.
fn version(host: &dyn Host, instance: &Instance, home: &HostPath) -> Option<String> {
    let bytes = host.read(&instance.namespace, &home.join("README.md"), 64 << 10).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let line = text.lines().find(|line| line.contains("Welcome to "))?;
    let version = line.rsplit(' ').next()?;
    version.starts_with(|first: char| first.is_ascii_digit()).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn arguments(texts: &[&str]) -> Vec<Vec<u8>> {
        texts.iter().map(|text| text.as_bytes().to_vec()).collect()
    }

    #[test]
    fn programs_are_known_by_their_names() {
        for (program, name) in [
            ("/usr/share/filebeat/bin/filebeat", Some("filebeat")),
            ("./apm-server", Some("apm-server")),
            ("/opt/x/dockbeat", Some("dockbeat")),
            ("/usr/share/filebeat/bin/filebeat-god", None),
            ("beat", None),
            ("heartbeat: master control process", None),
        ] {
            assert_eq!(name_of(&HostPath::from(program)).as_deref(), name, "{program}");
        }
    }

    #[test]
    fn settings_of_the_command_line_are_read_in_every_form() {
        let found = given(&arguments(&[
            "filebeat",
            "-path.home",
            "/h",
            "--path.data=/d",
            "-E",
            "path.logs=/l",
            "-Ename=x",
            "-E=keystore.path='/k'",
            "-E",
            "output.elasticsearch.password=x",
            "-c",
            "/c.yml",
            "-E",
        ]));
        let expected = [
            ("path.home", "/h"),
            ("path.data", "/d"),
            ("path.logs", "/l"),
            ("name", "x"),
            ("keystore.path", "/k"),
        ];
        assert_eq!(found, expected.map(|(key, value)| (key.to_owned(), HostPath::from(value))));
    }

    #[test]
    fn a_path_need_not_be_text() {
        let found = given(&[b"-path.data".to_vec(), b"/d\xff".to_vec()]);
        assert_eq!(found, [("path.data".to_owned(), HostPath::new(b"/d\xff".to_vec()))]);
    }

    proptest! {
        #[test]
        fn any_arguments_are_survived(
            argv in proptest::collection::vec(
                prop_oneof![
                    proptest::collection::vec(any::<u8>(), 0..20),
                    "(-|--|E|=|path.data|filebeat|'|\"){0,5}".prop_map(String::into_bytes),
                ],
                0..6,
            ),
        ) {
            let _may = may_be(&argv);
            let _given = given(&argv);
        }
    }
}
