//! What was typed before, in a file: one entry a line. The line editor's own file is not used, because it needs a
//! newer Rust than ours.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Older entries are forgotten.
const KEPT: usize = 2000;

/// The file. Where there can be none, nothing is said: a guest often has no place to write to.
pub(super) struct History {
    path: Option<PathBuf>,
}

impl History {
    /// The one of this user.
    pub(super) fn of_user() -> Self {
        Self {
            path: path(env::var_os("XDG_STATE_HOME").map(Into::into), env::var_os("HOME").map(Into::into)),
        }
    }

    /// The entries, oldest first.
    pub(super) fn load(&self) -> Vec<String> {
        let Some(path) = &self.path else { return Vec::new() };
        // Lines that are no UTF-8 are not ours, but no reason to lose the others.
        let text =
            fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let kept = &lines[lines.len().saturating_sub(KEPT)..];
        if lines.len() > 2 * KEPT {
            let _ = replace(path, kept);
        }
        kept.iter().map(|line| unescape(line)).collect()
    }

    /// Adds an entry. Other shells may add theirs at the same time: each is one write.
    pub(super) fn add(&self, entry: &str) {
        let Some(path) = &self.path else { return };
        // Without history one can work all the same.
        let _ = append(path, &format!("{}\n", escape(entry)));
    }
}

/// `$XDG_STATE_HOME/netdma/history`, or below `~/.local/state`. The specification wants a relative path ignored.
fn path(state: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    let state = state.filter(|state| state.is_absolute());
    let home = home.filter(|home| home.is_absolute()).map(|home| home.join(".local/state"));
    Some(state.or(home)?.join("netdma/history"))
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    file.write_all(line.as_bytes())
}

fn replace(path: &Path, lines: &[&str]) -> io::Result<()> {
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let written =
        file.write_all((lines.join("\n") + "\n").as_bytes()).and_then(|()| fs::rename(&draft, path));
    written.inspect_err(|_| drop(fs::remove_file(&draft)))
}

/// An entry on one line.
fn escape(entry: &str) -> String {
    entry.replace('\\', "\\\\").replace('\n', "\\n")
}

fn unescape(line: &str) -> String {
    let mut entry = String::new();
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (letter, letter == '\\') {
            (_, false) => entry.push(letter),
            (_, true) => match letters.next() {
                Some('n') => entry.push('\n'),
                Some(other) => entry.push(other),
                None => entry.push('\\'),
            },
        }
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &Path) -> History {
        History { path: Some(path.into()) }
    }

    #[test]
    fn the_file_lies_where_the_specification_says() {
        let path = |state: &str, home: &str| path(Some(state.into()), Some(home.into()));
        assert_eq!(path("/s", "/h").unwrap(), Path::new("/s/netdma/history"));
        assert_eq!(path("relative", "/h").unwrap(), Path::new("/h/.local/state/netdma/history"));
        assert_eq!(path("", ""), None);
    }

    #[test]
    fn entries_come_back_in_order_with_their_lines_and_backslashes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/er/history");
        for entry in ["one", "if x {\n  \"\\n\"\n}", "ä\\"] {
            at(&file).add(entry);
        }
        assert_eq!(at(&file).load(), ["one", "if x {\n  \"\\n\"\n}", "ä\\"]);
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_grew_too_long_keeps_its_newest_entries() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("history");
        let lines: String = (0..3 * KEPT).map(|n| format!("{n}\n")).collect();
        fs::write(&file, lines).unwrap();
        let kept = at(&file).load();
        assert_eq!((kept.len(), kept[0].as_str()), (KEPT, (2 * KEPT).to_string().as_str()));
        assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), KEPT);
    }

    #[test]
    fn where_nothing_can_be_written_nothing_happens() {
        let nowhere = at(Path::new("/proc/none/history"));
        nowhere.add("x");
        assert_eq!(nowhere.load(), [""; 0]);
        assert_eq!(History { path: None }.load(), [""; 0]);
    }
}
