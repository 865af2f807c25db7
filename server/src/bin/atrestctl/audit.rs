//! `atrestctl audit`: what operators changed, tried to change, and were denied.

use atrest_proto::v1;
use atrest_server::view::{Audit, AuditEntry};

use crate::connect::{Connection, explain};
use crate::render::{Cell, Screen, Tone, exact};

/// Of the list as CSV.
const COLUMNS: &[&str] =
    &["at", "operator", "role", "rpc", "object", "address", "outcome", "detail", "count"];

/// At most `limit` entries; 0 means all.
pub(crate) async fn run(
    connection: &mut Connection,
    screen: &mut Screen,
    limit: u32,
) -> anyhow::Result<()> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut entries = Vec::new();
    let mut page_token = String::new();
    let more = loop {
        let left = if limit == 0 { 0 } else { limit.saturating_sub(entries.len()) };
        let page_size = u32::try_from(left).unwrap_or(u32::MAX);
        let page = connection
            .audit
            .list_audit(v1::ListAuditRequest { page_size, page_token })
            .await
            .map_err(|status| explain(&status))?
            .into_inner();
        entries.extend(page.entries.into_iter().map(AuditEntry::from));
        let more = !page.next_page_token.is_empty();
        if !more || (limit > 0 && entries.len() >= limit) {
            break more;
        }
        page_token = page.next_page_token;
    };
    let audit = Audit::new(entries, more);
    if !screen.csv(COLUMNS, &audit.entries)? && !screen.json(&audit)? {
        print(screen, &audit);
    }
    Ok(())
}

fn print(screen: &mut Screen, audit: &Audit) {
    if audit.entries.is_empty() {
        screen.line("no operator has changed anything");
        return;
    }
    let rows: Vec<_> = audit
        .entries
        .iter()
        .map(|entry| {
            let outcome = match entry.count {
                1 => Cell::word(entry.outcome),
                count => Cell::new(format!("{} x {count}", entry.outcome), Tone::of(entry.outcome)),
            };
            let operator = if entry.operator.is_empty() { "nobody" } else { &entry.operator };
            vec![
                exact(entry.at).into(),
                operator.into(),
                entry.role.unwrap_or_default().into(),
                outcome,
                entry.rpc.as_str().into(),
                entry.object.as_str().into(),
                entry.address.as_str().into(),
                Cell::new(entry.detail.as_str(), Tone::Faint),
            ]
        })
        .collect();
    screen.table(&["AT", "OPERATOR", "ROLE", "OUTCOME", "RPC", "OBJECT", "FROM", "DETAIL"], &rows);
    if audit.more {
        screen.line("");
        screen.line("there is more: say how much with --limit; 0 is all");
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use jiff::Timestamp;

    use super::*;

    #[test]
    fn what_was_denied_is_counted_and_the_newest_stands_first() {
        let entry = |operator: &str, outcome, count| AuditEntry {
            at: Timestamp::from_second(60).ok(),
            operator: operator.to_owned(),
            role: (!operator.is_empty()).then_some("admin"),
            rpc: "TokenService/CreateToken".to_owned(),
            object: if outcome == "done" { "token:0123".to_owned() } else { String::new() },
            address: "192.0.2.1".to_owned(),
            outcome,
            detail: String::new(),
            count,
        };
        let entries = vec![entry("", "denied", 12), entry("ada", "done", 1)];
        let mut screen = Screen::plain();
        print(&mut screen, &Audit::new(entries, true));
        expect![[r"
            AT                    OPERATOR  ROLE   OUTCOME      RPC                       OBJECT      FROM       DETAIL
            1970-01-01T00:01:00Z  nobody           denied x 12  TokenService/CreateToken              192.0.2.1
            1970-01-01T00:01:00Z  ada       admin  done         TokenService/CreateToken  token:0123  192.0.2.1

            there is more: say how much with --limit; 0 is all
        "]]
        .assert_eq(screen.text());
    }
}
