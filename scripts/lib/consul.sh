# shellcheck shell=bash
# Consul left Debian after bullseye, so it is looked for in three places.

readonly HASHICORP=https://apt.releases.hashicorp.com
readonly HASHICORP_KEY=/etc/apt/keyrings/hashicorp.asc
readonly HASHICORP_LIST=/etc/apt/sources.list.d/hashicorp.list

install_consul() {
    may_install || return 1
    apt_update
    consul_from_configured_sources && return
    consul_from_hashicorp && return
    consul_from_bullseye && return
    complain "no way led to Consul. Put any consul from 1.8 on into PATH"
    complain "(https://developer.hashicorp.com/consul/install), then run this again"
    return 1
}

consul_from_configured_sources() {
    apt_candidate consul >/dev/null || return 1
    say "consul: the apt sources of this machine have it"
    apt_install consul
}

consul_from_hashicorp() {
    local key codename
    key=$(mktemp)
    if ! curl -fsS --connect-timeout 5 --max-time 20 -o "$key" "$HASHICORP/gpg"; then
        say "consul: HashiCorp's apt repository cannot be reached"
        rm -f "$key"
        return 1
    fi
    say "consul: adding HashiCorp's apt repository ($HASHICORP_LIST)"
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
    as_root install -D -m 644 "$key" "$HASHICORP_KEY"
    rm -f "$key"
    echo "deb [signed-by=$HASHICORP_KEY] $HASHICORP $codename main" |
        as_root install -D -m 644 /dev/stdin "$HASHICORP_LIST"
    if apt_get update -o Dir::Etc::SourceList="$HASHICORP_LIST" -o Dir::Etc::SourceParts=/dev/null \
        -o APT::Get::List-Cleanup=false && apt_candidate consul >/dev/null; then
        apt_install consul && return
    fi
    complain "consul: HashiCorp's repository has none for '$codename'; taking the source out again"
    as_root rm -f "$HASHICORP_KEY" "$HASHICORP_LIST"
    return 1
}

# Bullseye's consul needs nothing that newer releases lack. Only the mirror that the machine
# already uses is asked, with lists of their own, so that nothing else comes from bullseye.
consul_from_bullseye() {
    local mirror dir
    dir=$(mktemp -d)
    chmod 755 "$dir" # apt's own user reads here
    while read -r mirror; do
        say "consul: trying the package of Debian bullseye through this machine's mirror"
        if fetch_from_bullseye "$mirror" "$dir" && apt_install "$dir"/consul_*.deb; then
            rm -rf "$dir"
            return
        fi
    done < <(debian_mirrors)
    rm -rf "$dir"
    say "consul: no Debian mirror of this machine has bullseye's package"
    return 1
}

debian_mirrors() {
    # shellcheck disable=SC2016 # apt expands it
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | sort -u
}

# The machine's own apt settings (proxies, say) stay in force; only sources and lists differ.
fetch_from_bullseye() {
    local mirror=$1 dir=$2
    mkdir -p "$dir/lists/partial" "$dir/archives/partial"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bullseye main" >"$dir/sources.list"
    local apt=(
        apt-get -qq -o Dir::Etc::SourceList="$dir/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o Dir::State::Lists="$dir/lists" -o Dir::Cache="$dir" -o APT::Sandbox::User=root
    )
    "${apt[@]}" -o APT::Update::Error-Mode=any update && (cd "$dir" && "${apt[@]}" download consul)
}
