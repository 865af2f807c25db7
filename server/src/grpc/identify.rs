//! Which agent is calling: what its certificate says, and whether that still holds.

use tonic::{Request, Status};

use super::status;
use crate::authority::Identity;
use crate::clock::Clock;
use crate::hub::Hub;
use crate::tls::Peer;

/// The agent behind a request. Who signed its certificate was checked by the handshake.
pub(super) fn agent<T>(request: &Request<T>, hub: &Hub, clock: &Clock) -> Result<Identity, Status> {
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
    hub.admits(&identity.host_id, &identity.key_pin)
        .map_err(|why| status::of_not_admitted(why, &identity.host_id))?;
    if identity.not_after <= clock.now() {
        return Err(expired(&identity));
    }
    if identity.not_before > clock.now() {
        return Err(Status::unauthenticated(format!(
            "the certificate of host {} is valid from {:.0} only: the clocks of host and server differ",
            identity.host_id, identity.not_before
        )));
    }
    Ok(identity)
}

pub(super) fn expired(identity: &Identity) -> Status {
    let Identity { host_id, not_after, .. } = identity;
    Status::unauthenticated(format!(
        "the certificate of host {host_id} expired at {not_after:.0}: on the server run \
         `atrestctl token create --replace {host_id}`, then `atrest-agent enroll TOKEN` on this host"
    ))
}
