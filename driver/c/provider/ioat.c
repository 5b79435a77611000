/*
 * A NetDMA 2.0 provider for Intel I/OAT version 3, written from the reference pages.
 *
 * The path: the engine writes the completion value and interrupts; the service routine tells NetDMA (NetDmaIsr), which
 * names a processor, and queues the DPC there (NdisMQueueDpc); the DPC reads the value again, reports it
 * (NetDmaInterruptDpc), re-arms the interrupt and looks once more, for what came in between interrupted nobody.
 *
 * What a version 3 engine does not do, and this adds: Resume (it is told where to go on), and the status values that
 * Suspend, Abort and Reset leave. Numbers such as ND-P5 are clauses of the contract.
 */

#include "ioat.h"

/* Registers of the function and, from 0x80 * (channel + 1) on, of a channel. */
enum { CHANCNT = 0x00, XFERCAP = 0x01, INTRCTRL = 0x03, CBVER = 0x08 };
enum { CHANCTRL = 0x00, CHANCMD = 0x04, DMACOUNT = 0x06, CHANSTS = 0x08, CHAINADDR = 0x10, CHANCMP = 0x18, CHANERR = 0x28 };
enum { CMD_SUSPEND = 0x04, CMD_RESET = 0x20 };
enum { PCI_VENDOR = 0x00, PCI_COMMAND = 0x04, CHANERR_INT = 0x180 };

/* CHANCTRL: re-arm, and report errors in the completion value and by an interrupt. */
#define REARM 0x1d
#define ADDRESS(value) ((value) & ~(ULONG64)0x3f)
#define STATUS(value) ((value) & NET_DMA_TRANSFER_STATUS_MASK)

/* ---- registers ---- */

static ULONG64 at(const struct ioat_channel *channel, ULONG64 reg)
{
    return 0x80 * ((ULONG64)channel->index + 1) + reg;
}

/* A device that is gone reads as all ones, as on a bus. */
static ULONG64 get(const struct ioat_channel *channel, ULONG64 reg, ULONG width)
{
    ULONG64 value;
    return NetDmaHostReadBar(channel->engine->host, at(channel, reg), width, &value) ? ~(ULONG64)0 : value;
}

static NTSTATUS put(const struct ioat_channel *channel, ULONG64 reg, ULONG width, ULONG64 value)
{
    return NetDmaHostWriteBar(channel->engine->host, at(channel, reg), width, value);
}

/* Stops the engine behind the current descriptor. */
static NTSTATUS stop(struct ioat_channel *channel)
{
    NETDMA_HOST host = channel->engine->host;
    if (STATUS(get(channel, CHANSTS, 8)) > NetDmaTransferStatusIdle)
        return STATUS_SUCCESS;
    put(channel, CHANCMD, 1, CMD_SUSPEND);
    for (int turn = 0; turn < 10000; turn++) {
        if (STATUS(get(channel, CHANSTS, 8)) > NetDmaTransferStatusIdle)
            return STATUS_SUCCESS;
        NetDmaHostStall(host, 20);
    }
    return STATUS_UNSUCCESSFUL;
}

/* Brings the engine's channel to its first state, and arms it again if somebody has it. */
static NTSTATUS reset(struct ioat_channel *channel)
{
    NETDMA_HOST host = channel->engine->host;
    ULONG64 errors;
    (void)stop(channel);
    /* Write one to clear; both outlive a channel reset. */
    put(channel, CHANERR, 4, get(channel, CHANERR, 4));
    if (NetDmaHostReadConfig(host, CHANERR_INT, 4, &errors) == STATUS_SUCCESS)
        NetDmaHostWriteConfig(host, CHANERR_INT, 4, errors);
    put(channel, CHANCMD, 1, CMD_RESET);
    for (int turn = 0; get(channel, CHANCMD, 1) & CMD_RESET; turn++) {
        if (turn == 10000)
            return STATUS_UNSUCCESSFUL;
        NetDmaHostStall(host, 20);
    }
    if (channel->completion == NULL)
        return STATUS_SUCCESS;
    put(channel, CHANCMP, 8, (ULONG64)channel->completion_at.QuadPart);
    return put(channel, CHANCTRL, 2, REARM);
}

/* ---- the list of descriptors ---- */

static NET_DMA_DESCRIPTOR *descriptor(const struct ioat_channel *channel, ULONG64 address)
{
    return (NET_DMA_DESCRIPTOR *)(void *)(channel->near_virtual + (address - channel->near_physical));
}

/* Keeps DPCs from reporting. A command that comes from inside a report (a client may start from there) holds it already. */
static BOOLEAN quiet(struct ioat_channel *channel)
{
    if (KeGetCurrentIrql() != PASSIVE_LEVEL)
        return FALSE;
    while (atomic_flag_test_and_set(&channel->reporting))
        NetDmaHostStall(channel->engine->host, 1);
    return TRUE;
}

static void loud(struct ioat_channel *channel, BOOLEAN was_quiet)
{
    if (was_quiet)
        atomic_flag_clear(&channel->reporting);
}

/* Books everything up to the descriptor at `done` as finished. FALSE if it is none of the list's. */
static BOOLEAN advance(struct ioat_channel *channel, ULONG64 done)
{
    ULONG64 walked = channel->head;
    if (done == 0 || done == channel->last)
        return TRUE;
    for (ULONG count = 1; count <= channel->outstanding; count++) {
        ULONG64 next = (ULONG64)descriptor(channel, walked)->NextDescriptor.QuadPart;
        if (walked == done) {
            channel->last = done;
            channel->head = next;
            channel->outstanding -= count;
            return TRUE;
        }
        walked = next;
    }
    return FALSE;
}

/* Looks through a chain that is offered. The engine has no page breaks, and takes no transfer of zero bytes. */
static NTSTATUS admit(struct ioat_channel *channel, NET_DMA_DESCRIPTOR *first, ULONG64 address, ULONG count)
{
    const ULONG refused = NET_DMA_SOURCE_PAGE_BREAK | NET_DMA_DESTINATION_PAGE_BREAK | NET_DMA_OP_TYPE_MASK;
    unsigned char *near_virtual = (unsigned char *)first;
    ULONG64 walked = address;
    if (count == 0 || count > 0xffff - channel->outstanding)
        return STATUS_INSUFFICIENT_RESOURCES;
    for (ULONG index = 0; index < count; index++) {
        NET_DMA_DESCRIPTOR *one = (NET_DMA_DESCRIPTOR *)(void *)(near_virtual + (walked - address));
        if (one->ControlFlags & refused || one->TransferSize > channel->engine->transfer_max)
            return STATUS_UNSUCCESSFUL;
        if (one->TransferSize == 0) {
            one->TransferSize = 1;
            one->ControlFlags |= NET_DMA_NULL_TRANSFER;
        }
        if (one->ControlFlags & NET_DMA_STATUS_UPDATE_ON_COMPLETION)
            channel->wants_status = TRUE;
        walked = (ULONG64)one->NextDescriptor.QuadPart;
    }
    return STATUS_SUCCESS;
}

/* Leaves the status that Suspend, Abort and Reset must leave (ND-C5); the engine does not write it. */
static void leave_status(struct ioat_channel *channel, ULONG64 status)
{
    if (channel->wants_status)
        atomic_store(channel->completion, channel->last | status);
}

/* ---- the callbacks ---- */

static NTSTATUS set_affinity(PVOID context, PNET_DMA_CHANNEL_CPU_AFFINITY entries, ULONG bytes)
{
    struct ioat_engine *engine = context;
    for (ULONG entry = 0; entry < bytes / sizeof *entries; entry++) {
        if (entries[entry].DmaChannel < engine->channels)
            engine->channel[entries[entry].DmaChannel].interrupt_cpu = entries[entry].CpuNumber;
    }
    return STATUS_SUCCESS;
}

static NTSTATUS allocate(PVOID context, PNET_DMA_CHANNEL_PARAMETERS parameters, PVOID handle, PVOID *channel_context)
{
    struct ioat_engine *engine = context;
    struct ioat_channel *chosen = NULL;
    ULONG mask = parameters->ProcessorAffinityMask;
    for (ULONG index = 0; index < engine->channels; index++) {
        struct ioat_channel *channel = &engine->channel[index];
        if (channel->handle != NULL)
            continue;
        if (chosen == NULL)
            chosen = channel;
        /* Better: one whose interrupt goes to a processor of the mask (ND-P2). */
        if (channel->interrupt_cpu < 32 && mask >> channel->interrupt_cpu & 1) {
            chosen = channel;
            break;
        }
    }
    if (chosen == NULL || mask == 0)
        return STATUS_INSUFFICIENT_RESOURCES;
    chosen->cpu = chosen->interrupt_cpu;
    if (chosen->cpu >= 32 || !(mask >> chosen->cpu & 1)) {
        for (chosen->cpu = 0; !(mask >> chosen->cpu & 1);)
            chosen->cpu++;
    }
    chosen->completion = parameters->CompletionVirtualAddress;
    chosen->completion_at = parameters->CompletionPhysicalAddress;
    chosen->outstanding = 0;
    chosen->last = 0;
    chosen->running = FALSE;
    chosen->wants_status = FALSE;
    chosen->handle = handle;
    atomic_store(chosen->completion, NetDmaTransferStatusArmed);
    if (reset(chosen) != STATUS_SUCCESS) {
        chosen->completion = NULL;
        chosen->handle = NULL;
        return STATUS_UNSUCCESSFUL;
    }
    parameters->CpuNumber = chosen->cpu;
    *channel_context = chosen;
    return STATUS_SUCCESS;
}

/* With the service routine kept out: it looks at the completion value, whose memory ends with the channel. */
static BOOLEAN forget(NDIS_HANDLE context)
{
    struct ioat_channel *channel = context;
    channel->completion = NULL;
    channel->handle = NULL;
    return TRUE;
}

static void free_channel(PVOID context)
{
    struct ioat_channel *channel = context;
    (void)reset(channel);
    BOOLEAN was_quiet = quiet(channel);
    channel->running = FALSE;
    NdisMSynchronizeWithInterruptEx(channel->engine->interrupt, channel->index, forget, channel);
    loud(channel, was_quiet);
}

/* ND-P5: the current descriptor finishes, the rest of the old list is dropped, this one is loaded. */
static NTSTATUS start(PVOID context, PNET_DMA_DESCRIPTOR first, PHYSICAL_ADDRESS address, ULONG count)
{
    struct ioat_channel *channel = context;
    ULONG64 physical = (ULONG64)address.QuadPart;
    NTSTATUS status = stop(channel);
    if (status == STATUS_SUCCESS && get(channel, CHANERR, 4) != 0)
        status = reset(channel);
    if (status != STATUS_SUCCESS)
        return status;
    BOOLEAN was_quiet = quiet(channel);
    channel->outstanding = 0;
    channel->wants_status = FALSE;
    status = admit(channel, first, physical, count);
    channel->running = status == STATUS_SUCCESS;
    if (channel->running) {
        channel->near_virtual = (unsigned char *)first;
        channel->near_physical = physical;
        channel->head = physical;
        channel->last = 0;
        channel->outstanding = count;
        channel->doorbell = (USHORT)count;
        channel->seen = NetDmaTransferStatusArmed;
        atomic_store(channel->completion, NetDmaTransferStatusArmed);
    }
    loud(channel, was_quiet);
    if (status != STATUS_SUCCESS)
        return status;
    put(channel, CHAINADDR, 8, physical);
    return put(channel, DMACOUNT, 2, channel->doorbell);
}

/* ND-P8: the last descriptor named this chain already; only the count grows. */
static NTSTATUS append(PVOID context, PNET_DMA_DESCRIPTOR first, PHYSICAL_ADDRESS address, ULONG count)
{
    struct ioat_channel *channel = context;
    BOOLEAN was_quiet = quiet(channel);
    NTSTATUS status = channel->running ? admit(channel, first, (ULONG64)address.QuadPart, count) : STATUS_UNSUCCESSFUL;
    if (status == STATUS_SUCCESS) {
        channel->outstanding += count;
        channel->doorbell = (USHORT)(channel->doorbell + count);
    }
    loud(channel, was_quiet);
    return status == STATUS_SUCCESS ? put(channel, DMACOUNT, 2, channel->doorbell) : STATUS_UNSUCCESSFUL;
}

/* ND-P10: the current descriptor finishes; the one processed last is named. */
static NTSTATUS suspend(PVOID context, PHYSICAL_ADDRESS *last)
{
    struct ioat_channel *channel = context;
    if (!channel->running || stop(channel) != STATUS_SUCCESS)
        return STATUS_UNSUCCESSFUL;
    BOOLEAN was_quiet = quiet(channel);
    ULONG64 stopped = get(channel, CHANSTS, 8);
    BOOLEAN booked = STATUS(stopped) != NetDmaTransferStatusHalted && advance(channel, ADDRESS(stopped));
    if (booked) {
        leave_status(channel, NetDmaTransferStatusSuspend);
        last->QuadPart = (LONGLONG)channel->last;
    }
    loud(channel, was_quiet);
    return booked ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}

/* ND-P11: NextDescriptor of the one processed last may have changed, so it is read again. */
static NTSTATUS resume(PVOID context)
{
    struct ioat_channel *channel = context;
    BOOLEAN was_quiet = quiet(channel);
    if (channel->last != 0)
        channel->head = (ULONG64)descriptor(channel, channel->last)->NextDescriptor.QuadPart;
    channel->doorbell = (USHORT)channel->outstanding;
    loud(channel, was_quiet);
    put(channel, CHAINADDR, 8, channel->head);
    return put(channel, DMACOUNT, 2, channel->doorbell);
}

/* ND-P12 and ND-P13: at once, and nothing of the old list is touched again. */
static NTSTATUS discard(PVOID context)
{
    struct ioat_channel *channel = context;
    NTSTATUS status = reset(channel);
    if (status != STATUS_SUCCESS)
        return status;
    BOOLEAN was_quiet = quiet(channel);
    leave_status(channel, NetDmaTransferStatusHalted);
    channel->running = FALSE;
    channel->outstanding = 0;
    channel->last = 0;
    loud(channel, was_quiet);
    return STATUS_SUCCESS;
}

/* ---- interrupt and DPC ---- */

static void ask_for_dpc(struct ioat_channel *channel, ULONG cpu)
{
    ULONG wanted = (ULONG)1 << cpu;
    ULONG queued = NdisMQueueDpc(channel->engine->interrupt, channel->index, wanted, channel);
    /* A processor that is missing has this DPC queued already: it will see the work (QD-15). */
    if ((queued & wanted) == 0)
        atomic_fetch_add(&channel->engine->refused, 1);
}

static BOOLEAN message_isr(NDIS_HANDLE context, ULONG message, PBOOLEAN queue_default, PULONG targets)
{
    struct ioat_engine *engine = context;
    *queue_default = FALSE;
    *targets = 0;
    if (message >= engine->channels || engine->channel[message].completion == NULL)
        return TRUE;
    struct ioat_channel *channel = &engine->channel[message];
    ULONG64 value = atomic_load(channel->completion);
    ULONG cpu = channel->cpu;
    /* Before the first completion there is no address to pass (ND-I14). */
    if (STATUS(value) != NetDmaTransferStatusArmed && ADDRESS(value) != 0) {
        PHYSICAL_ADDRESS latest = { (LONGLONG)ADDRESS(value) };
        NetDmaIsr(channel->handle, latest, &cpu);
    }
    /* The engine keeps the message back until the DPC re-arms it. */
    ask_for_dpc(channel, cpu);
    return TRUE;
}

static void report(struct ioat_channel *channel)
{
    ULONG64 value = atomic_load(channel->completion);
    PHYSICAL_ADDRESS latest = { (LONGLONG)ADDRESS(value) };
    channel->seen = value;
    if (!channel->running || STATUS(value) == NetDmaTransferStatusArmed)
        return;
    if (STATUS(value) == NetDmaTransferStatusHalted || !advance(channel, ADDRESS(value))) {
        channel->running = FALSE;
        latest.QuadPart = 0; /* another reason than a completion (ND-I8) */
    }
    NetDmaInterruptDpc(channel->handle, latest);
}

static void message_dpc(NDIS_HANDLE context, ULONG message, PVOID dpc_context, PVOID throttle, PVOID reserved)
{
    struct ioat_channel *channel = dpc_context;
    (void)context, (void)message, (void)throttle, (void)reserved;
    while (atomic_flag_test_and_set(&channel->reporting))
        NetDmaHostStall(channel->engine->host, 1);
    BOOLEAN again = FALSE;
    if (channel->completion != NULL) {
        report(channel);
        put(channel, CHANCTRL, 2, REARM);
        again = channel->running && atomic_load(channel->completion) != channel->seen;
    }
    ULONG cpu = channel->cpu;
    atomic_flag_clear(&channel->reporting);
    /* A completion that landed before the re-arming has interrupted nobody (MT-4). */
    if (again)
        ask_for_dpc(channel, cpu);
}

/* The four line handlers must be there (IR-3); an engine with MSI-X must use that (ND-I1). */
static BOOLEAN line_isr(NDIS_HANDLE context, PBOOLEAN queue_default, PULONG targets)
{
    (void)context;
    *queue_default = FALSE;
    *targets = 0;
    return FALSE;
}

static void line_dpc(NDIS_HANDLE context, PVOID dpc_context, PVOID throttle, PVOID reserved)
{
    (void)context, (void)dpc_context, (void)throttle, (void)reserved;
}

/* For diagnostics alone (EN-1). */
static void line_switch(NDIS_HANDLE context)
{
    (void)context;
}

static void message_switch(NDIS_HANDLE context, ULONG message)
{
    (void)context, (void)message;
}

/* ---- from the device to a provider ---- */

static NTSTATUS identify(struct ioat_engine *engine)
{
    ULONG64 version, channels, capacity;
    if (NetDmaHostReadBar(engine->host, CBVER, 1, &version) || NetDmaHostReadBar(engine->host, CHANCNT, 1, &channels) ||
        NetDmaHostReadBar(engine->host, XFERCAP, 1, &capacity))
        return STATUS_UNSUCCESSFUL;
    channels &= 0x1f;
    capacity &= 0x1f;
    if (version >> 4 != 3 || channels == 0 || channels > IOAT_CHANNELS_MAX || capacity < 12 || capacity > 20)
        return STATUS_UNSUCCESSFUL;
    engine->channels = (ULONG)channels;
    engine->transfer_max = (ULONG)1 << capacity;
    for (ULONG index = 0; index < engine->channels; index++) {
        engine->channel[index].engine = engine;
        engine->channel[index].index = index;
        atomic_flag_clear(&engine->channel[index].reporting);
    }
    return STATUS_SUCCESS;
}

static NTSTATUS bring_up(struct ioat_engine *engine)
{
    ULONG64 command;
    if (NetDmaHostReadConfig(engine->host, PCI_COMMAND, 2, &command))
        return STATUS_UNSUCCESSFUL;
    /* Memory space, bus mastering, and no line. */
    NetDmaHostWriteConfig(engine->host, PCI_COMMAND, 2, command | 0x0406);
    for (ULONG index = 0; index < engine->channels; index++) {
        if (reset(&engine->channel[index]) != STATUS_SUCCESS)
            return STATUS_UNSUCCESSFUL;
    }
    return NetDmaHostWriteBar(engine->host, INTRCTRL, 1, 0x09);
}

static NTSTATUS connect(struct ioat_engine *engine)
{
    NDIS_MINIPORT_INTERRUPT_CHARACTERISTICS handlers = {
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
    NDIS_STATUS status = NdisMRegisterInterruptEx(engine->host, engine, &handlers, &engine->interrupt);
    if (status != NDIS_STATUS_SUCCESS)
        return status;
    /* One message for each channel, or the channel could not be told from the message. */
    if (handlers.InterruptType == NDIS_CONNECT_MESSAGE_BASED &&
        handlers.MessageInfoTable->MessageCount >= engine->channels)
        return STATUS_SUCCESS;
    NdisMDeregisterInterruptEx(engine->interrupt);
    return STATUS_NOT_SUPPORTED;
}

NTSTATUS ioat_add(struct ioat_engine *engine, NETDMA_HOST host)
{
    static WCHAR name[] = { 'I', '/', 'O', 'A', 'T', ' ', 'i', 'n', ' ', 'C' };
    NET_DMA_PROVIDER_CHARACTERISTICS characteristics = {
        .MajorVersion = 2,
        .Size = sizeof characteristics,
        .PhysicalDeviceObject = host,
        .SetDmaChannelCpuAffinity = set_affinity,
        .AllocateDmaChannel = allocate,
        .FreeDmaChannel = free_channel,
        .StartDma = start,
        .SuspendDma = suspend,
        .ResumeDma = resume,
        .AbortDma = discard,
        .AppendDma = append,
        .ResetChannel = discard,
        .FriendlyName = { sizeof name, sizeof name, name },
    };
    NET_DMA_PROVIDER_ATTRIBUTES attributes = {
        .MajorHwVersion = 3,
        .Size = sizeof attributes,
        .MaximumAddressSpace = { INT64_MAX },
    };
    ULONG64 vendor;
    NTSTATUS status;
    *engine = (struct ioat_engine){ .host = host };
    status = identify(engine);
    if (status != STATUS_SUCCESS || NetDmaHostReadConfig(host, PCI_VENDOR, 2, &vendor))
        return STATUS_UNSUCCESSFUL;
    characteristics.MaxDmaChannelCount = engine->channels;
    status = NetDmaRegisterProvider(engine, &engine->provider, &characteristics);
    if (status != STATUS_SUCCESS)
        return status;
    status = bring_up(engine);
    if (status == STATUS_SUCCESS)
        status = connect(engine);
    if (status != STATUS_SUCCESS) {
        NetDmaDeregisterProvider(engine->provider);
        return status;
    }
    attributes.VendorId = (ULONG)vendor;
    attributes.DmaChannelCount = engine->channels;
    attributes.MaximumTransferSize = engine->transfer_max;
    NetDmaProviderStart(engine->provider, &attributes);
    return STATUS_SUCCESS;
}

void ioat_remove(struct ioat_engine *engine)
{
    NetDmaProviderStop(engine->provider);
    NdisMDeregisterInterruptEx(engine->interrupt);
    NetDmaDeregisterProvider(engine->provider);
}
