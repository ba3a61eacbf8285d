//! A disk that fails when it is told to.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex},
};
use waxseal::queue::disk::{Disk, DiskFile, HostDisk};

/// How it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// There is no room: half of what is written is there.
    Full,
    /// Nothing can be changed.
    ReadOnly,
    /// A write fails in its middle.
    Write,
    /// A sync fails, and what was written since the last one is gone.
    Sync,
    /// Nothing can be removed, and all else goes well.
    Remove,
}

impl Fault {
    /// Those of a disk in trouble.
    pub const ALL: [Self; 4] = [Self::Full, Self::ReadOnly, Self::Write, Self::Sync];

    fn error(self) -> io::Error {
        let (enospc, erofs, eio) = (28, 30, 5);
        io::Error::from_raw_os_error(match self {
            Self::Full => enospc,
            Self::ReadOnly => erofs,
            Self::Write | Self::Sync | Self::Remove => eio,
        })
    }

    fn concerns(self, operation: Operation) -> bool {
        match self {
            Self::Full => matches!(operation, Operation::Create | Operation::Write),
            Self::ReadOnly => operation != Operation::Sync,
            Self::Write => operation == Operation::Write,
            Self::Sync => operation == Operation::Sync,
            Self::Remove => operation == Operation::Remove,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Create,
    Write,
    Truncate,
    Sync,
    Name,
    Remove,
}

#[derive(Debug)]
struct Plan {
    fault: Fault,
    /// Operations that it concerns and that still go well.
    spared: usize,
    lasting: bool,
}

/// The disk of this host, until it is told to fail.
#[derive(Debug, Clone, Default)]
pub struct Faulty(Arc<Mutex<(Option<Plan>, usize)>>);

impl Faulty {
    /// From now on the operation after so many that the fault concerns fails, and those after it too where it lasts.
    pub fn fail(&self, fault: Fault, spared: usize, lasting: bool) {
        *self.0.lock().unwrap() = (Some(Plan { fault, spared, lasting }), 0);
    }

    /// All goes well from now on. Gives back how often something failed.
    pub fn heal(&self) -> usize {
        let (plan, failed) = &mut *self.0.lock().unwrap();
        *plan = None;
        *failed
    }

    /// How often something has failed since it was told to.
    pub fn failures(&self) -> usize {
        self.0.lock().unwrap().1
    }

    fn ask(&self, operation: Operation) -> io::Result<()> {
        let (plan, failed) = &mut *self.0.lock().unwrap();
        let Some(current) = plan.as_mut().filter(|plan| plan.fault.concerns(operation)) else {
            return Ok(());
        };
        if current.spared > 0 {
            current.spared -= 1;
            return Ok(());
        }
        *failed += 1;
        let error = current.fault.error();
        if !current.lasting {
            *plan = None;
        }
        Err(error)
    }
}

impl Disk for Faulty {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.ask(Operation::Create)?;
        let file = HostDisk.create(path)?;
        Ok(Box::new(FaultyFile { disk: self.clone(), file, synced: 0, length: 0 }))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.ask(Operation::Create)?;
        HostDisk.create_directory(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.ask(Operation::Sync)?;
        HostDisk.sync_directory(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.ask(Operation::Name)?;
        HostDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.ask(Operation::Remove)?;
        HostDisk.remove(path)
    }

    fn free(&self, _: &Path) -> u64 {
        u64::MAX
    }
}

#[derive(Debug)]
struct FaultyFile {
    disk: Faulty,
    file: Box<dyn DiskFile>,
    synced: u64,
    length: u64,
}

impl DiskFile for FaultyFile {
    fn write_at(&mut self, offset: u64, octets: &[u8]) -> io::Result<()> {
        let asked = self.disk.ask(Operation::Write);
        let octets = if asked.is_ok() { octets } else { &octets[..octets.len() / 2] };
        self.file.write_at(offset, octets)?;
        self.length = self.length.max(offset + octets.len() as u64);
        asked
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.disk.ask(Operation::Truncate)?;
        self.file.truncate(length)?;
        self.length = length;
        self.synced = self.synced.min(length);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if let Err(error) = self.disk.ask(Operation::Sync) {
            // The system dropped the pages and believes them clean; when they are read again they are not there.
            let lost = (self.length - self.synced) as usize;
            self.file.write_at(self.synced, &vec![0; lost])?;
            self.synced = self.length;
            return Err(error);
        }
        self.synced = self.length;
        self.file.sync()
    }
}
