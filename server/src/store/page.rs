//! Pages of a list: a size, and an opaque token that says where the next one starts.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;

/// The most rows of one page, and how many there are when nobody says.
const MAX_PAGE_SIZE: u32 = 1_000;

/// Which part of a list.
#[derive(Debug, Clone, Default)]
pub struct PageRequest {
    size: u32,
    token: String,
}

impl PageRequest {
    /// A size of 0 means the most; an empty token means the first page.
    pub fn new(size: u32, token: String) -> Self {
        Self { size, token }
    }

    pub(super) fn size(&self) -> u32 {
        if self.size == 0 { MAX_PAGE_SIZE } else { self.size.min(MAX_PAGE_SIZE) }
    }

    /// The key after which this page starts.
    pub(super) fn after<K: DeserializeOwned>(&self) -> Result<Option<K>, StoreError> {
        if self.token.is_empty() {
            return Ok(None);
        }
        let json = URL_SAFE_NO_PAD.decode(&self.token).map_err(|_| StoreError::PageToken)?;
        serde_json::from_slice(&json).map(Some).map_err(|_| StoreError::PageToken)
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Empty on the last page.
    pub next: String,
}

impl<T> Page<T> {
    /// Of rows that were read with one more than the page holds: the surplus one says there is more.
    pub(super) fn cut<K: Serialize>(
        mut items: Vec<T>,
        size: u32,
        key: impl FnOnce(&T) -> K,
    ) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let more = items.len() > size;
        items.truncate(size);
        let next = match items.last() {
            Some(last) if more => {
                URL_SAFE_NO_PAD.encode(serde_json::to_vec(&key(last)).unwrap_or_default())
            }
            _ => String::new(),
        };
        Self { items, next }
    }
}
