# shellcheck shell=bash
# Debian releases after bullseye have no consul package, so three sources are tried.

readonly HASHICORP=https://apt.releases.hashicorp.com
readonly HASHICORP_KEY=/etc/apt/keyrings/hashicorp.asc
readonly HASHICORP_LIST=/etc/apt/sources.list.d/hashicorp.list
readonly DEBIAN_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

install_consul() {
    may_install || return
    apt_update
    consul_from_configured_sources && return
    consul_from_hashicorp && return
    consul_from_bullseye && return
    complain "consul: no way led to it. Put any consul from 1.8 on into PATH by hand"
    complain "consul: (https://developer.hashicorp.com/consul/install), then run this again"
    return 1
}

consul_from_configured_sources() {
    apt_knows consul || return
    say "consul: the apt sources of this machine have it"
    apt_install consul
}

consul_from_hashicorp() {
    if ! curl -fsS --connect-timeout 5 --max-time 20 -o "$WORK/hashicorp.asc" "$HASHICORP/gpg"; then
        say "consul: HashiCorp's apt repository cannot be reached"
        return 1
    fi
    say "consul: adding HashiCorp's apt repository as $HASHICORP_LIST"
    add_hashicorp && apt_knows consul && apt_install consul && return
    complain "consul: that did not work; taking the repository out again"
    as_root rm -f "$HASHICORP_KEY" "$HASHICORP_LIST"
    return 1
}

add_hashicorp() {
    local codename
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
    as_root install -D -m 644 "$WORK/hashicorp.asc" "$HASHICORP_KEY" || return
    echo "deb [signed-by=$HASHICORP_KEY] $HASHICORP $codename main" |
        as_root install -D -m 644 /dev/stdin "$HASHICORP_LIST" || return
    apt_get update -o Dir::Etc::SourceList="$HASHICORP_LIST" -o Dir::Etc::SourceParts=/dev/null \
        -o APT::Get::List-Cleanup=false
}

# The dependencies of bullseye's package exist in newer releases, too.
consul_from_bullseye() {
    local mirror
    while read -r mirror; do
        say "consul: trying Debian bullseye's package through this machine's mirror"
        fetch_from_bullseye "$mirror" && apt_install "$WORK"/consul_*.deb && return
    done < <(debian_mirrors)
    say "consul: no Debian mirror of this machine led to bullseye's package"
    return 1
}

# Asks apt, which understands every format of its sources.
debian_mirrors() {
    # shellcheck disable=SC2016 # apt expands this
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | sort -u
}

# apt's other settings, such as a proxy, stay in effect. The sources and lists are private to this call, so
# that only consul can come from bullseye.
fetch_from_bullseye() {
    local mirror=$1
    local apt=(
        apt-get -qq -o Dir::Etc::SourceList="$WORK/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o Dir::State::Lists="$WORK/lists" -o Dir::Cache="$WORK/cache"
        -o APT::Sandbox::User=root -o APT::Update::Error-Mode=any
    )
    echo "deb [signed-by=$DEBIAN_KEYRING] $mirror bullseye main" >"$WORK/sources.list"
    mkdir -p "$WORK/lists/partial" "$WORK/cache/archives/partial"
    "${apt[@]}" update && (cd "$WORK" && "${apt[@]}" download consul)
}
