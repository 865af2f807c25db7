//! What columns hold, to the product's words and back.

use std::str::FromStr;

use atrest_proto::model::Severity;
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Error, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fleet::HostId;

/// A time as it is stored.
pub(super) fn time(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// Beyond the ends of time is at its ends: a row must stay readable, whatever a host said it is.
fn point_in_time(micros: i64) -> Timestamp {
    let end = if micros < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_microsecond(micros).unwrap_or(end)
}

/// A number that only grows; the database's integers are signed.
pub(super) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn severity(severity: Severity) -> i64 {
    severity as i64
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::ToSqlConversionFailure(error.into()))
}

fn nonsense(column: usize, kind: Type, what: impl Into<String>) -> Error {
    Error::FromSqlConversionFailure(column, kind, what.into().into())
}

/// Reads columns one after another, so that a query and its reader are in the same order.
pub(super) struct Columns<'a, 'row> {
    row: &'a Row<'row>,
    at: usize,
}

impl<'a, 'row> Columns<'a, 'row> {
    pub(super) const fn of(row: &'a Row<'row>) -> Self {
        Self { row, at: 0 }
    }

    pub(super) fn get<T: rusqlite::types::FromSql>(&mut self) -> Result<T, Error> {
        let value = self.row.get(self.at);
        self.at += 1;
        value
    }

    pub(super) fn time(&mut self) -> Result<Timestamp, Error> {
        self.get().map(point_in_time)
    }

    pub(super) fn maybe_time(&mut self) -> Result<Option<Timestamp>, Error> {
        Ok(self.get::<Option<i64>>()?.map(point_in_time))
    }

    pub(super) fn word<T: FromStr>(&mut self) -> Result<T, Error> {
        let at = self.at;
        let word: String = self.get()?;
        word.parse().map_err(|_| nonsense(at, Type::Text, format!("unknown word `{word}`")))
    }

    pub(super) fn maybe_word<T: FromStr>(&mut self) -> Result<Option<T>, Error> {
        let at = self.at;
        let word: Option<String> = self.get()?;
        word.map(|word| {
            word.parse().map_err(|_| nonsense(at, Type::Text, format!("unknown word `{word}`")))
        })
        .transpose()
    }

    pub(super) fn host_id(&mut self) -> Result<HostId, Error> {
        self.word()
    }

    pub(super) fn number(&mut self) -> Result<u64, Error> {
        let at = self.at;
        let number: i64 = self.get()?;
        u64::try_from(number).map_err(|_| nonsense(at, Type::Integer, "negative"))
    }

    pub(super) fn severity(&mut self) -> Result<Severity, Error> {
        let at = self.at;
        let rank: i64 = self.get()?;
        Severity::ALL
            .iter()
            .copied()
            .find(|known| severity(*known) == rank)
            .ok_or_else(|| nonsense(at, Type::Integer, "not a severity"))
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let at = self.at;
        let bytes: Vec<u8> = self.get()?;
        bytes.try_into().map_err(|_| nonsense(at, Type::Blob, "of the wrong length"))
    }

    pub(super) fn maybe_bytes<const N: usize>(&mut self) -> Result<Option<[u8; N]>, Error> {
        let at = self.at;
        let bytes: Option<Vec<u8>> = self.get()?;
        bytes
            .map(TryInto::try_into)
            .transpose()
            .map_err(|_| nonsense(at, Type::Blob, "of the wrong length"))
    }

    /// An empty text is none.
    pub(super) fn maybe_json<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        let at = self.at;
        let empty = self.row.get_ref(at)?.as_str()?.is_empty();
        if empty {
            self.at += 1;
            return Ok(None);
        }
        self.json().map(Some)
    }

    pub(super) fn json<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        let at = self.at;
        let text: String = self.get()?;
        serde_json::from_str(&text)
            .map_err(|error| Error::FromSqlConversionFailure(at, Type::Text, error.into()))
    }
}
