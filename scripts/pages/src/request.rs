//! What is asked for: a kind of page, and the folder that it goes into.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap_complete::Shell;

/// What can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Man pages: of the program, and of each verb.
    Man,
    /// A completion for bash.
    Bash,
    /// A completion for zsh.
    Zsh,
    /// A completion for fish.
    Fish,
    /// All of them.
    All,
}

/// A kind, and the folder for its files. Without folder the program's own page goes to standard output.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) kind: Kind,
    pub(crate) folder: Option<PathBuf>,
}

impl Request {
    /// `None` if the first word is another one: then the command line is the program's own.
    pub(crate) fn of(mut words: impl Iterator<Item = OsString>) -> Option<Result<Self, String>> {
        let first = words.next()?;
        (first == "generate" || first == "--generate").then(|| Self::parse(words))
    }

    fn parse(mut words: impl Iterator<Item = OsString>) -> Result<Self, String> {
        const USAGE: &str = "expected man, bash, zsh, fish or all, and a folder";
        let word = words.next().ok_or(USAGE)?;
        let kind = Kind::named(&word).ok_or_else(|| format!("'{}': {USAGE}", word.to_string_lossy()))?;
        let folder = words.next().map(PathBuf::from);
        if let Some(more) = words.next() {
            return Err(format!("'{}' is one word too many: {USAGE}", more.to_string_lossy()));
        }
        if kind == Kind::All && folder.is_none() {
            return Err("all: give the folder that the files go into".into());
        }
        Ok(Self { kind, folder })
    }
}

impl Kind {
    const EACH: [Self; 4] = [Self::Man, Self::Bash, Self::Zsh, Self::Fish];

    fn named(word: &OsStr) -> Option<Self> {
        Some(match word.to_str()? {
            "man" => Self::Man,
            "bash" => Self::Bash,
            "zsh" => Self::Zsh,
            "fish" => Self::Fish,
            "all" => Self::All,
            _ => return None,
        })
    }

    /// The kinds that this one stands for.
    pub(crate) fn each(self) -> Vec<Self> {
        if self == Self::All { Self::EACH.into() } else { vec![self] }
    }

    pub(crate) fn shell(self) -> Option<Shell> {
        match self {
            Self::Bash => Some(Shell::Bash),
            Self::Zsh => Some(Shell::Zsh),
            Self::Fish => Some(Shell::Fish),
            Self::Man | Self::All => None,
        }
    }

    /// Where `man` and the shells look below a folder `share`.
    pub(crate) fn place(self, name: &str) -> String {
        match self {
            Self::Man | Self::All => format!("man/man1/{name}.1"),
            Self::Bash => format!("bash-completion/completions/{name}"),
            Self::Zsh => format!("zsh/site-functions/_{name}"),
            Self::Fish => format!("fish/vendor_completions.d/{name}.fish"),
        }
    }
}
