//! The way to the stores: authorities, proxy, limits. The same for all of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_sdk_s3::config::{RuntimeComponents, SharedHttpClient};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use thiserror::Error;

use super::Settings;
use super::words::chain;

/// Of one connection.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// Of a connection to the service of instances.
const METADATA: Duration = Duration::from_secs(1);
/// Of one answer.
pub(super) const ANSWER: Duration = Duration::from_secs(15);
/// A file with the authorities of a company has a few hundred KiB.
const AUTHORITIES: u64 = 1 << 20;
/// Where clouds and this host itself answer: never by a proxy.
const NOT_BY_PROXY: &str = "localhost,127.0.0.1,[::1],169.254.169.254,169.254.170.2,169.254.170.23,\
                            [fd00:ec2::254],metadata.google.internal";

/// Why no way can be set up.
#[derive(Debug, Error)]
pub(super) enum HttpError {
    #[error("remote_repositories.ca_file {}: {source}", path.display())]
    Authorities { path: PathBuf, source: std::io::Error },
    #[error("remote_repositories.ca_file {}: no certificate in PEM stands in it", path.display())]
    NoAuthorities { path: PathBuf },
    #[error("remote_repositories.proxy: {detail}")]
    Proxy { detail: String },
}

/// What clients of stores are made with.
#[derive(Debug)]
pub(super) struct Http {
    authorities: Option<Vec<u8>>,
    proxy: Option<String>,
}

impl Http {
    /// Reads what the settings name.
    pub(super) fn new(settings: &Settings) -> Result<Self, HttpError> {
        let authorities = settings.ca_file.as_deref().map(authorities).transpose()?;
        if let Some(proxy) = &settings.proxy {
            ProxyConfig::all(proxy.clone())
                .map_err(|error| HttpError::Proxy { detail: error.to_string() })?;
        }
        Ok(Self { authorities, proxy: settings.proxy.clone() })
    }

    /// For the clients of Amazon's crates.
    pub(super) fn aws(&self) -> Result<SharedHttpClient, String> {
        let mut trust = TrustStore::empty().with_native_roots(true);
        if let Some(pem) = &self.authorities {
            trust = trust.with_pem_certificate(pem.clone());
        }
        let tls = TlsContext::builder().with_trust_store(trust).build();
        let tls = tls.map_err(|error| error.to_string())?;
        let proxy = match &self.proxy {
            Some(proxy) => ProxyConfig::all(proxy.clone())
                .map_err(|error| error.to_string())?
                .no_proxy(NOT_BY_PROXY),
            None => ProxyConfig::from_env(),
        };
        Ok(aws_smithy_http_client::Builder::new().build_with_connector_fn(
            move |settings, components| {
                let mut connector = aws_smithy_http_client::Connector::builder()
                    .tls_provider(Provider::Rustls(CryptoMode::Ring))
                    .tls_context(tls.clone())
                    .proxy_config(proxy.clone());
                connector.set_connector_settings(settings.cloned());
                connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
                connector.build()
            },
        ))
    }

    /// For all others. Redirects are not followed: they could lead credentials elsewhere.
    pub(super) fn client(&self) -> Result<reqwest::Client, String> {
        let mut builder = plain(CONNECT);
        if let Some(pem) = &self.authorities {
            let found =
                reqwest::Certificate::from_pem_bundle(pem).map_err(|error| error.to_string())?;
            builder = builder.tls_certs_merge(found);
        }
        if let Some(proxy) = &self.proxy {
            let proxy = reqwest::Proxy::all(proxy).map_err(|error| error.to_string())?;
            builder = builder.proxy(proxy.no_proxy(reqwest::NoProxy::from_string(NOT_BY_PROXY)));
        }
        builder.build().map_err(|error| chain(&error))
    }
}

/// For the service of a cloud that tells an instance of itself: it is next door, or not there. Never by a proxy.
pub(super) fn metadata_client() -> Result<reqwest::Client, String> {
    plain(METADATA).no_proxy().build().map_err(|error| chain(&error))
}

fn plain(connect: Duration) -> reqwest::ClientBuilder {
    // The crate wants one for the whole process. Where there is one already, it is the same.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder()
        .connect_timeout(connect)
        .timeout(ANSWER)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("atrest-agent/", env!("CARGO_PKG_VERSION")))
}

fn authorities(path: &Path) -> Result<Vec<u8>, HttpError> {
    use std::io::Read as _;
    let failed = |source| HttpError::Authorities { path: path.to_owned(), source };
    let mut pem = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(AUTHORITIES).read_to_end(&mut pem).map_err(failed)?;
    if !String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE-----") {
        return Err(HttpError::NoAuthorities { path: path.to_owned() });
    }
    Ok(pem)
}
