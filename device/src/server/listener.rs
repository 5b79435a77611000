//! Where clients come from: a socket file that we make, or a descriptor that we were started with.

use std::fs;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::socket::{self, Inherited};

/// A source of clients. Dropping it removes the socket file that it made, and no other.
#[derive(Debug)]
pub struct Listener {
    source: Source,
    file: Option<SocketFile>,
}

#[derive(Debug)]
pub(crate) enum Source {
    Listening(UnixListener),
    Connected(UnixStream),
}

/// Why there is no [`Listener`].
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another server is alive behind the path.
    #[error("{}: another server listens on this socket; stop it or choose another path", .0.display())]
    Live(PathBuf),
    /// Something else lies at the path.
    #[error("{}: exists and is not a socket; remove it or choose another path", .0.display())]
    NotASocket(PathBuf),
    /// The system refused.
    #[error("{}: cannot {what}", path.display())]
    Path {
        /// The socket's path.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// Not a descriptor to serve on.
    #[error("file descriptor {0} is not a listening or connected UNIX stream socket above 2")]
    BadFd(RawFd),
}

impl Listener {
    /// Listens at `path`, with a socket file that only this user may connect to.
    ///
    /// A socket file behind which nobody listens is replaced. A live one is not, and neither is any other file.
    pub fn bind(path: &Path) -> Result<Listener, ListenError> {
        let failed = |what| move |source| ListenError::Path { path: path.to_owned(), what, source };
        remove_stale(path)?;
        let socket = socket::listen_private(path).map_err(failed("listen"))?;
        let made = identity(path).map_err(failed("inspect the new socket"))?;
        let file = SocketFile { path: path.to_owned(), made };
        Ok(Listener { source: Source::Listening(socket), file: Some(file) })
    }

    /// Takes over descriptor `number`, as `--fd` names it: a listening or a connected UNIX stream socket.
    ///
    /// To be called once per number, at the start of the program. The descriptor is closed in the end.
    pub fn inherit(number: RawFd) -> Result<Listener, ListenError> {
        let source = match socket::inherit(number).ok_or(ListenError::BadFd(number))? {
            Inherited::Listening(socket) => Source::Listening(socket),
            Inherited::Connected(stream) => Source::Connected(stream),
        };
        Ok(Listener { source, file: None })
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let Some(SocketFile { path, made }) = &self.file else { return };
        // Somebody may have put another file in the place of ours.
        if identity(path).is_ok_and(|now| now == *made) {
            if let Err(error) = fs::remove_file(path) {
                log::warn!("cannot remove {}: {error}", path.display());
            }
        }
    }
}

impl From<UnixListener> for Listener {
    /// Serves on a listening socket that somebody else made, and whose file somebody else removes.
    fn from(socket: UnixListener) -> Listener {
        Listener { source: Source::Listening(socket), file: None }
    }
}

impl From<UnixStream> for Listener {
    /// Serves one client that is connected already.
    fn from(stream: UnixStream) -> Listener {
        Listener { source: Source::Connected(stream), file: None }
    }
}

#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Its device and inode.
    made: (u64, u64),
}

/// Device and inode of the path itself, not of what a link points to.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Makes room at `path` if there is only a socket file that nobody listens behind.
fn remove_stale(path: &Path) -> Result<(), ListenError> {
    let failed = |what, source| ListenError::Path { path: path.to_owned(), what, source };
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("inspect", error)),
    };
    if !metadata.file_type().is_socket() {
        return Err(ListenError::NotASocket(path.to_owned()));
    }
    match socket::probe(path) {
        // A full queue has somebody at its end, too.
        Ok(()) => return Err(ListenError::Live(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(ListenError::Live(path.to_owned()));
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        Err(error) => return Err(failed("find out whether anybody listens", error)),
    }
    // Only what was probed: another server may have taken the place meanwhile.
    if identity(path).is_ok_and(|now| now == (metadata.dev(), metadata.ino())) {
        fs::remove_file(path).map_err(|error| failed("remove the stale socket", error))?;
    }
    Ok(())
}
