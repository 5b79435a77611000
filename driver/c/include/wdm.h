/* Made by cbindgen from driver/c/src. NETDMA_C_BLESS=1 cargo test -p netdma-c renews it. */

#ifndef NETDMA_C_WDM_H
#define NETDMA_C_WDM_H

#include <stddef.h>
#include <stdint.h>

// A level: 0, 1, 2, or above 2.
typedef uint8_t KIRQL;

// 32 bits.
typedef uint32_t ULONG;

// FALSE is 0; every other value is true.
typedef uint8_t BOOLEAN;

// A status word; negative ones are errors.
typedef int32_t NTSTATUS;

// Any pointer, and every opaque handle.
typedef void *PVOID;

// Where a BOOLEAN goes.
typedef BOOLEAN *PBOOLEAN;

// 8 bits.
typedef uint8_t UCHAR;

// 16 bits.
typedef uint16_t USHORT;

// A UTF-16 unit, as in `u"text"`.
typedef uint16_t WCHAR;

// Where a ULONG goes.
typedef ULONG *PULONG;

// 32 bits, signed.
typedef int32_t LONG;

// 64 bits.
typedef uint64_t ULONG64;

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

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* NETDMA_C_WDM_H */
