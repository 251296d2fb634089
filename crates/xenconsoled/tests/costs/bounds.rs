//! What things may cost, and in the comments what they did cost when that was set, main thread first. Most counts are the same each
//! time; so a bound leaves room for what is done once a second, and not for one system call more. Whoever makes a thing cheaper
//! lowers its bound. Lines that come one by one are the exception: whether the writer rests between two of them (up to three calls
//! more) is a matter of when they come, so their bounds have room for that, and would not notice one call more.

/// System calls of the main thread, and of all others, for one of what is counted.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    pub main: f64,
    pub writers: f64,
}

/// A MiB through a pipe of 64 KiB, rotation at 10 MiB included: 0 and 66.6, four for each move.
pub const STREAM: Most = Most { main: 1.0, writers: 72.0 };

/// A MiB through a pipe of 1 MiB, rotation at 10 MiB included: 0 and 18.1, four for each move of 256 KiB.
pub const STREAM_OF_LARGE_PIPE: Most = Most { main: 1.0, writers: 20.0 };

/// A line that comes alone: 0 and 5.1 to 6.2.
pub const LINE: Most = Most { main: 0.4, writers: 7.5 };

/// The same where lines have their time: 0 and 12.1 to 13.3.
pub const LINE_WITH_TIME: Most = Most { main: 0.4, writers: 14.2 };

/// 100 lines of those that a full pipe has, about 800: 0 and 0.14: their pipe was made larger.
pub const LINES: Most = Most { main: 0.3, writers: 0.3 };

/// The same where lines have their time, in turns of 16 KiB: 0 and 7.3.
pub const LINES_WITH_TIMES: Most = Most { main: 0.3, writers: 7.6 };

/// A line of one of many logs that comes alone, a look at the name of its file included: 0 and 7.1 to 8.7.
pub const LINE_OF_MANY_LOGS: Most = Most { main: 0.4, writers: 9.5 };

/// A line of a guest that comes alone: 6.0, two of them in the stand-in for the hypervisor, and 8.0, one of them a look at the name
/// of its log's file.
pub const EVENT: Most = Most { main: 6.7, writers: 8.7 };

/// A line of a guest while others have one, too: 4.2, two of them in the stand-in for the hypervisor, and 5.3, that look included.
/// The main thread has room for looking after logs whose writer is late, as one is that is traced on a busy machine.
pub const EVENT_OF_MANY: Most = Most { main: 5.9, writers: 6.0 };

/// 24 at a rotation with five copies: the names of the copies, a list of them, and a list of what there is to do.
pub const ALLOCATIONS_OF_A_ROTATION: u64 = 25;

/// 0 to 7 for 100 lines with their times: the room for a text grows to what the largest one needs, in each hand.
pub const ALLOCATIONS_OF_LINES_WITH_TIMES: u64 = 24;
