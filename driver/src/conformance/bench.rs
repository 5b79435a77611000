//! What a check works on, and how it ends.

use std::fmt;

use ioat_stage::Rule;

use crate::hw::Device;

/// How a check ends. `?` works on every error: the check has then failed.
pub type Verdict = Result<(), NotPassed>;

/// A check that did not pass.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotPassed {
    /// It could not run, and why.
    Skipped(String),
    /// What was expected, and what was found.
    Failed(String),
}

// This type is no error itself, so that all errors become it.
impl<E: std::error::Error> From<E> for NotPassed {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        Self::Failed(text)
    }
}

/// The engine that a check wants. What is left open takes the place's own.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// Profile of the virtual engine.
    pub profile: Option<&'static str>,
    /// Channels.
    pub channels: Option<u8>,
    /// Message vectors; 0 for a line.
    pub vectors: Option<u16>,
    /// What goes wrong in it.
    pub rules: Vec<Rule>,
}

/// The place has no such engine, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unavailable(pub String);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where engines come from.
pub trait Place {
    /// Its name in reports: `sim`, `socket`, `vfio`.
    fn name(&self) -> &str;

    /// The profile of the engine that one gets without a wish.
    fn profile(&self) -> &str;

    /// Whether the checks of the library alone run here too. They need no engine, so once is enough: in process.
    fn runs_library_checks(&self) -> bool {
        false
    }

    /// An engine in its reset state. The one before has been dropped.
    ///
    /// # Errors
    /// [`Unavailable`] when the wish cannot be met here: the check is skipped. Any other trouble is an error of the
    /// place, in the inner result.
    fn open(&self, wanted: &Wanted) -> Result<anyhow::Result<Device>, Unavailable>;
}

/// What a check works on.
pub struct Bench<'a> {
    place: &'a dyn Place,
    /// The profiles that checks asked for, for the report.
    used: std::cell::RefCell<Option<String>>,
}

impl<'a> Bench<'a> {
    /// A bench at `place`.
    #[must_use]
    pub fn new(place: &'a dyn Place) -> Self {
        Self { place, used: std::cell::RefCell::default() }
    }

    /// The place's own engine.
    ///
    /// # Errors
    /// [`NotPassed`].
    pub fn engine(&self) -> Result<Device, NotPassed> {
        self.engine_with(&Wanted::default())
    }

    /// An engine as wanted; the check is skipped where there is none such.
    ///
    /// # Errors
    /// [`NotPassed`].
    pub fn engine_with(&self, wanted: &Wanted) -> Result<Device, NotPassed> {
        let opened = self.place.open(wanted).map_err(|reason| NotPassed::Skipped(reason.0))?;
        let profile = wanted.profile.unwrap_or(self.place.profile());
        *self.used.borrow_mut() = Some(profile.to_owned());
        opened.map_err(|error| NotPassed::Failed(format!("{error:#}")))
    }

    /// The profile of the engine that the check opened last; none if it opened none.
    #[must_use]
    pub fn profile_used(&self) -> Option<String> {
        self.used.borrow().clone()
    }
}
