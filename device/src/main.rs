//! The program: flags in, a served engine, an exit code out.

#[expect(unsafe_code, reason = "sigwait and _exit have no safe face")]
mod termination;

mod options;

mod pages;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::CommandFactory;
use ioat_stage::trace::Header;
use ioat_stage::{
    FaultBook, Faults, NoFaults, NoTrace, Pause, Side, Switch, ThreadPause, Trace, TraceCounts, TraceWriter,
};
use vfio_user_ioat::control::{Desk, News, Server, Tracing};
use vfio_user_ioat::engine::{Engine, Parts, Served, identity};
use vfio_user_ioat::lint::{LintBook, Severity};
use vfio_user_ioat::memory::DmaTable;
use vfio_user_ioat::server::{IrqTable, Listener, Options, serve};
use vmm_sys_util::eventfd::{EFD_CLOEXEC, EFD_NONBLOCK, EventFd};

use options::{Config, Lint, TraceTo};

/// As trace files name it.
const PROGRAM: &str = concat!("vfio-user-ioat ", env!("CARGO_PKG_VERSION"));
/// How long the end waits for the trace's file.
const LAST_LINES: Duration = Duration::from_secs(2);
/// The exit code of `--lint=deny` for a driver that broke a rule.
const MISCONDUCT: u8 = 5;

fn main() -> ExitCode {
    if let Some(code) = netdma_pages::asked(options::Arguments::command(), &pages::NOTES) {
        return ExitCode::from(code);
    }
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let arguments = match options::parse() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    if arguments.print_capabilities {
        println!("{}", options::capabilities());
        return ExitCode::SUCCESS;
    }
    match options::check(arguments) {
        Ok(config) => run(config).unwrap_or_else(|error| failed(&error, ExitCode::FAILURE)),
        Err(error) => failed(&error, options::USAGE.into()),
    }
}

fn failed(error: &anyhow::Error, code: ExitCode) -> ExitCode {
    eprintln!("vfio-user-ioat: {error:#}");
    code
}

fn run(config: Config) -> anyhow::Result<ExitCode> {
    let lint = config.lint;
    let book = lint.map(|_| LintBook::new());
    serve_config(config, book.clone())?;
    Ok(book.map_or(ExitCode::SUCCESS, |book| sum_up(&book, lint)))
}

/// The lint's last word, whatever the log's level is.
fn sum_up(book: &LintBook, lint: Option<Lint>) -> ExitCode {
    eprintln!("{book}");
    if lint == Some(Lint::Deny) && book.total(Severity::Violation) > 0 {
        return ExitCode::from(MISCONDUCT);
    }
    ExitCode::SUCCESS
}

fn serve_config(config: Config, lint: Option<Arc<LintBook>>) -> anyhow::Result<()> {
    // First, so that a place that cannot be served leaves no trace file behind.
    let door = Door::open(&config)?;
    let pause: Arc<dyn Pause> = Arc::new(ThreadPause::new());
    if config.rules.is_empty() && config.trace.is_none() && !config.is_controlled() {
        return serve_engine(config, door, pause, |_| NoFaults, NoTrace, lint, None);
    }
    let book = FaultBook::new(config.rules.iter().cloned());
    let clock = pause.clone();
    book.set_clock(Arc::new(move || clock.now_ns()));
    if let Some(listener) = config.listen_for_control()? {
        return serve_controlled(config, door, listener, pause, &book, lint);
    }
    let Some(TraceTo { path, detail }) = &config.trace else {
        return serve_engine(config, door, pause, move |_| book.faults(), NoTrace, lint, None);
    };
    let writer = TraceWriter::create(path, pause.clone())
        .with_context(|| format!("cannot create the trace file {}", path.display()))?;
    let header = Header::new(Side::Device, *detail, PROGRAM);
    let sink = writer.sink(&header, config.profile.channels.into());
    let trace = Arc::new(Switch::of(sink, *detail));
    let served = serve_engine(config, door, pause, move |_| book.faults(), trace, lint, None);
    // A file that takes nothing does not keep the program from its end.
    let _ = writer.drain_within(LAST_LINES);
    let TraceCounts { written, lost } = writer.counts();
    let level = if lost == 0 { log::Level::Info } else { log::Level::Warn };
    log::log!(level, "trace: {written} lines written, {lost} lost");
    served
}

/// With a control socket: faults and trace are built in, and armed and switched by it.
fn serve_controlled(
    config: Config,
    door: Door,
    listener: Listener,
    pause: Arc<dyn Pause>,
    book: &Arc<FaultBook>,
    lint: Option<Arc<LintBook>>,
) -> anyhow::Result<()> {
    let tracing = Tracing::new(pause.clone(), config.profile.channels.into());
    if let Some(TraceTo { path, detail }) = &config.trace {
        tracing
            .begin(path, *detail)
            .with_context(|| format!("cannot create the trace file {}", path.display()))?;
    }
    let news = News::new(pause.clone()).context("cannot create an eventfd")?;
    news.listen(book, lint.as_deref());
    let (sink, faults) = (tracing.sink(), Arc::clone(book));
    let control = Control { listener, book: Arc::clone(book), tracing, news };
    serve_engine(config, door, pause, move |_| faults.faults(), sink, lint, Some(control))
}

/// What a control socket is made of, but for the engine.
struct Control {
    listener: Listener,
    book: Arc<FaultBook>,
    tracing: Tracing,
    news: Arc<News>,
}

impl Control {
    fn start<F, T>(self, engine: &Engine<F, T>, irqs: &Arc<IrqTable>) -> anyhow::Result<Server>
    where
        F: Faults + 'static,
        T: Trace + 'static,
    {
        let Self { listener, book, tracing, news } = self;
        engine.observe(news.clone());
        let desk = Desk::new(engine.controls(irqs), book, tracing, news);
        Server::start(listener, desk).context("cannot serve the control socket")
    }
}

/// Where clients come in, and what ends the program.
struct Door {
    listener: Listener,
    stop: EventFd,
}

impl Door {
    fn open(config: &Config) -> anyhow::Result<Self> {
        let stop = EventFd::new(EFD_CLOEXEC | EFD_NONBLOCK).context("cannot create an eventfd")?;
        // Before any other thread starts, so that all of them inherit the blocked signals.
        termination::stop_on_signals(stop.try_clone().context("cannot clone an eventfd")?)?;
        Ok(Self { listener: config.listen()?, stop })
    }
}

fn serve_engine<F, T>(
    config: Config,
    Door { listener, stop }: Door,
    pause: Arc<dyn Pause>,
    faults: impl FnMut(Option<u8>) -> F,
    trace: T,
    lint: Option<Arc<LintBook>>,
    control: Option<Control>,
) -> anyhow::Result<()>
where
    F: Faults + 'static,
    T: Trace + 'static,
{
    let identity = identity(u32::from(config.profile.vectors()));
    let irqs = Arc::new(IrqTable::new(&identity));
    let parts = Parts {
        profile: config.profile,
        table: DmaTable::new(),
        interrupts: irqs.clone(),
        trace,
        pause,
        start_latency: config.start_latency,
    };
    let engine = Engine::start_watched(parts, faults, lint).context("cannot start the channels' threads")?;
    if config.lint.is_some() {
        log::info!("lint: watching the driver");
    }
    engine.on_kill(Box::new(termination::crash));
    // Dropped when serving is over, before the engine.
    let control = control.map(|control| control.start(&engine, &irqs)).transpose()?;
    let backend = Served::new(engine, irqs, identity);
    let Config { profile, .. } = &config;
    log::info!(
        "serving {} ({:04x}:{:04x}, {} channels, {} vectors) on {}",
        profile.name,
        profile.vendor,
        profile.device,
        profile.channels,
        profile.vectors(),
        config.place()
    );
    serve(listener, &backend, &stop, &Options { once: config.once, ..Options::default() })?;
    drop(control);
    log::info!("done");
    Ok(())
}
