//! The trace: what each stage of the path did, of the driver, and of the device where it is in this process.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::rc::Rc;

use ioat_stage::{Mark, Side};
use rhai::{Array, Dynamic, Engine, INT, Map};

use super::super::failure::{Failure, failed};
use super::super::number::{count, int};
use super::super::{Entry, Recorded, Session};
use super::map::map;

const GROUP: &str = "Faults and trace";

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "trace",
        call: "trace() -> array of #{t_us, side, stage, channel, generation, sequence, address, len, mark, vector, processor}",
        says: "What the stages did since trace_clear, oldest first: doorbell, fetch, translate, copy, complete and msix of a \
               device in this process; isr, queue and dpc of a driver() that is attached. `mark` is ok, faulted, held, or \
               error N.",
        group: GROUP,
    },
    Entry { name: "trace_clear", call: "trace_clear()", says: "Forgets the trace so far.", group: GROUP },
    Entry {
        name: "trace_save",
        call: "trace_save(file) -> events",
        says: "Writes the trace as JSON lines, which `netdma-lab timeline` shows. Gives how many there are.",
        group: GROUP,
    },
];

pub(super) fn register(engine: &mut Engine, session: &Rc<Session>) {
    let it = session.clone();
    engine.register_fn("trace", move || -> Result<Array, Failure> {
        Ok(events(&it)?.iter().map(|event| shown(event).into()).collect())
    });
    let it = session.clone();
    engine.register_fn("trace_clear", move || clear(&it));
    let it = session.clone();
    engine.register_fn("trace_save", move |file: &str| save(&it, file));
}

/// The events of both sides, by their time.
fn events(session: &Session) -> Result<Vec<Recorded>, Failure> {
    let driver = session.driver.events();
    if session.events.is_none() && driver.is_none() {
        return Err(failed(format!(
            "{}: nobody records here: the trace of a device in another program is that program's (`vfio-user-ioat --trace \
             FILE`), and that of the driver begins with driver()",
            session.place()
        )));
    }
    let mut events = match &session.events {
        Some(desk) => desk.events().map_err(failed)?,
        None => Vec::new(),
    };
    events.extend(driver.iter().flat_map(|recording| recording.events()));
    events.sort_by_key(|event| event.t_ns);
    Ok(events)
}

fn clear(session: &Session) -> Result<(), Failure> {
    if let Some(recording) = session.driver.events() {
        recording.clear();
    }
    session.events.as_ref().map_or(Ok(()), |desk| desk.clear().map_err(failed))
}

fn save(session: &Session, file: &str) -> Result<INT, Failure> {
    let events = events(session)?;
    write(file, &events).map_err(|error| failed(format!("cannot write the trace to {file}: {error}")))?;
    Ok(count(events.len()))
}

fn write(file: &str, events: &[Recorded]) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(file)?);
    for side in [Side::Device, Side::Driver] {
        if events.iter().any(|event| event.side == side) {
            serde_json::to_writer(&mut out, &header(side))?;
            out.write_all(b"\n")?;
        }
    }
    for event in events {
        serde_json::to_writer(&mut out, event)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// The line that says who wrote the events of a side.
fn header(side: Side) -> serde_json::Value {
    serde_json::json!({
        "trace": "netdma",
        "version": 1,
        "side": side,
        "clock": "monotonic",
        "detail": "stages",
        "program": concat!("netdma ", env!("CARGO_PKG_VERSION")),
        "pid": std::process::id(),
    })
}

fn shown(recorded: &Recorded) -> Map {
    let Recorded { t_ns, side, event } = recorded;
    let number = |value: u64| Dynamic::from(int(value));
    let known = |value: Option<u32>| value.map_or(Dynamic::UNIT, |value| INT::from(value).into());
    map([
        ("t_us", number(t_ns / 1000)),
        (
            "side",
            match side {
                Side::Device => "device".into(),
                Side::Driver => "driver".into(),
            },
        ),
        ("stage", event.stage.name().into()),
        ("channel", number(event.channel.into())),
        ("generation", number(event.generation.into())),
        ("sequence", number(event.sequence)),
        ("address", number(event.address)),
        ("len", number(event.len)),
        ("mark", mark(event.mark).into()),
        ("vector", known(event.vector)),
        ("processor", known(event.processor)),
    ])
}

fn mark(mark: Mark) -> String {
    match mark {
        Mark::Ok => "ok".into(),
        Mark::Faulted => "faulted".into(),
        Mark::Held => "held".into(),
        Mark::Error(code) => format!("error {code:#x}"),
    }
}
