//! What must be undone when a script ends, however it ends.

use std::cell::{Cell, RefCell};

/// The number under which something is to be undone.
pub(super) type UndoId = u64;

type Deed = Box<dyn FnOnce() -> Result<(), String>>;

struct Undo {
    id: UndoId,
    what: String,
    deed: Deed,
}

/// What is to be undone, the last first.
#[derive(Default)]
pub(super) struct Undos {
    undos: RefCell<Vec<Undo>>,
    last: Cell<UndoId>,
}

impl Undos {
    /// Adds a deed. `what` is named when it fails.
    pub(super) fn add(
        &self,
        what: impl Into<String>,
        deed: impl FnOnce() -> Result<(), String> + 'static,
    ) -> UndoId {
        let id = self.last.get() + 1;
        self.last.set(id);
        self.undos.borrow_mut().push(Undo { id, what: what.into(), deed: Box::new(deed) });
        id
    }

    /// The script has undone it itself.
    pub(super) fn forget(&self, id: UndoId) {
        self.undos.borrow_mut().retain(|undo| undo.id != id);
    }

    /// Undoes all, the last first. What fails does not stop the rest; it is returned in words.
    pub(super) fn run(&self) -> Vec<String> {
        let mut failures = Vec::new();
        loop {
            // Not in the `while let`: a deed may add or forget others.
            let next = self.undos.borrow_mut().pop();
            let Some(Undo { what, deed, .. }) = next else { return failures };
            if let Err(error) = deed() {
                failures.push(format!("{what}: {error}"));
            }
        }
    }
}
