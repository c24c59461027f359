import { createServer } from "node:http";
import ms from "ms";

createServer((_, response) => {
  response.end(`by pnpm, up for ${ms(Math.round(process.uptime() * 1000))}\n`);
}).listen(3000);
process.on("SIGTERM", () => process.exit(0));
