//! What the host is set up to do at its next boot, and the files that open its volumes: intent, never proof.
//!
//! Plain data. Nothing here holds the contents of a key file: they are not read.

pub mod cmdline;
pub mod initramfs;
pub mod source;

use std::collections::BTreeMap;

use atrest_proto::model::{Gap, Reason, Use};
use serde::{Deserialize, Serialize};

use crate::host::Metadata;
use crate::path::HostPath;
use crate::snapshot::{BlockDevice, DeviceNumber, Namespace, Observed, Resolved, Target, Trouble};
use crate::{crypttab, fstab};
use source::Source;

/// Everything that was observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    pub crypttab: Observed<crypttab::Table>,
    pub fstab: Observed<fstab::Table>,
    pub cmdline: Observed<cmdline::Facts>,
    pub surroundings: Surroundings,
}

/// A host without any of it.
impl Default for Boot {
    fn default() -> Self {
        Self {
            crypttab: Observed::Absent,
            fstab: Observed::Absent,
            cmdline: Observed::Known(cmdline::Facts::default()),
            surroundings: Surroundings::default(),
        }
    }
}

/// What was looked up because the tables name it, and what was found near. A recording holds it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surroundings {
    /// Tables that could not be read, by path.
    pub troubles: BTreeMap<String, Trouble>,
    pub initramfs: initramfs::Configuration,
    /// Sorted by role and path.
    pub files: Vec<BootFile>,
    /// The block devices that crypttab names, by the text of [`Source`]; without those that are not there.
    pub devices: BTreeMap<String, DeviceNumber>,
    pub search: Search,
}

/// A file that matters for opening volumes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileId {
    pub role: Role,
    pub path: HostPath,
    /// The device on whose file system it lies, when that is not mounted here.
    pub on: Option<Source>,
}

/// What such a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    KeyFile,
    /// The header of a volume, in use, kept apart from it.
    DetachedHeader,
    /// A file that starts as a LUKS header does.
    HeaderBackup,
    /// What the boot loader loads: always readable to who takes the disk, unless `/boot` is encrypted.
    InitramfsImage,
}

/// What is known of such a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootFile {
    pub id: FileId,
    /// Who names it, such as `crypttab (es)`; sorted.
    pub named_by: Vec<String>,
    /// Only a default place: that it is not there means nothing.
    pub is_default: bool,
    /// A program makes the key; the file is what it is given, and may itself be encrypted.
    pub is_wrapped: bool,
    pub metadata: Observed<Metadata>,
    /// Where it lies; of a file on another device, that device.
    pub resolution: Observed<Resolved>,
}

impl BootFile {
    /// The file as a target of the proof.
    pub fn target(&self) -> Target {
        Target {
            path: self.id.path.clone(),
            usage: Use::Config,
            service: None,
            namespace: Namespace::Host,
            resolution: self.resolution.clone(),
            nearest: None,
        }
    }

    /// Stable, for findings.
    pub fn asset(&self) -> String {
        match &self.id.on {
            Some(on) => format!("file:{}:{on}", self.id.path),
            None => format!("file:{}", self.id.path),
        }
    }
}

/// How far header backups were looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Search {
    /// The directories that were listed, sorted; empty when there was no reason to look.
    pub looked: Vec<HostPath>,
    /// How many names were looked at.
    pub entries: usize,
    /// The bound on `entries` that ended the search early.
    pub capped_at: Option<usize>,
    /// What could not be looked at.
    pub troubles: Vec<Trouble>,
}

/// Whether one of the devices is dm-crypt, or may be, since its table could not be read.
pub fn may_encrypt(devices: &BTreeMap<DeviceNumber, BlockDevice>) -> bool {
    devices.values().filter_map(|device| device.dm.as_ref()).any(|dm| match &dm.table {
        Observed::Known(table) => table.iter().any(|target| target.kind == "crypt"),
        Observed::Absent => false,
        Observed::Unreadable(_) => true,
    })
}

impl Surroundings {
    /// The files of one role.
    pub fn of(&self, role: Role) -> impl Iterator<Item = (usize, &BootFile)> {
        self.files.iter().enumerate().filter(move |(_, file)| file.id.role == role)
    }

    /// What could not be looked at.
    pub fn gaps(&self) -> Vec<Gap> {
        let gap = |subject: &str, trouble: &Trouble| Gap {
            subject: subject.to_owned(),
            reason: trouble.reason,
            detail: trouble.detail.clone(),
            remedy: if trouble.reason == Reason::NoPermission {
                "run the agent as root, or with CAP_DAC_READ_SEARCH".to_owned()
            } else {
                String::new()
            },
        };
        let configuration =
            self.initramfs.troubles.iter().map(|trouble| gap("initramfs configuration", trouble));
        let search = self.search.troubles.iter().map(|trouble| gap("header backups", trouble));
        let capped = self.search.capped_at.map(|cap| {
            let detail = format!(
                "the search for header backups ended after {cap} names; directories that were reached: {}",
                self.search.looked_at()
            );
            gap("header backups", &Trouble::new(Reason::Unreadable, detail))
        });
        configuration.chain(search).chain(capped).collect()
    }
}

impl Search {
    /// The directories, for people.
    pub fn looked_at(&self) -> String {
        /// A list for people; the rest is more of the same.
        const SHOWN: usize = 12;
        let shown: Vec<String> = self.looked.iter().take(SHOWN).map(ToString::to_string).collect();
        let more = self.looked.len().saturating_sub(SHOWN);
        if more == 0 { shown.join(" ") } else { format!("{} and {more} more", shown.join(" ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{DmFacts, DmTarget};

    #[test]
    fn a_table_that_cannot_be_read_may_encrypt() {
        let target =
            |kind: &str| DmTarget { start: 0, length: 8, kind: kind.to_owned(), args: Vec::new() };
        let with = |table| {
            let number = DeviceNumber::new(254, 0);
            let dm = DmFacts {
                name: "x".to_owned(),
                uuid: String::new(),
                suspended: false,
                table,
                dependencies: None,
            };
            may_encrypt(&[(number, BlockDevice { dm: Some(dm), ..BlockDevice::default() })].into())
        };
        assert!(with(Observed::Known(vec![target("crypt")])));
        assert!(!with(Observed::Known(vec![target("linear")])));
        assert!(with(Observed::Unreadable(Trouble::new(Reason::NoPermission, "denied"))));
        assert!(!may_encrypt(&BTreeMap::new()));
    }

    #[test]
    fn what_was_not_looked_at_is_a_gap_each() {
        let mut seen = Surroundings::default();
        assert!(seen.gaps().is_empty());
        seen.search.capped_at = Some(4096);
        seen.search.looked = (0..14).map(|n| HostPath::from(format!("/home/{n}"))).collect();
        seen.search.troubles = vec![Trouble::new(Reason::NoPermission, "/root: denied")];
        seen.initramfs.troubles = vec![Trouble::new(Reason::NoPermission, "denied")];
        let gaps = seen.gaps();
        assert_eq!(gaps.len(), 3);
        assert!(gaps[0].remedy.contains("root"));
        assert!(gaps[2].detail.contains("4096") && gaps[2].detail.contains("and 2 more"));
    }
}
