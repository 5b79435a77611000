//! Page breaks: a side of a transfer that goes on at another address once its first page ends (device model 4.3,
//! contract 1.5.1 ND-D2 and ND-D3).
//!
//! A break names one more page. So what lies behind it is 4096 bytes at most, and starts page-aligned; a longer rest has
//! no address (ND-D3: "the rest" comes from the second page), and is a length error rather than a guess.

use std::num::NonZeroU16;

use ioat_spec::{ChanErr, Descriptor};

/// Bytes of a page.
const PAGE_BYTES: u64 = 4096;

/// Where one side of a transfer goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Break {
    /// Bytes before it: 1 to 4096. Small, because every operation has room for two of these.
    first: NonZeroU16,
    /// Address of the byte behind it.
    next: u64,
}

/// The breaks of both sides, which know nothing of each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Breaks {
    pub(crate) source: Option<Break>,
    pub(crate) destination: Option<Break>,
}

impl Breaks {
    /// Both sides are contiguous.
    pub(crate) const NONE: Self = Self { source: None, destination: None };

    /// The breaks of a descriptor whose length is legal. `source` says whether the operation has one.
    ///
    /// A transfer that ends in its first page has no break, whatever its bits say: the other address is not used, and so
    /// not looked at.
    pub(crate) fn of(descriptor: &Descriptor, source: bool) -> Result<Self, ChanErr> {
        let (control, len) = (descriptor.control(), descriptor.size.into());
        let side = |broken: bool, address, next| broken.then(|| Break::of(address, next, len)).flatten();
        let source = side(source && control.src_page_break(), descriptor.source, descriptor.next_source);
        let destination = side(control.dst_page_break(), descriptor.destination, descriptor.next_destination);
        for (side, chanerr) in
            [(source, ChanErr::SOURCE_ADDRESS), (destination, ChanErr::DESTINATION_ADDRESS)]
        {
            side.map_or(Ok(()), |side| side.check(len, chanerr))?;
        }
        Ok(Self { source, destination })
    }

    /// Whether both sides are contiguous.
    #[inline(always)]
    pub(crate) fn is_none(&self) -> bool {
        self.source.is_none() && self.destination.is_none()
    }
}

impl Break {
    fn of(address: u64, next: u64, len: u64) -> Option<Self> {
        let first = PAGE_BYTES - address % PAGE_BYTES;
        let first = NonZeroU16::new(u16::try_from(first).ok()?)?;
        (len > first.get().into()).then_some(Self { first, next })
    }

    fn check(self, len: u64, chanerr: ChanErr) -> Result<(), ChanErr> {
        let rest = len - self.first();
        if rest > PAGE_BYTES {
            Err(ChanErr::LENGTH)
        } else if self.next % PAGE_BYTES != 0 || self.next.checked_add(rest).is_none() {
            Err(chanerr)
        } else {
            Ok(())
        }
    }

    /// How many bytes of a transfer of `len` lie before the break.
    pub(crate) fn before(side: Option<Self>, len: u64) -> u64 {
        side.map_or(len, |side| side.first().min(len))
    }

    /// Where byte `at` of a side that starts at `start` is, and how many of `left` bytes follow it without a break.
    pub(crate) fn place(side: Option<Self>, start: u64, at: u64, left: u64) -> (u64, u64) {
        match side {
            Some(side) if at >= side.first() => (side.next.wrapping_add(at - side.first()), left),
            Some(side) => (start.wrapping_add(at), left.min(side.first() - at)),
            // What has no break may be no address at all: a fill's pattern.
            None => (start.wrapping_add(at), left),
        }
    }

    fn first(self) -> u64 {
        self.first.get().into()
    }
}
