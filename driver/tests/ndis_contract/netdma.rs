//! NetDmaIsr and NetDmaInterruptDpc (ND-I3 to ND-I10), the provider's life (1.9), and the channel's states.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};

use netdma::contract::{
    AbortDma, Call, Chain, ChannelCpuAffinity, ChannelError, ChannelParameters, ChannelRequest, ChannelState,
    Completed, Completion, CompletionLocation, CompletionValue, CpuNumber, CpuSet32, DescriptorAddr,
    DmaLocation, FirstDescriptor, NetDmaChannel, NetDmaChannelHandle, NetDmaClient, NetDmaInterface,
    NetDmaProvider, NetDmaStatus, NetDmaVersion, PhysAddr, ProviderAttributes, ProviderChannelContext,
    ProviderCharacteristics, ProviderHandle, ResetChannel, SetDmaChannelCpuAffinity, Started, SuspendResume,
    TransferStatus,
};
use netdma::hw::{DmaBuffer, Grants, HwError};
use netdma::irql::{self, AtDirql, AtDispatch, AtMostDispatch, AtPassive, Irql};
use netdma::ndis::{DpcCall, DpcRequest, IsrResult, MessageId, Processors};
use vm_memory::MmapRegion;

use crate::rig::{Held, LIMIT, Plan, Rig, asks, passive, pause, processors};

pub(crate) const IOVA: u64 = 0x10_0000;

struct StaysMapped;

impl Grants for StaysMapped {
    fn withdraw(&self, _: u64, _: usize) -> Result<(), HwError> {
        Ok(())
    }
}

/// Descriptors in page 1.
const SLOTS: u64 = 64;

/// Page 0 holds the completion words, page 1 the descriptors, linked in a ring.
pub(crate) fn memory() -> Arc<DmaBuffer> {
    let memory = DmaBuffer::new(MmapRegion::new(0x2000).unwrap(), IOVA, Arc::new(StaysMapped));
    for index in 0..SLOTS {
        link(&memory, index, (index + 1) % SLOTS);
    }
    Arc::new(memory)
}

/// Writes NextDescriptor.
pub(crate) fn link(memory: &DmaBuffer, from: u64, to: u64) {
    let offset = usize::try_from(descriptor(from).get() - IOVA).unwrap() + 24;
    memory.store_u64(offset, descriptor(to).get()).unwrap();
}

pub(crate) fn descriptor(index: u64) -> DescriptorAddr {
    DescriptorAddr::new(IOVA + 0x1000 + 64 * index).unwrap()
}

pub(crate) fn chain<'a>(memory: &Arc<DmaBuffer>, descriptors: &'a [DescriptorAddr]) -> Chain<'a> {
    let offset = usize::try_from(descriptors[0].get() - IOVA).unwrap();
    Chain { first: DmaLocation::new(memory.clone(), offset, 64, 64).unwrap(), descriptors }
}

/// A provider whose engine is the test: it stores the completion value and rings the vector.
#[derive(Default)]
pub(crate) struct TestProvider {
    pub(crate) calls: Mutex<Vec<&'static str>>,
    pub(crate) affinities: Mutex<Vec<ChannelCpuAffinity>>,
    pub(crate) channels: Mutex<Vec<(NetDmaChannelHandle, CompletionLocation)>>,
    pub(crate) refuse: Mutex<Option<NetDmaStatus>>,
}

impl TestProvider {
    fn call(&self, name: &'static str) -> Result<(), NetDmaStatus> {
        self.calls.lock().unwrap().push(name);
        self.refuse.lock().unwrap().map_or(Ok(()), Err)
    }
}

impl NetDmaProvider for TestProvider {
    fn set_affinity(&self) -> Option<&dyn SetDmaChannelCpuAffinity> {
        Some(self)
    }

    fn allocate_dma_channel(
        &self,
        parameters: &mut ChannelParameters,
        channel: NetDmaChannelHandle,
        _: &dyn AtMostDispatch,
    ) -> Result<ProviderChannelContext, NetDmaStatus> {
        self.call("allocate")?;
        let mut channels = self.channels.lock().unwrap();
        parameters.cpu_number = parameters.processor_affinity_mask.iter().last();
        channels.push((channel, parameters.completion.clone()));
        Ok(ProviderChannelContext(channels.len() as u64 - 1))
    }

    fn free_dma_channel(&self, _: ProviderChannelContext, _: &dyn AtMostDispatch) {
        self.call("free").unwrap();
    }

    fn start_dma(
        &self,
        _: ProviderChannelContext,
        _: &FirstDescriptor,
        _: &dyn AtMostDispatch,
    ) -> Result<(), NetDmaStatus> {
        self.call("start")
    }

    fn append_dma(
        &self,
        _: ProviderChannelContext,
        _: &FirstDescriptor,
        _: &dyn AtMostDispatch,
    ) -> Result<(), NetDmaStatus> {
        self.call("append")
    }

    fn suspend_resume(&self) -> Option<&dyn SuspendResume> {
        Some(self)
    }

    fn abort(&self) -> Option<&dyn AbortDma> {
        Some(self)
    }

    fn reset(&self) -> Option<&dyn ResetChannel> {
        Some(self)
    }
}

impl SetDmaChannelCpuAffinity for TestProvider {
    fn set_dma_channel_cpu_affinity(
        &self,
        affinities: &[ChannelCpuAffinity],
        _: &AtPassive,
    ) -> Result<(), NetDmaStatus> {
        *self.affinities.lock().unwrap() = affinities.to_vec();
        self.call("affinity")
    }
}

impl SuspendResume for TestProvider {
    fn suspend_dma(
        &self,
        _: ProviderChannelContext,
        _: &dyn AtMostDispatch,
    ) -> Result<Option<DescriptorAddr>, NetDmaStatus> {
        self.call("suspend").map(|()| Some(descriptor(0)))
    }

    fn resume_dma(&self, _: ProviderChannelContext, _: &dyn AtMostDispatch) -> Result<(), NetDmaStatus> {
        self.call("resume")
    }
}

impl AbortDma for TestProvider {
    fn abort_dma(&self, _: ProviderChannelContext, _: &dyn AtMostDispatch) -> Result<(), NetDmaStatus> {
        self.call("abort")
    }
}

impl ResetChannel for TestProvider {
    fn reset_channel(&self, _: ProviderChannelContext, _: &dyn AtMostDispatch) -> Result<(), NetDmaStatus> {
        self.call("reset")
    }
}

/// What the client was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    Completed(Completed),
    Attention,
}

struct Client(Mutex<Sender<Told>>);

impl NetDmaClient for Client {
    fn completed(&self, completed: Completed, _: &AtDispatch) {
        assert_eq!(irql::current(), Irql::Dispatch);
        self.0.lock().unwrap().send(Told::Completed(completed)).unwrap();
    }

    fn attention(&self, _: &AtDispatch) {
        self.0.lock().unwrap().send(Told::Attention).unwrap();
    }
}

pub(crate) fn characteristics() -> ProviderCharacteristics {
    ProviderCharacteristics {
        version: NetDmaVersion::V2_0,
        dca_supported: false,
        proc_groups_supported: false,
        device: "test".into(),
        max_dma_channel_count: 4,
        friendly_name: Some("a test".into()),
    }
}

pub(crate) fn attributes() -> ProviderAttributes {
    ProviderAttributes {
        major_hw_version: 3,
        minor_hw_version: 3,
        vendor_id: 0x8086,
        dma_channel_count: 4,
        maximum_transfer_size: 1 << 20,
        maximum_address_space: PhysAddr(u64::MAX),
    }
}

/// One channel on a registered interrupt, with the flow of a provider in ISR and DPC.
struct Bench {
    processors: Arc<Processors>,
    provider: Arc<TestProvider>,
    started: ProviderHandle<Started>,
    interface: Arc<NetDmaInterface>,
    channel: NetDmaChannel,
    memory: Arc<DmaBuffer>,
    word: CompletionLocation,
    told: Receiver<Told>,
    rig: Rig,
}

impl Bench {
    /// The channel's DPC goes to processor 2 of 4.
    fn new() -> Self {
        let processors = processors(4);
        let interface = NetDmaInterface::new(pause(), 4);
        let provider = Arc::new(TestProvider::default());
        let registered =
            interface.register_provider(provider.clone(), characteristics(), &passive()).unwrap();
        let started = registered.start(attributes(), &passive()).unwrap();
        let (sender, told) = channel();
        let memory = memory();
        let word = CompletionLocation::new(memory.clone(), 0).unwrap();
        word.store(CompletionValue(4));
        let request = ChannelRequest {
            completion: word.clone(),
            processors: CpuSet32(0b111),
            group: None,
            priority: 0,
            max_outstanding: 8,
            anchor: None,
        };
        let client = Arc::new(Client(Mutex::new(sender)));
        let channel = interface.allocate_channel(started.id(), request, client, &passive()).unwrap();
        let handle = provider.channels.lock().unwrap()[0].0.clone();
        let (for_isr, for_dpc) = ((interface.clone(), handle.clone(), word.clone()), word.clone());
        let of_dpc = interface.clone();
        let isr = Box::new(move |_: MessageId, level: &AtDirql| {
            let (interface, handle, word) = &for_isr;
            // ND-I14: not while armed.
            let Completion::At { descriptor: Some(latest), .. } = word.load().decode() else {
                return asks(DpcRequest::None);
            };
            let cpu = interface.net_dma_isr(handle, latest, level);
            IsrResult { claimed: true, dpc: DpcRequest::Cpus(CpuSet32::of(cpu)), address: latest.get() }
        });
        let dpc = Box::new(|_| -> crate::rig::Dpc {
            Box::new(move |_: &mut DpcCall, level| {
                let latest = match for_dpc.load().decode() {
                    Completion::At { status: TransferStatus::Halted, .. } => None,
                    Completion::At { descriptor, .. } => descriptor,
                    _ => return,
                };
                of_dpc.net_dma_interrupt_dpc(&handle, latest, level);
            })
        });
        let rig = Rig::new(&processors, Plan { isr, dpc, vectors: 1, ..Plan::default() });
        Self { processors, provider, started, interface, channel, memory, word, told, rig }
    }

    fn start(&self, descriptors: &[DescriptorAddr]) -> u64 {
        self.channel.start(&chain(&self.memory, descriptors), &passive()).unwrap().last_sequence
    }

    /// The engine finished `descriptor` and interrupts.
    fn finish(&self, descriptor: DescriptorAddr, status: TransferStatus) {
        self.word.store(CompletionValue::new(descriptor, status));
        self.rig.source.fire(0);
    }

    fn told(&self) -> Told {
        self.told.recv_timeout(LIMIT).unwrap()
    }

    /// Waits until the ISR ran `times` times.
    fn isr_ran(&self, times: u64) {
        let until = std::time::Instant::now() + LIMIT;
        while self.rig.interrupt.counts()[0].isr_runs < times {
            assert!(std::time::Instant::now() < until);
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}

fn four() -> [DescriptorAddr; 4] {
    [0, 1, 2, 3].map(descriptor)
}

fn completed(last: u64, sequence: u64, count: u64) -> Told {
    Told::Completed(Completed { last: descriptor(last), sequence, count })
}

#[test]
fn nd_i3_the_isr_names_the_last_completed_descriptor_once_for_each_interrupt() {
    let bench = Bench::new();
    bench.start(&four());
    bench.finish(descriptor(0), TransferStatus::Active);
    assert_eq!(bench.told(), completed(0, 1, 1));
    assert_eq!(bench.channel.counts().isr_reports, 1);
}

#[test]
fn nd_i4_the_engine_may_be_past_the_descriptor_that_interrupted() {
    let bench = Bench::new();
    bench.start(&four());
    bench.word.store(CompletionValue::new(descriptor(0), TransferStatus::Active));
    bench.finish(descriptor(2), TransferStatus::Active);
    assert_eq!(bench.told(), completed(2, 3, 3));
}

#[test]
fn nd_i5_the_dpc_runs_on_the_processor_that_net_dma_isr_gave() {
    let bench = Bench::new();
    assert_eq!(bench.channel.cpu_number(), CpuNumber(2));
    bench.start(&four());
    bench.finish(descriptor(3), TransferStatus::Idle);
    assert_eq!(bench.rig.next().cpu(), 2);
}

#[test]
fn nd_i6_the_isr_completes_nothing_that_is_left_to_the_dpc() {
    let bench = Bench::new();
    bench.start(&four());
    let held = Held::processor(&bench.processors, 2);
    bench.finish(descriptor(3), TransferStatus::Idle);
    bench.isr_ran(1);
    assert_eq!(bench.channel.outstanding(), 4);
    assert!(bench.told.try_recv().is_err());
    drop(held);
    assert_eq!(bench.told(), completed(3, 4, 4));
}

#[test]
fn nd_i9_two_interrupts_before_one_dpc_give_one_report_of_the_later_descriptor() {
    let bench = Bench::new();
    bench.start(&four());
    let held = Held::processor(&bench.processors, 2);
    bench.finish(descriptor(0), TransferStatus::Active);
    bench.isr_ran(1);
    bench.finish(descriptor(2), TransferStatus::Active);
    bench.isr_ran(2);
    drop(held);
    assert_eq!(bench.told(), completed(2, 3, 3));
    assert_eq!(bench.processors.counts()[2].refused, 1);
    assert_eq!(bench.channel.counts().dpc_reports, 1);
}

#[test]
fn nd_i14_an_armed_word_reports_nothing() {
    let bench = Bench::new();
    bench.start(&four());
    bench.rig.source.fire(0);
    bench.isr_ran(1);
    assert_eq!(bench.channel.counts().isr_reports, 0);
}

/// Brings the bench's channel, which is fresh, to `state`.
fn bring_to(bench: &Bench, state: ChannelState) {
    let level = &passive();
    match state {
        ChannelState::Fresh => {}
        ChannelState::Running => drop(bench.start(&four()[..1])),
        ChannelState::Suspended => {
            bench.start(&four()[..1]);
            bench.channel.suspend(level).unwrap();
        }
        ChannelState::NeedsStart => {
            bench.start(&four()[..1]);
            bench.channel.abort(level).unwrap();
        }
        ChannelState::Freed => bench.channel.free(level).unwrap(),
    }
    assert_eq!(bench.channel.state(), state);
}

fn issue(bench: &Bench, call: Call) -> Result<(), ChannelError> {
    let (level, more) = (&passive(), [descriptor(1)]);
    let chain = chain(&bench.memory, &more);
    match call {
        Call::Start => bench.channel.start(&chain, level).map(drop),
        Call::Append => bench.channel.append(&chain, level).map(drop),
        Call::Suspend => bench.channel.suspend(level).map(drop),
        Call::Resume => bench.channel.resume(level),
        Call::Abort => bench.channel.abort(level),
        Call::Reset => bench.channel.reset(level),
        Call::Free => bench.channel.free(level),
    }
}

#[test]
fn c_ch_03_the_state_table_of_1_9_holds_cell_by_cell() {
    use ChannelState::{Freed, Fresh, NeedsStart, Running, Suspended};
    let states = [Fresh, Running, Suspended, NeedsStart, Freed];
    // The state after each call, by state before; none where the call is refused.
    let table = [
        (Call::Start, [Some(Running), Some(Running), Some(Running), Some(Running), None]),
        (Call::Append, [None, Some(Running), None, None, None]),
        (Call::Suspend, [None, Some(Suspended), None, None, None]),
        (Call::Resume, [None, None, Some(Running), None, None]),
        (Call::Abort, [Some(Fresh), Some(NeedsStart), Some(NeedsStart), Some(NeedsStart), None]),
        (Call::Reset, [Some(Fresh), Some(Fresh), Some(Fresh), Some(Fresh), None]),
        // One descriptor is outstanding where the channel runs or is suspended.
        (Call::Free, [Some(Freed), None, None, Some(Freed), None]),
    ];
    for (call, row) in table {
        for (before, after) in states.into_iter().zip(row) {
            let bench = Bench::new();
            bring_to(&bench, before);
            let result = issue(&bench, call);
            assert_eq!(result.is_ok(), after.is_some(), "{call:?} on {before:?}: {result:?}");
            assert_eq!(bench.channel.state(), after.unwrap_or(before), "{call:?} on {before:?}");
        }
    }
}

#[test]
fn a_refused_append_leaves_what_was_outstanding() {
    let bench = Bench::new();
    bench.start(&four()[..2]);
    *bench.provider.refuse.lock().unwrap() = Some(NetDmaStatus::RESOURCES);
    let (more, level) = ([descriptor(2), descriptor(3)], &passive());
    let error = bench.channel.append(&chain(&bench.memory, &more), level).unwrap_err();
    assert_eq!(error, ChannelError::Provider { call: Call::Append, status: NetDmaStatus::RESOURCES });
    assert_eq!((bench.channel.outstanding(), bench.channel.state()), (2, ChannelState::Running));
    bench.finish(descriptor(1), TransferStatus::Idle);
    assert_eq!(bench.told(), completed(1, 2, 2));
}

#[test]
fn more_descriptors_than_the_channel_was_allocated_for_are_refused() {
    let bench = Bench::new();
    bench.start(&four());
    let many: Vec<_> = (10..15).map(descriptor).collect();
    let error = bench.channel.append(&chain(&bench.memory, &many), &passive()).unwrap_err();
    assert_eq!(error, ChannelError::Full { wanted: 5, outstanding: 4, capacity: 8 });
    let wrong = Chain { descriptors: &many[1..], ..chain(&bench.memory, &many) };
    let error = bench.channel.append(&wrong, &passive()).unwrap_err();
    assert!(matches!(error, ChannelError::BadChain { count: 4, .. }), "{error}");
}

#[test]
fn a_client_may_submit_more_from_inside_its_completion() {
    /// Appends one more when it is told, once.
    struct Chained {
        channel: OnceLock<(NetDmaChannel, Arc<DmaBuffer>)>,
        told: AtomicU64,
        done: Mutex<Sender<u64>>,
    }
    impl NetDmaClient for Chained {
        fn completed(&self, completed: Completed, level: &AtDispatch) {
            if self.told.fetch_add(1, Ordering::SeqCst) == 0 {
                let (channel, memory) = self.channel.get().unwrap();
                channel.append(&chain(memory, &[descriptor(7)]), level).unwrap();
            }
            self.done.lock().unwrap().send(completed.sequence).unwrap();
        }

        fn attention(&self, _: &AtDispatch) {}
    }
    let bench = Bench::new();
    let (sender, done) = channel();
    let client =
        Arc::new(Chained { channel: OnceLock::new(), told: AtomicU64::new(0), done: Mutex::new(sender) });
    let request = ChannelRequest {
        completion: CompletionLocation::new(bench.memory.clone(), 8).unwrap(),
        processors: CpuSet32(1),
        group: None,
        priority: 0,
        max_outstanding: 2,
        anchor: None,
    };
    let id = bench.started.id();
    let channel = bench.interface.allocate_channel(id, request, client.clone(), &passive()).unwrap();
    let handle = bench.provider.channels.lock().unwrap()[1].0.clone();
    channel.start(&chain(&bench.memory, &[descriptor(6)]), &passive()).unwrap();
    assert!(client.channel.set((channel, bench.memory.clone())).is_ok());
    let interface = bench.interface.clone();
    let dpc = Box::new(|_| -> crate::rig::Dpc {
        Box::new(move |call, level| {
            let address = DescriptorAddr::new(call.context.unwrap().0);
            interface.net_dma_interrupt_dpc(&handle, address, level);
        })
    });
    let rig = Rig::new(&bench.processors, Plan { dpc, ..Plan::default() });
    for (sequence, address) in [(1, descriptor(6)), (2, descriptor(7))] {
        assert!(!rig.queue(CpuSet32(1), address.get()).is_empty());
        assert_eq!(done.recv_timeout(LIMIT), Ok(sequence));
    }
}
