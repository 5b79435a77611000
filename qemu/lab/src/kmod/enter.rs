//! Runs a command in a root folder of its own: the compiler is of the guest's release, and so are the libraries that it wants.
//!
//! As root in a mount namespace; else in a user namespace, else through sudo. A container's root that may make no namespace
//! still may `chroot`.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::KmodError;

/// How commands get into a root folder on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// We are root.
    Root,
    /// We are root in a namespace of ours.
    User,
    /// sudo asks for no password.
    Sudo,
    /// We are root, but may make no namespace.
    Bare,
}

/// kbuild throws things away into `/dev/null`; a mount of this file alone needs no other device, and is gone with the command.
const ENTER: &str = r#"
root=$1; shift
mount --bind /dev/null "$root/dev/null" &&
exec chroot "$root" /usr/bin/env -i PATH=/usr/bin:/usr/sbin LC_ALL=C HOME=/ "$@"
"#;

/// Without mounts the node must be in the folder.
const ENTER_BARE: &str = r#"
root=$1; shift
[ -c "$root/dev/null" ] ||
{ mknod -m 666 "$root/dev/null.new" c 1 3 && mv -f "$root/dev/null.new" "$root/dev/null"; } &&
exec chroot "$root" /usr/bin/env -i PATH=/usr/bin:/usr/sbin LC_ALL=C HOME=/ "$@"
"#;

const WAYS: [Way; 4] = [Way::Root, Way::User, Way::Sudo, Way::Bare];

impl Way {
    /// The first way that works with this root folder.
    pub(super) fn find(root: &Path) -> Result<Self, KmodError> {
        let mut said = Vec::new();
        for way in WAYS {
            let output = way.command(root, &["true"]).output();
            match output {
                Ok(output) if output.status.success() => return Ok(way),
                Ok(output) => {
                    let why = String::from_utf8_lossy(&output.stderr).into_owned();
                    said.push(format!("{}: {}", way.word(), why.lines().next().unwrap_or("it failed")));
                }
                Err(error) => said.push(format!("{}: {error}", way.word())),
            }
        }
        Err(KmodError::NoWayIn(said.join("; ")))
    }

    /// `words`, in the root folder.
    pub(super) fn command(self, root: &Path, words: &[&str]) -> Command {
        let front: &[&str] = match self {
            Self::Root => &["unshare", "--mount", "sh", "-c", ENTER, "sh"],
            Self::User => &["unshare", "--map-root-user", "--mount", "sh", "-c", ENTER, "sh"],
            Self::Sudo => &["sudo", "-n", "unshare", "--mount", "sh", "-c", ENTER, "sh"],
            Self::Bare => &["sh", "-c", ENTER_BARE, "sh"],
        };
        let mut command = Command::new(front[0]);
        // Debian's users have no sbin on their PATH, and chroot is there.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin:/sbin")).stdin(Stdio::null());
        command.args(&front[1..]).arg(root).args(words);
        command
    }

    /// Runs `words` and gives the files below `folder`, a path in the root folder, back to us: sudo's are root's.
    pub(super) fn run(self, root: &Path, folder: &str, words: &[&str]) -> Result<Output, KmodError> {
        let output = self.command(root, words).output().map_err(KmodError::io(root))?;
        if self == Self::Sudo {
            let ours = root.metadata().map_err(KmodError::io(root))?;
            let owner = format!("{}:{}", ours.uid(), ours.gid());
            let given = self.command(root, &["chown", "-R", &owner, folder]).status();
            given.map_err(KmodError::io(root))?;
        }
        Ok(output)
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Root => "as root",
            Self::User => "in a user namespace",
            Self::Sudo => "with sudo",
            Self::Bare => "with chroot alone",
        }
    }
}
