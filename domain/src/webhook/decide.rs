//! Commands of a subscription, why they are refused, and the events that they lead to.

use super::{
    Answer, AttemptFailed, Checkpointed, Delivered, DeliveryFailed, FAILURES_MAX, REDELIVERIES_MAX,
    RETRY_AFTER_MAX, ROTATION_OVERLAP_MAX, Reason, RedeliveryRequested, SecretRotated, Target,
    Webhook, WebhookCreated, WebhookDeleted, WebhookDisabled, WebhookEnabled, WebhookEvent,
    WebhookUpdated,
};
use crate::values::{OwnerId, Sealed, Span, Timestamp, WebhookId};

/// The receiver says that it is gone for good.
const GONE: u16 = 410;

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptResult {
    /// 2xx.
    Success {
        /// HTTP status.
        status: u16,
    },
    /// Anything else.
    Failure {
        /// HTTP status, if there was an answer.
        status: Option<u16>,
        /// Why.
        reason: Reason,
        /// What the receiver asked for by `Retry-After`.
        retry_after: Option<Span>,
        /// What it said.
        answer: Answer,
    },
}

/// An attempt that ended, with what the deciding needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptReport {
    /// Position of the event.
    pub position: u64,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// How it ended.
    pub result: AttemptResult,
    /// Its duration in milliseconds.
    pub duration_ms: u32,
    /// From 0 to 999, drawn evenly: where in its span a retry falls.
    pub jitter_permille: u16,
    /// What `low_water` becomes if this delivery ends now.
    pub low_water: u64,
}

/// What may be asked of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookCommand {
    /// Make it.
    Create {
        /// Its id, made by the caller.
        webhook_id: WebhookId,
        /// Its owner.
        owner: OwnerId,
        /// What it is.
        target: Target,
        /// Whether it delivers from the start.
        enabled: bool,
        /// It delivers events after this position.
        after: u64,
        /// A secret that its owner brought, sealed.
        secret: Option<Sealed>,
    },
    /// Replace its target.
    Update {
        /// The new target.
        target: Target,
    },
    /// Deliver again, from a position on.
    Enable {
        /// It delivers events after this position.
        after: u64,
    },
    /// Deliver no more.
    Disable {
        /// Why.
        reason: Reason,
    },
    /// Sign with a new secret.
    RotateSecret {
        /// A secret that its owner brought, sealed.
        secret: Option<Sealed>,
        /// How long the one before signs too, up to [`ROTATION_OVERLAP_MAX`].
        overlap: Span,
    },
    /// Delete it.
    Delete,
    /// Make deliveries once more; those that have not ended are left out.
    Redeliver {
        /// Positions of their events.
        positions: Vec<u64>,
    },
    /// Take in an attempt that ended.
    Report(AttemptReport),
    /// Note that everything up to a position has been looked at and nothing is in flight.
    Checkpoint {
        /// The position.
        low_water: u64,
    },
}

/// Why a command was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebhookRefusal {
    /// There is no such subscription.
    #[error("there is no such webhook")]
    NotFound,
    /// The id is taken.
    #[error("the webhook exists already")]
    Exists,
    /// A report for a disabled or deleted subscription, or one that has ended already.
    #[error("the delivery is not open")]
    NotOpen,
    /// More deliveries would have to be made once more than a subscription keeps.
    #[error(
        "at most {REDELIVERIES_MAX} deliveries are made once more at a time; wait for those, or ask for fewer"
    )]
    TooManyRedeliveries,
}

/// Which events a command leads to.
///
/// A failed attempt is retried within the next span of the schedule, or after what the receiver
/// asked for, up to [`RETRY_AFTER_MAX`]; the last failure ends the delivery; status 410 ends it
/// and disables at once; the tenth consecutive failed delivery disables.
pub fn decide(
    webhook: Option<&Webhook>,
    command: WebhookCommand,
    now: Timestamp,
) -> Result<Vec<WebhookEvent>, WebhookRefusal> {
    match (webhook, command) {
        (None, command) => create(command, now),
        (Some(_), WebhookCommand::Create { .. }) => Err(WebhookRefusal::Exists),
        // A worker reports on a delivery that it had begun: for it the delivery is what is gone.
        (Some(webhook), WebhookCommand::Report(_)) if webhook.deleted => {
            Err(WebhookRefusal::NotOpen)
        }
        (Some(webhook), _) if webhook.deleted => Err(WebhookRefusal::NotFound),
        (Some(webhook), command) => decide_existing(webhook, command, now),
    }
}

fn create(command: WebhookCommand, at: Timestamp) -> Result<Vec<WebhookEvent>, WebhookRefusal> {
    let WebhookCommand::Create {
        webhook_id,
        owner,
        target,
        enabled,
        after,
        secret,
    } = command
    else {
        return Err(WebhookRefusal::NotFound);
    };
    Ok(vec![WebhookEvent::Created(WebhookCreated {
        webhook_id,
        owner,
        target,
        enabled,
        after,
        secret,
        at,
    })])
}

fn decide_existing(
    webhook: &Webhook,
    command: WebhookCommand,
    at: Timestamp,
) -> Result<Vec<WebhookEvent>, WebhookRefusal> {
    Ok(match command {
        WebhookCommand::Create { .. } => return Err(WebhookRefusal::Exists),
        WebhookCommand::Update { target } => {
            vec![WebhookEvent::Updated(WebhookUpdated { target, at })]
        }
        // Enabling what is enabled would skip what it has not delivered yet.
        WebhookCommand::Enable { .. } if webhook.enabled => Vec::new(),
        WebhookCommand::Enable { after } => {
            vec![WebhookEvent::Enabled(WebhookEnabled { after, at })]
        }
        WebhookCommand::Disable { .. } if !webhook.enabled => Vec::new(),
        WebhookCommand::Disable { reason } => vec![disabled(reason, at)],
        WebhookCommand::RotateSecret { secret, overlap } => {
            vec![WebhookEvent::SecretRotated(SecretRotated {
                generation: webhook.secret_generation.saturating_add(1),
                secret,
                overlap_until: at.plus(overlap.min(ROTATION_OVERLAP_MAX)),
                at,
            })]
        }
        WebhookCommand::Delete => vec![WebhookEvent::Deleted(WebhookDeleted { at })],
        WebhookCommand::Redeliver { mut positions } => {
            positions.retain(|position| webhook.has_ended(*position));
            positions.sort_unstable();
            positions.dedup();
            if webhook.again.len() + positions.len() > REDELIVERIES_MAX {
                return Err(WebhookRefusal::TooManyRedeliveries);
            }
            if positions.is_empty() {
                return Ok(Vec::new());
            }
            let requested = RedeliveryRequested { positions, at };
            vec![WebhookEvent::RedeliveryRequested(requested)]
        }
        WebhookCommand::Report(report) => take_in(webhook, report, at)?,
        WebhookCommand::Checkpoint { low_water } => {
            let low_water = webhook.before_retries(low_water);
            let is_further = low_water > webhook.low_water;
            let checkpointed = WebhookEvent::Checkpointed(Checkpointed { low_water, at });
            Vec::from_iter(is_further.then_some(checkpointed))
        }
    })
}

/// What follows from an attempt that ended.
fn take_in(
    webhook: &Webhook,
    report: AttemptReport,
    at: Timestamp,
) -> Result<Vec<WebhookEvent>, WebhookRefusal> {
    if !webhook.enabled || webhook.has_ended(report.position) {
        return Err(WebhookRefusal::NotOpen);
    }
    match report.result {
        AttemptResult::Success { status } => Ok(vec![WebhookEvent::Delivered(Delivered {
            position: report.position,
            attempts: report.attempt,
            status,
            duration_ms: report.duration_ms,
            low_water: report.low_water,
            at,
        })]),
        AttemptResult::Failure {
            status,
            reason,
            retry_after,
            answer,
        } => {
            let next = webhook.target.retry.after(report.attempt);
            if let Some(span) = next.filter(|_| status != Some(GONE)) {
                let wait = retry_wait(span, report.jitter_permille, retry_after);
                return Ok(vec![WebhookEvent::AttemptFailed(AttemptFailed {
                    position: report.position,
                    attempt: report.attempt,
                    status,
                    reason,
                    answer,
                    duration_ms: report.duration_ms,
                    retry_at: at.plus(wait),
                    at,
                })]);
            }
            let why = disabling(webhook, status);
            let failed = WebhookEvent::DeliveryFailed(DeliveryFailed {
                position: report.position,
                attempts: report.attempt,
                status,
                reason,
                answer,
                duration_ms: report.duration_ms,
                low_water: report.low_water,
                at,
            });
            Ok(std::iter::once(failed)
                .chain(why.map(|reason| disabled(reason, at)))
                .collect())
        }
    }
}

/// Why a delivery that failed now disables the subscription, if it does.
fn disabling(webhook: &Webhook, status: Option<u16>) -> Option<Reason> {
    let failures = webhook.failure_count.saturating_add(1);
    let reason = if status == Some(GONE) {
        "the receiver answered 410 (gone)".to_owned()
    } else if failures >= FAILURES_MAX {
        format!("{failures} deliveries failed in a row")
    } else {
        return None;
    };
    Some(Reason::optional(&reason).unwrap_or_default())
}

fn disabled(reason: Reason, at: Timestamp) -> WebhookEvent {
    WebhookEvent::Disabled(WebhookDisabled { reason, at })
}

/// The wait after a failed attempt: drawn evenly from the span of the schedule ("full jitter",
/// M. Brooker, "Exponential Backoff And Jitter", 2015), so that the retries of many deliveries do
/// not fall together; longer where the receiver asked for it.
fn retry_wait(span: Span, jitter_permille: u16, retry_after: Option<Span>) -> Span {
    let wait = Span::from_millis(span.as_millis() * u64::from(jitter_permille.min(999)) / 999);
    let asked = retry_after.unwrap_or(Span::ZERO).min(RETRY_AFTER_MAX);
    wait.max(asked)
}
