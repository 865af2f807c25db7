//! Looks at the host from this very process.

use atrest_proto::model::Reason;
use jiff::Timestamp;

use super::{Lost, Observer, Seen};
use crate::discovery::{self, Declared, Discovery};
use crate::host::Host;
use crate::keystore::trials;
use crate::nfs::addresses;
use crate::node_api::{self, Contact, Listener, Talk, sockets};
use crate::object_store::volumes::Disks;
use crate::observe;
use crate::snapshot::Trouble;
use crate::watch::{Plan, Watch};

/// What looks, with what is remembered from look to look.
pub struct Local {
    host: Box<dyn Host>,
    /// Asked for before each look.
    declared: Box<dyn FnMut() -> Declared + Send>,
    /// Told what to watch after each look.
    watch: Option<Watch>,
    now: fn() -> Timestamp,
    tried: trials::Memory,
    found: Option<Discovery>,
}

impl Local {
    /// Looks at `host`, and at what `declared` names on top of what is found.
    pub fn new(
        host: Box<dyn Host>,
        declared: impl FnMut() -> Declared + Send + 'static,
        watch: Option<Watch>,
        now: fn() -> Timestamp,
    ) -> Self {
        Self {
            host,
            declared: Box::new(declared),
            watch,
            now,
            tried: trials::Memory::default(),
            found: None,
        }
    }

    fn found(&mut self) -> Discovery {
        if let Some(found) = self.found.take() {
            return found;
        }
        let declared = (self.declared)();
        discovery::discover(&*self.host, &declared)
    }
}

impl Observer for Local {
    fn begin(&mut self) -> Result<Vec<Contact>, Lost> {
        self.found = None;
        let found = self.found();
        let contacts = node_api::contacts(&*self.host, &found.endpoints);
        self.found = Some(found);
        Ok(contacts)
    }

    fn holds(&mut self, pid: i32, listener: Listener) -> Result<(), Trouble> {
        let endpoints = self.found.iter().flat_map(|found| &found.endpoints);
        let is_found = endpoints.filter(|endpoint| endpoint.pid == pid).any(|endpoint| {
            endpoint.listeners.as_ref().is_ok_and(|listeners| listeners.contains(&listener))
        });
        if !is_found {
            let detail = format!("{} of process {pid} is no socket of a node", listener.address);
            return Err(Trouble::new(Reason::NotFound, detail));
        }
        sockets::still_holds(&*self.host, pid, &listener)
    }

    fn look(&mut self, talk: Talk) -> Result<Seen, Lost> {
        let mut found = self.found();
        let host = &*self.host;
        node_api::hear(&mut found, &talk);
        // What others name may be anything.
        discovery::bound_places(&mut found);
        let now = (self.now)();
        let exports = std::mem::take(&mut found.exports);
        if let Some(watch) = &self.watch {
            found.gaps.extend(watch.gaps(now));
        }
        let snapshot = observe::observe_again(host, found, now, &mut self.tried);
        if let Some(watch) = &self.watch {
            watch.renew(Plan::of(host, &snapshot));
        }
        let asks_stores = host.is_this_machine();
        Ok(Seen {
            snapshot: Box::new(snapshot),
            exports,
            addresses: addresses::observe(host),
            disks: if asks_stores { Disks::observe(host) } else { Disks::default() },
            asks_stores,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::recorded::RecordedHost;

    fn local(root: &std::path::Path) -> Local {
        let host = Box::new(RecordedHost::new(root));
        let declared = Declared { paths: vec!["/srv/es".into()], ..Declared::default() };
        Local::new(host, move || declared.clone(), None, || Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn only_sockets_of_nodes_that_were_found_are_looked_at() {
        let directory = tempfile::tempdir().unwrap();
        let mut local = local(directory.path());
        let listener =
            Listener { address: "127.0.0.1:22".parse().unwrap(), inode: 1, descriptor: 3 };
        assert_eq!(local.holds(1, listener).unwrap_err().reason, Reason::NotFound);
        local.begin().unwrap();
        assert_eq!(local.holds(1, listener).unwrap_err().reason, Reason::NotFound);
    }

    #[test]
    fn answers_of_nodes_that_were_not_found_name_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut local = local(directory.path());
        local.begin().unwrap();
        let talk = r#"{"Asked":{"gaps":[],"answers":[{"service":"es","gaps":[],"outcome":{"Told":{
            "pid":1,"node_name":null,"cluster_name":null,"cluster_uuid":null,"version":null,"roles":[],"memory_locked":null,
            "settings":{"path.data":["/etc"]},"arguments":[],"repositories":null,"data":["/root"]}}}]}}"#;
        let seen = local.look(serde_json::from_str(talk).unwrap()).unwrap();
        let paths: Vec<_> = seen.snapshot.targets.iter().map(|one| one.path.to_string()).collect();
        assert_eq!(paths, ["/srv/es"]);
    }

    #[test]
    fn a_look_that_was_not_begun_begins_by_itself() {
        let directory = tempfile::tempdir().unwrap();
        let seen = local(directory.path()).look(Talk::Nobody).unwrap();
        assert_eq!(seen.snapshot.targets.len(), 1);
        assert!(!seen.asks_stores, "a recording has no network");
    }
}
