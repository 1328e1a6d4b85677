//! What a request brings, as the types of the document: bodies of JSON, query parameters. What does not fit is refused
//! with a problem document that says where.

use super::error::ApiError;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

/// A body of JSON.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;
    async fn from_request(r: Request, state: &S) -> Result<Self, ApiError> {
        let RawBody(bytes) = RawBody::from_request(r, state).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|e| ApiError::body(&e))
    }
}

/// A body that the handler reads itself.
pub(super) struct RawBody(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = ApiError;
    async fn from_request(r: Request, state: &S) -> Result<Self, ApiError> {
        let read = Bytes::from_request(r, state).await;
        read.map(Self).map_err(|e: BytesRejection| ApiError::bad(e.status(), e.body_text()))
    }
}

/// Query parameters.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = Query::<T>::from_request_parts(parts, state).await;
        read.map(|Query(asked)| Self(asked)).map_err(|e| ApiError::bad(e.status(), e.body_text()))
    }
}
