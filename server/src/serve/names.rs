//! What the server is called: in tokens, and in its certificate.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::config::{Config, host_of};

pub(crate) fn hostname() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}

/// `host:port`, for tokens.
pub(super) fn public_address(configured: &str, hostname: &str, bound: SocketAddr) -> String {
    let address = if configured.is_empty() { hostname } else { configured };
    let has_port = address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port { address.to_owned() } else { format!("{address}:{}", bound.port()) }
}

/// What the server's certificate is good for: the names that agents and operators may use.
pub(super) fn server_names(config: &Config, hostname: &str, public_address: &str) -> Vec<String> {
    let always = [hostname, "localhost", "127.0.0.1", "::1"];
    let mut seen = BTreeSet::new();
    always
        .into_iter()
        .chain(host_of(public_address))
        .chain(config.authority.server_names.iter().map(String::as_str))
        .filter(|name| seen.insert(*name))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_name_this_machine_unless_told_otherwise() {
        let bound = SocketAddr::from(([0, 0, 0, 0], 7443));
        assert_eq!(public_address("", "srv", bound), "srv:7443");
        assert_eq!(public_address("atrest.example", "srv", bound), "atrest.example:7443");
        assert_eq!(public_address("atrest.example:443", "srv", bound), "atrest.example:443");
        assert_eq!(public_address("[2001:db8::1]:443", "srv", bound), "[2001:db8::1]:443");
    }

    #[test]
    fn names_are_each_there_once() {
        let mut config = Config::default();
        config.authority.server_names = vec!["atrest.example".to_owned(), "localhost".to_owned()];
        let names = server_names(&config, "srv", "atrest.example:7443");
        assert_eq!(names, ["srv", "localhost", "127.0.0.1", "::1", "atrest.example"]);
    }
}
