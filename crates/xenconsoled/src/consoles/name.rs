//! The name of a console's log file: what the stock daemon calls it (tools/console/daemon/io.c), made safe.

use std::fmt;

use logproto::DomId;

use crate::key::Kind;

/// A file's name: one part of a path, with room behind it for the suffix of a rotated copy. It ends in `.log`, so it is never the
/// name of another log's copy.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileName {
    stem: String,
    suffix: &'static str,
}

const PREFIX: &str = "guest-";
/// Bytes of the longest: Linux's longest name, less the suffix of a rotated copy (`.1` to `.999`).
const MOST: usize = 255 - ".999".len();

impl FileName {
    /// The name for the log of a domain with this `name`; `None` where the name is empty: there is no log then, as with stock.
    ///
    /// Each byte or character that no file name should have is `_` in it: `/`, control characters, what is no UTF-8. A long name is
    /// cut. So two domains may come to the same file name: see [`FileName::with_domid`].
    pub fn new(name: &[u8], kind: Kind) -> Option<FileName> {
        if name.is_empty() {
            return None;
        }
        let suffix = match kind {
            Kind::Pv => ".log",
            Kind::Vuart => "-vuart0.log",
        };
        Some(FileName { stem: safe(name), suffix }.cut_for(""))
    }

    /// The name for the second domain that would come to the same file. Whether that one is free is for the caller to see: a domain
    /// may be called so.
    pub fn with_domid(&self, domid: DomId) -> FileName {
        let end = format!("-{domid}");
        let mut name = self.clone().cut_for(&end);
        name.stem.push_str(&end);
        name
    }

    /// Cuts it so that `end` has room.
    fn cut_for(mut self, end: &str) -> FileName {
        let most = MOST - PREFIX.len() - self.suffix.len() - end.len();
        self.stem.truncate(self.stem.floor_char_boundary(most));
        self
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}{}", self.stem, self.suffix)
    }
}

fn safe(name: &[u8]) -> String {
    let mut safe = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        safe.extend(chunk.valid().chars().map(|c| if c == '/' || c.is_control() { '_' } else { c }));
        safe.extend(chunk.invalid().iter().map(|_| '_'));
    }
    safe
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use logproto::{LogPath, RootPath};
    use proptest::prelude::*;

    use super::*;

    fn name(name: &[u8]) -> String {
        FileName::new(name, Kind::Pv).unwrap().to_string()
    }

    #[test]
    fn names_are_stocks_where_they_are_harmless() {
        assert_eq!(name(b"web"), "guest-web.log");
        assert_eq!(name(b"Domain-0 a"), "guest-Domain-0 a.log");
        assert_eq!(name("größe".as_bytes()), "guest-größe.log");
        assert_eq!(FileName::new(b"web", Kind::Vuart).unwrap().to_string(), "guest-web-vuart0.log");
        assert_eq!(FileName::new(b"", Kind::Pv), None);
    }

    #[test]
    fn what_no_file_name_should_have_is_replaced() {
        for (unsafe_name, file) in [
            (&b"a/b"[..], "guest-a_b.log"),
            (b"../../etc/passwd", "guest-.._.._etc_passwd.log"),
            (b"..", "guest-...log"),
            (b".", "guest-..log"),
            (b"/", "guest-_.log"),
            (b"a\0b\n\x1b\x7f", "guest-a_b___.log"),
            ("a\u{85}b".as_bytes(), "guest-a_b.log"),
            (b"\xff\xfea\xc3", "guest-__a_.log"),
        ] {
            assert_eq!(name(unsafe_name), file, "{}", unsafe_name.escape_ascii());
        }
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        assert_eq!(name(&[b'x'; 1000]).len(), 251);
        let cut = name("ß".repeat(200).as_bytes());
        assert_eq!(cut, format!("guest-{}.log", "ß".repeat(120)));
        assert_eq!(name(format!("x{}", "ß".repeat(200)).as_bytes()).len(), 251);
    }

    #[test]
    fn the_second_domain_of_a_name_gets_its_id_in_front_of_the_end() {
        let with_domid =
            |name: &[u8], kind| FileName::new(name, kind).unwrap().with_domid(DomId::new(7).unwrap()).to_string();
        assert_eq!(with_domid(b"web", Kind::Pv), "guest-web-7.log");
        assert_eq!(with_domid(b"web", Kind::Vuart), "guest-web-7-vuart0.log");
        let long = with_domid(&[b'x'; 1000], Kind::Vuart);
        assert!(long.len() == 251 && long.ends_with("x-7-vuart0.log"), "{long}");
    }

    proptest! {
        #![proptest_config(crate::same_every_time())]

        #[test]
        fn any_name_is_a_log_path_of_one_part(name in proptest::collection::vec(any::<u8>(), 1..400), vuart: bool) {
            let file = FileName::new(&name, if vuart { Kind::Vuart } else { Kind::Pv }).unwrap();
            for file in [file.with_domid(DomId::MAX), file] {
                let root = RootPath::new(Path::new("/var/log/xen/console"));
                let path = LogPath::new(format!("/var/log/xen/console/{file}").as_bytes(), &root).unwrap();
                prop_assert_eq!(path.relative(), PathBuf::from(file.to_string()));
                prop_assert!(path.copy(999).name().len() <= 255);
            }
        }
    }
}
