# boots: ours-c
# The daemon is killed over and over, with a keeper, while a guest writes without end and somebody looks on: the terminal
# stays at the same pty, nothing is lost of what the guest says or is told, and no more comes again than a ring holds.
. /rig/consoles.sh
kills=${KILLS:-25}
no_consoles
serve_consoles supervised --console-limit=64m
guest count tiny-pv
check "xl create" xl create -q "$cfg"
open_terminal session xl console count
check "a terminal is attached" gets_through "to begin with"
pty=$(tty_of count)
keeper=$(console_daemon)
type_keys 'numbers\r'
check "the guest counts" within 60 number_reaches "$screen" 1000

# Each second daemon is killed as soon as more has come than the ring held, be it serving or still about to. The others are typed
# at, and live until that is answered: what one read(2) has taken goes with a daemon that is killed.
killed=0 typed=0
has_daemon() { kept=$(tr -d ' ' <"/proc/$keeper/task/$keeper/children") && no is "$kept" ""; }
while [ $killed -lt "$kills" ]; do
  number=$(last_number "$screen")
  within 120 has_daemon && kill -KILL "$kept" || break
  killed=$((killed + 1))
  within 120 no test -d "/proc/$kept" && within 120 number_reaches "$screen" $((number + 400)) || break
  [ $((killed % 2)) = 0 ] || { answers "kill $killed" && typed=$((typed + 1)); } || break
done
check "after each of $kills kills the terminal goes on" is "$killed" "$kills"
check "the keeper is the same" test -d "/proc/$keeper"
check "so is the pty" is "$(tty_of count)" "$pty"
check "the terminal is still attached" answers "in the end"

# distinct FILE: how many of the lines that were typed the guest has answered.
distinct() { grep -ao 'guest: heard kill [0-9]*' "$1" | sort -u | wc -l; }
log=$console_logs/guest-count.log
check "what was typed all arrived" is "$(distinct "$screen")" $typed
check "xl destroy" xl destroy count
for kept in "$screen" "$log"; do
  check "nothing of the guest's output is missing in $kept" ledger "$kept"
done
