# Sourced by dom0's init and by scenarios: the host's one console daemon, stock or ours. Both are started the same way.
stock=/usr/lib/xen-4.17/bin/xenconsoled
ours=/usr/lib/xenlog/xenconsoled
console_logs=/var/log/console
console_pid=/run/xenconsoled.pid

# serve_consoles stock|ours|supervised [OPTION...]: starts one; the host must have none.
serve_consoles() {
  echo "$1" >/run/console-daemon
  case $1 in
    stock) program=$stock kept= ;;
    ours) program=$ours kept= ;;
    supervised) program=$ours kept=--supervise ;;
  esac
  shift
  $program --log=all --log-dir=$console_logs --pid-file=$console_pid $kept "$@"
}

# serving: which one it is.
serving() { cat /run/console-daemon; }
console_daemon() { cat $console_pid; }

# no_consoles: ends it, as an init system would.
no_consoles() {
  kill -TERM "$(console_daemon)"
  while [ -d "/proc/$(console_daemon)" ]; do sleep 0.1; done
  rm -f $console_pid
}
