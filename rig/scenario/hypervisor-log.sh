# boots: ours-c
# What the hypervisor says is in hypervisor.log. The stock daemon writes all that the hypervisor still holds once more each
# time it is started; ours goes on where it was.
. /rig/consoles.sh
log=$console_logs/hypervisor.log
in_log() { grep -qsF "$1" $log; }
check "the log begins with the hypervisor's first lines" within 60 in_log "Xen version 4.17"
guest talker tiny-pvh
check "xl create" xl create -q "$cfg"
type_at talker "log one word"
check "a new line is in the log" within 60 in_log ") one word"
no_consoles
serve_consoles "$RIG_DAEMON"
type_at talker "log another word" 2>/dev/null || within 60 type_at talker "log another word"
check "another daemon: the log goes on" within 60 in_log ") another word"
case $RIG_DAEMON in
  stock) expected=2 ;;
  *) expected=1 ;;
esac
check "what was said before is in it $expected times" is "$(grep -cF ") one word" $log)" $expected
xl dmesg | tail -n 3
