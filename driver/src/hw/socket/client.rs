//! The commands of vfio-user, one function each: what is asked, and what of the answer is believed.

use std::os::fd::RawFd;

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::connection::{Connection, Request};
use super::failure::Failed;
use super::wire::{
    Command, DeviceInfo, DmaMap, DmaUnmap, IRQS_EVENTFD, IRQS_OFF, IRQS_UNMASK, IrqInfo, RegionAccess,
    RegionInfo, SetIrqs, Version,
};

/// Proposed in VERSION. The server may answer with less.
const CAPABILITIES: &[u8] =
    b"{\"capabilities\":{\"max_msg_fds\":16,\"max_data_xfer_size\":1048576,\"pgsizes\":4096}}\0";

/// Longest version data that is read.
const VERSION_DATA: usize = 4096;

/// Most bytes of one region access, above any configuration space.
pub(super) const ACCESS: usize = 4096;

/// The protocol's default for a server that does not say how many descriptors it takes in a message.
const DEFAULT_FDS: u64 = 1;

/// Most that are sent in one message, whatever the server would take.
const MOST_FDS: u64 = 16;

/// A negotiated connection.
pub(super) struct Client {
    pub(super) connection: Connection,
    fds_per_message: usize,
}

impl Client {
    /// Negotiates version and capabilities.
    pub(super) fn negotiate(connection: Connection) -> Result<Self, Failed> {
        let command = Command::Version;
        let proposed = Version { major: 0.into(), minor: 1.into() };
        let request = Request { command, parts: [proposed.as_bytes(), CAPABILITIES], fds: &[] };
        let mut reply = [0; size_of::<Version>() + VERSION_DATA];
        let len = connection.request(&request, &mut reply)?;
        let Ok((version, data)) = Version::read_from_prefix(&reply[..len]) else {
            return Err(connection.malformed(command, format!("{len} bytes")));
        };
        let (major, minor) = (version.major.get(), version.minor.get());
        if major != 0 || minor > 1 {
            return Err(connection.malformed(command, format!("version {major}.{minor}, not 0.0 or 0.1")));
        }
        let limit = fds_limit(data).map_err(|what| connection.malformed(command, what))?;
        // A server that takes none could not be given memory; then DMA_MAP says so.
        let fds_per_message = usize::try_from(limit.clamp(1, MOST_FDS)).unwrap_or(1);
        Ok(Self { connection, fds_per_message })
    }

    pub(super) fn device_info(&self) -> Result<DeviceInfo, Failed> {
        let asked = DeviceInfo { argsz: size::<DeviceInfo>(), ..Default::default() };
        self.fixed(Command::DeviceGetInfo, &asked)
    }

    /// The fixed part; capabilities (mappable areas) are not asked for: the argsz leaves them no room.
    pub(super) fn region_info(&self, index: u32) -> Result<RegionInfo, Failed> {
        let command = Command::DeviceGetRegionInfo;
        let asked = RegionInfo { argsz: size::<RegionInfo>(), index: index.into(), ..Default::default() };
        let info: RegionInfo = self.fixed(command, &asked)?;
        self.same(command, "region", index, info.index.get())?;
        Ok(info)
    }

    pub(super) fn irq_info(&self, index: u32) -> Result<IrqInfo, Failed> {
        let command = Command::DeviceGetIrqInfo;
        let asked = IrqInfo { argsz: size::<IrqInfo>(), index: index.into(), ..Default::default() };
        let info: IrqInfo = self.fixed(command, &asked)?;
        self.same(command, "interrupt index", index, info.index.get())?;
        Ok(info)
    }

    /// Has the first vectors of `index` signal `events`, in as many messages as their number needs.
    pub(super) fn irqs_on(&self, index: u32, events: &[RawFd]) -> Result<(), Failed> {
        let mut start = 0_u32;
        for events in events.chunks(self.fds_per_message) {
            let count = u32::try_from(events.len()).unwrap_or(u32::MAX);
            self.set_irqs(IRQS_EVENTFD, index, start, count, events)?;
            start += count;
        }
        Ok(())
    }

    pub(super) fn irqs_off(&self, index: u32) -> Result<(), Failed> {
        self.set_irqs(IRQS_OFF, index, 0, 0, &[])
    }

    /// Lets the first interrupt of `index` fire again.
    pub(super) fn irq_unmask(&self, index: u32) -> Result<(), Failed> {
        self.set_irqs(IRQS_UNMASK, index, 0, 1, &[])
    }

    fn set_irqs(&self, flags: u32, index: u32, start: u32, count: u32, fds: &[RawFd]) -> Result<(), Failed> {
        let [flags, index, start, count] = [flags, index, start, count].map(Into::into);
        let payload = SetIrqs { argsz: size::<SetIrqs>(), flags, index, start, count };
        let request = Request { command: Command::DeviceSetIrqs, parts: [payload.as_bytes(), &[]], fds };
        self.empty(&request)
    }

    /// Reads `data.len()` bytes, at most [`ACCESS`]. Returns how many the device gave.
    pub(super) fn region_read(&self, region: u32, offset: u64, data: &mut [u8]) -> Result<usize, Failed> {
        let command = Command::RegionRead;
        let asked = access(region, offset, data.len());
        let mut reply = [0; size_of::<RegionAccess>() + ACCESS];
        let room = size_of::<RegionAccess>() + data.len().min(ACCESS);
        let len = self.connection.request(&Request::new(command, asked.as_bytes()), &mut reply[..room])?;
        let given = self.echoed(command, asked, &reply[..len])?;
        data[..given.len()].copy_from_slice(given);
        Ok(given.len())
    }

    /// Writes `data`, at most [`ACCESS`] bytes. Returns how many the device took.
    pub(super) fn region_write(&self, region: u32, offset: u64, data: &[u8]) -> Result<usize, Failed> {
        let command = Command::RegionWrite;
        let asked = access(region, offset, data.len());
        let request = Request { command, parts: [asked.as_bytes(), data], fds: &[] };
        let mut reply = [0; size_of::<RegionAccess>()];
        let len = self.connection.request(&request, &mut reply)?;
        let taken = RegionAccess::read_from_bytes(&reply[..len]).ok();
        let taken = taken.filter(|taken| same_place(*taken, asked) && taken.count.get() <= asked.count.get());
        let taken =
            taken.ok_or_else(|| self.connection.malformed(command, "it is not the request's".into()))?;
        Ok(usize::try_from(taken.count.get()).unwrap_or(0))
    }

    /// Writes `data` without waiting: an error is never seen.
    pub(super) fn region_post(&self, region: u32, offset: u64, data: &[u8]) -> Result<(), Failed> {
        let asked = access(region, offset, data.len());
        let parts = [asked.as_bytes(), data];
        self.connection.post(&Request { command: Command::RegionWrite, parts, fds: &[] })
    }

    /// Shares `size` bytes of the file `fd` from `offset` on, at `address`; `flags` say what the device may do with them.
    pub(super) fn dma_map(
        &self,
        (address, size): (u64, u64),
        flags: u32,
        fd: RawFd,
        offset: u64,
    ) -> Result<(), Failed> {
        let argsz = self::size::<DmaMap>();
        let [offset, address, size] = [offset, address, size].map(Into::into);
        let payload = DmaMap { argsz, flags: flags.into(), offset, address, size };
        let request = Request { command: Command::DmaMap, parts: [payload.as_bytes(), &[]], fds: &[fd] };
        self.empty(&request)
    }

    /// The device has stopped using the range when this returns.
    pub(super) fn dma_unmap(&self, address: u64, size: u64) -> Result<(), Failed> {
        let command = Command::DmaUnmap;
        let argsz = self::size::<DmaUnmap>();
        let asked = DmaUnmap { argsz, flags: 0.into(), address: address.into(), size: size.into() };
        let given: DmaUnmap = self.fixed(command, &asked)?;
        self.same(command, "address", asked.address.get(), given.address.get())
    }

    pub(super) fn device_reset(&self) -> Result<(), Failed> {
        self.empty(&Request::new(Command::DeviceReset, &[]))
    }

    /// A request whose answer is as large as its question.
    fn fixed<T>(&self, command: Command, asked: &T) -> Result<T, Failed>
    where
        T: FromBytes + FromZeros + IntoBytes + Immutable + KnownLayout,
    {
        let mut given = T::new_zeroed();
        let request = Request::new(command, asked.as_bytes());
        let len = self.connection.request(&request, given.as_mut_bytes())?;
        if len == size_of::<T>() {
            return Ok(given);
        }
        Err(self.connection.malformed(command, format!("{len} bytes, not {}", size_of::<T>())))
    }

    /// A request whose answer is a header alone.
    fn empty(&self, request: &Request<'_>) -> Result<(), Failed> {
        self.connection.request(request, &mut []).map(|_| ())
    }

    fn same<T: PartialEq + std::fmt::Display>(
        &self,
        command: Command,
        what: &str,
        asked: T,
        given: T,
    ) -> Result<(), Failed> {
        if asked == given {
            return Ok(());
        }
        Err(self.connection.malformed(command, format!("{what} {given}, asked was {asked}")))
    }

    /// The data behind a read's repeated request.
    fn echoed<'a>(&self, command: Command, asked: RegionAccess, reply: &'a [u8]) -> Result<&'a [u8], Failed> {
        let parsed = RegionAccess::read_from_prefix(reply).ok();
        let ours = parsed.filter(|(given, data)| {
            let count = usize::try_from(given.count.get()).unwrap_or(usize::MAX);
            same_place(*given, asked) && count == data.len()
        });
        let ours = ours.map(|(_, data)| data);
        ours.ok_or_else(|| self.connection.malformed(command, "it is not the request's".into()))
    }
}

fn access(region: u32, offset: u64, len: usize) -> RegionAccess {
    let count = u32::try_from(len).unwrap_or(u32::MAX);
    RegionAccess { offset: offset.into(), region: region.into(), count: count.into() }
}

fn same_place(given: RegionAccess, asked: RegionAccess) -> bool {
    given.offset == asked.offset && given.region == asked.region
}

fn size<T>() -> zerocopy::little_endian::U32 {
    u32::try_from(size_of::<T>()).unwrap_or(0).into()
}

/// `max_msg_fds` of the server's version data: JSON, and a NUL that some leave out; none at all is allowed.
fn fds_limit(data: &[u8]) -> Result<u64, String> {
    let text = data.split(|byte| *byte == 0).next().unwrap_or(&[]);
    if text.is_empty() {
        return Ok(DEFAULT_FDS);
    }
    let json: serde_json::Value =
        serde_json::from_slice(text).map_err(|error| format!("its capabilities are not JSON: {error}"))?;
    let limit = json.get("capabilities").and_then(|capabilities| capabilities.get("max_msg_fds"));
    match limit {
        None => Ok(DEFAULT_FDS),
        Some(limit) => limit.as_u64().ok_or_else(|| format!("max_msg_fds is {limit}")),
    }
}
