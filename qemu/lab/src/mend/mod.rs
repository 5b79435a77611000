//! Found, and mended: findings on the stock `ioatdma`, each with a small kernel patch of ours. The same rule, once against the
//! module that Debian built and once against the patched one, says whether the patch mends it.

mod catalog;

pub mod command;

mod guest;

mod run;

pub use catalog::{CATALOG, Mend, find};
pub use guest::Seen;
pub use run::{Mended, mend};
