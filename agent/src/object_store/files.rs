//! Files with what the agent asks with, as its configuration names them.

use std::io::{self, Read as _};
use std::path::Path;

use zeroize::Zeroizing;

/// Of the kinds that are read here, a service account's file is the largest, with about 2.5 KiB.
const LARGEST: usize = 64 << 10;

/// Reads a file with a secret; what was read is wiped when it is dropped.
pub(super) fn secret(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = std::fs::File::open(path)?;
    // Room for all of it: a buffer that grows leaves copies behind.
    let mut secret = Zeroizing::new(Vec::with_capacity(LARGEST + 1));
    file.take(LARGEST as u64 + 1).read_to_end(&mut secret)?;
    if secret.len() > LARGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "larger than 64 KiB"));
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_too_large_is_no_secret() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![b'x'; LARGEST]).unwrap();
        assert_eq!(secret(file.path()).unwrap().len(), LARGEST);
        std::fs::write(file.path(), vec![b'x'; LARGEST + 1]).unwrap();
        assert!(secret(file.path()).is_err());
    }
}
