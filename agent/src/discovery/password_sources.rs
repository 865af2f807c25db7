//! Where a service takes the password of its keystore from: by the names of variables, never their values.

use super::instance::Instance;
use crate::host::Host;
use crate::keystore::PasswordSource;
use crate::path::HostPath;
use crate::snapshot::Namespace;
use crate::variables;

/// Variables that hold a password: those of the images, and of Logstash.
const PASSWORDS: [&str; 3] =
    ["KEYSTORE_PASSWORD", "ES_KEYSTORE_PASSPHRASE", "LOGSTASH_KEYSTORE_PASS"];

/// Variables that name a file with nothing but the password: `docker-entrypoint.sh`, `systemd-entrypoint`.
const FILES: [&str; 4] = [
    "KEYSTORE_PASSWORD_FILE",
    "ES_KEYSTORE_PASSPHRASE_FILE",
    "OPENSEARCH_KEYSTORE_PASSPHRASE_FILE",
    "KBN_KEYSTORE_PASSPHRASE_FILE",
];

/// Files of variables are a few KiB.
const LIMIT: usize = 1 << 20;

/// The sources of one instance, sorted.
pub(super) fn of(host: &dyn Host, instance: &Instance) -> Vec<PasswordSource> {
    let mut sources = Vec::new();
    for path in instance.environment_files.iter().chain(&instance.unit_files) {
        let Ok(bytes) = host.read(&Namespace::Host, path, LIMIT) else { continue };
        let bytes = zeroize::Zeroizing::new(bytes);
        let names = assigned(&String::from_utf8_lossy(&bytes));
        sources.extend(names.into_iter().map(|variable| PasswordSource::EnvironmentFile {
            variable: variable.to_owned(),
            path: path.clone(),
            namespace: Namespace::Host,
        }));
    }
    for variable in PASSWORDS {
        let is_in_file = sources.iter().any(|source| source.variable() == variable);
        let is_set = instance.environment.get(variable).is_some_and(|value| !value.is_empty());
        if is_set && !is_in_file {
            sources.push(PasswordSource::Environment { variable: variable.to_owned() });
        }
    }
    for variable in FILES {
        let path = instance.environment.get(variable).filter(|path| path.starts_with('/'));
        sources.extend(path.map(|path| PasswordSource::File {
            variable: variable.to_owned(),
            path: HostPath::from(path),
            namespace: instance.namespace.clone(),
        }));
    }
    sources.sort_unstable();
    sources.dedup();
    sources
}

/// The variables with passwords that a file of variables or a unit assigns.
fn assigned(text: &str) -> Vec<&'static str> {
    let of_file = variables::parse(text).into_iter().map(|found| (found.name, found.value));
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("Environment="));
    let of_unit = lines.flat_map(variables::words).filter_map(|word| {
        let (name, value) = word.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    });
    let mut names: Vec<&'static str> = of_file
        .chain(of_unit)
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(name, _)| PASSWORDS.into_iter().find(|password| *password == name))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::process::Environment;
    use crate::host::recorded::RecordedHost;

    fn instance(environment: &[(&str, &str)], files: &[&str], units: &[&str]) -> Instance {
        let paths = |paths: &[&str]| paths.iter().map(|path| HostPath::from(*path)).collect();
        Instance {
            pid: Some(7),
            namespace: Namespace::Process(7),
            container: None,
            run_as: None,
            home: HostPath::root(),
            config: HostPath::root(),
            cwd: HostPath::root(),
            environment: Environment::from_pairs(environment.iter().copied()),
            arguments: Vec::new(),
            is_below_launcher: false,
            unit_files: paths(units),
            environment_files: paths(files),
            doubt: None,
            cwd_doubt: None,
        }
    }

    #[test]
    fn passwords_and_the_files_of_them_are_named() {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("default", "LS_USER=x\nLOGSTASH_KEYSTORE_PASS=\"hunter2\"\nKEYSTORE_PASSWORD=\n"),
            ("unit", "[Service]\nEnvironment=A=1 \"KEYSTORE_PASSWORD=hunter2\"\n"),
        ] {
            std::fs::write(root.path().join(path), text).unwrap();
        }
        let host = RecordedHost::new(root.path());
        let environment = [
            ("LOGSTASH_KEYSTORE_PASS", "hunter2"),
            ("ES_KEYSTORE_PASSPHRASE", "hunter2"),
            ("ES_KEYSTORE_PASSPHRASE_FILE", "/run/secret"),
            ("KBN_KEYSTORE_PASSPHRASE_FILE", ""),
        ];
        let sources = of(&host, &instance(&environment, &["/default", "/gone"], &["/unit"]));
        let in_file = |variable: &str, path: &str| PasswordSource::EnvironmentFile {
            variable: variable.to_owned(),
            path: HostPath::from(path),
            namespace: Namespace::Host,
        };
        assert_eq!(
            sources,
            [
                PasswordSource::Environment { variable: "ES_KEYSTORE_PASSPHRASE".to_owned() },
                in_file("KEYSTORE_PASSWORD", "/unit"),
                in_file("LOGSTASH_KEYSTORE_PASS", "/default"),
                PasswordSource::File {
                    variable: "ES_KEYSTORE_PASSPHRASE_FILE".to_owned(),
                    path: HostPath::from("/run/secret"),
                    namespace: Namespace::Process(7),
                },
            ]
        );
        assert!(!format!("{sources:?}").contains("hunter2"));
        assert_eq!(of(&host, &instance(&[], &[], &[])), []);
    }
}
