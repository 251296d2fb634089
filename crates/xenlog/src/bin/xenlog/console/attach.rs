//! Attached to a console: what is typed goes to the guest, what the guest writes is shown.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read};
use signal_hook::consts::SIGTSTP;
use xenlog::Places;
use xenlog::console::{Console, Error, Tty};
use xenstore::Client;

use super::ending::Ending;
use super::node::{Found, Node};
use super::queue::Queue;
use super::screen::Screen;
use super::terminal::{self, Manner, Terminal};
use super::{escape, last};
use crate::failure::{Failure, say};
use crate::follow::readiness;
use crate::list::STORE_WAIT;
use crate::signals::Signals;

/// How long a console may be without a terminal before there is no use in waiting, as with the stock client.
const FIRST: Duration = Duration::from_secs(5);

/// A console that is attached to, or about to be.
#[derive(Debug)]
pub struct Attach<'a> {
    console: Console,
    lines: u64,
    escape: Option<u8>,
    places: &'a Places,
    signals: Signals,
    node: Node,
    /// What the last look at the node found.
    found: Option<Found>,
    /// Why what it names cannot be opened.
    trouble: Option<Error>,
    state: State,
    /// The guest's terminal. It stays open when it has hung up: its number goes to nobody else then, whom the node would
    /// name until the daemon is back.
    tty: Option<Tty>,
    is_hung_up: bool,
    typed: Queue,
    is_input_open: bool,
    screen: Screen,
    terminal: Option<Terminal>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No terminal yet.
    Waiting { until: Instant },
    /// There was one.
    Attached,
    /// The console is gone; what it wrote is still to be shown.
    Gone,
}

impl<'a> Attach<'a> {
    /// Begins to.
    pub fn open(
        console: Console,
        lines: u64,
        escape: Option<u8>,
        places: &'a Places,
        signals: Signals,
    ) -> Result<Attach<'a>, Failure> {
        Ok(Attach {
            console,
            lines,
            escape,
            places,
            signals,
            node: Node::follow(places.store.clone(), console)?,
            found: None,
            trouble: None,
            state: State::Waiting { until: Instant::now() + FIRST },
            tty: None,
            is_hung_up: false,
            typed: Queue::default(),
            is_input_open: true,
            screen: Screen::open().map_err(Failure::Output)?,
            terminal: None,
        })
    }

    /// Goes on until there is an end to it.
    pub fn run(mut self) -> Result<Ending, Failure> {
        let ending = loop {
            if let Some(ending) = self.turn()? {
                break ending;
            }
            self.wait();
        };
        if self.terminal.take().is_some() {
            // What is said next begins on a line of its own; the terminal makes the return itself again.
            self.screen.push(b"\n");
            let _ = self.screen.show();
        }
        Ok(ending)
    }

    fn wait(&self) {
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN), self.screen.interest()];
        fds.extend(self.node.interest());
        if let Some(tty) = self.tty.as_ref().filter(|_| !self.is_hung_up) {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, self.screen.room() > 0);
            flags.set(PollFlags::OUT, !self.typed.is_empty());
            // Asked for nothing, one that has hung up would be told of all the same, for ever.
            fds.extend((!flags.is_empty()).then(|| PollFd::new(tty, flags)));
        }
        let input = io::stdin();
        if self.takes_input() {
            fds.push(PollFd::new(&input, PollFlags::IN));
        }
        let first = if let State::Waiting { until } = self.state { Some(until) } else { None };
        let until = self.node.deadline().into_iter().chain(first).min();
        let left = until.and_then(|until| Timespec::try_from(until.saturating_duration_since(Instant::now())).ok());
        // Whatever ends the wait, a turn finds out what there is to do.
        let _ = poll(&mut fds, left.as_ref());
    }

    fn turn(&mut self) -> Result<Option<Ending>, Failure> {
        if let Some(signal) = self.signal()? {
            return Ok(Some(Ending::Signal(signal)));
        }
        if let Some(found) = self.node.process(Instant::now()) {
            self.go_by(found)?;
        }
        if matches!(self.state, State::Waiting { until } if until <= Instant::now()) {
            return Err(self.explain());
        }
        self.receive();
        let ending = self.type_in()?;
        if let Some(tty) = self.tty.as_ref().filter(|_| !self.is_hung_up)
            && self.typed.send(tty, usize::MAX).is_err()
        {
            self.hung_up();
        }
        if self.screen.show().is_err() {
            return Ok(Some(Ending::NoReader));
        }
        let is_over = self.state == State::Gone && self.screen.is_done();
        Ok(ending.or(is_over.then_some(Ending::Gone(self.console))))
    }

    /// A signal that ends this; one that stops it is obeyed with the terminal as it was.
    fn signal(&mut self) -> Result<Option<i32>, Failure> {
        let signals: Vec<i32> = self.signals.next().collect();
        if signals.contains(&SIGTSTP) {
            terminal::put_back();
            let _ = signal_hook::low_level::emulate_default_handler(SIGTSTP);
            if let Some(terminal) = &self.terminal {
                terminal.again().map_err(Failure::system("the terminal"))?;
            }
        }
        Ok(signals.into_iter().find(|&signal| signal != SIGTSTP))
    }

    fn go_by(&mut self, found: Found) -> Result<(), Failure> {
        match &found {
            Found::Nothing | Found::Empty if self.state == State::Attached => {
                self.receive();
                self.state = State::Gone;
            }
            Found::Nothing | Found::Empty => {}
            Found::Guests => {
                let node = self.console.tty_node();
                return Err(Failure::Named(format!("the guest itself can write {node}: what it names is not opened")));
            }
            Found::Tty(path) if self.tty.as_ref().is_some_and(|tty| tty.path() == path) => {}
            Found::Tty(path) => match Tty::open(path) {
                Ok(tty) => self.attach(tty)?,
                Err(error) => self.trouble = Some(error),
            },
        }
        self.found = Some(found);
        Ok(())
    }

    fn attach(&mut self, tty: Tty) -> Result<(), Failure> {
        // What the one before still has comes first.
        self.receive();
        if let State::Waiting { .. } = self.state {
            self.begin(&tty)?;
        }
        (self.tty, self.is_hung_up, self.state) = (Some(tty), false, State::Attached);
        Ok(())
    }

    /// The first look: sets the terminal, and shows the last lines.
    fn begin(&mut self, tty: &Tty) -> Result<(), Failure> {
        // Looked at first: what comes between is in the guest's terminal, and shown from there alone.
        let lines = if self.lines > 0 { last::lines(self.console, self.lines, self.places) } else { Vec::new() };
        self.terminal = Terminal::take(Manner::Raw).map_err(Failure::system("the terminal"))?;
        if self.terminal.is_some() {
            let escape = *self.escape.get_or_insert(escape::DEFAULT);
            self.note(&format!("attached to the {}; {} ends it", self.console, escape::shown(escape)));
        }
        if !tty.is_any_waiting() {
            let is_raw = self.terminal.is_some();
            self.screen.push(&if is_raw { last::with_returns(&lines) } else { lines });
        }
        Ok(())
    }

    /// Takes what the guest wrote, as far as there is room for it.
    fn receive(&mut self) {
        let mut buffer = [0; 4096];
        while let Some(tty) = self.tty.as_ref().filter(|_| !self.is_hung_up) {
            let room = self.screen.room().min(buffer.len());
            if room == 0 {
                return;
            }
            match read(tty, &mut buffer[..room]) {
                Ok(0) => self.hung_up(),
                Ok(length) => self.screen.push(&buffer[..length]),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return,
                Err(_) => self.hung_up(),
            }
        }
    }

    /// The other end of the guest's terminal is closed: another one will be named, or none any more.
    fn hung_up(&mut self) {
        self.is_hung_up = true;
        if self.state == State::Attached {
            self.note("the console's terminal has hung up; waiting for another");
        }
        self.node.look_again();
    }

    fn takes_input(&self) -> bool {
        self.is_input_open && self.state == State::Attached && self.typed.room() > 0
    }

    fn type_in(&mut self) -> Result<Option<Ending>, Failure> {
        let input = io::stdin();
        if !self.takes_input() || readiness(input.as_fd(), PollFlags::IN).is_empty() {
            return Ok(None);
        }
        let mut buffer = [0; 4096];
        let room = self.typed.room().min(buffer.len());
        match read(&input, &mut buffer[..room]) {
            // The terminal is gone, and with it whoever looked.
            Ok(0) | Err(Errno::IO) if self.terminal.is_some() => Ok(Some(Ending::NoReader)),
            Ok(0) => {
                self.is_input_open = false;
                Ok(None)
            }
            Ok(length) => {
                let (typed, is_end) = escape::cut(&buffer[..length], self.escape);
                self.typed.push(typed);
                Ok(is_end.then_some(Ending::Escape))
            }
            Err(Errno::INTR | Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(Failure::system("standard input")(errno.into())),
        }
    }

    /// A line for the person who looks.
    fn note(&self, text: &str) {
        // A raw terminal does not begin a line at the left by itself.
        say(if self.terminal.is_some() { format!("{text}\r") } else { text.to_owned() });
    }

    /// Why there is no terminal.
    fn explain(&mut self) -> Failure {
        let (console, node) = (self.console, self.console.tty_node());
        let who = if console.is_daemons() { "a console daemon (xenconsoled)" } else { "its QEMU" };
        match self.trouble.take() {
            Some(Error::Tty { path, source }) if source.kind() == io::ErrorKind::NotFound => {
                let path = path.escape_debug();
                return Failure::Named(format!(
                    "the {console} had the terminal {path}, which is gone: does {who} run?"
                ));
            }
            Some(trouble) => return trouble.into(),
            None => {}
        }
        let is_there = Client::connect(&self.places.store, STORE_WAIT)
            .and_then(|mut store| store.directory(node.trim_end_matches("/tty")));
        match is_there {
            Err(error) if error.is_absent() => {
                Failure::Named(format!("there is no {console}: {node} is not in the store"))
            }
            Err(error) => error.into(),
            Ok(_) => Failure::Named(format!(
                "the {console} has no terminal, and got none within {} s: does {who} run? ({node} is {})",
                FIRST.as_secs(),
                if self.found == Some(Found::Empty) { "empty" } else { "not in the store" },
            )),
        }
    }
}
