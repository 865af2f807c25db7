//! What a store must do, executable. A second store passes the same suite or is not one.
//!
//! Fails by panicking, so that a test of one line calls it: `conformance::run(&store).await`.

mod clusters;
mod outbox;

use std::collections::BTreeMap;

use atrest_proto::convert::posture_from_bytes;
use atrest_proto::model::{
    Finding, Host, Outcome, PathPosture, PlainLeg, Posture, Reason, Severity, Use, Verdict,
};
use atrest_proto::v1;
use jiff::Timestamp;
use prost::Message as _;

use super::{
    Attempt, Change, DueDelivery, ExposureFilter, FindingFilter, HostFilter, PageRequest, Repeat,
    Repeated, Revocation, Step, Store, StoreError, StoredReport,
};
use crate::access::{Account, Role};
use crate::alert::{AlertChange, AlertEnd, AlertState, Policy, Routes, decide};
use crate::audit::Entry;
use crate::enrollment::{Application, Refusal, Token};
use crate::fleet::roster::{Sighting, Standing};
use crate::fleet::{
    Applied, Body, Digest, HostId, HostState, NodeState, Observation, Place, apply, outline, retire,
};
use crate::labels::Labels;

/// Everything that a store must do, on an empty one.
pub(crate) async fn run(store: &dyn Store) {
    tokens_are_listed_and_revoked(store).await;
    operators_have_names_of_their_own(store).await;
    a_use_is_spent_with_the_host_it_lets_in(store).await;
    a_host_takes_anothers_place(store).await;
    hosts_have_the_labels_of_their_tokens(store).await;
    a_change_is_whole_and_is_read_back(store).await;
    a_finding_has_the_text_that_was_last_said_of_it(store).await;
    a_report_with_the_outline_of_the_last_one_takes_its_place(store).await;
    a_revoked_host_is_over_until_it_is_replaced(store).await;
    revoking_changes_all_or_nothing(store).await;
    a_step_that_decides_nothing_writes_nothing(store).await;
    sightings_only_move_forward(store).await;
    clusters::run(store).await;
    outbox::run(store).await;
    a_change_and_its_entry_are_one(store).await;
    the_audit_log_is_read_and_pruned_from_its_ends(store).await;
    history_is_windows_and_only_what_is_over_is_thrown_away(store).await;
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn token(id: &str, uses: u32) -> Token {
    Token {
        token_id: id.to_owned(),
        cluster: "prod".to_owned(),
        uses_left: uses,
        created_at: at(0),
        expires_at: at(1_000),
        revoked_at: None,
        replaces: None,
        labels: Labels::new(),
    }
}

fn entry(object: &str) -> Entry {
    Entry {
        at: at(20),
        operator: "ada".to_owned(),
        role: Some(Role::Admin),
        rpc: "Some/Rpc".to_owned(),
        object: object.to_owned(),
        address: "192.0.2.1".to_owned(),
        outcome: crate::audit::Outcome::Done,
        detail: "as a test".to_owned(),
        count: 1,
    }
}

fn secret(id: &str) -> [u8; 32] {
    crate::enrollment::hash_secret(id)
}

fn application(token: &str, machine: &str) -> Application {
    Application {
        secret_hash: secret(token),
        host: Host {
            hostname: format!("host-{machine}"),
            machine_fingerprint: machine.to_owned(),
            agent_version: "0.1.0".to_owned(),
            ..Host::default()
        },
        key_pin: secret(machine),
        host_id: HostId::random(),
        at: at(10),
    }
}

async fn enrol(store: &dyn Store, machine: &str) -> HostId {
    let id = format!("token-of-{machine}");
    store.token_create(token(&id, 1), secret(&id), entry("token")).await.unwrap();
    let admitted = store.host_enroll(application(&id, machine)).await.unwrap().unwrap();
    admitted.host.host_id
}

fn body(asset: &str, outcome: Outcome) -> Body {
    let finding = Finding {
        check: "volume_encrypted".to_owned(),
        asset: asset.to_owned(),
        outcome,
        severity: Severity::High,
        summary: format!("{asset} is {outcome}"),
        remedy: "do something".to_owned(),
        reasons: Vec::new(),
        evidence: BTreeMap::new(),
        affects: Vec::new(),
    };
    Body::new(finding, Place { path: "/srv".to_owned(), devices: vec!["/dev/sdb".to_owned()] })
}

/// A report as the hub makes a change of it.
fn step(sequence: u64, findings: Vec<Body>) -> Step {
    Box::new(move |state: HostState| {
        let now = at(100 + i64::try_from(sequence).unwrap());
        let said = posture(&findings, now);
        let seen = Observation::new(sequence, [7; 32], said.clone());
        let said = v1::Posture::from(said).encode_to_vec();
        let mut applied = apply(state, seen, now)?;
        let alerts = decide(&mut applied, Policy { min_severity: Severity::Medium }, now);
        let report = StoredReport {
            posture: said.into(),
            observed_at: now,
            host: Host { agent_version: "0.2.0".to_owned(), ..Host::default() },
        };
        Some(Change { report: Some(report), ..change(applied, alerts, now) })
    })
}

/// What a report says that has these.
fn posture(findings: &[Body], observed_at: Timestamp) -> Posture {
    let path = |body: &Body| PathPosture {
        asset: body.finding.asset.clone(),
        path: body.place.path.clone(),
        resolved: None,
        usage: Use::Data,
        service: None,
        verdict: Verdict::Unencrypted,
        reasons: Vec::new(),
        plain: body
            .place
            .devices
            .iter()
            .map(|device| PlainLeg {
                device: device.clone(),
                via: Vec::new(),
                reason: Reason::PlainDevice,
            })
            .collect(),
        encrypted_by: Vec::new(),
        claimed_by: Vec::new(),
        undecided: Vec::new(),
        stack: Vec::new(),
        nearest: None,
    };
    Posture {
        host: Host::default(),
        observed_at,
        services: Vec::new(),
        paths: findings.iter().map(path).collect(),
        keystores: Vec::new(),
        repositories: Vec::new(),
        findings: findings.iter().map(|body| body.finding.clone()).collect(),
        gaps: Vec::new(),
        catalogue_version: 1,
    }
}

fn change(applied: Applied, alerts: Vec<AlertChange>, now: Timestamp) -> Change {
    let Applied { state, touched, removed, transitions } = applied;
    let findings = touched
        .into_iter()
        .map(|(key, body)| (key.clone(), state.findings[&key].clone(), body))
        .collect();
    Change {
        state,
        report: None,
        findings,
        removed: removed.into_iter().collect(),
        transitions,
        alerts,
        routes: Routes::everybody(["ops".to_owned()]).into(),
        at: now,
    }
}

async fn state_of(store: &dyn Store, host: &HostId) -> HostState {
    let (send, receive) = tokio::sync::oneshot::channel();
    let look: Step = Box::new(move |state| {
        send.send(state).unwrap();
        None
    });
    assert_eq!(store.host_change(host.clone(), look).await.unwrap(), None);
    receive.await.unwrap()
}

async fn tokens_are_listed_and_revoked(store: &dyn Store) {
    store.token_create(token("a", 3), secret("a"), entry("token")).await.unwrap();
    assert_eq!(store.token_list().await.unwrap(), [token("a", 3)]);
    assert!(store.token_revoke("a".to_owned(), at(5), entry("token")).await.unwrap());
    assert!(store.token_revoke("a".to_owned(), at(6), entry("token")).await.unwrap(), "idempotent");
    assert!(!store.token_revoke("b".to_owned(), at(5), entry("token")).await.unwrap());
    let revoked = Token { revoked_at: Some(at(5)), ..token("a", 3) };
    assert_eq!(store.token_list().await.unwrap(), [revoked]);
    let refused = store.host_enroll(application("a", "m")).await.unwrap();
    assert_eq!(refused.unwrap_err(), Refusal::Revoked { token_id: "a".to_owned() });
}

async fn operators_have_names_of_their_own(store: &dyn Store) {
    let account = |id: &str, name: &str, expires_at| Account {
        operator_id: id.to_owned(),
        name: name.to_owned(),
        role: Role::Operator,
        token_hash: secret(id),
        created_at: at(1),
        created_by: "admin".to_owned(),
        expires_at,
        revoked_at: None,
    };
    let ada = account("1", "ada", Some(at(50)));
    assert!(store.operator_create(ada.clone(), entry("operator")).await.unwrap());
    assert!(
        !store.operator_create(account("2", "ada", None), entry("operator")).await.unwrap(),
        "even when expired"
    );
    assert!(store.operator_create(account("3", "eve", None), entry("operator")).await.unwrap());
    assert_eq!(
        store.operator_revoke("nobody".to_owned(), at(5), entry("operator")).await.unwrap(),
        None
    );
    let revoked = Account { revoked_at: Some(at(5)), ..ada };
    for second in [5, 6] {
        let again =
            store.operator_revoke("ada".to_owned(), at(second), entry("operator")).await.unwrap();
        assert_eq!(again, Some(revoked.clone()), "idempotent");
    }
    // The name is free again; what was revoked stays to be seen, and stays revoked.
    let anew = account("4", "ada", None);
    assert!(store.operator_create(anew.clone(), entry("operator")).await.unwrap());
    let same = store.operator_revoke("1".to_owned(), at(7), entry("operator")).await.unwrap();
    assert_eq!(same, Some(revoked.clone()), "by id, not the new one of that name");
    let listed = store.operator_list().await.unwrap();
    assert_eq!(listed, [anew, account("3", "eve", None), revoked]);
    let gone =
        store.operator_revoke("ada".to_owned(), at(8), entry("operator")).await.unwrap().unwrap();
    assert_eq!((gone.operator_id.as_str(), gone.revoked_at), ("4", Some(at(8))));
    // A token is one operator's.
    let twice = Account { token_hash: secret("3"), ..account("5", "mallory", None) };
    assert!(store.operator_create(twice, entry("operator")).await.is_err());
}

async fn a_use_is_spent_with_the_host_it_lets_in(store: &dyn Store) {
    store.token_create(token("one", 1), secret("one"), entry("token")).await.unwrap();
    let admitted = store.host_enroll(application("one", "m1")).await.unwrap().unwrap();
    assert_eq!(admitted.cluster, "prod");
    assert_eq!(admitted.host.key_pin, secret("m1"));
    let spent = store.host_enroll(application("one", "m2")).await.unwrap();
    assert_eq!(spent.unwrap_err(), Refusal::Spent { token_id: "one".to_owned() });
    let unknown = store.host_enroll(application("nope", "m2")).await.unwrap();
    assert_eq!(unknown.unwrap_err(), Refusal::UnknownToken);
    // The answer was lost: the same machine with the same key asks again.
    let again = store.host_enroll(application("one", "m1")).await.unwrap().unwrap();
    assert_eq!(again, admitted);
    assert_eq!(store.host_roster().await.unwrap(), [admitted.host]);
    // A clone spends nothing.
    store.token_create(token("more", 2), secret("more"), entry("token")).await.unwrap();
    let clone = Application { key_pin: [0; 32], ..application("more", "m1") };
    let refused = store.host_enroll(clone).await.unwrap().unwrap_err();
    assert!(matches!(refused, Refusal::MachineKnown { .. }));
    let left = store.token_list().await.unwrap();
    assert!(left.iter().any(|token| token.token_id == "more" && token.uses_left == 2));
}

async fn a_host_takes_anothers_place(store: &dyn Store) {
    let host = enrol(store, "old").await;
    store.host_change(host.clone(), step(1, vec![body("a", Outcome::Fail)])).await.unwrap();
    let replacing = Token { replaces: Some(host.clone()), ..token("r", 1) };
    store.token_create(replacing, secret("r"), entry("token")).await.unwrap();
    let admitted = store.host_enroll(application("r", "new")).await.unwrap().unwrap();
    assert_eq!(admitted.host.host_id, host);
    assert_eq!(admitted.host.key_pin, secret("new"));
    assert_eq!(admitted.host.machine, "new");
    let state = state_of(store, &host).await;
    assert_eq!((state.sequence, state.failing(), &*state.hostname), (1, 1, "host-new"));
    assert_eq!(
        (state.verdict, state.digest),
        (NodeState::Unencrypted, None),
        "no worse is forgotten"
    );
    // Its old machine is free again, and whose place nobody has cannot be taken.
    let gone = Token { replaces: Some(HostId::random()), ..token("g", 1) };
    store.token_create(gone, secret("g"), entry("token")).await.unwrap();
    let refused = store.host_enroll(application("g", "other")).await.unwrap().unwrap_err();
    assert_eq!(refused, Refusal::NothingToReplace { token_id: "g".to_owned() });
}

async fn hosts_have_the_labels_of_their_tokens(store: &dyn Store) {
    let labels = |pairs: &[(&str, &str)]| -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let of_both = labels(&[("env", "prod"), ("rack", "r'1\"")]);
    for (id, labels) in [("lab-1", of_both.clone()), ("lab-2", labels(&[("env", "prod")]))] {
        let token = Token { labels, ..token(id, 1) };
        store.token_create(token.clone(), secret(id), entry("token")).await.unwrap();
        assert!(store.token_list().await.unwrap().contains(&token));
        let admitted = store.host_enroll(application(id, id)).await.unwrap().unwrap();
        assert_eq!(admitted.host.labels, token.labels);
        assert_eq!(admitted.host.cluster, "prod");
    }
    let named = async |wanted: &[(&str, &str)]| {
        let filter = HostFilter { labels: labels(wanted), ..HostFilter::default() };
        let rows = store.host_list(filter, PageRequest::default()).await.unwrap().items;
        rows.into_iter().map(|row| row.hostname).collect::<Vec<_>>()
    };
    assert_eq!(named(&[("env", "prod")]).await, ["host-lab-1", "host-lab-2"]);
    assert_eq!(named(&[("env", "prod"), ("rack", "r'1\"")]).await, ["host-lab-1"], "all of them");
    assert!(named(&[("env", "test")]).await.is_empty());
    assert!(named(&[("prod", "env")]).await.is_empty());
    let filter = HostFilter { node: Some("host-lab-1".to_owned()), ..HostFilter::default() };
    let row = store.host_list(filter, PageRequest::default()).await.unwrap().items.remove(0);
    assert_eq!(row.labels, of_both);
    // Who takes a place has the labels of the token that said so.
    let moved = labels(&[("env", "test")]);
    let replacing =
        Token { replaces: Some(row.host_id), labels: moved.clone(), ..token("lab-3", 1) };
    store.token_create(replacing, secret("lab-3"), entry("token")).await.unwrap();
    let admitted = store.host_enroll(application("lab-3", "lab-3")).await.unwrap().unwrap();
    assert_eq!(admitted.host.labels, moved);
}

async fn a_change_is_whole_and_is_read_back(store: &dyn Store) {
    let host = enrol(store, "change").await;
    let bodies = || vec![body("a", Outcome::Fail), body("b", Outcome::Unknown)];
    let standing = store.host_change(host.clone(), step(1, bodies())).await.unwrap().unwrap();
    let expected = Standing {
        revision: 1,
        verdict: NodeState::Unencrypted,
        silent: false,
        revoked: false,
        failing: 1,
        firing: 1,
        sequence: 1,
        digest: Some([7; 32]),
        outline: Some(outline(&posture(&bodies(), at(101)))),
    };
    assert_eq!(standing, expected);
    let roster = store.host_roster().await.unwrap();
    assert!(roster.iter().any(|row| row.host_id == host && row.standing == expected));

    let filter = HostFilter { node: Some("host-change".to_owned()), ..HostFilter::default() };
    let row = store.host_list(filter, PageRequest::default()).await.unwrap().items.remove(0);
    assert_eq!((row.state, row.failing, row.sequence), (NodeState::Unencrypted, 1, 1));
    assert_eq!((row.agent_version.as_str(), row.observed_at), ("0.2.0", Some(at(101))));
    let kept = store.host_posture(host.clone()).await.unwrap().unwrap();
    let kept = posture_from_bytes(&kept).unwrap();
    assert_eq!((kept.observed_at, kept.findings.len()), (at(101), 2));

    let of_host =
        FindingFilter { node: Some(host.as_str().to_owned()), ..FindingFilter::default() };
    let found = store.finding_list(of_host.clone(), PageRequest::default()).await.unwrap().items;
    let found: Vec<_> = found.into_iter().map(|row| (row.finding, row.place)).collect();
    let wanted: Vec<_> = bodies().into_iter().map(|body| (body.finding, body.place)).collect();
    assert_eq!(found, wanted);

    // The failure is out of sight, the other one passes: text is kept, state changes.
    let next = vec![body("b", Outcome::Pass)];
    store.host_change(host.clone(), step(2, next)).await.unwrap().unwrap();
    let found = store.finding_list(of_host.clone(), PageRequest::default()).await.unwrap().items;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].finding, body("a", Outcome::Fail).finding);
    assert_eq!(found[0].absent_since, Some(at(102)));
    let passed = FindingFilter { outcome: Some(Outcome::Pass), ..of_host.clone() };
    let passed = store.finding_list(passed, PageRequest::default()).await.unwrap().items;
    assert_eq!(passed.len(), 1);
    let untold = FindingFilter { untold: Some(Severity::Info), ..of_host };
    assert!(store.finding_list(untold, PageRequest::default()).await.unwrap().items.is_empty());

    let unknown = store.host_change(HostId::random(), step(1, Vec::new())).await;
    assert!(matches!(unknown, Err(StoreError::NoSuchHost(_))));
}

async fn a_finding_has_the_text_that_was_last_said_of_it(store: &dyn Store) {
    let host = enrol(store, "texts").await;
    let saying = |asset: &str, outcome, words: &str| {
        let Body { finding, place } = body(asset, outcome);
        let place = Place { path: format!("/{words}"), ..place };
        Body::new(Finding { summary: words.to_owned(), ..finding }, place)
    };
    let said = async |outcome| {
        let node = Some(host.as_str().to_owned());
        let filter = FindingFilter { outcome: Some(outcome), node, ..FindingFilter::default() };
        let found = store.finding_list(filter, PageRequest::default()).await.unwrap().items;
        let words = found.into_iter().map(|row| {
            assert_eq!(row.place.path, format!("/{}", row.finding.summary), "where it is, too");
            (row.finding.asset, row.finding.summary, row.absent_since.is_some())
        });
        words.collect::<Vec<_>>()
    };
    let row = |asset: &str, words: &str, absent| (asset.to_owned(), words.to_owned(), absent);
    let reports: [&[(&str, Outcome, &str)]; 6] = [
        &[("a", Outcome::Fail, "one"), ("b", Outcome::Fail, "one"), ("c", Outcome::Pass, "one")],
        &[("a", Outcome::Fail, "two"), ("b", Outcome::Pass, "two"), ("c", Outcome::Pass, "two")],
        // Out of sight: one that fails, one that did, and one that never did.
        &[("d", Outcome::Pass, "three")],
        &[("d", Outcome::Pass, "four")],
        &[("a", Outcome::Fail, "five"), ("d", Outcome::Pass, "five")],
        &[("a", Outcome::Pass, "six"), ("b", Outcome::Fail, "six")],
    ];
    let (absent, fails, passes) = (true, Outcome::Fail, Outcome::Pass);
    let expected = [
        (vec![row("a", "one", false), row("b", "one", false)], vec![row("c", "one", false)]),
        (vec![row("a", "two", false)], vec![row("b", "two", false), row("c", "two", false)]),
        (vec![row("a", "two", absent)], vec![row("b", "two", false), row("d", "three", false)]),
        (vec![row("a", "two", absent)], vec![row("b", "two", false), row("d", "four", false)]),
        (vec![row("a", "five", false)], vec![row("b", "two", false), row("d", "five", false)]),
        (vec![row("b", "six", false)], vec![row("a", "six", false)]),
    ];
    for ((sequence, report), expected) in (1..).zip(reports).zip(expected) {
        let bodies = report.iter().map(|(asset, outcome, words)| saying(asset, *outcome, words));
        store.host_change(host.clone(), step(sequence, bodies.collect())).await.unwrap().unwrap();
        assert_eq!((said(fails).await, said(passes).await), expected, "after report {sequence}");
    }
    // People are told what was found when it began.
    let alerts = store.alert_list(AlertState::Resolved, PageRequest::default()).await.unwrap();
    let alert = alerts
        .items
        .iter()
        .find(|row| row.alert.host_id == host.as_str() && row.alert.finding.asset == "a");
    assert_eq!(alert.unwrap().alert.finding.summary, "one");
}

async fn a_report_with_the_outline_of_the_last_one_takes_its_place(store: &dyn Store) {
    let host = enrol(store, "repeat").await;
    let bodies = |words: &str| {
        let mut bodies = vec![body("a", Outcome::Fail), body("b", Outcome::Pass)];
        for body in &mut bodies {
            body.finding.summary = words.to_owned();
        }
        bodies
    };
    let repeat = |sequence, digest: Digest, bodies: &[Body]| {
        let said = posture(bodies, at(150));
        let outline = outline(&said);
        let posture = v1::Posture::from(said).encode_to_vec().into();
        Repeat { sequence, digest, outline, posture, observed_at: at(150) }
    };
    let again = async |repeat| store.host_repeat(host.clone(), repeat).await;
    let first = again(repeat(1, [1; 32], &bodies("one"))).await.unwrap();
    assert_eq!(first, Repeated::Differs, "there is none before");
    let before = store.host_change(host.clone(), step(1, bodies("one"))).await.unwrap().unwrap();
    let state = state_of(store, &host).await;

    let same = again(repeat(1, [2; 32], &bodies("two"))).await.unwrap();
    assert_eq!(same, Repeated::Before);
    let other = [body("a", Outcome::Pass), body("b", Outcome::Pass)];
    assert_eq!(again(repeat(2, [2; 32], &other)).await.unwrap(), Repeated::Differs);
    let milder = Finding { severity: Severity::Low, ..body("a", Outcome::Fail).finding };
    let milder = [Body::new(milder, Place::default()), body("b", Outcome::Pass)];
    assert_eq!(again(repeat(2, [2; 32], &milder)).await.unwrap(), Repeated::Differs);
    assert_eq!(state_of(store, &host).await, state, "nothing was written");

    // As if it had been applied.
    let done = again(repeat(3, [3; 32], &bodies("three"))).await.unwrap();
    let expected =
        Standing { revision: before.revision + 1, sequence: 3, digest: Some([3; 32]), ..before };
    assert_eq!(done, Repeated::Done(expected.clone()));
    let roster = store.host_roster().await.unwrap();
    assert!(roster.iter().any(|row| row.host_id == host && row.standing == expected));
    let HostState { revision, sequence, digest, .. } = state_of(store, &host).await;
    assert_eq!((revision, sequence, digest), (before.revision + 1, 3, Some([3; 32])));
    let after = state_of(store, &host).await;
    assert_eq!(
        HostState { revision: state.revision, sequence: 1, digest: state.digest, ..after },
        state
    );
    let node = FindingFilter { node: Some(host.as_str().to_owned()), ..FindingFilter::default() };
    let found = store.finding_list(node, PageRequest::default()).await.unwrap().items;
    assert_eq!(found[0].finding.summary, "three");
    let filter = HostFilter { node: Some(host.as_str().to_owned()), ..HostFilter::default() };
    let row = store.host_list(filter, PageRequest::default()).await.unwrap().items.remove(0);
    assert_eq!((row.agent_version.as_str(), row.observed_at), ("0.2.0", Some(at(150))));

    // Who takes the place has to report in full.
    let replacing = Token { replaces: Some(host.clone()), ..token("repeat-2", 1) };
    store.token_create(replacing, secret("repeat-2"), entry("token")).await.unwrap();
    let admitted = store.host_enroll(application("repeat-2", "repeat")).await.unwrap().unwrap();
    assert_eq!(admitted.host.standing.outline, None);
    assert_eq!(again(repeat(4, [4; 32], &bodies("four"))).await.unwrap(), Repeated::Differs);
    let (revocation, step) = end_of_enrolment(200);
    store.host_revoke(host.clone(), revocation, step, entry("host")).await.unwrap();
    let late = again(repeat(5, [5; 32], &bodies("five"))).await;
    assert!(matches!(late, Err(StoreError::Revoked(_))));
    let nobody = store.host_repeat(HostId::random(), repeat(1, [1; 32], &bodies("one"))).await;
    assert!(matches!(nobody, Err(StoreError::NoSuchHost(_))));
}

fn end_of_enrolment(second: i64) -> (Revocation, Step) {
    let revocation = Revocation { at: at(second), by: "ada".to_owned(), reason: "sold".to_owned() };
    let step: Step = Box::new(move |state| {
        let mut applied = retire(state, at(second))?;
        let alerts = decide(&mut applied, Policy { min_severity: Severity::Medium }, at(second));
        Some(change(applied, alerts, at(second)))
    });
    (revocation, step)
}

async fn a_revoked_host_is_over_until_it_is_replaced(store: &dyn Store) {
    let host = enrol(store, "sold").await;
    let bodies = || vec![body("a", Outcome::Fail), body("b", Outcome::Unknown)];
    store.host_change(host.clone(), step(1, bodies())).await.unwrap();
    for (id, uses) in [("early", 1), ("other", 3)] {
        let replaces = (id == "early").then(|| host.clone());
        store
            .token_create(Token { replaces, ..token(id, uses) }, secret(id), entry("token"))
            .await
            .unwrap();
    }
    let (revocation, step_) = end_of_enrolment(200);
    let standing =
        store.host_revoke(host.clone(), revocation.clone(), step_, entry("host")).await.unwrap();
    let standing = standing.unwrap();
    assert!(standing.revoked && standing.revision == 2);
    assert_eq!((standing.failing, standing.firing), (0, 0));
    let (_, step_) = end_of_enrolment(300);
    let other = Revocation { by: "eve".to_owned(), ..revocation.clone() };
    let again = store.host_revoke(host.clone(), other, step_, entry("host")).await.unwrap();
    assert_eq!(again, None, "the first one stays");
    let (_, step_) = end_of_enrolment(300);
    let nobody =
        store.host_revoke(HostId::random(), revocation.clone(), step_, entry("host")).await;
    assert!(matches!(nobody, Err(StoreError::NoSuchHost(_))));

    // It is listed when it is asked for, by state or by name, and counts as revoked after a restart.
    let page = PageRequest::default;
    let listed = async |state, node: Option<&str>| {
        let filter = HostFilter { state, node: node.map(str::to_owned), ..HostFilter::default() };
        let rows = store.host_list(filter, page()).await.unwrap().items;
        rows.into_iter().find(|row| row.host_id == host)
    };
    assert_eq!(listed(None, None).await, None);
    assert_eq!(listed(Some(NodeState::Unencrypted), None).await, None);
    for row in [
        listed(Some(NodeState::Revoked), None).await.unwrap(),
        listed(None, Some("host-sold")).await.unwrap(),
        listed(None, Some(host.as_str())).await.unwrap(),
    ] {
        assert_eq!((row.state, row.failing), (NodeState::Revoked, 0));
        assert_eq!(row.revocation, Some(revocation.clone()));
    }
    let roster = store.host_roster().await.unwrap();
    assert!(roster.iter().any(|row| row.host_id == host && row.standing == standing));

    // Its findings and alerts are over, and nobody says that they were fixed.
    let all = store.finding_list(FindingFilter::default(), page()).await.unwrap().items;
    assert!(all.iter().all(|row| row.host_id != host));
    let of_host =
        FindingFilter { node: Some(host.as_str().to_owned()), ..FindingFilter::default() };
    let found = store.finding_list(of_host.clone(), page()).await.unwrap().items;
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|row| row.retired_at == Some(at(200)) && row.opened_at.is_none()));
    assert_eq!(found[0].finding.outcome, Outcome::Fail, "as it was last seen");
    let over = store.alert_list(AlertState::Resolved, page()).await.unwrap().items;
    let over = &over.iter().find(|row| row.alert.host_id == host.as_str()).unwrap().alert;
    assert_eq!((over.ended_at, over.end), (Some(at(200)), Some(AlertEnd::HostRetired)));

    // Nothing that it says is taken, and no token from before lets it in again.
    let late = store.host_change(host.clone(), step(2, Vec::new())).await;
    assert!(matches!(late, Err(StoreError::Revoked(_))));
    let early = store.host_enroll(application("early", "sold")).await.unwrap().unwrap_err();
    assert_eq!(early, Refusal::Revoked { token_id: "early".to_owned() });
    for id in ["other", "token-of-sold"] {
        let refused = store.host_enroll(application(id, "sold")).await.unwrap().unwrap_err();
        let spent = matches!(refused, Refusal::Spent { .. } | Refusal::HostRevoked { .. });
        assert!(spent, "{refused:?}");
    }
    let replacing = Token { replaces: Some(host.clone()), ..token("back", 1) };
    store.token_create(replacing, secret("back"), entry("token")).await.unwrap();
    let admitted = store.host_enroll(application("back", "sold")).await.unwrap().unwrap();
    assert_eq!(admitted.host.host_id, host);
    let standing = admitted.host.standing;
    assert_eq!((standing.state(), standing.digest), (NodeState::Unknown, None));
    assert_eq!(listed(None, None).await.unwrap().revocation, None);
    let found = store.finding_list(of_host.clone(), page()).await.unwrap().items;
    assert!(found.is_empty(), "what ended with it does not come back by itself");
    store.host_change(host.clone(), step(2, bodies())).await.unwrap().unwrap();
    let found = store.finding_list(of_host, page()).await.unwrap().items;
    assert!(found.len() == 2 && found.iter().all(|row| row.retired_at.is_none()));
}

async fn revoking_changes_all_or_nothing(store: &dyn Store) {
    let host = enrol(store, "kept").await;
    let before = state_of(store, &host).await;
    let (revocation, _) = end_of_enrolment(200);
    let nothing: Step = Box::new(|_| None);
    assert_eq!(
        store.host_revoke(host.clone(), revocation, nothing, entry("host")).await.unwrap(),
        None
    );
    assert_eq!(state_of(store, &host).await, before);
}

async fn a_step_that_decides_nothing_writes_nothing(store: &dyn Store) {
    let host = enrol(store, "idle").await;
    let before = state_of(store, &host).await;
    assert_eq!(store.host_change(host.clone(), Box::new(|_| None)).await.unwrap(), None);
    assert_eq!(state_of(store, &host).await, before);
    assert_eq!(store.host_posture(host).await.unwrap(), None);
}

async fn sightings_only_move_forward(store: &dyn Store) {
    let host = enrol(store, "seen").await;
    for (seen, observed) in [(50, Some(40)), (30, Some(20)), (60, None)] {
        let sighting = Sighting {
            host_id: host.clone(),
            last_seen_at: at(seen),
            observed_at: observed.map(at),
        };
        store.host_sightings(vec![sighting]).await.unwrap();
    }
    let roster = store.host_roster().await.unwrap();
    let row = roster.into_iter().find(|row| row.host_id == host).unwrap();
    assert_eq!((row.last_seen_at, row.observed_at), (at(60), Some(at(40))));
}

async fn newest(store: &dyn Store) -> Entry {
    let page = store.audit_list(PageRequest::new(1, String::new())).await.unwrap();
    page.items.into_iter().next().unwrap()
}

async fn a_change_and_its_entry_are_one(store: &dyn Store) {
    let marked = |object: &str| Entry { operator: "marked".to_owned(), ..entry(object) };
    store.token_create(token("audited", 1), secret("audited"), marked("1")).await.unwrap();
    assert_eq!(newest(store).await, marked("1"), "as it was written");
    store.token_revoke("audited".to_owned(), at(5), marked("2")).await.unwrap();
    assert_eq!(newest(store).await, marked("2"));
    let host = enrol(store, "audited").await;
    let (revocation, step) = end_of_enrolment(200);
    store.host_revoke(host.clone(), revocation.clone(), step, marked("3")).await.unwrap();
    assert_eq!(newest(store).await, marked("3"));

    // What did not happen has no entry.
    let twice = store.token_create(token("audited", 1), secret("other"), marked("4")).await;
    assert!(twice.is_err());
    assert!(!store.token_revoke("nobody".to_owned(), at(5), marked("4")).await.unwrap());
    let (_, step) = end_of_enrolment(200);
    let nobody = store.host_revoke(HostId::random(), revocation, step, marked("4")).await;
    assert!(nobody.is_err());
    let absent = store.operator_revoke("no one".to_owned(), at(5), marked("4")).await.unwrap();
    assert_eq!(absent, None);
    assert_eq!(newest(store).await, marked("3"));
}

async fn the_audit_log_is_read_and_pruned_from_its_ends(store: &dyn Store) {
    let of = |object: i64| Entry {
        at: at(1_000 + object),
        role: None,
        count: 7,
        ..entry(&object.to_string())
    };
    store.audit_append((0..6).map(of).collect()).await.unwrap();
    let first = store.audit_list(PageRequest::new(4, String::new())).await.unwrap();
    assert_eq!(first.items, [5, 4, 3, 2].map(of));
    let second = store.audit_list(PageRequest::new(2, first.next)).await.unwrap();
    assert_eq!(second.items, [1, 0].map(of));

    let objects = async || {
        let all = store.audit_list(PageRequest::default()).await.unwrap().items;
        all.into_iter().map(|entry| entry.object).collect::<Vec<_>>()
    };
    assert!(!store.audit_prune(at(1_001), 1_000).await.unwrap());
    assert_eq!(objects().await, ["5", "4", "3", "2", "1"], "what is older is gone");
    assert!(!store.audit_prune(at(0), 2).await.unwrap());
    assert_eq!(objects().await, ["5", "4"], "what is too much is gone");
    assert!(!store.audit_prune(at(0), 2).await.unwrap());
    assert_eq!(objects().await.len(), 2);
}

async fn history_is_windows_and_only_what_is_over_is_thrown_away(store: &dyn Store) {
    let host = enrol(store, "history").await;
    let say = async |sequence, findings: &[(&str, Outcome)]| {
        let findings = findings.iter().map(|(asset, outcome)| body(asset, *outcome)).collect();
        store.host_change(host.clone(), step(sequence, findings)).await.unwrap();
    };
    // Times are 100 seconds and the sequence.
    say(1, &[("h:/a", Outcome::Fail), ("h:/b", Outcome::Fail)]).await;
    say(2, &[("h:/a", Outcome::Pass)]).await;
    say(3, &[("h:/a", Outcome::Fail)]).await;
    say(4, &[("h:/a", Outcome::Unknown), ("h:/c", Outcome::Unknown)]).await;
    say(5, &[("h:/a", Outcome::Pass)]).await;

    let list = async |since: Option<i64>| {
        let filter = ExposureFilter {
            node: Some(host.as_str().to_owned()),
            check: Some("volume_encrypted".to_owned()),
            since: since.map(at),
        };
        let mut windows = Vec::new();
        let mut page = PageRequest::new(2, String::new());
        loop {
            let found = store.history_list(filter.clone(), page).await.unwrap();
            windows.extend(found.items.into_iter().map(|row| {
                let second = |at: Timestamp| at.as_second();
                let ended = row.ended.map(|(at, end)| (second(at), end));
                (row.asset, row.episode, second(row.opened_at), ended, row.absent_at.map(second))
            }));
            if found.next.is_empty() {
                return windows;
            }
            page = PageRequest::new(2, found.next);
        }
    };
    let window = |asset: &str, episode, from, until: Option<i64>, absent| {
        (asset.to_owned(), episode, from, until.map(|at| (at, AlertEnd::Passed)), absent)
    };
    let second = window("h:/a", 2, 103, Some(105), None);
    let goes_on = window("h:/b", 1, 101, None, Some(102));
    let first = window("h:/a", 1, 101, Some(102), None);
    assert_eq!(list(None).await, [second.clone(), goes_on.clone(), first.clone()]);
    assert_eq!(list(Some(102)).await.len(), 3, "its end is within");
    assert_eq!(list(Some(103)).await, [second.clone(), goes_on.clone()]);
    let of_another = ExposureFilter { check: Some("luks_kdf".to_owned()), ..Default::default() };
    let none = store.history_list(of_another, PageRequest::default()).await.unwrap().items;
    assert_eq!(none, []);

    let alerts = async |state| {
        let all = store.alert_list(state, PageRequest::default()).await.unwrap().items;
        let of_host = all.into_iter().filter(|row| row.alert.host_id == host.as_str());
        of_host.map(|row| (row.alert.finding.asset, row.alert.episode)).collect::<Vec<_>>()
    };
    let (a1, a2) = (("h:/a".to_owned(), 1), ("h:/a".to_owned(), 2));
    assert!(!store.history_prune(at(103)).await.unwrap());
    assert_eq!(list(None).await, [second.clone(), goes_on.clone()]);
    assert_eq!(
        alerts(AlertState::Resolved).await,
        [a2.clone(), a1],
        "what is still to be told is not thrown away"
    );
    // Whether they were told or given up, all of the asset in turn.
    for round in 0..4 {
        let due = store.delivery_due("ops".to_owned(), Severity::Info, 100, at(1_000));
        for DueDelivery { delivery_id, .. } in due.await.unwrap().deliveries {
            let done = if round % 2 == 0 {
                Attempt::Delivered { at: at(1_000) }
            } else {
                Attempt::GivenUp { at: at(1_000), error: "nobody there".to_owned() }
            };
            store.delivery_record(vec![(delivery_id, done)]).await.unwrap();
        }
    }
    let counts = store.delivery_counts().await.unwrap();
    assert!(counts["ops"].failed >= 1, "what was given up is counted");
    assert!(!store.history_prune(at(103)).await.unwrap());
    assert_eq!(alerts(AlertState::Resolved).await, [a2]);
    assert!(!store.history_prune(at(100_000)).await.unwrap());
    assert_eq!(list(None).await, [goes_on], "however old it is");
    assert_eq!(alerts(AlertState::Resolved).await, []);
    assert_eq!(alerts(AlertState::Firing).await, [("h:/b".to_owned(), 1)]);
}
