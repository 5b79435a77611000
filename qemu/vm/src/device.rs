//! Device programs: any vfio-user server that makes a UNIX socket.

use std::env;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::child::Child;
use crate::error::VmError;
use crate::qemu::program_on_path;
use crate::stop::Stop;

/// The device program that is used when none is named.
pub const DEFAULT_PROGRAM: &str = "vfio-user-ioat";

/// A device program has this long to listen on its socket.
const SOCKET_LIMIT: Duration = Duration::from_secs(10);
const SOCKET_RETRY: Duration = Duration::from_millis(5);

/// A device program that was asked to end has this long.
const END_GRACE: Duration = Duration::from_secs(2);

/// A device program's command line, with a place for its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceProgram {
    words: Vec<String>,
}

impl DeviceProgram {
    /// From words. `{socket}` in a word is replaced by the socket's path; if no word has it, `--socket-path=PATH` is appended.
    pub fn new(words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { words: words.into_iter().map(Into::into).collect() }
    }

    /// From one line, with words split as a shell would: blanks, quotes, backslashes.
    pub fn from_line(line: &str) -> Result<Self, VmError> {
        let words = split(line).map_err(|why| VmError::DeviceLine(line.into(), why))?;
        Ok(Self { words })
    }

    /// The default program: beside this executable, or on PATH.
    pub fn default_program() -> Result<Self, VmError> {
        let beside = beside_this_executable(DEFAULT_PROGRAM).into_iter().find(|path| path.is_file());
        let program = beside.or_else(|| program_on_path(DEFAULT_PROGRAM)).ok_or_else(|| VmError::Device {
            line: DEFAULT_PROGRAM.into(),
            how: format!(
                "is neither beside this program nor on PATH: build it (`cargo build -p {DEFAULT_PROGRAM}`), name another with --device, or give --no-device"
            ),
        })?;
        Ok(Self::new([program.to_string_lossy()]))
    }

    /// The words with the socket's path in its place.
    pub fn words(&self, socket: &Path) -> Vec<String> {
        let socket = socket.to_string_lossy();
        let mut words: Vec<_> = self.words.iter().map(|word| word.replace("{socket}", &socket)).collect();
        if words == self.words {
            words.push(format!("--socket-path={socket}"));
        }
        words
    }
}

/// A running device program.
#[derive(Debug)]
pub struct Device {
    child: Child,
    line: String,
    socket: PathBuf,
    log: PathBuf,
}

impl Device {
    /// Starts the program; [`Device::wait_until_it_listens`] must follow.
    pub(crate) fn start(program: &DeviceProgram, socket: &Path, log: &Path) -> Result<Self, VmError> {
        let words = program.words(socket);
        let line = words.join(" ");
        let file = File::create(log).map_err(|source| VmError::Io { path: log.into(), source })?;
        let same_file = file.try_clone().map_err(|source| VmError::Io { path: log.into(), source })?;
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(file).stderr(same_file);
        // A group of its own: Ctrl-C comes to us, and we end it in order.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        match Child::spawn(command, |_| {}) {
            Ok(child) => Ok(Self { child, line, socket: socket.into(), log: log.into() }),
            Err(error) => Err(VmError::Device { line, how: format!("does not start: {error}") }),
        }
    }

    /// Waits for the socket. It is not connected for a trial: a server may serve one client and end.
    pub(crate) fn wait_until_it_listens(&self, stop: Option<&Stop>) -> Result<(), VmError> {
        let deadline = Instant::now() + SOCKET_LIMIT;
        while !listens(&self.socket) {
            if self.child.status().is_some() {
                return Err(self.failure("ended before it made its socket"));
            }
            if let Some(signal) = stop.and_then(Stop::signal) {
                return Err(VmError::Stopped(signal));
            }
            if Instant::now() > deadline {
                let how = format!("does not listen on {} after {SOCKET_LIMIT:?}", self.socket.display());
                return Err(self.failure(&how));
            }
            sleep(SOCKET_RETRY);
        }
        Ok(())
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// The process, to signal it or wait for it.
    pub fn child(&self) -> &Child {
        &self.child
    }

    /// Kills it at once (SIGKILL) and waits for its end.
    pub fn kill(&self) -> io::Result<()> {
        self.child.signal(libc::SIGKILL)?;
        self.child.wait(Duration::from_secs(10));
        Ok(())
    }

    /// Its command line.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// Its socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The file with its standard output and error.
    pub fn log(&self) -> &Path {
        &self.log
    }

    pub(crate) fn end(&self) {
        self.child.end(END_GRACE);
    }

    /// A sentence about a device program that ended by itself, for another error's text.
    pub(crate) fn obituary(&self) -> Option<String> {
        let status = self.child.status()?;
        Some(format!("device program `{}` ended: {status}{}", self.line, last_line(&self.log)))
    }

    fn failure(&self, how: &str) -> VmError {
        let status = self.child.status().map(|status| format!(" ({status})")).unwrap_or_default();
        let how = format!("{how}{status}{}", last_line(&self.log));
        VmError::Device { line: self.line.clone(), how }
    }
}

/// The places beside this executable, and beside the folders `deps` and `examples` in which cargo puts other programs.
pub(crate) fn beside_this_executable(name: &str) -> Vec<PathBuf> {
    let folder = env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_path_buf));
    let above = folder
        .as_deref()
        .filter(|folder| folder.ends_with("deps") || folder.ends_with("examples"))
        .and_then(Path::parent);
    let folders = above.map(Path::to_path_buf).into_iter().chain(folder.clone());
    folders.map(|folder| folder.join(name)).collect()
}

/// `: ` and the last line of a log that has one.
pub(crate) fn last_line(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let line = text.lines().rev().find(|line| !line.trim().is_empty());
    line.map(|line| format!(": {}", line.trim())).unwrap_or_default()
}

/// The file of a socket appears with bind(2), a little before listen(2); the kernel's list shows which of them listen.
fn listens(socket: &Path) -> bool {
    let is_socket = fs::symlink_metadata(socket).is_ok_and(|metadata| metadata.file_type().is_socket());
    if !is_socket {
        return false;
    }
    match fs::read_to_string("/proc/net/unix") {
        Ok(list) => listens_in(&list, &socket.to_string_lossy()),
        Err(_) => true,
    }
}

/// `Num RefCount Protocol Flags Type St Inode Path`; the flag 0x10000 is "accepts connections".
fn listens_in(list: &str, socket: &str) -> bool {
    list.lines().any(|line| {
        let mut fields = line.split_whitespace();
        let flags = fields.nth(3).and_then(|flags| u32::from_str_radix(flags, 16).ok());
        flags.is_some_and(|flags| flags & 0x1_0000 != 0) && line.ends_with(&format!(" {socket}"))
    })
}

/// Splits a line into words as a shell would, without expanding anything.
pub fn split(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match c {
            _ if c.is_whitespace() => words.extend(word.take()),
            '\\' => match characters.next().ok_or("ends with a backslash")? {
                // The line goes on in the next one.
                '\n' => {}
                plain => word.get_or_insert_default().push(plain),
            },
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next().ok_or("a quote is not closed")? {
                        end if end == c => break,
                        '\\' if c == '"' => word.push(characters.next().ok_or("a quote is not closed")?),
                        inside => word.push(inside),
                    }
                }
            }
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if words.is_empty() { Err("no program is named") } else { Ok(words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_replaces_its_place_or_is_appended() {
        let words = |line| DeviceProgram::from_line(line).unwrap().words(Path::new("/s"));
        assert_eq!(words("dev --fd 3 -s {socket}"), ["dev", "--fd", "3", "-s", "/s"]);
        assert_eq!(words("dev -v"), ["dev", "-v", "--socket-path=/s"]);
    }

    #[test]
    fn a_line_is_split_as_a_shell_splits_it() {
        assert_eq!(split(r#"a 'b c' "d \" e" f\ g '' "#).unwrap(), ["a", "b c", "d \" e", "f g", ""]);
        assert_eq!(split("a \\\n  b\\\nc").unwrap(), ["a", "bc"]);
        assert!(split("a 'b").is_err());
        assert!(split("  ").is_err());
    }

    #[test]
    fn a_program_that_ends_at_once_is_reported_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let program = DeviceProgram::new(["sh", "-c", "echo no such profile >&2; exit 7", "{socket}"]);
        let device = Device::start(&program, &folder.path().join("s"), &folder.path().join("log")).unwrap();
        let error = device.wait_until_it_listens(None).unwrap_err().to_string();
        assert!(error.contains("ended before it made its socket"), "{error}");
        assert!(error.ends_with("(exit status: 7): no such profile"), "{error}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let program = DeviceProgram::new(["/no/such/device"]);
        let error =
            Device::start(&program, &folder.path().join("s"), &folder.path().join("log")).unwrap_err();
        assert!(error.to_string().starts_with("device program `/no/such/device --socket-path="), "{error}");
    }

    #[test]
    fn a_bound_socket_is_not_yet_a_listening_one() {
        let list = "Num RefCount Protocol Flags Type St Inode Path\n\
                    0: 00000002 00000000 00010000 0001 01 123 /run/a b.sock\n\
                    0: 00000002 00000000 00000000 0001 01 124 /run/c.sock\n";
        assert!(listens_in(list, "/run/a b.sock"));
        assert!(!listens_in(list, "/run/c.sock"));
        assert!(!listens_in(list, "/run/d.sock"));
    }
}
