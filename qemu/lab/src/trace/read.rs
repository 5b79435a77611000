//! Trace files: JSON lines of one side or of both, with or without headers.

use std::fs;
use std::path::{Path, PathBuf};

use ioat_stage::Side;

use super::record::{Header, Line, Parsed, Record};

/// Why a file is no trace. Nothing of it is used then.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("{}: cannot be read", .0.display())]
    Unreadable(PathBuf, #[source] std::io::Error),
    /// A line is not what a trace is made of.
    #[error("{file}:{line}: {what}")]
    BadLine {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong, and what was expected.
        what: String,
    },
    /// There is nothing in it.
    #[error("{0}: holds no event: was the program started with `--trace`?")]
    Empty(String),
}

/// Everything that was recorded, in the order of time.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Where it comes from.
    pub files: Vec<String>,
    /// The headers that were found.
    pub headers: Vec<Header>,
    /// By time; what has the same time stays in the order of the file.
    pub records: Vec<Record>,
    /// What was odd but could be lived with.
    pub warnings: Vec<String>,
}

impl Trace {
    /// The header of a side.
    #[must_use]
    pub fn header(&self, side: Side) -> Option<&Header> {
        self.headers.iter().find(|header| header.side == Some(side))
    }

    /// Whether a side is in it.
    #[must_use]
    pub fn has(&self, side: Side) -> bool {
        self.records.iter().any(|record| record.side == side)
    }

    /// Records that were lost, by all `lost` lines.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let lost = self.records.iter().map(|record| match record.what {
            super::What::Lost(lost) => lost,
            super::What::Event(_) | super::What::Executed(_) => 0,
        });
        lost.fold(0, u64::saturating_add)
    }

    /// Puts the records into the order of time.
    pub fn sort(&mut self) {
        self.records.sort_by_key(|record| record.t_ns);
    }
}

/// Reads files into one trace.
///
/// # Errors
/// The first file that is none, with the line.
pub fn read(paths: &[impl AsRef<Path>]) -> Result<Trace, ReadError> {
    let mut trace = Trace::default();
    for path in paths {
        let path = path.as_ref();
        let bytes = fs::read(path).map_err(|error| ReadError::Unreadable(path.to_owned(), error))?;
        take(&path.display().to_string(), &bytes, &mut trace)?;
    }
    trace.sort();
    Ok(trace)
}

/// Reads a trace from memory; `name` stands for the file in messages.
///
/// # Errors
/// As for [`read`].
pub fn read_text(name: &str, text: &str) -> Result<Trace, ReadError> {
    let mut trace = Trace::default();
    take(name, text.as_bytes(), &mut trace)?;
    trace.sort();
    Ok(trace)
}

fn take(name: &str, bytes: &[u8], trace: &mut Trace) -> Result<(), ReadError> {
    let before = trace.records.len();
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        let whole = line.ends_with(b"\n");
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        match parse(line) {
            Ok(Some(record)) => trace.records.push(record),
            Ok(None) => trace.headers.push(header(line)),
            // A program that was killed leaves half a line; everything before it is good.
            Err(_) if !whole && lines.peek().is_none() => trace.warnings.push(format!(
                "{name}:{}: the last line is cut: the program was ended while it wrote",
                index + 1
            )),
            Err(what) => return Err(ReadError::BadLine { file: name.into(), line: index + 1, what }),
        }
    }
    trace.files.push(name.into());
    if trace.records.len() == before { Err(ReadError::Empty(name.into())) } else { Ok(()) }
}

/// A record, or nothing for a header.
fn parse(line: &[u8]) -> Result<Option<Record>, String> {
    let expected = "expected one JSON object per line, as --trace writes them";
    let line: Line =
        serde_json::from_slice(line).map_err(|error| format!("{}; {expected}", place_free(&error)))?;
    Ok(match line.parse()? {
        Parsed::Header => None,
        Parsed::Record(record) => Some(record),
    })
}

/// The words of the header; one of another kind in a field that is only for people is left out.
fn header(line: &[u8]) -> Header {
    serde_json::from_slice(line).unwrap_or_default()
}

/// The parser's message with the column, but without its line number, which is always 1 here.
fn place_free(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", " at column ")
}
