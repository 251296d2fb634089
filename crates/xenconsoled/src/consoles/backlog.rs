//! Output of a console that waits for a reader of its pty.
//!
//! It lives in a memfd that is kept when the daemon is killed, so that the next one goes on with it. Up to its limit it is a ring.
//! When that is full, the oldest half of it stays and the rest becomes a ring of its own, in which the newest bytes take the place
//! of the oldest: what is between the two is dropped and counted. Whoever reads on from the first to the second finds a line there
//! that says how much; then it is one ring again.
//!
//! | offset | what |
//! |---|---|
//! | 0 | magic with the version, limit, which of the two records counts: words of 8 bytes |
//! | 64, 192 | two records, each a [`State`]: words of 8 bytes |
//! | 4096 | bytes: as many as the limit says, most of the time a hole |
//!
//! While something waits the memory is mapped, and nothing of this is a system call. A daemon that is killed has done all that comes
//! before the instruction at which it ends, and nothing of what comes after, so whoever goes on finds stores in the order in which
//! they are made here. All that changes together is one record: it is written where the other one is not, and one store makes it the
//! one that counts. Bytes are written only to where the record says that there are none, and the record follows. So the memory says
//! at any moment what is in it.
//!
//! What is stored to has its memory before: what is not to be had is an error and no SIGBUS. A console has two mappings at most, this
//! one and its ring; a process may have 65 530 (`vm.max_map_count`).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{Ordering, compiler_fence};

use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, memfd_create};
use xen_sys::shared::Shared;

use super::limit;
use crate::crash;

const MAGIC: u64 = u64::from_le_bytes(*b"xlwait2\n");
/// Where the header says which record counts.
const CURRENT: usize = 16;
/// Where the records are.
const RECORDS: [usize; 2] = [64, 192];
const BYTES: u64 = 4096;
/// Words of a record.
const WORDS: usize = 9;
/// Memory is taken for so many bytes at once.
const STEP: u64 = 64 << 10;

/// The bytes that wait.
#[derive(Debug)]
pub struct Backlog {
    file: File,
    limit: u64,
    state: State,
    /// Which record counts.
    current: usize,
    /// All of the file, while it is needed.
    mapped: Option<Shared>,
    /// So many bytes of the ring have memory for sure.
    provided: u64,
}

/// What is where. Positions are in the ring of all bytes; the second ring, where there is one, is the part of it that begins at
/// `region`, behind the room of the oldest half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    /// Position of the oldest byte.
    start: u64,
    /// Bytes from there on without a gap.
    head: u64,
    /// Bytes that are dropped behind these; 0: there is no second ring.
    gap: u64,
    /// Where the second ring begins.
    region: u64,
    /// Its oldest byte, counted from `region`.
    first: u64,
    /// Bytes in it.
    tail: u64,
    /// Bytes that were dropped just before `start`, until the line that says so is through.
    untold: u64,
    /// Bytes of that line that are through.
    told: u64,
    /// Bytes that were ever dropped.
    dropped: u64,
}

impl Backlog {
    /// An empty one, for so many bytes; at least as many as the least limit. Costs a descriptor and a page of memory.
    pub fn new(limit: u64) -> io::Result<Backlog> {
        Backlog::begin(File::from(memfd_create("xenlog-backlog", MemfdFlags::CLOEXEC)?), limit)
    }

    /// One that somebody else kept. If it says what cannot be, it is begun anew, and that is said.
    pub fn recover(fd: OwnedFd) -> io::Result<Backlog> {
        let file = File::from(fd);
        let len = file.metadata()?.len();
        let mut header = [0; BYTES as usize];
        if len >= BYTES {
            file.read_exact_at(&mut header, 0)?;
        }
        let word = |at: usize| header[at..].first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
        let (magic, limit, current) = (word(0), word(8), usize::from(word(CURRENT) != 0));
        let state = State::of_words(std::array::from_fn(|n| word(RECORDS[current] + 8 * n)));
        if magic == MAGIC && limit::RANGE.contains(&limit) && len == BYTES + limit && state.can_be(limit) {
            return Ok(Backlog { file, limit, state, current, mapped: None, provided: 0 });
        }
        tracing::warn!("output that waited for a reader of a console is lost: what was kept of it says what cannot be");
        Backlog::begin(file, len.saturating_sub(BYTES))
    }

    fn begin(file: File, limit: u64) -> io::Result<Backlog> {
        let limit = limit.clamp(*limit::RANGE.start(), *limit::RANGE.end());
        file.set_len(0)?;
        file.set_len(BYTES + limit)?;
        // No record yet, and none is needed: all words of an empty one are 0.
        file.write_all_at(&[MAGIC, limit].map(u64::to_ne_bytes).concat(), 0)?;
        crash::point();
        Ok(Backlog { file, limit, state: State::default(), current: 0, mapped: None, provided: 0 })
    }

    /// The memory, to be kept by somebody else too.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Bytes that wait.
    pub fn len(&self) -> u64 {
        self.state.head + self.state.tail
    }

    /// Whether nothing waits, not even a line that says what was dropped.
    pub fn is_empty(&self) -> bool {
        self.state.is_empty()
    }

    /// Bytes that can be pushed before some are dropped.
    pub fn room(&self) -> u64 {
        if self.state.gap == 0 { self.limit - self.state.head } else { self.tail_room() - self.state.tail }
    }

    /// Bytes that were ever dropped.
    pub fn dropped(&self) -> u64 {
        self.state.dropped
    }

    /// Adds output. What is the oldest behind the first half is dropped for it if there is no room.
    ///
    /// # Errors
    /// When there is no memory: then only a beginning of `bytes` is in it, or nothing.
    pub fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        if self.state.gap == 0 {
            let fits = usize::try_from(self.room()).unwrap_or(usize::MAX).min(bytes.len());
            let (fitting, more) = bytes.split_at(fits);
            self.append(fitting)?;
            rest = more;
        }
        // Not more at once than there is room for: what a killed daemon has not pushed, its successor pushes again, so it must
        // not be counted as dropped.
        let most = usize::try_from(self.tail_room()).unwrap_or(usize::MAX);
        rest.chunks(most).try_for_each(|piece| self.replace(piece))
    }

    /// What to give to the reader next: a part of what waits, as much as `buffer` takes or less; 0 bytes when nothing waits. It
    /// stays until [`Backlog::consume`].
    pub fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.join()?;
        if self.state.untold > 0 {
            let line = marker(self.state.untold);
            let rest = &line.as_bytes()[usize::try_from(self.state.told).unwrap_or(line.len())..];
            let len = rest.len().min(buffer.len());
            buffer[..len].copy_from_slice(&rest[..len]);
            return Ok(len);
        }
        let len = usize::try_from(self.state.head).unwrap_or(usize::MAX).min(buffer.len());
        self.read(self.state.start, &mut buffer[..len])?;
        Ok(len)
    }

    /// So many bytes of what [`Backlog::peek`] gave are through. A daemon that is killed before this has them twice on the pty.
    pub fn consume(&mut self, bytes: usize) -> io::Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        let (bytes, mut state) = (bytes as u64, self.state);
        if state.untold > 0 {
            state.told += bytes;
            if state.told >= marker(state.untold).len() as u64 {
                (state.untold, state.told) = (0, 0);
            }
        } else {
            debug_assert!(bytes <= state.head, "{bytes} bytes consumed of {}", state.head);
            let bytes = bytes.min(state.head);
            state.start = (state.start + bytes) % self.limit;
            state.head -= bytes;
        }
        if !state.is_empty() {
            return self.set(state);
        }
        self.set(State { dropped: state.dropped, ..State::default() })?;
        // It is empty either way.
        (self.mapped, self.provided) = (None, 0);
        let _ = fallocate(&self.file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, BYTES, self.limit);
        crash::point();
        Ok(())
    }

    /// Adds bytes that there is room for to the one ring.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.write(self.state.start + self.state.head, bytes)?;
        self.set(State { head: self.state.head + bytes.len() as u64, ..self.state })
    }

    /// Adds bytes to the second ring, in the place of the oldest there. There are not more than it has room for.
    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (room, mut state) = (self.tail_room(), self.state);
        if state.gap == 0 {
            // The one ring is full, so the second one is.
            state.head = self.limit - room;
            (state.region, state.first, state.tail) = ((state.start + state.head) % self.limit, 0, room);
        }
        let len = bytes.len() as u64;
        let over = (state.tail + len).saturating_sub(room);
        state.first = (state.first + over) % room;
        state.tail -= over;
        state.gap += over;
        state.dropped += over;
        // First they are dropped, then they are overwritten.
        if over > 0 {
            self.set(state)?;
        }
        let at = (state.first + state.tail) % room;
        let (before_end, from_start) =
            bytes.split_at(bytes.len().min(usize::try_from(room - at).unwrap_or(usize::MAX)));
        self.write(state.region + at, before_end)?;
        self.write(state.region, from_start)?;
        self.set(State { tail: state.tail + len, ..state })
    }

    /// Makes one ring again when the reader has come to the gap: what goes over the end of the second ring is moved behind that end,
    /// to where the oldest half was.
    fn join(&mut self) -> io::Result<()> {
        let state = self.state;
        if state.head > 0 || state.gap == 0 {
            return Ok(());
        }
        let over = (state.first + state.tail).saturating_sub(self.tail_room());
        let mut moved = vec![0; usize::try_from(over).unwrap_or_default()];
        self.read(state.region, &mut moved)?;
        self.write(state.region + self.tail_room(), &moved)?;
        let start = (state.region + state.first) % self.limit;
        self.set(State { start, head: state.tail, untold: state.gap, dropped: state.dropped, ..State::default() })
    }

    /// Bytes of the second ring.
    fn tail_room(&self) -> u64 {
        tail_room(self.limit)
    }

    fn set(&mut self, state: State) -> io::Result<()> {
        let other = 1 - self.current;
        let memory = self.memory()?;
        for (n, word) in state.words().into_iter().enumerate() {
            memory.store_u64(RECORDS[other] + 8 * n, word);
            crash::point();
        }
        // What was stored before is there when this is.
        memory.store_u64(CURRENT, other as u64);
        // And what follows is not stored before it: the compiler could, and a killed process does what the instructions say.
        compiler_fence(Ordering::SeqCst);
        (self.current, self.state) = (other, state);
        crash::point();
        Ok(())
    }

    fn read(&mut self, position: u64, bytes: &mut [u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let (at, to_end) = self.place(position, bytes.len());
        self.provide(at, bytes.len())?;
        let memory = self.memory()?;
        let (before_end, from_start) = bytes.split_at_mut(to_end);
        memory.read(BYTES as usize + at, before_end);
        memory.read(BYTES as usize, from_start);
        Ok(())
    }

    fn write(&mut self, position: u64, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let (at, to_end) = self.place(position, bytes.len());
        self.provide(at, bytes.len())?;
        let memory = self.memory()?;
        let (before_end, from_start) = bytes.split_at(to_end);
        for (bytes, at) in [(before_end, at), (from_start, 0)] {
            memory.write(BYTES as usize + at, bytes);
            crash::point();
        }
        Ok(())
    }

    /// Where this position is in the ring, and how many of so many bytes are there before its end.
    fn place(&self, position: u64, bytes: usize) -> (usize, usize) {
        // Not more than the limit, which is some MiB.
        let (at, limit) = ((position % self.limit) as usize, self.limit as usize);
        (at, (limit - at).min(bytes))
    }

    fn memory(&mut self) -> io::Result<&Shared> {
        let mapped = match self.mapped.take() {
            Some(mapped) => mapped,
            None => Shared::of_file(&self.file, (BYTES + self.limit) as usize)?,
        };
        Ok(self.mapped.insert(mapped))
    }

    /// Sees that there is memory for so many bytes from this place on, and for all before it: a ring fills from its beginning.
    fn provide(&mut self, at: usize, bytes: usize) -> io::Result<()> {
        let end = self.limit.min((at + bytes) as u64);
        if end > self.provided {
            let end = self.limit.min(end.next_multiple_of(STEP));
            let (from, bytes) = (BYTES + self.provided, end - self.provided);
            // A signal ends it on kernels before 6.9, and undoes what it did (`shmem_fallocate`, mm/shmem.c).
            rustix::io::retry_on_intr(|| fallocate(&self.file, FallocateFlags::empty(), from, bytes))?;
            self.provided = end;
        }
        Ok(())
    }
}

impl State {
    fn words(self) -> [u64; WORDS] {
        let State { start, head, gap, region, first, tail, untold, told, dropped } = self;
        [start, head, gap, region, first, tail, untold, told, dropped]
    }

    fn of_words(words: [u64; WORDS]) -> State {
        let [start, head, gap, region, first, tail, untold, told, dropped] = words;
        State { start, head, gap, region, first, tail, untold, told, dropped }
    }

    fn is_empty(&self) -> bool {
        self.head == 0 && self.gap == 0 && self.untold == 0
    }

    /// Whether a backlog of this limit can be so.
    fn can_be(&self, limit: u64) -> bool {
        let State { start, head, gap, region, first, tail, untold, told, dropped } = *self;
        let room = tail_room(limit);
        let has_place = if gap == 0 {
            head <= limit && [region, first, tail] == [0; 3]
        } else {
            // The oldest half ends where the second ring begins.
            head <= limit - room
                && region < limit
                && first < room
                && tail <= room
                && (start + head) % limit == region
                && (head > 0 || untold == 0)
        };
        let is_told = if untold == 0 { told == 0 } else { told < marker(untold).len() as u64 };
        start < limit && has_place && is_told && gap.checked_add(untold).is_some_and(|sum| sum <= dropped)
    }
}

/// Of the bytes of a full ring, those that are not the oldest half.
fn tail_room(limit: u64) -> u64 {
    limit - limit / 2
}

/// The line in the place of what was dropped. The terminal may stand in the middle of one, and needs the carriage returns.
fn marker(bytes: u64) -> String {
    format!("\r\n[xenlog: {bytes} bytes dropped: nobody read this console]\r\n")
}

#[cfg(test)]
#[path = "backlog_tests.rs"]
mod tests;
