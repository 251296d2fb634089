//! What QEMU's arguments say about the domain. Values in, values out.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use logproto::DomId;

/// The domain that a QEMU is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Its id.
    pub id: DomId,
    /// Its name, if the arguments give one.
    pub name: Option<OsString>,
}

/// Finds the domain in QEMU's arguments (without the program's own name): `-xen-domid N` and `-name NAME`, as libxl
/// gives them to today's QEMU, or `-d N` and `-domain-name NAME`, as it gave them to the traditional one
/// (tools/libs/light/libxl_dm.c). `None` where no domain is named: then QEMU is only asked about itself, or not Xen's.
///
/// The first of each counts. An option's value is never taken for an option, so a domain may be called `-xen-domid`.
pub fn domain(arguments: &[OsString]) -> Option<Domain> {
    let (mut id, mut name) = (None, None);
    let (mut old_id, mut old_name) = (None, None);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let slot = match option(argument) {
            Some(b"xen-domid") => &mut id,
            Some(b"name") => &mut name,
            // Today's QEMU has a -d of its own, so it is only believed beside -domain-name, which today's has not.
            Some(b"d") => &mut old_id,
            Some(b"domain-name") => &mut old_name,
            _ => continue,
        };
        let value = rest.next();
        if slot.is_none() {
            *slot = value;
        }
    }
    let (id, name) = match (id, old_id, old_name) {
        (Some(id), _, _) => (id, name.and_then(|value| guest_name(value))),
        (None, Some(id), Some(name)) => (id, Some(name.clone())),
        _ => return None,
    };
    let id = id.to_str()?.parse().ok()?;
    Some(Domain { id, name: name.filter(|name| !name.is_empty()) })
}

/// The name of an option: QEMU takes one dash or two (lookup_opt, qemu/system/vl.c).
fn option(argument: &OsStr) -> Option<&[u8]> {
    let name = argument.as_bytes().strip_prefix(b"-")?;
    Some(name.strip_prefix(b"-").unwrap_or(name))
}

/// The guest's name in the value of `-name`: `[guest=]NAME[,key=value…]`, where a doubled comma is one that belongs to
/// the value (qemu/util/qemu-option.c). The last one counts, as it does for QEMU.
fn guest_name(value: &OsStr) -> Option<OsString> {
    let mut name = None;
    for (at, part) in parts(value.as_bytes()).into_iter().enumerate() {
        let equals = part.iter().position(|&byte| byte == b'=');
        match equals {
            None if at == 0 => name = Some(part),
            Some(equals) if &part[..equals] == b"guest" => name = Some(part[equals + 1..].to_vec()),
            _ => {}
        }
    }
    name.map(|name| OsStr::from_bytes(&name).to_owned())
}

/// Takes a list apart at its single commas; doubled ones become single.
fn parts(list: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = list.iter().peekable();
    while let Some(&byte) = bytes.next() {
        if byte == b',' && bytes.next_if_eq(&&b',').is_none() {
            parts.push(Vec::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(byte);
        }
    }
    parts
}

/// The file of a domain's QEMU log, in the log directory: `qemu-dm-NAME.log`, libxl's own name for it. Whatever would
/// not be one plain name becomes `_`, and a long name is cut so that the suffix of a rotated copy still fits.
pub fn file_name(domain: &Domain) -> String {
    const BEFORE: &str = "qemu-dm-";
    const AFTER: &str = ".log";
    /// Linux allows 255 (`NAME_MAX`); a rotated copy adds up to four.
    const MOST: usize = 255 - 4 - BEFORE.len() - AFTER.len();
    let name = match &domain.name {
        Some(name) => name.to_string_lossy().into_owned(),
        None => domain.id.to_string(),
    };
    let odd = |c: char| c == '/' || c == char::REPLACEMENT_CHARACTER || c.is_control();
    let mut name: String = name.chars().map(|c| if odd(c) { '_' } else { c }).collect();
    name.truncate(name.floor_char_boundary(MOST));
    format!("{BEFORE}{name}{AFTER}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<(u16, Option<String>)> {
        let arguments: Vec<OsString> = line.split(' ').map(Into::into).collect();
        domain(&arguments).map(|found| (found.id.number(), found.name.map(|name| name.into_string().unwrap())))
    }

    fn named(id: u16, name: &str) -> Option<(u16, Option<String>)> {
        Some((id, Some(name.to_owned())))
    }

    #[test]
    fn libxls_arguments_name_the_domain() {
        let today = "-xen-domid 3 -no-shutdown -chardev socket,id=libxl-cmd,fd=19,server=on,wait=off -mon \
                     chardev=libxl-cmd,mode=control -nodefaults -no-user-config -name flood -vnc none -m 64";
        assert_eq!(read(today), named(3, "flood"));
        assert_eq!(read("-xen-domid 4 -xen-attach -name domain-4 -nographic -M xenpv"), named(4, "domain-4"));
        assert_eq!(read("-d 5 -domain-name old -videoram 4"), named(5, "old"));
        assert_eq!(read("--xen-domid 6 --name two"), named(6, "two"));
        assert_eq!(read("-xen-domid 7"), Some((7, None)));
    }

    #[test]
    fn qemu_asked_about_itself_has_no_domain() {
        for line in [
            "-help",
            "--version",
            "",
            // libxl's probe of the options.
            "-S -no-user-config -nodefaults -nographic -machine none,accel=xen -chardev socket,id=c,fd=5",
            "-name lonely",
            "-d guest_errors",
            "-d 5",
            "-xen-domid",
            "-xen-domid x",
            "-xen-domid -1",
            "-xen-domid 32752",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[test]
    fn a_value_is_never_an_option() {
        assert_eq!(read("-xen-domid 3 -name -xen-domid -m 9"), named(3, "-xen-domid"));
        assert_eq!(read("-xen-domid 3 -name a -xen-domid 4 -name b"), named(3, "a"));
        assert_eq!(read("-xen-domid 3 -d guest_errors"), Some((3, None)));
    }

    #[test]
    fn the_name_is_read_as_qemu_reads_it() {
        for (value, name) in [
            ("plain", "plain"),
            ("vm,debug-threads=on", "vm"),
            ("guest=vm,process=p", "vm"),
            ("process=p,guest=vm", "vm"),
            ("a,,b,debug-threads=on", "a,b"),
            ("a,,,debug-threads=on", "a,"),
            ("first,guest=last", "last"),
        ] {
            assert_eq!(guest_name(OsStr::new(value)).unwrap(), name, "{value}");
        }
        assert_eq!(guest_name(OsStr::new("process=p")), None);
        assert_eq!(read("-xen-domid 3 -name ,debug-threads=on"), Some((3, None)));
    }

    #[test]
    fn any_name_gives_a_plain_file_name() {
        let file = |name: &[u8]| {
            let name = Some(OsStr::from_bytes(name).to_owned());
            file_name(&Domain { id: DomId::new(3).unwrap(), name })
        };
        assert_eq!(file(b"vm 1"), "qemu-dm-vm 1.log");
        assert_eq!(file(b"../../etc/passwd"), "qemu-dm-.._.._etc_passwd.log");
        assert_eq!(file(b"a\nb\xff\0"), "qemu-dm-a_b__.log");
        assert_eq!(file("é".repeat(300).as_bytes()).len(), 250);
        assert_eq!(file_name(&Domain { id: DomId::new(3).unwrap(), name: None }), "qemu-dm-3.log");
    }
}
