# Sourced by scripts/run and scripts/test: what this machine must have, and how it gets it.
# shellcheck shell=bash

# A cargo that is new enough: on PATH, or rustup's, which Debian 12's own old one may hide.
have_cargo() {
    is_new_enough "$(cargo --version 2>/dev/null)" && return
    local rustups=${HOME:-}/.cargo/bin
    is_new_enough "$("$rustups/cargo" --version 2>/dev/null)" && PATH=$rustups:$PATH
}

is_new_enough() { # 'cargo 1.85.1 (...)'
    local major minor
    IFS='. ' read -r _ major minor _ <<<"$1"
    [[ $major =~ ^[0-9]+$ && $minor =~ ^[0-9]+$ ]] && ((major > 1 || minor >= 85))
}

# Whether this Debian's own cargo is new enough.
debian_has_cargo() (
    . /etc/os-release 2>/dev/null && [ "${ID:-}" = debian ] && [ "${VERSION_ID:-13}" -ge 13 ]
)

# What the job, `run` or `test`, needs before anything is built: by the names of the Debian packages that bring it.
needed_packages() { # JOB
    have_cargo || echo cargo
    command -v cc >/dev/null || echo gcc
    # libc.a, for the guest's static programs.
    [[ $(cc -print-file-name=libc.a 2>/dev/null) == /* ]] || echo libc6-dev
    # cargo fetches over https.
    [ -n "${SSL_CERT_FILE:-}${SSL_CERT_DIR:-}${CARGO_HTTP_CAINFO:-}" ] || compgen -G '/etc/ssl/cert*/*' >/dev/null || echo ca-certificates
    [ "$1" = test ] || return 0
    cargo fmt --version >/dev/null 2>&1 || echo rustfmt
    cargo clippy --version >/dev/null 2>&1 || echo rust-clippy
}

# Says what is missing and installs it; with no-install it only says so, and fails.
get_needs() { # JOB yes|no-install
    if [ "$(uname -m)" != x86_64 ]; then
        echo "error: this machine is $(uname -m); the guests and their programs are for x86_64" >&2
        return 1
    fi
    have_cargo # puts it on PATH
    local missing
    read -ra missing <<<"$(needed_packages "$1" | tr '\n' ' ')"
    if [ ${#missing[@]} -eq 0 ]; then
        echo "system packages: nothing to install"
    elif [ "$2" = no-install ]; then
        say_missing "--no-install: nothing was installed" "${missing[@]}"
    else
        install_packages "${missing[@]}"
    fi
}

say_missing() { # WHY PACKAGE...
    local why=$1
    shift
    echo "error: missing here, by Debian's names: $* ($why)"
    [[ " $*" != *" cargo"* ]] || echo "       cargo must be 1.85 or newer: Debian 13's is; elsewhere rustup brings it, with rustfmt and clippy"
    [[ " $*" != *" libc6-dev"* ]] || echo "       libc6-dev stands for a C library with libc.a"
    command -v apt-get >/dev/null || echo "       no apt-get here: a QEMU >= 10.1 with vfio-user-pci must be on PATH as well"
    return 1
} >&2

install_packages() { # PACKAGE...
    if [[ " $*" == *" cargo"* ]] && ! debian_has_cargo; then
        say_missing "nothing was installed: this is no Debian 13, so cargo is for you to choose" "$@"
        return
    fi
    # A cargo of rustup's takes no parts from Debian.
    if [[ " $*" == *" rust"* ]] && command -v rustup >/dev/null; then
        echo "rustup: installing the components rustfmt and clippy"
        rustup component add rustfmt clippy || return
        local others=() package
        for package; do [[ $package == rust* ]] || others+=("$package"); done
        [ ${#others[@]} -gt 0 ] || return 0
        set -- "${others[@]}"
    fi
    command -v apt-get >/dev/null || { say_missing "nothing was installed: no apt-get here" "$@"; return; }
    echo "system packages: installing $*"
    if ! { package_lists && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qqy --no-install-recommends "$@" >/dev/null; }; then
        echo "error: not installed: run as root: apt-get update && apt-get install $*" >&2
        return 1
    fi
}

# Tools that only some tests use: a test whose tool is not here is skipped, and says so, so this never fails. mandoc and groff are
# small (1.5 and 4 MB) and come with every run; the rest, and what it draws in, only with --full.
get_tools() { # yes|no-install [full]
    local wanted=(mandoc:mandoc groff:groff-base parallel:parallel) pair missing=()
    [ -z "${2:-}" ] || wanted+=(driverctl:driverctl zsh:zsh fish:fish virsh:libvirt-clients xmllint:libxml2-utils)
    for pair in "${wanted[@]}"; do
        PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
    done
    # virsh runs libvirt's QEMU driver by itself; the daemon's package brings it, and the user that it wants.
    [[ " ${missing[*]} " != *" libvirt-clients "* ]] || missing+=(libvirt-daemon-system)
    if [ ${#missing[@]} -eq 0 ]; then
        echo "tools of some tests: nothing to install"
    elif ! { [ "$1" = yes ] && command -v apt-get >/dev/null && install_packages "${missing[@]}"; }; then
        echo "not here: ${missing[*]}; their tests are skipped"
    fi
    [ -z "${2:-}" ] || get_browser "$1"
}

# A browser that draws the timeline's page.
get_browser() { # yes|no-install
    local name
    for name in chromium-headless-shell chromium chromium-browser google-chrome; do
        if command -v "$name" >/dev/null; then
            echo "browser: $name"
            return
        fi
    done
    [ "$1" = yes ] && command -v apt-get >/dev/null && install_packages chromium-headless-shell ||
        echo "no browser here: the tests of the timeline's page in one are skipped"
}

package_lists() { as_root apt-get update -qq; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "error: not root, and no sudo here, for: $*" >&2
        return 1
    fi
}

target_dir() { echo "${CARGO_TARGET_DIR:-$PWD/target}"; }

GUEST_TARGET=x86_64-unknown-linux-gnu

# Cargo's own progress is for a person; a log gets the result only.
quiet() { [ -t 2 ] || echo -q; }

build_harness() {
    # shellcheck disable=SC2046 # an option or nothing
    cargo build --locked $(quiet) -p netdma-vm --bin netdma-vm
}

# The programs of the host, and those of the guest: static, and so with an explicit --target.
build_all() {
    # shellcheck disable=SC2046
    cargo build --locked $(quiet) -p vfio-user-ioat -p netdma -p netdma-vm -p netdma-lab --bins &&
        RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" \
            cargo build --locked $(quiet) --target "$GUEST_TARGET" -p netdma -p netdma-vm --bin netdma --bin netdma-vm-init &&
        write_share
}

# What belongs below a folder `share`: man pages and shell completions, which each program makes from its own options, and the
# description of the device for management programs. Made anew, so that a verb that is gone leaves no page.
write_share() {
    local share program
    share=$(target_dir)/share
    rm -rf "$share"
    for program in netdma vfio-user-ioat netdma-vm netdma-lab; do
        "$(target_dir)/debug/$program" generate all "$share" || return
    done
    mkdir -p "$share/qemu/vfio-user" && cp scripts/recipes/qemu/50-netdma-ioat.json "$share/qemu/vfio-user/"
}

# What fetching QEMU and guest kernels needs of the system: apt's lists, for the mirror's name (a new machine has none yet),
# and Debian's keys. With a full cache, nothing.
get_mirror() { # yes|no-install SETUP-OPTION...
    local install=$1
    shift
    if [ "$install" = no-install ] || ! command -v apt-get >/dev/null || get_guests no-install "$@" >/dev/null 2>&1; then
        return 0
    fi
    # shellcheck disable=SC2016 # apt's own variable
    [ -n "$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null)" ] || package_lists || return 1
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || install_packages debian-archive-keyring
}

# QEMU and guest kernels into the cache.
get_guests() { # yes|no-install SETUP-OPTION...
    local install=$1
    shift
    [ "$install" = yes ] || set -- "$@" --no-install
    "$(target_dir)/debug/netdma-vm" setup "$@"
}

# Compiler, kernel headers and sources of the guests' kernels into the cache, and from them dmatest.ko: about 210 MB over the network,
# and 180 MiB on the disk. `netdma-lab` must be built, and get_guests be through.
get_modules() { # yes|no-install KERNEL...
    local install=$1 kernel
    shift
    for kernel; do
        if [ "$install" = yes ]; then
            "$(target_dir)/debug/netdma-lab" kmod dmatest --kernel "$kernel" || return
        else
            "$(target_dir)/debug/netdma-lab" kmod dmatest --kernel "$kernel" --no-install ||
                echo "tests that need modules for $kernel are skipped"
        fi
    done
}
