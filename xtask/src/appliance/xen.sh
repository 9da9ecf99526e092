# Runs the kernel as domains of Xen, one after the other, and passes on what they say and how they end.

PATH=$PATH:$(echo /usr/lib/xen-4.*/bin)
logs=/var/log/xen/console
mkdir -p /image /dev/pts /run/lock /run/xen /var/lib/xen /var/lib/xenstored $logs
ln -s /run /var/run
ln -s /run/lock /var/lock
mount -t devpts devpts /dev/pts
# The root file system has half of the memory, this one has all.
mount -t tmpfs -o size=100% tmpfs /image
mount -t xenfs xenfs /proc/xen || fail "this is not Xen"

xenstored 2>/tmp/reason || fail "xenstored: $(cat /tmp/reason)"
xen-init-dom0 >/tmp/reason 2>&1 || fail "xen-init-dom0: $(cat /tmp/reason)"
xenconsoled --log=guest --log-dir=$logs 2>/tmp/reason || fail "xenconsoled: $(cat /tmp/reason)"
read -r seconds </guest/seconds
say "Xen's tools are up after $(cut -d ' ' -f 1 /proc/uptime) s"

# Runs domain $1 until it ends, or for too long.
run() {
    echo "@{\"event\":\"domain_start\",\"domain\":\"$1\"}"
    end=$(xen-peer "$1" "$seconds")
    # The console's daemon may not have read the last words yet.
    sleep 0.1
    log=$logs/guest-$1.log
    [ -e "$log" ] && sed "s/^/[d$(xl domid "$1")] /" "$log"
    model=/var/log/xen/qemu-dm-$1.log
    [ "$end" != poweroff ] && [ -e "$model" ] && sed 's/^/device model: /' "$model"
    echo "@{\"event\":\"domain_end\",\"domain\":\"$1\",\"end\":\"$(plain "${end:-hang}")\"}"
    xl destroy "$1" >/dev/null 2>&1
}

while read -r domain; do
    run "$domain"
done </guest/order

# By power-off Xen would wait for ever.
reboot -f
