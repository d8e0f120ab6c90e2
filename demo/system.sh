#!/bin/sh
# What this machine must have: sshd for the lab, Fashion-MNIST for the demo; with the word `test`
# also what only tests use: a browser, the programs of other devices (BusyBox, Dropbear, toybox,
# mksh), a client for adb, file systems to break and a clock to set wrong; with `test` or `emulated` Debian's archive key
# and apt's lists, by which the lab fetches the programs of other architectures (it installs none).
# Installs what is missing where it may (root, or sudo without a password) and apt is there; else says
# what to do.
# The lab starts its own sshd processes: a service that the package would start is kept masked.
set -u

missing=
[ -x /usr/sbin/sshd ] || command -v sshd >/dev/null 2>&1 || missing="openssh-server"
[ -d /usr/share/datasets/fashion-mnist ] || missing="$missing dataset-fashion-mnist"
if [ "${1:-}" = test ]; then
    command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
    command -v busybox >/dev/null 2>&1 || missing="$missing busybox-static"
    command -v toybox >/dev/null 2>&1 || missing="$missing toybox"
    command -v mksh >/dev/null 2>&1 || missing="$missing mksh"
    [ -x /usr/sbin/dropbear ] || missing="$missing dropbear-bin"
    [ -x /usr/sbin/mke2fs ] || missing="$missing e2fsprogs"
    [ -x /usr/sbin/mkfs.btrfs ] || [ -x /sbin/mkfs.btrfs ] || missing="$missing btrfs-progs"
    command -v adb >/dev/null 2>&1 || missing="$missing adb"
    command -v faketime >/dev/null 2>&1 || missing="$missing faketime"
fi
lists=
case ${1:-} in
test | emulated)
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing="$missing debian-archive-keyring"
    [ -n "$(apt-get indextargets 'Origin: Debian' 2>/dev/null)" ] || lists=missing ;;
esac
[ -n "$missing$lists" ] || exit 0

root=
if [ "$(id -u)" -ne 0 ]; then
    if sudo -n true 2>/dev/null; then root="sudo -n"; else root=none; fi
fi
if [ "$root" = none ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "missing on this machine: ${missing:-the lists of apt (apt-get update)}"
    [ -n "$missing" ] || exit 0
    echo "install it with your package manager; on Debian: apt-get install --no-install-recommends $missing"
    echo "(without the data set the demo falls back to scikit-learn's digits)"
    exit 0
fi

echo "installing: ${missing:-lists of packages}"
case $missing in
*openssh-server*) [ -d /run/systemd/system ] && $root systemctl mask ssh.service ssh.socket ;;
esac
$root apt-get update -qq >/dev/null 2>&1
for package in $missing; do
    DEBIAN_FRONTEND=noninteractive $root apt-get install -qq -y --no-install-recommends \
        "$package" >/dev/null 2>&1 || echo "could not install $package: try it by hand"
done
exit 0
