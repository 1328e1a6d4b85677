//! Reading the store on a blocking thread.

use super::error::ApiError;
use crate::intake::request::Denial;
use crate::ledger::{Partition, ReadError};
use crate::partition::published::PartitionCell;
use crate::store::Store;
use conductor_shared::reason::Reason;
use std::sync::Arc;

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
