use super::*;
use crate::mail::{BodyType, Envelope, ForwardPath, ReversePath};
use build::DROP_MODE;
use format::Damage;
use std::{
    fs::Permissions,
    os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink},
};

struct Place {
    directory: tempfile::TempDir,
    spool: Spool,
}

fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let spool = Spool::new(directory.path().join("spool"));
    spool.prepare().unwrap();
    Place { directory, spool }
}

fn envelope() -> Envelope {
    let to = vec![ForwardPath::parse("c@d").unwrap()];
    Envelope::new(ReversePath::parse("a@b").unwrap(), to, BodyType::SevenBit, false).unwrap()
}

fn put(spool: &Spool, content: &[u8]) -> String {
    spool.put(&envelope(), |out| out.write_all(content)).unwrap()
}

fn content(spooled: &mut Spooled) -> Result<Vec<u8>, Unfit> {
    let mut octets = Vec::new();
    loop {
        match spooled.next_chunk()? {
            chunk if chunk.is_empty() => return Ok(octets),
            chunk => octets.extend(chunk),
        }
    }
}

fn entries(path: &Path) -> usize {
    fs::read_dir(path).unwrap().count()
}

#[test]
fn what_is_put_in_is_taken_in_its_order_and_gone_afterwards() {
    let place = place();
    let spool = &place.spool;
    let large = vec![b'x'; 300_000];
    let names = [put(spool, b"one\r\n"), put(spool, &large), put(spool, b"")];
    let mut sorted = names.to_vec();
    sorted.sort();
    assert_eq!(spool.claim(100).unwrap(), sorted);
    assert_eq!(entries(&spool.drop_directory()), 0);
    // Claimed once, they are still there for the next round, and for the next start.
    assert_eq!(spool.claim(100).unwrap(), sorted);
    for (name, wanted) in names.iter().zip([b"one\r\n".as_slice(), &large, b""]) {
        let mut spooled = spool.open(name).unwrap();
        assert_eq!(spooled.envelope(), &envelope());
        assert_eq!(
            (spooled.size(), spooled.uid()),
            (wanted.len() as u64, rustix::process::getuid().as_raw())
        );
        assert_eq!(content(&mut spooled).unwrap(), wanted);
        spooled.rewind();
        assert_eq!(content(&mut spooled).unwrap(), wanted);
        spool.remove(name).unwrap();
    }
    spool.settle().unwrap();
    assert!(spool.claim(100).unwrap().is_empty());
    assert_eq!(spool.count_aside(), 0);
}

#[test]
fn only_so_many_are_claimed_at_once() {
    let place = place();
    let spool = &place.spool;
    for _ in 0..5 {
        put(spool, b"x\r\n");
    }
    assert_eq!((spool.claim(2).unwrap().len(), entries(&spool.drop_directory())), (2, 3));
    assert_eq!((spool.claim(4).unwrap().len(), entries(&spool.drop_directory())), (4, 1));
}

#[test]
fn directories_are_left_alone_and_keep_nobody_out() {
    let place = place();
    let spool = &place.spool;
    for number in 0..50 {
        fs::create_dir(spool.drop_directory().join(format!("0{number}.msg"))).unwrap();
    }
    let name = put(spool, b"x\r\n");
    assert_eq!(spool.claim(2).unwrap(), [name]);
    assert_eq!(entries(&spool.drop_directory()), 50);
}

#[test]
fn modes_keep_others_out() {
    let place = place();
    let spool = &place.spool;
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(&spool.drop_directory()), DROP_MODE);
    assert_eq!((mode(&spool.taken_directory()), mode(&spool.aside_directory())), (0o700, 0o700));
    let name = put(spool, b"x\r\n");
    assert_eq!(mode(&spool.drop_directory().join(name)), 0o600, "the owner of the spool put it in");
    fs::set_permissions(spool.aside_directory(), Permissions::from_mode(0o777)).unwrap();
    spool.prepare().unwrap();
    assert_eq!(mode(&spool.aside_directory()), 0o700);
    fs::remove_dir(spool.taken_directory()).unwrap();
    symlink("/tmp", spool.taken_directory()).unwrap();
    assert!(spool.prepare().is_err(), "a link in place of a directory");
}

#[test]
fn what_is_no_plain_file_is_not_taken() {
    let place = place();
    let spool = &place.spool;
    let drop = spool.drop_directory();
    let secret = place.directory.path().join("secret");
    let name = put(spool, b"x\r\n");
    fs::rename(drop.join(name), &secret).unwrap();
    symlink(&secret, drop.join("1.msg")).unwrap();
    fs::hard_link(&secret, drop.join("2.msg")).unwrap();
    symlink("/dev/zero", drop.join("3.msg")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, drop.join("4.msg"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    for name in spool.claim(100).unwrap() {
        assert!(matches!(spool.open(&name), Err(Unfit::NoPlainFile)), "{name}");
        spool.set_aside(&name).unwrap();
    }
    assert_eq!(spool.count_aside(), 4);
    assert!(secret.exists());
}

#[test]
fn what_is_torn_or_changed_is_noticed() {
    let place = place();
    let spool = &place.spool;
    let text = [b"y".repeat(100_000), b"\r\n".to_vec()].concat();
    type Spoil = fn(&fs::File, u64);
    let cases: [(&str, Spoil); 5] = [
        ("cut", |file, length| file.set_len(length - 1).unwrap()),
        ("empty", |file, _| file.set_len(0).unwrap()),
        ("no end", |file, length| file.set_len(length - format::TRAILER as u64).unwrap()),
        ("longer", |file, length| file.write_all_at(b"\n", length).unwrap()),
        ("changed", |file, length| file.write_all_at(b"Y", length / 2).unwrap()),
    ];
    for (what, spoil) in cases {
        let name = put(spool, &text);
        let path = spool.drop_directory().join(&name);
        spoil(&fs::File::options().write(true).open(&path).unwrap(), fs::metadata(&path).unwrap().len());
        assert!(spool.claim(10).unwrap().contains(&name));
        let read = spool.open(&name).and_then(|mut spooled| content(&mut spooled));
        assert!(matches!(read, Err(Unfit::Damaged(Damage::Torn | Damage::Foreign))), "{what}: {read:?}");
        assert!(spool.set_aside(&name).unwrap().exists());
    }
    // Its owner changes it while it is read.
    let name = put(spool, &text);
    spool.claim(10).unwrap();
    let path = spool.taken_directory().join(&name);
    let mut spooled = spool.open(&name).unwrap();
    spooled.next_chunk().unwrap();
    fs::File::options().write(true).open(&path).unwrap().write_all_at(b"Z", 90_000).unwrap();
    assert!(matches!(content(&mut spooled), Err(Unfit::Damaged(Damage::Torn))));
    fs::File::options().write(true).open(&path).unwrap().set_len(1000).unwrap();
    spooled.rewind();
    assert!(matches!(content(&mut spooled), Err(Unfit::Damaged(Damage::Torn))));
}

#[test]
fn a_failed_put_leaves_nothing_and_unfinished_files_wait_an_hour() {
    let place = place();
    let spool = &place.spool;
    let failed = spool.put(&envelope(), |_| Err(io::ErrorKind::BrokenPipe.into()));
    assert_eq!(failed.map_err(|error| error.kind()), Err(io::ErrorKind::BrokenPipe));
    assert_eq!(entries(&spool.drop_directory()), 0);
    let path = spool.drop_directory().join("tmp-1.msg");
    fs::write(&path, "half a mess").unwrap();
    assert!(spool.claim(10).unwrap().is_empty() && path.exists());
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 3600);
    fs::File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
    assert!(spool.claim(10).unwrap().is_empty() && !path.exists());
    assert_eq!(spool.count_aside(), 1);
}

#[test]
fn nothing_is_overwritten_aside() {
    let place = place();
    let spool = &place.spool;
    for _ in 0..3 {
        fs::write(spool.drop_directory().join("a.msg"), "x").unwrap();
        assert_eq!(spool.claim(10).unwrap(), ["a.msg"]);
        spool.set_aside("a.msg").unwrap();
    }
    assert_eq!(spool.count_aside(), 3);
}

#[test]
fn a_spool_that_is_not_there_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let spool = Spool::new(directory.path().join("nowhere"));
    assert_eq!(spool.put(&envelope(), |_| Ok(())).map_err(|e| e.kind()), Err(io::ErrorKind::NotFound));
    let deep = Spool::new(directory.path().join("a/b"));
    assert!(deep.prepare().is_err(), "the daemon makes its state directory, and nothing else above");
    deep.build().unwrap();
    deep.prepare().unwrap();
    put(&deep, b"x\r\n");
}

#[test]
fn what_root_builds_belongs_to_the_owner_of_the_place() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(directory.path(), Some(4711), Some(4712)).unwrap();
    let spool = Spool::new(directory.path().join("state/spool"));
    spool.build().unwrap();
    let name = put(&spool, b"x\r\n");
    let drop = fs::metadata(spool.drop_directory()).unwrap();
    assert_eq!((drop.uid(), drop.gid(), drop.mode() & 0o7777), (4711, 4712, DROP_MODE));
    let file = fs::metadata(spool.drop_directory().join(name)).unwrap();
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o777), (0, 4712, 0o640));
    let refused = spool.prepare().unwrap_err().to_string();
    assert!(refused.contains("belongs to user 4711"), "{refused}");
}
