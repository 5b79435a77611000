//! Reading trace files: what is taken, what is refused, and in which words.

mod trace_support;

use netdma_lab::trace::{What, read, read_text, record};
use trace_support::{device, driver, simulated, text};

const HEADER: &str = r#"{"trace":"netdma","version":1,"side":"device","clock":"monotonic","detail":"stages","program":"p 1","pid":7,"new":[1]}"#;
const DONE: &str = r#"{"t_ns":7,"side":"device","channel":0,"generation":1,"sequence":7,"descriptor":64,"address":128,"len":4,"mark":{"error":8}}"#;
const LOSS: &str = r#"{"t_ns":9,"side":"driver","lost":41}"#;

#[test]
fn both_sides_of_one_file_come_out_in_the_order_of_time_with_headers_and_losses() {
    let lines = text(&[device(5, "copy", 0, 1), driver(3, "isr", 0, 1), device(8, "copy", 0, 2)]);
    let trace = read_text("t", &format!("{HEADER}\n{lines}{DONE}\n\n{LOSS}\n")).unwrap();
    let times: Vec<u64> = trace.records.iter().map(|record| record.t_ns).collect();
    assert_eq!(times, [3, 5, 7, 8, 9]);
    assert_eq!((trace.headers.len(), trace.headers[0].pid), (1, Some(7)));
    assert!(matches!(trace.records[2].what, What::Executed(done) if done.descriptor == 64));
    assert_eq!((trace.lost(), trace.warnings.len()), (41, 0));
}

#[test]
fn what_is_written_reads_back_equal() {
    let trace = read_text("t", &format!("{HEADER}\n{}{DONE}\n{LOSS}\n", simulated("default", 5))).unwrap();
    let mut bytes = Vec::new();
    record::write(&trace.headers, &trace.records, &mut bytes).unwrap();
    let again = read_text("t", std::str::from_utf8(&bytes).unwrap()).unwrap();
    assert_eq!((again.records, again.headers), (trace.records, trace.headers));
}

#[test]
fn a_bad_line_is_named_with_file_line_and_what_was_expected() {
    let good = text(&[device(5, "copy", 0, 1)]);
    for (bad, expected) in [
        ("nonsense", "t:2: expected ident at column 2; expected one JSON object per line"),
        (
            r#"{"t_ns":1,"side":"device","stage":"warp"}"#,
            "unknown variant `warp`, expected one of `doorbell`",
        ),
        (
            r#"{"t_ns":1,"side":"device","stage":"copy","channel":0}"#,
            "expected an event with the field `generation`",
        ),
        (r#"{"t_ns":1,"side":"device"}"#, "expected `stage` (an event), `descriptor`"),
        (r#"{"side":"device","lost":1}"#, "expected a record with the field `t_ns`"),
        (r#"{"t_ns":-4,"side":"device","lost":1}"#, "invalid value: integer `-4`, expected u64"),
        (r#"{"t_ns":1,"side":"nobody","lost":1}"#, "unknown variant `nobody`, expected `device` or `driver`"),
        (r#"{"trace":"netdma","version":9}"#, "a header of version 9, expected 1"),
        (r#"{"trace":"ftrace","version":1}"#, "a trace of `ftrace`, expected `netdma`"),
    ] {
        let error = read_text("t", &format!("{good}{bad}\n{good}")).unwrap_err().to_string();
        assert!(error.starts_with("t:2: ") && error.contains(expected), "{bad}: {error}");
    }
}

#[test]
fn a_last_line_that_is_cut_is_a_warning_but_not_in_the_middle() {
    let good = text(&[device(5, "copy", 0, 1)]);
    let trace = read_text("t", &format!("{good}{}", &good[..40])).unwrap();
    assert_eq!(trace.records.len(), 1);
    assert_eq!(trace.warnings, ["t:2: the last line is cut: the program was ended while it wrote"]);
    assert!(read_text("t", &format!("{}\n{good}", &good[..40])).is_err());
}

#[test]
fn a_file_that_is_empty_missing_or_no_text_is_refused_by_name() {
    assert!(read_text("t", &format!("{HEADER}\n")).unwrap_err().to_string().contains("t: holds no event"));
    let error = read(&["/nowhere/t.jsonl"]).unwrap_err().to_string();
    assert!(error.contains("/nowhere/t.jsonl: cannot be read"), "{error}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"\xff\xfe\x00\n").unwrap();
    assert!(read(&[file.path()]).unwrap_err().to_string().contains(":1: "));
}
