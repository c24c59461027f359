//! Measures compression of a layer: `cargo run --release --example speed -- [MiB] [file]`.

#![allow(clippy::print_stdout)] // a measurement

use std::io::{Read, Write};
use std::time::Instant;

use slipway_oci::archive::{Entry, Kind, Limits, Reader, Writer};
use slipway_oci::compress::{Compression, LayerWriter};

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let size = arguments.next().and_then(|size| size.parse().ok()).unwrap_or(256) << 20;
    let file = arguments.next().unwrap_or_else(|| "/proc/self/exe".into());
    let mut sample = vec![];
    std::fs::File::open(file)?.take(64 << 20).read_to_end(&mut sample)?;
    let mut data = Vec::with_capacity(size);
    while data.len() < size {
        let room = (size - data.len()).min(sample.len());
        data.extend_from_slice(&sample[..room]);
    }
    println!("compression  threads   MiB/s  out MiB  CPU s  times");
    for compression in [
        Compression::None,
        Compression::Gzip(1),
        Compression::Gzip(2),
        Compression::Gzip(4),
        Compression::Gzip(5),
        Compression::Gzip(6),
        Compression::Zstd(1),
        Compression::Zstd(3),
    ] {
        let mut one = 0.0;
        for threads in [1, 2] {
            let (begun, cpu) = (Instant::now(), cpu_seconds()?);
            let mut layer = LayerWriter::new(std::io::sink(), compression, threads);
            layer.write_all(&data)?;
            let (_, digests) = layer.finish()?;
            let speed = mib(size as u64) / begun.elapsed().as_secs_f64();
            one = if threads == 1 { speed } else { one };
            let (out, cpu) = (mib(digests.size), cpu_seconds()? - cpu);
            let name = format!("{compression:?}");
            println!("{name:<12} {threads:>7} {speed:>7.0} {out:>8.1} {cpu:>6.2} {:>6.2}", speed / one);
        }
    }
    entries()
}

/// Measures archives of many small files.
fn entries() -> std::io::Result<()> {
    const FILES: u32 = 500_000;
    let cpu = cpu_seconds()?;
    let mut writer = Writer::new(Vec::with_capacity(600 << 20));
    for number in 0..FILES {
        let path = format!("usr/lib/node_modules/package-{}/dist/file-{number}.js", number / 100);
        let entry = Entry::new(path, Kind::File { size: 100 }, 0o644);
        writer.append_file(&entry, &mut &[b'x'; 100][..]).map_err(std::io::Error::other)?;
    }
    let archive = writer.finish().map_err(std::io::Error::other)?;
    let written = cpu_seconds()?;
    let mut reader = Reader::new(&archive[..], Limits::default());
    while reader.next_entry().map_err(std::io::Error::other)?.is_some() {
        std::io::copy(&mut reader.content(), &mut std::io::sink())?;
    }
    let read = cpu_seconds()?;
    let micros = |seconds: f64| seconds * 1e6 / f64::from(FILES);
    println!(
        "entries: {:.2} µs of CPU to write one, {:.2} to read one",
        micros(written - cpu),
        micros(read - written)
    );
    Ok(())
}

fn mib(bytes: u64) -> f64 {
    f64::from((bytes >> 10) as u32) / 1024.0
}

/// Returns the processor time of all threads so far: what matters where others use the machine as well.
fn cpu_seconds() -> std::io::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or(0.0);
    Ok((ticks(11) + ticks(12)) / 100.0)
}
