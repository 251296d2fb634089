//! A write that fails, half-way or at once, loses and repeats nothing: the log says how much it took, and a retry goes
//! on from there.

mod scene;

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use logfile::{Bounds, Dir, Follower, LogFile, Next, Start};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, setrlimit};
use scene::{NAME, WAYS, Way, mount};

const TMPFS: &str = "mount -t tmpfs -o size=512k,nr_inodes=64 tmpfs \"$DIR\"";
const EXT4: &str =
    "truncate -s 2M \"$TMP/image\" && mkfs.ext4 -q -m 0 \"$TMP/image\" && mount -o loop \"$TMP/image\" \"$DIR\"";

fn open(dir: &Path, way: Way, limit: u64, copies: u32) -> LogFile {
    let dir = Dir::open(dir).unwrap();
    LogFile::open(&dir, OsStr::new(&name(way)), Bounds { limit, copies }).unwrap()
}

fn name(way: Way) -> String {
    format!("{way:?}-{NAME}")
}

/// All that a follower reads from the oldest byte.
fn read(dir: &Path, way: Way) -> Vec<u8> {
    let dir = Dir::open(dir).unwrap();
    let mut follower = Follower::open(&dir, OsStr::new(&name(way)), Start::Oldest).unwrap();
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match follower.read(&mut buffer).unwrap() {
            Next::Bytes(len) => bytes.extend_from_slice(&buffer[..len]),
            Next::UpToDate => return bytes,
            Next::Missed(missed) => panic!("missed {missed:?}"),
        }
    }
}

/// Takes all room that is left, and gives it back when dropped.
struct Ballast<'a>(&'a Path);

impl<'a> Ballast<'a> {
    fn fill(dir: &'a Path) -> Self {
        let ballast = Self(dir);
        let mut file = File::create(ballast.path()).unwrap();
        for size in [4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        // What was promised to the page cache only is taken for good.
        file.sync_all().ok();
        while file.write_all(&[0]).is_ok() {}
        ballast
    }

    /// Leaves about so many bytes free.
    fn fill_but(dir: &'a Path, free: u64) -> Self {
        let ballast = Self::fill(dir);
        let file = File::options().write(true).open(ballast.path()).unwrap();
        file.set_len(file.metadata().unwrap().len() - free).unwrap();
        file.sync_all().ok();
        ballast
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for Ballast<'_> {
    fn drop(&mut self) {
        std::fs::remove_file(self.path()).unwrap();
    }
}

fn chunk(from: usize) -> Vec<u8> {
    (from..from + 4000).flat_map(|number| format!("line {number:05}\n").into_bytes()).collect()
}

/// Fills the disk under a log and makes room again, a few times over. `piece` is how much is appended at a time.
fn fills_up(dir: &Path, piece: usize) {
    for way in WAYS {
        let mut log = open(dir, way, 10_000, 40);
        let mut written = Vec::new();
        for round in 0..4 {
            let mut rest = chunk(round * 4000);
            let ballast = Ballast::fill_but(dir, 12_000 + 1_000 * round as u64);
            let before = written.len();
            let mut refused = 0;
            while refused < 3 {
                let len = piece.min(rest.len());
                let done = way.append(&mut log, &rest[..len]);
                let taken = done.as_ref().map_or_else(|error| error.written, |()| len);
                written.extend(rest.drain(..taken));
                assert!(!rest.is_empty(), "the disk is full");
                assert_eq!(log.offset(), written.len() as u64);
                if let Err(error) = done {
                    assert_eq!(error.source.raw_os_error(), Some(Errno::NOSPC.raw_os_error()), "{error}");
                    assert!(error.to_string().contains(&name(way)), "{error}");
                    refused += 1;
                }
            }
            assert!(piece > 4096 || written.len() > before, "there was some room");
            assert!(read(dir, way) == written, "bytes are lost, doubled or out of order");
            drop(ballast);
            for piece in rest.chunks(piece) {
                way.append(&mut log, piece).unwrap();
            }
            written.extend(rest);
            assert_eq!(log.offset(), written.len() as u64);
            assert!(read(dir, way) == written, "bytes are lost, doubled or out of order");
        }
        drop(log);
        for entry in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
            std::fs::remove_file(entry).unwrap();
        }
    }
}

#[test]
fn a_full_tmpfs_costs_nothing_that_was_taken() {
    mount::on(TMPFS, "a_full_tmpfs_costs_nothing_that_was_taken", |dir| {
        for piece in [700, 44_000] {
            fills_up(&dir, piece);
        }
    });
}

#[test]
fn a_full_ext4_costs_nothing_that_was_taken() {
    mount::on(EXT4, "a_full_ext4_costs_nothing_that_was_taken", |dir| {
        for piece in [700, 44_000] {
            fills_up(&dir, piece);
        }
    });
}

/// No room for a new file: the rotation stops after the renames, and is made up for when there is room.
#[test]
fn a_rotation_without_room_for_a_new_file_is_made_up_for() {
    mount::on(TMPFS, "a_rotation_without_room_for_a_new_file_is_made_up_for", |dir| {
        for way in WAYS {
            let mut log = open(&dir, way, 10, 3);
            way.append(&mut log, "aaaa\nbbbb\n").unwrap();
            let hoard = dir.join("hoard");
            std::fs::create_dir(&hoard).unwrap();
            let files = (0..100).take_while(|number| File::create(hoard.join(number.to_string())).is_ok()).count();
            assert!(files < 100);
            for _ in 0..3 {
                let error = way.append(&mut log, "cccc\n").expect_err("no file can be made");
                assert_eq!(error.written, 0);
                assert!(error.to_string().starts_with("cannot create "), "{error}");
                assert_eq!(error.source.raw_os_error(), Some(Errno::NOSPC.raw_os_error()), "{error}");
                assert_eq!(read(&dir, way), b"aaaa\nbbbb\n");
            }
            std::fs::remove_dir_all(&hoard).unwrap();
            way.append(&mut log, "cccc\n").unwrap();
            assert_eq!(read(&dir, way), b"aaaa\nbbbb\ncccc\n");
            assert_eq!((log.size(), log.offset()), (5, 15));
        }
    });
}

/// A file system without extended attributes: everything works, only nobody can count what was missed.
#[test]
fn without_extended_attributes_only_the_counting_is_lost() {
    let mount = "mount -t ramfs ramfs \"$DIR\"";
    mount::on(mount, "without_extended_attributes_only_the_counting_is_lost", |dir| {
        for way in WAYS {
            let mut log = open(&dir, way, 10, 2);
            let held = Dir::open(&dir).unwrap();
            let log_name = name(way);
            let follow = |start| Follower::open(&held, OsStr::new(&log_name), start).unwrap();
            let mut follower = follow(Start::End);
            let mut buffer = [0; 100];
            way.append(&mut log, "aaaa\nbbbb\n").unwrap();
            assert_eq!(follower.read(&mut buffer).unwrap(), Next::Bytes(10));
            assert_eq!(follower.offset(), None);
            way.append(&mut log, "cccc\ndddd\neeee\n").unwrap();
            assert_eq!(log.offset(), 25);
            assert_eq!(follower.read(&mut buffer).unwrap(), Next::Bytes(10));
            assert_eq!(follower.read(&mut buffer).unwrap(), Next::Bytes(5));
            assert_eq!(&buffer[..5], b"eeee\n");
            assert_eq!(follower.read(&mut buffer).unwrap(), Next::UpToDate);
            // Four files later its own is gone.
            way.append(&mut log, "ffff\ngggg\nhhhh\niiii\njjjj\nkkkk\nllll\n").unwrap();
            assert_eq!(follower.read(&mut buffer).unwrap(), Next::Bytes(5));
            assert_eq!(&buffer[..5], b"ffff\n");
            assert_eq!(follower.read(&mut buffer).unwrap(), Next::Missed(None));
            assert_eq!(follower.read(&mut buffer).unwrap(), Next::Bytes(10));
            assert_eq!(&buffer[..10], b"gggg\nhhhh\n");
            assert_eq!(read(&dir, way), b"gggg\nhhhh\niiii\njjjj\nkkkk\nllll\n");
            assert_eq!(follow(Start::Lines(2)).read(&mut buffer).unwrap(), Next::Bytes(10));
            let mut from = follow(Start::Offset(3));
            assert_eq!(from.read(&mut buffer).unwrap(), Next::Missed(None));
            assert_eq!(from.read(&mut buffer).unwrap(), Next::Bytes(10));
            // Renamed to something else: the copies are not read once more.
            let mut follower = follow(Start::End);
            std::fs::rename(dir.join(&log_name), dir.join("away")).unwrap();
            log.check().unwrap();
            way.append(&mut log, "mmmm\n").unwrap();
            assert_eq!(follower.read(&mut buffer).unwrap(), Next::Missed(None));
            assert_eq!(follower.read(&mut buffer).unwrap(), Next::Bytes(5));
            assert_eq!(&buffer[..5], b"mmmm\n");
        }
    });
}

/// The limit of the process on file sizes cuts a write short, then refuses it.
#[test]
fn a_file_size_limit_of_the_process_is_an_error_like_any_other() {
    const CHILD: &str = "LOGFILE_TEST_FILE_SIZE";
    let test = "a_file_size_limit_of_the_process_is_an_error_like_any_other";
    let Some(dir) = std::env::var_os(CHILD) else {
        let held = tempfile::tempdir().unwrap();
        // The signal that goes with the error would end the process.
        let child = std::process::Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
            .args([std::env::current_exe().unwrap().as_os_str(), OsStr::new(test)])
            .args(["--exact", "--nocapture", "--test-threads=1"])
            .env(CHILD, held.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&child.stdout);
        let errors = String::from_utf8_lossy(&child.stderr);
        assert!(child.status.success() && text.contains("1 passed"), "{text}{errors}");
        return;
    };
    let dir = Path::new(&dir);
    for way in WAYS {
        let mut log = open(dir, way, 100_000, 2);
        let limit = |bytes| setrlimit(Resource::Fsize, Rlimit { current: Some(bytes), maximum: None }).unwrap();
        limit(10_000);
        let chunk = chunk(0);
        let error = way.append(&mut log, &chunk).expect_err("the file may not become that large");
        assert_eq!(error.source.raw_os_error(), Some(Errno::FBIG.raw_os_error()), "{error}");
        assert_eq!((error.written, log.size(), log.offset()), (10_000, 10_000, 10_000));
        let again = way.append(&mut log, &chunk[10_000..]).expect_err("still not");
        assert_eq!(again.written, 0);
        limit(1 << 30);
        way.append(&mut log, &chunk[10_000..]).unwrap();
        assert!(read(dir, way) == chunk);
    }
}
