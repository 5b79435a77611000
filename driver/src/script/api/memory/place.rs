//! Where memory is for the device.

use std::rc::Rc;

use rhai::{Engine, INT, Map};

use super::super::super::Session;
use super::super::super::buffer::Buffer;
use super::super::super::failure::{Failure, failed};
use super::super::super::number::{bits, size};
use crate::hw::{DmaAccess, Placement};

pub(super) fn register(engine: &mut Engine, session: &Rc<Session>) {
    let it = session.clone();
    engine.register_fn("dma", move |len: INT| allocate(&it, len, Placement::default()));
    let it = session.clone();
    engine.register_fn("dma", move |len: INT, place: Map| allocate(&it, len, placement(&place)?));
    let it = session.clone();
    engine.register_fn("unmap", move |buffer: &mut Buffer| buffer.unmap(&it));
    let it = session.clone();
    engine.register_fn("map", move |buffer: &mut Buffer| {
        let placement = Placement { iova: Some(buffer.iova()), ..Placement::default() };
        buffer.map(&it, placement)
    });
    let it = session.clone();
    engine.register_fn("map", move |buffer: &mut Buffer, place: Map| buffer.map(&it, placement(&place)?));
}

fn allocate(session: &Session, len: INT, placement: Placement) -> Result<Buffer, Failure> {
    let len = size("length", len)?;
    if len == 0 {
        return Err(failed("length 0: give at least 1 byte"));
    }
    Buffer::allocate(session, len, placement)
}

/// What a map such as `#{iova: 0x1000, access: "r"}` says.
fn placement(map: &Map) -> Result<Placement, Failure> {
    let mut placement = Placement::default();
    for (key, value) in map {
        match key.as_str() {
            "iova" => {
                let iova =
                    value.as_int().map_err(|found| failed(format!("iova: give a number, not a {found}")))?;
                placement.iova = Some(bits(iova));
            }
            "access" => placement.access = access(&value.to_string())?,
            other => return Err(failed(format!("'{other}' says nothing of a buffer: give iova or access"))),
        }
    }
    Ok(placement)
}

fn access(text: &str) -> Result<DmaAccess, Failure> {
    match text {
        "rw" => Ok(DmaAccess::ReadWrite),
        "r" => Ok(DmaAccess::ReadOnly),
        "w" => Ok(DmaAccess::WriteOnly),
        other => Err(failed(format!(
            "access \"{other}\": give \"rw\", \"r\" or \"w\", as the device shall have it"
        ))),
    }
}
