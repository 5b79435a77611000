//! The provider on the synthetic engine of profile `netdma`, which has page breaks and DCA: bridges c and h, and power.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ioat_spec::register::channel_base;
use ioat_spec::{ChannelRegister, DcaCtrl, Descriptor};
use ioat_stage::{NoTrace, Pause, ThreadPause};
use netdma::contract::{
    Chain, ChannelError, ChannelRequest, Completed, CompletionLocation, CpuSet32, DescriptorAddr,
    DmaLocation, NetDmaChannel, NetDmaClient, NetDmaInterface, NetDmaVersion, ProviderHandle, Started,
};
use netdma::hw::sim::{Sim, SimOptions};
use netdma::hw::{Device, DmaBuffer, Space};
use netdma::ioat::{IoatError, IoatProvider, ProviderOptions};
use netdma::irql::{AtDispatch, AtPassive};
use netdma::ndis::{Interrupt, InterruptType, Processors, ndis_m_register_interrupt_ex};
use zerocopy::IntoBytes;

const TELLS: u32 = 0x9;
const NULL: u32 = 0x20;
/// Liveness only.
const LONG: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Seen(Mutex<u64>);

impl NetDmaClient for Seen {
    fn completed(&self, completed: Completed, _: &AtDispatch) {
        *self.0.lock().unwrap() = completed.sequence;
    }

    fn attention(&self, _: &AtDispatch) {}
}

struct Rig {
    device: Device,
    provider: Arc<IoatProvider>,
    channel: NetDmaChannel,
    ring: Arc<DmaBuffer>,
    seen: Arc<Seen>,
    started: ProviderHandle<Started>,
    interrupt: Interrupt,
}

fn passive() -> AtPassive {
    AtPassive::claim().unwrap()
}

fn device(vectors: Option<u16>) -> Device {
    let pause: Arc<dyn Pause> = Arc::new(ThreadPause::new());
    let options = SimOptions { profile: "netdma".into(), vectors, ..SimOptions::default() };
    Sim::open(options, pause).unwrap().device
}

impl Rig {
    /// Processors 0 and 1 have APIC ids 4 and 6; the channel is on processor 1.
    fn new(vectors: Option<u16>, version: NetDmaVersion) -> Self {
        let device = device(vectors);
        let pause = device.pause.clone();
        let processors = Processors::start(2, pause.clone(), Arc::new(NoTrace)).unwrap();
        let interface = NetDmaInterface::new(pause, 2);
        let options = ProviderOptions { version, apic_ids: vec![4, 6], ..ProviderOptions::default() };
        let provider = IoatProvider::with_options(&device, interface.clone(), options).unwrap();
        let characteristics = provider.characteristics();
        let registered = interface.register_provider(provider.clone(), characteristics, &passive()).unwrap();
        let build = |handle| provider.interrupt_characteristics(handle);
        let interrupts = device.interrupts.clone();
        let interrupt = ndis_m_register_interrupt_ex(&processors, interrupts, build, &passive()).unwrap();
        let started = registered.start(provider.attributes(), &passive()).unwrap();
        let ring = Arc::new(device.memory.allocate(1 << 16).unwrap());
        let seen = Arc::new(Seen::default());
        let request = ChannelRequest {
            completion: CompletionLocation::new(ring.clone(), 0xf000).unwrap(),
            processors: CpuSet32(0b10),
            group: None,
            priority: 0,
            max_outstanding: 64,
            anchor: None,
        };
        let id = interface.providers()[0].0;
        let channel = interface.allocate_channel(id, request, seen.clone(), &passive()).unwrap();
        Self { device, provider, channel, ring, seen, started, interrupt }
    }

    fn address(&self, slot: usize) -> u64 {
        self.ring.iova() + slot as u64 * 64
    }

    fn write(&self, slot: usize, descriptor: Descriptor) {
        self.ring.write(slot * 64, descriptor.as_bytes()).unwrap();
    }

    fn start(&self, slots: std::ops::Range<usize>) -> Result<u64, ChannelError> {
        let first = DmaLocation::new(self.ring.clone(), slots.start * 64, 64, 64).unwrap();
        let descriptors: Vec<_> =
            slots.map(|slot| DescriptorAddr::new(self.address(slot)).unwrap()).collect();
        let chain = Chain { first, descriptors: &descriptors };
        self.channel.start(&chain, &passive()).map(|submitted| submitted.last_sequence)
    }

    /// A NULL that tells, from slot 0.
    fn run_null(&self, next: u64) {
        self.write(0, Descriptor { size: 1, control: NULL | TELLS, next, ..Descriptor::default() });
        let last = self.start(0..1).unwrap();
        self.reported(last);
    }

    fn reported(&self, last: u64) {
        let limit = Instant::now() + LONG;
        while *self.seen.0.lock().unwrap() < last {
            assert!(Instant::now() < limit, "descriptor {last} is not reported");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn dcactrl(&self) -> DcaCtrl {
        let context = (0..4).find(|channel| self.chancmp(*channel) == self.ring.iova() + 0xf000).unwrap();
        let offset = channel_base(context) + ChannelRegister::DcaCtrl.offset();
        DcaCtrl::from_bits(self.device.read32(Space::BAR0, offset).unwrap())
    }

    fn chancmp(&self, channel: usize) -> u64 {
        let offset = channel_base(channel) + ChannelRegister::ChanCmp.offset();
        self.device.read64(Space::BAR0, offset).unwrap()
    }

    fn end(self) {
        self.channel.reset(&passive()).unwrap();
        self.channel.free(&passive()).unwrap();
        self.started.stop(&passive()).deregister(&passive());
        self.interrupt.deregister(&passive());
    }
}

fn aimed_at(apic_id: u16) -> DcaCtrl {
    DcaCtrl::new().with_apic_id(apic_id).with_enable(true)
}

#[test]
fn nd_a2_completion_words_are_aimed_at_the_channels_processor_and_nd_a4_context_changes_outlive_an_abort() {
    let rig = Rig::new(None, NetDmaVersion::V2_0);
    assert!(rig.provider.characteristics().dca_supported);
    assert_eq!(rig.channel.cpu_number().0, 1);
    assert_eq!(rig.dcactrl(), aimed_at(6));
    let context = Descriptor { size: 9, control: 0xff00_0001, next: rig.address(1), ..Descriptor::default() };
    rig.write(0, context);
    let null = Descriptor { size: 1, control: NULL | TELLS, next: rig.address(2), ..Descriptor::default() };
    rig.write(1, null);
    let last = rig.start(0..2).unwrap();
    rig.reported(last);
    assert_eq!(rig.dcactrl().apic_id(), 9);
    // The engine's reset takes the target away; the provider puts it back.
    rig.channel.abort(&passive()).unwrap();
    assert_eq!(rig.dcactrl().apic_id(), 9);
    rig.channel.reset(&passive()).unwrap();
    assert_eq!(rig.dcactrl(), aimed_at(6), "as it was allocated");
    rig.end();
}

#[test]
fn before_2_0_there_is_no_dca_and_chains_are_walked_to_their_zero() {
    let rig = Rig::new(None, NetDmaVersion::V1_0);
    let characteristics = rig.provider.characteristics();
    assert!(!characteristics.dca_supported && characteristics.friendly_name.is_none());
    assert_eq!(rig.dcactrl(), DcaCtrl::new());
    rig.run_null(0);
    rig.write(0, Descriptor { size: 1, control: 0xff00_0001, ..Descriptor::default() });
    assert!(matches!(rig.start(0..1), Err(ChannelError::Provider { .. })), "a context change in 1.0");
    // A chain that leads back into itself has no end.
    rig.write(0, Descriptor { size: 1, control: NULL, next: rig.address(1), ..Descriptor::default() });
    rig.write(1, Descriptor { size: 1, control: NULL, next: rig.address(0), ..Descriptor::default() });
    assert!(rig.start(0..2).is_err());
    rig.run_null(0);
    rig.end();
}

#[test]
fn c_ch_17_what_follows_a_page_break_must_begin_with_its_page_and_have_room_there() {
    let rig = Rig::new(None, NetDmaVersion::V2_0);
    let data = rig.device.memory.allocate(3 * 4096).unwrap();
    let broken = |size, next_source| Descriptor {
        size,
        control: 0x40 | TELLS,
        source: data.iova() + 4096 - 64,
        destination: data.iova() + 8192,
        next: rig.address(1),
        next_source,
        ..Descriptor::default()
    };
    for (size, next) in [(128, data.iova() + 4096 + 64), (64 + 4097, data.iova() + 4096)] {
        rig.write(0, broken(size, next));
        assert!(matches!(rig.start(0..1), Err(ChannelError::Provider { .. })), "{size} {next:#x}");
    }
    data.write(4096 - 64, &[1; 64]).unwrap();
    data.write(0, &[2; 64]).unwrap();
    rig.write(0, broken(128, data.iova()));
    let last = rig.start(0..1).unwrap();
    rig.reported(last);
    let mut found = [0; 128];
    data.read(8192, &mut found).unwrap();
    assert_eq!((&found[..64], &found[64..]), (&[1; 64][..], &[2; 64][..]));
    rig.end();
}

/// With messages and with the line: the registers of both are lost.
#[test]
fn nd_w2_a_function_that_lost_its_state_is_brought_up_and_a_start_goes_on() {
    for (vectors, kind) in [(None, InterruptType::MessageBased), (Some(0), InterruptType::LineBased)] {
        let rig = Rig::new(vectors, NetDmaVersion::V2_0);
        assert_eq!(rig.interrupt.interrupt_type(), kind);
        rig.run_null(rig.address(1));
        rig.provider.power_down(&passive()).unwrap();
        assert!(rig.start(0..1).is_err(), "there is no power");
        rig.device.registers.reset().unwrap();
        assert_eq!(rig.chancmp(0) | rig.chancmp(1) | rig.chancmp(2) | rig.chancmp(3), 0, "all is lost");
        rig.provider.power_up(&passive()).unwrap();
        assert_eq!(rig.dcactrl(), aimed_at(6));
        // Never an Append, and no Abort before: a Start goes on (C-PR-15).
        rig.run_null(rig.address(1));
        // A reset without a warning is mended the same way.
        rig.device.registers.reset().unwrap();
        rig.provider.power_up(&passive()).unwrap();
        rig.run_null(rig.address(1));
        rig.end();
    }
}

#[test]
fn versions_that_there_are_not_are_refused_by_name() {
    let pause: Arc<dyn Pause> = Arc::new(ThreadPause::new());
    let open = |version, proc_groups| {
        let options = ProviderOptions { version, proc_groups, ..ProviderOptions::default() };
        IoatProvider::with_options(&device(None), NetDmaInterface::new(pause.clone(), 1), options).err()
    };
    let version = NetDmaVersion { major: 3, minor: 0 };
    assert!(matches!(open(version, false), Some(IoatError::ContractVersion { .. })));
    let text = open(NetDmaVersion::V1_1, true).unwrap().to_string();
    assert!(text.contains("1.1") && text.contains("only with 2.0"), "{text}");
    assert!(open(NetDmaVersion::V2_0, true).is_none());
}
