//! YAML and JSON files, read without rounding a number.

mod positions;
mod yaml;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use statusguard_policy::Value;

pub use self::positions::{DuplicateKey, SourceMap};
pub use self::yaml::{Position, SyntaxError, parse};

/// Bytes that one file may have: more than all CRDs of a cluster.
const MAX_FILE: u64 = 64 << 20;

/// Why a file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system said no.
    #[error("cannot read {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What it said.
        #[source]
        source: std::io::Error,
    },
    /// Neither YAML nor JSON.
    #[error("{}: {problem}", file.display())]
    Parse {
        /// The file.
        file: PathBuf,
        /// What is wrong, and where.
        problem: SyntaxError,
    },
    /// A document that is something else than what was asked for.
    #[error("{}: {reason}; {hint}", file.display())]
    Unfit {
        /// The file.
        file: PathBuf,
        /// What is wrong, with the path in the document.
        reason: String,
        /// What to do.
        hint: String,
    },
}

impl Error {
    /// What is wrong, without the file's name, and what to do.
    #[must_use]
    pub fn parts(&self) -> (String, String) {
        match self {
            Self::Read { source, .. } => (format!("cannot be read: {source}"), "name a file that is there".into()),
            Self::Parse { problem, .. } => (problem.message.clone(), problem.hint.into()),
            Self::Unfit { reason, hint, .. } => (reason.clone(), hint.clone()),
        }
    }

    /// Where in the file, if that is known.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Parse { problem, .. } => problem.position,
            Self::Read { .. } | Self::Unfit { .. } => None,
        }
    }

    /// An [`Error::Unfit`].
    pub fn unfit(file: &Path, reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Unfit { file: file.into(), reason: reason.into(), hint: hint.into() }
    }
}

/// All documents of a file that are not empty; `-` is standard input. A file that is one JSON text is read as JSON.
///
/// # Errors
/// [`Error::Read`] and [`Error::Parse`].
pub fn read(file: &Path) -> Result<Vec<Value<'static>>, Error> {
    documents(file, &content(file)?)
}

/// What is in a file; `-` is standard input.
///
/// # Errors
/// [`Error::Read`], and [`Error::Unfit`] for a file that is too large.
pub fn content(file: &Path) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(MAX_FILE + 1).read_to_end(&mut content)
    } else {
        std::fs::File::open(file).and_then(|opened| opened.take(MAX_FILE + 1).read_to_end(&mut content))
    };
    read.map_err(|source| Error::Read { file: file.into(), source })?;
    if content.len() as u64 > MAX_FILE {
        let reason = format!("the file is larger than {} MiB", MAX_FILE >> 20);
        return Err(Error::unfit(file, reason, "split it, or name the file that is meant"));
    }
    Ok(content)
}

/// The text of a file's content.
///
/// # Errors
/// [`Error::Parse`] when it is not UTF-8.
pub fn text<'c>(file: &Path, content: &'c [u8]) -> Result<&'c str, Error> {
    let wrap = |message: String| {
        let problem = SyntaxError::new(message, "save the file as UTF-8", None);
        Error::Parse { file: file.into(), problem }
    };
    match content {
        // A mark, or two bytes for a character of ASCII.
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] => Err(wrap("the text is UTF-16".into())),
        content => std::str::from_utf8(content)
            .map_err(|error| wrap(format!("the text is not UTF-8 from byte {} on", error.valid_up_to()))),
    }
}

/// As [`read`], of a file whose content was read already.
///
/// # Errors
/// [`Error::Parse`].
pub fn documents(file: &Path, content: &[u8]) -> Result<Vec<Value<'static>>, Error> {
    parse(text(file, content)?).map_err(|problem| Error::Parse { file: file.into(), problem })
}

/// The only document of a file.
///
/// # Errors
/// As [`read`], and [`Error::Unfit`] when there is not exactly one.
pub fn read_one(file: &Path) -> Result<Value<'static>, Error> {
    one(file, read(file)?)
}

/// The only one of a file's documents.
///
/// # Errors
/// [`Error::Unfit`] when there is not exactly one.
pub fn one(file: &Path, mut documents: Vec<Value<'static>>) -> Result<Value<'static>, Error> {
    match (documents.pop(), documents.len()) {
        (Some(document), 0) => Ok(document),
        (None, _) => Err(Error::unfit(file, "the file is empty", "it should hold one document")),
        (Some(_), others) => {
            Err(Error::unfit(file, format!("the file holds {} documents", others + 1), "it should hold one"))
        }
    }
}

/// The only document of a file, which is to be one Kubernetes object.
///
/// # Errors
/// As [`read_one`], and [`Error::Unfit`] when it is something else.
pub fn read_object(file: &Path) -> Result<Value<'static>, Error> {
    let document = read_one(file)?;
    match not_an_object(&document) {
        None => Ok(document),
        Some((reason, hint)) => Err(Error::unfit(file, reason, hint)),
    }
}

/// What keeps a value from being one Kubernetes object, and a hint. Judged as one it would have no
/// status, and so nothing that could be lost.
pub fn not_an_object(value: &Value<'_>) -> Option<(&'static str, &'static str)> {
    let Value::Object(_) = value else {
        return Some(("not an object", "give one Kubernetes object, as `kubectl get KIND NAME -o yaml` prints it"));
    };
    match (value.get("kind"), value.get("items")) {
        (Value::String(kind), Value::List(_)) if kind.ends_with("List") => {
            Some(("a list of objects", "name one object: `kubectl get KIND NAME -o yaml`"))
        }
        _ => None,
    }
}

/// The files that a name stands for: itself, or those of a folder that end in `.yaml`, `.yml`
/// or `.json`, sorted; with `deep` also those of the folders inside, without links to folders.
///
/// # Errors
/// [`Error::Read`].
pub fn files(name: &Path, deep: bool) -> Result<Vec<PathBuf>, Error> {
    if !name.is_dir() {
        return Ok(vec![name.into()]);
    }
    let wrap = |source| Error::Read { file: name.into(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(name).map_err(wrap)? {
        let entry = entry.map_err(wrap)?;
        let path = entry.path();
        let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if path.is_dir() {
            // A link may lead back up. Those of mounted ConfigMaps lead to files.
            if deep && !entry.file_type().map_err(wrap)?.is_symlink() {
                found.extend(files(&path, deep)?);
            }
        } else if path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The serde form of a value. Numbers beyond what serde_json holds are rounded: for policies,
/// not for status.
///
/// # Errors
/// Never for a value that was parsed.
pub fn json(value: &Value<'_>) -> Result<serde_json::Value, serde_json::Error> {
    serde_json::from_str(&value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_utf_8_is_read() {
        let file = Path::new("f");
        let said = |content: &[u8]| documents(file, content).unwrap_err().to_string();
        for utf_16 in [&b"\xff\xfea\0"[..], b"\xfe\xff\0a", b"a\0:\0", b"\0a\0:"] {
            assert_eq!(said(utf_16), "f: the text is UTF-16; save the file as UTF-8");
        }
        assert_eq!(said(b"a: \xff"), "f: the text is not UTF-8 from byte 3 on; save the file as UTF-8");
        // A mark of UTF-8 is not part of the text.
        let Err(Error::Parse { problem, .. }) = documents(file, "\u{feff}a: .nan".as_bytes()) else {
            unreachable!("has no JSON form")
        };
        assert_eq!(problem.position, Some(Position { line: 1, column: 4 }));
        for text in ["\u{feff}a: 1", "\u{feff}{\"a\": 1}"] {
            assert_eq!(documents(file, text.as_bytes()).unwrap()[0].to_string(), r#"{"a":1}"#);
        }
    }
}
