//! A small service that greets whom the path names.

use std::env;

use tiny_http::{Request, Response, Server};

/// The answer to a path: its last part is whom to greet.
fn greeting(path: &str) -> Option<String> {
    let name = path.strip_prefix("/hello/")?;
    let plain = !name.is_empty() && name.chars().all(char::is_alphanumeric);
    plain.then(|| format!("Hello {name}, this is Rust.\n"))
}

fn answer(request: Request) -> std::io::Result<()> {
    match greeting(request.url()) {
        Some(text) => request.respond(Response::from_string(text)),
        None => request.respond(Response::from_string("not here\n").with_status_code(404)),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let port = env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let server = Server::http(format!("0.0.0.0:{port}"))?;
    println!("listening on {port}");
    for request in server.incoming_requests() {
        if let Err(error) = answer(request) {
            eprintln!("a client went away: {error}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::greeting;

    #[test]
    fn names_are_greeted_and_nothing_else() {
        assert_eq!(greeting("/hello/world").as_deref(), Some("Hello world, this is Rust.\n"));
        assert_eq!(greeting("/hello/"), None);
        assert_eq!(greeting("/hello/<script>"), None);
        assert_eq!(greeting("/"), None);
    }
}
