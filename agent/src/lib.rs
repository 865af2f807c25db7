//! Proves what an Elasticsearch or OpenSearch node lets rest on disk, and reports it.
//!
//! In reading order: the shell looks ([`host`], [`discovery`], [`observe`]) and makes a [`snapshot`]; the pure core
//! judges it ([`mounts`], [`layer`], [`filesystem`], [`volume`], [`check`], [`posture`]); the output shows it
//! ([`report`]) or sends it ([`transport`], [`daemon`]).

pub mod accounts;
pub mod assumption;
pub mod boot;
pub mod check;
pub mod cli;
pub mod config;
pub mod confine;
pub mod core_dumps;
pub mod crypttab;
pub mod daemon;
pub mod device_name;
pub mod discovery;
pub mod dm_table;
pub mod drift;
pub mod duties;
pub mod filesystem;
pub mod fstab;
#[doc(hidden)]
pub mod fuzzing;
mod gone;
mod heap;
pub mod hibernation;
pub mod host;
pub mod ini;
pub mod kdump;
pub mod keystore;
mod lasting;
pub mod layer;
mod leavable;
pub mod links;
pub mod luks;
pub mod membership;
pub mod memory;
pub mod mounts;
pub mod nfs;
pub mod node_api;
pub mod nsswitch;
pub mod object_store;
pub mod observe;
pub mod observer;
pub mod path;
mod pipeline;
pub mod policy;
pub mod posture;
mod reach;
pub mod report;
pub mod repository;
pub mod resident;
pub mod secrets;
pub mod snapshot;
pub mod status;
mod supervisor;
pub mod swaps;
pub mod transport;
pub mod variables;
pub mod volume;
pub mod watch;
pub mod zfs;
