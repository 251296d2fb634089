//! The daemon's side of what keeps its descriptors: systemd's notification protocol (sd_notify(3)), which the keeper
//! ([`crate::keeper`]) speaks too. Nothing here ever waits: what the other side does not take at once is queued.

pub mod message;
mod passed;

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::crash;
use crate::pack::pack;
use passed::Passed;

/// Descriptors with the names by which they are kept. A name may be there more than once, and their order means nothing.
pub type Descriptors = Vec<(String, OwnedFd)>;

/// A line to whoever keeps this process's descriptors and watches over it.
///
/// What was sent is safe: it is looked at before a successor is started, also when this process is killed at once.
#[derive(Debug)]
pub struct Notify {
    socket: UnixDatagram,
    queue: VecDeque<Queued>,
    /// How many in the queue are about descriptors.
    unsafe_yet: usize,
    /// The other side could not take more.
    is_full: bool,
    /// There is no other side any more.
    is_gone: bool,
    kept: Names,
    /// It was said that not everything is kept.
    is_short: bool,
    watchdog: Option<Watchdog>,
}

#[derive(Debug)]
struct Queued {
    text: String,
    about: About,
    descriptors: Vec<OwnedFd>,
}

#[derive(Debug, PartialEq, Eq)]
enum About {
    Life,
    Status,
    Store(String),
    Remove,
}

#[derive(Debug)]
struct Watchdog {
    interval: Duration,
    next: Instant,
}

/// What is kept, so that never more is than can be passed on.
#[derive(Debug, Default)]
struct Names {
    counts: BTreeMap<String, usize>,
    /// As in LISTEN_FDNAMES.
    bytes: usize,
    descriptors: usize,
    most: Option<usize>,
}

/// What this process was given when it was started: the line to its keeper, if it has one, and the descriptors that its
/// predecessor left. To be called once, at the start, before there are threads.
pub fn from_env() -> (Option<Notify>, Descriptors) {
    let passed = Passed::read(std::process::id(), |name| std::env::var_os(name));
    let descriptors = passed.descriptors();
    let Some(address) = &passed.address else { return (None, descriptors) };
    match Notify::connect(address, passed.watchdog) {
        Ok(mut notify) => {
            notify.kept.most = passed.most;
            notify.inherit(&descriptors);
            (Some(notify), descriptors)
        }
        Err(why) => {
            tracing::warn!("NOTIFY_SOCKET {}: {why}: nobody keeps this daemon's descriptors", address.display());
            (None, descriptors)
        }
    }
}

impl Notify {
    /// A line to an address as NOTIFY_SOCKET has it: a path, or a name in the abstract namespace behind an `@`. If `watchdog` is
    /// given, no sign of life for so long is the end.
    pub fn connect(address: &OsStr, watchdog: Option<Duration>) -> io::Result<Notify> {
        let address = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(address)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        let watchdog = watchdog.map(|most| Watchdog { interval: most / 4, next: Instant::now() });
        let (queue, kept) = (VecDeque::new(), Names::default());
        Ok(Notify { socket, queue, unsafe_yet: 0, is_full: false, is_gone: false, kept, is_short: false, watchdog })
    }

    /// These are kept already: a predecessor left them.
    pub fn inherit(&mut self, descriptors: &Descriptors) {
        descriptors.iter().for_each(|(name, _)| self.kept.add(name, 1));
    }

    /// The daemon serves.
    pub fn ready(&mut self) {
        self.say("READY=1".into(), About::Life);
    }

    /// The daemon is about to leave for good.
    pub fn stopping(&mut self) {
        self.say("STOPPING=1".into(), About::Life);
    }

    /// How it goes, in one line.
    pub fn status(&mut self, text: &str) {
        self.queue.retain(|queued| queued.about != About::Status);
        let most = message::TEXT - "STATUS=".len();
        let text: String = text.replace(char::is_control, " ").chars().take(most / 4).collect();
        self.say(format!("STATUS={text}"), About::Status);
    }

    /// A sign of life, if it is time for one: to be called in every round of the main loop. See [`Notify::deadline`].
    pub fn alive(&mut self, now: Instant) {
        let Some(watchdog) = self.watchdog.as_mut().filter(|watchdog| now >= watchdog.next) else { return };
        watchdog.next = now + watchdog.interval;
        if !self.queue.iter().any(|queued| queued.text == "WATCHDOG=1") {
            self.say("WATCHDOG=1".into(), About::Life);
        }
    }

    /// When [`Notify::alive`] wants to be called again.
    pub fn deadline(&self) -> Option<Instant> {
        self.watchdog.as_ref().filter(|_| !self.is_gone).map(|watchdog| watchdog.next)
    }

    /// Has descriptors kept by a name, which may have some already. What is kept once must not be stored again: systemd takes
    /// it for the same, the keeper does not. Whether they will be is the answer: if not, there are too many, which is said once,
    /// or nobody keeps them.
    pub fn store(&mut self, name: &str, descriptors: &[BorrowedFd<'_>]) -> bool {
        if self.is_gone || !message::is_name(name) {
            return false;
        }
        if !self.kept.has_room(name, descriptors.len()) {
            let Names { descriptors, bytes, .. } = self.kept;
            self.say_short(&format!("there are {descriptors} already, with {bytes} bytes of names"));
            return false;
        }
        for some in descriptors.chunks(message::DESCRIPTORS) {
            let copies: io::Result<Vec<OwnedFd>> = some.iter().map(|fd| fd.try_clone_to_owned()).collect();
            let descriptors = match copies {
                Ok(descriptors) => descriptors,
                Err(why) => {
                    self.say_short(&why.to_string());
                    return false;
                }
            };
            self.kept.add(name, descriptors.len());
            let about = About::Store(name.to_owned());
            self.queue.push_back(Queued { text: message::store(name), about, descriptors });
            self.unsafe_yet += 1;
        }
        self.process();
        true
    }

    /// What is kept by this name is not needed any more.
    pub fn remove(&mut self, name: &str) {
        let kept = self.kept.remove(name);
        let mut unsent = 0;
        self.queue.retain(|queued| match &queued.about {
            About::Store(other) if other == name => {
                unsent += queued.descriptors.len();
                self.unsafe_yet -= 1;
                false
            }
            _ => true,
        });
        if kept > unsent {
            self.unsafe_yet += 1;
            self.say(message::remove(name), About::Remove);
        }
    }

    /// Takes no more room than it needs: see [`pack`].
    pub fn pack(&mut self) {
        pack(&mut self.kept.counts);
    }

    /// Sends what can be sent now.
    pub fn process(&mut self) {
        self.is_full = false;
        while let Some(queued) = self.queue.front() {
            match send(&self.socket, queued) {
                Ok(()) => {
                    let is_about_descriptors = matches!(queued.about, About::Store(_) | About::Remove);
                    self.unsafe_yet -= usize::from(is_about_descriptors);
                    self.queue.pop_front();
                    crash::point();
                }
                Err(Errno::INTR) => {}
                // The others are a want of memory, or too much under way: they pass too.
                Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM | Errno::TOOMANYREFS) => {
                    self.is_full = true;
                    return;
                }
                Err(why) => {
                    tracing::warn!(
                        "nobody keeps this daemon's descriptors any more ({why}): if it ends, bytes may be lost"
                    );
                    self.is_gone = true;
                    self.queue.clear();
                    self.unsafe_yet = 0;
                }
            }
        }
    }

    /// Whether something could not be sent: to be tried again before long.
    pub fn wants_write(&self) -> bool {
        self.is_full
    }

    /// Whether everything about descriptors was sent, or nobody wants to know it.
    pub fn is_flushed(&self) -> bool {
        self.unsafe_yet == 0
    }

    /// Whether there is nobody any more who keeps anything. There will be none: a keeper does not come back.
    pub fn is_gone(&self) -> bool {
        self.is_gone
    }

    /// Says once that something cannot be kept.
    fn say_short(&mut self, why: &str) {
        if !self.is_short {
            self.is_short = true;
            tracing::error!(
                "no more descriptors can be kept ({why}): if this daemon is killed, bytes of some logs may be lost"
            );
        }
    }

    fn say(&mut self, text: String, about: About) {
        if !self.is_gone {
            self.queue.push_back(Queued { text, about, descriptors: Vec::new() });
            self.process();
        }
    }
}

impl AsFd for Notify {
    /// For an event loop: see [`Notify::wants_write`].
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn send(socket: &UnixDatagram, queued: &Queued) -> Result<(), Errno> {
    let descriptors: Vec<BorrowedFd<'_>> = queued.descriptors.iter().map(AsFd::as_fd).collect();
    let rights = SendAncillaryMessage::ScmRights(&descriptors);
    let mut space = vec![MaybeUninit::uninit(); rights.size()];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        // There is room: it was asked for.
        control.push(rights);
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    sendmsg(socket, &[IoSlice::new(queued.text.as_bytes())], &mut control, flags).map(drop)
}

impl Names {
    fn has_room(&self, name: &str, descriptors: usize) -> bool {
        self.bytes + descriptors * (name.len() + 1) <= message::NAMES
            && self.most.is_none_or(|most| self.descriptors + descriptors <= most)
    }

    fn add(&mut self, name: &str, descriptors: usize) {
        *self.counts.entry(name.to_owned()).or_default() += descriptors;
        self.bytes += descriptors * (name.len() + 1);
        self.descriptors += descriptors;
    }

    fn remove(&mut self, name: &str) -> usize {
        let descriptors = self.counts.remove(name).unwrap_or(0);
        self.bytes -= descriptors * (name.len() + 1);
        self.descriptors -= descriptors;
        descriptors
    }
}

#[cfg(test)]
mod tests;
