//! `netdma-lab experiment run`: plan, run what is not in the journal yet, sum up, and say whether there is news.

mod command;
mod crew;
mod outcome;

pub use command::{Arguments, header, run};
pub use crew::{Crew, Done, Ended};
pub use outcome::replay_command;
