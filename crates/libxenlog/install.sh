#!/bin/sh
# Installs libxenlog for C programs: shared and static library, header, pkg-config file.
#
#   cargo build --release -p libxenlog
#   crates/libxenlog/install.sh target/release [PREFIX [LIBDIR]]
#
# PREFIX is /usr/local and LIBDIR is PREFIX/lib where they are not given. DESTDIR in the environment is put before both.
set -eu

if [ $# -lt 1 ] || [ $# -gt 3 ]; then
    echo "usage: install.sh BUILD-DIRECTORY [PREFIX [LIBDIR]]" >&2
    exit 2
fi
build=$1
prefix=${2:-/usr/local}
libdir=${3:-$prefix/lib}
dest=${DESTDIR:-}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$here/../../Cargo.toml" | head -n 1)

install -d "$dest$libdir/pkgconfig" "$dest$prefix/include"
# The file has the release's version; the loader looks for the ABI's, the linker for none.
install -m 755 "$build/libxenlog.so" "$dest$libdir/libxenlog.so.$version"
ln -sf "libxenlog.so.$version" "$dest$libdir/libxenlog.so.1"
ln -sf libxenlog.so.1 "$dest$libdir/libxenlog.so"
install -m 644 "$build/libxenlog.a" "$dest$libdir/libxenlog.a"
install -m 644 "$here/include/xenlog.h" "$dest$prefix/include/xenlog.h"
sed -e "s|@PREFIX@|$prefix|" -e "s|@LIBDIR@|$libdir|" -e "s|@VERSION@|$version|" "$here/xenlog.pc.in" \
    > "$dest$libdir/pkgconfig/xenlog.pc"
chmod 644 "$dest$libdir/pkgconfig/xenlog.pc"
