//! Memory from files and into files.

use std::fs;
use std::rc::Rc;

use rhai::{Engine, INT};

use super::super::super::Session;
use super::super::super::buffer::Buffer;
use super::super::super::failure::{Failure, failed};
use super::super::super::number::{count, size};

pub(super) fn register(engine: &mut Engine, _: &Rc<Session>) {
    engine.register_fn("load", |buffer: &mut Buffer, file: &str| load(buffer, file, 0));
    engine.register_fn("load", |buffer: &mut Buffer, file: &str, offset: INT| {
        load(buffer, file, size("offset", offset)?)
    });
    engine.register_fn("save", save);
}

fn load(buffer: &Buffer, file: &str, offset: usize) -> Result<INT, Failure> {
    let unreadable = |error: std::io::Error| failed(format!("cannot load {file}: {error}"));
    // Looked at first: a file of gigabytes need not be read to find that it does not fit.
    let len = fs::metadata(file).map_err(unreadable)?.len();
    let room = buffer.len().saturating_sub(offset);
    let fits = usize::try_from(len).is_ok_and(|len| len <= room);
    if !fits {
        return Err(failed(format!("cannot load {file}: it has {len} bytes, and there is room for {room}")));
    }
    let data = fs::read(file).map_err(unreadable)?;
    buffer.write(offset, &data)?;
    Ok(count(data.len()))
}

fn save(buffer: &mut Buffer, file: &str) -> Result<(), Failure> {
    let mut data = vec![0; buffer.len()];
    buffer.read(0, &mut data)?;
    fs::write(file, data).map_err(|error| failed(format!("cannot save {file}: {error}")))
}
