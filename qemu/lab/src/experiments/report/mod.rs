//! What many records say together: for a terminal, for a program, for a CI, and as one page for a person.

mod command;

mod digest;

mod interval;

mod text;

mod json;

mod junit;

mod ktap;

mod picture;

mod page;

pub use command::{Arguments, run};
pub use digest::{Cell, Digest, Group};
pub use interval::{Interval, none_seen, wilson};

/// A form of a report.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Format {
    /// A summary for a terminal.
    #[default]
    Text,
    /// One JSON object.
    Json,
    /// JUnit XML: a test case for each experiment.
    Junit,
    /// KTAP: a test for each experiment.
    Ktap,
    /// One self-contained page.
    Html,
}

/// The report in this form.
#[must_use]
pub fn render(format: Format, digest: &Digest) -> String {
    match format {
        Format::Text => text::text(digest),
        Format::Json => json::json(digest),
        Format::Junit => junit::junit(digest),
        Format::Ktap => ktap::ktap(digest),
        Format::Html => page::page(digest),
    }
}

#[cfg(test)]
mod tests;
