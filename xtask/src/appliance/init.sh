#!/bin/busybox sh
# The first process of an appliance: loads the modules, runs the script, turns the machine off.
# The console belongs to the kernel under test as well; lines that begin with @ are for xtask.

/bin/busybox mkdir -p /proc /sys /dev /tmp /run
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin:/usr/sbin:/sbin

say() {
    echo "appliance: $*"
}

# Text as the inside of a JSON string.
plain() {
    printf %s "$*" | tr '\\"' "/'" | tr -c ' -~' ' '
}

# Tells xtask why the scenario cannot be run, and ends it.
fail() {
    echo "@{\"event\":\"appliance_failed\",\"reason\":\"$(plain "$*")\"}"
    poweroff -f
}

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t debugfs debugfs /sys/kernel/debug

say "Linux $(uname -r) is up after $(cut -d ' ' -f 1 /proc/uptime) s, loading $(tr '\n' ' ' </modules/order)"
while read -r module; do
    insmod "/modules/$module" 2>/tmp/reason || fail "module $module: $(cat /tmp/reason)"
done </modules/order

. /script
poweroff -f
