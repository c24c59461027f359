//! The instructions by name.

/// An instruction's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
}

/// Every name, the common ones first.
const TABLE: [(&str, Keyword); 18] = [
    ("RUN", Keyword::Run),
    ("COPY", Keyword::Copy),
    ("ENV", Keyword::Env),
    ("FROM", Keyword::From),
    ("ARG", Keyword::Arg),
    ("WORKDIR", Keyword::Workdir),
    ("LABEL", Keyword::Label),
    ("ADD", Keyword::Add),
    ("CMD", Keyword::Cmd),
    ("USER", Keyword::User),
    ("EXPOSE", Keyword::Expose),
    ("ENTRYPOINT", Keyword::Entrypoint),
    ("VOLUME", Keyword::Volume),
    ("HEALTHCHECK", Keyword::Healthcheck),
    ("SHELL", Keyword::Shell),
    ("ONBUILD", Keyword::Onbuild),
    ("STOPSIGNAL", Keyword::StopSignal),
    ("MAINTAINER", Keyword::Maintainer),
];

impl Keyword {
    /// Finds an instruction by its name in any case.
    pub(crate) fn find(name: &str) -> Option<Self> {
        TABLE.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, keyword)| *keyword)
    }

    /// Returns the name in capitals.
    pub(crate) fn name(self) -> &'static str {
        TABLE.iter().find(|(_, keyword)| *keyword == self).map_or("", |(name, _)| name)
    }

    /// Returns all names.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        TABLE.iter().map(|(name, _)| *name)
    }

    /// Tells whether here-documents can follow.
    pub(crate) fn takes_heredocs(self) -> bool {
        matches!(self, Self::Add | Self::Copy | Self::Run)
    }
}

/// Tells whether a physical line plainly starts with an instruction in capitals.
pub(crate) fn starts_instruction(line: &str) -> bool {
    let end = line.find(|c: char| !c.is_ascii_uppercase()).unwrap_or(line.len());
    line[end..].starts_with([' ', '\t']) && Keyword::find(&line[..end]).is_some()
}
