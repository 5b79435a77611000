//! NET_DMA_DESCRIPTOR (contract 1.5.1). It is the I/OAT hardware descriptor, field for field.

use ioat_spec::Descriptor;

/// 64 bytes on a 64-byte boundary: `size` is TransferSize, `control` is [`ControlFlags`], `next_source` and
/// `next_destination` are Reserved1 and Reserved2 of version 1.x, `user` is UserContext1 and 2.
#[doc(alias = "NET_DMA_DESCRIPTOR")]
pub type NetDmaDescriptor = Descriptor;

/// NET_DMA_DESCRIPTOR.ControlFlags (contract 1.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[repr(transparent)]
pub struct ControlFlags(pub u32);

impl ControlFlags {
    /// Raise the channel's interrupt when the descriptor is done.
    #[doc(alias = "NET_DMA_INTERRUPT_ON_COMPLETION")]
    pub const INTERRUPT_ON_COMPLETION: Self = Self(0x1);
    /// The source need not be snooped.
    #[doc(alias = "NET_DMA_SOURCE_NO_SNOOP")]
    pub const SOURCE_NO_SNOOP: Self = Self(0x2);
    /// The destination need not be snooped.
    #[doc(alias = "NET_DMA_DESTINATION_NO_SNOOP")]
    pub const DESTINATION_NO_SNOOP: Self = Self(0x4);
    /// Write the completion value when the descriptor is done.
    #[doc(alias = "NET_DMA_STATUS_UPDATE_ON_COMPLETION")]
    pub const STATUS_UPDATE_ON_COMPLETION: Self = Self(0x8);
    /// All writes of this descriptor land before data of the next is read.
    #[doc(alias = "NET_DMA_SERIALIZE_TRANSFER")]
    pub const SERIALIZE_TRANSFER: Self = Self(0x10);
    /// No copy.
    #[doc(alias = "NET_DMA_NULL_TRANSFER")]
    pub const NULL_TRANSFER: Self = Self(0x20);
    /// 2.0: the source continues at NextSourceAddress.
    #[doc(alias = "NET_DMA_SOURCE_PAGE_BREAK")]
    pub const SOURCE_PAGE_BREAK: Self = Self(0x40);
    /// 2.0: the destination continues at NextDestinationAddress.
    #[doc(alias = "NET_DMA_DESTINATION_PAGE_BREAK")]
    pub const DESTINATION_PAGE_BREAK: Self = Self(0x80);
    /// 2.0: cache hint for the destination.
    #[doc(alias = "NET_DMA_DESTINATION_DCA_ENABLE")]
    pub const DESTINATION_DCA_ENABLE: Self = Self(0x200);
    /// The operation type field. Its value is inferred: the pages name it without one.
    #[doc(alias = "NET_DMA_OP_TYPE_MASK")]
    pub const OP_TYPE_MASK: Self = Self(0xff00_0000);
    /// The word of a context-change descriptor: the operation and its one sub-flag, which is the bit that otherwise
    /// means an interrupt.
    #[doc(alias = "NET_DMA_DCA_CONTEXT_CHANGE")]
    pub const CONTEXT_CHANGE: Self = Self(0xff00_0001);
    /// What a reader of 1.x finds zero (inferred: the pages name a mask without a value).
    #[doc(alias = "NET_DMA_RESERVED_MASK")]
    pub const RESERVED_V1: Self = Self(0x00ff_ffc0);
    /// What a reader of 2.0 finds zero (inferred).
    pub const RESERVED_V2: Self = Self(0x00ff_fd00);

    /// These flags and `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Every flag of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The operation. Ask it before any flag: under a context change bit 0 has another meaning (C-LY-05).
    #[must_use]
    pub const fn op_type(self) -> OpType {
        match self.0.to_le_bytes()[3] {
            0x00 => OpType::StandardDma,
            0xff => OpType::ContextChange,
            other => OpType::Other(other),
        }
    }

    /// An interrupt is asked for.
    #[must_use]
    pub const fn interrupts(self) -> bool {
        matches!(self.op_type(), OpType::StandardDma) && self.contains(Self::INTERRUPT_ON_COMPLETION)
    }

    /// A completion value is asked for.
    #[must_use]
    pub const fn updates_status(self) -> bool {
        self.contains(Self::STATUS_UPDATE_ON_COMPLETION)
    }
}

/// The three readings of a context-change descriptor's first word, a union with TransferSize (2.0).
pub trait DcaContext {
    /// All 32 bits.
    #[doc(alias = "DCAContext32")]
    fn dca_context32(&self) -> u32;

    /// Bits 15:0.
    #[doc(alias = "DCAContext16")]
    fn dca_context16(&self) -> u16 {
        let bytes = self.dca_context32().to_le_bytes();
        u16::from_le_bytes([bytes[0], bytes[1]])
    }

    /// Bits 7:0: the APIC id of the target processor, the form that NetDMA uses (ND-A3).
    #[doc(alias = "DCAContext8")]
    fn dca_context8(&self) -> u8 {
        self.dca_context32().to_le_bytes()[0]
    }

    /// Writes bits 31:0.
    fn set_dca_context32(&mut self, context: u32);

    /// Writes bits 15:0; the reserved ones become zero.
    fn set_dca_context16(&mut self, context: u16) {
        self.set_dca_context32(context.into());
    }

    /// Writes bits 7:0; the reserved ones become zero. ControlFlags stay (C-LY-02).
    fn set_dca_context8(&mut self, context: u8) {
        self.set_dca_context32(context.into());
    }
}

impl DcaContext for NetDmaDescriptor {
    fn dca_context32(&self) -> u32 {
        self.size
    }

    fn set_dca_context32(&mut self, context: u32) {
        self.size = context;
    }
}

/// The operation type field, bits 31:24 as one value (C-LY-04).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OpType {
    /// NET_DMA_OP_TYPE_STANDARD_DMA.
    #[doc(alias = "NET_DMA_OP_TYPE_STANDARD_DMA")]
    StandardDma,
    /// NET_DMA_OP_TYPE_CONTEXT_CHANGE (2.0, DCA).
    #[doc(alias = "NET_DMA_OP_TYPE_CONTEXT_CHANGE")]
    ContextChange,
    /// Not defined by NetDMA.
    Other(u8),
}
