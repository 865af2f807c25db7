//! A fleet that comes, goes and is killed, under a server that is killed a hundred times: the numbers add up at every
//! moment, and what was acknowledged is stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context as _, ensure};
use atrest_tests::fleet::{Server, Target, enrol};
use atrest_tests::vm::built;

const MACHINES: u32 = 24;
/// At most so many reports from one kill to the next.
const WORK: u64 = 40;
/// At most so many turns of other tasks after that, so that a kill comes at any moment of a report.
const TURNS: u64 = 200;
const KILLS: u64 = 100;

/// Numbers that look like chance and are the same in every run.
struct Chance(u64);

impl Chance {
    /// Below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_states_sum_to_the_enrolled_at_every_moment_and_nothing_acknowledged_is_lost()
-> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let program = built("atrest-server").context("cargo build -p atrest-server")?;
    let mut server = Server::start(&program, directory.path())?;
    let machines = Arc::new(enrol(&server, MACHINES).await?);
    let target = server.target()?;
    let reported = tokio::sync::watch::Sender::new(0_u64);
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged: Arc<Vec<AtomicU64>> =
        Arc::new(machines.iter().map(|_| AtomicU64::new(0)).collect());
    let working: Vec<_> = (0..machines.len())
        .map(|index| {
            let (machines, target) = (Arc::clone(&machines), target.clone());
            let (acknowledged, stop) = (Arc::clone(&acknowledged), Arc::clone(&stop));
            let reported = reported.clone();
            tokio::spawn(async move {
                let mut chance = Chance(u64::try_from(index)? + 2);
                while !stop.load(Ordering::Relaxed) {
                    let machine = machines.get(index).context("a machine")?;
                    let known = acknowledged.get(index);
                    visit(machine, &target, known, &reported, &mut chance).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();

    let mut watched = 0;
    let mut chance = Chance(1);
    for _ in 0..KILLS {
        let mut work = reported.subscribe();
        let goal = *work.borrow() + 1 + chance.below(WORK);
        let enough = work.wait_for(|reported| *reported >= goal);
        tokio::pin!(enough);
        let operator = server.operator().await?;
        loop {
            tokio::select! {
                _ = &mut enough => break,
                // That the states sum to the enrolled is looked at with each answer.
                status = operator.status() => {
                    let status = status?;
                    ensure!(status.enrolled == u64::from(MACHINES), "{status:?}");
                    ensure!(status.connected <= status.enrolled, "{status:?}");
                    watched += 1;
                }
            }
        }
        for _ in 0..chance.below(TURNS) {
            tokio::task::yield_now().await;
        }
        server.kill_and_restart()?;
    }
    stop.store(true, Ordering::Relaxed);
    for task in working {
        task.await??;
    }
    ensure!(watched > 0, "nobody looked");
    for node in server.operator().await?.nodes().await? {
        let index = machines.iter().position(|machine| machine.host_id == node.host_id);
        let known = acknowledged.get(index.context("a host that nobody enrolled")?);
        let known = known.context("a machine")?.load(Ordering::Relaxed);
        ensure!(node.sequence >= known, "{}: {known} was acknowledged: {node:?}", node.hostname);
    }
    Ok(())
}

/// Attaches, reports a few times, and hangs up, or is killed between a report and its acknowledgement. A server that is
/// away is no error here.
async fn visit(
    machine: &atrest_tests::fleet::Machine,
    target: &Target,
    acknowledged: Option<&AtomicU64>,
    reported: &tokio::sync::watch::Sender<u64>,
    chance: &mut Chance,
) -> anyhow::Result<()> {
    let acknowledged = acknowledged.context("a machine")?;
    let Ok(mut line) = machine.attach(target).await else {
        tokio::task::yield_now().await;
        return Ok(());
    };
    let before = acknowledged.load(Ordering::Relaxed);
    ensure!(line.sequence >= before, "{before} was acknowledged, {} is known", line.sequence);
    for _ in 0..3 {
        let turns = chance.below(30);
        let killed = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        };
        let told = if turns.is_multiple_of(3) {
            tokio::select! {
                told = line.report() => told,
                () = killed => break,
            }
        } else {
            line.report().await
        };
        let Ok(sequence) = told else { break };
        acknowledged.store(sequence, Ordering::Relaxed);
        reported.send_modify(|reported| *reported += 1);
    }
    Ok(())
}
