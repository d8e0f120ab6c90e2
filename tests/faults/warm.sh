#!/bin/sh
# A device's python3 in the fault suite: hands its arguments to a Python outside that has its imports
# behind it, forks, moves into the device's root and runs the device's own smoke.py on its own files.
d=${0%/*}
name=${FLEET_WARM_NAME:-}
[ -n "$name" ] || read -r name </proc/sys/kernel/hostname
answer=$d/out/$name.$$.${FLEET_WARM_NAME:+child}
umask 0
mkfifo "$answer" || exit 70
echo "$name $answer $*" >"$d/in"
{
    read -r status
    cat
} <"$answer"
rm -f "$answer"
exit "${status:-71}"
