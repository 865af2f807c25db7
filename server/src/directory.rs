//! Who may call the operators' port, live: those that the configuration names, and those that admins made.
//!
//! In memory, so that every call is checked without the store; changed only after the store has committed.

use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use tokio::sync::Mutex;

use crate::access::{Account, Denied, Operator, identify};
use crate::audit::Entry;
use crate::store::{Store, StoreError};

/// The operators.
#[derive(Debug)]
pub(crate) struct Directory {
    store: Arc<dyn Store>,
    /// Named by the configuration or the state directory.
    configured: Vec<Operator>,
    made: RwLock<Vec<Made>>,
    /// Changes of the store and of memory in the same order.
    changing: Mutex<()>,
}

#[derive(Debug)]
struct Made {
    operator_id: String,
    operator: Operator,
}

impl Made {
    /// `None` for one that is revoked.
    fn of(account: &Account) -> Option<Self> {
        account.revoked_at.is_none().then(|| Self {
            operator_id: account.operator_id.clone(),
            operator: Operator {
                name: account.name.clone(),
                role: account.role,
                token_hash: account.token_hash,
                expires_at: account.expires_at,
            },
        })
    }
}

/// What became of making an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Creation {
    Made,
    /// Somebody has that name.
    NameTaken,
    /// There are as many as there may be.
    TooMany,
}

/// Every call walks the list.
const MAX_MADE: usize = 1_000;

impl Directory {
    pub(crate) async fn open(
        store: Arc<dyn Store>,
        configured: Vec<Operator>,
    ) -> Result<Self, StoreError> {
        let made = store.operator_list().await?.iter().filter_map(Made::of).collect();
        Ok(Self { store, configured, made: RwLock::new(made), changing: Mutex::new(()) })
    }

    /// The operator whose token this is.
    pub(crate) fn identify(&self, token: &str, now: Timestamp) -> Result<Operator, Denied> {
        let made = self.made.read().unwrap_or_else(PoisonError::into_inner);
        let all = self.configured.iter().chain(made.iter().map(|made| &made.operator));
        identify(all, token, now).cloned()
    }

    pub(crate) fn configured(&self) -> &[Operator] {
        &self.configured
    }

    pub(crate) fn is_configured(&self, name: &str) -> bool {
        self.configured.iter().any(|operator| operator.name == name)
    }

    pub(crate) async fn list(&self) -> Result<Vec<Account>, StoreError> {
        self.store.operator_list().await
    }

    pub(crate) async fn create(
        &self,
        account: Account,
        entry: Entry,
    ) -> Result<Creation, StoreError> {
        let _order = self.changing.lock().await;
        if self.is_configured(&account.name) {
            return Ok(Creation::NameTaken);
        }
        if self.made.read().unwrap_or_else(PoisonError::into_inner).len() >= MAX_MADE {
            return Ok(Creation::TooMany);
        }
        let made = Made::of(&account);
        if !self.store.operator_create(account, entry).await? {
            return Ok(Creation::NameTaken);
        }
        self.made.write().unwrap_or_else(PoisonError::into_inner).extend(made);
        Ok(Creation::Made)
    }

    /// `None` when there is no such operator.
    pub(crate) async fn revoke(
        &self,
        operator: String,
        at: Timestamp,
        entry: Entry,
    ) -> Result<Option<Account>, StoreError> {
        let _order = self.changing.lock().await;
        let revoked = self.store.operator_revoke(operator, at, entry).await?;
        if let Some(account) = &revoked {
            let mut made = self.made.write().unwrap_or_else(PoisonError::into_inner);
            made.retain(|made| made.operator_id != account.operator_id);
        }
        Ok(revoked)
    }
}
