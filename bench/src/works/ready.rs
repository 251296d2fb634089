//! How fast many logs are served, and what they cost while nobody writes.
//!
//! ```text
//! cargo build --release -p xenconsoled --bins --examples && target/release/examples/figures [STORE]
//! ```
//!
//! `STORE` is `c` (Xen's xenstored, the default), `ocaml` (oxenstored) or `embedded`. The daemon is the one beside the example's
//! directory, so its build is measured. Each figure has a store and a daemon of its own:
//!
//! * ready: entries, one for each of so many domains, are written as fast as the store takes them, without waiting for answers;
//!   the time is from the first request to when the last `state` was seen, which is looked for every 10 ms. The processor time
//!   of all three is there for machines that do something else at the same time;
//! * idle: 4000 logs with a writer each, nothing written. CPU time is what /proc/PID/stat shows, in ticks of 10 ms, over 5 s;
//!   memory is the `Pss` of /proc/PID/smaps_rollup.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;
use testbed::{Store, StoreKind, until};
use xenstore::{Connection, Error, Incoming, Reply, Request, RequestId, TxId};

/// Entries of one transaction.
const BATCH: usize = 50;
const IDLE: usize = 4000;
const WATCHED: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let kind = match std::env::args().nth(1).as_deref() {
        None | Some("c") => StoreKind::C,
        Some("ocaml") => StoreKind::OCaml,
        Some("embedded") => StoreKind::Embedded,
        Some(other) => {
            eprintln!("figures: {other}: not one of c, ocaml, embedded");
            return ExitCode::FAILURE;
        }
    };
    if !kind.available() {
        return ExitCode::FAILURE;
    }
    let limit = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: limit, maximum: limit })
        .expect("a soft limit may become the hard one");
    println!("store: {kind:?}");
    for count in [100, 1000, IDLE] {
        let host = Host::start(kind);
        let before = host.cpu();
        let (written, ready) = host.serve(count);
        let ms = |time: Duration| time.as_millis();
        println!("{count:>5} logs: written in {:>5} ms, all ready after {:>5} ms", ms(written), ms(ready));
        for ((who, time), (_, before)) in host.cpu().into_iter().zip(before) {
            println!("{count:>5} logs: {:>5} ms of CPU time for the {who}", ms(time - before));
        }
        if count == IDLE {
            host.idle(count);
        }
    }
    ExitCode::SUCCESS
}

/// A store and a daemon, with their directories.
struct Host {
    daemon: Child,
    store: Store,
    dir: TempDir,
}

impl Host {
    fn start(kind: StoreKind) -> Host {
        let (store, dir) = (Store::start(kind), TempDir::new().expect("a temporary directory"));
        for name in ["run", "log"] {
            fs::create_dir(dir.path().join(name)).expect("a new directory");
        }
        fs::write(dir.path().join("xenlog.toml"), "").expect("a new file");
        let daemon = Command::new(daemon())
            .args(["-i", "--no-hypervisor", "--xen-run-dir"])
            .arg(dir.path().join("run"))
            .arg("--xen-log-dir")
            .arg(dir.path().join("log"))
            .arg("--config")
            .arg(dir.path().join("xenlog.toml"))
            .env("XENSTORED_PATH", store.socket())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a daemon that starts");
        let mut client = store.client();
        until("the daemon's node", || client.read(logproto::DAEMON_NODE).ok());
        Host { daemon, store, dir }
    }

    fn pipe(&self, domain: usize) -> PathBuf {
        self.dir.path().join(format!("run/qemu-{domain}"))
    }

    /// Asks for so many logs at once. Gives how long it took to write the entries, and until all were ready.
    fn serve(&self, count: usize) -> (Duration, Duration) {
        let mut nodes = Vec::new();
        for domain in 0..count {
            mkfifoat(CWD, self.pipe(domain), Mode::RUSR | Mode::WUSR).expect("a new FIFO");
            let file = self.dir.path().join(format!("log/qemu-dm-{domain}.log"));
            let node = |node: &str, value: String| (format!("/libxl/{domain}/logging/qemu/{node}"), value.into_bytes());
            nodes.push(node("pipe", self.pipe(domain).display().to_string()));
            nodes.push(node("file", file.display().to_string()));
            nodes.push(node("limit", "1048576".to_owned()));
            nodes.push(node("copies", "4".to_owned()));
        }
        let mut store = Pipelined(Connection::open(&self.store.address()).expect("a store that listens"));
        let start = Instant::now();
        for batch in nodes.chunks(BATCH * 4) {
            let started = store.ask(TxId::NONE, [Request::TransactionStart]);
            let Some(Ok(Reply::Transaction(tx))) = started.into_iter().next() else { panic!("no transaction") };
            let writes = batch.iter().map(|(path, value)| Request::Write { path, value });
            for reply in store.ask(tx, writes.chain([Request::TransactionEnd { commit: true }])) {
                reply.expect("an entry that is written");
            }
        }
        let written = start.elapsed();
        let states = (0..count).map(|domain| format!("/libxl/{domain}/logging/qemu/state"));
        let mut missing: Vec<String> = states.collect();
        while !missing.is_empty() {
            std::thread::sleep(Duration::from_millis(10));
            let replies = store.ask(TxId::NONE, missing.iter().map(|path| Request::Read { path }));
            let mut replies = replies.into_iter();
            missing.retain(|path| match replies.next() {
                Some(Ok(Reply::Value(state))) if state == b"ready" => false,
                Some(Err(why)) if why.is_absent() => true,
                other => panic!("{path}: {other:?}"),
            });
        }
        (written, start.elapsed())
    }

    /// Prints what so many logs cost while nobody writes.
    fn idle(&self, count: usize) {
        let open = |domain| File::options().read(true).write(true).open(self.pipe(domain));
        let writers: Vec<File> = (0..count).map(|domain| open(domain).expect("a pipe with a reader")).collect();
        // Whatever the last answers led to is over when nothing was used for a second.
        until("a daemon at rest", || {
            let before = self.ticks();
            std::thread::sleep(Duration::from_secs(1));
            (self.ticks() == before).then_some(())
        });
        let before = self.ticks();
        std::thread::sleep(WATCHED);
        let ticks = self.ticks() - before;
        let descriptors = fs::read_dir(self.proc("fd")).expect("the daemon's own").count();
        println!("{count:>5} idle logs: {ticks} ticks in {} s", WATCHED.as_secs());
        println!("{count:>5} idle logs: {descriptors} descriptors, {:.3} each", descriptors as f64 / count as f64);
        let rollup = fs::read_to_string(self.proc("smaps_rollup")).expect("the daemon's own");
        for line in rollup.lines().filter(|line| line.starts_with("Pss:") || line.starts_with("Private_Dirty:")) {
            println!("{count:>5} idle logs: {}", line.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        drop(writers);
    }

    /// How long each process has had a processor so far (Documentation/scheduler/sched-stats.rst, /proc/PID/schedstat).
    fn cpu(&self) -> Vec<(&'static str, Duration)> {
        let store = fs::read_to_string(self.store.dir().join("pid")).ok().and_then(|pid| pid.trim().parse().ok());
        let all = [("daemon", Some(self.daemon.id())), ("store", store), ("client", Some(std::process::id()))];
        all.into_iter().filter_map(|(who, pid)| Some((who, processor_time(pid?)?))).collect()
    }

    fn ticks(&self) -> u64 {
        let stat = fs::read_to_string(self.proc("stat")).expect("the daemon's own");
        let after_name = stat.rfind(')').map_or("", |at| &stat[at + 2..]);
        after_name.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
    }

    fn proc(&self, what: &str) -> String {
        format!("/proc/{}/{what}", self.daemon.id())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

fn processor_time(pid: u32) -> Option<Duration> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let of_thread = |dir: PathBuf| -> Option<u64> {
        fs::read_to_string(dir.join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    Some(Duration::from_nanos(threads.filter_map(|thread| of_thread(thread.ok()?.path())).sum()))
}

/// The daemon that was built together with this.
fn daemon() -> PathBuf {
    let own = std::env::current_exe().expect("a program that knows its path");
    let beside = own.parent().and_then(Path::parent).map(|dir| dir.join("xenconsoled"));
    beside.filter(|path| path.is_file()).expect("no daemon beside the example: build with --bins")
}

/// A connection on which requests do not wait for each other.
struct Pipelined(Connection);

impl Pipelined {
    /// Sends all, then waits for the answers.
    fn ask<'a>(&mut self, tx: TxId, requests: impl IntoIterator<Item = Request<'a>>) -> Vec<Result<Reply, Error>> {
        let submit = |request| self.0.submit(tx, request).expect("a request that is sent");
        let ids: Vec<RequestId> = requests.into_iter().map(submit).collect();
        let mut replies = Vec::with_capacity(ids.len());
        loop {
            self.0.process().expect("a store that stays");
            while let Some(incoming) = self.0.next() {
                if let Incoming::Reply { result, .. } = incoming {
                    replies.push(result);
                }
            }
            if replies.len() == ids.len() {
                return replies;
            }
            let wanted = if self.0.wants_write() { PollFlags::OUT | PollFlags::IN } else { PollFlags::IN };
            // What came of it shows above.
            let _ = poll(&mut [PollFd::new(&self.0, wanted)], Some(&Timespec { tv_sec: 1, tv_nsec: 0 }));
        }
    }
}
