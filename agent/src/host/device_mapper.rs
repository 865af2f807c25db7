//! The live table of a device-mapper device, by ioctl on `/dev/mapper/control`.
//!
//! A `crypt` target's line may hold the volume key in hex. It is blanked here, in the buffer that the
//! kernel filled, before anything else sees it, and the buffer is wiped.
//!
//! Layout and numbers: the kernel's `include/uapi/linux/dm-ioctl.h`.
#![expect(unsafe_code, reason = "an ioctl has no safe form")]

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use atrest_proto::model::Reason;
use zeroize::Zeroizing;

use super::trouble;
use crate::dm_table;
use crate::snapshot::{DeviceNumber, DmTarget, Observed, Trouble};

/// `struct dm_ioctl`: 312 bytes, with `data_size` at 12, `data_start` at 16, `target_count` at 20,
/// `flags` at 28, `dev` at 40, `name` at 48 and `uuid` at 176.
const HEADER: usize = 312;
/// `struct dm_target_spec`: start and length at 0 and 8, status at 16, next at 20, type at 24, then arguments.
const SPEC: usize = 40;
/// Name length, `DM_NAME_LEN`.
const NAME_LEN: usize = 128;

/// `DM_STATUS_TABLE_FLAG`: the table, not the status.
const STATUS_TABLE: u32 = 1 << 4;
/// `DM_BUFFER_FULL_FLAG`: what the kernel had to say did not fit.
const BUFFER_FULL: u32 = 1 << 8;
/// `DM_NOFLUSH_FLAG`: a thin pool must not commit its metadata because we looked.
const NOFLUSH: u32 = 1 << 11;
/// `DM_SECURE_DATA_FLAG`: the kernel wipes its own copy of the buffer.
const SECURE_DATA: u32 = 1 << 15;

/// First and largest buffer: a table of thousands of segments fits in a few hundred KiB.
const FIRST_BUFFER: usize = 16 * 1024;
const MAX_BUFFER: usize = 16 * 1024 * 1024;

// `_IOWR(0xfd, 12, struct dm_ioctl)`: DM_TABLE_STATUS.
nix::ioctl_readwrite!(table_status, 0xfd, 12, [u8; HEADER]);
// `_IOWR(0xfd, 11, struct dm_ioctl)`: DM_TABLE_DEPS.
nix::ioctl_readwrite!(table_deps, 0xfd, 11, [u8; HEADER]);

/// What the kernel is asked about a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Table,
    Dependencies,
}

/// Reads the table of the device called `name` (device numbers are taken only with an empty name).
pub(super) fn table(control: &Path, device: DeviceNumber) -> Observed<Vec<DmTarget>> {
    match read(control, device) {
        Ok(targets) => Observed::Known(targets),
        Err(trouble) if trouble.reason == Reason::NotFound => Observed::Absent,
        Err(trouble) => Observed::Unreadable(trouble),
    }
}

/// The devices that the live table stands on. sysfs lists those of a table that is loaded and not live, too.
pub(super) fn dependencies(control: &Path, device: DeviceNumber) -> Option<Vec<DeviceNumber>> {
    parse_dependencies(&ask(control, device, Question::Dependencies).ok()?)
}

fn read(control: &Path, device: DeviceNumber) -> Result<Vec<DmTarget>, Trouble> {
    let mut buffer = ask(control, device, Question::Table)?;
    parse(&mut buffer, &format!("device-mapper table of {device}"))
}

/// The kernel's whole answer, in a buffer that is wiped.
fn ask(
    control: &Path,
    device: DeviceNumber,
    question: Question,
) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    let what = format!("device-mapper table of {device}");
    // The control node is a character device; opening it for reading suffices.
    let control = File::open(control).map_err(|error| {
        let mut found = trouble(&error, &control.display());
        if found.reason == Reason::NotFound {
            // The device is there, so its table is too: what is missing is the way to ask.
            found.reason = Reason::Unreadable;
        }
        found
    })?;
    let mut size = FIRST_BUFFER;
    loop {
        let mut buffer = Zeroizing::new(vec![0_u8; size]);
        request(&mut buffer, device).ok_or_else(|| malformed(&what))?;
        let header: *mut [u8; HEADER] = buffer.as_mut_ptr().cast();
        let asked = match question {
            // SAFETY: `header` points to `size` bytes that live for the call, `size` is at least HEADER and is what
            // `data_size` tells the kernel, which writes no further than that.
            Question::Table => unsafe { table_status(control.as_raw_fd(), header) },
            // SAFETY: as above.
            Question::Dependencies => unsafe { table_deps(control.as_raw_fd(), header) },
        };
        asked.map_err(|errno| trouble(&std::io::Error::from(errno), &what))?;
        if field(&buffer, 28).ok_or_else(|| malformed(&what))? & BUFFER_FULL == 0 {
            return Ok(buffer);
        }
        size *= 4;
        if size > MAX_BUFFER {
            return Err(Trouble::new(Reason::Unreadable, format!("{what}: larger than 16 MiB")));
        }
    }
}

fn malformed(what: &str) -> Trouble {
    Trouble::new(Reason::Unreadable, format!("{what}: the kernel's answer makes no sense"))
}

/// Fills in the header of a request.
fn request(buffer: &mut [u8], device: DeviceNumber) -> Option<()> {
    let size = u32::try_from(buffer.len()).ok()?;
    let header = u32::try_from(HEADER).ok()?;
    // Version 4.0.0: the oldest of the interface; the kernel takes any 4.x that is not newer than its own.
    put(buffer, 0, &4_u32.to_ne_bytes())?;
    put(buffer, 12, &size.to_ne_bytes())?;
    put(buffer, 16, &header.to_ne_bytes())?;
    put(buffer, 28, &(STATUS_TABLE | NOFLUSH | SECURE_DATA).to_ne_bytes())?;
    put(buffer, 40, &kernel_device(device).to_ne_bytes())
}

/// `huge_encode_dev` of the kernel: minor bits 0–7, major, minor bits 8–19.
fn kernel_device(device: DeviceNumber) -> u64 {
    let (major, minor) = (u64::from(device.major), u64::from(device.minor));
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

fn put(buffer: &mut [u8], at: usize, bytes: &[u8]) -> Option<()> {
    buffer.get_mut(at..at.checked_add(bytes.len())?)?.copy_from_slice(bytes);
    Some(())
}

fn field(buffer: &[u8], at: usize) -> Option<u32> {
    let bytes = buffer.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

fn wide_field(buffer: &[u8], at: usize) -> Option<u64> {
    let bytes = buffer.get(at..at.checked_add(8)?)?;
    Some(u64::from_ne_bytes(bytes.try_into().ok()?))
}

/// The text up to the first NUL of a fixed field.
fn text(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Reads the targets out of the kernel's answer, blanking keys in place first.
pub(crate) fn parse(buffer: &mut [u8], what: &str) -> Result<Vec<DmTarget>, Trouble> {
    let count = field(buffer, 20).ok_or_else(|| malformed(what))?;
    let data = field(buffer, 16).and_then(|at| usize::try_from(at).ok());
    let data = data.ok_or_else(|| malformed(what))?;
    let answer = buffer.get_mut(data..).ok_or_else(|| malformed(what))?;
    let mut targets = Vec::new();
    let mut at = 0_usize;
    for _ in 0..count {
        let target = target_at(answer, at).ok_or_else(|| malformed(what))?;
        targets.push(target);
        // `next` counts from the start of the first specification.
        at = field(answer, at + 20)
            .and_then(|next| usize::try_from(next).ok())
            .filter(|next| *next > at)
            .ok_or_else(|| malformed(what))?;
    }
    Ok(targets)
}

/// `struct dm_target_deps`: a count at 0, the devices from 8 on.
fn parse_dependencies(buffer: &[u8]) -> Option<Vec<DeviceNumber>> {
    let data = usize::try_from(field(buffer, 16)?).ok()?;
    let answer = buffer.get(data..)?;
    let count = usize::try_from(field(answer, 0)?).ok()?;
    let devices = answer.get(8..8_usize.checked_add(count.checked_mul(8)?)?)?;
    let devices = devices.chunks_exact(8).map(|device| wide_field(device, 0).and_then(number));
    devices.collect()
}

/// `huge_decode_dev` of the kernel.
fn number(encoded: u64) -> Option<DeviceNumber> {
    let minor = (encoded & 0xff) | ((encoded >> 12) & 0xfff_ff00);
    Some(DeviceNumber::new(u32::try_from((encoded >> 8) & 0xfff).ok()?, u32::try_from(minor).ok()?))
}

fn target_at(answer: &mut [u8], at: usize) -> Option<DmTarget> {
    let spec = answer.get(at..)?;
    let start = wide_field(spec, 0)?;
    let length = wide_field(spec, 8)?;
    let kind = String::from_utf8_lossy(text(spec.get(24..SPEC)?)).into_owned();
    let next = usize::try_from(field(spec, 20)?).ok()?;
    let end = if next > at { next.min(answer.len()) } else { answer.len() };
    let arguments = answer.get_mut(at.checked_add(SPEC)?..end)?;
    let length_of_text = text(arguments).len();
    let arguments = arguments.get_mut(..length_of_text)?;
    dm_table::blank_key(&kind, arguments);
    Some(DmTarget { start, length, kind, args: dm_table::split_args(arguments) })
}

/// Fills the name field; kept for the length check that the kernel makes.
const _: () = assert!(48 + NAME_LEN == 176, "the name field ends where the UUID begins");

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds an answer as the kernel lays it out.
    fn answer(targets: &[(u64, u64, &str, &str)]) -> Vec<u8> {
        let mut data = Vec::new();
        for (start, length, kind, args) in targets {
            let at = data.len();
            data.extend(start.to_ne_bytes());
            data.extend(length.to_ne_bytes());
            data.extend(0_i32.to_ne_bytes());
            data.extend(0_u32.to_ne_bytes());
            let mut name = [0_u8; 16];
            name[..kind.len()].copy_from_slice(kind.as_bytes());
            data.extend(name);
            data.extend(args.as_bytes());
            data.push(0);
            while data.len() % 8 != 0 {
                data.push(0);
            }
            let next = u32::try_from(data.len()).unwrap();
            data[at + 20..at + 24].copy_from_slice(&next.to_ne_bytes());
        }
        let mut buffer = vec![0_u8; HEADER];
        buffer[16..20].copy_from_slice(&u32::try_from(HEADER).unwrap().to_ne_bytes());
        buffer[20..24].copy_from_slice(&u32::try_from(targets.len()).unwrap().to_ne_bytes());
        buffer.extend(data);
        buffer
    }

    #[test]
    fn every_target_is_read_and_the_key_is_gone_from_the_buffer() {
        let key = "0123456789abcdef".repeat(8);
        let mut buffer = answer(&[
            (0, 100, "crypt", &format!("aes-xts-plain64 {key} 0 8:2 4096")),
            (100, 50, "linear", "8:3 0"),
        ]);
        let targets = parse(&mut buffer, "x").unwrap();
        assert_eq!(targets.len(), 2);
        assert_eq!(targets[0].args[1], "0".repeat(128));
        assert_eq!(targets[1].args, ["8:3", "0"]);
        assert!(!String::from_utf8_lossy(&buffer).contains("abcdef"));
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_an_error() {
        let mut buffer = answer(&[(0, 100, "linear", "8:3 0"), (100, 5, "linear", "8:4 0")]);
        // The first target says that the next one is itself.
        buffer[HEADER + 20..HEADER + 24].fill(0);
        assert!(parse(&mut buffer, "x").is_err());
        let mut short = answer(&[(0, 100, "linear", "8:3 0")]);
        short.truncate(HEADER + 10);
        assert!(parse(&mut short, "x").is_err());
    }

    #[test]
    fn the_devices_of_a_live_table_are_read_as_far_as_they_are_there() {
        let devices = [DeviceNumber::new(8, 1), DeviceNumber::new(254, 0x1ff)];
        let mut buffer = answer(&[]);
        buffer.extend(2_u32.to_ne_bytes());
        buffer.extend(0_u32.to_ne_bytes());
        buffer.extend(devices.iter().flat_map(|device| kernel_device(*device).to_ne_bytes()));
        assert_eq!(parse_dependencies(&buffer), Some(devices.to_vec()));
        buffer.truncate(buffer.len() - 1);
        assert_eq!(parse_dependencies(&buffer), None);
    }

    #[test]
    fn device_numbers_are_encoded_as_the_kernel_does() {
        assert_eq!(kernel_device(DeviceNumber::new(254, 3)), 0xfe03);
        assert_eq!(kernel_device(DeviceNumber::new(254, 0x1ff)), 0x10_fe_ff);
    }

    proptest::proptest! {
        #[test]
        fn any_answer_is_survived(mut bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600)) {
            drop(parse_dependencies(&bytes));
            drop(parse(&mut bytes, "x"));
        }
    }
}
