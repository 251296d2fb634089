//! A backlog beside a plain model of it; and killed at each step.

use std::collections::VecDeque;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::model::crash::{self as kill, survive};

/// What a backlog promises, byte by byte.
#[derive(Debug, Default)]
struct Plain {
    limit: usize,
    line: VecDeque<u8>,
    head: VecDeque<u8>,
    gap: u64,
    tail: VecDeque<u8>,
    dropped: u64,
}

impl Plain {
    fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.gap == 0 && self.head.len() < self.limit {
                self.head.push_back(*byte);
                continue;
            }
            if self.gap == 0 {
                self.tail = self.head.split_off(self.limit / 2);
            }
            self.tail.pop_front();
            self.tail.push_back(*byte);
            self.gap += 1;
            self.dropped += 1;
        }
    }

    /// The next bytes, up to `most`.
    fn pop(&mut self, most: usize) -> Vec<u8> {
        if self.head.is_empty() && self.gap > 0 {
            let text = format!("\r\n[xenlog: {} bytes dropped: nobody read this console]\r\n", self.gap);
            self.line = text.into_bytes().into();
            self.head = std::mem::take(&mut self.tail);
            self.gap = 0;
        }
        let next = if self.line.is_empty() { &mut self.head } else { &mut self.line };
        next.drain(..most.min(next.len())).collect()
    }

    fn is_empty(&self) -> bool {
        self.line.is_empty() && self.head.is_empty() && self.gap == 0
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Push(usize),
    /// How many bytes are asked for, and how many of those that came are through.
    Pop(usize, usize),
    PopAll,
    Recover,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0usize..2049).prop_map(Step::Push),
        1 => (0usize..20_000).prop_map(Step::Push),
        4 => (1usize..1500, 0usize..1500).prop_map(|(asked, through)| Step::Pop(asked, through)),
        1 => Just(Step::PopAll),
        1 => Just(Step::Recover),
    ]
}

fn recovered(backlog: Backlog) -> Backlog {
    let kept = backlog.fd().try_clone_to_owned().unwrap();
    drop(backlog);
    Backlog::recover(kept).unwrap()
}

/// Bytes of output: each different from those near it, and none that a line about drops has.
fn output(from: u64, len: usize) -> Vec<u8> {
    (from..from + len as u64)
        .map(|at| 0x80 | u8::try_from(at.wrapping_mul(0x9e37_79b9) >> 13 & 0x7f).unwrap())
        .collect()
}

fn pop(backlog: &mut Backlog, asked: usize, through: usize) -> Vec<u8> {
    let mut buffer = vec![0; asked];
    let there = backlog.peek(&mut buffer).unwrap();
    buffer.truncate(there.min(through));
    backlog.consume(buffer.len()).unwrap();
    buffer
}

proptest! {
    #![proptest_config(crate::same_every_time())]

    #[test]
    fn it_is_as_the_plain_model_says(limit in 4096u64..9000, steps in vec(step(), 1..120)) {
        let mut backlog = Backlog::new(limit).unwrap();
        let mut plain = Plain { limit: usize::try_from(limit).unwrap(), ..Plain::default() };
        let mut written = 0;
        for step in steps {
            match step {
                Step::Push(len) => {
                    let bytes = output(written, len);
                    written += len as u64;
                    backlog.push(&bytes).unwrap();
                    plain.push(&bytes);
                }
                Step::Pop(asked, through) => {
                    let bytes = pop(&mut backlog, asked, through);
                    prop_assert_eq!(bytes, plain.pop(asked.min(through)));
                }
                Step::PopAll => while !plain.is_empty() {
                    let bytes = pop(&mut backlog, 4096, 4096);
                    prop_assert!(!bytes.is_empty());
                    prop_assert_eq!(bytes, plain.pop(4096));
                },
                Step::Recover => backlog = recovered(backlog),
            }
            prop_assert_eq!(backlog.is_empty(), plain.is_empty());
            let room = if plain.gap == 0 { plain.limit - plain.head.len() } else { 0 };
            let waiting = plain.head.len() + plain.tail.len();
            let counted = (waiting as u64, room as u64, plain.dropped);
            prop_assert_eq!((backlog.len(), backlog.room(), backlog.dropped()), counted);
        }
    }

    #[test]
    fn killed_at_any_step_it_loses_nothing_and_makes_nothing_up(
        limit in 4096u64..5000,
        steps in vec((step(), proptest::option::of(0u32..50)), 1..60),
    ) {
        let mut scene = Scene::new(limit);
        for (step, kill_at) in steps {
            scene.step(step, kill_at);
        }
        scene.step(Step::PopAll, None);
        prop_assert!(scene.backlog.as_ref().unwrap().is_empty());
    }
}

/// A reader of everything that comes out: it knows for each byte whether it is the one that has to come.
#[derive(Clone, Debug, Default)]
struct Reader {
    /// Position of the next byte of output.
    at: u64,
    line: Vec<u8>,
    missing: u64,
}

impl Reader {
    fn read(&mut self, bytes: &[u8]) -> Result<(), String> {
        for byte in bytes {
            if byte.is_ascii() {
                self.line.push(*byte);
                let text = String::from_utf8_lossy(&self.line);
                let count = text
                    .strip_prefix("\r\n[xenlog: ")
                    .and_then(|text| text.strip_suffix(" bytes dropped: nobody read this console]\r\n"));
                if let Some(count) = count {
                    let count: u64 = count.parse().map_err(|why| format!("{text:?}: {why}"))?;
                    (self.at, self.missing) = (self.at + count, self.missing + count);
                    self.line.clear();
                }
            } else if !self.line.is_empty() || output(self.at, 1) != [*byte] {
                return Err(format!("at {}: {byte:#x} behind {:?}", self.at, String::from_utf8_lossy(&self.line)));
            } else {
                self.at += 1;
            }
        }
        Ok(())
    }

    /// Reads all of a copy; then each byte that was written is there or counted.
    fn finds_all_in(&self, backlog: &Backlog, written: std::ops::RangeInclusive<u64>) -> Result<u64, String> {
        let mut copy = copied(backlog);
        let mut reader = self.clone();
        while !copy.is_empty() {
            reader.read(&pop(&mut copy, 4096, 4096))?;
        }
        if !reader.line.is_empty() || !written.contains(&reader.at) || reader.missing != copy.dropped() {
            return Err(format!("{reader:?}, written {written:?}, dropped {}", copy.dropped()));
        }
        Ok(reader.at)
    }
}

/// The same memory, once more.
fn copied(backlog: &Backlog) -> Backlog {
    let mut bytes = vec![0; usize::try_from(backlog.file.metadata().unwrap().len()).unwrap()];
    backlog.file.read_exact_at(&mut bytes, 0).unwrap();
    let copy = File::from(memfd_create("copy", MemfdFlags::CLOEXEC).unwrap());
    copy.write_all_at(&bytes, 0).unwrap();
    Backlog::recover(copy.into()).unwrap()
}

/// A backlog whose daemon is killed now and then, with who writes and who reads.
struct Scene {
    backlog: Option<Backlog>,
    written: u64,
    reader: Reader,
}

impl Scene {
    fn new(limit: u64) -> Scene {
        Scene { backlog: Some(Backlog::new(limit).unwrap()), written: 0, reader: Reader::default() }
    }

    /// Does something, and is killed at a step of it. Says whether it was.
    fn step(&mut self, step: Step, kill_at: Option<u32>) -> bool {
        let mut backlog = self.backlog.take().unwrap();
        let kept = backlog.fd().try_clone_to_owned().unwrap();
        // The reader before the last chunk that it got.
        let mut before = self.reader.clone();
        let (mut pushed, written) = (0, self.written);
        let mut give = |backlog: &mut Backlog, asked, through| {
            let mut buffer = vec![0; asked];
            let there = backlog.peek(&mut buffer).unwrap().min(through);
            before = self.reader.clone();
            self.reader.read(&buffer[..there]).unwrap();
            backlog.consume(there).unwrap();
        };
        kill::set(kill_at);
        let done = survive(|| match step {
            Step::Push(len) => {
                pushed = len as u64;
                backlog.push(&output(written, len)).unwrap();
            }
            Step::Pop(asked, through) => give(&mut backlog, asked, through),
            Step::PopAll => {
                while !backlog.is_empty() {
                    give(&mut backlog, 512, 512);
                }
            }
            Step::Recover => {}
        });
        kill::set(None);
        drop(backlog);
        let recovered = Backlog::recover(kept).unwrap();
        if done.is_ok() {
            self.written += pushed;
            self.reader.finds_all_in(&recovered, self.written..=self.written).unwrap();
        } else {
            // What was popped last may come again. What was pushed is there as far as it got.
            let all = written..=written + pushed;
            let found =
                [self.reader.clone(), before].map(|reader| (reader.finds_all_in(&recovered, all.clone()), reader));
            let Some((Ok(written), reader)) = found.iter().find(|(found, _)| found.is_ok()) else {
                panic!("{found:?}")
            };
            (self.written, self.reader) = (*written, reader.clone());
        }
        self.backlog = Some(recovered);
        done.is_err()
    }
}

/// Each step of each kind of change, one by one.
#[test]
fn there_is_no_step_at_which_a_kill_loses_something() {
    let fill = [Step::Push(3000), Step::Pop(1000, 1000), Step::Push(2000), Step::Push(1500)];
    let scripts: [&[Step]; 5] = [
        &[Step::Push(100), Step::Pop(50, 50), Step::PopAll],
        // The second ring begins, goes round, and becomes the first one again; the line about it in pieces; once more.
        &[fill[0], fill[1], fill[2], fill[3], Step::Push(700), Step::Push(1500), Step::PopAll],
        &[fill[0], fill[1], fill[2], fill[3], Step::Pop(4096, 4096), Step::Pop(10, 10), Step::Push(4096), Step::PopAll],
        &[fill[0], fill[1], fill[2], fill[3], Step::Pop(4096, 4096), Step::Push(50), Step::Pop(9, 9), Step::PopAll],
        &[Step::Push(20_000), Step::PopAll],
    ];
    let mut kills = 0;
    for script in scripts {
        for (at, _) in script.iter().enumerate() {
            for kill_at in 0.. {
                let mut scene = Scene::new(4097);
                script[..at].iter().for_each(|step| assert!(!scene.step(*step, None)));
                let was_killed = scene.step(script[at], Some(kill_at));
                script[at..].iter().for_each(|step| assert!(!scene.step(*step, None)));
                if !was_killed {
                    break;
                }
                kills += 1;
            }
        }
    }
    assert!(kills > 100, "{kills}");
}

#[test]
fn the_oldest_half_and_the_newest_stay_and_a_line_tells_of_the_rest() {
    let mut backlog = Backlog::new(4096).unwrap();
    let bytes = output(0, 10_000);
    bytes.chunks(1000).for_each(|chunk| backlog.push(chunk).unwrap());
    assert_eq!((backlog.len(), backlog.room(), backlog.dropped()), (4096, 0, 10_000 - 4096));
    let mut all = Vec::new();
    while !backlog.is_empty() {
        all.extend(pop(&mut backlog, 512, 512));
    }
    let line = b"\r\n[xenlog: 5904 bytes dropped: nobody read this console]\r\n";
    assert_eq!(all, [&bytes[..2048], line, &bytes[10_000 - 2048..]].concat());
    assert_eq!((backlog.len(), backlog.room(), backlog.dropped()), (0, 4096, 5904));
}

#[test]
fn an_empty_one_costs_a_page_and_what_is_written_to_has_its_memory() {
    let pages = |backlog: &Backlog| std::os::unix::fs::MetadataExt::blocks(&backlog.file.metadata().unwrap()) / 8;
    let mut backlog = Backlog::new(1 << 20).unwrap();
    assert_eq!(pages(&backlog), 1);
    // Memory that is stored to has to be there: there is no error for what is not, but SIGBUS.
    backlog.push(b"a line").unwrap();
    assert_eq!(pages(&backlog), 1 + STEP / 4096);
    backlog.push(&output(0, 600_000)).unwrap();
    assert!(pages(&backlog) > 600_000 / 4096);
    while !backlog.is_empty() {
        pop(&mut backlog, 65536, 65536);
    }
    assert!(backlog.mapped.is_none());
    assert_eq!((pages(&backlog), recovered(backlog).len()), (1, 0));
}

#[test]
fn what_says_what_cannot_be_is_begun_anew() {
    let backlog = Backlog::new(8192).unwrap();
    let whole = |state: State| {
        let mut backlog = copied(&backlog);
        backlog.set(state).unwrap();
        recovered(backlog)
    };
    let dropped =
        State { start: 8000, head: 100, gap: 7, region: 8100, first: 4095, tail: 4096, dropped: 9, ..State::default() };
    let line = marker(7).len() as u64;
    let told = State { head: 8192, untold: 7, told: line - 1, dropped: 7, ..State::default() };
    for state in [dropped, told] {
        assert_eq!(whole(state).state, state);
    }
    for cannot_be in [
        State { start: 8192, ..State::default() },
        State { head: 8193, ..State::default() },
        State { tail: 1, ..State::default() },
        State { untold: 1, ..State::default() },
        State { told: 1, ..State::default() },
        State { head: 4097, region: 4097 + 8000 - 8192, ..dropped },
        State { region: 8101, ..dropped },
        State { first: 4096, ..dropped },
        State { tail: 4097, ..dropped },
        State { gap: 10, ..dropped },
        State { gap: u64::MAX, untold: u64::MAX, ..dropped },
        State { told: line, ..told },
        State { start: 8100, head: 0, untold: 1, ..dropped },
    ] {
        let mut anew = whole(cannot_be);
        assert_eq!((anew.state, anew.limit), (State::default(), 8192), "{cannot_be:?}");
        anew.push(b"works").unwrap();
        assert_eq!(pop(&mut anew, 10, 10), b"works");
    }
}

#[test]
fn any_file_is_a_backlog_after_recovery() {
    for len in [0, 1, 4095, 4096, 8191, 8192, 5000, 64 << 20] {
        let file = File::from(memfd_create("any", MemfdFlags::CLOEXEC).unwrap());
        file.write_all_at(&vec![0x55; usize::try_from(len).unwrap()], 0).unwrap();
        let mut backlog = Backlog::recover(file.into()).unwrap();
        assert!(backlog.is_empty() && limit::RANGE.contains(&backlog.room()), "{len}");
        backlog.push(b"works").unwrap();
        assert_eq!(pop(&mut recovered(backlog), 10, 10), b"works");
    }
    // One that lost its end, or whose limit was changed.
    let backlog = Backlog::new(8192).unwrap();
    backlog.file.set_len(8192).unwrap();
    assert_eq!(recovered(backlog).room(), 4096);
    let (reader, _writer) = io::pipe().unwrap();
    assert!(Backlog::recover(reader.into()).is_err());
}
