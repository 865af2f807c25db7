//! The only mapping from what went wrong to what a caller is told.

use atrest_proto::refusal;
use jiff::Timestamp;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use crate::authority::{AuthorityError, CsrError, IdentityError};
use crate::enrollment::Refusal;
use crate::fleet::HostId;
use crate::fleet::roster::NotAdmitted;
use crate::hub::End;
use crate::store::StoreError;

pub(super) fn of_store(error: &StoreError) -> Status {
    match error {
        // The store has logged the cause, once; a caller can only wait.
        StoreError::Full(_) | StoreError::Failed { .. } => Status::unavailable(
            "the server cannot use its database at the moment: nothing was stored; try again later",
        ),
        StoreError::Stopped => Status::unavailable("the server is stopping: try again later"),
        StoreError::NoSuchHost(_) => Status::unauthenticated(format!(
            "{error}: enrol again with a token made by `atrestctl token create`"
        )),
        StoreError::Revoked(host) => revoked(host),
        StoreError::PageToken => Status::invalid_argument(error.to_string()),
    }
}

pub(super) fn of_refusal(refusal: &Refusal) -> Status {
    let code = match refusal {
        Refusal::UnknownToken => Code::Unauthenticated,
        Refusal::Revoked { .. }
        | Refusal::Expired { .. }
        | Refusal::Spent { .. }
        | Refusal::HostRevoked { .. } => Code::PermissionDenied,
        Refusal::MachineKnown { .. } => Code::AlreadyExists,
        Refusal::NothingToReplace { .. } => Code::FailedPrecondition,
    };
    Status::new(code, refusal.to_string())
}

pub(super) fn of_identity(error: &IdentityError) -> Status {
    Status::unauthenticated(error.to_string())
}

pub(super) fn of_csr(error: &CsrError) -> Status {
    Status::invalid_argument(error.to_string())
}

pub(super) fn of_authority(_: &AuthorityError) -> Status {
    Status::internal("the server could not sign a certificate: see its log")
}

pub(super) fn of_end(end: End, host: &HostId) -> Status {
    match end {
        End::Revoked => revoked(host),
        End::Superseded => {
            Status::aborted("another stream of this host was opened: the newest one speaks")
        }
        End::Replaced => Status::unauthenticated(
            "another machine took this host's place: enrol again with a token made by \
             `atrestctl token create`",
        ),
    }
}

/// Why a certificate that our authority signed does not speak for its host.
pub(super) fn of_not_admitted(why: NotAdmitted, host: &HostId) -> Status {
    match why {
        NotAdmitted::Unknown => of_store(&StoreError::NoSuchHost(host.clone())),
        NotAdmitted::Replaced => of_end(End::Replaced, host),
        NotAdmitted::Revoked => revoked(host),
    }
}

fn revoked(host: &HostId) -> Status {
    let mut status = Status::permission_denied(format!(
        "an operator revoked host {host}: if it should report again, run \
         `atrestctl token create --replace {host}` on the server, then `atrest-agent enroll --force TOKEN` on \
         this host"
    ));
    let word = MetadataValue::from_static(refusal::HOST_REVOKED);
    status.metadata_mut().insert(refusal::HEADER, word);
    status
}

pub(super) fn draining() -> Status {
    Status::unavailable("the server is stopping: connect again later")
}

/// Header by which a gRPC server asks a client to stay away for a while, in milliseconds.
/// See gRFC A6, <https://github.com/grpc/proposal/blob/master/A6-client-retries.md>.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

pub(super) fn turned_away(until: Timestamp, now: Timestamp) -> Status {
    let mut status = Status::resource_exhausted(format!(
        "too many failed enrolments from this address: try again after {until:.0}"
    ));
    let wait = until.duration_since(now).as_millis();
    if let Ok(wait) = wait.to_string().parse() {
        status.metadata_mut().insert(PUSHBACK, wait);
    }
    status
}
