//! Sessions and framing: statements 1 to 20 of the server's specification, through raw bytes.
#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test stops at the first surprise"
)]

mod server_support;

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::time::Duration;

use server_support::{
    EINVAL, Fixture, PATIENCE, QEMU_CAPABILITIES, RawClient, SMALL_BAR, access_body, command, eventfd,
    header, map_body, memory_file, message, version_body, words, write_body,
};
use vfio_user_ioat::server::{MAX_FRAME_BYTES, Options, flag};

const ENOSYS: u32 = libc::ENOSYS as u32;
const ENOTTY: u32 = libc::ENOTTY as u32;

fn json_of(payload: &[u8]) -> serde_json::Value {
    let (nul, json) = payload[4..].split_last().unwrap();
    assert_eq!(*nul, 0);
    serde_json::from_slice(json).unwrap()
}

#[test]
fn v01_server_is_silent_until_spoken_to() {
    let fixture = Fixture::start();
    let mut client = RawClient::connect(&fixture.path);
    client.stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let error = client.stream.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

#[test]
fn v02_version_reply_echoes_and_agrees_on_the_smaller_minor() {
    let fixture = Fixture::start();
    for (asked, agreed) in [(0, 0), (1, 1), (0xffff, 1)] {
        let mut client = RawClient::connect(&fixture.path);
        let body = version_body(0, asked, QEMU_CAPABILITIES.as_bytes());
        client.send(&message(0xabcd, command::VERSION, 0, &body), &[]);
        let reply = client.receive();
        assert_eq!((reply.id, reply.command, reply.flags, reply.error), (0xabcd, command::VERSION, 1, 0));
        assert_eq!(reply.payload[..4], [0, 0, agreed, 0]);
    }
}

#[test]
fn v03_v04_v05_version_reply_is_short_and_within_qemus_limits() {
    let fixture = Fixture::start();
    let mut client = RawClient::connect(&fixture.path);
    let reply = client.negotiate();
    assert!(reply.size <= 214, "{}", reply.size);
    let expected = serde_json::json!({
        "capabilities": {"max_msg_fds": 16, "max_data_xfer_size": 1_048_576, "pgsizes": 4096}
    });
    assert_eq!(json_of(&reply.payload), expected);
    // QEMU's text is JSON and exactly one NUL.
    assert_eq!(reply.payload.iter().filter(|byte| **byte == 0).count(), 4 + 1);
}

#[test]
fn v03_version_reply_names_only_what_was_proposed() {
    let fixture = Fixture::start();
    let mut client = RawClient::connect(&fixture.path);
    let body = version_body(0, 0, br#"{"capabilities":{"max_msg_fds":1,"twin_socket":{"supported":true}}}"#);
    let reply = client.ask(command::VERSION, &body);
    assert_eq!(json_of(&reply.payload), serde_json::json!({"capabilities": {"max_msg_fds": 16}}));
}

#[test]
fn v06_v07_version_data_may_be_absent_empty_or_strange() {
    let fixture = Fixture::start();
    let strange = [
        &b"{}"[..],
        br#"{"capabilities":{}}"#,
        br#"{"capabilities":{"colour":"red","migration":{}},"more":[1,2,{"a":null}]}"#,
        br#"{"capabilities":{"max_data_xfer_size":18446744073709551615,"pgsizes":0}}"#,
    ];
    let mut bodies: Vec<Vec<u8>> = strange.iter().map(|json| version_body(0, 0, json)).collect();
    bodies.push(vec![0; 4]);
    for body in bodies {
        let mut client = RawClient::connect(&fixture.path);
        let reply = client.ask(command::VERSION, &body);
        assert_eq!(reply.errno(), 0, "{}", String::from_utf8_lossy(&body));
        assert!(json_of(&reply.payload)["capabilities"].is_object());
        client.assert_in_step();
    }
}

#[test]
fn v08_malformed_version_data_is_refused_and_the_next_client_served() {
    let fixture = Fixture::start();
    let deep = ["{\"capabilities\":".repeat(10_000), "}".repeat(10_000)].concat().into_bytes();
    let deep_but_short = ["[".repeat(5000), "]".repeat(5000)].concat().into_bytes();
    let long = [b"{\"x\":\"", "y".repeat(1 << 20).as_bytes(), b"\"}"].concat();
    let malformed: [&[u8]; 20] = [
        b"",
        b" ",
        b"null",
        b"[]",
        b"7",
        b"\"capabilities\"",
        b"{",
        b"{\"capabilities\":{}}trailing",
        b"{\"capabilities\":{}}\0{}",
        b"{\"capa\0bilities\":{}}",
        b"{\"\xff\xfe\":1}",
        br#"{"capabilities":[]}"#,
        br#"{"capabilities":[16,4096]}"#,
        br#"{"capabilities":"none"}"#,
        br#"{"capabilities":{"max_msg_fds":-1}}"#,
        br#"{"capabilities":{"max_msg_fds":1.5}}"#,
        br#"{"capabilities":{"max_data_xfer_size":"1048576"}}"#,
        br#"{"capabilities":{"max_data_xfer_size":0}}"#,
        br#"{"capabilities":{"pgsizes":1e999}}"#,
        br#"{"capabilities":{"pgsizes":340282366920938463463374607431768211456}}"#,
    ];
    let mut bodies: Vec<Vec<u8>> = malformed.iter().map(|json| version_body(0, 0, json)).collect();
    bodies.extend([deep, deep_but_short, long].iter().map(|json| version_body(0, 0, json)));
    // No NUL at the end; shorter than the two numbers.
    bodies.push([&[0; 4], &b"{}"[..]].concat());
    bodies.extend([vec![], vec![0], vec![0; 3]]);
    for body in bodies {
        let mut client = RawClient::connect(&fixture.path);
        assert_eq!(client.ask(command::VERSION, &body).errno(), EINVAL, "{:?}", &body[..body.len().min(80)]);
        client.assert_closed();
    }
    fixture.assert_serves();
}

#[test]
fn v09_another_major_version_gets_no_session() {
    let fixture = Fixture::start();
    for major in [1, 0xffff] {
        let mut client = RawClient::connect(&fixture.path);
        assert_eq!(client.ask(command::VERSION, &version_body(major, 0, b"{}")).errno(), EINVAL);
        client.assert_closed();
    }
    fixture.assert_serves();
}

#[test]
fn v10_a_command_before_version_ends_the_session() {
    let fixture = Fixture::start();
    for command in [2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 15, 16, 99] {
        let mut client = RawClient::connect(&fixture.path);
        assert_eq!(client.ask(command, &[0; 64]).errno(), EINVAL, "command {command}");
        client.assert_closed();
    }
    // A reset and a posted write would have left a trace.
    assert_eq!(fixture.device.resets.load(std::sync::atomic::Ordering::SeqCst), 0);
    let mut client = RawClient::connect(&fixture.path);
    client.post(command::REGION_WRITE, &write_body(SMALL_BAR, 0, &[1]));
    client.assert_closed();
    assert_eq!(*fixture.device.accesses.lock().unwrap(), []);
}

#[test]
fn v11_a_second_version_is_refused_and_changes_nothing() {
    let fixture = Fixture::start();
    let mut client = RawClient::connect(&fixture.path);
    let small = br#"{"capabilities":{"max_data_xfer_size":64}}"#;
    assert_eq!(client.ask(command::VERSION, &version_body(0, 0, small)).errno(), 0);
    let body = version_body(0, 0, QEMU_CAPABILITIES.as_bytes());
    assert_eq!(client.ask(command::VERSION, &body).errno(), EINVAL);
    assert_eq!(client.read(SMALL_BAR, 0, 64).errno(), 0);
    assert_eq!(client.read(SMALL_BAR, 0, 65).errno(), EINVAL);
}

#[test]
fn v12_every_reply_arrives_in_one_receive() {
    let fixture = Fixture::start();
    let mut client = RawClient::connect(&fixture.path);
    let requests = [
        (command::VERSION, version_body(0, 0, QEMU_CAPABILITIES.as_bytes())),
        (command::DEVICE_GET_INFO, words(&[16, 0, 0, 0])),
        (command::DEVICE_GET_REGION_INFO, words(&[32, 0, 7, 0, 0, 0, 0, 0])),
        (command::DEVICE_GET_IRQ_INFO, words(&[16, 0, 2, 0])),
        (command::REGION_READ, access_body(7, 0, 4096)),
        (command::REGION_WRITE, write_body(SMALL_BAR, 0, &[1, 2, 3, 4])),
        (command::DMA_UNMAP, server_support::unmap_body(2, 0, 0)),
        (command::DEVICE_RESET, vec![]),
        (99, vec![]),
    ];
    for (command, body) in requests {
        client.send(&message(1, command, 0, &body), &[]);
        assert_eq!(client.receive_at_once().command, command);
    }
}

#[test]
fn v13_message_ids_are_echoed_even_when_they_repeat() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    for id in [0, 0xffff, 5, 5, 5] {
        client.send(&message(id, command::REGION_READ, 0, &access_body(7, 0, 4)), &[]);
        assert_eq!(client.receive().id, id);
        client.send(&message(id, 99, 0, &[]), &[]);
        assert_eq!(client.receive().id, id);
    }
}

#[test]
fn v14_pipelined_reads_are_answered_in_order() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    for n in 0..1000u16 {
        client.write(SMALL_BAR, u64::from(n) * 2, &n.to_le_bytes());
    }
    let burst: Vec<u8> = (0..1000u16)
        .flat_map(|n| message(n, command::REGION_READ, 0, &access_body(SMALL_BAR, u64::from(n) * 2, 2)))
        .collect();
    client.send(&burst, &[]);
    for n in 0..1000u16 {
        let reply = client.receive();
        assert_eq!((reply.id, &reply.payload[16..]), (n, &n.to_le_bytes()[..]));
    }
}

#[test]
fn v15_a_message_may_arrive_byte_by_byte() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let memory = memory_file(0x1000);
    let map = message(1, command::DMA_MAP, 0, &map_body(3, 0, 0x5000, 0x1000));
    client.send(&map[..1], &[memory.as_raw_fd()]);
    for byte in &map[1..] {
        client.stream.write_all(&[*byte]).unwrap();
    }
    assert_eq!(client.receive().errno(), 0);
    assert_eq!(fixture.device.mapped(), [(0x5000, 0x1000)]);
    for byte in message(2, command::REGION_WRITE, 0, &write_body(SMALL_BAR, 8, &[1, 2, 3, 4])) {
        client.stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(client.receive().errno(), 0);
    assert_eq!(client.read(SMALL_BAR, 8, 4).payload[16..], [1, 2, 3, 4]);
}

#[test]
fn v15_several_messages_in_one_send_are_taken_apart() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let post = message(1, command::REGION_WRITE, flag::NO_REPLY, &write_body(SMALL_BAR, 0, &[9; 8]));
    let read = message(2, command::REGION_READ, 0, &access_body(SMALL_BAR, 0, 8));
    client.send(&[post, read.clone(), read].concat(), &[]);
    for _ in 0..2 {
        assert_eq!(client.receive().payload[16..], [9; 8]);
    }
}

#[test]
fn v16_v17_errors_are_short_and_keep_the_framing() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let fits = access_body(SMALL_BAR, 0, 4);
    let cases: Vec<(&str, u16, Vec<u8>, u32)> = vec![
        ("unknown command with payload", 99, vec![0xee; 100], ENOSYS),
        ("unknown command without payload", 0, vec![], ENOSYS),
        ("server's command DMA_READ", 11, vec![0; 16], ENOSYS),
        ("server's command DMA_WRITE", 12, vec![0; 64], ENOSYS),
        ("removed command", 14, vec![0; 32], ENOSYS),
        ("migration data read", 17, vec![0; 8], ENOSYS),
        ("migration data write", 18, vec![0; 80], ENOSYS),
        ("unknown command with a payload of 1 MiB", 77, vec![1; 1 << 20], ENOSYS),
        ("the longest message", 77, vec![1; MAX_FRAME_BYTES - 16], ENOSYS),
        ("DEVICE_FEATURE", 16, words(&[8, 1 << 18 | 1]), ENOTTY),
        ("GET_INFO without payload", 4, vec![], EINVAL),
        ("GET_INFO one byte short", 4, vec![16; 15], EINVAL),
        ("REGION_INFO short", 5, vec![32; 31], EINVAL),
        ("IRQ_INFO short", 7, vec![16; 15], EINVAL),
        ("REGION_IO_FDS short", 6, vec![16; 15], EINVAL),
        ("SET_IRQS short", 8, vec![20; 19], EINVAL),
        ("DMA_MAP short", 2, vec![32; 31], EINVAL),
        ("DMA_UNMAP short", 3, vec![24; 23], EINVAL),
        ("REGION_READ short", 9, fits[..15].to_vec(), EINVAL),
        ("REGION_WRITE short", 10, fits[..15].to_vec(), EINVAL),
        ("REGION_WRITE without its data", 10, fits, EINVAL),
        ("WRITE_MULTI short", 15, vec![0; 7], EINVAL),
        ("DEVICE_FEATURE short", 16, vec![8; 7], EINVAL),
    ];
    for (what, command, body, errno) in cases {
        assert_eq!(client.ask(command, &body).errno(), errno, "{what}");
        client.assert_in_step();
    }
}

#[test]
fn v18_no_reply_silences_errors_and_successes() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    client.post(99, &[0; 100]);
    client.post(command::REGION_WRITE, &write_body(SMALL_BAR, u64::MAX, &[1]));
    client.post(command::REGION_WRITE, &[0; 3]);
    client.post(command::DMA_MAP, &map_body(0xff, 0, 0, 0));
    client.post(command::DMA_UNMAP, &server_support::unmap_body(0, 0, 0x1000));
    client.post(command::DEVICE_SET_IRQS, &[0; 20]);
    client.post(command::DEVICE_RESET, &[]);
    client.post(command::REGION_WRITE_MULTI, &[0; 8]);
    // Commands whose only point is the answer are dropped.
    for command in [1, 4, 5, 6, 7, 9, 16, 17] {
        client.post(command, &access_body(7, 0, 4));
    }
    client.assert_in_step();
    assert_eq!(client.read(7, 0, 4).payload[16..], [0; 4]);
}

#[test]
fn v19_a_reply_from_the_client_is_not_executed() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let body = write_body(SMALL_BAR, 0, &[1, 2, 3, 4]);
    for kind in [flag::REPLY, flag::REPLY | flag::ERROR, 2, 15] {
        client.send(&message(3, command::REGION_WRITE, kind, &body), &[]);
        client.send(&message(3, command::DEVICE_RESET, kind, &[]), &[]);
    }
    assert_eq!(client.read(SMALL_BAR, 0, 4).payload[16..], [0; 4]);
    assert_eq!(fixture.device.resets.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[test]
fn v20_a_size_that_cannot_be_ends_the_session_with_an_error() {
    let fixture = Fixture::start();
    for size in [0, 1, 15, MAX_FRAME_BYTES as u32 + 1, 0x8000_0000, 0xffff_ffff] {
        let mut client = fixture.client();
        client.send(&header(9, command::REGION_READ, size, 0), &[]);
        let reply = client.receive();
        assert_eq!((reply.id, reply.errno()), (9, EINVAL), "size {size}");
        client.assert_closed();
        // The same in silence.
        let mut client = fixture.client();
        client.send(&header(9, command::REGION_WRITE, size, flag::NO_REPLY), &[]);
        client.assert_closed();
    }
    fixture.assert_serves();
}

#[test]
fn r06_an_end_inside_a_message_is_only_the_end_of_the_session() {
    let fixture = Fixture::start();
    let whole = message(1, command::REGION_WRITE, 0, &write_body(SMALL_BAR, 0, &[0xaa; 64]));
    for cut in [1, 15, 16, 17, 31, 32, 33, whole.len() - 1] {
        let mut client = fixture.client();
        client.send(&whole[..cut], &[]);
        drop(client);
    }
    let mut client = fixture.client();
    assert_eq!(client.read(SMALL_BAR, 0, 1).payload[16..], [0]);
}

#[test]
fn r13_a_client_that_takes_no_replies_is_dropped() {
    let timeout = Duration::from_millis(100);
    let fixture = Fixture::with(Options { send_timeout: timeout, ..Options::default() });
    let mut client = fixture.client();
    let read = message(1, command::REGION_READ, 0, &access_body(server_support::BIG_BAR, 0, 1 << 20));
    for _ in 0..4 {
        client.send(&read, &[]);
    }
    server_support::eventually("the server gives up", || {
        fixture.device.departures.load(std::sync::atomic::Ordering::SeqCst) == 1
    });
    fixture.assert_serves();
}

#[test]
fn r19_a_client_without_version_is_dropped() {
    let handshake_timeout = Duration::from_millis(100);
    let fixture = Fixture::with(Options { handshake_timeout, ..Options::default() });
    let mut silent = RawClient::connect(&fixture.path);
    silent.assert_closed();
    let mut slow = RawClient::connect(&fixture.path);
    slow.send(&header(1, command::VERSION, 20, 0)[..10], &[]);
    slow.assert_closed();
    // Noise is not VERSION either, however much of it.
    let mut noisy = RawClient::connect(&fixture.path);
    let noise = message(1, command::VERSION, flag::REPLY, &[]);
    let start = std::time::Instant::now();
    while noisy.stream.write_all(&noise).is_ok() {
        assert!(start.elapsed() < PATIENCE);
    }
    // One that has negotiated may be silent for as long as it likes.
    let mut client = fixture.client();
    std::thread::sleep(handshake_timeout * 2);
    client.assert_in_step();
}

#[test]
fn r23_r24_descriptors_that_no_command_takes_are_refused() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let (memory, event) = (memory_file(0x1000), eventfd());
    let (one, many) = ([memory.as_raw_fd()], [event.as_raw_fd(); 17]);
    let info = words(&[16, 0, 0, 0]);
    assert_eq!(client.ask_with_fds(command::DEVICE_GET_INFO, &info, &one).errno(), EINVAL);
    assert_eq!(client.ask_with_fds(command::REGION_READ, &access_body(7, 0, 4), &one).errno(), EINVAL);
    assert_eq!(client.ask_with_fds(command::DEVICE_RESET, &[], &one).errno(), EINVAL);
    let two = [memory.as_raw_fd(); 2];
    assert_eq!(client.ask_with_fds(command::DMA_MAP, &map_body(3, 0, 0, 0x1000), &two).errno(), EINVAL);
    let all = server_support::irq_body(0x24, 2, 0, 17);
    assert_eq!(client.ask_with_fds(command::DEVICE_SET_IRQS, &all, &many).errno(), EINVAL);
    let most = [event.as_raw_fd(); 253];
    assert_eq!(client.ask_with_fds(command::DEVICE_SET_IRQS, &all, &most).errno(), EINVAL);
    assert_eq!(fixture.device.mapped(), []);
    client.assert_in_step();
}

#[test]
fn r26_descriptors_in_the_middle_of_a_payload_are_refused() {
    let fixture = Fixture::start();
    let mut client = fixture.client();
    let memory = memory_file(0x1000);
    let map = message(1, command::DMA_MAP, 0, &map_body(3, 0, 0, 0x1000));
    client.send(&map[..20], &[memory.as_raw_fd()]);
    client.send(&map[20..], &[memory.as_raw_fd()]);
    assert_eq!(client.receive().errno(), EINVAL);
    client.send(&map[..20], &[]);
    client.send(&map[20..], &[memory.as_raw_fd()]);
    assert_eq!(client.receive().errno(), EINVAL);
    assert_eq!(fixture.device.mapped(), []);
    client.assert_in_step();
}

#[test]
fn v10_a_spoiled_version_gets_no_session() {
    let fixture = Fixture::start();
    let mut client = RawClient::connect(&fixture.path);
    let event = eventfd();
    let body = version_body(0, 0, QEMU_CAPABILITIES.as_bytes());
    assert_eq!(client.ask_with_fds(command::VERSION, &body, &[event.as_raw_fd()]).errno(), EINVAL);
    client.assert_closed();
}
