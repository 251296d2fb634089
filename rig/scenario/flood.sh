# boots: stock-c
# The attack of XSA-180: a guest makes its own QEMU log without end. Disk use stays within limit x (copies + 1) at every
# instant, the newest bytes are kept, and when the guest is destroyed the log ends with QEMU's last word.
. /rig/lib.sh
limit=8192
copies=3
bound=$((limit * (copies + 1)))
configure $limit $copies
log_device $((64 * bound))
start_daemon
descriptors >/tmp/before
disk-use $logs qemu-dm-flood.log >"$OUT/disk-use" &
watcher=$!

check "xl create" flood_guest flood xen_platform_log
domid=$(xl domid flood)
entry=/libxl/$domid/logging
xenstore-ls -p $entry | tee "$OUT/entry"
check "the log's state is ready" grep -q 'state = "ready"' "$OUT/entry"
check "its pipe is a FIFO in $pipes" test -p "$(sed -n 's/^ *pipe = "\(.*\)" .*$/\1/p' "$OUT/entry")"

check "QEMU wrote 20 times the limit" within 600 guest_reaches flood $((20 * limit / round_bytes + 1))
xenlog list
now=$(round flood)
check "what QEMU wrote by now is in the log" within 120 log_reaches flood "$now"
check "xenlog tail shows it" sh -c "xenlog tail -n 64 flood | grep -q 'xen platform: f'"

now=$(round flood)
check "xl destroy" xl destroy flood
check "the entry and the FIFO are gone" within 120 nothing_left "$domid"
# It keeps the directory of the logs open from its first log on.
all_closed() {
  descriptors | grep -vx $logs | cmp -s - /tmp/before && at_most 1 "$(descriptors | grep -cx $logs)"
}
check "every descriptor of the log is closed" within 120 all_closed
descriptors >"$OUT/descriptors"
kill -TERM $watcher
wait $watcher

rounds flood | tee "$OUT/rounds"
check "the log has no gap" no grep -q wrong "$OUT/rounds"
check "and has all rounds up to $now and later" at_least "$now" "$(awk '$1 == "rounds" { print $3 }' "$OUT/rounds")"
check "and ends with QEMU's last word" grep -q '^end .*: terminating on signal 1 ' "$OUT/rounds"
cat "$OUT/disk-use"
used() { awk -v what="$1" '$1 == what { if ($2 > most) most = $2 } END { print most + 0 }' "$OUT/disk-use"; }
check "disk use was never above $bound bytes" at_most $bound "$(used use)"
check "no file was larger than $limit bytes" at_most $limit "$(used size)"
check "there were never more than $((copies + 1)) files" at_most $((copies + 1)) "$(used files)"
check "all of them were in use" at_least $((bound - limit)) "$(used use)"
check "the daemon ends when told to" stop_daemon
