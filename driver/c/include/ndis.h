/* Made by cbindgen from driver/c/src. NETDMA_C_BLESS=1 cargo test -p netdma-c renews it. */

#ifndef NETDMA_C_NDIS_H
#define NETDMA_C_NDIS_H

#include <stddef.h>
#include <stdint.h>
#include "wdm.h"

// A status word.
typedef int32_t NDIS_STATUS;

// An adapter (the host's handle) or an interrupt.
typedef PVOID NDIS_HANDLE;

// What versioned structures begin with.
typedef struct {
  // What the structure is.
  UCHAR Type;
  // Its revision.
  UCHAR Revision;
  // Its bytes.
  USHORT Size;
} NDIS_OBJECT_HEADER;

// MiniportInterrupt: a line's service routine. Its device's level.
typedef BOOLEAN (*MINIPORT_ISR_HANDLER)(NDIS_HANDLE MiniportInterruptContext,
                                        PBOOLEAN QueueDefaultInterruptDpc,
                                        PULONG TargetProcessors);

// MiniportInterruptDPC. DISPATCH_LEVEL. ReceiveThrottleParameters is reserved before 6.20.
typedef void (*MINIPORT_INTERRUPT_DPC_HANDLER)(NDIS_HANDLE MiniportInterruptContext,
                                               PVOID MiniportDpcContext,
                                               PVOID ReceiveThrottleParameters,
                                               PVOID NdisReserved2);

// MiniportDisableInterruptEx. The device's level.
typedef void (*MINIPORT_DISABLE_INTERRUPT_HANDLER)(NDIS_HANDLE MiniportInterruptContext);

// MiniportEnableInterruptEx. The device's level.
typedef void (*MINIPORT_ENABLE_INTERRUPT_HANDLER)(NDIS_HANDLE MiniportInterruptContext);

// MiniportMessageInterrupt: a message's service routine. Its device's level.
typedef BOOLEAN (*MINIPORT_MSI_ISR_HANDLER)(NDIS_HANDLE MiniportInterruptContext,
                                            ULONG MessageId,
                                            PBOOLEAN QueueDefaultInterruptDpc,
                                            PULONG TargetProcessors);

// MiniportMessageInterruptDPC. DISPATCH_LEVEL. ReceiveThrottleParameters is reserved before 6.20.
typedef void (*MINIPORT_MSI_INTERRUPT_DPC_HANDLER)(NDIS_HANDLE MiniportInterruptContext,
                                                   ULONG MessageId,
                                                   PVOID MiniportDpcContext,
                                                   PVOID ReceiveThrottleParameters,
                                                   PVOID NdisReserved2);

// MiniportDisableMessageInterrupt. The device's level.
typedef void (*MINIPORT_DISABLE_MSI_INTERRUPT_HANDLER)(NDIS_HANDLE MiniportInterruptContext,
                                                       ULONG MessageId);

// MiniportEnableMessageInterrupt. The device's level.
typedef void (*MINIPORT_ENABLE_MSI_INTERRUPT_HANDLER)(NDIS_HANDLE MiniportInterruptContext,
                                                      ULONG MessageId);

// One message.
typedef struct {
  // 0: VFIO hides it.
  PHYSICAL_ADDRESS MessageAddress;
  // Where its service routine runs.
  KAFFINITY TargetProcessorSet;
  // NULL.
  PVOID InterruptObject;
  // 0: VFIO hides it.
  ULONG MessageData;
  // 0: VFIO hides it.
  ULONG Vector;
  // Its service routine's level.
  UCHAR Irql;
  // 0 LevelSensitive, 1 Latched.
  ULONG Mode;
  // 0 unknown, 1 active high, 2 active low.
  ULONG Polarity;
} IO_INTERRUPT_MESSAGE_INFO_ENTRY;

// The messages. MessageInfo has MessageCount entries.
typedef struct {
  // The level of every service routine.
  UCHAR UnifiedIrql;
  // Entries.
  ULONG MessageCount;
  // The first of them.
  IO_INTERRUPT_MESSAGE_INFO_ENTRY MessageInfo[1];
} IO_INTERRUPT_MESSAGE_INFO;

// Where they are.
typedef IO_INTERRUPT_MESSAGE_INFO *PIO_INTERRUPT_MESSAGE_INFO;

// What an interrupt is registered with.
typedef struct {
  // NDIS_OBJECT_TYPE_MINIPORT_INTERRUPT, revision 1.
  NDIS_OBJECT_HEADER Header;
  // Must be there.
  MINIPORT_ISR_HANDLER InterruptHandler;
  // Must be there.
  MINIPORT_INTERRUPT_DPC_HANDLER InterruptDpcHandler;
  // Must be there.
  MINIPORT_DISABLE_INTERRUPT_HANDLER DisableInterruptHandler;
  // Must be there.
  MINIPORT_ENABLE_INTERRUPT_HANDLER EnableInterruptHandler;
  // TRUE: the four message handlers are there. FALSE: none is.
  BOOLEAN MsiSupported;
  // Service routines of different messages exclude each other.
  BOOLEAN MsiSyncWithAllMessages;
  // With MsiSupported.
  MINIPORT_MSI_ISR_HANDLER MessageInterruptHandler;
  // With MsiSupported.
  MINIPORT_MSI_INTERRUPT_DPC_HANDLER MessageInterruptDpcHandler;
  // With MsiSupported.
  MINIPORT_DISABLE_MSI_INTERRUPT_HANDLER DisableMessageInterruptHandler;
  // With MsiSupported.
  MINIPORT_ENABLE_MSI_INTERRUPT_HANDLER EnableMessageInterruptHandler;
  // Out: NDIS_CONNECT_LINE_BASED or NDIS_CONNECT_MESSAGE_BASED.
  ULONG InterruptType;
  // Out: the messages; NULL for a line. Good until NdisMDeregisterInterruptEx.
  PIO_INTERRUPT_MESSAGE_INFO MessageInfoTable;
} NDIS_MINIPORT_INTERRUPT_CHARACTERISTICS;

// Where they are.
typedef NDIS_MINIPORT_INTERRUPT_CHARACTERISTICS *PNDIS_MINIPORT_INTERRUPT_CHARACTERISTICS;

// Where a handle goes.
typedef NDIS_HANDLE *PNDIS_HANDLE;

// MiniportSynchronizeInterrupt, of a line or of a message. The device's level.
typedef BOOLEAN (*MINIPORT_SYNCHRONIZE_INTERRUPT_HANDLER)(NDIS_HANDLE SynchronizeContext);

// What an MSI-X table entry is told.
typedef struct {
  // NDIS_OBJECT_TYPE_DEFAULT, revision 1.
  NDIS_OBJECT_HEADER Header;
  // NdisMSIXTableConfigSetTableEntry and so on.
  ULONG ConfigOperation;
  // The entry.
  ULONG TableEntry;
  // For Set: the message.
  ULONG MessageNumber;
} NDIS_MSIX_CONFIG_PARAMETERS;

// Where it is.
typedef NDIS_MSIX_CONFIG_PARAMETERS *PNDIS_MSIX_CONFIG_PARAMETERS;

// A DPC's cap on receives (6.20). A provider has none and leaves it alone.
typedef struct {
  // In: NDIS_INDICATE_ALL_NBLS for no cap.
  ULONG MaxNblsToIndicate;
  // Out, one bit: call again.
  ULONG MoreNblsPending: 1;
} NDIS_RECEIVE_THROTTLE_PARAMETERS;

// Done.
#define NDIS_STATUS_SUCCESS 0

// Not done.
#define NDIS_STATUS_FAILURE (NDIS_STATUS)3221225473u

// An argument makes no sense.
#define NDIS_STATUS_INVALID_PARAMETER (NDIS_STATUS)3221225485u

// No thread or processor.
#define NDIS_STATUS_RESOURCES (NDIS_STATUS)3221225626u

// Not in the version that was chosen.
#define NDIS_STATUS_NOT_SUPPORTED (NDIS_STATUS)3221225659u

// A revision that is not known.
#define NDIS_STATUS_BAD_VERSION (NDIS_STATUS)3221291012u

// A structure with a wrong type, size or handler.
#define NDIS_STATUS_BAD_CHARACTERISTICS (NDIS_STATUS)3221291013u

// The device's interrupts are in use, or were.
#define NDIS_STATUS_RESOURCE_CONFLICT (NDIS_STATUS)3221291038u

// Header.Type of NDIS_MSIX_CONFIG_PARAMETERS.
#define NDIS_OBJECT_TYPE_DEFAULT 128

// Header.Type of NDIS_MINIPORT_INTERRUPT_CHARACTERISTICS.
#define NDIS_OBJECT_TYPE_MINIPORT_INTERRUPT 132

// Header.Revision of NDIS_MINIPORT_INTERRUPT_CHARACTERISTICS.
#define NDIS_MINIPORT_INTERRUPT_REVISION_1 1

// Header.Size of NDIS_MINIPORT_INTERRUPT_CHARACTERISTICS on a 64-bit target.
#define NDIS_SIZEOF_MINIPORT_INTERRUPT_CHARACTERISTICS_REVISION_1 96

// Header.Revision of NDIS_MSIX_CONFIG_PARAMETERS.
#define NDIS_MSIX_CONFIG_PARAMETERS_REVISION_1 1

// Header.Size of NDIS_MSIX_CONFIG_PARAMETERS.
#define NDIS_SIZEOF_MSIX_CONFIG_PARAMETERS_REVISION_1 16

// InterruptType: a line.
#define NDIS_CONNECT_LINE_BASED 1

// InterruptType: messages.
#define NDIS_CONNECT_MESSAGE_BASED 2

// MaxNblsToIndicate without a cap.
#define NDIS_INDICATE_ALL_NBLS 4294967295

// ConfigOperation: let an entry deliver another message.
#define NdisMSIXTableConfigSetTableEntry 0

// ConfigOperation: hold an entry back.
#define NdisMSIXTableConfigMaskTableEntry 1

// ConfigOperation: let it deliver again.
#define NdisMSIXTableConfigUnmaskTableEntry 2

// No operation.
#define NdisMSIXTableConfigMax 3

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Connects the device's interrupt: messages if MsiSupported and the device has them, else its line. **The service
// routine may run before this returns**; the handle is stored before that. PASSIVE_LEVEL.
//
// # Safety
// `MiniportInterruptCharacteristics` has the size that it says; `NdisInterruptHandle` is where the handle goes.
NDIS_STATUS NdisMRegisterInterruptEx(NDIS_HANDLE MiniportAdapterHandle,
                                     NDIS_HANDLE MiniportInterruptContext,
                                     PNDIS_MINIPORT_INTERRUPT_CHARACTERISTICS MiniportInterruptCharacteristics,
                                     PNDIS_HANDLE NdisInterruptHandle);

// Ends it: afterwards no service routine and no DPC of it runs. Disable the device's interrupts first. PASSIVE_LEVEL.
void NdisMDeregisterInterruptEx(NDIS_HANDLE NdisInterruptHandle);

// Queues the message's DPC on each of these processors of group 0. The result has a bit for each that was queued by
// this call; one that was queued already is not. Any level.
ULONG NdisMQueueDpc(NDIS_HANDLE NdisInterruptHandle,
                    ULONG MessageId,
                    ULONG TargetProcessors,
                    PVOID MiniportDpcContext);

// The same for the processors of one group (6.20; 0 in an older version). Any level.
//
// # Safety
// `TargetProcessors` is NULL or names processors.
KAFFINITY NdisMQueueDpcEx(NDIS_HANDLE NdisInterruptHandle,
                          ULONG MessageId,
                          PGROUP_AFFINITY TargetProcessors,
                          PVOID MiniportDpcContext);

// Runs a function at the device's level with the message's service routine kept out, and gives its answer; FALSE if it
// did not run. DISPATCH_LEVEL or below: the service routine would wait for itself.
//
// # Safety
// `SynchronizeFunction` takes `SynchronizeContext`.
BOOLEAN NdisMSynchronizeWithInterruptEx(NDIS_HANDLE NdisInterruptHandle,
                                        ULONG MessageId,
                                        MINIPORT_SYNCHRONIZE_INTERRUPT_HANDLER SynchronizeFunction,
                                        PVOID SynchronizeContext);

// Changes one entry of the adapter's MSI-X table (6.1). Set: DISPATCH_LEVEL or below; Mask and Unmask: any level.
//
// # Safety
// `MSIXConfigParameters` has the size that it says.
NDIS_STATUS NdisMConfigMSIXTableEntry(NDIS_HANDLE NdisMiniportHandle,
                                      PNDIS_MSIX_CONFIG_PARAMETERS MSIXConfigParameters);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* NETDMA_C_NDIS_H */
