//! `netdma-vm`: boots a guest in QEMU with vfio-user devices and runs a command in it.

use std::process::exit;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use netdma_vm::outcome::Outcome;

mod cli;

/// Boots a guest in QEMU with vfio-user devices and runs a command in it.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Boot(Box<cli::boot::BootArguments>),
    Setup(cli::setup::SetupArguments),
    Doctor(cli::doctor::DoctorArguments),
    Clean(cli::clean::CleanArguments),
}

fn main() {
    env_logger::init();
    // Clap's own exit code for a wrong option could be taken for COMMAND's; help and version are no failure.
    let arguments = Arguments::try_parse().unwrap_or_else(|error| {
        if error.use_stderr() {
            eprintln!("netdma-vm: {}", one_line(&error));
            exit(Outcome::HARNESS_FAILED)
        }
        // The text goes nowhere if our outputs are closed.
        let _ = error.print();
        exit(0)
    });
    let code = match arguments.command {
        Verb::Boot(arguments) => cli::boot::run(*arguments),
        Verb::Setup(arguments) => cli::setup::run(&arguments),
        Verb::Doctor(arguments) => cli::doctor::run(&arguments),
        Verb::Clean(arguments) => cli::clean::run(&arguments),
    };
    exit(code.unwrap_or_else(|error| {
        eprintln!("netdma-vm: {}", with_causes(&error));
        Outcome::HARNESS_FAILED
    }));
}

/// An error with its causes, each of them once: some messages hold their cause already.
fn with_causes(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if said.is_empty() {
            said = cause;
        } else if !said.ends_with(&cause) {
            said = format!("{said}: {cause}");
        }
    }
    said
}

/// Clap's report without its usage block, in one line.
fn one_line(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "no command given: see `netdma-vm --help`".into();
    }
    let report = error.to_string();
    let said =
        report.split("\n\n").take_while(|part| !part.starts_with("Usage:") && !part.starts_with("For more"));
    let said = said.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ");
    let said = said.strip_prefix("error: ").unwrap_or(&said);
    format!("{said}: see `netdma-vm --help`")
}
