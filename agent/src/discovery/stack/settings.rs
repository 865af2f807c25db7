//! Settings of files, and of the command line above them.

use std::collections::BTreeMap;

use atrest_proto::model::{Gap, Reason, Use};

use crate::discovery::assumed::Guess;
use crate::discovery::instance::{AS_ROOT, absolute};
use crate::discovery::process::gap;
use crate::discovery::yaml::{self, Settings};
use crate::drift::Source;
use crate::host::Host;
use crate::path::HostPath;
use crate::snapshot::{Namespace, Trouble};

/// The settings of all files, the later ones going before; and why one that is there could not be read.
pub(in crate::discovery) fn settings(
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
pub(in crate::discovery) struct Values<'a> {
    pub(in crate::discovery) settings: &'a Settings,
    /// Of the command line, in the order in which later ones win. Bytes: a path need not be text.
    pub(in crate::discovery) given: &'a [(String, HostPath)],
    /// The file that a gap names.
    pub(in crate::discovery) file: &'a HostPath,
    /// Why a file could not be read.
    pub(in crate::discovery) unread: Option<Trouble>,
    pub(in crate::discovery) gaps: Vec<Gap>,
    pub(in crate::discovery) guesses: Vec<Guess>,
    /// The settings whose values are not known, and why.
    lost: BTreeMap<String, Trouble>,
}

/// What a reference such as `${NAME}` stands for.
pub(in crate::discovery) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

impl<'a> Values<'a> {
    pub(in crate::discovery) fn new(
        settings: &'a Settings,
        given: &'a [(String, HostPath)],
        file: &'a HostPath,
    ) -> Self {
        let (gaps, guesses, lost) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { settings, given, file, unread: None, gaps, guesses, lost }
    }

    /// What the files say.
    pub(in crate::discovery) fn of_files(&mut self, key: &str, lookup: Lookup<'_>) -> Vec<String> {
        let (texts, error) = self.settings.known_texts(key, lookup);
        if let Some(error) = error {
            self.lose(key, &error);
        }
        texts
    }

    /// What the command line says.
    pub(in crate::discovery) fn of_command_line(
        &mut self,
        key: &str,
        lookup: Lookup<'_>,
    ) -> Option<HostPath> {
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
    pub(in crate::discovery) fn paths(&mut self, key: &str, lookup: Lookup<'_>) -> Vec<HostPath> {
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
    pub(in crate::discovery) fn doubt(&self, key: &str) -> Option<Trouble> {
        self.lost.get(key).or(self.unread.as_ref()).cloned()
    }

    /// The directory that a setting names, or `default`, which is a guess where the setting is not known.
    pub(in crate::discovery) fn directory(
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

    pub(in crate::discovery) fn path(&mut self, key: &str, lookup: Lookup<'_>) -> Option<HostPath> {
        self.paths(key, lookup).pop()
    }

    pub(in crate::discovery) fn text(&mut self, key: &str, lookup: Lookup<'_>) -> Option<String> {
        self.path(key, lookup).map(|path| String::from_utf8_lossy(path.as_bytes()).into_owned())
    }

    pub(in crate::discovery) fn is_true(&mut self, key: &str, lookup: Lookup<'_>) -> bool {
        self.text(key, lookup).is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    /// What both sources say of a setting whose value is a path, where both say something.
    pub(in crate::discovery) fn claims(
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
