//! The program as scripts meet it: exit codes, and streams that are whole, closed or gone.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test: it fails by panicking, and starts the program"
)]

use std::process::{Command, Output, Stdio};

fn agent(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_atrest-agent"));
    command.args(["--config", "/dev/null"]).args(arguments).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    agent(arguments).output().unwrap()
}

#[test]
fn the_answer_and_its_code_are_those_of_the_work() {
    let answer = run(&["check", "--format", "json", "/proc"]);
    assert_eq!(answer.status.code(), Some(0), "{answer:?}");
    let json: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(json["paths"][0]["verdict"], "volatile");
    assert!(answer.stderr.is_empty(), "{answer:?}");
    // Nothing that is called so exists.
    assert_eq!(run(&["check", "/no/such/path"]).status.code(), Some(3));
}

#[test]
fn mistakes_are_told_on_stderr_with_their_code() {
    for arguments in [&["check"][..], &["--root", "/no/such/root", "check", "/"], &["scan", "--x"]]
    {
        let answer = run(arguments);
        assert_eq!(answer.status.code(), Some(64), "{answer:?}");
        assert!(answer.stdout.is_empty() && !answer.stderr.is_empty(), "{answer:?}");
    }
}

#[test]
fn a_reader_that_goes_away_changes_nothing_about_the_code() {
    let mut child = agent(&["check", "--format", "json", "/proc"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn an_answer_that_cannot_be_written_is_no_answer() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let answer = agent(&["check", "/proc"]).stdout(full).output().unwrap();
    assert_eq!(answer.status.code(), Some(64), "{answer:?}");
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert!(said.contains("could not be written"), "{said}");
}
