//! One run, told by both sides on two clocks: the device's on this host, the driver's in a guest. Their traces are put on one
//! clock, and then every descriptor has a life from the driver's doorbell to its DPC.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Failed, Trial};
use netdma_lab::guests::{self, Guest, NETDMA};
use netdma_lab::trace::merge::{MAX_DRIFT_PPM, Merged, merge, one_clock};
use netdma_lab::trace::way::Point;
use netdma_lab::trace::{Life, Trace, link, read};
use netdma_tests::{build_dir, guest_program, program};
use netdma_vm::kernel::KernelChoice;

/// Where the driver writes in the guest.
const IN_GUEST: &str = "/tmp/driver.jsonl";

fn main() {
    let mut arguments = Arguments::from_args();
    // The guest's programs die with the thread that started them.
    arguments.test_threads = Some(1);
    let name = "traces_of_host_and_guest_merge_and_every_descriptor_has_a_life";
    let trial = Trial::test(name, || check().map_err(|error| Failed::from(format!("{error:#}"))));
    libtest_mimic::run(&arguments, vec![trial]).exit();
}

/// `target/timeline/`, where the traces stay for whoever wants to look.
fn folder() -> Result<PathBuf> {
    let folder = build_dir().parent().context("cargo's target folder")?.join("timeline");
    std::fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
    Ok(folder)
}

fn check() -> Result<()> {
    let folder = folder()?;
    let [device, driver] = ["guest-device.jsonl", "guest-driver.jsonl"].map(|name| folder.join(name));
    let kernel = KernelChoice::Version("6.12".into());
    let options = vec![format!("--trace={}", device.display())];
    let plan = guests::plan(&kernel, &program("vfio-user-ioat"), &guest_program("netdma"), &[options])?;
    let mut guest = Guest::new(plan.start()?, kernel);
    let bdf = guest.vm.bdf(0);
    guest.run(&[NETDMA, "selftest", "--quick", "--on", &bdf, "--trace", IN_GUEST])?;
    std::fs::write(&driver, guest.vm.get(IN_GUEST)?)?;
    guest.vm.power_off()?;

    let mut trace = read(&[&device, &driver])?;
    ensure!(!one_clock(&trace), "host and guest count from different begins, and still agree");
    let merged = merge(&mut trace, MAX_DRIFT_PPM)?;
    println!("{merged:?}");
    fits(&merged)?;
    lives(&trace)
}

/// The selftest rings hundreds of doorbells; what a doorbell and a message take together bounds the error.
fn fits(merged: &Merged) -> Result<()> {
    ensure!(merged.doorbells > 200 && merged.interrupts > 200, "few pairs: {merged:?}");
    ensure!(merged.impossible.is_empty(), "{merged:?}");
    // Not a figure to be met, but far more than both take on a busy host.
    ensure!(merged.error_ns < 50_000_000, "{merged:?}");
    Ok(())
}

fn lives(trace: &Trace) -> Result<()> {
    ensure!(one_clock(trace), "the merged trace is not on one clock");
    let linked = link(&trace.records);
    ensure!(linked.lives.len() > 1_000, "{} descriptors", linked.lives.len());
    let with = |way: &[Point]| {
        let has = |life: &&Life| way.iter().all(|point| life.point(*point).is_some());
        linked.lives.iter().filter(has).count()
    };
    let all = linked.lives.len();
    let ends = with(&[Point::Written, Point::Doorbell, Point::Fetch, Point::Copy, Point::Dpc]);
    ensure!(ends == all, "{ends} of {all} descriptors go from the driver's doorbell to a DPC");
    // A few are reported before their own message is served (rule 8 of linking).
    let served = with(&[Point::Msix, Point::Isr, Point::Queue]);
    ensure!(served * 10 >= all * 9, "{served} of {all} descriptors have a message that was served");
    Ok(())
}
