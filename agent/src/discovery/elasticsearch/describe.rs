//! One node: its settings, every place where it writes, its keystore.

use atrest_proto::model::{Gap, Reason, Use};

use super::{Family, stores};
use crate::discovery::arguments::{command_line, java_places, property};
use crate::discovery::assumed::Guess;
use crate::discovery::instance::{AS_ROOT, Instance, absolute};
use crate::discovery::process::gap;
use crate::discovery::stack::{self, Description, Naming, Package};
use crate::discovery::yaml::{self, Settings};
use crate::discovery::{endpoint, jvm_options, log4j2, open_files};
use crate::drift::{self, Source};
use crate::host::Host;
use crate::path::HostPath;
use crate::secrets::Form;
use crate::snapshot::Trouble;

/// The settings that are read; nothing else of a settings file is kept.
const SETTINGS: &[&str] = &[
    "path.data",
    "path.logs",
    "path.repo",
    "path.shared_data",
    drift::MEMORY_LOCK,
    "cluster.name",
    "node.name",
    "node.roles",
    "node.master",
    "node.data",
    "node.ingest",
    "node.ml",
    "node.attr.data",
    "node.attr.box_type",
    "xpack.searchable.snapshot.shared_cache.size",
];

/// The booleans that said what `node.roles` says since 7.9.
const OLD_ROLES: [(&str, &str); 4] = [
    ("node.master", "master"),
    ("node.data", "data"),
    ("node.ingest", "ingest"),
    ("node.ml", "ml"),
];

/// What the settings of a node say, one method for each question.
struct Node<'a> {
    family: &'a Family,
    host: &'a dyn Host,
    instance: &'a Instance,
    settings: Settings,
    package: Option<Package>,
    /// Why the settings file could not be read, or whether it is theirs is not known: the package's defaults count then, for nobody knows better.
    unread: Option<Trouble>,
    /// The data directories that the node has locked.
    locked: Vec<HostPath>,
}

/// Everything that is known of one node.
pub(super) fn describe(
    family: &'static Family,
    host: &dyn Host,
    instance: &Instance,
) -> Description {
    let mut gaps = Vec::new();
    let (settings, unread) = settings(family, host, instance, &mut gaps);
    let is_read = unread.is_none();
    let unread = unread.or_else(|| instance.doubt.clone());
    let locked = open_files::data(host, instance).into_iter().collect();
    let package = family.package(&instance.config);
    let node = Node { family, host, instance, settings, package, unread, locked };
    let node_name = node.one("node.name", &mut gaps);
    let name = stack::name(
        host,
        instance,
        &Naming {
            product: family.product,
            package: node.package.as_ref(),
            config: &instance.config,
            settings: &instance.config,
            is_usual: true,
            node_name: node_name.as_deref(),
        },
    );
    let mut guesses = Vec::new();
    let places = node.places(&mut guesses, &mut gaps);
    let values = |key: &str| node.list(key, &mut Vec::new());
    let stores = node.settings.keys().filter(|key| stores::is_about(key));
    let stores =
        stores.filter_map(|key| Some((key.to_owned(), values(key).into_iter().next()?))).collect();
    let roles = node.roles(&mut gaps);
    Description {
        product: family.product.to_owned(),
        version: node.version(),
        cluster_name: node.one("cluster.name", &mut gaps),
        tiers: node.tiers(&roles, &mut gaps),
        roles,
        home: instance.home.clone(),
        config: instance.config.clone(),
        settings: instance.config.clone(),
        outdoes_units: true,
        // Among the places.
        data: node.data().0,
        places,
        guesses,
        keystores: vec![(instance.config.join(family.keystore_file), "elasticsearch")],
        configurations: node.configurations(),
        claims: node.claims(is_read),
        endpoint: endpoint::of(host, family.product, &name, instance, &values, is_read),
        stores,
        gaps,
        name,
        node_name,
    }
}

impl Node<'_> {
    /// The values of a setting; one that cannot be known is a gap.
    fn list(&self, key: &str, gaps: &mut Vec<Gap>) -> Vec<String> {
        let (values, trouble) = self.known(key);
        if let Some(trouble) = trouble {
            let path = self.instance.config.join(self.family.settings_file);
            gaps.push(gap(
                &path.to_string(),
                &trouble,
                "name the path in the agent's configuration",
            ));
        }
        values
    }

    /// Those of its values that are known, and why not all are.
    fn known(&self, key: &str) -> (Vec<String>, Option<Trouble>) {
        let lookup = |name: &str| self.variable(name);
        let (values, error) = self.settings.known_list(key, &lookup);
        (values, error.map(|error| Trouble::new(Reason::Unreadable, error.to_string())))
    }

    fn one(&self, key: &str, gaps: &mut Vec<Gap>) -> Option<String> {
        self.list(key, gaps).into_iter().next()
    }

    /// What `${NAME}` stands for: a variable of the environment or a property of Java.
    fn variable(&self, name: &str) -> Option<String> {
        self.instance
            .environment
            .get(name)
            .or_else(|| property(&self.instance.arguments, name).map(|value| value.to_string()))
    }

    fn absolute(&self, path: &str) -> HostPath {
        absolute(&self.instance.cwd, &HostPath::from(path))
    }

    fn paths(&self, key: &str, gaps: &mut Vec<Gap>) -> Vec<HostPath> {
        self.list(key, gaps).iter().map(|path| self.absolute(path)).collect()
    }

    /// The paths of a setting that has a default: a directory of the package, or one below the home. With why the default is
    /// a guess, when it is one.
    fn defaulted(
        &self,
        key: &str,
        packaged: fn(&Package) -> &HostPath,
        below_home: &str,
    ) -> (Vec<HostPath>, Option<Trouble>) {
        let (values, trouble) = self.known(key);
        if !values.is_empty() {
            return (values.iter().map(|path| self.absolute(path)).collect(), None);
        }
        let package = self.package.as_ref().filter(|_| self.unread.is_some());
        let home = || self.instance.home.join(below_home);
        let default = package.map_or_else(home, |package| packaged(package).clone());
        (vec![default], trouble.or_else(|| self.unread.clone()))
    }

    /// The data directories. What a node has locked it writes to, whatever its settings would be.
    fn data(&self) -> (Vec<HostPath>, Option<Trouble>) {
        match self.defaulted("path.data", |package| &package.data, "data") {
            (_, Some(_)) if !self.locked.is_empty() => (self.locked.clone(), None),
            found => found,
        }
    }

    fn logs(&self) -> (Vec<HostPath>, Option<Trouble>) {
        self.defaulted("path.logs", |package| &package.logs, "logs")
    }

    fn is_there(&self, path: &HostPath) -> bool {
        self.host.metadata(&self.instance.namespace, path, true).is_ok()
    }

    /// Every place that its settings and arguments name.
    fn places(&self, guesses: &mut Vec<Guess>, gaps: &mut Vec<Gap>) -> Vec<(Use, HostPath)> {
        let instance = self.instance;
        let mut places = Vec::new();
        // What is lost of them is said.
        for key in ["path.data", "path.logs"] {
            let _known = self.list(key, gaps);
        }
        let ((data, of_data), (logs, of_logs)) = (self.data(), self.logs());
        for (usage, paths, doubt) in [(Use::Data, &data, of_data), (Use::Logs, &logs, of_logs)] {
            let guess = |path: &HostPath| {
                let (path, why) = (path.clone(), doubt.clone()?);
                Some(Guess { usage, path, why })
            };
            guesses.extend(paths.iter().filter_map(guess));
        }
        let mut add = |usage: Use, paths: Vec<HostPath>| {
            places.extend(paths.into_iter().map(|path| (usage, path)));
        };
        // The cache of the frozen tier is one file, which may be a link or a mount of its own.
        let caches = data.iter().map(|path| path.join("shared_snapshot_cache"));
        let caches = caches.filter(|path| self.is_there(path)).collect();
        add(Use::Cache, caches);
        add(Use::Logs, self.appenders(logs.first(), gaps));
        add(Use::Logs, logs);
        add(Use::Data, self.paths("path.shared_data", gaps));
        add(Use::Repository, self.paths("path.repo", gaps));
        let options = self.java_options();
        for (usage, path) in java_places(&options) {
            add(usage, vec![absolute(&instance.cwd, &path)]);
        }
        let says = |part: &[u8]| options.iter().any(|option| option.starts_with(part));
        // Without a path a dump goes to the working directory (`HeapDumpPath` in the documentation of `java`).
        if says(b"-XX:+HeapDumpOnOutOfMemoryError") && !says(b"-XX:HeapDumpPath=") {
            add(Use::HeapDump, vec![instance.cwd.clone()]);
        }
        if !says(b"-Djava.io.tmpdir=") {
            add(Use::Temp, vec![self.temporary()]);
        }
        places.sort_unstable();
        places.dedup();
        places
    }

    /// The options of the Java machine: the running one's, or those that it would start with.
    fn java_options(&self) -> Vec<Vec<u8>> {
        let is_java = |argument: &Vec<u8>| argument.starts_with(b"-X");
        if self.instance.pid.is_some() && self.instance.arguments.iter().any(is_java) {
            return self.instance.arguments.clone();
        }
        let files = self.java_options_of_files().into_iter().map(String::into_bytes);
        self.instance.arguments.iter().cloned().chain(files).collect()
    }

    fn java_options_of_files(&self) -> Vec<String> {
        let instance = self.instance;
        let variable = format!("{}_JAVA_OPTS", self.family.variables);
        let options = jvm_options::of(
            self.host,
            &instance.namespace,
            &instance.config,
            &instance.home,
            &instance.environment,
            &variable,
        );
        let temporary = self.temporary().to_string();
        let config = instance.config.to_string();
        let replaced = |option: String| {
            option
                .replace(&format!("${{{}_TMPDIR}}", self.family.variables), &temporary)
                .replace(&format!("${{{}_PATH_CONF}}", self.family.variables), &config)
        };
        options.into_iter().map(replaced).collect()
    }

    /// Where its scripts make the temporary directory of each start.
    fn temporary(&self) -> HostPath {
        let named = self.instance.environment.get(&format!("{}_TMPDIR", self.family.variables));
        named.map_or_else(|| HostPath::from("/tmp"), |path| self.absolute(&path))
    }

    /// Where the appenders of `log4j2.properties` write.
    fn appenders(&self, logs: Option<&HostPath>, gaps: &mut Vec<Gap>) -> Vec<HostPath> {
        /// The product's own is 10 KiB.
        const LIMIT: usize = 1 << 20;
        let path = self.instance.config.join("log4j2.properties");
        let bytes = match self.host.read(&self.instance.namespace, &path, LIMIT) {
            Ok(bytes) => bytes,
            Err(trouble) if trouble.reason == Reason::NotFound => return Vec::new(),
            Err(trouble) => {
                gaps.push(gap(&path.to_string(), &trouble, AS_ROOT));
                return Vec::new();
            }
        };
        let prefix = self.family.property;
        let cluster =
            self.one("cluster.name", gaps).unwrap_or_else(|| self.family.product.to_owned());
        let node = self.one("node.name", gaps).unwrap_or_else(|| "node".to_owned());
        let own =
            |name: &'_ str| name.strip_prefix(prefix)?.strip_prefix(".logs.").map(str::to_owned);
        let lookup = |name: &str| match own(name).as_deref() {
            Some("base_path") => logs.map(ToString::to_string),
            Some("cluster_name") => Some(cluster.clone()),
            Some("node_name") => Some(node.clone()),
            _ => self.variable(name),
        };
        let appenders = log4j2::appenders(&String::from_utf8_lossy(&bytes), &lookup);
        gaps.extend(appenders.gaps(&path));
        appenders.directories.iter().map(|directory| self.absolute(directory)).collect()
    }

    /// What the sources say of the settings that they may disagree on.
    fn claims(&self, is_read: bool) -> Vec<(String, Source, Vec<String>)> {
        let claim = |setting: &str, source, mut values: Vec<String>| {
            values.sort_unstable();
            values.dedup();
            (setting.to_owned(), source, values)
        };
        let mut claims = Vec::new();
        if self.instance.pid.is_none() {
            return claims;
        }
        if is_read {
            // The cluster's log files lie in the first of these, the data in all.
            let mut ignored = Vec::new();
            let of = |paths: Vec<HostPath>| paths.iter().map(ToString::to_string).collect();
            for (key, (paths, doubt)) in [
                ("path.data", self.defaulted("path.data", |package| &package.data, "data")),
                ("path.logs", self.logs()),
            ] {
                // What is not known says nothing.
                if doubt.is_none() && self.known(key).1.is_none() {
                    claims.push(claim(key, Source::Files, of(paths)));
                }
            }
            let lock = self.one(drift::MEMORY_LOCK, &mut ignored);
            claims.extend(lock.map(|lock| claim(drift::MEMORY_LOCK, Source::Files, vec![lock])));
            for key in ["path.repo", "path.shared_data"] {
                claims.push(claim(key, Source::Files, of(self.paths(key, &mut ignored))));
            }
        }
        if !self.locked.is_empty() {
            let values = self.locked.iter().map(ToString::to_string).collect();
            claims.push(claim("path.data", Source::Process, values));
        }
        let of_process = &self.instance.arguments;
        if !of_process.iter().any(|argument| argument.starts_with(b"-X")) {
            return claims;
        }
        let has_options = self.is_there(&self.instance.config.join("jvm.options"));
        let of_files: Vec<Vec<u8>> =
            self.java_options_of_files().into_iter().map(String::into_bytes).collect();
        let variable = format!("{}_JAVA_OPTS", self.family.variables);
        // Where the variable was taken out of the environment, what it said is not known.
        let sees_variable =
            self.instance.environment.get(&variable).is_some() || !self.instance.is_below_launcher;
        for option in ["-XX:HeapDumpPath=", "-XX:ErrorFile="] {
            let last = |arguments: &[Vec<u8>]| {
                let value =
                    arguments.iter().rev().find_map(|a| a.strip_prefix(option.as_bytes()))?;
                Some(self.absolute(&String::from_utf8_lossy(value)).to_string())
            };
            let setting = option.trim_end_matches('=');
            claims
                .extend(last(of_process).map(|value| claim(setting, Source::Process, vec![value])));
            if has_options && sees_variable {
                claims.extend(last(&of_files).map(|v| claim(setting, Source::Files, vec![v])));
            }
        }
        claims
    }

    /// Where the settings of the node stand.
    fn configurations(&self) -> Vec<(HostPath, Form)> {
        let (family, instance) = (self.family, self.instance);
        let mut places = vec![
            (instance.config.join(family.settings_file), Form::Yaml),
            (instance.config.join("jvm.options"), Form::JavaOptions),
        ];
        let directory = instance.config.join("jvm.options.d");
        let names = self.host.list(&instance.namespace, &directory).unwrap_or_default();
        let options = names.iter().filter(|name| name.ends_with(b".options"));
        places.extend(options.map(|name| (directory.join(name), Form::JavaOptions)));
        places
    }

    fn roles(&self, gaps: &mut Vec<Gap>) -> Vec<String> {
        let mut roles = self.list("node.roles", gaps);
        if roles.is_empty() {
            let is_on =
                |key: &str, gaps: &mut Vec<Gap>| self.one(key, gaps).as_deref() == Some("true");
            let old = OLD_ROLES.iter().filter(|(key, _)| is_on(key, gaps));
            roles = old.map(|(_, role)| (*role).to_owned()).collect();
        }
        roles.sort_unstable();
        roles.dedup();
        roles
    }

    /// The tiers that it holds data of: by its roles, or by the attribute that told before there were such roles.
    fn tiers(&self, roles: &[String], gaps: &mut Vec<Gap>) -> Vec<String> {
        let of_roles = roles.iter().filter_map(|role| role.strip_prefix("data_"));
        let mut tiers: Vec<String> = of_roles.map(str::to_owned).collect();
        if tiers.is_empty() {
            let attribute =
                self.one("node.attr.data", gaps).or_else(|| self.one("node.attr.box_type", gaps));
            tiers.extend(attribute);
        }
        tiers
    }

    /// From the name of the product's own jar.
    fn version(&self) -> Option<String> {
        let lib = self.instance.home.join("lib");
        let names = self.host.list(&self.instance.namespace, &lib).ok()?;
        names.iter().find_map(|name| {
            let name = std::str::from_utf8(name).ok()?;
            let version = name.strip_prefix(self.family.jar)?.strip_suffix(".jar")?;
            version.starts_with(|first: char| first.is_ascii_digit()).then(|| version.to_owned())
        })
    }
}

/// The settings of the file, under those of the environment and the command line; and why the file could not be read.
fn settings(
    family: &Family,
    host: &dyn Host,
    node: &Instance,
    gaps: &mut Vec<Gap>,
) -> (Settings, Option<Trouble>) {
    let path = node.config.join(family.settings_file);
    let keep = |key: &str| {
        SETTINGS.contains(&key) || endpoint::SETTINGS.contains(&key) || stores::is_about(key)
    };
    let parsed = match host.read(&node.namespace, &path, yaml::MAX_SIZE) {
        Ok(bytes) => Settings::parse(&bytes, &keep)
            .map_err(|error| (Trouble::new(Reason::Unreadable, format!("{path}: {error}")), "")),
        // Without the file everything has its default.
        Err(trouble) if trouble.reason == Reason::NotFound => Ok(Settings::default()),
        Err(trouble) => {
            let remedy = if trouble.reason == Reason::NoPermission { AS_ROOT } else { "" };
            Err((trouble, remedy))
        }
    };
    let mut unread = None;
    let mut settings = parsed.unwrap_or_else(|(trouble, remedy)| {
        let remedy =
            if remedy.is_empty() { "correct the file; defaults were assumed" } else { remedy };
        gaps.push(gap(&path.to_string(), &trouble, remedy));
        unread = Some(trouble);
        Settings::default()
    });
    if node.container.is_some() {
        for (name, value) in node.environment.variables() {
            if let Some(key) = setting_of_variable(name)
                && keep(&key)
            {
                settings.set(&key, value);
            }
        }
    }
    for (key, value) in command_line(&node.arguments) {
        if keep(&key) {
            settings.set(&key, &value);
        }
    }
    (settings, unread)
}

/// The setting that the entry points of the images make of a variable, in `docker-entrypoint.sh` and `env2yml`:
/// `path.data` is itself, and `ES_SETTING_PATH_DATA` is `path.data`, with `__` for an underscore.
pub(in crate::discovery) fn setting_of_variable(name: &str) -> Option<String> {
    if let Some(rest) = name.strip_prefix("ES_SETTING_") {
        let parts = rest.split("__").map(|part| part.replace('_', "."));
        return Some(parts.collect::<Vec<_>>().join("_").to_ascii_lowercase());
    }
    let is_dotted = name.contains('.')
        && name.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.')
        });
    is_dotted.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_the_images_are_settings() {
        assert_eq!(setting_of_variable("ES_SETTING_PATH_DATA").as_deref(), Some("path.data"));
        assert_eq!(
            setting_of_variable("ES_SETTING_PATH_SHARED__DATA").as_deref(),
            Some("path.shared_data")
        );
        assert_eq!(setting_of_variable("path.data").as_deref(), Some("path.data"));
        assert_eq!(setting_of_variable("PATH"), None);
        assert_eq!(setting_of_variable("Path.data"), None);
    }
}
