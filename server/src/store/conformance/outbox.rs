//! What a store must do for alerts and for what is to be told of them.

use atrest_proto::model::{Finding, Outcome, Severity};

use super::super::{AlertRow, DeliveryCounts, DeliveryStatus};
use super::*;
use crate::alert::{Ack, Route};

pub(super) async fn run(store: &dyn Store) {
    messages_go_out_in_order(store).await;
    messages_of_an_asset_wait_for_each_other(store).await;
    severe_messages_go_out_in_quiet_hours(store).await;
    routes_say_who_is_told_and_the_end_follows_the_beginning(store).await;
    what_was_given_up_is_taken_up_in_order(store).await;
    what_goes_on_is_told_again_unless_it_was_acknowledged(store).await;
}

async fn messages_go_out_in_order(store: &dyn Store) {
    let host = enrol(store, "told").await;
    let due = async |now| {
        let due = store.delivery_due("ops".to_owned(), Severity::Info, 100, at(now)).await.unwrap();
        let of_host = |id: &str| id == host.as_str();
        due.deliveries.into_iter().filter(|due| of_host(&due.alert.host_id)).collect::<Vec<_>>()
    };
    store.host_change(host.clone(), step(1, vec![body("a", Outcome::Fail)])).await.unwrap();
    store.host_change(host.clone(), step(2, vec![body("a", Outcome::Pass)])).await.unwrap();
    let first = due(200).await;
    assert_eq!(first.len(), 1, "the end waits for the beginning");
    assert_eq!((first[0].state, first[0].attempts), (AlertState::Firing, 0));
    assert_eq!(first[0].alert.devices, ["/dev/sdb"]);
    assert!(first[0].alert.ended_at.is_some(), "the alert itself has moved on");

    let later = Attempt::RetryAt { next_at: at(300), error: "busy".to_owned() };
    store.delivery_record(vec![(first[0].delivery_id, later)]).await.unwrap();
    assert!(due(299).await.is_empty());
    let waiting = store.delivery_due("ops".to_owned(), Severity::Info, 0, at(299)).await.unwrap();
    assert_eq!(waiting.next_at, Some(at(300)));
    assert_eq!(due(300).await[0].attempts, 1);
    let taken = Attempt::Delivered { at: at(300) };
    store.delivery_record(vec![(first[0].delivery_id, taken)]).await.unwrap();
    let second = due(300).await;
    assert_eq!(second[0].state, AlertState::Resolved);
    let given_up = Attempt::GivenUp { at: at(300), error: "gone".to_owned() };
    store.delivery_record(vec![(second[0].delivery_id, given_up)]).await.unwrap();
    assert!(due(10_000).await.is_empty());

    let page = PageRequest::default();
    let over = store.alert_list(AlertState::Resolved, page.clone()).await.unwrap().items;
    let told = &over.iter().find(|row| row.alert.host_id == host.as_str()).unwrap().deliveries;
    let statuses: Vec<_> = told.iter().map(|row| (row.status, row.attempts)).collect();
    assert_eq!(statuses, [(DeliveryStatus::Delivered, 2), (DeliveryStatus::Failed, 1)]);

    // A notifier that joins is told of what is firing, once.
    store.host_change(host.clone(), step(3, vec![body("a", Outcome::Fail)])).await.unwrap();
    let routes = std::sync::Arc::new(Routes::everybody(["ops", "late"].map(str::to_owned)));
    for _ in 0..2 {
        store.delivery_join(routes.clone(), at(400)).await.unwrap();
    }
    let joined = store
        .delivery_due("late".to_owned(), Severity::Info, 100, at(400))
        .await
        .unwrap()
        .deliveries;
    let of_host = joined.iter().filter(|due| due.alert.host_id == host.as_str());
    assert_eq!(of_host.count(), 1);
}

/// Messages of a host that a notifier is to be told now.
async fn due_of(
    store: &dyn Store,
    notifier: &str,
    host: &HostId,
    least: Severity,
    now: i64,
) -> Vec<DueDelivery> {
    let due = store.delivery_due(notifier.to_owned(), least, 1_000, at(now)).await.unwrap();
    let of_host = |due: &DueDelivery| due.alert.host_id == host.as_str();
    due.deliveries.into_iter().filter(of_host).collect()
}

fn told(due: &[DueDelivery], now: i64) -> Vec<(i64, Attempt)> {
    due.iter().map(|due| (due.delivery_id, Attempt::Delivered { at: at(now) })).collect()
}

async fn messages_of_an_asset_wait_for_each_other(store: &dyn Store) {
    let host = enrol(store, "chained").await;
    for (sequence, outcome) in (1..).zip([Outcome::Fail, Outcome::Pass, Outcome::Fail]) {
        let findings = vec![body("a", outcome), body("b", Outcome::Fail)];
        store.host_change(host.clone(), step(sequence, findings)).await.unwrap();
    }
    let due = async || due_of(store, "ops", &host, Severity::Info, 1_000).await;
    let assets = |due: &[DueDelivery]| -> Vec<_> {
        due.iter()
            .map(|due| (due.alert.finding.asset.clone(), due.alert.episode, due.state))
            .collect()
    };
    let of = |asset: &str, episode, state| (asset.to_owned(), episode, state);
    let first = due().await;
    let (firing, resolved) = (AlertState::Firing, AlertState::Resolved);
    assert_eq!(assets(&first), [of("a", 1, firing), of("b", 1, firing)]);
    assert_eq!(first[0].due_at, at(101));
    store.delivery_record(told(&first, 1_000)).await.unwrap();
    let second = due().await;
    assert_eq!(assets(&second), [of("a", 1, resolved)], "another episode waits for its end");
    store.delivery_record(told(&second, 1_000)).await.unwrap();
    let third = due().await;
    assert_eq!(assets(&third), [of("a", 2, firing)]);
    // One that waits for a long time keeps the asset's next one, and is hastened when the receiver is there again.
    let later = |at_second| Attempt::RetryAt { next_at: at(at_second), error: "busy".to_owned() };
    store.delivery_record(vec![(third[0].delivery_id, later(9_000))]).await.unwrap();
    assert!(due().await.is_empty());
    let hasten = async |later_than| {
        store.delivery_hasten("ops".to_owned(), at(later_than), at(1_000)).await.unwrap();
    };
    hasten(9_000).await;
    assert!(due().await.is_empty(), "it is not later than that");
    hasten(8_999).await;
    assert_eq!(assets(&due().await), [of("a", 2, firing)]);
    store.delivery_record(told(&due().await, 1_000)).await.unwrap();
}

async fn severe_messages_go_out_in_quiet_hours(store: &dyn Store) {
    let host = enrol(store, "quiet").await;
    let critical = |asset: &str, outcome| {
        let Body { finding, place, .. } = body(asset, outcome);
        Body::new(Finding { severity: Severity::Critical, ..finding }, place)
    };
    // First it is high, then the same check on the same asset is critical.
    let reports = [
        vec![body("a", Outcome::Fail), body("b", Outcome::Fail)],
        vec![body("a", Outcome::Pass), body("b", Outcome::Pass)],
        vec![critical("a", Outcome::Fail), body("b", Outcome::Fail), critical("c", Outcome::Fail)],
    ];
    for (sequence, findings) in (1..).zip(reports) {
        store.host_change(host.clone(), step(sequence, findings)).await.unwrap();
    }
    let mut loud = Vec::new();
    loop {
        let due = due_of(store, "ops", &host, Severity::Critical, 1_000).await;
        if due.is_empty() {
            break;
        }
        loud.extend(due.iter().map(|due| (due.alert.finding.asset.clone(), due.state)));
        store.delivery_record(told(&due, 1_000)).await.unwrap();
    }
    let (firing, resolved) = (AlertState::Firing, AlertState::Resolved);
    let expected = [("a", firing), ("c", firing), ("a", resolved), ("a", firing)];
    let expected = expected.map(|(asset, state)| (asset.to_owned(), state));
    assert_eq!(loud, expected, "what stands in the way of a severe one goes out with it");
    let rest = due_of(store, "ops", &host, Severity::Info, 1_000).await;
    assert!(rest.len() == 1 && rest[0].alert.finding.asset == "b");
    store.delivery_record(told(&rest, 1_000)).await.unwrap();
    let next = due_of(store, "ops", &host, Severity::Info, 1_000).await;
    store.delivery_record(told(&next, 1_000)).await.unwrap();
}

/// A step whose alerts go by these routes.
fn routed(step: Step, routes: Routes) -> Step {
    Box::new(move |state| {
        let routes = std::sync::Arc::new(routes);
        step(state).map(|change| Change { routes, ..change })
    })
}

async fn routes_say_who_is_told_and_the_end_follows_the_beginning(store: &dyn Store) {
    let labels = Labels::from([("env".to_owned(), "lab".to_owned())]);
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let route = Route {
        min_severity: Severity::High,
        checks: Vec::new(),
        clusters: names(&["prod"]),
        labels: labels.clone(),
        notifiers: names(&["lab-mail"]),
    };
    let all = names(&["lab-mail", "lab-pager", "lab-chat"]);
    let routes = Routes::new(all.clone(), vec![route], Some(names(&["lab-pager"])));
    let token = Token { labels, ..token("routed", 1) };
    store.token_create(token, secret("routed"), entry("token")).await.unwrap();
    let lab = store.host_enroll(application("routed", "routed")).await.unwrap().unwrap();
    let hosts = [lab.host.host_id, enrol(store, "unlabelled").await];
    let to = async |notifier: &str, host: &HostId| {
        let due = due_of(store, notifier, host, Severity::Info, 1_000).await;
        due.into_iter().map(|due| due.state).collect::<Vec<_>>()
    };
    let (firing, resolved) = (AlertState::Firing, AlertState::Resolved);
    for host in &hosts {
        let fails = routed(step(1, vec![body("a", Outcome::Fail)]), routes.clone());
        store.host_change(host.clone(), fails).await.unwrap();
    }
    assert_eq!(to("lab-mail", &hosts[0]).await, [firing]);
    assert!(to("lab-pager", &hosts[0]).await.is_empty());
    assert_eq!(to("lab-pager", &hosts[1]).await, [firing], "no route takes it");
    assert!(to("lab-mail", &hosts[1]).await.is_empty());

    // Other routes after a restart: who must be told now is, and who was told is told of the end.
    let others = Routes::new(all, Vec::new(), Some(names(&["lab-chat"])));
    for _ in 0..2 {
        store.delivery_join(others.clone().into(), at(500)).await.unwrap();
    }
    assert_eq!(to("lab-chat", &hosts[0]).await, [firing]);
    for notifier in ["lab-mail", "lab-chat"] {
        let due = due_of(store, notifier, &hosts[0], Severity::Info, 1_000).await;
        store.delivery_record(told(&due, 600)).await.unwrap();
    }
    let passes = routed(step(2, vec![body("a", Outcome::Pass)]), others);
    store.host_change(hosts[0].clone(), passes).await.unwrap();
    assert_eq!(to("lab-mail", &hosts[0]).await, [resolved]);
    assert_eq!(to("lab-chat", &hosts[0]).await, [resolved]);
    assert!(to("lab-pager", &hosts[0]).await.is_empty(), "who was not told hears of no end");

    // A notifier that is gone is told nothing, and what was for it is listed.
    let left = Routes::everybody(names(&["ops", "lab-chat", "lab-pager"]));
    store.delivery_join(left.into(), at(700)).await.unwrap();
    let counts = store.delivery_counts().await.unwrap();
    assert_eq!(counts["lab-mail"], DeliveryCounts { pending: 0, failed: 1 });
    let dead = store.delivery_dead(PageRequest::default()).await.unwrap().items;
    let dead = dead.iter().find(|letter| letter.notifier == "lab-mail").unwrap();
    assert_eq!((dead.state, dead.failed_at), (resolved, Some(at(700))));
    assert!(dead.error.contains("no such notifier"), "{}", dead.error);
    // It was an oversight: what was for it is told after all.
    let back = Routes::everybody(names(&["ops", "lab-chat", "lab-pager", "lab-mail"]));
    store.delivery_join(back.into(), at(800)).await.unwrap();
    assert_eq!(to("lab-mail", &hosts[0]).await, [resolved]);
    assert_eq!(to("lab-mail", &hosts[1]).await, [firing], "and of what is firing");

    // What ends while it is away, it is told of when it is back: whoever was told of the beginning is.
    let due = due_of(store, "lab-mail", &hosts[1], Severity::Info, 1_000).await;
    store.delivery_record(told(&due, 850)).await.unwrap();
    let left = Routes::everybody(names(&["ops"]));
    store.delivery_join(left.clone().into(), at(860)).await.unwrap();
    let passes = routed(step(2, vec![body("a", Outcome::Pass)]), left);
    store.host_change(hosts[1].clone(), passes).await.unwrap();
    assert!(to("lab-mail", &hosts[1]).await.is_empty());
    let back = Routes::everybody(names(&["ops", "lab-mail"]));
    store.delivery_join(back.into(), at(900)).await.unwrap();
    assert_eq!(to("lab-mail", &hosts[1]).await, [resolved]);
}

async fn what_was_given_up_is_taken_up_in_order(store: &dyn Store) {
    let host = enrol(store, "dead").await;
    store.host_change(host.clone(), step(1, vec![body("a", Outcome::Fail)])).await.unwrap();
    let due = async || due_of(store, "ops", &host, Severity::Info, 1_000).await;
    let first = due().await;
    let given_up = Attempt::GivenUp { at: at(900), error: "refused".to_owned() };
    store.delivery_record(vec![(first[0].delivery_id, given_up)]).await.unwrap();
    store.host_change(host.clone(), step(2, vec![body("a", Outcome::Pass)])).await.unwrap();
    store.delivery_record(told(&due().await, 950)).await.unwrap();
    assert!(due().await.is_empty());

    let letters = async || {
        let mut letters = Vec::new();
        let mut page = PageRequest::new(1, String::new());
        loop {
            let found = store.delivery_dead(page).await.unwrap();
            letters.extend(found.items);
            if found.next.is_empty() {
                break;
            }
            page = PageRequest::new(1, found.next);
        }
        letters.retain(|letter| letter.alert.host_id == host.as_str());
        letters
    };
    let dead = letters().await;
    assert_eq!(dead.len(), 1);
    assert_eq!(
        (&*dead[0].error, dead[0].failed_at, dead[0].attempts),
        ("refused", Some(at(900)), 1)
    );
    let retry = async |which, notifier: &str, object: &str| {
        let notifiers = vec![notifier.to_owned()];
        store.delivery_retry(which, notifiers, at(1_000), entry(object)).await.unwrap()
    };
    assert_eq!(retry(Some(-1), "ops", "none").await, 0);
    assert_eq!(retry(Some(dead[0].delivery_id), "another", "none").await, 0);
    assert_ne!(newest(store).await, entry("none"), "what did not happen has no entry");
    let taken = retry(Some(dead[0].delivery_id), "ops", "one").await;
    assert_eq!((taken, newest(store).await), (2, entry("one")), "the end follows it again");
    assert!(letters().await.is_empty());
    for expected in [AlertState::Firing, AlertState::Resolved] {
        let due = due().await;
        assert_eq!((due.len(), due[0].state, due[0].attempts), (1, expected, 0));
        store.delivery_record(told(&due, 1_000)).await.unwrap();
    }
    assert!(due().await.is_empty());
}

async fn what_goes_on_is_told_again_unless_it_was_acknowledged(store: &dyn Store) {
    let host = enrol(store, "again").await;
    let findings = || ["a", "b", "c"].map(|asset| body(asset, Outcome::Fail)).to_vec();
    store.host_change(host.clone(), step(1, findings())).await.unwrap();
    let due = async |now| due_of(store, "ops", &host, Severity::Info, now).await;
    store.delivery_record(told(&due(1_000).await, 1_000)).await.unwrap();

    let firing = store.alert_list(AlertState::Firing, PageRequest::default()).await.unwrap().items;
    let id_of = |asset: &str| {
        let is = |row: &&AlertRow| {
            row.alert.host_id == host.as_str() && row.alert.finding.asset == asset
        };
        firing.iter().find(is).unwrap().alert.alert_id.clone()
    };
    let ack = |until: Option<i64>| Ack {
        at: at(1_100),
        by: "ada".to_owned(),
        comment: "on it".to_owned(),
        until: until.map(at),
    };
    let acknowledge = async |id: &str, ack: Ack, object: &str| {
        store.alert_acknowledge(id.to_owned(), ack, entry(object)).await.unwrap()
    };
    assert!(acknowledge(&id_of("a"), ack(None), "a").await);
    assert_eq!(newest(store).await, entry("a"));
    assert!(acknowledge(&id_of("b"), ack(Some(3_000)), "b").await);
    assert!(!acknowledge("nothing", ack(None), "nothing").await);
    assert_eq!(newest(store).await, entry("b"));
    let shown = store.alert_find(id_of("a")).await.unwrap();
    assert!(shown.len() == 1 && shown[0].ack == Some(ack(None)));
    assert!(store.alert_find("no such".to_owned()).await.unwrap().is_empty());
    assert_eq!(store.alert_find(String::new()).await.unwrap().len(), 2, "more than one");

    let repeat = async |told_before, now| {
        store.delivery_repeat("ops".to_owned(), at(told_before), at(now)).await.unwrap();
        due(now)
            .await
            .into_iter()
            .map(|due| (due.alert.finding.asset.clone(), due.repeat))
            .collect::<Vec<_>>()
    };
    assert!(repeat(1_000, 2_000).await.is_empty(), "not so long ago");
    assert_eq!(repeat(1_001, 2_000).await, [("c".to_owned(), 1)]);
    assert_eq!(repeat(1_001, 2_000).await, [("c".to_owned(), 1)], "once");
    store.delivery_record(told(&due(2_000).await, 2_000)).await.unwrap();
    let again = [("b".to_owned(), 1), ("c".to_owned(), 2)];
    assert_eq!(repeat(2_001, 3_000).await, again, "an acknowledgement ends");
    // Over before it was told again: the end is all there is to tell.
    let passed = ["a", "b", "c"].map(|asset| body(asset, Outcome::Pass)).to_vec();
    store.host_change(host.clone(), step(2, passed)).await.unwrap();
    let last = due(4_000).await;
    assert_eq!(last.len(), 3);
    assert!(last.iter().all(|due| due.state == AlertState::Resolved && due.repeat == 0));
    store.delivery_record(told(&last, 4_000)).await.unwrap();
    assert!(!acknowledge(&id_of("a"), ack(None), "over").await, "it is over");
    assert!(repeat(10_000, 10_001).await.is_empty());
}
