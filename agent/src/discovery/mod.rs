//! Finds what runs or is installed on a host, and every place where it lets data rest.
//!
//! Reads through [`Host`] only. Names and paths leave this module, never the value of a setting that may be secret.

pub(crate) mod arguments;
mod assumed;
pub(crate) mod beats;
pub(crate) mod containers;
mod core_dumps;
mod elastic_agent;
mod elasticsearch;
mod endpoint;
mod identity;
pub(crate) mod instance;
mod jvm_options;
pub(crate) mod kibana;
mod log4j2;
mod logstash;
mod open_files;
mod opensearch;
mod password_sources;
pub(crate) mod patterns;
mod pipelines;
pub(crate) mod process;
mod stack;
mod unit;
pub(crate) mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use atrest_proto::model::{Gap, Reason, Service, Use};

use crate::assumption::Assumption;
use crate::core_dumps::CoreDumps;
use crate::drift::Claim;
use crate::host::Host;
use crate::keystore::observe::Place as KeystorePlace;
use crate::path::HostPath;
use crate::snapshot::{Namespace, Target, Trouble};
use crate::{nfs, node_api, repository, secrets};
use instance::AS_ROOT;
use process::{Process, gap};
use unit::Unit;

/// What the configuration names on top of what is found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    pub paths: Vec<HostPath>,
    pub repositories: Vec<repository::Registered>,
    /// What this machine lends other machines is not looked at.
    pub ignore_exports: bool,
}

/// Everything that was found, sorted, each thing once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Discovery {
    pub services: Vec<Service>,
    pub places: Vec<Place>,
    /// What is open for writing where no name leads to it: something was mounted over its directory.
    pub held: Vec<Target>,
    /// Services that nothing but a process tells of, which any user may start.
    pub uninstalled: BTreeSet<String>,
    pub keystores: Vec<KeystorePlace>,
    /// Where settings stand that may be secrets.
    pub configurations: Vec<secrets::Place>,
    /// What the sources say of settings that they may disagree on.
    pub claims: Vec<Claim>,
    /// Which places are defaults of settings that are not known.
    pub assumptions: Vec<Assumption>,
    /// The APIs of running nodes, to be asked by what may use the network.
    pub endpoints: Vec<node_api::Endpoint>,
    /// Which of them were asked.
    pub sights: Vec<node_api::Sight>,
    /// What is registered, by all sources.
    pub registered: Vec<repository::Registered>,
    /// The same with where each lies, each once: [`repository::assemble`].
    pub repositories: Vec<repository::Observation>,
    /// Services of which nobody told what is registered.
    pub unlisted: Vec<repository::Unlisted>,
    /// Settings of the clients of stores, and remote stores that attributes declare, by service.
    pub stores: BTreeMap<String, BTreeMap<String, String>>,
    /// What other machines may mount from this one.
    pub exports: Vec<nfs::Export>,
    /// Where crashes write; not looked at without a discovery.
    pub core_dumps: Option<CoreDumps>,
    /// Only named paths are asked about: what says nothing of them need not be looked at.
    pub only_paths: bool,
    pub gaps: Vec<Gap>,
}

/// A path that something is written to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub path: HostPath,
    pub usage: Use,
    pub service: Option<String>,
    pub namespace: Namespace,
}

/// A product of the search stack that can be found.
pub struct Product {
    /// As in [`Service::product`].
    pub name: &'static str,
    /// Whether a process with these arguments may belong to the product; `discover` decides.
    is_own: fn(&[Vec<u8>]) -> bool,
    /// Parts of the name or text of units that may start it.
    units: &'static [&'static str],
    discover: fn(&Scene<'_>, &mut Discovery),
}

/// Every product that is known.
pub static PRODUCTS: &[Product] = &[
    Product {
        name: "elasticsearch",
        is_own: |argv| process::mentions(argv, "org.elasticsearch."),
        units: &["elasticsearch"],
        discover: |scene, found| {
            elasticsearch::discover(&elasticsearch::ELASTICSEARCH, scene, found);
        },
    },
    Product {
        name: "opensearch",
        is_own: |argv| process::mentions(argv, "org.opensearch."),
        units: &["opensearch", "wazuh-indexer"],
        discover: |scene, found| elasticsearch::discover(&opensearch::OPENSEARCH, scene, found),
    },
    Product {
        name: "kibana",
        is_own: kibana::may_be,
        units: &["kibana"],
        discover: |scene, found| kibana::discover(&kibana::KIBANA, scene, found),
    },
    Product {
        name: "opensearch-dashboards",
        is_own: kibana::may_be,
        units: &["opensearch-dashboards", "wazuh-dashboard"],
        discover: |scene, found| kibana::discover(&kibana::DASHBOARDS, scene, found),
    },
    Product {
        name: "logstash",
        is_own: logstash::may_be,
        units: &["logstash"],
        discover: logstash::discover,
    },
    Product {
        name: "beats",
        is_own: beats::may_be,
        units: &["beat", "apm-server", "fleet-server"],
        discover: beats::discover,
    },
    Product {
        name: "elastic-agent",
        is_own: elastic_agent::may_be,
        units: &["elastic-agent"],
        discover: elastic_agent::discover,
    },
];

/// Whether a process with these arguments may belong to a product.
pub(crate) fn is_known(argv: &[Vec<u8>]) -> bool {
    PRODUCTS.iter().any(|product| (product.is_own)(argv))
}

/// Whether a name or text, as that of a unit, may have to do with a product.
pub(crate) fn mentions_product(text: &str) -> bool {
    PRODUCTS.iter().any(|product| product.units.iter().any(|part| text.contains(part)))
}

/// What the products are looked for in.
struct Scene<'a> {
    host: &'a dyn Host,
    /// The processes that may belong to a product.
    processes: BTreeMap<i32, Process>,
    /// The units that may start a product, by name.
    units: Vec<Unit>,
    /// The directories in which an archive may have been unpacked.
    unpacked: Vec<HostPath>,
}

/// Looks for every product, and adds what is declared.
pub fn discover(host: &dyn Host, declared: &Declared) -> Discovery {
    let mut found = Discovery::default();
    let (units, troubles) = unit::services(host, &mentions_product);
    found.gaps.extend(troubles.iter().map(|trouble| gap("units of systemd", trouble, AS_ROOT)));
    let scene = Scene {
        host,
        processes: process::table(host, &is_known, &mut found.gaps),
        units,
        unpacked: stack::unpacked(host, &mut found.gaps),
    };
    for product in PRODUCTS {
        (product.discover)(&scene, &mut found);
    }
    containers::discover(host, &mut found);
    unread_sources(host, &mut found);
    bound_places(&mut found);
    let declare = |path: &HostPath, usage, service: Option<&String>, namespace: &Namespace| Place {
        path: path.clone(),
        usage,
        service: service.cloned(),
        namespace: namespace.clone(),
    };
    for path in &declared.paths {
        found.places.push(declare(path, Use::Declared, None, &Namespace::Host));
    }
    if !declared.ignore_exports {
        found.exports = exports(host, &mut found.gaps);
    }
    for export in &found.exports {
        found.places.push(declare(&export.path, Use::Export, None, &Namespace::Host));
    }
    found.registered.extend(declared.repositories.iter().cloned());
    repository::assemble(&mut found);
    core_dumps::discover(host, &mut found);
    found.places.sort_unstable();
    found.places.dedup();
    found.services.sort_unstable();
    found.configurations.sort_unstable();
    found.configurations.dedup();
    found.claims.sort_unstable();
    found.claims.dedup();
    found.assumptions.sort_unstable();
    found.assumptions.dedup();
    found.gaps.sort_unstable();
    found.gaps.dedup();
    found
}

/// What the NFS server of this machine lends.
fn exports(host: &dyn Host, gaps: &mut Vec<Gap>) -> Vec<nfs::Export> {
    match host.read(&Namespace::Host, &nfs::etab::PATH.into(), nfs::etab::MOST) {
        Ok(text) => nfs::etab::parse(&text),
        // No server was ever started here.
        Err(trouble) if trouble.reason == Reason::NotFound => Vec::new(),
        Err(trouble) => {
            gaps.push(gap("the exports of the NFS server", &trouble, AS_ROOT));
            Vec::new()
        }
    }
}

/// Files that may say where a service writes, and could not be read: what they say is missing.
fn unread_sources(host: &dyn Host, found: &mut Discovery) {
    use secrets::Form;
    let sources = found
        .configurations
        .iter()
        .filter(|place| matches!(place.form, Form::JavaOptions | Form::Variables | Form::Unit));
    for place in sources {
        match host.read_start(&place.namespace, &place.path, 1) {
            Ok(_) => {}
            Err(trouble) if trouble.reason == Reason::NotFound => {}
            Err(trouble) => found.gaps.push(gap(&place.path.to_string(), &trouble, AS_ROOT)),
        }
    }
}

/// Any user may start programs that look like a service and name any number of paths: what is beyond is a gap. Those that
/// nothing but a process tells of come last, so that they keep nothing else from being looked at.
pub(crate) fn bound_places(found: &mut Discovery) {
    /// A node with a hundred data paths is a big one.
    const MOST: usize = 500;
    /// A report has room for as many: see `transport::size`.
    const MOST_IN_ALL: usize = 2000;
    let Discovery { places, held, uninstalled, gaps, .. } = found;
    let is_uninstalled =
        |service: &Option<String>| service.as_ref().is_some_and(|name| uninstalled.contains(name));
    places.sort_by_key(|place| is_uninstalled(&place.service));
    held.sort_by_key(|target| is_uninstalled(&target.service));
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let (mut kept, mut left_out) = (0, 0);
    let mut fits = |service: &Option<String>| {
        // What the configuration names is no service's.
        let Some(service) = service else { return true };
        let count = counts.entry(service.clone()).or_default();
        *count += 1;
        let is_within = *count <= MOST;
        let has_room = kept < MOST_IN_ALL;
        kept += usize::from(is_within && has_room);
        left_out += usize::from(is_within && !has_room);
        is_within && has_room
    };
    held.retain(|target| fits(&target.service));
    places.retain(|place| fits(&place.service));
    for (service, count) in counts.into_iter().filter(|(_, count)| *count > MOST) {
        let detail = format!("{count} paths are named, and only the first {MOST} were looked at");
        let trouble = Trouble::new(Reason::Unreadable, detail);
        gaps.push(gap(&format!("paths of {service}"), &trouble, "find out what names so many"));
    }
    if left_out > 0 {
        let detail = format!(
            "services name {left_out} paths beyond the first {MOST_IN_ALL}, which were looked at"
        );
        let trouble = Trouble::new(Reason::Unreadable, detail);
        gaps.push(gap("paths of all services", &trouble, "find out what names so many"));
    }
}

#[cfg(test)]
mod product_tests;
#[cfg(test)]
mod tests;
