#!/bin/sh
# The first process of a host: sets up its mounts and names, then reaps orphaned processes.
#
#   host.sh DIRECTORY NAME     DIRECTORY: of this host, on the machine; contains its disk and its logs
#
# It starts in new mount, UTS, PID and IPC namespaces, and in the host's network namespace. When it is
# killed, the kernel kills every other process of the host and removes every mount made here.
set -eu
directory=$1 name=$2

# rslave, not rprivate: a private copy of a mount would keep the mount busy on the machine.
mount --make-rslave /
hostname "$name"
mount -t proc proc /proc

# The disk is a tmpfs. /etc and /var start with the machine's content; changes stay in the host.
disk=$directory/disk
mkdir -p "$disk" "$directory/log"
mount -t tmpfs -o mode=755 disk "$disk"
for top in etc var; do
    mkdir -p "$disk/$top/upper" "$disk/$top/work"
    mount -t overlay -o "lowerdir=/$top,upperdir=$disk/$top/upper,workdir=$disk/$top/work" overlay "/$top"
done

# These directories start empty, whatever the machine has there. Docker's engine ID is in /etc/docker or
# /var/lib/docker, and its overlays cannot be on an overlay.
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
# The shell reaps processes while it waits.
while :; do
    sleep 3600 &
    wait
done
