/* Made by cbindgen from driver/c/src. NETDMA_C_BLESS=1 cargo test -p netdma-c renews it. */

#ifndef NETDMA_C_NETDMA_HOST_H
#define NETDMA_C_NETDMA_HOST_H

#include <stddef.h>
#include <stdint.h>
#include "wdm.h"

// How to open a device.
typedef struct {
  // sizeof.
  ULONG Size;
  // DPC workers, 1 to 32.
  ULONG Processors;
  // The version of NDIS that interrupts register for: 6.0, 6.1 or 6.20.
  UCHAR NdisMajorVersion;
  // The same.
  UCHAR NdisMinorVersion;
  // NETDMA_HOST_VISTA and so on.
  UCHAR NetDmaRevision;
  // Zero.
  UCHAR Reserved;
  // Of the device in this process: its channels, or NETDMA_HOST_DEFAULT.
  USHORT Channels;
  // Of the device in this process: its message vectors, 0 for a line, or NETDMA_HOST_DEFAULT.
  USHORT Vectors;
  // Of the device in this process: fault rules, one a line; or NULL.
  const char *Faults;
} NETDMA_HOST_OPTIONS;

// An open device. It is also the PhysicalDeviceObject of a provider and the MiniportAdapterHandle of an interrupt.
typedef PVOID NETDMA_HOST;

// What the client shall do with each channel.
typedef struct {
  // sizeof.
  ULONG Size;
  // Channels to allocate, at most what the provider has.
  ULONG Channels;
  // Chains to copy on each.
  ULONG Rounds;
  // Descriptors in a chain, 1 to 31.
  ULONG Descriptors;
  // Bytes of a descriptor, 1 to the provider's MaximumTransferSize.
  ULONG Bytes;
} NETDMA_HOST_RUN;

// What was done.
typedef struct {
  // sizeof, from the caller.
  ULONG Size;
  // Channels allocated and freed.
  ULONG Channels;
  // Descriptors of chains that were finished and verified.
  ULONG64 Descriptors;
  // Bytes compared and found right.
  ULONG64 BytesVerified;
  // Calls of NetDmaIsr.
  ULONG64 IsrReports;
  // Calls of NetDmaInterruptDpc that finished something.
  ULONG64 DpcReports;
  // DPC routines run.
  ULONG64 DpcsRun;
  // Requests that queued a DPC.
  ULONG64 DpcsQueued;
  // Requests that were refused, because that DPC was queued already.
  ULONG64 DpcsRefused;
  // SuspendDma, each with its ResumeDma.
  ULONG Suspends;
  // AbortDma.
  ULONG Aborts;
  // ResetChannel.
  ULONG Resets;
  // Chains that were not reported in time, and were copied again after a reset.
  ULONG LostInterrupts;
  // What went wrong besides: the text is NetDmaHostLastError's.
  ULONG Errors;
} NETDMA_HOST_RESULT;

// NETDMA_HOST_OPTIONS.Channels and Vectors: what the profile has.
#define NETDMA_HOST_DEFAULT 65535

// NETDMA_HOST_OPTIONS.NetDmaRevision: Windows Vista's interface, 1.0.
#define NETDMA_HOST_VISTA 0

// NETDMA_HOST_OPTIONS.NetDmaRevision: Vista SP1's interface, 2.0.
#define NETDMA_HOST_VISTA_SP1 1

// NETDMA_HOST_OPTIONS.NetDmaRevision: Windows 7's interface, 2.0 with processor groups.
#define NETDMA_HOST_WINDOWS_7 2

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Opens a device: "sim" or "sim:PROFILE" (in this process), "socket:PATH", or a PCI address. Options may be NULL: four
// processors, NDIS 6.20, the interface of Windows 7.
//
// # Safety
// `Place` is a text that a zero ends; `Options` is NULL or has the size that it says; `Host` is where the handle goes.
NTSTATUS NetDmaHostOpen(const char *Place,
                        const NETDMA_HOST_OPTIONS *Options,
                        NETDMA_HOST *Host);

// Closes it. STATUS_UNSUCCESSFUL while a provider or an interrupt is registered, or memory is allocated.
NTSTATUS NetDmaHostClose(NETDMA_HOST Host);

// Zeroed memory that the engine reaches, in whole pages: both its addresses. PASSIVE_LEVEL.
//
// # Safety
// `VirtualAddress` and `PhysicalAddress` are where they go.
NTSTATUS NetDmaHostAllocate(NETDMA_HOST Host,
                            ULONG64 Bytes,
                            PVOID *VirtualAddress,
                            PHYSICAL_ADDRESS *PhysicalAddress);

// Takes the memory away, from the engine too. PASSIVE_LEVEL.
void NetDmaHostFree(NETDMA_HOST Host, PVOID VirtualAddress);

// Lets some microseconds pass.
void NetDmaHostStall(NETDMA_HOST Host, ULONG Microseconds);

// Acts as NetDMA's client with the started provider: allocates channels, copies and compares, stops and goes on where
// that is offered, and frees. STATUS_SUCCESS if every byte was right. PASSIVE_LEVEL.
//
// # Safety
// `Run` and `Result` have the sizes that they say.
NTSTATUS NetDmaHostRun(NETDMA_HOST Host,
                       const NETDMA_HOST_RUN *Run,
                       NETDMA_HOST_RESULT *Result);

// The calling thread's last error, "" if there was none. Good until its next one.
const char *NetDmaHostLastError(void);

// Calls that broke the contract so far, of all threads.
ULONG64 NetDmaHostViolations(void);

// Reads 1, 2, 4 or 8 bytes of BAR 0. Any level.
//
// # Safety
// `Value` is where they go.
NTSTATUS NetDmaHostReadBar(NETDMA_HOST Host, ULONG64 Offset, ULONG Width, ULONG64 *Value);

// Writes 1, 2, 4 or 8 bytes of BAR 0. Any level.
NTSTATUS NetDmaHostWriteBar(NETDMA_HOST Host, ULONG64 Offset, ULONG Width, ULONG64 Value);

// Reads 1, 2, 4 or 8 bytes of configuration space. Any level.
//
// # Safety
// `Value` is where they go.
NTSTATUS NetDmaHostReadConfig(NETDMA_HOST Host, ULONG64 Offset, ULONG Width, ULONG64 *Value);

// Writes 1, 2, 4 or 8 bytes of configuration space. Any level.
NTSTATUS NetDmaHostWriteConfig(NETDMA_HOST Host, ULONG64 Offset, ULONG Width, ULONG64 Value);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* NETDMA_C_NETDMA_HOST_H */
