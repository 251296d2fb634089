# boots: stock-c
# The flood on a disk that holds limit x (copies + 1) bytes and not one more, full with the log of an earlier guest of the
# same name when the guest starts. Had the daemon ever needed more than that, a write would have failed and bytes would
# be missing. (libxl numbers the earlier log's files up by one: its fourth copy is the daemon's to remove.)
. /rig/lib.sh
limit=8192
copies=3
configure $limit $copies
page=4096 # what xl's own log of the guest takes
log_device $((limit * (copies + 1) + page))
for suffix in "" .1 .2 .3; do head -c $limit /dev/zero >$logs/qemu-dm-again.log$suffix; done
start_daemon

check "xl create" flood_guest again xen_platform_log
check "the disk is exactly as large as the promise" is "$(stat -c %b $logs/xl-again.log)" $((page / 512))
check "QEMU wrote 6 times the limit" within 600 guest_reaches again $((6 * limit / round_bytes + 1))
domid=$(xl domid again)
check "xl destroy" xl destroy again
check "the entry and the FIFO are gone" within 120 nothing_left "$domid"
rounds again | tee "$OUT/rounds"
ls -l $logs
check "no byte is missing" no grep -q wrong "$OUT/rounds"
check "the log ends with QEMU's last word" grep -q '^end .*: terminating on signal 1 ' "$OUT/rounds"
check "of the earlier log no more is left than copies" is "$(ls $logs | grep -c qemu-dm-again)" $((copies + 1))
check "the daemon ends when told to" stop_daemon
