//! Coming, going, resetting, and where the socket is: statements 76 to 82 of the server's specification.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod server_support;

use std::fs;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use server_support::{
    EINVAL, Fixture, RawClient, SMALL_BAR, TestDevice, access_body, command, eventfd, eventually, map_body,
    memory_file, message, write_body,
};
use vfio_user_ioat::server::{ListenError, Listener, Options, flag, irq, serve};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

fn departures(fixture: &Fixture) -> u32 {
    fixture.device.departures.load(Ordering::SeqCst)
}

#[test]
fn v76_v77_reset_keeps_maps_and_takes_effect_after_posted_writes() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    assert_eq!(client.ask(command::DEVICE_RESET, &[]).errno(), 0);
    let memory = memory_file(0x1000);
    let body = map_body(3, 0, 0, 0x1000);
    assert_eq!(client.ask_with_fds(command::DMA_MAP, &body, &[memory.as_raw_fd()]).errno(), 0);
    for n in 0..100 {
        client.post(command::REGION_WRITE, &write_body(SMALL_BAR, n, &[0xff]));
    }
    assert_eq!(client.ask(command::DEVICE_RESET, &[]).errno(), 0);
    assert_eq!(client.ask(command::DEVICE_RESET, &[1, 2, 3]).errno(), 0);
    assert_eq!(client.read(SMALL_BAR, 0, 100).payload[16..], [0; 100]);
    assert_eq!(fixture.device.resets.load(Ordering::SeqCst), 3);
    assert_eq!(fixture.device.mapped(), [(0, 0x1000)]);
}

#[test]
fn v78_a_client_that_dies_leaves_nothing_to_the_next() {
    let fixture = Fixture::start();
    let write = message(1, command::REGION_WRITE, flag::NO_REPLY, &write_body(SMALL_BAR, 0, &[1; 100]));
    // At every boundary of a message, and inside of each part.
    for (nth, cut) in (1..).zip([0, 8, 16, 24, 32, 80, write.len()]) {
        let mut client = fixture.client();
        let memory = memory_file(0x1000);
        let body = map_body(3, 0, 0, 0x1000);
        assert_eq!(client.ask_with_fds(command::DMA_MAP, &body, &[memory.as_raw_fd()]).errno(), 0);
        let assign = flag::IRQ_DATA_EVENTFD | flag::IRQ_TRIGGER;
        assert_eq!(client.set_irqs(assign, irq::MSIX, 0, 1, &[&eventfd()]), 0);
        client.try_send(&write[..cut]);
        drop(client);
        eventually("the device is cleaned up", || departures(&fixture) == nth);
        assert_eq!(fixture.device.mapped(), []);
        assert!(!fixture.device.irqs.enabled(irq::MSIX));
    }
    fixture.assert_serves();
}

#[test]
fn v78_replies_that_nobody_reads_do_not_hold_up_the_next_client() {
    let fixture = Fixture::start();
    let read = message(1, command::REGION_READ, 0, &access_body(SMALL_BAR, 0, 4096));
    for _ in 0..5 {
        let mut client = fixture.client();
        for _ in 0..30 {
            client.send(&read, &[]);
        }
        drop(client);
        fixture.assert_serves();
    }
}

#[test]
fn v79_a_second_client_is_closed_at_once() {
    let fixture = Fixture::start();
    let mut first = fixture.client();
    for _ in 0..10 {
        let start = Instant::now();
        let mut second = RawClient::connect(&fixture.path);
        second.assert_closed();
        assert!(start.elapsed() < Duration::from_secs(2));
        first.assert_in_step();
    }
    assert_eq!(departures(&fixture), 0);
    drop(first);
    fixture.assert_serves();
}

#[test]
fn v79_a_second_client_is_closed_while_the_first_keeps_the_server_busy() {
    let fixture = Fixture::start();
    let mut first = fixture.client();
    let burst =
        message(1, command::REGION_WRITE, flag::NO_REPLY, &write_body(SMALL_BAR, 0, &[1; 8])).repeat(2000);
    let path = fixture.path.clone();
    let second = std::thread::spawn(move || RawClient::connect(&path).assert_closed());
    while !second.is_finished() {
        first.send(&burst, &[]);
    }
    second.join().unwrap();
    first.assert_in_step();
}

#[test]
fn v80_stop_ends_the_server_from_wherever_it_is() {
    // Waiting for a client; waiting for VERSION; in a session; inside a message; with a client that takes no replies.
    let scenes: [fn(&Fixture) -> Option<RawClient>; 5] = [
        |_| None,
        |fixture| Some(RawClient::connect(&fixture.path)),
        |fixture| Some(fixture.client()),
        |fixture| {
            let mut client = fixture.client();
            client.send(&message(1, command::DEVICE_RESET, 0, &[0; 64])[..40], &[]);
            Some(client)
        },
        |fixture| {
            let mut client = fixture.client();
            let read = message(1, command::REGION_READ, 0, &access_body(server_support::BIG_BAR, 0, 1 << 20));
            client.send(&read.repeat(4), &[]);
            Some(client)
        },
    ];
    for scene in scenes {
        let mut fixture = Fixture::start();
        let client = scene(&fixture);
        std::thread::sleep(Duration::from_millis(20));
        let start = Instant::now();
        fixture.stop();
        fixture.join().unwrap();
        assert!(start.elapsed() < Duration::from_secs(1));
        assert!(!fixture.path.exists());
        // Who was served is cleaned up after.
        assert_eq!(departures(&fixture), fixture.device.identities.load(Ordering::SeqCst));
        drop(client);
    }
}

#[test]
fn v80_stop_ends_the_server_under_a_flood() {
    let mut fixture = Fixture::start();
    let mut client = fixture.client();
    // The client is faster than the device, so that the server never has to wait.
    fixture.device.write_pause_us.store(1000, Ordering::Relaxed);
    let post =
        message(1, command::REGION_WRITE, flag::NO_REPLY, &write_body(SMALL_BAR, 0, &[1; 8])).repeat(1000);
    let flood =
        std::thread::spawn(move || while std::io::Write::write_all(&mut client.stream, &post).is_ok() {});
    std::thread::sleep(Duration::from_millis(20));
    let start = Instant::now();
    fixture.stop();
    fixture.join().unwrap();
    assert!(start.elapsed() < Duration::from_secs(1));
    flood.join().unwrap();
}

#[test]
fn v81_a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("device.sock");
    drop(UnixListener::bind(&path).unwrap());
    let stale = fs::metadata(&path).unwrap().ino();
    let listener = Listener::bind(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    let error = Listener::bind(&path).unwrap_err();
    assert!(matches!(&error, ListenError::Live(named) if *named == path));
    assert!(error.to_string().contains("device.sock"), "{error}");
    assert!(path.exists());

    drop(listener);
    assert!(!path.exists(), "inode was {stale}");
}

#[test]
fn v81_a_live_socket_with_a_full_queue_is_still_live() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("busy.sock");
    // Its owner is frozen: nobody accepts.
    let busy = Listener::bind(&path).unwrap();
    let (connected, connections) = std::sync::mpsc::channel();
    let filler = {
        let path = path.clone();
        std::thread::spawn(move || {
            // The queue holds 128; the one that finds it full waits, until `busy` is gone.
            while let Ok(stream) = UnixStream::connect(&path) {
                connected.send(stream).unwrap();
            }
        })
    };
    let mut held = Vec::new();
    while let Ok(stream) = connections.recv_timeout(Duration::from_millis(200)) {
        held.push(stream);
    }
    assert!(held.len() > 100, "{}", held.len());
    assert!(matches!(Listener::bind(&path), Err(ListenError::Live(_))));
    drop(busy);
    filler.join().unwrap();
}

#[test]
fn v81_what_is_not_a_socket_is_never_removed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("precious");
    fs::write(&file, "data").unwrap();
    let link = folder.path().join("link");
    symlink(&file, &link).unwrap();
    let dangling = folder.path().join("dangling");
    symlink(folder.path().join("nowhere"), &dangling).unwrap();
    for path in [&file, &link, &dangling, &folder.path().to_owned()] {
        assert!(matches!(Listener::bind(path), Err(ListenError::NotASocket(_))), "{}", path.display());
        assert!(path.symlink_metadata().is_ok());
    }
    assert_eq!(fs::read(&file).unwrap(), b"data");
}

#[test]
fn v81_paths_that_cannot_be_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("x".repeat(120));
    for path in [&long, Path::new("/nonexistent/device.sock"), Path::new("")] {
        let error = Listener::bind(path).unwrap_err().to_string();
        assert!(error.starts_with(&path.display().to_string()), "{error}");
    }
}

#[test]
fn v80_only_the_socket_that_we_made_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("device.sock");
    let listener = Listener::bind(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let other = UnixListener::bind(&path).unwrap();
    drop(listener);
    assert!(path.exists());
    UnixStream::connect(&path).unwrap();
    drop(other);
}

/// Serves on `listener` in a thread until it returns by itself or `stop` is written.
fn serve_in_thread(
    listener: Listener,
    options: Options,
) -> (Arc<TestDevice>, Arc<EventFd>, std::thread::JoinHandle<()>) {
    let (device, stop) = (Arc::new(TestDevice::new()), Arc::new(EventFd::new(EFD_NONBLOCK).unwrap()));
    let (served, stopped) = (Arc::clone(&device), Arc::clone(&stop));
    let thread = std::thread::spawn(move || serve(listener, &*served, &stopped, &options).unwrap());
    (device, stop, thread)
}

#[test]
fn v81_an_inherited_listening_socket_is_served_and_its_file_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("device.sock");
    let socket = UnixListener::bind(&path).unwrap();
    let listener = Listener::inherit(socket.into_raw_fd()).unwrap();
    let (_, stop, thread) = serve_in_thread(listener, Options::default());
    for _ in 0..2 {
        let mut client = RawClient::connect(&path);
        client.negotiate();
    }
    stop.write(1).unwrap();
    thread.join().unwrap();
    assert!(path.exists());
    assert!(UnixStream::connect(&path).is_err());
}

#[test]
fn v81_an_inherited_connected_socket_is_served_once() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let listener = Listener::inherit(theirs.into_raw_fd()).unwrap();
    let (device, _, thread) = serve_in_thread(listener, Options::default());
    let mut client = RawClient::over(ours);
    client.negotiate();
    client.assert_in_step();
    drop(client);
    eventually("the server ends with its client", || thread.is_finished());
    thread.join().unwrap();
    assert_eq!(device.departures.load(Ordering::SeqCst), 1);
}

#[test]
fn v81_other_descriptors_are_not_inherited() {
    let file = tempfile::tempfile().unwrap();
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let datagram = std::os::unix::net::UnixDatagram::unbound().unwrap();
    let numbers = [-1, 0, 2, 9999, file.as_raw_fd(), udp.as_raw_fd(), datagram.as_raw_fd()];
    for number in numbers {
        assert!(matches!(Listener::inherit(number), Err(ListenError::BadFd(named)) if named == number));
    }
    // They are still open, and still theirs.
    assert!(file.metadata().is_ok());
    assert!(udp.local_addr().is_ok());
}

#[test]
fn once_ends_after_the_first_client_that_negotiated() {
    let mut fixture = Fixture::with(Options { once: true, ..Options::default() });
    // A look whether anybody is there is not a session.
    drop(UnixStream::connect(&fixture.path).unwrap());
    let mut client = fixture.client();
    client.assert_in_step();
    drop(client);
    fixture.join().unwrap();
    assert!(!fixture.path.exists());
    assert_eq!(departures(&fixture), 2);
}

#[test]
fn an_error_that_ends_a_session_frees_the_server_for_the_next() {
    let fixture = Fixture::start();
    for _ in 0..50 {
        let mut client = RawClient::connect(&fixture.path);
        assert_eq!(client.ask(command::DEVICE_GET_INFO, &[0; 16]).errno(), EINVAL);
        client.assert_closed();
        fixture.assert_serves();
    }
}

#[test]
fn r51_a_device_that_panics_takes_the_server_down_and_hangs_nobody() {
    let mut fixture = Fixture::start();
    let mut client = fixture.client();
    fixture.device.broken_width.store(3, Ordering::Relaxed);
    client.send(&message(1, command::REGION_READ, 0, &access_body(SMALL_BAR, 0, 3)), &[]);
    client.assert_closed();
    assert!(fixture.outcome().is_err());
    assert!(!fixture.path.exists());
}
