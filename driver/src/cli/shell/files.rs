//! The files that begin with some letters.

use std::fs;

use super::completion::Candidate;

/// They, sorted; folders end in a slash. What cannot be read has none.
pub(super) fn beginning_with(letters: &str) -> Vec<Candidate> {
    let (folder, begin) = letters.rfind('/').map_or(("", letters), |slash| letters.split_at(slash + 1));
    let place = if folder.is_empty() { "." } else { folder };
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    let named = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        // Hidden ones only for whoever asks for them.
        let wanted = name.starts_with(begin) && (begin.starts_with('.') || !name.starts_with('.'));
        let slash = if entry.path().is_dir() { "/" } else { "" };
        wanted.then(|| Candidate {
            inserted: format!("{folder}{name}{slash}"),
            shown: format!("{name}{slash}"),
        })
    });
    let mut all: Vec<_> = named.collect();
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_of_the_folder_that_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a1.rhai", "a2.rhai", "b.rhai", ".hidden"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir(folder.path().join("a0")).unwrap();
        let place = folder.path().display().to_string();
        let inserted = |letters: &str| -> Vec<String> {
            let all = beginning_with(&format!("{place}/{letters}"));
            all.into_iter().map(|it| it.inserted.strip_prefix(&place).unwrap().into()).collect()
        };
        assert_eq!(inserted("a"), ["/a0/", "/a1.rhai", "/a2.rhai"]);
        assert_eq!(inserted("").len(), 4);
        assert_eq!(inserted(".h"), ["/.hidden"]);
        assert_eq!(beginning_with("/nowhere at all/x"), []);
    }
}
