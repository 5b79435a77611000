//! The codec alone: whatever bytes come, it answers and does not panic (statement 86).
//!
//! `VFIO_USER_FUZZ_ITERS=10000000` runs more; the generator's seed is fixed and a failing input is printed.
#![expect(clippy::cast_possible_truncation, reason = "random bytes are cut from random words")]

use proptest::prelude::*;
use vfio_user_ioat::server::{
    DmaUnmap, Errno, Header, MAX_FRAME_BYTES, MAX_MESSAGE_FDS, Refusal, Request, command, decode, flag,
};

fn header(command: u16, flags: u32) -> Header {
    let size = 0.into();
    Header { id: 1.into(), command: command.into(), size, flags: flags.into(), error: 0.into() }
}

/// What must hold of every answer, besides that there is one.
fn check(command: u16, flags: u32, payload: &[u8], fds: usize) {
    let request = match decode(&header(command, flags), payload, fds) {
        Ok(request) => request,
        Err(Refusal::Answer(errno) | Refusal::AnswerAndClose(errno)) => {
            assert!((1..=4095).contains(&errno.get()));
            return;
        }
        Err(Refusal::Ignore) => {
            assert_ne!(flags & (flag::TYPE | flag::NO_REPLY), 0);
            return;
        }
    };
    assert_eq!(flags & flag::TYPE, flag::COMMAND);
    match request {
        Request::DmaMap { iova, size, offset, read, write, .. } => {
            assert!(size > 0 && iova.checked_add(size - 1).is_some() && (read || write) && fds <= 1);
            assert!(fds == 0 || i64::try_from(u128::from(offset) + u128::from(size)).is_ok());
        }
        Request::DmaUnmap { what, echo } => {
            if let DmaUnmap::Range { iova, size } = what {
                assert!(size > 0 && iova.checked_add(size - 1).is_some());
            }
            assert_eq!((echo, fds), (&payload[..24], 0));
        }
        Request::SetIrqs(set) => {
            assert!(set.start.checked_add(set.count).is_some());
            assert!(fds <= MAX_MESSAGE_FDS && (fds == 0 || fds == set.count as usize));
            assert_eq!((set.data.count_ones(), set.action.count_ones()), (1, 1));
            assert!(set.data != flag::IRQ_DATA_BOOL || set.bools.len() == set.count as usize);
        }
        Request::RegionWrite { data, echo, .. } => {
            assert_eq!((echo.len(), data.len()), (16, payload.len() - 16));
        }
        Request::RegionWriteMulti { entries } => assert_eq!(payload.len(), 8 + entries.len() * 24),
        _ => assert_eq!(fds, 0),
    }
}

/// A small generator (splitmix64), so that ten million inputs are a matter of seconds.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number that is likely to be near a limit.
    fn edgy(&mut self) -> u64 {
        let small = self.next() % 40;
        match self.next() % 6 {
            0 => 0,
            1 => small,
            2 => u64::MAX - small,
            3 => 1 << (self.next() % 64),
            4 => (1u64 << (self.next() % 64)).wrapping_sub(small),
            _ => self.next(),
        }
    }
}

#[test]
fn v86_random_streams_never_panic_the_codec() {
    let iterations: u64 =
        std::env::var("VFIO_USER_FUZZ_ITERS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let mut random = Random(20_260_101);
    let (mut accepted, mut payload) = (0u64, Vec::new());
    for _ in 0..iterations {
        let command =
            if random.next() % 16 == 0 { random.next() as u16 } else { (random.next() % 19) as u16 };
        let flags = if random.next() % 4 == 0 { random.next() as u32 } else { 0 };
        let fds = if random.next() % 4 == 0 { (random.next() % 20) as usize } else { 0 };
        payload.clear();
        for _ in 0..random.next() % 12 {
            let word = random.edgy();
            // Halves apart, so that 32-bit fields meet limits as well.
            payload.extend((word as u32).to_le_bytes());
            if random.next() % 2 == 0 {
                payload.extend(((word >> 32) as u32).to_le_bytes());
            }
        }
        payload.truncate(payload.len().saturating_sub((random.next() % 24).saturating_sub(20) as usize));
        check(command, flags, &payload, fds);
        accepted += u64::from(decode(&header(command, flags), &payload, fds).is_ok());
    }
    // The generator would be worthless if nothing passed.
    assert!(accepted > iterations / 50, "{accepted} of {iterations}");
}

proptest! {
    #[test]
    fn v86_any_payload_gets_an_answer(
        command: u16,
        flags: u32,
        payload in proptest::collection::vec(any::<u8>(), 0..200),
        fds in 0usize..260,
    ) {
        check(command, flags, &payload, fds);
    }

    #[test]
    fn set_irqs_with_likely_numbers(
        flags in 0u32..0x80,
        index in 0u32..6,
        start in prop_oneof![0u32..40, Just(u32::MAX)],
        count in prop_oneof![0u32..40, Just(u32::MAX)],
        tail in 0usize..40,
        fds in 0usize..20,
    ) {
        let mut payload: Vec<u8> =
            [20, flags, index, start, count].iter().flat_map(|word| word.to_le_bytes()).collect();
        payload.resize(20 + tail, 1);
        check(command::DEVICE_SET_IRQS, 0, &payload, fds);
    }

    #[test]
    fn errno_is_never_zero(raw: i32) {
        let errno = Errno::new(raw).get();
        prop_assert!((1..=4095).contains(&errno));
        prop_assert!(i64::from(errno) == i64::from(raw) || errno == Errno::EIO.get());
    }
}

#[test]
fn a_frame_at_the_bound_is_decoded() {
    check(command::REGION_WRITE, 0, &vec![0xff; MAX_FRAME_BYTES - 16], 0);
    check(command::REGION_WRITE_MULTI, 0, &vec![0xff; MAX_FRAME_BYTES - 16], 0);
    check(99, 0, &vec![0xff; MAX_FRAME_BYTES - 16], 253);
}
