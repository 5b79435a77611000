//! Opens what a command runs on.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use ioat_stage::fault::Fired;
use ioat_stage::pause::SharedPause;
use ioat_stage::trace::Header;
use ioat_stage::{FaultBook, NoTrace, Rule, Side, Switch, ThreadPause, Trace, TraceCounts, TraceWriter};
use netdma::hw::{self, Device};

use super::config::{Elsewhere, On, Sim, TraceTo};
#[cfg(feature = "sim")]
use super::remote::Armed;

/// The most that an engine has.
const CHANNELS_MOST: usize = 8;

/// What was opened.
pub(crate) struct Opened {
    pub(crate) device: Device,
    /// The driver's events go here.
    pub(crate) trace: Arc<dyn Trace>,
    /// Writes them, if a trace was asked for.
    pub(crate) writer: Option<TraceWriter>,
    /// For the driver: its own points, and with the device in this process that one's too, in one book.
    pub(crate) faults: Arc<FaultBook>,
    /// What was armed in a device program.
    armed: Option<Armed>,
}

/// Opens it. `trace` is a file for the driver's events and, for the device in this process, for that one's too.
pub(crate) fn open(on: &On, trace: Option<&TraceTo>) -> anyhow::Result<Opened> {
    let pause: SharedPause = Arc::new(ThreadPause::new());
    let writer = trace.map(|to| writer(to, &pause)).transpose()?;
    let sink = |side| trace.zip(writer.as_ref()).map(|(to, writer)| sink(writer, to, side));
    let driver = sink(Side::Driver).unwrap_or_else(|| Arc::new(NoTrace));
    // The other two name themselves.
    let opened = match on {
        On::Sim(options) => open_sim(options, sink(Side::Device), pause).context("--on sim"),
        On::Socket(path, elsewhere) => {
            let device = hw::socket::open(path, pause).map_err(anyhow::Error::from);
            device.and_then(|device| of(device, elsewhere))
        }
        On::Function(address, elsewhere) => {
            let device = hw::vfio::open(&address.to_string(), pause).map_err(anyhow::Error::from);
            device.and_then(|device| of(device, elsewhere))
        }
    };
    Ok(Opened { trace: driver, writer, ..opened? })
}

impl Opened {
    /// What fired: the driver's rules (and those of the device in this process), then a device program's.
    pub(crate) fn fired(&self) -> Vec<Fired> {
        let mut fired = self.faults.fired();
        fired.extend(self.armed.iter().flat_map(Armed::fired));
        fired
    }

    /// Writes what the trace still holds, and says what is missing from it.
    pub(crate) fn finish_trace(&self) {
        let Some(writer) = &self.writer else { return };
        writer.drain();
        let TraceCounts { written, lost } = writer.counts();
        if lost > 0 {
            log::warn!("trace: {written} lines written, {lost} lost");
        }
    }
}

fn of(device: Device, elsewhere: &Elsewhere) -> anyhow::Result<Opened> {
    let Elsewhere { driver, device: rules, control } = elsewhere;
    let armed = control.as_deref().map(|control| arm(control, rules)).transpose()?;
    let faults = book_of_driver(&device, driver);
    Ok(Opened { device, trace: Arc::new(NoTrace), writer: None, faults, armed })
}

/// The driver's rules, whose clock begins now.
pub(crate) fn book_of_driver(device: &Device, rules: &[Rule]) -> Arc<FaultBook> {
    let book = FaultBook::new(rules.iter().cloned());
    let (pause, since) = (device.pause.clone(), device.pause.now_ns());
    book.set_clock(Arc::new(move || pause.now_ns().saturating_sub(since)));
    book
}

/// Arms the rules in the device program with this control socket.
#[cfg(feature = "sim")]
fn arm(control: &Path, rules: &[Rule]) -> anyhow::Result<Armed> {
    let named = |error: String| hw::HwError::Open(format!("--control {error}"));
    Ok(Armed::arm(control, rules).map_err(named)?)
}

#[cfg(not(feature = "sim"))]
fn arm(_: &Path, _: &[Rule]) -> anyhow::Result<Armed> {
    Err(without_sim())
}

#[cfg(not(feature = "sim"))]
struct Armed;

#[cfg(not(feature = "sim"))]
impl Armed {
    fn fired(&self) -> Vec<Fired> {
        Vec::new()
    }
}

#[cfg(feature = "sim")]
fn open_sim(options: &Sim, trace: Option<Arc<dyn Trace>>, pause: SharedPause) -> anyhow::Result<Opened> {
    let Sim { profile, channels, vectors, rules } = options.clone();
    let options = hw::sim::SimOptions { profile, channels, vectors, rules, trace, ..Default::default() };
    let sim = hw::sim::Sim::open(options, pause)?;
    let (device, faults) = (sim.device, sim.faults);
    Ok(Opened { device, trace: Arc::new(NoTrace), writer: None, faults, armed: None })
}

#[cfg(not(feature = "sim"))]
fn open_sim(_: &Sim, _: Option<Arc<dyn Trace>>, _: SharedPause) -> anyhow::Result<Opened> {
    Err(without_sim())
}

/// What to say where there is no device in this process.
#[cfg(not(feature = "sim"))]
pub(crate) fn without_sim() -> anyhow::Error {
    super::exit::Usage(
        "this program was built without the in-process device: build it with the feature `sim`, or give \
         --on socket:PATH or a PCI address"
            .into(),
    )
    .into()
}

/// The file, and the thread that writes it.
fn writer(to: &TraceTo, pause: &SharedPause) -> anyhow::Result<TraceWriter> {
    let path = to.path.display();
    TraceWriter::create(&to.path, pause.clone())
        .with_context(|| format!("cannot create the trace file {path}"))
}

/// Where one side leaves its events.
fn sink(writer: &TraceWriter, to: &TraceTo, side: Side) -> Arc<dyn Trace> {
    let header = Header::new(side, to.detail, concat!("netdma ", env!("CARGO_PKG_VERSION")));
    Arc::new(Switch::of(writer.sink(&header, CHANNELS_MOST), to.detail))
}
