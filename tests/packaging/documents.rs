//! The commands in the documents, run as they stand there, against a real server and a real agent.
//!
//! Blocks marked `sh run` of one document are one script. `sudo` is let through, and each program is given the
//! configuration of a directory of its own in the place of `/etc/atrest`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use atrest_tests::fleet::Server;
use atrest_tests::vm::built;

use crate::generated::{read, repository};

fn documents() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(repository().join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "md"))
        .collect();
    names.sort();
    names
}

/// The blocks of a document that are to be run, as one script.
fn script(document: &str) -> String {
    let mut script = String::new();
    let mut inside = false;
    for line in document.lines() {
        match (inside, line) {
            (false, "```sh run") => inside = true,
            (true, "```") => inside = false,
            (true, line) => script.push_str(&format!("{line}\n")),
            (false, _) => {}
        }
    }
    assert!(!inside, "a block without an end");
    script
}

/// Puts a program into a directory, under a name.
fn put(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_commands_in_the_documents_work() {
    let mut ran = 0;
    for name in documents() {
        let script = script(&read(&format!("docs/{name}")));
        if script.is_empty() {
            continue;
        }
        run(&name, &script);
        ran += 1;
    }
    assert!(ran >= 5, "only {ran} documents have commands that are run");
}

fn run(name: &str, script: &str) {
    let dir = tempfile::tempdir().unwrap();
    let [programs, work, server] = ["programs", "work", "server"].map(|part| dir.path().join(part));
    for path in [&programs, &work, &server] {
        std::fs::create_dir(path).unwrap();
    }
    let running = Server::start(&built("atrest-server").unwrap(), &server).unwrap();
    let agent = dir.path().join("agent.toml");
    std::fs::write(&agent, format!("state_dir = \"{}/agent\"\n", dir.path().display())).unwrap();
    put(&programs, "sudo", "exec \"$@\"");
    let program = |name: &str| built(name).unwrap().display().to_string();
    put(&programs, "atrestctl", &format!("exec {} \"$@\"", program("atrestctl")));
    put(
        &programs,
        "atrest-agent",
        &format!("exec {} --config {} \"$@\"", program("atrest-agent"), agent.display()),
    );
    put(
        &programs,
        "atrest-server",
        &format!(
            "command=$1\nshift\nexec {} \"$command\" --config {}/server.toml \"$@\"",
            program("atrest-server"),
            server.display()
        ),
    );
    let output = Command::new("/bin/bash")
        .args(["-euxo", "pipefail", "-c", script])
        .current_dir(&work)
        .env_clear()
        .env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", programs.display()))
        .env("ATREST_SERVER", format!("https://localhost:{}", running.operators_port))
        .env("ATREST_CA", running.state_dir().join("ca.pem"))
        .env("ATREST_TOKEN_FILE", running.state_dir().join("admin.token"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "docs/{name}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_links_between_documents_lead_somewhere() {
    for name in documents() {
        let text = read(&format!("docs/{name}"));
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if link.starts_with("http") || file.is_empty() {
                continue;
            }
            let target = repository().join("docs").join(file);
            assert!(target.exists(), "docs/{name}: there is no {file}");
        }
    }
}

#[test]
fn every_document_is_in_the_table_of_contents() {
    let contents = read("docs/README.md");
    for name in documents().iter().filter(|name| *name != "README.md") {
        assert!(contents.contains(&format!("]({name})")), "{name}");
    }
}
