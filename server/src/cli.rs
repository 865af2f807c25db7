//! The command line of `atrest-server`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use atrest_server::authority;
use atrest_server::clock::Clock;
use atrest_server::config::{Config, Problem};
use atrest_server::logging;
use atrest_server::serve::{DATABASE_FILE, check_files, start};
use atrest_server::store::sqlite::{self, Inspection};
use atrest_server::supervisor;
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

/// Everything is well.
const OK: u8 = 0;
/// It was asked for rightly, but did not work.
const FAILED: u8 = 1;
/// Usage or configuration.
const USAGE: u8 = 64;

const DEFAULT_CONFIG: &str = "/etc/atrest/server.toml";

/// Enrols atrest's agents, holds the posture of the fleet, and alerts on what is not encrypted
#[derive(Debug, Parser)]
#[command(name = "atrest-server", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve agents and operators until told to stop
    Serve {
        #[command(flatten)]
        config: ConfigArgs,
        /// Where the authority, the database and the admin token are kept
        #[arg(long, value_name = "DIR")]
        state_dir: Option<PathBuf>,
        /// The agents' port
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: Option<SocketAddr>,
        /// The operators' port
        #[arg(long, value_name = "ADDRESS:PORT")]
        admin_listen: Option<SocketAddr>,
    },
    /// Check the configuration: everything that is wrong with it, at once
    Validate {
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Copy the database, whether or not the server runs: one moment of it, checked, in one file
    Backup {
        /// The copy
        file: PathBuf,
        /// Replace the file if there is one
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        config: ConfigArgs,
        /// Where the database is
        #[arg(long, value_name = "DIR")]
        state_dir: Option<PathBuf>,
    },
    /// The certificate authority that signs the server and the agents
    Ca {
        #[command(subcommand)]
        command: CaCommand,
    },
    /// Look through the database, or a copy of it: its pages, its references, its schema
    Check {
        /// The database [default: that of the server]
        file: Option<PathBuf>,
        #[command(flatten)]
        config: ConfigArgs,
        /// Where the database is
        #[arg(long, value_name = "DIR")]
        state_dir: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum CaCommand {
    /// Make a new authority, which the server takes over when it is restarted; the old one is trusted until it ends
    Rotate {
        #[command(flatten)]
        config: ConfigArgs,
        /// Where the authority is kept
        #[arg(long, value_name = "DIR")]
        state_dir: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// The configuration [default: /etc/atrest/server.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs the command that the arguments ask for.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing can be told to who closed the stream.
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { USAGE } else { OK });
        }
    };
    let (Command::Serve { config, .. }
    | Command::Validate { config }
    | Command::Backup { config, .. }
    | Command::Ca { command: CaCommand::Rotate { config, .. } }
    | Command::Check { config, .. }) = &cli.command;
    let mut parsed = match load(config) {
        Ok(parsed) => parsed,
        Err(complaint) => {
            say(&complaint);
            return ExitCode::from(USAGE);
        }
    };
    match cli.command {
        Command::Validate { .. } => validate(&parsed),
        Command::Serve { state_dir, listen, admin_listen, .. } => {
            parsed.state_dir = state_dir.unwrap_or(parsed.state_dir);
            parsed.agents.listen = listen.unwrap_or(parsed.agents.listen);
            parsed.operators.listen = admin_listen.unwrap_or(parsed.operators.listen);
            logging::start(parsed.log.format, &parsed.log.filter);
            leave(serve(parsed))
        }
        Command::Backup { file, force, state_dir, .. } => {
            let database = state_dir.unwrap_or(parsed.state_dir).join(DATABASE_FILE);
            leave(backup(&database, &file, force))
        }
        Command::Ca { command: CaCommand::Rotate { state_dir, .. } } => {
            leave(rotate(&state_dir.unwrap_or(parsed.state_dir)))
        }
        Command::Check { file, state_dir, .. } => {
            let of_server = || state_dir.unwrap_or(parsed.state_dir).join(DATABASE_FILE);
            leave(check(&file.unwrap_or_else(of_server)))
        }
    }
}

fn leave(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::from(OK),
        Err(error) => {
            say(&format!("atrest-server: {error:#}"));
            ExitCode::from(FAILED)
        }
    }
}

fn rotate(state_dir: &Path) -> anyhow::Result<()> {
    let pin = authority::rotate(state_dir, Clock::system().now())?;
    say(&format!(
        "made a new authority ({pin}): restart atrest-server to take it over. Agents get it with their next certificate; \
         give the new ca.pem to those who use atrestctl or read metrics elsewhere"
    ));
    Ok(())
}

fn backup(database: &Path, file: &Path, force: bool) -> anyhow::Result<()> {
    let copied = sqlite::backup(database, file, force)?;
    say(&format!("copied {} to {}: {}", database.display(), file.display(), describe(&copied)));
    say(
        "the authority (ca.key, ca.pem) and the hash of the admin token are files of their own beside the database",
    );
    Ok(())
}

fn check(database: &Path) -> anyhow::Result<()> {
    let found = sqlite::inspect(database)?;
    say(&format!("{} is sound: {}", database.display(), describe(&found)));
    Ok(())
}

fn describe(found: &Inspection) -> String {
    let Inspection { schema, hosts, bytes } = found;
    format!("schema {schema}, hosts {hosts}, {bytes} bytes")
}

fn validate(config: &Config) -> ExitCode {
    let problems = check_files(config);
    for problem in &problems {
        say(&logging::chain(problem));
    }
    if problems.is_empty() {
        say("the configuration is valid");
        ExitCode::from(OK)
    } else {
        ExitCode::from(USAGE)
    }
}

/// Reads the configuration. No file where nobody named one is an empty file.
fn load(args: &ConfigArgs) -> Result<Config, String> {
    let path = args.config.as_deref().unwrap_or(Path::new(DEFAULT_CONFIG));
    let text = match read(path) {
        Ok(text) => text,
        Err(error) if args.config.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            String::new()
        }
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    Config::parse(&text).map_err(|problems| complain(path, &problems))
}

#[expect(clippy::disallowed_methods, reason = "the shell reads the operator's own configuration")]
fn read(path: &Path) -> std::io::Result<String> {
    std::fs::read_to_string(path)
}

fn complain(path: &Path, problems: &[Problem]) -> String {
    let lines: Vec<_> =
        problems.iter().map(|problem| format!("{}:{problem}", path.display())).collect();
    lines.join("\n")
}

fn serve(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    runtime.block_on(async {
        // Before anything is told: a signal during the start is not lost.
        let mut terminate = signal(SignalKind::terminate()).context("no signal handler")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("no signal handler")?;
        let running = start(config).await?;
        supervisor::ready();
        tokio::select! {
            _ = terminate.recv() => info!(signal = "SIGTERM", "asked to stop"),
            _ = interrupt.recv() => info!(signal = "SIGINT", "asked to stop"),
            () = supervisor::stay_alive(&running.hub) => {}
        }
        supervisor::stopping();
        running.shutdown().await;
        Ok(())
    })
}

#[expect(clippy::print_stderr, reason = "what the shell says to who called it")]
fn say(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
#[path = "../../packaging/manual.rs"]
mod manual;

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::{Cli, manual};

    const MORE: &str = r"
.SH EXIT STATUS
.TP
0
done
.TP
1
what was asked for could not be done
.TP
64
wrong usage or configuration
.TP
70
a bug
.SH FILES
.TP
/etc/atrest/server.toml
the configuration, see \fBserver.toml\fR(5)
.TP
/var/lib/atrest\-server
the authority (ca.key, ca.pem), the database (atrest.db), and the admin token (admin.token)
.SH SEE ALSO
\fBserver.toml\fR(5), \fBatrestctl\fR(1), \fBatrest\-agent\fR(8)
";

    #[test]
    fn the_manual_and_the_completions_are_those_of_this_command_line() {
        manual::hold(&Cli::command(), &manual::Page { section: "8", more: MORE });
    }
}
