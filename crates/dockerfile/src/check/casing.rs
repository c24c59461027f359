//! Upper and lower case of keywords and names.

use crate::{ast::Word, span::Span};

use super::{model::Model, report::Report, rules::Id};

/// Runs the rules of this family.
pub(super) fn check(model: &Model<'_>, report: &mut Report) {
    for stage in &model.stages {
        let from = &stage.stage.from;
        if let Some(alias) = &from.alias
            && alias.text != alias.text.to_lowercase()
        {
            let message = format!("stage name `{}` should be lowercase", alias.text);
            let help = format!(
                "write `{}`; `FROM` finds a stage only by its name in lowercase",
                alias.text.to_lowercase()
            );
            report.push(&from.comments, Id::StageNameCasing.finding(alias.span, message).help(help));
        }
        if let (Some(keyword), Some(case)) = (&from.as_keyword, case(&from.keyword.text))
            && keyword.text != case.apply(&keyword.text)
        {
            let message = format!("`{}` and `{}` are not in the same case", from.keyword.text, keyword.text);
            let help = format!("write `{}`", case.apply(&keyword.text));
            report.push(&from.comments, Id::FromAsCasing.finding(keyword.span, message).help(help));
        }
    }
    consistency(model, report);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Lower,
    Upper,
}

impl Case {
    fn apply(self, text: &str) -> String {
        match self {
            Self::Lower => text.to_lowercase(),
            Self::Upper => text.to_uppercase(),
        }
    }
}

/// Returns a keyword's case, or nothing where it is mixed.
fn case(text: &str) -> Option<Case> {
    if text == text.to_lowercase() {
        Some(Case::Lower)
    } else if text == text.to_uppercase() {
        Some(Case::Upper)
    } else {
        None
    }
}

/// Instructions are counted by case; what is not in the majority's case is reported. Arguments above the first FROM do not count, as in BuildKit.
fn consistency(model: &Model<'_>, report: &mut Report) {
    let keywords: Vec<(&Word, &[Word])> = model
        .stages
        .iter()
        .flat_map(|stage| {
            let from = (&stage.stage.from.keyword, stage.stage.from.comments.as_slice());
            std::iter::once(from)
                .chain(stage.stage.instructions.iter().map(|i| (&i.keyword, i.comments.as_slice())))
        })
        .collect();
    let count = |wanted| keywords.iter().filter(|(keyword, _)| case(&keyword.text) == Some(wanted)).count();
    let (wanted, name) = if count(Case::Lower) > count(Case::Upper) {
        (Case::Lower, "lowercase")
    } else {
        (Case::Upper, "uppercase")
    };
    for (keyword, comments) in keywords {
        let right = wanted.apply(&keyword.text);
        if keyword.text != right {
            let message =
                format!("`{}` should be {name}, as most instructions of this file are", keyword.text);
            let span: Span = keyword.span;
            report.push(
                comments,
                Id::ConsistentInstructionCasing.finding(span, message).help(format!("write `{right}`")),
            );
        }
    }
}
