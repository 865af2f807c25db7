//! `make demo-vm`: server, agent and a webhook receiver in a VM of its own, on a real kernel, with
//! encrypted, plain and mixed volumes. Shows what they say, and fails when it is not what is on the disks.
//!
//! `ATREST_DEMO_EXIT=1` leaves after the summary; otherwise a prompt takes shell commands for the VM.
#![expect(
    clippy::disallowed_methods,
    reason = "one process outlives this one, to clean up after it"
)]

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use atrest_tests::vm::scenario::Verdict;
use atrest_tests::vm::{self, Contents, Machine, Spec, Tier, answer};

/// The longest that one step in the VM may take. QEMU's own CPU is slow.
const LIMIT: Duration = Duration::from_mins(3);

/// The longest that a command at the prompt may take.
const PATIENCE: Duration = Duration::from_hours(24);

/// A path on the disks that `DISKS` makes, and what has to be said about it.
struct Expected {
    path: &'static str,
    verdict: Verdict,
    /// The devices that have to be named as plain: in the stack, in the finding, in the alert.
    plain: &'static [&'static str],
}

const EXPECTED: [Expected; 3] = [
    Expected { path: "/data/encrypted", verdict: Verdict::Encrypted, plain: &[] },
    Expected { path: "/data/plain", verdict: Verdict::Unencrypted, plain: &["/dev/vdb"] },
    Expected { path: "/data/mixed", verdict: Verdict::Partial, plain: &["/dev/vdc"] },
];

const DISKS: &str = r#". /lib/vm.sh
umask 077
mkdir -p /etc/atrest
echo 'passphrase of the demo' >/etc/atrest/vda.key

echo "vda: LUKS2 (the CPU is emulated: deriving the key takes a while)"
# The weakest that passes luks_kdf: cryptsetup would measure this CPU and choose less.
cryptsetup luksFormat -q --type luks2 --pbkdf argon2id --pbkdf-force-iterations 4 \
    --pbkdf-memory 65536 --pbkdf-parallel 1 --key-file /etc/atrest/vda.key /dev/vda
cryptsetup open --key-file /etc/atrest/vda.key /dev/vda crypt

echo "vda and vdc: a volume group, half of it encrypted"
# LVM warns that it keeps no backups here, each time.
quietly() { "$@" >/run/quiet 2>&1 || { cat /run/quiet; exit 1; }; }
quietly vgcreate vg /dev/mapper/crypt /dev/vdc
quietly lvcreate -y -n encrypted -L 32M vg /dev/mapper/crypt
quietly lvcreate -y -n mixed -L 64M -i 2 -I 64k vg

echo "file systems"
ext4 /dev/vg/encrypted /data/encrypted
ext4 /dev/vdb /data/plain
ext4 /dev/vg/mixed /data/mixed
for dir in /data/*; do
    yes 'customer 4711, card number 5500 0000 0000 0004' | head -c 262144 >"$dir/customers"
done
sync
"#;

const SERVICES: &str = r#"
log=/var/log/atrest
mkdir -p /etc/atrest $log
mkdir -p -m 700 /var/lib/atrest-server /var/lib/atrest-agent
echo 'hosts: files' >/etc/nsswitch.conf
echo 'PRETTY_NAME="demo VM"' >/etc/os-release

fail() {
    echo "$1"
    for file in $log/*.log; do
        echo "--- $file"
        tail -n 20 "$file"
    done
    exit 1
}

seconds() {
    read -r up idle </proc/uptime
    echo "${up%.*}"
}

# Waits until a command succeeds, as long as the process that it depends on lives, at most 60 seconds.
wait_for() {
    what=$1 pid=$2 until=$(($(seconds) + 60))
    shift 2
    until "$@" >/dev/null 2>&1; do
        kill -0 "$pid" 2>/dev/null || fail "$what ended"
        [ "$(seconds)" -lt "$until" ] || fail "$what was not ready within 60 seconds"
        usleep 200000
    done
}

umask 077
atrestctl webhook secret >/etc/atrest/webhook.secret
cat >/etc/atrest/server.toml <<TOML
[agents]
listen = "127.0.0.1:7443"
public_address = "127.0.0.1:7443"

[[notify.webhook]]
name = "demo"
url = "http://127.0.0.1:9099/"
secret_file = "/etc/atrest/webhook.secret"
TOML
cat >/etc/atrest/agent.toml <<TOML
# No Elasticsearch runs here: these paths stand in for its data.
paths = ["/data/encrypted", "/data/plain", "/data/mixed"]
TOML

echo "atrest-server and a webhook receiver"
atrestctl webhook listen --port 9099 --secret-file /etc/atrest/webhook.secret >$log/webhook.log 2>&1 &
receiver=$!
# This VM knows no authorities, and without any the server refuses to send even over http.
SSL_CERT_FILE=/var/lib/atrest-server/ca.pem atrest-server serve >$log/server.log 2>&1 &
server=$!
wait_for atrest-server $server atrestctl status

echo "atrest-agent"
token=$(atrestctl token create --cluster demo | head -n 1)
atrest-agent enroll "$token" >$log/enroll.log 2>&1 || fail "atrest-agent did not enrol"
atrest-agent run >$log/agent.log 2>&1 &
agent=$!
late=$(($(seconds) + 50))
# When too little comes, go on and show it: the host judges.
received() { [ "$(grep -c 'signature valid' $log/webhook.log)" -ge 2 ] || [ "$(seconds)" -ge $late ]; }
wait_for atrest-agent $agent received
kill -0 $receiver || fail "the webhook receiver ended"
"#;

/// What is shown, in this order: a heading, and a script whose output it is about.
const SECTIONS: [(&str, &str); 6] = [
    ("Three disks (lsblk)", "lsblk -o NAME,SIZE,TYPE,MOUNTPOINT /dev/vda /dev/vdb /dev/vdc"),
    ("This VM, as its agent sees it (atrest-agent scan)", "atrest-agent scan || true"),
    (
        "The fleet, as its server holds it (atrestctl status, nodes)",
        "atrestctl status\natrestctl nodes",
    ),
    ("What fails (atrestctl findings)", "atrestctl findings"),
    ("The alerts (atrestctl alerts)", "atrestctl alerts"),
    ("What the webhook received", "cat /var/log/atrest/webhook.log"),
];

const FURTHER: &str = "  atrestctl node vm
  atrest-agent check --format json /data/mixed
  atrest-agent explain volume_encrypted
  lsblk -s /dev/vg/mixed              # crypt is somewhere below: many tools stop looking here
  strings /dev/vdc | grep -m1 card    # and here is what rests there; nothing on /dev/vda
  tail -n 20 /var/log/atrest/*.log
";

fn main() -> ExitCode {
    match demo() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(io::stderr(), "demo-vm: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

fn demo() -> Result<()> {
    let progress = Progress(Instant::now());
    let contents = programs()?;
    progress.say("getting a kernel");
    let tier = Tier::prepare()??;
    let _cleaner = Cleaner::start(tier.scratch())?;
    let spec = Spec {
        kernel: tier.kernel().image.clone(),
        initramfs: tier.initramfs(tier.kernel(), &contents)?,
        memory_mib: 768,
        disks: 3,
        disk_mib: 128,
        limit: LIMIT,
    };
    progress.say(&format!("booting Linux {} in QEMU", tier.kernel().release));
    let mut machine = Machine::boot(&spec, tier.scratch())?;
    progress.script(&mut machine, DISKS).context("the disks could not be prepared")?;
    progress.script(&mut machine, SERVICES).context("the services did not come up")?;
    progress.say("ready");

    let mut shown = Vec::new();
    for (title, script) in SECTIONS {
        heading(title)?;
        shown.push(show(&mut machine, script).with_context(|| format!("no output for: {title}"))?);
    }
    let [_, scan, _, findings, alerts, received] = &shown[..] else {
        bail!("a section is missing")
    };
    let mut wrong = judge_check(&mut machine)?;
    wrong.extend(judge_scan(scan));
    wrong.extend(judge_listing("atrestctl findings", findings, "fail "));
    wrong.extend(judge_listing("atrestctl alerts", alerts, "firing "));
    wrong.extend(judge_listing("the webhook", received, "firing "));
    ensure!(wrong.is_empty(), "this is not what is on the disks:\n  {}", wrong.join("\n  "));

    let leaves = std::env::var_os("ATREST_DEMO_EXIT").is_some_and(|value| value == "1")
        || !io::stdin().is_terminal();
    if leaves {
        heading("To look further")?;
        say("Run `make demo-vm` in a terminal: the VM then stays and takes commands such as\n")?;
        return say(FURTHER);
    }
    heading("To look further, type commands for the shell of the VM, such as")?;
    say(FURTHER)?;
    say("\nRunning. exit, Ctrl-D or Ctrl-C stops the VM and removes its files.\n")?;
    prompt(&mut machine)
}

/// The programs that the demo is about, as they were built beside this one.
fn programs() -> Result<Contents> {
    let all = [
        ("atrest-agent", vm::agent()),
        ("atrest-server", vm::built("atrest-server")),
        ("atrestctl", vm::built("atrestctl")),
    ];
    let mut contents = Contents::new();
    for (name, path) in all {
        let path = path.with_context(|| format!("{name} is not built: run `make build`"))?;
        contents = contents.program(name, &path);
    }
    Ok(contents)
}

/// Tells a person on standard error what is going on, and since when.
struct Progress(Instant);

impl Progress {
    fn say(&self, what: &str) {
        writeln!(io::stderr(), "[{:5.1} s] {what}", self.0.elapsed().as_secs_f64()).ok();
    }

    /// Runs a script of which every line of output is progress.
    fn script(&self, machine: &mut Machine, script: &str) -> Result<()> {
        let mut line = Vec::new();
        let status = machine.stream(script, LIMIT, |bytes| {
            for byte in bytes {
                if *byte == b'\n' {
                    self.say(&String::from_utf8_lossy(&line));
                    line.clear();
                } else {
                    line.push(*byte);
                }
            }
        })?;
        ensure!(status == 0, "exit status {status}; the last lines above say more");
        Ok(())
    }
}

/// Removes the files of the VM however this process ends. QEMU ends with it already; files do not.
struct Cleaner(Child);

impl Cleaner {
    fn start(dir: &Path) -> Result<Self> {
        // It waits for the end of its input, which comes when this process is gone.
        let child = Command::new("sh")
            .args(["-c", r#"trap "" HUP INT TERM; read -r line; rm -rf -- "$1""#, "sh"])
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start sh")?;
        Ok(Self(child))
    }
}

impl Drop for Cleaner {
    fn drop(&mut self) {
        // Closes its input first. What it cannot remove, the next run of the harness does.
        self.0.wait().ok();
    }
}

fn say(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot print")
}

fn heading(title: &str) -> Result<()> {
    let (bold, plain) = if io::stdout().is_terminal() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    say(&format!("\n{bold}{title}{plain}\n"))
}

/// Runs a script in the VM, shows what it prints while it runs, and hands it back.
fn show(machine: &mut Machine, script: &str) -> Result<String> {
    let (status, text) = stream(machine, script, LIMIT)?;
    ensure!(status == 0, "exit status {status}");
    Ok(text)
}

fn stream(machine: &mut Machine, script: &str, limit: Duration) -> Result<(i32, String)> {
    let mut text = Vec::new();
    let mut printed = Ok(());
    let status = machine.stream(script, limit, |bytes| {
        let mut out = io::stdout().lock();
        if printed.is_ok() {
            printed = out.write_all(bytes).and_then(|()| out.flush());
        }
        text.extend_from_slice(bytes);
    })?;
    printed.context("cannot print")?;
    Ok((status, String::from_utf8_lossy(&text).into_owned()))
}

/// Asks `check` for the verdicts and the plain devices; returns what is wrong with its answer.
fn judge_check(machine: &mut Machine) -> Result<Vec<String>> {
    let paths = EXPECTED.map(|expected| expected.path).join(" ");
    let output = machine.run(&format!("exec atrest-agent check --format json {paths}"), LIMIT)?;
    let answers = answer::check(&output.stdout)
        .with_context(|| format!("atrest-agent check: {}", output.stderr.trim()))?;
    let mut wrong = Vec::new();
    for Expected { path, verdict, plain } in &EXPECTED {
        let Some(answer) = answers.iter().find(|answer| answer.path == *path) else {
            wrong.push(format!("atrest-agent check: no answer for {path}"));
            continue;
        };
        if answer.verdict != *verdict || !answer.plain().iter().eq(plain.iter()) {
            wrong.push(format!(
                "atrest-agent check: {path} is {verdict}, plain {plain:?}; it says {}, plain {:?}",
                answer.verdict,
                answer.plain()
            ));
        }
    }
    Ok(wrong)
}

/// Holds the text of `scan` to the verdicts: `PARTIAL declared /data/mixed`.
fn judge_scan(text: &str) -> Vec<String> {
    let shows = |Expected { path, verdict, .. }: &&Expected| {
        let verdict = verdict.to_string().to_uppercase();
        text.lines().any(|line| {
            line.starts_with(&verdict) && line.split_whitespace().any(|word| word == *path)
        })
    };
    let missing = EXPECTED.iter().filter(|expected| !shows(expected));
    missing
        .map(|Expected { path, verdict, .. }| format!("scan does not show {path} as {verdict}"))
        .collect()
}

/// Holds a listing to the plain devices: for every path that is not encrypted an entry, which starts with `word` and
/// names exactly its plain devices, and for every other path none.
fn judge_listing(what: &str, text: &str, word: &str) -> Vec<String> {
    let disks = ["/dev/vda", "/dev/vdb", "/dev/vdc"];
    let mut wrong = Vec::new();
    for Expected { path, plain, .. } in &EXPECTED {
        match entry(text, word, path) {
            None if !plain.is_empty() => wrong.push(format!("{what}: nothing about {path}")),
            Some(entry) if plain.is_empty() => {
                wrong.push(format!("{what}: {path} is encrypted, but there is: {entry}"));
            }
            Some(entry) => {
                let named = disks.iter().filter(|disk| entry.contains(**disk));
                if !named.eq(plain.iter()) {
                    wrong.push(format!(
                        "{what}: {path} is plain on {plain:?}, but it says: {entry}"
                    ));
                }
            }
            None => {}
        }
    }
    wrong
}

/// The entry about the volume of a path: its first line, and the indented lines that follow.
fn entry(text: &str, word: &str, path: &str) -> Option<String> {
    let asset = format!("declared:{path}");
    let starts = |line: &str| line.trim_start().starts_with(word);
    let about = |line: &&str| {
        let words = || line.split_whitespace();
        starts(line)
            && words().any(|word| word == asset)
            && words().any(|word| word == "volume_encrypted")
    };
    let mut lines = text.lines().skip_while(|line| !about(line));
    let first = lines.next()?;
    let rest = lines.take_while(|line| line.starts_with(' ') && !starts(line));
    Some(std::iter::once(first).chain(rest).map(str::trim).collect::<Vec<_>>().join(" | "))
}

/// Runs typed lines in the VM until there are no more.
fn prompt(machine: &mut Machine) -> Result<()> {
    let mut lines = io::stdin().lock().lines();
    loop {
        say("vm# ")?;
        let Some(line) = lines.next() else { return say("\n") };
        let line = line.context("cannot read standard input")?;
        match line.trim() {
            "" => {}
            "exit" | "quit" | "logout" => return Ok(()),
            line => {
                let (status, text) = stream(machine, &typed(line), PATIENCE)?;
                if !text.is_empty() && !text.ends_with('\n') {
                    say("\n")?;
                }
                if status != 0 {
                    say(&format!("(exit status {status})\n"))?;
                }
            }
        }
    }
}

/// A script that runs a line in the directory in which the line before ended.
fn typed(line: &str) -> String {
    let line = line.replace('\'', r"'\''");
    // A zero byte would end the answer; raw disks have some.
    format!(
        "set +eu -o pipefail\ncd \"$(cat /run/cwd 2>/dev/null)\"\n\
         {{ set +o pipefail; eval '{line}'; status=$?; pwd >/run/cwd; exit $status; }} 2>&1 | tr -d '\\000'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALERTS: &str = "listening on http://127.0.0.1:9099/
firing critical vm volume_encrypted declared:/data/mixed
     /data/mixed is encrypted in part only: plaintext on /dev/vdc
     signature valid
firing critical vm volume_encrypted declared:/data/plain
     /data/plain is not encrypted: plaintext on /dev/vdb
";

    fn wrong(text: &str) -> Vec<String> {
        judge_listing("test", text, "firing ")
    }

    #[test]
    fn alerts_that_name_the_plain_devices_are_right() {
        assert_eq!(wrong(ALERTS), Vec::<String>::new());
    }

    #[test]
    fn missing_superfluous_and_misplaced_alerts_are_wrong() {
        assert_eq!(wrong("").len(), 2);
        assert_eq!(wrong(&ALERTS.replace("/data/plain", "/data/encrypted")).len(), 2);
        assert_eq!(wrong(&ALERTS.replace("/dev/vdc", "/dev/vda")).len(), 1);
        assert_eq!(wrong(&ALERTS.replace("on /dev/vdb", "somewhere")).len(), 1);
        assert_eq!(wrong(&ALERTS.replace("volume_encrypted", "luks_kdf")).len(), 2);
        assert_eq!(wrong(&ALERTS.replace("firing", "resolved")).len(), 2);
    }

    #[test]
    fn a_scan_has_to_show_every_path_with_its_verdict() {
        let text = "UNENCRYPTED declared   /data/plain  (plain_device)\nPARTIAL  declared  /data/mixed\n\
                    ENCRYPTED   declared   /data/encrypted\n";
        assert_eq!(judge_scan(text), Vec::<String>::new());
        assert_eq!(judge_scan(&text.replace("PARTIAL", "ENCRYPTED")).len(), 1);
        assert_eq!(judge_scan("").len(), 3);
    }
}
