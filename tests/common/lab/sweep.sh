#!/usr/bin/env bash
# Owns one run of the lab from its first namespace to its last.
#
#   sweep.sh HOST...     lays the network for these hosts (numbers), prints the run's directory,
#                        waits until stdin closes, and takes everything away
#
# The lab holds the other end of stdin and nothing else does, so success, failure, panic, Ctrl-C and
# `kill -9` all look the same from here. Should this script itself be killed, then the lock on its
# run's directory is free, and the next run that starts finds it and does the sweeping.
set -euo pipefail
trap '' INT TERM HUP PIPE

base=/run/portreeve-lab
PATH=$PATH:/usr/sbin:/sbin

# One run at a time starts or ends. The last one out removes the base directory, hence the second look.
lock_base() {
    while :; do
        mkdir -p "$base"
        exec 8<"$base"
        flock 8
        # The 0 is needed: within a trap a bare return repeats the status that led there.
        [[ $base -ef /proc/$$/fd/8 ]] && return 0
    done
}

unlock_base() {
    rmdir --ignore-fail-on-non-empty "$base"
    exec 8<&-
}

# A switch with a bridge at .1, and host N at .10N on a cable of its own.
lay_network() {
    local run=$1 host
    shift
    ip netns add "$run-sw"
    ip -n "$run-sw" -batch - <<END
link set lo up
link add br0 type bridge
addr add 192.168.50.1/24 dev br0
link set br0 up
END
    for host; do
        ip netns add "$run-h$host"
        ip -n "$run-sw" link add "host$host" master br0 up type veth peer name eth0 netns "$run-h$host"
        ip -n "$run-h$host" -batch - <<END
link set lo up
addr add 192.168.50.$((100 + host))/24 dev eth0
link set eth0 up
END
    done
}

# Everything that runs in a namespace of the run dies; with a host's first process go its mounts,
# daemons and containers.
kill_all() {
    local pids
    for _ in {1..200}; do
        pids=$(ip netns pids "$1")
        [[ -n $pids ]] || return 0
        # shellcheck disable=SC2086 # a list of numbers; some may be gone by now
        kill -KILL $pids 2>/dev/null || true
        sleep 0.05
    done
    echo "sweep.sh: $1 has processes that do not die:" "$pids" >&2
    return 1
}

# Containers die a moment after their host; until then their control groups are busy.
remove_group() {
    for _ in {1..200}; do
        find "$1" -depth -type d -exec rmdir {} + 2>/dev/null && return 0
        sleep 0.05
    done
    echo "sweep.sh: cannot remove the control group $1" >&2
    return 1
}

sweep() {
    local directory=$1 run=${1##*/} namespace group
    for namespace in /run/netns/"$run"-*; do
        [[ -e $namespace ]] || continue
        kill_all "${namespace##*/}"
        ip netns delete "${namespace##*/}"
    done
    # One hierarchy (version 2), or one for each controller (version 1).
    for group in /sys/fs/cgroup/"$run" /sys/fs/cgroup/*/"$run"; do
        [[ ! -d $group ]] || remove_group "$group"
    done
    rm -rf --one-file-system "$directory"
}

sweep_leftovers() {
    local directory
    for directory in "$base"/*/; do
        [[ -d $directory ]] || continue
        exec 9<"$directory"
        if flock --nonblock 9; then sweep "${directory%/}"; fi
        exec 9<&-
    done
}

# In a function, so that all of this file has been read when the run begins.
main() {
    local directory
    lock_base
    sweep_leftovers
    directory=$(mktemp --directory "$base/portreeve-XXXXXX")
    chmod 755 "$directory"
    exec 9<"$directory"
    flock 9
    unlock_base

    # shellcheck disable=SC2064 # the directory is known now
    trap "sweep '$directory'; lock_base; unlock_base" EXIT
    lay_network "${directory##*/}" "$@"
    echo "$directory"
    # Whoever waits for the end of our output must not wait for the end of the run.
    exec >"$directory/sweep.log" 2>&1
    # A builtin, so that no child shares the lock.
    while read -r _; do :; done
    exit 0
}

main "$@"
