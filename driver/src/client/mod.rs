//! What a program uses: open an engine, take a channel, copy.
//!
//! # The first copy
//!
//! A [`Device`](crate::hw::Device) comes from one of three places: [`vfio::open`](crate::hw::vfio::open) for a PCI function bound
//! to `vfio-pci`, [`socket::open`](crate::hw::socket::open) for a device in another process, `Sim::open` (feature `sim`) for one in this
//! process. From there on they are the same. The engine reaches memory that the driver allocated for it, and nothing else.
//!
//! ```
//! use std::sync::Arc;
//! use netdma::client::{ChannelOptions, Driver, Options};
//! use netdma::hw::sim::{Sim, SimOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pause = Arc::new(ioat_stage::ThreadPause::new());
//! let driver = Driver::open(Sim::open(SimOptions::default(), pause)?.device, Options::default())?;
//! let channel = driver.channel(ChannelOptions::default())?;
//!
//! let (from, to) = (driver.allocate(1 << 20)?, driver.allocate(1 << 20)?);
//! from.write(0, b"moved by the engine")?;
//! channel.copy(&from, 0, &to, 0, 19)?;
//!
//! let mut moved = [0; 19];
//! to.read(0, &mut moved)?;
//! assert_eq!(&moved, b"moved by the engine");
//! # Ok(())
//! # }
//! ```
//!
//! # Batches: many operations, one doorbell
//!
//! A doorbell and an interrupt cost more than a small copy. A [`Batch`] collects operations and gives them to the engine at once, with one
//! doorbell and one interrupt. The engine does them in order, but it may read the next source before the last destination is
//! written: [`Batch::fence`] forbids that where one operation needs the result of another.
//!
//! ```
//! # use std::sync::Arc;
//! # use std::time::Duration;
//! # use netdma::client::{Driver, Options, Segment};
//! # use netdma::hw::sim::{Sim, SimOptions};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let pause = Arc::new(ioat_stage::ThreadPause::new());
//! # let driver = Driver::open(Sim::open(SimOptions::default(), pause)?.device, Options::default())?;
//! # let channel = driver.channel(Default::default())?;
//! let (a, b, c) = (driver.allocate(4096)?, driver.allocate(4096)?, driver.allocate(8192)?);
//! let mut batch = channel.batch();
//! batch.fill(&a, 0, 4096, u64::MAX)?.fill(&b, 0, 4096, 0)?.fence();
//! // Gather both into one buffer: segments need not end at the same places on both sides.
//! batch.copy_segments(&[Segment::all(&a), Segment::all(&b)], &[Segment::new(&c, 0, 8192)])?;
//! let submission = batch.submit()?;
//! submission.wait(Duration::from_secs(5))?;
//! let mut seam = [0; 2];
//! c.read(4095, &mut seam)?;
//! assert_eq!(seam, [0xff, 0]);
//! # Ok(())
//! # }
//! ```
//!
//! # When is it finished?
//!
//! - [`Submission::wait`] sleeps until the DPC reports; [`Submission::try_poll`] asks without waiting.
//! - [`Completions`] iterates over submissions in the order in which they finish, each with a tag of the program's own.
//! - [`Channel::events`] is a file descriptor for `poll` and `epoll`.
//! - [`CompletionMode::Polled`] asks for no interrupt at all: whoever waits looks at the completion word.
//!
//! # When something goes wrong
//!
//! Every failure is an [`Error`] that says what the engine did. The channel is reset, what was pending on it has failed too, and the next batch
//! is welcome. [`Submission::results`] tells which operations of a batch were done before.
//!
//! ```
//! # use std::sync::Arc;
//! # use std::time::Duration;
//! # use netdma::client::{Driver, Error, Options};
//! # use netdma::hw::sim::{Sim, SimOptions};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let pause = Arc::new(ioat_stage::ThreadPause::new());
//! let rules = vec!["copy: nth(2) halt(write-data)".parse()?]; // a device that fails the second copy
//! let device = Sim::open(SimOptions { rules, ..SimOptions::default() }, pause)?.device;
//! # let driver = Driver::open(device, Options::default())?;
//! # let channel = driver.channel(Default::default())?;
//! # let buffer = driver.allocate(4096)?;
//! let mut batch = channel.batch();
//! for part in 0..3 {
//!     batch.copy(&buffer, part * 64, &buffer, 2048 + part * 64, 64)?;
//! }
//! let submission = batch.submit()?;
//! assert!(matches!(submission.wait(Duration::from_secs(5)), Err(Error::Halted { .. })));
//! let results = submission.results().unwrap();
//! assert!(matches!(results[..], [Ok(()), Err(Error::Halted { .. }), Err(Error::Aborted)]));
//! channel.copy(&buffer, 0, &buffer, 2048, 64)?; // and the channel works again
//! # Ok(())
//! # }
//! ```
//!
//! # What may be dropped when
//!
//! Anything, at any time. Buffers that the engine may still write are kept by the channel until it is done with them; a channel that is
//! dropped with work pending is reset first; memory that a dead engine might still write is kept, not freed.
//!
//! Everything here runs at PASSIVE_LEVEL and waits through [`ioat_stage::Pause`] only. What happened is counted in [`Channel::stats`], and
//! [`Channel::capacity`] says how much fits.

mod error;

mod driver;

mod segments;

mod batch;

mod ring;

mod channel;

mod shared;

mod submit;

mod wait;

mod recovery;

mod submission;

mod completions;

mod events;

mod reports;

pub use batch::Batch;
pub use channel::{Capacity, Channel, Stats};
pub use completions::{Completions, Done};
pub use driver::{ChannelOptions, CompletionMode, Driver, Options};
pub use error::{Error, OpenError};
pub use events::Events;
pub use segments::Segment;
pub use submission::Submission;
