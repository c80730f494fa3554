# shellcheck shell=bash
# Installs packages with apt. No package may start a service.

readonly POLICY=/usr/sbin/policy-rc.d
readonly POLICY_KEPT=$POLICY.before-portreeve-setup
readonly POLICY_MARK='# held by scripts/setup of portreeve'
APT_UPDATED=

as_root() {
    if ((EUID == 0)); then "$@"; else sudo -- "$@"; fi
}

may_install() {
    if ! command -v apt-get >/dev/null; then
        complain "there is no apt-get here; install what is listed above by your system's own means"
        return 1
    fi
    if ((EUID != 0)) && ! command -v sudo >/dev/null; then
        complain "installing packages needs root: run this as root, or install sudo"
        return 1
    fi
}

# NEEDRESTART_SUSPEND: otherwise Ubuntu restarts running services, such as Docker.
apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
        apt-get -qq -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 "$@"
}

# Once per run. A failure is only reported: if one source is unreachable, the others can still be used.
apt_update() {
    [[ -z $APT_UPDATED ]] || return 0
    say "refreshing the package lists"
    apt_get update || complain "apt-get update failed; going on with the lists that are there"
    APT_UPDATED=1
}

apt_knows() {
    apt-cache policy "$1" | grep '^  Candidate: [^(]' >/dev/null
}

# Installs the first package of each choice ("docker-cli/docker.io") that this release has.
apt_install_choices() {
    may_install || return
    apt_update
    local choice package packages=()
    for choice; do
        for package in ${choice//\// }; do
            if apt_knows "$package"; then
                packages+=("$package")
                continue 2
            fi
        done
        complain "apt knows no package $choice; look at the apt sources of this machine"
    done
    ((${#packages[@]})) || return
    mapfile -t packages < <(printf '%s\n' "${packages[@]}" | sort -u)
    apt_install "${packages[@]}"
}

# Arguments: package names, or paths of .deb files.
apt_install() {
    say "installing $*"
    hold_services || return
    local outcome=0
    apt_get install --yes --no-install-recommends --no-remove "$@" || outcome=$?
    release_services
    ((outcome == 0)) || complain "apt-get could not install $*; its own words are above"
    return "$outcome"
}

# A policy-rc.d that exits with 101 keeps packages from starting services. release_services restores an
# existing one.
hold_services() {
    release_services # restores what a killed run has left behind
    if [[ -e $POLICY || -L $POLICY ]]; then as_root mv -T "$POLICY" "$POLICY_KEPT" || return; fi
    printf '#!/bin/sh\n%s\nexit 101\n' "$POLICY_MARK" | as_root install -m 755 /dev/stdin "$POLICY"
}

release_services() {
    if grep -qsF "$POLICY_MARK" "$POLICY"; then as_root rm -f "$POLICY"; fi
    if [[ -e $POLICY_KEPT || -L $POLICY_KEPT ]]; then as_root mv -T "$POLICY_KEPT" "$POLICY"; fi
}
