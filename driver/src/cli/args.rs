//! The command line as it was written. [`super::config`] checks what it means.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, Parser, Subcommand};
use ioat_stage::Detail;

use super::exercise::args::ExerciseArguments;
use super::exit;

/// Drives an Intel I/OAT DMA engine from user space: NetDMA's provider contract with NDIS interrupts and DPCs.
///
/// Every command runs on the engine that --on names; without it, on a virtual one inside this process, which needs
/// no hardware and no root.
#[derive(Parser, Debug)]
#[command(name = "netdma", version, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Log to standard error: -v info, -vv debug, -vvv trace. RUST_LOG wins.
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub(crate) verbose: u8,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// List the I/OAT functions of this host, with their driver, IOMMU group and NUMA node.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say what an engine is, what it can do, and how its channels stand.
    Info(InfoArguments),
    /// Copy a file or generated data through the engine, and verify every byte.
    Copy(CopyArguments),
    /// Try every operation, size, channel and processor, and print a table.
    Selftest(SelftestArguments),
    /// Work on every channel with an oracle of its own, and tell facts: for experiments with faults.
    Exercise(Box<ExerciseArguments>),
    /// Check every statement of the contract on an engine, and print KTAP or JSON.
    Conformance(ConformanceArguments),
    /// Run a Rhai script on a device: any PCI function, its registers by name, DMA, interrupts, checks.
    #[cfg(feature = "script")]
    Script(ScriptArguments),
    /// Type what scripts do, statement by statement; `record FILE` writes it down as a script.
    #[cfg(feature = "script")]
    #[command(after_help = SHELL)]
    Shell(ShellArguments),
}

/// On what a command runs.
#[derive(Args, Debug)]
pub(crate) struct OnArguments {
    /// The engine: `sim` (virtual, in this process), `socket:PATH` (a vfio-user device program), or a PCI address
    #[arg(long, value_name = "sim|socket:PATH|BDF", default_value = "sim")]
    pub(crate) on: String,

    /// sim: number of channels [default: the profile's]
    #[arg(long, value_name = "1..=8", value_parser = clap::value_parser!(u8).range(1..=8))]
    pub(crate) channels: Option<u8>,

    /// sim: number of MSI-X vectors, 0 for a line alone [default: one per channel]
    #[arg(long, value_name = "0..=8", value_parser = clap::value_parser!(u16).range(0..=8))]
    pub(crate) vectors: Option<u16>,

    /// sim: which engine to be [default: skx]
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,

    /// Deviate, by 'POINT[FILTER, ...]: TRIGGER ACTION' or errata:NAME. The driver's own points (isr, queue, dpc) work everywhere,
    /// the device's on sim, and with --control on a socket. May be given several times; see below
    #[arg(long, value_name = "RULE")]
    pub(crate) fault: Vec<String>,

    /// The control socket of the device program behind --on, for faults and its state
    #[arg(long, value_name = "PATH")]
    pub(crate) control: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct InfoArguments {
    #[command(flatten)]
    pub(crate) on: OnArguments,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// On what a script or the shell works, and how.
#[cfg(feature = "script")]
#[derive(Args, Debug)]
pub(crate) struct SessionArguments {
    #[command(flatten)]
    pub(crate) on: OnArguments,

    /// The names of the device's registers, a TOML table [default: the one that is built in for the device, if any]
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) registers: Option<PathBuf>,

    /// Do not warn of register writes that the table forbids.
    #[arg(long)]
    pub(crate) force: bool,
}

#[cfg(feature = "script")]
#[derive(Args, Debug)]
pub(crate) struct ScriptArguments {
    /// The script
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Its arguments: the array ARGS. What begins with a dash stands behind `--`.
    #[arg(value_name = "ARGS")]
    pub(crate) arguments: Vec<String>,

    #[command(flatten)]
    pub(crate) session: SessionArguments,

    /// Write the outcome as JUnit XML to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,

    /// Print KTAP on standard output; the script's own lines are comments in it.
    #[arg(long)]
    pub(crate) ktap: bool,

    /// How long all of it may take [default: as long as it likes]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout_ms: Option<u64>,
}

#[cfg(feature = "script")]
#[derive(Args, Debug)]
pub(crate) struct ShellArguments {
    #[command(flatten)]
    pub(crate) session: SessionArguments,
}

/// How a command drives the engine.
#[derive(Args, Debug)]
pub(crate) struct DriveArguments {
    /// Processors: DPC workers, each pinned to the CPU of its number where that exists
    #[arg(long, value_name = "1..=32", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=32))]
    pub(crate) processors: u32,

    /// How long one batch may take before its channel is reset
    #[arg(long, value_name = "MS", default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout_ms: u64,

    /// Write what happens to this file, as JSON lines: the driver's side, and with sim the device's too (`side` tells
    /// them apart, `t_ns` orders them). Nothing waits for it: what does not fit is counted, and a line says how much is missing
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,

    /// How much of the device's: `descriptors` (one line per descriptor when it is done) or `stages` (one per stage of each
    /// descriptor) [default: stages]
    #[arg(long, value_name = "WHAT", requires = "trace", value_parser = trace_detail)]
    pub(crate) trace_detail: Option<Detail>,
}

#[derive(Args, Debug)]
pub(crate) struct CopyArguments {
    #[command(flatten)]
    pub(crate) on: OnArguments,

    #[command(flatten)]
    pub(crate) drive: DriveArguments,

    /// Copy this file [default: generated data]
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,

    /// Write what the engine copied to this file; it appears only when all of it is verified.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Bytes of generated data; K, M and G are powers of 1024 [default: 16M]
    #[arg(long, value_name = "N")]
    pub(crate) size: Option<String>,

    /// The channel to use
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) channel: u8,

    /// Bytes of one descriptor [default: the most that the engine takes]
    #[arg(long, value_name = "N")]
    pub(crate) chunk: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct SelftestArguments {
    #[command(flatten)]
    pub(crate) on: OnArguments,

    #[command(flatten)]
    pub(crate) drive: DriveArguments,

    /// Fewer large sizes, and no wrap of the descriptor count.
    #[arg(long)]
    pub(crate) quick: bool,

    /// Print one JSON object on standard output, and the progress on standard error.
    #[arg(long)]
    pub(crate) json: bool,

    /// Repeat the data of a run that printed this seed [default: a new one]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// Pass only if a fault was detected or recovered from, and a clean batch verifies afterwards.
    #[arg(long)]
    pub(crate) expect_fault: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ConformanceArguments {
    #[command(flatten)]
    pub(crate) on: PlaceArguments,

    /// Only the statements whose id is this, or begins with it, as C-QD-05 or C-QD. May be given several times.
    #[arg(long, value_name = "ID")]
    pub(crate) only: Vec<String>,

    /// List the statements and their tests, and run nothing.
    #[arg(long, conflicts_with_all = ["json", "table"])]
    pub(crate) list: bool,

    /// Print one JSON object.
    #[arg(long, conflicts_with_all = ["ktap", "table"])]
    pub(crate) json: bool,

    /// Print KTAP; the default.
    #[arg(long, conflicts_with = "table")]
    pub(crate) ktap: bool,

    /// Make the Markdown table of what these files say, each the output of a run with --json, and run nothing.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["only", "profile"])]
    pub(crate) table: Vec<PathBuf>,
}

/// On what the checks run: each asks for the engine that it needs, so only the usual one can be chosen.
#[derive(Args, Debug)]
pub(crate) struct PlaceArguments {
    /// The engine: `sim` (virtual, in this process), `socket:PATH` (a vfio-user device program), or a PCI address
    #[arg(long, value_name = "sim|socket:PATH|BDF", default_value = "sim")]
    pub(crate) on: String,

    /// sim: which engine to be, where a check asks for none [default: skx]
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  netdma selftest                                          every operation on the virtual engine
  netdma selftest --quick --fault 'msix: nth(3) drop'      the same, and the third interrupt is lost
  netdma exercise --seed 7 --fault 'msix: nth(3) drop'     a workload, and what became of it
  netdma copy --input disk.img --output copy.img           a file through the engine, verified
  netdma info --on socket:/tmp/dma.sock                    a device program's engine
  netdma list                                              the engines of this host
  netdma selftest --on 0000:00:04.0                        one of them, bound to vfio-pci
  netdma conformance --only C-QD                           what the contract says of NdisMQueueDpc, checked
  netdma script scripts/bringup/ioat-first-copy.rhai       a first copy, by hand

Fault rules (--fault): '[NAME =] POINT[FILTER, ...]: TRIGGER [TRIGGER ...] ACTION', or errata:NAME
  points:    config register doorbell fetch translate copy read write complete msix state reset pcie: the device's, on sim or on a
             device program with --control; isr queue dpc: the driver's, everywhere
  filters:   ch reg offset addr src dst desc op size flags vector state t after armed
  triggers:  nth(N) every(K) first(N) after(N) always p(P[, SEED]) times(N)
  scripts/experiments/FAULTS.md has all of it: which point can do what, and an example of each word.

Exit codes:
  0  done
  1  a verification or an operation failed
  2  the command line makes no sense
  3  the device could not be opened, or is gone
  4  conformance, script: nothing could be checked";

/// A detail that a file is worth: not `off`.
fn trace_detail(word: &str) -> Result<Detail, String> {
    match word.parse() {
        Ok(detail @ (Detail::Descriptors | Detail::Stages)) => Ok(detail),
        _ => Err("expected descriptors or stages".to_owned()),
    }
}

#[cfg(feature = "script")]
const SHELL: &str = "\
On a terminal: Tab completes functions, registers, fields, values and files; the history is kept in
$XDG_STATE_HOME/netdma/history or ~/.local/state/netdma/history; Ctrl-C ends what is being evaluated, Ctrl-D or
`exit` ends the shell with code 0. `help` has all the rest.

From a pipe, or with TERM=dumb, lines are read plainly and no escape sequence is written. Each statement is then like
a script of its own, and the worst of them gives the exit code, in this order:
  3  the device is gone
  2  a statement makes no sense
  1  a statement failed, or something was not as expected
  4  a statement was skipped
  0  all was well";

/// Parses the command line. The error is the exit code; what is to be said has been said.
pub(crate) fn parse() -> Result<Arguments, ExitCode> {
    Arguments::try_parse().map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Whoever closed the pipe does not want the rest.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            exit::complain("no command given: see `netdma --help`");
            ExitCode::from(exit::USAGE)
        }
        _ => {
            exit::complain(&one_line(&error.to_string()));
            ExitCode::from(exit::USAGE)
        }
    })
}

/// clap's report without its usage block, in one line.
fn one_line(report: &str) -> String {
    let said =
        report.split("\n\n").take_while(|part| !part.starts_with("Usage:") && !part.starts_with("For more"));
    let said: Vec<String> = said
        .map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|part| !part.is_empty())
        .collect();
    let said = said.join(": ");
    let said = said.strip_prefix("error: ").unwrap_or(&said);
    format!("{said}: see `netdma --help`")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_contradict_each_other_nowhere() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_report_of_clap_becomes_one_line_with_its_tip() {
        let report = Arguments::try_parse_from(["netdma", "list", "--jsn"]).unwrap_err().to_string();
        let line = one_line(&report);
        assert_eq!(line.lines().count(), 1);
        assert!(line.starts_with("unexpected argument '--jsn' found: tip: "), "{line}");
        assert!(line.ends_with(": see `netdma --help`"), "{line}");
    }
}
