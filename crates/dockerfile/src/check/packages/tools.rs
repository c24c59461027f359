//! Compilers and their friends in the image.

use super::super::{
    model::{Base, Model, Step},
    reference::Reference,
    report::Report,
    rules::Id,
    shell::Command,
};

/// Packages that only builds need, under the names of the common distributions.
const TOOLS: [&str; 33] = [
    "autoconf",
    "automake",
    "binutils",
    "build-base",
    "build-essential",
    "cargo",
    "clang",
    "cmake",
    "default-jdk",
    "g++",
    "gcc",
    "gcc-c++",
    "go",
    "golang",
    "golang-go",
    "gradle",
    "libc-dev",
    "libc6-dev",
    "libtool",
    "llvm",
    "make",
    "maven",
    "meson",
    "musl-dev",
    "ninja-build",
    "pkg-config",
    "pkgconf",
    "python3-dev",
    "rust",
    "rustc",
    "@development-tools",
    "development-tools",
    "alpine-sdk",
];

/// Images that are a toolchain.
const TOOLCHAINS: [&str; 15] = [
    "golang",
    "rust",
    "gcc",
    "maven",
    "gradle",
    "composer",
    "haskell",
    "swift",
    "elixir",
    "erlang",
    "dart",
    "sbt",
    "buildpack-deps",
    "emsdk",
    "zig",
];

/// Looks for them in the image's layers and in its base.
pub(super) fn check(model: &Model<'_>, report: &mut Report) {
    for (_, step) in model.shipped_steps() {
        if let Some((command, tools)) = installed(step) {
            let span = step.command_span(model.source(), command);
            let message =
                format!("{} {} in the image", list(&tools), if tools.len() == 1 { "stays" } else { "stay" });
            let help = "build in a stage of its own and copy the result, or remove them in the same RUN";
            report.push(
                &step.instruction.comments,
                Id::BuildToolsInFinalStage.finding(span, message).help(help),
            );
        }
    }
    for (stage, _) in model.stages.iter().zip(&model.shipped).filter(|(_, shipped)| **shipped) {
        let (Base::Image, Some(image)) = (stage.base, &stage.image) else { continue };
        if is_toolchain(&image.text) {
            let from = &stage.stage.from;
            let message = format!("the image is built on `{}`, a toolchain", image.text);
            let help = "let this be a build stage, and copy what it makes into a small base";
            report.push(
                &from.comments,
                Id::BuildToolsInFinalStage.finding(from.image.span, message).help(help),
            );
        }
    }
}

/// Returns the first command of a RUN that installs tools which the same RUN does not remove.
fn installed<'s>(step: &'s Step<'_>) -> Option<(&'s Command, Vec<&'s str>)> {
    let removes = |command: &Command| {
        let verbs = ["purge", "remove", "autoremove", "del", "erase", "rm"];
        is_system_manager(command) && command.operands().next().is_some_and(|verb| verbs.contains(&verb))
    };
    for (at, command) in step.commands.iter().enumerate() {
        let mut operands = command.operands();
        let installs =
            operands.next().is_some_and(|verb| matches!(verb, "install" | "add" | "in" | "groupinstall"));
        if !is_system_manager(command) || !installs {
            continue;
        }
        let tools: Vec<&str> = operands.filter(|package| TOOLS.contains(&name(package))).collect();
        if !tools.is_empty() && !step.commands[at..].iter().any(removes) {
            return Some((command, tools));
        }
    }
    None
}

fn is_system_manager(command: &Command) -> bool {
    matches!(
        command.program(),
        "apt-get" | "apt" | "aptitude" | "apk" | "dnf" | "dnf5" | "microdnf" | "yum" | "tdnf" | "zypper"
    )
}

/// Returns a package's name without the version that is asked for.
fn name(package: &str) -> &str {
    package.split(['=', '<', '>', '~']).next().unwrap_or(package)
}

fn is_toolchain(image: &str) -> bool {
    let Some(reference) = Reference::parse(image) else { return false };
    let path = reference.path();
    let jdk = matches!(path, "openjdk" | "eclipse-temurin" | "amazoncorretto")
        && !reference.tag.unwrap_or_default().contains("jre")
        && reference.tag.is_some_and(|tag| tag.contains("jdk"));
    TOOLCHAINS.contains(&path) || path == "dotnet/sdk" || jdk
}

fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [all @ .., last] if !all.is_empty() => format!("{} and {last}", all.join(", ")),
        _ => quoted.join(""),
    }
}
