//! Faults that end a step inside a descriptor: it goes on later, or never, or the device is gone.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod core_support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use core_support::{
    BASE, Begun, Bench, COMMAND, LINUX_CHANCTRL, RESET, RESUME, RING, SIZE, SOURCE, SUSPEND, TARGET, WORD,
    Wires, cmpl, copy, fill, int, memfd, null, pattern, slot,
};
use ioat_spec::register::channel_base;
use ioat_spec::{ChannelRegister, ChannelState, Control, Descriptor};
use ioat_stage::{FaultBook, Mark, NoTrace, RuleFaults, Stage, ThreadPause};
use vfio_user_ioat::Profile;
use vfio_user_ioat::engine::{Engine, Parts};
use vfio_user_ioat::memory::{Access, DmaTable};
use zerocopy::IntoBytes;

const IDLE: u64 = ChannelState::Idle.code();
const DELAY_NS: u64 = 5_000_000;
const LEN: u32 = 0x1_8003;

/// A context change, as NetDMA has it.
fn context() -> Descriptor {
    Descriptor { size: 3, control: 0xff00_0001, ..Descriptor::default() }
}

/// A copy with a break in both pages.
fn broken() -> Descriptor {
    Descriptor {
        source: SOURCE + 0xff0,
        destination: TARGET + 0xfe0,
        next_source: SOURCE + 0x5000,
        next_destination: TARGET + 0x8000,
        control: Control::new().with_src_page_break(true).with_dst_page_break(true).into_bits(),
        ..copy(64)
    }
}

fn kinds() -> [Descriptor; 5] {
    [copy(LEN), fill(LEN, 0x0123_4567_89ab_cdef), null(), context(), broken()]
}

/// One descriptor of a kind, and a small copy behind it, submitted.
fn submitted(rule: &str, descriptor: Descriptor) -> Bench<RuleFaults> {
    let bench = Bench::faulty_with(Profile::NETDMA, &[rule]);
    submit(&bench, descriptor);
    bench
}

fn submit(bench: &Bench<RuleFaults>, descriptor: Descriptor) {
    bench.put(SOURCE, &pattern(0x2_0000, 1));
    bench.put(TARGET, &[0; 0x4_0000]);
    let last = Descriptor { destination: TARGET + 0x3_0000, ..copy(64) };
    bench.ring(&[cmpl(descriptor), cmpl(last)]);
    bench.arm(0, LINUX_CHANCTRL);
    let _ = bench.doorbell(0, 2);
}

/// What it all comes to without a fault.
fn clean(descriptor: Descriptor) -> (Vec<u8>, u64, u64) {
    let mut bench = submitted("msix[ch=1]: nth(1) drop", descriptor);
    bench.drive(0);
    outcome(&bench)
}

fn outcome(bench: &Bench<RuleFaults>) -> (Vec<u8>, u64, u64) {
    (bench.take(TARGET, 0x4_0000), bench.word(), bench.status(0))
}

fn works_after_reset(bench: &mut Bench<RuleFaults>) -> bool {
    let _ = bench.command(0, RESET);
    submit(bench, copy(LEN));
    bench.drive(0);
    outcome(bench) == clean(copy(LEN))
}

#[test]
fn a_delay_in_any_stage_ends_the_step_once_and_changes_nothing_else() {
    for stage in [Stage::Fetch, Stage::Translate, Stage::Copy] {
        for descriptor in kinds() {
            let mut bench = submitted(&format!("{stage}: nth(1) delay(5ms)"), descriptor);
            assert!(matches!(bench.begin(0), Begun::Starting));
            let mut step = bench.begin(0).step();
            step.run();
            assert!(bench.finish(step), "{stage} {descriptor:?}");
            assert_eq!((bench.state(0), bench.word()), (ChannelState::Active, 0), "{stage} {descriptor:?}");
            assert!(bench.take(TARGET, 0x4_0000) == [0; 0x4_0000], "{stage} {descriptor:?}");
            let Begun::Delayed(DELAY_NS) = bench.begin(0) else { panic!("{stage} {descriptor:?}: no delay") };
            bench.drive(0);
            assert!(outcome(&bench) == clean(descriptor), "{stage} {descriptor:?}");
            let marks: Vec<_> = bench.events(stage).iter().map(|event| event.mark).collect();
            assert_eq!(marks, [Mark::Faulted, Mark::Ok], "{stage} {descriptor:?}");
        }
    }
}

#[test]
fn suspend_waits_for_a_delayed_descriptor_and_resume_goes_on_behind_it() {
    for stage in ["fetch", "translate", "copy"] {
        let mut bench = submitted(&format!("{stage}: nth(1) delay(5ms)"), copy(LEN));
        assert!(bench.step(0));
        let _ = bench.command(0, SUSPEND);
        assert_eq!(bench.state(0), ChannelState::Active, "{stage}");
        bench.drive(0);
        assert_eq!((bench.state(0), bench.word()), (ChannelState::Suspended, slot(0)), "{stage}");
        let _ = bench.command(0, RESUME);
        bench.drive(0);
        assert!(outcome(&bench) == clean(copy(LEN)), "{stage}");
    }
}

#[test]
fn a_delayed_chain_that_is_reset_leaves_nothing_of_itself() {
    for stage in ["fetch", "translate", "copy"] {
        let mut bench = submitted(&format!("{stage}: nth(1) delay(5ms)"), copy(LEN));
        assert!(bench.step(0));
        assert!(works_after_reset(&mut bench), "{stage}");
    }
}

#[test]
fn a_stalled_channel_stays_active_until_it_is_reset() {
    for stage in [Stage::Fetch, Stage::Copy] {
        for descriptor in kinds() {
            let mut bench = submitted(&format!("{stage}: nth(1) stall"), descriptor);
            assert!(!bench.step(0), "{stage} {descriptor:?}");
            for command in [SUSPEND, RESUME, SUSPEND] {
                let _ = bench.command(0, command);
                assert_eq!(bench.state(0), ChannelState::Active, "{stage} {descriptor:?}");
                assert!(matches!(bench.begin(0), Begun::Nothing), "{stage} {descriptor:?}");
            }
            // Nor do a doorbell, the bus master bit, another CHAINADDR.
            let _ = bench.doorbell(0, 3);
            let _ = bench.function.config_write(COMMAND, &[0x02, 0x00]);
            let _ = bench.command(0, SUSPEND);
            bench.enable();
            let _ = bench.set(0, ChannelRegister::ChainAddr, RING);
            assert!(matches!(bench.begin(0), Begun::Nothing), "{stage} {descriptor:?}");
            assert_eq!((bench.status(0), bench.word()), (0, 0), "{stage} {descriptor:?}");
            let marks: Vec<_> = bench.events(stage).iter().map(|event| event.mark).collect();
            assert_eq!(marks, [Mark::Faulted], "{stage} {descriptor:?}");
            assert!(works_after_reset(&mut bench), "{stage} {descriptor:?}");
        }
    }
}

#[test]
fn a_stall_in_a_copy_leaves_half_of_its_first_piece() {
    let bench = {
        let mut bench = submitted("copy: nth(1) stall", copy(LEN));
        assert!(!bench.step(0));
        bench
    };
    let expected = [&pattern(0x2_0000, 1)[..0x8000], &[0; 0x3_8000]].concat();
    assert!(bench.take(TARGET, 0x4_0000) == expected);
}

#[test]
fn an_flr_ends_a_stall() {
    let mut bench = submitted("fetch: nth(2) stall", copy(LEN));
    assert!(!bench.step(0));
    assert_eq!(bench.word(), slot(0));
    let _ = bench.function.reset();
    bench.enable();
    assert_eq!(bench.state(0), ChannelState::Halted);
    bench.put(WORD, &[0; 8]);
    submit(&bench, copy(LEN));
    bench.drive(0);
    assert!(outcome(&bench) == clean(copy(LEN)));
}

#[test]
fn a_killed_device_is_off_the_bus_and_does_nothing_more() {
    for point in ["fetch", "copy"] {
        let mut bench = submitted(&format!("{point}: nth(2) kill"), copy(LEN));
        let _ = bench.set(1, ChannelRegister::ChanCmp, WORD + 64);
        let _ = bench.set(1, ChannelRegister::ChainAddr, RING);
        let _ = bench.doorbell(1, 1);
        assert!(!bench.step(0), "{point}");
        assert!(bench.function.is_gone(), "{point}");
        // What was done before is done; neither this channel nor another goes on.
        assert_eq!(bench.word(), slot(0), "{point}");
        assert!(matches!(bench.begin(0), Begun::Nothing), "{point}");
        assert!(matches!(bench.begin(1), Begun::Nothing), "{point}");
        assert!(bench.messages().is_empty(), "{point}");
    }
}

#[test]
fn a_delay_and_an_early_word_at_one_descriptor_each_have_their_time() {
    let mut bench =
        Bench::faulty(&["translate: nth(1) delay(5ms)", "complete: nth(1) early", "copy: nth(1) delay(5ms)"]);
    submit(&bench, int(copy(LEN)));
    assert!(bench.step(0));
    assert_eq!((bench.word(), bench.messages().len()), (0, 0));
    assert!(bench.step(0));
    assert_eq!((bench.word(), bench.messages().len(), bench.take(TARGET, 8)), (slot(0), 1, vec![0; 8]));
    assert!(matches!(bench.begin(0), Begun::Starting));
    assert!(bench.step(0));
    assert_eq!(bench.take(TARGET, 8), [0; 8]);
    assert!(matches!(bench.begin(0), Begun::Delayed(DELAY_NS)));
    bench.drive(0);
    assert!(outcome(&bench) == clean(copy(LEN)));
}

/// An engine with its threads, whose delays take real time.
struct Running {
    engine: Engine<RuleFaults, NoTrace>,
    memory: std::fs::File,
}

impl Running {
    fn new(rule: &str) -> Self {
        let (table, memory) = (DmaTable::new(), memfd(SIZE));
        table.map(BASE, SIZE, Access::READ_WRITE, Some((memory.try_clone().unwrap(), 0))).unwrap();
        let book = FaultBook::new([rule.parse().unwrap()]);
        let parts = Parts {
            profile: Profile::SKX,
            table,
            interrupts: Arc::new(Wires::default()),
            trace: NoTrace,
            pause: Arc::new(ThreadPause::new()),
            start_latency: Duration::ZERO,
        };
        let engine = Engine::start(parts, |_| book.faults()).unwrap();
        engine.config_write(COMMAND, &[0x06, 0x00]);
        Self { engine, memory }
    }

    fn submit(&self, channel: usize) {
        let ring = RING + 0x1000 * channel as u64;
        let descriptor = Descriptor { next: ring, ..cmpl(copy(64)) };
        std::os::unix::fs::FileExt::write_all_at(&self.memory, descriptor.as_bytes(), ring - BASE).unwrap();
        self.set(channel, ChannelRegister::ChanCmp, WORD + 64 * channel as u64);
        self.set(channel, ChannelRegister::ChainAddr, ring);
        self.set(channel, ChannelRegister::DmaCount, 1);
    }

    fn set(&self, channel: usize, register: ChannelRegister, value: u64) {
        let offset = channel_base(channel) + register.offset();
        self.engine.bar_write(offset, &value.to_le_bytes()[..register.width()]);
    }

    fn status(&self, channel: usize) -> u64 {
        let mut bytes = [0; 8];
        self.engine.bar_read(channel_base(channel) + ChannelRegister::ChanSts.offset(), &mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// The channel becomes idle before `limit` is over.
    fn idle_within(&self, channel: usize, limit: Duration) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < limit {
            if self.status(channel) & 7 == IDLE {
                return true;
            }
            std::thread::yield_now();
        }
        false
    }
}

#[test]
fn other_channels_and_registers_do_not_wait_for_a_delay_and_a_reset_ends_it() {
    let running = Running::new("fetch[ch=0]: nth(1) delay(600s)");
    running.submit(0);
    running.submit(1);
    assert!(running.idle_within(1, Duration::from_secs(60)));
    assert_eq!(running.status(0) & 7, ChannelState::Active.code());
    running.set(0, ChannelRegister::ChanCmd, RESET.into());
    running.submit(0);
    assert!(running.idle_within(0, Duration::from_secs(60)));
}

#[test]
fn a_delay_passes_by_itself() {
    let running = Running::new("copy: nth(1) delay(20ms)");
    let begin = Instant::now();
    running.submit(0);
    assert!(running.idle_within(0, Duration::from_secs(60)));
    assert!(begin.elapsed() >= Duration::from_millis(20));
}

#[test]
fn an_engine_ends_in_the_middle_of_a_delay_and_of_a_stall() {
    for rule in ["fetch: nth(1) delay(600s)", "copy: nth(1) stall"] {
        let running = Running::new(rule);
        running.submit(0);
        let begin = Instant::now();
        drop(running);
        assert!(begin.elapsed() < Duration::from_secs(60), "{rule}");
    }
}
