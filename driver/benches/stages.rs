//! How long each stage of one 4 KiB copy takes, from the doorbell to the client: `cargo bench -p netdma`.
//!
//! The trace's sink stamps each event; the figures are the times between them, p50 and p99. The baseline is one wake-up of a
//! sleeping thread through the same seam (`Pause`), in the same run: between the interrupt and the client lie three of them.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ioat_stage::{Bell, Event, Pause, Stage, Task, ThreadPause, Trace};
use netdma::client::{Channel, ChannelOptions, CompletionMode, Driver, Options};
use netdma::hw::sim::{Sim, SimOptions};

const COPIES: usize = 5_000;
const SIZE: usize = 4096;

/// When each stage was left last.
struct Stamps {
    at: [AtomicU64; Stage::ALL.len()],
    clock: ThreadPause,
}

impl Trace for Stamps {
    fn event(&self, event: Event) {
        self.at[event.stage as usize].store(self.clock.now_ns(), Ordering::Release);
    }
}

/// One line of the table: what lies between two moments.
struct Line {
    name: &'static str,
    ns: Vec<u64>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // `cargo test --benches` only wants to see that it runs.
    let copies = if std::env::args().any(|argument| argument == "--bench") { COPIES } else { 20 };
    println!("machine: {} processors, load average at start: {}", processors(), load());
    let wake = percentiles(&mut wake_ups(copies)?);
    println!("baseline: waking a thread that sleeps: {} ns p50, {} ns p99\n", wake.0, wake.1);
    for completion in [CompletionMode::Interrupt, CompletionMode::Polled] {
        println!("{SIZE} bytes, one copy at a time, in this process, {completion:?}");
        println!("{:<52} {:>9} {:>9} {:>12}", "between", "p50 ns", "p99 ns", "p50 / wake");
        for Line { name, mut ns } in measure(completion, copies)? {
            let (p50, p99) = percentiles(&mut ns);
            println!("{name:<52} {p50:>9} {p99:>9} {:>12.2}", ratio(p50, wake.0));
        }
        println!();
    }
    Ok(())
}

fn measure(completion: CompletionMode, copies: usize) -> Result<Vec<Line>, Box<dyn std::error::Error>> {
    let stamps = Arc::new(Stamps { at: Default::default(), clock: ThreadPause::new() });
    let trace: Arc<dyn Trace> = stamps.clone();
    let options = SimOptions { trace: Some(trace.clone()), ..SimOptions::default() };
    let sim = Sim::open(options, Arc::new(ThreadPause::new()))?;
    let driver = Driver::open(sim.device, Options { trace, ..Options::default() })?;
    let channel = driver.channel(ChannelOptions { completion, ..ChannelOptions::default() })?;
    let (from, to) = (driver.allocate(SIZE)?, driver.allocate(SIZE)?);
    let device = [
        "submit to doorbell",
        "doorbell to fetched",
        "fetched to translated",
        "translated to copied",
        "copied to completion word",
    ];
    let interrupt = [
        "completion word to message sent",
        "completion word to DPC queued by the service routine",
        "DPC queued to its report made",
        "completion word to client awake",
        "submit to client awake",
    ];
    let polled = ["completion word to client", "submit to client"];
    let names: Vec<&'static str> = match completion {
        CompletionMode::Interrupt => device.iter().chain(&interrupt).copied().collect(),
        CompletionMode::Polled => device.iter().chain(&polled).copied().collect(),
    };
    let mut lines: Vec<Line> = names.into_iter().map(|name| Line { name, ns: Vec::new() }).collect();
    for _ in 0..copies {
        let start = stamps.clock.now_ns();
        channel.copy(&from, 0, &to, 0, SIZE)?;
        let end = stamps.clock.now_ns();
        // The DPC's event comes after the client is woken.
        settle(&stamps, &channel, completion, start);
        let at = |stage: Stage| stamps.at[stage as usize].load(Ordering::Acquire);
        let moments = [
            start,
            at(Stage::Doorbell),
            at(Stage::Fetch),
            at(Stage::Translate),
            at(Stage::Copy),
            at(Stage::Complete),
        ];
        let mut gaps: Vec<u64> = moments.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        let word = at(Stage::Complete);
        if completion == CompletionMode::Interrupt {
            let (msix, queue, dpc) = (at(Stage::Msix), at(Stage::Queue), at(Stage::Dpc));
            let between = [(word, msix), (word, queue), (queue, dpc)];
            gaps.extend(between.map(|(from, to)| to.saturating_sub(from)));
        }
        gaps.extend([end.saturating_sub(word), end - start]);
        lines.iter_mut().zip(gaps).for_each(|(line, gap)| line.ns.push(gap));
    }
    Ok(lines)
}

/// Waits until the DPC of the copy has left its event.
fn settle(stamps: &Stamps, channel: &Channel, completion: CompletionMode, start: u64) {
    let until = stamps.clock.now_ns() + 1_000_000_000;
    let dpc = &stamps.at[Stage::Dpc as usize];
    while completion == CompletionMode::Interrupt && dpc.load(Ordering::Acquire) < start {
        if stamps.clock.now_ns() > until {
            eprintln!("a DPC left no event within a second: {:?}", channel.stats());
            return;
        }
        std::thread::yield_now();
    }
}

/// How long from ringing a bell until a thread that slept on it runs.
fn wake_ups(times: usize) -> std::io::Result<Vec<u64>> {
    let pause = ThreadPause::with_spins(0);
    let (bell, rung, seen) =
        (Arc::new(Bell::new()), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let stop = Arc::new(AtomicBool::new(false));
    let (of_sleeper, awake, told, stopped) = (bell.clone(), seen.clone(), rung.clone(), stop.clone());
    let body = Box::new(move || {
        let mut last = 0;
        while !stopped.load(Ordering::Acquire) {
            let before = of_sleeper.seen();
            let now = told.load(Ordering::Acquire);
            if now != last {
                last = now;
                awake.store(pause.now_ns(), Ordering::Release);
                continue;
            }
            pause.wait(&of_sleeper, before, None);
        }
    });
    let sleeper = pause.spawn(Task { name: "sleeper".into(), cpu: None }, body)?;
    let mut ns = Vec::with_capacity(times);
    for _ in 0..times {
        // Long enough that it sleeps again.
        pause.sleep(Duration::from_micros(60));
        let start = pause.now_ns();
        rung.store(start, Ordering::Release);
        pause.ring(&bell);
        while seen.load(Ordering::Acquire) < start {
            pause.relax();
        }
        ns.push(seen.load(Ordering::Acquire) - start);
    }
    stop.store(true, Ordering::Release);
    pause.ring(&bell);
    sleeper.join();
    Ok(ns)
}

fn percentiles(ns: &mut [u64]) -> (u64, u64) {
    ns.sort_unstable();
    let at = |hundredths: usize| ns.get(ns.len() * hundredths / 100).copied().unwrap_or(0);
    (at(50), at(99))
}

#[expect(clippy::cast_precision_loss, reason = "times of seconds at most")]
fn ratio(ns: u64, baseline: u64) -> f64 {
    ns as f64 / baseline.max(1) as f64
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).fold(String::new(), |mut line, word| {
        let _ = write!(line, "{word} ");
        line
    })
}
