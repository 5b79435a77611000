//! Files that the harness puts into the guest or gets from it.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use netdma_vm::channel::{Frame, Kind};
use netdma_vm::message::{Get, Put};

use crate::serve::{Server, message};

/// Bytes of a file in one frame.
const CHUNK_BYTES: usize = 64 * 1024;

/// Makes the file and the folders above it.
pub(crate) fn open(frame: &Frame, files: &mut HashMap<u32, File>) -> Result<(), String> {
    let put: Put = message(frame)?;
    let path = Path::new(&put.path);
    let named = |error| format!("{}: {error} (in the guest)", put.path);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(named)?;
    }
    // A running program cannot be rewritten; a new file of the same name can.
    let _ = fs::remove_file(path);
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(put.mode).open(path);
    files.insert(frame.id, file.map_err(named)?);
    Ok(())
}

/// Appends to the file of this request. Data of a file that failed is dropped: its failure was told.
pub(crate) fn append(frame: &Frame, files: &mut HashMap<u32, File>) -> Result<(), String> {
    match files.get_mut(&frame.id) {
        Some(file) => file.write_all(&frame.payload).map_err(|error| error.to_string()),
        None => Ok(()),
    }
}

/// Sends a file whole.
pub(crate) fn send(server: &'static Server, frame: &Frame) -> Result<(), String> {
    let get: Get = message(frame)?;
    let named = |error| format!("{}: {error} (in the guest)", get.path);
    let mut file = File::open(&get.path).map_err(named)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let len = file.read(&mut chunk).map_err(named)?;
        if len == 0 {
            server.port.send(&Frame::new(Kind::End, frame.id, []));
            return Ok(());
        }
        server.port.send(&Frame::new(Kind::Data, frame.id, &chunk[..len]));
    }
}
