//! Opens what a command runs on.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use ioat_stage::pause::SharedPause;
use ioat_stage::{FaultBook, JsonLines, Side, ThreadPause, Trace};
use netdma::hw::{self, Device};

use super::config::{On, Sim};

/// What was opened.
pub(crate) struct Opened {
    pub(crate) device: Device,
    /// The driver's events go here, if a trace was asked for.
    pub(crate) trace: Option<Arc<dyn Trace>>,
    /// What the fault rules did, of the device in this process.
    pub(crate) faults: Option<Arc<FaultBook>>,
}

/// Opens it. `trace` is a file for the driver's events and, for the device in this process, for that one's too.
pub(crate) fn open(on: &On, trace: Option<&Path>) -> anyhow::Result<Opened> {
    let pause: SharedPause = Arc::new(ThreadPause::new());
    let file = trace.map(TraceFile::create).transpose()?;
    let sink = |side| file.as_ref().map(|file| file.sink(pause.clone(), side)).transpose();
    let driver = sink(Side::Driver)?;
    // The other two name themselves.
    let opened = match on {
        On::Sim(options) => open_sim(options, sink(Side::Device)?, pause).context("--on sim"),
        On::Socket(path) => hw::socket::open(path, pause).map(of).map_err(anyhow::Error::from),
        On::Function(address) => {
            hw::vfio::open(&address.to_string(), pause).map(of).map_err(anyhow::Error::from)
        }
    };
    Ok(Opened { trace: driver, ..opened? })
}

fn of(device: Device) -> Opened {
    Opened { device, trace: None, faults: None }
}

#[cfg(feature = "sim")]
fn open_sim(options: &Sim, trace: Option<Arc<dyn Trace>>, pause: SharedPause) -> anyhow::Result<Opened> {
    let Sim { profile, channels, vectors, rules } = options.clone();
    let options = hw::sim::SimOptions { profile, channels, vectors, rules, trace, ..Default::default() };
    let sim = hw::sim::Sim::open(options, pause)?;
    Ok(Opened { device: sim.device, trace: None, faults: Some(sim.faults) })
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

/// One file for the events of both sides.
struct TraceFile(File);

impl TraceFile {
    fn create(path: &Path) -> anyhow::Result<Self> {
        let failed = || format!("cannot create the trace file {}", path.display());
        File::create(path).with_context(failed)?;
        Ok(Self(OpenOptions::new().append(true).open(path).with_context(failed)?))
    }

    fn sink(&self, clock: SharedPause, side: Side) -> anyhow::Result<Arc<dyn Trace>> {
        let file = self.0.try_clone().context("cannot share the trace file between its two sides")?;
        Ok(JsonLines::new(Box::new(WholeLines { file, tail: Vec::new() }), clock, side))
    }
}

/// Appends whole lines only, so that two buffered writers of one file do not cut each other's.
struct WholeLines {
    file: File,
    tail: Vec<u8>,
}

impl Write for WholeLines {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.tail.extend_from_slice(data);
        if let Some(end) = self.tail.iter().rposition(|byte| *byte == b'\n') {
            let written = self.file.write_all(&self.tail[..=end]);
            self.tail.drain(..=end);
            written?;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_writers_of_one_trace_file_never_cut_each_others_lines() {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let file = TraceFile::create(&path).unwrap();
        let writer = || WholeLines { file: file.0.try_clone().unwrap(), tail: Vec::new() };
        let (mut one, mut two) = (writer(), writer());
        one.write_all(b"first\nsec").unwrap();
        two.write_all(b"other\n").unwrap();
        one.write_all(b"ond\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first\nother\nsecond\n");
    }
}
