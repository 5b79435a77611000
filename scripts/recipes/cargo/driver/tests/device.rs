//! Runs where a device is: `cargo test` brings it there by the runner in `.cargo/config.toml`.

use my_driver::Function;

#[test]
fn the_function_names_itself_through_vfio() {
    let bdf = std::env::var("NETDMA_BDF").expect("NETDMA_BDF: is the runner set?");
    let function = Function::open(&bdf).expect("a function bound to vfio-pci");
    assert_eq!(function.identity().expect("configuration space"), (0x8086, 0x2021));
}
