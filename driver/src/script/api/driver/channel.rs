//! A channel of the driver: operations are collected, submitted, and waited for.

use std::cell::RefCell;
use std::fmt;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ioat_stage::pause::deadline;
use rhai::{Array, Dynamic, INT, Map};

use super::super::super::Session;
use super::super::super::buffer::Buffer;
use super::super::super::failure::{Failure, failed};
use super::super::super::number::{bits, count, int, natural, size};
use super::super::map::map;
use super::attached::Attached;
use super::{counts, options};
use crate::client::{self, Batch, Error, Submission};
use crate::hw::DmaBuffer;

/// The longest that a wait goes without looking for itself, and whether the script shall end.
const SLICE: Duration = Duration::from_millis(10);

/// A channel. Clones are the same one.
#[derive(Clone)]
pub(super) struct Channel {
    open: Rc<RefCell<Option<Open>>>,
    attached: Rc<Attached>,
}

/// A channel that was not closed.
pub(in super::super::super) struct Open {
    channel: client::Channel,
    collected: Vec<Operation>,
    under_way: Vec<Submission>,
}

/// What is to be submitted.
enum Operation {
    Copy { from: Arc<DmaBuffer>, at: usize, to: Arc<DmaBuffer>, to_at: usize, bytes: usize },
    Fill { to: Arc<DmaBuffer>, bytes: usize, pattern: u64 },
    Null,
    Fence,
}

impl Channel {
    pub(super) fn new(attached: &Rc<Attached>, map: &Map) -> Result<Self, Failure> {
        let options = options::of_channel(map)?;
        let channel = attached.client()?.channel(options);
        let channel = channel.map_err(|error| failed(format!("channel: {error}")))?;
        let open = Open { channel, collected: Vec::new(), under_way: Vec::new() };
        let open = Rc::new(RefCell::new(Some(open)));
        attached.keep(Rc::downgrade(&open));
        Ok(Self { open, attached: attached.clone() })
    }

    pub(super) fn copy(
        &self,
        from: &Buffer,
        at: INT,
        to: &Buffer,
        to_at: INT,
        bytes: INT,
    ) -> Result<(), Failure> {
        let (from, to) = (from.memory(), to.memory());
        let (at, to_at) = (size("offset", at)?, size("offset", to_at)?);
        let bytes = size("length", bytes)?;
        self.collect(Operation::Copy { from, at, to, to_at, bytes })
    }

    pub(super) fn fill(&self, to: &Buffer, bytes: INT, pattern: INT) -> Result<(), Failure> {
        let (to, bytes) = (to.memory(), size("length", bytes)?);
        self.collect(Operation::Fill { to, bytes, pattern: bits(pattern) })
    }

    pub(super) fn null(&self) -> Result<(), Failure> {
        self.collect(Operation::Null)
    }

    pub(super) fn fence(&self) -> Result<(), Failure> {
        self.collect(Operation::Fence)
    }

    /// Tries the operation on a batch of its own, so that the call with the mistake is the one that fails.
    fn collect(&self, operation: Operation) -> Result<(), Failure> {
        self.with(|open| {
            operation.add(&mut open.channel.batch()).map_err(thrown)?;
            open.collected.push(operation);
            Ok(())
        })
    }

    pub(super) fn submit(&self) -> Result<INT, Failure> {
        self.with(|open| {
            let mut batch = open.channel.batch();
            for operation in &open.collected {
                operation.add(&mut batch).map_err(thrown)?;
            }
            let operations = batch.operations();
            if operations == 0 {
                return Err(failed(
                    "there is nothing to submit: collect operations first, with copy, fill or null",
                ));
            }
            open.under_way.push(batch.submit().map_err(thrown)?);
            open.collected.clear();
            Ok(count(operations))
        })
    }

    pub(super) fn wait(&self, timeout_ms: INT) -> Result<Array, Failure> {
        let session = self.attached.session()?;
        let timeout = Duration::from_millis(natural("time-out", timeout_ms)?);
        self.with(|open| {
            let mut results = Array::new();
            let until = deadline(&*session.device.pause, timeout);
            for submission in std::mem::take(&mut open.under_way) {
                await_until(&session, &open.channel, &submission, until)?;
                let said = submission.results().unwrap_or_default();
                results.extend(said.into_iter().map(|result| Dynamic::from(shown(result))));
            }
            Ok(results)
        })
    }

    pub(super) fn outstanding(&self) -> Result<INT, Failure> {
        self.with(|open| Ok(count(open.channel.capacity().submissions)))
    }

    pub(super) fn command(
        &self,
        command: impl FnOnce(&client::Channel) -> Result<(), Error>,
    ) -> Result<(), Failure> {
        self.with(|open| command(&open.channel).map_err(thrown))
    }

    pub(super) fn stats(&self) -> Result<Dynamic, Failure> {
        self.with(|open| counts(&open.channel.stats()))
    }

    pub(super) fn index(&self) -> Result<INT, Failure> {
        self.with(|open| Ok(int(open.channel.index())))
    }

    /// The message that it interrupts with: channel `c` has message `c` modulo their number.
    pub(super) fn message(&self) -> Result<INT, Failure> {
        let messages = self.attached.client()?.messages().len().max(1) as u64;
        self.with(|open| Ok(int(open.channel.index() % messages)))
    }

    pub(super) fn processor(&self) -> Result<INT, Failure> {
        self.with(|open| Ok(INT::from(open.channel.processor().0)))
    }

    pub(super) fn close(&self) -> Result<(), Failure> {
        let open = self.open.borrow_mut().take();
        open.map(drop).ok_or_else(closed)
    }

    fn with<T>(&self, call: impl FnOnce(&mut Open) -> Result<T, Failure>) -> Result<T, Failure> {
        call(self.open.borrow_mut().as_mut().ok_or_else(closed)?)
    }
}

impl Operation {
    fn add(&self, batch: &mut Batch<'_>) -> Result<(), Error> {
        match self {
            Self::Copy { from, at, to, to_at, bytes } => batch.copy(from, *at, to, *to_at, *bytes).map(drop),
            Self::Fill { to, bytes, pattern } => batch.fill(to, 0, *bytes, *pattern).map(drop),
            Self::Null => {
                batch.null();
                Ok(())
            }
            Self::Fence => {
                batch.fence();
                Ok(())
            }
        }
    }
}

/// Waits until it is over. What is not over then fails, and its channel is reset.
fn await_until(
    session: &Session,
    channel: &client::Channel,
    submission: &Submission,
    until: u64,
) -> Result<(), Failure> {
    let (pause, events) = (&session.device.pause, channel.events().map_err(thrown)?);
    loop {
        // Cleared before the look, so that nothing is missed.
        let _ = events.clear();
        if submission.try_poll().is_some() {
            return Ok(());
        }
        if pause.now_ns() >= until {
            // What came of it is in its results.
            let _ = submission.wait(Duration::ZERO);
            return Ok(());
        }
        session.go_on()?;
        pause.wait_readable(&[events.as_fd()], Some(until.min(deadline(&**pause, SLICE))));
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.open.try_borrow().ok().and_then(|open| open.as_ref().map(|open| open.channel.index())) {
            Some(index) => write!(f, "channel {index}"),
            None => f.write_str("channel, closed"),
        }
    }
}

fn shown(result: Result<(), Error>) -> Map {
    let error = result.as_ref().err().map_or(Dynamic::UNIT, |error| error.to_string().into());
    map([("ok", result.is_ok().into()), ("error", error)])
}

fn closed() -> Failure {
    failed("the channel was closed")
}

fn thrown(error: Error) -> Failure {
    failed(error.to_string())
}
