# boots: stock-c
# No daemon at all, and one that does not answer: a guest with xenlog-qemu starts all the same, and leaves nothing.
. /rig/lib.sh
configure 16384 3 5
log_device 16777216
start_guest() {
  began=$(cut -d ' ' -f 1 /proc/uptime)
  check "$1: xl create" flood_guest "$2" xen_platform_log
  echo "        from $began to $(cut -d ' ' -f 1 /proc/uptime)"
  cat "$logs/qemu-dm-$2.log" # what libxl gave QEMU for its output
  check "$1: QEMU answers" within 120 guest_reaches "$2" 0
}

xenstore-rm /tool/xenconsoled/logging 2>/dev/null # what a daemon that was killed leaves
start_guest "no daemon" alone
check "no daemon: the guest runs" within 300 guest_reaches alone 1
domid=$(xl domid alone)
check "no daemon: xl destroy" xl destroy alone
check "no daemon: nothing is left" nothing_left "$domid"

start_daemon
kill -STOP "$daemon"
start_guest "a daemon that does not answer" mute
kill -CONT "$daemon"
domid=$(xl domid mute)
check "a daemon that answers too late: nothing is left" within 120 nothing_left "$domid"
check "xl destroy" xl destroy mute
check "the daemon ends when told to" stop_daemon
