//! What must be known after the daemon was killed: a small file in the run directory, so in memory (tmpfs), written in place.
//!
//! A killed process does not tear a small pwrite(2): each record is one, and is either there or not. The host's own crash is no
//! matter: the pipes die with it.
//!
//! | offset | what |
//! |---|---|
//! | 0 | magic, version |
//! | 4096 + 64 × n | account n: which stream, bytes dropped, bytes of these that a marker tells of, first and last time |
//! | 8 MiB + 8 MiB × k | hand k: its [`HandRecord`] |
//! | 4096 behind that | what hand k is writing, if that is not what stands in its pipe |

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::crash;
use crate::logs::StreamId;

/// The file's name in the run directory.
pub const NAME: &str = "xenlog.book";

const MAGIC: &[u8; 8] = b"xenlog1\n";
const ACCOUNTS: u64 = 4096;
const ACCOUNT: u64 = 64;
const HANDS: u64 = 8 << 20;
/// Room of one hand: most of it is never written, and a hole costs nothing.
const HAND: u64 = 8 << 20;
const TEXT: u64 = 4096;
/// Accounts that there is room for.
pub const MOST_ACCOUNTS: u32 = ((HANDS - ACCOUNTS) / ACCOUNT) as u32;

/// The file.
#[derive(Debug)]
pub struct Book {
    file: File,
    /// Whether it has its first line: without room for that it is a book that the next daemon does not read.
    is_begun: AtomicBool,
    /// Whether it was said that it cannot be written.
    is_said: AtomicBool,
}

/// How far a hand has come with what it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// What is in its pipe goes into the file as it is.
    #[default]
    Moving,
    /// A text goes into the file: it begins at logical offset `offset` of the log and has `len` bytes; then `consume` bytes of
    /// the pipe are done with, and drops up to `marked` bytes are told.
    Writing {
        /// Logical offset of the text's first byte.
        offset: u64,
        /// Its length.
        len: u64,
        /// Bytes at the front of the pipe that it stands for.
        consume: u64,
        /// If it is a marker: the drops of this log that are told with it, in bytes since the log was opened. Else 0.
        marked: u64,
    },
    /// The text is in the file; what is left in the pipe is done with.
    Consuming,
    /// What is in its pipe is thrown away. If the log's account still says `dropped` bytes, it does not count them yet.
    Dropping {
        /// What the log's account said before.
        dropped: u64,
        /// How many bytes it is to count for what is in the pipe; 0: as many as there are.
        bytes: u64,
    },
}

/// What a hand is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandRecord {
    /// Whose bytes.
    pub stream: StreamId,
    /// How far.
    pub phase: Phase,
}

/// Drops of one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Which.
    pub stream: StreamId,
    /// Bytes dropped since the log was opened.
    pub dropped: u64,
    /// Bytes of these that a marker in the log tells of.
    pub marked: u64,
    /// When the first of the rest was dropped.
    pub from: SystemTime,
    /// When the last was.
    pub to: SystemTime,
}

impl Account {
    /// Counts bytes that are dropped now.
    pub fn count(&mut self, bytes: u64, now: SystemTime) {
        if self.dropped == self.marked {
            self.from = now;
        }
        (self.dropped, self.to) = (self.dropped.saturating_add(bytes), now);
    }
}

impl Book {
    /// Opens the book of a run directory; makes a new one where there is none, or one that is not ours.
    pub fn open(run: &Path) -> io::Result<Book> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let nofollow = rustix::fs::OFlags::NOFOLLOW.bits() | rustix::fs::OFlags::NONBLOCK.bits();
        options.custom_flags(i32::from_ne_bytes(nofollow.to_ne_bytes()));
        let file = options.open(run.join(NAME))?;
        let mut magic = [0; 8];
        let read = file.read_at(&mut magic, 0)?;
        let is_ours = read == magic.len() && &magic == MAGIC;
        if !is_ours {
            if read > 0 {
                tracing::warn!("{}: not a book of this version: begun anew", run.join(NAME).display());
            }
            file.set_len(0)?;
        }
        let book = Book { file, is_begun: AtomicBool::new(is_ours), is_said: AtomicBool::new(false) };
        book.note(book.begin());
        Ok(book)
    }

    fn begin(&self) -> io::Result<()> {
        if !self.is_begun.load(Ordering::Relaxed) {
            self.file.write_all_at(MAGIC, 0)?;
            self.is_begun.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// What came of writing into it is said, once until it changes. The logs go on either way.
    pub fn note(&self, written: io::Result<()>) {
        match written {
            Ok(()) => self.is_said.store(false, Ordering::Relaxed),
            Err(why) if !self.is_said.swap(true, Ordering::Relaxed) => tracing::warn!(
                "{NAME}: cannot keep account in the run directory: {why}; if the daemon is killed now, bytes may be lost"
            ),
            Err(_) => {}
        }
    }

    /// What a hand is at; `None` where it was never used.
    pub fn hand(&self, number: u32) -> io::Result<Option<HandRecord>> {
        let words = self.words(hand_at(number))?;
        let Some(stream) = words[0].checked_sub(1) else { return Ok(None) };
        let phase = match words[1] {
            0 => Phase::Moving,
            1 => Phase::Writing { offset: words[2], len: words[3], consume: words[4], marked: words[5] },
            3 => Phase::Dropping { dropped: words[2], bytes: words[3] },
            _ => Phase::Consuming,
        };
        Ok(Some(HandRecord { stream: StreamId(stream), phase }))
    }

    /// Notes what a hand is at.
    pub fn set_hand(&self, number: u32, record: HandRecord) -> io::Result<()> {
        let HandRecord { stream, phase } = record;
        let (phase, rest) = match phase {
            Phase::Moving => (0, [0; 4]),
            Phase::Writing { offset, len, consume, marked } => (1, [offset, len, consume, marked]),
            Phase::Consuming => (2, [0; 4]),
            Phase::Dropping { dropped, bytes } => (3, [dropped, bytes, 0, 0]),
        };
        self.set_words(hand_at(number), [stream.0 + 1, phase, rest[0], rest[1], rest[2], rest[3], 0, 0])
    }

    /// What a hand is writing. The record is set after it.
    pub fn set_text(&self, number: u32, text: &[u8]) -> io::Result<()> {
        self.begin()?;
        self.file.write_all_at(text, hand_at(number) + TEXT).inspect(|()| crash::point())
    }

    /// Reads that back.
    pub fn text(&self, number: u32, len: u64) -> io::Result<Vec<u8>> {
        if len > HAND - TEXT {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut text = vec![0; usize::try_from(len).unwrap_or_default()];
        self.file.read_exact_at(&mut text, hand_at(number) + TEXT)?;
        Ok(text)
    }

    /// The drops of one log.
    pub fn account(&self, number: u32) -> io::Result<Option<Account>> {
        let words = self.words(account_at(number))?;
        let Some(stream) = words[0].checked_sub(1) else { return Ok(None) };
        let time = |micros| UNIX_EPOCH.checked_add(Duration::from_micros(micros)).unwrap_or(UNIX_EPOCH);
        let (from, to) = (time(words[3]), time(words[4]));
        Ok(Some(Account { stream: StreamId(stream), dropped: words[1], marked: words[2], from, to }))
    }

    /// Notes the drops of one log.
    pub fn set_account(&self, number: u32, account: &Account) -> io::Result<()> {
        let micros = |time: SystemTime| {
            let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
        };
        let Account { stream, dropped, marked, from, to } = *account;
        self.set_words(account_at(number), [stream.0 + 1, dropped, marked, micros(from), micros(to), 0, 0, 0])
    }

    /// Counts what the last daemon was killed over: `bytes` that were dropped when the account of this log said `dropped`. Once.
    pub fn count_dropped(&self, number: u32, stream: StreamId, dropped: u64, bytes: u64) -> io::Result<()> {
        let Some(mut account) = self.account(number)?.filter(|account| account.stream == stream) else { return Ok(()) };
        if account.dropped != dropped || bytes == 0 {
            return Ok(());
        }
        account.count(bytes, SystemTime::now());
        self.set_account(number, &account)
    }

    fn words(&self, at: u64) -> io::Result<[u64; 8]> {
        let mut bytes = [0; 64];
        let mut read = 0;
        // What is behind the end of the file was never written.
        while read < bytes.len() {
            match self.file.read_at(&mut bytes[read..], at + read as u64)? {
                0 => break,
                more => read += more,
            }
        }
        let mut words = [0; 8];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().unwrap_or_default());
        }
        Ok(words)
    }

    fn set_words(&self, at: u64, words: [u64; 8]) -> io::Result<()> {
        let mut bytes = [0; 64];
        for (bytes, word) in bytes.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        self.begin()?;
        self.file.write_all_at(&bytes, at).inspect(|()| crash::point())
    }
}

fn hand_at(number: u32) -> u64 {
    HANDS + HAND * u64::from(number)
}

fn account_at(number: u32) -> u64 {
    ACCOUNTS + ACCOUNT * u64::from(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_noted_is_read_back_by_the_next_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let book = Book::open(dir.path()).unwrap();
        assert_eq!((book.hand(3).unwrap(), book.account(9).unwrap()), (None, None));
        let phase = Phase::Writing { offset: 1 << 40, len: 5, consume: 6, marked: 7 };
        let hand = HandRecord { stream: StreamId(0), phase };
        let from = UNIX_EPOCH + Duration::from_secs(5);
        let account = Account { stream: StreamId(8), dropped: 10, marked: 3, from, to: from };
        book.set_text(3, b"hello").unwrap();
        book.set_hand(3, hand).unwrap();
        book.set_account(9, &account).unwrap();
        drop(book);
        let book = Book::open(dir.path()).unwrap();
        assert_eq!(book.hand(3).unwrap(), Some(hand));
        assert_eq!(book.text(3, 5).unwrap(), b"hello");
        assert_eq!(book.account(9).unwrap(), Some(account));
        assert_eq!((book.hand(2).unwrap(), book.account(8).unwrap()), (None, None));
    }

    #[test]
    fn a_book_that_is_not_ours_is_begun_anew_and_a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(NAME), vec![b'x'; 100_000]).unwrap();
        let book = Book::open(dir.path()).unwrap();
        assert_eq!(book.account(0).unwrap(), None);
        std::fs::remove_file(dir.path().join(NAME)).unwrap();
        std::os::unix::fs::symlink("/dev/null", dir.path().join(NAME)).unwrap();
        assert!(Book::open(dir.path()).is_err());
    }

    proptest! {
        #![proptest_config(crate::same_every_time())]

        #[test]
        fn any_record_is_read_back(number in 0u32..2000, words: [u64; 6], kind in 0u8..4, micros in 0u64..1 << 52) {
            let dir = tempfile::tempdir().unwrap();
            let book = Book::open(dir.path()).unwrap();
            let [stream, offset, len, consume, marked, dropped] = words;
            let stream = StreamId(stream >> 1);
            let phase = match kind {
                0 => Phase::Moving,
                1 => Phase::Writing { offset, len, consume, marked },
                2 => Phase::Consuming,
                _ => Phase::Dropping { dropped, bytes: len },
            };
            let hand = HandRecord { stream, phase };
            let from = UNIX_EPOCH + Duration::from_micros(micros);
            let account = Account { stream, dropped, marked, from, to: from + Duration::from_micros(1) };
            book.set_hand(number, hand).unwrap();
            book.set_account(number, &account).unwrap();
            prop_assert_eq!((book.hand(number).unwrap(), book.account(number).unwrap()), (Some(hand), Some(account)));
            prop_assert_eq!((book.hand(number + 1).unwrap(), book.account(number + 1).unwrap()), (None, None));
        }

        /// What was cut off was never written; what is there is something, whatever it is.
        #[test]
        fn any_bytes_are_a_book(bytes: [u8; 64], cut in 0usize..65, number in 0u32..3) {
            let dir = tempfile::tempdir().unwrap();
            drop(Book::open(dir.path()).unwrap());
            for at in [account_at(number), hand_at(number)] {
                let file = File::options().write(true).open(dir.path().join(NAME)).unwrap();
                file.write_all_at(&bytes[..cut], at).unwrap();
                let book = Book::open(dir.path()).unwrap();
                if let Some(HandRecord { phase: Phase::Writing { len, .. }, .. }) = book.hand(number).unwrap() {
                    // Behind the end there is no text.
                    prop_assert!(len == 0 || book.text(number, len).is_err());
                }
                if let Some(mut account) = book.account(number).unwrap() {
                    let (stream, dropped) = (account.stream, account.dropped);
                    book.count_dropped(number, stream, dropped, u64::MAX).unwrap();
                    account.count(1, SystemTime::now());
                }
            }
        }
    }
}
