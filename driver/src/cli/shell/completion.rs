//! What can follow the letters before the cursor.

use super::command::{self, Wants};
use super::cursor::{Argument, Call, Place, Typing, place};
use super::words::{Field, Function, Role, Words};

/// What can stand from `start` on in the place of what is typed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Completion {
    pub(super) start: usize,
    pub(super) of: Of,
}

/// What it is chosen from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Of {
    Words(Vec<Candidate>),
    /// The files that begin with these letters.
    Files(String),
}

/// One choice.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Candidate {
    pub(super) shown: String,
    pub(super) inserted: String,
}

/// The words of the language that are worth a Tab.
const KEYWORDS: [&str; 16] = [
    "break", "catch", "const", "continue", "else", "false", "for", "if", "in", "let", "loop", "return",
    "throw", "true", "try", "while",
];

/// Completes `before`, the text up to the cursor; `after` is what follows it.
pub(super) fn complete(before: &str, after: &str, words: &Words) -> Completion {
    if let Some((wants, start)) = command::argument(before) {
        return command_argument(wants, start, &before[start..], words);
    }
    let place = place(before);
    let quoted = place.call.as_ref().and_then(|call| texts(call, words));
    match place {
        Place { typing: Typing::Text { start, letters }, .. } => {
            let of = match quoted {
                Some(Texts::Files) => Of::Files(letters.into()),
                Some(Texts::Words(texts)) => {
                    let quote = if after.starts_with('"') { "" } else { "\"" };
                    Of::Words(chosen(&texts, letters, |text| format!("{text}{quote}")))
                }
                None => Of::Words(Vec::new()),
            };
            Completion { start, of }
        }
        Place { call: Some(Call { argument: (start, argument), .. }), .. }
            if argument.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
                && quoted.is_some() =>
        {
            // The quotes come with it.
            let Some(Texts::Words(texts)) = quoted else {
                return Completion { start, of: Of::Words(Vec::new()) };
            };
            let mut candidates = chosen(&texts, argument, |text| format!("\"{text}\""));
            if !argument.is_empty() && !argument.contains('.') {
                candidates.extend(names(argument, false, words));
            }
            Completion { start, of: Of::Words(candidates) }
        }
        Place { typing: Typing::Name { start, letters, method }, .. } => {
            let mut candidates = names(letters, method, words);
            if start == 0 {
                candidates
                    .extend(chosen(&command::NAMES.map(String::from), letters, |name| name.clone() + " "));
            }
            candidates.sort();
            candidates.dedup_by(|one, other| one.shown == other.shown);
            Completion { start, of: Of::Words(candidates) }
        }
        Place { typing: Typing::Other, .. } => Completion { start: before.len(), of: Of::Words(Vec::new()) },
    }
}

fn command_argument(wants: Wants, start: usize, letters: &str, words: &Words) -> Completion {
    let of = match wants {
        Wants::File => Of::Files(letters.into()),
        Wants::Name => {
            let functions = words.functions.iter().map(|function| &function.name);
            let registers = words.registers.iter().map(|register| &register.name);
            let names: Vec<_> = functions.chain(registers).cloned().collect();
            Of::Words(chosen(&names, letters, Clone::clone))
        }
    };
    Completion { start, of }
}

/// The texts that an argument can be.
enum Texts {
    Words(Vec<String>),
    Files,
}

/// What the argument at the cursor can be, if texts are known for it.
fn texts(call: &Call<'_>, words: &Words) -> Option<Texts> {
    let function = words.function(call.name, call.method)?;
    let text = |index: usize| match call.before.get(index) {
        Some(Argument::Text(text)) => Some(*text),
        _ => None,
    };
    let register = || words.register(text(0)?);
    let fields = || Some(register()?.fields.iter().map(|field| field.name.clone()).collect());
    let index = call.before.len();
    match role_at(function, index, call) {
        Role::Register => Some(Texts::Words(words.registers.iter().map(|it| it.name.clone()).collect())),
        Role::Field => fields().map(Texts::Words),
        Role::Value => {
            let Field { values, .. } = register()?.field(text(index.checked_sub(1)?)?)?;
            Some(Texts::Words(values.clone())).filter(|_| !values.is_empty())
        }
        Role::Choice(choices) => Some(Texts::Words(choices.to_vec())),
        Role::File => Some(Texts::Files),
        Role::Other => None,
    }
}

/// `put(name, value)` and `put(name, field, value)` have different things in one place: whoever asks for names there
/// wants the fields.
fn role_at<'a>(function: &'a Function, index: usize, call: &Call<'_>) -> Role<'a> {
    let field =
        function.signatures.iter().any(|way| way.parameters.get(index).is_some_and(|it| it.name == "field"));
    match function.role(index) {
        Role::Value if field && call.before.len() == 1 => Role::Field,
        role => role,
    }
}

/// Functions, variables and keywords, or after a dot methods.
fn names(letters: &str, method: bool, words: &Words) -> Vec<Candidate> {
    let functions = words.functions.iter().filter(|it| it.method == method && it.name.starts_with(letters));
    let mut candidates: Vec<_> = functions.map(called).collect();
    if !method {
        let others = words.own.iter().map(String::as_str).chain(KEYWORDS);
        let others = others.filter(|name| name.starts_with(letters));
        candidates.extend(others.map(|name| Candidate { shown: name.into(), inserted: name.into() }));
    }
    candidates.sort();
    candidates.dedup_by(|one, other| one.shown == other.shown);
    candidates
}

/// A function with its bracket.
fn called(function: &Function) -> Candidate {
    let Function { name, signatures, .. } = function;
    let bracket = match signatures.as_slice() {
        [] => "",
        ways if ways.iter().all(|way| way.parameters.is_empty()) => "()",
        _ => "(",
    };
    Candidate { shown: name.clone(), inserted: format!("{name}{bracket}") }
}

/// Those that begin with the letters, in any case.
fn chosen(texts: &[String], letters: &str, inserted: impl Fn(&String) -> String) -> Vec<Candidate> {
    let begins =
        |text: &&String| text.get(..letters.len()).is_some_and(|head| head.eq_ignore_ascii_case(letters));
    let candidate = |text: &String| Candidate { shown: text.clone(), inserted: inserted(text) };
    texts.iter().filter(begins).map(candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inserted(before: &str) -> (usize, Vec<String>) {
        let Completion { start, of } = complete(before, "", &Words::sample());
        let Of::Words(candidates) = of else { panic!("{before}: files") };
        (start, candidates.into_iter().map(|it| it.inserted).collect())
    }

    #[test]
    fn functions_come_with_their_bracket_and_variables_without() {
        assert_eq!(inserted("irq_"), (0, vec!["irq_enable(".into(), "irq_wait(".into()]));
        assert_eq!(inserted("let x = reg"), (8, vec!["registers()".into()]));
        assert_eq!(inserted("ri"), (0, vec!["ring".into()]));
        assert_eq!(inserted("wh"), (0, vec!["while".into()]));
    }

    #[test]
    fn after_a_dot_are_methods_and_properties_only() {
        assert_eq!(inserted("ring."), (5, vec!["hexdump()".into(), "iova".into(), "load(".into()]));
        assert_eq!(inserted("ring.g"), (5, vec![]));
    }

    #[test]
    fn registers_complete_within_quotes_and_bring_them_along() {
        assert_eq!(inserted("get(\"CHAN0.CHANS"), (5, vec!["CHAN0.CHANSTS\"".into()]));
        assert_eq!(inserted("get(\"chan0.chans"), (5, vec!["CHAN0.CHANSTS\"".into()]));
        assert_eq!(inserted("get(CHAN0.CHANC"), (4, vec!["\"CHAN0.CHANCTRL\"".into()]));
        assert_eq!(inserted("get(").1.len(), 3);
        let closed = complete("get(\"CHANC", "\")", &Words::sample());
        let only = Candidate { shown: "CHANCNT".into(), inserted: "CHANCNT".into() };
        assert_eq!(closed, Completion { start: 5, of: Of::Words(vec![only]) });
    }

    #[test]
    fn behind_a_register_are_its_fields_and_behind_a_field_its_values() {
        assert_eq!(
            inserted("get(\"CHAN0.CHANSTS\", \""),
            (22, vec!["STATUS\"".into(), "SOFT_ERROR\"".into()])
        );
        assert_eq!(inserted("put(\"CHAN0.CHANSTS\", ST"), (21, vec!["\"STATUS\"".into()]));
        assert_eq!(
            inserted("put(\"CHAN0.CHANSTS\", \"STATUS\", \""),
            (32, vec!["ACTIVE\"".into(), "IDLE\"".into()])
        );
        assert_eq!(inserted("put(\"NONE\", \""), (13, vec![]));
    }

    #[test]
    fn values_that_the_documentation_lists_complete() {
        assert_eq!(inserted("irq_enable(\"ms"), (12, vec!["msi\"".into(), "msix\"".into()]));
    }

    #[test]
    fn files_complete_where_a_file_is_wanted() {
        let files = |before: &str| complete(before, "", &Words::sample());
        let of = |letters: &str| Of::Files(letters.into());
        assert_eq!(files("ring.load(\"a/b"), Completion { start: 11, of: of("a/b") });
        assert_eq!(files("run scr"), Completion { start: 4, of: of("scr") });
        assert_eq!(files("record! x"), Completion { start: 8, of: of("x") });
        assert_eq!(files("record --expect x"), Completion { start: 16, of: of("x") });
    }

    #[test]
    fn commands_complete_at_the_beginning_and_help_takes_names() {
        assert_eq!(inserted("exi"), (0, vec!["exit ".into()]));
        assert_eq!(inserted("f(exi"), (2, vec![]));
        assert_eq!(inserted("help irq_w"), (5, vec!["irq_wait".into()]));
        assert_eq!(inserted("? chanc"), (2, vec!["CHANCNT".into()]));
    }

    #[test]
    fn a_number_has_no_completion() {
        assert_eq!(inserted("12"), (2, vec![]));
    }
}
