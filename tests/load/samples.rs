//! What a process takes of the machine, looked at again and again.

use crate::support::{House, run, waxseal};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

const MIB: f64 = 1_048_576.0;

/// One look.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub at: Duration,
    /// Resident and proportional set size, octets.
    pub rss: u64,
    pub pss: u64,
    pub descriptors: usize,
    pub threads: u64,
    /// Octets under `state_dir/queue`, and files under its `content`.
    pub queue: u64,
    pub contents: usize,
    /// Octets of the history.
    pub history: u64,
    /// Messages in the queue.
    pub depth: u64,
}

/// Where to look.
#[derive(Debug, Clone)]
pub struct Gauge {
    pid: u32,
    house: Places,
    began: Instant,
}

#[derive(Debug, Clone)]
struct Places {
    config: PathBuf,
    state: PathBuf,
}

impl Gauge {
    pub fn on(pid: u32, house: &House) -> Self {
        let house = Places { config: house.config(), state: house.state() };
        Self { pid, house, began: Instant::now() }
    }

    pub fn look(&self) -> Sample {
        let process = |file: &str| format!("/proc/{}/{file}", self.pid);
        let queue = self.house.state.join("queue");
        Sample {
            at: self.began.elapsed(),
            rss: figure(&process("status"), "VmRSS:") * 1024,
            pss: figure(&process("smaps_rollup"), "Pss:") * 1024,
            descriptors: self.open().len(),
            threads: figure(&process("status"), "Threads:"),
            queue: octets(&queue),
            contents: fs::read_dir(queue.join("content")).unwrap().count(),
            history: octets(&self.house.state.join("history")),
            depth: self.depth(),
        }
    }

    /// What the process holds open, but for the history: it opens a day's file with the first event of the day.
    pub fn open(&self) -> Vec<PathBuf> {
        let history = self.house.state.join("history");
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.pid)).unwrap();
        // One that is closed meanwhile leads nowhere, and is not held.
        let mut open: Vec<_> =
            descriptors.filter_map(|one| fs::read_link(one.unwrap().path()).ok()).collect();
        open.retain(|path| !path.starts_with(&history));
        open.sort();
        open
    }

    /// Messages in the queue, failed ones included.
    fn depth(&self) -> u64 {
        let status = run(waxseal().args(["status", "--json", "--config"]).arg(&self.house.config)).ok();
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        status["queue"].as_object().unwrap().values().filter_map(serde_json::Value::as_u64).sum()
    }

    /// Looks every so often until it is stopped.
    pub fn watch(&self, every: Duration) -> Watch {
        let (stop, samples): (Arc<AtomicBool>, Arc<Mutex<Vec<Sample>>>) = Default::default();
        let (gauge, stopped, taken) = (self.clone(), stop.clone(), samples.clone());
        let thread = thread::spawn(move || {
            println!("{}", Sample::HEAD);
            let mut said = Duration::ZERO;
            while !stopped.load(Ordering::Relaxed) {
                let sample = gauge.look();
                taken.lock().unwrap().push(sample);
                if sample.at >= said {
                    println!("{}", sample.row());
                    said = sample.at + Duration::from_secs(60).saturating_sub(every / 2);
                }
                thread::sleep(every);
            }
        });
        Watch { stop, samples, thread }
    }
}

/// A gauge that somebody looks at.
pub struct Watch {
    stop: Arc<AtomicBool>,
    samples: Arc<Mutex<Vec<Sample>>>,
    thread: JoinHandle<()>,
}

impl Watch {
    pub fn stop(self) -> Vec<Sample> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.samples.lock().unwrap().clone()
    }
}

impl Sample {
    pub const HEAD: &str = "| time | RSS | PSS | descriptors | threads | queue on disk | content files | history | messages in the queue |\n\
                            |---|---|---|---|---|---|---|---|---|";

    pub fn row(&self) -> String {
        let mib = |octets: u64| format!("{:.1} MiB", octets as f64 / MIB);
        let seconds = self.at.as_secs();
        format!(
            "| {}:{:02} | {} | {} | {} | {} | {} | {} | {} | {} |",
            seconds / 60,
            seconds % 60,
            mib(self.rss),
            mib(self.pss),
            self.descriptors,
            self.threads,
            mib(self.queue),
            self.contents,
            mib(self.history),
            self.depth
        )
    }
}

/// The middle one of these figures.
pub fn median(samples: &[Sample], figure: impl Fn(&Sample) -> u64) -> u64 {
    let mut figures: Vec<u64> = samples.iter().map(figure).collect();
    figures.sort_unstable();
    figures[figures.len() / 2]
}

/// The number behind a name in one of the kernel's files.
fn figure(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Octets of all files below a directory. Those that go while they are counted do not count.
fn octets(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => octets(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
