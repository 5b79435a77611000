//! What a request means for the device: judged against its tables, carried out by the backend, answered into a reply.

use std::fs::File;
use std::os::fd::OwnedFd;

use vmm_sys_util::eventfd::EventFd;

use super::backend::{
    Backend, DmaMap, Errno, FileAccess, IRQS, Identity, IrqAction, IrqChange, REGIONS, RegionInfo, Select,
    irq, region,
};
use super::deviation::{Deviation, Message};
use super::negotiate::negotiate;
use super::reply::Reply;
use super::request::{Refusal, Request, SetIrqs};
use super::socket;
use super::wire::{
    self, DeviceInfoBody, IndexBody, MAX_VERSION_REPLY_BYTES, RegionInfoBody, WriteEntry, WriteMultiBody,
    flag,
};

/// One connection's view of the device.
pub(crate) struct Dispatch<'a> {
    backend: &'a dyn Backend,
    identity: Identity,
    /// The most data of one access; `None` until VERSION succeeded.
    max_data_bytes: Option<u32>,
    resamples: Vec<Resample>,
}

/// An eventfd that the client wants to unmask a vector with (SET_IRQS with UNMASK and eventfd data).
struct Resample {
    index: u32,
    vector: u32,
    eventfd: EventFd,
}

impl<'a> Dispatch<'a> {
    pub(crate) fn new(backend: &'a dyn Backend) -> Dispatch<'a> {
        Dispatch { backend, identity: backend.identity(), max_data_bytes: None, resamples: Vec::new() }
    }

    /// Whether VERSION succeeded.
    pub(crate) fn negotiated(&self) -> bool {
        self.max_data_bytes.is_some()
    }

    /// What is to become of a message instead of what the protocol says.
    pub(crate) fn deviation(&self, message: &Message) -> Deviation {
        Deviation::of(self.backend.deviation(message), message)
    }

    /// The fault `kill`.
    pub(crate) fn kill(&self) {
        self.backend.kill();
    }

    /// Carries out a request. `fds` is what came with it; what is not consumed is closed here.
    pub(crate) fn run(
        &mut self,
        request: Request<'_>,
        fds: Vec<OwnedFd>,
        reply: &mut Reply,
    ) -> Result<(), Refusal> {
        if let Request::Version { major, minor, data } = request {
            return self.version(major, minor, data, reply);
        }
        let Some(max_data_bytes) = self.max_data_bytes else {
            return Err(Refusal::AnswerAndClose(Errno::EINVAL));
        };
        match request {
            Request::Version { .. } => Err(Errno::EINVAL),
            Request::DmaMap { iova, size, offset, read, write, access } => {
                self.dma_map(DmaMap { iova, size, offset, read, write, file: None, access }, fds)
            }
            Request::DmaUnmap { what, echo } => {
                reply.put_bytes(echo);
                self.backend.dma_unmap(what)
            }
            Request::DeviceInfo => self.device_info(reply),
            Request::RegionInfo { index } => self.region_info(index, reply),
            Request::RegionIoFds { index } => self.region_io_fds(index, reply),
            Request::IrqInfo { index } => self.irq_info(index, reply),
            Request::SetIrqs(request) => self.set_irqs(request, fds),
            Request::RegionRead { region, offset, count, echo } => {
                reply.put_bytes(echo);
                self.region_read(region, offset, count, max_data_bytes, reply)
            }
            Request::RegionWrite { region, offset, data, echo } => {
                reply.put_bytes(echo);
                self.region_write(region, offset, data, max_data_bytes)
            }
            Request::RegionWriteMulti { entries } => self.region_write_multi(entries, reply),
            Request::DeviceReset => {
                self.backend.reset();
                Ok(())
            }
            Request::DeviceFeature => Err(Errno::ENOTTY),
        }
        .map_err(Refusal::Answer)
    }

    /// The eventfds to watch, in an order that [`Dispatch::resample`] understands.
    pub(crate) fn resamples(&self) -> impl Iterator<Item = &EventFd> {
        self.resamples.iter().map(|resample| &resample.eventfd)
    }

    /// The `nth` of [`Dispatch::resamples`] fired: unmask its vector.
    pub(crate) fn resample(&mut self, nth: usize) {
        let Some(Resample { index, vector, eventfd }) = self.resamples.get(nth) else { return };
        // Non-blocking, and only emptied: what counts is that it fired.
        let _ = eventfd.read();
        let action = IrqAction::Unmask(Select::All);
        let change = IrqChange { index: *index, vectors: *vector..*vector + 1, action };
        if let Err(errno) = self.backend.set_irq(change) {
            log::warn!("cannot unmask interrupt {index} vector {vector} on its eventfd: {errno}");
        }
    }

    fn version(&mut self, major: u16, minor: u16, data: &[u8], reply: &mut Reply) -> Result<(), Refusal> {
        if self.negotiated() {
            return Err(Refusal::Answer(Errno::EINVAL));
        }
        let agreement = negotiate(major, minor, data).map_err(Refusal::AnswerAndClose)?;
        assert!(wire::HEADER_BYTES + 4 + agreement.reply_data.len() <= MAX_VERSION_REPLY_BYTES);
        self.max_data_bytes = Some(agreement.max_data_bytes);
        reply.put(&wire::Version { major: major.into(), minor: agreement.minor.into() });
        reply.put_bytes(&agreement.reply_data);
        Ok(())
    }

    fn dma_map(&self, mut map: DmaMap, fds: Vec<OwnedFd>) -> Result<(), Errno> {
        if let Some(fd) = fds.into_iter().next() {
            map.file = Some(check_memory_file(fd.into(), &map)?);
        }
        self.backend.dma_map(map)
    }

    fn device_info(&self, reply: &mut Reply) -> Result<(), Errno> {
        reply.put(&DeviceInfoBody {
            argsz: size_u32::<DeviceInfoBody>().into(),
            flags: (flag::DEVICE_PCI | flag::DEVICE_RESET).into(),
            num_regions: count_u32(REGIONS).into(),
            num_irqs: count_u32(IRQS).into(),
        });
        Ok(())
    }

    fn region_info(&self, index: u32, reply: &mut Reply) -> Result<(), Errno> {
        let RegionInfo { size, flags } = self.region(index)?;
        reply.put(&RegionInfoBody {
            argsz: size_u32::<RegionInfoBody>().into(),
            flags: flags.into(),
            index: index.into(),
            cap_offset: 0.into(),
            size: size.into(),
            offset: 0.into(),
        });
        Ok(())
    }

    /// We offer no ioeventfds: an empty list.
    fn region_io_fds(&self, index: u32, reply: &mut Reply) -> Result<(), Errno> {
        self.region(index)?;
        let argsz = size_u32::<IndexBody>().into();
        reply.put(&IndexBody { argsz, flags: 0.into(), index: index.into(), count: 0.into() });
        Ok(())
    }

    fn irq_info(&self, index: u32, reply: &mut Reply) -> Result<(), Errno> {
        let info = self.identity.irqs.get(index as usize).ok_or(Errno::EINVAL)?;
        let argsz = size_u32::<IndexBody>().into();
        reply.put(&IndexBody {
            argsz,
            flags: info.flags.into(),
            index: index.into(),
            count: info.count.into(),
        });
        Ok(())
    }

    fn region_read(
        &self,
        index: u32,
        offset: u64,
        count: u32,
        max_data_bytes: u32,
        reply: &mut Reply,
    ) -> Result<(), Errno> {
        if count > max_data_bytes {
            return Err(Errno::EINVAL);
        }
        self.check_access(index, offset, u64::from(count), region::READ)?;
        if count == 0 {
            return Ok(());
        }
        self.backend.read(index, offset, reply.put_zeros(count as usize))
    }

    fn region_write(&self, index: u32, offset: u64, data: &[u8], max_data_bytes: u32) -> Result<(), Errno> {
        if data.len() > max_data_bytes as usize {
            return Err(Errno::EINVAL);
        }
        self.check_access(index, offset, data.len() as u64, region::WRITE)?;
        if data.is_empty() {
            return Ok(());
        }
        self.backend.write(index, offset, data)
    }

    /// In order, up to the first that fails; the reply says how many were done.
    fn region_write_multi(&self, entries: &[WriteEntry], reply: &mut Reply) -> Result<(), Errno> {
        let one = |entry: &WriteEntry| {
            let data = entry.data.get(..entry.count.get() as usize).ok_or(Errno::EINVAL)?;
            self.region_write(entry.region.get(), entry.offset.get(), data, u32::MAX)
        };
        let done = entries.iter().take_while(|entry| one(entry).is_ok()).count();
        reply.put(&WriteMultiBody { wr_cnt: (done as u64).into() });
        Ok(())
    }

    fn set_irqs(&mut self, request: SetIrqs<'_>, fds: Vec<OwnedFd>) -> Result<(), Errno> {
        let SetIrqs { index, start, count, data, action, bools } = request;
        let info = self.identity.irqs.get(index as usize).ok_or(Errno::EINVAL)?;
        let end = start.checked_add(count).filter(|end| *end <= info.count).ok_or(Errno::EINVAL)?;
        if action != flag::IRQ_TRIGGER && info.flags & irq::MASKABLE == 0 {
            return Err(Errno::EINVAL);
        }
        let eventfds: Vec<EventFd> = fds
            .into_iter()
            .map(|fd| socket::into_eventfd(fd).ok_or(Errno::EINVAL))
            .collect::<Result<_, _>>()?;
        let select = match data {
            flag::IRQ_DATA_BOOL => Select::Where(bools.iter().map(|byte| *byte != 0).collect()),
            _ => Select::All,
        };
        let action = match (action, data) {
            (flag::IRQ_TRIGGER, flag::IRQ_DATA_EVENTFD) if eventfds.is_empty() => IrqAction::Deassign,
            (flag::IRQ_TRIGGER, flag::IRQ_DATA_EVENTFD) => IrqAction::Assign(eventfds),
            (flag::IRQ_TRIGGER, _) if count == 0 => {
                self.resamples.retain(|resample| resample.index != index);
                IrqAction::Disable
            }
            (flag::IRQ_TRIGGER, _) => IrqAction::Trigger(select),
            (flag::IRQ_UNMASK, flag::IRQ_DATA_EVENTFD) => {
                self.set_resamples(index, start..end, eventfds);
                return Ok(());
            }
            (flag::IRQ_UNMASK, _) => IrqAction::Unmask(select),
            (flag::IRQ_MASK, flag::IRQ_DATA_EVENTFD) => return Err(Errno::EINVAL),
            (flag::IRQ_MASK, _) => IrqAction::Mask(select),
            _ => return Err(Errno::EINVAL),
        };
        self.backend.set_irq(IrqChange { index, vectors: start..end, action })
    }

    fn set_resamples(&mut self, index: u32, vectors: std::ops::Range<u32>, eventfds: Vec<EventFd>) {
        self.resamples.retain(|old| old.index != index || !vectors.contains(&old.vector));
        let new = vectors.zip(eventfds).map(|(vector, eventfd)| Resample { index, vector, eventfd });
        self.resamples.extend(new);
    }

    fn region(&self, index: u32) -> Result<RegionInfo, Errno> {
        self.identity.regions.get(index as usize).copied().ok_or(Errno::EINVAL)
    }

    fn check_access(&self, index: u32, offset: u64, count: u64, right: u32) -> Result<(), Errno> {
        let RegionInfo { size, flags } = self.region(index)?;
        let inside = offset.checked_add(count).is_some_and(|end| end <= size);
        // An absent region has no flags, so not even an access of no bytes passes.
        if inside && flags & right != 0 { Ok(()) } else { Err(Errno::EINVAL) }
    }
}

/// A map's file has to be memory-like (memfd, tmpfs, hugetlbfs and disk files are all regular), as long as the map says, and
/// open for what the map permits. `mmap` needs it readable in any case.
fn check_memory_file(file: File, map: &DmaMap) -> Result<File, Errno> {
    let metadata = file.metadata()?;
    let end = map.offset.checked_add(map.size).ok_or(Errno::EINVAL)?;
    let (readable, writable) = socket::open_mode(&file)?;
    let needs_read = map.read || map.access == FileAccess::Mmap;
    let permitted = (readable || !needs_read) && (writable || !map.write);
    if metadata.is_file() && end <= metadata.len() && permitted { Ok(file) } else { Err(Errno::EINVAL) }
}

/// The structures and tables here are far below 4 GiB.
fn size_u32<T>() -> u32 {
    count_u32(size_of::<T>())
}

fn count_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
