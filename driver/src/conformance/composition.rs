//! The composition of NetDMA and NDIS (contract 3.3 and 4.9): interrupt, service routine, DPC, report.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ioat_spec::{GeneralRegister, IntrCtrl};
use ioat_stage::sync::Mutex;
use ioat_stage::{Event, FaultAction, NoTrace, Point, Rule, Stage, Trace, Trigger};

use super::assembly::{Assembly, TELLS, Taken, copy, failed, null, with};
use super::bench::{NotPassed, Wanted};
use super::{Bench, Statement, Verdict, ensure, ensure_eq, statement};
