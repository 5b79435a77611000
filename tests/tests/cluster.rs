//! The templates of `scripts/cluster`, run dry: each scheduler's variables and calls are given by hand, and what its shards
//! find is what one run finds.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use netdma_tests::{program, skip};
use serde_json::Value;
use tempfile::TempDir;

/// In each of the templates' runs.
const SHARDS: u64 = 3;

/// Small, and with findings: an oracle has something to see when the output is corrupted.
const CAMPAIGN: &str = r#"
[campaign]
name = "dry"
[[client]]
batches = 3
null = 0
[sweep]
points = ["msix", "copy"]
actions = ["drop", "corrupt"]
occurrences = 2
"#;

fn template(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("scripts/cluster").join(name)
}

/// A folder with a campaign in it.
struct Site {
    folder: TempDir,
}

impl Site {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("campaign.toml"), CAMPAIGN).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Journals of the shards, put together by `merge`.
    fn merged(&self) -> BTreeMap<String, String> {
        let shards = (0..=SHARDS).map(|n| self.path(&format!("out/shard-{n}.jsonl")));
        let shards: Vec<_> = shards.filter(|path| Path::new(path).exists()).collect();
        assert_eq!(shards.len() as u64, SHARDS);
        let merged = self.path("merged.jsonl");
        let mut lab = Command::new(program("netdma-lab"));
        let output = lab.args(["experiment", "merge", "--out", &merged]).args(&shards).output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
        classes(&merged)
    }

    /// The same campaign in one run.
    fn whole(&self) -> BTreeMap<String, String> {
        let journal = self.path("whole.jsonl");
        let mut lab = Command::new(program("netdma-lab"));
        lab.args(["experiment", "run", &self.path("campaign.toml"), "--journal", &journal]);
        assert_eq!(lab.output().unwrap().status.code(), Some(1), "the corrupted copies are findings");
        let classes = classes(&journal);
        assert!(classes.values().any(|class| class == "silent-data-corruption"), "{classes:?}");
        classes
    }
}

/// Class of each experiment, by id.
fn classes(journal: &str) -> BTreeMap<String, String> {
    let text = fs::read_to_string(journal).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let results = records.filter(|record| record["record"] == "result");
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    results.map(|record| (word(&record["id"]), word(&record["class"]))).collect()
}

fn ended_well(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn the_tasks_of_a_slurm_array_are_the_shards_of_a_campaign() {
    let site = Site::new();
    let text = fs::read_to_string(template("slurm.sbatch")).unwrap();
    let directives: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("#SBATCH ")).collect();
    assert!(directives.iter().any(|directive| directive.starts_with("--array=0-")), "{directives:?}");
    // An array may begin anywhere.
    for task in 5..5 + SHARDS {
        let output = Command::new("bash")
            .arg(template("slurm.sbatch"))
            .args([site.path("campaign.toml"), site.path("out")])
            .env("NETDMA_LAB", program("netdma-lab"))
            .env("SLURM_ARRAY_TASK_ID", task.to_string())
            .env("SLURM_ARRAY_TASK_MIN", "5")
            .env("SLURM_ARRAY_TASK_COUNT", SHARDS.to_string())
            .output()
            .unwrap();
        ended_well(&output);
        let number = task - 5;
        fs::rename(
            site.path(&format!("out/shard-{task}.jsonl")),
            site.path(&format!("out/shard-{number}.jsonl")),
        )
        .unwrap();
    }
    assert_eq!(site.merged(), site.whole());
}

#[test]
fn the_pods_of_an_indexed_job_are_the_shards_of_a_campaign() {
    let site = Site::new();
    let job: Value = serde_yaml_ng::from_str(&fs::read_to_string(template("job.yaml")).unwrap()).unwrap();
    let spec = &job["spec"];
    assert_eq!((job["kind"].as_str(), spec["completionMode"].as_str()), (Some("Job"), Some("Indexed")));
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["restartPolicy"], "Never");
    let container = &pod["containers"][0];
    let variables = container["env"].as_array().unwrap();
    let variable =
        |name: &str| variables.iter().find(|it| it["name"] == name).unwrap()["value"].as_str().unwrap();
    assert_eq!(
        variable("JOB_COMPLETIONS"),
        spec["completions"].to_string(),
        "the count stands in two places"
    );
    // A mistake of the user's ends the job; findings never look like a failure.
    let rules = spec["podFailurePolicy"]["rules"].as_array().unwrap();
    let ends = rules.iter().find(|rule| rule["action"] == "FailJob").unwrap();
    assert_eq!(ends["onExitCodes"]["values"], serde_json::json!([2]));
    assert_eq!(ends["onExitCodes"]["containerName"], container["name"]);

    let [shell, flag] = [0, 1].map(|n| container["command"][n].as_str().unwrap());
    let line = container["args"][0].as_str().unwrap();
    fs::create_dir(site.path("out")).unwrap();
    let lab = program("netdma-lab");
    let path = format!("{}:{}", lab.parent().unwrap().display(), std::env::var("PATH").unwrap());
    for index in 0..SHARDS {
        let output = Command::new(shell)
            .args([flag, line])
            .env("PATH", &path)
            .env("CAMPAIGN", site.path("campaign.toml"))
            .env("FOLDER", site.path("out"))
            .env("JOB_COMPLETION_INDEX", index.to_string())
            .env("JOB_COMPLETIONS", SHARDS.to_string())
            .output()
            .unwrap();
        ended_well(&output);
    }
    assert_eq!(site.merged(), site.whole());
}

#[test]
fn the_jobs_of_parallel_are_the_shards_of_a_campaign_and_run_once() {
    const NAME: &str = "cluster::the_jobs_of_parallel_are_the_shards_of_a_campaign_and_run_once";
    let version = Command::new("parallel").arg("--version").output();
    if !version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("GNU parallel")) {
        return skip(NAME, "GNU parallel is not installed");
    }
    let site = Site::new();
    let run = |more: &[&str]| {
        let output = Command::new("bash")
            .arg(template("parallel.sh"))
            .args([site.path("campaign.toml"), site.path("out"), SHARDS.to_string()])
            .args(more)
            .env("NETDMA_LAB", program("netdma-lab"))
            .output()
            .unwrap();
        ended_well(&output);
        String::from_utf8(output.stdout).unwrap()
    };
    let dry = run(&["--dry-run"]);
    assert!(!Path::new(&site.path("out/shard-1.jsonl")).exists());
    assert_eq!(dry.lines().filter(|line| line.contains("--shard ")).count() as u64, SHARDS, "{dry}");
    fs::remove_file(site.path("out/joblog")).ok();
    run(&[]);
    let once = site.merged();
    // A second call finds every job done.
    run(&[]);
    let log = fs::read_to_string(site.path("out/joblog")).unwrap();
    assert_eq!(log.lines().count() as u64, 1 + SHARDS, "{log}");
    assert_eq!(once, site.whole());
}

#[test]
fn what_makes_no_sense_is_said_before_anything_runs() {
    let site = Site::new();
    for (arguments, part) in
        [(vec!["campaign", "out"], "usage:"), (vec!["campaign", "out", "0"], "no number of shards")]
    {
        let output = Command::new("bash").arg(template("parallel.sh")).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(part), "{output:?}");
    }
    // An index without its count: no shard may run everything by mistake.
    let output = Command::new("bash")
        .arg(template("slurm.sbatch"))
        .args([site.path("campaign.toml"), site.path("out")])
        .env("NETDMA_LAB", program("netdma-lab"))
        .env("SLURM_ARRAY_TASK_ID", "1")
        .env_remove("SLURM_ARRAY_TASK_COUNT")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("SLURM_ARRAY_TASK_COUNT"), "{output:?}");
}
