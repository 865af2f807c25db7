//! No secret of a host gets into a recording of it, nor into any answer: not by being looked for, but because nothing
//! that could hold one is taken.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test: it fails by panicking, reads its own files and runs the agent"
)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use atrest_agent::discovery::{self, Declared};
use atrest_agent::host::live::LiveHost;
use atrest_agent::host::record::record;
use atrest_agent::observe;
use tempfile::TempDir;

/// Volume keys, in hex as tables have them.
const KEYS: [&str; 4] = [
    "c0ffee0000000000000000000000000000000000000000000000000000c0ffee",
    "decade0000000000000000000000000000000000000000000000000000decade",
    "facade0000000000000000000000000000000000000000000000000000facade",
    "deface0000000000000000000000000000000000000000000000000000deface",
];
/// Everything else that nobody else may see begins so.
const MARK: &str = "Hush";

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A host with secrets wherever one may be.
fn host() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let [crypt, integrity, journal, unknown] = KEYS;
    put(
        root,
        "dmsetup-table.txt",
        &format!(
            "es: 0 2048 crypt aes-xts-plain64 {crypt} 0 8:16 32768 1 allow_discards\n\
             tagged: 0 2048 integrity 8:16 0 32 J 2 internal_hash:hmac(sha256):{integrity} journal_crypt:ctr(aes):{journal}\n\
             inline: 0 2048 inlinecrypt aes-xts-plain64 {unknown} 0 8:16 0\n"
        ),
    );
    for (number, name) in ["es", "tagged", "inline"].into_iter().enumerate() {
        let device = format!("sys/devices/virtual/block/dm-{number}");
        put(root, &format!("{device}/dev"), &format!("254:{number}\n"));
        put(root, &format!("{device}/size"), "2048\n");
        put(root, &format!("{device}/dm/name"), &format!("{name}\n"));
        put(root, &format!("{device}/dm/uuid"), "CRYPT-LUKS2-28632274-es\n");
        put(root, &format!("{device}/dm/suspended"), "0\n");
        put(root, &format!("{device}/slaves/sdb"), "");
        link(
            root,
            &format!("sys/dev/block/254:{number}"),
            &format!("../../devices/virtual/block/dm-{number}"),
        );
    }
    let disk = "sys/devices/pci/block/sdb";
    put(root, &format!("{disk}/dev"), "8:16\n");
    put(root, &format!("{disk}/size"), "4096\n");
    for attribute in ["serial", "wwid", "device/serial", "device/vpd_pg80", "key"] {
        put(root, &format!("{disk}/{attribute}"), "HushSerial\n");
    }
    link(root, "sys/dev/block/8:16", "../../devices/pci/block/sdb");
    put(
        root,
        "run/udev/data/b8:16",
        "S:disk/by-id/ata-HushSerial\nS:disk/by-id/wwn-HushWwn\nS:disk/by-partlabel/es\nE:ID_SERIAL=HushSerial\nE:ID_SERIAL_SHORT=HushSerial\n",
    );
    put(
        root,
        "run/udev/data/b254:0",
        "S:disk/by-id/dm-name-es\nS:mapper/es\nE:DM_NAME=es\nE:X=HushProperty\n",
    );
    // A header as cryptsetup dumps it, laid where a recording's header is looked for, with all that it holds.
    put(
        root,
        "luks/8:16.json",
        r#"{"version":2,"uuid":"28632274-8c8a-493f-835b-da802e1c576b","label":"","subsystem":"","cipher":"aes-xts-plain64","key_bits":512,
            "keyslots":[{"number":0,"unbound":false,"kind":"luks2","key_bits":512,"salt":"HushSalt","area":"HushArea",
              "kdf":{"Argon2":{"variant":"argon2id","time":4,"memory_kib":1048576,"cpus":4,"salt":"HushSalt"}}}],
            "tokens":[{"number":0,"kind":"systemd-tpm2","keyslots":[0],"tpm2-blob":"HushBlob"}],
            "segments":[{"number":0,"kind":"crypt","cipher":"aes-xts-plain64","flags":[]}],
            "requirements":[],"digest":"HushDigest","mk_digest_salt":"HushSalt"}"#,
    );
    let mounts = "20 1 8:16 / / rw - ext4 /dev/sdb rw,secret=HushOption\n\
         21 20 254:0 / /srv/es rw - ext4 /dev/mapper/es rw,HushFlag\n\
         22 20 0:30 / /mnt/ceph rw - ceph 10.0.0.1:/ rw,name=admin,secret=HushCeph,acl\n\
         23 20 0:31 / /mnt/smb rw - cifs //server/share rw,username=es,password=HushSmb,pass=HushSmb\n\
         24 20 0:32 / /mnt/dav rw - fuse.davfs https://es:HushPassword@dav.example.org/es?sig=HushToken rw,user_id=0,token=HushFuse\n\
         25 20 0:33 / /mnt/over rw - overlay overlay rw,lowerdir=/srv/es/l,upperdir=/srv/es/u,workdir=/srv/es/w,secret=HushOver\n\
         26 20 0:34 / /mnt/low rw - ecryptfs /srv/es/low rw,ecryptfs_fnek_sig=HushSignature,ecryptfs_sig=HushSignature,ecryptfs_cipher=aes,ecryptfs_key_bytes=32\n";
    put(root, "proc/self/mountinfo", mounts);
    put(root, "proc/1/mountinfo", mounts);
    put(root, "proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/dev/dm-0 partition 8 0 -2\n");
    put(root, "proc/cmdline", "root=/dev/sda1 password=HushCmdline luks.key=HushCmdline\n");
    put(root, "proc/sys/kernel/hostname", "es-1\n");
    put(root, "proc/sys/kernel/osrelease", "6.1.0\n");
    put(root, "proc/keys", "HushKeyring\n");
    put(root, "etc/os-release", "PRETTY_NAME=\"Debian\"\n");
    put(root, "etc/machine-id", "HushMachineId\n");
    put(root, "etc/hostname", "es-1\n");
    put(root, "etc/fstab", "//server/share /mnt/smb cifs username=es,password=HushFstab 0 0\n");
    put(root, "etc/crypttab", "es /dev/sdb HushKeyFile luks,header=HushHeader\n");
    put(root, "etc/systemd/coredump.conf", "[Coredump]\n# HushComment\nStorage=external\n");
    put(root, "etc/shadow", "root:HushShadow:1::::::\n");
    put(root, "etc/passwd", "root:x:0:0:HushGecos:/root:/bin/sh\n");
    put(root, "usr/share/elasticsearch/bin/elasticsearch", "");
    put(root, "proc/42/status", "PPid:\t1\nUid:\t0 0 0 0\nGid:\t0 0 0 0\n");
    put(root, "proc/42/mountinfo", mounts);
    settings(root);
    put(
        root,
        "agent.toml",
        "paths = [\"/srv/es\", \"/mnt/dav\", \"/mnt/ceph\", \"/mnt/over\", \"/mnt/low\", \"/mnt/smb\"]\n",
    );
    for directory in ["srv/es/logs", "mnt/dav", "mnt/ceph", "mnt/over", "mnt/low", "mnt/smb"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    directory
}

/// A node whose settings hold a secret in every form in which one may be written.
fn settings(root: &Path) {
    let key = "-----BEGIN PRIVATE KEY-----\nHushKeySHVzaFNlY3JldA\n-----END PRIVATE KEY-----\n";
    put(
        root,
        "etc/elasticsearch/elasticsearch.yml",
        "path.data: /srv/es\npath.logs: /srv/es/logs\nxpack.security.http.ssl.keystore.password: HushRaw1\n\
         xpack: {security: {transport.ssl: {keystore: {password: 'HushFlow1'}}}}\n\
         a.tokens: [HushListed1, \"HushListed2\"]\nb.api_key: SHVzaFNlY3JldA==\n\
         c.password: |\n  HushLine1\n  HushLine2\nd: &anchor HushAnchor1\ne.secret: *anchor\n\
         f.hosts: [\"https://u:HushUrl1@es:9200/HushPath\"]\n#g.password: HushComment-42\n\
         \"https://u:HushName1@es.password\": HushRaw2\ncluster.state.encryption.required: false\n",
    );
    put(
        root,
        "etc/elasticsearch/elasticsearch.yml.bak",
        "a: [\nxpack.security.http.ssl.keystore.password: HushBroken1\n\tb: {token: HushBroken2}\n",
    );
    put(
        root,
        "etc/elasticsearch/jvm.options",
        "-Xms1g\n-Djavax.net.ssl.keyStorePassword=HushOption1\n#-Da.password=HushComment-43\n",
    );
    put(root, "etc/elasticsearch/certs/node.key", key);
    put(root, "etc/elasticsearch/users", "elastic:$2a$10$HushHash\n");
    put(
        root,
        "etc/default/elasticsearch",
        "ELASTIC_PASSWORD=HushVariable1\nexport A_TOKEN=\"Hush\nTwo\" B_SECRET=HushVariable2\n\
         ES_JAVA_OPTS=\"-Da.password=HushOption2\"\n",
    );
    put(
        root,
        "etc/systemd/system/elasticsearch.service",
        "[Service]\nEnvironment=\"KEYSTORE_PASSWORD=HushUnit1 HushUnit2\"\nSetCredential=pw:HushCredential\n\
         EnvironmentFile=-/etc/es.env\nExecStart=/bin/es -Ea.password=HushArgument1\n",
    );
    put(root, "etc/es.env", "C_PASSWORD='HushVariable3'\n");
    let server = "java\0-Des.path.home=/usr/share/elasticsearch\0-Des.path.conf=/etc/elasticsearch\0-Djavax.net.ssl.trustStorePassword=HushArgument2\0\
                  -Es3.client.default.secret_key=HushArgument3\0https://u:HushArgument4@h\0\
                  org.elasticsearch.bootstrap.Elasticsearch\0";
    put(root, "proc/42/cmdline", server);
    put(
        root,
        "proc/42/environ",
        "ELASTIC_PASSWORD=HushEnviron1\0xpack.security.http.ssl.key_passphrase=HushEnviron2\0PWD=/HushDirectory\0",
    );
}

fn link(root: &Path, at: &str, target: &str) {
    let at = root.join(at);
    fs::create_dir_all(at.parent().unwrap()).unwrap();
    symlink(target, at).unwrap();
}

fn leaks(text: &[u8], what: &str) {
    let text = String::from_utf8_lossy(text);
    // The second is the mark in Base64.
    for secret in KEYS.into_iter().chain([MARK, "SHVzaF"]) {
        assert!(!text.contains(secret), "{what} holds {secret}:\n{text}");
    }
}

/// Every file of a recording, its name and what links lead to.
fn all_leaks(directory: &Path, files: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.display().to_string();
        leaks(name.as_bytes(), "a name");
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_symlink() {
            leaks(fs::read_link(&path).unwrap().as_os_str().as_encoded_bytes(), &name);
        } else if metadata.is_dir() {
            all_leaks(&path, files);
        } else {
            leaks(&fs::read(&path).unwrap(), &name);
            files.push(name);
        }
    }
}

fn agent(root: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_atrest-agent"))
        .args(arguments)
        .arg("--root")
        .arg(root)
        .arg("--config")
        .arg(root.join("agent.toml"))
        .output()
        .unwrap();
    leaks(&output.stdout, &format!("the answer of {arguments:?}"));
    leaks(&output.stderr, &format!("the log of {arguments:?}"));
    assert!(
        !output.stdout.is_empty(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

const PATHS: [&str; 6] = ["/srv/es", "/mnt/ceph", "/mnt/smb", "/mnt/dav", "/mnt/over", "/mnt/low"];

fn answers(root: &Path) -> Vec<String> {
    let mut answers = Vec::new();
    for format in ["json", "text"] {
        answers.push(agent(root, &["scan", "--format", format]));
        answers.push(agent(root, &[&["check", "--format", format][..], &PATHS].concat()));
    }
    let without_time = |text: String| {
        text.lines().filter(|line| !line.contains("observed")).collect::<Vec<_>>().join("\n")
    };
    answers.into_iter().map(without_time).collect()
}

#[test]
fn the_secrets_are_where_they_would_be_seen() {
    let host = host();
    let mountinfo = fs::read_to_string(host.path().join("proc/self/mountinfo")).unwrap();
    assert!(mountinfo.contains(MARK));
    let caught = std::panic::catch_unwind(|| leaks(mountinfo.as_bytes(), "a table"));
    assert!(caught.is_err());
}

#[test]
fn no_answer_about_a_host_holds_its_secrets() {
    let host = host();
    let check = agent(host.path(), &[&["check", "--format", "json"][..], &PATHS].concat());
    // It did look: a table that was not read holds no secret either.
    for known in ["aes-xts-plain64", "argon2id", "ecryptfs", "dav.example.org"] {
        assert!(check.contains(known), "{known} in {check}");
    }
    let answers = answers(host.path());
    assert!(answers.iter().any(|answer| answer.contains("/srv/es/logs")), "{answers:?}");
}

#[test]
fn no_file_of_a_recording_holds_a_secret_and_it_answers_as_the_host_did() {
    let host = host();
    let recorded = tempfile::tempdir().unwrap();
    let directory = recorded.path().join("recording");
    agent(host.path(), &["record", directory.to_str().unwrap()]);
    let mut files = Vec::new();
    all_leaks(&directory, &mut files);
    for known in ["mountinfo", "dmsetup-table.txt", "8:16.json", "b8:16"] {
        assert!(files.iter().any(|file| file.ends_with(known)), "{known} in {files:?}");
    }
    fs::copy(host.path().join("agent.toml"), directory.join("agent.toml")).unwrap();
    let check = |root| agent(root, &[&["check", "--format", "json"][..], &PATHS].concat());
    let verdicts = |text: &str| -> Vec<String> {
        let answer: serde_json::Value = serde_json::from_str(text).unwrap();
        let paths = answer["paths"].as_array().unwrap();
        paths.iter().map(|path| format!("{} {}", path["verdict"], path["stack"])).collect()
    };
    assert_eq!(verdicts(&check(&directory)), verdicts(&check(host.path())));
    // A recording of a recording is the same again.
    let again = recorded.path().join("again");
    agent(&directory, &["record", again.to_str().unwrap()]);
    let mut files_again = Vec::new();
    all_leaks(&again, &mut files_again);
    // Links are looked for where discovery finds a node, whose files a recording does not hold.
    for file in files.into_iter().filter(|file| !file.ends_with("/links.json")) {
        let copy = file.replace("/recording/", "/again/");
        assert_eq!(fs::read(&file).unwrap(), fs::read(&copy).unwrap(), "{file}");
    }
}

/// What is said of secrets, in order.
fn secrets_of(root: &Path) -> Vec<String> {
    let answer: serde_json::Value =
        serde_json::from_str(&agent(root, &["scan", "--format", "json"])).unwrap();
    let checks = ["plaintext_secret", "cluster_state_encryption"];
    let findings = answer["findings"].as_array().unwrap().iter();
    findings
        .filter(|finding| checks.contains(&finding["check"].as_str().unwrap()))
        .map(|finding| {
            let parts = ["asset", "outcome", "severity", "summary"];
            parts.map(|part| finding[part].as_str().unwrap()).join(" | ")
        })
        .collect()
}

#[test]
fn every_secret_of_the_settings_is_named_and_a_recording_says_the_same() {
    let host = host();
    let seen = secrets_of(host.path());
    let all = seen.join("\n");
    for (asset, settings) in [
        (
            "secrets:/etc/elasticsearch/elasticsearch.yml |",
            &[
                "xpack.security.http.ssl.keystore.password (line 3)",
                "xpack.security.transport.ssl.keystore.password (line 4)",
                "a.tokens.0 (line 5)",
                "b.api_key (line 6)",
                "c.password (line 7)",
                "e.secret (line 11)",
                "f.hosts.0 (line 12, URL with a password)",
                " and 2 more",
            ][..],
        ),
        (
            "secrets:/etc/elasticsearch/elasticsearch.yml.bak |",
            &["xpack.security.http.ssl.keystore.password (line 2)", "token (line 3)"],
        ),
        (
            "secrets:/etc/elasticsearch/jvm.options |",
            &["javax.net.ssl.keyStorePassword (line 2)", "in a comment"],
        ),
        ("secrets:/etc/elasticsearch/certs/node.key |", &["an unencrypted private key"]),
        ("secrets:/etc/elasticsearch/users |", &["the password hashes of users"]),
        (
            "secrets:/etc/default/elasticsearch |",
            &["ELASTIC_PASSWORD (line 1)", "A_TOKEN", "B_SECRET", "a.password"],
        ),
        (
            "secrets:/etc/systemd/system/elasticsearch.service |",
            &["KEYSTORE_PASSWORD (line 2)", "SetCredential=pw (line 3)", "a.password (line 5)"],
        ),
        ("secrets:/etc/es.env |", &["C_PASSWORD (line 1)"]),
        (
            "environment:elasticsearch |",
            &["ELASTIC_PASSWORD", "xpack.security.http.ssl.key_passphrase"],
        ),
        (
            "arguments:elasticsearch |",
            &["javax.net.ssl.trustStorePassword", "s3.client.default.secret_key"],
        ),
    ] {
        let line = seen.iter().find(|line| line.starts_with(asset));
        let line = line.unwrap_or_else(|| panic!("{asset} in {all}"));
        assert!(line.contains("| fail |"), "{line}");
        for setting in settings {
            assert!(line.contains(setting), "{setting} in {line}");
        }
    }
    let recorded = tempfile::tempdir().unwrap();
    let directory = recorded.path().join("recording");
    agent(host.path(), &["record", directory.to_str().unwrap()]);
    fs::copy(host.path().join("agent.toml"), directory.join("agent.toml")).unwrap();
    assert!(directory.join("services.json").exists());
    assert!(!directory.join("etc/elasticsearch/elasticsearch.yml").exists());
    assert_eq!(secrets_of(&directory), seen);
}

#[test]
fn neither_a_snapshot_nor_a_recording_of_a_running_host_holds_a_secret() {
    let root = host();
    let declared = Declared {
        paths: PATHS.iter().map(|path| (*path).into()).collect(),
        ..Declared::default()
    };
    let host = LiveHost::new(root.path());
    let found = discovery::discover(&host, &declared);
    let snapshot = observe::observe(&host, found, jiff::Timestamp::UNIX_EPOCH);
    leaks(&serde_json::to_vec(&snapshot).unwrap(), "the snapshot");
    assert!(serde_json::to_string(&snapshot).unwrap().contains("/mnt/ceph"));
    let directory = root.path().join("recording");
    record(&host, &declared, &directory).unwrap();
    let mut files = Vec::new();
    all_leaks(&directory, &mut files);
    assert!(files.iter().any(|file| file.ends_with("/proc/self/mountinfo")), "{files:?}");
}
