//! The table, checked: every name once, every bit inside its register, every condition about something that is there.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};
use std::rc::Rc;

use super::bits::Bits;
use super::file::{self, Value};

pub use super::file::Access;

/// A table of registers.
#[derive(Debug)]
pub struct Table {
    /// For people.
    pub(super) name: String,
    /// Stands before the names of its registers.
    pub(super) prefix: Option<String>,
    pub(super) devices: Vec<(u16, RangeInclusive<u16>)>,
    pub(super) registers: Vec<Rc<Description>>,
    pub(super) windows: Vec<Window>,
}

/// Copies of the same registers.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) name: String,
    pub(super) offset: u64,
    pub(super) stride: u64,
    pub(super) count: u32,
    pub(super) count_from: Option<String>,
    pub(super) registers: Vec<Rc<Description>>,
}

/// Where a register is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Home {
    Bar(u8),
    Config,
    Capability(u8),
}

/// One register.
#[derive(Debug)]
pub(crate) struct Description {
    pub(super) name: String,
    pub(super) home: Home,
    pub(super) offset: u64,
    pub(crate) width: u8,
    pub(crate) access: Access,
    pub(crate) doc: String,
    pub(crate) clause: String,
    pub(crate) reset: Option<u64>,
    pub(crate) reading: Option<String>,
    pub(crate) fields: Vec<Field>,
    pub(super) forbid: Vec<Forbid>,
}

/// Some bits of it.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) bits: Bits,
    pub(crate) access: Access,
    pub(crate) address: bool,
    pub(crate) doc: String,
    /// By value.
    pub(crate) words: BTreeMap<u64, String>,
}

/// A write that must not be.
#[derive(Debug)]
pub(super) struct Forbid {
    pub(super) reason: String,
    pub(super) clause: String,
    pub(super) state: Option<State>,
    pub(super) bits: Bits,
    pub(super) test: Test,
}

/// What is wrong with the bits that are written.
#[derive(Debug)]
pub(super) enum Test {
    Any,
    Is(Vec<u64>),
    IsNot(Vec<u64>),
    Several,
    Changed,
}

/// How another register stands.
#[derive(Debug)]
pub(super) struct State {
    pub(super) register: String,
    pub(super) bits: Option<Bits>,
    /// None: any value but 0.
    pub(super) is: Vec<u64>,
}

/// Why a table cannot be used: file, line, and what is wrong there.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}: {what}")]
pub struct TableError {
    /// As it was given.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// Which key or name, what is wrong with it, and what was expected.
    pub what: String,
}

/// Where and what, before it is known in which file.
struct Wrong {
    span: Range<usize>,
    what: String,
}

impl Table {
    /// Reads and checks a table. `file` is for the error.
    ///
    /// # Errors
    /// [`TableError`] for the first thing that is wrong.
    pub fn parse(file: &str, text: &str) -> Result<Self, TableError> {
        let at = |span: Range<usize>, what: String| {
            let line = text.as_bytes().iter().take(span.start).filter(|byte| **byte == b'\n').count() + 1;
            TableError { file: file.to_owned(), line, what }
        };
        let written: file::File = toml::from_str(text)
            .map_err(|error| at(error.span().unwrap_or(0..0), error.message().replace('\n', ", ")))?;
        checked(written).map_err(|wrong| at(wrong.span, wrong.what))
    }

    /// Whether it says that it is for this device.
    #[must_use]
    pub fn is_for(&self, vendor: u16, device: u16) -> bool {
        self.devices.iter().any(|(of, devices)| *of == vendor && devices.contains(&device))
    }

    /// Its own name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

fn checked(file: file::File) -> Result<Table, Wrong> {
    let file::File { table: file::Head { name, prefix, devices, bar }, registers, windows } = file;
    let devices = devices.iter().map(|text| identity(text.get_ref()).map_err(|what| wrong(text, what)));
    let devices = devices.collect::<Result<_, _>>()?;
    let mut names = BTreeSet::new();
    let registers = descriptions(registers, bar, &mut names)?;
    let windows = windows.into_iter().map(|window| checked_window(window, bar, &registers, &mut names));
    let windows: Vec<_> = windows.collect::<Result<_, _>>()?;
    let registers = registers.into_iter().map(Rc::new).collect();
    Ok(Table { name, prefix, devices, registers, windows })
}

fn checked_window(
    window: file::Window,
    bar: u8,
    general: &[Description],
    names: &mut BTreeSet<String>,
) -> Result<Window, Wrong> {
    let file::Window { name, offset, stride, count, count_from, registers } = window;
    unique(&name, names)?;
    if let Some(from) = &count_from {
        if !general.iter().any(|register| register.name == *from.get_ref()) {
            return Err(wrong(
                from,
                format!("count_from: there is no register \"{}\" before", from.get_ref()),
            ));
        }
    }
    if count == 0 || u64::from(count).checked_mul(stride).and_then(|len| len.checked_add(offset)).is_none() {
        return Err(wrong(
            &name,
            format!("window \"{}\": count is 0, or it ends beyond 2^64", name.get_ref()),
        ));
    }
    let registers = descriptions(registers, bar, &mut BTreeSet::new())?;
    let beyond = registers.iter().find(|it| it.offset + u64::from(it.width) > stride && count > 1);
    if let Some(beyond) = beyond {
        return Err(wrong(
            &name,
            format!("window \"{}\": {} lies beyond its stride of {stride:#x}", name.get_ref(), beyond.name),
        ));
    }
    let count_from = count_from.map(toml::Spanned::into_inner);
    let registers = registers.into_iter().map(Rc::new).collect();
    Ok(Window { name: name.into_inner(), offset, stride, count, count_from, registers })
}

/// Checks registers that stand together: a condition is about one of them.
fn descriptions(
    registers: Vec<file::Register>,
    bar: u8,
    names: &mut BTreeSet<String>,
) -> Result<Vec<Description>, Wrong> {
    let mut all = Vec::new();
    let mut conditions = Vec::new();
    for mut register in registers {
        unique(&register.name, names)?;
        conditions.push(std::mem::take(&mut register.forbid));
        all.push(description(register, bar)?);
    }
    for (index, written) in conditions.into_iter().enumerate() {
        let width = all[index].width;
        let forbid = written.into_iter().map(|one| forbid(one, width, &all)).collect::<Result<_, _>>()?;
        all[index].forbid = forbid;
    }
    Ok(all)
}

fn description(register: file::Register, bar: u8) -> Result<Description, Wrong> {
    let file::Register {
        name,
        offset,
        width,
        access,
        bar: own,
        config,
        capability,
        doc,
        clause,
        reset,
        reading,
        fields: written,
        forbid: _,
    } = register;
    let wide = *width.get_ref();
    if ![1, 2, 4, 8].contains(&wide) {
        return Err(wrong(&width, format!("{}: width {wide}: give 1, 2, 4 or 8", name.get_ref())));
    }
    let home = match (own, config, capability) {
        (None, false, None) => Home::Bar(bar),
        (Some(own @ 0..=5), false, None) => Home::Bar(own),
        (None, true, None) => Home::Config,
        (None, _, Some(id)) => Home::Capability(id),
        (Some(own), false, None) => {
            return Err(wrong(&name, format!("{}: bar {own}: give 0 to 5", name.get_ref())));
        }
        _ => return Err(wrong(&name, format!("{}: give either bar, config or capability", name.get_ref()))),
    };
    let mut seen = BTreeSet::new();
    let mut used = 0;
    let mut fields = Vec::new();
    for one in written {
        let at = one.name.span();
        unique(&one.name, &mut seen)?;
        let field = field(one, wide, access)?;
        if used & field.bits.mask() != 0 {
            let what = format!("{}.{}: another field has some of these bits", name.get_ref(), field.name);
            return Err(Wrong { span: at, what });
        }
        used |= field.bits.mask();
        fields.push(field);
    }
    let reset = reset.map(|value| u64::from_ne_bytes(value.to_ne_bytes()));
    let name = name.into_inner();
    Ok(Description {
        name,
        home,
        offset,
        width: wide,
        access,
        doc,
        clause,
        reset,
        reading,
        fields,
        forbid: vec![],
    })
}

fn field(field: file::Field, width: u8, of: Access) -> Result<Field, Wrong> {
    let file::Field { name, bits, access, address, doc, values } = field;
    let range = Bits::parse(bits.get_ref(), width);
    let range = range.map_err(|what| wrong(&bits, format!("{}: {what}", name.get_ref())))?;
    let mut words = BTreeMap::new();
    for (word, value) in values {
        let value = u64::try_from(value).ok().filter(|value| *value <= range.of(u64::MAX));
        let value = value.ok_or_else(|| {
            wrong(&name, format!("{}: values.{word}: this does not fit into bits {range}", name.get_ref()))
        })?;
        words.insert(value, word);
    }
    let access = access.unwrap_or(of);
    Ok(Field { name: name.into_inner(), bits: range, access, address, doc, words })
}

fn forbid(forbid: file::Forbid, width: u8, all: &[Description]) -> Result<Forbid, Wrong> {
    let file::Forbid { reason, clause, state, bits, is, is_not, several, changed } = forbid;
    let range = match &bits {
        Some(bits) => Bits::parse(bits.get_ref(), width).map_err(|what| wrong(bits, what))?,
        None => Bits::all(width),
    };
    let number =
        |values: Vec<i64>| values.into_iter().map(|value| u64::from_ne_bytes(value.to_ne_bytes())).collect();
    let test = match (is.is_empty(), is_not.is_empty(), several, changed) {
        (true, true, false, false) => Test::Any,
        (false, true, false, false) => Test::Is(number(is)),
        (true, false, false, false) => Test::IsNot(number(is_not)),
        (true, true, true, false) => Test::Several,
        (true, true, false, true) => Test::Changed,
        _ => return Err(wrong(&reason, "forbid: give one of is, is_not, several and changed".into())),
    };
    if state.is_none() && matches!(test, Test::Any) {
        return Err(wrong(&reason, "forbid: give while, or is, is_not, several or changed".into()));
    }
    let state = state.map(|state| checked_state(state, all)).transpose()?;
    Ok(Forbid { reason: reason.into_inner(), clause, state, bits: range, test })
}

fn checked_state(state: file::While, all: &[Description]) -> Result<State, Wrong> {
    let file::While { register, field, is } = state;
    let known = all.iter().find(|one| one.name == *register.get_ref());
    let known = known.ok_or_else(|| {
        wrong(&register, format!("while: there is no register \"{}\" beside it", register.get_ref()))
    })?;
    let found = match &field {
        None => None,
        Some(name) => {
            let found = known.fields.iter().find(|one| one.name == *name.get_ref());
            let missing =
                || wrong(name, format!("while: {} has no field \"{}\"", known.name, name.get_ref()));
            Some(found.ok_or_else(missing)?)
        }
    };
    let numbers = is.iter().map(|value| match value {
        Value::Number(value) => Ok(u64::from_ne_bytes(value.to_ne_bytes())),
        Value::Word(word) => {
            let number = found.and_then(|field| field.words.iter().find(|(_, known)| *known == word));
            number.map(|(number, _)| *number).ok_or_else(|| {
                wrong(&register, format!("while: no value of this field is called \"{word}\""))
            })
        }
    });
    let numbers = numbers.collect::<Result<_, _>>()?;
    let bits = found.map(|field| field.bits);
    Ok(State { register: known.name.clone(), bits, is: numbers })
}

fn identity(text: &str) -> Result<(u16, RangeInclusive<u16>), String> {
    let number = |text: &str| (text.len() == 4).then(|| u16::from_str_radix(text, 16).ok()).flatten();
    let wrong = || format!("devices: \"{text}\": write \"VVVV:DDDD\" or \"VVVV:DDDD-DDDD\" in hexadecimal");
    let (vendor, devices) = text.split_once(':').ok_or_else(wrong)?;
    let (first, last) = devices.split_once('-').unwrap_or((devices, devices));
    match (number(vendor), number(first), number(last)) {
        (Some(vendor), Some(first), Some(last)) if first <= last => Ok((vendor, first..=last)),
        _ => Err(wrong()),
    }
}

fn unique(name: &toml::Spanned<String>, names: &mut BTreeSet<String>) -> Result<(), Wrong> {
    let text = name.get_ref();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if text.is_empty() || !text.chars().all(plain) {
        return Err(wrong(name, format!("name \"{text}\": use letters, digits and _")));
    }
    if !names.insert(text.clone()) {
        return Err(wrong(name, format!("name \"{text}\": it is there twice")));
    }
    Ok(())
}

fn wrong<T>(at: &toml::Spanned<T>, what: String) -> Wrong {
    Wrong { span: at.span(), what }
}
