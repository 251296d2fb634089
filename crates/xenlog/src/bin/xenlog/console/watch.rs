//! Watching what is logged of a console, without its terminal.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use logfile::{Dir, Follower, Next, Start};
use rustix::event::{PollFd, PollFlags};
use rustix::io::{Errno, read};
use signal_hook::consts::SIGTSTP;
use xenlog::Places;
use xenlog::console::Console;
use xenlog::counters::Status;

use super::ending::Ending;
use super::escape;
use super::node::{Found, Node};
use super::screen::Screen;
use super::terminal::{self, Manner, Terminal};
use crate::failure::{Failure, say};
use crate::follow::{Wait, readiness};
use crate::signals::Signals;

/// How long the last words of a console that is gone may take to come into its log.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How often the daemon is asked meanwhile whether it is done.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// A console that is watched.
#[derive(Debug)]
pub struct Watch<'a> {
    console: Console,
    escape: Option<u8>,
    places: &'a Places,
    signals: Signals,
    node: Node,
    follower: Follower,
    wait: Wait,
    /// When the console was found gone.
    gone: Option<Instant>,
    is_input_open: bool,
    screen: Screen,
    terminal: Option<Terminal>,
}

impl<'a> Watch<'a> {
    /// Begins with the last lines.
    pub fn open(
        console: Console,
        lines: u64,
        escape: Option<u8>,
        places: &'a Places,
        signals: Signals,
    ) -> Result<Watch<'a>, Failure> {
        let file = log_of(console, places)?;
        let name = file.file_name().ok_or_else(|| Failure::NoFile(file.clone()))?;
        let dir = Dir::open(file.parent().unwrap_or(Path::new("/")))?;
        let follower = Follower::open(&dir, name, Start::Lines(lines))?;
        let terminal = Terminal::take(Manner::Quiet).map_err(Failure::system("the terminal"))?;
        let escape = escape.or(terminal.is_some().then_some(escape::DEFAULT));
        if let Some(escape) = escape.filter(|_| terminal.is_some()) {
            say(format!("watching the {console}; {} ends it", escape::shown(escape)));
        }
        Ok(Watch {
            console,
            escape,
            places,
            signals,
            node: Node::follow(places.store.clone(), console)?,
            follower,
            wait: Wait::default(),
            gone: None,
            is_input_open: terminal.is_some(),
            screen: Screen::open().map_err(Failure::Output)?,
            terminal,
        })
    }

    /// Goes on until there is an end to it.
    pub fn run(mut self) -> Result<Ending, Failure> {
        loop {
            let signals: Vec<i32> = self.signals.next().collect();
            if signals.contains(&SIGTSTP) {
                self.stop()?;
            }
            if let Some(signal) = signals.into_iter().find(|&signal| signal != SIGTSTP) {
                return Ok(Ending::Signal(signal));
            }
            if let Some(ending) = self.keys() {
                return Ok(ending);
            }
            if self.node.process(Instant::now()) == Some(Found::Nothing) {
                self.gone.get_or_insert_with(Instant::now);
            }
            // Asked before the log is read to its end, so that nothing comes between.
            let is_over = self.is_over();
            let is_read = self.read()?;
            if self.screen.show().is_err() {
                return Ok(Ending::NoReader);
            }
            if is_over && is_read && self.screen.is_done() {
                return Ok(Ending::Gone(self.console));
            }
            self.wait(is_read);
        }
    }

    fn wait(&mut self, is_read: bool) {
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN), self.screen.interest()];
        fds.extend(self.node.interest());
        let input = io::stdin();
        if self.is_input_open {
            fds.push(PollFd::new(&input, PollFlags::IN));
        }
        let ask = self.gone.map(|_| Instant::now() + ASK_AGAIN);
        let until = self.node.deadline().into_iter().chain(ask).min();
        if is_read {
            self.wait.wait(&mut self.follower, &mut fds, until);
        } else {
            // There is no room: what is shown makes some. An error means that there is something to look at.
            let _ = rustix::event::poll(&mut fds, None);
        }
    }

    /// Takes what is in the log, as far as there is room for it; whether that is all.
    fn read(&mut self) -> Result<bool, Failure> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let room = self.screen.room();
            if room == 0 {
                return Ok(false);
            }
            match self.follower.read(&mut buffer[..room])? {
                Next::Bytes(length) => {
                    self.wait.found();
                    self.screen.push(&buffer[..length]);
                }
                Next::Missed(Some(bytes)) => say(format!("{bytes} bytes are missing here: rotated away, or removed")),
                Next::Missed(None) => say("something may be missing here"),
                Next::UpToDate => return Ok(true),
            }
        }
    }

    /// Whether the console is gone, and the daemon has nothing more to log of it.
    fn is_over(&self) -> bool {
        self.gone.is_some_and(|gone| {
            let status = Status::ask(&self.places.run_dir).unwrap_or_default();
            status.console(self.console).is_none() || gone + LAST_WORDS <= Instant::now()
        })
    }

    /// Nothing that is typed goes anywhere; one key ends it.
    fn keys(&mut self) -> Option<Ending> {
        let input = io::stdin();
        if !self.is_input_open || readiness(input.as_fd(), PollFlags::IN).is_empty() {
            return None;
        }
        let mut buffer = [0; 256];
        match read(&input, &mut buffer) {
            Ok(0) => Some(Ending::NoReader),
            Ok(length) => escape::cut(&buffer[..length], self.escape).1.then_some(Ending::Escape),
            Err(Errno::INTR | Errno::WOULDBLOCK) => None,
            Err(_) => Some(Ending::NoReader),
        }
    }

    fn stop(&mut self) -> Result<(), Failure> {
        terminal::put_back();
        let _ = signal_hook::low_level::emulate_default_handler(SIGTSTP);
        match &self.terminal {
            Some(terminal) => terminal.again().map_err(Failure::system("the terminal")),
            None => Ok(()),
        }
    }
}

/// The file in which the daemon logs a console.
fn log_of(console: Console, places: &Places) -> Result<std::path::PathBuf, Failure> {
    let named = |why: String| Err(Failure::Named(why));
    if !console.is_daemons() {
        return named(format!("the {console} is QEMU's: no log of it is kept; --type pv watches the first console"));
    }
    let status = match Status::ask(&places.run_dir) {
        Ok(status) => status,
        Err(error) => {
            let run_dir = places.run_dir.display();
            return named(format!(
                "no daemon says where the {console} is logged (xenlog.status in {run_dir}: {error})"
            ));
        }
    };
    match status.console(console) {
        None => named(format!("the daemon does not serve the {console}")),
        Some(said) => match &said.file {
            Some(file) => Ok(file.into()),
            None => named(format!("the {console} is not logged; xenconsoled --log=guest keeps a log")),
        },
    }
}
