//! All rules of a run, and the record of what fired.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::super::{Access, Action, Point, Rule};
use super::armed::{Armed, ArmedRule, Gate, RuleId};
use super::census::Census;
use super::faults::{RuleFaults, bit};
use super::fired::Fired;
use crate::sync::Mutex;

/// Is told of a firing, maybe under a channel's lock: it must not block, nor call back.
pub type OnFired = Box<dyn Fn(&Fired) + Send + Sync>;

/// The device's clock, in nanoseconds.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The rules of one moment, in the order of arming. Whoever holds it goes on with it until it looks at the book's version again.
#[derive(Default)]
pub(super) struct Table {
    all: Vec<Arc<Armed>>,
    /// The same, by point.
    by_point: [Vec<Arc<Armed>>; Point::ALL.len()],
    /// The points that somebody wants to be asked about.
    pub(super) asked: u32,
    /// A rule is about a message before its word, which a step has to foresee.
    pub(super) early: bool,
    pub(super) census: Option<Arc<Census>>,
}

impl Table {
    fn new(all: Vec<Arc<Armed>>, census: Option<Arc<Census>>) -> Self {
        let mut by_point: [Vec<Arc<Armed>>; Point::ALL.len()] = Default::default();
        let mut asked = if census.is_some() { u32::MAX } else { 0 };
        for armed in &all {
            by_point[armed.rule.point as usize].push(Arc::clone(armed));
            asked |= bit(armed.rule.point);
        }
        let is_early = |armed: &Arc<Armed>| armed.rule.action == Action::Early;
        let early = by_point[Point::Msix as usize].iter().any(is_early);
        Self { all, by_point, asked, early, census }
    }

    pub(super) fn at(&self, point: Point) -> &[Arc<Armed>] {
        &self.by_point[point as usize]
    }
}

/// All rules of a run, and the record of what fired.
pub struct FaultBook {
    table: Mutex<Arc<Table>>,
    /// Counts the changes of `table`.
    pub(super) version: AtomicU64,
    last_id: AtomicU64,
    fired: Mutex<Vec<Fired>>,
    listener: OnceLock<OnFired>,
    /// By name.
    gates: Mutex<BTreeMap<String, Gate>>,
    clock: OnceLock<Clock>,
    /// The clock's time that windows count from.
    start_ns: AtomicU64,
}

impl FaultBook {
    /// The most firings that are kept; a rule of `always` must not eat the memory.
    const KEPT: usize = 4096;

    /// A book of these rules.
    #[must_use]
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Arc<Self> {
        let book = Self {
            table: Mutex::new(Arc::default()),
            version: AtomicU64::new(0),
            last_id: AtomicU64::new(0),
            fired: Mutex::new(Vec::new()),
            listener: OnceLock::new(),
            gates: Mutex::new(BTreeMap::new()),
            clock: OnceLock::new(),
            start_ns: AtomicU64::new(0),
        };
        let armed: Vec<_> = rules.into_iter().map(|rule| book.prepared(rule)).collect();
        book.change(|table| Table::new(armed, table.census.clone()));
        Arc::new(book)
    }

    /// Arms a rule: it counts the operations that come from now on. Rules are asked in the order of arming.
    pub fn arm(&self, rule: Rule) -> RuleId {
        let armed = self.prepared(rule);
        let id = armed.id;
        self.change(|table| {
            let all = table.all.iter().cloned().chain([armed]).collect();
            Table::new(all, table.census.clone())
        });
        id
    }

    /// Arms the rules of this name that rest (`armed=command`). The number of one; none if no such rule is there.
    /// Who is awake already stays so.
    pub fn arm_named(&self, name: &str) -> Option<RuleId> {
        let table = self.table.lock().clone();
        let mut named =
            table.all.iter().filter(|armed| armed.rule.name.as_deref() == Some(name) && armed.rule.rests());
        let found = named.next()?;
        found.wake();
        named.for_each(|armed| {
            armed.wake();
        });
        Some(found.id)
    }

    /// Takes a rule out. False if there is none of this number.
    pub fn disarm(&self, id: RuleId) -> bool {
        let mut found = false;
        self.change(|table| {
            found = table.all.iter().any(|armed| armed.id == id);
            let rest = table.all.iter().filter(|armed| armed.id != id);
            Table::new(rest.cloned().collect(), table.census.clone())
        });
        found
    }

    /// Takes all rules out, forgets what fired and what was counted; the clock's windows begin anew. Numbers, the listener
    /// and the census stay.
    pub fn clear(&self) {
        self.change(|table| Table::new(Vec::new(), table.census.clone()));
        if let Some(census) = &self.table.lock().census {
            census.clear();
        }
        self.fired.lock().clear();
        self.gates.lock().clear();
        self.begin();
    }

    /// The rules, in the order of arming.
    #[must_use]
    pub fn rules(&self) -> Vec<ArmedRule> {
        let table = self.table.lock().clone();
        table.all.iter().map(|armed| armed.row()).collect()
    }

    /// What has fired so far (the first 4,096), oldest first.
    #[must_use]
    pub fn fired(&self) -> Vec<Fired> {
        self.fired.lock().clone()
    }

    /// Tells `listener` of every firing from now on. False if there is one already: there is room for one.
    pub fn listen(&self, listener: OnFired) -> bool {
        self.listener.set(listener).is_ok()
    }

    /// The clock of `t=A..B`, which begins now. False if there is one already. Without a clock no window is ever open.
    pub fn set_clock(&self, clock: Clock) -> bool {
        let set = self.clock.set(clock).is_ok();
        if set {
            self.begin();
        }
        set
    }

    /// The time of `t=A..B`; none without a clock.
    #[must_use]
    pub fn now_ns(&self) -> Option<u64> {
        let clock = self.clock.get()?;
        Some(clock().saturating_sub(self.start_ns.load(Ordering::Relaxed)))
    }

    fn begin(&self) {
        if let Some(clock) = self.clock.get() {
            self.start_ns.store(clock(), Ordering::Relaxed);
        }
    }

    /// Counts the operations of every point from now on, from 0; or no longer: then what was counted is forgotten. Every
    /// stage is asked for it, as with a rule everywhere.
    pub fn census(&self, on: bool) {
        self.change(|table| Table::new(table.all.clone(), on.then(|| Arc::new(Census::new()))));
    }

    /// The census by point and channel (none where an operation has no channel); empty if it is off.
    #[must_use]
    pub fn operations(&self) -> BTreeMap<(Point, Option<u8>), u64> {
        let mut operations = BTreeMap::new();
        for ((point, channel, _), count) in self.accesses() {
            *operations.entry((point, channel)).or_default() += count;
        }
        operations
    }

    /// The same, by direction too: what an action counts that works on one direction only.
    #[must_use]
    pub fn accesses(&self) -> BTreeMap<(Point, Option<u8>, Option<Access>), u64> {
        let census = self.table.lock().census.clone();
        census.map_or_else(BTreeMap::new, |census| census.rows())
    }

    /// The verdict giver of one channel, or of the accesses outside channels.
    #[must_use]
    pub fn faults(self: &Arc<Self>) -> RuleFaults {
        RuleFaults::new(self)
    }

    fn prepared(&self, rule: Rule) -> Arc<Armed> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let mut gates = self.gates.lock();
        let gate = |name: &str| Arc::clone(gates.entry(name.to_owned()).or_default());
        Arc::new(Armed::new(id, rule, gate))
    }

    fn change(&self, change: impl FnOnce(&Table) -> Table) {
        let mut table = self.table.lock();
        *table = Arc::new(change(&table));
        // Release, and under the lock: who sees the new version finds the new rules.
        self.version.fetch_add(1, Ordering::Release);
    }

    /// The rules, and the version that they are of.
    pub(super) fn table(&self) -> (Arc<Table>, u64) {
        let table = self.table.lock();
        (Arc::clone(&table), self.version.load(Ordering::Acquire))
    }

    pub(super) fn record(&self, fired: Fired) {
        if let Some(listener) = self.listener.get() {
            listener(&fired);
        }
        let mut kept = self.fired.lock();
        if kept.len() == Self::KEPT {
            return;
        }
        // Formatted only where the level is on.
        log::warn!(
            "fault fired: {} (operation {}; again with {}) at address {:#x}",
            fired.rule,
            fired.nth,
            fired.again(),
            fired.op.address
        );
        kept.push(fired);
        if kept.len() == Self::KEPT {
            log::warn!("fault fired: {} times; no more are kept or logged", Self::KEPT);
        }
    }
}
