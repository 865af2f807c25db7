//! Logstash, running or installed: data, queues, logs, what the Java machine writes, the keystore, its pipelines.
//!
//! Defaults and their order are in `logstash-core/lib/logstash/environment.rb`, `util/settings_helper.rb` and
//! `runner.rb` of Logstash.

use atrest_proto::model::{Gap, Reason, Use};
use zeroize::Zeroizing;

use super::arguments::{java_places, property, values};
use super::assumed::Guess;
use super::instance::{AS_ROOT, Instance, absolute};
use super::pipelines::Pipelines;
use super::process::{Process, gap};
use super::stack::{self, Candidate, Description, Lookup, Naming, Package, Values};
use super::yaml::{self, Settings};
use super::{Discovery, Scene, jvm_options, log4j2, patterns};
use crate::host::Host;
use crate::path::HostPath;
use crate::secrets::Form;
use crate::snapshot::{Namespace, Trouble};

const PRODUCT: &str = "logstash";
const SETTINGS_FILE: &str = "logstash.yml";
/// The main class; until 6.2 it was that of `JRuby`, which was given this script.
const CLASS: &[u8] = b"org.logstash.Logstash";
const SCRIPT: &[u8] = b"logstash/runner.rb";

/// Whether a process with these arguments may be Logstash.
pub(super) fn may_be(argv: &[Vec<u8>]) -> bool {
    argv.iter().any(|argument| argument == CLASS || argument == SCRIPT)
}

/// Finds the instances.
pub(super) fn discover(scene: &Scene<'_>, found: &mut Discovery) {
    let host = scene.host;
    let package = Package::new(PRODUCT);
    let mut candidates = Vec::new();
    for process in stack::servers(scene, &is_server) {
        candidates.extend(running(host, process, found));
    }
    let is_program = |path: &HostPath| {
        path.file_name() == Some(b"logstash")
            && path.parent().is_some_and(|bin| bin.file_name() == Some(b"bin"))
    };
    candidates.extend(
        stack::started_by_units(scene, &is_program)
            .into_iter()
            .filter_map(|candidate| started(host, candidate)),
    );
    let installed = package.candidate(host, PRODUCT, &["LS_SETTINGS_DIR"], &mut found.gaps);
    candidates.extend(installed.map(|mut candidate| {
        // As its unit says.
        candidate.instance.cwd = HostPath::root();
        candidate
    }));
    for home in &scene.unpacked {
        let config = home.join("config");
        let is_there = |path: HostPath| stack::exists(host, &Namespace::Host, &path);
        if is_there(home.join("bin/logstash")) && is_there(config.join(SETTINGS_FILE)) {
            candidates.push(stack::archive(host, home.clone(), config));
        }
    }
    stack::write_down(host, candidates, &|candidate| Some(describe(host, candidate)), found);
}

fn is_server(process: &Process) -> bool {
    // Not somebody who looks for it by that name.
    let is_java = |argument: &Vec<u8>| {
        argument == b"-cp"
            || argument == b"-classpath"
            || argument.starts_with(b"-D")
            || argument.starts_with(b"-X")
    };
    may_be(&process.argv) && process.argv.iter().any(is_java)
}

/// The arguments of Logstash itself: those after the main class. A unit's are all its own.
fn own_arguments(instance: &Instance) -> &[Vec<u8>] {
    let arguments = instance.arguments.as_slice();
    let main = arguments.iter().position(|argument| argument == CLASS || argument == SCRIPT);
    main.and_then(|main| arguments.get(main + 1..)).unwrap_or(arguments)
}

/// The settings directory that the command line or the environment names.
fn named_config(instance: &Instance) -> Option<HostPath> {
    values(own_arguments(instance), &["--path.settings"])
        .pop()
        .or_else(|| instance.environment.get("LS_SETTINGS_DIR").map(HostPath::from))
        .filter(|path| !path.as_bytes().is_empty())
        .map(|path| absolute(&instance.cwd, &path))
}

fn running(host: &dyn Host, process: &Process, found: &mut Discovery) -> Option<Candidate> {
    let (mut candidate, trouble) = stack::running(host, PRODUCT, process, &mut found.gaps)?;
    if let Some(trouble) = trouble {
        let subject = format!("environment of process {} ({PRODUCT})", process.pid);
        found.gaps.push(gap(&subject, &trouble, AS_ROOT));
    }
    let instance = &mut candidate.instance;
    let home = ["LOGSTASH_HOME", "LS_HOME"]
        .iter()
        .find_map(|name| instance.environment.get(name).map(HostPath::from))
        .or_else(|| home_of(&process.argv));
    instance.home =
        home.map_or_else(|| instance.cwd.clone(), |home| absolute(&instance.cwd, &home));
    instance.config = named_config(instance).unwrap_or_else(|| instance.home.join("config"));
    Some(candidate)
}

/// The home that the arguments of Java tell: by that of `JRuby`, or by the jars.
fn home_of(argv: &[Vec<u8>]) -> Option<HostPath> {
    let jruby = property(argv, "jruby.home").and_then(|jruby| jruby.parent()?.parent());
    jruby.or_else(|| {
        argv.iter().flat_map(|argument| argument.split(|byte| *byte == b':')).find_map(|jar| {
            let path = HostPath::new(jar);
            let parts: Vec<&[u8]> = path.components().collect();
            let at = parts.iter().position(|part| *part == b"logstash-core")?;
            let start = if path.is_absolute() { HostPath::root() } else { HostPath::from(".") };
            Some(parts.iter().take(at).fold(start, |home, part| home.join(part)))
        })
    })
}

/// What a unit starts; its first argument is the start script.
fn started(host: &dyn Host, mut candidate: Candidate) -> Option<Candidate> {
    let instance = &mut candidate.instance;
    let program = absolute(&instance.cwd, &HostPath::new(instance.arguments.first()?.clone()));
    instance.home = program.parent()?.parent()?;
    instance.config = named_config(instance).unwrap_or_else(|| instance.home.join("config"));
    stack::is_directory(host, &instance.namespace, &instance.config).then_some(candidate)
}

/// A pipeline in the place of its file.
const TEXT: &str = "config.string";

/// Whether a setting is read; nothing else of a settings file is kept.
fn is_setting(key: &str) -> bool {
    SETTINGS.contains(&key) || key == TEXT
}

const SETTINGS: [&str; 11] = [
    "path.data",
    "path.logs",
    "path.queue",
    "path.dead_letter_queue",
    "path.config",
    "queue.type",
    "dead_letter_queue.enable",
    "pipeline.id",
    "node.name",
    "keystore.file",
    "xpack.management.enabled",
];

/// The options of the command line, and the settings that they stand for: `runner.rb`.
const OPTIONS: [(&str, &[&str]); 5] = [
    ("path.data", &["--path.data"]),
    ("path.logs", &["--path.logs", "-l"]),
    ("path.config", &["--path.config", "-f"]),
    ("pipeline.id", &["--pipeline.id"]),
    ("node.name", &["--node.name", "-n"]),
];

fn describe(host: &dyn Host, candidate: &Candidate) -> Description {
    let instance = &candidate.instance;
    let seen_by = &instance.namespace;
    let file = instance.config.join(SETTINGS_FILE);
    let mut gaps = Vec::new();
    let (mut settings, unread) =
        stack::settings(host, seen_by, std::slice::from_ref(&file), &is_setting, &mut gaps);
    let own = own_arguments(instance);
    // They may hold passwords.
    let mut texts: Vec<(String, Zeroizing<String>)> = Vec::new();
    texts.extend(settings.take(TEXT).map(|text| (format!("`{TEXT}` of {file}"), text)));
    texts.extend(values(own, &["-e", "--config.string"]).iter().map(|text| {
        let text = String::from_utf8_lossy(text.as_bytes()).into_owned();
        ("pipeline of the command line".to_owned(), Zeroizing::new(text))
    }));
    let given: Vec<(String, HostPath)> = OPTIONS
        .iter()
        .flat_map(|(key, names)| {
            values(own, names).into_iter().map(|value| ((*key).to_owned(), value))
        })
        .collect();
    let mut values = Values::new(&settings, &given, &file);
    values.unread = unread;
    let lookup: Lookup<'_> = &|name| instance.environment.get(name);
    let own_path = |path: HostPath| absolute(&instance.cwd, &path);

    let package = Package::new(PRODUCT);
    // Settings that cannot be read are those of the package, as far as anybody knows.
    let assumed = Some(&package)
        .filter(|package| values.unread.is_some() && package.config == instance.config);
    let default = |packaged: fn(&Package) -> &HostPath, below_home: &str| {
        assumed.map_or_else(|| instance.home.join(below_home), |package| packaged(package).clone())
    };
    let (data, logs) =
        (default(|package| &package.data, "data"), default(|package| &package.logs, "logs"));
    let cwd = &instance.cwd;
    let data = values.directory(("path.data", Use::Data), lookup, cwd, &data);
    let logs = values.directory(("path.logs", Use::Logs), lookup, cwd, &logs);
    let node_name = values.text("node.name", lookup);
    let name = stack::name(
        host,
        instance,
        &Naming {
            product: PRODUCT,
            package: Some(&package),
            config: &instance.config,
            settings: &file,
            is_usual: true,
            node_name: node_name.as_deref(),
        },
    );
    let mut claims = values.claims("path.data", &instance.cwd, lookup);
    claims.extend(values.claims("path.logs", &instance.cwd, lookup));

    let mut places = vec![(Use::Logs, logs.clone())];
    let mut configurations = vec![(file.clone(), Form::Yaml)];
    let keystore = values
        .path("keystore.file", lookup)
        .map_or_else(|| instance.config.join("logstash.keystore"), own_path);
    gaps.append(&mut values.gaps);
    let mut guesses = std::mem::take(&mut values.guesses);
    let listed = pipelines_of(host, instance, &settings, &given, !texts.is_empty(), &mut gaps);
    let options = java_options(host, instance, &mut configurations);
    places.extend(java_uses(instance, &options));
    let temporary: Vec<HostPath> = places
        .iter()
        .filter(|(usage, _)| *usage == Use::Temp)
        .map(|(_, path)| path.clone())
        .collect();
    let pipelines = Pipelines::new(host, instance, &temporary);
    let mut queues = Queues {
        data: &data,
        pipelines,
        directories: Vec::new(),
        files: Vec::new(),
        guesses: Vec::new(),
        is_one: true,
    };
    for (subject, text) in &texts {
        queues.pipelines.add_text(subject, text);
    }
    match listed {
        Listed::Known(list) => {
            let subject = instance.config.join("pipelines.yml");
            for mut pipeline in list {
                if let Some(text) = pipeline.take(TEXT) {
                    queues.pipelines.add_text(&format!("`{TEXT}` of {subject}"), &text);
                }
                queues.describe(&pipeline, &[]);
            }
        }
        Listed::One => queues.describe(&settings, &given),
        // Whatever pipelines there are, these are where they queue.
        Listed::Unknown => {
            queues.is_one = false;
            queues.describe(&settings, &given);
        }
    }
    let Queues { pipelines, directories, mut files, guesses: of_queues, .. } = queues;
    guesses.extend(of_queues);
    let Pipelines { places: written, gaps: lost, .. } = pipelines;
    places.extend(directories.into_iter().map(|path| (Use::Queue, path)));
    places.extend(written.into_iter().filter(|(_, path)| !path.is_at_or_below(&data)));
    gaps.extend(lost);
    gaps.sort_unstable();
    gaps.dedup();
    files.sort_unstable();
    files.dedup();
    configurations.extend(files.into_iter().map(|path| (path, Form::Pipeline)));
    let pipelines_file = instance.config.join("pipelines.yml");
    configurations.push((pipelines_file, Form::Yaml));
    configurations.retain(|(path, _)| *path == file || stack::may_exist(host, seen_by, path));

    let log4j_file = instance.config.join("log4j2.properties");
    let log4j = host.read(seen_by, &log4j_file, 1 << 20);
    let property_of = |name: &str| match name {
        "ls.logs" => Some(logs.to_string()),
        _ => property(&options, name)
            .map(|value| value.to_string())
            .or_else(|| instance.environment.get(name)),
    };
    let log4j = log4j.unwrap_or_else(|trouble| {
        if trouble.reason != Reason::NotFound {
            gaps.push(gap(&log4j_file.to_string(), &trouble, AS_ROOT));
        }
        Vec::new()
    });
    let appenders = log4j2::appenders(&String::from_utf8_lossy(&log4j), &property_of);
    gaps.extend(appenders.gaps(&log4j_file));
    places.extend(
        appenders
            .directories
            .iter()
            .map(|path| (Use::Logs, own_path(HostPath::from(path.as_str())))),
    );
    places.sort_unstable();
    places.dedup();

    Description {
        product: PRODUCT.to_owned(),
        name,
        version: version(host, instance),
        node_name,
        home: instance.home.clone(),
        config: instance.config.clone(),
        settings: file,
        data: vec![data],
        places,
        guesses,
        // Its password, when it has one of its own, comes from LOGSTASH_KEYSTORE_PASS in the environment.
        keystores: vec![(keystore, "logstash")],
        configurations,
        claims,
        gaps,
        ..Description::default()
    }
}

/// Which pipelines there are.
enum Listed {
    /// In `pipelines.yml`: their settings, on top of those of all.
    Known(Vec<Settings>),
    /// The one of the settings of all.
    One,
    Unknown,
}

fn pipelines_of(
    host: &dyn Host,
    instance: &Instance,
    settings: &Settings,
    given: &[(String, HostPath)],
    has_text: bool,
    gaps: &mut Vec<Gap>,
) -> Listed {
    let lookup: Lookup<'_> = &|name| instance.environment.get(name);
    let file = instance.config.join(SETTINGS_FILE);
    let mut values = Values::new(settings, given, &file);
    if values.is_true("xpack.management.enabled", lookup) {
        let detail = "Elasticsearch hands them out: what they write to is not known here";
        let trouble = Trouble::new(Reason::Unreadable, detail);
        let remedy = "name the paths that they write to in the agent's configuration";
        gaps.push(gap("pipelines of Logstash", &trouble, remedy));
        return Listed::Unknown;
    }
    // `multi_local.rb`: the file is passed over when there is a pipeline already.
    if has_text || values.path("path.config", lookup).is_some() {
        return Listed::One;
    }
    let path = instance.config.join("pipelines.yml");
    let (trouble, remedy) = match host.read(&instance.namespace, &path, yaml::MAX_SIZE) {
        Ok(bytes) => match Settings::parse_list(&bytes, &is_setting) {
            Ok(pipelines) => {
                let on_top = |pipeline: Settings| {
                    let mut all = settings.clone();
                    all.extend(pipeline);
                    all
                };
                return Listed::Known(pipelines.into_iter().map(on_top).collect());
            }
            Err(error) => (
                Trouble::new(Reason::Unreadable, format!("{path}: {error}")),
                "correct the file: where its pipelines queue events is not known",
            ),
        },
        Err(trouble) if trouble.reason == Reason::NotFound => return Listed::One,
        Err(trouble) => (trouble, AS_ROOT),
    };
    gaps.push(gap(&path.to_string(), &trouble, remedy));
    Listed::Unknown
}

/// Where pipelines keep events, and their files.
struct Queues<'a> {
    /// The data directory.
    data: &'a HostPath,
    pipelines: Pipelines<'a>,
    directories: Vec<HostPath>,
    files: Vec<HostPath>,
    guesses: Vec<Guess>,
    /// Each has its own queue, below the directory of all.
    is_one: bool,
}

impl Queues<'_> {
    /// Adds the queues and files of one pipeline, or the directory that the queues of all are in.
    fn describe(&mut self, settings: &Settings, given: &[(String, HostPath)]) {
        let instance = self.pipelines.instance;
        let lookup: Lookup<'_> = &|name| instance.environment.get(name);
        let file = instance.config.join(SETTINGS_FILE);
        let mut values = Values::new(settings, given, &file);
        let id = values.path("pipeline.id", lookup).unwrap_or_else(|| HostPath::from("main"));
        let own = |base: HostPath| {
            let base = absolute(&instance.cwd, &base);
            if self.is_one { base.join(id.as_bytes().trim_ascii_start()) } else { base }
        };
        let is_persisted = values.text("queue.type", lookup).as_deref() == Some("persisted");
        let has_letters = values.is_true("dead_letter_queue.enable", lookup);
        for (key, below, is_on) in [
            ("path.queue", "queue", is_persisted),
            ("path.dead_letter_queue", "dead_letter_queue", has_letters),
        ] {
            let named = values.path(key, lookup);
            let path = own(named.clone().unwrap_or_else(|| self.data.join(below)));
            // A guess of the directory of data is one of what is below, too.
            if let (None, Some(why), true) = (named, values.doubt(key), is_on) {
                self.guesses.push(Guess { usage: Use::Queue, path: path.clone(), why });
            }
            self.directories.extend(is_on.then_some(path));
        }
        for pattern in values.paths("path.config", lookup) {
            self.read(&pattern);
        }
        self.pipelines.gaps.append(&mut values.gaps);
    }

    /// Reads what `path.config` names.
    fn read(&mut self, pattern: &HostPath) {
        let instance = self.pipelines.instance;
        let lower = pattern.to_string().to_ascii_lowercase();
        if lower.starts_with("http://") || lower.starts_with("https://") {
            let detail = "a server hands out a pipeline: what it writes to is not known here";
            let remedy = "name the paths that it writes to in the agent's configuration";
            self.pipelines.lose("`path.config` of Logstash", detail.to_owned(), remedy);
            return;
        }
        let start = if lower.starts_with("file://") { "file://".len() } else { 0 };
        let pattern = HostPath::new(pattern.as_bytes().get(start..).unwrap_or_default());
        let pattern = absolute(&instance.cwd, &pattern);
        let Some(files) = patterns::files(self.pipelines.host, &instance.namespace, &pattern)
        else {
            let detail = format!("more than {} files of pipelines", patterns::MAX_FILES);
            let remedy = "name fewer files in `path.config`";
            self.pipelines.lose(&pattern.to_string(), detail, remedy);
            return;
        };
        for file in files {
            if !self.files.contains(&file) {
                self.pipelines.add_file(&file);
                self.files.push(file);
            }
        }
    }
}

/// What the Java machine is or would be started with.
fn java_options(
    host: &dyn Host,
    instance: &Instance,
    configurations: &mut Vec<(HostPath, Form)>,
) -> Vec<Vec<u8>> {
    let seen_by = &instance.namespace;
    // `logstash.lib.sh` and `JvmOptionsParser.java`: the first that is there.
    let config =
        [instance.config.clone(), HostPath::from("/etc/logstash"), instance.home.join("config")]
            .into_iter()
            .find(|config| stack::may_exist(host, seen_by, &config.join("jvm.options")));
    configurations
        .extend(config.iter().map(|config| (config.join("jvm.options"), Form::JavaOptions)));
    if instance.pid.is_some() {
        return instance.arguments.clone();
    }
    let config = config.unwrap_or_else(|| instance.config.clone());
    jvm_options::of(host, seen_by, &config, &instance.home, &instance.environment, "LS_JAVA_OPTS")
        .into_iter()
        .map(String::into_bytes)
        .collect()
}

/// Where the Java machine and Ruby write.
fn java_uses(instance: &Instance, options: &[Vec<u8>]) -> Vec<(Use, HostPath)> {
    let mut uses = java_places(options);
    let dumps = options.iter().rev().find_map(|option| {
        option
            .strip_suffix(b"HeapDumpOnOutOfMemoryError")
            .and_then(|sign| sign.strip_prefix(b"-XX:"))
    });
    let has = |uses: &[(Use, HostPath)], wanted| uses.iter().any(|(usage, _)| *usage == wanted);
    if dumps == Some(b"+") && !has(&uses, Use::HeapDump) {
        // Into the working directory, which is the root directory under the package's unit.
        uses.push((Use::HeapDump, instance.cwd.clone()));
    }
    if !has(&uses, Use::Temp) {
        uses.push((Use::Temp, HostPath::from("/tmp")));
    }
    // `Dir.tmpdir` of Ruby, which plugins write to.
    let temporary = ["TMPDIR", "TMP", "TEMP"]
        .iter()
        .find_map(|name| instance.environment.get(name).filter(|value| !value.is_empty()));
    uses.extend(temporary.map(|path| (Use::Temp, HostPath::from(path))));
    uses.into_iter().map(|(usage, path)| (usage, absolute(&instance.cwd, &path))).collect()
}

/// `logstash: 8.15.0` in the list of versions that comes with it.
fn version(host: &dyn Host, instance: &Instance) -> Option<String> {
    let path = instance.home.join("logstash-core/versions-gem-copy.yml");
    let bytes = host.read(&instance.namespace, &path, 64 << 10).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let version = text.lines().find_map(|line| line.strip_prefix("logstash:"))?.trim();
    version.starts_with(|first: char| first.is_ascii_digit()).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_arguments_of_java_tell_the_home() {
        for (argv, home) in [
            (
                &["-cp", "/opt/ls/vendor/jruby/lib/jruby.jar:/opt/ls/logstash-core/lib/jars/x.jar"]
                    [..],
                Some("/opt/ls"),
            ),
            (&["-Djruby.home=/opt/ls/vendor/jruby"], Some("/opt/ls")),
            (&["-cp", "logstash-core/lib/jars/x.jar"], Some(".")),
            (&["-cp", "/x/y.jar"], None),
        ] {
            let argv: Vec<Vec<u8>> = argv.iter().map(|text| text.as_bytes().to_vec()).collect();
            assert_eq!(home_of(&argv), home.map(HostPath::from), "{argv:?}");
        }
    }

    #[test]
    fn who_looks_for_it_is_not_it() {
        let process = |texts: &[&str]| Process {
            pid: 7,
            argv: texts.iter().map(|text| text.as_bytes().to_vec()).collect(),
        };
        assert!(is_server(&process(&["java", "-Xmx1g", "-cp", "x", "org.logstash.Logstash"])));
        assert!(!is_server(&process(&["pgrep", "-f", "org.logstash.Logstash"])));
    }

    proptest! {
        #[test]
        fn any_arguments_are_survived(
            argv in proptest::collection::vec(
                prop_oneof![
                    proptest::collection::vec(any::<u8>(), 0..20),
                    "(org.logstash.Logstash|-l|-XX:[+-]?HeapDumpOnOutOfMemoryError|-D[=a]{0,3})"
                        .prop_map(String::into_bytes),
                ],
                0..6,
            ),
        ) {
            let _may = may_be(&argv);
            let _home = home_of(&argv);
        }
    }
}
