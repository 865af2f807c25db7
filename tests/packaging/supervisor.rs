//! What the daemons tell a service manager, as one hears it on its socket.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use atrest_tests::vm::built;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// So long as a loaded machine may take. Nothing is measured.
const PATIENCE: Duration = Duration::from_mins(1);

/// A daemon that is ended however its test ends.
struct Service(Child);

impl Service {
    fn start(command: &mut Command, socket: &Path) -> Self {
        let started = command
            .env("NOTIFY_SOCKET", socket)
            .env("WATCHDOG_USEC", "100000")
            .env_remove("WATCHDOG_PID")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(started.unwrap())
    }

    fn terminate(&self) {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), Signal::SIGTERM).unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // One that has ended already is no error.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Waits until a message is heard; anything else that is said before is let pass.
fn await_message(socket: &UnixDatagram, wanted: &str) {
    let mut message = [0; 512];
    loop {
        let length =
            socket.recv(&mut message).unwrap_or_else(|error| panic!("no {wanted}: {error}"));
        let said = String::from_utf8_lossy(message.get(..length).unwrap_or_default());
        if said.lines().any(|line| line == wanted) {
            return;
        }
    }
}

/// Ready, alive again and again, stopping, and an exit without complaint.
fn hold(command: &mut Command, dir: &Path) {
    let path = dir.join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut service = Service::start(command, &path);
    await_message(&socket, "READY=1");
    for _ in 0..3 {
        await_message(&socket, "WATCHDOG=1");
    }
    service.terminate();
    await_message(&socket, "STOPPING=1");
    assert_eq!(service.0.wait().unwrap().code(), Some(0));
}

#[test]
fn the_agent_tells_its_service_manager() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("agent.toml");
    // A root with nothing in it: this is not about what is found.
    let root = dir.path().join("root");
    std::fs::create_dir(&root).unwrap();
    std::fs::write(&config, format!("state_dir = {:?}\n", dir.path().join("state"))).unwrap();
    let mut command = Command::new(built("atrest-agent").unwrap());
    hold(command.arg("--config").arg(&config).arg("--root").arg(&root).arg("run"), dir.path());
}

#[test]
fn the_server_tells_its_service_manager() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("server.toml");
    let text = format!(
        "state_dir = {:?}\n[agents]\nlisten = \"127.0.0.1:0\"\n[operators]\nlisten = \"127.0.0.1:0\"\n",
        dir.path().join("state")
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(built("atrest-server").unwrap());
    hold(command.arg("serve").arg("--config").arg(&config), dir.path());
}
