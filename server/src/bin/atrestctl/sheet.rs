//! Lists as CSV (RFC 4180), for spreadsheets: the fields that the JSON has, in columns.

use serde::Serialize;
use serde_json::Value;

use crate::render::clean;

/// A heading, and a line for each row. A column is a field of the row's JSON, with dots into what is nested; what a row
/// does not have is empty. Lists of words are one cell, with semicolons between.
pub(crate) fn sheet<T: Serialize>(columns: &[&str], rows: &[T]) -> anyhow::Result<String> {
    let mut writer =
        csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(columns)?;
    for row in rows {
        let row = serde_json::to_value(row)?;
        writer.write_record(columns.iter().map(|column| inert(&cell(find(&row, column)))))?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

fn find<'a>(row: &'a Value, column: &str) -> Option<&'a Value> {
    column.split('.').try_fold(row, |value, name| value.get(name))
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(all)) if !all.iter().any(|one| one.is_object() || one.is_array()) => {
            all.iter().map(|one| cell(Some(one))).collect::<Vec<_>>().join(";")
        }
        Some(other) => other.to_string(),
    }
}

/// Hosts name things: what steers a terminal is left out, and what a spreadsheet would run as a formula is made text
/// (<https://owasp.org/www-community/attacks/CSV_Injection>).
fn inert(cell: &str) -> String {
    let cell = clean(cell);
    if cell.starts_with(['=', '+', '-', '@']) { format!("'{cell}") } else { cell }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_are_quoted_joined_and_do_nothing() {
        let rows = [
            json!({"name": "a,b", "devices": ["/dev/sda", "/dev/sdb"], "more": {"at": 7}}),
            json!({"name": "=cmd", "devices": [], "more": null, "list": [{"x": 1}]}),
            json!({"name": "say \"x\"\n", "list": {"x": 1}}),
        ];
        let lines = [
            "name,devices,more.at,list",
            "\"a,b\",/dev/sda;/dev/sdb,7,",
            "'=cmd,,,\"[{\"\"x\"\":1}]\"",
            "\"say \"\"x\"\"\u{fffd}\",,,\"{\"\"x\"\":1}\"",
            "",
        ];
        let text = sheet(&["name", "devices", "more.at", "list"], &rows).unwrap();
        assert_eq!(text, lines.join("\r\n"));
    }
}
