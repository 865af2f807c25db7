//! The files of the spool: their names, and what is in the directory.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::super::files;
use super::frame;
use super::ledger::Cause;

/// Digits of a number in a file name: all that fit, so that names sort as numbers do.
const DIGITS: usize = 20;
pub(super) const REPORT: &str = "report";
pub(super) const DAMAGED: &str = "damaged";
const REFUSED: &str = "refused";
/// So many reports that were moved aside are kept for a look; older ones are removed.
pub(super) const KEPT_ASIDE: usize = 8;

pub(super) fn ledger_path(dir: &Path) -> PathBuf {
    dir.join("ledger.json")
}

pub(super) fn path_in(dir: &Path, sequence: u64, kind: &str) -> PathBuf {
    dir.join(format!("{sequence:0DIGITS$}.{kind}"))
}

/// The numbers of the reports that are there. What a crash left half written is removed.
pub(super) fn reports_in(dir: &Path) -> io::Result<Vec<u64>> {
    let mut sequences = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') && name.ends_with(".tmp") {
            remove(&dir.join(&*name));
        } else if let Some((number, REPORT)) = name.split_once('.')
            && number.len() == DIGITS
            && let Ok(sequence) = number.parse()
        {
            sequences.push(sequence);
        }
    }
    Ok(sequences)
}

/// `None` when the file is not a whole report.
pub(super) fn read_header(path: &Path) -> io::Result<Option<frame::Header>> {
    let file = fs::File::open(path)?;
    let size = file.metadata()?.len();
    let mut head = Vec::with_capacity(frame::HEADER);
    file.take(u64::try_from(frame::HEADER).unwrap_or(u64::MAX)).read_to_end(&mut head)?;
    Ok(frame::Header::parse(&head).filter(|header| header.size() == size))
}

/// Whether an error says that this file is lost, and not that it cannot be read just now.
pub(super) fn is_damage(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::FileTooLarge || error.raw_os_error() == Some(libc::EIO)
}

pub(super) fn move_aside(dir: &Path, sequence: u64, cause: Cause) {
    let kind = match cause {
        Cause::Dropped => return remove(&path_in(dir, sequence, REPORT)),
        Cause::Damaged => DAMAGED,
        Cause::Refused => REFUSED,
    };
    let from = path_in(dir, sequence, REPORT);
    if fs::rename(&from, path_in(dir, sequence, kind)).is_err() {
        // It must not come back as a report, and there may be nothing left to keep.
        remove(&from);
    }
    let mut aside: Vec<PathBuf> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|kind| kind == DAMAGED || kind == REFUSED))
        .collect();
    aside.sort_unstable();
    let surplus = aside.len().saturating_sub(KEPT_ASIDE);
    for path in aside.iter().take(surplus) {
        remove(path);
    }
}

/// Removes a file that is of no more use. If it cannot be, it is found and removed at the next start.
pub(super) fn remove(path: &Path) {
    if let Err(error) = files::remove_if_there(path) {
        tracing::warn!(path = %path.display(), %error, "a file of the spool cannot be removed");
    }
}
