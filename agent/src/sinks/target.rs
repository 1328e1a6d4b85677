//! Where the events of a sink go: over HTTP, or into files.

use super::SinkCtx;
use super::config::SinkConfig;
use super::cursor::{file_number, store_file_number};
use super::files::Files;
use super::http::{Http, Receiver};
use super::search::Delivered;
use conductor_shared::ids::Ident;
use parking_lot::Mutex;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

pub(super) enum Target {
    Http(Http),
    Files(Numbered),
}

/// Files, and the newest number that was given out.
pub(super) struct Numbered {
    files: Arc<Mutex<Files>>,
    name: Ident,
    stored: Option<u32>,
}

impl Target {
    pub(super) fn new(config: &SinkConfig) -> Self {
        match (&config.url, &config.folder) {
            (None, Some(folder)) => {
                let files = Files::new(folder.clone(), config.name.clone(), config.max_file_bytes);
                let files = Arc::new(Mutex::new(files));
                Self::Files(Numbered { files, name: config.name.clone(), stored: None })
            }
            // The configuration was checked: it has either.
            (url, _) => Self::Http(Http::new(Receiver {
                url: url.clone().unwrap_or_default(),
                ca: config.ca.clone(),
                token: config.token_file.clone(),
                timeout: Duration::from_millis(config.timeout_ms),
            })),
        }
    }

    /// Gets it ready to deliver, or says what is missing. It may be open already.
    pub(super) async fn open(&mut self) -> Result<(), String> {
        match self {
            Self::Http(h) => h.open().await,
            Self::Files(f) => f.blocking(|files| files.open()).await,
        }
    }

    pub(super) async fn deliver(&mut self, ctx: &SinkCtx, events: &[Value]) -> Delivered {
        match self {
            Self::Http(h) => h.deliver(events).await,
            Self::Files(f) => f.deliver(ctx, events).await.unwrap_or_else(|why| Delivered::Later(why, None)),
        }
    }
}

impl Numbered {
    async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Files) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let files = Arc::clone(&self.files);
        let done = tokio::task::spawn_blocking(move || call(&mut files.lock())).await;
        done.map_err(|e| e.to_string()).and_then(|done| done)
    }

    async fn deliver(&mut self, ctx: &SinkCtx, events: &[Value]) -> Result<Delivered, String> {
        let node = ctx.board.node().ok_or("the node's log is not open")?;
        let stored = match self.stored {
            Some(number) => number,
            None => file_number(&node, &self.name).await?,
        };
        let number = self.blocking(move |files| files.prepare(stored)).await?;
        if number != stored {
            // Before anything stands in the file, so that its number is not given out again.
            store_file_number(ctx, &node, &self.name, number).await?;
        }
        self.stored = Some(number);
        let events = events.to_vec();
        self.blocking(move |files| Ok(files.deliver(&events))).await
    }
}
