//! Hardware behind a vfio-user socket: the device's process serves registers, shares our memory and signals
//! our eventfds. No virtual machine is needed.

mod device;

mod client;

mod connection;

mod inbox;

mod failure;

mod wire;

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ioat_stage::pause::SharedPause;

use self::client::Client;
use self::connection::Connection;
use self::device::SocketDevice;
use self::failure::{Death, Failed};
use super::iova::IovaSpace;
use super::memory::{Backing, MappedMemory};
use super::{Device, HwError};

/// How to use the socket.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a reply may take.
    pub timeout: Duration,
    /// Send BAR writes without waiting for a reply. Faster, but an error is then never seen.
    pub posted_writes: bool,
    /// Take any PCI function, not only an I/OAT v3 engine.
    pub any_function: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(5), posted_writes: false, any_function: false }
    }
}

/// Opens the device that serves the socket at `path`, and makes it bus master.
///
/// # Errors
/// [`HwError::Open`], one line that names the socket and the mend.
pub fn open(path: &Path, pause: SharedPause) -> Result<Device, HwError> {
    open_with(path, pause, &Options::default())
}

/// [`open`], with options.
///
/// # Errors
/// As [`open`].
pub fn open_with(path: &Path, pause: SharedPause, options: &Options) -> Result<Device, HwError> {
    let failed = |what: String| HwError::Open(format!("{}: {what}", path.display()));
    let stream = UnixStream::connect(path).map_err(|error| failed(unreachable(path, &error)))?;
    let connection = Connection::new(stream, pause.clone(), options.timeout);
    let connection = connection.map_err(|error| failed(error.to_string()))?;
    let client = Client::negotiate(connection).map_err(|error| failed(unwilling(&error)))?;
    let device = SocketDevice::open(client, options).map_err(failed)?;
    let device = Arc::new(device);
    let memory = MappedMemory::new(device.clone(), Backing::Memfd, IovaSpace::default());
    let name = format!("socket {}", PathBuf::from(path).display());
    Ok(Device { name, registers: device.clone(), memory: Arc::new(memory), interrupts: device, pause })
}

/// Why there is no connection.
fn unreachable(path: &Path, error: &io::Error) -> String {
    let is_socket = path.metadata().is_ok_and(|metadata| metadata.file_type().is_socket());
    match error.kind() {
        io::ErrorKind::NotFound => "no such socket: start the device with --socket-path on this path".into(),
        _ if path.exists() && !is_socket => "this is not a socket: give the path of a device's socket".into(),
        io::ErrorKind::ConnectionRefused => {
            "nobody listens on this socket: its device has ended; start it again".into()
        }
        io::ErrorKind::PermissionDenied => {
            "no permission for this socket: run as the device's user, or change the socket's mode".into()
        }
        _ => format!("cannot connect: {error}"),
    }
}

/// Why there is no negotiated version.
fn unwilling(error: &Failed) -> String {
    match error {
        Failed::Refused { errno: libc::EBUSY, .. } | Failed::Dead(Death::Closed) => {
            "the device serves another client: end that one first (if there is none, this is not a vfio-user server)"
                .into()
        }
        Failed::Dead(Death::Silent { timeout, .. }) => {
            let seconds = timeout.as_secs_f32();
            format!("no answer within {seconds} s: it serves another client, or is not a vfio-user server")
        }
        Failed::Dead(Death::Malformed { what, .. }) => format!("this is not a vfio-user server: {what}"),
        other => format!("negotiation failed: {other}"),
    }
}
