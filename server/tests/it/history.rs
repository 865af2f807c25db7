//! When what was exposed: kept after it is over, asked for by operators, and thrown away by age.

use std::time::Duration;

use atrest_proto::model::Verdict;
use atrest_proto::v1;
use atrest_server::alert::AlertState;
use atrest_server::clock::Clock;
use atrest_server::store::{ExposureFilter, PageRequest, Store as _};

use crate::ctl::answer;
use crate::harness::{Server, config, directory, report, until};

#[tokio::test]
async fn what_was_exposed_between_two_looks_is_told_with_its_true_times() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    let start = server.clock.now();
    // The host looked earlier than its report came: its own times are the true ones.
    for (sequence, verdict, seconds) in
        [(1, Verdict::Encrypted, 0), (2, Verdict::Unencrypted, 100), (3, Verdict::Encrypted, 160)]
    {
        let mut posture = agent.posture(&[("/srv", verdict), ("/old", Verdict::Partial)]);
        posture.observed_at = start + Duration::from_secs(seconds);
        server.clock.advance(Duration::from_secs(200));
        stream.report(report(sequence, posture)).await.unwrap();
    }
    let mut operator = server.operator().await;
    let node = || v1::ListHistoryRequest { node: "es-1".to_owned(), ..Default::default() };
    let windows = operator.fleet.list_history(node()).await.unwrap().into_inner().exposures;
    let assets: Vec<_> = windows.iter().map(|window| &*window.asset).collect();
    assert_eq!(assets, ["data:/srv", "data:/old"]);
    let srv = &windows[0];
    let second = |at: &Option<prost_types::Timestamp>| at.as_ref().unwrap().seconds;
    assert_eq!(second(&srv.opened_at) - start.as_second(), 100);
    assert_eq!(second(&srv.told_at) - start.as_second(), 400);
    assert_eq!(second(&srv.ended_at) - start.as_second(), 160);
    assert_eq!(srv.end(), v1::AlertEnd::Passed);
    assert_eq!((windows[1].ended_at, windows[1].end()), (None, v1::AlertEnd::Unspecified));

    let text = answer(&server, &["history", "--node", "es-1"]).await;
    assert!(text.contains("1 min") && text.contains("2 exposures"), "{text}");
    let none = answer(&server, &["history", "--check", "luks_kdf"]).await;
    assert!(none.contains("nothing was exposed"), "{none}");
    let later = (start + Duration::from_secs(161)).to_string();
    let json = answer(&server, &["history", "--since", &later, "--format", "json"]).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["schema"], "atrest.history/1");
    assert_eq!(json["exposures"].as_array().unwrap().len(), 1);
    assert_eq!(json["exposures"][0]["end"], "ongoing");
    let csv = answer(&server, &["history", "--format", "csv"]).await;
    assert_eq!(csv.split_terminator("\r\n").count(), 3, "{csv}");

    // A host that is revoked keeps its history.
    let request = v1::RevokeNodeRequest { node: "es-1".to_owned(), reason: String::new() };
    operator.nodes.revoke_node(request).await.unwrap();
    let windows = operator.fleet.list_history(node()).await.unwrap().into_inner().exposures;
    let ends: Vec<_> = windows.iter().map(v1::Exposure::end).collect();
    assert_eq!(ends, [v1::AlertEnd::Passed, v1::AlertEnd::HostRetired]);
    server.stop().await;
}

#[tokio::test]
async fn what_is_over_for_long_is_thrown_away_and_what_goes_on_is_not() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    for (sequence, verdict) in [(1, Verdict::Unencrypted), (2, Verdict::Encrypted)] {
        let posture = agent.posture(&[("/srv", verdict), ("/old", Verdict::Unencrypted)]);
        stream.report(report(sequence, posture)).await.unwrap();
    }
    let now = server.clock.now();
    drop(stream);
    server.stop().await;

    let later = Clock::manual(now);
    later.advance(config(&state).history.keep_for + Duration::from_secs(1));
    let server = Server::start_at(config(&state), later).await;
    let windows = until(async || {
        let page = PageRequest::default();
        let windows = server.store.history_list(ExposureFilter::default(), page).await.unwrap();
        (windows.items.len() < 2).then_some(windows.items)
    })
    .await;
    assert_eq!((&*windows[0].asset, windows[0].ended), ("data:/old", None));
    // Asked of the store: no client takes the certificates of a server that lives next year.
    let alerts = async |state| {
        server.store.alert_list(state, PageRequest::default()).await.unwrap().items.len()
    };
    until(async || (alerts(AlertState::Resolved).await == 0).then_some(())).await;
    assert_eq!(alerts(AlertState::Firing).await, 1);
    server.stop().await;
}
