//! The elements of DER, as far as a PKCS#12 store needs them: tag, length, contents, each with its place.
//!
//! It never recurses: who reads says what comes next. X.690, 8.1 and 10.1.

use super::reader::Error;

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
pub(super) const BMP_STRING: u8 = 0x1e;
/// `[0]`, constructed.
pub(super) const CONTEXT_0: u8 = 0xa0;
/// `[0]`, primitive.
pub(super) const CONTEXT_0_PRIMITIVE: u8 = 0x80;

/// A run of elements.
#[derive(Clone)]
pub(super) struct Der<'a> {
    bytes: &'a [u8],
    /// Where `bytes` begin in the file.
    at: usize,
}

impl<'a> Der<'a> {
    /// The elements in `bytes`, which begin at byte `at` of the file.
    pub(super) const fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    pub(super) const fn at(&self) -> usize {
        self.at
    }

    pub(super) const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The tag of the next element.
    pub(super) fn tag(&self) -> Option<u8> {
        self.bytes.first().copied()
    }

    /// The contents of the next element, which must have this tag.
    pub(super) fn next(&mut self, tag: u8, what: &'static str) -> Result<Self, Error> {
        let at = self.at;
        match self.tag() {
            Some(found) if found == tag => {}
            Some(_) => return Err(Error::Element { what, at }),
            None => return Err(Error::Truncated { what, at, missing: 2 }),
        }
        let (head, length) = self.header(what)?;
        let whole = head.saturating_add(length);
        let Some((element, rest)) = self.bytes.split_at_checked(whole) else {
            return Err(Error::Truncated { what, at, missing: whole - self.bytes.len() });
        };
        self.bytes = rest;
        self.at += whole;
        Ok(Self { bytes: element.get(head..).unwrap_or_default(), at: at + head })
    }

    /// Passes the next element over, whatever it is.
    pub(super) fn skip(&mut self, what: &'static str) -> Result<(), Error> {
        let tag = self.tag().ok_or(Error::Truncated { what, at: self.at, missing: 2 })?;
        self.next(tag, what).map(drop)
    }

    /// How long tag and length are, and how long the contents.
    fn header(&self, what: &'static str) -> Result<(usize, usize), Error> {
        let at = self.at;
        let missing = |missing| Error::Truncated { what, at, missing };
        let first = *self.bytes.get(1).ok_or_else(|| missing(1))?;
        if first < 0x80 {
            return Ok((2, usize::from(first)));
        }
        let count = usize::from(first & 0x7f);
        // 0 would be the indefinite form of BER; more than four bytes is no file that can be.
        if !(1..=4).contains(&count) {
            return Err(Error::ElementLength { what, at });
        }
        let bytes = self.bytes.get(2..2 + count).ok_or_else(|| missing(count))?;
        let length = bytes.iter().fold(0_usize, |length, byte| (length << 8) | usize::from(*byte));
        // DER has one spelling for each length.
        if length < 0x80 || bytes.first() == Some(&0) {
            return Err(Error::ElementLength { what, at });
        }
        Ok((2 + count, length))
    }

    /// A whole number that is not negative; `u64::MAX` for one that is larger.
    pub(super) fn unsigned(&self, what: &'static str) -> Result<u64, Error> {
        match self.bytes {
            [] => Err(Error::Truncated { what, at: self.at, missing: 1 }),
            [first, ..] if *first >= 0x80 => Err(Error::Element { what, at: self.at }),
            bytes => {
                let bytes = bytes.strip_prefix(&[0]).unwrap_or(bytes);
                if bytes.len() > 8 {
                    return Ok(u64::MAX);
                }
                Ok(bytes.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte)))
            }
        }
    }

    /// Nothing is left of the run.
    pub(super) const fn end(&self) -> Result<(), Error> {
        match self.bytes.len() {
            0 => Ok(()),
            count => Err(Error::Surplus { count, at: self.at }),
        }
    }
}

#[cfg(test)]
pub(crate) mod fixture {
    //! Writes elements.

    pub(crate) fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag];
        let length = u32::try_from(contents.len()).unwrap();
        if length < 0x80 {
            bytes.push(length.to_be_bytes()[3]);
        } else {
            let digits: Vec<u8> =
                length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
            bytes.push(0x80 | u8::try_from(digits.len()).unwrap());
            bytes.extend(digits);
        }
        bytes.extend_from_slice(contents);
        bytes
    }

    pub(crate) fn number(value: u32) -> Vec<u8> {
        let mut digits: Vec<u8> =
            value.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
        if digits.first().is_none_or(|first| *first >= 0x80) {
            digits.insert(0, 0);
        }
        element(super::INTEGER, &digits)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn elements_come_one_after_the_other_with_their_places() {
        let bytes = [fixture::number(300), fixture::element(OCTETS, &[7; 200])].concat();
        let mut der = Der::new(&bytes, 10);
        assert_eq!(der.next(INTEGER, "x").unwrap().unsigned("x"), Ok(300));
        let octets = der.next(OCTETS, "y").unwrap();
        assert_eq!((octets.at(), octets.bytes().len()), (17, 200));
        assert!(der.is_empty() && der.end().is_ok());
    }

    #[test]
    fn what_is_not_der_is_refused_with_its_place() {
        let next = |bytes: &[u8]| Der::new(bytes, 3).next(OCTETS, "x").err();
        assert_eq!(next(&[]), Some(Error::Truncated { what: "x", at: 3, missing: 2 }));
        assert_eq!(next(&[4]), Some(Error::Truncated { what: "x", at: 3, missing: 1 }));
        assert_eq!(next(&[2, 0]), Some(Error::Element { what: "x", at: 3 }));
        assert_eq!(next(&[4, 5, 1]), Some(Error::Truncated { what: "x", at: 3, missing: 4 }));
        // The indefinite form, a length of nine bytes, and two that are longer than they must be.
        for bytes in [&[4, 0x80, 0, 0][..], &[4, 0x89], &[4, 0x81, 5], &[4, 0x82, 0, 200]] {
            assert_eq!(next(bytes), Some(Error::ElementLength { what: "x", at: 3 }), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut der = Der::new(&bytes, 0);
            while der.skip("x").is_ok() {}
            drop(der.unsigned("x"));
        }

        #[test]
        fn numbers_survive(value in any::<u32>()) {
            let bytes = fixture::number(value);
            let read = Der::new(&bytes, 0).next(INTEGER, "x").unwrap().unsigned("x");
            prop_assert_eq!(read, Ok(u64::from(value)));
        }
    }
}
