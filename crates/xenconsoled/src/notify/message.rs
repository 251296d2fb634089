//! What the daemon and whoever keeps its descriptors say to each other: the text of a notification (sd_notify(3)), and its
//! bounds. No I/O.

/// The most descriptors in one message (`SCM_MAX_FD`, include/net/scm.h).
pub const DESCRIPTORS: usize = 253;
/// The longest text (`NOTIFY_BUFFER_MAX`, systemd's src/core/manager.c).
pub const TEXT: usize = 4096;
/// The longest name of a descriptor (`FDNAME_MAX`, systemd's src/basic/fd-util.h).
const NAME: usize = 255;
/// The most bytes of all names together, each with what separates it from the next: they are passed in one variable of the
/// environment, and execve(2) takes no longer one (`MAX_ARG_STRLEN`, include/uapi/linux/binfmts.h).
pub const NAMES: usize = 32 * 4096 - "LISTEN_FDNAMES=\0".len();
/// The name of what has none (systemd.exec(5), FDNAME).
const UNNAMED: &str = "stored";

/// One notification. What is not known is left out.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Message<'a> {
    /// `READY=1`
    pub ready: bool,
    /// `STOPPING=1`
    pub stopping: bool,
    /// `STATUS=`
    pub status: Option<&'a str>,
    /// `FDSTORE=1`: the message's descriptors are to be kept.
    pub store: bool,
    /// `FDSTOREREMOVE=1`: what is kept by this name is to be closed.
    pub remove: bool,
    /// `FDNAME=`, if it is a name.
    pub name: Option<&'a str>,
}

impl<'a> Message<'a> {
    /// Reads a notification: a line each, as systemd does.
    pub fn parse(text: &'a [u8]) -> Message<'a> {
        let lines =
            text.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok()?.split_once('='));
        lines.fold(Message::default(), |message, line| match line {
            ("READY", "1") => Message { ready: true, ..message },
            ("STOPPING", "1") => Message { stopping: true, ..message },
            ("STATUS", status) => Message { status: Some(status), ..message },
            ("FDSTORE", "1") => Message { store: true, ..message },
            ("FDSTOREREMOVE", "1") => Message { remove: true, ..message },
            ("FDNAME", name) => Message { name: is_name(name).then_some(name), ..message },
            // WATCHDOG=1 and BARRIER=1 need no more than to be taken; MAINPID is known; FDPOLL has no meaning where nothing
            // is polled.
            _ => message,
        })
    }

    /// What its descriptors are kept as.
    pub fn kept_as(&self) -> &'a str {
        self.name.unwrap_or(UNNAMED)
    }
}

/// Whether descriptors can have this name: printable ASCII without a colon, at most 255 bytes (sd_pid_notify_with_fds(3)).
pub fn is_name(name: &str) -> bool {
    name.len() <= NAME && name.bytes().all(|byte| (b' '..0x7f).contains(&byte) && byte != b':')
}

/// Asks to keep descriptors by this name, and not to look at them: a pipe whose writers are gone may still hold bytes, and
/// systemd would close it.
pub fn store(name: &str) -> String {
    format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0")
}

/// Asks to close what is kept by this name.
pub fn remove(name: &str) -> String {
    format!("FDSTOREREMOVE=1\nFDNAME={name}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_said_is_what_is_heard() {
        let stored = Message { store: true, name: Some("5.qemu"), ..Message::default() };
        assert_eq!(Message::parse(store("5.qemu").as_bytes()), stored);
        let removed = Message { remove: true, name: Some("5.qemu"), ..Message::default() };
        assert_eq!(Message::parse(remove("5.qemu").as_bytes()), removed);
        let all = Message::parse(b"READY=1\nSTATUS=a = b\nSTOPPING=1\nWATCHDOG=1\n");
        let expected = Message { ready: true, stopping: true, status: Some("a = b"), ..Message::default() };
        assert_eq!(all, expected);
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        for text in
            [&b""[..], b"READY", b"READY=", b"READY=0", b"ready=1", b" READY=1", b"=\n=\n\n", b"\xff\xfe=1", b"\0"]
        {
            assert_eq!(Message::parse(text), Message::default(), "{text:?}");
        }
        assert!(Message::parse(b"nonsense\n\xff\nREADY=1").ready, "and does not hide the rest");
    }

    #[test]
    fn a_bad_name_is_no_name() {
        let long = "n".repeat(256);
        for bad in ["a:b", "a\tb", "\u{e4}", &long] {
            assert!(!is_name(bad), "{bad}");
            assert_eq!(Message::parse(store(bad).as_bytes()).kept_as(), "stored", "{bad}");
        }
        assert!(is_name(&long[1..]) && is_name("a b") && is_name(""));
    }

    proptest! {
        #![proptest_config(crate::same_every_time())]

        #[test]
        fn any_bytes_are_a_message(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            lines in "((READY|STOPPING|STATUS|FDSTORE|FDSTOREREMOVE|FDNAME|x)=(1|[^\n]{0,300})\n?){0,6}",
        ) {
            for text in [&bytes[..], lines.as_bytes()] {
                let message = Message::parse(text);
                prop_assert!(is_name(message.kept_as()));
                // Lines that are not known change nothing.
                let more = [b"x=y\n", text].concat();
                prop_assert_eq!(Message::parse(&more), message);
            }
        }

        #[test]
        fn any_name_is_heard_as_it_was_said(name in "[ -9;-~]{0,255}") {
            let (stored, removed) = (store(&name), remove(&name));
            let heard = Message::parse(stored.as_bytes());
            prop_assert_eq!((heard.store, heard.remove, heard.kept_as()), (true, false, &name[..]));
            let heard = Message::parse(removed.as_bytes());
            prop_assert_eq!((heard.store, heard.remove, heard.kept_as()), (false, true, &name[..]));
            prop_assert!(stored.len() < TEXT && removed.len() < TEXT);
        }
    }
}
