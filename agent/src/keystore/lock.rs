//! What a password must open, and the proof that the empty one does.
//!
//! What is decrypted lies in a buffer that is wiped before the answer is given. The answer is yes or no, and for a format
//! whose entries are looked into, what they tell in place of them.

use std::num::NonZeroU32;

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::error::Unspecified;
use ring::pbkdf2;
use zeroize::Zeroizing;

use super::kibana_entries::Entries;
use super::pkcs12;

/// In bytes, in every format that uses PBKDF2 and GCM.
pub const SALT: usize = 64;
/// In bytes.
pub const NONCE: usize = 12;
/// In bytes; it ends the ciphertext.
pub const TAG: usize = 16;

/// The sealed part of a keystore. It has no `Debug`.
pub enum Lock {
    Gcm(Gcm),
    /// The same, and what makes facts of the plaintext.
    Entries(Gcm, fn(&[u8]) -> Entries),
    /// A PKCS#12 store, and the passwords that everybody knows, as they enter its key derivation.
    Pkcs12(pkcs12::Mac, Vec<Zeroizing<Vec<u8>>>),
}

/// PBKDF2 with HMAC-SHA-512, then AES in GCM.
pub struct Gcm {
    /// The format says how many, never the file.
    pub iterations: NonZeroU32,
    pub cipher: Cipher,
    pub salt: [u8; SALT],
    pub nonce: [u8; NONCE],
    /// The additional data is the salt.
    pub salt_is_authenticated: bool,
    /// With the tag at its end.
    pub ciphertext: Vec<u8>,
}

/// The cipher under GCM.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cipher {
    Aes128,
    Aes256,
}

/// What trying the passwords that everybody knows showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    pub opens: bool,
    /// Of what did not open, and of formats that are not looked into, there are none.
    pub entries: Option<Entries>,
}

impl Lock {
    /// Tries the passwords that everybody knows; `None` where that cannot be done.
    pub fn open(&self) -> Option<Opened> {
        match self {
            Self::Entries(gcm, read) => {
                let plaintext = gcm.plaintext(b"")?;
                let entries = plaintext.as_ref().ok().map(|plaintext| read(plaintext));
                Some(Opened { opens: plaintext.is_ok(), entries })
            }
            Self::Gcm(_) | Self::Pkcs12(..) => {
                self.opens().map(|opens| Opened { opens, entries: None })
            }
        }
    }

    /// Whether a password that everybody knows opens it; `None` where that cannot be tried.
    pub fn opens(&self) -> Option<bool> {
        match self {
            Self::Gcm(gcm) | Self::Entries(gcm, _) => gcm.opens_with(b""),
            Self::Pkcs12(mac, passwords) => {
                let mut opens = None;
                for password in passwords {
                    match mac.verifies(password) {
                        Some(true) => return Some(true),
                        Some(false) => opens = Some(false),
                        None => {}
                    }
                }
                opens
            }
        }
    }
}

impl Gcm {
    fn opens_with(&self, password: &[u8]) -> Option<bool> {
        self.plaintext(password).map(|plaintext| plaintext.is_ok())
    }

    /// What this password opens, or that it is the wrong one; `None` where it cannot be tried.
    fn plaintext(&self, password: &[u8]) -> Option<Result<Zeroizing<Vec<u8>>, Unspecified>> {
        let algorithm = match self.cipher {
            Cipher::Aes128 => &AES_128_GCM,
            Cipher::Aes256 => &AES_256_GCM,
        };
        let mut key = Zeroizing::new(vec![0; algorithm.key_len()]);
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA512,
            self.iterations,
            &self.salt,
            password,
            key.as_mut_slice(),
        );
        let key = LessSafeKey::new(UnboundKey::new(algorithm, &key).ok()?);
        let data: &[u8] = if self.salt_is_authenticated { &self.salt } else { b"" };
        let mut buffer = Zeroizing::new(self.ciphertext.clone());
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let length = key.open_in_place(nonce, Aad::from(data), buffer.as_mut_slice());
        let length = length.map(|plaintext| plaintext.len());
        Some(length.map(|length| {
            buffer.truncate(length);
            buffer
        }))
    }
}

#[cfg(test)]
pub(crate) mod fixture {
    //! Seals plaintext as the products do.

    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use super::*;

    type Asked = (Vec<u8>, u32, usize);

    /// Keys that were derived before: without an optimising compiler it takes a second each.
    static KEYS: Mutex<BTreeMap<Asked, Vec<u8>>> = Mutex::new(BTreeMap::new());

    fn key(password: &[u8], iterations: NonZeroU32, salt: &[u8], length: usize) -> Vec<u8> {
        let asked = (password.to_vec(), iterations.get(), length);
        let mut keys = KEYS.lock().unwrap();
        let derive = || {
            let mut key = vec![0; length];
            pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, iterations, salt, password, &mut key);
            key
        };
        keys.entry(asked).or_insert_with(derive).clone()
    }

    /// `plaintext`, under `password`, with salt and nonce from fixed bytes.
    pub(crate) fn seal(
        password: &[u8],
        plaintext: &[u8],
        iterations: u32,
        cipher: Cipher,
        salt_is_authenticated: bool,
    ) -> Gcm {
        let (salt, nonce) = ([0xaa; SALT], [0xbb; NONCE]);
        let algorithm = if cipher == Cipher::Aes128 { &AES_128_GCM } else { &AES_256_GCM };
        let iterations = NonZeroU32::new(iterations).unwrap();
        let key = key(password, iterations, &salt, algorithm.key_len());
        let key = LessSafeKey::new(UnboundKey::new(algorithm, &key).unwrap());
        let mut ciphertext = plaintext.to_vec();
        let data: &[u8] = if salt_is_authenticated { &salt } else { b"" };
        let once = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(once, Aad::from(data), &mut ciphertext).unwrap();
        Gcm { iterations, cipher, salt, nonce, salt_is_authenticated, ciphertext }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_that_sealed_it_opens_it() {
        for cipher in [Cipher::Aes128, Cipher::Aes256] {
            for authenticated in [false, true] {
                let open = fixture::seal(b"", b"entries", 1000, cipher, authenticated);
                assert_eq!(Lock::Gcm(open).opens(), Some(true));
                let shut = fixture::seal(b"secret", b"entries", 1000, cipher, authenticated);
                assert_eq!(shut.opens_with(b"secret"), Some(true));
                assert_eq!(Lock::Gcm(shut).opens(), Some(false));
            }
        }
    }

    #[test]
    fn what_is_changed_does_not_open() {
        let seal = || fixture::seal(b"", b"entries", 1000, Cipher::Aes256, true);
        let changes: [fn(&mut Gcm); 5] = [
            |gcm| gcm.salt[0] ^= 1,
            |gcm| gcm.nonce[0] ^= 1,
            |gcm| gcm.ciphertext[0] ^= 1,
            |gcm| gcm.iterations = NonZeroU32::MIN,
            |gcm| gcm.salt_is_authenticated = false,
        ];
        for change in changes {
            let mut gcm = seal();
            change(&mut gcm);
            assert_eq!(Lock::Gcm(gcm).opens(), Some(false));
        }
    }
}
