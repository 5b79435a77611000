//! The record of a session, as a file.

use std::env;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use netdma::script::record::{Head, Readings, Record};
use netdma::script::{Evaluator, Session};

use super::super::output::Output;
use super::command::Recording;
use super::date;

/// Writes it, and says what it wrote.
pub(super) fn write(
    record: &Record,
    session: &std::rc::Rc<Session>,
    recording: &Recording,
) -> anyhow::Result<String> {
    let Recording { file, replace, expect } = recording;
    if record.is_empty() {
        anyhow::bail!("record: nothing to write: no statement has succeeded yet");
    }
    let readings = if *expect { Readings::Expect } else { Readings::Repeat };
    let script = record.render(&head(session, file), readings);
    // It is tried in a place that knows nothing of this session, as it will be run.
    Evaluator::new(session.clone()).compile(&script).map_err(|error| {
        anyhow::anyhow!(
            "record: what was typed since `record start` does not stand by itself: {error} of the script that it would be"
        )
    })?;
    put(Path::new(file), *replace, script.as_bytes())?;
    Ok(format!("{file}: {} statements; run it with: {}", record.len(), run_it(file)))
}

fn put(path: &Path, replace: bool, script: &[u8]) -> anyhow::Result<()> {
    if replace {
        let output = Output::create(path)?;
        output.write(script)?;
        return output.keep();
    }
    let written = File::create_new(path)
        .and_then(|mut file| file.write_all(script).inspect_err(|_| drop(fs::remove_file(path))));
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            anyhow::anyhow!("record: {} is there already: `record! {0}` replaces it", path.display())
        }
        _ => anyhow::anyhow!("record: cannot write {}: {error}", path.display()),
    })
}

fn head(session: &Session, file: &str) -> Head {
    Head {
        recorded_by: command("shell", None),
        device: session.device_name(),
        date: date::now(),
        run_it: run_it(file),
    }
}

fn run_it(file: &str) -> String {
    command("script", Some(file))
}

/// The command line of this session, for another command: the options are the same.
fn command(name: &str, file: Option<&str>) -> String {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let options = arguments.iter().position(|argument| argument == "shell").map_or(0, |at| at + 1);
    let words =
        ["netdma", name].into_iter().chain(file).chain(arguments[options..].iter().map(String::as_str));
    words.map(quoted).collect::<Vec<_>>().join(" ")
}

/// For a POSIX shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.into(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell_only_where_they_must_be() {
        assert_eq!(quoted("socket:/tmp/dma.sock"), "socket:/tmp/dma.sock");
        assert_eq!(quoted("msix: nth(3) drop"), "'msix: nth(3) drop'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn a_file_that_is_there_is_replaced_only_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.rhai");
        put(&path, false, b"one").unwrap();
        let error = put(&path, false, b"two").unwrap_err().to_string();
        assert!(error.contains("is there already: `record! "), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        put(&path, true, b"two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert!(
            put(&folder.path().join("none/a"), false, b"").unwrap_err().to_string().contains("cannot write")
        );
    }
}
