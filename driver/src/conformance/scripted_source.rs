//! An interrupt source that does what a check says, for checks of the interrupt engine that need no hardware.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ioat_stage::{Bell, Pause, ThreadPause};

use crate::hw::{Fired, HwError, InterruptSource, Routed};

type RouteHook = Box<dyn Fn(&ScriptedSource, u32) + Send + Sync>;

/// Message vectors that fire when told, and a line with a level.
pub(super) struct ScriptedSource {
    vectors: u32,
    has_line: bool,
    fired: Vec<AtomicU64>,
    line: Line,
    enabled_vectors: AtomicU64,
    stopped: AtomicBool,
    bell: Bell,
    on_route: Option<RouteHook>,
}

/// The line, masked each time that it fires.
#[derive(Default)]
struct Line {
    enabled: AtomicBool,
    asserted: AtomicBool,
    masked: AtomicBool,
    unmasked: AtomicU64,
}

impl ScriptedSource {
    /// `vectors` messages and, if `has_line`, a line.
    pub(super) fn new(vectors: u32, has_line: bool) -> Self {
        Self {
            vectors,
            has_line,
            fired: (0..vectors).map(|_| AtomicU64::new(0)).collect(),
            line: Line::default(),
            enabled_vectors: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            bell: Bell::new(),
            on_route: None,
        }
    }

    pub(super) fn messages(vectors: u32) -> Arc<Self> {
        Arc::new(Self::new(vectors, false))
    }

    pub(super) fn line() -> Arc<Self> {
        Arc::new(Self::new(0, true))
    }

    /// `hook` is called when registering routes a vector, which is in the midst of registering.
    pub(super) fn on_route(mut self, hook: impl Fn(&Self, u32) + Send + Sync + 'static) -> Self {
        self.on_route = Some(Box::new(hook));
        self
    }

    /// One message on `vector`.
    pub(super) fn fire(&self, vector: u32) {
        self.fired[vector as usize].fetch_add(1, Ordering::SeqCst);
        self.ring();
    }

    /// The level of the line.
    pub(super) fn assert_line(&self, asserted: bool) {
        self.line.asserted.store(asserted, Ordering::SeqCst);
        self.ring();
    }

    /// How often the engine unmasked the line.
    pub(super) fn times_unmasked(&self) -> u64 {
        self.line.unmasked.load(Ordering::SeqCst)
    }

    /// How many vectors are enabled, and whether the line is.
    pub(super) fn enabled(&self) -> (u64, bool) {
        (self.enabled_vectors.load(Ordering::SeqCst), self.line.enabled.load(Ordering::SeqCst))
    }

    fn ring(&self) {
        ThreadPause::new().ring(&self.bell);
    }

    /// What `vector` has to tell.
    fn take(&self, vector: u32) -> u64 {
        if self.line.enabled.load(Ordering::SeqCst) {
            let line = &self.line;
            let fires = line.asserted.load(Ordering::SeqCst) && !line.masked.swap(true, Ordering::SeqCst);
            return u64::from(fires);
        }
        self.fired[vector as usize].swap(0, Ordering::SeqCst)
    }
}

impl InterruptSource for ScriptedSource {
    fn vectors(&self) -> u32 {
        self.vectors
    }

    fn enable(&self, count: u32) -> Result<(), HwError> {
        self.enabled_vectors.store(u64::from(count), Ordering::SeqCst);
        Ok(())
    }

    fn disable(&self) -> Result<(), HwError> {
        self.enabled_vectors.store(0, Ordering::SeqCst);
        self.line.enabled.store(false, Ordering::SeqCst);
        Ok(())
    }

    fn wait(&self, vector: u32, pause: &dyn Pause) -> Result<Fired, HwError> {
        loop {
            let seen = self.bell.seen();
            if self.stopped.load(Ordering::SeqCst) {
                return Ok(Fired::Stopped);
            }
            match self.take(vector) {
                0 => pause.wait(&self.bell, seen, None),
                times => return Ok(Fired::Times(times)),
            };
        }
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.ring();
    }

    fn route(&self, vector: u32, _: u32) -> Routed {
        if let Some(hook) = &self.on_route {
            hook(self, vector);
        }
        Routed::NotApplicable
    }

    fn has_line(&self) -> bool {
        self.has_line
    }

    fn enable_line(&self) -> Result<(), HwError> {
        self.line.enabled.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn unmask_line(&self) -> Result<(), HwError> {
        self.line.unmasked.fetch_add(1, Ordering::SeqCst);
        self.line.masked.store(false, Ordering::SeqCst);
        self.ring();
        Ok(())
    }
}
