//! Each rule on what it should report and on what it should not. The examples of docs/checks are tested by `check_pages`.

use std::collections::HashMap;

use slipway_dockerfile::{
    check::{BaseImage, CheckInput, Config, Id, Ignore, RULES, check},
    diagnostic::{Diagnostic, Severity},
    parse,
    pattern::IgnoreFile,
};

fn run(text: &str, input: &CheckInput<'_>) -> Vec<Diagnostic> {
    let parsed = parse(text.as_bytes());
    assert!(parsed.is_ok(), "{text}: {:?}", parsed.diagnostics);
    check(&parsed, input)
}

fn lines(text: &str, findings: &[Diagnostic], code: &str) -> Vec<usize> {
    let line = |finding: &Diagnostic| text[..finding.span.start].matches('\n').count() + 1;
    findings.iter().filter(|finding| finding.code == code).map(line).collect()
}

/// A rule, a file, and the lines at which the rule reports something.
type Case = (&'static str, &'static str, &'static [usize]);

#[track_caller]
fn hold(cases: &[Case], input: &CheckInput<'_>) {
    for (rule, text, wanted) in cases {
        assert!(Id::find(rule).is_some(), "there is no rule {rule}");
        let findings = run(text, input);
        assert_eq!(lines(text, &findings, rule), *wanted, "{rule} on\n{text}\n{findings:#?}");
    }
}

#[test]
fn names_and_case() {
    hold(
        &[
            ("StageNameCasing", "FROM a AS B\nFROM a AS c-D", &[1, 2]),
            ("StageNameCasing", "FROM A1 AS b", &[]),
            ("FromAsCasing", "from a AS b\nFROM a As b", &[1, 2]),
            ("FromAsCasing", "From a AS b\nfrom a as c", &[]),
            ("ConsistentInstructionCasing", "from a\nRUN b\nRUN c", &[1]),
            ("ConsistentInstructionCasing", "from a\nrun b\nCOPY c d", &[3]),
            ("ConsistentInstructionCasing", "FROM a\nRun b", &[2]),
            ("ConsistentInstructionCasing", "from a\nRUN b", &[1]),
            ("ConsistentInstructionCasing", "arg x\nFROM a\nRUN b", &[]),
            ("DuplicateStageName", "FROM a AS x\nFROM a AS y\nFROM a AS X\nFROM b AS x", &[3, 4]),
            ("ReservedStageName", "FROM a AS Scratch\nFROM a AS context\nFROM scratch", &[1, 2]),
        ],
        &CheckInput::default(),
    );
}

#[test]
fn forms() {
    hold(
        &[
            ("NoEmptyContinuation", "FROM a\nRUN b \\\n\n\n c\n", &[3, 4]),
            ("NoEmptyContinuation", "FROM a\nRUN b \\\n # c\n c\n", &[]),
            ("NoEmptyContinuation", "FROM a\n# check=skip=NoEmptyContinuation\nRUN b \\\n\n c\n", &[]),
            ("JSONArgsRecommended", "FROM a\nCMD b c\nENTRYPOINT d", &[2, 3]),
            ("JSONArgsRecommended", "FROM a\nSHELL [\"b\"]\nCMD b c", &[]),
            ("JSONArgsRecommended", "FROM a AS x\nSHELL [\"b\"]\nFROM x\nCMD b", &[]),
            ("JSONArgsRecommended", "FROM a AS x\nSHELL [\"b\"]\nFROM a\nCMD b", &[4]),
            ("JSONArgsRecommended", "FROM a\nCMD [\"b\"]", &[]),
            ("MaintainerDeprecated", "FROM a\nMAINTAINER b", &[2]),
            ("WorkdirRelativePath", "FROM a\nWORKDIR b\nWORKDIR c", &[2]),
            ("WorkdirRelativePath", "FROM a\nWORKDIR /b\nWORKDIR c", &[]),
            ("WorkdirRelativePath", "FROM a AS x\nWORKDIR /b\nFROM x\nWORKDIR c", &[]),
            ("WorkdirRelativePath", "FROM a\nENV D=/d\nWORKDIR $D", &[]),
            ("MultipleInstructionsDisallowed", "FROM a\nCMD [\"b\"]\nCMD [\"c\"]\nCMD [\"d\"]", &[2, 3]),
            ("MultipleInstructionsDisallowed", "FROM a AS x\nCMD [\"b\"]\nFROM x\nCMD [\"c\"]", &[]),
            (
                "MultipleInstructionsDisallowed",
                "FROM a\nHEALTHCHECK NONE\nHEALTHCHECK CMD b\nENTRYPOINT [\"c\"]\nENTRYPOINT [\"d\"]",
                &[2, 4],
            ),
            ("LegacyKeyValueFormat", "FROM a\nENV b c d\nLABEL e f\nENV g=h", &[2, 3]),
            ("ExposeProtoCasing", "FROM a\nEXPOSE 1/TCP 2/udp 3", &[2]),
            ("ExposeProtoCasing", "FROM a\nARG P=5/Udp\nEXPOSE $P", &[3]),
            ("ExposeInvalidFormat", "FROM a\nEXPOSE 80:80\nEXPOSE 1-2/udp 3\nEXPOSE [::1]:1:2/tcp", &[2, 4]),
        ],
        &CheckInput::default(),
    );
}

#[test]
fn descriptions_are_off_by_default() {
    let text =
        "# nothing\nARG x\n# x is y\nARG x\n# z\n\nARG x\n# b is c\nFROM a AS b\n# no\nFROM a\n# q\nARG m n";
    assert!(lines(text, &run(text, &CheckInput::default()), "InvalidDefinitionDescription").is_empty());
    let config = Config { experimental_all: true, ..Config::default() };
    let findings = run(text, &CheckInput { config, ..CheckInput::default() });
    assert_eq!(lines(text, &findings, "InvalidDefinitionDescription"), [1, 12]);
}

#[test]
fn base_images() {
    hold(
        &[
            ("UndefinedArgInFrom", "ARG A=x\nFROM $A:$B AS c\nFROM $TARGETOS", &[2]),
            ("UndefinedArgInFrom", "ARG A\nFROM ${A:-x}\nFROM --platform=$BULDPLATFORM a", &[3]),
            ("InvalidDefaultArgInFrom", "ARG A\nFROM $A\nFROM a:$A\nFROM b$A", &[2, 3]),
            ("InvalidDefaultArgInFrom", "ARG A=x\nARG B=${A}y\nFROM $B\nFROM scratch", &[]),
            ("InvalidDefaultArgInFrom", "FROM Debian", &[1]),
            (
                "FromPlatformFlagConstDisallowed",
                "FROM --platform=linux/arm64 a AS b\nFROM --platform=arm64 a AS b-arm64\nFROM --platform=nonsense a",
                &[1],
            ),
            ("FromPlatformFlagConstDisallowed", "ARG P=linux/arm64\nFROM --platform=$P a", &[]),
            (
                "RedundantTargetPlatform",
                "FROM --platform=$TARGETPLATFORM a\nFROM --platform=${TARGETPLATFORM} a\nFROM --platform=$BUILDPLATFORM a",
                &[1, 2],
            ),
            ("RedundantTargetPlatform", "ARG X=\nFROM --platform=$TARGETPLATFORM$X a", &[]),
            (
                "BaseImageTag",
                "FROM a\nFROM b:latest\nFROM c:1\nFROM scratch\nFROM localhost:5000/d\nFROM e:1@sha256:0000000000000000000000000000000000000000000000000000000000000000",
                &[1, 2, 5],
            ),
            (
                "BaseImageTag",
                "FROM a:1 AS b\nFROM b\nCOPY --from=b x y\nCOPY --from=c x y\nRUN --mount=from=d:latest e",
                &[4, 5],
            ),
            ("BaseImageTag", "ARG V=latest\nFROM a:$V\n", &[2]),
            ("BaseImageDigest", "FROM a:1", &[]),
            (
                "BaseImageDigest",
                "# check=experimental=BaseImageDigest\nFROM a:1\nFROM b@sha256:0000000000000000000000000000000000000000000000000000000000000000",
                &[2],
            ),
        ],
        &CheckInput::default(),
    );
}

#[test]
fn build_args_reach_from() {
    let text = "ARG A=x:1\nFROM $A";
    let args = [("A".to_owned(), "y:latest".to_owned())];
    let findings = run(text, &CheckInput { build_args: &args, ..CheckInput::default() });
    assert_eq!(lines(text, &findings, "BaseImageTag"), [2]);
    assert!(findings.iter().any(|finding| finding.message.contains("`y:latest`")));
    // An argument that is given counts, also where nothing declares it; that it is not declared is still reported.
    let text = "FROM a:1 AS deps-dev\nFROM a:1 AS deps-prod\nFROM deps-${KIND:-prod}";
    let args = [("KIND".to_owned(), "dev".to_owned())];
    let findings = run(text, &CheckInput { build_args: &args, target: Some("2"), ..CheckInput::default() });
    assert_eq!(lines(text, &findings, "UndefinedArgInFrom"), [3]);
    assert_eq!(lines(text, &findings, "MissingUser"), [3]);
    let text = "FROM a AS deps-dev\nFROM b AS deps-prod\nFROM deps-${KIND:-prod}";
    let findings = run(text, &CheckInput { build_args: &args, target: Some("2"), ..CheckInput::default() });
    assert_eq!(lines(text, &findings, "BaseImageTag"), [1]);
}

#[test]
fn variables() {
    hold(
        &[
            // The base is known to bring nothing.
            ("UndefinedVar", "FROM scratch\nENV a=$b\nLABEL c=$a$d\nWORKDIR /$PATH", &[2, 3]),
            ("UndefinedVar", "FROM scratch\nCOPY $a ${b:-c} /d", &[2, 2]),
            ("UndefinedVar", "FROM scratch\nARG a\nUSER $a\nENV b=$a$TARGETOS", &[4]),
            ("UndefinedVar", "FROM scratch\nARG TARGETOS\nENV b=$TARGETOS", &[]),
            ("UndefinedVar", "FROM scratch\nENV a=b\nENV a=c d=$a e=$d", &[3]),
            ("UndefinedVar", "FROM scratch AS x\nENV a=b\nFROM x\nENV c=$a\nFROM scratch\nENV c=$a", &[6]),
            (
                "UndefinedVar",
                "FROM scratch\nRUN $a\nCMD $a\nENTRYPOINT $a\nHEALTHCHECK CMD $a\nONBUILD ENV b=$a",
                &[],
            ),
            ("UndefinedVar", "FROM scratch\nRUN --mount=target=/$a,from=x b", &[2]),
            ("UndefinedVar", "FROM scratch\nEXPOSE $a\nVOLUME $b\nSTOPSIGNAL SIG$c", &[2, 3, 4]),
            ("UndefinedVar", "FROM scratch\nCOPY <<A <<'B' /c/\n$a\nA\n$b\nB\n", &[3]),
            ("UndefinedVar", "FROM scratch\nENV a='$b' c=\\$d e=\"$f\"", &[2]),
            // The base is not known: what it may bring is not reported.
            ("UndefinedVar", "FROM a\nENV b=$c$JAVA_HOME", &[]),
            ("UndefinedVar", "ARG b\nFROM a\nENV c=$b d=$1", &[3, 3]),
            ("UndefinedVar", "FROM a\nARG VERSION\nENV b=$VERSON c=${VERSOIN:-d}", &[3]),
            (
                "SecretsUsedInArgOrEnv",
                "ARG TOKEN\nFROM a\nARG api_key\nENV DB_PASSWORD=x APIKEY=y\nENV KEYS=1 TOKENIZER=2\nENV PUBLIC_KEY=1 KEY_FILE=2 TOKEN_VERSION=3",
                &[3, 4, 4],
            ),
        ],
        &CheckInput::default(),
    );
}

#[test]
fn a_known_base_makes_variables_exact() {
    let known =
        BaseImage { env: vec![("HOME".into(), "/root".into())], has_shell: true, ..BaseImage::default() };
    let images = HashMap::from([("a:1".to_owned(), known)]);
    let input = CheckInput { images: &images, ..CheckInput::default() };
    hold(
        &[
            ("UndefinedVar", "FROM a:1\nENV b=$HOME c=$NOPE", &[2]),
            ("JSONArgsRecommended", "FROM a:1\nCMD b", &[]),
            ("MissingUser", "FROM a:1", &[1]),
        ],
        &input,
    );
    let user =
        HashMap::from([("a:1".to_owned(), BaseImage { user: "65532".into(), ..BaseImage::default() })]);
    hold(&[("MissingUser", "FROM a:1", &[])], &CheckInput { images: &user, ..CheckInput::default() });
}

#[test]
fn stages() {
    hold(
        &[
            (
                "CopyFromIndex",
                "FROM a\nFROM b\nCOPY --from=0 c d\nRUN --mount=from=0,target=/x y\nCOPY --from=7 c d",
                &[3, 4],
            ),
            (
                "UnnamedStage",
                "FROM a\nFROM b AS c\nFROM d\nCOPY --from=0 e f\nCOPY --from=0 g h\nCOPY --from=1 i j",
                &[1],
            ),
            ("UnreachableStage", "FROM a AS b\nFROM a AS c\nFROM c AS d\nFROM d", &[1]),
            (
                "UnreachableStage",
                "FROM a AS b\nFROM a AS c\nRUN --mount=from=b,target=/x y\nFROM a\nCOPY --from=C d e",
                &[],
            ),
            (
                "UnreachableStage",
                "ARG K=dev\nFROM a AS deps-dev\nFROM a AS deps-prod\nFROM a AS other\nFROM deps-${K}",
                &[4],
            ),
            ("UnreachableStage", "ARG B=debian\nFROM a AS b\nFROM $B", &[2]),
        ],
        &CheckInput::default(),
    );
}

#[test]
fn users() {
    hold(
        &[
            ("MissingUser", "FROM a", &[1]),
            ("MissingUser", "FROM a\nUSER b", &[]),
            ("MissingUser", "FROM a\nUSER b\nUSER root", &[3]),
            ("MissingUser", "FROM a\nUSER 0:5", &[2]),
            ("MissingUser", "FROM a\nARG U=0\nUSER $U", &[3]),
            ("MissingUser", "FROM a AS b\nUSER c\nFROM b", &[]),
            ("MissingUser", "FROM a AS b\nUSER c\nFROM a", &[3]),
            ("MissingUser", "FROM gcr.io/distroless/static:nonroot", &[]),
            ("MissingUser", "FROM nginxinc/nginx-unprivileged:1", &[]),
            ("MissingUser", "FROM scratch", &[1]),
            ("MissingUser", "FROM a AS test\nRUN b", &[]),
            ("MissingUser", "FROM a AS my-dev", &[]),
            ("MissingUser", "FROM a AS device", &[1]),
        ],
        &CheckInput::default(),
    );
}

#[test]
fn package_caches() {
    hold(
        &[
            ("PackageCacheInLayer", "FROM a\nRUN apt-get update && apt-get install -y b", &[2]),
            (
                "PackageCacheInLayer",
                "FROM a\nRUN apt-get update && apt-get install -y b && rm -rf /var/lib/apt/lists/*",
                &[],
            ),
            ("PackageCacheInLayer", "FROM a\nRUN apt-get update\nRUN rm -rf /var/lib/apt/lists/*", &[2]),
            ("PackageCacheInLayer", "FROM a\nRUN --mount=type=cache,target=/var/lib/apt apt-get update", &[]),
            (
                "PackageCacheInLayer",
                "FROM a\nRUN --mount=type=tmpfs,target=/var/lib/apt/lists apt update",
                &[],
            ),
            ("PackageCacheInLayer", "FROM a\nRUN <<EOF\nset -e\napt-get update\nEOF", &[4]),
            ("PackageCacheInLayer", "FROM a\nRUN <<EOF cat > /x\napt-get update\nEOF", &[]),
            ("PackageCacheInLayer", "FROM a\nRUN <<EOF\n#!/usr/bin/env python\napt-get update\nEOF", &[]),
            ("PackageCacheInLayer", "FROM a\nRUN [\"sh\", \"-c\", \"apt-get update\"]", &[2]),
            ("PackageCacheInLayer", "FROM a\nRUN [\"apt-get\", \"update\"]", &[2]),
            ("PackageCacheInLayer", "FROM a\nRUN echo 'apt-get update'", &[]),
            ("PackageCacheInLayer", "FROM a\nRUN if true; then sudo apt-get -qq update; fi", &[2]),
            (
                "PackageCacheInLayer",
                "FROM a\nRUN apk add b\nRUN apk add --no-cache c\nRUN apk add d && rm -rf /var/cache/apk/*",
                &[2],
            ),
            (
                "PackageCacheInLayer",
                "FROM a\nRUN dnf install -y b\nRUN dnf install -y b && dnf clean all\nRUN yum -y install c && rm -rf /var/cache/yum",
                &[2],
            ),
            ("PackageCacheInLayer", "FROM a\nRUN microdnf install b && dnf clean all", &[2]),
            (
                "PackageCacheInLayer",
                "FROM a\nRUN zypper -n in b\nRUN zypper in c && zypper clean --all",
                &[2],
            ),
            (
                "PackageCacheInLayer",
                "FROM a\nRUN pip install b\nRUN pip3 install --no-cache-dir b\nRUN python3 -m pip install c",
                &[2, 4],
            ),
            ("PackageCacheInLayer", "FROM a\nENV PIP_NO_CACHE_DIR=1\nRUN pip install b", &[]),
            ("PackageCacheInLayer", "FROM a\nRUN PIP_NO_CACHE_DIR=1 pip install b", &[]),
            (
                "PackageCacheInLayer",
                "FROM a\nRUN npm ci\nRUN npm ci && npm cache clean --force\nRUN --mount=type=cache,target=/root/.npm npm ci\nRUN npm run build",
                &[2],
            ),
            // Only what ends in the image counts.
            ("PackageCacheInLayer", "FROM a AS b\nRUN apt-get update\nFROM a\nCOPY --from=b c d", &[]),
            ("PackageCacheInLayer", "FROM a AS b\nRUN apt-get update\nFROM b", &[2]),
        ],
        &CheckInput::default(),
    );
}

#[test]
fn tools_and_development() {
    hold(
        &[
            ("BuildToolsInFinalStage", "FROM a\nRUN apt-get install -y curl gcc=12 make", &[2]),
            (
                "BuildToolsInFinalStage",
                "FROM a\nRUN apt-get install -y gcc && make && apt-get purge -y gcc",
                &[],
            ),
            (
                "BuildToolsInFinalStage",
                "FROM a\nRUN apk add --no-cache --virtual .b build-base && make && apk del .b",
                &[],
            ),
            ("BuildToolsInFinalStage", "FROM a AS b\nRUN apk add build-base\nFROM a", &[]),
            ("BuildToolsInFinalStage", "FROM a AS build\nRUN apk add build-base", &[]),
            ("BuildToolsInFinalStage", "FROM a\nRUN npm install gcc\nRUN apt-get install -y curl", &[]),
            ("BuildToolsInFinalStage", "FROM golang:1.22", &[1]),
            ("BuildToolsInFinalStage", "FROM docker.io/library/rust:1 AS x\nFROM x", &[1]),
            ("BuildToolsInFinalStage", "FROM mcr.microsoft.com/dotnet/sdk:8.0", &[1]),
            ("BuildToolsInFinalStage", "FROM eclipse-temurin:21-jdk\nFROM eclipse-temurin:21-jre", &[]),
            ("BuildToolsInFinalStage", "FROM eclipse-temurin:21-jdk-alpine", &[1]),
            ("BuildToolsInFinalStage", "FROM golang:1.22 AS b\nFROM scratch\nCOPY --from=b c d", &[]),
            (
                "DevDependencies",
                "FROM a\nRUN npm ci\nRUN npm ci --omit=dev\nRUN npm ci --omit dev\nRUN npm install --production\nRUN npm i --only=prod",
                &[2],
            ),
            ("DevDependencies", "FROM a\nENV NODE_ENV=production\nRUN npm ci", &[]),
            ("DevDependencies", "FROM a\nRUN NODE_ENV=production npm ci", &[]),
            ("DevDependencies", "FROM a\nRUN npm install -g x\nRUN npm install x", &[]),
            ("DevDependencies", "FROM a\nRUN npm ci\nRUN npm prune --omit=dev", &[]),
            (
                "DevDependencies",
                "FROM a\nRUN yarn install --frozen-lockfile\nRUN yarn --production\nRUN pnpm i\nRUN pnpm install --prod",
                &[2, 4],
            ),
            ("DevDependencies", "FROM a\nRUN composer install\nRUN composer install --no-dev", &[2]),
            (
                "DevDependencies",
                "FROM a\nRUN pip install -r requirements-dev.txt\nRUN pip install -r requirements.txt",
                &[2],
            ),
            (
                "DevDependencies",
                "FROM a\nRUN poetry install\nRUN poetry install --only main\nRUN uv sync\nRUN uv sync --no-dev\nRUN pipenv install --dev",
                &[2, 4, 6],
            ),
            (
                "DevDependencies",
                "FROM a\nRUN bundle install\nENV BUNDLE_WITHOUT=development\nRUN bundle install",
                &[2],
            ),
            (
                "DevDependencies",
                "FROM a AS b\nRUN npm ci\nFROM a\nCOPY --from=b /x/node_modules ./node_modules",
                &[4],
            ),
            (
                "DevDependencies",
                "FROM a AS b\nRUN npm ci\nFROM b AS c\nFROM a\nCOPY --from=c /x/node_modules/ ./n/",
                &[5],
            ),
            (
                "DevDependencies",
                "FROM a AS b\nRUN npm ci --omit=dev\nFROM a\nCOPY --from=b /x/node_modules ./node_modules",
                &[],
            ),
            (
                "DevDependencies",
                "FROM a AS b\nRUN npm ci && npm prune --production\nFROM a\nCOPY --from=b /x/node_modules ./node_modules",
                &[],
            ),
            ("DevDependencies", "FROM a AS b\nRUN npm ci\nFROM a\nCOPY --from=b /x/dist ./", &[]),
            ("DevDependencies", "FROM a AS dev\nRUN npm ci", &[]),
        ],
        &CheckInput::default(),
    );
}

#[test]
fn layers() {
    hold(
        &[
            ("DependenciesAfterSources", "FROM a\nCOPY . .\nRUN npm ci", &[3]),
            ("DependenciesAfterSources", "FROM a\nADD ./ /x\nRUN pip install -r requirements.txt", &[3]),
            (
                "DependenciesAfterSources",
                "FROM a\nCOPY package.json .\nRUN npm ci\nCOPY . .\nRUN npm ci",
                &[],
            ),
            (
                "DependenciesAfterSources",
                "FROM a\nCOPY . .\nRUN --mount=type=cache,target=/root/.npm npm ci",
                &[],
            ),
            (
                "DependenciesAfterSources",
                "FROM a AS b\nCOPY . .\nFROM b\nRUN go mod download\nRUN go build",
                &[4],
            ),
            (
                "DependenciesAfterSources",
                "FROM a AS b\nCOPY . .\nFROM a\nCOPY --from=b . .\nRUN go build",
                &[],
            ),
            ("DependenciesAfterSources", "FROM a\nCOPY . .\nRUN cargo build --release", &[3]),
            (
                "DependenciesAfterSources",
                "FROM a\nCOPY Cargo.* .\nRUN cargo fetch\nCOPY . .\nRUN cargo build",
                &[],
            ),
            ("DependenciesAfterSources", "FROM a\nCOPY src src\nRUN npm ci", &[]),
            ("DependenciesAfterSources", "FROM a\nCOPY . .\nRUN pip install .\nRUN npm install x", &[]),
            ("ConsecutiveRuns", "FROM a\nRUN b\nRUN c\nRUN d\nCOPY e f\nRUN g\nRUN h", &[2, 6]),
            ("ConsecutiveRuns", "FROM a\nRUN b\nENV c=d\nRUN e", &[]),
            (
                "ConsecutiveRuns",
                "FROM a\nRUN b\nRUN --mount=type=cache,target=/x c\nRUN [\"d\"]\nRUN <<E\nf\nE\n",
                &[],
            ),
            ("ConsecutiveRuns", "FROM a AS b\nRUN c\nRUN d\nFROM a\nCOPY --from=b e f", &[]),
        ],
        &CheckInput::default(),
    );
}

#[test]
fn context() {
    hold(
        &[
            (
                "SecretFileCopied",
                "FROM a\nCOPY .env .npmrc id_rsa /x/\nADD certs/tls.key /x/\nCOPY .ssh /x",
                &[2, 2, 2, 3, 4],
            ),
            (
                "SecretFileCopied",
                "FROM a\nCOPY .env.production /x\nCOPY config/secrets.yaml /x\nCOPY service-account-prod.json /x",
                &[2, 3, 4],
            ),
            (
                "SecretFileCopied",
                "FROM a\nCOPY .env.example ca.pem public.key tls.crt keys.go .envrc /x/",
                &[],
            ),
            ("SecretFileCopied", "FROM a AS b\nFROM a\nCOPY --from=b id_rsa /x", &[]),
            ("SecretFileCopied", "FROM a\nADD https://example.com/server.key /x", &[]),
            ("SecretFileCopied", "FROM a\nCOPY app.conf /root/.npmrc", &[2]),
            ("MissingIgnoreFile", "FROM a\nCOPY . .", &[]),
        ],
        &CheckInput::default(),
    );
    let missing = CheckInput { ignore: Ignore::Missing, ..CheckInput::default() };
    hold(
        &[
            ("MissingIgnoreFile", "FROM a\nCOPY ./ /x\nADD . /y", &[2]),
            ("MissingIgnoreFile", "FROM a AS b\nCOPY src /x\nFROM a\nCOPY --from=b . .", &[]),
        ],
        &missing,
    );
    let file = IgnoreFile::parse("# all\nsecret\n*.log\n").unwrap();
    let present = CheckInput { ignore: Ignore::Present(&file), ..CheckInput::default() };
    hold(
        &[
            ("MissingIgnoreFile", "FROM a\nCOPY . /x", &[]),
            (
                "CopyIgnoredFile",
                "FROM a\nCOPY . secret ./secret/x a.log dir/a.log /x/\nADD /secret /x",
                &[2, 2, 2, 3],
            ),
            (
                "CopyIgnoredFile",
                "FROM a AS b\nFROM a\nCOPY --from=b secret /x\nADD https://e.x/secret /x",
                &[],
            ),
            ("CopyIgnoredFile", "FROM a\nARG F=secret\nCOPY $F /x", &[3]),
        ],
        &present,
    );
    let all = IgnoreFile::parse("*").unwrap();
    hold(
        &[("CopyIgnoredFile", "FROM a\nCOPY . /x", &[2])],
        &CheckInput { ignore: Ignore::Present(&all), ..CheckInput::default() },
    );
    let negated = IgnoreFile::parse("*\n!src").unwrap();
    hold(
        &[("CopyIgnoredFile", "FROM a\nCOPY lib /x", &[])],
        &CheckInput { ignore: Ignore::Present(&negated), ..CheckInput::default() },
    );
}

#[test]
fn rules_can_be_skipped_everywhere() {
    hold(
        &[
            ("MissingUser", "# check=skip=MissingUser\nFROM a", &[]),
            ("MissingUser", "# check=skip=all\nFROM a", &[]),
            ("MissingUser", "# x\n# check=skip=MissingUser because of y\nFROM a", &[]),
            (
                "MaintainerDeprecated",
                "FROM a\n# check=skip=MaintainerDeprecated\nMAINTAINER b\nMAINTAINER c",
                &[4],
            ),
            ("BaseImageDigest", "# a\n# check=experimental=all\nFROM a:1\nFROM a:1", &[3]),
            ("UnknownCheck", "# check=skip=Nope,UndefinedVar\nFROM a\n# check=skip=Noper\nRUN b", &[1, 3]),
        ],
        &CheckInput::default(),
    );
}

#[test]
fn an_argument_replaces_the_directive() {
    let text = "# check=skip=all\nFROM a:1 as b\nUSER 1";
    let codes = |value: &str| {
        let args = [("BUILDKIT_DOCKERFILE_CHECK".to_owned(), value.to_owned())];
        let findings = run(text, &CheckInput { build_args: &args, ..CheckInput::default() });
        findings.iter().map(|finding| (finding.code, finding.severity)).collect::<Vec<_>>()
    };
    assert_eq!(codes("error=true"), [("FromAsCasing", Severity::Error)]);
    assert_eq!(codes("skip=FromAsCasing"), []);
    assert_eq!(
        codes("nonsense"),
        [("invalid-check-option", Severity::Error), ("FromAsCasing", Severity::Warning)]
    );
}

#[test]
fn warnings_can_count_as_errors() {
    let findings = run("# check=error=true\nFROM a as x\nRUN b\nRUN c", &CheckInput::default());
    let severity =
        |code: &str| findings.iter().find(|finding| finding.code == code).map(|finding| finding.severity);
    assert_eq!(severity("FromAsCasing"), Some(Severity::Error));
    // The file was written for BuildKit's rules.
    assert_eq!(severity("MissingUser"), Some(Severity::Warning));
    assert_eq!(severity("ConsecutiveRuns"), Some(Severity::Info));
}

#[test]
fn only_what_the_target_needs_is_looked_at() {
    let text = "FROM a AS b\nMAINTAINER x\nFROM c:1 AS d\nUSER 1\nFROM e AS f\nCOPY --from=b g h";
    let codes = |target| {
        let findings = run(text, &CheckInput { target, ..CheckInput::default() });
        findings.iter().map(|finding| finding.code).collect::<Vec<_>>()
    };
    assert_eq!(codes(Some("d")), [] as [&str; 0]);
    assert_eq!(codes(Some("F")), ["BaseImageTag", "MaintainerDeprecated", "MissingUser", "BaseImageTag"]);
    assert_eq!(codes(Some("nope")).iter().filter(|code| **code == "unknown-target").count(), 1);
    assert!(codes(None).contains(&"UnreachableStage"));
}

#[test]
fn what_cannot_be_expanded_is_an_error() {
    let table = [
        ("FROM a\nENV b=${c", 2, "expansion"),
        ("FROM scratch\nENV b=${c:?needed}", 2, "expansion"),
        ("FROM a\nENV b=${c:?needed}", 0, "expansion"),
        ("FROM ${a:=b}", 1, "expansion"),
        ("# check=nonsense\nFROM a", 1, "invalid-check-option"),
        ("FROM a\n# check=error=maybe\nRUN b", 2, "invalid-check-option"),
    ];
    for (text, line, code) in table {
        let wanted: Vec<usize> = Some(line).filter(|line| *line > 0).into_iter().collect();
        let findings = run(text, &CheckInput::default());
        assert_eq!(lines(text, &findings, code), wanted, "{text}\n{findings:#?}");
        assert!(
            findings
                .iter()
                .filter(|finding| finding.code == code)
                .all(|finding| finding.severity == Severity::Error)
        );
    }
}

#[test]
fn places_are_exact() {
    let text = "FROM scratch\nENV a=x$nope.y\\\n  b=1\nRUN true && apt-get update\n";
    let findings = run(text, &CheckInput::default());
    let of = |code: &str| {
        findings.iter().find(|finding| finding.code == code).map(|finding| finding.span.of(text))
    };
    assert_eq!(of("UndefinedVar"), Some("$nope"));
    assert_eq!(of("PackageCacheInLayer"), Some("apt-get update"));
}

#[test]
fn every_rule_is_tested_here_or_in_its_page() {
    let own = include_str!("check_rules.rs");
    let elsewhere = ["InvalidBaseImagePlatform"];
    for rule in RULES {
        assert!(
            own.contains(&format!("\"{}\"", rule.name)) || elsewhere.contains(&rule.name),
            "{} has no case",
            rule.name
        );
    }
}

#[test]
fn large_and_strange_files_take_no_long_time() {
    let repeat = |head: &str, line: &dyn Fn(usize) -> String, times: usize| {
        (0..times).fold(head.to_owned(), |text, number| text + &line(number) + "\n")
    };
    let files = [
        ("stages", repeat("", &|n| format!("FROM s{} AS s{n}", n.saturating_sub(1)), 10_000)),
        (
            "growing environments",
            repeat("", &|n| format!("FROM s{} AS s{n}\nENV v{n}=x", n.saturating_sub(1)), 2_000),
        ),
        ("doubling", repeat("FROM scratch\nENV a=xx\n", &|_| "ENV a=$a$a".to_owned(), 5_000)),
        ("undefined", repeat("FROM scratch\n", &|n| format!("ENV e{n}=$u{n}"), 10_000)),
        ("runs", repeat("FROM a\n", &|_| "RUN apt-get update && npm ci && pip install x".to_owned(), 10_000)),
        ("copies", repeat("FROM a\n", &|n| format!("COPY --from=0 a{n} b"), 10_000)),
        ("a long line of commands", format!("FROM a\nRUN {}", "apt-get update;".repeat(4_000))),
        ("a long line of variables", format!("FROM scratch\nENV a={}", "$bc".repeat(20_000))),
        ("nested", format!("FROM a\nENV a={}", "${b:-".repeat(10_000))),
    ];
    for (name, text) in files {
        let began = std::time::Instant::now();
        let parsed = parse(text.as_bytes());
        check(&parsed, &CheckInput::default());
        println!("{name}: {:?}", began.elapsed());
        assert!(began.elapsed().as_secs() < 20, "{name} took {:?}", began.elapsed());
    }
}
