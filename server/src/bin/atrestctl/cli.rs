//! The command line of `atrestctl`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;
use atrest_proto::model::Outcome;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;

use crate::connect::Connection;
use crate::render::Screen;
use crate::{
    alerts, audit, export, findings, history, node, nodes, operators, retire, revoke, status,
    tokens, watch, webhook,
};

/// Everything is well.
const OK: u8 = 0;
/// It was asked for rightly, but did not work.
const FAILED: u8 = 1;
/// Usage.
const USAGE: u8 = 64;

/// See the posture of the fleet, and let hosts in
#[derive(Debug, Parser)]
#[command(name = "atrestctl", version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// How to print
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(subcommand)]
    command: Command,
}

/// Where the server is, and who asks.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConnectionArgs {
    /// The operators' port
    #[arg(
        long,
        global = true,
        env = "ATREST_SERVER",
        value_name = "URL",
        default_value = "https://localhost:7444"
    )]
    pub(crate) server: String,
    /// The authority that signed the server's certificate
    #[arg(
        long,
        global = true,
        env = "ATREST_CA",
        value_name = "FILE",
        default_value = "/var/lib/atrest-server/ca.pem"
    )]
    pub(crate) ca: PathBuf,
    /// The file that holds your token
    #[arg(
        long,
        global = true,
        env = "ATREST_TOKEN_FILE",
        value_name = "FILE",
        default_value = "/var/lib/atrest-server/admin.token"
    )]
    pub(crate) token_file: PathBuf,
}

/// For people or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
    /// Lists only, for spreadsheets
    Csv,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The fleet in numbers
    Status {
        /// Count by cluster as well, or by the value of a label
        #[arg(long, value_name = "cluster|label:KEY")]
        by: Option<String>,
    },
    /// All hosts that are enrolled, worst first; those that are revoked with `--state revoked`
    Nodes {
        /// Only hosts in this state
        #[arg(long, value_enum)]
        state: Option<nodes::State>,
        /// Only hosts with this label; with several, all of them
        #[arg(long = "label", value_name = "KEY=VALUE", value_parser = nodes::label)]
        labels: Vec<(String, String)>,
    },
    /// One host: its paths, what they rest on, and what to do
    Node {
        /// A host name or host id
        node: String,
    },
    /// End a host's enrolment: its stream ends at once, its certificate is worth nothing, its alerts are over
    Revoke {
        /// A host name or host id
        node: String,
        /// Why, for those who ask later
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Say that an asset is gone for good which its host reports no more: its findings and alerts are over
    Retire {
        /// A host name or host id
        node: String,
        /// As `findings` names it, such as `data:/srv/es`
        asset: String,
        /// Why, for those who ask later
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// What fails, what could not be decided, and what to do about it
    Findings {
        /// Only this outcome
        #[arg(long, value_parser = outcomes())]
        outcome: Option<Outcome>,
        /// Only this check
        #[arg(long)]
        check: Option<String>,
        /// Only this host
        #[arg(long)]
        node: Option<String>,
    },
    /// All hosts with their postures, and what fails, as lines of JSON; the last line has the kind `end`
    Export,
    /// Print hosts whose state or failures change, until it is stopped
    Watch {
        /// How often to look, such as 30s or 5m
        #[arg(long, value_name = "TIME", default_value = "30s", value_parser = interval)]
        interval: Duration,
    },
    /// When what was exposed, from when until when; also what was over before anybody looked
    History {
        /// Only this host
        #[arg(long)]
        node: Option<String>,
        /// Only this check
        #[arg(long)]
        check: Option<String>,
        /// Only what goes on, or ended since: a date, a time such as 2026-01-31T12:00:00Z, or 30d or 8h ago
        #[arg(long, value_name = "TIME", value_parser = history::since)]
        since: Option<history::Since>,
    },
    /// Alerts, and what became of telling them
    Alerts {
        /// Those that are over, instead of those that are firing
        #[arg(long)]
        resolved: bool,
    },
    /// What is to be done about an alert, and about telling people of it
    #[command(subcommand)]
    Alert(AlertCommand),
    /// Enrolment tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Who else may use this command, and for what
    #[command(subcommand)]
    Operators(OperatorsCommand),
    /// What operators changed, tried to change, and were denied, the newest first
    Audit {
        /// At most so many entries; 0 is all
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: u32,
    },
    /// Try webhooks out
    #[command(subcommand)]
    Webhook(WebhookCommand),
}

#[derive(Debug, Subcommand)]
enum AlertCommand {
    /// One alert: what, where, since when, what to do, and who was told
    Show {
        /// Its id, or the beginning of it, as `alerts` shows it
        alert_id: String,
    },
    /// Say that you take care of an alert: it is not repeated any more; its end is told
    Ack {
        /// Its id, or the beginning of it, as `alerts` shows it
        alert_id: String,
        /// For those who ask later
        #[arg(long, default_value = "")]
        comment: String,
        /// How long that holds, such as 8h, 7d or 2026-01-31T12:00:00Z [default: as long as the alert goes on]
        #[arg(long, value_name = "TIME", value_parser = alerts::until)]
        until: Option<alerts::Until>,
    },
    /// Send a message that is marked as a test through a notifier, at once
    Test {
        /// Its name in the server's configuration
        notifier: String,
    },
    /// Messages that were tried as often as their notifier says, and given up
    Dead,
    /// Try again what was given up
    Retry {
        /// One message, as `alert dead` shows it
        message: Option<i64>,
        /// All of them
        #[arg(long)]
        all: bool,
    },
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token: prints the string for `atrest-agent enroll`, which is shown only now
    Create {
        /// The cluster that hosts enrolled with it belong to
        #[arg(long, default_value = "")]
        cluster: String,
        /// How many hosts may enrol with it
        #[arg(long, default_value_t = 1)]
        uses: u32,
        /// How long it may be used, such as 30m or 8h [default: what the server says, 1h]
        #[arg(long, value_name = "TIME")]
        ttl: Option<SignedDuration>,
        /// The host whose place the new one takes, by name or id
        #[arg(long, value_name = "HOST")]
        replace: Option<String>,
        /// A label for the hosts that enrol with it; may be given several times
        #[arg(long = "label", value_name = "KEY=VALUE", value_parser = nodes::label)]
        labels: Vec<(String, String)>,
    },
    /// All tokens, the newest first
    List,
    /// Make a token useless
    Revoke {
        /// Its id, as `token list` shows it
        token_id: String,
    },
}

#[derive(Debug, Subcommand)]
enum OperatorsCommand {
    /// Make an operator: prints its token, which is shown only now
    Create {
        /// Letters, digits, `.`, `_`, `@` and `-`
        name: String,
        /// What it may do
        #[arg(long, value_enum)]
        role: operators::RoleName,
        /// How long the token may be used, such as 90d or 8h; 0 means for ever, for admins only [default: 90d]
        #[arg(long, value_name = "TIME", value_parser = operators::lifetime)]
        ttl: Option<SignedDuration>,
    },
    /// All operators, those of the server's configuration first
    List,
    /// Make an operator's token useless, at once
    Revoke {
        /// Its name, or its id
        operator: String,
    },
}

#[derive(Debug, Subcommand)]
enum WebhookCommand {
    /// Receive webhooks on this machine, check their signatures, and print them
    Listen {
        #[arg(long, default_value_t = 9099)]
        port: u16,
        /// The secret that the server signs with
        #[arg(long, value_name = "FILE")]
        secret_file: PathBuf,
        /// Leave after this many
        #[arg(long, value_name = "N")]
        count: Option<u64>,
    },
    /// Print a new secret, for a file that the server and the receiver share
    Secret,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval =
        text.parse::<SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
    interval
        .filter(|time| (Duration::from_secs(1)..=Duration::from_hours(24)).contains(time))
        .ok_or_else(|| "write a time from 1s to 24h".to_owned())
}

fn outcomes() -> impl TypedValueParser<Value = Outcome> {
    PossibleValuesParser::new(Outcome::ALL.iter().map(|outcome| outcome.as_str()))
        .try_map(|word| word.parse::<Outcome>())
}

impl Command {
    /// Whether it prints one list, which may be a table.
    const fn is_list(&self) -> bool {
        matches!(
            self,
            Self::Status { .. }
                | Self::Nodes { .. }
                | Self::Findings { .. }
                | Self::History { .. }
                | Self::Alerts { .. }
                | Self::Alert(AlertCommand::Dead)
                | Self::Token(TokenCommand::List)
                | Self::Operators(OperatorsCommand::List)
                | Self::Audit { .. }
        )
    }
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
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error.into()),
    };
    let mut screen = Screen::stdout(cli.format);
    match runtime.block_on(dispatch(cli, &mut screen)).and_then(|()| screen.finish()) {
        Ok(()) => ExitCode::from(OK),
        Err(error) => complain(&error),
    }
}

async fn dispatch(cli: Cli, screen: &mut Screen) -> anyhow::Result<()> {
    ensure!(cli.format != Format::Csv || cli.command.is_list(), "only lists are printed as CSV");
    let connect = || Connection::open(&cli.connection);
    match cli.command {
        Command::Status { by } => status::run(&mut connect().await?, screen, by).await,
        Command::Nodes { state, labels } => {
            nodes::run(&mut connect().await?, screen, state, labels).await
        }
        Command::Node { node } => node::run(&mut connect().await?, screen, node).await,
        Command::Revoke { node, reason } => {
            revoke::run(&mut connect().await?, screen, node, reason).await
        }
        Command::Retire { node, asset, reason } => {
            retire::run(&mut connect().await?, screen, node, asset, reason).await
        }
        Command::Findings { outcome, check, node } => {
            findings::run(&mut connect().await?, screen, outcome, check, node).await
        }
        Command::Export => export::run(&mut connect().await?, screen).await,
        Command::Watch { interval } => watch::run(&mut connect().await?, screen, interval).await,
        Command::History { node, check, since } => {
            let ask = history::Ask { node, check, since };
            history::run(&mut connect().await?, screen, ask).await
        }
        Command::Alerts { resolved } => alerts::run(&mut connect().await?, screen, resolved).await,
        Command::Alert(command) => alert(command, &mut connect().await?, screen).await,
        Command::Token(TokenCommand::Create { cluster, uses, ttl, replace, labels }) => {
            let ask = tokens::Ask { cluster, uses, ttl, replace, labels };
            tokens::create(&mut connect().await?, screen, ask).await
        }
        Command::Token(TokenCommand::List) => tokens::list(&mut connect().await?, screen).await,
        Command::Token(TokenCommand::Revoke { token_id }) => {
            tokens::revoke(&mut connect().await?, screen, token_id).await
        }
        Command::Operators(OperatorsCommand::Create { name, role, ttl }) => {
            operators::create(&mut connect().await?, screen, name, role, ttl).await
        }
        Command::Operators(OperatorsCommand::List) => {
            operators::list(&mut connect().await?, screen).await
        }
        Command::Operators(OperatorsCommand::Revoke { operator }) => {
            operators::revoke(&mut connect().await?, screen, operator).await
        }
        Command::Audit { limit } => audit::run(&mut connect().await?, screen, limit).await,
        Command::Webhook(WebhookCommand::Listen { port, secret_file, count }) => {
            webhook::listen(screen, port, &secret_file, count).await
        }
        Command::Webhook(WebhookCommand::Secret) => {
            screen.line(&webhook::secret());
            Ok(())
        }
    }
}

async fn alert(
    command: AlertCommand,
    connection: &mut Connection,
    screen: &mut Screen,
) -> anyhow::Result<()> {
    match command {
        AlertCommand::Show { alert_id } => alerts::show(connection, screen, alert_id).await,
        AlertCommand::Ack { alert_id, comment, until } => {
            alerts::acknowledge(connection, screen, alert_id, comment, until).await
        }
        AlertCommand::Test { notifier } => alerts::test(connection, screen, notifier).await,
        AlertCommand::Dead => alerts::dead(connection, screen).await,
        AlertCommand::Retry { message, all } => {
            alerts::retry(connection, screen, message, all).await
        }
    }
}

#[expect(clippy::print_stderr, reason = "what the shell says to who called it")]
fn complain(error: &anyhow::Error) -> ExitCode {
    // Who closed our output has read enough.
    let closed = error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe);
    if closed {
        return ExitCode::from(OK);
    }
    eprintln!("atrestctl: {error:#}");
    ExitCode::from(FAILED)
}

#[cfg(test)]
#[path = "../../../../packaging/manual.rs"]
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
wrong usage
.SH FILES
.TP
/var/lib/atrest\-server/ca.pem, /var/lib/atrest\-server/admin.token
the authority and the token that are taken on the server itself, where nothing else is given
.SH SEE ALSO
\fBatrest\-server\fR(8), \fBatrest\-agent\fR(8)
";

    #[test]
    fn the_manual_and_the_completions_are_those_of_this_command_line() {
        manual::hold(&Cli::command(), &manual::Page { section: "1", more: MORE });
    }
}
