//! `atrestctl`: how operators see and steer the fleet from a terminal. Everything comes over the operators' port.

mod alerts;
mod audit;
mod cli;
mod connect;
mod export;
mod findings;
mod history;
mod node;
mod nodes;
mod operators;
mod render;
mod retire;
mod revoke;
mod sheet;
mod status;
mod tokens;
mod watch;
mod webhook;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
