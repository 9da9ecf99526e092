# Runs the kernel in QEMU on this machine's KVM, and reports KVM's counters and QEMU's status.

[ -c /dev/kvm ] || fail "KVM offers no /dev/kvm; its last words: $(dmesg | grep -i -e kvm -e svm | tail -n 3)"

# Linux measures the time-stamp counter's rate early and roughly, and again within the next seconds. KVM
# keeps the rate of when a virtual machine begins: if that was 700 ppm off, events came seconds late.
measured() {
    dmesg | grep -q "Refined TSC clocksource calibration"
}
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
    measured && break
    sleep 0.1
done
measured || say "Linux has not measured its time-stamp counter again: events may come late"

# Has Linux write the guest's memory to its swap, five times a second: what the guest touches then
# has to be fetched. The swap is a file in memory, behind a block device so that a read takes time.
evict() {
    mkdir -p /swap /groups
    mount -t ramfs ramfs /swap
    truncate -s 256M /swap/file
    losetup /dev/loop0 /swap/file && mkswap /dev/loop0 >/dev/null && swapon /dev/loop0 || fail "there is no swap"
    mount -t cgroup2 cgroup2 /groups
    echo +memory >/groups/cgroup.subtree_control
    mkdir /groups/guest
    echo "$1" >/groups/guest/cgroup.procs || fail "there is no control group for memory"
    while kill -0 "$1"; do
        sleep 0.2
        # Less than that is there, which is an error.
        echo 256M >/groups/guest/memory.reclaim
    done 2>/dev/null &
}

# Passes on what the kernel says. To its line of stolen time it adds the scheduler's account: how long
# each virtual CPU's thread was ready to run and did not, in nanoseconds
# (Documentation/scheduler/sched-stats.rst). Then the kernel is told to go on.
account() {
    # Then QEMU alone writes, and its end ends the lines.
    exec 5>&-
    while IFS= read -r line; do
        echo "$line"
        case $line in
            @*'"stolen_time"'*) ;;
            *) continue ;;
        esac
        waited=
        for thread in /proc/"$1"/task/*; do
            read -r name <"$thread/comm"
            case $name in
                "CPU "*/KVM) ;;
                *) continue ;;
            esac
            name=${name#CPU }
            read -r ran delay slices <"$thread/schedstat"
            waited="$waited,\"${name%/KVM}\":$delay"
        done
        echo "@{\"event\":\"host_account\"$waited}"
        echo >&4
    done
}

set --
while IFS= read -r word; do
    set -- "$@" "$word"
done </guest/arguments
read -r seconds </guest/seconds

say "QEMU starts"
: >/tmp/messages
exec 4</dev/null 5>&1
if grep -q host_account /guest/arguments; then
    mkfifo /tmp/to-kernel /tmp/from-kernel
    # For reading and writing: that does not wait for somebody at the other end.
    exec 4<>/tmp/to-kernel 5<>/tmp/from-kernel
fi
# Where QEMU puts the disk of a snapshot.
mkdir -p /var/tmp
qemu-system-x86_64 "$@" <&4 >&5 2>/tmp/messages &
qemu=$!
accountant=
if grep -q host_account /guest/arguments; then
    account "$qemu" </tmp/from-kernel &
    accountant=$!
fi
exec 5>&-
grep -q evictions /guest/arguments || evict "$qemu"

# Ends QEMU when it takes too long, or has stopped the guest for good.
(
    passed=0
    while [ "$passed" -lt "$seconds" ] && ! grep -q -e '^KVM internal error' -e 'kvm run failed' /tmp/messages; do
        sleep 1
        passed=$((passed + 1))
    done
    echo "QEMU was ended after $passed s" >/tmp/ended
    kill -KILL "$qemu"
) &
watch=$!

# The virtual machine's counters go with it, unless somebody has one of them open.
counters=
while kill -0 "$qemu" 2>/dev/null; do
    for directory in /sys/kernel/debug/kvm/*-*; do
        [ -f "$directory/exits" ] && command exec 3<"$directory/exits" && counters=$directory
    done
    [ -n "$counters" ] && break
    sleep 0.05
done

wait "$qemu"
status=$?
kill "$watch" 2>/dev/null
[ -n "$accountant" ] && wait "$accountant"

sed 's/^/QEMU: /' /tmp/messages
[ -e /tmp/ended ] && fail "$(cat /tmp/ended)"

line=
for file in "$counters"/*; do
    [ -f "$file" ] && read -r number <"$file" || continue
    case $number in
        0 | '' | *[!0-9]*) ;;
        *) line="$line,\"${file##*/}\":$number" ;;
    esac
done
if [ -n "$line" ]; then
    echo "@{\"event\":\"kvm_counters\"$line}"
elif [ "$status" -eq 33 ]; then
    fail "KVM's counters were not caught"
fi
echo "@{\"event\":\"guest_end\",\"status\":$status}"
