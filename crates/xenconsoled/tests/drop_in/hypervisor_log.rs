//! `--log=hv`: what the hypervisor prints.

use std::fs;
use std::process::{Child, Stdio};

use testbed::{Hypervisor, until};

use crate::scene::{Scene, Which};

const LOG: &str = "hypervisor.log";

fn listens(scene: &Scene) {
    until("a daemon that listens", || scene.machine.hypervisor().console_is_bound().then_some(()));
}

pub fn what_was_there_and_what_comes(scene: &mut Scene) {
    scene.machine.hypervisor().print("(XEN) before\n");
    scene.start(&["--log=hv"]);
    scene.log_holds(LOG, "(XEN) before\n");
    listens(scene);
    for round in 0..100 {
        scene.machine.hypervisor().print(format!("(XEN) line {round}\n"));
    }
    let lines: String = (0..100).map(|round| format!("(XEN) line {round}\n")).collect();
    scene.log_holds(LOG, &format!("(XEN) before\n{lines}"));
    // What is cleared was read before.
    scene.machine.hypervisor().clear_console();
    scene.machine.hypervisor().print("(XEN) after\n");
    scene.log_holds(LOG, &format!("(XEN) before\n{lines}(XEN) after\n"));
}

pub fn more_than_is_read_at_once(scene: &mut Scene) {
    let mut scene = Scene::with_hypervisor(scene.which, Hypervisor::with_console(1 << 20, u32::MAX - 1000));
    scene.machine.hypervisor().print("(XEN) before\n");
    scene.start(&["--log=hv"]);
    scene.log_holds(LOG, "(XEN) before\n");
    listens(&scene);
    // Indices wrap in it.
    let text: String = (0..10_000).map(|line| format!("(XEN) line {line:4} and so on\n")).collect();
    scene.machine.hypervisor().print(&text);
    let log = scene.log_until(LOG, "line 9999 and so on\n");
    let log = log.strip_prefix("(XEN) before\n").unwrap();
    assert!(log == text, "{} bytes of {}", log.len(), text.len());
}

/// Stock begins with all that is in the ring each time.
pub fn after_a_restart(scene: &mut Scene) {
    scene.machine.hypervisor().print("(XEN) one\n");
    for text in ["(XEN) two\n", "(XEN) three\n"] {
        scene.start(&["--log=hv"]);
        listens(scene);
        scene.machine.hypervisor().print(text);
        scene.log_until(LOG, text);
        // It has noted, too, how far it is.
        scene.barrier();
        scene.kill();
    }
    // What came while there was none.
    scene.machine.hypervisor().print("(XEN) four\n");
    scene.start(&["--log=hv"]);
    let all = "(XEN) one\n(XEN) two\n(XEN) three\n(XEN) four\n";
    match scene.which {
        Which::Stock => {
            let again = "(XEN) one\n(XEN) two\n";
            scene.log_holds(LOG, &format!("{again}{again}(XEN) three\n{all}"));
        }
        Which::Ours => scene.log_holds(LOG, all),
    }
}

/// More was printed than the ring holds while nobody read: stock goes on as if nothing were missing.
pub fn a_ring_that_ran_over(scene: &mut Scene) {
    scene.machine.hypervisor().print("(XEN) one\n");
    scene.start(&["--log=hv"]);
    listens(scene);
    scene.log_holds(LOG, "(XEN) one\n");
    let text: String = (0..1024).map(|line| format!("(XEN) line {line:10} and so on\n")).collect();
    assert_eq!(text.len(), 2 * (16 << 10));
    // Nobody is told before all is there.
    scene.machine.hypervisor().print_silently(&text);
    scene.machine.hypervisor().print("");
    let log = scene.log_until(LOG, "1023 and so on\n");
    let kept = &text[text.len() - (16 << 10)..];
    match scene.which {
        Which::Stock => assert_eq!(log, format!("(XEN) one\n{kept}")),
        Which::Ours => {
            let marker = log.strip_prefix("(XEN) one\n").and_then(|rest| rest.strip_suffix(kept)).unwrap();
            assert!(marker.contains(&format!("{}", text.len() - kept.len())) && marker.ends_with('\n'), "{marker:?}");
        }
    }
}

/// Stock ends where it cannot have the file, and takes all consoles with it.
pub fn without_a_file(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    fs::create_dir(scene.log_dir().join(LOG)).unwrap();
    scene.start(&["--log=hv"]);
    match scene.which {
        Which::Stock => {
            scene.ended();
        }
        Which::Ours => {
            let mut tty = scene.tty(7);
            guest.write("hello\r\n");
            tty.shows("hello\r\n");
            scene.lives();
        }
    }
}

/// A process that is killed when this is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// As above: the log of the hypervisor is no reason to serve no console.
pub fn another_holds_the_interrupt(scene: &mut Scene) {
    if !testbed::programs::installed(&["xenconsoled"]) {
        return;
    }
    let dir = scene.dir().join("other");
    fs::create_dir(&dir).unwrap();
    let mut other = scene.machine.program("xenconsoled");
    other.args(["-i", "--log=hv", "--log-dir"]).arg(dir);
    let _other = Killed(other.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    listens(scene);
    scene.start(&["--log=all"]);
    match scene.which {
        Which::Stock => {
            scene.ended();
        }
        Which::Ours => {
            let guest = scene.machine.guest(7, "web");
            let mut tty = scene.tty(7);
            // Whichever of the two has bound it.
            guest.write("hello\r\n");
            tty.read_until("hello\r\n");
            scene.lives();
        }
    }
}

/// What guests write is no business of the hypervisor's log, nor the reverse.
pub fn no_guest_is_logged(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    scene.start(&["--log=all"]);
    listens(scene);
    guest.write("guest\n");
    scene.machine.hypervisor().print("(XEN) hypervisor\n");
    scene.log_holds("guest-web.log", "guest\n");
    scene.log_holds(LOG, "(XEN) hypervisor\n");
}
