//! The CI files: they are YAML of the right shape, and each command of ours in them exists and takes those options.

use serde_json::Value;

use crate::commands::takes;
use crate::text::{commands, read};

fn yaml(path: &str) -> Value {
    serde_yaml_ng::from_str(&read(path)).unwrap_or_else(|error| panic!("scripts/recipes/{path}: {error}"))
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// What each file runs, in order.
fn github() -> Vec<String> {
    let file = yaml("ci/github.yml");
    assert!(file["on"].is_array() && file["name"].is_string(), "{file}");
    let job = &file["jobs"]["guest"];
    assert!(job["runs-on"].is_string() && job["container"].is_string(), "{job}");
    let steps = job["steps"].as_array().unwrap();
    assert!(steps.iter().all(|step| step["run"].is_string() != step["uses"].is_string()), "{steps:?}");
    steps.iter().filter_map(|step| step["run"].as_str()).map(str::to_owned).collect()
}

fn gitlab() -> Vec<String> {
    let job = &yaml("ci/gitlab.yml")["driver in a guest"];
    assert!(job["image"].is_string(), "{job}");
    [texts(&job["before_script"]), texts(&job["script"])].concat()
}

#[test]
fn each_command_exists_and_takes_its_options() {
    for (file, steps) in [("github.yml", github()), ("gitlab.yml", gitlab())] {
        let commands = commands(&steps.join("\n"));
        let mut ours = 0;
        for command in &commands {
            let known =
                ["apt-get", "git", "cd", "bash", "echo", "export", "cargo"].contains(&command[0].as_str());
            if !known {
                takes(command).unwrap_or_else(|why| panic!("ci/{file}: {command:?}: {why}"));
                ours += 1;
            }
        }
        assert!(ours >= 3, "ci/{file} runs nothing of ours: {commands:?}");
        assert_eq!(commands.last().unwrap(), &["cargo", "test"], "ci/{file}");
    }
}

#[test]
fn both_files_give_cargo_the_runner_and_the_same_guest() {
    let github = &yaml("ci/github.yml")["jobs"]["guest"]["env"];
    let gitlab = &yaml("ci/gitlab.yml")["driver in a guest"]["variables"];
    for name in ["CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", "NETDMA_VM_KERNEL"] {
        assert!(github[name].is_string(), "{name}");
        assert_eq!(github[name], gitlab[name], "{name}");
    }
    takes(&crate::text::words(github["CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER"].as_str().unwrap()))
        .unwrap();
}

#[test]
fn what_the_files_source_is_there() {
    let needs = std::fs::read_to_string(crate::text::source("scripts/needs.sh")).unwrap();
    for file in ["ci/github.yml", "ci/gitlab.yml"] {
        assert!(read(file).contains(". scripts/needs.sh && build_all"), "{file}");
    }
    assert!(needs.contains("\nbuild_all() {"));
}
