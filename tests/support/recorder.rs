//! A disk that remembers everything that was done to it, and what could be left of that after a power cut.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use waxseal::queue::disk::{Disk, DiskFile, HostDisk};

/// Disks write whole sectors of this many octets, in any order, unless they are torn.
const SECTOR: usize = 512;

type Inode = usize;

/// What was done, in order. Syncs count from their end on, for what was done before their beginning.
#[derive(Debug, Clone)]
pub enum Event<M> {
    Write {
        inode: Inode,
        offset: usize,
        octets: Arc<[u8]>,
    },
    Truncate {
        inode: Inode,
        length: usize,
    },
    Synced {
        inode: Inode,
        began: usize,
    },
    Name {
        directory: PathBuf,
        name: String,
        entry: Option<Entry>,
    },
    NamesSynced {
        directory: PathBuf,
        began: usize,
    },
    /// What the test has to remember.
    Mark(M),
}

/// What a name in a directory stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    File(Inode),
    Directory,
}

/// The disk of this host below one directory, with a memory.
#[derive(Debug)]
pub struct Recorder<M>(Arc<Tape<M>>);

impl<M> Clone for Recorder<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[derive(Debug)]
struct Tape<M> {
    root: PathBuf,
    events: Mutex<Vec<Event<M>>>,
    inodes: AtomicUsize,
    files: Mutex<HashMap<PathBuf, Inode>>,
    /// What was there before, durable.
    start: Replay,
}

impl<M: Clone> Recorder<M> {
    /// Takes what is below `root` already as durable, but for what is not the queue's own.
    pub fn over(root: &Path) -> Self {
        let mut start = Replay::default();
        let mut files = HashMap::new();
        start.take_in(root, Path::new(""), &mut files);
        let inodes = AtomicUsize::new(files.len());
        let tape =
            Tape { root: root.to_owned(), events: Mutex::default(), inodes, files: Mutex::new(files), start };
        Self(Arc::new(tape))
    }

    pub fn mark(&self, mark: M) {
        self.push(Event::Mark(mark));
    }

    pub fn events(&self) -> Vec<Event<M>> {
        self.0.events.lock().unwrap().clone()
    }

    /// What the disk was before the first event.
    pub fn start(&self) -> Replay {
        self.0.start.clone()
    }

    fn push(&self, event: Event<M>) {
        self.0.events.lock().unwrap().push(event);
    }

    fn now(&self) -> usize {
        self.0.events.lock().unwrap().len()
    }

    /// A path below the root as its directory and its name.
    fn split(&self, path: &Path) -> (PathBuf, String) {
        let below = path.strip_prefix(&self.0.root).expect("below the root");
        let name = below.file_name().unwrap().to_str().unwrap().to_owned();
        (below.parent().unwrap().to_owned(), name)
    }

    fn name(&self, path: &Path, entry: Option<Entry>) {
        let (directory, name) = self.split(path);
        self.push(Event::Name { directory, name, entry });
    }
}

impl<M: Clone + std::fmt::Debug + Send + Sync + 'static> Disk for Recorder<M> {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = HostDisk.create(path)?;
        let inode = self.0.inodes.fetch_add(1, Ordering::Relaxed);
        self.0.files.lock().unwrap().insert(path.strip_prefix(&self.0.root).unwrap().to_owned(), inode);
        self.name(path, Some(Entry::File(inode)));
        Ok(Box::new(RecordedFile { recorder: self.clone(), inode, file }))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        HostDisk.create_directory(path)?;
        self.name(path, Some(Entry::Directory));
        Ok(())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        // What lies above the root is there anyway.
        let Ok(directory) = path.strip_prefix(&self.0.root) else { return Ok(()) };
        let began = self.now();
        self.push(Event::NamesSynced { directory: directory.to_owned(), began });
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = self.0.files.lock().unwrap();
        let below = |path: &Path| path.strip_prefix(&self.0.root).unwrap().to_owned();
        let inode = files.remove(&below(from)).expect("a file that is known");
        files.insert(below(to), inode);
        self.name(to, Some(Entry::File(inode)));
        self.name(from, None);
        HostDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        HostDisk.remove(path)?;
        self.name(path, None);
        Ok(())
    }

    fn free(&self, _: &Path) -> u64 {
        u64::MAX
    }
}

#[derive(Debug)]
struct RecordedFile<M> {
    recorder: Recorder<M>,
    inode: Inode,
    file: Box<dyn DiskFile>,
}

impl<M: Clone + std::fmt::Debug + Send + Sync + 'static> DiskFile for RecordedFile<M> {
    fn write_at(&mut self, offset: u64, octets: &[u8]) -> io::Result<()> {
        self.recorder.push(Event::Write {
            inode: self.inode,
            offset: offset as usize,
            octets: octets.into(),
        });
        self.file.write_at(offset, octets)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.recorder.push(Event::Truncate { inode: self.inode, length: length as usize });
        self.file.truncate(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        let began = self.recorder.now();
        self.recorder.push(Event::Synced { inode: self.inode, began });
        Ok(())
    }
}

/// How much of what was not synced a power cut leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nothing: neither octets nor names.
    Nothing,
    /// All of it, as when only the process dies.
    Everything,
    /// Any of its sectors, torn ones too, in any order; any of the names; files longer than their octets.
    Anything,
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Arc<[u8]>),
    Truncate(usize),
}

impl Change {
    fn apply(&self, octets: &mut Vec<u8>) {
        match self {
            Self::Write(offset, written) => {
                octets.resize(octets.len().max(offset + written.len()), 0);
                octets[*offset..offset + written.len()].copy_from_slice(written);
            }
            Self::Truncate(length) => octets.resize(*length, 0),
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Contents {
    durable: Vec<u8>,
    pending: Vec<(usize, Change)>,
}

impl Contents {
    fn after(&self, left: Left, random: &mut fastrand::Rng) -> Vec<u8> {
        let mut octets = self.durable.clone();
        let pending = self.pending.iter().map(|(_, change)| change);
        match left {
            Left::Nothing => {}
            Left::Everything => pending.for_each(|change| change.apply(&mut octets)),
            Left::Anything => pending.for_each(|change| tear(change, &mut octets, random)),
        }
        octets
    }
}

/// Applies any part of a change.
fn tear(change: &Change, octets: &mut Vec<u8>, random: &mut fastrand::Rng) {
    let Change::Write(offset, written) = change else {
        if random.bool() {
            change.apply(octets);
        }
        return;
    };
    // The length of the file may be ahead of its octets.
    if random.bool() {
        octets.resize(octets.len().max(offset + written.len()), 0);
    }
    let likely = random.f64();
    let mut at = 0;
    while at < written.len() {
        let end = written.len().min(at + SECTOR - (offset + at) % SECTOR);
        if random.f64() < likely {
            // One sector in eight is torn.
            let torn = if random.u8(..8) == 0 { random.usize(at..=end) } else { end };
            Change::Write(offset + at, written[at..torn].into()).apply(octets);
        }
        at = end;
    }
}

#[derive(Debug, Clone, Default)]
struct Names {
    durable: BTreeMap<String, Entry>,
    pending: Vec<(usize, String, Option<Entry>)>,
}

impl Names {
    fn after(&self, left: Left, random: &mut fastrand::Rng) -> BTreeMap<String, Entry> {
        let mut names = self.durable.clone();
        for (_, name, entry) in &self.pending {
            let applied = match left {
                Left::Nothing => false,
                Left::Everything => true,
                Left::Anything => random.bool(),
            };
            if applied {
                set(&mut names, name, entry.clone());
            }
        }
        names
    }
}

fn set(names: &mut BTreeMap<String, Entry>, name: &str, entry: Option<Entry>) {
    match entry {
        Some(entry) => names.insert(name.to_owned(), entry),
        None => names.remove(name),
    };
}

/// The disk at one moment: what is durable, and what is pending.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    files: HashMap<Inode, Contents>,
    directories: HashMap<PathBuf, Names>,
    at: usize,
}

impl Replay {
    /// Takes one more event in.
    pub fn step<M>(&mut self, event: &Event<M>) {
        let at = self.at;
        match event {
            Event::Write { inode, offset, octets } => {
                self.file(*inode).pending.push((at, Change::Write(*offset, octets.clone())));
            }
            Event::Truncate { inode, length } => {
                self.file(*inode).pending.push((at, Change::Truncate(*length)));
            }
            Event::Synced { inode, began } => {
                let Contents { durable, pending } = self.file(*inode);
                let done = pending.iter().take_while(|(at, _)| at < began).count();
                pending.drain(..done).for_each(|(_, change)| change.apply(durable));
            }
            Event::Name { directory, name, entry } => {
                let names = self.directories.entry(directory.clone()).or_default();
                names.pending.push((at, name.clone(), entry.clone()));
            }
            Event::NamesSynced { directory, began } => {
                let Names { durable, pending } = self.directories.entry(directory.clone()).or_default();
                let done = pending.iter().take_while(|(at, ..)| at < began).count();
                pending.drain(..done).for_each(|(_, name, entry)| set(durable, &name, entry));
            }
            Event::Mark(_) => {}
        }
        self.at += 1;
    }

    /// Whether a power cut now has anything to choose from.
    pub fn is_pending(&self) -> bool {
        self.files.values().any(|file| !file.pending.is_empty())
            || self.directories.values().any(|names| !names.pending.is_empty())
    }

    /// Writes the disk as a power cut at this moment leaves it.
    pub fn write(&self, root: &Path, left: Left, random: &mut fastrand::Rng) {
        self.write_directory(root, Path::new(""), left, random);
    }

    fn write_directory(&self, root: &Path, directory: &Path, left: Left, random: &mut fastrand::Rng) {
        let Some(names) = self.directories.get(directory) else { return };
        for (name, entry) in names.after(left, random) {
            let path = directory.join(name);
            match entry {
                Entry::Directory => {
                    fs::create_dir(root.join(&path)).unwrap();
                    self.write_directory(root, &path, left, random);
                }
                Entry::File(inode) => {
                    let octets = self.files.get(&inode).map(|file| file.after(left, random));
                    fs::write(root.join(path), octets.unwrap_or_default()).unwrap();
                }
            }
        }
    }

    fn file(&mut self, inode: Inode) -> &mut Contents {
        self.files.entry(inode).or_default()
    }

    fn take_in(&mut self, root: &Path, directory: &Path, files: &mut HashMap<PathBuf, Inode>) {
        let mut names = Names::default();
        for entry in fs::read_dir(root.join(directory)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = directory.join(&name);
            let entry = if entry.file_type().unwrap().is_dir() {
                self.take_in(root, &path, files);
                Entry::Directory
            } else {
                let inode = files.len();
                self.file(inode).durable = fs::read(root.join(&path)).unwrap();
                files.insert(path, inode);
                Entry::File(inode)
            };
            names.durable.insert(name, entry);
        }
        self.directories.insert(directory.to_owned(), names);
    }
}
