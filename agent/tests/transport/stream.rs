//! Reports on their way: once, in order, whatever breaks in between.

use atrest_agent::daemon::DaemonError;
use atrest_agent::status::LinkState;
use atrest_agent::transport::spool::Limits;

use crate::agent::{Node, posture};
use crate::server::{Happened, Server};

#[tokio::test]
async fn a_change_is_reported_once_and_then_only_a_heartbeat_speaks_of_it() {
    let (mut server, node) = (Server::start(), Node::new());
    node.enroll(&server).await.expect("enrolled");
    let agent = node.start();
    let report = server.report_of("a").await;
    assert_eq!(report.sequence, 1);
    assert_eq!(server.heartbeat().await.digest, report.digest);
    agent.rescan().await;
    server.heartbeat().await;
    node.turn("b");
    agent.rescan().await;
    assert_eq!(server.report_of("b").await.sequence, 2);
    server.heartbeat().await;
    agent.stop().await.expect("a good end");

    let status = node.status();
    assert_eq!(status.link.state, LinkState::Stopped);
    assert!(status.link.last_contact.is_some() && status.link.error.is_none());
    assert_eq!((status.spool.reports, status.spool.last_acknowledged), (0, Some(2)));
    assert_eq!(status.agent_version, "1.2.3");

    let agent = node.start();
    server.heartbeat().await;
    agent.stop().await.expect("a good end");
    assert_eq!(
        server.durable(|durable| durable.names.clone()),
        ["a", "b"],
        "not again after a restart"
    );
}

#[tokio::test]
async fn what_changed_while_the_server_was_away_arrives_once_and_in_order() {
    let (mut server, node) = (Server::start(), Node::new());
    node.enroll(&server).await.expect("enrolled");
    let mut agent = node.start();
    server.report_of("a").await;
    server.heartbeat().await;
    server.kill();
    for (sequence, name) in (2..).zip(["b", "c", "d"]) {
        node.turn(name);
        agent.stop().await.expect("a good end");
        agent = node.start();
        // The scan, and a try that failed.
        agent.rolled(2).await;
        node.spooled(sequence).await;
    }
    agent.stop().await.expect("a good end");
    assert_eq!(node.queued(), [2, 3, 4]);
    let link = node.status().link;
    assert!(link.last_contact.is_some(), "of an agent that ran before");
    let error = link.error.expect("an error");
    assert_eq!(error.kind, "unreachable");
    assert!(error.message.contains(&server.address()));

    server.revive();
    let agent = node.start();
    server.report_of("d").await;
    server.heartbeat().await;
    agent.stop().await.expect("a good end");
    assert_eq!(server.durable(|durable| durable.names.clone()), ["a", "b", "c", "d"]);
    assert!(node.queued().is_empty());
}

#[tokio::test]
async fn an_agent_that_runs_on_comes_back_by_itself() {
    let (mut server, node) = (Server::start(), Node::new());
    node.enroll(&server).await.expect("enrolled");
    let agent = node.start();
    server.heartbeat().await;
    for name in ["b", "c", "d"] {
        server.kill();
        node.turn(name);
        agent.rescan().await;
        server.revive();
        server.report_of(name).await;
        server.heartbeat().await;
    }
    agent.stop().await.expect("a good end");
    assert_eq!(server.durable(|durable| durable.names.clone()), ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn an_acknowledgement_that_got_lost_costs_no_second_report() {
    let (mut server, node) = (Server::start(), Node::new());
    node.enroll(&server).await.expect("enrolled");
    server.manners(|manners| manners.mute = true);
    let agent = node.start();
    server.report_of("a").await;
    agent.kill().await;
    assert_eq!(node.queued(), [1], "nobody said that it arrived");
    server.manners(|manners| manners.mute = false);
    let agent = node.start();
    server.heartbeat().await;
    agent.stop().await.expect("a good end");
    assert!(node.queued().is_empty());
    assert!(!server.unseen().iter().any(|happened| matches!(happened, Happened::Report(_))));
}

/// The agent is killed after each number of things that the server saw; the changes arrive all the same.
#[tokio::test]
async fn killed_at_any_moment_nothing_is_lost_and_nothing_comes_twice() {
    for moment in 0..8 {
        let (mut server, node) = (Server::start(), Node::new());
        node.enroll(&server).await.expect("enrolled");
        server.next().await;
        for name in ["a", "b"] {
            node.turn(name);
            let mut agent = node.start();
            agent.rolled(1).await;
            for _ in 0..moment {
                server.next().await;
            }
            agent.kill().await;
        }
        node.turn("c");
        let agent = node.start();
        server.report_of("c").await;
        server.heartbeat().await;
        agent.stop().await.expect("a good end");
        let names = server.durable(|durable| durable.names.clone());
        // A change that was over before it was seen is none; one that was seen is there, once.
        assert!(names.is_sorted() && names.last().is_some_and(|name| name == "c"), "{names:?}");
        let mut once = names.clone();
        once.dedup();
        assert_eq!(once, names);
        assert!(node.queued().is_empty());
    }
}

#[tokio::test]
async fn a_server_that_lost_its_memory_gets_the_posture_again() {
    let (mut server, node) = (Server::start(), Node::new());
    node.enroll(&server).await.expect("enrolled");
    let agent = node.start();
    server.heartbeat().await;
    server.durable(|durable| *durable = crate::server::Durable::default());
    let again = server.report_of("a").await;
    assert_eq!(again.sequence, 2, "numbers never go back");
    server.heartbeat().await;
    agent.stop().await.expect("a good end");
}

#[tokio::test]
async fn an_agent_that_lost_its_memory_goes_on_above_what_the_server_knows() {
    let (mut server, node) = (Server::start(), Node::new());
    node.enroll(&server).await.expect("enrolled");
    let agent = node.start();
    server.heartbeat().await;
    agent.stop().await.expect("a good end");
    std::fs::remove_dir_all(node.state.spool()).expect("removed");
    server.durable(|durable| durable.last = 41);
    node.turn("b");
    let agent = node.start();
    assert_eq!(server.report_of("b").await.sequence, 42);
    server.heartbeat().await;
    agent.stop().await.expect("a good end");
}

#[tokio::test]
async fn a_full_spool_tells_what_it_dropped() {
    let (mut server, mut node) = (Server::start(), Node::new());
    node.limits = Limits { reports: 2, ..Limits::default() };
    node.enroll(&server).await.expect("enrolled");
    server.kill();
    for (sequence, name) in (1..).zip(["a", "b", "c", "d", "e"]) {
        node.turn(name);
        let agent = node.start();
        node.spooled(sequence).await;
        agent.stop().await.expect("a good end");
    }
    assert_eq!(node.queued(), [4, 5]);
    assert_eq!(node.status().spool.lost.dropped, 3);
    server.revive();
    let agent = node.start();
    // With the loss, and then without.
    server.report_of("e").await;
    server.report_of("e").await;
    server.heartbeat().await;
    agent.stop().await.expect("a good end");
    let (names, gaps) = server.durable(|durable| (durable.names.clone(), durable.gaps.clone()));
    assert_eq!(names, ["d", "e", "e"]);
    assert!(gaps[1][0].starts_with("reports from number 1 on never arrived"), "{gaps:?}");
    assert!(gaps[2].is_empty());
}

#[tokio::test]
async fn a_scan_that_hangs_does_not_stop_the_heartbeats() {
    let (mut server, node) = (Server::start(), Node::new());
    node.enroll(&server).await.expect("enrolled");
    let (release, held) = std::sync::mpsc::channel::<()>();
    let mut scans = 0;
    let agent = node.start_with(move || {
        scans += 1;
        if scans > 1 {
            // Until the test lets go.
            held.recv().err();
        }
        posture("a")
    });
    server.report_of("a").await;
    agent.rescan().await;
    for _ in 0..5 {
        server.heartbeat().await;
    }
    agent.stop().await.expect("a good end");
    assert!(node.status().scan.running_since.is_some());
    drop(release);
}

#[tokio::test]
async fn two_agents_do_not_share_a_state_directory() {
    let (server, node) = (Server::start(), Node::new());
    node.enroll(&server).await.expect("enrolled");
    let mut first = node.start();
    first.rolled(1).await;
    assert!(matches!(node.start().ended().await, Err(DaemonError::AlreadyRunning { .. })));
    first.stop().await.expect("a good end");
    let mut third = node.start();
    third.rolled(1).await;
    third.stop().await.expect("a good end");
}

#[tokio::test]
async fn a_scan_that_panics_ends_the_agent_instead_of_letting_it_look_well() {
    let node = Node::new();
    let ended = node.start_with(|| panic!("a bug")).ended().await;
    assert!(matches!(ended, Err(DaemonError::ScannerLost)));
}
