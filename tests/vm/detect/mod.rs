//! What happens on a real kernel while the agent runs, and how long it takes until somebody is told: the agent as a daemon,
//! the server and a webhook receiver in one guest. Times are printed and not judged: QEMU's own CPU is slow.

mod cases;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use atrest_tests::vm::{self, Contents, Flavour, Machine, Spec, Tier};

use crate::report::say;

/// The longest that one script in the guest may take.
const LIMIT: Duration = Duration::from_mins(6);

const LIBRARY: &str = include_str!("guest.sh");

/// Something that happens, and what must be told of it.
pub(crate) struct Case {
    /// Unique in the tier.
    pub(crate) name: &'static str,
    /// A script for the guest, which fails when it is not told. What it leaves behind the next one finds.
    pub(crate) script: &'static str,
}

/// The cases whose name holds one of the words, or all of them without a word.
pub(crate) fn matching(words: &[String]) -> Vec<&'static Case> {
    let wanted = |case: &&Case| {
        words.is_empty() || words.iter().any(|word| case.name.contains(word.as_str()))
    };
    cases::ALL.iter().filter(wanted).collect()
}

/// Runs them one after the other in one guest; whether all passed.
pub(crate) fn run(tier: &Tier, cases: &[&'static Case]) -> Result<bool> {
    let skipped = |why: &str| {
        if vm::required() {
            bail!("detection: {why}");
        }
        say(&format!("detection: skipped: {why}\n0 passed, 0 failed, {} skipped", cases.len()));
        Ok(true)
    };
    let (Some(agent), Some(server), Some(ctl)) =
        (vm::agent(), vm::built("atrest-server"), vm::built("atrestctl"))
    else {
        return skipped("atrest-agent, atrest-server or atrestctl is not beside this test");
    };
    let kernel = match tier.kernel_of(Flavour::Cloud) {
        Ok(kernel) => kernel,
        Err(unavailable) => return skipped(&unavailable.to_string()),
    };
    let contents = Contents::new()
        .program("atrest-agent", &agent)
        .program("atrest-server", &server)
        .program("atrestctl", &ctl);
    let spec = Spec {
        initramfs: tier.initramfs(&kernel, &contents)?,
        kernel: kernel.image,
        memory_mib: 1024,
        disks: 4,
        disk_mib: 128,
        limit: LIMIT,
    };
    let started = Instant::now();
    let mut machine = Machine::boot(&spec, tier.scratch())?;
    script(&mut machine, cases::SETUP).context("the setup of the detections failed")?;
    let booted = started.elapsed().as_secs_f64();
    say(&format!(
        "\nevent to told, in seconds on the guest's clock (Linux {}, set up in {booted:.0} s)",
        kernel.release
    ));
    let mut failed = 0;
    for case in cases {
        match script(&mut machine, case.script) {
            Ok(printed) => {
                let times = printed.lines().filter_map(|line| line.strip_prefix("took "));
                let times: Vec<_> = times.map(|line| line.replacen(' ', ": ", 1)).collect();
                say(&format!("{:<40} ok  {}", case.name, times.join(", ")));
            }
            Err(error) => {
                failed += 1;
                say(&format!("{:<40} FAILED: {error:#}", case.name));
            }
        }
    }
    if crate::run::verbose() {
        say(&machine.run("tail -n 1000 /var/log/atrest/agent.log", LIMIT)?.stdout);
    }
    // `tests/run.sh` adds such lines up.
    say(&format!("{} passed, {failed} failed, 0 skipped", cases.len() - failed));
    Ok(failed == 0)
}

fn script(machine: &mut Machine, script: &str) -> Result<String> {
    let script = format!(". /lib/vm.sh\n{LIBRARY}\nset -x\n{script}");
    let output = machine.run(&script, LIMIT)?;
    if crate::run::verbose() {
        say(&format!("{}{}", output.stdout, output.stderr));
    }
    output.success()
}
