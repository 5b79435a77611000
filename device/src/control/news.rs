//! What happened, on its way to the clients: a queue of fixed size, which nobody in the device waits for.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::SystemTime;

use ioat_stage::fault::Fired;
use ioat_stage::sync::Mutex;
use ioat_stage::{FaultBook, Pause};
use serde_json::{Value, json};
use vmm_sys_util::eventfd::{EFD_CLOEXEC, EFD_NONBLOCK, EventFd};

use super::commands::channels::error_bits;
use super::commands::faults::fired_json;
use super::protocol::{self, Stamp};
use crate::lint::{Finding, LintBook};
use crate::observer::{Happening, Observer};

/// The news that wait at most.
const ROOM: usize = 1024;

/// The queue, and what it knows of the device's client.
pub struct News {
    queue: Mutex<VecDeque<(Stamp, Item)>>,
    /// News that found no room, and are not told yet; and all of them.
    untold: AtomicU64,
    lost: AtomicU64,
    /// Somebody reads the news.
    readers: AtomicUsize,
    client: AtomicBool,
    /// Readable while there is something in the queue.
    bell: EventFd,
    clock: Arc<dyn Pause>,
}

/// One piece of news.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Item {
    Happening(Happening),
    Fired(Fired),
    Finding(Finding, u64),
    Paused(usize),
    Resumed(usize),
    /// Those that allocate come from commands alone.
    Told(&'static str, Value),
}

impl News {
    /// An empty queue. `clock` stamps.
    ///
    /// # Errors
    /// When the system gives no eventfd.
    pub fn new(clock: Arc<dyn Pause>) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            queue: Mutex::new(VecDeque::with_capacity(ROOM)),
            untold: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            readers: AtomicUsize::new(0),
            client: AtomicBool::new(false),
            bell: EventFd::new(EFD_CLOEXEC | EFD_NONBLOCK)?,
            clock,
        }))
    }

    /// Listens to fault rules and findings. An engine is told of it by
    /// [`Engine::observe`](crate::engine::Engine::observe).
    pub fn listen(self: &Arc<Self>, book: &FaultBook, lint: Option<&LintBook>) {
        let news = Arc::clone(self);
        book.listen(Box::new(move |fired| news.tell(Item::Fired(fired.clone()))));
        if let Some(lint) = lint {
            let news = Arc::clone(self);
            lint.listen(Box::new(move |finding, count| news.tell(Item::Finding(*finding, count))));
        }
    }

    /// Leaves a piece of news. Neither waits nor allocates.
    pub(crate) fn tell(&self, item: Item) {
        if self.readers.load(Ordering::Acquire) == 0 {
            return;
        }
        let stamp = Stamp { wall: SystemTime::now(), t_ns: self.clock.now_ns() };
        let mut queue = self.queue.lock();
        if queue.len() == ROOM {
            self.untold.fetch_add(1, Ordering::Relaxed);
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let first = queue.is_empty();
        queue.push_back((stamp, item));
        drop(queue);
        // One write per emptying: a flood costs the device a store each. The counter is far from full.
        if first {
            let _ = self.bell.write(1);
        }
    }

    /// Takes the news as lines, and how many were lost before them.
    pub(crate) fn take(&self) -> (u64, Vec<Vec<u8>>) {
        // Before the queue is emptied, so that what comes after rings again.
        let _ = self.bell.read();
        let items = std::mem::replace(&mut *self.queue.lock(), VecDeque::with_capacity(ROOM));
        let lines = items.iter().map(|(stamp, item)| line(*stamp, item)).collect();
        (self.untold.swap(0, Ordering::Relaxed), lines)
    }

    pub(crate) fn bell(&self) -> &EventFd {
        &self.bell
    }

    pub(crate) fn clock(&self) -> &dyn Pause {
        &*self.clock
    }

    /// How many clients read.
    pub(crate) fn set_readers(&self, readers: usize) {
        self.readers.store(readers, Ordering::Release);
    }

    /// The device serves a client.
    pub(crate) fn has_client(&self) -> bool {
        self.client.load(Ordering::Relaxed)
    }

    /// News that found no room.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// The line that tells of a loss.
    pub(crate) fn loss(&self, count: u64) -> Vec<u8> {
        let stamp = Stamp { wall: SystemTime::now(), t_ns: self.clock.now_ns() };
        protocol::event("EVENTS_LOST", &json!({ "count": count }), stamp)
    }
}

impl Observer for News {
    fn happened(&self, happening: Happening) {
        match happening {
            Happening::ClientConnected => self.client.store(true, Ordering::Relaxed),
            Happening::ClientDisconnected => self.client.store(false, Ordering::Relaxed),
            _ => {}
        }
        self.tell(Item::Happening(happening));
    }
}

fn line(stamp: Stamp, item: &Item) -> Vec<u8> {
    let (name, data) = match item {
        Item::Happening(happening) => happening_json(*happening),
        Item::Fired(fired) => ("FAULT_FIRED", fired_json(fired)),
        Item::Finding(finding, count) => (
            "LINT_FINDING",
            json!({
                "rule": finding.rule.name(),
                "severity": finding.rule.severity().to_string(),
                "channel": finding.channel,
                "text": finding.to_string(),
                "count": count,
            }),
        ),
        Item::Paused(channel) => ("CHANNEL_PAUSED", json!({ "channel": channel })),
        Item::Resumed(channel) => ("CHANNEL_RESUMED", json!({ "channel": channel })),
        Item::Told(name, data) => (*name, data.clone()),
    };
    protocol::event(name, &data, stamp)
}

fn happening_json(happening: Happening) -> (&'static str, Value) {
    match happening {
        Happening::ClientConnected => ("CLIENT_CONNECTED", json!({})),
        Happening::ClientDisconnected => ("CLIENT_DISCONNECTED", json!({})),
        Happening::Halted { channel, chanerr, completed, sequence } => (
            "CHANNEL_HALTED",
            json!({
                "channel": channel,
                "chanerr": chanerr.into_bits(),
                "chanerr-bits": error_bits(chanerr),
                "completed": completed,
                "sequence": sequence,
            }),
        ),
        Happening::Stepped { channel, descriptors, left } => {
            ("CHANNEL_STEPPED", json!({ "channel": channel, "descriptors": descriptors, "left": left }))
        }
        Happening::Reset { channel } => ("RESET", json!({ "channel": channel })),
    }
}
