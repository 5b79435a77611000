//! Filters: which operations of its point a rule counts.

use std::fmt;

use ioat_spec::ChannelState;
use ioat_spec::register::CHANNELS_MAX;

use super::action::unsigned;
use super::{Described, FILTERS, Flags, Op, Operation, Point, Range, Register};

/// One filter. All of a rule's filters must match.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Filter {
    /// `ch`: this channel; none: operations of no channel.
    Channel(Option<u8>),
    /// `reg`: an access that touches this register.
    Register(Register),
    /// `offset`: an access that touches these bytes of its space.
    Offset(Range),
    /// `addr`: an operation that touches these bus addresses.
    Address(Range),
    /// `src`: of a descriptor that reads from there.
    Source(Range),
    /// `dst`: of a descriptor that writes there.
    Destination(Range),
    /// `desc`: of a descriptor that lies there.
    Descriptor(Range),
    /// `op`: of this kind.
    Operation(Operation),
    /// `size`: of so many bytes; of the descriptor, where there is one.
    Size(Range),
    /// `flags`: of a descriptor with all of these.
    Flags(Flags),
    /// `vector`: a message of this vector.
    Vector(u16),
    /// `state`: while the channel is in this state.
    State(ChannelState),
    /// `t`: in this window of the device's clock, in nanoseconds since its start.
    Time(Range),
    /// `after`: once the rule of this name has fired.
    After(String),
    /// `armed=command`: once somebody says so.
    ByCommand,
}

/// The states, with their words.
const STATES: [(ChannelState, &str); 5] = [
    (ChannelState::Armed, "armed"),
    (ChannelState::Active, "active"),
    (ChannelState::Idle, "idle"),
    (ChannelState::Suspended, "suspended"),
    (ChannelState::Halted, "halted"),
];

impl Filter {
    /// Reads the value of the filter `word`. The error is what was expected.
    pub(super) fn read(word: &str, value: &str) -> Result<Self, String> {
        let read = match word {
            "ch" if value == "none" => Some(Self::Channel(None)),
            "ch" => {
                let number = value.parse().ok().filter(|number| usize::from(*number) < CHANNELS_MAX);
                let expected = || format!("'ch=N' with N from 0 to {}, or 'ch=none'", CHANNELS_MAX - 1);
                return number.map(|number: u8| Self::Channel(Some(number))).ok_or_else(expected);
            }
            "reg" => {
                let expected =
                    || format!("a register's name: {}", names(Register::all().map(Register::name)));
                return Register::named(value).map(Self::Register).ok_or_else(expected);
            }
            "offset" => Range::read(value).map(Self::Offset),
            "addr" => Range::read(value).map(Self::Address),
            "src" => Range::read(value).map(Self::Source),
            "dst" => Range::read(value).map(Self::Destination),
            "desc" => Range::read(value).map(Self::Descriptor),
            "op" => worded(&Operation::ALL, value).map(Self::Operation),
            "size" => Range::read(value).map(Self::Size),
            "flags" => Flags::read(value).map(Self::Flags),
            "vector" => unsigned(value).and_then(|vector| u16::try_from(vector).ok()).map(Self::Vector),
            "state" => worded(&STATES, value).map(Self::State),
            "t" => Range::read_times(value).map(Self::Time),
            "after" => super::rule::is_name(value).then(|| Self::After(value.to_owned())),
            "armed" => (value == "command").then_some(Self::ByCommand),
            _ => return Err(format!("a filter: {}", names(FILTERS.iter().map(|form| form.form)))),
        };
        read.ok_or_else(|| {
            let form = FILTERS.iter().find(|form| form.word == word).map_or("", |form| form.form);
            let more = match word {
                "offset" | "addr" | "src" | "dst" | "desc" | "size" => {
                    " with A less than B, or one number, decimal or 0x-hexadecimal"
                }
                "t" => " with times such as 200us or 1ms, A before B",
                "after" => " with the name of a rule",
                "vector" => " with N from 0 to 65535",
                _ => "",
            };
            format!("'{form}'{more}")
        })
    }

    /// The filter's word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Channel(_) => "ch",
            Self::Register(_) => "reg",
            Self::Offset(_) => "offset",
            Self::Address(_) => "addr",
            Self::Source(_) => "src",
            Self::Destination(_) => "dst",
            Self::Descriptor(_) => "desc",
            Self::Operation(_) => "op",
            Self::Size(_) => "size",
            Self::Flags(_) => "flags",
            Self::Vector(_) => "vector",
            Self::State(_) => "state",
            Self::Time(_) => "t",
            Self::After(_) => "after",
            Self::ByCommand => "armed",
        }
    }

    /// The operation itself matches. What lies outside of it, the clock and other rules, the engine looks at.
    #[must_use]
    pub(super) fn matches(&self, point: Point, op: &Op) -> bool {
        let described = |is: &dyn Fn(Described) -> bool| op.described.is_some_and(is);
        match self {
            Self::Channel(channel) => op.channel == *channel,
            Self::Register(register) => register.touched(op.address, op.len.max(1)),
            // A number, not a place that has a length.
            Self::Address(range) if point == Point::Transport => range.contains(op.address),
            Self::Offset(range) | Self::Address(range) => range.touches(op.address, op.len.max(1)),
            Self::Source(range) => described(&|it| reads(it) && range.touches(it.source, it.size.into())),
            Self::Destination(range) => {
                described(&|it| it.moves() && range.touches(it.destination, it.size.into()))
            }
            // Before the fetch nothing is known but where it lies.
            Self::Descriptor(range) if matches!(point, Point::Fetch) => {
                range.touches(op.address, op.len.max(1))
            }
            Self::Descriptor(range) => {
                described(&|it| range.touches(it.descriptor, ioat_spec::descriptor::DESCRIPTOR_SIZE as u64))
            }
            Self::Operation(operation) => operation.matches(op),
            Self::Size(range) => range.contains(op.described.map_or(op.len, |it| it.size.into())),
            Self::Flags(flags) => described(&|it| flags.all_in(it.control)),
            Self::Vector(vector) => op.vector == Some(*vector),
            Self::State(state) => op.state == Some(*state),
            Self::Time(_) | Self::After(_) | Self::ByCommand => true,
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=", self.word())?;
        match self {
            Self::Channel(None) => f.write_str("none"),
            Self::Channel(Some(channel)) => write!(f, "{channel}"),
            Self::Register(register) => f.write_str(register.name()),
            Self::Offset(range)
            | Self::Address(range)
            | Self::Source(range)
            | Self::Destination(range)
            | Self::Descriptor(range) => f.write_str(&range.addresses()),
            Self::Operation(operation) => f.write_str(word_of(&Operation::ALL, *operation)),
            Self::Size(range) => f.write_str(&range.counts()),
            Self::Flags(flags) => write!(f, "{flags}"),
            Self::Vector(vector) => write!(f, "{vector}"),
            Self::State(state) => f.write_str(word_of(&STATES, *state)),
            Self::Time(range) => f.write_str(&range.times()),
            Self::After(name) => f.write_str(name),
            Self::ByCommand => f.write_str("command"),
        }
    }
}

/// It has a source: a pattern is none.
fn reads(described: Described) -> bool {
    described.moves() && Operation::of(described) != Some(Operation::Fill)
}

fn worded<T: Copy>(table: &[(T, &str)], value: &str) -> Option<T> {
    table.iter().find(|(_, word)| *word == value).map(|(item, _)| *item)
}

fn word_of<T: Copy + PartialEq>(table: &[(T, &'static str)], item: T) -> &'static str {
    table.iter().find(|(one, _)| *one == item).map_or("", |(_, word)| word)
}

/// States in words.
pub(super) fn states(states: &[ChannelState]) -> String {
    states.iter().map(|state| word_of(&STATES, *state)).collect::<Vec<_>>().join(" or ")
}

pub(super) fn names<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}
