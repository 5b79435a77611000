//! One mend: the rule against the stock module and against the patched one, side by side.

use anyhow::{Context, Result};
use netdma_vm::kernel::KernelChoice;

use super::catalog::Mend;
use super::guest::{Seen, Trial};
use crate::kmod::{self, Module};

/// What came of a mend.
#[derive(Clone, Debug)]
pub struct Mended {
    /// With the module that Debian built.
    pub before: Seen,
    /// With the patched one.
    pub after: Seen,
    /// How the stock module failed; `None`: it did not, as it should have.
    pub fails: Option<String>,
    /// How the patched one passed; `None`: it did not.
    pub passes: Option<String>,
}

impl Mended {
    /// Found, and mended.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.fails.is_some() && self.passes.is_some()
    }
}

/// Builds the patched module and dmatest, and tries the rule on both modules. Two guests boot at once.
///
/// # Errors
/// When a module is not built, or a guest does not boot: nothing is said about the patch then.
pub fn mend(mend: &Mend, kernel: &KernelChoice) -> Result<Mended> {
    let dmatest = kmod::build(kernel, &Module::Dmatest)?;
    let patched = kmod::build(kernel, &Module::Ioatdma(vec![mend.patch()]))?;
    let before = Trial::start(kernel, mend.rule, "ioatdma", &dmatest)?;
    let after = Trial::start(kernel, mend.rule, &patched.to_string_lossy(), &dmatest)?;
    let before = before.watch().context("the guest with the stock module")?;
    let after = after.watch().context("the guest with the patched module")?;
    let (fails, passes) = ((mend.fails)(&before), (mend.passes)(&after));
    Ok(Mended { before, after, fails, passes })
}
