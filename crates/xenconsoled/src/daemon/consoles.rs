//! Consoles in the main loop: what they wish for, and what comes of it.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use logproto::{Policy, Refusal, Stamp};
use rustix::event::epoll;

use super::{Daemon, DaemonError};
use crate::consoles::hypervisor::Hypervisor;
use crate::consoles::{Consoles, Wish, World, token};
use crate::inlets::{Inlets, Wanted};
use crate::key::Own;
use crate::logs::StreamId;
use crate::relief::Relief;
use crate::settings::ConsoleSettings;
use crate::source::Source;
use crate::status::Counters;

/// The name of the hypervisor's log, and of the one that it has where that is taken.
const HYPERVISOR: [&str; 2] = ["hypervisor.log", "hypervisor-1.log"];

/// The file and the account of one of the daemon's own logs.
pub(super) fn account(inlets: &Inlets, relief: &Relief, own: Own) -> Option<(String, Option<Counters>)> {
    let (stream, file, missed) = inlets.account(own)?;
    let counters = stream.and_then(|stream| relief.source(stream)).map(|source| Counters::of(source, missed));
    Some((file.display().to_string(), counters))
}

impl Daemon {
    /// Begins with what is served of the hypervisor and its guests.
    pub(super) fn begin_consoles(&mut self, settings: Option<ConsoleSettings>) {
        let Some(settings) = settings else {
            // What another kind of daemon left.
            return self.end_unwanted();
        };
        if settings.manner.logs || settings.logs_hypervisor {
            let dir = self.inlets.keeping().dir.path();
            if let Err(why) = std::fs::create_dir_all(dir) {
                tracing::warn!("{}: cannot be made: {why}", dir.display());
            }
        }
        if settings.logs_hypervisor
            && let Some(consoles) = &self.consoles
        {
            let now = Instant::now();
            let events = consoles.events().clone();
            match Hypervisor::new(self.logs.rules().run.path(), events, now) {
                Ok(hypervisor) => {
                    self.hypervisor = Some(hypervisor);
                    let stamp = if settings.stamps_hypervisor { Stamp::Line } else { Stamp::None };
                    let [file, other] = HYPERVISOR.map(str::to_owned);
                    // Nothing is dropped here: what was not read yet waits with the hypervisor.
                    self.want(Own::Hypervisor, Wanted { file, other, stamp, policy: Policy::Block }, now);
                }
                Err(why) => tracing::error!("the hypervisor's console is not logged: {why}"),
            }
        }
    }

    /// Does what is due, and answers with how long nothing more is.
    pub(super) fn serve_consoles(&mut self, now: Instant) -> Option<Duration> {
        let mut more = false;
        self.with_consoles(now, |consoles, world| more = !consoles.process(world));
        while let Some(wish) = self.consoles.as_mut().and_then(|consoles| consoles.wish()) {
            more = true;
            self.grant(wish, now);
        }
        for doubt in self.inlets.process(&mut self.logs, now) {
            match (doubt, &mut self.consoles) {
                (Own::Console(key), Some(consoles)) => consoles.look_at(key),
                _ => self.inlets.is_there(doubt, now),
            }
        }
        self.with_consoles(now, |consoles, world| consoles.logs_moved(world));
        if let Some(hypervisor) = &mut self.hypervisor {
            hypervisor.process(&mut self.inlets, now);
        }
        while let Some(action) = self.logs.action() {
            self.act(action);
        }
        if more {
            // What is safe by now is seen to by the next round, too.
            return Some(Duration::ZERO);
        }
        let hypervisor = self.hypervisor.as_ref().and_then(Hypervisor::deadline);
        let consoles = self.consoles.as_ref().and_then(|consoles| consoles.deadline());
        let next = [hypervisor, consoles, self.inlets.deadline()].into_iter().flatten().min();
        next.map(|at| at.saturating_duration_since(Instant::now()))
    }

    fn with_consoles(&mut self, now: Instant, what: impl FnOnce(&mut Consoles, &mut World<'_>)) {
        let Daemon { consoles, inlets, relief, .. } = self;
        if let Some(consoles) = consoles {
            let mut make_room = |stream| relief.make_room(stream);
            what(consoles, &mut World { inlets, make_room: &mut make_room, now });
        }
    }

    fn grant(&mut self, wish: Wish, now: Instant) {
        match wish {
            Wish::Log(key, wanted) => self.want(Own::Console(key), wanted, now),
            Wish::NoLog(key) => {
                let own = Own::Console(key);
                self.inlets.end(own, &mut self.logs);
                // An earlier daemon's, that nobody has asked for.
                self.logs.end_own(own);
            }
            Wish::Keep(key) => {
                self.kept.forget_console(key);
                if let Some(descriptors) = self.consoles.as_ref().and_then(|consoles| consoles.descriptors(key)) {
                    self.kept.console(key, descriptors);
                }
            }
            Wish::Forget(key) => self.kept.forget_console(key),
            Wish::IsThere(key) => self.inlets.is_there(Own::Console(key), now),
            Wish::Settled => self.end_unwanted(),
        }
    }

    fn want(&mut self, own: Own, wanted: Wanted, now: Instant) {
        self.inlets.want(own, wanted, &mut self.logs, now);
        let stream = self.logs.own(own).map(|(stream, _)| stream);
        if let Some(source) = stream.and_then(|stream| self.relief.source(stream)) {
            self.inlets.resume(own, source.pipe(), &mut self.logs, now);
        }
    }

    /// Logs of earlier daemons that nobody wants.
    fn end_unwanted(&mut self) {
        let wanted: BTreeSet<Own> = self.inlets.wanted().collect();
        let may_come = |own: &Own| match (own, &self.consoles) {
            (Own::Console(key), Some(consoles)) => consoles.is_tried_again(*key),
            _ => false,
        };
        let is_unwanted = |own: &Own| !wanted.contains(own) && !may_come(own);
        let unwanted: Vec<Own> = self.logs.all_own().filter(is_unwanted).collect();
        unwanted.into_iter().for_each(|own| self.logs.end_own(own));
    }

    /// The daemon leaves for good. Where nobody keeps its own logs' pipes, their names are of no use to anybody.
    pub(super) fn remove_own_pipes(&self) {
        if self.kept.is_kept() {
            return;
        }
        let run = &self.logs.rules().run;
        for (_, request) in self.logs.all_own().filter_map(|own| self.logs.own(own)) {
            // Somebody else has removed it: that is as well.
            let _ = std::fs::remove_file(request.pipe.below(run));
        }
    }

    /// A log is open and kept: if it is one of the daemon's own, it may be filled.
    pub(super) fn own_opened(&mut self, stream: StreamId, source: &Source) {
        let Some(own) = self.logs.own_of(stream) else { return };
        // There is no client that has to hear of it first: the FIFO's name is the daemon's own to remove.
        source.set_served();
        self.kept.served(stream);
        if self.inlets.opened(own, stream)
            && own == Own::Hypervisor
            && let Some(hypervisor) = &mut self.hypervisor
        {
            hypervisor.log_ready(Instant::now());
        }
    }

    /// A log could not be opened.
    pub(super) fn refused(&mut self, stream: StreamId, refusal: Refusal) {
        if let Some(own) = self.logs.own_of(stream) {
            self.inlets.refused(own, stream, &refusal, Instant::now());
        }
        self.logs.refused(stream, refusal);
    }

    /// All logs are opened again by the names that domains have now.
    pub(super) fn reopen_consoles(&mut self) {
        self.inlets.reopened();
        if let Some(consoles) = &mut self.consoles {
            consoles.reopen();
        }
    }

    /// When all is to be looked after that is due at `due`: earlier where a console wants something.
    pub(super) fn consoles_due(&self, due: Instant) -> Instant {
        self.consoles.as_ref().and_then(Consoles::deadline).map_or(due, |at| at.min(due))
    }

    /// Something happened that the event loop waits for. True if it was a console's, and no more came of it: guests that write
    /// and clients that type are so many that nothing else is looked after for each of them.
    pub(super) fn console_event(&mut self, which: u64, flags: epoll::EventFlags) -> Result<bool, DaemonError> {
        let now = Instant::now();
        if which == token::EVENTS {
            if flags.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
                return Err(DaemonError::Events(ErrorKind::BrokenPipe.into()));
            }
            return self.guests(now, Consoles::events_came);
        }
        let Some(key) = token::console(which) else { return Ok(false) };
        self.with_consoles(now, |consoles, world| consoles.pty_event(key, world));
        Ok(self.is_settled())
    }

    /// When [`Daemon::look_for_guests`] has to be called.
    pub(super) fn guests_due(&self) -> Option<Instant> {
        self.consoles.as_ref().and_then(Consoles::next_look)
    }

    /// Does for guests what is due. True if no more came of it.
    pub(super) fn look_for_guests(&mut self, now: Instant) -> Result<bool, DaemonError> {
        self.guests(now, Consoles::look)
    }

    fn guests(
        &mut self,
        now: Instant,
        what: impl FnOnce(&mut Consoles, &mut World<'_>) -> std::io::Result<Vec<u32>>,
    ) -> Result<bool, DaemonError> {
        let mut came = Ok(Vec::new());
        self.with_consoles(now, |consoles, world| came = what(consoles, world));
        let others = came.map_err(DaemonError::Events)?;
        for port in &others {
            if let Some(hypervisor) = &mut self.hypervisor {
                hypervisor.event(*port, now);
            }
        }
        Ok(others.is_empty() && self.is_settled())
    }

    fn is_settled(&self) -> bool {
        self.consoles.as_ref().is_none_or(Consoles::is_settled) && !self.relief.is_needed(false)
    }
}
