//! Writes down every instance once, whichever ways lead to it.

use atrest_proto::model::{Reason, Service, Use};

use super::names::{self, Named};
use super::{Candidate, Description, Origin, exists, may_exist};
use crate::assumption::Assumption;
use crate::discovery::identity::is_same_file;
use crate::discovery::instance::Instance;
use crate::discovery::process::gap;
use crate::discovery::{
    Discovery, KeystorePlace, Place, assumed, open_files, password_sources, unit,
};
use crate::drift::Claim;
use crate::host::Host;
use crate::keystore::Account;
use crate::node_api::Endpoint;
use crate::path::HostPath;
use crate::secrets::{self, Form};
use crate::snapshot::{Namespace, Observed, Target, Trouble};

/// A candidate with what it is.
struct Described {
    candidate: Candidate,
    description: Description,
    /// It claims settings that are installed for other accounts only: the account that it really runs as.
    stranger: Option<Account>,
    /// Something else than a process tells of it, or an engine has started its container.
    is_installed: bool,
}

/// Marks the processes that claim settings which are installed for other accounts only, and puts them last.
///
/// Any user may start a program with such arguments: it is looked at as what it says it is, but neither hides what is
/// installed, nor takes its name, nor becomes the owner of its keystore.
fn strangers_last(host: &dyn Host, described: Vec<(Candidate, Description)>) -> Vec<Described> {
    let installed: Vec<(String, HostPath, Account)> = described
        .iter()
        .filter(|(candidate, _)| candidate.origin != Origin::Process)
        .filter_map(|(candidate, description)| {
            let account = candidate.instance.run_as.clone()?;
            Some((description.product.clone(), description.settings.clone(), account))
        })
        .collect();
    let mut marked: Vec<Described> = Vec::new();
    for (mut candidate, description) in described {
        let is_process =
            candidate.origin == Origin::Process && candidate.instance.container.is_none();
        let accounts = installed.iter().filter(|(product, settings, _)| {
            *product == description.product
                && is_same_file(
                    host,
                    (&Namespace::Host, settings),
                    (&candidate.instance.namespace, &description.settings),
                )
        });
        let accounts: Vec<&Account> = accounts.map(|(.., account)| account).collect();
        let own = candidate.instance.run_as.clone().filter(|own| {
            let is_other = own.uid != 0 && accounts.iter().all(|known| known.uid != own.uid);
            is_process && is_other && !accounts.is_empty()
        });
        if own.is_some() {
            candidate.instance.run_as = accounts.first().map(|account| (*account).clone());
        }
        let is_installed =
            candidate.origin != Origin::Process || candidate.instance.container.is_some();
        marked.push(Described { candidate, description, stranger: own, is_installed });
    }
    marked.sort_by_key(|described| described.stranger.is_some());
    marked
}

/// Writes down every instance once, whichever ways lead to it.
pub(in crate::discovery) fn write_down(
    host: &dyn Host,
    mut candidates: Vec<Candidate>,
    describe: &dyn Fn(&Candidate) -> Option<Description>,
    found: &mut Discovery,
) {
    candidates.sort_by_key(|candidate| candidate.origin);
    let described = candidates.into_iter().filter_map(|candidate| {
        let description = describe(&candidate)?;
        Some((candidate, description))
    });
    let described = strangers_last(host, described.collect());
    let mut kept: Vec<Described> = Vec::new();
    for mut one in described {
        if let Some(known) = kept.iter_mut().find(|known| is_same(host, known, &one)) {
            known.is_installed = true;
            add_other(host, known, &one.candidate, one.description);
            let (known, new) = (&mut known.candidate, &mut one.candidate);
            known.instance.unit_files.append(&mut new.instance.unit_files);
            known.instance.environment_files.append(&mut new.instance.environment_files);
            known.outputs.append(&mut new.outputs);
            known.instance.run_as = known.instance.run_as.take().or(new.instance.run_as.take());
        } else {
            kept.push(one);
        }
    }
    let named: Vec<Named<'_>> = kept.iter().map(named).collect();
    let names = names::distinct(&named);
    for (one, name) in kept.into_iter().zip(names) {
        if !one.is_installed {
            found.uninstalled.insert(name.clone());
        }
        write(host, one.candidate, one.description, name, found);
    }
}

/// Whether what was found now is what was found before, in a way that knows more.
fn is_same(host: &dyn Host, known: &Described, new: &Described) -> bool {
    new.candidate.origin != Origin::Process
        && known.stranger.is_none()
        && known.candidate.instance.container.is_none()
        && known.description.product == new.description.product
        // Archives are often reached by a link without the version.
        && is_same_file(
            host,
            (&known.candidate.instance.namespace, &known.description.settings),
            (&new.candidate.instance.namespace, &new.description.settings),
        )
        // Only a unit knows that another instance with the same settings keeps its data elsewhere.
        && (new.candidate.origin != Origin::Unit
            || known.description.data == new.description.data
            || (known.candidate.origin == Origin::Process && known.description.outdoes_units))
}

/// Adds where another source says that it writes, such as a unit or the settings of an archive that name other data than what
/// runs: another one may have started that, or this one an earlier time.
fn add_other(host: &dyn Host, known: &mut Described, other: &Candidate, told: Description) {
    let Described { candidate, description, .. } = known;
    if description.data == told.data {
        return;
    }
    let is_unit = other.origin == Origin::Unit;
    let is_told = |path: &HostPath| {
        !told.guesses.iter().any(|guess| guess.path == *path)
            // A unit may start it; where nothing is, nothing was written.
            && (is_unit || may_exist(host, &other.instance.namespace, path))
    };
    let is_same = |one: &HostPath, path: &HostPath| {
        is_same_file(host, (&candidate.instance.namespace, one), (&other.instance.namespace, path))
    };
    for path in told.data.into_iter().filter(is_told) {
        if !description.data.iter().any(|one| is_same(one, &path)) {
            description.data.push(path);
        }
    }
    // What the Java machine writes besides comes from files that both read.
    let places: Vec<(Use, HostPath)> = told
        .places
        .into_iter()
        .filter(|(usage, path)| {
            matches!(usage, Use::Data | Use::Logs | Use::Cache | Use::Repository) && is_told(path)
        })
        .filter(|(usage, path)| {
            let is_alike = |(of, one): &(Use, HostPath)| of == usage && is_same(one, path);
            !description.places.iter().any(is_alike)
        })
        .collect();
    description.places.extend(places);
    description.places.sort_unstable();
    description.places.dedup();
}

/// What may tell an instance from others.
fn named(one: &Described) -> Named<'_> {
    let Described { candidate, description, stranger, .. } = one;
    let account = stranger.as_ref().or(candidate.instance.run_as.as_ref());
    Named {
        product: &description.product,
        name: &description.name,
        node_name: description.node_name.as_deref(),
        container: candidate.instance.container.as_deref(),
        account: account.map(|account| account.user.as_str()),
        data: description.data.first(),
        pid: candidate.instance.pid,
        is_stranger: stranger.is_some(),
    }
}

/// What may hold secrets in a configuration directory that is the home of the program, too: an archive brings thousands of
/// files along, and the data are below it.
fn beside_program(
    host: &dyn Host,
    seen_by: &Namespace,
    home: &HostPath,
    settings: &HostPath,
) -> Vec<(HostPath, Form)> {
    const DIRECTORIES: [&[u8]; 12] = [
        b"cert",
        b"certificates",
        b"certs",
        b"conf",
        b"config",
        b"inputs.d",
        b"keys",
        b"modules.d",
        b"pki",
        b"secrets",
        b"ssl",
        b"tls",
    ];
    const ENDINGS: [&[u8]; 7] =
        [b".bcfks", b".jks", b".key", b".p12", b".pem", b".pfx", b".pkcs12"];
    let file = settings.file_name().unwrap_or_default();
    let names = host.list(seen_by, home).unwrap_or_default();
    names
        .into_iter()
        .filter_map(|name| {
            let form = if DIRECTORIES.contains(&name.as_slice()) {
                Form::Directory
            } else if ENDINGS.iter().any(|ending| name.ends_with(ending)) {
                Form::Other
            } else if !file.is_empty() && name.starts_with(file) && name != file {
                // A copy that an editor or somebody has left.
                Form::Yaml
            } else {
                return None;
            };
            Some((home.join(name), form))
        })
        .collect()
}

/// Of a unit that does not run, the places that it would see otherwise than the host does are only assumed.
fn seen_otherwise(
    host: &dyn Host,
    instance: &Instance,
    service: &str,
    places: &[(Use, HostPath)],
    found: &mut Discovery,
) {
    let views = unit::views(host, &instance.unit_files);
    let mut told: Vec<&unit::View> = Vec::new();
    for (usage, path) in places {
        let Some(view) = views.iter().find(|view| path.is_at_or_below(&view.path)) else {
            continue;
        };
        let detail = format!("{} of {} has the service see other files there", view.key, view.file);
        let why = Trouble::new(Reason::Unreadable, detail);
        if !told.contains(&view) {
            told.push(view);
            let remedy = "start the service and scan again, or name the real paths in the agent's configuration";
            found.gaps.push(gap(&format!("{service}: {}", view.path), &why, remedy));
        }
        found.assumptions.push(Assumption {
            service: service.to_owned(),
            usage: *usage,
            path: path.clone(),
            namespace: instance.namespace.clone(),
            why,
        });
    }
}

fn write(
    host: &dyn Host,
    candidate: Candidate,
    description: Description,
    name: String,
    found: &mut Discovery,
) {
    let Candidate { instance, outputs, origin } = candidate;
    let Description { product, config, data, .. } = description;
    let mut places = description.places;
    places.push((Use::Config, config.clone()));
    places.extend(data.into_iter().map(|path| (Use::Data, path)));
    places.extend(outputs.into_iter().map(|path| (Use::Logs, path)));
    let open = open_files::written(host, &instance, &mut found.gaps);
    found.assumptions.extend(assumed::among(
        host,
        &instance,
        &name,
        description.guesses,
        &places,
        &open.places,
    ));
    if origin == Origin::Unit {
        seen_otherwise(host, &instance, &name, &places, found);
    }
    for (usage, path) in open.places {
        if !places.iter().any(|(_, known)| path.is_at_or_below(known)) {
            places.push((usage, path));
        }
    }
    found.held.extend(open.held.into_iter().map(|held| Target {
        path: held.directory,
        usage: held.usage,
        service: Some(name.clone()),
        namespace: held.namespace,
        resolution: held.file,
        nearest: None,
    }));
    if let Some(why) = &instance.cwd_doubt {
        let relative = places.iter().filter(|(_, path)| path.is_at_or_below(&instance.cwd));
        found.assumptions.extend(relative.map(|(usage, path)| Assumption {
            service: name.clone(),
            usage: *usage,
            path: path.clone(),
            namespace: instance.namespace.clone(),
            why: why.clone(),
        }));
    }
    found.places.extend(places.into_iter().map(|(usage, path)| Place {
        path,
        usage,
        service: Some(name.clone()),
        namespace: instance.namespace.clone(),
    }));
    let mut keystores = description.keystores;
    keystores.sort_unstable();
    keystores.dedup();
    let password_sources = password_sources::of(host, &instance);
    found.keystores.extend(keystores.into_iter().map(|(path, format)| KeystorePlace {
        path,
        namespace: instance.namespace.clone(),
        product: product.clone(),
        format,
        service: Some(name.clone()),
        run_as: instance.run_as.clone(),
        root: Observed::Absent,
        password_sources: password_sources.clone(),
    }));
    let configuration = |path: HostPath, form, namespace: &Namespace| secrets::Place {
        path,
        form,
        namespace: namespace.clone(),
        product: product.clone(),
        service: Some(name.clone()),
    };
    let mut own = description.configurations;
    if config == description.home {
        own.extend(beside_program(host, &instance.namespace, &config, &description.settings));
    } else {
        own.push((config.clone(), Form::Directory));
    }
    found
        .configurations
        .extend(own.into_iter().map(|(path, form)| configuration(path, form, &instance.namespace)));
    // systemd and /proc are the host's own.
    let of_form = |paths: Vec<HostPath>, form| paths.into_iter().map(move |path| (path, form));
    let mut hosts: Vec<(HostPath, Form)> = of_form(instance.unit_files, Form::Unit)
        .chain(of_form(instance.environment_files, Form::Variables))
        .collect();
    hosts.retain(|(path, _)| exists(host, &Namespace::Host, path));
    if let Some(pid) = instance.pid {
        hosts.push((HostPath::from(format!("/proc/{pid}/environ")), Form::Environment));
        hosts.push((HostPath::from(format!("/proc/{pid}/cmdline")), Form::Arguments));
    }
    found
        .configurations
        .extend(hosts.into_iter().map(|(path, form)| configuration(path, form, &Namespace::Host)));
    if instance.pid.is_some() {
        found.claims.extend(description.claims.into_iter().map(|(setting, source, values)| {
            Claim { service: name.clone(), setting, source, values }
        }));
    }
    found.endpoints.extend(
        description.endpoint.map(|endpoint| Endpoint { service: name.clone(), ..endpoint }),
    );
    if !description.stores.is_empty() {
        found.stores.insert(name.clone(), description.stores);
    }
    let mut roles = description.roles;
    roles.sort_unstable();
    roles.dedup();
    found.services.push(Service {
        product,
        name,
        state: if instance.pid.is_some() { "running" } else { "installed" }.to_owned(),
        version: description.version,
        cluster_name: description.cluster_name,
        cluster_uuid: None,
        node_name: description.node_name,
        roles,
        tiers: description.tiers,
        config_dir: Some(config.to_string()),
        pid: instance.pid,
    });
    found.gaps.extend(description.gaps);
}
