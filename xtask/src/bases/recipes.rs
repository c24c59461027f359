//! The catalogue: which base images there are, and what goes into them.

/// One base image.
#[derive(Debug)]
pub(crate) struct Base {
    /// The name on the command line.
    pub(crate) name: &'static str,
    /// Repositories and tags in the registry.
    pub(crate) references: &'static [&'static str],
    /// The base whose layer lies below.
    pub(crate) on: Option<&'static str>,
    /// What its own layer is.
    pub(crate) content: Content,
    /// Settings of the image's configuration, as options of `crane mutate`.
    pub(crate) settings: &'static [&'static str],
    /// Takes minutes or hundreds of megabytes.
    pub(crate) large: bool,
}

/// What the layer of a base is made of.
#[derive(Debug)]
pub(crate) enum Content {
    /// Debian's smallest useful system.
    Debian,
    /// A static busybox with all its applets, and these files.
    Busybox(&'static [(&'static str, &'static str)]),
    /// Nothing but these files, certificates and users.
    Files(&'static [(&'static str, &'static str)]),
    /// Debian packages, programs of this machine and a script's work, on top of Debian.
    Installed {
        /// Files and folders to take from this machine as they are.
        machine: &'static [&'static str],
        /// Packages to install in any case.
        packages: &'static [&'static str],
        /// Packages to install where the first of the machine's files is not there.
        instead: &'static [&'static str],
        /// What is done in the end, by a shell in the image.
        script: &'static str,
    },
}

impl Base {
    /// A name for this exact recipe: a changed one is another.
    pub(crate) fn key(&self) -> String {
        let text = format!("{self:?}");
        format!(
            "{}-{:016x}",
            self.name,
            crate::host::parts::fnv(crate::host::parts::FNV_START, text.as_bytes())
        )
    }
}

const PATH: &str = "--env=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const USERS: &str = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n";
const GROUPS: &str = "root:x:0:\nnogroup:x:65534:\n";

/// Alpine's packages cannot be had everywhere; what is there already can still be asked for.
const APK: &str = r#"#!/bin/sh
# A stand-in: accepts what the image has, and says so when it has not.
for word in "$@"; do
  case $word in add|update|upgrade|-*|ca-certificates|tzdata|busybox|curl|wget|git|dumb-init|tini) ;;
    *) echo "apk: this stand-in for Alpine has no package $word" >&2; exit 1 ;;
  esac
done
"#;

/// Debian's own adduser and addgroup speak another dialect than Alpine's, and its package tool has another name.
const LIKE_ALPINE: &str = r#"for applet in addgroup adduser delgroup deluser; do
  ln -sf /usr/bin/busybox /usr/local/sbin/$applet
done
cat > /usr/local/sbin/apk <<'APK'
#!/bin/sh
# A stand-in: leaves out apk's options and asks Debian for the packages.
set -e
verb=$1; shift
case $verb in add) ;; update|upgrade) exit 0 ;; *) echo "apk: this stand-in only adds packages" >&2; exit 1 ;; esac
for word in "$@"; do case $word in -*) shift ;; *) set -- "$@" "$word"; shift ;; esac; done
[ $# -gt 0 ] || exit 0
apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
APK
chmod 755 /usr/local/sbin/apk
"#;

/// All base images.
pub(crate) const CATALOGUE: &[Base] = &[
    Base {
        name: "debian",
        references: &[
            "library/debian:bookworm",
            "library/debian:bookworm-slim",
            "library/debian:12",
            "library/debian:12-slim",
            "library/debian:latest",
            "library/debian:stable-slim",
        ],
        on: None,
        content: Content::Debian,
        settings: &["--cmd=bash", PATH],
        large: false,
    },
    Base {
        name: "busybox",
        references: &[
            "library/busybox:latest",
            "library/busybox:1.36",
            "library/busybox:uclibc",
            "library/busybox:musl",
        ],
        on: None,
        content: Content::Busybox(&[
            ("etc/passwd", USERS),
            ("etc/group", GROUPS),
            ("etc/shadow", "root:*:::::::\n"),
        ]),
        settings: &["--cmd=sh", PATH],
        large: false,
    },
    Base {
        name: "alpine",
        references: &[
            "library/alpine:latest",
            "library/alpine:3",
            "library/alpine:3.18",
            "library/alpine:3.19",
            "library/alpine:3.20",
            "library/alpine:3.21",
        ],
        on: None,
        content: Content::Busybox(&[
            ("etc/passwd", USERS),
            ("etc/group", GROUPS),
            ("etc/shadow", "root:*:::::::\n"),
            ("sbin/apk", APK),
            ("etc/os-release", "NAME=\"Stand-in for Alpine\"\nID=alpine\nVERSION_ID=3.21.0\n"),
        ]),
        settings: &["--cmd=/bin/sh", PATH],
        large: false,
    },
    Base {
        name: "distroless",
        references: &[
            "distroless/static:latest",
            "distroless/static:nonroot",
            "distroless/static-debian12:latest",
            "distroless/static-debian12:nonroot",
        ],
        on: None,
        content: Content::Files(&[
            (
                "etc/passwd",
                "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n",
            ),
            ("etc/group", "root:x:0:\nnonroot:x:65532:\n"),
            ("etc/os-release", "NAME=\"Stand-in for distroless\"\nID=debian\n"),
            ("home/nonroot/.keep", ""),
            ("tmp/.keep", ""),
        ]),
        settings: &[PATH, "--env=SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"],
        large: false,
    },
    Base {
        name: "node",
        references: &[
            "library/node:20",
            "library/node:20-slim",
            "library/node:20-alpine",
            "library/node:22",
            "library/node:22-slim",
            "library/node:22-alpine",
            "library/node:18",
            "library/node:18-slim",
            "library/node:18-alpine",
            "library/node:16",
            "library/node:lts",
            "library/node:lts-alpine",
            "library/node:latest",
        ],
        on: Some("debian"),
        content: Content::Installed {
            machine: &[
                "/usr/bin/node",
                "/usr/bin/npm",
                "/usr/bin/npx",
                "/usr/lib/node_modules/npm",
                "/usr/bin/busybox",
            ],
            packages: &["git"],
            instead: &["nodejs", "npm"],
            script: LIKE_ALPINE,
        },
        settings: &["--cmd=node", PATH, "--env=NODE_VERSION=20"],
        large: false,
    },
    Base {
        name: "golang",
        references: &[
            "library/golang:1.23",
            "library/golang:1.23-alpine",
            "library/golang:1.22",
            "library/golang:1.22-alpine",
            "library/golang:1.21",
            "library/golang:1.21-alpine",
            "library/golang:1.18",
            "library/golang:1.24",
            "library/golang:1.25",
            "library/golang:latest",
            "library/golang:alpine",
        ],
        on: Some("debian"),
        content: Content::Installed {
            machine: &["/usr/local/go", "/usr/bin/busybox"],
            packages: &["git", "make"],
            instead: &["golang"],
            script: LIKE_ALPINE,
        },
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
        references: &[
            "library/python:3.11-slim",
            "library/python:3.11",
            "library/python:3.12-slim",
            "library/python:3.12",
            "library/python:3.9-slim",
            "library/python:3.9",
            "library/python:3-slim",
            "library/python:latest",
        ],
        on: Some("debian"),
        content: Content::Installed {
            machine: &[],
            packages: &["python3", "python3-pip", "python3-venv"],
            instead: &[],
            // As in the image that it stands for, pip may install for the whole system.
            script: "rm -f /usr/lib/python3*/EXTERNALLY-MANAGED\nln -sf /usr/bin/python3 /usr/local/bin/python\n",
        },
        settings: &["--cmd=python3", PATH],
        large: false,
    },
    Base {
        name: "nginx",
        references: &[
            "library/nginx:alpine",
            "library/nginx:latest",
            "library/nginx:stable-alpine",
            "library/nginx:1.27-alpine",
        ],
        on: Some("debian"),
        content: Content::Installed { machine: &[], packages: &["nginx-light"], instead: &[], script: NGINX },
        settings: &["--cmd=nginx,-g,daemon off;", PATH, "--exposed-ports=80/tcp"],
        large: false,
    },
    Base {
        name: "rust",
        references: &[
            "library/rust:1.75",
            "library/rust:1.75-alpine",
            "library/rust:1",
            "library/rust:latest",
        ],
        on: Some("debian"),
        content: Content::Installed {
            machine: &[],
            packages: &["cargo", "rustc", "git"],
            instead: &[],
            script: "",
        },
        settings: &["--cmd=bash", PATH, "--env=CARGO_HOME=/usr/local/cargo"],
        large: true,
    },
    Base {
        name: "maven",
        references: &[
            "library/maven:3.9-eclipse-temurin-17",
            "library/maven:latest",
            "library/eclipse-temurin:17-jre",
        ],
        on: Some("debian"),
        content: Content::Installed {
            machine: &[],
            packages: &["maven", "openjdk-17-jdk-headless"],
            instead: &[],
            script: "",
        },
        settings: &["--cmd=mvn", PATH],
        large: true,
    },
    Base {
        name: "php",
        references: &[
            "library/php:8.2-fpm-alpine",
            "library/php:8.2-cli",
            "library/composer:2",
            "library/composer:latest",
        ],
        on: Some("debian"),
        content: Content::Installed {
            machine: &[],
            packages: &["php-cli", "php-fpm", "composer"],
            instead: &[],
            script: "",
        },
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
