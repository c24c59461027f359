const { test } = require("node:test");
const assert = require("node:assert");
const ms = require("ms");

test("durations are told in words", () => {
  assert.equal(ms(60_000, { long: true }), "1 minute");
});
