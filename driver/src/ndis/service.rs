//! The service threads of an interrupt: one for each vector that delivers, and one, once an entry of the MSI-X table is
//! masked, that delivers what was held back.

use std::io;
use std::sync::Arc;

use ioat_stage::pause::Join;
use ioat_stage::sync::Mutex;
use ioat_stage::{Placement, Task};

use super::interrupt::Objects;
use super::isr;

/// What a thread is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Duty {
    /// Serving this vector: an entry of the MSI-X table, or 0 for the line.
    Entry(u32),
    /// Delivering what masked entries held back.
    Redeliver,
}

/// The threads.
#[derive(Default)]
pub(super) struct ServiceThreads(Mutex<State>);

#[derive(Default)]
struct State {
    /// What is served, or about to be.
    duties: Vec<Duty>,
    threads: Vec<Box<dyn Join>>,
    closed: bool,
}

impl ServiceThreads {
    /// Starts the thread for `duty`; gives where it runs, or nothing if it runs already or never will again.
    pub(super) fn start(&self, objects: &Arc<Objects>, duty: Duty) -> io::Result<Option<Placement>> {
        {
            let mut state = self.0.lock();
            if state.closed || state.duties.contains(&duty) {
                return Ok(None);
            }
            state.duties.push(duty);
        }
        // Without the lock: the new thread's first service routine may be here before this returns (IR-2).
        let spawned = spawn(objects, duty);
        let mut state = self.0.lock();
        let thread = match spawned {
            Ok(thread) => thread,
            Err(error) => {
                state.duties.retain(|other| *other != duty);
                return Err(error);
            }
        };
        let placement = thread.placement();
        if state.closed {
            drop(state);
            join(thread);
            return Ok(None);
        }
        state.threads.push(thread);
        Ok(Some(placement))
    }

    /// No thread is started any more.
    pub(super) fn is_closed(&self) -> bool {
        self.0.lock().closed
    }

    /// Starts no more threads, and runs `stop`, which must end them, if there ever was one.
    pub(super) fn close(&self, stop: impl FnOnce()) {
        let mut state = self.0.lock();
        state.closed = true;
        let threads = std::mem::take(&mut state.threads);
        let started = !state.duties.is_empty();
        drop(state);
        if started {
            stop();
        }
        threads.into_iter().for_each(join);
    }
}

fn join(thread: Box<dyn Join>) {
    if !thread.join() {
        log::error!("an interrupt service thread panicked");
    }
}

fn spawn(objects: &Arc<Objects>, duty: Duty) -> io::Result<Box<dyn Join>> {
    let interrupt = objects.owner();
    let objects = objects.clone();
    let (task, body): (_, Box<dyn FnOnce() + Send>) = match duty {
        Duty::Entry(vector) => {
            // One beyond the messages has no processor of its own: what it delivers is another message's.
            let cpu = interrupt.messages.get(vector as usize).map(|message| message.processor);
            let task = Task { name: format!("isr-{vector}"), cpu };
            (task, Box::new(move || isr::serve(&objects, vector)))
        }
        Duty::Redeliver => {
            let task = Task { name: "isr-unmasked".to_owned(), cpu: None };
            (task, Box::new(move || isr::redeliver(&objects)))
        }
    };
    interrupt.engine.pause.spawn(task, body)
}
