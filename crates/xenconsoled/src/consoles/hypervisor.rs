//! The hypervisor's console, read into a log like all others. The hypervisor never waits: what it overwrites before it was read is
//! missing, and the log says how much.

use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use xen_sys::xen::{EventChannels, HypervisorConsole, XenError};

use super::overrun::{self, Position};
use crate::inlet;
use crate::inlets::Inlets;
use crate::key::Own;
use crate::said::Said;

/// `VIRQ_CON_RING` (xen/include/public/xen.h): something was written there.
const VIRQ_CON_RING: u32 = 8;
/// Reads of one turn.
const READS: usize = 16;
/// How soon it is tried again to write into a pipe that is full.
const FULL: Duration = Duration::from_millis(50);
/// How soon it is tried again to get what could not be had.
const AGAIN: Duration = Duration::from_secs(5);

/// Why there can be no log of the hypervisor.
#[derive(Debug, thiserror::Error)]
pub enum HypervisorError {
    /// The hypervisor's console is not to be had.
    #[error("{0}")]
    Xen(#[from] XenError),
    /// How far it was read cannot be kept.
    #[error("{path}: {why}")]
    Position {
        /// The record.
        path: String,
        /// The system's answer.
        why: std::io::Error,
    },
}

/// The hypervisor's log.
#[derive(Debug)]
pub struct Hypervisor {
    console: HypervisorConsole,
    events: Rc<EventChannels>,
    port: Option<u32>,
    position: Position,
    /// What was read and is not in the log's pipe: a line that says what is missing, and what comes behind it.
    texts: Vec<Vec<u8>>,
    at_line_start: bool,
    overrun: u64,
    due: Option<Instant>,
    /// What does not work.
    said: Said,
}

impl Hypervisor {
    /// The hypervisor's console, from where the last daemon was. `run` is the run directory.
    pub fn new(run: &Path, events: Rc<EventChannels>, now: Instant) -> Result<Hypervisor, HypervisorError> {
        let console = HypervisorConsole::open()?;
        let path = || run.join(overrun::NAME).display().to_string();
        let position = Position::open(run).map_err(|why| HypervisorError::Position { path: path(), why })?;
        Ok(Hypervisor {
            console,
            events,
            port: None,
            position,
            texts: Vec::new(),
            at_line_start: true,
            overrun: 0,
            due: Some(now),
            said: Said::default(),
        })
    }

    /// Bytes that were overwritten before they were read, since this daemon runs.
    pub fn overrun(&self) -> u64 {
        self.overrun
    }

    /// When [`Hypervisor::process`] wants to be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// A port had an event, maybe this one's.
    pub fn event(&mut self, port: u32, now: Instant) {
        if self.port == Some(port) {
            self.due = Some(now);
        }
    }

    /// Its log can be filled.
    pub fn log_ready(&mut self, now: Instant) {
        self.due = Some(now);
    }

    /// Reads what is there, if that is due.
    pub fn process(&mut self, inlets: &mut Inlets, now: Instant) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        if !inlets.is_ready(Own::Hypervisor, now) {
            // Until [`Hypervisor::log_ready`], or until it is waited for no more.
            self.due = Some(now + FULL);
            return;
        }
        self.due = None;
        if self.port.is_none() {
            match self.events.bind_virq(VIRQ_CON_RING) {
                Ok(port) => self.port = Some(port),
                Err(why) => {
                    self.say(&format!("cannot be told of news (VIRQ {VIRQ_CON_RING}; another daemon may be): {why}"));
                    self.due = Some(now + AGAIN);
                }
            }
        }
        for _ in 0..READS {
            match self.read(inlets) {
                Ok(true) => {}
                Ok(false) if self.texts.is_empty() => {
                    if let Some(port) = self.port {
                        let _ = self.events.unmask(port);
                    }
                    return;
                }
                Ok(false) => {
                    self.due = Some(now + FULL);
                    return;
                }
                Err(why) => {
                    self.say(&format!("cannot be read: {why}"));
                    self.due = Some(now + AGAIN);
                    return;
                }
            }
        }
        // Others first.
        self.due = Some(now);
    }

    /// Moves one piece. False if there is none, or no room for it.
    fn read(&mut self, inlets: &mut Inlets) -> std::io::Result<bool> {
        if self.texts.is_empty() {
            let mut bytes = vec![0; inlet::MOST];
            let asked = self.position.index();
            let (count, next) = self.console.read(asked, &mut bytes)?;
            if count == 0 {
                return Ok(false);
            }
            bytes.truncate(count);
            let missing = overrun::missing(asked, next, u32::try_from(count).unwrap_or(u32::MAX));
            let is_behind = missing > 0 && asked != 0;
            if is_behind {
                self.overrun += u64::from(missing);
                self.texts.push(overrun::marker(missing, !self.at_line_start).into_bytes());
            }
            self.at_line_start = bytes.last() == Some(&b'\n');
            self.texts.push(bytes);
            self.position.advance(next);
        }
        while let Some(text) = self.texts.first() {
            if !inlets.try_write(Own::Hypervisor, text) {
                return Ok(false);
            }
            self.texts.remove(0);
        }
        match self.position.keep() {
            Err(why) => self.say(&format!("how far it was read cannot be kept ({}): {why}", overrun::NAME)),
            // Without a port it is read, but it is still not told of news.
            Ok(()) if self.port.is_some() => drop(self.said.is_over()),
            Ok(()) => {}
        }
        Ok(true)
    }

    fn say(&mut self, what: &str) {
        if self.said.is_news(what) {
            tracing::error!("the hypervisor's console {what}; trying again");
        }
    }
}
