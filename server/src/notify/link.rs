//! Where people read more about an alert: a URL of the operator's, with words in braces for fields. Pure.

use super::Message;

/// The fields that a link may name.
const FIELDS: [&str; 5] = ["alert_id", "check", "cluster", "host", "host_id"];

/// Whether every word in braces is the name of a field.
pub(crate) fn is_known(link: &str) -> bool {
    parts(link).all(|part| match part {
        Part::Text(text) => !text.contains(['{', '}']),
        Part::Field(name) => FIELDS.contains(&name),
    })
}

/// The link of one alert.
pub(crate) fn fill(link: &str, message: &Message<'_>) -> String {
    let alert = message.alert;
    let mut url = String::new();
    for part in parts(link) {
        match part {
            Part::Text(text) => url.push_str(text),
            Part::Field("alert_id") => encode(&mut url, &alert.alert_id),
            Part::Field("check") => encode(&mut url, &alert.finding.check),
            Part::Field("cluster") => encode(&mut url, &alert.cluster),
            Part::Field("host") => encode(&mut url, &alert.hostname),
            Part::Field("host_id") => encode(&mut url, &alert.host_id),
            Part::Field(_) => {}
        }
    }
    url
}

enum Part<'a> {
    Text(&'a str),
    Field(&'a str),
}

fn parts(link: &str) -> impl Iterator<Item = Part<'_>> {
    link.split_inclusive('}').flat_map(|piece| {
        let field = piece.strip_suffix('}').and_then(|piece| piece.split_once('{'));
        match field {
            Some((text, name)) => [Some(Part::Text(text)), Some(Part::Field(name))],
            None => [Some(Part::Text(piece)), None],
        }
        .into_iter()
        .flatten()
    })
}

/// What is not unreserved (RFC 3986) is escaped: a name cannot leave its place in the URL.
fn encode(url: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::alert::AlertState;

    #[test]
    fn only_known_fields_are_taken() {
        assert!(is_known("https://wiki.example.com/atrest"));
        assert!(is_known("https://wiki.example.com/{check}?host={host_id}"));
        for wrong in
            ["https://x/{nonsense}", "https://x/{host", "https://x/host}", "https://x/{{host}}"]
        {
            assert!(!is_known(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_field_cannot_leave_its_place() {
        let mut alert = fixture::alert("0123");
        alert.hostname = "es-1/../?a=b#c é".to_owned();
        let message = Message { alert: &alert, state: AlertState::Firing, repeat: 0 };
        assert_eq!(
            fill("https://x/{host}/{alert_id}", &message),
            "https://x/es-1%2F..%2F%3Fa%3Db%23c%20%C3%A9/0123"
        );
    }
}
