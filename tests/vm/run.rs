//! Runs scenarios, each in a thawed copy of a machine that was booted once for each kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use atrest_tests::vm::answer::{self, Naive};
use atrest_tests::vm::judge::{self, Ours};
use atrest_tests::vm::scenario::{Question, Scenario};
use atrest_tests::vm::{Contents, Flavour, Frozen, Machine, Markers, Spec, Tier, Truth};

use crate::record;
use crate::report::{self, Outcome};

/// Machines that run at the same time; each keeps one processor busy.
const PARALLEL: usize = 2;

/// The longest that one script in the guest may take. QEMU's own CPU is slow, and CI slower still.
const LIMIT: Duration = Duration::from_mins(3);

/// The frozen machines, by the flavour of their kernels; or why there is none.
type Machines = BTreeMap<Flavour, Result<Frozen, String>>;

/// Runs them all; results in the order of the list.
pub(crate) fn all(
    tier: &Tier,
    agent: Option<&Path>,
    scenarios: &[&'static Scenario],
) -> Result<Vec<Outcome>> {
    let machines = freeze_all(tier, agent, scenarios)?;
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL.min(scenarios.len()) {
            scope.spawn(|| {
                while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = one(tier, &machines, agent.is_some(), scenario);
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

/// Boots and freezes one machine for each kernel that a scenario needs, side by side.
fn freeze_all(
    tier: &Tier,
    agent: Option<&Path>,
    scenarios: &[&'static Scenario],
) -> Result<Machines> {
    let flavours: BTreeSet<_> = scenarios.iter().map(|scenario| scenario.kernel).collect();
    std::thread::scope(|scope| {
        let started: Vec<_> = flavours
            .into_iter()
            .map(|flavour| (flavour, scope.spawn(move || freeze(tier, agent, flavour))))
            .collect();
        let mut machines = Machines::new();
        for (flavour, thread) in started {
            let frozen = thread.join().map_err(|_| anyhow!("freezing a machine panicked"))??;
            machines.insert(flavour, frozen);
        }
        Ok(machines)
    })
}

/// Boots and freezes a machine; the inner error says why there is no kernel for it.
fn freeze(tier: &Tier, agent: Option<&Path>, flavour: Flavour) -> Result<Result<Frozen, String>> {
    let kernel = match tier.kernel_of(flavour) {
        Ok(kernel) => kernel,
        Err(unavailable) => return Ok(Err(unavailable.to_string())),
    };
    let started = Instant::now();
    let mut contents = Contents::new();
    if let Some(agent) = agent {
        contents = contents.program("atrest-agent", agent);
    }
    let spec = Spec {
        initramfs: tier.initramfs(&kernel, &contents)?,
        kernel: kernel.image,
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
    let frozen = machine.freeze(&tier.scratch().join(format!("frozen-{flavour}")))?;
    report::say(&format!(
        "vm: Linux {} booted in {:.1} s, frozen in {:.1} s",
        kernel.release,
        booted.as_secs_f64(),
        freezing.elapsed().as_secs_f64(),
    ));
    Ok(Ok(frozen))
}

/// Runs one scenario; whatever goes wrong becomes its outcome.
fn one(tier: &Tier, machines: &Machines, agent: bool, scenario: &'static Scenario) -> Outcome {
    let started = Instant::now();
    let mut outcome = Outcome::new(scenario);
    match machines.get(&scenario.kernel) {
        Some(Ok(frozen)) => {
            if let Err(error) = measure(tier, frozen, agent, &mut outcome) {
                outcome.wrong.push(format!("{error:#}"));
            }
        }
        Some(Err(unavailable)) => outcome.skipped = Some(unavailable.clone()),
        None => outcome.wrong.push(format!("no machine with the {} kernel", scenario.kernel)),
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
    outcome.naive = Some(guest.naive(scenario)?);
    let ours = if agent { guest.ours(scenario)? } else { Ours::Missing };
    guest.script(scenario.afterwards).context("it does not hold after the answer")?;
    // A recording is asked about paths that are named, which here none is.
    let is_kept = agent && !matches!(scenario.question, Question::Place(..));
    if let Some(to) = std::env::var_os("ATREST_VM_RECORD").filter(|_| is_kept) {
        record::save(&mut guest, scenario, Path::new(&to)).context("recording failed")?;
    }
    let truth = Truth::measure(&machine.disks(), &markers)?;
    outcome.wrong.extend(judge::scenario(scenario, &truth));
    outcome.wrong.extend(judge::ours(scenario, &truth, &ours));
    let strict = Scenario { pending: None, ..*scenario };
    outcome.answered = agent && judge::ours(&strict, &truth, &ours).is_empty();
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
    if scenario.writes.is_empty() && scenario.question.paths().is_some() {
        // The setup has written, and may have left a device that must not be touched again.
        return String::new();
    }
    let puts = scenario.writes.iter().map(|dir| format!("put {} {}", quote(dir), scenario.mib));
    let more = match scenario.question {
        Question::Paths(_) | Question::Process(..) => None,
        Question::Swap(_) => Some("swap_out".to_owned()),
        Question::Place(_, path) => {
            Some(format!("put \"$(seen {})\" {}", quote(path), scenario.mib))
        }
    };
    puts.chain(more).chain(["settle".to_owned()]).collect::<Vec<_>>().join("\n")
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
        let kernel = self.machine.run("dmesg | tail -n 8", LIMIT)?;
        output.success().context(format!("the kernel said last:\n{}", kernel.stdout.trim_end()))
    }

    fn has(&mut self, program: &str) -> Result<bool> {
        let output = self.machine.run(&format!("command -v {program}"), LIMIT)?;
        Ok(output.status == 0)
    }

    /// What tools say that look for `crypt` anywhere below the device of a path.
    fn naive(&mut self, scenario: &Scenario) -> Result<Naive> {
        let of = match scenario.question {
            Question::Paths([first, ..]) => quote(first),
            Question::Process(pid, [first, ..]) => format!("{} $(cat {pid})", quote(first)),
            Question::Paths([]) | Question::Process(_, []) => bail!("the scenario asks nothing"),
            Question::Swap(device) => quote(device),
            Question::Place(_, path) => format!("{} $(cat /run/pid || :)", quote(path)),
        };
        if scenario.within.is_none() {
            return Ok(Naive::read(&self.script(&format!("naive {of}"))?));
        }
        let script = format!(". /lib/vm.sh\nwithin {NAIVE_WITHIN} naive {of}");
        let output = self.machine.run(&script, LIMIT)?;
        match output.status {
            GIVEN_UP => Ok(Naive::Silent),
            _ => Ok(Naive::read(&output.success()?)),
        }
    }

    fn ours(&mut self, scenario: &Scenario) -> Result<Ours> {
        let output = self.machine.run(&ask(scenario), LIMIT)?;
        if verbose() {
            report::say(&format!("{}{}", output.stdout, output.stderr));
        }
        if let Some(seconds) = scenario.within.filter(|_| output.status == GIVEN_UP) {
            let answered = answer::check(&output.stdout).is_ok();
            return Ok(Ours::Stuck { after: seconds, answered });
        }
        let read = if scenario.question.paths().is_some() {
            answer::check(&output.stdout).map(|paths| Ours::Check(paths, output.status))
        } else {
            answer::scan(&output.stdout).map(|posture| Ours::Scan(posture, output.status))
        };
        Ok(read.unwrap_or_else(|error| {
            let (status, stderr) = (output.status, output.stderr.trim());
            Ours::Broken(format!("{error:#}; exit status {status}: {stderr}"))
        }))
    }
}

/// How many seconds `lsblk` gets where it may hang.
const NAIVE_WITHIN: u32 = 5;

/// The exit status of the library's `within` when time is up, as that of `timeout`.
const GIVEN_UP: i32 = 124;

/// The script that asks the agent.
fn ask(scenario: &Scenario) -> String {
    let how = match scenario.within {
        Some(seconds) => format!(". /lib/vm.sh\nwithin {seconds}"),
        None => "exec".to_owned(),
    };
    let agent = match scenario.question {
        Question::Swap(_) | Question::Place(..) => {
            return format!("{how} atrest-agent scan --format json");
        }
        Question::Paths(_) => "atrest-agent check --format json".to_owned(),
        Question::Process(pid, _) => {
            format!("atrest-agent check --format json --pid $(cat {pid})")
        }
    };
    let also = scenario.also.map(|(path, _)| path);
    let paths = scenario.question.paths().unwrap_or_default().iter().copied().chain(also);
    let paths: Vec<_> = paths.map(quote).collect();
    format!("{how} {agent} -- {}", paths.join(" "))
}

/// One word for a shell.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

pub(crate) fn verbose() -> bool {
    std::env::var_os("ATREST_VM_VERBOSE").is_some_and(|value| value == "1")
}
