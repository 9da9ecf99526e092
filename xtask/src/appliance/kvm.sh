# Runs the kernel in QEMU on this machine's KVM, and reports KVM's counters and QEMU's status.

[ -c /dev/kvm ] || fail "KVM offers no /dev/kvm; its last words: $(dmesg | grep -i -e kvm -e svm | tail -n 3)"

set --
while IFS= read -r word; do
    set -- "$@" "$word"
done </guest/arguments
read -r seconds </guest/seconds

say "QEMU starts"
: >/tmp/messages
qemu-system-x86_64 "$@" </dev/null 2>/tmp/messages &
qemu=$!

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
