import { createServer, type ServerResponse } from "node:http";
import ms from "ms";

const answer = (response: ServerResponse): void => {
  response.end(`typed, up for ${ms(Math.round(process.uptime() * 1000))}\n`);
};
createServer((_, response) => answer(response)).listen(3000);
process.on("SIGTERM", () => process.exit(0));
