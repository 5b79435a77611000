//! What a person tells the shell itself. Everything else is a statement.

/// Something to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Command {
    /// Say what there is, or what this name is.
    Help(Option<String>),
    /// Forget what was typed so far, for the record.
    RecordStart,
    /// Write what was typed.
    Record(Recording),
    /// Run a file.
    Run(String),
    /// End.
    Exit,
    /// A command that makes no sense, in words.
    Wrong(String),
}

/// Where the record goes, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Recording {
    pub(super) file: String,
    /// A file of that name may be replaced.
    pub(super) replace: bool,
    /// Values that were shown become expectations.
    pub(super) expect: bool,
}

/// The first words of all commands.
pub(super) const NAMES: [&str; 6] = ["exit", "help", "quit", "record", "record!", "run"];

/// What an argument of a command is completed with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wants {
    File,
    /// A function's or a register's name.
    Name,
}

/// The command on this line, if it is one. A variable may be called as a command is: then a sign follows it.
pub(super) fn parse(line: &str) -> Option<Command> {
    // Rhai has a function of this name, which ends a script.
    if matches!(line.trim().trim_end_matches(';').trim_end(), "exit()" | "quit()") {
        return Some(Command::Exit);
    }
    let (word, rest) = split(line)?;
    let rest = rest.trim();
    let ends = rest.trim_end_matches(';').trim();
    match word {
        "?" | "help" => Some(Command::Help((!ends.is_empty()).then(|| unquoted(ends).into()))),
        "exit" | "quit" => Some(match ends {
            "" => Command::Exit,
            more => Command::Wrong(format!("{word}: it takes nothing, not `{more}`")),
        }),
        "run" => Some(match unquoted(rest) {
            "" => Command::Wrong(
                "run: no file: write it as in `run scripts/bringup/ioat-first-copy.rhai`".into(),
            ),
            file => Command::Run(file.into()),
        }),
        "record" if rest == "start" => Some(Command::RecordStart),
        "record" | "record!" => Some(recording(rest, word == "record!")),
        _ => None,
    }
}

/// Where the last argument of a command begins, and what it can be.
pub(super) fn argument(before: &str) -> Option<(Wants, usize)> {
    let (word, rest) = split(before)?;
    // Without a blank the command's own name is being typed.
    let blank = word == "?" || rest.starts_with(char::is_whitespace);
    let start = before.len() - rest.trim_start().len();
    match word {
        _ if !blank => None,
        "?" | "help" => Some((Wants::Name, start)),
        "run" => Some((Wants::File, start)),
        "record" | "record!" => {
            let flag =
                before[start..].strip_prefix(EXPECT).filter(|rest| rest.starts_with(char::is_whitespace));
            Some((Wants::File, flag.map_or(start, |rest| before.len() - rest.trim_start().len())))
        }
        _ => None,
    }
}

const EXPECT: &str = "--expect";

/// The first word of a line, if it can be a command's, and what follows.
fn split(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start();
    if let Some(rest) = line.strip_prefix('?') {
        return Some(("?", rest));
    }
    let end = line.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(line.len());
    let end = if line[end..].starts_with('!') { end + 1 } else { end };
    let (word, rest) = line.split_at(end);
    let other = rest.trim_start().starts_with(['(', '.', '=', '[', '+', '-', '*'])
        && !rest.trim_start().starts_with("--");
    let path = matches!(word, "run" | "record" | "record!")
        && rest.starts_with(' ')
        && rest.trim_start().starts_with('.');
    let glued = !rest.is_empty() && !rest.starts_with(|c: char| c.is_whitespace() || c == ';');
    (!glued && (!other || path)).then_some((word, rest))
}

fn recording(rest: &str, replace: bool) -> Command {
    let (file, expect) = match (rest.strip_prefix(EXPECT), rest.strip_suffix(EXPECT)) {
        (Some(file), _) if file.is_empty() || file.starts_with(char::is_whitespace) => (file, true),
        (_, Some(file)) if file.ends_with(char::is_whitespace) => (file, true),
        _ => (rest, false),
    };
    match unquoted(file.trim()) {
        "" => Command::Wrong(
            "record: no file: write it as in `record first-copy.rhai`, or `record start`".into(),
        ),
        flag if flag.starts_with("--") => {
            Command::Wrong(format!("record: `{flag}` is no option: the only one is {EXPECT}"))
        }
        file => Command::Record(Recording { file: file.into(), replace, expect }),
    }
}

/// Quotes around a name are no part of it.
fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(file: &str, replace: bool, expect: bool) -> Option<Command> {
        Some(Command::Record(Recording { file: file.into(), replace, expect }))
    }

    #[test]
    fn commands_are_known_by_their_first_word() {
        assert_eq!(parse("help"), Some(Command::Help(None)));
        assert_eq!(parse(" ? "), Some(Command::Help(None)));
        assert_eq!(parse("?get"), Some(Command::Help(Some("get".into()))));
        assert_eq!(parse("help \"CHAN0.CHANSTS\";"), Some(Command::Help(Some("CHAN0.CHANSTS".into()))));
        assert_eq!(parse("exit;"), Some(Command::Exit));
        assert_eq!(parse("exit\n"), Some(Command::Exit));
        assert_eq!(parse("exit()"), Some(Command::Exit));
        assert_eq!(parse("quit"), Some(Command::Exit));
        assert_eq!(parse("run ./a b.rhai"), Some(Command::Run("./a b.rhai".into())));
    }

    #[test]
    fn a_record_has_a_file_a_mark_and_an_option() {
        assert_eq!(parse("record start"), Some(Command::RecordStart));
        assert_eq!(parse("record a.rhai"), record("a.rhai", false, false));
        assert_eq!(parse("record ../a.rhai"), record("../a.rhai", false, false));
        assert_eq!(parse("record! a.rhai --expect"), record("a.rhai", true, true));
        assert_eq!(parse("record --expect \"a b\""), record("a b", false, true));
        for wrong in ["record", "record --expect", "record --all", "run", "exit 1"] {
            assert!(matches!(parse(wrong), Some(Command::Wrong(_))), "{wrong}");
        }
    }

    #[test]
    fn everything_else_is_a_statement() {
        for statement in [
            "",
            "get(\"X\")",
            "help(\"get\")",
            "run = 1",
            "record.x",
            "runs(1)",
            "let run = 1",
            "exit(1)",
            "helper",
            "run(1)",
            "exit - 1",
        ] {
            assert_eq!(parse(statement), None, "{statement}");
        }
    }
}
