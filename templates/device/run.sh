# A release tried by a program, without Python: read by device.sh; the same rules hold here.
#
# Below staging/<release>.run lies, for each golden case, a folder with in/, out/, stdout and stderr.

use_run() { # use_run MODEL RELEASE OWNER
    use_model "$1" "$2"
    holds "$3"
    runs=$m/staging/$release.run
}

cases() { # cases MODEL RELEASE OWNER CODEC PYTHON  <  tar of CASE-N.raw: the inputs of golden cases
    use_run "$1" "$2" "$3"
    rm -rf "$runs"
    mkdir -p "$runs/all" || refuse unwritable "cannot make $runs"
    part=$runs/all
    said=$(untar "$4" "$5" 2>&1) || refuse transfer "$said; $(df_words)"
    cat >/dev/null
    for file in "$runs"/all/*; do
        [ -e "$file" ] || continue
        name=${file##*/}
        mkdir -p "$runs/${name%%-*}/in" && mv -f "$file" "$runs/${name%%-*}/in/${name#*-}" ||
            refuse unwritable "cannot sort $file"
    done
}

run() { # run MODEL RELEASE OWNER DEADLINE_S FILE CASES WORD…: once for each case, or once
    use_run "$1" "$2" "$3"
    folder=$part
    [ -d "$folder" ] || folder=$made
    [ -d "$folder" ] || refuse no-release "$release is not on the device"
    last=$(($(date +%s) + $4)) file=$folder/$5 count=$6
    shift 6
    [ "$count" != 0 ] || rm -rf "$runs"
    limits
    enclose
    killed=$(oom_kills)
    case=0
    while :; do
        place=$runs/$case
        rm -rf "$place/out"
        mkdir -p "$place/out" || refuse unwritable "cannot make $place"
        ( attempt "$@" )
        say case "$case $(first_line "$place/late")$(first_line "$place/ended")"
        quote stdout "$place/stdout" 3000
        case=$((case + 1))
        [ "$case" -lt "$count" ] && [ "$(first_line "$place/ended")" = 0 ] || break
    done
    [ "$(oom_kills)" = "$killed" ] || say starved 1
    disband
    quote stderr "$place/stderr" 5000
    case $(first_line "$place/ended") in
        0) ;;
        *) dmesg 2>/dev/null | tail -n 20 >"$place/dmesg"; quote dmesg "$place/dmesg" 2500 ;;
    esac
    for file in "$runs"/*/out/*.raw; do
        [ -e "$file" ] || continue
        name=${file#"$runs/"}
        say out "${name%%/*} ${name##*/} $(stat -c %s "$file")"
    done
}

limits() { # what is left: more memory, or more disk, would be taken from what serves here
    left=0
    [ -r /proc/meminfo ] && while read -r key value rest; do
        case $key in MemAvailable: | SwapFree:) left=$((left + value)) ;; esac
    done </proc/meminfo
    [ "$left" -gt 0 ] || left=unlimited
    available -k
    blocks=$free # of 512 bytes: half of it
    [ "$blocks" -gt 0 ] || blocks=unlimited
    if [ "${#free}" -gt 6 ]; then blocks=200000; fi
}

enclose() { # → group: a control group in which the kernel counts all memory, if one may be made
    group='' # as in smoke.py, which says more
    if [ -d /run/systemd/system ] && [ "$(id -u)" = 0 ]; then return; fi
    [ -r /proc/self/cgroup ] && [ "$left" != unlimited ] && while IFS=: read -r _ controllers path; do
        case ,$controllers, in
            *,memory,*) group=/sys/fs/cgroup/memory${path%/} most=memory.limit_in_bytes ;; # below
            ,,) group=/sys/fs/cgroup${path%/*} most=memory.max ;; # beside
            *) continue ;;
        esac
        group=$group/fleet-$$
        if mkdir "$group"; then
            if echo "$((left / 8 * 7))K" >"$group/$most"; then return; fi
            rmdir "$group"
        fi
        group=''
    done </proc/self/cgroup
} 2>/dev/null

disband() { # all that is in the control group ends
    [ "$group" ] || return 0
    turns=50
    until rmdir "$group" || [ "$turns" = 0 ]; do
        while read -r each; do kill -9 "$each"; done <"$group/cgroup.procs"
        sleep 0.02 || sleep 1
        turns=$((turns - 1))
    done
} 2>/dev/null

# The keeper is the first of a group of its own; it writes how the program ended, then ends the group.
# shellcheck disable=SC2016 # for another shell
keeper='ulimit -c 0; ulimit -d "$1"; ulimit -f "$2"
[ -z "$3" ] || echo $$ >"$3/cgroup.procs"
shift 3
"$@"
echo $? >"$0/ended.new"; mv -f "$0/ended.new" "$0/ended"; kill -9 "-$$"'
# shellcheck disable=SC2016
guard='sleep "$1"; echo late >"$0/late"; kill -9 "-$2"'

attempt() { # attempt WORD…: with paths for placeholders, until it ends or the deadline does
    turns=$#
    while [ "$turns" -gt 0 ]; do
        filled "$1"
        shift
        set -- "$@" "$word"
        turns=$((turns - 1))
    done
    if [ "$1" = benchmark_model ] && ! command -v "$1" >/dev/null 2>&1; then
        shift
        set -- /data/local/tmp/benchmark_model "$@"
    fi
    rm -f "$place/ended" "$place/late"
    seconds=$((last - $(date +%s)))
    [ "$seconds" -gt 0 ] || seconds=1
    grouped sh -c "$keeper" "$place" "$left" "$blocks" "$group" "$@" </dev/null >"$place/stdout" 2>"$place/stderr" &
    kept=$!
    grouped sh -c "$guard" "$place" "$seconds" "$kept" </dev/null >/dev/null 2>&1 &
    guards=$!
    wait "$kept"
    status=$?
    [ -e "$place/ended" ] || [ -e "$place/late" ] || echo "$status" >"$place/ended"
    for each in "-$guards" "$guards" "-$kept"; do # by its number, too: it may not be a group yet
        kill -9 "$each" 2>/dev/null
    done
    wait
} 2>/dev/null

grouped() { # what a killed group takes with it: all that a program has started
    if command -v setsid >/dev/null 2>&1; then exec setsid "$@"; fi
    exec "$@"
}

filled() { # filled WORD → word: each placeholder once
    word=$1
    # shellcheck disable=SC2088
    case $word in "~/"*) word=$HOME/${word#"~/"} ;; esac
    case $word in *"{model}"*) word=${word%%"{model}"*}$file${word#*"{model}"} ;; esac
    case $word in *"{inputs}"*) word=${word%%"{inputs}"*}$place/in${word#*"{inputs}"} ;; esac
    case $word in *"{outputs}"*) word=${word%%"{outputs}"*}$place/out${word#*"{outputs}"} ;; esac
}

oom_kills() {
    [ -r /proc/vmstat ] && while read -r key value; do
        case $key in oom_kill) echo "$value"; return ;; esac
    done </proc/vmstat
    echo 0
}

quote() { # quote KEY FILE BYTES: its end, each line behind the key
    [ -s "$2" ] || return 0
    say "$1-bytes" "$(stat -c %s "$2")"
    tail -c "$3" "$2" | while IFS= read -r line || [ -n "$line" ]; do say "$1" "$line"; done
}

outputs() { # outputs MODEL RELEASE OWNER CASE/NAME…: their bytes behind the answer, in this order
    use_run "$1" "$2" "$3"
    shift 3
    echo "=end="
    for name; do
        cat "$runs/${name%%/*}/out/${name#*/}" || exit 1
    done
    exit 0
}
