//! Every key there is: its name in the file, its variable, its default and what is allowed.

/// A key.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name in the file; a dot stands for a section.
    pub name: &'static str,
    /// Its environment variable.
    pub env: &'static str,
    /// Its value when nobody sets it.
    pub default: &'static str,
    /// What is allowed, in words.
    pub allowed: &'static str,
    /// Never shown; can also be given as a file by the variable with `_FILE` at its end.
    pub secret: bool,
}

macro_rules! keys {
    ($($name:ident = $path:literal, $env:literal, $default:literal, $allowed:literal $(, $secret:ident)?;)*) => {
        $(
            #[doc = concat!("`", $path, "` in the file, `", $env, "` in the environment.")]
            pub const $name: Key = Key {
                name: $path,
                env: $env,
                default: $default,
                allowed: $allowed,
                secret: keys!(@secret $($secret)?),
            };
        )*

        /// All keys, in the order in which they are shown.
        pub const KEYS: &[&Key] = &[$(&$name,)*];
    };
    (@secret) => { false };
    (@secret secret) => { true };
}

keys! {
    DATA = "data", "EVENKEEL_DATA", "evenkeel-data", "a directory";
    LISTEN = "listen", "EVENKEEL_LISTEN", "127.0.0.1:3000", "an address and a port such as 127.0.0.1:3000 or [::]:3000";
    PUBLIC_URL = "public_url", "EVENKEEL_PUBLIC_URL", "", "this server's URL for the links in mails, such as https://keel.example.org";
    PRICES = "prices", "EVENKEEL_PRICES", "push", "push, csv:PATH, http:URL or http:coingecko";
    STOP_DEADLINE = "stop_deadline", "EVENKEEL_STOP_DEADLINE", "10s", "a span of time such as 10s, at most 10m";
    DRIFT_ENABLED = "drift_monitor.enabled", "DRIFT_MONITOR_ENABLED", "true", "true, yes, on, 1, or false, no, off, 0";
    DRIFT_SCHEDULE = "drift_monitor.schedule", "DRIFT_MONITOR_SCHEDULE", "*/5 * * * *", "five fields of cron: minute hour day month weekday";
    DRIFT_TIMEZONE = "drift_monitor.timezone", "DRIFT_MONITOR_TIMEZONE", "UTC", "an IANA time zone such as Europe/Berlin";
    ALLOW_NETWORKS = "webhooks.allow_networks", "EVENKEEL_WEBHOOKS_ALLOW_NETWORKS", "", "networks such as 127.0.0.0/8, with commas";
    ALLOW_HTTP = "webhooks.allow_http", "EVENKEEL_WEBHOOKS_ALLOW_HTTP", "false", "true, yes, on, 1, or false, no, off, 0";
    WEBHOOK_KEY = "webhooks.key", "EVENKEEL_WEBHOOKS_KEY", "", "64 hexadecimal digits; without them webhook.key in the data directory", secret;
    PROXY = "webhooks.proxy", "EVENKEEL_WEBHOOKS_PROXY", "", "a proxy such as http://proxy.internal:3128; without one receivers are dialled", secret;
    MAIL_SMTP = "mail.smtp", "EVENKEEL_MAIL_SMTP", "", "a relay as smtps://USER:PASSWORD@HOST, smtp://USER:PASSWORD@HOST?tls=required, or smtp://HOST:PORT without TLS; without one no mails are sent", secret;
    MAIL_FROM = "mail.from", "EVENKEEL_MAIL_FROM", "", "an address such as keel@example.org or evenkeel <keel@example.org>";
    MAIL_DOMAINS = "mail.allow_domains", "EVENKEEL_MAIL_ALLOW_DOMAINS", "", "domains that mails may go to, with commas; any when there is none";
    SLIPPAGE = "paper.slippage_percent", "EVENKEEL_PAPER_SLIPPAGE_PERCENT", "0", "a decimal from 0 to below 100";
    FEE = "paper.fee_percent", "EVENKEEL_PAPER_FEE_PERCENT", "0", "a decimal from 0 to below 100";
    LOT_STEP = "paper.lot_step", "EVENKEEL_PAPER_LOT_STEP", "0.000000000001", "a decimal greater than 0";
    MIN_NOTIONAL = "paper.min_notional", "EVENKEEL_PAPER_MIN_NOTIONAL", "0", "a decimal from 0";
    FEE_IN = "paper.fee_in", "EVENKEEL_PAPER_FEE_IN", "cash", "cash, or base for the asset that is traded";
    CLIENT_IDS = "paper.client_ids", "EVENKEEL_PAPER_CLIENT_IDS", "unique", "unique (for ever) or open (among open orders only)";
    MAX_JUMP = "price_guard.max_jump_percent", "EVENKEEL_PRICE_GUARD_MAX_JUMP_PERCENT", "50", "a decimal greater than 0";
    CONFIRM_AFTER = "price_guard.confirm_after", "EVENKEEL_PRICE_GUARD_CONFIRM_AFTER", "60s", "a span of time such as 60s";
    MAX_AGE = "price_guard.max_age", "EVENKEEL_PRICE_GUARD_MAX_AGE", "24h", "a span of time such as 24h";
    ROWS_PER_MINUTE = "csv.rows_per_minute", "EVENKEEL_CSV_ROWS_PER_MINUTE", "60", "a whole number from 1";
    POINTER = "http.pointer", "EVENKEEL_HTTP_POINTER", "/{asset}/usd", "a JSON pointer with {asset}, such as /{asset}/usd";
    HEADER = "http.header", "EVENKEEL_HTTP_HEADER", "", "a header as NAME: VALUE", secret;
    HEADS_KEY = "heads.key", "EVENKEEL_HEADS_KEY", "", "a file with an ed25519 private key, such as `evenkeel log key` makes; without one no heads are signed";
    HEADS_FILE = "heads.file", "EVENKEEL_HEADS_FILE", "signed-heads.jsonl", "a file that signed heads are appended to";
    HEADS_EVERY = "heads.every", "EVENKEEL_HEADS_EVERY", "1h", "a span of time from 1s to 24h";
    LOG_FORMAT = "log.format", "EVENKEEL_LOG_FORMAT", "auto", "auto (text on a terminal, else JSON), text or json";
    LOG_LEVEL = "log.level", "EVENKEEL_LOG", "info", "error, warn, info, debug, trace, or a filter such as info,evenkeel::http=debug";
    COMMANDS_IN_FLIGHT = "limits.commands_in_flight", "EVENKEEL_LIMITS_COMMANDS_IN_FLIGHT", "1024", "a whole number from 1";
    ORDERS_IN_FLIGHT = "limits.orders_in_flight", "EVENKEEL_LIMITS_ORDERS_IN_FLIGHT", "256", "a whole number from 1";
    ORDER_LIFETIME = "limits.order_lifetime", "EVENKEEL_LIMITS_ORDER_LIFETIME", "60s", "a span of time such as 60s, at most 10m";
    INDEXES_PER_OWNER = "limits.indexes_per_owner", "EVENKEEL_LIMITS_INDEXES_PER_OWNER", "100000", "a whole number from 1";
    WEBHOOKS_PER_OWNER = "limits.webhooks_per_owner", "EVENKEEL_LIMITS_WEBHOOKS_PER_OWNER", "1000", "a whole number from 1";
    SNAPSHOT_EVERY = "limits.snapshot_every", "EVENKEEL_LIMITS_SNAPSHOT_EVERY", "256", "a number of events; 0 takes no snapshots but at an orderly stop";
}

/// The key of a name.
pub fn named(name: &str) -> Option<&'static Key> {
    KEYS.iter().copied().find(|key| key.name == name)
}
