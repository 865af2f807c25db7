//! What the status of an answer means: the same for every store that speaks HTTP. Pure.

use super::store::Failure;
use super::words::brief;

/// What an answer with this status means, which is none of success. `said` is what the store says beside it, `action` the
/// permission that the request needs. RFC 9110, 15.
pub(super) fn of_status(
    status: u16,
    said: Option<&str>,
    action: &str,
    again: Option<u64>,
) -> Failure {
    let detail = format!("{status} {}", said.map_or_else(|| "no reason given".to_owned(), brief));
    match status {
        429 | 503 => Failure::Throttled(again),
        401 | 403 | 407 => Failure::Refused { action: action.to_owned(), detail },
        404 | 410 => Failure::Gone(detail),
        405 | 501 => Failure::NotSupported(detail),
        408 | 504 => Failure::Unreachable(detail),
        // Somewhere else nobody is asked: credentials could be led there.
        300..=399 => Failure::Other(format!("{detail}; it sends elsewhere, which is not followed")),
        _ => Failure::Other(detail),
    }
}

/// The value of `Retry-After` when it is a number of seconds; the other form of RFC 9110, 10.2.3, is a date.
pub(super) fn seconds(retry_after: &str) -> Option<u64> {
    retry_after.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_its_meaning() {
        let of = |status| of_status(status, Some("why\n"), "x.get", Some(7));
        for status in [401, 403, 407] {
            let expected =
                Failure::Refused { action: "x.get".to_owned(), detail: format!("{status} why ") };
            assert_eq!(of(status), expected);
        }
        assert_eq!(of(403).remedy(), "allow x.get to the agent's own identity");
        assert_eq!((of(429), of(503)), (Failure::Throttled(Some(7)), Failure::Throttled(Some(7))));
        assert!(of(429).to_string().contains("7 s"), "{}", of(429));
        assert_eq!(of(404), Failure::Gone("404 why ".to_owned()));
        assert_eq!(of(501), Failure::NotSupported("501 why ".to_owned()));
        assert!(matches!(of(504), Failure::Unreachable(_)));
        assert!(matches!(of(302), Failure::Other(detail) if detail.contains("not followed")));
        for status in [400, 409, 500, 502, 700] {
            assert!(matches!(of(status), Failure::Other(_)), "{status}");
        }
        assert_eq!(
            of_status(500, None, "x.get", None),
            Failure::Other("500 no reason given".to_owned())
        );
    }

    #[test]
    fn a_pause_is_told_in_seconds() {
        assert_eq!(seconds(" 120 "), Some(120));
        for other in ["", "-1", "1.5", "Fri, 31 Dec 1999 23:59:59 GMT", "99999999999999999999"] {
            assert_eq!(seconds(other), None, "{other}");
        }
    }
}
