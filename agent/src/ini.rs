//! Files of `KEY=VALUE` lines, with or without sections, as systemd and abrt have them. See `systemd.syntax(7)`.

/// One assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Empty for what stands before any header.
    pub section: String,
    pub key: String,
    pub value: String,
}

/// Every assignment, in order.
pub fn entries(text: &str) -> Vec<Entry> {
    let mut section = String::new();
    let mut entries = Vec::new();
    for line in logical_lines(text) {
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            header.clone_into(&mut section);
        } else if let Some((key, value)) = line.split_once('=') {
            entries.push(Entry {
                section: section.clone(),
                key: key.trim_end().to_owned(),
                value: value.trim_start().to_owned(),
            });
        }
    }
    entries
}

/// The last value that `text` gives to `key` in `section`; the empty section is what stands before any header.
pub fn last(text: &str, section: &str, key: &str) -> Option<String> {
    let is_asked = |entry: &Entry| entry.section == section && entry.key == key;
    entries(text).into_iter().rev().find(is_asked).map(|entry| entry.value)
}

/// The lines without comments, trimmed; one that ends in a backslash goes on in the next.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut begun = String::new();
    for line in text.lines() {
        let line = line.trim();
        // Comments do not end a line that goes on.
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(part) = line.strip_suffix('\\') {
            begun.push_str(part);
            begun.push(' ');
        } else {
            begun.push_str(line);
            lines.push(begun.trim().to_owned());
            begun.clear();
        }
    }
    lines.push(begun.trim().to_owned());
    lines.retain(|line| !line.is_empty());
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_assignment_in_its_section_counts() {
        let text = "Storage=a\n[Coredump]\n#Storage=b\n; Storage=c\n Storage = d \nStorage=external\n[Other]\nStorage=e\n";
        assert_eq!(last(text, "Coredump", "Storage").as_deref(), Some("external"));
        assert_eq!(last(text, "", "Storage").as_deref(), Some("a"));
        assert_eq!(last(text, "Coredump", "Stor"), None);
        assert_eq!(last("[Coredump]\n#Storage=none\n", "Coredump", "Storage"), None);
    }

    #[test]
    fn a_backslash_carries_on_over_comments() {
        let text = "[A]\nKey=one \\\n# no\n  two\nNext=3\n";
        assert_eq!(last(text, "A", "Key").as_deref(), Some("one  two"));
        assert_eq!(last(text, "A", "Next").as_deref(), Some("3"));
        // An assignment that a line before swallows is none.
        assert_eq!(last("[A]\nKey=1 \\\nNext=3\n", "A", "Next"), None);
    }

    #[test]
    fn an_empty_value_is_a_value() {
        assert_eq!(last("[A]\nKey=\n", "A", "Key").as_deref(), Some(""));
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "\\PC*|[\\[\\]=#;\\\\\nA ]{0,60}") {
            let _value = last(&text, "A", "A");
        }

        #[test]
        fn what_is_written_last_is_read(values in proptest::collection::vec("[a-z]{1,8}", 1..5)) {
            let text = values.iter().fold("[S]\n".to_owned(), |text, value| text + "K=" + value + "\n");
            let read = last(&text, "S", "K");
            prop_assert_eq!(read.as_ref(), values.last());
        }
    }
}
