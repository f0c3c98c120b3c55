//! Names of receivers and the addresses that they lead to: the policy decides on all of them each
//! time a name is looked up, and what was decided on is what is dialled.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::policy::{AddressPolicy, PolicyError, Scheme};

/// Looks names up.
#[async_trait]
pub trait Names: Send + Sync + 'static {
    /// All addresses of a name.
    async fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The names that the system knows.
pub struct SystemNames;

#[async_trait]
impl Names for SystemNames {
    async fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        // The port is the connector's to set.
        let found = tokio::net::lookup_host((name, 0)).await?;
        Ok(found.map(|address: SocketAddr| address.ip()).collect())
    }
}

/// Resolves names under a policy. A connection's answer is looked up for that connection: what a
/// name led to when its subscription was made counts for nothing.
#[derive(Clone)]
pub struct PolicedNames {
    /// Who knows the names.
    pub names: Arc<dyn Names>,
    /// What is allowed.
    pub policy: Arc<AddressPolicy>,
}

impl PolicedNames {
    /// The addresses of a name, when all of them may be dialled.
    pub async fn resolve(&self, name: &str, scheme: Scheme) -> Result<Vec<IpAddr>, PolicyError> {
        let unknown = || PolicyError::Resolve(name.to_owned());
        let found = self.names.look_up(name).await.map_err(|_| unknown())?;
        if found.is_empty() {
            return Err(unknown());
        }
        self.policy.check_dialled(scheme, &found)?;
        Ok(found)
    }

    /// The resolver of a client that dials by one scheme.
    pub fn of(&self, scheme: Scheme) -> impl Resolve + 'static {
        ForScheme {
            names: self.clone(),
            scheme,
        }
    }
}

struct ForScheme {
    names: PolicedNames,
    scheme: Scheme,
}

impl Resolve for ForScheme {
    fn resolve(&self, name: Name) -> Resolving {
        let (names, scheme) = (self.names.clone(), self.scheme);
        Box::pin(async move {
            let found = names.resolve(name.as_str(), scheme).await?;
            let found: Addrs = Box::new(found.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(found)
        })
    }
}
