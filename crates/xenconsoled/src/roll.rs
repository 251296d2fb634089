//! The roll: which logs are served, kept in a file in the run directory so that the next daemon knows what the pipes are that
//! were kept for it, also where the toolstack has removed the entries meanwhile.
//!
//! A line for each change, appended by one write(2); the last line about a log counts. A line that was cut short counts for
//! nothing. Each daemon begins with a new file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use logproto::{DomId, EntryKey, LogId, LogPath, Owner, PipePath, Request, RootPath, Rules};

use crate::book::MOST_ACCOUNTS;
use crate::crash;
use crate::key::{LogKey, Own};
use crate::logs::{FifoId, Patience, StreamId};

/// The file's name in the run directory.
pub const NAME: &str = "xenlog.roll";
/// No daemon gives out so many numbers: what says that is none of ours, and would leave no number for the next log.
const MOST_IDS: u64 = 1 << 62;

/// One log on the roll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its account in the book.
    pub account: u32,
    /// Whose it is.
    pub key: LogKey,
    /// What was asked for.
    pub request: Request,
    /// Its pipe.
    pub fifo: FifoId,
    /// Whether its client knows that it is served.
    pub served: bool,
    /// Whether its entry is gone, and how long it reads on.
    pub ending: Option<Patience>,
}

/// A roll that has grown to that, and to four times what it began with, is begun anew.
const LONG: u64 = 1 << 20;

/// The roll that is being written.
#[derive(Debug)]
pub struct Roll {
    run: PathBuf,
    /// None: it has to be begun anew, since it could not be written. A line that was cut short would spoil the next.
    file: Option<File>,
    /// Bytes in it, and with how many it began.
    size: u64,
    begun: u64,
    /// See [`Roll::next`].
    next: u64,
}

impl Roll {
    /// Reads what the last daemon left in a run directory. Lines that make no sense are passed over.
    pub fn read(run: &Path, rules: &Rules) -> BTreeMap<StreamId, Line> {
        let mut lines = BTreeMap::new();
        let text = std::fs::read(run.join(NAME)).unwrap_or_else(|why| {
            // A missing roll is an empty one.
            if why.kind() != io::ErrorKind::NotFound {
                tracing::warn!(
                    "{}: {why}: logs of the last daemon are taken up from the store alone",
                    run.join(NAME).display()
                );
            }
            Vec::new()
        });
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        for line in String::from_utf8_lossy(&text[..whole]).lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let id = fields.get(1).and_then(|id| id.parse().ok()).filter(|id| *id < MOST_IDS);
            let Some(id) = id.map(StreamId) else { continue };
            match fields[0] {
                "open" => {
                    let served = lines.get(&id).is_some_and(|line: &Line| line.served);
                    lines.extend(parse(&fields[2..], rules).map(|line| (id, Line { served, ..line })));
                }
                "end" => {
                    if let Some(line) = lines.get_mut(&id) {
                        let endless = fields.get(2) == Some(&"endless");
                        line.ending = Some(if endless { Patience::Endless } else { Patience::Drain });
                    }
                }
                "served" => {
                    if let Some(line) = lines.get_mut(&id) {
                        line.served = true;
                    }
                }
                "gone" => drop(lines.remove(&id)),
                _ => {}
            }
        }
        lines
    }

    /// The first number that no log on the roll had, also of those that are over: what is kept by the name of an old one must not be
    /// taken for a new one's.
    pub fn next(&self) -> StreamId {
        StreamId(self.next)
    }

    fn first_free(run: &Path) -> u64 {
        let text = std::fs::read(run.join(NAME)).unwrap_or_default();
        let ids = text.split(|&byte| byte == b'\n').filter_map(|line| {
            let id = line.split(|&byte| byte == b'\t').nth(1)?;
            std::str::from_utf8(id).ok()?.parse().ok().filter(|id| *id < MOST_IDS)
        });
        ids.max().map_or(0, |id: u64| id + 1)
    }

    /// Begins a new roll with these lines, in place of the old one. Where that cannot be written it is tried again at each change:
    /// see [`Roll::begin_anew`].
    pub fn begin(run: &Path, lines: &BTreeMap<StreamId, Line>) -> (Roll, io::Result<()>) {
        let mut roll = Roll { run: run.to_owned(), file: None, size: 0, begun: 0, next: Roll::first_free(run) };
        let begun = roll.begin_anew(lines);
        (roll, begun)
    }

    /// Begins anew with what stands now.
    pub fn begin_anew(&mut self, lines: &BTreeMap<StreamId, Line>) -> io::Result<()> {
        self.file = None;
        let (path, new) = (self.run.join(NAME), self.run.join(format!("{NAME}.new")));
        // What a daemon left that was killed right here.
        let _ = std::fs::remove_file(&new);
        // The largest number there was.
        let mut text = self.next.checked_sub(1).map_or(String::new(), |last| format!("last\t{last}\n"));
        for (id, line) in lines {
            text += &open_text(*id, line);
            if line.served {
                text += &served_text(*id);
            }
            if let Some(patience) = line.ending {
                text += &end_text(*id, patience);
            }
        }
        let mut file = File::options().append(true).create_new(true).mode(0o600).open(&new)?;
        let written = file.write_all(text.as_bytes());
        crash::point();
        written.and_then(|()| std::fs::rename(&new, &path)).inspect_err(|_| drop(std::fs::remove_file(&new)))?;
        crash::point();
        (self.size, self.begun) = (text.len() as u64, text.len() as u64);
        self.file = Some(file);
        Ok(())
    }

    /// Whether most of it is about logs that are over: it is in memory, so it is time to begin anew.
    pub fn is_long(&self) -> bool {
        self.size > LONG.max(self.begun * 4)
    }

    /// A log is served, or goes on with other bounds.
    pub fn open(&mut self, id: StreamId, line: &Line) -> io::Result<()> {
        self.next = self.next.max(id.0.saturating_add(1));
        self.write(&open_text(id, line))
    }

    /// A log's client knows that it is served.
    pub fn served(&mut self, id: StreamId) -> io::Result<()> {
        self.write(&served_text(id))
    }

    /// A log's entry is gone.
    pub fn end(&mut self, id: StreamId, patience: Patience) -> io::Result<()> {
        self.write(&end_text(id, patience))
    }

    /// A log is over.
    pub fn gone(&mut self, id: StreamId) -> io::Result<()> {
        self.write(&format!("gone\t{}\n", id.0))
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let written = file.write_all(line.as_bytes()).inspect(|()| crash::point());
        self.size += line.len() as u64;
        if written.is_err() {
            self.file = None;
        }
        written
    }
}

fn open_text(id: StreamId, line: &Line) -> String {
    let Line { account, key, request, fifo, .. } = line;
    let (owner, name) = match key {
        LogKey::Entry(EntryKey { owner: Owner::Host, name }) => ("host".to_owned(), name.to_string()),
        LogKey::Entry(EntryKey { owner: Owner::Domain(domid), name }) => (domid.to_string(), name.to_string()),
        LogKey::Own(own) => ("own".to_owned(), own.name()),
    };
    let Request { pipe, file, limit, copies, policy, stamp } = request;
    let (id, FifoId { dev, ino, born }) = (id.0, fifo);
    format!(
        "open\t{id}\t{account}\t{owner}\t{name}\t{pipe}\t{file}\t{limit}\t{copies}\t{policy}\t{stamp}\t{dev}\t{ino}\t{born}\n"
    )
}

fn served_text(id: StreamId) -> String {
    format!("served\t{}\n", id.0)
}

fn end_text(id: StreamId, patience: Patience) -> String {
    let how = if patience == Patience::Endless { "endless" } else { "drain" };
    format!("end\t{}\t{how}\n", id.0)
}

fn parse(fields: &[&str], rules: &Rules) -> Option<Line> {
    let [account, owner, name, pipe, file, limit, copies, policy, stamp, dev, ino, born] = fields else { return None };
    name.parse::<LogId>().ok()?;
    let entry = |owner| LogKey::Entry(EntryKey { owner, name: (*name).into() });
    let key = match *owner {
        "host" => entry(Owner::Host),
        "own" => LogKey::Own(name.parse::<Own>().ok()?),
        domid => entry(Owner::Domain(domid.parse::<DomId>().ok()?)),
    };
    let below = |root: &RootPath, path: &str| -> PathBuf { root.path().join(path) };
    let bytes = |path: PathBuf| path.into_os_string().into_encoded_bytes();
    let request = Request {
        pipe: PipePath::new(&bytes(below(&rules.run, pipe)), &rules.run).ok()?,
        file: LogPath::new(&bytes(below(&rules.log, file)), &rules.log).ok()?,
        limit: limit.parse().ok()?,
        copies: copies.parse().ok()?,
        policy: policy.parse().ok()?,
        stamp: stamp.parse().ok()?,
    };
    let fifo = FifoId { dev: dev.parse().ok()?, ino: ino.parse().ok()?, born: born.parse().ok()? };
    let account = account.parse().ok().filter(|account| *account < MOST_ACCOUNTS)?;
    Some(Line { account, key, request, fifo, served: false, ending: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use logproto::{Config, Policy, Stamp};
    use proptest::prelude::*;

    fn world() -> (tempfile::TempDir, Rules) {
        let dir = tempfile::tempdir().unwrap();
        let Config { defaults, bounds, .. } = Config::default();
        let rules = Rules { run: RootPath::new(dir.path()), log: RootPath::new(Path::new("/l")), defaults, bounds };
        (dir, rules)
    }

    fn line(rules: &Rules, owner: Owner, name: &str) -> Line {
        let pipe = rules.run.path().join("sub dir/p").into_os_string().into_encoded_bytes();
        let request = Request {
            pipe: PipePath::new(&pipe, &rules.run).unwrap(),
            file: LogPath::new("/l/ä b.log".as_bytes(), &rules.log).unwrap(),
            limit: 8192,
            copies: 3,
            policy: Policy::Block,
            stamp: Stamp::Line,
        };
        let fifo = FifoId { dev: 5, ino: u64::MAX, born: 0 };
        Line {
            account: 7,
            key: EntryKey { owner, name: name.into() }.into(),
            request,
            fifo,
            served: false,
            ending: None,
        }
    }

    #[test]
    fn the_next_daemon_reads_what_stands_and_what_is_ending() {
        let (dir, rules) = world();
        let (mut roll, begun) = Roll::begin(dir.path(), &BTreeMap::new());
        begun.unwrap();
        let host = line(&rules, Owner::Host, "a");
        let domain = line(&rules, Owner::Domain(DomId::new(5).unwrap()), "b");
        for (id, line) in [(1, &host), (2, &domain), (3, &host), (4, &host)] {
            roll.open(StreamId(id), line).unwrap();
        }
        roll.gone(StreamId(3)).unwrap();
        roll.end(StreamId(2), Patience::Drain).unwrap();
        roll.served(StreamId(1)).unwrap();
        // With other bounds.
        roll.open(StreamId(1), &host).unwrap();
        roll.end(StreamId(4), Patience::Endless).unwrap();
        let ending = |line: &Line, patience| Line { ending: Some(patience), ..line.clone() };
        let expected = BTreeMap::from([
            (StreamId(1), Line { served: true, ..host.clone() }),
            (StreamId(2), ending(&domain, Patience::Drain)),
            (StreamId(4), ending(&host, Patience::Endless)),
        ]);
        assert_eq!(Roll::read(dir.path(), &rules), expected);
        Roll::begin(dir.path(), &expected).1.unwrap();
        assert_eq!(Roll::read(dir.path(), &rules), expected);
    }

    #[test]
    fn a_line_that_was_cut_short_or_makes_no_sense_counts_for_nothing() {
        let (dir, rules) = world();
        let (mut roll, begun) = Roll::begin(dir.path(), &BTreeMap::new());
        begun.unwrap();
        let good = line(&rules, Owner::Host, "a");
        roll.open(StreamId(1), &good).unwrap();
        roll.write("open\t2\tnonsense\n\u{0}\nend\t9\tdrain\ngone\t1").unwrap();
        assert_eq!(Roll::read(dir.path(), &rules), BTreeMap::from([(StreamId(1), good)]));
    }

    /// What may happen to the roll: which log, and what.
    fn changes() -> impl Strategy<Value = Vec<(u64, u8, u32, u64)>> {
        proptest::collection::vec((0u64..5, 0u8..5, any::<u32>(), any::<u64>()), 0..30)
    }

    proptest! {
        #![proptest_config(crate::same_every_time())]

        /// Cut off anywhere, it says what stood at the last whole line.
        #[test]
        fn what_was_written_is_read_back_up_to_where_it_was_cut(changes in changes(), cut: prop::sample::Index) {
            let (dir, rules) = world();
            let path = dir.path().join(NAME);
            let mut roll = Roll::begin(dir.path(), &BTreeMap::new()).0;
            let mut stands: BTreeMap<StreamId, Line> = BTreeMap::new();
            let mut steps = vec![(0, stands.clone())];
            for (id, what, small, large) in changes {
                let id = StreamId(id);
                match what {
                    0 | 1 => {
                        let mut line = line(&rules, if what == 0 { Owner::Host } else { Owner::Domain(DomId::MAX) }, "a_-9");
                        (line.request.copies, line.request.limit, line.fifo.dev) = (small, large, large);
                        line.account = small % MOST_ACCOUNTS;
                        roll.open(id, &line).unwrap();
                        line.served = stands.get(&id).is_some_and(|line| line.served);
                        stands.insert(id, line);
                    }
                    2 => {
                        roll.served(id).unwrap();
                        stands.entry(id).and_modify(|line| line.served = true);
                    }
                    3 => {
                        let patience = if small % 2 == 0 { Patience::Drain } else { Patience::Endless };
                        roll.end(id, patience).unwrap();
                        stands.entry(id).and_modify(|line| line.ending = Some(patience));
                    }
                    _ => {
                        roll.gone(id).unwrap();
                        stands.remove(&id);
                    }
                }
                steps.push((std::fs::metadata(&path).unwrap().len(), stands.clone()));
            }
            prop_assert_eq!(&Roll::read(dir.path(), &rules), &stands);
            let len = cut.index(usize::try_from(steps[steps.len() - 1].0).unwrap() + 1) as u64;
            File::options().write(true).open(&path).unwrap().set_len(len).unwrap();
            let at_cut = steps.iter().rfind(|(end, _)| *end <= len).unwrap();
            prop_assert_eq!(&Roll::read(dir.path(), &rules), &at_cut.1);
        }

        /// And whatever is in it, there is room for one more log.
        #[test]
        fn any_bytes_are_a_roll(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            lines in "((open|end|served|gone|x)(\t([0-9]{1,21}|host|a|drop|none|endless|[^\n]{0,5})){0,13}\n){0,5}",
        ) {
            let (dir, rules) = world();
            for text in [&bytes[..], lines.as_bytes()] {
                std::fs::write(dir.path().join(NAME), text).unwrap();
                let read = Roll::read(dir.path(), &rules);
                prop_assert!(read.keys().all(|id| id.0 < MOST_IDS));
                // A new one says the same.
                drop(Roll::begin(dir.path(), &read));
                prop_assert_eq!(Roll::read(dir.path(), &rules), read);
            }
        }
    }

    /// Behind the largest number there is none for the next log.
    #[test]
    fn a_number_that_no_log_can_have_is_no_number() {
        let (dir, rules) = world();
        let mut roll = Roll::begin(dir.path(), &BTreeMap::new()).0;
        let line = line(&rules, Owner::Host, "a");
        for id in [u64::MAX, MOST_IDS] {
            roll.open(StreamId(id), &line).unwrap();
        }
        roll.open(StreamId(MOST_IDS - 1), &line).unwrap();
        assert_eq!(Roll::read(dir.path(), &rules).into_keys().collect::<Vec<_>>(), [StreamId(MOST_IDS - 1)]);
    }

    /// The numbers of logs that were over were given out again. A daemon that was killed before its keeper had heard that the old
    /// log was over was followed by one that took the old one's pipe for the new one's.
    #[test]
    fn no_number_is_given_out_twice() {
        let (dir, rules) = world();
        let (mut roll, _) = Roll::begin(dir.path(), &BTreeMap::new());
        assert_eq!(roll.next(), StreamId(0));
        roll.open(StreamId(7), &line(&rules, Owner::Host, "a")).unwrap();
        roll.gone(StreamId(7)).unwrap();
        let (mut roll, _) = Roll::begin(dir.path(), &BTreeMap::new());
        assert_eq!((Roll::read(dir.path(), &rules).len(), roll.next()), (0, StreamId(8)));
        roll.begin_anew(&BTreeMap::new()).unwrap();
        assert_eq!(Roll::begin(dir.path(), &BTreeMap::new()).0.next(), StreamId(8));
    }

    #[test]
    fn numbers_that_no_daemon_gave_out_count_for_nothing() {
        let (dir, rules) = world();
        let (mut roll, _) = Roll::begin(dir.path(), &BTreeMap::new());
        let good = line(&rules, Owner::Host, "a");
        roll.open(StreamId(u64::MAX), &good).unwrap();
        roll.open(StreamId(1), &Line { account: MOST_ACCOUNTS, ..good.clone() }).unwrap();
        roll.open(StreamId(2), &good).unwrap();
        assert_eq!(Roll::read(dir.path(), &rules), BTreeMap::from([(StreamId(2), good)]));
    }
}
