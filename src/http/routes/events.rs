//! `/api/events` and `/api/indexes/{id}/events`: the log, as far as the caller may see it.

use evenkeel_actors::engine::{Caller, LoggedEvent};
use evenkeel_domain::access::Scope;
use evenkeel_domain::values::{EventKey, IndexId, OwnerId, Timestamp};
use http::Method;
use serde::Serialize;
use serde_json::Value;

use super::indexes::id_of;
use crate::http::Api;
use crate::http::problem::Problem;
use crate::http::query::{Query, refused};
use crate::http::reply::{self, Answer, Page};
use crate::http::router::{Call, Row};

/// Rounds of reading for one page: a rare filter over a long log gives a short page with a
/// cursor instead of one long answer.
const ROUNDS_MAX: usize = 20;
/// Most types in one filter.
const TYPES_MAX: usize = 50;

/// The routes.
pub fn rows() -> Vec<Row<Api>> {
    vec![
        Row::needs(Scope::Read, Method::GET, "/api/events", audit),
        Row::needs(
            Scope::Read,
            Method::GET,
            "/api/indexes/{id}/events",
            of_index,
        ),
    ]
}

/// An event on the wire.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventBody<'a> {
    position: u64,
    stream: &'a str,
    version: u64,
    r#type: &'a str,
    payload_version: u16,
    at: Timestamp,
    owner: Option<OwnerId>,
    by: &'a str,
    correlation: EventKey,
    causation: EventKey,
    data: Value,
}

/// An event as JSON.
pub fn body(event: &LoggedEvent) -> EventBody<'_> {
    EventBody {
        position: event.position,
        stream: &event.stream,
        version: event.version,
        r#type: &event.event_type,
        payload_version: event.payload_version,
        at: event.at,
        owner: event.owner,
        by: &event.by,
        correlation: event.correlation,
        causation: event.causation,
        data: event.data(),
    }
}

/// Which event types are wanted: `trade.executed`, a group as `trade.*`, all when empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Types(Vec<String>);

impl Types {
    /// Reads the parameter `type`: types with commas.
    pub fn of(query: &mut Query) -> Result<Self, Problem> {
        let text = query.text("type")?.unwrap_or_default();
        let types: Vec<_> = text
            .split(',')
            .map(str::trim)
            .filter(|t| !t.is_empty())
            .collect();
        let known = |b: u8| b.is_ascii_lowercase() || matches!(b, b'.' | b'_' | b'*');
        let plain = types
            .iter()
            .all(|name| name.len() <= 64 && name.bytes().all(known));
        if types.len() > TYPES_MAX || !plain {
            let detail = "it must be event types such as trade.executed or trade.*, with commas";
            return Err(refused("type", "invalid", detail));
        }
        Ok(Self(types.into_iter().map(ToOwned::to_owned).collect()))
    }

    /// Whether an event type is wanted.
    pub fn want(&self, event_type: &str) -> bool {
        let fits = |wanted: &String| match wanted.strip_suffix('*') {
            Some(group) => event_type.starts_with(group),
            None => event_type == wanted,
        };
        self.0.is_empty() || self.0.iter().any(fits)
    }
}

/// What is wanted of the log.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of these types.
    pub types: Types,
    /// Of the stream of this index.
    pub index: Option<IndexId>,
    /// Of the data of this owner.
    pub owner: Option<OwnerId>,
    /// That followed from this request or run.
    pub correlation: Option<EventKey>,
    /// Recorded from then on.
    pub from: Option<Timestamp>,
    /// Recorded until then.
    pub to: Option<Timestamp>,
}

impl Wanted {
    /// Reads the parameters that are named as the fields are, and `type`.
    pub fn of(query: &mut Query) -> Result<Self, Problem> {
        Ok(Self {
            types: Types::of(query)?,
            index: query.parsed("index")?,
            owner: query.parsed("owner")?,
            correlation: query.parsed("correlation")?,
            from: query.parsed("from")?,
            to: query.parsed("to")?,
        })
    }

    /// Whether an event whose type is wanted is so besides.
    fn fits(&self, event: &LoggedEvent, stream: Option<&str>) -> bool {
        stream.is_none_or(|stream| event.stream == *stream)
            && self.owner.is_none_or(|owner| event.owner == Some(owner))
            && self.correlation.is_none_or(|key| event.correlation == key)
            && self.from.is_none_or(|from| event.at >= from)
            && self.to.is_none_or(|to| event.at <= to)
    }

    /// Events after a position, and the position up to which the log was looked at.
    pub async fn read(
        &self,
        api: &Api,
        caller: &Caller,
        after: u64,
        limit: usize,
    ) -> Result<(Vec<LoggedEvent>, u64), Problem> {
        let types = |event_type: &str| self.types.want(event_type);
        let stream = self.index.map(|id| id.to_string());
        let (mut found, mut position) = (Vec::new(), after);
        for _ in 0..ROUNDS_MAX {
            let left = limit - found.len();
            let (events, seen) = api.engine.events(caller, position, &types, left).await?;
            let ended = seen <= position;
            position = position.max(seen);
            let fits = |event: &LoggedEvent| self.fits(event, stream.as_deref());
            found.extend(events.into_iter().filter(fits));
            if ended || found.len() >= limit {
                break;
            }
        }
        Ok((found, position))
    }
}

/// A page of the audit.
#[derive(Serialize)]
struct Audit<'a> {
    #[serde(flatten)]
    page: Page<EventBody<'a>>,
    /// The log was looked at up to here: go on from here for what comes later.
    position: u64,
}

async fn audit(api: Api, mut call: Call) -> Answer {
    let query = &mut call.query;
    let (cursor, limit) = query.page::<u64>()?;
    let after = query.parsed("after")?.or(cursor).unwrap_or(0);
    let wanted = Wanted::of(query)?;
    call.query.finish()?;
    let (events, position) = wanted.read(&api, &call.caller, after, limit).await?;
    let head = *api.engine.watch().borrow();
    reply::ok(&Audit {
        page: Page {
            items: events.iter().map(body).collect(),
            next: (position < head).then(|| position.to_string()),
        },
        position,
    })
}

async fn of_index(api: Api, mut call: Call) -> Answer {
    let id = id_of(&call)?;
    let (before, limit) = call.query.page()?;
    let types = Types::of(&mut call.query)?;
    call.query.finish()?;
    let wanted = |event_type: &str| types.want(event_type);
    let page = api
        .engine
        .index_events(&call.caller, id, &wanted, before, limit)
        .await?;
    reply::ok(&Page {
        items: page.items.iter().map(body).collect(),
        next: page.next.map(|version| version.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_wanted_by_name_and_by_group() {
        for (raw, event_type, expected) in [
            ("", "trade.executed", true),
            ("type=trade.executed", "trade.executed", true),
            ("type=trade.executed", "trade.failed", false),
            ("type=trade.*,index.paused", "trade.failed", true),
            ("type=trade.*,index.paused", "index.paused", true),
            ("type=trade.*", "trader.x", false),
            ("type=*", "anything", true),
        ] {
            let types = Types::of(&mut Query::parse(raw)).unwrap();
            assert_eq!(types.want(event_type), expected, "{raw} {event_type}");
        }
        assert!(Types::of(&mut Query::parse("type=DROP%20TABLE")).is_err());
    }
}
