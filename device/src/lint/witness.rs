//! How a run tells of its descriptors: a type parameter of its loop, and nothing at all where nobody listens.

use super::under_way::Watch;
use crate::fetch::Fetched;

/// Is told of every descriptor of a run.
pub(crate) trait Witness: Copy {
    /// The engine has its copy of a descriptor.
    fn fetched(self, fetched: &Fetched);

    /// A descriptor's data is in place, and its completion word follows: from that store on its driver may know.
    fn completing(self, sequence: u64);
}

/// Nobody watches.
#[derive(Clone, Copy)]
pub(crate) struct Nobody;

impl Witness for Nobody {
    #[inline(always)]
    fn fetched(self, _: &Fetched) {}

    #[inline(always)]
    fn completing(self, _: u64) {}
}

/// The lint watches a run of this generation.
#[derive(Clone, Copy)]
pub(crate) struct Watching<'a> {
    pub(crate) watch: &'a Watch,
    pub(crate) generation: u32,
}

impl Witness for Watching<'_> {
    fn fetched(self, fetched: &Fetched) {
        self.watch.fetched(self.generation, fetched);
    }

    fn completing(self, sequence: u64) {
        self.watch.completing(self.generation, sequence);
    }
}
