//! Recovery: one pass over the log at start that fills the read models.

use evenkeel_domain::Event;
use evenkeel_domain::index::{IndexEvent, Status};
use evenkeel_domain::values::{IndexId, OwnerId, WebhookId};
use evenkeel_domain::webhook::WebhookEvent;
use evenkeel_events::Recorded;

use crate::directory::Entry;
use crate::journal::{self, ReplayError};
use crate::shell::Shell;

/// Events read per page.
const PAGE: usize = 2_048;

/// Fills the directory and the books of subscriptions, of owners and of the kill switch.
pub(crate) async fn recover(shell: &Shell) -> Result<(), ReplayError> {
    let mut after = 0;
    loop {
        let page = shell.journal.log.read(after, PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = last.position;
        for recorded in page
            .iter()
            .filter(|recorded| concerns_read_models(&recorded.event_type))
        {
            adopt(shell, recorded).await?;
        }
    }
}

/// Forgets the keys of erased owners once more: a crash may have come between the event and that.
pub(crate) async fn forget_erased(shell: &Shell) {
    for owner in shell.access.erased() {
        if let Err(error) = shell.personal.forget(owner).await {
            tracing::error!(%error, "an erased owner's names can still be read");
        }
    }
}

/// Events of other types are not decoded: they are most of a log.
fn concerns_read_models(event_type: &str) -> bool {
    matches!(
        event_type,
        "index.created"
            | "index.updated"
            | "index.paused"
            | "index.resumed"
            | "index.deleted"
            | "index.deposited"
            | "webhook.created"
            | "webhook.deleted"
            | "owner.created"
            | "token.issued"
            | "token.revoked"
            | "owner.erased"
            | "trading.mode_set"
    )
}

async fn adopt(shell: &Shell, recorded: &Recorded) -> Result<(), ReplayError> {
    let stream = recorded.stream.as_str();
    match journal::decode(recorded)? {
        Event::Index(event) => {
            if let Ok(id) = stream.parse::<IndexId>() {
                adopt_index(shell, id, &event);
            }
        }
        Event::Webhook(WebhookEvent::Created(created)) => {
            shell
                .webhooks
                .write()
                .insert(created.webhook_id, created.owner);
        }
        Event::Webhook(WebhookEvent::Deleted(_)) => {
            if let Ok(id) = stream.parse::<WebhookId>() {
                shell.webhooks.write().remove(&id);
            }
        }
        Event::Access(event) => {
            if let Ok(id) = stream.parse::<OwnerId>() {
                shell.access.adopt(id, recorded.version, &event);
            }
        }
        Event::Trading(event) => shell.trading.adopt(recorded.version, &event).await,
        Event::Webhook(_)
        | Event::Rebalance(_)
        | Event::Market(_)
        | Event::Job(_)
        | Event::Request(_) => {}
    }
    Ok(())
}

fn adopt_index(shell: &Shell, id: IndexId, event: &IndexEvent) {
    let mut entries = shell.directory.write();
    if let IndexEvent::Created(created) = event {
        entries.insert(
            id,
            Entry::new(created.owner, &created.definition, Status::Pending),
        );
    }
    let Some(entry) = entries.get_mut(&id) else {
        return;
    };
    match event {
        IndexEvent::Updated(updated) => {
            *entry = Entry::new(entry.owner, &updated.definition, entry.status);
        }
        IndexEvent::Deposited(_) if entry.status == Status::Pending => {
            entry.status = Status::Active;
        }
        IndexEvent::Paused(_) => entry.status = Status::Paused,
        IndexEvent::Resumed(_) => entry.status = Status::Active,
        IndexEvent::Deleted(_) => entry.status = Status::Deleted,
        _ => {}
    }
}
