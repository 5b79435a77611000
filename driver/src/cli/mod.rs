//! The program, in reading order: what was written on the command line, what it means once it is checked, what it
//! runs on, the commands, and what becomes of an error.

mod args;

mod pages;

mod sizes;

mod rules;

mod config;

mod on;

mod list;

mod info;

mod data;

mod output;

mod copy;

mod selftest;

mod exercise;

mod conformance;

#[cfg(feature = "script")]
mod session;

#[cfg(feature = "sim")]
mod remote;

#[cfg(feature = "script")]
mod script;

#[cfg(feature = "script")]
mod shell;

mod report;

mod table;

mod exit;

use std::process::ExitCode;

use args::{Arguments, Command};
use clap::CommandFactory;

/// Parses, checks, runs one command, and turns its result into the exit code.
pub(crate) fn main() -> ExitCode {
    if let Some(code) = netdma_pages::asked(args::Arguments::command(), &pages::NOTES) {
        return ExitCode::from(code);
    }
    let arguments = match args::parse() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let level = ["error", "info", "debug", "trace"][usize::from(arguments.verbose.min(3))];
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(level)).init();
    exit::of(run(arguments))
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        Command::List { json } => list::run(json),
        Command::Info(flags) => info::run(&config::info(flags)?),
        Command::Copy(flags) => copy::run(&config::copy(flags)?),
        Command::Selftest(flags) => selftest::run(&config::selftest(flags)?),
        Command::Exercise(flags) => exercise::run(&exercise::args::check(*flags)?),
        Command::Conformance(flags) => conformance::run(&config::conformance(flags)?),
        #[cfg(feature = "script")]
        Command::Script(flags) => script::run(config::script(flags)?),
        #[cfg(feature = "script")]
        Command::Shell(flags) => shell::run(&config::session(flags.session)?),
    }
}
