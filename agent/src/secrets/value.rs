//! What may be said of a value without keeping it: by comparing, and by its shape.

use super::{Kind, Value};

/// Passwords and keys that stand in documentation, images and shipped files of the products.
const WELL_KNOWN: &[&str] = &[
    "changeme",
    "change_me",
    "changeit",
    "changeme!",
    "password",
    "passw0rd",
    "pass",
    "secret",
    "admin",
    "elastic",
    "elasticsearch",
    "elasticpassword",
    "kibana",
    "kibana_system",
    "kibanaserver",
    "logstash",
    "logstash_system",
    "beats_system",
    "opensearch",
    "wazuh",
    "secretpassword",
    "s3curepassword",
    "s3cretpassword",
    "test",
    "test123",
    "123456",
    "12345678",
    "root",
    "guest",
    "minioadmin",
    "security_cookie_default_password",
    "something_at_least_32_characters",
    "min-32-byte-long-strong-encryption-key",
    "myStrongPassword123!",
    "myStrongPassword@123",
    "SecretPassword",
    "kirk:password",
];

/// What shipped files have where a key would stand: nothing opens with it.
const TEMPLATES: &[&str] =
    &["example-key", "base64 encoded HMAC key or public RSA/ECDSA pem key", "your-api-key"];

/// Longer values are scripts, in which anything may stand.
const LONGEST_URL: usize = 4096;

/// Passwords of examples, as they stand in the comments of shipped files.
const EXAMPLES: &[&str] =
    &["w0rd", "pass", "secret", "example", "your", "my_", "token", "changeme", "key"];

/// What may be said of a value. Products and templates have their own ways to refer; all are known here.
pub fn class(text: &str) -> Value {
    let text = text.trim();
    if is_nothing(text) {
        return Value::Empty;
    }
    match reference(text) {
        // What stands behind the colon is used where the variable is not set.
        Some(default) => match class(default) {
            Value::Empty => Value::Reference,
            class @ (Value::Set | Value::WellKnown | Value::Reference) => class,
        },
        None if is_well_known(text) => Value::WellKnown,
        None => Value::Set,
    }
}

/// Nothing at all, or what stands for it in a template: `<password>`, `****`.
fn is_nothing(text: &str) -> bool {
    let text = text.trim_matches(['"', '\'']);
    text.is_empty()
        || text.bytes().all(|byte| byte == b'*')
        || (text.starts_with('<') && text.ends_with('>'))
        || TEMPLATES.contains(&text)
        || text.eq_ignore_ascii_case("redacted")
        || text.eq_ignore_ascii_case("[redacted]")
}

fn is_well_known(text: &str) -> bool {
    let is_repeated =
        text.len() >= 16 && text.bytes().all(|byte| Some(byte) == text.bytes().next());
    // `elastic:changeme`.
    let password = text.split_once(':').map_or(text, |(_, password)| password);
    let is = |text: &str| WELL_KNOWN.iter().any(|known| known.eq_ignore_ascii_case(text));
    is_repeated || is(text) || is(password)
}

/// Whether the text refers to a variable or a keystore: with the default that stands in its place, or nothing.
fn reference(text: &str) -> Option<&str> {
    // Logstash: a field of the event.
    if text.starts_with("%{") && text.ends_with('}') {
        return Some("");
    }
    // What Ansible, Helm and others fill in.
    if text.split_once("{{").is_some_and(|(_, rest)| rest.contains("}}")) {
        return Some("");
    }
    let (_, rest) = text.split_once("${")?;
    let (inside, _) = rest.split_once('}')?;
    let is_variable = inside.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if !is_variable {
        return None;
    }
    // `${env:NAME}` of OpenTelemetry.
    let inside =
        inside.strip_prefix("env:").or_else(|| inside.strip_prefix("file:")).unwrap_or(inside);
    // `|` is the Elastic Agent's.
    let default = match inside.split_once(':').or_else(|| inside.split_once('|')) {
        // `${NAME:?error}` of Beats has no default. One that is a reference itself ends at the first brace here.
        Some((_, default)) if default.starts_with('?') || default.contains("${") => "",
        // `:-` is the shells'.
        Some((_, default)) => default.strip_prefix('-').unwrap_or(default).trim(),
        None => "",
    };
    // `${env.A|env.B}` tries one after the other.
    let is_other = inside.contains('|') && !default.starts_with(['\'', '"']);
    Some(if is_other { "" } else { default.trim_matches(['"', '\'']) })
}

/// A shell's commands and variables: only files that shells source have them. A password may begin with `$`, so only
/// names in capitals count.
pub(super) fn is_shell_reference(text: &str) -> bool {
    let is_name = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_uppercase() || first == '_')
            && name
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    };
    (text.starts_with("$(") && text.ends_with(')'))
        || (text.starts_with('`') && text.ends_with('`'))
        || text.strip_prefix('$').is_some_and(is_name)
}

/// Whether a value cannot be the secret that its setting's name stands for: a switch, a time, a file.
pub(super) fn is_harmless(text: &str, kind: Kind) -> bool {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    if matches!(
        lower.as_str(),
        "true" | "false" | "yes" | "no" | "on" | "off" | "none" | "required" | "optional"
    ) {
        return true;
    }
    if is_duration(&lower) && !lower.bytes().all(|byte| byte.is_ascii_digit()) {
        return true;
    }
    if kind == Kind::Password {
        return false;
    }
    // `max_token: 1000`; a key of digits alone is longer.
    (text.len() <= 6 && text.bytes().all(|byte| byte.is_ascii_digit()))
        || names_a_file(text)
        // Kibana's anonymous provider.
        || text == "elasticsearch_anonymous_user"
}

/// A number, with a unit of time or size behind it.
fn is_duration(lower: &str) -> bool {
    let unit = lower.trim_start_matches(|digit: char| digit.is_ascii_digit() || digit == '.');
    unit.len() < lower.len()
        && matches!(
            unit,
            "" | "nanos"
                | "micros"
                | "ms"
                | "s"
                | "m"
                | "h"
                | "d"
                | "w"
                | "b"
                | "kb"
                | "mb"
                | "gb"
                | "%"
        )
}

fn names_a_file(text: &str) -> bool {
    const ENDINGS: [&str; 11] =
        [".pem", ".key", ".crt", ".cer", ".p12", ".pfx", ".jks", ".json", ".txt", ".jwt", ".token"];
    const ROOTS: [&str; 13] = [
        "/etc/",
        "/usr/",
        "/var/",
        "/run/",
        "/opt/",
        "/home/",
        "/mnt/",
        "/srv/",
        "/tmp/",
        "/root/",
        "/app/",
        "file:",
        "/secrets/",
    ];
    let is_path = text.bytes().all(|byte| byte.is_ascii_graphic()) && text.len() < 4096;
    is_path
        && !text.contains("-----")
        && (ROOTS.iter().any(|root| text.starts_with(root))
            || ENDINGS.iter().any(|ending| text.ends_with(ending)))
}

/// A secret that a value shows by its shape, whatever its setting is called.
pub(super) fn embedded(text: &str) -> Option<Kind> {
    if is_private_key(text) {
        return Some(Kind::PrivateKey);
    }
    let trimmed = text.trim();
    // `ApiKey …` and its like are values of an HTTP header.
    let scheme = trimmed.split_once(' ');
    if let Some((scheme, secret)) = scheme
        && ["bearer", "basic", "apikey"].contains(&scheme.to_ascii_lowercase().as_str())
        && secret.trim().len() >= 8
        && !secret.trim().contains(' ')
        && reference(secret.trim()).is_none()
    {
        return Some(Kind::Token);
    }
    // A service token of Elasticsearch: version, type and the name `elastic/…`, in Base64.
    if trimmed.starts_with("AAEAAWVsYXN0aWM") {
        return Some(Kind::Token);
    }
    if trimmed.len() > LONGEST_URL {
        return None;
    }
    (has_url_password(trimmed) || has_connection_password(trimmed)).then_some(Kind::Url)
}

/// PEM of a private key that is not encrypted.
pub(super) fn is_private_key(text: &str) -> bool {
    let mut rest = text;
    while let Some((_, block)) = rest.split_once("-----BEGIN ") {
        rest = block;
        let Some((label, body)) = block.split_once("-----") else { return false };
        // RFC 7468 and, of OpenSSL's older form, RFC 1421.
        let is_key = label.ends_with("PRIVATE KEY") && label != "ENCRYPTED PRIVATE KEY";
        let body = body.split("-----END").next().unwrap_or_default();
        let is_template =
            body.trim().trim_matches(['.', '*', '\\', 'n', ' ', '\n', '\r']).is_empty();
        if is_key && !is_template && !body.contains("ENCRYPTED") && reference(body.trim()).is_none()
        {
            // OpenSSH's own form says inside whether it is encrypted: `openssh-key-v1`, NUL, length 4, `none`.
            if label != "OPENSSH PRIVATE KEY" || body.contains("AAAABG5vbmU") {
                return true;
            }
        }
    }
    false
}

/// `scheme://user:password@host`, with a password that is no reference.
fn has_url_password(text: &str) -> bool {
    let mut rest = text;
    while let Some((_, url)) = rest.split_once("://") {
        rest = url;
        let authority: &str =
            url.split(['/', '?', '#', ' ', '"', '\'', ',']).next().unwrap_or_default();
        // A password may hold `/` where nobody escaped it; then the host is behind the last `@`.
        let authority = if authority.contains('@') { authority } else { url };
        let Some((user, _)) = authority.rsplit_once('@') else { continue };
        let Some((name, password)) = user.split_once(':') else { continue };
        // In `host:9200/a@b` it is a port.
        let port = password.split('/').next().unwrap_or_default();
        let is_port = password.contains('/') && port.bytes().all(|byte| byte.is_ascii_digit());
        let is_plausible = !is_port && !name.contains(['/', ' ', '?']) && !password.contains(' ');
        let is_set = match class(password) {
            Value::Set | Value::WellKnown => true,
            Value::Reference | Value::Empty => false,
        };
        if is_plausible && is_set && !password.starts_with("%{") {
            return true;
        }
    }
    false
}

/// `…;AccountKey=…`, `jdbc:…?password=…`, and Kafka's `LoginModule required password="…"`.
fn has_connection_password(text: &str) -> bool {
    const NAMES: [&str; 7] = [
        "password=",
        "pwd=",
        "accountkey=",
        "sharedaccesskey=",
        "sharedaccesssignature=",
        "&sig=",
        "?sig=",
    ];
    let is_connection = text.contains("://") || text.contains(';') || text.starts_with("jdbc:");
    if !is_connection {
        return false;
    }
    let lower = text.to_ascii_lowercase();
    NAMES.iter().any(|name| {
        lower.match_indices(name).any(|(at, _)| {
            let value = text
                .get(at + name.len()..)
                .unwrap_or_default()
                .trim_start_matches(['"', '\'', '\\']);
            let value = value.split(['"', '\'', ';', '&', ' ', '\\']).next().unwrap_or_default();
            match class(value) {
                Value::Set | Value::WellKnown => true,
                Value::Reference | Value::Empty => false,
            }
        })
    })
}

/// Whether a value in a comment is somebody's and not an example's. In doubt it is an example.
pub(super) fn looks_real(text: &str) -> bool {
    let text = text.trim().trim_matches(['"', '\'']);
    let lower = text.to_ascii_lowercase();
    let has = |is: fn(&char) -> bool| usize::from(text.chars().any(|character| is(&character)));
    let classes = has(char::is_ascii_lowercase)
        + has(char::is_ascii_uppercase)
        + has(char::is_ascii_digit)
        + has(|character| !character.is_ascii_alphanumeric());
    text.len() >= 8
        && classes >= 2
        && !text.contains(char::is_whitespace)
        && !text.contains("...")
        && !EXAMPLES.iter().any(|example| lower.contains(example))
        && class(text) == Value::Set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_defaults_and_templates_are_no_secrets() {
        for text in [
            "${ES_PWD}",
            "elastic:${ES_PWD}",
            "${ES_PWD:}",
            "${env.PW}",
            "%{[@metadata][pw]}",
            "${PW:?not set}",
            "${PW:-}",
            "${a.b:${c}}",
            "${env:API_KEY}",
            "{{ vault_password }}",
        ] {
            assert_eq!(class(text), Value::Reference, "{text}");
        }
        for text in ["", "  ", "\"\"", "''", "<password>", "********", "REDACTED"] {
            assert_eq!(class(text), Value::Empty, "{text}");
        }
        for text in [
            "hunter2",
            "$ecret",
            "pa$$word",
            "${",
            "${}",
            "a${1}b",
            "${PW:hunter2}",
            "${PW:-hunter2}",
            "$1$abc",
        ] {
            assert_eq!(class(text), Value::Set, "{text}");
        }
        for text in [
            "changeme",
            "ChangeMe",
            "elastic:changeme",
            "${PW:changeme}",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert_eq!(class(text), Value::WellKnown, "{text}");
        }
    }

    #[test]
    fn only_shells_refer_as_shells_do() {
        for text in ["$(cat /run/x)", "$PASSWORD", "`cat x`"] {
            assert!(is_shell_reference(text), "{text}");
            assert_eq!(class(text), Value::Set, "{text}");
        }
        for text in ["$ecret", "pa$$word", "$", "$1", "a`b`"] {
            assert!(!is_shell_reference(text), "{text}");
        }
    }

    #[test]
    fn switches_times_and_files_are_no_secrets() {
        for (text, kind) in [
            ("true", Kind::Token),
            ("False", Kind::Password),
            ("30s", Kind::Token),
            ("20m", Kind::Password),
            ("/etc/pki/key.pem", Kind::Key),
            ("certs/node.key", Kind::Key),
            ("1000", Kind::Token),
            ("/var/run/secrets/token", Kind::Token),
        ] {
            assert!(is_harmless(text, kind), "{text}");
        }
        for (text, kind) in [
            ("123456", Kind::Password),
            ("/abc+def/ghi", Kind::Key),
            ("/etc/passw0rd", Kind::Password),
            ("s3cr3t", Kind::Token),
            ("1234567", Kind::Token),
        ] {
            assert!(!is_harmless(text, kind), "{text}");
        }
    }

    #[test]
    fn passwords_in_urls_are_seen_by_their_shape() {
        for text in [
            "https://elastic:hunter2@es:9200",
            "http://u:p/x@h",
            "amqp://guest:guest@mq",
            "[https://a, https://u:p@b]",
            "jdbc:mysql://db/x?user=u&password=hunter2",
            "DefaultEndpointsProtocol=https;AccountKey=abc==;",
            "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"u\" password=\"x\";",
            "https://acct.blob.core.windows.net/c?sv=1&sig=abc",
        ] {
            assert_eq!(embedded(text), Some(Kind::Url), "{text}");
        }
        for text in [
            "https://es:9200",
            "https://elastic@es:9200",
            "https://u:${PW}@es",
            "https://es:9200/a@b",
            "http://h/x:y@z",
            "a;password=${PW};",
            "user:pass@host",
            "https://u:@h",
        ] {
            assert_eq!(embedded(text), None, "{text}");
        }
        assert_eq!(embedded("ApiKey aGVsbG86d29ybGQ="), Some(Kind::Token));
        for text in ["Basic authentication is used", "Bearer ${TOKEN}", "Bearer %{[token][value]}"]
        {
            assert_eq!(embedded(text), None, "{text}");
        }
    }

    #[test]
    fn an_encrypted_key_is_none_that_lies_open() {
        for text in [
            "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----",
            "x\n-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END",
            "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n-----BEGIN EC PRIVATE KEY-----\nMII\n",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ\n",
        ] {
            assert!(is_private_key(text), "{text}");
        }
        for text in [
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----",
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES\n\nMII\n-----END",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
            "-----BEGIN PUBLIC KEY-----\nMIIB\n",
            "-----BEGIN ",
            "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        ] {
            assert!(!is_private_key(text), "{text}");
        }
    }

    #[test]
    fn examples_in_comments_are_not_taken_for_real() {
        for text in [
            "pass",
            "changeme",
            "\"my_token\"",
            "s3cUreP4$$w0rD",
            "id:api_key",
            "...",
            "<secret>",
            "yourvalue1",
            "abcdefgh",
        ] {
            assert!(!looks_real(text), "{text}");
        }
        for text in ["Zx81-uvula", "'Tr0ub4dor&3'", "correct-horse"] {
            assert!(looks_real(text), "{text}");
        }
    }
}
