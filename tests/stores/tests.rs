//! The tests, by name.

use std::path::Path;

use anyhow::{Context as _, ensure};
use atrest_tests::emulator::Emulator;
use atrest_tests::search_node::{Manner, Node, Part};
use serde_json::json;

use crate::scene::{FILES, Scene};
use crate::{azurite, proxy};

type Test = fn(&mut Scene<'_>) -> anyhow::Result<()>;

pub(crate) const ALL: &[(&str, Test)] = &[
    ("each kind of bucket has its outcome", buckets),
    ("an old plain object fails with its name", old_object),
    ("a customer's key may be demanded", customer_key),
    ("a key that is about to be deleted fails", dying_key),
    ("what a policy refuses is evidence", policy),
    ("without credentials nothing is asked", no_credentials),
    ("a store that is away is unreachable, in time", away),
    ("a large repository is sampled within its budget", large),
    ("a proxy is used", by_proxy),
    ("an emulator of Azure is listed, and proves nothing", emulated_azure),
    ("a node's repositories of all kinds have a line each", node),
    ("a node that does not tell its repositories is unknown", silent_node),
];

fn buckets(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let key = scene.key()?;
    for (name, default) in [
        ("plain", None),
        ("aes", Some(("AES256", None))),
        ("kms", Some(("aws:kms", Some(key.as_str())))),
    ] {
        let bucket = scene.bucket(name)?;
        if let Some((algorithm, key)) = default {
            scene.encrypt(&bucket, algorithm, key)?;
        }
        scene.put(&bucket, &FILES)?;
        scene.declare(name, &bucket)?;
    }
    let empty = scene.bucket("empty")?;
    scene.encrypt(&empty, "AES256", None)?;
    scene.declare("empty", &empty)?;
    let missing = scene.bucket_name("missing");
    scene.declare("missing", &missing)?;
    let scan = scene.scan()?;
    // Amazon itself has no bucket without a default any more; MinIO and others do, and answer as the emulator does.
    scan.holds("plain", "plaintext", ["fail", "not_applicable", "not_applicable"])?;
    scan.holds("aes", "provider_key", ["pass", "pass", "pass"])?;
    scan.holds("kms", "customer_key", ["pass", "pass", "pass"])?;
    scan.holds("empty", "provider_key", ["pass", "pass", "pass"])?;
    scan.holds("missing", "unproven", ["unknown", "not_applicable", ""])?;
    ensure!(scan.repository("kms")?["keys"] == json!([key]), "{}", scan.repository("kms")?);
    let found = scan.finding("repository_encrypted", "aes")?;
    ensure!(found["evidence"]["objects_asked"] == "8", "{found}");
    ensure!(found["evidence"]["listing_complete"] == "true", "{found}");
    Ok(())
}

fn old_object(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let bucket = scene.bucket("old")?;
    scene.put(&bucket, &["indices/u1/0/__old"])?;
    scene.encrypt(&bucket, "AES256", None)?;
    scene.put(&bucket, &FILES)?;
    scene.declare("old", &bucket)?;
    let scan = scene.scan()?;
    scan.holds("old", "plaintext", ["fail", "not_applicable", "fail"])?;
    for check in ["repository_encrypted", "repository_old_objects"] {
        let found = scan.finding(check, "old")?;
        ensure!(
            found["summary"].as_str().is_some_and(|text| text.contains("indices/u1/0/__old")),
            "{found}"
        );
    }
    Ok(())
}

fn customer_key(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let key = scene.key()?;
    let (aes, kms, mixed) = (scene.bucket("aes")?, scene.bucket("kms")?, scene.bucket("mixed")?);
    scene.encrypt(&aes, "AES256", None)?;
    scene.encrypt(&kms, "aws:kms", Some(&key))?;
    scene.encrypt(&mixed, "AES256", None)?;
    scene.put(&mixed, &["snap-old.dat"])?;
    scene.encrypt(&mixed, "aws:kms", Some(&key))?;
    for (name, bucket) in [("aes", &aes), ("kms", &kms), ("mixed", &mixed)] {
        scene.put(bucket, &FILES)?;
        scene.declare(name, bucket)?;
    }
    scene.configure("[policy.repositories]\nrequire_customer_key = true");
    let scan = scene.scan()?;
    scan.holds("aes", "provider_key", ["pass", "fail", "pass"])?;
    scan.holds("kms", "customer_key", ["pass", "pass", "pass"])?;
    scan.holds("mixed", "provider_key", ["pass", "fail", "fail"])?;
    let found = scan.finding("repository_old_objects", "mixed")?;
    ensure!(found["summary"].as_str().is_some_and(|text| text.contains("snap-old.dat")), "{found}");
    // Whose key it is cannot be asked: then it is not known.
    let scan = scene.scan_with(&[
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:1"),
    ])?;
    scan.holds("kms", "provider_key", ["pass", "unknown", "pass"])
}

fn dying_key(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let (key, bucket) = (scene.key()?, scene.bucket("kms")?);
    scene.encrypt(&bucket, "aws:kms", Some(&key))?;
    scene.put(&bucket, &FILES)?;
    scene.delete_key(&key)?;
    scene.declare("kms", &bucket)?;
    let scan = scene.scan()?;
    scan.holds("kms", "customer_key", ["pass", "fail", "pass"])?;
    let found = scan.finding("repository_key", "kms")?;
    ensure!(
        found["summary"].as_str().is_some_and(|text| text.contains("PendingDeletion")),
        "{found}"
    );
    Ok(())
}

fn policy(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let bucket = scene.bucket("strict")?;
    scene.encrypt(&bucket, "AES256", None)?;
    scene.put(&bucket, &FILES)?;
    let denial = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": format!("arn:aws:s3:::{bucket}/*"),
        "Condition": {"Null": {"s3:x-amz-server-side-encryption": "true"}}}]});
    scene.policy(&bucket, &denial.to_string())?;
    scene.declare("strict", &bucket)?;
    let scan = scene.scan()?;
    let found = scan.finding("repository_encrypted", "strict")?;
    ensure!(found["evidence"]["policy_refuses"] == "writes that ask for no encryption", "{found}");
    Ok(())
}

fn no_credentials(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let bucket = scene.bucket("aes")?;
    scene.encrypt(&bucket, "AES256", None)?;
    scene.put(&bucket, &FILES)?;
    scene.declare("aes", &bucket)?;
    let scan = scene.scan_with(&[])?;
    scan.holds("aes", "unproven", ["unknown", "not_applicable", ""])?;
    let found = scan.finding("repository_encrypted", "aes")?;
    ensure!(found["remedy"].as_str().is_some_and(|text| text.contains("s3:ListBucket")), "{found}");
    Ok(())
}

fn away(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    // Nobody listens there, and there somebody listens who never answers.
    let deaf = std::net::TcpListener::bind("127.0.0.1:0")?;
    let deaf = format!("http://{}", deaf.local_addr()?);
    for (name, endpoint) in [("nobody", "http://127.0.0.1:1"), ("deaf", deaf.as_str())] {
        scene.declare_at(
            name,
            "s3",
            &format!("bucket = \"some-bucket\", endpoint = {endpoint:?}"),
        )?;
    }
    scene.configure("[remote_repositories]\ntimeout = 2");
    let scan = scene.scan()?;
    for name in ["nobody", "deaf"] {
        scan.holds(name, "unreachable", ["unknown", "not_applicable", ""])?;
    }
    Ok(())
}

fn large(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let bucket = scene.bucket("large")?;
    scene.encrypt(&bucket, "AES256", None)?;
    let names: Vec<String> = (0..40)
        .flat_map(|index| (0..3).map(move |segment| format!("indices/u{index:02}/0/__{segment}")))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    scene.put(&bucket, &FILES)?;
    scene.put(&bucket, &names)?;
    scene.declare("large", &bucket)?;
    scene.configure("[remote_repositories]\nrequests = 20");
    let scan = scene.scan()?;
    scan.holds("large", "provider_key", ["pass", "pass", "pass"])?;
    let found = scan.finding("repository_encrypted", "large")?;
    let evidence = &found["evidence"];
    ensure!(evidence["listing_complete"] == "false", "{found}");
    ensure!(
        evidence["not_covered"].as_str().is_some_and(|text| text.contains("indices listed")),
        "{found}"
    );
    let requests: u32 = evidence["requests"].as_str().unwrap_or_default().parse()?;
    ensure!(requests <= 20, "{found}");
    Ok(())
}

fn by_proxy(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let bucket = scene.bucket("aes")?;
    scene.encrypt(&bucket, "AES256", None)?;
    scene.put(&bucket, &FILES)?;
    // A name that only the proxy can know.
    scene.declare_at(
        "aes",
        "s3",
        &format!("bucket = {bucket:?}, base_path = \"prod\", endpoint = \"http://store.invalid\""),
    )?;
    let proxy = proxy::start(&scene.moto.url)?;
    scene.configure(&format!("[remote_repositories]\nproxy = {proxy:?}"));
    scene.scan()?.holds("aes", "provider_key", ["pass", "pass", "pass"])
}

fn emulated_azure(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let azurite = Emulator::azurite()??;
    for (name, is_public) in [("public", true), ("private", false)] {
        azurite::container(&azurite, name, is_public)?;
        let endpoint = azurite::endpoint(&azurite);
        let settings =
            format!("container = {name:?}, base_path = \"prod\", azure_endpoint = {endpoint:?}");
        scene.declare_at(name, "azure", &settings)?;
    }
    let scan = scene.scan()?;
    // It says of every blob that it is encrypted, and keeps them in its memory.
    scan.holds("public", "unproven", ["unknown", "not_applicable", "unknown"])?;
    let found = scan.finding("repository_encrypted", "public")?;
    let evidence = &found["evidence"];
    let listed: usize = evidence["objects_listed"].as_str().unwrap_or_default().parse()?;
    ensure!(listed == FILES.len(), "{found}");
    ensure!(evidence["listing_complete"] == "true", "{found}");
    ensure!(found["summary"].as_str().is_some_and(|text| text.contains("AES256")), "{found}");
    let found = scan.finding("repository_encrypted", "private")?;
    ensure!(found["outcome"] == "unknown" && found["remedy"] != "", "{found}");
    Ok(())
}

fn start(scene: &Scene<'_>, part: impl FnOnce(Part) -> Part) -> anyhow::Result<(Node, String)> {
    let root = scene.directory.path();
    for directory in ["config", "data", "logs", "home", "backup/fs"] {
        std::fs::create_dir_all(root.join(directory))?;
    }
    let path = root.display();
    let settings = json!({
        "path.data": format!("{path}/data"), "path.logs": format!("{path}/logs"), "path.home": format!("{path}/home"),
        "path.repo": [format!("{path}/backup")],
    });
    let arguments = [
        format!("-Des.path.home={path}/home"),
        format!("-Des.path.conf={path}/config"),
        "org.elasticsearch.bootstrap.Elasticsearch".to_owned(),
    ];
    let part = part(Part::new(settings));
    let node = Node::start(Path::new(env!("CARGO_BIN_EXE_search-node")), &arguments, &part)?;
    let yml = format!(
        "path.data: {path}/data\npath.logs: {path}/logs\npath.repo: {path}/backup\nhttp.port: {}\n\
         s3.client.default.endpoint: {}\ngcs.client.default.endpoint: http://127.0.0.1:1\n",
        node.address.port(),
        scene.moto.url
    );
    std::fs::write(root.join("config/elasticsearch.yml"), yml)?;
    Ok((node, format!("{path}/backup/fs")))
}

fn node(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let bucket = scene.bucket("aes")?;
    scene.encrypt(&bucket, "AES256", None)?;
    scene.put(&bucket, &FILES)?;
    let (node, directory) = start(scene, |part| Part {
        repositories: json!({
            "aes": {"type": "s3", "uuid": "u", "settings": {"bucket": bucket, "base_path": "prod"}},
            "fs": {"type": "fs", "settings": {"location": "fs", "compress": "true"}},
            "ro": {"type": "url", "settings": {"url": "https://u:hunter2@backup.example/es/"}},
            "src": {"type": "source", "settings": {"delegate_type": "s3", "bucket": bucket, "base_path": "prod"}},
            "gcs": {"type": "gcs", "settings": {"bucket": "acme-es"}},
            "az": {"type": "azure", "settings": {"container": "es"}},
            "hadoop": {"type": "hdfs", "settings": {"uri": "hdfs://namenode:8020/", "path": "es"}},
            "what": {"type": "cos", "settings": {"bucket": "x"}},
        }),
        ..part
    })?;
    scene.configure("[remote_repositories]\ntimeout = 5");
    let scan = scene.scan()?;
    drop(node);
    scan.holds("aes", "provider_key", ["pass", "pass", "pass"])?;
    scan.holds("src", "provider_key", ["pass", "pass", "pass"])?;
    let fs = scan.repository("fs")?;
    ensure!(fs["location"] == directory.as_str() && fs["source"] == "api", "{fs}");
    for name in ["ro", "gcs", "az", "hadoop", "what"] {
        let one = scan.repository(name)?;
        ensure!(one["encryption"] == "unproven" || one["encryption"] == "unreachable", "{one}");
        let found = scan.finding("repository_encrypted", name)?;
        ensure!(found["outcome"] == "unknown" && found["remedy"] != "", "{found}");
    }
    Ok(())
}

fn silent_node(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let (node, _) = start(scene, |part| Part {
        manner: Manner::Forbids,
        manner_of: "/_snapshot".to_owned(),
        ..part
    })?;
    let scan = scene.scan()?;
    drop(node);
    let found = scan.unlisted().context("no finding says that repositories are not known")?;
    let remedy = found["remedy"].as_str().unwrap_or_default();
    ensure!(found["outcome"] == "unknown" && remedy.contains("monitor_snapshot"), "{found}");
    Ok(())
}
