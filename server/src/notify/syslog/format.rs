//! A message of RFC 5424. Pure.

use atrest_proto::model::Severity;
use jiff::Timestamp;

use super::super::Message;
use super::super::text::{self, Story, line, short_bytes};
use crate::alert::AlertState;
use crate::config::Facility;

/// How much of a value is told, in bytes: the first that makes everything but the text fit.
const VALUES: [usize; 6] = [4_096, 1_024, 256, 128, 64, 32];
const APP_NAME: &str = "atrest";

/// What all messages have.
#[derive(Debug)]
pub(super) struct Header {
    facility: Facility,
    sd_id: String,
    hostname: String,
}

impl Header {
    pub(super) fn new(facility: Facility, sd_id: &str, hostname: &str) -> Self {
        Self { facility, sd_id: sd_id.to_owned(), hostname: printable(hostname, 64) }
    }

    /// At most `limit` bytes, of at least 480: the text is cut first, then long values, then whole ones.
    pub(super) fn message(&self, message: &Message<'_>, now: Timestamp, limit: usize) -> String {
        let priority = u16::from(self.facility.code()) * 8 + u16::from(severity(message));
        let head = format!(
            "<{priority}>1 {now:.6} {} {APP_NAME} - {} ",
            self.hostname,
            printable(&message.alert.finding.check, 32),
        );
        let mut fields = Vec::from(text::fields(message));
        fields.push(("id", message.id()));
        fields.retain(|(_, value)| !value.is_empty());
        let left = limit.saturating_sub(head.len());
        let data = self.data(&fields, left);
        let mut whole = head + &data;
        let story = Story::of(message, None);
        let said = format!("{} {}", story.word.as_str(), story.title());
        // What is not ASCII has to be announced.
        let mark = if said.is_ascii() { " " } else { " \u{feff}" };
        let left = limit.saturating_sub(whole.len().saturating_add(mark.len()));
        let said = short_bytes(&said, left);
        if !said.is_empty() {
            whole.push_str(mark);
            whole.push_str(said);
        }
        whole
    }

    /// The structured data, in at most `limit` bytes.
    fn data(&self, fields: &[(&'static str, String)], limit: usize) -> String {
        let element = |fields: &[(&'static str, String)], bytes| {
            let parameter = |(name, value): &(&'static str, String)| {
                format!(" {name}=\"{}\"", escape(short_bytes(&line(value), bytes)))
            };
            let parameters: String = fields.iter().map(parameter).collect();
            format!("[{}{parameters}]", self.sd_id)
        };
        let whole = VALUES.iter().map(|bytes| element(fields, *bytes));
        // The least that is told is what the alert is.
        let fewer = (0..fields.len()).rev().map(|count| {
            element(fields.split_at_checked(count).map_or(&[][..], |(kept, _)| kept), 32)
        });
        whole.chain(fewer).find(|data| data.len() <= limit).unwrap_or_else(|| "-".to_owned())
    }
}

/// The numbers of syslog: the lower, the worse. What is over is a notice, however bad it was.
fn severity(message: &Message<'_>) -> u8 {
    if message.state == AlertState::Resolved {
        return 5;
    }
    match message.alert.finding.severity {
        Severity::Critical => 2,
        Severity::High => 3,
        Severity::Medium => 4,
        Severity::Low => 5,
        Severity::Info => 6,
    }
}

/// A word of the header: printable ASCII without spaces; `-` for nothing.
fn printable(text: &str, limit: usize) -> String {
    let kept = text.chars().map(|char| if char.is_ascii_graphic() { char } else { '_' });
    let kept: String = kept.take(limit).collect();
    if kept.is_empty() { "-".to_owned() } else { kept }
}

/// Of a value in quotes: the quote, the backslash, and the bracket that would end the element.
fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for char in value.chars() {
        if matches!(char, '"' | '\\' | ']') {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;

    use super::super::super::fixture;
    use super::*;

    fn header() -> Header {
        Header::new(Facility::AUTHPRIV, "atrest@32473", "atrest.example.com")
    }

    fn now() -> Timestamp {
        Timestamp::from_microsecond(1_700_000_060_250_000).unwrap()
    }

    #[test]
    fn a_message_has_all_fields_as_structured_data() {
        let mut alert = fixture::alert("0123");
        alert.cluster = "a\"b\\c]d\ne".to_owned();
        let message = Message { alert: &alert, state: AlertState::Firing, repeat: 0 };
        expect![[r#"<83>1 2023-11-14T22:14:20.250000Z atrest.example.com atrest - volume_encrypted [atrest@32473 alert_id="0123" state="firing" check="volume_encrypted" severity="high" cluster="a\"b\\c\]d e" host="es-1" host_id="11111111-2222-4333-8444-555555555555" asset="data:/srv/es" path="/srv/es" devices="/dev/sdb,/dev/sdc" id="0123-firing"] FIRING es-1: /srv/es rests in plaintext on /dev/sdb"#]].assert_eq(&header().message(&message, now(), 2_048));
        let over = Message { alert: &alert, state: AlertState::Resolved, repeat: 0 };
        let over = header().message(&over, now(), 2_048);
        assert!(over.starts_with("<85>1 "), "{over}");
    }

    #[test]
    fn a_text_that_is_not_ascii_is_announced() {
        let mut alert = fixture::alert("0123");
        alert.finding.summary = "/srv/é".to_owned();
        let message = Message { alert: &alert, state: AlertState::Firing, repeat: 0 };
        let said = header().message(&message, now(), 2_048);
        assert!(said.ends_with("] \u{feff}FIRING es-1: /srv/é"), "{said}");
    }

    /// Reads a message back, as a collector does: the values of its one element, and the text.
    fn read(message: &str) -> (Vec<(String, String)>, String) {
        let (_, rest) = message.split_once(" [atrest@32473").expect("an element");
        let mut chars = rest.chars().peekable();
        let mut values = Vec::new();
        loop {
            match chars.next().expect("the element ends") {
                ']' => return (values, chars.collect()),
                ' ' => {
                    let name: String = chars.by_ref().take_while(|char| *char != '=').collect();
                    assert_eq!(chars.next(), Some('"'));
                    let mut value = String::new();
                    loop {
                        match chars.next().expect("the value ends") {
                            '"' => break,
                            '\\' => value.push(chars.next().expect("something is escaped")),
                            char => value.push(char),
                        }
                    }
                    values.push((name, value));
                }
                other => panic!("{other:?} between values of {message:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn any_host_makes_a_message_that_fits_and_can_be_read(
            alert in fixture::any_alert(),
            limit in 480_usize..4_000,
        ) {
            let message = Message { alert: &alert, state: AlertState::Firing, repeat: 0 };
            let said = header().message(&message, now(), limit);
            prop_assert!(said.len() <= limit, "{} bytes", said.len());
            prop_assert!(!said.contains(char::is_control));
            let (values, _) = read(&said);
            prop_assert_eq!(values[0].clone(), ("alert_id".to_owned(), "0123".to_owned()));
            for (name, value) in values {
                let known = text::fields(&message).into_iter().find(|(known, _)| *known == name);
                if let Some((_, known)) = known {
                    prop_assert!(line(&known).starts_with(&value), "{}: {:?}", name, value);
                }
            }
        }
    }
}
