//! Why a port gives no instance. Pure.

use std::fmt;

/// Why a port gives no instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// The port is exposed but not published.
    NotPublished,
    /// The port is published on a loopback address, which other hosts cannot reach.
    Loopback,
    /// The port is published on a link-local address, which only hosts on the same link can reach, and only with the
    /// name of an interface.
    LinkLocal,
    /// The port is published for IPv6 only, while the host is known by an IPv4 address.
    WrongAddressFamily,
    /// The container has no address of its own.
    NoNetwork,
    /// The container has addresses only on networks that other hosts cannot reach.
    Unreachable,
    /// `SERVICE_IGNORE` is set.
    Ignored,
    /// Consul would register an entry with this id but could not deregister it.
    InvalidId,
    /// `--explicit` is set, and the port has no `SERVICE_NAME`.
    NoServiceName,
    /// Docker's HEALTHCHECK has no result yet, and `--docker-starting absent` is set.
    HealthStarting,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotPublished => "it is not published on the host",
            Self::Loopback => "it is published on a loopback address only",
            Self::LinkLocal => "it is published on a link-local address only",
            Self::WrongAddressFamily => {
                "it is published for IPv6 only, and this host is known by an IPv4 address: publish it for IPv4 as \
                 well, or give an IPv6 address with --ip"
            }
            Self::NoNetwork => "the container has no address of its own",
            Self::Unreachable => {
                "the container has addresses only on networks that other hosts do not reach (internal ones, swarm's own, or \
                 link-local): connect it to another network, or choose one of them with --network"
            }
            Self::InvalidId => "its id has control characters, or an empty, \".\" or \"..\" part between slashes",
            Self::Ignored => "SERVICE_IGNORE is set",
            Self::HealthStarting => "its HEALTHCHECK has no result yet",
            Self::NoServiceName => "it has no SERVICE_NAME, and --explicit asks for one",
        })
    }
}
