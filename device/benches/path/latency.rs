//! How long one register read and one copy take, in this process and over a vfio-user socket. Reported without a limit.

use std::hint::{black_box, spin_loop};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ioat_spec::ChannelRegister;
use ioat_spec::register::channel_base;
use vfio_user::Client;

use crate::bare;
use crate::memory::{BASE, Memory, usize};
use crate::queue::{Job, Queue, ring_bytes, write_ring};
use crate::report::{Line, Report, Target};

const SIZE: u32 = 4096;
const TIMES: usize = 2000;
/// vfio's region numbers.
const BAR0: u32 = 0;
const CONFIG: u32 = 7;
/// Bytes of a REGION_READ of 8 bytes and of its reply.
const REQUEST: usize = 32;
const REPLY: usize = 40;

pub(crate) fn measure(report: &mut Report) {
    let memory = Arc::new(Memory::whole(1 << 20));
    let data = BASE + (1 << 19);
    let jobs = [Job { size: SIZE, source: data, destination: data + u64::from(SIZE) }; 4];
    let copy = median(|| {
        bare::copy(black_box(memory.host(data)), memory.host(data + u64::from(SIZE)), usize(SIZE.into()));
    });

    let mut queue = Queue::start(memory.clone(), &jobs, 1);
    let read = median(|| _ = black_box(queue.status()));
    let one = median(|| queue.pump(1, 1));
    drop(queue);
    let (echo, remote_read, remote_copy) = over_socket(&memory, &jobs);

    let mut add = |name: &str, figure, baseline| {
        let name = name.to_owned();
        report.add(Line { name, unit: "us p50", figure, baseline, target: Target::None });
    };
    add("CHANSTS read, in process", read, ("4 KiB memcpy", copy));
    add("4 KiB copy, doorbell to completion word, in process", one, ("4 KiB memcpy", copy));
    add("CHANSTS read, over the socket", remote_read, ("bare socket round trip", echo));
    add("4 KiB copy, doorbell to word, over the socket", remote_copy, ("bare socket round trip", echo));
}

/// A round trip of the same bytes without a device, a register read, and a copy.
fn over_socket(memory: &Memory, jobs: &[Job; 4]) -> (f64, f64, f64) {
    write_ring(memory, BASE, jobs, 1, |iova| iova);
    let word = BASE + ring_bytes(jobs.len()) - 64;
    memory.put(word, &[0; 8]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("dma.sock");
    let _program = Program::start(&path);
    let mut client = Client::new(&path).expect("a session");
    client.dma_map(0, BASE, memory.len(), memory.file().as_raw_fd()).expect("a map");
    client.region_write(CONFIG, 0x04, &[0x06, 0x00]).expect("bus master");
    let offset = |register: ChannelRegister| channel_base(0) + register.offset();
    client.region_write(BAR0, offset(ChannelRegister::ChanCmp), &word.to_le_bytes()).expect("CHANCMP");
    client.region_write(BAR0, offset(ChannelRegister::ChainAddr), &BASE.to_le_bytes()).expect("CHAINADDR");

    let read = median(|| {
        let mut bytes = [0; 8];
        client.region_read(BAR0, offset(ChannelRegister::ChanSts), &mut bytes).expect("CHANSTS");
    });
    let mut count = 0_u16;
    let copy = median(|| {
        let before = memory.word(word);
        count = count.wrapping_add(1);
        let doorbell = offset(ChannelRegister::DmaCount);
        client.region_write(BAR0, doorbell, &count.to_le_bytes()).expect("DMACOUNT");
        while memory.word(word) == before {
            spin_loop();
        }
    });
    (echo(), read, copy)
}

/// Two threads and a socket between them.
fn echo() -> f64 {
    let (mut near, mut far) = UnixStream::pair().expect("a socket pair");
    let server = thread::spawn(move || {
        let mut request = [0; REQUEST];
        while far.read_exact(&mut request).is_ok() && far.write_all(&[0; REPLY]).is_ok() {}
    });
    let trip = median(|| {
        near.write_all(&[0; REQUEST]).expect("a request");
        near.read_exact(&mut [0; REPLY]).expect("a reply");
    });
    drop(near);
    server.join().expect("the other thread");
    trip
}

/// The device program, killed when dropped.
struct Program(Child);

impl Program {
    fn start(path: &std::path::Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vfio-user-ioat"));
        command.arg("--socket-path").arg(path).env("RUST_LOG", "error").stdin(Stdio::null());
        let program = Self(command.spawn().expect("the device program"));
        let begin = Instant::now();
        while !path.exists() {
            assert!(begin.elapsed() < Duration::from_secs(10), "the device program does not listen");
            thread::sleep(Duration::from_millis(5));
        }
        program
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Microseconds of the middle one of many.
fn median(mut step: impl FnMut()) -> f64 {
    let mut times: Vec<Duration> = (0..TIMES)
        .map(|_| {
            let start = Instant::now();
            step();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[TIMES / 2].as_nanos() as f64 / 1000.0
}
