//! A new authority beside the old one: both are trusted until the old one ends.
//!
//! The old authority signs the key of the new one, once (a cross certificate). The server shows that, too: so agents that
//! trust the old one only go on connecting, and are given the new one with their next certificate. What is to come is
//! written as one file, and taken over at the server's next start, in steps that can be done again.

use std::path::Path;

use jiff::Timestamp;
use rcgen::{CertificateParams, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::{AuthorityError, CERTIFICATE_FILE, KEY_FILE, authority_params, pin_of, validity};
use crate::hex;
use crate::state_dir::{StateDir, StateError, read_file, read_secret_file, write_private};

/// What is to become the authority. Secret.
const NEXT_FILE: &str = "ca-next.json";
/// Authorities that came before, which are trusted until they end.
pub(super) const PREVIOUS_FILE: &str = "ca-previous.pem";
/// What those before signed for those after.
pub(super) const CROSS_FILE: &str = "ca-cross.pem";

/// An authority that is not in use yet.
#[derive(Serialize, Deserialize)]
struct Next {
    key: String,
    certificate: String,
    /// Its key, signed by the authority before it.
    cross: String,
    /// That authority.
    previous: String,
}

/// Makes the next authority of a state directory, whether or not a server runs on it. Returns what agents will pin.
pub fn rotate(directory: &Path, now: Timestamp) -> Result<String, AuthorityError> {
    let next_file = directory.join(NEXT_FILE);
    let key_file = directory.join(KEY_FILE);
    let certificate_file = directory.join(CERTIFICATE_FILE);
    let unreadable = |file: &Path| {
        let file = file.display().to_string();
        move |source| AuthorityError::Unreadable { file, source }
    };
    if next_file.exists() {
        return Err(AuthorityError::Waiting { file: next_file.display().to_string() });
    }
    let old_key =
        KeyPair::from_pem(&read_secret_file(&key_file)?).map_err(unreadable(&key_file))?;
    let previous = read_file(&certificate_file)?;
    let old =
        Issuer::from_ca_cert_pem(&previous, old_key).map_err(unreadable(&certificate_file))?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let pin = hex::encode(&pin_of(&key.subject_public_key_info()));
    let params: CertificateParams = authority_params(&pin, now);
    let certificate = params.self_signed(&key)?.pem();
    let cross = params.signed_by(&key, &old)?.pem();
    let next = Next { key: key.serialize_pem(), certificate, cross, previous };
    let text = serde_json::to_string(&next).unwrap_or_default();
    write_private(directory, NEXT_FILE, &text)?;
    Ok(pin)
}

/// Takes over the authority that was made, if there is one.
pub(super) fn take_over(state: &StateDir, now: Timestamp) -> Result<(), AuthorityError> {
    let Some(text) = state.read_secret(NEXT_FILE)? else { return Ok(()) };
    let next: Next = serde_json::from_str(&text).map_err(|_| AuthorityError::Unreadable {
        file: state.path(NEXT_FILE).display().to_string(),
        source: rcgen::Error::CouldNotParseCertificate,
    })?;
    // Nothing is lost by a cut between two of these: until the last, all are done again.
    keep(state, PREVIOUS_FILE, &next.previous, now)?;
    keep(state, CROSS_FILE, &next.cross, now)?;
    state.write(KEY_FILE, &next.key)?;
    state.write(CERTIFICATE_FILE, &next.certificate)?;
    state.remove(NEXT_FILE)?;
    warn!("a new authority is in use; those before it are trusted until they end");
    Ok(())
}

/// Adds a certificate to a file of them, once, and leaves out those that have ended.
fn keep(state: &StateDir, file: &str, pem: &str, now: Timestamp) -> Result<(), StateError> {
    let mut kept = vec![pem.trim().to_owned()];
    for known in split(&state.read(file)?.unwrap_or_default()) {
        let der = CertificateDer::from_pem_slice(known.as_bytes()).ok();
        let holds = der.and_then(|der| validity(&der)).is_some_and(|one| one.until > now);
        if holds && !kept.contains(&known) {
            kept.push(known);
        }
    }
    state.write(file, &format!("{}\n", kept.join("\n")))
}

/// The certificates of a file, each as it stands there.
fn split(text: &str) -> impl Iterator<Item = String> {
    const END: &str = "-----END CERTIFICATE-----";
    let blocks = text.split_inclusive(END).map(|block| block.trim().to_owned());
    blocks.filter(|block| block.ends_with(END)).collect::<Vec<_>>().into_iter()
}

/// The certificates of a file that hold now.
pub(super) fn read(
    state: &StateDir,
    file: &str,
    now: Timestamp,
) -> Result<Vec<CertificateDer<'static>>, AuthorityError> {
    let text = state.read(file)?.unwrap_or_default();
    let mut found = Vec::new();
    for pem in split(&text) {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| {
            AuthorityError::Unreadable {
                file: state.path(file).display().to_string(),
                source: rcgen::Error::CouldNotParseCertificate,
            }
        })?;
        match validity(&der) {
            Some(one) if one.until > now => found.push(der),
            Some(_) | None => {
                info!(file, "a certificate of an authority that came before has ended");
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Authority;
    use super::*;
    use crate::clock;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    #[test]
    fn a_new_authority_is_taken_over_once_and_those_before_it_stay_until_they_end() {
        let dir = tempfile::tempdir().unwrap();
        let open = |now| Authority::open(&StateDir::open(dir.path()).unwrap(), now).unwrap();
        let first = open(now());
        let pin = rotate(dir.path(), now()).unwrap();
        assert_ne!(pin, first.pin_hex());
        let waiting = rotate(dir.path(), now()).unwrap_err();
        assert!(matches!(waiting, AuthorityError::Waiting { .. }), "{waiting}");
        let second = open(now());
        assert_eq!(second.pin_hex(), pin);
        assert_eq!(
            second.authorities(),
            [second.certificate().clone(), first.certificate().clone()]
        );
        assert_eq!(open(now()).authorities(), second.authorities(), "nothing more is taken over");
        rotate(dir.path(), now()).unwrap();
        let third = open(now());
        assert_eq!(third.authorities().len(), 3);
        // In ten years the first two are over, and so is what they signed.
        let later = clock::after(now(), Duration::from_hours(11 * 365 * 24));
        assert_eq!(open(later).authorities().len(), 1);
    }

    /// The takeover is cut off after each of its steps, and done again.
    #[test]
    fn a_takeover_that_is_cut_off_is_done_again() {
        for steps in 0..4 {
            let dir = tempfile::tempdir().unwrap();
            let first = Authority::open(&StateDir::open(dir.path()).unwrap(), now()).unwrap();
            let pin = rotate(dir.path(), now()).unwrap();
            let state = StateDir::open(dir.path()).unwrap();
            let next: Next =
                serde_json::from_str(&state.read_secret(NEXT_FILE).unwrap().unwrap()).unwrap();
            for (step, done) in [
                (PREVIOUS_FILE, &next.previous),
                (CROSS_FILE, &next.cross),
                (KEY_FILE, &next.key),
                (CERTIFICATE_FILE, &next.certificate),
            ]
            .into_iter()
            .take(steps)
            {
                state.write(step, &format!("{}\n", done.trim())).unwrap();
            }
            let second = Authority::open(&state, now()).unwrap();
            assert_eq!(second.pin_hex(), pin);
            let known = [second.certificate().clone(), first.certificate().clone()];
            assert_eq!(second.authorities(), known, "after {steps} steps");
        }
    }
}
