//! The table as it is written. Every name keeps its place, so that an error can say the line.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

/// A whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) table: Head,
    #[serde(default, rename = "register")]
    pub(super) registers: Vec<Register>,
    #[serde(default, rename = "window")]
    pub(super) windows: Vec<Window>,
}

/// What the table is for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    /// For people.
    pub(super) name: String,
    /// Stands before the names of its registers, with a dot.
    pub(super) prefix: Option<String>,
    /// `vendor:device` or `vendor:first-last`, four hexadecimal digits each; empty for a table that is only used when it
    /// is asked for.
    #[serde(default)]
    pub(super) devices: Vec<Spanned<String>>,
    /// Where registers are that do not say it.
    #[serde(default)]
    pub(super) bar: u8,
}

/// Several copies of the same registers, one after the other.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Window {
    /// The registers' names begin with it and the copy's number.
    pub(super) name: Spanned<String>,
    pub(super) offset: u64,
    pub(super) stride: u64,
    /// At most so many.
    pub(super) count: u32,
    /// The register that holds how many there are really.
    pub(super) count_from: Option<Spanned<String>>,
    #[serde(rename = "register")]
    pub(super) registers: Vec<Register>,
}

/// One register.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Register {
    pub(super) name: Spanned<String>,
    pub(super) offset: u64,
    pub(super) width: Spanned<u8>,
    #[serde(default)]
    pub(super) access: Access,
    pub(super) bar: Option<u8>,
    /// It is in configuration space.
    #[serde(default)]
    pub(super) config: bool,
    /// It is in configuration space, in the capability of this number; its offset counts from there.
    pub(super) capability: Option<u8>,
    #[serde(default)]
    pub(super) doc: String,
    #[serde(default)]
    pub(super) clause: String,
    pub(super) reset: Option<i64>,
    /// What reading it changes.
    pub(super) reading: Option<String>,
    #[serde(default)]
    pub(super) fields: Vec<Field>,
    #[serde(default)]
    pub(super) forbid: Vec<Forbid>,
}

/// Who may do what with a register or a field.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Read only.
    Ro,
    /// Read and write.
    #[default]
    Rw,
    /// Read; writing ones clears.
    W1c,
    /// Write only.
    Wo,
}

/// Some bits of a register.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Field {
    pub(super) name: Spanned<String>,
    /// `7:4` or `3`.
    pub(super) bits: Spanned<String>,
    pub(super) access: Option<Access>,
    /// Its value is an address of which these are the high bits: it is not shifted down.
    #[serde(default)]
    pub(super) address: bool,
    #[serde(default)]
    pub(super) doc: String,
    /// Words for values.
    #[serde(default)]
    pub(super) values: BTreeMap<String, i64>,
}

/// A write that must not be.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Forbid {
    pub(super) reason: Spanned<String>,
    #[serde(default)]
    pub(super) clause: String,
    /// Only while another register stands so.
    #[serde(rename = "while")]
    pub(super) state: Option<While>,
    /// Only if these bits of what is written ...
    pub(super) bits: Option<Spanned<String>>,
    /// ... have one of these values,
    #[serde(default)]
    pub(super) is: Vec<i64>,
    /// ... or have none of these,
    #[serde(default)]
    pub(super) is_not: Vec<i64>,
    /// ... or more than one of them is set,
    #[serde(default)]
    pub(super) several: bool,
    /// ... or they are not as they are in the register.
    #[serde(default)]
    pub(super) changed: bool,
}

/// How another register stands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct While {
    /// Of the same window, or a full name.
    pub(super) register: Spanned<String>,
    pub(super) field: Option<Spanned<String>>,
    /// Numbers or words; none: any value but 0.
    #[serde(default)]
    pub(super) is: Vec<Value>,
}

/// A number, or a word for one.
#[derive(Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(untagged)]
pub(super) enum Value {
    Number(i64),
    Word(String),
}
