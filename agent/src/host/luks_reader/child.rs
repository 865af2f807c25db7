//! The child that lets libcryptsetup parse one private copy of a header, and then ends.
//!
//! It gets the copy as its standard input and answers with one JSON object. It gives up every privilege and
//! bounds itself before it looks at the first byte.
#![expect(unsafe_code, reason = "libcryptsetup takes its log callback as a C function")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;

use libcryptsetup_rs::consts::vals::{CryptDebugLevel, CryptKdf, EncryptionFormat, KeyslotInfo};
use libcryptsetup_rs::{CryptDevice, CryptInit, LibcryptErr, set_debug_level, set_log_callback};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid};

use super::Answer;
use crate::confine;
use crate::luks::layout::{self, LOOK, Names, Start};
use crate::luks::{self, Header, Kdf, Keyslot, clean, json_area, metadata};

/// The copy: standard input, opened anew, since libcryptsetup wants a name.
const COPY: &str = "/proc/self/fd/0";

/// What libcryptsetup said so far.
static SAID: Mutex<Said> = Mutex::new(Said { last: String::new(), reason: String::new() });

/// The messages of libcryptsetup, as far as they tell why it refuses a header.
struct Said {
    last: String,
    /// The first that tells it; empty when none did.
    reason: String,
}

impl Said {
    fn hear(&mut self, is_error: bool, message: &str) {
        // It tries to repair what it has just found wrong, and names validation errors itself.
        let reason = if is_error {
            message
        } else if message.starts_with("Repairing JSON metadata") {
            // Checksums are none of a reader's business.
            Some(self.last.as_str())
                .filter(|last| !last.starts_with("Checksum"))
                .unwrap_or_default()
        } else {
            message.strip_prefix("ERROR:").unwrap_or_default().trim()
        };
        if self.reason.is_empty() {
            self.reason = clean(reason);
        }
        self.last = clean(message);
    }
}

/// The program behind the hidden subcommand: standard input is the copy, standard output gets the answer.
pub fn child_main() -> ExitCode {
    let answer = match confine() {
        Ok(()) => examine(),
        Err(error) => {
            Answer::Refused(format!("the reader of LUKS headers cannot be confined: {error:#}"))
        }
    };
    let written = serde_json::to_vec(&answer)
        .map_err(io::Error::other)
        .and_then(|json| io::stdout().write_all(&json));
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Gives up what a parser does not need.
fn confine() -> anyhow::Result<()> {
    /// Room for the program itself, its libraries, and a header of 8 MiB as a tree of JSON. One that was made to need
    /// more, such as a million empty objects, is refused.
    const MEMORY: u64 = 512 << 20;
    /// Seconds of the processor.
    const TIME: u64 = 2;
    const FILES: u64 = 16;
    /// Repairs are written to the copy, which ends its metadata at 8 MiB.
    const WRITTEN: u64 = 8 << 20;

    set_pdeathsig(Signal::SIGKILL)?;
    for (resource, bound) in [
        (Resource::RLIMIT_AS, MEMORY),
        (Resource::RLIMIT_CPU, TIME),
        (Resource::RLIMIT_NOFILE, FILES),
        (Resource::RLIMIT_FSIZE, WRITTEN),
        (Resource::RLIMIT_CORE, 0),
    ] {
        let (_, hard) = getrlimit(resource)?;
        setrlimit(resource, bound.min(hard), bound.min(hard))?;
    }
    if geteuid().is_root() {
        /// `nobody`, by convention of the kernel's overflow ids.
        const NOBODY: u32 = 65_534;
        let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        // A service without CAP_SETUID, or a user namespace without that id, cannot; the bounds above stay.
        let _dropped = setgroups(&[])
            .and_then(|()| setresgid(group, group, group))
            .and_then(|()| setresuid(user, user, user));
    }
    // Where the kernel has no Landlock, what is left is that of `nobody`, or of the account of the half that looks.
    confine::parser()?;
    Ok(())
}

fn examine() -> Answer {
    match header() {
        Ok(header) => Answer::Header(Box::new(header)),
        Err(error) => Answer::Refused(refusal(&error)),
    }
}

/// libcryptsetup's own words, which name what is wrong, else the error it gave.
fn refusal(error: &LibcryptErr) -> String {
    let said = SAID.lock().map(|said| said.reason.clone()).unwrap_or_default();
    let why = if said.is_empty() { format!("it finds no valid one ({error})") } else { said };
    format!("libcryptsetup refuses the LUKS header: {}", clean(&why))
}

fn header() -> Result<Header, LibcryptErr> {
    set_log_callback::<()>(Some(remember), None);
    // What is wrong with LUKS2 metadata is told at this level only.
    set_debug_level(CryptDebugLevel::All);
    let copy = File::open(COPY).map_err(LibcryptErr::IOError)?;
    let format = match layout::start(&first_bytes(&copy)?) {
        Start::Luks1 => EncryptionFormat::Luks1,
        Start::Luks2(_) | Start::Other | Start::Unsupported(_) => EncryptionFormat::Luks2,
    };
    let is_luks1 = format == EncryptionFormat::Luks1;
    let mut device = CryptInit::init(Path::new(COPY))?;
    device.context_handle().load::<()>(Some(format), None)?;
    let header = if is_luks1 { luks1(&mut device)? } else { luks2(&copy)? };
    // Read after libcryptsetup has restored a damaged first header from the second.
    let Names { uuid, label, subsystem } = layout::names(&first_bytes(&copy)?);
    Ok(Header { uuid, label, subsystem, ..header })
}

fn first_bytes(copy: &File) -> Result<Vec<u8>, LibcryptErr> {
    read_start(copy, LOOK)
}

/// As much of the copy; less where it ends. It is memory, which is read in one piece.
fn read_start(copy: &File, length: usize) -> Result<Vec<u8>, LibcryptErr> {
    let mut bytes = vec![0; length];
    let count = copy.read_at(&mut bytes, 0).map_err(LibcryptErr::IOError)?;
    bytes.truncate(count);
    Ok(bytes)
}

fn luks1(device: &mut CryptDevice) -> Result<Header, LibcryptErr> {
    /// The format has room for eight, always.
    const SLOTS: u32 = 8;
    let mut status = device.status_handle();
    let cipher = format!("{}-{}", status.get_cipher()?, status.get_cipher_mode()?);
    let key_bits =
        u32::try_from(status.get_volume_key_size()).ok().and_then(|bytes| bytes.checked_mul(8));
    let mut keyslots = Vec::new();
    for number in 0..SLOTS {
        let mut handle = device.keyslot_handle();
        match handle.status(number)? {
            KeyslotInfo::Invalid | KeyslotInfo::Inactive => continue,
            KeyslotInfo::Active | KeyslotInfo::ActiveLast | KeyslotInfo::Unbound => {}
        }
        let pbkdf = handle.get_pbkdf(number)?;
        let kdf = match (pbkdf.type_, pbkdf.hash) {
            (CryptKdf::Pbkdf2, Some(hash)) => {
                Kdf::Pbkdf2 { hash: clean(&hash), iterations: pbkdf.iterations }
            }
            (CryptKdf::Pbkdf2 | CryptKdf::Argon2I | CryptKdf::Argon2Id, _) => {
                Kdf::Other("without a hash".to_owned())
            }
        };
        let kind = "luks1".to_owned();
        keyslots.push(Keyslot { number, unbound: false, kind, key_bits, kdf: Some(kdf) });
    }
    Ok(Header { version: 1, cipher: clean(&cipher), key_bits, keyslots, ..Header::default() })
}

/// What libcryptsetup went by: it has read and checked the copy, and written into it what it restored.
fn luks2(copy: &File) -> Result<Header, LibcryptErr> {
    let failed = |error: &dyn std::fmt::Display| LibcryptErr::Other(error.to_string());
    let Start::Luks2(Some(size)) = layout::start(&first_bytes(copy)?) else {
        return Err(failed(&json_area::Error::Incomplete));
    };
    // The second header is as large as the first and follows it.
    let both = usize::try_from(size.saturating_mul(2)).map_err(|error| failed(&error))?;
    let bytes = read_start(copy, both)?;
    let json = json_area::text(&bytes).map_err(|error| failed(&error))?;
    let json = serde_json::from_slice(json).map_err(|error| failed(&error))?;
    metadata::from_luks2(json).map_err(|error: luks::Error| failed(&error))
}

/// Hears what libcryptsetup reports.
///
/// # Safety
/// `message` is null or a C string that lives for the call: libcryptsetup's promise for its log callbacks.
unsafe extern "C" fn remember(level: c_int, message: *const c_char, _data: *mut c_void) {
    /// `CRYPT_LOG_ERROR` of `libcryptsetup.h`.
    const ERROR: c_int = 1;
    if message.is_null() {
        return;
    }
    // SAFETY: not null, and a C string by the contract of the callback.
    let message = unsafe { CStr::from_ptr(message) };
    if let Ok(mut said) = SAID.lock() {
        said.hear(level == ERROR, message.to_string_lossy().trim());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_is_kept_and_chatter_is_not() {
        let mut said = Said { last: String::new(), reason: String::new() };
        for message in
            ["Trying to read", "offset \"-42\" is not", "Repairing JSON metadata.", "ERROR: x"]
        {
            said.hear(false, message);
        }
        assert_eq!(said.reason, "offset \"-42\" is not");
    }

    #[test]
    fn an_error_is_a_reason() {
        let mut said = Said { last: String::new(), reason: String::new() };
        said.hear(false, "Crypto backend initialised");
        said.hear(true, "LUKS keyslot 5 is invalid.");
        assert_eq!(said.reason, "LUKS keyslot 5 is invalid.");
    }
}
