//! The exclusive lock of a file, for files that only one process may write. The system takes it back when the file is closed.

use std::fs::File;
use std::io;

use crate::syscall;

/// Takes the lock without waiting. `false`: another process, or another open file of this one, has it.
///
/// # Errors
/// When the file system has no locks.
pub fn exclusive(file: &File) -> io::Result<bool> {
    syscall::lock(file, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let open = || File::create(folder.path().join("file")).unwrap();
        let (first, second) = (open(), open());
        assert!(exclusive(&first).unwrap());
        assert!(!exclusive(&second).unwrap());
        drop(first);
        assert!(exclusive(&second).unwrap());
    }
}
