//! What a service routine's out parameters ask for: IS-3 and IS-4.

use netdma::contract::{CpuSet32, GroupAffinity};
use netdma::ndis::DpcRequest;

#[test]
fn is_03_the_decision_table() {
    let decide = |default, map, on| DpcRequest::from_parameters(default, map).processors(on);
    let group = |group, mask| GroupAffinity { group, mask };
    assert_eq!(decide(true, 0, 2), group(0, 0b100));
    assert_eq!(decide(true, 0b11, 2), group(0, 0b100), "the map is ignored");
    assert_eq!(decide(false, 0, 2), group(0, 0));
    assert_eq!(decide(false, 0b101, 2), group(0, 0b101));
}

#[test]
fn is_04_the_default_processor_can_be_beyond_the_map() {
    assert_eq!(DpcRequest::DefaultCpu.processors(40), GroupAffinity { group: 0, mask: 1 << 40 });
    assert_eq!(DpcRequest::DefaultCpu.processors(70), GroupAffinity { group: 1, mask: 1 << 6 });
    let map = DpcRequest::Cpus(CpuSet32(1 << 31)).processors(70);
    assert_eq!(map, GroupAffinity { group: 0, mask: 1 << 31 }, "IS-5: the map is of group 0");
}
