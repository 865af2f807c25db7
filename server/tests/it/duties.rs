//! What several agents could look at is given to one of them, and to another when that one is gone.

use std::collections::BTreeMap;

use atrest_proto::v1;
use atrest_proto::v1::attach_request::Message as Say;
use atrest_proto::v1::attach_response::Message as Hear;

use crate::harness::{Server, Stream, config, directory};

const KEYS: [[u8; 32]; 2] = [[1; 32], [2; 32]];

async fn share(stream: &Stream, keys: &[[u8; 32]]) {
    let keys = keys.iter().map(|key| key.to_vec()).collect();
    stream.say(Say::Shares(v1::Shares { keys })).await;
}

/// What others look at, as the stream is told next.
async fn duties(stream: &mut Stream) -> BTreeMap<Vec<u8>, String> {
    match stream.hear().await.unwrap() {
        Some(Hear::Duties(duties)) => {
            duties.delegated.into_iter().map(|one| (one.key, one.hostname)).collect()
        }
        other => panic!("no duties: {other:?}"),
    }
}

#[tokio::test]
async fn one_agent_looks_for_all_and_another_when_it_is_gone() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let (one, two) = (server.agent("es-1").await, server.agent("es-2").await);
    let (mut of_one, mut of_two) = (server.attach(&one).await, server.attach(&two).await);
    share(&of_one, &KEYS[..1]).await;
    assert!(duties(&mut of_one).await.is_empty(), "it is the only one");
    share(&of_two, &KEYS).await;
    let mut told = duties(&mut of_two).await;
    assert!(!told.contains_key(&KEYS[1][..]), "nobody else could");
    let gone;
    let mut left;
    if let Some(name) = told.remove(&KEYS[0][..]) {
        assert_eq!(name, "es-1");
        (gone, left) = (of_one, of_two);
    } else {
        let told = duties(&mut of_one).await;
        assert_eq!(told.get(&KEYS[0][..]).map(String::as_str), Some("es-2"));
        (gone, left) = (of_two, of_one);
    }
    drop(gone);
    assert!(duties(&mut left).await.is_empty(), "it is its turn now");
    drop(left);
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_key_is_refused() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    stream.say(Say::Shares(v1::Shares { keys: vec![vec![1; 31]] })).await;
    assert_eq!(stream.end().await.code(), tonic::Code::InvalidArgument);
    let mut stream = server.attach(&agent).await;
    let keys = (0..2_000_u32).map(|number| number.to_be_bytes().repeat(8)).collect();
    stream.say(Say::Shares(v1::Shares { keys })).await;
    assert_eq!(stream.end().await.code(), tonic::Code::InvalidArgument);
    server.stop().await;
}
