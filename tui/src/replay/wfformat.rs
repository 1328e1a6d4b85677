//! Reads execution records in `WfFormat` 1.5 and 1.6 (<https://wfcommons.org/format>): only what a replay needs.
//!
//! Unknown fields are allowed; the types of known ones are checked. Parents define the order; contradicting children
//! are reported as notes. Memory is bounded by the size of the file and the limits below: lists are parsed in place.

use super::decimal::{Beyond, scaled};
use conductor_shared::http::MAX_NAME;
use conductor_shared::meter::{MAX_CLAIM_BYTES, MAX_CLAIM_US};
use conductor_shared::untrusted::escape;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::io::Read;
use std::path::Path;

/// Largest file of records, bytes.
pub const MAX_FILE: u64 = 256 * 1024 * 1024;
/// Maximum number of tasks in a record.
pub const MAX_TASKS: usize = 1_000_000;
/// Maximum number of files in a record.
pub const MAX_FILES: usize = 4_000_000;
/// Maximum number of edges between tasks in a record.
pub const MAX_EDGES: usize = 8_000_000;
/// The versions of the format. What a replay reads is the same in both.
pub const VERSIONS: [&str; 2] = ["1.5", "1.6"];

/// One task of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its id in the record: outside text.
    pub id: String,
    /// Recorded duration of the task, microseconds.
    pub duration_us: u64,
    /// Sum of its input files.
    pub bytes_in: u64,
    /// Sum of its output files.
    pub bytes_out: u64,
    /// Places of its parents in [`Workflow::tasks`], each once.
    pub parents: Vec<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workflow {
    /// Name in the record: outside text.
    pub name: String,
    /// In the order of the specification.
    pub tasks: Vec<Task>,
    /// Oddities that do not prevent a replay, escaped.
    pub notes: Vec<String>,
}

/// Exact sums over the tasks of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Sums {
    pub tasks: u64,
    /// Sum of their durations, microseconds.
    pub duration_us: u64,
    /// Bytes of their input files.
    pub bytes_in: u64,
    /// Bytes of their output files.
    pub bytes_out: u64,
}

impl Workflow {
    /// Sums over all tasks. They fit: the reader refuses records of which they would not.
    pub fn sums(&self) -> Sums {
        self.tasks.iter().fold(Sums::default(), |s, t| Sums {
            tasks: s.tasks + 1,
            duration_us: s.duration_us.saturating_add(t.duration_us),
            bytes_in: s.bytes_in.saturating_add(t.bytes_in),
            bytes_out: s.bytes_out.saturating_add(t.bytes_out),
        })
    }
}

/// Why a record cannot be replayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("{0}")]
    File(String),
    /// The file is too large.
    #[error("it has {size} bytes, and at most {MAX_FILE} are read: split the record")]
    Large { size: u64 },
    #[error("byte {0} is not UTF-8: WfFormat is JSON in UTF-8")]
    Utf8(usize),
    /// Not JSON, or a field of a wrong type.
    #[error("line {line}, column {column}: {why}")]
    Json {
        line: usize,
        column: usize,
        /// What is wrong, escaped.
        why: String,
    },
    /// Another version of the format.
    #[error(
        "schemaVersion is \"{0}\", and this reads {read}: {cure}",
        read = VERSIONS.join(" and "),
        cure = cure(.0)
    )]
    Version(String),
    /// It parses, but does not describe a run.
    #[error("{0}")]
    Record(String),
}

/// What mends a record of another version.
fn cure(version: &str) -> &'static str {
    match version {
        "1.0" | "1.1" | "1.2" | "1.3" | "1.4" => {
            "convert the record (WfCommons has a converter for older ones)"
        }
        _ => "have it written in one of these, or use a newer conductor if there is one that reads it",
    }
}

#[derive(Deserialize)]
struct Top<'a> {
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "schemaVersion")]
    version: Option<Cow<'a, str>>,
    #[serde(borrow)]
    workflow: &'a RawValue,
}

#[derive(Deserialize)]
struct RawWorkflow<'a> {
    #[serde(borrow)]
    specification: &'a RawValue,
    #[serde(borrow)]
    execution: &'a RawValue,
}

#[derive(Deserialize)]
struct Specification<'a> {
    #[serde(borrow)]
    tasks: &'a RawValue,
    #[serde(borrow, default)]
    files: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawExecution<'a> {
    #[serde(borrow)]
    tasks: &'a RawValue,
}

#[derive(Deserialize)]
struct TaskSpec<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    parents: &'a RawValue,
    #[serde(borrow, default)]
    children: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "inputFiles")]
    inputs: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "outputFiles")]
    outputs: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct FileSpec<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, rename = "sizeInBytes")]
    size: &'a RawValue,
}

#[derive(Deserialize)]
struct TaskRun<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, rename = "runtimeInSeconds")]
    runtime: &'a RawValue,
}

/// A string of JSON, borrowed where it has no escapes.
#[derive(Deserialize)]
struct JsonString<'a>(#[serde(borrow)] Cow<'a, str>);

/// Walks a list of JSON without collecting it.
struct Each<F>(F);

impl<'de, F> DeserializeSeed<'de> for Each<F>
where
    F: FnMut(&'de RawValue) -> Result<(), ReadError>,
{
    type Value = Result<(), ReadError>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_seq(self)
    }
}

impl<'de, F> Visitor<'de> for Each<F>
where
    F: FnMut(&'de RawValue) -> Result<(), ReadError>,
{
    type Value = Result<(), ReadError>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }
    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Self::Value, A::Error> {
        while let Some(raw) = seq.next_element::<&'de RawValue>()? {
            if let Err(e) = (self.0)(raw) {
                // The list stays half read, so the reader has to stop: the reason travels in the value.
                while seq.next_element::<serde::de::IgnoredAny>()?.is_some() {}
                return Ok(Err(e));
            }
        }
        Ok(Ok(()))
    }
}

/// The whole text, for places in it.
struct RecordReader<'a> {
    text: &'a str,
}

impl<'a> RecordReader<'a> {
    /// An error of JSON at its place in the whole text; `part` is a slice of it.
    fn at(&self, part: &str, e: &serde_json::Error) -> ReadError {
        let offset = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        let before = self.text.get(..offset).unwrap_or("");
        let lines = before.matches('\n').count();
        let in_line = before.rfind('\n').map_or(before.len(), |n| before.len() - n - 1);
        let column = if e.line() <= 1 { in_line + e.column().max(1) } else { e.column() };
        let message = e.to_string();
        // serde_json appends its own place, which is that in the part.
        let why = message.split(" at line ").next().unwrap_or("").to_owned();
        ReadError::Json { line: lines + e.line().max(1), column: column.max(1), why: escape(&why, 200) }
    }

    fn read<T: Deserialize<'a>>(&self, part: &'a str) -> Result<T, ReadError> {
        serde_json::from_str(part).map_err(|e| self.at(part, &e))
    }

    /// Reads an object. A list of the same values in order, which serde would take, is refused.
    fn object<T: Deserialize<'a>>(&self, part: &'a str) -> Result<T, ReadError> {
        if !part.trim_ascii_start().starts_with('{') {
            self.read::<serde::de::IgnoredAny>(part)?; // not even JSON
            return Err(self.at(part, &serde::de::Error::custom("expected an object")));
        }
        self.read(part)
    }

    fn each(
        &self,
        list: &'a RawValue,
        f: impl FnMut(&'a RawValue) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let mut d = serde_json::Deserializer::from_str(list.get());
        Each(f).deserialize(&mut d).map_err(|e| self.at(list.get(), &e))?
    }

    /// Walks a list of strings; an absent one is empty.
    fn words(
        &self,
        list: Option<&'a RawValue>,
        mut f: impl FnMut(Cow<'a, str>) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        match list {
            None => Ok(()),
            Some(list) => self.each(list, |raw| f(self.read::<JsonString<'a>>(raw.get())?.0)),
        }
    }
}

fn record(why: String) -> ReadError {
    ReadError::Record(why)
}

fn limit(what: &str, max: usize) -> ReadError {
    record(format!("it has more than {max} {what}: split the record"))
}

fn named(kind: &str, id: &str) -> String {
    format!("{kind} \"{}\"", escape(id, 80))
}

/// Reads a record from a file.
pub fn read_file(path: &Path) -> Result<Workflow, ReadError> {
    let err = |e: std::io::Error| ReadError::File(e.to_string());
    let meta = std::fs::metadata(path).map_err(err)?;
    if !meta.is_file() {
        return Err(ReadError::File("it is not a regular file".into()));
    }
    if meta.len() > MAX_FILE {
        return Err(ReadError::Large { size: meta.len() });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0) + 1);
    // It may grow while it is read.
    let file = std::fs::File::open(path).map_err(err)?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(err)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(ReadError::Large { size: bytes.len() as u64 });
    }
    read(&bytes)
}

pub fn read(bytes: &[u8]) -> Result<Workflow, ReadError> {
    let text = std::str::from_utf8(bytes).map_err(|e| ReadError::Utf8(e.valid_up_to()))?;
    let r = RecordReader { text };
    let top: Top<'_> = r.object(text)?;
    if let Some(v) = top.version.filter(|v| !VERSIONS.contains(&v.as_ref())) {
        return Err(ReadError::Version(escape(&v, 20)));
    }
    let parts: RawWorkflow<'_> = r.object(top.workflow.get())?;
    let specification: Specification<'_> = r.object(parts.specification.get())?;
    let execution: RawExecution<'_> = r.object(parts.execution.get())?;
    let sizes = file_sizes(&r, specification.files)?;
    let mut specs: Vec<TaskSpec<'_>> = vec![];
    let mut places: HashMap<Cow<'_, str>, u32> = HashMap::new();
    r.each(specification.tasks, |raw| {
        if specs.len() == MAX_TASKS {
            return Err(limit("tasks", MAX_TASKS));
        }
        let t: TaskSpec<'_> = r.object(raw.get())?;
        if t.id.is_empty() || t.id.len() > MAX_NAME {
            let what = named("task", &t.id);
            return Err(record(format!("{what}: an id has 1 to {MAX_NAME} bytes")));
        }
        let place = u32::try_from(specs.len()).map_err(|_| limit("tasks", MAX_TASKS))?;
        if places.insert(t.id.clone(), place).is_some() {
            return Err(record(format!("{} is specified twice: ids are unique", named("task", &t.id))));
        }
        specs.push(t);
        Ok(())
    })?;
    if specs.is_empty() {
        return Err(record("it has no tasks: there is nothing to replay".into()));
    }
    let durations = durations(&r, execution.tasks, &places, &specs)?;
    let (parents, notes) = edges(&r, &specs, &places)?;
    let mut tasks = Vec::with_capacity(specs.len());
    for ((t, duration_us), parents) in specs.iter().zip(durations).zip(parents) {
        let bytes_in = claimed(&r, &sizes, &t.id, t.inputs, "inputFiles")?;
        let bytes_out = claimed(&r, &sizes, &t.id, t.outputs, "outputFiles")?;
        tasks.push(Task { id: t.id.to_string(), duration_us, bytes_in, bytes_out, parents });
    }
    bounded_sums(&tasks)?;
    let name = top.name.map_or_else(|| "unnamed".to_owned(), Cow::into_owned);
    Ok(Workflow { name, tasks, notes })
}

/// Refuses a record whose sums would not fit: they are exact, or there are none.
fn bounded_sums(tasks: &[Task]) -> Result<(), ReadError> {
    for (what, of) in [
        ("durations", (|t| t.duration_us) as fn(&Task) -> u64),
        ("input bytes", |t| t.bytes_in),
        ("output bytes", |t| t.bytes_out),
    ] {
        let sum = tasks.iter().try_fold(0u64, |sum, t| sum.checked_add(of(t)));
        if sum.is_none_or(|s| i64::try_from(s).is_err()) {
            return Err(record(format!("the sum of its {what} is more than 64 bits hold: split the record")));
        }
    }
    Ok(())
}

type Sizes<'a> = HashMap<Cow<'a, str>, u64>;

fn file_sizes<'a>(r: &RecordReader<'a>, files: Option<&'a RawValue>) -> Result<Sizes<'a>, ReadError> {
    let mut sizes = HashMap::new();
    let Some(files) = files else { return Ok(sizes) };
    r.each(files, |raw| {
        if sizes.len() == MAX_FILES {
            return Err(limit("files", MAX_FILES));
        }
        let f: FileSpec<'a> = r.object(raw.get())?;
        let size = scaled(f.size.get(), 0, Beyond::Refuse, MAX_CLAIM_BYTES, "1 PiB")
            .map_err(|e| record(format!("{}: sizeInBytes {e}", named("file", &f.id))))?;
        if let Some(other) = sizes.insert(f.id.clone(), size)
            && other != size
        {
            return Err(record(format!("{} is listed twice, with different sizes", named("file", &f.id))));
        }
        Ok(())
    })?;
    Ok(sizes)
}

/// Recorded durations in the order of the specification.
fn durations<'a>(
    r: &RecordReader<'a>,
    list: &'a RawValue,
    places: &HashMap<Cow<'a, str>, u32>,
    specs: &[TaskSpec<'a>],
) -> Result<Vec<u64>, ReadError> {
    let mut found: Vec<Option<u64>> = vec![None; specs.len()];
    r.each(list, |raw| {
        let t: TaskRun<'a> = r.object(raw.get())?;
        let what = || named("task", &t.id);
        let place = places.get(&t.id).and_then(|p| found.get_mut(*p as usize));
        let Some(slot) = place else {
            return Err(record(format!("{} was executed and is not specified", what())));
        };
        let us = scaled(t.runtime.get(), 6, Beyond::Round, MAX_CLAIM_US, "366 days")
            .map_err(|e| record(format!("{}: runtimeInSeconds {e}", what())))?;
        if slot.replace(us).is_some() {
            return Err(record(format!("{} is executed twice: ids are unique", what())));
        }
        Ok(())
    })?;
    let checked = found.into_iter().zip(specs).map(|(us, t)| {
        us.ok_or_else(|| record(format!("{} has no record of its execution", named("task", &t.id))))
    });
    checked.collect()
}

type Edges = (Vec<Vec<u32>>, Vec<String>);

/// Parents of each task, and notes about children that say otherwise.
fn edges<'a>(
    r: &RecordReader<'a>,
    specs: &[TaskSpec<'a>],
    places: &HashMap<Cow<'a, str>, u32>,
) -> Result<Edges, ReadError> {
    let mut total = 0usize;
    let mut walk = |t: &TaskSpec<'a>, list: Option<&'a RawValue>, role: &str| {
        let mut out = vec![];
        r.words(list, |id| {
            total += 1;
            if total > 2 * MAX_EDGES {
                return Err(limit("edges", MAX_EDGES));
            }
            let place = places.get(&id).ok_or_else(|| {
                record(format!(
                    "{} names the {role} \"{}\", which is not specified",
                    named("task", &t.id),
                    escape(&id, 80)
                ))
            })?;
            out.push(*place);
            Ok(())
        })?;
        out.sort_unstable();
        out.dedup();
        Ok::<_, ReadError>(out)
    };
    let mut parents = Vec::with_capacity(specs.len());
    for t in specs {
        parents.push(walk(t, Some(t.parents), "parent")?);
    }
    let (mut odd, mut first) = (0usize, None);
    for (place, t) in specs.iter().enumerate() {
        if t.children.is_none() {
            continue;
        }
        for child in walk(t, t.children, "child")? {
            let known = parents
                .get(child as usize)
                .is_some_and(|p| u32::try_from(place).is_ok_and(|place| p.binary_search(&place).is_ok()));
            if !known {
                odd += 1;
                first.get_or_insert_with(|| named("task", &t.id));
            }
        }
    }
    let notes = first
        .map(|f| format!("{odd} children are not confirmed by parents, the first at {f}: parents count"));
    Ok((parents, notes.into_iter().collect()))
}

fn claimed<'a>(
    r: &RecordReader<'a>,
    sizes: &Sizes<'a>,
    task: &str,
    list: Option<&'a RawValue>,
    role: &str,
) -> Result<u64, ReadError> {
    let mut sum = 0u64;
    r.words(list, |id| {
        let size = sizes.get(&id).ok_or_else(|| {
            record(format!(
                "{}: {role} names \"{}\", which is not among the files",
                named("task", task),
                escape(&id, 80)
            ))
        })?;
        sum = sum.saturating_add(*size);
        if sum > MAX_CLAIM_BYTES {
            return Err(record(format!("{}: {role} sum to more than 1 PiB", named("task", task))));
        }
        Ok(())
    })?;
    Ok(sum)
}
