//! How a look at a console ends.

use xenlog::console::Console;

/// How a look at a console ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The person at the terminal said so.
    Escape,
    /// Nobody reads what is shown any more: the terminal or the pipe is gone.
    NoReader,
    /// The console itself is gone, most likely with its domain.
    Gone(Console),
    /// A signal that ends a process.
    Signal(i32),
}
