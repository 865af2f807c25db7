//! What errors of S3 and its key service mean.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::object_store::store::Failure;

/// What a failed request means; `action` is the permission that it needs.
pub(super) fn classify<E>(error: &SdkError<E, HttpResponse>, action: &str) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    classify_coded(error, action).0
}

/// The same, with the store's own code for it.
pub(super) fn classify_coded<E>(
    error: &SdkError<E, HttpResponse>,
    action: &str,
) -> (Failure, Option<String>)
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let SdkError::ServiceError(service) = error else {
        let detail = brief(&chain(error));
        let is_away = matches!(error, SdkError::TimeoutError(_) | SdkError::DispatchFailure(_));
        let failure = if is_away { Failure::Unreachable(detail) } else { Failure::Other(detail) };
        return (failure, None);
    };
    let status = service.raw().status().as_u16();
    let code = service.err().code().map(str::to_owned);
    (of_status(status, code.as_deref(), service.err().message(), action), code)
}

/// By the status, as an answer to HEAD has nothing else; codes are those of "Error responses", S3 API reference.
fn of_status(status: u16, code: Option<&str>, message: Option<&str>, action: &str) -> Failure {
    let said = match (code, message) {
        (Some(code), Some(message)) => format!("{code}: {}", brief(message)),
        (Some(code), None) => code.to_owned(),
        (None, _) => "no reason given".to_owned(),
    };
    match (status, code) {
        (_, Some("SlowDown" | "ThrottlingException" | "RequestLimitExceeded")) | (429 | 503, _) => {
            Failure::Throttled
        }
        (401 | 403, _) | (_, Some("AccessDeniedException" | "AccessDenied")) => {
            Failure::Refused { action: action.to_owned(), detail: format!("{status} {said}") }
        }
        (501 | 405, _) => Failure::NotSupported(format!("{status} {said}")),
        (404, _) => Failure::Gone(format!("{status} {said}")),
        _ => Failure::Other(format!("{status} {said}")),
    }
}

/// The causes of an error, outermost first; its own `Display` names the first only.
fn chain(error: &dyn std::error::Error) -> String {
    let mut causes = vec![error.to_string()];
    let mut next = error.source();
    while let Some(error) = next {
        let text = error.to_string();
        // Outer errors often repeat inner ones.
        if !causes.iter().any(|cause| cause.contains(&text)) {
            causes.push(text);
        }
        next = error.source();
    }
    causes.join(": ")
}

/// In one line, and not longer than a person reads.
fn brief(text: &str) -> String {
    const MOST: usize = 200;
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_meaning() {
        let of = |status, code| of_status(status, code, Some("words"), "s3:X");
        assert!(matches!(of(403, None), Failure::Refused { .. }));
        assert!(matches!(of(400, Some("AccessDeniedException")), Failure::Refused { .. }));
        assert_eq!(of(503, Some("SlowDown")), Failure::Throttled);
        assert_eq!(of(429, None), Failure::Throttled);
        // MinIO without a key service.
        assert_eq!(
            of(501, Some("NotImplemented")),
            Failure::NotSupported("501 NotImplemented: words".to_owned())
        );
        assert!(matches!(of(404, Some("NoSuchBucket")), Failure::Gone(_)));
        assert!(matches!(of(400, None), Failure::Other(_)));
        assert_eq!(of(403, None).remedy(), "allow s3:X to the agent's own identity");
    }

    #[test]
    fn what_a_store_says_is_one_line() {
        assert_eq!(brief("a\nb\u{1b}[c"), "a b [c");
        assert_eq!(brief(&"x".repeat(1000)).len(), 200);
    }
}
