//! The address policy: where webhooks may go. One policy for creating, testing and delivering,
//! and the address that is checked is the address that is dialled.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use url::{Host, Url};

/// Networks that no public service has (IANA special-purpose registries, 2024): this host,
/// private, shared, loopback, link-local (with the metadata addresses of clouds), protocol
/// assignments, documentation, relay, benchmarking, multicast, reserved, broadcast.
const FORBIDDEN_V4: [(Ipv4Addr, u8); 16] = [
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 31, 196, 0), 24),
    (Ipv4Addr::new(192, 52, 193, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(192, 175, 48, 0), 24),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
];

/// Everything from here on is multicast, reserved or broadcast.
const FORBIDDEN_V4_FROM: u8 = 224;

/// Ports that speak something else than HTTP, where a request could be taken for a command.
const FORBIDDEN_PORTS: [u16; 12] = [0, 22, 23, 25, 53, 110, 143, 465, 587, 993, 995, 6_379];

/// Where webhooks may go besides public addresses, and how.
#[derive(Debug, Clone, Default)]
pub struct AddressPolicy {
    /// Whether `http:` is allowed everywhere; inside `allow_networks` it always is.
    pub allow_http: bool,
    /// Special networks that are allowed all the same.
    pub allow_networks: Vec<IpNet>,
}

/// A URL that the policy refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// No URL.
    #[error("it is no URL: {0}")]
    Syntax(String),
    /// Another scheme.
    #[error("the scheme must be https, not {0}")]
    Scheme(String),
    /// A name or a password.
    #[error(
        "it contains a user name or a password; put a secret into the path or check the signature"
    )]
    UserInfo,
    /// A port of another protocol.
    #[error("port {0} is not allowed")]
    Port(u16),
    /// No host.
    #[error("it has no host")]
    NoHost,
    /// A special address.
    #[error("address {0} is not a public one; an operator can allow its network")]
    Address(IpAddr),
    /// A name that does not resolve.
    #[error("the name {0} cannot be resolved")]
    Resolve(String),
}

impl AddressPolicy {
    /// Whether an address may be dialled.
    pub fn check_address(&self, address: IpAddr) -> Result<(), PolicyError> {
        if self.is_allowed_network(address) || !is_special(address) {
            Ok(())
        } else {
            Err(PolicyError::Address(address))
        }
    }

    fn is_allowed_network(&self, address: IpAddr) -> bool {
        let embedded = embedded_v4(address).map(IpAddr::V4);
        let inside = |address: IpAddr| {
            self.allow_networks
                .iter()
                .any(|network| network.contains(&address))
        };
        inside(address) || embedded.is_some_and(inside)
    }

    /// Checks everything of a URL that needs no look-up; gives it parsed.
    pub fn check_text(&self, url: &str) -> Result<Url, PolicyError> {
        let url = Url::parse(url).map_err(|error| PolicyError::Syntax(error.to_string()))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(PolicyError::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(PolicyError::UserInfo);
        }
        if let Some(port) = url.port().filter(|port| FORBIDDEN_PORTS.contains(port)) {
            return Err(PolicyError::Port(port));
        }
        match url.host() {
            None => return Err(PolicyError::NoHost),
            Some(Host::Ipv4(address)) => {
                self.check_dialled(scheme_of(&url), &[IpAddr::V4(address)])?;
            }
            Some(Host::Ipv6(address)) => {
                self.check_dialled(scheme_of(&url), &[IpAddr::V6(address)])?;
            }
            Some(Host::Domain(_)) => {}
        }
        Ok(url)
    }

    /// Checks all addresses that a name leads to: one forbidden address refuses the whole answer.
    pub fn check_dialled(&self, scheme: Scheme, addresses: &[IpAddr]) -> Result<(), PolicyError> {
        for address in addresses {
            self.check_address(*address)?;
        }
        let plain = scheme == Scheme::Plain;
        let all_allowed = addresses
            .iter()
            .all(|address| self.is_allowed_network(*address));
        if plain && !self.allow_http && !all_allowed {
            return Err(PolicyError::Scheme("http".to_owned()));
        }
        Ok(())
    }
}

/// Whether what is dialled speaks TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `https:`
    Tls,
    /// `http:`
    Plain,
}

/// By which scheme a checked URL is dialled.
pub fn scheme_of(url: &Url) -> Scheme {
    if url.scheme() == "http" {
        Scheme::Plain
    } else {
        Scheme::Tls
    }
}

fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_special_v4(address),
        IpAddr::V6(address) => match embedded_v4(IpAddr::V6(address)) {
            Some(embedded) => is_special_v4(embedded) || !is_translation(address),
            None => is_special_v6(address),
        },
    }
}

fn is_special_v4(address: Ipv4Addr) -> bool {
    let bits = u32::from(address);
    let inside = |(network, length): (Ipv4Addr, u8)| {
        (bits ^ u32::from(network)) >> (32 - u32::from(length)) == 0
    };
    address.octets()[0] >= FORBIDDEN_V4_FROM || FORBIDDEN_V4.into_iter().any(inside)
}

/// Only `2000::/3` is public, and of it not: Teredo and other assignments, documentation, 6to4.
fn is_special_v6(address: Ipv6Addr) -> bool {
    let s = address.segments();
    let global_unicast = s[0] & 0xe000 == 0x2000;
    let assignments = s[0] == 0x2001 && s[1] < 0x0200;
    let documentation = (s[0] == 0x2001 && s[1] == 0x0db8) || (s[0] == 0x3fff && s[1] < 0x1000);
    let six_to_four = s[0] == 0x2002;
    !global_unicast || assignments || documentation || six_to_four
}

/// NAT64's well-known prefix leads to the IPv4 address inside; other embeddings are no way to
/// reach a public service.
fn is_translation(address: Ipv6Addr) -> bool {
    let s = address.segments();
    s[0] == 0x0064 && s[1] == 0xff9b
}

/// The IPv4 address inside an IPv6 one: mapped, compatible, NAT64, 6to4, Teredo's client.
fn embedded_v4(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else {
        return None;
    };
    let s = address.segments();
    let of = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match s {
        // `::` and `::1` are IPv6's own, not IPv4 in disguise.
        [0, 0, 0, 0, 0, 0, 0, _] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x0064, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(of(high, low)),
        [0x2001, 0, _, _, _, _, high, low] => Some(of(!high, !low)),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed expectation ends the test")]

    use super::*;

    /// Spellings of places that a webhook must never reach.
    pub const FORBIDDEN: [&str; 68] = [
        "https://127.0.0.1/",
        "https://127.1/",
        "https://127.0.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://0x7f.0x0.0x0.0x1/",
        "https://017700000001/",
        "https://0177.0.0.1/",
        "https://0177.1/",
        "https://127.255.255.254/",
        "https://0/",
        "https://0.0.0.0/",
        "https://0x0/",
        "https://0.1.2.3/",
        "https://10.0.0.1/",
        "https://10.255.255.255/",
        "https://0xa000001/",
        "https://167772161/",
        "https://172.16.0.1/",
        "https://172.31.255.255/",
        "https://192.168.0.1/",
        "https://192.168.1/",
        "https://0xc0a80001/",
        "https://3232235521/",
        "https://169.254.169.254/latest/meta-data",
        "https://0xa9fea9fe/",
        "https://2852039166/",
        "https://0251.0376.0251.0376/",
        "https://100.64.0.1/",
        "https://100.127.255.255/",
        "https://192.0.0.192/",
        "https://192.0.2.1/",
        "https://198.18.0.1/",
        "https://198.19.255.255/",
        "https://198.51.100.1/",
        "https://203.0.113.1/",
        "https://224.0.0.1/",
        "https://239.255.255.255/",
        "https://240.0.0.1/",
        "https://255.255.255.255/",
        "https://[::1]/",
        "https://[::]/",
        "https://[0:0:0:0:0:0:0:1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[::127.0.0.1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[::ffff:0:127.0.0.1]/",
        "https://[64:ff9b::127.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://[64:ff9b:1::1]/",
        "https://[2002:7f00:1::]/",
        "https://[2002:a00:1::1]/",
        "https://[2001:0:0:0:0:0:80ff:fffe]/",
        "https://[fe80::1]/",
        "https://[febf::1]/",
        "https://[fec0::1]/",
        "https://[fc00::1]/",
        "https://[fd00:ec2::254]/",
        "https://[ff02::1]/",
        "https://[2001:db8::1]/",
        "https://[3fff::1]/",
        "https://[100::1]/",
        "https://[2001:10::1]/",
        "https://１２７.0.0.1/",
        "https://127。0。0。1/",
        "https://[::ffff:a9fe:a9fe]/",
    ];

    #[test]
    fn no_spelling_of_a_special_address_passes() {
        for url in FORBIDDEN {
            let refused = AddressPolicy::default().check_text(url);
            assert!(
                matches!(refused, Err(PolicyError::Address(_))),
                "{url}: {refused:?}"
            );
        }
    }

    #[test]
    fn other_schemes_names_and_ports_are_refused() {
        for url in [
            "http://example.com/",
            "ftp://example.com/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "gopher://example.com/",
            "https://user@example.com/",
            "https://user:pass@example.com/",
            "https://:pass@example.com/",
            "https://",
            "example.com",
            "https://example.com:22/",
            "https://example.com:6379/",
            "",
        ] {
            let policy = AddressPolicy::default();
            let refused = policy.check_text(url).and_then(|url| {
                let public = ["93.184.216.34".parse().unwrap()];
                policy.check_dialled(scheme_of(&url), &public)
            });
            assert!(refused.is_err(), "{url}");
        }
    }

    #[test]
    fn public_addresses_pass() {
        for url in [
            "https://1.1.1.1/",
            "https://8.8.8.8:8443/hook",
            "https://[2606:4700::1111]/",
            "https://[64:ff9b::101:101]/",
            "https://example.com/",
        ] {
            assert!(AddressPolicy::default().check_text(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn an_allowed_network_passes_with_plain_http_and_nothing_else_does() {
        let policy = AddressPolicy {
            allow_http: false,
            allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
        };
        assert!(policy.check_text("http://127.0.0.1:9000/hook").is_ok());
        assert!(policy.check_text("http://[::ffff:127.0.0.1]/").is_ok());
        assert!(policy.check_text("http://10.0.0.1/").is_err());
        assert!(policy.check_text("http://1.1.1.1/").is_err());
    }

    #[test]
    fn one_forbidden_address_refuses_the_whole_answer() {
        let mixed = ["1.1.1.1".parse().unwrap(), "127.0.0.1".parse().unwrap()];
        assert!(
            AddressPolicy::default()
                .check_dialled(Scheme::Tls, &mixed)
                .is_err()
        );
        assert!(
            AddressPolicy::default()
                .check_dialled(Scheme::Tls, &mixed[..1])
                .is_ok()
        );
    }
}
