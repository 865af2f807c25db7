//! A state directory on a disk that is full.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::agent::Node;
use crate::server::{HANG, Server};

/// A file system of a few pages, which goes away with this.
struct Tiny {
    dir: tempfile::TempDir,
}

impl Drop for Tiny {
    fn drop(&mut self) {
        nix::mount::umount2(self.dir.path(), nix::mount::MntFlags::MNT_DETACH).ok();
    }
}

impl Tiny {
    /// `None` when this user may not mount.
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let mounted = nix::mount::mount(
            Some("tmpfs"),
            dir.path(),
            Some("tmpfs"),
            nix::mount::MsFlags::empty(),
            Some("size=256k,mode=700"),
        );
        mounted.ok().map(|()| Self { dir })
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Takes all the room there is.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = std::fs::File::create(&path).expect("a file");
        let page = [0_u8; 4096];
        while file.write_all(&page).is_ok() {}
        path
    }
}

#[tokio::test]
async fn a_full_disk_is_told_the_newest_report_is_kept_and_all_heals() {
    let Some(disk) = Tiny::mount() else {
        eprintln!(
            "SKIPPED: mounting a tmpfs takes CAP_SYS_ADMIN; the spool's own tests cover a failing write"
        );
        return;
    };
    let mut server = Server::start();
    let node = Node::in_dir(disk.path());
    node.enroll(&server).await.expect("enrolled");
    let agent = node.start();
    server.heartbeat().await;

    // With a server, the report goes out from memory.
    let filler = disk.fill();
    node.turn("b");
    agent.rescan().await;
    server.report_of("b").await;
    server.heartbeat().await;

    // Without one, it waits in memory until there is room.
    server.kill();
    node.turn("c");
    agent.rescan().await;
    let told = async {
        loop {
            let spool = node.status().spool;
            if let (1, Some(error)) = (spool.reports, spool.error) {
                return error;
            }
            tokio::task::yield_now().await;
        }
    };
    let error = tokio::time::timeout(HANG, told).await.expect("it was never told");
    assert!(error.remedy.contains("make room"), "{error:?}");
    assert!(error.message.contains("kept in memory"), "{error:?}");
    std::fs::remove_file(&filler).expect("removed");
    node.spooled(3).await;
    agent.kill().await;
    assert_eq!(node.queued().len(), 1, "it is on the disk, though the agent was killed");

    disk.fill();
    server.revive();
    let agent = node.start();
    server.report_of("c").await;
    server.heartbeat().await;
    node.turn("d");
    agent.rescan().await;
    server.report_of("d").await;
    server.heartbeat().await;
    agent.stop().await.expect("a good end");
    assert_eq!(server.durable(|durable| durable.names.clone()), ["a", "b", "c", "d"]);
}
