# boots: ours-c
# A guest that writes impossible indices, sends events without end and floods its console, beside one that answers what is
# typed. Says how long the answers take alone and beside it, and how much of the processor the daemon takes. HOSTILE_SECONDS
# is how long each of the two is looked at.
. /rig/consoles.sh
seconds=${HOSTILE_SECONDS:-10}
ticks() { awk '{ print $14 + $15 }' "/proc/$(console_daemon)/stat"; } # hundredths of a second

# look WHEN: the polite guest's answers, and the daemon's share.
look() {
  from=$(ticks) began=$(cut -d . -f 1 /proc/uptime)
  check "$1: the polite guest answers" echo-latency "$(tty_of polite)" "$seconds"
  took=$(($(cut -d . -f 1 /proc/uptime) - began))
  echo "        $1: the $RIG_DAEMON daemon took $(($(ticks) - from)) hundredths of a second in $took s"
}
guest polite tiny-pv
check "xl create" xl create -q "$cfg"
check "the polite guest is up" within 120 logged polite "guest: ready"
look "alone"
guest enemy tiny-pv
check "xl create" xl create -q "$cfg"
check "the hostile guest is up" within 120 logged enemy "guest: ready"
type_at enemy hostile
look "beside a hostile one"
check "which has flooded its console" within 120 logged enemy "a flood of lines"
ls -l $console_logs
if [ "$RIG_DAEMON" != stock ]; then
  size=$(cat $console_logs/guest-enemy.log* | wc -c)
  check "the hostile guest's log and its copies keep to the limit" at_most $((5 * 1048576)) "$size"
fi
check "xl destroy of the hostile guest" xl destroy enemy
check "the polite one goes on" heard polite "after it all"
