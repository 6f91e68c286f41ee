# Runs as the first process of a new pid and mount namespace: makes ROOT the whole file system, then runs the arguments there,
# in the folder CHECKOUT.
# From outside come the kernel's file systems, and FOLDERS (one a line), which may be written to: nothing of that stays.
# The network namespace NETWORK is one that `ip netns` names.
set -eu
mount --bind "$ROOT" "$ROOT"
mount --make-private "$ROOT"
cd "$ROOT"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs -o mode=755 tmpfs run
mkdir -p run/netns
touch "run/netns/$NETWORK"
mount --bind "/run/netns/$NETWORK" "run/netns/$NETWORK"
number=0
printf '%s\n' "$FOLDERS" | while read -r folder; do
  number=$((number + 1))
  over="$OVER/$number"
  mkdir -p "$ROOT/$folder" "$over/upper" "$over/work"
  mount -t overlay -o "lowerdir=$folder,upperdir=$over/upper,workdir=$over/work" overlay "$ROOT/$folder"
done
mkdir -p mnt/outside
pivot_root . mnt/outside
cd /
umount --lazy /mnt/outside
cd "$CHECKOUT"
"$@"
