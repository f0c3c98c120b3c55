//! `/unsubscribe/{webhook}/{token}`: the link in every mail. Loading it changes nothing, as mail
//! programs look at links by themselves; its button, or a mail program's own (RFC 8058), ends the
//! subscription.

use evenkeel_domain::values::WebhookId;
use http::{Method, StatusCode};

use crate::http::Api;
use crate::http::problem::Problem;
use crate::http::reply::{self, Answer};
use crate::http::router::Row;

const PATH: &str = "/unsubscribe/{webhook}/{token}";

const HTML: &str = "text/html; charset=utf-8";

/// The routes.
pub fn rows() -> Vec<Row<Api>> {
    vec![
        Row::linked(Method::GET, PATH, ask),
        Row::linked(Method::POST, PATH, end),
    ]
}

/// The same for every link of our form: whether one is good is not told before it is used.
async fn ask(_: Api, params: Vec<String>) -> Answer {
    link(&params)?;
    Ok(page(
        "No more of these mails?",
        "<form method=\"post\"><button>Unsubscribe</button></form>",
    ))
}

async fn end(api: Api, params: Vec<String>) -> Answer {
    let (id, token) = link(&params)?;
    api.engine.unsubscribe(id, token).await?;
    Ok(page("No more of these mails will come.", ""))
}

/// Which subscription a link is of, and what it shows for it.
fn link(params: &[String]) -> Result<(WebhookId, &str), Problem> {
    let unknown = || Problem::not_found("subscription");
    match params {
        [id, token] => Ok((id.parse().map_err(|_| unknown())?, token)),
        _ => Err(unknown()),
    }
}

fn page(says: &str, more: &str) -> warp::reply::Response {
    let html = format!(
        "<!doctype html><meta charset=\"utf-8\"><title>evenkeel</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><p>{says}</p>{more}\n"
    );
    reply::bytes(StatusCode::OK, HTML, html.into_bytes())
}
