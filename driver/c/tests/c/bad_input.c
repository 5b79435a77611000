/* Wrong calls: each gets the documented status or does nothing, is counted where it breaks the contract, and leaves a text. */

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "ndis.h"
#include "netdma.h"
#include "netdma_host.h"

static int failures;

#define CHECK(condition)                                                                               \
    do {                                                                                               \
        if (!(condition)) {                                                                            \
            failures++;                                                                                \
            fprintf(stderr, "line %d: %s; last error: %s\n", __LINE__, #condition, NetDmaHostLastError()); \
        }                                                                                              \
    } while (0)

/* The call breaks the contract once, and its text names the clause. */
#define BREACH(call, clause)                                            \
    do {                                                                \
        ULONG64 before = NetDmaHostViolations();                        \
        call;                                                           \
        CHECK(NetDmaHostViolations() == before + 1);                    \
        CHECK(strstr(NetDmaHostLastError(), clause) != NULL);           \
    } while (0)

/* ---- a provider that does nothing ---- */

static ULONG affinities;

static NTSTATUS set_affinity(PVOID context, PNET_DMA_CHANNEL_CPU_AFFINITY entries, ULONG bytes)
{
    (void)context, (void)entries;
    CHECK(KeGetCurrentIrql() == PASSIVE_LEVEL);
    affinities = bytes / (ULONG)sizeof *entries;
    return STATUS_SUCCESS;
}
static NTSTATUS allocate(PVOID context, PNET_DMA_CHANNEL_PARAMETERS parameters, PVOID handle, PVOID *out)
{
    (void)context, (void)parameters, (void)handle, (void)out;
    return STATUS_INSUFFICIENT_RESOURCES;
}
static void release(PVOID context)
{
    (void)context;
}
static NTSTATUS submit(PVOID context, PNET_DMA_DESCRIPTOR first, PHYSICAL_ADDRESS address, ULONG count)
{
    (void)context, (void)first, (void)address, (void)count;
    return STATUS_UNSUCCESSFUL;
}
static NTSTATUS suspend(PVOID context, PHYSICAL_ADDRESS *last)
{
    (void)context, (void)last;
    return STATUS_UNSUCCESSFUL;
}

static WCHAR name[] = { 'n', 'o', 'n', 'e' };

static NET_DMA_PROVIDER_CHARACTERISTICS good(NETDMA_HOST host)
{
    return (NET_DMA_PROVIDER_CHARACTERISTICS){
        .MajorVersion = 2,
        .Size = sizeof(NET_DMA_PROVIDER_CHARACTERISTICS),
        .PhysicalDeviceObject = host,
        .MaxDmaChannelCount = 4,
        .SetDmaChannelCpuAffinity = set_affinity,
        .AllocateDmaChannel = allocate,
        .FreeDmaChannel = release,
        .StartDma = submit,
        .AppendDma = submit,
        .FriendlyName = { sizeof name, sizeof name, name },
    };
}

#define REFUSED(change, clause)                                                                            \
    do {                                                                                                   \
        NET_DMA_PROVIDER_CHARACTERISTICS c = good(host);                                                   \
        PVOID none = NULL;                                                                                 \
        change;                                                                                            \
        CHECK(NetDmaRegisterProvider(NULL, &none, &c) == STATUS_UNSUCCESSFUL);                             \
        CHECK(none == NULL);                                                                               \
        CHECK(strstr(NetDmaHostLastError(), clause) != NULL);                                              \
    } while (0)

static void registration(NETDMA_HOST host)
{
    REFUSED(c.Size = 40, "Size");
    REFUSED(c.Size = 96, "Size");
    REFUSED(c.AllocateDmaChannel = NULL, "C-PR-11");
    REFUSED(c.FreeDmaChannel = NULL, "C-PR-11");
    REFUSED(c.StartDma = NULL, "C-PR-11");
    REFUSED(c.AppendDma = NULL, "C-PR-11");
    REFUSED(c.SuspendDma = suspend, "C-PR-12");
    REFUSED(c.MajorVersion = 3, "ND-V1");
    REFUSED(c.FriendlyName.Buffer = NULL, "C-PR-13");
    REFUSED(c.FriendlyName.Length = 7, "FriendlyName.Length");
    REFUSED(c.Flags = 4, "Flags");
    REFUSED(c.MajorVersion = 1; c.MinorVersion = 1; c.Flags = 1, "1.5.4");
    REFUSED(c.PhysicalDeviceObject = NULL, "PhysicalDeviceObject");
    REFUSED(c.PhysicalDeviceObject = &failures, "PhysicalDeviceObject");
    BREACH(CHECK(NetDmaRegisterProvider(NULL, NULL, NULL) == STATUS_UNSUCCESSFUL), "contract 1.7");
}

static void life(NETDMA_HOST host)
{
    NET_DMA_PROVIDER_CHARACTERISTICS characteristics = good(host);
    NET_DMA_PROVIDER_ATTRIBUTES attributes = {
        .Size = sizeof attributes, .DmaChannelCount = 4, .MaximumTransferSize = 4096, .MaximumAddressSpace = { INT64_MAX },
    };
    NET_DMA_PROVIDER_ATTRIBUTES small = attributes, many = attributes, shorter = attributes;
    NET_DMA_PNP_NOTIFICATION event = {
        .StructureRevision = 1, .StructureSize = sizeof event, .NotificationCode = NetDmaNotificationProviderPowerDown,
    };
    NETDMA_HOST_RUN plan = { .Size = sizeof plan, .Channels = 1, .Rounds = 1, .Descriptors = 1, .Bytes = 64 };
    NETDMA_HOST_RESULT result = { .Size = sizeof result };
    ULONG cpu = 77;
    PVOID provider = NULL;
    small.MaximumTransferSize = 1024;
    many.DmaChannelCount = 5;
    shorter.Size = 16;

    CHECK(NetDmaRegisterProvider(NULL, &provider, &characteristics) == STATUS_SUCCESS);
    CHECK(affinities == 4);
    CHECK(NetDmaHostRun(host, &plan, &result) == STATUS_UNSUCCESSFUL);
    CHECK(strstr(NetDmaHostLastError(), "ND-F4") != NULL);
    BREACH(NetDmaProviderStop(provider), "contract 1.9");
    BREACH(NetDmaProviderStart(provider, NULL), "contract 1.7");
    BREACH(NetDmaProviderStart(provider, &small), "C-PR-14");
    BREACH(NetDmaProviderStart(provider, &many), "contract 1.5.5");
    BREACH(NetDmaProviderStart(provider, &shorter), "Size");
    BREACH(NetDmaPnPEventNotify(provider, &event), "contract 1.9");
    BREACH(NetDmaProviderStop(provider), "contract 1.9"); /* no Start has come through */
    NetDmaProviderStart(provider, &attributes);
    BREACH(NetDmaProviderStart(provider, &attributes), "ND-F9");
    BREACH(NetDmaDeregisterProvider(provider), "ND-F7");
    /* It is still started, and asked: its own refusal comes back. */
    CHECK(NetDmaHostRun(host, &plan, &result) == STATUS_UNSUCCESSFUL);
    CHECK(strstr(NetDmaHostLastError(), "STATUS_INSUFFICIENT_RESOURCES") != NULL);
    BREACH(event.NotificationCode = 4; NetDmaPnPEventNotify(provider, &event), "1.5.6");
    BREACH(event.NotificationCode = NetDmaNotificationProviderPowerUp; NetDmaPnPEventNotify(provider, &event), "1.13");
    BREACH(event.StructureSize = 8; NetDmaPnPEventNotify(provider, &event), "1.5.6");
    event.StructureSize = sizeof event;
    event.NotificationCode = NetDmaNotificationProviderPowerDown;
    NetDmaPnPEventNotify(provider, &event);
    event.NotificationCode = NetDmaNotificationProviderPowerUp;
    NetDmaPnPEventNotify(provider, &event);
    /* A level that these are not for, and handles that name no channel. */
    BREACH(NetDmaIsr(provider, (PHYSICAL_ADDRESS){ 64 }, &cpu), "C-ND-08");
    BREACH(NetDmaInterruptDpc(provider, (PHYSICAL_ADDRESS){ 64 }), "C-ND-07");
    CHECK(cpu == 77);
    CHECK(NetDmaHostClose(host) == STATUS_UNSUCCESSFUL);
    NetDmaProviderStop(provider);
    BREACH(NetDmaProviderStop(provider), "contract 1.9");
    NetDmaDeregisterProvider(provider);
    BREACH(NetDmaProviderStart(provider, &attributes), "ND-F9");
    BREACH(NetDmaProviderStop(NULL), "ND-F9");
    BREACH(NetDmaDeregisterProvider(host), "ND-F9"); /* a handle of another kind */
}

/* ---- interrupts ---- */

static _Atomic ULONG64 dpc_saw;
static BOOLEAN throttled;

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
static void message_dpc(NDIS_HANDLE context, ULONG message, PVOID dpc, PVOID throttle, PVOID reserved)
{
    ULONG64 right = context == &dpc_saw && dpc == &failures && reserved == NULL && message == 1 &&
                    KeGetCurrentIrql() == DISPATCH_LEVEL && (throttle != NULL) == throttled;
    ULONG64 before = NetDmaHostViolations();
    /* DISPATCH_LEVEL is not PASSIVE_LEVEL: these do nothing. */
    NdisMDeregisterInterruptEx(context);
    (void)NetDmaGetVersion();
    if (throttle != NULL && ((NDIS_RECEIVE_THROTTLE_PARAMETERS *)throttle)->MaxNblsToIndicate != NDIS_INDICATE_ALL_NBLS)
        right = 0;
    if (NetDmaHostViolations() != before + 2)
        right = 0;
    dpc_saw = right << 32 | (KeGetCurrentProcessorNumber() + 1);
}
static void message_switch(NDIS_HANDLE context, ULONG message)
{
    (void)context, (void)message;
}

static NDIS_MINIPORT_INTERRUPT_CHARACTERISTICS handlers(void)
{
    return (NDIS_MINIPORT_INTERRUPT_CHARACTERISTICS){
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
}

#define NOT_CONNECTED(change, status)                                                        \
    do {                                                                                     \
        NDIS_MINIPORT_INTERRUPT_CHARACTERISTICS c = handlers();                              \
        change;                                                                              \
        CHECK(NdisMRegisterInterruptEx(host, NULL, &c, &interrupt) == (status));             \
        CHECK(interrupt == NULL);                                                            \
    } while (0)

static BOOLEAN at_dirql(NDIS_HANDLE context)
{
    NDIS_HANDLE interrupt = *(NDIS_HANDLE *)context;
    CHECK(KeGetCurrentIrql() > DISPATCH_LEVEL);
    BREACH(NetDmaProviderStop(interrupt), "contract 1.7");
    BREACH(NetDmaInterruptDpc(interrupt, (PHYSICAL_ADDRESS){ 64 }), "C-ND-07");
    /* Here the level is right, and the handle is not. */
    BREACH(NetDmaIsr(interrupt, (PHYSICAL_ADDRESS){ 64 }, &(ULONG){ 0 }), "ND-P14");
    BREACH(CHECK(NdisMSynchronizeWithInterruptEx(interrupt, 0, at_dirql, context) == FALSE), "contract 2.7");
    return 3;
}

static void interrupts(NETDMA_HOST host, BOOLEAN v6_0)
{
    NDIS_HANDLE interrupt = NULL, again = NULL;
    NDIS_MINIPORT_INTERRUPT_CHARACTERISTICS characteristics = handlers();
    NDIS_MSIX_CONFIG_PARAMETERS mask = {
        .Header = { NDIS_OBJECT_TYPE_DEFAULT, NDIS_MSIX_CONFIG_PARAMETERS_REVISION_1,
                    NDIS_SIZEOF_MSIX_CONFIG_PARAMETERS_REVISION_1 },
        .ConfigOperation = NdisMSIXTableConfigMaskTableEntry,
    };
    GROUP_AFFINITY second = { .Mask = 2 }, reserved = { .Mask = 2, .Reserved = { 1 } };

    NOT_CONNECTED(c.Header.Size = 88, NDIS_STATUS_BAD_CHARACTERISTICS);
    NOT_CONNECTED(c.Header.Type = NDIS_OBJECT_TYPE_DEFAULT, NDIS_STATUS_BAD_CHARACTERISTICS);
    NOT_CONNECTED(c.Header.Revision = 2, NDIS_STATUS_BAD_VERSION);
    NOT_CONNECTED(c.InterruptDpcHandler = NULL, NDIS_STATUS_BAD_CHARACTERISTICS);
    NOT_CONNECTED(c.MessageInterruptHandler = NULL, NDIS_STATUS_BAD_CHARACTERISTICS);
    NOT_CONNECTED(c.MsiSupported = FALSE, NDIS_STATUS_BAD_CHARACTERISTICS);
    CHECK(NdisMRegisterInterruptEx(NULL, NULL, &characteristics, &interrupt) == NDIS_STATUS_INVALID_PARAMETER);
    CHECK(NdisMConfigMSIXTableEntry(host, &mask) == NDIS_STATUS_FAILURE);
    CHECK(NdisMRegisterInterruptEx(host, &dpc_saw, &characteristics, &interrupt) == NDIS_STATUS_SUCCESS);
    CHECK(characteristics.InterruptType == NDIS_CONNECT_MESSAGE_BASED);
    CHECK(characteristics.MessageInfoTable->MessageCount == 4);
    CHECK(characteristics.MessageInfoTable->MessageInfo[0].TargetProcessorSet == 1);
    BREACH(CHECK(NdisMRegisterInterruptEx(host, NULL, &characteristics, &again) == NDIS_STATUS_RESOURCE_CONFLICT), "2.3");
    CHECK(NetDmaHostClose(host) == STATUS_UNSUCCESSFUL);

    BREACH(CHECK(NdisMQueueDpc(interrupt, 4, 1, NULL) == 0), "QD-6");
    CHECK(NdisMQueueDpc(interrupt, 1, 0, NULL) == 0);
    CHECK(NdisMQueueDpc(interrupt, 1, (ULONG)1 << 31, NULL) == 0); /* no such processor (QD-8) */
    throttled = !v6_0;
    dpc_saw = 0;
    CHECK(NdisMQueueDpc(interrupt, 1, 1 << 2, &failures) == 1 << 2);
    for (int turn = 0; dpc_saw == 0 && turn < 100000; turn++)
        NetDmaHostStall(host, 100);
    CHECK(dpc_saw == ((ULONG64)1 << 32 | 3));
    BREACH(CHECK(NdisMQueueDpcEx(interrupt, 1, NULL, NULL) == 0), "contract 2.6");
    BREACH(CHECK(NdisMQueueDpcEx(interrupt, 1, &reserved, NULL) == 0), "Reserved");
    if (v6_0) {
        BREACH(CHECK(NdisMQueueDpcEx(interrupt, 1, &second, &failures) == 0), "2.6");
        CHECK(NdisMConfigMSIXTableEntry(host, &mask) == NDIS_STATUS_NOT_SUPPORTED);
    } else {
        dpc_saw = 0;
        CHECK(NdisMQueueDpcEx(interrupt, 1, &second, &failures) == 2);
        for (int turn = 0; dpc_saw == 0 && turn < 100000; turn++)
            NetDmaHostStall(host, 100);
        CHECK(dpc_saw == ((ULONG64)1 << 32 | 2));
        CHECK(NdisMConfigMSIXTableEntry(host, &mask) == NDIS_STATUS_SUCCESS);
        BREACH(mask.TableEntry = 9; CHECK(NdisMConfigMSIXTableEntry(host, &mask) == NDIS_STATUS_INVALID_PARAMETER), "2.9");
        BREACH(mask.ConfigOperation = NdisMSIXTableConfigMax;
               CHECK(NdisMConfigMSIXTableEntry(host, &mask) == NDIS_STATUS_INVALID_PARAMETER), "ConfigOperation");
        BREACH(mask.Header.Revision = 2; CHECK(NdisMConfigMSIXTableEntry(host, &mask) == NDIS_STATUS_BAD_VERSION), "2.9");
        BREACH(mask.Header.Size = 8; CHECK(NdisMConfigMSIXTableEntry(host, &mask) != NDIS_STATUS_SUCCESS), "2.9");
    }
    /* (SY-3) Exactly the function's answer. */
    CHECK(NdisMSynchronizeWithInterruptEx(interrupt, 0, at_dirql, &interrupt) == 3);
    BREACH(CHECK(NdisMSynchronizeWithInterruptEx(interrupt, 0, NULL, NULL) == FALSE), "2.7");
    CHECK(KeGetCurrentIrql() == PASSIVE_LEVEL);
    NdisMDeregisterInterruptEx(interrupt);
    BREACH(NdisMDeregisterInterruptEx(interrupt), "IR-6");
    BREACH(CHECK(NdisMQueueDpc(interrupt, 0, 1, NULL) == 0), "IR-6");
    BREACH(CHECK(NdisMSynchronizeWithInterruptEx(interrupt, 0, at_dirql, NULL) == FALSE), "IR-6");
}

static void host_calls(NETDMA_HOST host)
{
    NETDMA_HOST none = NULL;
    NETDMA_HOST_OPTIONS shorter = { .Size = 4 };
    ULONG64 value = 7;
    PVOID memory = NULL;
    PHYSICAL_ADDRESS physical;
    CHECK(NetDmaHostOpen("sim:nonesuch", NULL, &none) == STATUS_UNSUCCESSFUL);
    CHECK(strstr(NetDmaHostLastError(), "nonesuch") != NULL && none == NULL);
    CHECK(NetDmaHostOpen("socket:/nonexistent", NULL, &none) == STATUS_UNSUCCESSFUL);
    CHECK(NetDmaHostOpen("sim", &shorter, &none) == STATUS_INVALID_PARAMETER);
    CHECK(NetDmaHostReadBar(host, 0, 3, &value) == STATUS_INVALID_PARAMETER);
    CHECK(NetDmaHostReadBar(host, 2, 4, &value) == STATUS_INVALID_PARAMETER);
    CHECK(NetDmaHostReadBar(host, (ULONG64)1 << 40, 4, &value) == STATUS_UNSUCCESSFUL);
    CHECK(value == 7);
    CHECK(NetDmaHostReadConfig(host, 0, 2, &value) == STATUS_SUCCESS && value == 0x8086);
    BREACH(CHECK(NetDmaHostWriteBar(&value, 0, 4, 0) == STATUS_INVALID_PARAMETER), "names none");
    CHECK(NetDmaHostAllocate(host, 0, &memory, &physical) == STATUS_INSUFFICIENT_RESOURCES);
    CHECK(NetDmaHostAllocate(host, 5000, &memory, &physical) == STATUS_SUCCESS);
    CHECK(((unsigned char *)memory)[8191] == 0 && physical.QuadPart % 4096 == 0);
    BREACH(CHECK(NetDmaHostClose(host) == STATUS_UNSUCCESSFUL), "1 buffers");
    BREACH(NetDmaHostFree(host, &value), "no memory");
    NetDmaHostFree(host, memory);
    BREACH(NetDmaHostFree(host, memory), "no memory");
}

/* ---- kernel DPCs ---- */

static _Atomic ULONG64 kdpc_saw;
static KDPC kernel;

static void kernel_dpc(PKDPC dpc, PVOID context, PVOID one, PVOID two)
{
    ULONG64 right = dpc == &kernel && context == &kernel && one == &failures && two == NULL &&
                    KeGetCurrentIrql() == DISPATCH_LEVEL;
    kdpc_saw += right << 32 | KeGetCurrentProcessorNumber();
}

static void kernel_dpcs(void)
{
    KDPC copy;
    PROCESSOR_NUMBER two = { .Number = 2 }, none = { .Number = 9 };
    memset(&copy, 0x5a, sizeof copy);
    BREACH(CHECK(KeInsertQueueDpc(&kernel, NULL, NULL) == FALSE), "2.11"); /* not initialised */
    BREACH(CHECK(KeInsertQueueDpc(&copy, NULL, NULL) == FALSE), "2.11");
    BREACH(KeInitializeDpc(&kernel, NULL, NULL), "2.11");
    KeInitializeDpc(&kernel, kernel_dpc, &kernel);
    copy = kernel;
    BREACH(CHECK(KeRemoveQueueDpc(&copy) == FALSE), "2.11"); /* a copy is not the DPC */
    CHECK(KeRemoveQueueDpc(&kernel) == FALSE);
    CHECK(KeSetTargetProcessorDpcEx(&kernel, &none) == STATUS_INVALID_PARAMETER);
    CHECK(KeSetTargetProcessorDpcEx(&kernel, &two) == STATUS_SUCCESS);
    KeSetTargetProcessorDpc(&kernel, -1); /* no such processor: no change (KD-7) */
    BREACH(KeSetImportanceDpc(&kernel, 4), "KD-8");
    KeSetImportanceDpc(&kernel, HighImportance);
    CHECK(KeInsertQueueDpc(&kernel, &failures, NULL) == TRUE);
    KeFlushQueuedDpcs();
    CHECK(kdpc_saw == ((ULONG64)1 << 32 | 2));
    /* It ran, so it can be queued again (KD-3). */
    CHECK(KeInsertQueueDpc(&kernel, &failures, NULL) == TRUE);
    KeFlushQueuedDpcs();
    CHECK(kdpc_saw == 2 * ((ULONG64)1 << 32 | 2));
}

int main(void)
{
    NETDMA_HOST_OPTIONS old = {
        .Size = sizeof old, .Processors = 4, .NdisMajorVersion = 6, .NetDmaRevision = NETDMA_HOST_VISTA,
        .Channels = NETDMA_HOST_DEFAULT, .Vectors = NETDMA_HOST_DEFAULT,
    };
    NETDMA_HOST host, vista;
    CHECK(NetDmaHostOpen("sim", NULL, &host) == STATUS_SUCCESS);
    CHECK(NetDmaGetVersion() == 0x00020000);
    registration(host);
    life(host);
    interrupts(host, FALSE);
    host_calls(host);
    kernel_dpcs();
    CHECK(NetDmaHostOpen("sim", &old, &vista) == STATUS_SUCCESS);
    BREACH(CHECK(NetDmaGetVersion() == 0), "ND-V3");
    interrupts(vista, TRUE);
    CHECK(NetDmaHostClose(vista) == STATUS_SUCCESS);
    CHECK(NetDmaHostClose(host) == STATUS_SUCCESS);
    BREACH(CHECK(KeInsertQueueDpc(&kernel, NULL, NULL) == FALSE), "2.11"); /* its processors are gone */
    BREACH(CHECK(NetDmaHostClose(host) == STATUS_INVALID_PARAMETER), "names none");
    return failures != 0;
}
