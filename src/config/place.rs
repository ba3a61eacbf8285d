//! Files of `conf.d` written: new ones all or none, one that is there replaced as a whole.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
};

/// Writes files that are not there yet, all into one directory, which is made where it is missing: all of them, or none
/// where one cannot be written.
///
/// # Errors
/// A sentence that names the file.
pub fn put(new: &[(&Path, &str)]) -> Result<(), String> {
    let Some(directory) = new.first().and_then(|(path, _)| path.parent()) else { return Ok(()) };
    make(directory).map_err(|error| format!("{} cannot be made: {error}", directory.display()))?;
    let mut put = Put { temporary: Vec::new(), placed: Vec::new() };
    for (path, text) in new {
        let temporary = beside(path);
        put.temporary.push(temporary.clone());
        write_one(&temporary, directory, text)
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    }
    for ((path, _), temporary) in new.iter().zip(&put.temporary) {
        // A link, for it never replaces what is there.
        fs::hard_link(temporary, path)
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
        put.placed.push(path.to_path_buf());
    }
    sync(directory)?;
    put.placed.clear();
    Ok(())
}

/// Replaces a file: whoever reads it sees the old text or the new one, whole. Who may read it stays.
///
/// # Errors
/// A sentence that names the file.
pub fn replace(path: &Path, text: &str) -> Result<(), String> {
    let unwritable = |error: io::Error| format!("{} cannot be written: {error}", path.display());
    let directory = path.parent().unwrap_or(Path::new("."));
    let before = fs::metadata(path).map_err(unwritable)?;
    let put = Put { temporary: vec![beside(path)], placed: Vec::new() };
    let temporary = &put.temporary[0];
    write_one(temporary, directory, text).map_err(unwritable)?;
    let mode = fs::Permissions::from_mode(before.mode() & 0o7777);
    // To give a file away takes root, and another group takes membership; our own file serves as well, for us alone.
    let kept = File::open(temporary).and_then(|file| fchown(&file, None, Some(before.gid())));
    if kept.is_ok() {
        fs::set_permissions(temporary, mode).map_err(unwritable)?;
    }
    fs::rename(temporary, path).map_err(unwritable)?;
    sync(directory)
}

fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", std::process::id()))
}

fn sync(directory: &Path) -> Result<(), String> {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|error| format!("{} cannot be synced: {error}", directory.display()))
}

/// What is taken back when it is dropped: temporary files always, placed ones unless all is well.
struct Put {
    temporary: Vec<PathBuf>,
    placed: Vec<PathBuf>,
}

impl Drop for Put {
    fn drop(&mut self) {
        for path in self.temporary.iter().chain(&self.placed) {
            let _ = fs::remove_file(path);
        }
    }
}

fn make(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    DirBuilder::new().mode(0o700).create(directory)?;
    let Some(group) = readers(directory.parent().unwrap_or(Path::new("."))) else { return Ok(()) };
    let made = File::open(directory)?;
    fchown(&made, None, Some(group))?;
    made.set_permissions(fs::Permissions::from_mode(0o750))
}

fn write_one(path: &Path, directory: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    if let Some(group) = readers(directory) {
        fchown(&file, None, Some(group))?;
        file.set_permissions(fs::Permissions::from_mode(0o640))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The group that a directory is kept for: not ours, and nobody beyond it may look in. As packaged, /etc/waxseal is the
/// daemon's to read and root's to write.
fn readers(directory: &Path) -> Option<u32> {
    let data = fs::metadata(directory).ok()?;
    let kept = data.mode() & 0o057 == 0o050 && data.gid() != rustix::process::getegid().as_raw();
    kept.then(|| data.gid())
}
