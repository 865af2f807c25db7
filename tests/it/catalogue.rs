//! What the server says of checks is what the agent's catalogue says.

use std::path::Path;

use atrest_agent::check;

fn generated() -> String {
    let mut text = "//! Generated from the agent's catalogue; a test holds it to that. Do not edit.\n//! `ATREST_BLESS=1 cargo test -p atrest-tests --test it catalogue` writes it.\n\n#[rustfmt::skip]\npub(super) const CHECKS: &[(&str, &str)] = &[\n".to_owned();
    for check in check::ALL {
        text.push_str(&format!(
            "    (\n        {:?},\n        {:?},\n    ),\n",
            check.id, check.why
        ));
    }
    text.push_str("];\n");
    text
}

#[test]
fn the_server_says_why_a_check_matters_as_the_agent_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/src/notify/why/catalogue.rs");
    let generated = generated();
    if std::env::var_os("ATREST_BLESS").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap() == generated,
        "server/src/notify/why/catalogue.rs differs: run this test with ATREST_BLESS=1"
    );
}
