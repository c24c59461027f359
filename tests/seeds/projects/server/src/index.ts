import { createServer } from "node:http";
import ms from "ms";

const port = Number(process.env.PORT ?? 3000);
const server = createServer((_, response) => {
  response.end(`up for ${ms(Math.round(process.uptime() * 1000), { long: true })}\n`);
});
server.listen(port, () => console.log(`listening on ${port}`));
// The first process of a container has no handler for signals but its own.
process.on("SIGTERM", () => process.exit(0));
