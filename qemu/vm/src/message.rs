//! What the frames of [`crate::channel`] say, and the plan that the guest finds in its initramfs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where the plan lies in the guest.
pub const PLAN_PATH: &str = "/netdma-vm/plan.json";

/// The PATH of every command in the guest: what `--add` brought comes before busybox, which is in `/bin`.
pub const GUEST_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Changes with every change of frames, messages or plan: both programs come from one source, but are built apart.
pub const PROTOCOL: u32 = 2;

/// What the guest does before it serves the channel.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct Plan {
    /// What happens after the preparation.
    pub mode: Mode,
    /// Modules, in the order in which they are loaded.
    pub modules: Vec<Module>,
    /// Addresses of the vfio-user devices in the guest, and then of those that QEMU emulates.
    pub devices: Vec<String>,
    /// Bind the devices to vfio-pci.
    pub bind: bool,
    /// The environment of every command.
    pub env: BTreeMap<String, String>,
}

/// What the guest does once it is prepared.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub enum Mode {
    /// Serve the channel.
    #[default]
    Serve,
    /// A shell on the console, the channel beside it; power off when the shell ends.
    Shell,
    /// Run this on the console and power off, whether or not somebody listens on the channel. For `boot --print`.
    Console(Vec<String>),
}

/// A kernel module in the guest's file system.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Module {
    /// Its name, for messages.
    pub name: String,
    /// Its file in the guest.
    pub path: String,
    /// Its parameters, separated by spaces.
    pub params: String,
}

/// The guest is ready.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Hello {
    /// [`PROTOCOL`] of the guest's side.
    pub protocol: u32,
    /// `uname -r`.
    pub release: String,
    /// Milliseconds since the kernel started.
    pub uptime_ms: u64,
    /// The kernel log's next sequence number: a mark for [`ReadLog`].
    pub log_mark: u64,
}

/// Run a command.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Run {
    /// The command's words.
    pub argv: Vec<String>,
    /// Added to the plan's environment.
    pub env: BTreeMap<String, String>,
    /// `Data` frames of this id are its standard input, which an `End` frame closes. If not, there is none.
    pub input: bool,
}

/// A command ended.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Exit {
    /// Its exit status; 128 + n for signal n; 127 not found, 126 not executable.
    pub status: i32,
    /// What the kernel said at warning or above since the command began.
    pub kernel_warnings: Vec<KernelLine>,
}

/// A file comes from the host.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Put {
    /// Where it goes; missing folders are made.
    pub path: String,
    /// Its permission bits.
    pub mode: u32,
}

/// The host asks for a file.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Get {
    /// Its path.
    pub path: String,
}

/// The host asks for the kernel's log.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct ReadLog {
    /// Lines with this sequence number or a later one.
    pub since: u64,
    /// Lines at this level or a graver (smaller) one.
    pub max_level: u8,
}

/// A part of the kernel's log; an `End` frame follows the last part.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct Log {
    /// The lines.
    pub lines: Vec<KernelLine>,
    /// The sequence number after the last line.
    pub next: u64,
}

/// Signal a command's process group.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Signal {
    /// The signal's number.
    pub signal: i32,
}

/// The level of a kernel warning; smaller is graver.
pub const LEVEL_WARNING: u8 = 4;

/// One line of the kernel's log.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct KernelLine {
    /// 0 emergency to 7 debug.
    pub level: u8,
    /// Its sequence number.
    pub seq: u64,
    /// Microseconds since the kernel started.
    pub time_us: u64,
    /// The text, without prefix and without the key=value lines.
    pub text: String,
}

impl KernelLine {
    /// Reads a record of `/dev/kmsg`: `prefix,sequence,microseconds,flags[,...];text`. `None` for a line that the kernel
    /// itself did not write (its facility is not 0).
    pub fn from_kmsg(record: &str) -> Option<Self> {
        let (prefix, text) = record.split_once(';')?;
        let mut fields = prefix.split(',');
        let priority: u32 = fields.next()?.parse().ok()?;
        let seq = fields.next()?.parse().ok()?;
        let time_us = fields.next()?.parse().ok()?;
        if priority >> 3 != 0 {
            return None;
        }
        let level = u8::try_from(priority & 7).ok()?;
        Some(Self { level, seq, time_us, text: text.lines().next().unwrap_or_default().to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kmsg_record_gives_level_sequence_time_and_first_line() {
        let line = KernelLine::from_kmsg("4,339,5140900,-;ioatdma: odd\n SUBSYSTEM=pci\n").unwrap();
        assert_eq!(line, KernelLine { level: 4, seq: 339, time_us: 5_140_900, text: "ioatdma: odd".into() });
    }

    #[test]
    fn a_line_from_user_space_is_not_the_kernels() {
        assert_eq!(KernelLine::from_kmsg("12,1,2,-;systemd says hello"), None);
        assert_eq!(KernelLine::from_kmsg("no record"), None);
    }
}
