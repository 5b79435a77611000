//! The nine stages of the data path, and the seams that both sides share.
//!
//! ```text
//! doorbell -> fetch -> translate -> copy -> complete -> msix      (device)
//!          -> isr -> queue -> dpc                                  (driver)
//! ```
//!
//! One stage has one name, one trace event and one set of fault points, everywhere. This crate holds those
//! names ([`Stage`]), the events ([`trace`]), the faults ([`fault`]), and the one way to wait ([`pause`]).

pub mod stage;

pub mod trace;

pub mod fault;

pub mod pause;

pub mod sync;

pub mod plant;

pub use fault::{
    Access, Action, ArmedRule, Described, FaultBook, Faults, NoFaults, Op, Point, Rule, RuleError,
    RuleFaults, RuleId, Verdict,
};
pub use pause::{Bell, Pause, Placement, Ready, Task, ThreadPause, Wake};
pub use stage::Stage;
pub use trace::{
    Detail, Event, Executed, JsonLines, Mark, NoTrace, Recorder, Side, Switch, Trace, TraceCounts, TraceSink,
    TraceWriter,
};
