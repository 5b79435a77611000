//! The verb's flags, and what they mean once they are checked.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use netdma::client::CompletionMode;
use netdma::contract::CpuSet32;

use super::workload::{Percents, Weights, Workload, span};
use crate::cli::args::OnArguments;
use crate::cli::config::{self, On};
use crate::cli::exit::Usage;

#[derive(Args, Debug)]
pub(crate) struct ExerciseArguments {
    /// The engine: `sim` (virtual, in this process), `socket:PATH` (a vfio-user device program), or a PCI address
    #[arg(long, value_name = "sim|socket:PATH|BDF", default_value = "sim")]
    on: String,

    /// Channels to take; on sim also those that the engine has [default: all]
    #[arg(long, value_name = "1..=8", value_parser = clap::value_parser!(u8).range(1..=8))]
    channels: Option<u8>,

    /// sim: number of MSI-X vectors, 0 for a line alone [default: one per channel]
    #[arg(long, value_name = "0..=8", value_parser = clap::value_parser!(u16).range(0..=8))]
    vectors: Option<u16>,

    /// sim: which engine to be [default: skx]
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,

    /// Deviate, by 'POINT[ch=N]: TRIGGER ACTION': the driver's own points (isr, queue, dpc) everywhere, the device's on sim,
    /// and with --control on a socket. May be given several times. On sim, disarmed before the clean batches
    #[arg(long, value_name = "RULE")]
    fault: Vec<String>,

    /// The control socket of the device program behind --on, for --fault
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,

    /// Chooses data, sizes and operations [default: a new one, which is printed]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Threads, each with memory of its own; task i works on channel i modulo the channels [default: one per channel]
    #[arg(long, value_name = "N")]
    tasks: Option<u32>,

    /// Submissions of each task
    #[arg(long, value_name = "N", default_value_t = 12)]
    batches: u32,

    /// Operations of a submission: N, A..B (without B) or A..=B
    #[arg(long, value_name = "A..B", default_value = "1..=8")]
    batch: String,

    /// Bytes of an operation, likewise; K and M are powers of 1024
    #[arg(long, value_name = "A..B", default_value = "1..=512")]
    bytes: String,

    /// Submissions that a task leaves open
    #[arg(long, value_name = "N", default_value_t = 3)]
    in_flight: u32,

    /// Weight of copies among the operations
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = weight())]
    copy: u64,

    /// Weight of fills
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = weight())]
    fill: u64,

    /// Weight of NULLs
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = weight())]
    null: u64,

    /// Percent of the operations with a fence behind them; a copy behind it reads what was just written
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = weight())]
    fence: u64,

    /// Percent of the waits that poll instead
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = weight())]
    poll: u64,

    /// Percent of the batches before which a buffer is given back, under way or not, and another taken
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = weight())]
    renew: u64,

    /// Percent of the batches after which the channel is suspended and resumed
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = weight())]
    suspend: u64,

    /// Percent of the batches after which the channel is aborted, with what is under way
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = weight())]
    abort: u64,

    /// Percent of the batches after which the channel is reset, with what is under way
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = weight())]
    restart: u64,

    /// How long each wait may take before the driver gives the channel up
    #[arg(long, value_name = "MS", default_value_t = 500)]
    timeout_ms: u64,

    /// A workload that takes longer is slow [default: none is]
    #[arg(long, value_name = "MS")]
    degraded_ms: Option<u64>,

    /// A round that does not end in this time hangs: the program says where, and ends
    #[arg(long, value_name = "MS", default_value_t = 60_000)]
    hang_ms: u64,

    /// Clean batches that must succeed on every channel afterwards
    #[arg(long, value_name = "N", default_value_t = 1)]
    clean_after: u32,

    /// Do not reset the function before the round: whoever runs the device has
    #[arg(long)]
    no_reset: bool,

    /// Ask for no interrupts, and look at the completion word instead
    #[arg(long)]
    polled: bool,

    /// Each DPC asks for one more on every other processor
    #[arg(long)]
    spread: bool,

    /// Slots of each channel's ring, a power of two
    #[arg(long, value_name = "2..=65536", default_value_t = 1024)]
    ring_slots: usize,

    /// Processors: DPC workers, each pinned to the CPU of its number where that exists
    #[arg(long, value_name = "1..=32", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=32))]
    processors: u32,

    /// How long a waiter trusts the interrupt before it looks for itself
    #[arg(long, value_name = "MS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    watchdog_ms: u64,

    /// How long the driver's own calls without a limit may take
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    driver_timeout_ms: u64,

    /// Print one JSON object on standard output: the facts
    #[arg(long)]
    json: bool,

    /// Take requests from standard input, one JSON object a line as in {"do":"both","seed":7}, and print a line of
    /// facts for each: many rounds, and the device is opened once. `do` is `run` (the driver stays open), `end` (clean
    /// batches, leaks, closing), or `both`; the other keys are flags, with underscores, and what they do not say is as here
    #[arg(long)]
    serve: bool,
}

fn weight() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(0..=100)
}

/// A checked `exercise`.
pub(crate) struct Exercise {
    pub(crate) on: On,
    pub(crate) workload: Workload,
    pub(crate) processors: u32,
    pub(crate) watchdog: Duration,
    pub(crate) timeout: Duration,
    pub(crate) ring_slots: usize,
    pub(crate) completion: CompletionMode,
    pub(crate) spread: CpuSet32,
    pub(crate) json: bool,
    pub(crate) serve: bool,
}

/// Checks it.
pub(crate) fn check(flags: ExerciseArguments) -> Result<Exercise, Usage> {
    let workload = workload(&flags)?;
    let ExerciseArguments { on, channels, vectors, profile, fault, control, ring_slots, processors, .. } =
        flags;
    // On another device it is only how many are taken.
    let of_sim = channels.filter(|_| on == "sim");
    let on = config::on(OnArguments { on, channels: of_sim, vectors, profile, fault, control })?;
    if !(ring_slots.is_power_of_two() && (2..=65_536).contains(&ring_slots)) {
        return Err(Usage(format!("--ring-slots {ring_slots}: expected a power of two, 2 to 65536")));
    }
    Ok(Exercise {
        on,
        workload,
        processors,
        watchdog: Duration::from_millis(flags.watchdog_ms),
        timeout: Duration::from_millis(flags.driver_timeout_ms),
        ring_slots,
        completion: if flags.polled { CompletionMode::Polled } else { CompletionMode::Interrupt },
        spread: if flags.spread { CpuSet32::first(processors) } else { CpuSet32::EMPTY },
        json: flags.json,
        serve: flags.serve,
    })
}

fn workload(flags: &ExerciseArguments) -> Result<Workload, Usage> {
    let range = |name: &str, text: &str| span(text).map_err(|what| Usage(format!("{name} {what}")));
    let workload = Workload {
        seed: flags.seed.unwrap_or_else(config::new_seed),
        channels: flags.channels,
        tasks: flags.tasks,
        batches: flags.batches,
        batch: range("--batch", &flags.batch)?,
        bytes: range("--bytes", &flags.bytes)?,
        in_flight: flags.in_flight,
        weights: Weights { copy: flags.copy, fill: flags.fill, null: flags.null },
        percents: Percents {
            fence: flags.fence,
            poll: flags.poll,
            renew: flags.renew,
            suspend: flags.suspend,
            abort: flags.abort,
            restart: flags.restart,
        },
        timeout_ms: flags.timeout_ms,
        degraded_ms: flags.degraded_ms,
        hang_ms: flags.hang_ms,
        clean_after: flags.clean_after,
        reset: !flags.no_reset,
    };
    workload.check(|name| format!("--{}", name.replace('_', "-"))).map_err(Usage)?;
    Ok(workload)
}
