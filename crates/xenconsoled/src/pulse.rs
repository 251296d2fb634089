//! How the main thread learns that a writer is stuck: not by asking all the time, which would cost CPU when nothing happens,
//! but by an alarm that a writer sets before it touches a file.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// A writer that has been at one round of work for so long is late.
pub const LATE: Duration = Duration::from_millis(20);

/// One writer's sign of life.
#[derive(Debug)]
pub struct Pulse {
    alarm: OwnedFd,
    /// Whether the alarm is set and has not rung.
    is_set: AtomicBool,
    /// When the round began, in microseconds since `start` and never 0; 0 between rounds.
    began: AtomicU64,
    start: Instant,
}

impl Pulse {
    /// A pulse of a writer that does nothing yet.
    pub fn new() -> std::io::Result<Pulse> {
        let alarm = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        Ok(Pulse { alarm, is_set: AtomicBool::new(false), began: AtomicU64::new(0), start: Instant::now() })
    }

    /// The writer begins a round that may block. While rounds follow one another the alarm is set every [`LATE`], not in each.
    pub fn begin(&self, now: Instant) {
        let since = now.duration_since(self.start).as_micros();
        self.began.store(u64::try_from(since).unwrap_or(u64::MAX).max(1), Ordering::SeqCst);
        if !self.is_set.swap(true, Ordering::SeqCst) {
            self.set();
        }
    }

    /// The round is over.
    pub fn end(&self) {
        self.began.store(0, Ordering::SeqCst);
    }

    /// There is a pause after the last round: an alarm that is still set would wake the main thread for nothing.
    pub fn pause(&self) {
        if self.is_set.load(Ordering::SeqCst) {
            self.arm(Duration::ZERO);
            // Last: had the main thread set it meanwhile, it may be off now and is set anew with the next round.
            self.is_set.store(false, Ordering::SeqCst);
        }
    }

    /// Readable when it is time for [`Pulse::look`].
    pub fn alarm(&self) -> BorrowedFd<'_> {
        self.alarm.as_fd()
    }

    /// The alarm rang: sees whether the writer is at work, and if so sets the alarm again. Between rounds it stays silent.
    pub fn look(&self) {
        let _ = rustix::io::read(&self.alarm, &mut [0; 8]);
        self.is_set.store(false, Ordering::SeqCst);
        if self.began.load(Ordering::SeqCst) != 0 && !self.is_set.swap(true, Ordering::SeqCst) {
            self.set();
        }
    }

    /// How long the writer has been at its round, if it is at one for longer than [`LATE`].
    pub fn late(&self, now: Instant) -> Option<Duration> {
        let began = self.began.load(Ordering::SeqCst);
        let at_it = now.checked_duration_since(self.start + Duration::from_micros(began))?;
        (began != 0 && at_it >= LATE).then_some(at_it)
    }

    fn set(&self) {
        self.arm(LATE);
    }

    /// Has the alarm ring after this time; none: never.
    fn arm(&self, after: Duration) {
        let once = Timespec { tv_sec: 0, tv_nsec: i64::from(after.subsec_nanos()) };
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let time = Itimerspec { it_interval: never, it_value: once };
        // It cannot fail with a valid time (timerfd_settime(2)).
        let _ = timerfd_settime(&self.alarm, TimerfdTimerFlags::empty(), &time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, poll};

    fn rings(pulse: &Pulse) -> bool {
        let wait = Timespec { tv_sec: 30, tv_nsec: 0 };
        poll(&mut [PollFd::from_borrowed_fd(pulse.alarm(), PollFlags::IN)], Some(&wait)).unwrap() == 1
    }

    #[test]
    fn a_round_that_does_not_end_is_noticed() {
        let pulse = Pulse::new().unwrap();
        let begin = Instant::now();
        pulse.begin(begin);
        assert_eq!(pulse.late(begin), None);
        assert!(rings(&pulse));
        pulse.look();
        assert!(pulse.late(Instant::now()).is_some());
        assert!(rings(&pulse), "and it goes on to ring");
        pulse.end();
        assert_eq!(pulse.late(Instant::now()), None);
    }

    #[test]
    fn an_alarm_does_not_outlive_a_pause_and_is_set_again_after_it() {
        let pulse = Pulse::new().unwrap();
        pulse.begin(Instant::now());
        pulse.end();
        pulse.pause();
        let set = rustix::time::timerfd_gettime(&pulse.alarm).unwrap().it_value;
        assert_eq!((set.tv_sec, set.tv_nsec), (0, 0), "it would ring for nothing");
        pulse.begin(Instant::now());
        assert!(rings(&pulse));
    }

    #[test]
    fn between_rounds_there_is_silence() {
        let pulse = Pulse::new().unwrap();
        pulse.begin(Instant::now());
        pulse.end();
        assert!(rings(&pulse));
        pulse.look();
        assert!(!pulse.is_set.load(Ordering::SeqCst), "no alarm is set, so none can ring");
        pulse.begin(Instant::now());
        assert!(rings(&pulse));
    }
}
