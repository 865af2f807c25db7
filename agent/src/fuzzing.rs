//! Everything that reads what a kernel, a disk, a tool, a user or a peer wrote, as functions of bytes, for fuzzing.
//!
//! No part of the library's interface. [`TARGETS`] drives both libFuzzer (`make fuzz`, one file for each target in
//! `tests/fuzz/fuzz_targets`) and the bounded run in `make test` (`agent/tests/fuzzing.rs`, which also says what is missing
//! when a line is added here). A target returns, whatever the bytes are; what must hold of its result is asserted.

use std::path::Path;

use atrest_proto::token::EnrollmentToken;
use atrest_proto::{model, v1};
use prost::Message as _;

use crate::accounts::Accounts;
use crate::boot::cmdline;
use crate::boot::initramfs::{self, Variable};
use crate::discovery::containers::ece;
use crate::discovery::{self, Discovery, arguments, patterns, process, yaml};
use crate::host::filesystem_facts::{ext, f2fs};
use crate::keystore::{
    acl, beats, elastic_agent_store, elasticsearch, ids, kibana, kibana_entries, logstash,
};
use crate::layer::device_mapper::cipher;
use crate::node_api::{Answer, Endpoint, Outcome, answer, sockets};

use crate::object_store::{azure, gcs, volumes, webhdfs};
use crate::observer::wire::{self, Request};
use crate::path::HostPath;
use crate::repository::facts::{Seal, SealKey};
use crate::repository::kind::{self, Surroundings};
use crate::repository::{Backend, bucket_policy, registered};
use crate::snapshot::{
    BlockDevice, DeviceNumber, DmFacts, DmTarget, FilesystemFacts, Namespace, Observed,
};
use crate::transport::client::Address;
use crate::transport::spool::frame;
use crate::transport::tls;
use crate::{
    config, core_dumps, crypttab, dm_table, drift, filesystem, fstab, host, ini, layer, luks,
    membership, mounts, nfs, node_api, nsswitch, pipeline, secrets, swaps, watch, zfs,
};

/// The name of a target, and what it does with the bytes.
type Target = (&'static str, fn(&[u8]));

/// Every target.
pub static TARGETS: &[Target] = &[
    ("accounts", |bytes| drop(Accounts::parse(bytes, bytes))),
    ("address", address),
    ("agent_config", |bytes| drop(config::parse(Path::new("x"), &text(bytes)))),
    ("arguments", command_line),
    ("azure_answers", azure_answers),
    ("beats_keystore", |bytes| drop(beats::parse(bytes))),
    ("boot_files", boot_files),
    ("bucket_policy", bucket_policies),
    ("cgroup", |bytes| drop(process::container_id(&text(bytes)))),
    ("cipher", |bytes| drop(cipher::read(&text(bytes)))),
    ("core_dumps", core_dump_settings),
    ("crypttab", crypttab_lines),
    ("dm_answer", dm_answer),
    ("dm_listing", dm_listing),
    ("dm_target", dm_target),
    ("ec2_answers", ec2_answers),
    ("ece_runner", |bytes| {
        drop((ece::docker_runner(bytes), ece::podman_runners(bytes), ece::bundle(bytes)));
    }),
    ("elastic_agent_store", |bytes| drop(elastic_agent_store::parse(bytes))),
    ("elasticsearch_keystore", |bytes| drop(elasticsearch::parse(bytes))),
    ("enrollment_token", enrollment_token),
    ("etab", exports),
    ("ext_superblock", ext_superblock),
    ("f2fs_superblock", f2fs_superblock),
    ("fstab", fstab_lines),
    ("gcs_answers", gcs_answers),
    ("id_maps", id_maps),
    ("kibana_entries", kibana_entries),
    ("kibana_keystore", |bytes| drop(kibana::parse(bytes))),
    ("logstash_keystore", |bytes| drop(logstash::parse(bytes))),
    ("luks_json", luks_json),
    ("luks_layout", luks_layout),
    ("luks_metadata", luks_metadata),
    ("mountinfo", mountinfo),
    ("node_answers", node_answers),
    ("observer_request", observer_request),
    ("nsswitch", |bytes| drop(nsswitch::Sources::of_members(bytes))),
    ("os_release", |bytes| drop(host::identity::pretty_name(&text(bytes)))),
    ("path", path),
    ("path_pattern", |bytes| drop(patterns::alternatives(&text(bytes)))),
    ("pipeline", |bytes| drop(pipeline::plugins(&text(bytes), &|_| true))),
    ("posix_acl", posix_acl),
    ("process_status", process_status),
    ("repositories", repositories),
    ("secret_container", secret_container),
    ("secret_pipeline", |bytes| secrets_in(bytes, "logstash", secrets::pipeline::read)),
    ("secret_variables", secret_variables),
    ("secret_yaml", |bytes| secrets_in(bytes, "logstash", secrets::yaml::read)),
    ("spool_frame", spool_frame),
    ("sockets", |bytes| drop([true, false].map(|whole| sockets::parse(bytes, whole)))),
    ("swaps", |bytes| drop((swaps::parse(bytes), swaps::is_swap(bytes)))),
    ("uevent", |bytes| {
        watch::uevent::is_of_block_device(bytes);
    }),
    ("webhdfs_answers", webhdfs_answers),
    ("wire_posture", wire_posture),
    ("yaml_settings", yaml_settings),
    ("zfs", zfs_answers),
];

/// Gives the bytes to the target called `name`.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    assert!(target.is_some(), "no target is called {name}");
    if let Some((_, target)) = target {
        target(bytes);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The parts between NULs, as in `/proc/PID/cmdline`.
fn parts(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
}

fn address(bytes: &[u8]) {
    let text = text(bytes);
    drop((Address::parse(&text), tls::parse_pin(&text)));
}

fn command_line(bytes: &[u8]) {
    let arguments = parts(bytes);
    drop((arguments::command_line(&arguments), arguments::java_places(&arguments)));
    drop((
        arguments::property(&arguments, "es.path.home"),
        arguments::argument_after(&arguments, "-c"),
        arguments::values(&arguments, &["-c", "--config"]),
    ));
    drop((
        discovery::is_known(&arguments),
        discovery::beats::given(&arguments),
        discovery::kibana::given(&arguments),
    ));
}

/// No key survives, and the layers take whatever table it is.
fn check_table(table: Vec<DmTarget>) {
    for target in table.iter().filter(|target| target.kind == "crypt") {
        let key = target.args.get(1).map_or("", String::as_str);
        let blank = key.starts_with(':') || key == "-" || key.bytes().all(|byte| byte == b'0');
        assert!(blank, "a volume key was kept");
    }
    let dm = DmFacts {
        name: "x".to_owned(),
        uuid: String::new(),
        suspended: false,
        table: Observed::Known(table),
        dependencies: None,
    };
    drop(layer::dissect(&BlockDevice { dm: Some(dm), ..BlockDevice::default() }));
}

fn dm_target(bytes: &[u8]) {
    check_table(dm_table::parse_target(bytes).into_iter().collect());
}

fn dm_listing(bytes: &[u8]) {
    let names = ["x", "a b", "x: 0"].map(str::to_owned);
    for (name, table) in dm_table::parse_listing(bytes, &names) {
        let Some(table) = table else { continue };
        // What a recording keeps of it reads the same.
        let again = dm_table::format_listing(&name, &table);
        let again = dm_table::parse_listing(again.as_bytes(), &names);
        assert_eq!(again.get(&name), Some(&Some(table.clone())));
        check_table(table);
    }
}

fn dm_answer(bytes: &[u8]) {
    let mut answer = bytes.to_vec();
    check_table(host::device_mapper::parse(&mut answer, "x").unwrap_or_default());
}

fn crypttab_lines(bytes: &[u8]) {
    let table = crypttab::parse(bytes);
    // What a recording keeps of it reads the same.
    assert_eq!(crypttab::parse(&crypttab::format(&table)), table);
}

/// Every directory is absolute, and names come from directories only.
fn exports(bytes: &[u8]) {
    assert!(nfs::addresses::version_4(bytes).count() <= bytes.len());
    assert!(nfs::addresses::version_6(bytes).count() <= bytes.len());
    let exports = nfs::etab::parse(bytes);
    assert!(exports.iter().all(|export| export.path.is_absolute()));
    let names = nfs::etab::names(&exports, |_| model::Verdict::Encrypted);
    assert!(names.keys().all(HostPath::is_absolute) && names.len() <= exports.len() * 2);
}

fn fstab_lines(bytes: &[u8]) {
    let table = fstab::parse(bytes);
    assert_eq!(fstab::parse(&fstab::format(&table)), table);
}

fn boot_files(bytes: &[u8]) {
    drop(cmdline::format(&cmdline::parse(bytes)));
    let variables = [Variable::KeyFilePattern, Variable::InstallItems, Variable::Files];
    for variable in variables {
        drop(initramfs::copied(bytes, variable));
    }
    initramfs::umask(bytes);
}

fn core_dump_settings(bytes: &[u8]) {
    drop(core_dumps::parse(bytes));
    let text = text(bytes);
    drop((core_dumps::size_limit(&text), ini::last(&text, "Coredump", "Storage")));
}

fn enrollment_token(bytes: &[u8]) {
    if let Ok(token) = EnrollmentToken::decode(&text(bytes)) {
        assert!(EnrollmentToken::decode(&token.encode()).is_ok_and(|again| again == token));
    }
}

fn ext_superblock(bytes: &[u8]) {
    let journal = ext::read_superblock(bytes);
    assert!(journal.is_none_or(|device| !device.is_anonymous()), "a journal on no device");
}

fn f2fs_superblock(bytes: &[u8]) {
    let names = f2fs::read_superblock(bytes).unwrap_or_default();
    assert!(names.len() <= 8, "f2fs has at most eight devices");
}

fn id_maps(bytes: &[u8]) {
    let range = ids::subordinate(bytes, 100_000);
    assert!(range.is_none_or(|range| range.outside == 100_000), "another range than was asked for");
    let Ok(map) = ids::Map::parse(bytes) else { return };
    // Ranges of a kernel never overlap; those of garbage may.
    let names = [0, 1, 1000, 100_000, u32::MAX].map(|id| map.inside(id).zip(map.outside(id)));
    assert!(!map.is_identity() || names.contains(&Some((1000, 1000))), "an identity that is none");
}

fn kibana_entries(bytes: &[u8]) {
    let entries = kibana_entries::read(bytes);
    let json = serde_json::to_vec(&entries).unwrap_or_default();
    assert!(
        serde_json::from_slice::<kibana_entries::Entries>(&json)
            .is_ok_and(|again| again == entries)
    );
    // What another parser takes for an object is understood, unless its names are akin.
    let text = text(bytes).to_ascii_lowercase();
    let is_object =
        serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(bytes).is_ok();
    let is_plain = bytes.len() <= 64 && !text.contains("savedobjects") && !text.contains('\\');
    assert!(entries.is_whole || !is_object || !is_plain, "an object that was not understood");
}

/// No blob of a listing is without its name, and no signature carries another question.
fn azure_answers(bytes: &[u8]) {
    let page = azure::answer::page(bytes, "acme").unwrap_or_default();
    assert!(page.objects.iter().all(|object| !object.name.is_empty() && object.seal.is_some()));
    drop((azure::answer::account(bytes), azure::answer::scope(bytes)));
    drop((azure::answer::token(bytes), azure::answer::says(bytes)));
    if let Ok(signature) = azure::sas::parse(bytes) {
        let url = reqwest::Url::parse(&format!("https://h/c?restype=container&{}", *signature));
        assert!(
            url.is_ok_and(
                |url| url.query_pairs().filter(|(name, _)| name == "restype").count() == 1
            )
        );
    }
}

/// No volume is encrypted of which nothing says so.
fn ec2_answers(bytes: &[u8]) {
    drop(volumes::answer::says(bytes));
    let found = volumes::answer::volumes(bytes).unwrap_or_default();
    let is_said = bytes.windows(4).any(|word| word == b"true") || bytes.contains(&b'&');
    assert!(is_said || found.values().all(|volume| !volume.is_encrypted), "a claim out of nothing");
}

/// No answer that is read makes a bucket of anybody else's Google's.
fn gcs_answers(bytes: &[u8]) {
    drop((gcs::answer::says(bytes), gcs::answer::token(bytes), gcs::credentials::parse(bytes)));
    let is_provider =
        |seal: &Observed<Seal>| seal.known().is_some_and(|seal| seal.key == SealKey::Provider);
    assert!(!gcs::answer::bucket(bytes, false).is_ok_and(|seal| is_provider(&seal)));
    if let Ok(page) = gcs::answer::page(bytes, false) {
        let seals = page.objects.iter().filter_map(|object| object.seal.as_ref());
        assert!(!seals.into_iter().any(is_provider));
    }
    drop((gcs::answer::bucket(bytes, true), gcs::answer::page(bytes, true)));
}

fn luks_layout(bytes: &[u8]) {
    drop(luks::layout::names(bytes));
    let _start = luks::layout::start(bytes);
    let _text = luks::json_area::text(bytes);
    for offset in luks::layout::LUKS2_SIZES {
        let length = luks::layout::second(bytes, offset);
        assert!(length.is_none_or(|length| length <= offset), "more than a header");
    }
}

fn luks_metadata(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice(bytes) else { return };
    let Ok(header) = luks::metadata::from_luks2(value) else { return };
    if let Ok(header) = luks::checked(header) {
        same_after_json(&header);
    }
}

fn luks_json(bytes: &[u8]) {
    if let Ok(header) = luks::from_json(bytes) {
        same_after_json(&header);
    }
}

fn same_after_json(header: &luks::Header) {
    let json = serde_json::to_vec(header).unwrap_or_default();
    let again = luks::from_json(&json);
    let large = json.len() > luks::MAX_JSON;
    assert!(large || again.is_ok_and(|again| again == *header), "another header after JSON");
}

fn mountinfo(bytes: &[u8]) {
    let Ok(table) = mounts::parse(bytes) else { return };
    assert!(mounts::parse(&mounts::format(&table)).is_ok_and(|again| again == table));
    let facts = FilesystemFacts::default();
    let index = mounts::Index::new(&table);
    for mount in table.iter().take(50) {
        drop(filesystem::dissect(mount, &facts));
        drop(index.covering(&mount.mount_point, None));
        let _ambiguous = index.is_ambiguous(&mount.mount_point);
    }
}

fn endpoint() -> Endpoint {
    Endpoint {
        service: "es".to_owned(),
        product: "elasticsearch".to_owned(),
        pid: 1,
        own_pid: 1,
        user: None,
        namespace: Namespace::Host,
        cwd: HostPath::root(),
        listeners: Ok(Vec::new()),
        tls: false,
        authorities: Vec::new(),
    }
}

/// What a half that talks may say that was taken over: it names places of nodes to be looked at, and nothing to be read.
fn observer_request(bytes: &[u8]) {
    let Ok(request) = wire::read::<Request>(&mut &*bytes, wire::LARGEST_REQUEST) else { return };
    let mut again = Vec::new();
    assert!(wire::write(&mut again, &request, wire::LARGEST_RESPONSE).is_ok());
    assert!(
        wire::read::<Request>(&mut &*again, wire::LARGEST_RESPONSE).is_ok_and(|one| one == request)
    );
    let Request::Look { talk } = request else { return };
    let mut found = Discovery { endpoints: vec![endpoint()], ..Discovery::default() };
    node_api::hear(&mut found, &talk);
    discovery::bound_places(&mut found);
    let (read, other) = (&found.keystores, &found.configurations);
    assert!(read.is_empty() && other.is_empty(), "it names what is read");
    for place in &found.places {
        assert!(place.path.is_absolute() && place.namespace == Namespace::Host);
        assert_eq!(place.service.as_deref(), Some("es"), "a place of another service");
    }
    assert!(found.places.len() <= 500, "more places than one service has");
}

fn node_answers(bytes: &[u8]) {
    drop((answer::root(bytes), answer::filesystems(bytes)));
    if let Ok(list) = answer::cluster_nodes(bytes) {
        let listed = list.nodes.len();
        assert!(listed <= membership::MOST_NODES && (!list.is_whole || listed == list.total));
    }
    let Ok(told) = answer::nodes_info(bytes) else { return };
    // Whatever it is, it is only added to what was found.
    let mut found = Discovery { endpoints: vec![endpoint()], ..Discovery::default() };
    let outcome = Outcome::Told(Box::new(told));
    let answer = Answer { service: "es".to_owned(), outcome, gaps: Vec::new() };
    node_api::merge(&mut found, &[answer]);
    assert!(found.places.iter().all(|place| place.path.is_absolute()), "a relative path");
    for compared in drift::compare(&found.claims, "es", &HostPath::clone) {
        assert!(compared.agree, "one source differs from itself");
    }
}

fn path(bytes: &[u8]) {
    let path = HostPath::new(bytes);
    let normal = path.normalised();
    assert_eq!(normal.normalised(), normal);
    assert!(normal.is_at_or_below(&normal));
    drop((path.parent(), path.join(bytes), path.components().count()));
    let _name = path.file_name();
    let _number = text(bytes).parse::<DeviceNumber>();
    // As a snapshot hands it on.
    let json = serde_json::to_vec(&path).unwrap_or_default();
    assert!(serde_json::from_slice::<HostPath>(&json).is_ok_and(|again| again == path));
}

fn posix_acl(bytes: &[u8]) {
    let accounts = Accounts::default();
    for entry in acl::parse(bytes).unwrap_or_default().entries {
        drop(acl::describe(entry, &accounts));
    }
}

fn process_status(bytes: &[u8]) {
    let _status = process::parse_status(&text(bytes));
}

/// Names that are fit to be shown, in order, whatever the bytes are.
fn secrets_in(bytes: &[u8], product: &str, read: impl FnOnce(&[u8], &mut secrets::Collector<'_>)) {
    let mut collector = secrets::Collector::new(product);
    read(bytes, &mut collector);
    let contents = collector.finish();
    assert!(contents.sightings.is_sorted(), "sightings out of order");
    for sighting in &contents.sightings {
        let is_shown = |character: char| character == ' ' || character.is_ascii_graphic();
        let name = &sighting.setting;
        assert!(name.len() <= 200 && name.chars().all(is_shown), "a name that cannot be shown");
    }
    let json = serde_json::to_vec(&contents).unwrap_or_default();
    let again = serde_json::from_slice::<secrets::Contents>(&json);
    assert!(again.is_ok_and(|again| again == contents), "another observation after JSON");
}

fn secret_container(bytes: &[u8]) {
    secrets_in(bytes, "elasticsearch", |bytes, collector| {
        let walked = secrets::container::read(bytes, collector);
        let other = serde_json::from_slice::<serde_json::Value>(bytes);
        // Deeper and longer names than ours are no settings.
        assert!(walked.is_ok() || other.is_err() || bytes.len() > 60, "JSON that was not read");
    });
}

/// A policy refuses the same for a bucket of another name only where it names all buckets.
fn bucket_policies(bytes: &[u8]) {
    let text = text(bytes);
    let (one, other) =
        (bucket_policy::refusal(&text, "b"), bucket_policy::refusal(&text, "other-b"));
    let is_for_all = text.contains('*') || text.contains("\\u");
    assert!((one.is_none() && other.is_none()) || is_for_all, "a refusal of nothing");
}

/// Nothing is kept that is not known to say where a repository lies, and each lies somewhere or says why not.
fn repositories(bytes: &[u8]) {
    let Ok(found) = registered::parse(bytes) else { return };
    assert!(found.len() <= registered::MOST, "too many");
    for one in &found {
        assert!(one.settings.keys().all(|name| kind::is_known_setting(name)), "a setting is kept");
        let backend = kind::backend(one, &Surroundings::default());
        drop(backend.to_string());
        let again =
            serde_json::from_slice::<Backend>(&serde_json::to_vec(&backend).unwrap_or_default());
        assert!(again.is_ok_and(|again| again == backend), "another place after JSON");
    }
}

fn secret_variables(bytes: &[u8]) {
    let text = text(bytes);
    secrets_in(bytes, "elasticsearch", secrets::variables::read_environment);
    secrets_in(bytes, "kibana", secrets::arguments::read_command_line);
    secrets_in(bytes, "kibana", |_, collector| secrets::variables::read_file(&text, collector));
    secrets_in(bytes, "elasticsearch", |_, collector| {
        drop(secrets::variables::read_unit(&text, collector));
    });
    secrets_in(bytes, "elasticsearch", |_, collector| {
        secrets::arguments::read_options(&text, collector);
    });
}

fn spool_frame(bytes: &[u8]) {
    let Some(payload) = frame::decode(bytes) else { return };
    let header = frame::Header::parse(bytes);
    assert!(header.is_some_and(|header| frame::encode(&header.digest, payload) == bytes));
}

/// No name of a listing leads out of its directory.
fn webhdfs_answers(bytes: &[u8]) {
    drop((webhdfs::answer::status(bytes), webhdfs::answer::exception(bytes)));
    for listed in [webhdfs::answer::listing(bytes), webhdfs::answer::batch(bytes)] {
        let entries = listed.unwrap_or_default().entries;
        let is_below = |name: &str| !["", ".", ".."].contains(&name) && !name.contains('/');
        assert!(entries.iter().all(|entry| is_below(&entry.name)), "a name that is none");
    }
}

fn wire_posture(bytes: &[u8]) {
    let Ok(wire) = v1::Posture::decode(bytes) else { return };
    let _digest = atrest_proto::digest::posture(&wire);
    let Ok(posture) = model::Posture::try_from(wire) else { return };
    // Once in our own words, it crosses the border unchanged.
    let again = model::Posture::try_from(v1::Posture::from(posture.clone()));
    assert!(again.is_ok_and(|again| again == posture));
}

fn yaml_settings(bytes: &[u8]) {
    drop(yaml::Settings::parse_list(bytes, &|_| true));
    let Ok(mut settings) = yaml::Settings::parse(bytes, &|_| true) else { return };
    settings.set("cluster.name", "x");
    for key in ["path.data", "path.logs", "cluster.name", ""] {
        let lookup = |name: &str| (name == "HOME").then(|| "/root".to_owned());
        drop((settings.list(key, &lookup), settings.known_texts(key, &lookup)));
    }
}

fn zfs_answers(bytes: &[u8]) {
    let mut answers = bytes.splitn(2, |byte| *byte == 0);
    let (pools, datasets) =
        (answers.next().unwrap_or_default(), answers.next().unwrap_or_default());
    if let Some(facts) = zfs::parse(pools, datasets) {
        drop(zfs::format(&facts));
    }
}
