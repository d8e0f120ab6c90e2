#!/bin/sh
# fleet's hands on a device. Plain POSIX shell and the tools that GNU, BusyBox and toybox share;
# no bashism, no byte arithmetic (mksh counts in 32 bits), no absolute tool paths.
#
#   sh device.sh ROOT VERB ARGS…        ROOT may begin with ~/
#
# Answers are lines `key=value` between `=fleet 1=` and `=end=`; whatever a login shell prints
# around them is ignored. A refusal is `refused=<word>` with `because=<words>` and exit status 1.
# Every verb can be repeated: it leaves the same state behind.
set -u
LC_ALL=C
export LC_ALL
umask 077

here=${0%/*}
root=$1
verb=$2
shift 2
# shellcheck disable=SC2088 # the tilde is the controller's word for our home
case $root in "~/"*) root=$HOME/${root#"~/"} ;; esac

say() { printf '%s=%s\n' "$1" "$2"; }
finish() { echo "=end="; exit "$1"; }
refuse() { # refuse WORD BECAUSE…: a write that failed is looked at once more, and named
    word=$1
    shift
    case $word in unwritable | transfer) word=$(second_look "$word" "$*") ;; esac
    say refused "$word"
    say because "$*"
    finish 1
}

second_look() { # second_look WORD SAID: what a write says now; shells call every failure an I/O error
    tried=$({ cat /proc/version >"$m/.probe"; } 2>&1)
    rm -f "$m/.probe" 2>/dev/null
    for said in "$tried" "$2"; do
        case $said in
            *"Read-only file system"*) echo read-only; return ;;
            *[Qq]uota*) echo quota; return ;;
            *"No space left"*)
                word=disk-full
                available -k
                if [ "$free" -gt 64 ] && available -i && [ "$free" = 0 ]; then word=no-inodes; fi
                echo $word
                return ;;
            *"nput/output error"*) echo storage-dead; return ;;
        esac
    done
    echo "$1"
}

use_model() {
    m=$root/$1
    release=${2:-}
    part=$m/staging/$release.part
    made=$m/releases/$release
}

# --- what holds after a power cut -------------------------------------------------------------

flush() { # flush PATH…: files and directories to the disk itself
    if command -v fsync >/dev/null 2>&1; then fsync "$@" 2>/dev/null || sync
    else sync "$@" 2>/dev/null || sync; fi
}

can_rename_links() { # 0: `mv -T` renames a link to a folder over another one; 1: not in toybox; 2: cannot be tried
    rm -rf "$m/.try" && mkdir "$m/.try" "$m/.try/one" "$m/.try/two" &&
        ln -s one "$m/.try/a" && ln -s two "$m/.try/b" || { rm -rf "$m/.try"; return 2; }
    if mv -T "$m/.try/b" "$m/.try/a" 2>/dev/null && [ "$(readlink "$m/.try/a")" = two ]; then tried=0
    elif ln -s one "$m/.try/c" && mv "$m/.try/c" "$m/.try/d"; then tried=1
    else tried=2; fi
    rm -rf "$m/.try"
    return $tried
}

point() { # point LINK RELEASE: one rename(2), never a moment without a link
    [ ! -L "$m/.$1.new" ] || rm -f "$m/.$1.new"
    ln -s "releases/$2" "$m/.$1.new" || return 1
    mv -T "$m/.$1.new" "$m/$1" 2>/dev/null && return 0
    rm -f "$m/.$1.new"
    can_rename_links
    [ $? = 1 ] && ln -sfn "releases/$2" "$m/$1" # toybox: makes beside, then renames; others do not
}

look_at() { # look_at LINK: the release a link names into `linked`, or nothing
    linked=''
    [ ! -L "$m/$1" ] || linked=$(readlink "$m/$1" 2>/dev/null)
    linked=${linked#releases/}
}

note() { # note DO RELEASE WAS: intent is written before the action
    printf '{"at":%s,"do":"%s","release":"%s","was":"%s"}\n' \
        "$(date +%s)" "$1" "$2" "$3" >>"$m/journal.ndjson"
}

# --- one controller at a time -----------------------------------------------------------------

take_lease() { # take_lease OWNER SECONDS: a dead owner's lease is taken over
    ends=$(($(date +%s) + $2))
    for attempt in 1 2 3; do
        if mkdir "$m/lock" 2>/dev/null; then
            sign_lease "$1" && return 0
            rm -rf "$m/lock"
            refuse unwritable "cannot write below $m: $(df_words)"
        fi
        owner='' until=0
        { read -r owner until <"$m/lock/owner"; } 2>/dev/null
        if [ "$owner" = "$1" ]; then
            sign_lease "$1"
            return 0
        fi
        if [ "$until" -gt "$(date +%s)" ] 2>/dev/null; then
            say owner "$owner"
            refuse locked "another controller ($owner) is at work here for at most" \
                "$((until - $(date +%s))) s"
        fi
        if [ -z "$owner" ] && [ "$attempt" = 1 ]; then
            sleep 1 # made a moment ago: let its owner be written, and look again
            continue
        fi
        mv "$m/lock" "$m/lock.dead.$$" 2>/dev/null && stop_script "$m/lock.dead.$$" &&
            rm -rf "$m/lock.dead.$$"
    done
    [ -d "$m/lock" ] || refuse unwritable "cannot make $m/lock: $(mkdir "$m/lock" 2>&1); $(df_words)"
    refuse locked "another controller took the lease just now"
}

sign_lease() { # sign_lease OWNER: whose it is, and until when
    echo "$1 $ends" >"$m/lock/owner.new" && mv -f "$m/lock/owner.new" "$m/lock/owner"
}

leave() { # leave OWNER
    owner=''
    { read -r owner until <"$m/lock/owner"; } 2>/dev/null
    [ "$owner" = "$1" ] && stop_script "$m/lock" && rm -rf "$m/lock"
    return 0
}

stop_script() { # stop_script LEASE: what a controller that is gone began must not go on
    at='' whose=''
    { read -r at <"$1/at" && read -r whose until <"$1/owner"; } 2>/dev/null
    case $at in '' | *[!0-9]* | "$$") return 0 ;; esac
    case $(xargs -0 <"/proc/$at/cmdline" 2>/dev/null) in # not another process of that number
        *device.sh*"$whose"*) kill -9 "-$at" 2>/dev/null || kill -9 "$at" 2>/dev/null ;;
    esac
    return 0
}

# --- an unconfirmed switch goes back by itself ------------------------------------------------
#
# `pending` holds TOKEN TO WAS PREVIOUS, `-` for none. Whoever renames it decides: `confirm` to
# `confirmed`, `revert` to `reverting`, which stays until everything is as it was.

read_pending() { # read_pending FILE → token to was before; what is not whole is thrown away
    token='' to='' was='' before='' found=''
    { { found=1; read -r token to was before; } <"$m/$1"; } 2>/dev/null
    [ -n "$before" ] && return 0
    [ -z "$found" ] || rm -f "$m/$1" # one that was not there may have come meanwhile
    return 1
}

revert() { # revert TOKEN: undo the pending switch if it is still that one
    read_pending pending || return 0
    [ "$token" = "$1" ] || return 0
    if ! mv -f "$m/pending" "$m/reverting" 2>/dev/null; then
        [ ! -e "$m/pending" ] # confirmed just now
        return
    fi
    go_back
}

go_back() { # make `current` and `previous` what they were before the switch
    read_pending reverting || return 0
    look_at current
    note revert "$was" "$linked"
    set_link current "$was" && set_link previous "$before" || return 1
    flush "$m"
    rm -f "$m/reverting"
    say reverted "$was"
}

set_link() { # set_link LINK RELEASE|-
    if [ "$2" = - ]; then rm -f "$m/$1"
    elif look_at "$1" && [ -d "$m/releases/$2" ] && [ "$linked" != "$2" ]; then point "$1" "$2"; fi
}

go_on() { # what ran before a confirmed switch is what one goes back to
    read_pending confirmed || return 0
    [ "$was" = - ] || set_link previous "$was" || return 1
    rm -f "$m/confirmed"
}

settle() { # finish whatever a lost controller or a power cut left half done
    go_on || refuse unwritable "cannot finish a confirmed switch: $(df_words)"
    { go_back && { ! read_pending pending || revert "$token"; }; } ||
        refuse unwritable "cannot undo an unconfirmed switch: $(df_words)"
    rm -rf "$m"/*.new "$m"/.*.new
}

# --- verbs that only look ---------------------------------------------------------------------

first_line() { [ -r "$1" ] && { IFS= read -r line <"$1" || [ -n "$line" ]; } 2>/dev/null && printf '%s' "$line"; }

df_words() { df -k "$root" 2>/dev/null | tail -n 1; }

installed() {
    for folder in "$root"/*/releases; do
        [ -d "$folder" ] || continue
        m=${folder%/releases}
        say model "${m##*/}"
        look_at current
        say current "$linked"
        look_at previous
        say previous "$linked"
        for file in "$m/pending" "$m/reverting"; do
            [ -e "$file" ] && say pending "$(first_line "$file")"
        done
        for file in "$m"/lock* "$m"/confirmed "$m"/reverting "$m"/pending* "$m"/.try "$m"/*.new \
            "$m"/.*.new; do
            [ ! -e "$file" ] && [ ! -L "$file" ] || say unsettled "${file##*/}"
        done
        for manifest in "$folder"/*/manifest.json; do
            [ -e "$manifest" ] || continue
            made=${manifest%/manifest.json}
            say release "${made##*/}"
        done
    done
}

hashes() { # hashes FOLDER: digest, bytes and name of every file in it
    set -- "$1"/*
    [ -e "$1" ] || return 0
    sums=$(sha256sum "$@" 2>/dev/null)
    stat -c '%s %n' "$@" 2>/dev/null | while read -r bytes file; do
        sum=${sums%%"  $file"*}
        [ "$sum" != "$sums" ] || { say unreadable "${file##*/}"; continue; }
        sum=${sum##*"
"}
        say file "$sum $bytes ${file##*/}"
    done
}

current_hashes() {
    for folder in "$root"/*/releases; do
        [ -d "$folder" ] || continue
        m=${folder%/releases}
        say model "${m##*/}"
        look_at current
        say current "$linked"
        [ -n "$linked" ] && hashes "$m/releases/$linked"
    done
}

# --- verbs that change ------------------------------------------------------------------------

prepare() { # prepare MODEL RELEASE OWNER LEASE_S NEED_KIB NEED_INODES PYTHON
    use_model "$1" "$2"
    mkdir -p "$m/releases" "$m/staging" 2>/dev/null ||
        refuse unwritable "cannot make $m: $(mkdir -p "$m/releases" "$m/staging" 2>&1)"
    take_lease "$3" "$4"
    holds "$3"
    settle
    for left in "$m"/staging/* "$m"/lock.dead.* "$m"/.try "$m"/.current.new "$m"/.previous.new \
        "$part"/*.ops "$part"/*.lit; do
        [ "$left" = "$part" ] || { [ ! -e "$left" ] && [ ! -L "$left" ]; } || rm -rf "$left"
    done
    offer "$7"
    look_at current
    say current "$linked"
    if [ -d "$made" ]; then rm -rf "$part"; hashes "$made"; say made 1; return 0; fi
    [ -d "$part" ] && hashes "$part"
    have=0
    [ -d "$part" ] && have=$(du -sk "$part") && have=${have%%[!0-9]*}
    available -k
    [ "$((free + have))" -ge "$5" ] ||
        refuse disk-space "needs $5 KiB, and $((free + have)) KiB are free: $(df_words)"
    available -i
    # some file systems do not count inodes
    [ "$free" -eq 0 ] || [ "$free" -ge "$6" ] ||
        refuse inodes "needs $6 inodes, and $free are free: $(df -i "$m" | tail -n 1)"
}

offer() { # offer PYTHON: releases of all models that are here, and what can be unpacked
    for folder in "$root"/*/releases/*/manifest.json; do
        [ -e "$folder" ] || continue
        folder=${folder%/manifest.json}
        model=${folder%/releases/*}
        say has "${model##*/} ${folder##*/}"
    done
    command -v zstd >/dev/null 2>&1 && say unpacks zstd
    command -v gunzip >/dev/null 2>&1 && say unpacks gzip
    command -v "$1" >/dev/null 2>&1 && say unpacks python
    say line "${SSH_CONNECTION:-}"
}

available() { # available -k|-i: KiB or inodes into `free`; df ends in AVAILABLE USE% MOUNTPOINT
    # shellcheck disable=SC2046 # into words
    set -- $(df "$1" "$m" 2>/dev/null)
    [ $# -lt 4 ] || shift $(($# - 3))
    free=${1:-}
    case $free in '' | *[!0-9]*) free=0 ;; esac
}

# Every stream begins with `begin` and ends with `arrived`. CODEC is none, zstd, gzip or python
# (which unpacks gzip where nothing else does). What arrived is hashed whole, whichever way it came.

begin() { # begin OWNER: only one writes, and it can be found when its line is lost
    holds "$1"
    mkdir -p "$part" || refuse unwritable "cannot make $part"
}

arrived() {
    hashes "$part"
    flush "$part"/* "$part" "$m/staging"
}

unpacked() { # unpacked CODEC PYTHON: standard input as it was before it was compressed
    case $1 in
        zstd) zstd -dcq ;;
        gzip) gunzip -c ;;
        python) "$2" -c 'import gzip, shutil, sys
shutil.copyfileobj(gzip.GzipFile(fileobj=sys.stdin.buffer), sys.stdout.buffer, 1 << 16)' ;;
        *) cat ;;
    esac
}

untar() { # untar CODEC PYTHON: files whole; one that is cut stays as far as it came
    if [ "$1" = none ]; then tar -x -f - -C "$part"; else unpacked "$@" | tar -x -f - -C "$part"; fi
}

receive() { # receive MODEL RELEASE OWNER CODEC PYTHON [NAME BASE SHA256]…  <  tar of what is missing
    use_model "$1" "$2"
    begin "$3"
    said=$(untar "$4" "$5" 2>&1) || refuse transfer "$said; $(df_words)"
    cat >/dev/null
    python=$5
    shift 5
    while [ $# -ge 3 ]; do
        rebuild "$1" "$2" "$3"
        shift 3
    done
    arrived
}

append() { # append MODEL RELEASE OWNER CODEC PYTHON NAME OFFSET  <  the rest of a file
    use_model "$1" "$2"
    begin "$3"
    [ "$(stat -c %s "$part/$6" 2>/dev/null)" = "$7" ] ||
        refuse moved-on "$6 is no longer $7 bytes long"
    said=$({ unpacked "$4" "$5" >>"$part/$6"; } 2>&1) || refuse transfer "$said; $(df_words)"
    arrived
}

adopt() { # adopt MODEL RELEASE OWNER [NAME PLACE]…: bytes that another release here has already
    use_model "$1" "$2"
    begin "$3"
    shift 3
    while [ $# -ge 2 ]; do
        rm -f "$part/$1"
        cp "$root/$2" "$part/$1" 2>/dev/null || rm -f "$part/$1"
        shift 2
    done
    arrived
}

serve() { # serve MODEL RELEASE PYTHON ADDRESS NAME…  <  a secret: hand files out once, to who knows it
    use_model "$1" "$2"
    folder=$part
    [ -d "$folder" ] || folder=$made
    [ -d "$folder" ] || refuse no-release "$release is not on the device"
    command -v "$3" >/dev/null 2>&1 || refuse no-python "no $3 on the device"
    python=$3
    shift 3
    said=$("$python" "$here/relay.py" serve "$folder" "$@" 2>&1) || refuse relay "$said"
    echo "$said"
}

fetch() { # fetch MODEL RELEASE OWNER PYTHON HOST PORT  <  a secret: files from the gateway before us
    use_model "$1" "$2"
    begin "$3"
    said=$({ "$4" "$here/relay.py" fetch "$5" "$6" | tar -x -f - -C "$part"; } 2>&1) ||
        refuse transfer "$said; $(df_words)"
    arrived
}

rebuild() { # rebuild NAME BASE SHA256: a file from pieces of one that is here and of NAME.lit
    to=$part/$1
    base=$root/$2
    sum=$(sha256sum <"$base" 2>/dev/null)
    if [ "${sum%% *}" = "$3" ]; then
        rm -f "$to"
        if command -v "$python" >/dev/null 2>&1; then
            "$python" -c "$join" "$to" "$base"
        else
            join
        fi
    fi
    rm -f "$to.ops" "$to.lit"
}

join='import sys
to, base = sys.argv[1:]
with open(to, "wb") as new, open(base, "rb") as old, open(to + ".lit", "rb") as lit:
    for line in open(to + ".ops"):
        source, first, left = line.split()
        source, left = old if source == "old" else lit, int(left)
        source.seek(int(first) - 1)
        while left:
            piece = source.read(min(left, 1 << 20))
            if not piece:
                sys.exit("a piece is missing")
            new.write(piece)
            left -= len(piece)'

join() { # the same in shell
    while read -r from first count; do
        case $from in old) from=$base ;; *) from=$to.lit ;; esac
        tail -c "+$first" "$from" 2>/dev/null | head -c "$count"
    done <"$to.ops" >"$to"
}

holds() { # holds OWNER: whether the lease is still ours; one script at a time works under it
    owner=''
    { read -r owner until <"$m/lock/owner"; } 2>/dev/null
    [ "$owner" = "$1" ] || refuse lease-lost "the lease belongs to ${owner:-nobody} now"
    stop_script "$m/lock"
    echo $$ >"$m/lock/at"
}

smoke() { # smoke MODEL RELEASE RUNTIME PYTHON DEADLINE_S
    use_model "$1" "$2"
    folder=$part
    [ -d "$folder" ] || folder=$made
    [ -d "$folder" ] || refuse no-release "$release is not on the device"
    command -v "$4" >/dev/null 2>&1 || refuse no-python "no $4 on the device"
    said=$("$4" "$here/smoke.py" "$folder" "$3" "$5" 2>&1)
    say ended $?
    say smoke "$(printf '%s\n' "$said" | tail -n 1)"
}

# --- measuring: beside what runs, and nothing of it stays -------------------------------------

samples() { # samples MODEL OWNER SHA256  <  inputs and labels: they lie in the lease, and go with it
    use_model "$1"
    holds "$2"
    said=$({ cat >"$m/lock/$3"; } 2>&1) || refuse transfer "$said; $(df_words)"
    sum=$(sha256sum <"$m/lock/$3")
    [ "${sum%% *}" = "$3" ] || refuse transfer "the samples are not what was sent: $(df_words)"
}

measure() { # measure MODEL RELEASE OWNER RUNTIME PYTHON DEADLINE_S SECONDS SAMPLES|-
    use_model "$1" "$2"
    holds "$3"
    folder=$part
    [ -d "$folder" ] || folder=$made
    [ -d "$folder" ] || refuse no-release "$release is not on the device"
    command -v "$5" >/dev/null 2>&1 || refuse no-python "no $5 on the device"
    given=-
    [ "$8" = - ] || given=$m/lock/$8
    said=$(exec "$5" "$here/measure.py" "$folder" "$4" "$6" "$7" "$given" "$m/lock/at" 2>&1)
    say ended $?
    say measured "$(printf '%s\n' "$said" | tail -n 1)"
}

clear_away() { # clear_away MODEL RELEASE OWNER: as if nobody had measured; another's lease is let alone
    use_model "$1" "$2"
    owner=''
    { read -r owner until <"$m/lock/owner"; } 2>/dev/null
    [ "${owner:-$3}" = "$3" ] || return 0
    rm -rf "$part"
    leave "$3"
    rmdir "$m/releases" 2>/dev/null && rmdir "$m/staging" "$m" 2>/dev/null # there was nothing before
    return 0
}

# --- the switch -------------------------------------------------------------------------------

activate() { # activate MODEL RELEASE OWNER EXPECTED|- TOKEN REVERT_AFTER_S
    use_model "$1" "$2"
    holds "$3"
    look_at current
    now=$linked
    if [ "$now" = "$release" ]; then
        [ ! -d "$part" ] || repair
        say current "$now"
        return 0
    fi
    [ "${now:--}" = "$4" ] || refuse changed "runs ${now:-nothing}, and $4 was expected"
    if [ ! -d "$made" ]; then
        [ -d "$part" ] || refuse no-release "$release is not on the device"
        mv "$part" "$made" || refuse unwritable "cannot rename $part"
    fi
    note activate "$release" "$now"
    look_at previous
    before=$linked
    if ! echo "$5 $release ${now:--} ${before:--}" >"$m/pending.new" ||
        ! mv -f "$m/pending.new" "$m/pending"; then
        refuse unwritable "cannot write $m/pending"
    fi
    flush "$made"/* "$made" "$m/releases" "$m/pending" "$m" # all of it before the switch
    point current "$release" || { revert "$5"; refuse unwritable "cannot switch current"; }
    flush "$m"
    # Reverts by itself unless confirmed: in a session of its own, so that it outlives the line.
    revert_later="sleep $6; exec sh \"\$0\" \"\$1\" revert \"\$2\" \"\$3\""
    detach sh -c "$revert_later" "$here/device.sh" "$root" "$1" "$5"
    say current "$release"
}

detach() {
    if command -v setsid >/dev/null 2>&1; then setsid "$@" </dev/null >/dev/null 2>&1 &
    else nohup "$@" </dev/null >/dev/null 2>&1 & fi
}

repair() { # the running release is damaged and a proved one is staged: current never points at less
    note repair "$release" "$release"
    rm -rf "$made.repair"
    cp -a "$part" "$made.repair" || { rm -rf "$made.repair"; refuse unwritable "no room to repair: $(df_words)"; }
    flush "$made.repair"/* "$made.repair" "$m/releases"
    point current "$release.repair" || refuse unwritable "cannot switch current"
    flush "$m"
    rm -rf "$made" && mv "$part" "$made"
    flush "$made"/* "$made" "$m/releases"
    point current "$release" || refuse unwritable "cannot switch current"
    flush "$m"
    rm -rf "$made.repair"
}

confirm() { # confirm MODEL RELEASE OWNER KEEP
    use_model "$1" "$2"
    holds "$3"
    look_at current
    now=$linked
    [ "$now" = "$release" ] || refuse reverted "runs ${now:-nothing} again: the switch was not confirmed in time"
    if [ -e "$m/pending" ]; then
        if ! said=$(mv -f "$m/pending" "$m/confirmed" 2>&1); then
            [ ! -e "$m/pending" ] || refuse unwritable "cannot confirm the switch: $said"
            refuse reverted "it is going back: the switch was not confirmed in time"
        fi
    fi
    go_on || refuse unwritable "confirmed, and cannot point previous at what ran: $(df_words)"
    note confirm "$release" "$now"
    flush "$m"
    set -- "$3" "$4" "$m"/staging/*
    [ ! -e "$3" ] || rm -rf "$m"/staging/*
    look_at previous
    before=$linked
    keep_only "$2"
    leave "$1"
    say current "$now"
    say previous "$before"
}

keep_only() { # keep_only COUNT: current, previous, and the newest others up to COUNT in all
    kept=1
    [ -n "$before" ] && kept=2
    set -- "$1" "$m"/releases/*
    # shellcheck disable=SC2045 # releases' names hold no blanks
    [ $# -le $(($1 + 1)) ] || for name in $(ls -t "$m/releases"); do
        case $name in "$now" | "$before") continue ;; esac
        kept=$((kept + 1))
        [ "$kept" -le "$1" ] || rm -rf "$m/releases/$name"
    done
    [ "$(stat -c %s "$m/journal.ndjson" 2>/dev/null || echo 0)" -lt 32768 ] ||
        { tail -n 200 "$m/journal.ndjson" >"$m/journal.new" && mv -f "$m/journal.new" "$m/journal.ndjson"; }
}

drop() { # drop MODEL RELEASE OWNER: a kept release whose bytes are no longer what they were
    use_model "$1" "$2"
    holds "$3"
    look_at current
    [ "$linked" = "$release" ] && refuse changed "$release is running"
    note drop "$release" "$linked"
    rm -rf "$made"
}

discard() { # discard MODEL RELEASE OWNER: forget what was staged and go
    use_model "$1" "$2"
    rm -rf "$part" "$m/staging/$release.run"
    leave "$3"
}

echo "=fleet 1="
case $verb in
    observe) . "$here/facts.sh"; facts "$@"; installed ;;
    installed) installed ;;
    hashes) current_hashes ;;
    prepare) prepare "$@" ;;
    receive) receive "$@" ;;
    append) append "$@" ;;
    adopt) adopt "$@" ;;
    serve) serve "$@" ;;
    fetch) fetch "$@" ;;
    smoke) smoke "$@" ;;
    samples) samples "$@" ;;
    measure) measure "$@" ;;
    clear-away) clear_away "$@" ;;
    cases | run | outputs) . "$here/run.sh"; "$verb" "$@" ;;
    bundle_*) . "$here/bundle.sh"; "$verb" "$@" ;;
    activate) activate "$@" ;;
    confirm) confirm "$@" ;;
    drop) drop "$@" ;;
    discard) discard "$@" ;;
    leave) use_model "$1"; leave "$2" ;;
    revert) use_model "$1"; revert "$2" ;;
    *) refuse usage "no verb $verb" ;;
esac
finish 0
