//! From what was learnt of a repository to an outcome: who encrypts what lies there, with whose key.
//!
//! Pure. Only what a store says of objects themselves, or what the node does before it sends them, is proof; a default binds
//! new objects only.

use std::collections::BTreeSet;
use std::fmt;

use atrest_proto::model::{PathPosture, Reason, Use, Verdict};

use super::facts::{Facts, KeyFacts, KeyManager, Object, Provider, Seal, SealKey};
use super::{Backend, Looked, Observation, Registered};
use crate::snapshot::{Observed, Trouble};

/// What encrypts a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Encryption {
    /// The node, before it sends.
    ClientSide,
    /// The store, or the volume below, with a key that the customer manages.
    CustomerKey,
    /// The store, with a key of its own.
    ProviderKey,
    /// Something that lies there is not encrypted.
    Plaintext,
    /// Nobody here can tell.
    Unproven,
    /// The store gave no answer.
    Unreachable,
}

impl Encryption {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientSide => "client_side",
            Self::CustomerKey => "customer_key",
            Self::ProviderKey => "provider_key",
            Self::Plaintext => "plaintext",
            Self::Unproven => "unproven",
            Self::Unreachable => "unreachable",
        }
    }
}

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The outcome for one repository, and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    pub encryption: Encryption,
    /// The keys, as the store or the volume names them.
    pub keys: Vec<String>,
    /// In one line: what that rests on.
    pub evidence: String,
    /// Sorted. Why it could not be decided, or what is plain.
    pub reasons: Vec<Reason>,
    /// What would lift what stood in the way.
    pub remedy: String,
    /// The objects that are not encrypted, by name.
    pub plain: Vec<String>,
    /// What the volume below a directory does.
    pub volume: Option<Verdict>,
    /// Keys of which the manager could not be asked: why.
    pub keys_in_doubt: Vec<String>,
    /// Keys that no longer work.
    pub keys_failing: Vec<String>,
    /// Another agent of the cluster answers for it.
    pub elsewhere: Option<String>,
}

impl Judged {
    fn new(encryption: Encryption, evidence: impl Into<String>) -> Self {
        Self {
            encryption,
            keys: Vec::new(),
            evidence: evidence.into(),
            reasons: Vec::new(),
            remedy: String::new(),
            plain: Vec::new(),
            volume: None,
            keys_in_doubt: Vec::new(),
            keys_failing: Vec::new(),
            elsewhere: None,
        }
    }

    fn undecided(encryption: Encryption, evidence: &str, reason: Reason, remedy: &str) -> Self {
        Self { reasons: vec![reason], remedy: remedy.to_owned(), ..Self::new(encryption, evidence) }
    }
}

/// Judges one repository. `volume` is the proof of its directory, where it is one.
pub fn judge(observation: &Observation, volume: Option<&PathPosture>) -> Judged {
    if let Some(judged) = client_side(&observation.registered) {
        return judged;
    }
    match (&observation.backend, &observation.looked) {
        (Backend::Directory(_), _) => directory(volume),
        (Backend::Opaque { why, .. }, _) => Judged::undecided(
            Encryption::Unproven,
            why,
            Reason::RemoteFilesystem,
            "find out from who runs that store how it encrypts, and accept the finding with that as the reason",
        ),
        (_, None) => Judged::undecided(
            Encryption::Unproven,
            "the store was not asked",
            Reason::Unreadable,
            "run the agent on a node of the cluster, where it can ask",
        ),
        (_, Some(Looked::Elsewhere { host })) => Judged {
            elsewhere: Some(host.clone()),
            ..Judged::new(Encryption::Unproven, format!("{host} asks for the whole cluster"))
        },
        (_, Some(Looked::NotAsked { detail, remedy })) => {
            Judged::undecided(Encryption::Unproven, detail, Reason::NoPermission, remedy)
        }
        (_, Some(Looked::Unreachable { detail, remedy })) => {
            Judged::undecided(Encryption::Unreachable, detail, Reason::Timeout, remedy)
        }
        (_, Some(Looked::Told(facts))) => store(facts),
    }
}

/// Encrypted before it leaves the node, whatever the store does: `EncryptedBlobStore` of OpenSearch wraps every blob.
fn client_side(registered: &Registered) -> Option<Judged> {
    if let Some(found) = &registered.client_side {
        let evidence = format!(
            "the node encrypts before it sends, with keys of {}, as the registration says",
            found.provider
        );
        let keys = found.key.clone().into_iter().collect();
        return Some(Judged { keys, ..Judged::new(Encryption::ClientSide, evidence) });
    }
    let is_opensearch =
        registered.product.as_deref().is_some_and(|product| product != "elasticsearch");
    (registered.kind == "encrypted" && is_opensearch).then(|| {
        let evidence = "the plugin for repositories of type `encrypted` encrypts before it sends";
        Judged::new(Encryption::ClientSide, evidence)
    })
}

/// What the proof of a volume means for what lies on it. Nobody but its owner has the keys of a volume of this host.
fn directory(volume: Option<&PathPosture>) -> Judged {
    let Some(volume) = volume else {
        let evidence = "its directory was not looked at";
        return Judged::undecided(Encryption::Unproven, evidence, Reason::Unreadable, "scan again");
    };
    let place = volume.resolved.as_deref().unwrap_or(&volume.path);
    let encryption = match volume.verdict {
        Verdict::Encrypted => Encryption::CustomerKey,
        Verdict::Unencrypted | Verdict::Partial => Encryption::Plaintext,
        Verdict::Claimed | Verdict::Volatile | Verdict::Unknown => Encryption::Unproven,
    };
    let mut evidence = format!("the volume below {place} is {}", volume.verdict);
    let by: BTreeSet<String> = volume
        .encrypted_by
        .iter()
        .map(|by| [by.technology.as_str(), by.cipher.as_str()].join(" "))
        .collect();
    for by in by {
        evidence.push_str(&format!(", {}", by.trim_end()));
    }
    for claim in &volume.claimed_by {
        evidence.push_str(&format!("; {claim} claims to encrypt it"));
    }
    for undecided in volume.undecided.iter().take(2) {
        evidence.push_str(&format!("; {}", undecided.detail));
    }
    Judged {
        reasons: volume.reasons.clone(),
        plain: volume.plain.iter().map(|leg| leg.device.clone()).collect(),
        volume: Some(volume.verdict),
        remedy: "install the agent on the machine that keeps it, or put the repository on a volume that this host encrypts"
            .to_owned(),
        ..Judged::new(encryption, evidence)
    }
}

/// What a store says of one object.
enum Word<'a> {
    Sealed(&'a Seal),
    Plain,
    /// The store says nothing, and is not known to say it of others.
    Unsaid,
    NotAsked(&'a Trouble),
}

/// Whether the silence of this store about an object means that it did not encrypt it.
fn silence_is_plain(facts: &Facts) -> bool {
    match facts.provider {
        Provider::Aws | Provider::GoogleCloud | Provider::Azure | Provider::MinIo => true,
        // Disks below may be encrypted out of sight.
        Provider::Ceph | Provider::Hdfs | Provider::GoogleLike | Provider::AzureLike => false,
        // One that knows of defaults, or says it of one object, would say it of every other.
        Provider::S3Compatible => {
            facts.default.trouble().is_none()
                || facts.sample.objects.iter().any(|object| object.seal.known().is_some())
        }
    }
}

fn word(object: &Object, silence_is_plain: bool) -> Word<'_> {
    match &object.seal {
        Observed::Known(seal) => Word::Sealed(seal),
        Observed::Absent if silence_is_plain => Word::Plain,
        Observed::Absent => Word::Unsaid,
        Observed::Unreadable(trouble) => Word::NotAsked(trouble),
    }
}

fn store(facts: &Facts) -> Judged {
    let silence = silence_is_plain(facts);
    let (mut seals, mut plain, mut unsaid, mut failed) = (Vec::new(), Vec::new(), 0_usize, None);
    for object in &facts.sample.objects {
        match word(object, silence) {
            Word::Sealed(seal) => seals.push(seal),
            Word::Plain => plain.push(object.name.clone()),
            Word::Unsaid => unsaid += 1,
            Word::NotAsked(trouble) => failed = failed.or(Some((object, trouble))),
        }
    }
    let evidence = evidence(facts);
    if !plain.is_empty() {
        let named = named(&plain);
        let evidence = format!("not encrypted by the store: {named}; {evidence}");
        return Judged {
            plain,
            reasons: vec![Reason::PlainDevice],
            ..Judged::new(Encryption::Plaintext, evidence)
        };
    }
    if let Some(trouble) = &facts.sample.trouble {
        let evidence = format!("{}; {evidence}", trouble.detail);
        let remedy = &facts.sample.remedy;
        return Judged::undecided(Encryption::Unproven, &evidence, trouble.reason, remedy);
    }
    if let Some((object, trouble)) = failed {
        let evidence =
            format!("{} could not be asked about: {}; {evidence}", object.name, trouble.detail);
        let remedy = &facts.sample.remedy;
        return Judged::undecided(Encryption::Unproven, &evidence, trouble.reason, remedy);
    }
    if facts.provider.is_imitation() {
        return Judged::undecided(
            Encryption::Unproven,
            &format!(
                "its endpoint is not the provider's own: what it says is no proof; {evidence}"
            ),
            Reason::ServerClaim,
            "have whoever runs the store attest to how it encrypts",
        );
    }
    if unsaid > 0 {
        return Judged::undecided(
            Encryption::Unproven,
            &format!(
                "the store does not say of {unsaid} objects whether it encrypts them; {evidence}"
            ),
            Reason::ServerClaim,
            "have whoever runs the store attest to it, or run the agent on the machines below it",
        );
    }
    if seals.is_empty() {
        let is_empty = facts.sample.is_complete && facts.sample.listed == 0;
        match (&facts.default, is_empty) {
            // Nothing lies there yet: what is written next gets the default.
            (Observed::Known(seal), true) => seals.push(seal),
            (Observed::Known(_) | Observed::Absent | Observed::Unreadable(_), _) => {
                let trouble = facts.default.trouble();
                return Judged::undecided(
                    Encryption::Unproven,
                    &format!("no object was asked about; {evidence}"),
                    trouble.map_or(Reason::NotFound, |trouble| trouble.reason),
                    &facts.sample.remedy,
                );
            }
        }
    }
    graded(facts, &seals, evidence)
}

/// The weakest of the seals counts.
fn graded(facts: &Facts, seals: &[&Seal], evidence: String) -> Judged {
    let mut encryption = Encryption::CustomerKey;
    let (mut keys, mut in_doubt, mut failing) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for seal in seals {
        let is_customers = match &seal.key {
            SealKey::Supplied => true,
            SealKey::Customer(name) => {
                keys.insert(name.clone());
                true
            }
            SealKey::Named(name) => {
                keys.insert(name.clone());
                match facts.keys.get(name) {
                    Some(Observed::Known(KeyFacts { manager, state, .. })) => {
                        if !["", "Enabled"].contains(&state.as_str()) {
                            failing.insert(format!("{name} is {state}"));
                        }
                        *manager == KeyManager::Customer
                    }
                    Some(Observed::Absent) => {
                        failing.insert(format!("{name} does not exist"));
                        false
                    }
                    Some(Observed::Unreadable(trouble)) => {
                        in_doubt.insert(format!("{name}: {}", trouble.detail));
                        false
                    }
                    None => {
                        in_doubt.insert(format!("{name}: whose it is was not asked"));
                        false
                    }
                }
            }
            SealKey::Unknown => {
                in_doubt.insert(format!("{}: the store does not say whose", seal.algorithm));
                false
            }
            SealKey::Provider => false,
        };
        if !is_customers {
            encryption = Encryption::ProviderKey;
        }
    }
    let remedy = if in_doubt.is_empty() { "" } else { key_remedy(&facts.provider) };
    Judged {
        remedy: remedy.to_owned(),
        keys: keys.into_iter().collect(),
        keys_in_doubt: in_doubt.into_iter().collect(),
        keys_failing: failing.into_iter().collect(),
        ..Judged::new(encryption, evidence)
    }
}

/// How it would become known whose a key is.
const fn key_remedy(provider: &Provider) -> &'static str {
    match provider {
        Provider::Aws | Provider::MinIo | Provider::Ceph | Provider::S3Compatible => {
            "allow the agent's identity to describe the key (kms:DescribeKey)"
        }
        Provider::Hdfs => {
            "have whoever runs the key management server of Hadoop attest to whose the key of the zone is"
        }
        Provider::Azure => {
            "set azure_resource_id in the settings of [[repositories]], and give the machine's managed identity \
                            the role Reader on the storage account"
        }
        Provider::GoogleCloud | Provider::GoogleLike | Provider::AzureLike => {
            "have whoever runs the store attest to whose the key is"
        }
    }
}

/// Default, sample and what limited it, in one line.
fn evidence(facts: &Facts) -> String {
    let mut text = match &facts.default {
        Observed::Known(seal) => format!("default {}", show(seal)),
        Observed::Absent => "no default".to_owned(),
        Observed::Unreadable(trouble) => format!("default not known ({})", trouble.detail),
    };
    let sample = &facts.sample;
    let seals: BTreeSet<&str> = sample
        .objects
        .iter()
        .filter_map(|object| object.seal.known())
        .map(|seal| seal.algorithm.as_str())
        .collect();
    let seals: Vec<&str> = seals.into_iter().collect();
    let of = if sample.is_complete { "" } else { "at least " };
    text.push_str(&format!("; {} of {of}{} objects asked", sample.objects.len(), sample.listed));
    if !seals.is_empty() {
        text.push_str(&format!(" ({})", seals.join(", ")));
    }
    for cut in &sample.cut {
        text.push_str(&format!("; {cut}"));
    }
    text
}

/// A seal for people.
pub fn show(seal: &Seal) -> String {
    match &seal.key {
        SealKey::Named(key) | SealKey::Customer(key) => format!("{} with {key}", seal.algorithm),
        SealKey::Supplied => format!("{} with a key of the client", seal.algorithm),
        SealKey::Provider | SealKey::Unknown => seal.algorithm.clone(),
    }
}

/// The first few names, and how many more there are.
pub fn named(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let first: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    let more = names.len().saturating_sub(SHOWN);
    if more == 0 { first.join(", ") } else { format!("{} and {more} more", first.join(", ")) }
}

/// Judges every repository of a snapshot, in its order. `paths` are the proofs of its targets.
pub fn all(observations: &[Observation], paths: &[PathPosture]) -> Vec<Judged> {
    observations.iter().map(|observation| judge(observation, volume(observation, paths))).collect()
}

/// The proof of the directory that a repository is.
fn volume<'a>(observation: &Observation, paths: &'a [PathPosture]) -> Option<&'a PathPosture> {
    let Backend::Directory(directory) = &observation.backend else { return None };
    let directory = directory.to_string();
    let is_its = |path: &&PathPosture| {
        path.usage == Use::Repository
            && path.path == directory
            && path.service == observation.registered.service
    };
    paths.iter().find(is_its)
}

#[cfg(test)]
pub(crate) mod fixture {
    use super::*;

    /// An outcome with nothing more to it.
    pub(crate) fn judged(encryption: Encryption) -> Judged {
        Judged::new(encryption, "evidence")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::repository::ClientSide;
    use crate::repository::facts::Sample;
    use crate::repository::kind::{self, Surroundings, fixture::registered};
    use crate::repository::sample::Class;
    use crate::volume::fixture::proof;

    const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/k";

    fn aes() -> Seal {
        Seal { algorithm: "AES256".to_owned(), key: SealKey::Provider }
    }

    fn kms() -> Seal {
        Seal { algorithm: "aws:kms".to_owned(), key: SealKey::Named(KEY.to_owned()) }
    }

    fn denied<T>() -> Observed<T> {
        Observed::Unreadable(Trouble::new(Reason::NoPermission, "denied"))
    }

    fn scope() -> Seal {
        Seal {
            algorithm: "AES256".to_owned(),
            key: SealKey::Named("encryption scope s".to_owned()),
        }
    }

    fn zone() -> Seal {
        Seal { algorithm: "encryption zone".to_owned(), key: SealKey::Unknown }
    }

    /// A store that was asked about these objects, all that there are.
    fn facts(provider: Provider, default: Observed<Seal>, seals: &[Observed<Seal>]) -> Facts {
        let object = |(at, seal): (usize, &Observed<Seal>)| Object {
            name: format!("indices/u/0/__{at}"),
            class: Class::Segment,
            written_at: None,
            seal: seal.clone(),
        };
        Facts {
            provider,
            default,
            refuses_plain: Observed::Absent,
            keys: BTreeMap::new(),
            sample: Sample {
                listed: seals.len() as u64,
                is_complete: true,
                objects: seals.iter().enumerate().map(object).collect(),
                ..Sample::default()
            },
            requests: 7,
        }
    }

    fn judged(facts: Facts) -> Judged {
        judge(&observation("s3", &[("bucket", "b")], Some(Looked::Told(Box::new(facts)))), None)
    }

    fn observation(kind: &str, settings: &[(&str, &str)], looked: Option<Looked>) -> Observation {
        let registered = registered(kind, settings);
        let backend = kind::backend(&registered, &Surroundings::default());
        Observation { asset: "repository:r".to_owned(), registered, backend, looked }
    }

    /// Provider, default, what is said of the objects, and the outcome.
    type Row = (Provider, Observed<Seal>, Vec<Observed<Seal>>, Encryption);

    #[test]
    fn the_matrix_of_stores() {
        use Encryption::{CustomerKey, Plaintext, ProviderKey, Unproven};
        use Observed::{Absent, Known};
        use Provider::{
            Aws, Azure, AzureLike, Ceph, GoogleCloud, GoogleLike, Hdfs, MinIo, S3Compatible,
        };
        let customer = |name: &str| Seal {
            algorithm: "cmek".to_owned(),
            key: SealKey::Customer(name.to_owned()),
        };
        let supplied = || Seal { algorithm: "AES256".to_owned(), key: SealKey::Supplied };
        let rows: Vec<Row> = vec![
            (Aws, Known(aes()), vec![Known(aes())], ProviderKey),
            // No header at all: written before 2023.
            (Aws, Known(aes()), vec![Known(aes()), Absent], Plaintext),
            (Aws, denied(), vec![Absent], Plaintext),
            // The default was not told, and the objects were.
            (Aws, denied(), vec![Known(aes())], ProviderKey),
            (Aws, Known(aes()), vec![denied()], Unproven),
            (Aws, Known(aes()), vec![Known(aes()), denied()], Unproven),
            (Aws, Known(aes()), vec![supplied()].into_iter().map(Known).collect(), CustomerKey),
            // Empty: what comes gets the default.
            (Aws, Known(aes()), vec![], ProviderKey),
            (Aws, denied(), vec![], Unproven),
            (Aws, Absent, vec![], Unproven),
            // The baseline of Amazon is nobody else's.
            (S3Compatible, denied(), vec![Absent], Unproven),
            (S3Compatible, denied(), vec![Known(aes()), Absent], Plaintext),
            (S3Compatible, Absent, vec![Absent], Plaintext),
            (S3Compatible, Known(aes()), vec![Absent, Known(aes())], Plaintext),
            (S3Compatible, denied(), vec![Known(aes())], ProviderKey),
            (MinIo, Absent, vec![Absent], Plaintext),
            // MINIO_KMS_AUTO_ENCRYPTION: no bucket configuration, and yet a header.
            (MinIo, Absent, vec![Known(aes())], ProviderKey),
            (Ceph, Absent, vec![Absent], Unproven),
            (Ceph, denied(), vec![Known(aes())], ProviderKey),
            (GoogleCloud, Known(aes()), vec![Known(aes())], ProviderKey),
            (GoogleCloud, Known(customer("k")), vec![Known(customer("k"))], CustomerKey),
            (
                GoogleCloud,
                Known(customer("k")),
                vec![Known(customer("k")), Known(aes())],
                ProviderKey,
            ),
            (GoogleCloud, Known(customer("k")), vec![Known(supplied())], CustomerKey),
            (GoogleCloud, denied(), vec![Known(customer("k"))], CustomerKey),
            (GoogleCloud, Known(aes()), vec![], ProviderKey),
            (GoogleCloud, Known(aes()), vec![denied()], Unproven),
            // Whatever an imitation says.
            (GoogleLike, Known(customer("k")), vec![Known(customer("k"))], Unproven),
            (GoogleLike, Absent, vec![Absent], Unproven),
            (GoogleLike, Known(customer("k")), vec![Known(customer("k")), Absent], Unproven),
            (GoogleLike, Known(customer("k")), vec![], Unproven),
            (AzureLike, Known(aes()), vec![Known(aes())], Unproven),
            (AzureLike, Known(aes()), vec![Known(aes()), Absent], Unproven),
            (AzureLike, Known(aes()), vec![], Unproven),
            (Azure, Known(aes()), vec![Known(aes()), Absent], Plaintext),
            // Whose the key is, is not known: it is encrypted all the same.
            (Azure, Known(scope()), vec![Known(scope())], ProviderKey),
            (Azure, denied(), vec![Known(scope()), Known(supplied())], ProviderKey),
            (Azure, denied(), vec![Known(supplied())], CustomerKey),
            (Azure, Known(scope()), vec![Known(scope()), denied()], Unproven),
            (Azure, Known(scope()), vec![], ProviderKey),
            (Azure, denied(), vec![], Unproven),
            (Hdfs, Absent, vec![Absent], Unproven),
            // In a zone: encrypted, and nobody says with whose key.
            (Hdfs, Known(zone()), vec![Known(zone())], ProviderKey),
            (Hdfs, Known(zone()), vec![Known(zone()), Absent], Unproven),
            (Hdfs, Absent, vec![Known(zone()), Absent], Unproven),
            (Hdfs, Known(zone()), vec![], ProviderKey),
            (Hdfs, Known(zone()), vec![denied()], Unproven),
            (Hdfs, Known(customer("zone")), vec![Known(customer("zone"))], CustomerKey),
        ];
        for (provider, default, seals, expected) in rows {
            let shown = format!("{provider:?} {default:?} {seals:?}");
            let found = judged(facts(provider, default, &seals));
            assert_eq!(found.encryption, expected, "{shown}: {}", found.evidence);
        }
    }

    #[test]
    fn plain_objects_are_named() {
        let found = judged(facts(
            Provider::Aws,
            Observed::Known(aes()),
            &[Observed::Known(aes()), Observed::Absent],
        ));
        assert_eq!(found.plain, ["indices/u/0/__1"]);
        assert!(found.evidence.contains("indices/u/0/__1"), "{}", found.evidence);
    }

    #[test]
    fn whose_key_it_is_the_key_service_says() {
        let with = |key: Option<Observed<KeyFacts>>| {
            let mut facts = facts(Provider::Aws, Observed::Known(kms()), &[Observed::Known(kms())]);
            facts.keys.extend(key.map(|key| (KEY.to_owned(), key)));
            judged(facts)
        };
        let key = |manager, state: &str| {
            let state = state.to_owned();
            Some(Observed::Known(KeyFacts { manager, owner: None, state, rotates: None }))
        };
        assert_eq!(with(key(KeyManager::Customer, "Enabled")).encryption, Encryption::CustomerKey);
        assert_eq!(with(key(KeyManager::Provider, "Enabled")).encryption, Encryption::ProviderKey);
        for doubtful in [None, Some(denied())] {
            let found = with(doubtful);
            assert_eq!(found.encryption, Encryption::ProviderKey);
            assert_eq!(found.keys_in_doubt.len(), 1);
        }
        // Whose it is is known, and not whether it works.
        let untold = with(key(KeyManager::Customer, ""));
        assert_eq!((untold.encryption, untold.keys_failing.len()), (Encryption::CustomerKey, 0));
        let failing = with(key(KeyManager::Customer, "PendingDeletion"));
        assert_eq!(failing.keys_failing, [format!("{KEY} is PendingDeletion")]);
        assert_eq!(with(Some(Observed::Absent)).keys_failing.len(), 1);
    }

    #[test]
    fn a_key_that_nobody_names_is_in_doubt() {
        let zone = || Observed::Known(zone());
        let found = judged(facts(Provider::Hdfs, zone(), &[zone()]));
        assert_eq!(found.keys_in_doubt, ["encryption zone: the store does not say whose"]);
        assert!(found.remedy.contains("Hadoop") && found.keys.is_empty(), "{found:?}");
    }

    #[test]
    fn a_sample_that_failed_proves_nothing() {
        let mut told = facts(Provider::Aws, Observed::Known(aes()), &[]);
        told.sample.is_complete = false;
        told.sample.trouble = Some(Trouble::new(Reason::NoPermission, "s3:ListBucket is denied"));
        told.sample.remedy = "allow s3:ListBucket".to_owned();
        let found = judged(told.clone());
        assert_eq!(
            (found.encryption, found.remedy.as_str()),
            (Encryption::Unproven, "allow s3:ListBucket")
        );
        // What was seen to be plain before it failed is plain.
        told.sample.objects =
            facts(Provider::Aws, Observed::Absent, &[Observed::Absent]).sample.objects;
        assert_eq!(judged(told).encryption, Encryption::Plaintext);
    }

    #[test]
    fn a_default_stands_for_nothing_that_is_there() {
        // Objects were listed, and the store was too busy to say more.
        let mut told = facts(Provider::Aws, Observed::Known(aes()), &[]);
        told.sample.listed = 14;
        assert_eq!(judged(told).encryption, Encryption::Unproven);
    }

    #[test]
    fn the_node_itself_encrypts_whatever_the_store_does() {
        let plain =
            Looked::Told(Box::new(facts(Provider::MinIo, Observed::Absent, &[Observed::Absent])));
        let mut seen = observation("s3", &[("bucket", "b")], Some(plain));
        assert_eq!(judge(&seen, None).encryption, Encryption::Plaintext);
        seen.registered.client_side =
            Some(ClientSide { provider: "aws-kms".to_owned(), key: Some(KEY.to_owned()) });
        let found = judge(&seen, None);
        assert_eq!((found.encryption, found.keys), (Encryption::ClientSide, vec![KEY.to_owned()]));
        // Only OpenSearch has a type of that name.
        let mut seen = observation("encrypted", &[("storage_type", "gcs"), ("bucket", "b")], None);
        assert_eq!(judge(&seen, None).encryption, Encryption::Unproven);
        seen.registered.product = Some("opensearch".to_owned());
        assert_eq!(judge(&seen, None).encryption, Encryption::ClientSide);
    }

    #[test]
    fn what_was_not_asked_or_cannot_be_is_never_a_pass() {
        let text = || "x".to_owned();
        for (kind, looked, expected) in [
            ("s3", None, Encryption::Unproven),
            ("s3", Some(Looked::NotAsked { detail: text(), remedy: text() }), Encryption::Unproven),
            (
                "s3",
                Some(Looked::Unreachable { detail: text(), remedy: text() }),
                Encryption::Unreachable,
            ),
            ("s3", Some(Looked::Elsewhere { host: text() }), Encryption::Unproven),
            ("url", None, Encryption::Unproven),
            ("cos", None, Encryption::Unproven),
            ("fs", None, Encryption::Unproven),
        ] {
            let settings = [("bucket", "b"), ("url", "https://h/"), ("location", "/mnt/b")];
            assert_eq!(
                judge(&observation(kind, &settings, looked), None).encryption,
                expected,
                "{kind}"
            );
        }
    }

    #[test]
    fn a_directory_is_what_its_volume_is() {
        for (verdict, expected) in [
            (Verdict::Encrypted, Encryption::CustomerKey),
            (Verdict::Partial, Encryption::Plaintext),
            (Verdict::Unencrypted, Encryption::Plaintext),
            (Verdict::Claimed, Encryption::Unproven),
            (Verdict::Volatile, Encryption::Unproven),
            (Verdict::Unknown, Encryption::Unproven),
        ] {
            assert_eq!(
                directory(Some(&proof(Use::Repository, "/mnt/b", verdict))).encryption,
                expected,
                "{verdict}"
            );
        }
    }
}
