//! The half that looks as a process of its own: what it tells, whom, and what happens when it is away.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use atrest_agent::config::Config;
use atrest_agent::daemon::{self, Command};
use atrest_agent::node_api::Talk;
use atrest_agent::observer::client::Address;
use atrest_agent::observer::wire::{self, Request, Response};
use atrest_agent::observer::{Lost, Observer as _, Remote, Seen, Watcher};
use atrest_agent::resident;
use atrest_agent::snapshot::{Observed, Resolved, Target};
use atrest_agent::transport::StateDir;
use atrest_agent::transport::enroll::{Existing, enroll};
use atrest_proto::model::{Host, Reason};
use atrest_proto::v1;
use atrest_server::serve;
use atrest_tests::vm::built;
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::together::{DEADLINE, Operator, server_config};

/// A host on one disk that is not encrypted, recorded.
fn record(root: &Path) -> anyhow::Result<()> {
    const FILES: &[(&str, &str)] = &[
        ("proc/sys/kernel/hostname", "node-1\n"),
        ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
        ("proc/self/mountinfo", "1 0 8:16 / / rw - ext4 /dev/sdb rw\n"),
        ("proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
        ("sys/devices/pci0/block/sdb/dev", "8:16\n"),
        ("sys/devices/pci0/block/sdb/uevent", "MAJOR=8\nMINOR=16\nDEVNAME=sdb\nDEVTYPE=disk\n"),
        ("sys/devices/pci0/block/sdb/size", "2048\n"),
        ("srv/es/data", ""),
    ];
    for (name, text) in FILES {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().context("a parent")?)?;
        std::fs::write(path, text)?;
    }
    std::fs::create_dir_all(root.join("sys/dev/block"))?;
    let device = root.join("sys/dev/block/8:16");
    std::os::unix::fs::symlink("../../devices/pci0/block/sdb", device)?;
    Ok(())
}

/// The process that looks, at a recording, for one account.
struct Looker {
    child: Child,
    socket: PathBuf,
}

impl Looker {
    fn start(directory: &Path, account: &str) -> anyhow::Result<Self> {
        let socket = directory.join("observer.sock");
        let log = std::fs::File::options().create(true).append(true).open(directory.join("log"))?;
        let program = built("atrest-agent").context("cargo build -p atrest-agent")?;
        let child = std::process::Command::new(program)
            .arg("--config")
            .arg(directory.join("agent.toml"))
            .arg("--root")
            .arg(directory.join("host"))
            .args(["observe", "--user", account, "--socket"])
            .arg(&socket)
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()?;
        let looker = Self { child, socket };
        let deadline = Instant::now() + DEADLINE;
        while UnixStream::connect(&looker.socket).is_err() {
            ensure!(Instant::now() < deadline, "it does not listen");
            std::thread::yield_now();
        }
        Ok(looker)
    }

    fn remote(&self) -> Remote {
        Remote::new(Address::new(&self.socket))
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }
}

impl Drop for Looker {
    fn drop(&mut self) {
        drop(self.kill());
    }
}

/// A directory with a configuration and a recording, and the account that runs this.
fn scene() -> anyhow::Result<(TempDir, String)> {
    let directory = tempfile::tempdir()?;
    record(&directory.path().join("host"))?;
    let state = directory.path().join("state");
    let config = format!("state_dir = \"{}\"\npaths = [\"/srv/es\"]\n", state.display());
    std::fs::write(directory.path().join("agent.toml"), config)?;
    let own = nix::unistd::User::from_uid(nix::unistd::geteuid())?.context("an account")?;
    Ok((directory, own.name))
}

#[test]
fn what_it_tells_is_what_a_scan_by_hand_sees() -> anyhow::Result<()> {
    let (directory, own) = scene()?;
    let looker = Looker::start(directory.path(), &own)?;
    let mut remote = looker.remote();
    ensure!(remote.begin()?.is_empty());
    let seen = remote.look(Talk::Nobody)?;
    let told = atrest_agent::posture::evaluate(&seen.snapshot, &Config::default().policy);
    let program = built("atrest-agent").context("cargo build -p atrest-agent")?;
    let output = std::process::Command::new(program)
        .arg("--config")
        .arg(directory.path().join("agent.toml"))
        .arg("--root")
        .arg(directory.path().join("host"))
        .args(["scan", "--format", "json"])
        .output()?;
    let mut scanned: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let mut told: serde_json::Value =
        serde_json::from_str(&atrest_agent::report::scan_json(&told))?;
    for answer in [&mut scanned, &mut told] {
        let at = answer.as_object_mut().context("an object")?.remove("observed_at");
        ensure!(at.is_some(), "{answer}");
    }
    ensure!(scanned == told, "{scanned:#}\n{told:#}");
    ensure!(told.to_string().contains("/srv/es"), "{told}");
    // A configuration that is changed counts for the next look.
    let config = directory.path().join("agent.toml");
    let text = std::fs::read_to_string(&config)?.replace("/srv/es", "/srv");
    std::fs::write(config, text)?;
    remote.begin()?;
    let seen = remote.look(Talk::Nobody)?;
    let [target] = seen.snapshot.targets.as_slice() else { bail!("{:?}", seen.snapshot.targets) };
    ensure!(target.path == "/srv".into(), "{target:?}");
    Ok(())
}

/// What comes back to these bytes, until it is closed; at most so much.
fn said_to(socket: &Path, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    // It may be closed before all is written.
    drop(stream.write_all(bytes));
    drop(stream.shutdown(std::net::Shutdown::Write));
    let mut answer = Vec::new();
    match stream.take(1 << 20).read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => return Err(error.into()),
    }
    Ok(answer)
}

fn framed(text: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = u32::try_from(text.len())?.to_be_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    Ok(bytes)
}

#[test]
fn whatever_is_said_to_it_it_answers_the_next_one() -> anyhow::Result<()> {
    let (directory, own) = scene()?;
    let mut looker = Looker::start(directory.path(), &own)?;
    let mut hello = Vec::new();
    let known = Request::Hello { version: wire::VERSION.to_owned() };
    wire::write(&mut hello, &known, wire::LARGEST_REQUEST)?;
    let after_hello = |text: &str| anyhow::Ok([hello.clone(), framed(text)?].concat());
    let attempts = [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 100_000],
        vec![0; 4],
        // Announced and never sent.
        [&u32::MAX.to_be_bytes()[..], b"x"].concat(),
        [&(1_u32 << 20).to_be_bytes()[..], b"{"].concat(),
        framed("\"Begin\"")?,
        framed(r#"{"Hello":{"version":"999"}}"#)?,
        [hello.clone(), hello.clone()].concat(),
        [hello.clone(), vec![0xff; 1000]].concat(),
        after_hello(r#"{"Read":{"path":"/etc/shadow"}}"#)?,
        after_hello(r#"{"Look":{"talk":"Nobody","root":"/"}}"#)?,
        after_hello(r#"{"Exec":["/bin/sh"]}"#)?,
        after_hello(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)))?,
    ];
    for attempt in &attempts {
        let start: String = attempt.iter().take(60).map(|byte| char::from(*byte)).collect();
        let answer = said_to(&looker.socket, attempt)?;
        if !answer.is_empty() {
            let read = wire::read::<Response>(&mut answer.as_slice(), wire::LARGEST_RESPONSE)?;
            ensure!(matches!(read, Response::Refused(_)), "{start}: {read:?}");
        }
        ensure!(looker.is_running()?, "{start}");
        let mut remote = looker.remote();
        remote.begin().with_context(|| start.clone())?;
    }
    // A socket that is no node's is none, whatever the process.
    let listener = serde_json::from_str(r#"{"address":"127.0.0.1:22","inode":1,"descriptor":3}"#)?;
    let mut remote = looker.remote();
    remote.begin()?;
    ensure!(remote.holds(1, listener).is_err());
    Ok(())
}

#[test]
fn connections_that_say_nothing_leave_room_for_its_other_half() -> anyhow::Result<()> {
    let (directory, own) = scene()?;
    let looker = Looker::start(directory.path(), &own)?;
    let idle: Vec<UnixStream> =
        (0..50).map(|_| UnixStream::connect(&looker.socket)).collect::<Result<_, _>>()?;
    // Those that are too many are told so, and the process goes on.
    let refused = looker.remote().begin();
    ensure!(matches!(refused, Err(Lost::Refused(_) | Lost::Connection { .. })), "{refused:?}");
    drop(idle);
    let deadline = Instant::now() + DEADLINE;
    while looker.remote().begin().is_err() {
        ensure!(Instant::now() < deadline, "it answers nobody any more");
        std::thread::yield_now();
    }
    Ok(())
}

#[test]
fn another_account_is_turned_away() -> anyhow::Result<()> {
    let (directory, own) = scene()?;
    let other = ["nobody", "daemon"].into_iter().find(|name| *name != own).context("an account")?;
    let looker = Looker::start(directory.path(), other)?;
    let refused = looker.remote().begin();
    ensure!(matches!(&refused, Err(Lost::Refused(why)) if why.contains("account")), "{refused:?}");
    let mut hello = Vec::new();
    wire::write(
        &mut hello,
        &Request::Hello { version: wire::VERSION.to_owned() },
        wire::LARGEST_REQUEST,
    )?;
    let answer = said_to(&looker.socket, &[hello, framed("\"Begin\"")?].concat())?;
    let read = wire::read::<Response>(&mut answer.as_slice(), wire::LARGEST_RESPONSE);
    ensure!(matches!(read, Ok(Response::Refused(_))), "{read:?}");
    Ok(())
}

#[test]
fn an_account_that_is_not_there_is_a_mistake_and_a_stale_socket_none() -> anyhow::Result<()> {
    let (directory, own) = scene()?;
    let mut looker = Looker::start(directory.path(), &own)?;
    looker.kill()?;
    ensure!(looker.socket.exists(), "nobody was there to take it away");
    let looker = Looker::start(directory.path(), &own)?;
    looker.remote().begin()?;
    let program = built("atrest-agent").context("cargo build -p atrest-agent")?;
    let output = std::process::Command::new(program)
        .args(["observe", "--user", "no such account", "--socket"])
        .arg(directory.path().join("other.sock"))
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(64) && said.contains("no such account"), "{said}");
    Ok(())
}

fn is(state: v1::NodeState) -> impl Fn(&v1::Node) -> bool {
    move |node| node.state() == state
}

/// An agent in this process, whose half that looks is another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_nobody_looks_nothing_passes_and_what_comes_back_is_believed() -> anyhow::Result<()> {
    let (directory, own) = scene()?;
    // In memory: it passes as it is.
    let mounts = directory.path().join("host/proc/self/mountinfo");
    std::fs::write(&mounts, "1 0 0:30 / / rw - tmpfs none rw\n")?;
    let server = serve::start(server_config(&directory.path().join("server"), 0)?).await?;
    let operator = Operator::of(&server).await?;
    let state = StateDir::new(directory.path().join("state"));
    let host = Host {
        hostname: "node-1".to_owned(),
        machine_fingerprint: "aa".repeat(16),
        ..Host::default()
    };
    enroll(&state, &operator.token().await?, host.clone(), Existing::Keep, Timestamp::now())
        .await?;
    let mut looker = Looker::start(directory.path(), &own)?;
    let address = Address::new(&looker.socket);
    let mut options = daemon::Options::new(state, host);
    options.timing.reconnect.first = Duration::from_millis(20);
    options.timing.reconnect.most = Duration::from_millis(100);
    options.timing.watch_again = options.timing.reconnect;
    options.timing.unseen = Duration::ZERO;
    options.watch = Some(Watcher::Observer(address.clone()));
    let scan = resident::scan(Box::new(Remote::new(address)), Config::default(), &options);
    let (commands, told) = mpsc::channel(8);
    let ended = tokio::spawn(daemon::run(options, scan, told));
    operator.until(is(v1::NodeState::Encrypted)).await?;
    // It is gone, and what it saw counts no more.
    looker.kill()?;
    operator.until(is(v1::NodeState::Unknown)).await?;
    // Another one is there, of its own accord it is asked, and what it sees counts at once.
    std::fs::write(&mounts, "1 0 8:16 / / rw - ext4 /dev/sdb rw\n")?;
    let looker = Looker::start(directory.path(), &own)?;
    operator.until(is(v1::NodeState::Unencrypted)).await?;
    commands.send(Command::Stop).await.context("the daemon ended")?;
    tokio::time::timeout(DEADLINE, ended).await???;
    drop(looker);
    server.shutdown().await;
    Ok(())
}

/// Both halves as they are started by their units, with an identity that was made by hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_report_to_a_server() -> anyhow::Result<()> {
    let (directory, own) = scene()?;
    let server = serve::start(server_config(&directory.path().join("server"), 0)?).await?;
    let operator = Operator::of(&server).await?;
    let looker = Looker::start(directory.path(), &own)?;
    let program = built("atrest-agent").context("cargo build -p atrest-agent")?;
    let agent = |arguments: &[&str]| {
        let mut command = tokio::process::Command::new(&program);
        command.arg("--config").arg(directory.path().join("agent.toml")).arg("--root");
        command.arg(directory.path().join("host")).args(arguments).kill_on_drop(true);
        command
    };
    let enrolled = agent(&["enroll", &operator.token().await?]).output().await?;
    ensure!(enrolled.status.success(), "{}", String::from_utf8_lossy(&enrolled.stderr));
    let socket = looker.socket.to_str().context("a path")?;
    let mut talker = agent(&["run", "--observer", socket]).stderr(Stdio::piped()).spawn()?;
    operator.until(is(v1::NodeState::Unencrypted)).await?;
    // It gave up what it does not need (proc_pid_status(5)).
    let pid = talker.id().context("it runs")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    for line in ["CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"] {
        ensure!(status.contains(line), "{status}");
    }
    ensure!(status.contains("Seccomp:\t2"), "{status}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", looker.child.id()))?;
    ensure!(status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"), "{status}");
    talker.kill().await?;
    server.shutdown().await;
    Ok(())
}

/// A first process that sees its own mounts, beside it one that looks with others and with capabilities of its own, as its
/// unit has it, and one that looks as `scan` by hand does; both are listened to at sockets of their own.
const NAMESPACES: &str = r#"
set -u
unshare --mount --net sh -c '
    mount -t tmpfs none "$0/hidden" || exit
    exec setpriv --reuid nobody --regid nogroup --clear-groups --bounding-set "-all,$2" --inh-caps "-all,$2" --ambient-caps "-all,$2" \
        "$1" --config "$0/agent.toml" observe --user root --socket "$0/run/own.sock"
' "$1" "$2" "$3" &
"$2" --config "$1/agent.toml" observe --user root --socket "$1/run/hand.sock" &
# It ends with its standard input, and all others with it.
read -r _
"#;

/// The capabilities that the unit gives, as `setpriv(1)` has them.
const GIVEN: [&str; 3] = ["+sys_admin", "+dac_read_search", "+sys_ptrace"];

/// What is looked at in namespaces: a directory that only root may enter, and one that another file system hides from who
/// looks, but not from the host.
struct Namespaces {
    directory: TempDir,
    program: PathBuf,
}

impl Namespaces {
    fn new() -> anyhow::Result<Option<Self>> {
        if !nix::unistd::geteuid().is_root() {
            return Ok(None);
        }
        let directory = tempfile::Builder::new().prefix("atrest").tempdir_in("/var/tmp")?;
        let path = |name: &str| directory.path().join(name);
        let mode = |name: &str, mode| {
            std::fs::set_permissions(path(name), std::fs::Permissions::from_mode(mode))
        };
        for name in ["run", "hidden", "closed", "closed/data"] {
            std::fs::create_dir(path(name))?;
        }
        mode("", 0o755)?;
        mode("closed", 0o700)?;
        mode("run", 0o777)?;
        let at = directory.path().display();
        let paths = format!("[\"{at}/hidden\", \"{at}/closed/data\", \"/\"]");
        let config = format!("state_dir = \"{at}/state\"\npaths = {paths}\n");
        std::fs::write(path("agent.toml"), config)?;
        let program = path("atrest-agent");
        std::fs::copy(built("atrest-agent").context("cargo build -p atrest-agent")?, &program)?;
        Ok(Some(Self { directory, program }))
    }

    /// What both see, the one with these capabilities first.
    fn seen(&self, capabilities: &[&str]) -> anyhow::Result<(Seen, Seen)> {
        let mut child = std::process::Command::new("unshare")
            .args(["--pid", "--mount", "--fork", "--mount-proc", "sh", "-c", NAMESPACES, "sh"])
            .arg(self.directory.path())
            .arg(&self.program)
            .arg(capabilities.join(","))
            .stdin(Stdio::piped())
            .spawn()
            .context("unshare, of util-linux")?;
        let seen = |name: &str| {
            let deadline = Instant::now() + DEADLINE;
            let socket = self.directory.path().join(format!("run/{name}.sock"));
            loop {
                let mut remote = Remote::new(Address::new(&socket));
                if remote.begin().is_ok() {
                    // Asked twice: the first look is what the second one watches.
                    remote.look(Talk::Nobody)?;
                    remote.begin()?;
                    return anyhow::Ok(remote.look(Talk::Nobody)?);
                }
                ensure!(Instant::now() < deadline, "{name} does not listen");
                std::thread::yield_now();
            }
        };
        let both = seen("own").and_then(|own| Ok((own, seen("hand")?)));
        drop(child.stdin.take());
        child.wait()?;
        both
    }
}

/// What came of looking at the target of this name.
fn resolution<'a>(seen: &'a Seen, name: &str) -> anyhow::Result<&'a Observed<Resolved>> {
    let is_it = |target: &&Target| target.path.to_string().ends_with(name);
    let found = seen.snapshot.targets.iter().find(is_it);
    Ok(&found.with_context(|| format!("{:?}", seen.snapshot.targets))?.resolution)
}

#[test]
fn with_mounts_of_its_own_it_sees_those_of_the_host() -> anyhow::Result<()> {
    let Some(namespaces) = Namespaces::new()? else {
        println!("skipped: wants root, to have other namespaces");
        return Ok(());
    };
    let (mut own, hand) = namespaces.seen(&GIVEN)?;
    own.snapshot.observed_at = hand.snapshot.observed_at;
    ensure!(own == hand, "{own:#?}\n{hand:#?}");
    ensure!(own.asks_stores && own.snapshot.gaps.is_empty(), "{:?}", own.snapshot.gaps);
    Ok(())
}

/// For `CAP_SYS_ADMIN` there have to be devices of device-mapper: tests/install does that in a machine.
#[test]
fn without_a_capability_a_look_says_so() -> anyhow::Result<()> {
    let Some(namespaces) = Namespaces::new()? else {
        println!("skipped: wants root, to have other namespaces");
        return Ok(());
    };
    let without = |lacking: &str| -> anyhow::Result<Seen> {
        let given: Vec<&str> = GIVEN.into_iter().filter(|one| !one.ends_with(lacking)).collect();
        Ok(namespaces.seen(&given)?.0)
    };
    let is_denied = |seen: &Seen, name: &str| -> anyhow::Result<bool> {
        let trouble = resolution(seen, name)?.trouble();
        Ok(trouble.is_some_and(|trouble| trouble.reason == Reason::NoPermission))
    };
    let seen = without("dac_read_search")?;
    ensure!(is_denied(&seen, "closed/data")? && !is_denied(&seen, "/hidden")?);
    // Nothing of its own is taken for the host's.
    let seen = without("sys_ptrace")?;
    for name in ["closed/data", "/hidden"] {
        ensure!(is_denied(&seen, name)?, "{name}: {:?}", seen.snapshot.targets);
    }
    let (_, mounts) = seen.snapshot.mounts.first().context("a table")?;
    ensure!(mounts.known().is_none(), "{mounts:?}");
    Ok(())
}

/// Root enrols, and what it makes is the daemon's.
#[tokio::test]
async fn what_root_makes_by_hand_is_for_the_account_of_the_daemon() -> anyhow::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: wants root, to be another account");
        return Ok(());
    }
    let (directory, _) = scene()?;
    let nobody = nix::unistd::User::from_name("nobody")?.context("an account")?;
    let state = directory.path().join("state");
    std::fs::create_dir(&state)?;
    nix::unistd::chown(&state, Some(nobody.uid), Some(nobody.gid))?;
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o700))?;
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755))?;
    let server = serve::start(server_config(&directory.path().join("server"), 0)?).await?;
    let token = Operator::of(&server).await?.token().await?;
    let program = built("atrest-agent").context("cargo build -p atrest-agent")?;
    let config = directory.path().join("agent.toml");
    let agent = |arguments: &[&str]| {
        let mut command = tokio::process::Command::new(&program);
        command.arg("--config").arg(&config).args(arguments);
        command
    };
    let enrolled = agent(&["enroll", &token]).output().await?;
    ensure!(enrolled.status.success(), "{}", String::from_utf8_lossy(&enrolled.stderr));
    for entry in std::fs::read_dir(&state)? {
        let (entry, metadata) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
        ensure!(metadata.uid() == nobody.uid.as_raw(), "{}", entry.display());
        ensure!(metadata.mode() & 0o777 == 0o600, "{}", entry.display());
    }
    let status = agent(&["status"]).output().await?;
    ensure!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    server.shutdown().await;
    Ok(())
}
