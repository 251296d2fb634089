//! What a request's paths lead to must be a FIFO and a file of the daemon's own: everything else is refused and not touched.

mod host;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use host::{Host, Log, domain, fifo, has_reader, until};
use logproto::Code;
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// Makes a character device there, which only root can; else there is a symbolic link to one.
fn device(at: &Path) {
    if mknodat(CWD, at, FileType::CharacterDevice, Mode::RUSR | Mode::WUSR, rustix::fs::makedev(1, 3)).is_err() {
        symlink("/dev/null", at).unwrap();
    }
}

/// Asks, and sees that the request is refused and nothing touched. Then the same entry is asked for with all in order.
fn is_refused(host: &mut Host, log: &Log, code: Code, node: &str, why: &str) {
    let before = host.snapshot();
    log.write();
    let text = log.refused(code);
    assert!(text.starts_with(&format!("{}: ", log.at(node))) && text.contains(why), "{text}");
    assert_eq!(host.snapshot(), before, "{text}");
    for run in fs::read_dir(host.run_dir()).unwrap().map(|entry| entry.unwrap().path()) {
        assert!(!is_fifo(&run) || !has_reader(&run), "{} was opened", run.display());
    }
    let right = host.log(domain(5), log.path.rsplit('/').next().unwrap());
    right.write();
    log.forget_answer();
    right.open().write_all(b"all in order\n").unwrap();
    right.holds("all in order\n");
    right.remove();
    right.closed(host.daemon());
    until("the FIFO's removal", || (!right.pipe.exists()).then_some(()));
}

fn is_fifo(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    fs::symlink_metadata(path).unwrap().file_type().is_fifo()
}

#[test]
fn a_pipe_is_a_fifo_and_nothing_else() {
    let mut host = Host::start();
    let run = host.run_dir();
    fs::write(run.join("file"), "not a pipe").unwrap();
    fs::create_dir(run.join("dir")).unwrap();
    let _socket = UnixListener::bind(run.join("socket")).unwrap();
    device(&run.join("device"));
    fifo(&host.outside().join("fifo"));
    symlink(host.outside().join("fifo"), run.join("link")).unwrap();
    symlink("nowhere", run.join("dangling")).unwrap();
    symlink("link-2", run.join("link-1")).unwrap();
    symlink("link-1", run.join("link-2")).unwrap();
    symlink(host.outside(), run.join("linked-dir")).unwrap();
    symlink("/proc/self/fd", run.join("magic")).unwrap();
    let table = [
        ("file", "is a regular file"),
        ("dir", "is a directory"),
        ("socket", "is a socket"),
        ("device", ""),
        ("missing", "No such file"),
        ("dir/missing", "No such file"),
        ("missing/fifo", "No such file"),
        ("file/fifo", "not a directory"),
        ("link", "symbolic link"),
        ("dangling", "symbolic link"),
        ("link-1", "symbolic link"),
        ("linked-dir/fifo", "symbolic link"),
        ("magic/0", "symbolic link"),
    ];
    for (number, (name, why)) in table.iter().enumerate() {
        let log = host.log(domain(5), &format!("a{number}"));
        fifo(&log.pipe);
        is_refused(&mut host, &log.pipe(run.join(name)), Code::PipeOpen, "pipe", why);
        assert!(!has_reader(&host.outside().join("fifo")));
    }
}

#[test]
fn a_log_is_a_file_of_the_daemons_own_and_nothing_else() {
    let mut host = Host::start();
    let (dir, outside) = (host.log_dir(), host.outside());
    let victim = outside.join("victim");
    fs::write(&victim, "precious").unwrap();
    fifo(&dir.join("fifo"));
    fs::create_dir(dir.join("dir")).unwrap();
    let _socket = UnixListener::bind(dir.join("socket")).unwrap();
    device(&dir.join("device"));
    symlink(&victim, dir.join("link")).unwrap();
    symlink(outside.join("not there yet"), dir.join("dangling")).unwrap();
    symlink(&outside, dir.join("linked-dir")).unwrap();
    symlink("..", dir.join("up")).unwrap();
    symlink("dir", dir.join("link-within")).unwrap();
    fs::write(dir.join("file"), "content").unwrap();
    fs::write(dir.join("hard"), "precious as well").unwrap();
    fs::hard_link(dir.join("hard"), outside.join("hard")).unwrap();
    fs::create_dir(dir.join("blocked.1")).unwrap();
    fs::create_dir(dir.join("blocked-behind.3")).unwrap();
    fs::write(dir.join("blocked-behind"), "content").unwrap();
    let mut table = vec![
        ("fifo", "is a FIFO"),
        ("dir", "is a directory"),
        ("socket", "is a socket"),
        ("device", ""),
        ("link", "symbolic link"),
        ("dangling", "symbolic link"),
        ("linked-dir/victim", "symbolic link"),
        ("linked-dir/new", "symbolic link"),
        ("up/outside/victim", "symbolic link"),
        ("link-within/new", "symbolic link"),
        ("missing/new", "is gone"),
        ("file/new", "not a directory"),
        ("hard", "hard-linked"),
        ("blocked", "is a directory"),
        ("blocked-behind", "is a directory"),
    ];
    if rustix::process::geteuid().is_root() {
        fs::write(dir.join("foreign"), "somebody else's").unwrap();
        chown(dir.join("foreign"), Some(65534), Some(65534)).unwrap();
        table.push(("foreign", "belongs to user 65534"));
    }
    for (number, (name, why)) in table.iter().enumerate() {
        let log = host.log(domain(5), &format!("a{number}")).copies(3);
        fifo(&log.pipe);
        is_refused(&mut host, &log.file(dir.join(name)), Code::FileOpen, "file", why);
    }
}

/// Without a log directory nobody is served, and it need not be there when the daemon starts.
#[test]
fn a_log_directory_that_is_not_there_is_named() {
    let host = Host::start();
    fs::remove_dir(host.log_dir()).unwrap();
    let log = host.log(domain(5), "a");
    log.ask();
    let text = log.refused(Code::FileOpen);
    assert!(text.contains(host.log_dir().to_str().unwrap()), "{text}");
    assert!(!has_reader(&log.pipe) && !host.log_dir().exists());
    fs::create_dir(host.log_dir()).unwrap();
    log.forget_answer();
    log.open().write_all(b"line\n").unwrap();
    log.holds("line\n");
}
