# Sourced by every scenario (". /rig/lib.sh"): the daemon under test, guests, terminals, and checks.
. /rig/env
. /rig/daemon.sh
export PATH=/usr/lib/xenlog:$PATH
logs=/var/log/xen
pipes=/run/xen
daemon=
terminals=
failed=0

# A scenario ends with all its guests, terminals and the daemon; its status is 0 if no check failed.
leave() {
  for terminal in $terminals; do kill "$terminal" 2>/dev/null; done
  for domain in $(xl list | awk 'NR > 1 && $1 != "Domain-0" { print $1 }'); do xl destroy "$domain"; done
  [ -z "$daemon" ] || kill -KILL "$daemon" 2>/dev/null
  umount $logs 2>/dev/null
  check "the host's console daemon is alive" test -d "/proc/$(console_daemon)"
  mv $console_logs/guest-* "$OUT/"
  is "$(serving)" "$RIG_DAEMON" || { no_consoles && serve_consoles "$RIG_DAEMON"; }
  exit $failed
}
trap leave EXIT

# check WHAT COMMAND...: COMMAND must succeed.
check() {
  what=$1
  shift
  if "$@"; then echo "  ok    $what"; else echo "  FAIL  $what" && failed=1; fi
}

# within SECONDS COMMAND...: waits until COMMAND succeeds. Looks less often after a second: the emulated machine is slow,
# and what is waited for needs its time.
within() {
  end=$(($(cut -d . -f 1 /proc/uptime) + $1)) tries=0
  shift
  until "$@"; do
    [ "$(cut -d . -f 1 /proc/uptime)" -lt $end ] || return 1
    tries=$((tries + 1))
    if [ $tries -lt 10 ]; then sleep 0.1; else sleep 2; fi
  done
}
no() { ! "$@"; }
at_least() { [ -n "$2" ] && [ "$1" -le "$2" ]; }
at_most() { [ -n "$2" ] && [ "$2" -le "$1" ]; }
is() { [ "$1" = "$2" ]; }

# log_device BYTES: the directory of the logs becomes the root of an empty file system that holds so many bytes.
log_device() { umount $logs 2>/dev/null; mount -t tmpfs -o "size=$1,mode=755" tmpfs $logs; }

# ---- the daemon --------------------------------------------------------------------------------------------------

# configure LIMIT COPIES [SECONDS]: what xenlog-qemu asks for, and how long it waits for it.
configure() { printf '[qemu]\nlimit = %s\ncopies = %s\nwait-seconds = %s\n' "$1" "$2" "${3:-30}" >/etc/xen/xenlog.toml; }

# start_daemon: beside the stock one, which keeps the consoles. $daemon is its process id.
start_daemon() {
  xenconsoled -i --no-hypervisor --xen-run-dir $pipes --xen-log-dir $logs >>"$OUT/xenconsoled.log" 2>&1 &
  daemon=$!
  check "the daemon serves beside the stock one" within 120 daemon_serves
}
daemon_serves() { [ "$(xenstore-read /tool/xenconsoled/logging 2>/dev/null)" = 1 ]; }
stop_daemon() {
  kill -TERM "$daemon"
  wait "$daemon"
  status=$?
  daemon=
  return $status
}
kill_daemon() {
  kill -KILL "$daemon"
  wait "$daemon"
  daemon=
}
# descriptors: what the daemon has open, one a line, without the numbers of sockets and pipes.
descriptors() { ls -l "/proc/$daemon/fd" | sed -n 's/^.* -> //p' | sed 's/:\[[0-9]*\]//' | sort; }

# nothing_left DOMID: no entry in the store and no FIFO.
nothing_left() { is "$(xenstore-list "/libxl/$1/logging" 2>/dev/null)" "" && is "$(find $pipes -type p)" ""; }

# ---- terminals ---------------------------------------------------------------------------------------------------

# open_terminal NAME COMMAND...: runs COMMAND on a terminal of its own in the background. $terminal is its process id; what
# it shows is in $OUT/NAME.
open_terminal() {
  screen=$OUT/$1
  keys=/tmp/keys-$1
  shift
  : >"$screen"
  rm -f "$keys" && mkfifo "$keys"
  terminal "$screen" "$keys" "$@" &
  terminal=$!
  terminals="$terminals $terminal"
}
# type_keys KEYS, shows TEXT: of the last terminal that was opened; \r is Enter, \035 is Ctrl-].
type_keys() { printf "$1" >"$keys"; }
shows() { grep -qaF "$1" "$screen"; }
# answers TEXT: types it at the guest, which answers. A guest that is just about to come up may lose what is typed first.
answers() { type_keys "$1\r" && within 120 shows "guest: heard $1"; }
# gets_through TEXT: the same for a terminal that may just be looking for the console: what is typed then is lost.
gets_through() { within 120 typed_and_answered "$1"; }
typed_and_answered() { shows "guest: heard $1" || { type_keys "$1\r" && no true; }; }
# attached TTY: whether the last terminal's command has this one open, as xl console has when it is done attaching.
attached() {
  command=$(tr -d ' ' <"/proc/$terminal/task/$terminal/children")
  ls -l "/proc/$command/fd" 2>/dev/null | grep -q -- "-> $1$"
}
terminal_ended() { ! kill -0 "$terminal" 2>/dev/null; }

# ---- guests with a console ---------------------------------------------------------------------------------------

# guest NAME KIND [LINE...]: writes /tmp/NAME.cfg. Kinds: linux-pv, linux-pvh, tiny-pv, tiny-pvh, tiny-hvm. The guests say
# "guest: ready", answer each line that is typed, and crash when told to (rig/guest/init, rig/guest/tiny.c).
guest() {
  cfg=/tmp/$1.cfg
  printf 'name = "%s"\ntype = "%s"\nvcpus = 1\non_crash = "preserve"\n' "$1" "${2#*-}" >"$cfg"
  case $2 in
    linux-*) cat >>"$cfg" <<-END ;;
	kernel = "/guest/vmlinux"
	ramdisk = "/guest/initrd"
	extra = "console=hvc0 loglevel=4 nokaslr mitigations=off tsc=reliable"
	tsc_mode = "native"
	memory = 128
	END
    tiny-hvm) cat >>"$cfg" <<-END ;;
	memory = 16
	serial = "pty"
	vga = "none"
	vnc = 0
	boot = "c"
	disk = ["format=raw, vdev=hda, access=rw, backendtype=qdisk, target=/guest/tiny.img"]
	END
    tiny-*) printf 'kernel = "/guest/%s"\nmemory = 16\n' "$2" >>"$cfg" ;;
  esac
  shift 2
  [ $# = 0 ] || printf '%s\n' "$@" >>"$cfg"
}
# tty DOMAIN: the terminal of its console; logged NAME TEXT: in the log of its console.
tty_of() { xenstore-read "/local/domain/$(xl domid "$1")/console/tty"; }
logged() { grep -qaF "$2" "$console_logs/guest-$1.log"; }
times_logged() { grep -caF "$2" "$console_logs/guest-$1.log"; }
gone() { ! xl domid "$1" >/dev/null 2>&1; }

# last_number FILE: of those that a guest told "numbers" has printed, the last one in it. (ledger looks at all of them.)
last_number() {
  tail -c 4096 "$1" | sed -n 's/^number 0*\([1-9][0-9]*\)\r*$/\1/p' | tail -n 1
}
number_reaches() { at_least "$2" "$(last_number "$1")"; }

# ---- the flood guest (rig/guest/flood.S) -------------------------------------------------------------------------

# flood_guest NAME EVENT...: starts one whose QEMU is xenlog-qemu and prints these trace events.
flood_guest() {
  name=$1
  shift
  events=
  for event; do events="$events${events:+, }\"-trace\", \"enable=$event\""; done
  cat >"/tmp/$name.cfg" <<-END
	name = "$name"
	type = "hvm"
	memory = 16
	vcpus = 1
	serial = "pty"
	vga = "none"
	vnc = 0
	boot = "c"
	disk = ["format=raw, vdev=hda, access=rw, backendtype=qdisk, target=/guest/flood.img"]
	device_model_version = "qemu-xen"
	device_model_override = "/usr/lib/xenlog/xenlog-qemu"
	device_model_args = [$events]
	END
  xl create -q "/tmp/$name.cfg"
}

# round NAME: the number of the last round that the guest has printed: QEMU's own answer, out of the guest's memory.
# Nothing if QEMU does not answer.
round() {
  timeout 60 xl qemu-monitor-command "$1" "xp /1wx 0x7e00" 2>/dev/null |
    sed -n 's/^.*: 0x\([0-9a-f]*\).*$/\1/p' | while read -r hex; do echo $((0x$hex)); done
}
guest_reaches() { at_least "$2" "$(round "$1")"; }

# kept NAME: the log of the guest's QEMU and its copies, oldest byte first.
kept() {
  for file in $(ls $logs | sed -n "s/^qemu-dm-$1\.log\.\([0-9]*\)$/\1/p" | sort -rn); do
    cat "$logs/qemu-dm-$1.log.$file"
  done
  cat "$logs/qemu-dm-$1.log"
}

# log_round NAME: the number of the last round in the log. Only its two newest files are opened: a reader of the oldest
# would keep it on the disk after its end. A round is 64 lines.
log_round() {
  for file in "$logs/qemu-dm-$1.log.1" "$logs/qemu-dm-$1.log"; do tail -n 64 "$file" 2>/dev/null; done |
    sed -n 's/^xen_platform_log xen platform: f \([0-9a-f]\{8\}\)$/\1/p' | tail -n 1 |
    while read -r hex; do echo $((0x$hex)); done
}
log_reaches() { at_least "$2" "$(log_round "$1")"; }

# Bytes that one round is in the log: a line with its number and 63 empty lines, each with QEMU's name of the event.
round_bytes=2058

# rounds NAME: checks the log line by line, from the first whole round on: rounds one after another, nothing between and
# nothing missing. Prints the first and the last round, what else stands behind the last, and what is wrong.
rounds() {
  kept "$1" | awk '
    function number(hex, i, n) {
      for (i = 1; i <= 8; i++) n = n * 16 + index("0123456789abcdef", substr(hex, i, 1)) - 1
      return n
    }
    function wrong(what) { if (errors++ < 5) print "wrong: line " NR ": " what }
    /^xen_platform_log xen platform: f [0-9a-f]+$/ && length($5) == 8 {
      n = number($5)
      if (!first) first = n
      else if (n != last + 1) wrong("round " n " after round " last)
      else if (empty != 63) wrong("round " last " has " empty " empty lines")
      if (other) wrong("round " n " after: " other)
      last = n; empty = 0; next
    }
    /^xen_platform_log xen platform: $/ { if (other || ++empty > 63) wrong("an empty line too many"); next }
    first { if (other) wrong(other); other = $0; next }
    END { print "rounds " first + 0 " " last + 0; print "end " other }'
}
