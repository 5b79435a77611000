//! From a frame to a request: structure alone, no device, no socket, no state. Total: every input gives a value.

use zerocopy::FromBytes;

use super::backend::{DmaUnmap, Errno, FileAccess};
use super::wire::{self, Header, MAX_MESSAGE_FDS, WriteEntry, command, flag};

/// A well-formed request. The numbers fit together; whether the device has such a region or vector is not known here.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the fields are the protocol's own")]
pub enum Request<'a> {
    /// `data` is the JSON with its NUL, or empty.
    Version {
        major: u16,
        minor: u16,
        data: &'a [u8],
    },
    DmaMap {
        iova: u64,
        size: u64,
        offset: u64,
        read: bool,
        write: bool,
        access: FileAccess,
    },
    /// `echo` is the structure, which the reply repeats.
    DmaUnmap {
        what: DmaUnmap,
        echo: &'a [u8],
    },
    DeviceInfo,
    RegionInfo {
        index: u32,
    },
    RegionIoFds {
        index: u32,
    },
    IrqInfo {
        index: u32,
    },
    SetIrqs(SetIrqs<'a>),
    RegionRead {
        region: u32,
        offset: u64,
        count: u32,
        echo: &'a [u8],
    },
    RegionWrite {
        region: u32,
        offset: u64,
        data: &'a [u8],
        echo: &'a [u8],
    },
    RegionWriteMulti {
        entries: &'a [WriteEntry],
    },
    DeviceReset,
    DeviceFeature,
}

/// DEVICE_SET_IRQS with exactly one action and exactly one kind of data.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the fields are the protocol's own")]
pub struct SetIrqs<'a> {
    pub index: u32,
    pub start: u32,
    pub count: u32,
    /// One of the `flag::IRQ_DATA_*` bits.
    pub data: u32,
    /// One of `flag::IRQ_MASK`, `IRQ_UNMASK`, `IRQ_TRIGGER`.
    pub action: u32,
    /// `count` bytes for `IRQ_DATA_BOOL`, else empty.
    pub bools: &'a [u8],
}

/// Why a frame is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Answer with an error, go on with the next message.
    Answer(Errno),
    /// Answer with an error, then close: the client cannot be talked to.
    AnswerAndClose(Errno),
    /// Not a request at all, or one that asks for data and for silence: no answer.
    Ignore,
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Refusal {
        Refusal::Answer(errno)
    }
}

const INVALID: Refusal = Refusal::Answer(Errno::EINVAL);

/// Decodes a message's payload. `fds` is how many file descriptors came with it.
pub fn decode<'a>(header: &Header, payload: &'a [u8], fds: usize) -> Result<Request<'a>, Refusal> {
    let (command, flags) = (header.command.get(), header.flags.get());
    // A reply to nothing: this server sends no commands yet, so no reply is awaited.
    if flags & flag::TYPE != flag::COMMAND {
        return Err(Refusal::Ignore);
    }
    if flags & flag::NO_REPLY != 0 && returns_data(command) {
        return Err(Refusal::Ignore);
    }
    if fds > most_fds(command) {
        return Err(INVALID);
    }
    match command {
        command::VERSION => version(payload),
        command::DMA_MAP => dma_map(payload, fds),
        command::DMA_UNMAP => dma_unmap(payload),
        command::DEVICE_GET_INFO => device_info(payload),
        command::DEVICE_GET_REGION_INFO => region_info(payload),
        command::DEVICE_GET_REGION_IO_FDS => index(payload).map(|index| Request::RegionIoFds { index }),
        command::DEVICE_GET_IRQ_INFO => index(payload).map(|index| Request::IrqInfo { index }),
        command::DEVICE_SET_IRQS => set_irqs(payload, fds),
        command::REGION_READ => region_read(payload),
        command::REGION_WRITE => region_write(payload),
        command::REGION_WRITE_MULTI => region_write_multi(payload),
        command::DEVICE_RESET => Ok(Request::DeviceReset),
        command::DEVICE_FEATURE => device_feature(payload),
        _ => Err(Refusal::Answer(Errno::ENOSYS)),
    }
}

/// Whether a command's reply carries data, so that No_reply makes no sense on it.
fn returns_data(command: u16) -> bool {
    matches!(
        command,
        command::VERSION
            | command::DEVICE_GET_INFO
            | command::DEVICE_GET_REGION_INFO
            | command::DEVICE_GET_REGION_IO_FDS
            | command::DEVICE_GET_IRQ_INFO
            | command::REGION_READ
            | command::DEVICE_FEATURE
            | command::MIG_DATA_READ
    )
}

fn most_fds(command: u16) -> usize {
    match command {
        command::DMA_MAP => 1,
        command::DEVICE_SET_IRQS => MAX_MESSAGE_FDS,
        _ => 0,
    }
}

/// The fixed structure at the front of a payload, and the rest.
fn front<T: FromBytes + zerocopy::KnownLayout + zerocopy::Immutable + zerocopy::Unaligned>(
    payload: &[u8],
) -> Result<(&T, &[u8]), Refusal> {
    T::ref_from_prefix(payload).map_err(|_| INVALID)
}

/// `argsz` says how much room the client has; less than the fixed structure is an error, more is the client's business.
fn check_argsz<T>(argsz: u32) -> Result<(), Refusal> {
    if (argsz as usize) < size_of::<T>() { Err(INVALID) } else { Ok(()) }
}

fn version(payload: &[u8]) -> Result<Request<'_>, Refusal> {
    let (body, data) = front::<wire::Version>(payload)?;
    Ok(Request::Version { major: body.major.get(), minor: body.minor.get(), data })
}

fn dma_map(payload: &[u8], fds: usize) -> Result<Request<'_>, Refusal> {
    let (body, _) = front::<wire::DmaMapBody>(payload)?;
    check_argsz::<wire::DmaMapBody>(body.argsz.get())?;
    let flags = body.flags.get();
    let known = flag::MAP_READ | flag::MAP_WRITE | flag::MAP_BY_MMAP | flag::MAP_BY_FILE_IO;
    let permission = flags & (flag::MAP_READ | flag::MAP_WRITE);
    // As in VFIO type 1, a map without any permission is a mistake.
    if flags & !known != 0 || permission == 0 {
        return Err(INVALID);
    }
    let access = match flags & (flag::MAP_BY_MMAP | flag::MAP_BY_FILE_IO) {
        0 => FileAccess::Mmap,
        flag::MAP_BY_MMAP if fds == 1 => FileAccess::Mmap,
        flag::MAP_BY_FILE_IO if fds == 1 => FileAccess::Io,
        _ => return Err(INVALID),
    };
    let (iova, size, offset) = (body.address.get(), body.size.get(), body.offset.get());
    check_span(iova, size)?;
    if fds == 1 {
        // The end in the file has to be an off_t.
        let end = offset.checked_add(size).ok_or(INVALID)?;
        i64::try_from(end).map_err(|_| INVALID)?;
    }
    let (read, write) = (flags & flag::MAP_READ != 0, flags & flag::MAP_WRITE != 0);
    Ok(Request::DmaMap { iova, size, offset, read, write, access })
}

fn dma_unmap(payload: &[u8]) -> Result<Request<'_>, Refusal> {
    let (body, _) = front::<wire::DmaUnmapBody>(payload)?;
    check_argsz::<wire::DmaUnmapBody>(body.argsz.get())?;
    let (iova, size) = (body.address.get(), body.size.get());
    let what = match body.flags.get() {
        0 => {
            check_span(iova, size)?;
            DmaUnmap::Range { iova, size }
        }
        flag::UNMAP_ALL if iova == 0 && size == 0 => DmaUnmap::All,
        _ => return Err(INVALID),
    };
    let echo = &payload[..size_of::<wire::DmaUnmapBody>()];
    Ok(Request::DmaUnmap { what, echo })
}

/// A range of the bus: not empty, and its last byte has an address. Its end may be 2^64.
fn check_span(iova: u64, size: u64) -> Result<(), Refusal> {
    let last = size.checked_sub(1).ok_or(INVALID)?;
    iova.checked_add(last).map(|_| ()).ok_or(INVALID)
}

fn device_info(payload: &[u8]) -> Result<Request<'_>, Refusal> {
    let (body, _) = front::<wire::DeviceInfoBody>(payload)?;
    check_argsz::<wire::DeviceInfoBody>(body.argsz.get())?;
    Ok(Request::DeviceInfo)
}

fn region_info(payload: &[u8]) -> Result<Request<'_>, Refusal> {
    let (body, _) = front::<wire::RegionInfoBody>(payload)?;
    check_argsz::<wire::RegionInfoBody>(body.argsz.get())?;
    Ok(Request::RegionInfo { index: body.index.get() })
}

fn index(payload: &[u8]) -> Result<u32, Refusal> {
    let (body, _) = front::<wire::IndexBody>(payload)?;
    check_argsz::<wire::IndexBody>(body.argsz.get())?;
    Ok(body.index.get())
}

fn set_irqs(payload: &[u8], fds: usize) -> Result<Request<'_>, Refusal> {
    const DATA: u32 = flag::IRQ_DATA_NONE | flag::IRQ_DATA_BOOL | flag::IRQ_DATA_EVENTFD;
    const ACTION: u32 = flag::IRQ_MASK | flag::IRQ_UNMASK | flag::IRQ_TRIGGER;
    let (body, rest) = front::<wire::SetIrqsBody>(payload)?;
    check_argsz::<wire::SetIrqsBody>(body.argsz.get())?;
    let (flags, start, count) = (body.flags.get(), body.start.get(), body.count.get());
    let (data, action) = (flags & DATA, flags & ACTION);
    let one_of_each = data.count_ones() == 1 && action.count_ones() == 1;
    if flags & !(DATA | ACTION) != 0 || !one_of_each || start.checked_add(count).is_none() {
        return Err(INVALID);
    }
    let fds_fit = fds == 0 || (data == flag::IRQ_DATA_EVENTFD && fds == count as usize);
    let bools = if data == flag::IRQ_DATA_BOOL { rest } else { &[] };
    let bools_fit = data != flag::IRQ_DATA_BOOL || bools.len() == count as usize;
    // Count 0 means "disable the index", and is nothing else.
    let disables = data == flag::IRQ_DATA_NONE && action == flag::IRQ_TRIGGER && start == 0;
    if !fds_fit || !bools_fit || (count == 0 && !disables) {
        return Err(INVALID);
    }
    Ok(Request::SetIrqs(SetIrqs { index: body.index.get(), start, count, data, action, bools }))
}

fn region_read(payload: &[u8]) -> Result<Request<'_>, Refusal> {
    let (body, _) = front::<wire::RegionAccessBody>(payload)?;
    let echo = &payload[..size_of::<wire::RegionAccessBody>()];
    let (region, offset, count) = (body.region.get(), body.offset.get(), body.count.get());
    Ok(Request::RegionRead { region, offset, count, echo })
}

fn region_write(payload: &[u8]) -> Result<Request<'_>, Refusal> {
    let (body, data) = front::<wire::RegionAccessBody>(payload)?;
    if data.len() != body.count.get() as usize {
        return Err(INVALID);
    }
    let echo = &payload[..size_of::<wire::RegionAccessBody>()];
    Ok(Request::RegionWrite { region: body.region.get(), offset: body.offset.get(), data, echo })
}

fn region_write_multi(payload: &[u8]) -> Result<Request<'_>, Refusal> {
    let (body, rest) = front::<wire::WriteMultiBody>(payload)?;
    let entries = <[WriteEntry]>::ref_from_bytes(rest).map_err(|_| INVALID)?;
    if entries.len() as u64 != body.wr_cnt.get() {
        return Err(INVALID);
    }
    Ok(Request::RegionWriteMulti { entries })
}

fn device_feature(payload: &[u8]) -> Result<Request<'_>, Refusal> {
    let (body, _) = front::<wire::FeatureBody>(payload)?;
    check_argsz::<wire::FeatureBody>(body.argsz.get())?;
    Ok(Request::DeviceFeature)
}
