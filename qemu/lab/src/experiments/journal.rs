//! A journal: append-only, one JSON object a line, one write a line. What was written is never lost, and a line that was
//! cut short is cut off.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use netdma_vm::lock;

use super::record::{Header, Record};

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be opened, read or written.
    #[error("journal {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is something in it already.
    #[error("journal {}: it has results already: expected an empty or a new file, or --resume", .0.display())]
    Used(PathBuf),
    /// Somebody writes it.
    #[error(
        "journal {}: another process is writing it: expected a journal of its own for each runner; wait for it, or name another file",
        .0.display()
    )]
    Busy(PathBuf),
    /// A line in the middle of it is no record.
    #[error("journal {}:{line}: no record of an experiment: {what}", path.display())]
    Line {
        /// Which.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What was expected.
        what: String,
    },
    /// Its first line is no header.
    #[error("journal {}: the first line is no header: expected a journal of `experiment run`", .0.display())]
    NoHeader(PathBuf),
    /// It is of something else.
    #[error("journal {}: its {what} is {found}, expected {expected}", path.display())]
    Other {
        /// Which.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// What it is there.
        found: String,
        /// What it is here.
        expected: String,
    },
}

impl JournalError {
    /// The file system's, not the user's.
    #[must_use]
    pub fn is_infra(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() != io::ErrorKind::NotFound)
    }
}

/// Says early that somebody writes a journal, before a golden run disturbs the device that its experiments use.
///
/// # Errors
/// [`JournalError::Busy`].
pub fn not_busy(path: &Path) -> Result<(), JournalError> {
    // What cannot be opened is found out by whoever wants to write it.
    let locked = File::open(path).is_ok_and(|file| matches!(lock::exclusive(&file), Ok(false)));
    if locked { Err(JournalError::Busy(path.to_owned())) } else { Ok(()) }
}

/// A journal that takes records.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    /// Bytes of whole lines.
    len: u64,
}

/// What a journal holds.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Contents {
    /// In the order of the file.
    pub records: Vec<Record>,
    /// Bytes of whole lines.
    pub whole: u64,
    /// Bytes of a last line that was cut short.
    pub cut: u64,
}

/// Reads a journal. A last line that was cut short is left out.
///
/// # Errors
/// [`JournalError`].
pub fn read(path: &Path) -> Result<Contents, JournalError> {
    let file = |source| JournalError::File { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(file)?;
    parse(&bytes, path)
}

fn parse(bytes: &[u8], path: &Path) -> Result<Contents, JournalError> {
    let mut contents = Contents::default();
    for (number, line) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
        match serde_json::from_slice(line) {
            Ok(record) if line.ends_with(b"\n") => {
                contents.records.push(record);
                contents.whole += line.len() as u64;
            }
            Err(error) if contents.whole + (line.len() as u64) < bytes.len() as u64 => {
                return Err(JournalError::Line {
                    path: path.to_owned(),
                    line: number,
                    what: error.to_string(),
                });
            }
            // The last one: cut short by whatever ended its writer.
            _ => contents.cut = line.len() as u64,
        }
    }
    match contents.records.first() {
        None | Some(Record::Header(_)) => Ok(contents),
        Some(_) => Err(JournalError::NoHeader(path.to_owned())),
    }
}

impl Journal {
    /// A new one. While it is open, nobody else can write it.
    ///
    /// # Errors
    /// [`JournalError::Busy`], [`JournalError::Used`] if there is something in the file already, or [`JournalError::File`].
    pub fn create(path: &Path, header: &Header) -> Result<Self, JournalError> {
        let wrong = |source| JournalError::File { path: path.to_owned(), source };
        let file = open(path)?;
        if file.metadata().map_err(wrong)?.len() > 0 {
            return Err(JournalError::Used(path.to_owned()));
        }
        let mut journal = Self { file, path: path.to_owned(), len: 0 };
        journal.append(&Record::Header(header.clone()))?;
        Ok(journal)
    }

    /// One that goes on, or a new one if there is none. A last line that was cut short is cut off.
    ///
    /// # Errors
    /// [`JournalError`]: it is of another campaign or another shard, or the file cannot be used.
    pub fn resume(path: &Path, header: &Header) -> Result<(Self, Contents), JournalError> {
        let wrong = |source| JournalError::File { path: path.to_owned(), source };
        let mut file = open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(wrong)?;
        let contents = parse(&bytes, path)?;
        if let Some(Record::Header(found)) = contents.records.first() {
            same(path, found, header)?;
        }
        if contents.cut > 0 {
            file.set_len(contents.whole).map_err(wrong)?;
            file.seek(SeekFrom::End(0)).map_err(wrong)?;
        }
        let mut journal = Self { file, path: path.to_owned(), len: contents.whole };
        if contents.records.is_empty() {
            journal.append(&Record::Header(header.clone()))?;
        }
        Ok((journal, contents))
    }

    /// Gives a journal another name, so that a new one can take its place.
    ///
    /// # Errors
    /// [`JournalError::Busy`], or [`JournalError::File`].
    pub fn set_aside(path: &Path, name: &Path) -> Result<(), JournalError> {
        let _lock = open(path)?;
        std::fs::rename(path, name).map_err(|source| JournalError::File { path: path.to_owned(), source })
    }

    /// Adds a line, in one write. What was there stays whole whatever happens.
    ///
    /// # Errors
    /// [`JournalError::File`], and nothing of the line is in the file, if the file can still be cut.
    pub fn append(&mut self, record: &Record) -> Result<(), JournalError> {
        let wrong = |source| JournalError::File { path: self.path.clone(), source };
        let mut line = serde_json::to_vec(record).map_err(|error| wrong(error.into()))?;
        line.push(b'\n');
        if let Err(error) = self.file.write_all(&line).and_then(|()| self.file.flush()) {
            // A disk that is full takes a part of a line. If it cannot be cut off now, `resume` will.
            let _ = self.file.set_len(self.len);
            return Err(wrong(error));
        }
        self.len += line.len() as u64;
        Ok(())
    }
}

/// Opens a journal's file for itself alone: two runners would run, and cut off, what is the other's.
fn open(path: &Path) -> Result<File, JournalError> {
    let wrong = |source| JournalError::File { path: path.to_owned(), source };
    let file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(wrong)?;
    match lock::exclusive(&file) {
        Ok(false) => Err(JournalError::Busy(path.to_owned())),
        // A file system without locks can still hold a journal.
        Ok(true) | Err(_) => Ok(file),
    }
}

/// Results of two headers belong into one file.
fn same(path: &Path, found: &Header, expected: &Header) -> Result<(), JournalError> {
    let pairs = [
        ("format's version", found.version.to_string(), expected.version.to_string()),
        ("campaign (a hash of what decides its experiments)", found.spec.clone(), expected.spec.clone()),
        ("shard", found.shard.clone(), expected.shard.clone()),
    ];
    match pairs.into_iter().find(|(_, found, expected)| found != expected) {
        None => Ok(()),
        Some((what, found, expected)) => {
            Err(JournalError::Other { path: path.to_owned(), what, found, expected })
        }
    }
}
