//! The daemon as a daemon.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use testbed::until;

use crate::scene::{Scene, Which};

/// A daemon in the background, by its number. It is killed when this is dropped.
struct Background(Pid);

impl Background {
    fn runs(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        test_kill_process(self.0).is_ok() && !stat.contains(") Z ")
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if self.runs() {
            let _ = kill_process(self.0, Signal::KILL);
        }
    }
}

/// Starts it in the background; what stands in its pid file then, and the daemon.
fn start(scene: &Scene, options: &[&str]) -> (String, Background) {
    let pid_file = scene.dir().join("pid");
    let before = fs::read_to_string(&pid_file).unwrap_or_default();
    let mut command = scene.command(&["--pid-file", pid_file.to_str().unwrap()]);
    let output = command.args(options).current_dir(scene.dir()).output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    let written = || fs::read_to_string(&pid_file).ok().filter(|text| text.ends_with('\n') && *text != before);
    let text = until("a number in the pid file", written);
    let number = text.lines().next().unwrap().parse().unwrap();
    (text, Background(Pid::from_raw(number).unwrap()))
}

pub fn the_daemon_goes_to_the_background(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    let (text, daemon) = start(scene, &["--log=guest"]);
    assert_eq!(text, format!("{}\n", daemon.0));
    scene.served(&guest);
    let proc = format!("/proc/{}", daemon.0);
    assert_eq!(fs::read_link(format!("{proc}/cwd")).unwrap(), Path::new("/"));
    for fd in 0..3 {
        assert_eq!(fs::read_link(format!("{proc}/fd/{fd}")).unwrap(), Path::new("/dev/null"), "{fd}");
    }
    guest.write("hello\n");
    scene.log_holds("guest-web.log", "hello\n");
    assert_eq!(scene.mode("guest-web.log"), 0o640);
    kill_process(daemon.0, Signal::TERM).unwrap();
    until("the daemon's end", || (!daemon.runs()).then_some(()));
}

/// The file says `NUMBER\n`, but stock leaves what stood behind it.
pub fn a_longer_number_in_the_pid_file(scene: &mut Scene) {
    fs::write(scene.dir().join("pid"), "12345678901234567890\n").unwrap();
    let guest = scene.machine.guest(7, "web");
    let pid_file = scene.dir().join("pid");
    let mut command = scene.command(&["--pid-file", pid_file.to_str().unwrap()]);
    assert!(command.output().unwrap().status.success());
    let text = until("another number", || {
        fs::read_to_string(&pid_file).ok().filter(|text| !text.starts_with("1234567890123"))
    });
    let daemon = Background(Pid::from_raw(text.lines().next().unwrap().parse().unwrap()).unwrap());
    scene.served(&guest);
    // By now it has been written to its end.
    let text = fs::read_to_string(&pid_file).unwrap();
    match scene.which {
        Which::Stock => assert!(text.starts_with(&format!("{}\n", daemon.0)) && text.ends_with("67890\n"), "{text:?}"),
        Which::Ours => assert_eq!(text, format!("{}\n", daemon.0)),
    }
}

/// A signal ends the daemon at once, or when it has written what it has: within a few seconds, before anybody sends SIGKILL.
pub fn sigterm_ends_it(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    for signal in [Signal::TERM, Signal::INT] {
        scene.start(&["--log=guest"]);
        until("a daemon that serves", || guest.is_bound().then_some(()));
        scene.signal(signal);
        let status = scene.ended();
        match scene.which {
            Which::Stock => assert_eq!(status.code(), None, "{status}"),
            Which::Ours => assert_eq!(status.code(), Some(0), "{status}"),
        }
    }
}

/// Each guest needs four (tools/console/daemon/main.c).
pub fn as_many_descriptors_as_a_full_host_needs(scene: &mut Scene) {
    const WANTED: u64 = 132_008;
    let maximum = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    if maximum.is_some_and(|maximum| maximum < WANTED) {
        println!("passed by: only the hard limit could be reached, and it is lower");
        return;
    }
    let guest = scene.machine.guest(7, "web");
    scene.start(&[]);
    scene.served(&guest);
    let limits = fs::read_to_string(format!("/proc/{}/limits", scene.pid())).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let bounds: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert!(bounds[0] >= WANTED, "{line}");
}
