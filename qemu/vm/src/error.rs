//! What ends a run: one error for everything between the first look at the cache and the guest's goodbye.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::cache::CacheError;
use crate::channel::ChannelError;
use crate::initramfs::InitramfsError;
use crate::kernel::KernelError;
use crate::modules::ModuleError;
use crate::qemu::QemuError;

/// Why a guest did not start, or did not finish what it was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VmError {
    /// No QEMU.
    #[error(transparent)]
    Qemu(#[from] QemuError),
    /// No kernel.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// No such module.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// The guest's file system cannot be made.
    #[error(transparent)]
    Initramfs(#[from] InitramfsError),
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The guest channel.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// Process 1 of the guest was not built.
    #[error(
        "no static netdma-vm-init beside this program or in its target folder{found}: build it with `{INIT_BUILD}`, or name it in NETDMA_VM_INIT"
    )]
    NoInit {
        /// What was found and does not fit.
        found: String,
    },
    /// A device program ended, or made no socket.
    #[error("device program `{line}` {how}")]
    Device {
        /// Its command line.
        line: String,
        /// What happened, with the last line of its log.
        how: String,
    },
    /// A device's command line cannot be read.
    #[error("--device {0}: {1}")]
    DeviceLine(String, &'static str),
    /// More devices than slots.
    #[error("{0} devices; the guest's root bus has room for {most}", most = crate::line::MOST_DEVICES)]
    TooManyDevices(usize),
    /// More emulated devices than slots.
    #[error("{0} emulated devices; there is room for {most}", most = crate::emulated::MOST_EMULATED)]
    TooManyEmulated(usize),
    /// A file of the run.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// QEMU ended by itself.
    #[error("QEMU ended ({how})")]
    QemuEnded {
        /// Its status and what it said last.
        how: String,
    },
    /// The guest could not be prepared, or refused a request.
    #[error("guest: {0}")]
    Guest(String),
    /// The guest stopped without a goodbye.
    #[error("guest panic; the end of its console:\n{console_tail}")]
    Panicked {
        /// The console's last lines.
        console_tail: String,
    },
    /// The time limit.
    #[error("time limit of {limit_s} s while {doing}")]
    TimedOut {
        /// The limit in seconds.
        limit_s: u64,
        /// What was awaited.
        doing: String,
    },
    /// A signal asked this process to stop.
    #[error("stopped by signal {0}")]
    Stopped(i32),
}

/// The command that builds process 1 of the guest.
pub const INIT_BUILD: &str = "RUSTFLAGS='-C target-feature=+crt-static' cargo build -p netdma-vm --bin netdma-vm-init --target x86_64-unknown-linux-gnu";
