import assert from "node:assert";
import { test } from "node:test";
import { reduction } from "../src/reduction.js";

test("the reduction is a share of the largest stage", () => {
  assert.equal(reduction(1500, 100), "93.3% smaller");
});

test("an image that is no smaller says so", () => {
  assert.equal(reduction(10, 20), "not smaller");
  assert.equal(reduction(0, 0), "not smaller");
});
