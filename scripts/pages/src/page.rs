//! Man pages: clap_mangen's sections, then those that it does not know.

use std::io::{self, Write};

use clap::Command;
use clap_mangen::Man;

use crate::section::{Section, escaped};

/// What a program's page says that its command line's definitions do not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Notes {
    /// `0  done`, one to a line. Not used where the definitions' own text has a section `Exit codes:`.
    pub exit_codes: &'static str,
    /// Commands, one to a line. Not used where the definitions' own text has a section `Examples:`.
    pub examples: &'static str,
    /// Variables and what they are for, other than those that stand beside an option.
    pub environment: &'static [(&'static str, &'static str)],
    /// Files and what they are for.
    pub files: &'static [(&'static str, &'static str)],
    /// Other programs' pages.
    pub see_also: &'static [&'static str],
}

/// When the texts were last gone over: a page must have a date, and the same source makes the same page.
const DATE: &str = "2026-11-21";

/// The program's own page.
pub(crate) fn of_program(command: Command, notes: &Notes) -> io::Result<Vec<u8>> {
    let mut pages = all(command, notes)?;
    Ok(pages.swap_remove(0).1)
}

/// Name and text of the program's page, and of one for each verb.
pub(crate) fn all(command: Command, notes: &Notes) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let program = Program { sections: sections_of_program(&command, notes), notes };
    let mut pages = vec![program.page(&command, &[])?];
    program.verbs(&command, &mut pages)?;
    Ok(pages)
}

/// What every page of a program knows of it.
struct Program<'a> {
    sections: Vec<Section>,
    notes: &'a Notes,
}

/// The sections that a verb's page takes over from its program's.
const SHARED: [&str; 3] = ["Exit codes", "Environment", "Files"];

impl Program<'_> {
    fn verbs(&self, above: &Command, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
        for verb in above.get_subcommands().filter(|verb| !verb.is_hide_set()) {
            let mut sections = Section::read(&text_behind_options(verb));
            let words = verb.get_bin_name().unwrap_or_else(|| verb.get_name());
            if !sections.iter().any(|section| section.title == "Examples") {
                let examples = self.sections.iter().find(|section| section.title == "Examples");
                sections.extend(examples.and_then(|examples| examples.examples_of(words)));
            }
            for shared in self.sections.iter().filter(|section| SHARED.contains(&section.title.as_str())) {
                if !sections.iter().any(|section| section.title == shared.title) {
                    sections.push(shared.clone());
                }
            }
            pages.push(self.page(verb, &sections)?);
            self.verbs(verb, pages)?;
        }
        Ok(())
    }

    /// One page. The program's own has its sections, a verb's those that were gathered for it.
    fn page(&self, command: &Command, of_verb: &[Section]) -> io::Result<(String, Vec<u8>)> {
        let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
        let is_program = command.get_bin_name().is_none_or(|words| !words.contains(' '));
        let man = Man::new(command.clone());
        let mut out = Vec::new();
        // Not clap_mangen's: it leaves an empty date out, and the version then stands in its place.
        let version = env!("CARGO_PKG_VERSION");
        writeln!(out, ".TH \"{name}\" \"1\" \"{DATE}\" \"netdma {version}\" \"NetDMA\"")?;
        man.render_name_section(&mut out)?;
        man.render_synopsis_section(&mut out)?;
        man.render_description_section(&mut out)?;
        man.render_options_section(&mut out)?;
        if command.get_subcommands().any(|verb| !verb.is_hide_set()) {
            man.render_subcommands_section(&mut out)?;
        }
        for section in if is_program { &self.sections } else { of_verb } {
            section.write(&mut out)?;
        }
        self.see_also(&name, &mut out)?;
        Ok((name, out))
    }

    fn see_also(&self, name: &str, out: &mut dyn Write) -> io::Result<()> {
        let others = self.notes.see_also.iter().filter(|other| **other != name);
        let others: Vec<_> = others.map(|other| format!("\\fB{}\\fR(1)", escaped(other))).collect();
        if others.is_empty() { Ok(()) } else { writeln!(out, ".SH \"SEE ALSO\"\n{}", others.join(",\n")) }
    }
}

/// The definitions' own sections, then those of the notes that are not there yet.
fn sections_of_program(command: &Command, notes: &Notes) -> Vec<Section> {
    let mut sections = Section::read(&text_behind_options(command));
    for (title, text) in [("Examples", notes.examples), ("Exit codes", notes.exit_codes)] {
        if !text.is_empty() && !sections.iter().any(|section| section.title == title) {
            let lines = text.lines().map(|line| format!("  {line}")).collect();
            sections.push(Section { title: title.into(), lines, ..Section::default() });
        }
    }
    sections.extend(Section::of_pairs("Environment", notes.environment));
    sections.extend(Section::of_pairs("Files", notes.files));
    sections
}

fn text_behind_options(command: &Command) -> String {
    let text = command.get_after_long_help().or_else(|| command.get_after_help());
    text.map(ToString::to_string).unwrap_or_default()
}
