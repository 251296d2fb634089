//! The ledger: after each step, each byte that was ever written to a FIFO is in the pipe, in a hand, in the file in its place, or
//! dropped, counted, and told where it is missing.

use std::collections::BTreeMap;

use super::disk;
use super::run::Run;
use super::tail::Stamping;
use super::world::{Served, World};
use crate::book::Phase;
use crate::chunk::{Chunk, ROOM};
use crate::logs::{Patience, StreamId};

/// What a hand holds, as whoever keeps it sees it.
struct Held {
    phase: Phase,
    bytes: Vec<u8>,
}

impl World {
    /// Reads all files on, and explains what is in them.
    pub(super) fn read_tails(&mut self) -> Result<(), String> {
        for (name, tail) in &mut self.tails {
            tail.read()?;
            let served = self.writes.get(name).and_then(|stream| self.served.get(stream));
            match served.and_then(|served| Some((served.run?, served.stamping))) {
                Some((run, stamping)) => tail.parse(&mut self.toolstack.borrow_mut().runs[run], stamping)?,
                None if tail.is_explained() => {}
                None => return Err(format!("{name:?} grows, and nobody writes it")),
            }
        }
        Ok(())
    }

    /// Looks for every byte.
    pub(super) fn audit(&mut self) -> Result<(), String> {
        self.read_tails()?;
        let Some(life) = &self.life else { return Ok(()) };
        self.keeper.read();
        let mut held = self.held()?;
        let mut more: Vec<(StreamId, usize)> = Vec::new();
        let mut toolstack = self.toolstack.borrow_mut();
        for (number, run) in toolstack.runs.iter_mut().enumerate() {
            let serves = |served: &Served| served.run == Some(number) && !served.closed;
            let mut streams = self.served.iter().filter(|(_, served)| serves(served));
            let stream = streams.next();
            if streams.next().is_some() {
                return Err(format!("FIFO {number} is read twice"));
            }
            let hand = stream.and_then(|(stream, _)| held.remove(stream));
            let stamping = stream.map_or(Stamping::No, |(_, served)| served.stamping);
            let ledger = stream.and_then(|(stream, served)| Some((life.ledger(*stream)?, served.before)));
            let too_much = stream.map_or(0, |(_, served)| served.counted_too);
            let counted = ledger.map(|(ledger, before)| usize::try_from(ledger.dropped).unwrap() + before - too_much);
            let missing = run.missing();
            let in_hand = hand.as_ref().map_or(0, |hand| hand.bytes.len());
            let vanished = missing.len().saturating_sub(in_hand);
            let new = counted.map_or(0, |counted| counted.saturating_sub(run.dropped()));
            let may_be_more = stream.is_some_and(|(_, served)| {
                served.goes_on && vanished > 0 && disk::is_in_trouble(served.request.file.name())
            });
            let too_much = if may_be_more { new.saturating_sub(vanished).min(ROOM) } else { 0 };
            if new > 0 && new == vanished + too_much {
                // It was killed while it gave them up.
                run.add_vanished(vanished);
                run.counted_too += too_much;
                more.extend(stream.map(|(stream, _)| (*stream, too_much)));
            }
            let counted = counted.map(|counted| counted - too_much);
            let missing = run.missing();
            explain(&missing, hand.as_ref(), stamping != Stamping::No)
                .map_err(|why| format!("FIFO {number}, {}: {why}", shown(run)))?;
            if let Some(counted) = counted.filter(|counted| *counted != run.dropped()) {
                return Err(format!("FIFO {number}: {} bytes were dropped, {counted} are counted", run.dropped()));
            }
        }
        drop(toolstack);
        for (stream, too_much) in more {
            if let Some(served) = self.served.get_mut(&stream) {
                served.counted_too += too_much;
            }
        }
        match held.first_key_value() {
            Some((stream, hand)) => Err(format!("{} bytes in hand of {stream:?}, who is nobody", hand.bytes.len())),
            None => Ok(()),
        }
    }

    /// What is in the hands that are kept.
    fn held(&self) -> Result<BTreeMap<StreamId, Held>, String> {
        let (mut held, mut scratch) = (BTreeMap::new(), Chunk::new().unwrap());
        for (number, chunk) in self.keeper.hands() {
            let Some(record) = self.book.hand(number).unwrap() else {
                if chunk.len() > 0 {
                    return Err(format!("{} bytes in hand {number}, of which nothing is known", chunk.len()));
                }
                continue;
            };
            let mut bytes = Vec::new();
            if chunk.len() > 0 {
                chunk.peek(&mut scratch, &mut bytes).unwrap();
            }
            let is_idle = matches!(record.phase, Phase::Moving | Phase::Dropping { .. });
            if (!bytes.is_empty() || !is_idle)
                && held.insert(record.stream, Held { phase: record.phase, bytes }).is_some()
            {
                return Err(format!("{:?} has two hands", record.stream));
            }
        }
        Ok(held)
    }

    /// A stream has closed its file and its pipe: what it has not written is lost.
    pub(super) fn closed(&mut self, stream: StreamId) -> Result<(), String> {
        self.read_tails()?;
        let Some(served) = self.served.get_mut(&stream).filter(|served| !served.closed) else { return Ok(()) };
        served.closed = true;
        let Some(number) = served.run else { return Ok(()) };
        let run = &mut self.toolstack.borrow_mut().runs[number];
        let name = served.request.file.name();
        let (missing, untold) = (run.missing(), run.untold());
        let is_stripped = served.stamping != Stamping::No && missing.iter().all(|byte| *byte == b'\r');
        let lost = if is_stripped { 0 } else { missing.len() };
        if lost + untold > 0 && !disk::is_in_trouble(name) {
            return Err(format!(
                "FIFO {number}: {lost} bytes lost and {untold} untold at the end, on a disk that is well"
            ));
        }
        if run.waiting() > 0
            && !disk::is_in_trouble(name)
            && !self.meanwhile
            && served.patience != Some(Patience::Handover)
        {
            return Err(format!("FIFO {number}: {} bytes were left in it", run.waiting()));
        }
        let ledger = self.life.as_ref().and_then(|life| life.ledger(stream));
        let counted =
            ledger.map(|ledger| usize::try_from(ledger.dropped).unwrap() + served.before - served.counted_too);
        let too_much = counted.map_or(0, |counted| counted.saturating_sub(run.dropped() + lost));
        if served.goes_on && lost > 0 && too_much <= ROOM && disk::is_in_trouble(name) {
            // A file that cannot be opened after a kill does not say how much of what is given up it has.
            served.counted_too += too_much;
            run.counted_too += too_much;
        }
        let counted = counted.map(|counted| counted - if served.counted_too > 0 { too_much } else { 0 });
        if let Some(counted) = counted.filter(|counted| *counted != run.dropped() + lost) {
            return Err(format!(
                "FIFO {number}: {} bytes were dropped and {lost} lost, {counted} are counted",
                run.dropped()
            ));
        }
        served.given_up = (run.read, lost);
        run.lost += lost;
        run.read = run.taken();
        if let Some(tail) = self.tails.get_mut(name) {
            if !tail.is_explained() && !disk::is_in_trouble(name) {
                return Err(format!("FIFO {number}: half a word stands at the end of its log"));
            }
            tail.pass_over();
        }
        self.writes.retain(|_, other| *other != stream);
        Ok(())
    }

    /// Whether nothing is under way.
    pub(super) fn is_settled(&self) -> bool {
        self.unsettled().is_empty()
    }

    /// What is under way.
    pub(super) fn unsettled(&self) -> String {
        let mut why = String::new();
        if !self.store.is_quiet() {
            why += " the store is asked;";
        }
        if !self.life.as_ref().is_some_and(super::life::Life::is_quiet) {
            why += " reports wait;";
        }
        let toolstack = self.toolstack.borrow();
        for (stream, served) in &self.served {
            let Some(number) = served.run else {
                why += &format!(" {stream:?} is not open;");
                continue;
            };
            let run = &toolstack.runs[number];
            if run.waiting() > 0 || run.untold() > 0 {
                why += &format!(" {stream:?}: FIFO {number} {};", shown(run));
            }
        }
        if self.held().map_or(true, |held| !held.is_empty()) {
            why += " bytes in hand;";
        }
        why
    }

    /// When nothing is under way, every entry has its answer, and who was told to be ready is read.
    pub(super) fn check_settled(&self) -> Result<(), String> {
        for (key, entry) in self.store.entries() {
            if !entry.is_answered() {
                return Err(format!("{key} has no answer"));
            }
        }
        for (name, tail) in &self.tails {
            if !tail.is_explained() {
                return Err(format!("{name:?} ends in the middle of something"));
            }
        }
        Ok(())
    }
}

/// What is missing from the file is what is in hand.
fn explain(missing: &[u8], hand: Option<&Held>, stamped: bool) -> Result<(), String> {
    let stripped = |bytes: &[u8]| stamped && bytes.iter().all(|byte| *byte == b'\r');
    let explained = match hand {
        None | Some(Held { phase: Phase::Consuming | Phase::Dropping { .. }, .. }) => {
            missing.is_empty() || stripped(missing)
        }
        Some(Held { phase: Phase::Moving, bytes }) => {
            missing.strip_suffix(&bytes[..]).is_some_and(|rest| rest.is_empty() || stripped(rest))
        }
        Some(Held { phase: Phase::Writing { .. }, bytes }) => {
            let left_out = if stamped { missing.iter().take_while(|byte| **byte == b'\r').count() } else { 0 };
            (0..=left_out).any(|left_out| bytes.ends_with(&missing[left_out..]))
        }
    };
    if explained {
        return Ok(());
    }
    let hand = hand.map(|hand| (hand.phase, hand.bytes.len()));
    let begin = &missing[..missing.len().min(60)];
    Err(format!("{} bytes are in no file, beginning \"{}\"; in hand: {hand:?}", missing.len(), begin.escape_ascii()))
}

fn shown(run: &Run) -> String {
    format!(
        "{} written, {} waiting, {} read, {} dropped, {} untold, {} lost",
        run.sent().len(),
        run.waiting(),
        run.read,
        run.dropped(),
        run.untold(),
        run.lost
    )
}
