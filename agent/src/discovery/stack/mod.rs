//! How instances of all products are found, told apart and written down.
//!
//! A product makes a [`Candidate`] of everything that may be an instance of it (processes, units, packages, archives), and
//! says of each what it is: a [`Description`]. [`write_down()`] sees which of them are one.

mod archives;
mod files;
mod names;
mod package;
mod processes;
mod settings;
mod units;
mod write;

use std::collections::BTreeMap;

use atrest_proto::model::{Gap, Use};

use super::assumed::Guess;
use super::instance::Instance;
use crate::drift::Source;
use crate::node_api::Endpoint;
use crate::path::HostPath;
use crate::secrets::Form;
pub(super) use archives::{archive, unpacked};
pub(super) use files::{exists, is_directory, may_be_configured, may_exist};
pub(super) use names::{Naming, name};
pub(super) use package::Package;
pub(super) use processes::{executable, running, servers};
pub(super) use settings::{Lookup, Values, settings};
pub(super) use units::{open_script, outputs, started_by_units};
pub(super) use write::write_down;

/// Why an instance is thought to be there. What comes first knows most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    Process,
    Unit,
    Package,
    Archive,
}

/// An instance that was found in one way; another way may lead to the same one.
pub(super) struct Candidate {
    pub(super) instance: Instance,
    pub(super) origin: Origin,
    /// Where systemd writes what it prints.
    pub(super) outputs: Vec<HostPath>,
}

/// What a product says of one candidate.
#[derive(Default)]
pub(super) struct Description {
    pub(super) product: String,
    pub(super) name: String,
    pub(super) version: Option<String>,
    pub(super) cluster_name: Option<String>,
    pub(super) node_name: Option<String>,
    pub(super) roles: Vec<String>,
    /// That it holds data of.
    pub(super) tiers: Vec<String>,
    pub(super) home: HostPath,
    pub(super) config: HostPath,
    /// The last file of settings that is read, or the directory of all: two instances do not share it, unless their data are
    /// apart.
    pub(super) settings: HostPath,
    /// What runs tells its data better than the unit that it was started by.
    pub(super) outdoes_units: bool,
    pub(super) data: Vec<HostPath>,
    /// Where it writes besides its data and its configuration directory.
    pub(super) places: Vec<(Use, HostPath)>,
    /// Which of its data and places are defaults of settings that are not known.
    pub(super) guesses: Vec<Guess>,
    /// With the names of their formats.
    pub(super) keystores: Vec<(HostPath, &'static str)>,
    pub(super) configurations: Vec<(HostPath, Form)>,
    /// Settings with what a source says of them.
    pub(super) claims: Vec<(String, Source, Vec<String>)>,
    /// Its API, under whatever name.
    pub(super) endpoint: Option<Endpoint>,
    /// Settings of the clients of stores.
    pub(super) stores: BTreeMap<String, String>,
    pub(super) gaps: Vec<Gap>,
}
