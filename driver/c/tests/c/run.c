/* Runs the C provider: run PLACE CHANNELS ROUNDS [FAULTS]. Prints what was done; 0 if every byte was right. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../provider/ioat.h"

int main(int argc, char **argv)
{
    static struct ioat_engine engine;
    NETDMA_HOST host;
    NETDMA_HOST_OPTIONS options = {
        .Size = sizeof options, .Processors = 4, .NdisMajorVersion = 6, .NdisMinorVersion = 20,
        .NetDmaRevision = NETDMA_HOST_WINDOWS_7, .Channels = NETDMA_HOST_DEFAULT, .Vectors = NETDMA_HOST_DEFAULT,
    };
    NETDMA_HOST_RESULT result = { .Size = sizeof result };
    if (argc < 4)
        return 2;
    options.Faults = argc > 4 ? argv[4] : NULL;
    NETDMA_HOST_RUN plan = {
        .Size = sizeof plan, .Channels = (ULONG)atoi(argv[2]), .Rounds = (ULONG)atoi(argv[3]),
        .Descriptors = 16, .Bytes = 4000,
    };
    if (NetDmaHostOpen(argv[1], &options, &host) != STATUS_SUCCESS || ioat_add(&engine, host) != STATUS_SUCCESS) {
        fprintf(stderr, "%s\n", NetDmaHostLastError());
        return 3;
    }
    NTSTATUS status = NetDmaHostRun(host, &plan, &result);
    if (status != STATUS_SUCCESS)
        fprintf(stderr, "%s\n", NetDmaHostLastError());
    ioat_remove(&engine);
    if (NetDmaHostClose(host) != STATUS_SUCCESS) {
        fprintf(stderr, "%s\n", NetDmaHostLastError());
        return 1;
    }
    printf("channels %" PRIu32 " descriptors %" PRIu64 " bytes %" PRIu64 " isr %" PRIu64 " dpc %" PRIu64 " run %" PRIu64
           " queued %" PRIu64 " refused %" PRIu64 " suspends %" PRIu32 " aborts %" PRIu32 " resets %" PRIu32
           " lost %" PRIu32 " violations %" PRIu64 "\n",
           result.Channels, result.Descriptors, result.BytesVerified, result.IsrReports, result.DpcReports,
           result.DpcsRun, result.DpcsQueued, result.DpcsRefused, result.Suspends, result.Aborts, result.Resets,
           result.LostInterrupts, NetDmaHostViolations());
    return status == STATUS_SUCCESS ? 0 : 1;
}
