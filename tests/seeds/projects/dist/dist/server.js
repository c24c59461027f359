const { createServer } = require("node:http");
const { readFileSync } = require("node:fs");

createServer((_, response) => response.end(readFileSync("index.html"))).listen(3000);
