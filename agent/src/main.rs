//! The agent's binary: nothing but the way in.

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == atrest_agent::host::luks_reader::SUBCOMMAND)
    {
        return atrest_agent::host::luks_reader::child_main();
    }
    ExitCode::from(atrest_agent::cli::run(std::env::args_os()))
}
