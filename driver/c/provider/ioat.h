/* A NetDMA 2.0 provider for Intel I/OAT version 3, in C: what a program calls to add and remove it. */

#ifndef IOAT_H
#define IOAT_H

#include <stdatomic.h>

#include "ndis.h"
#include "netdma.h"
#include "netdma_host.h"

#define IOAT_CHANNELS_MAX 8

struct ioat_engine;

struct ioat_channel {
    struct ioat_engine *engine;
    ULONG index;
    PVOID handle;                    /* NetDmaChannelHandle; NULL while nobody has the channel */
    _Atomic ULONG64 *completion;     /* the completion value, for the processor */
    PHYSICAL_ADDRESS completion_at;  /* the same, for the engine */
    ULONG interrupt_cpu;             /* where NetDMA wants its interrupt */
    ULONG cpu;                       /* where its DPC runs */

    atomic_flag reporting;           /* held by a DPC while it reports, and by a command that changes the list */
    unsigned char *near_virtual;     /* the list's memory, by both its addresses */
    ULONG64 near_physical;
    ULONG64 head;                    /* the first descriptor that is not known to be finished */
    ULONG64 last;                    /* the one processed last, 0 for none */
    ULONG outstanding;               /* from head on */
    USHORT doorbell;                 /* DMACOUNT as it was written last */
    BOOLEAN running;
    BOOLEAN wants_status;            /* some descriptor asked for the completion value */
    ULONG64 seen;                    /* the completion value that a DPC saw last */
};

struct ioat_engine {
    NETDMA_HOST host;
    PVOID provider;                  /* NetDmaProviderHandle */
    NDIS_HANDLE interrupt;           /* NdisInterruptHandle */
    ULONG channels;
    ULONG transfer_max;
    struct ioat_channel channel[IOAT_CHANNELS_MAX];
    atomic_ulong refused;            /* DPC requests that found their DPC queued */
};

/* AddDevice and start-device in one: on success clients may allocate the engine's channels. */
NTSTATUS ioat_add(struct ioat_engine *engine, NETDMA_HOST host);

/* stop-device and remove-device in one: waits until every channel is given back. */
void ioat_remove(struct ioat_engine *engine);

#endif
