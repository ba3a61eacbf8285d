//! The directories of a spool, and who owns them.

use super::Spool;
use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::Path,
};

/// Set group id, sticky; the owner and the group all, others write and search. Files get the daemon's group, so that it
/// can read them and nobody else.
pub(super) const DROP_MODE: u32 = 0o3733;
/// The same where the set-group-id bit cannot be had (`RestrictSUIDSGID=`).
const PLAIN_DROP_MODE: u32 = 0o1733;

impl Spool {
    /// For the daemon: makes what is missing, and sees that nobody else can tamper with it.
    ///
    /// # Errors
    /// Where a directory cannot be made or belongs to somebody else. Nothing is to be taken from it then: what cannot
    /// be removed would be taken again and again.
    pub fn prepare(&self) -> io::Result<()> {
        self.make_directories()?;
        let me = rustix::process::geteuid().as_raw();
        for directory in
            [self.root().to_owned(), self.drop_directory(), self.taken_directory(), self.aside_directory()]
        {
            let found = fs::symlink_metadata(&directory)?;
            if !found.is_dir() {
                return Err(io::Error::other(format!("{} is no directory", directory.display())));
            }
            if found.uid() != me {
                let (owner, path) = (found.uid(), directory.display());
                let sentence = format!("{path} belongs to user {owner}, and the daemon runs as user {me}");
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, sentence));
            }
        }
        for directory in [self.taken_directory(), self.aside_directory()] {
            if fs::symlink_metadata(&directory)?.mode() & 0o077 != 0 {
                fs::set_permissions(&directory, Permissions::from_mode(0o700))?;
            }
        }
        Ok(())
    }

    /// For sendmail(8), where no daemon has been yet: makes the spool of a state directory that is somebody's own.
    /// What root makes belongs to whoever owns the place, since the daemon may not be root.
    ///
    /// # Errors
    /// Where a directory cannot be made.
    pub fn build(&self) -> io::Result<()> {
        let missing: Vec<_> = self.root().ancestors().skip(1).take_while(|path| !path.exists()).collect();
        for directory in missing.into_iter().rev() {
            make(directory, 0o700)?;
        }
        self.make_directories()
    }

    fn make_directories(&self) -> io::Result<()> {
        make(self.root(), 0o755)?;
        if make(&self.drop_directory(), PLAIN_DROP_MODE)? {
            // Not everywhere to be had, and of use only where others have other groups.
            let _ = fs::set_permissions(self.drop_directory(), Permissions::from_mode(DROP_MODE));
        }
        make(&self.taken_directory(), 0o700)?;
        make(&self.aside_directory(), 0o700)?;
        Ok(())
    }
}

/// Makes a directory with just this mode, whatever the umask, for the owner of what it is in; whether it did.
fn make(path: &Path, mode: u32) -> io::Result<bool> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(error),
    }
    if let (true, Some(parent)) = (rustix::process::geteuid().is_root(), path.parent()) {
        let owner = fs::metadata(parent)?;
        std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid()))?;
    }
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    Ok(true)
}
