//! The forms of filters, as data: help, documents and errors read this.

/// A word of a rule, its form, what it means, and a rule that has it.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// The word.
    pub word: &'static str,
    /// How it is written.
    pub form: &'static str,
    /// What it means.
    pub says: &'static str,
    /// A rule.
    pub example: &'static str,
}

pub(super) const fn form(
    word: &'static str,
    form: &'static str,
    says: &'static str,
    example: &'static str,
) -> Form {
    Form { word, form, says, example }
}

/// All filters.
pub const FILTERS: &[Form] = &[
    form("ch", "ch=N|none", "operations of this channel; `none`: of no channel", "msix[ch=0]: nth(3) drop"),
    form(
        "reg",
        "reg=NAME",
        "accesses that touch this register, of every channel unless `ch` names one",
        "register[ch=0, reg=CHANSTS]: nth(2) all-ones",
    ),
    form(
        "offset",
        "offset=A..B",
        "accesses that touch these bytes of BAR0, or of configuration space",
        "register[offset=0x2000..0x2040, op=write]: always drop",
    ),
    form(
        "addr",
        "addr=A..B",
        "operations that touch these bus addresses",
        "write[addr=0x10000..0x11000]: nth(1) drop",
    ),
    form("src", "src=A..B", "descriptors that read from there", "read[src=0x10000..0x20000]: every(2) zeros"),
    form("dst", "dst=A..B", "descriptors that write there", "copy[dst=0x10000]: nth(1) corrupt(0)"),
    form("desc", "desc=A..B", "descriptors that lie there", "fetch[desc=0x8000]: nth(2) halt(descriptor)"),
    form(
        "op",
        "op=read|write|copy|fill|null|xor|pq",
        "accesses of this direction, or descriptors of this operation",
        "copy[op=fill]: nth(1) corrupt(0)",
    ),
    form(
        "size",
        "size=A..B",
        "of so many bytes: of the descriptor, or of the access",
        "copy[size=4096..65537]: nth(2) corrupt(17, 0x80)",
    ),
    form(
        "flags",
        "flags=FLAG[+...]",
        "descriptors that have all of interrupt, completion, fence, source-page-break, destination-page-break",
        "complete[flags=interrupt+completion]: nth(2) drop",
    ),
    form("vector", "vector=N", "messages of this vector", "msix[vector=1]: nth(1) duplicate"),
    form(
        "state",
        "state=armed|active|idle|suspended|halted",
        "while the channel is in this state",
        "state[state=suspended]: nth(1) drop",
    ),
    form(
        "t",
        "t=A..B",
        "while the device's clock, since its start, is there: `t=1ms..2ms`, `t=5ms..`",
        "msix[t=1ms..20ms]: always drop",
    ),
    form(
        "after",
        "after=NAME",
        "once the rule of this name has fired; what came before is not counted",
        "register[after=lost, reg=CHANSTS]: nth(1) all-ones",
    ),
    form(
        "armed",
        "armed=command",
        "once somebody says so: `fault-arm` with the rule's name",
        "gone = register[armed=command]: always all-ones",
    ),
];
