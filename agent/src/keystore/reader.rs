//! Bytes one after the other, each with its place in the file, and what may be wrong with them.

use thiserror::Error;

/// Why a file is not a keystore that can be believed, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    #[error("{size} bytes are more than the {limit} that such a file may have")]
    TooLarge { size: usize, limit: usize },
    #[error("truncated: {what} at byte {at} lacks {missing} bytes")]
    Truncated { what: &'static str, at: usize, missing: usize },
    #[error("not a keystore: {expected} is not at byte 0")]
    Magic { expected: &'static str },
    #[error("not a keystore of a known product: the name at byte 4 is neither of those known")]
    Name,
    #[error("format version {version} at byte {at} is newer than {known}, the newest known")]
    TooNew { version: u32, at: usize, known: u32 },
    #[error("format version {version} at byte {at} never existed")]
    Version { version: u32, at: usize },
    #[error("the password flag at byte {at} is {value}, neither 0 nor 1")]
    Flag { value: u8, at: usize },
    #[error("a password flag at byte {at} in a format that never had passwords")]
    ImpossibleFlag { at: usize },
    #[error("{what} at byte {at} is {found}, not {expected}")]
    Length { what: &'static str, at: usize, found: i64, expected: i64 },
    #[error("{what} at byte {at} is not a text that belongs there")]
    Text { what: &'static str, at: usize },
    #[error("{count} bytes at byte {at} belong to nothing")]
    Surplus { count: usize, at: usize },
    #[error("no footer at byte {at}: the file is damaged or its end is missing")]
    Footer { at: usize },
    #[error("checksum {found:08x} does not fit the one stored, {stored:08x}: the file is damaged")]
    Checksum { stored: u64, found: u32 },
    #[error("the text at byte {at} is not base64")]
    Base64 { at: usize },
    #[error("{what} is {found} bytes long, fewer than the {least} that it must have")]
    Short { what: &'static str, found: usize, least: usize },
    #[error("{what} expected at byte {at}: there is another element")]
    Element { what: &'static str, at: usize },
    #[error("the length of {what} at byte {at} is not one of DER")]
    ElementLength { what: &'static str, at: usize },
    #[error("a PKCS#12 store without {what}: it is another program's")]
    Foreign { what: &'static str },
}

/// The order of the bytes of a number.
#[derive(Clone, Copy)]
pub enum Endian {
    Big,
    Little,
}

/// Takes a file apart from its start.
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were taken.
    pub const fn at(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub const fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    /// What was taken so far.
    pub fn taken(&self) -> &'a [u8] {
        self.bytes.get(..self.at).unwrap_or_default()
    }

    pub fn take(&mut self, what: &'static str, count: usize) -> Result<&'a [u8], Error> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(taken) = rest.get(..count) else {
            return Err(Error::Truncated { what, at: self.at, missing: count - rest.len() });
        };
        self.at += count;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Error> {
        let at = self.at;
        self.take(what, N)?.try_into().map_err(|_| Error::Truncated { what, at, missing: N })
    }

    pub fn u8(&mut self, what: &'static str) -> Result<u8, Error> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    pub fn u32(&mut self, what: &'static str, endian: Endian) -> Result<u32, Error> {
        let bytes = self.array(what)?;
        Ok(match endian {
            Endian::Big => u32::from_be_bytes(bytes),
            Endian::Little => u32::from_le_bytes(bytes),
        })
    }

    /// A number of Java, which has a sign, and must be `expected`.
    pub fn exactly(
        &mut self,
        what: &'static str,
        endian: Endian,
        expected: u32,
    ) -> Result<(), Error> {
        let at = self.at;
        let found = self.u32(what, endian)?;
        if found == expected {
            return Ok(());
        }
        Err(Error::Length {
            what,
            at,
            found: i64::from(found.cast_signed()),
            expected: i64::from(expected),
        })
    }

    /// Nothing is left.
    pub fn end(&self) -> Result<(), Error> {
        match self.left() {
            0 => Ok(()),
            count => Err(Error::Surplus { count, at: self.at }),
        }
    }
}
