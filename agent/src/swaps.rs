//! `/proc/swaps`: where memory may come to rest. See `proc_swaps(5)`.

use crate::mounts::unescape;
use crate::path::HostPath;

/// The path and kind of each swap area, in the file's order. `None` when a line makes no sense or the file is cut short: the
/// kernel always writes a heading, and whole lines.
pub fn parse(text: &[u8]) -> Option<Vec<(HostPath, String)>> {
    /// The kernel marks a swap file without a name so.
    const DELETED: &[u8] = b"\\040(deleted)";
    let lines = text.strip_suffix(b"\n").filter(|text| text.starts_with(b"Filename"))?;
    lines
        .split(|byte| *byte == b'\n')
        .skip(1)
        .filter(|line| !line.is_empty())
        .map(|line| {
            let mut fields = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
            let path = fields.next()?;
            let path = path.strip_suffix(DELETED).unwrap_or(path);
            let kind = fields.next()?;
            let path = HostPath::new(unescape(path));
            path.is_absolute().then(|| (path, String::from_utf8_lossy(kind).into_owned()))
        })
        .collect()
}

/// How much of a file [`is_swap`] wants to see: the largest page that Linux has.
pub const START: usize = 64 * 1024;

/// Whether the start of a file is that of a swap area: the signature ends its first page, which has 4 to 64 KiB.
/// See `union swap_header` in the kernel's `include/linux/swap.h`.
pub fn is_swap(start: &[u8]) -> bool {
    const SIGNATURE: &[u8] = b"SWAPSPACE2";
    [4096, 8192, 16_384, 32_768, 65_536].iter().any(|page| {
        start.get(page - SIGNATURE.len()..*page).is_some_and(|bytes| bytes == SIGNATURE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_and_files_are_read() {
        let text = b"Filename\t\t\t\tType\t\tSize\tUsed\tPriority\n/dev/dm-1                               partition\t1712124\t0\t-1\n/swap\\040file file 10 0 -2\n";
        let swaps = parse(text).unwrap();
        assert_eq!(swaps[0], ("/dev/dm-1".into(), "partition".to_owned()));
        assert_eq!(swaps[1], ("/swap file".into(), "file".to_owned()));
    }

    #[test]
    fn a_swap_file_is_told_by_its_signature() {
        let mut start = vec![0; START];
        assert!(!is_swap(&start));
        start[4086..4096].copy_from_slice(b"SWAPSPACE2");
        assert!(is_swap(&start));
        assert!(!is_swap(&start[..4000]));
    }

    #[test]
    fn no_swap_is_an_empty_list_and_nonsense_is_none() {
        assert_eq!(parse(b"Filename Type Size Used Priority\n"), Some(Vec::new()));
        for text in [
            &b""[..],
            b"Filename\n/dev/sda1\n",
            b"Filename\n/dev/sda1 partition 1 0 -2",
            b"Filename\nsda1 partition 1 0 -2\n",
            b"/dev/sda1 partition 1 0 -2\n",
        ] {
            assert_eq!(parse(text), None, "{}", String::from_utf8_lossy(text));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(text in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _parsed = parse(&text);
        }
    }
}
