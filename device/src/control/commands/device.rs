//! The device as a whole: who it is, its registers, its reset.

use serde_json::{Value, json};

use crate::control::catalog;
use crate::control::desk::{Answer, Desk};
use crate::control::given::Given;
use crate::control::protocol::{Class, Complaint};
use crate::control::registers;

#[expect(clippy::unnecessary_wraps, reason = "the shape of a command")]
pub(crate) fn query_commands(_: &Desk, _: &Given) -> Result<Answer, Complaint> {
    Ok(Answer::Now(catalog::introspection()))
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of a command")]
pub(crate) fn query_device(desk: &Desk, _: &Given) -> Result<Answer, Complaint> {
    let profile = desk.controls.profile();
    let trace = desk.tracing.now().map(|(file, detail)| json!({ "file": file, "detail": detail }));
    Ok(Answer::Now(json!({
        "profile": profile.name,
        "vendor": profile.vendor,
        "device": profile.device,
        "revision": profile.revision,
        "subsystem-vendor": profile.subsystem_vendor,
        "subsystem": profile.subsystem,
        "channels": profile.channels,
        "vectors": profile.vectors(),
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "client": desk.news.has_client(),
        "interrupts": desk.controls.delivery(),
        "trace": trace,
    })))
}

pub(crate) fn query_registers(desk: &Desk, given: &Given) -> Result<Answer, Complaint> {
    let channel = given.uint("channel").map(|channel| desk.view(channel)).transpose()?;
    let channel = channel.map(|view| view.channel);
    let space = given.text("space");
    let all = registers::all(&desk.controls.profile()).into_iter();
    let wanted = all
        .filter(|register| channel.is_none() || register.channel == channel)
        .filter(|register| space.is_none_or(|space| register.space.name() == space));
    Ok(Answer::Now(wanted.map(|register| register.read(&*desk.controls)).collect()))
}

pub(crate) fn read_register(desk: &Desk, given: &Given) -> Result<Answer, Complaint> {
    let name = given.text("name").unwrap_or_default();
    let channel = given.uint("channel").map(|channel| desk.view(channel)).transpose()?;
    let channel = channel.map(|view| view.channel);
    let all = registers::all(&desk.controls.profile());
    let found: Vec<_> = all.iter().filter(|register| register.name.eq_ignore_ascii_case(name)).collect();
    let not_found = |desc: String| Complaint::new(Class::NotFound, desc);
    if found.is_empty() {
        let name: String = name.chars().take(40).collect();
        return Err(not_found(format!("no register '{name}': query-registers lists them")));
    }
    match found.iter().find(|register| register.channel == channel) {
        Some(register) => Ok(Answer::Now(register.read(&*desk.controls))),
        None if channel.is_some() => Err(not_found(format!("{} is no register of a channel", found[0].name))),
        None => Err(not_found(format!("{} is a register of a channel: say which", found[0].name))),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of a command")]
pub(crate) fn reset(desk: &Desk, _: &Given) -> Result<Answer, Complaint> {
    desk.controls.reset();
    Ok(Answer::Now(Value::Object(Default::default())))
}
