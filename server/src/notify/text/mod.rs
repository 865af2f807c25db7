//! What people are told, in words: one alert as a story, many as an overview. Pure.
//!
//! Everything that comes from a host is cut to a length and stripped of what would steer a terminal or a reader.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::why::why;
use super::{Message, Notice, link};
use crate::alert::{AlertEnd, AlertState};

/// Alerts of an overview that are named.
const NAMED: usize = 20;
/// Checks of an overview whose remedy is told.
const REMEDIES: usize = 5;
/// The longest summary, name or path, in characters.
const SHORT: usize = 500;
/// The longest remedy, in characters.
const LONG: usize = 4_000;

/// What happened, in one word for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    Firing,
    /// Its host was revoked, or its asset or search node is gone: nobody saw it fixed.
    Ended,
    /// It goes on as a more severe one.
    Worsened,
    Resolved,
}

impl Word {
    pub fn of(message: &Message<'_>) -> Self {
        match (message.state, message.alert.end) {
            (AlertState::Firing, _) => Self::Firing,
            (AlertState::Resolved, Some(AlertEnd::HostRetired | AlertEnd::AssetRetired)) => {
                Self::Ended
            }
            (AlertState::Resolved, Some(AlertEnd::Worsened)) => Self::Worsened,
            (AlertState::Resolved, Some(AlertEnd::Passed) | None) => Self::Resolved,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "FIRING",
            Self::Ended => "ENDED",
            Self::Worsened => "WORSENED",
            Self::Resolved => "RESOLVED",
        }
    }

    const fn in_a_sentence(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Ended => "ended with what they were of",
            Self::Worsened => "worsened",
            Self::Resolved => "resolved",
        }
    }
}

/// The fields that every notifier tells of an alert, by the same names.
pub fn fields(message: &Message<'_>) -> [(&'static str, String); 10] {
    let (alert, finding) = (message.alert, &message.alert.finding);
    [
        ("alert_id", alert.alert_id.clone()),
        ("state", message.state.as_str().to_owned()),
        ("check", finding.check.clone()),
        ("severity", finding.severity.to_string()),
        ("cluster", alert.cluster.clone()),
        ("host", alert.hostname.clone()),
        ("host_id", alert.host_id.clone()),
        ("asset", finding.asset.clone()),
        ("path", alert.path.clone()),
        ("devices", alert.devices.join(",")),
    ]
}

/// One alert.
#[derive(Debug)]
pub struct Story {
    pub word: Word,
    pub severity: String,
    pub check: String,
    pub host: String,
    pub summary: String,
    /// What is known of it: a name for people, and a value.
    pub facts: Vec<(&'static str, String)>,
    pub why: Option<&'static str>,
    /// May have several lines; empty where there is nothing to fix.
    pub remedy: String,
    pub link: Option<String>,
    pub alert_id: String,
}

impl Story {
    pub fn of(message: &Message<'_>, link: Option<&str>) -> Self {
        let (alert, finding) = (message.alert, &message.alert.finding);
        let word = Word::of(message);
        let host = name(&alert.hostname, &alert.host_id);
        let mut facts = vec![("Severity", finding.severity.to_string())];
        let mut add = |name, value: &str| {
            let value = short(&line(value), SHORT);
            if !value.is_empty() {
                facts.push((name, value));
            }
        };
        add("Check", &finding.check);
        add("Cluster", &alert.cluster);
        add("Host", &host);
        add("Host id", &alert.host_id);
        add("Path", &alert.path);
        add("Asset", &finding.asset);
        add("Plaintext on", &alert.devices.join(", "));
        add("Since", &time(alert.started_at));
        if message.repeat > 0 {
            let times = if message.repeat == 1 { "once" } else { "more than once" };
            let id: String = alert.alert_id.chars().take(12).collect();
            add("Told before", &format!("{times}; `atrestctl alert ack {id}` ends the reminders"));
        }
        if let (AlertState::Resolved, Some(ended_at)) = (message.state, alert.ended_at) {
            let lasted = ended_at.duration_since(alert.started_at);
            let seconds = jiff::SignedDuration::from_secs(lasted.as_secs().max(0));
            add("Until", &format!("{} (after {seconds:#})", time(ended_at)));
        }
        let ended_by = match alert.end.filter(|_| message.state == AlertState::Resolved) {
            Some(AlertEnd::HostRetired) => "the host was revoked: nobody saw it fixed",
            Some(AlertEnd::AssetRetired) => "it is gone: nobody saw it fixed",
            Some(AlertEnd::Worsened) => "it became more severe, and is told of as another alert",
            Some(AlertEnd::Passed) | None => "",
        };
        add("Ended by", ended_by);
        let open = word == Word::Firing;
        Self {
            word,
            severity: finding.severity.to_string(),
            check: short(&line(&finding.check), SHORT),
            host,
            summary: short(&line(&finding.summary), SHORT),
            facts,
            why: open.then(|| why(&finding.check)).flatten(),
            remedy: if open { short(&lines(&finding.remedy), LONG) } else { String::new() },
            link: link.map(|link| link::fill(link, message)),
            alert_id: alert.alert_id.clone(),
        }
    }

    /// Where and what, in one line.
    pub fn title(&self) -> String {
        format!("{}: {}", self.host, self.summary)
    }
}

/// Several alerts of one cluster.
#[derive(Debug)]
pub struct Overview {
    /// Of all of them.
    pub title: String,
    /// What was counted, and the counts.
    pub counts: Vec<(&'static str, String)>,
    /// The worst first.
    pub named: Vec<Story>,
    pub more: usize,
    /// Checks that fire, why they matter, and how one of their alerts is fixed.
    pub remedies: Vec<(String, Option<&'static str>, String)>,
}

impl Overview {
    pub fn of(notice: &Notice<'_>, link: Option<&str>) -> Self {
        let messages = worst_first(notice);
        let count = |key: fn(&Message<'_>) -> String| {
            let mut counts = BTreeMap::<String, usize>::new();
            for message in &messages {
                let count = counts.entry(short(&line(&key(message)), SHORT)).or_default();
                *count = count.saturating_add(1);
            }
            let mut counts: Vec<_> = counts.into_iter().collect();
            counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            counts
        };
        let hosts: BTreeSet<_> = messages.iter().map(|message| &message.alert.host_id).collect();
        let hosts = match hosts.len() {
            1 => "1 host".to_owned(),
            many => format!("{many} hosts"),
        };
        let states = Self::states(&messages);
        let cluster = messages.first().map_or("", |message| message.alert.cluster.as_str());
        let place = if cluster.is_empty() {
            String::new()
        } else {
            format!(" of {}", short(&line(cluster), SHORT))
        };
        let title = format!("{states} on {hosts}{place}");
        let mut counts = vec![("State", states)];
        let severities = count(|message| message.alert.finding.severity.to_string());
        counts.push(("Severity", listed(&severities)));
        counts.push(("Check", listed(&count(|message| message.alert.finding.check.clone()))));
        counts.push(("Cluster", listed(&count(|message| name(&message.alert.cluster, "(none)")))));
        counts.push(("Hosts", hosts));
        let mut remedies = BTreeMap::new();
        for message in messages.iter().filter(|message| message.state == AlertState::Firing) {
            let finding = &message.alert.finding;
            let remedy = || short(&lines(&finding.remedy), LONG);
            if remedies.len() < REMEDIES || remedies.contains_key(&finding.check) {
                remedies.entry(finding.check.clone()).or_insert_with(remedy);
            }
        }
        let named: Vec<_> =
            messages.iter().take(NAMED).map(|message| Story::of(message, link)).collect();
        Self {
            title,
            counts,
            more: messages.len().saturating_sub(named.len()),
            named,
            remedies: remedies
                .into_iter()
                .map(|(check, remedy)| (short(&line(&check), SHORT), why(&check), remedy))
                .collect(),
        }
    }

    /// `3 alerts firing, 1 resolved`.
    fn states(messages: &[&Message<'_>]) -> String {
        let mut states = Vec::new();
        for word in [Word::Firing, Word::Ended, Word::Worsened, Word::Resolved] {
            let count = messages.iter().filter(|message| Word::of(message) == word).count();
            if count > 0 {
                let alerts = match (states.is_empty(), count) {
                    (false, _) => "",
                    (true, 1) => "alert ",
                    (true, _) => "alerts ",
                };
                states.push(format!("{count} {alerts}{}", word.in_a_sentence()));
            }
        }
        states.join(", ")
    }

    /// What is to be said of those that are not named.
    pub fn more(&self) -> Option<String> {
        (self.more > 0)
            .then(|| format!("and {} more: `atrestctl alerts` lists them all", self.more))
    }
}

/// What fires before what is over, the most severe first, then by host and asset.
pub fn worst_first<'a, 'b>(notice: &'b Notice<'a>) -> Vec<&'b Message<'a>> {
    let mut messages: Vec<_> = notice.messages.iter().collect();
    messages.sort_by(|a, b| {
        let key = |message: &Message<'_>| {
            (Word::of(message), std::cmp::Reverse(message.alert.finding.severity))
        };
        let place = |message: &Message<'a>| {
            let alert = message.alert;
            (&alert.hostname, &alert.host_id, &alert.finding.asset, &alert.alert_id)
        };
        key(a).cmp(&key(b)).then_with(|| place(a).cmp(&place(b)))
    });
    messages
}

/// One line for a list of messages: what a mail is called.
pub fn subject(notice: &Notice<'_>) -> String {
    match notice.messages.as_slice() {
        [message] => {
            let story = Story::of(message, None);
            format!("[{}] {}: {}", story.word.as_str(), story.severity, story.title())
        }
        _ => Overview::of(notice, None).title,
    }
}

/// The whole of it as plain text.
pub fn plain(notice: &Notice<'_>, link: Option<&str>) -> String {
    match notice.messages.as_slice() {
        [message] => plain_story(&Story::of(message, link)),
        _ => plain_overview(&Overview::of(notice, link)),
    }
}

fn plain_story(story: &Story) -> String {
    let mut text = format!("{} {}\n\n", story.word.as_str(), story.title());
    for (name, value) in &story.facts {
        text.push_str(&format!("{:<14}{value}\n", format!("{name}:")));
    }
    if let Some(why) = story.why {
        text.push_str(&format!("\nWhy it matters\n{}", indent(why)));
    }
    if !story.remedy.is_empty() {
        text.push_str(&format!("\nHow to fix it\n{}", indent(&story.remedy)));
    }
    text.push('\n');
    if let Some(link) = &story.link {
        text.push_str(&format!("More: {link}\n"));
    }
    text.push_str(&format!("Alert {}\n", story.alert_id));
    text
}

fn plain_overview(overview: &Overview) -> String {
    let mut text = format!("{}\n\n", overview.title);
    for (name, value) in &overview.counts {
        text.push_str(&format!("{:<14}{value}\n", format!("{name}:")));
    }
    text.push('\n');
    for story in &overview.named {
        let (word, severity) = (story.word.as_str(), &story.severity);
        text.push_str(&format!("{word} {severity}: {} [{}]\n", story.title(), story.check));
        if let Some(link) = &story.link {
            text.push_str(&format!("  {link}\n"));
        }
    }
    if let Some(more) = overview.more() {
        text.push_str(&format!("{more}\n"));
    }
    for (check, why, remedy) in &overview.remedies {
        text.push_str(&format!("\n{check}\n"));
        if let Some(why) = why {
            text.push_str(&indent(why));
        }
        if !remedy.is_empty() {
            text.push_str(&format!("  How to fix one of them:\n{}", indent(remedy)));
        }
    }
    text
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

fn listed(counts: &[(String, usize)]) -> String {
    let shown: Vec<_> =
        counts.iter().take(NAMED).map(|(what, count)| format!("{count} {what}")).collect();
    let rest = counts.len().saturating_sub(shown.len());
    let more = if rest == 0 { String::new() } else { format!(", and {rest} others") };
    format!("{}{more}", shown.join(", "))
}

fn name(name: &str, otherwise: &str) -> String {
    let name = line(name);
    short(if name.is_empty() { otherwise } else { &name }, SHORT)
}

fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// In one line: white space is a space, and what steers a terminal or turns the direction of text is gone.
pub fn line(text: &str) -> String {
    let kept: String = text
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .filter(|char| is_plain(*char))
        .collect();
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The same with its lines kept, and what is indented.
fn lines(text: &str) -> String {
    let clean = |line: &str| {
        let kept = line.chars().map(|char| if char.is_control() { ' ' } else { char });
        kept.filter(|char| is_plain(*char)).collect::<String>().trim_end().to_owned()
    };
    text.trim().lines().map(clean).collect::<Vec<_>>().join("\n")
}

fn is_plain(char: char) -> bool {
    !matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// At most `limit` characters; what is cut off is said by an ellipsis.
pub fn short(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(limit.saturating_sub(1)).collect();
    kept.push('…');
    kept
}

/// At most `limit` bytes, cut between characters.
pub fn short_bytes(text: &str, limit: usize) -> &str {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.split_at_checked(end).map_or("", |(kept, _)| kept)
}

#[cfg(test)]
mod tests;
