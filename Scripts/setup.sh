#!/bin/bash
# Installs what a fresh Debian or Ubuntu machine lacks beside the Swift toolchain. Does nothing, needs no network and no root, when
# everything is there.
#
#   setup.sh               fails when something can't be had
#   setup.sh COMMAND...    goes on without it, runs the command, and says behind its output what could not be had; the status is the
#                          command's
set -euo pipefail

fail() {
    echo "setup: $*" >&2
    exit 1
}

command -v swift >/dev/null || fail "there is no swift in PATH: install Swift 6.3 from https://www.swift.org/install/linux"
version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\.[0-9]*\).*/\1/p')
[ "$version" = 6.3 ] || fail "Swift 6.3 is needed, and this is ${version:-of unknown version}: https://www.swift.org/install/linux"

headers() { [ -e "/usr/include/$1" ] || [ -e "/usr/include/$(uname -m)-linux-gnu/$1" ]; }
program() { [ -n "$(PATH=$PATH:/usr/sbin:/usr/local/sbin:/sbin command -v "$1")" ]; }

# Sets `packages` to what brings that which is missing.
look() {
    packages=()
    headers sys/epoll.h || packages+=(libc6-dev)
    compgen -G '/usr/lib/gcc/*/*/libstdc++.so' >/dev/null || packages+=(libstdc++-dev)
    program ld || packages+=(binutils)
    program git || packages+=(git ca-certificates)
    # For the benchmarks and their gate.
    program valgrind || packages+=(valgrind)
    program python3 || packages+=(python3)
    program strace || packages+=(strace)
    # What others wrote, for the integration tests and the demo; what needs one that is missing is skipped, with a message.
    program nc || packages+=(netcat-openbsd)
    program curl || packages+=(curl)
    program socat || packages+=(socat)
    program wrk || packages+=(wrk)
    program redis-server || packages+=(redis-server redis-tools)
    program nginx || packages+=(nginx-light)
    [ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || packages+=(libnginx-mod-stream)
    # For the example curl-multi.
    headers curl/curl.h || packages+=(libcurl4-openssl-dev)
}

# install ONE_BY_ONE: one package that can't be had must not keep the others away, where that is asked for.
install() {
    local one_by_one=$1 as_root=() apt
    command -v apt-get >/dev/null || { echo "setup: no apt-get here: install what corresponds to ${packages[*]}" >&2; return 1; }
    if [ "$(id -u)" -ne 0 ]; then
        as_root=(sudo)
        # Nobody waits for a password in front of a test.
        [ -z "$one_by_one" ] || as_root+=(--non-interactive)
        "${as_root[@]}" true 2>/dev/null || { echo "setup: root, or sudo, is needed to install ${packages[*]}" >&2; return 1; }
    fi
    apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive timeout 600 apt-get -qq -y -o Dpkg::Use-Pty=0 -o Acquire::Retries=1
        -o Acquire::http::Timeout=20)
    echo "setup: installing ${packages[*]}" >&2
    # Without a network there is one more attempt, with what is here, and not one for each package.
    if ! "${apt[@]}" -o APT::Update::Error-Mode=any update >&2; then
        [ -n "$one_by_one" ] || return 1
        one_by_one=
    fi
    # libstdc++'s headers have their version in the package's name; the newest is the compiler's default.
    for index in "${!packages[@]}"; do
        if [ "${packages[$index]}" = libstdc++-dev ]; then
            packages[index]=$(apt-cache search --names-only '^libstdc\+\+-[0-9]+-dev$' | cut -d' ' -f1 | sort -V | tail -1)
        fi
    done
    "${apt[@]}" install --no-install-recommends "${packages[@]}" >&2 && return
    [ -n "$one_by_one" ] || return 1
    for package in "${packages[@]}"; do
        [ -z "$package" ] || "${apt[@]}" install --no-install-recommends "$package" >&2 || true
    done
}

look
if [ $# -eq 0 ]; then
    if [ ${#packages[@]} -gt 0 ]; then install ''; else echo "setup: everything is there"; fi
    exit
fi

if [ ${#packages[@]} -gt 0 ]; then install one_by_one || true; fi
status=0
"$@" || status=$?
look
if [ ${#packages[@]} -gt 0 ]; then
    echo "setup: ${#packages[@]} packages could not be had, and what needs them was left out: ${packages[*]}" >&2
fi
exit "$status"
