//! The device program in a process of its own, and a bare client that programs its engine by hand.

use std::fs;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use ioat_spec::descriptor::{Control, Descriptor};
use tempfile::TempDir;
use vfio_bindings::bindings::vfio::{
    VFIO_IRQ_SET_ACTION_MASK, VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_ACTION_UNMASK,
    VFIO_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_NONE, VFIO_PCI_BAR0_REGION_INDEX,
    VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_INTX_IRQ_INDEX, VFIO_PCI_MSIX_IRQ_INDEX,
};
use vfio_user::Client;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};
use zerocopy::IntoBytes;

use crate::process::Running;
use crate::program;

/// `vfio-user-ioat`, serving a socket in a folder of its own.
pub struct Device {
    /// The process.
    pub process: Running,
    /// Its socket.
    pub socket: PathBuf,
    /// Removed in the end.
    pub folder: TempDir,
}

impl Device {
    /// Starts it with more arguments, and waits until it serves.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let socket = folder.path().join("device.sock");
        let process = Running::start(Self::command(&socket).args(arguments));
        process.says("serving ");
        Self { process, socket, folder }
    }

    /// The command that serves `socket`.
    #[must_use]
    pub fn command(socket: &Path) -> Command {
        let mut command = Command::new(program("vfio-user-ioat"));
        command.arg("--socket-path").arg(socket);
        command
    }

    /// As `netdma --on` takes it.
    #[must_use]
    pub fn on(&self) -> String {
        format!("socket:{}", self.socket.display())
    }

    /// Its open descriptors.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process.pid())).expect("a running device").count()
    }

    /// Its resident memory in KiB.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn resident_kib(&self) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.process.pid())).expect("a running device");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

/// Where the client's memory is for the device.
pub const MEMORY: u64 = 0x10_0000;
const MEMORY_BYTES: u64 = 4 << 20;
/// Inside that memory: the descriptor, the completion word, source and destination.
const DESCRIPTOR: u64 = 0;
const COMPLETION: u64 = 0x1000;
const SOURCE: u64 = 0x10_0000;
const DESTINATION: u64 = 0x20_0000;
/// The largest transfer of the profile.
const TRANSFER: u32 = 1 << 20;
/// The command register of the configuration space, and its bits for memory and bus master.
const COMMAND: u64 = 0x04;
const MEMORY_AND_MASTER: u16 = 0x6;

/// The engine behind a socket, through the `vfio_user` crate's client: nothing of our driver is in it.
pub struct Engine {
    client: Client,
    memory: File,
}

impl Engine {
    /// Connects, shares memory, and makes the device bus master.
    ///
    /// # Panics
    /// When the device refuses any of it.
    #[must_use]
    pub fn open(socket: &Path) -> Self {
        let mut client = Client::new(socket).expect("a device that negotiates");
        let memory = tempfile::tempfile().expect("a temporary file");
        memory.set_len(MEMORY_BYTES).expect("room");
        client.dma_map(0, MEMORY, MEMORY_BYTES, memory.as_raw_fd()).expect("DMA_MAP");
        let mut engine = Self { client, memory };
        engine.enable();
        engine
    }

    /// Reads a register of BAR0.
    ///
    /// # Panics
    /// When the device does not answer.
    #[must_use]
    pub fn read(&mut self, offset: u64, width: usize) -> u64 {
        let mut value = [0; 8];
        self.client
            .region_read(VFIO_PCI_BAR0_REGION_INDEX, offset, &mut value[..width])
            .expect("a register read");
        u64::from_le_bytes(value)
    }

    /// Writes a register of BAR0.
    ///
    /// # Panics
    /// When the device does not answer.
    pub fn write(&mut self, offset: u64, value: u64, width: usize) {
        self.client
            .region_write(VFIO_PCI_BAR0_REGION_INDEX, offset, &value.to_le_bytes()[..width])
            .expect("a register write");
    }

    /// The command register of the configuration space.
    ///
    /// # Panics
    /// When the device does not answer.
    #[must_use]
    pub fn fresh_command_register(socket: &Path) -> u16 {
        let mut client = Client::new(socket).expect("a device that negotiates");
        let mut value = [0; 2];
        client.region_read(VFIO_PCI_CONFIG_REGION_INDEX, COMMAND, &mut value).expect("the command register");
        // As for `Engine`.
        client.shutdown().expect("a connected socket");
        u16::from_le_bytes(value)
    }

    /// How many MSI-X vectors there are.
    ///
    /// # Panics
    /// When the device does not answer.
    #[must_use]
    pub fn vectors(&mut self) -> u32 {
        self.client.get_irq_info(VFIO_PCI_MSIX_IRQ_INDEX).expect("interrupt info").count
    }

    /// Has vector 0 signal an eventfd.
    ///
    /// # Panics
    /// When the device refuses.
    pub fn interrupt(&mut self) -> EventFd {
        self.eventfd(VFIO_PCI_MSIX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER)
    }

    /// Has the line signal an eventfd, once until it is unmasked.
    ///
    /// # Panics
    /// When the device refuses.
    pub fn line(&mut self) -> EventFd {
        self.eventfd(VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER)
    }

    /// Has an eventfd unmask the line, as KVM does.
    ///
    /// # Panics
    /// When the device refuses.
    pub fn resample(&mut self) -> EventFd {
        self.eventfd(VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_UNMASK)
    }

    /// Masks the line.
    ///
    /// # Panics
    /// When the device refuses.
    pub fn mask(&mut self) {
        self.set_line(VFIO_IRQ_SET_ACTION_MASK, 1);
    }

    /// Unmasks it.
    ///
    /// # Panics
    /// When the device refuses.
    pub fn unmask(&mut self) {
        self.set_line(VFIO_IRQ_SET_ACTION_UNMASK, 1);
    }

    /// Takes the line's eventfd away.
    ///
    /// # Panics
    /// When the device refuses.
    pub fn disable_line(&mut self) {
        self.set_line(VFIO_IRQ_SET_ACTION_TRIGGER, 0);
    }

    fn set_line(&mut self, action: u32, count: u32) {
        let flags = VFIO_IRQ_SET_DATA_NONE | action;
        self.client.set_irqs(VFIO_PCI_INTX_IRQ_INDEX, flags, 0, count, &[]).expect("SET_IRQS");
    }

    fn eventfd(&mut self, index: u32, action: u32) -> EventFd {
        let event = EventFd::new(EFD_NONBLOCK).expect("an eventfd");
        let flags = VFIO_IRQ_SET_DATA_EVENTFD | action;
        self.client.set_irqs(index, flags, 0, 1, &[event.as_raw_fd()]).expect("SET_IRQS");
        event
    }

    /// Reads configuration space.
    ///
    /// # Panics
    /// When the device does not answer.
    #[must_use]
    pub fn config(&mut self, offset: u64, width: usize) -> u64 {
        let mut value = [0; 8];
        self.client
            .region_read(VFIO_PCI_CONFIG_REGION_INDEX, offset, &mut value[..width])
            .expect("a configuration read");
        u64::from_le_bytes(value)
    }

    /// Resets the function: DEVICE_RESET, and bus master on again.
    ///
    /// # Panics
    /// When the device refuses.
    pub fn reset(&mut self) {
        self.client.reset().expect("DEVICE_RESET");
        self.enable();
    }

    fn enable(&mut self) {
        self.client
            .region_write(VFIO_PCI_CONFIG_REGION_INDEX, COMMAND, &MEMORY_AND_MASTER.to_le_bytes())
            .expect("the command register");
    }

    /// Starts one descriptor on channel 0; its addresses count from [`MEMORY`].
    ///
    /// # Panics
    /// When the device does not answer.
    pub fn submit(&mut self, descriptor: &Descriptor) {
        self.put(DESCRIPTOR, descriptor.as_bytes());
        let base = ioat_spec::register::channel_base(0);
        self.write(base + 0x18, MEMORY + COMPLETION, 8);
        self.write(base + 0x10, MEMORY + DESCRIPTOR, 8);
        self.write(base + 0x06, 1, 2);
    }

    /// Puts bytes at an offset of the shared memory.
    ///
    /// # Panics
    /// When they do not fit.
    pub fn put(&self, offset: u64, bytes: &[u8]) {
        self.memory.write_all_at(bytes, offset).expect("shared memory");
    }

    /// Takes bytes from an offset of the shared memory.
    ///
    /// # Panics
    /// When it has not that many.
    #[must_use]
    pub fn take(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.memory.read_exact_at(&mut bytes, offset).expect("shared memory");
        bytes
    }

    /// Starts `count` copies of 1 MiB on `channel`: one descriptor that names itself as the next.
    ///
    /// # Panics
    /// When the device does not answer.
    pub fn start(&mut self, channel: usize, count: u16) {
        let descriptor = Descriptor {
            size: TRANSFER,
            control: Control::new().with_int_en(true).with_cmpl_wr(true).into_bits(),
            source: MEMORY + SOURCE,
            destination: MEMORY + DESTINATION,
            next: MEMORY + DESCRIPTOR,
            ..Descriptor::default()
        };
        self.memory.write_all_at(descriptor.as_bytes(), DESCRIPTOR).expect("shared memory");
        let pattern: Vec<u8> = (0..TRANSFER).map(|n| n.wrapping_mul(0x9e37_79b1).to_le_bytes()[3]).collect();
        self.memory.write_all_at(&pattern, SOURCE).expect("shared memory");
        let base = ioat_spec::register::channel_base(channel);
        self.write(base + 0x18, MEMORY + COMPLETION, 8);
        self.write(base + 0x10, MEMORY + DESCRIPTOR, 8);
        self.write(base + 0x06, count.into(), 2);
    }

    /// The completion word: 0 before the first.
    ///
    /// # Panics
    /// When the shared memory cannot be read.
    #[must_use]
    pub fn completion(&self) -> u64 {
        let mut word = [0; 8];
        self.memory.read_exact_at(&mut word, COMPLETION).expect("shared memory");
        u64::from_le_bytes(word)
    }

    /// Whether the destination has become the source.
    ///
    /// # Panics
    /// When the shared memory cannot be read.
    #[must_use]
    pub fn copied(&self) -> bool {
        let [mut source, mut destination] = [vec![0; TRANSFER as usize], vec![0; TRANSFER as usize]];
        self.memory.read_exact_at(&mut source, SOURCE).expect("shared memory");
        self.memory.read_exact_at(&mut destination, DESTINATION).expect("shared memory");
        source == destination
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Not only closed: a process that another test starts at this moment has a copy of the socket until its exec.
        // It fails only if the device has hung up.
        let _ = self.client.shutdown();
    }
}
