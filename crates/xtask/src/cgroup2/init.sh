#!/bin/busybox sh
# The first process of the machine that `cargo xtask test-cgroup2` boots.
export PATH=/usr/sbin:/bin
if [ "$1" != again ]; then
  # The first root file system of a kernel cannot be left by pivot_root, which runc needs: mount it on itself.
  /bin/busybox mkdir /again
  /bin/busybox mount -o bind / /again
  cd /again || exit 1
  /bin/busybox mount -o move . /
  exec /bin/busybox chroot . /init again
fi
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /sbin
mount -t devpts devpts /dev/pts
for folder in /dev/shm /run /tmp /cluster; do mount -t tmpfs tmpfs "$folder"; done
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# The kernel looks for its helper here.
ln -s /bin/busybox /sbin/modprobe
hostname cgroup2
ip link set lo up
modprobe dummy
ip link add outside type dummy
ip address add 192.0.2.1/24 dev outside
ip link set outside up
ip route add default via 192.0.2.254
/keelson/xtask test-cgroup2 --inside </dev/null
echo "cgroup2: xtask ended with $?"
poweroff -f
