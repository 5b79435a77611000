//! Opens what a command runs on.

use std::sync::Arc;

use anyhow::Context;
use ioat_stage::pause::SharedPause;
use ioat_stage::trace::Header;
use ioat_stage::{FaultBook, NoTrace, Side, Switch, ThreadPause, Trace, TraceCounts, TraceWriter};
use netdma::hw::{self, Device};

use super::config::{On, Sim, TraceTo};

/// The most that an engine has.
const CHANNELS_MOST: usize = 8;

/// What was opened.
pub(crate) struct Opened {
    pub(crate) device: Device,
    /// The driver's events go here.
    pub(crate) trace: Arc<dyn Trace>,
    /// Writes them, if a trace was asked for.
    pub(crate) writer: Option<TraceWriter>,
    /// What the fault rules did, of the device in this process.
    pub(crate) faults: Option<Arc<FaultBook>>,
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
        On::Socket(path) => hw::socket::open(path, pause).map(of).map_err(anyhow::Error::from),
        On::Function(address) => {
            hw::vfio::open(&address.to_string(), pause).map(of).map_err(anyhow::Error::from)
        }
    };
    Ok(Opened { trace: driver, writer, ..opened? })
}

impl Opened {
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

fn of(device: Device) -> Opened {
    Opened { device, trace: Arc::new(NoTrace), writer: None, faults: None }
}

#[cfg(feature = "sim")]
fn open_sim(options: &Sim, trace: Option<Arc<dyn Trace>>, pause: SharedPause) -> anyhow::Result<Opened> {
    let Sim { profile, channels, vectors, rules } = options.clone();
    let options = hw::sim::SimOptions { profile, channels, vectors, rules, trace, ..Default::default() };
    let sim = hw::sim::Sim::open(options, pause)?;
    Ok(Opened { faults: Some(sim.faults), ..of(sim.device) })
}

#[cfg(not(feature = "sim"))]
fn open_sim(_: &Sim, _: Option<Arc<dyn Trace>>, _: SharedPause) -> anyhow::Result<Opened> {
    Err(super::exit::Usage(
        "this program was built without the in-process device: build it with the feature `sim`, or give \
         --on socket:PATH or a PCI address"
            .into(),
    )
    .into())
}

/// The file, and the thread that writes it.
fn writer(to: &TraceTo, pause: &SharedPause) -> anyhow::Result<TraceWriter> {
    let path = to.path.display();
    TraceWriter::create(&to.path, pause.clone()).with_context(|| format!("cannot create the trace file {path}"))
}

/// Where one side leaves its events.
fn sink(writer: &TraceWriter, to: &TraceTo, side: Side) -> Arc<dyn Trace> {
    let header = Header::new(side, to.detail, concat!("netdma ", env!("CARGO_PKG_VERSION")));
    Arc::new(Switch::of(writer.sink(&header, CHANNELS_MOST), to.detail))
}
