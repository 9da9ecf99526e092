# Runs the kernel as domains of Xen, one after the other, and passes on what they say and how they end.

PATH=$PATH:$(echo /usr/lib/xen-4.*/bin)
logs=/var/log/xen/console
mkdir -p /dev/pts /run/lock /run/xen /var/lib/xen /var/lib/xenstored $logs
ln -s /run /var/run
ln -s /run/lock /var/lock
mount -t devpts devpts /dev/pts
mount -t xenfs xenfs /proc/xen || fail "this is not Xen"

xenstored 2>/tmp/reason || fail "xenstored: $(cat /tmp/reason)"
xen-init-dom0 >/tmp/reason 2>&1 || fail "xen-init-dom0: $(cat /tmp/reason)"
xenconsoled --log=guest --log-dir=$logs 2>/tmp/reason || fail "xenconsoled: $(cat /tmp/reason)"
read -r seconds </guest/seconds
say "Xen's tools are up after $(cut -d ' ' -f 1 /proc/uptime) s"

# How domain $1 has ended, in a word; nothing as long as it runs. The numbers are Xen's public/sched.h,
# SHUTDOWN_*; `xl list` shows - for none.
ending() {
    case $(xl list -v | awk -v "name=$1" '$1 == name { print $8 }') in
        -) ;;
        0) echo poweroff ;;
        1) echo reboot ;;
        2) echo suspend ;;
        3) echo crash ;;
        *) echo unknown ;;
    esac
}

# Runs domain $1 until it ends, or for too long.
run() {
    echo "@{\"event\":\"domain_start\",\"domain\":\"$1\"}"
    if xl create -q -e "/guest/$1.cfg" >/tmp/reason 2>&1; then
        end=
        passed=0
        while [ -z "$end" ] && [ "$passed" -lt $((seconds * 5)) ]; do
            sleep 0.2
            passed=$((passed + 1))
            end=$(ending "$1")
        done
        [ -n "$end" ] || end=hang
        number=$(xl domid "$1")
        # The console's daemon may not have read the last words yet.
        sleep 0.1
        [ -e "$logs/guest-$1.log" ] && sed "s/^/[d$number] /" "$logs/guest-$1.log"
    else
        sed 's/^/xl: /' /tmp/reason
        end="refused, $(plain "$(grep -m 1 error: /tmp/reason)")"
    fi
    model=/var/log/xen/qemu-dm-$1.log
    [ "$end" != poweroff ] && [ -e "$model" ] && sed 's/^/device model: /' "$model"
    echo "@{\"event\":\"domain_end\",\"domain\":\"$1\",\"end\":\"$end\"}"
    xl destroy "$1" >/dev/null 2>&1
}

while read -r domain; do
    run "$domain"
done </guest/order

# By power-off Xen would wait for ever.
reboot -f
