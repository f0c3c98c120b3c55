//! Which key becomes which field. Every value is read before any is given up, so that all
//! mistakes are told at once.

use evenkeel_domain::market::PriceGuard;

use super::keys;
use super::layers::Layers;
use super::values::{self, Reader};
use super::{Config, Csv, DriftMonitor, Heads, Http, Limits, Log, Paper, Webhooks};
use crate::webhooks::mail::MailSettings;

/// The whole configuration; none when a value is wrong.
pub(super) fn read(read: &mut Reader, layers: &Layers) -> Option<Config> {
    let data = read.value(&keys::DATA, values::path);
    let listen = read.value(&keys::LISTEN, values::parsed);
    let prices = read.value(&keys::PRICES, values::prices);
    let stop_deadline = read.value(&keys::STOP_DEADLINE, values::deadline);
    let (drift_monitor, webhooks, mail) = (drift_monitor(read), webhooks(read), mail(read));
    let (paper, price_guard) = (paper(read), price_guard(read));
    let rows_per_minute = read.value(&keys::ROWS_PER_MINUTE, values::at_least_one);
    let (http, heads, log, limits) = (http(read), heads(read), log(read), limits(read));
    Some(Config {
        data: data?,
        listen: listen?,
        prices: prices?,
        stop_deadline: stop_deadline?,
        drift_monitor: drift_monitor?,
        webhooks: webhooks?,
        mail: mail.ok()?,
        paper: paper?,
        price_guard: price_guard?,
        csv: Csv {
            rows_per_minute: rows_per_minute?,
        },
        http: http?,
        heads: heads?,
        log: log?,
        limits: limits?,
        layers: layers.clone(),
    })
}

fn drift_monitor(read: &mut Reader) -> Option<DriftMonitor> {
    let enabled = read.value(&keys::DRIFT_ENABLED, values::boolish);
    let (schedule, timezone) = read.schedule()?;
    Some(DriftMonitor {
        enabled: enabled?,
        schedule,
        timezone,
    })
}

fn webhooks(read: &mut Reader) -> Option<Webhooks> {
    let allow_networks = read.value(&keys::ALLOW_NETWORKS, values::networks);
    let allow_http = read.value(&keys::ALLOW_HTTP, values::boolish);
    let key = read.value(&keys::WEBHOOK_KEY, values::webhook_key);
    let proxy = read.value(&keys::PROXY, values::proxy);
    Some(Webhooks {
        key: key?,
        proxy: proxy?,
        allow_networks: allow_networks?,
        allow_http: allow_http?,
    })
}

/// A value is wrong, and the reader has noted it.
struct Noted;

/// Mails need somebody that they come from.
fn mail(read: &mut Reader) -> Result<Option<MailSettings>, Noted> {
    let relay = read.value(&keys::MAIL_SMTP, values::relay);
    let from = read.value(&keys::MAIL_FROM, values::mailbox);
    let allow_domains = read.value(&keys::MAIL_DOMAINS, values::domains);
    let public_url = read.value(&keys::PUBLIC_URL, values::public_url);
    let Some(relay) = relay.ok_or(Noted)? else {
        return Ok(None);
    };
    let from = from.ok_or(Noted)?;
    if from.is_none() {
        let problem = "mail.smtp is set, and mails need an address that they come from";
        read.refuse(&keys::MAIL_FROM, problem.to_owned());
    }
    Ok(Some(MailSettings {
        relay,
        from: from.ok_or(Noted)?,
        allow_domains: allow_domains.ok_or(Noted)?,
        public_url: public_url.ok_or(Noted)?,
    }))
}

fn paper(read: &mut Reader) -> Option<Paper> {
    let slippage = read.value(&keys::SLIPPAGE, values::share);
    let fee = read.value(&keys::FEE, values::share);
    let lot_step = read.value(&keys::LOT_STEP, values::lot_step);
    let min_notional = read.value(&keys::MIN_NOTIONAL, values::amount);
    let fee_in = read.value(&keys::FEE_IN, values::fee_in);
    let ids = read.value(&keys::CLIENT_IDS, values::client_ids);
    Some(Paper {
        slippage: slippage?,
        fee: fee?,
        lot_step: lot_step?,
        min_notional: min_notional?,
        fee_in: fee_in?,
        ids: ids?,
    })
}

fn price_guard(read: &mut Reader) -> Option<PriceGuard> {
    let max_jump = read.value(&keys::MAX_JUMP, values::positive_percent);
    let confirm_after = read.value(&keys::CONFIRM_AFTER, values::span);
    let max_age = read.value(&keys::MAX_AGE, values::span);
    Some(PriceGuard {
        max_jump: max_jump?,
        confirm_after: confirm_after?,
        max_age: max_age?,
    })
}

fn http(read: &mut Reader) -> Option<Http> {
    let pointer = read.value(&keys::POINTER, values::pointer);
    let header = read.value(&keys::HEADER, values::header);
    Some(Http {
        pointer: pointer?,
        header: header?,
    })
}

fn heads(read: &mut Reader) -> Option<Heads> {
    let key = read.value(&keys::HEADS_KEY, values::optional_path);
    let file = read.value(&keys::HEADS_FILE, values::path);
    let every = read.value(&keys::HEADS_EVERY, values::heads_every);
    Some(Heads {
        key: key?,
        file: file?,
        every: every?,
    })
}

fn log(read: &mut Reader) -> Option<Log> {
    let format = read.value(&keys::LOG_FORMAT, values::log_format);
    let level = read.value(&keys::LOG_LEVEL, values::log_level);
    Some(Log {
        format: format?,
        level: level?,
    })
}

fn limits(read: &mut Reader) -> Option<Limits> {
    let commands_in_flight = read.value(&keys::COMMANDS_IN_FLIGHT, values::at_least_one);
    let orders_in_flight = read.value(&keys::ORDERS_IN_FLIGHT, values::at_least_one);
    let order_lifetime = read.value(&keys::ORDER_LIFETIME, values::deadline);
    let indexes_per_owner = read.value(&keys::INDEXES_PER_OWNER, values::at_least_one);
    let webhooks_per_owner = read.value(&keys::WEBHOOKS_PER_OWNER, values::at_least_one);
    let snapshot_every = read.value(&keys::SNAPSHOT_EVERY, values::parsed);
    Some(Limits {
        commands_in_flight: commands_in_flight?,
        orders_in_flight: orders_in_flight?,
        order_lifetime: order_lifetime?,
        indexes_per_owner: indexes_per_owner?,
        webhooks_per_owner: webhooks_per_owner?,
        snapshot_every: snapshot_every?,
    })
}
