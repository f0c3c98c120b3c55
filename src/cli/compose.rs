//! From the configuration to an engine: which adapter stands behind which port.

use std::sync::Arc;

use evenkeel_actors::ports::PriceFeed;

use super::CliError;
use crate::config::{Config, PriceSource};
use crate::engine::{Builder, Engine};
use crate::feeds::csv::{CsvFeed, Pacing};
use crate::feeds::http::{HttpFeed, HttpFeedSpec};
use crate::time::SystemClock;
use crate::venues::PaperSettings;
use crate::webhooks::policy::AddressPolicy;

/// An engine in the configured data directory, with everything but its feed.
pub(crate) fn builder(config: &Config) -> Builder {
    let paper = PaperSettings {
        slippage: config.paper.slippage,
        fee: config.paper.fee,
        lot_step: config.paper.lot_step,
        min_notional: config.paper.min_notional,
        fee_in: config.paper.fee_in,
        ids: config.paper.ids,
    };
    let policy = AddressPolicy {
        allow_http: config.webhooks.allow_http,
        allow_networks: config.webhooks.allow_networks.clone(),
    };
    Engine::builder()
        .data(&config.data)
        .settings(config.settings())
        .paper(paper)
        .webhook_policy(policy)
        .webhook_key(config.webhooks.key.clone())
        .webhook_proxy(config.webhooks.proxy.clone())
        .mail(config.mail.clone())
}

/// The configured feed; none for pushed prices.
pub(crate) fn feed(config: &Config) -> Result<Option<Arc<dyn PriceFeed>>, CliError> {
    Ok(match &config.prices {
        PriceSource::Push => None,
        PriceSource::Csv(path) => {
            let pacing = Pacing::Rows {
                per_minute: config.csv.rows_per_minute,
                clock: Arc::new(SystemClock),
            };
            Some(Arc::new(
                CsvFeed::open(path, pacing).map_err(CliError::failed)?,
            ))
        }
        PriceSource::Http(url) => {
            let mut spec = HttpFeedSpec::named(url, &config.http.pointer);
            spec.header.clone_from(&config.http.header);
            Some(Arc::new(
                HttpFeed::new(spec, Arc::new(SystemClock)).map_err(CliError::failed)?,
            ))
        }
    })
}
