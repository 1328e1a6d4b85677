//! The two text forms of metrics, and which one a client wants.

use axum::http::{HeaderMap, header};
use mime::Mime;
use std::fmt::Write as _;

/// A form of the metrics page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exposition {
    /// `OpenMetrics` 1.0.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4, for whoever asks for nothing else.
    Text,
}

impl Exposition {
    /// `OpenMetrics` where the client names it and likes no plain text better.
    pub(super) fn accepted(headers: &HeaderMap) -> Self {
        let (mut open_metrics, mut text) = (0, 0);
        let values = headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok());
        for range in values.flat_map(|v| v.split(',')).filter_map(|r| r.trim().parse::<Mime>().ok()) {
            let version = range.get_param("version").map(|v| v.as_str().to_owned());
            let version = version.as_deref();
            match range.essence_str() {
                "application/openmetrics-text" if matches!(version, None | Some("1.0.0")) => {
                    open_metrics = open_metrics.max(quality(&range));
                }
                "text/plain" if matches!(version, None | Some("0.0.4")) => text = text.max(quality(&range)),
                _ => {}
            }
        }
        if open_metrics > 0 && open_metrics >= text { Self::OpenMetrics } else { Self::Text }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// A page of `OpenMetrics` in this form.
    pub(super) fn of(self, page: String) -> String {
        match self {
            Self::OpenMetrics => page,
            Self::Text => plain(&page),
        }
    }
}

/// `q` in thousandths; 1 where none is named, 0 where it is no number.
fn quality(range: &Mime) -> u16 {
    let Some(q) = range.get_param("q") else { return 1_000 };
    let q: f32 = q.as_str().parse().unwrap_or(0.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // bounded right here
    let thousandths = (q.clamp(0.0, 1.0) * 1_000.0) as u16;
    thousandths
}

/// In the older form a counter's family has the name of its sample, and units and the end are not told.
fn plain(page: &str) -> String {
    let counter = |line: &str| Some(line.strip_prefix("# TYPE ")?.strip_suffix(" counter")?.to_owned());
    let counters: std::collections::HashSet<String> = page.lines().filter_map(counter).collect();
    let mut out = String::with_capacity(page.len());
    for line in page.lines() {
        let mut words = line.splitn(4, ' ');
        let (mark, kind, name, rest) = (words.next(), words.next(), words.next(), words.next());
        // Writing to a string does not fail.
        let _ = match (mark, kind, name, rest) {
            (Some("#"), Some("HELP" | "TYPE"), Some(name), Some(rest)) => {
                let kind = kind.unwrap_or_default();
                let total = if counters.contains(name) { "_total" } else { "" };
                writeln!(out, "# {kind} {name}{total} {rest}")
            }
            (Some("#"), ..) => Ok(()),
            _ => writeln!(out, "{line}"),
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(accept: &str) -> Exposition {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        Exposition::accepted(&headers)
    }

    /// E4: what Prometheus itself sends gets `OpenMetrics`; who names nothing that we have gets the older form.
    #[test]
    fn the_form_is_the_one_that_is_accepted() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for accept in
            [prometheus, "application/openmetrics-text", "text/plain;q=0.5, application/openmetrics-text"]
        {
            assert_eq!(accepted(accept), Exposition::OpenMetrics, "{accept}");
        }
        for accept in [
            "*/*",
            "text/plain",
            "application/json",
            "nonsense",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=high, text/plain",
            "application/openmetrics-text;q=0.1, text/plain;version=0.0.4;q=0.9",
        ] {
            assert_eq!(accepted(accept), Exposition::Text, "{accept}");
        }
        assert_eq!(Exposition::accepted(&HeaderMap::new()), Exposition::Text);
    }
}
