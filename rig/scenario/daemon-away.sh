# boots: stock-c
# The daemon stops, or is killed, while a guest's QEMU logs without end: the guest never waits, and logging goes on as
# soon as there is a daemon again. The pipe is made small, so that it is full at once.
. /rig/lib.sh
configure 16384 3
log_device 1048576
start_daemon
check "xl create" flood_guest away xen_platform_log
check "the log grows" within 300 log_reaches away 2
domid=$(xl domid away)
qemu=$(xenstore-read "/local/domain/$domid/image/device-model-pid")
check "the pipe holds one page" within 120 shrink-pipe "/proc/$qemu/fd/2"
rounds_away=10 # twenty thousand bytes: far more than the pipe and the daemon hold

kill -STOP "$daemon"
stopped=$(round away)
check "the daemon stopped: the guest goes on" within 300 guest_reaches away $((stopped + rounds_away))
check "though what it writes is not taken" no log_reaches away $((stopped + rounds_away))
kill -CONT "$daemon"
check "the daemon goes on: so does the log" within 300 log_reaches away $((stopped + rounds_away + 1))

kill_daemon
killed=$(round away)
check "the daemon killed: the guest goes on" within 300 guest_reaches away $((killed + rounds_away))
check "its QEMU is the same" test -d "/proc/$qemu"
check "the log does not" no log_reaches away $((killed + rounds_away))
start_daemon
check "a new daemon: the log goes on" within 300 log_reaches away $((killed + rounds_away + 1))
xenlog list

check "xl destroy" xl destroy away
check "the entry and the FIFO are gone" within 120 nothing_left "$domid"
check "the daemon ends when told to" stop_daemon
