# Runtimes that fleet brings: read by device.sh; the same rules hold here.
#
# Below runtimes/ lie <runtime>-<version>.<digest>, whole and proved, and while one is on its way
# .part-<name> with its wheels and .new-<name> with what they hold.

use_runtimes() { m=$root/runtimes; }

bundle_look() { # bundle_look PYTHON: what its Python is, what there is, and how much room
    use_runtimes
    while [ ! -d "$m" ]; do m=${m%/*}; [ -n "$m" ] || m=/; done
    available -k
    say free "$free"
    for file in /lib/ld-musl-*.so.1 /system/bin/linker /system/bin/linker64; do
        [ -e "$file" ] && say linker "${file##*/}"
    done
    command -v "$1" >/dev/null 2>&1 || refuse no-python "no $1 on the device"
    say python "$("$1" "$here/bundle.py" look 2>&1 | tail -n 1)"
    for folder in "$root"/runtimes/*; do
        [ -d "$folder" ] && [ "${folder##*/}" != lock ] && say bundle "${folder##*/}"
    done
}

bundle_begin() { # bundle_begin NAME OWNER LEASE_S NEED_KIB: the lease, no leftovers, and room
    use_runtimes
    mkdir -p "$m" 2>/dev/null || refuse unwritable "cannot make $m: $(mkdir -p "$m" 2>&1)"
    take_lease "$2" "$3"
    holds "$2"
    for left in "$m"/.[npo]*-* "$m"/lock.dead.*; do
        [ ! -e "$left" ] || [ "$left" = "$m/.part-$1" ] || rm -rf "$left"
    done
    part=$m/.part-$1 have=0
    [ -d "$part" ] && have=$(du -sk "$part") && have=${have%%[!0-9]*}
    [ -d "$part" ] && hashes "$part"
    available -k
    [ "$((free + have))" -ge "$4" ] ||
        refuse disk-space "needs $4 KiB, and $((free + have)) KiB are free: $(df_words)"
}

bundle_receive() { # bundle_receive NAME OWNER  <  tar of the wheels that are missing
    use_runtimes
    part=$m/.part-$1
    holds "$2"
    mkdir -p "$part" || refuse unwritable "cannot make $part"
    said=$(untar none "" 2>&1) || refuse transfer "$said; $(df_words)"
    cat >/dev/null
    hashes "$part"
    flush "$part"/* "$part" "$m"
}

bundle_finish() { # bundle_finish NAME OWNER PYTHON RUNTIME MODULE: unpack, import, then let it be seen
    use_runtimes
    holds "$2"
    new=$m/.new-$1
    rm -rf "$new"
    said=$("$3" "$here/bundle.py" unpack "$m/.part-$1" "$new" "$5" 2>&1) ||
        { rm -rf "$new"; refuse runtime "$(printf '%s\n' "$said" | tail -n 1)"; }
    flush "$new" "$m"
    mv "$new" "$m/$1" || refuse unwritable "cannot rename $new"
    flush "$m"
    bundle_drop "$4" "$1"
    rm -rf "$m/.part-$1"
    leave "$2"
}

bundle_remove() { # bundle_remove RUNTIME OWNER LEASE_S
    use_runtimes
    [ -d "$m" ] || return 0
    take_lease "$2" "$3"
    holds "$2"
    rm -rf "$m"/.part-"$1"-* "$m"/.new-"$1"-*
    bundle_drop "$1" ""
    leave "$2"
    rmdir "$m" 2>/dev/null
    return 0
}

bundle_drop() { # bundle_drop RUNTIME BUT: out of sight at once, then gone
    for folder in "$m/$1"-[0-9]*; do
        [ -d "$folder" ] && [ "${folder##*/}" != "$2" ] || continue
        mv "$folder" "$m/.old-${folder##*/}" || refuse unwritable "cannot rename $folder"
        say removed "${folder##*/}"
    done
    rm -rf "$m"/.old-*
    flush "$m"
}

bundle_leave() { # bundle_leave OWNER
    use_runtimes
    leave "$1"
}
