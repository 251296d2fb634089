//! Which file system a path is on, without asking the file system: one that stands still must not hold up who only wants to
//! know. The kernel's own table tells (proc(5), /proc/pid/mountinfo).

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

const TABLE: &str = "/proc/self/mountinfo";

/// The mount points, as they were when they were last read.
#[derive(Debug)]
pub struct Mounts {
    table: File,
    points: Vec<PathBuf>,
}

impl Mounts {
    /// Reads the table.
    pub fn new() -> io::Result<Mounts> {
        let mut mounts = Mounts { table: File::open(TABLE)?, points: Vec::new() };
        mounts.read()?;
        Ok(mounts)
    }

    /// The mount point that an absolute path without symbolic links lies below.
    pub fn of(&mut self, path: &Path) -> PathBuf {
        if self.has_changed() {
            // The old table is better than none.
            let _ = self.read();
        }
        let above = self.points.iter().filter(|point| path.starts_with(point));
        above.max_by_key(|point| point.as_os_str().len()).cloned().unwrap_or_else(|| "/".into())
    }

    /// The kernel says so on a descriptor that was read before (POLLPRI, proc(5)).
    fn has_changed(&self) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(self.table.as_fd(), PollFlags::PRI)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
    }

    fn read(&mut self) -> io::Result<()> {
        let (mut text, mut chunk) = (Vec::new(), vec![0; 64 << 10]);
        loop {
            match self.table.read_at(&mut chunk, text.len() as u64)? {
                0 => break,
                read => text.extend_from_slice(&chunk[..read]),
            }
        }
        self.points = points(&text);
        Ok(())
    }
}

/// The fifth field of each line.
fn points(table: &[u8]) -> Vec<PathBuf> {
    let fifth = |line: &[u8]| line.split(|&byte| byte == b' ').nth(4).map(unescaped);
    table.split(|&byte| byte == b'\n').filter_map(fifth).collect()
}

/// Blank, tab, newline and backslash stand as `\` and three octal digits.
fn unescaped(field: &[u8]) -> PathBuf {
    let (mut out, mut rest) = (Vec::with_capacity(field.len()), field);
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => out.push(*first),
        }
    }
    OsString::from_vec(out).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_point_counts() {
        let table = b"22 1 8:1 / / rw - ext4 /dev/sda rw\n\
            30 22 0:5 / /var/log rw shared:1 - ext4 /dev/sdb rw\n\
            31 30 0:6 /a /var/log/xen\\040logs\\134 rw - ext4 /dev/sdc rw\n";
        let mut mounts = Mounts::new().unwrap();
        mounts.points = points(table);
        let point = |path: &str| {
            let above = mounts.points.iter().filter(|point| Path::new(path).starts_with(point));
            above.max_by_key(|point| point.as_os_str().len()).unwrap().clone()
        };
        assert_eq!(point("/var/log/xen/a.log"), Path::new("/var/log"));
        assert_eq!(point("/var/logs/a.log"), Path::new("/"));
        assert_eq!(point("/var/log/xen logs\\/a.log"), Path::new("/var/log/xen logs\\"));
    }

    #[test]
    fn the_kernels_table_is_understood() {
        let mut mounts = Mounts::new().unwrap();
        assert_eq!(mounts.of(Path::new("/proc/self")), Path::new("/proc"));
    }
}
