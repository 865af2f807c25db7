//! Manual pages and completions, made from the definition of a command line. Shared by the tests of the three programs,
//! which hold the files in `packaging/` to what this makes; `make manuals` writes them anew.

use std::path::Path;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

/// What a page says beyond the command line itself.
pub(crate) struct Page {
    /// `1` for everybody, `8` for administrators.
    pub(crate) section: &'static str,
    /// Sections that follow the commands, in roff.
    pub(crate) more: &'static str,
}

/// Holds the page and the completions of a program to its command line.
pub(crate) fn hold(command: &Command, page: &Page) {
    let name = command.get_name().to_owned();
    hold_file(&format!("man/{name}.{}", page.section), &manual(command, page));
    for (shell, file) in [
        (Shell::Bash, format!("completions/{name}.bash")),
        (Shell::Zsh, format!("completions/_{name}")),
        (Shell::Fish, format!("completions/{name}.fish")),
    ] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command.clone(), &name, &mut script);
        hold_file(&file, &tidy(script));
    }
}

/// Holds a file in `packaging/` to a text.
#[expect(clippy::disallowed_methods, reason = "a test reads the repository")]
fn hold_file(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(file);
    if std::env::var_os("ATREST_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == text, "packaging/{file} is out of date: run `make manuals`");
}

fn manual(command: &Command, page: &Page) -> String {
    let man = |command: &Command| {
        let title = page_title(command);
        Man::new(command.clone())
            .title(title)
            .section(page.section)
            .source("atrest")
            .manual("atrest")
    };
    let mut roff = Vec::new();
    let whole = man(command);
    whole.render_title(&mut roff).unwrap();
    whole.render_name_section(&mut roff).unwrap();
    whole.render_synopsis_section(&mut roff).unwrap();
    whole.render_description_section(&mut roff).unwrap();
    whole.render_options_section(&mut roff).unwrap();
    roff.extend(b".SH COMMANDS\n");
    for (path, command) in leaves(command, "") {
        let mut about = Vec::new();
        let single = man(&command.clone().disable_help_flag(true).disable_version_flag(true));
        single.render_description_section(&mut about).unwrap();
        single.render_options_section(&mut about).unwrap();
        roff.extend(format!(".SS {path}\n").bytes());
        // The sections of a page of its own, as parts of this one.
        let text = tidy(about);
        let kept = text.lines().filter(|line| !is_preamble(line) && !line.starts_with(".SH "));
        roff.extend(kept.flat_map(|line| line.bytes().chain([b'\n'])));
    }
    // An empty date has to be written as one.
    let roff = tidy(roff).replacen(
        &format!(" {}  atrest", page.section),
        &format!(" {} \"\" atrest", page.section),
        1,
    );
    format!("{roff}{}", page.more)
}

fn page_title(command: &Command) -> String {
    command.get_name().to_uppercase()
}

/// The commands that do something, with their names from the program on.
fn leaves(command: &Command, above: &str) -> Vec<(String, Command)> {
    let shown =
        command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help");
    shown
        .flat_map(|sub| {
            let path =
                format!("{above}{}{}", if above.is_empty() { "" } else { " " }, sub.get_name());
            if sub.has_subcommands() { leaves(sub, &path) } else { vec![(path, sub.clone())] }
        })
        .collect()
}

/// What every rendering of roff begins with.
fn is_preamble(line: &str) -> bool {
    line.starts_with(".ie ") || line.starts_with(".el ")
}

/// Without spaces at the ends of lines, and with one preamble.
fn tidy(text: Vec<u8>) -> String {
    let text = String::from_utf8(text).unwrap();
    let mut lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let mut seen = Vec::new();
    lines.retain(|line| {
        let again = is_preamble(line) && seen.contains(line);
        seen.push(line);
        !again
    });
    format!("{}\n", lines.join("\n"))
}
