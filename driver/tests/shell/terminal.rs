//! A pseudo terminal with the shell on it, and hands that type.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Nothing that a test waits for takes a second; this is for machines that do many things at once.
const LIMIT: Duration = Duration::from_secs(60);

/// The shell, on a terminal of its own.
pub(crate) struct Terminal {
    child: Child,
    hands: File,
    screen: Receiver<Vec<u8>>,
    /// All that was written, and how much of it a test has looked at.
    pub(crate) written: String,
    seen: usize,
}

impl Terminal {
    /// Starts `command` with a terminal of 100 columns as its standard streams and controlling terminal.
    pub(crate) fn start(mut command: Command) -> Self {
        let (master, slave) = open();
        let stream = || Stdio::from(slave.try_clone().expect("a file descriptor"));
        command.stdin(stream()).stdout(stream()).stderr(stream());
        // SAFETY: between fork and exec only these two system calls are made, on no memory of ours.
        unsafe {
            command.pre_exec(|| {
                // A session of its own, so that the terminal's Ctrl-C comes to it and not to the tests.
                let made = libc::setsid() >= 0 && libc::ioctl(0, libc::TIOCSCTTY, 0) == 0;
                if made { Ok(()) } else { Err(std::io::Error::last_os_error()) }
            });
        }
        let child = command.spawn().expect("the program starts");
        // The command keeps copies of the terminal's other end, which would never close then.
        drop(command);
        drop(slave);
        let hands = File::from(master);
        let (sender, screen) = channel();
        let mut eyes = hands.try_clone().expect("a file descriptor");
        thread::spawn(move || {
            let mut data = [0; 4096];
            // An error is the other end's closing.
            while let Ok(len @ 1..) = eyes.read(&mut data) {
                if sender.send(data[..len].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, hands, screen, written: String::new(), seen: 0 }
    }

    /// Presses these keys.
    pub(crate) fn press(&mut self, keys: &str) {
        self.hands.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Waits until `text` is written behind what was looked at before.
    pub(crate) fn see(&mut self, text: &str) {
        let until = Instant::now() + LIMIT;
        loop {
            if let Some(at) = self.written[self.seen..].find(text) {
                self.seen += at + text.len();
                return;
            }
            let more = self.screen.recv_timeout(until.saturating_duration_since(Instant::now()));
            let Ok(more) = more else { panic!("no {text:?} behind\n{:?}", &self.written[self.seen..]) };
            self.written.push_str(&String::from_utf8_lossy(&more));
        }
    }

    /// Waits for the program's end, and gives its exit code.
    pub(crate) fn end(mut self) -> (i32, String) {
        let until = Instant::now() + LIMIT;
        loop {
            match self.screen.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(more) => self.written.push_str(&String::from_utf8_lossy(&more)),
                Err(RecvTimeoutError::Disconnected) => break,
                // Dropped, it is killed.
                Err(RecvTimeoutError::Timeout) => panic!("it does not end; on the screen:\n{}", self.written),
            }
        }
        let status = self.child.wait().expect("it ends");
        (status.code().expect("no signal ends it"), std::mem::take(&mut self.written))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Only a test that failed leaves it running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Both ends of a terminal.
fn open() -> (OwnedFd, OwnedFd) {
    let (mut master, mut slave) = (-1, -1);
    let size = libc::winsize { ws_row: 40, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the two places are valid for the results, the size for reading; name and settings may be null.
    let made = unsafe {
        libc::openpty(
            &raw mut master,
            &raw mut slave,
            std::ptr::null_mut(),
            std::ptr::null(),
            &raw const size,
        )
    };
    assert_eq!(made, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: both were just opened, and nobody else has them.
    unsafe {
        // The shell must not inherit our end: it would hold its own terminal open.
        libc::fcntl(master, libc::F_SETFD, libc::FD_CLOEXEC);
        (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave))
    }
}
