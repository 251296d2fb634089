//! The errors a store answers with: names on the wire, not numbers.

use std::fmt;

macro_rules! errnos {
    ($($variant:ident $name:literal $meaning:literal;)*) => {
        /// An error a store answered with (`xsd_errors` in xen/include/public/io/xs_wire.h).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Errno {
            $(#[doc = concat!("`", $name, "`: ", $meaning, ".")] $variant,)*
            /// A name that is not in the protocol's list.
            Other,
        }

        impl Errno {
            /// The error of this name, [`Errno::Other`] if there is none. `name` may end with its NUL.
            pub fn from_wire(name: &[u8]) -> Self {
                let name = name.strip_suffix(b"\0").unwrap_or(name);
                // oxenstored's name for it (tools/ocaml/xenstored/process.ml), which is not in xs_wire.h.
                if name == b"EQUOTA" {
                    return Errno::Enospc;
                }
                $(if name == $name.as_bytes() { return Errno::$variant; })*
                Errno::Other
            }

            /// The name on the wire.
            pub fn name(self) -> &'static str {
                match self { $(Errno::$variant => $name,)* Errno::Other => "an unknown error" }
            }

            #[cfg(test)]
            const ALL: &[Errno] = &[$(Errno::$variant),*];
        }

        impl fmt::Display for Errno {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Errno::$variant => f.write_str(concat!($meaning, " (", $name, ")")),)*
                    Errno::Other => f.write_str("an error the protocol does not name"),
                }
            }
        }
    };
}

errnos! {
    Einval "EINVAL" "invalid argument";
    Eacces "EACCES" "permission denied";
    Eexist "EEXIST" "exists already";
    Eisdir "EISDIR" "is a directory";
    Enoent "ENOENT" "no such node";
    Enomem "ENOMEM" "store out of memory";
    Enospc "ENOSPC" "quota exceeded";
    Eio "EIO" "I/O error in the store";
    Enotempty "ENOTEMPTY" "not empty";
    Enosys "ENOSYS" "not known to this store";
    Erofs "EROFS" "read-only";
    Ebusy "EBUSY" "busy";
    Eagain "EAGAIN" "conflict with another change";
    Eisconn "EISCONN" "connected already";
    E2big "E2BIG" "too large for one message";
    Eperm "EPERM" "not permitted";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_errors_are_one_to_one() {
        for &errno in Errno::ALL {
            assert_eq!(Errno::from_wire(errno.name().as_bytes()), errno);
            assert_eq!(Errno::from_wire(format!("{}\0", errno.name()).as_bytes()), errno);
        }
        assert_eq!(Errno::ALL.len(), 16);
    }

    #[test]
    fn oxenstoreds_quota_error_is_understood() {
        assert_eq!(Errno::from_wire(b"EQUOTA"), Errno::Enospc);
    }

    #[test]
    fn unknown_names_are_kept_apart() {
        assert_eq!(Errno::from_wire(b"EOWNERDEAD\0"), Errno::Other);
        assert_eq!(Errno::from_wire(b""), Errno::Other);
        assert_eq!(Errno::from_wire(b"\xff"), Errno::Other);
    }
}
