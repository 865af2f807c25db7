//! A recording as one text file, so that it can be read, compared and kept under version control.
//!
//! A line `== PATH` starts a file, whose lines follow, each indented by one tab; `-> PATH TARGET` is a symbolic link;
//! `-- PATH` an empty directory. Lines that start with `#` are comments. Paths are quoted as JSON strings.

use std::fmt::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};

/// Writes what `text` holds into `root`.
pub fn unpack(text: &str, root: &Path) -> anyhow::Result<()> {
    let mut file: Option<(PathBuf, String)> = None;
    for line in text.lines() {
        if let Some(content) = line.strip_prefix('\t') {
            let (_, held) = file.as_mut().context("a line of a file before any file")?;
            held.push_str(content);
            held.push('\n');
            continue;
        }
        finish(file.take())?;
        let Some((kind, rest)) = line.split_once(' ') else {
            ensure!(line.is_empty(), "`{line}` is not a line of a recording");
            continue;
        };
        let names: Vec<String> = serde_json::Deserializer::from_str(rest)
            .into_iter()
            .take(if kind == "#" { 0 } else { 2 })
            .collect::<Result<_, _>>()
            .with_context(|| format!("names of `{line}`"))?;
        match (kind, names.as_slice()) {
            ("#", _) => {}
            ("==", [path]) => file = Some((place(root, path)?, String::new())),
            ("--", [path]) => std::fs::create_dir_all(place(root, path)?)?,
            ("->", [path, target]) => symlink(target, place(root, path)?)?,
            _ => bail!("`{line}` is not a line of a recording"),
        }
    }
    finish(file.take())
}

fn finish(file: Option<(PathBuf, String)>) -> anyhow::Result<()> {
    if let Some((path, text)) = file {
        std::fs::write(&path, text).with_context(|| format!("{}", path.display()))?;
    }
    Ok(())
}

fn place(root: &Path, path: &str) -> anyhow::Result<PathBuf> {
    let relative = Path::new(path);
    let inside = relative.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    ensure!(inside, "`{path}` leads out of the recording");
    let real = root.join(relative);
    std::fs::create_dir_all(real.parent().context("a parent")?)?;
    Ok(real)
}

/// The text of the recording in `root`. Files must be text.
pub fn pack(root: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    pack_directory(root, root, &mut text)?;
    Ok(text)
}

fn pack_directory(root: &Path, directory: &Path, text: &mut String) -> anyhow::Result<()> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(directory)?
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<_>>()?;
    entries.sort();
    if entries.is_empty() {
        writeln!(text, "-- {}", quoted(root, directory)?)?;
    }
    for path in entries {
        let kind = std::fs::symlink_metadata(&path)?.file_type();
        let name = quoted(root, &path)?;
        if kind.is_symlink() {
            let target = std::fs::read_link(&path)?;
            writeln!(text, "-> {name} {}", serde_json::to_string(&target)?)?;
        } else if kind.is_dir() {
            pack_directory(root, &path, text)?;
        } else {
            writeln!(text, "== {name}")?;
            let bytes = read(&path)?;
            let content =
                String::from_utf8(bytes).with_context(|| format!("{}", path.display()))?;
            for line in content.lines() {
                writeln!(text, "\t{line}")?;
            }
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "what a test recorded itself is small")]
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    std::fs::read(path)
}

fn quoted(root: &Path, path: &Path) -> anyhow::Result<String> {
    Ok(serde_json::to_string(path.strip_prefix(root)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_survives_packing() -> anyhow::Result<()> {
        let text = "== \"etc/os-release\"\n\tNAME=x\n\n\tY=z\n".replace("\n\n", "\n\t\n");
        let text = format!("-- \"data\"\n{text}-> \"sys/dev/block/8:0\" \"../../devices/a b\"\n");
        let scratch = tempfile::tempdir()?;
        unpack(&text, scratch.path())?;
        assert_eq!(pack(scratch.path())?, text);
        Ok(())
    }

    #[test]
    fn a_recording_cannot_lead_out_of_its_directory() -> anyhow::Result<()> {
        let scratch = tempfile::tempdir()?;
        assert!(unpack("== \"../x\"\n\ta\n", scratch.path()).is_err());
        assert!(unpack("== \"/x\"\n\ta\n", scratch.path()).is_err());
        Ok(())
    }
}
