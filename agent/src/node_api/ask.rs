//! Asks every node: which requests, in which order, and what a failure means.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use atrest_proto::model::{Gap, Reason};
use bytes::Bytes;
use hyper::StatusCode;
use rustls::ClientConfig;

use super::access::{Access, Secret, Settings};
use super::answer::{self, Told};
use super::client::{self, Failure, Question};
use super::{
    Answer, Contact, Endpoint, Holds, Listener, Outcome, Talk, contacts, merge, sockets, tls,
};
use crate::daemon;
use crate::discovery::Discovery;
use crate::host::Host;
use crate::membership::{ClusterList, Told as Membership};
use crate::repository::{Unlisted, registered};
use crate::snapshot::Trouble;

/// What the node runs with.
const INFO: &str = "/_nodes/_local/settings,process,jvm?flat_settings=true&filter_path=cluster_name,nodes.*.name,\
                    nodes.*.version,nodes.*.roles,nodes.*.settings.path*,nodes.*.process.id,nodes.*.process.mlockall,\
                    nodes.*.jvm.pid,nodes.*.jvm.input_arguments";
/// Which cluster it is in.
const ROOT: &str = "/?filter_path=cluster_uuid";
/// Where it keeps its indices.
const FILESYSTEMS: &str = "/_nodes/_local/stats/fs?filter_path=nodes.*.fs.data.path";
/// Which snapshot repositories its cluster has registered.
const REPOSITORIES: &str = "/_snapshot";
/// Which nodes its cluster has. The smallest of the parts that can be asked for, so that little is sent among them.
const NODES: &str =
    "/_nodes/transport?filter_path=_nodes,nodes.*.name,nodes.*.transport_address,nodes.*.roles";
/// On more sockets than this a node is not looked for.
const LISTENERS: usize = 4;

const FOR_ELASTICSEARCH: &str = "name an API key in node_api.api_key_file that has the cluster privileges \
                                 `monitor` and `monitor_snapshot`";
const FOR_OPENSEARCH: &str = "name an account in [node_api] whose role has the cluster permissions \
                              cluster:monitor/main, cluster:monitor/nodes/info, cluster:monitor/nodes/stats and \
                              cluster:admin/repository/get";

/// Asks every node over loopback, one after the other.
pub async fn ask(contacts: &[Contact], access: &Access, holds: &Holds<'_>) -> Vec<Answer> {
    let mut answers = Vec::new();
    for contact in contacts {
        answers.push(ask_one(contact, access, holds).await);
    }
    answers
}

/// Asks the nodes that were discovered. Returns what is to be logged, too.
pub fn talk(contacts: &[Contact], settings: &Settings, holds: &Holds<'_>) -> (Talk, Vec<String>) {
    if contacts.is_empty() {
        return (Talk::Nobody, Vec::new());
    }
    if !settings.enabled {
        return (Talk::Forbidden, Vec::new());
    }
    let access = Access::load(settings);
    let mut gaps = access.gaps.clone();
    let answers = match daemon::runtime() {
        Ok(runtime) => runtime.block_on(ask(contacts, &access, holds)),
        Err(error) => {
            gaps.push(Gap {
                subject: "APIs of nodes".to_owned(),
                reason: Reason::Unreadable,
                detail: error.to_string(),
                remedy: "look at the limits of processes and files".to_owned(),
            });
            Vec::new()
        }
    };
    (Talk::Asked { answers, gaps }, access.warnings)
}

/// Adds what came of asking to what was discovered.
pub fn hear(found: &mut Discovery, talk: &Talk) {
    match talk {
        Talk::Nobody => {}
        Talk::Forbidden => {
            let unlisted = found.endpoints.iter().map(|endpoint| Unlisted {
                service: endpoint.service.clone(),
                detail: "the agent's configuration forbids asking".to_owned(),
                remedy: "set node_api.enabled = true".to_owned(),
            });
            found.unlisted.extend(unlisted);
        }
        Talk::Asked { answers, gaps } => {
            found.gaps.extend(gaps.iter().cloned());
            merge(found, answers);
        }
    }
}

/// Asks the nodes that were discovered, and adds what they answer. Returns what is to be logged.
pub fn consult(host: &dyn Host, found: &mut Discovery, settings: &Settings) -> Vec<String> {
    let contacts = contacts(host, &found.endpoints);
    let holds = |endpoint: &Endpoint, listener: &Listener| {
        sockets::still_holds(host, endpoint.pid, listener)
    };
    let (talk, warnings) = talk(&contacts, settings, &holds);
    hear(found, &talk);
    warnings
}

/// Asks this machine's nodes for the lists of these clusters: by UUID, one node of each. Why there is none is a gap.
pub fn list_clusters(
    contacts: &[Contact],
    told: &Membership,
    settings: &Settings,
    holds: &Holds<'_>,
    clusters: &BTreeSet<String>,
) -> (BTreeMap<String, ClusterList>, Vec<Gap>) {
    let (mut lists, mut gaps) = (BTreeMap::new(), Vec::new());
    if clusters.is_empty() {
        return (lists, gaps);
    }
    let access = Access::load(settings);
    // That there is none was told when the nodes were asked.
    let Ok(runtime) = daemon::runtime() else { return (lists, gaps) };
    for contact in contacts {
        let endpoint = &contact.endpoint;
        let uuid = told.get(&endpoint.service).and_then(|told| told.cluster_uuid.as_ref());
        let Some(uuid) = uuid.filter(|uuid| clusters.contains(*uuid)) else { continue };
        if lists.contains_key(uuid) {
            continue;
        }
        let trust = Trust::of(contact, &access);
        let inquiry = Inquiry { holds, endpoint, access: &access, trust };
        let asked =
            runtime.block_on(async { tokio::time::timeout(access.timeout, inquiry.list()).await });
        match asked.unwrap_or_else(|_| Err(late(access.timeout))) {
            Ok(list) => drop(lists.insert(uuid.clone(), list)),
            Err(outcome) => {
                gaps.extend(gap(&format!("nodes of the cluster of {}", endpoint.service), outcome));
            }
        }
    }
    (lists, gaps)
}

/// What has been learnt so far: what came before the time was up counts.
#[derive(Default)]
struct Progress {
    told: Option<Told>,
    gaps: Vec<Gap>,
}

async fn ask_one(contact: &Contact, access: &Access, holds: &Holds<'_>) -> Answer {
    let endpoint = &contact.endpoint;
    let inquiry = Inquiry { holds, endpoint, access, trust: Trust::of(contact, access) };
    let mut progress = Progress::default();
    let asked = inquiry.converse(&mut progress);
    let ended = tokio::time::timeout(access.timeout, asked).await;
    let Progress { told, mut gaps } = progress;
    let outcome = match (told, ended) {
        (Some(told), ended) => {
            if ended.is_err() {
                let outcome = late(access.timeout);
                gaps.extend(gap(&format!("API of {}", endpoint.service), outcome));
            }
            Outcome::Told(Box::new(told))
        }
        (None, Ok(outcome)) => outcome,
        (None, Err(_)) => late(access.timeout),
    };
    Answer { service: endpoint.service.clone(), outcome, gaps }
}

fn late(timeout: Duration) -> Outcome {
    failed(
        Reason::Timeout,
        format!("no answer in {} s", timeout.as_secs()),
        "find out why the node does not answer, or raise node_api.timeout",
    )
}

fn failed(reason: Reason, detail: impl Display, remedy: &str) -> Outcome {
    let trouble = Trouble::new(reason, detail.to_string());
    Outcome::Failed { trouble, remedy: remedy.to_owned() }
}

fn gap(subject: &str, outcome: Outcome) -> Option<Gap> {
    match outcome {
        Outcome::Failed { trouble: Trouble { reason, detail }, remedy } => {
            Some(Gap { subject: subject.to_owned(), reason, detail, remedy })
        }
        Outcome::Told(_) | Outcome::NotAsked(_) => None,
    }
}

/// What an account needs, and where to name it.
pub(super) fn privileges(product: &str) -> &'static str {
    if product == "elasticsearch" { FOR_ELASTICSEARCH } else { FOR_OPENSEARCH }
}

/// Whom the agent believes, and what it shows him.
struct Trust<'a> {
    tls: Option<Arc<ClientConfig>>,
    secret: Option<&'a Secret>,
    /// There are credentials, and this node may not see them.
    is_withheld: bool,
}

impl<'a> Trust<'a> {
    /// Anybody can start a program that looks like a node, with an authority of his own. So credentials are shown to the
    /// accounts that the configuration trusts, or to whom the configuration's own authority vouches for.
    fn of(contact: &Contact, access: &'a Access) -> Self {
        let endpoint = &contact.endpoint;
        let is_trusted = endpoint
            .user
            .as_ref()
            .is_some_and(|user| user == "root" || access.users.contains(user));
        let own = access.authorities.clone();
        if access.secret.is_some() && !is_trusted && endpoint.tls && !own.is_empty() {
            return Self {
                tls: tls::trusting(&own, access.identity.as_ref()),
                secret: access.secret.as_ref(),
                is_withheld: false,
            };
        }
        let mut authorities = own;
        authorities.extend(contact.authorities());
        Self {
            tls: tls::trusting(&authorities, access.identity.as_ref()),
            secret: access.secret.as_ref().filter(|_| is_trusted),
            is_withheld: access.secret.is_some() && !is_trusted,
        }
    }
}

struct Inquiry<'a> {
    holds: &'a Holds<'a>,
    endpoint: &'a Endpoint,
    access: &'a Access,
    trust: Trust<'a>,
}

impl Inquiry<'_> {
    /// What it comes to when nothing was told.
    async fn converse(&self, progress: &mut Progress) -> Outcome {
        let listeners = match &self.endpoint.listeners {
            Ok(listeners) => listeners,
            Err(trouble)
                if trouble.reason == Reason::NotFound || !self.access.has_credentials() =>
            {
                return Outcome::NotAsked(trouble.detail.clone());
            }
            // Nothing shows that the socket is the node's.
            Err(trouble) => {
                return failed(trouble.reason, &trouble.detail, "run the agent as root");
            }
        };
        let mut outcome = Outcome::NotAsked("it does not listen".to_owned());
        for listener in listeners.iter().take(LISTENERS) {
            let (info, is_tls) = match self.first(listener, INFO).await {
                Ok(found) => found,
                Err(failure) => {
                    let goes_on = matches!(failure, Failure::Connect(_) | Failure::NotTheNodes(_));
                    outcome = self.judge(&failure);
                    if goes_on {
                        continue;
                    }
                    return outcome;
                }
            };
            return match answer::nodes_info(&info) {
                Ok(told) => {
                    progress.told = Some(told);
                    self.go_on(listener, is_tls, progress).await;
                    // What was told counts.
                    Outcome::NotAsked(String::new())
                }
                Err(error) => failed(Reason::Unreadable, error, LOOK),
            };
        }
        outcome
    }

    /// The nodes of its cluster.
    async fn list(&self) -> Result<ClusterList, Outcome> {
        let mut outcome = Outcome::NotAsked("it does not listen".to_owned());
        let listeners = self.endpoint.listeners.iter().flatten();
        for listener in listeners.take(LISTENERS) {
            match self.first(listener, NODES).await {
                Ok((bytes, _)) => {
                    return answer::cluster_nodes(&bytes)
                        .map_err(|error| failed(Reason::Unreadable, error, LOOK));
                }
                Err(failure) => outcome = self.judge(&failure),
            }
        }
        Err(outcome)
    }

    /// The first answer, and whether it came over TLS.
    async fn first(&self, listener: &Listener, target: &str) -> Result<(Bytes, bool), Failure> {
        if self.endpoint.tls {
            return self.get(listener, true, target).await.map(|bytes| (bytes, true));
        }
        match self.get(listener, false, target).await {
            Ok(bytes) => Ok((bytes, false)),
            // The settings may have been changed since it was started: then it still speaks TLS.
            Err(failure @ Failure::Http(_)) if self.trust.tls.is_some() => {
                match self.get(listener, true, target).await {
                    Ok(bytes) => Ok((bytes, true)),
                    Err(other @ (Failure::Status(_) | Failure::Unverified(_))) => Err(other),
                    Err(_) => Err(failure),
                }
            }
            Err(failure) => Err(failure),
        }
    }

    /// The other answers. Without them what is known is less, not nothing.
    async fn go_on(&self, listener: &Listener, is_tls: bool, progress: &mut Progress) {
        for target in [ROOT, FILESYSTEMS, REPOSITORIES] {
            let answered = self.get(listener, is_tls, target).await;
            let outcome = match (answered, &mut progress.told) {
                (Err(failure), _) => Some(self.judge(&failure)),
                (Ok(bytes), Some(told)) => {
                    let read = match target {
                        ROOT => answer::root(&bytes)
                            .map(|uuid| told.cluster_uuid = uuid)
                            .map_err(|error| error.to_string()),
                        FILESYSTEMS => answer::filesystems(&bytes)
                            .map(|data| told.data = data)
                            .map_err(|error| error.to_string()),
                        _ => registered::parse(&bytes)
                            .map(|found| told.repositories = Some(found))
                            .map_err(|error| error.to_string()),
                    };
                    read.err().map(|error| failed(Reason::Unreadable, error, LOOK))
                }
                (Ok(_), None) => None,
            };
            let path = target.split('?').next().unwrap_or_default();
            let subject = format!("API of {}: {path}", self.endpoint.service);
            progress.gaps.extend(outcome.and_then(|outcome| gap(&subject, outcome)));
        }
    }

    async fn get(&self, listener: &Listener, tls: bool, target: &str) -> Result<Bytes, Failure> {
        let config = self.trust.tls.as_ref().filter(|_| tls);
        if tls && config.is_none() {
            let error = rustls::Error::General("no authority is known".to_owned());
            return Err(Failure::Unverified(error));
        }
        let is_nodes = || (self.holds)(self.endpoint, listener);
        client::get(Question {
            address: listener.address,
            target,
            tls: config,
            secret: self.trust.secret,
            is_nodes: &is_nodes,
        })
        .await
    }

    /// What a failure means. Where no credentials are configured, that they are wanted is no trouble.
    fn judge(&self, failure: &Failure) -> Outcome {
        let privileges = privileges(&self.endpoint.product);
        let has_secret = self.access.has_credentials();
        match failure {
            Failure::Status(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
                if self.trust.is_withheld =>
            {
                let user = self.endpoint.user.as_deref().unwrap_or("unknown");
                failed(
                    Reason::NoPermission,
                    format!("credentials are not shown to a process of the account {user}"),
                    "name the account in node_api.users, or the authority of its certificate in node_api.ca_file",
                )
            }
            Failure::Status(StatusCode::UNAUTHORIZED) if !has_secret => Outcome::NotAsked(
                "it wants credentials, and [node_api] of the configuration names none".to_owned(),
            ),
            Failure::Status(StatusCode::FORBIDDEN) if !has_secret => {
                Outcome::NotAsked("it does not tell without credentials".to_owned())
            }
            Failure::Status(StatusCode::UNAUTHORIZED) => {
                let detail = "answered 401: it does not accept the credentials";
                failed(Reason::NoPermission, detail, privileges)
            }
            Failure::Status(StatusCode::FORBIDDEN) => {
                let detail = "answered 403: the credentials lack a privilege";
                failed(Reason::NoPermission, detail, privileges)
            }
            Failure::Status(status) if status.is_redirection() => {
                let detail = format!("{failure}, to another place, which is not followed");
                failed(Reason::Unreadable, detail, LOOK)
            }
            Failure::Unverified(_) | Failure::Tls(_) if !has_secret => {
                Outcome::NotAsked(failure.to_string())
            }
            Failure::Unverified(_) => failed(
                Reason::Unreadable,
                failure,
                "name the authority of its certificate in node_api.ca_file",
            ),
            Failure::NotLoopback(_)
            | Failure::Connect(_)
            | Failure::NotTheNodes(_)
            | Failure::Tls(_)
            | Failure::Http(_)
            | Failure::Status(_)
            | Failure::Body => failed(Reason::Unreadable, failure, LOOK),
        }
    }
}

const LOOK: &str = "look at the log of the node, and at what answers on its port";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::recorded::RecordedHost;
    use crate::snapshot::Namespace;

    fn endpoint(user: Option<&str>, tls: bool) -> Endpoint {
        Endpoint {
            service: "es".to_owned(),
            product: "elasticsearch".to_owned(),
            pid: 7,
            own_pid: 7,
            user: user.map(str::to_owned),
            namespace: Namespace::Host,
            cwd: "/".into(),
            listeners: Err(Trouble::new(Reason::NoPermission, "denied")),
            tls,
            authorities: vec!["/etc/es/certs/http_ca.crt".into()],
        }
    }

    fn authority() -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::default();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        parameters.self_signed(&key).unwrap().pem()
    }

    /// A host with an authority in the node's configuration, and access with a key.
    fn scene(with_ca_file: bool) -> (tempfile::TempDir, Access) {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::create_dir_all(path("etc/es/certs")).unwrap();
        std::fs::write(path("etc/es/certs/http_ca.crt"), authority()).unwrap();
        std::fs::write(path("ca.pem"), authority()).unwrap();
        std::fs::write(path("key"), "id:hunter2").unwrap();
        let settings = Settings {
            api_key_file: Some(path("key")),
            ca_file: with_ca_file.then(|| path("ca.pem")),
            ..Settings::default()
        };
        let access = Access::load(&settings);
        (directory, access)
    }

    fn trust(user: Option<&str>, tls: bool, with_ca_file: bool) -> (bool, bool, bool) {
        let (directory, access) = scene(with_ca_file);
        let host = RecordedHost::new(directory.path());
        let trust = Trust::of(&Contact::new(&host, endpoint(user, tls)), &access);
        (trust.secret.is_some(), trust.is_withheld, trust.tls.is_some())
    }

    #[test]
    fn credentials_are_shown_to_accounts_that_are_trusted() {
        for user in ["root", "elasticsearch", "opensearch"] {
            for (tls, with_ca_file) in [(false, false), (true, false), (true, true)] {
                assert_eq!(trust(Some(user), tls, with_ca_file), (true, false, true), "{user}");
            }
        }
    }

    #[test]
    fn to_others_only_where_the_agents_own_authority_vouches() {
        for user in [Some("bob"), Some("1000"), None] {
            assert_eq!(trust(user, true, false), (false, true, true));
            assert_eq!(trust(user, false, false), (false, true, true));
            // In plain nothing vouches for anybody.
            assert_eq!(trust(user, false, true), (false, true, true));
            assert_eq!(trust(user, true, true), (true, false, true));
        }
    }

    #[test]
    fn what_cannot_be_shown_to_be_the_nodes_is_not_asked() {
        let (directory, access) = scene(false);
        let host = RecordedHost::new(directory.path());
        let runtime = daemon::runtime().unwrap();
        let answer = |endpoint, access: &Access| {
            let contact = Contact::new(&host, endpoint);
            runtime.block_on(ask(&[contact], access, &|_, _| Ok(()))).remove(0).outcome
        };
        let outcome = answer(endpoint(Some("root"), true), &access);
        assert!(
            matches!(&outcome, Outcome::Failed { remedy, .. } if remedy.contains("root")),
            "{outcome:?}"
        );
        let without = Access { secret: None, ..access };
        let outcome = answer(endpoint(Some("root"), true), &without);
        assert_eq!(outcome, Outcome::NotAsked("denied".to_owned()));
        // A container's own network is no trouble that anybody could lift.
        let trouble = Trouble::new(Reason::NotFound, "its network is its own");
        let contained = Endpoint { listeners: Err(trouble), ..endpoint(Some("root"), true) };
        assert!(matches!(answer(contained, &without), Outcome::NotAsked(_)));
    }

    #[test]
    fn nothing_but_loopback_is_connected_to() {
        let (directory, access) = scene(false);
        let host = RecordedHost::new(directory.path());
        let runtime = daemon::runtime().unwrap();
        for address in ["192.0.2.1:9200", "[2001:db8::1]:9200", "0.0.0.0:9200"] {
            let listener = Listener { address: address.parse().unwrap(), inode: 1, descriptor: 1 };
            let endpoint =
                Endpoint { listeners: Ok(vec![listener]), ..endpoint(Some("root"), false) };
            let contact = Contact::new(&host, endpoint);
            let answer = runtime.block_on(ask(&[contact], &access, &|_, _| Ok(()))).remove(0);
            let Outcome::Failed { trouble, .. } = answer.outcome else { panic!("{answer:?}") };
            assert!(trouble.detail.contains("not loopback"), "{trouble}");
        }
    }
}
