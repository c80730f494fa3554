#!/bin/sh
# The first process of a host: makes it a machine of its own, then reaps what is orphaned.
#
#   host.sh DIRECTORY NAME     DIRECTORY: of this host, outside; holds its disk and its logs
#
# Started in fresh mount, UTS, PID and IPC namespaces, and in the host's network namespace. When it is
# killed, everything that was started in the host dies with it and every mount made here is gone.
set -eu
directory=$1 name=$2

# rslave, not rprivate: a private copy of somebody else's mount would pin it on the machine.
mount --make-rslave /
hostname "$name"
mount -t proc proc /proc

# The disk is a tmpfs. /etc and /var show the machine's content, and keep changes here.
disk=$directory/disk
mkdir -p "$disk" "$directory/log"
mount -t tmpfs -o mode=755 disk "$disk"
for top in etc var; do
    mkdir -p "$disk/$top/upper" "$disk/$top/work"
    mount -t overlay -o "lowerdir=/$top,upperdir=$disk/$top/upper,workdir=$disk/$top/work" overlay "/$top"
done

# Empty on a new host, whatever the machine has there. Docker's engine ID lies in /etc/docker or
# /var/lib/docker, and its overlays need a disk that is not an overlay.
for own in /etc/docker /etc/nginx /etc/consul.d /etc/portreeve \
    /var/lib/docker /var/lib/containerd /var/lib/consul /var/lib/nginx /var/lib/portreeve; do
    mkdir -p "$own" "$disk$own"
    mount --bind "$disk$own" "$own"
done
mount --bind "$directory/log" /var/log
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/lock /run/home /var/log/nginx

hostname > /etc/hostname
for host in 1 2 3; do echo "192.168.50.10$host host-$host"; done >> /etc/hosts

echo up
exec >/dev/null </dev/null
# The shell reaps whatever ends while it waits.
while :; do
    sleep 3600 &
    wait
done
