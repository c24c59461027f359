//! The catalogue: which base images there are, and what goes into them.

use crate::host::parts;

/// One base image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Base {
    /// The name on the command line.
    pub(crate) name: &'static str,
    /// Repositories in the registry, each with its tags.
    pub(crate) names: &'static [(&'static str, &'static str)],
    /// The base whose layer lies below.
    pub(crate) on: Option<&'static str>,
    /// What its own layer is.
    pub(crate) content: Content,
    /// Files of the layer; programs among them start with `#!`.
    pub(crate) files: &'static [(&'static str, &'static str)],
    /// Settings of the image's configuration, as options of `crane mutate`.
    pub(crate) settings: &'static [&'static str],
    /// Takes minutes or hundreds of megabytes.
    pub(crate) large: bool,
}

/// What the layer of a base is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content {
    /// Debian's smallest useful system.
    Debian,
    /// A static busybox with all its applets.
    Busybox,
    /// Nothing but the files, and certificates.
    Files,
    /// What an installation on top of Debian changed.
    Installed(Installation),
}

/// Debian packages, programs of this machine and a script's work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Installation {
    /// Files and folders to take from this machine as they are.
    pub(crate) machine: &'static [&'static str],
    /// Whether to take this machine's Rust toolchain, without its documentation.
    pub(crate) rust: bool,
    /// Packages to install in any case.
    pub(crate) packages: &'static [&'static str],
    /// Packages to install where the first of the machine's files is not there.
    pub(crate) instead: &'static [&'static str],
    /// What is done in the end, by a shell in the image.
    pub(crate) script: &'static str,
}

const NOTHING: Installation =
    Installation { machine: &[], rust: false, packages: &[], instead: &[], script: "" };

impl Base {
    /// All names under which it is pushed.
    pub(crate) fn references(&self) -> Vec<String> {
        let tagged = |(repository, tags): &(&str, &'static str)| {
            let repository = (*repository).to_owned();
            tags.split(' ').map(move |tag| format!("{repository}:{tag}")).collect::<Vec<_>>()
        };
        self.names.iter().flat_map(tagged).collect()
    }

    /// The base that this one builds on.
    pub(crate) fn below(&self) -> Option<&'static Self> {
        CATALOGUE.iter().find(|other| Some(other.name) == self.on)
    }

    /// A name for this exact layer, whatever the image is called.
    pub(crate) fn layer_key(&self) -> String {
        let below = self.below().map(Self::layer_key);
        self.hash(&format!("{below:?} {:?} {:?}", self.content, self.files))
    }

    /// A name for this exact image.
    pub(crate) fn image_key(&self) -> String {
        self.hash(&format!("{} {self:?}", self.layer_key()))
    }

    fn hash(&self, text: &str) -> String {
        format!("{}-{:016x}", self.name, parts::fnv(parts::FNV_START, text.as_bytes()))
    }
}

const PATH: &str = "--env=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const USERS: &str = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n";
const GROUPS: &str = "root:x:0:\nnogroup:x:65534:\n";

const ADDUSER: &str = include_str!("files/adduser");
const ADDGROUP: &str = include_str!("files/addgroup");
const APK: &str = include_str!("files/apk");

/// What Dockerfiles written for Alpine call, in an image that is Debian's.
const LIKE_ALPINE: &[(&str, &str)] = &[
    ("usr/local/sbin/adduser", ADDUSER),
    ("usr/local/sbin/addgroup", ADDGROUP),
    ("usr/local/sbin/apk", APK),
];

/// All base images.
pub(crate) const CATALOGUE: &[Base] = &[
    Base {
        name: "debian",
        names: &[("library/debian", "bookworm bookworm-slim 12 12-slim latest stable-slim")],
        on: None,
        content: Content::Debian,
        files: &[],
        settings: &["--cmd=bash", PATH],
        large: false,
    },
    Base {
        name: "busybox",
        names: &[("library/busybox", "latest 1.36 uclibc musl")],
        on: None,
        content: Content::Busybox,
        files: &[("etc/passwd", USERS), ("etc/group", GROUPS), ("etc/shadow", "root:*:::::::\n")],
        settings: &["--cmd=sh", PATH],
        large: false,
    },
    Base {
        name: "alpine",
        names: &[("library/alpine", "latest 3 3.18 3.19 3.20 3.21")],
        on: None,
        content: Content::Busybox,
        files: &[
            ("etc/passwd", USERS),
            ("etc/group", GROUPS),
            ("etc/shadow", "root:*:::::::\n"),
            ("sbin/apk", APK),
            ("usr/sbin/adduser", ADDUSER),
            ("usr/sbin/addgroup", ADDGROUP),
            ("etc/os-release", "NAME=\"Stand-in for Alpine\"\nID=alpine\nVERSION_ID=3.21.0\n"),
        ],
        settings: &["--cmd=/bin/sh", PATH],
        large: false,
    },
    Base {
        name: "distroless",
        names: &[("distroless/static", "latest nonroot"), ("distroless/static-debian12", "latest nonroot")],
        on: None,
        content: Content::Files,
        files: &[
            (
                "etc/passwd",
                "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n",
            ),
            ("etc/group", "root:x:0:\nnonroot:x:65532:\n"),
            ("etc/os-release", "NAME=\"Stand-in for distroless\"\nID=debian\n"),
            ("home/nonroot/.keep", ""),
            ("tmp/.keep", ""),
        ],
        settings: &[PATH, "--env=SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"],
        large: false,
    },
    Base {
        name: "node",
        names: &[(
            "library/node",
            "20 20-slim 20-alpine 22 22-slim 22-alpine 18 18-slim 18-alpine 16 lts lts-alpine latest",
        )],
        on: Some("debian"),
        content: Content::Installed(Installation {
            machine: &["/usr/bin/node", "/usr/bin/npm", "/usr/bin/npx", "/usr/lib/node_modules/npm"],
            packages: &["git"],
            instead: &["nodejs", "npm"],
            ..NOTHING
        }),
        files: LIKE_ALPINE,
        settings: &["--cmd=node", PATH, "--env=NODE_VERSION=20"],
        large: false,
    },
    Base {
        name: "golang",
        names: &[(
            "library/golang",
            "1.23 1.23-alpine 1.22 1.22-alpine 1.21 1.21-alpine 1.18 1.24 1.25 latest alpine",
        )],
        on: Some("debian"),
        content: Content::Installed(Installation {
            machine: &["/usr/local/go"],
            packages: &["git", "make"],
            instead: &["golang"],
            ..NOTHING
        }),
        files: LIKE_ALPINE,
        settings: &[
            "--cmd=bash",
            "--workdir=/go",
            "--env=GOPATH=/go",
            "--env=GOTOOLCHAIN=local",
            "--env=PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ],
        large: false,
    },
    Base {
        name: "python",
        names: &[("library/python", "3.11-slim 3.11 3.12-slim 3.12 3.9-slim 3.9 3-slim latest")],
        on: Some("debian"),
        content: Content::Installed(Installation {
            packages: &["python3", "python3-pip", "python3-venv"],
            // As in the image that it stands for, pip may install for the whole system.
            script: "rm -f /usr/lib/python3*/EXTERNALLY-MANAGED\nln -sf /usr/bin/python3 /usr/local/bin/python\n",
            ..NOTHING
        }),
        files: &[],
        settings: &["--cmd=python3", PATH],
        large: false,
    },
    Base {
        name: "nginx",
        names: &[("library/nginx", "alpine latest stable-alpine 1.27-alpine")],
        on: Some("debian"),
        content: Content::Installed(Installation { packages: &["nginx-light"], script: NGINX, ..NOTHING }),
        files: &[],
        settings: &["--cmd=nginx,-g,daemon off;", PATH, "--exposed-ports=80/tcp"],
        large: false,
    },
    Base {
        name: "rust",
        names: &[("library/rust", "1.75 1.75-alpine 1 latest")],
        on: Some("debian"),
        content: Content::Installed(Installation {
            rust: true,
            packages: &["gcc", "git", "libc6-dev", "musl-tools", "pkg-config"],
            ..NOTHING
        }),
        files: &[],
        settings: &["--cmd=bash", PATH, "--env=CARGO_HOME=/usr/local/cargo"],
        large: true,
    },
    Base {
        name: "maven",
        names: &[("library/maven", "3.9-eclipse-temurin-17 latest"), ("library/eclipse-temurin", "17-jre")],
        on: Some("debian"),
        content: Content::Installed(Installation {
            packages: &["maven", "openjdk-17-jdk-headless"],
            ..NOTHING
        }),
        files: &[],
        settings: &["--cmd=mvn", PATH],
        large: true,
    },
    Base {
        name: "php",
        names: &[("library/php", "8.2-fpm-alpine 8.2-cli"), ("library/composer", "2 latest")],
        on: Some("debian"),
        content: Content::Installed(Installation {
            packages: &["php-cli", "php-fpm", "composer"],
            ..NOTHING
        }),
        files: &[],
        settings: &["--cmd=php,-a", PATH],
        large: true,
    },
];

/// The site's folder and the settings lie where the image that it stands for has them.
const NGINX: &str = r"rm -f /etc/nginx/sites-enabled/default
cat > /etc/nginx/conf.d/default.conf <<'SITE'
server {
    listen 80;
    server_name localhost;
    location / {
        root /usr/share/nginx/html;
        index index.html index.htm;
    }
}
SITE
ln -sf /dev/stdout /var/log/nginx/access.log
ln -sf /dev/stderr /var/log/nginx/error.log
";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_bases_claim_the_same_name() {
        let all: Vec<String> = CATALOGUE.iter().flat_map(Base::references).collect();
        let distinct: BTreeSet<&String> = all.iter().collect();
        assert_eq!(all.len(), distinct.len());
        assert!(distinct.contains(&"library/debian:bookworm-slim".to_owned()));
    }

    #[test]
    fn what_an_installation_builds_on_is_there_and_decides_on_its_layer() {
        for base in CATALOGUE {
            assert_eq!(
                base.below().is_some(),
                matches!(base.content, Content::Installed(_)),
                "{}",
                base.name
            );
        }
        let changed = Base { files: &[("etc/motd", "hello")], ..CATALOGUE[0] };
        assert_ne!(changed.layer_key(), CATALOGUE[0].layer_key());
        let renamed = Base { names: &[("library/other", "1")], ..CATALOGUE[0] };
        assert_eq!(renamed.layer_key(), CATALOGUE[0].layer_key());
        assert_ne!(renamed.image_key(), CATALOGUE[0].image_key());
    }
}
