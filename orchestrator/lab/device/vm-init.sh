#!/usr/bin/busybox sh
# First process of an emulated machine. What makes it this device (keys, name, clock) is on a second
# disk, which is looked at until somebody has written there: so that a snapshot can be anybody.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
busybox mount -t proc proc /proc
mkdir -p /dev/pts /dev/shm
busybox mount -t devpts -o ptmxmode=0666 devpts /dev/pts
busybox mount -t tmpfs -o mode=755 run /run
busybox mount -t tmpfs -o mode=1777 tmp /tmp
mkdir -p /run/sshd /run/identity
chown pi:pi /home/pi # whoever made the disk may not have been root
busybox ifconfig lo 127.0.0.1 up
busybox ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up

# Sessions may make control groups beside their own.
busybox mount -t cgroup2 cgroup /sys/fs/cgroup
groups=/sys/fs/cgroup/user
mkdir -p $groups
echo +memory >/sys/fs/cgroup/cgroup.subtree_control
echo +memory >$groups/cgroup.subtree_control
mkdir -p $groups/sessions
chown pi $groups $groups/cgroup.procs $groups/cgroup.subtree_control
echo $$ >$groups/sessions/cgroup.procs

for disk in /sys/block/vd*; do
    if [ "$(cat "$disk/serial")" = identity ]; then identity=/dev/${disk##*/}; fi
done
echo waiting
cd /run/identity || exit
while :; do
    dd if="$identity" of=all.tar bs=65536 count=1 iflag=direct status=none
    if [ "$(head -c 1 all.tar | tr -d '\0')" ]; then break; fi
    busybox usleep 20000
done
busybox tar -xf all.tar
date -s "@$(cat clock)" >/dev/null
hostname "$(cat name)"
while :; do
    /usr/sbin/sshd -D -e -f /etc/ssh/sshd_config
    sleep 1
done
