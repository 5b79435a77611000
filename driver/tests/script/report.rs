//! KTAP, and JUnit XML as an independent reader sees it.

use roxmltree::{Document, Node};

use super::script;

const CASES: &str = "case(\"fine\", || expect(true));
case(\"quoted <&\\\"'>\", || {
    expect(false, \"a < b && c > \\\"d\\\" 'e' \\u0001\\nsecond line\");
});
case(\"left out\", || skip(\"why <not>\"));
case(\"thrown\", || { throw \"bang\"; });
log(\"a line # of its own\");
";

fn attribute<'a>(node: Node<'a, 'a>, name: &str) -> &'a str {
    node.attribute(name).unwrap_or_else(|| panic!("{node:?} has no {name}"))
}

#[test]
fn junit_is_xml_with_every_case_message_and_line() {
    let ran = script(CASES, &[]);
    assert_eq!(ran.code, 1);
    let document = Document::parse(&ran.junit).expect("it is XML");
    let suite = document.descendants().find(|node| node.has_tag_name("testsuite")).expect("a suite");
    let counts = ["tests", "failures", "skipped", "errors"].map(|name| attribute(suite, name));
    assert_eq!(counts, ["4", "2", "1", "0"]);
    let cases: Vec<_> = document.descendants().filter(|node| node.has_tag_name("testcase")).collect();
    let names: Vec<_> = cases.iter().map(|case| attribute(*case, "name")).collect();
    assert_eq!(names, ["fine", "quoted <&\"'>", "left out", "thrown"]);
    assert!(attribute(cases[0], "time").parse::<f64>().expect("seconds") >= 0.0);
    assert_eq!(cases[0].children().filter(Node::is_element).count(), 0);
    let failure = cases[1].first_element_child().expect("a failure");
    assert_eq!(attribute(failure, "message"), "a < b && c > \"d\" 'e' \u{fffd}\nsecond line");
    assert!(
        failure.text().expect("text").contains("try.rhai:3: line 3, column 5: a < b"),
        "{:?}",
        failure.text()
    );
    assert_eq!(attribute(cases[2].first_element_child().expect("skipped"), "message"), "why <not>");
    assert!(attribute(cases[3].first_element_child().expect("failure"), "message").starts_with("bang"));
}

#[test]
fn a_script_that_does_not_compile_has_a_report_too() {
    let ran = script("let x = ;", &[]);
    let document = Document::parse(&ran.junit).expect("it is XML");
    let failure = document.descendants().find(|node| node.has_tag_name("failure")).expect("a failure");
    assert!(failure.text().expect("text").contains(":1: line 1, column 9"), "{:?}", failure.text());
}

#[test]
fn ktap_has_the_plan_before_the_results_and_all_else_in_comments() {
    let ran = script(CASES, &["--ktap"]);
    assert_eq!(ran.code, 1);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines[0], "KTAP version 1");
    let results: Vec<&str> = lines.iter().copied().filter(|line| !line.starts_with('#')).skip(1).collect();
    assert_eq!(
        results,
        ["1..4", "ok 1 fine", "not ok 2 quoted <&\"'>", "ok 3 left out # SKIP why <not>", "not ok 4 thrown"]
    );
    assert!(lines.contains(&"# a line # of its own"), "{}", ran.out);
    assert_eq!(lines.last(), Some(&"# Totals: pass:1 fail:2 xfail:0 xpass:0 skip:1 error:0"));
}

#[test]
fn what_is_checked_outside_of_cases_is_a_case_of_the_scripts_name() {
    let ran = script("case(\"one\", || expect(true)); expect(false, \"outside\");", &["--ktap"]);
    assert!(ran.out.contains("\n1..2\n") && ran.out.contains("\nnot ok 2 try.rhai\n"), "{}", ran.out);
}
