//! The command line: what was written, and what it means once it is checked.

use std::os::fd::RawFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use ioat_stage::fault::{RuleContext, RulePlace, check_all, expand_all};
use ioat_stage::{Detail, Point, Rule};
use vfio_user_ioat::lint;
use vfio_user_ioat::profile::Profile;
use vfio_user_ioat::server::Listener;

/// A virtual Intel I/OAT v3 DMA engine, served to a VMM over vfio-user.
///
/// Runs in the foreground until SIGTERM or SIGINT; logs to standard error by RUST_LOG (default: info).
#[derive(Parser, Debug)]
#[command(version, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Listen on this UNIX socket. A stale socket file is replaced, a live one is not.
    #[arg(short, long, value_name = "PATH")]
    socket_path: Option<PathBuf>,

    /// Serve on this inherited file descriptor: a listening or a connected UNIX socket.
    #[arg(long, value_name = "N")]
    fd: Option<RawFd>,

    /// Number of channels [default: the profile's]
    #[arg(long, value_name = "1..=8", value_parser = clap::value_parser!(u8).range(1..=8))]
    channels: Option<u8>,

    /// Number of MSI-X vectors, at most one per channel: channel c signals vector c modulo N. With 0 there is no MSI-X, and
    /// interrupts come by INTx [default: one per channel]
    #[arg(long, value_name = "N")]
    vectors: Option<u16>,

    /// Which engine to be: skx, or netdma, which has page breaks and DCA context changes as well
    #[arg(long, value_name = "NAME", default_value = "skx")]
    profile: String,

    /// End when the first client leaves.
    #[arg(long)]
    once: bool,

    /// Print what this program can do, as JSON, and end.
    #[arg(long)]
    pub(crate) print_capabilities: bool,

    /// Take commands and tell events on this UNIX socket, as JSON lines: state, counters, registers, faults, pause and
    /// step, trace. Only this user may connect. `netdma-lab ctl PATH help` speaks to it
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,

    /// Write what happens to this file, as JSON lines, with times of the monotonic clock. The device never waits for it: what
    /// does not fit is counted, and a line says how much is missing
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,

    /// How much of it: `descriptors` (doorbells, messages, and one line per descriptor when it is done) or `stages` (one line
    /// per stage of each descriptor) [default: stages]
    #[arg(long, value_name = "WHAT", requires = "trace", value_parser = trace_detail)]
    trace_detail: Option<Detail>,

    /// Deviate: 'POINT[FILTER, ...]: TRIGGER ACTION', or errata:NAME. May be given several times; see below
    #[arg(long, value_name = "RULE")]
    fault: Vec<String>,

    /// Watch the driver: log what it must not do as it happens, and sum it up at the end. `deny`: then also end with
    /// exit code 5 if it broke a rule
    #[arg(long, value_name = "WHAT", num_args = 0..=1, require_equals = true, default_missing_value = "report")]
    lint: Option<Lint>,

    /// What passes between a channel's start and its first visible effect, in microseconds
    #[arg(long, value_name = "US", default_value_t = 200)]
    start_latency_us: u64,
}

/// A detail that a file is worth: not `off`.
fn trace_detail(word: &str) -> Result<Detail, String> {
    match word.parse() {
        Ok(detail @ (Detail::Descriptors | Detail::Stages)) => Ok(detail),
        _ => Err("expected descriptors or stages".to_owned()),
    }
}

/// What to do about a driver that breaks rules.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lint {
    /// Say so.
    Report,
    /// Say so, and fail in the end.
    Deny,
}

const EXAMPLES: &str = "\
Examples:
  vfio-user-ioat --socket-path /tmp/dma.sock
  vfio-user-ioat --socket-path /tmp/dma.sock --fault 'msix[ch=0]: nth(3) drop'
  vfio-user-ioat --socket-path /tmp/dma.sock --fault errata:hsw-e-config-unreachable
  vfio-user-ioat --socket-path /tmp/dma.sock --profile netdma --vectors 0
  vfio-user-ioat --socket-path /tmp/dma.sock --lint
  vfio-user-ioat --socket-path /tmp/dma.sock --control /tmp/dma.ctl
  vfio-user-ioat --socket-path /tmp/dma.sock --trace dma.jsonl --trace-detail descriptors

Attach it to QEMU (10.1 or newer) with shared memory:
  -object memory-backend-memfd,id=mem,size=1G,share=on -machine q35,memory-backend=mem \\
  -device '{\"driver\":\"vfio-user-pci\",\"socket\":{\"type\":\"unix\",\"path\":\"/tmp/dma.sock\"}}'

Fault rules: '[NAME =] POINT[FILTER, ...]: TRIGGER [TRIGGER ...] ACTION', or errata:NAME
  points:    config register doorbell fetch translate copy read write complete msix state reset pcie transport
  filters:   ch reg offset addr src dst desc op size flags vector state t after armed
  triggers:  nth(N) every(K) first(N) after(N) always p(P[, SEED]) times(N)
  actions:   drop delay(TIME) corrupt(OFFSET[, MASK]) halt(BIT|NAME) all-ones stall kill ...
A rule that can never fire is refused. scripts/experiments/FAULTS.md, or query-points on the control socket, has all of it:
which point can do what, and an example of each word.";

/// The exit code for a command line that makes no sense.
pub(crate) const USAGE: u8 = 2;

/// Parses the command line. The error is the exit code; what is to be said has been said.
pub(crate) fn parse() -> Result<Arguments, ExitCode> {
    Arguments::try_parse().map_err(|error| {
        if error.use_stderr() {
            eprintln!("vfio-user-ioat: {}", one_line(&error.to_string()));
            return ExitCode::from(USAGE);
        }
        // Help and version; whoever closed the pipe does not want the rest.
        let _ = error.print();
        ExitCode::SUCCESS
    })
}

/// Clap's report without its usage block, in one line.
fn one_line(report: &str) -> String {
    let said =
        report.split("\n\n").take_while(|part| !part.starts_with("Usage:") && !part.starts_with("For more"));
    let said = said.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ");
    let said = said.strip_prefix("error: ").unwrap_or(&said);
    format!("{said}: see `vfio-user-ioat --help`")
}

/// A checked command line.
pub(crate) struct Config {
    place: Place,
    pub(crate) profile: Profile,
    pub(crate) once: bool,
    pub(crate) trace: Option<TraceTo>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) start_latency: Duration,
    pub(crate) lint: Option<Lint>,
    control: Option<PathBuf>,
}

/// A trace, and where it goes.
pub(crate) struct TraceTo {
    pub(crate) path: PathBuf,
    pub(crate) detail: Detail,
}

enum Place {
    Path(PathBuf),
    Fd(RawFd),
}

/// Checks the command line. What it says against it is a matter of [`USAGE`]; nothing is touched yet.
pub(crate) fn check(arguments: Arguments) -> anyhow::Result<Config> {
    let place = match (arguments.socket_path, arguments.fd) {
        (Some(path), None) => Place::Path(path),
        (None, Some(fd)) => Place::Fd(fd),
        (Some(_), Some(_)) => bail!("--socket-path and --fd exclude each other: give one"),
        (None, None) => bail!("no place to serve: give --socket-path PATH or --fd N"),
    };
    let mut profile = Profile::by_name(&arguments.profile).with_context(|| {
        format!("unknown profile '{}': the profiles are {}", arguments.profile, profile_names().join(", "))
    })?;
    if let Some(channels) = arguments.channels {
        profile = profile.with_channels(channels).context("--channels")?;
    }
    if let Some(vectors) = arguments.vectors {
        profile = profile.with_vectors(vectors).context("--vectors")?;
    }
    let rules = expand_all(arguments.fault.iter().map(String::as_str))?;
    check_all(&rules, &RuleContext::new(profile.channels, profile.vectors(), RulePlace::Device))?;
    let start_latency = Duration::from_micros(arguments.start_latency_us);
    let Arguments { once, trace, trace_detail, lint, control, .. } = arguments;
    let trace = trace.map(|path| TraceTo { path, detail: trace_detail.unwrap_or(Detail::Stages) });
    Ok(Config { place, profile, once, trace, rules, start_latency, lint, control })
}

impl Config {
    /// Opens the place to serve on.
    pub(crate) fn listen(&self) -> anyhow::Result<Listener> {
        Ok(match &self.place {
            Place::Path(path) => Listener::bind(path)?,
            Place::Fd(fd) => Listener::inherit(*fd)?,
        })
    }

    /// There is to be a control socket.
    pub(crate) fn is_controlled(&self) -> bool {
        self.control.is_some()
    }

    /// Opens the control socket, if there is to be one.
    pub(crate) fn listen_for_control(&self) -> anyhow::Result<Option<Listener>> {
        self.control.as_deref().map(Listener::bind).transpose().context("--control")
    }

    /// The place, for the log.
    pub(crate) fn place(&self) -> String {
        match &self.place {
            Place::Path(path) => path.display().to_string(),
            Place::Fd(fd) => format!("file descriptor {fd}"),
        }
    }
}

fn profile_names() -> Vec<&'static str> {
    Profile::ALL.iter().map(|profile| profile.name).collect()
}

/// What `--print-capabilities` prints.
pub(crate) fn capabilities() -> String {
    serde_json::json!({
        "type": "vfio-user",
        "device": "ioat",
        "version": env!("CARGO_PKG_VERSION"),
        "profiles": profile_names(),
        "channels": {"min": 1, "max": Profile::CHANNELS_MAX},
        // At most one per channel.
        "vectors": {"min": 0, "max": Profile::CHANNELS_MAX},
        "features": ["once", "trace", "trace-detail", "fault", "lint", "control"],
        "lint-rules": lint::Rule::ALL.map(lint::Rule::name),
        "fault-points": Point::ALL.iter().filter(|point| !point.is_drivers()).map(|point| point.name()).collect::<Vec<_>>(),
    })
    .to_string()
}
