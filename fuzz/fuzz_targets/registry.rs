//! Answers of a registry: a server on loopback that says what the input says, to a pull. Nothing panics or hangs, and what
//! comes back is what its digest promises.
#![no_main]

use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use slipway_oci::{Descriptor, Digest, Platform, Reference};
use slipway_registry::{Registry, Retry, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// The input of the moment: answers, one for each request, the last one again and again.
static ANSWERS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

struct World {
    runtime: Runtime,
    registry: Registry,
    name: Reference,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let host = listener.local_addr().expect("an address").to_string();
    runtime.spawn(async move {
        loop {
            let Ok((mut connection, _)) = listener.accept().await else { continue };
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = connection.read(&mut request).await;
                let answer = ANSWERS.lock().map(|mut answers| {
                    if answers.len() > 1 { answers.remove(0) } else { answers.first().cloned().unwrap_or_default() }
                });
                let _ = connection.write_all(&answer.unwrap_or_default()).await;
            });
        }
    });
    let retry = Retry { attempts: 1, first: Duration::from_millis(1), longest: Duration::from_millis(1) };
    let settings = Settings { retry, insecure: vec![host.clone()], ..Settings::default() };
    let registry = Registry::new(settings).expect("settings");
    let name = format!("{host}/app:1").parse().expect("a reference");
    World { runtime, registry, name }
});

/// Turns a piece of the input into an answer: a status, a header, a body with the right length or with a wrong one.
fn answer(piece: &[u8]) -> Vec<u8> {
    let Some((kind, rest)) = piece.split_first() else { return Vec::new() };
    let status = [200, 200, 200, 206, 301, 307, 401, 404, 416, 429, 500, 503][usize::from(*kind >> 4) % 12];
    let mut parts = rest.splitn(2, |byte| *byte == b'\n');
    let (header, body) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let name: &[u8] = match kind & 7 {
        0 => b"WWW-Authenticate",
        1 => b"Location",
        2 => b"Docker-Content-Digest",
        3 => b"Content-Range",
        4 => b"Retry-After",
        5 => b"Link",
        6 => b"Content-Type",
        // The input is the whole answer.
        _ => return rest.to_vec(),
    };
    let length = if kind & 8 == 0 { body.len() } else { body.len() + 3 };
    let start = format!("HTTP/1.1 {status} Status\r\nConnection: close\r\nContent-Length: {length}\r\n");
    [start.as_bytes(), name, b": ", header, b"\r\n\r\n", body].concat()
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let world = &*WORLD;
    if let Ok(mut answers) = ANSWERS.lock() {
        *answers = data.split(|byte| *byte == 0).map(answer).collect();
    }
    world.runtime.block_on(async {
        let work = async {
            let resolved = world.registry.resolve(&world.name, &Platform::host()).await;
            let _ = resolved.map_err(|error| error.to_string());
            let wanted = Descriptor { size: 5, ..Descriptor::of("x", b"hello") };
            if let Ok(blob) = world.registry.fetch_blob(&world.name, &wanted, Vec::new()).await {
                assert_eq!(Digest::of(blob), wanted.digest);
            }
            let _ = world.registry.list_tags(&world.name).await.map_err(|error| error.to_string());
        };
        tokio::time::timeout(Duration::from_secs(20), work).await.expect("it hangs");
    });
});
