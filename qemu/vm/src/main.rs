//! `netdma-vm`: boots a guest in QEMU with vfio-user devices and runs a command in it.

use std::process::exit;

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
    Boot(cli::boot::BootArguments),
    Setup(cli::setup::SetupArguments),
    Doctor(cli::doctor::DoctorArguments),
    Clean(cli::clean::CleanArguments),
}

fn main() {
    env_logger::init();
    let code = match Arguments::parse().command {
        Verb::Boot(arguments) => cli::boot::run(arguments),
        Verb::Setup(arguments) => cli::setup::run(&arguments),
        Verb::Doctor(arguments) => cli::doctor::run(&arguments),
        Verb::Clean(arguments) => cli::clean::run(&arguments),
    };
    exit(code.unwrap_or_else(|error| {
        eprintln!("netdma-vm: {error:#}");
        Outcome::HARNESS_FAILED
    }));
}
