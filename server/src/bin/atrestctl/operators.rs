//! `atrestctl operators`: who may call the operators' port, and for what.

use anyhow::Context as _;
use atrest_proto::v1;
use atrest_server::view::role;
use clap::ValueEnum;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::connect::{Connection, explain};
use crate::render::{Cell, Screen, Tone, exact, now, time};

/// A role to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleName {
    /// Sees everything, changes nothing
    Viewer,
    /// Works with findings and reads the audit log
    Operator,
    /// Lets hosts and operators in, and puts them out
    Admin,
}

impl RoleName {
    const fn to_wire(self) -> v1::OperatorRole {
        match self {
            Self::Viewer => v1::OperatorRole::Viewer,
            Self::Operator => v1::OperatorRole::Operator,
            Self::Admin => v1::OperatorRole::Admin,
        }
    }
}

/// A time with days as well, and 0 for none at all.
pub(crate) fn lifetime(text: &str) -> Result<SignedDuration, String> {
    let days =
        |text: &str| Some(SignedDuration::from_hours(text.parse::<i64>().ok()?.checked_mul(24)?));
    let parsed = match text.strip_suffix('d') {
        _ if text == "0" => Some(SignedDuration::ZERO),
        Some(number) => days(number),
        None => text.parse().ok().filter(|time: &SignedDuration| time.as_secs() > 0),
    };
    parsed
        .filter(|time| !time.is_negative())
        .ok_or_else(|| "write a time, such as 90d or 8h, or 0".to_owned())
}

/// An operator, for programs.
#[derive(Debug, Serialize)]
struct Entry {
    /// Absent for those that the server's configuration names.
    operator_id: Option<String>,
    name: String,
    role: &'static str,
    /// By the server's configuration or state directory.
    configured: bool,
    created_at: Option<Timestamp>,
    created_by: String,
    /// Absent: never.
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
}

impl From<v1::Operator> for Entry {
    fn from(operator: v1::Operator) -> Self {
        Self {
            operator_id: (!operator.operator_id.is_empty()).then_some(operator.operator_id),
            name: operator.name,
            role: role(operator.role),
            configured: operator.configured,
            created_at: time(operator.created_at),
            created_by: operator.created_by,
            expires_at: time(operator.expires_at),
            revoked_at: time(operator.revoked_at),
        }
    }
}

impl Entry {
    fn state(&self, now: Timestamp) -> &'static str {
        if self.revoked_at.is_some() {
            "revoked"
        } else if self.expires_at.is_some_and(|at| at <= now) {
            "expired"
        } else {
            "valid"
        }
    }

    fn expiry(&self) -> String {
        if self.expires_at.is_some() { exact(self.expires_at) } else { "never".to_owned() }
    }
}

#[derive(Debug, Serialize)]
struct Created {
    schema: &'static str,
    token: String,
    #[serde(flatten)]
    about: Entry,
}

/// Of the list as CSV.
const COLUMNS: &[&str] = &[
    "operator_id",
    "name",
    "role",
    "configured",
    "created_at",
    "created_by",
    "expires_at",
    "revoked_at",
];

#[derive(Debug, Serialize)]
struct Operators {
    schema: &'static str,
    operators: Vec<Entry>,
}

#[derive(Debug, Serialize)]
struct Revoked {
    schema: &'static str,
    #[serde(flatten)]
    about: Entry,
}

pub(crate) async fn create(
    connection: &mut Connection,
    screen: &mut Screen,
    name: String,
    role: RoleName,
    ttl: Option<SignedDuration>,
) -> anyhow::Result<()> {
    let ttl_seconds = ttl.map(|ttl| ttl.as_secs().unsigned_abs());
    let request = v1::CreateOperatorRequest { name, role: role.to_wire().into(), ttl_seconds };
    let created = connection
        .operators
        .create_operator(request)
        .await
        .map_err(|status| explain(&status))?
        .into_inner();
    let about: Entry = created.operator.context("the server told nothing of the operator")?.into();
    let created = Created { schema: "atrest.operator/1", token: created.token, about };
    if screen.json(&created)? {
        return Ok(());
    }
    screen.line(&created.token);
    screen.line("");
    let Entry { name, role, .. } = &created.about;
    let about = format!("for {name}, {role}; expires: {}.", created.about.expiry());
    screen.row(&[Cell::new(about, Tone::Faint)]);
    let how = "Put it into a file that only its owner can read, and name that with --token-file";
    screen.row(&[Cell::new(how, Tone::Faint)]);
    Ok(())
}

pub(crate) async fn list(connection: &mut Connection, screen: &mut Screen) -> anyhow::Result<()> {
    let answer = connection
        .operators
        .list_operators(v1::ListOperatorsRequest {})
        .await
        .map_err(|status| explain(&status))?;
    let operators = answer.into_inner().operators.into_iter().map(Entry::from).collect();
    let operators = Operators { schema: "atrest.operators/1", operators };
    if !screen.csv(COLUMNS, &operators.operators)? && !screen.json(&operators)? {
        print(screen, &operators.operators, now());
    }
    Ok(())
}

fn print(screen: &mut Screen, operators: &[Entry], now: Timestamp) {
    let rows: Vec<_> = operators
        .iter()
        .map(|operator| {
            let by = if operator.configured { "configuration" } else { &operator.created_by };
            vec![
                Cell::word(operator.state(now)),
                operator.name.as_str().into(),
                operator.role.into(),
                exact(operator.created_at).into(),
                by.into(),
                operator.expiry().into(),
                Cell::new(operator.operator_id.as_deref().unwrap_or_default(), Tone::Faint),
            ]
        })
        .collect();
    screen.table(&["STATE", "NAME", "ROLE", "CREATED", "BY", "EXPIRES", "ID"], &rows);
}

pub(crate) async fn revoke(
    connection: &mut Connection,
    screen: &mut Screen,
    operator: String,
) -> anyhow::Result<()> {
    let answer = connection
        .operators
        .revoke_operator(v1::RevokeOperatorRequest { operator })
        .await
        .map_err(|status| explain(&status))?
        .into_inner();
    let about: Entry = answer.operator.context("the server told nothing of the operator")?.into();
    let revoked = Revoked { schema: "atrest.operator_revoked/1", about };
    if !screen.json(&revoked)? {
        screen.line(&format!("the token of {} is worth nothing any more", revoked.about.name));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn times_may_have_days_and_may_be_none() {
        let hours = |text: &str| lifetime(text).map(|time| time.as_hours());
        assert_eq!((hours("90d"), hours("8h"), hours("0")), (Ok(2160), Ok(8), Ok(0)));
        for bad in ["", "-1d", "-8h", "soon", "99999999999999999999d", "0s"] {
            assert!(lifetime(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn who_may_call_is_told_in_a_line_each() {
        let at = |second| Timestamp::from_second(second).ok();
        let entry = |name: &str, expires_at, revoked_at| Entry {
            operator_id: Some("0123456789ab".to_owned()),
            name: name.to_owned(),
            role: "viewer",
            configured: false,
            created_at: at(0),
            created_by: "admin".to_owned(),
            expires_at,
            revoked_at,
        };
        let admin = Entry {
            operator_id: None,
            role: "admin",
            configured: true,
            created_at: None,
            created_by: String::new(),
            ..entry("admin", None, None)
        };
        let all = [
            admin,
            entry("ada", at(9_999), None),
            entry("bob", at(60), None),
            entry("eve", at(9_999), at(5)),
        ];
        let mut screen = Screen::plain();
        print(&mut screen, &all, at(100).unwrap());
        expect![[r"
            STATE    NAME   ROLE    CREATED               BY             EXPIRES               ID
            valid    admin  admin                         configuration  never
            valid    ada    viewer  1970-01-01T00:00:00Z  admin          1970-01-01T02:46:39Z  0123456789ab
            expired  bob    viewer  1970-01-01T00:00:00Z  admin          1970-01-01T00:01:00Z  0123456789ab
            revoked  eve    viewer  1970-01-01T00:00:00Z  admin          1970-01-01T02:46:39Z  0123456789ab
        "]]
        .assert_eq(screen.text());
    }
}
