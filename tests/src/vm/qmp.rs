//! Speaks QEMU's machine protocol: one command at a time, and events, each with a deadline.
//! The protocol is in QEMU's `docs/interop/qmp-spec`.

use std::collections::VecDeque;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::wire::Wire;

/// A connection to a running QEMU.
#[derive(Debug)]
pub(super) struct Qmp {
    wire: Wire,
    events: VecDeque<Value>,
}

impl Qmp {
    /// Waits for QEMU's greeting and leaves the negotiation.
    pub(super) fn greet(stream: UnixStream, until: Instant) -> Result<Self> {
        let mut qmp = Self { wire: Wire::new(stream), events: VecDeque::new() };
        let greeting = qmp.message(until)?;
        if greeting.get("QMP").is_none() {
            bail!("expected QEMU's greeting, got {greeting}");
        }
        qmp.command("qmp_capabilities", &json!({}), until)?;
        Ok(qmp)
    }

    /// Runs a command; what it returned.
    pub(super) fn command(
        &mut self,
        name: &str,
        arguments: &Value,
        until: Instant,
    ) -> Result<Value> {
        let line = json!({"execute": name, "arguments": arguments}).to_string();
        self.wire.write(format!("{line}\n").as_bytes(), until)?;
        loop {
            let message = self.message(until).with_context(|| format!("no answer to {name}"))?;
            if let Some(value) = message.get("return") {
                return Ok(value.clone());
            }
            if let Some(error) = message.get("error") {
                bail!("QEMU refused {name}: {error}");
            }
            self.events.push_back(message);
        }
    }

    /// Migrates, out or in, and waits until it is complete.
    pub(super) fn migrate(&mut self, command: &str, uri: &str, until: Instant) -> Result<()> {
        let capabilities = json!({"capabilities": [{"capability": "events", "state": true}]});
        self.command("migrate-set-capabilities", &capabilities, until)?;
        self.command("migrate-set-parameters", &json!({"max-bandwidth": 1_u64 << 40}), until)?;
        self.command(command, &json!({"uri": uri}), until)?;
        loop {
            let event = match self.events.pop_front() {
                Some(event) => event,
                None => self.message(until).context("the migration did not end")?,
            };
            if event.get("event").and_then(Value::as_str) != Some("MIGRATION") {
                continue;
            }
            match event.pointer("/data/status").and_then(Value::as_str) {
                Some("completed") => return Ok(()),
                Some("failed" | "cancelled") => bail!("QEMU could not do {command}: {event}"),
                _ => {}
            }
        }
    }

    fn message(&mut self, until: Instant) -> Result<Value> {
        let line = self.wire.line(until)?;
        serde_json::from_str(&line).with_context(|| format!("not QEMU's protocol: {line}"))
    }
}
