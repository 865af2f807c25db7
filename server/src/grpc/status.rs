//! The only mapping from what went wrong to what a caller is told.

use std::time::Duration;

use atrest_proto::refusal;
use jiff::Timestamp;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use crate::authority::{AuthorityError, CsrError, IdentityError};
use crate::enrollment::Refusal;
use crate::fleet::HostId;
use crate::fleet::roster::NotAdmitted;
use crate::hub::{End, NotNow};
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

/// Long enough for a connection whose machine is gone to be closed by its keepalive.
const TAKEN: Duration = Duration::from_secs(30);

pub(super) fn not_now(why: NotNow, host: &HostId) -> Status {
    match why {
        NotNow::Taken => {
            let mut status = Status::unavailable(
                "a connection of this host is open that was made before it restarted, or by another machine: try \
                 again later",
            );
            push_back(&mut status, TAKEN.as_millis());
            status
        }
        NotNow::Clash => {
            let mut status = Status::aborted(format!(
                "another machine speaks with the identity of host {host}: if this one is a clone, give it its own \
                 /etc/machine-id and enrol it; if not, run `atrestctl token create --replace {host}` on the server, \
                 then `atrest-agent enroll --force TOKEN` here"
            ));
            let word = MetadataValue::from_static(refusal::IDENTITY_CLASH);
            status.metadata_mut().insert(refusal::HEADER, word);
            status
        }
        NotNow::Moved => Status::failed_precondition(format!(
            "host {host} was enrolled on another machine, which is gone: if this one takes its place, run \
             `atrestctl token create --replace {host}` on the server, then `atrest-agent enroll --force TOKEN` here"
        )),
    }
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
    push_back(&mut status, until.duration_since(now).as_millis());
    status
}

/// A host says more than it may. `wait` is when it may say something again.
pub(super) fn too_much(host: &HostId, wait: Duration) -> Status {
    let mut status = Status::resource_exhausted(format!(
        "host {host} says more than the server's limits allow ([limits] in its configuration): its agent waits and goes on \
         later; nothing that was acknowledged is lost"
    ));
    push_back(&mut status, wait.as_millis());
    status
}

/// Hosts enrol faster than the server takes them. `wait` is when it is this one's turn.
pub(super) fn put_off(wait: Duration) -> Status {
    let mut status = Status::resource_exhausted(format!(
        "too many hosts enrol at this moment: try again in {} s; nothing was used up",
        wait.as_secs().saturating_add(1)
    ));
    push_back(&mut status, wait.as_millis());
    status
}

fn push_back(status: &mut Status, milliseconds: impl std::fmt::Display) {
    if let Ok(wait) = milliseconds.to_string().parse() {
        status.metadata_mut().insert(PUSHBACK, wait);
    }
}
