//! A million DMA maps of one page each over one memfd, as a guest behind a virtual IOMMU makes them: each is one message
//! with the descriptor. IOVAs and offsets are shuffled, so that nothing merges.
#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "test code may panic, and runs on 64-bit hosts"
)]

mod device_program;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use device_program::{Program, memfd};
use ioat_spec::register::channel_base;
use ioat_spec::{ChannelRegister, ChannelState, Descriptor};
use vmm_sys_util::sock_ctrl_msg::ScmSocket;
use zerocopy::IntoBytes;

const PAGE: u64 = 4096;
const MAPS: u64 = 1_000_000;
/// IOVA of the first of them.
const BASE: u64 = 1 << 40;
/// IOVA of the ring, which is a map of its own, behind the others in the file.
const RING: u64 = 1 << 20;
/// Messages on their way before their replies are read. A vfio-user client with posted maps does the same.
const BATCH: usize = 64;
/// Copies through maps that are picked at random.
const COPIES: usize = 64;

/// Commands, flags and regions of the protocol.
const VERSION: u16 = 1;
const DMA_MAP: u16 = 2;
const DMA_UNMAP: u16 = 3;
const REGION_READ: u16 = 9;
const REGION_WRITE: u16 = 10;
const READ_WRITE: u32 = 3;
const UNMAP_ALL: u32 = 2;
const HEADER: usize = 16;
const BAR0: u32 = 0;
const CONFIG: u32 = 7;
const COMMAND: u64 = 0x04;

#[test]
fn million_shuffled_page_maps_work_in_80_bytes_each_and_go_without_a_trace() {
    let program = Program::start();
    let mut wire = Wire::open(&program);
    let memory = memfd((MAPS + 1) * PAGE);
    // What is allocated once comes before the measurement.
    wire.map(RING, MAPS * PAGE, &memory);
    wire.unmap_all();
    let before = (program.resident_kib(), program.descriptors(), program.mappings());

    let (iovas, offsets) = (shuffled(7), shuffled(11));
    let begin = Instant::now();
    wire.map(RING, MAPS * PAGE, &memory);
    for (some_iovas, some_offsets) in iovas.chunks(BATCH).zip(offsets.chunks(BATCH)) {
        for (iova, offset) in some_iovas.iter().zip(some_offsets) {
            wire.send(&map_message(BASE + iova * PAGE, offset * PAGE), &memory);
        }
        wire.take_replies(DMA_MAP, some_iovas.len());
    }
    let mapped = begin.elapsed();
    let full = (program.resident_kib(), program.descriptors(), program.mappings());

    copy_through(&mut wire, &memory, &iovas, &offsets);

    let begin = Instant::now();
    wire.unmap_all();
    let unmapped = begin.elapsed();
    let after = (program.resident_kib(), program.descriptors(), program.mappings());

    let bytes = (full.0.saturating_sub(before.0) * 1024) as f64 / MAPS as f64;
    println!("{MAPS} maps in {mapped:.2?}, {bytes:.1} bytes resident each; all unmapped in {unmapped:.2?}");
    println!("(KiB resident, descriptors, mappings): before {before:?}, full {full:?}, after {after:?}");
    assert!(bytes <= 80.0, "{bytes} bytes per map");
    assert!(full.1 <= before.1 + 2 && full.2 <= before.2 + 16, "{before:?} before, {full:?} after the maps");
    assert!(after.0 <= before.0 + 4096, "{} KiB before, {} after", before.0, after.0);
    assert!(after.1 <= before.1, "{} descriptors before, {} after", before.1, after.1);
}

/// Copies pages by the device, from the first maps to those that follow: both anywhere.
fn copy_through(wire: &mut Wire, memory: &File, iovas: &[u64], offsets: &[u64]) {
    let text = |n: usize| -> Vec<u8> { (0..PAGE as usize).map(|i| (i * (2 * n + 3) % 251) as u8).collect() };
    for n in 0..COPIES {
        memory.write_all_at(&text(n), offsets[n] * PAGE).unwrap();
        let descriptor = Descriptor {
            size: PAGE as u32,
            source: BASE + iovas[n] * PAGE,
            destination: BASE + iovas[COPIES + n] * PAGE,
            next: RING + 64 * (n as u64 + 1),
            ..Descriptor::default()
        };
        memory.write_all_at(descriptor.as_bytes(), MAPS * PAGE + 64 * n as u64).unwrap();
    }
    wire.write(CONFIG, COMMAND, &[0x06, 0x00]);
    wire.set(ChannelRegister::ChainAddr, RING);
    wire.set(ChannelRegister::DmaCount, COPIES as u64);
    let begin = Instant::now();
    let state = loop {
        let state = ChannelState::from_code(wire.status()).unwrap();
        if !matches!(state, ChannelState::Active | ChannelState::Armed) {
            break state;
        }
        assert!(begin.elapsed() < device_program::PATIENCE, "the copies do not end");
    };
    assert_eq!(state, ChannelState::Idle);
    for n in 0..COPIES {
        let mut page = vec![0; PAGE as usize];
        memory.read_exact_at(&mut page, offsets[COPIES + n] * PAGE).unwrap();
        assert!(page == text(n), "copy {n}");
    }
}

/// The numbers below [`MAPS`], in an order that depends on the seed alone.
fn shuffled(seed: u64) -> Vec<u64> {
    let mut numbers: Vec<u64> = (0..MAPS).collect();
    let mut state = seed;
    for i in (1..numbers.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        numbers.swap(i, (state >> 33) as usize % (i + 1));
    }
    numbers
}

/// The socket, and frames made by hand.
struct Wire(UnixStream);

impl Wire {
    fn open(program: &Program) -> Self {
        let stream = UnixStream::connect(program.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut wire = Self(stream);
        let mut version = vec![0, 0, 1, 0];
        version.extend(b"{\"capabilities\":{\"max_msg_fds\":8}}\0");
        wire.ask(VERSION, &version);
        wire
    }

    fn map(&mut self, iova: u64, offset: u64, memory: &File) {
        self.send(&map_message(iova, offset), memory);
        self.take_replies(DMA_MAP, 1);
    }

    fn unmap_all(&mut self) {
        let mut body = [24, UNMAP_ALL].map(u32::to_le_bytes).concat();
        body.extend([0; 16]);
        self.ask(DMA_UNMAP, &body);
    }

    fn set(&mut self, register: ChannelRegister, value: u64) {
        let offset = channel_base(0) + register.offset();
        self.write(BAR0, offset, &value.to_le_bytes()[..register.width()]);
    }

    fn status(&mut self) -> u64 {
        let offset = channel_base(0) + ChannelRegister::ChanSts.offset();
        let reply = self.ask(REGION_READ, &access(BAR0, offset, 8));
        u64::from_le_bytes(reply[16..].try_into().unwrap())
    }

    fn write(&mut self, region: u32, offset: u64, data: &[u8]) {
        self.ask(REGION_WRITE, &[&access(region, offset, data.len()), data].concat());
    }

    /// Sends a command; returns what follows the header of its reply.
    fn ask(&mut self, command: u16, body: &[u8]) -> Vec<u8> {
        self.0.write_all(&message(command, body)).unwrap();
        let mut header = [0; HEADER];
        self.0.read_exact(&mut header).unwrap();
        check(&header, command);
        let size = u32::from_le_bytes(header[4..8].try_into().unwrap()) as usize;
        let mut rest = vec![0; size - HEADER];
        self.0.read_exact(&mut rest).unwrap();
        rest
    }

    /// A message and the memory's descriptor.
    fn send(&mut self, message: &[u8], memory: &File) {
        let sent = self.0.send_with_fd(message, memory.as_raw_fd()).unwrap();
        assert_eq!(sent, message.len());
    }

    /// So many replies that are headers only.
    fn take_replies(&mut self, command: u16, count: usize) {
        let mut replies = vec![0; count * HEADER];
        self.0.read_exact(&mut replies).unwrap();
        for header in replies.chunks(HEADER) {
            check(header, command);
        }
    }
}

/// A success, and to this command.
fn check(header: &[u8], command: u16) {
    assert_eq!(header[2..4], command.to_le_bytes(), "{header:?}");
    assert_eq!(header[8..], [1, 0, 0, 0, 0, 0, 0, 0], "{header:?}");
}

fn message(command: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = [1, command].map(u16::to_le_bytes).concat();
    bytes.extend(((HEADER + body.len()) as u32).to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(body);
    bytes
}

fn map_message(iova: u64, offset: u64) -> Vec<u8> {
    let mut body = [32, READ_WRITE].map(u32::to_le_bytes).concat();
    body.extend([offset, iova, PAGE].map(u64::to_le_bytes).concat());
    message(DMA_MAP, &body)
}

fn access(region: u32, offset: u64, count: usize) -> Vec<u8> {
    let mut body = offset.to_le_bytes().to_vec();
    body.extend([region, count as u32].map(u32::to_le_bytes).concat());
    body
}
