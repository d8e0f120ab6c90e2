# What a device is, in one go: read by device.sh for its verb `observe`; the same rules hold here.
#
# Files are read by the shell itself and programs are started only where what they would be asked
# about is there: each one costs milliseconds of a small core. Nothing is interpreted on the
# device; answers are `key=value` lines whose values stand as they were found.

# mksh, which Android has, would start a program for each printf
[ -z "${KSH_VERSION:-}" ] || say() { print -r -- "$1=$2"; }

look() { # look FILE: its first line into `line`, empty where there is none
    line=''
    [ -r "$1" ] || return 1
    { IFS= read -r line <"$1" || [ -n "$line" ]; } 2>/dev/null
}

facts() { # facts PYTHON [RUNNER]
    sys=${FLEET_LAB_ROOT:-}
    unread=$(cat "$here/smoke.py" 2>&1 >/dev/null) || refuse storage-dead "cannot read its files: $unread"
    say epoch "$(date +%s)"
    board_facts
    cpu_facts
    memory_facts
    condition_facts
    accelerator_facts
    software_facts "$1"
    program_facts "${2:-}"
}

board_facts() {
    tree=/proc/device-tree
    [ -r $tree/model ] || tree=$sys/sys/firmware/devicetree/base # the same; labs cannot make the first
    [ -r "$tree/model" ] && say board "$(cat "$tree/model")" 2>/dev/null
    compatible=''
    [ -r "$tree/compatible" ] && compatible=$(xargs -0 <"$tree/compatible" 2>/dev/null)
    say compatible "$compatible"
    if [ ! -r "$tree/model" ] && look "$sys/sys/class/dmi/id/product_name"; then say dmi "$line"; fi
    command -v getprop >/dev/null 2>&1 && getprop 2>/dev/null | while IFS= read -r line; do
        case $line in
            "[ro.product.model]"* | "[ro.product.manufacturer]"* | "[ro.product.cpu.abi]"* | \
                "[ro.build.version.release]"* | "[ro.build.version.sdk]"* | "[ro.soc.model]"* | \
                "[ro.board.platform]"*) say prop "$line" ;;
        esac
    done
    look "$sys/etc/fleet-lab.json"
    say lab "$line"
}

cpu_facts() {
    say arch "$(uname -m)"
    say kernel "$(uname -r)"
    bits=$(getconf LONG_BIT 2>/dev/null)
    # without getconf: the fifth byte of a program is 1 in 32 bits and 2 in 64
    [ -n "$bits" ] || say elf "$(head -c 5 "$(command -v sh)" 2>/dev/null | tail -c 1 | od -An -tu1)"
    say bits "$bits"
    say cores "$(nproc 2>/dev/null)"
    said='|' maker=''
    [ -r "$sys/proc/cpuinfo" ] && while IFS= read -r line; do # every core says the same once more
        case $line in
            "CPU implementer"*) maker=${line##*: }; continue ;;
            "CPU part"*) line="core: $maker ${line##*: }" ;;
            Features* | flags* | Hardware* | Revision* | Model* | "model name"*) ;;
            *) continue ;;
        esac
        case $said in *"|$line|"*) ;; *) said="$said$line|"; say cpu "$line" ;; esac
    done <"$sys/proc/cpuinfo"
}

memory_facts() {
    [ -r "$sys/proc/meminfo" ] && while read -r key value rest; do
        case $key in MemTotal:) say ram_kib "$value" ;; MemAvailable:) say ram_free_kib "$value"; break ;; esac
    done <"$sys/proc/meminfo"
    near=$root
    while [ ! -d "$near" ]; do near=${near%/*}; [ -n "$near" ] || near=/; done
    said=$(df -k "$near" 2>/dev/null)
    say disk "${said##*"
"}"
    said=$(df -i "$near" 2>/dev/null)
    say inodes "${said##*"
"}"
}

condition_facts() {
    for zone in "$sys"/sys/class/thermal/thermal_zone*; do
        look "$zone/temp" || continue
        degrees=$line
        look "$zone/type"
        say zone "$degrees $line"
    done
    command -v nvpmodel >/dev/null 2>&1 && nvpmodel -q 2>/dev/null | while IFS= read -r line; do
        case $line in *"Power Mode"*) say power "$line" ;; esac
    done
    if command -v vcgencmd >/dev/null 2>&1; then say throttled "$(vcgencmd get_throttled 2>/dev/null)"; fi
}

accelerator_facts() {
    for file in "$sys"/sys/bus/usb/devices/*/idVendor; do
        look "$file" || continue
        maker=$line
        look "${file%Vendor}Product" && say usb "$maker:$line"
    done
    for file in "$sys"/sys/bus/pci/devices/*/vendor; do
        look "$file" || continue
        maker=$line
        look "${file%vendor}device" && say pci "$maker:$line"
    done
    [ -e "$sys/dev/apex_0" ] && say apex 1
    if [ -e "$sys/dev/hailo0" ]; then
        say hailo 1
        hailortcli fw-control identify 2>/dev/null | while IFS= read -r line; do
            case $line in "Firmware Version"* | "Device Architecture"*) say hailo "$line" ;; esac
        done
    fi
    case $compatible in *rockchip*)
        for file in "$sys/dev/rknpu" "$sys"/dev/dri/by-path/*npu-render; do
            [ -e "$file" ] && say rknpu "${file##*/}"
        done
        for file in "$sys/usr/lib/librknnrt.so" "$sys"/usr/lib/*/librknnrt.so; do
            [ -r "$file" ] && say rknn "$(grep -a -m 1 -o 'librknnrt version: [0-9.]*' "$file" 2>/dev/null)"
        done ;;
    esac
}

software_facts() { # software_facts PYTHON
    [ -r "$sys/etc/os-release" ] && while IFS= read -r line; do
        case $line in PRETTY_NAME=*) say os "${line#PRETTY_NAME=}"; break ;; esac
    done <"$sys/etc/os-release"
    libc_facts
    look "$sys/etc/nv_tegra_release"
    say l4t "$line"
    say home "$HOME"
    say prefix "${PREFIX:-}"
    say termux "${TERMUX_VERSION:-}"
    look "$sys/usr/local/cuda/version.txt" && say cuda "$line" # up to CUDA 10
    [ -r "$sys/usr/local/cuda/version.json" ] && while IFS= read -r line; do
        case $line in *'"version"'*) say cuda "$line"; break ;; esac
    done <"$sys/usr/local/cuda/version.json"
    special=$(look "$sys/etc/nv_tegra_release" && echo 1)
    for file in "$sys"/usr/lib/*/libnvinfer.so.*.*.* "$sys"/usr/lib/*/libedgetpu.so.*.* \
        "$sys"/usr/lib/libedgetpu.so.*.*; do
        [ -e "$file" ] && { say library "${file##*/}"; special=1; }
    done
    [ -e "$sys/dev/hailo0" ] && special=1
    [ -n "$special" ] && dpkg-query -W nvidia-jetpack libedgetpu1-std libedgetpu1-max hailort \
        2>/dev/null | while IFS= read -r line; do say package "$line"; done
    say runtimes "$("$1" "$here/runtimes.py" 2>/dev/null)"
}

program_facts() { # program_facts RUNNER: what runs models without Python, and which build of it
    # shellcheck disable=SC2088 # the tilde is the inventory's word for our home
    case $1 in "~/"*) set -- "$HOME/${1#"~/"}" ;; esac
    if [ -n "$1" ] && at=$(command -v "$1"); then
        sum=$(sha256sum <"$at" 2>/dev/null)
        say program "native ${sum%"${sum#????????????}"}"
    fi
    if command -v benchmark_model >/dev/null 2>&1 || [ -x /data/local/tmp/benchmark_model ]; then
        say program "benchmark_model unknown"
    fi
}

libc_facts() { # glibc answers the first question, musl the second or the third, and bionic none
    { getconf GNU_LIBC_VERSION || ldd --version || ldd; } 2>&1 | while IFS= read -r line; do
        case $line in *glibc* | *GLIBC* | *"GNU libc"* | *musl* | Version*) say libc "$line" ;; esac
    done
    for file in "$sys"/lib/ld-musl-*.so.1 "$sys"/system/bin/linker "$sys"/system/bin/linker64; do
        [ -e "$file" ] && say libc "${file##*/}"
    done
}
