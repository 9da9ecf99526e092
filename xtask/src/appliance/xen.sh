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

# How a domain has ended, in a word, by the number that xl says: SHUTDOWN_* of Xen's public/sched.h.
word() {
    case $1 in
        0) echo poweroff ;;
        1) echo reboot ;;
        2) echo suspend ;;
        3) echo crash ;;
        *) echo "reason $1" ;;
    esac
}

# Does what domain $1, whose number is $2, asks for by its node data/request, "NUMBER WORDS", and answers by
# pvops/answer, "NUMBER RESULT".
serve() {
    home=/local/domain/$2
    last=0
    xenstore-watch "$home/data/request" | while read -r _; do
        xenstore-read "$home/data/request" >/tmp/request 2>/dev/null || continue
        read -r request words </tmp/request
        [ "$request" = "$last" ] && continue
        last=$request
        xenstore-write "$home/pvops/answer" "$request $(plain "$(act "$1" "$2" $words 2>&1 </dev/null)")"
    done
}

# One request's words, after the domain's name and number.
act() {
    case $3 in
        echo) echo "$4" ;;
        peer) timeout "$seconds" xen-peer "$2" "$4" "$5" "$6" ;;
        pause) xl pause "$1" && sleep 1 && xl unpause "$1" && echo done ;;
        console) type_line "$2" "$4" ;;
        mem-set) xl mem-set "$1" "$4k" && echo done ;;
        reboot) xl reboot "$1" && echo done ;;
        shutdown) xl shutdown "$1" && echo done ;;
        *) echo "no such request" ;;
    esac
}

# Types line $2 at the console of the domain with number $1, and says whether the kernel has answered there. It
# is the program that `xl console` becomes, which takes input only from a terminal if it is not told otherwise;
# it ends with its input.
type_line() {
    screen=/tmp/screen
    : >$screen
    {
        echo "$2"
        for _ in $(seq $((seconds * 2))); do
            grep -q "has read $2" $screen && break
            sleep 0.2
        done
    } | timeout "$seconds" xenconsole "$1" --type pv --interactive >$screen 2>&1
    if grep -q "has read $2" $screen; then
        echo answered
    else
        echo "no answer, but: $(tail -n 3 $screen)"
    fi
}

# Runs domain $1 until it ends, or for too long. Nothing else may run meanwhile: there is one CPU.
run() {
    echo "@{\"event\":\"domain_start\",\"domain\":\"$1\"}"
    timeout "$seconds" xl create -F -p "/guest/$1.cfg" </dev/null >/tmp/xl 2>&1 &
    toolstack=$!
    # xl ends early if it can't make the domain.
    while kill -0 $toolstack 2>/dev/null && ! grep -q '^Waiting for domain' /tmp/xl; do
        sleep 0.05
    done
    number=$(xl domid "$1" 2>/dev/null)
    if [ -n "$number" ]; then
        xenstore-write "/local/domain/$number/pvops/command-line" "$(cat "/guest/$1.cmdline")"
        xenstore-write "/local/domain/$number/pvops/answer" "0 ready"
        serve "$1" "$number" &
        server=$!
        xl unpause "$1"
    fi
    wait $toolstack
    [ -n "$number" ] && kill $server && killall xenstore-watch 2>/dev/null
    reason=$(sed -n 's/^Domain .* has shut down, reason code \([0-9]*\) .*/\1/p' /tmp/xl)
    if [ -n "$reason" ]; then
        end=$(word "$reason")
    elif [ -n "$number" ]; then
        end=hang
    else
        end="refused, $(plain "$(grep -m 1 error: /tmp/xl)")"
        sed 's/^/xl: /' /tmp/xl
    fi
    # The console's daemon may not have read the last words yet.
    sleep 0.1
    [ -e "$logs/guest-$1.log" ] && sed "s/^/[d$number] /" "$logs/guest-$1.log"
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
