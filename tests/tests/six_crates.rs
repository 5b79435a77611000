//! The six crates that the project is built on each do a job: they are direct dependencies, and used.

use std::path::Path;
use std::process::Command;

/// (crate, package that must depend on it, the paths that its use must show in the sources)
const JOBS: [(&str, &str, &str); 8] = [
    ("vfio-ioctls", "netdma", "vfio_ioctls::"),
    ("vm-memory", "netdma", "vm_memory::"),
    ("vm-memory", "vfio-user-ioat", "vm_memory::"),
    ("vmm-sys-util", "netdma", "vmm_sys_util::"),
    ("vmm-sys-util", "vfio-user-ioat", "vmm_sys_util::"),
    ("libc", "vfio-user-ioat", "libc::"),
    ("log", "netdma", "log::"),
    ("env_logger", "vfio-user-ioat", "env_logger::"),
];

#[test]
fn each_named_crate_is_a_direct_dependency_in_use() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for (dependency, package, usage) in JOBS {
        let found = metadata["packages"].as_array().unwrap().iter().find(|p| p["name"] == package);
        let found = found.unwrap_or_else(|| panic!("no package {package}"));
        let direct = found["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .any(|d| d["name"] == dependency && d["kind"].is_null());
        assert!(direct, "{package} does not depend on {dependency}");
        let sources = Path::new(found["manifest_path"].as_str().unwrap()).parent().unwrap().join("src");
        assert!(
            mentions(&sources, usage),
            "{package} never uses {dependency}: no '{usage}' below {}",
            sources.display()
        );
    }
}

/// A source line, comments apart, that contains `usage`.
fn mentions(folder: &Path, usage: &str) -> bool {
    std::fs::read_dir(folder).expect("a folder of sources").any(|entry| {
        let path = entry.expect("an entry of the folder").path();
        if path.is_dir() {
            return mentions(&path, usage);
        }
        path.extension().is_some_and(|e| e == "rs")
            && std::fs::read_to_string(&path)
                .expect("a source file")
                .lines()
                .any(|line| !line.trim_start().starts_with("//") && line.contains(usage))
    })
}
