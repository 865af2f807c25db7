//! How configuration files and the kernel's command line name a device.

use crate::path::HostPath;

/// The node that a name such as `UUID=…` or `/dev/sda2` stands for; `None` when it is not such a name.
pub fn node(name: &str) -> Option<HostPath> {
    /// The links that udev keeps for each kind of name.
    const LINKS: [(&str, &str); 4] = [
        ("UUID=", "/dev/disk/by-uuid"),
        ("LABEL=", "/dev/disk/by-label"),
        ("PARTUUID=", "/dev/disk/by-partuuid"),
        ("PARTLABEL=", "/dev/disk/by-partlabel"),
    ];
    let name = name.trim().trim_matches('"');
    let linked = LINKS.iter().find_map(|(prefix, directory)| {
        let value = name.strip_prefix(prefix)?.trim_matches('"');
        let is_one_component =
            !value.is_empty() && value != "." && value != ".." && !value.contains('/');
        is_one_component.then(|| HostPath::from(*directory).join(value))
    });
    linked.or_else(|| {
        let is_node = name.strip_prefix("/dev/").is_some_and(|rest| !rest.is_empty());
        is_node.then(|| HostPath::from(name).normalised())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_kind_of_name_leads_to_its_node() {
        for (name, expected) in [
            ("UUID=1234-AB", "/dev/disk/by-uuid/1234-AB"),
            ("LABEL=\"crash\"", "/dev/disk/by-label/crash"),
            ("PARTUUID=x", "/dev/disk/by-partuuid/x"),
            ("PARTLABEL=y", "/dev/disk/by-partlabel/y"),
            ("/dev/vg/swap", "/dev/vg/swap"),
        ] {
            assert_eq!(node(name), Some(expected.into()), "{name}");
        }
        for name in ["", "UUID=", "UUID=../../sda", "/dev/", "sda2", "8:3", "LABEL=.."] {
            assert_eq!(node(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_node_is_below_dev(name in "\\PC{0,30}|(UUID=|LABEL=|/dev/)\\PC{0,20}") {
            if let Some(node) = node(&name) {
                prop_assert!(node.is_at_or_below(&"/dev".into()));
            }
        }
    }
}
