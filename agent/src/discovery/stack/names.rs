//! What tells the instances of a host apart: the same after a restart, and in whatever order they were found.

use std::collections::{BTreeMap, BTreeSet};

use super::Package;
use crate::discovery::instance::Instance;
use crate::host::Host;
use crate::path::HostPath;
use crate::snapshot::Namespace;

/// What the name of an instance is made of.
pub(in crate::discovery) struct Naming<'a> {
    pub(in crate::discovery) product: &'a str,
    pub(in crate::discovery) package: Option<&'a Package>,
    pub(in crate::discovery) config: &'a HostPath,
    /// The last file of settings that is read.
    pub(in crate::discovery) settings: &'a HostPath,
    /// It is the file that would be read without being told.
    pub(in crate::discovery) is_usual: bool,
    pub(in crate::discovery) node_name: Option<&'a str>,
}

/// What tells this instance from others of the host, the same after a restart.
pub(in crate::discovery) fn name(
    host: &dyn Host,
    instance: &Instance,
    naming: &Naming<'_>,
) -> String {
    let &Naming { product, package, config, settings, is_usual, node_name } = naming;
    if let Some(container) = &instance.container {
        let hostname = || {
            let path = HostPath::from("/etc/hostname");
            let bytes = host.read(&instance.namespace, &path, 4096).ok()?;
            let name = String::from_utf8_lossy(&bytes).trim().to_owned();
            (!name.is_empty() && instance.namespace != Namespace::Host).then_some(name)
        };
        let name = node_name
            .map(str::to_owned)
            .or_else(hostname)
            .unwrap_or_else(|| short(container).to_owned());
        return format!("{product}:{name}");
    }
    if !is_usual {
        return format!("{product}:{settings}");
    }
    package
        .filter(|package| package.config == *config)
        .map_or_else(|| format!("{product}:{config}"), |package| package.name.clone())
}

/// As the engines show the id of a container.
fn short(container: &str) -> &str {
    container.get(..12).unwrap_or(container)
}

/// What may tell an instance from others that would have its name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) product: &'a str,
    /// What it is called when it is the only one.
    pub(super) name: &'a str,
    pub(super) node_name: Option<&'a str>,
    /// The id of its container.
    pub(super) container: Option<&'a str>,
    /// That it runs as.
    pub(super) account: Option<&'a str>,
    /// Its first data directory.
    pub(super) data: Option<&'a HostPath>,
    pub(super) pid: Option<i32>,
    /// It claims what is installed for others: it takes nobody's name, and changes none.
    pub(super) is_stranger: bool,
}

impl Named<'_> {
    /// Names that may be its own, the most telling first. What is last is another one after each start.
    fn choices(&self) -> [Option<String>; 5] {
        let Self { product, name, .. } = *self;
        [
            self.node_name.map(|node| format!("{name}:{node}")),
            self.container.map(|container| format!("{product}:{}", short(container))),
            self.account.map(|account| format!("{name}:@{account}")),
            self.data.map(|data| format!("{name}:{data}")),
            self.pid.map(|pid| format!("{name}#{pid}")),
        ]
    }
}

/// One name for each, no two of them the same unless nothing tells them apart, whatever their order.
pub(super) fn distinct(named: &[Named<'_>]) -> Vec<String> {
    let mut names: Vec<String> = named.iter().map(|one| one.name.to_owned()).collect();
    let mut groups: BTreeMap<(bool, &str, &str), Vec<usize>> = BTreeMap::new();
    for (at, one) in named.iter().enumerate() {
        groups.entry((one.is_stranger, one.product, one.name)).or_default().push(at);
    }
    for ((is_stranger, product, name), members) in &groups {
        let is_taken = *is_stranger && groups.contains_key(&(false, *product, *name));
        if members.len() == 1 && !is_taken {
            continue;
        }
        let of = |at: &usize| named.get(*at).map(Named::choices).unwrap_or_default();
        let choices: Vec<[Option<String>; 5]> = members.iter().map(of).collect();
        // Strangers say themselves what their nodes are called and where they write.
        let first = if *is_stranger { 2 } else { 0 };
        let telling = (first..5).find(|kind| {
            let own = choices.iter().filter_map(|choices| choices.get(*kind)?.as_ref());
            own.collect::<BTreeSet<_>>().len() == members.len()
        });
        for (at, mut choices) in members.iter().zip(choices) {
            let choice = telling.and_then(|kind| choices.get_mut(kind)?.take());
            // Without a number it does not run, and what is installed twice is one.
            let choice = choice.or_else(|| choices.into_iter().rev().flatten().next());
            if let (Some(name), Some(choice)) = (names.get_mut(*at), choice) {
                *name = choice;
            }
        }
    }
    // A stranger may still have made up a name that another has.
    let mut counts: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for (one, name) in named.iter().zip(&names) {
        *counts.entry((one.product, name.clone())).or_default() += 1;
    }
    for (one, name) in named.iter().zip(&mut names).filter(|(one, _)| one.is_stranger) {
        if counts.get(&(one.product, name.clone())).is_some_and(|count| *count > 1) {
            *name = format!("{}#{}", one.name, one.pid.unwrap_or_default());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ONE: Named<'static> = Named {
        product: "elasticsearch",
        name: "elasticsearch",
        node_name: None,
        container: None,
        account: Some("es"),
        data: None,
        pid: None,
        is_stranger: false,
    };

    fn names(named: &[Named<'_>]) -> Vec<String> {
        let names = distinct(named);
        // In whatever order.
        let reversed: Vec<Named<'_>> = named.iter().rev().copied().collect();
        let again: Vec<String> = distinct(&reversed).into_iter().rev().collect();
        assert_eq!(names, again);
        names
    }

    #[test]
    fn one_instance_has_the_plain_name() {
        assert_eq!(names(&[ONE]), ["elasticsearch"]);
        let other = Named { product: "opensearch", name: "opensearch", ..ONE };
        assert_eq!(names(&[ONE, other]), ["elasticsearch", "opensearch"]);
    }

    #[test]
    fn several_are_told_apart_by_what_tells_most() {
        let (a, b) = (HostPath::from("/d/a"), HostPath::from("/d/b"));
        let (one, other) = ("ab".repeat(32), "cd".repeat(32));
        for (first, second, expected) in [
            (
                Named { node_name: Some("n1"), account: Some("x"), ..ONE },
                Named { node_name: Some("n2"), ..ONE },
                ["elasticsearch:n1", "elasticsearch:n2"],
            ),
            (
                Named { account: Some("x"), data: Some(&a), ..ONE },
                Named { data: Some(&b), ..ONE },
                ["elasticsearch:@x", "elasticsearch:@es"],
            ),
            (
                Named { data: Some(&a), pid: Some(7), ..ONE },
                Named { data: Some(&b), pid: Some(8), ..ONE },
                ["elasticsearch:/d/a", "elasticsearch:/d/b"],
            ),
            // Only one of them has a node name.
            (
                Named { node_name: Some("n1"), data: Some(&a), ..ONE },
                Named { data: Some(&b), ..ONE },
                ["elasticsearch:/d/a", "elasticsearch:/d/b"],
            ),
            (
                Named { name: "elasticsearch:n", container: Some(&one), ..ONE },
                Named { name: "elasticsearch:n", container: Some(&other), ..ONE },
                ["elasticsearch:abababababab", "elasticsearch:cdcdcdcdcdcd"],
            ),
            (
                Named { data: Some(&a), pid: Some(7), ..ONE },
                Named { data: Some(&a), pid: Some(8), ..ONE },
                ["elasticsearch#7", "elasticsearch#8"],
            ),
        ] {
            assert_eq!(names(&[first, second]), expected);
        }
    }

    #[test]
    fn a_stranger_takes_nobodys_name() {
        let stranger = Named {
            account: Some("mallory"),
            node_name: Some("es-1"),
            pid: Some(66),
            is_stranger: true,
            ..ONE
        };
        assert_eq!(names(&[ONE, stranger]), ["elasticsearch", "elasticsearch:@mallory"]);
        let other = Named { pid: Some(67), ..stranger };
        assert_eq!(
            names(&[ONE, stranger, other]),
            ["elasticsearch", "elasticsearch#66", "elasticsearch#67"]
        );
        let posing = Named { name: "elasticsearch:@mallory", account: None, ..ONE };
        assert_eq!(names(&[ONE, posing, stranger]).last().unwrap(), "elasticsearch#66");
    }

    proptest! {
        #[test]
        fn names_do_not_depend_on_the_order(
            instances in proptest::collection::vec(
                ("[ab]", proptest::option::of("[xy]"), proptest::option::of("[mn]"), any::<bool>()),
                0..6,
            ),
        ) {
            let named: Vec<Named<'_>> = (1..)
                .zip(&instances)
                .map(|(pid, (name, node, account, is_stranger))| Named {
                    name,
                    node_name: node.as_deref(),
                    account: account.as_deref(),
                    pid: Some(pid),
                    is_stranger: *is_stranger,
                    ..ONE
                })
                .collect();
            let names: BTreeSet<String> = names(&named).into_iter().collect();
            prop_assert_eq!(names.len(), named.len());
        }
    }
}
