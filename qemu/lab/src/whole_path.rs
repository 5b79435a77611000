//! The main job: our driver and the stock one on the same device program, in guests behind a virtual IOMMU.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use netdma_vm::kernel::KernelChoice;

use crate::guests::{self, Guest};
use crate::programs;
use crate::selftest::Report;
use crate::stock;
use crate::table::Table;

/// The rule of the second device: the third interrupt is lost.
const LOSE_THE_THIRD: &str = "msix: nth(3) drop";

/// The device's own record of what the stock driver had it do lies beside its socket, under this ending.
const TRACE: &str = ".trace";

/// What one part of the job came to.
struct Part {
    what: &'static str,
    seconds: f64,
    result: Result<Done>,
}

/// What a part did.
struct Done {
    bytes: u64,
    descriptors: u64,
    interrupts: u64,
    remark: String,
    report: Option<Report>,
}

/// Runs it and prints the tables. True if every part passed.
///
/// # Errors
/// When a guest cannot be booted at all.
pub fn run(kernel: &KernelChoice, verbose: bool) -> Result<bool> {
    let begun = Instant::now();
    let device = programs::host("vfio-user-ioat")?;
    let netdma = programs::guest("netdma")?;
    let rule = vec!["--fault".to_owned(), LOSE_THE_THIRD.to_owned()];
    let mut ours = guests::plan(kernel, &device, &netdma, &[Vec::new(), rule])?;
    let traced = vec!["--socket-path={socket}".to_owned(), format!("--trace={{socket}}{TRACE}")];
    let mut stocks = guests::plan(kernel, &device, &netdma, &[traced])?;
    stocks.bind = false;
    (ours.memory, stocks.memory) = ("1G".into(), "512M".into());

    step("boot two guests, each behind a virtual IOMMU: one for our driver, one for the stock one");
    let mut ours = Guest::new(ours.launch()?, kernel.clone());
    let mut stocks = Guest::new(stocks.launch()?, kernel.clone());
    ours.vm.wait_until_ready().context("the guest of our driver")?;
    say(&format!("{:.1} s: {}", begun.elapsed().as_secs_f64(), ours.vm.summary()));

    let progress = |text: &str| {
        if verbose {
            eprint!("{text}");
        }
    };
    let parts = [
        part("our driver: the whole path", || selftest(&mut ours, 0, progress)),
        part("our driver: third interrupt lost", || lost_interrupt(&mut ours, progress)),
        part("stock ioatdma: same device program", || stock_driver(&mut stocks)),
    ];
    step("power the guests off");
    ours.vm.power_off()?;
    stocks.vm.power_off()?;

    print!("\n{}", tables(&parts));
    let failed = parts.iter().filter(|part| part.result.is_err()).count();
    println!("\ntook {:.1} s", begun.elapsed().as_secs_f64());
    println!("{} passed, {failed} failed", parts.len() - failed);
    Ok(failed == 0)
}

fn part(what: &'static str, body: impl FnOnce() -> Result<Done>) -> Part {
    step(what);
    let begun = Instant::now();
    let result = body();
    let seconds = begun.elapsed().as_secs_f64();
    match &result {
        Ok(done) => say(&format!("{seconds:.1} s: {}", done.remark)),
        Err(error) => say(&format!("{seconds:.1} s: FAILED: {error:#}")),
    }
    Part { what, seconds, result }
}

fn selftest(guest: &mut Guest, device: usize, progress: impl FnMut(&str)) -> Result<Done> {
    let bdf = guest.vm.bdf(device);
    let words = ["selftest", "--on", &bdf, "--quick", "--json"];
    let (status, report): (i32, Report) = guest.netdma(&words, progress)?;
    if let Some(failure) = report.first_failure() {
        anyhow::bail!("{failure}");
    }
    ensure!(status == 0, "the selftest ended with {status}");
    let recovered = report.sum(|step| step.recovered);
    Ok(Done {
        bytes: report.sum(|step| step.bytes),
        descriptors: report.sum(|step| step.descriptors),
        interrupts: report.sum(|step| step.interrupts),
        remark: match recovered {
            0 => format!("{} steps verified", report.passed),
            n => format!(
                "{} steps verified, recovered {n} lost interrupt{}",
                report.passed,
                if n == 1 { "" } else { "s" }
            ),
        },
        report: Some(report),
    })
}

fn lost_interrupt(guest: &mut Guest, progress: impl FnMut(&str)) -> Result<Done> {
    let done = selftest(guest, 1, progress)?;
    let recovered = done.report.as_ref().map_or(0, |report| report.sum(|step| step.recovered));
    let log = std::fs::read_to_string(guest.vm.devices()[1].log())?;
    ensure!(log.contains("fault fired"), "the device never lost an interrupt:\n{log}");
    ensure!(recovered > 0, "the device lost an interrupt, and the driver never noticed");
    Ok(done)
}

fn stock_driver(guest: &mut Guest) -> Result<Done> {
    guest.vm.wait_until_ready().context("the guest of the stock driver")?;
    let bdf = guest.vm.bdf(0);
    let found = stock::take(guest, &bdf)?;
    ensure!(found.channels == 4, "ioatdma made {} channels of 4", found.channels);
    ensure!(found.interrupts.len() == 4, "ioatdma has {} MSI-X lines of 4", found.interrupts.len());
    let interrupts = found.interrupts.iter().sum();
    ensure!(interrupts > 0, "no interrupt reached ioatdma");
    // The driver's self-test verified its copy itself; how much that was, the device saw.
    let socket = guest.vm.devices()[0].socket().display().to_string();
    let (bytes, descriptors) = seen_by_the_device(&std::fs::read_to_string(socket + TRACE)?)?;
    ensure!(bytes > 0, "ioatdma's self-test copied nothing");
    Ok(Done {
        bytes,
        descriptors,
        interrupts,
        remark: format!(
            "Linux {}: {} channels, {} MSI-X lines, self-test passed, log clean",
            found.release,
            found.channels,
            found.interrupts.len()
        ),
        report: None,
    })
}

/// Bytes that were copied and descriptors that were fetched, by a trace. A NULL descriptor has no destination.
fn seen_by_the_device(trace: &str) -> Result<(u64, u64)> {
    let (mut bytes, mut descriptors) = (0, 0);
    for line in trace.lines() {
        let event: serde_json::Value = serde_json::from_str(line).context("the device's trace")?;
        match event["stage"].as_str() {
            Some("fetch") => descriptors += 1,
            Some("copy") if event["address"] != 0 => bytes += event["len"].as_u64().unwrap_or(0),
            _ => {}
        }
    }
    Ok((bytes, descriptors))
}

fn tables(parts: &[Part]) -> String {
    let mut what = Table::new(&["what ran", "verified bytes", "descriptors", "interrupts", "time", "result"]);
    let mut processors = Table::new(&["DPCs", "processor", "ran", "queued", "refused", "worker"]);
    for part in parts {
        let time = format!("{:.1} s", part.seconds);
        match &part.result {
            Ok(done) => what.row([
                part.what,
                &done.bytes.to_string(),
                &done.descriptors.to_string(),
                &done.interrupts.to_string(),
                &time,
                &format!("ok: {}", done.remark),
            ]),
            Err(error) => what.row([part.what, "", "", "", &time, &format!("FAILED: {error:#}")]),
        }
        for processor in
            part.result.iter().filter_map(|done| done.report.as_ref()).flat_map(|report| &report.processors)
        {
            processors.row([
                part.what.to_owned(),
                processor.number.to_string(),
                processor.dpcs.to_string(),
                processor.queued.to_string(),
                processor.refused.to_string(),
                processor.placement.clone(),
            ]);
        }
    }
    format!("{what}\n{processors}")
}

fn step(text: &str) {
    println!("==> {text}");
}

fn say(text: &str) {
    println!("    {text}");
}
