//! The seed of Elastic Agent's vault, `.seed` or `.seedV2`: the key to everything that the agent seals, in clear beside
//! it. `internal/pkg/agent/vault/seed.go` of Elastic Agent.
//!
//! Its bytes are never read: their number says all there is to know.

use super::Contents;
use super::reader::Error;

/// In bytes: the seed alone.
const V1: u64 = 32;
/// In bytes: the seed and the size of a salt, which builds for FIPS write.
const V2: u64 = V1 + 4;

/// What the length of the file says.
pub fn parse(length: u64) -> Result<Contents, Error> {
    let version = match length {
        V1 => 1,
        V2 => 2,
        _ => {
            return Err(Error::Length {
                what: "the length of the seed, looked at",
                at: 0,
                found: i64::try_from(length).unwrap_or(i64::MAX),
                expected: if length > V1 { V2 } else { V1 }.cast_signed(),
            });
        }
    };
    Ok(Contents {
        format: "elastic-agent-vault".to_owned(),
        version,
        has_password: Some(false),
        opens_without_password: None,
        entries: None,
        kdf: "pbkdf2-hmac-sha256 x 12022".to_owned(),
        cipher: "aes-256-gcm".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_tells_the_version() {
        for (length, version) in [(32, 1), (36, 2)] {
            let contents = parse(length).unwrap();
            assert_eq!((contents.version, contents.has_password), (version, Some(false)));
        }
    }

    #[test]
    fn any_other_length_is_no_seed() {
        for (length, expected) in [(0, 32), (31, 32), (33, 36), (35, 36), (37, 36), (u64::MAX, 36)]
        {
            let Err(Error::Length { expected: told, .. }) = parse(length) else {
                panic!("{length} passed")
            };
            assert_eq!(told, expected, "{length}");
        }
    }
}
