//! What the parsers say, held against other readers of the same formats; and that no secret of a keystore gets out.

#![expect(
    clippy::disallowed_methods,
    reason = "a test: other readers of the formats are programs, and what they write is read"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::LazyLock;

use atrest_proto::model::Service;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::observe::{Place, observe};
use super::pkcs12::fixture::Scheme;
use super::trials::{Memory, Trials};
use super::{
    Look, Observation, Parsed, PasswordSource, Protection, beats, elastic_agent_store,
    elasticsearch, format, kibana, logstash, pkcs12,
};
use crate::host::recorded::RecordedHost;
use crate::path::HostPath;
use crate::policy::Policy;
use crate::posture;
use crate::snapshot::{Namespace, Snapshot};

const ES: &str = "elasticsearch.keystore";
const OS: &str = "opensearch.keystore";
/// The value of every secret.
const SECRET: &str = "HushValue-b7Qz";
const PASSWORD: &str = "HushPassword-5k";
/// The name of every secret but the seed.
const NAME: &str = "hush.setting";

/// A file in a format, and the password that opens it.
struct Fixture {
    format: &'static str,
    name: String,
    password: &'static str,
    bytes: Vec<u8>,
}

/// Every format in every version, with and without a password where it can have one, and how each was seen. Made once:
/// the newest formats take their time.
static FIXTURES: LazyLock<Vec<(Fixture, Observation)>> = LazyLock::new(|| {
    fixtures()
        .into_iter()
        .map(|fixture| {
            let seen = look(&fixture);
            (fixture, seen)
        })
        .collect()
});

fn fixtures() -> Vec<Fixture> {
    let mut all = Vec::new();
    let mut add = |format, name: String, password, bytes| {
        all.push(Fixture { format, name, password, bytes });
    };
    let json = format!("{{\"{NAME}\":\"{SECRET}\"}}");
    let entries = [("keystore.seed", &b"abcdefghijklmnopqrst"[..]), (NAME, SECRET.as_bytes())];
    for (file, versions) in [(ES, 1..=7), (OS, 1..=4)] {
        for version in versions {
            for password in if version < 3 { &[""][..] } else { &["", PASSWORD] } {
                let flag = u8::from(!password.is_empty());
                let bytes = elasticsearch::fixture::sealed(
                    file,
                    version,
                    flag,
                    password.as_bytes(),
                    &entries,
                );
                add("elasticsearch", format!("{file} {version}"), *password, bytes);
            }
        }
    }
    for password in ["", PASSWORD] {
        let bytes = kibana::fixture::keystore(password.as_bytes(), json.as_bytes());
        add("kibana", "kibana.keystore".to_owned(), password, bytes);
    }
    for how in [Scheme::Old, Scheme::Pbes2] {
        for password in [None, Some(PASSWORD)] {
            let bytes = logstash::fixture::keystore(password, &["keystore.seed", NAME], how);
            add("logstash", "logstash.keystore".to_owned(), password.unwrap_or_default(), bytes);
        }
    }
    let json = format!("{{\"{NAME}\":{{\"value\":\"{}\"}}}}", STANDARD.encode(SECRET));
    for version in [1, 2] {
        let bytes = beats::fixture::keystore(version, b"", json.as_bytes());
        add("beats", format!("filebeat.keystore {version}"), "", bytes);
    }
    let bytes = elastic_agent_store::fixture::store(PASSWORD.as_bytes(), &[SECRET.as_bytes()]);
    add("elastic-agent-store", "fleet.enc".to_owned(), PASSWORD, bytes);
    let mut seed = SECRET.as_bytes().repeat(3);
    seed.truncate(32);
    add("elastic-agent-vault", ".seed".to_owned(), "", seed);
    all
}

/// Trying a password on it takes seconds without an optimising compiler.
fn is_costly(fixture: &Fixture) -> bool {
    fixture.name.starts_with(ES) && fixture.name.ends_with(['6', '7'])
}

/// Looks at a root with the file at `/etc/x/NAME`, a copy beside it, and a password in a file.
fn look(fixture: &Fixture) -> Observation {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("etc/x");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join(&fixture.name), &fixture.bytes).unwrap();
    if !is_costly(fixture) {
        fs::write(directory.join(format!("{}.bak", fixture.name)), &fixture.bytes).unwrap();
    }
    fs::write(root.path().join("etc/pass"), PASSWORD).unwrap();
    let place = Place {
        path: HostPath::from(format!("/etc/x/{}", fixture.name)),
        namespace: Namespace::Host,
        product: fixture.format.to_owned(),
        format: fixture.format,
        service: None,
        run_as: None,
        root: crate::snapshot::Observed::Absent,
        password_sources: vec![
            PasswordSource::File {
                variable: "KEYSTORE_PASSWORD_FILE".to_owned(),
                path: HostPath::from("/etc/pass"),
                namespace: Namespace::Host,
            },
            PasswordSource::Environment { variable: "KEYSTORE_PASSWORD".to_owned() },
        ],
    };
    observe(&RecordedHost::new(root.path()), &place, &mut Trials::new(&mut Memory::default()))
}

/// All that is told about a keystore: the observation, how it prints itself, and the posture.
fn told(seen: &Observation) -> String {
    let mut snapshot = Snapshot::empty();
    snapshot.keystores = vec![seen.clone()];
    let posture = posture::evaluate(&snapshot, &Policy::default());
    assert!(!posture.findings.is_empty() && posture.keystores.len() == 1);
    let snapshot = serde_json::to_string(&snapshot).unwrap();
    format!("{snapshot}\n{seen:?}\n{}\n{posture:?}", serde_json::to_string(&posture).unwrap())
}

/// In every spelling that a value might get out in, in whole or in part.
fn spellings(value: &[u8]) -> Vec<String> {
    let hex = value.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    let mut all = vec![String::from_utf8_lossy(value).into_owned(), hex.to_uppercase(), hex];
    // At each of the three places in a group, without what depends on its neighbours.
    for skip in 0..3_usize {
        let text = STANDARD.encode([&vec![0; skip][..], value].concat());
        let start = (skip * 8).div_ceil(6);
        all.push(text.get(start..text.len() - 4).unwrap().to_owned());
    }
    for separator in [", ", ","] {
        let numbers: Vec<String> = value.iter().map(u8::to_string).collect();
        all.push(numbers.join(separator));
    }
    all
}

#[test]
fn nothing_that_is_told_about_a_keystore_holds_its_secrets() {
    for (fixture, seen) in FIXTURES.iter() {
        assert!(seen.contents.known().is_some(), "{}: {:?}", fixture.name, seen.contents);
        let is_length = matches!(format(fixture.format).unwrap().look, Look::Length(_));
        if !is_costly(fixture) {
            let copy = &seen.leftovers.found[0];
            assert_eq!(copy.contents.is_some(), !is_length, "{}", fixture.name);
        }
        let told = told(seen);
        // The salt, the stored password of Logstash, and pieces of what is sealed.
        let middle = fixture.bytes.len() / 2;
        let pieces = [&[0xaa; 8][..], b"AAECAwQFBgcICQ", &fixture.bytes[middle..middle + 8]];
        let secrets = [SECRET.as_bytes(), PASSWORD.as_bytes(), NAME.as_bytes()];
        for secret in secrets.into_iter().chain(pieces) {
            for spelling in spellings(secret) {
                let found = told.contains(&spelling);
                assert!(!found, "{}: {spelling} in {told}", fixture.name);
            }
        }
    }
}

#[test]
fn nodes_of_one_cluster_can_be_compared_by_the_fingerprint() {
    let fingerprint = |fixture: &Fixture, cluster: &str| {
        let mut seen = look(fixture);
        seen.service = Some("x".to_owned());
        let mut snapshot = Snapshot::empty();
        snapshot.keystores = vec![seen];
        snapshot.services = vec![Service {
            product: "elasticsearch".to_owned(),
            name: "x".to_owned(),
            state: "running".to_owned(),
            version: None,
            cluster_name: Some(cluster.to_owned()),
            cluster_uuid: None,
            node_name: None,
            roles: Vec::new(),
            tiers: Vec::new(),
            config_dir: None,
            pid: None,
        }];
        posture::evaluate(&snapshot, &Policy::default()).keystores.remove(0).fingerprint.unwrap()
    };
    let of = |seed: &[u8], password: &[u8]| Fixture {
        format: "elasticsearch",
        name: ES.to_owned(),
        password: "",
        bytes: elasticsearch::fixture::sealed(
            ES,
            5,
            u8::from(!password.is_empty()),
            password,
            &[("keystore.seed", seed)],
        ),
    };
    let one = fingerprint(&of(b"abcdefghijklmnopqrst", b""), "prod");
    assert_eq!(one, fingerprint(&of(b"tsrqponmlkjihgfedcba", b""), "prod"));
    assert_ne!(one, fingerprint(&of(b"abcdefghijklmnopqrst", b""), "test"));
    assert_ne!(one, fingerprint(&of(b"abcdefghijklmnopqrst", b"secret"), "prod"));
}

#[test]
fn the_search_for_secrets_finds_them() {
    let value = SECRET.as_bytes();
    let told = format!(
        "{SECRET} {} {value:?} {}",
        STANDARD.encode([b"x", value].concat()),
        serde_json::to_string(value).unwrap()
    );
    let found = spellings(value).iter().filter(|spelling| told.contains(*spelling)).count();
    assert_eq!(found, 4);
}

#[test]
fn trying_the_empty_password_agrees_with_how_each_was_made() {
    for (fixture, seen) in FIXTURES.iter() {
        let contents = seen.contents.known().unwrap();
        let expected = match fixture.format {
            "elastic-agent-store" | "elastic-agent-vault" => None,
            _ => Some(fixture.password.is_empty()),
        };
        assert_eq!(contents.opens_without_password, expected, "{}", fixture.name);
        let protection =
            if expected == Some(false) { Protection::Password } else { Protection::None };
        assert_eq!(contents.protection(), protection, "{}", fixture.name);
    }
}

/// Runs another program; `None`, with the reason on standard output, when it is not there.
fn run(program: &str, arguments: &[&str], directory: &Path) -> Option<Output> {
    let output = Command::new(program).args(arguments).current_dir(directory).output();
    match output {
        Ok(output) => Some(output),
        Err(error) => {
            println!("skipped: {program}: {error}");
            None
        }
    }
}

/// Reads keystores without anything of this crate. For each format, path and password it prints the sealed entries in
/// hex, `shut` or `damaged`; it ends with 77 where a library is missing.
const READER: &str = r#"
import base64, hashlib, struct, sys, zlib
try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError as error:
    print(error)
    sys.exit(77)
def read(form, path, password):
    data = open(path, "rb").read()
    associated, rounds, size = None, 10000, 32
    if form == "elasticsearch":
        body, footer = data[:-16], data[-16:]
        magic, algorithm, stored = struct.unpack(">IIQ", footer)
        if magic != 0xC02893E8 or algorithm or stored != zlib.crc32(data[:-8]):
            return "damaged"
        at = 5 + body[4]
        version, = struct.unpack(">I", body[at:at + 4])
        at += 5
        order = "<" if version >= 5 else ">"
        total, = struct.unpack(order + "I", body[at:at + 4])
        at += 4
        if total != len(body) - at:
            return "damaged"
        parts = []
        for _ in range(3):
            length, = struct.unpack(order + "I", body[at:at + 4])
            parts.append(body[at + 4:at + 4 + length])
            at += 4 + length
        salt, nonce, sealed = parts
        associated = salt
        rounds = 10000 if version < 6 else 210000
        size = 16 if version < 7 else 32
    elif form == "kibana":
        raw = base64.b64decode(data.split(b":", 1)[1], validate=True)
        salt, nonce, sealed = raw[:64], raw[64:76], raw[92:] + raw[76:92]
    elif form == "beats":
        raw = base64.b64decode(data[2:], validate=True)
        salt, nonce, sealed = raw[:64], raw[64:76], raw[76:]
    else:
        salt, nonce, rest = data[2:66], data[66:78], data[78:]
        length, = struct.unpack("<I", rest[:4])
        sealed = rest[4:4 + length]
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds, size)
    try:
        return AESGCM(key).decrypt(nonce, sealed, associated).hex()
    except InvalidTag:
        return "shut"

arguments = sys.argv[1:]
while arguments:
    print(read(*arguments[:3]))
    arguments = arguments[3:]
"#;

#[test]
fn python_reads_the_same_files_alike() {
    let directory = tempfile::tempdir().unwrap();
    let hex = spellings(SECRET.as_bytes()).swap_remove(2);
    let in_base64 = spellings(STANDARD.encode(SECRET).as_bytes()).swap_remove(2);
    let is_read = |fixture: &Fixture| match fixture.format {
        "elasticsearch" => !fixture.name.ends_with(['1', '2']),
        "kibana" | "beats" | "elastic-agent-store" => true,
        _ => false,
    };
    let mut arguments = vec!["-c".to_owned(), READER.to_owned()];
    let mut expected = Vec::new();
    for (number, (fixture, seen)) in FIXTURES.iter().enumerate() {
        if !is_read(fixture) {
            continue;
        }
        let name = format!("keystore-{number}");
        fs::write(directory.path().join(&name), &fixture.bytes).unwrap();
        let opens = seen.contents.known().and_then(|contents| contents.opens_without_password);
        for (password, opens) in
            [(fixture.password, Some(true)), ("", opens), ("another", Some(false))]
        {
            // Without a key, what we say of the store of Elastic Agent is nothing.
            let Some(opens) = opens else { continue };
            arguments.extend([fixture.format, &name, password].map(str::to_owned));
            expected.push((fixture, password, opens));
        }
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let Some(output) = run("python3", &arguments, directory.path()) else { return };
    let text = String::from_utf8_lossy(&output.stdout);
    if output.status.code() == Some(77) {
        println!("skipped: python3: {text}");
        return;
    }
    assert!(output.status.success(), "{output:?}");
    assert_eq!(text.lines().count(), expected.len());
    for (line, (fixture, password, opens)) in text.lines().zip(expected) {
        let what = format!("{} with {password:?}: {line}", fixture.name);
        if opens {
            assert!(line.contains(&hex) || line.contains(&in_base64), "{what}");
        } else {
            assert_eq!(line, "shut", "{what}");
        }
    }
}

#[test]
fn openssl_finds_the_mac_of_a_store_right_where_we_do() {
    let directory = tempfile::tempdir().unwrap();
    for how in [Scheme::Old, Scheme::Pbes2] {
        for password in ["", PASSWORD] {
            let store = logstash::fixture::keystore(Some(password), &["keystore.seed"], how);
            fs::write(directory.path().join("store"), &store).unwrap();
            for tried in ["", PASSWORD, "another"] {
                let given = format!("pass:{tried}");
                let arguments = ["pkcs12", "-in", "store", "-noout", "-passin", &given];
                let Some(output) = run("openssl", &arguments, directory.path()) else { return };
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                let fits = !said.contains("Mac verify error");
                assert_eq!(fits, tried == password, "{tried} for {password}: {said}");
            }
            let Parsed { lock, .. } = logstash::parse(&store).unwrap();
            assert_eq!(lock.unwrap().opens(), Some(password.is_empty()));
        }
    }
}

#[test]
fn stores_that_java_makes_are_understood() {
    let directory = tempfile::tempdir().unwrap();
    for (old, kdf, cipher) in
        [(false, "pbkdf2-hmac-sha256", "aes-256-cbc"), (true, "pkcs12-sha1", "3des-cbc")]
    {
        let name = if old { "old" } else { "new" };
        let mut arguments = vec![
            "-genseckey",
            "-alias",
            "urn:logstash:secret:v1:keystore.seed",
            "-keyalg",
            "AES",
            "-keysize",
            "128",
            "-storetype",
            "PKCS12",
            "-keystore",
            name,
            "-storepass",
            PASSWORD,
        ];
        if old {
            arguments.push("-J-Dkeystore.pkcs12.legacy");
        }
        let Some(output) = run("keytool", &arguments, directory.path()) else { return };
        if !output.status.success() {
            println!("skipped: keytool: {}", String::from_utf8_lossy(&output.stdout));
            return;
        }
        let bytes = fs::read(directory.path().join(name)).unwrap();
        let Parsed { contents, lock } = logstash::parse(&bytes).unwrap();
        assert!(contents.kdf.starts_with(kdf), "{}", contents.kdf);
        assert_eq!((contents.cipher.as_str(), contents.has_password), (cipher, Some(true)));
        assert_eq!(lock.unwrap().opens(), Some(false));
        let mac = pkcs12::parse(&bytes, 0, "").unwrap().mac.unwrap();
        let password: Vec<char> = PASSWORD.chars().collect();
        assert_eq!(mac.verifies(&pkcs12::bmp(&password)), Some(true));
    }
}

/// As Elasticsearch did up to its format 2: a PKCS#12 store under a password without characters.
const EMPTY_PASSWORD: &str = r#"
import java.io.*; import java.security.*; import javax.crypto.*; import javax.crypto.spec.*;
public class Store {
    public static void main(String[] names) throws Exception {
        char[] password = new char[0];
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, password);
        SecretKey key = SecretKeyFactory.getInstance("PBE").generateSecret(new PBEKeySpec("abc".toCharArray()));
        store.setEntry("keystore.seed", new KeyStore.SecretKeyEntry(key), new KeyStore.PasswordProtection(password));
        try (OutputStream out = new FileOutputStream(names[0])) { store.store(out, password); }
    }
}
"#;

#[test]
fn a_store_that_java_makes_without_a_password_opens() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("Store.java"), EMPTY_PASSWORD).unwrap();
    for options in [&["Store.java", "out"][..], &["-Dkeystore.pkcs12.legacy", "Store.java", "out"]]
    {
        let Some(output) = run("java", options, directory.path()) else { return };
        if !output.status.success() {
            println!("skipped: java: {}", String::from_utf8_lossy(&output.stderr));
            return;
        }
        let store = fs::read(directory.path().join("out")).unwrap();
        for version in [1, 2] {
            let bytes = elasticsearch::fixture::around(ES, version, &store);
            assert_eq!(elasticsearch::parse(&bytes).unwrap().lock.unwrap().opens(), Some(true));
        }
    }
}
