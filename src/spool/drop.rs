//! Putting a message in: complete and durable before it has its name.

use super::{SUFFIX, Spool, UNFINISHED, format};
use crate::mail::Envelope;
use rustix::fs::OFlags;
use std::{
    fs::{self, File, Permissions},
    io::{self, BufWriter, Write},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

impl Spool {
    /// Puts a message in; `content` writes its canonical octets. Returns the file's name. After `Ok` it is on stable
    /// storage, under the name by which the daemon takes it.
    ///
    /// # Errors
    /// Where any of that fails. Nothing is left behind then, as far as that is to be had.
    pub fn put(
        &self,
        envelope: &Envelope,
        content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<String> {
        let directory = self.drop_directory();
        let name = name()?;
        let (unfinished, finished) = (directory.join(format!("{UNFINISHED}{name}")), directory.join(&name));
        let file = create(&unfinished)?;
        let put = || {
            write(&file, envelope, content)?;
            file.set_permissions(Permissions::from_mode(mode(&file, &directory)?))?;
            file.sync_all()?;
            fs::rename(&unfinished, &finished)?;
            sync_name(&file, &directory)
        };
        put().inspect_err(|_| {
            let _ = fs::remove_file(&unfinished).or_else(|_| fs::remove_file(&finished));
        })?;
        Ok(name)
    }
}

/// Sorted by name, files are in the order of their arrival. Nobody guesses the name of another's.
fn name() -> io::Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    Ok(format!("{millis:013}-{:032x}{SUFFIX}", u128::from_le_bytes(random)))
}

fn create(path: &Path) -> io::Result<File> {
    let no_follow = OFlags::NOFOLLOW.bits() as i32;
    File::options().write(true).create_new(true).mode(0o600).custom_flags(no_follow).open(path)
}

fn write(
    file: &File,
    envelope: &Envelope,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut counted = Counted { file: BufWriter::new(file), octets: 0, checksum: crc32fast::Hasher::new() };
    counted.write_all(&format::head(envelope))?;
    content(&mut counted)?;
    let trailer = format::trailer(counted.octets, counted.checksum.clone().finalize());
    counted.file.write_all(trailer.as_bytes())?;
    counted.file.flush()
}

/// Who may read it: the daemon, by owner or by group, and only where neither does anybody who knows its name.
fn mode(file: &File, directory: &Path) -> io::Result<u32> {
    let (file, directory) = (file.metadata()?, fs::metadata(directory)?);
    Ok(if file.uid() == directory.uid() {
        0o600
    } else if file.gid() == directory.gid() {
        0o640
    } else {
        0o644
    })
}

/// Makes the file's name durable. Who may put files in may not read the directory, and so cannot open it to sync it:
/// all of its file system is synced instead, which takes longer and is as good.
fn sync_name(file: &File, directory: &Path) -> io::Result<()> {
    match File::open(directory) {
        Ok(directory) => directory.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(rustix::fs::syncfs(file)?),
        Err(error) => Err(error),
    }
}

/// Counts and sums up what goes through.
struct Counted<'a> {
    file: BufWriter<&'a File>,
    octets: u64,
    checksum: crc32fast::Hasher,
}

impl Write for Counted<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let written = self.file.write(octets)?;
        self.checksum.update(&octets[..written]);
        self.octets += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
