//! Which addresses are Azure's own: only there anything is shown, and only what is said there is proof. Pure.

use reqwest::Url;

use crate::repository::kind::Azure;

/// A cloud of Azure's: the domain of its blob services, and its resource manager. "Compare Azure Government and global Azure",
/// and "Developer guide" of Azure China.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cloud {
    blobs: &'static str,
    pub(super) manager: &'static str,
}

const CLOUDS: [Cloud; 4] = [
    Cloud { blobs: ".blob.core.windows.net", manager: "https://management.azure.com/" },
    // "Azure DNS zone endpoints": ACCOUNT.zNN.blob.storage.azure.net.
    Cloud { blobs: ".blob.storage.azure.net", manager: "https://management.azure.com/" },
    Cloud {
        blobs: ".blob.core.usgovcloudapi.net",
        manager: "https://management.usgovcloudapi.net/",
    },
    Cloud { blobs: ".blob.core.chinacloudapi.cn", manager: "https://management.chinacloudapi.cn/" },
];

/// Where a container is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) base: Url,
    /// `None`: it is none of Azure's.
    pub(super) cloud: Option<&'static Cloud>,
    /// As the address names it, or the settings.
    pub(super) account: String,
}

/// Why there is no address to ask at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    /// The node has the account in its keystore.
    Account,
    /// The node names an address that is none of Azure's: only the agent's own configuration may have such one asked.
    NotAzures,
    /// It is no address of HTTP.
    Address,
}

/// The endpoint of a repository.
pub(super) fn of(repository: &Azure) -> Result<Endpoint, Unknown> {
    if let Some(endpoint) = &repository.endpoint {
        return at(endpoint, repository.account.as_deref()).ok_or(Unknown::Address);
    }
    let found = match (&repository.node_endpoint, &repository.account) {
        (Some(endpoint), account) => at(endpoint, account.as_deref()),
        (None, Some(account)) => {
            let suffix = repository.suffix.as_deref().unwrap_or("core.windows.net");
            at(&format!("https://{account}.blob.{suffix}"), Some(account))
        }
        (None, None) => return Err(Unknown::Account),
    };
    found.filter(|endpoint| endpoint.cloud.is_some()).ok_or(Unknown::NotAzures)
}

fn at(text: &str, account: Option<&str>) -> Option<Endpoint> {
    let mut base: Url = text.parse().ok()?;
    let cloud = cloud(&base);
    let is_http = matches!(base.scheme(), "http" | "https") && base.has_host();
    let is_bare = base.set_username("").and_then(|()| base.set_password(None)).is_ok();
    base.set_query(None);
    base.set_fragment(None);
    let host = base.host_str().unwrap_or_default();
    let named = host.split('.').next().unwrap_or_default();
    let named = named.strip_suffix("-secondary").unwrap_or(named);
    let account = match (cloud, account) {
        (None, Some(account)) => account.to_owned(),
        (Some(_) | None, _) => named.to_owned(),
    };
    (is_http && is_bare).then_some(Endpoint { base, cloud, account })
}

/// By the exact form of its name, over TLS.
fn cloud(url: &Url) -> Option<&'static Cloud> {
    let is_plain = url.scheme() == "https"
        && url.port().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let host = url.host_str().filter(|_| is_plain)?;
    CLOUDS.iter().find(|cloud| {
        let Some(before) = host.strip_suffix(cloud.blobs) else { return false };
        let is_zone = |zone: &str| {
            zone.len() == 3
                && zone.strip_prefix('z').is_some_and(|number| number.parse::<u8>().is_ok())
        };
        let account = if cloud.blobs == ".blob.storage.azure.net" {
            before.split_once('.').filter(|(_, zone)| is_zone(zone)).map(|(account, _)| account)
        } else {
            Some(before)
        };
        account.is_some_and(is_account)
    })
}

/// "Storage account name": 3 to 24 lower-case letters and digits; its copy in another region has `-secondary` after it.
fn is_account(name: &str) -> bool {
    let name = name.strip_suffix("-secondary").unwrap_or(name);
    (3..=24).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// The address of a container.
pub(super) fn container(base: &Url, name: &str) -> Option<Url> {
    // "Naming containers": `$root` and the like are no places for snapshots.
    let is_its = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !(3..=63).contains(&name.len()) || !name.bytes().all(is_its) {
        return None;
    }
    let mut url = base.clone();
    url.path_segments_mut().ok()?.pop_if_empty().push(name);
    Some(url)
}

/// The address of a resource, which has to be the account that is asked: another's key says nothing of this one.
pub(super) fn resource(cloud: &Cloud, id: &str, account: &str, below: &[&str]) -> Option<Url> {
    let parts: Vec<&str> = id.trim_matches('/').split('/').collect();
    // "/subscriptions/S/resourceGroups/G/providers/Microsoft.Storage/storageAccounts/NAME", of which letters may be large.
    let [subscriptions, _, groups, _, providers, provider, kind, name] = parts.as_slice() else {
        return None;
    };
    let are_known = [
        (subscriptions, "subscriptions"),
        (groups, "resourcegroups"),
        (providers, "providers"),
        (provider, "microsoft.storage"),
        (kind, "storageaccounts"),
        (name, account),
    ];
    let is_known = |(part, known): &(&&str, &str)| part.eq_ignore_ascii_case(known);
    let is_path = |part: &&str| [".", "..", ""].contains(part);
    if !are_known.iter().all(is_known) || parts.iter().any(is_path) {
        return None;
    }
    let mut url: Url = cloud.manager.parse().ok()?;
    url.path_segments_mut().ok()?.pop_if_empty().extend(&parts).extend(below);
    url.query_pairs_mut().append_pair("api-version", "2023-01-01");
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn azure(settings: [Option<&str>; 4]) -> Azure {
        let [account, endpoint, node_endpoint, suffix] = settings.map(|one| one.map(str::to_owned));
        Azure {
            account,
            container: "es".to_owned(),
            base_path: String::new(),
            endpoint,
            node_endpoint,
            suffix,
            sas_file: None,
            resource_id: None,
        }
    }

    #[test]
    fn azures_own_are_known_by_their_names_over_tls() {
        for (address, expected) in [
            ("https://acme.blob.core.windows.net", Some("acme")),
            ("https://acme.blob.core.windows.net:443/", Some("acme")),
            ("https://acme-secondary.blob.core.windows.net/", Some("acme")),
            ("https://acme.blob.core.usgovcloudapi.net", Some("acme")),
            ("https://acme.blob.core.chinacloudapi.cn", Some("acme")),
            ("https://acme.z07.blob.storage.azure.net", Some("acme")),
            ("https://acme.evil.blob.storage.azure.net", None),
            ("https://acme.blob.storage.azure.net", None),
            ("http://acme.blob.core.windows.net", None),
            ("https://acme.blob.core.windows.net:444", None),
            ("https://acme.blob.core.windows.net/container", None),
            ("https://acme.blob.core.windows.net/?comp=x", None),
            ("https://a.b.blob.core.windows.net", None),
            ("https://blob.core.windows.net", None),
            ("https://acme.web.core.windows.net", None),
            ("https://acme.blob.core.windows.net.evil.example", None),
            ("https://acme.blob.core.windows.net@evil.example", None),
            ("http://127.0.0.1:10000/devstoreaccount1", None),
        ] {
            let found = of(&azure([None, Some(address), None, None])).unwrap();
            assert_eq!(found.cloud.map(|_| found.account.as_str()), expected, "{address}");
        }
    }

    #[test]
    fn only_the_agents_own_settings_have_others_asked() {
        let own = "http://127.0.0.1:10000/devstoreaccount1";
        let azures = "https://acme.blob.core.windows.net";
        let base = |settings| of(&azure(settings)).map(|found| found.base.to_string());
        assert_eq!(base([None, Some(own), Some(azures), None]), Ok(own.to_owned()));
        assert_eq!(base([None, None, Some(own), None]), Err(Unknown::NotAzures));
        assert_eq!(base([None, None, Some(azures), None]), Ok(format!("{azures}/")));
        assert_eq!(base([Some("acme"), None, None, None]), Ok(format!("{azures}/")));
        let government = "https://acme.blob.core.usgovcloudapi.net/";
        let suffix = Some("core.usgovcloudapi.net");
        assert_eq!(base([Some("acme"), None, None, suffix]), Ok(government.to_owned()));
        assert_eq!(base([Some("acme"), None, None, Some("evil.example")]), Err(Unknown::NotAzures));
        assert_eq!(base([Some("evil.example/"), None, None, None]), Err(Unknown::NotAzures));
        assert_eq!(base([None, None, None, None]), Err(Unknown::Account));
        assert_eq!(base([None, Some("acme"), None, None]), Err(Unknown::Address));
    }

    #[test]
    fn a_container_is_one_part_of_the_path() {
        let base = "http://127.0.0.1:1/dev/".parse().unwrap();
        let shown = |name| container(&base, name).map(|url| url.to_string());
        assert_eq!(shown("es-snap").as_deref(), Some("http://127.0.0.1:1/dev/es-snap"));
        for name in ["", "a/b", "..", "a?b", "$root", "ES-SNAP"] {
            assert_eq!(shown(name), None, "{name}");
        }
    }

    #[test]
    fn a_resource_is_that_of_the_account() {
        let id =
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/acme";
        let cloud = &CLOUDS[0];
        let shown = resource(cloud, id, "acme", &["encryptionScopes", "x"]).unwrap().to_string();
        let expected =
            format!("https://management.azure.com{id}/encryptionScopes/x?api-version=2023-01-01");
        assert_eq!(shown, expected);
        for (id, account) in [
            (id, "other"),
            ("/subscriptions/s", "acme"),
            (
                "/subscriptions/../resourceGroups/g/providers/Microsoft.Storage/storageAccounts/acme",
                "acme",
            ),
            (
                "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/storageAccounts/acme",
                "acme",
            ),
        ] {
            assert_eq!(resource(cloud, id, account, &[]), None, "{id}");
        }
    }
}
