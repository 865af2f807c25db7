//! What errors of S3 and its key service mean.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::object_store::answer;
use crate::object_store::store::Failure;
use crate::object_store::words::{brief, chain};

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
    let again = service.raw().headers().get("retry-after").and_then(answer::seconds);
    (of_error(status, code.as_deref(), service.err().message(), action, again), code)
}

/// Codes are those of "Error responses", S3 API reference; an answer to HEAD has none.
fn of_error(
    status: u16,
    code: Option<&str>,
    message: Option<&str>,
    action: &str,
    again: Option<u64>,
) -> Failure {
    let said = match (code, message) {
        (Some(code), Some(message)) => Some(format!("{code}: {message}")),
        (Some(code), None) => Some(code.to_owned()),
        (None, _) => None,
    };
    let said = said.as_deref();
    match code {
        Some("SlowDown" | "ThrottlingException" | "RequestLimitExceeded") => {
            Failure::Throttled(again)
        }
        Some("AccessDeniedException" | "AccessDenied") => Failure::Refused {
            action: action.to_owned(),
            detail: format!("{status} {}", brief(said.unwrap_or_default())),
        },
        _ => answer::of_status(status, said, action, again),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_meaning() {
        let of = |status, code| of_error(status, code, Some("words"), "s3:X", None);
        assert!(matches!(of(403, None), Failure::Refused { .. }));
        assert!(matches!(of(400, Some("AccessDeniedException")), Failure::Refused { .. }));
        assert_eq!(of(503, Some("SlowDown")), Failure::Throttled(None));
        assert_eq!(of(400, Some("ThrottlingException")), Failure::Throttled(None));
        assert_eq!(of(429, None), Failure::Throttled(None));
        // MinIO without a key service.
        assert_eq!(
            of(501, Some("NotImplemented")),
            Failure::NotSupported("501 NotImplemented: words".to_owned())
        );
        assert!(matches!(of(404, Some("NoSuchBucket")), Failure::Gone(_)));
        assert!(matches!(of(400, None), Failure::Other(_)));
        assert_eq!(of(403, None).remedy(), "allow s3:X to the agent's own identity");
    }
}
