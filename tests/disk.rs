//! Disks that fill up, cannot be written, fail to sync or flip a bit: clients get a 4xx, and nothing that got its 250 is
//! lost.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what is wrong by panicking, and prints its figures"
)]

mod support;

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::Write as _,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};
use support::{
    House, Provider,
    client::{message, submit},
    faulty::{Fault, Faulty},
    free_port,
    queue::{Message, Post, delivered, drained, open, refused, scratch, until},
};
use waxseal::{
    mail::QueueId,
    queue::{CommitError, Footing, InspectError, Queue, journal, record::Record, verify_stopped},
    sandbox::SandboxOptions,
};

/// Small segments, so that a few messages fill one.
const SEGMENT: u32 = 4 << 10;
/// Past the 256 KiB at which content gets a file of its own.
const LARGE: usize = 300 << 10;

fn footing(disk: &Faulty) -> Footing {
    Footing { disk: Arc::new(disk.clone()), segment_size: SEGMENT, ..Footing::default() }
}

// ---- faults at every operation -------------------------------------------------------------------------------------

/// What a run with a fault came to.
#[derive(Debug, Default)]
struct Run {
    /// What got its 250 and nobody carries.
    acknowledged: HashMap<QueueId, Message>,
    /// All that was handed in.
    sent: HashMap<QueueId, Message>,
    refused: usize,
}

impl Run {
    /// Hands a message in. A refusal has to be the one that belongs to the fault.
    async fn submit(&mut self, queue: &Queue, account: &str, size: usize, fault: Option<Fault>) -> bool {
        let message = Message::random(&mut fastrand::Rng::with_seed(size as u64), account, size);
        let outcome = message.submit(queue, |id| drop(self.sent.insert(id, message.clone()))).await;
        match (outcome, fault) {
            (Ok(id), _) => {
                self.acknowledged.insert(id, message);
                true
            }
            (Err(CommitError::Full), Some(Fault::Full)) => false,
            (Err(CommitError::Io(_)), Some(Fault::ReadOnly | Fault::Write | Fault::Sync)) => false,
            (Err(error), _) => panic!("{error:?} is not what {fault:?} leads to"),
        }
    }

    /// A bit of everything that writes.
    async fn work(&mut self, queue: &Queue, fault: Fault) {
        let first = self.acknowledged.keys().min().copied();
        for (account, size) in [
            ("stays", 700),
            ("goes", 400),
            ("stays", LARGE),
            ("goes", LARGE),
            ("stays", 1500),
            ("goes", 1900),
        ] {
            let taken = self.submit(queue, account, size, Some(fault)).await;
            self.refused += usize::from(!taken);
        }
        if let Some(first) = first {
            // An operator hears of it, and whichever it was, the message stays.
            let _ = queue.hold(first).await;
        }
        queue.keep_house().await;
        let taken = self.submit(queue, "stays", 300, Some(fault)).await;
        self.refused += usize::from(!taken);
    }
}

/// One run: a queue with mail, a fault that begins after so many operations, work, the end of the fault, a restart.
/// Returns how often something failed, and how many messages were refused.
async fn with_fault(fault: Fault, spared: usize, lasting: bool) -> (usize, usize) {
    let directory = scratch();
    let disk = Faulty::default();
    let mut run = Run::default();
    let (queue, _) = open(footing(&disk), directory.path()).unwrap();
    for size in [200, LARGE, 1000] {
        assert!(run.submit(&queue, "stays", size, None).await);
    }
    let post = Post::good();
    post.carry(&queue, &["goes"]);

    disk.fail(fault, spared, lasting);
    run.work(&queue, fault).await;
    let failed = disk.heal();

    // Without a restart, at once.
    for size in [100, LARGE] {
        assert!(run.submit(&queue, "stays", size, None).await);
    }
    until("what goes to have gone", || queue.counts()["active"] + queue.counts()["queued"] == 0).await;
    queue.shutdown(Duration::from_secs(10)).await;
    drop(queue);
    let carried = post.taken();
    run.acknowledged.retain(|id, _| !carried.contains_key(id));

    let report = verify_stopped(&directory.path().join("queue"), &mut |_| {}).unwrap();
    assert!(report.is_sound(), "{report:#?}");
    let (queue, recovery) = open(Footing::default(), directory.path()).unwrap();
    assert_eq!(recovery.damaged, 0);
    let came = drained(&queue, &["stays", "goes"]).await;
    for (id, message) in &run.acknowledged {
        let (recipients, content) = came.get(id).unwrap_or_else(|| panic!("LOST {id}"));
        assert!((*recipients, content) == (message.to, &message.content), "{id} came changed");
    }
    for (id, (_, content)) in &came {
        assert!(run.sent[id].content == *content, "{id}, which was refused, came changed");
        assert!(!carried.contains_key(id), "{id} was delivered and came again");
    }
    queue.shutdown(Duration::from_secs(10)).await;
    (failed, run.refused)
}

/// Every operation that the fault concerns fails in a run of its own, once or from then on.
async fn everywhere(fault: Fault, lasting: bool) {
    let began = Instant::now();
    let (mut runs, mut refused) = (0, 0);
    loop {
        let run = tokio::spawn(with_fault(fault, runs, lasting)).await;
        let (failed, more) = run.unwrap_or_else(|error| panic!("{fault:?} after {runs}, {lasting}: {error}"));
        if failed == 0 {
            break;
        }
        runs += 1;
        refused += more;
    }
    let how = if lasting { "from then on" } else { "once" };
    println!(
        "{fault:?} at each of {runs} operations, {how}: {refused} messages refused with a 4xx, 0 lost; {:.1} s",
        began.elapsed().as_secs_f64()
    );
    assert!(runs > 5 && refused > 0, "{fault:?} concerned nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_once_at_any_operation_loses_nothing() {
    for fault in Fault::ALL {
        everywhere(fault, false).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_for_a_while_loses_nothing_and_heals_without_a_restart() {
    for fault in Fault::ALL {
        everywhere(fault, true).await;
    }
}

/// Whoever goes on after a failed write does not get a message committed that lacks some octets.
#[tokio::test]
async fn a_message_that_lacks_octets_is_never_committed() {
    let directory = scratch();
    let disk = Faulty::default();
    let (queue, _) = open(footing(&disk), directory.path()).unwrap();
    let mut intake = queue.begin();
    disk.fail(Fault::Write, 0, false);
    intake.write(&b"x\r\n".repeat(LARGE)).await.unwrap_err();
    for more in [0, LARGE] {
        let _ = intake.write(&b"y\r\n".repeat(more)).await;
    }
    let receipt = Message::random(&mut fastrand::Rng::new(), "stays", 10).receipt();
    assert!(matches!(intake.commit(receipt).await, Err(CommitError::Io(_))));
    assert_eq!(fs::read_dir(directory.path().join("queue/content")).unwrap().count(), 0);
    assert!(queue.ids(None).is_empty());
}

/// A start that fails says so, and leaves everything for the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_while_the_queue_starts_loses_nothing() {
    let mut starts = 0;
    for fault in Fault::ALL {
        for spared in 0.. {
            let directory = scratch();
            let disk = Faulty::default();
            let mut run = Run::default();
            {
                let (queue, _) = open(footing(&disk), directory.path()).unwrap();
                for size in [200, LARGE, 1000] {
                    run.submit(&queue, "stays", size, None).await;
                }
            }
            // Something to set aside, and something to clear away.
            let journal = directory.path().join("queue/journal");
            let newest = fs::read_dir(&journal).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
            let torn = [fs::read(&newest).unwrap(), b"WXr\x01torn".to_vec()].concat();
            fs::write(&newest, torn).unwrap();
            fs::write(directory.path().join("queue/content/left"), "x").unwrap();

            disk.fail(fault, spared, true);
            let opened = open(footing(&disk), directory.path());
            let failed = disk.heal();
            if let Ok((queue, _)) = &opened {
                assert!(run.submit(queue, "stays", 500, None).await);
            }
            drop(opened);
            let (queue, _) = open(Footing::default(), directory.path()).unwrap();
            let came = drained(&queue, &["stays"]).await;
            for (id, message) in &run.acknowledged {
                assert!(came.get(id).is_some_and(|(_, content)| *content == message.content), "LOST {id}");
            }
            starts += 1;
            if failed == 0 {
                break;
            }
        }
    }
    println!("{starts} starts with a disk that fails at one of their operations: 0 messages lost");
}

// ---- flipped bits --------------------------------------------------------------------------------------------------

/// A queue with a record of every kind between others, and what each record is about.
async fn fill(directory: &Path) -> HashMap<QueueId, Message> {
    let (queue, _) = open(Footing::default(), directory).unwrap();
    let mut run = Run::default();
    for size in [60, 90, LARGE, 120] {
        run.submit(&queue, "stays", size, None).await;
    }
    let mut ids: Vec<QueueId> = run.acknowledged.keys().copied().collect();
    ids.sort_unstable();
    queue.hold(ids[3]).await.unwrap();
    run.submit(&queue, "stays", 70, None).await;
    queue.remove(ids[0]).await.unwrap();
    run.submit(&queue, "stays", 80, None).await;
    run.acknowledged.remove(&ids[0]);
    run.acknowledged
}

/// A record in the journal: its kind, whom it is about, where it lies.
struct Lies {
    kind: &'static str,
    id: QueueId,
    offset: usize,
    length: usize,
}

fn records(journal: &Path) -> Vec<Lies> {
    let mut records = Vec::new();
    journal::scan_readonly(journal, |record, place| {
        let (kind, id) = match record {
            Record::Received { received, .. } if received.size > 200_000 => ("receipt in file", received.id),
            Record::Received { received, .. } => ("receipt", received.id),
            Record::Status { id, .. } => ("status", id),
            Record::Done { id, .. } => ("departure", id),
        };
        records.push(Lies { kind, id, offset: place.offset as usize, length: place.length as usize });
    })
    .unwrap();
    records
}

/// The field of a record that an octet belongs to.
fn field(octet: usize, meta: usize) -> &'static str {
    match octet {
        0..4 => "magic",
        4..8 => "checksum",
        8 => "version",
        9 => "kind",
        10..18 => "lengths",
        _ if octet < 18 + meta => "meta",
        _ => "content",
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = (entry.as_ref().unwrap().path(), entry.unwrap().file_name());
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(path, to.join(name)).unwrap();
        }
    }
}

/// Each bit of the fixed fields, and one of every octet of the others, in a record of every kind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_costs_the_record_that_it_is_in_and_no_other() {
    let original = scratch();
    let sent = fill(original.path()).await;
    let journal = original.path().join("queue/journal/0000000001.wxj");
    let octets = fs::read(&journal).unwrap();
    let records = records(journal.parent().unwrap());
    let mut flips: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    // One of each kind, with others on both sides.
    for kind in ["receipt", "receipt in file", "status", "departure"] {
        let place = records.iter().skip(1).position(|record| record.kind == kind).unwrap() + 1;
        let record = &records[place];
        assert!(place + 1 < records.len(), "the {kind} is the last");
        let whole = &octets[record.offset..record.offset + record.length];
        let meta = u32::from_le_bytes(whole[10..14].try_into().unwrap()) as usize;
        for octet in 0..record.length {
            let field = field(octet, meta);
            let bits = if octet < 18 { 0..8 } else { octet % 8..octet % 8 + 1 };
            for bit in bits {
                let image = scratch();
                copy(original.path(), image.path());
                let mut damaged = octets.clone();
                damaged[record.offset + octet] ^= 1 << bit;
                fs::write(image.path().join("queue/journal/0000000001.wxj"), damaged).unwrap();
                let what = format!("bit {bit} of octet {octet}, in the {field} of a {kind}");
                check_flip(image.path(), &sent, record, &what).await;
                *flips.entry((kind, field)).or_default() += 1;
            }
        }
    }
    let count: usize = flips.values().sum();
    println!(
        "{count} bits flipped, one at a time: every time 1 damaged record counted and in quarantine/, 0 others lost"
    );
    for ((kind, field), count) in flips {
        println!("  {kind}, {field}: {count}");
    }
}

async fn check_flip(image: &Path, sent: &HashMap<QueueId, Message>, record: &Lies, what: &str) {
    let report = verify_stopped(&image.join("queue"), &mut |_| {}).unwrap();
    let at = report.findings.iter().filter(|finding| finding.offset == Some(record.offset as u64));
    assert_eq!(at.count(), 1, "{what}: {report:#?}");
    let (queue, recovery) = open(Footing::default(), image).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(recovery.damaged, 1, "{what}: {recovery:?}");
    let set_aside = image.join(format!("queue/quarantine/0000000001-{}.octets", record.offset));
    assert_eq!(fs::metadata(&set_aside).unwrap().len(), record.length as u64, "{what}");
    if record.kind == "receipt in file" {
        let content = fs::read(image.join(format!("queue/quarantine/{}.eml", record.id))).unwrap();
        assert!(content == sent[&record.id].content, "{what}: the content file is set aside, not removed");
    }
    let came = drained(&queue, &["stays"]).await;
    for (id, message) in
        sent.iter().filter(|(id, _)| !(**id == record.id && record.kind.starts_with("receipt")))
    {
        assert!(came.get(id).is_some_and(|(_, content)| *content == message.content), "LOST {id}: {what}");
    }
}

/// A record whose checksum holds is no damage: somebody newer wrote it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_version_is_refused_and_nothing_is_touched() {
    let directory = scratch();
    fill(directory.path()).await;
    let journal = directory.path().join("queue/journal/0000000001.wxj");
    let record = records(journal.parent().unwrap()).swap_remove(2);
    let mut octets = fs::read(&journal).unwrap();
    let later = &mut octets[record.offset..record.offset + record.length];
    later[8] = 2;
    let checksum = crc32fast::hash(&later[8..]);
    later[4..8].copy_from_slice(&checksum.to_le_bytes());
    // Damage elsewhere is left alone too.
    octets[20] ^= 1;
    fs::write(&journal, octets).unwrap();
    let tree = |path: &Path| {
        let mut files = BTreeMap::new();
        for part in ["journal", "content", "quarantine"] {
            for entry in fs::read_dir(path.join("queue").join(part)).into_iter().flatten() {
                let path = entry.unwrap().path();
                files.insert(path.clone(), fs::read(path).unwrap());
            }
        }
        files
    };
    let before = tree(directory.path());
    let error = open(Footing::default(), directory.path()).unwrap_err().to_string();
    println!("{error}");
    for part in
        ["0000000001.wxj holds", "version 2", "written by a later waxseal; run that version or move the"]
    {
        assert!(error.contains(part), "{error}");
    }
    assert!(tree(directory.path()) == before, "something was changed");
}

// ---- the real binary -----------------------------------------------------------------------------------------------

/// A file system of its own size, gone with the test.
struct Mount(PathBuf);

impl Mount {
    /// `None` where this user may not mount.
    fn new(path: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let options = format!("size={size},mode=700");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "waxseal"]).arg(path).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(path.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A message that arrives as it was sent, behind a trace field.
fn letter(number: usize, random: &mut fastrand::Rng, size: usize) -> Vec<u8> {
    [message(&format!("full-{number}")), Message::random(random, "x", size).content].concat()
}

#[test]
fn the_daemon_on_a_full_disk_says_452_and_loses_nothing() {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    let Some(_mount) = Mount::new(&house.state(), "8m") else {
        println!("SKIPPED, NOTHING WAS TESTED: a small file system cannot be mounted here; run this as root");
        return;
    };
    // Not kept back, so that writes fail; and something to take away, so that there is room again.
    fs::create_dir(house.path("conf.d")).unwrap();
    fs::write(house.path("conf.d/queue.toml"), "[queue]\nmin_free = \"0B\"\n").unwrap();
    let ballast = house.state().join("ballast");
    fs::write(&ballast, vec![0; 2 << 20]).unwrap();
    let account = house.basic(&provider, "basic", "basic.example");
    let away = format!("port = {}\n", free_port());
    let here = format!("port = {}\n", provider.smtp_address().port());
    house.configure(&account.replace(&here, &away));
    let mut daemon = house.serve();

    let mut random = fastrand::Rng::with_seed(7);
    let (mut acknowledged, mut refused) = (Vec::new(), 0);
    for number in 0..2000 {
        let size = if number % 5 == 0 { LARGE } else { random.usize(100..60_000) };
        let content = letter(number, &mut random, size);
        match submit(house.smtp, "app@basic.example", &content) {
            Ok(_) => acknowledged.push(content),
            Err(error) => {
                assert!(error.to_string().starts_with("452 4.3.1"), "{error}");
                refused += 1;
            }
        }
        if refused == 50 {
            break;
        }
    }
    assert!(refused == 50 && acknowledged.len() > 20, "{refused} refused, {} taken", acknowledged.len());
    let verified = house.json(&["queue", "verify"]);
    assert_eq!(
        (&verified["sound"], &verified["messages"]),
        (&true.into(), &acknowledged.len().into()),
        "{verified}"
    );

    fs::remove_file(ballast).unwrap();
    for number in 2000..2010 {
        let content = letter(number, &mut random, if number == 2000 { LARGE } else { 5000 });
        submit(house.smtp, "app@basic.example", &content).expect("there is room again");
        acknowledged.push(content);
    }
    daemon.kill();
    let verified = house.json(&["queue", "verify"]);
    assert_eq!(
        (&verified["sound"], &verified["messages"]),
        (&true.into(), &acknowledged.len().into()),
        "{verified}"
    );

    house.configure(&account);
    let _daemon = house.serve();
    let arrived = provider.arrivals(acknowledged.len());
    for content in &acknowledged {
        let came = arrived.iter().filter(|received| received.octets.ends_with(content)).count();
        assert_eq!(came, 1, "a message that got its 250 came {came} times");
    }
    assert_eq!(arrived.len(), acknowledged.len());
    println!(
        "{} messages taken on a disk of 8 MiB until it was full and after there was room again, 50 refused with 452 \
         4.3.1; all of the former arrived once after a kill -9, none of the latter",
        acknowledged.len()
    );
}

// ---- verify --------------------------------------------------------------------------------------------------------

/// A queue that takes, sends, holds, moves and removes while it is verified is sound every time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verifying_a_queue_at_work_raises_no_alarm() {
    let directory = scratch();
    let (queue, _) = open(footing(&Faulty::default()), directory.path()).unwrap();
    Post::new(|attempt| {
        let reply = |_| if fastrand::u8(..4) == 0 { refused(450) } else { delivered() };
        attempt.recipients.iter().map(reply).collect()
    })
    .carry(&queue, &["goes"]);
    let messages = 600;
    let work = tokio::spawn({
        let queue = queue.clone();
        async move {
            let mut random = fastrand::Rng::new();
            for taken in 1..=messages {
                let size = if random.u8(..10) == 0 { LARGE } else { 300 };
                let account = if random.u8(..20) == 0 { "stays" } else { "goes" };
                let id = Message::random(&mut random, account, size).submit(&queue, |_| {}).await.unwrap();
                let _ = queue.hold(id).await;
                let _ = queue.release(id, |_| None).await;
                if taken % 10 == 0 {
                    queue.keep_house().await;
                }
            }
        }
    });
    let (mut verified, mut changed) = (0, 0);
    while !work.is_finished() {
        let queue = queue.clone();
        match tokio::task::spawn_blocking(move || queue.verify(&mut |_| {})).await.unwrap() {
            Ok(report) => assert!(report.is_sound(), "{report:#?}"),
            Err(InspectError::Changed) => changed += 1,
            Err(error) => panic!("{error}"),
        }
        verified += 1;
    }
    work.await.unwrap();
    println!(
        "verified {verified} times while {messages} messages came and went: sound each time, {changed} times to be \
         tried again"
    );
    assert!(verified > 10 && changed < verified / 2);
    queue.shutdown(Duration::from_secs(10)).await;
}

/// What is damaged is named, by the stopped daemon's files and by the running daemon alike.
#[test]
fn verify_names_what_is_damaged() {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    let account = house.basic(&provider, "basic", "basic.example");
    let here = format!("port = {}\n", provider.smtp_address().port());
    house.configure(&account.replace(&here, &format!("port = {}\n", free_port())));
    let ran = house.cli(&["queue", "verify"]);
    assert_eq!(ran.code, 69, "there is no queue yet: {ran:?}");
    let mut daemon = house.serve();
    let mut random = fastrand::Rng::with_seed(7);
    for (number, size) in [100, LARGE, LARGE, LARGE, 200].into_iter().enumerate() {
        submit(house.smtp, "app@basic.example", &letter(number, &mut random, size)).unwrap();
    }
    let ran = house.cli(&["queue", "verify"]);
    assert!(ran.code == 0 && ran.stdout.ends_with("sound\n"), "{ran:?}");
    assert!(
        ran.stdout.contains("messages       5\n") && ran.stdout.contains("3 held against their"),
        "{ran:?}"
    );

    let content = house.state().join("queue/content");
    let mut files: Vec<_> = fs::read_dir(&content).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut octets = fs::read(&files[0]).unwrap();
    octets[5000] ^= 1;
    fs::write(&files[0], octets).unwrap();
    fs::remove_file(&files[1]).unwrap();
    fs::File::options().append(true).open(&files[2]).unwrap().write_all(b"x").unwrap();
    let journal = house.state().join("queue/journal/0000000001.wxj");
    let first = records(journal.parent().unwrap()).swap_remove(0);
    let file = fs::File::options().write(true).open(&journal).unwrap();
    file.write_at(b"?", first.offset as u64 + 40).unwrap();

    let name = |path: &Path| format!("content/{}", path.file_name().unwrap().to_str().unwrap());
    let mut before = None;
    for running in [true, false] {
        if !running {
            daemon.kill();
        }
        let found = house.cli(&["queue", "verify", "--json"]);
        assert_eq!(found.code, 1);
        let found: serde_json::Value = serde_json::from_str(&found.stdout).unwrap();
        assert_eq!((&found["sound"], &found["damaged"]), (&false.into(), &4.into()), "{found}");
        let findings = found["findings"].as_array().unwrap();
        let told = |finding: &serde_json::Value| {
            format!("{} {}", finding["file"].as_str().unwrap(), finding["problem"].as_str().unwrap())
        };
        let mut told: Vec<String> = findings.iter().map(told).collect();
        told.sort();
        let wanted = [
            format!("{} checksum", name(&files[0])),
            format!("{} no_content", name(&files[1])),
            format!("{} length", name(&files[2])),
            "journal/0000000001.wxj unreadable".into(),
        ];
        assert_eq!(told, wanted);
        let place = findings.iter().find(|finding| finding["problem"] == "unreadable").unwrap();
        assert_eq!(place["offset"], first.offset);
        let ran = house.cli(&["queue", "verify"]);
        assert!(ran.code == 1 && ran.stdout.ends_with("4 places are damaged\n"), "{ran:?}");
        let line = format!("DAMAGED  {}, message {}: its CRC-32 is ", name(&files[0]), stem(&files[0]));
        assert!(ran.stdout.contains(&line), "{ran:?}");
        assert!(before.is_none_or(|before| before == found["findings"]), "the same is said of both");
        before = Some(found["findings"].clone());
    }
    assert!(!house.state().join("queue/quarantine").exists(), "it only reads");
}

fn stem(path: &Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}
