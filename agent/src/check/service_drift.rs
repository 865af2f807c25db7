//! `service_drift`: what a service runs with is what its files say.

use std::collections::{BTreeMap, BTreeSet};

use atrest_proto::model::{Finding, Outcome, PathPosture, Service, Severity, Verdict};

use super::outcome::{finding, unknown};
use super::{CIS_3_11, Check, Context, ISO_8_24, NIST_SC_28_1, SOC2_CC6_1};
use crate::drift::{self, Comparison, Source};
use crate::node_api::Seen;
use crate::path::HostPath;
use crate::snapshot::{Snapshot, Target, Trouble};

pub(super) const CHECK: Check = Check {
    id: "service_drift",
    title: "A service runs with what its files say",
    why: "Where the files name another directory than the running node uses, the node will write somewhere else after \
          its next start, perhaps to a volume that nobody looked at, or it writes now where nobody expects it to. A \
          report on one of the two says nothing of the other.",
    decides: "Compares, for each running service, what its files, its process (arguments and open files) and its own API \
              say of the same setting: the data, log, repository and shared directories, where the Java machine writes \
              dumps, logs and temporary files, and whether memory is locked (`bootstrap.memory_lock`, and \
              `process.mlockall` of the API). Symbolic links are followed, the random part of a temporary \
              directory does not count, and what the API leaves out has its default. Fails where two of them differ: \
              medium when one of the paths is not proven encrypted or their verdicts differ, else low; for memory, medium \
              when swap is not proven encrypted. Passes when at \
              least two sources told of a setting and all agree; the evidence names them. Where only one source tells, \
              it does not apply. Unknown when a source should have told and could not be read. An API that is not asked \
              is no trouble: the evidence says why.",
    severity: Severity::Medium,
    remedy: "restart the node to apply what its files say, or take the change back",
    controls: &[NIST_SC_28_1, ISO_8_24, SOC2_CC6_1, CIS_3_11],
    evaluate,
};

/// `Unable to lock JVM Memory` in the log: `JNANatives.java` of the products.
const MEMORY_REMEDY: &str = "let its account lock memory (`LimitMEMLOCK=infinity` in its unit, `memlock` for a container) and \
                             restart the node, or encrypt or switch off swap";

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    let services = context.snapshot.services.iter();
    services
        .filter(|service| service.state == "running")
        .map(|service| judge(service, context))
        .collect()
}

fn judge(service: &Service, context: &Context<'_>) -> Finding {
    let places = Places::of(service, context);
    let claims = &context.snapshot.claims;
    let settings = drift::compare(claims, &service.name, &|path| places.follow(path));
    let differing: Vec<&Comparison<'_>> = settings.iter().filter(|one| !one.agree).collect();
    let compared: Vec<&Comparison<'_>> = settings.iter().filter(|one| one.said.len() > 1).collect();
    let asset = format!("service:{}", service.name);
    let mut found = if !differing.is_empty() {
        failed(&asset, &differing, &places, of_memory(context))
    } else if let Some((what, trouble)) = hidden(service, &settings, context.snapshot) {
        unknown(&CHECK, &asset, &what, &trouble)
    } else if compared.is_empty() {
        let summary = match sources(&settings).as_str() {
            "" => format!("no source tells of a setting of {} that is compared", service.name),
            only => format!("of {} only one source tells: {only}", service.name),
        };
        finding(&CHECK, &asset, Outcome::NotApplicable, summary)
    } else {
        let count = compared.len();
        let settings = if count == 1 { "setting" } else { "settings" };
        let summary = format!("{count} {settings} of {} are what each source says", service.name);
        finding(&CHECK, &asset, Outcome::Pass, summary)
    };
    found.evidence = evidence(service, &settings, context.snapshot);
    if differing.iter().any(|one| one.setting == drift::MEMORY_LOCK) {
        let own = context.snapshot.memory.iter().find(|memory| memory.service == service.name);
        if let Some(memory) = own {
            let kib = |count: u64| format!("{count} KiB");
            found.evidence.insert("locked".to_owned(), kib(memory.locked_kib));
            found.evidence.insert("swapped".to_owned(), kib(memory.swapped_kib));
        }
    }
    found.affects = differing.iter().flat_map(|one| places.assets(one)).collect();
    found.affects.sort_unstable();
    found.affects.dedup();
    found
}

/// Memory that is not locked rests where swap is not proven encrypted.
fn of_memory(context: &Context<'_>) -> Severity {
    let is_known = context.snapshot.swaps.known().is_some();
    let is_safe = |swap: &PathPosture| is_safe(swap, context.policy.accept_claims);
    if is_known && context.swaps.iter().all(is_safe) { Severity::Low } else { Severity::Medium }
}

fn is_safe(posture: &PathPosture, accept_claims: bool) -> bool {
    match posture.verdict {
        Verdict::Encrypted | Verdict::Volatile => true,
        Verdict::Claimed => accept_claims,
        Verdict::Unencrypted | Verdict::Partial | Verdict::Unknown => false,
    }
}

/// `of_memory` is how much it matters that memory is not locked.
fn failed(
    asset: &str,
    differing: &[&Comparison<'_>],
    places: &Places<'_>,
    of_memory: Severity,
) -> Finding {
    let severity = |one: &Comparison<'_>| {
        if one.setting == drift::MEMORY_LOCK { of_memory } else { places.severity(one) }
    };
    let mut worst: Vec<_> = differing.iter().map(|one| (severity(one), *one)).collect();
    // Sorting is stable: of those that are equally bad the first by name is told.
    worst.sort_by_key(|(severity, _)| std::cmp::Reverse(*severity));
    let Some((severity, one)) = worst.first() else {
        return finding(&CHECK, asset, Outcome::Fail, String::new());
    };
    let more = differing.len() - 1;
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let is_memory = one.setting == drift::MEMORY_LOCK;
    let meaning = if is_memory { "; its heap may be written to swap" } else { "" };
    let summary = format!("{}: {}{meaning}{more}", one.setting, told(one));
    let mut found =
        Finding { severity: *severity, ..finding(&CHECK, asset, Outcome::Fail, summary) };
    if is_memory {
        MEMORY_REMEDY.clone_into(&mut found.remedy);
    }
    found
}

/// `files say /a, process and api say /b`.
fn told(one: &Comparison<'_>) -> String {
    let mut groups: Vec<(&BTreeSet<&str>, Vec<&str>)> = Vec::new();
    for (source, values) in &one.said {
        match groups.iter_mut().find(|(same, _)| *same == values) {
            Some((_, sources)) => sources.push(source.as_str()),
            None => groups.push((values, vec![source.as_str()])),
        }
    }
    let group = |(values, sources): &(&BTreeSet<&str>, Vec<&str>)| {
        let verb = if matches!(sources.as_slice(), ["process" | "api"]) { "says" } else { "say" };
        format!("{} {verb} {}", sources.join(" and "), list(values))
    };
    groups.iter().map(group).collect::<Vec<_>>().join(", ")
}

fn list(values: &BTreeSet<&str>) -> String {
    if values.is_empty() {
        return "nothing".to_owned();
    }
    values.iter().copied().collect::<Vec<_>>().join(" and ")
}

/// The sources that told of anything.
fn sources(settings: &[Comparison<'_>]) -> String {
    let sources: BTreeSet<Source> =
        settings.iter().flat_map(|one| one.said.keys().copied()).collect();
    sources.iter().map(|source| source.as_str()).collect::<Vec<_>>().join(", ")
}

/// A source that should have told of this service, and could not be read.
fn hidden(
    service: &Service,
    settings: &[Comparison<'_>],
    snapshot: &Snapshot,
) -> Option<(String, Trouble)> {
    if let Some(Seen::Failed(trouble)) = seen(service, snapshot) {
        return Some((format!("the API of {}", service.name), trouble.clone()));
    }
    if settings.iter().any(|one| one.said.contains_key(&Source::Files)) {
        return None;
    }
    let directory = format!("{}/", service.config_dir.as_ref()?);
    let gap = snapshot.gaps.iter().find(|gap| gap.subject.starts_with(&directory))?;
    Some((gap.subject.clone(), Trouble::new(gap.reason, gap.detail.clone())))
}

/// Whether its API was asked.
fn seen<'a>(service: &Service, snapshot: &'a Snapshot) -> Option<&'a Seen> {
    let sight = snapshot.sights.iter().find(|sight| sight.service == service.name);
    sight.map(|sight| &sight.seen)
}

fn evidence(
    service: &Service,
    settings: &[Comparison<'_>],
    snapshot: &Snapshot,
) -> BTreeMap<String, String> {
    let mut evidence = BTreeMap::new();
    for one in settings.iter().filter(|one| one.said.len() > 1) {
        if one.agree {
            let values = one.said.values().next().map(list).unwrap_or_default();
            evidence.insert(one.setting.to_owned(), values);
        } else {
            for (source, values) in &one.said {
                evidence.insert(format!("{} ({})", one.setting, source.as_str()), list(values));
            }
        }
    }
    let sources = sources(settings);
    if !sources.is_empty() {
        evidence.insert("sources".to_owned(), sources);
    }
    if let Some(seen) = seen(service, snapshot) {
        let api = match seen {
            Seen::Told { .. } => "asked".to_owned(),
            Seen::NotAsked(why) => format!("not asked: {why}"),
            Seen::Failed(trouble) => format!("no answer: {}", trouble.detail),
        };
        evidence.insert("api".to_owned(), api);
    }
    evidence
}

/// Where a service writes, with the verdicts.
struct Places<'a> {
    known: BTreeMap<HostPath, (&'a Target, &'a PathPosture)>,
    accept_claims: bool,
}

impl<'a> Places<'a> {
    fn of(service: &Service, context: &Context<'a>) -> Self {
        let targets = context.snapshot.targets.iter().zip(context.paths);
        let own = targets.filter(|(target, _)| target.service.as_ref() == Some(&service.name));
        let mut known = BTreeMap::new();
        for (target, path) in own {
            known.entry(target.path.normalised()).or_insert((target, path));
        }
        Self { known, accept_claims: context.policy.accept_claims }
    }

    /// The nearest known place at or above `path`.
    fn nearest(&self, path: &HostPath) -> Option<(&HostPath, &(&'a Target, &'a PathPosture))> {
        let mut at = Some(path.clone());
        while let Some(path) = at {
            if let Some(found) = self.known.get_key_value(&path) {
                return Some(found);
            }
            at = path.parent();
        }
        None
    }

    /// Where a path leads, as far as it was looked up.
    fn follow(&self, path: &HostPath) -> HostPath {
        let followed = self.nearest(path).and_then(|(place, (target, _))| {
            let resolved = &target.resolution.known()?.path;
            let rest = path.components().skip(place.components().count());
            Some(rest.fold(resolved.clone(), |path, part| path.join(part)))
        });
        followed.unwrap_or_else(|| path.clone())
    }

    /// Everything that the sources name for a setting, with the place that it lies in.
    fn postures(&self, one: &Comparison<'_>) -> Vec<Option<&'a PathPosture>> {
        let values: BTreeSet<&str> = one.said.values().flatten().copied().collect();
        let posture = |value: &str| {
            let path = HostPath::from_shown(value)?.normalised();
            self.nearest(&path).map(|(_, (_, posture))| *posture)
        };
        values.into_iter().map(posture).collect()
    }

    fn assets(&self, one: &Comparison<'_>) -> Vec<String> {
        self.postures(one).into_iter().flatten().map(|path| path.asset.clone()).collect()
    }

    /// A difference matters more where something may get out.
    fn severity(&self, one: &Comparison<'_>) -> Severity {
        let is_safe = |posture: Option<&PathPosture>| {
            posture.is_some_and(|posture| is_safe(posture, self.accept_claims))
        };
        let postures = self.postures(one);
        let verdicts: BTreeSet<Verdict> =
            postures.iter().flatten().map(|posture| posture.verdict).collect();
        if verdicts.len() > 1 || !postures.iter().copied().all(is_safe) {
            Severity::Medium
        } else {
            Severity::Low
        }
    }
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::{Gap, Reason, Use};

    use super::super::luks_fixture;
    use super::*;
    use crate::drift::Claim;
    use crate::memory::ServiceMemory;
    use crate::node_api::Sight;
    use crate::policy::Policy;
    use crate::snapshot::{DeviceNumber, Mount, Namespace, Observed, Resolved, Swap};
    use crate::volume::Evaluator;

    fn target(path: &str, leads_to: &str) -> Target {
        Target {
            path: path.into(),
            usage: Use::Data,
            service: Some("es".to_owned()),
            namespace: Namespace::Host,
            resolution: Observed::Known(Resolved::at(leads_to)),
            nearest: None,
        }
    }

    fn claim(setting: &str, source: Source, values: &[&str]) -> Claim {
        Claim {
            service: "es".to_owned(),
            setting: setting.to_owned(),
            source,
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        }
    }

    /// `/` is plain and `/enc` is on dm-crypt; the service `es` runs and writes to all of `paths`.
    fn snapshot(paths: &[&str], claims: Vec<Claim>) -> Snapshot {
        let mut snapshot = luks_fixture::snapshot(Observed::Absent);
        let mount = |id, device, point: &str| Mount {
            id,
            parent: 1,
            device,
            root: "/".into(),
            mount_point: point.into(),
            fstype: "ext2".to_owned(),
            source: "x".into(),
            super_options: String::new(),
        };
        let mounts = vec![
            mount(1, DeviceNumber::new(8, 17), "/"),
            mount(2, DeviceNumber::new(254, 0), "/enc"),
        ];
        snapshot.mounts = vec![(Namespace::Host, Observed::Known(mounts))];
        snapshot.targets = paths.iter().map(|path| target(path, path)).collect();
        snapshot.services = vec![Service {
            product: "elasticsearch".to_owned(),
            name: "es".to_owned(),
            state: "running".to_owned(),
            config_dir: Some("/etc/es".to_owned()),
            ..Service::default()
        }];
        snapshot.claims = claims;
        snapshot
    }

    fn findings(snapshot: &Snapshot) -> Vec<Finding> {
        let evaluator = Evaluator::new(snapshot);
        let paths: Vec<PathPosture> =
            snapshot.targets.iter().map(|target| evaluator.target(target)).collect();
        let swaps = snapshot.swaps.known().into_iter().flatten();
        let swaps: Vec<PathPosture> = swaps.map(|swap| evaluator.swap_area(swap)).collect();
        evaluate(&Context {
            snapshot,
            policy: &Policy::default(),
            paths: &paths,
            swaps: &swaps,
            keystore_volumes: &[],
            secret_volumes: &[],
            spares: &[],
            evaluator: &evaluator,
            boot_volumes: &[],
        })
    }

    fn only(snapshot: &Snapshot) -> Finding {
        let mut findings = findings(snapshot);
        assert_eq!(findings.len(), 1);
        findings.remove(0)
    }

    fn three(files: &str, process: &str, api: &str) -> Vec<Claim> {
        vec![
            claim("path.data", Source::Files, &[files]),
            claim("path.data", Source::Process, &[process]),
            claim("path.data", Source::Api, &[api]),
        ]
    }

    #[test]
    fn sources_that_agree_pass_and_are_named() {
        let mut snapshot = snapshot(&["/enc/a"], three("/enc/a", "/enc/a/", "/enc/a"));
        let seen = Seen::Told { memory_locked: None };
        snapshot.sights = vec![Sight { service: "es".to_owned(), seen }];
        let found = only(&snapshot);
        assert_eq!((found.outcome, found.asset.as_str()), (Outcome::Pass, "service:es"));
        assert_eq!(found.evidence["sources"], "files, process, api");
        assert_eq!(found.evidence["path.data"], "/enc/a");
        assert_eq!(found.evidence["api"], "asked");
    }

    #[test]
    fn a_link_is_no_difference() {
        let mut snapshot = snapshot(&[], three("/data", "/enc/a", "/data"));
        snapshot.targets = vec![target("/data", "/enc/a")];
        assert_eq!(only(&snapshot).outcome, Outcome::Pass);
        snapshot.targets = vec![target("/data", "/enc/b")];
        assert_eq!(only(&snapshot).outcome, Outcome::Fail);
    }

    #[test]
    fn a_difference_fails_and_says_who_says_what() {
        let found = only(&snapshot(&["/enc/a", "/enc/b"], three("/enc/b", "/enc/a", "/enc/a")));
        assert_eq!((found.outcome, found.severity), (Outcome::Fail, Severity::Low));
        assert_eq!(found.summary, "path.data: files say /enc/b, process and api say /enc/a");
        assert_eq!(found.remedy, CHECK.remedy);
        assert_eq!(found.affects, ["data:/enc/a", "data:/enc/b"]);
        assert_eq!(found.evidence["path.data (files)"], "/enc/b");
        assert_eq!(found.evidence["path.data (api)"], "/enc/a");
    }

    #[test]
    fn it_is_worse_where_something_is_not_encrypted() {
        for (files, api) in [("/plain", "/enc/a"), ("/plain", "/plain2"), ("/enc/a", "/unheard/of")]
        {
            let known: Vec<&str> = ["/plain", "/plain2", "/enc/a"]
                .into_iter()
                .filter(|path| [files, api].contains(path))
                .collect();
            let claims = vec![
                claim("path.data", Source::Files, &[files]),
                claim("path.data", Source::Api, &[api]),
            ];
            let found = only(&snapshot(&known, claims));
            assert_eq!(
                (found.outcome, found.severity),
                (Outcome::Fail, Severity::Medium),
                "{files}"
            );
        }
    }

    #[test]
    fn of_several_differences_the_worst_is_told() {
        let mut claims = three("/enc/b", "/enc/a", "/enc/a");
        claims.push(claim("path.repo", Source::Files, &[]));
        claims.push(claim("path.repo", Source::Api, &["/plain"]));
        let found = only(&snapshot(&["/enc/a", "/enc/b", "/plain"], claims));
        assert_eq!(found.severity, Severity::Medium);
        assert_eq!(found.summary, "path.repo: files say nothing, api says /plain; and 1 more");
        assert_eq!(found.evidence.len(), 6);
    }

    #[test]
    fn one_source_alone_proves_nothing() {
        let found = only(&snapshot(&["/a"], vec![claim("path.data", Source::Files, &["/a"])]));
        assert_eq!(found.outcome, Outcome::NotApplicable);
        assert_eq!(found.summary, "of es only one source tells: files");
        let split = vec![
            claim("path.data", Source::Files, &["/a"]),
            claim("path.repo", Source::Api, &["/b"]),
        ];
        assert_eq!(only(&snapshot(&["/a"], split)).outcome, Outcome::NotApplicable);
        assert_eq!(only(&snapshot(&["/a"], Vec::new())).outcome, Outcome::NotApplicable);
    }

    #[test]
    fn what_could_not_be_read_is_unknown_unless_something_differs() {
        let failed = |claims| {
            let mut snapshot = snapshot(&["/enc/a", "/enc/b"], claims);
            let seen = Seen::Failed(Trouble::new(Reason::Timeout, "no answer in 5 s"));
            snapshot.sights = vec![Sight { service: "es".to_owned(), seen }];
            only(&snapshot)
        };
        let two = |files: &str| {
            vec![
                claim("path.data", Source::Files, &[files]),
                claim("path.data", Source::Process, &["/enc/a"]),
            ]
        };
        let found = failed(two("/enc/a"));
        assert_eq!((found.outcome, &found.reasons[..]), (Outcome::Unknown, &[Reason::Timeout][..]));
        assert_eq!(failed(two("/enc/b")).outcome, Outcome::Fail);

        let mut snapshot = snapshot(&["/enc/a"], three("/enc/a", "/enc/a", "/enc/a").split_off(1));
        assert_eq!(only(&snapshot).outcome, Outcome::Pass);
        snapshot.gaps.push(Gap {
            subject: "/etc/es/elasticsearch.yml".to_owned(),
            reason: Reason::NoPermission,
            detail: "denied".to_owned(),
            remedy: String::new(),
        });
        assert_eq!(only(&snapshot).outcome, Outcome::Unknown);
    }

    #[test]
    fn an_api_that_is_not_asked_is_no_trouble() {
        let claims = three("/enc/a", "/enc/a", "/enc/a");
        let mut snapshot = snapshot(&["/enc/a"], claims.into_iter().take(2).collect());
        let seen = Seen::NotAsked("it wants credentials".to_owned());
        snapshot.sights = vec![Sight { service: "es".to_owned(), seen }];
        let found = only(&snapshot);
        assert_eq!(found.outcome, Outcome::Pass);
        assert_eq!(found.evidence["api"], "not asked: it wants credentials");
    }

    #[test]
    fn memory_that_should_be_locked_and_is_not_fails() {
        let lock = |files: &str, api: &str| {
            vec![
                claim(drift::MEMORY_LOCK, Source::Files, &[files]),
                claim(drift::MEMORY_LOCK, Source::Api, &[api]),
            ]
        };
        assert_eq!(only(&snapshot(&[], lock("true", "true"))).outcome, Outcome::Pass);
        let mut seen = snapshot(&["/enc/a"], lock("true", "false"));
        seen.memory =
            vec![ServiceMemory { service: "es".to_owned(), locked_kib: 0, swapped_kib: 12 }];
        // Without any swap it rests nowhere.
        let found = only(&seen);
        assert_eq!((found.outcome, found.severity), (Outcome::Fail, Severity::Low));
        assert_eq!(
            found.summary,
            "bootstrap.memory_lock: files say true, api says false; its heap may be written to swap"
        );
        assert!(found.remedy.contains("LimitMEMLOCK"), "{}", found.remedy);
        assert_eq!(found.evidence["swapped"], "12 KiB");
        assert_eq!(found.evidence["locked"], "0 KiB");
        let swap = |path: &str| Swap {
            path: path.into(),
            kind: "file".to_owned(),
            resolution: Observed::Known(Resolved::at(path)),
        };
        for (path, severity) in [("/enc/swap", Severity::Low), ("/swap", Severity::Medium)] {
            seen.swaps = Observed::Known(vec![swap(path)]);
            assert_eq!(only(&seen).severity, severity, "{path}");
        }
        seen.swaps = Observed::Absent;
        assert_eq!(only(&seen).severity, Severity::Medium);
    }

    #[test]
    fn what_does_not_run_is_not_compared() {
        let mut snapshot = snapshot(&["/a"], three("/a", "/b", "/b"));
        snapshot.services[0].state = "installed".to_owned();
        assert!(findings(&snapshot).is_empty());
    }
}
