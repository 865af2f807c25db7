//! Volumes of clouds: what the provider says of the disks of this machine. A claim, never a proof.
//!
//! Amazon EBS: an NVMe disk of that model has the volume's id as its serial number ("Identify the device", EBS user guide).
//! The provider is asked whether it encrypts the volume, and whether it is attached to this very instance.

pub mod answer;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use atrest_proto::model::{Gap, Reason};
use aws_config::SdkConfig;
use aws_sdk_s3::config::ProvideCredentials as _;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use jiff::Timestamp;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::budget::Budget;
use super::rest::{Question, Rest};
use super::store::Failure;
use super::{Settings, http::Http, prepare, s3};
use crate::host::Host;
use crate::path::HostPath;
use crate::snapshot::Namespace;
use answer::Volume;

/// What an NVMe disk of Amazon says it is.
const MODEL: &str = "Amazon Elastic Block Store";
/// The instance's own id, on the Nitro system.
const INSTANCE: &str = "/sys/class/dmi/id/board_asset_tag";
/// A serial number and a model are short.
const SHORT: usize = 256;
/// More disks than an instance can have.
const MOST: usize = 128;

/// What the disks of this machine say of themselves: whether they are volumes, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disks {
    /// By the kernel's name of the disk, the volume's id.
    volumes: BTreeMap<String, String>,
    /// The id of this instance; empty where none is told.
    instance: String,
}

impl Disks {
    /// Looks at them: of the half that looks.
    pub fn observe(host: &dyn Host) -> Self {
        let volumes = disks(host);
        let instance = if volumes.is_empty() { String::new() } else { instance(host) };
        Self { volumes, instance }
    }
}

/// Asks what the provider says of these disks: who claims to encrypt which, by the kernel's name of the disk.
pub fn consult(
    disks: &Disks,
    settings: &Settings,
    now: Timestamp,
) -> Result<BTreeMap<String, String>, Gap> {
    if !settings.volumes || disks.volumes.is_empty() {
        return Ok(BTreeMap::new());
    }
    let asked = match prepare(settings) {
        Ok((http, runtime)) => {
            let ids = disks.volumes.values().cloned().collect();
            let budget = Budget::new(settings.requests, settings.timeout);
            runtime.block_on(Box::pin(ask(&ids, &http, &budget, now)))
        }
        Err(_) => Err(Failure::Other("no way to the provider can be set up".to_owned())),
    };
    match asked {
        Ok(volumes) => Ok(claims(&disks.volumes, &volumes, &disks.instance)),
        Err(failure) => Err(Gap {
            subject: "volumes of the cloud".to_owned(),
            reason: Reason::NoPermission,
            detail: failure.to_string(),
            remedy: failure.remedy(),
        }),
    }
}

fn line(host: &dyn Host, path: &str) -> String {
    let bytes = host.read(&Namespace::Host, &HostPath::from(path), SHORT).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

/// The disks that say that they are volumes: the kernel's name, and the volume's id.
fn disks(host: &dyn Host) -> BTreeMap<String, String> {
    let names = host.list(&Namespace::Host, &HostPath::from("/sys/block")).unwrap_or_default();
    let names = names.into_iter().filter_map(|name| String::from_utf8(name).ok());
    let disks = names.filter(|name| name.starts_with("nvme")).filter_map(|name| {
        let of = |fact: &str| line(host, &format!("/sys/block/{name}/device/{fact}"));
        if of("model") != MODEL {
            return None;
        }
        let id = volume_id(&of("serial"))?;
        Some((name, id))
    });
    disks.take(MOST).collect()
}

/// `vol0123…`, as the serial number has it, as the provider writes it.
fn volume_id(serial: &str) -> Option<String> {
    let number = serial.strip_prefix("vol")?;
    let number = number.strip_prefix('-').unwrap_or(number);
    let is_id = (8..=17).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase());
    is_id.then(|| format!("vol-{number}"))
}

fn instance(host: &dyn Host) -> String {
    line(host, INSTANCE)
}

/// Who claims to encrypt which disk. Only what is attached to this instance counts: a serial number is the disk's own word.
fn claims(
    disks: &BTreeMap<String, String>,
    volumes: &BTreeMap<String, Volume>,
    instance: &str,
) -> BTreeMap<String, String> {
    let claims = disks.iter().filter_map(|(name, id)| {
        let volume = volumes.get(id)?;
        let is_here = instance.starts_with("i-") && volume.attached_to.contains(instance);
        if !volume.is_encrypted || !is_here {
            return None;
        }
        let key = volume.key.as_ref().map(|key| format!(", key {key}")).unwrap_or_default();
        Some((name.clone(), format!("Amazon EBS, {id}{key}")))
    });
    claims.collect()
}

/// What Amazon says of volumes; those that it does not know are left out.
async fn ask(
    ids: &BTreeSet<String>,
    http: &Http,
    budget: &Budget,
    now: Timestamp,
) -> Result<BTreeMap<String, Volume>, Failure> {
    let shared = s3::credentials(None, http).await?;
    let region = shared.region().map(|region| region.as_ref().to_owned());
    let region = region.ok_or_else(|| Failure::NoCredentials {
        detail: "the region of this instance is not known".to_owned(),
        remedy: "set AWS_REGION for the agent's service".to_owned(),
    })?;
    let url = question(&endpoint(&region, &shared)?, ids);
    let client = http.client().map_err(Failure::Other)?;
    let rest = Rest::new(client, budget, |_, body| answer::says(body));
    let headers = signed(&url, &region, &shared, now).await?;
    let question = Question { url, headers, action: "ec2:DescribeVolumes" };
    let (_, body) = rest.paid(question).await?;
    answer::volumes(&body).map_err(|error| Failure::Other(error.to_string()))
}

/// Amazon's own, over TLS. Another one is no provider, and is not asked.
fn endpoint(region: &str, shared: &SdkConfig) -> Result<Url, Failure> {
    if shared.endpoint_url().is_some() {
        return Err(Failure::NotSupported(
            "another endpoint than Amazon's is configured (AWS_ENDPOINT_URL): what it claims is nobody's word".to_owned(),
        ));
    }
    let is_plain = region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let url = Url::parse(&format!("https://ec2.{region}.{domain}/"));
    url.ok()
        .filter(|_| is_plain)
        .ok_or_else(|| Failure::Other("the region is no name of one".to_owned()))
}

/// `DescribeVolumes` of the EC2 API, 2016-11-15. A filter, and not a list of ids: one that is gone must not fail the rest.
fn question(endpoint: &Url, ids: &BTreeSet<String>) -> Url {
    let mut url = endpoint.clone();
    {
        let mut query = url.query_pairs_mut();
        query.append_pair("Action", "DescribeVolumes").append_pair("Version", "2016-11-15");
        query.append_pair("Filter.1.Name", "volume-id");
        for (number, id) in (1..).zip(ids) {
            let number: usize = number;
            query.append_pair(&format!("Filter.1.Value.{number}"), id);
        }
    }
    url
}

async fn signed(
    url: &Url,
    region: &str,
    shared: &SdkConfig,
    now: Timestamp,
) -> Result<HeaderMap, Failure> {
    let other = |what: String| Failure::Other(format!("the question cannot be signed: {what}"));
    let provider = shared.credentials_provider();
    let provider = provider.ok_or_else(|| other("there are no credentials".to_owned()))?;
    let credentials = provider.provide_credentials().await;
    let identity = credentials.map_err(|error| other(error.to_string()))?.into();
    let settings = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("ec2")
        .time(time(now))
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| other(error.to_string()))?;
    let request =
        SignableRequest::new("GET", url.as_str(), std::iter::empty(), SignableBody::Bytes(&[]))
            .map_err(|error| other(error.to_string()))?;
    let (instructions, _) =
        sign(request, &settings.into()).map_err(|error| other(error.to_string()))?.into_parts();
    let mut headers = HeaderMap::new();
    for (name, value) in instructions.headers() {
        let name = HeaderName::try_from(name).map_err(|error| other(error.to_string()))?;
        let mut value = HeaderValue::from_str(value).map_err(|error| other(error.to_string()))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// The same time in the words of the standard library.
fn time(at: Timestamp) -> SystemTime {
    let since = Duration::try_from(at.duration_since(Timestamp::UNIX_EPOCH)).unwrap_or_default();
    SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::host::recorded::RecordedHost;

    fn volume(is_encrypted: bool, instance: &str) -> Volume {
        Volume {
            is_encrypted,
            key: Some("arn:aws:kms:k".to_owned()),
            attached_to: BTreeSet::from([instance.to_owned()]),
        }
    }

    #[test]
    fn a_serial_number_is_an_id_in_two_spellings_or_none() {
        let id = Some("vol-0123456789abcdef0".to_owned());
        assert_eq!(volume_id("vol0123456789abcdef0"), id);
        assert_eq!(volume_id("vol-0123456789abcdef0"), id);
        for other in
            ["AWS1234567890ABCDEF", "vol", "vol012", "vol0123456789ABCDEF0", "vol&x=12345678"]
        {
            assert_eq!(volume_id(other), None, "{other}");
        }
    }

    #[test]
    fn only_disks_of_the_provider_are_asked_about() {
        let root = tempfile::tempdir().unwrap();
        for (disk, model, serial) in [
            ("nvme0n1", "Amazon Elastic Block Store              ", "vol0123456789abcdef0\n"),
            ("nvme1n1", "Amazon EC2 NVMe Instance Storage", "vol0123456789abcdef1"),
            ("sda", MODEL, "vol0123456789abcdef2"),
        ] {
            let device = root.path().join("sys/block").join(disk).join("device");
            fs::create_dir_all(&device).unwrap();
            fs::write(device.join("model"), model).unwrap();
            fs::write(device.join("serial"), serial).unwrap();
        }
        let disks = disks(&RecordedHost::new(root.path()));
        let expected = ("nvme0n1".to_owned(), "vol-0123456789abcdef0".to_owned());
        assert_eq!(disks.into_iter().collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn a_claim_is_of_an_encrypted_volume_that_is_attached_here() {
        let disks = BTreeMap::from([("nvme0n1".to_owned(), "vol-1".to_owned())]);
        let of = |volume: Volume, instance: &str| {
            claims(&disks, &BTreeMap::from([("vol-1".to_owned(), volume)]), instance)
        };
        let claimed = of(volume(true, "i-1"), "i-1");
        assert_eq!(claimed["nvme0n1"], "Amazon EBS, vol-1, key arn:aws:kms:k");
        assert!(of(volume(false, "i-1"), "i-1").is_empty());
        assert!(of(volume(true, "i-2"), "i-1").is_empty(), "a disk that takes another's name");
        assert!(of(volume(true, ""), "").is_empty(), "which instance this is, is not known");
        assert!(claims(&disks, &BTreeMap::new(), "i-1").is_empty());
    }

    /// The signature is the one that botocore 1.x computes for the same question, key and time.
    #[test]
    fn the_question_is_signed_as_amazon_wants_it() {
        use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let credentials = Credentials::new("AKIDEXAMPLE", secret, None, None, "test");
        let shared = SdkConfig::builder()
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build();
        let amazon = endpoint("eu-west-1", &shared).unwrap();
        let url = question(&amazon, &BTreeSet::from(["vol-1".to_owned()]));
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        let runtime = crate::daemon::runtime().unwrap();
        let headers = runtime.block_on(signed(&url, "eu-west-1", &shared, now)).unwrap();
        let signature = headers["authorization"].to_str().unwrap();
        assert!(
            signature.ends_with(
                "Signature=52cf4b38ce2537172dce5f897a3ed5f2ff050d74452c7a226fd54ed502517c14"
            ),
            "{signature}"
        );
    }

    #[test]
    fn only_amazon_is_asked_of_amazons_volumes() {
        let shared = SdkConfig::builder().build();
        assert_eq!(
            endpoint("eu-west-1", &shared).unwrap().as_str(),
            "https://ec2.eu-west-1.amazonaws.com/"
        );
        assert_eq!(
            endpoint("cn-north-1", &shared).unwrap().host_str(),
            Some("ec2.cn-north-1.amazonaws.com.cn")
        );
        for region in ["x.evil.example/", "a@b", ""] {
            let host = endpoint(region, &shared).map(|url| url.host_str().map(str::to_owned));
            assert!(host.is_err() || region.is_empty(), "{region}: {host:?}");
        }
        let elsewhere = SdkConfig::builder().endpoint_url("http://127.0.0.1:5000").build();
        assert!(endpoint("eu-west-1", &elsewhere).is_err());
        let url = question(
            &endpoint("eu-west-1", &shared).unwrap(),
            &BTreeSet::from(["vol-1".to_owned()]),
        );
        assert!(url.query().unwrap().contains("Filter.1.Value.1=vol-1"), "{url}");
    }
}
