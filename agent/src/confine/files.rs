//! Which files can be opened (`landlock(7)`).

use std::path::PathBuf;

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::Reach;

/// What this program knows of: the kernel's 6.12. An older kernel forbids what it knows of.
const KNOWN: ABI = ABI::V6;

/// What can be opened; nothing else can. What is not there is left out.
pub(super) struct Files {
    /// With everything below.
    pub(super) read: Vec<PathBuf>,
    /// Character devices, to be read and written.
    pub(super) nodes: Vec<PathBuf>,
    /// Directories with everything below; nothing in them can be run.
    pub(super) write: Vec<PathBuf>,
    /// What can be read can be run, too.
    pub(super) runs: bool,
}

impl Files {
    /// Holds for this thread and all that it starts, for good.
    pub(super) fn restrict(&self) -> Result<Reach, RulesetError> {
        let mut read = AccessFs::from_read(KNOWN);
        if !self.runs {
            read.remove(AccessFs::Execute);
        }
        let node = AccessFs::ReadFile | AccessFs::WriteFile;
        let mut write: BitFlags<AccessFs> = AccessFs::from_all(KNOWN);
        write.remove(
            AccessFs::Execute | AccessFs::MakeBlock | AccessFs::MakeChar | AccessFs::IoctlDev,
        );
        let restricted = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(KNOWN))?
            .scope(Scope::Signal)?
            .create()?
            .add_rules(path_beneath_rules(&self.read, read))?
            .add_rules(path_beneath_rules(&self.nodes, node))?
            .add_rules(path_beneath_rules(&self.write, write))?
            .restrict_self()?;
        Ok(match restricted.ruleset {
            RulesetStatus::FullyEnforced => Reach::Named,
            RulesetStatus::PartiallyEnforced => Reach::Older,
            RulesetStatus::NotEnforced => Reach::Everything,
        })
    }
}
