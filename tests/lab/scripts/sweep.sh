#!/usr/bin/env bash
# Creates the network of one run of the lab, and removes the run at its end.
#
#   sweep.sh HOST...     creates the network for these hosts (numbers), prints the run's directory,
#                        waits until stdin is closed, and removes everything
#
# Only the lab holds the other end of stdin, so success, failure, panic, Ctrl-C and `kill -9` of the lab
# all close it. If this script itself is killed, the lock on the run's directory is released, and the
# next run removes what is left.
set -euo pipefail
trap '' INT TERM HUP PIPE

base=/run/portreeve-lab
PATH=$PATH:/usr/sbin:/sbin

# Serialises the start and the end of runs. The last run removes the base directory, hence the second check.
lock_base() {
    while :; do
        mkdir -p "$base"
        exec 8<"$base"
        flock 8
        # The 0 is needed: in a trap, a bare return repeats the status before the trap.
        [[ $base -ef /proc/$$/fd/8 ]] && return 0
    done
}

unlock_base() {
    rmdir --ignore-fail-on-non-empty "$base"
    exec 8<&-
}

# A namespace with a bridge at .1, and one for each host N at .10N, connected by a veth pair.
create_network() {
    local run=$1 host
    shift
    ip netns add "$run-bridge"
    ip -n "$run-bridge" -batch - <<END
link set lo up
link add br0 type bridge
addr add 192.168.50.1/24 dev br0
link set br0 up
END
    for host; do
        ip netns add "$run-h$host"
        ip -n "$run-bridge" link add "host$host" master br0 up type veth peer name eth0 netns "$run-h$host"
        ip -n "$run-h$host" -batch - <<END
link set lo up
addr add 192.168.50.$((100 + host))/24 dev eth0
link set eth0 up
END
    done
}

# Kills every process in a network namespace. The end of a host's first process also ends its mounts,
# daemons and containers.
kill_all() {
    local pids
    for _ in {1..200}; do
        pids=$(ip netns pids "$1")
        [[ -n $pids ]] || return 0
        # shellcheck disable=SC2086 # a list of numbers; some processes may have ended
        kill -KILL $pids 2>/dev/null || true
        sleep 0.05
    done
    echo "sweep.sh: $1 has processes that do not end:" "$pids" >&2
    return 1
}

# Containers end shortly after their host; until then their control groups are busy.
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

# In a function, so that bash has read the whole file before the run begins.
main() {
    local directory
    lock_base
    sweep_leftovers
    directory=$(mktemp --directory "$base/portreeve-XXXXXX")
    chmod 755 "$directory"
    exec 9<"$directory"
    flock 9
    unlock_base

    # shellcheck disable=SC2064 # the directory is to be expanded now
    trap "sweep '$directory'; lock_base; unlock_base" EXIT
    create_network "${directory##*/}" "$@"
    echo "$directory"
    # The reader of our stdout must see its end before the end of the run.
    exec >"$directory/sweep.log" 2>&1
    # A builtin, so that no child process inherits the lock.
    while read -r _; do :; done
    exit 0
}

main "$@"
