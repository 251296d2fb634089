//! Bytes on their way between two descriptors, neither of which is waited for.

use std::collections::VecDeque;
use std::os::fd::AsFd;

use rustix::io::{Errno, write};

/// How much may be under way. Who sends more has to wait until there is room again.
const ROOM: usize = 64 << 10;

/// Bytes on their way, in order.
#[derive(Debug, Default)]
pub struct Queue {
    bytes: VecDeque<u8>,
}

impl Queue {
    /// Puts bytes at the end. What was asked for once is taken even without [`Queue::room`].
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// For how many bytes more there is room.
    pub fn room(&self) -> usize {
        ROOM.saturating_sub(self.bytes.len())
    }

    /// Whether none are under way.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Writes what the descriptor takes, at most so much at once.
    ///
    /// # Errors
    /// The system's, but for those that mean "not now".
    pub fn send(&mut self, to: impl AsFd, at_once: usize) -> Result<(), Errno> {
        while !self.bytes.is_empty() {
            let front = self.bytes.as_slices().0;
            match write(&to, &front[..front.len().min(at_once)]) {
                Ok(0) => return Err(Errno::IO),
                Ok(written) => drop(self.bytes.drain(..written)),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return Ok(()),
                Err(errno) => return Err(errno),
            }
            // One that waits when it is full is asked again before more is written.
            if at_once != usize::MAX {
                return Ok(());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_pipe_takes_the_rest_later() {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
        let bytes: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
        let mut queue = Queue::default();
        queue.push(&bytes);
        assert_eq!(queue.room(), 0);
        let (mut seen, mut buffer) = (Vec::<u8>::new(), vec![0; 10_000]);
        while seen.len() < bytes.len() {
            queue.send(&writer, usize::MAX).unwrap();
            let read = rustix::io::read(&reader, &mut buffer).unwrap();
            seen.extend(&buffer[..read]);
        }
        assert!(seen == bytes && queue.is_empty());
        drop(reader);
        queue.push(b"x");
        assert_eq!(queue.send(&writer, usize::MAX), Err(Errno::PIPE));
    }
}
