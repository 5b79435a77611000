//! How the function's interrupts come, and which channels each of them is about.
//!
//! Messages where there are any (ND-I1): channel `c` is served by message `c % messages`, so `MessageId` is the channel
//! only where there is a message for each (MT-1). Without messages there is one line for all channels (MT-2).

use super::batch::Batch;
use super::registers::LineRegisters;

/// The messages or the line of a function, and the batch of each.
pub(super) struct Delivery {
    batches: Box<[Batch]>,
    channels: u32,
    /// There only for a line.
    pub(super) line: Option<LineRegisters>,
}

impl Delivery {
    /// For a function with so many channels and so many messages; with `line`, it has none.
    pub(super) fn new(channels: u8, messages: u32, line: Option<LineRegisters>) -> Self {
        let channels = u32::from(channels);
        let batches = (0..messages.clamp(1, channels)).map(|_| Batch::default()).collect();
        Self { batches, channels, line }
    }

    /// The message that serves a channel; 0 for the line.
    pub(super) fn message_of(&self, channel: u8) -> u32 {
        u32::from(channel) % self.messages()
    }

    /// The channels that a message serves, by index.
    pub(super) fn channels_of(&self, message: u32) -> impl Iterator<Item = usize> + use<> {
        (message..self.channels).step_by(self.batches.len()).map(|channel| channel as usize)
    }

    /// Whether a message serves one channel alone.
    pub(super) fn is_sole(&self, message: u32) -> bool {
        self.channels_of(message).count() == 1
    }

    /// The one channel that a message serves, if there is but one.
    pub(super) fn sole_channel(&self, message: u32) -> Option<u8> {
        let mut channels = self.channels_of(message);
        let (first, second) = (channels.next(), channels.next());
        first.filter(|_| second.is_none()).and_then(|channel| u8::try_from(channel).ok())
    }

    /// The batch of a message; none for one that serves no channel.
    pub(super) fn batch(&self, message: u32) -> Option<&Batch> {
        self.batches.get(usize::try_from(message).ok()?)
    }

    fn messages(&self) -> u32 {
        u32::try_from(self.batches.len()).unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_share_the_messages_that_there_are_and_a_line_serves_all() {
        let of =
            |messages, message| Delivery::new(4, messages, None).channels_of(message).collect::<Vec<_>>();
        assert_eq!(of(4, 2), [2]);
        assert_eq!(of(2, 1), [1, 3]);
        assert_eq!(of(3, 0), [0, 3]);
        assert_eq!(of(0, 0), [0, 1, 2, 3]);
        let many = Delivery::new(2, 64, None);
        assert!(many.batch(1).is_some() && many.batch(2).is_none());
        assert_eq!((many.message_of(1), many.is_sole(1)), (1, true));
        assert_eq!(
            (Delivery::new(4, 3, None).message_of(3), Delivery::new(4, 3, None).is_sole(0)),
            (0, false)
        );
    }
}
