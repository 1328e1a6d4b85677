//! CSV as text in memory (RFC 4180: CRLF, quotes where a value needs them).

/// A table as CSV.
pub(crate) fn write<R, V>(header: impl IntoIterator<Item = V>, rows: impl IntoIterator<Item = R>) -> String
where
    V: AsRef<[u8]>,
    R: IntoIterator<Item = String>,
{
    let mut w = ::csv::WriterBuilder::new().terminator(::csv::Terminator::CRLF).from_writer(Vec::new());
    // Writing to memory cannot fail, and each row has as many values as the header.
    let _ = w.write_record(header);
    for row in rows {
        let _ = w.write_record(row);
    }
    w.into_inner().ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC 2.3: a value that holds a comma, a quote or a line end is quoted, and nothing else is.
    #[test]
    fn values_are_quoted_where_they_need_it() {
        let row = ["a,b", "c\"d", "e\r\nf", "plain", ""].map(str::to_owned);
        assert_eq!(
            write(["1", "2", "3", "4", "5"], [row]),
            "1,2,3,4,5\r\n\"a,b\",\"c\"\"d\",\"e\r\nf\",plain,\r\n"
        );
    }
}
