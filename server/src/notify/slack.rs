//! Incoming webhooks of Slack, and of what takes the same: Mattermost, Rocket.Chat.
//!
//! Attachments are used and not blocks: both know them, and they have a colour.

use std::sync::Arc;

use async_trait::async_trait;
use reqwest::Url;
use reqwest::header::HeaderMap;
use serde::Serialize;

use super::http::Client;
use super::open::{Unusable, secret};
use super::text::{Overview, Story, Word, short};
use super::{NotTaken, Notice, Notifier};
use crate::clock::Clock;
use crate::config;

/// How many alerts one message tells of.
const TOGETHER: usize = 1_000;
/// The longest text of an attachment, in characters: more is folded away.
const TEXT: usize = 3_000;

/// A channel.
pub struct Slack {
    name: String,
    max_attempts: u32,
    url: Url,
    client: Client,
    link: Option<Arc<str>>,
}

// The URL is a secret.
impl std::fmt::Debug for Slack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slack").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Debug, Serialize)]
struct Payload {
    /// What a notification shows.
    text: String,
    attachments: Vec<Attachment>,
}

#[derive(Debug, Default, Serialize)]
struct Attachment {
    color: &'static str,
    fallback: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    title_link: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    text: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Field>,
    #[serde(skip_serializing_if = "String::is_empty")]
    footer: String,
    mrkdwn_in: [&'static str; 1],
}

#[derive(Debug, Serialize)]
struct Field {
    title: &'static str,
    value: String,
    short: bool,
}

impl Payload {
    fn of(notice: &Notice<'_>, link: Option<&str>) -> Self {
        match notice.messages.as_slice() {
            [message] => Self::story(&Story::of(message, link)),
            _ => Self::overview(&Overview::of(notice, link)),
        }
    }

    fn story(story: &Story) -> Self {
        let title = format!("{} {}", story.word.as_str(), story.title());
        let mut parts = Vec::new();
        if let Some(why) = story.why {
            parts.push(escape(why));
        }
        if !story.remedy.is_empty() {
            parts.push(format!("*How to fix it*\n{}", code_block(&story.remedy)));
        }
        Self {
            text: escape(&title),
            attachments: vec![Attachment {
                color: color(story.word, &story.severity),
                fallback: escape(&title),
                title: escape(&story.summary),
                title_link: story.link.clone(),
                text: parts.join("\n"),
                fields: fields(&story.facts),
                footer: escape(&format!("atrest, alert {}", story.alert_id)),
                mrkdwn_in: ["text"],
            }],
        }
    }

    fn overview(overview: &Overview) -> Self {
        let worst = overview.named.first();
        let color = worst.map_or("", |story| color(story.word, &story.severity));
        let mut lines = Vec::new();
        let mut length = 0_usize;
        let mut more = overview.more;
        for story in &overview.named {
            let place = code(&short(&story.host, 100));
            let (word, severity) = (story.word.as_str(), &story.severity);
            let summary = escape(&short(&story.summary, 200));
            let line = format!("{word} {} {place}: {summary}", escape(severity));
            length = length.saturating_add(line.chars().count().saturating_add(1));
            if length > TEXT {
                more = more.saturating_add(1);
            } else {
                lines.push(line);
            }
        }
        if more > 0 {
            lines.push(format!("and {more} more: `atrestctl alerts` lists them all"));
        }
        let list = Attachment {
            color,
            fallback: escape(&overview.title),
            text: lines.join("\n"),
            fields: fields(&overview.counts),
            mrkdwn_in: ["text"],
            ..Attachment::default()
        };
        let remedies = overview.remedies.iter().map(|(check, why, remedy)| Attachment {
            color,
            fallback: escape(check),
            title: escape(check),
            text: format!(
                "{}\n{}",
                escape(why.unwrap_or_default()),
                code_block(&short(remedy, TEXT))
            ),
            mrkdwn_in: ["text"],
            ..Attachment::default()
        });
        Self {
            text: escape(&overview.title),
            attachments: std::iter::once(list).chain(remedies).collect(),
        }
    }
}

fn fields(facts: &[(&'static str, String)]) -> Vec<Field> {
    let field = |(title, value): &(&'static str, String)| Field {
        title,
        value: escape(value),
        short: value.chars().count() < 40,
    };
    facts.iter().map(field).collect()
}

/// Red for what is severe, amber for the rest; green only for what was seen to pass.
fn color(word: Word, severity: &str) -> &'static str {
    match (word, severity) {
        (Word::Resolved, _) => "#2e7d32",
        (Word::Ended | Word::Worsened, _) => "#757575",
        (Word::Firing, "critical" | "high") => "#c62828",
        (Word::Firing, _) => "#f9a825",
    }
}

/// As Slack asks for it, so that nothing becomes a mention or a link. Mattermost mentions by `@` alone.
fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    ["@all", "@channel", "@here", "@everyone"].iter().fold(text, |text, mention| {
        // Nothing that is shown comes between.
        text.replace(mention, &mention.replacen('@', "@\u{200b}", 1))
    })
}

/// Between backticks, where nothing has a meaning but the backtick itself.
fn code(text: &str) -> String {
    format!("`{}`", escape(text).replace('`', "'"))
}

fn code_block(text: &str) -> String {
    format!("```\n{}\n```", escape(text).replace('`', "'"))
}

impl Slack {
    pub(super) fn open(
        notifier: &config::Notifier,
        slack: &config::Slack,
        link: Option<&str>,
    ) -> Result<Self, Unusable> {
        let text = secret(&slack.url_file)?;
        let url: Url = text
            .parse()
            .ok()
            .filter(|url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| {
                Unusable::content(&slack.url_file, "it must hold the URL of an incoming webhook")
            })?;
        let mut client = Client::open(&slack.http, notifier.timeout, std::slice::from_ref(&url))?;
        client.hide_url(&url);
        Ok(Self {
            name: notifier.name.clone(),
            max_attempts: notifier.max_attempts,
            url,
            client,
            link: link.map(Arc::from),
        })
    }
}

#[async_trait]
impl Notifier for Slack {
    fn name(&self) -> &str {
        &self.name
    }

    fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    fn together(&self) -> usize {
        TOGETHER
    }

    async fn deliver(&self, notice: &Notice<'_>, clock: &Clock) -> Result<(), NotTaken> {
        let payload = Payload::of(notice, self.link.as_deref());
        let body =
            serde_json::to_vec(&payload).map_err(|error| NotTaken::because(error.to_string()))?;
        let url = self.url.clone();
        let answer = self.client.post(url, "application/json", HeaderMap::new(), body).await?;
        self.client.judge(&answer, clock.now())
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;

    use super::super::fixture;
    use super::*;
    use crate::alert::AlertState;

    fn json(notice: &Notice<'_>, link: Option<&str>) -> String {
        serde_json::to_string_pretty(&Payload::of(notice, link)).unwrap()
    }

    #[test]
    fn one_alert_is_an_attachment_with_a_colour() {
        let alert = fixture::alert("0123");
        let notice = fixture::one(&alert, AlertState::Firing);
        expect![[r##"
            {
              "text": "FIRING es-1: /srv/es rests in plaintext on /dev/sdb",
              "attachments": [
                {
                  "color": "#c62828",
                  "fallback": "FIRING es-1: /srv/es rests in plaintext on /dev/sdb",
                  "title_link": "https://wiki.example.com/volume_encrypted",
                  "title": "/srv/es rests in plaintext on /dev/sdb",
                  "text": "Whoever takes the disk, its image or a decommissioned drive reads what the node wrote. It does not protect a running, unlocked node. For PCI DSS 3.5.1.2 it is supporting evidence only: disk encryption alone does not satisfy that requirement on fixed disks.\n*How to fix it*\n```\nput dm-crypt under it:\n  cryptsetup luksFormat /dev/sdb\n```",
                  "fields": [
                    {
                      "title": "Severity",
                      "value": "high",
                      "short": true
                    },
                    {
                      "title": "Check",
                      "value": "volume_encrypted",
                      "short": true
                    },
                    {
                      "title": "Cluster",
                      "value": "prod",
                      "short": true
                    },
                    {
                      "title": "Host",
                      "value": "es-1",
                      "short": true
                    },
                    {
                      "title": "Host id",
                      "value": "11111111-2222-4333-8444-555555555555",
                      "short": true
                    },
                    {
                      "title": "Path",
                      "value": "/srv/es",
                      "short": true
                    },
                    {
                      "title": "Asset",
                      "value": "data:/srv/es",
                      "short": true
                    },
                    {
                      "title": "Plaintext on",
                      "value": "/dev/sdb, /dev/sdc",
                      "short": true
                    },
                    {
                      "title": "Since",
                      "value": "2023-11-14 22:13:20 UTC",
                      "short": true
                    }
                  ],
                  "footer": "atrest, alert 0123",
                  "mrkdwn_in": [
                    "text"
                  ]
                }
              ]
            }"##]].assert_eq(&json(&notice, Some("https://wiki.example.com/{check}")));
        let over = Payload::of(&fixture::one(&alert, AlertState::Resolved), None);
        assert_eq!(over.attachments[0].color, "#2e7d32");
    }

    #[test]
    fn a_storm_is_one_message() {
        let alerts = fixture::storm();
        let payload = Payload::of(&fixture::told(&alerts), None);
        assert_eq!(payload.text, "900 alerts firing, 100 resolved on 1000 hosts of prod");
        assert!(
            payload.attachments[0]
                .text
                .ends_with("and 980 more: `atrestctl alerts` lists them all")
        );
        assert!(serde_json::to_vec(&payload).unwrap().len() < 20_000);
    }

    #[test]
    fn nothing_becomes_a_mention_or_a_link() {
        assert_eq!(escape("<!channel> & @here"), "&lt;!channel&gt; &amp; @\u{200b}here");
        assert_eq!(code("a`b<c"), "`a'b&lt;c`");
    }

    proptest! {
        #[test]
        fn no_host_can_mention_anybody(alert in fixture::any_alert()) {
            let notice = fixture::one(&alert, AlertState::Firing);
            let payload = Payload::of(&notice, None);
            let attachment = &payload.attachments[0];
            let mut texts =
                vec![&payload.text, &attachment.title, &attachment.text, &attachment.fallback];
            texts.extend(attachment.fields.iter().map(|field| &field.value));
            for text in texts {
                prop_assert!(!text.contains(['<', '>']), "{}", text);
                let text = text.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
                prop_assert!(!text.contains('&'), "{}", text);
            }
        }
    }
}
