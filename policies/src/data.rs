//! Data files of a bundle: `data.json`, `data.yaml` or `data.yml`. As in OPA, the folder gives the path below `data`.

use crate::error::BundleError;
use crate::names::{ROOT, is_data};
use regorus::Value;
use std::collections::BTreeMap;

/// The data of a bundle, merged.
pub(crate) struct Data {
    document: Value,
}

impl Data {
    /// Merges the data files among these files.
    pub(crate) fn of(files: &BTreeMap<String, String>) -> Result<Self, BundleError> {
        let mut all = regorus::Engine::new();
        for (name, text) in files.iter().filter(|(n, _)| is_data(n)) {
            let wrong = |detail: String| BundleError::Rego { file: name.clone(), detail };
            #[allow(clippy::case_sensitive_file_extension_comparisons)] // data files have no other names
            let json = name.ends_with(".json");
            let read = if json { Value::from_json_str(text) } else { Value::from_yaml_str(text) };
            let mut value = read.map_err(|e| wrong(format!("{e:#}")))?;
            if value.as_object().is_err() {
                return Err(wrong("data is an object, and this is none".into()));
            }
            for folder in name.split('/').rev().skip(1) {
                let mut above = Value::new_object();
                let fields = above.as_object_mut().map_err(|e| wrong(e.to_string()))?;
                fields.insert(Value::from(folder), value);
                value = above;
            }
            for key in value.as_object().map_err(|e| wrong(e.to_string()))?.keys() {
                let key = key.as_string().map_or_else(|_| key.to_string(), ToString::to_string);
                if key != ROOT {
                    let detail = format!(
                        "data.{key}: all data of a bundle stands under conductor, as its packages do; move the file to conductor/{name}, or put its content under \"conductor\" (opa build takes every .json file unless it is given -b)"
                    );
                    return Err(wrong(detail));
                }
            }
            all.add_data(value).map_err(|e| wrong(format!("{e:#}")))?;
        }
        Ok(Self { document: all.get_data() })
    }

    /// Wraps one document, whatever its path.
    #[cfg(test)]
    pub(crate) fn any(document: Value) -> Self {
        Self { document }
    }

    /// The merged document, as JSON.
    pub(crate) fn in_root(&self) -> Result<String, BundleError> {
        let under = self.document.as_object().ok().and_then(|o| o.get(&Value::from(ROOT)));
        let written = under.map_or_else(|| Ok("{}".to_owned()), Value::to_json_str);
        written.map_err(|e| BundleError::Senseless(format!("{e:#}")))
    }

    pub(crate) fn document(&self) -> Value {
        self.document.clone()
    }
}
