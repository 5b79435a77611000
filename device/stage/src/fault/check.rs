//! Whether a rule can fire at all, where it is to be armed.

use std::fmt;

use ioat_spec::ChannelState;

use super::catalog::{self, Entry};
use super::rule::Channels;
use super::{
    Access, Action, FILTERS, Filter, Form, Operation, Point, Range, Register, Rule, RuleContext, RuleError,
    Trigger,
};

/// What is wrong with one of several rules.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{error}")]
pub struct SetError {
    /// Which, from 0.
    pub index: usize,
    /// What.
    pub error: RuleError,
}

/// Checks each rule, and that every `after` names one of them, none of which waits for itself.
///
/// # Errors
/// The first rule that can never fire there, and why not.
pub fn check_all(rules: &[Rule], context: &RuleContext) -> Result<(), SetError> {
    for (index, rule) in rules.iter().enumerate() {
        let never = |why: String| SetError { index, error: rule.never(why) };
        rule.check(context).map_err(|error| SetError { index, error })?;
        let twin = rules[..index].iter().any(|other| rule.name.is_some() && other.name == rule.name);
        if twin {
            let name = rule.name.clone().unwrap_or_default();
            let expected = "a name that no other rule has".to_owned();
            let error = RuleError::part(&rule.to_string(), "name", &name, expected);
            return Err(SetError { index, error });
        }
        waits_for(rules, rule).map_err(never)?;
    }
    Ok(())
}

/// Follows `after` from rule to rule.
fn waits_for(rules: &[Rule], rule: &Rule) -> Result<(), String> {
    let (mut at, mut path) = (rule, Vec::new());
    while let Some(name) = at.after() {
        path.push(name);
        let named = rules.iter().find(|other| other.name.as_deref() == Some(name));
        at = named.ok_or_else(|| format!("'after={name}': no rule has that name"))?;
        if path.len() > rules.len() || std::ptr::eq(at, rule) {
            return Err(format!("it waits for itself: after {}", path.join(", after ")));
        }
    }
    Ok(())
}

impl Rule {
    /// Checks that it can fire there at all, by itself. What it says of other rules is a matter of [`check_all`].
    ///
    /// # Errors
    /// [`RuleError::Never`], with the reason.
    pub fn check(&self, context: &RuleContext) -> Result<(), RuleError> {
        self.possible()?;
        self.reason(context).map_or(Ok(()), |why| Err(self.never(why)))
    }

    fn never(&self, why: String) -> RuleError {
        RuleError::Never { rule: self.to_string(), why }
    }

    /// Why it would never fire.
    fn reason(&self, context: &RuleContext) -> Option<String> {
        let entry = catalog::entry(self.point, self.action.word())?;
        let single = || self.filters.iter().find_map(|filter| self.filter_reason(filter, entry, context));
        context
            .place
            .lacks(entry)
            .or_else(single)
            .or_else(|| self.pair_reason(context))
            .or_else(|| self.trigger_reason())
            .or_else(|| self.action_reason(context))
    }

    /// What a filter has against it alone.
    fn filter_reason(&self, filter: &Filter, entry: &Entry, context: &RuleContext) -> Option<String> {
        let point = self.point;
        if !knows(point, filter) {
            let able = Point::ALL.into_iter().filter(|point| knows(*point, filter)).map(Point::name);
            let able = super::filter::names(able);
            return Some(format!(
                "'{filter}': an operation of {point} has no such thing; those of {able} have"
            ));
        }
        match filter {
            Filter::Channel(Some(channel)) if *channel >= context.channels => {
                Some(format!("'{filter}': the channels are 0 to {}", context.channels.saturating_sub(1)))
            }
            Filter::Vector(_) if context.vectors == 0 => {
                Some(format!("'{filter}': the device has no vectors, only the line"))
            }
            Filter::Vector(vector) if *vector >= context.vectors => {
                Some(format!("'{filter}': the vectors are 0 to {}", context.vectors - 1))
            }
            Filter::Register(register) if register.point() != point => {
                Some(format!("'{filter}': that is a register of {}", register.point()))
            }
            Filter::Register(Register::Tail(_)) if context.channels > 1 => Some(format!(
                "'{filter}': only an engine of one channel has it, and this one has {}",
                context.channels
            )),
            Filter::Operation(operation) => {
                let (only, access) = (entry.only, operation.access());
                let other = only.is_some() && access.is_some() && only != access;
                let doorbell = point == Point::Doorbell && access == Some(Access::Read);
                let nothing = matches!(point, Point::Read | Point::Write) && *operation == Operation::Null;
                if nothing {
                    return Some(format!("'{filter}': NULL moves nothing, so there is no {point}"));
                }
                (other || doorbell).then(|| {
                    format!("'{filter}': {} works on {} only", self.action.word(), the_other(access))
                })
            }
            Filter::State(state) => {
                let possible: &[ChannelState] = match point {
                    Point::Fetch | Point::Translate | Point::Copy | Point::Read | Point::Write => {
                        &[ChannelState::Active]
                    }
                    Point::Complete => &[ChannelState::Active, ChannelState::Halted],
                    _ => return None,
                };
                let never =
                    || format!("'{filter}': at {point} a channel is {}", super::filter::states(possible));
                (!possible.contains(state)).then(never)
            }
            Filter::Time(range) if range.until().is_some_and(|until| until <= context.now_ns) => {
                Some(format!("'{filter}': that window is over"))
            }
            Filter::After(name) if self.name.as_ref() == Some(name) => {
                Some(format!("'{filter}': it waits for itself"))
            }
            Filter::ByCommand if self.name.is_none() => {
                Some(format!("'{filter}': the rule has no name for the command to say"))
            }
            _ => None,
        }
    }

    /// Filters that contradict each other.
    fn pair_reason(&self, context: &RuleContext) -> Option<String> {
        let channel = self.filters.iter().find_map(|filter| match filter {
            Filter::Channel(channel) => Some(*channel),
            _ => None,
        });
        let register = self.filters.iter().find_map(|filter| match filter {
            Filter::Register(register) => Some(*register),
            _ => None,
        });
        let offset = self.filters.iter().find_map(|filter| match filter {
            Filter::Offset(range) => Some(*range),
            _ => None,
        });
        let named = register.map_or("", Register::name);
        match (register, channel) {
            (Some(Register::Channel(_)), Some(None)) => {
                return Some(format!("'ch=none' and 'reg={named}': that is a register of a channel"));
            }
            (Some(Register::General(_) | Register::Tail(_)), Some(Some(_))) => {
                return Some(format!("'ch' and 'reg={named}': that is no register of a channel"));
            }
            _ => {}
        }
        let covered = |register: Register, range: Range| match register {
            Register::Channel(register) => (0..context.channels)
                .filter(|number| channel.is_none_or(|channel| channel == Some(*number)))
                .any(|number| {
                    let at = ioat_spec::register::channel_base(number.into()) + register.offset();
                    range.touches(at, register.width() as u64)
                }),
            _ => register
                .range()
                .is_some_and(|own| range.touches(own.from(), own.until().unwrap_or(u64::MAX) - own.from())),
        };
        match (register, offset) {
            (Some(register), Some(range)) if !covered(register, range) => {
                Some(format!("'offset' and 'reg={named}' are apart"))
            }
            (None, Some(range)) if self.point == Point::Register => {
                let window =
                    channel.flatten().map(|channel| ioat_spec::register::channel_base(channel.into()));
                let apart =
                    window.is_some_and(|base| !range.touches(base, ioat_spec::register::CHANNEL_WINDOW));
                let beyond = !range.touches(0, ioat_spec::pci::BAR0_SIZE);
                (apart || beyond)
                    .then(|| "'offset' is outside of the channel's window, or of BAR0".to_owned())
            }
            (None, Some(range)) => {
                let beyond = !range.touches(0, ioat_spec::pci::CONFIG_SIZE as u64);
                beyond.then(|| "'offset' is outside of configuration space".to_owned())
            }
            _ => None,
        }
    }

    /// Triggers that contradict each other.
    fn trigger_reason(&self) -> Option<String> {
        let of = |read: fn(&Trigger) -> Option<u64>| self.triggers.iter().find_map(read);
        let nth = of(|trigger| if let Trigger::Nth(n) = trigger { Some(*n) } else { None });
        let every = of(|trigger| if let Trigger::Every(k) = trigger { Some(*k) } else { None }).unwrap_or(1);
        let first = of(|trigger| if let Trigger::First(n) = trigger { Some(*n) } else { None });
        let after = of(|trigger| if let Trigger::After(n) = trigger { Some(*n) } else { None }).unwrap_or(0);
        // The first multiple of `every` behind `after`.
        let next = (after / every).checked_add(1).and_then(|times| times.checked_mul(every));
        let hit = match nth {
            Some(n) => self.triggers.iter().all(|trigger| trigger.hits(n)),
            None => next.is_some_and(|next| first.is_none_or(|first| next <= first)),
        };
        let all = Words(&self.triggers);
        (!hit).then(|| format!("no operation's number is one of '{all}'"))
    }

    fn action_reason(&self, context: &RuleContext) -> Option<String> {
        match self.action {
            Action::Vector(vector) if vector >= context.vectors => Some(match context.vectors {
                0 => "the device has no vectors, only the line".to_owned(),
                vectors => format!("'{}': the vectors are 0 to {}", self.action, vectors - 1),
            }),
            _ => None,
        }
    }
}

struct Words<'a>(&'a [Trigger]);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.0.iter().map(Trigger::to_string).collect();
        f.write_str(&words.join(" "))
    }
}

fn the_other(access: Option<Access>) -> &'static str {
    if access == Some(Access::Read) { "writes" } else { "reads" }
}

impl Point {
    /// The filters that its operations have something for.
    pub fn filters(self) -> impl Iterator<Item = &'static Form> {
        FILTERS.iter().filter(move |form| {
            let rule = form.example.parse::<Rule>();
            let filters = rule.map(|rule| rule.filters).unwrap_or_default();
            let own = filters.iter().find(|filter| filter.word() == form.word);
            // Of `op` there are two kinds.
            let access = Filter::Operation(Operation::Read);
            own.is_some_and(|filter| knows(self, filter)) || (form.word == "op" && knows(self, &access))
        })
    }
}

/// Operations of the point have what the filter asks for.
#[must_use]
pub(super) const fn knows(point: Point, filter: &Filter) -> bool {
    use Point::{
        Complete, Config, Copy, Doorbell, Fetch, Msix, Pcie, Read, Register, Translate, Transport, Write,
    };
    let accessed = matches!(point, Config | Register);
    let described = matches!(point, Translate | Copy | Read | Write | Complete);
    match filter {
        Filter::Channel(_) => !matches!(point.channels(), Channels::None),
        Filter::Register(_) | Filter::Offset(_) => accessed,
        Filter::Address(_) => described || matches!(point, Fetch | Transport),
        Filter::Source(_) | Filter::Destination(_) | Filter::Flags(_) => described,
        Filter::Descriptor(_) => described || matches!(point, Fetch),
        Filter::Operation(operation) => match operation.access() {
            Some(_) => accessed || matches!(point, Pcie | Doorbell | Transport),
            None => described,
        },
        Filter::Size(_) => accessed || described || matches!(point, Transport),
        Filter::Vector(_) => matches!(point, Msix | Point::Isr | Point::Queue | Point::Dpc),
        Filter::State(_) => !matches!(point, Config | Transport) && !point.is_drivers(),
        Filter::Time(_) | Filter::After(_) | Filter::ByCommand => true,
    }
}
