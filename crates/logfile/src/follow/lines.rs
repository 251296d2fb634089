//! Where the last lines of a log begin.

use rustix::io::{Errno, pread};

use super::walk::{Found, Walk};
use crate::error::Error;

/// How much is read at a time.
const BLOCK: usize = 64 * 1024;

/// Finds the file and the position in it where the last `lines` lines begin. A last line without a newline is a line
/// too, and one that is split between two files is one line. Fewer lines than asked for: the beginning of the oldest
/// file. None when there is no file.
pub(super) fn last(walk: &mut Walk<'_>, lines: u64) -> Result<Option<(Found, u64)>, Error> {
    let Some(mut found) = walk.next()? else { return Ok(None) };
    if lines == 0 {
        let size = found.size;
        return Ok(Some((found, size)));
    }
    let mut left = lines;
    // The newline that ends the log does not begin a line.
    let mut at_end = true;
    let mut newer = None;
    let mut buffer = vec![0; BLOCK];
    loop {
        let mut end = found.size;
        while end > 0 {
            let start = end.saturating_sub(BLOCK as u64);
            // Not more than a block.
            let block = &mut buffer[..(end - start) as usize];
            let len = match pread(&found.fd, &mut *block, start) {
                Ok(len) => len,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(Error::io("read", walk.path(), errno)),
            };
            for (index, byte) in block[..len].iter().enumerate().rev() {
                if *byte == b'\n' && !at_end {
                    left -= 1;
                    if left == 0 {
                        let position = start + index as u64 + 1;
                        let next = newer.filter(|_| position == found.size);
                        return Ok(Some(next.map_or((found, position), |next| (next, 0))));
                    }
                }
                at_end = false;
            }
            end = start;
        }
        match walk.next()? {
            Some(older) => newer = Some(std::mem::replace(&mut found, older)),
            None => return Ok(Some((found, 0))),
        }
    }
}
