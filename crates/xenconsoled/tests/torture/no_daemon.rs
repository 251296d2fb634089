//! No daemon any more, for good, and nobody who would start one: whoever writes goes on all the same.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use testbed::{PATIENCE, until};

use super::crowd::{Crowd, Kind};
use super::host::{Host, domain};
use super::kills::{HAND, block, store};
use super::knobs::random;
use super::report::Report;
use super::unit::{Unit, Way, program};
use super::writer::waiting;

/// What is not accepted by then is EAGAIN, nothing else; a later daemon takes up what is in the pipes.
#[test]
fn writers_go_on_without_any_daemon() {
    let title = "no daemon";
    let mut random = random(title);
    let mut report = Report::new(title);
    let host = Host::idle(store(), "");
    let program = program(&host);
    let unit = Unit::start(Way::Keeper, &program, &host, random.next());
    let kind = Kind { count: 50, stamped: 0, impatient: true, ..block(1) };
    let crowd = Crowd::start(&host, &kind, &mut random);
    until("some bytes", || (crowd.tally.bytes() > 1 << 20).then_some(()));
    unit.kill();
    let again = |tally: &super::writer::Tally| tally.again.load(Ordering::Relaxed);
    until("full pipes", || (again(&crowd.tally) > 5000).then_some(()));
    report.tally("without a daemon", &crowd.tally);
    // The keeper's kill is what costs the hand: nobody else had it.
    let unit = Unit::start(Way::Keeper, &program, &host, random.next());
    let tally = Arc::clone(&crowd.tally);
    let ended = crowd.end();
    let said = unit.stop();
    let found = ended.judge();
    report.verdict("with the next one", &found);
    assert!(found.lost <= HAND && found.dropped == 0, "{found:?}\n{said}");
    assert_eq!((found.doubled, found.disordered, found.torn, tally.broken()), (0, 0, 0, 0), "{found:?}\n{said}");
}

/// Real QEMU, whose standard error is such a pipe: its main loop goes on to answer while the pipe is full and nobody
/// reads it.
#[test]
fn qemu_goes_on_without_any_daemon() {
    let Some(qemu) = find("qemu-system-x86_64") else {
        let all = std::env::var_os("XENLOG_TEST_ALL").is_some_and(|all| all == "1");
        assert!(!all, "no qemu-system-x86_64 in PATH (Debian: apt install qemu-system-x86)");
        println!("passed by: no qemu-system-x86_64 in PATH (Debian: apt install qemu-system-x86)");
        return;
    };
    let mut report = Report::new("QEMU without a daemon");
    let host = Host::idle(store(), "");
    let unit = Unit::start(Way::Keeper, &program(&host), &host, 0);
    let log = host.log(domain(1), "qemu");
    log.ask();
    log.ready();
    let end = log.impatient_end();
    let socket = host.outside().join("qmp");
    let mut qemu = Qemu::start(&qemu, &end, &socket);
    let mut asked = qemu.ask(1, 0);
    until("QEMU's words in the log", || (!log.content().is_empty()).then_some(()));
    unit.kill();
    let mut longest = std::time::Duration::ZERO;
    // Each question is traced with all its words: far more than a pipe holds.
    for number in 0..600 {
        let start = std::time::Instant::now();
        asked += qemu.ask(4096, number);
        longest = longest.max(start.elapsed());
    }
    let left = waiting(&end);
    assert!(left > 32 << 10 && asked > 2 * left, "{left} bytes in the pipe of {asked} that were asked");
    report.line("bytes of questions, bytes in the pipe", format!("{asked}, {left}"));
    report.line("the longest that an answer took", super::report::milliseconds(longest));
}

struct Qemu {
    child: Child,
    line: BufReader<UnixStream>,
}

impl Qemu {
    /// A machine with nothing in it, and all that it is asked by QMP told on standard error.
    fn start(program: &Path, stderr: &File, socket: &Path) -> Qemu {
        let mut command = Command::new(program);
        command.args(["-machine", "none", "-nodefaults", "-display", "none", "-trace", "handle_qmp_command"]);
        command.arg("-qmp").arg(format!("unix:{},server=on,wait=off", socket.display()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr.try_clone().unwrap());
        let mut child = command.spawn().unwrap();
        let stream = until("QEMU's socket", || {
            assert_eq!(child.try_wait().unwrap(), None, "QEMU has ended");
            UnixStream::connect(socket).ok()
        });
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut qemu = Qemu { child, line: BufReader::new(stream) };
        assert!(qemu.answer().contains("QMP"));
        qemu.say("{\"execute\": \"qmp_capabilities\"}");
        assert!(qemu.answer().contains("return"));
        qemu
    }

    /// Asks something in so many words, and waits for the answer. How many bytes that were is the answer.
    fn ask(&mut self, words: usize, number: usize) -> u64 {
        let question = format!("{{\"execute\": \"query-status\", \"id\": \"{number} {}\"}}", "x".repeat(words));
        self.say(&question);
        let answer = self.answer();
        assert!(answer.contains(&format!("\"{number} x")), "{answer}");
        question.len() as u64
    }

    fn say(&mut self, text: &str) {
        self.line.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.line.read_line(&mut line).unwrap();
        line
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(program)).find(|path| path.is_file())
}
