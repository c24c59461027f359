import { createServer } from "node:http";
import { readOrder } from "./order.js";

const server = createServer((request, response) => {
  const url = new URL(request.url ?? "/", "http://localhost");
  if (url.pathname === "/healthz") {
    response.end("ok\n");
    return;
  }
  const result = readOrder(url.search);
  response.statusCode = "order" in result ? 200 : 400;
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(result) + "\n");
});

server.listen(3000, () => console.log("listening on 3000"));
// The first process of a container ends on SIGTERM only if it says so.
process.on("SIGTERM", () => server.close(() => process.exit(0)));
