//! Which settings are secrets, product by product, and what each product has in place of plain text.
//!
//! From the reference documentation of the products; behind it a net for settings that are not listed, by the last word
//! of their name.

use super::{Instead, Kind};

/// One or many settings of a product. `*` stands for one or more characters; case, `_` and `-` make no difference.
struct Entry {
    pattern: &'static str,
    kind: Kind,
    twin: Twin,
}

/// What takes the place of a setting.
#[derive(Clone, Copy)]
enum Twin {
    /// The entry of the same name in the keystore.
    Same,
    /// An entry whose last part is another.
    Last(&'static str),
    /// An entry with this at its end.
    Suffix(&'static str),
    /// The same after a change of prefix: settings that were renamed.
    Renamed(&'static str, &'static str, &'static str),
    /// `${NAME}` in the setting.
    Reference,
    None,
}

const fn password(pattern: &'static str, twin: Twin) -> Entry {
    Entry { pattern, kind: Kind::Password, twin }
}

const fn key(pattern: &'static str, twin: Twin) -> Entry {
    Entry { pattern, kind: Kind::Key, twin }
}

const fn token(pattern: &'static str, twin: Twin) -> Entry {
    Entry { pattern, kind: Kind::Token, twin }
}

/// A product, or several that are configured alike.
pub struct Family {
    entries: &'static [Entry],
    /// What a setting has that is not listed.
    otherwise: Twin,
    /// The command that puts an entry into the keystore; its name follows.
    pub tool: Option<&'static str>,
}

/// The family of a product. Of one that is not known only the net counts.
pub fn family(product: &str) -> &'static Family {
    match product {
        "elasticsearch" => &ELASTICSEARCH,
        "opensearch" | "wazuh-indexer" => &OPENSEARCH,
        "kibana" => &KIBANA,
        "logstash" => &LOGSTASH,
        "filebeat" => &FILEBEAT,
        "metricbeat" => &METRICBEAT,
        "apm-server" => &APM_SERVER,
        product if product.contains("dashboards") || product == "wazuh-dashboard" => &DASHBOARDS,
        product if product.ends_with("beat") => &BEATS,
        product if product.contains("agent") || product.contains("fleet") => &AGENT,
        _ => &OTHER,
    }
}

static ELASTICSEARCH: Family = Family {
    entries: ELASTICSEARCH_ENTRIES,
    otherwise: Twin::None,
    tool: Some("/usr/share/elasticsearch/bin/elasticsearch-keystore add"),
};

/// "Secure settings", "Security settings", "Watcher settings", "Monitoring settings" and the repository pages of the
/// Elasticsearch reference.
static ELASTICSEARCH_ENTRIES: &[Entry] = &[
    password("*ssl.keystore.password", Twin::Last("secure_password")),
    password("*ssl.keystore.key_password", Twin::Last("secure_key_password")),
    password("*ssl.truststore.password", Twin::Last("secure_password")),
    password("*ssl.key_passphrase", Twin::Last("secure_key_passphrase")),
    password("*ssl.*secure_password", Twin::Same),
    password("*ssl.*secure_key_password", Twin::Same),
    password("*ssl.*secure_key_passphrase", Twin::Same),
    password("xpack.security.authc.realms.*.bind_password", Twin::Last("secure_bind_password")),
    password("xpack.security.authc.realms.*.secure_bind_password", Twin::Same),
    // SAML.
    password("xpack.security.authc.realms.*.keystore.password", Twin::Last("secure_password")),
    password(
        "xpack.security.authc.realms.*.keystore.key_password",
        Twin::Last("secure_key_password"),
    ),
    password("xpack.security.authc.realms.*.key_passphrase", Twin::Last("secure_key_passphrase")),
    key("xpack.security.authc.realms.*.rp.client_secret", Twin::Same),
    // JWT.
    key("xpack.security.authc.realms.*.hmac_key", Twin::Same),
    key("xpack.security.authc.realms.*.hmac_jwkset", Twin::Same),
    key("xpack.security.authc.realms.*.client_authentication.shared_secret", Twin::Same),
    password("xpack.security.authc.realms.*.http.proxy.password", Twin::Same),
    password("xpack.notification.email.account.*.smtp.password", Twin::Last("secure_password")),
    password("xpack.notification.email.account.*.smtp.secure_password", Twin::Same),
    // The address of a Slack hook is its password.
    key("xpack.notification.slack.account.*.url", Twin::Last("secure_url")),
    key("xpack.notification.slack.account.*.secure_url", Twin::Same),
    password("xpack.notification.jira.account.*.password", Twin::Last("secure_password")),
    password("xpack.notification.jira.account.*.secure_password", Twin::Same),
    key(
        "xpack.notification.pagerduty.account.*.service_api_key",
        Twin::Last("secure_service_api_key"),
    ),
    key("xpack.notification.pagerduty.account.*.secure_service_api_key", Twin::Same),
    token("xpack.notification.hipchat.account.*.auth_token", Twin::Last("secure_auth_token")),
    password("xpack.notification.*.password", Twin::Last("secure_password")),
    password("xpack.monitoring.exporters.*.auth.password", Twin::Last("secure_password")),
    password("xpack.monitoring.exporters.*.auth.secure_password", Twin::Same),
    key("xpack.watcher.encryption_key", Twin::Same),
    password("bootstrap.password", Twin::Same),
    key("keystore.seed", Twin::None),
    password("autoconfiguration.password_hash", Twin::Same),
    key("cluster.remote.*.credentials", Twin::Same),
    password("cluster.state.encryption.password.*", Twin::Same),
    key("discovery.ec2.access_key", Twin::Same),
    key("discovery.ec2.secret_key", Twin::Same),
    key("discovery.ec2.session_token", Twin::Same),
    password("discovery.ec2.proxy.password", Twin::Same),
    key("s3.client.*.access_key", Twin::Same),
    key("s3.client.*.secret_key", Twin::Same),
    token("s3.client.*.session_token", Twin::Same),
    password("s3.client.*.proxy.password", Twin::Same),
    key("azure.client.*.key", Twin::Same),
    token("azure.client.*.sas_token", Twin::Same),
    key("gcs.client.*.credentials_file", Twin::Same),
    key("cloud.aws.*access_key", Twin::None),
    key("cloud.aws.*secret_key", Twin::None),
    key("repositories.s3.access_key", Twin::None),
    key("repositories.s3.secret_key", Twin::None),
    key("cloud.azure.storage.*.key", Twin::None),
    key("ingest.geoip.downloader.maxmind.license_key", Twin::Same),
    token("ingest.ip_location.downloader.ipinfo.token", Twin::Same),
    token("telemetry.secret_token", Twin::Same),
    key("telemetry.api_key", Twin::Same),
    token("tracing.apm.secret_token", Twin::Same),
    key("tracing.apm.api_key", Twin::Same),
];

static OPENSEARCH: Family = Family {
    entries: &[
        // "TLS certificates" of the OpenSearch documentation: secure variants since 2.8.
        password("plugins.security.ssl.*password_secure", Twin::Same),
        password("plugins.security.ssl.*keypassword_secure", Twin::Same),
        password("plugins.security.ssl.*keystore_password", Twin::Suffix("_secure")),
        password("plugins.security.ssl.*keystore_keypassword", Twin::Suffix("_secure")),
        password("plugins.security.ssl.*truststore_password", Twin::Suffix("_secure")),
        password("plugins.security.ssl.*pemkey_password", Twin::Suffix("_secure")),
        password(
            "opendistro_security.ssl.*password",
            Twin::Renamed("opendistro_security", "plugins.security", "_secure"),
        ),
        password("*audit*.config.password", Twin::None),
        key("*.signing_key", Twin::None),
        key("*.exchange_key", Twin::None),
        password("plugins.alerting.destination.email.*.password", Twin::Same),
        password("opensearch.notifications.core.email.*.password", Twin::Same),
        key("plugins.query.datasources.encryption.masterkey", Twin::None),
        key("plugins.query.federation.datasources.*.auth.*", Twin::None),
        password("bootstrap.password", Twin::Same),
        key("keystore.seed", Twin::None),
        key("discovery.ec2.access_key", Twin::Same),
        key("discovery.ec2.secret_key", Twin::Same),
        token("discovery.ec2.session_token", Twin::Same),
        key("s3.client.*.access_key", Twin::Same),
        key("s3.client.*.secret_key", Twin::Same),
        token("s3.client.*.session_token", Twin::Same),
        password("s3.client.*.proxy.password", Twin::Same),
        key("azure.client.*.key", Twin::Same),
        token("azure.client.*.sas_token", Twin::Same),
        key("gcs.client.*.credentials_file", Twin::Same),
        password("reindex.ssl.keystore.password", Twin::Last("secure_password")),
        password("reindex.ssl.keystore.key_password", Twin::Last("secure_key_password")),
        password("reindex.ssl.truststore.password", Twin::Last("secure_password")),
        password("reindex.ssl.key_passphrase", Twin::Last("secure_key_passphrase")),
    ],
    otherwise: Twin::None,
    tool: Some("/usr/share/opensearch/bin/opensearch-keystore add"),
};

/// Any setting may be an entry of Kibana's keystore.
static KIBANA: Family = Family {
    entries: KIBANA_ENTRIES,
    otherwise: Twin::Same,
    tool: Some("/usr/share/kibana/bin/kibana-keystore add"),
};

static KIBANA_ENTRIES: &[Entry] = &[
    token("elasticsearch.serviceAccountToken", Twin::Same),
    password("*ssl.keyPassphrase", Twin::Same),
    password("*ssl.keystore.password", Twin::Same),
    password("*ssl.truststore.password", Twin::Same),
    key("*.encryptionKey", Twin::Same),
    key("xpack.encryptedSavedObjects.keyRotation.decryptionOnlyKeys", Twin::Same),
    key("xpack.actions.preconfigured.*.secrets.*", Twin::Same),
    key("xpack.fleet.outputs.*.secrets.*", Twin::Same),
    token("elastic.apm.secretToken", Twin::Same),
    key("elastic.apm.apiKey", Twin::Same),
];

static DASHBOARDS: Family = Family {
    entries: &[
        password("opensearch.password", Twin::Same),
        password("opensearch_security.cookie.password", Twin::Same),
        key("opensearch_security.openid.client_secret", Twin::Same),
        password("*ssl.keyPassphrase", Twin::Same),
        password("*ssl.keystore.password", Twin::Same),
        password("*ssl.truststore.password", Twin::Same),
        key("data_source.encryption.wrappingKey", Twin::Same),
    ],
    otherwise: Twin::Same,
    tool: Some("/usr/share/opensearch-dashboards/bin/opensearch-dashboards-keystore add"),
};

static LOGSTASH: Family = Family {
    entries: &[
        password("*.elasticsearch.password", Twin::Reference),
        token("*.elasticsearch.cloud_auth", Twin::Reference),
        key("*.elasticsearch.api_key", Twin::Reference),
        password("*.ssl.keystore.password", Twin::Reference),
        password("*.ssl.truststore.password", Twin::Reference),
        password("api.auth.basic.password", Twin::Reference),
        password("api.ssl.keystore.password", Twin::Reference),
        // Options of plug-ins.
        password("*cloud_auth", Twin::Reference),
        password("*.ssl_key_passphrase", Twin::Reference),
        key("*.storage_access_key", Twin::Reference),
        key("*.secret_access_key", Twin::Reference),
        key("*.access_key_id", Twin::Reference),
        key("*.oauth_consumer_secret", Twin::Reference),
        password("*.jdbc_password", Twin::Reference),
    ],
    otherwise: Twin::Reference,
    tool: Some("/usr/share/logstash/bin/logstash-keystore --path.settings /etc/logstash add"),
};

static BEATS_ENTRIES: &[Entry] = &[
    password("*cloud.auth", Twin::Reference),
    password("*ssl.key_passphrase", Twin::Reference),
    token("*secret_token", Twin::Reference),
    token("*enrollment_token", Twin::Reference),
    key("*access_api_key", Twin::Reference),
    key("*secret_access_key", Twin::Reference),
    key("*access_key_id", Twin::Reference),
    key("*storage_account_key", Twin::Reference),
    key("*shared_access_key", Twin::Reference),
    key("*hmac.key", Twin::Reference),
];

static BEATS: Family = Family { entries: BEATS_ENTRIES, otherwise: Twin::Reference, tool: None };
static FILEBEAT: Family = Family {
    tool: Some("filebeat keystore add"),
    entries: BEATS_ENTRIES,
    otherwise: Twin::Reference,
};
static METRICBEAT: Family = Family {
    tool: Some("metricbeat keystore add"),
    entries: BEATS_ENTRIES,
    otherwise: Twin::Reference,
};
static APM_SERVER: Family = Family {
    tool: Some("apm-server keystore add"),
    entries: BEATS_ENTRIES,
    otherwise: Twin::Reference,
};
/// The Elastic Agent has no keystore that an operator can write to.
static AGENT: Family = Family { tool: None, entries: BEATS_ENTRIES, otherwise: Twin::None };
static OTHER: Family = Family { entries: &[], otherwise: Twin::None, tool: None };

/// What the last word of a name says where the setting is not listed: how it ends, without `_`, `-` and case.
const ENDINGS: &[(&str, Kind)] = &[
    ("password", Kind::Password),
    ("passwd", Kind::Password),
    ("passphrase", Kind::Password),
    ("secret", Kind::Key),
    ("secretkey", Kind::Key),
    ("accesskey", Kind::Key),
    ("secretaccesskey", Kind::Key),
    ("apikey", Kind::Key),
    ("masterkey", Kind::Key),
    ("encryptionkey", Kind::Key),
    ("encryptionkeys", Kind::Key),
    ("decryptiononlykeys", Kind::Key),
    ("signingkey", Kind::Key),
    ("accountkey", Kind::Key),
    ("sharedkey", Kind::Key),
    ("licensekey", Kind::Key),
    ("privatekey", Kind::PrivateKey),
    ("credentials", Kind::Key),
    ("credentialsjson", Kind::Key),
    ("token", Kind::Token),
    ("passwords", Kind::Password),
    ("tokens", Kind::Token),
    ("secrets", Kind::Key),
];

/// Whole last words, where an ending would take too much.
const WORDS: &[(&str, Kind)] = &[
    ("pass", Kind::Password),
    ("pwd", Kind::Password),
    ("keystorepass", Kind::Password),
    ("keypass", Kind::Password),
    ("truststorepass", Kind::Password),
    ("jdbcpass", Kind::Password),
    ("cloudauth", Kind::Password),
    ("psk", Kind::Key),
];

/// Names that end as secrets do and are none.
const HARMLESS: &[&str] = &[
    "*.claims.*",
    "*.claim_patterns.*",
    "*next_token",
    "*continuation_token",
    "*pagination_token",
    "*csrf_token",
    "*xsrf_token",
    "*client_authentication.type",
    "*allow_credentials",
    "*forget_credentials",
    "*_secret_name",
    "*imagepullsecret",
    "*imagepullsecrets",
    "*default_credentials",
    "*use_default_credentials",
    "*max_token",
    "*max_tokens",
    "*num_tokens",
    "*processors.*.tokens",
    "*vault_secrets",
];

/// No setting has a longer name.
const LONGEST: usize = 1000;

/// How names are written where a setting was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// `a.b_c`.
    Dotted,
    /// `A_B_C`: what parts the words is not known.
    Variable,
}

/// A name that stands for a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub kind: Kind,
    pub instead: Option<Instead>,
    /// It is in the catalogue, not only caught by its last word.
    pub is_listed: bool,
}

/// What a setting's name says in the settings of a product; `None` when it stands for no secret.
pub fn look_up(product: &str, name: &str, spelling: Spelling) -> Option<Known> {
    look_up_in(family(product), name, spelling)
}

fn look_up_in(family: &Family, name: &str, spelling: Spelling) -> Option<Known> {
    // Items of a list are settings of their own.
    let name = without_index(name);
    if name.is_empty() || name.len() > LONGEST {
        return None;
    }
    let squashed = squash(name, spelling);
    let last = squashed.as_bytes().last().copied();
    let is = |pattern: &str| {
        // Most patterns end otherwise than the name does.
        let end = pattern.bytes().next_back().map(|end| end.to_ascii_lowercase());
        (end == last || end == Some(b'*')) && matches(&squash(pattern, spelling), &squashed)
    };
    if HARMLESS.iter().any(|pattern| is(pattern)) {
        return None;
    }
    if let Some(entry) = family.entries.iter().find(|entry| is(entry.pattern)) {
        let instead = if spelling == Spelling::Dotted { instead(entry.twin, name) } else { None };
        return Some(Known { kind: entry.kind, instead, is_listed: true });
    }
    let word = match spelling {
        Spelling::Dotted => name.rsplit('.').next().unwrap_or(name),
        Spelling::Variable => name,
    };
    let kind = by_word(word, spelling)?;
    let instead = if spelling == Spelling::Dotted { instead(family.otherwise, name) } else { None };
    Some(Known { kind, instead, is_listed: false })
}

fn by_word(word: &str, spelling: Spelling) -> Option<Kind> {
    let squashed = squash(word, spelling);
    if let Some((_, kind)) = WORDS.iter().find(|(known, _)| *known == squashed) {
        // The shell's own variable names the working directory.
        return (word != "PWD").then_some(*kind);
    }
    let lower = word.to_ascii_lowercase();
    if ["_pass", "-pass", "_pwd", "-pwd", "_psk"].iter().any(|ending| lower.ends_with(ending)) {
        return Some(Kind::Password);
    }
    ENDINGS.iter().find(|(ending, _)| squashed.ends_with(ending)).map(|(_, kind)| *kind)
}

/// Without the numbers that a list gives its items: `a.b.0`, `A_B[0]`.
pub(super) fn without_index(name: &str) -> &str {
    let name = name.split_once('[').map_or(name, |(name, _)| name);
    match name.rsplit_once('.') {
        Some((rest, index))
            if !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            without_index(rest)
        }
        Some(_) | None => name,
    }
}

fn instead(twin: Twin, name: &str) -> Option<Instead> {
    match twin {
        Twin::Same => Some(Instead::Entry(name.to_owned())),
        Twin::Last(last) => {
            let rest = name.rsplit_once('.').map_or("", |(rest, _)| rest);
            Some(Instead::Entry(if rest.is_empty() {
                last.to_owned()
            } else {
                format!("{rest}.{last}")
            }))
        }
        Twin::Suffix(suffix) => Some(Instead::Entry(format!("{name}{suffix}"))),
        Twin::Renamed(from, to, suffix) => {
            Some(Instead::Entry(format!("{}{suffix}", name.replacen(from, to, 1))))
        }
        Twin::Reference => {
            let variable: String = name
                .chars()
                .map(|character| {
                    if character.is_ascii_alphanumeric() {
                        character.to_ascii_uppercase()
                    } else {
                        '_'
                    }
                })
                .collect();
            Some(Instead::Reference(variable))
        }
        Twin::None => None,
    }
}

fn squash(name: &str, spelling: Spelling) -> String {
    name.chars()
        .filter(|character| match character {
            '_' | '-' => false,
            '.' => spelling == Spelling::Dotted,
            _ => true,
        })
        .map(|character| character.to_ascii_lowercase())
        .collect()
}

/// Whether the pattern stands for the name; both are squashed.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            // A leading star may stand for nothing: `*ssl.key` is `ssl.key`, too.
            return rest.ends_with(part) && (rest.len() > part.len() || first.is_empty());
        }
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dotted(product: &str, name: &str) -> Option<(Kind, Option<String>)> {
        let known = look_up(product, name, Spelling::Dotted)?;
        let instead = known.instead.map(|instead| match instead {
            Instead::Entry(name) => name,
            Instead::Reference(name) => format!("${{{name}}}"),
        });
        Some((known.kind, instead))
    }

    #[test]
    fn settings_of_elasticsearch_have_their_secure_twins() {
        for (name, twin) in [
            (
                "xpack.security.http.ssl.keystore.password",
                "xpack.security.http.ssl.keystore.secure_password",
            ),
            (
                "xpack.security.transport.ssl.truststore.password",
                "xpack.security.transport.ssl.truststore.secure_password",
            ),
            (
                "xpack.security.transport.ssl.key_passphrase",
                "xpack.security.transport.ssl.secure_key_passphrase",
            ),
            (
                "transport.profiles.dmz.xpack.security.ssl.key_passphrase",
                "transport.profiles.dmz.xpack.security.ssl.secure_key_passphrase",
            ),
            (
                "xpack.security.authc.realms.ldap.corp.bind_password",
                "xpack.security.authc.realms.ldap.corp.secure_bind_password",
            ),
            (
                "xpack.security.authc.realms.saml.s1.signing.keystore.password",
                "xpack.security.authc.realms.saml.s1.signing.keystore.secure_password",
            ),
            (
                "xpack.notification.email.account.work.smtp.password",
                "xpack.notification.email.account.work.smtp.secure_password",
            ),
            (
                "xpack.notification.slack.account.m.url",
                "xpack.notification.slack.account.m.secure_url",
            ),
            (
                "xpack.monitoring.exporters.e1.auth.password",
                "xpack.monitoring.exporters.e1.auth.secure_password",
            ),
            ("reindex.ssl.keystore.key_password", "reindex.ssl.keystore.secure_key_password"),
            ("s3.client.default.secret_key", "s3.client.default.secret_key"),
            ("bootstrap.password", "bootstrap.password"),
            ("cluster.remote.other.credentials", "cluster.remote.other.credentials"),
        ] {
            assert_eq!(dotted("elasticsearch", name).unwrap().1.as_deref(), Some(twin), "{name}");
        }
    }

    #[test]
    fn other_products_have_theirs() {
        for (product, name, twin) in [
            (
                "opensearch",
                "plugins.security.ssl.http.keystore_password",
                Some("plugins.security.ssl.http.keystore_password_secure"),
            ),
            (
                "opensearch",
                "opendistro_security.ssl.transport.pemkey_password",
                Some("plugins.security.ssl.transport.pemkey_password_secure"),
            ),
            ("kibana", "elasticsearch.password", Some("elasticsearch.password")),
            ("kibana", "server.ssl.keyPassphrase", Some("server.ssl.keyPassphrase")),
            (
                "kibana",
                "xpack.encryptedSavedObjects.keyRotation.decryptionOnlyKeys.0",
                Some("xpack.encryptedSavedObjects.keyRotation.decryptionOnlyKeys"),
            ),
            ("opensearch-dashboards", "opensearch.password", Some("opensearch.password")),
            (
                "logstash",
                "xpack.monitoring.elasticsearch.password",
                Some("${XPACK_MONITORING_ELASTICSEARCH_PASSWORD}"),
            ),
            ("filebeat", "output.elasticsearch.api_key", Some("${OUTPUT_ELASTICSEARCH_API_KEY}")),
            ("filebeat", "cloud.auth", Some("${CLOUD_AUTH}")),
            ("elastic-agent", "fleet.access_api_key", Some("${FLEET_ACCESS_API_KEY}")),
            ("elasticsearch", "my.plugin.password", None),
            ("something", "a.b.client_secret", None),
        ] {
            assert_eq!(dotted(product, name).unwrap().1.as_deref(), twin, "{product} {name}");
        }
    }

    #[test]
    fn the_net_catches_what_is_not_listed_and_no_more() {
        for name in [
            "a.password",
            "a.b_passwd",
            "a.keyPassphrase",
            "a.clientSecret",
            "a.secretKey",
            "a.access-key",
            "a.apiKey",
            "a.refresh_token",
            "a.private_key",
            "a.credentials",
            "a.sas_token",
            "a.encryptionKey",
            "a.pass",
            "a.db_pass",
            "a.pwd",
            "A.PASSWORD",
        ] {
            assert!(dotted("elasticsearch", name).is_some(), "{name}");
        }
        for name in [
            "xpack.security.authc.token.enabled",
            "xpack.security.authc.token.timeout",
            "xpack.security.authc.password_hashing.algorithm",
            "a.secret_key_ref",
            "a.password_file",
            "a.credentials.path",
            "xpack.security.authc.api_key.enabled",
            "delivery.timeout",
            "bypass",
            "a.tokenizer",
            "a.compass",
            "xpack.security.authc.realms.oidc.o.claims.token",
            "http.cors.allow-credentials",
            "a.key",
            "username",
            "xpack.security.authc.realms.jwt.j.client_authentication.type",
            "plugins.security.restapi.password_min_length",
            "a.passthrough",
        ] {
            assert_eq!(dotted("elasticsearch", name), None, "{name}");
        }
    }

    #[test]
    fn variables_are_known_by_how_they_end() {
        let variable = |product: &str, name: &str| {
            look_up(product, name, Spelling::Variable).map(|known| known.kind)
        };
        for name in [
            "ELASTIC_PASSWORD",
            "KEYSTORE_PASSWORD",
            "ES_KEYSTORE_PASSPHRASE",
            "LOGSTASH_KEYSTORE_PASS",
            "AWS_SECRET_ACCESS_KEY",
            "OPENSEARCH_INITIAL_ADMIN_PASSWORD",
            "XPACK_ENCRYPTEDSAVEDOBJECTS_ENCRYPTIONKEY",
            "ELASTICSEARCH_PASSWORD",
            "FLEET_ENROLLMENT_TOKEN",
            "XPACK_ENCRYPTEDSAVEDOBJECTS_KEYROTATION_DECRYPTIONONLYKEYS[0]",
            "AWS_SESSION_TOKEN",
            "SERVER_SSL_KEYPASSPHRASE",
            "ELASTICSEARCH_SERVICEACCOUNTTOKEN",
            "DB_PASS",
            "DB_PWD",
        ] {
            assert!(variable("kibana", name).is_some(), "{name}");
        }
        for name in [
            "ES_KEYSTORE_PASSPHRASE_FILE",
            "PWD",
            "OLDPWD",
            "PATH",
            "CREDENTIALS_DIRECTORY",
            "SSH_AUTH_SOCK",
            "KEYSTORE_PASSWORD_FILE",
            "ELASTICSEARCH_USERNAME",
            "FLEET_TOKEN_POLICY_NAME",
        ] {
            assert_eq!(variable("kibana", name), None, "{name}");
        }
    }

    #[test]
    fn every_entry_stands_for_a_name_that_it_would_be_given() {
        for family in
            [&ELASTICSEARCH, &OPENSEARCH, &KIBANA, &DASHBOARDS, &LOGSTASH, &FILEBEAT, &AGENT]
        {
            for entry in family.entries {
                let name = entry.pattern.replace('*', "x");
                let known = look_up_in(family, &name, Spelling::Dotted).unwrap();
                assert!(known.is_listed, "{name}");
            }
        }
    }
}
