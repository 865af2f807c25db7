//! The vocabulary of the product: plain data, without wire types, clocks or files.

mod finding;
mod layer;
mod posture;
mod words;

pub use finding::{Finding, Gap, Outcome, Severity};
pub use layer::{EncryptedBy, Layer, PlainLeg};
pub use posture::{
    Host, Keystore, NearestParent, Password, PathPosture, Posture, Repository, Service, Undecided,
};
pub use words::{Reason, UnknownWord, Use, Verdict};
