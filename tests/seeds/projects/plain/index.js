const { createServer } = require("node:http");
const ms = require("ms");

createServer((_, response) => {
  response.end(`version @version@, up for ${ms(Math.round(process.uptime() * 1000))}\n`);
}).listen(3000);
process.on("SIGTERM", () => process.exit(0));
