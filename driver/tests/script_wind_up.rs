//! Whatever becomes of a script, its device is left with nothing that could still happen: shown by a device that counts.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ioat_stage::{Bell, Pause, ThreadPause};
use netdma::hw::{
    Device, DmaBuffer, DmaMemory, Fired, Grants, HwError, InterruptKind, InterruptSource, Placement,
    Registers, Routed, Space,
};
use netdma::script::{Evaluator, Outcome, Parts, Session, Sink, run};
use vm_memory::MmapRegion;

const COMMAND: u64 = 4;
const BUS_MASTER: u8 = 1 << 2;

/// A function that counts what is on.
struct Counting {
    vendor: u16,
    bytes: Mutex<BTreeMap<u64, u8>>,
    mapped: Mutex<Vec<u64>>,
    next: Mutex<u64>,
    enabled: Mutex<Option<InterruptKind>>,
    resets: Mutex<u32>,
    stopped: AtomicBool,
    bell: Bell,
    gone: AtomicBool,
    panics: AtomicBool,
}

impl Counting {
    fn new(vendor: u16) -> Arc<Self> {
        Arc::new(Self {
            vendor,
            bytes: Mutex::new(BTreeMap::from([(COMMAND, 0x06)])),
            mapped: Mutex::default(),
            next: Mutex::new(0x10_0000),
            enabled: Mutex::default(),
            resets: Mutex::default(),
            stopped: AtomicBool::new(false),
            bell: Bell::new(),
            gone: AtomicBool::new(false),
            panics: AtomicBool::new(false),
        })
    }

    fn answers(&self) -> Result<(), HwError> {
        assert!(!self.panics.swap(false, Ordering::Relaxed), "a planted panic");
        if self.gone.load(Ordering::Relaxed) { Err(HwError::Gone("unplugged".into())) } else { Ok(()) }
    }

    fn bus_master(&self) -> bool {
        self.bytes.lock().unwrap()[&COMMAND] & BUS_MASTER != 0
    }
}

impl Registers for Counting {
    fn read(&self, space: Space, offset: u64, data: &mut [u8]) -> Result<(), HwError> {
        self.answers()?;
        let [a, b] = self.vendor.to_le_bytes();
        // A function of the Skylake engine's number, whose maker is the test's choice.
        let fixed = BTreeMap::from([(0, a), (1, b), (2, 0x21), (3, 0x20)]);
        for (at, byte) in (offset..).zip(data) {
            let config = fixed.get(&at).copied().or_else(|| self.bytes.lock().unwrap().get(&at).copied());
            *byte = if space == Space::Config { config.unwrap_or(0) } else { 0 };
        }
        Ok(())
    }

    fn write(&self, space: Space, offset: u64, data: &[u8]) -> Result<(), HwError> {
        self.answers()?;
        if space == Space::Config {
            self.bytes.lock().unwrap().extend((offset..).zip(data.iter().copied()));
        }
        Ok(())
    }

    fn reset(&self) -> Result<(), HwError> {
        self.answers()?;
        *self.resets.lock().unwrap() += 1;
        Ok(())
    }
}

struct Memory(Arc<Counting>);

impl DmaMemory for Memory {
    fn allocate(&self, len: usize) -> Result<DmaBuffer, HwError> {
        let mut next = self.0.next.lock().unwrap();
        let iova = *next;
        *next += 0x10_0000;
        self.0.mapped.lock().unwrap().push(iova);
        Ok(DmaBuffer::new(MmapRegion::new(len).unwrap(), iova, self.0.clone()))
    }
}

impl Grants for Counting {
    fn withdraw(&self, iova: u64, _: usize) -> Result<(), HwError> {
        // With bus mastering on, an engine could still be at work on it.
        assert!(!self.bus_master(), "{iova:#x} was unmapped while DMA was still allowed");
        self.mapped.lock().unwrap().retain(|mapped| *mapped != iova);
        Ok(())
    }

    fn grant(&self, _: &MmapRegion, placement: Placement) -> Result<u64, HwError> {
        Ok(placement.iova.unwrap_or(0))
    }
}

impl InterruptSource for Counting {
    fn vectors(&self) -> u32 {
        2
    }

    fn enable(&self, _: u32) -> Result<(), HwError> {
        *self.enabled.lock().unwrap() = Some(InterruptKind::Msix);
        Ok(())
    }

    fn disable(&self) -> Result<(), HwError> {
        *self.enabled.lock().unwrap() = None;
        Ok(())
    }

    fn wait(&self, _: u32, pause: &dyn Pause) -> Result<Fired, HwError> {
        let seen = self.bell.seen();
        if !self.stopped.load(Ordering::Acquire) {
            pause.wait(&self.bell, seen, None);
        }
        Ok(Fired::Stopped)
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        ThreadPause::new().ring(&self.bell);
    }

    fn route(&self, _: u32, _: u32) -> Routed {
        Routed::NotApplicable
    }

    fn offers(&self, kind: InterruptKind) -> u32 {
        if kind == InterruptKind::Msix { 2 } else { 0 }
    }

    fn enable_kind(&self, _: InterruptKind, count: u32) -> Result<(), HwError> {
        self.enable(count)
    }
}

struct Quiet;

impl Sink for Quiet {
    fn log(&self, _: &str) {}

    fn complain(&self, _: &str) {}

    fn warn(&self, _: &str) {}
}

fn session(counting: &Arc<Counting>, limit: Option<Duration>, interrupt: Arc<AtomicBool>) -> Rc<Session> {
    let device = Device {
        name: "counting".into(),
        registers: counting.clone(),
        memory: Arc::new(Memory(counting.clone())),
        interrupts: counting.clone(),
        pause: Arc::new(ThreadPause::new()),
    };
    let parts = Parts {
        device,
        place: "test".into(),
        force: false,
        faults: None,
        of_driver: ioat_stage::FaultBook::new([]),
        events: None,
        arguments: Vec::new(),
        limit,
        interrupt,
        table: None,
        sink: Box::new(Quiet),
    };
    Session::open(parts).expect("the device answers")
}

/// What every script here turns on before it comes to its end.
const TURNED_ON: &str =
    "let kept = dma(4096); { let lost = dma(8192); } irq_enable(\"msix\", 2); irq_hold(1);\n";

fn ended(
    vendor: u16,
    text: &str,
    limit: Option<Duration>,
    interrupt: bool,
) -> (Arc<Counting>, Outcome, Vec<String>) {
    let counting = Counting::new(vendor);
    let session = session(&counting, limit, Arc::new(AtomicBool::new(interrupt)));
    let summary = run(&session, Path::new("try.rhai"), &format!("{TURNED_ON}{text}"));
    (counting, summary.outcome, summary.left)
}

#[test]
fn however_a_script_ends_nothing_is_left_on() {
    let short = Some(Duration::from_millis(30));
    let ends = [
        ("log(1);", None, Outcome::Passed),
        ("throw \"error\";", None, Outcome::Failed),
        ("case(\"c\", || { let inner = dma(4096); assert(false); });", None, Outcome::Failed),
        ("fn f() { let inner = dma(4096); throw 1; } f();", None, Outcome::Failed),
        ("loop { }", short, Outcome::Failed),
        ("skip(\"not now\");", None, Outcome::Skipped),
        ("exit(3);", None, Outcome::Passed),
        ("get(\"NOT_THERE\");", None, Outcome::Failed),
    ];
    for (text, limit, expected) in ends {
        let (counting, outcome, left) = ended(0x8086, text, limit, false);
        assert_eq!((outcome, left), (expected, vec![]), "{text}");
        assert!(counting.mapped.lock().unwrap().is_empty(), "{text}: {:x?}", counting.mapped.lock().unwrap());
        assert_eq!(*counting.enabled.lock().unwrap(), None, "{text}");
        assert_eq!(*counting.resets.lock().unwrap(), 1, "{text}");
        assert!(!counting.bus_master(), "{text}");
    }
}

#[test]
fn a_signal_ends_it_the_same_way() {
    let (counting, outcome, _) = ended(0x8086, "loop { sleep_ms(1); }", None, true);
    assert_eq!(outcome, Outcome::Failed);
    assert!(counting.mapped.lock().unwrap().is_empty() && !counting.bus_master());
}

#[test]
fn a_function_that_is_no_engine_is_not_reset() {
    let (counting, outcome, _) = ended(0x1234, "log(1);", None, false);
    assert_eq!(outcome, Outcome::Passed);
    assert_eq!(*counting.resets.lock().unwrap(), 0);
    assert!(counting.mapped.lock().unwrap().is_empty() && !counting.bus_master());
}

#[test]
fn a_panic_in_a_function_is_an_error_of_the_script_and_the_device_is_wound_up() {
    let counting = Counting::new(0x8086);
    let session = session(&counting, None, Arc::default());
    let planted = counting.clone();
    counting.panics.store(false, Ordering::Relaxed);
    let mut evaluator = Evaluator::new(session.clone());
    assert_eq!(evaluator.eval_line(TURNED_ON).unwrap(), None);
    planted.panics.store(true, Ordering::Relaxed);
    let error = evaluator.eval_line("read32(0)").unwrap_err();
    assert!(error.text.contains("panicked, which is a bug of it: a planted panic"), "{error}");
    assert_eq!(session.wind_up(), Vec::<String>::new());
    assert!(counting.mapped.lock().unwrap().is_empty() && !counting.bus_master());
    assert_eq!(*counting.enabled.lock().unwrap(), None);
}

#[test]
fn a_session_that_nobody_ends_is_wound_up_when_it_is_dropped() {
    let counting = Counting::new(0x8086);
    let mut evaluator = Evaluator::new(session(&counting, None, Arc::default()));
    evaluator.eval_line(TURNED_ON).unwrap();
    drop(evaluator);
    assert!(counting.mapped.lock().unwrap().is_empty() && !counting.bus_master());
}

#[test]
fn a_device_that_went_away_is_told_apart_from_a_script_that_failed() {
    let counting = Counting::new(0x8086);
    let session = session(&counting, None, Arc::default());
    counting.gone.store(true, Ordering::Relaxed);
    let summary = run(&session, Path::new("try.rhai"), "case(\"c\", || read32(0)); log(\"not reached\");");
    assert_eq!(summary.outcome, Outcome::Gone("the device is gone: unplugged".into()));
    assert_eq!(summary.left, Vec::<String>::new());
}

#[test]
fn statements_of_a_shell_share_variables_and_functions() {
    let counting = Counting::new(0x1234);
    let mut evaluator = Evaluator::new(session(&counting, None, Arc::default()));
    assert_eq!(evaluator.eval_line("let x = 40; fn two() { 2 }").unwrap(), None);
    assert_eq!(evaluator.eval_line("x + two()").unwrap().as_deref(), Some("42"));
    let error = evaluator.eval_line("x +").unwrap_err();
    assert_eq!(error.kind, netdma::script::ErrorKind::Syntax);
    assert!(evaluator.eval_line("throw \"t\"").is_err());
    assert_eq!(evaluator.eval_line("x").unwrap().as_deref(), Some("40"));
    let names = evaluator.names();
    for name in ["x", "two", "irq_wait", "ARGS"] {
        assert!(names.iter().any(|known| known == name), "{name}");
    }
}
