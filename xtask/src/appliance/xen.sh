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
        [ "$words" = save ] && save "$1" && break
        xenstore-write "$home/pvops/answer" "$request $(plain "$(act "$1" "$2" $words 2>&1 </dev/null)")"
    done
}

# One request's words, after the domain's name and number.
act() {
    case $3 in
        echo) echo "$4" ;;
        peer) timeout "$seconds" xen-peer "$2" "$4" "$5" "$6" ;;
        # A copy is made, and the domain goes on.
        checkpoint) xl save -c "$1" /dev/null >/tmp/save 2>&1 && echo done ;;
        pause) xl pause "$1" && sleep 1 && xl unpause "$1" && echo done ;;
        console) type_line "$2" "$4" ;;
        mem-set) xl mem-set "$1" "$4k" && echo done ;;
        reboot) xl reboot "$1" && echo done ;;
        shutdown) xl shutdown "$1" && echo done ;;
        end)
            # One that xl restarts has its second end in earnest.
            if grep -q restart "/guest/$1.cfg" && [ ! -e /tmp/restarted ]; then
                touch /tmp/restarted
                xl reboot "$1" && echo done
            else
                xl shutdown "$1" && echo done
            fi
            ;;
        *) echo "no such request" ;;
    esac
}

# Saves domain $1, which is gone then; or says why it is not.
save() {
    xl save "$1" /image/new >/tmp/save 2>&1 || {
        grep error: /tmp/save
        return 1
    }
    mv /image/new /image/saved
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

# Has xl make domain $1 by the words from the third on, with $2 for its first answer, and serves it until it
# has shut down, in whatever way, or for too long. Nothing else may run meanwhile: there is one CPU.
attend() {
    domain=$1
    answer=$2
    shift 2
    timeout "$seconds" xl "$@" </dev/null >/tmp/xl 2>&1 &
    toolstack=$!
    # xl ends early if it can't make the domain.
    while kill -0 $toolstack 2>/dev/null && ! grep -q '^Waiting for domain' /tmp/xl; do
        sleep 0.05
    done
    number=$(xl domid "$domain" 2>/dev/null)
    if [ -n "$number" ]; then
        xenstore-write "/local/domain/$number/pvops/command-line" "$(cat "/guest/$domain.cmdline")"
        xenstore-write "/local/domain/$number/pvops/answer" "$answer"
        serve "$domain" "$number" &
        server=$!
        restarter=
        if grep -q restart "/guest/$domain.cfg"; then
            serve_restarted "$domain" &
            restarter=$!
        fi
        xl unpause "$domain"
    fi
    wait $toolstack
    reason=$(sed -n 's/^Domain .* has shut down, reason code \([0-9]*\) .*/\1/p' /tmp/xl | tail -n 1)
    # Of a domain that stands still, xl says so and no more: it goes on, and may be saved later.
    ticks=0
    while [ "$reason" = 2 ] && [ ! -e /image/saved ] && [ $ticks -lt $((seconds * 5)) ]; do
        ticks=$((ticks + 1))
        sleep 0.2
    done
    [ -n "$number" ] && kill $server $restarter && killall xenstore-watch 2>/dev/null
}

# Serves domain $1 when xl has restarted it.
serve_restarted() {
    while [ "$(grep -c '^Waiting for domain' /tmp/xl)" -lt 2 ]; do
        sleep 0.2
    done
    restarted=$(xl domid "$1")
    xenstore-write "/local/domain/$restarted/pvops/answer" "0 ready"
    serve "$1" "$restarted"
}

# Runs domain $1 until it ends, or for too long, if need be as one domain after the other.
run() {
    echo "@{\"event\":\"domain_start\",\"domain\":\"$1\"}"
    attend "$1" "0 ready" create -F -p "/guest/$1.cfg"
    while [ -e /image/saved ]; do
        mv /image/saved /image/restored
        read -r request _ </tmp/request
        attend "$1" "$request done" restore -F -p /image/restored
        rm /image/restored
    done
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
