/* Made by cbindgen from driver/c/src. NETDMA_C_BLESS=1 cargo test -p netdma-c renews it. */

#ifndef NETDMA_C_WDM_H
#define NETDMA_C_WDM_H

#include <stddef.h>
#include <stdint.h>

// A level: 0, 1, 2, or above 2.
typedef uint8_t KIRQL;

// 32 bits.
typedef uint32_t ULONG;

// 64 bits.
typedef uint64_t ULONG64;

// A kernel DPC in the driver's own memory, which must stay where it is. Its words are the library's.
typedef struct {
  // Not the driver's.
  ULONG64 Reserved[8];
} KDPC;

// Where it is.
typedef KDPC *PRKDPC;

// Where it is.
typedef KDPC *PKDPC;

// Any pointer, and every opaque handle.
typedef void *PVOID;

// CustomDpc. DISPATCH_LEVEL, on the DPC's processor.
typedef void (*PKDEFERRED_ROUTINE)(PKDPC Dpc,
                                   PVOID DeferredContext,
                                   PVOID SystemArgument1,
                                   PVOID SystemArgument2);

// FALSE is 0; every other value is true.
typedef uint8_t BOOLEAN;

// A small number of a processor.
typedef int8_t CCHAR;

// A status word; negative ones are errors.
typedef int32_t NTSTATUS;

// 16 bits.
typedef uint16_t USHORT;

// 8 bits.
typedef uint8_t UCHAR;

// A processor of a group.
typedef struct {
  // The group.
  USHORT Group;
  // In the group.
  UCHAR Number;
  // Zero.
  UCHAR Reserved;
} PROCESSOR_NUMBER;

// Where it is.
typedef PROCESSOR_NUMBER *PPROCESSOR_NUMBER;

// When a queued DPC starts its processor: one of the four below.
typedef int32_t KDPC_IMPORTANCE;

// Where a BOOLEAN goes.
typedef BOOLEAN *PBOOLEAN;

// A UTF-16 unit, as in `u"text"`.
typedef uint16_t WCHAR;

// Where a ULONG goes.
typedef ULONG *PULONG;

// 32 bits, signed.
typedef int32_t LONG;

// 64 bits, signed.
typedef int64_t LONGLONG;

// One bit for each processor of a group.
typedef uintptr_t KAFFINITY;

// 64 bits.
typedef struct {
  // All of them.
  LONGLONG QuadPart;
} LARGE_INTEGER;

// An address as the engine uses it; passed by value, never a pointer.
typedef LARGE_INTEGER PHYSICAL_ADDRESS;

// A counted UTF-16 text.
typedef struct {
  // Bytes in use.
  USHORT Length;
  // Bytes there are.
  USHORT MaximumLength;
  // The text; no zero ends it.
  WCHAR *Buffer;
} UNICODE_STRING;

// Processors of one group.
typedef struct {
  // One bit for each.
  KAFFINITY Mask;
  // The group.
  USHORT Group;
  // Zero.
  USHORT Reserved[3];
} GROUP_AFFINITY;

// Where processors of one group are named.
typedef GROUP_AFFINITY *PGROUP_AFFINITY;

// It waits, also on its own processor.
#define LowImportance 0

// It starts its own processor; on another it waits.
#define MediumImportance 1

// It starts any processor, and goes to the head of the queue.
#define HighImportance 2

// It starts any processor, from the tail.
#define MediumHighImportance 3

// No.
#define FALSE 0

// Yes.
#define TRUE 1

// Done.
#define STATUS_SUCCESS 0

// Not done.
#define STATUS_UNSUCCESSFUL (NTSTATUS)3221225473u

// An argument makes no sense.
#define STATUS_INVALID_PARAMETER (NTSTATUS)3221225485u

// No memory, channel or processor left. The pages also call it STATUS_RESOURCES.
#define STATUS_INSUFFICIENT_RESOURCES (NTSTATUS)3221225626u

// The call is not in this version.
#define STATUS_NOT_SUPPORTED (NTSTATUS)3221225659u

// The pages' name of STATUS_INSUFFICIENT_RESOURCES.
#define STATUS_RESOURCES (NTSTATUS)3221225626u

// Ordinary code.
#define PASSIVE_LEVEL 0

// Nothing here runs at it.
#define APC_LEVEL 1

// DPCs. A service routine's level is above it.
#define DISPATCH_LEVEL 2

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The caller's level.
KIRQL KeGetCurrentIrql(void);

// The processor whose service routine or DPC calls; 0 for any other thread, which has none.
ULONG KeGetCurrentProcessorNumber(void);

// Makes a DPC of medium importance without a target, on the processors of the host opened last. DISPATCH_LEVEL or
// below. It ends with that host.
//
// # Safety
// `Dpc` is a KDPC and stays where it is.
void KeInitializeDpc(PRKDPC Dpc,
                     PKDEFERRED_ROUTINE DeferredRoutine,
                     PVOID DeferredContext);

// Queues it on its target, or on the caller's processor. FALSE if it is queued already: that insert's arguments stay.
// Any level.
//
// # Safety
// `Dpc` was initialised.
BOOLEAN KeInsertQueueDpc(PRKDPC Dpc,
                         PVOID SystemArgument1,
                         PVOID SystemArgument2);

// Takes it off its queue. FALSE if it is in none; it may be running. Any level.
//
// # Safety
// `Dpc` was initialised.
BOOLEAN KeRemoveQueueDpc(PRKDPC Dpc);

// Later inserts go to this processor of group 0; a number that does not exist changes nothing. Any level.
//
// # Safety
// `Dpc` was initialised.
void KeSetTargetProcessorDpc(PRKDPC Dpc,
                             CCHAR Number);

// The same for a processor of any group; STATUS_INVALID_PARAMETER, and no change, if it does not exist. Any level.
//
// # Safety
// `Dpc` was initialised; `ProcNumber` is NULL or a number.
NTSTATUS KeSetTargetProcessorDpcEx(PKDPC Dpc,
                                   PPROCESSOR_NUMBER ProcNumber);

// For later inserts. Any level.
//
// # Safety
// `Dpc` was initialised.
void KeSetImportanceDpc(PRKDPC Dpc, KDPC_IMPORTANCE Importance);

// Returns when every DPC that was queued before has run, on all processors of all hosts. PASSIVE_LEVEL.
void KeFlushQueuedDpcs(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* NETDMA_C_WDM_H */
