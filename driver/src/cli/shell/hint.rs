//! What stands at the right of the cursor: how the function that is being typed is called.

use super::command;
use super::cursor::{Place, Typing, place};
use super::words::{Function, Words};

/// Fewer letters belong to too many functions.
const LETTERS: usize = 2;

/// The signature for what is typed, if there is one to tell.
pub(super) fn hint<'a>(text: &str, words: &'a Words) -> Option<&'a str> {
    if command::argument(text).is_some() {
        return None;
    }
    let Place { typing, call } = place(text);
    let typed = match typing {
        Typing::Name { letters, method, .. } => only(letters, method, words),
        _ => None,
    };
    let (function, arguments) = match (typed, &call) {
        (Some(function), _) => (function, 0),
        (None, Some(call)) => (words.function(call.name, call.method)?, call.before.len() + 1),
        (None, None) => return None,
    };
    let ways = &function.signatures;
    let fits = ways.iter().find(|way| way.parameters.len() >= arguments);
    fits.or(ways.last()).map(|way| way.text.as_str())
}

/// The function of this name, or else the only one that begins so.
fn only<'a>(letters: &str, method: bool, words: &'a Words) -> Option<&'a Function> {
    let mut all = words.functions.iter().filter(|it| it.method == method && it.name.starts_with(letters));
    let exact = all.clone().find(|function| function.name == letters);
    let first = all.next().filter(|_| letters.len() >= LETTERS);
    exact.or(first.filter(|_| all.next().is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        hint(text, &Words::sample()).map(Into::into)
    }

    #[test]
    fn a_name_that_only_one_function_has_shows_its_call() {
        assert_eq!(shown("irq_w").as_deref(), Some("irq_wait(vector, timeout_ms) -> count"));
        assert_eq!(shown("ring.lo").as_deref(), Some("buffer.load(file)"));
        for none in ["", "i", "irq_", "x", "12"] {
            assert_eq!(shown(none), None, "{none}");
        }
    }

    #[test]
    fn within_a_call_the_way_with_enough_arguments_is_shown() {
        assert_eq!(shown("get(").as_deref(), Some("get(name) -> value"));
        assert_eq!(shown("get(\"CHANSTS\", \"S").as_deref(), Some("get(name, field) -> value"));
        assert_eq!(shown("get(1, 2, 3, ").as_deref(), Some("get(name, field) -> value"));
        assert_eq!(shown("f(").as_deref(), None);
        assert_eq!(shown("get(\"X\")").as_deref(), None);
    }

    #[test]
    fn a_command_has_no_signature() {
        assert_eq!(shown("help get"), None);
    }
}
