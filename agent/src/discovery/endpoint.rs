//! Where the API of a running node is, and how it is told from another: what its settings and its process say.

use std::ops::RangeInclusive;

use atrest_proto::model::Reason;

use super::instance::Instance;
use super::process;
use crate::accounts::Accounts;
use crate::host::Host;
use crate::node_api::{Endpoint, sockets};
use crate::path::HostPath;
use crate::snapshot::{Namespace, Trouble};

/// The settings that are read for it. None of them is a secret.
pub(super) const SETTINGS: &[&str] = &[
    PORT,
    "xpack.security.enabled",
    "xpack.security.http.ssl.enabled",
    "xpack.security.http.ssl.certificate",
    "xpack.security.http.ssl.certificate_authorities",
    "plugins.security.disabled",
    "plugins.security.ssl.http.enabled",
    "plugins.security.ssl.http.pemcert_filepath",
    "plugins.security.ssl.http.pemtrustedcas_filepath",
    "opendistro_security.disabled",
    "opendistro_security.ssl.http.enabled",
    "opendistro_security.ssl.http.pemcert_filepath",
    "opendistro_security.ssl.http.pemtrustedcas_filepath",
];
const PORT: &str = "http.port";
/// `SETTING_HTTP_PORT` in `HttpTransportSettings.java`.
const DEFAULT_PORTS: RangeInclusive<u16> = 9200..=9300;
/// Settings that switch TLS on, unless one of the others has switched all of security off.
const TLS_ON: [&str; 3] = [
    "xpack.security.http.ssl.enabled",
    "plugins.security.ssl.http.enabled",
    "opendistro_security.ssl.http.enabled",
];
const SECURITY_OFF: [(&str, &str); 3] = [
    ("xpack.security.enabled", "false"),
    ("plugins.security.disabled", "true"),
    ("opendistro_security.disabled", "true"),
];
/// Settings that name files with the certificates of authorities, or with the node's own chain, in the configuration
/// directory.
const AUTHORITIES: [&str; 6] = [
    "xpack.security.http.ssl.certificate_authorities",
    "xpack.security.http.ssl.certificate",
    "plugins.security.ssl.http.pemtrustedcas_filepath",
    "plugins.security.ssl.http.pemcert_filepath",
    "opendistro_security.ssl.http.pemtrustedcas_filepath",
    "opendistro_security.ssl.http.pemcert_filepath",
];
/// Where Elasticsearch's automatic configuration, and OpenSearch's demo configuration, put their authority.
const USUAL_AUTHORITIES: [&str; 2] = ["certs/http_ca.crt", "root-ca.pem"];

/// The API of a node that runs.
///
/// `values` gives the values of a setting, of which there are none where the settings could not be read.
pub(super) fn of(
    host: &dyn Host,
    product: &str,
    service: &str,
    instance: &Instance,
    values: &dyn Fn(&str) -> Vec<String>,
    is_read: bool,
) -> Option<Endpoint> {
    let pid = instance.pid?;
    let files = AUTHORITIES.iter().flat_map(|setting| values(setting));
    let authorities = files.chain(USUAL_AUTHORITIES.map(str::to_owned));
    let listeners = ports(&values(PORT)).and_then(|ports| sockets::of_process(host, pid, &ports));
    Some(Endpoint {
        service: service.to_owned(),
        product: product.to_owned(),
        pid,
        own_pid: own_pid(host, pid),
        user: user(host, pid),
        namespace: instance.namespace.clone(),
        cwd: instance.cwd.clone(),
        listeners,
        // Where the settings could not be read, nothing else is trusted.
        tls: !is_read || is_tls(values),
        authorities: authorities.map(|file| instance.config.join(file)).collect(),
    })
}

/// Whether it speaks TLS.
fn is_tls(values: &dyn Fn(&str) -> Vec<String>) -> bool {
    let is = |key: &str, value: &str| values(key).first().is_some_and(|found| found == value);
    TLS_ON.iter().any(|key| is(key, "true"))
        && !SECURITY_OFF.iter().any(|(key, value)| is(key, value))
}

/// `9200`, `9200-9205`, or several of these: `PortsRange.java`.
fn ports(values: &[String]) -> Result<Vec<RangeInclusive<u16>>, Trouble> {
    if values.is_empty() {
        return Ok(vec![DEFAULT_PORTS]);
    }
    let range = |text: &String| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (first > 0 && first <= last).then_some(first..=last)
    };
    values.iter().map(range).collect::<Option<Vec<_>>>().ok_or_else(|| {
        Trouble::new(
            Reason::NotFound,
            format!("its setting `{PORT}` names no port that it can be asked on"),
        )
    })
}

/// The last number of `NSpid` in `/proc/PID/status`: what the process is called in the innermost pid namespace.
fn own_pid(host: &dyn Host, pid: i32) -> i32 {
    const STATUS: usize = 64 << 10;
    let path = HostPath::from(format!("/proc/{pid}/status"));
    let text = host.read(&Namespace::Host, &path, STATUS).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find_map(|line| line.strip_prefix("NSpid:"));
    line.and_then(|pids| pids.split_ascii_whitespace().next_back()?.parse().ok()).unwrap_or(pid)
}

/// The account that a process runs as, by the host's own names: what its own root says of names is in its own hands.
fn user(host: &dyn Host, pid: i32) -> Option<String> {
    let status = process::status(host, pid).ok()?;
    Some(Accounts::read(host, &Namespace::Host).unwrap_or_default().user(status.uid))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(values: &[String]) -> Option<Vec<RangeInclusive<u16>>> {
        ports(values).ok()
    }

    #[test]
    fn ports_are_one_a_range_or_several() {
        let ports = |values: &[&str]| {
            let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
            parsed(&values)
        };
        assert_eq!(ports(&[]), Some(vec![9200..=9300]));
        assert_eq!(ports(&["9201"]), Some(vec![9201..=9201]));
        assert_eq!(ports(&["9200-9205", " 9300 - 9301 "]), Some(vec![9200..=9205, 9300..=9301]));
        for odd in ["0", "x", "9300-9200", "70000", "-1", "9200-"] {
            assert_eq!(ports(&[odd]), None, "{odd}");
        }
    }

    #[test]
    fn tls_is_on_only_where_security_is() {
        let tls = |settings: &[(&str, &str)]| {
            let values = |key: &str| -> Vec<String> {
                let found = settings.iter().filter(|(name, _)| *name == key);
                found.map(|(_, value)| (*value).to_owned()).collect()
            };
            is_tls(&values)
        };
        assert!(tls(&[("xpack.security.http.ssl.enabled", "true")]));
        assert!(tls(&[("plugins.security.ssl.http.enabled", "true")]));
        assert!(!tls(&[]) && !tls(&[("xpack.security.http.ssl.enabled", "false")]));
        assert!(!tls(&[
            ("xpack.security.http.ssl.enabled", "true"),
            ("xpack.security.enabled", "false")
        ]));
        assert!(!tls(&[
            ("plugins.security.ssl.http.enabled", "true"),
            ("plugins.security.disabled", "true")
        ]));
    }

    #[test]
    fn every_setting_that_is_asked_for_is_kept() {
        let asked =
            TLS_ON.iter().chain(&AUTHORITIES).chain(SECURITY_OFF.iter().map(|(key, _)| key));
        for key in asked.chain([&PORT]) {
            assert!(SETTINGS.contains(key), "{key}");
        }
    }
}
