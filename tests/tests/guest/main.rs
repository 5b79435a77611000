//! What runs in a guest: our driver through kernel VFIO behind a virtual IOMMU, and the stock `ioatdma`, on the
//! same device program. Each guest boots once and then answers many checks.

mod checks;
mod conduct;
mod conformance;
mod guest;
mod ioatdma;
mod kills;
mod line;
mod mend;
mod our_driver;
mod panic;
mod scripts;

use libtest_mimic::{Arguments, Trial};

fn main() {
    let mut arguments = Arguments::from_args();
    // The checks of one guest follow each other; and a child that asks to die with its parent's thread
    // must be started from the thread that lives as long as the guest.
    arguments.test_threads = Some(1);
    let trials: Vec<Trial> =
        [checks::stable_kernel(), checks::newest_kernel(), line::checks(), panic::checks(), mend::checks()]
            .into_iter()
            .flatten()
            .collect();
    libtest_mimic::run(&arguments, trials).exit();
}
