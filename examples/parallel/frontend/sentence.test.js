import assert from "node:assert";
import { test } from "node:test";
import { sentence } from "./src/sentence.js";

test("a tide is told in words", () => {
  assert.equal(sentence({ kind: "high", minutes: 5 }), "high water in 5 min");
  assert.equal(sentence({ kind: "low", minutes: 0 }), "low water now");
});
