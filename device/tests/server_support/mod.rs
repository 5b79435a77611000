//! A small real device behind the server, the server in a thread, and a raw client that can say anything.
#![allow(dead_code, reason = "each test program uses its own part")]
#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test stops at the first surprise"
)]

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vfio_user_ioat::server::{
    Backend, DmaMap, DmaUnmap, Errno, IRQS, Identity, IrqChange, IrqInfo, IrqTable, Listener, Options,
    REGIONS, RegionInfo, ServeError, flag, irq, region, serve,
};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};
use vmm_sys_util::sock_ctrl_msg::ScmSocket;

/// Liveness limit: far above anything that a test expects.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) const SMALL_BAR: u32 = 0;
pub(crate) const BIG_BAR: u32 = 2;
pub(crate) const READ_ONLY_BAR: u32 = 4;
pub(crate) const SMALL_BAR_BYTES: u64 = 64 * 1024;
pub(crate) const BIG_BAR_BYTES: u64 = 2 * 1024 * 1024;
pub(crate) const CONFIG_BYTES: u64 = 4096;
pub(crate) const MSIX_VECTORS: u32 = 32;

/// One register access, as the device saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) region: u32,
    pub(crate) offset: u64,
    pub(crate) width: usize,
    pub(crate) write: bool,
}

/// Memory behind every region, a list of maps, and an interrupt table.
pub(crate) struct TestDevice {
    regions: Vec<Mutex<Vec<u8>>>,
    pub(crate) accesses: Mutex<Vec<Access>>,
    pub(crate) maps: Mutex<BTreeMap<u64, DmaMap>>,
    pub(crate) irqs: IrqTable,
    pub(crate) resets: AtomicU32,
    pub(crate) departures: AtomicU32,
    /// How many sessions have begun: each asks for the tables once.
    pub(crate) identities: AtomicU32,
    /// A register read with this width panics, as a defect of the device would.
    pub(crate) broken_width: AtomicU64,
    /// How long each register write takes.
    pub(crate) write_pause_us: AtomicU64,
}

impl TestDevice {
    pub(crate) fn new() -> TestDevice {
        let identity = Self::tables();
        TestDevice {
            regions: identity.regions.iter().map(|info| Mutex::new(vec![0; info.size as usize])).collect(),
            accesses: Mutex::default(),
            maps: Mutex::default(),
            irqs: IrqTable::new(&identity),
            resets: AtomicU32::new(0),
            departures: AtomicU32::new(0),
            identities: AtomicU32::new(0),
            broken_width: AtomicU64::new(u64::MAX),
            write_pause_us: AtomicU64::new(0),
        }
    }

    fn tables() -> Identity {
        let mut regions = [RegionInfo::default(); REGIONS];
        let both = region::READ | region::WRITE;
        regions[SMALL_BAR as usize] = RegionInfo { size: SMALL_BAR_BYTES, flags: both };
        regions[BIG_BAR as usize] = RegionInfo { size: BIG_BAR_BYTES, flags: both };
        regions[READ_ONLY_BAR as usize] = RegionInfo { size: 4096, flags: region::READ };
        regions[region::CONFIG as usize] = RegionInfo { size: CONFIG_BYTES, flags: both };
        let mut irqs = [IrqInfo::default(); IRQS];
        let intx_flags = irq::EVENTFD | irq::MASKABLE | irq::AUTOMASKED;
        irqs[irq::INTX as usize] = IrqInfo { count: 1, flags: intx_flags };
        irqs[irq::MSIX as usize] = IrqInfo { count: MSIX_VECTORS, flags: irq::EVENTFD };
        irqs[irq::ERR as usize] = IrqInfo { count: 1, flags: irq::EVENTFD };
        irqs[irq::REQ as usize] = IrqInfo { count: 1, flags: irq::EVENTFD };
        Identity { regions, irqs }
    }

    fn note(&self, region: u32, offset: u64, width: usize, write: bool) {
        let mut accesses = self.accesses.lock().unwrap();
        if accesses.len() < 4096 {
            accesses.push(Access { region, offset, width, write });
        }
    }

    pub(crate) fn mapped(&self) -> Vec<(u64, u64)> {
        self.maps.lock().unwrap().values().map(|map| (map.iova, map.size)).collect()
    }
}

impl Backend for TestDevice {
    fn identity(&self) -> Identity {
        self.identities.fetch_add(1, Ordering::SeqCst);
        Self::tables()
    }

    fn read(&self, region: u32, offset: u64, data: &mut [u8]) -> Result<(), Errno> {
        self.note(region, offset, data.len(), false);
        assert_ne!(
            self.broken_width.load(Ordering::Relaxed),
            data.len() as u64,
            "a defect that the test planted"
        );
        let memory = self.regions[region as usize].lock().unwrap();
        let offset = offset as usize;
        data.copy_from_slice(&memory[offset..offset + data.len()]);
        Ok(())
    }

    fn write(&self, region: u32, offset: u64, data: &[u8]) -> Result<(), Errno> {
        self.note(region, offset, data.len(), true);
        match self.write_pause_us.load(Ordering::Relaxed) {
            0 => {}
            pause => std::thread::sleep(Duration::from_micros(pause)),
        }
        let mut memory = self.regions[region as usize].lock().unwrap();
        let offset = offset as usize;
        memory[offset..offset + data.len()].copy_from_slice(data);
        Ok(())
    }

    fn dma_map(&self, map: DmaMap) -> Result<(), Errno> {
        let mut maps = self.maps.lock().unwrap();
        let last = map.iova + (map.size - 1);
        let overlaps =
            maps.range(..=last).next_back().is_some_and(|(iova, old)| iova + (old.size - 1) >= map.iova);
        if overlaps {
            return Err(Errno::EEXIST);
        }
        maps.insert(map.iova, map);
        Ok(())
    }

    fn dma_unmap(&self, what: DmaUnmap) -> Result<(), Errno> {
        let mut maps = self.maps.lock().unwrap();
        match what {
            DmaUnmap::All => maps.clear(),
            DmaUnmap::Range { iova, size } => {
                let last = iova + (size - 1);
                maps.retain(|first, map| *first < iova || first + (map.size - 1) > last);
            }
        }
        Ok(())
    }

    fn set_irq(&self, change: IrqChange) -> Result<(), Errno> {
        self.irqs.apply(change)
    }

    fn reset(&self) {
        self.resets.fetch_add(1, Ordering::SeqCst);
        self.irqs.reset();
        self.regions.iter().for_each(|region| region.lock().unwrap().fill(0));
    }

    fn client_gone(&self) {
        self.maps.lock().unwrap().clear();
        self.irqs.release();
        self.departures.fetch_add(1, Ordering::SeqCst);
    }
}

/// A server in a thread of this process.
pub(crate) struct Fixture {
    pub(crate) device: Arc<TestDevice>,
    pub(crate) path: PathBuf,
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
    _folder: TempDir,
}

impl Fixture {
    pub(crate) fn start() -> Fixture {
        Fixture::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device.sock");
        let listener = Listener::bind(&path).unwrap();
        let device = Arc::new(TestDevice::new());
        let stop = Arc::new(EventFd::new(EFD_NONBLOCK).unwrap());
        let (served, stopped) = (Arc::clone(&device), Arc::clone(&stop));
        let thread = std::thread::spawn(move || serve(listener, &*served, &stopped, &options));
        Fixture { device, path, stop, thread: Some(thread), _folder: folder }
    }

    /// A client that has negotiated.
    pub(crate) fn client(&self) -> RawClient {
        let mut client = RawClient::connect(&self.path);
        client.negotiate();
        client
    }

    pub(crate) fn stop(&self) {
        self.stop.write(1).unwrap();
    }

    /// Waits until the server has returned.
    pub(crate) fn join(&mut self) -> Result<(), ServeError> {
        self.outcome().unwrap()
    }

    /// Waits until the server has returned, or panicked.
    pub(crate) fn outcome(&mut self) -> std::thread::Result<Result<(), ServeError>> {
        let thread = self.thread.take().unwrap();
        eventually("the server returns", || thread.is_finished());
        thread.join()
    }

    /// A whole new session works: the server is alive and in order.
    pub(crate) fn assert_serves(&self) {
        let mut client = self.client();
        let reply = client.ask(command::DEVICE_GET_INFO, &words(&[16, 0, 0, 0]));
        assert_eq!(reply.payload, words(&[16, 3, 9, 5]));
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.stop();
            let result = self.join();
            if !std::thread::panicking() {
                result.unwrap();
            }
        }
    }
}

pub(crate) use vfio_user_ioat::server::command;

/// Waits for `done`, up to [`PATIENCE`].
pub(crate) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// 32-bit words as bytes.
pub(crate) fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A DMA_MAP payload.
pub(crate) fn map_body(flags: u32, offset: u64, iova: u64, size: u64) -> Vec<u8> {
    let mut body = words(&[32, flags]);
    [offset, iova, size].iter().for_each(|number| body.extend(number.to_le_bytes()));
    body
}

/// A DMA_UNMAP payload.
pub(crate) fn unmap_body(flags: u32, iova: u64, size: u64) -> Vec<u8> {
    let mut body = words(&[24, flags]);
    [iova, size].iter().for_each(|number| body.extend(number.to_le_bytes()));
    body
}

/// A REGION_READ payload, or the front of a REGION_WRITE.
pub(crate) fn access_body(region: u32, offset: u64, count: u32) -> Vec<u8> {
    let mut body = offset.to_le_bytes().to_vec();
    body.extend(words(&[region, count]));
    body
}

pub(crate) fn write_body(region: u32, offset: u64, data: &[u8]) -> Vec<u8> {
    let mut body = access_body(region, offset, data.len() as u32);
    body.extend(data);
    body
}

/// A SET_IRQS payload without data.
pub(crate) fn irq_body(flags: u32, index: u32, start: u32, count: u32) -> Vec<u8> {
    words(&[20, flags, index, start, count])
}

/// A message's header.
pub(crate) fn header(id: u16, command: u16, size: u32, flags: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[0..2].copy_from_slice(&id.to_le_bytes());
    bytes[2..4].copy_from_slice(&command.to_le_bytes());
    bytes[4..8].copy_from_slice(&size.to_le_bytes());
    bytes[8..12].copy_from_slice(&flags.to_le_bytes());
    bytes
}

/// A whole message.
pub(crate) fn message(id: u16, command: u16, flags: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(id, command, 16 + payload.len() as u32, flags).to_vec();
    bytes.extend(payload);
    bytes
}

pub(crate) const QEMU_CAPABILITIES: &str = r#"{"capabilities":{"max_msg_fds":16,"max_data_xfer_size":1048576,"max_dma_maps":65535,"pgsizes":4096,"write_multiple":true,"migration":{"pgsize":4096,"max_bitmap_size":268435456}}}"#;

/// A VERSION payload with JSON and its NUL.
pub(crate) fn version_body(major: u16, minor: u16, json: &[u8]) -> Vec<u8> {
    let mut body = [major.to_le_bytes(), minor.to_le_bytes()].concat();
    body.extend(json);
    body.push(0);
    body
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) id: u16,
    pub(crate) command: u16,
    pub(crate) size: u32,
    pub(crate) flags: u32,
    pub(crate) error: u32,
    pub(crate) payload: Vec<u8>,
}

impl Reply {
    fn parse(bytes: &[u8]) -> Reply {
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let word = |at: usize| u32::from(half(at)) | u32::from(half(at + 2)) << 16;
        Reply {
            id: half(0),
            command: half(2),
            size: word(4),
            flags: word(8),
            error: word(12),
            payload: bytes[16..].to_vec(),
        }
    }

    /// The errno of an error reply; 0 for a success. Panics if the reply is neither.
    pub(crate) fn errno(&self) -> u32 {
        match (self.flags, self.error) {
            (0x01, 0) => 0,
            (0x21, errno @ 1..=4095) if self.size == 16 => errno,
            _ => panic!("neither a success nor an error reply: {self:?}"),
        }
    }
}

pub(crate) const EINVAL: u32 = libc::EINVAL as u32;

/// A client without manners.
pub(crate) struct RawClient {
    pub(crate) stream: UnixStream,
    next_id: u16,
}

impl RawClient {
    pub(crate) fn connect(path: &Path) -> RawClient {
        RawClient::over(UnixStream::connect(path).unwrap())
    }

    pub(crate) fn over(stream: UnixStream) -> RawClient {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        RawClient { stream, next_id: 0x100 }
    }

    pub(crate) fn negotiate(&mut self) -> Reply {
        let reply = self.ask(command::VERSION, &version_body(0, 0, QEMU_CAPABILITIES.as_bytes()));
        assert_eq!(reply.errno(), 0);
        reply
    }

    /// Sends a command and receives its reply.
    pub(crate) fn ask(&mut self, command: u16, payload: &[u8]) -> Reply {
        self.ask_with_fds(command, payload, &[])
    }

    pub(crate) fn ask_with_fds(&mut self, command: u16, payload: &[u8], fds: &[RawFd]) -> Reply {
        self.next_id = self.next_id.wrapping_add(1);
        let id = self.next_id;
        self.send(&message(id, command, flag::COMMAND, payload), fds);
        let reply = self.receive();
        assert_eq!((reply.id, reply.command), (id, command), "{reply:?}");
        reply
    }

    /// Sends a command that is not answered.
    pub(crate) fn post(&mut self, command: u16, payload: &[u8]) {
        self.send(&message(7, command, flag::NO_REPLY, payload), &[]);
    }

    /// Sends bytes; descriptors go with the first.
    pub(crate) fn send(&mut self, bytes: &[u8], fds: &[RawFd]) {
        let sent = self.stream.send_with_fds(&[bytes], fds).unwrap();
        self.stream.write_all(&bytes[sent..]).unwrap();
    }

    /// As [`RawClient::send`], to a server that may have closed already.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub(crate) fn receive(&mut self) -> Reply {
        self.receive_or_end().expect("the server closed the connection")
    }

    /// The next reply, or `None` at the end of the stream.
    pub(crate) fn receive_or_end(&mut self) -> Option<Reply> {
        let mut bytes = vec![0; 16];
        match self.stream.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                return None;
            }
            Err(error) => panic!("no reply: {error}"),
        }
        let size = Reply::parse(&bytes).size as usize;
        bytes.resize(size, 0);
        self.stream.read_exact(&mut bytes[16..]).unwrap();
        Some(Reply::parse(&bytes))
    }

    /// One `recv` into a big buffer, as QEMU reads.
    pub(crate) fn receive_at_once(&mut self) -> Reply {
        let mut bytes = vec![0; 2 * 1024 * 1024];
        let got = self.stream.read(&mut bytes).unwrap();
        let reply = Reply::parse(&bytes[..got]);
        assert_eq!(reply.size as usize, got);
        reply
    }

    /// The server has closed the connection; nothing more came.
    pub(crate) fn assert_closed(&mut self) {
        assert_eq!(self.receive_or_end(), None);
    }

    /// The server has sent nothing, and a read on the same stream is answered as ever.
    pub(crate) fn assert_in_step(&mut self) {
        let reply = self.ask(command::DEVICE_GET_INFO, &words(&[16, 0, 0, 0]));
        assert_eq!(reply.payload, words(&[16, 3, 9, 5]));
    }

    pub(crate) fn read(&mut self, region: u32, offset: u64, count: u32) -> Reply {
        self.ask(command::REGION_READ, &access_body(region, offset, count))
    }

    pub(crate) fn write(&mut self, region: u32, offset: u64, data: &[u8]) -> Reply {
        self.ask(command::REGION_WRITE, &write_body(region, offset, data))
    }

    pub(crate) fn set_irqs(
        &mut self,
        flags: u32,
        index: u32,
        start: u32,
        count: u32,
        fds: &[&EventFd],
    ) -> u32 {
        let fds: Vec<RawFd> = fds.iter().map(|fd| fd.as_raw_fd()).collect();
        self.ask_with_fds(command::DEVICE_SET_IRQS, &irq_body(flags, index, start, count), &fds).errno()
    }
}

/// A file of `size` bytes in memory.
pub(crate) fn memory_file(size: u64) -> std::fs::File {
    let file = tempfile::tempfile().unwrap();
    file.set_len(size).unwrap();
    file
}

pub(crate) fn eventfd() -> EventFd {
    EventFd::new(EFD_NONBLOCK).unwrap()
}

/// What an eventfd has counted since it was last read.
pub(crate) fn count(eventfd: &EventFd) -> u64 {
    eventfd.read().unwrap_or(0)
}

/// Open descriptors of this process.
pub(crate) fn open_fds() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A field of /proc/self/status in KiB, or as a count.
pub(crate) fn status_field(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
