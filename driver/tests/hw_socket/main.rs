//! The vfio-user client against a server that follows a script: what works, and each way to be wronged.
#![expect(clippy::unwrap_used, reason = "a test whose server fails, fails")]

mod any_function;
mod server;

use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ioat_stage::{Task, ThreadPause};
use netdma::hw::socket::{Options, open, open_with};
use netdma::hw::{Device, Fired, HwError, Routed, Space};
use server::{
    Answer, DMA_MAP, DMA_READ, DMA_UNMAP, GET_INFO, IRQ_INFO, Map, Message, NO_REPLY, REGION_INFO,
    REGION_READ, REGION_WRITE, RESET, SET_IRQS, Server, VERSION, frame, reply,
};

const REFUSED: u32 = 13;

fn pause() -> Arc<ThreadPause> {
    Arc::new(ThreadPause::new())
}

fn device(server: &Server) -> Device {
    open(&server.path(), pause()).unwrap()
}

fn hasty(server: &Server) -> Result<Device, HwError> {
    let options = Options { timeout: Duration::from_millis(30), ..Options::default() };
    open_with(&server.path(), pause(), &options)
}

fn refusal(path: &Path) -> String {
    match open(path, pause()) {
        Err(HwError::Open(text)) => text,
        Err(other) => panic!("not an open error: {other}"),
        Ok(device) => panic!("opened {}", device.name),
    }
}

/// A server that is right until the device is open, and then answers BAR 0 reads with `answer`.
fn wrong_read(answer: impl Fn(&Message) -> Answer + Send + 'static) -> Server {
    Server::twisted(move |message| {
        let bar_read = message.command == REGION_READ && server::word(&message.payload, 8) == 0;
        bar_read.then(|| answer(message))
    })
}

fn gone(result: Result<u64, HwError>) -> String {
    match result {
        Err(HwError::Gone(text)) => text,
        other => panic!("not gone: {other:?}"),
    }
}

#[test]
fn registers_of_every_width_are_read_and_written_in_place() {
    let server = Server::right();
    let device = device(&server);
    assert_eq!(device.read64(Space::BAR0, 8).unwrap(), 0x0f0e_0d0c_0b0a_0908);
    assert_eq!(device.read32(Space::Config, 0).unwrap(), 0x2021_8086);
    assert_eq!(device.read16(Space::BAR0, 0x10).unwrap(), 0x1110);
    assert_eq!(device.read8(Space::BAR0, 0x13).unwrap(), 0x13);
    device.write64(Space::BAR0, 0x90, 0x0123_4567_89ab_cdef).unwrap();
    device.write8(Space::Config, 0x3c, 0x5a).unwrap();
    let state = server.state.lock().unwrap();
    assert_eq!(server::long(&state.bar0, 0x90), 0x0123_4567_89ab_cdef);
    assert_eq!(state.config[0x3c], 0x5a);
    assert!(state.commands.iter().all(|(_, flags)| *flags == 0), "{:?}", state.commands);
}

#[test]
fn opening_makes_the_device_bus_master_and_a_reset_keeps_it_so() {
    let server = Server::right();
    let device = device(&server);
    assert_eq!(server.state.lock().unwrap().config[4], 0b110);
    device.registers.reset().unwrap();
    let state = server.state.lock().unwrap();
    assert_eq!((state.resets, state.config[4]), (1, 0b110));
}

#[test]
fn posted_bar_writes_ask_for_no_reply_and_config_writes_do() {
    let server = Server::right();
    let options = Options { posted_writes: true, ..Options::default() };
    let device = open_with(&server.path(), pause(), &options).unwrap();
    device.write32(Space::BAR0, 0x80, 7).unwrap();
    device.write16(Space::Config, 0x3c, 7).unwrap();
    // The write is in order before this read, so the read sees it.
    assert_eq!(device.read32(Space::BAR0, 0x80).unwrap(), 7);
    let state = server.state.lock().unwrap();
    let writes: Vec<u32> = state
        .commands
        .iter()
        .filter(|(command, _)| *command == REGION_WRITE)
        .map(|(_, flags)| *flags)
        .collect();
    assert_eq!(writes, [0, NO_REPLY, 0]);
}

#[test]
fn a_buffer_is_the_same_memory_in_both_processes_and_is_unmapped_when_dropped() {
    let server = Server::right();
    let device = device(&server);
    let buffer = device.memory.allocate(5000).unwrap();
    let other = device.memory.allocate(1).unwrap();
    assert_eq!(buffer.len(), 8192);
    buffer.write(100, b"by the driver").unwrap();
    let (iova, other_iova) = (buffer.iova(), other.iova());
    {
        let state = server.state.lock().unwrap();
        let Map { address, size, file, offset, flags } = &state.maps[0];
        assert_eq!((*address, *size, *flags), (iova, 8192, 3));
        assert_eq!(state.maps[1].address, other_iova);
        assert!(other_iova >= iova + 8192);
        let mut seen = [0; 13];
        file.read_exact_at(&mut seen, offset + 100).unwrap();
        assert_eq!(&seen, b"by the driver");
        file.write_all_at(&77_u64.to_le_bytes(), offset + 4096).unwrap();
        assert!(file.set_len(0).is_err(), "the file must be sealed");
    }
    assert_eq!(buffer.load_u64(4096).unwrap(), 77);
    drop(buffer);
    assert_eq!(server.state.lock().unwrap().unmaps, [(iova, 8192)]);
    assert_eq!(device.memory.allocate(4096).unwrap().iova(), iova, "a freed address is used again");
}

#[test]
fn vectors_count_what_fired_and_none_fires_after_disable() {
    let server = Server::right();
    let device = device(&server);
    let interrupts = &device.interrupts;
    assert_eq!(interrupts.vectors(), 4);
    interrupts.enable(3).unwrap();
    server.state.lock().unwrap().fire(2, 5);
    assert_eq!(interrupts.wait(2, &*device.pause).unwrap(), Fired::Times(5));
    interrupts.disable().unwrap();
    assert!(server.state.lock().unwrap().events.is_empty());
    assert_eq!(interrupts.route(0, 1), Routed::NotApplicable);
}

#[test]
fn what_fired_before_enable_is_forgotten() {
    let server = Server::right();
    let device = device(&server);
    device.interrupts.enable(1).unwrap();
    server.state.lock().unwrap().fire(0, 3);
    device.interrupts.disable().unwrap();
    device.interrupts.enable(1).unwrap();
    server.state.lock().unwrap().fire(0, 1);
    assert_eq!(device.interrupts.wait(0, &*device.pause).unwrap(), Fired::Times(1));
}

#[test]
fn a_vector_that_the_device_does_not_have_is_an_error() {
    let server = Server::right();
    let device = device(&server);
    assert!(matches!(device.interrupts.enable(5), Err(HwError::Interrupt { vector: 5, .. })));
    let waited = device.interrupts.wait(4, &*device.pause);
    assert!(matches!(waited, Err(HwError::Interrupt { vector: 4, .. })));
}

#[test]
fn the_death_of_the_server_ends_a_wait_for_an_interrupt() {
    let server = wrong_read(|_| Answer::Close);
    let device = device(&server);
    device.interrupts.enable(1).unwrap();
    let waiter = device.clone();
    let (send, receive) = std::sync::mpsc::channel();
    let body = Box::new(move || send.send(waiter.interrupts.wait(0, &*waiter.pause)).unwrap());
    let task = device.pause.spawn(Task { name: "waiter".into(), cpu: None }, body).unwrap();
    device.read64(Space::BAR0, 0).unwrap_err();
    assert!(matches!(receive.recv().unwrap(), Err(HwError::Gone(_))));
    assert!(task.join());
}

#[test]
fn a_reply_does_not_end_a_wait_for_an_interrupt() {
    let server = Server::right();
    let device = device(&server);
    device.interrupts.enable(1).unwrap();
    let waiter = device.clone();
    let (send, receive) = std::sync::mpsc::channel();
    let body = Box::new(move || send.send(waiter.interrupts.wait(0, &*waiter.pause)).unwrap());
    let task = device.pause.spawn(Task { name: "waiter".into(), cpu: None }, body).unwrap();
    for _ in 0..100 {
        device.read64(Space::BAR0, 0).unwrap();
    }
    assert!(receive.try_recv().is_err());
    device.interrupts.stop();
    assert_eq!(receive.recv().unwrap().unwrap(), Fired::Stopped);
    assert!(task.join());
}

#[test]
fn many_threads_share_the_connection_and_each_gets_its_own_answer() {
    let server = Server::right();
    let device = device(&server);
    std::thread::scope(|scope| {
        for start in [0_u64, 64, 128, 192] {
            let device = &device;
            scope.spawn(move || {
                for at in start..start + 50 {
                    assert_eq!(u64::from(device.read8(Space::BAR0, at).unwrap()), at % 251);
                }
            });
        }
    });
}

#[test]
fn a_refused_access_carries_the_errno_and_the_next_one_works() {
    let server = Server::twisted(|message| {
        let at = message.payload.first().copied();
        (message.command == REGION_READ && at == Some(0x40)).then_some(Answer::Error(REFUSED))
    });
    let device = device(&server);
    let error = device.read32(Space::BAR0, 0x40).unwrap_err();
    let HwError::Access { access: "read", offset: 0x40, width: 4, source, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(source.raw_os_error(), Some(13));
    assert_eq!(device.read8(Space::BAR0, 1).unwrap(), 1);
}

#[test]
fn a_refused_write_map_unmap_irqs_and_reset_are_each_their_own_error() {
    let server = Server::twisted(|message| {
        let bar = message.command == REGION_WRITE && server::word(&message.payload, 8) == 0;
        let refused = bar || [DMA_MAP, SET_IRQS, RESET].contains(&message.command);
        refused.then_some(Answer::Error(REFUSED))
    });
    let device = device(&server);
    let errno = |source: &io::Error| source.raw_os_error() == Some(13);
    let write = device.write32(Space::BAR0, 0, 1);
    assert!(
        matches!(&write, Err(HwError::Access { access: "write", source, .. }) if errno(source)),
        "{write:?}"
    );
    let map = device.memory.allocate(4096).map(|buffer| buffer.iova());
    assert!(matches!(&map, Err(HwError::Map { len: 4096, source, .. }) if errno(source)), "{map:?}");
    let enable = device.interrupts.enable(1);
    assert!(matches!(&enable, Err(HwError::Interrupt { source, .. }) if errno(source)), "{enable:?}");
    let disable = device.interrupts.disable();
    assert!(matches!(&disable, Err(HwError::Interrupt { source, .. }) if errno(source)), "{disable:?}");
    let reset = device.registers.reset();
    assert!(matches!(&reset, Err(HwError::Reset(source)) if errno(source)), "{reset:?}");
}

#[test]
fn an_address_whose_unmap_was_refused_is_not_used_again() {
    let server = Server::answering(DMA_UNMAP, |_| Answer::Error(REFUSED));
    let device = device(&server);
    let first = device.memory.allocate(4096).unwrap().iova();
    assert_ne!(device.memory.allocate(4096).unwrap().iova(), first);
}

#[test]
fn an_error_reply_without_an_errno_is_still_an_error() {
    let server = Server::answering(RESET, |_| Answer::Error(0));
    let reset = device(&server).registers.reset();
    assert!(matches!(&reset, Err(HwError::Reset(source)) if source.raw_os_error() == Some(22)), "{reset:?}");
}

#[test]
fn a_socket_closed_instead_of_a_reply_means_gone_now_and_later() {
    let server = wrong_read(|_| Answer::Close);
    let device = device(&server);
    assert_eq!(gone(device.read64(Space::BAR0, 0)), "the device closed its socket");
    gone(device.read64(Space::Config, 0));
    let map = device.memory.allocate(4096).map(|buffer| buffer.iova());
    assert!(matches!(map, Err(HwError::Gone(_))), "{map:?}");
    assert!(matches!(device.interrupts.enable(1), Err(HwError::Gone(_))));
    assert!(matches!(device.registers.reset(), Err(HwError::Gone(_))));
}

#[test]
fn a_reply_cut_off_by_the_end_of_the_connection_means_gone() {
    let whole = |message: &Message| frame(message.id, REGION_READ, 40, 1, 0, &[0; 24]);
    for kept in [1, 15, 16, 39] {
        let server = wrong_read(move |message| Answer::Cut(whole(message)[..kept].to_vec()));
        assert_eq!(gone(device(&server).read64(Space::BAR0, 0)), "the device closed its socket");
    }
}

#[test]
fn a_reply_whose_rest_never_comes_means_gone() {
    let server = wrong_read(|message| Answer::Bytes(frame(message.id, REGION_READ, 40, 1, 0, &[0; 9])));
    gone(hasty(&server).unwrap().read64(Space::BAR0, 0));
}

#[test]
fn silence_ends_the_connection_after_the_timeout() {
    let server = wrong_read(|_| Answer::Silence);
    let device = hasty(&server).unwrap();
    assert_eq!(gone(device.read64(Space::BAR0, 0)), "no reply to REGION_READ within 0.03 s");
    gone(device.read64(Space::Config, 0));
}

/// Each of these leaves the stream in doubt: the access says that the device is gone, with the reason.
#[test]
fn every_impossible_reply_ends_the_connection() {
    type Wrong = fn(&Message) -> Vec<u8>;
    let wrongs: [(&str, Wrong); 9] = [
        ("answers message", |m| frame(m.id.wrapping_add(1), REGION_READ, 40, 1, 0, &[0; 24])),
        ("answers message", |m| frame(m.id, REGION_WRITE, 40, 1, 0, &[0; 24])),
        ("message type 7", |m| frame(m.id, REGION_READ, 40, 7, 0, &[0; 24])),
        ("size of 15 bytes", |m| frame(m.id, REGION_READ, 15, 1, 0, &[])),
        ("size of 4294967295 bytes", |m| frame(m.id, REGION_READ, u32::MAX, 1, 0, &[])),
        ("at most 24 fit", |m| reply(m, 1, 0, &[0; 25])),
        ("not the request's", |m| reply(m, 1, 0, &[])),
        ("not the request's", |m| reply(m, 1, 0, &[&m.payload[..], &[1, 2, 3]].concat())),
        ("not the request's", |m| reply(m, 1, 0, &[&[1; 16], &[0; 8][..]].concat())),
    ];
    for (reason, wrong) in wrongs {
        let server = wrong_read(move |message| Answer::Bytes(wrong(message)));
        let device = device(&server);
        let said = gone(device.read64(Space::BAR0, 0));
        assert!(said.contains(reason), "{said:?} does not say {reason:?}");
        gone(device.read64(Space::Config, 0));
    }
}

#[test]
fn a_short_read_is_an_error_of_that_access_only() {
    let server = wrong_read(|message| {
        let mut place = message.payload.clone();
        place[12..16].copy_from_slice(&2_u32.to_le_bytes());
        Answer::Payload([&place[..], &[1, 2]].concat())
    });
    let device = device(&server);
    let error = device.read64(Space::BAR0, 0).unwrap_err();
    assert!(error.to_string().contains("the device did 2 bytes of 8"), "{error}");
    assert_eq!(device.read16(Space::Config, 0).unwrap(), 0x8086);
}

#[test]
fn a_command_from_the_server_is_declined_and_does_not_disturb_the_reply() {
    let server = wrong_read(|message| {
        let ask = frame(message.id, DMA_READ, 32, 0, 0, &[0; 16]);
        let answer = reply(message, 1, 0, &[&message.payload[..], &9_u64.to_le_bytes()].concat());
        Answer::Bytes([ask, answer].concat())
    });
    let device = device(&server);
    assert_eq!(device.read64(Space::BAR0, 0).unwrap(), 9);
}

#[test]
fn an_endless_stream_of_commands_cannot_hold_a_request_for_ever() {
    let server = wrong_read(|_| Answer::Bytes(frame(0, DMA_READ, 32, NO_REPLY, 0, &[0; 16]).repeat(1000)));
    let device = hasty(&server).unwrap();
    gone(device.read64(Space::BAR0, 0));
}

#[test]
fn an_access_outside_the_region_does_not_reach_the_device() {
    let server = Server::right();
    let device = device(&server);
    let before = server.state.lock().unwrap().commands.len();
    for offset in [0x4000, 0x3ffd, u64::MAX] {
        let error = device.read32(Space::BAR0, offset).unwrap_err();
        assert!(matches!(&error, HwError::Access { .. }), "{error}");
    }
    assert_eq!(server.state.lock().unwrap().commands.len(), before);
}

#[test]
fn allocating_nothing_or_everything_is_an_error() {
    let server = Server::right();
    let device = device(&server);
    for len in [0, usize::MAX, usize::MAX - 4095] {
        let result = device.memory.allocate(len).map(|buffer| buffer.len());
        assert!(matches!(result, Err(HwError::Map { .. })), "{len}: {result:?}");
    }
}

#[test]
fn no_socket_a_file_and_nobody_listening_are_told_apart() {
    let server = Server::right();
    let directory = server.directory();
    let nothing = directory.join("nothing");
    assert!(refusal(&nothing).ends_with("no such socket: start the device with --socket-path on this path"));
    let file = directory.join("file");
    std::fs::write(&file, "text").unwrap();
    assert!(refusal(&file).contains("this is not a socket"), "{}", refusal(&file));
    let dead = directory.join("dead.sock");
    drop(UnixListener::bind(&dead).unwrap());
    assert!(refusal(&dead).contains("nobody listens on this socket"), "{}", refusal(&dead));
    assert!(refusal(&dead).starts_with(&dead.display().to_string()));
}

#[test]
fn a_second_client_is_told_that_the_device_serves_another() {
    for answer in [|| Answer::Close, || Answer::Error(16)] {
        let server = Server::answering(VERSION, move |_| answer());
        let text = refusal(&server.path());
        assert!(text.contains("the device serves another client"), "{text}");
    }
}

#[test]
fn something_that_is_not_vfio_user_is_named_as_such() {
    let server = Server::answering(VERSION, |_| Answer::Bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()));
    assert!(
        refusal(&server.path()).contains("this is not a vfio-user server"),
        "{}",
        refusal(&server.path())
    );
    let quiet = Server::answering(VERSION, |_| Answer::Silence);
    let error = hasty(&quiet).err().unwrap().to_string();
    assert!(error.contains("no answer within 0.03 s"), "{error}");
}

#[test]
fn every_bad_version_reply_is_refused() {
    let bad: [(&str, &[u8]); 6] = [
        ("2 bytes", &[0, 0]),
        ("version 1.0", &[1, 0, 0, 0]),
        ("version 0.2", &[0, 0, 2, 0]),
        ("not JSON", b"\0\0\x01\0{\"capabilities\"\0"),
        ("max_msg_fds is \"many\"", b"\0\0\x01\0{\"capabilities\":{\"max_msg_fds\":\"many\"}}\0"),
        ("max_msg_fds is -1", b"\0\0\x01\0{\"capabilities\":{\"max_msg_fds\":-1}}\0"),
    ];
    for (reason, payload) in bad {
        let server = Server::answering(VERSION, move |_| Answer::Payload(payload.to_vec()));
        let text = refusal(&server.path());
        assert!(text.contains(reason), "{text:?} does not say {reason:?}");
    }
}

#[test]
fn a_version_reply_without_capabilities_is_allowed() {
    let server = Server::answering(VERSION, |_| Answer::Payload(vec![0, 0, 0, 0]));
    assert_eq!(device(&server).read8(Space::BAR0, 3).unwrap(), 3);
}

#[test]
fn a_function_that_is_not_an_engine_is_refused_unless_any_is_allowed() {
    let network_card = || {
        let server = Server::right();
        server.state.lock().unwrap().config[2..4].copy_from_slice(&[0xd3, 0x10]);
        server
    };
    assert!(refusal(&network_card().path()).contains("8086:10d3, not an I/OAT v3 engine"));
    let options = Options { any_function: true, ..Options::default() };
    assert!(open_with(&network_card().path(), pause(), &options).is_ok());
}

#[test]
fn what_is_not_a_pci_function_is_refused() {
    let infos: [[u32; 4]; 3] = [[16, 1, 9, 5], [16, 3, 7, 5], [16, 3, 9, 2]];
    for info in infos {
        let payload: Vec<u8> = info.iter().flat_map(|word| word.to_le_bytes()).collect();
        let server = Server::answering(GET_INFO, move |_| Answer::Payload(payload.clone()));
        assert!(refusal(&server.path()).contains("this is not a PCI function"));
    }
}

#[test]
fn a_refused_question_at_opening_names_the_question() {
    let questions = [
        (GET_INFO, "DEVICE_GET_INFO"),
        (REGION_INFO, "DEVICE_GET_REGION_INFO"),
        (IRQ_INFO, "DEVICE_GET_IRQ_INFO"),
        (REGION_READ, "configuration space"),
    ];
    for (command, name) in questions {
        let server = Server::answering(command, |_| Answer::Error(REFUSED));
        let text = refusal(&server.path());
        assert!(text.contains(name) && text.contains("Permission denied"), "{text}");
    }
}

#[test]
fn four_thousand_million_vectors_do_not_cost_as_many_descriptors() {
    let server = Server::answering(IRQ_INFO, |message| {
        let index = u32::from_le_bytes(message.payload[8..12].try_into().unwrap());
        Answer::Payload([16, 1, index, u32::MAX].iter().flat_map(|word: &u32| word.to_le_bytes()).collect())
    });
    assert_eq!(device(&server).interrupts.vectors(), 64);
}
