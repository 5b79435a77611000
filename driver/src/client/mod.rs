//! What a program uses: open an engine, take a channel, copy.
//!
//! ```no_run
//! # fn example(device: netdma::hw::Device) -> Result<(), Box<dyn std::error::Error>> {
//! use netdma::client::{ChannelOptions, Driver, Options};
//!
//! let driver = Driver::open(device, Options::default())?;
//! let channel = driver.channel(ChannelOptions::default())?;
//! let (from, to) = (driver.allocate(1 << 20)?, driver.allocate(1 << 20)?);
//! from.write(0, b"moved by the engine")?;
//! channel.copy(&from, 0, &to, 0, 19)?;
//! # Ok(())
//! # }
//! ```
//!
//! Everything here runs at PASSIVE_LEVEL and waits through [`ioat_stage::Pause`] only. Buffers that the engine may
//! still write are kept alive by the channel, whatever the program drops.

mod error;

mod driver;

mod batch;

mod ring;

mod channel;

mod shared;

mod submit;

mod wait;

mod recovery;

mod submission;

mod reports;

pub use batch::Batch;
pub use channel::{Channel, Stats};
pub use driver::{ChannelOptions, Driver, Options};
pub use error::{Error, OpenError};
pub use submission::Submission;
