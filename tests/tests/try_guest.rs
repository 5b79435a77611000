//! Experiments on drivers that nobody here wrote: one wrong completion word kills stock `ioatdma`, the place boots anew, and what follows
//! is clean; `netdma-lab try` on the stock module and on a program.
//!
//! No harness: a child that asks to die with its parent's thread must be started from the thread that lives as long as the guest.

use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Failed, Trial};
use netdma_lab::experiments::place::guest::GuestPlace;
use netdma_lab::experiments::{Campaign, Class, Experiment, Id, Limits, Place};
use netdma_tests::program;

const STOCK: &str = "[campaign]\nplace = 'vm:ioatdma'\nkernel = '6.12'\n[sweep]\n";

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let trials = vec![
        trial("a_crash_is_told_and_the_next_experiment_is_clean", crash_and_go_on),
        trial("try_on_the_stock_module_names_the_crash_and_the_command_that_repeats_it", try_stock),
        trial("try_on_a_program_judges_its_status", try_program),
        trial("try_refuses_what_is_no_module", try_refuses),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(name: &str, body: fn() -> Result<()>) -> Trial {
    Trial::test(format!("experiments_in_a_guest::{name}"), move || {
        body().map_err(|error| Failed::from(format!("{error:#}")))
    })
}

fn experiment(rule: &str) -> Result<Experiment> {
    Ok(Experiment { id: Id("0".into()), rules: vec![rule.parse()?], seed: 0 })
}

fn crash_and_go_on() -> Result<()> {
    let campaign = Campaign::parse(STOCK, "stock.toml")?;
    let mut place = GuestPlace::open(&campaign)?;
    let golden = place.golden(0)?;
    ensure!(golden.observation.reason().is_empty(), "{:?}", golden.observation);
    let limits = Limits { hang: Duration::from_secs(30), degraded: Duration::from_secs(30) };

    let crash = place.run(&experiment("complete[ch=0]: nth(2) misaddress(+0x40000)")?, &limits)?;
    ensure!(crash.class() == Class::Crash, "{crash:?}");
    ensure!(crash.reason().contains("kernel BUG at drivers/dma/ioat/dma.c"), "{}", crash.reason());
    ensure!(crash.fired.len() == 1, "{:?}", crash.fired);

    // A driver that copies its interrupt's work twice finds nothing the second time.
    let clean = place.run(&experiment("msix[ch=0]: nth(1) duplicate")?, &limits)?;
    ensure!(clean.class() == Class::Masked, "{clean:?}");
    ensure!(place.boots() == 2, "{} boots", place.boots());
    Ok(())
}

/// `netdma-lab try` in a folder of its own.
fn try_with(words: &[&str]) -> Result<(Output, String, tempfile::TempDir)> {
    let folder = tempfile::tempdir()?;
    let output =
        Command::new(program("netdma-lab")).arg("try").args(words).current_dir(folder.path()).output();
    let output = output.context("netdma-lab try")?;
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok((output, text, folder))
}

fn try_stock() -> Result<()> {
    let words = ["--stock", "ioatdma", "--kernel", "6.12", "--points", "complete", "--actions", "misaddress"];
    let (output, text, folder) = try_with(&[&words[..], &["--occurrences", "1"]].concat())?;
    ensure!(output.status.code() == Some(1), "{}: {text}", output.status);
    ensure!(text.contains("crash: kernel BUG at drivers/dma/ioat/dma.c"), "{text}");
    ensure!(
        text.contains("again: netdma-lab try --stock ioatdma --kernel 6.12 --rule 'complete[ch=0]: nth("),
        "{text}"
    );
    let again = text.lines().find_map(|line| line.split_once("again: netdma-lab "));
    let (_, again) = again.context("no command that repeats it")?;
    let line = format!("exec '{}' {again}", program("netdma-lab").display());
    let repeated = Command::new("sh").args(["-c", &line]).current_dir(folder.path()).output()?;
    let said = String::from_utf8_lossy(&repeated.stdout);
    // The same fault at the same operation; what the kernel makes of it is a race in a guest: a panic, or a self-test that failed.
    ensure!(said.contains("reproduced 1 of 1: 1 "), "{said}");
    // The journal of all faults is what it was.
    let journal = std::fs::read_to_string(folder.path().join("try-ioatdma/journal.jsonl"))?;
    ensure!(journal.lines().count() == 4, "{journal}");
    let page = std::fs::read_to_string(folder.path().join("try-ioatdma/report.html"))?;
    ensure!(text.contains("report:  try-ioatdma/report.html") && page.contains("kernel BUG at"), "{text}");
    Ok(())
}

fn try_program() -> Result<()> {
    let words = ["--kernel", "6.12", "--points", "copy", "--actions", "corrupt", "--limit", "2", "--"];
    let (output, text, _folder) =
        try_with(&[&words[..], &["netdma", "copy", "--size", "64K", "--on", "{bdf}"]].concat())?;
    // Our program compares what it copied, and says what is wrong with it.
    ensure!(output.status.code() == Some(1), "{}: {text}", output.status);
    ensure!(text.contains("corrupts data silently on"), "{text}");
    ensure!(text.contains("-- netdma copy --size 64K --on"), "{text}");
    Ok(())
}

fn try_refuses() -> Result<()> {
    for (words, part) in [
        (&["./nosuch.ko"][..], "no such file"),
        (&["/bin/sh"][..], "expected a kernel module"),
        (&["--stock", "nosuch", "--kernel", "6.12"][..], "has no module nosuch"),
    ] {
        let (output, text, _folder) = try_with(words)?;
        ensure!(matches!(output.status.code(), Some(2 | 3)), "{}: {text}", output.status);
        ensure!(text.contains(part), "{text}");
    }
    Ok(())
}
