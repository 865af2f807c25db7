//! Runs scenarios, each in a thawed copy of one machine that was booted once.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use atrest_tests::vm::answer::{self, Naive};
use atrest_tests::vm::judge::{self, Ours};
use atrest_tests::vm::scenario::{Question, Scenario};
use atrest_tests::vm::{Contents, Frozen, Machine, Markers, Spec, Tier, Truth};

use crate::record;
use crate::report::{self, Outcome};

/// Machines that run at the same time; each keeps one processor busy.
const PARALLEL: usize = 2;

/// The longest that one script in the guest may take. QEMU's own CPU is slow, and CI slower still.
const LIMIT: Duration = Duration::from_mins(3);

/// Runs them all; results in the order of the list.
pub(crate) fn all(
    tier: &Tier,
    agent: Option<&Path>,
    scenarios: &[&'static Scenario],
) -> Result<Vec<Outcome>> {
    let frozen = freeze(tier, agent)?;
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL.min(scenarios.len()) {
            scope.spawn(|| {
                while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = one(tier, &frozen, agent.is_some(), scenario);
                    report::say(&outcome.line());
                    if let Ok(mut outcomes) = outcomes.lock() {
                        outcomes.push(outcome);
                    }
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap_or_default();
    if outcomes.len() != scenarios.len() {
        bail!("{} of {} scenarios have a result", outcomes.len(), scenarios.len());
    }
    let place = |name| scenarios.iter().position(|scenario| scenario.name == name);
    outcomes.sort_by_key(|outcome| place(outcome.scenario.name));
    Ok(outcomes)
}

fn freeze(tier: &Tier, agent: Option<&Path>) -> Result<Frozen> {
    let started = Instant::now();
    let mut contents = Contents::new();
    if let Some(agent) = agent {
        contents = contents.program("atrest-agent", agent);
    }
    let spec = Spec {
        kernel: tier.kernel().image.clone(),
        initramfs: tier.initramfs(&contents)?,
        memory_mib: 512,
        // Six legs are enough for every RAID level; mkfs.xfs wants 300 MiB.
        disks: 6,
        disk_mib: 320,
        limit: LIMIT,
    };
    let machine = Machine::boot(&spec, tier.scratch())?;
    let booted = started.elapsed();
    let freezing = Instant::now();
    if verbose() {
        report::say(&machine.console());
    }
    let frozen = machine.freeze(&tier.scratch().join("frozen"))?;
    report::say(&format!(
        "vm: Linux {} booted in {:.1} s, frozen in {:.1} s",
        tier.kernel().release,
        booted.as_secs_f64(),
        freezing.elapsed().as_secs_f64(),
    ));
    Ok(frozen)
}

/// Runs one scenario; whatever goes wrong becomes its outcome.
fn one(tier: &Tier, frozen: &Frozen, agent: bool, scenario: &'static Scenario) -> Outcome {
    let started = Instant::now();
    let mut outcome = Outcome::new(scenario);
    if let Err(error) = measure(tier, frozen, agent, &mut outcome) {
        outcome.wrong.push(format!("{error:#}"));
    }
    outcome.took = started.elapsed();
    outcome
}

fn measure(tier: &Tier, frozen: &Frozen, agent: bool, outcome: &mut Outcome) -> Result<()> {
    let scenario = outcome.scenario;
    let markers = Markers::random()?;
    let mut machine = frozen.thaw(tier.scratch())?;
    let mut guest = InGuest { machine: &mut machine, markers: &markers };
    if let Some(program) = scenario.needs
        && !guest.has(program)?
    {
        outcome.skipped = Some(format!("the guest lacks {program}"));
        return Ok(());
    }
    guest.script(scenario.setup).context("setup failed")?;
    guest.script(&write(scenario)).context("writing the markers failed")?;
    outcome.naive = Some(guest.naive(scenario.question)?);
    let ours = if agent { guest.ours(scenario.question)? } else { Ours::Missing };
    guest.script(scenario.afterwards).context("it does not hold after the answer")?;
    if let Some(to) = std::env::var_os("ATREST_VM_RECORD").filter(|_| agent) {
        record::save(&mut guest, scenario, Path::new(&to)).context("recording failed")?;
    }
    let truth = Truth::measure(&machine.disks(), &markers)?;
    outcome.wrong.extend(judge::scenario(scenario, &truth));
    outcome.wrong.extend(judge::ours(scenario, &truth, &ours));
    outcome.ours = judge::word(scenario, &ours);
    outcome.truth = Some(truth);
    if matches!(ours, Ours::Missing) && outcome.wrong.is_empty() {
        outcome.skipped = Some("there is no agent to ask".to_owned());
    }
    if verbose() {
        report::say(&machine.console());
    }
    Ok(())
}

fn write(scenario: &Scenario) -> String {
    if scenario.writes.is_empty() && matches!(scenario.question, Question::Paths(_)) {
        // The setup has written, and may have left a device that must not be touched again.
        return String::new();
    }
    let puts = scenario.writes.iter().map(|dir| format!("put {} {}", quote(dir), scenario.mib));
    let swaps = matches!(scenario.question, Question::Swap(_)).then(|| "swap_out".to_owned());
    puts.chain(swaps).chain(["settle".to_owned()]).collect::<Vec<_>>().join("\n")
}

/// A machine in which one scenario runs.
pub(crate) struct InGuest<'a> {
    machine: &'a mut Machine,
    markers: &'a Markers,
}

impl InGuest<'_> {
    /// Runs a script with the library of the scenarios; what it printed, if it succeeded.
    pub(crate) fn script(&mut self, script: &str) -> Result<String> {
        let Markers { contents, name } = self.markers;
        let script = format!("contents={contents} name={name}\n. /lib/vm.sh\nset -x\n{script}");
        let output = self.machine.run(&script, LIMIT)?;
        if verbose() {
            report::say(&format!("{}{}", output.stdout, output.stderr));
        }
        if output.status == 0 {
            return Ok(output.stdout);
        }
        let kernel = self.machine.run("dmesg | tail -n 5", LIMIT)?;
        output.success().context(format!("the kernel said last:\n{}", kernel.stdout.trim_end()))
    }

    fn has(&mut self, program: &str) -> Result<bool> {
        let output = self.machine.run(&format!("command -v {program}"), LIMIT)?;
        Ok(output.status == 0)
    }

    /// What tools say that look for `crypt` anywhere below the device of a path.
    fn naive(&mut self, question: Question) -> Result<Naive> {
        let of = match question {
            Question::Paths([first, ..]) => quote(first),
            Question::Paths([]) => bail!("the scenario asks nothing"),
            Question::Swap(device) => quote(device),
        };
        Ok(Naive::read(&self.script(&format!("naive {of}"))?))
    }

    fn ours(&mut self, question: Question) -> Result<Ours> {
        let command = match question {
            Question::Paths(paths) => {
                let paths: Vec<_> = paths.iter().map(|path| quote(path)).collect();
                format!("exec atrest-agent check --format json -- {}", paths.join(" "))
            }
            Question::Swap(_) => "exec atrest-agent scan --format json".to_owned(),
        };
        let output = self.machine.run(&command, LIMIT)?;
        if verbose() {
            report::say(&format!("{}{}", output.stdout, output.stderr));
        }
        let read = match question {
            Question::Paths(_) => {
                answer::check(&output.stdout).map(|paths| Ours::Check(paths, output.status))
            }
            Question::Swap(_) => {
                answer::scan(&output.stdout).map(|findings| Ours::Scan(findings, output.status))
            }
        };
        Ok(read.unwrap_or_else(|error| {
            let (status, stderr) = (output.status, output.stderr.trim());
            Ours::Broken(format!("{error:#}; exit status {status}: {stderr}"))
        }))
    }
}

/// One word for a shell.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn verbose() -> bool {
    std::env::var_os("ATREST_VM_VERBOSE").is_some_and(|value| value == "1")
}
