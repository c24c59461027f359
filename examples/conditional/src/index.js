// Answers with what is installed: tools for development are there in images for development only.
const { createServer } = require("node:http");
const { readdirSync } = require("node:fs");
const ms = require("ms");

const installed = readdirSync("node_modules").filter((name) => !name.startsWith("."));

createServer((_, response) => {
  response.end(`${process.env.BUILD_ENV}: ${installed.join(" ")}; up for ${ms(Math.round(process.uptime() * 1000))}\n`);
}).listen(3000, () => console.log("listening on 3000"));
process.on("SIGTERM", () => process.exit(0));
