# Sourced by rig/base and rig/run: how an initramfs for dom0 is put together.

xen_version=4.17

# die STATUS MESSAGE...: the rig's own failures; rig/README.md lists the statuses.
die() {
  local status=$1
  shift
  echo "rig: $*" >&2
  exit "$status"
}

# put HOST_FILE ROOT PATH: copy a file to PATH below ROOT; a dynamically linked program brings its libraries along.
put() {
  mkdir -p "$2/$(dirname "$3")"
  cp -L --preserve=mode "$1" "$2/$3"
  put_libraries "$1" "$2"
}

# put_libraries HOST_FILE ROOT: what ldd names, at the same paths below ROOT. Nothing for anything but dynamic ELF.
put_libraries() {
  local libraries library
  libraries=$(ldd "$1" 2>/dev/null) || return 0
  for library in $(awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\/.*ld-linux/ { print $1 }' <<<"$libraries"); do
    [ -e "$2$library" ] && continue
    mkdir -p "$2$(dirname "$library")"
    cp -L --preserve=mode "$library" "$2$library"
  done
}

# pack ROOT FILE: ROOT as a cpio archive, all of it root's. Not compressed: inflating in the emulated dom0 takes seconds,
# and Linux unpacks archives that are simply put one after another.
pack() {
  (cd "$1" && find . -print0 | LC_ALL=C sort -z | cpio --null -o -H newc -R 0:0 --quiet) >"$2"
}
