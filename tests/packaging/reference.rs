//! The manual pages of the configuration files, from the commented references that packages install.

use crate::generated::{hold, read};

#[test]
fn the_manual_of_each_configuration_file_is_its_reference() {
    let agent = Page {
        name: "agent.toml",
        about: "configuration of atrest-agent",
        program: "atrest-agent",
        see_also: "\\fBatrest\\-agent\\fR(8), \\fBserver.toml\\fR(5)",
    };
    let server = Page {
        name: "server.toml",
        about: "configuration of atrest-server",
        program: "atrest-server",
        see_also: "\\fBatrest\\-server\\fR(8), \\fBagent.toml\\fR(5)",
    };
    for page in [agent, server] {
        let text = page.render(&read(&format!("packaging/{}", page.name)));
        hold(&format!("packaging/man/{}.5", page.name), &text);
    }
}

struct Page {
    name: &'static str,
    about: &'static str,
    program: &'static str,
    see_also: &'static str,
}

impl Page {
    fn render(&self, reference: &str) -> String {
        let Self { name, about, program, see_also } = self;
        let mut roff = format!(
            ".TH {} 5 \"\" atrest atrest\n.SH NAME\n{name} \\- {}\n.SH SYNOPSIS\n/etc/atrest/{name}\n.SH DESCRIPTION\n",
            name.to_uppercase(),
            escape(about)
        );
        roff.push_str(&body(reference));
        roff.push_str(&format!(
            ".SH NOTES\n\\fB{} validate\\fR names every mistake at once, and is run before each start of the service.\n\
            .SH SEE ALSO\n{see_also}\n",
            escape(program)
        ));
        roff
    }
}

/// Sections, keys and texts, in the order of the reference. A text that stands before a key or a section is about it.
fn body(reference: &str) -> String {
    let mut roff = String::new();
    let mut about: Vec<&str> = Vec::new();
    for line in reference.lines() {
        let bare = line.strip_prefix('#').unwrap_or(line);
        let is_text = line.starts_with("# ") || line == "#";
        if is_text {
            about.push(bare.strip_prefix(' ').unwrap_or(bare));
        } else if bare.starts_with('[') {
            roff.push_str(&format!(".SH {}\n", escape(bare)));
            roff.push_str(&text(&std::mem::take(&mut about)));
        } else if bare.is_empty() {
            roff.push_str(&text(&std::mem::take(&mut about)));
        } else {
            roff.push_str(&format!(".TP\n.B {}\n", escape(bare)));
            roff.push_str(&text(&std::mem::take(&mut about)));
        }
    }
    roff.push_str(&text(&about));
    roff
}

/// Lines of a comment: those that are indented are examples.
fn text(lines: &[&str]) -> String {
    let mut roff = String::new();
    let mut in_example = false;
    for line in lines {
        let example = line.starts_with(' ');
        if example != in_example && !line.is_empty() {
            roff.push_str(if example { ".nf\n" } else { ".fi\n" });
            in_example = example;
        }
        if line.is_empty() {
            roff.push_str(if in_example { "\n" } else { ".PP\n" });
        } else {
            roff.push_str(&format!("{}\n", escape(line)));
        }
    }
    if in_example {
        roff.push_str(".fi\n");
    }
    roff
}

/// Backslashes and hyphens as they are; a line that begins like a request is none.
fn escape(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-");
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
}

#[test]
fn a_reference_becomes_sections_keys_and_texts() {
    let page = body(
        "# All of it.\n\n# Where.\n#dir = \"/a-b\"\n\n# Ports.\n#[agents]\n#listen = 1\n# See\n#\n#   [[x]]\n",
    );
    assert_eq!(
        page,
        "All of it.\n.TP\n.B dir = \"/a\\-b\"\nWhere.\n.SH [agents]\nPorts.\n.TP\n.B listen = 1\nSee\n.PP\n.nf\n  [[x]]\n.fi\n"
    );
}
