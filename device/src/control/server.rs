//! The control socket's thread: it waits for all clients at once, and for none of them alone.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use vmm_sys_util::eventfd::{EFD_CLOEXEC, EFD_NONBLOCK, EventFd};

use super::desk::Desk;
use super::peer::Peer;
use super::protocol::{self, Class, Complaint, MAX_PEERS};
use crate::server::Listener;
use crate::server::listener::Source;
use crate::server::socket::{self, Watch};

/// The pause after an `accept` that failed, for want of descriptors for example.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// Connections taken before the others have their turn.
const ACCEPTS: usize = 16;

/// A running control socket. Dropping it closes every connection and removes the socket file.
pub struct Server {
    stop: EventFd,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts to serve.
    ///
    /// # Errors
    /// When the listener is one connection, or the system gives no eventfd or thread.
    pub fn start(listener: Listener, desk: Desk) -> io::Result<Self> {
        let Source::Listening(socket) = listener.source() else {
            return Err(io::Error::new(ErrorKind::InvalidInput, "the control socket is one that listens"));
        };
        // `accept` must not wait, even if the client that woke us is gone.
        socket.set_nonblocking(true)?;
        let stop = EventFd::new(EFD_CLOEXEC | EFD_NONBLOCK)?;
        let ends = stop.try_clone()?;
        let body = move || Round { desk, ends, peers: Vec::new(), crowded: false }.serve(&listener);
        let thread = thread::Builder::new().name("control".to_owned()).spawn(body)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The counter is far from full.
        let _ = self.stop.write(1);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("the control socket's thread panicked");
        }
    }
}

struct Round {
    desk: Desk,
    ends: EventFd,
    peers: Vec<Peer>,
    /// The last `accept` failed: let a moment pass.
    crowded: bool,
}

impl Round {
    fn serve(mut self, listener: &Listener) {
        let Source::Listening(socket) = listener.source() else { return };
        loop {
            let mut watches = self.watches(socket);
            if let Err(error) = socket::wait(&mut watches, self.patience()) {
                log::error!("the control socket cannot wait: {error}");
                return;
            }
            if watches[0].ready() {
                self.desk.tracing.drain();
                return;
            }
            self.spread_news();
            let Self { desk, peers, .. } = &mut self;
            for (peer, watch) in peers.iter_mut().zip(&watches[3..]) {
                peer.turn(watch, desk);
            }
            peers.retain(|peer| !peer.is_over());
            let crowded = std::mem::take(&mut self.crowded);
            if watches[2].ready() && !crowded {
                self.accept(socket);
            }
            self.desk.news.set_readers(self.peers.len());
        }
    }

    fn watches(&self, socket: &UnixListener) -> Vec<Watch> {
        let mut watches = vec![
            Watch::readable(&self.ends),
            Watch::readable(self.desk.news.bell()),
            Watch::wanted(socket, !self.crowded, false),
        ];
        watches.extend(self.peers.iter().map(Peer::watch));
        watches
    }

    /// Until when to wait if nothing comes.
    fn patience(&self) -> Option<Duration> {
        if self.peers.iter().any(Peer::is_behind) {
            return Some(Duration::ZERO);
        }
        let now = self.desk.news.clock().now_ns();
        let due = self.peers.iter().filter_map(Peer::until_ns).min();
        let due = due.map(|until| Duration::from_nanos(until.saturating_sub(now)));
        let retry = self.crowded.then_some(ACCEPT_RETRY);
        due.into_iter().chain(retry).min()
    }

    fn spread_news(&mut self) {
        let (lost, lines) = self.desk.news.take();
        for peer in &mut self.peers {
            peer.missed(lost);
            lines.iter().for_each(|line| peer.offer(line));
        }
    }

    fn accept(&mut self, socket: &UnixListener) {
        for _ in 0..ACCEPTS {
            match socket.accept() {
                Ok((stream, _)) if self.peers.len() < MAX_PEERS => {
                    let mut peer = Peer::new(stream, &self.desk.greeting());
                    // The greeting, at once.
                    peer.turn(&Watch::wanted(socket, false, false), &self.desk);
                    self.peers.push(peer);
                    self.desk.news.set_readers(self.peers.len());
                }
                Ok((stream, _)) => {
                    let desc = format!("{MAX_PEERS} clients are connected, and that is the limit");
                    let line = protocol::reply(Err(Complaint::new(Class::Refused, desc)), None);
                    // A fresh socket has room for a line.
                    let _ = socket::send(stream.as_fd(), &line);
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                    return;
                }
                Err(error) => {
                    log::warn!("cannot accept a client of the control socket: {error}");
                    self.crowded = true;
                    return;
                }
            }
        }
    }
}
