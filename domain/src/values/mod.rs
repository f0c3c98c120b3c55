//! Value types: checked decimals, symbols, ids, points and spans of time.

mod asset;
mod decimal;
mod id;
mod personal;
mod span;
mod text;
mod timestamp;

pub use asset::{Asset, AssetError};
pub use decimal::{Amount, ArithmeticError, DecimalError, Percent, Price, Quantity, SCALE_MAX};
pub use id::{
    EventKey, IdError, IndexId, OwnerId, RebalanceId, RunId, TokenId, TransferId, WebhookId,
};
pub use personal::{Personal, SEALED_MAX_BYTES, Sealed, SealedError};
pub use span::{Span, SpanError};
pub use text::{Text, TextError};
pub use timestamp::{Timestamp, TimestampError};
