//! Helpers of routes that read: query parameters, and reading the store on a blocking thread.

use super::error::ApiError;
use crate::intake::request::Denial;
use crate::ledger::{Partition, ReadError};
use crate::partition::published::PartitionCell;
use crate::store::Store;
use axum::extract::Query;
use axum::http::StatusCode;
use conductor_shared::ids::parse_decimal;
use conductor_shared::reason::Reason;
use std::collections::HashMap;
use std::sync::Arc;

pub(super) type Params = Query<HashMap<String, String>>;

/// Reads from the store on a blocking thread, under a lease that ends with the read.
pub(super) async fn blocking<T: Send + 'static>(
    shared: &Arc<PartitionCell>,
    read: impl FnOnce(&Store, &Partition) -> Result<T, ReadError> + Send + 'static,
) -> Result<T, ApiError> {
    let closed = || ApiError::from(Denial::bare(Reason::StoreUnavailable));
    let lease = shared.lease().map_err(|reason| ApiError::from(Denial::bare(reason)))?;
    let done = tokio::task::spawn_blocking(move || read(lease.store(), lease.partition())).await;
    Ok(done.map_err(|_| closed())??)
}

pub(super) fn number(params: &HashMap<String, String>, name: &str, default: u64) -> Result<u64, ApiError> {
    match params.get(name) {
        None => Ok(default),
        Some(t) => parse_decimal(t).ok_or_else(|| {
            ApiError::bad(StatusCode::BAD_REQUEST, format!("{name}: expected a whole number"))
        }),
    }
}
