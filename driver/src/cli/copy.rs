//! `netdma copy`: a file or generated data through the engine, verified byte by byte.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use netdma::client::{Channel, ChannelOptions, Driver, Options};
use netdma::hw::DmaBuffer;

use super::config::{Copy, Drive, Source};
use super::data::Data;
use super::exit::Usage;
use super::output::Output;
use super::{on, sizes};

/// Bytes that are under way at once, unless one chunk is larger.
const WINDOW: usize = 4 << 20;

/// Copies, and says what it took.
pub(crate) fn run(config: &Copy) -> anyhow::Result<()> {
    let mut source = Reader::open(&config.source)?;
    let Drive { processors, timeout, trace } = &config.drive;
    let opened = on::open(&config.on, trace.as_ref())?;
    let trace = opened.trace.clone();
    let faults = Some(opened.faults.clone());
    let options = Options { processors: *processors, timeout: *timeout, trace, faults, ..Options::default() };
    let driver = Driver::open(opened.device.clone(), options);
    let driver = driver.with_context(|| format!("--on {}: opening the engine", config.on.written()))?;
    let channel = channel(&driver, config.channel)?;
    let output = config.output.as_deref().map(Output::create).transpose()?;
    let done = through(config, &driver, &channel, &mut source, output.as_ref())?;
    if let Some(output) = output {
        output.keep()?;
    }
    let text = done.text(driver.name(), &channel);
    drop((channel, driver));
    opened.finish_trace();
    Ok(io::stdout().write_all(text.as_bytes())?)
}

/// The channel of this number. Those that the interface gives before it are held until then.
fn channel(driver: &Driver, number: u8) -> anyhow::Result<Channel> {
    let count = driver.identity().channels;
    if number >= count {
        let last = count - 1;
        return Err(
            Usage(format!("--channel {number}: this engine has {count} channels: give 0 to {last}")).into()
        );
    }
    let mut held = Vec::new();
    loop {
        let options = ChannelOptions { ring_slots: 2048, ..ChannelOptions::default() };
        let channel = driver.channel(options).with_context(|| format!("taking channel {number}"))?;
        if channel.index() == u64::from(number) {
            return Ok(channel);
        }
        held.push(channel);
    }
}

fn through(
    config: &Copy,
    driver: &Driver,
    channel: &Channel,
    source: &mut Reader,
    output: Option<&Output>,
) -> anyhow::Result<Done> {
    let chunk = config.chunk.unwrap_or(driver.identity().max_transfer() as usize);
    // As many chunks as the ring takes in one batch, so that a window is one interrupt.
    let window = WINDOW.max(chunk).min(chunk.saturating_mul(1024));
    let (from, to) = (driver.allocate(window)?, driver.allocate(window)?);
    let (mut data, mut found) = (vec![0; window], vec![0; window]);
    let started = Instant::now();
    let mut done = Done::default();
    loop {
        let len = source.fill(&mut data)?;
        if len == 0 {
            break;
        }
        let (data, found) = (&data[..len], &mut found[..len]);
        from.write(0, data)?;
        // What the engine leaves out must show.
        to.write(0, &data.iter().map(|byte| !byte).collect::<Vec<_>>())?;
        done.engine += window_through(channel, &from, &to, len, chunk, config.drive.timeout)
            .with_context(|| format!("copy: channel {}: at offset {}", channel.index(), done.bytes))?;
        to.read(0, found)?;
        if let Some(at) = data.iter().zip(found.iter()).position(|(expected, found)| expected != found) {
            let (channel, offset) = (channel.index(), done.bytes + at as u64);
            let (expected, found) = (data[at], found[at]);
            bail!(
                "copy: channel {channel}: offset {offset}: expected {expected:#04x}, found {found:#04x}: do not trust this engine"
            );
        }
        if let Some(output) = output {
            output.write(found)?;
        }
        done.bytes += len as u64;
    }
    done.all = started.elapsed();
    Ok(done)
}

fn window_through(
    channel: &Channel,
    from: &Arc<DmaBuffer>,
    to: &Arc<DmaBuffer>,
    len: usize,
    chunk: usize,
    timeout: Duration,
) -> anyhow::Result<Duration> {
    let mut batch = channel.batch();
    for offset in (0..len).step_by(chunk) {
        batch.copy(from, offset, to, offset, chunk.min(len - offset))?;
    }
    let started = Instant::now();
    batch.submit()?.wait(timeout)?;
    Ok(started.elapsed())
}

/// What it took.
#[derive(Default)]
struct Done {
    bytes: u64,
    /// From each doorbell to the wake-up of the waiting program.
    engine: Duration,
    all: Duration,
}

impl Done {
    fn text(&self, device: &str, channel: &Channel) -> String {
        let stats = channel.stats();
        let rate = self.bytes as f64 / 1e6 / self.engine.as_secs_f64().max(1e-9);
        let interrupts = match stats.provider.interrupts {
            1 => "1 interrupt".to_owned(),
            count => format!("{count} interrupts"),
        };
        let recovered = match stats.lost_interrupts_recovered {
            0 => String::new(),
            1 => ", recovered 1 lost interrupt".into(),
            lost => format!(", recovered {lost} lost interrupts"),
        };
        format!(
            "{device}: {} bytes ({}) copied on channel {} and verified\n{} descriptors, {interrupts}{recovered}, \
             {:.1} ms in the engine ({rate:.0} MB/s), {:.1} ms in all\n",
            self.bytes,
            sizes::show(self.bytes),
            channel.index(),
            stats.descriptors,
            self.engine.as_secs_f64() * 1e3,
            self.all.as_secs_f64() * 1e3,
        )
    }
}

/// Where the data comes from.
enum Reader {
    File(PathBuf, File),
    Generated { left: u64, data: Data },
}

impl Reader {
    fn open(source: &Source) -> anyhow::Result<Self> {
        Ok(match source {
            Source::File(path) => {
                let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
                Self::File(path.clone(), file)
            }
            Source::Generated(bytes) => Self::Generated { left: *bytes, data: Data::new(*bytes) },
        })
    }

    /// Fills `window` as far as there is data.
    fn fill(&mut self, window: &mut [u8]) -> anyhow::Result<usize> {
        match self {
            Self::File(path, file) => {
                let mut len = 0;
                while len < window.len() {
                    let read = file.read(&mut window[len..]);
                    match read.with_context(|| format!("cannot read {}", path.display()))? {
                        0 => break,
                        read => len += read,
                    }
                }
                Ok(len)
            }
            Self::Generated { left, data } => {
                let len = usize::try_from(*left).map_or(window.len(), |left| left.min(window.len()));
                data.fill(&mut window[..len]);
                *left -= len as u64;
                Ok(len)
            }
        }
    }
}
