//! What the keeper does and when: decisions only. What happens is told, what is to be done is asked for.

use std::time::{Duration, Instant};

use rustix::process::Signal;

/// A daemon that does not say within this time that it serves is stuck (systemd's `DefaultTimeoutStartSec`).
const START: Duration = Duration::from_secs(90);
/// How long a daemon that was told to leave may take. It gives itself 5 s, and may have just been started.
const STOP: Duration = Duration::from_secs(20);
/// How long it may take to die of SIGABRT, writing a core file.
const ABORT: Duration = Duration::from_secs(5);
/// How long the keeper waits for a process that was killed and does not end, before it leaves alone.
const GRACE: Duration = Duration::from_secs(5);

/// SIGKILL, which nobody sends to himself.
const KILLED: u8 = 9;

/// A life shorter than this is one that failed.
const QUICK: Duration = Duration::from_secs(1);
/// A life of this length makes good for all that failed before.
const STEADY: Duration = Duration::from_secs(10);
/// The first pause, when two lives in a row have failed; it doubles up to the longest.
const PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Start the daemon.
    Start,
    /// Send it this.
    Send(Signal),
    /// Become the program that is at the keeper's path now.
    Renew,
    /// Leave with this status.
    Leave(u8),
}

/// How a daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this status.
    Exit(u8),
    /// By a signal with this number.
    Signal(u8),
}

/// One keeper's course.
#[derive(Debug)]
pub struct Course {
    state: State,
    wish: Wish,
    pauses: Pauses,
    watchdog: Option<Duration>,
    /// Whether there ever was a daemon that served.
    has_served: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// There is no daemon; the next one comes then.
    Waiting { until: Instant },
    /// There is one, and it was heard of then.
    Running { since: Instant, heard: Instant, serves: bool },
    /// It was told to end; then it is killed.
    Ending { since: Instant, kill: Instant },
    /// It was killed then, and is not gone yet.
    Killed { since: Instant, at: Instant },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Serve,
    Renew,
    /// For good, by then.
    Stop(Instant),
}

impl Course {
    /// A keeper that has just begun. `watchdog` is how long a daemon may be silent; `has_served` that one has served under the
    /// keeper that this one was before.
    pub fn new(now: Instant, watchdog: Option<Duration>, has_served: bool) -> Course {
        let state = State::Waiting { until: now };
        Course { state, wish: Wish::Serve, pauses: Pauses::default(), watchdog, has_served }
    }

    /// What is to be done now; asked again until there is nothing. `keeps` says whether anything is kept.
    pub fn order(&mut self, now: Instant, keeps: bool) -> Option<Order> {
        match (self.state, self.wish) {
            (State::Waiting { .. }, Wish::Renew) => Some(Order::Renew),
            // What is kept may hold bytes that only a daemon can write.
            (State::Waiting { .. }, Wish::Stop(_)) if !keeps => Some(Order::Leave(0)),
            (State::Waiting { .. }, Wish::Stop(by)) if now >= by => Some(Order::Leave(1)),
            (State::Waiting { until }, Wish::Stop(_)) => (now >= until).then_some(Order::Start),
            (State::Waiting { until }, Wish::Serve) => (now >= until).then_some(Order::Start),
            (State::Running { since, .. }, Wish::Renew) => Some(self.kill(since, now)),
            // A signal that comes before the daemon waits for it would end it where it stands.
            (State::Running { since, serves: true, .. }, Wish::Stop(by)) => {
                self.state = State::Ending { since, kill: by };
                Some(Order::Send(Signal::TERM))
            }
            (State::Running { since, .. }, Wish::Stop(by)) if now >= by => Some(self.kill(since, now)),
            (State::Running { since, .. }, _) if self.silent_until().is_some_and(|until| now >= until) => {
                self.state = State::Ending { since, kill: now + ABORT };
                Some(Order::Send(Signal::ABORT))
            }
            (State::Ending { since, kill }, wish) if wish == Wish::Renew || now >= kill => Some(self.kill(since, now)),
            (State::Killed { at, .. }, Wish::Stop(_)) if now >= at + GRACE => Some(Order::Leave(1)),
            _ => None,
        }
    }

    /// When there may be something to do without anything happening.
    pub fn deadline(&self) -> Option<Instant> {
        let silent = self.silent_until();
        match (self.state, self.wish) {
            (State::Waiting { until }, Wish::Stop(by)) => Some(until.min(by)),
            (State::Waiting { until }, _) => Some(until),
            (State::Running { .. }, Wish::Stop(by)) => Some(silent.map_or(by, |until| until.min(by))),
            (State::Running { .. }, _) => silent,
            (State::Ending { kill, .. }, _) => Some(kill),
            (State::Killed { at, .. }, Wish::Stop(_)) => Some(at + GRACE),
            (State::Killed { .. }, _) => None,
        }
    }

    /// The daemon was started.
    pub fn started(&mut self, now: Instant) {
        self.state = State::Running { since: now, heard: now, serves: false };
    }

    /// It could not be: as if it had ended at once.
    pub fn not_started(&mut self, now: Instant) -> Result<Duration, u8> {
        self.started(now);
        self.ended(now, End::Exit(1), true)
    }

    /// The daemon was heard of.
    pub fn heard(&mut self, now: Instant) {
        if let State::Running { heard, .. } = &mut self.state {
            *heard = now;
        }
    }

    /// It said that it serves.
    pub fn serves(&mut self) {
        self.has_served = true;
        if let State::Running { serves, .. } = &mut self.state {
            *serves = true;
        }
    }

    /// It said that it is about to leave: told by somebody else.
    pub fn leaves(&mut self, now: Instant) {
        if let State::Running { since, .. } = self.state {
            self.state = State::Ending { since, kill: now + STOP };
        }
    }

    /// It has ended. The answer is how long it takes to the next one, or the status to leave with.
    pub fn ended(&mut self, now: Instant, end: End, keeps: bool) -> Result<Duration, u8> {
        let (State::Running { since, .. } | State::Ending { since, .. } | State::Killed { since, .. }) = self.state
        else {
            return Ok(Duration::ZERO);
        };
        // Killed while it served, it has not failed: it is needed as much as before.
        let pause = match end {
            End::Signal(KILLED) if self.is_serving() => Duration::ZERO,
            _ => self.pauses.after(now.saturating_duration_since(since)),
        };
        self.state = State::Waiting { until: now + pause };
        match (self.wish, end) {
            (Wish::Stop(_), End::Exit(status)) => Err(status),
            // It had no time to write what is kept: the next one has.
            (Wish::Stop(by), End::Signal(_)) if keeps && now < by => Ok(pause),
            (Wish::Stop(_), End::Signal(number)) => Err(128 + number),
            // What is wrong then is how it was called, or what it needs is not there. It has said so.
            (_, End::Exit(status)) if !self.has_served && !keeps => Err(status),
            _ => Ok(pause),
        }
    }

    /// The keeper is told to stop, for good.
    pub fn stop(&mut self, now: Instant) {
        if !matches!(self.wish, Wish::Stop(_)) {
            self.wish = Wish::Stop(now + STOP);
        }
    }

    /// The keeper is told to begin anew, with what is at its path now.
    pub fn renew(&mut self) {
        if self.wish == Wish::Serve {
            self.wish = Wish::Renew;
        }
    }

    /// It could not become another program: all stays as it is.
    pub fn not_renewed(&mut self) {
        if self.wish == Wish::Renew {
            self.wish = Wish::Serve;
        }
    }

    /// Whether there is a daemon that waits for signals.
    pub fn is_serving(&self) -> bool {
        matches!(self.state, State::Running { serves: true, .. })
    }

    /// When a daemon that is not heard of before that is stuck.
    fn silent_until(&self) -> Option<Instant> {
        match self.state {
            State::Running { heard, serves: true, .. } => Some(heard + self.watchdog?),
            // Whatever it says meanwhile.
            State::Running { since, serves: false, .. } => Some(since + START),
            _ => None,
        }
    }

    fn kill(&mut self, since: Instant, now: Instant) -> Order {
        self.state = State::Killed { since, at: now };
        Order::Send(Signal::KILL)
    }
}

/// How long to pause before the next start: not at all, but for a daemon that fails again and again.
#[derive(Debug, Default)]
struct Pauses {
    failed: u32,
}

impl Pauses {
    fn after(&mut self, lived: Duration) -> Duration {
        if lived >= QUICK {
            if lived >= STEADY {
                self.failed = 0;
            }
            return Duration::ZERO;
        }
        self.failed += 1;
        match self.failed {
            1 => Duration::ZERO,
            more => PAUSE.saturating_mul(1 << (more - 2).min(16)).min(LONGEST_PAUSE),
        }
    }
}

#[cfg(test)]
#[path = "course_tests.rs"]
mod tests;
