//! A device program for experiments on this host: its socket and its control socket lie in a private folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use ioat_stage::Rule;
use ioat_stage::fault::Trigger;
use netdma_vm::child::Child;

use super::Infra;
use super::device_view::DeviceView;
use crate::experiments::observation::Fired;

/// It has this long to serve.
const START_LIMIT: Duration = Duration::from_secs(20);
const RETRY: Duration = Duration::from_millis(2);

/// Whoever lost its connection to a device that dies sees the end of it within this time.
const END_LIMIT: Duration = Duration::from_secs(2);

/// A running `vfio-user-ioat`. Dropping it ends it.
#[derive(Debug)]
pub struct DeviceProcess {
    /// Its control socket.
    pub view: DeviceView,
    child: Child,
    log: PathBuf,
    folder: tempfile::TempDir,
}

impl DeviceProcess {
    /// Starts it with these options.
    ///
    /// # Errors
    /// When it does not start, or does not serve in time; with its last words.
    pub fn start(program: &Path, options: &[String]) -> Result<Self, Infra> {
        let folder = tempfile::Builder::new().prefix("netdma-device-").tempdir();
        let folder = folder.context("a folder for the device's sockets")?;
        let log = folder.path().join("log");
        let file = File::create(&log).context("the device's log")?;
        let mut command = Command::new(program);
        command.arg("--socket-path").arg(socket_in(folder.path()));
        command.arg("--control").arg(control_in(folder.path())).args(options);
        // What fires is said as a warning; that is all that is read of its log.
        command.env("RUST_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let child = Child::spawn(command, |_| {});
        let child = child.with_context(|| format!("{} does not start", program.display()))?;
        let view = connect(&child, folder.path(), &log)?;
        Ok(Self { view, child, log, folder })
    }

    /// The socket that it serves.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        socket_in(self.folder.path())
    }

    /// A private folder that lives as long as it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// How it ended, if it has; one that is just dying is waited for.
    #[must_use]
    pub fn death(&self) -> Option<ExitStatus> {
        self.child.wait(END_LIMIT)
    }

    /// Where its log ends now: a mark for [`Self::fired_since`].
    #[must_use]
    pub fn mark(&self) -> usize {
        self.said().len()
    }

    /// What fired since, by its log: the only witness of a device that is dead.
    #[must_use]
    pub fn fired_since(&self, mark: usize) -> Vec<Fired> {
        self.said().get(mark..).unwrap_or_default().lines().filter_map(fired_of).collect()
    }

    /// The last line that it said.
    #[must_use]
    pub fn last_words(&self) -> String {
        last_line(&self.said())
    }

    fn said(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn socket_in(folder: &Path) -> PathBuf {
    folder.join("dma.sock")
}

fn control_in(folder: &Path) -> PathBuf {
    folder.join("control.sock")
}

/// Connects as soon as it serves both sockets.
fn connect(child: &Child, folder: &Path, log: &Path) -> anyhow::Result<DeviceView> {
    let until = Instant::now() + START_LIMIT;
    loop {
        let (ended, late) = (child.status(), Instant::now() > until);
        // The first one to be there: it is served before anybody asks the second.
        if socket_in(folder).exists() {
            match DeviceView::connect(&control_in(folder)) {
                Ok(view) => return Ok(view),
                Err(error) if late => return Err(error.0).context("the device program's control socket"),
                Err(_) => {}
            }
        }
        let words = || last_line(&fs::read_to_string(log).unwrap_or_default());
        match ended {
            Some(status) => bail!("the device program ended at once: {status}: {}", words()),
            None if late => bail!("the device program does not serve after {START_LIMIT:?}: {}", words()),
            None => sleep(RETRY),
        }
    }
}

/// `... fault fired: RULE (operation N; again with AGAIN) at address ...`
fn fired_of(line: &str) -> Option<Fired> {
    let (_, said) = line.split_once("fault fired: ")?;
    let (rule, rest) = said.split_once(" (operation ")?;
    let (nth, rest) = rest.split_once("; again with ")?;
    let (again, _) = rest.rsplit_once(") at address")?;
    let nth = nth.parse().ok()?;
    let resolved: Rule = again.parse().ok()?;
    let own = resolved.triggers.iter().find_map(|trigger| match trigger {
        Trigger::Nth(own) => Some(*own),
        _ => None,
    });
    let (channel, channel_nth) = (resolved.channel(), own.unwrap_or(nth));
    Some(Fired { rule: rule.to_owned(), nth, channel, channel_nth, again: again.to_owned() })
}

fn last_line(text: &str) -> String {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("without a word").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_a_dead_device_tells_what_fired() {
        let line = "[2026-11-21T00:00:00Z WARN  ioat_stage::fault::engine] fault fired: msix: nth(3) drop (operation 3; \
                    again with msix[ch=1]: nth(2) drop) at address 0x100";
        let fired = fired_of(line).unwrap();
        assert_eq!((fired.rule.as_str(), fired.nth, fired.channel), ("msix: nth(3) drop", 3, Some(1)));
        assert_eq!((fired.channel_nth, fired.again.as_str()), (2, "msix[ch=1]: nth(2) drop"));
        assert_eq!(fired_of("something else"), None);
    }

    #[test]
    fn a_program_that_does_not_serve_is_named_with_its_last_words() {
        let error = DeviceProcess::start(Path::new("/bin/false"), &[]).unwrap_err();
        assert!(error.to_string().contains("ended at once"), "{error}");
        let error = DeviceProcess::start(Path::new("/no/such/program"), &[]).unwrap_err();
        assert!(error.to_string().contains("/no/such/program does not start"), "{error}");
    }
}
