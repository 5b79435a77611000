//! The headers: made from the sources by cbindgen, and the same as the committed ones.

use std::fs;
use std::path::{Path, PathBuf};

use cbindgen::{Builder, Config, DocumentationStyle, Language, Style};

/// NET_DMA_DESCRIPTOR with its unions, which cbindgen cannot write without names. `layout.c` checks it.
const DESCRIPTOR: &str = "\
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
} NET_DMA_DESCRIPTOR;";

struct Header {
    name: &'static str,
    sources: &'static [&'static str],
    includes: &'static [&'static str],
    by_hand: Option<&'static str>,
}

const HEADERS: [Header; 4] = [
    Header { name: "wdm.h", sources: &["wdm_types.rs", "wdm_calls.rs"], includes: &[], by_hand: None },
    Header {
        name: "netdma.h",
        sources: &["netdma_types.rs", "netdma_calls.rs"],
        includes: &["wdm.h"],
        by_hand: Some(DESCRIPTOR),
    },
    Header {
        name: "ndis.h",
        sources: &["ndis_types.rs", "ndis_calls.rs"],
        includes: &["wdm.h"],
        by_hand: None,
    },
    Header {
        name: "netdma_host.h",
        sources: &["host_types.rs", "host_calls.rs", "register_calls.rs"],
        includes: &["wdm.h"],
        by_hand: None,
    },
];

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).into()
}

fn generate(header: &Header) -> String {
    let guard = format!("NETDMA_C_{}", header.name.to_uppercase().replace('.', "_"));
    let mut config = Config {
        language: Language::C,
        style: Style::Type,
        cpp_compat: true,
        no_includes: true,
        sys_includes: vec!["stddef.h".into(), "stdint.h".into()],
        includes: header.includes.iter().map(|&include| include.into()).collect(),
        include_guard: Some(guard),
        header: Some(
            "/* Made by cbindgen from driver/c/src. NETDMA_C_BLESS=1 cargo test -p netdma-c renews it. */"
                .into(),
        ),
        after_includes: header.by_hand.map(|text| format!("\n{text}")),
        documentation_style: DocumentationStyle::C99,
        ..Config::default()
    };
    config.export.exclude = vec!["NET_DMA_DESCRIPTOR".into()];
    // cbindgen leaves out what no function needs; a header has it all.
    config.export.include = header.sources.iter().flat_map(|source| types_of(source)).collect();
    let mut builder = Builder::new().with_config(config);
    for source in header.sources {
        builder = builder.with_src(here().join("src").join(source));
    }
    let mut text = Vec::new();
    builder.generate().expect("cbindgen reads the sources").write(&mut text);
    String::from_utf8(text).expect("cbindgen writes text")
}

/// The types that a source file declares.
fn types_of(source: &str) -> Vec<String> {
    let text = fs::read_to_string(here().join("src").join(source)).expect("the sources are here");
    let declared = text.lines().filter_map(|line| {
        let rest = line.strip_prefix("pub struct ").or_else(|| line.strip_prefix("pub type "))?;
        rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().map(str::to_owned)
    });
    declared.filter(|name| name != "NET_DMA_DESCRIPTOR").collect()
}

#[test]
fn the_committed_headers_are_those_of_the_sources() {
    for header in &HEADERS {
        let (made, path) = (generate(header), here().join("include").join(header.name));
        if std::env::var_os("NETDMA_C_BLESS").is_some() {
            // In one step, for the other test reads it meanwhile.
            let fresh = path.with_extension("new");
            fs::write(&fresh, &made).unwrap();
            fs::rename(&fresh, &path).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == made, "{} is not current: NETDMA_C_BLESS=1 cargo test -p netdma-c", header.name);
    }
}

/// The reference pages' names, typed by hand from the contract: an independent judge of the generator.
#[test]
fn prototypes_and_parameter_names_are_those_of_the_reference_pages() {
    let expected = [
        (
            "netdma.h",
            "NTSTATUS NetDmaRegisterProvider(PVOID ProviderContext, PVOID *pNetDmaProviderHandle, PNET_DMA_PROVIDER_CHARACTERISTICS ProviderCharacteristics);",
        ),
        ("netdma.h", "void NetDmaDeregisterProvider(PVOID NetDmaProviderHandle);"),
        (
            "netdma.h",
            "void NetDmaProviderStart(PVOID NetDmaProviderHandle, PNET_DMA_PROVIDER_ATTRIBUTES ProviderAttributes);",
        ),
        ("netdma.h", "void NetDmaProviderStop(PVOID NetDmaProviderHandle);"),
        (
            "netdma.h",
            "void NetDmaIsr(PVOID NetDmaChannelHandle, PHYSICAL_ADDRESS DmaDescriptor, PULONG pCpuNumber);",
        ),
        ("netdma.h", "void NetDmaInterruptDpc(PVOID NetDmaChannelHandle, PHYSICAL_ADDRESS DmaDescriptor);"),
        ("netdma.h", "ULONG NetDmaGetVersion(void);"),
        (
            "netdma.h",
            "void NetDmaPnPEventNotify(PVOID NetDmaProviderHandle, PNET_DMA_PNP_NOTIFICATION PnPEvent);",
        ),
        (
            "ndis.h",
            "NDIS_STATUS NdisMRegisterInterruptEx(NDIS_HANDLE MiniportAdapterHandle, NDIS_HANDLE MiniportInterruptContext, PNDIS_MINIPORT_INTERRUPT_CHARACTERISTICS MiniportInterruptCharacteristics, PNDIS_HANDLE NdisInterruptHandle);",
        ),
        ("ndis.h", "void NdisMDeregisterInterruptEx(NDIS_HANDLE NdisInterruptHandle);"),
        (
            "ndis.h",
            "ULONG NdisMQueueDpc(NDIS_HANDLE NdisInterruptHandle, ULONG MessageId, ULONG TargetProcessors, PVOID MiniportDpcContext);",
        ),
        (
            "ndis.h",
            "KAFFINITY NdisMQueueDpcEx(NDIS_HANDLE NdisInterruptHandle, ULONG MessageId, PGROUP_AFFINITY TargetProcessors, PVOID MiniportDpcContext);",
        ),
        (
            "ndis.h",
            "BOOLEAN NdisMSynchronizeWithInterruptEx(NDIS_HANDLE NdisInterruptHandle, ULONG MessageId, MINIPORT_SYNCHRONIZE_INTERRUPT_HANDLER SynchronizeFunction, PVOID SynchronizeContext);",
        ),
        (
            "ndis.h",
            "NDIS_STATUS NdisMConfigMSIXTableEntry(NDIS_HANDLE NdisMiniportHandle, PNDIS_MSIX_CONFIG_PARAMETERS MSIXConfigParameters);",
        ),
        ("wdm.h", "KIRQL KeGetCurrentIrql(void);"),
        ("wdm.h", "ULONG KeGetCurrentProcessorNumber(void);"),
        (
            "wdm.h",
            "void KeInitializeDpc(PRKDPC Dpc, PKDEFERRED_ROUTINE DeferredRoutine, PVOID DeferredContext);",
        ),
        ("wdm.h", "BOOLEAN KeInsertQueueDpc(PRKDPC Dpc, PVOID SystemArgument1, PVOID SystemArgument2);"),
        ("wdm.h", "BOOLEAN KeRemoveQueueDpc(PRKDPC Dpc);"),
        ("wdm.h", "void KeSetTargetProcessorDpc(PRKDPC Dpc, CCHAR Number);"),
        ("wdm.h", "NTSTATUS KeSetTargetProcessorDpcEx(PKDPC Dpc, PPROCESSOR_NUMBER ProcNumber);"),
        ("wdm.h", "void KeSetImportanceDpc(PRKDPC Dpc, KDPC_IMPORTANCE Importance);"),
        ("wdm.h", "void KeFlushQueuedDpcs(void);"),
    ];
    for (header, prototype) in expected {
        let text = fs::read_to_string(here().join("include").join(header)).unwrap();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(prototype), "{header} lacks: {prototype}");
    }
}
