//! Kibana and OpenSearch Dashboards, running or installed: data, logs, what reports and crashes write, the keystore.
//!
//! Where things are is decided in `packages/kbn-utils/src/path/index.ts` and `src/cli/serve/serve.js` of Kibana, and in
//! `packages/osd-utils` of OpenSearch Dashboards.

use atrest_proto::model::Use;

use super::arguments;
use super::assumed::Guess;
use super::instance::{AS_ROOT, Instance, absolute};
use super::process::{self, Process, gap};
use super::stack::{self, Candidate, Description, Lookup, Naming, Package, Values};
use super::yaml::Settings;
use super::{Discovery, Scene};
use crate::host::Host;
use crate::path::HostPath;
use crate::secrets::Form;
use crate::snapshot::Namespace;

/// The names by which a product of this family goes.
pub(super) struct Family {
    pub(super) product: &'static str,
    /// Its start script in `bin`.
    binary: &'static str,
    settings_file: &'static str,
    keystore_file: &'static str,
    /// Of its configuration directory; the first that is set counts.
    config_variables: &'static [&'static str],
    /// Of packages, their units and their users.
    packages: &'static [&'static str],
}

pub(super) static KIBANA: Family = Family {
    product: "kibana",
    binary: "kibana",
    settings_file: "kibana.yml",
    keystore_file: "kibana.keystore",
    config_variables: &["KBN_PATH_CONF", "KIBANA_PATH_CONF"],
    packages: &["kibana"],
};

pub(super) static DASHBOARDS: Family = Family {
    product: "opensearch-dashboards",
    binary: "opensearch-dashboards",
    settings_file: "opensearch_dashboards.yml",
    keystore_file: "opensearch_dashboards.keystore",
    config_variables: &["OSD_PATH_CONF", "OPENSEARCH_DASHBOARDS_PATH_CONF"],
    // Wazuh's own build of it.
    packages: &["opensearch-dashboards", "wazuh-dashboard"],
};

/// Whether a process with these arguments may be one of this family.
pub(super) fn may_be(argv: &[Vec<u8>]) -> bool {
    process::mentions(argv, "src/cli")
        && argv.iter().any(|argument| home_of_script(argument).is_some())
}

/// Finds the instances of one product of the family.
pub(super) fn discover(family: &'static Family, scene: &Scene<'_>, found: &mut Discovery) {
    let host = scene.host;
    let mut candidates = Vec::new();
    for process in stack::servers(scene, &|process| is_server(family, host, process)) {
        candidates.extend(running(family, host, process, found));
    }
    let is_program = |path: &HostPath| {
        path.file_name() == Some(family.binary.as_bytes())
            || home_of_script(path.as_bytes()).is_some_and(|home| is_home(family, host, &home))
    };
    for candidate in stack::started_by_units(scene, &is_program) {
        candidates.extend(started(family, host, candidate));
    }
    let packages: Vec<Package> = family.packages.iter().map(|name| Package::new(name)).collect();
    for package in &packages {
        let variables = family.config_variables;
        candidates.extend(package.candidate(host, &package.name, variables, &mut found.gaps));
    }
    for home in &scene.unpacked {
        let config = home.join("config");
        let is_there = |path: HostPath| stack::exists(host, &Namespace::Host, &path);
        if is_there(home.join("bin").join(family.binary))
            && is_there(config.join(family.settings_file))
        {
            candidates.push(stack::archive(host, home.clone(), config));
        }
    }
    stack::write_down(host, candidates, &|candidate| describe(family, host, candidate), found);
}

/// The home of the server whose script an argument is: what stands before `src/cli`.
fn home_of_script(argument: &[u8]) -> Option<HostPath> {
    let path = HostPath::new(argument);
    let parts: Vec<&[u8]> = path.components().collect();
    let at = parts.windows(2).rposition(|pair| *pair == [b"src".as_slice(), b"cli"])?;
    // `dist`, `dist.js`, `cli.js`, `kibana/dist`: the scripts of other tools are longer ways down.
    if parts.len() > at + 4 {
        return None;
    }
    let start = if path.is_absolute() { HostPath::root() } else { HostPath::from(".") };
    Some(parts.iter().take(at).fold(start, |home, part| home.join(part)))
}

fn script_home(process: &Process) -> Option<HostPath> {
    process.argv.iter().find_map(|argument| home_of_script(argument))
}

/// The arguments of the server itself: what stands before its script is for Node.js.
fn own_arguments(instance: &Instance) -> &[Vec<u8>] {
    let arguments = instance.arguments.as_slice();
    let script = arguments.iter().position(|argument| home_of_script(argument).is_some());
    arguments.get(script.map_or(1, |script| script + 1)..).unwrap_or_default()
}

fn is_server(family: &Family, host: &dyn Host, process: &Process) -> bool {
    let Some(home) = script_home(process) else { return false };
    let other = if family.product == KIBANA.product { &DASHBOARDS } else { &KIBANA };
    let seen_by = process::namespace(host, process.pid, &mut Vec::new());
    let link = HostPath::from(format!("/proc/{}/cwd", process.pid));
    let cwd = host.read_link(&Namespace::Host, &link).unwrap_or_else(|_| HostPath::root());
    let home = absolute(&cwd, &home);
    let has = |family: &Family| {
        stack::exists(host, &seen_by, &home.join("bin").join(family.binary))
            || stack::exists(host, &seen_by, &home.join("config").join(family.settings_file))
    };
    match (has(family), has(other)) {
        (true, false) => true,
        (false, true) => false,
        // The files do not tell: the names have to.
        (true, true) | (false, false) => {
            let is_dashboards = process::mentions(&process.argv, "dashboard")
                || home.to_string().contains("dashboard");
            if is_dashboards {
                family.product == DASHBOARDS.product
            } else {
                family.product == KIBANA.product
                    && (process::mentions(&process.argv, "kibana")
                        || home.to_string().contains("kibana"))
            }
        }
    }
}

fn is_home(family: &Family, host: &dyn Host, home: &HostPath) -> bool {
    stack::exists(host, &Namespace::Host, &home.join("bin").join(family.binary))
}

/// The configuration directory that the environment names.
fn named_config(family: &Family, instance: &Instance) -> Option<HostPath> {
    let named = family
        .config_variables
        .iter()
        .find_map(|name| instance.environment.get(name).filter(|value| !value.is_empty()))?;
    Some(absolute(&instance.cwd, &HostPath::from(named)))
}

/// The configuration directory: named, or the first of the usual ones that is there.
fn config(family: &Family, host: &dyn Host, instance: &Instance) -> HostPath {
    named_config(family, instance).unwrap_or_else(|| {
        let own = instance.home.join("config");
        if stack::may_exist(host, &instance.namespace, &own) {
            return own;
        }
        let packages = family.packages.iter().map(|name| Package::new(name));
        // That of the package with this home, then any.
        let (own_package, others): (Vec<Package>, Vec<Package>) =
            packages.partition(|package| package.home == instance.home);
        own_package
            .into_iter()
            .chain(others)
            .map(|package| package.config)
            .find(|config| stack::exists(host, &instance.namespace, config))
            .unwrap_or(own)
    })
}

fn running(
    family: &Family,
    host: &dyn Host,
    process: &Process,
    found: &mut Discovery,
) -> Option<Candidate> {
    let (mut candidate, trouble) = stack::running(host, family.product, process, &mut found.gaps)?;
    if let Some(trouble) = trouble {
        let subject = format!("environment of process {} ({})", process.pid, family.product);
        found.gaps.push(gap(&subject, &trouble, AS_ROOT));
    }
    let instance = &mut candidate.instance;
    instance.home = absolute(&instance.cwd, &script_home(process)?);
    instance.config = config(family, host, instance);
    Some(candidate)
}

/// What a unit starts; its first argument is the start script, or the server's own.
fn started(family: &Family, host: &dyn Host, mut candidate: Candidate) -> Option<Candidate> {
    let instance = &mut candidate.instance;
    let program = HostPath::new(instance.arguments.first()?.clone());
    let program = absolute(&instance.cwd, &program);
    instance.home = home_of_script(program.as_bytes()).or_else(|| program.parent()?.parent())?;
    // The scripts of old versions let the shell split `"-c FILE"`.
    instance.arguments = instance
        .arguments
        .iter()
        .flat_map(|argument| match argument.strip_prefix(b"-c ") {
            Some(file) => vec![b"-c".to_vec(), file.trim_ascii().to_vec()],
            None => vec![argument.clone()],
        })
        .collect();
    instance.config = config(family, host, instance);
    stack::is_directory(host, &instance.namespace, &instance.config).then_some(candidate)
}

/// The settings that are read; nothing else of a settings file is kept.
fn is_setting(key: &str) -> bool {
    matches!(
        key,
        "path.data"
            | "server.name"
            | "logging.dest"
            | "xpack.security.audit.enabled"
            | "xpack.security.audit.appender.fileName"
            | "xpack.security.audit.appender.path"
    ) || is_appender(key)
}

fn is_appender(key: &str) -> bool {
    // Before 7.13 it was `path`.
    key.starts_with("logging.appenders.")
        && matches!(key.rsplit('.').next(), Some("fileName" | "path"))
}

/// The settings that the command line gives: `--KEY=VALUE`, `--KEY VALUE`.
pub(crate) fn given(arguments: &[Vec<u8>]) -> Vec<(String, HostPath)> {
    let mut given = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let Some(option) = argument.strip_prefix(b"--") else { continue };
        let mut parts = option.splitn(2, |byte| *byte == b'=');
        let key = parts.next().and_then(|key| std::str::from_utf8(key).ok());
        let Some(key) = key.filter(|key| is_setting(key)) else { continue };
        let value = parts.next().map(<[u8]>::to_vec).or_else(|| rest.next().cloned());
        given.extend(value.map(|value| (key.to_owned(), HostPath::new(value))));
    }
    given
}

fn describe(
    family: &'static Family,
    host: &dyn Host,
    candidate: &Candidate,
) -> Option<Description> {
    let instance = &candidate.instance;
    let seen_by = &instance.namespace;
    let mut gaps = Vec::new();
    let usual =
        instance.environment.get("CONFIG_PATH").filter(|path| !path.is_empty()).map_or_else(
            || instance.config.join(family.settings_file),
            |path| absolute(&instance.cwd, &HostPath::from(path)),
        );
    let mut files: Vec<HostPath> = arguments::values(own_arguments(instance), &["-c", "--config"])
        .iter()
        .map(|path| absolute(&instance.cwd, path))
        .collect();
    if files.is_empty() {
        files.push(usual.clone());
    }
    let file = files.last()?.clone();
    let is_usual = files == [usual];
    let (settings, unread) = stack::settings(host, seen_by, &files, &is_setting, &mut gaps);
    let given = given(own_arguments(instance));
    let mut values = Values::new(&settings, &given, &file);
    (values.unread, values.gaps) = (unread, gaps);
    let lookup: Lookup<'_> = &|name| instance.environment.get(name);

    let package = family
        .packages
        .iter()
        .map(|name| Package::new(name))
        .find(|package| package.config == instance.config || package.home == instance.home);
    // Its images call every instance the same.
    let node_name =
        values.text("server.name", lookup).filter(|name| !family.packages.contains(&name.as_str()));
    let name = stack::name(
        host,
        instance,
        &Naming {
            product: family.product,
            package: package.as_ref(),
            config: &instance.config,
            settings: &file,
            is_usual,
            node_name: node_name.as_deref(),
        },
    );
    let data = data(host, instance, package.as_ref(), &mut values, lookup);
    let claims = values.claims("path.data", &instance.home, lookup);

    let mut places = Vec::new();
    for path in log_files(&settings, &given, &mut values, lookup) {
        // A file that is named without a directory lies in the working directory.
        places.extend(absolute(&instance.cwd, &path).parent().map(|path| (Use::Logs, path)));
    }
    let own_logs = || {
        let own = instance.home.join("logs");
        let packaged = package.as_ref().map(|package| package.logs.clone());
        packaged.filter(|_| !stack::exists(host, seen_by, &own)).unwrap_or(own)
    };
    let audit = ["xpack.security.audit.appender.fileName", "xpack.security.audit.appender.path"];
    if values.is_true("xpack.security.audit.enabled", lookup)
        && audit.iter().all(|key| values.path(key, lookup).is_none())
    {
        places.push((Use::Logs, own_logs()));
    }
    if let Some(why) = values.unread.clone().filter(|_| package.is_some()) {
        let path = own_logs();
        values.guesses.push(Guess { usage: Use::Logs, path: path.clone(), why });
        places.push((Use::Logs, path));
    }
    places.extend(crash_places(instance));
    // `os.tmpdir()` of Node.js: where Chromium keeps its profile while it prints a report.
    let temporary = ["TMPDIR", "TMP", "TEMP"]
        .iter()
        .find_map(|name| instance.environment.get(name).filter(|value| !value.is_empty()))
        .unwrap_or_else(|| "/tmp".to_owned());
    places.push((Use::Temp, absolute(&instance.cwd, &HostPath::from(temporary))));

    Some(Description {
        product: family.product.to_owned(),
        name,
        version: version(host, instance),
        node_name,
        home: instance.home.clone(),
        config: instance.config.clone(),
        keystores: keystores(family, host, instance, &data),
        settings: file.clone(),
        data,
        places,
        configurations: files.into_iter().map(|path| (path, Form::Yaml)).collect(),
        claims,
        guesses: values.guesses,
        gaps: values.gaps,
        ..Description::default()
    })
}

fn data(
    host: &dyn Host,
    instance: &Instance,
    package: Option<&Package>,
    values: &mut Values<'_>,
    lookup: Lookup<'_>,
) -> Vec<HostPath> {
    let seen_by = &instance.namespace;
    let mut paths = values.paths("path.data", lookup);
    // The start script of an image hands this on as an argument; what started it otherwise may not.
    if paths.is_empty() && instance.container.is_some() {
        let variable = instance.environment.get("PATH_DATA").map(HostPath::from);
        paths.extend(
            variable.filter(|path| stack::exists(host, seen_by, &absolute(&instance.home, path))),
        );
    }
    if paths.is_empty() {
        paths.extend(instance.environment.get("DATA_PATH").map(HostPath::from));
    }
    let mut data: Vec<HostPath> = Vec::new();
    for path in &paths {
        // Some parts take it from the home, some from the working directory.
        let of_home = absolute(&instance.home, path);
        let of_cwd = absolute(&instance.cwd, path);
        if of_cwd != of_home && stack::exists(host, seen_by, &of_cwd) {
            if stack::exists(host, seen_by, &of_home) {
                data.push(of_home);
            }
            data.push(of_cwd);
        } else {
            data.push(of_home);
        }
    }
    if data.is_empty() {
        let own = instance.home.join("data");
        let packaged = package.map(|package| package.data.clone());
        let is_own = values.unread.is_none() && stack::exists(host, seen_by, &own);
        let path = packaged.filter(|_| !is_own).unwrap_or(own);
        if let Some(why) = values.doubt("path.data") {
            values.guesses.push(Guess { usage: Use::Data, path: path.clone(), why });
        }
        data.push(path);
    }
    data.sort_unstable();
    data.dedup();
    data
}

/// The log files that are set. Of the command line each key counts, of the files each that it does not set.
fn log_files(
    settings: &Settings,
    given: &[(String, HostPath)],
    values: &mut Values<'_>,
    lookup: Lookup<'_>,
) -> Vec<HostPath> {
    let is_log = |key: &str| {
        is_appender(key)
            || key == "logging.dest"
            || key.starts_with("xpack.security.audit.appender.")
    };
    let mut keys: Vec<&str> = settings
        .keys()
        .chain(given.iter().map(|(key, _)| key.as_str()))
        .filter(|key| is_log(key))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    let mut files: Vec<HostPath> =
        keys.into_iter().flat_map(|key| values.paths(key, lookup)).collect();
    files.retain(|file| !matches!(file.as_bytes(), b"stdout" | b"stderr"));
    files
}

/// Where Node.js writes its heap, when it is told to: <https://nodejs.org/api/cli.html>.
fn crash_places(instance: &Instance) -> Vec<(Use, HostPath)> {
    let mut options = instance.arguments.clone();
    let variable = instance.environment.get("NODE_OPTIONS").unwrap_or_default();
    options.extend(variable.split_ascii_whitespace().map(|word| word.as_bytes().to_vec()));
    let is_on = options.iter().any(|option| {
        [b"--heapsnapshot-".as_slice(), b"--heap-prof", b"--report-"]
            .iter()
            .any(|prefix| option.starts_with(prefix))
    });
    if !is_on {
        return Vec::new();
    }
    let directories = ["--diagnostic-dir", "--heap-prof-dir", "--report-directory"];
    let mut named = arguments::values(&options, &directories);
    if named.is_empty() {
        named.push(instance.cwd.clone());
    }
    named.iter().map(|path| (Use::HeapDump, absolute(&instance.cwd, path))).collect()
}

/// `getKeystore` looks into the data directory first, which is deprecated, and then into the configuration directory.
fn keystores(
    family: &Family,
    host: &dyn Host,
    instance: &Instance,
    data: &[HostPath],
) -> Vec<(HostPath, &'static str)> {
    let own = instance.config.join(family.keystore_file);
    let mut keystores: Vec<HostPath> =
        data.iter().map(|path| path.join(family.keystore_file)).collect();
    keystores.push(own.clone());
    keystores.retain(|path| stack::may_exist(host, &instance.namespace, path));
    if keystores.is_empty() {
        keystores.push(own);
    }
    keystores.into_iter().map(|path| (path, "kibana")).collect()
}

/// From `package.json` in its home.
fn version(host: &dyn Host, instance: &Instance) -> Option<String> {
    const LIMIT: usize = 1 << 20;
    let path = instance.home.join("package.json");
    let bytes = host.read(&instance.namespace, &path, LIMIT).ok()?;
    let package: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    let version = package.get("version")?.as_str()?;
    version.starts_with(|first: char| first.is_ascii_digit()).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_script_tells_the_home() {
        for (script, home) in [
            ("/usr/share/kibana/bin/../src/cli/dist", Some("/usr/share/kibana/bin/..")),
            ("/opt/kibana/src/cli/cli.js", Some("/opt/kibana")),
            ("/opt/kibana/src/cli", Some("/opt/kibana")),
            ("/opt/kibana/src/cli/kibana/dist", Some("/opt/kibana")),
            ("bin/../src/cli/dist", Some("./bin/..")),
            ("/opt/kibana/src/cli_keystore/dist", None),
            ("/opt/x/src/cli/a/b/c", None),
            ("/opt/kibana/src/client", None),
            ("", None),
        ] {
            assert_eq!(home_of_script(script.as_bytes()), home.map(HostPath::from), "{script}");
        }
    }

    #[test]
    fn settings_of_the_command_line_are_read_in_both_forms() {
        let arguments: Vec<Vec<u8>> =
            ["--path.data", "/a", "--logging.dest=/l", "--elasticsearch.password=x", "--path.data"]
                .map(|text| text.as_bytes().to_vec())
                .to_vec();
        let expected = [("path.data", "/a"), ("logging.dest", "/l")]
            .map(|(key, value)| (key.to_owned(), HostPath::from(value)));
        assert_eq!(given(&arguments), expected);
    }

    proptest! {
        #[test]
        fn any_arguments_are_survived(
            argv in proptest::collection::vec(
                prop_oneof![
                    proptest::collection::vec(any::<u8>(), 0..20),
                    "(--path.data=?|/?src/cli/?|-c|\\.\\./){0,4}".prop_map(String::into_bytes),
                ],
                0..6,
            ),
        ) {
            let _may = may_be(&argv);
            let _given = given(&argv);
        }
    }
}
