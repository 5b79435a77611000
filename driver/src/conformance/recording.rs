//! Handlers that do what a check says and record what was called, and a registered interrupt made of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ioat_stage::pause::{SharedPause, deadline};
use ioat_stage::sync::Mutex;
use ioat_stage::{Bell, NoTrace, Task, ThreadPause, Wake};

use super::NotPassed;
use super::scripted_source::ScriptedSource;
use crate::contract::{CpuNumber, CpuSet32};
use crate::irql::{self, AtDirql, AtDispatch, AtPassive, Irql};
use crate::ndis::{
    DpcCall, DpcRequest, Interrupt, InterruptCharacteristics, InterruptHandle, IsrResult, LineHandlers,
    MessageHandlers, MessageId, NdisVersion, Processors, ndis_m_register_interrupt_ex,
};

/// How long a check waits for what must come; only a broken engine comes near it.
const LIMIT: Duration = Duration::from_secs(10);

/// How long a check lets pass for what must not come; too short a time cannot fail a sound engine.
const QUIET: Duration = Duration::from_millis(20);

/// How the tasks of a check wait.
pub(super) fn pause() -> SharedPause {
    Arc::new(ThreadPause::new())
}

pub(super) fn passive() -> Result<AtPassive, NotPassed> {
    AtPassive::claim().ok_or_else(|| NotPassed::Failed("a check runs at PASSIVE_LEVEL".into()))
}

pub(super) fn processors(count: u32) -> Result<Arc<Processors>, NotPassed> {
    Ok(Processors::start(count, pause(), Arc::new(NoTrace))?)
}

/// Processors whose DPCs may indicate `cap` buffers in one run (TH-1).
pub(super) fn processors_with_cap(count: u32, cap: u32) -> Result<Arc<Processors>, NotPassed> {
    Ok(Processors::start_throttled(count, cap, pause(), Arc::new(NoTrace))?)
}

pub(super) fn cpu(number: u32) -> CpuSet32 {
    CpuSet32::of(CpuNumber(number))
}

/// Lets some time pass in which a broken engine would do what it must not.
pub(super) fn quiet() {
    pause().sleep(QUIET);
}

/// Runs `body` as a task of its own.
pub(super) fn aside(
    body: impl FnOnce() + Send + 'static,
) -> Result<Box<dyn ioat_stage::pause::Join>, NotPassed> {
    Ok(pause().spawn(Task { name: "aside".to_owned(), cpu: None }, Box::new(body))?)
}

/// A gate that one side opens and the other waits at.
#[derive(Default)]
pub(super) struct Gate {
    open: AtomicBool,
    bell: Bell,
}

impl Gate {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(super) fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
        pause().ring(&self.bell);
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst)
    }

    /// True when it opened in time.
    pub(super) fn wait(&self) -> bool {
        let until = deadline(&*pause(), LIMIT);
        loop {
            let seen = self.bell.seen();
            if self.is_open() {
                return true;
            }
            if pause().wait(&self.bell, seen, Some(until)) == Wake::TimedOut {
                return self.is_open();
            }
        }
    }

    pub(super) fn expect(&self, what: &str) -> Result<(), NotPassed> {
        if self.wait() {
            Ok(())
        } else {
            Err(NotPassed::Failed(format!("{what} did not come within {LIMIT:?}")))
        }
    }
}

/// What happened, in order.
pub(super) struct Notes<T> {
    list: Mutex<Vec<T>>,
    bell: Bell,
}

impl<T: Copy> Notes<T> {
    fn new() -> Self {
        Self { list: Mutex::new(Vec::new()), bell: Bell::new() }
    }

    pub(super) fn all(&self) -> Vec<T> {
        self.list.lock().clone()
    }

    /// Waits until there are `count`, and gives all.
    pub(super) fn wait_for(&self, count: usize, what: &str) -> Result<Vec<T>, NotPassed> {
        let until = deadline(&*pause(), LIMIT);
        loop {
            let seen = self.bell.seen();
            let list = self.all();
            if list.len() >= count {
                return Ok(list);
            }
            if pause().wait(&self.bell, seen, Some(until)) == Wake::TimedOut {
                let found = list.len();
                return Err(NotPassed::Failed(format!(
                    "{what}: expected {count}, found {found} within {LIMIT:?}"
                )));
            }
        }
    }

    fn push(&self, note: T) {
        self.list.lock().push(note);
        pause().ring(&self.bell);
    }
}

/// A service routine that ran.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Isr {
    pub(super) message: MessageId,
    pub(super) level: Irql,
    /// It was the line's.
    pub(super) line: bool,
}

/// A DPC that ran.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Dpc {
    pub(super) call: DpcCall,
    pub(super) level: Irql,
    /// It was the line's.
    pub(super) line: bool,
}

impl Dpc {
    pub(super) fn context(&self) -> Option<u64> {
        self.call.context.map(|context| context.0)
    }
}

type OnIsr = Box<dyn Fn(&InterruptHandle, MessageId, &AtDirql) -> IsrResult + Send + Sync>;
type OnDpc = Box<dyn Fn(&InterruptHandle, &mut DpcCall, &AtDispatch) + Send + Sync>;

/// What an interrupt is made of.
pub(super) struct Plan {
    pub(super) version: NdisVersion,
    /// Message handlers are given.
    pub(super) messages: bool,
    pub(super) one_lock: bool,
    pub(super) affinity: Vec<u32>,
    pub(super) isr: OnIsr,
    pub(super) dpc: OnDpc,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            version: NdisVersion::V6_20,
            messages: true,
            one_lock: false,
            affinity: Vec::new(),
            isr: Box::new(|_, _, _| asks(DpcRequest::None)),
            dpc: Box::new(|_, _, _| {}),
        }
    }
}

/// A service routine's answer: ours, and these DPCs.
pub(super) fn asks(dpc: DpcRequest) -> IsrResult {
    IsrResult { claimed: true, dpc, address: 0 }
}

/// The handlers. A run is noted when the check's part of it is through.
pub(super) struct Miniport {
    handle: InterruptHandle,
    isr: OnIsr,
    dpc: OnDpc,
    pub(super) isrs: Notes<Isr>,
    pub(super) dpcs: Notes<Dpc>,
}

impl Miniport {
    fn serve(&self, message: MessageId, line: bool, level: &AtDirql) -> IsrResult {
        let result = (self.isr)(&self.handle, message, level);
        self.isrs.push(Isr { message, level: irql::current(), line });
        result
    }

    fn run(&self, call: &mut DpcCall, line: bool, level: &AtDispatch) {
        (self.dpc)(&self.handle, call, level);
        self.dpcs.push(Dpc { call: *call, level: irql::current(), line });
    }
}

impl LineHandlers for Miniport {
    fn interrupt(&self, level: &AtDirql) -> IsrResult {
        self.serve(MessageId::LINE, true, level)
    }

    fn interrupt_dpc(&self, call: &mut DpcCall, level: &AtDispatch) {
        self.run(call, true, level);
    }

    fn disable_interrupt(&self, _: &AtDirql) {}

    fn enable_interrupt(&self, _: &AtDirql) {}
}

impl MessageHandlers for Miniport {
    fn message_interrupt(&self, message: MessageId, level: &AtDirql) -> IsrResult {
        self.serve(message, false, level)
    }

    fn message_interrupt_dpc(&self, call: &mut DpcCall, level: &AtDispatch) {
        self.run(call, false, level);
    }

    fn disable_message_interrupt(&self, _: MessageId, _: &AtDirql) {}

    fn enable_message_interrupt(&self, _: MessageId, _: &AtDirql) {}
}

/// One registered interrupt.
pub(super) struct Registered {
    pub(super) interrupt: Interrupt,
    pub(super) handle: InterruptHandle,
    pub(super) miniport: Arc<Miniport>,
}

/// Registers handlers made of `plan` for `source`.
pub(super) fn register(
    processors: &Arc<Processors>,
    source: &Arc<ScriptedSource>,
    plan: Plan,
) -> Result<Registered, NotPassed> {
    let mut made = None;
    let build = |handle: InterruptHandle| {
        let (isrs, dpcs) = (Notes::new(), Notes::new());
        let miniport = Arc::new(Miniport { handle, isr: plan.isr, dpc: plan.dpc, isrs, dpcs });
        made = Some(miniport.clone());
        InterruptCharacteristics {
            version: plan.version,
            line: miniport.clone(),
            message: plan.messages.then_some(miniport as Arc<dyn MessageHandlers>),
            msi_sync_with_all_messages: plan.one_lock,
            affinity: plan.affinity,
        }
    };
    let interrupt = ndis_m_register_interrupt_ex(processors, source.clone(), build, &passive()?)?;
    let miniport = made.ok_or_else(|| NotPassed::Failed("registering asked for no handlers".into()))?;
    Ok(Registered { handle: interrupt.handle(), interrupt, miniport })
}
