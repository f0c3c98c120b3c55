//! An engine with everything it stands on: for the server, the demo, and programs that embed it.
//!
//! ```no_run
//! # async fn example() -> Result<(), evenkeel::OpenError> {
//! let engine = evenkeel::Engine::builder().data("my-data").open().await?;
//! println!("{} indexes", engine.status().indexes);
//! engine.close().await?;
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use evenkeel_actors::MemoryKeys;
use evenkeel_actors::engine::{EngineError, Ports, Settings};
use evenkeel_actors::ports::{Clock, Entropy, PersonalKeys, PriceFeed, Venue, WebhookTransport};
use evenkeel_events::{EventLog, MemoryLog, SledLog, SledOptions, StoreSize, TipPolicy};
use evenkeel_snapshots::{MemorySnapshots, SledSnapshots, SnapshotStore};

use crate::personal::FileKeys;
use crate::time::{OsEntropy, SystemClock};
use crate::venues::{Faults, PaperSettings, PaperVenue};
use crate::webhooks::mail::{MailSettings, MailTransport};
use crate::webhooks::outgoing::Outgoing;
use crate::webhooks::policy::AddressPolicy;
use crate::webhooks::secrets::{KEY_FILE, SecretKeeper};
use crate::webhooks::transport::{HttpTransport, ProxyUrl};

/// The account name of the paper venue.
pub const PAPER: &str = "paper";

/// The paper venue writes little and small events.
const PAPER_STORE: SledOptions = SledOptions {
    tip: TipPolicy::EveryCommit,
    size: StoreSize::Small,
};

/// Where things stand in a data directory.
#[derive(Debug, Clone)]
pub struct DataDirectory(PathBuf);

impl DataDirectory {
    /// A data directory; it is made when something is opened in it.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The event log.
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// The paper venue's own log.
    pub fn paper(&self) -> PathBuf {
        self.0.join("paper")
    }

    /// Snapshots, which may be deleted at any time.
    pub fn snapshots(&self) -> PathBuf {
        self.0.join("snapshots")
    }

    /// The key of webhook secrets.
    pub fn webhook_key(&self) -> PathBuf {
        self.0.join(KEY_FILE)
    }

    /// The keys of owners' personal fields.
    pub fn owner_keys(&self) -> PathBuf {
        self.0.join("owner-keys")
    }

    /// The admin token that the first start wrote.
    pub fn admin_token(&self) -> PathBuf {
        self.0.join("admin.token")
    }
}

/// Why an engine did not open or close.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The log.
    #[error(transparent)]
    Log(#[from] evenkeel_events::OpenError),
    /// The paper venue's log.
    #[error("the paper venue's books: {0}")]
    Paper(evenkeel_events::OpenError),
    /// Snapshots.
    #[error(transparent)]
    Snapshots(#[from] evenkeel_snapshots::SnapshotError),
    /// The paper venue.
    #[error(transparent)]
    Venue(#[from] crate::venues::PaperError),
    /// The key of webhook secrets.
    #[error(transparent)]
    Secrets(#[from] crate::webhooks::secrets::KeyError),
    /// The webhook client.
    #[error(transparent)]
    Transport(#[from] crate::webhooks::transport::TransportError),
    /// The mail client.
    #[error("the mail client cannot be made: {0}")]
    Mail(#[from] lettre::transport::smtp::Error),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A log that did not close well: what was acknowledged is durable all the same.
    #[error("the log did not close well: {0}")]
    Close(#[from] evenkeel_events::AppendError),
    /// The data directory.
    #[error("the data directory {path}: {source}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Builds an engine from defaults and what is set: an engine in memory, on the system's clock,
/// with a paper venue, prices by push, and webhooks to public addresses.
#[derive(Default)]
pub struct Builder {
    data: Option<DataDirectory>,
    settings: Settings,
    clock: Option<Arc<dyn Clock>>,
    entropy: Option<Arc<dyn Entropy>>,
    feed: Option<Arc<dyn PriceFeed>>,
    venues: BTreeMap<String, Arc<dyn Venue>>,
    paper: PaperSettings,
    faults: Faults,
    policy: AddressPolicy,
    webhook_key: Option<SecretKeeper>,
    proxy: Option<ProxyUrl>,
    mail: Option<MailSettings>,
    transport: Option<Arc<dyn WebhookTransport>>,
    keys: Option<Arc<dyn PersonalKeys>>,
}

impl Builder {
    /// Keeps everything in this directory, on sled, instead of in memory.
    #[must_use]
    pub fn data(mut self, path: impl Into<PathBuf>) -> Self {
        self.data = Some(DataDirectory::new(path));
        self
    }

    /// What the engine is told.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// The time of decisions.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Randomness for ids and jitter.
    #[must_use]
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = Some(entropy);
        self
    }

    /// A feed that is polled once per cycle, instead of pushed prices.
    #[must_use]
    pub fn feed(mut self, feed: Arc<dyn PriceFeed>) -> Self {
        self.feed = Some(feed);
        self
    }

    /// A venue for an account name. The name `paper` is the built-in venue's unless it is given.
    #[must_use]
    pub fn venue(mut self, account: impl Into<String>, venue: Arc<dyn Venue>) -> Self {
        self.venues.insert(account.into(), venue);
        self
    }

    /// How the paper venue trades.
    #[must_use]
    pub fn paper(mut self, settings: PaperSettings) -> Self {
        self.paper = settings;
        self
    }

    /// Failures of the paper venue, for tests.
    #[must_use]
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// The key of webhook secrets; without one it is a file in the data directory.
    #[must_use]
    pub fn webhook_key(mut self, key: Option<SecretKeeper>) -> Self {
        self.webhook_key = key;
        self
    }

    /// Where webhooks may go.
    #[must_use]
    pub fn webhook_policy(mut self, policy: AddressPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// A proxy that dials receivers; the policy decides on what their names lead to here, and what
    /// the proxy dials is the proxy's to decide.
    #[must_use]
    pub fn webhook_proxy(mut self, proxy: Option<ProxyUrl>) -> Self {
        self.proxy = proxy;
        self
    }

    /// How mails are sent; without this none are.
    #[must_use]
    pub fn mail(mut self, mail: Option<MailSettings>) -> Self {
        self.mail = mail;
        self
    }

    /// Another way to send webhooks than over HTTP and by mail.
    #[must_use]
    pub fn transport(mut self, transport: Arc<dyn WebhookTransport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Other keys of personal fields than files in the data directory.
    #[must_use]
    pub fn personal_keys(mut self, keys: Arc<dyn PersonalKeys>) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Opens the stores, checks them, and starts the engine.
    pub async fn open(mut self) -> Result<Engine, OpenError> {
        let clock = self.clock.take().unwrap_or_else(|| Arc::new(SystemClock));
        let entropy = self.entropy.take().unwrap_or_else(|| Arc::new(OsEntropy));
        if let Some(data) = &self.data {
            make_directory(data.path())?;
        }
        let log = self.open_log()?;
        let snapshots = self.open_snapshots()?;
        let (paper_log, paper) = self.open_paper(&clock).await?.unzip();
        let transport = self.open_transport(&*entropy)?;
        let personal = self.open_keys(&entropy);
        let ports = Ports {
            log: Arc::clone(&log),
            snapshots: Arc::clone(&snapshots),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            feed: self.feed,
            venues: self.venues,
            transport,
            personal,
        };
        let actors = evenkeel_actors::Engine::start(ports, self.settings).await?;
        Ok(Engine {
            actors,
            log,
            snapshots,
            paper_log,
            paper,
            clock,
            entropy,
        })
    }

    fn open_log(&self) -> Result<Arc<dyn EventLog>, OpenError> {
        Ok(match &self.data {
            Some(data) => Arc::new(SledLog::open(data.log(), SledOptions::default())?),
            None => Arc::new(MemoryLog::new()),
        })
    }

    fn open_snapshots(&self) -> Result<Arc<dyn SnapshotStore>, OpenError> {
        Ok(match &self.data {
            Some(data) => Arc::new(SledSnapshots::open(data.snapshots())?),
            None => Arc::new(MemorySnapshots::new()),
        })
    }

    /// The paper venue, unless its name is taken; its books are a log of their own.
    async fn open_paper(
        &mut self,
        clock: &Arc<dyn Clock>,
    ) -> Result<Option<(Arc<dyn EventLog>, Arc<PaperVenue>)>, OpenError> {
        if self.venues.contains_key(PAPER) {
            return Ok(None);
        }
        let log: Arc<dyn EventLog> = match &self.data {
            Some(data) => {
                Arc::new(SledLog::open(data.paper(), PAPER_STORE).map_err(OpenError::Paper)?)
            }
            None => Arc::new(MemoryLog::new()),
        };
        let faults = std::mem::take(&mut self.faults);
        let venue =
            PaperVenue::open(Arc::clone(&log), self.paper, faults, Arc::clone(clock)).await?;
        let venue = Arc::new(venue);
        self.venues.insert(PAPER.to_owned(), venue.clone());
        Ok(Some((log, venue)))
    }

    fn open_keys(&mut self, entropy: &Arc<dyn Entropy>) -> Arc<dyn PersonalKeys> {
        match (self.keys.take(), &self.data) {
            (Some(keys), _) => keys,
            (None, Some(data)) => Arc::new(FileKeys::new(data.owner_keys(), Arc::clone(entropy))),
            (None, None) => Arc::<MemoryKeys>::default(),
        }
    }

    fn open_transport(
        &mut self,
        entropy: &dyn Entropy,
    ) -> Result<Arc<dyn WebhookTransport>, OpenError> {
        if let Some(transport) = self.transport.take() {
            return Ok(transport);
        }
        let keeper = match (self.webhook_key.take(), &self.data) {
            (Some(keeper), _) => keeper,
            (None, Some(data)) => SecretKeeper::open(data.path(), entropy)?,
            (None, None) => SecretKeeper::random(entropy),
        };
        let policy = std::mem::take(&mut self.policy);
        // Receivers compare a message's time with theirs: it is the wall's, also in a replay.
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let mut http = HttpTransport::new(policy, keeper.clone(), Arc::clone(&clock))?;
        if let Some(proxy) = &self.proxy {
            http = http.through(proxy)?;
        }
        let mail = self.mail.take();
        let mail = mail.map(|settings| MailTransport::new(settings, keeper, clock));
        Ok(Arc::new(Outgoing {
            http,
            mail: mail.transpose()?,
        }))
    }
}

fn make_directory(path: &Path) -> Result<(), OpenError> {
    std::fs::create_dir_all(path).map_err(|source| OpenError::Directory {
        path: path.to_owned(),
        source,
    })
}

/// An open engine. Commands and queries are those of [`evenkeel_actors::Engine`].
pub struct Engine {
    actors: evenkeel_actors::Engine,
    log: Arc<dyn EventLog>,
    snapshots: Arc<dyn SnapshotStore>,
    paper_log: Option<Arc<dyn EventLog>>,
    paper: Option<Arc<PaperVenue>>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Deref for Engine {
    type Target = evenkeel_actors::Engine;

    fn deref(&self) -> &evenkeel_actors::Engine {
        &self.actors
    }
}

impl Engine {
    /// An engine in memory, to be changed before it is opened.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The log, for audits.
    pub fn log(&self) -> &Arc<dyn EventLog> {
        &self.log
    }

    /// The built-in paper venue, to trade there by hand and to prove what it did; none when its
    /// name was given to another venue.
    pub fn paper(&self) -> Option<&Arc<PaperVenue>> {
        self.paper.as_ref()
    }

    /// The time of decisions.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Randomness.
    pub fn entropy(&self) -> &Arc<dyn Entropy> {
        &self.entropy
    }

    /// Stops orderly, then closes the stores: the log is sealed.
    pub async fn close(self) -> Result<(), OpenError> {
        self.actors.stop().await;
        self.snapshots.close().await?;
        if let Some(paper_log) = &self.paper_log {
            paper_log.close().await?;
        }
        self.log.close().await?;
        Ok(())
    }
}
