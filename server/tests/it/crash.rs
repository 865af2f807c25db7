//! The real program, killed without warning again and again: what was acknowledged is there afterwards.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use atrest_proto::model::Verdict;
use atrest_proto::v1;

use crate::harness::{Agent, Operator, report, within};

const KILLS: u64 = 10;

/// A server process. Killed, not stopped, when it is dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) agents_port: u16,
    pub(crate) operators_port: u16,
}

impl Process {
    pub(crate) fn start(config: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_atrest-server"))
            .args(["serve", "--config"])
            .arg(config)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (mut agents_port, mut operators_port) = (0, 0);
        for line in lines.by_ref() {
            let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            let fields = &line["fields"];
            if fields["message"] == "serving" {
                let port = |name: &str| {
                    let address: std::net::SocketAddr =
                        fields[name].as_str().unwrap().parse().unwrap();
                    address.port()
                };
                (agents_port, operators_port) = (port("agents"), port("operators"));
                break;
            }
        }
        assert_ne!(agents_port, 0, "the server did not start");
        // The log goes on being read, so that the server never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, agents_port, operators_port }
    }

    /// What it holds in memory, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse().unwrap()
    }

    /// SIGTERM; how it left.
    fn stop(mut self) -> std::process::ExitStatus {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        self.child.wait().unwrap()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn configure(dir: &tempfile::TempDir) -> (PathBuf, PathBuf) {
    let state = dir.path().join("state");
    let config = dir.path().join("server.toml");
    let text = format!(
        "state_dir = \"{}\"\n[agents]\nlisten = \"127.0.0.1:0\"\n[operators]\nlisten = \"127.0.0.1:0\"\n\
         [log]\nformat = \"json\"\n",
        state.display()
    );
    std::fs::write(&config, text).unwrap();
    (state, config)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asked_to_stop_it_tells_its_agents_and_leaves_with_success() {
    let dir = tempfile::tempdir().unwrap();
    let (state, config) = configure(&dir);
    let server = Process::start(&config);
    let ca = std::fs::read_to_string(state.join("ca.pem")).unwrap();
    let admin = std::fs::read_to_string(state.join("admin.token")).unwrap();
    let mut operator = Operator::connect(server.operators_port, &ca, admin.trim()).await;
    let token = operator.token("prod", 1).await;
    let mut agent = Agent::new("es-1");
    agent.enroll(server.agents_port, &ca, &token.secret).await.unwrap();
    let mut stream = agent.attach(server.agents_port, &ca).await.unwrap();
    let stopping = tokio::task::spawn_blocking(move || server.stop());
    assert_eq!(stream.end().await.code(), tonic::Code::Unavailable);
    assert_eq!(within(stopping).await.unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_report_is_lost_however_often_the_server_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let (state, config) = configure(&dir);
    let mut server = Process::start(&config);
    let ca = std::fs::read_to_string(state.join("ca.pem")).unwrap();
    let admin = std::fs::read_to_string(state.join("admin.token")).unwrap();
    let mut operator = Operator::connect(server.operators_port, &ca, admin.trim()).await;
    let token = operator.token("prod", 4).await;
    let mut agents = Vec::new();
    for name in ["es-1", "es-2", "es-3", "es-4"] {
        let mut agent = Agent::new(name);
        agent.enroll(server.agents_port, &ca, &token.secret).await.unwrap();
        agents.push(agent);
    }

    let mut acknowledged = [0_u64; 4];
    for kill in 1..=KILLS {
        let work = tokio::sync::watch::Sender::new(0);
        let reporting = agents.iter().zip(acknowledged.iter_mut()).map(|(agent, acknowledged)| {
            let (port, ca, work) = (server.agents_port, &ca, &work);
            async move {
                // The others may be fast enough to have the server killed before this one is in.
                let Ok(mut stream) = agent.attach(port, ca).await else { return };
                assert!(
                    stream.welcome.last_sequence >= *acknowledged,
                    "an acknowledged report is gone"
                );
                // What was stored without its acknowledgement getting through is sent again, as agents do.
                let mut next = *acknowledged + 1;
                loop {
                    let verdict =
                        if next % 2 == 0 { Verdict::Encrypted } else { Verdict::Unencrypted };
                    match stream.report(report(next, agent.posture(&[("/srv", verdict)]))).await {
                        Ok(sequence) => {
                            *acknowledged = sequence;
                            work.send_modify(|work| *work += 1);
                        }
                        Err(_) => break,
                    }
                    next += 1;
                }
            }
        });
        let all = futures_util::future::join_all(reporting);
        let killing = async {
            // Killed in the middle of work, and a little later each time.
            work.subscribe().wait_for(|work| *work >= kill * 5).await.unwrap();
            server.kill();
        };
        within(async { tokio::join!(all, killing) }).await;
        server = Process::start(&config);
    }

    let mut operator = Operator::connect(server.operators_port, &ca, admin.trim()).await;
    assert_eq!(operator.status().await.enrolled, 4);
    let nodes = operator.nodes().await;
    for (agent, acknowledged) in agents.iter().zip(acknowledged) {
        let node = nodes.iter().find(|node| node.host_id == agent.host_id).unwrap();
        assert!(node.sequence >= acknowledged, "an acknowledged report is gone");
        // What is shown is what the last stored report said.
        let stored = if node.sequence % 2 == 0 {
            v1::NodeState::Encrypted
        } else {
            v1::NodeState::Unencrypted
        };
        assert_eq!(node.state(), stored);
        let failing = u32::from(stored == v1::NodeState::Unencrypted);
        assert_eq!(node.failing_findings, failing);
    }
}
