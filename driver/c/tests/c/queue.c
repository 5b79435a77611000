/* What the returned bitmap means, seen from C: a bit that is missing says that this interrupt's DPC is queued on that
 * processor already (QD-3), it keeps its own context (QD-9), and one that runs can be queued again (QD-10). */

#include <stdatomic.h>
#include <stdio.h>

#include "ndis.h"
#include "netdma_host.h"

static int failures;

#define CHECK(condition)                                                    \
    do {                                                                    \
        if (!(condition)) {                                                 \
            failures++;                                                     \
            fprintf(stderr, "line %d: %s\n", __LINE__, #condition);         \
        }                                                                   \
    } while (0)

enum { FIRST = 1, SECOND, THIRD };
static int contexts[4];
static NDIS_HANDLE interrupt;
static atomic_int runs;

static void message_dpc(NDIS_HANDLE context, ULONG message, PVOID dpc, PVOID throttle, PVOID reserved)
{
    ULONG own = (ULONG)1 << KeGetCurrentProcessorNumber();
    GROUP_AFFINITY group = { .Mask = own };
    (void)context, (void)throttle, (void)reserved;
    CHECK(own == 2 && message == 3);
    if (runs == 0) {
        CHECK(dpc == &contexts[FIRST]);
        /* It runs, so it is in no queue; the worker is here, so what is queued now stays so. */
        CHECK(NdisMQueueDpc(interrupt, 3, own, &contexts[SECOND]) == own);
        CHECK(NdisMQueueDpc(interrupt, 3, own, &contexts[THIRD]) == 0);
        CHECK(NdisMQueueDpcEx(interrupt, 3, &group, &contexts[THIRD]) == 0);
    } else {
        CHECK(dpc == &contexts[SECOND]);
    }
    runs++;
}

static KDPC kernel;
static atomic_int kernel_runs;

static void kernel_dpc(PKDPC dpc, PVOID context, PVOID one, PVOID two)
{
    (void)context, (void)two;
    if (kernel_runs == 0) {
        CHECK(KeInsertQueueDpc(dpc, &contexts[SECOND], NULL) == TRUE);
        CHECK(KeInsertQueueDpc(dpc, &contexts[THIRD], NULL) == FALSE);
    } else {
        CHECK(one == &contexts[SECOND]);
        CHECK(KeInsertQueueDpc(dpc, NULL, NULL) == TRUE);
        CHECK(KeRemoveQueueDpc(dpc) == TRUE);
        CHECK(KeRemoveQueueDpc(dpc) == FALSE);
    }
    kernel_runs++;
}

static BOOLEAN line_isr(NDIS_HANDLE context, PBOOLEAN queue_default, PULONG targets)
{
    (void)context, (void)queue_default, (void)targets;
    return FALSE;
}
static void line_dpc(NDIS_HANDLE context, PVOID dpc, PVOID throttle, PVOID reserved)
{
    (void)context, (void)dpc, (void)throttle, (void)reserved;
}
static void line_switch(NDIS_HANDLE context)
{
    (void)context;
}
static BOOLEAN message_isr(NDIS_HANDLE context, ULONG message, PBOOLEAN queue_default, PULONG targets)
{
    (void)context, (void)message, (void)queue_default, (void)targets;
    return TRUE;
}
static void message_switch(NDIS_HANDLE context, ULONG message)
{
    (void)context, (void)message;
}

static void wait_for(NETDMA_HOST host, atomic_int *count)
{
    for (int turn = 0; *count < 2 && turn < 100000; turn++)
        NetDmaHostStall(host, 100);
}

int main(void)
{
    NETDMA_HOST host;
    NDIS_MINIPORT_INTERRUPT_CHARACTERISTICS characteristics = {
        .Header = { NDIS_OBJECT_TYPE_MINIPORT_INTERRUPT, NDIS_MINIPORT_INTERRUPT_REVISION_1,
                    NDIS_SIZEOF_MINIPORT_INTERRUPT_CHARACTERISTICS_REVISION_1 },
        .InterruptHandler = line_isr,
        .InterruptDpcHandler = line_dpc,
        .DisableInterruptHandler = line_switch,
        .EnableInterruptHandler = line_switch,
        .MsiSupported = TRUE,
        .MessageInterruptHandler = message_isr,
        .MessageInterruptDpcHandler = message_dpc,
        .DisableMessageInterruptHandler = message_switch,
        .EnableMessageInterruptHandler = message_switch,
    };
    CHECK(NetDmaHostOpen("sim", NULL, &host) == STATUS_SUCCESS);
    CHECK(NdisMRegisterInterruptEx(host, NULL, &characteristics, &interrupt) == NDIS_STATUS_SUCCESS);
    CHECK(NdisMQueueDpc(interrupt, 3, 2, &contexts[FIRST]) == 2);
    wait_for(host, &runs);
    KeInitializeDpc(&kernel, kernel_dpc, NULL);
    KeSetImportanceDpc(&kernel, MediumHighImportance);
    CHECK(KeInsertQueueDpc(&kernel, &contexts[FIRST], NULL) == TRUE);
    wait_for(host, &kernel_runs);
    /* Everything that was queued has run, and nothing twice. */
    KeFlushQueuedDpcs();
    CHECK(runs == 2 && kernel_runs == 2);
    NdisMDeregisterInterruptEx(interrupt);
    CHECK(NetDmaHostViolations() == 0);
    CHECK(NetDmaHostClose(host) == STATUS_SUCCESS);
    return failures != 0;
}
