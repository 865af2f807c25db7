//! Receivers of HTTP that misbehave, and those that want another body.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use atrest_proto::model::Outcome;
use atrest_proto::v1::AlertState;
use atrest_server::notify::signature::Secret;

use crate::receiver::{Receiver, Reply, Request};
use crate::scene::Scene;

/// Longer than any pause before another try, in these tests.
const PAUSE: Duration = Duration::from_mins(2);

fn notify(scene: &Scene, url: &str) -> anyhow::Result<(String, Secret)> {
    let text = Secret::generate();
    let secret = scene.file("webhook.secret", &text)?;
    let config = format!(
        "[[notify.webhook]]\nname = \"hook\"\nurl = \"{url}\"\nsecret_file = \"{}\"\ntimeout = \"1s\"\n",
        secret.display()
    );
    Ok((config, Secret::parse(&text)?))
}

fn is_signed(request: &Request, secret: &Secret) -> anyhow::Result<bool> {
    let timestamp = request.header("webhook-timestamp").parse()?;
    let (id, signature) = (request.header("webhook-id"), request.header("webhook-signature"));
    Ok(secret.verify(id, timestamp, request.body.as_bytes(), signature))
}

pub(crate) fn misbehaves(scene: &mut Scene) -> anyhow::Result<()> {
    scene.stand_still();
    let mut replies = vec![
        (Reply::HangsUp, ""),
        (Reply::Cuts, ""),
        (Reply::Waits, ""),
        (
            Reply::Says(
                "302 Found",
                vec!["location: http://127.0.0.1:1/".to_owned()],
                String::new(),
            ),
            "answered 302 Found",
        ),
        (
            Reply::Says("404 Not Found", Vec::new(), "no such hook".to_owned()),
            "404 Not Found: no such hook",
        ),
        (Reply::status("500 Internal Server Error"), "500"),
        (
            Reply::Says(
                "429 Too Many Requests",
                vec!["retry-after: 100".to_owned()],
                String::new(),
            ),
            "429",
        ),
    ];
    let script: Vec<_> = replies.iter().map(|(reply, _)| reply.clone()).collect();
    let mut script = script.into_iter();
    let receiver =
        Receiver::start(move |_| script.next().unwrap_or(Reply::status("204 No Content")))?;
    let (config, secret) = notify(scene, &receiver.url("/hook"))?;
    scene.start(&config)?;
    let mut first: Option<Request> = None;
    for (attempts, (_, why)) in (1..).zip(replies.drain(..)) {
        let request = receiver.next().with_context(|| format!("attempt {attempts}"))?;
        ensure!(is_signed(&request, &secret)?);
        let first = first.get_or_insert_with(|| request.clone());
        ensure!(request.header("webhook-id") == first.header("webhook-id"), "one id");
        ensure!(request.body == first.body, "one body");
        let told = scene.until(AlertState::Firing, |told| told[0].attempts == attempts)?;
        ensure!(told[0].status == "pending" && told[0].last_error.contains(why), "{told:?}");
        scene.advance(PAUSE);
    }
    receiver.next()?;
    scene.told(AlertState::Firing)?;
    ensure!(receiver.is_idle(), "it was told once more than it had to be");
    Ok(())
}

pub(crate) fn in_order(scene: &mut Scene) -> anyhow::Result<()> {
    scene.stand_still();
    let mut tries = 0;
    let receiver = Receiver::start(move |_| {
        tries += 1;
        Reply::status(if tries < 3 { "503 Service Unavailable" } else { "200 OK" })
    })?;
    let (config, _) = notify(scene, &receiver.url(""))?;
    scene.start(&config)?;
    receiver.next()?;
    // It ends before anybody was told that it began.
    scene.says(Outcome::Pass)?;
    for attempts in 1..3 {
        scene.until(AlertState::Resolved, |told| {
            told.len() == 2 && told[0].attempts == attempts && told[1].attempts == 0
        })?;
        scene.advance(PAUSE);
        ensure!(receiver.next()?.json()?["state"] == "firing");
    }
    ensure!(receiver.next()?.json()?["state"] == "resolved");
    scene.told(AlertState::Resolved)
}

pub(crate) fn chat_and_pager(scene: &mut Scene) -> anyhow::Result<()> {
    let chat = Receiver::start(|_| Reply::Says("200 OK", Vec::new(), "ok".to_owned()))?;
    let pager = Receiver::start(|_| {
        let answer = r#"{"status":"success","message":"Event processed","dedup_key":"x"}"#;
        Reply::Says("202 Accepted", Vec::new(), answer.to_owned())
    })?;
    let url = scene.file("slack.url", &chat.url("/services/T0/B0/token"))?;
    let key = scene.file("pagerduty.key", "0123456789abcdef0123456789abcdef\n")?;
    scene.start(&format!(
        "[[notify.slack]]\nname = \"chat\"\nurl_file = \"{}\"\n[[notify.pagerduty]]\nname = \"oncall\"\n\
         url = \"{}\"\nrouting_key_file = \"{}\"\n",
        url.display(),
        pager.url("/v2/enqueue"),
        key.display()
    ))?;
    let told = chat.next()?;
    ensure!(told.path == "/services/T0/B0/token", "{}", told.path);
    let told = told.json()?;
    let text = told["text"].as_str().context("a text")?;
    ensure!(text.starts_with("FIRING es-1: ") && text.contains("&lt;!channel&gt;"), "{text}");
    ensure!(told["attachments"][0]["color"] == "#c62828", "{told}");
    let opened = pager.next()?.json()?;
    ensure!(opened["routing_key"] == "0123456789abcdef0123456789abcdef", "{opened}");
    ensure!(opened["event_action"] == "trigger" && opened["payload"]["severity"] == "error");
    scene.told(AlertState::Firing)?;

    scene.says(Outcome::Pass)?;
    ensure!(chat.next()?.json()?["attachments"][0]["color"] == "#2e7d32");
    let closed = pager.next()?.json()?;
    ensure!(closed["event_action"] == "resolve", "{closed}");
    ensure!(closed["dedup_key"] == opened["dedup_key"], "{closed}");
    scene.told(AlertState::Resolved)
}
