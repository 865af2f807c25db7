//! The command line: what each subcommand does, and the exit code it ends with.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use atrest_proto::model::Use;
use clap::{Args, Parser, Subcommand, ValueEnum};
use nix::unistd::User;

use crate::confine::{self, Allowed, Reach};
use crate::discovery::{Declared, Discovery, Place};
use crate::duties::Duties;
use crate::host::live::LiveHost;
use crate::host::recorded::RecordedHost;
use crate::host::{Host, identity};
use crate::observer::{Local, Remote, Watcher, client, serve};
use crate::path::HostPath;
use crate::policy::Policy;
use crate::report::Style;
use crate::snapshot::Namespace;
use crate::transport::StateDir;
use crate::transport::enroll::Existing;
use crate::watch::Watch;
use crate::{
    check, config, daemon, leavable, object_store, observe, observer, posture, report, resident,
    status, transport,
};

/// Exit code for a wrong command line or configuration (`EX_USAGE` of sysexits.h).
pub const USAGE: u8 = 64;
/// Exit code when what was asked for could not be done.
const FAILED: u8 = 1;
/// Exit code for a bug (`EX_SOFTWARE` of sysexits.h).
pub const BUG: u8 = 70;

/// Proves that what an Elasticsearch or OpenSearch node lets rest on disk is encrypted.
#[derive(Debug, Parser)]
#[command(name = "atrest-agent", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Global {
    /// The configuration [default: /etc/atrest/agent.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Look at the host whose root is DIR: a recording, a mounted image, or this host seen from a container
    #[arg(long, global = true, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the whole posture of this host; needs no server
    ///
    /// Exit code: 0 all pass, 1 something fails, 3 nothing fails but something is unknown.
    Scan {
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Print the verdict for paths or devices, with the stack as proof
    ///
    /// Exit code: 0 all pass, 1 something fails, 3 nothing fails but something is unknown.
    Check {
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
        /// See the paths with the eyes of this process: its mounts and its root
        #[arg(long, value_name = "PID")]
        pid: Option<i32>,
        /// Let findings on key hygiene decide the exit code too
        #[arg(long)]
        strict: bool,
        #[arg(required = true, value_name = "PATH|DEVICE")]
        paths: Vec<PathBuf>,
    },
    /// Run as the daemon: scan, watch, report to the server
    ///
    /// SIGHUP scans now; SIGTERM and SIGINT stop, and what is not sent stays in the spool.
    Run {
        /// Let another process look, `atrest-agent observe`, which listens on SOCKET; this one gives up what it does not
        /// need to talk. Without it, one process does both, with all that looking takes
        #[arg(long, value_name = "SOCKET")]
        observer: Option<PathBuf>,
    },
    /// Look and watch for a daemon that runs without the right to, over a socket; has no network itself
    Observe {
        /// Where to listen. The directory has to be there
        #[arg(long, value_name = "SOCKET", default_value = observer::SOCKET)]
        socket: PathBuf,
        /// The account that may ask; no other one may
        #[arg(long, value_name = "ACCOUNT", default_value = "atrest-agent")]
        user: String,
    },
    /// Enrol this host with the string that `atrestctl token create` printed
    Enroll {
        token: String,
        /// Enrol anew, with a new key, although this host has a valid certificate
        #[arg(long)]
        force: bool,
    },
    /// Say whether this host is enrolled, when the server was last reached, and what waits to be sent
    Status {
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// List the catalogue of checks
    Checks {
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Explain one check: what it means, how it decides, what to do
    Explain { check: String },
    /// Write a redacted recording of all raw facts, for support and for `--root`
    Record {
        /// A directory that does not exist yet, or is empty
        directory: PathBuf,
    },
    /// Check the configuration and report every mistake at once
    Validate,
}

/// Runs the command line; returns the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { USAGE } else { 0 };
            // Nowhere to say it when the terminal is gone.
            drop(error.print());
            return code;
        }
    };
    // Of the terminal only this process knows.
    let style = style();
    let work = || {
        dispatch(&cli, style).unwrap_or_else(|error| {
            say(&format!("atrest-agent: {error:#}"));
            USAGE
        })
    };
    if cli.command.looks() { leavable::run(work, BUG, USAGE) } else { work() }
}

impl Command {
    /// Whether it looks at disks, where a look may hang for good.
    fn looks(&self) -> bool {
        match self {
            Self::Scan { .. } | Self::Check { .. } | Self::Record { .. } => true,
            Self::Run { .. }
            | Self::Observe { .. }
            | Self::Enroll { .. }
            | Self::Status { .. }
            | Self::Checks { .. }
            | Self::Explain { .. }
            | Self::Validate => false,
        }
    }
}

fn dispatch(cli: &Cli, style: Style) -> anyhow::Result<u8> {
    match &cli.command {
        Command::Scan { format } => scan(cli, *format, style),
        Command::Check { format, pid, strict, paths } => {
            let question = Question { pid: *pid, strict: *strict, paths };
            check_paths(cli, *format, style, &question)
        }
        Command::Run { observer } => run_daemon(cli, observer.as_deref()),
        Command::Observe { socket, user } => observe_for(cli, socket, user),
        Command::Enroll { token, force } => enroll(cli, token, *force),
        Command::Status { format } => status(cli, *format),
        Command::Checks { format } => answer(&checks(*format), 0),
        Command::Explain { check } => explain(check),
        Command::Record { directory } => record(cli, directory),
        Command::Validate => {
            config::load(cli.global.config.as_deref())?;
            let path = cli.global.config.as_deref().unwrap_or(Path::new(config::DEFAULT_PATH));
            answer(&format!("{}: no mistakes\n", path.display()), 0)
        }
    }
}

/// A root that has its own live proc is the running machine, whatever it is called; any other is a recording.
fn open_host(root: &Path) -> anyhow::Result<Box<dyn Host>> {
    anyhow::ensure!(root.is_dir(), "--root {}: no such directory", root.display());
    let proc = nix::sys::statfs::statfs(&root.join("proc"));
    let live =
        proc.is_ok_and(|found| found.filesystem_type() == nix::sys::statfs::PROC_SUPER_MAGIC);
    Ok(if root == Path::new("/") || live {
        Box::new(LiveHost::new(root))
    } else {
        Box::new(RecordedHost::new(root))
    })
}

/// The clock is read here and in the daemon, nowhere else.
#[expect(clippy::disallowed_methods, reason = "the shell reads the clock")]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

fn scan(cli: &Cli, format: Format, style: Style) -> anyhow::Result<u8> {
    let config = config::load(cli.global.config.as_deref())?;
    let host = open_host(&cli.global.root)?;
    let declared = config.declared.clone();
    let mut observer = Local::new(host, move || declared.clone(), None, now);
    let (mut seen, _, warnings) = resident::see(&mut observer, &config.node_api, None)?;
    for warning in warnings {
        say(&format!("atrest-agent: {warning}"));
    }
    drop(observer);
    let memory = &mut object_store::Memory::default();
    // Who asks is told everything: nothing is left to others.
    let alone = &Duties::default();
    resident::ask_others(&mut seen, &config, memory, alone, now());
    let posture = posture::evaluate(&seen.snapshot, &config.policy);
    // A large host's observations and its answer need not be in memory together.
    drop(seen);
    let text = match format {
        Format::Json => report::scan_json(&posture),
        Format::Text => report::scan_text(&posture, style),
    };
    answer(&text, report::scan_exit(&posture).code())
}

/// What `check` is asked.
struct Question<'a> {
    pid: Option<i32>,
    strict: bool,
    paths: &'a [PathBuf],
}

fn check_paths(
    cli: &Cli,
    format: Format,
    style: Style,
    question: &Question<'_>,
) -> anyhow::Result<u8> {
    let Question { pid, strict, paths } = *question;
    let config = config::load(cli.global.config.as_deref())?;
    let host = open_host(&cli.global.root)?;
    if let Some(pid) = pid {
        let process = HostPath::from(format!("/proc/{pid}"));
        anyhow::ensure!(
            host.metadata(&Namespace::Host, &process, true).is_ok(),
            "--pid {pid}: there is no such process"
        );
    }
    let namespace = pid.map_or(Namespace::Host, Namespace::Process);
    let mut discovery = Discovery { only_paths: true, ..Discovery::default() };
    for path in paths {
        // A relative path is meant from here; the core knows no current directory.
        let path = if path.is_relative() && host.sees_own_root() {
            std::env::current_dir()?.join(path)
        } else {
            Path::new("/").join(path)
        };
        discovery.places.push(Place {
            path: HostPath::from(path),
            usage: Use::Declared,
            service: pid.map(|pid| format!("pid-{pid}")),
            namespace: namespace.clone(),
        });
    }
    let snapshot = observe::observe(&*host, discovery, now());
    drop(host);
    let mut posture = posture::evaluate(&snapshot, &config.policy);
    let order: Vec<String> = snapshot.targets.iter().map(crate::volume::asset).collect();
    // A large host's observations and its answer need not be in memory together.
    drop(snapshot);
    // The answer is about what was asked: not the swap areas that were looked at on the way.
    posture.paths.retain(|path| order.contains(&path.asset));
    let text = match format {
        Format::Json => report::check_json(&posture, &order),
        Format::Text => report::check_text(&posture, style),
    };
    answer(&text, report::check_exit(&posture, strict).code())
}

/// Logs go to stderr: as text for people, filtered by `RUST_LOG`.
fn start_logging() {
    use std::io::IsTerminal as _;
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

fn run_daemon(cli: &Cli, socket: Option<&Path>) -> anyhow::Result<u8> {
    let config = config::load(cli.global.config.as_deref())?;
    let host = open_host(&cli.global.root)?;
    start_logging();
    let mut options =
        daemon::Options::new(StateDir::new(&config.state_dir), identity::observe(&*host));
    options.spool.bytes = config.spool_limit;
    if config.policy != Policy::default() {
        "from the configuration".clone_into(&mut options.policy);
    }
    options.timing.scan_interval = config.scan_interval;
    let observer: Box<dyn observer::Observer> = if let Some(socket) = socket {
        confine_talker(cli, &config, socket)?;
        let address = client::Address::new(socket);
        options.watch = Some(Watcher::Observer(address.clone()));
        Box::new(Remote::new(address))
    } else {
        tracing::info!(
            "one process looks and talks: with --observer, two do, each with less rights"
        );
        // A recording does not change.
        let watch = host.is_live().then(|| Watch::new(&cli.global.root, now));
        options.watch = watch.clone().map(Watcher::from);
        let declared = config.declared.clone();
        Box::new(Local::new(host, move || declared.clone(), watch, now))
    };
    let scan = resident::scan(observer, config, &options);
    match daemon::main(options, scan) {
        Ok(()) => Ok(0),
        Err(error) => {
            let bug = matches!(error, daemon::DaemonError::ScannerLost);
            say(&format!("atrest-agent: {:#}", anyhow::Error::new(error)));
            Ok(if bug { BUG } else { FAILED })
        }
    }
}

/// Gives up all that talking does not take.
fn confine_talker(cli: &Cli, config: &config::Config, socket: &Path) -> anyhow::Result<()> {
    let files = transport::files::ensure_private_dir(&config.state_dir);
    files.with_context(|| format!("{} cannot be used", config.state_dir.display()))?;
    let allowed = Allowed::of(config, cli.global.config.as_deref(), socket);
    match confine::talker(&allowed)? {
        Reach::Named => {}
        Reach::Older => tracing::info!("this kernel can forbid only some kinds of access to files"),
        Reach::Everything => {
            tracing::warn!(
                "this kernel has no Landlock: what files can be opened is up to the service manager"
            );
        }
    }
    Ok(())
}

/// The process that looks for others. Its own mounts and its own network, which its unit gives it, are not what it looks at.
fn observe_for(cli: &Cli, socket: &Path, user: &str) -> anyhow::Result<u8> {
    let config = config::load(cli.global.config.as_deref())?;
    let machine = LiveHost::of_this_machine();
    let (root, host): (&Path, Box<dyn Host>) = if cli.global.root == Path::new("/") {
        (machine.root(), Box::new(machine.clone()))
    } else {
        (&cli.global.root, open_host(&cli.global.root)?)
    };
    start_logging();
    let account = User::from_name(user).with_context(|| format!("account {user}"))?;
    let account = account.with_context(|| format!("--user {user}: there is no such account"))?;
    let listener = serve::listen(socket)?;
    confine::looker()?;
    tracing::info!(root = %root.display(), user, socket = %socket.display(), "looking for the daemon");
    let watch = host.is_live().then(|| Watch::new(root, now));
    let service = serve::Service {
        local: Local::new(host, reread(cli, config.declared), watch.clone(), now),
        watch,
        users: BTreeSet::from([account.uid.as_raw()]),
    };
    match serve::serve(service, listener) {
        Ok(()) => Ok(0),
        Err(error) => {
            say(&format!("atrest-agent: {:#}", anyhow::Error::new(error)));
            Ok(FAILED)
        }
    }
}

/// What the configuration names, read anew for each look: whoever changes it starts the daemon anew, and need not know that
/// there is another process. A configuration that cannot be used any more does not count.
fn reread(cli: &Cli, mut known: Declared) -> impl FnMut() -> Declared + Send + 'static {
    let path = cli.global.config.clone();
    move || {
        match config::load(path.as_deref()) {
            Ok(config) => known = config.declared,
            Err(error) => tracing::warn!(error = %error, "the configuration is not read anew"),
        }
        known.clone()
    }
}

fn enroll(cli: &Cli, token: &str, force: bool) -> anyhow::Result<u8> {
    let config = config::load(cli.global.config.as_deref())?;
    let host = identity::observe(&*open_host(&cli.global.root)?);
    let state = StateDir::new(&config.state_dir);
    transport::files::become_owner_of(&config.state_dir)
        .with_context(|| format!("becoming the owner of {}", config.state_dir.display()))?;
    let existing = if force { Existing::Replace } else { Existing::Keep };
    let enrolled = daemon::runtime()?.block_on(transport::enroll::enroll(
        &state,
        token,
        host,
        existing,
        now(),
    ));
    match enrolled {
        Ok(enrolled) => answer(&format!("{}\n", enrolled.describe(now())), 0),
        Err(error) => {
            let remedy = error.remedy();
            let text = format!("{:#}", anyhow::Error::new(error));
            say(&format!("atrest-agent: {text}"));
            if !remedy.is_empty() {
                say(&format!("  -> {remedy}"));
            }
            Ok(FAILED)
        }
    }
}

fn status(cli: &Cli, format: Format) -> anyhow::Result<u8> {
    let config = config::load(cli.global.config.as_deref())?;
    transport::files::become_owner_of(&config.state_dir)
        .with_context(|| format!("becoming the owner of {}", config.state_dir.display()))?;
    let facts = status::gather(&StateDir::new(&config.state_dir))?;
    let text = match format {
        Format::Json => status::json(&facts, now()),
        Format::Text => status::text(&facts, now()),
    };
    answer(&text, 0)
}

fn record(cli: &Cli, directory: &Path) -> anyhow::Result<u8> {
    let config = config::load(cli.global.config.as_deref())?;
    let host = open_host(&cli.global.root)?;
    let written = crate::host::record::record(&*host, &config.declared, directory)?;
    answer(&format!("{}: {written} files\n", directory.display()), 0)
}

fn checks(format: Format) -> String {
    match format {
        Format::Text => {
            let width = check::ALL.iter().map(|check| check.id.len()).max().unwrap_or_default();
            let line = |check: &&check::Check| {
                format!("{:<width$}  {:<8}  {}\n", check.id, check.severity, check.title)
            };
            check::ALL.iter().map(line).collect()
        }
        Format::Json => {
            let list: Vec<_> = check::ALL
                .iter()
                .map(|check| {
                    serde_json::json!({
                        "id": check.id, "title": check.title, "why": check.why, "decides": check.decides,
                        "severity": check.severity, "remedy": check.remedy, "supports": check.controls,
                    })
                })
                .collect();
            let catalogue = serde_json::json!({
                "schema": "atrest.checks/1", "catalogue_version": check::CATALOGUE_VERSION, "checks": list,
            });
            format!("{catalogue:#}\n")
        }
    }
}

fn explain(id: &str) -> anyhow::Result<u8> {
    let Some(check) = check::find(id) else {
        anyhow::bail!("there is no check `{id}`: `atrest-agent checks` lists them");
    };
    let controls: Vec<String> = check
        .controls
        .iter()
        .map(|control| format!("{} {}", control.framework, control.id))
        .collect();
    let paragraph = |title: &str, text: &str| {
        let options = textwrap::Options::new(80).initial_indent("  ").subsequent_indent("  ");
        format!("\n{title}\n{}\n", textwrap::fill(text, options))
    };
    let mut text =
        format!("{}: {}\nseverity of a failure: {}\n", check.id, check.title, check.severity);
    text.push_str(&paragraph("Why it matters", check.why));
    text.push_str(&paragraph("How it decides", check.decides));
    text.push_str(&paragraph("What to do", check.remedy));
    text.push_str(&paragraph("Supports (does not by itself satisfy)", &controls.join(", ")));
    answer(&text, 0)
}

fn style() -> Style {
    use std::io::IsTerminal as _;
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if wanted && std::io::stdout().is_terminal() { Style::Colour } else { Style::Plain }
}

/// Writes the answer to stdout. A reader that went away, as `head` does, is no error.
fn answer(text: &str, code: u8) -> anyhow::Result<u8> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(code),
        Err(error) => Err(anyhow::Error::new(error).context("the answer could not be written")),
        Ok(()) => Ok(code),
    }
}

fn say(text: &str) {
    // Nowhere to say it when stderr is gone.
    drop(writeln!(std::io::stderr(), "{text}"));
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
\fBscan\fR and \fBcheck\fR answer for what they found:
.TP
0
all pass
.TP
1
something fails; of other commands: what was asked for could not be done
.TP
3
nothing fails, something is unknown
.TP
64
wrong usage or configuration
.TP
70
a bug
.SH FILES
.TP
/etc/atrest/agent.toml
the configuration, see \fBagent.toml\fR(5)
.TP
/var/lib/atrest\-agent
the identity of this host, reports that the server has not acknowledged, the status
.TP
/run/atrest/observer.sock
where \fBobserve\fR answers \fBrun \-\-observer\fR, and nobody else
.SH ENVIRONMENT
.TP
RUST_LOG
what \fBrun\fR logs: a level, or directives by module
.TP
NO_COLOR
no colours, if not empty
.SH SEE ALSO
\fBagent.toml\fR(5), \fBatrestctl\fR(1), \fBatrest\-server\fR(8), \fBcryptsetup\fR(8)
";

    #[test]
    fn the_manual_and_the_completions_are_those_of_this_command_line() {
        manual::hold(&Cli::command(), &manual::Page { section: "8", more: MORE });
    }
}
