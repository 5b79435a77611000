//! Opens a session for a script or the shell: the device, whatever it is, and what can be told to it and of it.

use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
#[cfg(feature = "sim")]
use ioat_stage::Side;
use ioat_stage::pause::SharedPause;
use ioat_stage::{FaultBook, ThreadPause};
use netdma::hw;
use netdma::script::{EventDesk, FaultDesk, Parts, Recording, Session, Sink, Table};

use super::config::{self, On, Sim};
use super::exit::Usage;
use super::on::book_of_driver;

/// Events that are kept for `trace()`.
const EVENTS: usize = 1 << 16;

/// Opens it. `arguments` and `limit` are the script's.
pub(crate) fn open(
    config: &config::Session,
    arguments: Vec<String>,
    limit: Option<Duration>,
    sink: Box<dyn Sink>,
) -> anyhow::Result<Rc<Session>> {
    let config::Session { on, registers, force } = config;
    // Before the device is touched.
    let table = registers.as_deref().map(read_table).transpose()?;
    let pause: SharedPause = Arc::new(ThreadPause::new());
    let recording = Recording::new(pause.clone(), EVENTS);
    let Opened { device, faults, of_driver } = open_device(on, pause, &recording)?;
    let events: Option<Arc<dyn EventDesk>> = Some(recording);
    let (place, force, interrupt) = (on.written(), *force, interrupts());
    let parts =
        Parts { device, place, force, faults, of_driver, events, arguments, limit, interrupt, table, sink };
    Ok(Session::open(parts)?)
}

fn read_table(file: &Path) -> anyhow::Result<Table> {
    let text = fs::read_to_string(file)
        .map_err(|error| Usage(format!("--registers {}: cannot read it: {error}", file.display())))?;
    Ok(Table::parse(&file.display().to_string(), &text)
        .map_err(|error| Usage(format!("--registers {error}")))?)
}

struct Opened {
    device: hw::Device,
    faults: Option<Arc<dyn FaultDesk>>,
    of_driver: Arc<FaultBook>,
}

/// Any function will do: what it is, the script finds out.
fn open_device(on: &On, pause: SharedPause, recording: &Arc<Recording>) -> anyhow::Result<Opened> {
    match on {
        On::Sim(options) => open_sim(options, pause, recording).context("--on sim"),
        On::Socket(path, elsewhere) => {
            let faults = desk(elsewhere)?;
            let options = hw::socket::Options { any_function: true, ..Default::default() };
            let device = hw::socket::open_with(path, pause, &options)?;
            let of_driver = book_of_driver(&device, &elsewhere.driver);
            Ok(Opened { device, faults, of_driver })
        }
        On::Function(address, elsewhere) => {
            let faults = desk(elsewhere)?;
            let options = hw::vfio::Options { any_function: true, ..Default::default() };
            let device = hw::vfio::open_with(&address.to_string(), pause, &options)?;
            let of_driver = book_of_driver(&device, &elsewhere.driver);
            Ok(Opened { device, faults, of_driver })
        }
    }
}

/// The way to a device program's rules, with those of the command line armed.
fn desk(elsewhere: &config::Elsewhere) -> anyhow::Result<Option<Arc<dyn FaultDesk>>> {
    let Some(control) = elsewhere.control.as_deref() else { return Ok(None) };
    let desk = remote(control)?;
    for rule in &elsewhere.device {
        desk.arm(rule.clone()).map_err(|error| hw::HwError::Open(format!("--fault: {error}")))?;
    }
    Ok(Some(desk))
}

/// The fault rules of a device program, by its control socket.
#[cfg(feature = "sim")]
fn remote(path: &Path) -> anyhow::Result<Arc<dyn FaultDesk>> {
    let desk = super::remote::Remote::connect(path);
    Ok(Arc::new(desk.map_err(|error| hw::HwError::Open(format!("--control {error}")))?))
}

#[cfg(not(feature = "sim"))]
fn remote(_: &Path) -> anyhow::Result<Arc<dyn FaultDesk>> {
    Err(super::on::without_sim())
}

#[cfg(feature = "sim")]
fn open_sim(options: &Sim, pause: SharedPause, recording: &Arc<Recording>) -> anyhow::Result<Opened> {
    let Sim { profile, channels, vectors, rules } = options.clone();
    let trace = Some(recording.sink(Side::Device));
    let options = hw::sim::SimOptions { profile, channels, vectors, rules, trace, ..Default::default() };
    let sim = hw::sim::Sim::open(options, pause)?;
    Ok(Opened { device: sim.device, faults: Some(sim.faults.clone()), of_driver: sim.faults })
}

#[cfg(not(feature = "sim"))]
fn open_sim(_: &Sim, _: SharedPause, _: &Arc<Recording>) -> anyhow::Result<Opened> {
    Err(super::on::without_sim())
}

/// Set by Ctrl-C and SIGTERM from now on: the session ends by itself then. Ctrl-\ still kills.
pub(crate) fn interrupts() -> Arc<AtomicBool> {
    static CAME: std::sync::OnceLock<Arc<AtomicBool>> = std::sync::OnceLock::new();
    extern "C" fn came(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // `get` and a store are all that is done here: both are safe in a signal handler.
        if let Some(flag) = CAME.get() {
            flag.store(true, Ordering::Relaxed);
        }
    }
    let flag = CAME.get_or_init(Arc::default).clone();
    for signal in [libc::SIGINT, libc::SIGTERM] {
        if let Err(error) = vmm_sys_util::signal::register_signal_handler(signal, came) {
            log::warn!("signal {signal} will end this program at once: {error}");
        }
    }
    flag
}
