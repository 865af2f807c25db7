//! The agent and the stores of snapshot repositories, as emulators have them: what a scan says of each.
//!
//! Where an emulator differs from the real service, the test says so.

#![expect(
    clippy::indexing_slicing,
    reason = "a JSON value that is not there is null, which no test takes for an answer"
)]

mod azurite;
mod proxy;
mod scene;
mod tests;

use std::process::ExitCode;

use atrest_tests::emulator::{Emulator, Missing};

fn main() -> ExitCode {
    let words: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let chosen = tests::ALL.iter().filter(|(name, _)| {
        words.is_empty() || words.iter().any(|word| name.contains(word.as_str()))
    });
    let chosen: Vec<_> = chosen.collect();
    let moto = match Emulator::moto() {
        Ok(Ok(moto)) => moto,
        Ok(Err(missing)) => {
            say(&format!("stores: skipped: {}", missing.0));
            say(&format!("0 passed, 0 failed, {} skipped", chosen.len()));
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            say(&format!("stores: {error:#}\n0 passed, {} failed, 0 skipped", chosen.len()));
            return ExitCode::FAILURE;
        }
    };
    let (mut failed, mut skipped) = (0, 0);
    for (name, test) in &chosen {
        let outcome = scene::Scene::new(&moto).and_then(|mut scene| test(&mut scene));
        match outcome {
            Ok(()) => say(&format!("stores: {name}: ok")),
            // An emulator that only some tests need.
            Err(error) if error.is::<Missing>() => {
                skipped += 1;
                say(&format!("stores: {name}: skipped: {error}"));
            }
            Err(error) => {
                failed += 1;
                say(&format!("stores: {name}: FAILED: {error:#}"));
            }
        }
    }
    let passed = chosen.len() - failed - skipped;
    say(&format!("{passed} passed, {failed} failed, {skipped} skipped"));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::print_stdout, reason = "the answer of this program")]
fn say(text: &str) {
    println!("{text}");
}
