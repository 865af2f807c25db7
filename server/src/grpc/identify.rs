//! Which agent is calling: what its certificate says, and whether that still holds.

use std::time::Duration;

use jiff::Timestamp;
use tonic::{Request, Status};

use super::{Context, status};
use crate::authority::Identity;
use crate::clock;
use crate::tls::Peer;

/// How long a host that was away for too long has to renew its certificate: its agent does so at once.
const RENEW_WITHIN: Duration = Duration::from_mins(1);

/// The agent behind a request, and until when it may speak. Who signed its certificate, and that it holds the key, was
/// checked by the handshake.
///
/// A certificate that has ended still shows that. A host that was off for a while may so come back by itself, within the
/// time that the server allows, to renew it.
pub(super) fn agent<T>(
    request: &Request<T>,
    context: &Context,
) -> Result<(Identity, Timestamp), Status> {
    let certificate = request
        .extensions()
        .get::<Peer>()
        .and_then(|peer| peer.certificate.as_deref())
        .ok_or_else(|| {
            Status::unauthenticated(
                "a client certificate is needed: enrol this host with `atrest-agent enroll TOKEN`",
            )
        })?;
    let identity = Identity::of(certificate).map_err(|error| status::of_identity(&error))?;
    // Before its times: who was revoked learns that, however old its certificate is.
    context
        .hub
        .admits(&identity.host_id, &identity.key_pin)
        .map_err(|why| status::of_not_admitted(why, &identity.host_id))?;
    let now = context.clock.now();
    if identity.not_before > now {
        return Err(Status::unauthenticated(format!(
            "the certificate of host {} is valid from {:.0} only: the clocks of host and server differ",
            identity.host_id, identity.not_before
        )));
    }
    if now < identity.not_after {
        let until = identity.not_after;
        return Ok((identity, until));
    }
    match context.limits.rejoin_within {
        Some(within) if now < clock::after(identity.not_after, within) => {
            context.counters.rejoined();
            Ok((identity, clock::after(now, RENEW_WITHIN)))
        }
        Some(_) | None => Err(expired(&identity, context.limits.rejoin_within)),
    }
}

/// `rejoin_within` is for how long a host may come back by itself.
pub(super) fn expired(identity: &Identity, rejoin_within: Option<Duration>) -> Status {
    let Identity { host_id, not_after, .. } = identity;
    let too_late = match rejoin_within {
        None => "hosts do not come back by themselves here (enrollment.rejoin)".to_owned(),
        Some(within) => {
            let until = clock::after(*not_after, within);
            format!("it could have come back by itself until {until:.0} (enrollment.rejoin_within)")
        }
    };
    Status::unauthenticated(format!(
        "the certificate of host {host_id} expired at {not_after:.0}, and {too_late}: on the server run \
         `atrestctl token create --replace {host_id}`, then `atrest-agent enroll TOKEN` on this host"
    ))
}
