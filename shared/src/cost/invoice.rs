//! Invoices, compared with what was metered.

use super::{Bucket, CostRow, TooLarge};
use crate::ids::Ident;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A line of an invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvoiceLine {
    /// Line of the file, counted from 1.
    pub line: usize,
    /// What is paid for.
    pub bucket: Bucket,
    /// Workflow type.
    pub workflow_type: Ident,
    /// Environment, a word.
    pub env: String,
    /// In the unit of the rate card.
    pub amount: i64,
}

/// The first line of an invoice.
pub const INVOICE_HEADER: &str = "bucket,workflow_type,env,amount";

/// Reads an invoice: CSV (RFC 4180) with the columns of [`INVOICE_HEADER`], amounts as integers of the rate card's unit.
pub fn read_invoice(text: &str) -> Result<Vec<InvoiceLine>, String> {
    let text = text.trim_start_matches('\u{feff}');
    // The CSV reader would end a line there, and editors would not: lines could not be told by their number.
    if let Some(line) = text.split('\n').position(|l| l.strip_suffix('\r').unwrap_or(l).contains('\r')) {
        let line = line + 1;
        return Err(format!("line {line}: a carriage return without a line feed: save it with LF or CRLF"));
    }
    let mut reader =
        ::csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut records = reader.records().map_while(Result::ok);
    match records.next() {
        Some(first) if first.iter().eq(INVOICE_HEADER.split(',')) => {}
        _ => return Err(format!("line 1: expected {INVOICE_HEADER}")),
    }
    let mut out = Vec::new();
    for record in records {
        let line = line_of(text, record.position());
        let example = "for instance compute,etl,production,1250000";
        let read = read_line(line, &record);
        out.push(read.ok_or_else(|| format!("line {line}: expected {INVOICE_HEADER}, {example}"))?);
        if out.len() > 100_000 {
            return Err("an invoice has at most 100000 lines".into());
        }
    }
    Ok(out)
}

fn read_line(line: usize, record: &::csv::StringRecord) -> Option<InvoiceLine> {
    let mut values = record.iter();
    let mut next = || values.next();
    let (bucket, workflow, env, amount) = (next()?, next()?, next()?, next()?);
    (record.len() == 4).then_some(InvoiceLine {
        line,
        bucket: Bucket::from_word(bucket)?,
        workflow_type: Ident::new(workflow).ok()?,
        env: crate::fact::Env::from_word(env)?.as_str().to_owned(),
        amount: amount.parse().ok()?,
    })
}

/// Where a record begins. The reader's position may be that of empty lines before it.
fn line_of(text: &str, position: Option<&::csv::Position>) -> usize {
    let Some(p) = position else { return 0 };
    let from = usize::try_from(p.byte()).unwrap_or(usize::MAX);
    let rest = text.as_bytes().get(from..).unwrap_or_default();
    let empty = rest.iter().take_while(|b| matches!(b, b'\r' | b'\n')).filter(|b| **b == b'\n').count();
    usize::try_from(p.line()).unwrap_or(usize::MAX).saturating_add(empty)
}

/// Invoiced and metered.
type Both = (Option<i64>, Option<i64>);

/// Where an invoice and the cost differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// What is paid for.
    pub bucket: Bucket,
    /// Workflow type.
    pub workflow_type: Ident,
    /// Environment, a word.
    pub env: String,
    /// On the invoice; none when it has no such line.
    pub invoiced: Option<i64>,
    /// As metered; none when there is no such row.
    pub metered: Option<i64>,
}

/// Compares an invoice with rows by workflow type and environment. Empty when they agree to the unit; an error when a sum
/// or a difference exceeds 64 bits.
pub fn compare(invoice: &[InvoiceLine], rows: &[CostRow]) -> Result<Vec<Difference>, TooLarge> {
    let plus = |sum: Option<i64>, n: i64| sum.unwrap_or(0).checked_add(n).ok_or(TooLarge).map(Some);
    let mut all: BTreeMap<(Bucket, Ident, String), Both> = BTreeMap::new();
    for l in invoice {
        let at = all.entry((l.bucket, l.workflow_type.clone(), l.env.clone())).or_default();
        at.0 = plus(at.0, l.amount)?;
    }
    for r in rows {
        let (Some(w), Some(e)) = (&r.group.workflow_type, r.group.env) else { continue };
        let at = all.entry((r.bucket, w.clone(), e.as_str().to_owned())).or_default();
        at.1 = plus(at.1, r.amount)?;
    }
    let differ = all.into_iter().filter(|(_, (i, m))| i.unwrap_or(0) != m.unwrap_or(0));
    let difference = |((bucket, workflow_type, env), (invoiced, metered)): (_, Both)| {
        invoiced.unwrap_or(0).checked_sub(metered.unwrap_or(0)).ok_or(TooLarge)?;
        Ok(Difference { bucket, workflow_type, env, invoiced, metered })
    };
    differ.map(difference).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::Group;

    /// SPEC 2.3: an invoice that agrees has no differences; each that does not is named.
    #[test]
    fn invoices_are_compared() {
        let row = |amount| CostRow {
            bucket: Bucket::Compute,
            group: Group {
                workflow_type: Ident::new("etl").ok(),
                env: Some(crate::fact::Env::Production),
                actor_type: None,
            },
            quantity: 1,
            unit: "microseconds".into(),
            rate_card: Some(1),
            reconciled: false,
            amount,
        };
        let read = |t: &str| read_invoice(&format!("{INVOICE_HEADER}\r\n{t}\n"));
        let agree = read("compute,etl,production,7").unwrap();
        assert_eq!(compare(&agree, &[row(3), row(4)]), Ok(vec![]));
        assert_eq!(compare(&agree, &[row(8)]).unwrap()[0].metered, Some(8));
        assert_eq!(compare(&[], &[row(8)]).unwrap()[0].invoiced, None);
        // Two sums that both ended at the largest number would agree.
        assert_eq!(compare(&agree, &[row(i64::MAX), row(1)]), Err(TooLarge));
        for bad in [
            "compute,etl,production",
            "cpu,etl,production,7",
            "compute,etl,prod,7",
            "compute,etl,production,1.5",
        ] {
            assert!(read(bad).unwrap_err().starts_with("line 2"), "{bad}");
        }
        assert!(read_invoice("a,b\n").is_err());
        assert!(read("\n\ncpu,etl,production,7").unwrap_err().starts_with("line 4"));
    }

    /// SPEC 2.3: spreadsheets quote what they write; such an invoice says the same.
    #[test]
    fn a_quoted_invoice_reads_the_same() {
        let plain = format!("{INVOICE_HEADER}\ncompute,etl,production,7\nsigning,etl,staging,-2\n");
        let quoted = "\u{feff}\"bucket\",\"workflow_type\",\"env\",\"amount\"\r\n\"compute\",\"etl\",\"production\",\"7\"\r\nsigning,etl,\"staging\",-2";
        let read = read_invoice(&plain);
        assert_eq!(read.as_ref().map(Vec::len), Ok(2));
        assert_eq!(read_invoice(quoted), read);
    }
}
