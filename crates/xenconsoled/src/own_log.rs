//! The daemon's own log: standard error in the foreground, syslog(3) in the background, as the stock daemon has it.

use std::fmt;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::Visit;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

/// LOG_DAEMON (RFC 5424, 6.2.1).
const FACILITY: u8 = 3;

/// Where the log goes.
#[derive(Debug)]
pub enum Sink {
    /// Standard error, a line each.
    Stderr,
    /// The system's log socket. What it does not take at once is not waited for.
    Syslog(UnixDatagram),
}

impl Sink {
    /// The system's log, or standard error where there is none.
    pub fn syslog(socket: &Path) -> Sink {
        let connect = || -> io::Result<UnixDatagram> {
            let datagram = UnixDatagram::unbound()?;
            datagram.connect(socket)?;
            datagram.set_nonblocking(true)?;
            Ok(datagram)
        };
        connect().map_or(Sink::Stderr, Sink::Syslog)
    }
}

/// Sends what the program says to `sink`, from now on; debugging too if `verbose`.
pub fn start(sink: Sink, verbose: bool) {
    let level = if verbose { Level::DEBUG } else { Level::INFO };
    // It fails only if it was done before.
    let _ = tracing::subscriber::set_global_default(Registry::default().with(Lines { sink, level }));
}

struct Lines {
    sink: Sink,
    level: Level,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= self.level
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let (word, severity) = match *event.metadata().level() {
            Level::ERROR => ("error: ", 3),
            Level::WARN => ("warning: ", 4),
            Level::INFO => ("", 6),
            _ => ("debug: ", 7),
        };
        let text = text.0.replace(char::is_control, " ");
        // Without a place for the log there is none for that complaint either.
        let _ = match &self.sink {
            Sink::Stderr => writeln!(io::stderr().lock(), "xenconsoled: {word}{text}"),
            Sink::Syslog(socket) => {
                let priority = FACILITY << 3 | severity;
                let line = format!("<{priority}>xenconsoled[{}]: {text}", std::process::id());
                socket.send(line.as_bytes()).map(drop)
            }
        };
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        use fmt::Write;
        if field.name() == "message" {
            let _ = write!(self.0, "{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_log_gets_one_line_with_its_priority() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let server = UnixDatagram::bind(&path).unwrap();
        let layer = Lines { sink: Sink::syslog(&path), level: Level::INFO };
        tracing::subscriber::with_default(Registry::default().with(layer), || {
            tracing::debug!("not this");
            tracing::warn!("two\nlines of {}", 5);
        });
        let mut line = [0; 200];
        let len = server.recv(&mut line).unwrap();
        let line = String::from_utf8_lossy(&line[..len]).into_owned();
        assert_eq!(line, format!("<28>xenconsoled[{}]: two lines of 5", std::process::id()));
    }

    #[test]
    fn without_a_system_log_there_is_standard_error() {
        assert!(matches!(Sink::syslog(Path::new("/nonexistent/log")), Sink::Stderr));
    }
}
