//! The HTTP feed: any JSON API that gives prices for a list of assets.
//!
//! ```text
//! URL      https://…/price?ids={assets}        the assets, with commas, percent-encoded
//! pointer  /{asset}/usd                        where each price stands in the answer (RFC 6901)
//! ```
//!
//! Numbers in JSON pass through a binary float: its shortest text is taken, which gives back up
//! to 15 significant digits exactly. An API that writes prices as strings has no such limit.

use std::time::Duration;

use async_trait::async_trait;
use evenkeel_actors::ports::{Clock, FeedError, Fetched, PriceFeed};
use evenkeel_domain::market::Source;
use evenkeel_domain::values::{Asset, Price};
use http::{HeaderName, HeaderValue};
use reqwest::{Client, redirect};
use serde_json::Value;
use std::sync::Arc;
use url::form_urlencoded::byte_serialize;

use crate::tls;

/// Longest URL: common servers refuse longer ones, so a long list is asked in several calls.
const URL_MAX_BYTES: usize = 2_000;

/// Longest wait for one call, from connecting to the last byte.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest answer: ten thousand prices stay below it.
const ANSWER_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Redirects followed in one call.
const REDIRECTS_MAX: usize = 3;

/// The preset for CoinGecko's simple price API: the assets are coin ids, the currency is USD.
const COINGECKO_URL: &str =
    "https://api.coingecko.com/api/v3/simple/price?ids={assets}&vs_currencies=usd";
const COINGECKO_POINTER: &str = "/{asset}/usd";

/// Where an API is and how its answer is read.
#[derive(Clone)]
pub struct HttpFeedSpec {
    /// The URL, with `{assets}` where the list goes.
    pub url: String,
    /// The JSON pointer to a price, with `{asset}` where the symbol goes.
    pub pointer: String,
    /// A header that is sent along; its value may be a key.
    pub header: Option<(HeaderName, HeaderValue)>,
}

impl HttpFeedSpec {
    /// A preset by its name (`coingecko`), or a URL with its pointer.
    pub fn named(name_or_url: &str, pointer: &str) -> Self {
        let (url, pointer) = match name_or_url {
            "coingecko" => (COINGECKO_URL, COINGECKO_POINTER),
            url => (url, pointer),
        };
        Self {
            url: url.to_owned(),
            pointer: pointer.to_owned(),
            header: None,
        }
    }
}

/// Why a feed cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum HttpFeedError {
    /// The URL has no place for the assets.
    #[error("the URL {0:?} needs {{assets}} where the list of assets goes")]
    NoAssets(String),
    /// The pointer has no place for the asset.
    #[error(
        "the pointer {0:?} must begin with / and have {{asset}} where the symbol goes, such as /{{asset}}/usd"
    )]
    NoAsset(String),
    /// The client cannot be made.
    #[error("the HTTP client cannot be made: {0}")]
    Client(String),
}

/// The feed.
pub struct HttpFeed {
    client: Client,
    spec: HttpFeedSpec,
    clock: Arc<dyn Clock>,
}

impl HttpFeed {
    /// A feed on an API; `clock` tells the time that its prices are of.
    pub fn new(spec: HttpFeedSpec, clock: Arc<dyn Clock>) -> Result<Self, HttpFeedError> {
        if !spec.url.contains("{assets}") {
            return Err(HttpFeedError::NoAssets(spec.url));
        }
        if !spec.pointer.starts_with('/') || !spec.pointer.contains("{asset}") {
            return Err(HttpFeedError::NoAsset(spec.pointer));
        }
        tls::install_provider();
        let client = Client::builder()
            .timeout(CALL_TIMEOUT)
            .redirect(redirect::Policy::limited(REDIRECTS_MAX))
            .user_agent(concat!("evenkeel/", env!("CARGO_PKG_VERSION")))
            .build();
        let client = client.map_err(|error| HttpFeedError::Client(error.to_string()))?;
        Ok(Self {
            client,
            spec,
            clock,
        })
    }

    /// The URLs that ask for all assets, each short enough.
    fn urls<'a>(&self, assets: &'a [Asset]) -> Vec<(String, &'a [Asset])> {
        let room = URL_MAX_BYTES.saturating_sub(self.spec.url.len());
        let (mut urls, mut from, mut list) = (Vec::new(), 0, String::new());
        for (at, asset) in assets.iter().enumerate() {
            let symbol: String = byte_serialize(asset.to_string().as_bytes()).collect();
            if !list.is_empty() && list.len() + symbol.len() + 3 > room {
                urls.push((self.spec.url.replace("{assets}", &list), &assets[from..at]));
                list.clear();
                from = at;
            }
            if !list.is_empty() {
                list.push_str("%2C");
            }
            list.push_str(&symbol);
        }
        urls.push((self.spec.url.replace("{assets}", &list), &assets[from..]));
        urls
    }

    async fn call(&self, url: &str) -> Result<Value, FeedError> {
        let mut request = self.client.get(url).header("accept", "application/json");
        if let Some((name, value)) = &self.spec.header {
            request = request.header(name, value);
        }
        // The URL may hold a key, so it stays out of the error.
        let unreachable =
            |error: reqwest::Error| FeedError::Unreachable(error.without_url().to_string());
        let mut answer = request.send().await.map_err(unreachable)?;
        if !answer.status().is_success() {
            return Err(FeedError::Unreachable(format!(
                "it answered with status {}",
                answer.status()
            )));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_MAX_BYTES {
                return Err(FeedError::Unusable(format!(
                    "it has more than {ANSWER_MAX_BYTES} bytes"
                )));
            }
        }
        serde_json::from_slice(&body)
            .map_err(|error| FeedError::Unusable(format!("it is no JSON: {error}")))
    }

    fn price(&self, answer: &Value, asset: Asset) -> Option<(Asset, Price)> {
        let symbol = asset.to_string().replace('~', "~0").replace('/', "~1");
        let found = answer.pointer(&self.spec.pointer.replace("{asset}", &symbol))?;
        let price = read(found);
        if price.is_none() && !found.is_null() {
            tracing::warn!(%asset, %found, "the feed's price is left out: it is no decimal of at most 12 places");
        }
        Some((asset, price?))
    }
}

/// A price as a string or a number. What is finer than 12 places is cut there: no venue trades
/// finer.
fn read(value: &Value) -> Option<Price> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => plain(&number.to_string())?,
        _ => return None,
    };
    Price::parse_non_negative(&text)
        .ok()
        .or_else(|| Price::parse_non_negative(text.get(..text.find('.')? + 13)?).ok())
}

/// Without an exponent: `1e-7` is 0.0000001.
fn plain(number: &str) -> Option<String> {
    let Some((digits, exponent)) = number.split_once(['e', 'E']) else {
        return Some(number.to_owned());
    };
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let point = i32::try_from(whole.len()).ok()? + exponent;
    if number.starts_with('-') || !(-12..=16).contains(&point) {
        return None;
    }
    let all = format!("{whole}{part}");
    if point <= 0 {
        return Some(format!(
            "0.{}{all}",
            "0".repeat(usize::try_from(-point).ok()?)
        ));
    }
    let point = usize::try_from(point).ok()?;
    if point >= all.len() {
        return Some(format!("{all}{}", "0".repeat(point - all.len())));
    }
    Some(format!("{}.{}", &all[..point], &all[point..]))
}

#[async_trait]
impl PriceFeed for HttpFeed {
    async fn fetch(&self, assets: &[Asset]) -> Result<Fetched, FeedError> {
        let mut prices = Vec::with_capacity(assets.len());
        for (url, asked) in self.urls(assets) {
            let answer = self.call(&url).await?;
            prices.extend(asked.iter().filter_map(|asset| self.price(&answer, *asset)));
        }
        Ok(Fetched {
            at: self.clock.now(),
            prices,
        })
    }

    fn source(&self) -> Source {
        Source::Http
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed expectation ends the test")]

    use serde_json::json;

    use super::*;
    use crate::time::SystemClock;

    fn feed(url: &str, pointer: &str) -> Result<HttpFeed, HttpFeedError> {
        HttpFeed::new(HttpFeedSpec::named(url, pointer), Arc::new(SystemClock))
    }

    #[test]
    fn numbers_and_strings_are_read_exactly() {
        let table = [
            (json!("101.5"), Some("101.5")),
            (json!(101.5), Some("101.5")),
            (json!(0.1), Some("0.1")),
            (json!(1.5e-7), Some("0.00000015")),
            (json!(2e15), Some("2000000000000000")),
            (json!(0), Some("0")),
            (json!("0.1234567890123456"), Some("0.123456789012")),
            (json!(-1), None),
            (json!("NaN"), None),
            (json!(null), None),
            (json!({}), None),
        ];
        for (value, expected) in table {
            let expected = expected
                .map(str::parse::<Price>)
                .filter(Result::is_ok)
                .map(Result::unwrap);
            assert_eq!(read(&value), expected, "{value}");
        }
    }

    #[test]
    fn a_pointer_escapes_what_pointers_escape() {
        let feed = feed("http://localhost/{assets}", "/{asset}/usd").unwrap();
        let asset: Asset = "BTC/USD".parse().unwrap();
        let answer = json!({ "BTC/USD": { "usd": 5 } });
        assert_eq!(
            feed.price(&answer, asset),
            Some((asset, "5".parse().unwrap()))
        );
    }

    #[test]
    fn a_long_list_is_asked_in_several_short_calls() {
        let feed = feed("coingecko", "").unwrap();
        let assets: Vec<Asset> = (0..500)
            .map(|n| format!("some-coin-{n:04}").parse().unwrap())
            .collect();
        let urls = feed.urls(&assets);
        assert!(urls.len() > 1 && urls.iter().all(|(url, _)| url.len() <= URL_MAX_BYTES));
        assert_eq!(
            urls.iter().map(|(_, asked)| asked.len()).sum::<usize>(),
            assets.len()
        );
    }

    #[test]
    fn a_spec_without_its_places_is_refused() {
        assert!(matches!(
            feed("http://localhost/", "/{asset}"),
            Err(HttpFeedError::NoAssets(_))
        ));
        assert!(matches!(
            feed("http://localhost/{assets}", "/price"),
            Err(HttpFeedError::NoAsset(_))
        ));
    }
}
