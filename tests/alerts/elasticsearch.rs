//! A stand-in for `_bulk`, with the bodies that Elasticsearch's REST specification has.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, ensure};
use atrest_proto::model::Outcome;
use atrest_proto::v1::AlertState;
use serde_json::{Value, json};

use crate::agent::{ASSET, DEVICE};
use crate::receiver::{Receiver, Reply, Request};
use crate::scene::Scene;

type Documents = Arc<Mutex<BTreeMap<String, Value>>>;

/// Creates what is not there, as a data stream does.
fn bulk(request: &Request, documents: &Documents) -> anyhow::Result<Value> {
    ensure!(request.path == "/logs-atrest-default/_bulk", "{}", request.path);
    ensure!(request.header("content-type") == "application/x-ndjson");
    ensure!(request.body.ends_with('\n'), "the last line has an end too");
    let lines: Vec<Value> =
        request.body.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let mut documents = documents.lock().unwrap_or_else(PoisonError::into_inner);
    let mut items = Vec::new();
    for pair in lines.chunks(2) {
        let [action, document] = pair else { anyhow::bail!("an action without a document") };
        let id = action["create"]["_id"].as_str().context("only created, by id")?.to_owned();
        ensure!(document["@timestamp"].is_string(), "a data stream asks for a time");
        let item = if documents.contains_key(&id) {
            json!({ "_index": ".ds-x", "_id": id, "status": 409, "error": {
                "type": "version_conflict_engine_exception",
                "reason": format!("[{id}]: version conflict, document already exists"),
            }})
        } else {
            documents.insert(id.clone(), document.clone());
            json!({ "_index": ".ds-x", "_id": id, "_version": 1, "result": "created", "status": 201 })
        };
        items.push(json!({ "create": item }));
    }
    Ok(json!({ "took": 1, "errors": false, "items": items }))
}

fn notify(scene: &Scene, urls: &[String]) -> anyhow::Result<String> {
    let key = scene.file("elasticsearch.key", "an-id:a-key\n")?;
    let urls: Vec<_> = urls.iter().map(|url| format!("\"{url}\"")).collect();
    Ok(format!(
        "[[notify.elasticsearch]]\nname = \"es\"\nurls = [{}]\nindex = \"logs-atrest-default\"\n\
         api_key_file = \"{}\"\n",
        urls.join(", "),
        key.display()
    ))
}

pub(crate) fn documents(scene: &mut Scene) -> anyhow::Result<()> {
    let documents = Documents::default();
    let kept = Arc::clone(&documents);
    let mut is_first = true;
    let receiver = Receiver::start(move |request| {
        // base64 of the key's id and the key.
        if request.header("authorization") != "ApiKey YW4taWQ6YS1rZXk=" {
            return Reply::status("401 Unauthorized");
        }
        let answer = bulk(request, &kept);
        // It is written, and nobody hears of it.
        if std::mem::take(&mut is_first) {
            return Reply::HangsUp;
        }
        match answer {
            Ok(answer) => Reply::Says("200 OK", Vec::new(), answer.to_string()),
            Err(error) => Reply::Says("400 Bad Request", Vec::new(), format!("{error:#}")),
        }
    })?;
    let config = notify(scene, &[receiver.url("")])?;
    scene.start(&config)?;
    scene.told(AlertState::Firing)?;
    scene.says(Outcome::Pass)?;
    scene.told(AlertState::Resolved)?;
    let documents = documents.lock().unwrap_or_else(PoisonError::into_inner);
    let told: Vec<&Value> = documents.values().collect();
    let [fired, over] = told.as_slice() else { anyhow::bail!("{documents:?}") };
    ensure!(fired["event"]["action"] == "firing" && over["event"]["action"] == "resolved");
    ensure!(fired["event"]["kind"] == "alert" && fired["host"]["name"] == "es-1", "{fired}");
    ensure!(fired["rule"]["id"] == "volume_encrypted", "{fired}");
    ensure!(fired["atrest"]["asset"] == ASSET && fired["atrest"]["devices"] == json!([DEVICE]));
    ensure!(over["event"]["end"].is_string() && over["atrest"]["end"] == "passed", "{over}");
    Ok(())
}

pub(crate) fn first_node_down(scene: &mut Scene) -> anyhow::Result<()> {
    let documents = Documents::default();
    let kept = Arc::clone(&documents);
    let down = Receiver::start(|_| Reply::status("503 Service Unavailable"))?;
    let mut is_full = true;
    let up = Receiver::start(move |request| {
        let answer = if std::mem::take(&mut is_full) {
            Ok(json!({ "took": 1, "errors": true, "items": [{ "create": { "status": 429, "error": {
                "type": "es_rejected_execution_exception", "reason": "queue is full" }}}]}))
        } else {
            bulk(request, &kept)
        };
        match answer {
            Ok(answer) => Reply::Says("200 OK", Vec::new(), answer.to_string()),
            Err(error) => Reply::Says("400 Bad Request", Vec::new(), format!("{error:#}")),
        }
    })?;
    let config = notify(scene, &[down.url(""), up.url("")])?;
    scene.start(&config)?;
    let why = scene
        .until(AlertState::Firing, |told| !told[0].last_error.is_empty())?
        .into_iter()
        .map(|told| told.last_error)
        .collect::<String>();
    ensure!(why.contains("503") && why.contains("queue is full"), "{why}");
    scene.told(AlertState::Firing)?;
    ensure!(documents.lock().unwrap_or_else(PoisonError::into_inner).len() == 1);
    Ok(())
}
