//! What a test has: an emulator, buckets in it, and the agent.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use atrest_tests::emulator::Emulator;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ServerSideEncryption, ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration,
    ServerSideEncryptionRule,
};
use serde_json::Value;
use tempfile::TempDir;

/// The files of a repository with two indices and one snapshot.
pub(crate) const FILES: [&str; 8] = [
    "index-0",
    "index.latest",
    "snap-a.dat",
    "meta-a.dat",
    "indices/u1/0/__1",
    "indices/u1/0/__2",
    "indices/u2/0/__1",
    "indices/u2/meta-x.dat",
];

/// A directory of its own, clients for the emulator, and what is declared so far.
pub(crate) struct Scene<'a> {
    pub(crate) moto: &'a Emulator,
    pub(crate) directory: TempDir,
    runtime: tokio::runtime::Runtime,
    s3: aws_sdk_s3::Client,
    kms: aws_sdk_kms::Client,
    config: String,
    /// Buckets of tests do not meet: the emulator is one for all.
    prefix: String,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(moto: &'a Emulator) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let http = aws_smithy_http_client::Builder::new().build_http();
        let keys = Credentials::new("key", "secret", None, None, "test");
        let s3 = aws_sdk_s3::config::Builder::new()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .endpoint_url(&moto.url)
            .force_path_style(true)
            .http_client(http.clone())
            .credentials_provider(keys.clone())
            .region(Region::from_static("us-east-1"));
        let kms = aws_sdk_kms::config::Builder::new()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .endpoint_url(&moto.url)
            .http_client(http)
            .credentials_provider(keys)
            .region(Region::from_static("us-east-1"));
        let prefix =
            directory.path().file_name().context("a name")?.to_string_lossy().to_lowercase();
        Ok(Self {
            moto,
            runtime,
            s3: aws_sdk_s3::Client::from_conf(s3.build()),
            kms: aws_sdk_kms::Client::from_conf(kms.build()),
            config: format!("state_dir = \"{}/state\"\n", directory.path().display()),
            prefix: prefix.trim_start_matches('.').to_owned(),
            directory,
        })
    }

    /// What a test calls `name` in the emulator.
    pub(crate) fn bucket_name(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// An empty bucket.
    pub(crate) fn bucket(&self, name: &str) -> anyhow::Result<String> {
        let bucket = self.bucket_name(name);
        self.runtime.block_on(self.s3.create_bucket().bucket(&bucket).send())?;
        Ok(bucket)
    }

    /// Sets what new objects get.
    pub(crate) fn encrypt(
        &self,
        bucket: &str,
        algorithm: &str,
        key: Option<&str>,
    ) -> anyhow::Result<()> {
        let default = ServerSideEncryptionByDefault::builder()
            .sse_algorithm(ServerSideEncryption::from(algorithm))
            .set_kms_master_key_id(key.map(str::to_owned))
            .build()?;
        let rule = ServerSideEncryptionRule::builder()
            .apply_server_side_encryption_by_default(default)
            .build();
        let rules = ServerSideEncryptionConfiguration::builder().rules(rule).build()?;
        let request = self
            .s3
            .put_bucket_encryption()
            .bucket(bucket)
            .server_side_encryption_configuration(rules);
        self.runtime.block_on(request.send())?;
        Ok(())
    }

    pub(crate) fn policy(&self, bucket: &str, policy: &str) -> anyhow::Result<()> {
        let request = self.s3.put_bucket_policy().bucket(bucket).policy(policy);
        self.runtime.block_on(request.send())?;
        Ok(())
    }

    pub(crate) fn put(&self, bucket: &str, names: &[&str]) -> anyhow::Result<()> {
        for name in names {
            let key = format!("prod/{name}");
            let body = ByteStream::from_static(b"segment");
            let request = self.s3.put_object().bucket(bucket).key(key).body(body);
            self.runtime.block_on(request.send())?;
        }
        Ok(())
    }

    /// A key that the customer manages, by its ARN.
    pub(crate) fn key(&self) -> anyhow::Result<String> {
        let made = self.runtime.block_on(self.kms.create_key().send())?;
        made.key_metadata.and_then(|key| key.arn).context("an ARN")
    }

    pub(crate) fn delete_key(&self, key: &str) -> anyhow::Result<()> {
        // The emulator knows no ARN here.
        let id = key.rsplit('/').next().unwrap_or_default();
        self.runtime.block_on(
            self.kms.schedule_key_deletion().key_id(id).pending_window_in_days(7).send(),
        )?;
        Ok(())
    }

    /// Declares a repository in a bucket of the emulator.
    pub(crate) fn declare(&mut self, name: &str, bucket: &str) -> anyhow::Result<()> {
        let endpoint = self.moto.url.clone();
        self.declare_at(
            name,
            "s3",
            &format!("bucket = {bucket:?}, base_path = \"prod\", endpoint = {endpoint:?}"),
        )
    }

    pub(crate) fn declare_at(
        &mut self,
        name: &str,
        kind: &str,
        settings: &str,
    ) -> anyhow::Result<()> {
        writeln!(
            self.config,
            "[[repositories]]\nname = {name:?}\ntype = {kind:?}\nsettings = {{ {settings} }}"
        )?;
        Ok(())
    }

    /// Adds to the configuration.
    pub(crate) fn configure(&mut self, text: &str) {
        // Sections end the top of the file: what stands alone has to come first.
        self.config.push_str(text);
        self.config.push('\n');
    }

    /// `atrest-agent scan --format json`, with the emulator's key service and credentials of its own.
    pub(crate) fn scan(&self) -> anyhow::Result<Scan> {
        self.scan_with(&[
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
            ("AWS_ENDPOINT_URL_KMS", &self.moto.url),
        ])
    }

    #[expect(clippy::disallowed_methods, reason = "the agent is a process of its own")]
    pub(crate) fn scan_with(&self, environment: &[(&str, &str)]) -> anyhow::Result<Scan> {
        let config = self.directory.path().join("agent.toml");
        std::fs::write(&config, &self.config)?;
        let mut command = Command::new(agent()?);
        for name in [
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_PROFILE",
            "HTTP_PROXY",
            "HTTPS_PROXY",
        ] {
            command.env_remove(name);
        }
        let output = command
            .args(["scan", "--format", "json", "--config"])
            .arg(config)
            // No instance gives credentials here, and nobody is asked for them.
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("HOME", self.directory.path())
            .envs(environment.iter().copied())
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!text.contains("hunter2") && !log.contains("hunter2"), "a secret is told: {log}");
        let answer = serde_json::from_str(&text).with_context(|| format!("no answer: {log}"))?;
        Ok(Scan { answer })
    }
}

fn agent() -> anyhow::Result<PathBuf> {
    let tests = std::env::current_exe()?;
    let directory =
        tests.ancestors().nth(2).map(Path::to_owned).context("a directory of builds")?;
    let agent = directory.join("atrest-agent");
    ensure!(agent.exists(), "{} is missing: build the workspace first", agent.display());
    Ok(agent)
}

/// The answer of a scan.
pub(crate) struct Scan {
    answer: Value,
}

impl Scan {
    fn list(&self, name: &str) -> impl Iterator<Item = &Value> {
        self.answer[name].as_array().into_iter().flatten()
    }

    /// What is said of a repository: `encryption`, `keys`, `evidence`.
    pub(crate) fn repository(&self, name: &str) -> anyhow::Result<&Value> {
        let mut found = self.list("repositories").filter(|one| one["name"] == name);
        let one = found.next().with_context(|| format!("no repository {name}"))?;
        ensure!(found.next().is_none(), "{name} stands there twice");
        Ok(one)
    }

    /// The finding of a check on a repository.
    pub(crate) fn finding(&self, check: &str, name: &str) -> anyhow::Result<&Value> {
        let asset = self.repository(name)?["asset"].clone();
        self.list("findings")
            .find(|found| found["check"] == check && found["asset"] == asset)
            .with_context(|| format!("no {check} of {name}"))
    }

    /// Holds that a repository is encrypted so, with these outcomes of the three checks.
    pub(crate) fn holds(
        &self,
        name: &str,
        encryption: &str,
        outcomes: [&str; 3],
    ) -> anyhow::Result<()> {
        let one = self.repository(name)?;
        ensure!(one["encryption"] == encryption, "{one}");
        let checks = ["repository_encrypted", "repository_key", "repository_old_objects"];
        for (check, outcome) in checks.into_iter().zip(outcomes) {
            let is_there = self.finding(check, name);
            if outcome.is_empty() {
                ensure!(is_there.is_err(), "{is_there:?}");
            } else {
                let found = is_there?;
                ensure!(found["outcome"] == outcome, "{found}");
            }
        }
        Ok(())
    }

    /// The finding that the repositories of the node are not known.
    pub(crate) fn unlisted(&self) -> Option<&Value> {
        let is_it = |found: &&Value| {
            found["asset"].as_str().unwrap_or_default().starts_with("repositories:")
        };
        self.list("findings").find(is_it)
    }
}
