import assert from "node:assert";
import { test } from "node:test";
import { readOrder } from "../dist/order.js";

test("an order is read", () => {
  assert.deepEqual(readOrder("?item=lock&count=2"), { order: { item: "lock", count: 2 } });
});

test("what is wrong is named by its field", () => {
  const result = readOrder("?item=lock&count=none");
  assert.ok(result.problems[0].startsWith("count: "));
});
