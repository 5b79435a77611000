//! `netdma-vm setup`.

use std::io::{IsTerminal, stderr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use netdma_vm::cache::Cache;
use netdma_vm::setup::{Progress, Setup, mebibytes};
use netdma_vm::stop;

/// Finds QEMU and guest kernels, or fetches them into the cache folder; needs no root.
///
/// The cache folder is $NETDMA_CACHE, else $XDG_CACHE_HOME/netdma, else ~/.cache/netdma. Nothing is installed outside of it. A second run
/// needs no network.
#[derive(Debug, Args)]
pub(crate) struct SetupArguments {
    /// A guest kernel: the beginning of a release, or `newest` (of Debian's backports); repeatable
    #[arg(long = "kernel", value_name = "VERSION", default_value = "6.12")]
    kernels: Vec<String>,
    /// Use this QEMU (>= 10.1) and fetch none
    #[arg(long, value_name = "PATH")]
    qemu: Option<PathBuf>,
    /// Fetch nothing, only say what is there and what is missing
    #[arg(long, alias = "offline")]
    no_install: bool,
}

pub(crate) fn run(arguments: &SetupArguments) -> anyhow::Result<i32> {
    let begun = Instant::now();
    let cache = Cache::from_environment()?;
    let setup = Setup {
        cache: cache.clone(),
        kernels: arguments.kernels.clone(),
        qemu: arguments.qemu.clone(),
        no_install: arguments.no_install,
        stop: Some(stop::on_signals().context("taking over Ctrl-C")?),
    };
    let mut display = Display { terminal: stderr().is_terminal(), bar: None, what: String::new(), begun };
    setup.run(&mut |progress| display.show(progress))?;
    let seconds = begun.elapsed().as_secs_f64();
    eprintln!("netdma-vm: ready after {seconds:.1} s; the cache has {}", mebibytes(cache.size_bytes()));
    Ok(0)
}

/// A bar on a terminal, lines elsewhere.
struct Display {
    terminal: bool,
    bar: Option<ProgressBar>,
    what: String,
    begun: Instant,
}

impl Display {
    fn show(&mut self, progress: Progress) {
        match progress {
            Progress::Line(line) => eprintln!("netdma-vm: {line}"),
            Progress::Fetch { what, total_bytes } => self.begin(what, total_bytes),
            Progress::Bytes(bytes) => {
                if let Some(bar) = &self.bar {
                    bar.set_position(bytes);
                }
            }
            Progress::Fetched => self.end(),
        }
    }

    fn begin(&mut self, what: String, total_bytes: u64) {
        self.begun = Instant::now();
        if self.terminal {
            let template = if total_bytes > 0 {
                "{spinner} {msg} {bar:30} {bytes}/{total_bytes}"
            } else {
                "{spinner} {msg} {bytes}"
            };
            let style =
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(total_bytes).with_style(style).with_message(what.clone());
            bar.enable_steady_tick(Duration::from_millis(200));
            self.bar = Some(bar);
        } else if total_bytes > 0 {
            eprintln!("netdma-vm: fetching {what}, {}", mebibytes(total_bytes));
        } else {
            eprintln!("netdma-vm: fetching {what}");
        }
        self.what = what;
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        eprintln!("netdma-vm: fetched {} in {:.1} s", self.what, self.begun.elapsed().as_secs_f64());
    }
}
