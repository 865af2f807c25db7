//! A repository that lies on another machine: the agent there proves what the agent here cannot.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use atrest_agent::config::Config;
use atrest_agent::daemon::{self, Cause, Command};
use atrest_agent::host::recorded::RecordedHost;
use atrest_agent::observer::Local;
use atrest_agent::resident;
use atrest_agent::transport::StateDir;
use atrest_agent::transport::enroll::{Existing, enroll};
use atrest_proto::model::Host;
use atrest_proto::v1;
use atrest_proto::v1::fleet_service_client::FleetServiceClient;
use atrest_proto::v1::node_service_client::NodeServiceClient;
use atrest_server::serve;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::together::{DEADLINE, Operator, server_config};

const SWAPS: &str = "Filename Type Size Used Priority\n";
const ON_CRYPT: &str = "1 0 253:0 / / rw - ext2 /dev/mapper/c0 rw\n";

fn write(root: &Path, files: &[(&str, &str)]) -> anyhow::Result<()> {
    for (path, text) in files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().context("a path has a parent")?)?;
        std::fs::write(path, text)?;
    }
    Ok(())
}

/// A machine that lends `/srv/b`, which lies on dm-crypt.
fn file_server(root: &Path) -> anyhow::Result<()> {
    let (disk, mapped) = ("sys/devices/pci0/block/sda", "sys/devices/virtual/block/dm-0");
    write(
        root,
        &[
            ("proc/self/mountinfo", ON_CRYPT),
            ("proc/swaps", SWAPS),
            ("proc/1/net/fib_trie", "|-- 10.0.0.5\n   /32 host LOCAL\n"),
            ("var/lib/nfs/etab", "/srv\t*(ro,fsid=0)\n/srv/b\t*(rw)\n"),
            ("srv/b/index-0", ""),
            (&format!("{disk}/dev"), "8:0\n"),
            (&format!("{mapped}/dev"), "253:0\n"),
            (&format!("{mapped}/dm/name"), "c0\n"),
            (&format!("{mapped}/dm/uuid"), "CRYPT-LUKS2-0-c0\n"),
            ("dmsetup-table.txt", "c0: 0 4096 crypt aes-xts-plain64 :64:logon:x 0 8:0 4096\n"),
        ],
    )?;
    std::fs::create_dir_all(root.join("sys/dev/block"))?;
    for (number, device) in [("8:0", disk), ("253:0", mapped)] {
        let device = Path::new("../../..").join(device);
        std::os::unix::fs::symlink(device, root.join("sys/dev/block").join(number))?;
    }
    Ok(())
}

/// A machine that has it mounted, as a client of version 4 names it.
fn client(root: &Path) -> anyhow::Result<()> {
    let mounts = "1 0 0:1 / / rw - tmpfs none rw\n\
                  2 1 0:50 / /mnt rw - nfs4 fs-1:/b rw,vers=4.2,addr=10.0.0.5\n";
    write(root, &[("proc/self/mountinfo", mounts), ("proc/swaps", SWAPS), ("mnt/index-0", "")])
}

struct Agent {
    host_id: String,
    commands: mpsc::Sender<Command>,
    ended: tokio::task::JoinHandle<Result<(), daemon::DaemonError>>,
}

impl Agent {
    /// Enrols a machine, and lets its agent look at what is recorded below `root`.
    async fn start(
        operator: &Operator,
        root: &Path,
        name: &str,
        config: Config,
    ) -> anyhow::Result<Self> {
        write(root, &[("proc/sys/kernel/hostname", &format!("{name}\n"))])?;
        let state = StateDir::new(root.join("state"));
        let host = Host {
            hostname: name.to_owned(),
            machine_fingerprint: format!("{name:x<32}"),
            ..Host::default()
        };
        let token = operator.token().await?;
        enroll(&state, &token, host.clone(), Existing::Keep, Timestamp::now()).await?;
        let mut options = daemon::Options::new(state, host);
        options.timing.reconnect.first = Duration::from_millis(20);
        options.timing.reconnect.most = Duration::from_millis(100);
        let host = Box::new(RecordedHost::new(root));
        let declared = config.declared.clone();
        let observer = Local::new(host, move || declared.clone(), None, Timestamp::now);
        let scan = resident::scan(Box::new(observer), config, &options);
        let (commands, told) = mpsc::channel(8);
        let ended = tokio::spawn(daemon::run(options, scan, told));
        Ok(Self { host_id: operator.host_id(name).await?, commands, ended })
    }

    async fn scan(&self) -> anyhow::Result<()> {
        self.commands.send(Command::Scan(Cause::Asked)).await.context("the daemon ended")
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.commands.send(Command::Stop).await.context("the daemon ended")?;
        Ok(tokio::time::timeout(DEADLINE, self.ended).await???)
    }
}

impl Operator {
    async fn host_id(&self, name: &str) -> anyhow::Result<String> {
        let request = self.request(v1::ListNodesRequest::default())?;
        let nodes = FleetServiceClient::new(self.channel.clone()).list_nodes(request).await?;
        let node = nodes.into_inner().nodes.into_iter().find(|node| node.hostname == name);
        Ok(node.context("it is enrolled")?.host_id)
    }

    async fn finding(&self, node: &str, asset: &str) -> anyhow::Result<Option<v1::Finding>> {
        let request = v1::ListFindingsRequest {
            node: node.to_owned(),
            check: "volume_encrypted".to_owned(),
            ..Default::default()
        };
        let request = self.request(request)?;
        let found = FleetServiceClient::new(self.channel.clone()).list_findings(request).await?;
        let findings = found.into_inner().findings.into_iter().filter_map(|row| row.finding);
        Ok(findings.into_iter().find(|finding| finding.asset == asset))
    }

    /// Asks until what is said of an asset holds this.
    async fn until_said(&self, agent: &Agent, asset: &str, words: &str) -> anyhow::Result<()> {
        let mut last = String::new();
        let asked = async {
            loop {
                let found = self.finding(&agent.host_id, asset).await?;
                last = found.map(|one| one.summary).unwrap_or_default();
                if last.contains(words) {
                    return anyhow::Ok(());
                }
                tokio::task::yield_now().await;
            }
        };
        let asked = tokio::time::timeout(DEADLINE, asked).await;
        asked.with_context(|| format!("`{words}` was not said: {last}"))?
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_file_server_proves_is_a_claim_where_it_is_mounted() -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;
    let server = serve::start(server_config(&scratch.path().join("server"), 0)?).await?;
    let operator = Operator::of(&server).await?;
    let (fs, es) = (scratch.path().join("fs"), scratch.path().join("es"));
    file_server(&fs)?;
    client(&es)?;

    let mut config = Config::default();
    config.declared.paths = vec!["/mnt".into()];
    let node = Agent::start(&operator, &es, "es-1", config).await?;
    operator.until_said(&node, "declared:/mnt", "nfs4 from fs-1:/b").await?;

    let keeper = Agent::start(&operator, &fs, "fs-1", Config::default()).await?;
    operator
        .until_said(&node, "declared:/mnt", "the agent of fs-1 (/b) says that it encrypts")
        .await?;

    // What lies there is plain from now on: nobody claims the opposite any more.
    write(&fs, &[("proc/self/mountinfo", "1 0 8:0 / / rw - ext2 /dev/sda rw\n")])?;
    keeper.scan().await?;
    operator.until_said(&keeper, "export:/srv/b", "plaintext").await?;
    operator.until_said(&node, "declared:/mnt", "says that it is unencrypted there").await?;

    write(&fs, &[("proc/self/mountinfo", ON_CRYPT)])?;
    keeper.scan().await?;
    operator.until_said(&node, "declared:/mnt", "says that it encrypts").await?;
    // Whose enrolment ends vouches for nothing.
    let request = v1::RevokeNodeRequest { node: keeper.host_id.clone(), reason: String::new() };
    NodeServiceClient::new(operator.channel.clone())
        .revoke_node(operator.request(request)?)
        .await?;
    operator.until_said(&node, "declared:/mnt", "nfs4 from fs-1:/b").await?;
    keeper.stop().await?;
    node.stop().await?;
    server.shutdown().await;
    Ok(())
}
