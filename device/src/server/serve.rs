//! The server's two threads: one opens the door, one serves the client that is inside.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use vmm_sys_util::eventfd::{EFD_CLOEXEC, EFD_NONBLOCK, EventFd};

use super::backend::Backend;
use super::listener::{Listener, Source};
use super::session::{End, Session};
use super::socket::{self, Watch};

/// How many clients may wait for the end of one that has hung up already.
const WAITING_CLIENTS: usize = 16;
/// The pause after an `accept` that failed, for want of descriptors for example.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// How to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// End after the first client that negotiated.
    pub once: bool,
    /// How long a client may stay silent before VERSION.
    pub handshake_timeout: Duration,
    /// How long a client may leave a reply untaken.
    pub send_timeout: Duration,
    /// How long to poll for the next message before going to sleep. It is done only while messages follow each other
    /// within twice this time; a wake-up on another core costs about as much. Zero switches it off.
    pub spin: Duration,
}

impl Options {
    /// The default of [`Options::spin`]. Measured on two busy cores, client and server on one each: reads that follow each
    /// other directly take 26 to 44 us instead of 35 to 54; with pauses between them nothing changes, CPU time included.
    pub const SPIN: Duration = Duration::from_micros(40);
}

impl Default for Options {
    fn default() -> Options {
        Options {
            once: false,
            handshake_timeout: Duration::from_secs(5),
            send_timeout: Duration::from_secs(5),
            spin: Options::SPIN,
        }
    }
}

/// Why serving failed. What a client does is never a reason.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The listening socket is not usable.
    #[error("cannot prepare the listening socket")]
    Listener(#[source] io::Error),
    /// No eventfd between the two threads.
    #[error("cannot create an eventfd")]
    EventFd(#[source] io::Error),
    /// No thread for the door.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

/// Serves one client after the other until `stop` becomes readable (or, with `once` or a connected socket, until the client
/// left). Nobody needs to read `stop`; it is only watched. The socket file goes when this returns.
///
/// A client that comes while another is served is accepted and closed at once: left in the queue, it would hang.
pub fn serve(
    listener: Listener,
    backend: &dyn Backend,
    stop: &EventFd,
    options: &Options,
) -> Result<(), ServeError> {
    match listener.source() {
        Source::Connected(stream) => {
            serve_client(stream, backend, stop, options);
            Ok(())
        }
        Source::Listening(socket) => serve_all(socket, backend, stop, options),
    }
}

fn serve_all(
    socket: &UnixListener,
    backend: &dyn Backend,
    stop: &EventFd,
    options: &Options,
) -> Result<(), ServeError> {
    // `accept` must not wait, even if the client that woke us is gone, or went to another process that has this socket.
    socket.set_nonblocking(true).map_err(ServeError::Listener)?;
    let closing = EventFd::new(EFD_CLOEXEC | EFD_NONBLOCK).map_err(ServeError::EventFd)?;
    let inside = Inside::default();
    thread::scope(|scope| {
        let (entrance, clients) = sync_channel(WAITING_CLIENTS);
        // Dropped however this closure ends, also by a panic of the backend: else the scope would wait for the door forever.
        let _closing = Closing(&closing);
        let door = || keep_door(socket, &inside, entrance, [stop, &closing]);
        thread::Builder::new()
            .name("door".to_owned())
            .spawn_scoped(scope, door)
            .map_err(ServeError::Thread)?;
        serve_each(&clients, &inside, backend, stop, options);
        Ok(())
    })
}

fn serve_each(
    clients: &Receiver<Arc<UnixStream>>,
    inside: &Inside,
    backend: &dyn Backend,
    stop: &EventFd,
    options: &Options,
) {
    // Fails once the door is shut, which it is when `stop` is readable.
    while let Ok(stream) = clients.recv() {
        let (end, negotiated) = serve_client(&stream, backend, stop, options);
        inside.leave(&stream);
        if matches!(end, End::Stopped) || (options.once && negotiated) {
            return;
        }
    }
}

fn serve_client(
    stream: &UnixStream,
    backend: &dyn Backend,
    stop: &EventFd,
    options: &Options,
) -> (End, bool) {
    log::info!("a client connected");
    backend.client_came();
    let (end, negotiated) = Session::new(stream, backend, stop, options).run();
    log::info!("the session ended: {end}");
    // First the client learns that it is over, then the device is cleaned up, which may take a moment.
    let _ = stream.shutdown(std::net::Shutdown::Both);
    backend.client_gone();
    (end, negotiated)
}

/// The client that is served, or the last that was let in to be.
#[derive(Default)]
struct Inside {
    client: Mutex<Option<Arc<UnixStream>>>,
}

impl Inside {
    /// Lets a client in if nobody is inside, or if who is inside has hung up and only needs cleaning up after.
    fn enter(&self, stream: UnixStream, entrance: &SyncSender<Arc<UnixStream>>) {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if client.as_deref().is_some_and(|present| !hung_up(present)) {
            log::warn!("another client is served: closing the new connection");
            return;
        }
        let stream = Arc::new(stream);
        if entrance.try_send(Arc::clone(&stream)).is_ok() {
            *client = Some(stream);
        }
    }

    fn leave(&self, stream: &Arc<UnixStream>) {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        client.take_if(|present| Arc::ptr_eq(present, stream));
    }
}

fn hung_up(stream: &UnixStream) -> bool {
    let mut watches = [Watch::readable(stream)];
    socket::wait(&mut watches, Some(Duration::ZERO)).is_ok() && watches[0].hung_up()
}

struct Closing<'a>(&'a EventFd);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        // The counter is far from full.
        let _ = self.0.write(1);
    }
}

/// Accepts until one of `ends` is readable. Dropping `entrance` then tells the other thread.
fn keep_door(
    socket: &UnixListener,
    inside: &Inside,
    entrance: SyncSender<Arc<UnixStream>>,
    ends: [&EventFd; 2],
) {
    let mut pause = None;
    loop {
        let mut watches = [Watch::readable(ends[0]), Watch::readable(ends[1]), Watch::readable(socket)];
        // During a pause the socket, which is ready all the time, is left out.
        let watched = if pause.is_some() { 2 } else { 3 };
        if let Err(error) = socket::wait(&mut watches[..watched], pause.take()) {
            log::error!("cannot wait for clients: {error}");
            return;
        }
        if watches[0].ready() || watches[1].ready() {
            return;
        }
        if !watches[2].ready() {
            continue;
        }
        match socket.accept() {
            Ok((stream, _)) => inside.enter(stream, &entrance),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                log::warn!("cannot accept a client: {error}");
                pause = Some(ACCEPT_RETRY);
            }
        }
    }
}
