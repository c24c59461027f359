//! `RUN --mount`: from comma-separated fields to a typed mount.
//!
//! Values can hold variables that only the planner knows. Such a mount is checked as far as it can be; after expansion
//! [`expanded`] makes it again, and then every rule holds.

use std::borrow::Cow;

use crate::{
    ast::{Mount, MountField, MountKind, Word},
    csv::{self, CsvError},
    diagnostic::Diagnostic,
    flags::Flag,
    span::Span,
    suggest::{nearest, shown},
    words::RawFlag,
};

const KINDS: [(&str, MountKind); 5] = [
    ("bind", MountKind::Bind),
    ("cache", MountKind::Cache),
    ("tmpfs", MountKind::Tmpfs),
    ("secret", MountKind::Secret),
    ("ssh", MountKind::Ssh),
];

const SHARING: [&str; 3] = ["shared", "private", "locked"];

/// Every key, the full names first: a suggestion takes the first of two that are equally near.
const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "env",
    "destination",
    "readwrite",
    "src",
    "dst",
    "ro",
    "rw",
];

impl MountKind {
    /// Returns the name as it stands after `type=`.
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    fn has_owner(self) -> bool {
        matches!(self, Self::Cache | Self::Secret | Self::Ssh)
    }
}

/// Makes the mount again with its values expanded; `from` is never expanded.
///
/// # Errors
/// Whatever `expand` returns; what is wrong with the expanded mount is in the diagnostics.
pub fn expanded<E>(
    mount: &Mount,
    mut expand: impl FnMut(&Word) -> Result<String, E>,
) -> Result<(Mount, Vec<Diagnostic>), E> {
    if mount.fields.is_empty() {
        return Ok((mount.clone(), vec![]));
    }
    let mut fields = Vec::with_capacity(mount.fields.len());
    for MountField { key, value } in &mount.fields {
        let value = match value {
            Some(word) if !key.text.eq_ignore_ascii_case("from") => {
                Some(Word { text: expand(word)?, span: word.span })
            }
            value => value.clone(),
        };
        fields.push(Field { key: Cow::Borrowed(&key.text), span: key.span, value });
    }
    let mut diagnostics = vec![];
    let made = Builder::build(fields, mount.span, false, &mut diagnostics);
    Ok((Mount { fields: mount.fields.clone(), ..made }, diagnostics))
}

/// Parses the size of a tmpfs: a number and a unit with 1024 as its base, `64m`, `1.5GiB`.
pub fn parse_size(text: &str) -> Option<u64> {
    let number_end = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')? + 1;
    let (number, unit) = text.split_at(number_end);
    let number = number.strip_suffix(' ').unwrap_or(number);
    let amount: f64 = number.parse().ok().filter(|amount| *amount >= 0.0)?;
    let unit = unit.to_ascii_lowercase();
    let power = match unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit) {
        "" if unit == "ib" => return None,
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    #[allow(clippy::cast_sign_loss)]
    Some((amount * 1024f64.powi(power)) as u64)
}

/// Reads a `--mount` flag.
pub(crate) fn read(flag: &Flag<'_>, diagnostics: &mut Vec<Diagnostic>) -> Mount {
    let span = flag.span();
    let fields = match fields(flag.raw, flag.value) {
        Ok(fields) => fields,
        Err(error) => {
            diagnostics.push(csv_error("--mount", flag, error));
            return Mount { span, ..Mount::default() };
        }
    };
    let expands = flag.raw.text[flag.value..].contains(['$', '\'', '"', '\\', '`']);
    let kept = if expands { fields.iter().map(Field::kept).collect() } else { vec![] };
    Mount { fields: kept, ..Builder::build(fields, span, true, diagnostics) }
}

/// Explains a value that cannot be cut at its commas.
pub(crate) fn csv_error(name: &str, flag: &Flag<'_>, error: CsvError) -> Diagnostic {
    let at = match error {
        CsvError::Empty => flag.span(),
        CsvError::BareQuote(at) | CsvError::Quote(at) => flag.raw.span(flag.value + at, flag.value + at + 1),
    };
    let help = match error {
        CsvError::Empty => "write its fields after `=`, separated by commas",
        _ => "quote the whole field, and quote the flag's value once more for the parser: '\"source=a,b\"'",
    };
    Diagnostic::error("invalid-fields", at, format!("cannot read the fields of `{name}`: {error}")).help(help)
}

/// A field while it is read.
struct Field<'a> {
    key: Cow<'a, str>,
    span: Span,
    value: Option<Word>,
}

impl Field<'_> {
    /// Makes the node of the syntax tree.
    fn kept(&self) -> MountField {
        let key = Word { text: self.key.as_ref().to_owned(), span: self.span };
        MountField { key, value: self.value.clone() }
    }
}

fn fields<'a>(raw: &'a RawFlag<'_>, start: usize) -> Result<Vec<Field<'a>>, CsvError> {
    let line = &raw.text[start..];
    let fields = csv::fields(line)?.into_iter().map(|field| {
        let whole = raw.span(start + field.start, start + field.end);
        match (field.text.find('='), field.text) {
            (None, text) => Field { key: text, span: whole, value: None },
            (Some(at), Cow::Borrowed(text)) => Field {
                key: Cow::Borrowed(&text[..at]),
                span: raw.span(start + field.start, start + field.start + at),
                value: Some(raw.word(start + field.start + at + 1, start + field.end)),
            },
            // Of a quoted field, the parts have no place of their own.
            (Some(at), Cow::Owned(text)) => Field {
                key: Cow::Owned(text[..at].to_owned()),
                span: whole,
                value: Some(Word { text: text[at + 1..].to_owned(), span: whole }),
            },
        }
    });
    Ok(fields.collect())
}

/// Takes fields one by one, as the order of keys matters.
struct Builder<'d> {
    mount: Mount,
    /// The type is a variable that is not known yet.
    kind_open: bool,
    kind_span: Option<Span>,
    /// Values can still hold variables.
    open: bool,
    diagnostics: &'d mut Vec<Diagnostic>,
}

impl Builder<'_> {
    fn build(fields: Vec<Field<'_>>, span: Span, open: bool, diagnostics: &mut Vec<Diagnostic>) -> Mount {
        let mount = Mount { span, ..Mount::default() };
        let mut builder = Builder { mount, kind_open: false, kind_span: None, open, diagnostics };
        for field in fields {
            builder.field(field);
        }
        builder.check();
        builder.mount
    }

    /// Tells whether a value has to wait for its variables.
    fn waits(&self, value: &Word) -> bool {
        self.open && value.text.contains('$')
    }

    fn field(&mut self, field: Field<'_>) {
        let lower = field.key.bytes().any(|b| !b.is_ascii_lowercase()).then(|| field.key.to_lowercase());
        let key = lower.as_deref().unwrap_or(&field.key);
        let Some(value) = field.value else {
            match key {
                "readonly" | "ro" => self.mount.readonly = Some(true),
                "readwrite" | "rw" => self.mount.readonly = Some(false),
                "required" if self.needs(key, field.span, &[MountKind::Secret, MountKind::Ssh]) => {
                    self.mount.required = Some(true);
                }
                "required" => {}
                known if KEYS.contains(&known) => {
                    let message = format!("the mount key `{known}` needs a value");
                    let help = format!("write `{known}=<value>`");
                    self.diagnostics.push(Diagnostic::error("mount-value", field.span, message).help(help));
                }
                _ => self.unknown_key(&field.key, field.span),
            }
            return;
        };
        let slot = match key {
            "type" => return self.kind(&value),
            "from" => return self.from(value),
            "readonly" | "ro" => return self.mount.readonly = self.bool(key, &value),
            "readwrite" | "rw" => return self.mount.readonly = self.bool(key, &value).map(|rw| !rw),
            "required" => {
                if self.needs(key, field.span, &[MountKind::Secret, MountKind::Ssh]) {
                    self.mount.required = self.bool(key, &value);
                }
                return;
            }
            "sharing" => return self.sharing(value),
            "size" => {
                if self.needs(key, field.span, &[MountKind::Tmpfs]) {
                    self.value_if(parse_size, "size", "a number and a unit, such as `64m`", &value);
                    self.mount.size = Some(value);
                }
                return;
            }
            "mode" => {
                let octal = |text: &str| unsigned(text, 8);
                self.value_if(octal, "mode", "an octal number, such as `0755`", &value);
                &mut self.mount.mode
            }
            "uid" | "gid" => {
                let decimal = |text: &str| unsigned(text, 10);
                self.value_if(decimal, key, "a number; names are not looked up here", &value);
                if key == "uid" { &mut self.mount.uid } else { &mut self.mount.gid }
            }
            "source" | "src" => &mut self.mount.source,
            "target" | "dst" | "destination" => &mut self.mount.target,
            "id" => &mut self.mount.id,
            "env" => &mut self.mount.env,
            _ => return self.unknown_key(&field.key, field.span),
        };
        *slot = Some(value);
    }

    fn kind(&mut self, value: &Word) {
        self.kind_open = self.waits(value);
        self.kind_span = Some(value.span);
        if self.kind_open {
            return;
        }
        if let Some((_, kind)) = KINDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(&value.text)) {
            self.mount.kind = *kind;
            return;
        }
        // What follows may be right for the type that was meant.
        self.kind_open = true;
        let names = KINDS.map(|(name, _)| name);
        let help = one_of(&value.text, &names);
        let message = format!("there is no mount type `{}`", shown(&value.text));
        self.diagnostics.push(Diagnostic::error("mount-type", value.span, message).help(help));
    }

    fn from(&mut self, value: Word) {
        // A lone `$` at the very end is no variable.
        if value.text.find('$').is_some_and(|at| at + 1 != value.text.len()) {
            let message = "`from` of a mount cannot hold a variable";
            let help = "name the stage with `FROM $VARIABLE AS name` above, and write `from=name`";
            self.diagnostics.push(Diagnostic::error("mount-from-variable", value.span, message).help(help));
        }
        self.mount.from = Some(value);
    }

    fn sharing(&mut self, value: Word) {
        let known = SHARING.iter().find(|known| known.eq_ignore_ascii_case(&value.text));
        if known.is_none() && !self.waits(&value) {
            let help = one_of(&value.text, &SHARING);
            let message = format!("`{}` is no way of sharing a cache", shown(&value.text));
            self.diagnostics.push(Diagnostic::error("mount-sharing", value.span, message).help(help));
        }
        let text = known.map_or(value.text, |known| (*known).to_owned());
        self.mount.sharing = Some(Word { text, span: value.span });
    }

    fn bool(&mut self, key: &str, value: &Word) -> Option<bool> {
        let read = match value.text.as_str() {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
            _ => None,
        };
        if read.is_none() && !self.waits(value) {
            let message = format!("`{key}` of a mount is true or false, not `{}`", shown(&value.text));
            let help = format!("write `{key}` or `{key}=false`");
            self.diagnostics.push(Diagnostic::error("mount-value", value.span, message).help(help));
        }
        read
    }

    fn value_if<T>(&mut self, parse: impl Fn(&str) -> Option<T>, key: &str, wanted: &str, value: &Word) {
        if parse(&value.text).is_none() && !self.waits(value) {
            let message = format!("`{}` is not valid for the mount key `{key}`", shown(&value.text));
            self.diagnostics
                .push(Diagnostic::error("mount-value", value.span, message).help(format!("write {wanted}")));
        }
    }

    /// Tells whether a key is allowed with the type given so far.
    fn needs(&mut self, key: &str, span: Span, kinds: &[MountKind]) -> bool {
        if self.kind_open || kinds.contains(&self.mount.kind) {
            return true;
        }
        let wanted: Vec<String> = kinds.iter().map(|kind| format!("`type={}`", kind.name())).collect();
        let message = format!("the mount key `{key}` does not go with type `{}`", self.mount.kind.name());
        let help = if self.kind_span.is_some() {
            format!("it belongs to {}", wanted.join(" and "))
        } else {
            format!("it belongs to {}; `type=` must stand before it", wanted.join(" and "))
        };
        self.diagnostics.push(Diagnostic::error("mount-key-of-other-type", span, message).help(help));
        false
    }

    fn unknown_key(&mut self, key: &str, span: Span) {
        let diagnostic =
            Diagnostic::error("unknown-mount-key", span, format!("a mount has no key `{}`", shown(key)));
        self.diagnostics.push(match nearest(key, KEYS) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic.help(format!("the keys are {}", KEYS.join(", "))),
        });
    }

    /// Checks what depends on all fields together.
    fn check(&mut self) {
        if self.kind_open {
            return;
        }
        let Mount { kind, span, .. } = self.mount;
        if !kind.has_owner() {
            let owners = [("mode", &self.mount.mode), ("uid", &self.mount.uid), ("gid", &self.mount.gid)];
            for (key, word) in owners {
                if let Some(word) = word {
                    let message = format!("the mount key `{key}` does not go with type `{}`", kind.name());
                    self.diagnostics.push(
                        Diagnostic::error("mount-key-of-other-type", word.span, message)
                            .help("it belongs to `type=cache`, `type=secret` and `type=ssh`"),
                    );
                }
            }
        }
        let filled = |word: &Option<Word>| word.as_ref().is_some_and(|word| !word.text.is_empty());
        if kind != MountKind::Cache
            && let Some(sharing) = self.mount.sharing.as_ref().filter(|word| !word.text.is_empty())
        {
            let message = format!("the mount key `sharing` does not go with type `{}`", kind.name());
            self.diagnostics.push(
                Diagnostic::error("mount-key-of-other-type", sharing.span, message)
                    .help("it belongs to `type=cache`"),
            );
        }
        if kind == MountKind::Secret {
            if let Some(from) = self.mount.from.as_ref().filter(|word| !word.text.is_empty()) {
                self.diagnostics.push(
                    Diagnostic::error("mount-key-of-other-type", from.span, "a secret mount has no `from`")
                        .help("a secret comes from the build's secrets; name it with `id=`"),
                );
            }
            if !filled(&self.mount.source) && !filled(&self.mount.target) && !filled(&self.mount.id) {
                self.diagnostics.push(
                    Diagnostic::error("mount-secret", span, "this secret mount names no secret")
                        .help("add `id=<name of the secret>`"),
                );
            }
            if filled(&self.mount.source)
                && let Some(id) = self.mount.id.as_ref().filter(|word| !word.text.is_empty())
            {
                self.diagnostics.push(
                    Diagnostic::error(
                        "mount-secret",
                        id.span,
                        "`source` and `id` of a secret mount mean the same",
                    )
                    .help("keep `id=`"),
                );
            }
        }
        if matches!(kind, MountKind::Bind | MountKind::Cache | MountKind::Tmpfs) {
            self.check_target();
        }
    }

    /// The root of the container cannot be mounted over.
    fn check_target(&mut self) {
        let Some(target) = &self.mount.target else { return };
        let is_root =
            target.text.starts_with('/') && target.text.split('/').all(|part| matches!(part, "" | "."));
        if is_root {
            self.diagnostics.push(
                Diagnostic::error("mount-target", target.span, "a mount cannot stand at `/`")
                    .help("mount it at a directory below"),
            );
        }
    }
}

fn unsigned(text: &str, radix: u32) -> Option<u32> {
    u32::from_str_radix(text, radix).ok().filter(|_| !text.starts_with('+'))
}

/// Suggests the nearest of a few names, or lists them.
pub(crate) fn one_of(word: &str, names: &[&'static str]) -> String {
    match nearest(word, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("write one of {}", names.join(", ")),
    }
}
