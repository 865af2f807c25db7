//! Which settings are secrets, product by product, and what each product has in place of plain text.
//!
//! From the reference documentation of the products; behind it a net for settings that are not listed, by the last word
//! of their name.

use super::{Instead, Kind};

/// Settings of a product that are secrets of one kind, and have the same in their place.
struct Row {
    kind: Kind,
    twin: Twin,
    /// Names. `*` stands for one or more characters; case, `_` and `-` make no difference.
    names: &'static [&'static str],
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

const fn passwords(twin: Twin, names: &'static [&'static str]) -> Row {
    Row { kind: Kind::Password, twin, names }
}

const fn keys(twin: Twin, names: &'static [&'static str]) -> Row {
    Row { kind: Kind::Key, twin, names }
}

const fn tokens(twin: Twin, names: &'static [&'static str]) -> Row {
    Row { kind: Kind::Token, twin, names }
}

/// A product, or several that are configured alike.
pub struct Family {
    /// The first row with a name that fits counts.
    rows: &'static [&'static [Row]],
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
    rows: &[ELASTICSEARCH_ROWS, CLOUD],
    otherwise: Twin::None,
    tool: Some("/usr/share/elasticsearch/bin/elasticsearch-keystore add"),
};

/// "Secure settings", "Security settings", "Watcher settings", "Monitoring settings" and the repository pages of the
/// Elasticsearch reference.
static ELASTICSEARCH_ROWS: &[Row] = &[
    // What is read from the settings as well, with its secure twin.
    passwords(
        Twin::Last("secure_password"),
        &[
            "*ssl.keystore.password",
            "*ssl.truststore.password",
            // SAML.
            "xpack.security.authc.realms.*.keystore.password",
            "xpack.monitoring.exporters.*.auth.password",
            "xpack.notification.*.password",
        ],
    ),
    passwords(
        Twin::Last("secure_key_password"),
        &["*ssl.keystore.key_password", "xpack.security.authc.realms.*.keystore.key_password"],
    ),
    passwords(
        Twin::Last("secure_key_passphrase"),
        &["*ssl.key_passphrase", "xpack.security.authc.realms.*.key_passphrase"],
    ),
    passwords(Twin::Last("secure_bind_password"), &["xpack.security.authc.realms.*.bind_password"]),
    // The address of a Slack hook is its password.
    keys(Twin::Last("secure_url"), &["xpack.notification.slack.account.*.url"]),
    keys(
        Twin::Last("secure_service_api_key"),
        &["xpack.notification.pagerduty.account.*.service_api_key"],
    ),
    tokens(Twin::Last("secure_auth_token"), &["xpack.notification.hipchat.account.*.auth_token"]),
    // What belongs into the keystore only.
    passwords(
        Twin::Same,
        &[
            "*ssl.*secure_password",
            "*ssl.*secure_key_password",
            "*ssl.*secure_key_passphrase",
            "xpack.security.authc.realms.*.secure_bind_password",
            "xpack.security.authc.realms.*.http.proxy.password",
            "xpack.notification.email.account.*.smtp.secure_password",
            "xpack.notification.jira.account.*.secure_password",
            "xpack.monitoring.exporters.*.auth.secure_password",
            "bootstrap.password",
            "autoconfiguration.password_hash",
            "cluster.state.encryption.password.*",
            "discovery.ec2.proxy.password",
        ],
    ),
    keys(
        Twin::Same,
        &[
            "xpack.security.authc.realms.*.rp.client_secret",
            // JWT.
            "xpack.security.authc.realms.*.hmac_key",
            "xpack.security.authc.realms.*.hmac_jwkset",
            "xpack.security.authc.realms.*.client_authentication.shared_secret",
            "xpack.notification.slack.account.*.secure_url",
            "xpack.notification.pagerduty.account.*.secure_service_api_key",
            "xpack.watcher.encryption_key",
            "cluster.remote.*.credentials",
            "ingest.geoip.downloader.maxmind.license_key",
            "telemetry.api_key",
            "tracing.apm.api_key",
        ],
    ),
    tokens(
        Twin::Same,
        &[
            "ingest.ip_location.downloader.ipinfo.token",
            "telemetry.secret_token",
            "tracing.apm.secret_token",
        ],
    ),
    // Of old versions, and what the product makes for itself.
    keys(
        Twin::None,
        &[
            "keystore.seed",
            "cloud.aws.*access_key",
            "cloud.aws.*secret_key",
            "repositories.s3.access_key",
            "repositories.s3.secret_key",
            "cloud.azure.storage.*.key",
        ],
    ),
];

/// The clients of clouds, of Elasticsearch and OpenSearch alike.
static CLOUD: &[Row] = &[
    keys(
        Twin::Same,
        &[
            "discovery.ec2.access_key",
            "discovery.ec2.secret_key",
            "s3.client.*.access_key",
            "s3.client.*.secret_key",
            "azure.client.*.key",
            "gcs.client.*.credentials_file",
        ],
    ),
    tokens(
        Twin::Same,
        &["discovery.ec2.session_token", "s3.client.*.session_token", "azure.client.*.sas_token"],
    ),
    passwords(Twin::Same, &["s3.client.*.proxy.password"]),
];

static OPENSEARCH: Family = Family {
    rows: &[OPENSEARCH_ROWS, CLOUD],
    otherwise: Twin::None,
    tool: Some("/usr/share/opensearch/bin/opensearch-keystore add"),
};

/// "TLS certificates" of the OpenSearch documentation (secure variants since 2.8), and the pages of its plug-ins.
static OPENSEARCH_ROWS: &[Row] = &[
    passwords(
        Twin::Same,
        &[
            "plugins.security.ssl.*password_secure",
            "plugins.security.ssl.*keypassword_secure",
            "plugins.alerting.destination.email.*.password",
            "opensearch.notifications.core.email.*.password",
            "bootstrap.password",
        ],
    ),
    passwords(
        Twin::Suffix("_secure"),
        &[
            "plugins.security.ssl.*keystore_password",
            "plugins.security.ssl.*keystore_keypassword",
            "plugins.security.ssl.*truststore_password",
            "plugins.security.ssl.*pemkey_password",
        ],
    ),
    passwords(
        Twin::Renamed("opendistro_security", "plugins.security", "_secure"),
        &["opendistro_security.ssl.*password"],
    ),
    passwords(
        Twin::Last("secure_password"),
        &["reindex.ssl.keystore.password", "reindex.ssl.truststore.password"],
    ),
    passwords(Twin::Last("secure_key_password"), &["reindex.ssl.keystore.key_password"]),
    passwords(Twin::Last("secure_key_passphrase"), &["reindex.ssl.key_passphrase"]),
    passwords(Twin::None, &["*audit*.config.password"]),
    keys(
        Twin::None,
        &[
            "*.signing_key",
            "*.exchange_key",
            "plugins.query.datasources.encryption.masterkey",
            "plugins.query.federation.datasources.*.auth.*",
            "keystore.seed",
        ],
    ),
];

/// Any setting may be an entry of Kibana's keystore.
static KIBANA: Family = Family {
    rows: &[KIBANA_ROWS, NODE_TLS],
    otherwise: Twin::Same,
    tool: Some("/usr/share/kibana/bin/kibana-keystore add"),
};

static KIBANA_ROWS: &[Row] = &[
    tokens(Twin::Same, &["elasticsearch.serviceAccountToken", "elastic.apm.secretToken"]),
    keys(
        Twin::Same,
        &[
            "*.encryptionKey",
            "xpack.encryptedSavedObjects.keyRotation.decryptionOnlyKeys",
            "xpack.actions.preconfigured.*.secrets.*",
            "xpack.fleet.outputs.*.secrets.*",
            "elastic.apm.apiKey",
        ],
    ),
];

/// Of Kibana and its fork.
static NODE_TLS: &[Row] = &[passwords(
    Twin::Same,
    &["*ssl.keyPassphrase", "*ssl.keystore.password", "*ssl.truststore.password"],
)];

static DASHBOARDS: Family = Family {
    rows: &[DASHBOARDS_ROWS, NODE_TLS],
    otherwise: Twin::Same,
    tool: Some("/usr/share/opensearch-dashboards/bin/opensearch-dashboards-keystore add"),
};

static DASHBOARDS_ROWS: &[Row] = &[
    passwords(Twin::Same, &["opensearch.password", "opensearch_security.cookie.password"]),
    keys(
        Twin::Same,
        &["opensearch_security.openid.client_secret", "data_source.encryption.wrappingKey"],
    ),
];

static LOGSTASH: Family = Family {
    rows: &[LOGSTASH_ROWS],
    otherwise: Twin::Reference,
    tool: Some("/usr/share/logstash/bin/logstash-keystore --path.settings /etc/logstash add"),
};

/// Settings, and options of plug-ins.
static LOGSTASH_ROWS: &[Row] = &[
    tokens(Twin::Reference, &["*.elasticsearch.cloud_auth"]),
    passwords(
        Twin::Reference,
        &[
            "*.elasticsearch.password",
            "*.ssl.keystore.password",
            "*.ssl.truststore.password",
            "api.auth.basic.password",
            "*cloud_auth",
            "*.ssl_key_passphrase",
            "*.jdbc_password",
        ],
    ),
    keys(
        Twin::Reference,
        &[
            "*.elasticsearch.api_key",
            "*.storage_access_key",
            "*.secret_access_key",
            "*.access_key_id",
            "*.oauth_consumer_secret",
        ],
    ),
];

static BEATS_ROWS: &[Row] = &[
    passwords(Twin::Reference, &["*cloud.auth", "*ssl.key_passphrase"]),
    tokens(Twin::Reference, &["*secret_token", "*enrollment_token"]),
    keys(
        Twin::Reference,
        &[
            "*access_api_key",
            "*secret_access_key",
            "*access_key_id",
            "*storage_account_key",
            "*shared_access_key",
            "*hmac.key",
        ],
    ),
];

/// A Beat, with the command of its own.
const fn beat(rows: &'static [&'static [Row]], tool: Option<&'static str>) -> Family {
    Family { rows, otherwise: Twin::Reference, tool }
}

static BEATS: Family = beat(&[BEATS_ROWS], None);
static FILEBEAT: Family = beat(&[BEATS_ROWS], Some("filebeat keystore add"));
static METRICBEAT: Family = beat(&[BEATS_ROWS], Some("metricbeat keystore add"));
static APM_SERVER: Family = beat(&[BEATS_ROWS], Some("apm-server keystore add"));
/// The Elastic Agent has no keystore that an operator can write to.
static AGENT: Family = Family { rows: &[BEATS_ROWS], otherwise: Twin::None, tool: None };
static OTHER: Family = Family { rows: &[], otherwise: Twin::None, tool: None };

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
    let mut rows = family.rows.iter().copied().flatten();
    if let Some(row) = rows.find(|row| row.names.iter().any(|pattern| is(pattern))) {
        let instead = if spelling == Spelling::Dotted { instead(row.twin, name) } else { None };
        return Some(Known { kind: row.kind, instead, is_listed: true });
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
            for row in family.rows.iter().copied().flatten() {
                for pattern in row.names {
                    let name = pattern.replace('*', "x");
                    let known = look_up_in(family, &name, Spelling::Dotted).unwrap();
                    assert!(known.is_listed && known.kind == row.kind, "{name}");
                    // Nor does another row come before with something else in its place.
                    let twin = instead(row.twin, without_index(&name));
                    assert_eq!(known.instead, twin, "{name}");
                }
            }
        }
    }
}
