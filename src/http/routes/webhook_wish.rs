//! What a body says of a subscription.

use evenkeel_actors::engine::WebhookWish;
use evenkeel_domain::index::Tag;
use evenkeel_domain::values::{IndexId, Span};
use evenkeel_domain::webhook::{
    Channel, DIGEST_WINDOW, DIGEST_WINDOW_MAX, Filter, HEADERS_MAX, HeaderName, HeaderValue,
    INDEXES_MAX, RATE_MAX, Schedule, Signature, TAGS_MAX, Target, Url,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::http::fields::{
    Fields, Read, boolean, incomplete, list, parsed, required_text, strings, text,
};
use crate::http::problem::{Code, FieldError, Problem};
use crate::webhooks::mail::is_mailto;
use crate::webhooks::signature;

/// Reads a subscription, over `base` when it is a change: what is missing stays as it is.
pub fn wish(body: &[u8], base: Option<&Target>) -> Result<WebhookWish, Problem> {
    let mut fields = Fields::of(body)?;
    let url: Option<Url> = match base {
        None => fields.required("url", required_text),
        Some(_) => fields.optional("url", required_text),
    };
    let events = match base {
        None => fields.required("events", strings),
        Some(_) => fields.optional("events", strings),
    };
    let events = events.map(|types| Filter::new(&types)).transpose();
    if let Err(error) = &events {
        fields.refuse("events", "invalid", error.to_string());
    }
    let indexes = fields.optional("indexes", indexes);
    let tags = fields.optional("tags", tags);
    let description = fields.optional("description", text);
    let retry = fields.optional("retry", schedule);
    let headers = fields.optional("headers", headers);
    let rate = fields.nullable("ratePerSecond", rate);
    let signature = fields.optional("signature", parsed_json);
    let channel = fields.optional("channel", channel);
    let digest = fields.optional("digestWindow", digest_window);
    // Another secret is for a rotation, which says how long the old one signs too.
    let secret = match base {
        None => fields.optional("secret", secret),
        Some(_) => None,
    };
    let enabled = fields.optional("enabled", boolean);
    let skip_test = fields.optional("skipTest", boolean).unwrap_or(false);
    fields.finish()?;
    let (url, events) = (url, events?);
    let base = match base {
        Some(base) => base.clone(),
        None => fresh(
            url.clone().ok_or_else(incomplete)?,
            events.clone().ok_or_else(incomplete)?,
        ),
    };
    let wish = WebhookWish {
        target: Target {
            url: url.unwrap_or(base.url),
            events: events.unwrap_or(base.events),
            indexes: indexes.unwrap_or(base.indexes),
            tags: tags.unwrap_or(base.tags),
            description: description.unwrap_or(base.description),
            retry: retry.unwrap_or(base.retry),
            headers: base.headers,
            rate_per_second: rate.unwrap_or(base.rate_per_second),
            signature: signature.unwrap_or(base.signature),
            channel: gathering(channel.unwrap_or(base.channel), digest),
        },
        headers,
        secret,
        enabled,
        skip_test,
    };
    fits(&wish, digest.is_some())?;
    Ok(wish)
}

/// What a subscription is where its owner says nothing: a `mailto:` URL is one of mails.
fn fresh(url: Url, events: Filter) -> Target {
    let is_mail = is_mailto(url.as_str());
    let target = Target::new(url, events);
    if is_mail {
        Target {
            channel: EMAIL,
            retry: Schedule::of_mails(),
            ..target
        }
    } else {
        target
    }
}

const EMAIL: Channel = Channel::Email {
    digest: DIGEST_WINDOW,
};

/// A channel by its name.
fn channel(value: &Value) -> Result<Channel, String> {
    let all = [Channel::Webhook, Channel::Slack, Channel::Discord, EMAIL];
    let named = all
        .into_iter()
        .find(|channel| value.as_str() == Some(channel.name()));
    named.ok_or_else(|| "it must be webhook, slack, discord or email".to_owned())
}

fn digest_window(value: &Value) -> Result<Span, String> {
    let span: Span = parsed(value)?;
    let fits = span <= DIGEST_WINDOW_MAX;
    let too_long = || format!("mails gather for at most {DIGEST_WINDOW_MAX}");
    fits.then_some(span).ok_or_else(too_long)
}

/// A channel with the window that was asked for.
fn gathering(channel: Channel, window: Option<Span>) -> Channel {
    match (channel, window) {
        (Channel::Email { .. }, Some(digest)) => Channel::Email { digest },
        (channel, _) => channel,
    }
}

/// What does not go together: a mail has an address, and neither headers nor a signature.
fn fits(wish: &WebhookWish, has_window: bool) -> Result<(), Problem> {
    let target = &wish.target;
    let is_mail = target.channel.is_mail();
    let has_headers = match &wish.headers {
        Some(headers) => !headers.is_empty(),
        None => !target.headers.is_empty(),
    };
    let is_signed = target.signature != Signature::V1;
    let no_of_mails = "mails have none";
    let rules = [
        (
            is_mail != is_mailto(target.url.as_str()),
            "channel",
            "a mailto: URL goes with the channel email, and no other URL does",
        ),
        (is_mail && has_headers, "headers", no_of_mails),
        (is_mail && wish.secret.is_some(), "secret", no_of_mails),
        (is_mail && is_signed, "signature", "mails are not signed"),
        (!is_mail && has_window, "digestWindow", "mails alone gather"),
    ];
    let broken = rules.into_iter().filter(|(is_broken, ..)| *is_broken);
    let errors: Vec<FieldError> = broken
        .map(|(_, field, says)| FieldError::new(field, "invalid", says))
        .collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Problem::fields(Code::ValidationFailed, errors))
    }
}

/// One of the names of an enumeration.
fn parsed_json<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    T::deserialize(value).map_err(|error| error.to_string())
}

/// Tags, each once.
fn tags(value: &Value) -> Result<Vec<Tag>, String> {
    distinct(value, required_text, TAGS_MAX, "tags")
}

/// `{"x-token":"…"}`.
fn headers(value: &Value) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let map = value.as_object().ok_or("it must be an object")?;
    if map.len() > HEADERS_MAX {
        return Err(format!("a subscription has at most {HEADERS_MAX} headers"));
    }
    let header = |(name, value): (&String, &Value)| {
        let name = HeaderName::new(name).map_err(|error| error.to_string())?;
        let text: HeaderValue = text(value).map_err(|error| format!("{name}: {error}"))?;
        let is_visible = text.as_str().chars().all(|c| matches!(c, ' '..='~'));
        let visible = || format!("{name}: a header says visible ASCII characters alone");
        is_visible
            .then_some((name.clone(), text))
            .ok_or_else(visible)
    };
    map.iter().map(header).collect()
}

fn rate(value: &Value) -> Result<u16, String> {
    let rate = value.as_u64().and_then(|rate| u16::try_from(rate).ok());
    let fits = rate.filter(|rate| (1..=RATE_MAX).contains(rate));
    fits.ok_or_else(|| format!("it must be a whole number from 1 to {RATE_MAX}, or null for none"))
}

pub fn secret(value: &Value) -> Result<String, String> {
    let secret = value.as_str().ok_or("it must be text")?;
    signature::check_secret(secret).map_err(|error| error.to_string())?;
    Ok(secret.to_owned())
}

/// Ids of indexes, each once.
fn indexes(value: &Value) -> Result<Vec<IndexId>, String> {
    let none_for_all = "indexes; name none for all";
    distinct(value, parsed, INDEXES_MAX, none_for_all)
}

/// Items of a list, each once.
fn distinct<T: PartialEq>(
    value: &Value,
    read: Read<T>,
    max: usize,
    what: &str,
) -> Result<Vec<T>, String> {
    let mut items = Vec::new();
    for item in list(value)? {
        let item = read(&item)?;
        if !items.contains(&item) {
            items.push(item);
        }
    }
    if items.len() > max {
        return Err(format!("a subscription names at most {max} {what}"));
    }
    Ok(items)
}

/// The spans before each further attempt: `["2s","4s"]`.
fn schedule(value: &Value) -> Result<Schedule, String> {
    let spans: Result<Vec<Span>, String> = list(value)?.iter().map(parsed).collect();
    Schedule::new(spans?).map_err(|error| error.to_string())
}
