//! Whether two values are the same, and how a report shows them.

use rhai::{Dynamic, INT, NativeCallContext};

use super::super::super::failure::{Failure, failed};
use super::super::super::number::bits;

/// Whether two values are equal. Different types are an error, for that is a mistake in the script.
pub(super) fn same(context: &NativeCallContext<'_>, one: &Dynamic, other: &Dynamic) -> Result<bool, Failure> {
    let (one, other) = (one.clone().flatten(), other.clone().flatten());
    if let (Ok(one), Ok(other)) = (one.as_int(), other.as_int()) {
        return Ok(one == other);
    }
    if let (Ok(one), Ok(other)) = (one.as_bool(), other.as_bool()) {
        return Ok(one == other);
    }
    if one.is_string() && other.is_string() {
        return Ok(one.to_string() == other.to_string());
    }
    if one.is_unit() || other.is_unit() {
        return Ok(one.is_unit() && other.is_unit());
    }
    if one.type_name() != other.type_name() {
        return Err(failed(format!("a {} is compared with a {}", one.type_name(), other.type_name())));
    }
    context.call_fn::<bool>("==", (one, other))
}

/// A value for a report: numbers also in hexadecimal, texts in quotes.
pub(super) fn shown(value: &Dynamic) -> String {
    match value.as_int() {
        Ok(number @ -9..10) => number.to_string(),
        Ok(number) => numbered(number),
        Err(_) if value.is_string() => format!("{:?}", value.to_string()),
        Err(_) => value.to_string(),
    }
}

fn numbered(number: INT) -> String {
    format!("{number} ({:#x})", bits(number))
}
