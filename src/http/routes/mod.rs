//! The routes, one file per resource. A route that is not in [`table`] does not exist.

mod decisions;
mod definition;
mod deliveries;
mod event_types;
mod events;
mod explain;
mod funds;
mod indexes;
mod jobs;
mod openapi;
mod operations;
mod owners;
mod performance;
mod prices;
mod rebalances;
mod stream;
mod trading;
mod unsubscribe;
mod webhook_wish;
mod webhooks;

use super::Api;
use super::router::Row;

/// Every route there is.
pub fn table() -> Vec<Row<Api>> {
    [
        indexes::rows(),
        funds::rows(),
        rebalances::rows(),
        performance::rows(),
        explain::rows(),
        decisions::rows(),
        trading::rows(),
        events::rows(),
        event_types::rows(),
        stream::rows(),
        prices::rows(),
        jobs::rows(),
        webhooks::rows(),
        deliveries::rows(),
        unsubscribe::rows(),
        owners::rows(),
        openapi::rows(),
        operations::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use evenkeel_domain::access::Scope;
    use http::Method;

    use super::*;
    use crate::http::reply;
    use crate::http::router::Access;
    use crate::http::stack::tests::{ask, stack_of};

    /// The table with handlers that say yes: what stands before the handlers is what is tested.
    fn stubs() -> Vec<(Option<Scope>, Row<()>)> {
        let stub = |row: Row<Api>| match row.access {
            Access::Open(_) => (None, Row::open(row.path, |()| async { reply::ok(&"yes") })),
            Access::Linked(_) => {
                let handler = |(), _| async { reply::ok(&"yes") };
                (None, Row::linked(row.method, row.path, handler))
            }
            Access::Needs(scope, _) => {
                let handler = |(), _| async { reply::ok(&"yes") };
                (
                    Some(scope),
                    Row::needs(scope, row.method, row.path, handler),
                )
            }
        };
        table().into_iter().map(stub).collect()
    }

    #[test]
    fn each_route_stands_once_and_its_scope_follows_from_what_it_does() {
        let mut seen = BTreeSet::new();
        for row in table() {
            let place = format!("{} {}", row.method, row.path);
            assert!(seen.insert(place.clone()), "{place} stands twice");
            let Access::Needs(scope, _) = row.access else {
                assert!(
                    !row.path.starts_with("/api/") || row.path == "/api/openapi.json",
                    "{place} is open to everybody"
                );
                continue;
            };
            let path = row.path.strip_prefix("/api/").unwrap();
            let resource = path.split('/').next().unwrap();
            let expected = match (resource, &row.method) {
                ("owners", _) | ("trading", &Method::PUT) => Scope::Admin,
                (_, &Method::GET) => Scope::Read,
                ("indexes", _) => Scope::Trade,
                ("webhooks", _) => Scope::Webhooks,
                ("prices", _) => Scope::Prices,
                ("jobs", _) => Scope::Jobs,
                other => panic!("no rule for {other:?}"),
            };
            assert_eq!(scope, expected, "{place}");
        }
    }

    #[tokio::test]
    async fn every_route_asks_for_its_token_and_scope() {
        let rows: Vec<_> = stubs();
        let places: Vec<_> = rows
            .iter()
            .map(|(scope, row)| {
                (
                    *scope,
                    row.method.to_string(),
                    row.path.replace(['{', '}'], ""),
                )
            })
            .collect();
        let stack = stack_of(rows.into_iter().map(|(_, row)| row).collect());
        for (scope, method, path) in places {
            let anonymous = ask(&stack, &method, &path, &[], "").await;
            let admin = ask(
                &stack,
                &method,
                &path,
                &[("authorization", "Bearer root")],
                "",
            )
            .await;
            let reader = ask(
                &stack,
                &method,
                &path,
                &[("authorization", "Bearer reader")],
                "",
            )
            .await;
            let place = format!("{method} {path}");
            assert_eq!(admin.status, 200, "{place}");
            match scope {
                None => assert_eq!(anonymous.status, 200, "{place}"),
                Some(scope) => {
                    assert_eq!(anonymous.code(), "unauthorized", "{place}");
                    let refused = scope != Scope::Read;
                    assert_eq!(reader.status == 403, refused, "{place}");
                }
            }
        }
    }
}
