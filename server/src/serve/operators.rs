//! Who may call the operators' port: the admin of the state directory, and those that the configuration names.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tracing::info;

use super::{ADMIN_TOKEN_FILE, StartError};
use crate::access::{Operator, Role};
use crate::config::{Config, OperatorToken};
use crate::enrollment::hash_secret;
use crate::hex;
use crate::notify;
use crate::state_dir::{StateDir, read_secret_file};

const ADMIN_HASH_FILE: &str = "admin.token.sha256";

/// The admin, whose token is made at first start, and those that the configuration names.
pub(super) fn operators(
    state: &StateDir,
    tokens: &[OperatorToken],
) -> Result<Vec<Operator>, StartError> {
    let mut operators = vec![admin(state)?];
    for token in tokens {
        operators.push(operator(token)?);
    }
    Ok(operators)
}
fn operator(token: &OperatorToken) -> Result<Operator, StartError> {
    let OperatorToken { name, role, token_file } = token;
    let text = read_secret_file(token_file)
        .map_err(|source| StartError::OperatorToken { name: name.clone(), source })?;
    let token = text.trim();
    if token.is_empty() {
        return Err(StartError::EmptyToken { name: name.clone(), file: token_file.clone() });
    }
    let (name, token_hash) = (name.clone(), hash_secret(token));
    Ok(Operator { name, role: *role, token_hash, expires_at: None })
}

/// What is wrong with the files that a configuration names: everything, and nothing is made or bound.
pub fn check_files(config: &Config) -> Vec<StartError> {
    let tokens = config.operators.tokens.iter().filter_map(|token| operator(token).err());
    let notifiers = notify::check(&config.notify).map(StartError::from);
    let certificate = config.operators.certificate.iter().filter_map(|files| files.load().err());
    tokens.chain(certificate.map(StartError::from)).chain(notifiers).collect()
}

/// The hash is what counts, so that the token's file may be moved away. It is written last: a cut between the two
/// makes a new token at the next start.
fn admin(state: &StateDir) -> Result<Operator, StartError> {
    let known = state.read_secret(ADMIN_HASH_FILE)?;
    let known = known.as_deref().and_then(|hash| hex::decode(hash.trim()));
    let token_hash = if let Some(hash) = known {
        hash
    } else {
        let token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let hash = hash_secret(&token);
        state.write(ADMIN_TOKEN_FILE, &format!("{token}\n"))?;
        state.write(ADMIN_HASH_FILE, &format!("{}\n", hex::encode(&hash)))?;
        info!(file = %state.path(ADMIN_TOKEN_FILE).display(), "made an admin token");
        hash
    };
    Ok(Operator { name: "admin".to_owned(), role: Role::Admin, token_hash, expires_at: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_admin_token_is_made_once_and_may_be_moved_away() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let made = admin(&state).unwrap();
        let token = state.read_secret(ADMIN_TOKEN_FILE).unwrap().unwrap();
        assert_eq!(made.token_hash, hash_secret(token.trim()));
        std::fs::remove_file(dir.path().join(ADMIN_TOKEN_FILE)).unwrap();
        assert_eq!(admin(&state).unwrap(), made);
    }
}
