//! The few files that we build, out of the kernel's whole source: read as a stream, left when they are past.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Component, Path};
use std::process::{ChildStdout, Stdio};

use netdma_vm::cache::{Cache, make_folder};

use super::enter::Way;
use super::{KmodError, Report};

/// What we take, below the archive's first folder.
const WANTED: [&str; 3] = ["drivers/dma/dmatest.c", "drivers/dma/dmaengine.h", "drivers/dma/ioat/"];

/// Where all that is; a folder's files follow each other in the archive, nearly sorted (`drivers/dma-buf/` is within).
const FOLDER: &str = "drivers/dma";

/// A record of a tar archive.
const BLOCK_BYTES: usize = 512;

/// A source file of the kernel is far below that; it is read whole.
const MOST_BYTES: u64 = 16 << 20;

/// Takes the wanted files of the package `package`, unpacked in `tree`, into `made`.
pub(super) fn take(
    cache: &Cache,
    tree: &Path,
    package: &str,
    made: &Path,
    report: Report<'_>,
) -> Result<(), KmodError> {
    report(&format!("unpacking drivers/dma of {package}"));
    let name = format!("{package}.tar.xz");
    let archive = tree.join("usr/src").join(&name);
    if !archive.exists() {
        return Err(KmodError::Package { package: package.into(), what: format!("usr/src/{name}") });
    }
    // Into the root folder, where the release's own xz can read it.
    let root = cache.kbuild();
    let inside = root.join("build").join(&name);
    fs::rename(&archive, &inside).map_err(KmodError::io(&archive))?;
    let result = take_from(&root, &name, made);
    fs::remove_file(&inside).map_err(KmodError::io(&inside))?;
    result?;
    match WANTED.iter().find(|wanted| !made.join(wanted).exists()) {
        Some(missing) => Err(KmodError::Package { package: package.into(), what: (*missing).into() }),
        None => Ok(()),
    }
}

fn take_from(root: &Path, name: &str, made: &Path) -> Result<(), KmodError> {
    let mut command = Way::find(root)?.command(root, &["xz", "-dc", "-T0", &format!("/build/{name}")]);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(KmodError::io(root))?;
    let taken = child.stdout.take().map_or(Ok(()), |stdout| read_all(stdout, made));
    // It ends by itself when nobody reads any more.
    child.wait().map_err(KmodError::io(root))?;
    taken.map_err(KmodError::io(&root.join("build").join(name)))
}

fn read_all(stdout: ChildStdout, made: &Path) -> io::Result<()> {
    take_files(&mut BufReader::with_capacity(1 << 16, stdout), made).map(drop)
}

/// Writes the wanted files of a tar archive below `made`: how many.
fn take_files(archive: &mut impl Read, made: &Path) -> io::Result<usize> {
    let mut taken = 0;
    let mut header = [0; BLOCK_BYTES];
    loop {
        archive.read_exact(&mut header)?;
        let Some(entry) = Entry::read(&header)? else { return Ok(taken) };
        let below = entry.name.split_once('/').map_or("", |(_, below)| below);
        let wanted = entry.is_file && WANTED.iter().any(|wanted| below.starts_with(wanted));
        if wanted {
            let mut bytes = vec![0; usize::try_from(entry.bytes).map_err(io::Error::other)?];
            archive.read_exact(&mut bytes)?;
            skip(archive, entry.padding())?;
            write(made, below, &bytes)?;
            taken += 1;
        } else {
            skip(archive, entry.bytes + entry.padding())?;
        }
        // What follows is a gigabyte of other files.
        if taken > 0 && !below.starts_with(FOLDER) {
            return Ok(taken);
        }
    }
}

fn skip(archive: &mut impl Read, bytes: u64) -> io::Result<()> {
    let skipped = io::copy(&mut archive.take(bytes), &mut io::sink())?;
    if skipped == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn write(made: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let path = Path::new(name);
    if path.components().any(|part| !matches!(part, Component::Normal(_))) {
        return Err(io::Error::other(format!("the archive names a file {name}")));
    }
    let path = made.join(path);
    make_folder(path.parent().unwrap_or(made)).map_err(io::Error::other)?;
    io::Write::write_all(&mut File::create(path)?, bytes)
}

/// What a header says (POSIX.1-1988 `ustar`; the kernel's names need no longer form).
struct Entry {
    name: String,
    bytes: u64,
    is_file: bool,
}

impl Entry {
    /// `None`: the archive's end, a block of zeroes.
    fn read(header: &[u8; BLOCK_BYTES]) -> io::Result<Option<Self>> {
        if header.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if &header[257..262] != b"ustar" {
            return Err(io::Error::other("this is no tar archive"));
        }
        let text = |range: std::ops::Range<usize>| {
            let field = &header[range];
            let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
            String::from_utf8_lossy(&field[..end]).trim().to_owned()
        };
        let bytes = u64::from_str_radix(&text(124..136), 8).map_err(io::Error::other)?;
        let is_file = matches!(header[156], b'0' | 0);
        if is_file && bytes > MOST_BYTES && text(0..100).contains(FOLDER) {
            return Err(io::Error::other(format!("{} has {bytes} bytes", text(0..100))));
        }
        let prefix = text(345..500);
        let name = if prefix.is_empty() { text(0..100) } else { format!("{prefix}/{}", text(0..100)) };
        Ok(Some(Self { name, bytes, is_file }))
    }

    /// Contents fill whole blocks.
    fn padding(&self) -> u64 {
        let block = BLOCK_BYTES as u64;
        self.bytes.div_ceil(block) * block - self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, contents: &str) -> Vec<u8> {
        let mut header = vec![0; BLOCK_BYTES];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", contents.len()).as_bytes());
        header[156] = b'0';
        header[257..262].copy_from_slice(b"ustar");
        header.extend_from_slice(contents.as_bytes());
        header.resize(header.len().next_multiple_of(BLOCK_BYTES), 0);
        header
    }

    #[test]
    fn wanted_files_are_taken_and_what_follows_their_folder_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut archive = [
            entry("linux/arch/x", &"x".repeat(700)),
            entry("linux/drivers/dma/", ""),
            entry("linux/drivers/dma-buf/x", ""),
            entry("linux/drivers/dma/dmatest.c", "test"),
            entry("linux/drivers/dma/hsu/hsu.c", "other"),
            entry("linux/drivers/dma/ioat/dma.c", &"y".repeat(513)),
            entry("linux/drivers/edac/x", ""),
        ]
        .concat();
        archive.extend_from_slice(b"no tar any more");
        assert_eq!(take_files(&mut archive.as_slice(), folder.path()).unwrap(), 2);
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("drivers/dma/dmatest.c"), "test");
        assert_eq!(read("drivers/dma/ioat/dma.c").len(), 513);
        assert!(!folder.path().join("drivers/dma/hsu").exists());
    }

    #[test]
    fn a_cut_or_strange_archive_is_an_error_and_writes_nothing_outside() {
        let folder = tempfile::tempdir().unwrap();
        let whole = entry("linux/drivers/dma/dmatest.c", "test");
        assert!(take_files(&mut &whole[..600], folder.path()).is_err());
        assert!(take_files(&mut [7; 1024].as_slice(), folder.path()).is_err());
        let outside = entry("linux/drivers/dma/ioat/../../../../x", "test");
        assert!(take_files(&mut outside.as_slice(), &folder.path().join("a/b/c/d")).is_err());
    }
}
