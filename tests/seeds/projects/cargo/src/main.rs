//! A server on port 3000 for the Rust Dockerfiles of the seeds.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

fn answer(requests: u32) -> String {
    let body = format!("served by Rust, request {}\n", itoa::Buffer::new().format(requests));
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", 3000))?;
    println!("listening on 3000");
    for (number, stream) in listener.incoming().enumerate() {
        let mut stream = stream?;
        let head = BufReader::new(stream.try_clone()?).lines();
        for line in head {
            if line?.is_empty() {
                break;
            }
        }
        stream.write_all(answer(number as u32 + 1).as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_answer_tells_its_length() {
        assert!(super::answer(7).contains("Content-Length: 26\r\n"));
    }
}
