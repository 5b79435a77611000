//! What a provider must be to register and to start (contract 1.2, 1.5.4, 1.5.5).

use super::breach::IrqlBreach;
use super::provider::{ProviderAttributes, ProviderCharacteristics};
use super::status::{NetDmaStatus, NtStatus};
use super::version::{CharacteristicsFlags, InterfaceRevision, NetDmaVersion};

/// Why a provider was not registered.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RegisterError {
    /// Its version is above the interface's (ND-V1).
    #[error("provider version {provider} is above the interface's {interface} (ND-V1)")]
    Version {
        /// Of the provider.
        provider: NetDmaVersion,
        /// Of the interface.
        interface: NetDmaVersion,
    },
    /// No such version.
    #[error("provider version {0} is none of 1.0, 1.1 and 2.0 (contract 1.2)")]
    UnknownVersion(NetDmaVersion),
    /// A flag that its version, or this interface, does not have.
    #[error(
        "flags {found:?} of a provider of version {version}: expected none but {permitted:?} (contract 1.5.4)"
    )]
    Flags {
        /// Of the provider.
        version: NetDmaVersion,
        /// Its flags.
        found: CharacteristicsFlags,
        /// What is permitted.
        permitted: CharacteristicsFlags,
    },
    /// Before 2.0 there is no friendly name.
    #[error("a provider of version {0} has a friendly name, which exists from 2.0 on (contract 1.5.4)")]
    FriendlyName(NetDmaVersion),
    /// From 2.0 on a friendly name must be there.
    #[error("a provider of version {0} needs a friendly name (C-PR-13)")]
    NoFriendlyName(NetDmaVersion),
    /// It refused its channels' affinities.
    #[error("the channels' affinities were refused: {0}")]
    Affinity(#[source] NetDmaStatus),
    /// At a wrong level.
    #[error(transparent)]
    Irql(#[from] IrqlBreach),
}

impl RegisterError {
    /// The status word that NetDmaRegisterProvider would give (contract 1.7).
    #[must_use]
    pub fn status(&self) -> NtStatus {
        match self {
            Self::Affinity(status) => status.status(),
            _ => NtStatus::UNSUCCESSFUL,
        }
    }
}

/// Why a provider was not started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StartError {
    /// A descriptor must be able to move a page.
    #[error("a maximum transfer of {0} bytes is below the contract's 4096 (C-PR-14)")]
    TransferSize(u32),
    /// At a wrong level.
    #[error(transparent)]
    Irql(#[from] IrqlBreach),
    /// More channels than it registered for.
    #[error("{channels} channels are more than the {max} registered (contract 1.5.5)")]
    Channels {
        /// Channels now.
        channels: u32,
        /// The registered bound.
        max: u32,
    },
}

impl ProviderCharacteristics {
    /// What its version permits, at an interface of `revision`.
    pub(super) fn check(&self, revision: InterfaceRevision) -> Result<(), RegisterError> {
        let (version, interface) = (self.version, revision.version());
        if version > interface {
            return Err(RegisterError::Version { provider: version, interface });
        }
        if !version.is_defined() {
            return Err(RegisterError::UnknownVersion(version));
        }
        let (found, permitted) = (self.flags(), CharacteristicsFlags::permitted(version, revision));
        if !permitted.contains(found) {
            return Err(RegisterError::Flags { version, found, permitted });
        }
        match (version.has_friendly_name(), &self.friendly_name) {
            (true, None) => Err(RegisterError::NoFriendlyName(version)),
            (false, Some(_)) => Err(RegisterError::FriendlyName(version)),
            _ => Ok(()),
        }
    }
}

impl ProviderAttributes {
    /// Whether a provider that registered for `max` channels may start with them.
    pub(super) fn check(&self, max: u32) -> Result<(), StartError> {
        let (channels, size) = (self.dma_channel_count, self.maximum_transfer_size);
        if size < 4096 {
            return Err(StartError::TransferSize(size));
        }
        if channels > max { Err(StartError::Channels { channels, max }) } else { Ok(()) }
    }
}
