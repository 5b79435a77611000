//! The trace's switch.

use std::path::Path;

use ioat_stage::{Detail, TraceCounts};
use serde_json::json;

use crate::control::desk::{Answer, Desk};
use crate::control::given::Given;
use crate::control::news::Item;
use crate::control::protocol::{Class, Complaint};
use crate::control::tracing::SwitchError;

pub(crate) fn on(desk: &Desk, given: &Given) -> Result<Answer, Complaint> {
    let file = given.text("file").unwrap_or_default();
    let detail = match given.text("detail") {
        Some("descriptors") => Detail::Descriptors,
        _ => Detail::Stages,
    };
    desk.tracing.on(Path::new(file), detail).map_err(complaint)?;
    let data = json!({ "file": file, "detail": detail });
    desk.news.tell(Item::Told("TRACE_ON", data.clone()));
    Ok(Answer::Now(data))
}

pub(crate) fn off(desk: &Desk, _: &Given) -> Result<Answer, Complaint> {
    let (file, TraceCounts { written, lost }) = desk.tracing.off().map_err(complaint)?;
    desk.news.tell(Item::Told("TRACE_OFF", json!({ "file": file })));
    Ok(Answer::Now(json!({ "file": file, "written": written, "lost": lost })))
}

fn complaint(error: SwitchError) -> Complaint {
    let class = match &error {
        SwitchError::On(_) | SwitchError::Off => Class::Refused,
        SwitchError::Relative(_) => Class::InvalidArgument,
        SwitchError::NotAFile(_) | SwitchError::Stalled(_) | SwitchError::Io { .. } => Class::IoError,
    };
    Complaint::new(class, error.to_string())
}
