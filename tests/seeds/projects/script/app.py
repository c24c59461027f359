"""Answers on port 8000 with nothing but the standard library."""

from http.server import BaseHTTPRequestHandler, HTTPServer

from words import count


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{count('tested before it was copied')} words\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    HTTPServer(("", 8000), Handler).serve_forever()
