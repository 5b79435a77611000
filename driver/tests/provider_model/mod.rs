//! A second reading of the manual: the engine as a few rules, written apart from the device crate, so that the driver
//! is not only tested against the device that was written with it. COPY, NULL and FILL; one step is one descriptor.
//!
//! Without threads of its own the test steps it; [`Model::run`] steps it from a task.

#![expect(dead_code, reason = "each test program uses its part")]
#![expect(clippy::cast_possible_truncation, reason = "registers take the low bits")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use ioat_stage::pause::Join;
use ioat_stage::{Bell, Pause, Task};
use netdma::hw::iova::IovaSpace;
use netdma::hw::memory::{Backing, MappedMemory, Mapper};
use netdma::hw::{Device, DmaAccess, Fired, HwError, InterruptSource, Registers, Routed, Space};
use vm_memory::{Bytes, MmapRegion, VolatileMemory};

const CHANNELS: usize = 2;
const HALTED: u64 = 3;
const ARMED: u64 = 4;

/// What the model does wrong, as numbers of bits so that a test sets them with one store.
#[derive(Default)]
pub(crate) struct Wrong {
    /// Messages to swallow.
    pub(crate) drop_messages: AtomicU32,
    /// Completion words to swallow.
    pub(crate) drop_words: AtomicU32,
    /// Added to the address in the next completion word, once.
    pub(crate) misaddress: AtomicU64,
    /// Every BAR read is all ones.
    pub(crate) gone: AtomicBool,
    /// CHANCMD.RESET stays set.
    pub(crate) stuck_reset: AtomicBool,
}

#[derive(Default, Clone, Debug)]
struct Chan {
    ctrl: u16,
    count: u16,
    done: u16,
    state: u64,
    completed: u64,
    next: u64,
    cmp: u64,
    err: u32,
    int_dis: bool,
    pending: bool,
    stuck: bool,
}

struct Inner {
    channels: [Chan; CHANNELS],
    chanerr_int: u32,
    command: u16,
    memory: BTreeMap<u64, Shared>,
}

/// A mapping of the buffer's own memory.
struct Shared(MmapRegion);

pub(crate) struct Model {
    inner: Mutex<Inner>,
    pub(crate) wrong: Wrong,
    pub(crate) work: Bell,
    fired: [AtomicU64; CHANNELS],
    pub(crate) bell: Bell,
    stopped: AtomicBool,
    ended: AtomicBool,
    /// Writes of CHANCTRL with bit 0, per channel.
    pub(crate) rearms: [AtomicU32; CHANNELS],
    pub(crate) messages: [AtomicU32; CHANNELS],
    pause: Arc<dyn Pause>,
}

impl Model {
    pub(crate) fn new(pause: Arc<dyn Pause>) -> Arc<Self> {
        let channel = || Chan { state: HALTED, ..Chan::default() };
        Arc::new(Self {
            inner: Mutex::new(Inner {
                channels: [channel(), channel()],
                chanerr_int: 0,
                command: 0,
                memory: BTreeMap::new(),
            }),
            wrong: Wrong::default(),
            work: Bell::new(),
            fired: Default::default(),
            bell: Bell::new(),
            stopped: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            rearms: Default::default(),
            messages: Default::default(),
            pause,
        })
    }

    pub(crate) fn device(self: &Arc<Self>) -> Device {
        let memory = MappedMemory::new(self.clone(), Backing::Memfd, IovaSpace::default());
        Device {
            name: "model".into(),
            registers: self.clone(),
            memory: Arc::new(memory),
            interrupts: self.clone(),
            pause: self.pause.clone(),
        }
    }

    /// Steps from a task of its own until [`Self::end`].
    pub(crate) fn run(self: &Arc<Self>) -> Box<dyn Join> {
        let model = self.clone();
        let body = move || {
            while !model.ended.load(Ordering::Acquire) {
                let seen = model.work.seen();
                if !(0..CHANNELS).any(|channel| model.step(channel)) {
                    model.pause.wait(&model.work, seen, None);
                }
            }
        };
        self.pause.spawn(Task { name: "model".into(), cpu: None }, Box::new(body)).unwrap()
    }

    pub(crate) fn end(&self, task: Box<dyn Join>) {
        self.ended.store(true, Ordering::Release);
        self.pause.ring(&self.work);
        assert!(task.join());
    }

    /// One descriptor of `channel`; false if there was none.
    pub(crate) fn step(&self, channel: usize) -> bool {
        let mut inner = self.inner.lock().unwrap();
        let chan = inner.channels[channel].clone();
        if chan.state != 0 || chan.done == chan.count || inner.command & 4 == 0 {
            return false;
        }
        let at = chan.next;
        let outcome = inner.fetch(at).and_then(|descriptor| inner.execute(&descriptor).map(|()| descriptor));
        let chan = &mut inner.channels[channel];
        match outcome {
            Ok(descriptor) => {
                chan.completed = at;
                chan.done = chan.done.wrapping_add(1);
                chan.next = word(&descriptor, 0x18);
                chan.state = u64::from(chan.done == chan.count);
                let control = u32::from_le_bytes(descriptor[4..8].try_into().unwrap());
                let (status, slot) = (chan.completed | chan.state, chan.cmp);
                if control & 8 != 0 {
                    self.store(&mut inner, slot, status);
                }
                if control & 1 != 0 {
                    self.event(&mut inner, channel);
                }
            }
            Err(bit) => {
                chan.err |= 1 << bit;
                chan.state = HALTED;
                let (ctrl, status, slot) = (chan.ctrl, chan.completed | HALTED, chan.cmp);
                inner.chanerr_int |= 1 << bit;
                if ctrl & 4 != 0 {
                    self.store(&mut inner, slot, status);
                }
                if ctrl & 0x10 != 0 {
                    self.event(&mut inner, channel);
                }
            }
        }
        true
    }

    /// A message out of turn.
    pub(crate) fn fire(&self, channel: usize) {
        self.fired[channel].fetch_add(1, Ordering::AcqRel);
        self.pause.ring(&self.bell);
    }

    /// CHANSTS, as the engine has it.
    pub(crate) fn status(&self, channel: usize) -> u64 {
        let inner = self.inner.lock().unwrap();
        inner.channels[channel].completed | inner.channels[channel].state
    }

    fn store(&self, inner: &mut Inner, slot: u64, status: u64) {
        let take = |count: &AtomicU32| {
            count.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_ok()
        };
        if slot == 0 || take(&self.wrong.drop_words) {
            return;
        }
        let status = status.wrapping_add(self.wrong.misaddress.swap(0, Ordering::AcqRel));
        let (memory, offset) = inner.find(slot, 8).expect("the completion word is mapped");
        memory.store(status, offset, Ordering::Release).unwrap();
    }

    fn event(&self, inner: &mut Inner, channel: usize) {
        let chan = &mut inner.channels[channel];
        if chan.int_dis {
            chan.pending = true;
            return;
        }
        chan.int_dis = true;
        self.messages[channel].fetch_add(1, Ordering::AcqRel);
        let drop = &self.wrong.drop_messages;
        if drop.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_err() {
            self.fired[channel].fetch_add(1, Ordering::AcqRel);
            self.pause.ring(&self.bell);
        }
    }

    fn write_channel(&self, inner: &mut Inner, channel: usize, register: u64, data: &[u8]) {
        let mut bytes = [0; 8];
        bytes[..data.len()].copy_from_slice(data);
        let value = u64::from_le_bytes(bytes);
        let chan = &mut inner.channels[channel];
        match (register, data.len()) {
            (0x00, 2) => {
                chan.ctrl = value as u16 & 0x3c;
                if value & 1 != 0 {
                    self.rearms[channel].fetch_add(1, Ordering::AcqRel);
                    chan.int_dis = false;
                    if std::mem::take(&mut chan.pending) {
                        self.event(inner, channel);
                    }
                }
            }
            (0x04, 1) if value == 4 && chan.state < 2 => chan.state = 2,
            (0x04, 1) if value == 0x20 => {
                let stuck = self.wrong.stuck_reset.load(Ordering::Acquire);
                *chan = Chan { state: HALTED, err: chan.err, stuck, ..Chan::default() };
            }
            (0x04, 1) => {}
            (0x06, 2) => {
                chan.count = value as u16;
                if matches!(chan.state, 1 | ARMED) && chan.count != chan.done {
                    chan.state = 0;
                }
            }
            (0x10, 8) => {
                assert_eq!(value & 0x3f, 0, "a chain address on a 64-byte boundary");
                assert_ne!(chan.state, 0, "CHAINADDR while the channel is active is undefined");
                chan.next = value;
                (chan.count, chan.done, chan.completed) = (0, 0, 0);
                if chan.err == 0 {
                    chan.state = ARMED;
                }
            }
            (0x18, 8) => chan.cmp = value,
            (0x28, 4) => chan.err &= !(value as u32),
            other => panic!("write of {} bytes at channel register {:#x}", other.1, other.0),
        }
    }
}

impl Inner {
    fn find(
        &self,
        iova: u64,
        len: usize,
    ) -> Option<(impl Bytes<usize, E = vm_memory::VolatileMemoryError> + '_, usize)> {
        let (start, shared) = self.memory.range(..=iova).next_back()?;
        let offset = usize::try_from(iova - start).ok()?;
        let fits = offset.checked_add(len).is_some_and(|end| end <= shared.0.size());
        fits.then(|| (shared.0.as_volatile_slice(), offset))
    }

    fn fetch(&self, iova: u64) -> Result<[u8; 64], u32> {
        let (memory, offset) = self.find(iova, 64).ok_or(2_u32)?;
        let mut descriptor = [0; 64];
        memory.read_slice(&mut descriptor, offset).unwrap();
        Ok(descriptor)
    }

    fn execute(&self, descriptor: &[u8; 64]) -> Result<(), u32> {
        let size = u32::from_le_bytes(descriptor[0..4].try_into().unwrap()) as usize;
        let control = u32::from_le_bytes(descriptor[4..8].try_into().unwrap());
        if size == 0 || size > 1 << 16 {
            return Err(11);
        }
        let mut data = vec![0; size];
        match control >> 24 {
            0 if control & 0x20 != 0 => return Ok(()),
            0 => {
                let (memory, offset) = self.find(word(descriptor, 8), size).ok_or(0_u32)?;
                memory.read_slice(&mut data, offset).unwrap();
            }
            1 => {
                let pattern = &descriptor[8..16];
                data.iter_mut().enumerate().for_each(|(index, byte)| *byte = pattern[index % 8]);
            }
            _ => return Err(10),
        }
        let (memory, offset) = self.find(word(descriptor, 0x10), size).ok_or(1_u32)?;
        memory.write_slice(&data, offset).unwrap();
        Ok(())
    }
}

fn word(descriptor: &[u8; 64], offset: usize) -> u64 {
    u64::from_le_bytes(descriptor[offset..offset + 8].try_into().unwrap())
}

impl Registers for Model {
    fn read(&self, space: Space, offset: u64, data: &mut [u8]) -> Result<(), HwError> {
        let inner = self.inner.lock().unwrap();
        let value: u64 = match (space, offset, data.len()) {
            (Space::BAR0, ..) if self.wrong.gone.load(Ordering::Acquire) => u64::MAX,
            (Space::Config, 0, 2) => 0x8086,
            (Space::Config, 2, 2) => 0x2021,
            (Space::Config, 4, 2) => u64::from(inner.command),
            (Space::Config, 0x180, 4) => u64::from(inner.chanerr_int),
            (Space::BAR0, 0, 1) => CHANNELS as u64,
            // 64 KiB: less than the device crate's, so that splitting is tested at another limit.
            (Space::BAR0, 1, 1) => 16,
            (Space::BAR0, 8, 1) => 0x33,
            (Space::BAR0, 0x10, 4) => 1 << 6,
            (Space::BAR0, offset, width) => {
                let chan = &inner.channels[usize::try_from(offset / 0x80 - 1).unwrap()];
                match (offset % 0x80, width) {
                    (0x04, 1) => u64::from(chan.stuck) << 5,
                    (0x08, 8) => chan.completed | chan.state,
                    (0x28, 4) => u64::from(chan.err),
                    other => panic!("read of {} bytes at channel register {:#x}", other.1, other.0),
                }
            }
            other => panic!("read {other:?}"),
        };
        data.copy_from_slice(&value.to_le_bytes()[..data.len()]);
        Ok(())
    }

    fn write(&self, space: Space, offset: u64, data: &[u8]) -> Result<(), HwError> {
        let mut inner = self.inner.lock().unwrap();
        match (space, offset) {
            (Space::Config, 4) => inner.command = u16::from_le_bytes(data.try_into().unwrap()),
            (Space::Config, 0x180) => inner.chanerr_int &= !u32::from_le_bytes(data.try_into().unwrap()),
            (Space::BAR0, 3) => assert_eq!(data, [9]),
            (Space::BAR0, offset) => {
                let channel = usize::try_from(offset / 0x80 - 1).unwrap();
                self.write_channel(&mut inner, channel, offset % 0x80, data);
            }
            other => panic!("write {other:?}"),
        }
        drop(inner);
        self.pause.ring(&self.work);
        Ok(())
    }

    fn reset(&self) -> Result<(), HwError> {
        let mut inner = self.inner.lock().unwrap();
        inner.channels.fill(Chan { state: HALTED, ..Chan::default() });
        Ok(())
    }
}

impl Mapper for Model {
    fn map(&self, iova: u64, region: &MmapRegion, _: DmaAccess) -> Result<(), HwError> {
        let place = region.file_offset().unwrap().clone();
        let shared = MmapRegion::from_file(place, region.size()).unwrap();
        self.inner.lock().unwrap().memory.insert(iova, Shared(shared));
        Ok(())
    }

    fn unmap(&self, iova: u64, _: usize) -> Result<(), HwError> {
        assert!(self.inner.lock().unwrap().memory.remove(&iova).is_some());
        Ok(())
    }
}

impl InterruptSource for Model {
    fn vectors(&self) -> u32 {
        CHANNELS as u32
    }

    fn enable(&self, _: u32) -> Result<(), HwError> {
        Ok(())
    }

    fn disable(&self) -> Result<(), HwError> {
        Ok(())
    }

    fn wait(&self, vector: u32, pause: &dyn Pause) -> Result<Fired, HwError> {
        loop {
            let seen = self.bell.seen();
            if self.stopped.load(Ordering::Acquire) {
                return Ok(Fired::Stopped);
            }
            match self.fired[vector as usize].swap(0, Ordering::AcqRel) {
                0 => pause.wait(&self.bell, seen, None),
                times => return Ok(Fired::Times(times)),
            };
        }
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.pause.ring(&self.bell);
    }

    fn route(&self, _: u32, _: u32) -> Routed {
        Routed::NotApplicable
    }
}
