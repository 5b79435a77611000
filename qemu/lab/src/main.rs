//! The program: one verb, its options, an exit code.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use netdma_vm::kernel::KernelChoice;

/// Runs drivers on the virtual engine in guests, judges them, and reports.
///
/// Exit codes: 0 all passed; 1 something failed; 2 usage; 3 the machine room failed (no guest, no QEMU, no kernel).
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// The main job: our driver, then with the third interrupt lost, and the stock ioatdma on the same device program
    WholePath {
        /// The guest's kernel: a version prefix from the cache
        #[arg(long, value_name = "VERSION", default_value = "6.12")]
        kernel: String,
        /// Show the driver's own progress
        #[arg(short, long)]
        verbose: bool,
    },
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    let Verb::WholePath { kernel, verbose } = Arguments::parse().verb;
    match netdma_lab::whole_path::run(&KernelChoice::Version(kernel), verbose) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("netdma-lab: {error:#}");
            println!("0 passed, 1 failed");
            ExitCode::from(3)
        }
    }
}
