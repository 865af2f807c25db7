//! `atrestctl token`: letting hosts in.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use atrest_proto::v1;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::connect::{Connection, explain};
use crate::nodes::show_labels;
use crate::render::{Cell, Screen, Tone, count, exact, now, time};

/// What kind of token is wanted.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) cluster: String,
    pub(crate) uses: u32,
    pub(crate) ttl: Option<SignedDuration>,
    pub(crate) replace: Option<String>,
    pub(crate) labels: Vec<(String, String)>,
}

/// A token, for programs.
#[derive(Debug, Serialize)]
struct Entry {
    token_id: String,
    cluster: String,
    uses_left: u32,
    created_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    revoked: bool,
    replaces: Option<String>,
    labels: BTreeMap<String, String>,
}

impl From<v1::Token> for Entry {
    fn from(token: v1::Token) -> Self {
        Self {
            token_id: token.token_id,
            cluster: token.cluster,
            uses_left: token.uses_left,
            created_at: time(token.created_at),
            expires_at: time(token.expires_at),
            revoked: token.revoked,
            replaces: (!token.replaces.is_empty()).then_some(token.replaces),
            labels: token.labels,
        }
    }
}

impl Entry {
    fn state(&self, now: Timestamp) -> &'static str {
        if self.revoked {
            "revoked"
        } else if self.expires_at.is_none_or(|at| at <= now) {
            "expired"
        } else if self.uses_left == 0 {
            "used up"
        } else {
            "valid"
        }
    }
}

#[derive(Debug, Serialize)]
struct Created {
    schema: &'static str,
    token: String,
    #[serde(flatten)]
    about: Entry,
}

/// Of the list as CSV.
const COLUMNS: &[&str] = &[
    "token_id",
    "cluster",
    "uses_left",
    "created_at",
    "expires_at",
    "revoked",
    "replaces",
    "labels",
];

#[derive(Debug, Serialize)]
struct Tokens {
    schema: &'static str,
    tokens: Vec<Entry>,
}

#[derive(Debug, Serialize)]
struct Revoked {
    schema: &'static str,
    token_id: String,
}

pub(crate) async fn create(
    connection: &mut Connection,
    screen: &mut Screen,
    ask: Ask,
) -> anyhow::Result<()> {
    let ttl_seconds = match ask.ttl {
        None => 0,
        Some(ttl) => {
            ensure!(ttl.as_secs() > 0, "--ttl must be at least a second");
            ttl.as_secs().unsigned_abs()
        }
    };
    let request = v1::CreateTokenRequest {
        cluster: ask.cluster,
        uses: ask.uses,
        ttl_seconds,
        replaces: ask.replace.unwrap_or_default(),
        labels: ask.labels.into_iter().collect(),
    };
    let created = connection
        .tokens
        .create_token(request)
        .await
        .map_err(|status| explain(&status))?
        .into_inner();
    let about: Entry = created.token.context("the server told nothing of the token")?.into();
    let created = Created { schema: "atrest.token/1", token: created.pasteable, about };
    if screen.json(&created)? {
        return Ok(());
    }
    let Entry { cluster, uses_left, expires_at, replaces, .. } = &created.about;
    let what = match replaces {
        Some(host) => format!("to take the place of {host}"),
        None => format!("for {} of cluster {cluster}", count(u64::from(*uses_left), "host")),
    };
    screen.line(&created.token);
    screen.line("");
    let when = exact(*expires_at);
    screen.row(&[Cell::new(format!("{what}; expires at {when}. On the host:"), Tone::Faint)]);
    screen.row(&[Cell::new("  atrest-agent enroll TOKEN", Tone::Faint)]);
    Ok(())
}

pub(crate) async fn list(connection: &mut Connection, screen: &mut Screen) -> anyhow::Result<()> {
    let answer = connection
        .tokens
        .list_tokens(v1::ListTokensRequest {})
        .await
        .map_err(|status| explain(&status))?;
    let tokens = answer.into_inner().tokens.into_iter().map(Entry::from).collect();
    let tokens = Tokens { schema: "atrest.tokens/1", tokens };
    if screen.csv(COLUMNS, &tokens.tokens)? || screen.json(&tokens)? {
        return Ok(());
    }
    if tokens.tokens.is_empty() {
        screen.line("no tokens: `atrestctl token create` makes one");
        return Ok(());
    }
    let now = now();
    let rows: Vec<_> = tokens
        .tokens
        .iter()
        .map(|token| {
            vec![
                Cell::word(token.state(now)),
                token.token_id.as_str().into(),
                token.cluster.as_str().into(),
                token.uses_left.to_string().into(),
                exact(token.created_at).into(),
                exact(token.expires_at).into(),
                token.replaces.as_deref().unwrap_or_default().into(),
                show_labels(&token.labels).into(),
            ]
        })
        .collect();
    let headings =
        ["STATE", "TOKEN", "CLUSTER", "USES LEFT", "CREATED", "EXPIRES", "REPLACES", "LABELS"];
    screen.table(&headings, &rows);
    Ok(())
}

pub(crate) async fn revoke(
    connection: &mut Connection,
    screen: &mut Screen,
    token_id: String,
) -> anyhow::Result<()> {
    let request = v1::RevokeTokenRequest { token_id: token_id.clone() };
    connection.tokens.revoke_token(request).await.map_err(|status| explain(&status))?;
    if !screen.json(&Revoked { schema: "atrest.token_revoked/1", token_id: token_id.clone() })? {
        screen.line(&format!("{token_id} lets nobody in any more"));
    }
    Ok(())
}
