//! `atrestctl alert dead` and `alert retry`: messages that were given up.

use anyhow::bail;
use atrest_proto::v1;
use atrest_server::view::{Alert, alert_state};
use jiff::Timestamp;
use serde::Serialize;

use crate::connect::{Connection, explain};
use crate::render::{Cell, Screen, Tone, count, exact, time};

/// A message that was given up, for programs.
#[derive(Debug, Serialize)]
struct Letter {
    delivery_id: i64,
    notifier: String,
    state: &'static str,
    attempts: u32,
    error: String,
    failed_at: Option<Timestamp>,
    alert: Option<Alert>,
}

/// Of the list as CSV.
const COLUMNS: &[&str] = &[
    "delivery_id",
    "notifier",
    "state",
    "attempts",
    "error",
    "failed_at",
    "alert.alert_id",
    "alert.hostname",
    "alert.cluster",
    "alert.finding.check",
    "alert.finding.asset",
    "alert.finding.severity",
];

#[derive(Debug, Serialize)]
struct Letters {
    schema: &'static str,
    letters: Vec<Letter>,
}

#[derive(Debug, Serialize)]
struct Retried {
    schema: &'static str,
    messages: u64,
}

impl From<v1::DeadLetter> for Letter {
    fn from(letter: v1::DeadLetter) -> Self {
        Self {
            delivery_id: letter.delivery_id,
            notifier: letter.notifier,
            state: alert_state(letter.state),
            attempts: letter.attempts,
            error: letter.error,
            failed_at: time(letter.failed_at),
            alert: letter.alert.map(Alert::from),
        }
    }
}

pub(crate) async fn list(connection: &mut Connection, screen: &mut Screen) -> anyhow::Result<()> {
    let mut letters = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListDeadLettersRequest { page_size: 0, page_token };
        let page = connection
            .alerts
            .list_dead_letters(request)
            .await
            .map_err(|status| explain(&status))?
            .into_inner();
        letters.extend(page.letters.into_iter().map(Letter::from));
        if page.next_page_token.is_empty() {
            break;
        }
        page_token = page.next_page_token;
    }
    let letters = Letters { schema: "atrest.dead_letters/1", letters };
    if !screen.csv(COLUMNS, &letters.letters)? && !screen.json(&letters)? {
        print(screen, &letters.letters);
    }
    Ok(())
}

fn print(screen: &mut Screen, letters: &[Letter]) {
    if letters.is_empty() {
        screen.line("no message was given up");
        return;
    }
    let rows: Vec<_> = letters
        .iter()
        .map(|letter| {
            let alert = letter.alert.as_ref();
            let finding = alert.and_then(|alert| alert.finding.as_ref());
            let asset = finding.map(|finding| finding.asset.as_str()).unwrap_or_default();
            vec![
                letter.delivery_id.to_string().into(),
                letter.notifier.as_str().into(),
                Cell::word(letter.state),
                alert.map(|alert| alert.hostname.as_str()).unwrap_or_default().into(),
                asset.into(),
                exact(letter.failed_at).into(),
                letter.attempts.to_string().into(),
                Cell::new(letter.error.as_str(), Tone::Doubt),
            ]
        })
        .collect();
    let headings =
        ["MESSAGE", "NOTIFIER", "TELLS", "HOST", "ASSET", "GIVEN UP", "ATTEMPTS", "ERROR"];
    screen.table(&headings, &rows);
    screen.line("");
    let again = "to try again: atrestctl alert retry MESSAGE, or --all";
    screen.row(&[Cell::new(again, Tone::Faint)]);
}

pub(crate) async fn retry(
    connection: &mut Connection,
    screen: &mut Screen,
    message: Option<i64>,
    all: bool,
) -> anyhow::Result<()> {
    if message.is_some() == all {
        bail!("say which message is to be tried again, or --all");
    }
    let request = v1::RetryDeadLettersRequest { delivery_id: message.unwrap_or_default(), all };
    let answer = connection
        .alerts
        .retry_dead_letters(request)
        .await
        .map_err(|status| explain(&status))?
        .into_inner();
    let retried = Retried { schema: "atrest.dead_letters_retried/1", messages: answer.messages };
    if !screen.json(&retried)? {
        screen.line(&format!("tried again: {}", count(retried.messages, "message")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_message_that_was_given_up_is_told_in_a_line() {
        let letter = Letter {
            delivery_id: 17,
            notifier: "ops".to_owned(),
            state: "firing",
            attempts: 20,
            error: "answered 503".to_owned(),
            failed_at: Timestamp::from_second(60).ok(),
            alert: None,
        };
        let mut screen = Screen::plain();
        print(&mut screen, &[letter]);
        expect![[r"
            MESSAGE  NOTIFIER  TELLS   HOST  ASSET  GIVEN UP              ATTEMPTS  ERROR
            17       ops       firing               1970-01-01T00:01:00Z  20        answered 503

            to try again: atrestctl alert retry MESSAGE, or --all
        "]]
        .assert_eq(screen.text());
    }
}
