//! The package managers of programming languages: which command installs a project's dependencies, and whether those for development come along.

use super::super::{model::Step, shell::Command};

/// A package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::check) enum Manager {
    Npm,
    Yarn,
    Pnpm,
    Pip,
    Poetry,
    Uv,
    Pipenv,
    Go,
    Cargo,
    Composer,
    Bundler,
    Maven,
    Gradle,
    Dotnet,
    Mix,
}

impl Manager {
    /// Returns what it reads, for "copy this first".
    pub(in crate::check) fn manifests(self) -> &'static str {
        match self {
            Self::Npm => "package*.json",
            Self::Yarn => "package.json yarn.lock",
            Self::Pnpm => "package.json pnpm-lock.yaml",
            Self::Pip => "requirements.txt",
            Self::Poetry => "pyproject.toml poetry.lock",
            Self::Uv => "pyproject.toml uv.lock",
            Self::Pipenv => "Pipfile Pipfile.lock",
            Self::Go => "go.mod go.sum",
            Self::Cargo => "Cargo.toml Cargo.lock",
            Self::Composer => "composer.json composer.lock",
            Self::Bundler => "Gemfile Gemfile.lock",
            Self::Maven => "pom.xml",
            Self::Gradle => "build.gradle* settings.gradle*",
            Self::Dotnet => "*.csproj",
            Self::Mix => "mix.exs mix.lock",
        }
    }

    /// Returns the folder that it installs into, where that is one that people copy.
    pub(super) fn folder(self) -> Option<&'static str> {
        match self {
            Self::Npm | Self::Yarn | Self::Pnpm => Some("node_modules"),
            Self::Composer | Self::Bundler => Some("vendor"),
            _ => None,
        }
    }
}

/// Tells whether a command installs all that a project's manifest lists, and not packages that it names itself.
pub(in crate::check) fn install_of_dependencies(command: &Command) -> Option<Manager> {
    let program = command.program();
    let mut operands = command.operands();
    let (verb, next) = (operands.next(), operands.next());
    let python_pip = program.starts_with("python")
        && command.words.windows(2).any(|pair| pair[0] == "-m" && pair[1] == "pip");
    match (program, verb) {
        ("npm", Some("ci" | "clean-install")) => Some(Manager::Npm),
        ("npm", Some("install" | "i")) if next.is_none() => Some(Manager::Npm),
        ("yarn", None) if !command.has_option("--version") => Some(Manager::Yarn),
        ("yarn", Some("install")) => Some(Manager::Yarn),
        ("pnpm", Some("install" | "i")) if next.is_none() => Some(Manager::Pnpm),
        ("poetry", Some("install")) if !command.has_option("--only-root") => Some(Manager::Poetry),
        ("uv", Some("sync")) => Some(Manager::Uv),
        ("pipenv", Some("install" | "sync")) if next.is_none() => Some(Manager::Pipenv),
        ("go", Some("mod")) if matches!(next, Some("download" | "tidy" | "vendor")) => Some(Manager::Go),
        ("cargo", Some("fetch")) => Some(Manager::Cargo),
        ("composer", Some("install")) => Some(Manager::Composer),
        ("bundle" | "bundler", Some("install") | None) => Some(Manager::Bundler),
        ("mvn" | "mvnw", Some(goal)) if goal.starts_with("dependency:") => Some(Manager::Maven),
        ("gradle" | "gradlew", Some("dependencies")) => Some(Manager::Gradle),
        ("dotnet", Some("restore")) => Some(Manager::Dotnet),
        ("mix", Some("deps.get")) => Some(Manager::Mix),
        (name, Some("install")) if name.starts_with("pip") && has_requirements(command) => Some(Manager::Pip),
        _ if python_pip && has_requirements(command) => Some(Manager::Pip),
        _ => None,
    }
}

/// Tells whether a command builds a project and on the way downloads whatever dependencies are not there yet.
pub(in crate::check) fn build_with_dependencies(command: &Command) -> Option<Manager> {
    let mut operands = command.operands();
    let goal = |wanted: &[&str]| command.operands().any(|word| wanted.contains(&word));
    match (command.program(), operands.next()?) {
        ("go", "build" | "install" | "test" | "vet") => Some(Manager::Go),
        ("cargo", "build" | "test" | "check" | "clippy") => Some(Manager::Cargo),
        ("mvn" | "mvnw", _) if goal(&["compile", "test", "package", "verify", "install"]) => {
            Some(Manager::Maven)
        }
        ("gradle" | "gradlew", _) if goal(&["build", "assemble", "jar", "bootJar", "shadowJar", "test"]) => {
            Some(Manager::Gradle)
        }
        ("dotnet", "build" | "publish" | "test") => Some(Manager::Dotnet),
        _ => None,
    }
}

fn has_requirements(command: &Command) -> bool {
    command.has_option("-r")
        || command.has_option("--requirement")
        || command.words.iter().any(|word| word.starts_with("-r") && word.len() > 2)
}

/// Tells how to leave development dependencies out, if a command takes them along.
pub(super) fn dev_install(step: &Step<'_>, command: &Command) -> Option<&'static str> {
    let assigned = |name: &str, value: &str| {
        command.assignments.iter().any(|(key, given)| key == name && given == value)
    };
    let node = step.settings.node_production || assigned("NODE_ENV", "production");
    let values = |option: &'static str, wanted: &str| {
        command.option_values(option).any(|given| given.split(',').any(|part| part == wanted))
    };
    let dev_file = || command.words.iter().any(|word| is_dev_requirements(word));
    match install_of_dependencies(command)? {
        Manager::Npm
            if !node
                && !values("--omit", "dev")
                && !values("--only", "production")
                && !values("--only", "prod")
                && !is_on(command, "--production") =>
        {
            Some("add `--omit=dev`")
        }
        Manager::Yarn if !node && !is_on(command, "--production") && !is_on(command, "--prod") => {
            Some("add `--production`, or with Yarn 2 and later use `yarn workspaces focus --production`")
        }
        Manager::Pnpm
            if !node
                && !is_on(command, "--prod")
                && !is_on(command, "--production")
                && !command.has_option("-P") =>
        {
            Some("add `--prod`")
        }
        Manager::Composer
            if !step.settings.composer_no_dev
                && !assigned("COMPOSER_NO_DEV", "1")
                && !command.has_option("--no-dev") =>
        {
            Some("add `--no-dev`")
        }
        Manager::Bundler if !step.settings.bundle_without && !command.has_option("--without") => {
            Some("set `BUNDLE_WITHOUT=development:test`")
        }
        Manager::Poetry
            if !values("--only", "main")
                && !values("--without", "dev")
                && !command.has_option("--no-dev") =>
        {
            Some("add `--only main`")
        }
        Manager::Uv if !command.has_option("--no-dev") && !command.has_option("--no-default-groups") => {
            Some("add `--no-dev`")
        }
        Manager::Pipenv if command.has_option("--dev") || command.has_option("-d") => Some("remove `--dev`"),
        Manager::Pip if dev_file() => Some("install only what the program needs when it runs"),
        _ => None,
    }
}

fn is_on(command: &Command, option: &str) -> bool {
    command.words.iter().any(|word| word == option || word.strip_prefix(option) == Some("=true"))
}

fn is_dev_requirements(word: &str) -> bool {
    let name = word.rsplit(['/', '=']).next().unwrap_or(word);
    name.strip_suffix(".txt").is_some_and(|stem| {
        stem.split(['-', '_', '.']).any(|part| {
            matches!(part, "dev" | "develop" | "development" | "test" | "tests" | "testing" | "lint")
        })
    })
}
