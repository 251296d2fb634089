//! A log as its client sees it: nodes in the store, a FIFO, a file.

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use logproto::{Code, EntryKey, Owner, Refusal, State};
use rustix::fs::{CWD, Mode, OFlags, mkfifoat, open};
use rustix::io::Errno;
use testbed::{PATIENCE, until};
use xenstore::{Address, Client};

use super::Daemon;

/// One log. Nothing of it is there before [`Log::ask`].
#[derive(Clone, Debug)]
pub struct Log {
    address: Address,
    /// The entry in the store.
    pub path: String,
    pub pipe: PathBuf,
    pub file: PathBuf,
    pub nodes: Vec<(String, Vec<u8>)>,
}

impl Log {
    pub fn new(address: Address, owner: Owner, id: &str, run: &Path, log: &Path) -> Log {
        let path = EntryKey { owner, name: id.into() }.path();
        let name: String = format!("{owner}-{}", &id[..id.len().min(100)]).replace([' ', '@'], "-");
        let (pipe, file) = (run.join(&name), log.join(format!("{name}.log")));
        let nodes = [("pipe", &pipe), ("file", &file)];
        let nodes = nodes.map(|(node, path)| (node.to_owned(), path.to_str().unwrap().as_bytes().to_vec())).to_vec();
        Log { address, path, pipe, file, nodes }
    }

    /// Sets a node to any value.
    pub fn node(mut self, name: &str, value: impl AsRef<[u8]>) -> Log {
        self.nodes.retain(|(node, _)| node != name);
        self.nodes.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub fn limit(self, bytes: u64) -> Log {
        self.node("limit", bytes.to_string())
    }

    pub fn copies(self, copies: u32) -> Log {
        self.node("copies", copies.to_string())
    }

    /// Another file.
    pub fn file(mut self, file: impl Into<PathBuf>) -> Log {
        self.file = file.into();
        let value = self.file.to_str().unwrap().to_owned();
        self.node("file", value)
    }

    /// Another pipe.
    pub fn pipe(mut self, pipe: impl Into<PathBuf>) -> Log {
        self.pipe = pipe.into();
        let value = self.pipe.to_str().unwrap().to_owned();
        self.node("pipe", value)
    }

    /// Makes the FIFO, if there is nothing of its name, and writes the nodes in one transaction.
    pub fn ask(&self) {
        if fs::symlink_metadata(&self.pipe).is_err() {
            fifo(&self.pipe);
        }
        self.write();
    }

    /// Writes the nodes in one transaction.
    pub fn write(&self) {
        self.client()
            .transaction(|tx| self.nodes.iter().try_for_each(|(node, value)| tx.write(&self.at(node), value)))
            .unwrap();
    }

    /// Writes one node, by itself.
    pub fn set(&self, node: &str, value: impl AsRef<[u8]>) {
        self.client().write(&self.at(node), value.as_ref()).unwrap();
    }

    /// The path of a node.
    pub fn at(&self, node: &str) -> String {
        format!("{}/{node}", self.path)
    }

    /// The daemon's answer, if there is one.
    pub fn state(&self) -> Option<State> {
        answer(&mut self.client(), &self.path)
    }

    /// Waits for the daemon's answer.
    pub fn answer(&self) -> State {
        let mut client = self.client();
        until(&format!("an answer at {}", self.path), || answer(&mut client, &self.path))
    }

    /// Waits for the answer, which must be a good one.
    pub fn ready(&self) {
        assert_eq!(self.answer(), State::Ready, "{}", self.path);
    }

    /// Waits for the answer, which must be a refusal with this code; gives its text.
    pub fn refused(&self, code: Code) -> String {
        match self.answer() {
            State::Error(refusal) if refusal.code == code => refusal.text,
            other => panic!("{}: {code} was expected, and there is {other:?}", self.path),
        }
    }

    /// Asks, waits until it is served, and opens the write end.
    pub fn open(&self) -> File {
        self.ask();
        self.ready();
        self.end()
    }

    /// Opens the write end as the protocol says: for reading too, so that a missing reader is never an error.
    pub fn end(&self) -> File {
        File::options().read(true).write(true).open(&self.pipe).unwrap()
    }

    /// Opens the write end as a client of the draft does.
    pub fn draft_end(&self) -> File {
        File::options().write(true).open(&self.pipe).unwrap()
    }

    /// Opens the write end so that a full pipe is an error instead of a wait.
    pub fn impatient_end(&self) -> File {
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        File::options().read(true).write(true).custom_flags(flags).open(&self.pipe).unwrap()
    }

    /// Removes the entry.
    pub fn remove(&self) {
        self.client().rm(&self.path).unwrap();
    }

    /// Asks for an answer once more.
    pub fn forget_answer(&self) {
        self.client().rm(&self.at("state")).unwrap();
    }

    /// Whether the entry is in the store.
    pub fn is_in_store(&self) -> bool {
        self.client().directory(&self.path).is_ok()
    }

    /// Whether the daemon has the log's file or its pipe open.
    pub fn file_is_open(&self, daemon: &Daemon) -> bool {
        let mine = |fd: &PathBuf| fd.starts_with(&self.file) || fd.starts_with(&self.pipe) || deleted(fd, &self.pipe);
        daemon.descriptors().iter().any(mine)
    }

    /// Waits until the daemon has let go of the file and the pipe.
    pub fn closed(&self, daemon: &Daemon) {
        until(&format!("the end of {}", self.path), || (!self.file_is_open(daemon)).then_some(()));
    }

    /// Waits until the daemon has let go of the pipe; another log may have the file.
    pub fn closed_pipe(&self, daemon: &Daemon) {
        let mine = |fd: &PathBuf| fd.starts_with(&self.pipe) || deleted(fd, &self.pipe);
        until(&format!("the end of {}", self.path), || (!daemon.descriptors().iter().any(mine)).then_some(()));
    }

    /// All that is in the files, the oldest bytes first.
    pub fn content(&self) -> Vec<u8> {
        read_all(&self.file)
    }

    /// Waits until the files hold exactly these bytes.
    pub fn holds(&self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let start = std::time::Instant::now();
        loop {
            let content = self.content();
            if content == bytes {
                return;
            }
            if start.elapsed() > PATIENCE {
                let at = content.iter().zip(bytes).take_while(|(a, b)| a == b).count();
                let shown = |bytes: &[u8]| bytes[at..bytes.len().min(at + 200)].escape_ascii().to_string();
                let (has, wanted) = (shown(&content), shown(bytes));
                let (len, wanted_len) = (content.len(), bytes.len());
                panic!("{:?}: {len} bytes, not {wanted_len}; from byte {at} on {has:?}, not {wanted:?}", self.file);
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// The live file and its copies, the oldest first, each with its size.
    pub fn sizes(&self) -> Vec<(PathBuf, u64)> {
        let sized = |file: PathBuf| fs::metadata(&file).map(|found| (file, found.len()));
        // The oldest first: a file that a rotation moves meanwhile is passed over, never counted twice.
        files(&self.file).into_iter().filter_map(|file| sized(file).ok()).collect()
    }

    fn client(&self) -> Client {
        Client::connect(std::slice::from_ref(&self.address), PATIENCE).unwrap()
    }
}

fn deleted(fd: &Path, pipe: &Path) -> bool {
    // The daemon takes a name aside before it removes it.
    let is_aside = fd.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"xenlog-gone-"));
    is_aside
        || fd.as_os_str().as_encoded_bytes().strip_suffix(b" (deleted)") == Some(pipe.as_os_str().as_encoded_bytes())
}

fn answer(client: &mut Client, path: &str) -> Option<State> {
    let state = client.read(&format!("{path}/state")).ok()?;
    let error = client.read(&format!("{path}/error")).ok();
    State::read(Some(&state), error.as_deref())
}

/// Makes a FIFO as clients do.
pub fn fifo(path: &Path) {
    mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).unwrap();
}

/// Whether somebody has a FIFO open for reading.
pub fn has_reader(fifo: &Path) -> bool {
    match open(fifo, OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()) {
        Ok(_) => true,
        Err(Errno::NXIO) => false,
        Err(why) => panic!("{}: {why}", fifo.display()),
    }
}

/// A log's files that are there, the oldest copy first, the live file last.
fn files(live: &Path) -> Vec<PathBuf> {
    let prefix = format!("{}.", live.file_name().unwrap().to_str().unwrap());
    let mut numbers: Vec<u32> = fs::read_dir(live.parent().unwrap())
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix(&prefix)?.parse().ok())
        .collect();
    numbers.sort_unstable();
    let copies = numbers.iter().rev().map(|number| live.with_file_name(format!("{prefix}{number}")));
    copies.chain([live.to_owned()]).collect()
}

/// All that is in a log's files, the oldest bytes first.
pub fn read_all(live: &Path) -> Vec<u8> {
    files(live).iter().flat_map(|file| fs::read(file).unwrap_or_default()).collect()
}

/// Lines with these numbers, each of 16 bytes.
pub fn numbered(numbers: std::ops::Range<u32>) -> String {
    numbers.map(|number| format!("line {number:010}\n")).collect()
}
