//! A disk that is full: nothing is acknowledged that is not stored, the server goes on, and recovers.

use atrest_proto::model::Verdict;
use tonic::Code;

use crate::harness::{Server, config, directory, report};

#[tokio::test]
async fn a_full_disk_is_not_acknowledged_and_the_server_recovers() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    stream.report(report(1, agent.posture(&[("/srv", Verdict::Encrypted)]))).await.unwrap();

    // Not a page more than there is.
    server.store.limit_pages(Some(1)).await.unwrap();
    let mut big = agent.posture(&[("/srv", Verdict::Unencrypted)]);
    big.findings[0].summary = "x".repeat(1 << 20);
    let big = report(2, big);
    let status = stream.report(big.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("nothing was stored"), "{status}");

    let mut operator = server.operator().await;
    let fleet = operator.status().await;
    assert_eq!((fleet.encrypted, fleet.firing_alerts), (1, 0), "reads go on");
    let mut stream = server.attach(&agent).await;
    assert_eq!(stream.welcome.last_sequence, 1);

    server.store.limit_pages(None).await.unwrap();
    stream.report(big).await.unwrap();
    let fleet = operator.status().await;
    assert_eq!((fleet.unencrypted, fleet.firing_alerts), (1, 1));
    server.stop().await;
}
