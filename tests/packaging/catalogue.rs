//! `docs/checks.md`, from the catalogue of checks.

use atrest_agent::check::{ALL, CATALOGUE_VERSION};

use crate::generated::hold;

#[test]
fn the_document_on_checks_is_the_catalogue() {
    let mut text = format!(
        "# Checks\n\n\
        Generated from the agent's catalogue, version {CATALOGUE_VERSION}, by `make manuals`.\n\
        `atrest-agent explain CHECK` prints the same on a node.\n\
        *Supports* means that a pass is evidence for a control; it does not by itself satisfy it.\n\n\
        | check | severity | what it is about |\n|---|---|---|\n"
    );
    for check in ALL {
        text.push_str(&format!(
            "| [`{0}`](#{0}) | {1} | {2} |\n",
            check.id, check.severity, check.title
        ));
    }
    for check in ALL {
        let controls: Vec<String> = check
            .controls
            .iter()
            .map(|control| format!("{} {}", control.framework, control.id))
            .collect();
        text.push_str(&format!(
            "\n## {}\n\n{}\nSeverity of a failure: {}.\n\n\
            **Why it matters.** {}\n\n**How it decides.** {}\n\n**What to do.** {}\n\n**Supports.** {}\n",
            check.id,
            sentence(check.title),
            check.severity,
            check.why,
            check.decides,
            check.remedy,
            controls.join(", ")
        ));
    }
    hold("docs/checks.md", &text);
}

fn sentence(title: &str) -> String {
    let mut letters = title.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}
