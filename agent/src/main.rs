//! The agent's binary: nothing but the way in.

use std::process::ExitCode;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(bug));
    if std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == atrest_agent::host::luks_reader::SUBCOMMAND)
    {
        return atrest_agent::host::luks_reader::child_main();
    }
    ExitCode::from(atrest_agent::cli::run(std::env::args_os()))
}

/// A panic is a bug: it says so, and ends the process with the exit code for one, whatever thread it is on.
#[expect(clippy::exit, reason = "a panic cannot return")]
fn bug(panic: &std::panic::PanicHookInfo<'_>) {
    use std::io::Write as _;
    // Nowhere to say it when stderr is gone.
    drop(writeln!(std::io::stderr(), "atrest-agent: this is a bug, please report it: {panic}"));
    std::process::exit(i32::from(atrest_agent::cli::BUG));
}
