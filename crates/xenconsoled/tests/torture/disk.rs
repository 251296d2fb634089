//! Disks that fail: images on loop devices, in a mount namespace of the test's own, which takes them along when it
//! ends, however it does.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::host::mount;

/// Runs a test in a mount namespace of its own, with a scratch directory in memory. Where it may not be made the test
/// is passed by; with XENLOG_TEST_ALL=1 it fails, unless it is not root's.
pub fn on_own_disks(test: &str, body: impl FnOnce(&Path)) {
    if !rustix::process::geteuid().is_root() {
        println!("passed by: only root has loop devices");
        return;
    }
    mount::on("mount -t tmpfs -o size=6g tmpfs \"$DIR\"", test, |scratch| body(&scratch));
}

/// Runs a command that has to succeed.
pub fn run(program: &str, args: &[&str]) -> String {
    let done = Command::new(program).args(args).output().unwrap();
    assert!(done.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// A file with an ext4 file system in it.
pub fn image(path: &Path, bytes: u64) {
    File::create(path).unwrap().set_len(bytes).unwrap();
    run("mkfs.ext4", &["-q", "-m", "0", text(path)]);
}

/// What is mounted. It is unmounted when this is dropped.
pub struct Mounted {
    at: PathBuf,
}

impl Mounted {
    /// Mounts an image, on a loop device that nobody else has.
    pub fn image(image: &Path, at: &Path) -> Mounted {
        fs::create_dir_all(at).unwrap();
        let device = run("losetup", &["--find", "--show", text(image)]);
        let mounted = Command::new("mount").args([device.trim(), text(at)]).output().unwrap();
        // It is let go of when nothing uses it any more.
        run("losetup", &["--detach", device.trim()]);
        assert!(mounted.status.success(), "{}", String::from_utf8_lossy(&mounted.stderr));
        Mounted { at: at.to_owned() }
    }

    /// A file system in memory, of this size, with these options behind it.
    pub fn tmpfs(at: &Path, size: &str) -> Mounted {
        fs::create_dir_all(at).unwrap();
        run("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs", text(at)]);
        Mounted { at: at.to_owned() }
    }

    /// The device is gone: whatever is written from now on fails with EIO (EXT4_IOC_SHUTDOWN, fs/ext4/ext4.h). What was
    /// written before is on it.
    pub fn fail(&self) {
        const SHUTDOWN: &str = "import fcntl, os, struct, sys\n\
            fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 0))\n";
        run("python3", &["-c", SHUTDOWN, text(&self.at)]);
    }

    /// Its journal has failed: it is read-only from now on. What was not written out before is lost.
    pub fn fail_read_only(&self) {
        run("sync", &["-f", text(&self.at)]);
        // It says that the mount is bad, which is what was asked for.
        let _ = Command::new("mount").args(["-o", "remount,abort", text(&self.at)]).output().unwrap();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Also where somebody still has files open. It ends with the namespace anyway.
        let _ = Command::new("umount").arg("--lazy").arg(&self.at).output();
    }
}

/// A file system that stands still: whoever writes to it waits. It goes on when this is dropped, and also when this
/// process is killed: whoever thaws it only waits for the end of its standard input, in a session of its own.
pub struct Frozen {
    thaw: Child,
    line: Option<ChildStdin>,
}

impl Frozen {
    /// Freezes it.
    pub fn new(at: &Path) -> Frozen {
        let script = "trap '' INT TERM HUP; fsfreeze --freeze \"$0\" || exit 1; echo frozen; read end; \
            exec fsfreeze --unfreeze \"$0\"";
        let mut command = Command::new("setsid");
        command.args(["sh", "-c", script]).arg(at).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut thaw = command.spawn().unwrap();
        let line = thaw.stdin.take();
        let mut said = String::new();
        BufReader::new(thaw.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "frozen\n");
        Frozen { thaw, line }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.line = None;
        // It cannot be helped here if it was not well.
        let _ = self.thaw.wait();
    }
}

/// What fills a file system to the last block.
pub struct Ballast(PathBuf);

impl Ballast {
    /// Takes all that is free, also what is freed meanwhile, until nothing is.
    pub fn fill(at: &Path) -> Ballast {
        let ballast = Ballast(at.join("ballast"));
        let file = File::options().create(true).append(true).open(&ballast.0).unwrap();
        let mut size = 0;
        let mut step = u64::MAX;
        while step >= 4096 {
            let free = statvfs(at).unwrap();
            step = (free.f_bavail * free.f_frsize).min(step).max(4096);
            match fallocate(&file, FallocateFlags::empty(), size, step) {
                Ok(()) => size += step,
                Err(_) => step /= 2,
            }
        }
        ballast
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
