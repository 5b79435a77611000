//! A campaign's file: what is wrong in it is named by file, line, key and what was expected.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use netdma_lab::experiments::campaign::{Campaign, PlaceName};

const CLIENT: &str = "[[client]]\n";

/// The error of a campaign.
fn wrong(text: &str) -> String {
    Campaign::parse(text, "bad.toml").unwrap_err().to_string()
}

#[test]
fn a_campaign_is_a_scenario_with_tables_of_its_own() {
    let text = "
        name = 'lost'
        [campaign]
        name = 'all that is lost'
        place = 'vm:modprobe ioatdma'
        seeds = '3..6'
        kernel = '6.12'
        [device]
        channels = 4
        [[client]]
        tasks = 2
        [sweep]
        points = ['msix']
        actions = ['drop']
        occurrences = 7
        [random]
        rules = [2, 2]
        [[set]]
        rules = ['msix[ch=3]: nth(3) drop', { point = 'complete', nth = 4, action = 'drop' }]
        expect = ['hang', 'masked']
        [[known]]
        class = 'hang'
        point = 'msix'
        reason = 'issue 17'
        [limits]
        hang_factor = 50
        degraded_factor = 1.5
    ";
    let campaign = Campaign::parse(text, "lost.toml").unwrap();
    assert_eq!(campaign.name, "all that is lost");
    assert_eq!(campaign.place, PlaceName::VmCommand("modprobe ioatdma".into()));
    assert_eq!(campaign.seeds, [3, 4, 5]);
    assert_eq!(campaign.kernel.as_deref(), Some("6.12"));
    assert_eq!(campaign.scenario.device.channels.get(), 4);
    assert_eq!(campaign.sweep.unwrap().occurrences, 7);
    assert_eq!(campaign.random.unwrap().rules, 2..=2);
    let rules: Vec<_> = campaign.sets[0].rules.iter().map(ToString::to_string).collect();
    assert_eq!(rules, ["msix[ch=3]: nth(3) drop", "complete: nth(4) drop"]);
    assert_eq!(campaign.known[0].reason, "issue 17");
    assert!((campaign.factors.hang - 50.0).abs() < 1e-9 && (campaign.factors.degraded - 1.5).abs() < 1e-9);
}

#[test]
fn seeds_are_a_range_a_number_or_an_array() {
    let seeds = |text: &str| {
        Campaign::parse(&format!("[campaign]\nseeds = {text}\n{CLIENT}[sweep]\n"), "x.toml").unwrap().seeds
    };
    assert_eq!(seeds("'0..3'"), [0, 1, 2]);
    assert_eq!(seeds("7"), [7]);
    assert_eq!(seeds("[5, 1]"), [5, 1]);
}

#[test]
fn each_mistake_names_its_line_its_key_and_what_was_expected() {
    let cases = [
        (
            "[campaign]\nplace = 'moon'\n[sweep]\n",
            "bad.toml:2:",
            "'moon' is no place, expected sim, socket, vm",
        ),
        ("[campaign]\nspeed = 1\n", "bad.toml:2:", "unknown field `speed`, expected one of"),
        ("[campaign]\nseeds = '5..5'\n", "bad.toml:2:", "expected \"A..B\" with A less than B"),
        ("[campaign]\nseeds = '0..2000000'\n", "bad.toml:2:", "at most 1000000 seeds"),
        ("[campaign]\nseeds = [-1]\n", "bad.toml:2:", "expected \"A..B\""),
        ("\n[sweep]\npoints = ['irq']\n", "bad.toml:3:", "'irq' is no point, expected one of config,"),
        (
            "[sweep]\nactions = ['explode']\n",
            "bad.toml:2:",
            "'explode' is no action's word, expected one of all-ones,",
        ),
        ("[sweep]\noccurrences = 0\n", "bad.toml:2:", "found 0, expected 1 to 100000"),
        ("[random]\nrules = [3, 1]\n", "bad.toml:2:", "expected the smaller number first"),
        ("[[set]]\nrules = []\n[[client]]\n", "bad.toml:2:", "expected one at least"),
        ("[[set]]\nrules = ['msix: nth(0) drop']\n", "bad.toml:2:", "nth(0)"),
        (
            "[[client]]\n[[set]]\nrules = [\n  'msix: nth(1) drop',\n  'msix[ch=5]: nth(1) drop',\n]\n",
            "bad.toml:5:",
            "msix[ch=5]",
        ),
        ("[[client]]\n[[set]]\nrules = ['transport: nth(1) fail(5)']\n", "bad.toml:3:", "never fire"),
        (
            "[[set]]\nrules = ['msix: nth(1) drop']\nexpect = ['fine']\n",
            "bad.toml:3:",
            "unknown variant `fine`, expected one of",
        ),
        ("[[known]]\nclass = 'hang'\n", "bad.toml:1:", "missing field `reason`"),
        ("[limits]\nhang_factor = 0.5\n", "bad.toml:2:", "expected a number from 1 to 100000"),
        (
            "fault = ['msix: nth(1) drop']\n[[client]]\n[sweep]\n",
            "bad.toml:1:",
            "an experiment's rules go into a [[set]]",
        ),
        ("[[client]]\n[sweep]\n[expect]\nerrors = []\n", "bad.toml:3:", "expect: expected none"),
        ("[sweep\n", "bad.toml:1:", "in `[sweep`"),
    ];
    for (text, line, part) in cases {
        let error = wrong(text);
        assert!(error.starts_with(line) && error.contains(part), "{text}\n{error}");
    }
}

#[test]
fn keys_that_do_not_fit_together_are_named() {
    for (text, key, part) in [
        ("[[client]]\n", "sweep", "expected [sweep], [random] or a [[set]]"),
        ("[sweep]\n", "client", "expected a [[client]]"),
        ("[[client]]\n[sweep]\npoints = ['msix']\nactions = ['stall']\n", "sweep", "expected one at least"),
        ("[[client]]\n[sweep]\npoints = ['transport']\n", "sweep", "that reaches sim"),
        ("[campaign]\nplace = 'vm:ioatdma'\n[sweep]\npoints = ['dpc']\n", "sweep", "that reaches vm:ioatdma"),
        ("[driver]\nring_slots = 48\n[[client]]\n[sweep]\n", "driver.ring_slots", "expected a power of two"),
    ] {
        let error = wrong(text);
        assert!(error.starts_with(&format!("bad.toml: {key}: ")) && error.contains(part), "{text}\n{error}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Campaign::load(std::path::Path::new("/nowhere/x.toml")).unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/x.toml: "), "{error}");
}
