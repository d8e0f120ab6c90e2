#!/bin/busybox sh
# What the kernel starts first: the drivers, then the disk, then vm-init.sh that lies there.
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t sysfs sys /sys
while read -r module; do
    /bin/busybox insmod "/modules/$module"
done </modules/order
for disk in /sys/block/vd*; do
    if [ "$(/bin/busybox cat "$disk/serial")" = disk ]; then
        /bin/busybox mount -t ext4 -o noatime "/dev/${disk##*/}" /root
    fi
done
/bin/busybox mount --move /dev /root/dev
/bin/busybox mount --move /sys /root/sys
exec /bin/busybox switch_root /root /sbin/vm-init.sh
