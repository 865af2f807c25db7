//! From a report of the real agent to real receivers: Debian's Alertmanager, a mail server, collectors of syslog,
//! and stand-ins for what cannot run here, which misbehave as they are told.

#![expect(
    clippy::indexing_slicing,
    reason = "a JSON value that is not there is null, which no test takes for an answer"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests read the clock and their own files, and start processes of their own"
)]

mod agent;
mod alertmanager;
mod certificates;
mod collectors;
mod elasticsearch;
mod mail;
mod receiver;
mod scene;
mod secrets;
mod webhooks;

use std::process::ExitCode;

use atrest_tests::emulator::Missing;
use scene::Scene;

type Test = fn(&mut Scene) -> anyhow::Result<()>;

const ALL: &[(&str, Test)] = &[
    ("alertmanager_shows_what_fires_and_no_more", alertmanager::shows_what_fires),
    ("alertmanager_that_was_restarted_learns_what_fires", alertmanager::restarted),
    ("alertmanager_whose_clock_is_behind_takes_an_end", alertmanager::clock_behind),
    ("mail_by_starttls_is_one_thread", mail::starttls),
    ("mail_by_smtps", mail::smtps),
    ("mail_to_a_relay_on_this_machine", mail::relay),
    ("mail_to_who_is_not_trusted_is_not_sent", mail::not_trusted),
    ("syslog_over_udp", collectors::udp),
    ("syslog_over_tcp", collectors::tcp),
    ("syslog_over_tls", collectors::tls),
    ("syslog_that_is_not_read_is_told_again", collectors::not_read),
    ("elasticsearch_gets_each_document_once", elasticsearch::documents),
    ("elasticsearch_whose_first_node_is_down", elasticsearch::first_node_down),
    ("webhook_that_misbehaves_is_told_until_it_takes", webhooks::misbehaves),
    ("webhook_is_told_in_order", webhooks::in_order),
    ("slack_and_pagerduty_are_told", webhooks::chat_and_pager),
    ("secrets_are_in_no_log_and_no_error", secrets::nowhere),
];

fn main() -> ExitCode {
    let words: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let chosen = ALL.iter().filter(|(name, _)| {
        words.is_empty() || words.iter().any(|word| name.contains(word.as_str()))
    });
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (name, test) in chosen {
        match Scene::new().and_then(|mut scene| test(&mut scene)) {
            Ok(()) => {
                passed += 1;
                say(&format!("alerts: {name}: ok"));
            }
            Err(error) if error.is::<Missing>() => {
                skipped += 1;
                say(&format!("alerts: {name}: skipped: {error}"));
            }
            Err(error) => {
                failed += 1;
                say(&format!("alerts: {name}: FAILED: {error:#}"));
            }
        }
    }
    say(&format!("{passed} passed, {failed} failed, {skipped} skipped"));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::print_stdout, reason = "the answer of this program")]
fn say(text: &str) {
    println!("{text}");
}
