//! What the programs ask, word for word as rig/hypervisor/hypervisor.c sends it.

/// The size of a question: its number and four arguments.
pub(crate) const SIZE: usize = 20;

/// One question. Of unmask and notify there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// Comes with two pipes: to one pending ports are to be written, through the other come questions without an answer.
    Events,
    BindInterdomain {
        domid: u32,
        port: u32,
    },
    BindVirq(u32),
    Unbind(u32),
    Unmask(u32),
    Notify(u32),
    /// What a port is.
    Status(u32),
    /// The first domain whose id is not below this one.
    Domain(u32),
    /// The hypervisor's console, from `index` on if there is one.
    Console {
        index: Option<u32>,
        most: u32,
        clear: bool,
    },
}

impl Call {
    /// Reads a question.
    ///
    /// # Panics
    /// If there is no such question: library and hypervisor do not belong together.
    pub(crate) fn parse(bytes: &[u8; SIZE]) -> Call {
        let word = |n: usize| u32::from_ne_bytes([bytes[4 * n], bytes[4 * n + 1], bytes[4 * n + 2], bytes[4 * n + 3]]);
        match word(0) {
            0 => Call::Events,
            1 => Call::BindInterdomain { domid: word(1), port: word(2) },
            2 => Call::BindVirq(word(1)),
            3 => Call::Unbind(word(1)),
            4 => Call::Unmask(word(1)),
            5 => Call::Notify(word(1)),
            6 => Call::Status(word(1)),
            7 => Call::Domain(word(1)),
            8 => Call::Console { index: (word(4) != 0).then_some(word(1)), most: word(2), clear: word(3) != 0 },
            other => panic!("the library asks the hypervisor for {other}, which it does not know"),
        }
    }
}

/// An answer as the library reads it: the result, the number of bytes behind it, and these.
pub(crate) fn answer(result: Result<i32, rustix::io::Errno>, data: &[u8]) -> Vec<u8> {
    let result = result.unwrap_or_else(|why| -why.raw_os_error());
    let mut bytes = result.to_ne_bytes().to_vec();
    bytes.extend((data.len() as u32).to_ne_bytes());
    bytes.extend(data);
    bytes
}
