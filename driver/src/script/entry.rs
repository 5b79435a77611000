//! What a function is for, in words: `help()` and the shell's completion read it.

/// One function of the script API.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its name; of methods without the dot.
    pub name: &'static str,
    /// How it is called and what it returns, as in `irq_wait(vector, timeout_ms) -> count`. Other ways of calling it
    /// follow on lines of their own.
    pub call: &'static str,
    /// One or two sentences.
    pub says: &'static str,
    /// The group that it is listed under.
    pub group: &'static str,
}
