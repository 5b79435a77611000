/* Made by cbindgen from driver/c/src. NETDMA_C_BLESS=1 cargo test -p netdma-c renews it. */

#ifndef NETDMA_C_NETDMA_H
#define NETDMA_C_NETDMA_H

#include <stddef.h>
#include <stdint.h>
#include "wdm.h"

/**
 * One transfer: 64 bytes, on a 64-byte boundary.
 */
typedef struct NET_DMA_DESCRIPTOR {
  union {
    /** Bytes to move. */
    ULONG TransferSize;
    /** In a context change: the target's APIC id, in 32, 16 or 8 bits. NetDMA uses the last. */
    struct { ULONG DCAContext : 32; } DCAContext32;
    struct { ULONG DCAContext : 16; ULONG Reserved : 16; } DCAContext16;
    struct { ULONG DCAContext : 8; ULONG Reserved : 24; } DCAContext8;
  };
  /** NET_DMA_INTERRUPT_ON_COMPLETION and so on. */
  ULONG ControlFlags;
  PHYSICAL_ADDRESS SourceAddress;
  PHYSICAL_ADDRESS DestinationAddress;
  /** 1.x: zero ends the chain. 2.0: never zero. */
  PHYSICAL_ADDRESS NextDescriptor;
  union {
    /** 1.x: scratch. */
    ULONG64 Reserved1;
    /** 2.0: the second source page. */
    PHYSICAL_ADDRESS NextSourceAddress;
  };
  union {
    /** 1.x: scratch. */
    ULONG64 Reserved2;
    /** 2.0: the second destination page. */
    PHYSICAL_ADDRESS NextDestinationAddress;
  };
  /** The client's: a provider leaves both alone. */
  ULONG64 UserContext1;
  ULONG64 UserContext2;
} NET_DMA_DESCRIPTOR;

// From a provider, before its device leaves the working state.
#define NetDmaNotificationProviderPowerDown 5

// From a provider, when its device is back.
#define NetDmaNotificationProviderPowerUp 6

// Which processor a channel's interrupt should go to.
typedef struct {
  // The channel, from 0.
  ULONG DmaChannel;
  // The processor.
  ULONG CpuNumber;
} NET_DMA_CHANNEL_CPU_AFFINITY;

// Where such entries are.
typedef NET_DMA_CHANNEL_CPU_AFFINITY *PNET_DMA_CHANNEL_CPU_AFFINITY;

// ProviderSetDmaChannelCpuAffinity. PASSIVE_LEVEL; the size is in bytes.
typedef NTSTATUS (*DMA_CHANNELS_CPU_AFFINITY_HANDLER)(PVOID ProviderContext,
                                                      PNET_DMA_CHANNEL_CPU_AFFINITY CpuAffinityArray,
                                                      ULONG CpuAffinityArraySize);

// What a channel is allocated with.
typedef struct {
  // NET_DMA_CHANNEL_REVISION_1 or NET_DMA_CHANNEL_REVISION_2.
  USHORT Revision;
  // Bytes.
  USHORT Size;
  // Zero.
  ULONG Flags;
  // The completion value, for the processor.
  PVOID CompletionVirtualAddress;
  // The completion value, for the engine.
  PHYSICAL_ADDRESS CompletionPhysicalAddress;
  // Processors that will do, bit n for processor n.
  ULONG ProcessorAffinityMask;
  // Higher is more urgent.
  ULONG ChannelPriority;
  // Out: the processor of the channel's DPC.
  ULONG CpuNumber;
  // Revision 2 only: processors that will do.
  GROUP_AFFINITY ProcessorAffinityMaskEx;
} NET_DMA_CHANNEL_PARAMETERS;

// Where they are.
typedef NET_DMA_CHANNEL_PARAMETERS *PNET_DMA_CHANNEL_PARAMETERS;

// ProviderAllocateDmaChannel. DISPATCH_LEVEL or below.
typedef NTSTATUS (*DMA_CHANNEL_ALLOCATE_HANDLER)(PVOID ProviderContext,
                                                 PNET_DMA_CHANNEL_PARAMETERS ChannelParameters,
                                                 PVOID NetDmaChannelHandle,
                                                 PVOID *pProviderChannelContext);

// ProviderFreeDmaChannel. DISPATCH_LEVEL or below.
typedef void (*DMA_CHANNEL_FREE_HANDLER)(PVOID ProviderChannelContext);

// Where a descriptor is.
typedef NET_DMA_DESCRIPTOR *PNET_DMA_DESCRIPTOR;

// ProviderStartDma. DISPATCH_LEVEL or below.
typedef NTSTATUS (*DMA_START_HANDLER)(PVOID ProviderChannelContext,
                                      PNET_DMA_DESCRIPTOR DescriptorVirtualAddress,
                                      PHYSICAL_ADDRESS DescriptorPhysicalAddress,
                                      ULONG DescriptorCount);

// ProviderSuspendDma. DISPATCH_LEVEL or below. The last processed descriptor goes to *pLastDescriptor, 0 if none.
typedef NTSTATUS (*DMA_SUSPEND_HANDLER)(PVOID ProviderChannelContext,
                                        PHYSICAL_ADDRESS *pLastDescriptor);

// ProviderResumeDma. DISPATCH_LEVEL or below.
typedef NTSTATUS (*DMA_RESUME_HANDLER)(PVOID ProviderChannelContext);

// ProviderAbortDma. DISPATCH_LEVEL or below.
typedef NTSTATUS (*DMA_ABORT_HANDLER)(PVOID ProviderChannelContext);

// ProviderAppendDma. DISPATCH_LEVEL or below.
typedef NTSTATUS (*DMA_APPEND_HANDLER)(PVOID ProviderChannelContext,
                                       PNET_DMA_DESCRIPTOR DescriptorVirtualAddress,
                                       PHYSICAL_ADDRESS DescriptorPhysicalAddress,
                                       ULONG DescriptorCount);

// ProviderResetChannel. DISPATCH_LEVEL or below.
typedef NTSTATUS (*DMA_RESET_HANDLER)(PVOID ProviderChannelContext);

// What a provider registers with. The interface keeps a copy.
typedef struct {
  // Of the contract that the provider is written for: 1.0, 1.1 or 2.0.
  UCHAR MajorVersion;
  // Of the contract.
  UCHAR MinorVersion;
  // sizeof, or without FriendlyName before 2.0.
  USHORT Size;
  // Zero before 2.0.
  ULONG Flags;
  // The device: here the host's handle.
  PVOID PhysicalDeviceObject;
  // Channels at most.
  ULONG MaxDmaChannelCount;
  // Or NULL.
  DMA_CHANNELS_CPU_AFFINITY_HANDLER SetDmaChannelCpuAffinity;
  // Must be there.
  DMA_CHANNEL_ALLOCATE_HANDLER AllocateDmaChannel;
  // Must be there.
  DMA_CHANNEL_FREE_HANDLER FreeDmaChannel;
  // Must be there.
  DMA_START_HANDLER StartDma;
  // Or NULL; needs ResumeDma.
  DMA_SUSPEND_HANDLER SuspendDma;
  // Or NULL.
  DMA_RESUME_HANDLER ResumeDma;
  // Or NULL.
  DMA_ABORT_HANDLER AbortDma;
  // Must be there.
  DMA_APPEND_HANDLER AppendDma;
  // Or NULL.
  DMA_RESET_HANDLER ResetChannel;
  // Must be there from 2.0 on.
  UNICODE_STRING FriendlyName;
} NET_DMA_PROVIDER_CHARACTERISTICS;

// Where they are.
typedef NET_DMA_PROVIDER_CHARACTERISTICS *PNET_DMA_PROVIDER_CHARACTERISTICS;

// What a started provider has.
typedef struct {
  // Of the hardware.
  UCHAR MajorHwVersion;
  // Of the hardware.
  UCHAR MinorHwVersion;
  // sizeof.
  USHORT Size;
  // Zero.
  ULONG Flags;
  // PCI vendor.
  ULONG VendorId;
  // Channels there are.
  ULONG DmaChannelCount;
  // Bytes of the largest descriptor, 4096 or more.
  ULONG MaximumTransferSize;
  // The highest address that the engine reaches.
  PHYSICAL_ADDRESS MaximumAddressSpace;
} NET_DMA_PROVIDER_ATTRIBUTES;

// Where they are.
typedef NET_DMA_PROVIDER_ATTRIBUTES *PNET_DMA_PROVIDER_ATTRIBUTES;

// A power notification.
typedef struct {
  // NET_DMA_PNP_NOTIFICATION_REVISION_1.
  ULONG StructureRevision;
  // sizeof.
  ULONG StructureSize;
  // NetDmaNotificationProviderPowerDown or NetDmaNotificationProviderPowerUp.
  int32_t NotificationCode;
  // NULL.
  PVOID Buffer;
  // 0.
  ULONG BufferLength;
} NET_DMA_PNP_NOTIFICATION;

// Where it is.
typedef NET_DMA_PNP_NOTIFICATION *PNET_DMA_PNP_NOTIFICATION;

// Interrupt when this descriptor is done.
#define NET_DMA_INTERRUPT_ON_COMPLETION 1

// The source need not be snooped.
#define NET_DMA_SOURCE_NO_SNOOP 2

// The destination need not be snooped.
#define NET_DMA_DESTINATION_NO_SNOOP 4

// Write the completion value when this descriptor is done.
#define NET_DMA_STATUS_UPDATE_ON_COMPLETION 8

// All of this one lands before the next is read.
#define NET_DMA_SERIALIZE_TRANSFER 16

// Copy nothing.
#define NET_DMA_NULL_TRANSFER 32

// 2.0: the source goes on at NextSourceAddress behind its first page.
#define NET_DMA_SOURCE_PAGE_BREAK 64

// 2.0: the destination goes on at NextDestinationAddress behind its first page.
#define NET_DMA_DESTINATION_PAGE_BREAK 128

// 2.0: a cache hint to the channel's target.
#define NET_DMA_DESTINATION_DCA_ENABLE 512

// The field that says what a descriptor is.
#define NET_DMA_OP_TYPE_MASK 4278190080

// A copy, or a NULL.
#define NET_DMA_OP_TYPE_STANDARD_DMA 0

// 2.0: names the channel's cache target.
#define NET_DMA_OP_TYPE_CONTEXT_CHANGE 4278190080

// Under NET_DMA_OP_TYPE_CONTEXT_CHANGE, whose bit 0 it is.
#define NET_DMA_DCA_CONTEXT_CHANGE 1

// The status in a completion value.
#define NET_DMA_TRANSFER_STATUS_MASK 7

// Done; more remain.
#define NetDmaTransferStatusActive 0

// Done; nothing remains.
#define NetDmaTransferStatusIdle 1

// Done, and stopped by Suspend.
#define NetDmaTransferStatusSuspend 2

// Aborted, by request or by an error.
#define NetDmaTransferStatusHalted 3

// Nothing is done yet; there is no address.
#define NetDmaTransferStatusArmed 4

// NET_DMA_CHANNEL_PARAMETERS of Vista.
#define NET_DMA_CHANNEL_REVISION_1 1

// NET_DMA_CHANNEL_PARAMETERS of Windows 7.
#define NET_DMA_CHANNEL_REVISION_2 2

// 2.0: told the cache targets of its channels.
#define NET_DMA_PROVIDER_CHARACTERISTICS_DCA_SUPPORTED 1

// Windows 7: takes channel parameters of revision 2.
#define NET_DMA_PROVIDER_SUPPORTS_PROC_GROUPS 2

// NET_DMA_PNP_NOTIFICATION.StructureRevision.
#define NET_DMA_PNP_NOTIFICATION_REVISION_1 1

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Registers a provider; from AddDevice, at PASSIVE_LEVEL. ProviderSetDmaChannelCpuAffinity is called before it returns.
// The interface keeps a copy of the characteristics.
//
// # Safety
// `pNetDmaProviderHandle` is where the handle goes; `ProviderCharacteristics` has the size that it says, and its
// FriendlyName the text.
NTSTATUS NetDmaRegisterProvider(PVOID ProviderContext,
                                PVOID *pNetDmaProviderHandle,
                                PNET_DMA_PROVIDER_CHARACTERISTICS ProviderCharacteristics);

// Ends a registration, after NetDmaProviderStop. PASSIVE_LEVEL.
void NetDmaDeregisterProvider(PVOID NetDmaProviderHandle);

// Says that every channel is initialised and every callback serviceable. PASSIVE_LEVEL.
//
// # Safety
// `ProviderAttributes` has the size that it says.
void NetDmaProviderStart(PVOID NetDmaProviderHandle,
                         PNET_DMA_PROVIDER_ATTRIBUTES ProviderAttributes);

// Waits until nothing is outstanding, frees every channel, and returns. PASSIVE_LEVEL; interrupts must go on meanwhile.
void NetDmaProviderStop(PVOID NetDmaProviderHandle);

// From the service routine: the latest completed descriptor. The processor of the DPC goes to *pCpuNumber; after a
// wrong call it is as it was. The device's level.
//
// # Safety
// `pCpuNumber` is where the number goes.
void NetDmaIsr(PVOID NetDmaChannelHandle,
               PHYSICAL_ADDRESS DmaDescriptor,
               PULONG pCpuNumber);

// From the DPC: the latest completed descriptor, read in the DPC, or 0 for another reason than a completion.
// DISPATCH_LEVEL.
void NetDmaInterruptDpc(PVOID NetDmaChannelHandle,
                        PHYSICAL_ADDRESS DmaDescriptor);

// The interface's version: major in the high half, minor in the low. PASSIVE_LEVEL. It is the interface of the host
// opened last; 0 for one of 1.0, which does not have the call.
ULONG NetDmaGetVersion(void);

// Says that the device is about to leave the working state, or is back in it. PASSIVE_LEVEL.
//
// # Safety
// `PnPEvent` has the size that it says.
void NetDmaPnPEventNotify(PVOID NetDmaProviderHandle, PNET_DMA_PNP_NOTIFICATION PnPEvent);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* NETDMA_C_NETDMA_H */
