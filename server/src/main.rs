//! `atrest-server`: arguments in, exit code out. What it does is in the library.

mod cli;

use std::process::ExitCode;

/// A bug: everything else is told as an error.
const BUG: i32 = 70;

fn main() -> ExitCode {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |bug| {
        report(bug);
        end();
    }));
    cli::run()
}

#[expect(
    clippy::exit,
    reason = "half a server is worse than none: what is acknowledged is durable"
)]
fn end() {
    std::process::exit(BUG);
}
