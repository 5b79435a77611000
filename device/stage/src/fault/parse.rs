//! The one-line form: `[NAME =] POINT[FILTER, ...]: TRIGGER [TRIGGER ...] ACTION`.

use std::str::FromStr;

use super::catalog::{self, CATALOG};
use super::filter::names;
use super::rule::is_name;
use super::{Action, FILTERS, Filter, Point, Rule, RuleError, TRIGGERS, Trigger};

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let (head, rest) = text
            .split_once(':')
            .ok_or_else(|| RuleError::shape(text, ": there is no ':' between point and trigger"))?;
        let (place, inside) = split_filters(head.trim())
            .ok_or_else(|| RuleError::shape(text, ": the filters stand between '[' and ']'"))?;
        let (name, word) = match place.split_once('=') {
            None => (None, place),
            Some((name, word)) => (Some(name_of(text, name.trim())?), word.trim()),
        };
        let mut rule = Draft::of(text);
        rule.name = name;
        rule.point("point", word)?;
        for filter in inside.into_iter().flat_map(|inside| inside.split(',')) {
            let filter = filter.trim();
            let (word, value) = filter.split_once('=').unwrap_or((filter, ""));
            rule.filter("filter", filter, word.trim(), value.trim())?;
        }
        let mut words = words(rest);
        let action = words.pop().ok_or_else(|| RuleError::shape(text, ": there is no action"))?;
        for word in words {
            rule.trigger("trigger", word)?;
        }
        rule.action("action", action)?;
        rule.finish()
    }
}

/// A rule of which not all is known yet; both forms of a rule fill one in.
#[derive(Default)]
pub(super) struct Draft<'a> {
    text: &'a str,
    pub(super) name: Option<String>,
    point: Option<Point>,
    filters: Vec<Filter>,
    triggers: Vec<Trigger>,
    action: Option<Action>,
}

impl<'a> Draft<'a> {
    /// Nothing is known of it yet. `text` is the whole rule, for errors.
    pub(super) fn of(text: &'a str) -> Self {
        Self { text, ..Self::default() }
    }

    fn wrong(&self, part: &str, found: &str, expected: impl Into<String>) -> RuleError {
        RuleError::part(self.text, part, found, expected)
    }

    pub(super) fn point(&mut self, part: &str, word: &str) -> Result<(), RuleError> {
        let point = Point::named(word).ok_or_else(|| {
            self.wrong(part, word, format!("a point: {}", names(Point::ALL.iter().map(|it| it.name()))))
        })?;
        self.point = Some(point);
        Ok(())
    }

    pub(super) fn filter(
        &mut self,
        part: &str,
        found: &str,
        word: &str,
        value: &str,
    ) -> Result<(), RuleError> {
        let filter = Filter::read(word, value).map_err(|expected| self.wrong(part, found, expected))?;
        if self.filters.iter().any(|other| other.word() == filter.word()) {
            return Err(self.wrong(part, found, format!("'{word}' once")));
        }
        self.filters.push(filter);
        Ok(())
    }

    pub(super) fn trigger(&mut self, part: &str, word: &str) -> Result<(), RuleError> {
        let trigger = Trigger::read(word).map_err(|expected| self.wrong(part, word, expected))?;
        if self.triggers.iter().any(|other| other.word() == trigger.word()) {
            return Err(self.wrong(part, word, format!("'{}' once", trigger.word())));
        }
        self.triggers.push(trigger);
        Ok(())
    }

    pub(super) fn action(&mut self, part: &str, word: &str) -> Result<(), RuleError> {
        let action = Action::parse(word).ok_or_else(|| {
            let name = word.split('(').next().unwrap_or_default().trim();
            let known = Action::FORMS.iter().find(|(known, _)| *known == name);
            let expected = match known {
                Some((_, form)) => format!("'{form}'"),
                None => format!("an action: {}", names(Action::FORMS.iter().map(|(_, form)| *form))),
            };
            self.wrong(part, word, expected)
        })?;
        self.action = Some(action);
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Rule, RuleError> {
        let Self { text, name, point, mut filters, mut triggers, action } = self;
        let missing = |hint| RuleError::shape(text, hint);
        let point = point.ok_or_else(|| missing(": there is no point"))?;
        let action = action.ok_or_else(|| missing(": there is no action"))?;
        if triggers.is_empty() {
            return Err(missing(": there is no trigger"));
        }
        // In one order, so that the same rule is the same text, and a table's keys have none.
        filters.sort_by_key(|filter| FILTERS.iter().position(|form| form.word == filter.word()));
        triggers.sort_by_key(|trigger| TRIGGERS.iter().position(|form| form.word == trigger.word()));
        let rule = Rule { name, point, filters, triggers, action };
        rule.possible()?;
        Ok(rule)
    }
}

impl Rule {
    /// The catalog has its point and action.
    pub(super) fn possible(&self) -> Result<(), RuleError> {
        let (point, action) = (self.point, self.action.word());
        if catalog::entry(point, action).is_some() {
            return Ok(());
        }
        let able = CATALOG.iter().filter(|entry| entry.action == action).map(|entry| entry.point.name());
        let why = format!("{point} cannot {action}; {action} works at {}", names(able));
        Err(RuleError::Never { rule: self.to_string(), why })
    }
}

pub(super) fn name_of(rule: &str, name: &str) -> Result<String, RuleError> {
    if is_name(name) {
        return Ok(name.to_owned());
    }
    Err(RuleError::part(rule, "name", name, "1 to 64 letters, digits, '-' and '_'"))
}

/// `msix[ch=0]` into `msix` and `ch=0`.
fn split_filters(head: &str) -> Option<(&str, Option<&str>)> {
    match head.split_once('[') {
        None => Some((head, None)),
        Some((place, inside)) => Some((place.trim(), Some(inside.strip_suffix(']')?.trim()))),
    }
}

/// The words of a text; what is in parentheses is one with what stands before them.
pub(super) fn words(text: &str) -> Vec<&str> {
    let (mut depth, mut start) = (0_u32, None);
    let mut words = Vec::new();
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        let ends = letter.is_whitespace() && depth == 0;
        match start {
            Some(from) if ends => {
                words.push(&text[from..at]);
                start = None;
            }
            None if !ends => start = Some(at),
            _ => {}
        }
    }
    words.extend(start.map(|from| text[from..].trim_end()));
    words
}
