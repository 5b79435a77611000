//! Values for people: numbers in both notations, bytes as a dump, what belongs together as a table.

use std::fmt::Write as _;

use rhai::{Array, Blob, Dynamic, INT, ImmutableString, Map};

/// A value as it is shown; nothing for nothing. `other` has the words for what is none of the language's own values.
pub(super) fn shown(value: &Dynamic, other: &dyn Fn(&Dynamic) -> String) -> Option<String> {
    if value.is_unit() {
        return None;
    }
    Some(match Shape::of(value) {
        Shape::Text(text) => text.into(),
        Shape::Array(array) => rows(&array, other).unwrap_or_else(|| list(&array, other)),
        Shape::Map(map) => lines(&map, other),
        _ => inner(value, other),
    })
}

/// A number in both notations.
pub(super) fn number(value: INT) -> String {
    format!("{value} ({value:#x})")
}

/// What kind of value it is.
enum Shape {
    Number(INT),
    Text(ImmutableString),
    Array(Array),
    Blob(Blob),
    Map(Map),
    Other,
}

impl Shape {
    fn of(value: &Dynamic) -> Self {
        let value = value.flatten_clone();
        if let Ok(number) = value.as_int() {
            return Self::Number(number);
        }
        // Each cast gives the value back if it is something else.
        let value = match value.try_cast_result::<ImmutableString>() {
            Ok(text) => return Self::Text(text),
            Err(value) => value,
        };
        let value = match value.try_cast_result::<Array>() {
            Ok(array) => return Self::Array(array),
            Err(value) => value,
        };
        let value = match value.try_cast_result::<Blob>() {
            Ok(blob) => return Self::Blob(blob),
            Err(value) => value,
        };
        value.try_cast_result::<Map>().map_or(Self::Other, Self::Map)
    }
}

/// A value within another: on one line.
fn inner(value: &Dynamic, other: &dyn Fn(&Dynamic) -> String) -> String {
    match Shape::of(value) {
        Shape::Number(value) => number(value),
        Shape::Text(text) => format!("{text:?}"),
        Shape::Array(array) => list(&array, other),
        Shape::Blob(blob) => {
            let bytes: String = blob.iter().fold(String::new(), |mut text, byte| {
                // Writing to a String cannot fail.
                let _ = write!(text, " {byte:02x}");
                text
            });
            format!("{} bytes:{bytes}", blob.len())
        }
        Shape::Map(map) => {
            let parts = map.iter().map(|(name, value)| format!("{name}: {}", inner(value, other)));
            format!("#{{{}}}", parts.collect::<Vec<_>>().join(", "))
        }
        Shape::Other if value.is_unit() => "()".into(),
        Shape::Other => value.as_bool().map_or_else(|_| other(value), |truth| truth.to_string()),
    }
}

fn list(array: &Array, other: &dyn Fn(&Dynamic) -> String) -> String {
    format!("[{}]", array.iter().map(|value| inner(value, other)).collect::<Vec<_>>().join(", "))
}

/// A map, each value on a line of its own.
fn lines(map: &Map, other: &dyn Fn(&Dynamic) -> String) -> String {
    let width = map.keys().map(|name| name.chars().count()).max().unwrap_or(0);
    let lines = map.iter().map(|(name, value)| format!("{name:<width$}  {}", bare(value, other)));
    if map.is_empty() { "#{}".into() } else { lines.collect::<Vec<_>>().join("\n") }
}

/// Maps of the same keys as a table: bars, capabilities, events.
fn rows(array: &Array, other: &dyn Fn(&Dynamic) -> String) -> Option<String> {
    let maps: Vec<Map> = array.iter().map(|value| value.clone().try_cast()).collect::<Option<_>>()?;
    let head: Vec<_> = maps.first()?.keys().cloned().collect();
    if !maps.iter().all(|map| map.keys().eq(head.iter())) {
        return None;
    }
    let mut table = vec![head.iter().map(ToString::to_string).collect::<Vec<_>>()];
    table.extend(maps.iter().map(|map| map.values().map(|value| bare(value, other)).collect()));
    let columns = 0..head.len();
    let widths: Vec<_> =
        columns.map(|at| table.iter().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    Some(table.iter().map(line).collect::<Vec<_>>().join("\n"))
}

/// A text without its quotes: its column or line says where it ends.
fn bare(value: &Dynamic, other: &dyn Fn(&Dynamic) -> String) -> String {
    match Shape::of(value) {
        Shape::Text(text) => text.replace('\n', " "),
        _ => inner(value, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(script: &str) -> Option<String> {
        let value = rhai::Engine::new().eval::<Dynamic>(script).unwrap();
        shown(&value, &|value| format!("<{}>", value.type_name()))
    }

    #[test]
    fn nothing_is_not_shown() {
        assert_eq!(of("()"), None);
        assert_eq!(of("let x = 1;"), None);
    }

    #[test]
    fn numbers_are_shown_in_both_notations_as_64_bits() {
        assert_eq!(of("255").unwrap(), "255 (0xff)");
        assert_eq!(of("-1").unwrap(), "-1 (0xffffffffffffffff)");
        assert_eq!(of("[1, true, \"a\", ()]").unwrap(), "[1 (0x1), true, \"a\", ()]");
    }

    #[test]
    fn a_text_is_shown_as_it_is_and_bytes_in_hexadecimal() {
        assert_eq!(of("\"two\\nlines\"").unwrap(), "two\nlines");
        assert_eq!(of("blob(3, 0xab)").unwrap(), "3 bytes: ab ab ab");
    }

    #[test]
    fn a_map_has_a_line_for_each_name_and_maps_alike_are_a_table() {
        assert_eq!(of("#{long: 10, a: \"x\"}").unwrap(), "a     x\nlong  10 (0xa)");
        assert_eq!(
            of("[#{id: 16, name: \"PCIe\"}, #{id: 17, name: \"MSI-X\"}]").unwrap(),
            "id         name\n16 (0x10)  PCIe\n17 (0x11)  MSI-X"
        );
        assert_eq!(of("[#{a: 1}, #{b: 2}]").unwrap(), "[#{a: 1 (0x1)}, #{b: 2 (0x2)}]");
        assert_eq!(of("#{}").unwrap(), "#{}");
    }

    #[test]
    fn what_the_language_does_not_know_is_asked_for() {
        assert_eq!(of("1..5").unwrap(), "<core::ops::range::Range<i64>>");
    }
}
