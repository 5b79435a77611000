//! An interrupt source that the test rings, handlers that the test writes, and a way to hold a processor.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ioat_stage::{Bell, NoTrace, Pause, ThreadPause, Trace};
use netdma::contract::{CpuNumber, CpuSet32};
use netdma::hw::{Fired, HwError, InterruptSource, Routed};
use netdma::irql::{self, AtDirql, AtDispatch, AtPassive, Irql};
use netdma::ndis::{
    DpcCall, DpcContext, DpcRequest, Interrupt, InterruptCharacteristics, InterruptHandle, IsrResult,
    LineHandlers, MessageHandlers, MessageId, NdisVersion, Processors, ndis_m_register_interrupt_ex,
};

/// How long the test waits for what must come. Only a broken engine comes near it.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// How long the test waits for what must not come; a false "did not come" cannot fail a sound engine.
pub(crate) const QUIET: Duration = Duration::from_millis(20);

pub(crate) fn passive() -> AtPassive {
    AtPassive::claim().unwrap()
}

type RouteHook = Box<dyn Fn(&Script, u32) + Send>;

/// Vectors that fire when the test says so.
pub(crate) struct Script {
    vectors: u32,
    fired: Vec<AtomicU64>,
    bell: Bell,
    stopped: AtomicBool,
    pause: ThreadPause,
    on_route: Mutex<Option<RouteHook>>,
}

impl Script {
    pub(crate) fn new(vectors: u32) -> Arc<Self> {
        Arc::new(Self {
            vectors,
            fired: (0..vectors.max(1)).map(|_| AtomicU64::new(0)).collect(),
            bell: Bell::new(),
            stopped: AtomicBool::new(false),
            pause: ThreadPause::new(),
            on_route: Mutex::new(None),
        })
    }

    pub(crate) fn fire(&self, vector: u32) {
        self.fired[vector as usize].fetch_add(1, Ordering::SeqCst);
        self.pause.ring(&self.bell);
    }

    /// Called when registration routes a vector, which is in the midst of registering.
    pub(crate) fn on_route(&self, hook: impl Fn(&Script, u32) + Send + 'static) {
        *self.on_route.lock().unwrap() = Some(Box::new(hook));
    }
}

impl InterruptSource for Script {
    fn vectors(&self) -> u32 {
        self.vectors
    }

    fn enable(&self, _: u32) -> Result<(), HwError> {
        Ok(())
    }

    fn disable(&self) -> Result<(), HwError> {
        Ok(())
    }

    fn wait(&self, vector: u32, pause: &dyn Pause) -> Result<Fired, HwError> {
        loop {
            let seen = self.bell.seen();
            if self.stopped.load(Ordering::SeqCst) {
                return Ok(Fired::Stopped);
            }
            match self.fired[vector as usize].swap(0, Ordering::SeqCst) {
                0 => pause.wait(&self.bell, seen, None),
                times => return Ok(Fired::Times(times)),
            };
        }
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.pause.ring(&self.bell);
    }

    fn has_line(&self) -> bool {
        true
    }

    fn enable_line(&self) -> Result<(), HwError> {
        Ok(())
    }

    fn route(&self, vector: u32, _: u32) -> Routed {
        if let Some(hook) = &*self.on_route.lock().unwrap() {
            hook(self, vector);
        }
        Routed::NotApplicable
    }
}

/// A DPC that ran.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ran {
    pub(crate) call: DpcCall,
    pub(crate) irql: Irql,
    /// The address of the handlers, which stand for MiniportInterruptContext.
    pub(crate) context_of_interrupt: usize,
    pub(crate) line: bool,
}

impl Ran {
    pub(crate) fn cpu(&self) -> u32 {
        self.call.processor
    }

    pub(crate) fn context(&self) -> Option<u64> {
        self.call.context.map(|context| context.0)
    }
}

type Isr = Box<dyn Fn(MessageId, &AtDirql) -> IsrResult + Send + Sync>;
pub(crate) type Dpc = Box<dyn Fn(&mut DpcCall, &AtDispatch) + Send + Sync>;

/// Handlers that do what the test says, and report each DPC when its routine is through.
pub(crate) struct Miniport {
    isr: Isr,
    dpc: Dpc,
    ran: Mutex<Sender<Ran>>,
}

impl Miniport {
    fn ran(&self, call: &mut DpcCall, level: &AtDispatch, line: bool) {
        (self.dpc)(call, level);
        let context_of_interrupt = std::ptr::from_ref(self) as usize;
        let ran = Ran { call: *call, irql: irql::current(), context_of_interrupt, line };
        // The test may have ended already.
        let _ = self.ran.lock().unwrap().send(ran);
    }
}

impl LineHandlers for Miniport {
    fn interrupt(&self, level: &AtDirql) -> IsrResult {
        (self.isr)(MessageId::LINE, level)
    }

    fn interrupt_dpc(&self, call: &mut DpcCall, level: &AtDispatch) {
        self.ran(call, level, true);
    }

    fn disable_interrupt(&self, _: &AtDirql) {}

    fn enable_interrupt(&self, _: &AtDirql) {}
}

impl MessageHandlers for Miniport {
    fn message_interrupt(&self, message: MessageId, level: &AtDirql) -> IsrResult {
        (self.isr)(message, level)
    }

    fn message_interrupt_dpc(&self, call: &mut DpcCall, level: &AtDispatch) {
        self.ran(call, level, false);
    }

    fn disable_message_interrupt(&self, _: MessageId, _: &AtDirql) {}

    fn enable_message_interrupt(&self, _: MessageId, _: &AtDirql) {}
}

/// What an interrupt under test is made of.
pub(crate) struct Plan {
    pub(crate) vectors: u32,
    pub(crate) messages: bool,
    pub(crate) one_lock: bool,
    pub(crate) affinity: Vec<u32>,
    pub(crate) isr: Isr,
    pub(crate) dpc: Box<dyn FnOnce(InterruptHandle) -> Dpc>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            vectors: 2,
            messages: true,
            one_lock: false,
            affinity: Vec::new(),
            isr: Box::new(|_, _| asks(DpcRequest::None)),
            dpc: Box::new(|_| Box::new(|_, _| {})),
        }
    }
}

pub(crate) fn asks(dpc: DpcRequest) -> IsrResult {
    IsrResult { claimed: true, dpc, address: 0 }
}

pub(crate) fn pause() -> Arc<dyn Pause> {
    Arc::new(ThreadPause::new())
}

pub(crate) fn processors(count: u32) -> Arc<Processors> {
    processors_with(count, Arc::new(NoTrace))
}

pub(crate) fn processors_with(count: u32, trace: Arc<dyn Trace>) -> Arc<Processors> {
    Processors::start(count, pause(), trace).unwrap()
}

pub(crate) fn cpu(number: u32) -> CpuSet32 {
    CpuSet32::of(CpuNumber(number))
}

/// One registered interrupt.
pub(crate) struct Rig {
    pub(crate) interrupt: Interrupt,
    pub(crate) handle: InterruptHandle,
    pub(crate) source: Arc<Script>,
    pub(crate) ran: Receiver<Ran>,
    pub(crate) miniport: Arc<Miniport>,
}

impl Rig {
    pub(crate) fn new(processors: &Arc<Processors>, plan: Plan) -> Self {
        Self::on(processors, Script::new(plan.vectors), plan)
    }

    pub(crate) fn on(processors: &Arc<Processors>, source: Arc<Script>, plan: Plan) -> Self {
        let (sender, ran) = channel();
        let mut made = None;
        let build = |handle: InterruptHandle| {
            let dpc = (plan.dpc)(handle);
            let miniport = Arc::new(Miniport { isr: plan.isr, dpc, ran: Mutex::new(sender) });
            made = Some(miniport.clone());
            InterruptCharacteristics {
                version: NdisVersion::V6_20,
                line: miniport.clone(),
                message: plan.messages.then_some(miniport as Arc<dyn MessageHandlers>),
                msi_sync_with_all_messages: plan.one_lock,
                affinity: plan.affinity,
            }
        };
        let interrupt = ndis_m_register_interrupt_ex(processors, source.clone(), build, &passive()).unwrap();
        Self { handle: interrupt.handle(), interrupt, source, ran, miniport: made.unwrap() }
    }

    pub(crate) fn message(&self, number: u32) -> MessageId {
        self.handle.message(number).unwrap()
    }

    /// Asks for message 0; gives the bits that were scheduled.
    pub(crate) fn queue(&self, targets: CpuSet32, context: u64) -> CpuSet32 {
        self.queue_message(0, targets, context)
    }

    pub(crate) fn queue_message(&self, message: u32, targets: CpuSet32, context: u64) -> CpuSet32 {
        self.handle.queue_dpc(self.message(message), targets, Some(DpcContext(context))).scheduled
    }

    pub(crate) fn next(&self) -> Ran {
        self.ran.recv_timeout(LIMIT).unwrap()
    }

    /// Nothing runs any more, because nothing is queued and no processor is held.
    pub(crate) fn nothing_more(&self) {
        assert_eq!(self.ran.recv_timeout(QUIET), Err(std::sync::mpsc::RecvTimeoutError::Timeout));
    }
}

/// Keeps a processor inside a DPC of another interrupt until it is dropped.
pub(crate) struct Held {
    release: Option<Sender<()>>,
    _interrupt: Interrupt,
}

impl Held {
    pub(crate) fn processor(processors: &Arc<Processors>, number: u32) -> Self {
        let (release, released) = channel::<()>();
        let (started, has_started) = channel();
        let (released, started) = (Mutex::new(released), Mutex::new(started));
        let hold: Dpc = Box::new(move |_, _| {
            started.lock().unwrap().send(()).unwrap();
            // Ends with an error when the sender is dropped.
            let _ = released.lock().unwrap().recv();
        });
        let rig = Rig::new(processors, Plan { dpc: Box::new(|_| hold), ..Plan::default() });
        assert_eq!(rig.queue(cpu(number), 0), cpu(number));
        has_started.recv_timeout(LIMIT).unwrap();
        Self { release: Some(release), _interrupt: rig.interrupt }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Before the interrupt is dropped, which waits for the routine.
        self.release = None;
    }
}
